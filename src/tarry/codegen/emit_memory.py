"""Positions, loads and stores -> LLVM text.

The coefficient of the vector loop's variable in a position decides the access: 1 contiguous, -1 contiguous
and reversed, 2 in a complex buffer one pair load for both parts, another constant or a parameter a strided
run of scalar accesses, a varying value a gather or scatter. Inactive lanes never touch memory: where the
target has no masked access, a contiguous tail goes through the stack, and other inactive lanes are pointed at
a block of zeros (loads) or a sink (stores).
"""

from __future__ import annotations

from tarry.base.dtypes import Dtype, float32
from tarry.codegen.assemble import Target
from tarry.codegen.emit_streams import prefetch, streaming_store
from tarry.codegen.emit_transpose import transpose
from tarry.codegen.emit_writer import Operand, Writer, integer, memory_type, register_type, type_suffix
from tarry.loops.ir import (
    Access,
    BufferParam,
    Coefficient,
    Instr,
    IntParam,
    Linear,
    LoopVar,
    Param,
    ScalarParam,
)

# Bytes of the zeros and of the sink: one full vector of any loop.
SPARE_BYTES = 1024


class Lanes:
    """The state of the open vector loop: its variable, the first lane's value, and what is active."""

    __slots__ = ("active", "base", "count", "mask", "variable")

    def __init__(
        self, variable: LoopVar, base: Operand, count: int, mask: Operand | None, active: Operand | None
    ) -> None:
        self.variable = variable
        self.base = base
        self.count = count
        self.mask = mask  # None: all lanes are active
        self.active = active  # the number of active lanes, in 1..count, when there is a mask


class Position:
    """A position by lanes: the sum of `uniform`, lane number * (`step` + sum of `steps`), and `varying`."""

    __slots__ = ("step", "steps", "uniform", "varying")

    def __init__(self) -> None:
        self.uniform: list[Operand] = []
        self.step = 0
        self.steps: list[Operand] = []
        self.varying: list[Operand] = []

    @property
    def is_uniform(self) -> bool:
        return self.step == 0 and not self.steps and not self.varying

    def is_constant_step(self, step: int) -> bool:
        return self.step == step and not self.steps and not self.varying


