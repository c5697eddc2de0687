"""Register tiles of the matrix multiplication: one inner function computes a row of tiles.

A tile of height x (width vectors) of C stays in registers while k runs: each step loads `width` vectors of B
and broadcasts `height` elements of A, with as few other instructions as can be. The sum of an element starts
at zero and takes k in order, whatever the variant, the tile or the chunk: the same bits each time. Strides of
A and B are arguments, so the same code reads packed pieces and matrices as they lie.
"""

from collections.abc import Callable

from tarry.codegen.gemm_builder import KernelBuilder, Values

# Of the inner function. Strides are in scalars of accumulator precision, except `c_row`, in elements.
TILE_PARAMETERS = (
    ("ptr", "a"), ("ptr", "b"), ("ptr", "c"),
    ("i64", "a_row"), ("i64", "a_column"), ("i64", "b_row"), ("i64", "c_row"),
    ("i64", "length"),  # of k
    ("i64", "count"),  # of tiles, side by side
    ("i64", "b_tile"),  # from the columns of B of one tile to those of the next
    ("i1", "resume"),  # whether the sums in C go on
)  # fmt: skip

UNROLLED = 4  # steps of k in a pass of the inner loop: two threads on a core compete for instruction slots
PREFETCH_ROWS = 32  # of a sliver of B, ahead of the row in use
CACHE_LINE = 64
ROWS_OF_POINTER = 3  # rows at p, p + stride and p + 2 stride are one addressing mode of x86


class TileFunction:
    """Writes the inner function for one height and width of tiles."""

    def __init__(self, build: KernelBuilder, height: int, width: int) -> None:
        self.build = build
        self.height = height
        self.width = width
        self.components = build.element.components
        self.b_width = width * self.components * build.lanes  # scalars in a row of a sliver
        self.kinds = [build.accumulator_vector(build.lanes)] * (height * width * self.components)

    def emit(self) -> None:
        build = self.build
        build.start()
        # Frozen, or the code generator would turn the rows into one chain of additions, as slow as the sums.
        multiples = [
            build.value(f"freeze i64 {build.multiply('%a_row', row)}")
            for row in (1, 2, *range(ROWS_OF_POINTER, self.height, ROWS_OF_POINTER))
        ]
        self.row_offsets = ["0", *multiples[:2]]
        self.group_offsets = ["0", *multiples[2:]]
        self.b_multiples = [build.multiply("%b_row", step) for step in range(UNROLLED + 1)]
        neighbours = build.compare("eq", "%a_column", self.components)
        self.whole = build.select(neighbours, build.round_down("%length", UNROLLED), 0)

        def one_tile(_: str, pointers: Values) -> Values:
            b, c = pointers
            self.fetch(c)
            initial = build.branch("%resume", lambda: self.load(c), self.zeros, self.kinds)
            following = build.accumulated(c, self.width * build.lanes)
            self.store(self.accumulate(b, initial), c)
            return [build.scalar(b, "%b_tile"), following]

        build.loop(0, "%count", 1, [("ptr", "%b"), ("ptr", "%c")], one_tile)

    def zeros(self) -> Values:
        return ["zeroinitializer"] * len(self.kinds)

    def each_cell(self, c: str, visit: Callable[[str], None]) -> None:
        """Call visit(address) for each vector of a tile, row after row."""
        build = self.build
        for row in range(self.height):
            start = build.accumulated(c, build.multiply("%c_row", row) if row else 0)
            for vector in range(self.width):
                visit(build.accumulated(start, vector * build.lanes))

    def fetch(self, c: str) -> None:
        """Ask for the cache lines of a tile of C, which is written when k is through."""
        build = self.build
        last = self.width * build.lanes - 1
        for row in range(self.height):
            start = build.accumulated(c, build.multiply("%c_row", row) if row else 0)
            build.prefetch(build.accumulated(start, last), write=True)

    def load(self, c: str) -> Values:
        build = self.build
        flat: Values = []
        self.each_cell(c, lambda place: flat.extend(build.load_accumulated(place, build.lanes)))
        return flat

    def store(self, flat: Values, c: str) -> None:
        build = self.build
        cells = iter(self.cells(flat))
        self.each_cell(c, lambda place: build.store_accumulated(next(cells), place, build.lanes))

    def cells(self, flat: Values) -> list[Values]:
        """Group a flat list of sums by cell, row after row."""
        return [flat[i : i + self.components] for i in range(0, len(flat), self.components)]

    def accumulate(self, b: str, initial: Values) -> Values:
        """Add the outer products of all k: four at a time where the elements of A's rows are neighbours."""
        build = self.build
        groups = [build.scalar("%a", offset) if offset != "0" else "%a" for offset in self.group_offsets]
        pointers = [*groups, b]
        kinds = ["ptr"] * len(pointers) + self.kinds

        def several(_: str, values: Values) -> Values:
            # Frozen, or LLVM would spend a third of its time on choosing other pointers.
            *rows, b = [build.value(f"freeze ptr {pointer}") for pointer in values[: len(pointers)]]
            sums = values[len(pointers) :]
            for step in range(UNROLLED):
                self.fetch_sliver(b, PREFETCH_ROWS + step)
                row_of_b = build.scalar(b, self.b_multiples[step]) if step else b
                sums = self.outer_product([self.along(row, step) for row in rows], row_of_b, sums)
            following = [self.along(row, UNROLLED) for row in rows]
            return [*following, build.scalar(b, self.b_multiples[UNROLLED]), *sums]

        def single(_: str, values: Values) -> Values:
            rows, b, sums = values[: len(groups)], values[len(groups)], values[len(pointers) :]
            following = [build.scalar(row, "%a_column") for row in rows]
            return [*following, build.scalar(b, "%b_row"), *self.outer_product(rows, b, sums)]

        values = build.loop(0, self.whole, UNROLLED, list(zip(kinds, [*pointers, *initial])), several)
        return build.loop(self.whole, "%length", 1, list(zip(kinds, values)), single)[len(pointers) :]

    def along(self, row: str, step: int) -> str:
        """Address of an element of A `step` places further along a row of neighbours."""
        return self.build.scalar(row, step * self.components)

    def fetch_sliver(self, b: str, row: int) -> None:
        """Ask for a later row of B as if it were a packed sliver; where it is not, this does no harm."""
        build = self.build
        line = CACHE_LINE // build.element.accumulator_bytes
        for offset in range(0, self.b_width, line):
            build.prefetch(build.scalar(b, row * self.b_width + offset))

    def outer_product(self, rows: Values, b: str, sums: Values) -> Values:
        build = self.build
        vectors = [
            build.load_plain(build.scalar(b, piece * build.lanes), build.lanes)
            for piece in range(self.width * self.components)
        ]
        cells = self.cells(sums)
        for row in range(self.height):
            offset = self.row_offsets[row % ROWS_OF_POINTER]
            start = rows[row // ROWS_OF_POINTER]
            start = start if offset == "0" else build.scalar(start, offset)
            factor = [
                build.splat(build.load_plain(build.scalar(start, part), 1), build.lanes)
                for part in range(self.components)
            ]
            for vector in range(self.width):
                # The components of a vector of B lie `width` vectors apart.
                right = vectors[vector :: self.width]
                cell = row * self.width + vector
                cells[cell] = build.multiply_accumulate(factor, right, cells[cell], build.lanes)
        return [value for cell in cells for value in cell]
