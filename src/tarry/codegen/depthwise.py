"""Depthwise convolutions, every channel by itself, as LLVM text: a module for each dtype.

Vectors run over channels, which are neighbours in memory. `slide` computes results: the sums of several
columns and vectors of channels stay in registers while the kernel's elements go by, so that one vector of
weights serves all columns and an image is read straight from cache. Columns whose window reaches over the
edge of the image are computed one by one from what is inside: nothing is padded. `correlate` computes the
derivative for weights, sums over images and rows, in parts that `combine` adds up in order. `pack` copies
operands whose channels are not neighbours, `widen` weights in accumulator precision.

Extents, strides and dilations are arguments; see `depthwise_layout` for what they mean.
"""

from __future__ import annotations

from collections.abc import Callable

from tarry.codegen.depthwise_layout import (
    COPY_POINTERS,
    COPY_SLOTS,
    POINTERS,
    SLOTS,
    TABLE_FIELDS,
    TILE_COLUMNS,
    depthwise_symbols,
)
from tarry.codegen.depthwise_sums import ADD_PARAMETERS, SUM_PARAMETERS, AddFunction, SumFunction
from tarry.codegen.gemm_builder import KernelBuilder, Parameters, Values
from tarry.codegen.gemm_element import ELEMENTS, VectorTarget

FEW_COLUMNS = 3  # of a tile where an image is narrow, and with a window
MOST_AHEAD = 4  # rows, and places of a row, that are asked for ahead
WINDOW = 3  # elements along the last axis of kernels that have functions of their own
# Columns and vectors of channels in a tile, and the window it is for (0: any).
TILES = (
    (1, 4, 0),
    (FEW_COLUMNS, 2, 0),
    (TILE_COLUMNS, 2, 0),
    (FEW_COLUMNS, 2, WINDOW),
)


def write_depthwise(dtype: str, target: VectorTarget) -> str:
    """The text of the module of a dtype."""
    element = ELEMENTS[dtype]
    builders: list[KernelBuilder] = []

    def inner(name: str, parameters: Parameters) -> KernelBuilder:
        builders.append(KernelBuilder(name, element, target, parameters))
        return builders[-1]

    def kernel(symbol: str, slots: tuple[str, ...], pointers: tuple[str, ...], cold: bool) -> KernelBuilder:
        b = KernelBuilder(symbol, element, target, cold=cold)
        builders.append(b)
        for number, slot in enumerate(slots):
            kind = "ptr" if slot in pointers else "i64"
            at = b.entry_value(f"getelementptr i64, ptr %args, i64 {number}")
            b.entry.append(f"  %{slot} = load {kind}, ptr {at}")
        b.start()
        return b

    functions = {}
    for columns, vectors, window in TILES:
        build = inner(f"sum_columns{columns}_window{window}", SUM_PARAMETERS)
        SumFunction(build, columns, vectors, window, window == 0 and columns != FEW_COLUMNS).emit()
        functions[columns, window] = build.name
    added = inner("add_products", ADD_PARAMETERS)
    AddFunction(added, 4).emit()
    slide, correlate, combine, pack, widen = depthwise_symbols(dtype)
    Slide(kernel(slide, SLOTS, POINTERS, True), functions).write()
    Correlate(kernel(correlate, SLOTS, POINTERS, True), added.name).write()
    write_combine(kernel(combine, SLOTS, POINTERS, False))
    write_copy(kernel(pack, COPY_SLOTS, COPY_POINTERS, False), widens=False)
    write_copy(kernel(widen, COPY_SLOTS, COPY_POINTERS, False), widens=True)
    declarations = sorted(set().union(*(builder.declarations for builder in builders)))
    return "\n".join([builder.finish() for builder in builders] + declarations) + "\n"


