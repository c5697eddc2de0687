"""Distributions beyond MLX's: random bits, and exponential, gamma, beta and Poisson numbers.

Rejection methods draw a fixed number of candidates, so many that practically always one is accepted, and
take the first accepted one: the candidates are an axis that a reduction runs over, and the chosen one
is computed again. Nothing depends on the values, so they work inside compile and vmap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tarry.base.dtypes import Dtype, float32, float64, int32, uint8, uint16, uint32, uint64
from tarry.base.shapes import Shape, broadcast_shapes, size_of
from tarry.graph.array import array
from tarry.loops.builder import Builder
from tarry.loops.ir import Instr
from tarry.ops.arithmetic import add, divide, multiply, negative, reciprocal, square, subtract
from tarry.ops.comparison import (
    Predicate,
    greater,
    greater_equal,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
)
from tarry.ops.complex_numbers import abs
from tarry.ops.elementwise import ArrayLike, as_array, cast, constant, elementwise
from tarry.ops.exponential import exp, log, log1p, sigmoid, sqrt
from tarry.ops.generators import checked_dtype
from tarry.ops.layout import view
from tarry.ops.random_bits import KeyWords, bits_at, positions
from tarry.ops.random_bits import bits as random_words
from tarry.ops.random_functions import RANDOM_ERFINV
from tarry.ops.random_state import drawn_words
from tarry.ops.random_uniform import SQRT2, real_dtype, sample_shape, symmetric, unit
from tarry.ops.reductions import argmax
from tarry.ops.rounding import floor
from tarry.ops.selection import maximum, spread, stop_gradient, where
from tarry.ops.slices import narrowed
from tarry.ops.special import lgamma
from tarry.ops.structure import reshaped
from tarry.runtime.devices import StreamLike, require_stream

# How many candidates: the chance that all are rejected is below 1e-7.
_GAMMA_CANDIDATES = 6
_POISSON_CANDIDATES = 12


def bits(
    shape: Sequence[int] = (),
    dtype: Dtype | None = uint32,
    key: array | None = None,
    stream: StreamLike = None,
) -> array:
    """Random bits in an unsigned integer type: what every distribution is made of.

    ValueError for another dtype.

    >>> mx.random.bits((2,), key=mx.random.key(3))
    array([1946498123, 2217676430], dtype=uint32)
    """
    if stream is not None:
        require_stream("bits", stream)
    extents, target = sample_shape("bits", shape), checked_dtype("bits", dtype, uint32)
    if target not in (uint8, uint16, uint32, uint64):
        raise ValueError(f"[bits] The dtype must be an unsigned integer type, not {target.name}.")
    words = drawn_words("bits", key)
    if target is uint32:
        return random_words(words, extents)
    count = size_of(extents)
    number = -(-count * target.size // uint32.size)
    values = view(random_words(words, (number,)), target)
    return reshaped(narrowed(values, 0, 0, count), extents)


def exponential(
    shape: Sequence[int] = (),
    dtype: Dtype | None = float32,
    scale: ArrayLike = 1.0,
    key: array | None = None,
    stream: StreamLike = None,
) -> array:
    """Numbers of the exponential distribution with mean `scale`.

    >>> mx.random.exponential((2,), key=mx.random.key(3))
    array([0.60368, 0.726379], dtype=float32)
    """
    if stream is not None:
        require_stream("exponential", stream)
    extents, target = sample_shape("exponential", shape), real_dtype("exponential", dtype)
    uniform = unit(random_words(drawn_words("exponential", key), extents), float32)
    value = cast(negative(log1p(negative(uniform))), target)
    return multiply(value, cast(as_array("exponential", scale), target))


def _parameters(op: str, shape: Any, *given: ArrayLike) -> tuple[list[array], Shape]:
    """The parameters in float32, and the shape of the result: theirs unless it is given."""
    operands = [as_array(op, value) for value in given]
    if any(value.dtype.kind == "c" for value in operands):
        raise ValueError(f"[{op}] Parameters must be real numbers, but one is of dtype complex64.")
    arrays = [stop_gradient(cast(value, float32)) for value in operands]
    common: Shape = ()
    for value in arrays:
        common = broadcast_shapes(op, common, value.shape)
    if shape is None:
        return arrays, common
    extents = sample_shape(op, shape)
    if broadcast_shapes(op, common, extents) != extents:
        raise ValueError(f"[{op}] Parameters of shape {common} do not broadcast to the shape {extents}.")
    return arrays, extents


def _first_accepted(accepted: array, shape: Shape) -> array:
    """The position among all candidates, uint32, of the first accepted one for each result."""
    number = argmax(cast(accepted, int32), 0)
    return add(multiply(number, constant(size_of(shape), uint32)), positions(shape))


# Gamma


class _GammaDraw:
    """Standard gamma numbers by the method of Marsaglia and Tsang (ACM TOMS 26, 2000).

    For alpha < 1 they are those of alpha + 1 times u**(1 / alpha), whose logarithm is kept apart: it may be
    far below what float32 can hold. `start` is the first of `total` random words to use.
    """

    def __init__(self, words: KeyWords, alpha: array, shape: Shape, start: int, total: int) -> None:
        self.words = words
        self.shape = shape
        self.start = start
        self.total = total
        self.alpha = spread(alpha, shape)
        self.boosted = less(self.alpha, 1.0)
        self.d = subtract(where(self.boosted, add(self.alpha, 1.0), self.alpha), 1 / 3)
        self.c = divide(1 / 3, sqrt(self.d))

    @staticmethod
    def words_for(shape: Shape) -> int:
        return (2 * _GAMMA_CANDIDATES + 1) * size_of(shape)

    def word(self, place: array, block: int) -> array:
        """Random words of the block of candidates, normal or uniform, at places within it."""
        offset = self.start + block * _GAMMA_CANDIDATES * size_of(self.shape)
        return bits_at(self.words, add(place, constant(offset, uint32, place.shape)), self.total)

    def candidate(self, place: array) -> tuple[array, array]:
        """The value divided by d, and whether it is accepted."""
        normal = multiply(elementwise(RANDOM_ERFINV, (symmetric(self.word(place, 0), float32),)), SQRT2)
        root = add(multiply(self.c, normal), 1.0)
        value = multiply(square(root), root)
        possible = greater(root, 0.0)
        logarithm = log(where(possible, value, 1.0))
        bound = add(multiply(square(normal), 0.5), multiply(self.d, add(subtract(1.0, value), logarithm)))
        uniform = unit(self.word(place, 1), float32)
        return value, logical_and(possible, less(log(uniform), bound))

    def draw(self) -> tuple[array, array]:
        """Numbers and the logarithms of what to multiply them by."""
        accepted = self.candidate(positions((_GAMMA_CANDIDATES, *self.shape)))[1]
        value, found = self.candidate(_first_accepted(accepted, self.shape))
        value = multiply(self.d, where(found, value, 1.0))
        word = self.word(positions(self.shape), 2)
        boost = multiply(log1p(negative(unit(word, float32))), reciprocal(self.alpha))
        return value, where(self.boosted, boost, 0.0)


def gamma(
    alpha: ArrayLike,
    shape: Sequence[int] | None = None,
    dtype: Dtype | None = float32,
    scale: ArrayLike = 1.0,
    key: array | None = None,
    stream: StreamLike = None,
) -> array:
    """Numbers of the gamma distribution with shape parameter `alpha`, times `scale`.

    The parameters broadcast to `shape`, by default that of alpha. There is no derivative with respect to
    alpha. ValueError for a dtype that is not real floating.

    >>> mx.random.gamma(2.0, (3,), key=mx.random.key(3)).shape
    (3,)
    """
    if stream is not None:
        require_stream("gamma", stream)
    target = real_dtype("gamma", dtype)
    (value,), extents = _parameters("gamma", shape, alpha)
    words = drawn_words("gamma", key)
    if size_of(extents) == 0:
        return constant(0, target, broadcast_shapes("gamma", extents, as_array("gamma", scale).shape))
    draw = _GammaDraw(words, value, extents, 0, _GammaDraw.words_for(extents))
    number, boost = draw.draw()
    return multiply(cast(multiply(number, exp(boost)), target), cast(as_array("gamma", scale), target))


def beta(
    a: ArrayLike,
    b: ArrayLike,
    shape: Sequence[int] | None = None,
    dtype: Dtype | None = float32,
    key: array | None = None,
    stream: StreamLike = None,
) -> array:
    """Numbers of the beta distribution with parameters `a` and `b`, which broadcast to `shape`.

    There is no derivative with respect to them. ValueError for a dtype that is not real floating.

    >>> mx.random.beta(2.0, 3.0, (3,), key=mx.random.key(3)).shape
    (3,)
    """
    if stream is not None:
        require_stream("beta", stream)
    target = real_dtype("beta", dtype)
    parameters, extents = _parameters("beta", shape, a, b)
    words, part = drawn_words("beta", key), _GammaDraw.words_for(extents)
    if size_of(extents) == 0:
        return constant(0, target, extents)
    logarithms = []
    for number, parameter in enumerate(parameters):
        value, boost = _GammaDraw(words, parameter, extents, number * part, 2 * part).draw()
        logarithms.append(add(log(value), boost))
    # x / (x + y), from the logarithms: both may be too small for float32.
    return cast(sigmoid(subtract(logarithms[0], logarithms[1])), target)


# Poisson

_INVERSION_BELOW = 10.0
# A Poisson number with a mean of 10 is greater with a probability below 1e-12.
_INVERSION_STEPS = 40


class PoissonInversion(Predicate):
    """How many values the distribution function has below a random word, for means below 10.

    Inputs: the mean, float32, and the word, uint32.
    """

    name = "PoissonInversion"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        mean = builder.cast(args[0], float64)
        half, scale = builder.const(0.5, float64), builder.const(2.0**-32, float64)
        uniform = builder.mul(builder.add(builder.cast(args[1], float64), half), scale)
        zero, one = builder.const(0, int32), builder.const(1, int32)
        probability = builder.apply("exp", builder.neg(mean))
        below, count = probability, zero
        for step in range(1, _INVERSION_STEPS + 1):
            passed = builder.apply("gt", uniform, below)
            count = builder.add(count, builder.select(passed, one, zero))
            factor = builder.mul(mean, builder.const(1.0 / step, float64))
            probability = builder.mul(probability, factor)
            below = builder.add(below, probability)
        return count


_POISSON_INVERSION = PoissonInversion()


def _small_poisson(mean: array, word: array) -> array:
    return elementwise(_POISSON_INVERSION, (mean, word), int32)


class _PoissonRejection:
    """Poisson numbers for means from 10 on: transformed rejection, PTRS of Hormann (1993), in float64."""

    def __init__(self, words: KeyWords, mean: array, shape: Shape, total: int) -> None:
        self.words = words
        self.shape = shape
        self.total = total
        self.mean = cast(maximum(mean, _INVERSION_BELOW), float64)
        self.log_mean = log(self.mean)
        self.b = add(multiply(sqrt(self.mean), 2.53), 0.931)
        self.a = subtract(multiply(self.b, 0.02483), 0.059)
        self.inverse_alpha = add(divide(1.1328, subtract(self.b, 3.4)), 1.1239)
        self.inner = subtract(0.9277, divide(3.6224, subtract(self.b, 2.0)))

    def uniform(self, place: array, block: int) -> array:
        """Numbers in (0, 1), in float64."""
        offset = block * _POISSON_CANDIDATES * size_of(self.shape)
        word = bits_at(self.words, add(place, constant(offset, uint32, place.shape)), self.total)
        return multiply(add(cast(word, float64), 0.5), 2.0**-32)

    def candidate(self, place: array) -> tuple[array, array]:
        """A number, and whether it is accepted."""
        u, v = subtract(self.uniform(place, 0), 0.5), self.uniform(place, 1)
        rest = subtract(0.5, abs(u))
        ratio = add(divide(multiply(self.a, 2.0), rest), self.b)
        number = floor(add(multiply(ratio, u), add(self.mean, 0.43)))
        inside = logical_and(greater_equal(rest, 0.07), less_equal(v, self.inner))
        outside = logical_or(less(number, 0.0), logical_and(less(rest, 0.013), greater(v, rest)))
        ratio = add(divide(self.a, square(rest)), self.b)
        left = log(divide(multiply(v, self.inverse_alpha), ratio))
        counted = maximum(number, 0.0)
        right = subtract(subtract(multiply(counted, self.log_mean), self.mean), lgamma(add(counted, 1.0)))
        plausible = less_equal(left, right)
        return number, logical_or(inside, logical_and(logical_not(outside), plausible))

    def draw(self) -> array:
        accepted = self.candidate(positions((_POISSON_CANDIDATES, *self.shape)))[1]
        number, found = self.candidate(_first_accepted(accepted, self.shape))
        return where(found, number, floor(self.mean))


def poisson(
    lam: ArrayLike = 1.0,
    shape: Sequence[int] | None = None,
    dtype: Dtype | None = int32,
    key: array | None = None,
    stream: StreamLike = None,
) -> array:
    """Integers of the Poisson distribution with mean `lam`, which broadcasts to `shape`.

    ValueError for a dtype that is not an integer type, or a negative Python number `lam`.

    >>> mx.random.poisson(4.0, (3,), key=mx.random.key(3)).dtype
    mlx.core.int32
    """
    if stream is not None:
        require_stream("poisson", stream)
    target = checked_dtype("poisson", dtype, int32)
    if target.kind not in "ui":
        raise ValueError(f"[poisson] The dtype must be an integer type, not {target.name}.")
    (mean,), extents = _parameters("poisson", shape, lam)
    known = float(lam) if isinstance(lam, (int, float)) else None
    if known is not None and known < 0:
        raise ValueError(f"[poisson] The mean must not be negative, but it is {lam}.")
    words, mean = drawn_words("poisson", key), spread(mean, extents)
    count = size_of(extents)
    total = (2 * _POISSON_CANDIDATES + 1) * count
    last = constant(total - count, uint32, extents)
    small = _small_poisson(mean, bits_at(words, add(positions(extents), last), total))
    # A mean known while recording decides which method there is code for.
    if known is not None and known < _INVERSION_BELOW:
        return cast(small, target)
    large = cast(_PoissonRejection(words, mean, extents, total).draw(), target)
    if known is not None:
        return large
    return where(less(mean, _INVERSION_BELOW), cast(small, target), large)
