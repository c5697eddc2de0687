"""The inner functions of depthwise convolutions: sums of products that stay in registers.

Vectors run over channels. What the functions are for is said in `depthwise`.
"""

from __future__ import annotations

from collections.abc import Callable

from tarry.codegen.depthwise_layout import TABLE_FIELDS
from tarry.codegen.gemm_builder import KernelBuilder, Values

# Of the inner functions. Strides are in bytes. Channels from `first` to before `last` are computed.
SUM_PARAMETERS = (
    ("ptr", "image"), ("ptr", "kernel"), ("ptr", "result"),
    *(("i64", f"{name}{axis}") for name in ("count", "image_step", "kernel_step") for axis in range(3)),
    ("i64", "image_column"), ("i64", "result_column"),
    # Places that the next results see besides, in rows of so many, and how far apart they are.
    ("i64", "ahead"), ("i64", "row_ahead"), ("i64", "image_row"), ("i64", "image_place"),
    ("i64", "tiles"), ("i64", "first"), ("i64", "last"),
)  # fmt: skip
# Sums are added to the channels of a row of places, which has a table.
ADD_PARAMETERS = (
    ("ptr", "image"), ("ptr", "kernel"), ("ptr", "sums"), ("ptr", "table"),
    ("i64", "places"), ("i64", "rows"),
    *(("i64", f"{name}{axis}") for name in ("image_step", "kernel_step") for axis in (1, 2)),
    ("i64", "channels"), ("i64", "first"), ("i64", "last"),
)  # fmt: skip


