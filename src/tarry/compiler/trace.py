"""What a kernel computes, value by value and position by position, down to what it loads.

An `Instance` is one value at one position under one guard. Starting from the kernel's sinks the trace follows
elementwise inputs and views until it meets stored values. It is iterative: chains are long.
"""

from __future__ import annotations

from collections.abc import Iterable

from tarry.base.dtypes import Dtype
from tarry.compiler.access import Position, Run, Unreachable, linear_place, pull
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
InstanceKey = tuple[Value, Position, Guard]


class Instance:
    """One value at one position.

    operands    of an elementwise op its inputs; of a view its pieces; of a gather its axes and its source
    conditions  of a view: those of each piece
    axis        an instance that is no value but index array `number` of the gather `value`, made safe: the
                axis that stands for it in the positions of the source
    loaded      whether the value is read from memory (or known from the same kernel)
    """

    __slots__ = ("axis", "conditions", "guard", "loaded", "number", "operands", "position", "value")

    def __init__(self, value: Value, position: Position, guard: Guard, loaded: bool) -> None:
        self.value = value
        self.position = position
        self.guard = guard
        self.loaded = loaded
        self.operands: list[Instance] = []
        self.conditions: list[tuple[Condition, ...]] = []
        self.axis: int | None = None
        self.number = 0

    @property
    def key(self) -> InstanceKey:
        return (self.value, self.position, self.guard)

    def __repr__(self) -> str:
        return f"%{self.value.number} at {self.position}"


class Trace:
    """Instances in order of execution, operands first."""

    __slots__ = ("_axes", "_origins", "extents", "instances", "known", "stored")

    def __init__(self, stored: set[Value], extents: dict[int, Poly]) -> None:
        self.stored = stored
        self.extents = extents
        self.instances: list[Instance] = []
        self.known: dict[InstanceKey, Instance] = {}
        # The value to store when a position over several dimensions meets a view that needs them apart.
        self._origins: dict[InstanceKey, Value] = {}
        self._axes: dict[tuple[Value, int, Position, Guard], Instance] = {}

    def add(self, value: Value, position: Position, computed: bool = False) -> Instance:
        """The instance of a sink, with everything it needs; Unreachable names a value to store first.

        `computed` asks for the value itself to be computed although it is stored: by this kernel.
        """
        if computed:
            root = Instance(value, position, (), False)
        else:
            root = self._instance(value, position, (), None)
        stack: list[tuple[Instance, bool]] = [(root, False)]
        done = set(self.instances)
        while stack:
            instance, expanded = stack.pop()
            if instance in done:
                continue
            if expanded:
                done.add(instance)
                self.instances.append(instance)
                continue
            stack.append((instance, True))
            self._expand(instance)
            stack.extend((operand, False) for operand in reversed(instance.operands) if operand not in done)
        return root

    def loads(self) -> Iterable[Instance]:
        return [instance for instance in self.instances if instance.loaded]

    def _instance(self, value: Value, position: Position, guard: Guard, origin: Value | None) -> Instance:
        key = (value, position, guard)
        found = self.known.get(key)
        if found is None:
            found = Instance(value, position, guard, value.leaf or value in self.stored)
            self.known[key] = found
            if origin is not None:
                self._origins[key] = origin
        return found

    def _expand(self, instance: Instance) -> None:
        value = instance.value
        origin = self._origins.get(instance.key)
        if instance.loaded and value.strides is not None and any(run.count > 1 for run in instance.position):
            # A strided leaf has no row-major place: what was reshaped has to be stored row-major.
            raise Unreachable(origin if origin is not None else value)
        if instance.loaded or instance.operands or instance.axis is not None:
            return
        primitive = value.primitive
        if value.view:
            self._expand_view(instance, origin)
        elif isinstance(primitive, Gather):
            self._expand_gather(instance, primitive, origin)
        elif isinstance(primitive, (Constant, Iota)):
            return
        elif value.elementwise or value.trivial:
            for source in value.inputs:
                operand = self._instance(source, instance.position, instance.guard, origin)
                instance.operands.append(operand)
        else:
            raise Unreachable(value)

    def _expand_view(self, instance: Instance, origin: Value | None) -> None:
        value = instance.value
        try:
            pieces = pull(value, instance.position, self.extents)
        except Unreachable:
            raise Unreachable(origin if origin is not None else value) from None
        guard = instance.guard
        for piece in pieces:
            joined = any(run.count > 1 for run in piece.position)
            origin_of_piece = (origin or piece.source) if joined else None
            entry: Guard = ((piece.conditions, True),) if piece.conditions else ()
            operand = self._instance(piece.source, piece.position, guard + entry, origin_of_piece)
            instance.operands.append(operand)
            instance.conditions.append(piece.conditions)
            if piece.conditions:
                guard = guard + ((piece.conditions, False),)

    def _expand_gather(self, instance: Instance, gather: Gather, origin: Value | None) -> None:
        value = instance.value
        if any(run.count != 1 for run in instance.position):
            raise Unreachable(origin if origin is not None else value)
        at = tuple([instance.position[axis] for axis in gather.index_axes])
        source = value.inputs[0]
        position: list[Run] = []
        for d, number in enumerate(gather.source_map):
            if number >= 0:
                position.append(instance.position[number])
                continue
            axis = self._index_axis(instance, at, -number - 1)
            instance.operands.append(axis)
            assert axis.axis is not None
            position.append(Run(1, along(axis.axis) if source.shape[d] != ONE else NOWHERE))
        instance.operands.append(self._instance(source, tuple(position), instance.guard, None))

    def _index_axis(self, gather: Instance, position: Position, number: int) -> Instance:
        """The axis that stands for index array `number`, known when the array's value is."""
        index = self._instance(gather.value.inputs[1 + number], position, gather.guard, None)
        key = (gather.value, number, position, gather.guard)
        found = self._axes.get(key)
        if found is None:
            found = Instance(gather.value, position, gather.guard, False)
            found.axis = FIRST_INDEX_AXIS + len(self._axes)
            found.operands.append(index)
            found.number = number
            self._axes[key] = found
        return found


def load_place(instance: Instance) -> Affine:
    """Where a loaded instance stands in memory."""
    return linear_place(instance.value, instance.position)


def position_places(position: Position) -> list[Affine]:
    return [run.place for run in position]


_COSTS: dict[tuple[int, tuple[Dtype, ...]], int] = {}


def own_cost(value: Value) -> int:
    """The rough cost of computing one element of a value from its operands, in additions."""
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
