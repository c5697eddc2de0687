"""Lowering by columns: reductions over outer axes, where each column of the rest has results of its own.

    for each strip of columns (parallel)
      totals of the strip = identity             in scratch memory, which stays in cache
      for each block of rows
        for each column of the strip (vector)
          add up the block's rows in registers, then into the totals
        or, when the pass also writes: row by row, adding up in scratch memory, which then meets the totals
      for each column of the strip (vector)      results, and values computed from them
      ... the next pass

Memory is read in long runs of consecutive elements, a few rows at a time. Sums keep what rounding loses
when a block meets the totals (Knuth's TwoSum).
"""

from __future__ import annotations

from tarry.base.dtypes import Dtype, int64
from tarry.compiler.emission import Emission
from tarry.compiler.group import Group, Member
from tarry.compiler.lower_rows import GroupLowering, Kept
from tarry.compiler.lowered import Work
from tarry.compiler.program import Value
from tarry.compiler.schedule import BLOCK_ROWS, LEAST_STRIP, MOST_STRIP, STRIPS, Schedule
from tarry.compiler.trace import Instance, axes_of, own_cost
from tarry.loops.builder import combine, linear
from tarry.loops.combiners import COMBINERS
from tarry.loops.ir import BufferParam, Coefficient, Instr, Linear, Loop, LoopVar
from tarry.loops.poly import NOWHERE, Poly, constant, product
from tarry.ops.structure import Reduction

ONCE = Coefficient(1)
# A value of a column that costs this much (in additions) is computed once, not for every row.
COSTLY = 4


def fits_columns(group: Group, schedule: Schedule) -> bool:
    """Whether a group reduces columns, and its partial results can stand in memory as they are."""
    if not schedule.vector_outer or not schedule.inner:
        return False
    for member in group.members.values():
        if member.level == "reduce" and not all(_is_storable(dtype) for dtype in accumulated(member)):
            return False
    return True


def accumulated(member: Member) -> tuple[Dtype, ...]:
    """The dtypes of a reduction's partial results."""
    primitive = member.value.primitive
    assert isinstance(primitive, Reduction)
    return primitive.accumulated(member.sink.value.dtype)


def _is_storable(dtype: Dtype) -> bool:
    """Half types would be rounded on the way to memory, complex pairs are interleaved there."""
    return dtype.kind != "c" and not (dtype.kind == "f" and dtype.size < 4)


def open_strips(emission: Emission, extent: Poly) -> tuple[Instr, Instr, Instr]:
    """The number of columns, the width of a strip (schedule.strip_width), and the number of strips."""
    builder = emission.builder
    columns = emission.size("columns", extent)
    part = builder.apply("floordiv", columns, builder.const(STRIPS, int64))
    whole = builder.apply("and", part, builder.const(-LEAST_STRIP, int64))
    width = builder.apply("min", whole, builder.const(MOST_STRIP, int64))
    width = builder.apply("max", width, builder.const(LEAST_STRIP, int64))
    rounded = builder.sub(builder.add(columns, width), builder.const(1, int64))
    return columns, width, builder.apply("floordiv", rounded, width)


class Totals:
    """The running results of one reduction over a strip: one array for each component.

    `lost` holds what the roundings of a floating-point sum have lost.
    """

    __slots__ = ("components", "lost")

    def __init__(self, emission: Emission, member: Member) -> None:
        extent = constant(MOST_STRIP)
        dtypes = accumulated(member)
        self.components = [emission.scratch(dtype, extent) for dtype in dtypes]
        primitive = member.value.primitive
        assert isinstance(primitive, Reduction)
        compensated = primitive.combiner == "sum" and dtypes[0].kind == "f"
        self.lost: BufferParam | None = emission.scratch(dtypes[0], extent) if compensated else None


