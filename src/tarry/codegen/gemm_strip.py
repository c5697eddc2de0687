"""Matrix multiplication with few rows in A: variants "rows" (dot products) and "columns" (sums of rows of B).

Both read B once, as it lies in memory. "rows" wants unit stride along k in A and B (B transposed); "columns"
wants unit stride along n in B and C. The caller may swap the operands, so both serve few columns as well.
Where C has few strips, k is cut into parts as well: their sums go to `partial`, and a last step adds them
up, in order.
"""

from collections.abc import Callable

from tarry.codegen.gemm import STRIP_BYTES
from tarry.codegen.gemm_builder import KernelBuilder, Values
from tarry.codegen.gemm_multiply import copy_sums, finish_row
from tarry.codegen.gemm_slots import GemmSlots

ROW_GROUP = 4  # rows of B that variant "columns" adds at a time

# Rows and columns of the tiles of dot products. Few rows read memory, as fast as eight streams of it come;
# 4 x 3 sums fit 16 registers.
DOT_TILES = ((4, 3), (1, 8))

DOT_PARAMETERS = (
    ("ptr", "a"), ("ptr", "b"), ("ptr", "sums"),
    ("i64", "a_row"), ("i64", "b_column"),
    ("i64", "rows"), ("i64", "columns"),  # how many exist; others repeat the last
    ("i64", "length"),
)  # fmt: skip

ADD_PARAMETERS = (
    ("ptr", "a"), ("ptr", "b"), ("ptr", "sums"),
    ("i64", "a_row"), ("i64", "a_column"), ("i64", "b_row"),
    ("i64", "pitch"),  # from one row of sums to the next
    ("i64", "count"),  # of columns
)  # fmt: skip


class StripMultiply:
    """What both variants share: items are strips of columns, of one matrix and one part of k each."""

    def __init__(self, build: KernelBuilder) -> None:
        self.build = build

    def prepare(self) -> None:
        """Take stack space."""
        raise NotImplementedError

    def multiply_strip(self, column: str, column_stop: str) -> None:
        raise NotImplementedError

    def store(
        self, partial: str, result: str, save: Callable[[str], None], finish: Callable[[str], None]
    ) -> None:
        """Save a part of a sum in `partial`, or finish the sum in `result`; often that is the same code."""
        build = self.build
        if build.element.narrow:
            build.choose(self.is_split, lambda: save(partial), lambda: finish(result))
        else:
            save(build.select_pointer(self.is_split, partial, result))

    def emit(self) -> None:
        build = self.build
        build.start()
        slots = self.slots = GemmSlots(build)
        self.prepare()
        strips = build.divide_up(slots["n"], slots["column_block"])
        parts = build.maximum(build.divide_up(slots["k"], slots["depth_block"]), 1)
        self.is_split = build.compare("sgt", parts, 1)
        matrices = build.multiply(slots.batch(), parts)
        low, high = slots.item_range(build.multiply(matrices, strips))

        def item(index: str) -> None:
            matrix, strip = build.divide(index, strips)
            batch, part = build.divide(matrix, parts)
            k = build.multiply(part, slots["depth_block"])
            self.length = build.minimum(build.subtract(slots["k"], k), slots["depth_block"])
            column = build.multiply(strip, slots["column_block"])
            column_stop = build.minimum(build.add(column, slots["column_block"]), slots["n"])
            indices = slots.batch_indices(batch)
            left = build.add(slots.offset("a", indices), build.multiply(k, slots["a_column"]))
            right = build.add(slots.offset("b", indices), build.multiply(k, slots["b_row"]))
            self.left_matrix = build.stored(slots["a"], left)
            self.right_matrix = build.stored(slots["b"], right)
            self.result = build.stored(slots["c"], build.multiply(batch, slots["c_batch"]))
            place = build.add(build.multiply(part, slots.batch()), batch)
            size = build.multiply(slots["m"], slots["n"])
            self.partial = build.accumulated(slots["partial"], build.multiply(place, size))
            self.multiply_strip(column, column_stop)

        build.repeat(low, high, 1, item)


