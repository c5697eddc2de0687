"""Finding values: isin, interp, unravel_index."""

from __future__ import annotations

from collections.abc import Sequence

from tarry.base.dtypes import float32, float64, int32, int64, promote
from tarry.base.shapes import size_of
from tarry.graph.array import array
from tarry.graph.primitive import Scalar
from tarry.ops.arguments import flag, real_number
from tarry.ops.arithmetic import add, divide, floor_divide, multiply, remainder, subtract
from tarry.ops.comparison import equal, greater, less, logical_not
from tarry.ops.elementwise import ArrayLike, as_array, cast
from tarry.ops.generators import checked_shape, iota
from tarry.ops.indexed import gathered
from tarry.ops.joining import concatenate
from tarry.ops.reductions import any
from tarry.ops.selection import maximum, minimum, where
from tarry.ops.slices import narrowed
from tarry.ops.sorting import argsort, searchsorted, sort
from tarry.ops.structure import reshaped
from tarry.ops.views import flatten
from tarry.runtime.devices import StreamLike, require_stream

# So many elements are compared with each one; more are sorted first.
_FEW = 16


def taken_at(vector: array, places: array) -> array:
    """The elements of a vector at places that are known to be in range."""
    axes = tuple(range(places.ndim))
    return gathered(vector, [places], (-1,), axes, places.shape)


def isin(
    element: ArrayLike,
    test_elements: ArrayLike,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    stream: StreamLike = None,
) -> array:
    """Where elements are among the test elements; where they are not with `invert`.

    >>> mx.isin(mx.array([1, 2, 3]), mx.array([3, 1]))
    array([True, False, True], dtype=bool)
    """
    if stream is not None:
        require_stream("isin", stream)
    flag("isin", assume_unique, "assume_unique")
    flag("isin", invert, "invert")
    value, tests = as_array("isin", element), flatten(as_array("isin", test_elements))
    dtype = promote(value.dtype, tests.dtype)
    value, tests = cast(value, dtype), cast(tests, dtype)
    if tests.size <= _FEW or dtype.kind == "c":
        found = any(equal(reshaped(value, (*value.shape, 1)), tests), -1)
    else:
        ordered = sort(tests)
        place = minimum(cast(searchsorted(ordered, value), int32), tests.size - 1)
        found = equal(taken_at(ordered, place), value)
    return logical_not(found) if invert else found


# Interpolation


def _floating_vector(role: str, value: ArrayLike) -> array:
    vector = as_array("interp", value)
    if vector.ndim != 1:
        raise ValueError(f"[interp] Expected {role} in a vector, but its shape is {vector.shape}.")
    return vector


def interp(
    x: ArrayLike,
    xp: ArrayLike,
    fp: ArrayLike,
    left: Scalar | array | None = None,
    right: Scalar | array | None = None,
    period: float | None = None,
    *,
    stream: StreamLike = None,
) -> array:
    """The piecewise linear function through the points (xp, fp), whose xp ascend, at x.

    Outside it is `left` and `right`, by default the first and last of fp; with a `period` it is periodic.
    ValueError for no points, different numbers of xp and fp, or a period of 0. Differentiable in x and fp.

    >>> mx.interp(mx.array([0.5, 9.0]), mx.array([0.0, 1.0]), mx.array([0.0, 10.0]))
    array([5, 10], dtype=float32)
    """
    if stream is not None:
        require_stream("interp", stream)
    at, places, heights = as_array("interp", x), _floating_vector("xp", xp), _floating_vector("fp", fp)
    if places.shape != heights.shape or places.shape[0] == 0:
        raise ValueError(f"[interp] Expected as many xp as fp, not {places.size} and {heights.size}.")
    dtype = float64 if float64 in (at.dtype, places.dtype, heights.dtype) else float32
    at, places = cast(at, dtype), cast(places, dtype)
    heights = cast(heights, dtype) if heights.dtype.kind != "c" else heights
    if period is not None:
        at, places, heights = _unrolled(at, places, heights, real_number("interp", period, "period"))
        left = right = None
    count = places.shape[0]
    upper = maximum(minimum(cast(searchsorted(places, at, "right"), int32), count - 1), 1 if count > 1 else 0)
    lower = maximum(subtract(upper, 1), 0)
    x0, x1 = taken_at(places, lower), taken_at(places, upper)
    y0, y1 = taken_at(heights, lower), taken_at(heights, upper)
    width = subtract(x1, x0)
    share = divide(subtract(at, x0), where(equal(width, 0), 1, width))
    inside = add(y0, multiply(subtract(y1, y0), share))
    ends = [_end(heights, 0), _end(heights, count - 1)]
    below = ends[0] if left is None else left
    above = ends[1] if right is None else right
    first, last = _end(places, 0), _end(places, count - 1)
    # The last point itself is exact; nan is neither below nor above.
    result = where(equal(at, last), ends[1], inside)
    result = where(less(at, first), below, result)
    return where(greater(at, last), above, result)


def _end(vector: array, place: int) -> array:
    return reshaped(narrowed(vector, 0, place, 1), ())


def _unrolled(at: array, places: array, heights: array, period: float) -> tuple[array, array, array]:
    """Points of one period in ascending order, with the neighbouring ones on both sides."""
    if period == 0:
        raise ValueError("[interp] The period must not be 0.")
    period = -period if period < 0 else period
    at, places = remainder(at, period), remainder(places, period)
    order = argsort(places)
    places, heights = taken_at(places, order), taken_at(heights, order)
    count = places.shape[0]
    around = concatenate([subtract(narrowed(places, 0, count - 1, 1), period), places], 0)
    around = concatenate([around, add(narrowed(places, 0, 0, 1), period)], 0)
    edges = [narrowed(heights, 0, count - 1, 1), heights, narrowed(heights, 0, 0, 1)]
    return at, around, concatenate(edges, 0)


def unravel_index(
    indices: ArrayLike, shape: Sequence[int], *, stream: StreamLike = None
) -> tuple[array, ...]:
    """For each index into the flattened array of a shape, its position along every axis.

    Negative indices count from the end. ValueError unless they are integers; IndexError at evaluation for an
    index out of range.

    >>> mx.unravel_index(mx.array([1, 5]), (2, 3))
    (array([0, 1], dtype=int32), array([1, 2], dtype=int32))
    """
    if stream is not None:
        require_stream("unravel_index", stream)
    index = as_array("unravel_index", indices)
    if index.dtype.kind not in "ui":
        raise ValueError(f"[unravel_index] The indices must be integers, not {index.dtype.name}.")
    extents = checked_shape("unravel_index", shape)
    size = size_of(extents)
    # Reading the number of every place checks the indices.
    numbers = iota((size,), 0, int32 if size < 2**31 else int64)
    read = gathered(numbers, [index], (-1,), tuple(range(index.ndim)), index.shape)
    index = cast(read, index.dtype)
    positions = []
    for extent in reversed(extents):
        positions.append(remainder(index, extent))
        index = floor_divide(index, extent)
    return tuple(positions[::-1])
