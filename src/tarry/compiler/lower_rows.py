"""Lowering by rows: the loop nest of a group whose vector loop runs over a row, or has a row in each lane.

    for each row (parallel):                     the loops over the axes that are not reduced
      row values of stage 0
      pass 0 over the row                        the reduced axes: accumulate, store full values
      row values of stage 1, ...
    totals and final values

A costly value that a later pass needs again is kept in scratch memory, which stays in cache for one row.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.compiler.access import linear_place
from tarry.compiler.emission import Emission, row_major
from tarry.compiler.group import Group, Member, reached_bits
from tarry.compiler.lowered import LoweredKernel, Work
from tarry.compiler.program import Value
from tarry.compiler.recompute import EXPENSIVE
from tarry.compiler.schedule import LoopAxis, schedule_axes
from tarry.compiler.trace import Instance, load_place, own_cost
from tarry.loops.builder import linear
from tarry.loops.ir import Accumulator, BufferParam, Coefficient, Instr, Linear, Loop, LoopVar
from tarry.loops.poly import Affine, Poly, product
from tarry.ops.elementwise import Constant
from tarry.ops.generators import Iota
from tarry.ops.structure import Reduction


class Kept:
    """Where a costly value stays from one pass to the next; `role` is that of its position's parameters."""

    __slots__ = ("buffer", "place", "role")

    def __init__(self, buffer: BufferParam, place: Affine, role: object) -> None:
        self.buffer = buffer
        self.place = place
        self.role = role


def load_places(group: Group) -> list[Affine]:
    """Where the group's plain loads stand in memory."""
    return [load_place(i) for i in group.trace.instances if i.loaded and not i.guard]


