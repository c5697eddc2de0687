"""Operations on the bits of integers. None has a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tarry.base.dtypes import Dtype, uint8
from tarry.graph.array import array
from tarry.loops.builder import Builder
from tarry.loops.ir import Instr
from tarry.ops.elementwise import (
    ArrayLike,
    Elementwise,
    Partial,
    binary_operands,
    cast,
    elementwise,
    unary_operand,
)


class BitwiseOperation(Elementwise):
    instruction: ClassVar[str] = ""

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return builder.apply(self.instruction, *args)

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return 0


class BitwiseInvert(BitwiseOperation):
    name = "BitwiseInvert"
    instruction = "not"


class BitwiseAnd(BitwiseOperation):
    name = "BitwiseAnd"
    instruction = "and"


class BitwiseOr(BitwiseOperation):
    name = "BitwiseOr"
    instruction = "or"


class BitwiseXor(BitwiseOperation):
    name = "BitwiseXor"
    instruction = "xor"


class LeftShift(BitwiseOperation):
    name = "LeftShift"
    instruction = "shl"


class RightShift(BitwiseOperation):
    name = "RightShift"
    instruction = "shr"


_INVERT, _AND, _OR, _XOR = BitwiseInvert(), BitwiseAnd(), BitwiseOr(), BitwiseXor()
_LEFT_SHIFT, _RIGHT_SHIFT = LeftShift(), RightShift()


def _integer_operands(op: str, a: object, b: object) -> tuple[array, array]:
    try:
        operands = binary_operands(op, a, b)
    except ValueError:
        for value in (a, b):
            if isinstance(value, array) and value.dtype.kind not in "uib":
                raise _not_integers(op, value.dtype) from None
        raise
    dtype = operands[0].dtype
    if dtype.kind not in "uib":
        raise _not_integers(op, dtype)
    return operands


def _not_integers(op: str, dtype: Dtype) -> RuntimeError:
    return RuntimeError(f"[{op}] Only allowed on integers and booleans, but the operands are {dtype.name}.")


def _shift_operands(op: str, a: object, b: object) -> tuple[array, array]:
    left, right = _integer_operands(op, a, b)
    if left.dtype.kind == "b":
        return cast(left, uint8), cast(right, uint8)
    return left, right


def bitwise_invert(a: ArrayLike, /, *, stream: object = None) -> array:
    """Every bit flipped; not, for booleans. ValueError for other types than integers and booleans.

    >>> mx.bitwise_invert(mx.array([0, 5]))
    array([-1, -6], dtype=int32)
    """
    operand = unary_operand("bitwise_invert", a)
    if operand.dtype.kind not in "uib":
        raise ValueError(f"[bitwise_invert] Only allowed on integers and booleans, not {operand.dtype.name}.")
    return elementwise(_INVERT, (operand,))


def bitwise_and(a: ArrayLike, b: ArrayLike, /, *, stream: object = None) -> array:
    """The bits set in both. RuntimeError for other types than integers and booleans.

    >>> mx.bitwise_and(mx.array([6, 5]), 3)
    array([2, 1], dtype=int32)
    """
    return elementwise(_AND, _integer_operands("bitwise_and", a, b))


def bitwise_or(a: ArrayLike, b: ArrayLike, /, *, stream: object = None) -> array:
    """The bits set in either. RuntimeError for other types than integers and booleans.

    >>> mx.bitwise_or(mx.array([6, 5]), 3)
    array([7, 7], dtype=int32)
    """
    return elementwise(_OR, _integer_operands("bitwise_or", a, b))


def bitwise_xor(a: ArrayLike, b: ArrayLike, /, *, stream: object = None) -> array:
    """The bits set in exactly one. RuntimeError for other types than integers and booleans.

    >>> mx.bitwise_xor(mx.array([6, 5]), 3)
    array([5, 6], dtype=int32)
    """
    return elementwise(_XOR, _integer_operands("bitwise_xor", a, b))


def left_shift(a: ArrayLike, b: ArrayLike, /, *, stream: object = None) -> array:
    """a * 2^b modulo the width of the type; booleans become uint8. RuntimeError for floating types.

    >>> mx.left_shift(mx.array([1, 3]), 2)
    array([4, 12], dtype=int32)
    """
    return elementwise(_LEFT_SHIFT, _shift_operands("left_shift", a, b))


def right_shift(a: ArrayLike, b: ArrayLike, /, *, stream: object = None) -> array:
    """floor(a / 2^b): signed integers keep their sign; booleans become uint8.

    RuntimeError for floating types.

    >>> mx.right_shift(mx.array([12, -8]), 2)
    array([3, -2], dtype=int32)
    """
    return elementwise(_RIGHT_SHIFT, _shift_operands("right_shift", a, b))
