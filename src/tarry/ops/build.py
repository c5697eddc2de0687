"""Recording: from a primitive and its operands to a new array."""

from __future__ import annotations

from collections.abc import Sequence

from tarry.base.dtypes import Dtype
from tarry.base.errors import UserCall
from tarry.base.shapes import Shape
from tarry.graph.array import array, wrap
from tarry.graph.node import Node
from tarry.graph.operators import operators
from tarry.graph.primitive import Primitive
from tarry.graph.tracing import may_flush

# A program that records for ever and never looks at a value must not grow without limit: after so many
# operations without an evaluation, the array being recorded is evaluated.
MOST_RECORDED = 1 << 16
_recorded = 0


_new = object.__new__


def build(primitive: Primitive, inputs: Sequence[array], shape: Shape, dtype: Dtype) -> array:
    """A new array: the primitive applied to the inputs."""
    return build_on(primitive, tuple([value._node for value in inputs]), shape, dtype)


def build_on(primitive: Primitive, inputs: tuple[Node, ...], shape: Shape, dtype: Dtype) -> array:
    """A new array: the primitive applied to nodes."""
    global _recorded
    # `wrap` and `Node(...)`, written out: this is the cost of every operation.
    node: Node = _new(Node)
    node.primitive = primitive
    node.inputs = inputs
    node.shape = shape
    node.dtype = dtype
    node.storage = None
    node.call = None
    result = _new(array)
    result._node = node
    _recorded += 1
    if _recorded > MOST_RECORDED:
        _flush(result)
    return result


def _flush(result: array) -> None:
    global _recorded
    _recorded = 0
    if may_flush():
        operators.evaluate([result._node])


def count_recorded(operations: int, result: array) -> None:
    """Called when several operations were recorded at once; `result` is one of them."""
    global _recorded
    _recorded += operations
    if _recorded > MOST_RECORDED:
        _flush(result)


def restart_count() -> None:
    """Called when something was evaluated: what was recorded before counts no more."""
    global _recorded
    _recorded = 0


def build_checked(
    primitive: Primitive, inputs: Sequence[array], shape: Shape, dtype: Dtype, call: UserCall
) -> array:
    """As `build`, for an operation that can fail while running: its error names the user's call."""
    nodes = tuple([value._node for value in inputs])
    return wrap(Node(primitive, nodes, shape, dtype, None, call))
