"""mx.compile: a function whose Python body runs once for each signature of its arguments.

Evaluation fuses and compiles whatever was recorded, with or without this; what a compiled function saves is
recording it and finding its plan: a call binds its arrays to a known plan and runs it.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from tarry.base import trees
from tarry.engine.captures import Captures, Place, build_tree, structure_of
from tarry.engine.evaluate import evaluate
from tarry.engine.signature import read_arguments
from tarry.engine.template import Template
from tarry.graph.array import array, wrap
from tarry.graph.node import Node
from tarry.graph.tracing import forbid_evaluation, is_transforming
from tarry.ops.arguments import flag
from tarry.ops.random_state import state as random_state
from tarry.transforms.arguments import Substitution, require_function

P = ParamSpec("P")
R = TypeVar("R")

# The traces a compiled function keeps; the oldest goes first.
MOST_TRACES = 256
# A function with fewer operations than this, called with arrays that are not evaluated, is recorded into
# their graph, where it fuses with what surrounds it. For a longer one the arrays are computed first.
MOST_REPLAYED = 64

# Held while state is replaced by placeholders, and from reading state to writing it.
_state_lock = threading.RLock()


class _Switch:
    """Whether compiled functions do anything of their own."""

    __slots__ = ("enabled",)

    def __init__(self) -> None:
        self.enabled = True


_switch = _Switch()


class _Trace:
    """What one run of the body left: the recorded graph, and the structures of its result and its state."""

    __slots__ = ("containers", "has_random_state", "is_stable", "places", "result", "state", "template")

    def __init__(self, template: Template, result: Any, state: list[Any], has_random_state: bool) -> None:
        self.template = template
        self.result = result
        self.state = state
        self.has_random_state = has_random_state
        # Whether a call leaves the trees of the state as they are, but for the arrays. If so, `places` says
        # where in these `containers` the arrays are.
        self.is_stable = False
        self.containers: list[int] | None = None
        self.places: list[Place] | None = None


class _CompiledFunction:
    """The function, its captured state and its traces."""

    __slots__ = ("_captures", "_function", "_last", "_lock", "_traces")

    def __init__(self, function: Callable[..., Any], captures: Captures) -> None:
        self._function = function
        self._captures = captures
        self._traces: dict[tuple[object, ...], _Trace] = {}
        # The signature of the last call: comparing is faster than hashing.
        self._last: tuple[list[object], _Trace] | None = None
        self._lock = _state_lock if captures else threading.RLock()

    def call(self, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        if is_transforming() or not _switch.enabled:
            return self._function(*args, **keywords)
        if self._captures:
            with _state_lock:
                return self._call(args, keywords)
        return self._call(args, keywords)

    def _call(self, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        parts: list[object] = []
        nodes: list[Node] = []
        read_arguments(args, parts, nodes)
        if keywords:
            read_arguments(keywords, parts, nodes)
        arguments = len(parts)
        containers: list[int] = []
        if self._captures:
            self._captures.read(parts, nodes, containers)
        last = self._last
        if last is not None and last[0] == parts:
            trace = last[1]
        else:
            signature = tuple(parts)
            found = self._traces.get(signature)
            if found is None:
                return self._first_call(signature, args, keywords, nodes, parts[arguments:])
            trace = found
            self._last = (parts, trace)
        if trace.has_random_state:
            nodes.append(random_state[0]._node)
        return self._finish(trace, self._values(trace, nodes), containers)

    def _values(self, trace: _Trace, nodes: list[Node]) -> list[Node]:
        """The values of a trace for these inputs."""
        pending = [node for node in nodes if node.storage is None]
        if pending:
            if not self._captures and trace.template.size < MOST_REPLAYED:
                return trace.template.replay(nodes)
            evaluate(pending)
        return trace.template.run(nodes)

    def _finish(self, trace: _Trace, values: list[Node], containers: list[int]) -> Any:
        """Write the state, and build the result."""
        outputs = [values[number] for number in trace.template.outputs]
        if trace.has_random_state:
            random_state[0] = wrap(outputs.pop())
        if trace.places is not None and trace.containers == containers:
            for place in trace.places:
                place.put(place.container, place.key, wrap(outputs[place.number]))
        elif trace.state:
            self._captures.write(trace.state, outputs)
            if trace.is_stable:
                trace.places = self._captures.find_places(trace.state)
                trace.containers = containers
        return build_tree(trace.result, outputs)

    def _first_call(
        self,
        signature: tuple[object, ...],
        args: tuple[Any, ...],
        keywords: dict[str, Any],
        nodes: list[Node],
        state: list[object],
    ) -> Any:
        """The call for a signature that has no trace yet; `state` is the captured state's part of it."""
        with self._lock:
            snapshot = self._captures.snapshot()
            try:
                trace = self._traces.get(signature)
                has_random_state = self._captures.has_random_state()
                if has_random_state:
                    nodes.append(random_state[0]._node)
                if trace is None:
                    trace = self._trace(args, keywords, nodes, has_random_state)
                    if len(self._traces) >= MOST_TRACES:
                        self._traces.pop(next(iter(self._traces)))
                    self._traces[signature] = trace
                    self._last = (list(signature), trace)
                values = self._values(trace, nodes)
            except BaseException:
                # Also when the body succeeded and the run did not: the state must not keep placeholders.
                snapshot.restore()
                raise
            result = self._finish(trace, values, [])
            if self._captures.same:
                after: list[object] = []
                self._captures.read(after, [], [])
                trace.is_stable = after == state
            return result

    def _trace(
        self, args: tuple[Any, ...], keywords: dict[str, Any], nodes: list[Node], has_random_state: bool
    ) -> _Trace:
        """Run the body on placeholders.

        What it wrote into the inputs stays there, for the outputs to be written over; what it did not touch
        is put back.
        """
        captures = self._captures
        placeholders = [Node(None, (), node.shape, node.dtype) for node in nodes]
        fresh = iter(placeholders)
        own_args, own_keywords = trees.map_leaves(
            lambda leaf: wrap(next(fresh)) if isinstance(leaf, array) else leaf, (args, keywords)
        )
        snapshot = captures.snapshot()
        substitution = Substitution()
        captures.fill(substitution, fresh)
        if has_random_state:
            random_state[0] = wrap(next(fresh))
        with forbid_evaluation():
            result = self._function(*own_args, **own_keywords)
        ends: list[Node] = []
        structure = structure_of(result, ends)
        state = captures.output_structures(ends)
        if has_random_state:
            ends.append(random_state[0]._node)
        substitution.restore()
        snapshot.restore_arrays()
        # Nothing but the graph may hold what the body made: what somebody holds counts as captured.
        del result, own_args, own_keywords
        return _Trace(Template(placeholders, ends), structure, state, has_random_state)


