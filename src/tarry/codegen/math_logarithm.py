"""log, log1p, log2, log10, logaddexp, the inverse hyperbolic functions and pow.

x = 2**k m with sqrt(1/2) <= m < sqrt(2), f = m - 1. In float64, log(1 + f) = 2 atanh(s) with s = f / (2 + f)
(the form of W. J. Cody's and fdlibm's logarithms); in float32 a polynomial in f.
"""

from __future__ import annotations

import math

from tarry.base.dtypes import float32, float64, uint32
from tarry.codegen import math_tables as tables
from tarry.codegen.math_builder import INFINITY, NAN, MathBuilder, format_of
from tarry.codegen.math_exponential import (
    LN2_HIGH,
    LN2_HIGH_SINGLE,
    LN2_LOW,
    LN2_LOW_SINGLE,
    exponential,
    exponential_extended,
)
from tarry.loops.ir import Instr

_SMALLEST_NORMAL = {float32: 2.0**-126, float64: 2.0**-1022}
_SQRT_HALF_BITS = {float32: 0x3F3504F3, float64: 0x3FE6A09E667F3BCD}
_EXTRA = 1 << 10  # added to exponents to keep them positive
_THIRD = (0.3333333333333333, 1.850371707708594e-17)
_LOG2_E = (1.4426950408889634, 2.0355273740931033e-17)
_LOG10_E = (0.4342944819032518, 1.098319650216765e-17)
_LN2 = math.log(2.0)


def _decompose(builder: MathBuilder, x: Instr, subnormals: bool = True) -> tuple[Instr, Instr]:
    """(k, m) of a positive finite x, both in its dtype."""
    form = format_of(x.dtype)
    width = form.mantissa_bits
    extra = _EXTRA if x.dtype is float64 else _EXTRA >> 3
    bias = builder.number(2.0**width + extra, x)
    if subnormals:
        tiny = builder.below(x, _SMALLEST_NORMAL[x.dtype])
        x = builder.select(tiny, builder.times(x, 2.0**54), x)
        bias = builder.select(tiny, builder.number(2.0**width + extra + 54, x), bias)
    bits = builder.bits_of(x)
    start = _SQRT_HALF_BITS[x.dtype]
    moved = builder.sub(bits, builder.integer_like(start - (extra << width), bits))
    mantissa = builder.both(moved, builder.integer_like((1 << width) - 1, bits))
    m = builder.bitcast(builder.add(mantissa, builder.integer_like(start, bits)), x.dtype)
    exponent = builder.apply("shr", moved, builder.integer_like(width, bits))
    exponent = builder.either(exponent, builder.integer_like((form.bias + width) << width, bits))
    return builder.sub(builder.bitcast(exponent, x.dtype), bias), m


def _with_edges(builder: MathBuilder, x: Instr, result: Instr) -> Instr:
    """log's values at 0, infinity, negative numbers and NaN put over `result`."""
    result = builder.select(builder.equals(x, INFINITY), x, result)
    result = builder.select(builder.equals(x, 0.0), builder.number(-INFINITY, x), result)
    return builder.select(builder.apply("ge", x, builder.number(0.0, x)), result, builder.number(NAN, x))


def _log_double(builder: MathBuilder, k: Instr, f: Instr, short: bool) -> Instr:
    """k log(2) + log(1 + f)."""
    s = builder.div(f, builder.plus(f, 2.0))
    z = builder.mul(s, s)
    tail = builder.mul(z, builder.horner(z, tables.LOG_SHORT if short else tables.LOG_DOUBLE))
    half_square = builder.mul(builder.times(f, 0.5), f)
    low = builder.fma(s, builder.add(half_square, tail), builder.times(k, LN2_LOW))
    rest = builder.sub(builder.sub(half_square, low), f)
    return builder.sub(builder.times(k, LN2_HIGH), rest)


def logarithm(builder: MathBuilder, x: Instr, short: bool = False) -> Instr:
    """The natural logarithm; when short, x is a float32 value (or far from subnormal) in float64."""
    if x.dtype is float64:
        k, m = _decompose(builder, x, subnormals=not short)
        return _with_edges(builder, x, _log_double(builder, k, builder.plus(m, -1.0), short))
    k, m = _decompose(builder, x)
    f = builder.plus(m, -1.0)
    square = builder.mul(f, f)
    low = builder.mul(builder.mul(square, f), builder.horner(f, tables.LOG_SINGLE))
    low = builder.fma(k, builder.number(LN2_LOW_SINGLE, x), low)
    low = builder.fma(square, builder.number(-0.5, x), low)
    return _with_edges(builder, x, builder.fma(k, builder.number(LN2_HIGH_SINGLE, x), builder.add(low, f)))


