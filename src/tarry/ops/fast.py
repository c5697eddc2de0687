"""The module `mx.fast`: norms, rotary positions, attention and losses.

They are compositions of other ops: the compiler fuses them, every transform works on them, and other
elementwise work joins their kernels. Half types are computed in float32 and rounded once.
"""

from __future__ import annotations

import math
import operator
from typing import Any

from tarry.base.dtypes import Dtype, bfloat16, bool_, float16, float32, promote
from tarry.base.shapes import Shape
from tarry.graph.array import array
from tarry.ops.arguments import EXTENT, described, flag, integer, is_integer, real_number, wrong_type
from tarry.ops.arithmetic import add, divide, multiply, reciprocal, square, subtract
from tarry.ops.comparison import greater_equal, not_equal
from tarry.ops.elementwise import cast, constant, require_array
from tarry.ops.exponential import exp, rsqrt
from tarry.ops.foreign_kernels import cuda_kernel, metal_kernel, precompiled_cuda_kernel
from tarry.ops.generators import iota
from tarry.ops.joining import joined, stack
from tarry.ops.products import matrix_product, transposed
from tarry.ops.reductions import Max, extremum
from tarry.ops.selection import LARGEST, maximum, stop_gradient, where
from tarry.ops.slices import narrowed, slice_updated, sliced
from tarry.ops.statistics import logsumexp, softmax
from tarry.ops.structure import broadcast, permute, reshaped, sum_axes
from tarry.ops.taking import take_along_axis
from tarry.ops.trigonometry import cos, sin
from tarry.ops.views import broadcast_operand
from tarry.runtime.devices import StreamLike, require_stream

__all__ = [
    "cross_entropy",
    "cuda_kernel",
    "gated_delta_update",
    "layer_norm",
    "metal_kernel",
    "precompiled_cuda_kernel",
    "rms_norm",
    "rope",
    "scaled_dot_product_attention",
]


def _working(dtype: Dtype) -> Dtype:
    """The dtype to compute results of `dtype` in."""
    return float32 if dtype in (float16, bfloat16) else dtype


def _require_real(op: str, dtype: Dtype) -> Dtype:
    if dtype.kind != "f":
        raise ValueError(f"[{op}] Received unsupported type {dtype.name}: expected a real floating type.")
    return dtype


# Norms over the last axis


def _check_vector(op: str, role: str, value: array | None, extent: int) -> None:
    """ValueError unless the weight or bias is a vector as long as the axis."""
    if value is None:
        return
    if require_array(op, value).ndim != 1:
        raise ValueError(f"[{op}] The {role} must have one dimension, but its shape is {value.shape}.")
    if value.shape[0] != extent:
        raise ValueError(
            f"[{op}] The {role} must have the size of the last dimension of x, {extent}, "
            f"but has {value.shape[0]} elements."
        )


def _norm_operand(op: str, x: object, weight: array | None, bias: array | None) -> tuple[array, Dtype]:
    """The input in the dtype to compute in, and the dtype of the result: that of input and weight."""
    value = require_array(op, x)
    if value.ndim == 0:
        raise ValueError(f"[{op}] The input must have at least one dimension, but it is a scalar.")
    _check_vector(op, "weight", weight, value.shape[-1])
    _check_vector(op, "bias", bias, value.shape[-1])
    dtype = value.dtype if weight is None else promote(value.dtype, weight.dtype)
    return cast(value, _working(_require_real(op, dtype))), dtype


def _mean_of_rows(value: array) -> array:
    extent = value.shape[-1]
    return multiply(sum_axes(value, (value.ndim - 1,)), 1 / extent if extent else math.nan)


def _scaled_rows(value: array, scale: array, weight: array | None) -> array:
    """value * scale * weight: a scale for each row, a weight for each column."""
    result = multiply(value, broadcast(scale, value.shape))
    return result if weight is None else multiply(result, _across_rows(weight, value))


def _across_rows(vector: array, value: array) -> array:
    return broadcast(cast(vector, value.dtype), value.shape)


