"""Functions with rules of their own: custom_function, and checkpoint, whose gradient computes it again."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from tarry.base import trees
from tarry.base.dtypes import Dtype
from tarry.base.errors import type_name
from tarry.base.shapes import Shape
from tarry.graph.array import array, wrap
from tarry.graph.node import Node
from tarry.graph.primitive import Primitive
from tarry.graph.tracing import retains_graph
from tarry.ops.build import build
from tarry.ops.elementwise import cast
from tarry.ops.structure import Piece, Position, View, ViewSizes, batch_to_front
from tarry.transforms.arguments import require_arrays, require_function, spread_axes
from tarry.transforms.autodiff import pull_back
from tarry.transforms.batching import batch_axis
from tarry.transforms.recording import CustomCall, Trace, dependents, record_call

P = ParamSpec("P")
R = TypeVar("R")

# Custom rules

Rule = Callable[..., Any]


class _Rules:
    """The function and its rules; None where it has none."""

    __slots__ = ("function", "jvp", "vjp", "vmap")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.vjp: Rule | None = None
        self.jvp: Rule | None = None
        self.vmap: Rule | None = None


class _RulesCall(CustomCall):
    """One call of a custom_function. Primals are the arrays in the arguments: positional, then by keyword.

    `arguments` keeps what else was in the arguments, with None where arrays stood; `result` has the structure
    of what the function returned, `types` the shapes and dtypes of the arrays in it.
    """

    __slots__ = ("_rules", "arguments", "result", "types")

    def __init__(
        self, rules: _Rules, arguments: tuple[Any, Any], result: Any, values: Sequence[array]
    ) -> None:
        self._rules = rules
        self.arguments = arguments
        self.result = trees.map_leaves(lambda _: None, result)
        self.types = [(value.shape, value.dtype) for value in values]
        super().__init__(len(values))

    def has_rule(self, transform: str) -> bool:
        return getattr(self._rules, transform) is not None

    def _arguments(self, primals: Sequence[array]) -> tuple[Any, dict[str, Any]]:
        """The positional arguments as rules see them (a single one bare), and the keyword arguments."""
        given = iter(primals)
        positional, keywords = trees.map_leaves(
            lambda leaf: next(given) if leaf is _ARRAY else leaf, self.arguments
        )
        return (positional[0] if len(positional) == 1 else positional), keywords

    def _like_arguments(self, values: Sequence[Any]) -> Any:
        """The structure of the positional arguments with something for each primal, None for other leaves."""
        given = iter(values)
        positional, _ = trees.map_leaves(lambda leaf: next(given) if leaf is _ARRAY else None, self.arguments)
        return positional[0] if len(positional) == 1 else positional

    def vjp(
        self,
        primals: Sequence[array],
        cotangents: Sequence[array],
        outputs: Sequence[array],
        wanted: Sequence[int],
    ) -> list[array | None]:
        assert self._rules.vjp is not None
        positional, keywords = self._arguments(primals)
        found = self._rules.vjp(
            positional,
            trees.unflatten(self.result, list(cotangents)),
            trees.unflatten(self.result, list(outputs)),
            **keywords,
        )
        # One for each leaf of the positional arguments; those of leaves that are not arrays are passed over.
        leaves = trees.leaves(self.arguments[0])
        given = trees.leaves(found)
        if len(given) < len(leaves):
            raise ValueError(
                f"[custom_function] The vjp should return {len(leaves)} cotangent(s), one for each input, "
                f"but it returned {len(given)}."
            )
        parts = [part for part, leaf in zip(given, leaves) if leaf is _ARRAY]
        checked: list[array | None] = [
            _check_part("vjp", part, primal.shape, primal.dtype) for part, primal in zip(parts, primals)
        ]
        return checked + [None] * (len(primals) - len(checked))

    def jvp(self, primals: Sequence[array], tangents: Sequence[array | None]) -> list[array | None]:
        assert self._rules.jvp is not None
        if all(tangent is None for tangent in tangents):
            return [None] * self.outputs
        positional, keywords = self._arguments(primals)
        found = trees.leaves(self._rules.jvp(positional, self._like_arguments(tangents), **keywords))
        if len(found) < self.outputs:
            raise ValueError(
                f"[custom_function] The jvp should return {self.outputs} tangent(s), one for each output, "
                f"but it returned {len(found)}."
            )
        return [_check_part("jvp", part, shape, dtype) for part, (shape, dtype) in zip(found, self.types)]

    def vmap(
        self, primals: Sequence[array], axes: Sequence[int | None], size: int
    ) -> tuple[list[array], list[int | None]]:
        assert self._rules.vmap is not None
        positional, keywords = self._arguments(primals)
        found = self._rules.vmap(positional, self._like_arguments(axes), **keywords)
        if not isinstance(found, tuple) or len(found) != 2:
            raise ValueError(
                "[custom_function] The vmap should return a tuple (outputs, axes of the outputs), "
                f"not a value of type {type_name(found)}."
            )
        outputs = require_arrays("custom_function", "The outputs of the vmap", found[0])
        if len(outputs) != self.outputs:
            raise ValueError(
                f"[custom_function] The vmap should return {self.outputs} output(s), "
                f"but it returned {len(outputs)}."
            )
        places = spread_axes("custom_function", "The axes returned by the vmap", found[0], found[1])
        return outputs, [batch_axis("custom_function", output, axis) for axis, output in zip(places, outputs)]


class _Array:
    """Stands for an array in the structure of arguments."""


_ARRAY = _Array()


def _check_part(rule: str, part: Any, shape: Shape, dtype: Dtype) -> array | None:
    if part is None:
        return None
    if not isinstance(part, array) or part.shape != shape:
        what = f"a value of type {type_name(part)}"
        if isinstance(part, array):
            what = f"an array of shape {part.shape}"
        raise ValueError(
            f"[custom_function] The {rule} should return an array of shape {shape}, but it returned {what}."
        )
    return cast(part, dtype)


class custom_function:
    """A function with its own rules for transforms.

    Called on its own it is the function it was made from: arguments are any trees, outputs arrays or trees of
    arrays. With `@f.vjp`, `@f.jvp` and `@f.vmap` it gets rules, which are used in place of what the function
    recorded; where it has no rule, transforms go through the function as usual.

    - vjp(primals, cotangents, outputs, **keywords) returns the cotangents of the positional arguments
    - jvp(primals, tangents, **keywords) returns the tangents of the outputs; a missing tangent is None
    - vmap(inputs, axes, **keywords) returns (outputs, axes of the outputs); an axis of None is not mapped

    `primals` is the argument itself when there is one positional argument, else the tuple of them; cotangents
    and outputs have the structure of what the function returned. Arrays that the function sees otherwise than
    by its positional arguments have gradient zero once there is a vjp or jvp.

    ValueError for outputs that are not arrays, and for rules that return too little or other shapes.

    >>> @mx.custom_function
    ... def clipped(x):
    ...     return mx.clip(x, 0, 1)
    >>> @clipped.vjp
    ... def pass_through(primals, cotangents, outputs):
    ...     return cotangents
    >>> mx.grad(clipped)(mx.array(7.0))
    array(1, dtype=float32)
    """

    __slots__ = ("__weakref__", "_rules")

    def __init__(self, f: Callable[..., Any]) -> None:
        require_function("custom_function", f)
        self._rules = _Rules(f)

    def _with(self, transform: str, rule: Rule) -> custom_function:
        require_function("custom_function", rule)
        setattr(self._rules, transform, rule)
        shared = custom_function.__new__(custom_function)
        shared._rules = self._rules
        return shared

    def vjp(self, f: Rule) -> custom_function:
        """Use `f` for gradients; see the class. Returns the function."""
        return self._with("vjp", f)

    def jvp(self, f: Rule) -> custom_function:
        """Use `f` for forward derivatives; see the class. Returns the function."""
        return self._with("jvp", f)

    def vmap(self, f: Rule) -> custom_function:
        """Use `f` for batches; see the class. Returns the function."""
        return self._with("vmap", f)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        arguments = (args, kwargs)
        primals = [leaf for leaf in trees.leaves(arguments) if isinstance(leaf, array)]
        own_args, own_keywords = trees.map_leaves(
            lambda leaf: wrap(leaf._node) if isinstance(leaf, array) else leaf, arguments
        )
        # Values as they are now: the function may write into its arguments.
        structure = trees.map_leaves(lambda leaf: _ARRAY if isinstance(leaf, array) else leaf, arguments)
        result = self._rules.function(*own_args, **own_keywords)
        values = require_arrays("custom_function", "The outputs", result)
        call = _RulesCall(self._rules, structure, result, values)
        return trees.unflatten(result, record_call(call, values, primals))


# Checkpoints


class _Entry:
    """One recorded operation; `inputs` are numbers of the program's inputs and, after them, of entries."""

    __slots__ = ("call", "dtype", "inputs", "primitive", "shape")

    def __init__(self, node: Node, primitive: Primitive, inputs: tuple[int, ...]) -> None:
        self.primitive = primitive
        self.inputs = inputs
        self.shape = node.shape
        self.dtype = node.dtype
        self.call = node.call