class Geometry:
    """What the kernels compute about places along an axis. A row of numbers has a first and a count."""

    def __init__(self, build: KernelBuilder) -> None:
        self.build = build
        self.size = build.element.storage_bytes

    def reached(self, distance: str, step: str) -> str:
        """How many steps it takes from 0 to cover a distance; none if that is negative."""
        b = self.build
        return b.divide_up(b.maximum(distance, 0), step)

    def meet(self, axis: int, place: str) -> tuple[str, str, str]:
        """For a place of the result: the first element of the kernel that meets the image's grid, where, and
        how many such elements there are. The places may be outside the image."""
        b = self.build
        start = b.subtract(b.multiply(place, f"%stride{axis}"), f"%low{axis}")
        extent = f"%kernel_extent{axis}"
        found = b.entry_value("alloca i64, align 8")
        b.statement(f"store i64 {extent}, ptr {found}, align 8")

        def look(element: str) -> None:
            at = b.add(start, b.multiply(element, f"%dilation{axis}"))
            on_grid = b.compare("eq", b.integer("srem", at, f"%between{axis}"), 0)
            known = b.value(f"load i64, ptr {found}, align 8")
            better = b.both(on_grid, b.compare("slt", element, known))
            b.statement(f"store i64 {b.select(better, element, known)}, ptr {found}, align 8")

        b.repeat(0, b.minimum(f"%skip{axis}", extent), 1, look)
        first = b.value(f"load i64, ptr {found}, align 8")
        at = b.add(start, b.multiply(first, f"%dilation{axis}"))
        count = self.reached(b.subtract(extent, first), f"%skip{axis}")
        return first, b.integer("sdiv", at, f"%between{axis}"), count

    def inside(self, axis: int, at: str, count: str) -> tuple[str, str]:
        """Of `count` places from `at` on, `hop` apart: those before the image, those up to its end."""
        b = self.build
        before = b.minimum(count, self.reached(b.subtract(0, at), f"%hop{axis}"))
        until = self.reached(b.subtract(f"%image_extent{axis}", at), f"%hop{axis}")
        return before, b.maximum(before, b.minimum(count, until))

    def clipped(
        self, axis: int, place: str, low: str | None = None, high: str | None = None
    ) -> tuple[str, str, str]:
        """First element of the kernel, first place in the image, and count of what is inside the image, for a
        place of the result; of the elements of the kernel from low to before high, if given."""
        b = self.build
        first, at, count = self.meet(axis, place)
        before, until = self.inside(axis, at, count)
        if low is not None and high is not None:
            before = b.maximum(before, self.reached(b.subtract(low, first), f"%skip{axis}"))
            until = b.minimum(until, self.reached(b.subtract(high, first), f"%skip{axis}"))
        first = b.add(first, b.multiply(before, f"%skip{axis}"))
        at = b.add(at, b.multiply(before, f"%hop{axis}"))
        return first, at, b.maximum(b.subtract(until, before), 0)

    def steps(self, kernel_bytes: int) -> tuple[Values, Values]:
        """Bytes from one element of the kernel to the next that is used, in the image and in the kernel."""
        b = self.build
        image = [
            b.multiply(b.multiply(f"%hop{axis}", f"%image_stride{axis}"), self.size) for axis in range(3)
        ]
        kernel = [
            b.multiply(b.multiply(f"%skip{axis}", f"%kernel_stride{axis}"), kernel_bytes) for axis in range(3)
        ]
        return image, kernel

    def kernel_offset(self, axis: int, element: str) -> str:
        return self.build.multiply(element, f"%kernel_stride{axis}")

    def image_offset(self, axis: int, place: str) -> str:
        return self.build.multiply(place, f"%image_stride{axis}")


