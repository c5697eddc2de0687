"""What a kernel computes, value by value and position by position, down to what it loads.

An `Instance` is one value at one position under one guard. Starting from the kernel's sinks the trace follows
elementwise inputs and views until it meets stored values. It is iterative: chains are long.
"""

from __future__ import annotations

from tarry.base.dtypes import Dtype
from tarry.compiler.access import (
    Position,
    PulledViews,
    Run,
    Unreachable,
    linear_place,
    pull_if_reachable,
)
from tarry.compiler.program import Value
from tarry.loops.builder import Builder
from tarry.loops.ir import Instr
from tarry.loops.operations import cost_of
from tarry.loops.poly import NOWHERE, ONE, Affine, Poly, along
from tarry.ops.elementwise import Constant, Elementwise
from tarry.ops.generators import Iota
from tarry.ops.indexed import Gather
from tarry.ops.structure import Condition

# Axes from here on are no loops: they stand for the values of index arrays.
FIRST_INDEX_AXIS = 1 << 20

# A guard is a conjunction: each entry holds when its conditions all hold, or (False) when they do not.
Guard = tuple[tuple[tuple[Condition, ...], bool], ...]
AxisKey = tuple[Value, int, Position, Guard]


class Site:
    """A position under a guard, with the instances that stand there.

    joined      whether a run of the position covers several dimensions
    """

    __slots__ = ("guard", "instances", "joined", "position")

    def __init__(self, position: Position, guard: Guard) -> None:
        self.position = position
        self.guard = guard
        self.joined = any(run.count > 1 for run in position)
        self.instances: dict[Value, Instance] = {}


class Instance:
    """One value at one position.

    operands    of an elementwise op its inputs; of a view its pieces; of a gather its axes and its source
    conditions  of a view: those of each piece
    axis        an instance that is no value but index array `number` of the gather `value`, made safe: the
                axis that stands for it in the positions of the source
    loaded      whether the value is read from memory (or known from the same kernel)
    origin      the value to store when a position over several dimensions meets a view that needs them apart
    expanded, traced    how far the trace has come with it: operands known, operands done
    """

    __slots__ = (
        "_place", "axis", "conditions", "expanded", "guard", "loaded", "number", "operands", "origin",
        "position", "site", "traced", "value",
    )  # fmt: skip

    def __init__(self, value: Value, site: Site, loaded: bool, origin: Value | None = None) -> None:
        self.value = value
        self.site = site
        self.position = site.position
        self.guard = site.guard
        self.loaded = loaded
        self.origin = origin
        self.operands: list[Instance] = []
        self.conditions: list[tuple[Condition, ...]] = []
        self.axis: int | None = None
        self.number = 0
        self.expanded = False
        self.traced = False
        self._place: Affine | None = None

    @property
    def place(self) -> Affine:
        """Where a loaded instance stands in memory."""
        if self._place is None:
            self._place = linear_place(self.value, self.position)
        return self._place

    def __repr__(self) -> str:
        return f"%{self.value.number} at {self.position}"


