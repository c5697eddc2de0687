"""Functions on recorded graphs: simplify, export_to_dot, depends."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, overload

from tarry.base.trees import leaves
from tarry.graph.array import array, wrap
from tarry.graph.node import Node
from tarry.graph.walk import unevaluated
from tarry.ops.arguments import arrays_of, described, wrong_type

Tree = TypeVar("Tree")


@overload
def simplify(tree: Tree, /) -> Tree: ...
@overload
def simplify(first: Any, second: Any, /, *trees: Any) -> tuple[Any, ...]: ...
@overload
def simplify(*trees: Any) -> Any: ...
def simplify(*trees: Any) -> Any:
    """The arrays themselves, their graphs rebuilt so that equal operations on equal inputs are recorded once.

    Arguments are arrays and trees of them; several come back as a tuple. Evaluation does the same by itself;
    this shows in `export_to_dot` and in counters of nodes. TypeError for anything else but arrays in a tree,
    ValueError without arguments.

    >>> x = mx.array(2.0)
    >>> mx.simplify(mx.exp(x) + mx.exp(x))
    array(14.7781, dtype=float32)
    """
    if not trees:
        raise ValueError("[simplify] At least one array is required.")
    given: list[array] = []
    for tree in trees:
        found = leaves(tree)
        if not all(isinstance(value, array) for value in found):
            raise wrong_type("simplify", "the graphs", "arrays and trees of arrays", tree)
        given += found
    replaced: dict[Node, Node] = {}
    known: dict[tuple[Any, ...], Node] = {}
    for node in unevaluated([value._node for value in given]):
        primitive = node.primitive
        if primitive is None:
            continue
        inputs = tuple([replaced.get(source, source) for source in node.inputs])
        key = (primitive.key, primitive.arguments, primitive.scalars, inputs, node.shape, node.dtype)
        merged = known.get(key)
        if merged is None:
            same = all(new is old for new, old in zip(inputs, node.inputs))
            merged = node if same else Node(primitive, inputs, node.shape, node.dtype, None, node.call)
            known[key] = merged
        replaced[node] = merged
    for value in given:
        value._node = replaced.get(value._node, value._node)
    return trees[0] if len(trees) == 1 else trees


@overload
def depends(inputs: array, dependencies: array | Sequence[array], /) -> array: ...
@overload
def depends(inputs: Sequence[array], dependencies: array | Sequence[array], /) -> list[array]: ...
def depends(
    inputs: array | Sequence[array], dependencies: array | Sequence[array], /
) -> array | list[array]:
    """The inputs, to be computed after the dependencies: the same values on handles of their own.

    Operations have no effects beside their results, so nothing else follows from the order. A sequence of
    inputs gives a list.

    >>> mx.depends(mx.array([1.0]), mx.array([2.0]))
    array([1], dtype=float32)
    """
    arrays_of("depends", _listed(dependencies, "dependencies"))
    found = [wrap(value._node) for value in arrays_of("depends", _listed(inputs, "inputs"))]
    return found[0] if isinstance(inputs, array) else found


def _listed(values: Any, role: str) -> Sequence[Any]:
    if isinstance(values, array):
        return [values]
    if isinstance(values, (list, tuple)):
        return values
    if values is None:
        raise wrong_type("depends", role, "an array or a sequence of arrays", values)
    raise RuntimeError(f"[depends] Expected arrays for {role}, not {described(values)} (std::bad_cast).")


def _letters() -> Iterator[str]:
    """A, B, ..., Z, AA, AB, ..."""
    for length in itertools.count(1):
        for letters in itertools.product("ABCDEFGHIJKLMNOPQRSTUVWXYZ", repeat=length):
            yield "".join(letters)


def export_to_dot(file: Any, /, *args: array, **kwargs: array) -> None:
    """Write what is recorded for the arrays as a graph in the DOT language of Graphviz.

    `file` is a path or has a method `write`. Operations are boxes; arrays have the name they are given by
    keyword, or a letter. Evaluated arrays are sources.

    >>> import io
    >>> text = io.StringIO()
    >>> mx.export_to_dot(text, mx.exp(mx.array(1.0)))
    >>> "Exp" in text.getvalue()
    True
    """
    if file is None:
        raise wrong_type("export_to_dot", "file", "a path or a file", file)
    is_path = isinstance(file, (str, os.PathLike))
    if not is_path and not hasattr(file, "write"):
        raise ValueError(f"[export_to_dot] Expected a path or a file to write to, not {described(file)}.")
    for value in (*args, *kwargs.values()):
        if not isinstance(value, array):
            raise ValueError(f"[export_to_dot] Expected arrays, but one is {described(value)}.")
    outputs = [value._node for value in (*args, *kwargs.values())]
    named = {value._node: name for name, value in kwargs.items()}
    text = _dot_text(outputs, named)
    if is_path:
        with open(file, "w", encoding="utf-8") as stream:
            stream.write(text)
    else:
        file.write(text)


def _dot_text(outputs: Sequence[Node], named: dict[Node, str]) -> str:
    order = unevaluated(outputs)
    letters = (letter for letter in _letters() if letter not in named.values())
    names = dict(named)
    computed = set(order)
    used = {source for node in order for source in node.inputs}
    lines = ["digraph {"]
    for node in dict.fromkeys([*itertools.chain.from_iterable([node.inputs for node in order]), *outputs]):
        if node not in computed:
            if node not in names:
                names[node] = next(letters)
            lines.append(f'{{ rank=source; "{names[node]}"; }}')
    return "\n".join([*lines, *_operation_lines(order, names, letters, used), "}"]) + "\n"


def _operation_lines(
    order: Sequence[Node], names: dict[Node, str], letters: Iterator[str], used: set[Node]
) -> Iterator[str]:
    for number, node in enumerate(order):
        if node not in names:
            names[node] = next(letters)
        name = node.primitive.name if node.primitive is not None else "Values"
        yield f'{{ {number} [label="{name}", shape=rectangle]; }}'
        for source in node.inputs:
            yield f'"{names[source]}" -> {number}'
        rank = "" if node in used else "rank=sink; "
        yield f'{{ {rank}"{names[node]}"; }}'
        yield f'{number} -> "{names[node]}"'
