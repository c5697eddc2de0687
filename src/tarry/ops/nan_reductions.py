"""Reductions that leave out what is not a number: nansum, nanmean and the like, as in NumPy.

For integers and booleans they are the plain reductions. Complex numbers with a nan part are left out.
"""

from __future__ import annotations

import math
from typing import Any

from tarry.base.dtypes import complex64, float32
from tarry.graph.array import array
from tarry.ops.arguments import real_number
from tarry.ops.arithmetic import divide, subtract
from tarry.ops.comparison import equal, greater, isnan, logical_not
from tarry.ops.complex_numbers import squared_magnitude
from tarry.ops.elementwise import cast, require_array
from tarry.ops.exponential import sqrt
from tarry.ops.reductions import (
    Axis,
    Max,
    Min,
    arg_reduction,
    extremum,
    max,
    min,
    prod,
    reduced_axes,
    sum,
    without_axes,
)
from tarry.ops.selection import where
from tarry.ops.statistics import _working_operand, mean
from tarry.ops.structure import broadcast, sum_axes
from tarry.runtime.devices import StreamLike, require_stream


def _numbers(op: str, a: object, otherwise: float) -> array:
    """The array with another value in place of nan."""
    value = require_array(op, a)
    return where(isnan(value), otherwise, value) if value.dtype.kind in "fc" else value


def nansum(a: array, /, axis: Axis = None, keepdims: bool = False, *, stream: StreamLike = None) -> array:
    """The sum over the axes without what is not a number; 0 where there is nothing else.

    >>> mx.nansum(mx.array([1.0, float("nan"), 2.0]))
    array(3, dtype=float32)
    """
    if stream is not None:
        require_stream("nansum", stream)
    value = _numbers("nansum", a, 0)
    return sum(value, reduced_axes("nansum", value, axis, keepdims), keepdims)


def nanprod(a: array, /, axis: Axis = None, keepdims: bool = False, *, stream: StreamLike = None) -> array:
    """The product over the axes without what is not a number; 1 where there is nothing else.

    >>> mx.nanprod(mx.array([2.0, float("nan"), 3.0]))
    array(6, dtype=float32)
    """
    if stream is not None:
        require_stream("nanprod", stream)
    value = _numbers("nanprod", a, 1)
    return prod(value, reduced_axes("nanprod", value, axis, keepdims), keepdims)


def _nan_extremum(op: str, plain: Any, kind: Any, a: object, axis: Axis, keepdims: bool) -> array:
    value = require_array(op, a)
    axes = reduced_axes(op, value, axis, keepdims)
    if value.dtype.kind not in "fc" or not axes:
        result: array = plain(value, axis, keepdims)
        return result
    if value.dtype is complex64:
        raise ValueError(f"[{op}] Not supported for complex64: expected a real type.")
    for number in axes:
        if value.shape[number] == 0:
            raise ValueError(f"[{op}] Axis {number} of shape {value.shape} is empty and has no {op}.")
    missing = isnan(value)
    found = extremum(kind(axes), where(missing, kind.worst, value))
    count = sum_axes(cast(missing, float32), axes)
    total = math.prod([value.shape[number] for number in axes])
    return without_axes(where(equal(count, float(total)), math.nan, found), axes, keepdims)


def nanmax(a: array, /, axis: Axis = None, keepdims: bool = False, *, stream: StreamLike = None) -> array:
    """The greatest number over the axes; nan where there is none. ValueError over an empty axis.

    >>> mx.nanmax(mx.array([1.0, float("nan"), 3.0]))
    array(3, dtype=float32)
    """
    if stream is not None:
        require_stream("nanmax", stream)
    return _nan_extremum("nanmax", max, Max, a, axis, keepdims)


def nanmin(a: array, /, axis: Axis = None, keepdims: bool = False, *, stream: StreamLike = None) -> array:
    """The smallest number over the axes; nan where there is none. ValueError over an empty axis.

    >>> mx.nanmin(mx.array([1.0, float("nan"), 3.0]))
    array(1, dtype=float32)
    """
    if stream is not None:
        require_stream("nanmin", stream)
    return _nan_extremum("nanmin", min, Min, a, axis, keepdims)


