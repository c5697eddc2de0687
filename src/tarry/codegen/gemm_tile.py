"""Register tiles of the matrix multiplication, and the variants "packed" and "direct" built on them.

A tile of height x (width vectors) of C stays in registers while k runs: each step loads `width` vectors of B
and broadcasts `height` elements of A. The sum of an element starts at zero and takes k in order, whatever
the variant, the tile or the chunk: the same bits each time. Between blocks of k the sums wait in `partial`
without rounding.
"""

from collections.abc import Callable

from tarry.codegen.gemm_builder import KernelBuilder, Values
from tarry.codegen.gemm_pack import DEPTH, BlockPacker
from tarry.codegen.gemm_problem import EpilogueCall, GemmSlots


class Tile:
    """One size of register tile."""

    def __init__(self, build: KernelBuilder, height: int, width: int) -> None:
        self.build = build
        self.height = height
        self.width = width
        self.columns = width * build.lanes
        self.components = build.element.components
        self.kind = build.accumulator_vector(build.lanes)
        self.kinds = [self.kind] * (height * width * self.components)

    def cells(self, flat: Values) -> list[Values]:
        """Group a flat list of sums by cell, row after row."""
        return [flat[i : i + self.components] for i in range(0, len(flat), self.components)]

    def zeros(self) -> Values:
        return ["zeroinitializer"] * len(self.kinds)

    def load(self, pointer: str, pitch: str | int) -> Values:
        """Load sums from rows `pitch` elements apart."""
        build = self.build
        flat: Values = []
        for row in range(self.height):
            start = build.accumulated(pointer, build.multiply(pitch, row) if row else 0)
            for vector in range(self.width):
                flat += build.load_accumulated(build.accumulated(start, vector * build.lanes), build.lanes)
        return flat

    def store(self, flat: Values, pointer: str, pitch: str | int) -> None:
        """Store the sums unrounded."""
        build = self.build
        cells = self.cells(flat)
        for row in range(self.height):
            start = build.accumulated(pointer, build.multiply(pitch, row) if row else 0)
            for vector in range(self.width):
                place = build.accumulated(start, vector * build.lanes)
                build.store_accumulated(cells[row * self.width + vector], place, build.lanes)

    def finish(self, flat: Values, pointer: str, pitch: str) -> None:
        """Store the results, rounded to the dtype."""
        build = self.build
        cells = self.cells(flat)
        for row in range(self.height):
            start = build.stored(pointer, build.multiply(pitch, row) if row else 0)
            for vector in range(self.width):
                values = cells[row * self.width + vector]
                build.store_stored(values, build.stored(start, vector * build.lanes), build.lanes)

    def accumulate(
        self,
        left: Callable[[int, str, int], Values],
        right: Callable[[int, str, int], Values],
        length: str,
        initial: Values,
        unroll: int,
        ahead: str | None = None,
    ) -> Values:
        """Add `length` outer products; left(row, k, u) and right(vector, k, u) load at step k + u.

        Meanwhile `height` bytes for each step are fetched from `ahead` on.
        """
        build = self.build

        def steps(count: int) -> Callable[[str, Values], Values]:
            def body(k: str, flat: Values) -> Values:
                cells = self.cells(flat)
                if ahead is not None and count > 1:
                    distance = build.integer("mul nsw", k, self.height)
                    build.prefetch(build.address(ahead, distance, "i8"))
                for u in range(count):
                    vectors = [right(vector, k, u) for vector in range(self.width)]
                    for row in range(self.height):
                        factor = [build.splat(value, build.lanes) for value in left(row, k, u)]
                        for vector in range(self.width):
                            cell = row * self.width + vector
                            cells[cell] = build.multiply_accumulate(
                                factor, vectors[vector], cells[cell], build.lanes
                            )
                return [value for cell in cells for value in cell]

            return body

        if unroll == 1:
            return build.loop(0, length, 1, list(zip(self.kinds, initial)), steps(1))
        whole = build.round_down(length, unroll)
        sums = build.loop(0, whole, unroll, list(zip(self.kinds, initial)), steps(unroll))
        return build.loop(whole, length, 1, list(zip(self.kinds, sums)), steps(1))


def finish_row(build: KernelBuilder, source: str, destination: str, count: str) -> None:
    """Store `count` sums in memory as a row of C, rounded to the dtype."""
    whole = build.round_down(count, build.lanes)

    def run(lanes: int) -> None:
        def body(index: str) -> None:
            sums = build.load_accumulated(build.accumulated(source, index), lanes)
            build.store_stored(sums, build.stored(destination, index), lanes)

        start, stop = (0, whole) if lanes > 1 else (whole, count)
        build.repeat(start, stop, lanes, body)

    run(build.lanes)
    run(1)


