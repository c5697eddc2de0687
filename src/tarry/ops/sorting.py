"""Sorting along an axis: sort, argsort, partitions, the k largest, medians, quantiles, binary search.

NaN is greater than every number, complex numbers are ordered by real, then imaginary part. Equal elements
keep their order in `argsort`. `axis=None` sorts the flattened array.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tarry.base.dtypes import complex64, float32, int32, uint32
from tarry.base.shapes import normalize_axis, size_of
from tarry.graph.array import array
from tarry.ops.arguments import arrays_of, integer, word, wrong_type
from tarry.ops.arithmetic import add, floor_divide, multiply, subtract
from tarry.ops.calls import Call, FlatCall, NumPyArray, ResultType, call
from tarry.ops.comparison import isnan, less, less_equal, logical_and, logical_not, logical_or
from tarry.ops.elementwise import cast, constant, require_array
from tarry.ops.joining import stack
from tarry.ops.layout import contiguous
from tarry.ops.ranks import select_places, select_values
from tarry.ops.reductions import Axis, reduced_axes, without_axes
from tarry.ops.reductions import any as any_of
from tarry.ops.selection import minimum, stop_gradient, where
from tarry.ops.slices import narrowed
from tarry.ops.structure import move_axis, permute, reshaped
from tarry.ops.taking import pulled_along_axis, take, take_along_axis
from tarry.ops.views import flatten, flip
from tarry.runtime.devices import StreamLike, require_stream

# Rows up to this length are sorted even where few of their elements are wanted.
SHORT_ROW = 64


class Sort(Call):
    """The values of every row in ascending order."""

    name = "Sort"
    routine = "sort"
    __slots__ = ()

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        return [(inputs[0].shape, inputs[0].dtype)]

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        return [np.sort(inputs[0], axis=-1, kind="stable")]

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        value, cotangent = inputs[0], cotangents[0]
        if cotangent is None:
            return [None]
        # The sorted values are those at the places of argsort, and gradients go back to these places.
        return [pulled_along_axis(value, _places(value), -1, cotangent)]

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        tangent = tangents[0]
        return [None if tangent is None else take_along_axis(tangent, _places(inputs[0]), -1)]


class ArgSort(FlatCall):
    """The places of the values of every row in ascending order; equal ones keep their order."""

    name = "ArgSort"
    routine = "argsort"
    __slots__ = ()

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        return [(inputs[0].shape, uint32)]

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        return [np.argsort(inputs[0], axis=-1, kind="stable").astype(np.uint32)]


def _places(rows: array) -> array:
    return call(ArgSort(), contiguous(stop_gradient(rows)))[0]


def _rows(op: str, a: object, axis: Any) -> tuple[array, int]:
    """The operand with the axis to sort last, and where that axis was. IndexError for a bad axis."""
    value = require_array(op, a)
    if axis is None:
        return flatten(value), 0
    place = normalize_axis(op, integer(op, axis, "axis"), value.ndim)
    return move_axis(value, place, value.ndim - 1), place


def _back(rows: array, place: int) -> array:
    return move_axis(rows, rows.ndim - 1, place)


def sort(
    a: array,
    /,
    axis: int | None = -1,
    *,
    descending: bool = False,
    stable: bool = True,
    stream: StreamLike = None,
) -> array:
    """A copy in ascending or descending order along the axis, equal elements in the order they had.

    IndexError for an axis out of range.

    >>> mx.sort(mx.array([3, 1, 2]))
    array([1, 2, 3], dtype=int32)
    """
    if stream is not None:
        require_stream("sort", stream)
    rows, place = _rows("sort", a, axis)
    # Backwards before and after the sort, equal elements have their order again.
    rows = flip(rows, -1) if descending else rows
    ordered = call(Sort(), contiguous(rows))[0]
    return _back(flip(ordered, -1) if descending else ordered, place)


def argsort(
    a: array,
    /,
    axis: int | None = -1,
    *,
    descending: bool = False,
    stable: bool = True,
    stream: StreamLike = None,
) -> array:
    """The places (uint32) of the elements in ascending or descending order along the axis; always stable.

    >>> mx.argsort(mx.array([3, 1, 2]))
    array([1, 2, 0], dtype=uint32)
    """
    if stream is not None:
        require_stream("argsort", stream)
    rows, place = _rows("argsort", a, axis)
    if not descending:
        return _back(_places(rows), place)
    # Places in the row read backwards count from its end.
    last = constant(rows.shape[-1] - 1 if rows.shape[-1] else 0, uint32, rows.shape)
    return _back(subtract(last, flip(_places(flip(rows, -1)), -1)), place)


def lexsort(keys: array | Sequence[array], /, axis: int = -1, *, stream: StreamLike = None) -> array:
    """The places (uint32) that put the columns of several keys in order: by the last key, where that is equal
    by the one before it, and so on, as `numpy.lexsort`.

    `keys` are arrays of one shape, or the rows of one array; equal columns keep their order.

    Errors: ValueError for no keys and for keys of different shapes, IndexError for an axis out of range.

    >>> mx.lexsort([mx.array([2, 1, 3, 0]), mx.array([0, 1, 0, 1])])
    array([0, 2, 3, 1], dtype=uint32)
    """
    if stream is not None:
        require_stream("lexsort", stream)
    if isinstance(keys, array):
        keys = [take(keys, number, 0) for number in range(keys.shape[0])] if keys.ndim else []
    if not isinstance(keys, (list, tuple)):
        raise wrong_type("lexsort", "keys", "an array or a sequence of arrays", keys)
    listed = arrays_of("lexsort", keys)
    shapes = [key.shape for key in listed]
    if not listed or any(shape != shapes[0] for shape in shapes):
        raise ValueError(f"[lexsort] Expected one or more keys of one shape, but the shapes are {shapes}.")
    place = normalize_axis("lexsort", integer("lexsort", axis, "axis"), len(shapes[0]))
    order = argsort(listed[0], place)
    for key in listed[1:]:
        again = argsort(take_along_axis(key, order, place), place)
        order = take_along_axis(order, again, place)
    return order


def _check_place(op: str, what: str, number: int, least: int, most: int, axis: Any, shape: Any) -> None:
    if not least <= number <= most:
        raise ValueError(
            f"[{op}] {what} must be from {least} to {most} along axis {axis} of an array of shape {shape}, "
            f"but it is {number}."
        )


def partition(a: array, /, kth: int, axis: int | None = -1, *, stream: StreamLike = None) -> array:
    """A copy in which element `kth` along the axis is where a sort would put it, smaller ones before it.

    First come the elements that are less than it, then those that are equal, then the greater ones, each kind
    in the order it had. ValueError for a `kth` out of range.

    >>> mx.partition(mx.array([5, 2, 4, 1, 3]), 2)
    array([2, 1, 3, 5, 4], dtype=int32)
    """
    if stream is not None:
        require_stream("partition", stream)
    rows, place, rank = _rank("partition", a, kth, axis)
    return _back(select_values(rows, rank, rows.shape[-1]), place)


def argpartition(a: array, /, kth: int, axis: int | None = -1, *, stream: StreamLike = None) -> array:
    """The places (uint32) of the elements of `partition`, in the same order.

    ValueError for a `kth` out of range.

    >>> mx.argpartition(mx.array([5, 2, 4, 1, 3]), 2)
    array([1, 3, 4, 0, 2], dtype=uint32)
    """
    if stream is not None:
        require_stream("argpartition", stream)
    rows, place, rank = _rank("argpartition", a, kth, axis)
    return _back(select_places(rows, rank, rows.shape[-1]), place)


def _rank(op: str, a: object, kth: object, axis: Any) -> tuple[array, int, int]:
    """As `_rows`, with the place `kth` counted from the start."""
    rows, place = _rows(op, a, axis)
    length, number = rows.shape[-1], integer(op, kth, "kth")
    _check_place(op, "kth", number, -length, length - 1, axis, require_array(op, a).shape)
    return rows, place, number + length if number < 0 else number


def topk(a: array, /, k: int, axis: int | None = -1, *, stream: StreamLike = None) -> array:
    """The `k` largest elements along the axis, in ascending order, as the last ones of a sort.

    ValueError for a `k` out of range.

    >>> mx.topk(mx.array([3, 1, 5, 2]), 2)
    array([3, 5], dtype=int32)
    """
    if stream is not None:
        require_stream("topk", stream)
    rows, place = _rows("topk", a, axis)
    length = rows.shape[-1]
    count = integer("topk", k, "k")
    _check_place("topk", "k", count, 0, length, axis, require_array("topk", a).shape)
    if 0 < count < length and length > SHORT_ROW:
        rows, length = select_values(rows, length - count, count), count
    if count > 0 and length > 1:
        rows = call(Sort(), contiguous(rows))[0]
    return _back(narrowed(rows, rows.ndim - 1, length - count, count), place)


# Medians and quantiles


def _rows_together(op: str, a: object, axis: Axis, keepdims: bool) -> tuple[array, tuple[int, ...], array]:
    """Floating-point rows: the axes to reduce joined and last; those axes; and the operand.

    ValueError for rows without elements.
    """
    value = require_array(op, a)
    if value.dtype.kind not in "fc":
        value = cast(value, float32)
    axes = reduced_axes(op, value, axis, keepdims)
    kept = [number for number in range(value.ndim) if number not in axes]
    length = size_of([value.shape[number] for number in axes])
    if length == 0 or value.size == 0:
        raise ValueError(f"[{op}] There is no {op} of no elements: the shape is {value.shape}.")
    rows = permute(value, (*kept, *axes))
    rows = reshaped(rows, (*[value.shape[number] for number in kept], length))
    return contiguous(rows), axes, value


def _restore(result: array, value: array, axes: tuple[int, ...], keepdims: bool) -> array:
    """A result without the reduced axes as one with them, of extent 1, or without."""
    shape = tuple([1 if axis in axes else extent for axis, extent in enumerate(value.shape)])
    return without_axes(reshaped(result, shape), axes, keepdims)


def _of_rank(rows: array, rank: int) -> array:
    """The element of every row that would be at place `rank` in order."""
    if rows.shape[-1] > SHORT_ROW:
        return reshaped(select_values(rows, rank, 1), rows.shape[:-1])
    ordered = call(Sort(), rows)[0]
    return reshaped(narrowed(ordered, rows.ndim - 1, rank, 1), rows.shape[:-1])


def _with_nan(rows: array, result: array) -> array:
    """NaN where a row has any."""
    return where(any_of(isnan(rows), rows.ndim - 1), float("nan"), result)


def median(a: array, /, axis: Axis = None, keepdims: bool = False, *, stream: StreamLike = None) -> array:
    """The middle element in order along the axes, or the mean of the two in the middle.

    NaN where there is one. Integers become float32. ValueError for an array without elements.

    >>> mx.median(mx.array([[4, 1], [3, 2]]))
    array(2.5, dtype=float32)
    """
    if stream is not None:
        require_stream("median", stream)
    rows, axes, value = _rows_together("median", a, axis, keepdims)
    length = rows.shape[-1]
    middle = _of_rank(rows, length // 2)
    if length % 2 == 0:
        middle = multiply(add(_of_rank(rows, length // 2 - 1), middle), 0.5)
    return _restore(_with_nan(rows, middle), value, axes, keepdims)


_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def quantile(
    a: array,
    /,
    q: float | Sequence[float] | array,
    axis: Axis = None,
    keepdims: bool = False,
    method: str = "linear",
    *,
    stream: StreamLike = None,
) -> array:
    """The elements below which a share `q` (0 to 1) of each row lies, along the axes; NaN where there is one.

    With n elements the place is q (n - 1); `method` says what is between two places: "linear"
    interpolation, "lower", "higher", "midpoint", "nearest" (Hyndman and Fan 1996, definition 7). The axes
    of `q`, of which there may be any number, come first. Integers become float32. ValueError for shares out
    of range, other methods and arrays without elements.

    >>> mx.quantile(mx.array([1.0, 2.0, 3.0, 4.0]), [0.25, 0.5])
    array([1.75, 2.5], dtype=float32)
    """
    if stream is not None:
        require_stream("quantile", stream)
    shares = _shares("quantile", q)
    if not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError(f"[quantile] Shares must be numbers from 0 to 1, but they are {q!r}.")
    return _quantiles("quantile", a, shares, axis, keepdims, method)


def _shares(op: str, q: Any) -> np.ndarray[Any, Any]:
    try:
        if isinstance(q, array):
            # The list of an array without elements has lost extents.
            return np.array(q.tolist(), np.float64).reshape(q.shape)
        return np.array(q, np.float64)
    except (TypeError, ValueError):
        raise wrong_type(op, "q", "a number or a sequence of them", q) from None


def _quantiles(
    op: str, a: object, shares: np.ndarray[Any, Any], axis: Axis, keepdims: bool, method: Any
) -> array:
    """The quantiles of all shares, whose axes come first."""
    if word(op, method, "method") not in _METHODS:
        raise ValueError(f"[{op}] The method must be one of {', '.join(_METHODS)}, not {method!r}.")
    rows, axes, value = _rows_together(op, a, axis, keepdims)
    if value.dtype is complex64:
        raise ValueError(f"[{op}] Complex numbers have no {op}s.")
    # Without shares, one of them gives the shape and the dtype.
    found = [_quantile(rows, float(share), method) for share in shares.reshape(-1)] or [_of_rank(rows, 0)]
    restored = [_restore(_with_nan(rows, one), value, axes, keepdims) for one in found]
    if shares.ndim == 0:
        return restored[0]
    together = narrowed(stack(restored), 0, 0, shares.size)
    return reshaped(together, (*shares.shape, *restored[0].shape))


def _quantile(rows: array, share: float, method: str) -> array:
    place = share * (rows.shape[-1] - 1)
    low, high = int(np.floor(place)), int(np.ceil(place))
    part = place - low
    if method == "nearest":
        low = high = int(np.round(place))
    elif method == "lower":
        high = low
    elif method == "higher":
        low = high
    elif method == "midpoint":
        part = 0.5 if low != high else 0.0
    below = _of_rank(rows, low)
    if low == high:
        return below
    above = _of_rank(rows, high)
    return add(below, multiply(subtract(above, below), part))


def percentile(
    a: array,
    /,
    q: float | Sequence[float] | array,
    axis: Axis = None,
    keepdims: bool = False,
    method: str = "linear",
    *,
    stream: StreamLike = None,
) -> array:
    """As `quantile`, with shares from 0 to 100.

    >>> mx.percentile(mx.array([1.0, 2.0, 3.0]), 50)
    array(2, dtype=float32)
    """
    if stream is not None:
        require_stream("percentile", stream)
    shares = _shares("percentile", q) / 100
    if not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError(f"[percentile] Percentages must be from 0 to 100, but they are {q!r}.")
    return _quantiles("percentile", a, shares, axis, keepdims, method)


# Binary search


def searchsorted(
    sorted_sequence: array,
    values: array,
    /,
    side: str = "left",
    *,
    sorter: array | None = None,
    stream: StreamLike = None,
) -> array:
    """Where (uint32) to insert each of `values` into an ascending 1-d array so that it stays ascending.

    With `sorter`, its elements in the order of these places are ascending, as those of `argsort` make them.
    `side` is "left", in front of equal elements, or "right", behind them. ValueError for another side or a
    sequence that is not 1-d.

    >>> mx.searchsorted(mx.array([1, 2, 3]), mx.array([2, 5]))
    array([1, 3], dtype=uint32)
    """
    if stream is not None:
        require_stream("searchsorted", stream)
    sequence = require_array("searchsorted", sorted_sequence)
    wanted = require_array("searchsorted", values)
    if sequence.ndim != 1:
        raise ValueError(
            f"[searchsorted] The sorted sequence must be 1-d, but it has {sequence.ndim} dimensions."
        )
    if word("searchsorted", side, "side") not in ("left", "right"):
        raise ValueError(f"[searchsorted] The side must be 'left' or 'right', not {side!r}.")
    if sorter is not None:
        sequence = take(sequence, require_array("searchsorted", sorter))
    length = sequence.shape[0]
    low = constant(0, int32, wanted.shape)
    high = constant(length, int32, wanted.shape)
    for _ in range(length.bit_length()):
        middle = floor_divide(add(low, high), 2)
        present = take(sequence, minimum(middle, length - 1))
        before = _is_before(present, wanted, side)
        going_on = less(low, high)
        low, high = (
            where(logical_and(going_on, before), add(middle, 1), low),
            where(logical_and(going_on, logical_not(before)), middle, high),
        )
    return cast(low, uint32)


def _is_before(present: array, wanted: array, side: str) -> array:
    """Whether an element stands before the place of a wanted value; NaN is the greatest."""
    if side == "left":
        smaller = less(present, wanted)
        return logical_or(smaller, logical_and(isnan(wanted), logical_not(isnan(present))))
    return logical_or(less_equal(present, wanted), isnan(wanted))
