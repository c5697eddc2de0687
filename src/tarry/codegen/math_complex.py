"""Elementary functions of complex64 numbers, as pairs of float32.

Functions of pairs of float64 do the work: no square of a float32 overflows there, and the 29 extra bits
absorb the cancellation. Branch cuts follow the signs of zeros as in C99 (and NumPy); the inverse functions
are those of W. Kahan, "Branch cuts for complex elementary functions" (1987).
"""

from __future__ import annotations

from collections.abc import Callable

from tarry.base.dtypes import float32
from tarry.codegen import math_exponential as exponential
from tarry.codegen import math_logarithm as logarithm
from tarry.codegen import math_trigonometry as trigonometry
from tarry.codegen.math_builder import INFINITY, NAN, MathBuilder
from tarry.loops.ir import Instr

Pair = tuple[Instr, Instr]
_LN2 = 0.6931471805599453
_LN10 = 2.302585092994046


def _times(builder: MathBuilder, z: Pair, factor: float) -> Pair:
    return builder.times(z[0], factor), builder.times(z[1], factor)


def _negated(builder: MathBuilder, z: Pair) -> Pair:
    return builder.neg(z[0]), builder.neg(z[1])


def _sine(builder: MathBuilder, x: Instr) -> Instr:
    return trigonometry.sine(builder, x, short=True)


def _cosine(builder: MathBuilder, x: Instr) -> Instr:
    return trigonometry.cosine(builder, x, short=True)


def _sinh(builder: MathBuilder, x: Instr) -> Instr:
    return exponential.sinh_double(builder, x, True)


def _cosh(builder: MathBuilder, x: Instr) -> Instr:
    return exponential.cosh_double(builder, x, True)


def _asinh(builder: MathBuilder, x: Instr) -> Instr:
    return logarithm.asinh_double(builder, x, True)


def _atan2(builder: MathBuilder, y: Instr, x: Instr) -> Instr:
    return trigonometry.arctangent2_double(builder, y, x, True)


# arithmetic


def multiply(builder: MathBuilder, a: Pair, b: Pair) -> Pair:
    real = builder.sub(builder.mul(a[0], b[0]), builder.mul(a[1], b[1]))
    return real, builder.add(builder.mul(a[0], b[1]), builder.mul(a[1], b[0]))


def divide(builder: MathBuilder, a: Pair, b: Pair) -> Pair:
    """a / b (R. Smith 1962: infinite denominators give 0); by zero, the parts of `a` are divided by 0."""
    sizes = builder.absolute(b[0]), builder.absolute(b[1])
    turned = builder.apply("lt", sizes[0], sizes[1])
    major, minor = builder.select(turned, b[1], b[0]), builder.select(turned, b[0], b[1])
    zero = builder.number(0.0, major)
    is_zero = builder.equals(major, 0.0)
    ratio = builder.select(is_zero, zero, builder.div(minor, major))
    scale = builder.div(builder.number(1.0, major), builder.add(major, builder.mul(minor, ratio)))
    scale = builder.select(is_zero, builder.number(INFINITY, major), scale)
    # (a0 + a1 i)(b0 - b1 i) divided by the major part
    first, second = builder.mul(a[0], ratio), builder.mul(a[1], ratio)
    real = builder.select(turned, builder.add(first, a[1]), builder.add(a[0], second))
    imaginary = builder.select(turned, builder.sub(second, a[0]), builder.sub(a[1], first))
    return builder.mul(real, scale), builder.mul(imaginary, scale)


def reciprocal(builder: MathBuilder, z: Pair) -> Pair:
    return divide(builder, (builder.number(1.0, z[0]), builder.number(0.0, z[0])), z)


