"""Joining and cutting arrays: concatenate, stack, split, repeat, tile, roll, meshgrid; and pad."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from tarry.base.dtypes import promote
from tarry.base.shapes import Shape, normalize_axis
from tarry.base.shapes import broadcast_shapes as broadcast_all
from tarry.graph.array import array
from tarry.loops.poly import ZERO
from tarry.ops.arguments import arrays_of, flag, integer, integers, is_integer, one_or_more, word, wrong_type
from tarry.ops.build import build
from tarry.ops.elementwise import ArrayLike, as_array, cast, require_array
from tarry.ops.slices import narrowed, or_zeros, padded, reversed_along, slice_updated
from tarry.ops.structure import (
    Condition,
    Piece,
    Position,
    View,
    ViewSizes,
    batch_to_front,
    broadcast,
    reshaped,
)
from tarry.ops.views import broadcast_operand, flatten, fresh
from tarry.runtime.devices import StreamLike, require_stream


class Concatenate(View):
    """The inputs one after the other along `axis`; none of them is empty, unless all are."""

    name = "Concatenate"
    __slots__ = ("axis",)

    def __init__(self, axis: int) -> None:
        self.axis = axis
        super().__init__()

    def params(self) -> tuple[object, ...]:
        return (self.axis,)

    def pull(self, position: Position, sizes: ViewSizes) -> list[Piece]:
        axis, last = self.axis, len(sizes.inputs) - 1
        pieces: list[Piece] = []
        offset = ZERO
        for number, shape in enumerate(sizes.inputs):
            source = list(position)
            source[axis] = position[axis].shift(-offset)
            conditions = [] if number == last else [Condition(source[axis], high=shape[axis])]
            pieces.append(Piece(number, source, conditions))
            offset = offset + shape[axis]
        return pieces

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        starts = [0]
        for value in inputs:
            starts.append(starts[-1] + value.shape[self.axis])
        return [
            narrowed(cotangent, self.axis, starts[number], inputs[number].shape[self.axis])
            for number in wanted
        ]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        return joined([or_zeros(tangent, value) for tangent, value in zip(tangents, inputs)], self.axis)

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        moved = [batch_to_front(value, axis, size) for value, axis in zip(inputs, axes)]
        return joined(moved, self.axis + 1), 0


def joined(values: Sequence[array], axis: int) -> array:
    """Arrays of one dtype, and of one shape but for `axis`, one after the other."""
    kept = [value for value in values if value.shape[axis] > 0] or list(values[:1])
    if len(kept) == 1:
        return kept[0]
    shape = list(kept[0].shape)
    shape[axis] = sum([value.shape[axis] for value in kept])
    return build(Concatenate(axis), kept, tuple(shape), kept[0].dtype)


def _operands(op: str, arrays: Any) -> list[array]:
    """The arrays of a list or the rows of an array, in the dtype they meet in."""
    is_stack = isinstance(arrays, array) and arrays.ndim > 0
    if not is_stack and (not isinstance(arrays, Sequence) or isinstance(arrays, (str, bytes))):
        raise wrong_type(op, "arrays", "a list of arrays", arrays)
    values = [require_array(op, value) for value in arrays]
    if not values:
        raise ValueError(f"[{op}] No arrays were given.")
    dtype = values[0].dtype
    for value in values:
        dtype = promote(dtype, value.dtype)
    return [cast(value, dtype) for value in values]


def concatenate(arrays: list[array], /, axis: int | None = 0, *, stream: StreamLike = None) -> array:
    """The arrays one after the other along `axis`, in the dtype they promote to; None flattens them first.

    Errors: ValueError without arrays, or when their shapes differ elsewhere; IndexError for a bad axis;
    TypeError for what is no array.

    Example:
        >>> mx.concatenate([mx.array([1, 2]), mx.array([3])])
        array([1, 2, 3], dtype=int32)
    """
    if stream is not None:
        require_stream("concatenate", stream)
    values = _operands("concatenate", arrays)
    if axis is None:
        values, axis = [flatten(value) for value in values], 0
    shape = values[0].shape
    place = normalize_axis("concatenate", integer("concatenate", axis, "axis"), len(shape))
    for value in values:
        other = value.shape
        if len(other) != len(shape):
            raise ValueError(
                "[concatenate] All the input arrays must have the same number of dimensions. "
                f"However, got arrays with dimensions {len(shape)} and {len(other)}."
            )
        if other[:place] != shape[:place] or other[place + 1 :] != shape[place + 1 :]:
            raise ValueError(
                "[concatenate] All the input array dimensions must match exactly except for the "
                f"concatenation axis {place}. However, shapes {shape} and {other} were given."
            )
    return _own(joined(values, place))


concat = concatenate


def _own(result: array) -> array:
    return fresh(result, result)


def stack(arrays: list[array], /, axis: int | None = 0, *, stream: StreamLike = None) -> array:
    """Arrays of one shape along a new axis, in the dtype they promote to.

    Errors: ValueError without arrays or when their shapes differ; IndexError for a bad axis.

    Example:
        >>> mx.stack([mx.array([1, 2]), mx.array([3, 4])]).shape
        (2, 2)
    """
    if stream is not None:
        require_stream("stack", stream)
    values = _operands("stack", arrays)
    shape = values[0].shape
    for value in values:
        if value.shape != shape:
            raise ValueError(
                f"[stack] All arrays must have the same shape, but got shapes {shape} and {value.shape}."
            )
    place = normalize_axis("stack", 0 if axis is None else integer("stack", axis, "axis"), len(shape) + 1)
    extents = (*shape[:place], 1, *shape[place:])
    return _own(joined([reshaped(value, extents) for value in values], place))


def split(
    a: array, /, indices_or_sections: int | Sequence[int], axis: int = 0, *, stream: StreamLike = None
) -> list[array]:
    """The array cut along `axis` into equal parts, or before each of the given positions.

    Errors: ValueError when the number of parts is not positive or does not divide the axis.

    Example:
        >>> [part.tolist() for part in mx.split(mx.arange(5), [2, 4])]
        [[0, 1], [2, 3], [4]]
    """
    if stream is not None:
        require_stream("split", stream)
    a = require_array("split", a)
    place = normalize_axis("split", integer("split", axis, "axis"), a.ndim)
    extent = a.shape[place]
    if not is_integer(indices_or_sections):
        bounds = [0, *integers("split", indices_or_sections, "indices_or_sections"), extent]
        clipped = [max(bound + extent if bound < 0 else bound, 0) for bound in bounds]
        clipped = [min(bound, extent) for bound in clipped]
    else:
        count = integer("split", indices_or_sections, "indices_or_sections")
        if count <= 0:
            raise ValueError(f"[split] The number of sections must be positive, but it is {count}.")
        if extent % count:
            raise ValueError(
                f"[split] {count} sections of equal size do not fit axis {place} of shape {a.shape}."
            )
        clipped = [part * (extent // count) for part in range(count + 1)]
    return [
        fresh(narrowed(a, place, start, max(end - start, 0)), a) for start, end in pairwise(clipped)
    ]


def unstack(x: array, /, *, axis: int = 0, stream: StreamLike = None) -> tuple[array, ...]:
    """The arrays along an axis, without it.

    Example:
        >>> [row.tolist() for row in mx.unstack(mx.array([[1, 2], [3, 4]]))]
        [[1, 2], [3, 4]]
    """
    if stream is not None:
        require_stream("unstack", stream)
    x = require_array("unstack", x)
    place = normalize_axis("unstack", integer("unstack", axis, "axis"), x.ndim)
    shape = x.shape[:place] + x.shape[place + 1 :]
    return tuple([_own(reshaped(narrowed(x, place, k, 1), shape)) for k in range(x.shape[place])])


def repeat(array: array, /, repeats: int, axis: int | None = None, *, stream: StreamLike = None) -> array:
    """Each element `repeats` times along `axis`; None flattens the array first.

    Errors: ValueError for a negative number of repeats.

    Example:
        >>> mx.repeat(mx.array([1, 2]), 2)
        array([1, 1, 2, 2], dtype=int32)
    """
    if stream is not None:
        require_stream("repeat", stream)
    value = require_array("repeat", array)
    count = integer("repeat", repeats, "repeats")
    if count < 0:
        raise ValueError(f"[repeat] The number of repeats cannot be negative, but it is {count}.")
    if axis is None:
        value, axis = flatten(value), 0
    place = normalize_axis("repeat", integer("repeat", axis, "axis"), value.ndim)
    shape = value.shape
    apart = reshaped(value, (*shape[: place + 1], 1, *shape[place + 1 :]))
    apart = broadcast(apart, (*shape[: place + 1], count, *shape[place + 1 :]))
    return fresh(reshaped(apart, (*shape[:place], shape[place] * count, *shape[place + 1 :])), value)


def tile(a: array, reps: int | Sequence[int], /, *, stream: StreamLike = None) -> array:
    """The array repeated as a whole reps[d] times along axis d; `reps` belong to the last axes.

    Errors: ValueError for a negative number of repetitions.

    Example:
        >>> mx.tile(mx.array([1, 2]), 2)
        array([1, 2, 1, 2], dtype=int32)
    """
    if stream is not None:
        require_stream("tile", stream)
    a = require_array("tile", a)
    counts = list(one_or_more("tile", reps, "reps"))
    if any(count < 0 for count in counts):
        raise ValueError(f"[tile] The repetitions cannot be negative, but they are {tuple(counts)}.")
    rank = max(len(counts), a.ndim)
    counts = [1] * (rank - len(counts)) + counts
    shape = (1,) * (rank - a.ndim) + a.shape
    apart: list[int] = []
    repeated: list[int] = []
    for count, extent in zip(counts, shape):
        apart += [1, extent] if count != 1 else [extent]
        repeated += [count, extent] if count != 1 else [extent]
    tiled = broadcast(reshaped(a, tuple(apart)), tuple(repeated))
    return fresh(reshaped(tiled, tuple([count * extent for count, extent in zip(counts, shape)])), a)


def roll(
    a: array,
    /,
    shift: int | Sequence[int],
    axis: int | Sequence[int] | None = None,
    *,
    stream: StreamLike = None,
) -> array:
    """The elements moved on by `shift` along `axis`, those pushed over the end coming back at the start.

    None rolls the flattened array. Several shifts without an axis add up; a single one holds for all axes.

    Errors: ValueError for fewer shifts than axes.

    Example:
        >>> mx.roll(mx.arange(4), 1)
        array([3, 0, 1, 2], dtype=int32)
    """
    if stream is not None:
        require_stream("roll", stream)
    a = require_array("roll", a)
    shifts = one_or_more("roll", shift, "shift")
    if axis is None:
        return fresh(reshaped(_rolled(flatten(a), 0, sum(shifts)), a.shape), a)
    places = [normalize_axis("roll", place, a.ndim) for place in one_or_more("roll", axis, "axis")]
    if len(shifts) == 1:
        shifts = shifts * len(places)
    elif len(places) == 1:
        shifts = (sum(shifts),)
    if len(shifts) < len(places):
        raise ValueError(f"[roll] Each of the {len(places)} axes needs a shift, but got {len(shifts)}.")
    value = a
    for place in dict.fromkeys(places):
        # Shifts along one axis add up.
        amount = sum([step for other, step in zip(places, shifts) if other == place])
        value = _rolled(value, place, amount)
    return fresh(value, a)


def _rolled(value: array, axis: int, amount: int) -> array:
    extent = value.shape[axis]
    amount = amount % extent if extent else 0
    if amount == 0:
        return value
    tail = narrowed(value, axis, extent - amount, amount)
    return joined([tail, narrowed(value, axis, 0, extent - amount)], axis)


def meshgrid(
    *arrays: array, sparse: bool | None = False, indexing: str | None = "xy", stream: StreamLike = None
) -> tuple[array, ...]:
    """Coordinate arrays of a grid from the coordinates along each axis.

    With indexing "xy" the first two axes of the results are exchanged, as images have them; `sparse` leaves
    the extents of the other axes at 1.

    Errors: ValueError for another indexing.

    Example:
        >>> [g.shape for g in mx.meshgrid(mx.arange(2), mx.arange(3))]
        [(3, 2), (3, 2)]
    """
    if stream is not None:
        require_stream("meshgrid", stream)
    if word("meshgrid", indexing, "indexing") not in ("xy", "ij"):
        raise ValueError(f"[meshgrid] Valid values of indexing are 'xy' and 'ij', but got {indexing!r}.")
    flag("meshgrid", sparse, "sparse")
    values = [flatten(value) for value in arrays_of("meshgrid", arrays)]
    rank = len(values)
    order = list(range(rank))
    if indexing == "xy" and rank > 1:
        order[0], order[1] = 1, 0
    found = []
    for number, value in enumerate(values):
        shape = [1] * rank
        shape[order[number]] = value.size
        found.append(reshaped(value, tuple(shape)))
    if not sparse and rank:
        whole = broadcast_all("meshgrid", *[value.shape for value in found])
        found = [broadcast(value, whole) for value in found]
    return tuple([_own(value) for value in found])


# padding


def pad(
    a: array,
    /,
    pad_width: int | Sequence[int] | Sequence[Sequence[int]],
    mode: str = "constant",
    constant_values: ArrayLike = 0,
    *,
    stream: StreamLike = None,
) -> array:
    """The array with elements added before and after each axis.

    `pad_width` is one number for all sides, (before, after) for all axes, or such a pair for each axis.
    `mode` says what is added: "constant" `constant_values` (cast to the array's dtype), "edge" the outermost
    element, "reflect" the elements mirrored about it, "symmetric" mirrored with it repeated.

    Errors: ValueError for negative widths, another number of pairs than axes, or an unknown mode.

    Example:
        >>> mx.pad(mx.array([1, 2]), (1, 2))
        array([0, 1, 2, 0, 0], dtype=int32)
    """
    if stream is not None:
        require_stream("pad", stream)
    a = require_array("pad", a)
    pairs = _pad_pairs(pad_width, a.ndim)
    word("pad", mode, "mode")
    for axis, pair in enumerate(pairs):
        if min(pair) < 0:
            raise ValueError(f"[pad] Padding sizes must be non-negative, but axis {axis} has {pair}.")
    low, high = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    if mode == "constant" or (mode in _MIRRORS and a.size == 0):
        fill = as_array("pad", constant_values if mode == "constant" else 0)
        if fill.size == 1:
            return fresh(padded(a, reshaped(fill, ()), low, high), a)
        shape = tuple([sum(pair) + extent for pair, extent in zip(pairs, a.shape)])
        around = broadcast_operand("pad", cast(fill, a.dtype), shape)
        return fresh(slice_updated(around, a, low, [1] * a.ndim), a)
    if mode not in _MIRRORS:
        raise ValueError(f"[pad] Valid modes are constant, edge, reflect and symmetric, but got {mode!r}.")
    value = a
    for axis, (before, after) in enumerate(pairs):
        value = _mirrored(value, axis, before, after, mode)
    return fresh(value, a)


_MIRRORS = ("edge", "reflect", "symmetric")


def _pad_pairs(width: Any, rank: int) -> list[Shape]:
    if isinstance(width, (list, tuple)) and width and isinstance(width[0], (list, tuple)):
        pairs = [integers("pad", pair, "pad_width") for pair in width]
        for pair in pairs:
            if len(pair) != 2:
                raise TypeError(f"[pad] Expected pairs (before, after), but got {pair}.")
        if len(pairs) == 1:
            pairs = pairs * rank
        if len(pairs) != rank:
            raise ValueError(f"[pad] {len(pairs)} pairs were given for an array with {rank} dimensions.")
        return pairs
    sides = one_or_more("pad", width, "pad_width")
    if not sides:
        sides = (0,)
    if len(sides) > 2:
        raise TypeError(f"[pad] Expected one number or (before, after), but got {sides}.")
    return [(sides[0], sides[-1])] * rank


def _mirrored(value: array, axis: int, before: int, after: int, mode: str) -> array:
    """One axis continued at both ends by what is there; mirrors back and forth when little is there."""
    while before or after:
        extent = value.shape[axis]
        skip = 1 if mode == "reflect" and extent > 1 else 0
        most = extent - skip if mode != "edge" else max(before, after)
        left, right = min(before, most), min(after, most)
        parts = [value]
        if left:
            parts.insert(0, _continuation(value, axis, skip, left, mode))
        if right:
            parts.append(_continuation(value, axis, extent - skip - right, right, mode))
        value = joined(parts, axis)
        before, after = before - left, after - right
    return value


def _continuation(value: array, axis: int, start: int, count: int, mode: str) -> array:
    if mode == "edge":
        edge = narrowed(value, axis, 0 if start == 0 else value.shape[axis] - 1, 1)
        shape = list(value.shape)
        shape[axis] = count
        return broadcast(edge, tuple(shape))
    return reversed_along(narrowed(value, axis, start, count), (axis,))

