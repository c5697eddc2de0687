"""Which values several kernels compute for themselves, and which are stored by the first for the others.

Reading and writing an element takes about as long as MEMORY_COST additions, so

- an expensive value is stored when computing it again would cost more than that;
- so is one that a kernel would compute again for every repetition of a broadcast;
- a value made of several arrays of its size is stored when reading them again and again would move more
  bytes: the residual stream of a transformer is the sum of all layers before.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.compiler.group import Group
from tarry.compiler.program import Value
from tarry.compiler.trace import FIRST_INDEX_AXIS, Instance, axes_of, own_cost
from tarry.ops.indexed import Gather
from tarry.ops.structure import Broadcast

# A value this costly (in additions) is not computed for every repetition of a broadcast.
EXPENSIVE = 8
# What the trip of an element through memory costs, with what is computed on the way to it.
MEMORY_COST = 24
# Reads saved, beyond which a sum of arrays is stored: it has to be written, too.
LEAST_SAVED_READS = 3
_CAP = 1000
# More kernels or reads than these change nothing.
ENOUGH = max(MEMORY_COST // EXPENSIVE + 2, LEAST_SAVED_READS + 1)


def worth_storing(values: Sequence[Value], groups: Sequence[Group], stored: set[Value]) -> set[Value]:
    """Values that should be stored besides those that are, so that less is computed and moved twice."""
    repeated, home = _look_through(groups)
    return _choose(values, stored, repeated, home)


def surely_worth_storing(values: Sequence[Value], stored: set[Value]) -> set[Value]:
    """The same before there are groups: what is needed both before and after an op with its own kernel.

    Without it, all kernels would be traced to the beginning of a deep network's residual stream first.
    """
    levels: dict[Value, int] = {}  # how many such ops follow each other up to a value
    for value in values:
        own = value.primitive is not None and value.primitive.barrier
        levels[value] = max([levels[source] for source in value.inputs], default=0) + own
    if not any(levels.values()):
        return set()
    return _choose(values, stored, set(), levels)


def _choose(
    values: Sequence[Value], stored: set[Value], repeated: set[Value], home: dict[Value, int]
) -> set[Value]:
    """What to store when each stored value has its kernel, its `home`, and `repeated` is computed again for
    each repetition.
    """
    costs: dict[Value, int] = {}
    for value in values:
        _cost(value, costs, stored)
    found: set[Value] = set()
    # The first few kernels that compute each value, once all that is found after it is stored.
    kernels: dict[Value, tuple[int, ...]] = {}
    for value in reversed(values):
        if value.leaf:
            continue
        mine = kernels.get(value, ())
        if value in stored:
            mine = (home[value],) if value in home else ()
        elif mine and value.elementwise and own_cost(value) >= EXPENSIVE:
            again = (len(mine) - 1) * costs[value] > MEMORY_COST
            if again or value in repeated:
                found.add(value)
                mine = mine[:1]  # it computes the value for the others
        for source in value.inputs:
            if not source.leaf:
                kernels[source] = _join_few(kernels.get(source, ()), mine)
    return found | _shared_sums(values, kernels, stored | found)


def _join_few(some: tuple[int, ...], others: tuple[int, ...]) -> tuple[int, ...]:
    """The first few of the numbers in two sorted tuples."""
    if some == others or not others:
        return some
    return tuple(sorted({*some, *others})[:ENOUGH]) if some else others


def _look_through(groups: Sequence[Group]) -> tuple[set[Value], dict[Value, int]]:
    """The costly values that a kernel computes again for repetitions, and the kernel of each stored one."""
    repeated: set[Value] = set()
    home: dict[Value, int] = {}
    for group in groups:
        home[group.value] = group.number
        home.update(dict.fromkeys(group.members, group.number))
        for instance in group.trace.instances:
            value = instance.value
            if instance.loaded or not value.elementwise or own_cost(value) < EXPENSIVE:
                continue
            if _repeats(instance, group):
                repeated.add(value)
    return repeated, home


def _cost(value: Value, costs: dict[Value, int], stored: set[Value]) -> int:
    """What computing an element from stored values takes; its inputs come first."""
    cost = own_cost(value)
    if not value.leaf:
        for source in value.inputs:
            if not source.leaf and source not in stored:
                cost += costs[source]
    costs[value] = min(cost, _CAP)
    return costs[value]


def _repeats(instance: Instance, group: Group) -> bool:
    """Whether loops outside those of the instance's position compute it again with the same result."""
    axes = axes_of(instance.position)
    if not axes:
        return False
    if max(axes) >= FIRST_INDEX_AXIS:
        return True  # an index may ask for the same element any number of times
    innermost = max(group.loop_order.index(axis) for axis in axes)
    return any(axis not in axes for axis in group.loop_order[:innermost])


def _shared_sums(
    values: Sequence[Value], kernels: dict[Value, tuple[int, ...]], stored: set[Value]
) -> set[Value]:
    """Values of several arrays of their size that several kernels compute."""
    # The first few stored values, leaves and gathers of its size that each value reads.
    reads: dict[Value, tuple[int, ...]] = {}
    found: set[Value] = set()
    for number, value in enumerate(values):
        read: tuple[int, ...] = ()
        if value.leaf or value in stored or isinstance(value.primitive, Gather):
            read = (number,)
        elif not isinstance(value.primitive, Broadcast):  # what is repeated is small
            for source in value.inputs:
                read = _join_few(read, reads[source])
        count = len(kernels.get(value, ())) if value.elementwise and value not in stored else 0
        if count > 1 and (count - 1) * (len(read) - 1) >= LEAST_SAVED_READS:
            found.add(value)
            read = (number,)
        reads[value] = read
    return found
