"""vmap: a function of one example becomes a function of a batch, without a loop.

The function runs once on placeholders that have an example's shape and no values. Whatever it recorded on
them is then recorded again on the batched arrays, each op by its own `vmap` rule; the rest is used as it is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from tarry.base import trees
from tarry.graph.array import array, wrap
from tarry.graph.node import Node
from tarry.graph.tracing import forbid_evaluation
from tarry.ops.structure import batch_to_front, broadcast, move_axis, reshaped, sum_axes
from tarry.transforms.arguments import require_arrays, require_function, spread_axes
from tarry.transforms.recording import (
    CustomCall,
    CustomOutput,
    GroupKey,
    dependents,
    group_of,
    record_call,
)

P = ParamSpec("P")
R = TypeVar("R")

# A value for the whole batch, and the place of its batch axis (None: the same for every example).
Batched = tuple[array, int | None]


def batch_axis(op: str, value: array, axis: int | None) -> int | None:
    """The axis of an input counted from the front. IndexError when it is out of range."""
    if axis is None:
        return None
    if not -value.ndim <= axis < value.ndim:
        raise IndexError(
            f"[{op}] The axis {axis} of in_axes is out of range for an array of shape {value.shape}."
        )
    return axis + value.ndim if axis < 0 else axis


def batch_size(op: str, values: Sequence[array], axes: Sequence[int | None]) -> int:
    """The extent that all batched inputs share. ValueError when they differ or none is batched."""
    size: int | None = None
    for value, axis in zip(values, axes):
        if axis is None:
            continue
        extent = value.shape[axis]
        if size is not None and extent != size:
            raise ValueError(f"[{op}] The mapped axes have different sizes: {size} and {extent}.")
        size = extent
    if size is None:
        raise ValueError(f"[{op}] At least one of in_axes must not be None: there is no axis to map over.")
    return size


def make_placeholder(value: array, axis: int | None) -> array:
    """What the function sees of an input: for a batched one an array without values, else the array."""
    node = value._node
    if axis is None:
        return wrap(node)
    return wrap(Node(None, (), node.shape[:axis] + node.shape[axis + 1 :], node.dtype))


def replay(
    outputs: Sequence[array],
    placeholders: Sequence[array],
    values: Sequence[array],
    axes: Sequence[int | None],
    size: int,
) -> list[Batched]:
    """The outputs recorded on the placeholders, for the batched values in their place."""
    known: dict[Node, tuple[array, int]] = {}
    for placeholder, value, axis in zip(placeholders, values, axes):
        if axis is not None:
            known[placeholder._node] = (value, axis)
    groups: dict[GroupKey, list[Batched]] = {}
    for node in dependents([output._node for output in outputs], list(known), "vmap"):
        primitive = node.primitive
        assert primitive is not None
        if type(primitive) is CustomOutput:
            key = group_of(node, primitive)
            if key not in groups:
                groups[key] = _replay_call(key, known, size)
            value, axis = groups[key][primitive.number]
            if axis is not None:
                known[node] = (value, axis)
                continue
            known[node] = (batch_to_front(value, None, size), 0)
            continue
        inputs: list[array] = []
        places: list[int | None] = []
        for source in node.inputs:
            found = known.get(source)
            inputs.append(wrap(source) if found is None else found[0])
            places.append(None if found is None else found[1])
        known[node] = primitive.vmap(inputs, places, size, wrap(node))
    return [known.get(output._node, (output, None)) for output in outputs]


def _replay_call(key: GroupKey, known: dict[Node, tuple[array, int]], size: int) -> list[Batched]:
    """A call for a batch: by its own rule for that, or through its function; it keeps its other rules."""
    call, inputs = key
    primals: list[array] = []
    places: list[int | None] = []
    for source in inputs[call.outputs :]:
        found = known.get(source)
        # In front, so that the batched call finds every batch axis at the same place.
        primals.append(wrap(source) if found is None else move_axis(found[0], found[1], 0))
        places.append(None if found is None else 0)
    if call.has_rule("vmap"):
        values, axes = call.vmap(primals, places, size)
        values = [batch_to_front(value, axis, size) for value, axis in zip(values, axes)]
    else:
        values = []
        for source in inputs[: call.outputs]:
            found = known.get(source)
            value, axis = (wrap(source), None) if found is None else found
            values.append(batch_to_front(value, axis, size))
    recorded = record_call(BatchedCall(call, places), values, primals)
    return [(value, 0) for value in recorded]


class BatchedCall(CustomCall):
    """A custom call for a batch: its rules are those of the call for one example, mapped over the batch."""

    __slots__ = ("axes", "call")

    def __init__(self, call: CustomCall, axes: Sequence[int | None]) -> None:
        self.call = call
        self.axes = list(axes)
        super().__init__(call.outputs)

    def has_rule(self, transform: str) -> bool:
        return transform != "vmap" and self.call.has_rule(transform)

    def vjp(
        self,
        primals: Sequence[array],
        cotangents: Sequence[array],
        outputs: Sequence[array],
        wanted: Sequence[int],
    ) -> list[array | None]:
        count = len(primals)
        present: list[int] = []

        def rule(*values: array) -> list[array]:
            given = values[:count]
            rest = values[count:]
            found = self.call.vjp(given, rest[: self.outputs], rest[self.outputs :], wanted)
            present.extend(number for number, part in enumerate(found) if part is not None)
            return [part for part in found if part is not None]

        places: list[int | None] = [0] * (2 * self.outputs)
        batched = map_over_batch(rule, [*primals, *cotangents, *outputs], [*self.axes, *places])
        result: list[array | None] = [None] * count
        for number, value in zip(present, batched):
            # A primal that is the same for every example collects from all of them.
            if self.axes[number] is None:
                value = reshaped(sum_axes(value, (0,)), value.shape[1:])
            result[number] = value
        return result

    def jvp(self, primals: Sequence[array], tangents: Sequence[array | None]) -> list[array | None]:
        count = len(primals)
        given = [number for number, tangent in enumerate(tangents) if tangent is not None]
        present: list[int] = []

        def rule(*values: array) -> list[array]:
            parts: list[array | None] = [None] * count
            for number, value in zip(given, values[count:]):
                parts[number] = value
            found = self.call.jvp(values[:count], parts)
            present.extend(number for number, part in enumerate(found) if part is not None)
            return [part for part in found if part is not None]

        inputs = [*primals, *[tangent for tangent in tangents if tangent is not None]]
        batched = map_over_batch(rule, inputs, [*self.axes, *[self.axes[number] for number in given]])
        result: list[array | None] = [None] * self.outputs
        for number, value in zip(present, batched):
            result[number] = value
        return result


def map_over_batch(
    function: Callable[..., list[array]], values: Sequence[array], axes: Sequence[int | None]
) -> list[array]:
    """The outputs of a function of one example for a batch, with the batch axis first."""
    size = batch_size("vmap", values, axes)
    with forbid_evaluation():
        placeholders = [make_placeholder(value, axis) for value, axis in zip(values, axes)]
        outputs = function(*[wrap(placeholder._node) for placeholder in placeholders])
    batched = replay(outputs, placeholders, values, axes, size)
    return [batch_to_front(value, axis, size) for value, axis in batched]


def _place(value: array, axis: int | None, wanted: int | None, size: int) -> array:
    """An output with its batch axis where out_axes wants it."""
    ndim = value.ndim if axis is not None else value.ndim + 1
    if wanted is None:
        if axis is not None:
            raise ValueError(
                "[vmap] None in out_axes is only for outputs that do not depend on a mapped input, but this "
                f"one, with {value.ndim} dimensions, does."
            )
        # An output that is the same for every example is repeated along a new last axis.
        wanted = ndim - 1
    elif not -ndim <= wanted < ndim:
        shape = value.shape if axis is None else value.shape[:axis] + value.shape[axis + 1 :]
        raise IndexError(
            f"[vmap] The axis {wanted} of out_axes is out of range for an output of shape {shape}."
        )
    if wanted < 0:
        wanted += ndim
    if axis is not None:
        return move_axis(value, axis, wanted)
    shape = value.shape
    value = reshaped(value, (*shape[:wanted], 1, *shape[wanted:]))
    return broadcast(value, (*shape[:wanted], size, *shape[wanted:]))


def vmap(fun: Callable[P, R], in_axes: Any = 0, out_axes: Any = 0) -> Callable[P, R]:
    """A function that maps `fun` over an axis of its arguments, all examples at once.

    The arguments of the new function are arrays or trees (lists, tuples, dicts) of arrays, given by position;
    `fun` sees them without the mapped axis, and returns an array or a tree of arrays. Whatever `fun` records
    is recorded once, for the whole batch: it cannot evaluate arrays or branch on their values.

    `in_axes` says which axis is mapped: an integer for all arrays, or a prefix of the tree of arguments,
    where None stands for an argument that every example shares (for a single argument a prefix of that
    argument itself, for several a tuple). Negative axes count from the end. `out_axes` says in the same way
    where the outputs have the axis; an output that does not depend on the mapped arrays is repeated along it
    (along a new last axis, for None).

    IndexError for an axis out of range; ValueError for mapped axes of different sizes, for prefixes that do
    not fit, when nothing is mapped, for leaves that are not arrays, for None for an output that depends on
    a mapped array, and for evaluation inside `fun`; TypeError for keyword arguments, and when in_axes or
    out_axes is itself None.

    >>> mx.vmap(lambda x, y: (x * y).sum(), in_axes=(0, None))(mx.array([[1, 2], [3, 4]]), mx.array([1, 10]))
    array([21, 43], dtype=int32)
    """
    require_function("vmap", fun)
    function: Callable[..., Any] = fun
    for name, axes in (("in_axes", in_axes), ("out_axes", out_axes)):
        if axes is None:
            raise TypeError(
                f"[vmap] incompatible function arguments: {name} should be an integer or a tree of "
                "axes, not None."
            )

    @functools.wraps(fun)
    def compute_batch(*args: Any, **keywords: Any) -> Any:
        if keywords:
            raise TypeError(f"[vmap] Keyword arguments are not supported, but {sorted(keywords)} are given.")
        values = require_arrays("vmap", "The arguments", args)
        tree = args[0] if len(args) == 1 else args
        spread = spread_axes("vmap", "in_axes", tree, in_axes)
        axes = [batch_axis("vmap", value, axis) for value, axis in zip(values, spread)]
        size = batch_size("vmap", values, axes)
        placeholders = [make_placeholder(value, axis) for value, axis in zip(values, axes)]
        with forbid_evaluation():
            # Handles of their own: the function may write into its arguments.
            fresh = [wrap(placeholder._node) for placeholder in placeholders]
            result = function(*trees.unflatten(args, fresh))
        outputs = require_arrays("vmap", "The outputs", result)
        wanted = spread_axes("vmap", "out_axes", result, out_axes)
        batched = replay([wrap(output._node) for output in outputs], placeholders, values, axes, size)
        placed = [_place(value, axis, to, size) for (value, axis), to in zip(batched, wanted)]
        return trees.unflatten(result, placed)

    return compute_batch
