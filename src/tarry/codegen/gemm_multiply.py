"""The variants "packed" and "direct" of the matrix multiplication: blocks of C in register tiles.

Both are the same code. A is read where it lies or from a packed block (`packs_a`), B where it lies
("direct") or from packed slivers ("packed", `packs_b`). Tiles at the edges of C compute into a small tile on
the stack, of which the cells that exist are copied. Where A or B is read in place, a tile that would pass
its edge starts earlier and computes some cells twice. Between blocks of k the sums wait in `partial`
without rounding.
"""

from collections.abc import Callable

from tarry.codegen.gemm_builder import KernelBuilder
from tarry.codegen.gemm_pack import PackedLayout
from tarry.codegen.gemm_slots import EpilogueCall, GemmSlots
from tarry.codegen.gemm_tile import TILE_PARAMETERS

PANEL_SLIVERS = 8  # of B that rows of A pass at most
PANEL_ROWS = 4096  # of all these slivers, in the second cache meanwhile: 256 KiB where a row is 64 bytes


def copy_row(build: KernelBuilder, move: Callable[[str, int], None], count: str) -> None:
    """move(index, lanes) for `count` neighbouring elements: whole vectors, then single elements."""
    whole = build.round_down(count, build.lanes)
    build.repeat(0, whole, build.lanes, lambda index: move(index, build.lanes))
    build.repeat(whole, count, 1, lambda index: move(index, 1))


def finish_row(build: KernelBuilder, source: str, destination: str, count: str) -> None:
    """Store `count` sums in memory as a row of C, rounded to the dtype."""

    def move(index: str, lanes: int) -> None:
        sums = build.load_accumulated(build.accumulated(source, index), lanes)
        build.store_stored(sums, build.stored(destination, index), lanes)

    copy_row(build, move, count)


def copy_sums(build: KernelBuilder, source: str, destination: str, count: str) -> None:
    """Copy `count` unrounded sums."""

    def move(index: str, lanes: int) -> None:
        sums = build.load_accumulated(build.accumulated(source, index), lanes)
        build.store_accumulated(sums, build.accumulated(destination, index), lanes)

    copy_row(build, move, count)


