"""What selection works on, eight elements at a time: signed keys of the order of the numbers.

They are the keys of `sort_keys` with the sign bit flipped, because processors compare signed integers: an
integer is its own key, and so is a float that is not negative. What a comparison picks from a vector is moved
to its front by a table of permutations, one for each mask.
"""

from __future__ import annotations

from tarry.codegen.gemm_builder import KernelBuilder
from tarry.codegen.sort_layout import PLACE_BITS, SORT_KEYS

LANES = 8
TRUTHS = f"<{LANES} x i1>"
TABLE, WIDE_TABLE = "selection_permutations", "selection_wide_permutations"
_INFINITY = {"float16": 0x7C00, "bfloat16": 0x7F80, "float32": 0x7F800000, "float64": 0x7FF0000000000000}


class Keys:
    """Numbers and keys of one dtype as LLVM text; where `places` are wanted zeros of both signs are equal."""

    def __init__(self, dtype: str, places: bool) -> None:
        self.form = SORT_KEYS[dtype]
        self.places = places
        self.bits = self.form.key_bits
        self.type = f"i{self.bits}"
        self.vector = f"<{LANES} x {self.type}>"
        self.align = self.form.bits // 8
        self.least, self.most = -(1 << self.bits - 1), (1 << self.bits - 1) - 1
        self.infinity = _INFINITY.get("float32" if dtype == "complex64" else dtype, 0)
        self.result = f"i{PLACE_BITS}" if places else self.type

    # scalars

    def load(self, b: KernelBuilder, memory: str, place: str | int = 0) -> str:
        return b.value(f"load {self.type}, ptr {b.address(memory, place, self.type)}, align {self.align}")

    def store(self, b: KernelBuilder, key: str | int, memory: str, place: str | int = 0) -> None:
        address = b.address(memory, place, self.type)
        b.statement(f"store {self.type} {key}, ptr {address}, align {self.align}")

    def compare(self, b: KernelBuilder, predicate: str, left: str, right: str | int) -> str:
        return b.value(f"icmp {predicate} {self.type} {left}, {right}")

    def select(self, b: KernelBuilder, condition: str, left: str | int, right: str | int) -> str:
        return b.value(f"select i1 {condition}, {self.type} {left}, {self.type} {right}")

    def number_of(self, b: KernelBuilder, key: str) -> str:
        """The number a key stands for, as its bits."""
        kind = self.type
        if self.form.kind == "i":
            return key
        if self.form.kind == "u":
            return b.value(f"xor {kind} {key}, {self.least}")
        if self.form.parts == 1:
            sign = b.value(f"ashr {kind} {key}, {self.bits - 1}")
            return b.value(f"xor {kind} {key}, {b.value(f'and {kind} {sign}, {self.most}')}")
        # The imaginary part's key is unsigned.
        half = 1 << self.form.bits - 1
        pair = b.value(f"bitcast i64 {b.value(f'xor i64 {key}, {half}')} to <2 x i32>")
        sign = b.value(f"ashr <2 x i32> {pair}, splat (i32 31)")
        pair = b.value(f"xor <2 x i32> {pair}, {b.value(f'and <2 x i32> {sign}, splat (i32 {half - 1})')}")
        swapped = b.shuffle("<2 x i32>", pair, "poison", [1, 0])
        return b.value(f"bitcast <2 x i32> {swapped} to i64")

    # vectors

    def splat(self, b: KernelBuilder, key: str) -> str:
        one = b.value(f"insertelement {self.vector} poison, {self.type} {key}, i64 0")
        return b.shuffle(self.vector, one, "poison", [0] * LANES)

    def load_vector(self, b: KernelBuilder, memory: str, place: str | int) -> str:
        return b.value(f"load {self.vector}, ptr {b.address(memory, place, self.type)}, align {self.align}")

    def store_vector(self, b: KernelBuilder, value: str, memory: str, place: str | int) -> None:
        address = b.address(memory, place, self.type)
        b.statement(f"store {self.vector} {value}, ptr {address}, align {self.align}")

    def keys_of(self, b: KernelBuilder, raw: str) -> str:
        """The keys of a vector of numbers."""
        if self.form.kind == "i":
            return raw
        if self.form.kind == "u":
            return b.value(f"xor {self.vector} {raw}, splat ({self.type} {self.least})")
        if self.form.parts == 1:
            return self._float_keys(b, raw, LANES)
        halves = f"<{2 * LANES} x i32>"
        keys = self._float_keys(b, b.value(f"bitcast {self.vector} {raw} to {halves}"), 2 * LANES)
        order = [lane ^ 1 for lane in range(2 * LANES)]  # the real part is the upper half of the key
        whole = b.value(f"bitcast {halves} {b.shuffle(halves, keys, 'poison', order)} to {self.vector}")
        return b.value(f"xor {self.vector} {whole}, splat (i64 {1 << self.form.bits - 1})")

    def _float_keys(self, b: KernelBuilder, raw: str, lanes: int) -> str:
        bits = self.form.bits
        cell, kind = f"i{bits}", f"<{lanes} x i{bits}>"
        most = f"splat ({cell} {(1 << bits - 1) - 1})"
        magnitude = b.value(f"and {kind} {raw}, {most}")
        if self.places:
            zero = b.value(f"icmp eq {kind} {magnitude}, zeroinitializer")
            raw = b.value(f"select <{lanes} x i1> {zero}, {kind} zeroinitializer, {kind} {raw}")
        sign = b.value(f"ashr {kind} {raw}, splat ({cell} {bits - 1})")
        key = b.value(f"xor {kind} {raw}, {b.value(f'and {kind} {sign}, {most}')}")
        nan = b.value(f"icmp sgt {kind} {magnitude}, splat ({cell} {self.infinity})")
        return b.value(f"select <{lanes} x i1> {nan}, {kind} {most}, {kind} {key}")

    def lanes_where(self, b: KernelBuilder, predicate: str, left: str, right: str, there: str = "") -> str:
        """The lanes for which a comparison holds, of those that are there (all, where that is empty)."""
        found = b.value(f"icmp {predicate} {self.vector} {left}, {right}")
        return b.value(f"and {TRUTHS} {found}, {there}") if there else found

    def first_lanes(self, b: KernelBuilder, count: str) -> str:
        """The first lanes, fewer than all."""
        numbers = ", ".join(f"{self.type} {lane}" for lane in range(LANES))
        short = count if self.bits == 64 else b.value(f"trunc i64 {count} to {self.type}")
        return self.lanes_where(b, "slt", f"<{numbers}>", self.splat(b, short))

    def greater(self, b: KernelBuilder, left: str, right: str) -> str:
        """The greater one of each lane."""
        above = b.value(f"icmp sgt {self.vector} {left}, {right}")
        return b.value(f"select <{LANES} x i1> {above}, {self.vector} {left}, {self.vector} {right}")

    def greatest_lane(self, b: KernelBuilder, values: str) -> str:
        name = f"llvm.vector.reduce.smax.v{LANES}{self.type}"
        b.declarations.add(f"declare {self.type} @{name}({self.vector})")
        return b.value(f"call {self.type} @{name}({self.vector} {values})")

    # moving what was picked to the front

    def compress(self, b: KernelBuilder, values: str, mask: str, kind: str) -> list[tuple[str, str, str]]:
        """Vectors (type, value) whose first elements are what the mask picks, with the number of them.

        Together they are what it picks from `values`, eight elements of `kind`.
        """
        if kind != "i64":
            wide = values
            if kind != "i32":
                wide = b.value(f"zext <8 x {kind}> {values} to <8 x i32>")
            moved = _permuted(b, wide, mask, TABLE)
            if kind != "i32":
                moved = b.value(f"trunc <8 x i32> {moved} to <8 x {kind}>")
            return [(f"<8 x {kind}>", moved, count_bits(b, mask))]
        found = []
        for half in range(2):
            part = b.value(f"lshr i8 {mask}, 4") if half else b.value(f"and i8 {mask}, 15")
            lanes = b.shuffle("<8 x i64>", values, "poison", list(range(4 * half, 4 * half + 4)))
            moved = _permuted(b, b.value(f"bitcast <4 x i64> {lanes} to <8 x i32>"), part, WIDE_TABLE)
            found.append(("<8 x i32>", moved, count_bits(b, part)))
        return found


