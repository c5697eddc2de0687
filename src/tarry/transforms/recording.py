"""What the transforms share: the sources of a trace, the walk from them, and calls with rules of their own.

A transform gives the user's function fresh nodes (the sources), and looks afterwards at what lies between
them and the outputs. Every trace has sources of its own, so nested transforms of the same variable never mix.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from tarry.graph.array import array, wrap
from tarry.graph.node import Node
from tarry.graph.tracing import retain_graph, retains_graph
from tarry.loops.builder import Builder
from tarry.loops.ir import Instr
from tarry.ops.elementwise import Elementwise, Partial
from tarry.ops.structure import Piece, Position, View, ViewSizes

GroupKey = tuple["CustomCall", tuple[Node, ...]]


class Identity(Elementwise):
    """The value itself on a node of its own: where a trace begins."""

    name = "Identity"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return args[0]

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return 1

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        # The trace that needed a node of its own ended before the batch is made.
        assert axes[0] is not None
        return inputs[0], axes[0]


_IDENTITY = Identity()


class _Sources(threading.local):
    def __init__(self) -> None:
        self.evaluated: list[Node] = []


_sources = _Sources()


class Trace(retain_graph):
    """retain_graph, with sources. When the outermost trace of the thread ends, evaluated sources let go of
    what they were made from, so that a value carried through a loop does not keep its whole history."""

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        if not retains_graph():
            for node in _sources.evaluated:
                node.inputs = ()
            _sources.evaluated.clear()

    def source(self, value: array) -> Node:
        """A new node with the value. It stays connected to the value's own node, for the traces around."""
        node = value._node
        fresh = Node(_IDENTITY, (node,), node.shape, node.dtype, node.storage)
        if node.storage is not None:
            _sources.evaluated.append(fresh)
        return fresh


class CustomCall:
    """One call of a function that brings its own rules; its outputs are `CustomOutput` nodes.

    The rules see all outputs at once. They are asked for only where the class says it has them; otherwise
    a transform goes through what the function recorded.
    """

    __slots__ = ("outputs",)

    def __init__(self, outputs: int) -> None:
        self.outputs = outputs

    def has_rule(self, transform: str) -> bool:
        """Whether there is a rule for "vjp", "jvp" or "vmap"."""
        raise NotImplementedError

    def vjp(
        self, primals: Sequence[array], cotangents: Sequence[array], outputs: Sequence[array]
    ) -> list[array | None]:
        """The cotangents of all primals; None stands for zero."""
        raise NotImplementedError

    def jvp(self, primals: Sequence[array], tangents: Sequence[array | None]) -> list[array | None]:
        """The tangents of all outputs; None stands for zero."""
        raise NotImplementedError

    def vmap(
        self, primals: Sequence[array], axes: Sequence[int | None], size: int
    ) -> tuple[list[array], list[int | None]]:
        """All outputs for a batch, and the places of their batch axes."""
        raise NotImplementedError


class CustomOutput(View):
    """Output `number` of a custom call. Inputs: its value as the function computed it, then the primals.

    The compiler sees a view of the first input.
    """

    name = "CustomOutput"
    shaped = False
    __slots__ = ("call", "number")

    def __init__(self, call: CustomCall, number: int) -> None:
        self.call = call
        self.number = number
        super().__init__()

    def pull(self, position: Position, sizes: ViewSizes) -> list[Piece]:
        return [Piece(0, position)]

    def followed(self, inputs: tuple[Node, ...], transform: str) -> tuple[Node, ...]:
        """The inputs through which the output depends on a source, as this transform sees it."""
        if self.call.has_rule(transform):
            return inputs[1:]
        return inputs if transform == "vmap" else inputs[:1]

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        """Without a rule of the call: the cotangent of the value."""
        return [cotangent if number == 0 else None for number in wanted]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        """Without a rule of the call: the tangent of the value."""
        return tangents[0]


def group_of(node: Node, primitive: CustomOutput) -> GroupKey:
    """Which outputs belong together: the same call on the same primals."""
    return primitive.call, node.inputs[1:]


def record_call(call: CustomCall, values: Sequence[array], primals: Sequence[array]) -> list[array]:
    """The outputs of a call, from the values its function computed."""
    sources = tuple([primal._node for primal in primals])
    outputs = []
    for number, value in enumerate(values):
        node = value._node
        outputs.append(
            wrap(Node(CustomOutput(call, number), (node, *sources), node.shape, node.dtype))
        )
    return outputs


def dependents(outputs: Iterable[Node], sources: Iterable[Node], transform: str) -> list[Node]:
    """The nodes that depend on a source, inputs before users, without the sources.

    The walk stops at the sources: what they were made from is older, and cannot depend on any of them. It
    walks evaluated nodes like others, and does not recurse.
    """
    active = set(sources)
    seen = set(active)
    between: list[Node] = []
    stack: list[tuple[Node, tuple[Node, ...] | None]] = [(output, None) for output in outputs]
    stack.reverse()
    while stack:
        node, followed = stack.pop()
        if followed is not None:
            for source in followed:
                if source in active:
                    active.add(node)
                    between.append(node)
                    break
            continue
        if node in seen:
            continue
        seen.add(node)
        primitive = node.primitive
        if type(primitive) is CustomOutput:
            followed = primitive.followed(node.inputs, transform)
        else:
            followed = node.inputs
        if followed:
            stack.append((node, followed))
            for source in reversed(followed):
                if source not in seen:
                    stack.append((source, None))
    return between
