"""Matrix products in plans: operands as strides over memory, a variant for every set of sizes, their steps.

A product has one block of values in its plan: the argument table of the kernels (`codegen.gemm_problem`), the
places of its two pieces of scratch memory, the numbers of chunks of its steps, and the size of the whole
result. Variants with little output run the epilogue as a last step of its own, on the whole result; the
others call it themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from tarry.codegen.assemble import Target
from tarry.codegen.gemm import GemmProblem, GemmSpec, choose_variant
from tarry.codegen.gemm_problem import EPILOGUE_SLOTS, POINTER_SLOTS, SLOTS
from tarry.engine.binding import Binder
from tarry.engine.native import native_kernel, native_product, native_text
from tarry.engine.recipe import SteppingPart, Temporary
from tarry.loops.text import print_kernel
from tarry.runtime.plan import Argument, HostStep, KernelStep, Pointer, Value

if TYPE_CHECKING:
    from tarry.compiler.access import StridedView
    from tarry.compiler.lowered import LoweredKernel, LoweredProduct
    from tarry.compiler.program import Value as ProgramValue

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
    """What products ask of the layout they belong to."""

    def new_values(self, count: int) -> int:
        """Reserve `count` consecutive values; returns the first."""

    def add_temporary(self, temporary: Temporary) -> None: ...

    def pointer(self, value: ProgramValue) -> Pointer: ...

    def arena_pointer(self, offset_value: int) -> Pointer: ...

    def arguments(self, number: int, step: LoweredKernel) -> list[Argument]:
        """What the parameters of a kernel are bound to; 0 for the rectangle of an epilogue."""

    def arena_offset(self, value: ProgramValue) -> int | None:
        """The value with the place of a temporary in the arena; None for what has a buffer of its own."""


class Operand:
    """An operand of a product: where it lies, and its strides.

    One that does not start where its buffer does has its byte offset in value `offset_value`: `offset`
    elements after the place of a temporary, if `base_value` is the value with that place.
    """

    __slots__ = ("base_value", "offset", "offset_value", "pointer", "size", "strides")

    def __init__(self, layout: Layout, view: StridedView) -> None:
        self.strides = tuple(view.strides)
        self.size = view.base.dtype.size
        self.offset = view.offset
        self.base_value = layout.arena_offset(view.base)
        self.offset_value = -1
        self.pointer = layout.pointer(view.base)
        if view.offset.terms:
            self.offset_value = layout.new_values(1)
            self.pointer = Pointer(self.pointer.buffer, Value(self.offset_value))

    def place(self, binder: Binder) -> None:
        """Fill in the byte offset."""
        if self.offset_value >= 0:
            before = 0 if self.base_value is None else binder.values[self.base_value]
            binder.values[self.offset_value] = before + self.offset.evaluate(binder.arguments) * self.size


class Epilogue:
    """The kernel that follows a product: its text, what it works on, and its arguments."""

    __slots__ = ("arguments", "text", "work")

    def __init__(self, layout: Layout, number: int, step: LoweredKernel) -> None:
        native_kernel(step.kernel)  # begins to compile
        self.text = print_kernel(step.kernel, canonical=True)
        self.work = step.work
        self.arguments = layout.arguments(number, step)


class Product(SteppingPart):
    """One product of a plan."""

    __slots__ = ("depth", "dtype", "epilogue", "left", "number", "out", "packed", "partial", "right", "shape",
                 "start")  # fmt: skip

    def __init__(
        self, layout: Layout, number: int, step: LoweredProduct, operands: Sequence[StridedView]
    ) -> None:
        self.number = number
        self.dtype = step.value.dtype.name
        self.shape = tuple(step.value.shape)
        self.depth = step.value.inputs[0].shape[-1]
        self.left, self.right = (Operand(layout, view) for view in operands)
        self.start = layout.new_values(VALUE_COUNT)
        self.out = layout.pointer(step.value)
        places = [self.start + SCRATCH_VALUE + which for which in (0, 1)]
        layout.add_temporary(Temporary(self._packed_bytes, number, number, places[0]))
        layout.add_temporary(Temporary(self._partial_bytes, number, number, places[1]))
        self.packed, self.partial = (layout.arena_pointer(place) for place in places)
        self.epilogue = None if step.epilogue is None else Epilogue(layout, number, step.epilogue)

    def bind(self, binder: Binder) -> str:
        """Choose a variant and fill in the values; returns what the steps depend on."""
        problem = self._problem(binder.arguments)
        variant, problem = choose_variant(problem, GemmSpec(self.dtype), Target.host())
        binder.problems[self.number] = variant, problem
        native = native_product(self.dtype, variant)
        slots = problem.slots(native.code.blocks(problem), 1, 2, 3, 4, 5)[:SLOT_COUNT]
        binder.values[self.start : self.start + SLOT_COUNT] = slots
        for k, stage in enumerate(native.code.steps):
            binder.values[self.start + CHUNK_VALUE + k] = stage.chunks(problem)
        if self.epilogue is not None:
            self._bind_epilogue(self.epilogue, binder)
        return f"{variant}{problem.is_swapped}"

    def _bind_epilogue(self, epilogue: Epilogue, binder: Binder) -> None:
        assert epilogue.work.extent is not None
        rows = epilogue.work.extent.evaluate(binder.arguments)
        columns = epilogue.work.inner.evaluate(binder.arguments)
        cost = rows * columns * max(1, epilogue.work.cost)
        binder.values[self.start + ROWS_VALUE] = rows
        binder.values[self.start + COLUMNS_VALUE] = columns
        binder.values[self.start + EPILOGUE_CHUNKS] = max(1, min(rows, cost // EPILOGUE_CHUNK_COST))

    def place(self, binder: Binder) -> None:
        self.left.place(binder)
        self.right.place(binder)

    def offset_values(self) -> list[tuple[int, int]]:
        operands = (self.left, self.right)
        return [
            (one.base_value, one.offset_value)
            for one in operands
            if one.base_value is not None and one.offset_value >= 0
        ]

    def steps(self, binder: Binder) -> Sequence[KernelStep | HostStep]:
        """The kernels that compute the product with the variant chosen."""
        variant, problem = binder.problems[self.number]
        native = native_product(self.dtype, variant)
        left, right = self.left.pointer, self.right.pointer
        if problem.is_swapped:
            left, right = right, left
        partial = self.out if native.code.sums_in_result else self.partial
        arguments: list[Argument] = [
            left, right, self.out, self.packed, partial,
            *(Value(self.start + k) for k in range(len(POINTER_SLOTS), SLOT_COUNT)),
        ]  # fmt: skip
        inside = self.epilogue is not None and native.code.calls_epilogue
        if self.epilogue is not None and inside:
            function = native_text(self.epilogue.text).function
            arguments += [function, len(self.epilogue.arguments), *self.epilogue.arguments]
        else:
            arguments += [0, 0]
        steps = [
            KernelStep(stage.symbol, function, Value(self.start + CHUNK_VALUE + k), arguments)
            for k, (stage, function) in enumerate(zip(native.code.steps, native.functions))
        ]
        if self.epilogue is not None and not inside:
            steps.append(self._epilogue_step(self.epilogue))
        return steps

    def _epilogue_step(self, epilogue: Epilogue) -> KernelStep:
        """The epilogue on the whole result."""
        size = [Value(self.start + ROWS_VALUE), Value(self.start + COLUMNS_VALUE)]
        arguments = [*size, 0, 0, *epilogue.arguments[4:]]
        chunks = Value(self.start + EPILOGUE_CHUNKS)
        return KernelStep("product_epilogue", native_text(epilogue.text).function, chunks, arguments)

    def _problem(self, arguments: Sequence[int]) -> GemmProblem:
        shape = [extent.evaluate(arguments) for extent in self.shape]
        k = self.depth.evaluate(arguments)
        a = [stride.evaluate(arguments) for stride in self.left.strides]
        b = [stride.evaluate(arguments) for stride in self.right.strides]
        extents, a_batch, b_batch = fold_batch(shape[:-2], a[:-2], b[:-2])
        m, n = shape[-2:]
        return GemmProblem(m, n, k, (a[-2], a[-1]), (b[-2], b[-1]), n, extents, a_batch, b_batch)

    def _packed_bytes(self, binder: Binder) -> int:
        return self._scratch_bytes(binder)[0]

    def _partial_bytes(self, binder: Binder) -> int:
        return self._scratch_bytes(binder)[1]

    def _scratch_bytes(self, binder: Binder) -> tuple[int, int]:
        variant, problem = binder.problems[self.number]
        return native_product(self.dtype, variant).code.scratch_bytes(problem)


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
