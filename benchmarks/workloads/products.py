"""Matrix products: 1024^3 in all transpositions, batches of small ones, matrix times vector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.workload import Bar, FunctionWorkload, Workload, generator

SIZE = 1024
BATCH = 64
VECTOR = 4096


def uniform(name: str, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Arrays of numbers in [-1, 1), float32."""
    random = generator(name)
    return [random.random(shape, dtype=np.float32) * 2 - 1 for shape in shapes]


def squares(quick: bool) -> Sequence[np.ndarray]:
    size = 48 if quick else SIZE
    return uniform("squares", (size, size), (size, size))


def batches(quick: bool) -> Sequence[np.ndarray]:
    rows, inner, columns = (16, 8, 16) if quick else (128, 32, 128)
    count = 4 if quick else BATCH
    return uniform("batches", (count, rows, inner), (count, inner, columns))


def matrix_and_vector(quick: bool) -> Sequence[np.ndarray]:
    size = 64 if quick else VECTOR
    return uniform("vector", (size, size), (size,))


def product(first_transposed: bool, second_transposed: bool) -> Callable[[Any], Callable[..., Any]]:
    """`a @ b` with either transposed: every library has `.T` as a view of a matrix."""

    def build(_: Any) -> Callable[..., Any]:
        if first_transposed and second_transposed:
            return lambda a, b: a.T @ b.T
        if first_transposed:
            return lambda a, b: a.T @ b
        if second_transposed:
            return lambda a, b: a @ b.T
        return lambda a, b: a @ b

    return build


def everywhere(build: Callable[[Any], Callable[..., Any]]) -> dict[str, Callable[[Any], Callable[..., Any]]]:
    """The same words in every family."""
    return dict.fromkeys(("mx", "torch", "jax", "numpy"), build)


def workloads() -> list[Workload]:
    listed: list[Workload] = []
    for first, second, name in (
        (False, False, "nn"),
        (False, True, "nt"),
        (True, False, "tn"),
        (True, True, "tt"),
    ):
        letters = f"{'Aᵀ' if first else 'A'} {'Bᵀ' if second else 'B'}"
        listed.append(
            FunctionWorkload(
                f"matmul_{name}",
                f"matrix product {letters}, {SIZE}³",
                "torch.matmul, jax.numpy.matmul, numpy.matmul",
                [Bar("ratio", 1.0), Bar("flops", 0.85)],
                squares,
                everywhere(product(first, second)),
                flops=2.0 * SIZE**3,
                traffic=12.0 * SIZE**2,
            )
        )
    listed.append(
        FunctionWorkload(
            "matmul_batched",
            f"{BATCH} products [128, 32] @ [32, 128]",
            "torch.matmul, jax.numpy.matmul, numpy.matmul",
            [Bar("ratio", 0.8)],
            batches,
            everywhere(product(False, False)),
            flops=2.0 * BATCH * 128 * 32 * 128,
            traffic=4.0 * BATCH * (2 * 128 * 32 + 128 * 128),
        )
    )
    listed.append(
        FunctionWorkload(
            "matrix_vector",
            f"matrix {VECTOR}² times vector",
            "torch.matmul, jax.numpy.matmul, numpy.matmul",
            [Bar("ratio", 1.0)],
            matrix_and_vector,
            everywhere(product(False, False)),
            flops=2.0 * VECTOR**2,
            traffic=4.0 * VECTOR**2,
        )
    )
    return listed
