"""Activations: values against formulas in float64, dtypes, modules, gradients, and MLX where installed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tarry.core as mx
import tarry.nn as nn

POINTS = [-7.0, -4.0, -2.0, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 3.0, 8.0]
x64 = np.array(POINTS)
erf = np.vectorize(math.erf)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def softmax(x: Any) -> Any:
    return np.exp(x) / np.exp(x).sum()


FORMULAS: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: np.maximum(x, 0),
    "relu2": lambda x: np.maximum(x, 0) ** 2,
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "celu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "selu": lambda x: 1.0507 * np.where(x > 0, x, 1.67326 * np.expm1(x)),
    "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
    "gelu_approx": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "gelu_fast_approx": lambda x: x * sigmoid(1.702 * x),
    "sigmoid": sigmoid,
    "log_sigmoid": lambda x: np.log(sigmoid(x)),
    "silu": lambda x: x * sigmoid(x),
    "tanh": np.tanh,
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "softshrink": lambda x: np.where(np.abs(x) > 0.5, x - np.sign(x) * 0.5, 0),
    "hard_shrink": lambda x: np.where(np.abs(x) > 0.5, x, 0),
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "step": lambda x: np.where(x >= 0, 1, 0),
    "softmax": softmax,
    "softmin": lambda x: softmax(-x),
    "log_softmax": lambda x: np.log(softmax(x)),
}
MODULES = {
    "relu": "ReLU", "relu2": "ReLU2", "relu6": "ReLU6", "leaky_relu": "LeakyReLU", "elu": "ELU",
    "celu": "CELU", "selu": "SELU", "gelu": "GELU", "sigmoid": "Sigmoid", "log_sigmoid": "LogSigmoid",
    "silu": "SiLU", "tanh": "Tanh", "hard_tanh": "HardTanh", "softplus": "Softplus", "softsign": "Softsign",
    "step": "Step", "softshrink": "Softshrink", "hard_shrink": "HardShrink", "hardswish": "Hardswish",
    "mish": "Mish", "softmax": "Softmax", "softmin": "Softmin", "log_softmax": "LogSoftmax",
}  # fmt: skip
KEEP_INTEGERS = {"relu", "relu2", "hard_shrink", "step"}


@pytest.mark.parametrize("name", FORMULAS)
def test_values(name: str) -> None:
    result = np.array(getattr(nn, name)(mx.array(POINTS)))
    np.testing.assert_allclose(result, FORMULAS[name](x64), rtol=2e-5, atol=2e-6)
    if name in MODULES:
        module = getattr(nn, MODULES[name])()
        np.testing.assert_array_equal(np.array(module(mx.array(POINTS))), result)
        assert repr(module) == f"{MODULES[name]}()" and not module.parameters()


@pytest.mark.parametrize("name", FORMULAS)
def test_dtypes(name: str) -> None:
    function = getattr(nn, name)
    half = function(mx.array(POINTS).astype(mx.float16))
    assert half.dtype == (mx.int32 if name == "step" else mx.float16)
    whole = function(mx.array([1, -2]))
    assert whole.dtype == (mx.int32 if name in KEEP_INTEGERS else mx.float32)
    if "soft" not in name or name in ("softplus", "softsign", "softshrink"):
        assert function(2.0).shape == ()


def test_settings() -> None:
    x = mx.array([-2.0, 0.25, 2.0])
    for module, expected in [
        (nn.LeakyReLU(0.5), [-1, 0.25, 2]),
        (nn.ELU(2.0), [2 * math.expm1(-2), 0.25, 2]),
        (nn.CELU(2.0), [2 * math.expm1(-1), 0.25, 2]),
        (nn.Softshrink(0.125), [-1.875, 0.125, 1.875]),
        (nn.HardShrink(0.125), [-2, 0.25, 2]),
        (nn.Step(0.5), [0, 0, 1]),
        (nn.PReLU(1, 0.5), [-1, 0.25, 2]),
        (nn.GLU(), None),
    ]:
        if expected is not None:
            np.testing.assert_allclose(np.array(module(x)), expected, rtol=1e-6)
    assert np.array(nn.hard_tanh(x, -1.0, 0.0)).tolist() == [-1, 0, 0]
    assert tuple(nn.PReLU(3).weight.shape) == (3,)
    np.testing.assert_allclose(np.array(nn.GLU(0)(mx.array([2.0, 0.0]))), [1.0])
    with pytest.raises(ValueError):
        nn.glu(x)
    y = mx.array([[0.0, 1.0], [2.0, 0.0]])
    np.testing.assert_allclose(np.array(nn.softmax(y, axis=0)).sum(0), [1, 1], rtol=1e-6)


def test_gelu_approximations() -> None:
    x = mx.array(POINTS)
    for approximation, function in [
        ("none", nn.gelu),
        ("tanh", nn.gelu_approx),
        ("precise", nn.gelu_approx),
        ("fast", nn.gelu_fast_approx),
    ]:
        np.testing.assert_array_equal(np.array(nn.GELU(approximation)(x)), np.array(function(x)))
    with pytest.raises(ValueError, match=r"\[GELU\] .* but 'other' was given"):
        nn.GELU("other")


def test_large_inputs_stay_finite() -> None:
    x = mx.array([-1e4, 1e4])
    for name in ("elu", "celu", "selu", "softplus", "log_sigmoid", "mish", "silu", "log_softmax"):
        function = getattr(nn, name)
        assert np.all(np.isfinite(np.array(function(x)))), name
        gradient = mx.grad(lambda y, f=function: f(y).sum())(x)
        assert np.all(np.isfinite(np.array(gradient))), name


def test_log_softmax_is_exact_far_from_zero() -> None:
    y = np.array(nn.log_softmax(mx.array([10000.0, 10001.0])))
    np.testing.assert_allclose(y, [-1.3132617, -0.3132617], rtol=1e-5)


@pytest.mark.parametrize("name", FORMULAS)
def test_side_by_side_with_mlx(name: str) -> None:
    core, oracle = pytest.importorskip("mlx.core"), pytest.importorskip("mlx.nn")
    ours, theirs = getattr(nn, name), getattr(oracle, name)
    np.testing.assert_allclose(
        np.array(ours(mx.array(POINTS))), np.array(theirs(core.array(POINTS))), rtol=2e-5, atol=2e-6
    )
    if name == "step":
        return
    # Away from the corners, where libraries choose differently.
    smooth = [p + 0.0625 for p in POINTS]
    our_gradient = mx.grad(lambda x: (ours(x) * mx.arange(12)).sum())(mx.array(smooth))
    their_gradient = core.grad(lambda x: (theirs(x) * core.arange(12)).sum())(core.array(smooth))
    np.testing.assert_allclose(np.array(our_gradient), np.array(their_gradient), rtol=1e-4, atol=1e-5)
