"""The module `mlx.core.random`: arrays drawn from distributions. The same bits as MLX for the same key.

Every function takes a `key` (uint32 of shape (2,)); without one it splits the calling thread's state.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.base.dtypes import Dtype, bfloat16, complex64, float16, float32, int32, uint32
from tarry.base.shapes import Shape, broadcast_shapes, normalize_axis, size_of
from tarry.graph.array import array
from tarry.graph.primitive import Scalar
from tarry.ops.arguments import flag, integer, real_number
from tarry.ops.arithmetic import add, divide, multiply, negative, subtract
from tarry.ops.comparison import less
from tarry.ops.complex_numbers import abs, combine_parts, sign
from tarry.ops.elementwise import ArrayLike, as_array, cast, constant, elementwise, require_array
from tarry.ops.exponential import log, log1p
from tarry.ops.generators import checked_dtype
from tarry.ops.random_bits import KeyWords, bits_at, positions
from tarry.ops.random_bits import bits as random_words
from tarry.ops.random_distributions import beta, bits, exponential, gamma, poisson
from tarry.ops.random_functions import RANDOM_ERF, RANDOM_ERFINV, RANDOM_EXP, RANDOM_LOG
from tarry.ops.random_multivariate import multivariate_normal
from tarry.ops.random_state import drawn_words, key, seed, split, state
from tarry.ops.random_uniform import (
    SQRT2,
    between,
    check_bounds,
    real_dtype,
    sample_shape,
    scalar_or_array,
    standard_normal,
    symmetric,
    unit,
)
from tarry.ops.reductions import argmax, max
from tarry.ops.rounding import floor
from tarry.ops.scans import cumsum
from tarry.ops.selection import maximum, minimum, spread
from tarry.ops.slices import narrowed
from tarry.ops.sorting import argsort, searchsorted
from tarry.ops.structure import reshaped
from tarry.ops.taking import take
from tarry.runtime.devices import StreamLike, require_stream

__all__ = [
    "bernoulli",
    "beta",
    "bits",
    "categorical",
    "choice",
    "exponential",
    "gamma",
    "gumbel",
    "key",
    "laplace",
    "multivariate_normal",
    "normal",
    "permutation",
    "poisson",
    "randint",
    "seed",
    "split",
    "state",
    "truncated_normal",
    "uniform",
]


# Distributions


def uniform(
    low: ArrayLike = 0,
    high: ArrayLike = 1,
    shape: Sequence[int] = (),
    dtype: Dtype | None = float32,
    key: array | None = None,
    stream: StreamLike = None,
) -> array:
    """Numbers evenly distributed in [low, high), which broadcast to `shape`.

    ValueError for a dtype that is not real floating, or bounds that do not broadcast to the shape.

    >>> mx.random.uniform(shape=(2,), key=mx.random.key(3))
    array([0.453204, 0.516343], dtype=float32)
    """
    if stream is not None:
        require_stream("uniform", stream)
    extents, target = sample_shape("uniform", shape), real_dtype("uniform", dtype)
    first, last = scalar_or_array("uniform", low), scalar_or_array("uniform", high)
    check_bounds("uniform", first, last, extents)
    return between(first, last, random_words(drawn_words("uniform", key), extents), target)


def _complex_normal(words: KeyWords, shape: Shape) -> array:
    """Complex numbers whose parts come from neighbouring words; each part has variance 1/2."""
    even = multiply(positions(shape), constant(2, uint32, shape))
    parts = []
    for offset in (0, 1):
        place = add(even, constant(offset, uint32, shape))
        word = bits_at(words, place, 2 * size_of(shape))
        parts.append(elementwise(RANDOM_ERFINV, (symmetric(word, float32),)))
    return combine_parts(*parts)


def normal(
    shape: Sequence[int] = (),
    dtype: Dtype | None = float32,
    loc: ArrayLike | None = None,
    scale: ArrayLike | None = None,
    key: array | None = None,
    stream: StreamLike = None,
) -> array:
    """Normally distributed numbers with mean `loc` and standard deviation `scale`.

    Both broadcast with the shape. Complex numbers have variance 1/2 in each part. ValueError for integers.

    >>> mx.random.normal((2,), key=mx.random.key(3))
    array([-0.117569, 0.0409775], dtype=float32)
    """
    if stream is not None:
        require_stream("normal", stream)
    extents, target = sample_shape("normal", shape), checked_dtype("normal", dtype, float32)
    if target.kind not in "fc":
        raise ValueError(f"[normal] The dtype must be floating or complex64, not {target.name}.")
    words = drawn_words("normal", key)
    factor: array | None = None
    if target is complex64:
        value = _complex_normal(words, extents)
    else:
        value = cast(standard_normal(words, extents), target)
        factor = constant(SQRT2, target)
    if scale is not None:
        given = cast(as_array("normal", scale), target)
        factor = given if factor is None else multiply(factor, given)
    if factor is not None:
        broadcast_shapes("normal", value.shape, factor.shape)
        value = multiply(value, factor)
    if loc is None:
        return value
    centre = cast(as_array("normal", loc), target)
    broadcast_shapes("normal", value.shape, centre.shape)
    return add(value, centre)


def bernoulli(
    p: ArrayLike = 0.5,
    shape: Sequence[int] | None = None,
    key: array | None = None,
    stream: StreamLike = None,
) -> array:
    """Booleans that are True with probability `p`; of the shape of `p` unless given.

    ValueError unless `p` is floating and broadcasts to the shape.

    >>> mx.random.bernoulli(0.5, (2,), key=mx.random.key(3))
    array([True, False], dtype=bool)
    """
    if stream is not None:
        require_stream("bernoulli", stream)
    probability = as_array("bernoulli", p)
    if probability.dtype.kind != "f":
        raise ValueError(f"[bernoulli] The probability must be floating, not {probability.dtype.name}.")
    extents = probability.shape if shape is None else sample_shape("bernoulli", shape)
    check_bounds("bernoulli", probability, probability, extents)
    word = cast(random_words(drawn_words("bernoulli", key), extents), float32)
    # The number after 2**32, so that a probability of 1 is always True.
    bound = multiply(cast(probability, float32), 2.0**32 + 2.0**9)
    return less(word, spread(bound, extents))


def randint(
    low: ArrayLike,
    high: ArrayLike,
    shape: Sequence[int] = (),
    dtype: Dtype | None = int32,
    key: array | None = None,
    stream: StreamLike = None,
) -> array:
    """Integers evenly distributed in [low, high), which broadcast to `shape`.

    They are drawn as float32 numbers: beyond 2**24 not every integer occurs. ValueError for a floating dtype.

    >>> mx.random.randint(0, 10, (3,), key=mx.random.key(3)).dtype
    mlx.core.int32
    """
    if stream is not None:
        require_stream("randint", stream)
    extents, target = sample_shape("randint", shape), checked_dtype("randint", dtype, int32)
    if target.kind not in "uib":
        raise ValueError(f"[randint] The dtype must be an integer type or bool, not {target.name}.")
    first, last = as_array("randint", low), as_array("randint", high)
    check_bounds("randint", first, last, extents)
    drawn = between(first, last, random_words(drawn_words("randint", key), extents), float32)
    greatest = cast(subtract(last, 1), target)
    return maximum(minimum(cast(floor(drawn), target), greatest), cast(first, target))


def gumbel(
    shape: Sequence[int] = (),
    dtype: Dtype | None = float32,
    key: array | None = None,
    stream: StreamLike = None,
) -> array:
    """Numbers of the standard Gumbel distribution: -log(-log(u)) for uniform u.

    >>> mx.random.gumbel((2,), key=mx.random.key(3))
    array([0.233937, 0.414026], dtype=float32)
    """
    if stream is not None:
        require_stream("gumbel", stream)
    extents, target = sample_shape("gumbel", shape), real_dtype("gumbel", dtype)
    return _gumbel(drawn_words("gumbel", key), extents, target)


def _gumbel(words: KeyWords, shape: Shape, dtype: Dtype) -> array:
    inner = negative(elementwise(RANDOM_LOG, (unit(random_words(words, shape), dtype),)))
    return negative(elementwise(RANDOM_LOG, (inner,)))


def laplace(
    shape: Sequence[int] = (),
    dtype: Dtype | None = float32,
    loc: Scalar = 0.0,
    scale: Scalar = 1.0,
    key: array | None = None,
    stream: StreamLike = None,
) -> array:
    """Numbers of the Laplace distribution with mean `loc` and the given scale.

    Those of float16 and bfloat16 are drawn as float32 and rounded.

    >>> mx.random.laplace((2,), key=mx.random.key(3)).shape
    (2,)
    """
    if stream is not None:
        require_stream("laplace", stream)
    extents, target = sample_shape("laplace", shape), real_dtype("laplace", dtype)
    inner = float32 if target in (float16, bfloat16) else target
    drawn = symmetric(random_words(drawn_words("laplace", key), extents), inner)
    value = cast(multiply(sign(drawn), log1p(negative(abs(drawn)))), target)
    for operation, neutral, given in ((multiply, 1, scale), (add, 0, loc)):
        if not isinstance(given, array) or given.ndim:
            given = real_number("laplace", given, "loc and scale")
            if given == neutral:
                continue
        value = operation(value, cast(as_array("laplace", given), target))
    return value


def truncated_normal(
    lower: ArrayLike,
    upper: ArrayLike,
    shape: Sequence[int] | None = None,
    dtype: Dtype | None = float32,
    key: array | None = None,
    stream: StreamLike = None,
) -> array:
    """Standard normal numbers within [lower, upper], by inverting the distribution function.

    The shape is that of the bounds unless given, and the bounds broadcast to it. ValueError for a dtype that
    is not real floating.

    >>> mx.random.truncated_normal(-1, 1, (2,), key=mx.random.key(3))
    array([-0.0801646, 0.0279707], dtype=float32)
    """
    if stream is not None:
        require_stream("truncated_normal", stream)
    target = real_dtype("truncated_normal", dtype)
    bounds = [cast(as_array("truncated_normal", bound), target) for bound in (lower, upper)]
    if shape is None:
        extents = broadcast_shapes("truncated_normal", bounds[0].shape, bounds[1].shape)
    else:
        extents = sample_shape("truncated_normal", shape)
    check_bounds("truncated_normal", bounds[0], bounds[1], extents)
    root = constant(SQRT2, target)
    quantiles = [elementwise(RANDOM_ERF, (divide(bound, root),)) for bound in bounds]
    word = random_words(drawn_words("truncated_normal", key), extents)
    drawn = elementwise(RANDOM_ERFINV, (between(quantiles[0], quantiles[1], word, target),))
    return maximum(minimum(multiply(drawn, root), bounds[1]), bounds[0])


def categorical(
    logits: array,
    axis: int = -1,
    shape: Sequence[int] | None = None,
    num_samples: int | None = None,
    key: array | None = None,
    stream: StreamLike = None,
) -> array:
    """Categories (uint32) with probabilities proportional to exp(logits) along an axis.

    Without `shape` one sample for each distribution; with `num_samples`, as many along a new last axis;
    `shape` must be one the distributions' shape broadcasts to. Many samples of one distribution are found
    by binary search in its distribution function, all others are an argmax with Gumbel noise.
    IndexError for an axis out of range, ValueError for both `shape` and `num_samples`.

    >>> mx.random.categorical(mx.array([[0.0, 100.0], [100.0, 0.0]]))
    array([1, 0], dtype=uint32)
    """
    if stream is not None:
        require_stream("categorical", stream)
    values = require_array("categorical", logits)
    place = normalize_axis("categorical", integer("categorical", axis, "axis"), values.ndim)
    if num_samples is not None:
        integer("categorical", num_samples, "num_samples")
    if shape is not None and num_samples is not None:
        raise ValueError("[categorical] At most one of shape and num_samples can be given, but both are.")
    categories = values.shape[place]
    batch = values.shape[:place] + values.shape[place + 1 :]
    if categories == 0:
        raise ValueError(f"[categorical] Shape {values.shape} has no categories along axis {place}.")
    words = drawn_words("categorical", key)
    wanted = _samples_wanted(batch, shape, num_samples)
    if wanted and size_of(batch) == 1:
        return _from_one_distribution(reshaped(values, (categories,)), wanted, words)
    if num_samples is not None:
        noise = _gumbel(words, (*values.shape, wanted[-1]), float32)
        return argmax(add(noise, reshaped(values, (*values.shape, 1))), place)
    # The category axis counts from the end among the distributions' dimensions.
    inserted = len(wanted) - (len(batch) - place)
    noise = _gumbel(words, (*wanted[:inserted], categories, *wanted[inserted:]), float32)
    return argmax(add(noise, values), inserted)


def _samples_wanted(batch: Shape, shape: Sequence[int] | None, num_samples: int | None) -> Shape:
    """The shape of the samples of distributions of shape `batch`."""
    if num_samples is not None:
        count = integer("categorical", num_samples, "num_samples")
        if count < 0:
            raise ValueError(f"[categorical] num_samples must not be negative, but it is {count}.")
        return (*batch, count)
    if shape is None:
        return batch
    extents = sample_shape("categorical", shape)
    if broadcast_shapes("categorical", batch, extents) != extents:
        raise ValueError(
            f"[categorical] The distributions, of shape {batch}, do not broadcast to the shape {extents}."
        )
    return extents


def _from_one_distribution(logits: array, shape: Shape, words: KeyWords) -> array:
    """Samples by inversion of the distribution function, which is summed up in float32."""
    values = cast(logits, float32)
    weights = elementwise(RANDOM_EXP, (subtract(values, max(values)),))
    below, total = cumsum(weights, inclusive=False), narrowed(cumsum(weights), 0, weights.size - 1, 1)
    uniform = multiply(unit(random_words(words, shape), float32), total)
    return subtract(searchsorted(below, uniform, side="right"), constant(1, uint32, shape))


def permutation(
    x: int | array, axis: int = 0, key: array | None = None, stream: StreamLike = None
) -> array:
    """A random order of 0, ..., x - 1 (uint32) for an integer x; of the entries along an axis for an array.

    The order is that of random words, which are sorted.

    ValueError for a negative x, IndexError for an axis out of range.

    >>> mx.random.permutation(4, key=mx.random.key(3))
    array([1, 0, 3, 2], dtype=uint32)
    """
    if stream is not None:
        require_stream("permutation", stream)
    if isinstance(x, array):
        place = normalize_axis("permutation", integer("permutation", axis, "axis"), x.ndim)
        return take(x, _random_order(x.shape[place], key), place)
    count = integer("permutation", x, "x")
    if count < 0:
        raise ValueError(f"[permutation] There are no numbers below {count} to permute.")
    return _random_order(count, key)


def _random_order(count: int, key: object) -> array:
    return argsort(random_words(drawn_words("permutation", key), (count,)))


def choice(
    a: int | array,
    shape: Sequence[int] = (),
    replace: bool = True,
    p: array | None = None,
    axis: int = 0,
    key: array | None = None,
    stream: StreamLike = None,
) -> array:
    """Entries of an array along an axis, or of 0, ..., a - 1 (uint32), chosen at random.

    `p` are the probabilities of the entries, up to a factor; without `replace` none is chosen twice.
    ValueError for probabilities that do not fit, no entries, and more than there are without `replace`.

    >>> mx.random.choice(4, (4,), replace=False, key=mx.random.key(3))
    array([1, 0, 3, 2], dtype=uint32)
    """
    if stream is not None:
        require_stream("choice", stream)
    extents = sample_shape("choice", shape)
    flag("choice", replace, "replace")
    if isinstance(a, array):
        place = normalize_axis("choice", integer("choice", axis, "axis"), a.ndim)
        return take(a, _chosen(a.shape[place], extents, replace, p, key), place)
    count = integer("choice", a, "a")
    return _chosen(count, extents, replace, p, key)


def _chosen(count: int, shape: Shape, replace: bool, p: array | None, key: array | None) -> array:
    """Places from 0 to count - 1."""
    wanted = size_of(shape)
    if count < 1 and wanted:
        raise ValueError(f"[choice] There is nothing to choose from: the number of entries is {count}.")
    if p is not None and require_array("choice", p).shape != (count,):
        raise ValueError(f"[choice] Expected {count} probabilities, but their shape is {p.shape}.")
    if replace:
        if p is None:
            return randint(0, count, shape, uint32, key)
        noise = _gumbel(drawn_words("choice", key), (*shape, count), float32)
        return argmax(add(noise, log(cast(p, float32))), -1)
    if wanted > count:
        raise ValueError(f"[choice] Cannot choose {wanted} of {count} entries without repeating one.")
    if p is None:
        order = _random_order(count, key)
    else:
        noise = _gumbel(drawn_words("choice", key), (count,), float32)
        order = argsort(negative(add(noise, log(cast(p, float32)))))
    return reshaped(narrowed(order, 0, 0, wanted), shape)
