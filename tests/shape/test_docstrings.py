"""Examples in docstrings run, and public functions have docstrings.

Examples see `mx`, `nn`, `optim` and the names of their own module. Output is compared as Tarry prints it.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tarry.core as mx
import tarry.nn as nn
import tarry.optimizers as optim
from tarry import utils

SOURCE = Path(__file__).resolve().parents[2] / "src" / "tarry"
NAMES = json.loads((Path(__file__).parent / "mlx_names.json").read_text(encoding="utf-8"))
# What they give depends on the program that calls them, or on the machine.
WITHOUT_EXAMPLE = {
    "clear_cache", "clear_streams", "default_device", "default_stream", "device_count", "device_info",
    "get_active_memory", "get_cache_memory", "get_memory_limit", "get_peak_memory", "is_available",
    "new_thread_local_stream", "new_thread_unsafe_stream", "reset_peak_memory", "set_cache_limit",
    "set_default_device", "set_default_stream", "synchronize",
}  # fmt: skip
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def module_names() -> list[str]:
    names = []
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        names.append(".".join(parts))
    return names


def examples_of(module: ModuleType) -> list[doctest.DocTest]:
    # A class that wraps a name of its module's must not hide it, so the shared names come first.
    names = {"mx": mx, "nn": nn, "optim": optim, "np": np, **vars(module)}
    found = doctest.DocTestFinder(exclude_empty=True).find(module, globs=names)
    return [test for test in found if test.examples]


@pytest.mark.parametrize("name", module_names())
def test_examples(name: str) -> None:
    module = importlib.import_module(name)
    failures: list[str] = []
    for test in examples_of(module):
        runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
        runner.run(test, out=failures.append)
    assert not failures, "\n".join(failures)


def public(namespace: ModuleType) -> dict[str, Any]:
    """The functions and classes of a namespace that users see: what MLX has under that name."""
    listed = NAMES.get(namespace.__name__.replace("tarry", "mlx").replace("mlx.ops", "mlx.core"), {})
    return {
        name: value
        for name, value in vars(namespace).items()
        if name in listed and (inspect.isfunction(value) or inspect.isclass(value))
    }


@pytest.mark.parametrize("namespace", [mx, mx.random, nn, nn.losses, optim, utils], ids=lambda m: m.__name__)
def test_public_names_have_docstrings(namespace: ModuleType) -> None:
    found = public(namespace)
    assert found
    missing = [name for name, value in found.items() if not (value.__doc__ or "").strip()]
    assert not missing, f"{namespace.__name__}: no docstring for {missing}"


@pytest.mark.parametrize("namespace", [mx, mx.random, optim, utils], ids=lambda m: m.__name__)
def test_public_functions_have_examples(namespace: ModuleType) -> None:
    functions = {name: value for name, value in public(namespace).items() if inspect.isfunction(value)}
    missing = {name for name, value in functions.items() if ">>>" not in value.__doc__}
    missing -= WITHOUT_EXAMPLE
    assert not missing, f"{namespace.__name__}: no example for {missing}"
