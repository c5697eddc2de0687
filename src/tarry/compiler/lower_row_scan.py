"""Lowering of scans along the last axis, by vectors and on all threads.

    for each part of each row (parallel)           totals, if rows are cut into parts
      for each run of LANES elements
        for each lane (vector)                     combine(lane's total, element)
      the part's total = the lanes' totals, combined

    for each part of each row (parallel)           the scan
      carry = the totals of the parts before, combined
      for each block of the part
        for each element (vector)                  into scratch memory
        for distance 1, 2, 4, ... below WINDOW
          for each element (vector)                combine(the one at that distance before it, element)
        for each run of WINDOW elements
          for each of them (vector)                combine(carry of its lane, element); becomes its carry
        for each element (vector)                  store it
        all lanes carry the last result

After the distances each element stands for the WINDOW elements that end with it (Hillis and Steele 1986), so
the runs only have to be chained. Before a block there are identities, which makes its first windows shorter.
Parts are cut by sizes alone. Elements of short rows, and integers of 32 bits and more, whose chains are
quick, are taken one by one.
"""

from __future__ import annotations

from tarry.base.dtypes import int64
from tarry.compiler.access import linear_place
from tarry.compiler.emission import Emission
from tarry.compiler.group import Group
from tarry.compiler.lowered import LoweredKernel, Work
from tarry.compiler.program import Value
from tarry.compiler.schedule import PARTS
from tarry.compiler.strips import open_parts
from tarry.compiler.trace import own_cost
from tarry.loops.builder import linear
from tarry.loops.ir import BufferParam, Coefficient, Instr, Linear
from tarry.loops.poly import ONE, constant, product
from tarry.ops.scans import Scan

ONCE = Coefficient(1)
# A run fills an unrolled vector loop; a block stays in the first cache.
WINDOW = 32
BLOCK = 1024
LANES = 64
# Rows shorter than this are not worth the blocks.
SHORT_ROW = 32


def fits_row_scan(group: Group) -> bool:
    """Whether a scan runs along the last axis, and may be reordered.

    Factors out of their order could overflow, and recurrences have no totals.
    """
    value, scan = group.value, group.value.primitive
    assert isinstance(scan, Scan)
    last = scan.axis == len(value.shape) - 1 and bool(group.space) and value.shape[-1] != ONE
    return last and scan.kind != "recurrence" and not (scan.kind == "prod" and value.dtype.kind in "fc")


def lower_row_scan(name: str, group: Group) -> tuple[list[LoweredKernel], Value]:
    """The loop nests of a scan, and the value they share: the totals of parts."""
    value = group.value
    totals = Value(value.number, value.primitive, value.inputs, (constant(PARTS),), value.dtype)
    kernels = [
        _TotalsLowering(f"{name}_totals", group, totals).lower(),
        _RowScanLowering(name, group, totals).lower(),
    ]
    return kernels, totals


