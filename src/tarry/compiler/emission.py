"""Emits the values of one kernel through a Builder: instances become instructions, places positions."""

from __future__ import annotations

from tarry.base.dtypes import Dtype, bool_, int64
from tarry.compiler.lowered import (
    Binding,
    BufferBinding,
    CheckBinding,
    IntBinding,
    ScalarBinding,
    ScratchBinding,
    StatusBinding,
)
from tarry.compiler.program import Value
from tarry.compiler.trace import Guard, Instance, load_place
from tarry.loops.builder import Builder, linear
from tarry.loops.ir import BufferParam, Coefficient, Instr, IntParam, Linear, LoopVar, ScalarParam
from tarry.loops.poly import Affine, Poly, along, contiguous
from tarry.ops.elementwise import Constant, Elementwise
from tarry.ops.generators import Iota
from tarry.ops.indexed import Gather
from tarry.ops.structure import Condition, Reduction


class Emission:
    """The parameters of a kernel under construction, with their bindings, and the values known so far.

    `factors` gives for each axis what stands for it in positions: a loop variable, an int64 value, or nothing
    when the axis runs together with the next one.
    """

    def __init__(self, name: str) -> None:
        self.builder = Builder(name)
        self.bindings: list[Binding] = []
        self.factors: dict[int, LoopVar | Instr | None] = {}
        self.local: dict[Value, Instr] = {}
        self._values: list[dict[Instance, Instr]] = [{}]
        self._integers: dict[object, IntParam] = {}
        self._buffers: dict[Value, BufferParam] = {}
        self._scalars: dict[int, ScalarParam] = {}
        self._status: BufferParam | None = None

    # parameters

    def buffer(self, value: Value, mode: str) -> BufferParam:
        param = self._buffers.get(value)
        if param is None:
            param = self.builder.buffer(value.dtype, mode)
            self._buffers[value] = param
            self.bindings.append(BufferBinding(value))
        return param

    def scratch(self, dtype: Dtype, extent: Poly) -> BufferParam:
        size = self.coefficient("scratch", extent)
        param = self.builder.buffer(dtype, "scratch", size)
        self.bindings.append(ScratchBinding(dtype, extent))
        return param

    def partial(self, dtype: Dtype, extent: Poly) -> BufferParam:
        """Memory for results of parts of the work."""
        size = self.coefficient("partial", extent)
        param = self.builder.buffer(dtype, "partial", size)
        self.bindings.append(ScratchBinding(dtype, extent, shared=True))
        return param

    def status(self) -> BufferParam:
        if self._status is None:
            self._status = self.builder.buffer(int64, "status")
            self.bindings.append(StatusBinding())
        return self._status

    def integer(self, role: object, poly: Poly) -> IntParam:
        """The parameter for an integer in one role: equal sizes in different roles stay different parameters,
        so that a coincidence of sizes never makes another kernel."""
        key = (role, poly)
        param = self._integers.get(key)
        if param is None:
            param = self.builder.integer()
            self._integers[key] = param
            self.bindings.append(IntBinding(poly))
        return param

    def coefficient(self, role: object, poly: Poly) -> Coefficient:
        value = poly.constant
        return Coefficient(1, self.integer(role, poly)) if value is None else Coefficient(value)

    def size(self, role: object, poly: Poly) -> Instr:
        value = poly.constant
        if value is not None:
            return self.builder.const(value, int64)
        return self.builder.size(self.integer(role, poly))

    # positions

    def position(self, role: object, place: Affine) -> Linear:
        terms: list[tuple[LoopVar | Instr | None, Coefficient]] = []
        for axis, coefficient in place.terms:
            factor = self.factors[axis]
            if factor is not None:
                terms.append((factor, self.coefficient((role, axis), coefficient)))
        if place.offset.terms:
            terms.append((None, self.coefficient((role, "offset"), place.offset)))
        return linear(*terms)

    def index(self, role: object, place: Affine) -> Instr:
        return self.builder.index(self.position(role, place))

    # values

    def open_scope(self) -> None:
        """Values computed from here on are forgotten at the matching `close_scope`."""
        self._values.append({})

    def close_scope(self) -> None:
        self._values.pop()

    def known(self, instance: Instance) -> Instr | None:
        for scope in reversed(self._values):
            found = scope.get(instance)
            if found is not None:
                return found
        return None

    def define(self, instance: Instance, value: Instr) -> None:
        self._values[-1][instance] = value

    def emit(self, instance: Instance) -> Instr:
        """The value of an instance whose operands are known."""
        found = self.known(instance)
        if found is None:
            found = self._compute(instance)
            self.define(instance, found)
        return found

    def _operand(self, instance: Instance) -> Instr:
        found = self.known(instance)
        assert found is not None, instance
        return found

    def _compute(self, instance: Instance) -> Instr:
        value = instance.value
        if instance.axis is not None:
            return self._index_axis(instance, instance.axis)
        if instance.loaded:
            return self.load(instance)
        if value.view:
            return self._select_piece(instance)
        primitive = value.primitive
        if isinstance(primitive, Constant):
            return self._constant(value)
        if isinstance(primitive, Iota):
            place = instance.position[primitive.axis].place
            return self.builder.cast(self.index(("iota", value.number), place), value.dtype)
        if isinstance(primitive, Gather):
            return self._operand(instance.operands[-1])
        operands = [self._operand(operand) for operand in instance.operands]
        if isinstance(primitive, Elementwise):
            result = primitive.emit(self.builder, *operands)
            if result.dtype is not value.dtype:
                got, expected = result.dtype.name, value.dtype.name
                raise AssertionError(f"[{primitive.name}] emitted {got}, not {expected}")
            return result
        assert isinstance(primitive, Reduction)
        zero = self.builder.const(0, int64)
        return primitive.result(self.builder, primitive.prepare(self.builder, operands[0], zero))

    def load(self, instance: Instance) -> Instr:
        local = self.local.get(instance.value)
        if local is not None:
            return local
        value = instance.value
        mode = "in" if value not in self._buffers else self._buffers[value].mode
        buffer = self.buffer(value, mode)
        place = self.position(("buffer", value.number), load_place(instance))
        return self.builder.load(buffer, place, self.guard(instance.guard))

    def _constant(self, value: Value) -> Instr:
        param = self._scalars.get(value.scalar)
        if param is None:
            param = self.builder.scalar_param(value.dtype)
            self._scalars[value.scalar] = param
            self.bindings.append(ScalarBinding(value.scalar, value.dtype))
        return self.builder.scalar(param)

    # guards and views

    def guard(self, guard: Guard) -> Instr | None:
        result: Instr | None = None
        for conditions, wanted in guard:
            held = self.holds(conditions)
            if not wanted:
                held = self.builder.logical_not(held)
            result = held if result is None else self.builder.logical_and(result, held)
        return result

    def holds(self, conditions: tuple[Condition, ...]) -> Instr:
        result: Instr | None = None
        for condition in conditions:
            at = self.index(("condition", condition.position), condition.position)
            for bound, op in ((condition.low, "ge"), (condition.high, "lt")):
                if bound is None:
                    continue
                limit = self.size(("bound", op, condition.position), bound)
                held = self.builder.apply(op, at, limit)
                result = held if result is None else self.builder.logical_and(result, held)
        return result if result is not None else self.builder.const(True, bool_)

    def _select_piece(self, instance: Instance) -> Instr:
        result = self._operand(instance.operands[-1])
        pairs = list(zip(instance.operands[:-1], instance.conditions[:-1]))
        for operand, conditions in reversed(pairs):
            result = self.builder.select(self.holds(conditions), self._operand(operand), result)
        return result

    # gathers

    def checked_index(
        self, owner: Value, index: Instr, extent: Poly, guard: Instr | None
    ) -> tuple[Instr, Instr]:
        """An index wrapped once and made safe, and whether it was in range; reports one that was not."""
        builder = self.builder
        wide = builder.cast(index, int64)
        size = self.size(("indexed", owner.number, extent), extent)
        zero = builder.const(0, int64)
        wrapped = builder.select(builder.apply("lt", wide, zero), builder.add(wide, size), wide)
        good = builder.logical_and(builder.apply("ge", wrapped, zero), builder.apply("lt", wrapped, size))
        reported = good if guard is None else builder.apply("or", good, builder.logical_not(guard))
        slot = self._check_number(owner)
        builder.check(self.status(), reported, wide, size, Coefficient(1, slot))
        return builder.select(good, wrapped, zero), good

    def _check_number(self, owner: Value) -> IntParam:
        key = ("check", owner.number)
        slot = self._integers.get(key)
        if slot is None:
            slot = self.builder.integer()
            self._integers[key] = slot
            self.bindings.append(CheckBinding(owner))
        return slot

    def _index_axis(self, instance: Instance, axis: int) -> Instr:
        """The value of an index array, made safe; from now on it stands for the axis in positions."""
        value = instance.value
        gather = value.primitive
        assert isinstance(gather, Gather)
        index = instance.operands[0]
        extent = value.inputs[0].shape[gather.source_map.index(-instance.number - 1)]
        guard = self.guard(instance.guard)
        safe, _ = self.checked_index(value, self._operand(index), extent, guard)
        self.factors[axis] = safe
        return safe


def row_major(axes: list[int], space: tuple[Poly, ...]) -> Affine:
    """The row-major place within the given axes."""
    strides = contiguous([space[axis] for axis in axes])
    total = Affine(Poly(()), ())
    for axis, stride in zip(axes, strides):
        total = total + along(axis).scale(stride)
    return total
