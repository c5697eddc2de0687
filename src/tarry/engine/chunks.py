"""How many chunks a kernel is cut into: by sizes alone, so that results do not depend on threads."""

from __future__ import annotations

from collections.abc import Sequence

from tarry.compiler.lowered import Parts, Work
from tarry.compiler.schedule import fold_count, part_height, strip_width, wide_strip

# Additions worth a chunk of their own: two to five microseconds of one core.
CHUNK_COST = 1 << 15
MOST_CHUNKS = 64
# Chunks of a loop that is also the vector loop start at multiples of this (codegen.emit).
VECTOR_CHUNK = 64


def chunk_count(work: Work, arguments: Sequence[int]) -> int:
    """The number of chunks for these sizes: at most one for each piece of the parallel loop."""
    if work.extent is None:
        return 1
    extent = work.extent.evaluate(arguments)
    cost = extent * work.inner.evaluate(arguments) * max(1, work.cost)
    pieces = -(-extent // VECTOR_CHUNK) if work.vector else extent
    for poly, block in work.blocks:
        covered = poly.evaluate(arguments)
        width = strip_width(covered) if work.parts is None else wide_strip(covered)
        pieces *= -(-covered // (block or width))
    if work.parts is not None:
        pieces *= _part_count(work, work.parts, pieces, arguments)
    return max(1, min(pieces, MOST_CHUNKS, cost // CHUNK_COST))


def _part_count(work: Work, parts: Parts, units: int, arguments: Sequence[int]) -> int:
    """Into how many parts the rows of each of so many strips are cut (the kernel computes the same)."""
    rows = parts.rows.evaluate(arguments)
    (poly, _), *_ = work.blocks
    columns = poly.evaluate(arguments)
    if parts.folds and work.extent is not None:
        folded = fold_count(rows, columns, work.extent.evaluate(arguments))
        rows, columns = rows // folded, columns * folded
    elements = rows * parts.more.evaluate(arguments) * wide_strip(columns)
    height = part_height(rows, parts.step, units, elements)
    return max(1, -(-rows // height))
