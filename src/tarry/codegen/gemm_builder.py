"""The text builder behind the matrix multiplication kernels.

`KernelBuilder` writes one LLVM function: a kernel `void @name(ptr noalias %args, i64 %chunk, i64 %chunks)`,
or an inner function with parameters of its own. No IR pass runs on the text, so the builder writes what it
wants to see in the machine code: explicit vectors, loops whose values live in phis, invariants computed
before the loop. A number in a kernel is a list of components: one SSA name, or two (real, imaginary) for
complex64. No masked instructions are used: edges go through scalar tail loops, so the same text is good on
every processor.
"""

from collections.abc import Callable, Sequence

from tarry.codegen.gemm_element import Element, VectorTarget

Values = list[str]
Parameters = tuple[tuple[str, str], ...]


class KernelBuilder:
    """Writes the text of one kernel; every method appends instructions and returns SSA names."""

    def __init__(
        self,
        name: str,
        element: Element,
        target: VectorTarget,
        parameters: Parameters = (),
        cold: bool = False,
    ) -> None:
        self.name = name
        self.cold = cold  # whether LLVM should spend no time on it
        self.parameters = parameters  # (type, name) of an inner function; none for a kernel
        self.element = element
        self.target = target
        self.lanes = target.vector_bits // (8 * element.accumulator_bytes)
        self.lines: list[str] = []
        self.entry: list[str] = []
        self.declarations: set[str] = set()
        self.block = "entry"
        self.count = 0

    # Text

    def value(self, text: str) -> str:
        """Append `text` as an instruction with a fresh name."""
        self.count += 1
        self.lines.append(f"  %v{self.count} = {text}")
        return f"%v{self.count}"

    def statement(self, text: str) -> None:
        self.lines.append("  " + text)

    def place_label(self, label: str) -> None:
        self.lines.append(label + ":")
        self.block = label

    def fresh_label(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def finish(self) -> str:
        """The whole function."""
        linkage, listed = "", "ptr noalias %args, i64 %chunk, i64 %chunks"
        if self.parameters:
            linkage, listed = "internal ", ", ".join(f"{kind} %{name}" for kind, name in self.parameters)
        attributes = "noinline optnone" if self.cold else ""
        head = f"define {linkage}void @{self.name}({listed}) {attributes} {{\nentry:\n"
        return head + "\n".join([*self.entry, "  br label %body", "body:", *self.lines]) + "\n  ret void\n}\n"

    def start(self) -> None:
        """Enter the body: stack slots and arguments are collected in the entry block before it."""
        self.block = "body"

    def entry_value(self, text: str) -> str:
        """Append an instruction to the entry block: its value is known everywhere."""
        self.count += 1
        self.entry.append(f"  %v{self.count} = {text}")
        return f"%v{self.count}"

    def stack_array(self, element_type: str, length: int) -> str:
        return self.entry_value(f"alloca [{length} x {element_type}], align 64")

    # Integers

    def integer(self, operation: str, left: str | int, right: str | int) -> str:
        return self.value(f"{operation} i64 {left}, {right}")

    def add(self, left: str | int, right: str | int) -> str:
        return self.integer("add", left, right)

    def subtract(self, left: str | int, right: str | int) -> str:
        return self.integer("sub", left, right)

    def multiply(self, left: str | int, right: str | int) -> str:
        return self.integer("mul", left, right)

    def divide(self, left: str, right: str | int) -> tuple[str, str]:
        """Quotient and remainder of numbers that are not negative."""
        return self.integer("udiv", left, right), self.integer("urem", left, right)

    def compare(self, predicate: str, left: str | int, right: str | int) -> str:
        return self.value(f"icmp {predicate} i64 {left}, {right}")

    def select(self, condition: str, left: str | int, right: str | int) -> str:
        return self.value(f"select i1 {condition}, i64 {left}, i64 {right}")

    def select_pointer(self, condition: str, left: str, right: str) -> str:
        return self.value(f"select i1 {condition}, ptr {left}, ptr {right}")

    def both(self, left: str, right: str) -> str:
        return self.value(f"and i1 {left}, {right}")

    def minimum(self, left: str | int, right: str | int) -> str:
        return self.select(self.compare("slt", left, right), left, right)

    def maximum(self, left: str | int, right: str | int) -> str:
        return self.select(self.compare("sgt", left, right), left, right)

    def divide_up(self, value: str, divisor: str | int) -> str:
        less = self.subtract(divisor, 1) if isinstance(divisor, str) else str(divisor - 1)
        return self.integer("udiv", self.add(value, less), divisor)

    def round_down(self, value: str, multiple: int) -> str:
        return self.integer("and", value, -multiple)  # multiple is a power of two

    def dot(self, left: Values, right: Values) -> str:
        """The sum of products of two lists of integers."""
        terms = [self.multiply(x, y) for x, y in zip(left, right, strict=True)]
        total = terms[0]
        for term in terms[1:]:
            total = self.add(total, term)
        return total

    # Control

    def loop(
        self,
        start: str | int,
        stop: str | int,
        step: str | int,
        carried: list[tuple[str, str]],
        body: Callable[[str, Values], Values],
    ) -> Values:
        """`for index in range(start, stop, step)` carrying (type, initial) values; returns the last."""
        before, head, done = self.block, self.fresh_label("loop"), self.fresh_label("done")
        enter = self.compare("slt", start, stop)
        self.statement(f"br i1 {enter}, label %{head}, label %{done}")
        self.place_label(head)
        self.count += 1
        index = f"%v{self.count}"
        names = []
        for _ in carried:
            self.count += 1
            names.append(f"%v{self.count}")
        phi_position = len(self.lines)
        results = body(index, names)
        following = self.integer("add nsw", index, step)
        again = self.compare("slt", following, stop)
        back = self.block
        self.statement(f"br i1 {again}, label %{head}, label %{done}")
        phis = [f"  {index} = phi i64 [{start}, %{before}], [{following}, %{back}]"]
        for name, (kind, initial), result in zip(names, carried, results):
            phis.append(f"  {name} = phi {kind} [{initial}, %{before}], [{result}, %{back}]")
        self.lines[phi_position:phi_position] = phis
        self.place_label(done)
        return [
            self.value(f"phi {kind} [{initial}, %{before}], [{result}, %{back}]")
            for (kind, initial), result in zip(carried, results)
        ]

    def repeat(self, start: str | int, stop: str | int, step: str | int, body: Callable[[str], None]) -> None:
        """A loop that carries nothing."""
        if self.cold:
            self._repeat_in_memory(start, stop, step, body)
            return

        def run(index: str, _: Values) -> Values:
            body(index)
            return []

        self.loop(start, stop, step, [], run)

    def _repeat_in_memory(
        self, start: str | int, stop: str | int, step: str | int, body: Callable[[str], None]
    ) -> None:
        """The same with an index that lives on the stack: LLVM would analyse every loop that counts."""
        slot = self.entry_value("alloca i64, align 8")
        head, done = self.fresh_label("loop"), self.fresh_label("done")
        self.statement(f"store i64 {start}, ptr {slot}, align 8")
        self.statement(f"br i1 {self.compare('slt', start, stop)}, label %{head}, label %{done}")
        self.place_label(head)
        index = self.value(f"load i64, ptr {slot}, align 8")
        body(index)
        following = self.integer("add nsw", index, step)
        self.statement(f"store i64 {following}, ptr {slot}, align 8")
        self.statement(f"br i1 {self.compare('slt', following, stop)}, label %{head}, label %{done}")
        self.place_label(done)

    def branch(
        self,
        condition: str,
        then: Callable[[], Values],
        otherwise: Callable[[], Values],
        kinds: list[str],
    ) -> Values:
        """Run one of two bodies; returns the values (of types `kinds`) of the one that ran."""
        yes, no, join = self.fresh_label("then"), self.fresh_label("else"), self.fresh_label("join")
        self.statement(f"br i1 {condition}, label %{yes}, label %{no}")
        self.place_label(yes)
        left = then()
        left_block = self.block
        self.statement(f"br label %{join}")
        self.place_label(no)
        right = otherwise()
        right_block = self.block
        self.statement(f"br label %{join}")
        self.place_label(join)
        return [
            self.value(f"phi {kind} [{a}, %{left_block}], [{b}, %{right_block}]")
            for kind, a, b in zip(kinds, left, right)
        ]

    def choose(self, condition: str, then: Callable[[], None], otherwise: Callable[[], None]) -> None:
        """A branch without results."""

        def run_then() -> Values:
            then()
            return []

        def run_otherwise() -> Values:
            otherwise()
            return []

        self.branch(condition, run_then, run_otherwise, [])

    # Memory

    def address(self, pointer: str, index: str | int, kind: str) -> str:
        if index == 0:
            return pointer
        return self.value(f"getelementptr {kind}, ptr {pointer}, i64 {index}")

    def stored(self, pointer: str, index: str | int) -> str:
        """Address of an element of a, b or c."""
        return self.address(pointer, index, self.element.storage_cell)

    def accumulated(self, pointer: str, index: str | int) -> str:
        """Address of an element held in accumulator precision."""
        return self.address(pointer, index, self.element.accumulator_cell)

    def scalar(self, pointer: str, index: str | int) -> str:
        """Address of one accumulator component."""
        return self.address(pointer, index, self.element.accumulator)

    def vector(self, kind: str, lanes: int) -> str:
        return kind if lanes == 1 else f"<{lanes} x {kind}>"

    def accumulator_vector(self, lanes: int) -> str:
        return self.vector(self.element.accumulator, lanes)

    def zero(self, lanes: int) -> str:
        return "0.0" if lanes == 1 else "zeroinitializer"

    def load_plain(self, pointer: str, lanes: int) -> str:
        """Load one vector of accumulator components."""
        align = self.element.accumulator_bytes
        return self.value(f"load {self.accumulator_vector(lanes)}, ptr {pointer}, align {align}")

    def store_plain(self, value: str, pointer: str, lanes: int) -> None:
        align = self.element.accumulator_bytes
        self.statement(f"store {self.accumulator_vector(lanes)} {value}, ptr {pointer}, align {align}")

    def load_accumulated(self, pointer: str, lanes: int) -> Values:
        """Load `lanes` elements in accumulator precision, one value for each component."""
        if self.element.components == 1:
            return [self.load_plain(pointer, lanes)]
        if lanes == 1:
            return [self.load_plain(pointer, 1), self.load_plain(self.scalar(pointer, 1), 1)]
        pair = self.load_plain(pointer, 2 * lanes)
        wide = self.accumulator_vector(2 * lanes)
        return [
            self.shuffle(wide, pair, "poison", [2 * lane + part for lane in range(lanes)])
            for part in range(2)
        ]

    def store_accumulated(self, values: Values, pointer: str, lanes: int) -> None:
        if self.element.components == 1:
            self.store_plain(values[0], pointer, lanes)
        elif lanes == 1:
            self.store_plain(values[0], pointer, 1)
            self.store_plain(values[1], self.scalar(pointer, 1), 1)
        else:
            order = [lane // 2 + lanes * (lane % 2) for lane in range(2 * lanes)]
            pair = self.shuffle(self.accumulator_vector(lanes), values[0], values[1], order)
            self.store_plain(pair, pointer, 2 * lanes)

    def load_stored(self, pointer: str, lanes: int) -> Values:
        """Load `lanes` neighbouring elements as they are stored, converted to accumulator precision."""
        if not self.element.narrow:
            return self.load_accumulated(pointer, lanes)
        raw = self.value(f"load {self.vector(self.element.storage, lanes)}, ptr {pointer}, align 2")
        if self.element.dtype == "bfloat16":
            return [self.widen_bfloat(raw, lanes)]
        if self.target.has_f16c:
            half, single = self.vector("half", lanes), self.vector("float", lanes)
            return [self.value(f"fpext {half} {raw} to {single}")]
        return [self.widen_half(raw, lanes)]

    def store_stored(self, values: Values, pointer: str, lanes: int) -> None:
        """Store `lanes` neighbouring elements, rounded to the dtype (to nearest, ties to even)."""
        if not self.element.narrow:
            self.store_accumulated(values, pointer, lanes)
            return
        kind = self.vector(self.element.storage, lanes)
        if self.element.dtype == "bfloat16":
            rounded = self.round_bfloat(values[0], lanes)
        elif self.target.has_f16c:
            rounded = self.value(f"fptrunc {self.vector('float', lanes)} {values[0]} to {kind}")
        else:
            rounded = self.round_half(values[0], lanes)
        self.statement(f"store {kind} {rounded}, ptr {pointer}, align 2")

    def prefetch(self, pointer: str, write: bool = False) -> None:
        """Ask for the cache line at an address, to read it or to write it; any address is safe."""
        self.declarations.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        self.statement(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 {int(write)}, i32 3, i32 1)")

    def call(self, name: str, parameters: Parameters, values: Sequence[str | int]) -> None:
        """Call an inner function."""
        listed = ", ".join(f"{kind} {value}" for (kind, _), value in zip(parameters, values, strict=True))
        self.statement(f"call void @{name}({listed})")

    # Conversions by integer instructions

    def constant(self, value: int, kind: str, lanes: int) -> str:
        return str(value) if lanes == 1 else f"splat ({kind} {value})"

    def bits(self, operation: str, left: str, right: int | str, lanes: int) -> str:
        """An i32 instruction; an integer operand is a constant in every lane."""
        operand = self.constant(right, "i32", lanes) if isinstance(right, int) else right
        return self.value(f"{operation} {self.vector('i32', lanes)} {left}, {operand}")

    def cast(self, operation: str, value: str, source: str, result: str, lanes: int) -> str:
        return self.value(f"{operation} {self.vector(source, lanes)} {value} to {self.vector(result, lanes)}")

    def choose_bits(self, condition: str, left: str, right: str, lanes: int) -> str:
        kind = self.vector("i32", lanes)
        return self.value(f"select {self.vector('i1', lanes)} {condition}, {kind} {left}, {kind} {right}")

    def widen_bfloat(self, raw: str, lanes: int) -> str:
        bits = self.cast("zext", raw, "i16", "i32", lanes)
        return self.cast("bitcast", self.bits("shl", bits, 16, lanes), "i32", "float", lanes)

    def round_bfloat(self, value: str, lanes: int) -> str:
        bits = self.cast("bitcast", value, "float", "i32", lanes)
        high = self.bits("lshr", bits, 16, lanes)
        odd = self.bits("and", high, 1, lanes)
        nearest = self.bits("add", self.bits("add", bits, 0x7FFF, lanes), odd, lanes)
        quiet = self.bits("or", high, 0x40, lanes)
        is_nan = self.value(f"fcmp uno {self.vector('float', lanes)} {value}, {value}")
        chosen = self.choose_bits(is_nan, quiet, self.bits("lshr", nearest, 16, lanes), lanes)
        return self.cast("trunc", chosen, "i32", "i16", lanes)

    def widen_half(self, raw: str, lanes: int) -> str:
        """Scaling by 2**112 moves a half's exponent to a float's and makes subnormals right."""
        whole = self.cast("zext", self.cast("bitcast", raw, "half", "i16", lanes), "i16", "i32", lanes)
        magnitude = self.bits("and", whole, 0x7FFF, lanes)
        sign = self.bits("shl", self.bits("and", whole, 0x8000, lanes), 16, lanes)
        shifted = self.bits("shl", magnitude, 13, lanes)
        kind = self.vector("float", lanes)
        scale = self.cast("bitcast", self.constant(239 << 23, "i32", lanes), "i32", "float", lanes)
        small = self.cast("bitcast", shifted, "i32", "float", lanes)
        scaled = self.cast("bitcast", self.value(f"fmul {kind} {small}, {scale}"), "float", "i32", lanes)
        special = self.value(
            f"icmp uge {self.vector('i32', lanes)} {magnitude}, {self.constant(0x7C00, 'i32', lanes)}"
        )
        infinite = self.bits("or", shifted, 255 << 23, lanes)
        result = self.bits("or", self.choose_bits(special, infinite, scaled, lanes), sign, lanes)
        return self.cast("bitcast", result, "i32", "float", lanes)

    def round_half(self, value: str, lanes: int) -> str:
        """Normal halves round by integer addition, subnormal ones by adding 0.5 in floating point."""
        bits = self.cast("bitcast", value, "float", "i32", lanes)
        sign = self.bits("and", self.bits("lshr", bits, 16, lanes), 0x8000, lanes)
        magnitude = self.bits("and", bits, 0x7FFFFFFF, lanes)
        odd = self.bits("and", self.bits("lshr", magnitude, 13, lanes), 1, lanes)
        rebased = self.bits("sub", magnitude, (112 << 23) - 0xFFF, lanes)
        normal = self.bits("lshr", self.bits("add", rebased, odd, lanes), 13, lanes)
        kind, whole = self.vector("float", lanes), self.vector("i32", lanes)
        half = self.cast("bitcast", self.constant(126 << 23, "i32", lanes), "i32", "float", lanes)
        absolute = self.cast("bitcast", magnitude, "i32", "float", lanes)
        shifted = self.cast("bitcast", self.value(f"fadd {kind} {absolute}, {half}"), "float", "i32", lanes)
        subnormal = self.bits("sub", shifted, 126 << 23, lanes)
        tiny = self.value(f"icmp ult {whole} {magnitude}, {self.constant(113 << 23, 'i32', lanes)}")
        huge = self.value(f"icmp uge {whole} {magnitude}, {self.constant(143 << 23, 'i32', lanes)}")
        is_nan = self.value(f"icmp ugt {whole} {magnitude}, {self.constant(255 << 23, 'i32', lanes)}")
        infinity, quiet = self.constant(0x7C00, "i32", lanes), self.constant(0x7E00, "i32", lanes)
        result = self.choose_bits(tiny, subnormal, normal, lanes)
        result = self.choose_bits(huge, infinity, result, lanes)
        result = self.choose_bits(is_nan, quiet, result, lanes)
        short = self.cast("trunc", self.bits("or", result, sign, lanes), "i32", "i16", lanes)
        return self.cast("bitcast", short, "i16", "half", lanes)

    # Arithmetic on accumulators

    def shuffle(self, kind: str, left: str, right: str, order: list[int]) -> str:
        indices = ", ".join(f"i32 {lane}" for lane in order)
        return self.value(f"shufflevector {kind} {left}, {kind} {right}, <{len(order)} x i32> <{indices}>")

    def splat(self, value: str, lanes: int) -> str:
        if lanes == 1:
            return value
        kind = self.accumulator_vector(lanes)
        one = self.value(f"insertelement {kind} poison, {self.element.accumulator} {value}, i64 0")
        return self.value(f"shufflevector {kind} {one}, {kind} poison, <{lanes} x i32> zeroinitializer")

    def first_lane(self, value: str, lanes: int) -> str:
        """A vector with `value` in its first lane and zeros elsewhere."""
        kind = self.accumulator_vector(lanes)
        return self.value(f"insertelement {kind} zeroinitializer, {self.element.accumulator} {value}, i64 0")

    def multiply_add(self, left: str, right: str, addend: str, lanes: int) -> str:
        """left * right + addend: fused where the processor does it, two instructions elsewhere."""
        kind = self.accumulator_vector(lanes)
        if not self.target.has_fma:  # llvm.fma would become a library call
            product = self.value(f"fmul contract {kind} {left}, {right}")
            return self.value(f"fadd contract {kind} {addend}, {product}")
        suffix = ("" if lanes == 1 else f"v{lanes}") + (
            "f64" if self.element.accumulator == "double" else "f32"
        )
        self.declarations.add(f"declare {kind} @llvm.fma.{suffix}({kind}, {kind}, {kind})")
        return self.value(
            f"call contract {kind} @llvm.fma.{suffix}({kind} {left}, {kind} {right}, {kind} {addend})"
        )

    def negate(self, value: str, lanes: int) -> str:
        return self.value(f"fneg {self.accumulator_vector(lanes)} {value}")

    def multiply_accumulate(self, left: Values, right: Values, sums: Values, lanes: int) -> Values:
        """sums + left * right on real or complex values."""
        if len(left) == 1:
            return [self.multiply_add(left[0], right[0], sums[0], lanes)]
        real = self.multiply_add(left[0], right[0], sums[0], lanes)
        real = self.multiply_add(self.negate(left[1], lanes), right[1], real, lanes)
        imaginary = self.multiply_add(left[0], right[1], sums[1], lanes)
        return [real, self.multiply_add(left[1], right[0], imaginary, lanes)]

    def sum_lanes(self, value: str) -> str:
        """The sum of a vector's lanes, by halves: always the same order."""
        lanes = self.lanes
        while lanes > 1:
            half = lanes // 2
            kind = self.accumulator_vector(lanes)
            low = self.extract_lanes(kind, value, 0, half)
            high = self.extract_lanes(kind, value, half, half)
            value = self.value(f"fadd contract {self.accumulator_vector(half)} {low}, {high}")
            lanes = half
        return value

    def extract_lanes(self, kind: str, value: str, first: int, count: int) -> str:
        if count == 1:
            return self.value(f"extractelement {kind} {value}, i64 {first}")
        return self.shuffle(kind, value, "poison", list(range(first, first + count)))

    def transpose(self, rows: Values) -> Values:
        """Transpose a square of `lanes` vectors by shuffles that are one instruction each.

        Pairs of rows are interleaved within pieces of 128 bits, until each piece holds a column; then pieces
        change places.
        """
        lanes, step = self.lanes, 1
        kind, piece = self.accumulator_vector(lanes), 16 // self.element.accumulator_bytes
        while step < lanes:
            following = list(rows)
            for upper in range(lanes):
                if upper & step:
                    continue
                lower = upper | step
                if step < piece:
                    orders = interleaved(lanes, piece, step)
                    first = upper - upper % (2 * step) + 2 * (upper % step)
                    places = first, first + 1
                else:
                    orders, places = exchanged(lanes, step), (upper, lower)
                for place, order in zip(places, orders):
                    following[place] = self.shuffle(kind, rows[upper], rows[lower], order)
            rows = following
            step *= 2
        return rows


def interleaved(lanes: int, piece: int, step: int) -> tuple[list[int], list[int]]:
    """Shuffles that take `step` elements of two vectors by turns: of the first, the second half of pieces."""
    low = [
        source + start + run + i
        for start in range(0, lanes, piece)
        for run in range(0, piece // 2, step)
        for source in (0, lanes)
        for i in range(step)
    ]
    return low, [lane + piece // 2 for lane in low]


def exchanged(lanes: int, step: int) -> tuple[list[int], list[int]]:
    """Shuffles by which the second `step` elements of a vector and the first of another change places."""
    high = [lanes + lane - step if lane & step else lane for lane in range(lanes)]
    low = [lanes + lane if lane & step else lane + step for lane in range(lanes)]
    return high, low
