"""Softmax, layer norm, variance and sums of a (4096, 1024) matrix, float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workload import Bar, FunctionWorkload, Workload, generator

ROWS, COLUMNS = 4096, 1024
BYTES = 4 * ROWS * COLUMNS
EPSILON = 1e-5


def matrix(quick: bool) -> list[np.ndarray]:
    """One matrix of numbers in [0, 1), so that sums do not cancel."""
    shape = (64, 48) if quick else (ROWS, COLUMNS)
    return [generator("matrix").random(shape, dtype=np.float32)]


def normalized(quick: bool) -> list[np.ndarray]:
    """A matrix with weight and bias of a layer norm."""
    values = matrix(quick)[0]
    random = generator("normalized")
    width = values.shape[1]
    return [values, *random.random((2, width), dtype=np.float32)]


def softmax_mx(mx: Any) -> Callable[..., Any]:
    return lambda x: mx.softmax(x, axis=-1)


def softmax_torch(torch: Any) -> Callable[..., Any]:
    return lambda x: torch.softmax(x, dim=-1)


def softmax_numpy(xp: Any) -> Callable[..., Any]:
    """For NumPy and, in the same words, for JAX."""

    def softmax(x: Any) -> Any:
        shifted = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
        return shifted / xp.sum(shifted, axis=-1, keepdims=True)

    return softmax


def layer_norm_mx(mx: Any) -> Callable[..., Any]:
    fast = getattr(mx, "fast", None)
    if fast is not None and hasattr(fast, "layer_norm"):
        return lambda x, weight, bias: fast.layer_norm(x, weight, bias, EPSILON)

    def layer_norm(x: Any, weight: Any, bias: Any) -> Any:
        mean = mx.mean(x, axis=-1, keepdims=True)
        variance = mx.var(x, axis=-1, keepdims=True)
        return (x - mean) * mx.rsqrt(variance + EPSILON) * weight + bias

    return layer_norm


def layer_norm_torch(torch: Any) -> Callable[..., Any]:
    function = torch.nn.functional.layer_norm
    return lambda x, weight, bias: function(x, weight.shape, weight, bias, EPSILON)


def layer_norm_numpy(xp: Any) -> Callable[..., Any]:
    """For NumPy and JAX."""

    def layer_norm(x: Any, weight: Any, bias: Any) -> Any:
        centered = x - xp.mean(x, axis=-1, keepdims=True)
        variance = xp.mean(centered * centered, axis=-1, keepdims=True)
        return centered / xp.sqrt(variance + EPSILON) * weight + bias

    return layer_norm


def workloads() -> list[Workload]:
    return [*row_workloads(), *sum_workloads()]


def row_workloads() -> list[Workload]:
    """Functions of every row."""
    return [
        FunctionWorkload(
            "softmax",
            f"softmax over rows of ({ROWS}, {COLUMNS})",
            "torch.softmax; the formula in jax.jit and NumPy",
            [Bar("ratio", 0.75)],
            matrix,
            {"mx": softmax_mx, "torch": softmax_torch, "jax": softmax_numpy, "numpy": softmax_numpy},
            traffic=2 * BYTES,
        ),
        FunctionWorkload(
            "layer_norm",
            f"layer norm over rows of ({ROWS}, {COLUMNS})",
            "torch.nn.functional.layer_norm; the formula in jax.jit and NumPy",
            [Bar("ratio", 0.75)],
            normalized,
            {
                "mx": layer_norm_mx,
                "torch": layer_norm_torch,
                "jax": layer_norm_numpy,
                "numpy": layer_norm_numpy,
            },
            traffic=2 * BYTES,
        ),
    ]


def sum_workloads() -> list[Workload]:
    """One reduction each."""
    return [
        FunctionWorkload(
            "sum_columns",
            f"sum over axis 0 of ({ROWS}, {COLUMNS})",
            "torch.sum, jax.numpy.sum, numpy.sum",
            [Bar("ratio", 0.6)],
            matrix,
            {
                "mx": lambda mx: lambda x: mx.sum(x, axis=0),
                "torch": lambda torch: lambda x: torch.sum(x, dim=0),
                "jax": lambda jnp: lambda x: jnp.sum(x, axis=0),
                "numpy": lambda np: lambda x: np.sum(x, axis=0),
            },
            flops=ROWS * COLUMNS,
            traffic=BYTES,
        ),
        FunctionWorkload(
            "var_rows",
            f"variance over the last axis of ({ROWS}, {COLUMNS})",
            "torch.var, jax.numpy.var, numpy.var",
            [Bar("ratio", 0.9)],
            matrix,
            {
                "mx": lambda mx: lambda x: mx.var(x, axis=-1),
                "torch": lambda torch: lambda x: torch.var(x, dim=-1, correction=0),
                "jax": lambda jnp: lambda x: jnp.var(x, axis=-1),
                "numpy": lambda np: lambda x: np.var(x, axis=-1),
            },
            traffic=BYTES,
        ),
        FunctionWorkload(
            "sum_all",
            f"sum of all of ({ROWS}, {COLUMNS})",
            "torch.sum, jax.numpy.sum, numpy.sum",
            [Bar("ratio", 1.0)],
            matrix,
            {
                "mx": lambda mx: lambda x: mx.sum(x),
                "torch": lambda torch: lambda x: torch.sum(x),
                "jax": lambda jnp: lambda x: jnp.sum(x),
                "numpy": lambda np: lambda x: np.sum(x),
            },
            flops=ROWS * COLUMNS,
            traffic=BYTES,
        ),
    ]