class SumFunction:
    """Writes an inner function: sums of products over three axes, for tiles of columns by vectors.

    With a `window` the kernel has so many elements along the last axis, as far apart as columns: each vector
    of the image is read once for them all. Channels that fill no vector are for functions with `scalars`.
    """

    def __init__(
        self, build: KernelBuilder, columns: int, vectors: int, window: int = 0, scalars: bool = False
    ) -> None:
        self.build = build
        self.columns = columns
        self.vectors = vectors
        self.scalars = scalars
        self.window = window

    def emit(self) -> None:
        b = self.build
        b.start()
        # Frozen, or the code generator would turn them into a chain of additions.
        self.odd = {
            column: b.value(f"freeze i64 {b.multiply('%image_column', column)}")
            for column in range(1, self.columns + max(0, self.window - 1), 2)
        }
        self.below = b.multiply("%image_step1", "%count1")
        image_tile = b.multiply("%image_column", self.columns)
        result_tile = b.multiply("%result_column", self.columns)

        def one_tile(_: str, pointers: Values) -> Values:
            self._channels(*pointers)
            return [b.address(pointers[0], image_tile, "i8"), b.address(pointers[1], result_tile, "i8")]

        b.loop(0, "%tiles", 1, [("ptr", "%image"), ("ptr", "%result")], one_tile)

    def _channels(self, image: str, result: str) -> None:
        """All channels of a tile: by several vectors, by one, and one by one where they fill no vector.

        What is left of a vector is computed with the channels before it.
        """
        b = self.build
        extent = b.subtract("%last", "%first")
        wide = b.add("%first", b.round_down(extent, self.vectors * b.lanes))
        end = b.subtract("%last", b.lanes)

        def run(vectors: int, lanes: int, overlaps: bool) -> Callable[[str], None]:
            def at(channel: str) -> None:
                place = b.minimum(channel, end) if overlaps else channel
                self._tile(image, result, place, vectors, lanes)

            return at

        b.repeat("%first", wide, self.vectors * b.lanes, run(self.vectors, b.lanes, False))
        whole = "%last"
        if self.scalars:
            whole = b.select(b.compare("slt", "%last", b.lanes), "%first", "%last")
            b.repeat(whole, "%last", 1, run(1, 1, False))
        b.repeat(wide, whole, b.lanes, run(1, b.lanes, True))

    def _tile(self, image: str, result: str, channel: str, vectors: int, lanes: int) -> None:
        b = self.build
        image, kernel = b.stored(image, channel), b.accumulated("%kernel", channel)
        results = [
            b.address(b.stored(result, channel), b.multiply("%result_column", column) if column else 0, "i8")
            for column in range(self.columns)
        ]
        self._fetch(image, results)
        carried = [("ptr", image), ("ptr", kernel)]
        carried += [(b.accumulator_vector(lanes), b.zero(lanes))] * (self.columns * vectors)
        sums = self._sum_axis(0, carried, vectors, lanes)[2:]
        for number, value in enumerate(sums):
            column, vector = divmod(number, vectors)
            b.store_stored([value], b.stored(results[column], vector * lanes), lanes)

    def _fetch(self, image: str, results: Values) -> None:
        """Ask for the memory of results, and for what the next row of results sees of the image besides."""
        b = self.build
        below = b.address(image, self.below, "i8")

        self._fetch_columns(below)

        def further(place: str) -> None:
            row, rest = b.divide(place, "%row_ahead")
            offset = b.dot([row, rest], ["%image_row", "%image_place"])
            self._fetch_columns(b.address(below, offset, "i8"))

        if not self.window:  # where rows and columns are neighbours
            b.repeat(1, "%ahead", 1, further)
        for result in results:
            b.prefetch(result, write=True)

    def _fetch_columns(self, image: str) -> None:
        for column in range(self.columns):
            self.build.prefetch(self._column(image, column))

    def _sum_axis(self, axis: int, carried: list[tuple[str, str]], vectors: int, lanes: int) -> Values:
        """Add the products along `axis` and those inside it to the carried sums; returns what is carried."""
        b = self.build
        kinds = [kind for kind, _ in carried]

        def step(_: str, values: Values) -> Values:
            image, kernel, *sums = values
            if axis == 2:
                image, kernel = (b.value(f"freeze ptr {pointer}") for pointer in (image, kernel))
                sums = self._products(image, kernel, sums, vectors, lanes)
            elif axis == 1 and self.window:
                sums = self._window(image, kernel, sums, vectors, lanes)
            else:
                inside = self._sum_axis(axis + 1, list(zip(kinds, values)), vectors, lanes)
                sums = inside[2:]
            following = [
                b.address(image, f"%image_step{axis}", "i8"),
                b.address(kernel, f"%kernel_step{axis}", "i8"),
            ]
            return [*following, *sums]

        return b.loop(0, f"%count{axis}", 1, carried, step)

    def _products(self, image: str, kernel: str, sums: Values, vectors: int, lanes: int) -> Values:
        """The sums, and the products of one element of the kernel with what each column sees of the image."""
        b = self.build
        factors = [b.load_plain(b.accumulated(kernel, vector * lanes), lanes) for vector in range(vectors)]
        sums = list(sums)
        for column in range(self.columns):
            start = self._column(image, column)
            for vector in range(vectors):
                (seen,) = b.load_stored(b.stored(start, vector * lanes), lanes)
                number = column * vectors + vector
                sums[number] = b.multiply_add(seen, factors[vector], sums[number], lanes)
        return sums

    def _window(self, image: str, kernel: str, sums: Values, vectors: int, lanes: int) -> Values:
        """The sums, and the products of a row of the kernel with the columns that it sees."""
        b = self.build
        image, kernel = (b.value(f"freeze ptr {pointer}") for pointer in (image, kernel))
        factors = []
        for _ in range(self.window):
            for vector in range(vectors):
                factors.append(b.load_plain(b.accumulated(kernel, vector * lanes), lanes))
            kernel = b.address(kernel, "%kernel_step2", "i8")
        sums = list(sums)
        for place in range(self.columns + self.window - 1):
            start = self._column(image, place)
            for vector in range(vectors):
                (seen,) = b.load_stored(b.stored(start, vector * lanes), lanes)
                for element in range(self.window):
                    number = (place - element) * vectors + vector
                    if 0 <= place - element < self.columns:
                        factor = factors[element * vectors + vector]
                        sums[number] = b.multiply_add(seen, factor, sums[number], lanes)
        return sums

    def _column(self, image: str, column: int) -> str:
        """Address of the image for a column: an odd multiple of the stride times 1, 2 or 4."""
        if column == 0:
            return image
        scale = column & -column
        return self.build.address(image, self.odd[column // scale], f"[{scale} x i8]")


class AddFunction:
    """Writes an inner function that adds to the sums of a row of places products over some rows of columns.

    A table has for each place the offsets in bytes where image and kernel begin, and how many columns.
    """

    def __init__(self, build: KernelBuilder, vectors: int) -> None:
        self.build = build
        self.vectors = vectors

    def emit(self) -> None:
        b = self.build
        b.start()
        extent = b.subtract("%last", "%first")
        wide = b.add("%first", b.round_down(extent, self.vectors * b.lanes))
        whole = b.add("%first", b.round_down(extent, b.lanes))

        def run(vectors: int, lanes: int) -> Callable[[str], None]:
            return lambda channel: self._places(channel, vectors, lanes)

        b.repeat("%first", wide, self.vectors * b.lanes, run(self.vectors, b.lanes))
        b.repeat(wide, whole, b.lanes, run(1, b.lanes))
        b.repeat(whole, "%last", 1, run(1, 1))

    def _places(self, channel: str, vectors: int, lanes: int) -> None:
        b = self.build
        image, kernel = b.stored("%image", channel), b.stored("%kernel", channel)
        kind = b.accumulator_vector(lanes)

        def place(_: str, pointers: Values) -> Values:
            sums, entry = pointers
            at = [b.value(f"load i64, ptr {b.address(entry, field, 'i64')}") for field in range(TABLE_FIELDS)]
            start = [b.address(image, at[0], "i8"), b.address(kernel, at[1], "i8")]
            carried = [("ptr", pointer) for pointer in start] + [(kind, b.zero(lanes))] * vectors
            added = self._rows(carried, at[2], vectors, lanes)
            for vector, value in enumerate(added):
                cell = b.accumulated(sums, vector * lanes)
                b.store_plain(b.value(f"fadd {kind} {b.load_plain(cell, lanes)}, {value}"), cell, lanes)
            return [b.accumulated(sums, "%channels"), b.address(entry, TABLE_FIELDS, "i64")]

        first = b.accumulated("%sums", channel)
        b.loop(0, "%places", 1, [("ptr", first), ("ptr", "%table")], place)

    def _rows(self, carried: list[tuple[str, str]], columns: str, vectors: int, lanes: int) -> Values:
        b = self.build
        kinds = [kind for kind, _ in carried]

        def further(values: Values, axis: int) -> Values:
            steps = [f"%image_step{axis}", f"%kernel_step{axis}"]
            return [b.address(pointer, step, "i8") for pointer, step in zip(values, steps)]

        def column(_: str, values: Values) -> Values:
            image, kernel = (b.value(f"freeze ptr {pointer}") for pointer in values[:2])
            sums = []
            for vector, total in enumerate(values[2:]):
                (seen,) = b.load_stored(b.stored(image, vector * lanes), lanes)
                (factor,) = b.load_stored(b.stored(kernel, vector * lanes), lanes)
                sums.append(b.multiply_add(seen, factor, total, lanes))
            return [*further([image, kernel], 2), *sums]

        def row(_: str, values: Values) -> Values:
            inside = b.loop(0, columns, 1, list(zip(kinds, values)), column)
            return [*further(values[:2], 1), *inside[2:]]

        return b.loop(0, "%rows", 1, carried, row)[2:]
