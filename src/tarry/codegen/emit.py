"""Kernel -> LLVM text: the functions of one kernel with explicit vectors.

`void @NAME(ptr noalias %args, i64 %chunk, i64 %chunks)` runs one chunk. `args` is a table of 8-byte slots,
one per parameter in order (buffer: pointer, integer: i64, scalar: the value in the low bytes) and, when
`partial_bytes` is not 0, a pointer to chunks * partial_bytes bytes. The parallel loop is cut by extent and
`chunks` alone. What precedes it is computed by every chunk; what follows it runs in `NAME_finish`, same
signature, after all chunks: it combines the chunks' partial accumulators in chunk order. A scratch buffer is
chunks * extent elements.

A vector loop runs `unroll * lanes` values of its variable at once, then a masked tail `lanes` wide. Lane
accumulators start from the identity and are combined by halving when the loop ends.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.codegen.assemble import Target
from tarry.codegen.emit_analysis import (
    REDUCED_VECTORS,
    Liveness,
    carried_by,
    choose_lanes,
    declared,
    fused_products,
    is_ascending,
    is_light,
    is_short,
    read_of,
    walk,
)
from tarry.codegen.emit_arithmetic import Arithmetic
from tarry.codegen.emit_effects import Effects, negated
from tarry.codegen.emit_loops import SUM_BLOCK, LoopFrame, Loops, component_types, is_float_sum
from tarry.codegen.emit_memory import Lanes, Memory, Position, prefix_mask
from tarry.codegen.emit_streams import (
    alignment_bits,
    distance_ahead,
    finish_streams,
    loads_ahead,
    may_stream,
    read_back,
    row_stride,
)
from tarry.codegen.emit_transpose import block_size, concatenate, transposed_loads
from tarry.codegen.emit_writer import Module, Operand, Writer, integer, literal
from tarry.loops.ir import (
    Access,
    Accumulator,
    Check,
    Coefficient,
    Declare,
    Instr,
    IntParam,
    Kernel,
    Linear,
    Loop,
    ScalarParam,
    Statement,
    Store,
    Update,
    parallel_loop,
)

# Chunks of a vector loop start at multiples of this, so that only the last has a tail.
CHUNK_ALIGNMENT = 64
# Rows of a short, light loop inside a vector loop that are written out one after the other.
UNROLLED_ROWS = 8
# A chunk that is only reduced is read from this many places at once: a processor fetches each ahead.
READ_STREAMS = 4


class KernelCode:
    """The module of one kernel.

    `name` and `finish_name` are its symbols, `slots` the parameter names in the order of the argument table
    (with a last one, `partials`, when partial_bytes is not 0), `lanes` the width of its vector loops or 1.
    """

    __slots__ = ("finish_name", "lanes", "name", "partial_bytes", "slots", "text")

    def __init__(
        self, text: str, name: str, finish_name: str | None, partial_bytes: int, slots: list[str], lanes: int
    ) -> None:
        self.text = text
        self.name = name
        self.finish_name = finish_name
        self.partial_bytes = partial_bytes
        self.slots = slots
        self.lanes = lanes


def emit_kernel(kernel: Kernel, target: Target) -> KernelCode:
    """The LLVM text of a kernel of basic operations (see codegen.expand); equal kernels give equal text.

    Errors: TypeError "[emit] ..." for an operation or dtype that is not basic.

    Example:
        >>> emit_kernel(kernel, Target.named("avx2")).text  # doctest: +SKIP
    """
    module = Module(kernel.name)
    loop = parallel_loop(kernel)
    if loop is None:
        emitter = Emitter(module, target, kernel)
        text = emitter.run_whole()
        return _code(kernel, module, [text], None, 0, emitter.widest)
    cut = kernel.body.index(loop)
    before, after = kernel.body[:cut], kernel.body[cut + 1 :]
    liveness = Liveness()
    has_finish = liveness.mark(after)
    partials = [
        accumulator
        for accumulator in declared(before)
        if has_finish and id(accumulator) in liveness.needed and _updates(loop, accumulator)
    ]
    layout, partial_bytes = _partial_layout(partials)
    emitter = Emitter(module, target, kernel)
    texts = [emitter.run_chunk(before, loop, partials, layout, partial_bytes)]
    finish_name = None
    widest = emitter.widest
    if has_finish:
        finish_name = kernel.name + "_finish"
        finisher = Emitter(module, target, kernel)
        texts.append(finisher.run_finish(finish_name, before, after, partials, layout, partial_bytes))
        widest = max(widest, finisher.widest)
    return _code(kernel, module, texts, finish_name, partial_bytes, widest)


def join_modules(texts: Sequence[str]) -> str:
    """One module of the texts of several kernels, whose names must differ."""
    lines = [line for text in texts for line in text.splitlines(keepends=True)]
    declarations = dict.fromkeys(line for line in lines if line.startswith("declare "))
    return "".join(line for line in lines if not line.startswith("declare ")) + "".join(declarations)


def _code(
    kernel: Kernel, module: Module, texts: list[str], finish_name: str | None, partial_bytes: int, lanes: int
) -> KernelCode:
    parts = [*module.helpers.values(), *texts, *(line + "\n" for line in module.declarations)]
    slots = [param.name for param in kernel.params] + (["partials"] if partial_bytes else [])
    return KernelCode("".join(parts), kernel.name, finish_name, partial_bytes, slots, lanes)


def _updates(loop: Loop, accumulator: Accumulator) -> bool:
    live = Liveness()
    live.needed.add(id(accumulator))
    live.mark([loop], effects=False)
    return any(found is accumulator for found in carried_by(loop, live.live))


def _partial_layout(partials: Sequence[Accumulator]) -> tuple[dict[int, list[int]], int]:
    """Byte offsets of the components within one chunk's partials, and the size: whole cache lines."""
    layout: dict[int, list[int]] = {}
    offset = 0
    for accumulator in partials:
        layout[id(accumulator)] = [offset + 8 * number for number in range(len(accumulator.dtypes))]
        offset += 8 * len(accumulator.dtypes)
    return layout, (offset + 63) // 64 * 64


