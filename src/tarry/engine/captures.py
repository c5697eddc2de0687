"""The state a compiled function reads (`inputs`) and changes (`outputs`) besides its arguments.

Both are trees that the function reaches by itself. For a trace their arrays are replaced by placeholders, in
the containers themselves; afterwards, and after every later call, the outputs are written back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tarry.base import trees
from tarry.engine.signature import read_state
from tarry.graph.array import array, wrap
from tarry.graph.node import Node
from tarry.ops.random_state import state as random_state
from tarry.transforms.arguments import Substitution


class Slot:
    """The place of an array in a structure: its number among the values of a call."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


def structure_of(tree: Any, nodes: list[Node]) -> Any:
    """The tree with a slot for every array, whose nodes are appended to `nodes`; other leaves stay."""

    def replace(leaf: Any) -> Any:
        if not isinstance(leaf, array):
            return leaf
        nodes.append(leaf._node)
        return Slot(len(nodes) - 1)

    return trees.map_leaves(replace, tree)


def build_tree(structure: Any, values: list[Node]) -> Any:
    """New containers and arrays of a structure."""
    if type(structure) is Slot:
        return wrap(values[structure.number])
    return trees.map_leaves(lambda leaf: wrap(values[leaf.number]) if type(leaf) is Slot else leaf, structure)


class Place:
    """An entry of a list or dictionary, and the number of the value that goes there."""

    __slots__ = ("container", "key", "number", "put")

    def __init__(self, container: Any, key: Any, number: int) -> None:
        self.container = container
        self.key = key
        self.number = number
        # Past whatever a subclass does on assignment.
        self.put: Callable[[Any, Any, Any], None] = (
            list.__setitem__ if isinstance(container, list) else dict.__setitem__
        )


class Captures:
    """The captured trees of a compiled function.

    Tuples do not change, so the roots are what the outermost ones hold: lists, dictionaries, and arrays that
    the function can only change in place.
    """

    __slots__ = ("_input_roots", "_output_roots", "same")

    def __init__(self, inputs: Any, outputs: Any) -> None:
        self._input_roots = _roots(inputs)
        self._output_roots = _roots(outputs)
        self.same = inputs is outputs

    def __bool__(self) -> bool:
        return bool(self._input_roots or self._output_roots)

    def read(self, parts: list[object], nodes: list[Node], containers: list[int]) -> None:
        """Append the signature of the inputs, their nodes, and the identities of the containers."""
        for root in self._input_roots:
            read_state(root, parts, nodes, containers)

    def has_random_state(self) -> bool:
        """Whether the random state is part of either tree; it is then read and written."""
        leaves = trees.leaves([self._input_roots, self._output_roots])
        return any(leaf is random_state for leaf in leaves)

    def fill(self, substitution: Substitution, fresh: Iterator[Node]) -> None:
        """Placeholders in the place of the inputs, in the order of `read`."""
        for root in self._input_roots:
            if isinstance(root, array):
                root._node = next(fresh)
            else:
                substitution.fill(root, lambda _: wrap(next(fresh)))

    def output_structures(self, nodes: list[Node]) -> list[Any]:
        """The structures of the outputs as they are now."""
        return [structure_of(root, nodes) for root in self._output_roots]

    def write(self, structures: list[Any], values: list[Node]) -> None:
        """Put the values of a call into the outputs."""
        for root, structure in zip(self._output_roots, structures):
            if isinstance(root, array):
                root._node = values[structure.number]
            else:
                _write(root, structure, values, self.same)

    def find_places(self, structures: list[Any]) -> list[Place] | None:
        """Where the arrays of the outputs are; None when some are not in lists and dictionaries."""
        places: list[Place] = []
        for root, structure in zip(self._output_roots, structures):
            if not _find_places(root, structure, places):
                return None
        return places

    def snapshot(self) -> Snapshot:
        """What has to be put back when a call fails."""
        return Snapshot([*self._input_roots, *self._output_roots])


class Snapshot:
    """The contents of all containers in trees, the nodes of arrays at their roots, and the random state."""

    __slots__ = ("_arrays", "_contents", "_key")

    def __init__(self, roots: list[Any]) -> None:
        self._arrays = [(root, root._node) for root in roots if isinstance(root, array)]
        self._contents: list[tuple[Any, Any]] = []
        self._key: array | None = None
        stack = list(roots)
        while stack:
            item = stack.pop()
            if isinstance(item, list):
                self._contents.append((item, list(item)))
                stack.extend(item)
            elif isinstance(item, dict):
                self._contents.append((item, dict(item)))
                stack.extend(item.values())
            elif isinstance(item, tuple):
                stack.extend(item)
            elif item is random_state:
                self._key = random_state[0]

    def restore_arrays(self) -> None:
        """Only the arrays at the roots, which the function was given placeholders in."""
        for root, node in self._arrays:
            root._node = node

    def restore(self) -> None:
        """Everything as it was."""
        self.restore_arrays()
        for container, content in self._contents:
            # Past whatever a subclass does on assignment.
            if isinstance(container, list):
                list.__setitem__(container, slice(None), content)
            else:
                dict.clear(container)
                dict.update(container, content)
        if self._key is not None:
            random_state[0] = self._key


def _roots(tree: Any) -> list[Any]:
    if isinstance(tree, tuple):
        return [root for item in tree for root in _roots(item)]
    return [] if tree is None else [tree]


def _write(container: Any, structure: Any, values: list[Node], exactly: bool) -> None:
    """Write the arrays of a structure into a container, and add what it lacks.

    `exactly`: what the function took away from the container, goes.
    """
    if isinstance(container, dict) and isinstance(structure, dict):
        for key, item in structure.items():
            if type(item) is Slot:
                dict.__setitem__(container, key, wrap(values[item.number]))
            elif key not in container or _needs_building(container[key], item):
                dict.__setitem__(container, key, build_tree(item, values))
            else:
                _write(container[key], item, values, exactly)
        if exactly and len(container) > len(structure):
            for key in [key for key in container if key not in structure]:
                dict.__delitem__(container, key)
    elif isinstance(container, list) and isinstance(structure, list):
        for index, item in enumerate(structure):
            if index >= len(container):
                list.append(container, build_tree(item, values))
            elif type(item) is Slot or _needs_building(container[index], item):
                list.__setitem__(container, index, build_tree(item, values))
            else:
                _write(container[index], item, values, exactly)
        if exactly:
            del container[len(structure) :]


def _find_places(container: Any, structure: Any, places: list[Place]) -> bool:
    """Append the places of a structure's arrays in a container that has this structure."""
    if isinstance(structure, (list, dict)):
        items = enumerate(structure) if isinstance(structure, list) else structure.items()
        for key, item in items:
            if type(item) is Slot:
                places.append(Place(container, key, item.number))
            elif not _find_places(container[key], item, places):
                return False
        return True
    return not any(type(leaf) is Slot for leaf in trees.leaves(structure))


def _needs_building(present: Any, structure: Any) -> bool:
    """Whether a container cannot be written into: it is a tuple, or of another kind than the structure."""
    if isinstance(structure, tuple):
        return any(type(leaf) is Slot for leaf in trees.leaves(structure))
    if isinstance(structure, list):
        return not isinstance(present, list)
    return isinstance(structure, dict) and not isinstance(present, dict)
