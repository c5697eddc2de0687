"""What is known about dtypes: limits, categories and promotion."""

from __future__ import annotations

import numpy as np

from tarry.base.dtypes import (
    Dtype,
    DtypeCategory,
    ReadOnly,
    bfloat16,
    complex64,
    float32,
    is_subdtype,
    promote,
    promote_weak,
)
from tarry.base.errors import type_name
from tarry.graph.array import array
from tarry.graph.primitive import Scalar
from tarry.ops.elementwise import scalar_kind


def _require_dtype(op: str, value: object) -> Dtype:
    if isinstance(value, Dtype):
        return value
    raise TypeError(f"[{op}] Expected a Dtype, but got {value!r} of type {type_name(value)}.")


class iinfo(ReadOnly):
    """The limits of an integer dtype, or of that of an array. ValueError for other dtypes.

    Example:
        >>> mx.iinfo(mx.int8)
        iinfo(min=-128, max=127, dtype=int8)
    """

    __slots__ = ("bits", "dtype", "max", "min")
    bits: int
    dtype: Dtype
    max: int
    min: int

    def __init__(self, arg: Dtype | array, /) -> None:
        dtype = _require_dtype("iinfo", arg.dtype if isinstance(arg, array) else arg)
        if dtype.kind not in "ui":
            raise ValueError(f"[iinfo] Expected an integer dtype, but got {dtype.name}.")
        limits = np.iinfo(dtype.name)
        self._keep(dtype=dtype, bits=8 * dtype.size, min=int(limits.min), max=int(limits.max))

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype.name})"


class finfo(ReadOnly):
    """The limits and the resolution of a floating dtype, or of the parts of complex64. ValueError for others.

    An array stands for its dtype.

    Example:
        >>> mx.finfo(mx.float32).eps
        1.1920928955078125e-07
    """

    __slots__ = ("bits", "dtype", "eps", "max", "min", "smallest_normal")
    bits: int
    dtype: Dtype
    eps: float
    max: float
    min: float
    smallest_normal: float

    def __init__(self, arg: Dtype | array, /) -> None:
        dtype = _require_dtype("finfo", arg.dtype if isinstance(arg, array) else arg)
        if dtype.kind not in "fc":
            raise ValueError(f"[finfo] Expected a floating dtype, but got {dtype.name}.")
        real = float32 if dtype is complex64 else dtype
        if dtype is bfloat16:
            greatest, eps, smallest = (2.0 - 2.0**-7) * 2.0**127, 2.0**-7, 2.0**-126
        else:
            limits = np.finfo(real.name)
            greatest, eps, smallest = float(limits.max), float(limits.eps), float(limits.smallest_normal)
        self._keep(dtype=real, bits=8 * real.size, eps=eps, smallest_normal=smallest)
        self._keep(max=greatest, min=-greatest)

    def __repr__(self) -> str:
        return f"finfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype.name})"


def issubdtype(arg1: Dtype | DtypeCategory, arg2: Dtype | DtypeCategory) -> bool:
    """Whether a dtype or category lies in another.

    Example:
        >>> mx.issubdtype(mx.float16, mx.floating)
        True
    """
    for value in (arg1, arg2):
        if not isinstance(value, (Dtype, DtypeCategory)):
            # MLX tells missing arguments and wrong ones apart.
            kind = TypeError if value is None else ValueError
            raise kind(f"[issubdtype] Expected dtypes or categories, but got {value!r}.")
    return is_subdtype(arg1, arg2)


def result_type(*arrays_and_dtypes: array | Dtype | Scalar) -> Dtype:
    """The dtype that arrays and dtypes promote to, and Python scalars with them, which are weak.

    ValueError for anything else, and unless there is an array or a dtype.

    Example:
        >>> mx.result_type(mx.uint8, mx.int8).size
        2
    """
    if not arrays_and_dtypes:
        raise ValueError("[result_type] At least one array or dtype is required.")
    found: Dtype | None = None
    kinds = [kind for kind in map(scalar_kind, arrays_and_dtypes) if kind is not None]
    known = any(isinstance(value, (array, Dtype)) for value in arrays_and_dtypes)
    for value in arrays_and_dtypes:
        if known and scalar_kind(value) is not None:
            continue
        if not isinstance(value, (array, Dtype)):
            raise ValueError(f"[result_type] Expected arrays and dtypes, but got {type_name(value)}.")
        dtype = value.dtype if isinstance(value, array) else value
        found = dtype if found is None else promote(found, dtype)
    assert found is not None
    for kind in kinds:
        found = promote_weak(found, kind)
    return found


def can_cast(from_: array | Dtype, to: Dtype) -> bool:
    """Whether promotion leads from a dtype to `to`.

    Example:
        >>> mx.can_cast(mx.int32, mx.float32), mx.can_cast(mx.float32, mx.int32)
        (True, False)
    """
    if from_ is not None and not isinstance(from_, (array, Dtype)):
        raise ValueError(f"[can_cast] Expected an array or a Dtype, but got {from_!r}.")
    source = from_.dtype if isinstance(from_, array) else _require_dtype("can_cast", from_)
    return promote(source, _require_dtype("can_cast", to)) is to


_KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "ui",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "uifc",
}


def isdtype(dtype: Dtype, kind: Dtype | str | tuple[Dtype | str, ...]) -> bool:
    """Whether a dtype is of a kind of the array API standard, or of one of several. ValueError for others.

    Example:
        >>> mx.isdtype(mx.int8, "integral")
        True
    """
    dtype = _require_dtype("isdtype", dtype)
    if isinstance(kind, tuple):
        return any(isdtype(dtype, item) for item in kind)
    if isinstance(kind, Dtype):
        return dtype is kind
    if kind is None:
        raise TypeError("[isdtype] Expected a kind of dtypes, but got None.")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"[isdtype] Unknown kind {kind!r}: expected one of {', '.join(_KINDS)}.")
    return dtype.kind in _KINDS[kind]
