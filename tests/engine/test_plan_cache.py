"""Plans outlive their process: recipes on disk, which another process runs without the compiler."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from program_runner import run_for_json

import tarry.core as mx
from tarry.base.settings import settings
from tarry.codegen.cache import Entry, plan_cache
from tarry.engine import evaluate as evaluation
from tarry.engine.keying import record
from tarry.engine.plan_cache import recall_recipe, remember_recipe
from tarry.engine.recipe import KernelPart
from tarry.graph.primitive import Primitive, intern_key, is_portable
from tarry.runtime.counters import counters

PROGRAM = """
    import json
    import numpy as np
    import tarry.core as mx
    rows = int(SIZE)
    x = mx.array(np.linspace(-3, 3, rows * 30, dtype=np.float32).reshape(rows, 30))
    w = mx.array(np.linspace(-1, 1, 30 * 8, dtype=np.float32).reshape(30, 8))

    def loss(w, x):
        hidden = mx.maximum(x @ w + 0.5, 0.0)
        return mx.mean(mx.logsumexp(hidden, axis=-1) - hidden[:, 3])

    for step in range(3):
        value, gradient = mx.value_and_grad(loss)(w, x)
        w = w - 0.1 * gradient
        mx.eval(value, w)
    order = mx.argsort(w[:, 1])
    table = mx.zeros((rows, 8))
    table[mx.arange(0, rows, 2)] = 7.0
    found = [float(value), float(mx.sum(w)), order.tolist(), float(mx.sum(table)), float(mx.var(x[::2, 1:]))]
    try:
        mx.eval(w[mx.array([0, 99])])
    except IndexError as problem:
        found.append(str(problem))
    print(json.dumps({**mx.counters(), "found": found}))
"""


def run(size: int, directory: Path) -> dict[str, object]:
    program = PROGRAM.replace("SIZE", str(size))
    found: dict[str, object] = run_for_json(program, TARRY_CACHE_DIR=str(directory))
    return found


def test_a_second_process_plans_nothing(tmp_path: Path) -> None:
    first = run(20, tmp_path)
    assert first["plans_loaded"] == 0
    second = run(20, tmp_path)
    assert second["plans_loaded"] == second["plans_built"] == first["plans_built"]
    assert second["kernels_compiled"] == 0
    assert second["found"] == first["found"]
    # The same recipes serve other sizes.
    third = run(44, tmp_path)
    assert third["plans_loaded"] == third["plans_built"] and third["kernels_compiled"] == 0
    assert third["found"] == run(44, tmp_path / "other")["found"]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of the test's own, and no plan in memory."""
    monkeypatch.setattr(settings, "cache_directory", str(tmp_path))
    monkeypatch.setattr(settings, "disk_cache", True)
    monkeypatch.setattr(settings, "check", 0)
    monkeypatch.setattr(settings, "debug", 0)
    monkeypatch.setattr(evaluation, "_plans", {})
    yield tmp_path


def plan_files(directory: Path) -> list[Path]:
    return sorted((directory / "plans").glob("*.plan"))


def sum_of_cubes() -> float:
    x = mx.array(np.arange(6, dtype=np.float32))
    return float(mx.sum(x * x * x - 2.0))


def forget_plans() -> None:
    evaluation._plans.clear()


@pytest.mark.parametrize("damage", ["truncated", "emptied", "altered", "something else"])
def test_damaged_recipes_are_made_again(damage: str, directory: Path) -> None:
    expected = sum_of_cubes()
    (file,) = plan_files(directory)
    sound = file.read_bytes()
    if damage == "something else":
        cache = plan_cache()
        assert cache is not None
        cache.write(file.stem, Entry(pickle.dumps({"no": "recipe"}), ()))
    else:
        broken = {"truncated": sound[:-9], "emptied": b"", "altered": sound[:-5] + b"xxxxx"}
        file.write_bytes(broken[damage])
    forget_plans()
    before = counters.plans_loaded
    assert sum_of_cubes() == expected
    assert counters.plans_loaded == before
    assert file.read_bytes() == sound
    forget_plans()
    assert sum_of_cubes() == expected
    assert counters.plans_loaded == before + 1


def test_kernels_missing_from_the_cache_are_compiled_from_the_text_of_a_recipe(directory: Path) -> None:
    x = mx.array(np.arange(6, dtype=np.float32))
    recorded = record([mx.sum(mx.exp(x) * 3.0)._node])
    plan = evaluation.find_plan(recorded)
    recipe = recall_recipe(recorded)
    assert recipe is not None
    texts = [part.text for part in recipe.parts if isinstance(part, KernelPart)]
    assert texts == [part.text for part in plan.recipe.parts if isinstance(part, KernelPart)]
    assert texts and all(text.startswith("kernel ") for text in texts)


def test_numbers_of_a_run_are_not_part_of_a_recipe(directory: Path) -> None:
    def scaled(factor: float) -> float:
        return float(mx.sum(mx.array([1.0, 2.0]) * factor))

    assert scaled(3.0) == 9.0
    forget_plans()
    before = counters.plans_loaded
    assert scaled(-0.5) == -1.5
    assert counters.plans_loaded == before + 1


def test_calls_of_python_are_not_kept(directory: Path) -> None:
    mx.eval(mx.linalg.inv(mx.array([[2.0, 1.0], [1.0, 3.0]])))
    assert plan_files(directory) == []


def test_who_looks_at_the_passes_gets_them(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sum_of_cubes()
    monkeypatch.setattr(settings, "debug", 3)
    sum_of_cubes()
    assert "--- fuse" in capsys.readouterr().err


def test_without_a_disk_cache_nothing_is_kept(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "disk_cache", False)
    sum_of_cubes()
    assert not (directory / "plans").exists()


class Strange(Primitive):
    """An operation of a program, not of Tarry: another program may mean something else by it."""

    name = "Strange"


def test_only_operations_of_tarry_with_plain_parameters_have_portable_numbers(directory: Path) -> None:
    kind = type((mx.array([1.0]) + 1)._node.primitive)
    assert is_portable(intern_key((kind, 1, (2, "a"), None, 0.5)))
    assert not is_portable(intern_key((kind, object())))
    assert not is_portable(intern_key((kind, max)))
    assert not is_portable(Strange().key)
    recorded = record([(mx.array([1.0]) + 1)._node])
    plan = evaluation.find_plan(recorded)
    recorded.nodes[0].primitive = Strange()
    remember_recipe(recorded, plan.recipe)
    assert recall_recipe(recorded) is None


def test_numbers_are_different_and_the_same_every_time() -> None:
    keys = [("numbers", a, b) for a in range(300) for b in ("x", "y", (1, 2), None)]
    numbers = [intern_key(key) for key in keys]
    assert len(set(numbers)) == len(keys)
    assert numbers == [intern_key(key) for key in keys]
    program = f"""
    import json
    from tarry.graph.primitive import intern_key
    print(json.dumps([intern_key(key) for key in {keys[:40]!r}]))
    """
    assert run_for_json(program) == numbers[:40]