def logarithm_of_sum(builder: MathBuilder, u: Instr, rest: Instr, short: bool) -> Instr:
    """log(u + rest) in float64, for `rest` no more than a rounding error of u; u < 2**54 if it counts."""
    k, m = _decompose(builder, u, subnormals=False)
    correction = builder.mul(rest, builder.power_of_two(builder.neg(k)))
    correction = builder.select(builder.below(u, 2.0**54), correction, builder.number(0.0, u))
    f = builder.add(builder.plus(m, -1.0), correction)
    return _with_edges(builder, u, _log_double(builder, k, f, short))


def log1p_double(builder: MathBuilder, x: Instr, short: bool) -> Instr:
    u, rest = builder.two_sum(builder.number(1.0, x), x)
    result = logarithm_of_sum(builder, u, rest, short)
    # Tiny arguments, among them -0 and subnormals, are their own result.
    return builder.select(builder.below(builder.absolute(x), 2.0**-54), x, result)


def log1p(builder: MathBuilder, x: Instr) -> Instr:
    """log(1 + x) without the rounding of 1 + x."""
    if x.dtype is float32:
        return builder.narrow(log1p_double(builder, builder.widen(x), True))
    return log1p_double(builder, x, False)


def log_extended(builder: MathBuilder, x: Instr) -> tuple[Instr, Instr]:
    """log(x) of a positive finite float64 as an unevaluated sum, to about 2**-66 of its size."""
    k, m = _decompose(builder, x)
    f = builder.plus(m, -1.0)
    d, d_low = builder.fast_two_sum(builder.number(2.0, x), f)
    s = builder.div(f, d)
    product, error = builder.two_product(s, d)
    remainder = builder.sub(builder.sub(builder.sub(f, product), error), builder.mul(s, d_low))
    s_low = builder.div(remainder, d)
    z, z_low = builder.two_product(s, s)
    z_low = builder.fma(builder.add(s, s), s_low, z_low)
    # atanh(s) = s + s**3 a with a = 1/3 + z tail(z)
    series = builder.mul(z, builder.horner(z, tables.LOG_TAIL))
    a, a_low = builder.fast_two_sum(builder.number(_THIRD[0], x), series)
    a_low = builder.plus(a_low, _THIRD[1])
    cube, cube_low = builder.two_product(s, z)
    cube_low = builder.add(cube_low, builder.fma(s, z_low, builder.mul(s_low, z)))
    term, term_low = builder.two_product(cube, a)
    term_low = builder.add(term_low, builder.fma(cube, a_low, builder.mul(cube_low, a)))
    high, low = builder.fast_two_sum(s, term)
    low = builder.add(low, builder.add(term_low, s_low))
    high, rest = builder.fast_two_sum(builder.times(k, LN2_HIGH), builder.add(high, high))
    low = builder.add(rest, builder.fma(k, builder.number(LN2_LOW, x), builder.add(low, low)))
    return builder.fast_two_sum(high, low)


def _log_base(builder: MathBuilder, x: Instr, factor: tuple[float, float]) -> Instr:
    if x.dtype is float32:
        wide = builder.widen(x)
        return builder.narrow(builder.times(logarithm(builder, wide, True), factor[0]))
    high, low = log_extended(builder, x)
    product, error = builder.two_product(high, builder.number(factor[0], x))
    error = builder.fma(high, builder.number(factor[1], x), error)
    error = builder.fma(low, builder.number(factor[0], x), error)
    return _with_edges(builder, x, builder.add(product, error))


def log2(builder: MathBuilder, x: Instr) -> Instr:
    """The logarithm to base 2, exact at the powers of 2."""
    return _log_base(builder, x, _LOG2_E)


def log10(builder: MathBuilder, x: Instr) -> Instr:
    """The logarithm to base 10, exact at the powers of 10."""
    return _log_base(builder, x, _LOG10_E)


def logaddexp(builder: MathBuilder, a: Instr, b: Instr) -> Instr:
    """log(exp(a) + exp(b)) = max(a, b) + log1p(exp(-|a - b|))."""
    if a.dtype is float32:
        return builder.narrow(_logaddexp_double(builder, builder.widen(a), builder.widen(b), True))
    return _logaddexp_double(builder, a, b, False)


def _logaddexp_double(builder: MathBuilder, a: Instr, b: Instr, short: bool) -> Instr:
    distance = builder.absolute(builder.sub(a, b))
    # Equal infinities have no difference, but their distance is 0.
    distance = builder.select(builder.apply("eq", a, b), builder.number(0.0, a), distance)
    e = exponential(builder, builder.neg(distance), short)
    rest = _log1p_of_fraction(builder, e) if short else log1p_double(builder, e, False)
    return builder.add(builder.apply("max", a, b), rest)


