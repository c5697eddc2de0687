"""Functions that read and write at index arrays: take, take_along_axis, put_along_axis, slice, slice_update.

Negative indices count once from the end; indices out of range raise IndexError, those in arrays at
evaluation.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from tarry.base.dtypes import int32
from tarry.base.errors import type_name
from tarry.base.shapes import Shape, broadcast_shapes, normalize_axes, normalize_axis
from tarry.graph.array import array, wrap
from tarry.ops.arguments import INTEGER, integer, integers, is_integer, operand
from tarry.ops.arithmetic import add
from tarry.ops.elementwise import ArrayLike, cast, require_array
from tarry.ops.generators import iota
from tarry.ops.indexed import gathered, scattered
from tarry.ops.slices import narrowed, slice_updated, sliced
from tarry.ops.structure import broadcast, reshaped
from tarry.ops.views import flatten, fresh
from tarry.runtime.devices import StreamLike, require_stream


def _integer_indices(op: str, indices: Any) -> array:
    """The operand of index values. TypeError unless it is an array, ValueError unless of integers."""
    if not isinstance(indices, array):
        raise TypeError(f"[{op}] Expected indices in an array, but got {type_name(indices)}.")
    if indices.dtype.kind not in "ui":
        raise ValueError(f"[{op}] Indices must be integers, but their dtype is {indices.dtype.name}.")
    return indices


def take(
    a: array, /, indices: int | array, axis: int | None = None, *, stream: StreamLike = None
) -> array:
    """The elements at `indices` along `axis`, whose place the dimensions of `indices` take.

    None takes from the flattened array; an integer drops the axis.

    Errors: ValueError for indices that are not integers, or a non-empty take from an empty axis.

    Example:
        >>> mx.take(mx.array([10, 20, 30]), mx.array([2, 0]))
        array([30, 10], dtype=int32)
    """
    if stream is not None:
        require_stream("take", stream)
    a = require_array("take", a)
    source, place = flatten(a), 0
    if axis is not None:
        source, place = a, normalize_axis("take", integer("take", axis, "axis"), a.ndim)
    shape = source.shape
    before, after = shape[:place], shape[place + 1 :]
    if is_integer(indices) and not isinstance(indices, array):
        number = operator.index(indices)
        position = number + shape[place] if number < 0 else number
        if not 0 <= position < shape[place]:
            raise IndexError(f"[take] Index {number} is out of bounds for an axis of size {shape[place]}.")
        return fresh(reshaped(narrowed(source, place, position, 1), before + after), a)
    index = _integer_indices("take", indices)
    if shape[place] == 0 and index.size > 0:
        raise ValueError("[take] Cannot do a non-empty take from an empty axis.")
    count = index.ndim
    source_map = (*range(place), -1, *range(place + count, place + count + len(after)))
    index_axes = tuple(range(place, place + count))
    return gathered(source, [index], source_map, index_axes, before + index.shape + after)


def _along_axis(op: str, a: array, indices: array, axis: int | None) -> tuple[array, array, int]:
    """Operand and indices brought to one shape except along the axis, and the axis."""
    index = _integer_indices(op, indices)
    if axis is None:
        return flatten(a), flatten(index), 0
    place = normalize_axis(op, integer(op, axis, "axis"), a.ndim)
    if index.ndim != a.ndim:
        raise ValueError(
            f"[{op}] Indices of dimension {index.ndim} do not match an array of dimension {a.ndim}."
        )
    for number, (extent, of) in enumerate(zip(index.shape, a.shape)):
        if number != place and extent != of and 1 not in (extent, of):
            raise ValueError(
                f"[{op}] Indices of shape {index.shape} and an array of shape {a.shape} cannot be broadcast "
                f"except along axis {place}."
            )
    pairs = list(zip(index.shape, a.shape))
    common = [extent if of == 1 else of for extent, of in pairs]
    index = broadcast(index, (*common[:place], index.shape[place], *common[place + 1 :]))
    return broadcast(a, (*common[:place], a.shape[place], *common[place + 1 :])), index, place


def _along_map(rank: int, place: int) -> tuple[int, ...]:
    return tuple([-1 if axis == place else axis for axis in range(rank)])


def pulled_along_axis(value: array, places: array, axis: int, cotangent: array) -> array | None:
    """The cotangent of `value` from that of `take_along_axis(value, places, axis)`."""
    taken = take_along_axis(value, places, axis)
    gather = taken._node.primitive
    assert gather is not None
    return gather.vjp([value, wrap(taken._node.inputs[1])], taken, cotangent, [0])[0]


def take_along_axis(
    a: array, /, indices: array, axis: int | None = -1, *, stream: StreamLike = None
) -> array:
    """For each position of `indices` the element with that index along `axis` and the position elsewhere.

    Other dimensions are broadcast; None flattens both.

    Errors: ValueError when the numbers of dimensions differ, or the indices are not integers.

    Example:
        >>> mx.take_along_axis(mx.array([[1, 2], [3, 4]]), mx.array([[1], [0]]), 1).tolist()
        [[2], [3]]
    """
    if stream is not None:
        require_stream("take_along_axis", stream)
    a = require_array("take_along_axis", a)
    source, index, place = _along_axis("take_along_axis", a, indices, axis)
    if source.shape[place] == 0 and index.size > 0:
        raise ValueError("[take_along_axis] Cannot do a non-empty take from an empty axis.")
    axes = tuple(range(index.ndim))
    return gathered(source, [index], _along_map(index.ndim, place), axes, index.shape)


def put_along_axis(
    a: array, /, indices: array, values: ArrayLike, axis: int | None = None, *, stream: StreamLike = None
) -> array:
    """The array with `values`, cast to its dtype, at the positions that `take_along_axis` reads.

    Values and indices are broadcast together. The last one wins where a position occurs twice.

    Example:
        >>> mx.put_along_axis(mx.zeros((1, 3)), mx.array([[1]]), mx.array(5), 1).tolist()
        [[0.0, 5.0, 0.0]]
    """
    if stream is not None:
        require_stream("put_along_axis", stream)
    a = require_array("put_along_axis", a)
    base, index, place = _along_axis("put_along_axis", a, indices, axis)
    updates = cast(operand("put_along_axis", values, "values"), a.dtype)
    if axis is None and updates.size == index.size:
        updates = reshaped(updates, index.shape)
    shape = broadcast_shapes("put_along_axis", index.shape, updates.shape)
    if len(shape) != index.ndim or any(
        axis != place and extent != of for axis, (extent, of) in enumerate(zip(shape, base.shape))
    ):
        raise ValueError(
            f"[put_along_axis] Values of shape {updates.shape} do not fit indices of shape {index.shape}."
        )
    index, updates = broadcast(index, shape), broadcast(updates, shape)
    axes = tuple(range(index.ndim))
    result = scattered(base, updates, [index], _along_map(index.ndim, place), axes, "set")
    return fresh(reshaped(result, a.shape) if axis is None else result, a)


def _moving_region(
    op: str, a: array, start_indices: array, axes: Sequence[int], extents: Shape
) -> tuple[list[array], tuple[int, ...], tuple[int, ...]]:
    """Index arrays, source map and index axes of a region whose starts along `axes` are computed."""
    starts = _integer_indices(op, start_indices)
    places = normalize_axes(op, integers(op, axes, "axes", INTEGER), a.ndim)
    if starts.size != len(places) or starts.ndim > 1:
        raise ValueError(
            f"[{op}] Number of starting indices {starts.size} does not match number of axes {len(places)}."
        )
    starts = cast(reshaped(starts, (len(places),)), int32)
    ordered = sorted(places)
    shape = tuple([extents[axis] for axis in ordered])
    indices = []
    for number, axis in enumerate(ordered):
        start = narrowed(starts, 0, places.index(axis), 1)
        start = broadcast(reshaped(start, (1,) * len(shape)), shape)
        indices.append(add(start, iota(shape, number, int32)))
    source_map = tuple([-1 - ordered.index(axis) if axis in ordered else axis for axis in range(a.ndim)])
    return indices, source_map, tuple(ordered)


def slice(
    a: array,
    /,
    start_indices: array,
    axes: Sequence[int],
    slice_size: Sequence[int],
    *,
    stream: StreamLike = None,
) -> array:
    """The part of shape `slice_size` that begins at `start_indices` along `axes`, at 0 elsewhere.

    The starts are values of an array, known at evaluation only.

    Errors: ValueError when counts or sizes do not fit the array; IndexError at evaluation for a region that
    leaves the array.

    Example:
        >>> mx.slice(mx.arange(5), mx.array([1]), (0,), (2,))
        array([1, 2], dtype=int32)
    """
    if stream is not None:
        require_stream("slice", stream)
    a = require_array("slice", a)
    extents = integers("slice", slice_size, "slice_size")
    if len(extents) != a.ndim or any(not 0 <= size <= of for size, of in zip(extents, a.shape)):
        raise ValueError(f"[slice] Invalid slice size {extents} for an array with shape {a.shape}.")
    indices, source_map, index_axes = _moving_region("slice", a, start_indices, axes, extents)
    fixed = [of if axis in index_axes else size for axis, (size, of) in enumerate(zip(extents, a.shape))]
    source = sliced(a, [0] * a.ndim, tuple(fixed), [1] * a.ndim)
    if not indices:
        return fresh(source, a)
    return gathered(source, indices, source_map, index_axes, extents)


def slice_update(
    a: array,
    /,
    update: ArrayLike,
    start_indices: array,
    axes: Sequence[int],
    *,
    stream: StreamLike = None,
) -> array:
    """The array with `update`, cast to its dtype, written from `start_indices` along `axes`.

    Along the other axes the update is broadcast to the array's extent if it has extent 1 there, and written
    from 0 otherwise.

    Example:
        >>> mx.slice_update(mx.zeros(4), mx.array([1, 2]), mx.array([1]), (0,))
        array([0, 1, 2, 0], dtype=float32)
    """
    if stream is not None:
        require_stream("slice_update", stream)
    a = require_array("slice_update", a)
    value = cast(operand("slice_update", update, "update"), a.dtype)
    if value.ndim > a.ndim:
        raise ValueError(
            f"[slice_update] The update has {value.ndim} dimensions, more than the array's {a.ndim}."
        )
    given = (1,) * (a.ndim - value.ndim) + value.shape
    places = normalize_axes("slice_update", integers("slice_update", axes, "axes", INTEGER), a.ndim)
    extents = tuple(
        [
            of if size == 1 and axis not in places else size
            for axis, (size, of) in enumerate(zip(given, a.shape))
        ]
    )
    if any(size > of for size, of in zip(extents, a.shape)):
        raise ValueError(f"[slice_update] An update of shape {value.shape} does not fit shape {a.shape}.")
    value = broadcast(value, extents)
    indices, source_map, index_axes = _moving_region("slice_update", a, start_indices, axes, extents)
    ones = [1] * a.ndim
    if not indices:
        return fresh(slice_updated(a, value, [0] * a.ndim, ones), a)
    fixed = tuple(
        [of if axis in index_axes else size for axis, (size, of) in enumerate(zip(extents, a.shape))]
    )
    base = sliced(a, [0] * a.ndim, fixed, ones)
    changed = scattered(base, value, indices, source_map, index_axes, "set")
    return fresh(slice_updated(a, changed, [0] * a.ndim, ones), a)
