"""Comparisons, logic on truth values, and predicates on floating-point numbers. Results are booleans.

Complex numbers compare by real part, then by imaginary part. None of these has a gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tarry.base.dtypes import bool_
from tarry.graph.array import array
from tarry.loops.builder import Builder
from tarry.loops.ir import Instr
from tarry.ops.elementwise import (
    ArrayLike,
    Elementwise,
    Partial,
    as_array,
    binary_operands,
    cast,
    constant,
    elementwise,
    scalar_kind,
    unary_operand,
)
from tarry.runtime.devices import StreamLike, require_stream

INFINITY = float("inf")


class Predicate(Elementwise):
    """An elementwise op with a boolean result: it is constant almost everywhere."""

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return 0

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        return [None] * len(wanted)

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        return None


def emit_ordered(builder: Builder, comparison: str, a: Instr, b: Instr) -> Instr:
    """One of lt, le, gt, ge; complex numbers in lexicographic order."""
    if a.dtype.kind != "c":
        return builder.apply(comparison, a, b)
    real_a, real_b = builder.apply("real", a), builder.apply("real", b)
    imag_a, imag_b = builder.apply("imag", a), builder.apply("imag", b)
    strictly = builder.apply(comparison[0] + "t", real_a, real_b)
    tied = builder.apply("eq", real_a, real_b)
    return builder.apply("or", strictly, builder.logical_and(tied, builder.apply(comparison, imag_a, imag_b)))


class Comparison(Predicate):
    instruction: ClassVar[str] = ""

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        if self.instruction in ("eq", "ne"):
            return builder.apply(self.instruction, *args)
        return emit_ordered(builder, self.instruction, *args)


class Equal(Comparison):
    name = "Equal"
    instruction = "eq"


class NotEqual(Comparison):
    name = "NotEqual"
    instruction = "ne"


class Less(Comparison):
    name = "Less"
    instruction = "lt"


class LessEqual(Comparison):
    name = "LessEqual"
    instruction = "le"


class Greater(Comparison):
    name = "Greater"
    instruction = "gt"


class GreaterEqual(Comparison):
    name = "GreaterEqual"
    instruction = "ge"


_EQUAL, _NOT_EQUAL = Equal(), NotEqual()
_LESS, _LESS_EQUAL = Less(), LessEqual()
_GREATER, _GREATER_EQUAL = Greater(), GreaterEqual()


def equal(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """a == b, element by element, with broadcasting and promotion; nan equals nothing.

    >>> mx.equal(mx.array([1, 2]), 2)
    array([False, True], dtype=bool)
    """
    if stream is not None:
        require_stream("equal", stream)
    return elementwise(_EQUAL, binary_operands("equal", a, b), bool_)


def not_equal(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """a != b, element by element, with broadcasting and promotion.

    >>> mx.not_equal(mx.array([1, 2]), 2)
    array([True, False], dtype=bool)
    """
    if stream is not None:
        require_stream("not_equal", stream)
    return elementwise(_NOT_EQUAL, binary_operands("not_equal", a, b), bool_)


def less(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """a < b, element by element, with broadcasting and promotion.

    >>> mx.less(mx.array([1, 2]), 2)
    array([True, False], dtype=bool)
    """
    if stream is not None:
        require_stream("less", stream)
    return elementwise(_LESS, binary_operands("less", a, b), bool_)


def less_equal(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """a <= b, element by element, with broadcasting and promotion.

    >>> mx.less_equal(mx.array([1, 3]), 2)
    array([True, False], dtype=bool)
    """
    if stream is not None:
        require_stream("less_equal", stream)
    return elementwise(_LESS_EQUAL, binary_operands("less_equal", a, b), bool_)


def greater(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """a > b, element by element, with broadcasting and promotion.

    >>> mx.greater(mx.array([1, 3]), 2)
    array([False, True], dtype=bool)
    """
    if stream is not None:
        require_stream("greater", stream)
    return elementwise(_GREATER, binary_operands("greater", a, b), bool_)


def greater_equal(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """a >= b, element by element, with broadcasting and promotion.

    >>> mx.greater_equal(mx.array([1, 2]), 2)
    array([False, True], dtype=bool)
    """
    if stream is not None:
        require_stream("greater_equal", stream)
    return elementwise(_GREATER_EQUAL, binary_operands("greater_equal", a, b), bool_)


# Logic


class LogicalNot(Predicate):
    name = "LogicalNot"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return builder.logical_not(args[0])


class LogicalAnd(Predicate):
    name = "LogicalAnd"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return builder.apply("and", *args)


class LogicalOr(Predicate):
    name = "LogicalOr"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return builder.apply("or", *args)


_LOGICAL_NOT, _LOGICAL_AND, _LOGICAL_OR = LogicalNot(), LogicalAnd(), LogicalOr()


def _truth_value(op: str, value: object) -> object:
    if scalar_kind(value) is not None:
        return bool(value)
    return cast(as_array(op, value), bool_)


def _truth_values(op: str, a: object, b: object) -> tuple[array, array]:
    return binary_operands(op, _truth_value(op, a), _truth_value(op, b))


def logical_not(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """Where `a` is zero (or False).

    >>> mx.logical_not(mx.array([0.0, 2.0]))
    array([True, False], dtype=bool)
    """
    if stream is not None:
        require_stream("logical_not", stream)
    return elementwise(_LOGICAL_NOT, (cast(unary_operand("logical_not", a), bool_),))


def logical_and(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """Where both are nonzero, with broadcasting.

    >>> mx.logical_and(mx.array([0, 2]), True)
    array([False, True], dtype=bool)
    """
    if stream is not None:
        require_stream("logical_and", stream)
    return elementwise(_LOGICAL_AND, _truth_values("logical_and", a, b))


def logical_or(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """Where either is nonzero, with broadcasting.

    >>> mx.logical_or(mx.array([0, 2]), False)
    array([False, True], dtype=bool)
    """
    if stream is not None:
        require_stream("logical_or", stream)
    return elementwise(_LOGICAL_OR, _truth_values("logical_or", a, b))


def logical_xor(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """Where exactly one is nonzero, with broadcasting.

    >>> mx.logical_xor(mx.array([0, 2]), True)
    array([True, False], dtype=bool)
    """
    if stream is not None:
        require_stream("logical_xor", stream)
    return elementwise(_NOT_EQUAL, _truth_values("logical_xor", a, b), bool_)


# Predicates on floating-point numbers


class IsNaN(Predicate):
    name = "IsNaN"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return builder.apply("ne", args[0], args[0])


class IsFinite(Predicate):
    name = "IsFinite"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        if args[0].dtype.kind == "c":
            parts = [_below_infinity(builder, builder.apply(part, args[0])) for part in ("real", "imag")]
            return builder.logical_and(parts[0], parts[1])
        return _below_infinity(builder, args[0])


def _below_infinity(builder: Builder, value: Instr) -> Instr:
    return builder.apply("lt", builder.apply("abs", value), builder.const(INFINITY, value.dtype))


class IsInf(Predicate):
    name = "IsInf"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        if args[0].dtype.kind == "c":
            parts = [_at_infinity(builder, builder.apply(part, args[0])) for part in ("real", "imag")]
            return builder.apply("or", parts[0], parts[1])
        return _at_infinity(builder, args[0])


def _at_infinity(builder: Builder, value: Instr) -> Instr:
    return builder.apply("eq", builder.apply("abs", value), builder.const(INFINITY, value.dtype))


_IS_NAN, _IS_FINITE, _IS_INF = IsNaN(), IsFinite(), IsInf()


def _floating_predicate(op: str, primitive: Predicate, a: object, for_integers: bool) -> array:
    operand = unary_operand(op, a)
    if operand.dtype.kind not in "fc":
        return constant(for_integers, bool_, operand.shape)
    return elementwise(primitive, (operand,), bool_)


def isnan(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """Where `a` is not a number; False for integers, and for complex numbers where either part is nan.

    >>> mx.isnan(mx.array([1.0, float("nan")]))
    array([False, True], dtype=bool)
    """
    if stream is not None:
        require_stream("isnan", stream)
    return _floating_predicate("isnan", _IS_NAN, a, False)


def isinf(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """Where `a` is infinite, with either sign; for complex numbers where either part is.

    >>> mx.isinf(mx.array([1.0, float("-inf")]))
    array([False, True], dtype=bool)
    """
    if stream is not None:
        require_stream("isinf", stream)
    return _floating_predicate("isinf", _IS_INF, a, False)


def isfinite(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """Where `a` is neither infinite nor nan; for complex numbers where both parts are finite.

    >>> mx.isfinite(mx.array([1.0, float("inf"), float("nan")]))
    array([True, False, False], dtype=bool)
    """
    if stream is not None:
        require_stream("isfinite", stream)
    return _floating_predicate("isfinite", _IS_FINITE, a, True)


def isposinf(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """Where `a` is +infinity.

    >>> mx.isposinf(mx.array([float("inf"), float("-inf")]))
    array([True, False], dtype=bool)
    """
    if stream is not None:
        require_stream("isposinf", stream)
    return equal_to_infinity("isposinf", a, INFINITY)


def isneginf(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """Where `a` is -infinity.

    >>> mx.isneginf(mx.array([float("inf"), float("-inf")]))
    array([False, True], dtype=bool)
    """
    if stream is not None:
        require_stream("isneginf", stream)
    return equal_to_infinity("isneginf", a, -INFINITY)


def equal_to_infinity(op: str, a: object, infinity: float) -> array:
    """Where `a` equals the given infinity; False for integers."""
    operand = unary_operand(op, a)
    if operand.dtype.kind not in "fc":
        return constant(False, bool_, operand.shape)
    return equal(operand, infinity)
