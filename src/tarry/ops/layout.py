"""Other readings of an array's elements: diagonals, other strides, other dtypes for the same bits."""

from __future__ import annotations

from collections.abc import Sequence

from tarry.base.dtypes import Dtype, bool_, complex64, float32, int32, uint8, uint16, uint32, uint64
from tarry.base.shapes import Shape, contiguous_strides, is_contiguous, normalize_axis, size_of
from tarry.graph.array import array, wrap
from tarry.loops.builder import Builder
from tarry.loops.ir import Instr
from tarry.ops.arguments import dtype_of, flag, integer, integers, wrong_type
from tarry.ops.arithmetic import add, multiply
from tarry.ops.bitwise import bitwise_or, left_shift, right_shift
from tarry.ops.comparison import not_equal
from tarry.ops.complex_numbers import combine_parts, imag, real
from tarry.ops.elementwise import (
    ArrayLike,
    Elementwise,
    Partial,
    as_array,
    cast,
    constant,
    elementwise,
    require_array,
)
from tarry.ops.generators import iota
from tarry.ops.indexed import gathered, scattered
from tarry.ops.slices import narrowed, sliced
from tarry.ops.structure import broadcast, permute, reshaped
from tarry.ops.views import flatten, fresh
from tarry.runtime.devices import DeviceLike, StreamLike, require_device, require_stream

_UNSIGNED = {1: uint8, 2: uint16, 4: uint32, 8: uint64}


# diagonals


def diagonal(
    a: array, offset: int = 0, axis1: int = 0, axis2: int = 1, stream: StreamLike = None
) -> array:
    """The diagonals over two axes, along a new last axis; `offset` counts diagonals above the main one.

    Errors: ValueError for fewer than two dimensions or equal axes; IndexError for a bad axis.

    Example:
        >>> mx.diagonal(mx.array([[1, 2], [3, 4]]))
        array([1, 4], dtype=int32)
    """
    if stream is not None:
        require_stream("diagonal", stream)
    a = require_array("diagonal", a)
    if a.ndim < 2:
        raise ValueError(f"[diagonal] Expected at least two dimensions, but the array has {a.ndim}.")
    first = normalize_axis("diagonal", integer("diagonal", axis1, "axis1"), a.ndim, "axis1")
    second = normalize_axis("diagonal", integer("diagonal", axis2, "axis2"), a.ndim, "axis2")
    if first == second:
        raise ValueError(f"[diagonal] axis1 and axis2 cannot be the same axis, but both are {first}.")
    others = [axis for axis in range(a.ndim) if axis not in (first, second)]
    matrices = permute(a, (*others, first, second))
    k = integer("diagonal", offset, "offset")
    return _diagonal(matrices, k)


def _diagonal(matrices: array, offset: int) -> array:
    """The diagonals over the last two axes: of a row-major matrix the elements width + 1 apart."""
    *outer, rows, columns = matrices.shape
    row, column = max(-offset, 0), max(offset, 0)
    length = max(min(rows - row, columns - column), 0)
    rank = len(outer)
    flat = reshaped(matrices, (*outer, rows * columns))
    starts = [0] * rank + [row * columns + column if length else 0]
    return fresh(sliced(flat, starts, (*outer, length), [1] * rank + [columns + 1]), matrices)


def diag(a: array, /, k: int = 0, *, stream: StreamLike = None) -> array:
    """The k-th diagonal of a matrix, or the square matrix with a vector as its k-th diagonal.

    Errors: ValueError for other numbers of dimensions.

    Example:
        >>> mx.diag(mx.array([1, 2])).tolist()
        [[1, 0], [0, 2]]
    """
    if stream is not None:
        require_stream("diag", stream)
    a = require_array("diag", a)
    k = integer("diag", k, "k")
    if a.ndim == 2:
        return _diagonal(a, k)
    if a.ndim != 1:
        raise ValueError(f"[diag] Expected one or two dimensions, but the array has {a.ndim}.")
    length = a.shape[0]
    width = length + abs(k)
    index = iota((length,), 0, int32)
    rows, columns = add(index, max(-k, 0)), add(index, max(k, 0))
    zeros = constant(0, a.dtype, (width, width))
    return fresh(scattered(zeros, a, [rows, columns], (-1, -2), (0,), "set"), a)


