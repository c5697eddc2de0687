"""Plans: a compiled program with its code, bound to sizes, buffers and numbers for each run.

A `Plan` serves every graph with its key. `bind` evaluates the symbolic integers once for each set of
arguments: extents and strides, numbers of chunks, places of temporary values in one arena. A run then only
fills in addresses and scalars.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from tarry.base.settings import settings
from tarry.compiler.access import StridedView
from tarry.compiler.fuse import Copy
from tarry.compiler.lower_call import LoweredCall
from tarry.compiler.lowered import (
    BufferBinding,
    CheckBinding,
    IntBinding,
    LoweredKernel,
    LoweredProduct,
    RectangleBinding,
    ScalarBinding,
    ScratchBinding,
)
from tarry.compiler.pipeline import Compiled, compile_program
from tarry.compiler.program import Value as ProgramValue
from tarry.engine.binding import Binder, Temporary
from tarry.engine.chunks import chunk_count
from tarry.engine.host_calls import CallFailure, HostCall
from tarry.engine.keying import Recorded, is_free
from tarry.engine.native import NativeKernel, native_kernel, thread_pool
from tarry.engine.native_calls import SortCall
from tarry.engine.products import Product, operand
from tarry.engine.scalars import ScalarSlots
from tarry.engine.stepwise import run_stepwise
from tarry.graph.node import Node, Storage, strided_storage
from tarry.graph.subgraph import Expanded, call_of
from tarry.loops.poly import Poly
from tarry.runtime.counters import counters
from tarry.runtime.memory import Buffer, allocator
from tarry.runtime.plan import Argument, HostStep, IntArray, KernelStep, Pointer, StepTable, Value

# Bindings kept for each plan: sizes come and go, but a training loop has few.
MOST_BINDINGS = 64
STATUS_BYTES = 64


class _Place:
    """Where a stored value lives: leaf, output or arena number among the plan's buffers, or a temporary."""

    __slots__ = ("buffer", "first", "last", "offset_value", "value")

    def __init__(self, value: ProgramValue, buffer: int, offset_value: int, first: int) -> None:
        self.value = value
        self.buffer = buffer
        self.offset_value = offset_value
        self.first = first
        self.last = first


class Output:
    """Where a wanted value is: fresh buffer `place`, or leaf `place`; `dense` if all of it as it stands."""

    __slots__ = ("dense", "from_leaf", "number", "offset", "place", "strides")

    def __init__(
        self, number: int, from_leaf: bool, place: int, offset: int, strides: tuple[int, ...], dense: bool
    ) -> None:
        self.number = number
        self.from_leaf = from_leaf
        self.place = place
        self.offset = offset
        self.strides = strides
        self.dense = dense


class Bound:
    """A plan for one set of arguments."""

    __slots__ = ("arena_bytes", "copied_bytes", "fresh_bytes", "outputs", "table", "values")

    def __init__(self, table: StepTable, values: IntArray, arena_bytes: int) -> None:
        self.table = table
        self.values = values
        self.arena_bytes = arena_bytes
        self.outputs: list[Output] = []
        self.fresh_bytes: list[int] = []
        self.copied_bytes = 0


