"""The module `mlx.core.random`: keys, and arrays drawn from distributions. The same bits as MLX for the same key.

Every function takes a `key` (uint32 of shape (2,)); without one it splits the calling thread's state. The state
is kept as two numbers on the host where that is possible: a draw without a key then depends on nothing that was
recorded before. It becomes an array where one is put into `state`, by a compiled function for instance, and the
splits are recorded until its values are known.
"""

from __future__ import annotations

import math
import operator
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from tarry.base.dtypes import Dtype, bfloat16, complex64, float16, float32, float64, int32, uint32
from tarry.base.shapes import Shape, broadcast_shapes, normalize_axis, size_of
from tarry.graph.array import array
from tarry.graph.operators import operators
from tarry.graph.tracing import require_evaluation
from tarry.loops.builder import Builder
from tarry.loops.ir import Instr
from tarry.ops.arithmetic import add, divide, multiply, negative, subtract
from tarry.ops.comparison import less
from tarry.ops.complex_numbers import abs, combine_parts, sign
from tarry.ops.elementwise import ArrayLike, Scalar, as_array, cast, constant, elementwise, require_array
from tarry.ops.exponential import Erf, ErfInv, Log, log1p
from tarry.ops.generators import checked_dtype, checked_shape
from tarry.ops.random_bits import (
    HostKey,
    KeyWords,
    bits,
    bits_at,
    host_bits,
    host_split,
    positions,
    words_of_host_key,
    words_of_key,
)
from tarry.ops.reductions import argmax
from tarry.ops.rounding import floor
from tarry.ops.selection import maximum, minimum, spread
from tarry.ops.structure import reshaped

# Keys and the state


def _host_key(op: str, seed: Any) -> HostKey:
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if not 0 <= number < 1 << 64:
        raise TypeError(
            f"[{op}] incompatible function arguments: the seed must be an integer in [0, 2**64), not {seed!r}."
        )
    return number >> 32, number & 0xFFFFFFFF


def _key_array(op: str, key: HostKey) -> array:
    made: array = operators.from_numpy(op, np.array(key, np.uint32), None)
    return made


def _known_words(key: array) -> HostKey | None:
    """The words of a key whose values are known."""
    storage = key._node.storage
    if storage is None or key.shape != (2,) or key.dtype is not uint32:
        return None
    words = storage.buffer.view(np.uint32, 4 * storage.offset, (2,), (4 * storage.strides[0],))
    return int(words[0]), int(words[1])


