"""Matrix multiplication with few rows in A: variants "rows" (dot products) and "columns" (sums of rows of B).

Both read B once, as it lies in memory. "rows" wants unit stride along k in A and B (B transposed); "columns"
wants unit stride along n in B and C. The caller may swap the operands, so both serve few columns as well.
"""

from collections.abc import Callable

from tarry.codegen.gemm_builder import KernelBuilder, Values
from tarry.codegen.gemm_problem import GemmSlots
from tarry.codegen.gemm_tile import Epilogue, Place, finish_row, keep_sums

MOST_ROWS = 8  # of A in both variants
STRIP_BYTES = 16384  # of sums in variant "columns": half of a 32 KiB cache
ROW_GROUP = 4  # rows of B that variant "columns" adds at a time


class StripMultiply:
    """What both variants share: items are strips of columns, of one matrix each."""

    def __init__(self, build: KernelBuilder, epilogue: Epilogue | None) -> None:
        self.build = build
        self.epilogue = epilogue or keep_sums

    def prepare(self) -> None:
        """Take stack space."""
        raise NotImplementedError

    def multiply_strip(self, column: str, column_stop: str) -> None:
        raise NotImplementedError

    def emit(self) -> None:
        build = self.build
        build.start()
        slots = self.slots = GemmSlots(build)
        self.prepare()
        strips = build.divide_up(slots["n"], slots["column_block"])
        low, high = slots.item_range(build.multiply(slots.batch(), strips))

        def item(index: str) -> None:
            self.batch = build.integer("udiv", index, strips)
            column = build.multiply(build.integer("urem", index, strips), slots["column_block"])
            column_stop = build.minimum(build.add(column, slots["column_block"]), slots["n"])
            indices = slots.batch_indices(self.batch)
            self.left_matrix = build.stored(slots["a"], slots.offset("a", indices))
            self.right_matrix = build.stored(slots["b"], slots.offset("b", indices))
            self.result = build.stored(slots["c"], build.multiply(self.batch, slots["c_batch"]))
            self.multiply_strip(column, column_stop)

        build.repeat(low, high, 1, item)


class RowDots(StripMultiply):
    """Variant "rows": tiles of dot products, vectors along k. C may have any strides."""

    heights = (4, 2, 1)

    def prepare(self) -> None:
        build = self.build
        many_registers = build.target.vector_bits == 512 or (
            build.target.vector_bits == 128 and build.target.has_fma
        )
        self.width = 4 if many_registers else 3  # columns of a tile: 4 x 3 sums fit 16 registers
        self.sums = build.stack_array(build.element.accumulator, self.heights[0] * self.width)

    def multiply_strip(self, column: str, column_stop: str) -> None:
        build, slots = self.build, self.slots

        def columns(first_column: str) -> None:
            last = build.subtract(column_stop, 1)
            pointers = []
            for offset in range(self.width):
                used = build.minimum(build.add(first_column, offset), last)
                pointers.append(build.stored(self.right_matrix, build.multiply(used, slots["b_column"])))
            count = build.minimum(build.subtract(column_stop, first_column), self.width)

            def rows(row: str) -> None:
                self.choose_height(0, row, first_column, count, pointers)

            build.repeat(0, slots["m"], self.heights[0], rows)

        build.repeat(column, column_stop, self.width, columns)

    def choose_height(self, index: int, row: str, column: str, count: str, columns: Values) -> None:
        build = self.build

        def run() -> None:
            self.multiply_tile(self.heights[index], row, column, count, columns)

        if index + 1 == len(self.heights):
            run()
            return
        left = build.subtract(self.slots["m"], row)
        tall = build.compare("sgt", left, self.heights[index + 1])
        build.choose(tall, run, lambda: self.choose_height(index + 1, row, column, count, columns))

    def multiply_tile(self, height: int, row: str, column: str, count: str, columns: Values) -> None:
        build, slots = self.build, self.slots
        last = build.subtract(slots["m"], 1)
        rows = []
        for offset in range(height):
            used = build.minimum(build.add(row, offset), last)
            rows.append(build.stored(self.left_matrix, build.multiply(used, slots["a_row"])))
        sums = self.dot_products(rows, columns, 1 if height == self.heights[0] else 2)
        for cell, value in enumerate(sums):
            build.store_plain(build.sum_lanes(value), build.scalar(self.sums, cell), 1)

        def finish(row_offset: str) -> None:
            result_row = build.add(row, row_offset)

            def one(column_offset: str) -> None:
                cell = build.add(build.multiply(row_offset, self.width), column_offset)
                place = Place(self.batch, result_row, build.add(column, column_offset), 1)
                values = self.epilogue(build, [build.load_plain(build.scalar(self.sums, cell), 1)], place)
                offset = build.add(
                    build.multiply(result_row, slots["c_row"]),
                    build.multiply(place.column, slots["c_column"]),
                )
                build.store_stored(values, build.stored(self.result, offset), 1)

            build.repeat(0, count, 1, one)

        build.repeat(0, build.minimum(build.subtract(slots["m"], row), height), 1, finish)

    def dot_products(self, rows: Values, columns: Values, unroll: int) -> Values:
        """One vector of sums for each pair; `unroll` sets of sums hide the latency of few rows."""
        build = self.build
        lanes = build.lanes
        pairs = len(rows) * len(columns)
        kind = build.accumulator_vector(lanes)
        length = self.slots["k"]
        whole = build.round_down(length, lanes * unroll)

        def vectors(k: str, flat: Values) -> Values:
            following: Values = []
            for part in range(unroll):
                left = [
                    build.load_stored(build.stored(build.stored(p, k), part * lanes), lanes)[0] for p in rows
                ]
                right = [
                    build.load_stored(build.stored(build.stored(p, k), part * lanes), lanes)[0]
                    for p in columns
                ]
                old = flat[part * pairs : (part + 1) * pairs]
                products = [(x, y) for x in left for y in right]
                following += [build.multiply_add(x, y, z, lanes) for (x, y), z in zip(products, old)]
            return following

        sums = build.loop(0, whole, lanes * unroll, [(kind, "zeroinitializer")] * (pairs * unroll), vectors)
        while len(sums) > pairs:
            extra = sums[pairs:]
            sums = [build.value(f"fadd contract {kind} {x}, {y}") for x, y in zip(sums, extra)]

        def single(k: str, flat: Values) -> Values:
            left = [build.first_lane(build.load_stored(build.stored(p, k), 1)[0], lanes) for p in rows]
            right = [build.first_lane(build.load_stored(build.stored(p, k), 1)[0], lanes) for p in columns]
            products = [(x, y) for x in left for y in right]
            return [build.multiply_add(x, y, z, lanes) for (x, y), z in zip(products, flat)]

        return build.loop(whole, length, 1, [(kind, value) for value in sums], single)


