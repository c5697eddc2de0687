"""A new process loads what it needs and nothing else: modules are counted, not seconds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from program_runner import run_for_json

IMPORT = """
    import json, sys
    import numpy
    before = set(sys.modules)
    import tarry.core
    print(json.dumps({"new": sorted(set(sys.modules) - before)}))
"""
FIRST_RESULT = """
    import json, sys
    import numpy
    before = set(sys.modules)
    import tarry.core as mx
    a, b, c = mx.ones((1000,)), mx.ones((1000,)), mx.ones((1000,))
    found = (a * b + c).sum().item()
    new = sorted(set(sys.modules) - before)
    print(json.dumps({"new": new, "found": found, **mx.counters()}))
"""
# Beyond NumPy and what NumPy imports itself.
HEAVY = {
    "decimal", "fractions", "hashlib", "inspect", "json", "llvmlite", "ml_dtypes", "random", "scipy",
    "shutil", "socket", "string", "subprocess", "tempfile", "urllib",
}  # fmt: skip
TEXT_WRITERS = {
    "emit", "emit_writer", "expand", "gemm_builder", "gemm_module", "kernels", "math_builder", "math_tables",
}  # fmt: skip
MOST_MODULES = 116


# Families of operations that a program without them does not load.
LATER = {
    "convolution", "einsum", "fast", "fft", "linalg", "quantized", "random", "samples", "sorting", "special",
}  # fmt: skip


# What plans a program for the first time.
COMPILER = {
    *(f"tarry.compiler.{name}" for name in ("pipeline", "fuse", "group", "lower", "lower_rows", "trace")),
    "tarry.engine.layout",
    "tarry.engine.planning",
}


def check_tarry(new: list[str]) -> None:
    assert not COMPILER & set(new)
    assert not {name.partition(".")[0] for name in new} & HEAVY
    rooms = {name.split(".")[1] for name in new if name.startswith("tarry.")}
    assert not rooms & {"nn", "optimizers", "utils", "tools", "demo"}
    assert not {f"tarry.ops.{name}" for name in LATER} & set(new)
    assert not {f"tarry.codegen.{name}" for name in TEXT_WRITERS} & set(new)
    assert not {f"tarry.loops.{name}" for name in ("interpret", "parse", "verify")} & set(new)


def test_import_loads_little() -> None:
    new = run_for_json(IMPORT)["new"]
    check_tarry(new)
    assert sum(name.startswith("tarry") for name in new) <= MOST_MODULES
    assert sum(not name.startswith("tarry") for name in new) <= 20, new


@pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64", reason="LLVM links the objects here"
)
def test_a_warm_start_does_without_llvm(tmp_path: Path) -> None:
    cold = run_for_json(FIRST_RESULT, TARRY_CACHE_DIR=str(tmp_path))
    assert cold["kernels_compiled"] == 3 and cold["kernels_loaded"] == 0
    assert "llvmlite" in cold["new"]
    warm = run_for_json(FIRST_RESULT, TARRY_CACHE_DIR=str(tmp_path))
    assert warm["kernels_compiled"] == 0 and warm["kernels_loaded"] == 3
    assert warm["found"] == cold["found"] == 2000.0
    assert warm["plans_loaded"] == warm["plans_built"] == 1
    check_tarry(warm["new"])
