"""Rows of the op table: the functions of `mx.fast`. `op_case.OpCase` says what the fields mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special

from .op_case import ANY, Draw, OpCase, Variant, index

GATES = Draw(0.2, 0.9)
MILD = Draw(-0.6, 0.6)


def fast(name: str, reference: Any, draws: Any, variants: Any, **fields: Any) -> OpCase:
    """A row for a function of the module fast; its first arrays are the draws."""
    fields.setdefault("dtypes", ("float32", "float16", "bfloat16", "float64"))
    fields.setdefault("differentiable", tuple(range(len(draws))))
    function = fields.pop("function", name)

    def apply(module: Any, *arrays: Any, **options: Any) -> Any:
        return getattr(module.fast, function)(*arrays, **options)

    return OpCase(name, apply, reference, draws=draws, variants=variants, **fields)


def rms_norm(x: Any, weight: Any = 1.0, eps: float = 1e-5) -> Any:
    return x / np.sqrt(np.mean(x * x, -1, keepdims=True) + eps) * weight


def layer_norm(x: Any, weight: Any = 1.0, bias: Any = 0.0, eps: float = 1e-5) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(np.mean(centred**2, -1, keepdims=True) + eps) * weight + bias


def rope(
    x: Any,
    dims: int,
    traditional: bool,
    base: float | None,
    scale: float,
    offset: Any,
    freqs: Any = None,
) -> Any:
    half = dims // 2
    frequencies = 1 / freqs if freqs is not None else base ** (-np.arange(half) / half)
    starts = np.reshape(offset, (-1, *(1,) * (x.ndim - 2)))
    angles = ((np.arange(x.shape[-2]) + starts) * scale)[..., None] * frequencies
    first, second = np.arange(half), np.arange(half) + half
    if traditional:
        first, second = 2 * first, 2 * first + 1
    result = np.array(x)
    result[..., first] = x[..., first] * np.cos(angles) - x[..., second] * np.sin(angles)
    result[..., second] = x[..., first] * np.sin(angles) + x[..., second] * np.cos(angles)
    return result


def attention(q: Any, k: Any, v: Any, *rest: Any, scale: float, causal: bool = False) -> Any:
    groups = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, groups, 1), np.repeat(v, groups, 1)
    scores = scale * q @ np.swapaxes(k, -1, -2)
    if causal:
        shape = scores.shape[-2:]
        scores = np.where(np.tri(*shape, shape[1] - shape[0], dtype=bool), scores, -np.inf)
    for mask in rest:
        scores = np.where(mask, scores, -1e30) if mask.dtype == bool else scores + mask
    return scipy.special.softmax(scores, -1) @ v


def with_sinks(q: Any, k: Any, v: Any, sinks: Any, scale: float) -> Any:
    scores = scale * q @ np.swapaxes(k, -1, -2)
    column = np.broadcast_to(sinks[:, None, None], (*scores.shape[:-1], 1))
    return scipy.special.softmax(np.concatenate([scores, column], -1), -1)[..., :-1] @ v


def cross_entropy(logits: Any, targets: Any) -> Any:
    chosen = np.take_along_axis(logits, targets[..., None], -1)[..., 0]
    return scipy.special.logsumexp(logits, axis=-1) - chosen


def gated_delta(q: Any, k: Any, v: Any, gamma: Any, beta: Any) -> Any:
    groups = v.shape[2] // q.shape[2]
    q, k = np.repeat(q, groups, 2), np.repeat(k, groups, 2)
    state = np.zeros((*v.shape[:1], *v.shape[2:], q.shape[-1]))
    outputs = []
    for t in range(q.shape[1]):
        decay = gamma[:, t, :, None, None] if gamma.ndim == 3 else gamma[:, t, :, None, :]
        state = state * decay
        known = np.einsum("bhvk,bhk->bhv", state, k[:, t])
        change = (v[:, t] - known) * beta[:, t, :, None]
        state = state + change[..., None] * k[:, t, :, None, :]
        outputs.append(np.einsum("bhvk,bhk->bhv", state, q[:, t]))
    return [np.stack(outputs, 1), state]


NORMS = [
    fast("rms_norm", rms_norm, (ANY, ANY),
         [Variant((5, 7), (7,), eps=1e-5), Variant((2, 3, 16), (16,), eps=0.1)],
         ulps=8.0, absolute=2.0),
    fast("rms_norm_plain", rms_norm, (ANY,), [Variant((5, 7), weight=None, eps=1e-5)],
         function="rms_norm", ulps=8.0, absolute=2.0),
    fast("layer_norm", layer_norm, (ANY, ANY, ANY),
         [Variant((5, 7), (7,), (7,), eps=1e-5), Variant((2, 3, 16), (16,), (16,), eps=0.1)],
         ulps=8.0, absolute=4.0),
    fast("layer_norm_plain", layer_norm, (ANY,), [Variant((5, 7), weight=None, bias=None, eps=1e-5)],
         function="layer_norm", ulps=8.0, absolute=4.0),
]  # fmt: skip
for case, plain in ((NORMS[1], rms_norm), (NORMS[3], layer_norm)):
    case.reference = lambda x, plain=plain, **options: plain(x, eps=options["eps"])

ROTATIONS = [
    fast(
        "rope",
        rope,
        (ANY,),
        [
            Variant((2, 3, 8), dims=8, traditional=False, base=100.0, scale=1.0, offset=3),
            Variant((2, 3, 8), dims=8, traditional=True, base=100.0, scale=0.5, offset=0),
            Variant((2, 2, 3, 9), dims=6, traditional=False, base=100.0, scale=1.0, offset=5),
            Variant((2, 2, 3, 9), dims=6, traditional=True, base=100.0, scale=1.0, offset=5),
        ],
        ulps=8.0,
        absolute=8.0,
    ),
    OpCase(
        "rope_offsets",
        lambda module, x, offset, freqs: module.fast.rope(
            x, 6, traditional=False, base=None, scale=1.0, offset=offset, freqs=freqs
        ),
        lambda x, offset, freqs: rope(x, 6, False, None, 1.0, offset, freqs),
        draws=(ANY, index(0, 9), Draw(1.0, 9.0, dtype="float32")),
        variants=[Variant((2, 2, 3, 9), (2,), (3,)), Variant((2, 3, 6), (), (3,))],
        dtypes=("float32", "float16", "bfloat16", "float64"),
        ulps=8.0,
        absolute=8.0,
        differentiable=(),
    ),
]

HEADS = ((2, 4, 3, 8), (2, 2, 5, 8), (2, 2, 5, 6))
ATTENTION = [
    fast(
        "scaled_dot_product_attention",
        attention,
        (ANY, ANY, ANY),
        [Variant(*HEADS, scale=0.35), Variant((1, 3, 2, 4), (1, 1, 4, 4), (1, 1, 4, 4), scale=0.5)],
        ulps=8.0,
        absolute=8.0,
    ),
    OpCase(
        "attention_causal",
        lambda module, q, k, v, scale: module.fast.scaled_dot_product_attention(
            q, k, v, scale=scale, mask="causal"
        ),
        lambda q, k, v, scale: attention(q, k, v, scale=scale, causal=True),
        draws=(ANY, ANY, ANY),
        variants=[Variant(*HEADS, scale=0.35)],
        dtypes=("float32", "float64"),
        ulps=8.0,
        absolute=8.0,
        differentiable=(0, 1, 2),
    ),
    OpCase(
        "attention_mask",
        lambda module, q, k, v, mask, scale: module.fast.scaled_dot_product_attention(
            q, k, v, scale=scale, mask=mask
        ),
        attention,
        draws=(ANY, ANY, ANY, ANY),
        variants=[Variant(*HEADS, (3, 5), scale=0.35), Variant(*HEADS, (2, 4, 3, 5), scale=0.35)],
        dtypes=("float32", "float64"),
        ulps=8.0,
        absolute=8.0,
        differentiable=(0, 1, 2, 3),
        # Too many combinations of axes: tests/core/test_fast.py maps over a few.
        mapped=False,
    ),
    OpCase(
        "attention_sinks",
        lambda module, q, k, v, sinks, scale: module.fast.scaled_dot_product_attention(
            q, k, v, scale=scale, sinks=sinks
        ),
        with_sinks,
        draws=(ANY, ANY, ANY, ANY),
        variants=[Variant((2, 3, 4, 8), (2, 3, 5, 8), (2, 3, 5, 6), (3,), scale=0.35)],
        dtypes=("float32", "float64"),
        ulps=8.0,
        absolute=8.0,
        differentiable=(0, 1, 2, 3),
        # Too many combinations of axes: tests/core/test_fast.py maps over a few.
        mapped=False,
    ),
]

REST = [
    fast(
        "fast_cross_entropy",
        cross_entropy,
        (ANY, index(0, 7)),
        [Variant((5, 7), (5,)), Variant((7,), ()), Variant((2, 3, 7), (2, 3))],
        function="cross_entropy",
        dtypes=("float32", "float16", "bfloat16"),
        # MLX reduces in the dtype of the logits on the CPU, against its own documentation.
        oracle_dtypes=("float32",),
        ulps=64.0,
        absolute=4.0,
        differentiable=(0,),
    ),
    fast(
        "gated_delta_update",
        gated_delta,
        (MILD, MILD, ANY, GATES, GATES),
        [
            Variant((2, 4, 1, 3), (2, 4, 1, 3), (2, 4, 2, 5), (2, 4, 2), (2, 4, 2)),
            Variant((1, 3, 2, 3), (1, 3, 2, 3), (1, 3, 2, 5), (1, 3, 2, 3), (1, 3, 2)),
        ],
        # The state is float32 whatever the dtype.
        dtypes=("float32",),
        ulps=16.0,
        absolute=16.0,
        differentiable=(0, 1, 2, 3, 4),
        # Too many combinations of axes: tests/ops/test_public_functions.py maps over a few.
        mapped=False,
    ),
]

FAST_CASES = [*NORMS, *ROTATIONS, *ATTENTION, *REST]
