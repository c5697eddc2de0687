"""Graphs of 100,000 nodes in a row: nothing recurses, and nothing takes long."""

from __future__ import annotations

import pytest
from program_runner import run_for_json

NODES = 100_000
# Generous: the machines that run this share their cores.
SECONDS = 120

PRELUDE = f"""
    import gc, json, sys, time
    assert sys.getrecursionlimit() == 1000
    import numpy as np
    import tarry.core as mx

    def chain(x):
        for step in range({NODES} // 2):
            x = x * 0.5
            x = x + 1.0
        return x

    x = mx.array(np.linspace(0, 1, 9, dtype=np.float32))
"""
EPILOGUE = """
    print(json.dumps({"seconds": time.perf_counter() - started, **found}))
"""


def run(middle: str) -> dict[str, float]:
    found: dict[str, float] = run_for_json(
        f"{PRELUDE}\n    started = time.perf_counter()\n{middle}\n{EPILOGUE}", timeout=4 * SECONDS
    )
    print(found)
    assert found["seconds"] < SECONDS
    return found


def test_evaluate() -> None:
    found = run("""
    y = chain(x)
    mx.eval(y)
    found = {"error": abs(np.array(y) - 2.0).max().item(), **mx.counters()}
    """)
    assert found["error"] == 0
    assert found["nodes"] >= NODES
    # Pieces are equal, so they share a few kernels.
    assert found["kernels_compiled"] + found["kernels_loaded"] <= 8


def test_differentiate() -> None:
    found = run("""
    def function(x):
        for step in range(25_000):
            x = x * 0.99999
            x = x + 1.0
        return mx.sum(x)
    gradient = mx.grad(function)(x)
    mx.eval(gradient)
    found = {"gradient": float(gradient[0])}
    """)
    assert found["gradient"] == pytest.approx(0.99999**25_000, rel=1e-2)


def test_differentiate_100_000() -> None:
    found = run("""
    gradient = mx.grad(lambda x: mx.sum(chain(x)))(x)
    mx.eval(gradient)
    found = {"gradient": float(mx.max(gradient))}
    """)
    assert found["gradient"] == 0


def test_free_without_evaluating() -> None:
    found = run("""
    y = chain(x)
    built = time.perf_counter()
    del y
    gc.collect()
    found = {"freed": time.perf_counter() - built}
    """)
    assert found["freed"] < 10


def test_wide_and_deep_sharing() -> None:
    """Every node is used twice: a walk that does not remember where it was would never end."""
    found = run("""
    y = x
    for step in range(2000):
        y = (y + y) * 0.5
    mx.eval(y)
    found = {"error": abs(np.array(y) - np.array(x)).max().item()}
    """)
    assert found["error"] == 0