def square_root(builder: MathBuilder, z: Pair) -> Pair:
    """t = sqrt((|x| + |z|) / 2) is one part of the root, y / 2t the other."""
    x, y = z
    size = builder.absolute(x)
    modulus = builder.apply("sqrt", builder.fma(x, x, builder.mul(y, y)))
    t = builder.apply("sqrt", builder.times(builder.add(size, modulus), 0.5))
    other = builder.div(y, builder.add(t, t))
    # A zero has no quotient, and infinities have none that C99 wants.
    other = builder.select(builder.equals(t, 0.0), y, other)
    height = builder.absolute(y)
    infinite = builder.equals(height, INFINITY)
    other = builder.select(infinite, y, other)
    negative = builder.both(builder.is_negative(x), builder.logical_not(infinite))
    t = builder.select(infinite, height, t)
    real = builder.select(negative, builder.absolute(other), t)
    imaginary = builder.select(negative, builder.with_sign_of(t, y), other)
    return real, imaginary


# exponential and hyperbolic functions


def exp(builder: MathBuilder, z: Pair) -> Pair:
    size = exponential.exponential(builder, z[0], short=True)
    imaginary = builder.mul(size, _sine(builder, z[1]))
    return builder.mul(size, _cosine(builder, z[1])), imaginary


def expm1(builder: MathBuilder, z: Pair) -> Pair:
    """expm1(x) cos(y) - 2 sin(y/2)**2 + i exp(x) sin(y)."""
    half = _sine(builder, builder.times(z[1], 0.5))
    rest = builder.times(builder.mul(half, half), -2.0)
    real = builder.fma(exponential.expm1_double(builder, z[0], True), _cosine(builder, z[1]), rest)
    return real, exp(builder, z)[1]


def sigmoid(builder: MathBuilder, z: Pair) -> Pair:
    e = exp(builder, _negated(builder, z))
    return reciprocal(builder, (builder.plus(e[0], 1.0), e[1]))


def sinh(builder: MathBuilder, z: Pair) -> Pair:
    real = builder.mul(_sinh(builder, z[0]), _cosine(builder, z[1]))
    return real, builder.mul(_cosh(builder, z[0]), _sine(builder, z[1]))


def cosh(builder: MathBuilder, z: Pair) -> Pair:
    real = builder.mul(_cosh(builder, z[0]), _cosine(builder, z[1]))
    return real, builder.mul(_sinh(builder, z[0]), _sine(builder, z[1]))


def tanh(builder: MathBuilder, z: Pair) -> Pair:
    """(sinh(x) cosh(x) + i sin(y) cos(y)) / (cos(y)**2 + sinh(x)**2)."""
    x = builder.at_most(builder.at_least(z[0], -150.0), 150.0)
    sinh_x, cosh_x = _sinh(builder, x), _cosh(builder, x)
    sin_y, cos_y = _sine(builder, z[1]), _cosine(builder, z[1])
    denominator = builder.fma(cos_y, cos_y, builder.mul(sinh_x, sinh_x))
    real = builder.div(builder.mul(sinh_x, cosh_x), denominator)
    return real, builder.div(builder.mul(sin_y, cos_y), denominator)


def _times_i(builder: MathBuilder, z: Pair) -> Pair:
    return builder.neg(z[1]), z[0]


def _times_minus_i(builder: MathBuilder, z: Pair) -> Pair:
    return z[1], builder.neg(z[0])


def sin(builder: MathBuilder, z: Pair) -> Pair:
    return _times_minus_i(builder, sinh(builder, _times_i(builder, z)))


def cos(builder: MathBuilder, z: Pair) -> Pair:
    return cosh(builder, _times_i(builder, z))


def tan(builder: MathBuilder, z: Pair) -> Pair:
    return _times_minus_i(builder, tanh(builder, _times_i(builder, z)))


# logarithms and inverse functions


def _log_modulus(builder: MathBuilder, square: Instr, near: Instr, excess: Instr) -> Instr:
    """log(square) / 2; where `near`, square is 1 + excess and the excess is the exact part."""
    u, rest = builder.two_sum(builder.number(1.0, excess), excess)
    u = builder.select(near, u, square)
    rest = builder.select(near, rest, builder.number(0.0, rest))
    return builder.times(logarithm.logarithm_of_sum(builder, u, rest, True), 0.5)


