"""Trigonometric and hyperbolic functions and their inverses; angles are in radians."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tarry.base.dtypes import complex64, float32
from tarry.graph.array import array
from tarry.ops.arithmetic import add, divide, multiply, negative, reciprocal, square, subtract
from tarry.ops.elementwise import ArrayLike, Partial, binary_operands, elementwise, float_operand
from tarry.ops.exponential import ElementaryFunction, rsqrt
from tarry.runtime.devices import StreamLike, require_stream


def _one_minus_square(a: array) -> array:
    # As a product it keeps its accuracy near 1.
    return multiply(subtract(1, a), add(1, a))


def _one_plus_square(a: array) -> array:
    return add(1, square(a))


class Sin(ElementaryFunction):
    name = "Sin"
    function = "sin"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return cos(inputs[0])


class Cos(ElementaryFunction):
    name = "Cos"
    function = "cos"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return negative(sin(inputs[0]))


class Tan(ElementaryFunction):
    name = "Tan"
    function = "tan"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return _one_plus_square(output)


class Sinh(ElementaryFunction):
    name = "Sinh"
    function = "sinh"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return cosh(inputs[0])


class Cosh(ElementaryFunction):
    name = "Cosh"
    function = "cosh"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return sinh(inputs[0])


class Tanh(ElementaryFunction):
    name = "Tanh"
    function = "tanh"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return _one_minus_square(output)


class ArcSin(ElementaryFunction):
    name = "ArcSin"
    function = "asin"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return rsqrt(_one_minus_square(inputs[0]))


class ArcCos(ElementaryFunction):
    name = "ArcCos"
    function = "acos"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return negative(rsqrt(_one_minus_square(inputs[0])))


class ArcTan(ElementaryFunction):
    name = "ArcTan"
    function = "atan"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return reciprocal(_one_plus_square(inputs[0]))


class ArcSinh(ElementaryFunction):
    name = "ArcSinh"
    function = "asinh"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return rsqrt(_one_plus_square(inputs[0]))


class ArcCosh(ElementaryFunction):
    name = "ArcCosh"
    function = "acosh"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        # Two roots, since for complex numbers sqrt((x - 1) * (x + 1)) may lie on the other branch.
        return multiply(rsqrt(subtract(inputs[0], 1)), rsqrt(add(inputs[0], 1)))


class ArcTanh(ElementaryFunction):
    name = "ArcTanh"
    function = "atanh"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return reciprocal(_one_minus_square(inputs[0]))


class ArcTan2(ElementaryFunction):
    name = "ArcTan2"
    function = "atan2"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        y, x = inputs
        norm = add(square(x), square(y))
        return divide(x, norm) if number == 0 else negative(divide(y, norm))


_SIN, _COS, _TAN, _SINH, _COSH, _TANH = Sin(), Cos(), Tan(), Sinh(), Cosh(), Tanh()
_ARCSIN, _ARCCOS, _ARCTAN = ArcSin(), ArcCos(), ArcTan()
_ARCSINH, _ARCCOSH, _ARCTANH = ArcSinh(), ArcCosh(), ArcTanh()


def sin(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The sine. Integers become float32.

    >>> mx.sin(mx.array([0.0]))
    array([0], dtype=float32)
    """
    if stream is not None:
        require_stream("sin", stream)
    return elementwise(_SIN, (float_operand("sin", a),))


