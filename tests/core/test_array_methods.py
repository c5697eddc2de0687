"""Methods of an array that are public functions with the array as first argument."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import tarry.core as mx

SCANS = ("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp")
# Properties, Python's protocols and what the function does differently.
NOT_FUNCTIONS = {"T", "at", "device", "dtype", "item", "itemsize", "mT", "nbytes", "ndim", "shape", "size",
                 "to_device", "tolist", "real", "imag"}  # fmt: skip


@pytest.mark.parametrize("name", SCANS)
def test_running_results(name: str) -> None:
    x = mx.array([[1.0, 3.0, 2.0], [0.5, -1.0, 4.0]])
    function = getattr(mx, name)
    for options in ({}, {"axis": 1}, {"axis": 0, "reverse": True}, {"axis": -1, "inclusive": False}):
        given: dict[str, Any] = dict(options)
        assert getattr(x, name)(**given).tolist() == function(x, **given).tolist()
    assert getattr(x, name)(0).tolist() == function(x, 0).tolist()


def test_every_method_is_the_function_of_its_name() -> None:
    x = mx.array([[0.25, 0.5], [0.75, 0.125]])
    names = [name for name in dir(mx.array) if not name.startswith("_") and name not in NOT_FUNCTIONS]
    assert len(names) > 40
    extra: dict[str, tuple[Any, ...]] = {
        "astype": (mx.float16,), "view": (mx.int32,), "reshape": ((4,),), "swapaxes": (0, 1), "split": (2,),
        "moveaxis": (0, 1),
    }  # fmt: skip
    for name in names:
        arguments = extra.get(name, ())
        found, expected = getattr(x, name)(*arguments), getattr(mx, name)(x, *arguments)
        parts = list(zip(found, expected)) if isinstance(found, list) else [(found, expected)]
        assert all(a.dtype == b.dtype and mx.array_equal(a, b).item() for a, b in parts), name
        assert inspect.getdoc(getattr(mx.array, name)), name


def test_buffer_sizes() -> None:
    x = mx.array([1.0, 2.0, 3.0, 4.0])
    part = x[1:]
    mx.eval(part)
    assert mx.get_array_buffer_size() == 0 and mx.get_array_buffer_size("a", 1) == 0
    assert mx.get_array_buffer_size(x) == 16 and mx.get_array_buffer_size([x, {"part": part}], x) == 16
    assert mx.get_array_buffer_size(x, mx.array([1, 2])) == 24
    with pytest.raises(ValueError, match=r"use mx\.eval"):
        mx.get_array_buffer_size(x + 1)
    assert mx.set_wired_limit(1 << 20) == 0 and mx.set_wired_limit(0) == 0
