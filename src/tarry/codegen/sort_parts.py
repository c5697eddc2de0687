"""Sorting a long row by many chunks, as LLVM text.

The row is cut into parts by its length alone. Elements are sent to buckets, ranges of keys in ascending
order, and then each bucket, which as a rule fits the cache, is sorted by itself:

    sample   the range of some keys of the row, cut evenly into buckets
    count    how many elements of each part belong to each bucket
    place    where the elements of each bucket, part by part, begin
    scatter  send the elements of each part there, in order
    finish   sort the buckets; chunk p those that begin in part p of the results

Keys outside the sampled range go to the first or last bucket, so the sample decides about time alone. What is
in a bucket, and in which order, does not depend on the parts.
"""

from __future__ import annotations

from collections.abc import Callable

from tarry.codegen.gemm_builder import KernelBuilder, Values
from tarry.codegen.sort_keys import Elements, repeat_by_fours
from tarry.codegen.sort_layout import BUCKET_BITS, BUCKETS, COUNT_BYTES, HEADER_BYTES, STARTS, STEPS_BY_ROW

SAMPLES = 64
LANES = 8
VECTOR = f"<{LANES} x i32>"


class PartsWriter:
    """The kernels of a sort in parts. Their chunks are the parts of all rows, or the rows."""

    def __init__(self, elements: Elements, sort_run: Callable[[KernelBuilder, Values], None]) -> None:
        self.elements = elements
        self.sort_run = sort_run  # of elements, other memory, results and length

    def write(self, step: str, b: KernelBuilder) -> None:
        writers = {
            "sample": self._sample,
            "count": self._count,
            "place": self._place,
            "scatter": self._scatter,
            "finish": self._finish,
        }
        b.start()
        row, part = ("%chunk", "0") if step in STEPS_BY_ROW else b.divide("%chunk", "%parts")
        writers[step](_Row(b, self.elements, row), part)

    def _sample(self, row: _Row, part: str) -> None:
        b = row.builder

        def look(number: str, carried: Values) -> Values:
            place = b.integer("udiv", b.multiply(number, "%length"), SAMPLES)
            key = self._key(row, place)
            least = b.select(b.compare("ult", key, carried[0]), key, carried[0])
            most = b.select(b.compare("ugt", key, carried[1]), key, carried[1])
            return [least, most]

        least, most = b.loop(0, SAMPLES, 1, [("i64", "-1"), ("i64", "0")], look)
        extent = b.subtract(most, least)

        def widen(_: str, carried: Values) -> Values:
            wide = b.compare("uge", b.integer("lshr", extent, carried[0]), BUCKETS)
            return [b.add(carried[0], b.value(f"zext i1 {wide} to i64"))]

        (shift,) = b.loop(0, 64 - BUCKET_BITS, 1, [("i64", "0")], widen)
        b.statement(f"store i64 {least}, ptr {row.memory}")
        b.statement(f"store i64 {shift}, ptr {b.address(row.memory, 1, 'i64')}")

    def _count(self, row: _Row, part: str) -> None:
        b = row.builder
        cells = row.counts(part)
        b.repeat(0, BUCKETS, LANES, lambda at: _store(b, "zeroinitializer", cells, at))
        bucket = self._classifier(row)

        def count(place: str) -> None:
            cell = b.address(cells, bucket(self._key(row, place)), "i32")
            before = b.value(f"load i32, ptr {cell}")
            b.statement(f"store i32 {b.value(f'add i32 {before}, 1')}, ptr {cell}")

        repeat_by_fours(b, *row.bounds(part), count)

    def _place(self, row: _Row, part: str) -> None:
        """The places of the parts' elements within a bucket, then those of the buckets, then their sums."""
        b = row.builder
        b.repeat(0, BUCKETS, LANES, lambda at: _store(b, "zeroinitializer", row.starts, at))

        def count_before(number: str) -> None:
            cells = row.counts(number)

            def pass_on(bucket: str) -> None:
                before, count = _load(b, row.starts, bucket), _load(b, cells, bucket)
                _store(b, before, cells, bucket)
                _store(b, b.value(f"add {VECTOR} {before}, {count}"), row.starts, bucket)

            b.repeat(0, BUCKETS, LANES, pass_on)

        b.repeat(0, "%parts", 1, count_before)

        def begin(bucket: str, carried: Values) -> Values:
            cell = b.address(row.starts, bucket, "i32")
            count = b.value(f"load i32, ptr {cell}")
            b.statement(f"store i32 {carried[0]}, ptr {cell}")
            return [b.value(f"add i32 {carried[0]}, {count}")]

        (end,) = b.loop(0, BUCKETS, 1, [("i32", "0")], begin)
        b.statement(f"store i32 {end}, ptr {b.address(row.starts, BUCKETS, 'i32')}")

        def move_on(number: str) -> None:
            cells = row.counts(number)

            def add(bucket: str) -> None:
                total = b.value(f"add {VECTOR} {_load(b, cells, bucket)}, {_load(b, row.starts, bucket)}")
                _store(b, total, cells, bucket)

            b.repeat(0, BUCKETS, LANES, add)

        b.repeat(0, "%parts", 1, move_on)

    def _scatter(self, row: _Row, part: str) -> None:
        b = row.builder
        cells = row.counts(part)
        elements, _ = row.memories()
        bucket = self._classifier(row)

        def send(place: str) -> None:
            element = self.elements.read(b, row.source, place)
            cell = b.address(cells, bucket(self.elements.wide_key(b, element)), "i32")
            before = b.value(f"load i32, ptr {cell}")
            b.statement(f"store i32 {b.value(f'add i32 {before}, 1')}, ptr {cell}")
            self.elements.store(b, element, elements, b.value(f"zext i32 {before} to i64"))

        repeat_by_fours(b, *row.bounds(part), send)

    def _finish(self, row: _Row, part: str) -> None:
        b = row.builder
        elements, others = row.memories()
        first, last = row.bounds(part)
        result = self.elements.result_row(b, "%result", row.at)

        def begin(bucket: str) -> str:
            start = b.value(f"load i32, ptr {b.address(row.starts, bucket, 'i32')}")
            return b.value(f"zext i32 {start} to i64")

        def finish(bucket: str) -> None:
            start = begin(bucket)
            length = b.subtract(begin(b.add(bucket, 1)), start)
            mine = b.both(b.compare("sge", start, first), b.compare("slt", start, last))
            mine = b.both(mine, b.compare("sgt", length, 0))
            kind = self.elements.type

            def sort() -> None:
                memories = [b.address(memory, start, kind) for memory in (elements, others)]
                self.sort_run(b, [*memories, self.elements.result_row(b, result, start), length])

            b.choose(mine, sort, lambda: None)

        b.repeat(0, BUCKETS, 1, finish)

    def _key(self, row: _Row, place: str) -> str:
        b = row.builder
        return self.elements.wide(b, self.elements.read_key(b, row.source, place))

    def _classifier(self, row: _Row) -> Callable[[str], str]:
        """From a key to the number of its bucket."""
        b = row.builder
        least = b.value(f"load i64, ptr {row.memory}")
        shift = b.value(f"load i64, ptr {b.address(row.memory, 1, 'i64')}")

        def bucket(key: str) -> str:
            above = b.select(b.compare("ugt", key, least), b.subtract(key, least), 0)
            number = b.integer("lshr", above, shift)
            return b.select(b.compare("ult", number, BUCKETS - 1), number, BUCKETS - 1)

        return bucket


