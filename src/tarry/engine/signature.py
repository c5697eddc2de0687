"""Trees of arguments and state as a flat signature: what a compiled function's trace may depend on.

A signature lists, depth first: for an array its shape and dtype; for a constant its type and value; for a
container its type, its length and its contents. Two trees with equal signatures look the same to a function
that cannot evaluate arrays.
"""

from __future__ import annotations

from typing import Any

from tarry.base.errors import type_name
from tarry.graph.array import array
from tarry.graph.node import Node

_CONSTANTS = frozenset((bool, int, float, str, type(None)))


def read_arguments(tree: Any, parts: list[object], nodes: list[Node]) -> None:
    """Append the signature of arguments to `parts`, and the nodes of their arrays to `nodes`.

    ValueError for leaves that are neither arrays nor constants.
    """
    _read(tree, parts, nodes, None)


def read_state(tree: Any, parts: list[object], nodes: list[Node], containers: list[int]) -> None:
    """As `read_arguments`, for captured state: other leaves are allowed and count by their type.

    Appends to `containers` the identity of every list, tuple and dictionary.

    A dictionary that is more than one (a module) has attributes; those that are constants count as well, so
    that a function follows a model from training to evaluation.
    """
    _read(tree, parts, nodes, containers)


def _read(tree: Any, parts: list[object], nodes: list[Node], containers: list[int] | None) -> None:
    # This is the cost of a call of a compiled function, so the commonest leaf is written out twice more.
    kind = type(tree)
    if kind is array:
        node = tree._node
        parts += (node.shape, node.dtype)
        nodes.append(node)
    elif isinstance(tree, dict):
        parts += (kind, len(tree))
        if containers is not None:
            containers.append(id(tree))
        for key, item in tree.items():
            if type(item) is array:
                node = item._node
                parts += (key, node.shape, node.dtype)
                nodes.append(node)
            else:
                parts.append(key)
                _read(item, parts, nodes, containers)
        if containers is not None and kind is not dict:
            _read_attributes(tree, parts)
    elif isinstance(tree, (list, tuple)):
        parts += (kind, len(tree))
        if containers is not None:
            containers.append(id(tree))
        for item in tree:
            if type(item) is array:
                node = item._node
                parts += (node.shape, node.dtype)
                nodes.append(node)
            else:
                _read(item, parts, nodes, containers)
    elif isinstance(tree, array):
        parts += (tree._node.shape, tree._node.dtype)
        nodes.append(tree._node)
    elif tree is None or isinstance(tree, (int, float, str)):
        # The type, so that True, 1 and 1.0 differ; the digits of a float, since 0.0 == -0.0 and nan != nan.
        parts += (kind, float.hex(tree) if isinstance(tree, float) else tree)
    elif containers is not None:
        parts.append(kind)
    else:
        raise ValueError(
            "[compile] The arguments of a compiled function should be trees of arrays and constants (int, "
            f"float, bool, str, None), but there is a value of type {type_name(tree)}."
        )


def _read_attributes(module: Any, parts: list[object]) -> None:
    attributes = getattr(module, "__dict__", None)
    if not attributes:
        parts.append(0)
        return
    parts.append(len(attributes))
    parts += attributes
    for value in attributes.values():
        kind = type(value)
        parts.append(kind)
        if kind in _CONSTANTS:
            parts.append(value.hex() if kind is float else value)
