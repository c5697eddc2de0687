"""The diagonals of matrices in the last two axes, and their sums, as `linalg` of the array API has them."""

from __future__ import annotations

from tarry.base.dtypes import Dtype
from tarry.graph.array import array
from tarry.ops import layout, matrices
from tarry.runtime.devices import StreamLike, require_stream


def diagonal(x: array, /, *, offset: int = 0, stream: StreamLike = None) -> array:
    """The diagonals of the matrices in the last two axes; `offset` counts from the main one upwards.

    ValueError for fewer than two dimensions, TypeError for anything but an array.

    >>> mx.linalg.diagonal(mx.array([[1, 2], [3, 4]]), offset=1)
    array([2], dtype=int32)
    """
    if stream is not None:
        require_stream("diagonal", stream)
    return layout.diagonal(x, offset, -2, -1)


def trace(x: array, /, *, offset: int = 0, dtype: Dtype | None = None, stream: StreamLike = None) -> array:
    """The sums of the diagonals of the matrices in the last two axes, in `dtype` or that of `sum`.

    Errors as for `diagonal`.

    >>> mx.linalg.trace(mx.array([[1, 2], [3, 4]]))
    array(5, dtype=int32)
    """
    if stream is not None:
        require_stream("trace", stream)
    return matrices.trace(x, offset, -2, -1, dtype)
