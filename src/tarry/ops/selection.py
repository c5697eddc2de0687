"""Choosing between values: where, maximum, minimum, clip, nan_to_num; and stop_gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tarry.base.dtypes import Dtype, bfloat16, bool_, float16, float32, float64
from tarry.base.shapes import Shape, broadcast_shapes
from tarry.graph.array import array, wrap
from tarry.graph.primitive import Scalar
from tarry.loops.builder import Builder
from tarry.loops.ir import Instr
from tarry.ops.arguments import real_number
from tarry.ops.comparison import (
    INFINITY,
    emit_ordered,
    equal,
    greater,
    greater_equal,
    isnan,
    less,
    less_equal,
)
from tarry.ops.elementwise import (
    ArrayLike,
    Constant,
    Elementwise,
    Partial,
    as_array,
    binary,
    binary_operands,
    cast,
    constant,
    elementwise,
    require_array,
    unary_operand,
)
from tarry.ops.structure import broadcast
from tarry.runtime.devices import StreamLike, require_stream


def spread(value: array, shape: Shape) -> array:
    """`value` broadcast to `shape`; a constant is made anew rather than repeated."""
    primitive = value._node.primitive
    if isinstance(primitive, Constant):
        return constant(primitive.value, value.dtype, shape)
    return broadcast(value, shape)


class Select(Elementwise):
    """Inputs: a boolean condition and the two values to choose from."""

    name = "Select"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return builder.select(*args)

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        zero = constant(0, cotangent.dtype, cotangent.shape)
        found: list[array | None] = []
        for number in wanted:
            if number == 0:
                found.append(None)
            elif number == 1:
                found.append(elementwise(self, (inputs[0], cotangent, zero), cotangent.dtype))
            else:
                found.append(elementwise(self, (inputs[0], zero, cotangent), cotangent.dtype))
        return found

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        if tangents[1] is None and tangents[2] is None:
            return None
        zero = constant(0, output.dtype, output.shape)
        chosen = [zero if tangent is None else tangent for tangent in tangents[1:]]
        return elementwise(self, (inputs[0], *chosen), output.dtype)


_SELECT = Select()


def where(condition: ArrayLike, x: ArrayLike, y: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """`x` where the condition is nonzero, `y` elsewhere; all three broadcast, `x` and `y` promote.

    The value that is not chosen has gradient zero (times an infinite derivative that is nan: choose before).

    >>> mx.where(mx.array([True, False]), mx.array([1, 2]), 0)
    array([1, 0], dtype=int32)
    """
    if stream is not None:
        require_stream("where", stream)
    chooser = cast(as_array("where", condition), bool_)
    left, right = binary_operands("where", x, y)
    if chooser.shape != left.shape:
        shape = broadcast_shapes("where", chooser.shape, left.shape)
        chooser, left, right = spread(chooser, shape), spread(left, shape), spread(right, shape)
    return elementwise(_SELECT, (chooser, left, right), left.dtype)


class Extremum(Elementwise):
    """maximum and minimum; nan wins, and in a tie the second operand has the gradient."""

    instruction: ClassVar[str] = ""
    comparison: ClassVar[str] = ""

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        if args[0].dtype.kind != "c":
            return builder.apply(self.instruction, *args)
        first_is_nan = builder.apply("ne", args[0], args[0])
        better = emit_ordered(builder, self.comparison, *args)
        return builder.select(builder.apply("or", better, first_is_nan), args[0], args[1])


class Maximum(Extremum):
    name = "Maximum"
    instruction = "max"
    comparison = "gt"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        taken = greater(*inputs) if number == 0 else less_equal(*inputs)
        return cast(taken, output.dtype)


class Minimum(Extremum):
    name = "Minimum"
    instruction = "min"
    comparison = "lt"

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        taken = less(*inputs) if number == 0 else greater_equal(*inputs)
        return cast(taken, output.dtype)


_MAXIMUM, _MINIMUM = Maximum(), Minimum()


def maximum(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The greater of two elements, with broadcasting and promotion; nan if either is nan.

    >>> mx.maximum(mx.array([1, 5]), 3)
    array([3, 5], dtype=int32)
    """
    if stream is not None:
        require_stream("maximum", stream)
    return binary(_MAXIMUM, "maximum", a, b)


