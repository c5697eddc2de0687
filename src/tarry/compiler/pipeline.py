"""The compiler as one flat list of passes, each with text to print and something to verify."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from tarry.base.settings import settings
from tarry.compiler.access import StridedView
from tarry.compiler.fuse import Fusion, fuse
from tarry.compiler.group import Group
from tarry.compiler.inplace import Takeovers, add_takeovers
from tarry.compiler.lower import lower_group
from tarry.compiler.lower_call import LoweredCall, lower_call
from tarry.compiler.lower_row_scan import fits_row_scan, lower_row_scan
from tarry.compiler.lower_scan import lower_scan
from tarry.compiler.lower_update import lower_update
from tarry.compiler.lowered import LoweredProduct, LoweredStep
from tarry.compiler.product_epilogue import epilogue_home, lower_product
from tarry.compiler.program import Program, Value, symbolic_values
from tarry.compiler.simplify import simplify
from tarry.compiler.trace import Instance
from tarry.compiler.turn_products import turn_products
from tarry.graph.primitive import Primitive
from tarry.loops.text import print_kernel
from tarry.ops.calls import Call
from tarry.ops.indexed import Scatter
from tarry.ops.products import Matmul
from tarry.ops.scans import Scan
from tarry.ops.slices import SliceUpdate

T = TypeVar("T")


class Compiled:
    """What the compiler made of a program: steps in order, and where the wanted values are.

    stored      the values that need memory, in order of being written
    takeovers   whose buffers values are written into: of updates, epilogues and others (compiler.inplace)
    outputs     for each wanted value of the program: the value itself, or how to see it in another's memory
    """

    __slots__ = ("outputs", "steps", "stored", "takeovers")

    def __init__(
        self,
        steps: list[LoweredStep | LoweredCall],
        stored: list[Value],
        takeovers: Takeovers,
        outputs: list[Value | StridedView],
    ) -> None:
        self.steps = steps
        self.stored = stored
        self.takeovers = takeovers
        self.outputs = outputs

    def __str__(self) -> str:
        return "\n".join(print_step(number, step) for number, step in enumerate(self.steps))


def print_step(number: int, step: LoweredStep | LoweredCall) -> str:
    """The nest of a step, with what its parameters are bound to."""
    if isinstance(step, LoweredCall):
        return f"# step {number}: {step!r}\n"
    if isinstance(step, LoweredProduct):
        head = f"# step {number}: {step.value!r}\n"
        return head if step.epilogue is None else head + print_step(number, step.epilogue)
    bound = ", ".join(f"{p.name}={b!r}" for p, b in zip(step.kernel.params, step.bindings))
    return f"# step {number}: {bound}\n{print_kernel(step.kernel)}"


def compile_program(program: Program) -> Compiled:
    """Run every pass on a program."""
    graph = _pass("record", lambda: symbolic_values(program))
    graph = _pass("simplify", lambda: simplify(graph))
    graph = _pass("turn products", lambda: turn_products(graph))
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
    """Lower every group."""
    live = _live(fusion)
    outputs: list[Value | StridedView] = [fusion.aliases.get(v, v) for v in fusion.graph.outputs]
    wanted = {output.base if isinstance(output, StridedView) else output for output in outputs}
    stored: list[Value] = []
    takeovers = Takeovers()
    for group in fusion.groups:
        members = [value for value in group.members if value in live and value is not group.value]
        if not group.barrier:
            stored.extend(value for value in group.members if value in live)
            continue
        results = [value for value in group.results if value in live]
        stored += results or [group.value, *members]
        home = epilogue_home(group, live)
        if home is not None:
            takeovers.settled[home] = group.value
        if group.value.primitive is not None and group.value.primitive.updates:
            takeovers.settled[group.value] = group.value.inputs[0]
    add_takeovers(fusion.groups, live, wanted, takeovers)
    heirs = takeovers.heirs()
    steps: list[LoweredStep | LoweredCall] = []
    for number, group in enumerate(fusion.groups):
        name = f"step{number}"
        if not group.barrier:
            steps.append(lower_group(name, group, live, heirs))
            continue
        new, between = _lower_barrier(name, group, live)
        steps += new
        stored += between
    return Compiled(steps, stored, takeovers, outputs)


# The steps of a group, and values besides the program's that they store for each other.
Lowered = tuple[Sequence[LoweredStep | LoweredCall], Sequence[Value]]


def _lower_any_scan(name: str, group: Group, live: set[Value]) -> Lowered:
    if not fits_row_scan(group):
        return [lower_scan(name, group)], []
    kernels, totals = lower_row_scan(name, group)
    return kernels, [totals]


# How the kernels are made of ops that have their own: the one place that names the families.
BARRIERS: dict[type[Primitive], Callable[[str, Group, set[Value]], Lowered]] = {
    Matmul: lambda name, group, live: ([lower_product(name, group, live)], []),
    Call: lambda name, group, live: ([lower_call(group, live)], []),
    Scan: _lower_any_scan,
    Scatter: lambda name, group, live: ([lower_update(name, group)], []),
    SliceUpdate: lambda name, group, live: ([lower_update(name, group)], []),
}


def _lower_barrier(name: str, group: Group, live: set[Value]) -> Lowered:
    for family, lower_family in BARRIERS.items():
        if isinstance(group.value.primitive, family):
            return lower_family(name, group, live)
    raise AssertionError(f"[lower] no kernel for {group.value!r}")


def _live(fusion: Fusion) -> set[Value]:
    """The stored values that a group reads from memory, or that are wanted."""
    live: set[Value] = set()
    for group in fusion.groups:
        live.update(group.external)
        live.update(_read_back(group))
    for value in fusion.graph.outputs:
        alias = fusion.aliases.get(value)
        live.add(value if alias is None else alias.base)
    return live


def _read_back(group: Group) -> set[Value]:
    """The members that a later pass of their own kernel reads from memory."""
    found: set[Value] = set()
    latest: dict[Instance, int] = {}  # the last pass that needs each instance
    for member in group.members.values():
        latest[member.sink] = max(member.stage, latest.get(member.sink, 0))
    for instance in reversed(group.trace.instances):
        stage = latest.get(instance, 0)
        for operand in instance.operands:
            latest[operand] = max(stage, latest.get(operand, 0))
        source = group.members.get(instance.value) if instance.loaded else None
        if source is not None and source.level == "full" and source.stage < stage:
            found.add(source.value)
    return found
