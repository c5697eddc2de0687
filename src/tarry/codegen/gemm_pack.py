"""Packing for the matrix multiplication: the step before tiles are computed, shared by all threads.

B is packed into slivers that hold `tile_columns` columns over a block of k, row after row:
[k][component][column]. The slivers of one block of k are neighbours, so what a kernel reuses is one piece of
memory that fills a cache evenly. A is packed only where tiles cannot read it in place, or would read it from
far apart: row by row, so that the tiles read it as they read A in place. Both hold accumulator precision, so
narrow dtypes are converted once. Packed A follows packed B.

Three inner functions move the elements: runs of neighbours, squares to transpose, and single ones.
"""

from tarry.codegen.gemm import GROUP_SLIVERS, GROUP_TILES, PACK_DEPTH, ROW_PADDING
from tarry.codegen.gemm_builder import KernelBuilder, Values
from tarry.codegen.gemm_slots import GemmSlots

# Lengths of what is read are in elements, of what is written in scalars of accumulator precision.
RUN_PARAMETERS = (
    ("ptr", "source"), ("ptr", "destination"),
    ("i64", "source_row"), ("i64", "destination_row"),
    ("i64", "piece"),  # from one piece of a packed row to the next
    ("i64", "rows"), ("i64", "pieces"),  # of tile_columns elements each
)  # fmt: skip

SQUARE_PARAMETERS = (
    ("ptr", "source"), ("ptr", "destination"),
    ("i64", "source_line"), ("i64", "destination_line"),
    ("i64", "last"),  # of the lines that exist; others repeat it
    ("i64", "bands"),  # of as many lines as a vector has lanes
    ("i64", "squares"),  # of each band
)  # fmt: skip

ELEMENT_PARAMETERS = (
    ("ptr", "source"), ("ptr", "destination"),
    ("i64", "source_row"), ("i64", "source_column"),
    ("i64", "destination_row"), ("i64", "destination_column"),
    ("i64", "part"),  # from one component to the next
    ("i64", "rows"), ("i64", "columns"),
)  # fmt: skip


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
        self.a_row, self.a_column = pitch, str(components)
        self.a_matrix = build.multiply(build.multiply(self.tiles, tile_rows), pitch)
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


class RunFunction:
    """Writes the inner function that copies pieces of rows whose elements are neighbours.

    `split` takes complex numbers apart, as slivers of B want them.
    """

    def __init__(self, build: KernelBuilder, tile_columns: int, split: bool) -> None:
        self.build = build
        self.tile_columns = tile_columns
        self.split = split

    def emit(self) -> None:
        build = self.build
        build.start()

        def one_row(_: str, pointers: Values) -> Values:
            source, destination = pointers

            def one_piece(_: str, places: Values) -> Values:
                self.copy(*places)
                return [build.stored(places[0], self.tile_columns), build.scalar(places[1], "%piece")]

            build.loop(0, "%pieces", 1, [("ptr", source), ("ptr", destination)], one_piece)
            return [build.stored(source, "%source_row"), build.scalar(destination, "%destination_row")]

        build.loop(0, "%rows", 1, [("ptr", "%source"), ("ptr", "%destination")], one_row)

    def copy(self, source: str, destination: str) -> None:
        build = self.build
        for column in range(0, self.tile_columns, build.lanes):
            values = build.load_stored(build.stored(source, column), build.lanes)
            if self.split:
                for part, value in enumerate(values):
                    place = build.scalar(destination, part * self.tile_columns + column)
                    build.store_plain(value, place, build.lanes)
            else:
                build.store_accumulated(values, build.accumulated(destination, column), build.lanes)