class Memory:
    """The kernel's parameters, positions and accesses within one function."""

    def __init__(self, writer: Writer, target: Target, params: list[Param]) -> None:
        self.writer = writer
        self.target = target
        self.slots = {id(param): number for number, param in enumerate(params)}
        self.values: dict[int, Operand | Position] = {}
        self.variables: dict[int, Operand] = {}
        self.lanes: Lanes | None = None
        # Loads whose values are there already, by the ids of their instructions.
        self.preloaded: dict[int, Operand] = {}
        # How many bytes ahead some loads also fetch, by the ids of their instructions.
        self.ahead: dict[int, Operand] = {}
        self._sink: Operand | None = None

    # parameters

    def slot(self, number: int, type: str) -> Operand:
        """Entry `number` of the argument table."""
        text = f"getelementptr inbounds i64, ptr %args, i64 {number}"
        address = self.writer.pure("ptr", 0, text)
        return self.writer.pure(type, 0, f"load {type}, ptr {address.text}", address)

    def integer_param(self, param: IntParam) -> Operand:
        return self.slot(self.slots[id(param)], "i64")

    def scalar_param(self, param: ScalarParam) -> Operand:
        value = self.slot(self.slots[id(param)], memory_type(param.dtype))
        return self._from_memory(value, param.dtype)

    def buffer(self, buffer: BufferParam) -> Operand:
        """The first element; a scratch buffer has a part for every chunk."""
        pointer = self.slot(self.slots[id(buffer)], "ptr")
        if buffer.mode != "scratch" or buffer.extent is None:
            return pointer
        chunk = Operand("%chunk", "i64")
        offset = self.writer.multiply(chunk, self.coefficient(buffer.extent))
        return self._offset_pointer(pointer, memory_type(buffer.dtype), offset)

    def coefficient(self, coefficient: Coefficient) -> Operand:
        multiplier = integer(coefficient.multiplier)
        if coefficient.param is None:
            return multiplier
        return self.writer.multiply(self.integer_param(coefficient.param), multiplier)

    # positions

    def position(self, linear: Linear) -> Position:
        """The terms of a position, sorted by how they depend on the lane."""
        writer = self.writer
        result = Position()
        for factor, coefficient in linear.terms:
            scale = self.coefficient(coefficient)
            if factor is None:
                result.uniform.append(scale)
            elif isinstance(factor, LoopVar):
                if self.lanes is not None and factor is self.lanes.variable:
                    result.uniform.append(writer.multiply(self.lanes.base, scale))
                    self._add_step(result, 1, coefficient, scale)
                else:
                    result.uniform.append(writer.multiply(self.variables[id(factor)], scale))
            else:
                self._add_value(result, self.values[id(factor)], coefficient, scale)
        return result

    def _add_step(self, result: Position, step: int, coefficient: Coefficient, scale: Operand) -> None:
        if coefficient.param is None:
            result.step += step * coefficient.multiplier
        elif step:
            result.steps.append(self.writer.multiply(scale, integer(step)))

    def _add_value(
        self, result: Position, value: Operand | Position, coefficient: Coefficient, scale: Operand
    ) -> None:
        multiply = self.writer.multiply
        if isinstance(value, Position):
            result.uniform.extend(multiply(term, scale) for term in value.uniform)
            self._add_step(result, value.step, coefficient, scale)
            result.steps.extend(multiply(term, scale) for term in value.steps)
            result.varying.extend(multiply(term, scale) for term in value.varying)
        elif value.lanes:
            result.varying.append(multiply(value, scale))
        else:
            result.uniform.append(multiply(value, scale))

    def sum(self, terms: list[Operand]) -> Operand:
        """The sum, outer terms first, so that the invariant part leaves the loop."""
        total = integer(0)
        for term in sorted(terms, key=_level):
            total = self.writer.add(total, term)
        return total

    def lane_offsets(self, position: Position, type: str = "i64") -> Operand:
        """Lane number * step + varying, for every lane, as `type` (narrow types wrap)."""
        assert self.lanes is not None
        writer, lanes = self.writer, self.lanes.count
        total = writer.iota(type, lanes, position.step)
        terms = []
        for step in position.steps:
            narrow = step if type == "i64" else self._narrow(step, type)
            terms.append(writer.binary("mul", writer.iota(type, lanes), narrow))
        for value in position.varying:
            terms.append(value if type == "i64" else self._narrow(value, type))
        for number, term in enumerate(sorted(terms, key=_level)):
            total = term if number == 0 and position.step == 0 else writer.binary("add", total, term)
        return total

    def index(self, position: Position, type: str = "i64") -> Operand:
        """The position as a value: a scalar when no lane differs."""
        base = self.sum(position.uniform)
        if type != "i64":
            base = self._narrow(base, type)
        if position.is_uniform:
            return base
        return self.writer.binary("add", self.lane_offsets(position, type), base)

    def _narrow(self, value: Operand, type: str) -> Operand:
        return self.writer.convert("trunc", value, type)

    def _pointer(self, buffer: BufferParam, element: str, terms: list[Operand]) -> Operand:
        """The address of the uniform part, one step per loop level."""
        pointer = self.buffer(buffer)
        by_level: dict[int, list[Operand]] = {}
        for term in terms:
            by_level.setdefault(term.level, []).append(term)
        for level in sorted(by_level):
            pointer = self._offset_pointer(pointer, element, self.sum(by_level[level]))
        return pointer

    def _offset_pointer(self, pointer: Operand, element: str, offset: Operand) -> Operand:
        if offset.constant and offset.text == "0":
            return pointer
        text = f"getelementptr {element}, {pointer.typed}, {offset.typed}"
        return self.writer.pure("ptr", 0, text, pointer, offset)

    # spare memory

    def zeros(self) -> Operand:
        declaration = f"@NAME = internal constant [{SPARE_BYTES} x i8] zeroinitializer, align 64\n"
        name = self.writer.module.helper("zeros", declaration)
        return Operand(f"@{name}", "ptr", constant=True)

    def stack(self, type: str, align: int = 64) -> Operand:
        """Room on the stack, made once at entry."""
        result = self.writer.fresh("ptr")
        result.level = 0
        self.writer.entry.lines.insert(0, f"{result.text} = alloca {type}, align {align}")
        return result

    def sink(self) -> Operand:
        if self._sink is None:
            self._sink = self.stack(f"[{SPARE_BYTES} x i8]")
        return self._sink

    # loads

    def load(self, instr: Instr, guard: Operand | None) -> Operand:
        """The value of a load; zero where the guard is false."""
        found = self.preloaded.get(id(instr))
        if found is not None:
            return found
        access = instr.attribute
        assert isinstance(access, Access)
        position = self.position(access.position)
        element = memory_type(instr.dtype)
        varying_guard = guard is not None and guard.lanes > 0
        if position.is_uniform and not varying_guard:
            pointer = self._pointer(access.buffer, element, position.uniform)
            if guard is not None:
                pointer = self.writer.select(guard, pointer, self.zeros())
            text = f"load {element}, {pointer.typed}, align {_size(element)}"
            return self._from_memory(self.writer.value(element, 0, text), instr.dtype)
        value = self._lane_load(access.buffer, position, element, guard)
        distance = self.ahead.get(id(instr))
        if distance is not None and self.lanes is not None and self.lanes.mask is None:
            pointer = self._pointer(access.buffer, element, position.uniform)
            prefetch(self.writer, pointer, distance, self.lanes.count * _size(element))
        return self._from_memory(value, instr.dtype)

    def _lane_load(
        self, buffer: BufferParam, position: Position, element: str, guard: Operand | None
    ) -> Operand:
        assert self.lanes is not None
        uniform_guard = guard if guard is not None and not guard.lanes else None
        masked = guard is not None and guard.lanes > 0
        if not masked and self._is_pair(buffer, position, element) and guard is None:
            return self._pair_load(buffer, position)
        if position.is_constant_step(1) and (not masked or self._has_masks(element)):
            pointer = self._pointer(buffer, element, position.uniform)
            if uniform_guard is not None:
                pointer = self.writer.select(uniform_guard, pointer, self.zeros())
            mask = self._with_active(guard if masked else None)
            return self._contiguous_load(pointer, element, self.lanes.count, mask, self.lanes.active)
        if position.is_constant_step(-1) and guard is None and self.lanes.mask is None:
            first = [*position.uniform, integer(1 - self.lanes.count)]
            pointer = self._pointer(buffer, element, first)
            value = self._contiguous_load(pointer, element, self.lanes.count, None, None)
            return self._reverse(value)
        if not position.varying and guard is None:
            return self._strided_load(buffer, position, element)
        return self._gather(buffer, position, element, guard)

    def _contiguous_load(
        self, pointer: Operand, element: str, lanes: int, mask: Operand | None, active: Operand | None
    ) -> Operand:
        writer, size = self.writer, _size(element)
        full = f"<{lanes} x {element}>"
        if mask is None:
            return writer.value(element, lanes, f"load {full}, {pointer.typed}, align {size}")
        if self._has_masks(element):
            suffix = type_suffix(element, lanes)
            symbol = f"@llvm.masked.load.{suffix}.p0"
            writer.module.declare(f"{full} {symbol}(ptr, i32, <{lanes} x i1>, {full})")
            arguments = f"{pointer.typed}, i32 {size}, {mask.typed}, {full} zeroinitializer"
            return writer.value(element, lanes, f"call {full} {symbol}({arguments})")
        assert active is not None
        room = self.stack(full)
        writer.line(f"store {full} zeroinitializer, ptr {room.text}, align {size}")
        self._copy(room, pointer, active, size)
        return writer.value(element, lanes, f"load {full}, ptr {room.text}, align {size}")

    def _copy(self, destination: Operand, source: Operand, count: Operand, size: int) -> None:
        self.writer.module.declare("void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
        size_in_bytes = self.writer.multiply(count, integer(size))
        arguments = f"{destination.typed}, {source.typed}, {size_in_bytes.typed}, i1 false"
        self.writer.line(f"call void @llvm.memcpy.p0.p0.i64({arguments})")

    def _strided_pointers(self, buffer: BufferParam, position: Position, element: str) -> list[Operand]:
        """One address a lane; inactive lanes repeat the last active one."""
        assert self.lanes is not None
        writer = self.writer
        base = self._pointer(buffer, element, position.uniform)
        step = self.sum([*position.steps, integer(position.step)])
        pointers = []
        for lane in range(self.lanes.count):
            number = integer(lane)
            if self.lanes.active is not None and lane:
                last = writer.add(self.lanes.active, integer(-1))
                number = writer.intrinsic("umin", last, number)
            pointers.append(self._offset_pointer(base, element, writer.multiply(step, number)))
        return pointers

    def _strided_load(self, buffer: BufferParam, position: Position, element: str) -> Operand:
        writer, size = self.writer, _size(element)
        pointers = self._strided_pointers(buffer, position, element)
        lanes = len(pointers)
        full = f"<{lanes} x {element}>"
        result = Operand("poison", element, lanes)
        for lane, pointer in enumerate(pointers):
            item = writer.value(element, 0, f"load {element}, {pointer.typed}, align {size}")
            text = f"insertelement {full} {result.text}, {item.typed}, i64 {lane}"
            result = writer.value(element, lanes, text)
        return result

    def transposed_load(self, instr: Instr, count: int) -> list[Operand]:
        """The values of a load in `count` consecutive iterations of the loop along which it is contiguous."""
        access = instr.attribute
        assert isinstance(access, Access)
        element = memory_type(instr.dtype)
        pointers = self._strided_pointers(access.buffer, self.position(access.position), element)
        rows = [self._contiguous_load(pointer, element, count, None, None) for pointer in pointers]
        return [self._from_memory(value, instr.dtype) for value in transpose(self.writer, rows)]

    def _lane_pointers(
        self, buffer: BufferParam, position: Position, element: str, mask: Operand | None, spare: Operand
    ) -> Operand:
        """A vector of addresses; lanes outside the mask get the spare one unless the target masks."""
        assert self.lanes is not None
        writer = self.writer
        base = self._pointer(buffer, element, position.uniform)
        offsets = self.lane_offsets(position)
        lanes = self.lanes.count
        text = f"getelementptr {element}, {base.typed}, {offsets.typed}"
        pointers = writer.pure("ptr", lanes, text, base, offsets)
        return pointers if mask is None else writer.select(mask, pointers, spare)

    def _gather(
        self, buffer: BufferParam, position: Position, element: str, guard: Operand | None
    ) -> Operand:
        assert self.lanes is not None
        writer, lanes = self.writer, self.lanes.count
        mask = self._with_active(writer.splat(guard, lanes) if guard is not None else None)
        pointers = self._lane_pointers(buffer, position, element, mask, self.zeros())
        full, suffix = f"<{lanes} x {element}>", type_suffix(element, lanes)
        symbol = f"@llvm.masked.gather.{suffix}.v{lanes}p0"
        writer.module.declare(f"{full} {symbol}(<{lanes} x ptr>, i32, <{lanes} x i1>, {full})")
        every = f"<{lanes} x i1> splat (i1 true)"
        arguments = f"{pointers.typed}, i32 {_size(element)}, {every}, {full} poison"
        return writer.value(element, lanes, f"call {full} {symbol}({arguments})")

    def _reverse(self, value: Operand) -> Operand:
        order = ", ".join(f"i32 {lane}" for lane in reversed(range(value.lanes)))
        text = f"shufflevector {value.typed}, {value.full_type} poison, <{value.lanes} x i32> <{order}>"
        return self.writer.pure(value.type, value.lanes, text, value)

    # complex pairs

    def _is_pair(self, buffer: BufferParam, position: Position, element: str) -> bool:
        return buffer.dtype.kind == "c" and element == "float" and position.is_constant_step(2)

    def _split_parity(self, position: Position) -> tuple[list[Operand], int]:
        """The even part of the uniform terms, and 0 (real) or 1 (imaginary)."""
        constant = sum(int(term.text) for term in position.uniform if term.constant)
        parity = constant & 1
        terms = [term for term in position.uniform if not term.constant]
        return [*terms, integer(constant - parity)], parity

    def _pair_load(self, buffer: BufferParam, position: Position) -> Operand:
        assert self.lanes is not None
        writer, lanes = self.writer, self.lanes.count
        terms, parity = self._split_parity(position)
        pointer = self._pointer(buffer, "float", terms)
        key = f"pair {pointer.text} {len(writer.here.lines) if buffer.mode != 'in' else ''}"
        known = writer.scopes[-1].known
        both = known.get(key)
        if both is None:
            mask, active = self._pair_mask()
            both = known[key] = self._contiguous_load(pointer, "float", 2 * lanes, mask, active)
        order = ", ".join(f"i32 {2 * lane + parity}" for lane in range(lanes))
        text = f"shufflevector {both.typed}, {both.full_type} poison, <{lanes} x i32> <{order}>"
        return writer.pure("float", lanes, text, both)

    def _pair_mask(self) -> tuple[Operand | None, Operand | None]:
        assert self.lanes is not None
        if self.lanes.active is None:
            return None, None
        active = self.writer.add(self.lanes.active, self.lanes.active)
        return prefix_mask(self.writer, active, 2 * self.lanes.count, "i32"), active

    def is_pair_store(self, access: Access, dtype: Dtype) -> int | None:
        """0 or 1 for the real or imaginary part of consecutive complex numbers, else None."""
        if self.lanes is None or dtype is not float32:
            return None
        position = self.position(access.position)
        if not self._is_pair(access.buffer, position, "float"):
            return None
        return self._split_parity(position)[1]

    def store_pair(self, access: Access, real: Operand, imaginary: Operand) -> None:
        """Interleaves the two parts into one contiguous store; `access` is that of the real part."""
        assert self.lanes is not None
        writer, lanes = self.writer, self.lanes.count
        real, imaginary = writer.splat(real, lanes), writer.splat(imaginary, lanes)
        order = ", ".join(f"i32 {lane // 2 + (lane % 2) * lanes}" for lane in range(2 * lanes))
        text = f"shufflevector {real.typed}, {imaginary.typed}, <{2 * lanes} x i32> <{order}>"
        both = writer.pure("float", 2 * lanes, text, real, imaginary)
        terms, _ = self._split_parity(self.position(access.position))
        pointer = self._pointer(access.buffer, "float", terms)
        mask, active = self._pair_mask()
        self._contiguous_store(both, pointer, mask, active)

    # stores

    def store(
        self,
        access: Access,
        dtype: Dtype,
        value: Operand,
        guard: Operand | None,
        stream_bits: Operand | None = None,
    ) -> None:
        """Writes the value where its guard holds; in a vector loop, for every active lane.

        With `stream_bits` (see emit_streams) whole vectors may go straight to memory.
        """
        writer = self.writer
        element = memory_type(dtype)
        if dtype.kind == "b":
            value = writer.convert("zext", value, "i8")
        position = self.position(access.position)
        uniform_guard = guard is None or not guard.lanes
        if self.lanes is None or (position.is_uniform and not value.lanes and uniform_guard):
            pointer = self._pointer(access.buffer, element, position.uniform)
            if guard is not None:
                pointer = writer.select(guard, pointer, self.sink())
            writer.line(f"store {value.typed}, {pointer.typed}, align {_size(element)}")
            return
        value = writer.splat(value, self.lanes.count)
        width = self.target.vector_bits // 8
        if stream_bits is not None and self.lanes.count * _size(element) % width == 0:
            pointer = self._pointer(access.buffer, element, position.uniform)
            streaming_store(writer, value, pointer, _size(element), stream_bits, width)
            return
        self._lane_store(access.buffer, position, value, guard)

    def _lane_store(
        self, buffer: BufferParam, position: Position, value: Operand, guard: Operand | None
    ) -> None:
        assert self.lanes is not None
        element = value.type
        masked = guard is not None and guard.lanes > 0
        if position.is_constant_step(1) and (not masked or self._has_masks(element)):
            pointer = self._pointer(buffer, element, position.uniform)
            if guard is not None and not masked:
                pointer = self.writer.select(guard, pointer, self.sink())
            mask = self._with_active(guard if masked else None)
            self._contiguous_store(value, pointer, mask, self.lanes.active)
        elif position.is_constant_step(-1) and guard is None and self.lanes.mask is None:
            pointer = self._pointer(buffer, element, [*position.uniform, integer(1 - self.lanes.count)])
            self._contiguous_store(self._reverse(value), pointer, None, None)
        elif not position.varying and guard is None:
            self._strided_store(buffer, position, value)
        else:
            self._scatter(buffer, position, value, guard)

    def _contiguous_store(
        self, value: Operand, pointer: Operand, mask: Operand | None, active: Operand | None
    ) -> None:
        writer, size = self.writer, _size(value.type)
        if mask is None:
            writer.line(f"store {value.typed}, {pointer.typed}, align {size}")
        elif self._has_masks(value.type):
            symbol = f"@llvm.masked.store.{type_suffix(value.type, value.lanes)}.p0"
            writer.module.declare(f"void {symbol}({value.full_type}, ptr, i32, <{value.lanes} x i1>)")
            writer.line(f"call void {symbol}({value.typed}, {pointer.typed}, i32 {size}, {mask.typed})")
        else:
            assert active is not None
            room = self.stack(value.full_type)
            writer.line(f"store {value.typed}, ptr {room.text}, align {size}")
            self._copy(pointer, room, active, size)

    def _strided_store(self, buffer: BufferParam, position: Position, value: Operand) -> None:
        writer, size = self.writer, _size(value.type)
        pointers = self._strided_pointers(buffer, position, value.type)
        # Downwards: inactive lanes share the address of the last active one, which then has the last word.
        for lane in reversed(range(value.lanes)):
            item = writer.pure(value.type, 0, f"extractelement {value.typed}, i64 {lane}", value)
            writer.line(f"store {item.typed}, {pointers[lane].typed}, align {size}")

    def _scatter(
        self, buffer: BufferParam, position: Position, value: Operand, guard: Operand | None
    ) -> None:
        assert self.lanes is not None
        writer, lanes = self.writer, self.lanes.count
        mask = self._with_active(writer.splat(guard, lanes) if guard is not None else None)
        pointers = self._lane_pointers(buffer, position, value.type, mask, self.sink())
        symbol = f"@llvm.masked.scatter.{type_suffix(value.type, lanes)}.v{lanes}p0"
        writer.module.declare(f"void {symbol}({value.full_type}, <{lanes} x ptr>, i32, <{lanes} x i1>)")
        every = f"<{lanes} x i1> splat (i1 true)"
        arguments = f"{value.typed}, {pointers.typed}, i32 {_size(value.type)}, {every}"
        writer.line(f"call void {symbol}({arguments})")

    # masks

    def _has_masks(self, element: str) -> bool:
        """Whether masked loads and stores of this element are instructions of the target."""
        if self.target.architecture != "x86" or self.target.vector_bits < 256:
            return False
        return self.target.vector_bits >= 512 or _size(element) >= 4

    def _with_active(self, mask: Operand | None) -> Operand | None:
        active = None if self.lanes is None else self.lanes.mask
        if mask is None or active is None:
            return mask or active
        return self.writer.binary("and", mask, active)

    def _from_memory(self, value: Operand, dtype: Dtype) -> Operand:
        assert memory_type(dtype) == value.type, register_type(dtype)
        if dtype.kind != "b":
            return value
        return self.writer.binary("icmp ne", value, integer(0, "i8"), "i1")


def prefix_mask(writer: Writer, active: Operand, lanes: int, type: str) -> Operand:
    """True in the first `active` lanes; `type` is an integer as wide as the data: no shuffles of masks."""
    count = active if type == "i64" else writer.convert("trunc", active, type)
    return writer.binary("icmp slt", writer.iota(type, lanes), count, "i1")


def _level(operand: Operand) -> int:
    return operand.level


def _size(element: str) -> int:
    return {"float": 4, "double": 8, "ptr": 8}.get(element) or int(element[1:]) // 8
