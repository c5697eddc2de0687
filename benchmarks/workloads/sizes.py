"""Ten sizes never seen before: what a new size costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.libraries import Library
from benchmarks.workload import Bar, Program, Workload, generator
from benchmarks.workloads.elementwise import gelu
from benchmarks.workloads.reductions import softmax_mx, softmax_numpy, softmax_torch

SIZES_PER_RUN = 10
# Rows and columns come from ranges that do not meet; a stride through all pairs keeps the mean size steady.
FIRST_ROWS, ROW_COUNT = 64, 64
FIRST_COLUMNS, COLUMN_COUNT = 256, 192
STRIDE = 4969  # has no factor in common with 64 * 192
PAIRS = ROW_COUNT * COLUMN_COUNT


def shape_number(number: int) -> tuple[int, int]:
    """A shape for each number below `PAIRS`, all different."""
    place = number * STRIDE % PAIRS
    return FIRST_ROWS + place % ROW_COUNT, FIRST_COLUMNS + place // ROW_COUNT


def softmax_gelu_sum(library: Library) -> Callable[[Any], Any]:
    """sum(gelu(softmax(x))) over everything."""
    module = library.module
    softmaxes = {"mx": softmax_mx, "torch": softmax_torch, "jax": softmax_numpy, "numpy": softmax_numpy}
    softmax, activation = softmaxes[library.family](module), gelu(module)
    return lambda x: module.sum(activation(softmax(x)))


class NewSizes(Workload):
    """Every run takes ten arrays of shapes that no run before it had."""

    libraries = ("tarry", "torch", "torch.compile", "jax", "numpy", "mlx")

    def program(self, library: Library, quick: bool) -> Program:
        function = library.compile(softmax_gelu_sum(library))
        largest = (FIRST_ROWS + ROW_COUNT) * (FIRST_COLUMNS + COLUMN_COUNT)
        values = generator("sizes").random(largest, dtype=np.float32)
        arrays: list[Any] = []
        used = 0

        def take_new_sizes() -> None:
            nonlocal used
            arrays.clear()
            for _ in range(SIZES_PER_RUN):
                rows, columns = shape_number(used)
                used += 1
                arrays.append(library.array(values[: rows * columns].reshape(rows, columns)))

        def run() -> Any:
            return [library.wait(function(x)) for x in arrays]

        def check() -> Any:
            take_new_sizes()
            return run()

        return Program(run, before=take_new_sizes, check=check, limit=PAIRS // SIZES_PER_RUN - 20)


def workloads() -> list[Workload]:
    return [
        NewSizes(
            "new_sizes",
            "softmax-gelu-sum at ten sizes never seen before",
            "the formula in torch eager; jax.jit compiles each size",
            [Bar("ratio", 1.0, ("torch",)), Bar("compilations", 0)],
        )
    ]