def nanargmax(
    a: array, /, axis: int | None = None, keepdims: bool = False, *, stream: StreamLike = None
) -> array:
    """The position of the greatest number along an axis, or of all; uint32. 0 where nothing is a number.

    >>> mx.nanargmax(mx.array([float("nan"), 1.0, 3.0]))
    array(2, dtype=uint32)
    """
    if stream is not None:
        require_stream("nanargmax", stream)
    return arg_reduction("nanargmax", _numbers("nanargmax", a, -math.inf), axis, keepdims)


def nanargmin(
    a: array, /, axis: int | None = None, keepdims: bool = False, *, stream: StreamLike = None
) -> array:
    """The position of the smallest number along an axis, or of all; uint32. 0 where nothing is a number.

    >>> mx.nanargmin(mx.array([float("nan"), 4.0, 3.0]))
    array(2, dtype=uint32)
    """
    if stream is not None:
        require_stream("nanargmin", stream)
    return arg_reduction("nanargmin", _numbers("nanargmin", a, math.inf), axis, keepdims)


def _count(missing: array, axes: tuple[int, ...], like: array) -> array:
    """How many numbers each result is made of, in a dtype to divide by."""
    real = float32 if like.dtype is complex64 else like.dtype
    return sum_axes(cast(logical_not(missing), real), axes)


def nanmean(a: array, /, axis: Axis = None, keepdims: bool = False, *, stream: StreamLike = None) -> array:
    """The mean over the axes of what is a number; nan over none. Integers become float32.

    >>> mx.nanmean(mx.array([1.0, float("nan"), 3.0]))
    array(2, dtype=float32)
    """
    if stream is not None:
        require_stream("nanmean", stream)
    value, dtype = _working_operand("nanmean", a)
    axes = reduced_axes("nanmean", value, axis, keepdims)
    if not axes or require_array("nanmean", a).dtype.kind not in "fc":
        return mean(a, axis, keepdims)
    missing = isnan(value)
    average = divide(sum_axes(where(missing, 0, value), axes), _count(missing, axes, value))
    return without_axes(cast(average, dtype), axes, keepdims)


def _nan_variance(op: str, a: object, axis: Axis, ddof: int, keepdims: bool, root: bool) -> array:
    value, dtype = _working_operand(op, a)
    axes = reduced_axes(op, value, axis, keepdims)
    deducted = real_number(op, ddof, "ddof")
    missing = isnan(value)
    numbers = where(missing, 0, value)
    count = _count(missing, axes, value)
    average = divide(sum_axes(numbers, axes), count)
    deviation = where(missing, 0, subtract(numbers, broadcast(average, value.shape)))
    free = subtract(count, float(deducted))
    variance = divide(sum_axes(squared_magnitude(deviation), axes), where(greater(free, 0), free, math.nan))
    result = sqrt(variance) if root else variance
    return without_axes(cast(result, float32 if dtype is complex64 else dtype), axes, keepdims)


def nanvar(
    a: array, /, axis: Axis = None, keepdims: bool = False, ddof: int = 0, *, stream: StreamLike = None
) -> array:
    """The variance over the axes of what is a number; nan for `ddof` of them or fewer.

    >>> mx.nanvar(mx.array([1.0, float("nan"), 3.0]))
    array(1, dtype=float32)
    """
    if stream is not None:
        require_stream("nanvar", stream)
    return _nan_variance("nanvar", a, axis, ddof, keepdims, False)


def nanstd(
    a: array, /, axis: Axis = None, keepdims: bool = False, ddof: int = 0, *, stream: StreamLike = None
) -> array:
    """The standard deviation over the axes of what is a number; nan for `ddof` of them or fewer.

    >>> mx.nanstd(mx.array([1.0, float("nan"), 3.0]))
    array(1, dtype=float32)
    """
    if stream is not None:
        require_stream("nanstd", stream)
    return _nan_variance("nanstd", a, axis, ddof, keepdims, True)
