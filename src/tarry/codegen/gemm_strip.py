"""Matrix multiplication with few rows in A: variants "rows" (dot products) and "columns" (sums of rows of B).

Both read B once, as it lies in memory. "rows" wants unit stride along k in A and B (B transposed); "columns"
wants unit stride along n in B and C. The caller may swap the operands, so both serve few columns as well.
Where C has few strips, k is cut into parts as well: their sums go to `partial`, and a last step adds them
up, in order.
"""

from collections.abc import Callable

from tarry.codegen.gemm_builder import KernelBuilder, Values
from tarry.codegen.gemm_problem import GemmSlots
from tarry.codegen.gemm_tile import copy_sums, finish_row

MOST_ROWS = 8  # of A in both variants
STRIP_BYTES = 16384  # of sums in variant "columns": half of a 32 KiB cache
ROW_GROUP = 4  # rows of B that variant "columns" adds at a time


class StripMultiply:
    """What both variants share: items are strips of columns, of one matrix and one part of k each."""

    def __init__(self, build: KernelBuilder) -> None:
        self.build = build

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
        parts = build.maximum(build.divide_up(slots["k"], slots["depth_block"]), 1)
        self.is_split = build.compare("sgt", parts, 1)
        matrices = build.multiply(slots.batch(), parts)
        low, high = slots.item_range(build.multiply(matrices, strips))

        def item(index: str) -> None:
            matrix = build.integer("udiv", index, strips)
            part = build.integer("urem", matrix, parts)
            batch = build.integer("udiv", matrix, parts)
            k = build.multiply(part, slots["depth_block"])
            self.length = build.minimum(build.subtract(slots["k"], k), slots["depth_block"])
            column = build.multiply(build.integer("urem", index, strips), slots["column_block"])
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


class RowDots(StripMultiply):
    """Variant "rows": tiles of dot products, vectors along k. C may have any strides."""

    heights = (4, 1)

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
                values = [build.load_plain(build.scalar(self.sums, cell), 1)]
                offset = build.add(
                    build.multiply(result_row, slots["c_row"]),
                    build.multiply(build.add(column, column_offset), slots["c_column"]),
                )
                inside = build.add(build.multiply(result_row, slots["n"]), build.add(column, column_offset))

                def save() -> None:
                    build.store_accumulated(values, build.accumulated(self.partial, inside), 1)

                def store() -> None:
                    build.store_stored(values, build.stored(self.result, offset), 1)

                build.choose(self.is_split, save, store)

            build.repeat(0, count, 1, one)

        build.repeat(0, build.minimum(build.subtract(slots["m"], row), height), 1, finish)

    def dot_products(self, rows: Values, columns: Values, unroll: int) -> Values:
        """One vector of sums for each pair; `unroll` sets of sums hide the latency of few rows."""
        build = self.build
        lanes = build.lanes
        pairs = len(rows) * len(columns)
        kind = build.accumulator_vector(lanes)
        length = self.length
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
        whole_k = build.round_down(self.length, ROW_GROUP)

        def add_rows(group: int) -> Callable[[str], None]:
            return lambda k: self.add_group(k, group, corner, whole, count)

        build.repeat(0, whole_k, ROW_GROUP, add_rows(ROW_GROUP))
        build.repeat(whole_k, self.length, 1, add_rows(1))

        def finish(row: str) -> None:
            offset = build.add(build.multiply(row, slots["c_row"]), column)
            source = build.scalar(self.sums, build.multiply(row, self.pitch))
            inside = build.add(build.multiply(row, slots["n"]), column)

            def save() -> None:
                copy_sums(build, source, build.accumulated(self.partial, inside), count)

            def store() -> None:
                finish_row(build, source, build.stored(self.result, offset), count)

            build.choose(self.is_split, save, store)

        build.repeat(0, slots["m"], 1, finish)

    def add_group(self, k: str, group: int, corner: str, whole: str, count: str) -> None:
        """Add `group` rows of B, from row k, times their elements of A, to the sums of every row."""
        build, slots = self.build, self.slots
        lines = [build.stored(corner, build.multiply(build.add(k, u), slots["b_row"])) for u in range(group)]
        def some_rows(height: int) -> Callable[[str], None]:
            return lambda row: self.add_to_rows(row, height, k, lines, whole, count)

        # Two rows share what is loaded of B.
        even = build.round_down(slots["m"], 2) if group > 1 else "0"
        if group > 1:
            build.repeat(0, even, 2, some_rows(2))
        build.repeat(even, slots["m"], 1, some_rows(1))

    def add_to_rows(self, row: str, height: int, k: str, lines: Values, whole: str, count: str) -> None:
        """Add the rows of B at `lines` to the sums of `height` rows."""
        build, slots = self.build, self.slots
        factors: list[Values] = []
        strips = []
        for r in range(height):
            used = build.add(row, r)
            start = build.stored(self.left_matrix, build.multiply(used, slots["a_row"]))
            columns = [build.multiply(build.add(k, u), slots["a_column"]) for u in range(len(lines))]
            factors.append([build.load_stored(build.stored(start, column), 1)[0] for column in columns])
            strips.append(build.scalar(self.sums, build.multiply(used, self.pitch)))

        def run(start_column: str, stop_column: str, lanes: int) -> None:
            spread = [[build.splat(factor, lanes) for factor in line] for line in factors]

            def body(index: str) -> None:
                places = [build.scalar(strip, index) for strip in strips]
                totals = [build.load_plain(place, lanes) for place in places]
                for u, line in enumerate(lines):
                    values = build.load_stored(build.stored(line, index), lanes)
                    totals = [
                        build.multiply_add(spread[r][u], values[0], totals[r], lanes) for r in range(height)
                    ]
                for total, place in zip(totals, places):
                    build.store_plain(total, place, lanes)

            build.repeat(start_column, stop_column, lanes, body)

        run("0", whole, build.lanes)
        run(whole, count, 1)


