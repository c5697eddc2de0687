"""Arrays from nothing: ranges, constants, and the patterns made of positions (identity and triangles)."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tarry.base.dtypes import (
    Dtype,
    bool_,
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
from tarry.ops.arithmetic import add, divide, multiply, subtract
from tarry.ops.comparison import equal, less_equal
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

_LARGEST_COUNT = (1 << 31) - 1


class Iota(Primitive):
    """Each element is its position along `axis`, in the array's dtype."""

    name = "Iota"
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
    stream: object = None,
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
    if isinstance(step, Dtype):
        # arange(stop, step, dtype)
        dtype, step, stop, start = step, stop, start, None
    if stop is None:
        start, stop = None, start
    first = 0 if start is None else start
    stride = 1 if step is None else step
    last = _check_range(first, stop, stride, dtype)
    given = [value for value in (start, stop, step) if value is not None]
    if dtype is None:
        dtype = _range_dtype(given)
    count = _range_count(first, last, stride)
    return _progression(first, stride, count, dtype)


def _check_range(start: Any, stop: Any, step: Any, dtype: Dtype | None) -> int | float:
    for value in (start, stop, step):
        if isinstance(value, bool):
            raise ValueError(f"[arange] Booleans are not supported, but {value} was given.")
        if not isinstance(value, (int, float)):
            raise TypeError(
                f"[arange] incompatible function arguments: expected numbers, not {value!r}."
            )
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
        exact = math.ceil((stop - start) / step)
    count = max(exact, 0)
    if count > _LARGEST_COUNT:
        raise ValueError(f"[arange] {count} elements are more than the largest size {_LARGEST_COUNT}.")
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
    stream: object = None,
) -> array:
    """`num` evenly spaced numbers from `start` to `stop`, which is included if `endpoint`.

    Integer dtypes truncate. ValueError for a negative number of them.

    >>> mx.linspace(0, 1, 5)
    array([0, 0.25, 0.5, 0.75, 1], dtype=float32)
    """
    count = _extent("linspace", num)
    if count < 0:
        raise ValueError(f"[linspace] The number of samples, {count}, must not be negative.")
    first = spread(cast(_bound(start), float64), (count,))
    last = spread(cast(_bound(stop), float64), (count,))
    positions = iota((count,), 0, float64)
    intervals = count - 1 if endpoint else count
    if intervals <= 0:
        return cast(first, dtype or float32)
    step = divide(subtract(last, first), float(intervals))
    values = add(multiply(positions, step), first)
    if endpoint:
        values = where(equal(positions, float(intervals)), last, values)
    return cast(values, dtype or float32)


def _bound(value: ArrayLike) -> array:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return constant(float(value), float64)
    bound = as_array("linspace", value)
    if size_of(bound.shape) != 1:
        raise ValueError(f"[linspace] start and stop must be scalars, not of shape {bound.shape}.")
    return bound


# Constants


def _extent(op: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"[{op}] incompatible function arguments: {value!r} is not an integer.") from None


def checked_shape(op: str, shape: Any) -> Shape:
    """A shape from an integer or a sequence of them. TypeError for anything else, ValueError if negative."""
    if isinstance(shape, (list, tuple)):
        extents = tuple([_extent(op, item) for item in shape])
    else:
        extents = (_extent(op, shape),)
    if any(extent < 0 for extent in extents):
        raise ValueError(f"[{op}] Negative dimensions are not allowed, but the shape is {shape}.")
    return extents


def checked_dtype(op: str, dtype: Any, default: Dtype) -> Dtype:
    """`dtype`, or the default for None. TypeError for anything that is not a dtype."""
    if dtype is None:
        return default
    if not isinstance(dtype, Dtype):
        raise TypeError(f"[{op}] incompatible function arguments: expected a dtype, not {dtype!r}.")
    return dtype


def zeros(shape: int | Sequence[int], dtype: Dtype | None = float32, *, stream: object = None) -> array:
    """Zeros of the given shape. ValueError for negative dimensions.

    >>> mx.zeros((2,), mx.int32)
    array([0, 0], dtype=int32)
    """
    return constant(0, checked_dtype("zeros", dtype, float32), checked_shape("zeros", shape))


def ones(shape: int | Sequence[int], dtype: Dtype | None = float32, *, stream: object = None) -> array:
    """Ones of the given shape. ValueError for negative dimensions.

    >>> mx.ones(2)
    array([1, 1], dtype=float32)
    """
    return constant(1, checked_dtype("ones", dtype, float32), checked_shape("ones", shape))


