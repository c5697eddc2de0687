"""A recorded graph behind a single node, so that recording it again costs as little as one operation.

A `Subgraph` is a graph with its inputs left open. An `Invocation` node applies it to inputs; it has no value
of its own, and `Output` nodes stand for its results:

    %3: Invocation %0 %1          forward and backward of a loss, say
    %4: float32[8] = Output(0) %3
    %5: float32[8] = Output(1) %3

All outputs that are alive are computed together. The compiler sees the graph itself, never the three classes
of this file (engine.keying puts it in the place of the invocation).
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence

from tarry.base.dtypes import float32
from tarry.base.errors import UserCall
from tarry.base.shapes import Shape
from tarry.graph.node import Node, next_serial
from tarry.graph.primitive import Primitive, Scalar, intern_key, is_portable
from tarry.graph.tracing import run_lock
from tarry.graph.walk import unevaluated


class Entry:
    """One operation of a subgraph; `inputs` are numbers of the subgraph's inputs and, after them, entries."""

    __slots__ = ("call", "dtype", "inputs", "primitive", "shape")

    def __init__(self, node: Node, primitive: Primitive, inputs: tuple[int, ...]) -> None:
        self.primitive = primitive
        self.inputs = inputs
        self.shape = node.shape
        self.dtype = node.dtype
        self.call = node.call


class Subgraph:
    """The graph between `inputs` and `ends`, whose values were not known when it was made.

    used        which of the inputs it reads
    constants   evaluated nodes it reads besides them
    entries     its operations, inputs before users
    outputs     for each end its number among the inputs in use, the constants and the entries
    key         what an invocation adds to the key of a plan: all but sizes, arguments and scalars
    sizes       the distinct sizes that are not 1 and do not follow from the inputs
    """

    __slots__ = ("arguments", "constants", "entries", "key", "outputs", "scalars", "sizes", "used")

    def __init__(self, inputs: Sequence[Node], ends: Sequence[Node]) -> None:
        boundary = set(inputs)
        order = unevaluated(ends, boundary)
        inner = set(order)
        read = {source for node in order for source in node.inputs}.union(ends)
        self.used = tuple([number for number, node in enumerate(inputs) if node in read])
        sources = [source for node in order for source in node.inputs]
        outside = [node for node in (*sources, *ends) if node not in inner and node not in boundary]
        self.constants = tuple(dict.fromkeys(outside))
        numbers: dict[Node, int] = {}
        for node in (*[inputs[number] for number in self.used], *self.constants):
            numbers[node] = len(numbers)
        self.entries: list[Entry] = []
        for node in order:
            assert node.primitive is not None
            self.entries.append(
                Entry(node, node.primitive, tuple([numbers[source] for source in node.inputs]))
            )
            numbers[node] = len(numbers)
        self.outputs = tuple([numbers[end] for end in ends])
        self.sizes, self.arguments, self.scalars, self.key = _read_entries(self.entries)

    def invoke(self, inputs: Sequence[Node]) -> Node:
        """An invocation on the inputs."""
        return self.invoke_on([inputs[number] for number in self.used])

    def invoke_on(self, read: Sequence[Node]) -> Node:
        """An invocation, from those of the inputs that are read. Its shape lists the sizes, which is how they
        get into a plan's key."""
        invocation = Node(Invocation(self), (*read, *self.constants), self.sizes, float32)
        # As if it had been recorded right after its inputs: before what is to become its output.
        invocation.serial = max([source.serial for source in read], default=0) + 0.5
        return invocation

    def expand(self, sources: Sequence[Node]) -> list[Node]:
        """The recorded operations on the inputs of an invocation."""
        nodes = list(sources)
        for entry in self.entries:
            inputs = tuple([nodes[number] for number in entry.inputs])
            nodes.append(Node(entry.primitive, inputs, entry.shape, entry.dtype, None, entry.call))
        return nodes[len(sources) :]


def _read_entries(entries: Sequence[Entry]) -> tuple[Shape, tuple[int, ...], tuple[Scalar, ...], int]:
    """Sizes, arguments and scalars, and the key of what remains."""
    sizes: dict[int, int] = {}
    arguments: list[int] = []
    scalars: list[Scalar] = []
    parts: list[object] = []
    for entry in entries:
        primitive = entry.primitive
        parts += (primitive.key, entry.dtype.code, entry.inputs)
        if primitive.shaped:
            for extent in entry.shape:
                parts.append(-1 if extent == 1 else sizes.setdefault(extent, len(sizes)))
            arguments.extend(primitive.arguments)
            scalars.extend(primitive.scalars)
    portable = all(is_portable(entry.primitive.key) for entry in entries)
    return tuple(sizes), tuple(arguments), tuple(scalars), intern_key(("Subgraph", *parts), portable)