class Slide:
    """Writes the kernel that computes rows of results."""

    def __init__(self, build: KernelBuilder, functions: dict[tuple[int, int], str]) -> None:
        self.build = build
        self.functions = functions
        self.geometry = Geometry(build)
        self.steps = self.geometry.steps(build.element.accumulator_bytes)
        rows, places = (build.minimum(f"%advance{axis}", MOST_AHEAD) for axis in (1, 2))
        pitches = [build.multiply(f"%image_stride{axis}", self.geometry.size) for axis in (1, 2)]
        self.ahead = [build.multiply(rows, places), places, *pitches]

    def write(self) -> None:
        b = self.build
        rows = b.multiply(b.multiply("%batch", "%result_extent0"), "%result_extent1")
        first = b.integer("udiv", b.multiply("%chunk", rows), "%chunks")
        last = b.integer("udiv", b.multiply(b.add("%chunk", 1), rows), "%chunks")
        b.repeat(first, last, 1, self._row)

    def _row(self, row: str) -> None:
        b, g = self.build, self.geometry
        upper, place1 = b.divide(row, "%result_extent1")
        number, place0 = b.divide(upper, "%result_extent0")
        first0, at0, count0 = g.clipped(0, place0)
        first1, at1, count1 = g.clipped(1, place1)
        self.counts = [count0, count1]
        offset = b.multiply(number, "%image_batch")
        offset = b.add(offset, b.add(g.image_offset(0, at0), g.image_offset(1, at1)))
        self.image = b.stored("%image", offset)
        self.kernel = b.accumulated("%kernel", b.add(g.kernel_offset(0, first0), g.kernel_offset(1, first1)))
        columns = b.multiply(row, "%result_extent2")
        self.result = b.stored("%result", b.multiply(columns, "%channels"))
        b.repeat(0, b.minimum("%period2", "%result_extent2"), 1, self._phase)

    def _phase(self, phase: str) -> None:
        """The columns of a row that meet the same elements of the kernel."""
        b, g = self.build, self.geometry
        self.first, self.at, self.count = g.meet(2, phase)
        self.start = b.stored(self.result, b.multiply(phase, "%channels"))
        self.advance = b.multiply(b.multiply("%advance2", "%image_stride2"), g.size)
        self.column = b.multiply(b.multiply("%period2", "%channels"), g.size)
        columns = b.divide_up(b.subtract("%result_extent2", phase), "%period2")
        low = b.minimum(columns, g.reached(b.subtract(0, self.at), "%advance2"))
        over = b.multiply(b.subtract(self.count, 1), "%hop2")
        room = b.subtract(b.subtract("%image_extent2", over), self.at)
        high = b.maximum(low, b.minimum(columns, g.reached(room, "%advance2")))

        def block(channel: str) -> None:
            span = channel, b.minimum("%channels", b.add(channel, "%block"))
            b.repeat(0, low, 1, lambda column: self._edge(column, span))
            self._middle(low, high, span)
            b.repeat(high, columns, 1, lambda column: self._edge(column, span))

        b.repeat(0, "%channels", "%block", block)

    def _edge(self, column: str, span: tuple[str, str]) -> None:
        """A column that sees less than the whole window."""
        b, g = self.build, self.geometry
        at = b.add(self.at, b.multiply(column, "%advance2"))
        before, until = g.inside(2, at, self.count)
        self._call((1, 0), column, 1, span, before, b.subtract(until, before))

    def _middle(self, low: str, high: str, span: tuple[str, str]) -> None:
        """Columns that see the whole window, in tiles; the last tile may overlap the one before it."""
        b = self.build
        extent = b.subtract(high, low)

        near = b.compare("eq", self.steps[0][2], self.advance)
        windowed = b.both(near, b.compare("eq", self.count, WINDOW))

        def tiles(columns: int, window: int) -> None:
            whole = b.integer("udiv", extent, columns)
            function = columns, window
            self._call(function, low, whole, span, "0", self.count)
            rest = b.compare("slt", b.multiply(whole, columns), extent)
            last = b.subtract(high, columns)
            again = b.value(f"zext i1 {rest} to i64")
            self._call(function, last, again, span, "0", self.count)

        def any_window() -> None:
            wide = b.compare("sge", extent, TILE_COLUMNS)
            b.choose(wide, lambda: tiles(TILE_COLUMNS, 0), lambda: tiles(FEW_COLUMNS, 0))

        def several() -> None:
            b.choose(windowed, lambda: tiles(FEW_COLUMNS, WINDOW), any_window)

        def vectors() -> None:
            b.choose(b.compare("sge", extent, FEW_COLUMNS), several, lambda: tiles(1, 0))

        def scalars() -> None:
            wide = b.compare("sge", extent, TILE_COLUMNS)
            b.choose(wide, lambda: tiles(TILE_COLUMNS, 0), lambda: tiles(1, 0))

        b.choose(b.compare("sge", "%channels", b.lanes), vectors, scalars)

    def _call(
        self,
        function: tuple[int, int],
        column: str,
        tiles: str | int,
        span: tuple[str, str],
        skipped: str,
        count: str,
    ) -> None:
        b, g = self.build, self.geometry
        at = b.add(b.add(self.at, b.multiply(column, "%advance2")), b.multiply(skipped, "%hop2"))
        first = b.add(self.first, b.multiply(skipped, "%skip2"))
        image = b.stored(self.image, g.image_offset(2, at))
        kernel = b.accumulated(self.kernel, g.kernel_offset(2, first))
        result = b.address(self.start, b.multiply(column, self.column), "i8")
        counts = [*self.counts, count]
        b.call(
            self.functions[function],
            SUM_PARAMETERS,
            [image, kernel, result, *counts, *self.steps[0], *self.steps[1], self.advance, self.column,
             *self.ahead, tiles, *span],
        )  # fmt: skip


