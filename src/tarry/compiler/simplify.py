"""Common subexpressions are computed once, and what nobody wants is not computed at all."""

from __future__ import annotations

from tarry.compiler.program import Value, ValueGraph
from tarry.ops.elementwise import Cast


def simplify(graph: ValueGraph) -> ValueGraph:
    """The graph with equal values merged, casts to the same dtype dropped, and dead values removed."""
    replaced: dict[Value, Value] = {}
    known: dict[tuple[object, ...], Value] = {}
    for value in graph.values:
        inputs = tuple([replaced[source] for source in value.inputs])
        replaced[value] = _merge(value, inputs, known)
    outputs = [replaced[value] for value in graph.outputs]
    return ValueGraph(live_values(outputs, graph.values), outputs)


def _merge(value: Value, inputs: tuple[Value, ...], known: dict[tuple[object, ...], Value]) -> Value:
    if value.primitive is None:
        return value
    if isinstance(value.primitive, Cast) and inputs[0].dtype is value.dtype:
        return inputs[0]
    key = (
        value.primitive.key,
        tuple([source.number for source in inputs]),
        value.shape,
        value.dtype,
        value.arguments,
        value.scalar,
    )
    found = known.get(key)
    if found is not None:
        return found
    value.inputs = inputs
    known[key] = value
    return value


def live_values(outputs: list[Value], order: list[Value]) -> list[Value]:
    """The values of `order` that the outputs depend on."""
    live: set[Value] = set()
    stack = list(outputs)
    while stack:
        value = stack.pop()
        if value not in live:
            live.add(value)
            stack.extend(value.inputs)
    return [value for value in order if value in live]
