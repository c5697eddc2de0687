"""Tarry next to the real MLX wheel: names of dtypes, and NumPy in and out of either framework.

`mlx` is the wheel's `mlx.core`, or None where it is not installed (it exists for few platforms). Every helper
takes the framework's module first, so that one test body can run the same program in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tarry.core as mx

try:
    import mlx.core as mlx
except ImportError:
    mlx = None

BOOL = ("bool",)
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
SIGNED = ("int8", "int16", "int32", "int64")
INTEGERS = UNSIGNED + SIGNED
FLOATS = ("float16", "float32", "float64", "bfloat16")
COMPLEX = ("complex64",)
INEXACT = FLOATS + COMPLEX
REAL = BOOL + INTEGERS + FLOATS
ALL_DTYPES = REAL + COMPLEX

# Distance between 1 and the next value, for each dtype that rounds.
EPSILON = {
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
    "float32": 2.0**-23,
    "float64": 2.0**-52,
    "complex64": 2.0**-23,
}
# Smallest positive value (subnormals included): the granularity near zero.
SMALLEST = {
    "float16": 2.0**-24,
    "bfloat16": 2.0**-133,
    "float32": 2.0**-149,
    "float64": 2.0**-1074,
    "complex64": 2.0**-149,
}

requires_oracle = pytest.mark.skipif(mlx is None, reason="the MLX wheel is not installed")


def dtype_of(module: Any, name: str) -> Any:
    """The framework's dtype object called `name`, e.g. dtype_of(mx, "bool") is mx.bool_."""
    return getattr(module, "bool_" if name == "bool" else name)


def dtype_name(value: Any) -> str:
    """The plain name of an array's dtype or of a dtype, e.g. "float32"."""
    dtype = getattr(value, "dtype", value)
    return str(dtype).rsplit(".", 1)[-1].rstrip("_")


def storage_dtype(name: str) -> np.dtype:
    """The NumPy dtype with the same values as the framework's dtype `name`."""
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def round_to(values: Any, name: str) -> np.ndarray:
    """`values` rounded to dtype `name`, held in float64 / complex128 for floats and exactly otherwise."""
    with np.errstate(all="ignore"):
        rounded = np.asarray(values).astype(storage_dtype(name))
    if name in FLOATS:
        return rounded.astype(np.float64)
    return rounded.astype(np.complex128) if name in COMPLEX else rounded


def from_numpy(module: Any, values: Any, name: str) -> Any:
    """An array of the framework with dtype `name` holding exactly the (representable) `values`."""
    carrier = "float32" if name == "bfloat16" else name
    with np.errstate(all="ignore"):
        stored = np.array(values, dtype=storage_dtype(carrier), order="C")
    return module.array(stored, dtype=dtype_of(module, name))


def to_numpy(module: Any, array: Any) -> np.ndarray:
    """A NumPy copy of an array of the framework; bfloat16 comes back as float32."""
    if dtype_name(array) == "bfloat16":
        array = array.astype(module.float32)
    return np.array(array)


def as_list(result: Any) -> list[Any]:
    """One output or several, as a list."""
    return list(result) if isinstance(result, (list, tuple)) else [result]


def assert_close(
    actual: np.ndarray,
    expected: Any,
    name: str,
    *,
    ulps: float = 2.0,
    absolute: float = 0.0,
    label: str = "",
) -> None:
    """Compare a result of dtype `name` with a reference held in a wider type.

    `ulps` is the relative tolerance in units of the dtype's epsilon; `absolute` adds that many epsilons of
    the largest expected magnitude, for sums whose terms cancel. Integers and booleans must agree exactly
    (modulo 2**bits).
    """
    expected = np.asarray(expected)
    assert actual.shape == expected.shape, f"{label}: shape {actual.shape}, expected {expected.shape}"
    if name not in INEXACT:
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(actual, expected.astype(actual.dtype), err_msg=label)
        return
    if name not in COMPLEX and np.iscomplexobj(expected):
        raise AssertionError(f"{label}: the result is {name}, but the reference is complex")
    wide = np.complex128 if name in COMPLEX else np.float64
    # Rounding first turns a finite reference that overflows the dtype into the infinity the dtype must give.
    exact = expected.astype(wide)
    rounded = round_to(exact, name)
    exact = np.where(np.isfinite(rounded), exact, rounded)
    finite = np.abs(exact[np.isfinite(exact)])
    largest = float(finite.max()) if finite.size else 0.0
    # The reference itself is computed in float64: leave it a few of its own roundings.
    relative = (ulps + (4.0 if name == "float64" else 0.0)) * EPSILON[name]
    floor = absolute * EPSILON[name] * largest + 2.0 * SMALLEST[name]
    np.testing.assert_allclose(actual.astype(wide), exact, rtol=relative, atol=floor, err_msg=label)


def assert_same_as_oracle(
    program: Any, inputs: Sequence[tuple[Any, str]], *, rtol: float = 1e-5, atol: float = 1e-6
) -> None:
    """Run `program(module, *arrays)` in both frameworks; shapes and dtypes must be equal, values close."""
    ours = as_list(program(mx, *[from_numpy(mx, values, name) for values, name in inputs]))
    theirs = as_list(program(mlx, *[from_numpy(mlx, values, name) for values, name in inputs]))
    assert len(ours) == len(theirs)
    for mine, reference in zip(ours, theirs, strict=True):
        assert tuple(mine.shape) == tuple(reference.shape)
        assert dtype_name(mine) == dtype_name(reference)
        np.testing.assert_allclose(
            to_numpy(mx, mine).astype(np.complex128),
            to_numpy(mlx, reference).astype(np.complex128),
            rtol=rtol,
            atol=atol,
        )