class Correlate:
    """Writes the kernel that sums over images and rows: each chunk into partial sums of its own."""

    def __init__(self, build: KernelBuilder, function: str) -> None:
        self.build = build
        self.function = function
        self.geometry = Geometry(build)
        self.steps = self.geometry.steps(build.element.storage_bytes)

    def write(self) -> None:
        b = self.build
        blocks = b.divide_up("%kernel_extent1", "%height")
        items = b.multiply(b.multiply("%batch", "%kernel_extent0"), blocks)
        first = b.integer("udiv", b.multiply("%chunk", items), "%chunks")
        last = b.integer("udiv", b.multiply(b.add("%chunk", 1), items), "%chunks")
        size = result_size(b)
        self.sums = b.accumulated(partial_sums(b, "%chunks"), b.multiply("%chunk", size))
        clear(b, self.sums, size)
        entries = b.multiply("%result_extent2", TABLE_FIELDS)
        self.table = b.address("%partial", b.multiply("%chunk", entries), "i64")
        b.repeat(0, "%result_extent2", 1, self._tabulate)

        def item(number: str) -> None:
            upper, block = b.divide(number, blocks)
            self.image_number, self.row0 = b.divide(upper, "%kernel_extent0")
            self.low = b.multiply(block, "%height")
            self.high = b.minimum("%kernel_extent1", b.add(self.low, "%height"))
            b.repeat(0, "%result_extent0", 1, self._outer)

        b.repeat(first, last, 1, item)

    def _tabulate(self, place: str) -> None:
        """The entry of the table for a place of the last axis."""
        b, g = self.build, self.geometry
        first, at, count = g.clipped(2, place)
        image = b.multiply(g.image_offset(2, at), g.size)
        kernel = b.multiply(g.kernel_offset(2, first), g.size)
        entry = b.address(self.table, b.multiply(place, TABLE_FIELDS), "i64")
        for field, value in enumerate((image, kernel, count)):
            b.statement(f"store i64 {value}, ptr {b.address(entry, field, 'i64')}")

    def _outer(self, place0: str) -> None:
        b, g = self.build, self.geometry
        first0, at0, depth = g.clipped(0, place0, self.row0, b.add(self.row0, 1))

        def middle(place1: str) -> None:
            first1, at1, rows = g.clipped(1, place1, self.low, self.high)
            image = b.add(b.multiply(self.image_number, "%image_batch"), g.image_offset(0, at0))
            kernel = b.add(b.multiply(self.image_number, "%kernel_batch"), g.kernel_offset(0, first0))
            image = b.stored("%image", b.add(image, g.image_offset(1, at1)))
            kernel = b.stored("%kernel", b.add(kernel, g.kernel_offset(1, first1)))
            place = b.multiply(b.add(b.multiply(place0, "%result_extent1"), place1), "%result_extent2")
            sums = b.accumulated(self.sums, b.multiply(place, "%channels"))
            steps = [*self.steps[0][1:], *self.steps[1][1:]]
            arguments = [image, kernel, sums, self.table, "%result_extent2", rows, *steps, "%channels"]
            b.call(self.function, ADD_PARAMETERS, [*arguments, 0, "%channels"])

        b.choose(b.compare("sgt", depth, 0), lambda: b.repeat(0, "%result_extent1", 1, middle), lambda: None)


