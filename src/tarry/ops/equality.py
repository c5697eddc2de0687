"""Whole arrays compared: array_equal, allclose, isclose."""

from __future__ import annotations

from tarry.base.dtypes import bool_, float32
from tarry.graph.array import array
from tarry.ops.arguments import flag, real_number
from tarry.ops.arithmetic import add, multiply, subtract
from tarry.ops.comparison import equal, isfinite, isnan, less_equal, logical_and, logical_or
from tarry.ops.complex_numbers import abs
from tarry.ops.elementwise import ArrayLike, as_array, binary_operands, constant, require_array
from tarry.ops.reductions import all
from tarry.runtime.devices import StreamLike, require_stream


def _same_or_both_nan(same: array, a: array, b: array, equal_nan: bool) -> array:
    if not equal_nan or a.dtype.kind not in "fc":
        return same
    return logical_or(same, logical_and(isnan(a), isnan(b)))


def array_equal(
    a: ArrayLike, b: ArrayLike, /, *, equal_nan: bool = False, stream: StreamLike = None
) -> array:
    """Whether the shapes and all elements are equal: a boolean scalar. nan equals nan only with `equal_nan`.

    >>> mx.array_equal(mx.array([1, 2]), mx.array([1.0, 2.0]))
    array(True, dtype=bool)
    """
    if stream is not None:
        require_stream("array_equal", stream)
    flag("array_equal", equal_nan, "equal_nan")
    left, right = as_array("array_equal", a), as_array("array_equal", b)
    if left.shape != right.shape:
        return constant(False, bool_)
    left, right = binary_operands("array_equal", left, right)
    return all(_same_or_both_nan(equal(left, right), left, right, equal_nan))


def _close(op: str, a: object, b: object, rtol: float, atol: float, equal_nan: bool) -> array:
    left, right = binary_operands(op, require_array(op, a), require_array(op, b), float32)
    flag(op, equal_nan, "equal_nan")
    relative, absolute = real_number(op, rtol, "rtol"), real_number(op, atol, "atol")
    tolerance = add(multiply(abs(right), relative), absolute)
    near = less_equal(abs(subtract(left, right)), tolerance)
    near = logical_and(near, logical_and(isfinite(left), isfinite(right)))
    return _same_or_both_nan(logical_or(equal(left, right), near), left, right, equal_nan)


def isclose(
    a: array,
    b: array,
    /,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    *,
    equal_nan: bool = False,
    stream: StreamLike = None,
) -> array:
    """Where |a - b| <= atol + rtol * |b|, with broadcasting.

    Infinities are close if equal, nan with `equal_nan`.

    >>> mx.isclose(mx.array([1.0, 2.0]), mx.array([1.000001, 2.1]))
    array([True, False], dtype=bool)
    """
    if stream is not None:
        require_stream("isclose", stream)
    return _close("isclose", a, b, rtol, atol, equal_nan)


def allclose(
    a: array,
    b: array,
    /,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    *,
    equal_nan: bool = False,
    stream: StreamLike = None,
) -> array:
    """Whether `isclose` holds everywhere: a boolean scalar.

    >>> mx.allclose(mx.array([1.0]), mx.array([1.000001]))
    array(True, dtype=bool)
    """
    if stream is not None:
        require_stream("allclose", stream)
    return all(_close("allclose", a, b, rtol, atol, equal_nan))
