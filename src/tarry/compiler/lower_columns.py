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

With a single pass there may be more pieces of work than strips: the rows of a strip are cut into parts, whose
totals go to partial buffers, and what follows the parallel loop adds them up in order. One part needs none
of this, so loops over columns stand in both places and one of them is empty. Rows of few columns that lie one
after the other in memory are first taken as fewer and longer ones, whose columns are added up at the end.
"""

from __future__ import annotations

from tarry.base.dtypes import Dtype, int64
from tarry.compiler.emission import Emission
from tarry.compiler.group import Group, Member
from tarry.compiler.lower_rows import GroupLowering, Kept
from tarry.compiler.lowered import Parts, Work
from tarry.compiler.program import Value
from tarry.compiler.schedule import BLOCK_ROWS, MOST_STRIP, PARTS, Schedule
from tarry.compiler.strips import open_fold, open_parts, open_strips, open_wide_strips
from tarry.compiler.trace import Instance, axes_of, load_place, own_cost
from tarry.loops.builder import combine, linear
from tarry.loops.combiners import COMBINERS
from tarry.loops.ir import BufferParam, Coefficient, Instr, Linear, Loop, LoopVar
from tarry.loops.poly import NOWHERE, constant, product
from tarry.ops.generators import Iota
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


def may_cut(group: Group) -> bool:
    """Whether there is a single pass, with nothing before and only values of columns after it."""
    for member in group.members.values():
        if member.level in ("total", "final") or (member.level == "row") == (member.stage == 0):
            return False
    return True


class Totals:
    """The running results of one reduction over a strip: one array for each component.

    `lost` holds what the roundings of a floating-point sum have lost.
    """

    __slots__ = ("components", "lost")

    def __init__(self, emission: Emission, member: Member, partial: bool = False) -> None:
        extent = constant(PARTS * MOST_STRIP if partial else MOST_STRIP)
        make = emission.partial if partial else emission.scratch
        dtypes = accumulated(member)
        self.components = [make(dtype, extent) for dtype in dtypes]
        primitive = member.value.primitive
        assert isinstance(primitive, Reduction)
        compensated = primitive.combiner == "sum" and dtypes[0].kind == "f"
        self.lost: BufferParam | None = make(dtypes[0], extent) if compensated else None

    @property
    def buffers(self) -> list[BufferParam]:
        return [*self.components, self.lost] if self.lost is not None else self.components


class ColumnLowering(GroupLowering):
    """Lowers a group whose vector loop is its last outer one."""

    def __init__(self, name: str, group: Group, live: set[Value], heirs: set[Value]) -> None:
        super().__init__(name, group, live, heirs)
        self.columns = self.schedule.outer[-1]
        self.first: Instr | None = None  # of the strip's columns
        self.width: Instr | None = None
        self.strips: tuple[Instr, ...] = ()  # columns, width of a strip, number of strips
        self.place = Linear(())  # of the present column in the strip
        self.origin: Instr | None = None  # of the totals of a strip, where there are several
        # Results, and values computed from them, that later passes need.
        self.row_values: dict[Value, BufferParam] = {}
        self.running: dict[Member, Totals] = {}
        self.cut = Cut(self) if may_cut(group) else None

    # the loops around rows and passes

    def _open_rows(self) -> list[Loop]:
        builder = self.builder
        others = self.schedule.outer[:-1]
        outside = self.emission.size("others", product([loop.extent for loop in others]))
        if self.cut is not None:
            self.strips = self.cut.open_strips(outside)
        else:
            self.strips = open_strips(self.emission, self.columns.extent)
        count = builder.mul(self.strips[-1], outside) if others else self.strips[-1]
        if self.cut is not None:
            count = self.cut.open(count)
        loop = builder.open_loop(count, parallel=True)
        self.emission.open_scope()
        strip = builder.index(linear((loop.var, ONCE)))
        if self.cut is not None:
            strip = self.cut.open_part(strip)
        self.open_strip(strip)
        return [loop]

    def open_strip(self, strip: Instr) -> None:
        """From here on, columns are those of a strip, by its number among those of all others."""
        builder = self.builder
        columns, width, strips = self.strips
        others = self.schedule.outer[:-1]
        if others:
            self._split(builder.apply("floordiv", strip, strips), others)
            strip = builder.apply("mod", strip, strips)
        self.first = builder.mul(strip, width)
        self.width = builder.apply("min", builder.sub(columns, self.first), width)

    def open_columns(self, members: list[Member], width: Instr | None = None) -> Loop:
        """A vector loop over the strip, with the row values that the members need."""
        assert self.first is not None and self.width is not None
        loop = self.builder.open_loop(self.width if width is None else width, vector=True)
        self.emission.open_scope()
        origin = [] if self.origin is None else [(self.origin, Coefficient(MOST_STRIP))]
        self.place = linear(*origin, (loop.var, ONCE))
        self._assign(self.columns, self.builder.index(linear((self.first, ONCE), (loop.var, ONCE))))
        for value in self._row_values_of(members):
            self.emission.local[value] = self.builder.load(self.row_values[value], self.place)
        return loop

    def close_columns(self, loop: Loop) -> None:
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
        loop = self.open_columns(members, None if self.cut is None else self.cut.width_of_results())
        for member in finished:
            self._put(member, self._result_of(member, self.running[member]), members)
        self.running = {}
        for member in members:
            if member.level == "row":
                self._put(member, self._emit_sink(member), members)
            else:
                self._update(member, self.totals[member])
        self.close_columns(loop)

    def set_row(self, row: Instr) -> None:
        """From here on, the innermost reduced axis stands at this row."""
        self._assign(self.schedule.inner[-1], row)

    def contribution(self, member: Member) -> tuple[Instr, ...]:
        """What the present row and column add to a reduction."""
        return self._contribution(member)

    def reach(self, members: list[Member]) -> set[Instance]:
        """Everything that the members are computed from."""
        return self._reach(members)

    def results(self, stage: int) -> None:
        """The results of a pass whose totals are complete."""
        self._row_members(stage)

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
        builder = self.builder
        for number, axis in enumerate(self.schedule.inner[:-1]):
            if number == 0 and self.cut is not None:
                outside = builder.open_loop(self.cut.height)
                self.emission.open_scope()
                self._assign(axis, builder.index(linear((self.cut.first, ONCE), (outside.var, ONCE))))
            else:
                outside = self._open(axis.extent)
                self._assign(axis, outside.var)
            opened.append(outside)
        self._block_of_rows(full, stage)
        for loop in reversed(opened):
            self.builder.close_loop(loop)
            self.emission.close_scope()
        if self.cut is not None:
            self.cut.save()
        if stage == max(member.stage for member in self.members):
            self._row_members(stage + 1)

    def _finish(self) -> None:
        if self.cut is not None:
            self.cut.finish()
        super()._finish()

    def _start_totals(self) -> None:
        loop = self.open_columns([])
        for member, totals in self.running.items():
            self._store_identity(member, totals.components)
            if totals.lost is not None:
                self.builder.store(totals.lost, self.place, self.builder.const(0, totals.lost.dtype))
        self.close_columns(loop)

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
        cut = self.cut if len(self.schedule.inner) == 1 else None
        extent = self.emission.size(("rows", stage), axis.extent) if cut is None else cut.height
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
        terms: list[tuple[LoopVar | Instr, Coefficient]] = [(rows.var, ONCE)]
        terms.insert(0, (block, Coefficient(BLOCK_ROWS)))
        if self.cut is not None and len(self.schedule.inner) == 1:
            terms.append((self.cut.first, ONCE))
        place = self.builder.index(linear(*terms))
        if self.cut is not None and self.cut.folds:
            place = self.builder.mul(place, self.cut.fold)
        self._assign(self.schedule.inner[-1], place)
        return rows

    def _columns_in_order(self, full: list[Member], block: LoopVar, height: Instr) -> None:
        """A pass that only reads: for every column the rows of the block, added up in registers."""
        columns = self.open_columns(full)
        accumulators = {member: self._declare(member) for member in full if member.level == "reduce"}
        rows = self._open_block(block, height)
        self._run_members(full, accumulators)
        self.builder.close_loop(rows)
        self.emission.close_scope()
        for member, accumulator in accumulators.items():
            numbers = range(len(accumulator.dtypes))
            self._add_to_totals(member, [self.builder.read(accumulator, number) for number in numbers])
        self.close_columns(columns)

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
            columns = self.open_columns([])
            for member, buffers in parts.items():
                self._store_identity(member, buffers)
            self.close_columns(columns)
        rows = self._open_block(block, height)
        columns = self.open_columns(full)
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
        self.close_columns(columns)
        builder.close_loop(rows)
        self.emission.close_scope()
        if parts:
            columns = self.open_columns([])
            for member, buffers in parts.items():
                self._add_to_totals(member, [builder.load(buffer, self.place) for buffer in buffers])
            self.close_columns(columns)

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
        loop = self.open_columns(full)
        for instance in found:
            value = self._emit_instance(instance)
            buffer = self._scratch(value.dtype)
            self.builder.store(buffer, self.place, value)
            self.kept[instance] = Kept(buffer, NOWHERE, None)
        self.close_columns(loop)

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
        self.add(member, self.running[member], partial, None)

    def add(self, member: Member, totals: Totals, partial: list[Instr], more_lost: Instr | None) -> None:
        """Combine the totals of the present column with a partial result, and with what that has lost."""
        builder, place = self.builder, self.place
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
        if more_lost is not None:
            lost = builder.add(lost, more_lost)
        builder.store(totals.lost, place, builder.add(lost, error))

    def _work(self) -> Work:
        outside = product([loop.extent for loop in self.schedule.outer[:-1]])
        rows = product([loop.extent for loop in self.schedule.inner])
        columns = self.columns.extent
        parts = None if self.cut is None else self.cut.sizes()
        return Work(outside, rows * columns, self._cost(), False, ((columns, 0),), parts)


def may_fold(lowering: ColumnLowering) -> bool:
    """Whether the rows of all operands lie one after the other, and nothing else depends on the place."""
    reduced = [member for member in lowering.members if member.level == "reduce"]
    if len(lowering.schedule.inner) != 1 or any(member.level == "full" for member in lowering.members):
        return False
    for member in reduced:
        primitive = member.value.primitive
        if not isinstance(primitive, Reduction) or primitive.uses_place:
            return False
    row, columns = lowering.schedule.inner[0].axis, lowering.columns
    for instance in lowering.reach(reduced):
        if instance.guard or any(instance.conditions) or instance.axis is not None:
            return False
        if instance.loaded:
            place = load_place(instance)
            if place.coefficient(row) != place.coefficient(columns.axis) * columns.extent:
                return False
        elif isinstance(instance.value.primitive, Iota):
            return False
    return True


class Cut:
    """The rows of every strip, cut into parts: the sizes, the part at hand, and the totals of all parts.

    A part's totals stand in partial buffers of PARTS * MOST_STRIP elements: where rows are cut at all, there
    are no more pieces of work than PARTS. `fold` rows are taken as one.
    """

    def __init__(self, lowering: ColumnLowering) -> None:
        self.lowering = lowering
        self.builder = lowering.builder
        inner = lowering.schedule.inner
        self.step = BLOCK_ROWS if len(inner) == 1 else 1
        self.extent = inner[0].extent
        self.more = product([loop.extent for loop in inner[1:]])
        self.folds = may_fold(lowering)
        self.totals: dict[Member, Totals] = {}
        self.one, self.none = self.builder.const(1, int64), self.builder.const(0, int64)
        self.fold = self.rows = self.columns = self.units = self.one
        self.whole = self.parts = self.piece = self.first = self.height = self.one
        self.is_cut = self.one
        self.inside = True  # the parallel loop

    def sizes(self) -> Parts:
        return Parts(self.extent, self.more, self.step, self.folds)

    def open_strips(self, others: Instr) -> tuple[Instr, Instr, Instr]:
        """The number of columns, the width of a strip, and the number of strips."""
        emission, builder = self.lowering.emission, self.builder
        self.rows = emission.size("all rows", self.extent)
        self.columns = emission.size("columns", self.lowering.columns.extent)
        columns = self.columns
        if self.folds:
            self.fold = open_fold(emission, self.rows, self.columns, others)
            self.rows = builder.apply("floordiv", self.rows, self.fold)
            columns = builder.mul(columns, self.fold)
        return open_wide_strips(emission, columns)

    def open(self, units: Instr) -> Instr:
        """The number of parts of all strips."""
        emission, builder = self.lowering.emission, self.builder
        more = emission.size("more rows", self.more)
        elements = builder.mul(builder.mul(self.rows, more), self.lowering.strips[1])
        self.units = units
        self.whole, self.parts = open_parts(emission, self.rows, self.step, units, elements)
        self.is_cut = builder.apply("gt", builder.mul(self.parts, self.fold), self.one)
        return builder.mul(units, self.parts)

    def open_part(self, piece: Instr) -> Instr:
        """From here on, rows are those of a part; returns the number of its strip."""
        builder = self.builder
        self.piece = piece
        self.first = builder.mul(builder.apply("mod", piece, self.parts), self.whole)
        self.height = builder.apply("min", builder.sub(self.rows, self.first), self.whole)
        return builder.apply("floordiv", piece, self.parts)

    def width_of_results(self) -> Instr:
        """Of how many columns the results are known: none before the parts have been added up."""
        lowering, builder = self.lowering, self.builder
        assert lowering.width is not None and lowering.first is not None
        if self.inside:
            return builder.select(self.is_cut, self.none, lowering.width)
        return builder.apply("min", lowering.width, builder.sub(self.columns, lowering.first))

    def save(self) -> None:
        """Leave the totals of a part in the partial buffers."""
        lowering, builder = self.lowering, self.builder
        assert lowering.width is not None
        self.totals = {member: Totals(lowering.emission, member, True) for member in lowering.running}
        loop = lowering.open_columns([], builder.select(self.is_cut, lowering.width, self.none))
        for member, totals in lowering.running.items():
            for source, target in zip(totals.buffers, self.totals[member].buffers):
                place = linear((self.piece, Coefficient(MOST_STRIP)), (loop.var, ONCE))
                builder.store(target, place, builder.load(source, lowering.place))
        lowering.close_columns(loop)

    def finish(self) -> None:
        """Add up the parts of every strip in order, in the place of the first, and make the results."""
        lowering, builder = self.lowering, self.builder
        self.inside = False
        lowering.kept.clear()  # in scratch memory of the parts
        strips = builder.open_loop(builder.select(self.is_cut, self.units, self.none))
        lowering.emission.open_scope()
        strip = builder.index(linear((strips.var, ONCE)))
        lowering.open_strip(strip)
        lowering.origin = builder.mul(strip, self.parts)
        self._add_up(self.parts, builder.const(MOST_STRIP, int64), None)
        if self.folds:
            self._add_up(self.fold, self.columns, self.columns)
            self._add_rest()
        lowering.running = self.totals
        lowering.results(1)
        builder.close_loop(strips)
        lowering.emission.close_scope()

    def _add_up(self, count: Instr, distance: Instr, width: Instr | None) -> None:
        """Add up `count` totals, which lie at a distance from each other, in the place of the first."""
        lowering, builder = self.lowering, self.builder
        others = builder.open_loop(builder.sub(count, self.one))
        lowering.emission.open_scope()
        offset = builder.mul(builder.index(linear((others.var, ONCE), (None, ONCE))), distance)
        columns = lowering.open_columns([], width)
        there = linear(*lowering.place.terms, (offset, ONCE))
        for member, totals in self.totals.items():
            values = [builder.load(buffer, there) for buffer in totals.components]
            lost = None if totals.lost is None else builder.load(totals.lost, there)
            lowering.add(member, totals, values, lost)
        lowering.close_columns(columns)
        builder.close_loop(others)
        lowering.emission.close_scope()

    def _add_rest(self) -> None:
        """Add the rows that are too few to be taken as one."""
        lowering, builder = self.lowering, self.builder
        before = builder.mul(self.rows, self.fold)
        rows = builder.open_loop(builder.sub(lowering.emission.size("all rows", self.extent), before))
        lowering.emission.open_scope()
        lowering.set_row(builder.index(linear((before, ONCE), (rows.var, ONCE))))
        columns = lowering.open_columns([], self.columns)
        for member, totals in self.totals.items():
            lowering.add(member, totals, list(lowering.contribution(member)), None)
        lowering.close_columns(columns)
        builder.close_loop(rows)
        lowering.emission.close_scope()
