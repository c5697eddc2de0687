"""How much memory arrays hold."""

from __future__ import annotations

from typing import Any

from tarry.base import trees
from tarry.graph.array import array

__all__ = ["get_array_buffer_size"]


def get_array_buffer_size(*args: Any) -> int:
    """Bytes of the memory behind arrays and trees of arrays, counted once where several share it.

    Leaves that are not arrays count nothing. ValueError for an array that is not evaluated.

    >>> x = mx.array([1, 2, 3])
    >>> mx.get_array_buffer_size(x, {"again": x, "other": mx.array([1.0])}, "text")
    16
    """
    sizes: dict[int, int] = {}
    for leaf in trees.leaves(args):
        if not isinstance(leaf, array):
            continue
        storage = leaf._node.storage
        if storage is None:
            raise ValueError(
                f"[get_array_buffer_size] The array of shape {leaf.shape} is not evaluated: use mx.eval."
            )
        sizes[id(storage.buffer)] = storage.buffer.nbytes
    return sum(sizes.values())
