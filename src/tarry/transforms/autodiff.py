"""Derivatives: vjp, jvp, grad and value_and_grad.

A function is run once on fresh sources and leaves a graph. Reverse mode walks the graph from the outputs to
the sources with each op's `vjp`, forward mode the other way with `jvp`. What the rules record are ordinary
ops, so derivatives can be differentiated again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from tarry.base import trees
from tarry.base.errors import type_name
from tarry.graph.array import array, wrap
from tarry.graph.node import Node
from tarry.ops.arithmetic import add
from tarry.ops.elementwise import cast, constant
from tarry.transforms.arguments import (
    Selection,
    Substitution,
    require_array_list,
    require_arrays,
    require_function,
)
from tarry.transforms.pullback import pull_back_invoked
from tarry.transforms.recording import (
    CustomOutput,
    GroupKey,
    Trace,
    dependents,
    group_of,
    outputs_of,
    primals_of,
)

P = ParamSpec("P")
R = TypeVar("R")

# The two directions on recorded graphs


class _Backward:
    """Cotangents collected on their way from the outputs to the sources."""

    __slots__ = ("_active", "_groups", "_order", "_totals")

    def __init__(self, order: list[Node], sources: Sequence[Node]) -> None:
        self._order = order
        self._active = set(order)
        self._active.update(sources)
        self._totals: dict[Node, array] = {}
        self._groups: dict[GroupKey, int] = {}
        for node in order:
            primitive = node.primitive
            if type(primitive) is CustomOutput and primitive.call.has_rule("vjp"):
                key = group_of(node, primitive)
                self._groups[key] = self._groups.get(key, 0) + 1

    def give(self, node: Node, cotangent: array | None) -> None:
        """Add to the cotangent of a node."""
        if cotangent is None or node not in self._active:
            return
        present = self._totals.get(node)
        self._totals[node] = cotangent if present is None else add(present, cotangent)

    def take(self, node: Node) -> array | None:
        return self._totals.pop(node, None)

    def run(self) -> None:
        """Visit the nodes, users before inputs."""
        active = self._active
        totals = self._totals
        collected: dict[GroupKey, dict[int, array]] = {}
        for node in reversed(self._order):
            cotangent = totals.pop(node, None)
            primitive = node.primitive
            assert primitive is not None
            if type(primitive) is CustomOutput and primitive.call.has_rule("vjp"):
                self._collect(group_of(node, primitive), primitive.number, cotangent, collected)
                continue
            if cotangent is None:
                continue
            inputs = node.inputs
            wanted = [number for number, source in enumerate(inputs) if source in active]
            found = primitive.vjp([wrap(source) for source in inputs], wrap(node), cotangent, wanted)
            for number, part in zip(wanted, found):
                if part is not None:
                    source = inputs[number]
                    present = totals.get(source)
                    totals[source] = part if present is None else add(present, part)

    def _collect(
        self,
        key: GroupKey,
        number: int,
        cotangent: array | None,
        collected: dict[GroupKey, dict[int, array]],
    ) -> None:
        """Keep a cotangent until all outputs of the call have theirs; then ask the call's rule."""
        parts = collected.setdefault(key, {})
        if cotangent is not None:
            parts[number] = add(parts[number], cotangent) if number in parts else cotangent
        self._groups[key] -= 1
        # The first of them in order is the last one met here, and only then come the primals.
        if self._groups[key] > 0 or not parts:
            return
        call, inputs = key
        outputs = outputs_of(key)
        cotangents = [
            parts[place] if place in parts else constant(0, output.dtype, output.shape)
            for place, output in enumerate(outputs)
        ]
        sources = inputs[call.outputs :]
        wanted = [place for place, source in enumerate(sources) if source in self._active]
        for source, part in zip(sources, call.vjp(primals_of(key), cotangents, outputs, wanted)):
            self.give(source, part)


def pull_back(
    outputs: Sequence[Node],
    sources: Sequence[Node],
    cotangents: Sequence[array],
    origins: Mapping[Node, Node] | None = None,
    handle: array | None = None,
) -> list[array]:
    """The cotangents of the sources, in their dtypes; zeros where no output depends on a source.

    `origins` are the evaluated nodes that sources stand for. `handle` is an array on the only output, which
    may get another node of the same value.
    """
    found = pull_back_invoked(
        outputs, sources, cotangents, origins or {}, lambda: _derive(outputs, sources, cotangents), handle
    )
    return _derive(outputs, sources, cotangents) if found is None else found


