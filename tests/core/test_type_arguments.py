"""Functions on dtypes given something else raise what the wheel raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import tarry.core as mx
from oracle import mlx, requires_oracle

CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "result_type": lambda module, value: module.result_type(value),
    "iinfo": lambda module, value: module.iinfo(value),
    "finfo": lambda module, value: module.finfo(value),
    "can_cast from": lambda module, value: module.can_cast(value, module.int32),
    "can_cast to": lambda module, value: module.can_cast(module.int32, value),
    "issubdtype": lambda module, value: module.issubdtype(value, module.int32),
    "isdtype": lambda module, value: module.isdtype(value, "bool"),
    "isdtype kind": lambda module, value: module.isdtype(module.int32, value),
}


@requires_oracle
@pytest.mark.parametrize("value", [3, "a", None, float, 1.5, ()], ids=repr)
@pytest.mark.parametrize("name", CALLS)
def test_wrong_types(name: str, value: Any) -> None:
    results = []
    for module in (mx, mlx):
        try:
            results.append(CALLS[name](module, value))
        except Exception as error:
            results.append(type(error).__name__)
    assert results[0] == results[1]
