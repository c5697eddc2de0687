"""sin, cos, tan and their inverses.

Reduction: x = k pi/2 + r with |r| <= pi/4, by pi/2 in parts (Cody and Waite 1980); arguments beyond the reach
of the parts, which are rare, are left to the C library behind a guard. The inverse functions reduce by square
roots and by atan(t) = pi/4 + atan((t - 1) / (t + 1)).
"""

from __future__ import annotations

from tarry.base.dtypes import float32
from tarry.codegen import math_tables as tables
from tarry.codegen.math_builder import INFINITY, MathBuilder, format_of
from tarry.loops.ir import Instr

_TWO_OVER_PI = 0.6366197723675814
# pi/2 in parts of 33 bits: products with k < 2**20 are exact.
_PARTS = (1.5707963267341256, 6.077100506303966e-11, 2.0222662487111665e-21, 8.4784276603689e-32)
_REST_AFTER_FIRST = 6.077100506506192e-11
_SINGLE_PARTS = (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15)
_LIMIT_DOUBLE = 1.6e6
_LIMIT_SINGLE = 32768.0
PI = (3.141592653589793, 1.2246467991473532e-16)
HALF_PI = (1.5707963267948966, 6.123233995736766e-17)
QUARTER_PI = (0.7853981633974483, 3.061616997868383e-17)
_TAN_EIGHTH_PI = 0.41421356237309503


class Angle:
    """|x| = quadrant pi/2 + r + low; `huge` is where that does not hold."""

    __slots__ = ("huge", "low", "quadrant", "r")

    def __init__(self, quadrant: Instr, r: Instr, low: Instr | None, huge: Instr) -> None:
        self.quadrant = quadrant
        self.r = r
        self.low = low
        self.huge = huge


def _multiple(builder: MathBuilder, size: Instr) -> tuple[Instr, Instr]:
    """(k as an integral float, k in the low bits of an unsigned integer)."""
    magic = builder.number(format_of(size.dtype).magic, size)
    shifted = builder.fma(size, builder.number(_TWO_OVER_PI, size), magic)
    return builder.sub(shifted, magic), builder.bits_of(shifted)


def _reduce_short(builder: MathBuilder, size: Instr) -> Angle:
    k, quadrant = _multiple(builder, size)
    r = builder.fma(k, builder.number(-_PARTS[0], k), size)
    r = builder.fma(k, builder.number(-_REST_AFTER_FIRST, k), r)
    return Angle(quadrant, r, None, builder.above(size, _LIMIT_DOUBLE))


def _reduce_double(builder: MathBuilder, size: Instr) -> Angle:
    k, quadrant = _multiple(builder, size)
    r = builder.fma(k, builder.number(-_PARTS[0], k), size)
    r, low = builder.two_sum(r, builder.times(k, -_PARTS[1]))
    r, error = builder.two_sum(r, builder.times(k, -_PARTS[2]))
    low = builder.add(low, builder.fma(k, builder.number(-_PARTS[3], k), error))
    r, low = builder.fast_two_sum(r, low)
    return Angle(quadrant, r, low, builder.above(size, _LIMIT_DOUBLE))


def _reduce_single(builder: MathBuilder, size: Instr) -> Angle:
    if not builder.has_fma:  # the products would round: reduce in float64
        angle = _reduce_short(builder, builder.widen(size))
        quadrant = builder.cast(angle.quadrant, format_of(float32).bits)
        return Angle(quadrant, builder.narrow(angle.r), None, angle.huge)
    k, quadrant = _multiple(builder, size)
    r = size
    for part in _SINGLE_PARTS:
        r = builder.fma(k, builder.number(-part, k), r)
    return Angle(quadrant, r, None, builder.above(size, _LIMIT_SINGLE))


def _reduce(builder: MathBuilder, x: Instr, short: bool) -> Angle:
    size = builder.absolute(x)
    if x.dtype is float32:
        return _reduce_single(builder, size)
    return _reduce_short(builder, size) if short else _reduce_double(builder, size)


def _tables(angle: Angle) -> tuple[tables.Table, tables.Table]:
    if angle.r.dtype is float32:
        return tables.SIN_SINGLE, tables.COS_SINGLE
    if angle.low is None:
        return tables.SIN_SHORT, tables.COS_SHORT
    return tables.SIN_DOUBLE, tables.COS_DOUBLE


def _sine_of(builder: MathBuilder, angle: Angle) -> Instr:
    """sin(r + low)."""
    r = angle.r
    z = builder.mul(r, r)
    tail = builder.horner(z, _tables(angle)[0])
    cube = builder.mul(z, r)
    if angle.low is None:
        return builder.fma(cube, tail, r)
    # sin(r + low) = sin(r) + low cos(r), cos(r) = 1 - z/2 to the accuracy of low
    correction = builder.fma(builder.times(z, -0.5), angle.low, angle.low)
    return builder.add(r, builder.fma(cube, tail, correction))