def _derive(outputs: Sequence[Node], sources: Sequence[Node], cotangents: Sequence[array]) -> list[array]:
    """`pull_back`, by the rules of the operations."""
    backward = _Backward(dependents(outputs, sources, "vjp"), sources)
    for output, cotangent in zip(outputs, cotangents):
        backward.give(output, cotangent)
    backward.run()
    gradients = []
    for source in sources:
        gradient = backward.take(source)
        if gradient is None:
            gradient = constant(0, source.dtype, source.shape)
        gradients.append(cast(gradient, source.dtype))
    return gradients


def push_forward(outputs: Sequence[Node], sources: Sequence[Node], tangents: Sequence[array]) -> list[array]:
    """The tangents of the outputs, in their dtypes; zeros where one does not depend on any source."""
    known: dict[Node, array] = dict(zip(sources, tangents))
    groups: dict[GroupKey, list[array | None]] = {}
    for node in dependents(outputs, sources, "jvp"):
        primitive = node.primitive
        assert primitive is not None
        parts = [known.get(source) for source in node.inputs]
        if type(primitive) is CustomOutput and primitive.call.has_rule("jvp"):
            key = group_of(node, primitive)
            if key not in groups:
                groups[key] = primitive.call.jvp(primals_of(key), parts[primitive.call.outputs :])
            tangent = groups[key][primitive.number]
        elif all(part is None for part in parts):
            continue
        else:
            tangent = primitive.jvp([wrap(source) for source in node.inputs], wrap(node), parts)
        if tangent is not None:
            known[node] = tangent
    return [
        cast(known[output], output.dtype) if output in known else constant(0, output.dtype, output.shape)
        for output in outputs
    ]


# vjp and jvp


def _run(op: str, fun: Callable[..., Any], sources: Sequence[Node]) -> list[Node]:
    """The nodes of the outputs. RuntimeError unless they are an array, or a list or tuple of arrays."""
    result = fun(*[wrap(source) for source in sources])
    items = result if isinstance(result, (list, tuple)) else [result]
    for item in items:
        if not isinstance(item, array):
            where = "" if item is result else f" with an item of type {type_name(item)}"
            raise RuntimeError(
                f"[{op}] The function should return an array, or a list or tuple of arrays, "
                f"but it returned a value of type {type_name(result)}{where}."
            )
    return [item._node for item in items]


def vjp(
    fun: Callable[..., Any],
    primals: Sequence[array],
    cotangents: Sequence[array],
) -> tuple[list[array], list[array]]:
    """The outputs of `fun(*primals)`, and the product of the cotangents with its Jacobian.

    The result is (outputs, gradients).

    `fun` takes arrays and returns an array, or a list or tuple of arrays; there is one cotangent for each
    output, of its shape. There is one gradient for each primal: sum over outputs of J^T cotangent, with the
    primal's shape and dtype, zeros where nothing depends on it.

    TypeError unless primals and cotangents are lists or tuples of arrays; ValueError when there are fewer
    cotangents than outputs, or one has another shape than its output; RuntimeError when `fun` returns
    something else.

    >>> mx.vjp(lambda x: x * x, [mx.array([1.0, 2.0])], [mx.array([1.0, 10.0])])
    ([array([1, 4], dtype=float32)], [array([2, 40], dtype=float32)])
    """
    require_function("vjp", fun)
    values = require_array_list("vjp", "primals", primals)
    given = require_array_list("vjp", "cotangents", cotangents)
    with Trace() as trace:
        sources = [trace.source(value) for value in values]
        outputs = _run("vjp", fun, sources)
        if len(given) < len(outputs):
            raise ValueError(
                f"[vjp] The function has {len(outputs)} output(s), but {len(given)} cotangent(s) are given."
            )
        seeds = []
        for output, cotangent in zip(outputs, given):
            if output.shape != cotangent.shape:
                raise ValueError(
                    f"[vjp] The shape {cotangent.shape} of a cotangent is not its output's, {output.shape}."
                )
            seeds.append(cast(cotangent, output.dtype))
        gradients = pull_back(outputs, sources, seeds, trace.origins)
    return [wrap(output) for output in outputs], gradients


