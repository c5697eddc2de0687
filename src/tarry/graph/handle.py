"""What every array is: a mutable handle on an immutable node."""

from __future__ import annotations

from tarry.base.dtypes import Dtype
from tarry.base.shapes import Shape, size_of
from tarry.graph.node import Node


class Handle:
    """The node an array stands for now, and what can be read off it without computing anything."""

    __slots__ = ("__weakref__", "_node")

    _node: Node

    @property
    def shape(self) -> Shape:
        """The extents of the dimensions.

        Example:
            >>> mx.zeros((2, 3)).shape
            (2, 3)
        """
        return self._node.shape

    @property
    def dtype(self) -> Dtype:
        """The element type.

        Example:
            >>> mx.array([1, 2]).dtype
            mlx.core.int32
        """
        return self._node.dtype

    @property
    def ndim(self) -> int:
        """The number of dimensions.

        Example:
            >>> mx.zeros((2, 3)).ndim
            2
        """
        return len(self._node.shape)

    @property
    def size(self) -> int:
        """The number of elements.

        Example:
            >>> mx.zeros((2, 3)).size
            6
        """
        return size_of(self._node.shape)

    @property
    def itemsize(self) -> int:
        """The bytes of one element.

        Example:
            >>> mx.zeros((2, 3)).itemsize
            4
        """
        return self._node.dtype.size

    @property
    def nbytes(self) -> int:
        """The bytes of all elements.

        Example:
            >>> mx.zeros((2, 3)).nbytes
            24
        """
        return size_of(self._node.shape) * self._node.dtype.size
