"""Special functions beyond MLX: erfc, lgamma, digamma and polygamma functions.

They are written in basic operations on float64, whatever the dtype of the operand, and rounded once: float32
results are correct to less than an ulp. The coefficients, the highest power first, were made with mpmath
1.3 at 50 digits: `chebyfit` (Chebyshev interpolation) of the function in each comment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tarry.base.dtypes import float64, uint64
from tarry.graph.array import array
from tarry.loops.builder import Builder
from tarry.loops.ir import Instr
from tarry.ops.arithmetic import multiply, negative, square
from tarry.ops.elementwise import ArrayLike, Elementwise, Partial, elementwise
from tarry.ops.exponential import exp, real_operand
from tarry.runtime.devices import StreamLike, require_stream

# (1 + 2 x) exp(x**2) erfc(x) in t on 0 <= x, t = (x - 3.75) / (x + 3.75)
_ERFC = (
    3.2052623379289157e-10, -2.618520156503145e-09, -3.798189797736207e-09, 3.195398612057818e-08,
    2.3398534313040898e-08, -2.4851108650210706e-07, -5.741076073013916e-08, 1.7419011945194367e-06,
    -9.733875167494142e-07, -1.1437980374495534e-05, 2.2384138525656757e-05, 5.164649341002877e-05,
    -0.00029015404203352704, 0.000293714390578856, 0.001755625843431864, -0.00974657968596217,
    0.028362277420377335, -0.05869339857631061, 0.09230432116025894, -0.10880393014246645,
    0.08227673849014977, 0.003585415485479575, -0.14024059858554702, 1.2375126308378275,
)  # fmt: skip

# lgamma(2 + t) / t on |t| <= 1/2
_LGAMMA_NEAR_TWO = (
    -1.3219945666117874e-07, 2.78740805211359e-07, -4.3252393445604814e-07, 9.200527894968101e-07,
    -2.0439048107029907e-06, 4.38470440459836e-06, -9.438715099211532e-06, 2.0505590755833454e-05,
    -4.49263133791557e-05, 9.945767355819498e-05, -0.00022315475400520507, 0.0005096695154115458,
    -0.0011927539118428156, 0.002890510331034267, -0.0073855510286719986, 0.02058080842778038,
    -0.0673523010531981, 0.32246703342411326, 0.42278433509846713,
)  # fmt: skip

# (lgamma(x) - (x - 1/2) log(x) + x - log(2 pi) / 2) x in x**-2 on 8 <= x
_STIRLING = (
    0.005065905360156132, -0.001890382993887715, 0.0008414700852503147, -0.0005952365845057049,
    0.0007936507897524059, -0.002777777777773988, 0.08333333333333333,
)  # fmt: skip
_STIRLING_FROM = 8.0
_HALF_LOG_TWO_PI = 0.9189385332046728

# The asymptotic series of the polygamma functions are in terms of Bernoulli numbers B(2), B(4), ...
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)
_ASYMPTOTIC_FROM = 10


class _Emitter:
    """Scalar float64 code: a builder with numbers as constants."""

    __slots__ = ("builder",)

    def __init__(self, builder: Builder) -> None:
        self.builder = builder

    def number(self, value: float) -> Instr:
        return self.builder.const(float(value), float64)

    def apply(self, op: str, a: Instr, b: Instr | float) -> Instr:
        return self.builder.apply(op, a, b if isinstance(b, Instr) else self.number(b))

    def horner(self, x: Instr, coefficients: Sequence[float]) -> Instr:
        result = self.number(coefficients[0])
        for coefficient in coefficients[1:]:
            result = self.builder.fma(result, x, self.number(coefficient))
        return result

    def choose(self, condition: Instr, a: Instr | float, b: Instr | float) -> Instr:
        chosen = [value if isinstance(value, Instr) else self.number(value) for value in (a, b)]
        return self.builder.select(condition, *chosen)

    def offset_from_integer(self, x: Instr) -> Instr:
        """x less the nearest integer; nan for the infinities."""
        return self.builder.sub(x, self.builder.apply("round", x))


class DoubleFunction(Elementwise):
    """A real function computed in float64."""

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        result = self.compute(_Emitter(builder), builder.cast(args[0], float64))
        return builder.cast(result, args[0].dtype)

    def compute(self, code: _Emitter, x: Instr) -> Instr:
        raise NotImplementedError(self.name)


# The complementary error function


class Erfc(DoubleFunction):
    name = "Erfc"

    def compute(self, code: _Emitter, x: Instr) -> Instr:
        builder = code.builder
        # Beyond 28 the result is 0 in float64, too; comparisons let nan through.
        size = builder.apply("abs", x)
        size = code.choose(code.apply("gt", size, 28.0), 28.0, size)
        t = builder.div(code.apply("sub", size, 3.75), code.apply("add", size, 3.75))
        scaled = builder.div(code.horner(t, _ERFC), builder.fma(code.number(2.0), size, code.number(1.0)))
        tail = builder.mul(scaled, self._gaussian(code, size))
        tail = code.choose(code.apply("ge", size, 28.0), 0.0, tail)
        return code.choose(code.apply("lt", x, 0.0), builder.sub(code.number(2.0), tail), tail)

    def _gaussian(self, code: _Emitter, size: Instr) -> Instr:
        """exp(-size**2): the square of the upper half is exact, and the rest is small."""
        builder = code.builder
        bits = builder.bitcast(size, uint64)
        high = builder.apply("and", bits, builder.const((1 << 64) - (1 << 27), uint64))
        upper = builder.bitcast(high, float64)
        rest = builder.mul(builder.add(size, upper), builder.sub(size, upper))
        main = builder.apply("exp", builder.neg(builder.mul(upper, upper)))
        # exp(-rest) to the third order: rest is below 2**-19.
        small = code.horner(rest, (-1 / 6, 0.5, -1.0, 1.0))
        return builder.mul(main, small)

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return multiply(exp(negative(square(inputs[0]))), -2 / math.sqrt(math.pi))


_ERFC_OP = Erfc()


def erfc(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The complementary error function 1 - erf(a), accurate where it is small. Integers become float32.

    ValueError for complex numbers.

    >>> mx.erfc(mx.array([0.0, 1.0, 5.0]))
    array([1, 0.157299, 1.53746e-12], dtype=float32)
    """
    if stream is not None:
        require_stream("erfc", stream)
    return elementwise(_ERFC_OP, (real_operand("erfc", a),))


