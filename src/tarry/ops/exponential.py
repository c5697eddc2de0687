"""Roots, exponentials, logarithms, powers and the functions built on them: sigmoid, erf, logaddexp."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from tarry.base.dtypes import complex64, float32
from tarry.graph.array import array
from tarry.loops.builder import Builder
from tarry.loops.ir import Instr
from tarry.ops.arithmetic import add, divide, multiply, negative, reciprocal, square, subtract
from tarry.ops.comparison import equal
from tarry.ops.elementwise import (
    ArrayLike,
    Elementwise,
    Partial,
    binary_operands,
    elementwise,
    float_operand,
    scalar_kind,
)
from tarry.ops.selection import where
from tarry.runtime.devices import StreamLike, require_stream


class ElementaryFunction(Elementwise):
    """A function the code generator knows by name; half types compute in float32."""

    function: ClassVar[str] = ""

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return builder.apply(self.function, *args)


def real_operand(op: str, a: object) -> array:
    """A floating operand; integers become float32. ValueError for complex numbers."""
    operand = float_operand(op, a)
    if operand.dtype is complex64:
        raise ValueError(f"[{op}] Not supported for complex64: expected a real type.")
    return operand


class Sqrt(ElementaryFunction):
    name = "Sqrt"
    function = "sqrt"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return divide(0.5, output)


_SQRT = Sqrt()


def sqrt(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The square root; nan for negative real numbers. Integers become float32.

    >>> mx.sqrt(mx.array([4.0, 9.0]))
    array([2, 3], dtype=float32)
    """
    if stream is not None:
        require_stream("sqrt", stream)
    return elementwise(_SQRT, (float_operand("sqrt", a),))


class Rsqrt(ElementaryFunction):
    name = "Rsqrt"
    function = "rsqrt"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return multiply(divide(output, inputs[0]), -0.5)


_RSQRT = Rsqrt()


