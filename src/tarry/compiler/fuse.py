"""Fusion: which values are stored, and which stored values share a kernel.

Rules, in this order:
1. Wanted values, reductions, contractions, scatters and what those read through strides are stored.
   A wanted view of stored values is strides, not a kernel.
2. Everything else is computed inside the kernels that need it.
3. A stored value joins the kernel of a value it depends on, or of one that reads the same data at the same
   place, when the loops fit (`Group`): the same space, or the space less the reduced axes.
4. What several kernels compute is stored by the first where that saves work or traffic
   (compiler.recompute).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from tarry.compiler.access import PulledViews, StridedView, Unreachable, strided_view
from tarry.compiler.group import MOST_INSTANCES, Group
from tarry.compiler.hasten import hasten_results
from tarry.compiler.program import SymbolicShape, Value, ValueGraph
from tarry.compiler.recompute import surely_worth_storing, worth_storing
from tarry.compiler.trace import Instance
from tarry.loops.builder import Builder
from tarry.loops.ir import Instr
from tarry.ops.elementwise import Elementwise
from tarry.ops.structure import Reshape

# Longer chains and larger trees are cut, so that no kernel takes LLVM seconds; equal pieces share one kernel.
# What is left of MOST_INSTANCES is for what joins.
LONGEST_CHAIN = 512
LARGEST_TREE = MOST_INSTANCES * 7 // 8
# So many pieces of joins inside joins may be read at positions of their own.
MOST_PIECES = 16
# So many groups are tried for a value, and so often all values are grouped anew.
MOST_CANDIDATES = 32
MOST_TURNS = 8


class Copy(Elementwise):
    """Internal: the values of a strided leaf, stored anew in row-major order."""

    __slots__ = ()

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return args[0]


_COPY = Copy()


class Fusion:
    """What fusion decided: stored values in order, their groups in order, wanted values as strided views."""

    __slots__ = ("aliases", "alone", "graph", "groups", "pulled", "stored")

    def __init__(self, graph: ValueGraph) -> None:
        self.graph = graph
        # For spaces of groups: the pieces of views at positions there.
        self.pulled: dict[SymbolicShape, PulledViews] = {}
        # Values in groups of their own, which take others in when it comes to grouping.
        self.alone: dict[Value, Group] = {}
        self.stored: set[Value] = set()
        self.groups: list[Group] = []
        self.aliases: dict[Value, StridedView] = {}

    def __str__(self) -> str:
        return "\n".join(f"{number}: {group}" for number, group in enumerate(self.groups))


def fuse(graph: ValueGraph) -> Fusion:
    """Decide what is stored and group it; starts again when costly values would be computed twice."""
    graph = _own_bases(_copy_strided_leaves(graph))
    fusion = Fusion(graph)
    _store_required(fusion)
    _cut_long_chains(fusion)
    _cut_nested_joins(fusion)
    fusion.stored |= surely_worth_storing(graph.values, fusion.stored)
    new = set(fusion.stored)
    for _ in range(MOST_TURNS):
        # What could be reached before still can: more stored values only make traces shorter.
        _store_unreachable(fusion, new)
        _group(fusion)
        new = worth_storing(graph.values, fusion.groups, fusion.stored) or _parts_of_large(fusion)
        if not new:
            break
        fusion.stored |= new
    else:
        fusion.stored -= new
    return fusion


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
        if value.primitive is not None and value.primitive.updates:
            base = value.inputs[0]
            kept = not base.donated if base.primitive is None else base.primitive.moves
            if kept or base.reduction or uses[base] > 1:
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
        if primitive is None:
            continue
        if value.reduction or primitive.barrier:
            stored.add(value)
        if primitive.reads_strides:
            for source in value.inputs:
                _store_under(source, stored)
        elif primitive.updates and not value.inputs[0].leaf:
            stored.add(value.inputs[0])
    for value in fusion.graph.outputs:
        _store_output(value, fusion)


def _cut_nested_joins(fusion: Fusion) -> None:
    """Joins of joins multiply the positions at which a kernel reads: what an outer one reads is stored where
    these would be too many.
    """
    pieces: dict[Value, int] = {}
    for value in fusion.graph.values:
        counts = [1 if source in fusion.stored else pieces[source] for source in value.inputs]
        if not value.view or len(counts) < 2:
            pieces[value] = max(counts, default=1)
            continue
        if sum(counts) > max(MOST_PIECES, len(counts)):
            for source, count in zip(value.inputs, counts):
                if count > 1:
                    # Slices of one array: the array once, not each slice.
                    while source.view and len(source.inputs) == 1:
                        source = source.inputs[0]
                    fusion.stored.add(source)
            counts = [1] * len(counts)
        pieces[value] = sum(counts)


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
    while base.primitive is not None and base.primitive.shows_all:
        base = base.inputs[0]
    found = strided_view(value, fusion.stored)
    if isinstance(found, StridedView):
        fusion.aliases[value] = found
    elif base is not value and base.inputs:
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


def _store_unreachable(fusion: Fusion, new: set[Value]) -> None:
    """Store what a position cannot be pulled through, for each of the stored values on its own."""
    # The first ones first: of what they store, the others' traces are shorter.
    waiting = [value for value in reversed(fusion.graph.values) if value in new]
    while waiting:
        value = waiting.pop()
        try:
            _group_alone(value, fusion)
        except Unreachable as problem:
            if problem.value in fusion.stored or problem.value.leaf:
                raise AssertionError(f"[fuse] {problem.value!r} cannot be reached.") from None
            fusion.stored.add(problem.value)
            waiting.extend((value, problem.value))


def _parts_of_large(fusion: Fusion) -> set[Value]:
    """What to store where a kernel would be too large although it computes one value."""
    found: set[Value] = set()
    for group in fusion.groups:
        if len(group.trace.instances) > MOST_INSTANCES:
            found.update(_parts(group.trace.instances))
    return found - fusion.stored


def _parts(instances: Sequence[Instance]) -> list[Value]:
    """What to store so that no piece is computed from more than LARGEST_TREE of these instances.

    An instance that several others need counts for the first of them.
    """
    found: dict[Value, None] = {}
    sizes: dict[Instance, int] = {}
    for instance in instances:
        operands = sorted(dict.fromkeys(instance.operands), key=sizes.__getitem__, reverse=True)
        total = 1 + sum([sizes[operand] for operand in operands])
        if total > LARGEST_TREE:
            for operand in operands:
                # All large ones, so that pieces are alike, then as many others as it takes.
                if total <= LARGEST_TREE and 2 * sizes[operand] <= LARGEST_TREE:
                    break
                part = operand.value
                while part.view and len(part.inputs) == 1:
                    part = part.inputs[0]
                if part.elementwise and not operand.loaded:
                    found[part] = None
                    total -= sizes[operand]
        for operand in operands:
            sizes[operand] = 0
        sizes[instance] = total
    return list(found)


# 3. which stored values share a kernel


def _group_alone(value: Value, fusion: Fusion) -> Group:
    """The value in a group of its own."""
    group = fusion.alone.get(value)
    if group is None or not group.still_holds():
        group = Group(value, fusion.stored, fusion.pulled)
        fusion.alone[value] = group
    return group


def _group(fusion: Fusion) -> None:
    fusion.groups = []
    group_of: dict[Value, Group] = {}
    readers: dict[Value, dict[Group, None]] = {}
    calls: dict[tuple[int, tuple[Value, ...]], Group] = {}
    order = [value for value in fusion.graph.values if value in fusion.stored]
    for value in order:
        assert value.primitive is not None
        call = value.primitive.result_of()
        if call is not None and _join_call(value, call, calls, group_of):
            continue
        candidates = _candidates(value, fusion, group_of, readers)
        home: Group | None = None
        alone = _group_alone(value, fusion)
        for group in candidates:
            known = len(group.external)
            if group.join(alone, group_of):
                home = group
                break
        if home is None:
            home, known = alone, 0
            home.attach(len(fusion.groups), group_of)
            fusion.groups.append(home)
        group_of[value] = home
        if call is not None:
            home.results = [value]
            calls[call, value.inputs] = home
        for source in itertools.islice(home.external, known, None):
            readers.setdefault(source, {})[home] = None
    fusion.groups = hasten_results(_ordered(fusion.groups))


def _join_call(
    value: Value, call: int, calls: dict[tuple[int, tuple[Value, ...]], Group], group_of: dict[Value, Group]
) -> bool:
    """Whether the value is another result of a call that has its group; then it is in it."""
    group = calls.get((call, value.inputs))
    if group is None:
        return False
    group.results.append(value)
    group_of[value] = group
    return True


def _candidates(
    value: Value, fusion: Fusion, group_of: dict[Value, Group], readers: dict[Value, dict[Group, None]]
) -> list[Group]:
    """Groups the value might join: those it reads from, latest first, then those that read the same data."""
    assert value.primitive is not None
    if value.primitive.barrier:
        return []
    sources = _direct_sources(value, fusion.stored)
    before = {group_of[source] for source in sources if source in group_of}
    found = dict.fromkeys(sorted(before, key=lambda group: -group.number))
    for source in sources:
        for group in itertools.islice(reversed(readers.get(source, {})), 4):
            found[group] = None
    return [group for group in found if not group.alone][:MOST_CANDIDATES]


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
