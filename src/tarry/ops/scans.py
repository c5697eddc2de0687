"""Running results along an axis: cumsum, cumprod, cummax, cummin, logcumsumexp.

`axis=None` takes the flattened array. With `reverse` they run from the end, without `inclusive` each leaves
its own element out. Half types are computed in float32 and rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tarry.base.dtypes import Dtype, bfloat16, bool_, complex64, float16, float32, int32
from tarry.base.shapes import normalize_axis
from tarry.graph.array import array
from tarry.graph.primitive import Primitive, Scalar
from tarry.loops.builder import Builder
from tarry.loops.combiners import highest, lowest
from tarry.loops.ir import Instr
from tarry.ops.arguments import dtype_of, flag, integer
from tarry.ops.arithmetic import add, multiply, subtract
from tarry.ops.build import build
from tarry.ops.comparison import equal, isnan, logical_or
from tarry.ops.complex_numbers import combine_parts, conjugate, imag, real
from tarry.ops.elementwise import cast, constant, require_array
from tarry.ops.exponential import exp
from tarry.ops.generators import iota
from tarry.ops.joining import concatenate
from tarry.ops.selection import stop_gradient, where
from tarry.ops.slices import narrowed
from tarry.ops.structure import batch_to_front
from tarry.ops.taking import pulled_along_axis, take_along_axis
from tarry.ops.views import flatten, flip
from tarry.runtime.devices import StreamLike, require_stream

_OPERATIONS = {"sum": "add", "prod": "mul", "max": "max", "min": "min"}


class Scan(Primitive):
    """Inclusive running results along an axis, from the start.

    `kind` is sum, prod, max, min, logsumexp, or recurrence: of inputs a and b, r_i = a_i r_(i-1) + b_i.
    """

    name = "Scan"
    shaped = False
    __slots__ = ("axis", "kind")

    def __init__(self, kind: str, axis: int) -> None:
        self.kind = kind
        self.axis = axis
        super().__init__()

    def params(self) -> tuple[object, ...]:
        return (self.kind, self.axis)

    # what the compiler asks

    def identity(self, dtype: Dtype) -> Scalar:
        """The result before the first element."""
        if self.kind == "logsumexp":
            return float("-inf")
        if self.kind == "max":
            return lowest(dtype)
        if self.kind == "min":
            return highest(dtype)
        one = self.kind == "prod"
        return one if dtype.kind == "b" else int(one)

    def combine(self, builder: Builder, carry: Instr, elements: Sequence[Instr]) -> Instr:
        """The next result."""
        if self.kind == "recurrence":
            return builder.add(builder.mul(elements[0], carry), elements[1])
        element = elements[0]
        if self.kind == "logsumexp":
            return _log_add(builder, carry, element)
        operation = _OPERATIONS[self.kind]
        if element.dtype.kind == "b":
            operation = {"mul": "and", "max": "or", "min": "and"}[operation]
        return builder.apply(operation, carry, element)

    # rules

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        axis = self.axis
        if self.kind == "sum":
            return [_backwards("sum", cotangent, axis)]
        if self.kind in ("max", "min"):
            places = _winners(inputs[0], output, axis)
            return [pulled_along_axis(inputs[0], places, axis, cotangent)]
        if self.kind == "logsumexp":
            decay = exp(subtract(output, _next(output, axis, 0)))
            sums = _recurrence_back(decay, cotangent, axis)
            return [multiply(sums, exp(subtract(inputs[0], output)))]
        factor = conjugate(inputs[0])
        # r_i = a_i r_(i-1) + b_i: what comes back to r_i is c_i + a_(i+1) times what came back to r_(i+1).
        returned = _recurrence_back(_next(factor, axis, 0), cotangent, axis)
        first = multiply(returned, conjugate(_previous(output, axis, 1 if self.kind == "prod" else 0)))
        return [first if number == 0 else returned for number in wanted]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        axis = self.axis
        tangent = tangents[0]
        if self.kind == "recurrence":
            pushed = tangents[1]
            if tangent is not None:
                term = multiply(tangent, _previous(output, axis, 0))
                pushed = term if pushed is None else add(pushed, term)
            return None if pushed is None else _scan("recurrence", axis, inputs[0], pushed)
        if tangent is None:
            return None
        if self.kind == "sum":
            return _scan("sum", axis, tangent)
        if self.kind in ("max", "min"):
            return take_along_axis(tangent, _winners(inputs[0], output, axis), axis)
        if self.kind == "logsumexp":
            decay = exp(subtract(_previous(output, axis, float("-inf")), output))
            return _scan("recurrence", axis, decay, multiply(tangent, exp(subtract(inputs[0], output))))
        return _scan("recurrence", axis, inputs[0], multiply(tangent, _previous(output, axis, 1)))

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        moved = [batch_to_front(value, axis, size) for value, axis in zip(inputs, axes)]
        return _scan(self.kind, self.axis + 1, *moved), 0


def _log_add(builder: Builder, a: Instr, b: Instr) -> Instr:
    """log(exp(a) + exp(b)) = max + log1p(exp(min - max)); infinities stay what they are."""
    high, low = builder.apply("max", a, b), builder.apply("min", a, b)
    zero = builder.const(0, high.dtype)
    gap = builder.sub(low, high)
    # Equal infinities have no difference; NaN stays.
    infinite = builder.logical_and(builder.apply("eq", low, high), builder.apply("ne", gap, gap))
    rest = builder.apply("log1p", builder.apply("exp", gap))
    return builder.add(high, builder.select(infinite, zero, rest))


def _scan(kind: str, axis: int, *inputs: array) -> array:
    return build(Scan(kind, axis), inputs, inputs[0].shape, inputs[0].dtype)


def _backwards(kind: str, value: array, axis: int) -> array:
    return flip(_scan(kind, axis, flip(value, axis)), axis)


def _recurrence_back(factor: array, term: array, axis: int) -> array:
    """r_i = term_i + factor_i r_(i+1), from the end."""
    return flip(_scan("recurrence", axis, flip(factor, axis), flip(term, axis)), axis)


def _previous(value: array, axis: int, start: Scalar) -> array:
    """The element before each one, `start` before the first."""
    return _shifted(value, axis, start, front=True)


def _next(value: array, axis: int, end: Scalar) -> array:
    return _shifted(value, axis, end, front=False)


def _shifted(value: array, axis: int, edge: Scalar, front: bool) -> array:
    length = value.shape[axis]
    if length == 0:
        return value
    shape = (*value.shape[:axis], 1, *value.shape[axis + 1 :])
    parts = [narrowed(value, axis, 0 if front else 1, length - 1), constant(edge, value.dtype, shape)]
    return concatenate(parts[::-1] if front else parts, axis)


def _winners(value: array, running: array, axis: int) -> array:
    """Where each running extremum stands: the latest place that equals it."""
    places = iota(value.shape, axis, int32)
    best = logical_or(equal(value, running), isnan(value))
    return _scan("max", axis, where(stop_gradient(best), places, 0))


# The functions


def _cumulative(
    op: str, kind: str, a: object, axis: Any, reverse: bool, inclusive: bool, initial: bool = False
) -> array:
    value = require_array(op, a)
    flag(op, reverse, "reverse")
    flag(op, inclusive, "inclusive")
    if flag(op, initial, "include_initial") and not inclusive:
        raise ValueError(f"[{op}] include_initial continues inclusive results: without them, leave it out.")
    if axis is None:
        value, place = flatten(value), 0
    else:
        place = normalize_axis(op, integer(op, axis, "axis"), value.ndim)
    dtype = value.dtype
    if dtype is complex64 and kind in ("sum", "max", "min", "logsumexp"):
        if kind != "sum":
            raise ValueError(f"[{op}] Complex numbers are not supported.")
        parts = [
            _cumulative(op, kind, part(value), place, reverse, inclusive, initial) for part in (real, imag)
        ]
        return combine_parts(*parts)
    work = cast(value, float32) if dtype is float16 or dtype is bfloat16 else value
    if reverse:
        work = flip(work, place)
    result = _scan(kind, place, work)
    if not inclusive:
        result = _previous(result, place, Scan(kind, place).identity(work.dtype))
    if initial:
        shape = (*result.shape[:place], 1, *result.shape[place + 1 :])
        first = constant(Scan(kind, place).identity(work.dtype), work.dtype, shape)
        result = concatenate([first, result], place)
    return cast(flip(result, place) if reverse else result, dtype)


def cumsum(
    a: array,
    /,
    axis: int | None = None,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    dtype: Dtype | None = None,
    include_initial: bool = False,
    stream: StreamLike = None,
) -> array:
    """Running sums along the axis; `dtype` is what is summed in (booleans in int32, others as they are).

    With `include_initial` they begin with the sum of nothing, 0, and are one more. ValueError for that
    without `inclusive`.

    >>> mx.cumsum(mx.array([1, 2, 3]))
    array([1, 3, 6], dtype=int32)
    """
    if stream is not None:
        require_stream("cumsum", stream)
    value = require_array("cumsum", a)
    if dtype is not None:
        value = cast(value, dtype_of("cumsum", dtype))
    if value.dtype is bool_:
        value = cast(value, int32)
    return _cumulative("cumsum", "sum", value, axis, reverse, inclusive, include_initial)


def cumprod(
    a: array,
    /,
    axis: int | None = None,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    dtype: Dtype | None = None,
    include_initial: bool = False,
    stream: StreamLike = None,
) -> array:
    """Running products along the axis; gradients are right where elements are 0.

    With `include_initial` they begin with the product of nothing, 1, and are one more. ValueError for that
    without `inclusive`.

    >>> mx.cumprod(mx.array([1, 2, 3]))
    array([1, 2, 6], dtype=int32)
    """
    if stream is not None:
        require_stream("cumprod", stream)
    value = require_array("cumprod", a)
    value = value if dtype is None else cast(value, dtype_of("cumprod", dtype))
    return _cumulative("cumprod", "prod", value, axis, reverse, inclusive, include_initial)


def cummax(
    a: array,
    /,
    axis: int | None = None,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    stream: StreamLike = None,
) -> array:
    """Running maxima along the axis; NaN stays. The gradient goes to the latest of equal ones.

    >>> mx.cummax(mx.array([1, 3, 2]))
    array([1, 3, 3], dtype=int32)
    """
    if stream is not None:
        require_stream("cummax", stream)
    return _cumulative("cummax", "max", a, axis, reverse, inclusive)


def cummin(
    a: array,
    /,
    axis: int | None = None,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    stream: StreamLike = None,
) -> array:
    """Running minima along the axis; NaN stays. The gradient goes to the latest of equal ones.

    >>> mx.cummin(mx.array([3, 1, 2]))
    array([3, 1, 1], dtype=int32)
    """
    if stream is not None:
        require_stream("cummin", stream)
    return _cumulative("cummin", "min", a, axis, reverse, inclusive)


def logcumsumexp(
    a: array,
    /,
    axis: int | None = None,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    stream: StreamLike = None,
) -> array:
    """log(cumsum(exp(a))) along the axis without overflow. Integers become float32.

    >>> mx.logcumsumexp(mx.array([0.0, 0.0]))
    array([0, 0.693147], dtype=float32)
    """
    if stream is not None:
        require_stream("logcumsumexp", stream)
    value = require_array("logcumsumexp", a)
    if value.dtype.kind not in "fc":
        value = cast(value, float32)
    return _cumulative("logcumsumexp", "logsumexp", value, axis, reverse, inclusive)


cumulative_sum = cumsum
cumulative_prod = cumprod
