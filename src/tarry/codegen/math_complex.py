"""Elementary functions of complex64 numbers, as pairs of float32.

Functions of pairs of float64 do the work: no square of a float32 overflows there, and the 29 extra bits
absorb the cancellation. Branch cuts follow the signs of zeros as in C99 (and NumPy); the inverse functions
are those of W. Kahan, "Branch cuts for complex elementary functions" (1987). Infinite and NaN parts have the
results of C99, annex G.6: a part is known where the other one does not matter.
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
_HALF_PI = 1.5707963267948966


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


# special values


def _is_infinite(builder: MathBuilder, x: Instr) -> Instr:
    return builder.equals(builder.absolute(x), INFINITY)


def _any_infinite(builder: MathBuilder, z: Pair) -> Instr:
    return builder.either(_is_infinite(builder, z[0]), _is_infinite(builder, z[1]))


def _is_extreme(builder: MathBuilder, x: Instr) -> Instr:
    """Whether x is 0 or infinite, that is, its own double."""
    return builder.apply("eq", builder.add(x, x), x)


def _put(builder: MathBuilder, where: Instr, value: float, otherwise: Instr) -> Instr:
    return builder.select(where, builder.number(value, otherwise), otherwise)


def _put_signed(builder: MathBuilder, where: Instr, value: float, signed: Instr, otherwise: Instr) -> Instr:
    """The value with the sign of `signed` where the condition holds."""
    return builder.select(where, builder.with_sign_of(builder.number(value, signed), signed), otherwise)


def _bounded(builder: MathBuilder, z: Pair, limit: float) -> Pair:
    """Larger parts, and infinite ones, at the limit."""
    return (
        builder.at_most(builder.at_least(z[0], -limit), limit),
        builder.at_most(builder.at_least(z[1], -limit), limit),
    )


# arithmetic


def multiply(builder: MathBuilder, a: Pair, b: Pair) -> Pair:
    real = builder.sub(builder.mul(a[0], b[0]), builder.mul(a[1], b[1]))
    return real, builder.add(builder.mul(a[0], b[1]), builder.mul(a[1], b[0]))


def divide(builder: MathBuilder, a: Pair, b: Pair) -> Pair:
    """a / b (R. Smith 1962); by infinities 0, by zero the parts of `a` times an infinity."""
    sizes = builder.absolute(b[0]), builder.absolute(b[1])
    turned = builder.either(builder.apply("lt", *sizes), builder.equals(sizes[1], INFINITY))
    major, minor = builder.select(turned, b[1], b[0]), builder.select(turned, b[0], b[1])
    minor = _put_signed(builder, _is_infinite(builder, major), 0.0, minor, minor)
    is_zero = builder.equals(builder.add(*sizes), 0.0)
    ratio = _put(builder, is_zero, 0.0, builder.div(minor, major))
    scale = builder.div(builder.number(1.0, major), builder.add(major, builder.mul(minor, ratio)))
    scale = _put(builder, is_zero, INFINITY, builder.absolute(scale))
    # (a0 + a1 i)(b0 - b1 i) divided by the major part. Its sign goes to `a`, so that zeros keep theirs.
    sign = builder.sign_of(major)
    a = builder.flip_sign(a[0], sign), builder.flip_sign(a[1], sign)
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
    t = _put(builder, builder.either(infinite, builder.equals(size, INFINITY)), INFINITY, t)
    real = builder.select(negative, builder.absolute(other), t)
    imaginary = builder.select(negative, builder.with_sign_of(t, y), other)
    return real, imaginary


# exponential and hyperbolic functions


# An angle that is infinite or NaN has NaN for its sine and cosine. They are replaced where the direction of
# the result does not matter. exp, sinh and cosh stay finite here (see `exponential`): a sine of 0 times them
# is 0.


def exp(builder: MathBuilder, z: Pair) -> Pair:
    """exp(x) cos(y) + i exp(x) sin(y)."""
    x, y = z
    size = exponential.exponential(builder, x, short=True)
    cosine, sine = _cosine(builder, y), _sine(builder, y)
    unknown = builder.is_nan(cosine)
    cosine = _put(builder, builder.both(unknown, _is_infinite(builder, x)), 1.0, cosine)
    sine = _put_signed(builder, builder.both(unknown, builder.equals(x, -INFINITY)), 0.0, y, sine)
    imaginary = builder.select(builder.equals(y, 0.0), y, builder.mul(size, sine))
    return builder.mul(size, cosine), imaginary


def expm1(builder: MathBuilder, z: Pair) -> Pair:
    """expm1(x) cos(y) - 2 sin(y/2)**2 + i exp(x) sin(y)."""
    x, y = z
    half = _sine(builder, builder.times(y, 0.5))
    rest = builder.times(builder.mul(half, half), -2.0)
    less, cosine = exponential.expm1_double(builder, x, True), _cosine(builder, y)
    directed = builder.fma(less, cosine, rest)
    undirected = builder.both(builder.is_nan(cosine), _is_infinite(builder, x))
    return builder.select(undirected, less, directed), exp(builder, z)[1]


def sigmoid(builder: MathBuilder, z: Pair) -> Pair:
    e = exp(builder, _negated(builder, z))
    return reciprocal(builder, (builder.plus(e[0], 1.0), e[1]))


def sinh(builder: MathBuilder, z: Pair) -> Pair:
    """sinh(x) cos(y) + i cosh(x) sin(y)."""
    x, y = z
    cosine, sine = _cosine(builder, y), _sine(builder, y)
    undirected = builder.both(builder.is_nan(cosine), _is_extreme(builder, x))
    real = builder.mul(_sinh(builder, x), _put(builder, undirected, 1.0, cosine))
    imaginary = builder.mul(_cosh(builder, x), sine)
    return real, builder.select(builder.equals(y, 0.0), y, imaginary)


def cosh(builder: MathBuilder, z: Pair) -> Pair:
    """cosh(x) cos(y) + i sinh(x) sin(y)."""
    x, y = z
    cosine, sine = _cosine(builder, y), _sine(builder, y)
    unknown = builder.is_nan(cosine)
    cosine = _put(builder, builder.both(unknown, _is_infinite(builder, x)), 1.0, cosine)
    sine = builder.select(builder.both(unknown, builder.equals(x, 0.0)), x, sine)
    imaginary = builder.mul(_sinh(builder, x), sine)
    flat = builder.both(builder.is_nan(x), builder.equals(y, 0.0))
    return builder.mul(_cosh(builder, x), cosine), builder.select(flat, y, imaginary)


def tanh(builder: MathBuilder, z: Pair) -> Pair:
    """(sinh(x) cosh(x) + i sin(y) cos(y)) / (cos(y)**2 + sinh(x)**2)."""
    x, y = builder.at_most(builder.at_least(z[0], -150.0), 150.0), z[1]
    sinh_x, cosh_x = _sinh(builder, x), _cosh(builder, x)
    cosine, sine = _cosine(builder, y), _sine(builder, y)
    unknown = builder.is_nan(cosine)
    cosine = _put(builder, builder.both(unknown, _is_extreme(builder, z[0])), 1.0, cosine)
    sine = _put_signed(builder, builder.both(unknown, _is_infinite(builder, z[0])), 0.0, y, sine)
    denominator = builder.fma(cosine, cosine, builder.mul(sinh_x, sinh_x))
    real = builder.div(builder.mul(sinh_x, cosh_x), denominator)
    imaginary = builder.div(builder.mul(sine, cosine), denominator)
    return real, builder.select(builder.equals(y, 0.0), y, imaginary)


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
    infinite = builder.either(builder.equals(sizes[0], INFINITY), builder.equals(sizes[1], INFINITY))
    real = _put(builder, infinite, INFINITY, _log_modulus(builder, square, near, excess))
    return real, _atan2(builder, z[1], z[0])


def log1p(builder: MathBuilder, z: Pair) -> Pair:
    x, y = z
    one_more = builder.plus(x, 1.0)
    height = builder.mul(y, y)
    square = builder.fma(one_more, one_more, height)
    excess = builder.fma(x, builder.plus(x, 2.0), height)
    near = builder.both(builder.above(square, 0.5), builder.below(square, 2.0))
    real = _log_modulus(builder, square, near, excess)
    return _put(builder, _any_infinite(builder, z), INFINITY, real), _atan2(builder, y, one_more)


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


# Infinities act as numbers so large that finite parts are nothing beside them, and whose squares are finite.
_LARGE = 1e60


def _roots(builder: MathBuilder, z: Pair) -> tuple[Pair, Pair]:
    """(sqrt(1 - z), sqrt(1 + z))."""
    one = builder.number(1.0, z[0])
    minus = square_root(builder, (builder.sub(one, z[0]), builder.neg(z[1])))
    return minus, square_root(builder, (builder.add(one, z[0]), z[1]))


def asin(builder: MathBuilder, z: Pair) -> Pair:
    x, y = bounded = _bounded(builder, z, _LARGE)
    minus, plus = _roots(builder, bounded)
    real = _atan2(builder, x, multiply(builder, minus, plus)[0])
    real = builder.select(builder.equals(x, 0.0), x, real)
    conjugate = minus[0], builder.neg(minus[1])
    imaginary = _asinh(builder, multiply(builder, conjugate, plus)[1])
    return real, _put_signed(builder, _any_infinite(builder, z), INFINITY, y, imaginary)


def acos(builder: MathBuilder, z: Pair) -> Pair:
    x, y = bounded = _bounded(builder, z, _LARGE)
    minus, plus = _roots(builder, bounded)
    real = builder.times(_atan2(builder, minus[0], plus[0]), 2.0)
    real = _put(builder, builder.equals(x, 0.0), _HALF_PI, real)
    conjugate = plus[0], builder.neg(plus[1])
    imaginary = _asinh(builder, multiply(builder, conjugate, minus)[1])
    return real, _put_signed(builder, _any_infinite(builder, z), INFINITY, builder.neg(y), imaginary)


def acosh(builder: MathBuilder, z: Pair) -> Pair:
    """i acos(z) or -i acos(z), whichever has a real part that is not negative."""
    angle, height = acos(builder, z)
    return builder.absolute(height), builder.with_sign_of(angle, z[1])


def asinh(builder: MathBuilder, z: Pair) -> Pair:
    return _times_minus_i(builder, asin(builder, _times_i(builder, z)))


def atanh(builder: MathBuilder, z: Pair) -> Pair:
    """log1p(4x / ((1 - x)**2 + y**2)) / 4 + i atan2(2y, (1 - x)(1 + x) - y**2) / 2 for x >= 0; it is odd."""
    bounded = _bounded(builder, z, _LARGE)
    x, y = builder.absolute(bounded[0]), bounded[1]
    below_one = builder.sub(builder.number(1.0, x), x)
    height = builder.mul(y, y)
    square = builder.fma(below_one, below_one, height)
    ratio = builder.div(builder.times(x, 4.0), square)
    real = builder.times(logarithm.log1p_double(builder, ratio, True), 0.25)
    far = _is_infinite(builder, z[1])
    real = _put(builder, builder.either(far, _is_extreme(builder, z[0])), 0.0, real)
    width = builder.sub(builder.mul(below_one, builder.plus(x, 1.0)), height)
    imaginary = builder.times(_atan2(builder, builder.add(y, y), width), 0.5)
    return builder.with_sign_of(real, z[0]), _put_signed(builder, far, _HALF_PI, z[1], imaginary)


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