def copy_sums(build: KernelBuilder, source: str, destination: str, count: str) -> None:
    """Copy `count` unrounded sums, one by one: only edges between blocks of k and parts of k come here."""

    def body(index: str) -> None:
        values = build.load_accumulated(build.accumulated(source, index), 1)
        build.store_accumulated(values, build.accumulated(destination, index), 1)

    build.repeat(0, count, 1, body)


class PackedMultiply:
    """Variant "packed": B comes in slivers; each item is a block of rows and columns of C."""

    def __init__(self, build: KernelBuilder, heights: tuple[int, ...], width: int) -> None:
        self.build = build
        self.heights = heights  # tallest first
        self.width = width
        self.columns = width * build.lanes
        # Sums between blocks of k look like results only when nothing happens on the way to memory.
        self.separate = build.element.narrow

    def emit(self) -> None:
        build = self.build
        build.start()
        slots = self.slots = GemmSlots(build)
        self.epilogue = EpilogueCall(build, slots)
        self.packer = BlockPacker(build, slots, self.heights[0])
        self.edge = build.stack_array(build.element.accumulator_cell, self.heights[0] * self.columns)
        if build.element.narrow:
            self.partial_row, self.partial_batch = slots["n"], build.multiply(slots["m"], slots["n"])
        else:
            self.partial_row, self.partial_batch = slots["c_row"], slots["c_batch"]
        self.sliver_row = self.columns * build.element.components
        self.row_of_slivers = build.multiply(build.divide_up(slots["n"], self.columns), self.sliver_row)
        self.matrix_length = build.multiply(slots["k"], self.row_of_slivers)
        extents = slots.packed_extents()
        # Strides of the packed matrices in the batch: as B's, zero where B is repeated.
        lengths = [build.multiply(extents[1], extents[2]), extents[2], "1"]
        self.packed_batch = [
            build.select(build.compare("eq", slots[f"b_batch{d}"], 0), 0, lengths[d]) for d in range(3)
        ]
        row_blocks = build.divide_up(slots["m"], slots["row_block"])
        column_blocks = build.divide_up(slots["n"], slots["column_block"])
        blocks = build.multiply(row_blocks, column_blocks)
        low, high = slots.item_range(build.multiply(slots.batch(), blocks))

        def item(index: str) -> None:
            self.batch = build.integer("udiv", index, blocks)
            block = build.integer("urem", index, blocks)
            row = build.multiply(build.integer("urem", block, row_blocks), slots["row_block"])
            column = build.multiply(build.integer("udiv", block, row_blocks), slots["column_block"])
            self.multiply_block(row, column)

        build.repeat(low, high, 1, item)

    def multiply_block(self, row: str, column: str) -> None:
        build, slots = self.build, self.slots
        self.first_row = row
        row_stop = build.minimum(build.add(row, slots["row_block"]), slots["m"])
        column_stop = build.minimum(build.add(column, slots["column_block"]), slots["n"])
        first_sliver = build.integer("udiv", column, self.columns)
        sliver_stop = build.divide_up(column_stop, self.columns)
        indices = slots.batch_indices(self.batch)
        matrix = build.stored(slots["a"], slots.offset("a", indices))
        terms = [build.multiply(index, stride) for index, stride in zip(indices, self.packed_batch)]
        position = build.add(build.add(terms[0], terms[1]), terms[2])
        packed = build.scalar(slots["packed"], build.multiply(position, self.matrix_length))
        self.result = build.stored(slots["c"], build.multiply(self.batch, slots["c_batch"]))
        self.sums = build.accumulated(slots["partial"], build.multiply(self.batch, self.partial_batch))
        # An empty k still runs one block: C becomes the epilogue of zeros.
        k_stop = build.maximum(slots["k"], 1)

        def depth_block(k: str) -> None:
            self.length = build.minimum(build.subtract(slots["k"], k), DEPTH)
            self.first = build.compare("eq", k, 0)
            self.last = build.compare("sge", build.add(k, DEPTH), slots["k"])
            self.sliver_length = build.multiply(self.length, self.sliver_row)
            block = build.scalar(packed, build.multiply(k, self.row_of_slivers))

            self.packer.emit(matrix, (row, row_stop), k, self.length)

            def one_sliver(sliver: str) -> None:
                start = build.scalar(block, build.multiply(sliver, self.sliver_length))
                tile_column = build.multiply(sliver, self.columns)

                def one_tile(tile_row: str) -> None:
                    left = build.minimum(build.subtract(slots["m"], tile_row), self.heights[0])
                    packed_rows = self.packer.row(tile_row, row)
                    self.choose_height(0, left, (tile_row, tile_column), (packed_rows, start))

                build.repeat(row, row_stop, self.heights[0], one_tile)

            build.repeat(first_sliver, sliver_stop, 1, one_sliver)

        build.repeat(0, k_stop, DEPTH, depth_block)
        self.epilogue.run(self.batch, (row, row_stop), (column, column_stop))

    def choose_height(
        self, index: int, left: str, corner: tuple[str, str], operands: tuple[str, str]
    ) -> None:
        """The lowest tile that holds the rows left."""
        build = self.build

        def run() -> None:
            self.multiply_tile(Tile(build, self.heights[index], self.width), left, corner, operands)

        if index + 1 == len(self.heights):
            run()
            return
        tall = build.compare("sgt", left, self.heights[index + 1])
        build.choose(tall, run, lambda: self.choose_height(index + 1, left, corner, operands))

    def multiply_tile(self, tile: Tile, rows: str, at: tuple[str, str], operands: tuple[str, str]) -> None:
        build, slots = self.build, self.slots
        row, column = at
        packed_rows, sliver = operands
        columns = build.minimum(build.subtract(slots["n"], column), self.columns)
        full = build.both(build.compare("eq", rows, tile.height), build.compare("eq", columns, self.columns))
        start = build.add(build.multiply(row, self.partial_row), column)
        partial = build.accumulated(self.sums, start)

        def resume_edge() -> Values:
            self.each_row(
                rows,
                lambda r, inside: copy_sums(
                    build, build.accumulated(partial, build.multiply(r, self.partial_row)), inside, columns
                ),
            )
            return tile.load(self.edge, self.columns)

        def resume() -> Values:
            return build.branch(full, lambda: tile.load(partial, self.partial_row), resume_edge, tile.kinds)

        initial = build.branch(self.first, tile.zeros, resume, tile.kinds)
        components, pitch = tile.components, self.packer.pitch

        def left(i: int, k: str, u: int) -> Values:
            first = build.scalar(packed_rows, k)
            return [
                build.load_plain(build.scalar(first, (i * components + part) * pitch + u), 1)
                for part in range(components)
            ]

        def right(vector: int, k: str, u: int) -> Values:
            first = build.scalar(sliver, build.integer("mul nsw", k, self.sliver_row))
            inside = u * self.sliver_row + vector * build.lanes
            return [
                build.load_plain(build.scalar(first, inside + part * self.columns), build.lanes)
                for part in range(components)
            ]

        unroll = 2 if tile.height == self.heights[0] else 1
        # The next sliver comes from the third cache, a part with every tile.
        passed = build.multiply(build.subtract(row, self.first_row), self.length)
        ahead = build.address(build.scalar(sliver, self.sliver_length), passed, "i8")
        sums = tile.accumulate(left, right, self.length, initial, unroll, ahead)
        result = build.stored(self.result, build.add(build.multiply(row, slots["c_row"]), column))
        self.store_tile(tile, sums, full, (rows, columns), result, partial)

    def each_row(self, rows: str, body: Callable[[str, str], None]) -> None:
        """Run body(row, pointer into the edge tile) for the rows that exist."""
        build = self.build

        def one(row: str) -> None:
            body(row, build.accumulated(self.edge, build.multiply(row, self.columns)))

        build.repeat(0, rows, 1, one)

    def store_tile(
        self, tile: Tile, sums: Values, full: str, size: tuple[str, str], result: str, partial: str
    ) -> None:
        build, slots = self.build, self.slots
        rows, columns = size

        def finish_one(row: str, inside: str) -> None:
            outside = build.stored(result, build.multiply(row, slots["c_row"]))
            finish_row(build, inside, outside, columns)

        def finish_edge() -> None:
            tile.store(sums, self.edge, self.columns)
            self.each_row(rows, finish_one)

        def finish_whole() -> None:
            tile.finish(sums, result, slots["c_row"])

        def finish() -> None:
            if build.element.narrow:  # rounding is long code: one loop instead of a copy for each cell
                finish_edge()
            else:
                build.choose(full, finish_whole, finish_edge)

        def save_one(row: str, inside: str) -> None:
            copy_sums(
                build, inside, build.accumulated(partial, build.multiply(row, self.partial_row)), columns
            )

        def save_edge() -> None:
            tile.store(sums, self.edge, self.columns)
            self.each_row(rows, save_one)

        def save() -> None:
            build.choose(full, lambda: tile.store(sums, partial, self.partial_row), save_edge)

        if self.separate:
            build.choose(self.last, finish, save)
        else:
            finish()


