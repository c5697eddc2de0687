"""Operations on the bits of integers. None has a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tarry.base.dtypes import Dtype, int32, uint8, uint32
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
from tarry.runtime.devices import StreamLike, require_stream


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


class Shift(BitwiseOperation):
    """Counts are taken modulo the width, which is 32 for narrower integers: those lose all their bits."""

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        dtype = args[0].dtype
        if dtype.size >= 4:
            return super().emit(builder, *args)
        wide = int32 if dtype.kind == "i" else uint32
        shifted = builder.apply(self.instruction, *[builder.cast(value, wide) for value in args])
        return builder.cast(shifted, dtype)


class LeftShift(Shift):
    name = "LeftShift"
    instruction = "shl"


class RightShift(Shift):
    name = "RightShift"
    instruction = "shr"


_INVERT, _AND, _OR, _XOR = BitwiseInvert(), BitwiseAnd(), BitwiseOr(), BitwiseXor()
_LEFT_SHIFT, _RIGHT_SHIFT = LeftShift(), RightShift()


def _integer_operands(
    op: str, a: object, b: object, error: type[Exception] = RuntimeError
) -> tuple[array, array]:
    try:
        operands = binary_operands(op, a, b)
    except ValueError:
        for value in (a, b):
            if isinstance(value, array) and value.dtype.kind not in "uib":
                raise error(_not_integers(op, value.dtype)) from None
        raise
    dtype = operands[0].dtype
    if dtype.kind not in "uib":
        raise error(_not_integers(op, dtype))
    return operands


def _not_integers(op: str, dtype: Dtype) -> str:
    return f"[{op}] Only allowed on integers and booleans, but the operands are {dtype.name}."


def _shift_operands(
    op: str, a: object, b: object, error: type[Exception] = RuntimeError
) -> tuple[array, array]:
    left, right = _integer_operands(op, a, b, error)
    if left.dtype.kind == "b":
        return cast(left, uint8), cast(right, uint8)
    return left, right


def bitwise_invert(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """Every bit flipped; not, for booleans. ValueError for other types than integers and booleans.

    >>> mx.bitwise_invert(mx.array([0, 5]))
    array([-1, -6], dtype=int32)
    """
    if stream is not None:
        require_stream("bitwise_invert", stream)
    operand = unary_operand("bitwise_invert", a)
    if operand.dtype.kind not in "uib":
        raise ValueError(f"[bitwise_invert] Only allowed on integers and booleans, not {operand.dtype.name}.")
    return elementwise(_INVERT, (operand,))


def bitwise_and(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The bits set in both. RuntimeError for other types than integers and booleans.

    >>> mx.bitwise_and(mx.array([6, 5]), 3)
    array([2, 1], dtype=int32)
    """
    if stream is not None:
        require_stream("bitwise_and", stream)
    return elementwise(_AND, _integer_operands("bitwise_and", a, b))


def bitwise_or(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The bits set in either. RuntimeError for other types than integers and booleans.

    >>> mx.bitwise_or(mx.array([6, 5]), 3)
    array([7, 7], dtype=int32)
    """
    if stream is not None:
        require_stream("bitwise_or", stream)
    return elementwise(_OR, _integer_operands("bitwise_or", a, b))


def bitwise_xor(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The bits set in exactly one. RuntimeError for other types than integers and booleans.

    >>> mx.bitwise_xor(mx.array([6, 5]), 3)
    array([5, 6], dtype=int32)
    """
    if stream is not None:
        require_stream("bitwise_xor", stream)
    return elementwise(_XOR, _integer_operands("bitwise_xor", a, b))


def left_shift(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """a * 2^b modulo the width of the type; booleans become uint8. RuntimeError for floating types.

    >>> mx.left_shift(mx.array([1, 3]), 2)
    array([4, 12], dtype=int32)
    """
    if stream is not None:
        require_stream("left_shift", stream)
    return elementwise(_LEFT_SHIFT, _shift_operands("left_shift", a, b))


def right_shift(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """floor(a / 2^b): signed integers keep their sign; booleans become uint8.

    RuntimeError for floating types.

    >>> mx.right_shift(mx.array([12, -8]), 2)
    array([3, -2], dtype=int32)
    """
    if stream is not None:
        require_stream("right_shift", stream)
    return elementwise(_RIGHT_SHIFT, _shift_operands("right_shift", a, b))


# The operators &, |, ^, << and >>: the functions, but operands of other types are a ValueError, as in MLX.


def and_operator(a: ArrayLike, b: ArrayLike) -> array:
    """a & b."""
    return elementwise(_AND, _integer_operands("bitwise_and", a, b, ValueError))


def or_operator(a: ArrayLike, b: ArrayLike) -> array:
    """a | b."""
    return elementwise(_OR, _integer_operands("bitwise_or", a, b, ValueError))


def xor_operator(a: ArrayLike, b: ArrayLike) -> array:
    """a ^ b."""
    return elementwise(_XOR, _integer_operands("bitwise_xor", a, b, ValueError))


def left_shift_operator(a: ArrayLike, b: ArrayLike) -> array:
    """a << b."""
    return elementwise(_LEFT_SHIFT, _shift_operands("left_shift", a, b, ValueError))


def right_shift_operator(a: ArrayLike, b: ArrayLike) -> array:
    """a >> b."""
    return elementwise(_RIGHT_SHIFT, _shift_operands("right_shift", a, b, ValueError))