class _PartLowering:
    """What both kernels share: the loop over parts of rows, and the elements of the part at hand."""

    def __init__(self, name: str, group: Group, totals: Value) -> None:
        self.group = group
        self.value = group.value
        scan = self.value.primitive
        assert isinstance(scan, Scan)
        self.scan = scan
        self.totals = totals
        self.emission = Emission(name)
        self.builder = self.emission.builder
        self.axis = len(group.space) - 1
        self.identity = self.builder.const(scan.identity(self.value.dtype), self.value.dtype)
        self.none, self.one = self.builder.const(0, int64), self.builder.const(1, int64)
        self.length = self.emission.size("length", group.space[self.axis])
        self.rows = self.emission.size("rows", product(list(group.space[:-1])))
        whole, self.parts = open_parts(self.emission, self.length, 1, self.rows, self.length)
        self.whole = whole
        self.piece = self.part = self.first = self.height = self.none

    def open_part(self, piece: Instr) -> None:
        """From here on, elements are those of a part of a row."""
        builder = self.builder
        self.piece = piece
        self.part = builder.apply("mod", piece, self.parts)
        self.first = builder.mul(self.part, self.whole)
        self.height = builder.apply("min", builder.sub(self.length, self.first), self.whole)
        row = builder.apply("floordiv", piece, self.parts)
        for axis in range(self.axis - 1, 0, -1):
            extent = self.emission.size(("split", axis), self.group.space[axis])
            self.emission.factors[axis] = builder.apply("mod", row, extent)
            row = builder.apply("floordiv", row, extent)
        if self.axis:
            self.emission.factors[0] = row

    def element(self, place: Linear) -> Instr:
        """The element at a place of the part; places are those of loops that are open."""
        emission = self.emission
        emission.factors[self.axis] = self.builder.index(linear((self.first, ONCE), *place.terms))
        for instance in self.group.trace.instances:
            emission.emit(instance)
        position = self.group.position(self.value.shape, list(range(len(self.group.space))))
        source = self.value.inputs[0]
        known = emission.known(self.group.trace.find(source, position))
        assert known is not None
        return known

    def combine(self, first: Instr, second: Instr) -> Instr:
        return self.scan.combine(self.builder, first, [second])

    def store_result(self, value: Instr) -> None:
        """Store the result at the place of the present element."""
        position = self.group.position(self.value.shape, list(range(len(self.group.space))))
        buffer = self.emission.buffer(self.value, "out")
        at = self.emission.position(("buffer", self.value.number), linear_place(self.value, position))
        self.builder.store(buffer, at, value)

    def each(self, extent: Instr | Coefficient, vector: bool = True) -> _Each:
        return _Each(self.emission, extent, vector)

    def finish(self) -> LoweredKernel:
        rows, length = product(list(self.group.space[:-1])), self.group.space[self.axis]
        cost = 8 + sum(own_cost(i.value) for i in self.group.trace.instances if not i.loaded)
        # At most as many chunks as elements, of which parts have very many.
        work = Work(rows, length, cost, False, ((length, 1),))
        return LoweredKernel(self.builder.finish(), self.emission.bindings, work)


class _Each:
    """A loop as a `with` statement, which gives its variable as a position."""

    def __init__(self, emission: Emission, extent: Instr | Coefficient, vector: bool) -> None:
        self.emission = emission
        self.loop = emission.builder.open_loop(extent, vector=vector)
        self.place = linear((self.loop.var, ONCE))

    def __enter__(self) -> Linear:
        self.emission.open_scope()
        return self.place

    def __exit__(self, *_: object) -> None:
        self.emission.close_scope()
        self.emission.builder.close_loop(self.loop)


class _TotalsLowering(_PartLowering):
    """The totals of parts. A row that is one part needs none."""

    def lower(self) -> LoweredKernel:
        builder = self.builder
        lanes = self.emission.scratch(self.value.dtype, constant(LANES))
        cut = builder.apply("gt", self.parts, self.one)
        count = builder.select(cut, builder.mul(self.rows, self.parts), self.none)
        loop = builder.open_loop(count, parallel=True)
        self.emission.open_scope()
        self.open_part(builder.index(linear((loop.var, ONCE))))
        with self.each(Coefficient(LANES)) as lane:
            builder.store(lanes, lane, self.identity)
        width = builder.const(LANES, int64)
        runs = builder.apply("floordiv", self.height, width)
        with self.each(runs, vector=False) as run:
            start = builder.mul(builder.index(run), width)
            with self.each(Coefficient(LANES)) as lane:
                element = self.element(linear((start, ONCE), *lane.terms))
                builder.store(lanes, lane, self.combine(builder.load(lanes, lane), element))
        done = builder.mul(runs, width)
        with self.each(builder.sub(self.height, done), vector=False) as rest:
            element = self.element(linear((done, ONCE), *rest.terms))
            builder.store(lanes, Linear(()), self.combine(builder.load(lanes, Linear(())), element))
        with self.each(Coefficient(LANES - 1), vector=False) as lane:
            other = builder.load(lanes, linear(*lane.terms, (None, ONCE)))
            builder.store(lanes, Linear(()), self.combine(builder.load(lanes, Linear(())), other))
        total = builder.load(lanes, Linear(()))
        builder.store(self.emission.buffer(self.totals, "out"), linear((self.piece, ONCE)), total)
        self.emission.close_scope()
        builder.close_loop(loop)
        return self.finish()


