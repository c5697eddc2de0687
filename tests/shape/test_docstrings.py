"""Examples in docstrings run, and public functions have docstrings.

Examples see `mx`, `nn`, `optim` and the names of their own module. Output is compared as Tarry prints it.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import tarry.core as mx
import tarry.nn as nn
import tarry.optimizers as optim

SOURCE = Path(__file__).resolve().parents[2] / "src" / "tarry"
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


@pytest.mark.parametrize("namespace", [mx, mx.random, nn, nn.losses, nn.init, optim], ids=lambda m: m.__name__)
def test_public_names_have_docstrings(namespace: ModuleType) -> None:
    missing = [
        name
        for name, value in vars(namespace).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__.startswith("tarry.")
        and not (value.__doc__ or "").strip()
    ]
    assert not missing, f"{namespace.__name__}: no docstring for {missing}"


@pytest.mark.parametrize("namespace", [mx, mx.random], ids=lambda m: m.__name__)
def test_most_functions_have_an_example(namespace: ModuleType) -> None:
    functions = {
        id(value): name
        for name, value in vars(namespace).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    with_example = [name for name in functions.values() if ">>>" in (getattr(namespace, name).__doc__ or "")]
    assert len(with_example) >= 0.8 * len(functions), sorted(set(functions.values()) - set(with_example))
