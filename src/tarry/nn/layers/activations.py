"""Activation functions, and a module for each.

The functions work element by element (softmax and its relatives along an axis), keep the shape and the
floating dtype of their input, and accept Python numbers too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import tarry.core as mx
from tarry.core._libraries import recorded_once
from tarry.nn.layers.base import Module

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "HardShrink",
    "HardTanh",
    "Hardswish",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReLU",
    "ReLU2",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Step",
    "Tanh",
    "celu",
    "elu",
    "gelu",
    "gelu_approx",
    "gelu_fast_approx",
    "glu",
    "hard_shrink",
    "hard_tanh",
    "hardswish",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "prelu",
    "relu",
    "relu2",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "step",
    "tanh",
]


def relu(x: mx.array) -> mx.array:
    """Rectified linear unit: max(x, 0).

    >>> relu(mx.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return mx.maximum(x, 0)


def relu2(x: mx.array) -> mx.array:
    """Squared ReLU: max(x, 0)^2."""
    return mx.square(mx.maximum(x, 0))


@recorded_once
def relu6(x: mx.array) -> mx.array:
    """ReLU that stops at 6: min(max(x, 0), 6)."""
    return mx.minimum(mx.maximum(x, 0), 6.0)


def leaky_relu(x: mx.array, negative_slope: float = 0.01) -> mx.array:
    """max(x, negative_slope * x), for slopes up to 1."""
    return mx.maximum(negative_slope * x, x)


@recorded_once
def prelu(x: mx.array, alpha: mx.array) -> mx.array:
    """ReLU with learned slopes for negative inputs: max(x, 0) + alpha * min(x, 0)."""
    return mx.maximum(x, 0) + alpha * mx.minimum(x, 0)


@recorded_once
def elu(x: mx.array, alpha: float = 1.0) -> mx.array:
    """Exponential linear unit: x where positive, else alpha * (exp(x) - 1)."""
    # The minimum keeps exp finite on the side that is not used, and so keeps nan out of the gradient.
    return mx.where(x > 0, x, alpha * mx.expm1(mx.minimum(x, 0.0)))


@recorded_once
def celu(x: mx.array, alpha: float = 1.0) -> mx.array:
    """Continuously differentiable ELU: x where positive, else alpha * (exp(x / alpha) - 1)."""
    return mx.where(x > 0, x, alpha * mx.expm1(mx.minimum(x, 0.0) / alpha))


@recorded_once
def selu(x: mx.array) -> mx.array:
    """Scaled ELU with the constants that keep mean 0 and variance 1 (Klambauer et al., 2017)."""
    return elu(x, 1.67326) * 1.0507


@recorded_once
def gelu(x: mx.array) -> mx.array:
    """Gaussian error linear unit (Hendrycks and Gimpel, 2016): x * (1 + erf(x / sqrt(2))) / 2."""
    return x * (1 + mx.erf(x / math.sqrt(2))) / 2


@recorded_once
def gelu_approx(x: mx.array) -> mx.array:
    """GELU through tanh: x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2."""
    return 0.5 * x * (1 + mx.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


@recorded_once
def gelu_fast_approx(x: mx.array) -> mx.array:
    """GELU through the logistic function: x * sigmoid(1.702 x)."""
    return x * mx.sigmoid(1.702 * x)


def sigmoid(x: mx.array) -> mx.array:
    """Logistic function: 1 / (1 + exp(-x))."""
    return mx.sigmoid(x)


def log_sigmoid(x: mx.array) -> mx.array:
    """Logarithm of the logistic function: -softplus(-x)."""
    return -softplus(-x)


def silu(x: mx.array) -> mx.array:
    """Sigmoid linear unit, also called Swish: x * sigmoid(x)."""
    return x * mx.sigmoid(x)


def tanh(x: mx.array) -> mx.array:
    """Hyperbolic tangent."""
    return mx.tanh(x)


@recorded_once
def hard_tanh(x: mx.array, min_val: float = -1.0, max_val: float = 1.0) -> mx.array:
    """The input limited to [min_val, max_val]."""
    return mx.minimum(mx.maximum(x, min_val), max_val)


def softplus(x: mx.array) -> mx.array:
    """log(1 + exp(x)), without overflow."""
    return mx.logaddexp(x, 0)


@recorded_once
def softsign(x: mx.array) -> mx.array:
    """x / (1 + |x|)."""
    return mx.divide(x, 1 + mx.abs(x))


def softshrink(x: mx.array, lambd: float = 0.5) -> mx.array:
    """x moved towards zero by ``lambd``, and zero within that distance."""
    return mx.where(mx.abs(x) > lambd, x - mx.sign(x) * lambd, 0)


def hard_shrink(x: mx.array, lambd: float = 0.5) -> mx.array:
    """x where |x| > lambd, else zero."""
    return mx.where(mx.abs(x) > lambd, x, 0)


@recorded_once
def hardswish(x: mx.array) -> mx.array:
    """Piecewise polynomial Swish: x * relu6(x + 3) / 6."""
    return x * relu6(x + 3) / 6


@recorded_once
def mish(x: mx.array) -> mx.array:
    """x * tanh(softplus(x)) (Misra, 2019)."""
    return x * mx.tanh(softplus(x))


def step(x: mx.array, threshold: float = 0.0) -> mx.array:
    """1 where x >= threshold, else 0, in int32."""
    return mx.where(x >= threshold, 1, 0)


def softmax(x: mx.array, axis: int = -1) -> mx.array:
    """exp(x) divided by its sum along ``axis``."""
    return mx.softmax(x, axis=axis)


def softmin(x: mx.array, axis: int = -1) -> mx.array:
    """softmax(-x) along ``axis``."""
    return mx.softmax(-x, axis=axis)


@recorded_once
def log_softmax(x: mx.array, axis: int = -1) -> mx.array:
    """Logarithm of the softmax: x - logsumexp(x) along ``axis``."""
    # Only differences count, and they are most exact near zero.
    shifted = x - mx.stop_gradient(mx.max(x, axis=axis, keepdims=True))
    return shifted - mx.logsumexp(shifted, axis=axis, keepdims=True)


def glu(x: mx.array, axis: int = -1) -> mx.array:
    """Gated linear unit: the first half of ``axis`` times the sigmoid of the second half.

    Raises ValueError when the size of the axis is odd.
    """
    values, gates = mx.split(x, 2, axis=axis)
    return values * mx.sigmoid(gates)


class Activation(Module):
    """A module without parameters that applies one function."""

    function: ClassVar[Callable[..., Any]]

    def __call__(self, x: mx.array) -> mx.array:
        return type(self).function(x)


class ReLU(Activation):
    """Module of :func:`relu`."""

    function = staticmethod(relu)


class ReLU2(Activation):
    """Module of :func:`relu2`."""

    function = staticmethod(relu2)


class ReLU6(Activation):
    """Module of :func:`relu6`."""

    function = staticmethod(relu6)


class SELU(Activation):
    """Module of :func:`selu`."""

    function = staticmethod(selu)


class SiLU(Activation):
    """Module of :func:`silu`."""

    function = staticmethod(silu)


class Sigmoid(Activation):
    """Module of :func:`sigmoid`."""

    function = staticmethod(sigmoid)


class LogSigmoid(Activation):
    """Module of :func:`log_sigmoid`."""

    function = staticmethod(log_sigmoid)


class Tanh(Activation):
    """Module of :func:`tanh`."""

    function = staticmethod(tanh)


class HardTanh(Activation):
    """Module of :func:`hard_tanh`, between -1 and 1."""

    function = staticmethod(hard_tanh)


class Hardswish(Activation):
    """Module of :func:`hardswish`."""

    function = staticmethod(hardswish)


class Mish(Activation):
    """Module of :func:`mish`."""

    function = staticmethod(mish)


class Softplus(Activation):
    """Module of :func:`softplus`."""

    function = staticmethod(softplus)


class Softsign(Activation):
    """Module of :func:`softsign`."""

    function = staticmethod(softsign)


class Softmax(Activation):
    """Module of :func:`softmax` along the last axis."""

    function = staticmethod(softmax)


class Softmin(Activation):
    """Module of :func:`softmin` along the last axis."""

    function = staticmethod(softmin)


class LogSoftmax(Activation):
    """Module of :func:`log_softmax` along the last axis."""

    function = staticmethod(log_softmax)


class GELU(Module):
    """GELU, exact (``approx="none"``) or approximate: "tanh" or "precise" (tanh), "fast" (logistic).

    Raises ValueError for another name.

        >>> GELU("fast")(mx.array(0.0)).item()
        0.0
    """

    def __init__(self, approx: str = "none") -> None:
        super().__init__()
        if approx not in _GELU_FUNCTIONS:
            raise ValueError(
                f"[GELU] The approximation should be in {list(_GELU_FUNCTIONS)} but '{approx}' was given"
            )
        self._approx = approx

    def __call__(self, x: mx.array) -> mx.array:
        return _GELU_FUNCTIONS[self._approx](x)


_GELU_FUNCTIONS = {"none": gelu, "precise": gelu_approx, "tanh": gelu_approx, "fast": gelu_fast_approx}


class GLU(Module):
    """Module of :func:`glu`."""

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis

    def __call__(self, x: mx.array) -> mx.array:
        return glu(x, self.axis)


class LeakyReLU(Module):
    """Module of :func:`leaky_relu`."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self._negative_slope = negative_slope

    def __call__(self, x: mx.array) -> mx.array:
        return leaky_relu(x, self._negative_slope)


class PReLU(Module):
    """Module of :func:`prelu`, with ``num_parameters`` learned slopes (``weight``) that start at ``init``."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        super().__init__()
        self.weight = mx.full((num_parameters,), init)

    def __call__(self, x: mx.array) -> mx.array:
        return prelu(x, self.weight)


class ELU(Module):
    """Module of :func:`elu`."""

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self._alpha = alpha

    def __call__(self, x: mx.array) -> mx.array:
        return elu(x, self._alpha)


class CELU(Module):
    """Module of :func:`celu`."""

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self._alpha = alpha

    def __call__(self, x: mx.array) -> mx.array:
        return celu(x, self._alpha)


class Softshrink(Module):
    """Module of :func:`softshrink`."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def __call__(self, x: mx.array) -> mx.array:
        return softshrink(x, self.lambd)


class HardShrink(Module):
    """Module of :func:`hard_shrink`."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def __call__(self, x: mx.array) -> mx.array:
        return hard_shrink(x, self.lambd)


class Step(Module):
    """Module of :func:`step`."""

    def __init__(self, threshold: float = 0.0) -> None:
        super().__init__()
        self.threshold = threshold

    def __call__(self, x: mx.array) -> mx.array:
        return step(x, self.threshold)
