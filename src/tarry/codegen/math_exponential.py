"""exp, expm1, sigmoid, tanh, sinh and cosh.

Functions take a float32 or float64 value; `short` asks of float64 arithmetic no more than a float32 result
needs.
Reduction: x = k log(2) + r with |r| <= log(2)/2 (Cody and Waite 1980), exp(x) = 2**k exp(r).
"""

from __future__ import annotations

from tarry.base.dtypes import float32
from tarry.codegen import math_tables as tables
from tarry.codegen.math_builder import MathBuilder, format_of
from tarry.loops.ir import Instr

LOG2_E = 1.4426950408889634
# The high parts have so few bits that their product with any exponent is exact.
LN2_HIGH = 0.6931471803691238
LN2_LOW = 1.9082149292705877e-10
LN2 = 0.6931471805599453
LN2_HIGH_SINGLE = 0.693145751953125
LN2_LOW_SINGLE = 1.4286068203094173e-06


class Reduced:
    """x = k log(2) + r + rest; `shifted` holds k in its low bits."""

    __slots__ = ("r", "rest", "shifted")

    def __init__(self, shifted: Instr, r: Instr, rest: Instr) -> None:
        self.shifted = shifted
        self.r = r
        self.rest = rest


def _parts(builder: MathBuilder, x: Instr) -> tuple[Instr, Instr, Instr]:
    """(magic + k, k, x - k * high part of log(2))."""
    magic = builder.number(format_of(x.dtype).magic, x)
    shifted = builder.fma(x, builder.number(LOG2_E, x), magic)
    k = builder.sub(shifted, magic)
    high = LN2_HIGH_SINGLE if x.dtype is float32 else LN2_HIGH
    return shifted, k, builder.fma(k, builder.number(-high, x), x)


def reduce_exponent(builder: MathBuilder, x: Instr, low: Instr | None = None) -> Reduced:
    """Reduces the float64 x + low; what does not fit into r is in rest."""
    shifted, k, high = _parts(builder, x)
    small = builder.times(k, LN2_LOW)
    if low is not None:
        small = builder.sub(small, low)
    r = builder.sub(high, small)
    return Reduced(shifted, r, builder.sub(builder.sub(high, r), small))


def _table(x: Instr, short: bool) -> tables.Table:
    if x.dtype is float32:
        return tables.EXP_SINGLE
    return tables.EXP_SHORT if short else tables.EXP_DOUBLE


def _mantissa(builder: MathBuilder, x: Instr, short: bool) -> tuple[Instr, Instr]:
    """(exp(r), magic + k)."""
    shifted, k, high = _parts(builder, x)
    low = LN2_LOW_SINGLE if x.dtype is float32 else LN2_LOW
    r = builder.fma(k, builder.number(-low, x), high)
    tail = builder.fma(builder.mul(r, r), builder.horner(r, _table(x, short)), r)
    return builder.plus(tail, 1.0), shifted


def exponential(builder: MathBuilder, x: Instr, short: bool = False) -> Instr:
    """exp over the whole range, subnormal results included.

    When short, float64 results stop at exp(+-700): far outside what float32 holds.
    """
    if x.dtype is float32:
        x = builder.at_most(builder.at_least(x, -105.0), 90.0)
        return builder.scale(*_mantissa(builder, x, short))
    if short:
        x = builder.at_most(builder.at_least(x, -700.0), 700.0)
        return builder.scale_normal(*_mantissa(builder, x, short))
    x = builder.at_most(builder.at_least(x, -750.0), 711.0)
    return builder.scale(*_mantissa(builder, x, short))


def exponential_of_negative(builder: MathBuilder, x: Instr, lowest: float, short: bool = False) -> Instr:
    """exp of lowest <= x <= 0, where exp(lowest) is a normal number; smaller x give exp(lowest)."""
    return builder.scale_normal(*_mantissa(builder, builder.at_least(x, lowest), short))


