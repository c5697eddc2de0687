"""Arrays from nothing: ranges, constants, and the patterns made of positions (identity and triangles)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tarry.base.dtypes import (
    NO_NUMBERS,
    Dtype,
    bool_,
    complex64,
    default_of_kind,
    float32,
    float64,
    int32,
    int64,
    promote_weak,
)
from tarry.base.shapes import Shape, broadcast_shapes, size_of
from tarry.graph.array import array, wrap
from tarry.graph.node import Node
from tarry.graph.operators import operators
from tarry.graph.primitive import Primitive
from tarry.ops.arguments import EXTENT, dtype_of, flag, integer, is_integer, one_or_more, operand, wrong_type
from tarry.ops.arithmetic import add, divide, multiply, subtract
from tarry.ops.comparison import equal, less_equal
from tarry.ops.complex_numbers import combine_parts, imag, real
from tarry.ops.elementwise import (
    ArrayLike,
    as_array,
    cast,
    check_scalar,
    constant,
    require_array,
    scalar_kind,
)
from tarry.ops.selection import spread, where
from tarry.runtime.devices import DeviceLike, StreamLike, require_device, require_stream

_LARGEST_COUNT = (1 << 31) - 1


class Iota(Primitive):
    """Each element is its position along `axis`, in the array's dtype."""

    name = "Iota"
    barrier = False
    __slots__ = ("axis",)

    def __init__(self, axis: int) -> None:
        self.axis = axis
        super().__init__()

    def params(self) -> tuple[object, ...]:
        return (self.axis,)

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        raise AssertionError("positions have no inputs to batch")


def iota(shape: Shape, axis: int, dtype: Dtype) -> array:
    """An array of positions along `axis`."""
    return wrap(Node(Iota(axis), (), shape, dtype))


# Ranges


def arange(
    start: float | None = None,
    stop: float | None = None,
    step: float | Dtype | None = None,
    dtype: Dtype | None = None,
    *,
    device: DeviceLike = None,
    stream: StreamLike = None,
) -> array:
    """start, start + step, ... below `stop` (above it, for a negative step).

    Called as arange(stop), arange(start, stop) or arange(start, stop, step). The dtype is int32 for integers
    (int64 where one is beyond int32), float32 if any is a float, or `dtype`.

    ValueError for booleans, a step of 0, infinite bounds or too many elements; TypeError for arrays.

    >>> mx.arange(5)
    array([0, 1, 2, 3, 4], dtype=int32)
    >>> mx.arange(1, 2, 0.25)
    array([1, 1.25, 1.5, 1.75], dtype=float32)
    """
    if stream is not None:
        require_stream("arange", stream)
    require_device("arange", device)
    if isinstance(step, Dtype):
        # arange(stop, step, dtype)
        dtype, step, stop, start = step, stop, start, None
    if stop is None:
        start, stop = None, start
    first = 0 if start is None else start
    stride = 1 if step is None else step
    last = _check_range(first, stop, stride, dtype)
    given = [value for value in (start, stop, step) if value is not None]
    dtype = _range_dtype(given) if dtype is None else dtype_of("arange", dtype)
    count = _range_count(first, last, stride)
    return _progression(first, stride, count, dtype)


def _check_range(start: Any, stop: Any, step: Any, dtype: Dtype | None) -> int | float:
    for value in (start, stop, step):
        if isinstance(value, bool):
            raise ValueError(f"[arange] Booleans are not supported, but {value} was given.")
        if not isinstance(value, (int, float)):
            raise wrong_type("arange", "start, stop and step", "numbers", value)
    if dtype is bool_:
        raise ValueError("[arange] The dtype bool is not supported.")
    if step == 0:
        raise ValueError("[arange] step must not be 0.")
    if not all(math.isfinite(value) for value in (start, stop, step)):
        raise ValueError(f"[arange] Cannot compute the length from {start}, {stop} to step {step}.")
    bounds: int | float = stop
    return bounds


def _range_dtype(given: Sequence[Any]) -> Dtype:
    if any(isinstance(value, float) for value in given):
        return float32
    return int32 if all(-(1 << 31) <= value < 1 << 31 for value in given) else int64


