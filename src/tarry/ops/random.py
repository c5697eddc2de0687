"""The module `mlx.core.random`: arrays drawn from distributions. The same bits as MLX for the same key.

Every function takes a `key` (uint32 of shape (2,)); without one it splits the calling thread's state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tarry.base.dtypes import Dtype, bfloat16, complex64, float16, float32, float64, int32, uint32
from tarry.base.shapes import Shape, broadcast_shapes, normalize_axis, size_of
from tarry.graph.array import array
from tarry.graph.operators import operators
from tarry.graph.primitive import Scalar
from tarry.ops.arithmetic import add, divide, multiply, negative, subtract
from tarry.ops.comparison import less
from tarry.ops.complex_numbers import abs, combine_parts, sign
from tarry.ops.elementwise import ArrayLike, as_array, cast, constant, elementwise, require_array
from tarry.ops.exponential import log1p
from tarry.ops.generators import checked_dtype, checked_shape
from tarry.ops.random_bits import KeyWords, bits, bits_at, host_bits, positions, words_of_key
from tarry.ops.random_functions import RANDOM_ERF, RANDOM_ERFINV, RANDOM_LOG
from tarry.ops.random_state import drawn_words, evaluated_words, host_draw, key, seed, split, state
from tarry.ops.reductions import argmax
from tarry.ops.rounding import floor
from tarry.ops.selection import maximum, minimum, spread
from tarry.ops.structure import reshaped

__all__ = [
    "bernoulli",
    "categorical",
    "gumbel",
    "key",
    "laplace",
    "normal",
    "permutation",
    "randint",
    "seed",
    "split",
    "state",
    "truncated_normal",
    "uniform",
]

# The largest number below 1, and above -1, that the generator's floats may take.
_BELOW_ONE: dict[Dtype, float] = {
    float32: 1.0 - 2.0**-24,
    float64: 1.0 - 2.0**-24,
    float16: 1.0 - 2.0**-11,
    bfloat16: 1.0 - 2.0**-8,
}
_SQRT2 = math.sqrt(2.0)


def _sample_shape(op: str, shape: Any) -> Shape:
    if not isinstance(shape, (list, tuple)):
        raise TypeError(f"[{op}] incompatible function arguments: shape must be a sequence, not {shape!r}.")
    return checked_shape(op, shape)


def _real_dtype(op: str, dtype: Any) -> Dtype:
    checked = checked_dtype(op, dtype, float32)
    if checked.kind != "f":
        raise ValueError(f"[{op}] The dtype must be a real floating type, not {checked.name}.")
    return checked


def _unit(word: array, dtype: Dtype) -> array:
    """Random words as numbers in [0, 1): a word divided by 2**32 in float32, and kept below 1."""
    fraction = multiply(cast(word, float32), 2.0**-32)
    return cast(minimum(fraction, _BELOW_ONE[dtype]), dtype)


def _bound(value: float | array, dtype: Dtype, shape: Shape) -> array:
    if isinstance(value, array):
        return spread(cast(value, dtype), shape)
    return constant(float(value), dtype, shape)


def _between(low: float | array, high: float | array, word: array, dtype: Dtype) -> array:
    """Random words as numbers in [low, high)."""
    unit = _unit(word, dtype)
    if not isinstance(low, array) and not isinstance(high, array) and low == 0 and high == 1:
        return unit
    first, last = _bound(low, dtype, word.shape), _bound(high, dtype, word.shape)
    return add(multiply(subtract(last, first), unit), first)


def _operand(op: str, value: ArrayLike) -> float | array:
    """A bound: a Python number as it is, anything else as an array."""
    return value if isinstance(value, (int, float)) else as_array(op, value)


def _shape_of(value: float | array) -> Shape:
    return value.shape if isinstance(value, array) else ()


def _check_bounds(op: str, low: float | array, high: float | array, shape: Shape) -> None:
    bounds = broadcast_shapes(op, _shape_of(low), _shape_of(high))
    if broadcast_shapes(op, bounds, shape) != shape:
        raise ValueError(f"[{op}] Bounds of shape {bounds} do not fit values of shape {shape}.")


# Distributions


def uniform(
    low: ArrayLike = 0,
    high: ArrayLike = 1,
    shape: Sequence[int] = (),
    dtype: Dtype | None = float32,
    key: array | None = None,
    stream: object = None,
) -> array:
    """Numbers evenly distributed in [low, high), which broadcast to `shape`.

    ValueError for a dtype that is not real floating, or bounds that do not broadcast to the shape.

    >>> mx.random.uniform(shape=(2,), key=mx.random.key(3))
    array([0.453204, 0.516343], dtype=float32)
    """
    extents, target = _sample_shape("uniform", shape), _real_dtype("uniform", dtype)
    first, last = _operand("uniform", low), _operand("uniform", high)
    _check_bounds("uniform", first, last, extents)
    return _between(first, last, bits(drawn_words("uniform", key), extents), target)


def _symmetric(word: array, dtype: Dtype) -> array:
    """Random words as numbers in (-1, 1)."""
    return _between(-_BELOW_ONE[dtype], 1, word, dtype)


def _standard_normal(words: KeyWords, shape: Shape) -> array:
    """Normal numbers divided by sqrt(2), in float32."""
    return elementwise(RANDOM_ERFINV, (_symmetric(bits(words, shape), float32),))


def _complex_normal(words: KeyWords, shape: Shape) -> array:
    """Complex numbers whose parts come from neighbouring words; each part has variance 1/2."""
    even = multiply(positions(shape), constant(2, uint32, shape))
    parts = []
    for offset in (0, 1):
        place = add(even, constant(offset, uint32, shape))
        word = bits_at(words, place, 2 * size_of(shape))
        parts.append(elementwise(RANDOM_ERFINV, (_symmetric(word, float32),)))
    return combine_parts(*parts)


def normal(
    shape: Sequence[int] = (),
    dtype: Dtype | None = float32,
    loc: ArrayLike | None = None,
    scale: ArrayLike | None = None,
    key: array | None = None,
    stream: object = None,
) -> array:
    """Normally distributed numbers with mean `loc` and standard deviation `scale`.

    Both broadcast with the shape. Complex numbers have variance 1/2 in each part. ValueError for integers.

    >>> mx.random.normal((2,), key=mx.random.key(3))
    array([-0.117569, 0.0409775], dtype=float32)
    """
    extents, target = _sample_shape("normal", shape), checked_dtype("normal", dtype, float32)
    if target.kind not in "fc":
        raise ValueError(f"[normal] The dtype must be floating or complex64, not {target.name}.")
    words = drawn_words("normal", key)
    factor: array | None = None
    if target is complex64:
        value = _complex_normal(words, extents)
    else:
        value = cast(_standard_normal(words, extents), target)
        factor = constant(_SQRT2, target)
    if scale is not None:
        given = cast(as_array("normal", scale), target)
        factor = given if factor is None else multiply(factor, given)
    if factor is not None:
        value = multiply(value, factor)
    return value if loc is None else add(value, cast(as_array("normal", loc), target))


def bernoulli(
    p: ArrayLike = 0.5,
    shape: Sequence[int] | None = None,
    key: array | None = None,
    stream: object = None,
) -> array:
    """Booleans that are True with probability `p`; of the shape of `p` unless given.

    ValueError unless `p` is floating and broadcasts to the shape.

    >>> mx.random.bernoulli(0.5, (2,), key=mx.random.key(3))
    array([True, False], dtype=bool)
    """
    probability = as_array("bernoulli", p)
    if probability.dtype.kind != "f":
        raise ValueError(f"[bernoulli] The probability must be floating, not {probability.dtype.name}.")
    extents = probability.shape if shape is None else _sample_shape("bernoulli", shape)
    _check_bounds("bernoulli", probability, probability, extents)
    word = cast(bits(drawn_words("bernoulli", key), extents), float32)
    # The number after 2**32, so that a probability of 1 is always True.
    bound = multiply(cast(probability, float32), 2.0**32 + 2.0**9)
    return less(word, spread(bound, extents))


def randint(
    low: ArrayLike,
    high: ArrayLike,
    shape: Sequence[int] = (),
    dtype: Dtype | None = int32,
    key: array | None = None,
    stream: object = None,
) -> array:
    """Integers evenly distributed in [low, high), which broadcast to `shape`.

    They are drawn as float32 numbers: beyond 2**24 not every integer occurs. ValueError for a floating dtype.

    >>> mx.random.randint(0, 10, (3,), key=mx.random.key(3)).dtype
    mlx.core.int32
    """
    extents, target = _sample_shape("randint", shape), checked_dtype("randint", dtype, int32)
    if target.kind not in "uib":
        raise ValueError(f"[randint] The dtype must be an integer type or bool, not {target.name}.")
    first, last = as_array("randint", low), as_array("randint", high)
    _check_bounds("randint", first, last, extents)
    drawn = _between(first, last, bits(drawn_words("randint", key), extents), float32)
    greatest = cast(subtract(last, 1), target)
    return maximum(minimum(cast(floor(drawn), target), greatest), cast(first, target))


def gumbel(
    shape: Sequence[int] = (),
    dtype: Dtype | None = float32,
    key: array | None = None,
    stream: object = None,
) -> array:
    """Numbers of the standard Gumbel distribution: -log(-log(u)) for uniform u.

    >>> mx.random.gumbel((2,), key=mx.random.key(3))
    array([0.233937, 0.414026], dtype=float32)
    """
    extents, target = _sample_shape("gumbel", shape), _real_dtype("gumbel", dtype)
    return _gumbel(drawn_words("gumbel", key), extents, target)


def _gumbel(words: KeyWords, shape: Shape, dtype: Dtype) -> array:
    unit = _unit(bits(words, shape), dtype)
    inner = negative(elementwise(RANDOM_LOG, (unit,)))
    return negative(elementwise(RANDOM_LOG, (inner,)))


def laplace(
    shape: Sequence[int] = (),
    dtype: Dtype | None = float32,
    loc: Scalar = 0.0,
    scale: Scalar = 1.0,
    key: array | None = None,
    stream: object = None,
) -> array:
    """Numbers of the Laplace distribution with mean `loc` and the given scale.

    >>> mx.random.laplace((2,), key=mx.random.key(3)).shape
    (2,)
    """
    extents, target = _sample_shape("laplace", shape), _real_dtype("laplace", dtype)
    drawn = _symmetric(bits(drawn_words("laplace", key), extents), target)
    value = multiply(sign(drawn), log1p(negative(abs(drawn))))
    for operation, neutral, given in ((multiply, 1, scale), (add, 0, loc)):
        if isinstance(given, array) or given != neutral:
            value = operation(value, cast(as_array("laplace", given), target))
    return value


def truncated_normal(
    lower: ArrayLike,
    upper: ArrayLike,
    shape: Sequence[int] | None = None,
    dtype: Dtype | None = float32,
    key: array | None = None,
    stream: object = None,
) -> array:
    """Standard normal numbers within [lower, upper], by inverting the distribution function.

    The shape is that of the bounds unless given, and the bounds broadcast to it. ValueError for a dtype that
    is not real floating.

    >>> mx.random.truncated_normal(-1, 1, (2,), key=mx.random.key(3))
    array([-0.0801646, 0.0279707], dtype=float32)
    """
    target = _real_dtype("truncated_normal", dtype)
    bounds = [cast(as_array("truncated_normal", bound), target) for bound in (lower, upper)]
    if shape is None:
        extents = broadcast_shapes("truncated_normal", bounds[0].shape, bounds[1].shape)
    else:
        extents = _sample_shape("truncated_normal", shape)
    _check_bounds("truncated_normal", bounds[0], bounds[1], extents)
    root = constant(_SQRT2, target)
    quantiles = [elementwise(RANDOM_ERF, (divide(bound, root),)) for bound in bounds]
    word = bits(drawn_words("truncated_normal", key), extents)
    drawn = elementwise(RANDOM_ERFINV, (_between(quantiles[0], quantiles[1], word, target),))
    return maximum(minimum(multiply(drawn, root), bounds[1]), bounds[0])


def categorical(
    logits: array,
    axis: int = -1,
    shape: Sequence[int] | None = None,
    num_samples: int | None = None,
    key: array | None = None,
    stream: object = None,
) -> array:
    """Categories (uint32) with probabilities proportional to exp(logits) along an axis.

    Without `shape` one sample for each distribution; with `num_samples`, as many along a new last axis;
    `shape` must be one the distributions' shape broadcasts to. They are an argmax with Gumbel noise.
    IndexError for an axis out of range, ValueError for both `shape` and `num_samples`.

    >>> mx.random.categorical(mx.array([[0.0, 100.0], [100.0, 0.0]]))
    array([1, 0], dtype=uint32)
    """
    values = require_array("categorical", logits)
    place = normalize_axis("categorical", axis, values.ndim)
    if shape is not None and num_samples is not None:
        raise ValueError("[categorical] At most one of shape and num_samples can be given, but both are.")
    categories = values.shape[place]
    batch = values.shape[:place] + values.shape[place + 1 :]
    words = drawn_words("categorical", key)
    if num_samples is not None:
        count = checked_shape("categorical", num_samples)
        noise = _gumbel(words, (*values.shape, *count), float32)
        return argmax(add(noise, reshaped(values, (*values.shape, 1))), place)
    if shape is None:
        return argmax(add(_gumbel(words, values.shape, float32), values), place)
    extents = _sample_shape("categorical", shape)
    if broadcast_shapes("categorical", batch, extents) != extents:
        raise ValueError(
            f"[categorical] The distributions, of shape {batch}, do not broadcast to the shape {extents}."
        )
    # The category axis counts from the end among the distributions' dimensions.
    inserted = len(extents) - (len(batch) - place)
    noise = _gumbel(words, (*extents[:inserted], categories, *extents[inserted:]), float32)
    return argmax(add(noise, values), inserted)


def permutation(
    x: int | array, axis: int = 0, key: array | None = None, stream: object = None
) -> array:
    """A random order of 0, ..., x - 1 (uint32) for an integer x; of the entries along an axis for an array.

    The order is that of random words, sorted on the host: the key's values must be known, so it cannot be
    used in a function traced with the state as an input.

    ValueError for a negative x, IndexError for an axis out of range.

    >>> mx.random.permutation(4, key=mx.random.key(3))
    array([1, 0, 3, 2], dtype=uint32)
    """
    if isinstance(x, array):
        place = normalize_axis("permutation", axis, x.ndim)
        order = _random_order(x.shape[place], key)
        taken: array = operators.take(x, order, place)
        return taken
    return _random_order(checked_shape("permutation", x)[0], key)


def _random_order(count: int, key: object) -> array:
    if key is None:
        words = host_draw()
    else:
        given = require_array("permutation", key)
        words_of_key(given)
        words = evaluated_words(given)
    order = np.argsort(host_bits(words, count), kind="stable").astype(np.uint32)
    made: array = operators.from_numpy("permutation", order, None)
    return made