def _log1p_of_fraction(builder: MathBuilder, e: Instr) -> Instr:
    """log(1 + e) of 0 <= e <= 1 as 2 atanh(e / (2 + e)), as accurate as a float32 result needs."""
    s = builder.div(e, builder.plus(e, 2.0))
    z = builder.mul(s, s)
    return builder.fma(builder.mul(s, z), builder.horner(z, tables.LOG_FRACTION_SHORT), builder.add(s, s))


def _inverse_hyperbolic(builder: MathBuilder, name: str, x: Instr, short: bool) -> Instr:
    size = builder.absolute(x)
    if name == "atanh":
        # 2x / (1 - x) = 2x + 2x x/(1 - x); the second form keeps small x exact.
        twice = builder.add(size, size)
        small = builder.below(size, 0.5)
        numerator = builder.select(small, builder.mul(twice, size), twice)
        ratio = builder.div(numerator, builder.sub(builder.number(1.0, x), size))
        ratio = builder.select(small, builder.add(twice, ratio), ratio)
        return builder.with_sign_of(builder.times(log1p_double(builder, ratio, short), 0.5), x)
    huge = builder.above(size, 2.0**60)  # there log(2x) is the result
    if name == "asinh":
        square = builder.mul(size, size)
        root = builder.apply("sqrt", builder.plus(square, 1.0))
        argument = builder.add(size, builder.div(square, builder.plus(root, 1.0)))
    else:
        size = x
        above_one = builder.plus(x, -1.0)
        root = builder.apply("sqrt", builder.fma(above_one, above_one, builder.add(above_one, above_one)))
        argument = builder.add(above_one, root)
    result = log1p_double(builder, builder.select(huge, size, argument), short)
    result = builder.add(result, builder.select(huge, builder.number(_LN2, x), builder.number(0.0, x)))
    if name == "acosh":
        return builder.select(builder.below(x, 1.0), builder.number(NAN, x), result)
    return builder.with_sign_of(result, x)


def _inverse(builder: MathBuilder, name: str, x: Instr) -> Instr:
    if x.dtype is float32:
        return builder.narrow(_inverse_hyperbolic(builder, name, builder.widen(x), True))
    return _inverse_hyperbolic(builder, name, x, False)


def asinh_double(builder: MathBuilder, x: Instr, short: bool) -> Instr:
    return _inverse_hyperbolic(builder, "asinh", x, short)


def asinh(builder: MathBuilder, x: Instr) -> Instr:
    """log1p(x + x**2 / (1 + sqrt(1 + x**2))) with the sign of x."""
    return _inverse(builder, "asinh", x)


def acosh(builder: MathBuilder, x: Instr) -> Instr:
    """log1p(t + sqrt(2 t + t**2)), t = x - 1; NaN below 1."""
    return _inverse(builder, "acosh", x)


def atanh(builder: MathBuilder, x: Instr) -> Instr:
    """log1p(2x / (1 - x)) / 2 with the sign of x; NaN outside [-1, 1]."""
    return _inverse(builder, "atanh", x)


def power(builder: MathBuilder, x: Instr, y: Instr) -> Instr:
    """x**y with the special values of C99 (F.9.4.4)."""
    size = builder.absolute(x)
    if x.dtype is float32:
        exponent = builder.widen(y)
        wide = logarithm(builder, builder.widen(size), True)
        result = builder.narrow(exponential(builder, builder.mul(exponent, wide), True))
    else:
        high, low = log_extended(builder, size)
        bounded = builder.at_most(builder.at_least(y, -(2.0**80)), 2.0**80)
        product, error = builder.two_product(bounded, high)
        result = exponential_extended(builder, product, builder.fma(bounded, low, error))
    return _power_edges(builder, x, y, size, result)


def _power_edges(builder: MathBuilder, x: Instr, y: Instr, size: Instr, result: Instr) -> Instr:
    zero, one = builder.number(0.0, x), builder.number(1.0, x)
    infinity = builder.number(INFINITY, x)
    y_infinite = builder.equals(builder.absolute(y), INFINITY)
    base_extreme = builder.either(builder.equals(size, 0.0), builder.equals(size, INFINITY))
    grows = builder.apply("xor", builder.above(size, 1.0), builder.below(y, 0.0))
    extreme = builder.either(base_extreme, y_infinite)
    result = builder.select(extreme, builder.select(grows, infinity, zero), result)
    integral = builder.apply("eq", builder.apply("floor", y), y)
    half = builder.times(y, 0.5)
    even = builder.apply("eq", builder.apply("floor", half), half)
    odd = builder.both(integral, builder.logical_not(even))
    sign = builder.sign_of(x)
    result = builder.flip_sign(result, builder.select(odd, sign, builder.integer_like(0, sign)))
    invalid = builder.both(builder.below(x, 0.0), builder.logical_not(builder.either(integral, extreme)))
    unknown = builder.either(builder.is_nan(x), builder.is_nan(y))
    result = builder.select(builder.either(invalid, unknown), builder.number(NAN, x), result)
    certain = builder.both(builder.equals(size, 1.0), y_infinite)  # (-1)**inf = 1
    certain = builder.either(certain, builder.either(builder.equals(y, 0.0), builder.equals(x, 1.0)))
    return builder.select(certain, one, result)


