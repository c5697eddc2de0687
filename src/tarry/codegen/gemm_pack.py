"""Packing for the matrix multiplication: B into slivers, blocks of A onto the stack.

A sliver holds `tile_columns` columns of B over a block of k, row after row: [k][component][column]. The
slivers of one block of k are neighbours, so what a kernel reuses is one piece of memory that fills a cache
evenly. A block of A holds rows: [row][component][k], components `pitch` apart. Both hold accumulator
precision, so narrow dtypes are converted once. Each packing has a path for unit stride along k, one for unit
stride across, and a general one.
"""

from tarry.codegen.gemm_builder import KernelBuilder
from tarry.codegen.gemm_problem import GemmSlots

DEPTH = 256  # the block of k: a sliver of B then fits half of a 32 KiB cache
MOST_BLOCK_ROWS = 96  # of A in one block: 104 KiB in single precision, which stays in the second cache


def copy_to_accumulators(build: KernelBuilder, source: str, destination: str, count: str) -> None:
    """Convert `count` neighbouring elements: whole vectors, then single elements."""
    whole = build.round_down(count, build.lanes)

    def run(lanes: int) -> None:
        def body(index: str) -> None:
            values = build.load_stored(build.stored(source, index), lanes)
            build.store_accumulated(values, build.accumulated(destination, index), lanes)

        start, stop = (0, whole) if lanes > 1 else (whole, count)
        build.repeat(start, stop, lanes, body)

    run(build.lanes)
    run(1)


class SliverPacker:
    """Writes the step that packs B; its work items are slivers."""

    def __init__(self, build: KernelBuilder, tile_columns: int) -> None:
        self.build = build
        self.tile_columns = tile_columns
        self.width = tile_columns * build.element.components  # scalars in one row of a sliver

    def emit(self) -> None:
        build = self.build
        build.start()
        slots = GemmSlots(build)
        self.slots = slots
        slivers = build.divide_up(slots["n"], self.tile_columns)
        extents = slots.packed_extents()
        matrices = build.multiply(build.multiply(extents[0], extents[1]), extents[2])
        low, high = slots.item_range(build.multiply(matrices, slivers))
        row_of_slivers = build.multiply(slivers, self.width)
        matrix_length = build.multiply(slots["k"], row_of_slivers)

        def item(index: str) -> None:
            matrix = build.integer("udiv", index, slivers)
            sliver = build.integer("urem", index, slivers)
            column = build.multiply(sliver, self.tile_columns)
            offset = slots.offset("b", slots.indices(matrix, extents))
            corner = build.add(offset, build.multiply(column, slots["b_column"]))
            source = build.stored(slots["b"], corner)
            packed = build.scalar(slots["packed"], build.multiply(matrix, matrix_length))
            left = build.minimum(build.subtract(slots["n"], column), self.tile_columns)

            def depth_block(k: str) -> None:
                length = build.minimum(build.subtract(slots["k"], k), DEPTH)
                position = build.multiply(build.multiply(sliver, length), self.width)
                block = build.scalar(packed, build.multiply(k, row_of_slivers))
                start = build.stored(source, build.multiply(k, slots["b_row"]))
                self.pack_sliver(start, build.scalar(block, position), left, length)

            build.repeat(0, slots["k"], DEPTH, depth_block)

        build.repeat(low, high, 1, item)

    def pack_sliver(self, source: str, destination: str, left: str, length: str) -> None:
        build = self.build
        if build.element.components == 2:
            self.pack_plain(source, destination, left, ("0", length))
            return
        across = build.compare("eq", self.slots["b_column"], 1)
        along = build.compare("eq", self.slots["b_row"], 1)

        def otherwise() -> None:
            whole = build.select(along, build.round_down(length, build.lanes), 0)
            self.pack_transposed(source, destination, left, whole)
            self.pack_plain(source, destination, left, (whole, length))

        build.choose(across, lambda: self.pack_across(source, destination, left, length), otherwise)

    def pack_across(self, source: str, destination: str, left: str, length: str) -> None:
        """Columns are neighbours: copy vectors row by row; a last, narrow sliver is filled with zeros."""
        build = self.build
        full = build.compare("eq", left, self.tile_columns)

        def whole(row: str) -> None:
            pointer = build.stored(source, build.multiply(row, self.slots["b_row"]))
            place = build.scalar(destination, build.multiply(row, self.tile_columns))
            for column in range(0, self.tile_columns, build.lanes):
                values = build.load_stored(build.stored(pointer, column), build.lanes)
                build.store_accumulated(values, build.scalar(place, column), build.lanes)

        def edge(row: str) -> None:
            pointer = build.stored(source, build.multiply(row, self.slots["b_row"]))
            place = build.scalar(destination, build.multiply(row, self.tile_columns))
            for column in range(0, self.tile_columns, build.lanes):
                build.store_plain("zeroinitializer", build.scalar(place, column), build.lanes)
            copy_to_accumulators(build, pointer, place, left)

        build.choose(
            full, lambda: build.repeat(0, length, 1, whole), lambda: build.repeat(0, length, 1, edge)
        )

    def pack_transposed(self, source: str, destination: str, left: str, whole: str) -> None:
        """Unit stride along k: transpose squares. Columns past the edge repeat the last one."""
        build = self.build
        last = build.subtract(left, 1)

        def group(first: str) -> None:
            columns = []
            for lane in range(build.lanes):
                column = build.minimum(build.add(first, lane), last)
                columns.append(build.stored(source, build.multiply(column, self.slots["b_column"])))
            place = build.scalar(destination, first)

            def square(row: str) -> None:
                loaded = [build.load_stored(build.stored(column, row), build.lanes)[0] for column in columns]
                corner = build.scalar(place, build.multiply(row, self.tile_columns))
                for lane, value in enumerate(build.transpose(loaded)):
                    build.store_plain(value, build.scalar(corner, lane * self.tile_columns), build.lanes)

            build.repeat(0, whole, build.lanes, square)

        build.repeat(0, self.tile_columns, build.lanes, group)

    def pack_plain(self, source: str, destination: str, left: str, rows: tuple[str, str]) -> None:
        """Any strides, one element at a time, for a range of rows."""
        build = self.build
        last = build.subtract(left, 1)

        def one_row(row: str) -> None:
            pointer = build.stored(source, build.multiply(row, self.slots["b_row"]))
            place = build.scalar(destination, build.multiply(row, self.width))

            def one(column: str) -> None:
                used = build.minimum(column, last)
                values = build.load_stored(
                    build.stored(pointer, build.multiply(used, self.slots["b_column"])), 1
                )
                for part, value in enumerate(values):
                    place_of_part = build.scalar(place, part * self.tile_columns)
                    build.store_plain(value, build.scalar(place_of_part, column), 1)

            build.repeat(0, self.tile_columns, 1, one)

        build.repeat(rows[0], rows[1], 1, one_row)


