"""From nodes to a plan key: structure goes into the key, sizes, offsets and numbers into the arguments.

Every distinct size is a symbol in order of appearance; a size of 1 is structure. Two graphs with the same key
differ only in what their argument vectors and scalars say, so one plan serves both.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tarry.base.shapes import Shape
from tarry.compiler.program import Program, stride_class
from tarry.graph.node import Node
from tarry.graph.primitive import Scalar
from tarry.graph.references import OWN_IN_LOOP, OWN_OF_ATTRIBUTE
from tarry.graph.subgraph import Expanded, Invocation
from tarry.ops.elementwise import Constant

# References to a node that the walk itself holds while it asks for the count: the list of nodes and the
# dictionary of numbers besides those of the loop.
_OWN_REFERENCES = 2 + OWN_IN_LOOP
# A node with more inputs has all of them visited before it is looked at again.
FEW_INPUTS = 8


class Recorded:
    """A graph as found: the key, what is not in the key, and the nodes that have to run, inputs first."""

    __slots__ = (
        "arguments", "donated", "key", "leaf_uses", "leaves", "nodes", "outputs", "scalars", "sizes",
        "starts", "updates",
    )  # fmt: skip

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.leaves: list[Node] = []
        self.outputs: list[int] = []
        # How often the graph reads each leaf; empty where no leaf's buffer may be taken over.
        self.leaf_uses: list[int] = []
        self.updates: list[int] = []  # numbers of the nodes that may change their first input in place
        self.donated: list[int] = []
        self.arguments: list[int] = []
        self.scalars: list[Scalar] = []
        self.sizes: dict[int, int] = {}
        self.starts: dict[int, int] = {}
        self.key: tuple[int, ...] = ()

    def program(self, expanded: Expanded) -> Program:
        """What the compiler needs to know."""
        starts = {number: start for number, start in self.starts.items() if number < 0}
        scalars: dict[int, int] = {}
        argument = 0
        for number, node in enumerate(expanded.nodes):
            primitive = node.primitive
            assert primitive is not None
            origin, entry = expanded.origins[number]
            if entry <= 0:
                argument = self.starts.get(origin, 0)
            if primitive.arguments:
                starts[number] = argument
                argument += len(primitive.arguments)
            if isinstance(primitive, Constant):
                scalars[number] = len(scalars)
        outputs = [expanded.numbers[number] for number in self.outputs]
        return Program(
            self.leaves, expanded.nodes, outputs, self.sizes, starts, scalars, set(self.donated)
        )


def record(requested: Sequence[Node], donate: bool = False) -> Recorded:
    """Key and arguments of what has to run for the requested nodes.

    With `donate`, the buffers of evaluated inputs that nobody else holds may be taken over.

    Wanted are the requested nodes and those that someone outside the graph holds: an array the user still
    has a handle on, or an unevaluated graph that shares a part with this one.
    """
    recorded = Recorded()
    numbers: dict[Node, int] = {}
    uses: list[int] = []
    parts: list[int] = []
    pending = [node for node in requested if node.storage is None]
    pending.reverse()
    _walk(pending, recorded, parts, numbers, uses)
    if not recorded.nodes:
        return recorded
    if not donate:
        recorded.leaf_uses = []
    elif recorded.updates:
        _mark_donated(recorded, parts, numbers)
    # `requested` itself holds its nodes, so that they are found like the others.
    _mark_outputs(recorded, parts, uses)
    recorded.key = tuple(parts)
    return recorded


def _walk(
    stack: list[Node], recorded: Recorded, parts: list[int], numbers: dict[Node, int], uses: list[int]
) -> None:
    """Number what has to run, inputs before users, and write down key and arguments on the way."""
    nodes, leaves, arguments = recorded.nodes, recorded.leaves, recorded.arguments
    shapes: dict[Shape, list[int]] = {}
    leaf_uses = recorded.leaf_uses
    while stack:
        node = stack.pop()
        if node in numbers:
            continue
        inputs = node.inputs
        for source in inputs:
            if source in numbers:
                continue
            if source.storage is None:
                # The rest of the inputs is looked at again afterwards: cheaper than noting how far we are.
                stack.append(node)
                if len(inputs) > FEW_INPUTS:
                    stack.extend([source for source in inputs if source.storage is None])
                else:
                    stack.append(source)
                break
            numbers[source] = -1 - len(leaves)
            leaf_uses.append(0)
            _add_leaf(source, recorded, parts, shapes)
        else:
            primitive = node.primitive
            if primitive is None:
                raise RuntimeError("[eval] Attempting to eval an array without a primitive.")
            numbers[node] = number = len(nodes)
            nodes.append(node)
            uses.append(0)
            parts += (primitive.key, len(inputs) << 5 | node.dtype.code)
            for source in inputs:
                known = numbers[source]
                parts.append(known)
                if known >= 0:
                    uses[known] += 1
                else:
                    leaf_uses[-1 - known] += 1
            if not primitive.shaped:
                continue
            shape = node.shape
            symbols = shapes.get(shape)
            if symbols is None:
                symbols = shapes[shape] = _symbols(shape, recorded.sizes, arguments)
            parts += symbols
            kind = type(primitive)
            if kind is Constant:
                recorded.scalars.append(primitive.value)  # type: ignore[attr-defined]
                continue
            if primitive.updates:
                recorded.updates.append(number)
            if primitive.arguments:
                recorded.starts[number] = len(arguments)
                arguments.extend(primitive.arguments)
            if kind is Invocation:
                recorded.scalars.extend(primitive.scalars)
                stack[:0] = _living_outputs(node)


def _living_outputs(invocation: Node) -> list[Node]:
    """The outputs somebody holds: they are computed together."""
    primitive = invocation.primitive
    assert isinstance(primitive, Invocation)
    found = [reference() for reference in primitive.outputs]
    # Those of a copy of the node are not its own.
    return [
        node
        for node in found
        if node is not None and node.storage is None and node.inputs[0] is invocation
    ]


def _symbols(shape: Shape, sizes: dict[int, int], arguments: list[int]) -> list[int]:
    """What a shape adds to the key: its rank and the symbol of each extent."""
    symbols = [len(shape)]
    for extent in shape:
        if extent == 1:
            symbols.append(-1)
            continue
        symbol = sizes.get(extent)
        if symbol is None:
            symbol = sizes[extent] = len(arguments)
            arguments.append(extent)
        symbols.append(symbol)
    return symbols


def _mark_outputs(recorded: Recorded, parts: list[int], uses: list[int]) -> None:
    """Append the numbers of the nodes that somebody holds who is not in the graph."""
    nodes = recorded.nodes
    outputs = recorded.outputs
    count = sys.getrefcount
    for number in range(len(nodes)):
        node = nodes[number]
        if count(node) > _OWN_REFERENCES + uses[number] and type(node.primitive) is not Invocation:
            outputs.append(number)
    parts.append(-2)
    parts.extend(outputs)


def _mark_donated(recorded: Recorded, parts: list[int], numbers: dict[Node, int]) -> None:
    """Append the numbers of the leaves whose buffers updates may change in place."""
    for number in recorded.updates:
        known = numbers[recorded.nodes[number].inputs[0]]
        # The dictionary of numbers holds the leaf, too.
        if known < 0 and is_free(recorded, -1 - known, 1):
            recorded.donated.append(-1 - known)
            parts.append(-5 + known)


def is_free(recorded: Recorded, number: int, others: int = 0) -> bool:
    """Whether a leaf is held by its graph alone (and `others`), and its buffer by the leaf alone.

    That is: no handle, no other graph, no other view, no NumPy array.
    """
    count = sys.getrefcount
    leaf = recorded.leaves[number]
    # The list of leaves.
    if not recorded.leaf_uses or count(leaf) > 1 + OWN_IN_LOOP + others + recorded.leaf_uses[number]:
        return False
    storage = leaf.storage
    assert storage is not None
    buffer = storage.buffer
    dense = storage.contiguous and storage.offset == 0 and buffer.owned
    # The leaf's attribute, and the storage's.
    return dense and count(storage) <= 1 + OWN_OF_ATTRIBUTE and count(buffer) <= 1 + OWN_OF_ATTRIBUTE


def _add_leaf(leaf: Node, recorded: Recorded, parts: list[int], shapes: dict[Shape, list[int]]) -> None:
    storage = leaf.storage
    assert storage is not None
    leaves, arguments = recorded.leaves, recorded.arguments
    number = len(leaves)
    leaves.append(leaf)
    shape = leaf.shape
    symbols = shapes.get(shape)
    if symbols is None:
        symbols = shapes[shape] = _symbols(shape, recorded.sizes, arguments)
    parts.append(leaf.dtype.code)
    parts += symbols
    if storage.contiguous:
        parts.append(-3)
        return
    parts.append(-4)
    recorded.starts[-1 - number] = len(arguments)
    for extent, stride in zip(leaf.shape, storage.strides):
        kind = stride_class(extent, stride)
        parts.append(kind)
        if kind == 2:
            arguments.append(stride)
