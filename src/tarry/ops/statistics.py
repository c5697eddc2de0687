"""Means, variances, and the exponential sums: logsumexp and softmax. All are compositions of other ops.

Half types are computed in float32 and rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.base.dtypes import Dtype, bfloat16, complex64, float16, float32
from tarry.base.shapes import size_of
from tarry.graph.array import array
from tarry.ops.arguments import flag, real_number
from tarry.ops.arithmetic import add, multiply, reciprocal, subtract
from tarry.ops.build import build
from tarry.ops.comparison import isfinite
from tarry.ops.complex_numbers import conjugate, squared_magnitude
from tarry.ops.elementwise import cast, constant, require_array
from tarry.ops.exponential import exp, log, sqrt
from tarry.ops.reductions import Axis, Max, extremum, reduced_axes, reduced_size, without_axes
from tarry.ops.selection import stop_gradient, where
from tarry.ops.structure import Piece, Position, View, ViewSizes, batch_to_front, broadcast, sum_axes
from tarry.runtime.devices import StreamLike, require_stream


def _working_operand(op: str, a: object) -> tuple[array, Dtype]:
    """The array in the dtype to compute in, and the dtype of the result."""
    value = require_array(op, a)
    dtype = value.dtype
    if dtype is float16 or dtype is bfloat16:
        return cast(value, float32), dtype
    if dtype.kind in "fc":
        return value, dtype
    return cast(value, float32), float32


def _inverse(count: float) -> float:
    return 1 / count if count > 0 else float("inf")


def _mean_kept(value: array, axes: tuple[int, ...]) -> array:
    if not axes:
        return value
    return multiply(sum_axes(value, axes), _inverse(reduced_size(value, axes)))


def mean(a: array, /, axis: Axis = None, keepdims: bool = False, *, stream: StreamLike = None) -> array:
    """The arithmetic mean over the axes; nan over none. Integers become float32.

    >>> mx.mean(mx.array([[1, 2], [3, 4]]), axis=0)
    array([2, 3], dtype=float32)
    """
    if stream is not None:
        require_stream("mean", stream)
    value, dtype = _working_operand("mean", a)
    axes = reduced_axes("mean", value, axis, keepdims)
    return without_axes(cast(_mean_kept(value, axes), dtype), axes, keepdims)


def _variance(
    op: str, a: object, axis: Axis, keepdims: bool, ddof: float, correction: float | None
) -> tuple[array, Dtype, tuple[int, ...]]:
    if correction is not None:
        if real_number(op, ddof, "ddof") != 0:
            raise ValueError(f"[{op}] ddof and correction are two names of one number: give one of them.")
        ddof = correction
    value, dtype = _working_operand(op, a)
    axes = reduced_axes(op, value, axis, keepdims)
    free = reduced_size(value, axes) - real_number(op, ddof, "ddof")
    deviation = subtract(value, broadcast(_mean_kept(value, axes), value.shape))
    total = sum_axes(squared_magnitude(deviation), axes)
    variance = multiply(total, _inverse(free))
    return variance, float32 if dtype is complex64 else dtype, axes


def var(
    a: array,
    /,
    axis: Axis = None,
    keepdims: bool = False,
    ddof: int = 0,
    *,
    correction: float | None = None,
    stream: StreamLike = None,
) -> array:
    """The variance over the axes: sum |a - mean|^2 / (n - ddof), in two passes. Integers become float32.

    `correction` is another name of `ddof`, and may be a fraction.

    >>> mx.var(mx.array([1.0, 2.0, 3.0]), ddof=1)
    array(1, dtype=float32)
    """
    if stream is not None:
        require_stream("var", stream)
    variance, dtype, axes = _variance("var", a, axis, keepdims, ddof, correction)
    return without_axes(cast(variance, dtype), axes, keepdims)


def std(
    a: array,
    /,
    axis: Axis = None,
    keepdims: bool = False,
    ddof: int = 0,
    *,
    correction: float | None = None,
    stream: StreamLike = None,
) -> array:
    """The standard deviation over the axes, the root of `var`. Integers become float32.

    >>> mx.std(mx.array([1.0, 3.0]))
    array(1, dtype=float32)
    """
    if stream is not None:
        require_stream("std", stream)
    variance, dtype, axes = _variance("std", a, axis, keepdims, ddof, correction)
    return without_axes(cast(sqrt(variance), dtype), axes, keepdims)


def _axes_of(op: str, value: array, axis: Axis, keepdims: bool = False) -> tuple[int, ...]:
    """`reduced_axes`, but any axis of an array without dimensions is a ValueError, as in MLX."""
    try:
        return reduced_axes(op, value, axis, keepdims)
    except IndexError:
        if value.ndim > 0:
            raise
        raise ValueError(f"[{op}] Received axes {axis} for an array with 0 dimensions.") from None


def logsumexp(a: array, /, axis: Axis = None, keepdims: bool = False, *, stream: StreamLike = None) -> array:
    """log(sum(exp(a))) over the axes without overflow. Integers become float32.

    ValueError for an array without elements.

    >>> mx.logsumexp(mx.array([1000.0, 1000.0]))
    array(1000.69, dtype=float32)
    """
    if stream is not None:
        require_stream("logsumexp", stream)
    value, dtype = _working_operand("logsumexp", a)
    axes = _axes_of("logsumexp", value, axis, keepdims)
    if size_of(value.shape) == 0:
        raise ValueError(f"[logsumexp] Shape {value.shape} has no elements.")
    if not axes:
        return cast(value, dtype)
    greatest = stop_gradient(extremum(Max(axes), value))
    # Where the greatest is infinite its difference to itself would be nan: 0 serves as well.
    shift = where(isfinite(greatest), greatest, 0)
    total = sum_axes(exp(subtract(value, broadcast(shift, value.shape))), axes)
    return without_axes(cast(add(log(total), shift), dtype), axes, keepdims)


class Softmax(View):
    """The first input, which is the softmax over `axes` of the second, with the derivative in its own terms.

    With p the result and c a cotangent, p (c - sum(c p)): the exponentials need not be kept for it.
    """

    name = "Softmax"
    shaped = False
    __slots__ = ("axes",)

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes
        super().__init__()

    def params(self) -> tuple[object, ...]:
        return (self.axes,)

    def pull(self, position: Position, sizes: ViewSizes) -> list[Piece]:
        return [Piece(0, position)]

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        # As for a holomorphic function the transposed Jacobian meets the conjugate.
        powers = conjugate(output)
        return [self._derivative(powers, cotangent) if number == 1 else None for number in wanted]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        return None if tangents[1] is None else self._derivative(output, tangents[1])

    def _derivative(self, powers: array, direction: array) -> array:
        mean = sum_axes(multiply(direction, powers), self.axes)
        return multiply(powers, subtract(direction, broadcast(mean, powers.shape)))

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        moved = [batch_to_front(value, axis, size) for value, axis in zip(inputs, axes)]
        shifted = Softmax(tuple([axis + 1 for axis in self.axes]))
        return build(shifted, moved, moved[0].shape, output.dtype), 0


def softmax(a: array, /, axis: Axis = None, *, precise: bool = False, stream: StreamLike = None) -> array:
    """exp(a) / sum(exp(a)) over the axes, without overflow. Integers become float32.

    Half types are always computed as precisely as `precise` asks for.

    >>> mx.softmax(mx.array([0.0, 0.0]))
    array([0.5, 0.5], dtype=float32)
    """
    if stream is not None:
        require_stream("softmax", stream)
    value, dtype = _working_operand("softmax", a)
    axes = _axes_of("softmax", value, axis)
    flag("softmax", precise, "precise")
    if not axes:
        return constant(1, dtype, value.shape)
    if size_of(value.shape) == 0:
        return cast(value, dtype)
    greatest = stop_gradient(extremum(Max(axes), value))
    powers = exp(subtract(value, broadcast(greatest, value.shape)))
    scale = reciprocal(sum_axes(powers, axes))
    result = multiply(powers, broadcast(scale, value.shape))
    return cast(build(Softmax(axes), (result, value), value.shape, value.dtype), dtype)
