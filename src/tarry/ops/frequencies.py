"""The frequencies that discrete Fourier transforms belong to, and their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tarry.base.dtypes import Dtype, float32, int32
from tarry.base.shapes import normalize_axis
from tarry.graph.array import array
from tarry.ops.arguments import integer, one_or_more, real_number
from tarry.ops.arithmetic import multiply, subtract
from tarry.ops.comparison import greater_equal
from tarry.ops.elementwise import cast, require_array
from tarry.ops.generators import checked_dtype, iota
from tarry.ops.joining import roll
from tarry.ops.selection import where
from tarry.ops.views import fresh
from tarry.runtime.devices import DeviceLike, StreamLike, require_device, require_stream


def _shifted(op: str, a: Any, axes: Any, direction: int) -> array:
    value = require_array(op, a)
    places = range(value.ndim) if axes is None else one_or_more(op, axes, "axes")
    where_to = [normalize_axis(op, axis, value.ndim) for axis in places]
    if not where_to:
        return fresh(value, value)
    shifts = [
        value.shape[axis] // 2 if direction > 0 else -(value.shape[axis] // 2) for axis in where_to
    ]
    return roll(value, shifts, where_to)


def fftshift(a: array, axes: int | Sequence[int] | None = None, stream: StreamLike = None) -> array:
    """The frequency zero moved to the middle of the axes, all of them unless given.

    IndexError for an axis out of range.

    >>> mx.fft.fftshift(mx.array([0, 1, 2, -2, -1]))
    array([-2, -1, 0, 1, 2], dtype=int32)
    """
    if stream is not None:
        require_stream("fftshift", stream)
    return _shifted("fftshift", a, axes, 1)


def ifftshift(a: array, axes: int | Sequence[int] | None = None, stream: StreamLike = None) -> array:
    """The inverse of `fftshift`, which differs from it for odd lengths.

    IndexError for an axis out of range.

    >>> mx.fft.ifftshift(mx.array([-2, -1, 0, 1, 2]))
    array([0, 1, 2, -2, -1], dtype=int32)
    """
    if stream is not None:
        require_stream("ifftshift", stream)
    return _shifted("ifftshift", a, axes, -1)


def _frequency_step(op: str, n: Any, d: Any) -> tuple[int, float]:
    count = integer(op, n, "n")
    if count < 1:
        raise ValueError(f"[{op}] n must be at least 1, but it is {count}.")
    distance = real_number(op, d, "d")
    if distance == 0:
        raise ValueError(f"[{op}] d must not be zero.")
    return count, 1.0 / (count * distance)


def _frequencies(op: str, places: array, step: float, dtype: Any, device: object) -> array:
    """Places times the step, in `dtype` or float32. ValueError unless it is floating."""
    require_device(op, device)
    target = checked_dtype(op, dtype, float32)
    if target.kind != "f":
        raise ValueError(f"[{op}] The dtype must be floating, but it is {target.name}.")
    return multiply(cast(places, target), step)


def fftfreq(
    n: int,
    d: float = 1.0,
    stream: StreamLike = None,
    *,
    dtype: Dtype | None = None,
    device: DeviceLike = None,
) -> array:
    """The frequencies of the values of `fft` for n samples at distance `d`: k / (n d), float32 or `dtype`.

    k counts 0, 1, ..., and in the second half the negative frequencies up to -1. ValueError for n < 1, d = 0.

    >>> mx.fft.fftfreq(4)
    array([0, 0.25, -0.5, -0.25], dtype=float32)
    """
    if stream is not None:
        require_stream("fftfreq", stream)
    count, step = _frequency_step("fftfreq", n, d)
    place = iota((count,), 0, int32)
    late = greater_equal(place, (count + 1) // 2)
    return _frequencies("fftfreq", where(late, subtract(place, count), place), step, dtype, device)


def rfftfreq(
    n: int,
    d: float = 1.0,
    stream: StreamLike = None,
    *,
    dtype: Dtype | None = None,
    device: DeviceLike = None,
) -> array:
    """The frequencies of the values of `rfft` for n samples at distance `d`: k / (n d), float32 or `dtype`.

    ValueError for n < 1, d = 0.

    >>> mx.fft.rfftfreq(4)
    array([0, 0.25, 0.5], dtype=float32)
    """
    if stream is not None:
        require_stream("rfftfreq", stream)
    count, step = _frequency_step("rfftfreq", n, d)
    return _frequencies("rfftfreq", iota((count // 2 + 1,), 0, int32), step, dtype, device)
