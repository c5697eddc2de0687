"""Statistics of samples, as in NumPy: average, cov, corrcoef, bincount, histogram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

from tarry.base.dtypes import Dtype, complex64, float32, float64, int32, int64
from tarry.base.shapes import size_of
from tarry.graph.array import array
from tarry.graph.convert import python_value
from tarry.graph.tracing import require_evaluation
from tarry.ops.arguments import flag, integer, real_number, wrong_type
from tarry.ops.arithmetic import add, divide, multiply, subtract
from tarry.ops.comparison import equal, greater, greater_equal, less, less_equal, logical_and
from tarry.ops.complex_numbers import conjugate, real
from tarry.ops.elementwise import ArrayLike, as_array, cast, constant, require_array
from tarry.ops.exponential import sqrt
from tarry.ops.generators import iota, linspace
from tarry.ops.indexed import scattered
from tarry.ops.joining import concatenate
from tarry.ops.layout import diagonal
from tarry.ops.lookup import taken_at
from tarry.ops.products import matrix_product, transposed
from tarry.ops.reductions import Axis, max, min, reduced_axes, without_axes
from tarry.ops.rounding import floor
from tarry.ops.selection import maximum, minimum, where
from tarry.ops.sorting import searchsorted
from tarry.ops.statistics import mean
from tarry.ops.structure import broadcast, reshaped, sum_axes
from tarry.ops.views import flatten
from tarry.runtime.devices import StreamLike, require_stream


def _floating(value: array) -> array:
    return value if value.dtype.kind in "fc" else cast(value, float32)


@overload
def average(
    a: array,
    /,
    axis: Axis = None,
    weights: array | None = None,
    returned: Literal[False] = False,
    keepdims: bool = False,
    *,
    stream: StreamLike = None,
) -> array: ...


@overload
def average(
    a: array,
    /,
    axis: Axis = None,
    weights: array | None = None,
    *,
    returned: bool,
    keepdims: bool = False,
    stream: StreamLike = None,
) -> Any: ...


@overload
def average(
    a: array,
    /,
    axis: Axis,
    weights: array | None,
    returned: bool,
    keepdims: bool = False,
    *,
    stream: StreamLike = None,
) -> Any: ...


def average(
    a: array,
    /,
    axis: Axis = None,
    weights: array | None = None,
    returned: bool = False,
    keepdims: bool = False,
    *,
    stream: StreamLike = None,
) -> array | tuple[array, array]:
    """The weighted mean over the axes; with `returned` a pair of it and the sum of the weights.

    Weights have the shape of `a`, or are a vector along the one axis. ValueError for other shapes.

    >>> mx.average(mx.array([1.0, 4.0]), weights=mx.array([3.0, 1.0]))
    array(1.75, dtype=float32)
    """
    if stream is not None:
        require_stream("average", stream)
    value = require_array("average", a)
    axes = reduced_axes("average", value, axis, keepdims)
    flag("average", returned, "returned")
    if weights is None:
        result = mean(value, axis, keepdims)
        count = size_of([value.shape[number] for number in axes])
        return (result, constant(count, result.dtype, result.shape)) if returned else result
    shares = require_array("average", weights)
    if shares.shape != value.shape:
        if len(axes) != 1 or shares.shape != (value.shape[axes[0]],):
            raise ValueError(
                f"[average] Weights of shape {shares.shape} fit neither {value.shape} nor one of its axes."
            )
        shares = reshaped(shares, tuple([n if i == axes[0] else 1 for i, n in enumerate(value.shape)]))
        shares = broadcast(shares, value.shape)
    product = _floating(multiply(value, shares))
    total = sum_axes(cast(shares, product.dtype), axes)
    result = without_axes(divide(sum_axes(product, axes), total), axes, keepdims)
    return (result, without_axes(total, axes, keepdims)) if returned else result


# Covariance


def _variables(op: str, x: object, rowvar: bool) -> array:
    """Observations as a matrix with a row for each variable."""
    value = _floating(require_array(op, x))
    flag(op, rowvar, "rowvar")
    if value.ndim > 2:
        raise ValueError(f"[{op}] Expected at most 2 dimensions, but the shape is {value.shape}.")
    if value.ndim < 2:
        return reshaped(value, (1, size_of(value.shape)))
    return value if rowvar or value.shape[0] == 1 else transposed(value)


def _weights(op: str, role: str, given: array | None, count: int, dtype: Dtype) -> array | None:
    if given is None:
        return None
    if require_array(op, given).shape != (count,):
        raise ValueError(f"[{op}] Expected {role} of shape {(count,)}, not {given.shape}.")
    return cast(given, dtype)


def _covariance(
    op: str,
    m: object,
    y: object,
    rowvar: bool,
    ddof: int,
    fweights: array | None = None,
    aweights: array | None = None,
) -> array:
    rows = _variables(op, m, rowvar)
    if y is not None:
        more = _variables(op, y, rowvar)
        if more.shape[1] != rows.shape[1]:
            raise ValueError(f"[{op}] {rows.shape[1]} observations of m do not go with {more.shape[1]} of y.")
        rows = concatenate([rows, more], 0)
    count = rows.shape[1]
    dtype = float32 if rows.dtype is complex64 else rows.dtype
    frequencies = _weights(op, "fweights", fweights, count, dtype)
    importances = _weights(op, "aweights", aweights, count, dtype)
    given = [value for value in (frequencies, importances) if value is not None]
    if not given:
        centred = subtract(rows, mean(rows, 1, True))
        free = constant(float(count - ddof), dtype)
        product = matrix_product(centred, transposed(conjugate(centred)))
    else:
        shares = given[0] if len(given) == 1 else multiply(given[0], given[1])
        total = sum_axes(shares, (0,))
        row_means = divide(sum_axes(multiply(rows, shares), (1,)), total)
        centred = subtract(rows, row_means)
        free = subtract(total, float(ddof))
        if importances is not None:
            squares = sum_axes(multiply(shares, importances), (0,))
            free = subtract(total, divide(multiply(squares, float(ddof)), total))
        product = matrix_product(multiply(centred, shares), transposed(conjugate(centred)))
    return divide(product, where(greater(free, 0), free, 0))


def cov(
    m: array,
    y: array | None = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: array | None = None,
    aweights: array | None = None,
    *,
    stream: StreamLike = None,
) -> array:
    """The covariances of variables: the rows of `m` (columns unless `rowvar`), and those of `y`.

    They are normalised by N - 1 (by N with `bias`), or N - ddof. `fweights` repeat observations, `aweights`
    weigh them. ValueError for more than two dimensions or weights that do not fit.

    >>> mx.cov(mx.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]))
    array([[1, -1],
           [-1, 1]], dtype=float32)
    """
    if stream is not None:
        require_stream("cov", stream)
    flag("cov", bias, "bias")
    free = (0 if bias else 1) if ddof is None else integer("cov", ddof, "ddof")
    result = _covariance("cov", m, y, rowvar, free, fweights, aweights)
    return reshaped(result, ()) if result.shape == (1, 1) else result


def corrcoef(m: array, y: array | None = None, rowvar: bool = True, *, stream: StreamLike = None) -> array:
    """The correlation coefficients of variables, see `cov`; nan for one that does not vary.

    >>> mx.corrcoef(mx.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]))
    array([[1, -1],
           [-1, 1]], dtype=float32)
    """
    if stream is not None:
        require_stream("corrcoef", stream)
    products = _covariance("corrcoef", m, y, rowvar, 1)
    deviation = sqrt(real(diagonal(products)) if products.dtype is complex64 else diagonal(products))
    count = products.shape[0]
    scaled = divide(divide(products, reshaped(deviation, (count, 1))), deviation)
    if scaled.dtype is not complex64:
        # Rounding must not lead out of the range.
        scaled = maximum(minimum(scaled, 1.0), -1.0)
    return reshaped(scaled, ()) if count == 1 else scaled


# Counting


def _evaluated(op: str, value: array) -> Any:
    """The only element as a Python number. ValueError inside vmap and compile."""
    require_evaluation(op)
    return python_value(value._node)


def _tally(places: array, counted: array, updates: array, length: int) -> array:
    """How much falls on each of `length` places; what is not `counted` falls on none."""
    base = constant(0, updates.dtype, (length,))
    if not length or not size_of(places.shape):
        return base
    wide = cast(places, int32 if length <= 1 << 31 else int64)
    inside = maximum(minimum(wide, length - 1), 0)
    kept = where(counted, updates, constant(0, updates.dtype, updates.shape))
    return scattered(base, kept, [inside], (-1,), (0,), "add")


def bincount(
    x: array,
    /,
    weights: array | None = None,
    minlength: int = 0,
    *,
    length: int | None = None,
    stream: StreamLike = None,
) -> array:
    """How often each of 0, 1, ... occurs among integers, in int32, or the sum of the `weights` there.

    The result has max(minlength, greatest + 1) elements, for which the values are looked at. With `length` it
    has so many, greater values are not counted, and it can be used inside compile and vmap. ValueError for
    negative values, for anything but a vector of integers, and for weights of another shape.

    >>> mx.bincount(mx.array([1, 1, 3]))
    array([0, 2, 0, 1], dtype=int32)
    """
    if stream is not None:
        require_stream("bincount", stream)
    value = require_array("bincount", x)
    if value.ndim != 1 or value.dtype.kind not in "uib":
        raise ValueError(f"[bincount] Expected a vector of integers, not {value.dtype.name} {value.shape}.")
    updates = constant(1, int32, value.shape)
    if weights is not None:
        updates = _floating(require_array("bincount", weights))
        if updates.shape != value.shape:
            raise ValueError(f"[bincount] Weights of shape {updates.shape} do not fit values {value.shape}.")
    if value.dtype.kind == "b":
        value = cast(value, int32)
    if length is None:
        count = integer("bincount", minlength, "minlength")
    else:
        count = integer("bincount", length, "length")
    if count < 0:
        raise ValueError(f"[bincount] The number of results must not be negative, but it is {count}.")
    if length is None and value.shape[0]:
        if value.dtype.kind == "i":
            least = _evaluated("bincount", min(value))
            if least < 0:
                raise ValueError(f"[bincount] The values must not be negative, but one is {least}.")
        count = _greater(count, _evaluated("bincount", max(value)) + 1)
    counted = less(value, count)
    if value.dtype.kind == "i":
        counted = logical_and(counted, greater_equal(value, 0))
    return _tally(value, counted, updates, count)


def _greater(a: int, b: int) -> int:
    return a if a > b else b


def histogram_bin_edges(
    a: ArrayLike,
    bins: int | array = 10,
    range: Sequence[float] | None = None,
    *,
    stream: StreamLike = None,
) -> array:
    """The edges of `bins` bins of equal width over `range`, by default from the least to the greatest value.

    Bins given as a vector of edges are returned. ValueError for fewer than one bin or an empty range.

    >>> mx.histogram_bin_edges(mx.array([0.0, 1.0, 4.0]), 4)
    array([0, 1, 2, 3, 4], dtype=float32)
    """
    if stream is not None:
        require_stream("histogram_bin_edges", stream)
    edges, dtype = _edges("histogram_bin_edges", as_array("histogram_bin_edges", a), bins, range)
    return cast(edges, dtype)


def _edges(op: str, value: array, bins: Any, limits: Any) -> tuple[array, Dtype]:
    """The edges in the dtype to compare in, and the dtype to return them in."""
    result = value.dtype if value.dtype in (float32, float64) else float32
    # float32 does not hold every integer.
    working = float64 if value.dtype.kind in "ui" and value.dtype.size > 2 else result
    if isinstance(bins, array):
        if bins.ndim != 1 or bins.shape[0] < 2:
            raise ValueError(f"[{op}] Expected a vector of at least two edges, not the shape {bins.shape}.")
        return cast(bins, working), result
    count = integer(op, bins, "bins")
    if count < 1:
        raise ValueError(f"[{op}] Expected at least one bin, not {count}.")
    if limits is not None:
        if not isinstance(limits, (list, tuple)) or len(limits) != 2:
            raise wrong_type(op, "range", "a pair of numbers", limits)
        low, high = [real_number(op, limit, "range") for limit in limits]
        if not low <= high:
            raise ValueError(f"[{op}] The range must not be empty, but it is ({low}, {high}).")
        first, last = constant(low, working), constant(high, working)
    elif size_of(value.shape) == 0:
        first, last = constant(0, working), constant(1, working)
    else:
        first, last = cast(min(value), working), cast(max(value), working)
    flat = equal(first, last)
    first, last = where(flat, subtract(first, 0.5), first), where(flat, add(last, 0.5), last)
    return linspace(first, last, count + 1, dtype=working), result


def _uniform_places(values: array, edges: array, count: int) -> array:
    """The bin of every value: by division, then put right by comparison with the edges themselves."""
    first, last = taken_at(edges, constant(0, int32)), taken_at(edges, constant(count, int32))
    scaled = multiply(divide(subtract(values, first), subtract(last, first)), float(count))
    guess = maximum(minimum(cast(floor(scaled), int32), count - 1), 0)
    too_high = less(values, taken_at(edges, guess))
    guess = where(too_high, maximum(subtract(guess, 1), 0), guess)
    too_low = greater_equal(values, taken_at(edges, add(guess, 1)))
    return where(too_low, minimum(add(guess, 1), count - 1), guess)


def histogram(
    a: ArrayLike,
    bins: int | array = 10,
    range: Sequence[float] | None = None,
    density: bool = False,
    weights: ArrayLike | None = None,
    *,
    stream: StreamLike = None,
) -> tuple[array, array]:
    """(counts, edges): how many values fall into each bin, in int32, or the sum of their weights.

    A bin holds its lower edge, the last one both; see `histogram_bin_edges` for the edges. With `density`
    the integral is 1. ValueError for weights of another shape, or complex numbers.

    >>> mx.histogram(mx.array([0.0, 1.0, 1.5, 4.0]), 4)[0]
    array([1, 2, 0, 1], dtype=int32)
    """
    if stream is not None:
        require_stream("histogram", stream)
    value = as_array("histogram", a)
    flag("histogram", density, "density")
    if value.dtype.kind == "c":
        raise ValueError("[histogram] Not supported for complex64: expected a real type.")
    edges, dtype = _edges("histogram", value, bins, range)
    count = edges.shape[0] - 1
    flat = cast(flatten(value), edges.dtype)
    updates = constant(1, int32, flat.shape)
    if weights is not None:
        given = as_array("histogram", weights)
        if given.shape != value.shape:
            raise ValueError(f"[histogram] Weights of shape {given.shape} do not fit values {value.shape}.")
        updates = flatten(given)
    first, last = taken_at(edges, constant(0, int32)), taken_at(edges, constant(count, int32))
    counted = logical_and(greater_equal(flat, first), less_equal(flat, last))
    if isinstance(bins, array):
        places = minimum(subtract(cast(searchsorted(edges, flat, "right"), int32), 1), count - 1)
    else:
        places = _uniform_places(flat, edges, count)
    totals = _tally(places, counted, updates, count)
    if density:
        amounts = _floating(totals)
        ends = iota((count,), 0, int32)
        widths = cast(subtract(taken_at(edges, add(ends, 1)), taken_at(edges, ends)), amounts.dtype)
        totals = divide(divide(amounts, widths), sum_axes(amounts, (0,)))
    return totals, cast(edges, dtype)