def jvp(
    fun: Callable[..., Any],
    primals: Sequence[array],
    tangents: Sequence[array],
) -> tuple[list[array], list[array]]:
    """The outputs of `fun(*primals)`, and their derivatives along the tangents.

    The result is (outputs, tangents of the outputs).

    `fun` takes arrays and returns an array, or a list or tuple of arrays; there is one tangent for each
    primal, of its shape. The tangent of an output is J tangents, with the output's shape and dtype, zeros
    where it depends on no primal.

    TypeError unless primals and tangents are lists or tuples of arrays; ValueError when their numbers or
    shapes differ; RuntimeError when `fun` returns something else.

    >>> mx.jvp(lambda x: x * x, [mx.array([1.0, 2.0])], [mx.array([1.0, 10.0])])
    ([array([1, 4], dtype=float32)], [array([2, 40], dtype=float32)])
    """
    require_function("jvp", fun)
    values = require_array_list("jvp", "primals", primals)
    given = require_array_list("jvp", "tangents", tangents)
    if len(values) != len(given):
        raise ValueError(f"[jvp] There are {len(values)} primal(s), but {len(given)} tangent(s).")
    for value, tangent in zip(values, given):
        if value.shape != tangent.shape:
            raise ValueError(
                f"[jvp] The shape {tangent.shape} of a tangent is not its primal's, {value.shape}."
            )
    with Trace() as trace:
        sources = [trace.source(value) for value in values]
        outputs = _run("jvp", fun, sources)
        seeds = [cast(tangent, value.dtype) for tangent, value in zip(given, values)]
        derivatives = push_forward(outputs, sources, seeds)
    return [wrap(output) for output in outputs], derivatives


# grad and value_and_grad


def _copy(value: array) -> array:
    return wrap(value._node)


def _gradients(
    run: Callable[[list[array]], Any], arrays: Sequence[array], loss_of: Callable[[Any], array]
) -> tuple[Any, list[array]]:
    """What `run` returned for the arrays of a trace, and the gradients of what `loss_of` finds in it."""
    with Trace() as trace:
        sources = [trace.source(value) for value in arrays]
        value = run([wrap(source) for source in sources])
        loss = loss_of(value)
        seeds = [constant(1, loss.dtype, ())]
        return value, pull_back([loss._node], sources, seeds, trace.origins, loss)


def _differentiate(
    fun: Callable[..., Any],
    selection: Selection,
    args: Sequence[Any],
    keywords: dict[str, Any],
    loss_of: Callable[[Any], array],
) -> tuple[Any, Any]:
    """What the function returned, and the gradients of the scalar that `loss_of` finds in it."""
    op = selection.op
    selected = selection.trees(args, keywords)
    arrays: list[array] = []
    ranges: dict[int | str, tuple[int, int]] = {}
    places: list[int | str] = [*selection.positions, *selection.names]
    for place, tree in zip(places, selected):
        first = len(arrays)
        arrays += require_arrays(op, "A differentiated argument", tree)
        ranges[place] = first, len(arrays)
    if not arrays:
        raise ValueError(f"[{op}] There is nothing to differentiate by: the arguments contain no array.")
    # The trees as they are now, because the function may change its arguments.
    structures = [trees.map_leaves(_same, tree) for tree in selected]

    def run(traced: list[array]) -> Any:
        substitution = Substitution()

        def fill(tree: Any, place: int | str) -> Any:
            if place not in ranges:
                return substitution.fill(tree, _copy)
            first, last = ranges[place]
            parts = iter(traced[first:last])
            return substitution.fill(tree, lambda _: next(parts))

        try:
            own_args = [fill(tree, place) for place, tree in enumerate(args)]
            own_keywords = {name: fill(tree, name) for name, tree in keywords.items()}
            return fun(*own_args, **own_keywords)
        finally:
            substitution.restore()

    value, gradients = _gradients(run, arrays, loss_of)
    found = iter(gradients)
    arranged = [trees.map_leaves(lambda _: next(found), structure) for structure in structures]
    return value, selection.arrange(arranged)


def _same(value: Any) -> Any:
    return value


