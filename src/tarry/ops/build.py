"""Recording: from a primitive and its operands to a new array."""

from __future__ import annotations

from collections.abc import Sequence

from tarry.base.dtypes import Dtype
from tarry.base.errors import UserCall
from tarry.base.shapes import Shape
from tarry.graph.array import array, wrap
from tarry.graph.node import Node
from tarry.graph.primitive import Primitive


def build(primitive: Primitive, inputs: Sequence[array], shape: Shape, dtype: Dtype) -> array:
    """A new array: the primitive applied to the inputs."""
    return wrap(Node(primitive, tuple([value._node for value in inputs]), shape, dtype))


def build_checked(
    primitive: Primitive, inputs: Sequence[array], shape: Shape, dtype: Dtype, call: UserCall
) -> array:
    """As `build`, for an operation that can fail while running: its error names the user's call."""
    nodes = tuple([value._node for value in inputs])
    return wrap(Node(primitive, nodes, shape, dtype, None, call))