class PartialSums:
    """The last step of both variants: the sums of the parts of k, added up in order and stored in C."""

    def __init__(self, build: KernelBuilder, lanes: int) -> None:
        self.build = build
        self.lanes = lanes

    def emit(self) -> None:
        build = self.build
        build.start()
        slots = self.slots = GemmSlots(build)
        self.parts = build.divide_up(slots["k"], slots["depth_block"])
        rows = build.multiply(slots.batch(), slots["m"])
        self.part_length = build.multiply(rows, slots["n"])
        used = build.select(build.compare("sgt", self.parts, 1), rows, 0)
        low, high = slots.item_range(used)
        build.repeat(low, high, 1, self.add_row)

    def add_row(self, item: str) -> None:
        build, slots = self.build, self.slots
        batch = build.integer("udiv", item, slots["m"])
        row = build.integer("urem", item, slots["m"])
        start = build.add(build.multiply(batch, slots["c_batch"]), build.multiply(row, slots["c_row"]))
        result = build.stored(slots["c"], start)
        first = build.accumulated(slots["partial"], build.multiply(item, slots["n"]))

        def run(start_column: str, stop_column: str, lanes: int) -> None:
            def add_up(column: str) -> None:
                def add(part: str, sums: Values) -> Values:
                    place = build.add(build.multiply(part, self.part_length), column)
                    values = build.load_accumulated(build.accumulated(first, place), lanes)
                    kind = build.accumulator_vector(lanes)
                    return [build.value(f"fadd contract {kind} {x}, {y}") for x, y in zip(sums, values)]

                initial = build.load_accumulated(build.accumulated(first, column), lanes)
                kinds = [build.accumulator_vector(lanes)] * len(initial)
                sums = build.loop(1, self.parts, 1, list(zip(kinds, initial)), add)
                offset = build.multiply(column, slots["c_column"])
                build.store_stored(sums, build.stored(result, offset), lanes)

            build.repeat(start_column, stop_column, lanes, add_up)

        whole = build.round_down(slots["n"], self.lanes)
        if self.lanes > 1:
            run("0", whole, self.lanes)
        run(whole if self.lanes > 1 else "0", slots["n"], 1)
