"""Loss functions. ``reduction`` is "none" (one value per example or element), "mean" or "sum".

Shapes that do not match and unknown reductions raise ValueError. What a loss records depends on shapes and
dtypes alone, so it is not worked out anew for every call.
"""

from __future__ import annotations

import math

import tarry.core as mx
from tarry.core._libraries import recorded_once

__all__ = [
    "binary_cross_entropy",
    "cosine_similarity_loss",
    "cross_entropy",
    "gaussian_nll_loss",
    "hinge_loss",
    "huber_loss",
    "kl_div_loss",
    "l1_loss",
    "log_cosh_loss",
    "margin_ranking_loss",
    "mse_loss",
    "nll_loss",
    "smooth_l1_loss",
    "triplet_loss",
]


@recorded_once
def cross_entropy(
    logits: mx.array,
    targets: mx.array,
    weights: mx.array | None = None,
    axis: int = -1,
    label_smoothing: float = 0.0,
    reduction: str = "none",
) -> mx.array:
    """Cross-entropy of unnormalized log-probabilities: ``logsumexp(logits) - logits[target]``.

    ``targets`` holds class numbers, in the shape of ``logits`` less ``axis``, or probabilities in its full
    shape. ``weights`` multiplies the loss of each example. ``label_smoothing`` in [0, 1) moves that share of
    the target to the uniform distribution.

        >>> cross_entropy(mx.array([[0.0, 0.0]]), mx.array([1]), reduction="mean").item() > 0.69
        True
    """
    name = "cross_entropy"
    if label_smoothing < 0 or label_smoothing >= 1:
        raise ValueError(f"[{name}] Label smoothing must be in [0, 1), got {label_smoothing}.")
    are_probabilities = targets.ndim == logits.ndim
    expected = _drop_axis(name, logits.shape, axis)
    if targets.shape != (logits.shape if are_probabilities else expected):
        raise ValueError(
            f"[{name}] Targets shape {targets.shape} does not match logits shape {logits.shape}. Expected "
            f"{expected} for class numbers or {logits.shape} for probabilities."
        )
    # Only differences of logits count, and they are most exact near zero.
    logits = logits - mx.stop_gradient(mx.max(logits, axis=axis, keepdims=True))
    if are_probabilities:
        score = mx.sum(logits * targets, axis=axis)
    else:
        score = _pick(name, logits, targets, axis)
    # The largest is 0 now, so this is their logsumexp; half types need the wider sum.
    wide = logits.astype(mx.float32) if logits.dtype in (mx.float16, mx.bfloat16) else logits
    loss = mx.log(mx.sum(mx.exp(wide), axis=axis))
    loss = loss if wide is logits else loss.astype(logits.dtype)
    if label_smoothing == 0:
        loss = loss - score
    else:
        loss = loss - (1 - label_smoothing) * score - label_smoothing * mx.mean(logits, axis=axis)
    return _reduce(name, _weigh(name, loss, weights), reduction)


@recorded_once
def binary_cross_entropy(
    inputs: mx.array,
    targets: mx.array,
    weights: mx.array | None = None,
    with_logits: bool = True,
    reduction: str = "mean",
) -> mx.array:
    """Cross-entropy between targets in [0, 1] and predictions: logits x, or probabilities p.

    ``log(1 + exp(x)) - x t``, or ``-(t log p + (1 - t) log(1 - p))`` with logarithms not below -100.

        >>> binary_cross_entropy(mx.array([0.0]), mx.array([1.0])).item() > 0.69
        True
    """
    name = "binary_cross_entropy"
    _check_shapes(name, "Inputs", inputs, "targets", targets)
    if with_logits:
        loss = mx.logaddexp(0.0, inputs) - inputs * targets
    else:
        log_positive = mx.maximum(mx.log(inputs), -100.0)
        log_negative = mx.maximum(mx.log(1 - inputs), -100.0)
        loss = -(targets * log_positive + (1 - targets) * log_negative)
    return _reduce(name, _weigh(name, loss, weights), reduction)


@recorded_once
def l1_loss(predictions: mx.array, targets: mx.array, reduction: str = "mean") -> mx.array:
    """Absolute difference: |p - t|."""
    _check_shapes("l1_loss", "Predictions", predictions, "targets", targets)
    return _reduce("l1_loss", mx.abs(predictions - targets), reduction)


