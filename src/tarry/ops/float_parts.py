"""Functions of the representation of floating-point numbers, and hypot.

copysign, signbit, nextafter, ldexp, frexp: exact in every dtype, subnormal numbers included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tarry.base.dtypes import Dtype, bool_, float32, float64, int32, int64, uint8, uint16, uint32, uint64
from tarry.base.shapes import broadcast_shapes
from tarry.graph.array import array
from tarry.loops.builder import Builder
from tarry.loops.ir import Instr
from tarry.ops.arithmetic import divide
from tarry.ops.comparison import Predicate, equal
from tarry.ops.elementwise import (
    ArrayLike,
    Elementwise,
    Partial,
    as_array,
    binary_operands,
    cast,
    elementwise,
    unary_operand,
)
from tarry.ops.exponential import real_operand
from tarry.ops.selection import spread, where
from tarry.runtime.devices import StreamLike, require_stream

_UNSIGNED = {1: uint8, 2: uint16, 4: uint32, 8: uint64}


def _real_operands(op: str, a: object, b: object) -> tuple[array, array]:
    """Floating operands of one dtype; integers become float32. ValueError for complex numbers."""
    operands = binary_operands(op, a, b, float32)
    if operands[0].dtype.kind == "c":
        raise ValueError(f"[{op}] Not supported for complex64: expected a real type.")
    return operands


def _bits(builder: Builder, value: Instr) -> Instr:
    return builder.bitcast(value, _UNSIGNED[value.dtype.size])


def _sign_mask(dtype: Dtype) -> int:
    return 1 << (8 * dtype.size - 1)


def _emit_sign(builder: Builder, value: Instr) -> Instr:
    """The sign bit in its place."""
    bits = _bits(builder, value)
    return builder.apply("and", bits, builder.const(_sign_mask(value.dtype), bits.dtype))


# Signs


class SignBit(Predicate):
    name = "SignBit"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        value = args[0]
        if value.dtype.kind != "f":
            return builder.apply("lt", value, builder.const(0, value.dtype))
        sign = _emit_sign(builder, value)
        return builder.apply("ne", sign, builder.const(0, sign.dtype))


_SIGN_BIT = SignBit()


def signbit(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """Where the sign bit is set: for negative numbers, for -0.0 and for nan of that sign.

    ValueError for complex numbers.

    >>> mx.signbit(mx.array([-1.0, -0.0, 0.0]))
    array([True, True, False], dtype=bool)
    """
    if stream is not None:
        require_stream("signbit", stream)
    operand = unary_operand("signbit", a)
    if operand.dtype.kind == "c":
        raise ValueError("[signbit] Not supported for complex64: expected a real type.")
    return elementwise(_SIGN_BIT, (operand,), bool_)


class CopySign(Elementwise):
    name = "CopySign"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        bits = _bits(builder, args[0])
        size = builder.apply("and", bits, builder.const(_sign_mask(args[0].dtype) - 1, bits.dtype))
        return builder.bitcast(builder.apply("or", size, _emit_sign(builder, args[1])), args[0].dtype)

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        if number == 1:
            return 0
        kept = equal(*[elementwise(_SIGN_BIT, (value,), bool_) for value in inputs])
        return where(kept, cast(kept, output.dtype), -1)


_COPY_SIGN = CopySign()


def copysign(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """|a| with the sign of b, zeros and nan included. Integers become float32.

    ValueError for complex numbers.

    >>> mx.copysign(mx.array([1.0, -2.0]), mx.array([-0.0, 3.0]))
    array([-1, 2], dtype=float32)
    """
    if stream is not None:
        require_stream("copysign", stream)
    return elementwise(_COPY_SIGN, _real_operands("copysign", a, b))


# Neighbours


class NextAfter(Elementwise):
    name = "NextAfter"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        a, b = args
        bits = _bits(builder, a)
        one, zero = builder.const(1, bits.dtype), builder.const(0, a.dtype)
        upwards = builder.apply("lt", a, b)
        away = builder.apply("eq", builder.apply("gt", a, zero), upwards)
        stepped = builder.select(away, builder.add(bits, one), builder.sub(bits, one))
        smallest = builder.apply("or", _emit_sign(builder, b), one)
        stepped = builder.select(builder.apply("eq", a, zero), smallest, stepped)
        result = builder.select(builder.apply("eq", a, b), b, builder.bitcast(stepped, a.dtype))
        for value in (a, b):
            result = builder.select(builder.apply("ne", value, value), value, result)
        return result

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return 1 - number


_NEXT_AFTER = NextAfter()


def nextafter(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The next number after a, in its dtype, in the direction of b; b where they are equal.

    Integers become float32. ValueError for complex numbers.

    >>> mx.nextafter(mx.array(1.0), 2.0) - 1 == 2**-23
    array(True, dtype=bool)
    """
    if stream is not None:
        require_stream("nextafter", stream)
    return elementwise(_NEXT_AFTER, _real_operands("nextafter", a, b))


