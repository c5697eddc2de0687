"""The op table is complete: every primitive of tarry.ops is reached by the graph of some row."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tarry.core as mx
import tarry.ops
from oracle import as_list
from tarry.graph.primitive import Primitive

from .harness import Problem, apply, make_inputs
from .op_case import OpCase
from .op_cases import OP_CASES

TESTS = Path(__file__).parent.parent

# Primitives whose results cannot be compared with a reference row by row, and the file that tests them
# instead.
TESTED_ELSEWHERE = {
    "RandomWord": "ops/test_random.py",
    "RandomLog": "ops/test_random.py",
    "RandomErf": "ops/test_random.py",
    "RandomErfInv": "ops/test_random.py",
    "RandomExp": "ops/test_random.py",
}


def registered_primitives() -> set[str]:
    """The names of all concrete primitives defined in tarry.ops."""
    # Most modules of ops are imported when a name of theirs is asked for.
    for module in pkgutil.iter_modules(tarry.ops.__path__):
        importlib.import_module(f"tarry.ops.{module.name}")
    found: set[str] = set()
    pending: list[type] = [Primitive]
    while pending:
        kind = pending.pop()
        pending.extend(kind.__subclasses__())
        if kind.__module__.startswith("tarry.ops") and getattr(kind, "name", ""):
            found.add(kind.name)
    return found


def primitives_under(outputs: Iterable[Any]) -> set[str]:
    """The names of the primitives in the unevaluated graphs of some arrays."""
    found: set[str] = set()
    seen: set[int] = set()
    pending = [output._node for output in outputs]
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node.primitive is not None:
            found.add(node.primitive.name)
        pending.extend(node.inputs)
    return found


def primitives_of(case: OpCase) -> set[str]:
    """What a row's forward graphs contain, over all its variants and a few kinds of dtypes."""
    found: set[str] = set()
    for dtype in [name for name in ("float32", "int32", "bool", "complex64") if name in case.dtypes]:
        for variant in case.variants:
            inputs = make_inputs(mx, case, case.sample(variant, dtype), dtype)
            found |= primitives_under(apply(mx, case, inputs, variant.options, dtype))
    return found


def primitives_of_gradients(case: OpCase) -> set[str]:
    """What the graphs of a row's reverse and forward derivatives contain."""
    found: set[str] = set()
    for dtype in [name for name in ("float32", "complex64") if name in case.dtypes]:
        problem = Problem(mx, case, case.variants[0], dtype)
        primals = problem.arrays(problem.primal_values)
        found |= primitives_under(
            as_list(mx.vjp(problem.function, primals, problem.arrays(problem.cotangents))[1])
        )
        found |= primitives_under(
            as_list(mx.jvp(problem.function, primals, problem.arrays(problem.directions))[1])
        )
    return found


def test_completeness() -> None:
    reached: set[str] = set()
    for case in OP_CASES:
        reached |= primitives_of(case)
        if case.differentiable:
            reached |= primitives_of_gradients(case)
    missing = registered_primitives() - reached - set(TESTED_ELSEWHERE)
    assert not missing, (
        f"these primitives have no row in tests/ops/op_cases*.py: {', '.join(sorted(missing))}"
    )


def test_rows_contain_the_primitives_they_declare() -> None:
    for case in OP_CASES:
        absent = set(case.primitives) - (primitives_of(case) if case.primitives else set())
        assert not absent, (
            f"the row {case.name} declares {sorted(absent)}, but its graphs do not contain them"
        )


def test_exceptions_are_registered_and_tested() -> None:
    for name, file in TESTED_ELSEWHERE.items():
        assert name in registered_primitives(), (
            f"{name} is no primitive any more: remove it from TESTED_ELSEWHERE"
        )
        assert (TESTS / file).exists(), f"{name} should be tested in {file}, which does not exist"