# The logarithm of the gamma function


class LogGamma(DoubleFunction):
    name = "LogGamma"

    def compute(self, code: _Emitter, x: Instr) -> Instr:
        builder = code.builder
        is_negative = code.apply("lt", x, 0.0)
        # Reflection: lgamma(x) = log(pi / |sin(pi x)|) - lgamma(1 - x).
        mirrored = code.choose(is_negative, builder.sub(code.number(1.0), x), x)
        positive = self._compute_positive(code, mirrored)
        sine = builder.apply("sin", code.apply("mul", code.offset_from_integer(x), math.pi))
        reflected = builder.apply("log", builder.div(code.number(math.pi), builder.apply("abs", sine)))
        reflected = builder.sub(reflected, positive)
        result = code.choose(is_negative, reflected, positive)
        # Poles at the integers up to 0; -inf is taken for one.
        is_whole = builder.apply("eq", builder.apply("floor", x), x)
        is_pole = builder.logical_and(is_whole, code.apply("le", x, 0.0))
        return code.choose(is_pole, math.inf, result)

    def _compute_positive(self, code: _Emitter, x: Instr) -> Instr:
        builder = code.builder
        # Below 8, lgamma(2 + t) and the logarithm of what lies between x and 2 + t.
        y, product = x, code.number(1.0)
        for step in range(6):
            above = code.apply("gt", x, 2.5 + step)
            y = code.choose(above, code.apply("sub", x, step + 1.0), y)
            product = code.choose(above, builder.mul(product, y), product)
        is_tiny, is_low = code.apply("lt", x, 0.5), code.apply("lt", x, 1.5)
        t = code.choose(is_tiny, x, code.choose(is_low, code.apply("sub", x, 1.0), code.apply("sub", y, 2.0)))
        below = code.choose(is_tiny, builder.fma(x, x, x), x)
        is_large = code.apply("ge", x, _STIRLING_FROM)
        argument = code.choose(is_large, x, code.choose(is_low, below, product))
        logarithm = builder.apply("log", argument)
        near = builder.mul(t, code.horner(t, _LGAMMA_NEAR_TWO))
        near = builder.add(near, code.choose(is_low, builder.neg(logarithm), logarithm))
        inverse = builder.div(code.number(1.0), x)
        tail = builder.mul(code.horner(builder.mul(inverse, inverse), _STIRLING), inverse)
        # (x - 1/2) log(x) - x + log(2 pi) / 2, with one product so that infinity stays.
        main = builder.mul(code.apply("sub", x, 0.5), code.apply("sub", logarithm, 1.0))
        large = builder.add(main, code.apply("add", tail, _HALF_LOG_TWO_PI - 0.5))
        return code.choose(is_large, large, near)

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return digamma(inputs[0])


_LOG_GAMMA = LogGamma()


