"""Fusion: which values are stored, and which stored values share a kernel.

Rules, in this order:
1. Wanted values, reductions, contractions, scatters and what those read through strides are stored.
   A wanted view of stored values is strides, not a kernel.
2. Everything else is computed inside the kernels that need it.
3. A stored value joins the kernel of a value it depends on, or of one that reads the same data at the same
   place, when the loops fit (`Group`): the same space, or the space less the reduced axes.
4. An expensive value that two kernels would compute is stored by the first and read by the second; so is
   one that would be computed again for every repetition of a broadcast.
"""

from __future__ import annotations

from tarry.compiler.access import StridedView, Unreachable, strided_view
from tarry.compiler.group import Group
from tarry.compiler.program import Value, ValueGraph
from tarry.compiler.trace import FIRST_INDEX_AXIS, Instance, axes_of, own_cost
from tarry.graph.primitive import Primitive
from tarry.loops.builder import Builder
from tarry.loops.ir import Instr
from tarry.ops.elementwise import Constant, Elementwise
from tarry.ops.generators import Iota
from tarry.ops.indexed import Gather, Scatter
from tarry.ops.products import Matmul
from tarry.ops.slices import SliceUpdate
from tarry.ops.structure import Broadcast, Reduction, Reshape, Transpose, View

# A value this costly (in additions) is worth a trip through memory rather than computing twice.
EXPENSIVE = 8
# Longer chains are cut, so that no kernel takes LLVM seconds; equal pieces share one kernel.
LONGEST_CHAIN = 512


class Copy(Elementwise):
    """Internal: the values of a strided leaf, stored anew in row-major order."""

    __slots__ = ()

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return args[0]


_COPY = Copy()


class Fusion:
    """What fusion decided: stored values in order, their groups in order, wanted values as strided views."""

    __slots__ = ("aliases", "graph", "groups", "stored")

    def __init__(self, graph: ValueGraph) -> None:
        self.graph = graph
        self.stored: set[Value] = set()
        self.groups: list[Group] = []
        self.aliases: dict[Value, StridedView] = {}

    def __str__(self) -> str:
        return "\n".join(f"{number}: {group}" for number, group in enumerate(self.groups))


def fuse(graph: ValueGraph) -> Fusion:
    """Decide what is stored and group it; starts again when costly values would be computed twice."""
    copied = _own_bases(_copy_strided_leaves(graph))
    fusion = Fusion(copied)
    _store_required(fusion)
    _cut_long_chains(fusion)
    while True:
        _store_unreachable(fusion)
        _group(fusion)
        again = _recomputed(fusion)
        if not again:
            return fusion
        fusion.stored |= again


def _copy_strided_leaves(graph: ValueGraph) -> ValueGraph:
    """Reshapes of a leaf that is not row-major read a row-major copy of it."""
    copies: dict[Value, Value] = {}
    values: list[Value] = []
    for value in graph.values:
        inputs = []
        for source in value.inputs:
            if isinstance(value.primitive, Reshape) and source.leaf and source.strides is not None:
                if source not in copies:
                    copy = Value(-1 - len(copies), _COPY, (source,), source.shape, source.dtype)
                    copies[source] = copy
                    values.append(copy)
                source = copies[source]
            inputs.append(source)
        value.inputs = tuple(inputs)
        values.append(value)
    return ValueGraph(values, graph.outputs)


def _own_bases(graph: ValueGraph) -> ValueGraph:
    """Scatters write into a buffer of their own: a base that is needed elsewhere, too, is copied for them.

    A base that is not takes part in its kernel as usual, and the scatter takes its buffer over.
    """
    uses: dict[Value, int] = {}
    for value in graph.values:
        for source in value.inputs:
            uses[source] = uses.get(source, 0) + 1
    for value in graph.outputs:
        uses[value] = uses.get(value, 0) + 1
    values: list[Value] = []
    for value in graph.values:
        if isinstance(value.primitive, (Scatter, SliceUpdate)):
            base = value.inputs[0]
            gathered = isinstance(base.primitive, Gather)
            kept = base.leaf and not base.donated
            if kept or base.view or base.reduction or gathered or uses[base] > 1:
                copy = Value(-1 - len(graph.values) - len(values), _COPY, (base,), base.shape, base.dtype)
                values.append(copy)
                value.inputs = (copy, *value.inputs[1:])
        values.append(value)
    return ValueGraph(values, graph.outputs)


# 1. what has to be stored


def _store_required(fusion: Fusion) -> None:
    stored = fusion.stored
    for value in fusion.graph.values:
        primitive = value.primitive
        if value.leaf:
            continue
        if value.reduction or is_barrier(primitive):
            stored.add(value)
        if isinstance(primitive, Matmul):
            for source in value.inputs:
                _store_under(source, stored)
        elif isinstance(primitive, (Scatter, SliceUpdate)) and not value.inputs[0].leaf:
            stored.add(value.inputs[0])
    for value in fusion.graph.outputs:
        _store_output(value, fusion)


def is_barrier(primitive: Primitive | None) -> bool:
    """Whether the op has a kernel, or several, of its own."""
    return not isinstance(primitive, (Elementwise, Gather, Constant, Iota, View, Reduction))


def _store_under(value: Value, stored: set[Value]) -> None:
    """Store what makes `value` strides over memory."""
    found = strided_view(value, stored)
    while not isinstance(found, StridedView):
        if found in stored:
            raise AssertionError(f"[fuse] {found!r} is stored, and yet {value!r} has no strides.")
        stored.add(found)
        found = strided_view(value, stored)