def _permuted(b: KernelBuilder, values: str, mask: str, table: str) -> str:
    """A permutation by indices from the table, in a form that becomes one instruction where there is."""
    row = b.value(f"zext i8 {mask} to i64")
    address = b.value(f"getelementptr [8 x i8], ptr @{table}, i64 {row}")
    indices = b.value(f"load <8 x i8>, ptr {address}, align 8")
    wide = b.value(f"zext <8 x i8> {indices} to <8 x i32>")
    moved = "poison"
    for lane in range(LANES):
        index = b.value(f"extractelement <8 x i32> {wide}, i64 {lane}")
        picked = b.value(f"extractelement <8 x i32> {values}, i32 {index}")
        moved = b.value(f"insertelement <8 x i32> {moved}, i32 {picked}, i64 {lane}")
    return moved


def permutation_tables() -> str:
    """For each mask of eight lanes, and of four lanes of 64 bits, the places of what it picks, in order."""
    tables = []
    for name, lanes in ((TABLE, LANES), (WIDE_TABLE, LANES // 2)):
        each = LANES // lanes  # pieces of 32 bits in a lane
        cells: list[int] = []
        for mask in range(1 << lanes):
            picked = [
                each * lane + piece for lane in range(lanes) if mask >> lane & 1 for piece in range(each)
            ]
            cells += picked + [0] * (LANES - len(picked))
        text = "".join([f"\\{cell:02x}" for cell in cells])
        tables.append(f'@{name} = internal constant [{len(cells)} x i8] c"{text}", align 64\n')
    return "".join(tables)


def mask_of(b: KernelBuilder, lanes: str) -> str:
    """Lanes as the bits of an i8."""
    return b.value(f"bitcast {TRUTHS} {lanes} to i8")


def count_bits(b: KernelBuilder, mask: str) -> str:
    """How many lanes a mask has, as i64."""
    b.declarations.add("declare i64 @llvm.ctpop.i64(i64)")
    return b.value(f"call i64 @llvm.ctpop.i64(i64 {b.value(f'zext i8 {mask} to i64')})")
