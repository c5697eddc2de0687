"""Iterative walks over graphs: graphs are deep, so nothing here recurses."""

from __future__ import annotations

from collections.abc import Iterable

from tarry.graph.node import Node


def unevaluated(outputs: Iterable[Node], known: Iterable[Node] = ()) -> list[Node]:
    """The nodes that must run to give the outputs, inputs before users.

    Evaluated nodes are left out, and so are known ones and what only these depend on.
    """
    order: list[Node] = []
    seen: set[Node] = set(known)
    stack: list[Node | None] = []
    path: list[Node] = []
    for output in outputs:
        if output.storage is not None or output in seen:
            continue
        stack.append(output)
        while stack:
            node = stack.pop()
            if node is None:
                order.append(path.pop())
                continue
            if node in seen:
                continue
            seen.add(node)
            stack.append(None)
            path.append(node)
            for source in reversed(node.inputs):
                if source.storage is None and source not in seen:
                    stack.append(source)
    return order


def reachable(outputs: Iterable[Node]) -> list[Node]:
    """All nodes the outputs depend on through recorded inputs, evaluated or not, inputs before users."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack: list[Node | None] = []
    path: list[Node] = []
    for output in outputs:
        stack.append(output)
        while stack:
            node = stack.pop()
            if node is None:
                order.append(path.pop())
                continue
            if node in seen:
                continue
            seen.add(node)
            stack.append(None)
            path.append(node)
            for source in reversed(node.inputs):
                if source not in seen:
                    stack.append(source)
    return order


def print_graph(outputs: Iterable[Node]) -> str:
    """One line a node, inputs before users.

    %0: float32[4] = Values
    %1: float32[4] = Exp %0
    """
    numbers: dict[Node, int] = {}
    lines = []
    for node in reachable(outputs):
        numbers[node] = len(numbers)
        operands = " ".join(f"%{numbers[source]}" for source in node.inputs)
        what = repr(node.primitive) if node.primitive is not None and node.storage is None else "Values"
        shape = ", ".join(str(extent) for extent in node.shape)
        lines.append(f"%{numbers[node]}: {node.dtype.name}[{shape}] = {what} {operands}".rstrip())
    return "\n".join(lines)
