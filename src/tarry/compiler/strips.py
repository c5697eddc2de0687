"""Sizes of strips of columns and of parts of rows, computed in the kernel as `schedule` does in Python."""

from __future__ import annotations

from tarry.base.dtypes import int64
from tarry.compiler.emission import Emission
from tarry.compiler.schedule import (
    FOLDED_STRIP,
    LEAST_STRIP,
    MOST_FOLDED,
    MOST_STRIP,
    PART_ELEMENTS,
    PARTS,
    STRIPS,
)
from tarry.loops.ir import Instr
from tarry.loops.poly import Poly


def open_strips(emission: Emission, extent: Poly) -> tuple[Instr, Instr, Instr]:
    """The number of columns, the width of a strip (schedule.strip_width), and the number of strips."""
    builder = emission.builder
    columns = emission.size("columns", extent)
    part = builder.apply("floordiv", columns, builder.const(STRIPS, int64))
    whole = builder.apply("and", part, builder.const(-LEAST_STRIP, int64))
    width = builder.apply("min", whole, builder.const(MOST_STRIP, int64))
    width = builder.apply("max", width, builder.const(LEAST_STRIP, int64))
    rounded = builder.sub(builder.add(columns, width), builder.const(1, int64))
    return columns, width, builder.apply("floordiv", rounded, width)


def open_wide_strips(emission: Emission, columns: Instr) -> tuple[Instr, Instr, Instr]:
    """The number of columns, the width of a strip (schedule.wide_strip), and the number of strips."""
    builder = emission.builder
    least = builder.const(LEAST_STRIP, int64)
    whole = builder.mul(builder.apply("floordiv", rounded_up(emission, columns, least), least), least)
    width = builder.apply("min", whole, builder.const(MOST_STRIP, int64))
    width = builder.apply("max", width, least)
    return columns, width, builder.apply("floordiv", rounded_up(emission, columns, width), width)


def rounded_up(emission: Emission, value: Instr, step: Instr) -> Instr:
    """What has to be divided by `step` for a quotient that is rounded up."""
    builder = emission.builder
    return builder.sub(builder.add(value, step), builder.const(1, int64))


def open_parts(
    emission: Emission, rows: Instr, step: int, units: Instr, elements: Instr
) -> tuple[Instr, Instr]:
    """The height of a part (schedule.part_height) and the number of parts."""
    builder = emission.builder
    one, steps = builder.const(1, int64), builder.const(step, int64)
    most = builder.apply("floordiv", builder.const(PARTS, int64), builder.apply("max", units, one))
    worth = builder.apply("floordiv", elements, builder.const(PART_ELEMENTS, int64))
    wanted = builder.apply("max", builder.apply("min", most, worth), one)
    height = builder.apply("floordiv", rounded_up(emission, rows, wanted), wanted)
    height = builder.mul(builder.apply("floordiv", rounded_up(emission, height, steps), steps), steps)
    height = builder.apply("max", height, steps)
    parts = builder.apply("floordiv", rounded_up(emission, rows, height), height)
    return height, builder.apply("max", parts, one)


def open_fold(emission: Emission, rows: Instr, columns: Instr, others: Instr) -> Instr:
    """How many rows are taken as one (schedule.fold_count)."""
    builder = emission.builder
    one = builder.const(1, int64)
    narrow = builder.apply("le", columns, builder.const(MOST_FOLDED, int64))
    few = builder.apply("le", others, builder.const(PARTS, int64))
    large = builder.apply("ge", builder.mul(rows, columns), builder.const(PART_ELEMENTS, int64))
    side_by_side = builder.const(FOLDED_STRIP, int64)
    count = builder.apply("floordiv", side_by_side, builder.apply("max", columns, one))
    return builder.select(builder.logical_and(narrow, builder.logical_and(few, large)), count, one)