def compile(
    fun: Callable[P, R], inputs: Any = None, outputs: Any = None, shapeless: bool = False
) -> Callable[P, R]:
    """A function that does the same as `fun`, without running its Python body again for arguments it knows.

    Arguments are trees (lists, tuples, dicts) of arrays and constants (int, float, bool, str, None), by
    position or by name. The first call for each signature (the structure, the shapes and dtypes of the
    arrays, the constants) runs `fun` on arrays without values; later ones run what it recorded. New shapes
    run the body once more and compile nothing; so it is with `shapeless`, too: a body may depend on shapes.
    Whatever `fun` returns that is no array is returned again as it was the first time. `fun` cannot evaluate
    arrays or branch on their values; what else it does (printing, counting) happens in the first call.

    Other arrays that `fun` reads are constants, with the values they had in the first call. For state that
    changes, `inputs` is a tree whose arrays are read at each call, and `outputs` one whose arrays are
    written after it; usually they are the same list of `model.state`, `optimizer.state` and
    `mx.random.state`. State that `fun` changes, but that is not in `outputs`, has no values afterwards. When
    a call fails, the state is as before.

    Inside other transforms the body just runs, so that compile, grad and vmap nest in any order. A call
    computes its results at once, except a short function on arrays that are not evaluated: it is recorded
    with them.

    TypeError for what cannot be called; ValueError for other kinds of arguments, and for evaluation
    inside `fun`.

    >>> double = mx.compile(lambda x: x * 2)
    >>> double(mx.array([1, 2]))
    array([2, 4], dtype=int32)
    """
    require_function("compile", fun)
    flag("compile", shapeless, "shapeless")
    compiled = _CompiledFunction(fun, Captures(inputs, outputs))

    @functools.wraps(fun)
    def call_compiled(*args: Any, **keywords: Any) -> Any:
        return compiled.call(args, keywords)

    return call_compiled


def disable_compile() -> None:
    """From now on all compiled functions just run their bodies.

    >>> mx.disable_compile()
    >>> mx.enable_compile()
    """
    _switch.enabled = False


def enable_compile() -> None:
    """Undo `disable_compile`.

    >>> mx.enable_compile()
    """
    _switch.enabled = True
