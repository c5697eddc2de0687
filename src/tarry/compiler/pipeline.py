"""The compiler as one flat list of passes, each with text to print and something to verify."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

from tarry.base.settings import settings
from tarry.compiler.access import StridedView
from tarry.compiler.fuse import Fusion, fuse
from tarry.compiler.group import Group
from tarry.compiler.lower import lower_group
from tarry.compiler.lower_update import lower_update
from tarry.compiler.lowered import LoweredKernel, LoweredProduct, LoweredStep
from tarry.compiler.product_epilogue import epilogue_home, lower_product
from tarry.compiler.program import Program, Value, ValueGraph, symbolic_values
from tarry.compiler.simplify import simplify
from tarry.loops.text import print_kernel
from tarry.loops.verify import verify_kernel
from tarry.ops.indexed import Scatter
from tarry.ops.products import Matmul
from tarry.ops.slices import SliceUpdate

T = TypeVar("T")


class Compiled:
    """What the compiler made of a program: steps in order, and where the wanted values are.

    stored      the values that need memory, in order of being written
    takes_over  an update -> the value whose buffer it changes in place
    outputs     for each wanted value of the program: the value itself, or how to see it in another's memory
    """

    __slots__ = ("outputs", "steps", "stored", "takes_over")

    def __init__(
        self,
        steps: list[LoweredStep],
        stored: list[Value],
        takes_over: dict[Value, Value],
        outputs: list[Value | StridedView],
    ) -> None:
        self.steps = steps
        self.stored = stored
        self.takes_over = takes_over
        self.outputs = outputs

    def __str__(self) -> str:
        return "\n".join(print_step(number, step) for number, step in enumerate(self.steps))


def print_step(number: int, step: LoweredStep) -> str:
    """The nest of a step, with what its parameters are bound to."""
    if isinstance(step, LoweredProduct):
        head = f"# step {number}: {step.value!r}\n"
        return head if step.epilogue is None else head + print_step(number, step.epilogue)
    bound = ", ".join(f"{p.name}={b!r}" for p, b in zip(step.kernel.params, step.bindings))
    return f"# step {number}: {bound}\n{print_kernel(step.kernel)}"


def compile_program(program: Program) -> Compiled:
    """Run every pass on a program."""
    graph = _pass("record", lambda: symbolic_values(program))
    graph = _pass("simplify", lambda: simplify(graph))
    fusion = _pass("fuse", lambda: fuse(graph))
    return _pass("lower", lambda: lower(fusion))


def _pass(name: str, run: Callable[[], T]) -> T:
    started = time.perf_counter()
    result = run()
    if settings.debug >= 3:
        elapsed = 1e3 * (time.perf_counter() - started)
        print(f"--- {name} ({elapsed:.1f} ms)\n{result}", file=sys.stderr)
    return result


def lower(fusion: Fusion) -> Compiled:
    """Lower every group and check the nests."""
    live = _live(fusion)
    steps: list[LoweredStep] = []
    stored: list[Value] = []
    takes_over: dict[Value, Value] = {}
    for number, group in enumerate(fusion.groups):
        steps.append(_lower_group(f"step{number}", group, live))
        if group.barrier:
            stored.append(group.value)
            home = epilogue_home(group, live)
            if home is not None:
                takes_over[home] = group.value
            stored.extend(value for value in group.members if value is not group.value and value in live)
            if isinstance(group.value.primitive, (Scatter, SliceUpdate)):
                takes_over[group.value] = group.value.inputs[0]
        else:
            stored.extend(value for value in group.members if value in live)
    if settings.check:
        for step in steps:
            kernel = step if isinstance(step, LoweredKernel) else step.epilogue
            if kernel is not None:
                verify_kernel(kernel.kernel)
    outputs: list[Value | StridedView] = [fusion.aliases.get(v, v) for v in fusion.graph.outputs]
    return Compiled(steps, stored, takes_over, outputs)


def _lower_group(name: str, group: Group, live: set[Value]) -> LoweredStep:
    if isinstance(group.value.primitive, Matmul) and group.barrier:
        return lower_product(name, group, live)
    if group.barrier:
        return lower_update(name, group)
    return lower_group(name, group, live)


def _live(fusion: Fusion) -> set[Value]:
    """The stored values that a group reads from memory, or that are wanted."""
    live: set[Value] = set()
    for group in fusion.groups:
        live.update(group.external)
    for value in fusion.graph.outputs:
        alias = fusion.aliases.get(value)
        live.add(value if alias is None else alias.base)
    return live


def verify_graph(graph: ValueGraph) -> None:
    """ValueError unless every value comes after its inputs."""
    seen: set[Value] = set()
    for value in graph.values:
        for source in value.inputs:
            if source not in seen:
                raise ValueError(f"[verify] {value!r} comes before its input {source!r}.")
        seen.add(value)