def _range_count(start: Any, stop: Any, step: Any) -> int:
    if all(isinstance(value, int) for value in (start, stop, step)):
        exact: int = -((start - stop) // step)
    else:
        length = (stop - start) / step
        if not math.isfinite(length):
            raise ValueError(f"[arange] Cannot compute the length from {start}, {stop} to step {step}.")
        exact = math.ceil(length)
    count = max(exact, 0)
    if count > _LARGEST_COUNT:
        raise ValueError(f"[arange] {count:.6g} elements are more than the largest size {_LARGEST_COUNT}.")
    return count


def _progression(start: Any, step: Any, count: int, dtype: Dtype) -> array:
    """start + i * step for i below `count`."""
    if dtype.kind in "ui":
        # Start and step are integers of the dtype first: [0, 0.5, ...] is [0, 0, ...].
        whole = math.trunc(start)
        first: float = _wrapped(whole, dtype)
        stride: float = _wrapped(math.trunc(start + step) - whole, dtype)
        working = dtype
    else:
        first, stride = float(start), float(step)
        exact = first.is_integer() and stride.is_integer() and abs(first) + abs(stride) * count < 1 << 24
        # Whole numbers are exact in float32; others are rounded once, from float64.
        working = float32 if exact else float64
    positions = iota((count,), 0, working)
    if stride != 1:
        positions = multiply(positions, constant(stride, working, (count,)))
    if first != 0:
        positions = add(positions, constant(first, working, (count,)))
    return cast(positions, dtype)


def _wrapped(value: int, dtype: Dtype) -> int:
    bits = 8 * dtype.size
    value &= (1 << bits) - 1
    return value - (1 << bits) if dtype.kind == "i" and value >> (bits - 1) else value


def linspace(
    start: ArrayLike,
    stop: ArrayLike,
    num: int = 50,
    endpoint: bool = True,
    dtype: Dtype | None = float32,
    stream: StreamLike = None,
    *,
    device: DeviceLike = None,
) -> array:
    """`num` evenly spaced numbers from `start` to `stop`, which is included if `endpoint`.

    Integer dtypes truncate; complex bounds give complex64. ValueError for a negative number of them.

    >>> mx.linspace(0, 1, 5)
    array([0, 0.25, 0.5, 0.75, 1], dtype=float32)
    """
    if stream is not None:
        require_stream("linspace", stream)
    require_device("linspace", device)
    dtype = checked_dtype("linspace", dtype, float32)
    flag("linspace", endpoint, "endpoint")
    if _is_complex(start) or _is_complex(stop):
        ends = operand("linspace", start, "start"), operand("linspace", stop, "stop")
        lines = [linspace(part(ends[0]), part(ends[1]), num, endpoint) for part in (real, imag)]
        return combine_parts(*lines)
    count = integer("linspace", num, "num", EXTENT)
    if count < 0:
        raise ValueError(f"[linspace] The number of samples, {count}, must not be negative.")
    first = spread(cast(_bound(start), float64), (count,))
    last = spread(cast(_bound(stop), float64), (count,))
    positions = iota((count,), 0, float64)
    intervals = count - 1 if endpoint else count
    if intervals <= 0:
        return cast(first, dtype)
    step = divide(subtract(last, first), float(intervals))
    values = add(multiply(positions, step), first)
    if endpoint:
        values = where(equal(positions, float(intervals)), last, values)
    return cast(values, dtype)


def _is_complex(value: object) -> bool:
    return isinstance(value, complex) or (isinstance(value, array) and value.dtype is complex64)


def _bound(value: ArrayLike) -> array:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return constant(float(value), float64)
    bound = operand("linspace", value, "start and stop")
    if size_of(bound.shape) != 1:
        raise ValueError(f"[linspace] start and stop must be scalars, not of shape {bound.shape}.")
    return bound


# Constants


def checked_shape(op: str, shape: Any) -> Shape:
    """A shape from an integer or a sequence of them.

    RuntimeError for anything else, as in MLX (but TypeError for None), ValueError for negative extents,
    OverflowError for those beyond 64 bits.
    """
    try:
        extents = one_or_more(op, shape, "shape", EXTENT)
    except TypeError as error:
        if shape is None:
            raise
        if is_integer(shape):
            raise OverflowError(f"[{op}] The extent {shape} does not fit in 64 bits.") from None
        raise RuntimeError(str(error)) from None
    if size_of(extents) >= EXTENT:
        raise OverflowError(f"[{op}] The number of elements of shape {extents} does not fit in 64 bits.")
    if any(extent < 0 for extent in extents):
        raise ValueError(f"[{op}] Negative dimensions are not allowed, but the shape is {shape}.")
    return extents


def checked_dtype(op: str, dtype: Any, default: Dtype) -> Dtype:
    """`dtype`, or the default for None. TypeError for anything that is not a dtype."""
    return default if dtype is None else dtype_of(op, dtype)


def zeros(
    shape: int | Sequence[int],
    dtype: Dtype | None = float32,
    *,
    device: DeviceLike = None,
    stream: StreamLike = None,
) -> array:
    """Zeros of the given shape. ValueError for negative dimensions.

    >>> mx.zeros((2,), mx.int32)
    array([0, 0], dtype=int32)
    """
    if stream is not None:
        require_stream("zeros", stream)
    require_device("zeros", device)
    return constant(0, checked_dtype("zeros", dtype, float32), checked_shape("zeros", shape))


def ones(
    shape: int | Sequence[int],
    dtype: Dtype | None = float32,
    *,
    device: DeviceLike = None,
    stream: StreamLike = None,
) -> array:
    """Ones of the given shape. ValueError for negative dimensions.

    >>> mx.ones(2)
    array([1, 1], dtype=float32)
    """
    if stream is not None:
        require_stream("ones", stream)
    require_device("ones", device)
    return constant(1, checked_dtype("ones", dtype, float32), checked_shape("ones", shape))


def _filling(op: str, vals: ArrayLike | None, fill_value: ArrayLike | None) -> ArrayLike:
    """The value to fill with, by either of its two names. TypeError for both or neither."""
    if vals is None and fill_value is not None:
        return fill_value
    if vals is None or fill_value is not None:
        raise TypeError(
            f"[{op}] incompatible function arguments: one value is needed, as either vals or fill_value."
        )
    return vals


def full(
    shape: int | Sequence[int],
    vals: ArrayLike | None = None,
    dtype: Dtype | None = None,
    *,
    fill_value: ArrayLike | None = None,
    device: DeviceLike = None,
    stream: StreamLike = None,
) -> array:
    """`vals` repeated to the given shape; `fill_value` is its other name.

    An array keeps its own dtype and broadcasts. A Python scalar takes `dtype` unless its kind is higher: a
    float with an integer dtype gives float32. ValueError for negative dimensions and integers that overflow.

    >>> mx.full((2,), 3, mx.int8)
    array([3, 3], dtype=int8)
    """
    if stream is not None:
        require_stream("full", stream)
    require_device("full", device)
    vals = _filling("full", vals, fill_value)
    extents = checked_shape("full", shape)
    kind = scalar_kind(vals)
    if kind is None:
        numbers = isinstance(vals, (np.ndarray, np.generic)) and vals.dtype.kind not in NO_NUMBERS
        if numbers and dtype is not None:
            value: array = operators.from_numpy("full", vals, checked_dtype("full", dtype, float32))
        else:
            value = as_array("full", vals)
        return _spread_to("full", value, extents)
    assert isinstance(vals, (bool, int, float, complex))
    if dtype is None:
        return spread(as_array("full", vals), extents)
    target = promote_weak(checked_dtype("full", dtype, float32), kind)
    check_scalar("full", vals, target)
    return constant(vals, target, extents)


def _spread_to(op: str, value: array, shape: Shape) -> array:
    if broadcast_shapes(op, value.shape, shape) != shape:
        raise ValueError(f"[{op}] A value of shape {value.shape} does not broadcast to shape {shape}.")
    return spread(value, shape)


def zeros_like(
    a: array, /, dtype: Dtype | None = None, *, device: DeviceLike = None, stream: StreamLike = None
) -> array:
    """Zeros of the shape and dtype of `a`, or of another dtype.

    >>> mx.zeros_like(mx.array([1, 2]))
    array([0, 0], dtype=int32)
    """
    if stream is not None:
        require_stream("zeros_like", stream)
    require_device("zeros_like", device)
    model = require_array("zeros_like", a)
    return constant(0, checked_dtype("zeros_like", dtype, model.dtype), model.shape)


def ones_like(
    a: array, /, dtype: Dtype | None = None, *, device: DeviceLike = None, stream: StreamLike = None
) -> array:
    """Ones of the shape and dtype of `a`, or of another dtype.

    >>> mx.ones_like(mx.array([1, 2]))
    array([1, 1], dtype=int32)
    """
    if stream is not None:
        require_stream("ones_like", stream)
    require_device("ones_like", device)
    model = require_array("ones_like", a)
    return constant(1, checked_dtype("ones_like", dtype, model.dtype), model.shape)


def full_like(
    a: array,
    vals: ArrayLike | None = None,
    dtype: Dtype | None = None,
    *,
    fill_value: ArrayLike | None = None,
    device: DeviceLike = None,
    stream: StreamLike = None,
) -> array:
    """`vals` repeated to the shape of `a` and converted to its dtype, or another; also named `fill_value`.

    >>> mx.full_like(mx.array([1, 2]), 7)
    array([7, 7], dtype=int32)
    """
    if stream is not None:
        require_stream("full_like", stream)
    require_device("full_like", device)
    vals = _filling("full_like", vals, fill_value)
    model = require_array("full_like", a)
    target = checked_dtype("full_like", dtype, model.dtype)
    kind = scalar_kind(vals)
    if kind is not None:
        assert isinstance(vals, (bool, int, float, complex))
        check_scalar("full_like", vals, target)
        if promote_weak(target, kind) is target:
            return constant(vals, target, model.shape)
        return cast(constant(vals, default_of_kind(kind), model.shape), target)
    return _spread_to("full_like", cast(as_array("full_like", vals), target), model.shape)


# Patterns


def eye(
    n: int,
    m: int | None = None,
    k: int = 0,
    dtype: Dtype | None = float32,
    *,
    device: DeviceLike = None,
    stream: StreamLike = None,
) -> array:
    """Ones on the k-th diagonal of an n by m matrix (m is n unless given), zeros elsewhere.

    ValueError for negative sizes.

    >>> mx.eye(2)
    array([[1, 0],
           [0, 1]], dtype=float32)
    """
    if stream is not None:
        require_stream("eye", stream)
    require_device("eye", device)
    shape = _matrix_shape("eye", n, m)
    if min(shape) < 0:
        raise ValueError(f"[eye] N and M must not be negative, but they are {shape[0]} and {shape[1]}.")
    rows, columns = _diagonal_positions(shape, integer("eye", k, "k"))
    return cast(equal(columns, rows), checked_dtype("eye", dtype, float32))


def identity(n: int, dtype: Dtype | None = float32, *, stream: StreamLike = None) -> array:
    """The n by n identity matrix. ValueError for a negative size.

    >>> mx.identity(2, mx.int32)
    array([[1, 0],
           [0, 1]], dtype=int32)
    """
    if stream is not None:
        require_stream("identity", stream)
    return eye(n, dtype=dtype)


def _matrix_shape(op: str, n: Any, m: Any) -> tuple[int, int]:
    rows = integer(op, n, "n", EXTENT)
    return rows, rows if m is None else integer(op, m, "m", EXTENT)


def _diagonal_positions(shape: Shape, k: int) -> tuple[array, array]:
    """Row + k and column of every element of the last two dimensions: they are equal on the k-th diagonal."""
    rank = len(shape)
    rows = iota(shape, rank - 2, int32)
    if k:
        # Beyond the matrix all diagonals are alike.
        bound = max(shape[-2], shape[-1]) + 1
        rows = add(rows, max(-bound, min(k, bound)))
    return rows, iota(shape, rank - 1, int32)


def tri(
    n: int, m: int | None = None, k: int = 0, dtype: Dtype | None = None, *, stream: StreamLike = None
) -> array:
    """Ones on and below the k-th diagonal of an n by m matrix (m is n unless given), zeros above.

    >>> mx.tri(2)
    array([[1, 0],
           [1, 1]], dtype=float32)
    """
    if stream is not None:
        require_stream("tri", stream)
    shape = _matrix_shape("tri", n, m)
    kept = (max(shape[0], 0), max(shape[1], 0))
    rows, columns = _diagonal_positions(kept, integer("tri", k, "k"))
    return cast(less_equal(columns, rows), checked_dtype("tri", dtype, float32))


def _triangle_operand(op: str, x: object) -> array:
    value = require_array(op, x)
    if value.ndim < 2:
        raise ValueError(f"[{op}] At least two dimensions are needed, but the shape is {value.shape}.")
    return value


def tril(x: array, k: int = 0, *, stream: StreamLike = None) -> array:
    """The last two dimensions with everything above the k-th diagonal set to zero.

    ValueError for less than two dimensions.

    >>> mx.tril(mx.ones((2, 2)))
    array([[1, 0],
           [1, 1]], dtype=float32)
    """
    if stream is not None:
        require_stream("tril", stream)
    value = _triangle_operand("tril", x)
    rows, columns = _diagonal_positions(value.shape, integer("tril", k, "k"))
    return where(less_equal(columns, rows), value, constant(0, value.dtype, value.shape))


def triu(x: array, k: int = 0, *, stream: StreamLike = None) -> array:
    """The last two dimensions with everything below the k-th diagonal set to zero.

    ValueError for less than two dimensions.

    >>> mx.triu(mx.ones((2, 2)))
    array([[1, 1],
           [0, 1]], dtype=float32)
    """
    if stream is not None:
        require_stream("triu", stream)
    value = _triangle_operand("triu", x)
    rows, columns = _diagonal_positions(value.shape, integer("triu", k, "k"))
    return where(less_equal(rows, columns), value, constant(0, value.dtype, value.shape))
