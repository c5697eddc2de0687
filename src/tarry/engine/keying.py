"""From nodes to a plan key: structure goes into the key, sizes, offsets and numbers into the arguments.

Every distinct size is a symbol in order of appearance; a size of 1 is structure. Two graphs with the same key
differ only in what their argument vectors and scalars say, so one plan serves both.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tarry.compiler.program import Program, stride_class
from tarry.graph.node import Node
from tarry.graph.primitive import Scalar
from tarry.graph.subgraph import Expanded, Invocation
from tarry.ops.elementwise import Constant

# References to a node that the walk itself holds while it asks for the count: the list of nodes, the
# dictionary of numbers, the loop variable and the argument of getrefcount.
_OWN_REFERENCES = 4


class Recorded:
    """A graph as found: the key, what is not in the key, and the nodes that have to run, inputs first."""

    __slots__ = (
        "arguments", "donated", "expanded", "key", "leaves", "nodes", "outputs", "scalars", "sizes", "starts"
    )  # fmt: skip

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.leaves: list[Node] = []
        self.outputs: list[int] = []
        self.donated: list[int] = []
        self.arguments: list[int] = []
        self.scalars: list[Scalar] = []
        self.sizes: dict[int, int] = {}
        self.starts: dict[int, int] = {}
        self.key: tuple[int, ...] = ()

    def program(self, expanded: Expanded) -> Program:
        """What the compiler needs to know. Only what the outputs depend on is left."""
        starts = {number: start for number, start in self.starts.items() if number < 0}
        scalars: dict[int, int] = {}
        wanted = [expanded.numbers[number] for number in self.outputs]
        kept = _needed(expanded.nodes, wanted)
        places: dict[int, int] = {}
        nodes: list[Node] = []
        constants = 0
        argument = 0
        for number, node in enumerate(expanded.nodes):
            primitive = node.primitive
            assert primitive is not None
            origin, entry = expanded.origins[number]
            if entry <= 0:
                argument = self.starts.get(origin, 0)
            if number in kept:
                places[number] = len(nodes)
                if primitive.arguments:
                    starts[len(nodes)] = argument
                if isinstance(primitive, Constant):
                    scalars[len(nodes)] = constants
                nodes.append(node)
            argument += len(primitive.arguments)
            constants += isinstance(primitive, Constant)
        expanded.origins = [expanded.origins[number] for number in places]
        outputs = [places[number] for number in wanted]
        return Program(self.leaves, nodes, outputs, self.sizes, starts, scalars, set(self.donated))


def _needed(nodes: Sequence[Node], wanted: Sequence[int]) -> set[int]:
    """The numbers of the wanted nodes and all they depend on."""
    numbers = {node: number for number, node in enumerate(nodes)}
    needed = set(wanted)
    for number in range(len(nodes) - 1, -1, -1):
        if number in needed:
            needed.update([numbers[source] for source in nodes[number].inputs if source in numbers])
    return needed


def record(requested: Sequence[Node], donate: bool = False) -> Recorded:
    """Key and arguments of what has to run for the requested nodes.

    With `donate`, evaluated inputs that nobody else holds may be changed in place by updates.

    Wanted are the requested nodes and those that someone outside the graph holds: an array the user still
    has a handle on, or an unevaluated graph that shares a part with this one.
    """
    recorded = Recorded()
    numbers: dict[Node, int] = {}
    uses: list[int] = []
    parts: list[int] = []
    _walk(list(reversed(requested)), recorded, parts, numbers, uses)
    if not recorded.nodes:
        return recorded
    if donate:
        _mark_donated(recorded, parts, numbers)
    _mark_outputs(recorded, parts, {id(node) for node in requested}, uses)
    recorded.key = tuple(parts)
    return recorded


def _walk(
    stack: list[Node], recorded: Recorded, parts: list[int], numbers: dict[Node, int], uses: list[int]
) -> None:
    """Number what has to run, inputs before users, and write down key and arguments on the way."""
    nodes, sizes, arguments = recorded.nodes, recorded.sizes, recorded.arguments
    while stack:
        node = stack[-1]
        if node in numbers or node.storage is not None:
            stack.pop()
            continue
        inputs = node.inputs
        waiting = False
        for source in inputs:
            if source in numbers:
                continue
            if source.storage is None:
                stack.append(source)
                waiting = True
            else:
                numbers[source] = -1 - len(recorded.leaves)
                _add_leaf(source, recorded, parts)
        if waiting:
            continue
        stack.pop()
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
        if primitive.shaped:
            _add_sizes(node.shape, parts, sizes, arguments)
            kind = type(primitive)
            if kind is Constant:
                recorded.scalars.append(primitive.value)  # type: ignore[attr-defined]
            elif primitive.arguments:
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
    return [node for node in found if node is not None and node.inputs and node.inputs[0] is invocation]


def _add_sizes(shape: Sequence[int], parts: list[int], sizes: dict[int, int], arguments: list[int]) -> None:
    """Append the symbols of a shape to the key."""
    parts.append(len(shape))
    for extent in shape:
        if extent == 1:
            parts.append(-1)
            continue
        symbol = sizes.get(extent)
        if symbol is None:
            symbol = len(arguments)
            sizes[extent] = symbol
            arguments.append(extent)
        parts.append(symbol)


def _mark_outputs(recorded: Recorded, parts: list[int], requested: set[int], uses: list[int]) -> None:
    """Append the numbers of the wanted nodes. Runs when nothing but `record` holds the nodes."""
    nodes = recorded.nodes
    outputs = recorded.outputs
    count = sys.getrefcount
    for number in range(len(nodes)):
        node = nodes[number]
        if count(node) > _OWN_REFERENCES + uses[number] or id(node) in requested:
            if type(node.primitive) is not Invocation:
                outputs.append(number)
    parts.append(-2)
    parts.extend(outputs)


def _mark_donated(recorded: Recorded, parts: list[int], numbers: dict[Node, int]) -> None:
    """Append the numbers of the leaves whose buffers updates may take over.

    Such a leaf is held by the update alone, and its buffer by the leaf alone: no handle, no other graph, no
    NumPy view.
    """
    count = sys.getrefcount
    for number in range(len(recorded.nodes)):
        primitive = recorded.nodes[number].primitive
        if primitive is None or not primitive.updates:
            continue
        base = recorded.nodes[number].inputs[0]
        storage = base.storage
        # The list of leaves, the dictionary of numbers, `base` and the argument, and the update's inputs.
        if storage is None or count(base) > _OWN_REFERENCES + 1:
            continue
        buffer = storage.buffer
        dense = storage.contiguous and storage.offset == 0 and buffer.owned
        # The leaf's attribute or the storage's, the local name, and the argument.
        if dense and count(storage) <= 3 and count(buffer) <= 3:
            leaf = -1 - numbers[base]
            recorded.donated.append(leaf)
            parts.append(-6 - leaf)


def _add_leaf(leaf: Node, recorded: Recorded, parts: list[int]) -> None:
    storage = leaf.storage
    assert storage is not None
    number = len(recorded.leaves)
    recorded.leaves.append(leaf)
    arguments = recorded.arguments
    parts.append(leaf.dtype.code)
    _add_sizes(leaf.shape, parts, recorded.sizes, arguments)
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
