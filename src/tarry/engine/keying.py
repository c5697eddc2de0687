"""From nodes to a plan key: structure goes into the key, sizes, offsets and numbers into the arguments.

Every distinct size is a symbol in order of appearance; a size of 1 is structure. Two graphs with the same key
differ only in what their argument vectors and scalars say, so one plan serves both.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import count
from operator import attrgetter

from tarry.base.shapes import Shape
from tarry.compiler.program import Program, stride_class
from tarry.graph.node import Node
from tarry.graph.primitive import Scalar
from tarry.graph.references import OWN_IN_LOOP, OWN_IN_MAP, OWN_OF_ATTRIBUTE
from tarry.graph.subgraph import Expanded, Invocation
from tarry.graph.walk import unevaluated
from tarry.ops.elementwise import Constant

# References to a node that asking for the count holds: the list of nodes besides those of the loop.
_OWN_REFERENCES = 1 + OWN_IN_LOOP
# The same for `map` over a slice of the list.
_OWN_REFERENCES_IN_MAP = 2 + OWN_IN_MAP
# What separates the sections of a key.
_SECTION = -2
_serial_of = attrgetter("serial")
# The numbers of walks.
next_stamp = count(1).__next__


class Recorded:
    """A graph as found: the key, what is not in the key, and the nodes that have to run, inputs first.

    outputs    numbers of the nodes whose values are wanted
    edges      for each node the numbers of its inputs, one after the other; leaf k has the number -1-k
    donates    whether the buffers of leaves that nobody else holds may be taken over
    donated    numbers of the leaves whose buffers updates change in place
    arguments  sizes and other integers, scalars the Python numbers, in order of appearance
    sizes      where in the arguments each size is
    starts     where there the arguments of a node begin; for a strided leaf -1-k its strides
    """

    __slots__ = (
        "arguments", "donated", "donates", "edges", "key", "leaves", "nodes", "outputs", "scalars", "sizes",
        "starts",
    )  # fmt: skip

    def __init__(self, nodes: list[Node], leaves: list[Node], donates: bool = False) -> None:
        self.nodes = nodes
        self.leaves = leaves
        self.donates = donates
        self.donated: Sequence[int] = ()
        self.scalars: list[Scalar] = []
        self.arguments: list[int] = []
        self.outputs: Sequence[int] = ()
        self.key: tuple[int, ...] = ()
        self.edges: list[int]
        self.sizes: dict[int, int]
        self.starts: dict[int, int]

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


class _OutOfOrder(Exception):
    """Serial numbers do not say in which order the nodes must run."""


def record(requested: Sequence[Node], donate: bool = False) -> Recorded:
    """Key and arguments of what has to run for the requested nodes. The caller holds `run_lock`.

    With `donate`, the buffers of evaluated inputs that nobody else holds may be taken over.

    Wanted are the requested nodes and those that someone outside the graph holds: an array the user still
    has a handle on, or an unevaluated graph that shares a part with this one.
    """
    try:
        return _record(requested, donate, True)
    except _OutOfOrder:
        return _record(requested, donate, False)


def _record(requested: Sequence[Node], donate: bool, by_serial: bool) -> Recorded:
    # Every evaluation comes by here, often with its code out of the caches, where a call costs a microsecond:
    # few calls.
    stamp = next_stamp()
    nodes: list[Node] = []
    for node in requested:
        if node.stamp != stamp and node.storage is None:
            node.stamp = stamp
            nodes.append(node)
    leaves: list[Node] = []
    recorded = Recorded(nodes, leaves, donate)
    recorded.starts = {}
    sizes: dict[int, int] = {}
    recorded.sizes = sizes
    arguments = recorded.arguments
    shapes: dict[Shape, list[int]] = {}
    parts: list[int] = []
    grow = nodes.append
    # The list grows while the loop goes over it.
    for node in nodes:
        for source in node.inputs:
            if source.stamp == stamp:
                continue
            source.stamp = stamp
            storage = source.storage
            if storage is None:
                grow(source)
                continue
            leaves.append(source)
            source.number = -len(leaves)
            shape = source.shape
            symbols = shapes.get(shape)
            if symbols is None:
                symbols = shapes[shape] = _symbols(shape, sizes, arguments)
            parts.append(source.dtype.code)
            parts += symbols
            if not storage.contiguous:
                _write_strides(shape, storage.strides, recorded, parts)
    # Who holds a node wants its value, and who holds a leaf keeps its buffer.
    node = source = storage = None  # type: ignore[assignment]
    if by_serial:
        nodes.sort(key=_serial_of)
    else:
        nodes[:] = unevaluated(nodes)
    parts.append(_SECTION)
    updates = _number(recorded, parts, shapes, stamp, by_serial)
    recorded.edges = edges = [source.number for node in nodes for source in node.inputs]
    parts.append(_SECTION)
    parts += edges
    if updates and donate:
        _mark_donated(recorded, parts, updates)
    recorded.outputs = outputs = _wanted(nodes, leaves, edges, requested)
    parts.append(_SECTION)
    recorded.key = (*parts, *outputs)
    return recorded


def _number(
    recorded: Recorded, parts: list[int], shapes: dict[Shape, list[int]], stamp: int, by_serial: bool
) -> list[int] | None:
    """Number the nodes and write down what they do.

    Gives the numbers of nodes that may change their first input in place, if there are any.
    """
    nodes = recorded.nodes
    updates: list[int] | None = None
    number = 0
    for node in nodes:
        node.number = number
        number += 1
        primitive = node.primitive
        if primitive is None:
            raise RuntimeError("[eval] Attempting to eval an array without a primitive.")
        parts.append(primitive.key)
        if not primitive.shaped:
            continue
        parts.append(len(node.inputs) << 5 | node.dtype.code)
        shape = node.shape
        symbols = shapes.get(shape)
        if symbols is None:
            symbols = shapes[shape] = _symbols(shape, recorded.sizes, recorded.arguments)
        parts += symbols
        kind = type(primitive)
        if kind is Constant:
            recorded.scalars.append(primitive.value)  # type: ignore[attr-defined]
            continue
        if primitive.updates:
            updates = [*(updates or ()), number - 1]
        if primitive.arguments:
            recorded.starts[number - 1] = len(recorded.arguments)
            recorded.arguments.extend(primitive.arguments)
        if kind is Invocation:
            if by_serial and primitive.late:  # type: ignore[attr-defined]
                raise _OutOfOrder
            recorded.scalars.extend(primitive.scalars)
            # Nothing here reads those that are not known yet, so that they may come last.
            for output in _living_outputs(node):
                if output.stamp != stamp:
                    output.stamp = stamp
                    nodes.append(output)
    return updates


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


def _wanted(
    nodes: list[Node], leaves: list[Node], edges: list[int], requested: Sequence[Node]
) -> list[int]:
    """The numbers of the nodes that are requested, or held by somebody who is not in the graph."""
    if len(nodes) < 2:
        return [0] if nodes else []
    count = sys.getrefcount
    if len(requested) == 1 and requested[0] is nodes[-1]:
        # Most often nothing else is held: all references to the nodes before the last are from the graph.
        inside = nodes[:-1]
        inner = sum([number >= 0 for number in edges])
        if sum(map(count, inside)) == _OWN_REFERENCES_IN_MAP * len(inside) + inner:
            return [len(inside)]
        del inside
    # Leaf -1 is the last of these, and so on.
    uses = [0] * (len(nodes) + len(leaves))
    for number in edges:
        uses[number] += 1
    outputs = []
    # `requested` itself holds its nodes, so that they are found like the others.
    for number in range(len(nodes)):
        node = nodes[number]
        if count(node) > _OWN_REFERENCES + uses[number] and type(node.primitive) is not Invocation:
            outputs.append(number)
    return outputs


def _mark_donated(recorded: Recorded, parts: list[int], updates: Sequence[int]) -> None:
    """Write down the numbers of the leaves whose buffers updates may change in place."""
    donated = []
    for number in updates:
        known = recorded.nodes[number].inputs[0].number
        if known < 0 and is_free(recorded, -1 - known):
            donated.append(-1 - known)
            parts.append(-5 + known)
    recorded.donated = donated


def is_free(recorded: Recorded, number: int) -> bool:
    """Whether a leaf is held by its graph alone, and its buffer by the leaf alone.

    That is: no handle, no other graph, no other view, no NumPy array.
    """
    if not recorded.donates:
        return False
    count = sys.getrefcount
    leaf = recorded.leaves[number]
    storage = leaf.storage
    assert storage is not None
    buffer = storage.buffer
    # The leaf's attribute, and the storage's.
    if count(storage) > 1 + OWN_OF_ATTRIBUTE or count(buffer) > 1 + OWN_OF_ATTRIBUTE:
        return False
    if not storage.contiguous or storage.offset or not buffer.owned:
        return False
    # The list of leaves, and whatever reads the leaf.
    return count(leaf) <= 1 + OWN_IN_LOOP + recorded.edges.count(-1 - number)


def _write_strides(shape: Shape, strides: Shape, recorded: Recorded, parts: list[int]) -> None:
    """Write down the strides of the last leaf."""
    arguments = recorded.arguments
    parts.append(-3)
    recorded.starts[-len(recorded.leaves)] = len(arguments)
    for extent, stride in zip(shape, strides):
        kind = stride_class(extent, stride)
        parts.append(kind)
        if kind == 2:
            arguments.append(stride)
