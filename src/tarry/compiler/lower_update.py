"""Lowering of updates in place: slices assigned, and scatters.

The buffer already holds the base. A slice update stores each element at its place. A scatter runs the axes
that name a position directly in parallel, and the axes of the index arrays, along which positions may
repeat, in order: with repeated indices the result is always the same. For every index a whole row, or a strip
of columns, is updated at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.compiler.access import Position
from tarry.compiler.emission import Emission
from tarry.compiler.group import Group
from tarry.compiler.lowered import LoweredKernel, Work
from tarry.compiler.program import Value
from tarry.compiler.strips import open_strips
from tarry.loops.builder import linear
from tarry.loops.ir import Coefficient, Instr, Linear, Loop, LoopVar
from tarry.loops.poly import NOWHERE, ONE, Affine, product
from tarry.ops.indexed import Scatter
from tarry.ops.slices import SliceUpdate

_COMBINE = {"add": "add", "prod": "mul", "max": "max", "min": "min"}


class UpdateLowering:
    """The state of lowering one update. Its loops are the dimensions of the updates."""

    def __init__(self, name: str, group: Group) -> None:
        self.group = group
        self.value = group.value
        self.emission = Emission(name)
        self.builder = self.emission.builder
        primitive = self.value.primitive
        assert isinstance(primitive, (Scatter, SliceUpdate))
        self.axes = self._axes()
        ordered = self._ordered(primitive)
        self.parallel = [axis for axis in range(len(group.space)) if axis not in ordered]
        self.ordered = ordered

    def lower(self) -> LoweredKernel:
        opened = self._open()
        for instance in self.group.trace.instances:
            self.emission.emit(instance)
        update = self.emission.known(self.group.trace.instances[self._update_number()])
        assert update is not None
        primitive = self.value.primitive
        buffer = self.emission.buffer(self.value, "update")
        if isinstance(primitive, SliceUpdate):
            place = self._slice_place(primitive)
            position = self.emission.position(("update", self.value.number), place)
            self.builder.store(buffer, position, update)
        else:
            assert isinstance(primitive, Scatter)
            position, good = self._scatter_position(primitive)
            if primitive.mode != "set":
                before = self.builder.load(buffer, position, good)
                update = self.builder.apply(self._operation(primitive), before, update)
            self.builder.store(buffer, position, update, good)
        for loop in reversed(opened):
            self.builder.close_loop(loop)
        return LoweredKernel(self.builder.finish(), self.emission.bindings, self._work())

    def _operation(self, scatter: Scatter) -> str:
        if self.value.dtype.kind == "b":
            return {"add": "or", "prod": "and", "max": "or", "min": "and"}[scatter.mode]
        return _COMBINE[scatter.mode]

    def _update_number(self) -> int:
        trace = self.group.trace
        return trace.instances.index(trace.find(self.value.inputs[1], self._position()))

    # loops

    def _axes(self) -> list[int | None]:
        axes: list[int | None] = []
        count = 0
        for extent in self.value.inputs[1].shape:
            axes.append(None if extent == ONE else count)
            count += extent != ONE
        return axes

    def _position(self) -> Position:
        return self.group.position(self.value.inputs[1].shape, list(range(len(self.group.space))))

    def _ordered(self, primitive: Scatter | SliceUpdate) -> list[int]:
        if isinstance(primitive, SliceUpdate):
            return []
        direct = {number for number in primitive.source_map if number >= 0}
        return [
            axis
            for d in primitive.index_axes
            if d not in direct and (axis := self.axes[d]) is not None
        ]

    def _open(self) -> list[Loop]:
        space = self.group.space
        opened: list[Loop] = []
        rows, vector = self.parallel[:-1], self.parallel[-1:]
        width: Instr | None = None
        first: Instr | None = None
        if rows:
            extent = product([space[axis] for axis in rows])
            loop = self.builder.open_loop(self.emission.coefficient("rows", extent), parallel=True)
            opened.append(loop)
            self._split(loop.var, rows)
        elif vector and self.ordered:
            columns, strip, count = open_strips(self.emission, space[vector[0]])
            opened.append(self.builder.open_loop(count, parallel=True))
            first = self.builder.mul(self.builder.index(linear((opened[0].var, Coefficient(1)))), strip)
            width = self.builder.apply("min", self.builder.sub(columns, first), strip)
        for axis in self.ordered:
            loop = self.builder.open_loop(self.emission.coefficient(("ordered", axis), space[axis]))
            opened.append(loop)
            self.emission.factors[axis] = loop.var
        for axis in vector:
            extent_of = width or self.emission.coefficient("vector", space[axis])
            loop = self.builder.open_loop(extent_of, parallel=not opened, vector=True)
            opened.append(loop)
            self.emission.factors[axis] = loop.var
            if first is not None:
                place = linear((first, Coefficient(1)), (loop.var, Coefficient(1)))
                self.emission.factors[axis] = self.builder.index(place)
        return opened

    def _split(self, var: LoopVar, axes: Sequence[int]) -> None:
        if len(axes) == 1:
            self.emission.factors[axes[0]] = var
            return
        rest = self.builder.index(linear((var, Coefficient(1))))
        for axis in reversed(axes[1:]):
            extent = self.emission.size(("split", axis), self.group.space[axis])
            self.emission.factors[axis] = self.builder.apply("mod", rest, extent)
            rest = self.builder.apply("floordiv", rest, extent)
        self.emission.factors[axes[0]] = rest

    # positions

    def _slice_place(self, update: SliceUpdate) -> Affine:
        at = [run.place for run in self._position()]
        places = update.target(at, self.value.arguments)
        return self._linear(places)

    def _linear(self, places: Sequence[Affine]) -> Affine:
        total = NOWHERE
        for place, stride in zip(places, self.value.layout()):
            total = total + place.scale(stride)
        return total

    def _scatter_position(self, scatter: Scatter) -> tuple[Linear, Instr | None]:
        position = self._position()
        shape = self.value.shape
        direct = NOWHERE
        terms: list[tuple[LoopVar | Instr | None, Coefficient]] = []
        good: Instr | None = None
        for d, (number, stride) in enumerate(zip(scatter.source_map, self.value.layout())):
            if number >= 0:
                direct = direct + position[number].place.scale(stride)
                continue
            index = self._index(scatter, -number - 1)
            safe, held = self.emission.checked_index(self.value, index, shape[d], None)
            good = held if good is None else self.builder.logical_and(good, held)
            terms.append((safe, self.emission.coefficient(("scatter", d), stride)))
        place = self.emission.position(("update", self.value.number), direct)
        return linear(*place.terms, *terms), good

    def _index(self, scatter: Scatter, number: int) -> Instr:
        source: Value = self.value.inputs[2 + number]
        position = tuple([self._position()[axis] for axis in scatter.index_axes])
        found = self.emission.known(self.group.trace.find(source, position))
        assert found is not None
        return found

    def _work(self) -> Work:
        space = self.group.space
        inner = product([space[axis] for axis in self.ordered])
        rows = self.parallel[:-1]
        if rows:
            extent = product([space[axis] for axis in rows])
            return Work(extent, inner * space[self.parallel[-1]], 4, False)
        if self.parallel and self.ordered:
            columns = space[self.parallel[0]]
            return Work(ONE, inner * columns, 4, False, ((columns, 0),))
        if self.parallel:
            return Work(space[self.parallel[-1]], inner, 4, True)
        return Work(None, inner, 4, False)


def lower_update(name: str, group: Group) -> LoweredKernel:
    """The loop nest of a slice update or a scatter; the buffer already holds the base."""
    return UpdateLowering(name, group).lower()