class SquareFunction:
    """Writes the inner function that transposes real numbers in squares: the lines of the source are read
    side by side, and their neighbours become lines of the destination."""

    def __init__(self, build: KernelBuilder) -> None:
        self.build = build

    def emit(self) -> None:
        build = self.build
        build.start()
        down = [build.multiply("%destination_line", lane) for lane in range(1, build.lanes + 1)]

        def band(number: str, places: Values) -> Values:
            first = build.multiply(number, build.lanes)
            lines = []
            for lane in range(build.lanes):
                line = build.minimum(build.add(first, lane), "%last")
                lines.append(build.stored("%source", build.multiply(line, "%source_line")))

            def square(index: str, corner: Values) -> Values:
                along = build.multiply(index, build.lanes)
                loaded = [build.load_stored(build.stored(line, along), build.lanes)[0] for line in lines]
                offsets: list[str | int] = [0, *down]
                for offset, value in zip(offsets, build.transpose(loaded)):
                    build.store_plain(value, build.scalar(corner[0], offset), build.lanes)
                return [build.scalar(corner[0], down[-1])]

            build.loop(0, "%squares", 1, [("ptr", places[0])], square)
            return [build.scalar(places[0], build.lanes)]

        build.loop(0, "%bands", 1, [("ptr", "%destination")], band)


class ElementFunction:
    """Writes the inner function that copies a rectangle of any strides, one element at a time."""

    def __init__(self, build: KernelBuilder) -> None:
        self.build = build

    def emit(self) -> None:
        build = self.build
        build.start()

        def one_row(_: str, pointers: Values) -> Values:
            def one(_: str, places: Values) -> Values:
                for part, value in enumerate(build.load_stored(places[0], 1)):
                    place = build.scalar(places[1], "%part") if part else places[1]
                    build.store_plain(value, place, 1)
                following = build.stored(places[0], "%source_column")
                return [following, build.scalar(places[1], "%destination_column")]

            build.loop(0, "%columns", 1, [("ptr", pointer) for pointer in pointers], one)
            source, destination = pointers
            return [build.stored(source, "%source_row"), build.scalar(destination, "%destination_row")]

        build.loop(0, "%rows", 1, [("ptr", "%source"), ("ptr", "%destination")], one_row)


class PackFunctions:
    """The names of the inner functions; complex numbers are never transposed in squares."""

    def __init__(self, rows: str, slivers: str, squares: str, elements: str) -> None:
        self.rows = rows
        self.slivers = slivers
        self.squares = squares
        self.elements = elements