class _ThreadState(threading.local):
    """One key: as two numbers, or as an array where the numbers are not known yet. The array may be there too."""

    def __init__(self) -> None:
        self.words: HostKey | None = _host_key("seed", time.time_ns() // 1_000_000)
        self.key: array | None = None

    def next_key(self) -> KeyWords:
        """Splits the state: the first half stays, the second is for the caller."""
        if self.words is None and self.key is not None:
            self.words = _known_words(self.key)
        if self.words is not None:
            self.words, drawn = host_split(self.words)
            self.key = None
            return words_of_host_key(drawn)
        assert self.key is not None
        known = words_of_key(self.key)
        self.key = bits_at(known, positions((2,)), 4)
        following = add(positions((2,)), constant(2, uint32, (2,)))
        return words_of_key(bits_at(known, following, 4))


_state = _ThreadState()


class _RandomState:
    """The calling thread's key, as a sequence of one array; `mx.random.state` is its only instance."""

    __slots__ = ()

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> array:
        if index not in (0, -1):
            raise IndexError(f"[random.state] The state has one entry: index {index} is out of range.")
        if _state.key is None:
            assert _state.words is not None
            _state.key = _key_array("random.state", _state.words)
        return _state.key

    def __setitem__(self, index: int, value: array) -> None:
        if index not in (0, -1):
            raise IndexError(f"[random.state] The state has one entry: index {index} is out of range.")
        words_of_key(require_array("random.state", value))
        _state.key = value
        _state.words = None

    def __iter__(self) -> Iterator[array]:
        return iter([self[0]])


state = _RandomState()


def seed(seed: int) -> None:
    """Sets the calling thread's state to key(seed). TypeError unless it is an integer in [0, 2**64).

    >>> mx.random.seed(7)
    """
    _state.words = _host_key("seed", seed)
    _state.key = None


def key(seed: int) -> array:
    """The key of a seed: its high and low 32 bits. TypeError unless it is an integer in [0, 2**64).

    >>> mx.random.key(7)
    array([0, 7], dtype=uint32)
    """
    return _key_array("key", _host_key("key", seed))


def _words(op: str, key: object) -> KeyWords:
    return _state.next_key() if key is None else words_of_key(require_array(op, key))


def split(key: array, num: int = 2, stream: object = None) -> array:
    """`num` new keys from one, as the rows of a uint32 array of shape (num, 2).

    ValueError unless the key is uint32 of shape (2,).

    >>> mx.random.split(mx.random.key(0)).shape
    (2, 2)
    """
    return bits(words_of_key(require_array("split", key)), checked_shape("split", (num, 2)))


# Building blocks


class RandomLog(Log):
    """The logarithm with the bits of MLX's, in float32."""

    name = "RandomLog"
    function = "log_mlx"


class RandomErfInv(ErfInv):
    """The inverse error function with the bits of MLX's, in float32."""

    name = "RandomErfInv"
    function = "erfinv_mlx"


class RandomErf(Erf):
    """The error function with the bits of MLX's, in float32: absolute error 5e-7.

    Abramowitz and Stegun 7.1.26, with exp as 2**k times a polynomial of degree 6 (after Cephes).
    """

    name = "RandomErf"
    coefficients: ClassVar[tuple[float, ...]] = (
        1.061405429,
        -1.453152027,
        1.421413741,
        -0.284496736,
        0.254829592,
    )
    power_coefficients: ClassVar[tuple[float, ...]] = (
        1.535336188319500e-4,
        1.339887440266574e-3,
        9.618437357674640e-3,
        5.550332471162809e-2,
        2.402264791363012e-1,
        6.931472028550421e-1,
        1.0,
    )

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        value = builder.cast(args[0], float32)
        one = builder.const(1, float32)
        magnitude = builder.apply("abs", value)
        t = builder.div(one, builder.fma(_single(builder, 0.3275911), magnitude, one))
        tail = _emit_polynomial(builder, self.coefficients, t)
        power = self._emit_exp(builder, builder.mul(builder.neg(value), value))
        result = builder.fma(builder.mul(builder.neg(power), t), tail, one)
        positive = builder.apply("gt", value, builder.const(0, float32))
        return builder.cast(builder.select(positive, result, builder.neg(result)), args[0].dtype)

    def _emit_exp(self, builder: Builder, value: Instr) -> Instr:
        """exp of a value that is not positive."""
        scaled = builder.mul(value, _single(builder, 1.442695))
        whole = builder.apply("floor", builder.add(scaled, _single(builder, 0.5)))
        polynomial = _emit_polynomial(builder, self.power_coefficients, builder.sub(scaled, whole))
        biased = builder.add(builder.cast(whole, int32), builder.const(127, int32))
        power = builder.bitcast(builder.apply("shl", biased, builder.const(23, int32)), float32)
        underflows = builder.apply("lt", value, _single(builder, -88.0))
        return builder.select(underflows, _single(builder, 0.0), builder.mul(power, polynomial))


def _single(builder: Builder, value: float) -> Instr:
    return builder.const(float(np.float32(value)), float32)


def _emit_polynomial(builder: Builder, coefficients: Sequence[float], t: Instr) -> Instr:
    """Horner's scheme with the highest coefficient first."""
    value = _single(builder, coefficients[0])
    for coefficient in coefficients[1:]:
        value = builder.fma(value, t, _single(builder, coefficient))
    return value


_RANDOM_LOG, _RANDOM_ERFINV, _RANDOM_ERF = RandomLog(), RandomErfInv(), RandomErf()

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


def _between(low: array, high: array, word: array, dtype: Dtype) -> array:
    """Random words as numbers in [low, high)."""
    shape = word.shape
    first, last = cast(low, dtype), cast(high, dtype)
    extent = subtract(last, first)
    return add(multiply(spread(extent, shape), _unit(word, dtype)), spread(first, shape))


def _check_bounds(op: str, low: array, high: array, shape: Shape) -> None:
    bounds = broadcast_shapes(op, low.shape, high.shape)
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
    first, last = as_array("uniform", low), as_array("uniform", high)
    _check_bounds("uniform", first, last, extents)
    return _between(first, last, bits(_words("uniform", key), extents), target)


def _symmetric(word: array, dtype: Dtype) -> array:
    """Random words as numbers in (-1, 1)."""
    return _between(constant(-_BELOW_ONE[dtype], dtype), constant(1, dtype), word, dtype)


def _standard_normal(words: KeyWords, shape: Shape) -> array:
    """Normal numbers divided by sqrt(2), in float32."""
    return elementwise(_RANDOM_ERFINV, (_symmetric(bits(words, shape), float32),))


def _complex_normal(words: KeyWords, shape: Shape) -> array:
    """Complex numbers whose parts come from neighbouring words; each part has variance 1/2."""
    even = multiply(positions(shape), constant(2, uint32, shape))
    parts = []
    for offset in (0, 1):
        place = add(even, constant(offset, uint32, shape))
        word = bits_at(words, place, 2 * size_of(shape))
        parts.append(elementwise(_RANDOM_ERFINV, (_symmetric(word, float32),)))
    return combine_parts(*parts)


def normal(
    shape: Sequence[int] = (),
    dtype: Dtype | None = float32,
    loc: ArrayLike | None = None,
    scale: ArrayLike | None = None,
    key: array | None = None,
    stream: object = None,
) -> array:
    """Normally distributed numbers with mean `loc` and standard deviation `scale`, which broadcast with `shape`.

    Complex numbers have variance 1/2 in each part. ValueError for integer dtypes.

    >>> mx.random.normal((2,), key=mx.random.key(3))
    array([-0.117569, 0.0409775], dtype=float32)
    """
    extents, target = _sample_shape("normal", shape), checked_dtype("normal", dtype, float32)
    if target.kind not in "fc":
        raise ValueError(f"[normal] The dtype must be floating or complex64, not {target.name}.")
    words = _words("normal", key)
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
    word = cast(bits(_words("bernoulli", key), extents), float32)
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
    drawn = _between(first, last, bits(_words("randint", key), extents), float32)
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
    return _gumbel(_words("gumbel", key), extents, target)


def _gumbel(words: KeyWords, shape: Shape, dtype: Dtype) -> array:
    unit = _unit(bits(words, shape), dtype)
    inner = negative(elementwise(_RANDOM_LOG, (unit,)))
    return negative(elementwise(_RANDOM_LOG, (inner,)))


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
    drawn = _symmetric(bits(_words("laplace", key), extents), target)
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

    The shape is that of the bounds unless given, and the bounds broadcast to it. ValueError for a dtype that is
    not real floating.

    >>> mx.random.truncated_normal(-1, 1, (2,), key=mx.random.key(3))
    array([-0.0801646, 0.0279707], dtype=float32)
    """
    target = _real_dtype("truncated_normal", dtype)
    bounds = [cast(as_array("truncated_normal", bound), target) for bound in (lower, upper)]
    if shape is None:
        extents = broadcast_shapes("truncated_normal", bounds[0].shape, bounds[1].shape)
    else:
        extents = _sample_shape("truncated_normal", shape)
    _check_bounds("truncated_normal", *bounds, extents)
    root = constant(_SQRT2, target)
    quantiles = [elementwise(_RANDOM_ERF, (divide(bound, root),)) for bound in bounds]
    word = bits(_words("truncated_normal", key), extents)
    drawn = elementwise(_RANDOM_ERFINV, (_between(*quantiles, word, target),))
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

    Without `shape` one sample for each distribution; with `num_samples`, as many along a new last axis; `shape`
    must be one the distributions' shape broadcasts to. Samples are the argmax of logits plus Gumbel noise.
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
    words = _words("categorical", key)
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

    The order is that of random words, sorted on the host: the key's values must be known, so that it cannot be
    used in a function traced with the state as an input. ValueError for a negative x, IndexError for a bad axis.

    >>> mx.sort(mx.random.permutation(4))
    array([0, 1, 2, 3], dtype=uint32)
    """
    if isinstance(x, array):
        place = normalize_axis("permutation", axis, x.ndim)
        order = _random_order(x.shape[place], key)
        taken: array = operators.take(x, order, place)
        return taken
    return _random_order(checked_shape("permutation", x)[0], key)


def _random_order(count: int, key: object) -> array:
    if key is None:
        words = _host_draw()
    else:
        given = require_array("permutation", key)
        words_of_key(given)
        words = _evaluated_words(given)
    order = np.argsort(host_bits(words, count), kind="stable").astype(np.uint32)
    made: array = operators.from_numpy("permutation", order, None)
    return made


def _host_draw() -> HostKey:
    """The next key of the state, as numbers."""
    if _state.words is None:
        assert _state.key is not None
        _state.words = _evaluated_words(_state.key)
    _state.words, drawn = host_split(_state.words)
    _state.key = None
    return drawn


def _evaluated_words(key: array) -> HostKey:
    if key._node.storage is None:
        require_evaluation("permutation")
        operators.evaluate([key._node])
    known = _known_words(key)
    assert known is not None
    return known
