"""The shapes of arrays: reshape, transpose, broadcast, flip and the like. None of them moves data.

Every function gives a new handle, also where nothing changes, so that in-place updates of the result leave
the operand alone. Axes may be negative; one out of range is an IndexError, one given twice a ValueError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

from tarry.base.shapes import (
    Shape,
    normalize_axes,
    normalize_axis,
    size_of,
)
from tarry.base.shapes import broadcast_shapes as broadcast_all
from tarry.graph.array import array, wrap
from tarry.ops.arguments import arrays_of, integer, integers, one_or_more, operand
from tarry.ops.elementwise import ArrayLike, as_array, require_array
from tarry.ops.slices import reversed_along
from tarry.ops.structure import broadcast, permute, reshaped
from tarry.runtime.devices import StreamLike, require_stream


def fresh(result: array, operand: array) -> array:
    """`result` as a handle of its own."""
    return wrap(result._node) if result is operand else result


def complete_shape(op: str, shape: Any, size: int) -> Shape:
    """The shape with a -1 in it replaced. ValueError when it does not hold `size` elements."""
    extents = list(integers(op, shape, "shape"))
    if extents.count(-1) > 1:
        raise ValueError(f"[{op}] Only one dimension can be inferred, but the shape is {tuple(extents)}.")
    if -1 in extents:
        place = extents.index(-1)
        rest = size_of(extents[:place] + extents[place + 1 :])
        if rest == 0:
            raise ValueError(f"[{op}] Cannot infer a dimension of the empty shape {tuple(extents)}.")
        extents[place] = size // rest
    if size_of(extents) != size or any(extent < 0 for extent in extents):
        raise ValueError(f"[{op}] Cannot reshape array of size {size} into shape {tuple(shape)}.")
    return tuple(extents)


def reshape(
    a: array, /, shape: Sequence[int], *, copy: bool | None = None, stream: StreamLike = None
) -> array:
    """The elements of `a`, in row-major order, in another shape; one extent may be -1 to be inferred.

    Results never share later changes with their operands, so `copy` makes no difference.

    Errors: ValueError when the sizes differ or the inferred extent is not determined; TypeError for a shape
    that is no sequence of integers.

    Example:
        >>> mx.reshape(mx.arange(6), (2, -1)).shape
        (2, 3)
    """
    if stream is not None:
        require_stream("reshape", stream)
    a = require_array("reshape", a)
    return fresh(reshaped(a, complete_shape("reshape", shape, a.size)), a)


def flatten(a: array, /, start_axis: int = 0, end_axis: int = -1, *, stream: StreamLike = None) -> array:
    """The axes from `start_axis` to `end_axis`, both included, as one. A 0-d array becomes 1-d.

    Axes beyond the ends count as the ends. Errors: ValueError when the first lies after the last.

    Example:
        >>> mx.flatten(mx.zeros((2, 3, 4)), 1).shape
        (2, 12)
    """
    if stream is not None:
        require_stream("flatten", stream)
    a = require_array("flatten", a)
    rank = a.ndim
    if rank == 0:
        return reshaped(a, (1,))
    start = integer("flatten", start_axis, "start_axis")
    end = integer("flatten", end_axis, "end_axis")
    start, end = start + rank if start < 0 else start, end + rank if end < 0 else end
    start, end = max(start, 0), min(end, rank - 1)
    if end < start:
        raise ValueError(
            f"[flatten] start_axis must be less than or equal to end_axis, but they are {start_axis} and "
            f"{end_axis} for an array with {rank} dimensions."
        )
    shape = (*a.shape[:start], size_of(a.shape[start : end + 1]), *a.shape[end + 1 :])
    return fresh(reshaped(a, shape), a)


def unflatten(a: array, /, axis: int, shape: Sequence[int], *, stream: StreamLike = None) -> array:
    """One axis as several, of the extents in `shape`; one of them may be -1 to be inferred.

    Errors: ValueError when the extents do not multiply to the axis' or there are none.

    Example:
        >>> mx.unflatten(mx.zeros((2, 12)), 1, (3, -1)).shape
        (2, 3, 4)
    """
    if stream is not None:
        require_stream("unflatten", stream)
    a = require_array("unflatten", a)
    if len(integers("unflatten", shape, "shape")) == 0:
        raise ValueError("[unflatten] The shape to unflatten to cannot be empty.")
    place = normalize_axis("unflatten", integer("unflatten", axis, "axis"), a.ndim)
    extents = complete_shape("unflatten", shape, a.shape[place])
    return fresh(reshaped(a, (*a.shape[:place], *extents, *a.shape[place + 1 :])), a)


def transpose(a: array, /, axes: Sequence[int] | None = None, *, stream: StreamLike = None) -> array:
    """The array with its axes in another order: axis k of the result is axis axes[k]. None reverses them.

    Errors: ValueError unless every axis is named once.

    Example:
        >>> mx.transpose(mx.zeros((2, 3, 4)), (2, 0, 1)).shape
        (4, 2, 3)
    """
    if stream is not None:
        require_stream("transpose", stream)
    a = require_array("transpose", a)
    if axes is None:
        return fresh(permute(a, tuple(range(len(a._node.shape) - 1, -1, -1))), a)
    order = integers("transpose", axes, "axes")
    if len(order) != a.ndim:
        raise ValueError(f"[transpose] Received {len(order)} axes for an array with {a.ndim} dimensions.")
    return fresh(permute(a, normalize_axes("transpose", order, a.ndim)), a)


permute_dims = transpose


def matrix_transpose(a: array, /, *, stream: StreamLike = None) -> array:
    """The array with its last two axes exchanged. ValueError for fewer than two dimensions.

    Example:
        >>> mx.matrix_transpose(mx.zeros((2, 3, 4))).shape
        (2, 4, 3)
    """
    if stream is not None:
        require_stream("matrix_transpose", stream)
    a = require_array("matrix_transpose", a)
    if a.ndim < 2:
        raise ValueError(f"[matrix_transpose] Expected at least 2 dimensions, but the array has {a.ndim}.")
    return swapaxes(a, -1, -2)


def swapaxes(a: array, /, axis1: int, axis2: int, *, stream: StreamLike = None) -> array:
    """The array with two axes exchanged.

    Example:
        >>> mx.swapaxes(mx.zeros((2, 3, 4)), 0, 2).shape
        (4, 3, 2)
    """
    if stream is not None:
        require_stream("swapaxes", stream)
    a = require_array("swapaxes", a)
    first = normalize_axis("swapaxes", integer("swapaxes", axis1, "axis1"), a.ndim)
    second = normalize_axis("swapaxes", integer("swapaxes", axis2, "axis2"), a.ndim)
    order = list(range(a.ndim))
    order[first], order[second] = second, first
    return fresh(permute(a, tuple(order)), a)


def _places(axes: Any, role: str, rank: int) -> Shape:
    """The axes to move or their places, counted from the front."""
    if not isinstance(axes, (list, tuple)):
        return (normalize_axis("moveaxis", integer("moveaxis", axes, role), rank),)
    return normalize_axes("moveaxis", integers("moveaxis", axes, role), rank)


def moveaxis(
    a: array,
    /,
    source: int | Sequence[int],
    destination: int | Sequence[int],
    *,
    stream: StreamLike = None,
) -> array:
    """The array with axis `source` at the place `destination`, the others in order; or several axes.

    Errors: ValueError for an axis or a place given twice, or as many axes as places are not given.

    Example:
        >>> mx.moveaxis(mx.zeros((2, 3, 4)), 0, -1).shape
        (3, 4, 2)
    """
    if stream is not None:
        require_stream("moveaxis", stream)
    a = require_array("moveaxis", a)
    starts = _places(source, "source", a.ndim)
    ends = _places(destination, "destination", a.ndim)
    if len(starts) != len(ends):
        raise ValueError(f"[moveaxis] {len(starts)} axes need as many places, but got {len(ends)}.")
    order = [axis for axis in range(a.ndim) if axis not in starts]
    for end, start in sorted(zip(ends, starts)):
        order.insert(end, start)
    return fresh(permute(a, tuple(order)), a)


def squeeze(a: array, /, axis: int | Sequence[int] | None = None, *, stream: StreamLike = None) -> array:
    """The array without the given dimensions of extent 1; None drops all of them.

    Errors: ValueError for an axis of another extent.

    Example:
        >>> mx.squeeze(mx.zeros((1, 3, 1)), 0).shape
        (3, 1)
    """
    if stream is not None:
        require_stream("squeeze", stream)
    a = require_array("squeeze", a)
    if axis is None:
        dropped: Shape = tuple([place for place, extent in enumerate(a.shape) if extent == 1])
    else:
        dropped = normalize_axes("squeeze", one_or_more("squeeze", axis, "axis"), a.ndim)
    for place in dropped:
        if a.shape[place] != 1:
            raise ValueError(
                f"[squeeze] Cannot squeeze axis {place} with size {a.shape[place]} which is not equal to 1."
            )
    return fresh(reshaped(a, tuple([e for place, e in enumerate(a.shape) if place not in dropped])), a)


def expand_dims(a: array, /, axis: int | Sequence[int] = 0, *, stream: StreamLike = None) -> array:
    """The array with new dimensions of extent 1 at the places `axis` of the result.

    Example:
        >>> mx.expand_dims(mx.zeros((2, 3)), (0, -1)).shape
        (1, 2, 3, 1)
    """
    if stream is not None:
        require_stream("expand_dims", stream)
    a = require_array("expand_dims", a)
    listed = one_or_more("expand_dims", axis, "axis")
    places = normalize_axes("expand_dims", listed, a.ndim + len(listed))
    extents = iter(a.shape)
    shape = [1 if place in places else next(extents) for place in range(a.ndim + len(places))]
    return fresh(reshaped(a, tuple(shape)), a)


def broadcast_to(a: ArrayLike, /, shape: Sequence[int], *, stream: StreamLike = None) -> array:
    """`a` repeated along new leading dimensions and those of extent 1, to `shape`.

    Errors: ValueError when the shapes do not fit or an extent is negative.

    Example:
        >>> mx.broadcast_to(mx.array([1, 2]), (3, 2)).shape
        (3, 2)
    """
    if stream is not None:
        require_stream("broadcast_to", stream)
    operand = as_array("broadcast_to", a)
    target = integers("broadcast_to", shape, "shape")
    return fresh(broadcast_operand("broadcast_to", operand, target), operand)


def broadcast_operand(op: str, value: array, shape: Shape) -> array:
    """`value` broadcast to `shape`. ValueError when it does not fit."""
    if any(extent < 0 for extent in shape):
        raise ValueError(f"[{op}] Negative dimensions are not allowed, but the shape is {shape}.")
    missing = len(shape) - value.ndim
    fits = missing >= 0 and all(
        of in (1, to) for of, to in zip(value.shape, shape[missing:])
    )
    if not fits:
        raise ValueError(f"[{op}] Cannot broadcast array of shape {value.shape} into shape {shape}.")
    return broadcast(value, shape)


def broadcast_arrays(*arrays: array, stream: StreamLike = None) -> list[array]:
    """The arrays, all broadcast to one shape.

    Example:
        >>> [a.shape for a in mx.broadcast_arrays(mx.zeros((3, 1)), mx.zeros(2))]
        [(3, 2), (3, 2)]
    """
    if stream is not None:
        require_stream("broadcast_arrays", stream)
    given = arrays[0] if len(arrays) == 1 and isinstance(arrays[0], (list, tuple)) else arrays
    operands = arrays_of("broadcast_arrays", given)
    if not operands:
        return []
    shape = broadcast_all("broadcast_arrays", *[a.shape for a in operands])
    return [fresh(broadcast(a, shape), a) for a in operands]


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that all shapes broadcast to. ValueError when there is none, or no shape is given.

    Example:
        >>> mx.broadcast_shapes((1, 2), (3, 1))
        (3, 2)
    """
    if not shapes:
        raise ValueError("[broadcast_shapes] Must provide at least one shape.")
    listed = [integers("broadcast_shapes", shape, "shape") for shape in shapes]
    return broadcast_all("broadcast_shapes", *listed)