class ColumnSums(StripMultiply):
    """Variant "columns": a strip of sums stays in the cache while rows of B are added to it.

    `column_block` must be whole vectors, and times m at most `STRIP_BYTES`. Wide strips read memory faster.
    """

    def prepare(self) -> None:
        build = self.build
        self.pitch = self.slots["column_block"]
        scalars = STRIP_BYTES // build.element.accumulator_bytes
        self.sums = build.stack_array(build.element.accumulator, scalars)

    def multiply_strip(self, column: str, column_stop: str) -> None:
        build, slots = self.build, self.slots
        count = build.subtract(column_stop, column)
        whole = build.round_down(count, build.lanes)
        corner = build.stored(self.right_matrix, column)

        def clear(row: str) -> None:
            start = build.scalar(self.sums, build.multiply(row, self.pitch))

            def one(index: str) -> None:
                build.store_plain("zeroinitializer", build.scalar(start, index), build.lanes)

            build.repeat(0, count, build.lanes, one)  # column_block is whole vectors

        build.repeat(0, slots["m"], 1, clear)
        whole_k = build.round_down(slots["k"], ROW_GROUP)

        def add_rows(group: int) -> Callable[[str], None]:
            return lambda k: self.add_group(k, group, corner, whole, count)

        build.repeat(0, whole_k, ROW_GROUP, add_rows(ROW_GROUP))
        build.repeat(whole_k, slots["k"], 1, add_rows(1))

        def finish(row: str) -> None:
            offset = build.add(build.multiply(row, slots["c_row"]), column)
            source = build.scalar(self.sums, build.multiply(row, self.pitch))
            place = Place(self.batch, row, column, build.lanes)
            finish_row(build, source, build.stored(self.result, offset), count, place, self.epilogue)

        build.repeat(0, slots["m"], 1, finish)

    def add_group(self, k: str, group: int, corner: str, whole: str, count: str) -> None:
        """Add `group` rows of B, from row k, times their elements of A, to the sums of every row."""
        build, slots = self.build, self.slots
        lines = [build.stored(corner, build.multiply(build.add(k, u), slots["b_row"])) for u in range(group)]
        pairs = build.round_down(count, 2 * build.lanes)

        def one_row(row: str) -> None:
            start = build.stored(self.left_matrix, build.multiply(row, slots["a_row"]))
            factors = []
            for u in range(group):
                pointer = build.stored(start, build.multiply(build.add(k, u), slots["a_column"]))
                factors.append(build.load_stored(pointer, 1)[0])
            strip = build.scalar(self.sums, build.multiply(row, self.pitch))

            def run(start_column: str, stop_column: str, lanes: int, vectors: int) -> None:
                spread = [build.splat(factor, lanes) for factor in factors]

                def body(index: str) -> None:
                    for vector in range(vectors):
                        place = build.scalar(build.scalar(strip, index), vector * lanes)
                        total = build.load_plain(place, lanes)
                        for factor, line in zip(spread, lines):
                            values = build.load_stored(
                                build.stored(build.stored(line, index), vector * lanes), lanes
                            )
                            total = build.multiply_add(factor, values[0], total, lanes)
                        build.store_plain(total, place, lanes)

                build.repeat(start_column, stop_column, lanes * vectors, body)

            run("0", pairs, build.lanes, 2)
            run(pairs, whole, build.lanes, 1)
            run(whole, count, 1, 1)

        build.repeat(0, slots["m"], 1, one_row)
