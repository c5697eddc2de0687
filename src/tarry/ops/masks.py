"""Where values are true or different: nonzero, argwhere, flatnonzero, one-argument where, unique.

How many elements these give depends on values, so the values are computed at once, as `.item()` does, which
cannot be inside vmap and compile. What they read from an array is gathered, so it has gradients.
"""

from __future__ import annotations

from typing import Any, overload

import numpy as np

from tarry.base.dtypes import Dtype, bool_, int32, int64, uint32
from tarry.base.shapes import size_of
from tarry.graph.array import array, from_numpy
from tarry.graph.convert import values
from tarry.graph.tracing import require_evaluation
from tarry.ops import selection
from tarry.ops.arguments import flag, integer
from tarry.ops.elementwise import ArrayLike, as_array, cast, constant, require_array
from tarry.ops.indexed import gathered
from tarry.ops.joining import joined
from tarry.ops.selection import spread
from tarry.ops.structure import reshaped

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


def nonzero(a: ArrayLike, /, *, stream: object = None) -> tuple[array, ...]:
    """The positions of the nonzero elements in row-major order, an array of indices for each axis.

    They are int32 (int64 for an array too large for that). ValueError for 0-d arrays, and inside vmap and
    compile: the shape depends on values.

    >>> mx.nonzero(mx.array([0, 7, 0, 5]))
    (array([1, 3], dtype=int32),)
    """
    operand = as_array("nonzero", a)
    if operand.ndim == 0:
        raise ValueError("[nonzero] An array of at least one dimension is expected, but this has none.")
    dtype = _position_dtype(operand)
    return tuple([_index_array(found, dtype) for found in np.nonzero(known_values("nonzero", operand))])


def flatnonzero(a: ArrayLike, /, *, stream: object = None) -> array:
    """The positions of the nonzero elements in the flattened array. ValueError inside vmap and compile.

    >>> mx.flatnonzero(mx.array([[0, 7], [5, 0]]))
    array([1, 2], dtype=int32)
    """
    operand = as_array("flatnonzero", a)
    return flat_positions("flatnonzero", operand)


def argwhere(a: ArrayLike, /, *, stream: object = None) -> array:
    """The positions of the nonzero elements, one row for each. ValueError inside vmap and compile.

    >>> mx.argwhere(mx.array([[0, 7], [5, 0]])).tolist()
    [[0, 1], [1, 0]]
    """
    operand = as_array("argwhere", a)
    return _index_array(np.argwhere(known_values("argwhere", operand)), _position_dtype(operand))


@overload
def where(condition: ArrayLike, /, *, stream: object = None) -> tuple[array, ...]: ...


@overload
def where(condition: ArrayLike, x: ArrayLike, y: ArrayLike, /, *, stream: object = None) -> array: ...


def where(
    condition: ArrayLike, x: ArrayLike | None = None, y: ArrayLike | None = None, /, *, stream: object = None
) -> array | tuple[array, ...]:
    """`x` where the condition is nonzero, `y` elsewhere; all three broadcast, `x` and `y` promote.

    The value that is not chosen has gradient zero (times an infinite derivative that is nan: choose before).
    With the condition alone, the positions where it is nonzero, as `nonzero` gives them.

    >>> mx.where(mx.array([True, False]), mx.array([1, 2]), 0)
    array([1, 0], dtype=int32)
    """
    if x is None and y is None:
        return nonzero(condition)
    if x is None or y is None:
        raise TypeError("[where] incompatible function arguments: expected both of x and y, or neither.")
    return selection.where(condition, x, y)


def unique(
    a: array,
    /,
    size: int | None = None,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    fill_value: ArrayLike | None = None,
    *,
    stream: object = None,
) -> array | tuple[array, ...]:
    """The different elements in ascending order, nan last and never equal to another nan.

    With `size`, as many: padded with `fill_value`, by default the smallest element, or cut off. On request,
    after them: the index of the first occurrence of each, for every element of `a` the number of its equal,
    and how often each occurs. ValueError inside vmap and compile.

    >>> mx.unique(mx.array([3, 1, 3, 2]))
    array([1, 2, 3], dtype=int32)
    """
    operand = require_array("unique", a)
    if fill_value is not None:
        fill_value = as_array("unique", fill_value)
    count = None if size is None else integer("unique", size, "size")
    flag("unique", return_index, "return_index")
    flag("unique", return_inverse, "return_inverse")
    flag("unique", return_counts, "return_counts")
    if count is not None and count < 0:
        raise ValueError(f"[unique] The size must not be negative, but it is {count}.")
    _, index, inverse, counts = np.unique(
        known_values("unique", operand).reshape(-1),
        return_index=True,
        return_inverse=True,
        return_counts=True,
        equal_nan=False,
    )
    total = len(index) if count is None else count
    if len(index) == 0 and total > 0 and fill_value is None:
        raise ValueError("[unique] A fill value is needed to pad the elements of an empty array.")
    missing = max(0, total - len(index))
    index, counts = index[:total], counts[:total]
    result = _padded_elements(operand, index, missing, fill_value)
    outputs = [result]
    if return_index:
        first = index[:1] if len(index) else np.zeros(1, np.int64)
        outputs.append(_index_array(np.concatenate([index, np.repeat(first, missing)])))
    if return_inverse:
        numbers = np.minimum(inverse.reshape(operand.shape), max(0, total - 1))
        outputs.append(_index_array(numbers))
    if return_counts:
        outputs.append(_index_array(np.concatenate([counts, np.zeros(missing, np.int64)]), int32))
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


def _padded_elements(a: array, index: np.ndarray[Any, Any], missing: int, fill_value: Any) -> array:
    """The elements at flat positions, gathered; then copies of the fill value, or of the first element."""
    if missing and fill_value is None:
        index, missing = np.concatenate([index, np.repeat(index[:1], missing)]), 0
    if len(index) == 0:
        found = constant(False, bool_, (0,)) if a.dtype is bool_ else constant(0, a.dtype, (0,))
    else:
        flat = reshaped(a, (size_of(a.shape),))
        found = gathered(flat, [_index_array(index)], (-1,), (0,), (len(index),))
    if not missing:
        return found
    fill = cast(as_array("unique", fill_value), a.dtype)
    return joined([found, spread(reshaped(fill, (1,)), (missing,))], 0)