def log(builder: MathBuilder, z: Pair) -> Pair:
    sizes = builder.absolute(z[0]), builder.absolute(z[1])
    turned = builder.apply("lt", sizes[0], sizes[1])
    major = builder.select(turned, sizes[1], sizes[0])
    minor = builder.select(turned, sizes[0], sizes[1])
    square = builder.fma(minor, minor, builder.mul(major, major))
    # Near |z| = 1: |z|**2 - 1 = (major - 1)(major + 1) + minor**2, where both products are exact.
    excess = builder.mul(builder.plus(major, -1.0), builder.plus(major, 1.0))
    excess = builder.fma(minor, minor, excess)
    near = builder.both(builder.above(square, 0.5), builder.below(square, 2.0))
    infinite = builder.equals(major, INFINITY)  # even beside a NaN
    real = builder.select(infinite, major, _log_modulus(builder, square, near, excess))
    return real, _atan2(builder, z[1], z[0])


def log1p(builder: MathBuilder, z: Pair) -> Pair:
    x, y = z
    one_more = builder.plus(x, 1.0)
    height = builder.mul(y, y)
    square = builder.fma(one_more, one_more, height)
    excess = builder.fma(x, builder.plus(x, 2.0), height)
    near = builder.both(builder.above(square, 0.5), builder.below(square, 2.0))
    return _log_modulus(builder, square, near, excess), _atan2(builder, y, one_more)


def log2(builder: MathBuilder, z: Pair) -> Pair:
    return _times(builder, log(builder, z), 1.0 / _LN2)


def log10(builder: MathBuilder, z: Pair) -> Pair:
    return _times(builder, log(builder, z), 1.0 / _LN10)


def logaddexp(builder: MathBuilder, a: Pair, b: Pair) -> Pair:
    """m + log1p(exp(n - m)), where m has the greater real part."""
    turned = builder.apply("lt", a[0], b[0])
    major = builder.select(turned, b[0], a[0]), builder.select(turned, b[1], a[1])
    minor = builder.select(turned, a[0], b[0]), builder.select(turned, a[1], b[1])
    same = builder.apply("eq", major[0], minor[0])  # equal infinities have no difference
    distance = builder.select(same, builder.number(0.0, a[0]), builder.sub(minor[0], major[0]))
    rest = log1p(builder, exp(builder, (distance, builder.sub(minor[1], major[1]))))
    return builder.add(major[0], rest[0]), builder.add(major[1], rest[1])


def _roots(builder: MathBuilder, z: Pair) -> tuple[Pair, Pair]:
    """(sqrt(1 - z), sqrt(1 + z))."""
    one = builder.number(1.0, z[0])
    minus = square_root(builder, (builder.sub(one, z[0]), builder.neg(z[1])))
    return minus, square_root(builder, (builder.add(one, z[0]), z[1]))


def asin(builder: MathBuilder, z: Pair) -> Pair:
    minus, plus = _roots(builder, z)
    real = _atan2(builder, z[0], multiply(builder, minus, plus)[0])
    conjugate = minus[0], builder.neg(minus[1])
    return real, _asinh(builder, multiply(builder, conjugate, plus)[1])


def acos(builder: MathBuilder, z: Pair) -> Pair:
    minus, plus = _roots(builder, z)
    real = builder.times(_atan2(builder, minus[0], plus[0]), 2.0)
    conjugate = plus[0], builder.neg(plus[1])
    return real, _asinh(builder, multiply(builder, conjugate, minus)[1])


