"""What a function recorded, with its inputs left open: run directly with other values, or recorded again.

A template keeps nodes of its own, so that nothing a user holds can change it, and none of the values it was
made or run with, except the constants the function captured.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tarry.base.dtypes import Dtype
from tarry.base.errors import UserCall
from tarry.base.shapes import Shape
from tarry.engine.evaluate import evaluate, find_plan
from tarry.engine.keying import Recorded, record
from tarry.engine.plans import Plan
from tarry.graph.node import Node
from tarry.graph.primitive import Primitive
from tarry.graph.references import OWN_IN_LOOP
from tarry.graph.subgraph import Invocation
from tarry.graph.tracing import run_lock
from tarry.graph.walk import unevaluated
from tarry.runtime.counters import counters

# The layouts of inputs (strides) a template keeps plans for.
MOST_LAYOUTS = 16
# References to a node while `_captured` looks at it: the list besides those of the loop.
_OWN_REFERENCES = 1 + OWN_IN_LOOP

Layout = tuple[Shape | None, ...]


class _Entry:
    """One recorded operation; `inputs` are numbers of inputs, constants and, after them, entries."""

    __slots__ = ("call", "dtype", "inputs", "primitive", "shape")

    def __init__(
        self,
        primitive: Primitive,
        inputs: tuple[int, ...],
        shape: Shape,
        dtype: Dtype,
        call: UserCall | None,
    ) -> None:
        self.primitive = primitive
        self.inputs = inputs
        self.shape = shape
        self.dtype = dtype
        self.call = call


class _Prepared:
    """A template's plan for inputs of one layout.

    `sources` says where each leaf of the plan comes from: input k, or constant -1-k. `nodes` are stand-ins
    of the recorded nodes, `outputs` the numbers of those whose values are wanted.
    """

    __slots__ = ("nodes", "outputs", "plan", "recorded", "sources")

    def __init__(self, plan: Plan, recorded: Recorded, sources: list[int], outputs: list[int]) -> None:
        self.plan = plan
        self.recorded = recorded
        self.sources = sources
        self.outputs = outputs
        # The real nodes must not be held: somebody who holds a node wants its value.
        blank = Node(None, (), (), recorded.nodes[0].dtype)
        self.nodes = [
            blank if node.call is None and type(node.primitive) is not Invocation
            else Node(node.primitive, (), node.shape, node.dtype, None, node.call)
            for node in recorded.nodes
        ]
        recorded.nodes = []
        recorded.leaves = []


class Template:
    """The recorded graph between placeholders and outputs.

    The values of a run are numbered: the inputs, then what is computed, then captured constants; `outputs`
    are the numbers of the outputs in this list.
    """

    __slots__ = (
        "_computed", "_constants", "_entries", "_known", "_numbers", "_placeholders", "_prepared", "outputs"
    )  # fmt: skip

    def __init__(self, placeholders: Sequence[Node], outputs: Sequence[Node]) -> None:
        order = _order_of(placeholders, outputs)
        self._placeholders = [Node(None, (), node.shape, node.dtype) for node in placeholders]
        # Captured values that are read, and those that are outputs.
        self._constants: list[Node] = []
        self._known: list[Node] = []
        self._prepared: dict[Layout | None, _Prepared] = {}
        copies: dict[Node, Node] = dict(zip(placeholders, self._placeholders))
        for node in order:
            inputs = []
            for source in node.inputs:
                copy = copies.get(source)
                if copy is None:
                    copy = copies[source] = source
                    self._constants.append(source)
                inputs.append(copy)
            copies[node] = Node(node.primitive, tuple(inputs), node.shape, node.dtype, None, node.call)
        self._entries = self._make_entries([copies[node] for node in order])
        self._computed: list[Node] = []
        self.outputs: list[int] = []
        # Where the value of an output stands; negative for a captured one, whose number comes at the end.
        places: dict[Node, int] = {node: number for number, node in enumerate(placeholders)}
        for node in outputs:
            if node not in places and node in copies and node.storage is None:
                places[node] = len(placeholders) + len(self._computed)
                self._computed.append(copies[node])
            elif node not in places:
                places[node] = -1 - len(self._known)
                self._known.append(node)
            self.outputs.append(places[node])
        first = len(placeholders) + len(self._computed)
        self.outputs = [number if number >= 0 else first - 1 - number for number in self.outputs]
        numbers = {node: number for number, node in enumerate(order)}
        first = len(placeholders) + len(self._constants)
        self._numbers = [
            first + numbers[node]
            for node, place in places.items()
            if node in numbers and place >= len(placeholders)
        ]

    @property
    def size(self) -> int:
        """The number of recorded operations."""
        return len(self._entries)

    def _make_entries(self, nodes: list[Node]) -> list[_Entry]:
        numbers = {node: number for number, node in enumerate([*self._placeholders, *self._constants])}
        entries = []
        for node in nodes:
            assert node.primitive is not None
            inputs = tuple([numbers[source] for source in node.inputs])
            entries.append(_Entry(node.primitive, inputs, node.shape, node.dtype, node.call))
            numbers[node] = len(numbers)
        return entries

    def replay(self, inputs: Sequence[Node]) -> list[Node]:
        """The values, recorded again on inputs that may not be evaluated."""
        nodes = [*inputs, *self._constants]
        for entry in self._entries:
            sources = tuple([nodes[number] for number in entry.inputs])
            nodes.append(Node(entry.primitive, sources, entry.shape, entry.dtype, None, entry.call))
        return [*inputs, *[nodes[number] for number in self._numbers], *self._known]

    def run(self, inputs: list[Node]) -> list[Node]:
        """The values, computed now. The inputs are evaluated.

        IndexError and the like for failures while running, as by `eval`.
        """
        made: list[Node] = []
        if self._computed:
            with run_lock:
                layout: Layout | None = None
                for node in inputs:
                    storage = node.storage
                    assert storage is not None
                    if not storage.contiguous:
                        layout = _layout_of(inputs)
                        break
                prepared = self._prepared.get(layout)
                if prepared is None:
                    prepared = self._prepare(layout, inputs)
                else:
                    counters.plans_reused += 1
                made = self._run_prepared(prepared, inputs)
        return [*inputs, *made, *self._known]

    def _run_prepared(self, prepared: _Prepared, inputs: list[Node]) -> list[Node]:
        template = prepared.recorded
        nodes = prepared.nodes.copy()
        made = []
        for number, node in zip(prepared.outputs, self._computed):
            fresh = Node(None, (), node.shape, node.dtype, None, node.call)
            nodes[number] = fresh
            made.append(fresh)
        constants = self._constants
        leaves = [inputs[source] if source >= 0 else constants[-1 - source] for source in prepared.sources]
        recorded = Recorded(nodes, leaves)
        recorded.key = template.key
        recorded.outputs = template.outputs
        recorded.arguments = template.arguments
        recorded.scalars = template.scalars
        prepared.plan.run(recorded)
        return made

    def _prepare(self, layout: Layout | None, inputs: list[Node]) -> _Prepared:
        """Find or build the plan. For as long as that takes, the placeholders have the inputs' layout."""
        for placeholder, node in zip(self._placeholders, inputs):
            placeholder.storage = node.storage
        try:
            recorded = record(self._computed)
            plan = find_plan(recorded)
        finally:
            for placeholder in self._placeholders:
                placeholder.storage = None
        sources = {node: number for number, node in enumerate(self._placeholders)}
        sources.update({node: -1 - number for number, node in enumerate(self._constants)})
        numbers = {node: number for number, node in enumerate(recorded.nodes)}
        prepared = _Prepared(
            plan, recorded, [sources[leaf] for leaf in recorded.leaves], [numbers[n] for n in self._computed]
        )
        if len(self._prepared) >= MOST_LAYOUTS:
            self._prepared.pop(next(iter(self._prepared)))
        self._prepared[layout] = prepared
        return prepared


