"""Recognising a forward graph that looks like one seen before.

A training step records the same graph every time. Its whole key (transforms.pullback) is only needed to find
out about a new one: this walk goes along the path on which the known graph was found, and compares.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import chain, islice
from operator import attrgetter, itemgetter

from tarry.base.dtypes import Dtype
from tarry.base.errors import UserCall
from tarry.base.shapes import Shape
from tarry.graph.node import Node
from tarry.graph.primitive import Primitive
from tarry.graph.references import OWN_IN_MAP
from tarry.graph.subgraph import Invocation, Subgraph
from tarry.ops.elementwise import Constant
from tarry.transforms.recording import CustomOutput

# A graph that reads much that does not depend on its sources is not worth the walk.
MOST_NODES_BESIDES = 64
# References to a node while its count is asked for: the list of all nodes, and the tuple of the dependents.
_OWN_REFERENCES = 2 + OWN_IN_MAP

Pick = Callable[[list[Node]], tuple[Node, ...]]

# Attributes of objects of many classes are found faster like this than by an expression.
_key_of = attrgetter("key")


class Match:
    """A graph that was recognised.

    inputs    what the pattern's subgraph reads
    kept      the nodes that are outputs of the subgraph, as in the key
    held      which of them somebody outside holds, besides those who ask
    """

    __slots__ = ("held", "inputs", "kept")

    def __init__(self, inputs: list[Node], kept: list[Node], held: list[bool]) -> None:
        self.inputs = inputs
        self.kept = kept
        self.held = held


class Pattern:
    """How a forward graph looks, from its outputs on.

    Nodes are numbered as they are met: sources, cotangents, outputs, and then the inputs of each in turn.

    path        where each further node was met: the number of its user, and which input of it it is
    shapes      of all nodes, and dtypes
    evaluated   the numbers of nodes that only hold values; the following lists are about the others
    operations  their numbers
    keys        of their primitives
    counts      how many inputs they have
    inputs      the numbers of all their inputs, one after the other
    calls       which of them name what the user called, and that
    arguments   which of them have primitives with arguments or a number, and these primitives
    dependents  which of them depend on the sources
    references  for each of these the references to it if nobody outside holds it
    kept        which of these are outputs of the subgraph
    read        the numbers of what the subgraph reads
    """

    __slots__ = (
        "arguments", "calls", "counts", "dependents", "dtypes", "evaluated", "inputs", "kept", "keys",
        "operations", "path", "pick_dependents", "pick_inputs", "pick_operations", "read", "references",
        "shapes", "subgraph",
    )  # fmt: skip

    def __init__(self, subgraph: Subgraph) -> None:
        self.subgraph = subgraph
        self.path: list[tuple[int, int]] = []
        self.shapes: list[Shape] = []
        self.dtypes: list[Dtype] = []
        self.evaluated: list[int] = []
        self.operations: list[int] = []
        self.keys: list[int] = []
        self.counts: list[int] = []
        self.inputs: list[int] = []
        self.calls: list[tuple[int, UserCall]] = []
        self.arguments: list[tuple[int, Primitive]] = []
        self.dependents: list[int] = []
        self.references: list[int] = []
        self.kept: list[int] = []
        self.read: list[int] = []
        self.freeze()

    def match(
        self, outputs: Sequence[Node], sources: Sequence[Node], cotangents: Sequence[Node]
    ) -> Match | None:
        """The graph between sources and outputs, if it looks like this."""
        try:
            nodes = self._follow(outputs, sources, cotangents)
        except (IndexError, AttributeError):
            # A node has fewer inputs, or no primitive.
            return None
        if nodes is None:
            return None
        dependents = self.pick_dependents(nodes)
        kept = self.kept
        held = []
        for number, found in enumerate(map(sys.getrefcount, dependents)):
            if found > self.references[number]:
                if number not in kept:
                    return None
                held.append(number)
        first = len(sources) + len(cotangents)
        for number in kept:
            if number not in held and not first <= self.dependents[number] < first + len(outputs):
                return None
        return Match(
            [nodes[number] for number in self.read],
            [dependents[number] for number in kept],
            [number in held for number in kept],
        )

    def _follow(
        self, outputs: Sequence[Node], sources: Sequence[Node], cotangents: Sequence[Node]
    ) -> list[Node] | None:
        """All nodes in the order of their numbers; None if anything is different.

        Whole lists are compared, which is much faster than node by node.
        """
        nodes = [*sources, *cotangents, *outputs]
        for user, place in self.path:
            nodes.append(nodes[user].inputs[place])
        # What was met for the first time then must not have been met twice now.
        if len(set(nodes)) < len(nodes):
            return None
        if [node.shape for node in nodes] != self.shapes or [node.dtype for node in nodes] != self.dtypes:
            return None
        for number in self.evaluated:
            node = nodes[number]
            # An evaluated node that keeps its inputs was evaluated inside this trace.
            if node.storage is None or node.inputs:
                return None
        operations = self.pick_operations(nodes)
        if [node.storage for node in operations].count(None) < len(operations):
            return None
        primitives = [node.primitive for node in operations]
        if list(map(_key_of, primitives)) != self.keys:
            return None
        inputs = [node.inputs for node in operations]
        if list(map(len, inputs)) != self.counts:
            return None
        if tuple(chain.from_iterable(inputs)) != self.pick_inputs(nodes):
            return None
        for number, primitive in self.arguments:
            if not _is_alike(primitives[number], primitive):
                return None
        calls = [node.call for node in operations]
        if calls.count(None) + len(self.calls) != len(calls):
            return None
        for number, call in self.calls:
            if not _is_same_call(calls[number], call):
                return None
        return nodes

    def add(self, number: int, node: Node) -> bool:
        """Note how a node looks; False where that does not say enough."""
        self.shapes.append(node.shape)
        self.dtypes.append(node.dtype)
        primitive = node.primitive
        if node.storage is not None:
            self.evaluated.append(number)
            return not node.inputs
        if primitive is None or type(primitive) in (CustomOutput, Invocation):
            return False
        if primitive.arguments or type(primitive) is Constant:
            self.arguments.append((len(self.operations), primitive))
        self.operations.append(number)
        self.keys.append(primitive.key)
        self.counts.append(len(node.inputs))
        if node.call is not None:
            self.calls.append((len(self.operations) - 1, node.call))
        return True

    def freeze(self) -> None:
        """Called when all nodes were added."""
        self.pick_operations = _picker(self.operations)
        self.pick_inputs = _picker(self.inputs)
        self.pick_dependents = _picker(self.dependents)


def _picker(numbers: list[int]) -> Pick:
    """A function that gives the items of a list with these numbers."""
    if len(numbers) > 1:
        return itemgetter(*numbers)
    return lambda nodes: tuple([nodes[number] for number in numbers])


def _is_same_call(found: UserCall | None, call: UserCall) -> bool:
    if found is call:
        return True
    return (
        found is not None and found.line == call.line and found.name == call.name and found.file == call.file
    )


def _is_alike(found: Primitive | None, primitive: Primitive) -> bool:
    """Whether two operations of the same key have the same arguments and number."""
    if type(found) is Constant and type(primitive) is Constant:
        a, b = found.value, primitive.value
        # Zeros compare equal whatever their signs.
        return a == b and (bool(a) or repr(a) == repr(b))
    return found is not None and found.arguments == primitive.arguments


def make_pattern(
    outputs: Sequence[Node],
    sources: Sequence[Node],
    cotangents: Sequence[Node],
    dependents: Sequence[Node],
    kept: Sequence[int],
    holders: Sequence[int],
    reading: Sequence[Node],
    subgraph: Subgraph,
) -> Pattern | None:
    """The pattern of a graph; None where it cannot be recognised by its looks.

    `dependents` are the nodes that depend on the sources; `kept` says which of them are outputs of the
    subgraph, `holders` how many references to them are known. `reading` is what the subgraph reads.
    """
    pattern = Pattern(subgraph)
    nodes = [*sources, *cotangents, *outputs]
    numbers = {node: number for number, node in enumerate(nodes)}
    if len(numbers) < len(nodes):
        return None
    pattern.shapes += [source.shape for source in sources]
    pattern.dtypes += [source.dtype for source in sources]
    limit = len(nodes) + 2 * len(dependents) + MOST_NODES_BESIDES
    # The list grows on the way.
    for user, node in enumerate(islice(nodes, len(sources), None), len(sources)):
        if not pattern.add(user, node):
            return None
        for place, source in enumerate(node.inputs):
            if source not in numbers:
                numbers[source] = len(nodes)
                nodes.append(source)
                pattern.path.append((user, place))
            pattern.inputs.append(numbers[source])
        if len(nodes) > limit:
            return None
    pattern.dependents = [numbers[node] for node in dependents]
    pattern.references = [_OWN_REFERENCES + count for count in holders]
    pattern.kept = list(kept)
    pattern.read = [numbers[node] for node in reading]
    pattern.freeze()
    return pattern
