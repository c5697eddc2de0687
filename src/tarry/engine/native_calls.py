"""Calls that run native code of their own: sorting.

The operands lie in rows, row-major; the code gets the addresses of rows, results and scratch memory, the
number of rows and their length. Rows are cut into chunks by sizes alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tarry.compiler.lower_call import LoweredCall
from tarry.compiler.program import Value as ProgramValue
from tarry.engine.binding import Binder, Temporary
from tarry.engine.native import native_sort
from tarry.loops.poly import ONE, Poly, contiguous, product
from tarry.runtime.plan import Argument, KernelStep, Pointer, Value

MOST_CHUNKS = 64
# Elements worth a chunk of their own.
CHUNK_ELEMENTS = 1 << 11


class Layout(Protocol):
    """What calls ask of the plan they belong to."""

    def new_values(self, count: int) -> int:
        """Reserve `count` consecutive values; returns the first."""

    def add_temporary(self, temporary: Temporary) -> None: ...

    def pointer(self, value: ProgramValue) -> Pointer: ...

    def arena_pointer(self, offset_value: int) -> Pointer: ...


class SortCall:
    """A sort of rows as a step of a plan."""

    def __init__(self, layout: Layout, number: int, lowered: LoweredCall) -> None:
        source = lowered.value.inputs[0]
        view = lowered.operands[0]
        row_major = contiguous(source.shape)
        if view.offset.terms or any(
            extent != ONE and stride != expected
            for extent, stride, expected in zip(source.shape, view.strides, row_major)
        ):
            raise AssertionError(f"[sort] the rows of {source!r} do not lie one after the other")
        self.code = native_sort(source.dtype.name, lowered.call.routine == "argsort")
        self.rows: Poly = product(list(source.shape[:-1]))
        self.length: Poly = source.shape[-1] if source.shape else ONE
        # Rows, length, chunks, and the place of the scratch memory.
        self.start = layout.new_values(4)
        layout.add_temporary(Temporary(self._scratch_size(), number, number, self.start + 3))
        arguments: list[Argument] = [
            layout.pointer(view.base),
            layout.pointer(lowered.results[0]),
            layout.arena_pointer(self.start + 3),
            Value(self.start),
            Value(self.start + 1),
        ]
        self.step = KernelStep(self.code.name, self.code.function, Value(self.start + 2), arguments)

    def bind(self, binder: Binder) -> None:
        """Fill in the values for these sizes."""
        rows, length = self.rows.evaluate(binder.arguments), self.length.evaluate(binder.arguments)
        binder.values[self.start : self.start + 3] = (rows, length, self._chunks(rows, length))

    def _chunks(self, rows: int, length: int) -> int:
        return max(1, min(rows, MOST_CHUNKS, rows * length // CHUNK_ELEMENTS))

    def _scratch_size(self) -> Callable[[Binder], int]:
        def size(binder: Binder) -> int:
            rows, length = self.rows.evaluate(binder.arguments), self.length.evaluate(binder.arguments)
            return self._chunks(rows, length) * self.code.scratch_bytes(length)

        return size
