"""Functions that random numbers are made with: the same bits as MLX's, not the most accurate ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from tarry.base.dtypes import float32, int32
from tarry.loops.builder import Builder
from tarry.loops.ir import Instr
from tarry.ops.exponential import Erf, ErfInv, Exp, Log

# Of 2**x for x in [-1/2, 1/2] (after Cephes).
POWER_COEFFICIENTS = (
    1.535336188319500e-4,
    1.339887440266574e-3,
    9.618437357674640e-3,
    5.550332471162809e-2,
    2.402264791363012e-1,
    6.931472028550421e-1,
    1.0,
)


class RandomLog(Log):
    """The logarithm with the bits of MLX's, in float32."""

    name = "RandomLog"
    function = "log_mlx"


class RandomErfInv(ErfInv):
    """The inverse error function with the bits of MLX's, in float32."""

    name = "RandomErfInv"
    function = "erfinv_mlx"


class RandomErf(Erf):
    """The error function with the bits of MLX's, in float32: absolute error 5e-7.

    Abramowitz and Stegun 7.1.26, with exp as 2**k times a polynomial of degree 6.
    """

    name = "RandomErf"
    coefficients: ClassVar[tuple[float, ...]] = (
        1.061405429,
        -1.453152027,
        1.421413741,
        -0.284496736,
        0.254829592,
    )

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        value = builder.cast(args[0], float32)
        one = builder.const(1, float32)
        magnitude = builder.apply("abs", value)
        t = builder.div(one, builder.fma(_single(builder, 0.3275911), magnitude, one))
        tail = _emit_polynomial(builder, self.coefficients, t)
        power = _emit_exp(builder, builder.mul(builder.neg(value), value))
        result = builder.fma(builder.mul(builder.neg(power), t), tail, one)
        positive = builder.apply("gt", value, builder.const(0, float32))
        return builder.cast(builder.select(positive, result, builder.neg(result)), args[0].dtype)


class RandomExp(Exp):
    """exp with the bits of MLX's, in float32, of numbers that are not positive."""

    name = "RandomExp"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        value = builder.cast(args[0], float32)
        return builder.cast(_emit_exp(builder, value), args[0].dtype)


def _emit_exp(builder: Builder, value: Instr) -> Instr:
    """exp of a value that is not positive."""
    scaled = builder.mul(value, _single(builder, 1.442695))
    whole = builder.apply("floor", builder.add(scaled, _single(builder, 0.5)))
    polynomial = _emit_polynomial(builder, POWER_COEFFICIENTS, builder.sub(scaled, whole))
    biased = builder.add(builder.cast(whole, int32), builder.const(127, int32))
    power = builder.bitcast(builder.apply("shl", biased, builder.const(23, int32)), float32)
    underflows = builder.apply("lt", value, _single(builder, -88.0))
    return builder.select(underflows, _single(builder, 0.0), builder.mul(power, polynomial))


def _single(builder: Builder, value: float) -> Instr:
    return builder.const(float(np.float32(value)), float32)


def _emit_polynomial(builder: Builder, coefficients: Sequence[float], t: Instr) -> Instr:
    """Horner's scheme with the highest coefficient first."""
    value = _single(builder, coefficients[0])
    for coefficient in coefficients[1:]:
        value = builder.fma(value, t, _single(builder, coefficient))
    return value


RANDOM_LOG, RANDOM_ERFINV, RANDOM_ERF, RANDOM_EXP = RandomLog(), RandomErfInv(), RandomErf(), RandomExp()
