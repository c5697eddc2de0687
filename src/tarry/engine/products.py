"""Matrix products in plans: operands as strides over memory, a variant for every set of sizes, their steps.

A product has one block of values in its plan: the argument table of the kernels (`codegen.gemm_problem`), the
places of its two pieces of scratch memory, the numbers of chunks of its steps, and the size of the whole
result. Variants with little output run the epilogue as a last step of its own, on the whole result; the
others call it themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from tarry.base.dtypes import Dtype
from tarry.codegen.assemble import Target
from tarry.codegen.gemm import GemmProblem, GemmSpec, choose_variant
from tarry.codegen.gemm_problem import EPILOGUE_SLOTS, POINTER_SLOTS, SLOTS
from tarry.compiler.access import StridedView, strided_view
from tarry.compiler.lowered import LoweredKernel, LoweredProduct
from tarry.compiler.program import Value as ProgramValue
from tarry.engine.binding import Binder, Temporary
from tarry.engine.native import NativeKernel, native_kernel, native_product
from tarry.loops.poly import Poly
from tarry.runtime.plan import Argument, KernelStep, Pointer, Value

# The block of values of a product: the slots without the epilogue's, two scratch offsets, numbers of chunks
# of two steps and of an epilogue on its own, and its rows and columns.
SLOT_COUNT = len(SLOTS) - len(EPILOGUE_SLOTS)
SCRATCH_VALUE = SLOT_COUNT
CHUNK_VALUE = SCRATCH_VALUE + 2
EPILOGUE_CHUNKS = CHUNK_VALUE + 2
ROWS_VALUE = EPILOGUE_CHUNKS + 1
COLUMNS_VALUE = ROWS_VALUE + 1
VALUE_COUNT = COLUMNS_VALUE + 1

EPILOGUE_CHUNK_COST = 1 << 16  # additions worth a chunk of their own


class Layout(Protocol):
    """What products ask of the plan they belong to."""

    def new_values(self, count: int) -> int:
        """Reserve `count` consecutive values; returns the first."""

    def add_temporary(self, temporary: Temporary) -> None: ...

    def pointer(self, value: ProgramValue) -> Pointer: ...

    def arena_pointer(self, offset_value: int) -> Pointer: ...

    def arguments(self, number: int, step: LoweredKernel) -> list[Argument]:
        """What the parameters of a kernel are bound to; 0 for the rectangle of an epilogue."""

    def arena_offset(self, value: ProgramValue) -> int | None:
        """The value with the place of a temporary in the arena; None for what has a buffer of its own."""


def operand(step: LoweredProduct, number: int, stored: set[ProgramValue]) -> StridedView:
    """An operand of a product as strides over a stored value."""
    found = strided_view(step.value.inputs[number], stored)
    assert isinstance(found, StridedView)
    return found


class Product:
    """One product of a plan."""

    def __init__(
        self, layout: Layout, number: int, step: LoweredProduct, stored: set[ProgramValue]
    ) -> None:
        self.layout = layout
        self.number = number
        self.step = step
        self.dtype: Dtype = step.value.dtype
        self.left = operand(step, 0, stored)
        self.right = operand(step, 1, stored)
        # Byte offsets of operands that do not start where their base does.
        self.offsets: dict[tuple[ProgramValue, Poly], int] = {}
        for view in (self.left, self.right):
            if view.offset.terms and (view.base, view.offset) not in self.offsets:
                self.offsets[(view.base, view.offset)] = layout.new_values(1)
        self.start = layout.new_values(VALUE_COUNT)
        for which in (0, 1):
            place = self.start + SCRATCH_VALUE + which
            layout.add_temporary(Temporary(self._scratch_size(which), number, number, place))
        self.epilogue: NativeKernel | None = None
        self.epilogue_arguments: list[Argument] = []
        if step.epilogue is not None:
            self.epilogue = native_kernel(step.epilogue.kernel)
            self.epilogue_arguments = layout.arguments(number, step.epilogue)

    def bind(self, binder: Binder) -> str:
        """Choose a variant and fill in the values; returns what the steps depend on."""
        problem = self._problem(binder.arguments)
        variant, problem = choose_variant(problem, GemmSpec(self.dtype.name), Target.host())
        binder.problems[self.number] = variant, problem
        native = native_product(self.dtype.name, variant)
        slots = problem.slots(native.code.blocks(problem), 1, 2, 3, 4, 5)[:SLOT_COUNT]
        binder.values[self.start : self.start + SLOT_COUNT] = slots
        for k, stage in enumerate(native.code.steps):
            binder.values[self.start + CHUNK_VALUE + k] = stage.chunks(problem)
        if self.step.epilogue is not None:
            self._bind_epilogue(self.step.epilogue, binder)
        return f"{variant}{problem.is_swapped}"

    def _bind_epilogue(self, epilogue: LoweredKernel, binder: Binder) -> None:
        assert epilogue.work.extent is not None
        rows = epilogue.work.extent.evaluate(binder.arguments)
        columns = epilogue.work.inner.evaluate(binder.arguments)
        cost = rows * columns * max(1, epilogue.work.cost)
        binder.values[self.start + ROWS_VALUE] = rows
        binder.values[self.start + COLUMNS_VALUE] = columns
        binder.values[self.start + EPILOGUE_CHUNKS] = max(1, min(rows, cost // EPILOGUE_CHUNK_COST))

    def place(self, binder: Binder) -> None:
        """Fill in the byte offsets of the operands, once temporaries have their places in the arena."""
        for (base, offset), number in self.offsets.items():
            place = self.layout.arena_offset(base)
            before = 0 if place is None else binder.values[place]
            binder.values[number] = before + offset.evaluate(binder.arguments) * base.dtype.size

    def steps(self, binder: Binder) -> list[KernelStep]:
        """The kernels that compute the product with the variant chosen."""
        variant, problem = binder.problems[self.number]
        native = native_product(self.dtype.name, variant)
        left, right = self.left, self.right
        if problem.is_swapped:
            left, right = right, left
        out = self.layout.pointer(self.step.value)
        packed, partial = (self.layout.arena_pointer(self.start + SCRATCH_VALUE + k) for k in (0, 1))
        if native.code.sums_in_result:
            partial = out
        arguments: list[Argument] = [
            self._pointer(left), self._pointer(right), out, packed, partial,
            *(Value(self.start + k) for k in range(len(POINTER_SLOTS), SLOT_COUNT)),
        ]  # fmt: skip
        inside = self.epilogue is not None and native.code.calls_epilogue
        if self.epilogue is not None and inside:
            arguments += [self.epilogue.function, len(self.epilogue_arguments), *self.epilogue_arguments]
        else:
            arguments += [0, 0]
        steps = [
            KernelStep(stage.symbol, function, Value(self.start + CHUNK_VALUE + k), arguments)
            for k, (stage, function) in enumerate(zip(native.code.steps, native.functions))
        ]
        if self.epilogue is not None and not inside:
            steps.append(self._epilogue_step(self.epilogue))
        return steps

    def _epilogue_step(self, epilogue: NativeKernel) -> KernelStep:
        """The epilogue on the whole result."""
        size = [Value(self.start + ROWS_VALUE), Value(self.start + COLUMNS_VALUE)]
        arguments = [*size, 0, 0, *self.epilogue_arguments[4:]]
        chunks = Value(self.start + EPILOGUE_CHUNKS)
        return KernelStep("product_epilogue", epilogue.function, chunks, arguments)

    def _pointer(self, view: StridedView) -> Pointer:
        pointer = self.layout.pointer(view.base)
        if not view.offset.terms:
            return pointer
        return Pointer(pointer.buffer, Value(self.offsets[(view.base, view.offset)]))

    def _problem(self, arguments: Sequence[int]) -> GemmProblem:
        value = self.step.value
        shape = [extent.evaluate(arguments) for extent in value.shape]
        k = value.inputs[0].shape[-1].evaluate(arguments)
        a = [stride.evaluate(arguments) for stride in self.left.strides]
        b = [stride.evaluate(arguments) for stride in self.right.strides]
        extents, a_batch, b_batch = fold_batch(shape[:-2], a[:-2], b[:-2])
        m, n = shape[-2:]
        return GemmProblem(m, n, k, (a[-2], a[-1]), (b[-2], b[-1]), n, extents, a_batch, b_batch)

    def _scratch_size(self, which: int) -> Callable[[Binder], int]:
        def size(binder: Binder) -> int:
            variant, problem = binder.problems[self.number]
            return native_product(self.dtype.name, variant).code.scratch_bytes(problem)[which]

        return size


def fold_batch(
    extents: list[int], a: list[int], b: list[int]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Batch dimensions with neighbours joined where both operands step through them as through one."""
    folded: list[tuple[int, int, int]] = []
    for extent, left, right in zip(extents, a, b):
        if extent == 1:
            continue
        if folded:
            before, left_before, right_before = folded[-1]
            if left_before == left * extent and right_before == right * extent:
                folded[-1] = (before * extent, left, right)
                continue
        folded.append((extent, left, right))
    return tuple(f[0] for f in folded), tuple(f[1] for f in folded), tuple(f[2] for f in folded)
