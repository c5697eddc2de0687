"""Arrays for the calls of the array API standard, and the comparison of results with NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_table import parsed

import tarry.core as mx

NAMES = {
    "b": ["bool"],
    "i": ["int8", "int16", "int32", "int64"],
    "u": ["uint8", "uint16", "uint32", "uint64"],
    "f": ["float32", "float64"],
    "c": ["complex64"],
    "-": ["none"],
}
# The shapes of the arrays: x and y are matrices, w has equal elements, m is a stack of square matrices.
_SHAPES = {"x": (2, 3), "y": (2, 3), "v": (3,), "w": (4,), "m": (2, 3, 3), "z": ()}
_WHOLE = {
    "x": [3, 1, 2, 5, 4, 6],
    "y": [2, 1, 3, 2, 4, 1],
    "v": [2, 4, 1],
    "w": [2, 5, 2, 1],
    "m": [3, 1, 2, 0, 4, 1, 2, 2, 5, 1, 0, 2, 3, 1, 1, 0, 2, 4],
    "z": [3],
}
_SIGNS = np.array([1, -1, 1, -1, 1, -1, 1, 1, -1] * 2)


def numpy_arrays(dtype: str) -> dict[str, Any]:
    """The arrays of a call by name, in a dtype, with indices, a mask and Hermitian matrices."""
    found: dict[str, Any] = {"i": np.array([1, 0, 2], np.int32), "k": np.array([[True, False, True]] * 2)}
    if dtype == "none":
        return found
    kind = np.dtype(dtype).kind
    for name, numbers in _WHOLE.items():
        values = np.array(numbers, np.float64)
        if kind == "b":
            values = values % 2
        if kind in "if" and name in "xvm":
            values = values * _SIGNS[: values.size]
        if kind == "f":
            values = values * 0.75
        if kind == "c":
            values = values * (0.5 - 1j) * _SIGNS[: values.size] + 0.25j
        found[name] = values.reshape(_SHAPES[name]).astype(dtype)
    found["z"] = np.array(found["z"])
    if kind in "fc":
        matrices = found["m"].astype(np.complex128 if kind == "c" else np.float64)
        product = matrices @ np.conj(np.swapaxes(matrices, -1, -2)) + 2 * np.eye(3)
        found["h"] = product.astype(dtype)
    return found


def environments(dtype: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The names in a call: of Tarry's, and of NumPy's namespace."""
    arrays = numpy_arrays(dtype)
    ours = {name: mx.array(value, getattr(mx, str(value.dtype), mx.bool_)) for name, value in arrays.items()}
    return {"xp": mx, "cpu": mx.cpu, **ours}, {"xp": np, "np": np, "cpu": "cpu", **arrays}


def kinds_and_dtypes(kinds: str) -> list[str]:
    """All dtypes of the kinds."""
    return [dtype for kind in kinds for dtype in NAMES[kind]]


def expected_dtype(rule: str, dtype: str) -> str:
    """The dtype the standard asks for, for operands of a dtype."""
    if rule == "index":
        return str(mx.__array_namespace_info__().default_dtypes()["indexing"]).removeprefix("mlx.core.")
    if rule == "same" or (rule in ("real", "sum") and dtype not in ("complex64", *_WIDER)):
        return dtype
    if rule == "real":
        return "float32" if dtype == "complex64" else dtype
    if rule == "sum":
        return _WIDER.get(dtype, dtype)
    if rule == "complex":
        return "complex128" if dtype == "float64" else "complex64"
    return rule


_WIDER = {"int8": "int32", "int16": "int32", "uint8": "uint32", "uint16": "uint32"}


def parts_of(value: Any) -> list[Any]:
    """The results of a call: the items of a tuple or list, or the one."""
    return list(value) if isinstance(value, (tuple, list)) else [value]


def dtype_name(value: Any) -> str:
    """The name of an array's dtype."""
    return str(value.dtype).removeprefix("mlx.core.")


def assert_same_values(found: Any, expected: Any) -> None:
    """Numbers, shapes and flags as NumPy gives them, in whatever precision there is."""
    if not isinstance(found, mx.array):
        if isinstance(expected, float):
            assert abs(found - expected) <= 1e-6 * abs(expected), (found, expected)
        else:
            assert found == expected
        return
    ours = np.array(found)
    assert ours.shape == np.shape(expected), (ours.shape, np.shape(expected))
    tolerance = 1e-9 if ours.dtype == np.float64 else 2e-5
    np.testing.assert_allclose(ours, expected, rtol=tolerance, atol=tolerance)


def entries(table: str) -> list[tuple[str, ...]]:
    """The entries of a table as tuples of words."""
    return list(parsed(table))
