"""Promotion between arrays and with Python scalars, casts between all dtypes: as in the real MLX wheel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tarry.core as mx
from oracle import (
    ALL_DTYPES,
    COMPLEX,
    FLOATS,
    INTEGERS,
    UNSIGNED,
    dtype_name,
    dtype_of,
    from_numpy,
    mlx,
    requires_oracle,
    to_numpy,
)

PROMOTING: dict[str, Callable[[Any, Any, Any], Any]] = {
    "add": lambda module, a, b: module.add(a, b),
    "divide": lambda module, a, b: module.divide(a, b),
    "floor_divide": lambda module, a, b: module.floor_divide(a, b),
    "power": lambda module, a, b: module.power(a, b),
    "maximum": lambda module, a, b: module.maximum(a, b),
    "logaddexp": lambda module, a, b: module.logaddexp(a, b),
    "less": lambda module, a, b: module.less(a, b),
    "where": lambda module, a, b: module.where(module.array([True, False]), a, b),
    "concatenate": lambda module, a, b: module.concatenate([a, b]),
    "stack": lambda module, a, b: module.stack([a, b]),
    "outer": lambda module, a, b: module.outer(a, b),
    "matmul": lambda module, a, b: module.matmul(a, b),
}
SCALARS = {"bool": True, "int": 1, "float": 1.5, "complex": 1j}
SCALAR_OPS = ("add", "divide", "floor_divide", "power", "maximum", "less", "where")


def outcome(program: Callable[[], Any]) -> str:
    """The name of the result's dtype, or "error" if the program is refused."""
    try:
        return dtype_name(program())
    except (ValueError, TypeError, RuntimeError):
        return "error"


@requires_oracle
@pytest.mark.parametrize("op", PROMOTING)
def test_promotion_between_arrays(op: str) -> None:
    different = []
    for first in ALL_DTYPES:
        for second in ALL_DTYPES:
            found = []
            for module in (mx, mlx):
                a = module.ones((2,), dtype_of(module, first))
                b = module.ones((2,), dtype_of(module, second))
                found.append(outcome(lambda m=module, a=a, b=b: PROMOTING[op](m, a, b)))
            # Products of integers are Tarry's own.
            excused = found[1] == "error" and op == "matmul" and (first in INTEGERS or second in INTEGERS)
            excused |= op == "floor_divide" and "complex64" in (first, second)
            if found[0] != found[1] and not excused:
                different.append(f"{op}({first}, {second}) is {found[0]}, in MLX {found[1]}")
    assert not different, "\n".join(different)


@requires_oracle
@pytest.mark.parametrize("kind", SCALARS)
@pytest.mark.parametrize("op", SCALAR_OPS)
def test_promotion_with_python_scalars(op: str, kind: str) -> None:
    different = []
    for name in ALL_DTYPES:
        found = []
        for module in (mx, mlx):
            a = module.ones((2,), dtype_of(module, name))
            found.append(outcome(lambda m=module, a=a: PROMOTING[op](m, a, SCALARS[kind])))
            found.append(outcome(lambda m=module, a=a: PROMOTING[op](m, SCALARS[kind], a)))
        is_complex = "complex64" in (name, "complex64" if kind == "complex" else "")
        if found[:2] != found[2:] and not (op == "floor_divide" and is_complex):
            different.append(f"{op}({name}, {kind}) is {found[:2]}, in MLX {found[2:]}")
    assert not different, "\n".join(different)


@pytest.mark.parametrize("source", ALL_DTYPES)
def test_casts_between_all_dtypes(source: str) -> None:
    """Values that every target can hold: truncation to zero, nonzero is True, the real part of complex."""
    values = np.array([0.0, 1.0, 2.5, 100.75, 7.0])
    stored = values.astype(np.int64) if source in INTEGERS else values != 0 if source == "bool" else values
    array = from_numpy(mx, stored, source)
    held = to_numpy(mx, array)
    results = {target: array.astype(dtype_of(mx, target)) for target in ALL_DTYPES}
    mx.eval(results)
    for target, result in results.items():
        assert dtype_name(result) == target
        real = held.real if target not in COMPLEX else held
        expected = real != 0 if target == "bool" else real.astype(np.int64) if target in INTEGERS else real
        np.testing.assert_allclose(
            to_numpy(mx, result),
            expected,
            rtol=2.0**-8 if target in ("float16", "bfloat16") else 1e-7,
            err_msg=target,
        )


@pytest.mark.parametrize("target", ["int8", "int16", "uint8", "uint16", "uint32"])
def test_casts_between_integers_wrap(target: str) -> None:
    values = np.array([-1, 300, -129, 70000, 2**31 - 1], dtype=np.int32)
    result = mx.array(values).astype(dtype_of(mx, target))
    np.testing.assert_array_equal(to_numpy(mx, result), values.astype(target))


def test_casts_of_values_out_of_range() -> None:
    values = mx.array([float("nan"), float("inf"), -float("inf"), 3e9, -1.9])
    np.testing.assert_array_equal(to_numpy(mx, values.astype(mx.int32)), [-(2**31)] * 4 + [-1])
    np.testing.assert_array_equal(to_numpy(mx, values.astype(mx.bool_)), [True] * 5)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_casts_to_half_round_to_nearest_even(name: str) -> None:
    steps = 2.0**-10 if name == "float16" else 2.0**-7
    values = np.array([1 + steps / 2, 1 + 3 * steps / 2, 1 + steps * 0.51, -1 - steps / 2])
    expected = [1.0, 1 + 2 * steps, 1 + steps, -1.0]
    result = from_numpy(mx, values, "float32").astype(dtype_of(mx, name))
    np.testing.assert_array_equal(to_numpy(mx, result).astype(np.float64), expected)


@pytest.mark.parametrize("name", FLOATS)
def test_casts_to_floats_keep_nan_and_infinity(name: str) -> None:
    values = np.array([float("nan"), float("inf"), -float("inf"), -0.0])
    result = to_numpy(mx, from_numpy(mx, values, "float32").astype(dtype_of(mx, name))).astype(np.float64)
    np.testing.assert_array_equal(result, values)
    assert np.signbit(result[3])


@pytest.mark.parametrize("name", [*INTEGERS, "bool"])
def test_index_dtypes(name: str) -> None:
    if name == "bool":
        with pytest.raises((ValueError, TypeError, IndexError)):
            mx.eval(mx.take(mx.arange(5), mx.array([True, False]), axis=0))
        return
    indices = [3, 0, 4] if name in UNSIGNED else [3, 0, -1]
    result = mx.take(mx.arange(5), mx.array(indices, dtype=dtype_of(mx, name)), axis=0)
    np.testing.assert_array_equal(to_numpy(mx, result), [3, 0, 4])
