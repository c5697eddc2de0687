"""Ranges (and what is made of them) behind a reshape: their places are apart, whatever the reshape joins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tarry.core as mx


@pytest.mark.parametrize(
    "program",
    [
        lambda library, x: library.tril(x).reshape(-1) * 2,
        lambda library, x: library.tril(x).reshape(3, 8) + 1,
        lambda library, x: library.triu(x).reshape(3, 8) @ library.ones((8, 2)),
        lambda library, x: library.sum(library.tril(x).reshape(3, 8), axis=0),
        lambda library, x: library.tril(x).reshape(24) * library.arange(24),
        lambda library, x: library.tril(x @ x.T).reshape(16) * 2,
        lambda library, x: (x @ x.T) * library.tril(x[:, :4].reshape(2, 8)).reshape(4, 4),
        lambda library, x: library.broadcast_to(library.arange(6), (4, 6)).reshape(8, 3) + x.reshape(8, 3),
    ],
)
def test_ranges_behind_reshapes(program: Callable[[Any, Any], Any], generator: np.random.Generator) -> None:
    values = generator.normal(size=(4, 6))
    found = program(mx, mx.array(values, dtype=mx.float64))
    np.testing.assert_allclose(np.array(found), program(np, values), rtol=1e-5)