def _store_output(value: Value, fusion: Fusion) -> None:
    if value.leaf or value in fusion.stored:
        return
    if not value.view:
        fusion.stored.add(value)
        return
    base = value
    while isinstance(base.primitive, (Transpose, Reshape, Broadcast)):
        base = base.inputs[0]
    found = strided_view(value, fusion.stored)
    if isinstance(found, StridedView):
        fusion.aliases[value] = found
    elif base is not value and not base.leaf and not isinstance(base.primitive, (Constant, Iota)):
        _store_under(value, fusion.stored)
        found = strided_view(value, fusion.stored)
        assert isinstance(found, StridedView)
        fusion.aliases[value] = found
    else:
        fusion.stored.add(value)


def _cut_long_chains(fusion: Fusion) -> None:
    """Store a value wherever more than LONGEST_CHAIN values would be computed in a row."""
    depth: dict[Value, int] = {}
    for value in fusion.graph.values:
        if value.leaf:
            depth[value] = 0
            continue
        longest = 0
        for source in value.inputs:
            longest = max(longest, 0 if source in fusion.stored else depth[source])
        depth[value] = longest + 1
        if longest + 1 >= LONGEST_CHAIN and value.elementwise:
            fusion.stored.add(value)


def _store_unreachable(fusion: Fusion) -> None:
    """Store what a position cannot be pulled through, for every stored value on its own."""
    waiting = [value for value in fusion.graph.values if value in fusion.stored]
    while waiting:
        value = waiting.pop()
        try:
            Group(0, value, fusion.stored)
        except Unreachable as problem:
            if problem.value in fusion.stored or problem.value.leaf:
                raise AssertionError(f"[fuse] {problem.value!r} cannot be reached.") from None
            fusion.stored.add(problem.value)
            waiting.extend((value, problem.value))


# 3. which stored values share a kernel


def _group(fusion: Fusion) -> None:
    fusion.groups = []
    group_of: dict[Value, Group] = {}
    readers: dict[Value, list[Group]] = {}
    order = [value for value in fusion.graph.values if value in fusion.stored]
    for value in order:
        candidates = _candidates(value, fusion, group_of, readers)
        home: Group | None = None
        for group in candidates:
            if group.join(value, group_of):
                home = group
                break
        if home is None:
            home = Group(len(fusion.groups), value, fusion.stored)
            home.attach(group_of)
            fusion.groups.append(home)
        group_of[value] = home
        for source in home.external:
            groups = readers.setdefault(source, [])
            if home not in groups:
                groups.append(home)
    fusion.groups = _ordered(fusion.groups)


def _candidates(
    value: Value, fusion: Fusion, group_of: dict[Value, Group], readers: dict[Value, list[Group]]
) -> list[Group]:
    """Groups the value might join: those it reads from, latest first, then those that read the same data."""
    if is_barrier(value.primitive):
        return []
    sources = _direct_sources(value, fusion.stored)
    found: list[Group] = []
    for source in sources:
        group = group_of.get(source)
        if group is not None and group not in found:
            found.append(group)
    found.sort(key=lambda group: -group.number)
    for source in sources:
        for group in reversed(readers.get(source, [])[-4:]):
            if group not in found:
                found.append(group)
    return [group for group in found if not group.alone]


def _direct_sources(value: Value, stored: set[Value]) -> list[Value]:
    """The stored values and leaves that computing `value` reads."""
    found: list[Value] = []
    seen: set[Value] = set()
    stack = list(reversed(value.inputs))
    while stack:
        source = stack.pop()
        if source in seen:
            continue
        seen.add(source)
        if source.leaf or source in stored:
            found.append(source)
        else:
            stack.extend(reversed(source.inputs))
    return found


def _ordered(groups: list[Group]) -> list[Group]:
    """The groups, each after those it reads from."""
    done: set[Group] = set()
    order: list[Group] = []
    for first in groups:
        stack = [(first, False)]
        while stack:
            group, expanded = stack.pop()
            if group in done:
                continue
            if expanded:
                done.add(group)
                order.append(group)
                continue
            stack.append((group, True))
            waiting = sorted(group.depends, key=lambda other: other.number, reverse=True)
            stack.extend((other, False) for other in waiting if other not in done)
    return order


# 4. expensive values computed twice


def _recomputed(fusion: Fusion) -> set[Value]:
    """Expensive values that several kernels, or one kernel again and again, would compute."""
    users: dict[Value, set[int]] = {}
    found: set[Value] = set()
    for group in fusion.groups:
        for instance in group.trace.instances:
            if instance.loaded or own_cost(instance.value) < EXPENSIVE:
                continue
            if not instance.value.elementwise:
                continue
            users.setdefault(instance.value, set()).add(group.number)
            if _repeats(instance, group):
                found.add(instance.value)
    found.update(value for value, numbers in users.items() if len(numbers) > 1)
    return found - _covered(fusion, found)


def _covered(fusion: Fusion, found: set[Value]) -> set[Value]:
    """Those that another one of them is made of: storing the last of a chain is enough for now."""
    leads: set[Value] = set()  # values that are computed on the way to one of `found`
    for value in reversed(fusion.graph.values):
        if value in found or (value in leads and value not in fusion.stored):
            leads.update(value.inputs)
    return found & leads


def _repeats(instance: Instance, group: Group) -> bool:
    """Whether loops outside those of the instance's position compute it again with the same result."""
    axes = axes_of(instance.position)
    if not axes:
        return False
    if max(axes) >= FIRST_INDEX_AXIS:
        return True  # an index may ask for the same element any number of times
    innermost = max(group.loop_order.index(axis) for axis in axes)
    return any(axis not in axes for axis in group.loop_order[:innermost])