def acosh(builder: MathBuilder, z: Pair) -> Pair:
    minus = square_root(builder, (builder.plus(z[0], -1.0), z[1]))
    plus = square_root(builder, (builder.plus(z[0], 1.0), z[1]))
    conjugate = minus[0], builder.neg(minus[1])
    real = _asinh(builder, multiply(builder, conjugate, plus)[0])
    return real, builder.times(_atan2(builder, minus[1], plus[0]), 2.0)


def asinh(builder: MathBuilder, z: Pair) -> Pair:
    return _times_minus_i(builder, asin(builder, _times_i(builder, z)))


def atanh(builder: MathBuilder, z: Pair) -> Pair:
    """log1p(4x / ((1 - x)**2 + y**2)) / 4 + i atan2(2y, (1 - x)(1 + x) - y**2) / 2 for x >= 0; it is odd."""
    x = builder.at_most(builder.absolute(z[0]), 1e60)  # squares of larger numbers overflow
    y = builder.at_most(builder.at_least(z[1], -1e60), 1e60)
    below_one = builder.sub(builder.number(1.0, x), x)
    height = builder.mul(y, y)
    square = builder.fma(below_one, below_one, height)
    ratio = builder.div(builder.times(x, 4.0), square)
    real = builder.times(logarithm.log1p_double(builder, ratio, True), 0.25)
    width = builder.sub(builder.mul(below_one, builder.plus(x, 1.0)), height)
    imaginary = builder.times(_atan2(builder, builder.add(y, y), width), 0.5)
    return builder.with_sign_of(real, z[0]), imaginary


def atan(builder: MathBuilder, z: Pair) -> Pair:
    return _times_minus_i(builder, atanh(builder, _times_i(builder, z)))


def rsqrt(builder: MathBuilder, z: Pair) -> Pair:
    return reciprocal(builder, square_root(builder, z))


def power(builder: MathBuilder, a: Pair, b: Pair) -> Pair:
    """exp(b log(a)); a**0 = 1, and 0**b is 0 for Re b > 0 and else NaN."""
    result = exp(builder, multiply(builder, b, log(builder, a)))
    zero = builder.number(0.0, a[0])
    base_zero = builder.both(builder.equals(a[0], 0.0), builder.equals(a[1], 0.0))
    at_zero = builder.select(builder.above(b[0], 0.0), zero, builder.number(NAN, zero))
    constant = builder.both(builder.equals(b[0], 0.0), builder.equals(b[1], 0.0))
    real = builder.select(base_zero, at_zero, result[0])
    imaginary = builder.select(base_zero, at_zero, result[1])
    real = builder.select(constant, builder.number(1.0, zero), real)
    return real, builder.select(constant, zero, imaginary)


UNARY: dict[str, Callable[[MathBuilder, Pair], Pair]] = {
    "sqrt": square_root, "rsqrt": rsqrt, "exp": exp, "expm1": expm1, "sigmoid": sigmoid,
    "log": log, "log1p": log1p, "log2": log2, "log10": log10,
    "sin": sin, "cos": cos, "tan": tan, "sinh": sinh, "cosh": cosh, "tanh": tanh,
    "asin": asin, "acos": acos, "atan": atan, "asinh": asinh, "acosh": acosh, "atanh": atanh,
}  # fmt: skip
BINARY: dict[str, Callable[[MathBuilder, Pair, Pair], Pair]] = {
    "div": divide, "pow": power, "logaddexp": logaddexp,
}  # fmt: skip


def in_float64(builder: MathBuilder, op: str, pairs: list[Pair]) -> Pair:
    """The function `op` of float32 pairs, computed in float64."""
    wide = [(builder.widen(real), builder.widen(imaginary)) for real, imaginary in pairs]
    if op in UNARY:
        result = UNARY[op](builder, wide[0])
    elif op in BINARY:
        result = BINARY[op](builder, wide[0], wide[1])
    else:
        raise TypeError(f"[{op}] does not take complex64; a floating-point dtype was expected.")
    return builder.cast(result[0], float32), builder.cast(result[1], float32)