def full(
    shape: int | Sequence[int], vals: ArrayLike, dtype: Dtype | None = None, *, stream: object = None
) -> array:
    """`vals` repeated to the given shape.

    An array keeps its own dtype and broadcasts. A Python scalar takes `dtype` unless its kind is higher: a
    float with an integer dtype gives float32. ValueError for negative dimensions and integers that overflow.

    >>> mx.full((2,), 3, mx.int8)
    array([3, 3], dtype=int8)
    """
    extents = checked_shape("full", shape)
    kind = scalar_kind(vals)
    if kind is None:
        if isinstance(vals, (np.ndarray, np.generic)) and dtype is not None:
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


def zeros_like(a: array, /, dtype: Dtype | None = None, *, stream: object = None) -> array:
    """Zeros of the shape and dtype of `a`, or of another dtype.

    >>> mx.zeros_like(mx.array([1, 2]))
    array([0, 0], dtype=int32)
    """
    model = require_array("zeros_like", a)
    return constant(0, checked_dtype("zeros_like", dtype, model.dtype), model.shape)


def ones_like(a: array, /, dtype: Dtype | None = None, *, stream: object = None) -> array:
    """Ones of the shape and dtype of `a`, or of another dtype.

    >>> mx.ones_like(mx.array([1, 2]))
    array([1, 1], dtype=int32)
    """
    model = require_array("ones_like", a)
    return constant(1, checked_dtype("ones_like", dtype, model.dtype), model.shape)


def full_like(
    a: array, vals: ArrayLike, dtype: Dtype | None = None, *, stream: object = None
) -> array:
    """`vals` repeated to the shape of `a` and converted to its dtype, or to another dtype.

    >>> mx.full_like(mx.array([1, 2]), 7)
    array([7, 7], dtype=int32)
    """
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
    n: int, m: int | None = None, k: int = 0, dtype: Dtype | None = float32, *, stream: object = None
) -> array:
    """Ones on the k-th diagonal of an n by m matrix (m is n unless given), zeros elsewhere.

    ValueError for negative sizes.

    >>> mx.eye(2)
    array([[1, 0],
           [0, 1]], dtype=float32)
    """
    shape = _matrix_shape("eye", n, m)
    if min(shape) < 0:
        raise ValueError(f"[eye] N and M must not be negative, but they are {shape[0]} and {shape[1]}.")
    rows, columns = _diagonal_positions(shape, _extent("eye", k))
    return cast(equal(columns, rows), checked_dtype("eye", dtype, float32))


def identity(n: int, dtype: Dtype | None = float32, *, stream: object = None) -> array:
    """The n by n identity matrix. ValueError for a negative size.

    >>> mx.identity(2, mx.int32)
    array([[1, 0],
           [0, 1]], dtype=int32)
    """
    return eye(n, dtype=dtype)


def _matrix_shape(op: str, n: Any, m: Any) -> tuple[int, int]:
    rows = _extent(op, n)
    return rows, rows if m is None else _extent(op, m)


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
    n: int, m: int | None = None, k: int = 0, dtype: Dtype | None = None, *, stream: object = None
) -> array:
    """Ones on and below the k-th diagonal of an n by m matrix (m is n unless given), zeros above.

    >>> mx.tri(2)
    array([[1, 0],
           [1, 1]], dtype=float32)
    """
    shape = _matrix_shape("tri", n, m)
    kept = (max(shape[0], 0), max(shape[1], 0))
    rows, columns = _diagonal_positions(kept, _extent("tri", k))
    return cast(less_equal(columns, rows), checked_dtype("tri", dtype, float32))


def _triangle_operand(op: str, x: object) -> array:
    value = require_array(op, x)
    if value.ndim < 2:
        raise ValueError(f"[{op}] At least two dimensions are needed, but the shape is {value.shape}.")
    return value


def tril(x: array, k: int = 0, *, stream: object = None) -> array:
    """The last two dimensions with everything above the k-th diagonal set to zero.

    ValueError for less than two dimensions.

    >>> mx.tril(mx.ones((2, 2)))
    array([[1, 0],
           [1, 1]], dtype=float32)
    """
    value = _triangle_operand("tril", x)
    rows, columns = _diagonal_positions(value.shape, _extent("tril", k))
    return where(less_equal(columns, rows), value, constant(0, value.dtype, value.shape))


def triu(x: array, k: int = 0, *, stream: object = None) -> array:
    """The last two dimensions with everything below the k-th diagonal set to zero.

    ValueError for less than two dimensions.

    >>> mx.triu(mx.ones((2, 2)))
    array([[1, 1],
           [0, 1]], dtype=float32)
    """
    value = _triangle_operand("triu", x)
    rows, columns = _diagonal_positions(value.shape, _extent("triu", k))
    return where(less_equal(rows, columns), value, constant(0, value.dtype, value.shape))
