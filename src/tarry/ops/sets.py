"""The different elements of an array, as the Python array API standard 2024.12 names and returns them.

How many there are depends on values: see `masks`. NaN never equals another NaN, -0 equals 0, the elements
come in ascending order, and positions are int32 (int64 for arrays too large for that).
"""

from __future__ import annotations

from typing import NamedTuple

from tarry.base.dtypes import int32, int64
from tarry.graph.array import array
from tarry.ops.elementwise import cast, require_array
from tarry.ops.masks import LARGEST_INT32, unique


class UniqueAll(NamedTuple):
    """What `unique_all` gives."""

    values: array
    indices: array
    inverse_indices: array
    counts: array


class UniqueCounts(NamedTuple):
    """What `unique_counts` gives."""

    values: array
    counts: array


class UniqueInverse(NamedTuple):
    """What `unique_inverse` gives."""

    values: array
    inverse_indices: array


def unique_all(x: array, /, *, stream: object = None) -> UniqueAll:
    """The different elements, where each occurs first, the number of every element's equal, and how often.

    The inverse indices have the shape of `x`, the others are 1-d. TypeError for anything but an array,
    ValueError inside vmap and compile.

    >>> mx.unique_all(mx.array([3, 1, 3])).counts
    array([1, 2], dtype=int32)
    """
    value = require_array("unique_all", x)
    found = unique(value, return_index=True, return_inverse=True, return_counts=True)
    index_dtype = int32 if value.size <= LARGEST_INT32 else int64
    return UniqueAll(found[0], *[cast(places, index_dtype) for places in found[1:]])


def unique_counts(x: array, /, *, stream: object = None) -> UniqueCounts:
    """The different elements and how often each occurs. Errors as for `unique_all`.

    >>> mx.unique_counts(mx.array([3, 1, 3]))
    UniqueCounts(values=array([1, 3], dtype=int32), counts=array([1, 2], dtype=int32))
    """
    found = unique_all(require_array("unique_counts", x))
    return UniqueCounts(found.values, found.counts)


def unique_inverse(x: array, /, *, stream: object = None) -> UniqueInverse:
    """The different elements and, in the shape of `x`, the number of every element's equal among them.

    `values[inverse_indices]` is `x` again. Errors as for `unique_all`.

    >>> mx.unique_inverse(mx.array([3, 1, 3])).inverse_indices
    array([1, 0, 1], dtype=int32)
    """
    found = unique_all(require_array("unique_inverse", x))
    return UniqueInverse(found.values, found.inverse_indices)


def unique_values(x: array, /, *, stream: object = None) -> array:
    """The different elements. Errors as for `unique_all`.

    >>> mx.unique_values(mx.array([3, 1, 3]))
    array([1, 3], dtype=int32)
    """
    return unique_all(require_array("unique_values", x)).values