def exponential_extended(builder: MathBuilder, x: Instr, low: Instr) -> Instr:
    """exp(x + low) in float64, for |low| no more than a rounding error of x."""
    inside = builder.both(builder.above(x, -750.0), builder.below(x, 711.0))
    low = builder.select(inside, low, builder.number(0.0, low))
    reduced = reduce_exponent(builder, builder.at_most(builder.at_least(x, -750.0), 711.0), low)
    r = reduced.r
    tail = builder.fma(builder.mul(r, r), builder.horner(r, tables.EXP_DOUBLE), reduced.rest)
    return builder.scale(builder.plus(builder.add(r, tail), 1.0), reduced.shifted)


def expm1_double(builder: MathBuilder, x: Instr, short: bool) -> Instr:
    # exp(x) - 1 = 2 (s (exp(r) - 1) + (s - 1/2)) with s = 2**(k-1), which does not overflow.
    clamped = builder.at_most(builder.at_least(x, -40.0), 709.9)
    reduced = reduce_exponent(builder, clamped)
    r = reduced.r
    tail = builder.fma(builder.mul(r, r), builder.horner(r, _table(x, short)), reduced.rest)
    half_power = builder.power_from_shifted(reduced.shifted, halvings=1)
    result = builder.fma(half_power, builder.add(r, tail), builder.plus(half_power, -0.5))
    result = builder.add(result, result)
    # Tiny arguments, among them -0 and subnormals, are their own result.
    return builder.select(builder.below(builder.absolute(x), 2.0**-54), x, result)


def expm1(builder: MathBuilder, x: Instr) -> Instr:
    """exp(x) - 1 without cancellation."""
    if x.dtype is float32:
        return _expm1_single(builder, x)
    return expm1_double(builder, x, False)


def _expm1_single(builder: MathBuilder, x: Instr) -> Instr:
    """2 (s e + (s - 1/2)) with exp(x) = 2 s (1 + e), where s does not overflow."""
    shifted, k, high = _parts(builder, builder.at_most(builder.at_least(x, -20.0), 89.0))
    r = builder.fma(k, builder.number(-LN2_LOW_SINGLE, x), high)
    e = builder.fma(builder.mul(r, r), builder.horner(r, tables.EXP_SINGLE), r)
    half_power = builder.power_from_shifted(shifted, halvings=1)
    result = builder.fma(half_power, e, builder.plus(half_power, -0.5))
    # Tiny arguments, among them -0 and subnormals, are their own result.
    return builder.select(builder.below(builder.absolute(x), 2.0**-25), x, builder.add(result, result))


def less_one_parts(builder: MathBuilder, x: Instr) -> tuple[Instr, Instr]:
    """(2**k, e) with exp(x) = 2**k (1 + e), for a float32 x whose 2**k is normal and k small.

    The rounded log(2) is so close that a small k times its error does not show.
    """
    magic = builder.number(format_of(x.dtype).magic, x)
    shifted = builder.fma(x, builder.number(LOG2_E, x), magic)
    r = builder.fma(builder.sub(shifted, magic), builder.number(-LN2, x), x)
    e = builder.fma(builder.mul(r, r), builder.horner(r, tables.EXP_SINGLE), r)
    return builder.power_from_shifted(shifted), e


def _precise_exponential(builder: MathBuilder, x: Instr) -> Instr:
    """exp(x), x <= 0, to little more than half an ulp: what rounding takes from r is put back."""
    single = x.dtype is float32
    shifted, k, high = _parts(builder, builder.at_least(x, -105.0 if single else -750.0))
    low = builder.number(-(LN2_LOW_SINGLE if single else LN2_LOW), x)
    r = builder.fma(k, low, high)
    rest = builder.fma(k, low, builder.sub(high, r))
    tail = builder.fma(builder.mul(r, r), builder.horner(r, _table(x, False)), rest)
    return builder.scale(builder.plus(builder.add(r, tail), 1.0), shifted)


def sigmoid(builder: MathBuilder, x: Instr) -> Instr:
    """1 / (1 + exp(-x)); for negative x as exp(x) / (1 + exp(x)), which reaches the subnormals."""
    one = builder.number(1.0, x)
    e = _precise_exponential(builder, builder.neg(builder.absolute(x)))
    negative = builder.below(x, 0.0)
    denominator = builder.add(one, e)
    quotient = builder.div(builder.select(negative, e, one), denominator)
    if x.dtype is float32:
        return quotient
    # The rounding error of 1 + e is divided by 1 + e too: 1 / (1 + e) is at hand.
    error = builder.sub(e, builder.plus(denominator, -1.0))
    reciprocal = builder.select(negative, builder.sub(one, quotient), quotient)
    return builder.fma(builder.mul(quotient, builder.neg(reciprocal)), error, quotient)


