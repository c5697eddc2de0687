"""Lowering by tiles: elementwise work on an operand that is contiguous along another axis than the rest.

    for each tile (parallel)
      for each column of the tile (vector)
        for each row of the tile

Along its rows a tile is as long as a cache line of the transposed operand, so every line is read once; the
emitter reads it along the rows and transposes in registers.
"""

from __future__ import annotations

from tarry.base.dtypes import int64
from tarry.compiler.group import Group
from tarry.compiler.lower_rows import GroupLowering
from tarry.compiler.lowered import Work
from tarry.compiler.program import Value
from tarry.compiler.schedule import TILE_COLUMNS, TILE_ROWS, LoopAxis
from tarry.loops.builder import linear
from tarry.loops.ir import Coefficient, Instr, Loop
from tarry.loops.poly import product


class TileLowering(GroupLowering):
    """Lowers a group without reduced axes; `rows` is the loop along which the operand is contiguous."""

    def __init__(
        self, name: str, group: Group, live: set[Value], heirs: set[Value], rows: LoopAxis
    ) -> None:
        super().__init__(name, group, live, heirs)
        self.columns = self.schedule.outer[-1]
        # The loop was found in a schedule of the same axes.
        self.rows = next(loop for loop in self.schedule.outer if loop.axis == rows.axis)
        self.others = [loop for loop in self.schedule.outer[:-1] if loop is not self.rows]

    def _open_rows(self) -> list[Loop]:
        builder = self.builder
        rows = self.emission.size("rows", self.rows.extent)
        columns = self.emission.size("columns", self.columns.extent)
        row_tiles = self.tiles(rows, TILE_ROWS)
        column_tiles = self.tiles(columns, TILE_COLUMNS)
        count = builder.mul(row_tiles, column_tiles)
        if self.others:
            outside = product([loop.extent for loop in self.others])
            count = builder.mul(count, self.emission.size("others", outside))
        opened = [builder.open_loop(count, parallel=True)]
        self.emission.open_scope()
        number = builder.index(linear((opened[0].var, Coefficient(1))))
        row_tile = builder.apply("mod", number, row_tiles)
        number = builder.apply("floordiv", number, row_tiles)
        column_tile = number
        if self.others:
            column_tile = builder.apply("mod", number, column_tiles)
            self._split(builder.apply("floordiv", number, column_tiles), self.others)
        width = self.within(columns, column_tile, TILE_COLUMNS)
        height = self.within(rows, row_tile, TILE_ROWS)
        for loop_axis, tile, size, extent in (
            (self.columns, column_tile, TILE_COLUMNS, width),
            (self.rows, row_tile, TILE_ROWS, height),
        ):
            loop = builder.open_loop(extent, vector=loop_axis is self.columns)
            self.emission.open_scope()
            opened.append(loop)
            place = builder.index(linear((tile, Coefficient(size)), (loop.var, Coefficient(1))))
            self._assign(loop_axis, place)
        return opened

    def tiles(self, extent: Instr, size: int) -> Instr:
        """How many tiles of a size cover an extent."""
        builder = self.builder
        rounded = builder.add(extent, builder.const(size - 1, int64))
        return builder.apply("floordiv", rounded, builder.const(size, int64))

    def within(self, extent: Instr, tile: Instr, size: int) -> Instr:
        """How much of a tile lies within the extent."""
        builder = self.builder
        start = builder.index(linear((tile, Coefficient(size))))
        return builder.apply("min", builder.sub(extent, start), builder.const(size, int64))

    def _work(self) -> Work:
        outside = product([loop.extent for loop in self.others])
        inner = self.rows.extent * self.columns.extent
        tiles = ((self.rows.extent, TILE_ROWS), (self.columns.extent, TILE_COLUMNS))
        return Work(outside, inner, self._cost(), False, tiles)
