"""The user's array: a mutable handle on an immutable node."""

from __future__ import annotations

from tarry.base.dtypes import Dtype
from tarry.base.shapes import Shape, size_of
from tarry.graph.node import Node


class array:
    """An n-dimensional array of one dtype, computed when its values are needed."""

    __slots__ = ("__weakref__", "_node")

    _node: Node

    @property
    def shape(self) -> Shape:
        """The extents of the dimensions."""
        return self._node.shape

    @property
    def dtype(self) -> Dtype:
        """The element type."""
        return self._node.dtype

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self._node.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return size_of(self._node.shape)


_new = object.__new__


def wrap(node: Node) -> array:
    """A new handle on a node."""
    handle = _new(array)
    handle._node = node
    return handle
