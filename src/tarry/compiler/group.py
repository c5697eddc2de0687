"""A group is what becomes one kernel: stored values whose computation shares loops.

The loops are the axes of the group's space, the dimensions of extent other than 1. When some axes are
`reduced`, one iteration of the others is a row: passes over the row accumulate reductions and store
full values, and between passes row values are computed from finished reductions. Members have levels:

  full    one element per iteration of all axes, stored in pass `stage`
  reduce  accumulated over the reduced axes in pass `stage`, one result per row
  row     one element per row, computed before pass `stage`
  total   accumulated over everything, by all threads; known when the loops have ended
  final   computed from totals after the loops

An op with a kernel of its own (a barrier) is a group, too. Of one that takes an epilogue, a matrix product,
the members are the result and elementwise values computed from it at the same position. Others are groups of
one value, and the results of one call of a host function are a group. What sort of barrier an op is, it says
itself (`graph.primitive`).
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from tarry.compiler.access import (
    Position,
    PulledViews,
    StridedView,
    Unreachable,
    position_along,
    strided_view,
)
from tarry.compiler.program import SymbolicShape, Value
from tarry.compiler.trace import Instance, Trace, reached_from
from tarry.graph.primitive import Primitive
from tarry.loops.poly import ONE, Poly
from tarry.ops.generators import Iota
from tarry.ops.structure import Reduction

# A kernel of more values than this takes LLVM too long.
MOST_INSTANCES = 1024
SLACK = 128


class Member:
    """A stored value in a group: its level, where it stands, its pass, and what computes it.

    `sink` is the instance that is stored or accumulated.
    """

    __slots__ = ("level", "position", "sink", "stage", "value")

    def __init__(self, value: Value, level: str, position: Position, stage: int, sink: Instance) -> None:
        self.value = value
        self.level = level
        self.position = position
        self.stage = stage
        self.sink = sink


class Placement:
    """How a value would fit a group: its level, where its sink and its result stand, new reduced axes."""

    __slots__ = ("level", "reduced", "result", "sink", "source")

    def __init__(
        self,
        level: str,
        source: Value,
        sink: Position,
        result: Position,
        reduced: frozenset[int] | None = None,
    ) -> None:
        self.level = level
        self.source = source
        self.sink = sink
        self.result = result
        self.reduced = reduced


class Group:
    """See the top of this file.

    depends     the groups it reads from
    users       the groups that read from it
    ancestors   the bits of all groups before
    external    what it reads from memory, in order

    `pulled` remembers the pieces of views for all groups of a program, by their spaces.
    """

    def __init__(self, value: Value, stored: set[Value], pulled: dict[SymbolicShape, PulledViews]) -> None:
        self.number = -1
        self.stored = stored
        self.members: dict[Value, Member] = {}
        self.reduced: frozenset[int] = frozenset()
        self.depends: set[Group] = set()
        self.users: set[Group] = set()
        self.ancestors = 0
        self.external: dict[Value, None] = {}
        primitive = value.primitive
        assert primitive is not None
        self.barrier = primitive.barrier
        # A column is not worth an epilogue.
        self.alone = self.barrier and not (primitive.takes_epilogue and value.shape[-1] != ONE)
        self.value = value
        # Of an op with several results: those that the program uses.
        self.results: list[Value] = [value] if primitive.result_of() is not None else []
        shape = _loop_shape(value)
        self.space: tuple[Poly, ...] = tuple([extent for extent in shape if extent != ONE])
        self.trace = Trace(stored, dict(enumerate(self.space)), pulled.setdefault(self.space, {}))
        if self.barrier:
            self._trace_barrier(value, primitive)
            _require_places(self.trace)
            return
        if isinstance(primitive, Reduction) and value.reduction:
            axes = _axes_of_dimensions(shape)
            reduced = frozenset(axis for d in primitive.axes if (axis := axes[d]) is not None)
            if len(reduced) < len(self.space):
                self.reduced = reduced
        placement = self._place(value)
        assert placement is not None
        sink = self.trace.add(placement.source, placement.sink, placement.source is value)
        _require_places(self.trace)
        stage = self._stage(placement, self.trace.instances)
        assert stage is not None
        self._admit(value, placement, sink, stage, self.trace.instances)

    # loops

    @property
    def outer(self) -> list[int]:
        """The axes that are not reduced."""
        return [axis for axis in range(len(self.space)) if axis not in self.reduced]

    @property
    def inner(self) -> list[int]:
        return sorted(self.reduced)

    @property
    def loop_order(self) -> list[int]:
        return self.outer + self.inner

    # joining

    def attach(self, number: int, group_of: dict[Value, Group]) -> None:
        """Give a group of one value its number, and note which groups it reads from."""
        self.number = number
        self.depends = set()
        self.users = set()
        self.ancestors = 0
        for source in self.external:
            other = group_of.get(source)
            if other is not None and other is not self:
                self.depends.add(other)
                other.users.add(self)
                self.ancestors |= other.ancestors | 1 << other.number

    def still_holds(self) -> bool:
        """Whether this is a group of one value, and would be the same if made now that more may be stored."""
        if len(self.members) > 1:
            return False
        computed = [instance.value for instance in self.trace.instances if not instance.loaded]
        return not any(value in self.stored and value is not self.value for value in computed)

    def join(self, other: Group, group_of: dict[Value, Group]) -> bool:
        """Take the value of a group of one in, if the loops fit and no third group would have to run both
        before and after.
        """
        value = other.value
        placement = self._place(value)
        if placement is None:
            return False
        if self.barrier and placement.level != "full":
            return False
        new = self._new_dependencies(other, group_of)
        if new is None:
            return False
        before = len(self.trace.instances)
        try:
            sink = self.trace.add(placement.source, placement.sink, placement.source is value)
        except Unreachable:
            self.trace.undo()
            return False
        if self._too_large(before, len(other.trace.instances)):
            self.trace.undo()
            return False
        own = reached_from(sink)
        stage = self._stage(placement, own)
        reads_product = not self.barrier or any(i.loaded and i.value in self.members for i in own)
        if stage is None or not reads_product:
            self.trace.undo()
            return False
        self._admit(value, placement, sink, stage, own)
        if new:
            self._depend(new)
        return True

    def _too_large(self, before: int, alone: int) -> bool:
        """Whether what was traced since there were `before` instances, `alone` of its own, is too much.

        What shares most of it may exceed the bound by a little: apart, that would be computed twice.
        """
        total = len(self.trace.instances)
        shared = alone - (total - before)
        return total > MOST_INSTANCES and (total - before > shared or total > MOST_INSTANCES + SLACK)

    def _new_dependencies(self, alone: Group, group_of: dict[Value, Group]) -> set[Group] | None:
        """Groups that a group of one reads from, but this one does not yet; None if it must not."""
        new: set[Group] = set()
        for source in alone.external:
            other = group_of.get(source)
            if other is None or other is self:
                continue
            if other.ancestors >> self.number & 1:
                return None
            if other not in self.depends:
                new.add(other)
        return new

    def _depend(self, new: set[Group]) -> None:
        self.depends |= new
        before = 0
        for other in new:
            other.users.add(self)
            before |= other.ancestors | 1 << other.number
        later = [self]
        while later:
            group = later.pop()
            if group.ancestors | before != group.ancestors:
                group.ancestors |= before
                later.extend(group.users)

    def _place(self, value: Value) -> Placement | None:
        if value.reduction:
            return self._place_reduction(value)
        extents = tuple([extent for extent in value.shape if extent != ONE])
        if extents == self.space and not (not extents and self._has_totals()):
            position = self.position(value.shape, list(range(len(self.space))))
            return Placement("full" if self.space else "row", value, position, position)
        outer = self.outer
        if self.reduced and extents == tuple([self.space[axis] for axis in outer]):
            position = self.position(value.shape, outer)
            return Placement("row", value, position, position)
        if not extents and self._has_totals():
            position = self.position(value.shape, [])
            return Placement("final", value, position, position)
        return None

    def _place_reduction(self, value: Value) -> Placement | None:
        primitive = value.primitive
        assert isinstance(primitive, Reduction)
        source = value.inputs[0]
        extents = tuple([extent for extent in source.shape if extent != ONE])
        axes = _axes_of_dimensions(source.shape)
        reduced = frozenset(axis for d in primitive.axes if (axis := axes[d]) is not None)
        everything = len(reduced) == len(extents)
        if extents == self.space:
            position = self.position(source.shape, list(range(len(self.space))))
            if everything:
                if self.reduced:
                    return None
                return Placement("total", source, position, self.position(value.shape, []))
            if (self.reduced and reduced != self.reduced) or (not self.reduced and self._has_totals()):
                return None
            kept = [axis for axis in range(len(self.space)) if axis not in reduced]
            return Placement("reduce", source, position, self.position(value.shape, kept), reduced)
        outer = self.outer
        if self.reduced and everything and extents == tuple([self.space[axis] for axis in outer]):
            position = self.position(source.shape, outer)
            return Placement("total", source, position, self.position(value.shape, []))
        return None

    def _has_totals(self) -> bool:
        return any(member.level == "total" for member in self.members.values())

    def position(self, shape: SymbolicShape, axes: list[int]) -> Position:
        """The position in which the dimensions of `shape` that are not 1 are `axes`, in order."""
        remaining = list(axes)
        return position_along([None if extent == ONE else remaining.pop(0) for extent in shape])

    def _stage(self, placement: Placement, own: list[Instance]) -> int | None:
        """The pass of a value made of `own`; None when it needs a member the group cannot give it in time."""
        stage = 0
        for instance in own:
            if not instance.loaded:
                continue
            member = self.members.get(instance.value)
            if member is None:
                continue
            if member.level in ("total", "final"):
                if placement.level != "final":
                    return None
                continue
            if instance.position != member.position or instance.guard or placement.level == "final":
                return None
            after = 1 if member.level == "reduce" else 0
            stage = max(stage, member.stage + after)
        return stage

    def _admit(
        self, value: Value, placement: Placement, sink: Instance, stage: int, own: list[Instance]
    ) -> None:
        """Take the value in; `own` is what it is made of."""
        if placement.reduced is not None:
            self.reduced = placement.reduced
        self.members[value] = Member(value, placement.level, placement.result, stage, sink)
        self.external.update(dict.fromkeys([source for source in _read(own) if source not in self.members]))

    # kernels of their own

    def _trace_barrier(self, value: Value, primitive: Primitive) -> None:
        position = self.position(_loop_shape(value), list(range(len(self.space))))
        if primitive.reads_strides:
            for source in value.inputs:
                found = strided_view(source, self.stored)
                assert isinstance(found, StridedView)
                self.external[found.base] = None
            if not self.alone:
                self.members[value] = Member(value, "full", position, 0, self.trace.add(value, position))
            return
        for number, source in enumerate(value.inputs):
            if primitive.updates and number == 0:
                self.external[source] = None
                continue
            axes = primitive.operand_axes(number)
            self.trace.add(source, position if axes is None else tuple([position[axis] for axis in axes]))
        self.external.update(dict.fromkeys(_read(self.trace.instances)))

    def __str__(self) -> str:
        listed = ", ".join(f"%{v.number} {m.level}@{m.stage}" for v, m in self.members.items())
        if self.barrier:
            listed = repr(self.value)
        space = " ".join(f"{e}{'r' if a in self.reduced else ''}" for a, e in enumerate(self.space))
        return f"[{space}] {listed}"


def reached_bits(
    instances: Sequence[Instance], members: Mapping[Value, Member], known: Container[Instance] = ()
) -> dict[Instance, int]:
    """What each of a group's instances is computed from, also by way of other members, a bit for each of
    them in order; what is `known` is not computed.
    """
    reached: dict[Instance, int] = {}
    for number, instance in enumerate(instances):
        bits = 1 << number
        if instance not in known:
            for operand in instance.operands:
                bits |= reached[operand]
            source = members.get(instance.value) if instance.loaded else None
            if source is not None and source.level == "full":
                bits |= reached[source.sink]
        reached[instance] = bits
    return reached


def _require_places(trace: Trace) -> None:
    """Unreachable where a range is needed at a place that is only known across several dimensions.

    What was reshaped is stored then, and the range computed where its own dimensions are loops.
    """
    for instance in trace.instances:
        if isinstance(instance.value.primitive, Iota) and not instance.loaded and instance.site.joined:
            raise Unreachable(instance.value if instance.origin is None else instance.origin)


def _loop_shape(value: Value) -> SymbolicShape:
    """The shape whose dimensions are the loops of a kernel for this value."""
    if value.reduction:
        return value.inputs[0].shape
    assert value.primitive is not None
    return value.inputs[1].shape if value.primitive.updates else value.shape


def _axes_of_dimensions(shape: SymbolicShape) -> list[int | None]:
    """For each dimension its axis in the group's space; None for extents of 1."""
    axes: list[int | None] = []
    count = 0
    for extent in shape:
        axes.append(None if extent == ONE else count)
        count += extent != ONE
    return axes


def _read(instances: list[Instance]) -> list[Value]:
    """The stored values and leaves that are read."""
    return list(dict.fromkeys([instance.value for instance in instances if instance.loaded]))