class Invocation(Primitive):
    """Applies a subgraph. `outputs` are the nodes made of its results, as long as somebody holds them.

    `late` says that one of them, or what reads it, may have been recorded before the invocation's inputs.
    """

    name = "Invocation"
    __slots__ = ("late", "outputs", "subgraph")

    def __init__(self, subgraph: Subgraph) -> None:
        self.subgraph = subgraph
        self.arguments = subgraph.arguments
        self.key = subgraph.key
        self.outputs: list[weakref.ref[Node]] = []
        self.late = False

    @property
    def scalars(self) -> tuple[Scalar, ...]:
        return self.subgraph.scalars


class Output(Primitive):
    """Result `number` of the invocation that is the only input."""

    name = "Output"
    shaped = False
    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__()

    def params(self) -> tuple[object, ...]:
        return (self.number,)


_new = object.__new__
_outputs: list[Output] = []


def _output(number: int) -> Output:
    if number < len(_outputs):
        return _outputs[number]
    while len(_outputs) <= number:
        _outputs.append(Output(len(_outputs)))
    return _outputs[number]


def make_outputs(invocation: Node, first: int, count: int) -> list[Node]:
    """The nodes of `count` outputs from number `first` on; an input that is an output, too, stays the node
    it is."""
    primitive = invocation.primitive
    assert isinstance(primitive, Invocation)
    subgraph = primitive.subgraph
    entries, inputs, living = subgraph.entries, invocation.inputs, primitive.outputs
    known = len(inputs)
    reference = weakref.ref
    made: list[Node] = []
    for number in range(first, first + count):
        place = subgraph.outputs[number]
        if place < known:
            made.append(inputs[place])
            continue
        entry = entries[place - known]
        # `Node(...)`, written out: a step of a model makes one for each of its parameters, twice.
        node: Node = _new(Node)
        node.primitive = _output(number)
        node.inputs = (invocation,)
        node.shape = entry.shape
        node.dtype = entry.dtype
        node.storage = None
        node.call = entry.call
        node.serial = next_serial()
        node.stamp = 0
        living.append(reference(node))
        made.append(node)
    return made


def make_output(invocation: Node, number: int) -> Node:
    """The node of output `number`; an input that is an output, too, stays the node it is."""
    return make_outputs(invocation, number, 1)[0]


def become_output(node: Node, invocation: Node, number: int) -> None:
    """From now on a node that the subgraph computes, too, is output `number`: the same value.

    Evaluation reads primitive and inputs one after the other, so they change while no thread evaluates: this
    waits for one that does, which may have found the node in what a traced function gave away.
    """
    primitive = invocation.primitive
    assert isinstance(primitive, Invocation)
    with run_lock:
        if node.storage is not None:
            return
        primitive.late |= node.serial < invocation.serial
        node.primitive = _output(number)
        node.inputs = (invocation,)
        primitive.outputs.append(weakref.ref(node))


class Expanded:
    """A list of nodes with every invocation replaced by its subgraph.

    `numbers` says where each node is now; an output is where its subgraph's entry is. `origins` says for
    each node of the result which one it comes from, and which entry of its subgraph it is (else -1).
    """

    __slots__ = ("nodes", "numbers", "origins")

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes: list[Node] = []
        self.numbers: list[int] = []
        self.origins: list[tuple[int, int]] = []
        places: dict[Node, int] = {}  # of nodes and, by their invocation, of first entries
        replaced: dict[Node, Node] = {}
        for number, node in enumerate(nodes):
            primitive = node.primitive
            if type(primitive) is Output:
                place = self._place_of_output(node, primitive.number, places)
                replaced[node] = self.nodes[place]
                self.numbers.append(place)
                continue
            self.numbers.append(len(self.nodes))
            places[node] = len(self.nodes)
            inputs = [replaced.get(source, source) for source in node.inputs]
            if type(primitive) is Invocation:
                made = primitive.subgraph.expand(inputs)
                self.origins += [(number, entry) for entry in range(len(made))]
                self.nodes += made
                continue
            if any(new is not old for new, old in zip(inputs, node.inputs)):
                copy = Node(primitive, tuple(inputs), node.shape, node.dtype, None, node.call)
                replaced[node] = copy
                node = copy
            self.origins.append((number, -1))
            self.nodes.append(node)

    def _place_of_output(self, node: Node, number: int, places: dict[Node, int]) -> int:
        invocation = node.inputs[0]
        primitive = invocation.primitive
        assert isinstance(primitive, Invocation)
        entry = primitive.subgraph.outputs[number] - len(invocation.inputs)
        return places[invocation] + entry


def call_of(origin: tuple[int, int], nodes: Sequence[Node]) -> UserCall | None:
    """The user's call of an expanded node, from nodes like those that were expanded."""
    number, entry = origin
    node = nodes[number]
    if entry >= 0 and type(node.primitive) is Invocation:
        return node.primitive.subgraph.entries[entry].call
    return node.call
