"""What the transforms share: the sources of a trace, the walk from them, and calls with rules of their own.

A transform gives the user's function fresh nodes (the sources), and looks afterwards at what lies between
them and the outputs. Every trace has sources of its own, so nested transforms of the same variable never mix.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tarry.graph.array import array, wrap
from tarry.graph.node import Node
from tarry.graph.tracing import forget_inputs, is_outermost, retain_graph
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


class Trace:
    """Sources, and a retained graph while it lasts.

    When the outermost trace of the thread ends, evaluated sources let go of what they were made from: a value
    carried through a loop must not keep its whole history.
    """

    __slots__ = ("_retained", "origins")

    def __init__(self) -> None:
        self._retained = retain_graph()
        # The evaluated nodes that sources stand for.
        self.origins: dict[Node, Node] = {}

    def __enter__(self) -> Trace:
        self._retained.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._retained.__exit__(*exception)

    def source(self, value: array) -> Node:
        """A new node with the value, connected to the value's own node for the traces around this one."""
        node = value._node
        if node.storage is not None and is_outermost():
            fresh = Node(None, (), node.shape, node.dtype, node.storage)
            self.origins[fresh] = node
            return fresh
        fresh = Node(_IDENTITY, (node,), node.shape, node.dtype, node.storage)
        if node.storage is not None:
            forget_inputs([fresh])
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
        self,
        primals: Sequence[array],
        cotangents: Sequence[array],
        outputs: Sequence[array],
        wanted: Sequence[int],
    ) -> list[array | None]:
        """The cotangents of all primals; None stands for zero, and for those that are not in `wanted`."""
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
    """Output `number` of a custom call. Inputs: all outputs as the function computed them, then the primals.

    The compiler sees a view of one input.
    """

    name = "CustomOutput"
    __slots__ = ("call", "number")

    def __init__(self, call: CustomCall, number: int) -> None:
        self.call = call
        self.number = number
        super().__init__()

    def params(self) -> tuple[object, ...]:
        return (self.number,)

    def pull(self, position: Position, sizes: ViewSizes) -> list[Piece]:
        return [Piece(self.number, position)]

    def followed(self, inputs: tuple[Node, ...], transform: str) -> tuple[Node, ...]:
        """The inputs through which the output depends on a source, as this transform sees it."""
        if self.call.has_rule(transform):
            return inputs[self.call.outputs :]
        return inputs if transform == "vmap" else (inputs[self.number],)

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        """Without a rule of the call: the cotangent of the value."""
        return [cotangent if number == self.number else None for number in wanted]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        """Without a rule of the call: the tangent of the value."""
        return tangents[self.number]


def group_of(node: Node, primitive: CustomOutput) -> GroupKey:
    """Which outputs belong together: the same call on the same nodes."""
    return primitive.call, node.inputs


def primals_of(key: GroupKey) -> list[array]:
    """The primals of a call."""
    call, inputs = key
    return [wrap(source) for source in inputs[call.outputs :]]


def outputs_of(key: GroupKey) -> list[array]:
    """All outputs of a call, as nodes of the call."""
    call, inputs = key
    found = []
    for number in range(call.outputs):
        # A tuple each: who counts references must meet all of them.
        sources = (*inputs,)
        value = inputs[number]
        found.append(wrap(Node(CustomOutput(call, number), sources, value.shape, value.dtype)))
    return found


def record_call(call: CustomCall, values: Sequence[array], primals: Sequence[array]) -> list[array]:
    """The outputs of a call, from the values its function computed."""
    return outputs_of((call, tuple([item._node for item in (*values, *primals)])))


def dependents(outputs: Iterable[Node], sources: Iterable[Node], transform: str | None = None) -> list[Node]:
    """The nodes that depend on a source, inputs before users, without the sources.

    The walk stops at the sources: what they were made from is older, and cannot depend on any of them. It
    goes through evaluated nodes like others, and does not recurse. A custom call is followed as `transform`
    sees it, or like any node without one.
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
        if transform is not None and type(primitive) is CustomOutput:
            followed = primitive.followed(node.inputs, transform)
        else:
            followed = node.inputs
        if followed:
            stack.append((node, followed))
            for source in reversed(followed):
                if source not in seen:
                    stack.append((source, None))
    return between
