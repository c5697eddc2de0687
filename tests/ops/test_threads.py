"""Results do not depend on the number of threads: the same bytes with one and with three."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import hashlib
import numpy as np
import tarry.core as mx

random = np.random.default_rng(3)
x = mx.array(random.uniform(-2, 2, (1000, 777)).astype(np.float32))
long = mx.array(random.uniform(-1, 1, 1_000_003).astype(np.float32))
a = mx.array(random.uniform(-1, 1, (311, 203)).astype(np.float32))
b = mx.array(random.uniform(-1, 1, (203, 157)).astype(np.float32))
stack = mx.array(random.uniform(-1, 1, (17, 33, 65)).astype(np.float32))
results = {
    "elementwise": mx.exp(x) * mx.sin(x) + 1.0,
    "sum": mx.sum(long),
    "sum of half": mx.sum(long.astype(mx.float16)),
    "rows": mx.sum(x, axis=1),
    "columns": mx.sum(x, axis=0),
    "variance": mx.var(x),
    "prod": mx.prod(1.0 + long * 1e-4),
    "softmax": mx.softmax(x, axis=-1),
    "softmax of columns": mx.softmax(x, axis=0),
    "logsumexp": mx.logsumexp(long),
    "argmax": mx.argmax(long),
    "matmul": a @ b,
    "matmul of a transpose": b.T @ a.T,
    "batched matmul": stack @ mx.swapaxes(stack, 1, 2),
    "gather": mx.take(x, mx.array(random.integers(-1000, 1000, 5000).astype(np.int32)), axis=0),
    "gradient": mx.grad(lambda w: mx.mean(mx.square(mx.tanh(a @ w))))(b),
    "scatter": mx.grad(lambda e: mx.sum(mx.square(mx.take(e, mx.array([1, 5, 1, 1, 9] * 500), axis=0))))(x),
    "integers": mx.sum(mx.array(random.integers(-1000, 1000, 300_001).astype(np.int32))),
}
for name, value in results.items():
    print(name, hashlib.sha256(np.array(value).tobytes()).hexdigest())
"""


def run(threads: int) -> dict[str, str]:
    environment = {**os.environ, "TARRY_THREADS": str(threads)}
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=300
    )
    assert finished.returncode == 0, finished.stderr
    lines = finished.stdout.strip().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines)


@pytest.fixture(scope="module")
def with_one_thread() -> dict[str, str]:
    return run(1)


@pytest.mark.parametrize("threads", [2, 3])
def test_same_bytes_for_any_number_of_threads(threads: int, with_one_thread: dict[str, str]) -> None:
    results = run(threads)
    different = [name for name, digest in with_one_thread.items() if results[name] != digest]
    assert results.keys() == with_one_thread.keys()
    assert not different, f"{different} depend on the number of threads"
