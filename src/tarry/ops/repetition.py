"""repeat: each element several times, the same number of times or each its own."""

from __future__ import annotations

import numpy as np

from tarry.base.dtypes import int32, int64
from tarry.base.shapes import normalize_axis
from tarry.graph.array import array as Array
from tarry.graph.array import from_numpy
from tarry.ops import joining
from tarry.ops.arguments import integer
from tarry.ops.elementwise import require_array
from tarry.ops.masks import LARGEST_INT32, known_values
from tarry.ops.taking import take
from tarry.ops.views import flatten
from tarry.runtime.devices import StreamLike, require_stream


def repeat(
    array: Array, /, repeats: int | Array, axis: int | None = None, *, stream: StreamLike = None
) -> Array:
    """Each element `repeats` times along `axis`; None flattens the array first.

    An array of integers gives each element of the axis its own number. The shape of the result then depends
    on values, so they are computed at once, as `.item()` does, which cannot be inside vmap and compile.

    Errors: ValueError for a negative number of repeats, and for an array of them that is not of integers or
    does not have one for each element; TypeError for what is neither integer nor array.

    Example:
        >>> mx.repeat(mx.array([1, 2]), 2)
        array([1, 1, 2, 2], dtype=int32)
        >>> mx.repeat(mx.array([1, 2]), mx.array([3, 1]))
        array([1, 1, 1, 2], dtype=int32)
    """
    if stream is not None:
        require_stream("repeat", stream)
    if not isinstance(repeats, Array):
        return joining.repeat(array, repeats, axis)
    value = require_array("repeat", array)
    if axis is None:
        value, axis = flatten(value), 0
    place = normalize_axis("repeat", integer("repeat", axis, "axis"), value.ndim)
    extent = value.shape[place]
    if repeats.dtype.kind not in "ui":
        raise ValueError(f"[repeat] The repeats must be integers, but their dtype is {repeats.dtype.name}.")
    if repeats.ndim > 1 or repeats.size not in (1, extent):
        raise ValueError(
            f"[repeat] An axis of {extent} elements needs as many repeats, but got shape {repeats.shape}."
        )
    counts = known_values("repeat", repeats).reshape(-1)
    if (counts < 0).any():
        raise ValueError(f"[repeat] The numbers of repeats cannot be negative, but one is {counts.min()}.")
    positions = np.repeat(np.arange(extent), counts)
    dtype = int32 if extent <= LARGEST_INT32 else int64
    return take(value, from_numpy("repeat", positions, dtype), place)
