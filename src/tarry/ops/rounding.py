"""Rounding. Integers and booleans are returned as they are, but for `round` to tens, hundreds, ... ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tarry.base.dtypes import bfloat16, complex64, float16, float32
from tarry.graph.array import array, wrap
from tarry.loops.builder import Builder
from tarry.loops.ir import Instr
from tarry.ops.arguments import integer, operand
from tarry.ops.arithmetic import add, divide, floor_divide, multiply, remainder, subtract
from tarry.ops.comparison import equal, greater, logical_and, logical_or
from tarry.ops.elementwise import ArrayLike, Elementwise, Partial, cast, constant, elementwise, unary_operand
from tarry.runtime.devices import StreamLike, require_stream


class Rounding(Elementwise):
    instruction: ClassVar[str] = ""

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        if args[0].dtype.kind == "c":
            parts = [builder.apply(part, args[0]) for part in ("real", "imag")]
            return builder.apply("complex", *[builder.apply(self.instruction, part) for part in parts])
        return builder.apply(self.instruction, args[0])

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return 0


class Floor(Rounding):
    name = "Floor"
    instruction = "floor"


class Ceil(Rounding):
    name = "Ceil"
    instruction = "ceil"


class Trunc(Rounding):
    name = "Trunc"
    instruction = "trunc"


class Round(Rounding):
    name = "Round"
    instruction = "round"


_FLOOR, _CEIL, _TRUNC, _ROUND = Floor(), Ceil(), Trunc(), Round()


def _rounded(op: str, primitive: Rounding, a: object) -> array:
    operand = unary_operand(op, a)
    if operand.dtype is complex64:
        raise ValueError(f"[{op}] Not supported for complex64: expected a real type.")
    if operand.dtype.kind != "f":
        return wrap(operand._node)
    return elementwise(primitive, (operand,))


def floor(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The greatest integer not above `a`, in the dtype of `a`. ValueError for complex numbers.

    >>> mx.floor(mx.array([1.5, -1.5]))
    array([1, -2], dtype=float32)
    """
    if stream is not None:
        require_stream("floor", stream)
    return _rounded("floor", _FLOOR, a)


def ceil(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The least integer not below `a`, in the dtype of `a`. ValueError for complex numbers.

    >>> mx.ceil(mx.array([1.5, -1.5]))
    array([2, -1], dtype=float32)
    """
    if stream is not None:
        require_stream("ceil", stream)
    return _rounded("ceil", _CEIL, a)


def trunc(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The integer part, towards zero, in the dtype of `a`. ValueError for complex numbers.

    >>> mx.trunc(mx.array([1.5, -1.5]))
    array([1, -1], dtype=float32)
    """
    if stream is not None:
        require_stream("trunc", stream)
    return _rounded("trunc", _TRUNC, operand("trunc", a, "a"))


def round(a: ArrayLike, /, decimals: int = 0, stream: StreamLike = None) -> array:
    """`a` to the given number of decimals, ties to even; negative `decimals` round to tens, hundreds, ... .

    The dtype stays; complex numbers round in both parts.

    >>> mx.round(mx.array([2.5, 1.25]))
    array([2, 1], dtype=float32)
    >>> mx.round(mx.array([15, 25, -15]), -1)
    array([20, 20, -20], dtype=int32)
    """
    if stream is not None:
        require_stream("round", stream)
    operand, decimals = unary_operand("round", a), integer("round", decimals, "decimals")
    dtype = operand.dtype
    if dtype.kind not in "fc":
        return _round_integers(operand, decimals)
    if decimals == 0:
        return elementwise(_ROUND, (operand,))
    if dtype is float16 or dtype is bfloat16:
        # Scaled in float32: a power of ten times a half number has more digits than the half type.
        return cast(round(cast(operand, float32), decimals), dtype)
    if decimals > 0:
        scale = 10.0**decimals
        return divide(elementwise(_ROUND, (multiply(operand, scale),)), scale)
    scale = 10.0**-decimals
    return multiply(elementwise(_ROUND, (divide(operand, scale),)), scale)


def _round_integers(a: array, decimals: int) -> array:
    """Integers to a multiple of a power of ten, ties to the even multiple."""
    if decimals >= 0:
        return wrap(a._node)
    unit = 10**-decimals
    bits = 1 if a.dtype.kind == "b" else 8 * a.dtype.size - (a.dtype.kind == "i")
    if unit >= 1 << bits:
        return constant(0, a.dtype, a.shape)
    quotient, rest = floor_divide(a, unit), remainder(a, unit)
    missing = subtract(unit, rest)
    tied_and_odd = logical_and(equal(rest, missing), remainder(quotient, 2))
    upwards = cast(logical_or(greater(rest, missing), tied_and_odd), a.dtype)
    return multiply(add(quotient, upwards), unit)
