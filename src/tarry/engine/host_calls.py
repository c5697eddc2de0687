"""Steps of a plan that call functions of the host.

The arguments of such a step are plain integers, so that it serves every size and any number of threads at
once: for each operand an address, an offset, extents and strides, for each result an address and extents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tarry.base.dtypes import to_numpy
from tarry.base.shapes import contiguous_strides
from tarry.engine.binding import Binder
from tarry.engine.recipe import Origin, SteppingPart
from tarry.loops.poly import Poly
from tarry.ops.calls import Call, CallError, NumPyArray
from tarry.runtime.memory import Buffer
from tarry.runtime.plan import Argument, HostStep, KernelStep, Pointer, Value

if TYPE_CHECKING:
    from tarry.compiler.lower_call import LoweredCall
    from tarry.compiler.program import Value as ProgramValue


class CallFailure(Exception):
    """A call did not give a result; `origin` says which node of the plan is one of its results."""

    def __init__(self, origin: Origin, message: str) -> None:
        self.origin = origin
        self.message = message
        super().__init__(message)


class Layout(Protocol):
    """What calls ask of the layout they belong to."""

    def pointer(self, value: ProgramValue) -> Pointer: ...

    def poly_value(self, poly: Poly) -> int:
        """The value that is a polynomial over the arguments."""


class HostCall(SteppingPart):
    """Makes NumPy arrays of a step's arguments and lets the call compute."""

    __slots__ = ("_call", "_count", "_operands", "_origin", "_results", "_step")

    def __init__(self, layout: Layout, lowered: LoweredCall, origin: Origin) -> None:
        self._call = lowered.call
        self._origin = origin
        self._operands = [(to_numpy(v.dtype), len(v.shape)) for v in lowered.value.inputs]
        self._results: list[tuple[int, np.dtype[np.generic], int]] = []
        for value in lowered.results:
            assert isinstance(value.primitive, Call)
            self._results.append((value.primitive.number, to_numpy(value.dtype), len(value.shape)))
        self._count = 1 + max(number for number, _, _ in self._results)
        found: list[Argument] = []
        for source, view in zip(lowered.value.inputs, lowered.operands):
            found += (layout.pointer(view.base), Value(layout.poly_value(view.offset)))
            found += [Value(layout.poly_value(size)) for size in (*source.shape, *view.strides)]
        for result in lowered.results:
            found.append(layout.pointer(result))
            found += [Value(layout.poly_value(extent)) for extent in result.shape]
        self._step = HostStep(self._call.name, self, found)

    def bind(self, binder: Binder) -> str:
        return ""

    def steps(self, binder: Binder) -> Sequence[KernelStep | HostStep]:
        return (self._step,)

    def __call__(self, arguments: list[int]) -> None:
        inputs: list[NumPyArray] = []
        outputs: list[NumPyArray | None] = [None] * self._count
        start = 0
        for dtype, rank in self._operands:
            first = start + 2
            middle, end = first + rank, first + 2 * rank
            address = arguments[start] + arguments[start + 1] * dtype.itemsize
            inputs.append(_array(address, dtype, arguments[first:middle], arguments[middle:end]))
            start = end
        for number, dtype, rank in self._results:
            end = start + 1 + rank
            shape = arguments[start + 1 : end]
            outputs[number] = _array(arguments[start], dtype, shape, contiguous_strides(shape))
            start = end
        try:
            made = self._call.compute(inputs, outputs)
        except (CallError, np.linalg.LinAlgError) as problem:
            raise CallFailure(self._origin, str(problem)) from None
        for output, value in zip(outputs, made):
            # A call may have computed in the place where its result is to be.
            if output is not None and value is not output:
                np.copyto(output, value, "same_kind")


def _array(
    address: int, dtype: np.dtype[np.generic], shape: Sequence[int], strides: Sequence[int]
) -> NumPyArray:
    if 0 in shape:
        return np.empty(shape, dtype)
    size = dtype.itemsize
    return Buffer.external(address, 0, None).view(dtype, 0, shape, [stride * size for stride in strides])
