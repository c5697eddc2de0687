"""How sorting and selection are laid out: keys of dtypes, kernels of a module, and their scratch memory.

Plans need no more than this; what writes the kernels is `sort` and `selection`.
"""

from __future__ import annotations

PLACE_BITS = 32
# Short runs are read so many bytes beyond their end.
READ_BEYOND = 256
# The steps of a sort of long rows in parts.
PART_STEPS = ("sample", "count", "place", "scatter", "finish")
STEPS_BY_ROW = ("rows", "sample", "place")  # the chunks of the others are parts of rows
BUCKET_BITS = 11
BUCKETS = 1 << BUCKET_BITS
# At the start of a row's scratch memory: the least key of the range, how far keys are shifted, then where
# each bucket begins and the last one ends.
STARTS = 16  # a multiple of 4 bytes
HEADER_BYTES = 4 * (STARTS + BUCKETS + 16)
COUNT_BYTES = 4 * BUCKETS


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


def element_bits(dtype: str, places: bool) -> int:
    """The size of an element: a key, or a key and a place, as an integer that processors have."""
    bits = SORT_KEYS[dtype].key_bits
    if not places:
        return bits
    return 64 if bits <= 32 else 128


def sort_steps(in_parts: bool) -> tuple[str, ...]:
    """The steps of a sort of whole rows, or in parts."""
    return PART_STEPS if in_parts else ("rows",)


def sort_symbols(dtype: str, places: bool, in_parts: bool) -> list[str]:
    """The kernels of a module, one for each step."""
    name = f"sort_{dtype}_{'places' if places else 'values'}"
    return [f"{name}_{step}" for step in sort_steps(in_parts)]


def row_scratch_bytes(dtype: str, places: bool, length: int) -> int:
    """The scratch memory of a chunk that sorts rows: elements twice."""
    size = length * element_bits(dtype, places) // 8
    return 2 * (-(-size // 64) * 64)


def parts_scratch_bytes(dtype: str, places: bool, length: int, parts: int) -> int:
    """The scratch memory of a row that is sorted in parts."""
    return HEADER_BYTES + COUNT_BYTES * parts + row_scratch_bytes(dtype, places, length)


# Selection

# The steps of a selection in long rows that are cut into parts.
SELECTION_STEPS = ("pivots", "narrow", "choose", "output")
SELECTION_STEPS_BY_ROW = ("rows", "pivots", "choose")  # the chunks of the others are parts of rows
# What may be written beyond the end of a list of keys.
SLACK = 32
# At the start of a row's scratch memory, cells of 8 bytes: the bounds of the window, what was found (key,
# elements less, elements equal), then some for each part.
WINDOW, FOUND, PART_TABLE = 0, 2, 8
# Of a part: how many elements are less than the window, equal to its lower bound, inside, and equal to its
# upper bound; then how many are less than what was found and equal to it, and the same of all parts before.
PART_CELLS = 8
LESS, EQUAL, LESS_BEFORE, EQUAL_BEFORE = 4, 5, 6, 7


def selection_steps(in_parts: bool) -> tuple[str, ...]:
    """The steps of a selection in whole rows, or in parts of rows."""
    return SELECTION_STEPS if in_parts else ("rows",)


def selection_symbols(dtype: str, places: bool) -> list[str]:
    """The kernels of a module: whole rows, then the steps in parts."""
    name = f"sort_selection_{dtype}_{'places' if places else 'values'}"
    return [f"{name}_{step}" for step in ("rows", *SELECTION_STEPS)]


def list_bytes(dtype: str, length: int, parts: int = 1) -> int:
    """The memory of as many keys, in lists of their own for each part."""
    size = (length + SLACK * (parts + 1)) * SORT_KEYS[dtype].key_bits // 8
    return -(-size // 64) * 64


def selection_rows_bytes(dtype: str, length: int) -> int:
    """The scratch memory of a chunk that takes rows: two lists of keys."""
    return 2 * list_bytes(dtype, length)


def selection_parts_bytes(dtype: str, length: int, parts: int) -> int:
    """The scratch memory of a row that is cut into parts."""
    return 8 * (PART_TABLE + PART_CELLS * parts) + 2 * list_bytes(dtype, length, parts)