class DotFunction:
    """Writes an inner function that computes one tile of dot products, vectors along k."""

    def __init__(self, build: KernelBuilder, height: int, width: int) -> None:
        self.build = build
        self.height = height
        self.width = width

    def emit(self) -> None:
        build = self.build
        build.start()
        rows = self.pointers("%a", "%a_row", "%rows", self.height)
        columns = self.pointers("%b", "%b_column", "%columns", self.width)
        for cell, value in enumerate(self.dot_products(rows, columns)):
            build.store_plain(build.sum_lanes(value), build.scalar("%sums", cell), 1)

    def pointers(self, start: str, stride: str, count: str, number: int) -> Values:
        build = self.build
        last = build.subtract(count, 1)
        return [
            build.stored(start, build.multiply(build.minimum(last, index), stride) if index else 0)
            for index in range(number)
        ]

    def dot_products(self, rows: Values, columns: Values) -> Values:
        """One vector of sums for each pair."""
        build, lanes = self.build, self.build.lanes
        kind = build.accumulator_vector(lanes)
        whole = build.round_down("%length", lanes)

        def multiply(left: Values, right: Values, sums: Values) -> Values:
            pairs = [(x, y) for x in left for y in right]
            return [build.multiply_add(x, y, z, lanes) for (x, y), z in zip(pairs, sums)]

        def vectors(k: str, sums: Values) -> Values:
            left = [build.load_stored(build.stored(p, k), lanes)[0] for p in rows]
            return multiply(left, [build.load_stored(build.stored(p, k), lanes)[0] for p in columns], sums)

        def single(k: str, sums: Values) -> Values:
            left = [build.first_lane(build.load_stored(build.stored(p, k), 1)[0], lanes) for p in rows]
            right = [build.first_lane(build.load_stored(build.stored(p, k), 1)[0], lanes) for p in columns]
            return multiply(left, right, sums)

        zeros = [(kind, "zeroinitializer")] * (len(rows) * len(columns))
        sums = build.loop(0, whole, lanes, zeros, vectors)
        return build.loop(whole, "%length", 1, [(kind, value) for value in sums], single)


class RowDots(StripMultiply):
    """Variant "rows": tiles of dot products. C may have any strides."""

    def __init__(self, build: KernelBuilder, functions: list[str]) -> None:
        super().__init__(build)
        self.functions = functions  # the inner functions of `DOT_TILES`

    def prepare(self) -> None:
        cells = max(height * width for height, width in DOT_TILES)
        self.sums = self.build.stack_array(self.build.element.accumulator, cells)

    def multiply_strip(self, column: str, column_stop: str) -> None:
        build = self.build
        tall = build.compare("sgt", self.slots["m"], DOT_TILES[1][0])

        def run(number: int) -> None:
            height, width = DOT_TILES[number]

            def columns(first: str) -> None:
                count = build.minimum(build.subtract(column_stop, first), width)
                build.repeat(
                    0, self.slots["m"], height, lambda row: self.multiply_tile(number, row, first, count)
                )

            build.repeat(column, column_stop, width, columns)

        build.choose(tall, lambda: run(0), lambda: run(1))

    def multiply_tile(self, number: int, row: str, column: str, count: str) -> None:
        build, slots = self.build, self.slots
        height, width = DOT_TILES[number]
        rows = build.minimum(build.subtract(slots["m"], row), height)
        a = build.stored(self.left_matrix, build.multiply(row, slots["a_row"]))
        b = build.stored(self.right_matrix, build.multiply(column, slots["b_column"]))
        values = [a, b, self.sums, slots["a_row"], slots["b_column"], rows, count, self.length]
        build.call(self.functions[number], DOT_PARAMETERS, values)

        def finish(offset: str) -> None:
            result_row = build.add(row, offset)
            sums = build.scalar(self.sums, build.multiply(offset, width))
            start = build.multiply(result_row, slots["c_row"])
            start = build.add(start, build.multiply(column, slots["c_column"]))
            result = build.stored(self.result, start)
            inside = build.add(build.multiply(result_row, slots["n"]), column)
            partial = build.accumulated(self.partial, inside)

            def one(index: str) -> None:
                cell = [build.load_plain(build.scalar(sums, index), 1)]
                place = build.stored(result, build.multiply(index, slots["c_column"]))
                self.store(
                    build.accumulated(partial, index),
                    place,
                    lambda to: build.store_accumulated(cell, to, 1),
                    lambda to: build.store_stored(cell, to, 1),
                )

            build.repeat(0, count, 1, one)

        build.repeat(0, rows, 1, finish)


