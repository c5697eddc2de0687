"""Plans: a compiled program with its code, bound to sizes, buffers and numbers for each run.

A `Plan` serves every graph with its key. `bind` evaluates the symbolic integers once for each set of
arguments: extents and strides, numbers of chunks, places of temporary values in one arena. A run then only
fills in addresses and scalars.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tarry.base.dtypes import Dtype
from tarry.base.settings import settings
from tarry.codegen.assemble import Target
from tarry.codegen.gemm import GemmProblem, GemmSpec, choose_variant
from tarry.compiler.access import StridedView, strided_view
from tarry.compiler.fuse import Copy
from tarry.compiler.lowered import (
    BufferBinding,
    CheckBinding,
    IntBinding,
    LoweredKernel,
    LoweredProduct,
    ScalarBinding,
    ScratchBinding,
    Work,
)
from tarry.compiler.pipeline import Compiled, compile_program
from tarry.compiler.program import Value as ProgramValue
from tarry.engine.keying import Recorded
from tarry.engine.native import NativeKernel, native_kernel, native_product, thread_pool
from tarry.engine.scalars import packer
from tarry.engine.stepwise import run_stepwise
from tarry.graph.node import Node, Storage, dense_storage, strided_storage
from tarry.loops.poly import Poly
from tarry.runtime.counters import counters
from tarry.runtime.memory import Buffer, allocator
from tarry.runtime.plan import Argument, HostStep, IntArray, KernelStep, Pointer, StepTable, Value

# Additions worth a chunk of their own: about ten microseconds of one core.
CHUNK_COST = 1 << 16
MOST_CHUNKS = 64
# Chunks of a loop that is also the vector loop start at multiples of this (codegen.emit).
VECTOR_CHUNK = 64
# Bindings kept for each plan: sizes come and go, but a training loop has few.
MOST_BINDINGS = 64
STATUS_BYTES = 64


def chunk_count(work: Work, arguments: Sequence[int]) -> int:
    """How many chunks a kernel is cut into: by sizes alone, so that results do not depend on threads."""
    if work.extent is None:
        return 1
    extent = work.extent.evaluate(arguments)
    most = -(-extent // VECTOR_CHUNK) if work.vector else extent
    cost = extent * work.inner.evaluate(arguments) * max(1, work.cost)
    return max(1, min(most, MOST_CHUNKS, cost // CHUNK_COST))


class _Place:
    """Where a stored value lives: leaf, output or arena number among the plan's buffers, or a temporary."""

    __slots__ = ("buffer", "first", "last", "offset_value", "value")

    def __init__(self, value: ProgramValue, buffer: int, offset_value: int, first: int) -> None:
        self.value = value
        self.buffer = buffer
        self.offset_value = offset_value
        self.first = first
        self.last = first


class _Temporary:
    """Bytes in the arena during steps first..last; `size` computes them from the arguments."""

    __slots__ = ("first", "last", "offset_value", "size")

    def __init__(self, size: Callable[[Binder], int], first: int, last: int, offset_value: int) -> None:
        self.size = size
        self.first = first
        self.last = last
        self.offset_value = offset_value


class Bound:
    """A plan for one set of arguments."""

    __slots__ = ("aliases", "arena_bytes", "copied_bytes", "fresh_bytes", "table", "values")

    def __init__(self, table: StepTable, values: IntArray, arena_bytes: int) -> None:
        self.table = table
        self.values = values
        self.arena_bytes = arena_bytes
        self.aliases: list[tuple[int, tuple[int, ...]] | None] = []
        self.fresh_bytes: list[int] = []
        self.copied_bytes = 0


class Binder:
    """The values of a plan for one set of arguments, as they are found."""

    __slots__ = ("arguments", "chunks", "problems", "values")

    def __init__(self, arguments: Sequence[int], count: int) -> None:
        self.arguments = arguments
        self.values = [0] * count
        self.chunks: dict[int, int] = {}
        self.problems: dict[int, tuple[str, GemmProblem]] = {}


