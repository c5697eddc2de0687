"""Selection in rows, as LLVM text: for each dtype modules for selected values and for their places.

With the element of rank `rank` in each row, a *selection* is the elements that are less, then those that are
equal, then the greater ones, each kind in the order it had; or that from place `rank` on, as many as are
wanted. It is found by `selection_search` and written by `selection_output`. The kernel `rows` takes rows one
after the other, each with scratch memory of its chunk. The others put all chunks to work on long rows:

    pivots   a window, from a sample of the row, that holds the element in all likelihood
    narrow   what each part has below the window and on its bounds; what is inside is collected
    choose   the element, and where the parts' streams begin in the result
    output   the streams of each part
"""

from __future__ import annotations

from collections.abc import Callable

from tarry.codegen.gemm_builder import KernelBuilder
from tarry.codegen.gemm_element import ELEMENTS, VectorTarget
from tarry.codegen.selection_keys import LANES, Keys, permutation_tables
from tarry.codegen.selection_output import OUTPUT, OUTPUT_PARAMETERS, write_output
from tarry.codegen.selection_search import (
    CONVERT,
    CONVERT_PARAMETERS,
    FIND,
    FIND_PARAMETERS,
    NARROW_KEYS,
    NARROW_NUMBERS,
    NARROW_PARAMETERS,
    RANK,
    RANK_PARAMETERS,
    SearchWriter,
    store_window,
    window_ranks,
    write_convert,
    write_narrow,
    write_rank,
)
from tarry.codegen.sort_layout import (
    EQUAL,
    EQUAL_BEFORE,
    FOUND,
    LESS,
    LESS_BEFORE,
    PART_CELLS,
    PART_TABLE,
    SELECTION_STEPS_BY_ROW,
    SLACK,
    WINDOW,
    selection_symbols,
)

# The arguments: addresses of the rows, of the results and of scratch memory, then integers.
SLOTS = ("source", "result", "scratch", "rows", "length", "parts", "rank", "wanted")
SAMPLE = 2048  # of a long row
DEVIATIONS = 3.5


def write_selection(dtype: str, places: bool, target: VectorTarget) -> str:
    """The text of a module that selects in rows: values, or with `places` their uint32 places."""
    keys = Keys(dtype, places)
    builders: list[KernelBuilder] = []

    def inner(name: str, parameters: tuple[tuple[str, str], ...]) -> KernelBuilder:
        builders.append(KernelBuilder(name, ELEMENTS["float32"], target, parameters))
        return builders[-1]

    write_convert(inner(CONVERT, CONVERT_PARAMETERS), keys)
    write_rank(inner(RANK, RANK_PARAMETERS), keys)
    write_narrow(inner(NARROW_NUMBERS, NARROW_PARAMETERS), keys, raw=True)
    write_narrow(inner(NARROW_KEYS, NARROW_PARAMETERS), keys, raw=False)
    SearchWriter(inner(FIND, FIND_PARAMETERS), keys).write()
    write_output(inner(OUTPUT, OUTPUT_PARAMETERS), keys)
    for symbol in selection_symbols(dtype, places):
        step = symbol.rpartition("_")[2]
        builders.append(KernelBuilder(symbol, ELEMENTS["float32"], target))
        _write_kernel(builders[-1], step, keys)
    declarations = sorted(set().union(*(builder.declarations for builder in builders)))
    return "\n".join([permutation_tables(), *declarations, *(builder.finish() for builder in builders)])


def _write_kernel(b: KernelBuilder, step: str, keys: Keys) -> None:
    for slot, name in enumerate(SLOTS):
        kind = "ptr" if slot < 3 else "i64"
        at = b.entry_value(f"getelementptr i64, ptr %args, i64 {slot}")
        b.entry.append(f"  %{name} = load {kind}, ptr {at}")
    b.start()
    if step == "rows":
        _select_rows(b, keys)
        return
    row, part = ("%chunk", "0") if step in SELECTION_STEPS_BY_ROW else b.divide("%chunk", "%parts")
    writer = _LongRow(b, keys, row)
    if step == "pivots":
        writer.find_window()
    elif step == "narrow":
        writer.narrow(part)
    elif step == "choose":
        writer.choose()
    else:
        writer.write_part(part)