class Emitter:
    """Writes one function of a kernel."""

    def __init__(self, module: Module, target: Target, kernel: Kernel) -> None:
        self.target = target
        self.kernel = kernel
        self.writer = Writer(module)
        self.memory = Memory(self.writer, target, kernel.params)
        self.arithmetic = Arithmetic(self.writer, target)
        self.loops = Loops(self.writer, self.arithmetic)
        self.effects = Effects(self.writer)
        self.products = fused_products(kernel.body)
        self.live: set[int] = set()
        self.widest = 1
        # In a chunk: the extents of the open loops, and the buffers whose results may pass the caches by.
        self.extents: list[Operand] = []
        self.streams: set[int] = set()

    # functions

    def run_whole(self) -> str:
        """A kernel without parallel loop: chunk 0 does it all."""
        liveness = Liveness()
        liveness.mark(self.kernel.body)
        self.live = liveness.live
        writer = self.writer
        first = writer.value("i1", 0, "icmp eq i64 %chunk, 0")
        work, leave = writer.new_block("work"), writer.new_block("leave")
        writer.branch_if(first, work, leave)
        writer.enter(work)
        self.statements(self.kernel.body)
        writer.branch(leave)
        writer.enter(leave)
        return self._text(self.kernel.name)

    def run_chunk(
        self,
        before: Sequence[Statement],
        loop: Loop,
        partials: list[Accumulator],
        layout: dict[int, list[int]],
        partial_bytes: int,
    ) -> str:
        """One chunk of the parallel loop; its accumulators go to the chunk's partials."""
        liveness = Liveness()
        liveness.needed.update(map(id, partials))
        liveness.mark([*before, loop])
        self.live = liveness.live
        self.statements(before)
        for accumulator in partials:
            self.loops.current[id(accumulator)] = self.loops.identity(accumulator, 0)
        start, end = self._chunk_bounds(loop)
        self._choose_streams(loop)
        self._loop_between(loop, start, end)
        if self.streams:
            finish_streams(self.writer)
        base = self._partials(Operand("%chunk", "i64"), partial_bytes) if partials else None
        for accumulator in partials:
            assert base is not None
            values = self.loops.current[id(accumulator)]
            for value, offset in zip(values, layout[id(accumulator)]):
                address = self._partial_address(base, offset)
                if value.type == "i1":
                    value = self.writer.convert("zext", value, "i8")
                self.writer.line(f"store {value.typed}, {address.typed}, align 8")
        return self._text(self.kernel.name)

    def _choose_streams(self, loop: Loop) -> None:
        """Which results may pass the caches by, and which loads of rows fetch ahead."""
        if self.target.architecture == "x86":
            stored = {id(s.access.buffer) for s in walk([loop]) if isinstance(s, Store)}
            self.streams = stored - read_back(self.kernel.body)
        for number, each in loads_ahead(loop, self.live).items():
            load = next(s for s in each.body if id(s) == number)
            assert isinstance(load, Instr) and isinstance(load.attribute, Access)
            stride = row_stride(load.attribute.position, loop.var)
            size = integer(load.dtype.size)
            stride_bytes = None
            if stride is not None:
                stride_bytes = self.writer.multiply(self.memory.index(self.memory.position(stride)), size)
            row_bytes = self.writer.multiply(self._extent(each), size)
            self.memory.ahead[number] = distance_ahead(self.writer, row_bytes, stride_bytes)

    def run_finish(
        self,
        name: str,
        before: Sequence[Statement],
        after: Sequence[Statement],
        partials: list[Accumulator],
        layout: dict[int, list[int]],
        partial_bytes: int,
    ) -> str:
        """Combines the chunks' partials, in chunk order, and runs what follows the parallel loop."""
        liveness = Liveness()
        liveness.mark(after)
        liveness.mark(before, effects=False)
        self.live = liveness.live
        self.statements(before)
        if partials:
            chunks = Operand("%chunks", "i64")
            frame = self.loops.open_loop(integer(0), chunks, 1, partials)
            base = self._partials(frame.variable, partial_bytes)
            for accumulator in partials:
                types = component_types(accumulator)
                values = []
                for type, offset in zip(types, layout[id(accumulator)]):
                    address = self._partial_address(base, offset)
                    stored = "i8" if type == "i1" else type
                    value = self.writer.value(stored, 0, f"load {stored}, {address.typed}, align 8")
                    values.append(value if type != "i1" else self.writer.convert("trunc", value, "i1"))
                current = self.loops.current[id(accumulator)]
                self.loops.current[id(accumulator)] = self.loops.combine(accumulator, current, values)
            self.loops.close_loop(frame)
        self.statements(after)
        return self._text(name)

    def _text(self, name: str) -> str:
        self.writer.here.terminator = "ret void"
        attributes = "nounwind "
        if self.target.vector_bits >= 512:
            attributes += '"prefer-vector-width"="512" "min-legal-vector-width"="512" '
        return self.writer.text(f"void @{name}(ptr noalias %args, i64 %chunk, i64 %chunks)", attributes)

    def _partials(self, chunk: Operand, partial_bytes: int) -> Operand:
        table = self.memory.slot(len(self.kernel.params), "ptr")
        offset = self.writer.multiply(chunk, integer(partial_bytes))
        text = f"getelementptr i8, {table.typed}, {offset.typed}"
        return self.writer.pure("ptr", 0, text, table, offset)

    def _partial_address(self, base: Operand, offset: int) -> Operand:
        return self.writer.pure("ptr", 0, f"getelementptr i8, {base.typed}, i64 {offset}", base)

    def _chunk_bounds(self, loop: Loop) -> tuple[Operand, Operand]:
        """Where this chunk's iterations start and end: a function of extent, chunk and chunks."""
        writer = self.writer
        extent = self._extent(loop)
        chunk, chunks = Operand("%chunk", "i64"), Operand("%chunks", "i64")
        following = writer.add(chunk, integer(1))
        bounds = []
        for number in (chunk, following):
            bound = writer.binary("udiv", writer.binary("mul", extent, number), chunks)
            if loop.vector:
                bound = writer.binary("and", bound, integer(-CHUNK_ALIGNMENT))
            bounds.append(bound)
        is_last = writer.binary("icmp eq", following, chunks, "i1")
        return bounds[0], writer.select(is_last, extent, bounds[1])

    def _extent(self, loop: Loop) -> Operand:
        if isinstance(loop.extent, Coefficient):
            return self.memory.coefficient(loop.extent)
        return self.operand(loop.extent)

    # statements

    def statements(self, body: Sequence[Statement]) -> None:
        """One body, in order; dead statements are passed over."""
        real_part: Store | None = None  # a complex store waiting for its imaginary part
        for number, statement in enumerate(body):
            if id(statement) not in self.live:
                continue
            if isinstance(statement, Instr):
                if id(statement) not in self.products:
                    self._instr(statement)
            elif isinstance(statement, Loop):
                self._loop(statement)
            elif isinstance(statement, Declare):
                lanes = 0 if self.memory.lanes is None else self.memory.lanes.count
                accumulator = statement.accumulator
                self.loops.current[id(accumulator)] = self.loops.identity(accumulator, lanes)
            elif isinstance(statement, Update):
                self._update(statement)
            elif isinstance(statement, Store):
                following = body[number + 1] if number + 1 < len(body) else None
                if real_part is not None:
                    values = self.operand(real_part.value), self.operand(statement.value)
                    self.memory.store_pair(real_part.access, *values)
                    real_part = None
                elif self._starts_pair(statement, following):
                    real_part = statement
                else:
                    self._store(statement)
            else:
                self._check(statement)

    def _starts_pair(self, store: Store, following: Statement | None) -> bool:
        """Whether the next statement stores the imaginary part beside this real part."""
        if not isinstance(following, Store) or store.access.buffer is not following.access.buffer:
            return False
        if store.access.buffer.dtype.kind != "c" or store.guard is not None or following.guard is not None:
            return False
        first, second = store.access, following.access
        if self.memory.is_pair_store(first, store.value.dtype) != 0:
            return False
        return _shifted_by_one(first.position, second.position)

    def _instr(self, instr: Instr) -> None:
        values = self.memory.values
        attribute = instr.attribute
        if instr.op == "const":
            values[id(instr)] = literal(attribute, instr.dtype)
        elif instr.op == "scalar":
            assert isinstance(attribute, ScalarParam)
            values[id(instr)] = self.memory.scalar_param(attribute)
        elif instr.op == "size":
            assert isinstance(attribute, IntParam)
            values[id(instr)] = self.memory.integer_param(attribute)
        elif instr.op == "index":
            assert isinstance(attribute, Linear)
            position = self.memory.position(attribute)
            values[id(instr)] = self.memory.index(position) if position.is_uniform else position
        elif instr.op == "load":
            guard = self.operand(instr.args[0]) if instr.args else None
            values[id(instr)] = self.memory.load(instr, guard)
        elif instr.op == "read":
            accumulator, component = read_of(instr)
            values[id(instr)] = self.loops.current[id(accumulator)][component]
        elif instr.op == "libm":
            values[id(instr)] = self._libm(instr)
        else:
            values[id(instr)] = self._apply(instr)

    def _apply(self, instr: Instr) -> Operand:
        source = instr.args[-1]
        if instr.op == "cast" and source.dtype.kind in "iu" and instr.dtype.kind in "iu":
            value = self.memory.values[id(source)]
            if isinstance(value, Position) and instr.dtype.size < 8:
                # Narrow indices wrap, so they are made in the narrow type from the start.
                return self.memory.index(value, f"i{8 * instr.dtype.size}")
        operands = [self.operand(arg) for arg in instr.args]
        return self.arithmetic.apply(instr.op, instr.dtype, source.dtype, operands)

    def operand(self, instr: Instr) -> Operand:
        """The value of an instruction; an index becomes a vector when it is first used as one."""
        value = self.memory.values[id(instr)]
        return self.memory.index(value) if isinstance(value, Position) else value

    def _libm(self, instr: Instr) -> Operand:
        guard, *values = [self.operand(arg) for arg in instr.args]
        lanes = max(value.lanes for value in [guard, *values])
        count = max(lanes, 1)
        stack = [self.memory.stack(f"[{count} x i8]")]
        stack += [self.memory.stack(f"[{count} x double]") for _ in range(len(values) + 1)]
        return self.effects.libm(str(instr.attribute), guard, values, stack)

    def _store(self, statement: Store) -> None:
        guard = None if statement.guard is None else self.operand(statement.guard)
        value = self.operand(statement.value)
        access, dtype = statement.access, statement.value.dtype
        lanes, bits = self.memory.lanes, None
        whole = lanes is not None and lanes.mask is None and may_stream(statement, lanes.variable)
        if whole and id(access.buffer) in self.streams:
            bits = alignment_bits(self.writer, self.extents, dtype.size, self.target.vector_bits // 8)
        self.memory.store(access, dtype, value, guard, bits)

    def _check(self, statement: Check) -> None:
        good, index, extent = map(self.operand, (statement.good, statement.index, statement.extent))
        lanes = max(good.lanes, index.lanes, extent.lanes)
        mask = self.memory.lanes.mask if lanes and self.memory.lanes is not None else None
        bad = negated(self.writer, good, mask)
        status = self.memory.buffer(statement.status)
        slot = self.memory.coefficient(statement.slot)
        self.effects.check(status, bad, index, extent, slot, lanes)

    def _update(self, statement: Update) -> None:
        """Combines values into an accumulator; inactive lanes keep what they have."""
        accumulator = statement.accumulator
        current = self.loops.current[id(accumulator)]
        value = statement.values[0]
        if id(value) in self.products:
            left, right = (self.operand(arg) for arg in value.args)
            combined = [self.arithmetic.fma(left, right, current[0])]
        else:
            values = [self.operand(value) for value in statement.values]
            if is_ascending(statement):
                combined = self.loops.combine_later(accumulator, current, values)
            else:
                combined = self.loops.combine(accumulator, current, values)
        mask = self.memory.lanes.mask if self.memory.lanes is not None else None
        if mask is not None:
            combined = [self.writer.select(mask, new, old) for new, old in zip(combined, current)]
        self.loops.current[id(accumulator)] = combined

    # loops

    def _loop(self, loop: Loop) -> None:
        self._loop_between(loop, integer(0), self._extent(loop))

    def _loop_between(self, loop: Loop, start: Operand, end: Operand) -> None:
        self.extents.append(self._extent(loop))
        self._emit_loop(loop, start, end)
        self.extents.pop()

    def _emit_loop(self, loop: Loop, start: Operand, end: Operand) -> None:
        carried = carried_by(loop, self.live)
        if loop.vector and self.memory.lanes is None:
            self._vector_loop(loop, start, end, carried)
            return
        lanes = self.memory.lanes
        if lanes is not None and lanes.mask is None:
            loads = transposed_loads(loop, lanes.variable, self.live)
            if loads:
                size = block_size(loads, lanes.count, self.target.vector_bits)
                start = self._blocks(loop, start, end, carried, loads, size)
            elif is_short(loop, SUM_BLOCK) and is_light(loop, self.live):
                start = self._blocks(loop, start, end, carried, [], UNROLLED_ROWS)
        frame = self.loops.open_loop(start, end, 1, carried, short=is_short(loop, SUM_BLOCK))
        self.memory.variables[id(loop.var)] = frame.variable
        self.statements(loop.body)
        self.loops.close_loop(frame)

    def _blocks(
        self,
        loop: Loop,
        start: Operand,
        end: Operand,
        carried: list[Accumulator],
        loads: list[Instr],
        size: int,
    ) -> Operand:
        """Whole blocks of iterations of a serial loop, with `loads` transposed; returns where they end."""
        writer, memory = self.writer, self.memory
        count = end if start.constant else writer.binary("sub", end, start)
        blocks_end = writer.add(start, writer.binary("and", count, integer(-size)))
        short = is_short(loop, SUM_BLOCK * size)
        frame = self.loops.open_loop(start, blocks_end, size, carried, short=short)
        memory.variables[id(loop.var)] = frame.variable
        # Positions the loads may use; those that depend on what the body computes have to wait for it.
        computed = {id(statement) for statement in loop.body}
        for statement in loop.body:
            if isinstance(statement, Instr) and statement.op == "index" and id(statement) in self.live:
                assert isinstance(statement.attribute, Linear)
                if not any(id(factor) in computed for factor, _ in statement.attribute.terms):
                    computed.remove(id(statement))
                    self._instr(statement)
        loaded = {id(instr): memory.transposed_load(instr, size) for instr in loads}
        for number in range(size):
            memory.variables[id(loop.var)] = writer.add(frame.variable, integer(number))
            memory.preloaded = {key: vectors[number] for key, vectors in loaded.items()}
            self.statements(loop.body)
        memory.preloaded = {}
        self.loops.close_loop(frame)
        return blocks_end

    def _vector_loop(self, loop: Loop, start: Operand, end: Operand, carried: list[Accumulator]) -> None:
        """A full-width main loop, a masked tail, and the horizontal combination."""
        writer, loops = self.writer, self.loops
        choice = choose_lanes(loop, self.live, self.target)
        self.widest = max(self.widest, choice.lanes)
        width = choice.lanes * choice.unroll
        outside = {id(accumulator): loops.current[id(accumulator)] for accumulator in carried}
        for accumulator in carried:
            lanes = choice.lanes if is_float_sum(accumulator) else width
            loops.current[id(accumulator)] = loops.identity(accumulator, lanes)
        count = end if start.constant else writer.binary("sub", end, start)
        whole = writer.binary("and", count, integer(-width))
        main_end = writer.binary("add", start, whole)
        streams = READ_STREAMS if loop.parallel and choice.unroll == REDUCED_VECTORS else 1
        length = writer.binary("lshr", whole, integer(streams.bit_length() - 1)) if streams > 1 else whole
        stream_end = writer.binary("add", start, length)
        frame = loops.open_loop(start, stream_end, width // streams, carried, block_lanes=width)
        self._streams(loop, [writer.multiply(length, integer(n)) for n in range(streams)], frame, carried)
        self.memory.lanes = None
        loops.close_loop(frame)
        for accumulator in carried:
            values = loops.current[id(accumulator)]
            loops.current[id(accumulator)] = loops.fold_lanes(accumulator, values, choice.lanes)
        self._tail(loop, main_end, end, choice.lanes, choice.unroll == 1, choice.mask_type, carried)
        for accumulator in carried:
            total = loops.fold_lanes(accumulator, loops.current[id(accumulator)], 0)
            loops.current[id(accumulator)] = loops.combine(accumulator, outside[id(accumulator)], total)

    def _streams(
        self, loop: Loop, offsets: list[Operand], frame: LoopFrame, carried: list[Accumulator]
    ) -> None:
        """The body of a vector loop, once for each of the places it reads from at the same time.

        Each has its share of the accumulators' lanes.
        """
        writer, loops = self.writer, self.loops
        before = [loops.current[id(accumulator)] for accumulator in carried]
        after: list[list[list[Operand]]] = [[] for _ in carried]
        for number, offset in enumerate(offsets):
            if len(offsets) > 1:
                for accumulator, values in zip(carried, before):
                    parts = [loops.part(value, number * frame.step, frame.step) for value in values]
                    loops.current[id(accumulator)] = parts
            self.memory.lanes = Lanes(loop.var, writer.add(frame.variable, offset), frame.step, None, None)
            self.statements(loop.body)
            for found, accumulator in zip(after, carried):
                found.append(loops.current[id(accumulator)])
        for found, accumulator in zip(after, carried):
            loops.current[id(accumulator)] = [concatenate(writer, parts) for parts in zip(*found)]

    def _tail(
        self,
        loop: Loop,
        start: Operand,
        end: Operand,
        lanes: int,
        once: bool,
        mask_type: str,
        carried: list[Accumulator],
    ) -> None:
        """What the main loop leaves: fewer iterations than a block of a sum has, so they are one block."""
        writer, loops = self.writer, self.loops
        sums = {id(a): loops.current[id(a)] for a in carried if is_float_sum(a)}
        for accumulator in carried:
            if id(accumulator) in sums:
                loops.current[id(accumulator)] = loops.identity(accumulator, lanes)
        frame = loops.open_loop(start, end, lanes, carried, once, short=True)
        left = writer.value("i64", 0, f"sub {end.typed}, {frame.variable.text}")
        active = writer.intrinsic("umin", left, integer(lanes))
        mask = prefix_mask(writer, active, lanes, mask_type)
        self.memory.lanes = Lanes(loop.var, frame.variable, lanes, mask, active)
        self.statements(loop.body)
        self.memory.lanes = None
        loops.close_loop(frame)
        for accumulator in carried:
            if id(accumulator) in sums:
                tail = loops.current[id(accumulator)]
                loops.current[id(accumulator)] = loops.combine(accumulator, sums[id(accumulator)], tail)


def _shifted_by_one(first: Linear, second: Linear) -> bool:
    """Whether `second` is `first` plus 1."""

    def parts(linear: Linear) -> tuple[list[tuple[int, int, int]], int]:
        constant, others = 0, []
        for (factor, coefficient), key in zip(linear.terms, linear.key):
            if factor is None and coefficient.param is None:
                constant += coefficient.multiplier
            else:
                others.append(key)
        return sorted(others), constant

    (first_terms, first_constant), (second_terms, second_constant) = parts(first), parts(second)
    return first_terms == second_terms and second_constant == first_constant + 1
