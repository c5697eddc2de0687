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


def worth_storing(values: Sequence[Value], groups: Sequence[Group], stored: set[Value]) -> set[Value]:
    """Values that should be stored besides those that are, so that less is computed and moved twice."""
    users: dict[Value, set[int]] = {}
    found: set[Value] = set()
    for group in groups:
        for instance in group.trace.instances:
            value = instance.value
            if instance.loaded or not value.elementwise:
                continue
            users.setdefault(value, set()).add(group.number)
            if own_cost(value) >= EXPENSIVE and _repeats(instance, group):
                found.add(value)
    costs: dict[Value, int] = {}
    for value in values:
        cost = _cost(value, costs, stored)
        kernels = len(users.get(value, ()))
        if kernels > 1 and own_cost(value) >= EXPENSIVE and (kernels - 1) * cost > MEMORY_COST:
            found.add(value)
    found -= _covered(values, found, stored)
    return found | _shared_sums(values, users, stored | found)


def _cost(value: Value, costs: dict[Value, int], stored: set[Value]) -> int:
    """What computing an element from stored values takes; its inputs come first."""
    cost = own_cost(value)
    if not value.leaf:
        for source in value.inputs:
            if not source.leaf and source not in stored:
                cost += costs[source]
    costs[value] = min(cost, _CAP)
    return costs[value]


def _covered(values: Sequence[Value], found: set[Value], stored: set[Value]) -> set[Value]:
    """Those that another one of them is made of: storing the last of a chain is enough for now."""
    leads: set[Value] = set()  # values that are computed on the way to one of `found`
    for value in reversed(values):
        if value in found or (value in leads and value not in stored):
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


def _shared_sums(
    values: Sequence[Value], users: dict[Value, set[int]], stored: set[Value]
) -> set[Value]:
    """Values of several arrays of their size that several kernels compute."""
    # What is read for each value, a bit for each stored value, leaf and gather.
    reads: dict[Value, int] = {}
    found: set[Value] = set()
    for number, value in enumerate(values):
        bits = 0
        if value.leaf or value in stored or isinstance(value.primitive, Gather):
            bits = 1 << number
        elif not isinstance(value.primitive, Broadcast):  # what is repeated is small
            for source in value.inputs:
                bits |= reads[source]
        kernels = len(users.get(value, ()))
        if kernels > 1 and (kernels - 1) * (bits.bit_count() - 1) >= LEAST_SAVED_READS:
            found.add(value)
            bits = 1 << number
        reads[value] = bits
    return found
