"""Random words as numbers in an interval, and the arguments that the distributions have in common."""

from __future__ import annotations

import math
from typing import Any

from tarry.base.dtypes import Dtype, bfloat16, float16, float32, float64
from tarry.base.shapes import Shape, broadcast_shapes
from tarry.graph.array import array
from tarry.ops.arguments import integers
from tarry.ops.arithmetic import add, multiply, subtract
from tarry.ops.elementwise import ArrayLike, as_array, cast, constant, elementwise
from tarry.ops.generators import checked_dtype, checked_shape
from tarry.ops.random_bits import KeyWords, bits
from tarry.ops.random_functions import RANDOM_ERFINV
from tarry.ops.selection import minimum, spread

# The largest number below 1, and above -1, that the generator's floats may take.
BELOW_ONE: dict[Dtype, float] = {
    float32: 1.0 - 2.0**-24,
    float64: 1.0 - 2.0**-24,
    float16: 1.0 - 2.0**-11,
    bfloat16: 1.0 - 2.0**-8,
}
SQRT2 = math.sqrt(2.0)


def sample_shape(op: str, shape: Any) -> Shape:
    return checked_shape(op, integers(op, shape, "shape"))


def real_dtype(op: str, dtype: Any) -> Dtype:
    checked = checked_dtype(op, dtype, float32)
    if checked.kind != "f":
        raise ValueError(f"[{op}] The dtype must be a real floating type, not {checked.name}.")
    return checked


def unit(word: array, dtype: Dtype) -> array:
    """Random words as numbers in [0, 1): a word divided by 2**32 in float32, and kept below 1."""
    fraction = multiply(cast(word, float32), 2.0**-32)
    return cast(minimum(fraction, BELOW_ONE[dtype]), dtype)


def _bound(value: float | array, dtype: Dtype, shape: Shape) -> array:
    if isinstance(value, array):
        return spread(cast(value, dtype), shape)
    return constant(float(value), dtype, shape)


def between(low: float | array, high: float | array, word: array, dtype: Dtype) -> array:
    """Random words as numbers in [low, high)."""
    part = unit(word, dtype)
    if not isinstance(low, array) and not isinstance(high, array) and low == 0 and high == 1:
        return part
    first, last = _bound(low, dtype, word.shape), _bound(high, dtype, word.shape)
    return add(multiply(subtract(last, first), part), first)


def scalar_or_array(op: str, value: ArrayLike) -> float | array:
    """A bound: a Python number as it is, anything else as an array."""
    return value if isinstance(value, (int, float)) else as_array(op, value)


def _shape_of(value: float | array) -> Shape:
    return value.shape if isinstance(value, array) else ()


def check_bounds(op: str, low: float | array, high: float | array, shape: Shape) -> None:
    bounds = broadcast_shapes(op, _shape_of(low), _shape_of(high))
    if broadcast_shapes(op, bounds, shape) != shape:
        raise ValueError(f"[{op}] Bounds of shape {bounds} do not fit values of shape {shape}.")


def symmetric(word: array, dtype: Dtype) -> array:
    """Random words as numbers in (-1, 1)."""
    return between(-BELOW_ONE[dtype], 1, word, dtype)


def standard_normal(words: KeyWords, shape: Shape) -> array:
    """Normal numbers divided by sqrt(2), in float32."""
    return elementwise(RANDOM_ERFINV, (symmetric(bits(words, shape), float32),))
