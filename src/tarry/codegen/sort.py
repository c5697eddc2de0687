"""Sorting rows, as LLVM text: for each dtype modules for the sorted values and for their places.

Numbers become unsigned keys of the same order (`sort_keys`). A run of elements is sorted by the digits of its
keys, the last one first, which keeps equal keys in order (Knuth, The Art of Computer Programming, volume 3,
section 5.2.5); a digit that all keys share is passed over. Short runs are sorted by counting for each element
how many are less (section 5.2), or by insertion where vectors of elements are no use. The kernel
`rows` takes rows one after the other, each in scratch memory of its chunk; the kernels of `sort_parts`, a
module of their own, put all chunks to work on one long row.
"""

from __future__ import annotations

from collections.abc import Callable

from tarry.codegen.gemm_builder import KernelBuilder, Values
from tarry.codegen.gemm_element import ELEMENTS, VectorTarget
from tarry.codegen.sort_keys import Elements, repeat_by_fours
from tarry.codegen.sort_layout import PART_STEPS, SORT_KEYS, sort_symbols
from tarry.codegen.sort_parts import PartsWriter
from tarry.codegen.sort_short import sort_by_counting

# The arguments: addresses of the rows, of the results and of scratch memory, then integers.
RUN, MOVE, MOVE_OUT = "sort_run", "move_elements", "move_results"
SLOTS = ("source", "result", "scratch", "rows", "length", "parts")
# Runs up to a length by the bits of an element are sorted by counting (where these are 128, by insertion),
# those below the next by digits of 8 bits, others by 11 bits: fewer passes, but more digits to count.
SHORT_RUN = {8: 64, 16: 96, 32: 192, 64: 128, 128: 32}
LONG_RUN = 4096
DIGIT_BITS, WIDE_DIGIT_BITS = 8, 11
RUN_PARAMETERS = (("ptr", "elements"), ("ptr", "others"), ("ptr", "result"), ("i64", "length"))
MOVE_PARAMETERS = (
    ("ptr", "from"), ("ptr", "to"), ("ptr", "counts"), ("i64", "shift"), ("i64", "mask"), ("i64", "length"),
)  # fmt: skip


def write_sort(dtype: str, places: bool, in_parts: bool, target: VectorTarget) -> str:
    """The text of a module that sorts rows: into sorted values, or with `places` into uint32 places."""
    elements = Elements(dtype, places)
    builders: list[KernelBuilder] = []

    def inner(name: str, parameters: tuple[tuple[str, str], ...]) -> KernelBuilder:
        builders.append(KernelBuilder(name, ELEMENTS["float32"], target, parameters))
        return builders[-1]

    def kernel(symbol: str) -> KernelBuilder:
        builders.append(KernelBuilder(symbol, ELEMENTS["float32"], target))
        b = builders[-1]
        for slot in range(len(SLOTS)):
            kind = "ptr" if slot < 3 else "i64"
            at = b.entry_value(f"getelementptr i64, ptr %args, i64 {slot}")
            b.entry.append(f"  %{SLOTS[slot]} = load {kind}, ptr {at}")
        return b

    _write_move(inner(MOVE, MOVE_PARAMETERS), elements, last=False)
    _write_move(inner(MOVE_OUT, MOVE_PARAMETERS), elements, last=True)
    _RunWriter(inner(RUN, RUN_PARAMETERS), elements).write()
    symbols = sort_symbols(dtype, places, in_parts)
    if in_parts:
        parts = PartsWriter(elements, lambda b, values: b.call(RUN, RUN_PARAMETERS, values))
        for symbol, step in zip(symbols, PART_STEPS):
            parts.write(step, kernel(symbol))
    else:
        _write_rows(kernel(symbols[0]), elements)
    return "\n".join(builder.finish() for builder in builders)


