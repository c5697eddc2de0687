"""Calls that run native code of their own: sorting and selection.

The operands lie in rows, row-major; the code gets the addresses of rows, results and scratch memory, the
number of rows and their length. Short rows are shared out among the chunks; a long one is cut into parts, by
sizes alone, and takes several steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from tarry.codegen import sort_layout
from tarry.engine.binding import Binder
from tarry.engine.native import native_selection, native_sort
from tarry.engine.recipe import SteppingPart, Temporary
from tarry.loops.poly import ONE, Poly, contiguous, product
from tarry.runtime.plan import Argument, HostStep, KernelStep, Pointer, Value

if TYPE_CHECKING:
    from tarry.compiler.lower_call import LoweredCall
    from tarry.compiler.program import Value as ProgramValue

MOST_CHUNKS = 64
# Elements worth a chunk of their own.
CHUNK_ELEMENTS = 1 << 11
# Rows of this length and more are cut into parts, each of at least so many elements.
LEAST_LONG_ROW = 1 << 14
PART_ELEMENTS = 1 << 14


class Layout(Protocol):
    """What calls ask of the layout they belong to."""

    def new_values(self, count: int) -> int:
        """Reserve `count` consecutive values; returns the first."""

    def add_temporary(self, temporary: Temporary) -> None: ...

    def pointer(self, value: ProgramValue) -> Pointer: ...

    def arena_pointer(self, offset_value: int) -> Pointer: ...


class SortCall(SteppingPart):
    """A sort of rows as a step of a plan."""

    __slots__ = ("_arguments", "_dtype", "_places", "length", "rows", "start")

    def __init__(self, layout: Layout, number: int, lowered: LoweredCall) -> None:
        source = lowered.value.inputs[0]
        _require_rows(lowered)
        self._dtype = source.dtype.name
        self._places = lowered.call.routine == "argsort"
        # Both begin to compile: which one serves depends on sizes, and new sizes must not compile anything.
        native_sort(self._dtype, self._places, False)
        native_sort(self._dtype, self._places, True)
        self.rows: Poly = product(list(source.shape[:-1]))
        self.length: Poly = source.shape[-1] if source.shape else ONE
        # Rows, length, parts of a row, chunks of steps by rows and by parts, and the place of scratch memory.
        self.start = layout.new_values(6)
        layout.add_temporary(Temporary(self._scratch_bytes, number, number, self.start + 5))
        self._arguments: list[Argument] = [
            layout.pointer(lowered.operands[0].base),
            layout.pointer(lowered.results[0]),
            layout.arena_pointer(self.start + 5),
            *(Value(self.start + k) for k in range(3)),
        ]

    def bind(self, binder: Binder) -> str:
        rows, length = self._sizes(binder)
        parts = _parts_of_row(rows, length)
        chunks = rows if parts else _chunks_of_rows(rows, length)
        binder.values[self.start : self.start + 5] = (rows, length, parts, chunks, rows * parts)
        return "parts" if parts else "rows"

    def steps(self, binder: Binder) -> Sequence[KernelStep | HostStep]:
        in_parts = _parts_of_row(*self._sizes(binder)) > 0
        code = native_sort(self._dtype, self._places, in_parts)
        by_row, by_part = Value(self.start + 3), Value(self.start + 4)
        steps = sort_layout.sort_steps(in_parts)
        chunks = [by_row if step in sort_layout.STEPS_BY_ROW else by_part for step in steps]
        return [
            KernelStep(symbol, function, count, self._arguments)
            for symbol, function, count in zip(code.symbols, code.functions, chunks)
        ]

    def _sizes(self, binder: Binder) -> tuple[int, int]:
        return self.rows.evaluate(binder.arguments), self.length.evaluate(binder.arguments)

    def _scratch_bytes(self, binder: Binder) -> int:
        rows, length = self._sizes(binder)
        parts = _parts_of_row(rows, length)
        kind = self._dtype, self._places
        if parts:
            return rows * sort_layout.parts_scratch_bytes(*kind, length, parts)
        each = sort_layout.row_scratch_bytes(*kind, length)
        return _chunks_of_rows(rows, length) * each + sort_layout.READ_BEYOND


class SelectionCall(SteppingPart):
    """A selection in rows as a step of a plan."""

    __slots__ = ("_arguments", "_dtype", "_places", "length", "rank", "rows", "start", "wanted")

    def __init__(self, layout: Layout, number: int, lowered: LoweredCall) -> None:
        source = lowered.value.inputs[0]
        _require_rows(lowered)
        self._dtype = source.dtype.name
        self._places = lowered.call.routine == "argselect"
        native_selection(self._dtype, self._places)
        self.rows: Poly = product(list(source.shape[:-1]))
        self.length: Poly = source.shape[-1]
        self.rank: Poly = lowered.value.arguments[0]
        self.wanted: Poly = lowered.value.shape[-1]
        # Rows, length, parts of a row, rank, elements wanted, chunks by rows and by parts, scratch memory.
        self.start = layout.new_values(8)
        layout.add_temporary(Temporary(self._scratch_bytes, number, number, self.start + 7))
        self._arguments: list[Argument] = [
            layout.pointer(lowered.operands[0].base),
            layout.pointer(lowered.results[0]),
            layout.arena_pointer(self.start + 7),
            *(Value(self.start + k) for k in range(5)),
        ]

    def bind(self, binder: Binder) -> str:
        rows, length, parts = self._sizes(binder)
        rank, wanted = (each.evaluate(binder.arguments) for each in (self.rank, self.wanted))
        chunks = rows if parts else _chunks_of_rows(rows, length)
        values = (rows, length, parts, rank, wanted, chunks, rows * parts)
        binder.values[self.start : self.start + 7] = values
        return "parts" if parts else "rows"

    def steps(self, binder: Binder) -> Sequence[KernelStep | HostStep]:
        code = native_selection(self._dtype, self._places)
        names = sort_layout.selection_steps(self._sizes(binder)[2] > 0)
        first = 1 if len(names) > 1 else 0
        by_row, by_part = Value(self.start + 5), Value(self.start + 6)
        return [
            KernelStep(
                code.symbols[first + k],
                code.functions[first + k],
                by_row if name in sort_layout.SELECTION_STEPS_BY_ROW else by_part,
                self._arguments,
            )
            for k, name in enumerate(names)
        ]

    def _sizes(self, binder: Binder) -> tuple[int, int, int]:
        """Rows, their length, and into how many parts each is cut."""
        rows, length = self.rows.evaluate(binder.arguments), self.length.evaluate(binder.arguments)
        return rows, length, _parts_of_row(rows, length)

    def _scratch_bytes(self, binder: Binder) -> int:
        rows, length, parts = self._sizes(binder)
        if parts:
            return rows * sort_layout.selection_parts_bytes(self._dtype, length, parts)
        return _chunks_of_rows(rows, length) * sort_layout.selection_rows_bytes(self._dtype, length)


def native_call(layout: Layout, number: int, lowered: LoweredCall) -> SteppingPart:
    """A call that has a routine of native code, as a step of a plan."""
    if lowered.call.routine in ("select", "argselect"):
        return SelectionCall(layout, number, lowered)
    return SortCall(layout, number, lowered)


def _require_rows(lowered: LoweredCall) -> None:
    """The operand's rows must lie one after the other."""
    source, view = lowered.value.inputs[0], lowered.operands[0]
    row_major = contiguous(source.shape)
    if view.offset.terms or any(
        extent != ONE and stride != expected
        for extent, stride, expected in zip(source.shape, view.strides, row_major)
    ):
        name = lowered.call.routine
        raise AssertionError(f"[{name}] the rows of {source!r} do not lie one after the other")


def _parts_of_row(rows: int, length: int) -> int:
    """Into how many parts each row is cut; 0 where chunks take whole rows."""
    if length < LEAST_LONG_ROW or rows >= MOST_CHUNKS:
        return 0
    return min(length // PART_ELEMENTS, -(-MOST_CHUNKS // max(1, rows)))


def _chunks_of_rows(rows: int, length: int) -> int:
    return max(1, min(rows, MOST_CHUNKS, rows * length // CHUNK_ELEMENTS))