def rsqrt(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """1 / sqrt(a). Integers become float32.

    >>> mx.rsqrt(mx.array([4.0, 16.0]))
    array([0.5, 0.25], dtype=float32)
    """
    if stream is not None:
        require_stream("rsqrt", stream)
    return elementwise(_RSQRT, (float_operand("rsqrt", a),))


class Exp(ElementaryFunction):
    name = "Exp"
    function = "exp"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return output


_EXP = Exp()


def exp(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """e to the power a. Integers become float32.

    >>> mx.exp(mx.array([0.0, float("-inf")]))
    array([1, 0], dtype=float32)
    """
    if stream is not None:
        require_stream("exp", stream)
    return elementwise(_EXP, (float_operand("exp", a),))


class Expm1(ElementaryFunction):
    name = "Expm1"
    function = "expm1"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return add(output, 1)


_EXPM1 = Expm1()


def expm1(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """exp(a) - 1, accurate near 0.

    >>> mx.expm1(mx.array([0.0]))
    array([0], dtype=float32)
    """
    if stream is not None:
        require_stream("expm1", stream)
    return elementwise(_EXPM1, (float_operand("expm1", a),))


class Log(ElementaryFunction):
    name = "Log"
    function = "log"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return reciprocal(inputs[0])


class Log2(ElementaryFunction):
    name = "Log2"
    function = "log2"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return divide(1 / math.log(2), inputs[0])


class Log10(ElementaryFunction):
    name = "Log10"
    function = "log10"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return divide(1 / math.log(10), inputs[0])


class Log1p(ElementaryFunction):
    name = "Log1p"
    function = "log1p"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return reciprocal(add(inputs[0], 1))


_LOG, _LOG2, _LOG10, _LOG1P = Log(), Log2(), Log10(), Log1p()


def log(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The natural logarithm: -inf at 0, nan for negative real numbers. Integers become float32.

    >>> mx.log(mx.array([1.0, 0.0]))
    array([0, -inf], dtype=float32)
    """
    if stream is not None:
        require_stream("log", stream)
    return elementwise(_LOG, (float_operand("log", a),))


def log2(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The logarithm to base 2. Integers become float32.

    >>> mx.log2(mx.array([1.0, 8.0]))
    array([0, 3], dtype=float32)
    """
    if stream is not None:
        require_stream("log2", stream)
    return elementwise(_LOG2, (float_operand("log2", a),))


def log10(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The logarithm to base 10. Integers become float32.

    >>> mx.log10(mx.array([1.0, 100.0]))
    array([0, 2], dtype=float32)
    """
    if stream is not None:
        require_stream("log10", stream)
    return elementwise(_LOG10, (float_operand("log10", a),))


def log1p(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """log(1 + a), accurate near 0. Integers become float32.

    >>> mx.log1p(mx.array([0.0, -1.0]))
    array([0, -inf], dtype=float32)
    """
    if stream is not None:
        require_stream("log1p", stream)
    return elementwise(_LOG1P, (float_operand("log1p", a),))


class Sigmoid(ElementaryFunction):
    name = "Sigmoid"
    function = "sigmoid"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return multiply(output, subtract(1, output))


_SIGMOID = Sigmoid()


def sigmoid(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The logistic function 1 / (1 + exp(-a)), without overflow. ValueError for complex numbers.

    >>> mx.sigmoid(mx.array([0.0, 1000.0]))
    array([0.5, 1], dtype=float32)
    """
    if stream is not None:
        require_stream("sigmoid", stream)
    return elementwise(_SIGMOID, (real_operand("sigmoid", a),))


class Erf(ElementaryFunction):
    name = "Erf"
    function = "erf"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return multiply(exp(negative(square(inputs[0]))), 2 / math.sqrt(math.pi))


class ErfInv(ElementaryFunction):
    name = "ErfInv"
    function = "erfinv"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return multiply(exp(square(output)), math.sqrt(math.pi) / 2)


_ERF, _ERFINV = Erf(), ErfInv()


def erf(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to a.

    ValueError for complex numbers.

    >>> mx.erf(mx.array([0.0, 10.0]))
    array([0, 1], dtype=float32)
    """
    if stream is not None:
        require_stream("erf", stream)
    return elementwise(_ERF, (real_operand("erf", a),))


def erfinv(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The inverse of the error function on [-1, 1]; nan outside. ValueError for complex numbers.

    >>> mx.erfinv(mx.array([0.0, 1.0]))
    array([0, inf], dtype=float32)
    """
    if stream is not None:
        require_stream("erfinv", stream)
    return elementwise(_ERFINV, (real_operand("erfinv", a),))


class Power(Elementwise):
    """a ** b. Integer powers multiply squares: the bits of the exponent choose them."""

    name = "Power"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        kind = args[0].dtype.kind
        if kind in "fc":
            return builder.apply("pow", *args)
        if kind == "b":
            # Only False ** True is False.
            return builder.apply("or", args[0], builder.logical_not(args[1]))
        return self._emit_integer(builder, *args)

    def _emit_integer(self, builder: Builder, base: Instr, exponent: Instr) -> Instr:
        dtype = base.dtype
        zero, one = builder.const(0, dtype), builder.const(1, dtype)
        result, power = one, base
        for bit in range(8 * dtype.size - (dtype.kind == "i")):
            if bit:
                power = builder.mul(power, power)
            chosen = builder.apply("and", exponent, builder.const(1 << bit, dtype))
            factor = builder.select(builder.apply("ne", chosen, zero), power, one)
            result = builder.mul(result, factor)
        if dtype.kind == "i":
            result = builder.select(builder.apply("lt", exponent, zero), zero, result)
        return result

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        base, exponent = inputs
        if number == 0:
            return multiply(exponent, power(base, subtract(exponent, _one_like(exponent))))
        if output.dtype.kind not in "fc":
            return 0
        # Where the power is 0 its base is (or it underflows): the limit is 0, not 0 * -inf.
        return where(equal(output, 0), 0, multiply(log(base), output))


def _one_like(a: array) -> bool | int:
    return True if a.dtype.kind == "b" else 1


_POWER = Power()


def power(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """a ** b with broadcasting and promotion. Integers wrap, and to a negative power they are 0.

    Python exponents 2, 3 and 4 are multiplications.

    >>> mx.power(mx.array([2, 3]), 2)
    array([4, 9], dtype=int32)
    """
    if stream is not None:
        require_stream("power", stream)
    if isinstance(a, array) and scalar_kind(b) in ("i", "f") and b in (2, 3, 4):
        base = binary_operands("power", a, b)[0]
        if base.dtype.kind != "b":
            squared = square(base)
            if b == 2:
                return squared
            return multiply(squared, base) if b == 3 else square(squared)
    return elementwise(_POWER, binary_operands("power", a, b))


class LogAddExp(ElementaryFunction):
    name = "LogAddExp"
    function = "logaddexp"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        difference = subtract(inputs[number], inputs[1 - number])
        return elementwise(_SIGMOID, (difference,))


_LOGADDEXP = LogAddExp()


def logaddexp(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """log(exp(a) + exp(b)) without overflow, with broadcasting; integers become float32.

    >>> mx.logaddexp(mx.array([0.0]), float("-inf"))
    array([0], dtype=float32)
    """
    if stream is not None:
        require_stream("logaddexp", stream)
    return elementwise(_LOGADDEXP, binary_operands("logaddexp", a, b, float32))
