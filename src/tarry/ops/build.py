"""Recording: from a primitive and its operands to a new array."""

from __future__ import annotations

from collections.abc import Sequence

from tarry.base.dtypes import Dtype
from tarry.base.errors import UserCall
from tarry.base.shapes import Shape
from tarry.graph.array import array, wrap
from tarry.graph.node import Node, next_serial
from tarry.graph.operators import operators
from tarry.graph.primitive import Primitive
from tarry.graph.tracing import may_flush

# A program that records for ever and never looks at a value must not grow without limit: after so many
# nodes without an evaluation, the array being recorded is evaluated.
MOST_RECORDED = 1 << 17
_last_serial = MOST_RECORDED


_new = object.__new__


def build(primitive: Primitive, inputs: Sequence[array], shape: Shape, dtype: Dtype) -> array:
    """A new array: the primitive applied to the inputs."""
    return build_on(primitive, tuple([value._node for value in inputs]), shape, dtype)


def build_on(primitive: Primitive, inputs: tuple[Node, ...], shape: Shape, dtype: Dtype) -> array:
    """A new array: the primitive applied to nodes."""
    # `wrap` and `Node(...)`, written out: this is the cost of every operation.
    node: Node = _new(Node)
    node.primitive = primitive
    node.inputs = inputs
    node.shape = shape
    node.dtype = dtype
    node.storage = None
    node.call = None
    node.serial = serial = next_serial()
    node.stamp = 0
    result = _new(array)
    result._node = node
    if serial > _last_serial:
        _flush(result)
    return result


def _flush(result: array) -> None:
    restart_count()
    if may_flush():
        operators.evaluate([result._node])


def bound_recording(result: array) -> None:
    """Called when nodes were recorded in other ways; `result` is the array of one of them."""
    if result._node.serial > _last_serial:
        _flush(result)


def restart_count() -> None:
    """Called when something was evaluated: what was recorded before counts no more."""
    global _last_serial
    _last_serial = next_serial() + MOST_RECORDED


def build_checked(
    primitive: Primitive, inputs: Sequence[array], shape: Shape, dtype: Dtype, call: UserCall
) -> array:
    """As `build`, for an operation that can fail while running: its error names the user's call."""
    nodes = tuple([value._node for value in inputs])
    return wrap(Node(primitive, nodes, shape, dtype, None, call))
