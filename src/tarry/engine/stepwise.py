"""Plans run one step at a time, for those who want to look: times of kernels, or checks of their results."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from tarry.base.dtypes import to_numpy
from tarry.base.settings import settings
from tarry.compiler.lowered import (
    BufferBinding,
    IntBinding,
    LoweredKernel,
    ScalarBinding,
    ScratchBinding,
    StatusBinding,
)
from tarry.compiler.program import Value as ProgramValue
from tarry.engine.native import reference_interpreter
from tarry.loops.ir import BufferParam
from tarry.runtime.memory import Buffer
from tarry.runtime.plan import HostStep, KernelStep, Pointer, StepTable, Value
from tarry.runtime.threads import ThreadPool

IntArray = np.ndarray[Any, np.dtype[np.int64]]
# The interpreter takes about ten microseconds for each scalar operation.
MOST_CHECKED_ELEMENTS = 1 << 12


class StepwiseError(AssertionError):
    """A kernel and the interpreter disagree."""


def run_stepwise(
    table: StepTable,
    lowered: Sequence[object],
    pool: ThreadPool,
    addresses: IntArray,
    values: IntArray,
    arguments: Sequence[int],
    scalars: Sequence[Any],
) -> None:
    """Run a table step by step: print times (TARRY_DEBUG >= 2), check results (TARRY_CHECK >= 2)."""
    kernels = iter([step for step in lowered if isinstance(step, LoweredKernel)])
    for number, step in enumerate(table.steps):
        product = isinstance(step, KernelStep) and step.name.startswith(("product_", "sort_", "depthwise_"))
        kernel = None if product or isinstance(step, HostStep) else next(kernels)
        check = _Check(kernel, step, addresses, values, arguments, scalars) if kernel is not None else None
        started = time.perf_counter()
        StepTable([step]).run(pool, addresses, values)
        elapsed = time.perf_counter() - started
        if settings.debug >= 2:
            traffic = _traffic(kernel, arguments)
            rate = f"{traffic / elapsed / 1e9:7.1f} GB/s" if traffic else " " * 12
            print(f"[kernel] {number:4d} {1e6 * elapsed:10.1f} us {rate}  {step.name}", file=sys.stderr)
        if check is not None:
            check.compare()


def _traffic(kernel: LoweredKernel | None, arguments: Sequence[int]) -> int:
    """Bytes of the arrays a kernel reads and writes, each counted once."""
    if kernel is None:
        return 0
    bound = {binding.value for binding in kernel.bindings if isinstance(binding, BufferBinding)}
    return sum(_count(value, arguments) * value.dtype.size for value in bound)


def _count(value: ProgramValue, arguments: Sequence[int]) -> int:
    count = 1
    for extent in value.shape:
        count *= extent.evaluate(arguments)
    return count


class _Check:
    """Runs the interpreter on copies of a kernel's buffers, made before the kernel runs."""

    def __init__(
        self,
        kernel: LoweredKernel,
        step: KernelStep | HostStep,
        addresses: IntArray,
        values: IntArray,
        arguments: Sequence[int],
        scalars: Sequence[Any],
    ) -> None:
        self.kernel = kernel
        self.given: dict[str, object] = {}
        self.memory: dict[str, np.ndarray[Any, Any]] = {}
        self.active = settings.check >= 2 and self._small(arguments)
        if not self.active:
            return
        for param, binding, argument in zip(kernel.kernel.params, kernel.bindings, step.arguments):
            if isinstance(binding, BufferBinding):
                assert isinstance(argument, Pointer)
                address = int(addresses[argument.buffer]) + _offset(argument, values)
                found = _memory(address, _count(binding.value, arguments), binding.value)
                self.given[param.name] = found.copy()
                # What is only read may be in memory that is written as another buffer.
                if isinstance(param, BufferParam) and param.mode != "in":
                    self.memory[param.name] = found
            elif isinstance(binding, IntBinding):
                self.given[param.name] = binding.poly.evaluate(arguments)
            elif isinstance(binding, ScalarBinding):
                with np.errstate(all="ignore"):
                    scalar = np.array([scalars[binding.number]]).astype(to_numpy(binding.dtype))
                self.given[param.name] = scalar[0]
            elif isinstance(binding, StatusBinding):
                self.given[param.name] = np.zeros(4, np.int64)
            elif not isinstance(binding, ScratchBinding):
                self.given[param.name] = argument

    def _small(self, arguments: Sequence[int]) -> bool:
        bound = [binding.value for binding in self.kernel.bindings if isinstance(binding, BufferBinding)]
        return all(
            value.strides is None and 0 < _count(value, arguments) <= MOST_CHECKED_ELEMENTS for value in bound
        )

    def compare(self) -> None:
        """StepwiseError when what the kernel wrote is not what the interpreter writes, up to rounding."""
        if not self.active:
            return
        reference_interpreter()(self.kernel.kernel, self.given)
        for name, found in self.memory.items():
            expected = self.given[name]
            assert isinstance(expected, np.ndarray)
            wide = np.complex128 if found.dtype.kind == "c" else np.float64
            if found.dtype.kind in "iub":
                same = np.array_equal(found, expected)
            else:
                real_size = found.dtype.itemsize // (2 if found.dtype.kind == "c" else 1)
                tolerance = {8: 1e-9, 4: 1e-4, 2: 2e-2}.get(real_size, 1e-4)
                same = np.allclose(
                    found.astype(wide), expected.astype(wide), tolerance, tolerance, equal_nan=True
                )
            if not same:
                raise StepwiseError(
                    f"[check] {self.kernel.kernel.name} wrote {found} to {name}, expected {expected}."
                )


def _offset(pointer: Pointer, values: IntArray) -> int:
    return int(values[pointer.offset.number]) if isinstance(pointer.offset, Value) else pointer.offset


def _memory(address: int, count: int, value: ProgramValue) -> np.ndarray[Any, Any]:
    dtype = to_numpy(value.dtype)
    buffer = Buffer.external(address, count * dtype.itemsize, None)
    return buffer.view(dtype, 0, (count,), (dtype.itemsize,))
