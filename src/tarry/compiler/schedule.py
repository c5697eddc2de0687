"""Which loops a group gets: adjacent axes that every access steps through as one are collapsed, then one
axis becomes the vector loop and the outermost ones the parallel loop.

The vector axis is the innermost one: the last reduced axis when the last axis is reduced, else the last
axis that is not. Decisions depend on structure (symbolic strides), never on sizes.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.loops.poly import Affine, Poly


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
    space: Sequence[Poly], outer: Sequence[int], inner: Sequence[int], places: Sequence[Affine]
) -> Schedule:
    """The schedule of a group; `places` are all the linear expressions its axes occur in."""
    outer_loops = collapse(space, outer, places)
    inner_loops = collapse(space, inner, places)
    last = len(space) - 1
    vector_outer = bool(outer_loops) and last not in inner
    return Schedule(outer_loops, inner_loops, vector_outer)


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