def _cosine_of(builder: MathBuilder, angle: Angle) -> Instr:
    """cos(r + low)."""
    r = angle.r
    z = builder.mul(r, r)
    tail = builder.mul(builder.mul(z, z), builder.horner(z, _tables(angle)[1]))
    half = builder.times(z, 0.5)
    one = builder.number(1.0, r)
    if r.dtype is float32 or angle.low is None:
        return builder.add(builder.sub(one, half), tail)
    head = builder.sub(one, half)
    rest = builder.sub(builder.sub(one, head), half)
    return builder.add(head, builder.add(builder.sub(tail, builder.mul(r, angle.low)), rest))


def _huge_argument(builder: MathBuilder, function: str, x: Instr, huge: Instr, result: Instr) -> Instr:
    exact = builder.libm(function, huge, builder.widen(x))
    return builder.select(huge, builder.cast(exact, x.dtype), result)


def _bit(builder: MathBuilder, quadrant: Instr, bit: int) -> Instr:
    masked = builder.both(quadrant, builder.integer_like(bit, quadrant))
    return builder.apply("ne", masked, builder.integer_like(0, quadrant))


def _sign_from(builder: MathBuilder, quadrant: Instr) -> Instr:
    """Bit 1 of the quadrant as a sign bit."""
    distance = 8 * quadrant.dtype.size - 2
    sign = builder.apply("shl", quadrant, builder.integer_like(distance, quadrant))
    return builder.both(sign, builder.integer_like(2 << distance, quadrant))


def sine(builder: MathBuilder, x: Instr, short: bool = False) -> Instr:
    """sin; `short` as in math_exponential."""
    angle = _reduce(builder, x, short)
    odd = _bit(builder, angle.quadrant, 1)
    result = builder.select(odd, _cosine_of(builder, angle), _sine_of(builder, angle))
    sign = builder.apply("xor", _sign_from(builder, angle.quadrant), builder.sign_of(x))
    return _huge_argument(builder, "sin", x, angle.huge, builder.flip_sign(result, sign))


def cosine(builder: MathBuilder, x: Instr, short: bool = False) -> Instr:
    """cos."""
    angle = _reduce(builder, x, short)
    odd = _bit(builder, angle.quadrant, 1)
    result = builder.select(odd, _sine_of(builder, angle), _cosine_of(builder, angle))
    next_quadrant = builder.add(angle.quadrant, builder.integer_like(1, angle.quadrant))
    result = builder.flip_sign(result, _sign_from(builder, next_quadrant))
    return _huge_argument(builder, "cos", x, angle.huge, result)


def tangent(builder: MathBuilder, x: Instr) -> Instr:
    """tan = sin / cos of the reduced angle."""
    if x.dtype is float32:
        return builder.narrow(_tangent_double(builder, builder.widen(x), True))
    return _tangent_double(builder, x, False)


def _tangent_double(builder: MathBuilder, x: Instr, short: bool) -> Instr:
    angle = _reduce(builder, x, short)
    odd = _bit(builder, angle.quadrant, 1)
    sin, cos = _sine_of(builder, angle), _cosine_of(builder, angle)
    ratio = builder.div(builder.select(odd, cos, sin), builder.select(odd, sin, cos))
    # Odd quadrants have -cos / sin: bit 0 of the quadrant is the sign.
    doubled = builder.add(angle.quadrant, angle.quadrant)
    sign = builder.apply("xor", _sign_from(builder, doubled), builder.sign_of(x))
    return _huge_argument(builder, "tan", x, angle.huge, builder.flip_sign(ratio, sign))


class _Arcsine:
    """asin of a = |x| <= 1/2, or of a = sqrt((1 - |x|) / 2) where `large`, as the sum root + bend."""

    __slots__ = ("bend", "large", "root")

    def __init__(self, builder: MathBuilder, x: Instr, short: bool) -> None:
        size = builder.absolute(x)
        self.large = builder.above(size, 0.5)
        from_one = builder.times(builder.sub(builder.number(1.0, x), size), 0.5)
        z = builder.select(self.large, from_one, builder.mul(x, x))
        self.root = builder.select(self.large, builder.apply("sqrt", z), size)
        tail = builder.horner(z, tables.ASIN_SHORT if short else tables.ASIN_DOUBLE)
        self.bend = builder.mul(builder.mul(self.root, z), tail)


def _arcsine_double(builder: MathBuilder, x: Instr, short: bool) -> Instr:
    part = _Arcsine(builder, x, short)
    # pi/2 - 2 (root + bend), the rounding error of pi/2 - 2 root included
    rest = builder.plus(builder.add(part.bend, part.bend), -HALF_PI[1])
    doubled = builder.add(part.root, part.root)
    turned, error = builder.fast_two_sum(builder.number(HALF_PI[0], x), builder.neg(doubled))
    turned = builder.sub(turned, builder.sub(rest, error))
    small = builder.add(part.root, part.bend)
    return builder.with_sign_of(builder.select(part.large, turned, small), x)