class AddFunction:
    """Writes code that adds `group` rows of B, times their elements of A, to the sums of `height` rows."""

    def __init__(self, build: KernelBuilder, height: int, group: int) -> None:
        self.build = build
        self.height = height
        self.group = group

    def emit(self) -> None:
        """The body of an inner function with `ADD_PARAMETERS`."""
        build = self.build
        build.start()
        a = [build.stored("%a", build.multiply("%a_row", r) if r else 0) for r in range(self.height)]
        sums = [build.scalar("%sums", build.multiply("%pitch", r) if r else 0) for r in range(self.height)]
        lines = [build.stored("%b", build.multiply("%b_row", u) if u else 0) for u in range(self.group)]
        self.add(a, "%a_column", lines, sums, "%count")

    def add(self, a: Values, a_column: str, lines: Values, sums: Values, count: str) -> None:
        build = self.build
        factors = [
            [
                build.load_stored(build.stored(start, build.multiply(a_column, u) if u else 0), 1)[0]
                for u in range(self.group)
            ]
            for start in a
        ]

        def run(start: str, stop: str, lanes: int) -> None:
            spread = [[build.splat(factor, lanes) for factor in row] for row in factors]

            def body(index: str) -> None:
                places = [build.scalar(row, index) for row in sums]
                totals = [build.load_plain(place, lanes) for place in places]
                for u, line in enumerate(lines):
                    values = build.load_stored(build.stored(line, index), lanes)
                    totals = [
                        build.multiply_add(row[u], values[0], total, lanes)
                        for row, total in zip(spread, totals)
                    ]
                for total, place in zip(totals, places):
                    build.store_plain(total, place, lanes)

            build.repeat(start, stop, lanes, body)

        whole = build.round_down(count, build.lanes)
        run("0", whole, build.lanes)
        run(whole, count, 1)