def result_size(b: KernelBuilder) -> str:
    """The elements of a result of `correlate`."""
    places = b.multiply(b.multiply("%result_extent0", "%result_extent1"), "%result_extent2")
    return b.multiply(places, "%channels")


def partial_sums(b: KernelBuilder, parts: str) -> str:
    """Where the sums of all parts are: behind their tables, in cache lines of their own."""
    size = b.multiply(b.multiply(parts, "%result_extent2"), 8 * TABLE_FIELDS)
    return b.address("%partial", b.round_down(b.add(size, 63), 64), "i8")


def clear(b: KernelBuilder, sums: str, size: str) -> None:
    """Set sums to zero."""
    whole = b.round_down(size, b.lanes)
    b.repeat(0, whole, b.lanes, lambda at: b.store_plain(b.zero(b.lanes), b.accumulated(sums, at), b.lanes))
    b.repeat(whole, size, 1, lambda at: b.store_plain(b.zero(1), b.accumulated(sums, at), 1))


def write_combine(b: KernelBuilder) -> None:
    """A kernel that adds partial sums up, in order; how many there are is in the slot `batch`."""
    size = result_size(b)
    sums = partial_sums(b, "%batch")
    whole = b.integer("udiv", size, b.lanes)
    first = b.integer("udiv", b.multiply("%chunk", whole), "%chunks")
    last = b.integer("udiv", b.multiply(b.add("%chunk", 1), whole), "%chunks")

    def add_up(lanes: int) -> Callable[[str], None]:
        kind = b.accumulator_vector(lanes)

        def element(number: str) -> None:
            at = b.multiply(number, lanes)

            def part(index: str, total: Values) -> Values:
                place = b.accumulated(sums, b.add(b.multiply(index, size), at))
                return [b.value(f"fadd {kind} {total[0]}, {b.load_plain(place, lanes)}")]

            first_part = b.load_plain(b.accumulated(sums, at), lanes)
            b.store_stored(b.loop(1, "%batch", 1, [(kind, first_part)], part), b.stored("%result", at), lanes)

        return element

    b.repeat(first, last, 1, add_up(b.lanes))
    ends = b.compare("eq", b.add("%chunk", 1), "%chunks")
    rest = b.select(ends, size, 0)
    b.repeat(b.multiply(whole, b.lanes), rest, 1, add_up(1))


def write_copy(b: KernelBuilder, widens: bool) -> None:
    """A kernel that copies an array of five axes to row-major memory, `widens`: in accumulator precision.

    Chunks share out the first three axes.
    """
    outer = b.multiply(b.multiply("%extent0", "%extent1"), "%extent2")
    first = b.integer("udiv", b.multiply("%chunk", outer), "%chunks")
    last = b.integer("udiv", b.multiply(b.add("%chunk", 1), outer), "%chunks")
    kind = b.element.storage

    def row(number: str) -> None:
        upper, index2 = b.divide(number, "%extent2")
        index0, index1 = b.divide(upper, "%extent1")
        start = b.dot([index0, index1, index2], ["%stride0", "%stride1", "%stride2"])

        def place(index3: str) -> None:
            at = b.add(start, b.multiply(index3, "%stride3"))
            target = b.multiply(b.add(b.multiply(number, "%extent3"), index3), "%extent4")

            def element(index4: str) -> None:
                source = b.stored("%source", b.add(at, b.multiply(index4, "%stride4")))
                cell = b.add(target, index4)
                if widens:
                    (value,) = b.load_stored(source, 1)
                    b.store_plain(value, b.accumulated("%target", cell), 1)
                else:
                    value = b.value(f"load {kind}, ptr {source}")
                    b.statement(f"store {kind} {value}, ptr {b.stored('%target', cell)}")

            b.repeat(0, "%extent4", 1, element)

        b.repeat(0, "%extent3", 1, place)

    b.repeat(first, last, 1, row)
