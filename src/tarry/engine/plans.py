"""Plans: a compiled program with its code, bound to sizes, buffers and numbers for each run.

A `Plan` serves every graph with its key; it brings a recipe (`engine.recipe`) to life. `bind` evaluates the
symbolic integers once for each set of arguments: extents and strides, numbers of chunks, places of temporary
values in one arena. A run then only fills in addresses and scalars.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tarry.base.dtypes import BY_NAME
from tarry.base.settings import settings
from tarry.engine.binding import Binder
from tarry.engine.chunks import chunk_count
from tarry.engine.host_calls import CallFailure
from tarry.engine.keying import Recorded, is_free
from tarry.engine.native import native_text, thread_pool
from tarry.engine.placement import place_temporaries
from tarry.engine.plan_cache import recall_recipe, remember_recipe
from tarry.engine.recipe import KernelPart, Origin, Recipe, SteppingPart
from tarry.engine.scalars import ScalarSlots
from tarry.engine.stepwise import run_stepwise
from tarry.graph.node import Node, Storage, strided_storage
from tarry.graph.subgraph import call_of
from tarry.runtime.counters import counters
from tarry.runtime.memory import Buffer, allocator
from tarry.runtime.plan import HostStep, IntArray, KernelStep, StepTable, Value

if TYPE_CHECKING:
    from tarry.compiler.pipeline import Compiled

# Bindings kept for each plan: sizes come and go, but a training loop has few.
MOST_BINDINGS = 64
STATUS_BYTES = 64
# A smaller result gets a buffer of its own: that takes less time than to find out who holds another.
LEAST_TAKEN_OVER = 512


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

    __slots__ = ("arena_bytes", "copied_bytes", "fresh", "hosted", "outputs", "table", "values")

    def __init__(self, table: StepTable, values: IntArray, arena_bytes: int) -> None:
        self.table = table
        self.values = values
        self.arena_bytes = arena_bytes
        self.outputs: list[Output] = []
        # Results that hold temporaries until they are written, and the values with their offsets.
        self.hosted: list[tuple[int, IntArray]] = []
        # The bytes of each result, and the leaves whose buffer it may take over.
        self.fresh: list[tuple[int, list[int]]] = []
        self.copied_bytes = 0


def make_plan(recorded: Recorded) -> Plan:
    """The plan for a recorded graph: from the recipe on disk, or through the compiler."""
    started = time.perf_counter()
    # Nearly all that is made here lives as long as the plan, so the collector would only look on.
    collects = gc.isenabled()
    gc.disable()
    try:
        recipe = recall_recipe(recorded)
        if recipe is not None:
            counters.plans_loaded += 1
            return Plan(recipe, recorded.outputs)
        # A warm start never gets here, and does without the compiler.
        from tarry.engine.planning import make_recipe

        recipe, compiled = make_recipe(recorded)
        remember_recipe(recorded, recipe)
        plan = Plan(recipe, recorded.outputs, compiled if settings.watching else None)
    finally:
        if collects:
            gc.enable()
    if settings.debug >= 1:
        elapsed = 1e3 * (time.perf_counter() - started)
        print(f"[plan] built in {elapsed:.1f} ms: {len(recipe.parts)} steps", file=sys.stderr)
    return plan


class Plan:
    """A recipe with its code, for all graphs with one key."""

    def __init__(
        self, recipe: Recipe, output_numbers: Sequence[int], compiled: Compiled | None = None
    ) -> None:
        self.recipe = recipe
        self.output_numbers = tuple(output_numbers)
        self.leaf_count = len(recipe.leaf_sizes)
        self.compiled = compiled  # kept for those who look
        self._kernels = [
            native_text(part.text) if isinstance(part, KernelPart) else None for part in recipe.parts
        ]
        self._stepping = [part for part in recipe.parts if isinstance(part, SteppingPart)]
        self._scalars = ScalarSlots()
        for number, name, value in recipe.scalars:
            self._scalars.add(number, BY_NAME[name], value)
        self._scalars.freeze()
        self._tables: dict[tuple[str, ...], StepTable] = {}
        self.bindings: dict[tuple[int, ...], Bound] = {}

    # binding

    def bind(self, arguments: Sequence[int]) -> Bound:
        """The plan for these arguments."""
        recipe = self.recipe
        binder = Binder(arguments, recipe.count)
        for poly, number in recipe.polys:
            binder.values[number] = poly.evaluate(arguments)
        variants: list[str] = []
        for number, part in enumerate(recipe.parts):
            if isinstance(part, KernelPart):
                binder.chunks[number] = chunk_count(part.work, arguments)
                binder.values[part.chunk_value] = binder.chunks[number]
            else:
                variants.append(part.bind(binder))
        fresh_bytes = [size(binder) for size in recipe.fresh]
        placement = place_temporaries(recipe, binder, fresh_bytes)
        for stepping in self._stepping:
            stepping.place(binder)
        table = self._tables.get(tuple(variants))
        if table is None:
            table = self._make_table(binder)
            self._tables[tuple(variants)] = table
        try:
            numbers = np.array(binder.values, np.int64)
        except OverflowError:
            raise OverflowError("[eval] A size or a stride of the arrays does not fit in 64 bits.") from None
        bound = Bound(table, numbers, placement.arena_bytes)
        bound.hosted = [(host, self._dependent(numbers)) for host, numbers in placement.hosted]
        bound.outputs = self._outputs(arguments)
        bound.fresh = [
            (nbytes, candidates if nbytes >= LEAST_TAKEN_OVER else [])
            for nbytes, candidates in zip(fresh_bytes, recipe.inherits)
        ]
        bound.copied_bytes = sum([size(binder) for size in recipe.copies])
        if len(self.bindings) >= MOST_BINDINGS:
            self.bindings.pop(next(iter(self.bindings)))
        self.bindings[tuple(arguments)] = bound
        return bound

    def _dependent(self, offsets: Sequence[int]) -> IntArray:
        """These values and those that are computed from them."""
        known = set(offsets)
        derived = [value for part in self._stepping for base, value in part.offset_values() if base in known]
        return np.array([*offsets, *derived], np.int64)

    def _make_table(self, binder: Binder) -> StepTable:
        steps: list[KernelStep | HostStep] = []
        for part, kernel in zip(self.recipe.parts, self._kernels):
            if isinstance(part, SteppingPart):
                steps.extend(part.steps(binder))
                continue
            assert kernel is not None
            chunks = Value(part.chunk_value)
            steps.append(KernelStep(kernel.name, kernel.function, chunks, part.arguments, kernel.finish))
        return StepTable(steps)

    # running

    def run(self, recorded: Recorded) -> None:
        """Compute the wanted nodes of a recorded graph and give them their values."""
        # Few calls, as in `engine.keying.record`.
        recipe = self.recipe
        leaves = recorded.leaves
        bound = self.bindings.get(tuple(recorded.arguments))
        if bound is None:
            bound = self.bind(recorded.arguments)
        values = bound.values
        if recorded.scalars:
            values = self._scalars.fill(values, recorded.scalars)
        addresses: list[int] = []
        storage: Storage | None
        for leaf, size in zip(leaves, recipe.leaf_sizes):
            storage = leaf.storage
            assert storage is not None
            addresses.append(storage.buffer.address + storage.offset * size)
        # References to leaves and to what is theirs are going to be counted.
        leaf = storage = None  # type: ignore[assignment]
        buffers: list[Buffer] = []
        given_up: list[Node] = []
        for nbytes, candidates in bound.fresh:
            for number in candidates:
                if is_free(recorded, number):
                    given_up.append(leaves[number])
                    buffer = _buffer_of(leaves[number])
                    break
            else:
                buffer = allocator.allocate(nbytes)
            buffers.append(buffer)
            addresses.append(buffer.address)
        if bound.arena_bytes:
            arena = allocator.allocate(bound.arena_bytes)
            addresses.append(arena.address)
        else:
            addresses.append(0)
        if bound.hosted:
            values = _hosted_values(bound, values, buffers, addresses[-1])
        status = None if not recipe.checks else _status_buffer(addresses)
        try:
            if self.compiled is None:
                bound.table.run(thread_pool(), addresses, values)
            else:
                self._run_watched(recorded, bound, addresses, values)
            if status is not None:
                self._raise_failures(status, recorded.nodes)
        except BaseException as problem:
            for leaf in given_up:
                leaf.storage = None  # perhaps overwritten: what depends on it has no value any more
            if isinstance(problem, CallFailure):
                raise self._host_error(problem, recorded.nodes) from None
            raise
        counters.bytes_copied += bound.copied_bytes
        nodes = recorded.nodes
        for output in bound.outputs:
            if output.from_leaf or not output.dense:
                _give_view(nodes[output.number], output, leaves, buffers)
            else:
                nodes[output.number].storage = Storage(buffers[output.place], 0, output.strides, True)

    def _run_watched(self, recorded: Recorded, bound: Bound, addresses: list[int], values: IntArray) -> None:
        if settings.debug < 2 and settings.check < 2:
            bound.table.run(thread_pool(), addresses, values)
            return
        assert self.compiled is not None
        run_stepwise(
            bound.table,
            self.compiled.steps,
            thread_pool(),
            np.array(addresses, np.int64),
            values,
            recorded.arguments,
            recorded.scalars,
        )

    def _outputs(self, arguments: Sequence[int]) -> list[Output]:
        """Where the wanted values are, for one set of arguments."""
        outputs: list[Output] = []
        for number, part in zip(self.output_numbers, self.recipe.outputs):
            strides = tuple([stride.evaluate(arguments) for stride in part.strides])
            offset = part.offset.evaluate(arguments)
            outputs.append(Output(number, part.from_leaf, part.place, offset, strides, part.dense))
        return outputs

    def _raise_failures(self, status: Buffer, nodes: list[Node]) -> None:
        flag, slot, index, extent = status.view(np.int64, 0, (4,), (8,)).tolist()
        if not flag:
            return
        name, where = _user_call(self.recipe.checks[slot], nodes, "index")
        raise IndexError(
            f"[{name}] Index {index} is out of range for an axis of {extent} elements{where}."
        )

    def _host_error(self, failure: CallFailure, nodes: list[Node]) -> RuntimeError:
        name, where = _user_call(failure.origin, nodes, "eval")
        return RuntimeError(f"[{name}] {failure.message}{where}.")


def _user_call(origin: Origin, nodes: list[Node], otherwise: str) -> tuple[str, str]:
    """What the user called, and where, in the words of an error message."""
    call = call_of(origin, nodes)
    return (otherwise, "") if call is None else (call.name, f" (recorded at {call.where})")


def _hosted_values(bound: Bound, values: IntArray, buffers: Sequence[Buffer], arena: int) -> IntArray:
    """The values of a run, in which temporaries in a result have their place relative to the arena."""
    values = values.copy()
    for host, numbers in bound.hosted:
        values[numbers] += buffers[host].address - arena
    return values


def _status_buffer(addresses: list[int]) -> Buffer:
    """Where kernels write what failed: zeros. Adds its address."""
    status = allocator.allocate(STATUS_BYTES)
    status.view(np.int64, 0, (4,), (8,))[:] = 0
    addresses.append(status.address)
    return status


def _give_view(node: Node, output: Output, leaves: Sequence[Node], buffers: Sequence[Buffer]) -> None:
    """Give a node its value, which is part of a buffer or belongs to a leaf, too."""
    if not output.from_leaf:
        node.storage = strided_storage(buffers[output.place], output.offset, node.shape, output.strides)
        return
    base = leaves[output.place].storage
    assert base is not None
    if output.dense:
        node.storage = base
    else:
        node.storage = strided_storage(base.buffer, base.offset + output.offset, node.shape, output.strides)


def _buffer_of(leaf: Node) -> Buffer:
    assert leaf.storage is not None
    return leaf.storage.buffer
