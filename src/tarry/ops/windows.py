"""Window functions: hanning, hamming, blackman, bartlett. Computed in float64, rounded to float32."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tarry.base.dtypes import float32, float64
from tarry.graph.array import array
from tarry.ops.arguments import integer
from tarry.ops.arithmetic import add, multiply, subtract
from tarry.ops.complex_numbers import abs
from tarry.ops.elementwise import cast, constant
from tarry.ops.generators import iota
from tarry.ops.trigonometry import cos
from tarry.runtime.devices import StreamLike, require_stream


def _length(op: str, count: object) -> int:
    """The number of samples, none for a negative one. TypeError unless it is an integer."""
    return max(integer(op, count, "M"), 0)


def _sum_of_cosines(op: str, count: object, weights: Sequence[float]) -> array:
    """The sum of weight k times cos(2 pi k n / (M - 1)); a window of one sample is 1."""
    length = _length(op, count)
    if length <= 1:
        return constant(1.0, float32, (length,))
    angle = multiply(iota((length,), 0, float64), 2 * math.pi / (length - 1))
    window = constant(weights[0], float64, (length,))
    for number, weight in enumerate(weights[1:], 1):
        window = add(window, multiply(cos(multiply(angle, float(number))), weight))
    return cast(window, float32)


def hanning(M: int, *, stream: StreamLike = None) -> array:
    """The Hann window of M samples: 0.5 - 0.5 cos(2 pi n / (M - 1)).

    >>> mx.hanning(5)
    array([0, 0.5, 1, 0.5, 0], dtype=float32)
    """
    if stream is not None:
        require_stream("hanning", stream)
    return _sum_of_cosines("hanning", M, (0.5, -0.5))


def hamming(M: int, *, stream: StreamLike = None) -> array:
    """The Hamming window of M samples: 0.54 - 0.46 cos(2 pi n / (M - 1)).

    >>> mx.hamming(3)
    array([0.08, 1, 0.08], dtype=float32)
    """
    if stream is not None:
        require_stream("hamming", stream)
    return _sum_of_cosines("hamming", M, (0.54, -0.46))


def blackman(M: int, *, stream: StreamLike = None) -> array:
    """The Blackman window of M samples: 0.42 - 0.5 cos(x) + 0.08 cos(2 x) with x = 2 pi n / (M - 1).

    >>> mx.blackman(5)[1:4]
    array([0.34, 1, 0.34], dtype=float32)
    """
    if stream is not None:
        require_stream("blackman", stream)
    return _sum_of_cosines("blackman", M, (0.42, -0.5, 0.08))


def bartlett(M: int, *, stream: StreamLike = None) -> array:
    """The triangular window of M samples: 1 - |2 n / (M - 1) - 1|.

    >>> mx.bartlett(5)
    array([0, 0.5, 1, 0.5, 0], dtype=float32)
    """
    if stream is not None:
        require_stream("bartlett", stream)
    length = _length("bartlett", M)
    if length <= 1:
        return constant(1.0, float32, (length,))
    offset = subtract(multiply(iota((length,), 0, float64), 2 / (length - 1)), 1.0)
    return cast(subtract(1.0, abs(offset)), float32)