# The float32 logarithm of Arm's optimized-routines (MIT licence), which glibc uses and MLX therefore draws
# its normal and Gumbel samples with: 16 pairs (1/c, log(c)) for c within equal intervals of the mantissa.
_RECIPROCALS = tuple(
    float.fromhex(text)
    for text in (
        "0x1.661ec79f8f3bep+0", "0x1.571ed4aaf883dp+0", "0x1.49539f0f010bp+0", "0x1.3c995b0b80385p+0",
        "0x1.30d190c8864a5p+0", "0x1.25e227b0b8eap+0", "0x1.1bb4a4a1a343fp+0", "0x1.12358f08ae5bap+0",
        "0x1.0953f419900a7p+0", "0x1p+0", "0x1.e608cfd9a47acp-1", "0x1.ca4b31f026aap-1",
        "0x1.b2036576afce6p-1", "0x1.9c2d163a1aa2dp-1", "0x1.886e6037841edp-1", "0x1.767dcf5534862p-1",
    )
)  # fmt: skip
_CENTRE_LOGS = tuple(
    float.fromhex(text)
    for text in (
        "-0x1.57bf7808caadep-2", "-0x1.2bef0a7c06ddbp-2", "-0x1.01eae7f513a67p-2", "-0x1.b31d8a68224e9p-3",
        "-0x1.6574f0ac07758p-3", "-0x1.1aa2bc79c81p-3", "-0x1.a4e76ce8c0e5ep-4", "-0x1.1973c5a611cccp-4",
        "-0x1.252f438e10c1ep-5", "0x0p+0", "0x1.aa5aa5df25984p-5", "0x1.c5e53aa362eb4p-4",
        "0x1.526e57720db08p-3", "0x1.bc2860d22477p-3", "0x1.1058bc8a07ee1p-2", "0x1.4043057b6ee09p-2",
    )
)  # fmt: skip
_GLIBC_POLYNOMIAL = tuple(
    map(float.fromhex, ("-0x1.00ea348b88334p-2", "0x1.5575b0be00b6ap-2", "-0x1.ffffef20a4123p-2"))
)


def _choose(builder: MathBuilder, bits: list[Instr], values: tuple[float, ...], like: Instr) -> Instr:
    """values[i] for the index of these bits, the lowest first, by a tree of selects."""
    layer = [builder.number(value, like) for value in values]
    for bit in bits:
        layer = [builder.select(bit, layer[i + 1], layer[i]) for i in range(0, len(layer), 2)]
    return layer[0]


def log_mlx(builder: MathBuilder, x: Instr) -> Instr:
    """float32 log with the bits of glibc's logf; every operation is rounded on its own, as there."""
    tiny = builder.below(x, _SMALLEST_NORMAL[float32])
    scaled = builder.select(tiny, builder.times(x, 2.0**23), x)
    bits = builder.bits_of(scaled)
    # 0x3F330000 is the start of the first interval; 128 more in the exponent keep it positive.
    moved = builder.sub(bits, builder.integer_like(0x3F330000 - (128 << 23), bits))
    zero = builder.integer_like(0, bits)
    index = [
        builder.apply("ne", builder.both(moved, builder.integer_like(1 << bit, bits)), zero)
        for bit in range(19, 23)
    ]
    exponent = builder.bitcast(builder.apply("shr", moved, builder.integer_like(23, bits)), uint32)
    exponent = builder.either(exponent, builder.integer_like(150 << 23, bits))
    offset = builder.select(
        tiny, builder.const(2.0**23 + 128 + 23, float32), builder.const(2.0**23 + 128, float32)
    )
    k = builder.widen(builder.sub(builder.bitcast(exponent, float32), offset))
    mantissa = builder.both(moved, builder.integer_like((1 << 23) - 1, bits))
    z = builder.widen(builder.bitcast(builder.add(mantissa, builder.integer_like(0x3F330000, bits)), float32))
    r = builder.plus(builder.mul(z, _choose(builder, index, _RECIPROCALS, z)), -1.0)
    centre = builder.add(_choose(builder, index, _CENTRE_LOGS, z), builder.times(k, _LN2))
    square = builder.mul(r, r)
    a, b, c = _GLIBC_POLYNOMIAL
    tail = builder.add(builder.times(square, a), builder.plus(builder.times(r, b), c))
    result = builder.add(builder.mul(tail, square), builder.add(centre, r))
    return _with_edges(builder, x, builder.narrow(result))
