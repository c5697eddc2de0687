"""Trees: nested lists, tuples and dictionaries whose leaves are arrays or any other values.

Models, gradients and optimizer states are all such trees. A path names a leaf by joining the keys and indices
that lead to it with dots: ``layers.0.weight``. Nothing here touches arrays, so any value may be a leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

__all__ = [
    "tree_flatten",
    "tree_map",
    "tree_map_with_path",
    "tree_merge",
    "tree_reduce",
    "tree_unflatten",
]

LeafTest = Callable[[Any], bool]


def tree_map(fn: Callable[..., Any], tree: Any, *rest: Any, is_leaf: LeafTest | None = None) -> Any:
    """Apply ``fn`` to every leaf of ``tree``, and give back a tree of the same form.

    The trees in ``rest`` are followed along the same keys and indices (they may hold more than ``tree``), and
    what they hold there is passed as further arguments. Named tuples keep their type; modules and other kinds
    of dictionaries become plain dictionaries. ``is_leaf`` marks further subtrees as leaves.

    Raises IndexError or KeyError when a tree of ``rest`` has no entry at the place of a leaf.

        >>> tree_map(lambda x, y: x + y, {"a": [1, 2]}, {"a": [10, 20]})
        {'a': [11, 22]}
    """
    return _map(fn, tree, rest, is_leaf)


def _map(fn: Callable[..., Any], tree: Any, rest: Sequence[Any], is_leaf: LeafTest | None) -> Any:
    if is_leaf is not None and is_leaf(tree):
        return fn(tree, *rest)
    if isinstance(tree, dict):
        return {key: _map(fn, child, _entries(rest, key), is_leaf) for key, child in tree.items()}
    if isinstance(tree, (list, tuple)):
        children = [
            _map(fn, child, _entries(rest, index), is_leaf) for index, child in enumerate(tree)
        ]
        return _sequence_like(tree, children)
    return fn(tree, *rest)


def tree_map_with_path(
    fn: Callable[..., Any],
    tree: Any,
    *rest: Any,
    is_leaf: LeafTest | None = None,
    path: str | None = None,
) -> Any:
    """Like :func:`tree_map`, but ``fn`` gets the dotted path of the leaf first.

    ``path`` is put in front of every path. The path of a tree that is itself a leaf is ``path`` (None if not
    given).

        >>> tree_map_with_path(lambda path, x: f"{path}={x}", {"a": [1, 2]})
        {'a': ['a.0=1', 'a.1=2']}
    """
    if is_leaf is not None and is_leaf(tree):
        return fn(path, tree, *rest)
    if not isinstance(tree, (dict, list, tuple)):
        return fn(path, tree, *rest)
    prefix = f"{path}." if path else ""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    children = {
        key: tree_map_with_path(fn, child, *_entries(rest, key), is_leaf=is_leaf, path=f"{prefix}{key}")
        for key, child in pairs
    }
    return children if isinstance(tree, dict) else _sequence_like(tree, list(children.values()))


def tree_flatten(
    tree: Any,
    prefix: str = "",
    is_leaf: LeafTest | None = None,
    destination: list[tuple[str, Any]] | dict[str, Any] | None = None,
) -> Any:
    """List the leaves of ``tree`` with their dotted paths, depth first.

    The result is a list of pairs, or ``destination`` (a list or a dictionary) with the leaves added to it.
    Every path starts with ``prefix`` less its first character, which stands for the dot. Empty containers
    leave no trace. Raises ValueError for a destination of another type.

        >>> tree_flatten({"a": [1, 2], "b": {}})
        [('a.0', 1), ('a.1', 2)]
        >>> tree_flatten({"a": [1, 2]}, destination={})
        {'a.0': 1, 'a.1': 2}
    """
    if destination is None:
        destination = []
    if not isinstance(destination, (list, dict)):
        raise ValueError(
            "[tree_flatten] Destination should be either a list or a dictionary or None, "
            f"got {type(destination).__name__}."
        )
    _flatten(tree, prefix, is_leaf, destination)
    return destination


def tree_unflatten(tree: list[tuple[str, Any]] | dict[str, Any]) -> Any:
    """Build the tree whose leaves have the given dotted paths: the inverse of :func:`tree_flatten`.

    A level whose keys are all indices becomes a list (missing indices hold an empty dictionary), any other a
    dictionary. The single path ``""`` stands for a bare leaf; nothing at all gives an empty list.
    Raises ValueError when a path occurs twice.

        >>> tree_unflatten([("a.0", 1), ("a.1", 2), ("b", 3)])
        {'a': [1, 2], 'b': 3}
    """
    pairs = list(tree.items()) if isinstance(tree, dict) else list(tree)
    return _unflatten(pairs, "") if pairs else []


def tree_reduce(
    fn: Callable[[Any, Any], Any],
    tree: Any,
    initializer: Any = None,
    is_leaf: LeafTest | None = None,
) -> Any:
    """Combine all leaves from left to right: ``fn(fn(initializer, first), second)`` and so on.

    Without an initializer the first leaf takes its place. A tree without leaves gives the initializer back.

        >>> tree_reduce(lambda total, x: total + x, {"a": [1, 2], "b": 3}, 0)
        6
    """
    accumulated = initializer
    pending = [tree]
    while pending:
        node = pending.pop()
        if is_leaf is None or not is_leaf(node):
            if isinstance(node, dict):
                pending.extend(reversed(list(node.values())))
                continue
            if isinstance(node, (list, tuple)):
                pending.extend(reversed(node))
                continue
        accumulated = node if accumulated is None else fn(accumulated, node)
    return accumulated


def tree_merge(tree_a: Any, tree_b: Any, merge_fn: Callable[[Any, Any], Any] | None = None) -> Any:
    """Join two trees: containers are joined entry by entry, and what only one tree holds is kept.

    None and empty containers give way to a leaf of the other tree. Where both hold a leaf (or one a leaf and
    the other a filled container), ``merge_fn(a, b)`` decides. Raises ValueError for such a clash without
    ``merge_fn``, and for a list against a dictionary.

        >>> tree_merge({"a": 1}, {"b": [2]})
        {'a': 1, 'b': [2]}
    """
    if isinstance(tree_a, (dict, list, tuple)) and isinstance(tree_b, (dict, list, tuple)):
        if isinstance(tree_a, dict) and isinstance(tree_b, dict):
            return _merge_dictionaries(tree_a, tree_b, merge_fn)
        if isinstance(tree_a, dict) or isinstance(tree_b, dict):
            kinds = (type(tree_a).__name__, type(tree_b).__name__)
            raise ValueError(f"[tree_merge] Cannot merge {kinds[0]} with {kinds[1]}.")
        merged = [tree_merge(a, b, merge_fn) for a, b in zip_longest(tree_a, tree_b)]
        return _sequence_like(tree_a, merged) if len(merged) == len(tree_a) else type(tree_a)(merged)
    if merge_fn is not None and tree_a is None and tree_b is None:
        return merge_fn(tree_a, tree_b)
    if _is_absent(tree_a) and tree_b is not None:
        return tree_b
    if _is_absent(tree_b) and tree_a is not None:
        return tree_a
    if merge_fn is None:
        raise ValueError(
            "[tree_merge] Trees contain elements at the same locations but no merge function was provided: "
            f"{type(tree_a).__name__} and {type(tree_b).__name__}."
        )
    return merge_fn(tree_a, tree_b)


def _entries(trees: Sequence[Any], key: Any) -> list[Any]:
    """What each of ``trees`` holds at ``key``; lookups fail with the exception of their container."""
    entries: list[Any] = []
    for tree in trees:
        try:
            entries.append(tree[key])
        except KeyError:
            raise KeyError(
                f"[tree_map] {key!r} is in the first tree but not in another one, which has {list(tree)}."
            ) from None
        except IndexError:
            raise IndexError(
                f"[tree_map] index {key} is in the first tree but another one has only {len(tree)} entries."
            ) from None
    return entries


def _sequence_like(sequence: list[Any] | tuple[Any, ...], children: list[Any]) -> Any:
    if hasattr(sequence, "_fields"):
        return type(sequence)(*children)
    return type(sequence)(children)


def _flatten(
    tree: Any, path: str, is_leaf: LeafTest | None, destination: list[tuple[str, Any]] | dict[str, Any]
) -> None:
    if (is_leaf is None or not is_leaf(tree)) and isinstance(tree, (dict, list, tuple)):
        pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, child in pairs:
            _flatten(child, f"{path}.{key}", is_leaf, destination)
    elif isinstance(destination, dict):
        destination[path[1:]] = tree
    else:
        destination.append((path[1:], tree))


def _unflatten(pairs: list[tuple[str, Any]], prefix: str) -> Any:
    if len(pairs) == 1 and pairs[0][0] == "":
        return pairs[0][1]
    groups: dict[str, list[tuple[str, Any]]] = {}
    for path, leaf in pairs:
        head, _, tail = path.partition(".")
        groups.setdefault(head, []).append((tail, leaf))
    if "" in groups and len(groups[""]) > 1:
        raise ValueError(f"[tree_unflatten] the path {prefix.rstrip('.')!r} occurs more than once.")
    children = {head: _unflatten(group, f"{prefix}{head}.") for head, group in groups.items()}
    # "01" is no index: it would collide with "1".
    if all(head.isdecimal() and str(int(head)) == head for head in children):
        by_index = {int(head): child for head, child in children.items()}
        return [by_index.get(index, {}) for index in range(max(by_index) + 1)]
    return children


def _merge_dictionaries(
    tree_a: dict[Any, Any], tree_b: dict[Any, Any], merge_fn: Callable[[Any, Any], Any] | None
) -> dict[Any, Any]:
    merged = dict(tree_a)
    for key, child in tree_b.items():
        merged[key] = tree_merge(merged[key], child, merge_fn) if key in merged else child
    return merged


def _is_absent(tree: Any) -> bool:
    return tree is None or (isinstance(tree, (dict, list, tuple)) and not tree)
