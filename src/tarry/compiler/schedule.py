"""Which loops a group gets: adjacent axes that every access steps through as one are collapsed, then one
axis becomes the vector loop and the outermost ones the parallel loop.

The vector axis is the innermost one: the last reduced axis when the last axis is reduced, else the last
axis that is not; or the one along which most loads are contiguous. Decisions depend on structure (symbolic
strides), never on sizes; the widths of strips are computed from sizes when the kernel runs.

  rows     each iteration of the parallel loop takes a row, passes over the row are vector loops
  columns  reductions over outer axes: a strip of columns at a time, BLOCK_ROWS rows of it at a time
  tiles    elementwise work with a transposed operand: tiles of TILE_ROWS x TILE_COLUMNS
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.loops.poly import ONE, ZERO, Affine, Poly

# Rows of a strip whose elements are added up in registers before they meet the totals.
BLOCK_ROWS = 8
# A strip is wide enough for long reads, best a page of each row, and narrow enough for totals in L1. Fewer
# strips than STRIPS would leave a second thread without work.
LEAST_STRIP = 64
MOST_STRIP = 1024
STRIPS = 2
# Where rows can be reduced in parts, there are about PARTS pieces of work, each of PART_ELEMENTS at least.
PARTS = 16
PART_ELEMENTS = 1 << 15
# Rows of few columns are taken side by side, as many as make a row of FOLDED_STRIP.
MOST_FOLDED = 64
FOLDED_STRIP = 256
# One cache line of the transposed operand, by a few lines of the others.
TILE_ROWS = 16
TILE_COLUMNS = 64


def strip_width(columns: int) -> int:
    """How many columns are reduced together (`lower_columns` computes the same in the kernel)."""
    return max(LEAST_STRIP, min(MOST_STRIP, columns // STRIPS & -LEAST_STRIP))


def wide_strip(columns: int) -> int:
    """The width of a strip whose rows are cut into parts: as wide as totals in L1 allow."""
    return max(LEAST_STRIP, min(MOST_STRIP, -(-columns // LEAST_STRIP) * LEAST_STRIP))


def part_height(rows: int, step: int, units: int, elements: int) -> int:
    """How many rows make a part, a multiple of `step`; there are `units` of `elements` before cutting."""
    wanted = max(1, min(PARTS // max(1, units), elements // PART_ELEMENTS))
    each = (rows + wanted - 1) // wanted
    return max(step, -(-each // step) * step)


def fold_count(rows: int, columns: int, others: int) -> int:
    """How many rows that lie one after the other in memory are taken as one."""
    if columns > MOST_FOLDED or others > PARTS or rows * columns < PART_ELEMENTS:
        return 1
    return FOLDED_STRIP // max(1, columns)


class LoopAxis:
    """One loop after collapsing: `axes` run together, outermost first; the last one stands for all."""

    __slots__ = ("axes", "extent")

    def __init__(self, axes: list[int], extent: Poly) -> None:
        self.axes = axes
        self.extent = extent

    @property
    def axis(self) -> int:
        return self.axes[-1]


class Schedule:
    """The loops of a group: `outer` ones make rows, `inner` ones run over a row.

    `vector_outer` says that the vector loop is the last outer one, so that each lane has its own row.
    """

    __slots__ = ("inner", "outer", "vector_outer")

    def __init__(self, outer: list[LoopAxis], inner: list[LoopAxis], vector_outer: bool) -> None:
        self.outer = outer
        self.inner = inner
        self.vector_outer = vector_outer

    @property
    def parallel(self) -> list[LoopAxis]:
        """The loops that are run through as one parallel loop."""
        return self.outer[:-1] if self.vector_outer else self.outer


def schedule_axes(
    space: Sequence[Poly],
    outer: Sequence[int],
    inner: Sequence[int],
    places: Sequence[Affine],
    loads: Sequence[Affine],
) -> Schedule:
    """The schedule of a group; `places` are all the linear expressions its axes occur in, `loads` those of
    what it reads."""
    outer_loops = collapse(space, outer, places)
    inner_loops = collapse(space, inner, places)
    last = len(space) - 1
    vector_outer = bool(outer_loops) and last not in inner
    if outer_loops and inner_loops and not vector_outer:
        vector_outer = _prefers(loads, outer_loops[-1].axis, inner_loops[-1].axis)
    return Schedule(outer_loops, inner_loops, vector_outer)


def _prefers(loads: Sequence[Affine], axis: int, other: int) -> bool:
    """Whether more loads are contiguous along `axis` than along `other`."""
    both = [p for p in loads if p.coefficient(axis) != ZERO and p.coefficient(other) != ZERO]
    along = [place for place in both if place.coefficient(axis) == ONE]
    against = [place for place in both if place.coefficient(other) == ONE]
    return len(along) > len(against)


def tile_loop(schedule: Schedule, loads: Sequence[Affine]) -> LoopAxis | None:
    """The loop along which an operand is contiguous that is strided along the vector loop, if any."""
    if schedule.inner or len(schedule.outer) < 2:
        return None
    last = schedule.outer[-1].axis
    for place in loads:
        if place.coefficient(last) in (ZERO, ONE):
            continue
        for loop in schedule.outer[:-1]:
            if place.coefficient(loop.axis) == ONE:
                return loop
    return None


def collapse(space: Sequence[Poly], axes: Sequence[int], places: Sequence[Affine]) -> list[LoopAxis]:
    """The axes as loops, adjacent ones joined where every place steps through them as through one."""
    loops: list[LoopAxis] = []
    for axis in axes:
        extent = space[axis]
        if loops and loops[-1].axis == axis - 1 and _joins(loops[-1].axis, axis, extent, places):
            loops[-1] = LoopAxis([*loops[-1].axes, axis], loops[-1].extent * extent)
        else:
            loops.append(LoopAxis([axis], extent))
    return loops


def _joins(outer: int, inner: int, extent: Poly, places: Sequence[Affine]) -> bool:
    return all(
        place.coefficient(outer) == place.coefficient(inner) * extent for place in places if place.terms
    )
