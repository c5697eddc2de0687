"""What sorting works on: unsigned keys of the order of the numbers, and elements that carry them.

The sign bit of integers is flipped; of a negative float all bits are, of any other the sign; every NaN is the
greatest key. The key of a complex number is that of its real part, then that of its imaginary part. An
element is a key or, where places are wanted, a key above the place it came from: so the order of elements is
the order of keys, in which equal ones stay as they were.
"""

from __future__ import annotations

from collections.abc import Callable

from tarry.codegen.gemm_builder import KernelBuilder
from tarry.codegen.sort_layout import PLACE_BITS, SORT_KEYS, element_bits

# The bits of infinity.
_INFINITY = {"float16": 0x7C00, "bfloat16": 0x7F80, "float32": 0x7F800000, "float64": 0x7FF0000000000000}


class Elements:
    """Elements of one dtype as LLVM text: into the builder of the function being written."""

    def __init__(self, dtype: str, places: bool) -> None:
        self.dtype = dtype
        self.form = SORT_KEYS[dtype]
        self.places = places
        self.key = f"i{self.form.key_bits}"
        self.number = f"i{self.form.bits}"
        self.type = f"i{element_bits(dtype, places)}"
        self.bytes = element_bits(dtype, places) // 8
        # The bits below the key.
        self.below = element_bits(dtype, places) - self.form.key_bits if places else 0
        self.result_type = f"i{PLACE_BITS}" if places else self.number

    def read(self, b: KernelBuilder, source: str, place: str) -> str:
        """The element of number `place` of a row."""
        key = self.read_key(b, source, place)
        if not self.places:
            return key
        wide = b.value(f"zext {self.key} {key} to {self.type}")
        high = b.value(f"shl {self.type} {wide}, {self.below}")
        low = place if self.type == "i64" else b.value(f"zext i64 {place} to {self.type}")
        return b.value(f"or {self.type} {high}, {low}")

    def read_key(self, b: KernelBuilder, source: str, place: str) -> str:
        if self.form.parts == 1:
            pointer = b.address(source, place, self.number)
            return self._key_of(b, b.value(f"load {self.number}, ptr {pointer}"))
        parts = []
        for part in range(2):
            pointer = b.address(source, b.add(b.multiply(place, 2), part), self.number)
            key = self._key_of(b, b.value(f"load {self.number}, ptr {pointer}"))
            parts.append(b.value(f"zext {self.number} {key} to {self.key}"))
        high = b.value(f"shl {self.key} {parts[0]}, {self.form.bits}")
        return b.value(f"or {self.key} {high}, {parts[1]}")

    def wide(self, b: KernelBuilder, key: str) -> str:
        """A key as i64."""
        return key if self.key == "i64" else b.value(f"zext {self.key} {key} to i64")

    def wide_key(self, b: KernelBuilder, element: str) -> str:
        """The key of an element as i64."""
        if self.places:
            shifted = b.value(f"lshr {self.type} {element}, {self.below}")
            return shifted if self.type == "i64" else b.value(f"trunc {self.type} {shifted} to i64")
        return self.wide(b, element)

    def load(self, b: KernelBuilder, memory: str, place: str | int) -> str:
        return b.value(f"load {self.type}, ptr {b.address(memory, place, self.type)}")

    def store(self, b: KernelBuilder, element: str, memory: str, place: str | int) -> None:
        b.statement(f"store {self.type} {element}, ptr {b.address(memory, place, self.type)}")

    def store_result(self, b: KernelBuilder, element: str, result: str, place: str) -> None:
        """Write what is wanted of an element: its place, or the number its key stands for."""
        if self.places:
            number = b.value(f"trunc {self.type} {element} to i{PLACE_BITS}")
            b.statement(f"store i{PLACE_BITS} {number}, ptr {b.address(result, place, self.result_type)}")
            return
        if self.form.parts == 1:
            pointer = b.address(result, place, self.number)
            b.statement(f"store {self.number} {self._number_of(b, element)}, ptr {pointer}")
            return
        for part in range(2):
            shifted = element if part else b.value(f"lshr {self.key} {element}, {self.form.bits}")
            half = b.value(f"trunc {self.key} {shifted} to {self.number}")
            pointer = b.address(result, b.add(b.multiply(place, 2), part), self.number)
            b.statement(f"store {self.number} {self._number_of(b, half)}, ptr {pointer}")

    def result_row(self, b: KernelBuilder, result: str, place: str) -> str:
        """The address of the results from `place` on."""
        parts = 1 if self.places else self.form.parts
        return b.address(result, place if parts == 1 else b.multiply(place, parts), self.result_type)

    def source_row(self, b: KernelBuilder, source: str, place: str) -> str:
        parts = self.form.parts
        return b.address(source, place if parts == 1 else b.multiply(place, parts), self.number)

    def _key_of(self, b: KernelBuilder, raw: str) -> str:
        """The unsigned key of a number."""
        kind, bits = self.number, self.form.bits
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

    def _number_of(self, b: KernelBuilder, key: str) -> str:
        """The number of a key."""
        kind, bits = self.number, self.form.bits
        if self.form.kind == "u":
            return key
        sign = -(1 << bits - 1)
        if self.form.kind == "i":
            return b.value(f"xor {kind} {key}, {sign}")
        spread = b.value(f"ashr {kind} {key}, {bits - 1}")
        inverse = b.value(f"xor {kind} {spread}, -1")
        mask = b.value(f"or {kind} {inverse}, {sign}")
        return b.value(f"xor {kind} {key}, {mask}")


def repeat_by_fours(b: KernelBuilder, first: str | int, last: str | int, body: Callable[[str], None]) -> None:
    """A loop whose body stands four times: counting takes as long as a short body."""
    whole = b.add(first, b.round_down(b.subtract(last, first), 4))

    def four(place: str) -> None:
        for k in range(4):
            body(b.add(place, k) if k else place)

    b.repeat(first, whole, 4, four)
    b.repeat(whole, last, 1, body)