def _load(b: KernelBuilder, cells: str, at: str) -> str:
    return b.value(f"load {VECTOR}, ptr {b.address(cells, at, 'i32')}, align 4")


def _store(b: KernelBuilder, value: str, cells: str, at: str) -> None:
    b.statement(f"store {VECTOR} {value}, ptr {b.address(cells, at, 'i32')}, align 4")


class _Row:
    """Where things of one row are, in the kernel being written."""

    def __init__(self, b: KernelBuilder, elements: Elements, row: str) -> None:
        self.builder = b
        self.elements = elements
        self.at = b.multiply(row, "%length")
        self.source = elements.source_row(b, "%source", self.at)
        self.size = b.round_down(b.add(b.multiply("%length", elements.bytes), 63), 64)
        table = b.add(b.multiply("%parts", COUNT_BYTES), HEADER_BYTES)
        each = b.add(table, b.multiply(self.size, 2))
        self.memory = b.value(f"getelementptr i8, ptr %scratch, i64 {b.multiply(row, each)}")
        self.starts = b.address(self.memory, STARTS, "i32")
        self.table = table

    def counts(self, part: str) -> str:
        """The counters of a part, one for each bucket."""
        b = self.builder
        at = b.add(b.multiply(part, COUNT_BYTES), HEADER_BYTES)
        return b.value(f"getelementptr i8, ptr {self.memory}, i64 {at}")

    def memories(self) -> tuple[str, str]:
        b = self.builder
        first = b.value(f"getelementptr i8, ptr {self.memory}, i64 {self.table}")
        return first, b.value(f"getelementptr i8, ptr {first}, i64 {self.size}")

    def bounds(self, part: str) -> tuple[str, str]:
        """The first place of a part, and the first behind it."""
        b = self.builder
        first = b.integer("udiv", b.multiply("%length", part), "%parts")
        return first, b.integer("udiv", b.multiply("%length", b.add(part, 1)), "%parts")