class RecordedFunction:
    """What a function recorded, without the nodes: they, and the memory of their values, can go.

    `captured` are the nodes it read besides its sources; they come after the sources as inputs of `replay`.
    """

    __slots__ = ("_entries", "_outputs")

    def __init__(self, entries: list[_Entry], outputs: list[int]) -> None:
        self._entries = entries
        self._outputs = outputs

    def replay(self, inputs: Sequence[array]) -> list[array]:
        """Record it again on other inputs."""
        nodes = [value._node for value in inputs]
        for entry in self._entries:
            sources = tuple([nodes[number] for number in entry.inputs])
            nodes.append(Node(entry.primitive, sources, entry.shape, entry.dtype, None, entry.call))
        return [wrap(nodes[number]) for number in self._outputs]


def read_recording(outputs: Sequence[array], sources: Sequence[Node]) -> tuple[RecordedFunction, list[Node]]:
    """What was recorded between the sources and the outputs, and the captured nodes."""
    ends = [output._node for output in outputs]
    order = dependents(ends, sources)
    inside = set(order)
    numbers = {source: number for number, source in enumerate(sources)}
    captured: list[Node] = []
    for node in (*order, *ends):
        for source in node.inputs if node in inside else (node,):
            if source not in inside and source not in numbers:
                numbers[source] = len(sources) + len(captured)
                captured.append(source)
    entries = []
    first = len(numbers)
    for position, node in enumerate(order):
        assert node.primitive is not None
        entries.append(_Entry(node, node.primitive, tuple([numbers[source] for source in node.inputs])))
        numbers[node] = first + position
    return RecordedFunction(entries, [numbers[node] for node in ends]), captured


