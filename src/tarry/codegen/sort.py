"""Sorting rows, as LLVM text: one kernel for the sorted values and one for their places, for each dtype.

Numbers become unsigned keys of the same order (Knuth, The Art of Computer Programming, volume 3, section
5.2.5 on radix sorting): the sign bit of integers is flipped; of a negative float all bits are, of any other
the sign; every NaN is the greatest key. Long rows are sorted by the bytes of their keys, the last one
first, which keeps equal keys in order; a byte that all keys share is passed over. Short rows are sorted by
insertion. A chunk takes rows one after the other in scratch memory of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from tarry.codegen.gemm_builder import KernelBuilder, Values
from tarry.codegen.gemm_element import ELEMENTS, VectorTarget

# The arguments: addresses of the rows, of the results and of scratch memory, then integers.
SLOTS = ("source", "result", "scratch", "rows", "length")
# Rows up to this length are sorted by insertion.
SHORT_ROW = 32
DIGITS = 256


class SortKey:
    """How a dtype is sorted: the bits of its key, and of the numbers it is read as."""

    __slots__ = ("bits", "kind", "parts")

    def __init__(self, kind: str, bits: int, parts: int = 1) -> None:
        self.kind = kind  # u, i or f
        self.bits = bits
        self.parts = parts  # 2 for complex numbers: real parts first, then imaginary ones

    @property
    def key_bits(self) -> int:
        return self.bits * self.parts


SORT_KEYS = {
    "bool": SortKey("u", 8),
    "uint8": SortKey("u", 8),
    "uint16": SortKey("u", 16),
    "uint32": SortKey("u", 32),
    "uint64": SortKey("u", 64),
    "int8": SortKey("i", 8),
    "int16": SortKey("i", 16),
    "int32": SortKey("i", 32),
    "int64": SortKey("i", 64),
    "float16": SortKey("f", 16),
    "bfloat16": SortKey("f", 16),
    "float32": SortKey("f", 32),
    "float64": SortKey("f", 64),
    "complex64": SortKey("f", 32, 2),
}
# The bits of infinity.
_INFINITY = {"float16": 0x7C00, "bfloat16": 0x7F80, "float32": 0x7F800000, "float64": 0x7FF0000000000000}


def scratch_bytes(dtype: str, places: bool, length: int) -> int:
    """The scratch memory of one chunk: keys twice, and with `places` their numbers twice."""
    each = SORT_KEYS[dtype].key_bits // 8 + (4 if places else 0)
    return 2 * length * each + 4 * 64


def write_sort(dtype: str, places: bool, target: VectorTarget, name: str) -> str:
    """The text of a kernel that sorts rows: into sorted values, or with `places` into uint32 places."""
    return _SortWriter(dtype, places, target, name).write()


class _SortWriter:
    def __init__(self, dtype: str, places: bool, target: VectorTarget, name: str) -> None:
        self.builder = KernelBuilder(name, ELEMENTS["float32"], target)
        self.dtype = dtype
        self.form = SORT_KEYS[dtype]
        self.places = places
        self.key = f"i{self.form.key_bits}"
        self.number = f"i{self.form.bits}"
        self.digits = self.form.key_bits // 8

    def write(self) -> str:
        b = self.builder
        for slot in range(len(SLOTS)):
            kind = "ptr" if slot < 3 else "i64"
            at = b.entry_value(f"getelementptr i64, ptr %args, i64 {slot}")
            b.entry.append(f"  %{SLOTS[slot]} = load {kind}, ptr {at}")
        counts = b.stack_array("i32", DIGITS * self.digits)
        b.start()
        memory = self._scratch()
        first = b.integer("udiv", b.multiply("%rows", "%chunk"), "%chunks")
        last = b.integer("udiv", b.multiply("%rows", b.add("%chunk", 1)), "%chunks")
        some = b.compare("sgt", "%length", 0)
        last = b.select(some, last, first)
        short = b.compare("sle", "%length", SHORT_ROW)
        b.choose(
            short,
            lambda: b.repeat(first, last, 1, lambda row: self._sort_short(row, memory)),
            lambda: b.repeat(first, last, 1, lambda row: self._sort_long(row, memory, counts)),
        )
        return b.finish()

    def _scratch(self) -> list[str]:
        """Keys, other keys, and with places: numbers, other numbers; each at a multiple of 64 bytes."""
        b = self.builder
        sizes = [self.form.key_bits // 8] * 2 + ([4, 4] if self.places else [])
        rounded = [b.round_down(b.add(b.multiply("%length", size), 63), 64) for size in sizes]
        total = rounded[0]
        for size in rounded[1:]:
            total = b.add(total, size)
        at = b.multiply("%chunk", total)
        found = []
        for size in rounded:
            found.append(b.value(f"getelementptr i8, ptr %scratch, i64 {at}"))
            at = b.add(at, size)
        return found

    # keys

    def _load_key(self, row: str, place: str) -> str:
        b = self.builder
        at = b.add(b.multiply(row, "%length"), place)
        if self.form.parts == 1:
            pointer = b.address("%source", at, self.number)
            return self._key_of(b.value(f"load {self.number}, ptr {pointer}"))
        parts = []
        for part in range(2):
            pointer = b.address("%source", b.add(b.multiply(at, 2), part), self.number)
            key = self._key_of(b.value(f"load {self.number}, ptr {pointer}"))
            parts.append(b.value(f"zext {self.number} {key} to {self.key}"))
        high = b.value(f"shl {self.key} {parts[0]}, {self.form.bits}")
        return b.value(f"or {self.key} {high}, {parts[1]}")

    def _key_of(self, raw: str) -> str:
        """The unsigned key of a number."""
        b, kind, bits = self.builder, self.number, self.form.bits
        if self.form.kind == "u":
            return raw
        sign = -(1 << bits - 1)
        if self.form.kind == "i":
            return b.value(f"xor {kind} {raw}, {sign}")
        magnitude = b.value(f"and {kind} {raw}, {(1 << bits - 1) - 1}")
        if self.places:
            # Zeros of both signs are equal, and stay in order.
            zero = b.value(f"icmp eq {kind} {magnitude}, 0")
            raw = b.value(f"select i1 {zero}, {kind} 0, {kind} {raw}")
        spread = b.value(f"ashr {kind} {raw}, {bits - 1}")
        mask = b.value(f"or {kind} {spread}, {sign}")
        key = b.value(f"xor {kind} {raw}, {mask}")
        infinity = _INFINITY["float32" if self.dtype == "complex64" else self.dtype]
        nan = b.value(f"icmp ugt {kind} {magnitude}, {infinity}")
        return b.value(f"select i1 {nan}, {kind} -1, {kind} {key}")

    def _number_of(self, key: str) -> str:
        """The number of a key."""
        b, kind, bits = self.builder, self.number, self.form.bits
        if self.form.kind == "u":
            return key
        sign = -(1 << bits - 1)
        if self.form.kind == "i":
            return b.value(f"xor {kind} {key}, {sign}")
        spread = b.value(f"ashr {kind} {key}, {bits - 1}")
        inverse = b.value(f"xor {kind} {spread}, -1")
        mask = b.value(f"or {kind} {inverse}, {sign}")
        return b.value(f"xor {kind} {key}, {mask}")

    def _store_result(self, row: str, place: str, keys: str, numbers: str | None) -> None:
        b = self.builder
        at = b.add(b.multiply(row, "%length"), place)
        if numbers is not None:
            number = b.value(f"load i32, ptr {b.address(numbers, place, 'i32')}")
            b.statement(f"store i32 {number}, ptr {b.address('%result', at, 'i32')}")
            return
        key = b.value(f"load {self.key}, ptr {b.address(keys, place, self.key)}")
        if self.form.parts == 1:
            pointer = b.address("%result", at, self.number)
            b.statement(f"store {self.number} {self._number_of(key)}, ptr {pointer}")
            return
        for part in range(2):
            shifted = key if part else b.value(f"lshr {self.key} {key}, {self.form.bits}")
            half = b.value(f"trunc {self.key} {shifted} to {self.number}")
            pointer = b.address("%result", b.add(b.multiply(at, 2), part), self.number)
            b.statement(f"store {self.number} {self._number_of(half)}, ptr {pointer}")

    # short rows

    def _sort_short(self, row: str, memory: list[str]) -> None:
        """Each key goes in front of the greater ones before it."""
        b = self.builder
        keys, numbers = memory[0], memory[2] if self.places else None

        def insert(place: str) -> None:
            key = self._load_key(row, place)
            free = self._make_room(place, key, keys, numbers)
            b.statement(f"store {self.key} {key}, ptr {b.address(keys, free, self.key)}")
            if numbers is not None:
                number = b.value(f"trunc i64 {place} to i32")
                b.statement(f"store i32 {number}, ptr {b.address(numbers, free, 'i32')}")

        b.repeat(0, "%length", 1, insert)
        b.repeat(0, "%length", 1, lambda place: self._store_result(row, place, keys, numbers))

    def _make_room(self, place: str, key: str, keys: str, numbers: str | None) -> str:
        """Move greater keys up by one; returns the place that gets free."""
        b = self.builder
        look, compare, move, done = (b.fresh_label(stem) for stem in ("look", "compare", "move", "placed"))
        before = b.block
        b.statement(f"br label %{look}")
        b.place_label(look)
        b.count += 2
        at, lower = f"%v{b.count - 1}", f"%v{b.count}"
        b.lines.append(f"  {at} = phi i64 [{place}, %{before}], [{lower}, %{move}]")
        b.statement(f"br i1 {b.compare('sgt', at, 0)}, label %{compare}, label %{done}")
        b.place_label(compare)
        b.lines.append(f"  {lower} = sub i64 {at}, 1")
        other = b.value(f"load {self.key}, ptr {b.address(keys, lower, self.key)}")
        greater = b.value(f"icmp ugt {self.key} {other}, {key}")
        b.statement(f"br i1 {greater}, label %{move}, label %{done}")
        b.place_label(move)
        b.statement(f"store {self.key} {other}, ptr {b.address(keys, at, self.key)}")
        if numbers is not None:
            number = b.value(f"load i32, ptr {b.address(numbers, lower, 'i32')}")
            b.statement(f"store i32 {number}, ptr {b.address(numbers, at, 'i32')}")
        b.statement(f"br label %{look}")
        b.place_label(done)
        return at

    # long rows

    def _sort_long(self, row: str, memory: list[str], counts: str) -> None:
        b = self.builder
        b.repeat(
            0,
            DIGITS * self.digits,
            8,
            lambda at: b.statement(f"store <8 x i32> zeroinitializer, ptr {b.address(counts, at, 'i32')}"),
        )
        b.repeat(0, "%length", 1, lambda place: self._read(row, place, memory, counts))
        pointers = list(memory)
        for digit in range(self.digits):
            pointers = self._order_by(digit, pointers, counts)
        keys, numbers = pointers[0], pointers[2] if self.places else None
        b.repeat(0, "%length", 1, lambda place: self._store_result(row, place, keys, numbers))

    def _read(self, row: str, place: str, memory: list[str], counts: str) -> None:
        """Write a key down and count its bytes."""
        b = self.builder
        key = self._load_key(row, place)
        b.statement(f"store {self.key} {key}, ptr {b.address(memory[0], place, self.key)}")
        if self.places:
            number = b.value(f"trunc i64 {place} to i32")
            b.statement(f"store i32 {number}, ptr {b.address(memory[2], place, 'i32')}")
        for digit in range(self.digits):
            cell = self._cell(counts, digit, key)
            count = b.value(f"load i32, ptr {cell}")
            b.statement(f"store i32 {b.value(f'add i32 {count}, 1')}, ptr {cell}")

    def _cell(self, counts: str, digit: int, key: str) -> str:
        """The counter of a byte of a key."""
        b = self.builder
        shifted = b.value(f"lshr {self.key} {key}, {8 * digit}") if digit else key
        wide = shifted
        if self.form.key_bits != 64:
            wide = b.value(f"zext {self.key} {shifted} to i64")
        value = b.integer("and", wide, DIGITS - 1)
        return b.address(counts, b.add(value, DIGITS * digit), "i32")

    def _order_by(self, digit: int, pointers: list[str], counts: str) -> list[str]:
        """One pass over the keys: to the other memory, ordered by a byte. Returns where they are now."""
        b = self.builder
        first = b.value(f"load {self.key}, ptr {pointers[0]}")
        count = b.value(f"load i32, ptr {self._cell(counts, digit, first)}")
        same = b.compare("eq", b.value(f"zext i32 {count} to i64"), "%length")

        def scatter() -> Values:
            self._add_up(digit, counts)
            b.repeat(0, "%length", 1, lambda place: self._move(digit, place, pointers, counts))
            return [pointers[k ^ 1] for k in range(len(pointers))]

        stay: Callable[[], Values] = lambda: list(pointers)  # noqa: E731
        return b.branch(same, stay, scatter, ["ptr"] * len(pointers))

    def _add_up(self, digit: int, counts: str) -> None:
        """Turn the numbers of keys with each byte into the place of the first of them."""
        b = self.builder

        def add(value: str, carried: Values) -> Values:
            cell = b.address(counts, b.add(value, DIGITS * digit), "i32")
            count = b.value(f"load i32, ptr {cell}")
            b.statement(f"store i32 {carried[0]}, ptr {cell}")
            return [b.value(f"add i32 {carried[0]}, {count}")]

        b.loop(0, DIGITS, 1, [("i32", "0")], add)

    def _move(self, digit: int, place: str, pointers: list[str], counts: str) -> None:
        b = self.builder
        key = b.value(f"load {self.key}, ptr {b.address(pointers[0], place, self.key)}")
        cell = self._cell(counts, digit, key)
        count = b.value(f"load i32, ptr {cell}")
        b.statement(f"store i32 {b.value(f'add i32 {count}, 1')}, ptr {cell}")
        target = b.value(f"zext i32 {count} to i64")
        b.statement(f"store {self.key} {key}, ptr {b.address(pointers[1], target, self.key)}")
        if self.places:
            number = b.value(f"load i32, ptr {b.address(pointers[2], place, 'i32')}")
            b.statement(f"store i32 {number}, ptr {b.address(pointers[3], target, 'i32')}")