class TileMultiply:
    """Writes the step that computes C; its items are blocks of rows and columns."""

    def __init__(self, build: KernelBuilder, tile_name: str, height: int, width: int) -> None:
        self.build = build
        self.tile_name = tile_name
        self.height = height
        self.columns = width * build.lanes
        self.narrow = build.element.narrow

    def emit(self) -> None:
        build = self.build
        build.start()
        slots = self.slots = GemmSlots(build)
        self.epilogue = EpilogueCall(build, slots)
        layout = self.layout = PackedLayout(build, slots, self.height, self.columns)
        self.edge = build.stack_array(build.element.accumulator_cell, self.height * self.columns)
        self.packs_a = build.compare("ne", slots["packs_a"], 0)
        self.packs_b = build.compare("ne", slots["packs_b"], 0)
        if self.narrow:
            self.partial_row, self.partial_batch = slots["n"], build.multiply(slots["m"], slots["n"])
        else:
            self.partial_row, self.partial_batch = slots["c_row"], slots["c_batch"]
        components = build.element.components
        self.b_row = build.select(self.packs_b, layout.width, slots["b_row"])
        self.a_row, self.a_column = (
            build.select(self.packs_a, packed, build.multiply(slots[name], components))
            for name, packed in (("a_row", layout.a_row), ("a_column", layout.a_column))
        )
        self.packed_strides = layout.batch_strides("a"), layout.batch_strides("b")
        self.row_blocks = build.divide_up(slots["m"], slots["row_block"])
        self.column_blocks = build.divide_up(slots["n"], slots["column_block"])
        blocks = build.multiply(self.row_blocks, self.column_blocks)
        low, high = slots.item_range(build.multiply(slots.batch(), blocks))

        def item(index: str) -> None:
            self.batch = build.integer("udiv", index, blocks)
            block = build.integer("urem", index, blocks)
            column_block, row_block = build.divide(block, self.row_blocks)
            row, row_after = self.bounds(row_block, self.row_blocks, layout.tiles, self.height)
            column, column_after = self.bounds(column_block, self.column_blocks, layout.slivers, self.columns)
            self.row_stop = build.minimum(row_after, slots["m"])
            self.column_stop = build.minimum(column_after, slots["n"])
            self.multiply_block(row, column)

        build.repeat(low, high, 1, item)

    def bounds(self, block: str, blocks: str, pieces: str, size: int) -> tuple[str, str]:
        """Where a block starts and ends: blocks differ by one piece at most, so threads get equal shares."""
        build = self.build
        low = build.integer("udiv", build.multiply(block, pieces), blocks)
        high = build.integer("udiv", build.multiply(build.add(block, 1), pieces), blocks)
        return build.multiply(low, size), build.multiply(high, size)

    def multiply_block(self, row: str, column: str) -> None:
        build, slots = self.build, self.slots
        indices = slots.batch_indices(self.batch)
        self.left = build.stored(slots["a"], slots.offset("a", indices))
        self.right = build.stored(slots["b"], slots.offset("b", indices))
        self.rows, self.slivers = (
            build.scalar(start, build.dot(indices, strides))
            for start, strides in zip((self.layout.a_start, slots["packed"]), self.packed_strides)
        )
        self.result = build.stored(slots["c"], build.multiply(self.batch, slots["c_batch"]))
        self.sums = build.accumulated(slots["partial"], build.multiply(self.batch, self.partial_batch))
        # A last tile of few rows starts earlier and computes some again, where no sums are read.
        self.last_tile = build.subtract(self.row_stop, self.height)
        once = build.compare("sle", slots["k"], slots["depth_block"])
        in_place = build.both(build.value(f"xor i1 {self.packs_a}, true"), once)
        self.shifts = build.both(in_place, build.compare("sge", self.last_tile, row))
        # An empty k still runs one block: C becomes the epilogue of zeros.
        k_stop = build.maximum(slots["k"], 1)

        def depth_block(k: str) -> None:
            self.length = build.minimum(build.subtract(slots["k"], k), slots["depth_block"])
            self.resume = build.compare("ne", k, 0)
            self.last = build.compare("sge", build.add(k, slots["depth_block"]), slots["k"])
            self.k = k
            fitting = build.integer("udiv", PANEL_ROWS, build.maximum(self.length, 1))
            slivers = build.minimum(build.maximum(fitting, 1), PANEL_SLIVERS)
            panel = build.multiply(slivers, self.columns)
            build.repeat(column, self.column_stop, panel, lambda c: self.multiply_panel(row, c, panel))

        build.repeat(0, k_stop, slots["depth_block"], depth_block)
        self.epilogue.run(self.batch, (row, self.row_stop), (column, self.column_stop))

    def multiply_panel(self, row: str, column: str, panel: str) -> None:
        """All rows of a block times a few slivers, which stay in the second cache meanwhile."""
        build = self.build
        stop = build.minimum(build.add(column, panel), self.column_stop)
        width = build.subtract(stop, column)
        self.b_tile = build.select(self.packs_b, build.multiply(self.length, self.layout.width), self.columns)
        slivers = build.integer("udiv", width, self.columns)
        if self.narrow:  # results are rounded on the way from the edge tile to memory
            slivers = build.select(self.last, 0, slivers)
        first_edge = build.add(column, build.multiply(slivers, self.columns))
        first_sliver = self.find_sliver(column, column)

        def one_row(wanted: str) -> None:
            tile_row = build.select(self.shifts, build.minimum(wanted, self.last_tile), wanted)
            rows = build.minimum(build.subtract(self.row_stop, tile_row), self.height)
            whole = build.compare("eq", rows, self.height)
            count = build.select(whole, slivers, 0)
            place = build.add(build.multiply(tile_row, self.partial_row), column)
            sums = build.accumulated(self.sums, place)
            self.call_tiles(self.find_rows(tile_row), first_sliver, sums, self.partial_row, count)
            edge = build.select(whole, first_edge, column)
            build.repeat(edge, stop, self.columns, lambda c: self.multiply_edge(tile_row, c, stop))

        build.repeat(row, self.row_stop, self.height, one_row)

    def find_sliver(self, column: str, in_place: str) -> str:
        build, slots = self.build, self.slots
        block = build.scalar(self.slivers, build.multiply(self.k, self.layout.row_of_slivers))
        number = build.integer("udiv", column, self.columns)
        packed = build.scalar(block, build.multiply(number, build.multiply(self.length, self.layout.width)))
        place = build.add(build.multiply(self.k, slots["b_row"]), in_place)
        return build.select_pointer(self.packs_b, packed, build.stored(self.right, place))

    def find_rows(self, row: str) -> str:
        """Address of the rows of A from `row` on."""
        build, slots = self.build, self.slots
        inside = build.add(
            build.multiply(row, self.layout.a_row), build.multiply(self.k, self.layout.a_column)
        )
        packed = build.scalar(self.rows, inside)
        place = build.add(build.multiply(row, slots["a_row"]), build.multiply(self.k, slots["a_column"]))
        return build.select_pointer(self.packs_a, packed, build.stored(self.left, place))

    def call_tiles(self, a: str, b: str, c: str, c_row: str | int, count: str | int) -> None:
        strides = [self.a_row, self.a_column, self.b_row, c_row]
        values = [a, b, c, *strides, self.length, count, self.b_tile, self.resume]
        self.build.call(self.tile_name, TILE_PARAMETERS, values)

    def multiply_edge(self, row: str, column: str, stop: str) -> None:
        """One tile by way of the stack."""
        build, slots = self.build, self.slots
        width = build.minimum(build.subtract(stop, column), self.columns)
        last_row = build.minimum(row, build.subtract(slots["m"], self.height))
        last_column = build.minimum(column, build.subtract(slots["n"], self.columns))
        first_row = build.select(self.packs_a, row, last_row)
        first_column = build.select(self.packs_b, column, last_column)
        rows = build.minimum(build.subtract(self.row_stop, row), self.height)
        skipped = build.multiply(build.subtract(row, first_row), self.columns)
        inside = build.accumulated(self.edge, build.add(skipped, build.subtract(column, first_column)))
        partial = build.accumulated(self.sums, build.add(build.multiply(row, self.partial_row), column))
        result = build.stored(self.result, build.add(build.multiply(row, slots["c_row"]), column))

        def each_row(copy: Callable[[str, str, str], None]) -> None:
            """copy(row in the edge tile, row of partial sums, row of C) for the rows that exist."""

            def one(r: str) -> None:
                copy(
                    build.accumulated(inside, build.multiply(r, self.columns)),
                    build.accumulated(partial, build.multiply(r, self.partial_row)),
                    build.stored(result, build.multiply(r, slots["c_row"])),
                )

            build.repeat(0, rows, 1, one)

        def save() -> None:
            each_row(lambda edge, sums, _: copy_sums(build, edge, sums, width))

        def finish() -> None:
            each_row(lambda edge, _, final: finish_row(build, edge, final, width))

        build.choose(
            self.resume,
            lambda: each_row(lambda edge, sums, _: copy_sums(build, sums, edge, width)),
            lambda: None,
        )
        a, b = self.find_rows(first_row), self.find_sliver(column, first_column)
        self.call_tiles(a, b, self.edge, self.columns, 1)
        if self.narrow:
            build.choose(self.last, finish, save)
        else:
            finish()