class Postponed(View):
    """The second input, for what is to be computed again once the first one is known.

    A node of its own keeps the compiler from using what was computed the first time.
    """

    name = "Postponed"
    shaped = False
    __slots__ = ()

    def pull(self, position: Position, sizes: ViewSizes) -> list[Piece]:
        return [Piece(1, position)]

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        return [cotangent if number == 1 else None for number in wanted]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        return tangents[1]

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        moved = [batch_to_front(value, axis, size) for value, axis in zip(inputs, axes)]
        return build(self, moved, moved[1].shape, output.dtype), 0


_POSTPONED = Postponed()


def _postpone(value: array, until: array) -> array:
    return build(_POSTPONED, (until, value), value.shape, value.dtype)


class _Checkpoint(CustomCall):
    """A call whose gradient records the function again: what it computed on the way need not be kept."""

    __slots__ = ("function",)

    def __init__(self, function: RecordedFunction, outputs: int) -> None:
        self.function = function
        super().__init__(outputs)

    def has_rule(self, transform: str) -> bool:
        return transform == "vjp"

    def vjp(
        self,
        primals: Sequence[array],
        cotangents: Sequence[array],
        outputs: Sequence[array],
        wanted: Sequence[int],
    ) -> list[array | None]:
        with Trace() as trace:
            sources = [trace.source(_postpone(primals[number], cotangents[0])) for number in wanted]
            inputs = list(primals)
            for number, source in zip(wanted, sources):
                inputs[number] = wrap(source)
            again = [value._node for value in self.function.replay(inputs)]
            found: list[array | None] = [None] * len(primals)
            for number, gradient in zip(wanted, pull_back(again, sources, cotangents)):
                found[number] = gradient
            return found


def checkpoint(fun: Callable[P, R]) -> Callable[P, R]:
    """A function that computes the same as `fun`, and whose gradient computes it once more.

    Reverse mode then need not keep what `fun` computes on the way to its outputs: memory for time. Arguments
    and outputs are any trees; what is not an array in them is passed through. Arrays that `fun` reads
    otherwise than by its arguments have their gradients, too.

    TypeError for what cannot be called.

    >>> mx.grad(mx.checkpoint(lambda x: mx.sin(x) * x))(mx.array(0.0))
    array(0, dtype=float32)
    """
    require_function("checkpoint", fun)

    @functools.wraps(fun)
    def compute_checkpointed(*args: Any, **kwargs: Any) -> Any:
        if not retains_graph():
            return fun(*args, **kwargs)
        arguments = (args, kwargs)
        primals = [leaf for leaf in trees.leaves(arguments) if isinstance(leaf, array)]
        with Trace() as trace:
            sources = [trace.source(primal) for primal in primals]
            fresh = iter(sources)
            own_args, own_keywords = trees.map_leaves(
                lambda leaf: wrap(next(fresh)) if isinstance(leaf, array) else leaf, arguments
            )
            result = fun(*own_args, **own_keywords)
            values = [leaf for leaf in trees.leaves(result) if isinstance(leaf, array)]
            function, captured = read_recording(values, sources)
        call = _Checkpoint(function, len(values))
        outputs = iter(record_call(call, values, [*primals, *[wrap(node) for node in captured]]))
        return trees.map_leaves(lambda leaf: next(outputs) if isinstance(leaf, array) else leaf, result)

    return compute_checkpointed
