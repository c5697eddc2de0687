"""Packing for the matrix multiplication: the step before tiles are computed, shared by all threads.

B is packed into slivers that hold `tile_columns` columns over a block of k, row after row:
[k][component][column]. The slivers of one block of k are neighbours, so what a kernel reuses is one piece of
memory that fills a cache evenly. A is packed only where tiles cannot read it in place: into panels as high as
a tile, [k][row][component], where its rows are neighbours (so that nothing is transposed), else row by row.
Both hold accumulator precision, so narrow dtypes are converted once. Packed A follows packed B.
"""

from tarry.codegen.gemm import GROUP_SLIVERS, GROUP_TILES, ROW_PADDING
from tarry.codegen.gemm_builder import KernelBuilder, Values
from tarry.codegen.gemm_slots import GemmSlots


class PackedLayout:
    """Where packed matrices lie: lengths in scalars of accumulator precision, as names in a kernel."""

    def __init__(self, build: KernelBuilder, slots: GemmSlots, tile_rows: int, tile_columns: int) -> None:
        self.build = build
        self.slots = slots
        self.tile_rows = tile_rows
        self.tile_columns = tile_columns
        components = build.element.components
        self.width = tile_columns * components  # of one row of a sliver
        self.slivers = build.divide_up(slots["n"], tile_columns)
        self.row_of_slivers = build.multiply(self.slivers, self.width)
        self.b_extents = slots.packed_extents("b")
        self.b_matrix = build.multiply(slots["k"], self.row_of_slivers)
        self.b_matrices = build.multiply(
            build.multiply(self.b_extents[0], self.b_extents[1]),
            build.multiply(self.b_extents[2], slots["packs_b"]),
        )
        self.a_extents = slots.packed_extents("a")
        self.a_matrices = build.multiply(
            build.multiply(self.a_extents[0], self.a_extents[1]),
            build.multiply(self.a_extents[2], slots["packs_a"]),
        )
        self.tiles = build.divide_up(slots["m"], tile_rows)
        pitch = build.multiply(build.add(slots["k"], ROW_PADDING), components)
        # Room for one more step of k: whole vectors write past the end of a panel.
        self.a_tile = build.multiply(pitch, tile_rows)
        self.a_matrix = build.multiply(self.tiles, self.a_tile)
        self.in_panels = build.compare("eq", slots["a_row"], 1)
        self.a_row = build.select(self.in_panels, components, pitch)
        self.a_column = build.select(self.in_panels, tile_rows * components, components)
        start = build.multiply(self.b_matrices, self.b_matrix)
        self.a_start = build.scalar(slots["packed"], start)

    def batch_strides(self, operand: str) -> Values:
        """From one packed matrix in the batch to the next, zero where the operand is repeated."""
        build, slots = self.build, self.slots
        extents, length = (
            (self.a_extents, self.a_matrix) if operand == "a" else (self.b_extents, self.b_matrix)
        )
        inner = build.multiply(length, extents[2])
        strides = [build.multiply(inner, extents[1]), inner, length]
        return [
            build.select(build.compare("eq", slots[f"{operand}_batch{d}"], 0), 0, strides[d])
            for d in range(3)
        ]