def _list_bytes(b: KernelBuilder, keys: Keys, parts: str | int = 1) -> str:
    """As `sort_layout.list_bytes`."""
    slack = b.multiply(b.add(parts, 1), SLACK)
    return b.round_down(b.add(b.multiply(b.add("%length", slack), keys.bits // 8), 63), 64)


def _select_rows(b: KernelBuilder, keys: Keys) -> None:
    """A kernel that selects in each row of its chunk."""
    size = _list_bytes(b, keys)
    start = b.multiply(b.multiply("%chunk", size), 2)
    lists = [b.value(f"getelementptr i8, ptr %scratch, i64 {start}")]
    lists.append(b.value(f"getelementptr i8, ptr {lists[0]}, i64 {size}"))
    found = b.stack_array("i64", 4)
    first = b.integer("udiv", b.multiply("%rows", "%chunk"), "%chunks")
    last = b.integer("udiv", b.multiply("%rows", b.add("%chunk", 1)), "%chunks")

    def select(row: str) -> None:
        source = b.address("%source", b.multiply(row, "%length"), keys.type)
        result = b.address("%result", b.multiply(row, "%wanted"), keys.result)
        b.call(FIND, FIND_PARAMETERS, [source, *lists, 1, "%length", "%rank", found])
        less, equal = (b.value(f"load i64, ptr {b.address(found, k, 'i64')}") for k in (1, 2))
        streams = _Streams(b, less, equal)
        values = [source, "%length", 0, found, result, *streams.bounds("0", less, "0", equal, "0", "%length")]
        b.call(OUTPUT, OUTPUT_PARAMETERS, values)

    b.repeat(first, last, 1, select)


class _Streams:
    """Where what was selected goes: with `less` and `equal` elements of a row, `wanted` from the first on."""

    def __init__(self, b: KernelBuilder, less: str, equal: str) -> None:
        self.builder = b
        self.all = b.compare("eq", "%wanted", "%length")
        self.first = b.select(self.all, 0, "%rank")
        self.less_end = b.select(self.all, less, 0)
        self.equal = b.subtract(less, self.first)
        self.greater = b.add(self.equal, equal)
        self.equal_end = b.minimum(self.greater, "%wanted")

    def bounds(
        self, less_before: str, less: str, equal_before: str, equal: str, greater_before: str, greater: str
    ) -> list[str | int]:
        """Begin and end of each stream of a part, from how many elements are before it, and in it."""
        b = self.builder
        found: list[str | int] = []
        for start, before, count, end in (
            ("0", less_before, less, self.less_end),
            (self.equal, equal_before, equal, self.equal_end),
            (self.greater, greater_before, greater, "%wanted"),
        ):
            at = b.add(start, before)
            found += [at, b.maximum(b.minimum(b.add(at, count), end), 0)]
        return found


class _LongRow:
    """The kernels of selection in parts; where things of one row are."""

    def __init__(self, b: KernelBuilder, keys: Keys, row: str) -> None:
        self.builder = b
        self.keys = keys
        self.source = b.address("%source", b.multiply(row, "%length"), keys.type)
        self.result = b.address("%result", b.multiply(row, "%wanted"), keys.result)
        size = _list_bytes(b, keys, "%parts")
        table = b.multiply(b.add(b.multiply("%parts", PART_CELLS), PART_TABLE), 8)
        each = b.add(table, b.multiply(size, 2))
        self.memory = b.value(f"getelementptr i8, ptr %scratch, i64 {b.multiply(row, each)}")
        first = b.value(f"getelementptr i8, ptr {self.memory}, i64 {table}")
        self.lists = [first, b.value(f"getelementptr i8, ptr {first}, i64 {size}")]
        self.window = b.address(self.memory, WINDOW, "i64")
        self.found = b.address(self.memory, FOUND, "i64")
        self.counts = b.stack_array("i64", 4)

    def _begin(self, part: str) -> str:
        b = self.builder
        return b.integer("udiv", b.multiply("%length", part), "%parts")

    def _extent(self, part: str) -> tuple[str, str]:
        """The place of a part, and its length."""
        begin = self._begin(part)
        return begin, self.builder.subtract(self._begin(self.builder.add(part, 1)), begin)

    def _cells(self, part: str) -> str:
        b = self.builder
        return b.address(self.memory, b.add(b.multiply(part, PART_CELLS), PART_TABLE), "i64")

    def _inside(self, part: str, begin: str) -> str:
        """The list of what a part has inside the window."""
        b = self.builder
        return b.address(self.lists[0], b.add(begin, b.multiply(part, SLACK)), self.keys.type)

    def _load(self, cells: str, number: int) -> str:
        return self.builder.value(f"load i64, ptr {self.builder.address(cells, number, 'i64')}")

    def _store(self, value: str, cells: str, number: int) -> None:
        self.builder.statement(f"store i64 {value}, ptr {self.builder.address(cells, number, 'i64')}")

    def _sampled(self, rank: str) -> str:
        """The key of a rank in the sample."""
        b, keys = self.builder, self.keys
        step = b.integer("udiv", "%length", SAMPLE)
        start = b.integer("lshr", step, 1)

        def pick(number: str) -> None:
            key = keys.load(b, self.source, b.add(start, b.multiply(number, step)))
            keys.store(b, key, self.lists[0], number)

        b.repeat(0, SAMPLE, 1, pick)
        b.call(CONVERT, CONVERT_PARAMETERS, [self.lists[0], self.lists[0], SAMPLE])
        rank = b.maximum(b.minimum(rank, SAMPLE - 1), 0)
        b.call(FIND, FIND_PARAMETERS, [*self.lists, self.lists[0], 0, SAMPLE, rank, self.found])
        return keys.load(b, self.found)

    def find_window(self) -> None:
        b, keys = self.builder, self.keys
        first, second = window_ranks(b, "%rank", "%length", SAMPLE, DEVIATIONS)
        lower, upper = self._sampled(first), self._sampled(second)
        lower = keys.select(b, b.compare("slt", first, 0), str(keys.least), lower)
        upper = keys.select(b, b.compare("sge", second, SAMPLE), str(keys.most), upper)
        store_window(b, keys, lower, upper, self.window)

    def narrow(self, part: str) -> None:
        b = self.builder
        begin, length = self._extent(part)
        source = b.address(self.source, begin, self.keys.type)
        values = [source, length, self.window, self._inside(part, begin), self._cells(part)]
        b.call(NARROW_NUMBERS, NARROW_PARAMETERS, values)

    # the element, from what the parts have

    def choose(self) -> None:
        b = self.builder

        def add(part: str, totals: list[str]) -> list[str]:
            cells = self._cells(part)
            return [b.add(total, self._load(cells, number)) for number, total in enumerate(totals)]

        totals = b.loop(0, "%parts", 1, [("i64", "0")] * 4, add)
        ends = [totals[0]]
        for total in totals[1:]:
            ends.append(b.add(ends[-1], total))
        # Inside the window, if what is there can be put together twice in one list.
        few = b.compare("sle", b.add(totals[2], SLACK), b.integer("lshr", "%length", 1))
        self._choose_on(0, ends[0], totals[1], lambda: self._choose_on(
            1, ends[2], totals[3],
            lambda: b.choose(
                b.both(few, self._is_between(ends[1], ends[2])),
                lambda: self._choose_inside(ends[1], totals[2]),
                self._choose_from_all,
            ),
        ))  # fmt: skip
        self._add_up()

    def _is_between(self, first: str, last: str) -> str:
        b = self.builder
        return b.both(b.compare("sge", "%rank", first), b.compare("slt", "%rank", last))

    def _choose_on(self, bound: int, less: str, equal: str, otherwise: Callable[[], None]) -> None:
        """The element is on a bound of the window, if that is so."""
        b, keys = self.builder, self.keys

        def take() -> None:
            keys.store(b, keys.load(b, b.address(self.window, bound, "i64")), self.found)
            self._store(less, self.found, 1)
            self._store(equal, self.found, 2)

            def pass_on(part: str) -> None:
                cells = self._cells(part)
                below = self._load(cells, 0)
                for number in (1, 2) if bound else ():
                    below = b.add(below, self._load(cells, number))
                self._store(below, cells, LESS)
                self._store(self._load(cells, 3 if bound else 1), cells, EQUAL)

            b.repeat(0, "%parts", 1, pass_on)

        b.choose(self._is_between(less, b.add(less, equal)), take, otherwise)

    def _choose_from_all(self) -> None:
        """The window was missed, or held too much."""
        b = self.builder
        b.call(FIND, FIND_PARAMETERS, [self.source, *self.lists, 1, "%length", "%rank", self.found])
        bounds = self._bounds_of_found()

        def count(part: str) -> None:
            begin, length = self._extent(part)
            source = b.address(self.source, begin, self.keys.type)
            b.call(NARROW_NUMBERS, NARROW_PARAMETERS, [source, length, bounds, self.lists[1], self.counts])
            cells = self._cells(part)
            self._store(self._load(self.counts, 0), cells, LESS)
            self._store(self._load(self.counts, 1), cells, EQUAL)

        b.repeat(0, "%parts", 1, count)

    def _bounds_of_found(self) -> str:
        """A window that is only the element itself: narrowing counts what is less, and equal."""
        b, keys = self.builder, self.keys
        bounds = b.stack_array("i64", 2)
        for bound in range(2):
            keys.store(b, keys.load(b, self.found), b.address(bounds, bound, "i64"))
        return bounds

    def _add_up(self) -> None:
        """How many elements of each kind are before each part."""
        b = self.builder

        def add(part: str, before: list[str]) -> list[str]:
            cells = self._cells(part)
            self._store(before[0], cells, LESS_BEFORE)
            self._store(before[1], cells, EQUAL_BEFORE)
            return [b.add(before[0], self._load(cells, LESS)), b.add(before[1], self._load(cells, EQUAL))]

        b.loop(0, "%parts", 1, [("i64", "0")] * 2, add)

    def _choose_inside(self, below: str, count: str) -> None:
        b, keys = self.builder, self.keys

        def append(part: str, at: list[str]) -> list[str]:
            number = self._load(self._cells(part), 2)
            inside = self._inside(part, self._begin(part))

            def copy(place: str) -> None:
                block = keys.load_vector(b, inside, place)
                keys.store_vector(b, block, self.lists[1], b.add(at[0], place))

            b.repeat(0, number, LANES, copy)
            return [b.add(at[0], number)]

        b.loop(0, "%parts", 1, [("i64", "0")], append)
        other = b.address(self.lists[1], b.add(count, SLACK), keys.type)
        rank = b.subtract("%rank", below)
        b.call(FIND, FIND_PARAMETERS, [self.lists[1], other, other, 0, count, rank, self.found])
        self._store(b.add(self._load(self.found, 1), below), self.found, 1)
        bounds = self._bounds_of_found()

        def tally(part: str) -> None:
            cells = self._cells(part)
            inside = self._inside(part, self._begin(part))
            values = [inside, self._load(cells, 2), bounds, other, self.counts]
            b.call(NARROW_KEYS, NARROW_PARAMETERS, values)
            less = b.add(b.add(self._load(cells, 0), self._load(cells, 1)), self._load(self.counts, 0))
            self._store(less, cells, LESS)
            self._store(self._load(self.counts, 1), cells, EQUAL)

        b.repeat(0, "%parts", 1, tally)

    def write_part(self, part: str) -> None:
        b = self.builder
        begin, length = self._extent(part)
        cells = self._cells(part)
        less, equal, less_before, equal_before = (
            self._load(cells, number) for number in (LESS, EQUAL, LESS_BEFORE, EQUAL_BEFORE)
        )
        streams = _Streams(b, self._load(self.found, 1), self._load(self.found, 2))
        greater = b.subtract(b.subtract(length, less), equal)
        greater_before = b.subtract(b.subtract(begin, less_before), equal_before)
        bounds = streams.bounds(less_before, less, equal_before, equal, greater_before, greater)
        source = b.address(self.source, begin, self.keys.type)
        values = [source, length, begin, self.found, self.result, *bounds]
        b.call(OUTPUT, OUTPUT_PARAMETERS, values)