# strides


def as_strided(
    a: array,
    /,
    shape: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    offset: int = 0,
    *,
    stream: StreamLike = None,
) -> array:
    """The element offset + i*strides[0] + j*strides[1] + ... of the flattened array at position (i, j, ...).

    Strides count elements and may be zero or negative; by default the shape is the array's and the strides
    are row-major.

    Errors: ValueError when counts differ, an extent is negative, or a position lies outside the array.

    Example:
        >>> mx.as_strided(mx.arange(4), (3, 2), (1, 1)).tolist()
        [[0, 1], [1, 2], [2, 3]]
    """
    if stream is not None:
        require_stream("as_strided", stream)
    a = require_array("as_strided", a)
    extents: Shape = a.shape if shape is None else integers("as_strided", shape, "shape")
    steps = contiguous_strides(extents) if strides is None else integers("as_strided", strides, "strides")
    if len(steps) != len(extents) or any(extent < 0 for extent in extents):
        raise ValueError(f"[as_strided] Shape {extents} and strides {tuple(steps)} do not belong together.")
    low = high = start = integer("as_strided", offset, "offset")
    if start < 0:
        raise wrong_type("as_strided", "offset", "an integer that is not negative", start)
    for extent, step in zip(extents, steps):
        reach = max(extent - 1, 0) * step
        low, high = low + min(reach, 0), high + max(reach, 0)
    if size_of(extents) and not 0 <= low <= high < a.size:
        raise ValueError(
            f"[as_strided] Positions from {low} to {high} do not lie inside an array of size {a.size}."
        )
    place = constant(start, int32, extents)
    for axis, step in enumerate(steps):
        place = add(place, multiply(iota(extents, axis, int32), step))
    return gathered(flatten(a), [place], (-1,), tuple(range(len(extents))), extents)


class Contiguous(Elementwise):
    """The same values; where they are stored, in row-major order."""

    name = "Contiguous"
    __slots__ = ()

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return args[0]

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return 1


_CONTIGUOUS = Contiguous()


def contiguous(a: array, /, allow_col_major: bool = False, *, stream: StreamLike = None) -> array:
    """The array with its values in row-major order in memory; a copy where they lie otherwise.

    `allow_col_major` leaves values in column-major order as they are.

    Example:
        >>> mx.contiguous(mx.array([[1, 2], [3, 4]]).T)
        array([[1, 3],
               [2, 4]], dtype=int32)
    """
    if stream is not None:
        require_stream("contiguous", stream)
    a = require_array("contiguous", a)
    flag("contiguous", allow_col_major, "allow_col_major")
    storage = a._node.storage
    if storage is not None:
        if storage.contiguous:
            return wrap(a._node)
        if allow_col_major and is_contiguous(a.shape[::-1], storage.strides[::-1]):
            return wrap(a._node)
    return elementwise(_CONTIGUOUS, (a,))


def astype(
    a: array, /, dtype: Dtype, *, copy: bool = True, device: DeviceLike = None, stream: StreamLike = None
) -> array:
    """The elements converted to another dtype. Without `copy`, an array of that dtype is returned itself.

    Floats to integers drop the fraction; complex numbers to real ones the imaginary part; anything but zero
    is True. Errors: TypeError unless `dtype` is a Dtype.

    Example:
        >>> mx.astype(mx.array([1.7, -1.7]), mx.int32)
        array([1, -1], dtype=int32)
    """
    if stream is not None:
        require_stream("astype", stream)
    a = require_array("astype", a)
    require_device("astype", device)
    converted = cast(a, dtype_of("astype", dtype))
    return fresh(converted, a) if copy else converted


