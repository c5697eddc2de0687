"""A plan as the runtime sees it: steps over numbered buffers and a vector of values, run by one native call.

A kernel has the signature `void(ptr arguments, i64 chunk, i64 chunks)`; its arguments are 8-byte slots. What
a slot holds is said by an `Argument`:

    7               the number itself (or any 64 bits, such as those of a float)
    Value(3)        entry 3 of the values given to the run: a size, a stride, a scalar
    Pointer(2, 16)  the address of buffer 2 plus 16 bytes; the offset may be a Value, too

The number of chunks of a kernel step may be a Value as well, so that a plan serves every size of its arrays.
A host step is a Python callable between two native stretches; it gets its arguments as a list of integers.

    table = StepTable([KernelStep("add", address, 4, (Pointer(0), Pointer(1), Pointer(2), Value(0)))])
    table.run(pool, np.array([a, b, out]), np.array([n]))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from tarry.runtime.counters import counters
from tarry.runtime.threads import STEP_BYTES, STEP_INTS, ThreadPool

# So many addresses are written faster one by one than by NumPy.
FEW_POINTERS = 32

IntArray = np.ndarray[tuple[int], np.dtype[np.int64]]
Addresses = Sequence[int] | IntArray


class Value:
    """Entry `number` of the values of a run."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"v{self.number}"


class Pointer:
    """The address of a buffer, by its number in the plan, plus an offset in bytes."""

    __slots__ = ("buffer", "offset")

    def __init__(self, buffer: int, offset: int | Value = 0) -> None:
        self.buffer = buffer
        self.offset = offset

    def __repr__(self) -> str:
        return f"b{self.buffer}" if self.offset == 0 else f"b{self.buffer}+{self.offset}"


Argument = int | Value | Pointer


class KernelStep:
    """A native function, how many chunks its work is cut into, and its arguments.

    `finish`, if given, is the address of a function of the same signature that the caller runs once, with
    chunk 0, after the last chunk: the end of a reduction. Fewer than two chunks run as the single chunk 0 of
    1.
    """

    __slots__ = ("arguments", "chunks", "finish", "function", "name")

    def __init__(
        self, name: str, function: int, chunks: int | Value, arguments: Sequence[Argument], finish: int = 0
    ) -> None:
        self.name = name
        self.function = function
        self.chunks = chunks
        self.arguments = tuple(arguments)
        self.finish = finish

    def __repr__(self) -> str:
        arguments = ", ".join(str(argument) for argument in self.arguments)
        return f"{self.name}({arguments}) chunks={self.chunks}" + (" finish" if self.finish else "")


class HostStep:
    """A Python callable that gets its arguments (addresses and values) as a list of int; it runs once."""

    __slots__ = ("arguments", "function", "name")

    def __init__(
        self, name: str, function: Callable[[list[int]], None], arguments: Sequence[Argument]
    ) -> None:
        self.name = name
        self.function = function
        self.arguments = tuple(arguments)

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(str(argument) for argument in self.arguments)}) host"


class Segment:
    """A stretch of consecutive kernel steps (rows `start` to `stop` of the table), or one host step."""

    __slots__ = ("count", "host", "slot_start", "slot_stop", "start")

    def __init__(
        self, start: int, count: int, host: HostStep | None, slot_start: int, slot_stop: int
    ) -> None:
        self.start = start
        self.count = count
        self.host = host
        self.slot_start = slot_start
        self.slot_stop = slot_stop


class _Patches:
    """Collects which positions are filled in at a run, then freezes them as arrays for one assignment."""

    __slots__ = ("positions", "sources")

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.sources: list[int] = []

    def add(self, position: int, source: int) -> None:
        self.positions.append(position)
        self.sources.append(source)

    def arrays(self) -> tuple[IntArray, IntArray] | None:
        if not self.positions:
            return None
        return np.array(self.positions, np.int64), np.array(self.sources, np.int64)


class _Frame:
    """The memory of one run in flight: the rows of the steps and their argument slots."""

    __slots__ = ("address", "bound", "cells", "rows", "slots")

    def __init__(self, rows: IntArray, slots: IntArray, slot_starts: IntArray) -> None:
        self.rows = rows.copy()
        self.slots = slots.copy()
        self.cells = memoryview(cast(Any, self.slots))
        self.rows[1::STEP_INTS] = self.slots.ctypes.data + 8 * slot_starts
        self.address = self.rows.ctypes.data
        self.bound: IntArray | None = None  # the values that are filled in


