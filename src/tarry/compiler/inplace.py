"""Results that are written over inputs nobody needs any more: less memory, and less of it touched.

A stored value takes over the buffer of another when their elements match one to one, the kernel that writes
it is the last that reads the other, and each element of the other is read before it is overwritten: all
loads of it stand where the result stands, in a pass that is not later, and the result is computed from them.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.compiler.access import linear_place
from tarry.compiler.group import Group, Member, reached_bits
from tarry.compiler.program import Value
from tarry.compiler.trace import Instance


class Takeovers:
    """`settled`: value -> the value whose buffer it is in. `leaves`: wanted value -> leaves it may replace.

    Whether a leaf's buffer is to be had is seen when the plan runs.
    """

    __slots__ = ("leaves", "settled")

    def __init__(self) -> None:
        self.settled: dict[Value, Value] = {}
        self.leaves: dict[Value, list[Value]] = {}

    def heirs(self) -> set[Value]:
        """All values that may be written over others."""
        return {*self.settled, *self.leaves}


def add_takeovers(
    groups: Sequence[Group], live: set[Value], wanted: set[Value], takeovers: Takeovers
) -> None:
    """Find values that can take over the buffers of others, besides those that are settled."""
    last_reader: dict[Value, int] = {}
    for number, group in enumerate(groups):
        for source in group.external:
            last_reader[source] = number
    settled = takeovers.settled
    kept = {_home(value, settled) for value in wanted}  # buffers that results stay in
    gone = wanted | set(settled.values())
    for number, group in enumerate(groups):
        if group.barrier or not _keeps_in_scratch(group):
            continue
        ending = [source for source in group.external if last_reader[source] == number]
        if not ending:
            continue
        readers = Readers(group)
        for source in ending:
            if source.leaf and source.strides is None and source not in gone:
                for heir in readers.heirs(source, live, settled):
                    if heir in wanted:
                        takeovers.leaves.setdefault(heir, []).append(source)
        for source in ending:
            if source.leaf or source in gone or _home(source, settled) in kept:
                continue
            heirs = [heir for heir in readers.heirs(source, live, settled) if heir not in takeovers.leaves]
            if heirs:
                settled[heirs[0]] = source
                gone.add(source)


def _home(value: Value, taken: dict[Value, Value]) -> Value:
    """Whose buffer a value is in."""
    while value in taken:
        value = taken[value]
    return value


def _keeps_in_scratch(group: Group) -> bool:
    """Whether what a kernel keeps from one pass for the next needs no result's buffer."""
    passes = {member.stage for member in group.members.values() if member.level in ("full", "reduce")}
    return len(passes) == 1 or len(group.space) - 1 in group.reduced


class Readers:
    """What the members of a group read, also by way of others of their kernel."""

    __slots__ = ("_loads", "_members", "_reached")

    def __init__(self, group: Group) -> None:
        bits = reached_bits(group.trace.instances, group.members)
        self._members = list(group.members.values())
        self._reached = [bits[member.sink] for member in self._members]
        # Of each value the loads, each with its bit.
        self._loads: dict[Value, list[tuple[Instance, int]]] = {}
        for number, instance in enumerate(group.trace.instances):
            if instance.loaded:
                self._loads.setdefault(instance.value, []).append((instance, 1 << number))

    def heirs(self, source: Value, live: set[Value], settled: dict[Value, Value]) -> list[Value]:
        """The members that may be written over `source`."""
        loads = self._loads.get(source, [])
        mask = sum([bit for _, bit in loads])
        readers = [
            (member, reached) for member, reached in zip(self._members, self._reached) if mask & reached
        ]
        last = max((member.stage for member, _ in readers), default=0)
        return [
            member.value
            for member, reached in readers
            if member.level == "full"
            and member.stage == last
            and mask & ~reached == 0
            and member.value in live
            and member.value not in settled
            and member.value.dtype is source.dtype
            and _match(loads, member)
        ]


def _match(loads: Sequence[tuple[Instance, int]], member: Member) -> bool:
    """Whether each element is loaded where the member's is stored, whatever the shapes."""
    place = linear_place(member.value, member.position)
    return all(load.place == place and not load.guard for load, _ in loads)
