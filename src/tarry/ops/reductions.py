"""Reductions: sum, prod, max, min, all, any, argmax, argmin.

`axis` is an integer, a sequence of them or None for all; negative axes count from the end. With `keepdims`
the reduced axes stay with extent 1. A reduction over no axes (axis=()) is the array itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from tarry.base.dtypes import Dtype, bool_, complex64, int32, uint32
from tarry.base.shapes import normalize_axes, size_of
from tarry.graph.array import array, wrap
from tarry.loops.builder import Builder
from tarry.loops.ir import Instr
from tarry.ops.arguments import dtype_of, flag, integer, one_or_more
from tarry.ops.arithmetic import divide, floor_divide, multiply, subtract
from tarry.ops.comparison import INFINITY, equal, isnan, logical_or, not_equal
from tarry.ops.complex_numbers import combine_parts, conjugate, imag, real
from tarry.ops.elementwise import cast, require_array
from tarry.ops.selection import where
from tarry.ops.structure import (
    Reduction,
    apply_reduction,
    broadcast,
    reduction,
    remaining_shape,
    reshaped,
    sum_axes,
)
from tarry.runtime.devices import StreamLike, require_stream

Axis = int | Sequence[int] | None


def reduced_axes(op: str, value: array, axis: Any, keepdims: Any = False) -> tuple[int, ...]:
    """The axes to reduce, counted from the front. TypeError unless they are integers, a sequence or None.

    `keepdims` is looked at, too: TypeError unless it is True or False.
    """
    if keepdims is not False and keepdims is not True:
        flag(op, keepdims, "keepdims")
    rank = len(value._node.shape)
    if axis is None:
        return tuple(range(rank))
    if type(axis) is int and -rank <= axis < rank:
        return (axis % rank,)
    return tuple(sorted(normalize_axes(op, one_or_more(op, axis, "axis"), value.ndim)))


def without_axes(value: array, axes: tuple[int, ...], keepdims: bool) -> array:
    """`value` with the reduced axes, of extent 1, dropped unless they are to be kept."""
    if keepdims:
        return value
    return reshaped(value, remaining_shape(value._node.shape, axes))


def reduced_size(value: array, axes: tuple[int, ...]) -> int:
    """How many elements each result combines."""
    return size_of([value.shape[axis] for axis in axes])


_ACCUMULATION = {"bool": int32, "int8": int32, "int16": int32, "uint8": uint32, "uint16": uint32}


def _accumulated(op: str, value: array, dtype: Dtype | None) -> array:
    """The elements in the dtype they are combined in: the one asked for, or one that is wide enough."""
    if dtype is None:
        return cast(value, _ACCUMULATION.get(value.dtype.name, value.dtype))
    value = cast(value, dtype_of(op, dtype))
    # Booleans have no sum of their own.
    return cast(value, int32) if dtype is bool_ else value


def sum(
    array: array,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    dtype: Dtype | None = None,
    stream: StreamLike = None,
) -> array:
    """The sum over the axes; 0 over none. Booleans and small integers add up in int32, unsigned in uint32.

    With `dtype`, elements are converted to it first. TypeError for anything but an array, IndexError for an
    axis out of range, ValueError for one given twice.

    >>> mx.sum(mx.array([[1, 2], [3, 4]]), axis=0)
    array([4, 6], dtype=int32)
    """
    if stream is not None:
        require_stream("sum", stream)
    value = require_array("sum", array)
    axes = reduced_axes("sum", value, axis, keepdims)
    if not axes:
        return wrap((value if dtype is None else _accumulated("sum", value, dtype))._node)
    value = _accumulated("sum", value, dtype)
    return without_axes(sum_axes(value, axes), axes, keepdims)


class Prod(Reduction):
    name = "Prod"
    combiner = "prod"
    __slots__ = ()

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        value = inputs[0]
        others = conjugate(products_of_others(value, self.axes))
        return [multiply(broadcast(cotangent, value.shape), others)]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        if tangents[0] is None:
            return None
        return sum_axes(multiply(products_of_others(inputs[0], self.axes), tangents[0]), self.axes)


def products_of_others(value: array, axes: tuple[int, ...]) -> array:
    """For each element the product of all others along the axes: the derivative of the product.

    It is product / element where there are no zeros. With zeros, the product of the nonzero elements
    stands in; the zeros enter as factors with the value 0 and the derivative 1: higher derivatives are right.
    """
    shape = value.shape
    is_zero = equal(value, 0)
    nonzero = where(is_zero, 1, value)
    zeros = where(is_zero, value, 0)
    product = broadcast(apply_reduction(Prod(axes), nonzero, None), shape)
    zero_sum = broadcast(sum_axes(zeros, axes), shape)
    count = broadcast(sum_axes(cast(is_zero, int32), axes), shape)
    quotient = divide(product, nonzero) if value.dtype.kind in "fc" else floor_divide(product, nonzero)
    with_one_zero = where(is_zero, product, multiply(zero_sum, quotient))
    with_two_zeros = where(is_zero, multiply(product, subtract(zero_sum, zeros)), 0)
    with_zeros = where(equal(count, 1), with_one_zero, where(equal(count, 2), with_two_zeros, 0))
    return where(equal(count, 0), quotient, with_zeros)


def prod(
    a: array,
    /,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    dtype: Dtype | None = None,
    stream: StreamLike = None,
) -> array:
    """The product over the axes; 1 over none. Dtypes as for `sum`.

    The gradient is right where elements are 0.

    >>> mx.prod(mx.array([2, 3, 4]))
    array(24, dtype=int32)
    """
    if stream is not None:
        require_stream("prod", stream)
    value = require_array("prod", a)
    axes = reduced_axes("prod", value, axis, keepdims)
    if not axes:
        return wrap((value if dtype is None else _accumulated("prod", value, dtype))._node)
    value = _accumulated("prod", value, dtype)
    return without_axes(apply_reduction(Prod(axes), value, None), axes, keepdims)


class ExtremumReduction(Reduction):
    """The greatest or smallest element; equal ones share the gradient evenly."""

    __slots__ = ()
    worst: ClassVar[float] = 0.0

    def _shares(self, value: array, output: array) -> tuple[array, array]:
        """Which elements are extreme, as 0 and 1, and how many."""
        extreme = cast(equal(value, broadcast(output, value.shape)), value.dtype)
        return extreme, sum_axes(extreme, self.axes)

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        extreme, count = self._shares(inputs[0], output)
        return [multiply(extreme, broadcast(_shared(cotangent, count), extreme.shape))]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        if tangents[0] is None:
            return None
        extreme, count = self._shares(inputs[0], output)
        return _shared(sum_axes(multiply(extreme, tangents[0]), self.axes), count)


def _shared(value: array, count: array) -> array:
    return divide(value, count) if value.dtype.kind == "f" else floor_divide(value, count)


class Max(ExtremumReduction):
    name = "Max"
    combiner = "max"
    worst = -INFINITY
    __slots__ = ()


class Min(ExtremumReduction):
    name = "Min"
    combiner = "min"
    worst = INFINITY
    __slots__ = ()


def extremum(primitive: ExtremumReduction, value: array) -> array:
    """The greatest or smallest elements with the axes kept; complex numbers in lexicographic order."""
    if value.dtype is not complex64:
        return apply_reduction(primitive, value, None)
    x, y = real(value), imag(value)
    best_x = apply_reduction(primitive, x, None)
    tied = logical_or(equal(x, broadcast(best_x, x.shape)), isnan(x))
    best_y = apply_reduction(primitive, where(tied, y, primitive.worst), None)
    return combine_parts(best_x, best_y)


def _extremum(op: str, kind: type[ExtremumReduction], a: object, axis: Axis, keepdims: bool) -> array:
    value = require_array(op, a)
    axes = reduced_axes(op, value, axis, keepdims)
    if not axes:
        return wrap(value._node)
    for number in axes:
        if value.shape[number] == 0:
            raise ValueError(f"[{op}] Axis {number} of shape {value.shape} is empty and has no {op}.")
    make: Callable[[tuple[int, ...]], Reduction] = kind
    primitive = reduction(make, axes)
    assert isinstance(primitive, ExtremumReduction)
    return without_axes(extremum(primitive, value), axes, keepdims)


def max(a: array, /, axis: Axis = None, keepdims: bool = False, *, stream: StreamLike = None) -> array:
    """The greatest element over the axes; nan if there is one. ValueError over an empty axis.

    >>> mx.max(mx.array([[1, 5], [3, 2]]), axis=1)
    array([5, 3], dtype=int32)
    """
    if stream is not None:
        require_stream("max", stream)
    return _extremum("max", Max, a, axis, keepdims)


def min(a: array, /, axis: Axis = None, keepdims: bool = False, *, stream: StreamLike = None) -> array:
    """The smallest element over the axes; nan if there is one. ValueError over an empty axis.

    >>> mx.min(mx.array([[1, 5], [3, 2]]), axis=1)
    array([1, 2], dtype=int32)
    """
    if stream is not None:
        require_stream("min", stream)
    return _extremum("min", Min, a, axis, keepdims)


def minmax(
    a: array, /, axis: Axis = None, keepdims: bool = False, *, stream: StreamLike = None
) -> tuple[array, array]:
    """(min, max) over the axes. ValueError over an empty axis.

    >>> mx.minmax(mx.array([4, 1, 3]))
    (array(1, dtype=int32), array(4, dtype=int32))
    """
    if stream is not None:
        require_stream("minmax", stream)
    return _extremum("minmax", Min, a, axis, keepdims), _extremum("minmax", Max, a, axis, keepdims)


class Undifferentiated(Reduction):
    """A reduction whose result does not change with small changes of its input."""

    __slots__ = ()

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        return [None]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        return None


class All(Undifferentiated):
    name = "All"
    combiner = "and"
    __slots__ = ()


class AnyNonzero(Undifferentiated):
    name = "Any"
    combiner = "or"
    __slots__ = ()


def all(a: array, /, axis: Axis = None, keepdims: bool = False, *, stream: StreamLike = None) -> array:
    """Whether every element over the axes is nonzero; True over none.

    >>> mx.all(mx.array([[1, 0], [3, 2]]), axis=1)
    array([False, True], dtype=bool)
    """
    if stream is not None:
        require_stream("all", stream)
    value = require_array("all", a)
    axes = reduced_axes("all", value, axis, keepdims)
    value = cast(value, bool_)
    return without_axes(apply_reduction(All(axes), value, None), axes, keepdims) if axes else value


def any(a: array, /, axis: Axis = None, keepdims: bool = False, *, stream: StreamLike = None) -> array:
    """Whether some element over the axes is nonzero; False over none.

    >>> mx.any(mx.array([[1, 0], [0, 0]]), axis=1)
    array([True, False], dtype=bool)
    """
    if stream is not None:
        require_stream("any", stream)
    value = require_array("any", a)
    axes = reduced_axes("any", value, axis, keepdims)
    value = cast(value, bool_)
    return without_axes(apply_reduction(AnyNonzero(axes), value, None), axes, keepdims) if axes else value


def count_nonzero(
    a: array, /, axis: Axis = None, keepdims: bool = False, *, stream: StreamLike = None
) -> array:
    """How many elements over the axes are nonzero, in int32.

    >>> mx.count_nonzero(mx.array([0, 3, 4]))
    array(2, dtype=int32)
    """
    if stream is not None:
        require_stream("count_nonzero", stream)
    value = require_array("count_nonzero", a)
    axes = reduced_axes("count_nonzero", value, axis, keepdims)
    return without_axes(sum_axes(cast(not_equal(value, 0), int32), axes), axes, keepdims)


class ArgReduction(Undifferentiated):
    """The position of the first extreme element along the axes, in uint32; nan is the extreme."""

    __slots__ = ()
    uses_place = True

    def accumulated(self, dtype: Dtype) -> tuple[Dtype, ...]:
        return (dtype, uint32)

    def prepare(self, builder: Builder, value: Instr, place: Instr | None) -> tuple[Instr, ...]:
        assert place is not None
        return (value, builder.cast(place, uint32))

    def result(self, builder: Builder, components: Sequence[Instr]) -> Instr:
        return components[1]


class ArgMax(ArgReduction):
    name = "ArgMax"
    combiner = "argmax"
    __slots__ = ()


class ArgMin(ArgReduction):
    name = "ArgMin"
    combiner = "argmin"
    __slots__ = ()


def arg_reduction(op: str, a: object, axis: int | None, keepdims: bool) -> array:
    """The places of extreme elements; `op`, "argmax" or "argmin", may have something in front."""
    value = require_array(op, a)
    if axis is not None:
        axis = integer(op, axis, "axis")
    flag(op, keepdims, "keepdims")
    if size_of(value.shape) == 0:
        raise ValueError(f"[{op}] Shape {value.shape} has no elements.")
    shape = value.shape
    axes: tuple[int, ...]
    if axis is None:
        # One axis holds all elements; a scalar becomes a vector of one.
        value, axes = reshaped(value, (size_of(shape),)), (0,)
    else:
        axes = reduced_axes(op, value, axis)
    greatest = op.endswith("argmax")
    if value.dtype is complex64:
        best = extremum(Max(axes) if greatest else Min(axes), value)
        value, greatest = equal(value, broadcast(best, value.shape)), True
    place = apply_reduction(ArgMax(axes) if greatest else ArgMin(axes), value, uint32)
    if axis is None:
        return reshaped(place, (1,) * len(shape) if keepdims else ())
    return without_axes(place, axes, keepdims)


def argmax(
    a: array, /, axis: int | None = None, keepdims: bool = False, *, stream: StreamLike = None
) -> array:
    """The position of the greatest element along an axis, or of all in row-major order; uint32.

    The first of equal ones; nan counts as the greatest. ValueError for an array without elements.

    >>> mx.argmax(mx.array([1, 7, 7]))
    array(1, dtype=uint32)
    """
    if stream is not None:
        require_stream("argmax", stream)
    return arg_reduction("argmax", a, axis, keepdims)


def argmin(
    a: array, /, axis: int | None = None, keepdims: bool = False, *, stream: StreamLike = None
) -> array:
    """The position of the smallest element along an axis, or of all in row-major order; uint32.

    The first of equal ones; nan counts as the smallest. ValueError for an array without elements.

    >>> mx.argmin(mx.array([4, 2, 2]))
    array(1, dtype=uint32)
    """
    if stream is not None:
        require_stream("argmin", stream)
    return arg_reduction("argmin", a, axis, keepdims)
