"""Where values are true: nonzero, argwhere, flatnonzero, one-argument where.

How many elements these give depends on values, so the values are computed at once, as `.item()` does, which
cannot be inside vmap and compile. What they read from an array is gathered, so it has gradients.
"""

from __future__ import annotations

from typing import Any, overload

import numpy as np

from tarry.base.dtypes import Dtype, int32, int64, uint32
from tarry.graph.array import array, from_numpy
from tarry.graph.convert import values
from tarry.graph.tracing import require_evaluation
from tarry.ops import selection
from tarry.ops.elementwise import ArrayLike, as_array
from tarry.runtime.devices import StreamLike, require_stream

LARGEST_INT32 = 2**31 - 1


def known_values(op: str, value: array) -> np.ndarray[Any, Any]:
    """The values of an array, computed now. ValueError where they cannot be known."""
    node = value._node
    if node.storage is None:
        try:
            require_evaluation(op)
        except ValueError:
            raise ValueError(
                f"[{op}] The shape of the result depends on values, which are not known inside vmap and "
                "compile: choose with mx.where(mask, x, y) there."
            ) from None
    return values(node)


def flat_positions(op: str, mask: array) -> array:
    """The row-major positions of the true elements of a mask, as an index array."""
    found = np.flatnonzero(known_values(op, mask))
    return _index_array(found, _position_dtype(mask))


def _position_dtype(value: array) -> Dtype:
    return int32 if value.size <= LARGEST_INT32 else int64


def _index_array(found: np.ndarray[Any, Any], dtype: Dtype = uint32) -> array:
    return from_numpy("index", np.ascontiguousarray(found), dtype)


def nonzero(a: ArrayLike, /, *, stream: StreamLike = None) -> tuple[array, ...]:
    """The positions of the nonzero elements in row-major order, an array of indices for each axis.

    They are int32 (int64 for an array too large for that). ValueError for 0-d arrays, and inside vmap and
    compile: the shape depends on values.

    >>> mx.nonzero(mx.array([0, 7, 0, 5]))
    (array([1, 3], dtype=int32),)
    """
    if stream is not None:
        require_stream("nonzero", stream)
    operand = as_array("nonzero", a)
    if operand.ndim == 0:
        raise ValueError("[nonzero] An array of at least one dimension is expected, but this has none.")
    dtype = _position_dtype(operand)
    return tuple([_index_array(found, dtype) for found in np.nonzero(known_values("nonzero", operand))])


def flatnonzero(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The positions of the nonzero elements in the flattened array. ValueError inside vmap and compile.

    >>> mx.flatnonzero(mx.array([[0, 7], [5, 0]]))
    array([1, 2], dtype=int32)
    """
    if stream is not None:
        require_stream("flatnonzero", stream)
    operand = as_array("flatnonzero", a)
    return flat_positions("flatnonzero", operand)


def argwhere(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The positions of the nonzero elements, one row for each. ValueError inside vmap and compile.

    >>> mx.argwhere(mx.array([[0, 7], [5, 0]])).tolist()
    [[0, 1], [1, 0]]
    """
    if stream is not None:
        require_stream("argwhere", stream)
    operand = as_array("argwhere", a)
    return _index_array(np.argwhere(known_values("argwhere", operand)), _position_dtype(operand))


@overload
def where(condition: ArrayLike, /, *, stream: StreamLike = None) -> tuple[array, ...]: ...


@overload
def where(condition: ArrayLike, x: ArrayLike, y: ArrayLike, /, *, stream: StreamLike = None) -> array: ...


def where(
    condition: ArrayLike,
    x: ArrayLike | None = None,
    y: ArrayLike | None = None,
    /,
    *,
    stream: StreamLike = None,
) -> array | tuple[array, ...]:
    """`x` where the condition is nonzero, `y` elsewhere; all three broadcast, `x` and `y` promote.

    The value that is not chosen has gradient zero (times an infinite derivative that is nan: choose before).
    With the condition alone, the positions where it is nonzero, as `nonzero` gives them.

    >>> mx.where(mx.array([True, False]), mx.array([1, 2]), 0)
    array([1, 0], dtype=int32)
    """
    if stream is not None:
        require_stream("where", stream)
    if x is None and y is None:
        return nonzero(condition)
    if x is None or y is None:
        raise TypeError("[where] incompatible function arguments: expected both of x and y, or neither.")
    return selection.where(condition, x, y)
