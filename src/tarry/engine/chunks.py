"""How many chunks a kernel is cut into: by sizes alone, so that results do not depend on threads."""

from __future__ import annotations

from collections.abc import Sequence

from tarry.compiler.lowered import Work
from tarry.compiler.schedule import strip_width

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
        pieces *= -(-covered // (block or strip_width(covered)))
    return max(1, min(pieces, MOST_CHUNKS, cost // CHUNK_COST))
