"""Arguments of transformed functions: the differentiated ones, other arrays in their trees, axes of trees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tarry.base import trees
from tarry.base.errors import type_name
from tarry.graph.array import array
from tarry.graph.node import Node


def require_function(op: str, value: object) -> None:
    """TypeError for what cannot be called."""
    if not callable(value):
        raise TypeError(
            f"[{op}] incompatible function arguments: expected a function, not a value of type "
            f"{type_name(value)}."
        )


def require_arrays(op: str, what: str, tree: object) -> list[array]:
    """The leaves of a tree, all of which have to be arrays. ValueError for any other."""
    leaves = trees.leaves(tree)
    for leaf in leaves:
        if not isinstance(leaf, array):
            raise ValueError(
                f"[{op}] {what} should contain only arrays, but there is a leaf of type {type_name(leaf)}."
            )
    return leaves


def require_array_list(op: str, what: str, value: object) -> list[array]:
    """A list or tuple of arrays. TypeError for anything else."""
    if not isinstance(value, (list, tuple)):
        raise TypeError(
            f"[{op}] incompatible function arguments: {what} should be a list or tuple of arrays, "
            f"not a value of type {type_name(value)}."
        )
    for item in value:
        if not isinstance(item, array):
            raise TypeError(
                f"[{op}] incompatible function arguments: {what} should contain only arrays, "
                f"but has an item of type {type_name(item)}."
            )
    return list(value)


class Selection:
    """Which arguments a gradient is taken by: positions in order, and names."""

    __slots__ = ("names", "op", "positions")

    def __init__(self, op: str, argnums: object, argnames: object) -> None:
        self.op = op
        self.names = _read_names(op, argnames)
        if argnums is None:
            argnums = [] if self.names else [0]
        self.positions = _read_positions(op, argnums)
        if not self.positions and not self.names:
            raise ValueError(f"[{op}] No argument to differentiate: argnums and argnames are both empty.")

    def trees(self, args: Sequence[Any], keywords: dict[str, Any]) -> list[Any]:
        """The differentiated arguments: by position, then by name. ValueError when one was not given."""
        for position in self.positions:
            if position >= len(args):
                raise ValueError(
                    f"[{self.op}] Cannot differentiate by argument {position}: "
                    f"the function is called with {len(args)} positional argument(s)."
                )
        for name in self.names:
            if name not in keywords:
                raise ValueError(
                    f"[{self.op}] Cannot differentiate by keyword argument '{name}': "
                    f"the function is called with the keyword arguments {sorted(keywords)}."
                )
        return [args[position] for position in self.positions] + [keywords[name] for name in self.names]

    def arrange(self, gradients: Sequence[Any]) -> Any:
        """The result of the gradient function, from one tree of gradients for each argument."""
        count = len(self.positions)
        positional: Any = None
        if count:
            positional = gradients[0] if count == 1 else tuple(gradients[:count])
        if not self.names:
            return positional
        return positional, dict(zip(self.names, gradients[count:]))


def _read_names(op: str, argnames: object) -> list[str]:
    if isinstance(argnames, str):
        return [argnames]
    if not isinstance(argnames, (list, tuple)) or not all(isinstance(name, str) for name in argnames):
        raise TypeError(
            f"[{op}] incompatible function arguments: argnames should be a name or a sequence of names, "
            f"not {argnames!r}."
        )
    return sorted(set(argnames))


def _read_positions(op: str, argnums: object) -> list[int]:
    if isinstance(argnums, int):
        argnums = [argnums]
    if not isinstance(argnums, (list, tuple)) or not all(isinstance(n, int) for n in argnums):
        raise TypeError(
            f"[{op}] incompatible function arguments: argnums should be an integer or a sequence of "
            f"integers, not {argnums!r}."
        )
    positions = sorted([int(number) for number in argnums])
    for number, position in enumerate(positions):
        if position < 0:
            raise ValueError(f"[{op}] Cannot differentiate by the negative argument index {position}.")
        if number and positions[number - 1] == position:
            raise ValueError(f"[{op}] The argument index {position} is given twice in argnums.")
    return positions


class Substitution:
    """Other arrays in the user's own lists and dicts for the time of a call.

    The containers themselves stay, so that a function may be given objects such as modules. `restore` puts
    the arrays back, except where the function put something else or wrote into the array in place.
    """

    __slots__ = ("_changes",)

    def __init__(self) -> None:
        # Container, key, original, substitute, and the node of a substitute that is an array.
        self._changes: list[tuple[Any, Any, Any, Any, Node | None]] = []

    def fill(self, tree: Any, replace: Callable[[array], array]) -> Any:
        """The tree with every array replaced, in the order of trees.leaves; only tuples are made anew."""
        if isinstance(tree, array):
            return replace(tree)
        if isinstance(tree, list):
            for index, item in enumerate(tree):
                self._set(tree, index, item, self.fill(item, replace))
            return tree
        if isinstance(tree, dict):
            for key, item in list(tree.items()):
                self._set(tree, key, item, self.fill(item, replace))
            return tree
        if isinstance(tree, tuple):
            items = [self.fill(item, replace) for item in tree]
            if all(new is old for new, old in zip(items, tree)):
                return tree
            return type(tree)(*items) if hasattr(tree, "_fields") else tuple(items)
        return tree

    def _set(self, container: Any, key: Any, original: Any, substitute: Any) -> None:
        if substitute is original:
            return
        _assign(container, key, substitute)
        node = substitute._node if isinstance(substitute, array) else None
        self._changes.append((container, key, original, substitute, node))

    def restore(self) -> None:
        """Undo, last change first."""
        for container, key, original, substitute, node in reversed(self._changes):
            if isinstance(container, list):
                present = container[key] if key < len(container) else None
            else:
                present = container.get(key)
            if present is not substitute:
                continue
            if node is None or (isinstance(substitute, array) and substitute._node is node):
                _assign(container, key, original)
        self._changes.clear()


def _assign(container: Any, key: Any, value: Any) -> None:
    # Past whatever a subclass does on assignment: the value is of the same kind as before.
    if isinstance(container, list):
        list.__setitem__(container, key, value)
    else:
        dict.__setitem__(container, key, value)


def spread_axes(op: str, what: str, tree: Any, axes: Any) -> list[int | None]:
    """One axis for each leaf of `tree` from a prefix of it: an axis stands for all leaves below.

    ValueError when the prefix has another structure than the tree.
    """
    if isinstance(axes, int) or axes is None:
        return [axes] * len(trees.leaves(tree))
    if not isinstance(tree, (list, tuple, dict)):
        if isinstance(axes, tuple) and len(axes) == 1 and (isinstance(axes[0], int) or axes[0] is None):
            return [axes[0]]
        raise ValueError(
            f"[{op}] {what}: an axis must be an integer or None, but {axes!r} is given for an array."
        )
    if not isinstance(axes, (list, tuple, dict)):
        raise ValueError(f"[{op}] {what}: an axis must be an integer or None, not {axes!r}.")
    found: list[int | None] = []
    if isinstance(tree, dict):
        if not isinstance(axes, dict) or axes.keys() != tree.keys():
            raise _mismatch(op, what, tree, axes)
        for key, item in tree.items():
            found.extend(spread_axes(op, what, item, axes[key]))
        return found
    if isinstance(axes, dict) or isinstance(tree, list) != isinstance(axes, list) or len(tree) != len(axes):
        raise _mismatch(op, what, tree, axes)
    for item, prefix in zip(tree, axes):
        found.extend(spread_axes(op, what, item, prefix))
    return found


def _mismatch(op: str, what: str, tree: Any, axes: Any) -> ValueError:
    return ValueError(
        f"[{op}] {what} must be a prefix of the tree it belongs to, but {axes!r} ({_describe(axes)}) is "
        f"given for a {_describe(tree)}."
    )


def _describe(tree: Any) -> str:
    if isinstance(tree, dict):
        return f"dict with the keys {list(tree)}"
    return f"{type_name(tree)} of length {len(tree)}"
