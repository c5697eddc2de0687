"""The different elements of an array: `unique`, and what the Python array API standard 2024.12 makes of it.

How many there are depends on values: see `masks`. NaN never equals another NaN, -0 equals 0, the elements
come in ascending order, and positions of the standard's functions are int32 (int64 for arrays too large for
that).
"""

from __future__ import annotations

from typing import Literal, NamedTuple, overload

from tarry.base.dtypes import bool_, int32, int64, uint32
from tarry.graph.array import array
from tarry.ops.arguments import flag, integer
from tarry.ops.arithmetic import subtract
from tarry.ops.comparison import less, not_equal
from tarry.ops.elementwise import ArrayLike, as_array, cast, constant, require_array
from tarry.ops.generators import iota
from tarry.ops.indexed import gathered
from tarry.ops.joining import joined
from tarry.ops.masks import LARGEST_INT32, known_values
from tarry.ops.scans import cumsum
from tarry.ops.selection import minimum, where
from tarry.ops.slices import narrowed
from tarry.ops.sorting import argsort, searchsorted
from tarry.ops.structure import broadcast, reshaped
from tarry.ops.taking import take
from tarry.runtime.devices import StreamLike, require_stream


@overload
def unique(
    a: array,
    /,
    size: int | None = None,
    return_index: Literal[False] = False,
    return_inverse: Literal[False] = False,
    return_counts: Literal[False] = False,
    fill_value: ArrayLike | None = None,
    *,
    stream: StreamLike = None,
) -> array: ...
@overload
def unique(
    a: array,
    /,
    size: int | None = None,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    fill_value: ArrayLike | None = None,
    *,
    stream: StreamLike = None,
) -> tuple[array, ...]: ...
def unique(
    a: array,
    /,
    size: int | None = None,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    fill_value: ArrayLike | None = None,
    *,
    stream: StreamLike = None,
) -> array | tuple[array, ...]:
    """The different elements in ascending order, nan last and never equal to another nan.

    With `size`, as many: padded with `fill_value`, by default the smallest element, or cut off. On request,
    after them: the index (uint32) of the first occurrence of each, for every element of `a` the number
    (uint32) of its equal, and how often each occurs (int32). Without `size` the number of elements is
    computed at once, which is a ValueError inside vmap and compile; so are a negative size, and an empty
    array without a fill value.

    >>> mx.unique(mx.array([3, 1, 3, 2]))
    array([1, 2, 3], dtype=int32)
    """
    if stream is not None:
        require_stream("unique", stream)
    operand = require_array("unique", a)
    fill = None if fill_value is None else cast(as_array("unique", fill_value), operand.dtype)
    count = None if size is None else integer("unique", size, "size")
    flag("unique", return_index, "return_index")
    flag("unique", return_inverse, "return_inverse")
    flag("unique", return_counts, "return_counts")
    if count is not None and count < 0:
        raise ValueError(f"[unique] The size must not be negative, but it is {count}.")
    if operand.size == 0:
        outputs = _unique_of_nothing(operand, count or 0, fill)
    else:
        outputs = _unique(operand, count, fill, return_inverse)
    flags = (True, return_index, return_inverse, return_counts)
    found = tuple(output for output, wanted in zip(outputs, flags) if wanted)
    return found[0] if len(found) == 1 else found


def _unique(a: array, count: int | None, fill: array | None, inverse: bool) -> list[array]:
    """Equal elements are runs of the sorted ones: `rank` numbers them, `starts` says where each begins."""
    total = a.size
    flat = reshaped(a, (total,))
    order = argsort(flat)
    ordered = take(flat, order)
    changed = not_equal(narrowed(ordered, 0, 1, total - 1), narrowed(ordered, 0, 0, total - 1))
    rank = cumsum(cast(joined([constant(False, bool_, (1,)), changed], 0), int32))
    if count is None:
        count = int(known_values("unique", narrowed(rank, 0, total - 1, 1))[0]) + 1
    starts = cast(searchsorted(rank, iota((count + 1,), 0, int32)), int32)
    begin, end = narrowed(starts, 0, 0, count), narrowed(starts, 0, 1, count)
    present = less(begin, total)
    index = take(order, where(present, begin, 0))
    values = gathered(flat, [index], (-1,), (0,), (count,))
    if fill is not None:
        values = where(present, values, fill)
    numbers = take(rank, argsort(order)) if inverse else rank
    numbers = cast(minimum(numbers, max(count - 1, 0)), uint32)
    return [values, index, reshaped(numbers, a.shape), subtract(end, begin)]


def _unique_of_nothing(a: array, count: int, fill: array | None) -> list[array]:
    """Padding alone, for an array without elements."""
    if fill is None and count:
        raise ValueError("[unique] A fill value is needed to pad the elements of an empty array.")
    fill = cast(constant(False, bool_), a.dtype) if fill is None else fill
    return [
        broadcast(reshaped(fill, (1,)), (count,)),
        constant(0, uint32, (count,)),
        constant(0, uint32, a.shape),
        constant(0, int32, (count,)),
    ]


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


def unique_all(x: array, /, *, stream: StreamLike = None) -> UniqueAll:
    """The different elements, where each occurs first, the number of every element's equal, and how often.

    The inverse indices have the shape of `x`, the others are 1-d. TypeError for anything but an array,
    ValueError inside vmap and compile.

    >>> mx.unique_all(mx.array([3, 1, 3])).counts
    array([1, 2], dtype=int32)
    """
    if stream is not None:
        require_stream("unique_all", stream)
    value = require_array("unique_all", x)
    found = unique(value, return_index=True, return_inverse=True, return_counts=True)
    index_dtype = int32 if value.size <= LARGEST_INT32 else int64
    return UniqueAll(found[0], *[cast(places, index_dtype) for places in found[1:]])


def unique_counts(x: array, /, *, stream: StreamLike = None) -> UniqueCounts:
    """The different elements and how often each occurs. Errors as for `unique_all`.

    >>> mx.unique_counts(mx.array([3, 1, 3]))
    UniqueCounts(values=array([1, 3], dtype=int32), counts=array([1, 2], dtype=int32))
    """
    if stream is not None:
        require_stream("unique_counts", stream)
    found = unique_all(require_array("unique_counts", x))
    return UniqueCounts(found.values, found.counts)


def unique_inverse(x: array, /, *, stream: StreamLike = None) -> UniqueInverse:
    """The different elements and, in the shape of `x`, the number of every element's equal among them.

    `values[inverse_indices]` is `x` again. Errors as for `unique_all`.

    >>> mx.unique_inverse(mx.array([3, 1, 3])).inverse_indices
    array([1, 0, 1], dtype=int32)
    """
    if stream is not None:
        require_stream("unique_inverse", stream)
    found = unique_all(require_array("unique_inverse", x))
    return UniqueInverse(found.values, found.inverse_indices)


def unique_values(x: array, /, *, stream: StreamLike = None) -> array:
    """The different elements. Errors as for `unique_all`.

    >>> mx.unique_values(mx.array([3, 1, 3]))
    array([1, 3], dtype=int32)
    """
    if stream is not None:
        require_stream("unique_values", stream)
    return unique_all(require_array("unique_values", x)).values
