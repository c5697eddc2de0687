"""From nodes to a plan key: structure goes into the key, sizes, offsets and numbers into the arguments.

Every distinct size is a symbol in order of appearance; a size of 1 is structure. Two graphs with the same key
differ only in what their argument vectors and scalars say, so one plan serves both.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tarry.compiler.program import Program, stride_class
from tarry.graph.node import Node
from tarry.ops.elementwise import Constant, Scalar

# References to a node that the walk itself holds while it asks for the count: the list of nodes, the
# dictionary of numbers, the loop variable and the argument of getrefcount.
_OWN_REFERENCES = 4


class Recorded:
    """A graph as found: the key, what is not in the key, and the nodes."""

    __slots__ = ("arguments", "donated", "key", "leaves", "nodes", "outputs", "scalars", "sizes", "starts")

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self.leaves: list[Node] = []
        self.outputs: list[int] = []
        self.donated: list[int] = []
        self.arguments: list[int] = []
        self.scalars: list[Scalar] = []
        self.sizes: dict[int, int] = {}
        self.starts: dict[int, int] = {}
        self.key: tuple[int, ...] = ()

    def program(self) -> Program:
        """What the compiler needs to know."""
        scalars: dict[int, int] = {}
        for number, node in enumerate(self.nodes):
            if isinstance(node.primitive, Constant):
                scalars[number] = len(scalars)
        return Program(
            self.leaves, self.nodes, self.outputs, self.sizes, self.starts, scalars, set(self.donated)
        )


def record(nodes: list[Node], requested: Sequence[Node], donate: bool = False) -> Recorded:
    """Key and arguments of a graph, given in order of execution.

    With `donate`, evaluated inputs that nobody else holds may be changed in place by updates.

    Wanted are the requested nodes and those that someone outside the graph holds: an array the user still
    has a handle on, or an unevaluated graph that shares a part with this one.
    """
    recorded = Recorded(nodes)
    parts: list[int] = []
    numbers: dict[Node, int] = {}
    uses = [0] * len(nodes)
    arguments = recorded.arguments
    sizes = recorded.sizes
    for number in range(len(nodes)):
        node = nodes[number]
        primitive = node.primitive
        if primitive is None:
            raise RuntimeError("[eval] Attempting to eval an array without a primitive.")
        parts.append(primitive.key)
        parts.append(node.dtype.code)
        for source in node.inputs:
            known = numbers.get(source)
            if known is None:
                known = -1 - len(recorded.leaves)
                numbers[source] = known
                parts.append(known)
                _add_leaf(source, recorded, parts)
            else:
                parts.append(known)
            if known >= 0:
                uses[known] += 1
        if primitive.shaped:
            for extent in node.shape:
                if extent == 1:
                    parts.append(-1)
                    continue
                symbol = sizes.get(extent)
                if symbol is None:
                    symbol = len(arguments)
                    sizes[extent] = symbol
                    arguments.append(extent)
                parts.append(symbol)
            if primitive.arguments:
                recorded.starts[number] = len(arguments)
                arguments.extend(primitive.arguments)
            elif type(primitive) is Constant:
                recorded.scalars.append(primitive.value)
        numbers[node] = number
    # These two still name nodes, which would count as held.
    node = source = nodes[0]
    del node, source
    if donate:
        _mark_donated(recorded, parts, uses)
    _mark_outputs(recorded, parts, {id(node) for node in requested}, uses)
    recorded.key = tuple(parts)
    return recorded


def _mark_outputs(recorded: Recorded, parts: list[int], requested: set[int], uses: list[int]) -> None:
    """Append the numbers of the wanted nodes. Runs when nothing but `record` holds the nodes."""
    nodes = recorded.nodes
    outputs = recorded.outputs
    count = sys.getrefcount
    for number in range(len(nodes)):
        node = nodes[number]
        if id(node) in requested or count(node) > _OWN_REFERENCES + uses[number]:
            outputs.append(number)
    parts.append(-2)
    parts.extend(outputs)


def _mark_donated(recorded: Recorded, parts: list[int], uses: list[int]) -> None:
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
            leaf = recorded.leaves.index(base)
            recorded.donated.append(leaf)
            parts.append(-6 - leaf)


def _add_leaf(leaf: Node, recorded: Recorded, parts: list[int]) -> None:
    storage = leaf.storage
    if storage is None:
        raise RuntimeError("[eval] Attempting to eval an array without a primitive.")
    number = len(recorded.leaves)
    recorded.leaves.append(leaf)
    arguments, sizes = recorded.arguments, recorded.sizes
    parts.append(leaf.dtype.code)
    parts.append(len(leaf.shape))
    for extent in leaf.shape:
        if extent == 1:
            parts.append(-1)
            continue
        symbol = sizes.get(extent)
        if symbol is None:
            symbol = len(arguments)
            sizes[extent] = symbol
            arguments.append(extent)
        parts.append(symbol)
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