class Packer:
    """Writes the step that packs; its work items are groups of slivers of B, then groups of tiles of A."""

    def __init__(self, build: KernelBuilder, tile_rows: int, tile_columns: int) -> None:
        self.build = build
        self.tile_rows = tile_rows
        self.tile_columns = tile_columns
        self.components = build.element.components

    def emit(self) -> None:
        build = self.build
        build.start()
        slots = self.slots = GemmSlots(build)
        layout = self.layout = PackedLayout(build, slots, self.tile_rows, self.tile_columns)
        groups_b = build.divide_up(layout.slivers, GROUP_SLIVERS)
        groups_a = build.divide_up(layout.tiles, GROUP_TILES)
        items_b = build.multiply(layout.b_matrices, groups_b)
        items_a = build.multiply(layout.a_matrices, groups_a)
        low, high = slots.item_range(build.add(items_b, items_a))

        def item(index: str) -> None:
            def pack_b() -> None:
                matrix, group = build.divide(index, groups_b)
                self.pack_slivers(matrix, build.multiply(group, GROUP_SLIVERS))

            def pack_a() -> None:
                matrix, group = build.divide(build.subtract(index, items_b), groups_a)
                self.pack_tiles(matrix, build.multiply(group, GROUP_TILES * self.tile_rows))

            build.choose(build.compare("slt", index, items_b), pack_b, pack_a)

        build.repeat(low, high, 1, item)

    # B

    def pack_slivers(self, matrix: str, first: str) -> None:
        build, slots, layout = self.build, self.slots, self.layout
        stop = build.minimum(build.add(first, GROUP_SLIVERS), layout.slivers)
        offset = slots.offset("b", slots.indices(matrix, layout.b_extents))
        source = build.stored(slots["b"], offset)
        packed = build.scalar(slots["packed"], build.multiply(matrix, layout.b_matrix))
        end = build.multiply(build.add(first, GROUP_SLIVERS), self.tile_columns)
        across = build.compare("eq", slots["b_column"], 1)
        grouped = build.both(across, build.compare("sle", end, slots["n"]))

        def depth_block(k: str) -> None:
            length = build.minimum(build.subtract(slots["k"], k), slots["depth_block"])
            block = build.scalar(packed, build.multiply(k, layout.row_of_slivers))
            start = build.stored(source, build.multiply(k, slots["b_row"]))
            size = build.multiply(length, layout.width)

            def one(sliver: str) -> None:
                column = build.multiply(sliver, self.tile_columns)
                left = build.minimum(build.subtract(slots["n"], column), self.tile_columns)
                corner = build.stored(start, build.multiply(column, slots["b_column"]))
                self.pack_sliver(corner, build.scalar(block, build.multiply(sliver, size)), left, length)

            def several() -> None:
                corner = build.stored(start, build.multiply(first, self.tile_columns))
                self.pack_group(corner, build.scalar(block, build.multiply(first, size)), size, length)

            build.choose(grouped, several, lambda: build.repeat(first, stop, 1, one))

        build.repeat(0, slots["k"], slots["depth_block"], depth_block)

    def pack_group(self, source: str, destination: str, size: str, length: str) -> None:
        """Whole slivers whose columns are neighbours: long runs of memory, row by row."""
        build = self.build

        def one_row(row: str) -> None:
            pointer = build.stored(source, build.multiply(row, self.slots["b_row"]))
            place = build.scalar(destination, build.multiply(row, self.layout.width))
            for _ in range(GROUP_SLIVERS):
                for column in range(0, self.tile_columns, build.lanes):
                    values = build.load_stored(build.stored(pointer, column), build.lanes)
                    for part, value in enumerate(values):
                        target = build.scalar(place, part * self.tile_columns + column)
                        build.store_plain(value, target, build.lanes)
                pointer = build.stored(pointer, self.tile_columns)
                place = build.scalar(place, size)

        build.repeat(0, length, 1, one_row)

    def pack_sliver(self, source: str, destination: str, left: str, length: str) -> None:
        build = self.build
        if self.components == 2:
            self.pack_plain(source, destination, left, ("0", length))
            return
        along = build.compare("eq", self.slots["b_row"], 1)
        whole = build.select(along, build.round_down(length, build.lanes), 0)
        self.pack_transposed(source, destination, left, whole)
        self.pack_plain(source, destination, left, (whole, length))

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
            place = build.scalar(destination, build.multiply(row, self.layout.width))

            def one(column: str) -> None:
                used = build.minimum(column, last)
                offset = build.multiply(used, self.slots["b_column"])
                values = build.load_stored(build.stored(pointer, offset), 1)
                for part, value in enumerate(values):
                    place_of_part = build.scalar(place, part * self.tile_columns)
                    build.store_plain(value, build.scalar(place_of_part, column), 1)

            build.repeat(0, self.tile_columns, 1, one)

        build.repeat(rows[0], rows[1], 1, one_row)

    # A

    def pack_tiles(self, matrix: str, first: str) -> None:
        """The rows of a few tiles. Rows past the edge hold whatever was there: their results are dropped."""
        build, slots, layout = self.build, self.slots, self.layout
        stop = build.minimum(build.add(first, GROUP_TILES * self.tile_rows), slots["m"])
        offset = slots.offset("a", slots.indices(matrix, layout.a_extents))
        source = build.stored(slots["a"], offset)
        self.packed = build.scalar(layout.a_start, build.multiply(matrix, layout.a_matrix))

        def otherwise() -> None:
            along = build.compare("eq", slots["a_column"], 1)
            whole = build.select(along, build.round_down(slots["k"], build.lanes), 0)
            build.repeat(first, stop, 1, lambda row: self.pack_row(source, row, whole))

        build.choose(layout.in_panels, lambda: self.pack_panels(source, first, stop), otherwise)

    def place(self, row: str) -> str:
        """Address of a packed row."""
        build = self.build
        tile, inside = build.divide(row, self.tile_rows)
        start = build.multiply(tile, self.layout.a_tile)
        return build.scalar(self.packed, build.add(start, build.multiply(inside, self.layout.a_row)))

    def pack_panels(self, source: str, first: str, stop: str) -> None:
        """Rows are neighbours: whole vectors, of which the end is overwritten by the next step of k."""
        build, slots = self.build, self.slots
        vectors = -(-self.tile_rows // build.lanes)
        # The last rows of A have too little behind them for whole vectors.
        readable = build.subtract(slots["m"], vectors * build.lanes - self.tile_rows)
        count = build.subtract(build.minimum(readable, stop), first)
        tiles = build.maximum(build.integer("sdiv", count, self.tile_rows), 0)
        after = build.add(first, build.multiply(tiles, self.tile_rows))
        start = self.place(first)

        def one_step(k: str) -> None:
            pointer = build.stored(source, build.multiply(k, slots["a_column"]))
            column = build.scalar(start, build.multiply(k, self.layout.a_column))

            def one_panel(row: str, values: Values) -> Values:
                for vector in range(vectors):
                    elements = build.stored(build.stored(pointer, row), vector * build.lanes)
                    place = build.accumulated(values[0], vector * build.lanes)
                    build.store_accumulated(build.load_stored(elements, build.lanes), place, build.lanes)
                return [build.scalar(values[0], self.layout.a_tile)]

            build.loop(first, after, self.tile_rows, [("ptr", column)], one_panel)

        build.repeat(0, slots["k"], 1, one_step)
        build.repeat(after, stop, 1, lambda row: self.pack_row(source, row, "0"))

    def pack_row(self, source: str, row: str, whole: str) -> None:
        """One row: vectors up to `whole`, then one element at a time with any strides."""
        build, slots = self.build, self.slots
        start = build.stored(source, build.multiply(row, slots["a_row"]))
        place = self.place(row)

        def vectors(k: str) -> None:
            values = build.load_stored(build.stored(start, k), build.lanes)
            build.store_accumulated(values, build.accumulated(place, k), build.lanes)

        def one(k: str) -> None:
            values = build.load_stored(build.stored(start, build.multiply(k, slots["a_column"])), 1)
            build.store_accumulated(values, build.scalar(place, build.multiply(k, self.layout.a_column)), 1)

        build.repeat(0, whole, build.lanes, vectors)
        build.repeat(whole, slots["k"], 1, one)