class Packer:
    """Writes the step that packs; its work items are groups of slivers of B, then pieces of groups of tiles
    of A."""

    def __init__(
        self, build: KernelBuilder, tile_rows: int, tile_columns: int, functions: PackFunctions
    ) -> None:
        self.build = build
        self.tile_rows = tile_rows
        self.tile_columns = tile_columns
        self.functions = functions
        self.components = build.element.components

    def emit(self) -> None:
        build = self.build
        build.start()
        slots = self.slots = GemmSlots(build)
        layout = self.layout = PackedLayout(build, slots, self.tile_rows, self.tile_columns)
        groups_b = build.divide_up(layout.slivers, GROUP_SLIVERS)
        groups_a = build.divide_up(layout.tiles, GROUP_TILES)
        items_b = build.multiply(layout.b_matrices, groups_b)
        pieces_a = build.divide_up(slots["k"], PACK_DEPTH)
        items_a = build.multiply(layout.a_matrices, build.multiply(groups_a, pieces_a))
        low, high = slots.item_range(build.add(items_b, items_a))

        def item(index: str) -> None:
            def pack_b() -> None:
                matrix, group = build.divide(index, groups_b)
                self.pack_slivers(matrix, build.multiply(group, GROUP_SLIVERS))

            def pack_a() -> None:
                rest, piece = build.divide(build.subtract(index, items_b), pieces_a)
                matrix, group = build.divide(rest, groups_a)
                first = build.multiply(group, GROUP_TILES * self.tile_rows)
                self.pack_rows(matrix, first, build.multiply(piece, PACK_DEPTH))

            build.choose(build.compare("slt", index, items_b), pack_b, pack_a)

        build.repeat(low, high, 1, item)

    def parts(self, length: str) -> list[tuple[str, str]]:
        """Where to start and how many vectors to take, twice: the last vector may go over some again."""
        build = self.build
        rest = build.compare("ne", build.integer("urem", length, build.lanes), 0)
        whole = build.integer("udiv", length, build.lanes)
        return [("0", whole), (build.subtract(length, build.lanes), build.select(rest, 1, 0))]

    # B

    def pack_slivers(self, matrix: str, first: str) -> None:
        build, slots, layout = self.build, self.slots, self.layout
        offset = slots.offset("b", slots.indices(matrix, layout.b_extents))
        source = build.stored(slots["b"], offset)
        packed = build.scalar(slots["packed"], build.multiply(matrix, layout.b_matrix))
        column = build.multiply(first, self.tile_columns)
        most = GROUP_SLIVERS * self.tile_columns
        columns = build.minimum(build.subtract(slots["n"], column), most)
        across = build.compare("eq", slots["b_column"], 1)
        along = build.compare("eq", slots["b_row"], 1)

        def depth_block(k: str) -> None:
            length = build.minimum(build.subtract(slots["k"], k), slots["depth_block"])
            size = build.multiply(length, layout.width)
            place = build.multiply(k, layout.row_of_slivers)
            block = build.scalar(packed, build.add(place, build.multiply(first, size)))
            corner = build.add(build.multiply(k, slots["b_row"]), build.multiply(column, slots["b_column"]))
            start = build.stored(source, corner)

            def otherwise() -> None:
                if self.components == 2:
                    self.pack_columns(start, block, (size, length), columns, "0")
                else:
                    enough = build.compare("sge", length, build.lanes)
                    whole = build.select(build.both(along, enough), columns, 0)
                    self.pack_transposed(start, block, (size, length), whole)
                    self.pack_columns(start, block, (size, length), columns, whole)

            build.choose(across, lambda: self.pack_across(start, block, (size, length), columns), otherwise)

        build.repeat(0, slots["k"], slots["depth_block"], depth_block)

    def pack_across(self, start: str, block: str, sliver: tuple[str, str], columns: str) -> None:
        """Neighbouring columns: long runs of memory, row by row. `sliver` is its size and length."""
        build, slots = self.build, self.slots
        whole = build.integer("udiv", columns, self.tile_columns)
        size, length = sliver
        values: list[str | int] = [start, block, slots["b_row"], self.layout.width, size, length, whole]
        build.call(self.functions.slivers, RUN_PARAMETERS, values)
        self.pack_columns(start, block, sliver, columns, build.multiply(whole, self.tile_columns))

    def pack_transposed(self, start: str, block: str, sliver: tuple[str, str], columns: str) -> None:
        """Unit stride along k: transpose squares."""
        build, slots = self.build, self.slots
        size, length = sliver

        def one(column: str) -> None:
            source = build.stored(start, build.multiply(column, slots["b_column"]))
            number = build.integer("udiv", column, self.tile_columns)
            place = build.scalar(block, build.multiply(number, size))
            left = build.subtract(columns, column)
            bands = self.tile_columns // build.lanes
            strides = slots["b_column"], self.layout.width
            for k, squares in self.parts(length):
                target = build.scalar(place, build.multiply(k, self.layout.width))
                last = build.subtract(left, 1)
                values: list[str | int] = [build.stored(source, k), target, *strides, last, bands, squares]
                build.call(self.functions.squares, SQUARE_PARAMETERS, values)

        build.repeat(0, columns, self.tile_columns, one)

    def pack_columns(self, start: str, block: str, sliver: tuple[str, str], columns: str, first: str) -> None:
        """The columns from `first` on, the start of a sliver; the last one is repeated to fill its sliver."""
        build, slots = self.build, self.slots
        size, length = sliver

        def copy(column: str, place: str, count: str, stride: str) -> None:
            source = build.stored(start, build.multiply(column, slots["b_column"]))
            strides: list[str | int] = [slots["b_row"], stride, self.layout.width, 1, self.tile_columns]
            values: list[str | int] = [source, place, *strides, length, count]
            build.call(self.functions.elements, ELEMENT_PARAMETERS, values)

        def one(column: str) -> None:
            number = build.integer("udiv", column, self.tile_columns)
            place = build.scalar(block, build.multiply(number, size))
            count = build.minimum(build.subtract(columns, column), self.tile_columns)
            copy(column, place, count, slots["b_column"])
            # What lies there may be numbers that processors are slow at.
            missing = build.subtract(self.tile_columns, count)
            copy(build.subtract(columns, 1), build.scalar(place, count), missing, "0")

        build.repeat(first, columns, self.tile_columns, one)

    # A

    def pack_rows(self, matrix: str, first: str, k: str) -> None:
        """The rows of some tiles, a piece of k. Rows past the edge hold whatever was there: their results are
        dropped. A last piece that is shorter than what is moved at once goes over some of the one before.
        """
        build, slots, layout = self.build, self.slots, self.layout
        rows = build.minimum(build.subtract(slots["m"], first), GROUP_TILES * self.tile_rows)
        offset = slots.offset("a", slots.indices(matrix, layout.a_extents))
        length = build.minimum(build.subtract(slots["k"], k), PACK_DEPTH)
        corner = build.add(build.multiply(first, slots["a_row"]), build.multiply(k, slots["a_column"]))
        source = build.stored(slots["a"], build.add(offset, corner))
        packed = build.scalar(layout.a_start, build.multiply(matrix, layout.a_matrix))
        inside = build.add(build.multiply(first, layout.a_row), build.multiply(k, layout.a_column))
        place = build.scalar(packed, inside)
        along = build.compare("eq", slots["a_column"], 1)
        enough = build.compare("sge", slots["k"], self.tile_columns)

        def otherwise() -> None:
            if self.components == 2:
                self.pack_elements(source, place, (rows, length), "0")
                return
            square = build.select(build.compare("slt", rows, slots["k"]), rows, slots["k"])
            fits = build.both(
                build.compare("eq", slots["a_row"], 1), build.compare("sge", square, build.lanes)
            )
            done = build.select(fits, rows, 0)
            self.transpose_rows(source, place, (done, length))
            self.pack_elements(source, place, (rows, length), done)

        build.choose(
            build.both(along, enough), lambda: self.copy_rows(source, place, (rows, length)), otherwise
        )

    def copy_rows(self, source: str, place: str, sizes: tuple[str, str]) -> None:
        """Elements along k are neighbours: whole pieces, the last of which may go over some again."""
        build, slots, layout = self.build, self.slots, self.layout
        rows, length = sizes
        pieces = build.integer("udiv", length, self.tile_columns)
        last = build.subtract(length, self.tile_columns)
        piece = self.tile_columns * self.components
        end = build.accumulated(place, last)
        for start, target, count in ((source, place, pieces), (build.stored(source, last), end, 1)):
            values: list[str | int] = [start, target, slots["a_row"], layout.a_row, piece, rows, count]
            build.call(self.functions.rows, RUN_PARAMETERS, values)

    def transpose_rows(self, source: str, place: str, sizes: tuple[str, str]) -> None:
        """Rows are neighbours: transpose squares."""
        build, slots, layout = self.build, self.slots, self.layout
        rows, length = sizes
        for k, bands in self.parts(length):
            start, target = build.stored(source, build.multiply(k, slots["a_column"])), build.scalar(place, k)
            last = build.subtract(build.subtract(length, k), 1)
            for row, squares in self.parts(rows):
                corner = build.scalar(target, build.multiply(row, layout.a_row))
                strides = slots["a_column"], layout.a_row
                values = [build.stored(start, row), corner, *strides, last, bands, squares]
                build.call(self.functions.squares, SQUARE_PARAMETERS, values)

    def pack_elements(self, source: str, place: str, sizes: tuple[str, str], first: str) -> None:
        """Rows from `first` on, with any strides."""
        build, slots = self.build, self.slots
        rows, length = sizes
        start = build.stored(source, build.multiply(first, slots["a_row"]))
        target = build.scalar(place, build.multiply(first, self.layout.a_row))
        layout = self.layout
        strides: list[str | int] = [slots["a_row"], slots["a_column"], layout.a_row, layout.a_column, 1]
        values: list[str | int] = [start, target, *strides, build.subtract(rows, first), length]
        build.call(self.functions.elements, ELEMENT_PARAMETERS, values)
