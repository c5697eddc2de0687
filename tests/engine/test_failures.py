"""Failures found while running: an index out of range says which op, which index, and whose line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

import numpy as np
import pytest

import tarry.core as mx

CASES: dict[str, tuple[Callable[[mx.array, mx.array], mx.array], int]] = {
    "take": (lambda x, i: mx.take(x, i, axis=0), 5),
    "take-flat": (lambda x, i: mx.take(x, i), 20),
    "index": (lambda x, i: x[i], 5),
    "index-last": (lambda x, i: x[:, i] * 2.0, 4),
    "take_along_axis": (lambda x, i: mx.take_along_axis(x, i[:, None], axis=0), 5),
    "sum-of-rows": (lambda x, i: mx.sum(mx.exp(x[i]), axis=-1), 5),
}


@pytest.mark.parametrize("beyond", [0, 1, 1000, -1, -2000])
@pytest.mark.parametrize("name", list(CASES))
def test_gather_out_of_range(name: str, beyond: int) -> None:
    function, extent = CASES[name]
    x = mx.array(np.arange(20, dtype=np.float32).reshape(5, 4))
    bad = extent + beyond if beyond >= 0 else -extent + beyond
    index = mx.array([0, 1, bad, 2], dtype=mx.int32)
    found = function(x, index)
    with pytest.raises(IndexError) as raised:
        mx.eval(found)
    message = str(raised.value)
    assert re.match(r"\[\w+\] ", message), message
    assert re.search(rf"(?<![\d-]){bad}(?!\d)", message) and re.search(rf"\b{extent}\b", message), message
    line = inspect.getsourcelines(function)[1]
    assert re.search(rf"test_failures\.py:{line}\b", message), message
    # The arrays are as they were, and can be used.
    assert x.shape == (5, 4) and mx.sum(x).item() == 190
    assert index.tolist() == [0, 1, bad, 2]


def test_the_edge_is_in_range() -> None:
    x = mx.array(np.arange(20, dtype=np.float32).reshape(5, 4))
    index = mx.array([4, -5, 0, -1], dtype=mx.int32)
    assert np.array_equal(np.array(x[index]), np.array(x)[[4, -5, 0, -1]])


def test_scatter_out_of_range() -> None:
    x = mx.zeros((5, 4))
    for bad in (5, -6, 1 << 20):
        found = x.at[mx.array([1, bad], dtype=mx.int32)].add(mx.ones((2, 4)))
        with pytest.raises(IndexError, match=rf"{bad}\b"):
            mx.eval(found)
        assert mx.sum(x).item() == 0


def test_other_values_of_a_failed_evaluation_are_not_lost() -> None:
    x = mx.array([1.0, 2.0, 3.0])
    good = x * 2.0
    bad = x[mx.array([7], dtype=mx.int32)]
    with pytest.raises(IndexError):
        mx.eval(good, bad)
    assert good.tolist() == [2.0, 4.0, 6.0]
    with pytest.raises(IndexError):
        mx.eval(bad)


def test_failure_with_int64_and_uint32_indices() -> None:
    x = mx.array([1.0, 2.0, 3.0])
    for dtype, bad in (
        (mx.int64, 1 << 40),
        (mx.uint32, 4_000_000_000),
        (mx.uint8, 200),
        (mx.int64, -(1 << 40)),
    ):
        with pytest.raises(IndexError, match=str(bad)):
            mx.eval(x[mx.array([0, bad], dtype=dtype)])
