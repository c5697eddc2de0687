"""Slice, SliceUpdate and Pad: regular parts of an array, and their transposes.

Starts and unusual steps are run-time arguments: a loop over `x[i]` compiles once. What is structure is
whether an axis is taken whole, whether it runs backwards, and which sides are padded.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.base.dtypes import bool_
from tarry.base.shapes import Shape
from tarry.graph.array import array
from tarry.graph.operators import operators
from tarry.graph.primitive import Primitive
from tarry.loops.poly import ZERO, Affine, Poly
from tarry.loops.poly import constant as constant_poly
from tarry.ops.build import build
from tarry.ops.elementwise import cast, constant
from tarry.ops.structure import (
    Condition,
    Piece,
    Position,
    View,
    ViewSizes,
    batch_to_front,
    broadcast,
    move_axis,
    require_axis,
    reshaped,
    sum_axes,
)


class Region:
    """A regular part of an array: along each axis the positions start, start + step, ...

    steps      1, -1, or 0 for a step that is a run-time argument
    whole      whether the axis is taken from 0 to its end with step 1
    arguments  the start of every axis (0 where whole), then the steps of the axes of class 0, in order
    """

    __slots__ = ("arguments", "steps", "whole")

    def __init__(
        self, starts: Sequence[int], extents: Sequence[int], strides: Sequence[int], of: Shape
    ) -> None:
        first: list[int] = []
        classes: list[int] = []
        others: list[int] = []
        whole: list[bool] = []
        for start, extent, stride, available in zip(starts, extents, strides, of):
            # One element has no step, and none has no start: equal regions get equal keys.
            stride = stride if extent > 1 else 1
            start = start if extent > 0 else 0
            first.append(start)
            if stride in (1, -1):
                classes.append(stride)
            else:
                classes.append(0)
                others.append(stride)
            whole.append(start == 0 and stride == 1 and extent == available)
        self.steps = tuple(classes)
        self.whole = tuple(whole)
        self.arguments = (*first, *others)


def region_position(
    position: Position, steps: Sequence[int], whole: Sequence[bool], arguments: Sequence[Poly]
) -> list[Affine]:
    """The place in the array of a position in a region of it."""
    found: list[Affine] = []
    other = len(steps)
    for axis, place in enumerate(position):
        if whole[axis]:
            found.append(place)
            continue
        step = steps[axis]
        if step == 0:
            place = place.scale(arguments[other])
            other += 1
        elif step == -1:
            place = place.scale(constant_poly(-1))
        found.append(place.shift(arguments[axis]))
    return found


def region_strides(steps: Sequence[int], arguments: Sequence[int]) -> list[int]:
    """The step along every axis of a region."""
    strides: list[int] = []
    other = len(steps)
    for step in steps:
        if step == 0:
            strides.append(arguments[other])
            other += 1
        else:
            strides.append(step)
    return strides


class Slice(View):
    """The region of an array given by start and step along each axis; see `Region` for the parameters."""

    name = "Slice"
    __slots__ = ("steps", "whole")

    def __init__(self, steps: tuple[int, ...], whole: tuple[bool, ...], arguments: tuple[int, ...]) -> None:
        self.steps = steps
        self.whole = whole
        super().__init__(arguments)

    def params(self) -> tuple[object, ...]:
        return (self.steps, self.whole)

    def pull(self, position: Position, sizes: ViewSizes) -> list[Piece]:
        return [Piece(0, region_position(position, self.steps, self.whole, sizes.arguments))]

    @property
    def starts(self) -> tuple[int, ...]:
        return self.arguments[: len(self.steps)]

    @property
    def strides(self) -> list[int]:
        return region_strides(self.steps, self.arguments)

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        source, extents = inputs[0].shape, cotangent.shape
        if 0 in self.steps:
            zeros = constant(0, cotangent.dtype, source)
            return [slice_updated(zeros, cotangent, self.starts, self.strides)]
        backwards = [axis for axis, step in enumerate(self.steps) if step == -1]
        low = list(self.starts)
        for axis in backwards:
            low[axis] -= extents[axis] - 1
        high = [of - start - extent for of, start, extent in zip(source, low, extents)]
        return [padded(reversed_along(cotangent, backwards), constant(0, cotangent.dtype), low, high)]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        tangent = tangents[0]
        return None if tangent is None else sliced(tangent, self.starts, output.shape, self.strides)

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        batched = move_axis(inputs[0], require_axis(axes[0]), 0)
        return sliced(batched, (0, *self.starts), (size, *output.shape), (1, *self.strides)), 0


def sliced(value: array, starts: Sequence[int], extents: Shape, strides: Sequence[int]) -> array:
    """The elements starts[d] + strides[d] * k for k below extents[d]; all of them must exist."""
    region = Region(starts, extents, strides, value.shape)
    if all(region.whole):
        return value
    return build(Slice(region.steps, region.whole, region.arguments), (value,), tuple(extents), value.dtype)


def narrowed(value: array, axis: int, start: int, extent: int) -> array:
    """`extent` positions from `start` along one axis."""
    starts, extents = [0] * value.ndim, list(value.shape)
    starts[axis], extents[axis] = start, extent
    return sliced(value, starts, tuple(extents), [1] * value.ndim)


def reversed_along(value: array, axes: Sequence[int]) -> array:
    """`value` backwards along the axes."""
    starts, strides = [0] * value.ndim, [1] * value.ndim
    for axis in axes:
        starts[axis], strides[axis] = value.shape[axis] - 1, -1
    return sliced(value, starts, value.shape, strides)


class SliceUpdate(Primitive):
    """`base` with a region replaced by `update`, which has the region's shape and the base's dtype."""

    name = "SliceUpdate"
    updates = True
    __slots__ = ("steps", "whole")

    def __init__(self, steps: tuple[int, ...], whole: tuple[bool, ...], arguments: tuple[int, ...]) -> None:
        self.steps = steps
        self.whole = whole
        super().__init__(arguments)

    def params(self) -> tuple[object, ...]:
        return (self.steps, self.whole)

    def target(self, position: Position, arguments: Sequence[Poly]) -> list[Affine]:
        """Where in the base the update's element at `position` goes."""
        return region_position(position, self.steps, self.whole, arguments)

    @property
    def starts(self) -> tuple[int, ...]:
        return self.arguments[: len(self.steps)]

    @property
    def strides(self) -> list[int]:
        return region_strides(self.steps, self.arguments)

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        extents = inputs[1].shape
        found: list[array | None] = []
        for number in wanted:
            if number == 0:
                zeros = constant(0, cotangent.dtype, extents)
                found.append(slice_updated(cotangent, zeros, self.starts, self.strides))
            else:
                found.append(sliced(cotangent, self.starts, extents, self.strides))
        return found

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        base, update = [or_zeros(tangent, value) for tangent, value in zip(tangents, inputs)]
        return slice_updated(base, update, self.starts, self.strides)

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        base, update = [batch_to_front(value, axis, size) for value, axis in zip(inputs, axes)]
        return slice_updated(base, update, (0, *self.starts), (1, *self.strides)), 0