# bits


class Bitcast(Elementwise):
    """The bits of each element read as another dtype of the same size."""

    name = "View"
    __slots__ = ("dtype",)

    def __init__(self, dtype: Dtype) -> None:
        self.dtype = dtype
        super().__init__()

    def params(self) -> tuple[object, ...]:
        return (self.dtype.name,)

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return builder.bitcast(args[0], self.dtype)

    def partial(self, number: int, inputs: Sequence[array], output: array) -> int:
        raise ValueError("[view] Bits read as another dtype have no derivative.")


def view(a: ArrayLike, /, dtype: Dtype, stream: StreamLike = None) -> array:
    """The bits of the elements, in row-major order and little-endian, read as another dtype.

    The last axis grows or shrinks by the ratio of the sizes.

    Errors: ValueError when the last axis does not hold whole elements, or for a scalar of another size.

    Example:
        >>> mx.view(mx.array([1.0, 2.0]), mx.int32).tolist()
        [1065353216, 1073741824]
    """
    if stream is not None:
        require_stream("view", stream)
    operand = as_array("view", a)
    source, dtype = operand.dtype, dtype_of("view", dtype)
    if source is dtype:
        return wrap(operand._node)
    if operand.ndim == 0 and source.size != dtype.size:
        raise ValueError(
            f"[view] A 0-dimensional {source.name} cannot be viewed as {dtype.name}: the sizes differ."
        )
    bits = _bitcast(operand, _UNSIGNED[source.size])
    if source.size > dtype.size:
        bits = _apart(bits, source.size // dtype.size)
    elif source.size < dtype.size:
        bits = _together(bits, dtype.size // source.size, dtype)
    if dtype is bool_:
        return not_equal(bits, 0)
    return _bitcast(bits, dtype)


def _bitcast(value: array, dtype: Dtype) -> array:
    if value.dtype is dtype:
        return value
    if value.dtype is bool_:
        value = cast(value, uint8)
        return value if dtype is uint8 else _bitcast(value, dtype)
    # A complex number is its real part, in the low bits, and its imaginary part.
    if value.dtype is complex64:
        low, high = [cast(_bitcast(part, uint32), uint64) for part in (real(value), imag(value))]
        return _bitcast(bitwise_or(low, left_shift(high, 32)), dtype)
    if dtype is complex64:
        bits = _bitcast(value, uint64)
        low, high = cast(bits, uint32), cast(right_shift(bits, 32), uint32)
        return combine_parts(_bitcast(low, float32), _bitcast(high, float32))
    return elementwise(Bitcast(dtype), (value,), dtype)


def _apart(bits: array, count: int) -> array:
    """Each element as `count` smaller ones, the lowest bits first."""
    width = bits.dtype.size // count
    shape = (*bits.shape, count)
    wide = broadcast(reshaped(bits, (*bits.shape, 1)), shape)
    shifts = multiply(iota(shape, len(shape) - 1, bits.dtype), 8 * width)
    parts = cast(right_shift(wide, shifts), _UNSIGNED[width])
    return reshaped(parts, (*bits.shape[:-1], bits.shape[-1] * count))


def _together(bits: array, count: int, dtype: Dtype) -> array:
    """Each `count` neighbours of the last axis as one larger element, the lowest bits first."""
    *outer, extent = bits.shape
    if extent % count:
        raise ValueError(
            f"[view] The last axis, of {extent} elements of {bits.dtype.size} bytes, does not hold whole "
            f"elements of {dtype.name}."
        )
    width = 8 * bits.dtype.size
    wide = cast(reshaped(bits, (*outer, extent // count, count)), _UNSIGNED[dtype.size])
    axis = len(outer) + 1
    joined = reshaped(narrowed(wide, axis, 0, 1), (*outer, extent // count))
    for number in range(1, count):
        part = reshaped(narrowed(wide, axis, number, 1), (*outer, extent // count))
        joined = bitwise_or(joined, left_shift(part, number * width))
    return joined