class ColumnLowering(GroupLowering):
    """Lowers a group whose vector loop is its last outer one."""

    def __init__(self, name: str, group: Group, live: set[Value], heirs: set[Value]) -> None:
        super().__init__(name, group, live, heirs)
        self.columns = self.schedule.outer[-1]
        self.first: Instr | None = None  # of the strip's columns
        self.width: Instr | None = None
        self.place = Linear(())  # of the present column in the strip
        # Results, and values computed from them, that later passes need.
        self.row_values: dict[Value, BufferParam] = {}
        self.running: dict[Member, Totals] = {}

    # the loops around rows and passes

    def _open_rows(self) -> list[Loop]:
        builder = self.builder
        columns, width, strips = open_strips(self.emission, self.columns.extent)
        others = self.schedule.outer[:-1]
        count = strips
        if others:
            outside = product([loop.extent for loop in others])
            count = builder.mul(count, self.emission.size("others", outside))
        loop = builder.open_loop(count, parallel=True)
        self.emission.open_scope()
        strip = builder.index(linear((loop.var, ONCE)))
        if others:
            self._split(builder.apply("floordiv", strip, strips), others)
            strip = builder.apply("mod", strip, strips)
        self.first = builder.mul(strip, width)
        self.width = builder.apply("min", builder.sub(columns, self.first), width)
        return [loop]

    def _open_columns(self, members: list[Member]) -> Loop:
        """A vector loop over the strip, with the row values that the members need."""
        assert self.first is not None and self.width is not None
        loop = self.builder.open_loop(self.width, vector=True)
        self.emission.open_scope()
        self.place = linear((loop.var, ONCE))
        self._assign(self.columns, self.builder.index(linear((self.first, ONCE), (loop.var, ONCE))))
        for value in self._row_values_of(members):
            self.emission.local[value] = self.builder.load(self.row_values[value], self.place)
        return loop

    def _close_columns(self, loop: Loop) -> None:
        self.builder.close_loop(loop)
        self.emission.close_scope()
        for value in self.row_values:
            self.emission.local.pop(value, None)

    def _row_values_of(self, members: list[Member]) -> list[Value]:
        reached = {instance.value for instance in self._reach(members) if instance.loaded}
        return [value for value in self.row_values if value in reached]

    # row values

    def _row_members(self, stage: int) -> None:
        """The results of the pass before, and what is computed from them, for every column."""
        finished = list(self.running)
        members = [m for m in self.members if m.stage == stage and self._is_row(m)]
        if not finished and not members:
            return
        loop = self._open_columns(members)
        for member in finished:
            self._put(member, self._result_of(member, self.running[member]), members)
        self.running = {}
        for member in members:
            if member.level == "row":
                self._put(member, self._emit_sink(member), members)
            else:
                self._update(member, self.totals[member])
        self._close_columns(loop)

    def _is_row(self, member: Member) -> bool:
        return member.level == "row" or (member.level == "total" and not self._is_full(member))

    def _put(self, member: Member, value: Instr, present: list[Member]) -> None:
        """Store a row value, and keep it when others than those of the present loop need it."""
        self.emission.local[member.value] = value
        self._store(member, value)
        others = [m for m in self.members if m is not member and m.level != "final" and m not in present]
        if any(i.loaded and i.value is member.value for i in self._reach(others)):
            buffer = self._scratch(value.dtype)
            self.builder.store(buffer, self.place, value)
            self.row_values[member.value] = buffer
        else:
            self.row_values.pop(member.value, None)

    def _result_of(self, member: Member, totals: Totals) -> Instr:
        builder = self.builder
        components = [builder.load(buffer, self.place) for buffer in totals.components]
        if totals.lost is not None:
            # After an overflow the lost bits are NaN; the total alone is right then.
            lost = builder.load(totals.lost, self.place)
            finite = builder.apply("eq", lost, lost)
            rest = builder.select(finite, lost, builder.const(0, lost.dtype))
            components = [builder.add(components[0], rest)]
        primitive = member.value.primitive
        assert isinstance(primitive, Reduction)
        return primitive.result(builder, components)

    # passes

    def _pass(self, stage: int) -> None:
        full = self._pass_members(stage)
        if not full:
            return
        for member in full:
            if member.level == "reduce":
                self.running[member] = Totals(self.emission, member)
        if self.running:
            self._start_totals()
        opened: list[Loop] = []
        for axis in self.schedule.inner[:-1]:
            outside = self._open(axis.extent)
            self._assign(axis, outside.var)
            opened.append(outside)
        self._block_of_rows(full, stage)
        for loop in reversed(opened):
            self.builder.close_loop(loop)
            self.emission.close_scope()
        if stage == max(member.stage for member in self.members):
            self._row_members(stage + 1)

    def _start_totals(self) -> None:
        loop = self._open_columns([])
        for member, totals in self.running.items():
            self._store_identity(member, totals.components)
            if totals.lost is not None:
                self.builder.store(totals.lost, self.place, self.builder.const(0, totals.lost.dtype))
        self._close_columns(loop)

    def _combiner(self, member: Member) -> str:
        primitive = member.value.primitive
        assert isinstance(primitive, Reduction)
        return primitive.combiner

    def _block_of_rows(self, full: list[Member], stage: int) -> None:
        """The loops over the blocks of the last reduced axis, and over the rows and columns of a block."""
        builder, axis = self.builder, self.schedule.inner[-1]
        saved = self._choose_kept(full, stage)
        writes = bool(saved) or any(member.level == "full" for member in full)
        if writes:
            self._prepare_row_values(full)
        extent = self.emission.size(("rows", stage), axis.extent)
        size = builder.const(BLOCK_ROWS, int64)
        rounded = builder.add(extent, builder.const(BLOCK_ROWS - 1, int64))
        blocks = builder.open_loop(builder.apply("floordiv", rounded, size))
        self.emission.open_scope()
        first = builder.index(linear((blocks.var, Coefficient(BLOCK_ROWS))))
        height = builder.apply("min", builder.sub(extent, first), size)
        if writes:
            self._rows_in_order(full, saved, blocks.var, height)
        else:
            self._columns_in_order(full, blocks.var, height)
        builder.close_loop(blocks)
        self.emission.close_scope()

    def _open_block(self, block: LoopVar, height: Instr) -> Loop:
        """The loop over the rows of a block."""
        rows = self.builder.open_loop(height)
        self.emission.open_scope()
        place = self.builder.index(linear((block, Coefficient(BLOCK_ROWS)), (rows.var, ONCE)))
        self._assign(self.schedule.inner[-1], place)
        return rows

    def _columns_in_order(self, full: list[Member], block: LoopVar, height: Instr) -> None:
        """A pass that only reads: for every column the rows of the block, added up in registers."""
        columns = self._open_columns(full)
        accumulators = {member: self._declare(member) for member in full if member.level == "reduce"}
        rows = self._open_block(block, height)
        self._run_members(full, accumulators)
        self.builder.close_loop(rows)
        self.emission.close_scope()
        for member, accumulator in accumulators.items():
            numbers = range(len(accumulator.dtypes))
            self._add_to_totals(member, [self.builder.read(accumulator, number) for number in numbers])
        self._close_columns(columns)

    def _rows_in_order(
        self, full: list[Member], saved: list[Instance], block: LoopVar, height: Instr
    ) -> None:
        """A pass that writes: row by row, adding up in scratch memory.

        Going down columns would read just after writes a multiple of 4096 bytes away, which processors
        take for reads of what was written.
        """
        builder = self.builder
        parts: dict[Member, list[BufferParam]] = {}
        for member in full:
            if member.level == "reduce":
                parts[member] = [self._scratch(dtype) for dtype in accumulated(member)]
        if parts:
            columns = self._open_columns([])
            for member, buffers in parts.items():
                self._store_identity(member, buffers)
            self._close_columns(columns)
        rows = self._open_block(block, height)
        columns = self._open_columns(full)
        for member in full:
            if member not in parts:
                self._run_members([member], {})
                continue
            before = [builder.load(buffer, self.place) for buffer in parts[member]]
            after = combine(builder, self._combiner(member), before, self._contribution(member))
            for buffer, value in zip(parts[member], after):
                builder.store(buffer, self.place, value)
        self._keep(saved)
        for member in full:
            self.emission.local.pop(member.value, None)
        self._close_columns(columns)
        builder.close_loop(rows)
        self.emission.close_scope()
        if parts:
            columns = self._open_columns([])
            for member, buffers in parts.items():
                self._add_to_totals(member, [builder.load(buffer, self.place) for buffer in buffers])
            self._close_columns(columns)

    def _prepare_row_values(self, full: list[Member]) -> None:
        """Compute costly values that are the same for a whole column once, before the rows."""
        found: list[Instance] = []
        reached = self._reach(full)
        for instance in self.group.trace.instances:
            if instance not in reached or not self._depends_on_row(instance):
                continue
            for operand in instance.operands:
                if operand not in found and operand not in self.kept and self._is_of_column(operand):
                    found.append(operand)
        if not found:
            return
        loop = self._open_columns(full)
        for instance in found:
            value = self._emit_instance(instance)
            buffer = self._scratch(value.dtype)
            self.builder.store(buffer, self.place, value)
            self.kept[instance] = Kept(buffer, NOWHERE, None)
        self._close_columns(loop)

    def _is_of_column(self, instance: Instance) -> bool:
        """Whether a value is worth computing once for a column: not loaded, costly, the same in all rows."""
        if instance.loaded or own_cost(instance.value) < COSTLY or instance.value.dtype.kind == "c":
            return False
        return self.columns.axis in axes_of(instance.position) and not self._depends_on_row(instance)

    def _kept_position(self, kept: Kept) -> Linear:
        return self.place if kept.role is None else super()._kept_position(kept)

    def _scratch(self, dtype: Dtype) -> BufferParam:
        return self.emission.scratch(dtype, constant(MOST_STRIP))

    def _store_identity(self, member: Member, buffers: list[BufferParam]) -> None:
        combiner = COMBINERS[self._combiner(member)]
        for number, buffer in enumerate(buffers):
            start = self.builder.const(combiner.identity(buffer.dtype, number), buffer.dtype)
            self.builder.store(buffer, self.place, start)

    def _add_to_totals(self, member: Member, partial: list[Instr]) -> None:
        builder, totals, place = self.builder, self.running[member], self.place
        before = [builder.load(buffer, place) for buffer in totals.components]
        after = combine(builder, self._combiner(member), before, partial)
        for buffer, value in zip(totals.components, after):
            builder.store(buffer, place, value)
        if totals.lost is None:
            return
        a, b, total = before[0], partial[0], after[0]
        b_part = builder.sub(total, a)
        a_part = builder.sub(total, b_part)
        error = builder.add(builder.sub(a, a_part), builder.sub(b, b_part))
        lost = builder.load(totals.lost, place)
        builder.store(totals.lost, place, builder.add(lost, error))

    def _work(self) -> Work:
        outside = product([loop.extent for loop in self.schedule.outer[:-1]])
        rows = product([loop.extent for loop in self.schedule.inner])
        columns = self.columns.extent
        return Work(outside, rows * columns, self._cost(), False, ((columns, 0),))