def _write_rows(b: KernelBuilder, elements: Elements) -> None:
    """A kernel that sorts each row of its chunk."""
    b.start()
    size = b.round_down(b.add(b.multiply("%length", elements.bytes), 63), 64)
    start = b.multiply(b.multiply("%chunk", size), 2)
    memory = b.value(f"getelementptr i8, ptr %scratch, i64 {start}")
    others = b.value(f"getelementptr i8, ptr {memory}, i64 {size}")
    first = b.integer("udiv", b.multiply("%rows", "%chunk"), "%chunks")
    last = b.integer("udiv", b.multiply("%rows", b.add("%chunk", 1)), "%chunks")

    def sort_row(row: str) -> None:
        at = b.multiply(row, "%length")
        source = elements.source_row(b, "%source", at)
        b.repeat(
            0, "%length", 1, lambda place: elements.store(b, elements.read(b, source, place), memory, place)
        )
        result = elements.result_row(b, "%result", at)
        b.call(RUN, RUN_PARAMETERS, [memory, others, result, "%length"])

    b.repeat(first, last, 1, sort_row)


def _digit(b: KernelBuilder, elements: Elements, element: str, shift: str | int, mask: str | int) -> str:
    """Some bits of the key of an element, as i64."""
    key = elements.wide_key(b, element)
    return b.integer("and", key if shift == 0 else b.integer("lshr", key, shift), mask)


def _write_move(b: KernelBuilder, elements: Elements, last: bool) -> None:
    """Move elements to the place of their digit, or what is wanted of them to the results."""
    b.start()

    def move(place: str) -> None:
        element = elements.load(b, "%from", place)
        cell = b.address("%counts", _digit(b, elements, element, "%shift", "%mask"), "i32")
        count = b.value(f"load i32, ptr {cell}")
        b.statement(f"store i32 {b.value(f'add i32 {count}, 1')}, ptr {cell}")
        target = b.value(f"zext i32 {count} to i64")
        if last:
            elements.store_result(b, element, "%to", target)
        else:
            elements.store(b, element, "%to", target)

    repeat_by_fours(b, 0, "%length", move)