def cos(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The cosine. Integers become float32.

    >>> mx.cos(mx.array([0.0]))
    array([1], dtype=float32)
    """
    if stream is not None:
        require_stream("cos", stream)
    return elementwise(_COS, (float_operand("cos", a),))


def tan(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The tangent. Integers become float32.

    >>> mx.tan(mx.array([0.0]))
    array([0], dtype=float32)
    """
    if stream is not None:
        require_stream("tan", stream)
    return elementwise(_TAN, (float_operand("tan", a),))


def sinh(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The hyperbolic sine. Integers become float32.

    >>> mx.sinh(mx.array([0.0]))
    array([0], dtype=float32)
    """
    if stream is not None:
        require_stream("sinh", stream)
    return elementwise(_SINH, (float_operand("sinh", a),))


def cosh(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The hyperbolic cosine. Integers become float32.

    >>> mx.cosh(mx.array([0.0]))
    array([1], dtype=float32)
    """
    if stream is not None:
        require_stream("cosh", stream)
    return elementwise(_COSH, (float_operand("cosh", a),))


def tanh(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The hyperbolic tangent. Integers become float32.

    >>> mx.tanh(mx.array([0.0, 100.0]))
    array([0, 1], dtype=float32)
    """
    if stream is not None:
        require_stream("tanh", stream)
    return elementwise(_TANH, (float_operand("tanh", a),))


def arcsin(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The inverse sine, in [-pi/2, pi/2]; nan outside [-1, 1]. Integers become float32.

    >>> mx.arcsin(mx.array([0.0, 1.0]))
    array([0, 1.5708], dtype=float32)
    """
    if stream is not None:
        require_stream("arcsin", stream)
    return elementwise(_ARCSIN, (float_operand("arcsin", a),))


def arccos(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The inverse cosine, in [0, pi]; nan outside [-1, 1]. Integers become float32.

    >>> mx.arccos(mx.array([1.0, -1.0]))
    array([0, 3.14159], dtype=float32)
    """
    if stream is not None:
        require_stream("arccos", stream)
    return elementwise(_ARCCOS, (float_operand("arccos", a),))


def arctan(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The inverse tangent, in [-pi/2, pi/2]. Integers become float32.

    >>> mx.arctan(mx.array([0.0, 1.0]))
    array([0, 0.785398], dtype=float32)
    """
    if stream is not None:
        require_stream("arctan", stream)
    return elementwise(_ARCTAN, (float_operand("arctan", a),))


def arcsinh(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The inverse hyperbolic sine. Integers become float32.

    >>> mx.arcsinh(mx.array([0.0]))
    array([0], dtype=float32)
    """
    if stream is not None:
        require_stream("arcsinh", stream)
    return elementwise(_ARCSINH, (float_operand("arcsinh", a),))


def arccosh(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The inverse hyperbolic cosine; nan below 1. Integers become float32.

    >>> mx.arccosh(mx.array([1.0, 0.0]))
    array([0, nan], dtype=float32)
    """
    if stream is not None:
        require_stream("arccosh", stream)
    return elementwise(_ARCCOSH, (float_operand("arccosh", a),))


def arctanh(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The inverse hyperbolic tangent; nan outside [-1, 1]. Integers become float32.

    >>> mx.arctanh(mx.array([0.0, 1.0]))
    array([0, inf], dtype=float32)
    """
    if stream is not None:
        require_stream("arctanh", stream)
    return elementwise(_ARCTANH, (float_operand("arctanh", a),))


_ARCTAN2 = ArcTan2()


def arctan2(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The angle of the point (x=b, y=a), in [-pi, pi], with broadcasting. ValueError for complex numbers.

    >>> mx.arctan2(mx.array([0.0]), mx.array([1.0]))
    array([0], dtype=float32)
    """
    if stream is not None:
        require_stream("arctan2", stream)
    operands = binary_operands("arctan2", a, b, float32)
    if operands[0].dtype is complex64:
        raise ValueError("[arctan2] Not supported for complex64: expected a real type.")
    return elementwise(_ARCTAN2, operands)


def degrees(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """Radians as degrees: a * 180 / pi. Integers become float32.

    >>> mx.degrees(mx.array([0.0, mx.pi]))
    array([0, 180], dtype=float32)
    """
    if stream is not None:
        require_stream("degrees", stream)
    return multiply(float_operand("degrees", a), 180 / math.pi)


def radians(a: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """Degrees as radians: a * pi / 180. Integers become float32.

    >>> mx.radians(mx.array([0.0, 180.0]))
    array([0, 3.14159], dtype=float32)
    """
    if stream is not None:
        require_stream("radians", stream)
    return multiply(float_operand("radians", a), math.pi / 180)
