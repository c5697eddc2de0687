"""diff, trace and kron: differences of neighbours, sums of diagonals, products of all pairs."""

from __future__ import annotations

from tarry.base.dtypes import Dtype, bool_, int32
from tarry.base.shapes import normalize_axis
from tarry.graph.array import array, wrap
from tarry.ops.arguments import dtype_of, integer
from tarry.ops.arithmetic import multiply, subtract
from tarry.ops.elementwise import cast, require_array
from tarry.ops.joining import concatenate
from tarry.ops.layout import diagonal
from tarry.ops.reductions import sum, without_axes
from tarry.ops.slices import narrowed
from tarry.ops.structure import reshaped, sum_axes
from tarry.runtime.devices import StreamLike, require_stream


def diff(
    a: array,
    /,
    n: int = 1,
    axis: int = -1,
    *,
    prepend: array | None = None,
    append: array | None = None,
    stream: StreamLike = None,
) -> array:
    """The differences of neighbours along an axis, `n` times over: a[1:] - a[:-1], in the dtype of `a`.

    `prepend` and `append` are arrays to put before and after `a` first, in the dtype all promote to.
    ValueError for a negative `n`.

    >>> mx.diff(mx.array([1, 3, 7]))
    array([2, 4], dtype=int32)
    """
    if stream is not None:
        require_stream("diff", stream)
    value = require_array("diff", a)
    count = integer("diff", n, "n")
    if count < 0:
        raise ValueError(f"[diff] The order n must not be negative, but it is {count}.")
    place = normalize_axis("diff", integer("diff", axis, "axis"), value.ndim)
    ends = [None if end is None else require_array("diff", end) for end in (prepend, append)]
    parts = [part for part in (ends[0], value, ends[1]) if part is not None]
    value = concatenate(parts, place) if len(parts) > 1 else value
    for _ in range(min(count, value.shape[place])):
        extent = value.shape[place] - 1
        value = subtract(narrowed(value, place, 1, extent), narrowed(value, place, 0, extent))
    return wrap(value._node)


def trace(
    a: array,
    /,
    offset: int = 0,
    axis1: int = 0,
    axis2: int = 1,
    dtype: Dtype | None = None,
    *,
    stream: StreamLike = None,
) -> array:
    """The sums of the diagonals over two axes, in `dtype` or that of `sum`; see `diagonal`.

    ValueError for fewer than two dimensions or equal axes.

    >>> mx.trace(mx.array([[1, 2], [3, 4]]))
    array(5, dtype=int32)
    """
    if stream is not None:
        require_stream("trace", stream)
    value = require_array("trace", a)
    if value.ndim < 2:
        raise ValueError(f"[trace] Expected at least two dimensions, but the array has {value.ndim}.")
    first = normalize_axis("trace", integer("trace", axis1, "axis1"), value.ndim, "axis1")
    second = normalize_axis("trace", integer("trace", axis2, "axis2"), value.ndim, "axis2")
    if first == second:
        raise ValueError(f"[trace] axis1 and axis2 cannot be the same axis, but both are {first}.")
    entries = diagonal(value, integer("trace", offset, "offset"), first, second)
    if dtype is None:
        return sum(entries, -1)
    last = (entries.ndim - 1,)
    entries = cast(entries, dtype_of("trace", dtype))
    entries = cast(entries, int32) if dtype is bool_ else entries
    return without_axes(sum_axes(entries, last), last, False)


def kron(a: array, b: array, *, stream: StreamLike = None) -> array:
    """The Kronecker product: every element of `a` times all of `b`, as blocks of one array.

    >>> mx.kron(mx.array([1, 2]), mx.array([[1, 1]]))
    array([[1, 1, 2, 2]], dtype=int32)
    """
    if stream is not None:
        require_stream("kron", stream)
    first, second = require_array("kron", a), require_array("kron", b)
    rank = max(first.ndim, second.ndim)
    outer = (1,) * (rank - first.ndim) + first.shape
    inner = (1,) * (rank - second.ndim) + second.shape
    blocks = reshaped(first, tuple([extent for size in outer for extent in (size, 1)]))
    within = reshaped(second, tuple([extent for size in inner for extent in (1, size)]))
    product = multiply(blocks, within)
    return reshaped(product, tuple([size * of for size, of in zip(outer, inner)]))