def value_and_gradients(
    fun: Callable[..., Any],
    put: Callable[[list[array]], None],
    arrays: Sequence[array],
    args: Sequence[Any],
    keywords: dict[str, Any],
) -> tuple[Any, list[array]]:
    """As `value_and_grad(fun)(*args, **keywords)`, by arrays that are no arguments.

    `put` is called with the arrays of the trace, and puts them where the function finds them.

    >>> box = {}
    >>> values = [mx.array(2.0)]
    >>> value_and_gradients(lambda x: box["w"] * x, lambda traced: box.update(w=traced[0]), values, [3.0], {})
    (array(6, dtype=float32), [array(3, dtype=float32)])
    """
    if not arrays:
        raise ValueError(
            "[value_and_grad] There is nothing to differentiate by: the arguments contain no array."
        )

    def run(traced: list[array]) -> Any:
        substitution = Substitution()
        try:
            own_args = [substitution.fill(tree, _copy) for tree in args]
            own_keywords = {name: substitution.fill(tree, _copy) for name, tree in keywords.items()}
            put(traced)
            return fun(*own_args, **own_keywords)
        finally:
            substitution.restore()

    return _gradients(run, arrays, _loss_and_more)


def _require_scalar(op: str, value: array) -> array:
    if value.shape:
        raise ValueError(
            f"[{op}] The function whose gradient is taken should return a scalar, "
            f"but it returned an array of shape {value.shape}."
        )
    return value


def _loss_alone(value: object) -> array:
    if not isinstance(value, array):
        raise ValueError(
            f"[grad] The function whose gradient is taken should return a scalar array, "
            f"but it returned a value of type {type_name(value)}."
        )
    return _require_scalar("grad", value)


def _loss_and_more(value: object) -> array:
    if isinstance(value, array):
        return _require_scalar("value_and_grad", value)
    if isinstance(value, tuple) and value and isinstance(value[0], array):
        return _require_scalar("value_and_grad", value[0])
    what = f"a value of type {type_name(value)}"
    if isinstance(value, tuple):
        what = f"a tuple that starts with a {type_name(value[0])}" if value else "an empty tuple"
    raise ValueError(
        "[value_and_grad] The function whose gradient is taken should return a scalar array, or a tuple that "
        f"starts with one, but it returned {what}."
    )


def value_and_grad(
    fun: Callable[P, R],
    argnums: int | Sequence[int] | None = None,
    argnames: str | Sequence[str] = (),
) -> Callable[P, tuple[R, Any]]:
    """A function that computes `fun` and its gradient: (value, gradient).

    `fun` returns a scalar array, or a tuple that starts with one and goes on with anything; the value is what
    it returned. It may evaluate arrays, branch on them and print them. What it writes in place into an array
    argument is differentiated, and is not seen outside.

    `argnums` says by which positional arguments to differentiate (the first by default), `argnames` by which
    keyword arguments. These arguments are arrays or trees (lists, tuples, dicts) of arrays; a gradient is a
    tree of the same structure, with the shapes and dtypes of the arrays in it. One position gives its
    gradient alone, several give a tuple in the order of positions; with names it is (positional,
    {name: gradient}), where positional is None if there is none. By complex numbers the gradient is
    the conjugate of the holomorphic derivative.

    ValueError for positions that are negative, repeated or not given in a call, for leaves that are not
    arrays, and when `fun` returns anything else. TypeError for argnums or argnames of another type.

    >>> def loss(weight, x):
    ...     return (weight * x).sum()
    >>> mx.value_and_grad(loss)(mx.array(2.0), mx.array([1.0, 3.0]))
    (array(8, dtype=float32), array(4, dtype=float32))
    """
    require_function("value_and_grad", fun)
    selection = Selection("value_and_grad", argnums, argnames)

    @functools.wraps(fun)
    def compute_value_and_gradient(*args: Any, **keywords: Any) -> tuple[Any, Any]:
        return _differentiate(fun, selection, args, keywords, _loss_and_more)

    return compute_value_and_gradient


def grad(
    fun: Callable[P, Any],
    argnums: int | Sequence[int] | None = None,
    argnames: str | Sequence[str] = (),
) -> Callable[P, Any]:
    """A function that computes the gradient of `fun`, which returns a scalar array.

    As `value_and_grad`, without the value: see there for arguments, results and errors. ValueError when `fun`
    returns a tuple.

    >>> mx.grad(lambda x: x * x * x)(mx.array(2.0))
    array(12, dtype=float32)
    >>> mx.grad(mx.grad(lambda x: x * x * x))(mx.array(2.0))
    array(12, dtype=float32)
    """
    require_function("grad", fun)
    selection = Selection("grad", argnums, argnames)

    @functools.wraps(fun)
    def compute_gradient(*args: Any, **keywords: Any) -> Any:
        return _differentiate(fun, selection, args, keywords, _loss_alone)[1]

    return compute_gradient
