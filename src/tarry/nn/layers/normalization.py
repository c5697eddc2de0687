"""Normalization over the last axis. Statistics of float16 and bfloat16 inputs are taken in float32."""

from __future__ import annotations

import tarry.core as mx
from tarry.core._libraries import recorded_once
from tarry.nn.layers.base import Module

__all__ = ["LayerNorm", "RMSNorm"]


class LayerNorm(Module):
    """Layer normalization (Ba, Kiros and Hinton, 2016) over the last axis:

        y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias

    ``weight`` (ones) and ``bias`` (zeros) have shape (dims,); ``affine=False`` leaves both out,
    ``bias=False`` the bias. The result has the input's shape, and its dtype promoted with that of the
    weights. Raises ValueError when the last axis of the input is not ``dims``.

        >>> LayerNorm(2)(mx.array([[1.0, 3.0]])).tolist()  # doctest: +SKIP
        [[-1.0, 1.0]]
    """

    def __init__(self, dims: int, eps: float = 1e-5, affine: bool = True, bias: bool = True) -> None:
        super().__init__()
        if affine:
            self.weight = mx.ones((dims,))
            if bias:
                self.bias = mx.zeros((dims,))
        self.eps = eps
        self.dims = dims

    def _extra_repr(self) -> str:
        return f"{self.dims}, eps={self.eps}, affine={'weight' in self}"

    def __call__(self, x: mx.array) -> mx.array:
        return _layer_norm(x, self.get("weight"), self.get("bias"), self.eps)


@recorded_once
def _layer_norm(x: mx.array, weight: mx.array | None, bias: mx.array | None, eps: float) -> mx.array:
    weights = [value for value in (weight, bias) if value is not None]
    _check_input("layer_norm", x, weights)
    wide = _widen(x)
    centered = wide - wide.mean(axis=-1, keepdims=True)
    variance = mx.square(centered).mean(axis=-1, keepdims=True)
    y = centered * mx.rsqrt(variance + eps)
    if weight is not None:
        y = y * weight
    if bias is not None:
        y = y + bias
    return _narrow(y, x, weights)


class RMSNorm(Module):
    """Root mean square normalization (Zhang and Sennrich, 2019) over the last axis:

        y = x / sqrt(mean(x^2) + eps) * weight

    ``weight`` (ones) has shape (dims,). Shapes, dtypes and errors as for :class:`LayerNorm`.

        >>> RMSNorm(2, eps=0.0)(mx.array([3.0, 3.0])).tolist()  # doctest: +SKIP
        [1.0, 1.0]
    """

    def __init__(self, dims: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = mx.ones((dims,))
        self.eps = eps

    def _extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, eps={self.eps}"

    def __call__(self, x: mx.array) -> mx.array:
        return _rms_norm(x, self["weight"], self.eps)


@recorded_once
def _rms_norm(x: mx.array, weight: mx.array, eps: float) -> mx.array:
    _check_input("rms_norm", x, [weight])
    wide = _widen(x)
    scale = mx.rsqrt(mx.square(wide).mean(axis=-1, keepdims=True) + eps)
    return _narrow(wide * scale * weight, x, [weight])


def _check_input(name: str, x: mx.array, weights: list[mx.array]) -> None:
    if x.ndim == 0:
        raise ValueError(f"[{name}] Input must have at least 1 dimension but got input with 0 dimensions.")
    for weight in weights:
        if weight.shape != (x.shape[-1],):
            raise ValueError(
                f"[{name}] weight must have the same size as the last dimension of x but has shape "
                f"{weight.shape} and x has shape {x.shape}."
            )
    if not weights and not mx.issubdtype(x.dtype, mx.floating):
        raise ValueError(f"[{name}] Received unsupported type {x.dtype}, expected a floating one.")


def _is_half(x: mx.array) -> bool:
    return x.dtype == mx.float16 or x.dtype == mx.bfloat16


def _widen(x: mx.array) -> mx.array:
    return x.astype(mx.float32) if _is_half(x) else x


def _narrow(y: mx.array, x: mx.array, weights: list[mx.array]) -> mx.array:
    """Undo the widening, unless the weights have another dtype: then the promotion is at least float32."""
    if _is_half(x) and all(weight.dtype == x.dtype for weight in weights):
        return y.astype(x.dtype)
    return y