def tanh(builder: MathBuilder, x: Instr) -> Instr:
    """In float64 an odd polynomial below 0.6, 1 - 2 / (exp(2|x|) + 1) above."""
    if x.dtype is float32:
        return _tanh_single(builder, x)
    size = builder.absolute(x)
    z = builder.mul(x, x)
    small = builder.fma(builder.mul(size, z), builder.horner(z, tables.TANH_DOUBLE), size)
    doubled = builder.at_most(builder.add(size, size), 40.0)
    e = builder.scale_normal(*_mantissa(builder, doubled, False))
    large = builder.sub(builder.number(1.0, x), builder.div(builder.number(2.0, x), builder.plus(e, 1.0)))
    return builder.with_sign_of(builder.select(builder.below(size, 0.6), small, large), x)


def _tanh_single(builder: MathBuilder, x: Instr) -> Instr:
    """tanh(s + k log(2)/2) from t = tanh(s) and tanh(k log(2)/2) = (2**k - 1) / (2**k + 1).

    The theorem of addition gives one quotient, 2t / 2 for small x; no numerator is larger than its
    denominator. The rounded log(2)/2 is so close that k times its error does not show.
    """
    bounded = builder.at_most(builder.absolute(x), 10.0)
    magic = builder.number(format_of(x.dtype).magic, x)
    shifted = builder.fma(bounded, builder.number(2 * LOG2_E, x), magic)
    s = builder.fma(builder.sub(shifted, magic), builder.number(-0.5 * LN2, x), bounded)
    power = builder.power_from_shifted(shifted)
    less, more = builder.plus(power, -1.0), builder.plus(power, 1.0)
    z = builder.mul(s, s)
    t = builder.fma(builder.mul(s, z), builder.horner(z, tables.TANH_SINGLE), s)
    numerator = builder.fma(more, t, less)
    denominator = builder.fma(less, t, more)
    return builder.with_sign_of(builder.div(numerator, denominator), x)


def half_exponential(builder: MathBuilder, x: Instr, short: bool) -> Instr:
    """exp(x) / 2 for float64 x >= 0; it overflows no earlier than sinh and cosh do."""
    mantissa, shifted = _mantissa(builder, builder.at_most(x, 700.0 if short else 712.0), short)
    shifted = builder.plus(shifted, -1.0)
    return builder.scale_normal(mantissa, shifted) if short else builder.scale(mantissa, shifted)


def sinh_double(builder: MathBuilder, x: Instr, short: bool) -> Instr:
    size = builder.absolute(x)
    z = builder.mul(size, size)
    table = tables.SINH_SHORT if short else tables.SINH_DOUBLE
    small = builder.fma(builder.mul(size, z), builder.horner(z, table), size)
    half = half_exponential(builder, size, short)
    large = builder.sub(half, builder.div(builder.number(0.25, x), half))
    return builder.with_sign_of(builder.select(builder.below(size, 1.0), small, large), x)


def cosh_double(builder: MathBuilder, x: Instr, short: bool) -> Instr:
    half = half_exponential(builder, builder.absolute(x), short)
    return builder.add(half, builder.div(builder.number(0.25, x), half))


def sinh(builder: MathBuilder, x: Instr) -> Instr:
    """An odd polynomial below 1, (exp(|x|) - exp(-|x|)) / 2 above."""
    if x.dtype is float32:
        return builder.narrow(sinh_double(builder, builder.widen(x), True))
    return sinh_double(builder, x, False)


def cosh(builder: MathBuilder, x: Instr) -> Instr:
    """(exp(|x|) + exp(-|x|)) / 2."""
    if x.dtype is float32:
        return builder.narrow(cosh_double(builder, builder.widen(x), True))
    return cosh_double(builder, x, False)