# Exponents


def _emit_power_of_two(builder: Builder, exponent: Instr) -> Instr:
    """2**n in float64 of an int64 in the range of normal exponents."""
    biased = builder.add(exponent, builder.const(1023, int64))
    return builder.bitcast(builder.apply("shl", biased, builder.const(52, int64)), float64)


def _emit_clamped(builder: Builder, value: Instr, low: int, high: int) -> Instr:
    raised = builder.apply("max", value, builder.const(low, int64))
    return builder.apply("min", raised, builder.const(high, int64))


class LoadExponent(Elementwise):
    """a * 2**n, rounded once. Inputs: a floating number and an integer."""

    name = "LoadExponent"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        value, exponent = builder.cast(args[0], float64), builder.cast(args[1], int64)
        if args[0].dtype is not float64:
            # In float64 the product is exact, and the cast rounds it.
            scale = _emit_power_of_two(builder, _emit_clamped(builder, exponent, -500, 500))
            return builder.cast(builder.mul(value, scale), args[0].dtype)
        exponent = _emit_clamped(builder, exponent, -2200, 2200)
        for _ in range(2):
            # What is far below the normal range is scaled in steps so short that only the last one rounds.
            low = builder.apply("lt", exponent, builder.const(-1022, int64))
            high = builder.apply("min", exponent, builder.const(1023, int64))
            step = builder.select(low, builder.const(-969, int64), high)
            value = builder.mul(value, _emit_power_of_two(builder, step))
            exponent = builder.sub(exponent, step)
        return builder.mul(value, _emit_power_of_two(builder, _emit_clamped(builder, exponent, -1022, 1023)))

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        if number == 1:
            return 0
        one = spread(as_array("ldexp", 1.0), output.shape)
        return elementwise(self, (cast(one, output.dtype), inputs[1]))


_LOAD_EXPONENT = LoadExponent()


