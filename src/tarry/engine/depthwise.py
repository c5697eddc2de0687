"""Depthwise convolutions as steps of a plan: which kernels run, on what sizes, in what scratch memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tarry.codegen.depthwise_layout import COPY_POINTERS, COPY_SLOTS, POINTERS, SLOTS, DepthwiseSizes
from tarry.engine.binding import Binder
from tarry.engine.native import native_depthwise
from tarry.engine.products import Layout, Operand
from tarry.engine.recipe import SteppingPart, Temporary
from tarry.loops.poly import Poly
from tarry.ops.depthwise import Depthwise
from tarry.runtime.plan import Argument, HostStep, KernelStep, Pointer, Value

if TYPE_CHECKING:
    from tarry.compiler.lower_call import LoweredCall

SLOT_COUNT = len(SLOTS) - len(POINTERS)
COPY_COUNT = len(COPY_SLOTS) - len(COPY_POINTERS)
COPY_ELEMENTS = 1 << 14  # worth a chunk


class Source:
    """An operand, and the row-major copy that is made of it where its channels are not neighbours."""

    __slots__ = ("copied", "copy", "extents", "operand", "start", "widens")

    def __init__(
        self, layout: Layout, number: int, operand: Operand, extents: Sequence[Poly], widens: bool, size: int
    ) -> None:
        self.operand = operand
        self.extents = tuple(extents)
        self.widens = widens  # then there always is a copy, in accumulator precision
        self.copied = size  # bytes of an element of the copy
        # The argument table of the copy, its chunks, and its place.
        self.start = layout.new_values(COPY_COUNT + 2)
        layout.add_temporary(Temporary(self._bytes, number, number, self.start + COPY_COUNT + 1))
        self.copy = layout.arena_pointer(self.start + COPY_COUNT + 1)

    def shape(self, binder: Binder) -> list[int]:
        return [extent.evaluate(binder.arguments) for extent in self.extents]

    def is_copied(self, binder: Binder) -> bool:
        *_, stride = self._strides(binder)
        return self.widens or (stride != 1 and self.shape(binder)[-1] > 1)

    def strides(self, binder: Binder) -> list[int]:
        """Of what the kernels read: from image to image and along the spatial axes."""
        if not self.is_copied(binder):
            return _five(self._strides(binder)[:-1], self.widens, 0)
        strides, step = [], 1
        for extent in reversed(self.shape(binder)):
            strides.append(step)
            step *= extent
        return _five(strides[:0:-1], self.widens, 0)

    def bind(self, binder: Binder) -> None:
        shape = _five(self.shape(binder)[:-1], self.widens, 1) + self.shape(binder)[-1:]
        strides = _five(self._strides(binder)[:-1], self.widens, 0) + self._strides(binder)[-1:]
        binder.values[self.start : self.start + COPY_COUNT] = [*shape, *strides]
        outer = shape[0] * shape[1] * shape[2]
        work = outer * shape[3] * shape[4] // COPY_ELEMENTS
        binder.values[self.start + COPY_COUNT] = max(1, min(outer, work, 64))

    def pointer(self, binder: Binder) -> Pointer:
        return self.copy if self.is_copied(binder) else self.operand.pointer

    def step(self, symbol: str, function: int) -> KernelStep:
        """Makes the copy."""
        arguments: list[Argument] = [self.operand.pointer, self.copy]
        arguments += [Value(self.start + k) for k in range(COPY_COUNT)]
        return KernelStep(symbol, function, Value(self.start + COPY_COUNT), arguments)

    def _strides(self, binder: Binder) -> list[int]:
        return [stride.evaluate(binder.arguments) for stride in self.operand.strides]

    def _bytes(self, binder: Binder) -> int:
        if not self.is_copied(binder):
            return 0
        count = self.copied
        for extent in self.shape(binder):
            count *= extent
        return count


def _five(numbers: Sequence[int], widens: bool, missing: int) -> list[int]:
    """A number for the batch and each of three spatial axes; weights have no batch."""
    head, axes = ([], numbers) if widens else (numbers[:1], numbers[1:])
    return [*(head or [missing]), *[missing] * (3 - len(axes)), *axes]


class DepthwisePart(SteppingPart):
    """One depthwise convolution of a plan, or its derivative for weights."""

    __slots__ = ("chunks", "dtype", "geometry", "image", "kernel", "partial", "result", "shape", "start",
                 "sums")  # fmt: skip

    def __init__(self, layout: Layout, number: int, lowered: LoweredCall) -> None:
        call, (image, kernel) = lowered.call, lowered.value.inputs
        assert isinstance(call, Depthwise)
        self.sums = call.sums
        geometry = call.geometry
        self.geometry = (geometry.stride, geometry.dilation, geometry.low, geometry.input_dilation)
        self.dtype = image.dtype.name
        native_depthwise(self.dtype)  # begins to compile
        operands = [Operand(layout, view) for view in lowered.operands]
        size = image.dtype.size
        wide = max(4, size)
        self.image = Source(layout, number, operands[0], image.shape, False, size)
        self.kernel = Source(
            layout, number, operands[1], kernel.shape, not self.sums, size if self.sums else wide
        )
        (result,) = lowered.results
        self.shape = tuple(result.shape)
        self.result = layout.pointer(result)
        # The table, the number of parts, the chunks of two steps, and the place of partial sums.
        self.start = layout.new_values(SLOT_COUNT + 4)
        place = self.start + SLOT_COUNT + 3
        layout.add_temporary(Temporary(self._partial_bytes, number, number, place))
        self.partial = layout.arena_pointer(place)

    def bind(self, binder: Binder) -> str:
        sizes = self._sizes(binder)
        self.image.bind(binder)
        self.kernel.bind(binder)
        chunks = sizes.parts() if self.sums else sizes.row_chunks()
        table = [*sizes.slots(), sizes.parts(), chunks, sizes.combine_chunks()]
        binder.values[self.start : self.start + SLOT_COUNT + 3] = table
        return f"{self.image.is_copied(binder)}{self.kernel.is_copied(binder)}"

    def place(self, binder: Binder) -> None:
        self.image.operand.place(binder)
        self.kernel.operand.place(binder)

    def offset_values(self) -> list[tuple[int, int]]:
        operands = (self.image.operand, self.kernel.operand)
        return [
            (one.base_value, one.offset_value)
            for one in operands
            if one.base_value is not None and one.offset_value >= 0
        ]

    def steps(self, binder: Binder) -> Sequence[KernelStep | HostStep]:
        native = native_depthwise(self.dtype)
        slide, correlate, combine, pack, widen = zip(native.symbols, native.functions)
        steps = [
            source.step(*(widen if source.widens else pack))
            for source in (self.image, self.kernel)
            if source.is_copied(binder)
        ]
        pointers = [self.image.pointer(binder), self.kernel.pointer(binder), self.result, self.partial]
        table = [Value(self.start + k) for k in range(SLOT_COUNT)]
        parts, chunks, combine_chunks = (Value(self.start + SLOT_COUNT + k) for k in range(3))
        main = correlate if self.sums else slide
        steps.append(KernelStep(*main, chunks, [*pointers, *table]))
        if self.sums:
            steps.append(KernelStep(*combine, combine_chunks, [*pointers, parts, *table[1:]]))
        return steps

    def _sizes(self, binder: Binder) -> DepthwiseSizes:
        image, kernel = self.image.shape(binder), self.kernel.shape(binder)
        shape = [extent.evaluate(binder.arguments) for extent in self.shape]
        count = len(image) - 2
        axes = kernel[:-1][-count:]
        places = shape[:-1][-count:]

        def three(numbers: Sequence[int], missing: int) -> list[int]:
            return [*[missing] * (3 - count), *numbers]

        stride, dilation, low, input_dilation = self.geometry
        geometry = [three(stride, 1), three(dilation, 1), three(low, 0), three(input_dilation, 1)]
        size = self.image.copied
        sizes = DepthwiseSizes(
            image[0], image[-1], size, three(image[1:-1], 1), three(axes, 1), three(places, 1), geometry
        )
        sizes.image_strides = tuple(self.image.strides(binder))
        sizes.kernel_strides = tuple(self.kernel.strides(binder))
        return sizes

    def _partial_bytes(self, binder: Binder) -> int:
        return self._sizes(binder).partial_bytes(max(4, self.image.copied)) if self.sums else 0
