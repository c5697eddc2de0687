"""erf and erfinv, rsqrt, and the division with remainder of floating-point numbers."""

from __future__ import annotations

from tarry.base.dtypes import float32
from tarry.codegen import math_tables as tables
from tarry.codegen.math_builder import INFINITY, NAN, MathBuilder
from tarry.codegen.math_exponential import exponential_of_negative, less_one_parts
from tarry.codegen.math_logarithm import log_mlx, logarithm
from tarry.loops.ir import Instr

# N. Juffa's single-precision inverse error function, which MLX uses: x p(log(1 - x**2)), two polynomials.
_ERFINV_MLX_TAIL = (
    3.03697567e-10, 2.93243101e-8, 1.22150334e-6, 2.84108955e-5, 3.93552968e-4, 3.02698812e-3, 4.83185798e-3,
    -2.64646143e-1, 8.40016484e-1,
)  # fmt: skip
_ERFINV_MLX_CENTRE = (
    5.43877832e-9, 1.43285448e-7, 1.22774793e-6, 1.12963626e-7, -5.61530760e-5, -1.47697632e-4, 2.31468678e-3,
    1.15392581e-2, -2.32015476e-1, 8.86226892e-1,
)  # fmt: skip


def erf(builder: MathBuilder, x: Instr) -> Instr:
    """The error function; in float64 a polynomial up to 1, 1 - exp(-x**2) erfcx(x) above."""
    if x.dtype is float32:
        return _erf_single(builder, x)
    size = builder.absolute(x)
    z = builder.mul(size, size)
    bounded = builder.at_most(size, 6.0)
    t = builder.div(builder.plus(bounded, -2.0), builder.plus(bounded, 2.0))
    e = exponential_of_negative(builder, builder.neg(builder.mul(bounded, bounded)), -700.0)
    complement = builder.mul(e, builder.horner(t, tables.ERFC_DOUBLE))
    large = builder.sub(builder.number(1.0, x), complement)
    small = builder.fma(builder.horner(z, tables.ERF_DOUBLE), size, size)
    return builder.with_sign_of(builder.select(builder.above(size, 1.0), large, small), x)


def _erf_single(builder: MathBuilder, x: Instr) -> Instr:
    """1 - exp(v) with v = log(erfc(|x|)), whose polynomial keeps its relative accuracy down to x = 0.

    With exp(v) = 2**k (1 + e) that is 1 - 2**k - 2**k e, and -e alone where k = 0.
    """
    negative = builder.at_least(builder.neg(builder.absolute(x)), -4.0)
    v = builder.fma(builder.horner(negative, tables.ERF_SINGLE), negative, negative)
    power, e = less_one_parts(builder, v)
    one = builder.number(1.0, x)
    magnitude = builder.fma(builder.neg(power), e, builder.sub(one, power))
    return builder.with_sign_of(magnitude, x)


def erfinv(builder: MathBuilder, x: Instr) -> Instr:
    """The inverse error function: x p(w) with w = -log(1 - x**2) (M. Giles 2010); NaN outside [-1, 1]."""
    if x.dtype is float32:
        return builder.narrow(_erfinv_double(builder, builder.widen(x), True))
    return _erfinv_double(builder, x, False)


def _erfinv_double(builder: MathBuilder, x: Instr, short: bool) -> Instr:
    one = builder.number(1.0, x)
    product = builder.mul(builder.sub(one, x), builder.add(one, x))
    w = builder.neg(logarithm(builder, product, short))
    centre = builder.horner(
        builder.plus(w, -3.125), tables.ERFINV_CENTRE_SHORT if short else tables.ERFINV_CENTRE_DOUBLE
    )
    root = builder.apply("sqrt", w)
    middle = builder.horner(
        builder.plus(root, -3.25), tables.ERFINV_TAIL_SHORT if short else tables.ERFINV_MIDDLE_DOUBLE
    )
    if not short:
        outer = builder.horner(builder.plus(root, -5.0), tables.ERFINV_OUTER_DOUBLE)
        middle = builder.select(builder.above(w, 16.0), outer, middle)
    result = builder.mul(builder.select(builder.below(w, 6.25), centre, middle), x)
    infinity = builder.mul(x, builder.number(INFINITY, x))
    result = builder.select(builder.equals(builder.absolute(x), 1.0), infinity, result)
    return builder.select(builder.above(builder.absolute(x), 1.0), builder.number(NAN, x), result)


def _fused(builder: MathBuilder, a: Instr, b: Instr, c: Instr) -> Instr:
    """float32 a b + c rounded once on every target: in float64 the product is exact."""
    if builder.has_fma:
        return builder.fma(a, b, c)
    product = builder.mul(builder.widen(a), builder.widen(b))
    return builder.narrow(builder.add(product, builder.widen(c)))


def _fused_horner(builder: MathBuilder, x: Instr, coefficients: tables.Table) -> Instr:
    result = builder.number(coefficients[0], x)
    for coefficient in coefficients[1:]:
        result = _fused(builder, result, x, builder.number(coefficient, x))
    return result


def erfinv_mlx(builder: MathBuilder, x: Instr) -> Instr:
    """float32 erfinv with the bits of MLX's, which `random.normal` needs; within 3 ulp."""
    t = log_mlx(builder, _fused(builder, x, builder.neg(x), builder.number(1.0, x)))
    tail = _fused_horner(builder, t, _ERFINV_MLX_TAIL)
    centre = _fused_horner(builder, t, _ERFINV_MLX_CENTRE)
    return builder.mul(x, builder.select(builder.above(builder.absolute(t), 6.125), tail, centre))


def rsqrt(builder: MathBuilder, x: Instr) -> Instr:
    """1 / sqrt(x)."""
    return builder.div(builder.number(1.0, x), builder.apply("sqrt", x))


def floor_division(builder: MathBuilder, x: Instr, y: Instr) -> Instr:
    """The floor of the rounded quotient, as MLX has it; infinite when y = 0."""
    return builder.apply("floor", builder.div(x, y))


def _truncated_remainder(builder: MathBuilder, x: Instr, y: Instr, exact_quotient: float) -> Instr:
    """C's fmod of float64 values; quotients above `exact_quotient` go to the C library."""
    size, divisor = builder.absolute(x), builder.absolute(y)
    ratio = builder.div(size, divisor)
    quotient = builder.apply("floor", ratio)
    product, error = builder.two_product(quotient, divisor)
    remainder = builder.sub(builder.sub(size, product), error)
    # The quotient may have been rounded up to the next integer.
    remainder = builder.select(builder.below(remainder, 0.0), builder.add(remainder, divisor), remainder)
    remainder = builder.select(builder.apply("lt", size, divisor), size, remainder)
    huge = builder.above(ratio, exact_quotient)
    remainder = builder.select(huge, builder.libm("fmod", huge, size, divisor), remainder)
    return builder.with_sign_of(remainder, x)


def remainder(builder: MathBuilder, x: Instr, y: Instr) -> Instr:
    """x - y floor(x / y) without rounding of the quotient; NaN when y = 0, with the sign of y unless zero."""
    if x.dtype is float32:
        wide_x, wide_y = builder.widen(x), builder.widen(y)
        result = builder.narrow(_truncated_remainder(builder, wide_x, wide_y, 2.0**50))
    else:
        result = _truncated_remainder(builder, x, y, 2.0**52)
    nonzero = builder.apply("ne", result, builder.number(0.0, x))
    differs = builder.apply("xor", builder.below(result, 0.0), builder.below(y, 0.0))
    return builder.select(builder.both(nonzero, differs), builder.add(result, y), result)