def minimum(a: ArrayLike, b: ArrayLike, /, *, stream: StreamLike = None) -> array:
    """The smaller of two elements, with broadcasting and promotion; nan if either is nan.

    >>> mx.minimum(mx.array([1, 5]), 3)
    array([1, 3], dtype=int32)
    """
    if stream is not None:
        require_stream("minimum", stream)
    return binary(_MINIMUM, "minimum", a, b)


class Absent:
    """Stands for a bound that was not given at all."""


_ABSENT = Absent()


def _bound(name: str, first: ArrayLike | Absent | None, second: ArrayLike | None) -> ArrayLike | None:
    """A bound by either of its names. TypeError for both."""
    if isinstance(first, Absent):
        return second
    if second is not None:
        raise TypeError(f"[clip] incompatible function arguments: a_{name} and {name} are both given.")
    return first


def clip(
    a: array,
    /,
    a_min: ArrayLike | Absent | None = _ABSENT,
    a_max: ArrayLike | Absent | None = _ABSENT,
    *,
    min: ArrayLike | None = None,
    max: ArrayLike | None = None,
    stream: StreamLike = None,
) -> array:
    """minimum(maximum(a, a_min), a_max); a bound of None does not apply. The gradient is zero on the bounds.

    Bounds broadcast and promote with `a`; `min` and `max` are their other names. ValueError when a_min and
    a_max are both given as None.

    >>> mx.clip(mx.array([-1, 0, 7]), 0, 5)
    array([0, 0, 5], dtype=int32)
    """
    if stream is not None:
        require_stream("clip", stream)
    result = require_array("clip", a)
    if a_min is None and a_max is None:
        raise ValueError("[clip] At most one of a_min and a_max may be None, but both are.")
    low, high = _bound("min", a_min, min), _bound("max", a_max, max)
    if low is not None:
        result = elementwise(_MAXIMUM, binary_operands("clip", result, low))
    if high is not None:
        result = elementwise(_MINIMUM, binary_operands("clip", result, high))
    return wrap(result._node) if result is a else result


class StopGradient(Elementwise):
    name = "StopGradient"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return args[0]

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        return 0


_STOP_GRADIENT = StopGradient()


def stop_gradient(a: array, /, *, stream: StreamLike = None) -> array:
    """`a` itself, which transforms treat as a constant: its gradient and its tangent are zero.

    >>> mx.grad(lambda x: x * mx.stop_gradient(x))(mx.array(3.0))
    array(3, dtype=float32)
    """
    if stream is not None:
        require_stream("stop_gradient", stream)
    return elementwise(_STOP_GRADIENT, (require_array("stop_gradient", a),))


LARGEST: dict[Dtype, float] = {
    float16: 65504.0,
    bfloat16: (2.0 - 2.0**-7) * 2.0**127,
    float32: (2.0 - 2.0**-23) * 2.0**127,
    float64: (2.0 - 2.0**-52) * 2.0**1023,
}


def nan_to_num(
    a: ArrayLike,
    nan: Scalar = 0,
    posinf: Scalar | None = None,
    neginf: Scalar | None = None,
    *,
    stream: StreamLike = None,
) -> array:
    """`a` with nan and the infinities replaced: by default with 0 and the dtype's largest and lowest number.

    Integers are returned as they are. ValueError for complex numbers.

    >>> mx.nan_to_num(mx.array([1.0, float("nan"), float("inf")]), posinf=9)
    array([1, 0, 9], dtype=float32)
    """
    if stream is not None:
        require_stream("nan_to_num", stream)
    value = unary_operand("nan_to_num", a)
    if value.dtype.kind == "c":
        raise ValueError("[nan_to_num] Expected a real type, but the array is complex64.")
    if value.dtype.kind != "f":
        return wrap(value._node)
    largest = LARGEST[value.dtype]
    above = largest if posinf is None else _replacement("posinf", posinf)
    below = -largest if neginf is None else _replacement("neginf", neginf)
    result = where(isnan(value), _replacement("nan", nan), value)
    result = where(equal(value, INFINITY), above, result)
    return where(equal(value, -INFINITY), below, result)


def _replacement(role: str, given: object) -> float:
    return real_number("nan_to_num", given, role)
