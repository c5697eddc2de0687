"""Lowering: a group becomes a loop nest, by rows, by columns or by tiles (see compiler.schedule)."""

from __future__ import annotations

from tarry.compiler.group import Group
from tarry.compiler.lower_columns import ColumnLowering, fits_columns
from tarry.compiler.lower_rows import GroupLowering, load_places
from tarry.compiler.lower_tiles import TileLowering
from tarry.compiler.lowered import LoweredKernel
from tarry.compiler.program import Value
from tarry.compiler.schedule import tile_loop


def lower_group(name: str, group: Group, live: set[Value], heirs: set[Value]) -> LoweredKernel:
    """The loop nest of a group that is not a kernel of its own kind; `live` are the values others read.

    `heirs` are values that are written over what the kernel reads.
    """
    lowering = GroupLowering(name, group, live, heirs)
    rows = tile_loop(lowering.schedule, load_places(group))
    if rows is not None:
        lowering = TileLowering(name, group, live, heirs, rows)
    elif fits_columns(group, lowering.schedule):
        lowering = ColumnLowering(name, group, live, heirs)
    return lowering.lower()