class Plan:
    """Code and layout for all graphs with one key."""

    def __init__(self, recorded: Recorded) -> None:
        started = time.perf_counter()
        self.compiled: Compiled = compile_program(recorded.program())
        self.output_numbers = tuple(recorded.outputs)
        self.leaf_count = len(recorded.leaves)
        self.leaf_sizes = [leaf.dtype.size for leaf in recorded.leaves]
        self._count = 0  # values so far
        self._polys: dict[Poly, int] = {}
        self._chunk_values: dict[int, int] = {}
        self._product_values: dict[int, int] = {}
        # Byte offsets of product operands that do not start where their base does.
        self._offsets: dict[tuple[ProgramValue, Poly], int] = {}
        self._temporaries: list[_Temporary] = []
        self._places: dict[ProgramValue, _Place] = {}
        self._scalar_values: dict[tuple[int, str], int] = {}
        self.scalar_packers: list[tuple[int, int, Callable[[Any], int]]] = []
        self.checks: list[ProgramValue] = []
        self.fresh: list[ProgramValue] = []  # values that get buffers of their own, in order
        self._layout()
        self.kernels: list[NativeKernel | None] = [
            native_kernel(step.kernel) if isinstance(step, LoweredKernel) else None
            for step in self.compiled.steps
        ]
        self._arguments: list[list[Argument]] = [
            self._kernel_arguments(number, step) if isinstance(step, LoweredKernel) else []
            for number, step in enumerate(self.compiled.steps)
        ]
        self._reserve_products()
        self._tables: dict[tuple[str, ...], StepTable] = {}
        self.bindings: dict[tuple[int, ...], Bound] = {}
        if settings.debug >= 1:
            elapsed = 1e3 * (time.perf_counter() - started)
            count = len(self.compiled.steps)
            print(f"[plan] built in {elapsed:.1f} ms: {count} steps", file=sys.stderr)

    # layout: which buffer every stored value is in

    @property
    def _arena(self) -> int:
        return self.leaf_count + len(self.fresh)

    @property
    def _status(self) -> int:
        return self._arena + 1

    def _layout(self) -> None:
        wanted: set[ProgramValue] = set()
        for output in self.compiled.outputs:
            base = output.base if isinstance(output, StridedView) else output
            if not base.leaf:
                wanted.add(base)
        taken = self.compiled.takes_over
        root: dict[ProgramValue, ProgramValue] = {}
        for value in self.compiled.stored:
            root[value] = root[taken[value]] if value in taken else value
        outside = {root[value] for value in wanted}
        for value in self.compiled.stored:
            if root[value] is value and value in outside:
                self.fresh.append(value)
        written = self._written()
        for value in self.compiled.stored:
            home = root[value]
            if home is not value:
                self._places[value] = self._places[home]
            elif value in outside:
                number = self.leaf_count + self.fresh.index(value)
                self._places[value] = _Place(value, number, -1, written[value])
            else:
                self._places[value] = _Place(value, -1, self._new_value(), written[value])
        self._note_uses()
        for value in self.compiled.stored:
            place = self._places[value]
            if place.value is value and place.buffer < 0:
                size = _bytes_of(value)
                self._temporaries.append(_Temporary(size, place.first, place.last, place.offset_value))

    def _written(self) -> dict[ProgramValue, int]:
        written: dict[ProgramValue, int] = {}
        for number, step in enumerate(self.compiled.steps):
            if isinstance(step, LoweredProduct):
                written[step.value] = number
                continue
            for binding, param in zip(step.bindings, step.kernel.params):
                if isinstance(binding, BufferBinding) and getattr(param, "mode", "in") != "in":
                    written.setdefault(binding.value, number)
        return written

    def _note_uses(self) -> None:
        for number, step in enumerate(self.compiled.steps):
            if isinstance(step, LoweredProduct):
                used = [step.value, *(self._operand(step, k).base for k in (0, 1))]
            else:
                used = [b.value for b in step.bindings if isinstance(b, BufferBinding)]
            for value in used:
                place = self._places.get(value)
                if place is not None:
                    place.last = max(place.last, number)

    def _operand(self, step: LoweredProduct, number: int) -> StridedView:
        found = strided_view(step.value.inputs[number], set(self._places))
        assert isinstance(found, StridedView)
        return found

    # values: integers found at binding

    def _new_value(self) -> int:
        self._count += 1
        return self._count - 1

    def _poly_value(self, poly: Poly) -> int:
        number = self._polys.get(poly)
        if number is None:
            number = self._new_value()
            self._polys[poly] = number
        return number

    def _pointer(self, value: ProgramValue) -> Pointer:
        if value.leaf:
            return Pointer(value.node)
        place = self._places[value]
        if place.buffer >= 0:
            return Pointer(place.buffer)
        return Pointer(self._arena, Value(place.offset_value))

    def _kernel_arguments(self, number: int, step: LoweredKernel) -> list[Argument]:
        arguments: list[Argument] = []
        for binding in step.bindings:
            if isinstance(binding, BufferBinding):
                arguments.append(self._pointer(binding.value))
            elif isinstance(binding, IntBinding):
                arguments.append(Value(self._poly_value(binding.poly)))
            elif isinstance(binding, ScalarBinding):
                arguments.append(Value(self._scalar_value(binding)))
            elif isinstance(binding, ScratchBinding):
                size = _scratch_bytes(number, binding)
                arguments.append(self._temporary_pointer(size, number))
            elif isinstance(binding, CheckBinding):
                arguments.append(len(self.checks))
                self.checks.append(binding.value)
            else:
                arguments.append(Pointer(self._status))
        self._chunk_values[number] = self._new_value()
        kernel = self.kernels[number]
        assert kernel is not None
        if kernel.partial_bytes:
            size = _partial_bytes(number, kernel.partial_bytes)
            arguments.append(self._temporary_pointer(size, number))
        return arguments

    def _scalar_value(self, binding: ScalarBinding) -> int:
        key = (binding.number, binding.dtype.name)
        found = self._scalar_values.get(key)
        if found is None:
            found = self._new_value()
            self._scalar_values[key] = found
            self.scalar_packers.append((found, binding.number, packer(binding.dtype)))
        return found

    def _temporary_pointer(self, size: Callable[[Binder], int], step: int) -> Pointer:
        offset = self._new_value()
        self._temporaries.append(_Temporary(size, step, step, offset))
        return Pointer(self._arena, Value(offset))

    # binding

    def bind(self, arguments: Sequence[int]) -> Bound:
        """The plan for these arguments."""
        binder = Binder(arguments, self._count)
        for poly, number in self._polys.items():
            binder.values[number] = poly.evaluate(arguments)
        variants: list[str] = []
        for number, step in enumerate(self.compiled.steps):
            if isinstance(step, LoweredKernel):
                binder.chunks[number] = chunk_count(step.work, arguments)
                binder.values[self._chunk_values[number]] = binder.chunks[number]
            else:
                problem = self._problem(step, arguments)
                chosen = choose_variant(problem, GemmSpec(step.value.dtype.name), Target.host())
                binder.problems[number] = chosen
                variants.append(f"{chosen[0]}{chosen[1].is_swapped}")
                self._fill_product(number, step, binder)
        arena = self._place_temporaries(binder)
        for (base, offset), number in self._offsets.items():
            start = 0 if base.leaf else self._places[base].offset_value
            before = 0 if base.leaf or start < 0 else binder.values[start]
            binder.values[number] = before + offset.evaluate(arguments) * base.dtype.size
        table = self._tables.get(tuple(variants))
        if table is None:
            table = self._make_table(binder)
            self._tables[tuple(variants)] = table
        bound = Bound(table, np.array(binder.values, np.int64), arena)
        bound.aliases = [_alias(output, arguments) for output in self.compiled.outputs]
        bound.fresh_bytes = [_bytes_of(value)(binder) for value in self.fresh]
        copies = [value for value in self.compiled.stored if isinstance(value.primitive, Copy)]
        bound.copied_bytes = sum(_bytes_of(value)(binder) for value in copies)
        if len(self.bindings) >= MOST_BINDINGS:
            self.bindings.pop(next(iter(self.bindings)))
        self.bindings[tuple(arguments)] = bound
        return bound

    def _reserve_products(self) -> None:
        """Values for the 26 slots of every product, its two scratch offsets and its two chunk counts."""
        for number, step in enumerate(self.compiled.steps):
            if isinstance(step, LoweredProduct):
                for k in (0, 1):
                    view = self._operand(step, k)
                    if view.offset.terms:
                        self._offsets.setdefault((view.base, view.offset), self._new_value())
                self._product_values[number] = self._count
                self._count += 30
                start = self._product_values[number]
                for k in (0, 1):
                    size = _product_scratch(number, step.value.dtype, k)
                    self._temporaries.append(_Temporary(size, number, number, start + 26 + k))

    def _problem(self, step: LoweredProduct, arguments: Sequence[int]) -> GemmProblem:
        left, right = self._operand(step, 0), self._operand(step, 1)
        shape = [extent.evaluate(arguments) for extent in step.value.shape]
        k = step.value.inputs[0].shape[-1].evaluate(arguments)
        a = [stride.evaluate(arguments) for stride in left.strides]
        b = [stride.evaluate(arguments) for stride in right.strides]
        extents, a_batch, b_batch = _fold_batch(shape[:-2], a[:-2], b[:-2])
        m, n = shape[-2:]
        return GemmProblem(
            m, n, k, (a[-2], a[-1]), (b[-2], b[-1]), n, extents, a_batch, b_batch
        )

    def _fill_product(self, number: int, step: LoweredProduct, binder: Binder) -> None:
        variant, problem = binder.problems[number]
        native = native_product(step.value.dtype.name, variant)
        start = self._product_values[number]
        slots = problem.slots(native.code.blocks(problem), 1, 2, 3, 4, 5)
        binder.values[start : start + 26] = [*slots, *([0] * (26 - len(slots)))]
        for k, stage in enumerate(native.code.steps):
            binder.values[start + 28 + k] = stage.chunks(problem)

    def _place_temporaries(self, binder: Binder) -> int:
        """Give each temporary a place in the arena that no other one alive at the same time has."""
        placed: list[tuple[int, int, _Temporary]] = []
        arena = 0
        sized = [(temporary.size(binder), temporary) for temporary in self._temporaries]
        for size, temporary in sorted(sized, key=lambda pair: -pair[0]):
            size = max(64, -(-size // 64) * 64 + 64)
            busy = sorted(
                (low, high)
                for low, high, other in placed
                if other.first <= temporary.last and temporary.first <= other.last
            )
            offset = 0
            for low, high in busy:
                if offset + size <= low:
                    break
                offset = max(offset, high)
            placed.append((offset, offset + size, temporary))
            binder.values[temporary.offset_value] = offset
            arena = max(arena, offset + size)
        return arena

    def _make_table(self, binder: Binder) -> StepTable:
        steps: list[KernelStep | HostStep] = []
        for number, step in enumerate(self.compiled.steps):
            if isinstance(step, LoweredProduct):
                steps.extend(self._product_steps(number, step, binder))
                continue
            kernel = self.kernels[number]
            assert kernel is not None
            chunks = Value(self._chunk_values[number])
            steps.append(
                KernelStep(kernel.name, kernel.function, chunks, self._arguments[number], kernel.finish)
            )
        return StepTable(steps)

    def _product_steps(self, number: int, step: LoweredProduct, binder: Binder) -> list[KernelStep]:
        variant, problem = binder.problems[number]
        native = native_product(step.value.dtype.name, variant)
        left, right = self._operand(step, 0), self._operand(step, 1)
        if problem.is_swapped:
            left, right = right, left
        start = self._product_values[number]
        out = self._pointer(step.value)
        size = step.value.dtype.size
        packed = Pointer(self._arena, Value(start + 26))
        partial = Pointer(self._arena, Value(start + 27))
        if not _blocks_narrow(native.code.scratch_bytes(problem)):
            partial = out
        arguments: list[Argument] = [
            self._offset_pointer(left, size), self._offset_pointer(right, size), out, packed, partial,
            *(Value(start + k) for k in range(5, 26)),
        ]  # fmt: skip
        return [
            KernelStep(stage.symbol, function, Value(start + 28 + k), arguments)
            for k, (stage, function) in enumerate(zip(native.code.steps, native.functions))
        ]

    def _offset_pointer(self, view: StridedView, size: int) -> Pointer:
        pointer = self._pointer(view.base)
        if not view.offset.terms:
            return pointer
        offset = self._offsets[(view.base, view.offset)]
        return Pointer(pointer.buffer, Value(offset))

    # running

    def run(self, recorded: Recorded) -> None:
        """Compute the wanted nodes of a recorded graph and give them their values."""
        bound = self.bindings.get(tuple(recorded.arguments))
        if bound is None:
            bound = self.bind(recorded.arguments)
        values = bound.values
        if self.scalar_packers:
            values = values.copy()
            scalars = recorded.scalars
            for number, scalar, pack in self.scalar_packers:
                values[number] = pack(scalars[scalar])
        addresses: list[int] = []
        for leaf, size in zip(recorded.leaves, self.leaf_sizes):
            storage = leaf.storage
            assert storage is not None
            addresses.append(storage.buffer.address + storage.offset * size)
        buffers: list[Buffer] = []
        nodes = recorded.nodes
        for nbytes in bound.fresh_bytes:
            buffer = allocator.allocate(nbytes)
            buffers.append(buffer)
            addresses.append(buffer.address)
        arena = allocator.allocate(bound.arena_bytes)
        addresses.append(arena.address)
        status: Buffer | None = None
        if self.checks:
            status = allocator.allocate(STATUS_BYTES)
            status.view(np.int64, 0, (4,), (8,))[:] = 0
            addresses.append(status.address)
        where = np.array(addresses, np.int64)
        if settings.debug >= 2 or settings.check >= 2:
            run_stepwise(
                bound.table,
                self.compiled.steps,
                thread_pool(),
                where,
                values,
                recorded.arguments,
                recorded.scalars,
            )
        else:
            bound.table.run(thread_pool(), where, values)
        counters.bytes_copied += bound.copied_bytes
        if status is not None:
            self._raise_failures(status, nodes)
        self._hand_out(recorded, bound, buffers)

    def _hand_out(self, recorded: Recorded, bound: Bound, buffers: list[Buffer]) -> None:
        nodes = recorded.nodes
        held = dict(zip(self.fresh, buffers))
        for number, output, alias in zip(self.output_numbers, self.compiled.outputs, bound.aliases):
            node = nodes[number]
            if alias is None:
                assert isinstance(output, ProgramValue)
                node.storage = self._storage(output, held, recorded, node)
                continue
            assert isinstance(output, StridedView)
            offset, strides = alias
            if output.base.leaf:
                base = recorded.leaves[output.base.node].storage
                assert base is not None
                node.storage = strided_storage(base.buffer, base.offset + offset, node.shape, strides)
            else:
                buffer = held[self._places[output.base].value]
                node.storage = strided_storage(buffer, offset, node.shape, strides)

    def _storage(
        self, output: ProgramValue, held: dict[ProgramValue, Buffer], recorded: Recorded, node: Node
    ) -> Storage:
        if output.leaf:
            storage = recorded.leaves[output.node].storage
            assert storage is not None
            return storage
        return dense_storage(held[self._places[output].value], node.shape)

    def _raise_failures(self, status: Buffer, nodes: list[Node]) -> None:
        flag, slot, index, extent = status.view(np.int64, 0, (4,), (8,)).tolist()
        if not flag:
            return
        value = self.checks[slot]
        node = nodes[value.node]
        name = node.call.name if node.call is not None else "index"
        where = f" (recorded at {node.call.where})" if node.call is not None else ""
        raise IndexError(
            f"[{name}] Index {index} is out of range for an axis of {extent} elements{where}."
        )

    def __str__(self) -> str:
        return str(self.compiled)


def _fold_batch(
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


def _alias(
    output: ProgramValue | StridedView, arguments: Sequence[int]
) -> tuple[int, tuple[int, ...]] | None:
    if isinstance(output, ProgramValue):
        return None
    strides = tuple([stride.evaluate(arguments) for stride in output.strides])
    return output.offset.evaluate(arguments), strides


def _bytes_of(value: ProgramValue) -> Callable[[Binder], int]:
    def size(binder: Binder) -> int:
        count = value.dtype.size
        for extent in value.shape:
            count *= extent.evaluate(binder.arguments)
        return count

    return size


def _scratch_bytes(step: int, binding: ScratchBinding) -> Callable[[Binder], int]:
    def size(binder: Binder) -> int:
        return binder.chunks[step] * binding.extent.evaluate(binder.arguments) * binding.dtype.size

    return size


def _partial_bytes(step: int, each: int) -> Callable[[Binder], int]:
    return lambda binder: binder.chunks[step] * each


def _product_scratch(step: int, dtype: Dtype, which: int) -> Callable[[Binder], int]:
    def size(binder: Binder) -> int:
        variant, problem = binder.problems[step]
        return native_product(dtype.name, variant).code.scratch_bytes(problem)[which]

    return size


def _blocks_narrow(scratch: tuple[int, int]) -> bool:
    return scratch[1] > 0