def flip(a: array, /, axis: int | Sequence[int] | None = None, *, stream: StreamLike = None) -> array:
    """The array backwards along the given axes; None stands for all.

    Example:
        >>> mx.flip(mx.array([1, 2, 3]))
        array([3, 2, 1], dtype=int32)
    """
    if stream is not None:
        require_stream("flip", stream)
    a = require_array("flip", a)
    if axis is None:
        places = tuple(range(a.ndim))
    else:
        places = tuple(
            {normalize_axis("flip", place, a.ndim) for place in one_or_more("flip", axis, "axis")}
        )
    return fresh(reversed_along(a, places), a)


def _at_least(arrays: Sequence[array], op: str, rank: int) -> Any:
    given = arrays[0] if len(arrays) == 1 and isinstance(arrays[0], (list, tuple)) else arrays
    found = []
    for value in arrays_of(op, given):
        extents = value.shape
        if len(extents) < rank:
            # One new dimension before a vector; a matrix gets its third at the end.
            before = (1,) if len(extents) < 2 and rank > 1 else ()
            extents = before + extents
            extents = extents + (1,) * (rank - len(extents))
        found.append(fresh(reshaped(value, extents), value))
    return found[0] if len(found) == 1 and given is arrays else found


@overload
def atleast_1d(a: array, /, *, stream: StreamLike = None) -> array: ...
@overload
def atleast_1d(*arys: array, stream: StreamLike = None) -> list[array]: ...
def atleast_1d(*arys: array, stream: StreamLike = None) -> array | list[array]:
    """The arrays with at least one dimension: one array, or a list for several.

    Example:
        >>> mx.atleast_1d(mx.array(5)).shape
        (1,)
    """
    if stream is not None:
        require_stream("atleast_1d", stream)
    found: array | list[array] = _at_least(arys, "atleast_1d", 1)
    return found


