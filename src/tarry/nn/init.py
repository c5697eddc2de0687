"""Initializers: functions that draw new values for an array of the same shape.

Each maker takes the settings and gives a function from an array to an array, so that
``model.apply(he_normal())`` works, or ``layer.weight = uniform(-0.1, 0.1)(layer.weight)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import tarry.core as mx

__all__ = [
    "constant",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "normal",
    "sparse",
    "uniform",
]

Initializer = Callable[..., mx.array]


def constant(value: float, dtype: mx.Dtype = mx.float32) -> Initializer:
    """Fill with ``value``.

    >>> constant(0.5)(mx.zeros(2)).tolist()
    [0.5, 0.5]
    """

    def initialize(a: mx.array) -> mx.array:
        return mx.full(a.shape, value, dtype=dtype)

    return initialize


def normal(mean: float = 0.0, std: float = 1.0, dtype: mx.Dtype = mx.float32) -> Initializer:
    """Draw from the normal distribution with the given mean and standard deviation."""

    def initialize(a: mx.array) -> mx.array:
        return mx.random.normal(shape=a.shape, scale=std, loc=mean, dtype=dtype)

    return initialize


def uniform(low: float = 0.0, high: float = 1.0, dtype: mx.Dtype = mx.float32) -> Initializer:
    """Draw from the uniform distribution on [low, high)."""

    def initialize(a: mx.array) -> mx.array:
        return mx.random.uniform(low, high, a.shape, dtype=dtype)

    return initialize


def identity(dtype: mx.Dtype = mx.float32) -> Initializer:
    """The identity matrix. The initializer raises ValueError for anything but a square matrix."""

    def initialize(a: mx.array) -> mx.array:
        if a.ndim != 2 or a.shape[0] != a.shape[1]:
            raise ValueError(f"[identity] The input array must be a square matrix but got shape {a.shape}.")
        return mx.eye(a.shape[0], dtype=dtype)

    return initialize


def glorot_normal(dtype: mx.Dtype = mx.float32) -> Initializer:
    """Normal with standard deviation gain * sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio, 2010).

    The fans are the sizes of the last and the first axis, times the product of the axes between. The
    initializer takes ``gain`` (default 1.0) as second argument, and raises ValueError for fewer than 2 axes.
    """

    def initialize(a: mx.array, gain: float = 1.0) -> mx.array:
        fan_in, fan_out = _fans(a)
        std = gain * math.sqrt(2.0 / (fan_in + fan_out))
        return mx.random.normal(shape=a.shape, dtype=dtype, scale=std)

    return initialize


def glorot_uniform(dtype: mx.Dtype = mx.float32) -> Initializer:
    """Uniform between -s and s with s = gain * sqrt(6 / (fan_in + fan_out)); see :func:`glorot_normal`."""

    def initialize(a: mx.array, gain: float = 1.0) -> mx.array:
        fan_in, fan_out = _fans(a)
        limit = gain * math.sqrt(6.0 / (fan_in + fan_out))
        return mx.random.uniform(-limit, limit, a.shape, dtype=dtype)

    return initialize


def he_normal(dtype: mx.Dtype = mx.float32) -> Initializer:
    """Normal with standard deviation gain / sqrt(fan) (He et al., 2015).

    The initializer takes ``mode`` ("fan_in", the default, or "fan_out") and ``gain`` (default 1.0) as further
    arguments, and raises ValueError for another mode or fewer than 2 axes.
    """

    def initialize(a: mx.array, mode: str = "fan_in", gain: float = 1.0) -> mx.array:
        std = gain / math.sqrt(_fan(a, mode))
        return mx.random.normal(shape=a.shape, dtype=dtype, scale=std)

    return initialize


def he_uniform(dtype: mx.Dtype = mx.float32) -> Initializer:
    """Uniform between -s and s with s = gain * sqrt(3 / fan); see :func:`he_normal`."""

    def initialize(a: mx.array, mode: str = "fan_in", gain: float = 1.0) -> mx.array:
        limit = gain * math.sqrt(3.0 / _fan(a, mode))
        return mx.random.uniform(-limit, limit, a.shape, dtype=dtype)

    return initialize


def sparse(sparsity: float, mean: float = 0.0, std: float = 1.0, dtype: mx.Dtype = mx.float32) -> Initializer:
    """Normal, with ceil(sparsity * columns) zeros at random places in each row (Martens, 2010).

    The initializer raises ValueError for anything but a matrix.
    """

    def initialize(a: mx.array) -> mx.array:
        if a.ndim != 2:
            raise ValueError(f"[sparse] Only tensors with 2 dimensions are supported, got shape {a.shape}.")
        zeros = math.ceil(sparsity * a.shape[1])
        draws = mx.random.uniform(shape=a.shape)
        values = mx.random.normal(shape=a.shape, scale=std, loc=mean, dtype=dtype)
        # The place of each draw in its row's order; comparing and counting is one kernel.
        rank = mx.sum(draws[:, None, :] < draws[:, :, None], axis=-1)
        return mx.where(rank < zeros, mx.zeros_like(values), values)

    return initialize


def _fans(a: mx.array) -> tuple[int, int]:
    if a.ndim < 2:
        raise ValueError(
            "[init] Glorot / He initialization requires at least 2 dimensional input but input with "
            f"{a.ndim} dimensions."
        )
    between = math.prod(a.shape[1:-1])
    return a.shape[-1] * between, a.shape[0] * between


def _fan(a: mx.array, mode: str) -> int:
    fan_in, fan_out = _fans(a)
    if mode == "fan_in":
        return fan_in
    if mode == "fan_out":
        return fan_out
    raise ValueError(f"[init] Invalid mode: {mode}. Valid modes are: fan_in, fan_out")