@recorded_once
def mse_loss(predictions: mx.array, targets: mx.array, reduction: str = "mean") -> mx.array:
    """Squared difference: (p - t)^2.

    >>> mse_loss(mx.array([1.0, 3.0]), mx.array([1.0, 1.0])).item()
    2.0
    """
    _check_shapes("mse_loss", "Predictions", predictions, "targets", targets)
    return _reduce("mse_loss", mx.square(predictions - targets), reduction)


@recorded_once
def nll_loss(inputs: mx.array, targets: mx.array, axis: int = -1, reduction: str = "none") -> mx.array:
    """Negative log-likelihood: ``-inputs[target]`` for log-probabilities ``inputs`` and class numbers
    ``targets``.

    ``targets`` has the shape of ``inputs`` less ``axis``.
    """
    expected = _drop_axis("nll_loss", inputs.shape, axis)
    if targets.shape != expected:
        raise ValueError(
            f"[nll_loss] Targets shape {targets.shape} does not match inputs shape {inputs.shape}: "
            f"expected {expected} for axis {axis}."
        )
    return _reduce("nll_loss", -_pick("nll_loss", inputs, targets, axis), reduction)


@recorded_once
def gaussian_nll_loss(
    inputs: mx.array,
    targets: mx.array,
    vars: mx.array,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> mx.array:
    """Negative log-likelihood of targets under normal distributions with means ``inputs`` and variances
    ``vars``: ``(log(var) + (t - mean)^2 / var) / 2``, plus ``log(2 pi) / 2`` if ``full``. Variances are at
    least ``eps``.
    """
    _check_shapes("gaussian_nll_loss", "Inputs", inputs, "targets", targets)
    _check_shapes("gaussian_nll_loss", "Inputs", inputs, "vars", vars)
    variance = mx.maximum(vars, eps)
    loss = 0.5 * (mx.log(variance) + mx.square(targets - inputs) / variance)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return _reduce("gaussian_nll_loss", loss, reduction)


@recorded_once
def kl_div_loss(inputs: mx.array, targets: mx.array, axis: int = -1, reduction: str = "none") -> mx.array:
    """Kullback-Leibler divergence of log-probabilities along ``axis``: ``sum(exp(t) (t - x))``."""
    divergence = mx.sum(mx.exp(targets) * (targets - inputs), axis=axis)
    return _reduce("kl_div_loss", divergence, reduction)


@recorded_once
def smooth_l1_loss(
    predictions: mx.array, targets: mx.array, beta: float = 1.0, reduction: str = "mean"
) -> mx.array:
    """With d = |p - t|: ``d^2 / (2 beta)`` below ``beta``, else ``d - beta / 2``."""
    _check_shapes("smooth_l1_loss", "Predictions", predictions, "targets", targets)
    if beta < 0:
        raise ValueError(f"[smooth_l1_loss] beta must not be negative, got {beta}.")
    distance = mx.abs(predictions - targets)
    if beta == 0:
        return _reduce("smooth_l1_loss", distance, reduction)
    loss = mx.where(distance < beta, 0.5 * mx.square(distance) / beta, distance - 0.5 * beta)
    return _reduce("smooth_l1_loss", loss, reduction)


@recorded_once
def huber_loss(inputs: mx.array, targets: mx.array, delta: float = 1.0, reduction: str = "none") -> mx.array:
    """With d = |x - t|: ``d^2 / 2`` up to ``delta``, else ``delta (d - delta / 2)`` (Huber, 1964)."""
    distance = mx.abs(inputs - targets)
    quadratic = mx.minimum(distance, delta)
    loss = 0.5 * mx.square(quadratic) + delta * (distance - quadratic)
    return _reduce("huber_loss", loss, reduction)


@recorded_once
def log_cosh_loss(inputs: mx.array, targets: mx.array, reduction: str = "none") -> mx.array:
    """``log(cosh(x - t))``, without overflow."""
    errors = inputs - targets
    return _reduce("log_cosh_loss", mx.logaddexp(errors, -errors) - math.log(2), reduction)


@recorded_once
def hinge_loss(inputs: mx.array, targets: mx.array, reduction: str = "none") -> mx.array:
    """``max(1 - x t, 0)`` for targets -1 and 1."""
    return _reduce("hinge_loss", mx.maximum(1 - inputs * targets, 0), reduction)


@recorded_once
def margin_ranking_loss(
    inputs1: mx.array, inputs2: mx.array, targets: mx.array, margin: float = 0.0, reduction: str = "none"
) -> mx.array:
    """``max(-t (x1 - x2) + margin, 0)``: the target 1 asks for x1 above x2, -1 for x2 above x1."""
    if not inputs1.shape == inputs2.shape == targets.shape:
        raise ValueError(
            "[margin_ranking_loss] The shapes of the arguments do not match. The provided shapes are "
            f"inputs1.shape={inputs1.shape}, inputs2.shape={inputs2.shape}, and "
            f"targets.shape={targets.shape}."
        )
    loss = mx.maximum(-targets * (inputs1 - inputs2) + margin, 0)
    return _reduce("margin_ranking_loss", loss, reduction)


@recorded_once
def cosine_similarity_loss(
    x1: mx.array, x2: mx.array, axis: int = 1, eps: float = 1e-8, reduction: str = "none"
) -> mx.array:
    """Cosine of the angle between vectors along ``axis``: ``x1 . x2 / max(|x1| |x2|, eps)``."""
    length1 = mx.sqrt(mx.sum(mx.square(x1), axis=axis))
    length2 = mx.sqrt(mx.sum(mx.square(x2), axis=axis))
    loss = mx.sum(x1 * x2, axis=axis) / mx.maximum(length1 * length2, eps)
    return _reduce("cosine_similarity_loss", loss, reduction)


@recorded_once
def triplet_loss(
    anchors: mx.array,
    positives: mx.array,
    negatives: mx.array,
    axis: int = -1,
    p: int = 2,
    margin: float = 1.0,
    eps: float = 1e-6,
    reduction: str = "none",
) -> mx.array:
    """``max(d(anchor, positive) - d(anchor, negative) + margin, 0)`` with the distance of order ``p`` along
    ``axis``.

    ``d(a, b) = (sum |a - b|^p + eps)^(1/p)``.
    """
    to_positive = _distance(anchors, positives, axis, p, eps)
    to_negative = _distance(anchors, negatives, axis, p, eps)
    return _reduce("triplet_loss", mx.maximum(to_positive - to_negative + margin, 0), reduction)


def _distance(a: mx.array, b: mx.array, axis: int, p: int, eps: float) -> mx.array:
    if p == 2:
        return mx.sqrt(mx.sum(mx.square(a - b), axis=axis) + eps)
    return mx.power(mx.sum(mx.power(mx.abs(a - b), p), axis=axis) + eps, 1.0 / p)


def _pick(name: str, values: mx.array, classes: mx.array, axis: int) -> mx.array:
    """The value of the given class along ``axis``."""
    if not mx.issubdtype(classes.dtype, mx.integer):
        raise ValueError(f"[{name}] class numbers must be integers, got targets of {classes.dtype}.")
    return mx.take_along_axis(values, mx.expand_dims(classes, axis), axis).squeeze(axis)


def _drop_axis(name: str, shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"[{name}] axis {axis} is out of bounds for shape {shape}.")
    axis %= len(shape)
    return tuple(shape[:axis]) + tuple(shape[axis + 1 :])


def _check_shapes(name: str, label: str, array: mx.array, other_label: str, other: mx.array) -> None:
    if array.shape != other.shape:
        raise ValueError(
            f"[{name}] {label} shape {array.shape} does not match {other_label} shape {other.shape}."
        )


def _weigh(name: str, loss: mx.array, weights: mx.array | None) -> mx.array:
    if weights is None:
        return loss
    if weights.shape != loss.shape:
        raise ValueError(
            f"[{name}] Weights with shape {weights.shape} is not the same as output loss with shape "
            f"{loss.shape}."
        )
    return loss * weights


def _reduce(name: str, loss: mx.array, reduction: str) -> mx.array:
    if reduction == "mean":
        return mx.mean(loss)
    if reduction == "sum":
        return mx.sum(loss)
    if reduction == "none":
        return loss
    raise ValueError(
        f"[{name}] Invalid reduction. Must be one of ('none', 'mean', 'sum'), got {reduction!r}."
    )