class ColumnSums(StripMultiply):
    """Variant "columns": a strip of sums stays in the cache while rows of B are added to it.

    `column_block` must be whole vectors, and times m at most `STRIP_BYTES`. Wide strips read memory faster.
    """

    def __init__(self, build: KernelBuilder, row_function: str, pair_function: str) -> None:
        super().__init__(build)
        self.row_function = row_function  # adds `ROW_GROUP` rows of B to a row of sums
        self.pair_function = pair_function  # adds them to two

    def prepare(self) -> None:
        build = self.build
        self.pitch = self.slots["column_block"]
        scalars = STRIP_BYTES // build.element.accumulator_bytes
        self.sums = build.stack_array(build.element.accumulator, scalars)

    def multiply_strip(self, column: str, column_stop: str) -> None:
        build, slots = self.build, self.slots
        self.count = count = build.subtract(column_stop, column)
        self.corner = build.stored(self.right_matrix, column)

        def clear(row: str) -> None:
            start = build.scalar(self.sums, build.multiply(row, self.pitch))

            def one(index: str) -> None:
                build.store_plain("zeroinitializer", build.scalar(start, index), build.lanes)

            build.repeat(0, count, build.lanes, one)  # column_block is whole vectors

        build.repeat(0, slots["m"], 1, clear)
        whole_k = build.round_down(self.length, ROW_GROUP)
        build.repeat(0, whole_k, ROW_GROUP, self.add_group)

        def add_rest(k: str) -> None:
            build.repeat(0, slots["m"], 1, lambda row: self.add_one(row, k))

        build.repeat(whole_k, self.length, 1, add_rest)

        def finish(row: str) -> None:
            offset = build.add(build.multiply(row, slots["c_row"]), column)
            source = build.scalar(self.sums, build.multiply(row, self.pitch))
            inside = build.add(build.multiply(row, slots["n"]), column)

            partial, result = build.accumulated(self.partial, inside), build.stored(self.result, offset)
            self.store(
                partial,
                result,
                lambda place: copy_sums(build, source, place, count),
                lambda place: finish_row(build, source, place, count),
            )

        build.repeat(0, slots["m"], 1, finish)

    def add_group(self, k: str) -> None:
        """Add `ROW_GROUP` rows of B, from row k: two rows of sums share what is loaded of them."""
        build, slots = self.build, self.slots
        even = build.round_down(slots["m"], 2)

        def run(function: str, row: str) -> None:
            a, b, sums = self.places(row, k)
            strides = [slots["a_row"], slots["a_column"], slots["b_row"]]
            build.call(function, ADD_PARAMETERS, [a, b, sums, *strides, self.pitch, self.count])

        build.repeat(0, even, 2, lambda row: run(self.pair_function, row))
        build.repeat(even, slots["m"], 1, lambda row: run(self.row_function, row))

    def add_one(self, row: str, k: str) -> None:
        """Add one row of B to one row of sums."""
        a, b, sums = self.places(row, k)
        AddFunction(self.build, 1, 1).add([a], self.slots["a_column"], [b], [sums], self.count)

    def places(self, row: str, k: str) -> tuple[str, str, str]:
        """Addresses in A, in B and of the sums."""
        build, slots = self.build, self.slots
        offset = build.add(build.multiply(row, slots["a_row"]), build.multiply(k, slots["a_column"]))
        return (
            build.stored(self.left_matrix, offset),
            build.stored(self.corner, build.multiply(k, slots["b_row"])),
            build.scalar(self.sums, build.multiply(row, self.pitch)),
        )


class PartialSums:
    """The last step of both variants: the sums of the parts of k, added up in order and stored in C."""

    def __init__(self, build: KernelBuilder) -> None:
        self.build = build

    def emit(self) -> None:
        build = self.build
        build.start()
        slots = self.slots = GemmSlots(build)
        self.parts = build.divide_up(slots["k"], slots["depth_block"])
        rows = build.multiply(slots.batch(), slots["m"])
        self.part_length = build.multiply(rows, slots["n"])
        used = build.select(build.compare("sgt", self.parts, 1), rows, 0)
        neighbours = build.compare("eq", slots["c_column"], 1)
        self.whole = build.select(neighbours, build.round_down(slots["n"], build.lanes), 0)
        low, high = slots.item_range(used)
        build.repeat(low, high, 1, self.add_row)

    def add_row(self, item: str) -> None:
        build, slots = self.build, self.slots
        batch, row = build.divide(item, slots["m"])
        start = build.add(build.multiply(batch, slots["c_batch"]), build.multiply(row, slots["c_row"]))
        result = build.stored(slots["c"], start)
        first = build.accumulated(slots["partial"], build.multiply(item, slots["n"]))

        def run(start_column: str, stop_column: str, lanes: int) -> None:
            kind = build.accumulator_vector(lanes)

            def add_up(column: str) -> None:
                def add(part: str, sums: Values) -> Values:
                    place = build.add(build.multiply(part, self.part_length), column)
                    value = build.load_plain(build.scalar(first, place), lanes)
                    return [build.value(f"fadd contract {kind} {sums[0]}, {value}")]

                initial = build.load_plain(build.scalar(first, column), lanes)
                sums = build.loop(1, self.parts, 1, [(kind, initial)], add)
                offset = build.multiply(column, slots["c_column"])
                build.store_stored(sums, build.stored(result, offset), lanes)

            build.repeat(start_column, stop_column, lanes, add_up)

        run("0", self.whole, build.lanes)
        run(self.whole, slots["n"], 1)
