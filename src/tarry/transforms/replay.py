"""Functions whose graph is recorded again without running them.

What a pure function of arrays records depends on the shapes and dtypes of the arrays and on its other
arguments, never on values. Once that is known, the operations are recorded straight from a list, which costs
a fraction of asking every operation for its dtype and its shape again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from operator import itemgetter
from typing import Any, ParamSpec, TypeVar, cast

from tarry.base.dtypes import Dtype
from tarry.base.errors import UserCall, user_call
from tarry.base.shapes import Shape
from tarry.graph.array import array, wrap
from tarry.graph.node import Node, next_serial
from tarry.graph.primitive import Primitive
from tarry.graph.subgraph import Invocation, Output, Subgraph, make_outputs
from tarry.graph.tracing import forbid_evaluation, is_transforming
from tarry.graph.walk import unevaluated
from tarry.ops.build import bound_recording
from tarry.transforms.recording import CustomOutput

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

# Replays of one function, and functions as one operation with their shapes; the oldest go first.
MOST_REPLAYS = 256
MOST_WHOLES = 256
MOST_SHAPES = 16
# Arguments of these types are what they are equal to, within their type.
_PLAIN = frozenset({bool, int, str, type(None), Dtype})
# Operations that belong to one recording only.
_UNREPEATABLE = (CustomOutput, Invocation, Output)

Step = tuple[Primitive, Callable[[list[Node]], tuple[Node, ...]] | None, int, Shape, Dtype]

_new = object.__new__


class Replay:
    """Operations on open inputs.

    steps     for each operation its primitive, a function that picks several inputs from the nodes so far or
              the number of the only one (-1 for none), shape and dtype
    outputs   numbers of the results
    checked   operations that can fail while running, with the name of what was called
    kind      list or tuple of results; None for a single one
    """

    __slots__ = ("checked", "kind", "outputs", "steps")

    def __init__(self, inputs: Sequence[Node], ends: Sequence[Node], kind: type | None) -> None:
        numbers = {node: number for number, node in enumerate(inputs)}
        self.steps: list[Step] = []
        self.checked: list[tuple[int, str]] = []
        self.kind = kind
        for node in unevaluated(ends, inputs):
            primitive = node.primitive
            assert primitive is not None
            places = [numbers[source] for source in node.inputs]
            pick = itemgetter(*places) if len(places) > 1 else None
            only = places[0] if len(places) == 1 else -1
            if node.call is not None:
                self.checked.append((len(numbers), node.call.name))
            numbers[node] = len(numbers)
            self.steps.append((primitive, pick, only, node.shape, node.dtype))
        self.outputs = [numbers[end] for end in ends]

    def follow(self, inputs: list[Node]) -> Any:
        """The results for these inputs. The list is filled up with all the nodes."""
        nodes = inputs
        for primitive, pick, only, shape, dtype in self.steps:
            # `Node(...)`, written out: this is the cost of every operation.
            node: Node = _new(Node)
            node.primitive = primitive
            node.inputs = pick(nodes) if pick is not None else (nodes[only],) if only >= 0 else ()
            node.shape = shape
            node.dtype = dtype
            node.storage = None
            node.call = None
            node.serial = next_serial()
            node.stamp = 0
            nodes.append(node)
        if self.checked:
            here = user_call()
            for number, name in self.checked:
                nodes[number].call = UserCall(name, here.file, here.line)
        if self.kind is None:
            result = wrap(nodes[self.outputs[0]])
            bound_recording(result)
            return result
        results = [wrap(nodes[number]) for number in self.outputs]
        if results:
            bound_recording(results[0])
        return results if self.kind is list else tuple(results)


def recorded_once(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """The function, which runs for new shapes, dtypes and other arguments only.

    It must be pure: its result is an array (or a list or tuple of them) that depends on its arguments alone.
    Calls with arguments other than arrays, numbers, names and tuples of integers just run it. So does the
    first call of every kind: sizes that never come back are not worth a replay.
    """
    # True for what was seen once, False for what cannot be repeated.
    replays: dict[tuple[object, ...], Replay | bool] = {}

    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        key: list[object] = []
        nodes: list[Node] = []
        for value in args:
            if type(value) is array:
                node = value._node
                nodes.append(node)
                key += (node.shape, node.dtype.code)
            elif not _add_parameter(key, value):
                return function(*args, **keywords)
        if keywords:
            for name, value in keywords.items():
                key.append(name)
                if type(value) is array:
                    node = value._node
                    nodes.append(node)
                    key += (node.shape, node.dtype.code)
                elif not _add_parameter(key, value):
                    return function(*args, **keywords)
        found = tuple(key)
        replay = replays.get(found)
        if replay is None:
            result = function(*args, **keywords)
            if len(replays) >= MOST_REPLAYS:
                replays.pop(next(iter(replays)), None)
            replays[found] = True
            return result
        if replay is True:
            replay = replays[found] = _replay_of(function, args, keywords)
        return function(*args, **keywords) if isinstance(replay, bool) else replay.follow(nodes)

    return cast("Callable[Parameters, Result]", call)


def _add_parameter(key: list[object], value: object) -> bool:
    """Add an argument that is no array to a key; False where it cannot be part of one."""
    kind = type(value)
    if kind in _PLAIN:
        key += (kind, value)
        return True
    if kind is float:
        # Zeros compare equal whatever their signs, and NaN does not equal itself.
        key += (kind, value if value and value == value else repr(value))
        return True
    if kind is tuple and all(type(item) is int for item in cast("tuple[object, ...]", value)):
        key += (kind, value)
        return True
    return False


def _placeholder(value: array) -> array:
    """An array of the same shape and dtype that has no value, and stands for one node only."""
    return wrap(Node(None, (), value._node.shape, value._node.dtype))


def _replay_of(
    function: Callable[..., Any], args: tuple[Any, ...], keywords: dict[str, Any]
) -> Replay | bool:
    """What a function records for arrays like these; False where that cannot be repeated."""
    own_args = [_placeholder(value) if type(value) is array else value for value in args]
    own_keywords = {
        name: _placeholder(value) if type(value) is array else value for name, value in keywords.items()
    }
    with forbid_evaluation():
        result = function(*own_args, **own_keywords)
    kind = type(result) if type(result) in (list, tuple) else None
    results = [result] if kind is None else result
    if not all(type(item) is array for item in results):
        return False
    inputs = [value._node for value in (*own_args, *own_keywords.values()) if type(value) is array]
    ends = [item._node for item in results]
    if not _is_repeatable(inputs, ends):
        return False
    return Replay(inputs, ends, kind)


def _is_repeatable(inputs: Sequence[Node], ends: Sequence[Node]) -> bool:
    """Whether the graph reads nothing but its inputs and has no operations that belong to one recording."""
    order = unevaluated(ends, inputs)
    known = {*inputs, *order}
    read = [source for node in order for source in node.inputs]
    return all(node in known for node in (*read, *ends)) and not any(
        isinstance(node.primitive, _UNREPEATABLE) for node in order
    )


class _Whole:
    """A function as one operation, for arrays of certain shapes and dtypes: its graph, and for each result
    the number of an output of it, or -1 - n for input n as it is."""

    __slots__ = ("count", "dtypes", "places", "shapes", "subgraph")

    def __init__(self, inputs: Sequence[array], results: Sequence[array]) -> None:
        self.shapes = [value._node.shape for value in inputs]
        self.dtypes = [value._node.dtype for value in inputs]
        given = {value._node: -1 - number for number, value in enumerate(inputs)}
        ends: list[Node] = []
        self.places: list[int] = []
        for value in results:
            place = given.get(value._node)
            if place is None:
                place = len(ends)
                ends.append(value._node)
            self.places.append(place)
        self.count = len(ends)
        self.subgraph = Subgraph([value._node for value in inputs], ends)


_wholes: dict[Hashable, list[_Whole]] = {}


def record_as_one(
    key: Hashable, function: Callable[[list[array]], list[array]], arrays: Sequence[array]
) -> list[array]:
    """What the function makes of the arrays, recorded as a single operation with several results.

    The function must be pure, and `key` say which function it is. Inside transforms it just runs: they have
    to see what it records.
    """
    if is_transforming():
        return function(list(arrays))
    nodes = [value._node for value in arrays]
    shapes = [node.shape for node in nodes]
    dtypes = [node.dtype for node in nodes]
    for whole in _wholes.get(key, ()):
        if whole.shapes == shapes and whole.dtypes == dtypes:
            break
    else:
        inputs = [_placeholder(value) for value in arrays]
        with forbid_evaluation():
            whole = _Whole(inputs, function(list(inputs)))
        if key not in _wholes and len(_wholes) >= MOST_WHOLES:
            _wholes.pop(next(iter(_wholes)), None)
        # A new list: another thread may be looking through the old one.
        _wholes[key] = [whole, *_wholes.get(key, ())][:MOST_SHAPES]
    invocation = whole.subgraph.invoke(nodes)
    made = [wrap(node) for node in make_outputs(invocation, 0, whole.count)]
    if made:
        bound_recording(made[0])
    return [made[place] if place >= 0 else arrays[-1 - place] for place in whole.places]
