"""Elementwise chains, copies and many tiny operations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.workload import Bar, FunctionWorkload, Workload, generator
from benchmarks.workloads.products import everywhere, uniform

CHAIN = 4 << 20
TINY_STEPS = 100
SCALE = math.sqrt(2 / math.pi)


def long_vector(quick: bool) -> Sequence[np.ndarray]:
    return uniform("gelu", (500 if quick else CHAIN,))


def tiny_vectors(quick: bool) -> Sequence[np.ndarray]:
    random = generator("tiny")
    start, addend, factor = random.random((3, 16), np.float32)
    # Factors near one keep a hundred steps in range.
    return [start, addend, 1 - factor / 8]


def wide_matrix(quick: bool) -> Sequence[np.ndarray]:
    return uniform("transposed", (48, 32) if quick else (4096, 1024))


def vector_of(size: int) -> Callable[[bool], Sequence[np.ndarray]]:
    return lambda quick: uniform("scaled", (1000 if quick else size,))


def gelu(module: Any) -> Callable[..., Any]:
    """gelu(x) = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))): Hendrycks and Gimpel, arXiv:1606.08415."""
    tanh = module.tanh
    return lambda x: 0.5 * x * (1 + tanh(SCALE * (x + 0.044715 * x * x * x)))


def tiny_steps(_: Any) -> Callable[..., Any]:
    def run(x: Any, addend: Any, factor: Any) -> Any:
        for _ in range(TINY_STEPS // 2):
            x = x + addend
            x = x * factor
        return x

    return run


def workloads() -> list[Workload]:
    listed: list[Workload] = [
        FunctionWorkload(
            "gelu",
            "tanh-gelu chain on 4 Mi elements",
            "the formula in torch, torch.compile, jax.jit and NumPy",
            [Bar("ratio", 1.0)],
            long_vector,
            everywhere(gelu),
            traffic=8.0 * CHAIN,
        ),
        FunctionWorkload(
            "tiny_chain",
            f"{TINY_STEPS} alternating adds and multiplies on 16 elements, evaluated once",
            "the loop in torch eager",
            [Bar("ratio", 1.5, ("torch",))],
            tiny_vectors,
            everywhere(tiny_steps),
        ),
        FunctionWorkload(
            "transposed_copy",
            "transposed copy of (4096, 1024)",
            "x.t().contiguous(), jax.jit(x.T), numpy.ascontiguousarray(x.T)",
            [Bar("ratio", 0.7)],
            wide_matrix,
            {
                "mx": lambda mx: lambda x: mx.contiguous(mx.transpose(x)),
                "torch": lambda torch: lambda x: x.t().contiguous(),
                "jax": lambda jnp: lambda x: x.T,
                "numpy": lambda np: lambda x: np.ascontiguousarray(x.T),
            },
            traffic=8.0 * 4096 * 1024,
        ),
    ]
    for name, size, where in (("cache", 1 << 20, "1 Mi (cache)"), ("memory", 16 << 20, "16 Mi (memory)")):
        listed.append(
            FunctionWorkload(
                f"add_{name}",
                f"x + 1 on {where} elements",
                "x + 1 in torch, torch.compile, jax.jit and NumPy",
                [Bar("ratio", 1.0), Bar("bandwidth", 0.9)],
                vector_of(size),
                everywhere(lambda _: lambda x: x + 1),
                traffic=8.0 * size,
            )
        )
    return listed
