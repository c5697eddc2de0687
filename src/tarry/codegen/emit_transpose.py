"""Transposed loads: a block of memory read along a serial loop and used along the lanes of a vector loop.

A load that is strided along the vector loop's variable and contiguous along a serial loop inside it would
fetch its lanes one by one. Instead, for every few iterations of the serial loop at once, each lane reads the
whole run of consecutive elements, and the square blocks are transposed in registers.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.codegen.emit_analysis import is_transposed
from tarry.codegen.emit_writer import Operand, Writer
from tarry.loops.ir import Instr, Loop, LoopVar
from tarry.loops.operations import cost_of

# A body that costs more (in additions) is not worth repeating: its loads are a small part of it.
MOST_REPEATED_COST = 64
MOST_BLOCK = 16


def transposed_loads(loop: Loop, lane_variable: LoopVar, live: set[int]) -> list[Instr]:
    """The loads of a serial loop's own body that are contiguous along it and strided along the lanes."""
    if any(isinstance(statement, Loop) for statement in loop.body):
        return []
    body = [s for s in loop.body if isinstance(s, Instr) and id(s) in live]
    if sum(cost_of(instr.op) for instr in body) > MOST_REPEATED_COST:
        return []
    return [instr for instr in body if is_transposed(instr, loop.var, lane_variable)]


def block_size(loads: Sequence[Instr], lanes: int, vector_bits: int) -> int:
    """How many iterations are taken together: the elements of one register."""
    widest = max(instr.dtype.size for instr in loads)
    return min(lanes, MOST_BLOCK, vector_bits // (8 * widest))


def transpose(writer: Writer, rows: Sequence[Operand]) -> list[Operand]:
    """From a vector of n elements for each lane, a vector of all lanes for each element."""
    size = rows[0].lanes
    columns: list[list[Operand]] = [[] for _ in range(size)]
    for start in range(0, len(rows), size):
        for number, column in enumerate(_transpose_square(writer, rows[start : start + size])):
            columns[number].append(column)
    return [concatenate(writer, parts) for parts in columns]


def _transpose_square(writer: Writer, rows: Sequence[Operand]) -> list[Operand]:
    """n vectors of n elements: blocks off the diagonal change places, halves first, then quarters, ..."""
    size = len(rows)
    current = list(rows)
    distance = size // 2
    while distance:
        upper = [lane if not lane & distance else size + lane - distance for lane in range(size)]
        lower = [lane + distance if not lane & distance else size + lane for lane in range(size)]
        following = list(current)
        for number in range(size):
            if not number & distance:
                a, b = current[number], current[number + distance]
                following[number] = _shuffle(writer, a, b, upper)
                following[number + distance] = _shuffle(writer, a, b, lower)
        current = following
        distance //= 2
    return current


def concatenate(writer: Writer, parts: Sequence[Operand]) -> Operand:
    """A power of two of equally long vectors, one after the other."""
    current = list(parts)
    while len(current) > 1:
        order = list(range(2 * current[0].lanes))
        current = [_shuffle(writer, a, b, order) for a, b in zip(current[::2], current[1::2])]
    return current[0]


def _shuffle(writer: Writer, a: Operand, b: Operand, order: Sequence[int]) -> Operand:
    lanes = ", ".join(f"i32 {lane}" for lane in order)
    text = f"shufflevector {a.typed}, {b.typed}, <{len(order)} x i32> <{lanes}>"
    return writer.pure(a.type, len(order), text, a, b)
