"""Trees: nested lists, tuples, named tuples and dicts, with anything else as a leaf."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Trees of so many containers are looked at for one that contains itself, which has no end.
SUSPICIOUS = 1 << 14


def contains_itself(tree: Any) -> bool:
    """Whether some container of the tree is inside itself.

    >>> ring = [1]
    >>> ring.append(ring)
    >>> contains_itself(ring), contains_itself([ring[:1], ring[:1]])
    (True, False)
    """
    path: set[int] = set()
    done: set[int] = set()
    stack = [(tree, False)]
    while stack:
        item, left = stack.pop()
        if left:
            path.remove(id(item))
            done.add(id(item))
        elif isinstance(item, (list, tuple, dict)) and id(item) not in done:
            if id(item) in path:
                return True
            path.add(id(item))
            stack.append((item, True))
            stack.extend([(child, False) for child in (item.values() if isinstance(item, dict) else item)])
    return False


def leaves(tree: Any) -> list[Any]:
    """The leaves, depth first; dicts in insertion order. ValueError for a tree that contains itself.

    >>> leaves({"a": [1, (2, 3)], "b": 4})
    [1, 2, 3, 4]
    """
    found: list[Any] = []
    stack = [tree]
    containers = 0
    while stack:
        item = stack.pop()
        if isinstance(item, (list, tuple)):
            stack.extend(reversed(item))
        elif isinstance(item, dict):
            stack.extend(reversed(item.values()))
        else:
            found.append(item)
            continue
        containers += 1
        if containers == SUSPICIOUS and contains_itself(tree):
            raise ValueError("[tree_flatten] A tree must not contain itself.")
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
