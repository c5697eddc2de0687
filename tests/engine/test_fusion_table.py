"""Every row of the table in docs/fusion.md: so many kernels run, and no more."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import tarry.core as mx
import tarry.nn as nn

PAGE = Path(__file__).resolve().parents[2] / "docs" / "fusion.md"
ROWS = re.findall(r"^\| (\d+) \| `(.*)` \|$", PAGE.read_text(), re.MULTILINE)


def test_the_table_is_there() -> None:
    assert len(ROWS) >= 20


@pytest.mark.parametrize(("kernels", "expression"), ROWS, ids=[row[1][:60] for row in ROWS])
def test_kernels_of(kernels: str, expression: str, generator: np.random.Generator) -> None:
    names: dict[str, object] = {"mx": mx, "nn": nn}
    for name, shape in (("x", (64, 128)), ("y", (64, 128)), ("w", (128,)), ("b", (128,)), ("W", (128, 32))):
        names[name] = mx.array(generator.standard_normal(shape).astype(np.float32))
    names["ids"] = mx.array(generator.integers(0, 128, 64).astype(np.int32))
    result = eval(expression, names)
    before = mx.counters()["kernels_run"]
    mx.eval(result)
    assert mx.counters()["kernels_run"] - before == int(kernels)
