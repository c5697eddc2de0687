"""Lowering of scans: running results along one axis.

    for each row, or strip of columns (parallel)
      carry = identity                           in scratch memory: a vector, or one element
      for each place along the axis, in order
        for each column (vector)
          carry = combine(carry, element); store it

Where the axis is the last one there are no columns, and each row is a chain of scalars. What may be reordered
along a row is lowered by `lower_row_scan`.
"""

from __future__ import annotations

from tarry.base.dtypes import complex64, float32
from tarry.compiler.access import linear_place
from tarry.compiler.emission import Emission
from tarry.compiler.group import Group
from tarry.compiler.lowered import LoweredKernel, Work
from tarry.compiler.schedule import MOST_STRIP
from tarry.compiler.strips import open_strips
from tarry.compiler.trace import own_cost
from tarry.loops.builder import linear
from tarry.loops.ir import BufferParam, Coefficient, Instr, Linear, Loop
from tarry.loops.poly import ONE, constant, product
from tarry.ops.scans import Scan

ONCE = Coefficient(1)


class ScanLowering:
    """The state of lowering one scan. Its loops are the dimensions of the value."""

    def __init__(self, name: str, group: Group) -> None:
        self.group = group
        self.value = group.value
        primitive = self.value.primitive
        assert isinstance(primitive, Scan)
        self.scan = primitive
        self.emission = Emission(name)
        self.builder = self.emission.builder
        self.axis = self._loop_axis()
        last = len(group.space) - 1
        self.columns: int | None = last if group.space and self.axis != last else None
        self.rows = [a for a in range(len(group.space)) if a not in (self.axis, self.columns)]

    def lower(self) -> LoweredKernel:
        builder = self.builder
        extent_of_carry = constant(MOST_STRIP if self.columns is not None else 1)
        # Complex numbers are carried as their parts.
        parts = [float32, float32] if self.value.dtype is complex64 else [self.value.dtype]
        carry = [self.emission.scratch(dtype, extent_of_carry) for dtype in parts]
        opened, first, width = self._open_parallel()
        start = builder.const(self.scan.identity(self.value.dtype), self.value.dtype)
        if width is None:
            self._put(carry, Linear(()), start)
        else:
            loop = builder.open_loop(width, vector=True)
            self._put(carry, linear((loop.var, ONCE)), start)
            builder.close_loop(loop)
        if self.axis is not None:
            extent = self.emission.coefficient("length", self.group.space[self.axis])
            loop = builder.open_loop(extent)
            opened.append(loop)
            self.emission.factors[self.axis] = loop.var
        place = Linear(())
        if width is not None and first is not None and self.columns is not None:
            loop = builder.open_loop(width, vector=True)
            opened.append(loop)
            place = linear((loop.var, ONCE))
            self.emission.factors[self.columns] = builder.index(linear((first, ONCE), (loop.var, ONCE)))
        self._step(carry, place)
        for loop in reversed(opened):
            builder.close_loop(loop)
        return LoweredKernel(builder.finish(), self.emission.bindings, self._work())

    def _loop_axis(self) -> int | None:
        """The loop of the scanned axis; none when its extent is 1."""
        if self.value.shape[self.scan.axis] == ONE:
            return None
        return sum(extent != ONE for extent in self.value.shape[: self.scan.axis])

    def _open_parallel(self) -> tuple[list[Loop], Instr | None, Instr | None]:
        """The loop over rows and strips; the first column of a strip and its width, if there are columns."""
        builder, space = self.builder, self.group.space
        first: Instr | None = None
        width: Instr | None = None
        if self.columns is None and not self.rows:
            return [], None, None
        others = product([space[axis] for axis in self.rows])
        if self.columns is None:
            loop = builder.open_loop(self.emission.coefficient("rows", others), parallel=True)
            self._split(builder.index(linear((loop.var, ONCE))))
            return [loop], None, None
        columns, strip, strips = open_strips(self.emission, space[self.columns])
        count = strips
        if self.rows:
            count = builder.mul(count, self.emission.size("others", others))
        loop = builder.open_loop(count, parallel=True)
        number = builder.index(linear((loop.var, ONCE)))
        if self.rows:
            self._split(builder.apply("floordiv", number, strips))
            number = builder.apply("mod", number, strips)
        first = builder.mul(number, strip)
        width = builder.apply("min", builder.sub(columns, first), strip)
        return [loop], first, width

    def _split(self, rest: Instr) -> None:
        """Take the number of a row apart into the loops of the other axes."""
        for axis in reversed(self.rows[1:]):
            extent = self.emission.size(("split", axis), self.group.space[axis])
            self.emission.factors[axis] = self.builder.apply("mod", rest, extent)
            rest = self.builder.apply("floordiv", rest, extent)
        if self.rows:
            self.emission.factors[self.rows[0]] = rest

    def _put(self, carry: list[BufferParam], place: Linear, value: Instr) -> None:
        if len(carry) == 1:
            self.builder.store(carry[0], place, value)
            return
        for buffer, part in zip(carry, ("real", "imag")):
            self.builder.store(buffer, place, self.builder.apply(part, value))

    def _get(self, carry: list[BufferParam], place: Linear) -> Instr:
        parts = [self.builder.load(buffer, place) for buffer in carry]
        return parts[0] if len(parts) == 1 else self.builder.apply("complex", *parts)

    def _step(self, carry: list[BufferParam], place: Linear) -> None:
        builder = self.builder
        for instance in self.group.trace.instances:
            self.emission.emit(instance)
        position = self.group.position(self.value.shape, list(range(len(self.group.space))))
        elements: list[Instr] = []
        for source in self.value.inputs:
            known = self.emission.known(self.group.trace.find(source, position))
            assert known is not None
            elements.append(known)
        result = self.scan.combine(builder, self._get(carry, place), elements)
        self._put(carry, place, result)
        buffer = self.emission.buffer(self.value, "out")
        at = self.emission.position(("buffer", self.value.number), linear_place(self.value, position))
        builder.store(buffer, at, result)

    def _work(self) -> Work:
        space = self.group.space
        cost = 2 + sum(own_cost(i.value) for i in self.group.trace.instances if not i.loaded)
        length = ONE if self.axis is None else space[self.axis]
        others = product([space[axis] for axis in self.rows])
        if self.columns is not None:
            columns = space[self.columns]
            return Work(others, length * columns, cost, False, ((columns, 0),))
        return Work(others, length, 4 * cost, False) if self.rows else Work(None, length, cost, False)


def lower_scan(name: str, group: Group) -> LoweredKernel:
    """The loop nest of a scan."""
    return ScanLowering(name, group).lower()