def rms_norm(x: array, weight: array | None, eps: float, *, stream: StreamLike = None) -> array:
    """x / sqrt(mean(x**2) + eps) over the last axis, times `weight` if it is given.

    The result has the dtype that x and weight meet in. ValueError for integers, and for a weight that is not
    a vector of the size of the last axis.

    >>> mx.fast.rms_norm(mx.array([3.0, 4.0]), mx.array([1.0, 2.0]), 0.0)
    array([0.848528, 2.26274], dtype=float32)
    """
    if stream is not None:
        require_stream("rms_norm", stream)
    value, dtype = _norm_operand("rms_norm", x, weight, None)
    spread = _mean_of_rows(square(value))
    scale = rsqrt(add(spread, real_number("rms_norm", eps, "eps")))
    return cast(_scaled_rows(value, scale, weight), dtype)


def layer_norm(
    x: array, weight: array | None, bias: array | None, eps: float, *, stream: StreamLike = None
) -> array:
    """(x - mean) / sqrt(variance + eps) over the last axis, times `weight` and plus `bias` if they are given.

    The result has the dtype that x and weight meet in. ValueError for integers, and for a weight or bias that
    is not a vector of the size of the last axis.

    >>> mx.fast.layer_norm(mx.array([1.0, 3.0]), None, mx.array([0.0, 1.0]), 0.0)
    array([-1, 2], dtype=float32)
    """
    if stream is not None:
        require_stream("layer_norm", stream)
    value, dtype = _norm_operand("layer_norm", x, weight, bias)
    deviation = subtract(value, broadcast(_mean_of_rows(value), value.shape))
    spread = _mean_of_rows(square(deviation))
    scale = rsqrt(add(spread, real_number("layer_norm", eps, "eps")))
    result = _scaled_rows(deviation, scale, weight)
    if bias is not None:
        result = add(result, _across_rows(bias, value))
    return cast(result, dtype)


# Rotary positions