def or_zeros(tangent: array | None, like: array) -> array:
    """The tangent, or zeros where there is none."""
    return constant(0, like.dtype, like.shape) if tangent is None else tangent


def slice_updated(base: array, update: array, starts: Sequence[int], strides: Sequence[int]) -> array:
    """`base` with the region of the update's shape replaced; casts the update to the base's dtype."""
    if update.size == 0:
        return base
    update = cast(update, base.dtype)
    region = Region(starts, update.shape, strides, base.shape)
    if all(region.whole):
        return update
    primitive = SliceUpdate(region.steps, region.whole, region.arguments)
    return build(primitive, (base, update), base.shape, base.dtype)


class Pad(View):
    """Surrounds the first input with the second, a 0-d array.

    `sides` says for each axis whether anything is added before and after it; `arguments` are the numbers of
    elements added before the axes that have some.
    """

    name = "Pad"
    __slots__ = ("sides",)

    def __init__(self, sides: tuple[tuple[bool, bool], ...], arguments: tuple[int, ...]) -> None:
        self.sides = sides
        super().__init__(arguments)

    def params(self) -> tuple[object, ...]:
        return (self.sides,)

    def pull(self, position: Position, sizes: ViewSizes) -> list[Piece]:
        source: list[Affine] = []
        conditions: list[Condition] = []
        count = 0
        for axis, place in enumerate(position):
            before, after = self.sides[axis]
            if before:
                place = place.shift(-sizes.arguments[count])
                count += 1
                conditions.append(Condition(place, low=ZERO))
            if after:
                conditions.append(Condition(place, high=sizes.inputs[0][axis]))
            source.append(place)
        return [Piece(0, source, conditions), Piece(1, ())]

    @property
    def low(self) -> list[int]:
        """The number of elements added before every axis."""
        remaining = iter(self.arguments)
        return [next(remaining) if before else 0 for before, _ in self.sides]

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        low, extents = self.low, inputs[0].shape
        ones = [1] * len(extents)
        found: list[array | None] = []
        for number in wanted:
            if number == 0:
                found.append(sliced(cotangent, low, extents, ones))
            else:
                inner = constant(0, cotangent.dtype, extents)
                around = slice_updated(cotangent, inner, low, ones)
                found.append(reshaped(sum_axes(around, tuple(range(len(extents)))), ()))
        return found

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        value, fill = [or_zeros(tangent, primal) for tangent, primal in zip(tangents, inputs)]
        return padded(value, fill, self.low, self._high(inputs[0].shape, output.shape))

    def _high(self, source: Shape, target: Shape) -> list[int]:
        return [to - of - low for to, of, low in zip(target, source, self.low)]

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        value, fill = inputs
        low, high = [0, *self.low], [0, *self._high(_without(value.shape, axes[0]), output.shape)]
        if axes[1] is None:
            return padded(batch_to_front(value, axes[0], size), fill, low, high), 0
        batched = padded(batch_to_front(value, axes[0], size), constant(0, value.dtype), low, high)
        inside = padded(
            constant(True, bool_, (size, *_without(value.shape, axes[0]))), constant(False, bool_), low, high
        )
        fills = reshaped(fill, (size, *[1] * output.ndim))
        chosen: array = operators.where(inside, batched, broadcast(fills, batched.shape))
        return chosen, 0


def _without(shape: Shape, axis: int | None) -> Shape:
    return shape if axis is None else shape[:axis] + shape[axis + 1 :]


def padded(value: array, fill: array, low: Sequence[int], high: Sequence[int]) -> array:
    """`value` with low[d] copies of `fill` before and high[d] after it along axis d."""
    sides = tuple([(before > 0, after > 0) for before, after in zip(low, high)])
    if not any(before or after for before, after in sides):
        return value
    shape = tuple([before + extent + after for before, extent, after in zip(low, value.shape, high)])
    arguments = tuple([before for before in low if before > 0])
    return build(Pad(sides, arguments), (value, cast(fill, value.dtype)), shape, value.dtype)