class GroupLowering:
    """The state of lowering one group. `live` are the stored values someone outside the group reads."""

    def __init__(self, name: str, group: Group, live: set[Value], heirs: set[Value]) -> None:
        self.group = group
        self.live = live
        # Their buffers still hold what earlier passes and other kernels read.
        self.heirs = heirs
        self.emission = Emission(name)
        self.builder = self.emission.builder
        self.schedule = schedule_axes(
            group.space, group.outer, group.inner, self._places(), load_places(group)
        )
        self.members = list(group.members.values())
        self.order = {instance: number for number, instance in enumerate(group.trace.instances)}
        self.totals: dict[Member, Accumulator] = {}
        self.stored: dict[Value, BufferParam] = {}
        # Costly values of earlier passes, and where they are kept.
        self.kept: dict[Instance, Kept] = {}
        self._hosts: set[Member] = set()  # whose outputs hold kept values
        self._reached: dict[Instance, int] = {}  # at the beginning of the present pass (group.reached_bits)

    def lower(self) -> LoweredKernel:
        for member in self.members:
            if member.level == "total":
                self.totals[member] = self._declare(member)
        opened = self._open_rows()
        stages = max((member.stage for member in self.members), default=0)
        for stage in range(stages + 1):
            self._row_members(stage)
            self._pass(stage)
        for loop in reversed(opened):
            self.builder.close_loop(loop)
            self.emission.close_scope()
        self._finish()
        return LoweredKernel(self.builder.finish(), self.emission.bindings, self._work())

    # the loops around rows

    def _open_rows(self) -> list[Loop]:
        opened: list[Loop] = []
        parallel = self.schedule.parallel
        if parallel:
            extent = product([axis.extent for axis in parallel])
            loop = self._open(extent, parallel=True)
            opened.append(loop)
            self._split(loop.var, parallel)
        if self.schedule.vector_outer:
            axis = self.schedule.outer[-1]
            loop = self._open(axis.extent, parallel=not parallel, vector=True)
            opened.append(loop)
            self._assign(axis, loop.var)
        return opened

    def _open(self, extent: Poly, parallel: bool = False, vector: bool = False) -> Loop:
        role = ("extent", len(self.emission.bindings))
        loop = self.builder.open_loop(self.emission.coefficient(role, extent), parallel, vector)
        self.emission.open_scope()
        return loop

    def _assign(self, loop: LoopAxis, factor: LoopVar | Instr) -> None:
        for axis in loop.axes[:-1]:
            self.emission.factors[axis] = None
        self.emission.factors[loop.axis] = factor

    def _split(self, number: LoopVar | Instr, loops: Sequence[LoopAxis]) -> None:
        """Take the number of an iteration of one loop over several apart into theirs."""
        if len(loops) == 1:
            self._assign(loops[0], number)
        if len(loops) <= 1:
            return
        rest = number if isinstance(number, Instr) else self.builder.index(linear((number, Coefficient(1))))
        for loop in reversed(loops[1:]):
            extent = self.emission.size(("split", loop.axis), loop.extent)
            self._assign(loop, self.builder.apply("mod", rest, extent))
            rest = self.builder.apply("floordiv", rest, extent)
        self._assign(loops[0], rest)

    # rows and passes

    def _row_members(self, stage: int) -> None:
        for member in self.members:
            if member.stage != stage:
                continue
            if member.level == "row":
                value = self._emit_sink(member)
                self.emission.local[member.value] = value
                self._store(member, value)
            elif member.level == "total" and not self._is_full(member):
                self._update(member, self.totals[member])

    def _is_full(self, member: Member) -> bool:
        """Whether a total takes one element from every iteration of all loops, not one from each row."""
        return not self.group.reduced

    def _pass_members(self, stage: int) -> list[Member]:
        """What a pass over the row computes."""
        return [
            member
            for member in self.members
            if member.stage == stage
            and (member.level in ("full", "reduce") or (member.level == "total" and self._is_full(member)))
        ]

    def _pass(self, stage: int) -> None:
        full = self._pass_members(stage)
        if not full:
            return
        accumulators = {member: self._declare(member) for member in full if member.level == "reduce"}
        opened = self._open_inner()
        saved = self._choose_kept(full, stage)
        self._run_members(full, accumulators)
        self._keep(saved)
        for loop in reversed(opened):
            self.builder.close_loop(loop)
            self.emission.close_scope()
        if opened:
            for member in full:
                self.emission.local.pop(member.value, None)
        for member, accumulator in accumulators.items():
            value = self._result(member, accumulator)
            self.emission.local[member.value] = value
            self._store(member, value)

    def _run_members(self, full: list[Member], accumulators: dict[Member, Accumulator]) -> None:
        """One element of each member of a pass."""
        for member in full:
            if member.level == "full":
                value = self._emit_sink(member)
                self.emission.local[member.value] = value
                self._store(member, value)
            else:
                self._update(member, self.totals.get(member) or accumulators[member])

    def _open_inner(self) -> list[Loop]:
        opened: list[Loop] = []
        for number, axis in enumerate(self.schedule.inner):
            last = number == len(self.schedule.inner) - 1
            loop = self._open(axis.extent, vector=last and not self.schedule.vector_outer)
            self._assign(axis, loop.var)
            opened.append(loop)
        return opened

    # sinks

    def _needed(self, sink: Instance) -> list[Instance]:
        """The sink and what it needs that is not known yet, operands first."""
        needed: set[Instance] = set()
        stack = [sink]
        while stack:
            instance = stack.pop()
            if instance in needed or self.emission.known(instance) is not None:
                continue
            needed.add(instance)
            if instance not in self.kept:
                stack.extend(instance.operands)
        return sorted(needed, key=self.order.__getitem__)

    def _emit_sink(self, member: Member) -> Instr:
        return self._emit_instance(member.sink)

    def _emit_instance(self, sink: Instance) -> Instr:
        for instance in self._needed(sink):
            kept = self.kept.get(instance)
            if kept is not None:
                value = self.builder.load(kept.buffer, self._kept_position(kept))
                self.emission.define(instance, value)
                if instance.axis is not None:  # of a gather: from now on this is where its source is read
                    self.emission.factors[instance.axis] = value
            else:
                self.emission.emit(instance)
        found = self.emission.known(sink)
        assert found is not None
        return found

    def _store(self, member: Member, value: Instr) -> None:
        if member.value not in self.live:
            return
        buffer = self.emission.buffer(member.value, "out")
        place = linear_place(member.value, member.position)
        position = self.emission.position(("buffer", member.value.number), place)
        self.builder.store(buffer, position, value)

    def _declare(self, member: Member) -> Accumulator:
        primitive = member.value.primitive
        assert isinstance(primitive, Reduction)
        return self.builder.declare(primitive.combiner, primitive.accumulated(member.sink.value.dtype))

    def _update(self, member: Member, accumulator: Accumulator) -> None:
        self.builder.update(accumulator, *self._contribution(member))

    def _contribution(self, member: Member) -> tuple[Instr, ...]:
        """What the present element adds to a reduction."""
        primitive = member.value.primitive
        assert isinstance(primitive, Reduction)
        value = self._emit_sink(member)
        place: Instr | None = None
        if primitive.uses_place:
            place = self.emission.index(("place", member.value.number), self._reduced_place(member))
        return primitive.prepare(self.builder, value, place)

    def _reduced_place(self, member: Member) -> Affine:
        """The row-major place along the axes a member reduces."""
        reduced = [axis for axis in range(len(self.group.space)) if self._reduces(member, axis)]
        return row_major(reduced, self.group.space)

    def _reduces(self, member: Member, axis: int) -> bool:
        if member.level == "reduce":
            return axis in self.group.reduced
        return self._is_full(member) or axis not in self.group.reduced

    def _result(self, member: Member, accumulator: Accumulator) -> Instr:
        primitive = member.value.primitive
        assert isinstance(primitive, Reduction)
        components = [self.builder.read(accumulator, k) for k in range(len(accumulator.dtypes))]
        return primitive.result(self.builder, components)

    def _finish(self) -> None:
        for member, accumulator in self.totals.items():
            value = self._result(member, accumulator)
            self.emission.local[member.value] = value
            self._store(member, value)
        for member in self.members:
            if member.level == "final":
                value = self._emit_sink(member)
                self.emission.local[member.value] = value
                self._store(member, value)

    # values kept from one pass for the next ones

    def _choose_kept(self, full: list[Member], stage: int) -> list[Instance]:
        """The costly instances this pass computes that a later pass needs, or stored values nobody keeps."""
        if not self.schedule.inner:
            return []
        later = [m for m in self.members if m.stage > stage and m.level in ("full", "reduce")]
        if not later:
            return []
        self._reached = reached_bits(self.group.trace.instances, self.group.members, self.kept)
        both = self._union(full) & self._union(later)
        found = [
            instance
            for number, instance in enumerate(self.group.trace.instances)
            if both >> number & 1
            and instance not in self.kept
            and not instance.loaded
            and own_cost(instance.value) >= EXPENSIVE
            and instance.value.dtype.kind != "c"  # pairs are not worth the trouble
            and self._depends_on_row(instance)
        ]
        # A column has no scratch memory of its own that would stay in cache: its values need an output.
        return [i for i in found if self._host(i) is not None] if self.schedule.vector_outer else found

    def _union(self, members: list[Member]) -> int:
        """What any of the members is computed from."""
        bits = 0
        for member in members:
            bits |= self._reached[member.sink]
        return bits

    def _depends_on_row(self, instance: Instance) -> bool:
        axes = {axis for run in instance.position for axis, _ in run.place.terms}
        return bool(axes & self.group.reduced)

    def _reach(self, members: list[Member]) -> set[Instance]:
        reached: set[Instance] = set()
        stack = [member.sink for member in members]
        while stack:
            instance = stack.pop()
            if instance in reached:
                continue
            reached.add(instance)
            if instance in self.kept:
                continue
            stack.extend(instance.operands)
            source = self.group.members.get(instance.value)
            if instance.loaded and source is not None and source.level == "full":
                stack.append(source.sink)
        return reached

    def _keep(self, saved: list[Instance]) -> None:
        """Save values of this pass: in an output that is written later, else in scratch memory."""
        for instance in saved:
            value = self.emission.known(instance)
            if value is None:
                continue
            kept = self._home(instance)
            if kept is None and self.schedule.vector_outer:
                continue
            if kept is None:
                place = row_major(self.group.inner, self.group.space)
                extent = product([self.group.space[axis] for axis in self.group.inner])
                buffer = self.emission.scratch(value.dtype, extent)
                kept = Kept(buffer, place, ("kept", id(buffer)))
            self.builder.store(kept.buffer, self._kept_position(kept), value)
            self.kept[instance] = kept

    def _kept_position(self, kept: Kept) -> Linear:
        return self.emission.position(kept.role, kept.place)

    def _home(self, instance: Instance) -> Kept | None:
        """The output in which a value can stay until the element that belongs there is stored."""
        member = self._host(instance)
        if member is None:
            return None
        self._hosts.add(member)
        buffer = self.emission.buffer(member.value, "out")
        place = linear_place(member.value, member.position)
        return Kept(buffer, place, ("buffer", member.value.number))

    def _host(self, instance: Instance) -> Member | None:
        """A member stored in a later pass than every one that needs the value, or with the last of them.

        When that pass stores its element, it has loaded what was kept there.
        """
        bit = 1 << self.order[instance]
        # What is kept since the pass began is not among what others that come later are computed from.
        users = [m for m in self.members if m.level != "final" and self._reached[m.sink] & bit]
        last = max(member.stage for member in users)
        for member in self.members:
            if (
                member.level == "full"
                and member.stage >= last
                and member.value in self.live
                and member not in self._hosts
                and member.value not in self.heirs
                and member.value.dtype is instance.value.dtype
                and member.position == instance.position
                and not instance.guard
                and all(user is member or user.stage < member.stage for user in users)
            ):
                return member
        return None

    # schedule and cost

    def _places(self) -> list[Affine]:
        """Every linear expression of the loop axes that the kernel will use."""
        places: list[Affine] = []
        for instance in self.group.trace.instances:
            value = instance.value
            if instance.loaded:
                places.append(load_place(instance))
            if isinstance(value.primitive, Iota) and not instance.loaded:
                places.append(instance.position[value.primitive.axis].place)
            for conditions in instance.conditions:
                places.extend(condition.position for condition in conditions)
        for member in self.group.members.values():
            places.append(linear_place(member.value, member.position))
            primitive = member.value.primitive
            if isinstance(primitive, Reduction) and primitive.uses_place:
                places.append(self._reduced_place(member))
        return places

    def _cost(self) -> int:
        """The cost of one element of everything the group computes, in additions."""
        cost = 0
        for instance in self.group.trace.instances:
            if not isinstance(instance.value.primitive, Constant):
                cost += 1 if instance.loaded else own_cost(instance.value)
        return cost

    def _work(self) -> Work:
        cost = self._cost()
        inner = product([axis.extent for axis in self.schedule.inner])
        schedule = self.schedule
        parallel = schedule.parallel
        if parallel:
            extent = product([axis.extent for axis in parallel])
            if schedule.vector_outer:
                inner = inner * schedule.outer[-1].extent
            return Work(extent, inner, cost, False)
        if schedule.vector_outer:
            return Work(schedule.outer[-1].extent, inner, cost, True)
        return Work(None, inner, cost, False)
