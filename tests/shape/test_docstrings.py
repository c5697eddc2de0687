"""Examples in docstrings run, and public functions have docstrings.

Examples see `mx`, `nn`, `optim` and the names of their own module. Output is compared as Tarry prints it.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
import re
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
    """The functions and classes of a namespace that users see: its public names, or else those of MLX.

    Names that are imported when somebody asks for them are among them.
    """
    listed = getattr(namespace, "__all__", None) or NAMES[namespace.__name__.replace("tarry", "mlx")]
    found = {name: getattr(namespace, name, None) for name in listed}
    return {
        name: value for name, value in found.items() if inspect.isroutine(value) or inspect.isclass(value)
    }


CORE = [mx, mx.fast, mx.fft, mx.linalg, mx.random]


@pytest.mark.parametrize("namespace", [*CORE, nn, nn.losses, optim, utils], ids=lambda m: m.__name__)
def test_public_names_have_docstrings(namespace: ModuleType) -> None:
    found = public(namespace)
    assert found
    missing = [name for name, value in found.items() if not (value.__doc__ or "").strip()]
    assert not missing, f"{namespace.__name__}: no docstring for {missing}"


@pytest.mark.parametrize("namespace", [*CORE, optim, utils], ids=lambda m: m.__name__)
def test_public_functions_have_examples(namespace: ModuleType) -> None:
    found = public(namespace)
    classes = namespace in CORE
    missing = {
        name
        for name, value in found.items()
        if ">>>" not in (value.__doc__ or "") and (classes or not inspect.isclass(value))
    }
    missing -= WITHOUT_EXAMPLE
    assert not missing, f"{namespace.__name__}: no example for {missing}"


def test_names_imported_late_are_looked_at() -> None:
    assert {"quantile", "conv2d", "bincount", "nanmax", "lexsort"} <= set(public(mx))


CLASSES = [value for value in public(mx).values() if inspect.isclass(value)]


def members(kind: type) -> dict[str, Any]:
    """The public methods and properties of a class, with those it inherits from classes of Tarry."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("tarry."):
            found.update(vars(base))
    return {
        name: value
        for name, value in found.items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
    }


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_members_are_described(kind: type) -> None:
    """A member of a public class has an example or names its twin, a function; one does for small classes."""
    for name, value in members(kind).items():
        text = value.__doc__ or ""
        assert text.strip(), f"{kind.__name__}.{name} has no docstring"
        twin = re.search(r"See `mx\.(\w+)`", text)
        if twin is not None:
            assert twin.group(1) == name, f"{kind.__name__}.{name} refers to mx.{twin.group(1)}"
            assert ">>>" in getattr(mx, name).__doc__
        elif kind in (mx.array, mx.ArrayAt):
            assert ">>>" in text, f"{kind.__name__}.{name} has no example"
        else:
            assert ">>>" in text or ">>>" in (kind.__doc__ or "")