class Plan:
    """Code and layout for all graphs with one key."""

    def __init__(self, recorded: Recorded) -> None:
        started = time.perf_counter()
        expanded = Expanded(recorded.nodes)
        self.compiled: Compiled = compile_program(recorded.program(expanded))
        self._origins = expanded.origins
        self.output_numbers = tuple(recorded.outputs)
        self.leaf_count = len(recorded.leaves)
        self.leaf_sizes = [leaf.dtype.size for leaf in recorded.leaves]
        self._count = 0  # values so far
        self._polys: dict[Poly, int] = {}
        self._chunk_values: dict[int, int] = {}
        self._temporaries: list[Temporary] = []
        self._places: dict[ProgramValue, _Place] = {}
        self._scalars = ScalarSlots()
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
        self._products = {
            number: Product(self, number, step, set(self._places))
            for number, step in enumerate(self.compiled.steps)
            if isinstance(step, LoweredProduct)
        }
        self._sorts: dict[int, SortCall] = {}
        self._calls = {
            number: self._call_step(number, step)
            for number, step in enumerate(self.compiled.steps)
            if isinstance(step, LoweredCall)
        }
        self._scalars.freeze()
        self._tables: dict[tuple[str, ...], StepTable] = {}
        self.bindings: dict[tuple[int, ...], Bound] = {}
        if settings.debug >= 1:
            elapsed = 1e3 * (time.perf_counter() - started)
            count = len(self.compiled.steps)
            print(f"[plan] built in {elapsed:.1f} ms: {count} steps", file=sys.stderr)

    def _call_step(self, number: int, step: LoweredCall) -> KernelStep | HostStep:
        if not step.call.routine:
            return HostCall(step).step(self.pointer, self._poly_value)
        self._sorts[number] = SortCall(self, number, step)
        return self._sorts[number].step

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
        taken = self.compiled.takeovers.settled
        root: dict[ProgramValue, ProgramValue] = {}
        for value in self.compiled.stored:
            under = taken.get(value)
            root[value] = value if under is None else root.get(under, under)
        outside = {root[value] for value in wanted}
        for value in self.compiled.stored:
            if root[value] is value and value in outside:
                self.fresh.append(value)
        leaves = self.compiled.takeovers.leaves
        self._inherits = [[leaf.node for leaf in leaves.get(value, ())] for value in self.fresh]
        written = self._written()
        for value in self.compiled.stored:
            home = root[value]
            if home.leaf:
                self._places[value] = _Place(home, home.node, -1, written[value])
            elif home is not value:
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
                self._temporaries.append(Temporary(size, place.first, place.last, place.offset_value))

    def _written(self) -> dict[ProgramValue, int]:
        written: dict[ProgramValue, int] = {}
        for number, step in enumerate(self.compiled.steps):
            if isinstance(step, LoweredCall):
                written.update((value, number) for value in step.results)
                continue
            if isinstance(step, LoweredProduct):
                written[step.value] = number
            kernel = step.epilogue if isinstance(step, LoweredProduct) else step
            if kernel is None:
                continue
            for binding, param in zip(kernel.bindings, kernel.kernel.params):
                if isinstance(binding, BufferBinding) and getattr(param, "mode", "in") != "in":
                    written.setdefault(binding.value, number)
        return written

    def _note_uses(self) -> None:
        for number, step in enumerate(self.compiled.steps):
            kernel: LoweredKernel | None = None
            if isinstance(step, LoweredCall):
                used = [*step.results, *[view.base for view in step.operands]]
            elif isinstance(step, LoweredProduct):
                used = [step.value, *(operand(step, k, set(self._places)).base for k in (0, 1))]
                kernel = step.epilogue
            else:
                used, kernel = [], step
            if kernel is not None:
                used += [b.value for b in kernel.bindings if isinstance(b, BufferBinding)]
            for value in used:
                place = self._places.get(value)
                if place is not None:
                    place.last = max(place.last, number)

    # values: integers found at binding

    def _new_value(self) -> int:
        return self.new_values(1)

    def new_values(self, count: int) -> int:
        """Reserve `count` consecutive values; returns the first."""
        self._count += count
        return self._count - count

    def add_temporary(self, temporary: Temporary) -> None:
        self._temporaries.append(temporary)

    def arena_offset(self, value: ProgramValue) -> int | None:
        """The value with the place of a temporary in the arena; None for what has a buffer of its own."""
        place = None if value.leaf else self._places[value].offset_value
        return None if place is None or place < 0 else place

    def arena_pointer(self, offset_value: int) -> Pointer:
        return Pointer(self._arena, Value(offset_value))

    def _poly_value(self, poly: Poly) -> int:
        number = self._polys.get(poly)
        if number is None:
            number = self._new_value()
            self._polys[poly] = number
        return number

    def pointer(self, value: ProgramValue) -> Pointer:
        if value.leaf:
            return Pointer(value.node)
        place = self._places[value]
        if place.buffer >= 0:
            return Pointer(place.buffer)
        return Pointer(self._arena, Value(place.offset_value))

    def arguments(self, number: int, step: LoweredKernel) -> list[Argument]:
        """What the parameters of kernel `step`, part of step `number`, are bound to."""
        arguments: list[Argument] = []
        for binding in step.bindings:
            if isinstance(binding, BufferBinding):
                arguments.append(self.pointer(binding.value))
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
            elif isinstance(binding, RectangleBinding):
                arguments.append(0)
            else:
                arguments.append(Pointer(self._status))
        return arguments

    def _kernel_arguments(self, number: int, step: LoweredKernel) -> list[Argument]:
        arguments = self.arguments(number, step)
        self._chunk_values[number] = self._new_value()
        kernel = self.kernels[number]
        assert kernel is not None
        if kernel.partial_bytes:
            size = _partial_bytes(number, kernel.partial_bytes)
            arguments.append(self._temporary_pointer(size, number))
        return arguments

    def _scalar_value(self, binding: ScalarBinding) -> int:
        key = (binding.number, binding.dtype.name)
        found = self._scalars.places.get(key)
        if found is None:
            found = self._new_value()
            self._scalars.add(binding.number, binding.dtype, found)
        return found

    def _temporary_pointer(self, size: Callable[[Binder], int], step: int) -> Pointer:
        offset = self._new_value()
        self._temporaries.append(Temporary(size, step, step, offset))
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
            elif isinstance(step, LoweredProduct):
                variants.append(self._products[number].bind(binder))
        for sort in self._sorts.values():
            sort.bind(binder)
        arena = self._place_temporaries(binder)
        for product in self._products.values():
            product.place(binder)
        table = self._tables.get(tuple(variants))
        if table is None:
            table = self._make_table(binder)
            self._tables[tuple(variants)] = table
        bound = Bound(table, np.array(binder.values, np.int64), arena)
        bound.outputs = self._outputs(arguments)
        bound.fresh_bytes = [_bytes_of(value)(binder) for value in self.fresh]
        copies = [value for value in self.compiled.stored if isinstance(value.primitive, Copy)]
        bound.copied_bytes = sum(_bytes_of(value)(binder) for value in copies)
        if len(self.bindings) >= MOST_BINDINGS:
            self.bindings.pop(next(iter(self.bindings)))
        self.bindings[tuple(arguments)] = bound
        return bound

    def _place_temporaries(self, binder: Binder) -> int:
        """Give each temporary a place in the arena that no other one alive at the same time has."""
        placed: list[tuple[int, int, Temporary]] = []
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
                steps.extend(self._products[number].steps(binder))
                continue
            if isinstance(step, LoweredCall):
                steps.append(self._calls[number])
                continue
            kernel = self.kernels[number]
            assert kernel is not None
            chunks = Value(self._chunk_values[number])
            steps.append(
                KernelStep(kernel.name, kernel.function, chunks, self._arguments[number], kernel.finish)
            )
        return StepTable(steps)

    # running

    def run(self, recorded: Recorded) -> None:
        """Compute the wanted nodes of a recorded graph and give them their values."""
        bound = self.bindings.get(tuple(recorded.arguments))
        if bound is None:
            bound = self.bind(recorded.arguments)
        values = self._scalars.fill(bound.values, recorded.scalars)
        addresses = _leaf_addresses(recorded, self.leaf_sizes)
        buffers: list[Buffer] = []
        given_up: list[Node] = []
        allocate = allocator.allocate
        for nbytes, candidates in zip(bound.fresh_bytes, self._inherits):
            for leaf in candidates:
                if is_free(recorded, leaf):
                    given_up.append(recorded.leaves[leaf])
                    buffers.append(_buffer_of(recorded.leaves[leaf]))
                    break
            else:
                buffers.append(allocate(nbytes))
            addresses.append(buffers[-1].address)
        if bound.arena_bytes:
            arena = allocate(bound.arena_bytes)
            addresses.append(arena.address)
        else:
            addresses.append(0)
        status: Buffer | None = None
        if self.checks:
            status = allocate(STATUS_BYTES)
            status.view(np.int64, 0, (4,), (8,))[:] = 0
            addresses.append(status.address)
        try:
            self._run_table(recorded, bound, addresses, values)
            if status is not None:
                self._raise_failures(status, recorded.nodes)
        except BaseException as problem:
            for node in given_up:
                node.storage = None  # perhaps overwritten: what depends on it has no value any more
            if isinstance(problem, CallFailure):
                raise self._host_error(problem, recorded.nodes) from None
            raise
        counters.bytes_copied += bound.copied_bytes
        self._hand_out(recorded, bound, buffers)

    def _run_table(self, recorded: Recorded, bound: Bound, addresses: list[int], values: IntArray) -> None:
        if settings.debug < 2 and settings.check < 2:
            bound.table.run(thread_pool(), addresses, values)
            return
        run_stepwise(
            bound.table,
            [step for step in self.compiled.steps if not isinstance(step, LoweredCall)],
            thread_pool(),
            np.array(addresses, np.int64),
            values,
            recorded.arguments,
            recorded.scalars,
        )

    def _outputs(self, arguments: Sequence[int]) -> list[Output]:
        """Where the wanted values are, for one set of arguments."""
        outputs: list[Output] = []
        for number, output in zip(self.output_numbers, self.compiled.outputs):
            base = output.base if isinstance(output, StridedView) else output
            home = base if base.leaf else self._places[base].value
            place = home.node if home.leaf else self.fresh.index(home)
            if isinstance(output, StridedView):
                strides = tuple([stride.evaluate(arguments) for stride in output.strides])
                offset = output.offset.evaluate(arguments)
                outputs.append(Output(number, home.leaf, place, offset, strides, False))
            else:
                strides = tuple([stride.evaluate(arguments) for stride in base.layout()])
                outputs.append(Output(number, home.leaf, place, 0, strides, True))
        return outputs

    def _hand_out(self, recorded: Recorded, bound: Bound, buffers: list[Buffer]) -> None:
        nodes = recorded.nodes
        for output in bound.outputs:
            node = nodes[output.number]
            if not output.from_leaf:
                buffer = buffers[output.place]
                if output.dense:
                    node.storage = Storage(buffer, 0, output.strides, True)
                else:
                    node.storage = strided_storage(buffer, output.offset, node.shape, output.strides)
                continue
            base = recorded.leaves[output.place].storage
            assert base is not None
            if output.dense:
                node.storage = base
            else:
                offset = base.offset + output.offset
                node.storage = strided_storage(base.buffer, offset, node.shape, output.strides)

    def _raise_failures(self, status: Buffer, nodes: list[Node]) -> None:
        flag, slot, index, extent = status.view(np.int64, 0, (4,), (8,)).tolist()
        if not flag:
            return
        value = self.checks[slot]
        name, where = self._user_call(value, nodes, "index")
        raise IndexError(
            f"[{name}] Index {index} is out of range for an axis of {extent} elements{where}."
        )

    def _host_error(self, failure: CallFailure, nodes: list[Node]) -> RuntimeError:
        name, where = self._user_call(failure.value, nodes, "eval")
        return RuntimeError(f"[{name}] {failure.message}{where}.")

    def _user_call(self, value: ProgramValue, nodes: list[Node], otherwise: str) -> tuple[str, str]:
        """What the user called, and where, in the words of an error message."""
        call = call_of(self._origins[value.node], nodes)
        return (otherwise, "") if call is None else (call.name, f" (recorded at {call.where})")

    def __str__(self) -> str:
        return str(self.compiled)


def _leaf_addresses(recorded: Recorded, sizes: list[int]) -> list[int]:
    addresses = []
    for leaf, size in zip(recorded.leaves, sizes):
        storage = leaf.storage
        assert storage is not None
        addresses.append(storage.buffer.address + storage.offset * size)
    return addresses


def _buffer_of(leaf: Node) -> Buffer:
    assert leaf.storage is not None
    return leaf.storage.buffer


def _bytes_of(value: ProgramValue) -> Callable[[Binder], int]:
    def size(binder: Binder) -> int:
        count = value.dtype.size
        for extent in value.shape:
            count *= extent.evaluate(binder.arguments)
        return count

    return size


def _scratch_bytes(step: int, binding: ScratchBinding) -> Callable[[Binder], int]:
    def size(binder: Binder) -> int:
        copies = 1 if binding.shared else binder.chunks[step]
        return copies * binding.extent.evaluate(binder.arguments) * binding.dtype.size

    return size


def _partial_bytes(step: int, each: int) -> Callable[[Binder], int]:
    return lambda binder: binder.chunks[step] * each
