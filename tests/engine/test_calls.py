"""Values computed by functions of the host: lazy, once for all results, in every mode and transform."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import tarry.core as mx
from tarry.base.dtypes import float32, int32
from tarry.base.settings import settings
from tarry.graph.array import array
from tarry.ops.calls import Call, CallError, NumPyArray, ResultType, call

RUNS: list[tuple[tuple[int, ...], tuple[int, ...], list[bool]]] = []


class Split(Call):
    """Three results: the doubled values, their row sums, and the whole part of them; fails for inf."""

    name = "Split"

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        shape = inputs[0].shape
        return [(shape, float32), (shape[:-1], float32), (shape, int32)]

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        value = inputs[0]
        RUNS.append((value.shape, value.strides, [output is not None for output in outputs]))
        if np.isinf(value).any():
            raise CallError("The values are not finite")
        return [value * 2, value.sum(-1), value.astype(np.int32)]

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        found = None if cotangents[0] is None else cotangents[0] * 2
        if cotangents[1] is not None:
            rows = mx.broadcast_to(cotangents[1][..., None], inputs[0].shape)
            found = rows if found is None else found + rows
        return [found]

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        assert tangents[0] is not None
        return [tangents[0] * 2, tangents[0].sum(-1), None]


def split(a: mx.array) -> list[mx.array]:
    return call(Split(), a)


@pytest.fixture(autouse=True)
def no_runs() -> None:
    RUNS.clear()


def values_of(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 4


def test_results_of_one_call_are_computed_once() -> None:
    doubled, rows, whole = split(mx.array(values_of(3, 4)) + 0.5)
    assert not RUNS
    mx.eval(rows)
    assert len(RUNS) == 1 and RUNS[0][2] == [True, True, True]
    np.testing.assert_array_equal(np.array(doubled), (values_of(3, 4) + 0.5) * 2)
    np.testing.assert_array_equal(np.array(whole), (values_of(3, 4) + 0.5).astype(np.int32))
    np.testing.assert_array_equal(np.array(rows), (values_of(3, 4) + 0.5).sum(-1))
    assert len(RUNS) == 1


def test_dead_results_are_not_written() -> None:
    rows = split(mx.array(values_of(3, 4)))[1]
    mx.eval(rows)
    assert RUNS[0][2] in ([False, True], [False, True, False])


def test_the_same_call_twice_runs_once() -> None:
    x = mx.array(values_of(2, 3))
    mx.eval(split(x)[0] + split(x)[2], split(x)[1])
    assert len(RUNS) == 1


def test_operands_are_strides_and_kernels_meet_around_the_call() -> None:
    x = mx.array(values_of(4, 6))
    mx.eval(x)
    before = mx.counters()["kernels_run"]
    doubled, rows, _ = split(x.T[1:, ::2])
    result = doubled * 3 + rows[:, None] - mx.exp(rows * 0)[:, None]
    mx.eval(result)
    assert mx.counters()["kernels_run"] - before == 1
    assert RUNS[0][:2] == ((5, 2), (4, 48))
    source = values_of(4, 6).T[1:, ::2]
    np.testing.assert_allclose(np.array(result), source * 6 + source.sum(-1)[:, None] - 1, rtol=1e-6)


def test_sizes_are_arguments() -> None:
    def program(count: int) -> None:
        doubled, rows, _ = split(mx.array(values_of(count, count + 1)) * 2)
        value = doubled.sum(-1) + rows
        np.testing.assert_allclose(np.array(value), values_of(count, count + 1).sum(-1) * 6, rtol=1e-6)

    program(5)
    built = mx.counters()["plans_built"]
    for count in (4, 9, 6):
        program(count)
    assert mx.counters()["plans_built"] == built


def test_chained_calls_and_empty_arrays() -> None:
    first = split(mx.array(values_of(2, 3)))[0]
    second = split(first)[0]
    np.testing.assert_array_equal(np.array(split(second)[1]), values_of(2, 3).sum(-1) * 4)
    assert np.array(split(mx.zeros((0, 3)))[1]).shape == (0,)
    np.testing.assert_array_equal(np.array(split(mx.zeros((2, 0)))[1]), [0, 0])


def test_transforms() -> None:
    x = mx.array(values_of(2, 3))

    def loss(a: mx.array) -> mx.array:
        doubled, rows, _ = split(a * a)
        return (doubled * a).sum() + mx.square(rows).sum()

    values = values_of(2, 3)
    expected = 6 * values**2 + 4 * values * (values**2).sum(-1, keepdims=True)
    np.testing.assert_allclose(np.array(mx.grad(loss)(x)), expected, rtol=1e-5)
    np.testing.assert_allclose(np.array(mx.compile(mx.grad(loss))(x)), expected, rtol=1e-5)
    tangent = mx.jvp(loss, [x], [mx.ones_like(x)])[1][0]
    np.testing.assert_allclose(tangent.item(), expected.sum(), rtol=1e-5)
    mapped = mx.vmap(lambda a: split(a)[1], in_axes=2)(mx.array(values_of(2, 3, 4)))
    np.testing.assert_array_equal(np.array(mapped), np.moveaxis(values_of(2, 3, 4), 2, 0).sum(-1))
    per_example = mx.vmap(mx.grad(lambda a: split(a * a)[1].sum()))(x)
    np.testing.assert_allclose(np.array(per_example), 2 * values, rtol=1e-6)


def test_compiled_functions_call_again() -> None:
    function = mx.compile(lambda a: split(a)[1] + 1)
    for count in (2, 3, 2):
        np.testing.assert_array_equal(
            np.array(function(mx.array(values_of(count, 3)))), values_of(count, 3).sum(-1) + 1
        )
    assert len(RUNS) == 3


def test_failures_name_the_call_and_leave_nothing_behind() -> None:
    x = mx.array([[1.0, float("inf")]])
    doubled, rows, _ = split(x)
    for value in (doubled, rows * 2):
        with pytest.raises(
            RuntimeError, match=r"The values are not finite \(recorded at .*test_calls.py:\d+\)"
        ):
            mx.eval(value)
    compiled = mx.compile(lambda a: split(a)[0])
    with pytest.raises(RuntimeError, match="not finite"):
        compiled(x)
    np.testing.assert_array_equal(np.array(compiled(mx.array([[1.0, 2.0]]))), [[2, 4]])
    np.testing.assert_array_equal(np.array(x), [[1.0, np.inf]])


@pytest.mark.parametrize("check, debug", [(1, 0), (2, 0), (0, 3)])
def test_modes(
    check: int, debug: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings, "check", check)
    monkeypatch.setattr(settings, "debug", debug)
    x = mx.array(values_of(3, 5)) * 2
    for _ in range(check + debug):
        x = x + 1  # a program that no other test has
    rows = split(x)[1] * 2
    np.testing.assert_allclose(np.array(rows), (values_of(3, 5) * 2 + check + debug).sum(-1) * 2)
    printed = capsys.readouterr().err
    assert ("= Split %" in printed) == (debug == 3)


def test_several_threads() -> None:
    failures: list[Any] = []

    def work(seed: int) -> None:
        try:
            for count in range(1, 40):
                values = values_of(count % 7 + 1, 3) + seed
                doubled, rows, _ = split(mx.array(values) * 2)
                found = np.array(doubled.sum(-1) + rows)
                np.testing.assert_allclose(found, values.sum(-1) * 6, rtol=1e-5)
        except BaseException as problem:
            failures.append(problem)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_libraries_are_loaded_when_they_are_needed() -> None:
    program = (
        "import sys, tarry.core as mx\n"
        "assert not any(name.startswith('scipy') for name in sys.modules)\n"
        "x = mx.fft.fft(mx.ones((4,)))\n"
        "assert 'scipy.fft' not in sys.modules\n"
        "mx.eval(x)\n"
        "assert 'scipy.fft' in sys.modules and 'scipy.linalg' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
