"""Trees: nested lists, tuples, named tuples and dicts, with anything else as a leaf."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def leaves(tree: Any) -> list[Any]:
    """The leaves, depth first; dicts in insertion order.

    >>> leaves({"a": [1, (2, 3)], "b": 4})
    [1, 2, 3, 4]
    """
    found: list[Any] = []
    stack = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, (list, tuple)):
            stack.extend(reversed(item))
        elif isinstance(item, dict):
            stack.extend(reversed(item.values()))
        else:
            found.append(item)
    return found


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """A tree of the same structure with `function` of every leaf; dict subclasses become plain dicts.

    >>> map_leaves(lambda x: x + 1, [1, {"a": 2}])
    [2, {'a': 3}]
    """
    if isinstance(tree, list):
        return [map_leaves(function, item) for item in tree]
    if isinstance(tree, tuple):
        items = [map_leaves(function, item) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else tuple(items)
    if isinstance(tree, dict):
        return {key: map_leaves(function, item) for key, item in tree.items()}
    return function(tree)


def unflatten(tree: Any, values: list[Any]) -> Any:
    """The structure of `tree` with its leaves replaced, in order, by `values`."""
    iterator = iter(values)
    return map_leaves(lambda _: next(iterator), tree)
