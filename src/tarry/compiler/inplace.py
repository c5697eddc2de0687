"""Results that are written over inputs nobody needs any more: less memory, and less of it touched.

A stored value takes over the buffer of another when their elements match one to one, the kernel that writes
it is the last that reads the other, and each element of the other is read before it is overwritten: all
loads of it stand where the result stands, in a pass that is not later, and the result is computed from them.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.compiler.access import linear_place
from tarry.compiler.group import Group, Member
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
        reached = {member: _reached(member, group) for member in group.members.values()}
        for source in ending:
            if source.leaf and source.strides is None and source not in gone:
                for heir in _heirs(source, reached, live & wanted, settled):
                    takeovers.leaves.setdefault(heir, []).append(source)
        for source in ending:
            if source.leaf or source in gone or _home(source, settled) in kept:
                continue
            heirs = [heir for heir in _heirs(source, reached, live, settled) if heir not in takeovers.leaves]
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


def _heirs(
    source: Value, reached: dict[Member, set[Instance]], live: set[Value], settled: dict[Value, Value]
) -> list[Value]:
    """The members of a group that may be written over `source`; `reached` is what each is computed from."""
    loads = {i for instances in reached.values() for i in instances if i.loaded and i.value is source}
    readers = [member for member, instances in reached.items() if loads & instances]
    last = max((member.stage for member in readers), default=0)
    return [
        member.value
        for member in readers
        if member.level == "full"
        and member.stage == last
        and member.value in live
        and member.value not in settled
        and member.value.dtype is source.dtype
        and _match(loads, member)
        and loads <= reached[member]
    ]


def _match(loads: set[Instance], member: Member) -> bool:
    """Whether each element is loaded where the member's is stored, whatever the shapes."""
    place = linear_place(member.value, member.position)
    return all(load.place == place and not load.guard for load in loads)


def _reached(member: Member, group: Group) -> set[Instance]:
    """What a member is computed from, also by way of others of its kernel."""
    seen: set[Instance] = set()
    stack = [member.sink]
    while stack:
        instance = stack.pop()
        if instance in seen:
            continue
        seen.add(instance)
        stack.extend(instance.operands)
        other = group.members.get(instance.value)
        if instance.loaded and other is not None and other.level == "full":
            stack.append(other.sink)
    return seen
