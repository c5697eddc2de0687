"""Data that pass the caches by: results larger than any cache keeps, and rows that are fetched ahead.

A store first reads the cache line it changes, and a result of many megabytes drives the operands out of the
caches. Results of STREAM_BYTES and more therefore go straight to memory where they are written in whole
aligned vectors. Measured with 32 MiB of last-level cache: better from 12 MiB on, even for a reader that
follows at once, worse below 8 MiB. The kernel decides when it runs, from the extents of its loops.

A processor fetches ahead within a page of 4096 bytes, and not while it works on what it has: a row that
several passes read stalls the first of them. The last pass asks for the rows that come AHEAD_BYTES later.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from tarry.codegen.emit_analysis import LINE_BYTES, regular_step, walk
from tarry.codegen.emit_writer import Operand, Writer, integer
from tarry.loops.ir import Access, Coefficient, Instr, Linear, Loop, LoopVar, Statement, Store

AHEAD_BYTES = 8192
# Where the system does not tell.
USUAL_CACHE_BYTES = 32 << 20


def _last_level_cache() -> int:
    names = getattr(os, "sysconf_names", {})
    try:
        found = os.sysconf("SC_LEVEL3_CACHE_SIZE") if "SC_LEVEL3_CACHE_SIZE" in names else 0
    except (OSError, ValueError):
        found = 0
    return found if found > 0 else USUAL_CACHE_BYTES


STREAM_BYTES = _last_level_cache() // 8 * 3


def read_back(statements: Sequence[Statement]) -> set[int]:
    """Ids of the buffers that are loaded from."""
    accesses = [s.attribute for s in walk(statements) if isinstance(s, Instr) and s.op == "load"]
    return {id(access.buffer) for access in accesses if isinstance(access, Access)}


def may_stream(store: Store, variable: LoopVar) -> bool:
    """Whether a store in the vector loop over `variable` writes whole vectors of a result."""
    access = store.access
    if access.buffer.mode != "out" or store.guard is not None or access.buffer.dtype.kind == "c":
        return False
    return regular_step(access.position, variable) == (1, False)


def loads_ahead(loop: Loop, live: set[int]) -> dict[int, Loop]:
    """The loads, by id, that also fetch what later iterations of the parallel loop need; with their loops.

    One for each operand of the rows: in the last of several passes that read it.
    """
    loops = [s for s in loop.body if isinstance(s, Loop) and s.vector and id(s) in live]
    passes = [each for each in loops if isinstance(each.extent, Coefficient)]
    if len(passes) < 2:
        return {}
    last: dict[int, tuple[int, Loop]] = {}
    for each in passes:
        found: dict[int, tuple[int, Loop]] = {}
        for statement in each.body:
            if isinstance(statement, Instr) and id(statement) in live and _is_of_row(statement, each, loop):
                access = statement.attribute
                assert isinstance(access, Access)
                found.setdefault(id(access.buffer), (id(statement), each))
        last.update(found)
    return dict(last.values())


def _is_of_row(instr: Instr, vector: Loop, parallel: Loop) -> bool:
    access = instr.attribute
    if instr.op != "load" or instr.args or not isinstance(access, Access):
        return False
    if access.buffer.mode != "in" or access.buffer.dtype.kind == "c":
        return False
    if regular_step(access.position, vector.var) != (1, False):
        return False
    return regular_step(access.position, parallel.var) != (0, False)


def row_stride(position: Linear, variable: LoopVar) -> Linear | None:
    """What the parallel loop's variable is multiplied with, as a position without variables."""
    for factor, coefficient in position.terms:
        if factor is variable:
            return Linear(((None, coefficient),))
    return None


def distance_ahead(writer: Writer, row_bytes: Operand, stride_bytes: Operand | None) -> Operand:
    """How far on the data lie that are read AHEAD_BYTES later: whole rows, if they are short."""
    ahead = integer(AHEAD_BYTES)
    if stride_bytes is None:
        return ahead
    rows = writer.binary("udiv", ahead, writer.intrinsic("umax", row_bytes, integer(1)))
    short = writer.binary("icmp ne", rows, integer(0), "i1")
    return writer.select(short, writer.multiply(rows, stride_bytes), ahead)


def alignment_bits(writer: Writer, extents: Sequence[Operand], size: int, vector_bytes: int) -> Operand:
    """The bits of an address that must be 0 for a store to go straight to memory: all when it should not."""
    total = integer(size)
    for extent in extents:
        total = writer.multiply(total, extent)
    large = writer.binary("icmp sge", total, integer(STREAM_BYTES), "i1")
    return writer.select(large, integer(vector_bytes - 1), integer(-1))


def prefetch(writer: Writer, pointer: Operand, distance: Operand, count: int) -> None:
    """Ask for the `count` bytes that lie `distance` bytes after the pointer."""
    writer.module.declare("void @llvm.prefetch.p0(ptr, i32, i32, i32)")
    text = f"getelementptr i8, {pointer.typed}, {distance.typed}"
    first = writer.pure("ptr", 0, text, pointer, distance)
    for offset in range(0, count, LINE_BYTES):
        address = first
        if offset:
            address = writer.pure("ptr", 0, f"getelementptr i8, {first.typed}, i64 {offset}", first)
        writer.line(f"call void @llvm.prefetch.p0({address.typed}, i32 0, i32 3, i32 1)")


def streaming_store(
    writer: Writer, value: Operand, pointer: Operand, size: int, bits: Operand, vector_bytes: int
) -> None:
    """A store past the caches where none of the `bits` are set in the address, else an ordinary one."""
    address = writer.convert("ptrtoint", pointer, "i64")
    set_bits = writer.binary("and", address, bits)
    aligned = writer.binary("icmp eq", set_bits, integer(0), "i1")
    past, through, following = (writer.new_block(name) for name in ("past", "through", "stored"))
    writer.branch_if(aligned, past, through)
    around = f"align {vector_bytes}, !nontemporal !{{i32 1}}"
    for block, ending in ((past, around), (through, f"align {size}")):
        writer.place(block)
        block.lines.append(f"store {value.typed}, {pointer.typed}, {ending}")
        block.terminator = f"br label %{following.label}"
    writer.enter(following)


def finish_streams(writer: Writer) -> None:
    """Order the stores past the caches before whatever tells others that they are done."""
    writer.module.declare("void @llvm.x86.sse.sfence()")
    writer.line("call void @llvm.x86.sse.sfence()")
