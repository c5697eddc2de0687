"""Sorting a short run by counting for each of its elements how many are less, as LLVM text.

That is quadratic, but eight comparisons are one instruction and no branch depends on what is compared.
Knuth, The Art of Computer Programming, volume 3, section 5.2.
"""

from __future__ import annotations

from tarry.codegen.gemm_builder import KernelBuilder, Values
from tarry.codegen.sort_keys import Elements

LANES = 8
# So many vectors of elements stay in registers while all others pass by.
GROUP_VECTORS = 4
GROUP = GROUP_VECTORS * LANES


def sort_by_counting(b: KernelBuilder, elements: Elements) -> None:
    """Sort `length` elements into the results, with as many others of memory to work in.

    Each element goes to the place that says how many are less; behind it stay zeros for those that are equal,
    which the greatest element so far replaces. Memory beyond the end is read, and does not matter.
    """
    kind = elements.type
    cells = b.stack_array(kind, GROUP)
    b.repeat(0, "%length", 1, lambda place: elements.store(b, "0", "%others", place))
    b.repeat(0, "%length", GROUP, lambda start: _place_group(b, elements, start, cells))

    def write(place: str, greatest: Values) -> Values:
        element = elements.load(b, "%others", place)
        above = b.value(f"icmp ugt {kind} {element}, {greatest[0]}")
        element = b.value(f"select i1 {above}, {kind} {element}, {kind} {greatest[0]}")
        elements.store_result(b, element, "%result", place)
        return [element]

    b.loop(0, "%length", 1, [(kind, "0")], write)


def _place_group(b: KernelBuilder, elements: Elements, start: str, cells: str) -> None:
    """Send the elements from `start` on to their places."""
    kind, vector, align = elements.type, f"<{LANES} x {elements.type}>", elements.bytes
    sign = -(1 << elements.bytes * 8 - 1)  # processors compare signed integers

    def load(place: str) -> str:
        address = b.address("%elements", place, kind)
        raw = b.value(f"load {vector}, ptr {address}, align {align}")
        return b.value(f"xor {vector} {raw}, splat ({kind} {sign})")

    group = [load(b.add(start, LANES * number)) for number in range(GROUP_VECTORS)]

    def count(place: str, less: Values) -> Values:
        one = b.value(f"xor {kind} {elements.load(b, '%elements', place)}, {sign}")
        one = b.value(f"insertelement {vector} poison, {kind} {one}, i64 0")
        other = b.shuffle(vector, one, "poison", [0] * LANES)
        found = []
        for mine, counts in zip(group, less):
            before = b.value(f"icmp slt {vector} {other}, {mine}")
            ones = b.value(f"sext <{LANES} x i1> {before} to {vector}")
            found.append(b.value(f"sub {vector} {counts}, {ones}"))
        return found

    less = b.loop(0, "%length", 1, [(vector, "zeroinitializer")] * GROUP_VECTORS, count)
    for number, counts in enumerate(less):
        address = b.address(cells, LANES * number, kind)
        b.statement(f"store {vector} {counts}, ptr {address}, align {align}")

    def send(number: str) -> None:
        target = elements.load(b, cells, number)
        target = target if kind == "i64" else b.value(f"zext {kind} {target} to i64")
        element = elements.load(b, "%elements", b.add(start, number))
        elements.store(b, element, "%others", target)

    b.repeat(0, b.minimum(b.subtract("%length", start), GROUP), 1, send)