def _check_rotation(a: array, dims: int, base: object, freqs: array | None) -> None:
    if a.ndim < 3:
        raise ValueError(f"[rope] The input must have at least 3 dimensions, but its shape is {a.shape}.")
    if a.dtype.kind != "f":
        raise ValueError(f"[rope] The input must be of a floating type, not {a.dtype.name}.")
    if dims <= 0 or dims % 2:
        raise ValueError(f"[rope] dims must be positive and even, but it is {dims}.")
    if dims > a.shape[-1]:
        raise ValueError(f"[rope] dims must not exceed the last dimension {a.shape[-1]}, but it is {dims}.")
    if (base is None) == (freqs is None):
        raise ValueError("[rope] Exactly one of base and freqs must be given.")
    if freqs is not None and require_array("rope", freqs).shape != (dims // 2,):
        raise ValueError(
            f"[rope] freqs must be a vector of {dims // 2} elements, but its shape is {freqs.shape}."
        )


def _offsets(offset: Any, batch: int, dtype: Dtype) -> array:
    """The position each sequence starts at: a scalar, or a vector with one for each example."""
    if not isinstance(offset, array):
        if offset is None:
            raise wrong_type("rope", "offset", "an integer or an array", offset)
        if not is_integer(offset):
            raise ValueError(f"[rope] offset must be an integer or an array, not {described(offset)}.")
        position = operator.index(offset)
        if not -EXTENT <= position < EXTENT:
            raise RuntimeError(f"[rope] The offset {position} does not fit in 64 bits (std::bad_cast).")
        return constant(float(position), dtype)
    if offset.dtype.kind not in "ui":
        raise ValueError(f"[rope] offset must be of an integer type, not {offset.dtype.name}.")
    if offset.ndim > 1 or (offset.ndim == 1 and offset.shape[0] not in (1, batch)):
        raise ValueError(
            f"[rope] offset must be a scalar or a vector of {batch} elements, not of shape {offset.shape}."
        )
    starts = cast(offset, dtype)
    return reshaped(starts, ()) if starts.shape == (1,) else starts


def _angles(a: array, dims: int, base: object, scale: float, offset: object, freqs: array | None) -> array:
    """The angle for every position and pair of features: (T, dims / 2), or with a batch axis and ones."""
    half, length, dtype = dims // 2, a.shape[-2], _working(a.dtype)
    if freqs is None:
        rate = real_number("rope", base, "base")
        if not rate > 0:
            raise ValueError(f"[rope] base must be positive, but it is {rate}.")
        step = -math.log(rate) / half
        frequencies = exp(multiply(iota((half,), 0, dtype), step))
    else:
        frequencies = reciprocal(cast(freqs, dtype))
    starts = _offsets(offset, a.shape[0], dtype)
    places = iota((length,), 0, dtype)
    if starts.ndim == 1:
        ones = (1,) * (a.ndim - 3)
        starts = reshaped(starts, (starts.shape[0], *ones, 1))
    positions = multiply(add(places, starts), scale)
    return multiply(reshaped(positions, (*positions.shape, 1)), frequencies)


def _neighbours(value: array, half: int) -> tuple[array, array]:
    """The features of even and of odd number."""
    shape = (*value.shape[:-1], half)
    strides = [1] * (value.ndim - 1) + [2]
    starts = [[0] * (value.ndim - 1) + [start] for start in (0, 1)]
    return sliced(value, starts[0], shape, strides), sliced(value, starts[1], shape, strides)


def _with_neighbours(a: array, first: array, second: array) -> array:
    """`a` with the features of even and of odd number replaced, as far as there are new ones."""
    axis = a.ndim - 1
    strides = [1] * axis + [2]
    for start, update in enumerate((first, second)):
        a = slice_updated(a, update, [0] * axis + [start], strides)
    return a


def _with_halves(a: array, first: array, second: array) -> array:
    """`a` with the first features replaced by two blocks."""
    axis, dims = a.ndim - 1, 2 * first.shape[-1]
    rotated = reshaped(stack([first, second], axis), (*a.shape[:-1], dims))
    rest = a.shape[-1] - dims
    return joined([rotated, narrowed(a, axis, dims, rest)], axis) if rest else rotated


def rope(
    a: array,
    dims: int,
    *,
    traditional: bool,
    base: float | None,
    scale: float,
    offset: int | array,
    freqs: array | None = None,
    stream: StreamLike = None,
) -> array:
    """Rotary positional encoding of (B, ..., T, D): pairs of features turn by the position times a frequency.

    The position is scale * (offset + t); `offset` is an integer, or an array with one or with B of them. The
    frequency of pair i is base**(-2 i / dims), or 1 / freqs[i]: exactly one of base and freqs is given. Pairs
    are neighbours if `traditional`, else feature i and i + dims / 2. Features from `dims` on stay.

    >>> mx.fast.rope(mx.ones((1, 2, 2)), 2, traditional=False, base=1e4, scale=1.0, offset=0)
    array([[[1, 1],
            [-0.301169, 1.38177]]], dtype=float32)
    """
    if stream is not None:
        require_stream("rope", stream)
    a = require_array("rope", a)
    dims = integer("rope", dims, "dims")
    flag("rope", traditional, "traditional")
    _check_rotation(a, dims, base, freqs)
    angles = _angles(a, dims, base, real_number("rope", scale, "scale"), offset, freqs)
    value, axis, half = cast(a, angles.dtype), a.ndim - 1, dims // 2
    if traditional:
        first, second = _neighbours(value, half)
    else:
        first, second = narrowed(value, axis, 0, half), narrowed(value, axis, half, half)
    cosine = broadcast(cos(angles), first.shape)
    sine = broadcast(sin(angles), first.shape)
    turned = cast(subtract(multiply(first, cosine), multiply(second, sine)), a.dtype)
    upright = cast(add(multiply(first, sine), multiply(second, cosine)), a.dtype)
    return (_with_neighbours if traditional else _with_halves)(a, turned, upright)


# Attention


def _check_attention(q: array, k: array, v: array) -> None:
    op = "scaled_dot_product_attention"
    for value in (q, k, v):
        if value.ndim != 4:
            raise ValueError(f"[{op}] Expected inputs of rank 4, but one has the shape {value.shape}.")
        if value.shape[0] != q.shape[0]:
            raise ValueError(f"[{op}] The batch dimensions of {q.shape} and {value.shape} differ.")
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(
            f"[{op}] The last dimensions of queries and keys must match, but their shapes are {q.shape} and "
            f"{k.shape}."
        )
    if k.shape[1] != v.shape[1] or k.shape[2] != v.shape[2]:
        raise ValueError(
            f"[{op}] Keys and values must have matching heads and lengths, but their shapes are "
            f"{k.shape} and {v.shape}."
        )
    if k.shape[1] == 0 or q.shape[1] % k.shape[1]:
        raise ValueError(
            f"[{op}] The number of query heads, {q.shape[1]}, must be a multiple of that of the keys, "
            f"{k.shape[1]}."
        )


def _masked(scores: array, mask: Any, heads: Shape, dtype: Dtype) -> array:
    """The scores, (B, heads of keys, queries for each, T_q, T_kv), with the mask applied."""
    op = "scaled_dot_product_attention"
    if mask is None:
        return scores
    if isinstance(mask, str):
        if mask != "causal":
            raise ValueError(f"[{op}] Invalid mask {mask!r}: expected 'causal' or an array.")
        queries, keys = scores.shape[-2:]
        last = add(iota((queries, keys), 0, float32), float(keys - queries))
        allowed = greater_equal(last, iota((queries, keys), 1, float32))
    elif isinstance(mask, array):
        if mask.ndim > 4:
            raise ValueError(f"[{op}] Expected a mask of at most 4 dimensions, not of shape {mask.shape}.")
        shape = (scores.shape[0], heads[0] * heads[1], *scores.shape[-2:])
        broadcast_operand(op, mask, shape)
        full = reshaped(mask, (*(1,) * (4 - mask.ndim), *mask.shape))
        split = heads if full.shape[1] != 1 else (1, 1)
        allowed = reshaped(full, (full.shape[0], *split, *full.shape[2:]))
        if mask.dtype is not bool_:
            if promote(mask.dtype, dtype) is not dtype:
                raise ValueError(
                    f"[{op}] The mask's type must promote to {dtype.name}, but it is {mask.dtype.name}."
                )
            return add(scores, cast(allowed, scores.dtype))
    else:
        raise TypeError(f"[{op}] incompatible function arguments: the mask must be an array, not {mask!r}.")
    return where(allowed, scores, -LARGEST[scores.dtype])


def _attention_weights(scores: array, sinks: array | None, heads: Shape, dtype: Dtype) -> array:
    """The softmax over the keys; a sink is one more score for each head that has no value."""
    op = "scaled_dot_product_attention"
    if sinks is None:
        return softmax(scores, -1)
    if require_array(op, sinks).shape != (heads[0] * heads[1],):
        raise ValueError(
            f"[{op}] Expected one sink for each of {heads[0] * heads[1]} heads, not the shape {sinks.shape}."
        )
    if promote(sinks.dtype, dtype) is not dtype:
        raise ValueError(f"[{op}] The type of sinks must promote to {dtype.name}, not {sinks.dtype.name}.")
    sink = cast(reshaped(sinks, (1, *heads, 1, 1)), scores.dtype)
    axis = scores.ndim - 1
    greatest = sink
    if scores.shape[-1]:
        greatest = maximum(extremum(Max((axis,)), scores), sink)
    greatest = stop_gradient(greatest)
    powers = exp(subtract(scores, greatest))
    total = add(sum_axes(powers, (axis,)), exp(subtract(sink, greatest)))
    return divide(powers, total)


def scaled_dot_product_attention(
    q: array,
    k: array,
    v: array,
    *,
    scale: float,
    mask: str | array | None = None,
    sinks: array | None = None,
    force_fused: bool = False,
    stream: StreamLike = None,
) -> array:
    """softmax(scale * q @ k.T + mask) @ v for q (B, N, T_q, D), k (B, N_kv, T_kv, D), v (B, N_kv, T_kv, D_v).

    N is a multiple of N_kv: groups of query heads share keys and values. The mask is boolean (True where a
    key may be seen), additive, or "causal", where the last query sees all keys. `sinks` is one more score for
    each head, without a value. The softmax is computed in float32. ValueError for `force_fused`: the scores
    are always stored.

    >>> q, k = mx.zeros((1, 1, 1, 2)), mx.zeros((1, 1, 2, 2))
    >>> mx.fast.scaled_dot_product_attention(q, k, mx.array([[[[1.0], [3.0]]]]), scale=1.0)
    array([[[[2]]]], dtype=float32)
    """
    if stream is not None:
        require_stream("scaled_dot_product_attention", stream)
    op = "scaled_dot_product_attention"
    q, k, v = require_array(op, q), require_array(op, k), require_array(op, v)
    _check_attention(q, k, v)
    dtype = _require_real(op, promote(promote(q.dtype, k.dtype), v.dtype))
    if force_fused:
        raise ValueError(f"[{op}] force_fused=True, but there is no attention in a single kernel.")
    q, k, v = cast(q, dtype), cast(k, dtype), cast(v, dtype)
    batch, count, queries, _ = q.shape
    keys = k.shape[2]
    heads = (k.shape[1], count // k.shape[1])
    # The queries of a group are rows of one product: keys are read once for all of them.
    rows = heads[1] * queries
    scaled = multiply(q, real_number(op, scale, "scale"))
    grouped = reshaped(scaled, (batch, heads[0], rows, q.shape[-1]))
    scores = cast(matrix_product(grouped, transposed(k)), _working(dtype))
    scores = _masked(reshaped(scores, (batch, *heads, queries, keys)), mask, heads, dtype)
    weights = cast(_attention_weights(scores, sinks, heads, dtype), dtype)
    result = matrix_product(reshaped(weights, (batch, heads[0], rows, keys)), v)
    return reshaped(result, (batch, count, queries, v.shape[-1]))


# Losses


def cross_entropy(logits: array, targets: array, *, stream: StreamLike = None) -> array:
    """logsumexp(logits) - logits[target] over the last axis, in float32; `targets` are class numbers.

    ValueError when the shape of the targets is not that of the logits without the last axis, or for types
    that do not fit; IndexError at evaluation for a class out of range.

    >>> mx.fast.cross_entropy(mx.array([[0.0, 0.0], [0.0, 100.0]]), mx.array([0, 1]))
    array([0.693147, 0], dtype=float32)
    """
    if stream is not None:
        require_stream("cross_entropy", stream)
    op = "cross_entropy"
    scores, classes = require_array(op, logits), require_array(op, targets)
    if scores.ndim == 0:
        raise ValueError(f"[{op}] The logits must have at least one dimension, but they are a scalar.")
    _require_real(op, scores.dtype)
    if classes.dtype.kind not in "ui":
        raise ValueError(f"[{op}] The targets must be integer class numbers, not {classes.dtype.name}.")
    if classes.shape != scores.shape[:-1]:
        raise ValueError(
            f"[{op}] Targets of shape {classes.shape} do not match logits of shape {scores.shape} "
            "without the last axis."
        )
    scores = cast(scores, _working(scores.dtype))
    chosen = take_along_axis(scores, reshaped(classes, (*classes.shape, 1)), -1)
    return cast(subtract(logsumexp(scores, -1), reshaped(chosen, classes.shape)), float32)


# Linear attention


def _check_delta(q: array, k: array, v: array, gamma: array, beta: array) -> None:
    op = "gated_delta_update"
    shapes = f"q {q.shape}, k {k.shape}, v {v.shape}, gamma {gamma.shape} and beta {beta.shape}"
    if q.ndim != 4 or v.ndim != 4 or k.shape != q.shape or v.shape[:2] != q.shape[:2]:
        raise ValueError(f"[{op}] Expected q and k (B, T, H_k, D_k) and v (B, T, H_v, D_v), not {shapes}.")
    if q.shape[1] == 0 or q.shape[2] == 0 or v.shape[2] % q.shape[2]:
        raise ValueError(f"[{op}] Expected a multiple of the heads of q in v, and T > 0: {shapes}.")
    lead = v.shape[:3]
    if beta.shape != lead or gamma.shape not in (lead, (*lead, q.shape[-1])):
        raise ValueError(
            f"[{op}] Expected beta (B, T, H_v) and gamma of that shape, or with an axis D_k: {shapes}."
        )


def _repeated_heads(value: array, count: int) -> array:
    """(B, T, H, D) with every head several times in a row."""
    batch, length, heads, extent = value.shape
    split = reshaped(value, (batch, length, heads, 1, extent))
    times = broadcast(split, (batch, length, heads, count // heads, extent))
    return reshaped(times, (batch, length, count, extent))


def _initial_state(op: str, given: array | None, shape: Shape) -> array:
    if given is None:
        return constant(0.0, float32, shape)
    if require_array(op, given).shape != shape:
        raise ValueError(f"[{op}] Expected an initial state of shape {shape}, not {given.shape}.")
    return cast(given, float32)


def gated_delta_update(
    q: array,
    k: array,
    v: array,
    gamma: array,
    beta: array,
    initial_state: array | None = None,
    mask: array | None = None,
    stream: StreamLike = None,
) -> list[array]:
    """[outputs, final state] of a gated delta network: q, k (B, T, H_k, D_k), v (B, T, H_v, D_v).

    For every t the state S (B, H_v, D_v, D_k), float32, decays by gamma[t], the value it has at k[t] moves
    by the fraction beta[t] towards v[t], and the output is S q[t]. Where the mask (B, T) is zero, the state
    stays and the output is 0. The steps are recorded one after the other.

    >>> ones = mx.ones((1, 2, 1, 1))
    >>> y, s = mx.fast.gated_delta_update(ones, ones, 3 * ones, ones[..., 0], 0.5 * ones[..., 0])
    >>> y.tolist(), s.item()
    ([[[[1.5]], [[2.25]]]], 2.25)
    """
    if stream is not None:
        require_stream("gated_delta_update", stream)
    op = "gated_delta_update"
    q, k, v = require_array(op, q), require_array(op, k), require_array(op, v)
    gamma, beta = require_array(op, gamma), require_array(op, beta)
    _check_delta(q, k, v, gamma, beta)
    promoted = promote(promote(q.dtype, k.dtype), v.dtype)
    dtype = promoted if promoted.kind == "f" else float32
    batch, length, heads, values = v.shape
    keys = q.shape[-1]
    if mask is not None and require_array(op, mask).shape != (batch, length):
        raise ValueError(f"[{op}] Expected a mask of shape {(batch, length)}, not {mask.shape}.")
    state = _initial_state(op, initial_state, (batch, heads, values, keys))
    # Time comes first; a step then reads one contiguous part of each.
    q, k = [_over_time(_repeated_heads(cast(part, float32), heads), (1, keys)) for part in (q, k)]
    v, beta = _over_time(cast(v, float32), (values, 1)), _over_time(cast(beta, float32), (1, 1))
    gamma = _over_time(cast(gamma, float32), (1, keys if gamma.ndim == 4 else 1))
    shown = None if mask is None else _over_time(not_equal(mask, 0), (1, 1, 1))
    outputs = []
    for step in range(length):
        now = [_at_time(part, step) for part in (q, k, v, gamma, beta)]
        following, output = _delta_step(state, *now)
        if shown is not None:
            here = _at_time(shown, step)
            following, output = where(here, following, state), where(here, output, 0.0)
        state = following
        outputs.append(reshaped(output, (batch, heads, values)))
    return [cast(stack(outputs, 1), dtype), state]


def _over_time(value: array, tail: Shape) -> array:
    """(B, T, H, ...) or (B, T) as (T, B, H, *tail)."""
    moved = permute(value, (1, 0, *range(2, value.ndim)))
    lead = moved.shape[:3] if len(tail) == 2 else moved.shape[:2]
    return reshaped(moved, (*lead, *tail))


def _at_time(value: array, step: int) -> array:
    return reshaped(narrowed(value, 0, step, 1), value.shape[1:])


def _delta_step(
    state: array, q: array, k: array, v: array, gamma: array, beta: array
) -> tuple[array, array]:
    """The next state and its output: everything is (B, H, D_v or 1, D_k or 1)."""
    decayed = multiply(state, gamma)
    known = sum_axes(multiply(decayed, k), (3,))
    change = multiply(subtract(v, known), beta)
    following = add(decayed, multiply(change, k))
    return following, sum_axes(multiply(following, q), (3,))