class _Digits:
    """How keys are cut into digits: bits, values and number of digits, and how many counters there are."""

    __slots__ = ("bits", "cells", "count", "values")

    def __init__(self, key_bits: int, bits: int) -> None:
        self.bits = bits
        self.values = 1 << bits
        self.count = -(-key_bits // bits)
        self.cells = self.values * self.count


class _RunWriter:
    """The inner function that sorts a run of elements; both memories are used up."""

    def __init__(self, builder: KernelBuilder, elements: Elements) -> None:
        self.builder = builder
        self.elements = elements

    def write(self) -> None:
        b = self.builder
        key_bits = SORT_KEYS[self.elements.dtype].key_bits
        plans = [_Digits(key_bits, bits) for bits in (DIGIT_BITS, WIDE_DIGIT_BITS)]
        counts = b.stack_array("i32", max(plan.cells for plan in plans))
        b.start()
        bits = self.elements.bytes * 8
        short = b.compare("sle", "%length", SHORT_RUN[bits])
        narrow = b.compare("slt", "%length", LONG_RUN)
        longer: list[Callable[[], None]] = [
            lambda: self._sort_long(plans[0], counts), lambda: self._sort_long(plans[1], counts)
        ]  # fmt: skip
        sort_short = self._insert_all if bits == 128 else self._sort_by_counting
        b.choose(short, sort_short, lambda: b.choose(narrow, *longer))

    # short runs

    def _sort_by_counting(self) -> None:
        sort_by_counting(self.builder, self.elements)

    def _insert_all(self) -> None:
        """Each element goes in front of the greater ones before it."""
        b = self.builder

        def insert(place: str) -> None:
            element = self.elements.load(b, "%elements", place)
            self.elements.store(b, element, "%elements", self._make_room(place, element))

        b.repeat(1, "%length", 1, insert)
        self._write_out("%elements")

    def _make_room(self, place: str, element: str) -> str:
        """Move greater elements up by one; returns the place that gets free."""
        b, kind = self.builder, self.elements.type
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
        other = self.elements.load(b, "%elements", lower)
        greater = b.value(f"icmp ugt {kind} {other}, {element}")
        b.statement(f"br i1 {greater}, label %{move}, label %{done}")
        b.place_label(move)
        self.elements.store(b, other, "%elements", at)
        b.statement(f"br label %{look}")
        b.place_label(done)
        return at

    def _write_out(self, memory: str) -> None:
        b = self.builder

        def write(place: str) -> None:
            self.elements.store_result(b, self.elements.load(b, memory, place), "%result", place)

        b.repeat(0, "%length", 1, write)

    # long runs

    def _sort_long(self, plan: _Digits, counts: str) -> None:
        b = self.builder
        b.repeat(
            0, plan.cells, 8,
            lambda at: b.statement(f"store <8 x i32> zeroinitializer, ptr {b.address(counts, at, 'i32')}"),
        )  # fmt: skip
        b.repeat(0, "%length", 1, lambda place: self._count(plan, place, counts))
        first = self.elements.load(b, "%elements", 0)
        # The digits that vary; the last of them is written out.
        last = "-1"
        for digit in range(plan.count):
            last = b.select(self._varies(plan, digit, first, counts), digit, last)
        equal = b.compare("slt", last, 0)
        b.choose(
            equal, lambda: self._write_out("%elements"), lambda: self._move_all(plan, first, last, counts)
        )

    def _count(self, plan: _Digits, place: str, counts: str) -> None:
        b = self.builder
        element = self.elements.load(b, "%elements", place)
        for digit in range(plan.count):
            value = _digit(b, self.elements, element, plan.bits * digit, plan.values - 1)
            cell = b.address(counts, b.add(value, plan.values * digit) if digit else value, "i32")
            count = b.value(f"load i32, ptr {cell}")
            b.statement(f"store i32 {b.value(f'add i32 {count}, 1')}, ptr {cell}")

    def _varies(self, plan: _Digits, digit: str | int, element: str, counts: str) -> str:
        """Whether the elements do not all share a digit with this one of them."""
        b = self.builder
        value = _digit(b, self.elements, element, b.multiply(digit, plan.bits), plan.values - 1)
        cell = b.address(counts, b.add(value, b.multiply(digit, plan.values)), "i32")
        count = b.value(f"load i32, ptr {cell}")
        return b.compare("ne", b.value(f"zext i32 {count} to i64"), "%length")

    def _move_all(self, plan: _Digits, first: str, last: str, counts: str) -> None:
        """One pass over the elements for each digit that varies, to and fro; the last to the results."""
        b = self.builder

        def order(digit: str, memories: Values) -> Values:
            def move() -> Values:
                self._move(plan, MOVE, digit, memories[0], memories[1], counts)
                return [memories[1], memories[0]]

            varies = self._varies(plan, digit, first, counts)
            return b.branch(varies, move, lambda: memories, ["ptr", "ptr"])

        memories = b.loop(0, last, 1, [("ptr", "%elements"), ("ptr", "%others")], order)
        self._move(plan, MOVE_OUT, last, memories[0], "%result", counts)

    def _move(self, plan: _Digits, function: str, digit: str, source: str, target: str, counts: str) -> None:
        b = self.builder
        cells = b.address(counts, b.multiply(digit, plan.values), "i32")

        def add(value: str, carried: Values) -> Values:
            cell = b.address(cells, value, "i32")
            count = b.value(f"load i32, ptr {cell}")
            b.statement(f"store i32 {carried[0]}, ptr {cell}")
            return [b.value(f"add i32 {carried[0]}, {count}")]

        # From how many elements have each digit to the place of the first of them.
        b.loop(0, plan.values, 1, [("i32", "0")], add)
        shift = b.multiply(digit, plan.bits)
        values: list[str | int] = [source, target, cells, shift, plan.values - 1, "%length"]
        b.call(function, MOVE_PARAMETERS, values)
