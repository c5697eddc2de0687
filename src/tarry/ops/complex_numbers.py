"""Magnitudes, signs and the parts of complex numbers.

Gradients of real functions of complex numbers are df/dx + i df/dy, the direction of steepest ascent.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.base.dtypes import complex64, float32, float64
from tarry.graph.array import array, wrap
from tarry.loops.builder import Builder
from tarry.loops.ir import Instr
from tarry.ops.arithmetic import add, divide, multiply
from tarry.ops.comparison import equal
from tarry.ops.elementwise import ArrayLike, Elementwise, Partial, cast, constant, elementwise, unary_operand
from tarry.runtime.devices import StreamLike, require_stream


def emit_parts(builder: Builder, value: Instr) -> tuple[Instr, Instr]:
    """The real and imaginary part, in float64."""
    return (
        builder.cast(builder.apply("real", value), float64),
        builder.cast(builder.apply("imag", value), float64),
    )


def emit_magnitude(builder: Builder, x: Instr, y: Instr) -> Instr:
    """sqrt(x*x + y*y) of float64 values that were float32: the squares cannot overflow."""
    return builder.apply("sqrt", builder.add(builder.mul(x, x), builder.mul(y, y)))


class Abs(Elementwise):
    """The magnitude; complex64 gives float32."""

    name = "Abs"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        if args[0].dtype.kind == "b":
            return args[0]
        if args[0].dtype.kind != "c":
            return builder.apply("abs", args[0])
        x, y = emit_parts(builder, args[0])
        magnitude = emit_magnitude(builder, x, y)
        # A magnitude is infinite with either part, even if the other is nan.
        infinity = builder.const(float("inf"), float64)
        for part in (x, y):
            infinite = builder.apply("eq", builder.apply("abs", part), infinity)
            magnitude = builder.select(infinite, infinity, magnitude)
        return builder.cast(magnitude, float32)

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return sign(inputs[0])

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        return [multiply(cotangent, sign(inputs[0]))]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        if tangents[0] is None:
            return None
        return real(multiply(conjugate(sign(inputs[0])), tangents[0]))


_ABS = Abs()


def abs(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """|a|, element by element; the magnitude of complex numbers, in float32. The derivative at 0 is 0.

    The lowest signed integer is its own absolute value.

    >>> mx.abs(mx.array([-1, 2]))
    array([1, 2], dtype=int32)
    """
    if stream is not None:
        require_stream("abs", stream)
    operand = unary_operand("abs", a)
    return elementwise(_ABS, (operand,), float32 if operand.dtype is complex64 else operand.dtype)


class Sign(Elementwise):
    name = "Sign"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        value = args[0]
        kind = value.dtype.kind
        if kind == "b":
            return value
        if kind == "c":
            return self._emit_direction(builder, value)
        zero, one = builder.const(0, value.dtype), builder.const(1, value.dtype)
        positive = builder.select(builder.apply("gt", value, zero), one, zero)
        if kind == "u":
            return positive
        return builder.select(builder.apply("lt", value, zero), builder.const(-1, value.dtype), positive)

    def _emit_direction(self, builder: Builder, value: Instr) -> Instr:
        x, y = emit_parts(builder, value)
        magnitude = emit_magnitude(builder, x, y)
        zero = builder.const(0, float64)
        at_zero = builder.apply("eq", magnitude, zero)
        parts = [builder.select(at_zero, zero, builder.div(part, magnitude)) for part in (x, y)]
        return builder.apply("complex", *[builder.cast(part, float32) for part in parts])

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return 0

    # The direction of a complex number turns with the part of a change that is perpendicular to it.

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        return [_turn(inputs[0], output, cotangent)]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        return None if tangents[0] is None else _turn(inputs[0], output, tangents[0])


def _turn(value: array, direction: array, change: array) -> array | None:
    """The change of a / |a| by a change of a, 0 where a is 0: its own adjoint. None for real numbers."""
    if value.dtype is not complex64:
        return None
    magnitude = abs(value)
    magnitude = add(magnitude, cast(equal(magnitude, 0), float32))
    across = divide(imag(multiply(conjugate(direction), change)), magnitude)
    return multiply(direction, combine_parts(constant(0, float32, value.shape), across))


_SIGN = Sign()


def sign(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """-1, 0 or 1 in the dtype of `a`; a / |a| for complex numbers; 0 for nan.

    The gradient is zero; with complex numbers it is that of their direction, and zero at 0.

    >>> mx.sign(mx.array([-3.0, 0.0, 2.0]))
    array([-1, 0, 1], dtype=float32)
    """
    if stream is not None:
        require_stream("sign", stream)
    return elementwise(_SIGN, (unary_operand("sign", a),))


class Conjugate(Elementwise):
    name = "Conjugate"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        x, y = builder.apply("real", args[0]), builder.apply("imag", args[0])
        return builder.apply("complex", x, builder.neg(y))

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        return [conjugate(cotangent)]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        return None if tangents[0] is None else conjugate(tangents[0])


_CONJUGATE = Conjugate()


def conjugate(a: ArrayLike, *, stream: StreamLike = None) -> array:
    """The complex conjugate; real numbers are their own.

    >>> mx.conjugate(mx.array([1 + 2j]))
    array([1-2j], dtype=complex64)
    """
    if stream is not None:
        require_stream("conjugate", stream)
    operand = unary_operand("conjugate", a)
    if operand.dtype is not complex64:
        return wrap(operand._node)
    return elementwise(_CONJUGATE, (operand,))


conj = conjugate


class Real(Elementwise):
    name = "Real"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return builder.apply("real", args[0])

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        return [cast(cotangent, complex64)]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        return None if tangents[0] is None else real(tangents[0])


class Imag(Elementwise):
    name = "Imag"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return builder.apply("imag", args[0])

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        return [combine_parts(constant(0, float32, cotangent.shape), cotangent)]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        return None if tangents[0] is None else imag(tangents[0])


_REAL, _IMAG = Real(), Imag()


def real(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The real part, in float32 for complex64; real numbers as they are.

    >>> mx.real(mx.array([1 + 2j]))
    array([1], dtype=float32)
    """
    if stream is not None:
        require_stream("real", stream)
    operand = unary_operand("real", a)
    if operand.dtype is not complex64:
        return wrap(operand._node)
    return elementwise(_REAL, (operand,), float32)


def imag(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The imaginary part, in float32 for complex64; zeros for real numbers.

    >>> mx.imag(mx.array([1 + 2j]))
    array([2], dtype=float32)
    """
    if stream is not None:
        require_stream("imag", stream)
    operand = unary_operand("imag", a)
    if operand.dtype is not complex64:
        return constant(0, operand.dtype, operand.shape)
    return elementwise(_IMAG, (operand,), float32)


class CombineParts(Elementwise):
    """Two float32 numbers x, y as the complex number x + iy."""

    name = "CombineParts"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return builder.apply("complex", *args)

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        return [real(cotangent) if number == 0 else imag(cotangent) for number in wanted]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        if tangents[0] is None and tangents[1] is None:
            return None
        zero = constant(0, float32, output.shape)
        return combine_parts(*[zero if tangent is None else tangent for tangent in tangents])


_COMBINE_PARTS = CombineParts()


def combine_parts(x: array, y: array) -> array:
    """x + iy, in complex64, from float32 arrays of one shape."""
    return elementwise(_COMBINE_PARTS, (x, y), complex64)


def squared_magnitude(a: array) -> array:
    """|a|^2, real for complex numbers."""
    if a.dtype is not complex64:
        return multiply(a, a)
    x, y = real(a), imag(a)
    return add(multiply(x, x), multiply(y, y))