class Trace:
    """Instances in order of execution, operands first.

    What the last `add` brought can be taken back (`undo`), so a value that might fit is traced once.
    `pulled` remembers the pieces of views for all traces over axes of these extents.
    """

    __slots__ = (
        "_added", "_added_axes", "_axes", "_length", "_pulled", "_sites", "extents", "instances", "stored"
    )  # fmt: skip

    def __init__(self, stored: set[Value], extents: dict[int, Poly], pulled: PulledViews) -> None:
        self.stored = stored
        self.extents = extents
        self.instances: list[Instance] = []
        self._pulled = pulled
        self._sites: dict[tuple[Position, Guard], Site] = {}
        self._axes: dict[AxisKey, Instance] = {}
        self._added: list[Instance] = []
        self._added_axes: list[AxisKey] = []
        self._length = 0

    def find(self, value: Value, position: Position) -> Instance:
        """The instance that is a value at a position, without a guard. The axis of a gather is no value."""
        for instance in self.instances:
            plain = instance.axis is None and not instance.guard
            if plain and instance.value is value and instance.position == position:
                return instance
        raise AssertionError(f"[trace] {value!r} is not at {position}")

    def add(self, value: Value, position: Position, computed: bool = False) -> Instance:
        """The instance of a sink, with everything it needs; Unreachable names a value to store first.

        `computed` asks for the value itself to be computed although it is stored: by this kernel.
        """
        self._added = []
        self._added_axes = []
        self._length = len(self.instances)
        site = self._site(position, ())
        root = Instance(value, site, False) if computed else self._instance(value, site, None)
        stack = [root]
        while stack:
            instance = stack.pop()
            if instance.traced:
                continue
            if instance.expanded:
                instance.traced = True
                self.instances.append(instance)
                continue
            instance.expanded = True
            self._expand(instance)
            waiting = [operand for operand in reversed(instance.operands) if not operand.traced]
            if waiting:
                stack.append(instance)
                stack += waiting
            else:
                instance.traced = True
                self.instances.append(instance)
        return root

    def undo(self) -> None:
        """Take back what the last `add` brought."""
        del self.instances[self._length :]
        for instance in self._added:
            del instance.site.instances[instance.value]
        for key in self._added_axes:
            del self._axes[key]

    def _site(self, position: Position, guard: Guard) -> Site:
        key = (position, guard)
        site = self._sites.get(key)
        if site is None:
            site = Site(position, guard)
            self._sites[key] = site
        return site

    def _instance(self, value: Value, site: Site, origin: Value | None) -> Instance:
        found = site.instances.get(value)
        if found is None:
            found = Instance(value, site, value.leaf or value in self.stored, origin)
            site.instances[value] = found
            self._added.append(found)
        return found

    def _expand(self, instance: Instance) -> None:
        value = instance.value
        origin = instance.origin
        if instance.loaded:
            if value.strides is not None and instance.site.joined:
                # A strided leaf has no row-major place: what was reshaped has to be stored row-major.
                raise Unreachable(origin if origin is not None else value)
            return
        if instance.operands or instance.axis is not None:
            return
        primitive = value.primitive
        if value.elementwise or value.trivial:
            site = instance.site
            instance.operands = [self._instance(source, site, origin) for source in value.inputs]
        elif value.view:
            self._expand_view(instance, origin)
        elif isinstance(primitive, Gather):
            self._expand_gather(instance, primitive, origin)
        elif isinstance(primitive, (Constant, Iota)):
            return
        else:
            raise Unreachable(value)

    def _expand_view(self, instance: Instance, origin: Value | None) -> None:
        value = instance.value
        key = (value, instance.position)
        if key in self._pulled:
            pieces = self._pulled[key]
        else:
            pieces = pull_if_reachable(value, instance.position, self.extents)
            self._pulled[key] = pieces
        if pieces is None:
            raise Unreachable(origin if origin is not None else value)
        guard = instance.guard
        for piece in pieces:
            entry: Guard = ((piece.conditions, True),) if piece.conditions else ()
            site = self._site(piece.position, guard + entry)
            operand = self._instance(piece.source, site, (origin or piece.source) if site.joined else None)
            instance.operands.append(operand)
            instance.conditions.append(piece.conditions)
            if piece.conditions:
                guard = guard + ((piece.conditions, False),)

    def _expand_gather(self, instance: Instance, gather: Gather, origin: Value | None) -> None:
        value = instance.value
        if instance.site.joined:
            raise Unreachable(origin if origin is not None else value)
        at = self._site(tuple([instance.position[axis] for axis in gather.index_axes]), instance.guard)
        source = value.inputs[0]
        position: list[Run] = []
        for d, number in enumerate(gather.source_map):
            if number >= 0:
                position.append(instance.position[number])
                continue
            axis = self._index_axis(value, at, -number - 1)
            instance.operands.append(axis)
            assert axis.axis is not None
            position.append(Run(1, along(axis.axis) if source.shape[d] != ONE else NOWHERE))
        place = self._site(tuple(position), instance.guard)
        instance.operands.append(self._instance(source, place, None))

    def _index_axis(self, gather: Value, site: Site, number: int) -> Instance:
        """The axis that stands for index array `number`, known when the array's value is."""
        index = self._instance(gather.inputs[1 + number], site, None)
        key = (gather, number, site.position, site.guard)
        found = self._axes.get(key)
        if found is None:
            found = Instance(gather, site, False)
            found.axis = FIRST_INDEX_AXIS + len(self._axes)
            found.operands.append(index)
            found.number = number
            self._axes[key] = found
            self._added_axes.append(key)
        return found


def reached_from(root: Instance) -> list[Instance]:
    """An instance and what it is made of, operands first."""
    order: list[Instance] = []
    opened: set[Instance] = set()
    done: set[Instance] = set()
    stack = [root]
    while stack:
        instance = stack.pop()
        if instance in done:
            continue
        if instance in opened:
            done.add(instance)
            order.append(instance)
            continue
        opened.add(instance)
        stack.append(instance)
        stack.extend([operand for operand in reversed(instance.operands) if operand not in done])
    return order


def load_place(instance: Instance) -> Affine:
    """Where a loaded instance stands in memory."""
    return instance.place


_COSTS: dict[tuple[int, tuple[Dtype, ...]], int] = {}


def own_cost(value: Value) -> int:
    """The rough cost of computing one element of a value from its operands, in additions."""
    if value.cost is None:
        value.cost = _cost_of(value)
    return value.cost


def _cost_of(value: Value) -> int:
    primitive = value.primitive
    if not isinstance(primitive, Elementwise):
        return 4 if isinstance(primitive, Gather) else 0
    key = (primitive.key, tuple([source.dtype for source in value.inputs]))
    cost = _COSTS.get(key)
    if cost is None:
        builder = Builder()
        args = [builder.scalar(builder.scalar_param(source.dtype)) for source in value.inputs]
        primitive.emit(builder, *args)
        kernel = builder.finish()
        cost = sum(cost_of(s.op) for s in kernel.body if isinstance(s, Instr) and s.op != "scalar")
        _COSTS[key] = cost
    return cost


def axes_of(position: Position) -> set[int]:
    """The loop axes a position depends on."""
    return {axis for run in position for axis, _ in run.place.terms}
