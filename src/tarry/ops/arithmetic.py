"""Arithmetic: sums, differences, products, quotients, remainders.

Integers wrap. Booleans stay booleans: addition is or, multiplication is and, subtraction is exclusive or.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.base.dtypes import float32
from tarry.graph.array import array
from tarry.loops.builder import Builder
from tarry.loops.ir import Instr
from tarry.ops.elementwise import (
    ArrayLike,
    Elementwise,
    Partial,
    binary,
    binary_operands,
    elementwise,
    float_operand,
    unary_operand,
)
from tarry.runtime.devices import StreamLike, require_stream


class Negative(Elementwise):
    name = "Negative"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return builder.neg(args[0])

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return -1


_NEGATIVE = Negative()


def negative(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """-a, element by element; unsigned integers wrap. ValueError for booleans.

    >>> mx.negative(mx.array([1.0, -2.0]))
    array([-1, 2], dtype=float32)
    """
    if stream is not None:
        require_stream("negative", stream)
    operand = unary_operand("negative", a)
    if operand.dtype.kind == "b":
        raise ValueError("[negative] Booleans have no negative: use logical_not, or an integer type.")
    return elementwise(_NEGATIVE, (operand,))


class Add(Elementwise):
    name = "Add"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return builder.apply("or" if args[0].dtype.kind == "b" else "add", *args)

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return 1


_ADD = Add()


def add(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """a + b with broadcasting; dtypes promote, Python scalars are weak.

    ValueError for shapes that do not broadcast.

    >>> mx.add(mx.array([1, 2]), 3)
    array([4, 5], dtype=int32)
    """
    if stream is not None:
        require_stream("add", stream)
    return binary(_ADD, "add", a, b)


class Subtract(Elementwise):
    name = "Subtract"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return builder.apply("xor" if args[0].dtype.kind == "b" else "sub", *args)

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return 1 if number == 0 else -1


_SUBTRACT = Subtract()


def subtract(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """a - b with broadcasting and promotion; unsigned integers wrap.

    >>> mx.subtract(5, mx.array([1, 2]))
    array([4, 3], dtype=int32)
    """
    if stream is not None:
        require_stream("subtract", stream)
    return binary(_SUBTRACT, "subtract", a, b)


class Multiply(Elementwise):
    name = "Multiply"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return builder.apply("and" if args[0].dtype.kind == "b" else "mul", *args)

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return inputs[1 - number]


_MULTIPLY = Multiply()


def multiply(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """a * b with broadcasting and promotion; integers wrap.

    >>> mx.multiply(mx.array([1.0, 2.0]), mx.array([[3.0], [4.0]]))
    array([[3, 6],
           [4, 8]], dtype=float32)
    """
    if stream is not None:
        require_stream("multiply", stream)
    return binary(_MULTIPLY, "multiply", a, b)


class Divide(Elementwise):
    name = "Divide"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return builder.div(*args)

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        if number == 0:
            return reciprocal(inputs[1])
        return negative(divide(output, inputs[1]))


_DIVIDE = Divide()


def divide(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """a / b with broadcasting and promotion; integers and booleans are divided in float32.

    >>> mx.divide(mx.array([1, 2]), 2)
    array([0.5, 1], dtype=float32)
    """
    if stream is not None:
        require_stream("divide", stream)
    return binary(_DIVIDE, "divide", a, b, float32)


class Reciprocal(Elementwise):
    name = "Reciprocal"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return builder.div(builder.const(1, args[0].dtype), args[0])

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return negative(square(output))


_RECIPROCAL = Reciprocal()


def reciprocal(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """1 / a, element by element; integers and booleans become float32.

    >>> mx.reciprocal(mx.array([2.0, 4.0]))
    array([0.5, 0.25], dtype=float32)
    """
    if stream is not None:
        require_stream("reciprocal", stream)
    return elementwise(_RECIPROCAL, (float_operand("reciprocal", a),))


class Square(Elementwise):
    name = "Square"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return args[0] if args[0].dtype.kind == "b" else builder.mul(args[0], args[0])

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return multiply(inputs[0], 2)


_SQUARE = Square()


def square(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """a * a, element by element, in the dtype of `a`.

    >>> mx.square(mx.array([1, -3]))
    array([1, 9], dtype=int32)
    """
    if stream is not None:
        require_stream("square", stream)
    return elementwise(_SQUARE, (unary_operand("square", a),))


class FloorDivide(Elementwise):
    name = "FloorDivide"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return builder.apply("and" if args[0].dtype.kind == "b" else "floordiv", *args)

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return 0


_FLOOR_DIVIDE = FloorDivide()


def floor_divide(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """floor(a / b) with broadcasting and promotion; integers stay integers, and x // 0 is 0 for them.

    ValueError for complex operands.

    >>> mx.floor_divide(mx.array([7, -7]), 2)
    array([3, -4], dtype=int32)
    """
    if stream is not None:
        require_stream("floor_divide", stream)
    operands = _real_operands("floor_divide", a, b)
    return elementwise(_FLOOR_DIVIDE, operands)


class Remainder(Elementwise):
    name = "Remainder"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        if args[0].dtype.kind == "b":
            # x mod True is False, x mod False is x.
            return builder.logical_and(args[0], builder.logical_not(args[1]))
        return builder.apply("mod", *args)

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return 1 if number == 0 else negative(floor_divide(inputs[0], inputs[1]))


_REMAINDER = Remainder()


def remainder(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """a - b * floor(a / b), which has the sign of `b`; for integers x % 0 is x.

    ValueError for complex operands.

    >>> mx.remainder(mx.array([7, -7]), 3)
    array([1, 2], dtype=int32)
    """
    if stream is not None:
        require_stream("remainder", stream)
    operands = _real_operands("remainder", a, b)
    return elementwise(_REMAINDER, operands)


def divmod(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> list[array]:
    """[floor_divide(a, b), remainder(a, b)]. ValueError for complex operands.

    >>> mx.divmod(mx.array([7, -7]), 3)
    [array([2, -3], dtype=int32), array([1, 2], dtype=int32)]
    """
    if stream is not None:
        require_stream("divmod", stream)
    operands = _real_operands("divmod", a, b)
    return [elementwise(_FLOOR_DIVIDE, operands), elementwise(_REMAINDER, operands)]


def _real_operands(op: str, a: object, b: object) -> tuple[array, array]:
    operands = binary_operands(op, a, b)
    if operands[0].dtype.kind == "c":
        raise ValueError(f"[{op}] Complex numbers have no order to round towards: expected a real type.")
    return operands