class BlockPacker:
    """Copies a block of rows of A, `DEPTH` long at most, to the stack.

    Rows past the edge of A hold whatever was there: their results are dropped. Room for one vector of rows
    lies before and after the block, because the transposing path moves whole squares.
    """

    def __init__(self, build: KernelBuilder, slots: GemmSlots, tile_rows: int) -> None:
        self.build = build
        self.slots = slots
        self.components = build.element.components
        self.pitch = DEPTH + 16  # not a power of two: the rows fall into different cache sets
        self.row_pitch = self.pitch * self.components
        rows = MOST_BLOCK_ROWS + tile_rows + 2 * build.lanes
        buffer = build.stack_array(build.element.accumulator, rows * self.row_pitch)
        self.block = build.scalar(buffer, build.lanes * self.row_pitch)

    def emit(self, matrix: str, rows: tuple[str, str], first: str, length: str) -> None:
        """Pack A[rows[0]:rows[1], first:first+length]; `matrix` points to A[0, 0]."""
        build, slots = self.build, self.slots
        start = build.stored(matrix, build.multiply(first, slots["a_column"]))
        if self.components == 2:
            self.pack_plain(start, rows, ("0", length))
            return
        along = build.compare("eq", slots["a_column"], 1)
        enough = build.compare("sge", slots["m"], build.lanes)
        across = build.both(build.compare("eq", slots["a_row"], 1), enough)

        def otherwise() -> None:
            whole = build.select(across, build.round_down(length, build.lanes), 0)
            self.pack_transposed(start, rows, whole)
            self.pack_plain(start, rows, (whole, length))

        build.choose(along, lambda: self.pack_along(start, rows, length), otherwise)

    def row(self, row: str, first_row: str) -> str:
        """Address of a row in the block."""
        return self.build.scalar(
            self.block, self.build.multiply(self.build.subtract(row, first_row), self.row_pitch)
        )

    def pack_along(self, start: str, rows: tuple[str, str], length: str) -> None:
        build = self.build

        def one_row(row: str) -> None:
            source = build.stored(start, build.multiply(row, self.slots["a_row"]))
            copy_to_accumulators(build, source, self.row(row, rows[0]), length)

        build.repeat(rows[0], rows[1], 1, one_row)

    def pack_transposed(self, start: str, rows: tuple[str, str], whole: str) -> None:
        """Unit stride along the rows: squares that would pass the last row start earlier, rewriting some."""
        build, slots = self.build, self.slots
        latest = build.subtract(slots["m"], build.lanes)

        def some_columns(k: str) -> None:
            columns = []
            for lane in range(build.lanes):
                columns.append(build.stored(start, build.multiply(build.add(k, lane), slots["a_column"])))

            def square(group_row: str) -> None:
                base = build.minimum(group_row, latest)
                offset = build.multiply(base, slots["a_row"])
                loaded = [
                    build.load_stored(build.stored(column, offset), build.lanes)[0] for column in columns
                ]
                corner = build.scalar(self.row(base, rows[0]), k)
                for lane, value in enumerate(build.transpose(loaded)):
                    build.store_plain(value, build.scalar(corner, lane * self.pitch), build.lanes)

            build.repeat(rows[0], rows[1], build.lanes, square)

        build.repeat(0, whole, build.lanes, some_columns)

    def pack_plain(self, start: str, rows: tuple[str, str], columns: tuple[str, str]) -> None:
        """Any strides, one element at a time, for a range of columns."""
        build, slots = self.build, self.slots

        def one_row(row: str) -> None:
            source = build.stored(start, build.multiply(row, slots["a_row"]))
            place = self.row(row, rows[0])

            def one(k: str) -> None:
                values = build.load_stored(build.stored(source, build.multiply(k, slots["a_column"])), 1)
                for part, value in enumerate(values):
                    build.store_plain(value, build.scalar(build.scalar(place, part * self.pitch), k), 1)

            build.repeat(columns[0], columns[1], 1, one)

        build.repeat(rows[0], rows[1], 1, one_row)