def ldexp(a: ArrayLike, n: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """a * 2**n for integers n, rounded once. Integers `a` become float32.

    ValueError for an `n` that is not of integers, and for complex numbers.

    >>> mx.ldexp(mx.array([0.5, 3.0]), mx.array([3, -1]))
    array([4, 1.5], dtype=float32)
    """
    if stream is not None:
        require_stream("ldexp", stream)
    value, exponent = real_operand("ldexp", a), unary_operand("ldexp", n)
    if exponent.dtype.kind not in "uib":
        raise ValueError(f"[ldexp] The exponents must be integers, not {exponent.dtype.name}.")
    shape = broadcast_shapes("ldexp", value.shape, exponent.shape)
    return elementwise(_LOAD_EXPONENT, (spread(value, shape), spread(exponent, shape)))


_EXPONENT_BITS = 0x7FF << 52


def _emit_normal(builder: Builder, value: Instr) -> tuple[Instr, Instr]:
    """The bits of a float64 number with subnormal ones scaled up, and the exponent of frexp."""
    low = builder.apply("lt", builder.apply("abs", value), builder.const(2.0**-1022, float64))
    scaled = builder.select(low, builder.mul(value, builder.const(2.0**54, float64)), value)
    bits = builder.bitcast(scaled, int64)
    field = builder.apply("shr", bits, builder.const(52, int64))
    field = builder.apply("and", field, builder.const(0x7FF, int64))
    bias = builder.select(low, builder.const(1022 + 54, int64), builder.const(1022, int64))
    return bits, builder.sub(field, bias)


def _emit_is_plain(builder: Builder, value: Instr) -> Instr:
    """Whether a number is finite and not zero."""
    size = builder.apply("abs", value)
    finite = builder.apply("lt", size, builder.const(math.inf, float64))
    return builder.logical_and(finite, builder.apply("gt", size, builder.const(0, float64)))


class Mantissa(Elementwise):
    name = "Mantissa"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        value = builder.cast(args[0], float64)
        bits = _emit_normal(builder, value)[0]
        kept = builder.apply("and", bits, builder.const(~_EXPONENT_BITS, int64))
        half = builder.apply("or", kept, builder.const(1022 << 52, int64))
        result = builder.select(_emit_is_plain(builder, value), builder.bitcast(half, float64), value)
        return builder.cast(result, args[0].dtype)

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return divide(output, inputs[0])


class Exponent(Predicate):
    name = "Exponent"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        value = builder.cast(args[0], float64)
        exponent = builder.cast(_emit_normal(builder, value)[1], int32)
        return builder.select(_emit_is_plain(builder, value), exponent, builder.const(0, int32))


_MANTISSA, _EXPONENT = Mantissa(), Exponent()


def frexp(a: ArrayLike, /, *, stream: StreamLike = None) -> tuple[array, array]:
    """(m, n) with a = m * 2**n and 0.5 <= |m| < 1; n is int32. (a, 0) for zeros, infinities and nan.

    Integers become float32. ValueError for complex numbers.

    >>> mx.frexp(mx.array([8.0, 0.75]))
    (array([0.5, 0.75], dtype=float32), array([4, 0], dtype=int32))
    """
    if stream is not None:
        require_stream("frexp", stream)
    value = real_operand("frexp", a)
    return elementwise(_MANTISSA, (value,)), elementwise(_EXPONENT, (value,), int32)


# Lengths


class Hypot(Elementwise):
    """sqrt(a**2 + b**2) in float64; extreme float64 numbers are scaled by a power of two first."""

    name = "Hypot"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        a, b = [builder.apply("abs", builder.cast(value, float64)) for value in args]
        infinity = builder.const(math.inf, float64)
        infinite = builder.apply("or", *[builder.apply("eq", value, infinity) for value in (a, b)])
        back = builder.const(1.0, float64)
        if args[0].dtype is float64:
            greatest = builder.apply("max", a, b)
            one = back
            for limit, op, power in ((2.0**500, "gt", -600), (2.0**-400, "lt", 600)):
                extreme = builder.apply(op, greatest, builder.const(limit, float64))
                scale = builder.select(extreme, builder.const(2.0**power, float64), one)
                back = builder.select(extreme, builder.const(2.0**-power, float64), back)
                a, b = builder.mul(a, scale), builder.mul(b, scale)
        length = builder.apply("sqrt", builder.fma(a, a, builder.mul(b, b)))
        result = builder.select(infinite, infinity, builder.mul(length, back))
        return builder.cast(result, args[0].dtype)

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return where(equal(output, 0), 0, divide(inputs[number], output))


_HYPOT = Hypot()


def hypot(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """sqrt(a**2 + b**2) without overflow; infinite with either. Its derivative at (0, 0) is 0.

    Integers become float32. ValueError for complex numbers.

    >>> mx.hypot(mx.array([3.0, 3e38]), mx.array([4.0, 0.0]))
    array([5, 3e+38], dtype=float32)
    """
    if stream is not None:
        require_stream("hypot", stream)
    return elementwise(_HYPOT, _real_operands("hypot", a, b))