def _arccosine_double(builder: MathBuilder, x: Instr, short: bool) -> Instr:
    part = _Arcsine(builder, x, short)
    angle = builder.add(part.root, part.bend)
    negative = builder.below(x, 0.0)
    signed = builder.select(negative, builder.neg(angle), angle)
    middle = builder.sub(builder.number(HALF_PI[0], x), builder.plus(signed, -HALF_PI[1]))
    doubled = builder.add(angle, angle)
    turned = builder.sub(builder.number(PI[0], x), builder.plus(doubled, -PI[1]))
    return builder.select(part.large, builder.select(negative, turned, doubled), middle)


def arcsine(builder: MathBuilder, x: Instr) -> Instr:
    """asin; NaN outside [-1, 1]."""
    if x.dtype is float32:
        return builder.narrow(_arcsine_double(builder, builder.widen(x), True))
    return _arcsine_double(builder, x, False)


def arccosine(builder: MathBuilder, x: Instr) -> Instr:
    """acos; NaN outside [-1, 1]."""
    if x.dtype is float32:
        return builder.narrow(_arccosine_double(builder, builder.widen(x), True))
    return _arccosine_double(builder, x, False)


def _arctangent_of_ratio(
    builder: MathBuilder, numerator: Instr, denominator: Instr, swapped: Instr, short: bool
) -> Instr:
    """atan(n / d), or pi/2 - atan(n / d) where swapped, of 0 <= n <= d, d > 0."""
    large = builder.apply("gt", numerator, builder.times(denominator, _TAN_EIGHTH_PI))
    n = builder.select(large, builder.sub(numerator, denominator), numerator)
    d = builder.select(large, builder.add(numerator, denominator), denominator)
    t = builder.div(n, d)
    z = builder.mul(t, t)
    tail = builder.horner(z, tables.ATAN_SHORT if short else tables.ATAN_DOUBLE)
    bend = builder.mul(builder.mul(t, z), tail)
    zero = builder.number(0.0, t)
    if short:
        angle = builder.add(t, bend)
        angle = builder.add(angle, builder.select(large, builder.number(QUARTER_PI[0], t), zero))
        return builder.select(swapped, builder.sub(builder.number(HALF_PI[0], t), angle), angle)
    # base + sign * (t + bend), with the bases in two parts
    sign = builder.sign_of(builder.select(swapped, builder.number(-1.0, t), builder.number(1.0, t)))
    t, bend = builder.flip_sign(t, sign), builder.flip_sign(bend, sign)
    base = []
    for quarter, half in zip(QUARTER_PI, HALF_PI):
        plain = builder.select(swapped, builder.number(half, t), zero)
        base.append(builder.select(large, builder.number(quarter, t), plain))
    return builder.add(base[0], builder.add(t, builder.add(bend, base[1])))


def _arctangent_double(builder: MathBuilder, x: Instr, short: bool) -> Instr:
    size = builder.absolute(x)
    swapped = builder.above(size, 1.0)
    one = builder.number(1.0, x)
    numerator = builder.select(swapped, one, size)
    denominator = builder.select(swapped, size, one)
    angle = _arctangent_of_ratio(builder, numerator, denominator, swapped, short)
    return builder.with_sign_of(angle, x)


def arctangent(builder: MathBuilder, x: Instr) -> Instr:
    """atan."""
    if x.dtype is float32:
        return builder.narrow(_arctangent_double(builder, builder.widen(x), True))
    return _arctangent_double(builder, x, False)


def arctangent2_double(builder: MathBuilder, y: Instr, x: Instr, short: bool) -> Instr:
    """atan2 of float64 values; short ones are float32 values."""
    x_size, y_size = builder.absolute(x), builder.absolute(y)
    one = builder.number(1.0, x)
    swapped = builder.apply("gt", y_size, x_size)
    numerator = builder.select(swapped, x_size, y_size)
    denominator = builder.select(swapped, y_size, x_size)
    if not short:  # their sum must not overflow
        huge = builder.above(denominator, 2.0**1000)
        factor = builder.select(huge, builder.number(2.0**-60, x), one)
        numerator, denominator = builder.mul(numerator, factor), builder.mul(denominator, factor)
    numerator = builder.select(builder.equals(numerator, INFINITY), one, numerator)
    degenerate = builder.either(
        builder.equals(denominator, 0.0),
        builder.both(builder.apply("eq", x_size, y_size), builder.equals(x_size, INFINITY)),
    )
    denominator = builder.select(degenerate, one, denominator)
    angle = _arctangent_of_ratio(builder, numerator, denominator, swapped, short)
    turned = builder.sub(builder.number(PI[0], x), builder.plus(angle, -PI[1]))
    angle = builder.select(builder.is_negative(x), turned, angle)
    unknown = builder.either(builder.is_nan(x), builder.is_nan(y))
    return builder.select(unknown, builder.add(x, y), builder.with_sign_of(angle, y))


def arctangent2(builder: MathBuilder, y: Instr, x: Instr) -> Instr:
    """The angle of the point (x, y) in (-pi, pi], with the signed zeros of C99."""
    if x.dtype is float32:
        return builder.narrow(arctangent2_double(builder, builder.widen(y), builder.widen(x), True))
    return arctangent2_double(builder, y, x, False)
