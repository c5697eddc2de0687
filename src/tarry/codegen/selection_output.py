"""Writing what was selected, as LLVM text: the elements that are less, the equal ones, the greater ones.

Each kind keeps its order. Equal elements are copies of one number, so values need two streams, places three.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.codegen.gemm_builder import KernelBuilder, Values
from tarry.codegen.selection_keys import LANES, Keys, mask_of
from tarry.codegen.selection_search import fold_blocks

OUTPUT = "write_selected"
PREDICATES = {"less": "slt", "equal": "eq", "greater": "sgt"}
# The key in a cell, and for each stream where it begins and ends in the result: what would be before the
# result, or from the end on, is left out.
OUTPUT_PARAMETERS = (
    ("ptr", "source"), ("i64", "length"), ("i64", "origin"), ("ptr", "key"), ("ptr", "result"),
    ("i64", "less"), ("i64", "less_end"), ("i64", "equal"), ("i64", "equal_end"),
    ("i64", "greater"), ("i64", "greater_end"),
)  # fmt: skip


def write_output(b: KernelBuilder, keys: Keys) -> None:
    """The function that writes the streams of a row, or of part of it; `origin` is the place of the part."""
    b.start()
    key = keys.load(b, "%key")
    if not keys.places:
        number = keys.number_of(b, key)
        first = b.maximum("%equal", 0)
        b.repeat(first, "%equal_end", 1, lambda place: keys.store(b, number, "%result", place))
        # Nothing else may be wanted.
        wanted = [b.compare("slt", f"%{name}", f"%{name}_end") for name in ("less", "greater")]
        either = b.value(f"or i1 {wanted[0]}, {wanted[1]}")
        b.choose(either, lambda: _write_streams(b, keys, key, ("less", "greater")), lambda: None)
        return
    _write_streams(b, keys, key, ("less", "equal", "greater"))


def _write_streams(b: KernelBuilder, keys: Keys, key: str, names: Sequence[str]) -> None:
    bound = keys.splat(b, key)
    block = b.stack_array(keys.result, 2 * LANES)
    fitting = [b.maximum(b.subtract(f"%{name}_end", LANES - 1), 0) for name in names]
    lanes = ", ".join(f"i32 {lane}" for lane in range(LANES))

    def write(raw: str, place: str, there: str, positions: Values) -> Values:
        found = keys.keys_of(b, raw)
        values = raw
        if keys.places:
            first = b.value(f"trunc i64 {b.add('%origin', place)} to i32")
            one = b.value(f"insertelement <{LANES} x i32> poison, i32 {first}, i64 0")
            all_lanes = b.shuffle(f"<{LANES} x i32>", one, "poison", [0] * LANES)
            values = b.value(f"add <{LANES} x i32> {all_lanes}, <{lanes}>")
        ends = []
        for name, fits, position in zip(names, fitting, positions):
            mask = mask_of(b, keys.lanes_where(b, PREDICATES[name], found, bound, there))
            stream = _Stream(b, keys, block, name, fits)
            ends.append(stream.write(values, mask, position))
        return ends

    fold_blocks(b, keys, "%source", "%length", [("i64", f"%{name}") for name in names], write)


class _Stream:
    """Elements that go to one place after the other: a vector at a time where it fits before the end."""

    def __init__(self, b: KernelBuilder, keys: Keys, block: str, name: str, fits: str) -> None:
        self.builder = b
        self.keys = keys
        self.block = block
        self.end = f"%{name}_end"
        self.fits = fits  # up to here, not included, a vector may begin

    def write(self, values: str, mask: str, position: str) -> str:
        """Write what the mask picks; returns the position behind it."""
        b, keys = self.builder, self.keys
        moved = keys.compress(b, values, mask, keys.result)
        align = 4 if keys.places else keys.align
        behind = position
        places = []
        for _, _, number in moved:
            places.append(behind)
            behind = b.add(behind, number)

        def whole() -> None:
            for (kind, vector, _), place in zip(moved, places):
                address = b.address("%result", place, keys.result)
                b.statement(f"store {kind} {vector}, ptr {address}, align {align}")

        def some() -> None:
            for (kind, vector, _), place in zip(moved, places):
                cell = b.address(self.block, b.subtract(place, position), keys.result)
                b.statement(f"store {kind} {vector}, ptr {cell}, align {align}")
            first = b.maximum(b.subtract(0, position), 0)
            last = b.subtract(b.minimum(behind, self.end), position)

            def copy(number: str) -> None:
                one = b.value(f"load {keys.result}, ptr {b.address(self.block, number, keys.result)}")
                address = b.address("%result", b.add(position, number), keys.result)
                b.statement(f"store {keys.result} {one}, ptr {address}, align {align}")

            b.repeat(first, last, 1, copy)

        def near_the_end() -> None:
            inside = b.both(b.compare("slt", position, self.end), b.compare("sgt", behind, 0))
            b.choose(inside, some, lambda: None)

        b.choose(b.compare("ult", position, self.fits), whole, near_the_end)
        return behind