class DirectMultiply:
    """Variant "direct": no packing, for small matrices whose B has unit column stride.

    Items are blocks of rows. Where a tile would pass the edge it starts earlier instead, and computes a few
    results twice, with the same bits: the epilogue may change C only when a whole block is done.
    C must have at least as many rows as the lower tile and as many columns as a tile.
    """

    def __init__(self, build: KernelBuilder, heights: tuple[int, int], width: int) -> None:
        self.build = build
        self.heights = heights
        self.width = width

    def emit(self) -> None:
        build = self.build
        build.start()
        slots = self.slots = GemmSlots(build)
        epilogue = EpilogueCall(build, slots)
        # Even blocks of at least `row_block` rows: an edge tile never leaves its own block.
        blocks = build.maximum(build.integer("udiv", slots["m"], slots["row_block"]), 1)
        low, high = slots.item_range(build.multiply(slots.batch(), blocks))

        def item(index: str) -> None:
            self.batch = build.integer("udiv", index, blocks)
            block = build.integer("urem", index, blocks)
            row = build.integer("udiv", build.multiply(block, slots["m"]), blocks)
            row_stop = build.integer("udiv", build.multiply(build.add(block, 1), slots["m"]), blocks)
            indices = slots.batch_indices(self.batch)
            self.left_matrix = build.stored(slots["a"], slots.offset("a", indices))
            self.right_matrix = build.stored(slots["b"], slots.offset("b", indices))
            self.result = build.stored(slots["c"], build.multiply(self.batch, slots["c_batch"]))
            self.multiply_rows(row, row_stop)
            epilogue.run(self.batch, (row, row_stop), ("0", slots["n"]))

        build.repeat(low, high, 1, item)

    def multiply_rows(self, row: str, row_stop: str) -> None:
        build = self.build
        tall, low = self.heights
        count = build.subtract(row_stop, row)
        computed_tall = build.multiply(build.divide_up(count, tall), tall)
        computed_low = build.multiply(build.divide_up(count, low), low)
        # Low tiles do more loads for each multiplication: worth it only where they waste less.
        gain = build.subtract(computed_tall, computed_low)
        saves = build.compare("sgt", build.multiply(gain, 8), count)
        use_low = build.value(f"or i1 {saves}, {build.compare('slt', count, tall)}")

        def run(height: int) -> None:
            self.multiply_with(Tile(build, height, self.width), row, row_stop)

        build.choose(use_low, lambda: run(low), lambda: run(tall))

    def multiply_with(self, tile: Tile, row: str, row_stop: str) -> None:
        build, slots = self.build, self.slots
        last_row = build.subtract(row_stop, tile.height)
        last_column = build.subtract(slots["n"], tile.columns)

        def rows(wanted_row: str) -> None:
            first_row = build.minimum(wanted_row, last_row)
            pointers = [
                build.stored(self.left_matrix, build.multiply(build.add(first_row, i), slots["a_row"]))
                for i in range(tile.height)
            ]

            def columns(wanted_column: str) -> None:
                first_column = build.minimum(wanted_column, last_column)
                self.multiply_tile(tile, pointers, first_row, first_column)

            build.repeat(0, slots["n"], tile.columns, columns)

        build.repeat(row, row_stop, tile.height, rows)

    def multiply_tile(self, tile: Tile, pointers: Values, row: str, column: str) -> None:
        build, slots = self.build, self.slots
        start = build.stored(self.right_matrix, column)

        def left(i: int, k: str, u: int) -> Values:
            return build.load_stored(build.stored(pointers[i], build.multiply(k, slots["a_column"])), 1)

        def right(vector: int, k: str, u: int) -> Values:
            pointer = build.stored(start, build.multiply(k, slots["b_row"]))
            return build.load_stored(build.stored(pointer, vector * build.lanes), build.lanes)

        sums = tile.accumulate(left, right, slots["k"], tile.zeros(), 1)
        offset = build.add(build.multiply(row, slots["c_row"]), column)
        tile.finish(sums, build.stored(self.result, offset), slots["c_row"])