class StepTable:
    """Steps frozen into flat arrays, bound to buffers and values at every run.

    Safe to run from several threads at once: each run in flight fills in its own copy of the arrays.
    """

    def __init__(self, steps: Sequence[KernelStep | HostStep]) -> None:
        self.steps = tuple(steps)
        self.kernel_count = sum(isinstance(step, KernelStep) for step in self.steps)
        self.buffer_count = 0
        self.value_count = 0
        self.segments: list[Segment] = []
        self._slots: list[int] = []
        self._offsets: list[int] = []
        self._pointers, self._values, self._offset_values = _Patches(), _Patches(), _Patches()
        rows: list[int] = []
        slot_starts: list[int] = []
        chunk_values = _Patches()
        for step in self.steps:
            start = len(self._slots)
            self._add_arguments(step.arguments)
            if isinstance(step, HostStep):
                self.segments.append(Segment(0, 0, step, start, len(self._slots)))
                continue
            row = len(slot_starts)
            if not self.segments or self.segments[-1].host is not None:
                self.segments.append(Segment(row, 0, None, start, start))
            self.segments[-1].count += 1
            slot_starts.append(start)
            if isinstance(step.chunks, Value):
                chunk_values.add(row * STEP_INTS + 2, self._value_number(step.chunks))
                rows += (step.function, 0, 1, step.finish)
            else:
                rows += (step.function, 0, step.chunks, step.finish)
        self._freeze(rows, slot_starts, chunk_values)

    def _add_arguments(self, arguments: Sequence[Argument]) -> None:
        for argument in arguments:
            position = len(self._slots)
            if isinstance(argument, Pointer):
                if argument.buffer < 0:
                    raise ValueError(f"[plan] Buffer numbers start at 0, but an argument is {argument}.")
                self.buffer_count = max(self.buffer_count, argument.buffer + 1)
                if isinstance(argument.offset, Value):
                    self._offset_values.add(len(self._offsets), self._value_number(argument.offset))
                    self._offsets.append(0)
                else:
                    self._offsets.append(argument.offset)
                self._pointers.add(position, argument.buffer)
                self._slots.append(0)
            elif isinstance(argument, Value):
                self._values.add(position, self._value_number(argument))
                self._slots.append(0)
            else:
                self._slots.append(argument)

    def _value_number(self, value: Value) -> int:
        if value.number < 0:
            raise ValueError(f"[plan] Value numbers start at 0, but a step has {value}.")
        self.value_count = max(self.value_count, value.number + 1)
        return value.number

    # Position, buffer and byte offset of each pointer, if there are few.
    _few_pointers: list[tuple[int, int, int]] | None = None

    def _freeze(self, rows: list[int], slot_starts: list[int], chunk_values: _Patches) -> None:
        self._row_template = np.array(rows, np.int64)
        self._slot_template = np.array(self._slots, np.int64)
        self._slot_starts = np.array(slot_starts, np.int64)
        self._pointer_patches = self._pointers.arrays()
        self._value_patches = self._values.arrays()
        self._chunk_patches = chunk_values.arrays()
        self._offset_patches = self._offset_values.arrays()
        if self._offset_patches is None and len(self._offsets) <= FEW_POINTERS:
            positions, buffers = self._pointers.positions, self._pointers.sources
            self._few_pointers = list(zip(positions, buffers, self._offsets))
        self._byte_offsets = np.array(self._offsets, np.int64) if any(self._offsets) else None
        if self._offset_patches is not None and self._byte_offsets is None:
            self._byte_offsets = np.zeros(len(self._offsets), np.int64)
        # Frames not in use. list.pop and list.append are atomic, so no lock is needed.
        self._frames = [_Frame(self._row_template, self._slot_template, self._slot_starts)]

    def run(self, pool: ThreadPool, addresses: Addresses, values: IntArray | None = None) -> None:
        """Bind the addresses of the numbered buffers and the values, and run every step in order.

        `values` must not change afterwards: the same array again is taken to hold the same values. The caller
        keeps the buffers alive until the run has ended. Errors: ValueError when there are fewer
        addresses or values than the steps mention; whatever a host step raises.
        """
        if len(addresses) < self.buffer_count or (0 if values is None else len(values)) < self.value_count:
            raise self._too_few(addresses, values)
        try:
            frame = self._frames.pop()
        except IndexError:
            frame = _Frame(self._row_template, self._slot_template, self._slot_starts)
        try:
            if values is not None and frame.bound is not values:
                self._write_values(frame, values)
            if self._few_pointers is not None:
                cells = frame.cells
                for position, buffer, offset in self._few_pointers:
                    cells[position] = addresses[buffer] + offset
            elif self._pointer_patches is not None:
                self._write_pointers(frame, addresses, values)
            for segment in self.segments:
                if segment.host is None:
                    pool.run(frame.address + segment.start * STEP_BYTES, segment.count)
                else:
                    segment.host.function(frame.slots[segment.slot_start : segment.slot_stop].tolist())
        finally:
            self._frames.append(frame)
        counters.kernels_run += self.kernel_count

    def _write_values(self, frame: _Frame, values: IntArray) -> None:
        frame.bound = values
        if self._value_patches is not None:
            positions, sources = self._value_patches
            frame.slots[positions] = values[sources]
        if self._chunk_patches is not None:
            positions, sources = self._chunk_patches
            frame.rows[positions] = values[sources]

    def _write_pointers(self, frame: _Frame, addresses: Addresses, values: IntArray | None) -> None:
        assert self._pointer_patches is not None
        positions, sources = self._pointer_patches
        pointers = np.array(addresses, np.int64)[sources]
        if self._byte_offsets is not None:
            pointers += self._byte_offsets
            if self._offset_patches is not None and values is not None:
                offset_positions, offset_sources = self._offset_patches
                pointers[offset_positions] += values[offset_sources]
        frame.slots[positions] = pointers

    def _too_few(self, addresses: Addresses, values: IntArray | None) -> ValueError:
        given = 0 if values is None else len(values)
        return ValueError(
            f"[plan] The steps use {self.buffer_count} buffers and {self.value_count} values, "
            f"but {len(addresses)} addresses and {given} values were given."
        )

    def __len__(self) -> int:
        return len(self.steps)

    def __str__(self) -> str:
        lines = [f"plan: {len(self.steps)} steps, {self.buffer_count} buffers, {self.value_count} values"]
        lines += [f"{number:4d}  {step}" for number, step in enumerate(self.steps)]
        return "\n".join(lines)
