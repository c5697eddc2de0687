"""The optimizers. In the formulas, g is a gradient, w a parameter and lr the learning rate.

A learning rate is a number or a function of the step (see :mod:`tarry.optimizers.schedulers`). It is cast to
the dtype of each gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tarry.core as mx
from tarry.optimizers.base import Optimizer, Scalar
from tarry.optimizers.whole_step import records_alike
from tarry.utils import tree_map, tree_reduce

__all__ = ["SGD", "AdaDelta", "Adagrad", "Adam", "AdamW", "Adamax", "Lion", "RMSprop", "clip_grad_norm"]


@records_alike
class SGD(Optimizer):
    """Stochastic gradient descent: ``w - lr v`` with ``v = momentum v + (1 - dampening) g``.

    ``weight_decay`` adds ``weight_decay * w`` to the gradient. With ``nesterov`` the step is ``g + momentum
    v``; it needs a momentum and no dampening (ValueError). Without momentum the step is ``lr g``.

        >>> SGD(0.5).apply_gradients({"w": mx.array([1.0])}, {"w": mx.array([2.0])})["w"].tolist()
        [1.5]
    """

    def __init__(
        self,
        learning_rate: Scalar,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        dampening: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__()
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(
                "[SGD] Nesterov momentum requires a momentum and zero dampening, got "
                f"momentum={momentum} and dampening={dampening}."
            )
        self._maybe_schedule("learning_rate", learning_rate)
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.dampening = dampening
        self.nesterov = nesterov

    def init_single(self, parameter: mx.array, state: dict[str, Any]) -> None:
        state["v"] = mx.zeros_like(parameter)

    def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict[str, Any]) -> mx.array:
        learning_rate = self.learning_rate.astype(gradient.dtype)
        if self.weight_decay != 0:
            gradient = gradient + self.weight_decay * parameter
        if self.momentum <= 0:
            return parameter - learning_rate * gradient
        velocity = self.momentum * state["v"] + (1 - self.dampening) * gradient
        state["v"] = velocity
        step = gradient + self.momentum * velocity if self.nesterov else velocity
        return parameter - learning_rate * step


@records_alike
class RMSprop(Optimizer):
    """``w - lr g / (sqrt(v) + eps)`` with ``v = alpha v + (1 - alpha) g^2`` (Tieleman and Hinton, 2012).

    Raises ValueError for a negative ``alpha`` or ``eps``.
    """

    def __init__(self, learning_rate: Scalar, alpha: float = 0.99, eps: float = 1e-8) -> None:
        super().__init__()
        _check_not_negative("RMSprop", "alpha", alpha)
        _check_not_negative("RMSprop", "epsilon", eps)
        self._maybe_schedule("learning_rate", learning_rate)
        self.alpha = alpha
        self.eps = eps

    def init_single(self, parameter: mx.array, state: dict[str, Any]) -> None:
        state["v"] = mx.zeros_like(parameter)

    def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict[str, Any]) -> mx.array:
        learning_rate = self.learning_rate.astype(gradient.dtype)
        state["v"] = self.alpha * state["v"] + (1 - self.alpha) * mx.square(gradient)
        return parameter - learning_rate * gradient / (mx.sqrt(state["v"]) + self.eps)


@records_alike
class Adagrad(Optimizer):
    """``w - lr g / (sqrt(v) + eps)`` with ``v = v + g^2`` (Duchi, Hazan and Singer, 2011).

    Raises ValueError for a negative ``eps``.
    """

    def __init__(self, learning_rate: Scalar, eps: float = 1e-8) -> None:
        super().__init__()
        _check_not_negative("Adagrad", "epsilon", eps)
        self._maybe_schedule("learning_rate", learning_rate)
        self.eps = eps

    def init_single(self, parameter: mx.array, state: dict[str, Any]) -> None:
        state["v"] = mx.zeros_like(parameter)

    def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict[str, Any]) -> mx.array:
        learning_rate = self.learning_rate.astype(gradient.dtype)
        state["v"] = state["v"] + mx.square(gradient)
        return parameter - learning_rate * gradient / (mx.sqrt(state["v"]) + self.eps)


@records_alike
class AdaDelta(Optimizer):
    """``w - lr d`` with ``d = g sqrt(u + eps) / sqrt(v + eps)`` (Zeiler, 2012).

    ``v`` and ``u`` are running means with decay ``rho`` of ``g^2`` and of ``d^2``.
    Raises ValueError for a negative ``rho`` or ``eps``.
    """

    def __init__(self, learning_rate: Scalar, rho: float = 0.9, eps: float = 1e-6) -> None:
        super().__init__()
        _check_not_negative("AdaDelta", "rho", rho)
        _check_not_negative("AdaDelta", "epsilon", eps)
        self._maybe_schedule("learning_rate", learning_rate)
        self.rho = rho
        self.eps = eps

    def init_single(self, parameter: mx.array, state: dict[str, Any]) -> None:
        state["v"] = mx.zeros_like(parameter)
        state["u"] = mx.zeros_like(parameter)

    def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict[str, Any]) -> mx.array:
        learning_rate = self.learning_rate.astype(gradient.dtype)
        rho, eps = self.rho, self.eps
        state["v"] = rho * state["v"] + (1 - rho) * mx.square(gradient)
        step = mx.sqrt(state["u"] + eps) / mx.sqrt(state["v"] + eps) * gradient
        state["u"] = rho * state["u"] + (1 - rho) * mx.square(step)
        return parameter - learning_rate * step


@records_alike
class Adam(Optimizer):
    """``w - lr m / (sqrt(v) + eps)`` with running means m of g and v of g^2 (Kingma and Ba, 2015).

    ``m = b1 m + (1 - b1) g`` and ``v = b2 v + (1 - b2) g^2``. The paper divides m by ``1 - b1^t`` and v by
    ``1 - b2^t``; here that is done only with ``bias_correction``.
    Raises ValueError for ``betas`` outside [0, 1) and a negative ``eps``.

        >>> optimizer = Adam(learning_rate=1e-3)
    """

    def __init__(
        self,
        learning_rate: Scalar,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        bias_correction: bool = False,
    ) -> None:
        super().__init__()
        _check_betas("Adam", betas)
        _check_not_negative("Adam", "epsilon", eps)
        self._maybe_schedule("learning_rate", learning_rate)
        self.betas = betas
        self.eps = eps
        self.bias_correction = bias_correction

    def init_single(self, parameter: mx.array, state: dict[str, Any]) -> None:
        state["m"] = mx.zeros_like(parameter)
        state["v"] = mx.zeros_like(parameter)

    def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict[str, Any]) -> mx.array:
        learning_rate = self.learning_rate.astype(gradient.dtype)
        beta1, beta2 = self.betas
        state["m"] = beta1 * state["m"] + (1 - beta1) * gradient
        state["v"] = beta2 * state["v"] + (1 - beta2) * mx.square(gradient)
        if not self.bias_correction:
            return parameter - learning_rate * state["m"] / (mx.sqrt(state["v"]) + self.eps)
        # The powers are taken in float32: a half precision b2^t would soon be 1.
        numerator = (self.learning_rate / (1 - beta1**self.step)).astype(gradient.dtype)
        denominator = mx.rsqrt(1 - beta2**self.step).astype(gradient.dtype)
        return parameter - numerator * state["m"] / (mx.sqrt(state["v"]) * denominator + self.eps)


@records_alike
class AdamW(Adam):
    """Adam with decoupled weight decay: w is first scaled by ``1 - lr weight_decay`` (Loshchilov and Hutter,
    2019).

        >>> optimizer = AdamW(learning_rate=1e-3, weight_decay=0.1)
    """

    def __init__(
        self,
        learning_rate: Scalar,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        bias_correction: bool = False,
    ) -> None:
        super().__init__(learning_rate, betas, eps, bias_correction)
        self.weight_decay = weight_decay

    def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict[str, Any]) -> mx.array:
        learning_rate = self.learning_rate.astype(gradient.dtype)
        shrunk = parameter * (1 - learning_rate * self.weight_decay)
        return super().apply_single(gradient, shrunk, state)


@records_alike
class Adamax(Adam):
    """Adam with the running maximum ``v = max(b2 v, |g|)`` in place of sqrt(v) (Kingma and Ba, 2015)."""

    def __init__(
        self, learning_rate: Scalar, betas: Sequence[float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__(learning_rate, betas, eps)

    def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict[str, Any]) -> mx.array:
        learning_rate = self.learning_rate.astype(gradient.dtype)
        beta1, beta2 = self.betas
        state["m"] = beta1 * state["m"] + (1 - beta1) * gradient
        state["v"] = mx.maximum(beta2 * state["v"], mx.abs(gradient))
        return parameter - learning_rate * state["m"] / (state["v"] + self.eps)


@records_alike
class Lion(Optimizer):
    """``w - lr (sign(b1 m + (1 - b1) g) + weight_decay w)`` with ``m = b2 m + (1 - b2) g`` (Chen et al.,
    2023).

    It wants a smaller learning rate than Adam, and a larger weight decay. Raises ValueError for ``betas``
    outside [0, 1).
    """

    def __init__(
        self, learning_rate: Scalar, betas: Sequence[float] = (0.9, 0.99), weight_decay: float = 0.0
    ) -> None:
        super().__init__()
        _check_betas("Lion", betas)
        self._maybe_schedule("learning_rate", learning_rate)
        self.betas = betas
        self.weight_decay = weight_decay

    def init_single(self, parameter: mx.array, state: dict[str, Any]) -> None:
        state["m"] = mx.zeros_like(parameter)

    def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict[str, Any]) -> mx.array:
        learning_rate = self.learning_rate.astype(gradient.dtype)
        beta1, beta2 = self.betas
        mixture = beta1 * state["m"] + (1 - beta1) * gradient
        state["m"] = beta2 * state["m"] + (1 - beta2) * gradient
        if self.weight_decay > 0:
            parameter = (1 - learning_rate * self.weight_decay) * parameter
        return parameter - learning_rate * mx.sign(mixture)


def clip_grad_norm(grads: Any, max_norm: float) -> tuple[Any, mx.array]:
    """Scale the gradients so that their common Euclidean norm is at most ``max_norm``.

    Gives the tree of scaled gradients and the norm before. Squares of float16 gradients are summed in
    float32. Raises ValueError for a negative ``max_norm``.

        >>> clipped, norm = clip_grad_norm({"w": mx.array([3.0, 4.0])}, 1.0)
        >>> round(norm.item(), 4)
        5.0
    """
    if max_norm < 0:
        raise ValueError(f"[clip_grad_norm] max_norm should be >=0, {max_norm} was provided instead")
    squared = tree_reduce(lambda total, gradient: total + _squared_norm(gradient), grads, 0.0)
    norm = mx.sqrt(squared)
    scale = mx.minimum(max_norm / (norm + 1e-6), 1.0)

    def rescale(gradient: mx.array) -> mx.array:
        scaled = gradient * scale
        return scaled.astype(gradient.dtype) if mx.issubdtype(gradient.dtype, mx.floating) else scaled

    return tree_map(rescale, grads), norm


def _squared_norm(gradient: mx.array) -> mx.array:
    if gradient.dtype == mx.float16:
        gradient = gradient.astype(mx.float32)
    return mx.sum(mx.square(gradient))


def _check_not_negative(optimizer: str, name: str, value: float) -> None:
    if value < 0:
        raise ValueError(f"[{optimizer}] {name} should be >=0, {value} was provided instead")


def _check_betas(optimizer: str, betas: Sequence[float]) -> None:
    if len(betas) != 2:
        raise ValueError(f"[{optimizer}] expected two betas, got {list(betas)}")
    for number, beta in enumerate(betas, start=1):
        if not 0 <= beta < 1 or math.isnan(beta):
            raise ValueError(f"[{optimizer}] beta{number} should be in [0, 1), {beta} was provided instead")
