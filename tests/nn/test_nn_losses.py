"""Losses: values against NumPy formulas, reductions, weights, errors, gradients, and MLX where installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tarry.core as mx
from tarry.nn import losses

LOGITS = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 2.0]], np.float32)
CLASSES = np.array([2, 0], np.int32)
PROBABILITIES = np.array([[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]], np.float32)
P = np.array([0.9, 0.2, 0.0], np.float32)
T = np.array([1.0, 0.0, 1.0], np.float32)


def log_softmax(x: Any) -> Any:
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def check(result: mx.array, expected: Any) -> None:
    np.testing.assert_allclose(np.array(result), expected, rtol=2e-5, atol=1e-6)


def test_cross_entropy() -> None:
    logits, classes = mx.array(LOGITS), mx.array(CLASSES)
    log_p = log_softmax(LOGITS)
    each = -log_p[[0, 1], CLASSES]
    check(losses.cross_entropy(logits, classes), each)
    check(losses.cross_entropy(logits, classes, reduction="mean"), each.mean())
    check(losses.cross_entropy(logits, classes, reduction="sum"), each.sum())
    check(losses.cross_entropy(logits.T, classes, axis=0), each)
    check(losses.cross_entropy(logits, mx.array(PROBABILITIES)), -(log_p * PROBABILITIES).sum(-1))
    weights = np.array([1.0, 2.0], np.float32)
    check(losses.cross_entropy(logits, classes, mx.array(weights), reduction="mean"), (each * weights).mean())
    smooth = 0.9 * each - 0.1 * log_p.mean(-1)
    check(losses.cross_entropy(logits, classes, label_smoothing=0.1), smooth)
    check(losses.cross_entropy(logits + 1e4, classes), each)
    check(losses.cross_entropy(logits.reshape(1, 2, 3), classes.reshape(1, 2)), each.reshape(1, 2))
    gradient = mx.grad(lambda x: losses.cross_entropy(x, classes, reduction="sum"))(logits)
    check(gradient, np.exp(log_p) - np.eye(3)[CLASSES])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label_smoothing": 1.0}, r"Label smoothing must be in \[0, 1\), got 1.0."),
        ({"label_smoothing": -0.1}, r"Label smoothing must be in \[0, 1\)"),
        ({"reduction": "other"}, r"Invalid reduction. Must be one of \('none', 'mean', 'sum'\)"),
        ({"targets": np.array([1, 2, 0])}, r"Targets shape \(3,\) does not match logits shape \(2, 3\)"),
        ({"targets": np.ones((3, 2))}, r"Targets shape \(3, 2\) does not match logits shape"),
        ({"targets": np.array([0.0, 1.0])}, "class numbers must be integers"),
        ({"weights": mx.ones(3)}, r"Weights with shape \(3,\) is not the same as output loss"),
        ({"axis": 2}, "axis 2 is out of bounds"),
    ],
)
def test_cross_entropy_errors(arguments: dict[str, Any], message: str) -> None:
    targets = mx.array(arguments.pop("targets", CLASSES))
    with pytest.raises(ValueError, match=rf"\[cross_entropy\] {message}"):
        losses.cross_entropy(mx.array(LOGITS), targets, **arguments)


def test_binary_cross_entropy() -> None:
    p, t = mx.array(P), mx.array(T)
    each = np.log1p(np.exp(P)) - P * T
    check(losses.binary_cross_entropy(p, t), each.mean())
    check(
        losses.binary_cross_entropy(p, t, weights=mx.array([1.0, 2.0, 3.0]), reduction="none"),
        each * [1, 2, 3],
    )
    check(
        losses.binary_cross_entropy(p, t, with_logits=False, reduction="none"),
        [-np.log(0.9), -np.log(0.8), 100],
    )
    with pytest.raises(ValueError, match=r"\[binary_cross_entropy\] Inputs shape \(3,\) does not match"):
        losses.binary_cross_entropy(p, t[:2])


def test_regression_losses() -> None:
    p, t = mx.array(P), mx.array(T)
    check(losses.l1_loss(p, t), np.abs(P - T).mean())
    check(losses.mse_loss(p, t), ((P - T) ** 2).mean())
    check(losses.mse_loss(p, t, reduction="none"), (P - T) ** 2)
    d = np.array([0.0, 0.3, 4.0], np.float32)
    zeros = mx.zeros(3)
    check(losses.smooth_l1_loss(mx.array(d), zeros, beta=0.5, reduction="none"), [0, 0.09, 3.75])
    check(losses.smooth_l1_loss(mx.array(d), zeros, beta=0.0, reduction="none"), d)
    check(losses.huber_loss(mx.array(d), zeros, delta=1.5), [0, 0.045, 1.5 * (4 - 0.75)])
    check(losses.log_cosh_loss(mx.array(d), zeros), np.log(np.cosh(d)))
    variance = np.array([0.1, 0.0, 2.0], np.float32)
    clipped = np.maximum(variance, 1e-6)
    expected = 0.5 * (np.log(clipped) + (T - P) ** 2 / clipped)
    check(losses.gaussian_nll_loss(p, t, mx.array(variance), reduction="none"), expected)
    check(
        losses.gaussian_nll_loss(p, t, mx.array(variance), full=True),
        expected.mean() + 0.5 * np.log(2 * np.pi),
    )
    for function in (losses.l1_loss, losses.mse_loss, losses.smooth_l1_loss):
        with pytest.raises(ValueError, match=rf"\[{function.__name__}\] Predictions shape \(3,\)"):
            function(p, t[:2])
        with pytest.raises(ValueError, match=rf"\[{function.__name__}\] Invalid reduction"):
            function(p, t, reduction="other")


def test_other_losses() -> None:
    logits = mx.array(LOGITS)
    check(losses.nll_loss(logits, mx.array(CLASSES)), -LOGITS[[0, 1], CLASSES])
    check(losses.kl_div_loss(logits, logits - 1), -np.exp(LOGITS - 1).sum(-1))
    check(losses.hinge_loss(mx.array(P), mx.array(2 * T - 1)), np.maximum(1 - P * (2 * T - 1), 0))
    sign = np.array([1.0, -1.0, 1.0], np.float32)
    ranking = losses.margin_ranking_loss(mx.array(P), mx.array(T), mx.array(sign), margin=0.1)
    check(ranking, np.maximum(-sign * (P - T) + 0.1, 0))
    other = LOGITS * 2 + 1
    cosine = (LOGITS * other).sum(1) / np.linalg.norm(LOGITS, axis=1) / np.linalg.norm(other, axis=1)
    check(losses.cosine_similarity_loss(logits, mx.array(other)), cosine)
    for p in (2, 3):
        positive = ((np.abs(np.ones_like(LOGITS)) ** p).sum(-1) + 1e-6) ** (1 / p)
        negative = ((np.abs(LOGITS) ** p).sum(-1) + 1e-6) ** (1 / p)
        check(
            losses.triplet_loss(logits, logits - 1, logits * 2, p=p), np.maximum(positive - negative + 1, 0)
        )
    with pytest.raises(ValueError, match=r"\[margin_ranking_loss\] The shapes of the arguments do not match"):
        losses.margin_ranking_loss(mx.array(P), mx.array(T), mx.ones(2))
    with pytest.raises(ValueError, match=r"\[nll_loss\] Targets shape \(2,\)"):
        losses.nll_loss(logits, mx.array(CLASSES), axis=0)


def test_side_by_side_with_mlx() -> None:
    core, oracle = pytest.importorskip("mlx.core"), pytest.importorskip("mlx.nn")
    generator = np.random.default_rng(3)
    a, b, c = (generator.normal(size=(5, 4)).astype(np.float32) for _ in range(3))
    classes = generator.integers(0, 4, size=5)
    cases: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("cross_entropy", (a, classes), {"label_smoothing": 0.2, "reduction": "mean"}),
        ("cross_entropy", (a, np.abs(b)), {}),
        ("binary_cross_entropy", (a, np.abs(b)), {}),
        ("binary_cross_entropy", (1 / (1 + np.exp(-a)), np.abs(b)), {"with_logits": False}),
        ("l1_loss", (a, b), {}),
        ("mse_loss", (a, b), {}),
        ("nll_loss", (a, classes), {"reduction": "sum"}),
        ("gaussian_nll_loss", (a, b, np.abs(c)), {"full": True}),
        ("kl_div_loss", (a, b), {"axis": 0}),
        ("smooth_l1_loss", (a, b), {"beta": 0.7}),
        ("huber_loss", (a, b), {"delta": 0.7}),
        ("log_cosh_loss", (a, b), {}),
        ("hinge_loss", (a, np.sign(b)), {}),
        ("margin_ranking_loss", (a, b, np.sign(c)), {"margin": 0.3}),
        ("cosine_similarity_loss", (a, b), {"reduction": "mean"}),
        ("triplet_loss", (a, b, c), {"margin": 2.0}),
    ]
    for name, inputs, keywords in cases:
        ours = getattr(losses, name)(*[mx.array(x) for x in inputs], **keywords)
        theirs = getattr(oracle.losses, name)(*[core.array(x) for x in inputs], **keywords)
        np.testing.assert_allclose(np.array(ours), np.array(theirs), rtol=5e-5, atol=2e-6, err_msg=name)