@overload
def atleast_2d(a: array, /, *, stream: StreamLike = None) -> array: ...
@overload
def atleast_2d(*arys: array, stream: StreamLike = None) -> list[array]: ...
def atleast_2d(*arys: array, stream: StreamLike = None) -> array | list[array]:
    """The arrays with at least two dimensions, a vector as a row: one array, or a list for several.

    Example:
        >>> mx.atleast_2d(mx.zeros(5)).shape
        (1, 5)
    """
    if stream is not None:
        require_stream("atleast_2d", stream)
    found: array | list[array] = _at_least(arys, "atleast_2d", 2)
    return found


@overload
def atleast_3d(a: array, /, *, stream: StreamLike = None) -> array: ...
@overload
def atleast_3d(*arys: array, stream: StreamLike = None) -> list[array]: ...
def atleast_3d(*arys: array, stream: StreamLike = None) -> array | list[array]:
    """The arrays with at least three dimensions, (n,) as (1, n, 1) and (m, n) as (m, n, 1).

    Example:
        >>> mx.atleast_3d(mx.zeros(5)).shape
        (1, 5, 1)
    """
    if stream is not None:
        require_stream("atleast_3d", stream)
    found: array | list[array] = _at_least(arys, "atleast_3d", 3)
    return found


def positive(a: array, /, *, stream: StreamLike = None) -> array:
    """`a` itself, as a new handle.

    Example:
        >>> mx.positive(mx.array(3))
        array(3, dtype=int32)
    """
    if stream is not None:
        require_stream("positive", stream)
    return wrap(operand("positive", a, "a")._node)
