"""Gather and Scatter: reading and writing at positions given by index arrays.

`source_map` says for every axis of the indexed array where the position along it comes from: n >= 0 is the
position along axis n of the gathered values, -(k + 1) the value of index array k. `index_axes` are the axes
of the gathered values, in ascending order, that the index arrays run along; all index arrays have that shape.
Negative index values count once from the end; others out of range raise IndexError at evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.base.dtypes import bool_, int32
from tarry.base.errors import UserCall, user_call
from tarry.base.shapes import Shape, contiguous_strides, size_of
from tarry.graph.array import array
from tarry.graph.operators import operators
from tarry.graph.primitive import Primitive
from tarry.ops.arithmetic import add
from tarry.ops.build import build_checked
from tarry.ops.comparison import equal, less
from tarry.ops.elementwise import cast, constant
from tarry.ops.generators import iota
from tarry.ops.selection import where
from tarry.ops.slices import or_zeros
from tarry.ops.structure import batch_to_front, broadcast, move_axis, reshaped

SourceMap = tuple[int, ...]


class Gather(Primitive):
    """Values of the first input at positions given by the others; see the top of this file."""

    name = "Gather"
    barrier = False
    moves = True
    __slots__ = ("index_axes", "source_map")

    def __init__(self, source_map: SourceMap, index_axes: tuple[int, ...]) -> None:
        self.source_map = source_map
        self.index_axes = index_axes
        super().__init__()

    def params(self) -> tuple[object, ...]:
        return (self.source_map, self.index_axes)

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        found: list[array | None] = []
        for number in wanted:
            if number != 0:
                found.append(None)
                continue
            axis = self._picking_axis(cotangent.shape)
            if axis is not None:
                found.append(_put_one(cotangent, inputs[1], axis, inputs[0].shape))
                continue
            zeros = constant(0, cotangent.dtype, inputs[0].shape)
            found.append(
                scattered(
                    zeros, cotangent, inputs[1:], self.source_map, self.index_axes, "add", output._node.call
                )
            )
        return found

    def _picking_axis(self, shape: Shape) -> int | None:
        """The axis along which one element of every line is taken, if that is all the gather does."""
        if self.index_axes != tuple(range(len(shape))) or len(self.source_map) != len(shape):
            return None
        picked = [axis for axis, number in enumerate(self.source_map) if number != axis]
        if len(picked) != 1 or self.source_map[picked[0]] >= 0 or shape[picked[0]] != 1:
            return None
        return picked[0]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        if tangents[0] is None:
            return None
        maps = self.source_map, self.index_axes
        return gathered(tangents[0], inputs[1:], *maps, output.shape, output._node.call)

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        source, source_map = inputs[0], shifted(self.source_map)
        if axes[0] is not None:
            source = move_axis(source, axes[0], 0)
            source_map = (0, *source_map)
        indices, index_axes = _batched_indices(inputs[1:], axes[1:], self.index_axes, size)
        shape = (size, *output.shape)
        return gathered(source, indices, source_map, index_axes, shape, output._node.call), 0


def _put_one(value: array, index: array, axis: int, shape: Shape) -> array:
    """Zeros of the given shape, but for one element of every line along the axis.

    What a scatter would do, as an elementwise operation: it fuses with what is around it.
    """
    extent = shape[axis]
    index = cast(index, int32)
    index = where(less(index, 0), add(index, extent), index)
    here = equal(iota(shape, axis, int32), broadcast(index, shape))
    return where(here, broadcast(value, shape), constant(0, value.dtype, shape))


def shifted(source_map: SourceMap) -> SourceMap:
    """The map after an axis was put before all axes of the gathered values."""
    return tuple([entry + 1 if entry >= 0 else entry for entry in source_map])


def _batched_indices(
    indices: Sequence[array], axes: Sequence[int | None], index_axes: tuple[int, ...], size: int
) -> tuple[list[array], tuple[int, ...]]:
    moved = tuple([axis + 1 for axis in index_axes])
    if all(axis is None for axis in axes):
        return list(indices), moved
    return [batch_to_front(index, axis, size) for index, axis in zip(indices, axes)], (0, *moved)


def gathered(
    source: array,
    indices: Sequence[array],
    source_map: SourceMap,
    index_axes: tuple[int, ...],
    shape: Shape,
    call: UserCall | None = None,
) -> array:
    """The values of `source` that the maps say, under `shape`. Errors name `call`, if given."""
    primitive = Gather(source_map, index_axes)
    return build_checked(primitive, (source, *indices), shape, source.dtype, call or _call())


def _call() -> UserCall:
    """What the user called; a rule of a transform is nothing that users know."""
    found = user_call()
    if found.name in ("vjp", "jvp", "vmap"):
        found.name = "index"
    return found


class Scatter(Primitive):
    """The first input with the second combined in at the positions a Gather with these maps reads.

    `mode` is set, add, max, min or prod. Positions that occur several times are combined in row-major order
    of the index axes; the last one wins for set. The updates have the base's dtype.
    """

    name = "Scatter"
    updates = True
    __slots__ = ("index_axes", "mode", "source_map")

    def __init__(self, source_map: SourceMap, index_axes: tuple[int, ...], mode: str) -> None:
        self.source_map = source_map
        self.index_axes = index_axes
        self.mode = mode
        super().__init__()

    def params(self) -> tuple[object, ...]:
        return (self.source_map, self.index_axes, self.mode)

    def operand_axes(self, number: int) -> Sequence[int] | None:
        return self.index_axes if number > 1 else None

    def gather(self, source: array, indices: Sequence[array], shape: Shape) -> array:
        """The values of `source` at the positions this scatter writes."""
        return gathered(source, indices, self.source_map, self.index_axes, shape)

    def scatter(self, base: array, updates: array, indices: Sequence[array], mode: str) -> array:
        """Another scatter to the same positions."""
        return scattered(base, updates, indices, self.source_map, self.index_axes, mode)

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        base, updates, indices = inputs[0], inputs[1], inputs[2:]
        found: list[array | None] = []
        for number in wanted:
            if number > 1:
                found.append(None)
            elif self.mode == "set" and number == 0:
                zeros = constant(0, cotangent.dtype, updates.shape)
                found.append(self.scatter(cotangent, zeros, indices, "set"))
            elif self.mode == "set":
                values = self.gather(cotangent, indices, updates.shape)
                zeros = constant(0, cotangent.dtype, updates.shape)
                found.append(operators.where(self._winners(base, updates, indices), values, zeros))
            elif self.mode == "add":
                found.append(cotangent if number == 0 else self.gather(cotangent, indices, updates.shape))
            else:
                spread = cotangent if number == 0 else self.gather(cotangent, indices, updates.shape)
                found.append(operators.multiply(spread, self._partial(number, inputs, output)))
        return found

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        indices = inputs[2:]
        base, updates = or_zeros(tangents[0], inputs[0]), or_zeros(tangents[1], inputs[1])
        if self.mode in ("set", "add"):
            return self.scatter(base, updates, indices, self.mode)
        base = operators.multiply(base, self._partial(0, inputs, output))
        updates = operators.multiply(updates, self._partial(1, inputs, output))
        return self.scatter(base, updates, indices, "add")

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        base, updates = batch_to_front(inputs[0], axes[0], size), batch_to_front(inputs[1], axes[1], size)
        indices, index_axes = _batched_indices(inputs[2:], axes[2:], self.index_axes, size)
        maps = (0, *shifted(self.source_map)), index_axes
        return scattered(base, updates, indices, *maps, self.mode, output._node.call), 0

    def _winners(self, base: array, updates: array, indices: Sequence[array]) -> array:
        """Which updates are the last to be written to their position, in the updates' shape.

        Every index tuple writes its number to its position; those that read their own number back won.
        """
        shape = indices[0].shape if indices else ()
        # The board has the axes that indices choose from, and those that run along with an axis of them.
        kept = [axis for axis, entry in enumerate(self.source_map) if entry < 0 or entry in self.index_axes]
        extents = [base.shape[axis] for axis in kept]
        entries = [self.source_map[axis] for axis in kept]
        source_map = tuple([entry if entry < 0 else self.index_axes.index(entry) for entry in entries])
        index_axes = tuple(range(len(shape)))
        numbers = constant(0, int32, shape)
        for axis, stride in enumerate(contiguous_strides(shape)):
            places = operators.arange(shape[axis], dtype=int32)
            along = reshaped(places, (1,) * axis + (shape[axis],) + (1,) * (len(shape) - axis - 1))
            numbers = operators.add(numbers, broadcast(operators.multiply(along, stride), shape))
        empty = constant(-1, int32, tuple(extents))
        board = scattered(empty, numbers, indices, source_map, index_axes, "set")
        won = operators.equal(gathered(board, indices, source_map, index_axes, shape), numbers)
        spread = [1] * updates.ndim
        for axis, extent in zip(self.index_axes, shape):
            spread[axis] = extent
        return broadcast(reshaped(won, tuple(spread)), updates.shape)

    def _partial(self, number: int, inputs: Sequence[array], output: array) -> array:
        """The derivative of the output by the base (0) or by the updates (1) for max, min and prod."""
        if self.mode == "prod":
            return self._product_partial(number, inputs)
        base, updates, indices = inputs[0], inputs[1], inputs[2:]
        # Ties share the derivative evenly.
        base_hit = cast(operators.equal(base, output), output.dtype)
        update_hit = operators.equal(updates, self.gather(output, indices, updates.shape))
        update_hit = cast(update_hit, output.dtype)
        count = self.scatter(base_hit, update_hit, indices, "add")
        if number == 0:
            share: array = operators.divide(base_hit, count)
            return cast(share, output.dtype)
        share = operators.divide(update_hit, self.gather(count, indices, updates.shape))
        return cast(share, output.dtype)

    def _product_partial(self, number: int, inputs: Sequence[array]) -> array:
        base, updates, indices = inputs[0], inputs[1], inputs[2:]
        if number == 0:
            ones = constant(1, base.dtype, base.shape)
            return self.scatter(ones, updates, indices, "prod")
        # The product of all other factors: divide by the factor itself with zeros counted apart.
        zero = operators.equal(updates, 0)
        factors = operators.where(zero, 1, updates)
        base_zero = operators.equal(base, 0)
        product = self.scatter(operators.where(base_zero, 1, base), factors, indices, "prod")
        zeros = self.scatter(cast(base_zero, int32), cast(zero, int32), indices, "add")
        others = operators.divide(self.gather(product, indices, updates.shape), factors)
        remaining = operators.subtract(self.gather(zeros, indices, updates.shape), cast(zero, int32))
        chosen: array = operators.where(operators.greater(remaining, 0), 0, others)
        return cast(chosen, updates.dtype)


def scattered(
    base: array,
    updates: array,
    indices: Sequence[array],
    source_map: SourceMap,
    index_axes: tuple[int, ...],
    mode: str,
    call: UserCall | None = None,
) -> array:
    """`base` with the updates combined in, cast to its dtype. Errors name `call`, if given."""
    if size_of(updates.shape) == 0:
        return base
    if base.dtype is bool_ and mode in ("add", "max"):
        # On booleans both are "or"; the maximum needs no arithmetic.
        mode = "max"
    primitive = Scatter(source_map, index_axes, mode)
    inputs = (base, cast(updates, base.dtype), *indices)
    return build_checked(primitive, inputs, base.shape, base.dtype, call or _call())