def lgamma(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """log |gamma(a)|; infinite at 0 and the negative integers. Integers become float32.

    ValueError for complex numbers.

    >>> mx.lgamma(mx.array([1.0, 5.0, 0.0]))
    array([0, 3.17805, inf], dtype=float32)
    """
    if stream is not None:
        require_stream("lgamma", stream)
    return elementwise(_LOG_GAMMA, (real_operand("lgamma", a),))


# Its derivatives


class Polygamma(DoubleFunction):
    """The derivative of digamma of the given order.

    Upwards by recurrence to where the asymptotic series holds; negative numbers by reflection.
    """

    order = 0

    def compute(self, code: _Emitter, x: Instr) -> Instr:
        builder = code.builder
        is_negative = code.apply("lt", x, 0.0)
        y = code.choose(is_negative, builder.sub(code.number(1.0), x), x)
        total = code.number(0.0)
        for _ in range(_ASYMPTOTIC_FROM):
            is_small = code.apply("lt", y, float(_ASYMPTOTIC_FROM))
            inverse = builder.div(code.number(1.0), y)
            term = inverse
            for _ in range(self.order):
                term = builder.mul(term, inverse)
            total = builder.add(total, code.choose(is_small, term, 0.0))
            y = code.choose(is_small, code.apply("add", y, 1.0), y)
        # psi^(n)(x) = psi^(n)(x + m) - (-1)**n n! (sum of x + k to the power -n - 1 for k < m)
        factor = -((-1.0) ** self.order) * math.factorial(self.order)
        positive = builder.fma(code.number(factor), total, self._asymptotic(code, y))
        result = code.choose(is_negative, self._reflect(code, x, positive), positive)
        return self._at_poles(code, x, result)

    def _asymptotic(self, code: _Emitter, y: Instr) -> Instr:
        builder = code.builder
        inverse = builder.div(code.number(1.0), y)
        z = builder.mul(inverse, inverse)
        if self.order == 0:
            series = [b / (2 * k) for k, b in enumerate(_BERNOULLI, 1)]
            tail = builder.mul(code.horner(z, series[::-1]), z)
            half = builder.fma(code.number(0.5), inverse, tail)
            return builder.sub(builder.apply("log", y), half)
        if self.order == 1:
            tail = builder.mul(code.horner(z, _BERNOULLI[::-1]), z)
            lead = builder.add(code.number(1.0), builder.fma(code.number(0.5), inverse, tail))
            return builder.mul(lead, inverse)
        series = [(2 * k + 1) * b for k, b in enumerate(_BERNOULLI, 1)]
        tail = builder.mul(code.horner(z, series[::-1]), z)
        lead = builder.add(code.number(1.0), builder.add(inverse, tail))
        return builder.neg(builder.mul(lead, z))

    def _reflect(self, code: _Emitter, x: Instr, mirrored: Instr) -> Instr:
        """The value at negative x, from the one at 1 - x."""
        builder = code.builder
        angle = code.apply("mul", code.offset_from_integer(x), math.pi)
        sine, cosine = builder.apply("sin", angle), builder.apply("cos", angle)
        cosecant = builder.div(code.number(math.pi), sine)
        if self.order == 0:
            return builder.sub(mirrored, builder.mul(cosecant, cosine))
        squared = builder.mul(cosecant, cosecant)
        if self.order == 1:
            return builder.sub(squared, mirrored)
        cubed = builder.mul(builder.mul(squared, cosecant), cosine)
        return builder.sub(mirrored, code.apply("mul", cubed, 2.0))

    def _at_poles(self, code: _Emitter, x: Instr, result: Instr) -> Instr:
        builder = code.builder
        is_whole = builder.apply("eq", builder.apply("floor", x), x)
        is_pole = builder.logical_and(is_whole, code.apply("lt", x, 0.0))
        # The even powers have one sign on both sides of a pole.
        return code.choose(is_pole, math.inf if self.order == 1 else math.nan, result)


class Digamma(Polygamma):
    name = "Digamma"
    order = 0

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return elementwise(_TRIGAMMA, inputs)


class Trigamma(Polygamma):
    name = "Trigamma"
    order = 1

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return elementwise(_TETRAGAMMA, inputs)


class Tetragamma(Polygamma):
    name = "Tetragamma"
    order = 2

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        raise ValueError("[digamma] Derivatives beyond the second are not available.")


_DIGAMMA, _TRIGAMMA, _TETRAGAMMA = Digamma(), Trigamma(), Tetragamma()


def digamma(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The derivative of `lgamma`: infinite at 0, nan at the negative integers. Integers become float32.

    ValueError for complex numbers, and for derivatives beyond the second.

    >>> mx.digamma(mx.array([1.0, 0.0]))
    array([-0.577216, -inf], dtype=float32)
    """
    if stream is not None:
        require_stream("digamma", stream)
    return elementwise(_DIGAMMA, (real_operand("digamma", a),))
