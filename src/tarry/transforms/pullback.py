"""The backward graph of a function, recorded once for each structure of its forward graph.

A training step records the same forward graph every time, with new nodes. Its key says how it looks: the
operations with all their parameters, sizes and numbers, and which nodes somebody outside still holds. For a
known key nothing is derived again: one invocation (graph.subgraph) stands for the forward and the backward
graph, and its outputs for the gradients. What is held of the forward graph becomes outputs, too, so that the
rest of it is forgotten. A graph that looks like a recent one is recognised without its key
(transforms.patterns).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

from tarry.graph.array import array, wrap
from tarry.graph.node import Node
from tarry.graph.references import OWN_IN_LOOP
from tarry.graph.subgraph import Subgraph, become_output, make_output, make_outputs
from tarry.graph.tracing import is_outermost
from tarry.ops.elementwise import Constant
from tarry.transforms.patterns import Pattern, make_pattern
from tarry.transforms.recording import CustomOutput

# Structures that are remembered; the oldest goes first.
MOST_STRUCTURES = 1024
# Patterns of structures that have their outermost properties in common; the latest are looked at first.
MOST_PATTERNS = 8
# References to a node while its count is asked for: the list, the dictionary of numbers, and the loop's.
_OWN_REFERENCES = 2 + OWN_IN_LOOP
# A node with more inputs has all of them visited before it is looked at again.
FEW_INPUTS = 8

PullBack = Callable[[], list[array]]

_known: dict[tuple[object, ...], Subgraph] = {}
_patterns: dict[tuple[object, ...], list[Pattern]] = {}


class Forward:
    """The part of a graph that depends on the sources.

    nodes    inputs before users
    others   what they read besides, and cotangents; constants are part of the graph
    holders  the references to each node by the others and by those who ask
    kept     numbers of the nodes that somebody holds
    held     whether anybody holds them but those who ask
    key      everything a backward graph may depend on
    """

    __slots__ = ("held", "holders", "kept", "key", "nodes", "others")

    def __init__(
        self, nodes: list[Node], others: list[Node], holders: list[int], parts: list[object]
    ) -> None:
        self.nodes = nodes
        self.others = others
        self.holders = holders
        self.kept: list[int] = []
        self.held: list[bool] = []
        self.key: tuple[object, ...] = tuple(parts)


def pull_back_invoked(
    outputs: Sequence[Node],
    sources: Sequence[Node],
    cotangents: Sequence[array],
    origins: Mapping[Node, Node],
    derive: PullBack,
    handle: array | None = None,
) -> list[array] | None:
    """The cotangents of the sources by an invocation; `derive` records them where the structure is new.

    `origins` are the evaluated nodes that sources stand for: the invocation reads those. `handle` is the
    array on the only output, which gets the invocation's.

    None where a graph must be there as it is: for the transforms around this one, when something of it was
    evaluated in between, and for calls with rules of their own.
    """
    if not is_outermost() or not sources:
        return None
    seeds = [cotangent._node for cotangent in cotangents]
    top = outputs[0].primitive
    asked = handle is not None
    looks = (asked, len(sources), sources[0].shape, sources[-1].shape, top.key if top is not None else -1)
    for pattern in _patterns.get(looks, ()):
        match = pattern.match(outputs, sources, seeds)
        if match is not None:
            inputs = [origins.get(node, node) for node in match.inputs]
            return _invoke(pattern.subgraph, inputs, match.kept, match.held, len(sources), handle)
    nodes = _dependents(outputs, sources)
    if nodes is None:
        return None
    forward = _read(nodes, outputs, sources, seeds, asked)
    if forward is None:
        return None
    subgraph = _known.get(forward.key)
    reading = [*sources, *forward.others]
    kept = [nodes[number] for number in forward.kept]
    if subgraph is None:
        subgraph = Subgraph(reading, [*kept, *[gradient._node for gradient in derive()]])
        if len(_known) >= MOST_STRUCTURES:
            _known.pop(next(iter(_known)))
        _known[forward.key] = subgraph
    reading = [reading[number] for number in subgraph.used]
    new = make_pattern(outputs, sources, seeds, nodes, forward.kept, forward.holders, reading, subgraph)
    if new is not None:
        _remember(looks, new)
    inputs = [origins.get(node, node) for node in reading]
    return _invoke(subgraph, inputs, kept, forward.held, len(sources), handle)


def _remember(looks: tuple[object, ...], pattern: Pattern) -> None:
    """Put a pattern before the others of these looks."""
    if looks not in _patterns and len(_patterns) >= MOST_STRUCTURES:
        _patterns.pop(next(iter(_patterns)), None)
    # A new list: another thread may be looking through the old one.
    _patterns[looks] = [pattern, *_patterns.get(looks, ())][:MOST_PATTERNS]


def _invoke(
    subgraph: Subgraph,
    inputs: Sequence[Node],
    kept: Sequence[Node],
    held: Sequence[bool],
    count: int,
    handle: array | None,
) -> list[array]:
    """The gradients as outputs of an invocation, which gives the values of the kept nodes from now on."""
    invocation = subgraph.invoke_on(inputs)
    for number, node in enumerate(kept):
        if handle is not None and not held[number]:
            # Nobody else can see the node: the array gets another one.
            handle._node = make_output(invocation, number)
        else:
            become_output(node, invocation, number)
    return [wrap(node) for node in make_outputs(invocation, len(kept), count)]


def _dependents(outputs: Sequence[Node], sources: Sequence[Node]) -> list[Node] | None:
    """The nodes between sources and outputs, inputs before users; None if one has a value or own rules."""
    active = set(sources)
    seen = set(active)
    between: list[Node] = []
    stack: list[Node] = list(outputs)
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        if node.storage is not None:
            # An evaluated node that keeps its inputs was evaluated inside this trace.
            if node.inputs:
                return None
            seen.add(node)
            continue
        inputs = node.inputs
        depends = False
        for source in inputs:
            if source in active:
                depends = True
            elif source not in seen:
                # The rest of the inputs is looked at again afterwards: cheaper than noting how far we are.
                stack.append(node)
                if len(inputs) > FEW_INPUTS:
                    stack.extend([source for source in inputs if source not in seen])
                else:
                    stack.append(source)
                break
        else:
            seen.add(node)
            if depends:
                if type(node.primitive) is CustomOutput:
                    return None
                active.add(node)
                between.append(node)
    return between


def _read(
    nodes: list[Node],
    outputs: Sequence[Node],
    sources: Sequence[Node],
    cotangents: Sequence[Node],
    has_handle: bool,
) -> Forward | None:
    """The forward graph with its key; None when an output does not depend on any source."""
    numbers: dict[Node, int] = {}
    parts: list[object] = []
    for source in sources:
        numbers[source] = len(numbers)
        parts += (source.shape, source.dtype.code)
    others: list[Node] = []
    for cotangent in cotangents:
        _add_other(cotangent, parts, others)
        numbers.setdefault(cotangent, len(numbers))
    count = len(numbers)
    outside = -1
    uses = [0] * len(nodes)
    for place, node in enumerate(nodes):
        primitive = node.primitive
        assert primitive is not None
        parts.append(primitive.key)
        for source in node.inputs:
            known = numbers.get(source)
            if known is None:
                known = numbers[source] = outside
                outside -= 1
                _add_other(source, parts, others)
            elif known >= count:
                uses[known - count] += 1
            parts.append(known)
        if primitive.shaped:
            parts.append(node.shape)
            if primitive.arguments:
                parts.append(primitive.arguments)
        if node.call is not None:
            parts += (node.call.name, node.call.file, node.call.line)
        numbers[node] = count + place
    parts.append("outputs")
    asked = []
    for output in outputs:
        if numbers.get(output, -1) < count:
            return None
        parts.append(numbers[output])
        asked.append(numbers[output] - count)
        # The list of outputs holds it, and the handle.
        uses[asked[-1]] += 2 if has_handle else 1
    # These still name nodes, which would count as held.
    node = source = output = nodes[0]
    del node, source, output
    held = _held(nodes, uses)
    parts.append("held")
    kept = sorted({*held, *asked})
    forward = Forward(nodes, others, uses, [*parts, *kept])
    forward.kept = kept
    forward.held = [number in held for number in kept]
    return forward


def _add_other(node: Node, parts: list[object], others: list[Node]) -> None:
    """What is known of a node that does not depend on the sources; of a constant, its number."""
    parts += (node.shape, node.dtype.code)
    primitive = node.primitive
    if type(primitive) is Constant and node.storage is None:
        value = primitive.value
        # Zeros compare equal whatever their signs, and NaN does not equal itself.
        parts.append(value if value and value == value else repr(value))
    else:
        others.append(node)


def _held(nodes: list[Node], uses: list[int]) -> list[int]:
    """The numbers of the nodes that are held by more than each other and those who ask."""
    count = sys.getrefcount
    held = []
    for place in range(len(nodes)):
        node = nodes[place]
        if count(node) > _OWN_REFERENCES + uses[place]:
            held.append(place)
    return held