class _RowScanLowering(_PartLowering):
    """The scan of parts."""

    def __init__(self, name: str, group: Group, totals: Value) -> None:
        super().__init__(name, group, totals)
        dtype = self.value.dtype
        self.carry = self.emission.scratch(dtype, constant(WINDOW))
        self.by_blocks = not (dtype.kind in "iu" and dtype.size >= 4)
        # Each begins with WINDOW identities.
        self.memories: list[BufferParam] = []
        if self.by_blocks:
            self.memories = [self.emission.scratch(dtype, constant(WINDOW + BLOCK)) for _ in range(2)]

    def lower(self) -> LoweredKernel:
        builder = self.builder
        loop = builder.open_loop(builder.mul(self.rows, self.parts), parallel=True)
        self.emission.open_scope()
        self.open_part(builder.index(linear((loop.var, ONCE))))
        builder.store(self.carry, Linear(()), self.identity)
        self._add_parts_before()
        if self.by_blocks:
            short = builder.apply("lt", self.height, builder.const(SHORT_ROW, int64))
            self._scan_chain(builder.select(short, self.height, self.none))
            self._scan_blocks(builder.select(short, self.none, self.height))
        else:
            self._scan_chain(self.height)
        self.emission.close_scope()
        builder.close_loop(loop)
        return self.finish()

    def _add_parts_before(self) -> None:
        """Carry the totals of the parts before this one."""
        builder = self.builder
        totals = self.emission.buffer(self.totals, "in")
        row_start = builder.sub(self.piece, self.part)
        with self.each(self.part, vector=False) as number:
            total = builder.load(totals, linear((row_start, ONCE), *number.terms))
            carry = builder.load(self.carry, Linear(()))
            builder.store(self.carry, Linear(()), self.combine(carry, total))

    def _scan_chain(self, count: Instr) -> None:
        builder = self.builder
        with self.each(count, vector=False) as place:
            result = self.combine(builder.load(self.carry, Linear(())), self.element(place))
            builder.store(self.carry, Linear(()), result)
            self.store_result(result)

    def _scan_blocks(self, height: Instr) -> None:
        builder = self.builder
        size = builder.const(BLOCK, int64)
        rounded = builder.sub(builder.add(height, size), self.one)
        blocks = builder.apply("floordiv", rounded, size)
        with self.each(builder.apply("min", blocks, self.one), vector=False):
            with self.each(Coefficient(WINDOW)) as lane:
                for buffer in self.memories:
                    builder.store(buffer, lane, self.identity)
            self._carry_on(self.carry, Linear(()))
        with self.each(blocks, vector=False) as block:
            start = builder.mul(builder.index(block), size)
            self._scan_block(start, builder.apply("min", builder.sub(height, start), size))

    def _scan_block(self, start: Instr, count: Instr) -> None:
        builder = self.builder
        source, target = self.memories
        with self.each(count) as place:
            builder.store(source, _behind(place), self.element(linear((start, ONCE), *place.terms)))
        distance = 1
        while distance < WINDOW:
            with self.each(count) as place:
                before = builder.load(source, _behind(place, -distance))
                combined = self.combine(before, builder.load(source, _behind(place)))
                builder.store(target, _behind(place), combined)
            source, target = target, source
            distance *= 2
        self._chain(count, source, target)
        with self.each(count) as place:
            self.element_place(start, place)
            self.store_result(builder.load(target, _behind(place)))
        self._carry_on(target, linear((count, ONCE), (None, Coefficient(WINDOW - 1))))

    def _carry_on(self, memory: BufferParam, place: Linear) -> None:
        """Let all lanes carry one result."""
        builder = self.builder
        result = builder.load(memory, place)
        with self.each(Coefficient(WINDOW)) as lane:
            builder.store(self.carry, lane, result)

    def _chain(self, count: Instr, source: BufferParam, target: BufferParam) -> None:
        """From windows to results. The last run may go past the block, where nobody looks."""
        builder = self.builder
        width = builder.const(WINDOW, int64)
        rounded = builder.sub(builder.add(count, width), self.one)
        with self.each(builder.apply("floordiv", rounded, width), vector=False) as run:
            start = builder.mul(builder.index(run), width)
            with self.each(Coefficient(WINDOW)) as lane:
                at = _behind(linear((start, ONCE), *lane.terms))
                result = self.combine(builder.load(self.carry, lane), builder.load(source, at))
                builder.store(self.carry, lane, result)
                builder.store(target, at, result)

    def element_place(self, start: Instr, place: Linear) -> None:
        """Make this the place of the present element."""
        at = linear((self.first, ONCE), (start, ONCE), *place.terms)
        self.emission.factors[self.axis] = self.builder.index(at)


def _behind(place: Linear, offset: int = 0) -> Linear:
    """A place in scratch memory, behind the identities."""
    return linear(*place.terms, (None, Coefficient(WINDOW + offset)))