def _layout_of(inputs: Sequence[Node]) -> Layout:
    """The strides of each input, None for those that are contiguous."""
    layout: list[Shape | None] = []
    for node in inputs:
        storage = node.storage
        assert storage is not None
        layout.append(None if storage.contiguous else storage.strides)
    return tuple(layout)


def _order_of(placeholders: Sequence[Node], outputs: Sequence[Node]) -> list[Node]:
    """What has to run, inputs before users. Evaluates what the function captured.

    ValueError when there are placeholders of another trace among what the outputs depend on.
    """
    inputs = set(placeholders)
    order = unevaluated(outputs)
    foreign = [node for node in order if node.primitive is None and node not in inputs]
    if foreign:
        raise ValueError(
            "[compile] Attempting to compile a function with uncaptured inputs is not allowed: it uses an "
            f"array of shape {foreign[0].shape} that another trace left without a value."
        )
    captured = _captured(order, inputs, outputs)
    if captured:
        evaluate(captured)
        del captured
        order = unevaluated(outputs)
    return [node for node in order if node not in inputs]


def _captured(order: list[Node], inputs: set[Node], outputs: Sequence[Node]) -> list[Node]:
    """Nodes that depend on no input and that somebody outside the graph holds: arrays of the user.

    They are better computed once. What the function itself made of nothing (a range, zeros) is left to
    fusion: when it has returned, nobody holds it.
    """
    ends = {id(node) for node in outputs}
    uses: dict[int, int] = {}
    dependent: set[int] = {id(node) for node in inputs}
    for node in order:
        for source in node.inputs:
            uses[id(source)] = uses.get(id(source), 0) + 1
            if id(source) in dependent:
                dependent.add(id(node))
    # These still name nodes, which would count as held.
    node = source = None  # type: ignore[assignment]
    found = []
    count = sys.getrefcount
    for number in range(len(order)):
        node = order[number]
        if id(node) in dependent or id(node) in ends:
            continue
        if count(node) > _OWN_REFERENCES + uses.get(id(node), 0):
            found.append(node)
    return found
