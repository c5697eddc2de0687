"""Elementwise work on the result of a matrix product runs inside the product's own steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tarry.core as mx
from tarry.runtime.counters import counters

# rows, depth, columns: variants packed (with and without blocks of k), direct, rows and columns.
SIZES = [(64, 300, 48), (200, 100, 300), (7, 513, 37), (12, 40, 33), (1, 64, 50), (1, 512, 700), (300, 64, 5)]


def random(*shape: int) -> Any:
    return mx.array(np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32))


def as_double(value: Any) -> Any:
    return np.array(value.astype(mx.float32)).astype(np.float64)


EPILOGUES: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "bias": lambda m, c, bias, residual: c + bias,
    "activation": lambda m, c, bias, residual: m.tanh(0.1 * c + bias) + residual,
    "residual": lambda m, c, bias, residual: residual - 2.0 * c,
    "rows": lambda m, c, bias, residual: c * residual[:, :1],
}


@pytest.mark.parametrize("name", EPILOGUES)
@pytest.mark.parametrize("size", SIZES)
def test_values(name: str, size: tuple[int, int, int]) -> None:
    m, k, n = size
    a, b, bias, residual = random(m, k), random(k, n), random(n), random(m, n)
    expected = EPILOGUES[name](np, as_double(a) @ as_double(b), as_double(bias), as_double(residual))
    found = EPILOGUES[name](mx, a @ b, bias, residual)
    assert np.allclose(as_double(found), expected, rtol=1e-4, atol=1e-3)
    product = a @ b
    kept = EPILOGUES[name](mx, product, bias, residual)
    mx.eval(product, kept)
    # Whether the product is kept, too, changes nothing.
    assert np.array(kept).tobytes() == np.array(found).tobytes()
    assert np.allclose(as_double(product), as_double(a) @ as_double(b), rtol=1e-4, atol=1e-3)


def test_fused_is_separate_bit_for_bit() -> None:
    for dtype in (mx.float32, mx.float16, mx.bfloat16):
        a, b, bias = (x.astype(dtype) for x in (random(70, 300), random(300, 50), random(50)))
        product = a @ b
        mx.eval(product)
        separate, fused = mx.maximum(product + bias, 0), mx.maximum(a @ b + bias, 0)
        assert np.array(separate.astype(mx.float32)).tobytes() == np.array(fused.astype(mx.float32)).tobytes()


def test_batches_casts_and_chains() -> None:
    a, b, scale = random(3, 4, 20, 33), random(3, 4, 33, 18), random(3, 1, 20, 18)
    found = mx.exp(0.1 * (a @ b)) * scale
    expected = np.exp(0.1 * (as_double(a) @ as_double(b))) * as_double(scale)
    assert np.allclose(as_double(found), expected, rtol=1e-4, atol=1e-4)
    x, w = random(2, 30, 40), random(40, 17)
    narrow = (x @ w).astype(mx.bfloat16)
    wanted = (as_double(x) @ as_double(w)).astype(ml_dtypes.bfloat16).astype(np.float64)
    assert np.allclose(as_double(narrow), wanted, rtol=1e-2, atol=1e-2)
    first = mx.tanh(x @ w)
    second = first * 2.0 + 1.0
    mx.eval(first, second)
    assert np.allclose(as_double(second), 2 * as_double(first) + 1)


def test_no_kernel_of_its_own_and_no_compilation_for_new_sizes() -> None:
    def run(m: int, k: int, n: int) -> int:
        a, b, bias = random(m, k), random(k, n), random(n)
        mx.eval(a, b, bias)
        before = counters.kernels_run
        mx.eval(mx.maximum(a @ b + bias, 0))
        return counters.kernels_run - before

    assert run(200, 300, 300) == 2  # packing, product
    assert run(64, 32, 64) == 1
    compiled = counters.kernels_compiled
    for m, k, n in [(90, 301, 47), (33, 20, 71), (500, 3, 2)]:
        run(m, k, n)
    assert counters.kernels_compiled == compiled
