"""Functions recorded from a list: the graph is what the function records, and it runs no more than needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tarry.core as mx
from tarry.core._libraries import record_as_one, recorded_once
from tarry.graph.subgraph import Invocation
from tarry.graph.tracing import run_lock
from tarry.graph.walk import print_graph, reachable
from tarry.ops import build

RNG = np.random.default_rng(11)


def draw(*shape: int) -> mx.array:
    return mx.array(RNG.standard_normal(shape).astype(np.float32))


def counted(function: Callable[..., Any]) -> tuple[Callable[..., Any], list[int]]:
    """The function recorded once, and a list that grows whenever it runs."""
    runs: list[int] = []

    def run(*args: Any, **keywords: Any) -> Any:
        runs.append(1)
        return function(*args, **keywords)

    return recorded_once(run), runs


def scores(x: mx.array, weight: mx.array, axis: int = -1, scale: float = 1.0) -> mx.array:
    product = x @ weight.T * scale
    return mx.mean(mx.softmax(product - mx.max(product, axis=axis, keepdims=True), axis=axis), axis=axis)


def test_the_graph_is_the_one_the_function_records() -> None:
    recorded, runs = counted(scores)
    for number in range(4):
        x, weight = draw(5, 3), draw(4, 3)
        found, expected = recorded(x, weight, axis=0), scores(x, weight, axis=0)
        assert print_graph([found._node]) == print_graph([expected._node])
        assert mx.array_equal(found, expected)
        assert len(runs) == min(number + 1, 2)


def test_other_shapes_dtypes_and_arguments_run_the_function() -> None:
    recorded, runs = counted(scores)
    x, weight = draw(5, 3), draw(4, 3)
    variants: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((x, weight), {}),
        ((x, weight, 0), {}),
        ((x, weight, -1, 0.0), {}),
        ((x, weight, -1, -0.0), {}),
        ((x, weight, -1, 1), {}),
        ((x, weight, -1, True), {}),
        ((x.astype(mx.float16), weight), {}),
        ((draw(6, 3), weight), {}),
        ((x,), {"weight": weight}),
    ]
    for _ in range(3):
        for args, keywords in variants:
            found, expected = recorded(*args, **keywords), scores(*args, **keywords)
            assert found.dtype == expected.dtype
            assert mx.array_equal(found, expected)
    assert len(runs) == 2 * len(variants)


def test_zeros_keep_their_signs() -> None:
    recorded, _ = counted(lambda x, number: x * number)
    for _ in range(3):
        assert np.signbit(np.array(recorded(mx.ones(2), -0.0))).all()
        assert not np.signbit(np.array(recorded(mx.ones(2), 0.0))).any()


def test_the_same_array_twice_is_no_property_of_the_replay() -> None:
    recorded, _ = counted(lambda x, y: x * y + x)
    a, b = draw(3), draw(3)
    for x, y in [(a, a), (a, a), (a, b), (b, a)]:
        assert mx.array_equal(recorded(x, y), x * y + x)


def test_several_results_and_results_that_are_arguments() -> None:
    recorded, runs = counted(lambda x, y: (x, mx.sin(y), x))
    pairs, _ = counted(lambda x: [x + 1, x * 2])
    for _ in range(3):
        x, y = draw(3), draw(4)
        found = recorded(x, y)
        assert type(found) is tuple
        assert [value.shape for value in found] == [(3,), (4,), (3,)]
        assert mx.array_equal(found[0], x)
        assert mx.array_equal(found[1], mx.sin(y))
        assert type(pairs(x)) is list
        assert mx.array_equal(pairs(x)[1], x * 2)
    assert len(runs) == 2


def test_what_cannot_be_repeated_just_runs() -> None:
    outside = draw(3)
    reading, runs = counted(lambda x: x + outside)
    listing, listed = counted(lambda items: items[0] * 2)
    number, numbers = counted(lambda x: x.shape[0])
    for _ in range(3):
        x = draw(3)
        assert mx.array_equal(reading(x), x + outside)
        assert mx.array_equal(listing([x]), x * 2)
        assert number(x) == 3
        # Of another type than array, and as such handed on.
        assert mx.array_equal(reading(np.ones(3, np.float32)), outside + 1)
    assert len(runs) == 3 + 1 + 3
    assert len(listed) == 3
    assert len(numbers) == 4


def test_calls_with_rules_of_their_own_belong_to_one_recording() -> None:
    @mx.custom_function
    def own(x: mx.array) -> mx.array:
        return x * 2

    @own.vjp
    def own_vjp(primals: Any, cotangent: mx.array, output: mx.array) -> mx.array:
        return cotangent * 100

    recorded, runs = counted(own)
    for _ in range(3):
        assert mx.grad(lambda x: recorded(x).sum())(draw(2)).tolist() == [100.0, 100.0]
    assert len(runs) == 4


def test_transforms_see_what_is_recorded() -> None:
    recorded, _ = counted(scores)
    x, weight = draw(5, 3), draw(4, 3)
    for _ in range(3):
        expected = mx.grad(lambda w: scores(x, w).sum() ** 2)(weight)
        assert mx.allclose(mx.grad(lambda w: recorded(x, w).sum() ** 2)(weight), expected, rtol=1e-5)
        batch = draw(2, 5, 3)
        expected = mx.vmap(lambda one: scores(one, weight))(batch)
        assert mx.allclose(mx.vmap(lambda one: recorded(one, weight))(batch), expected, rtol=1e-5)
        expected = mx.jvp(lambda w: scores(x, w), [weight], [weight])[1][0]
        assert mx.allclose(mx.jvp(lambda w: recorded(x, w), [weight], [weight])[1][0], expected, atol=1e-6)


def test_failures_name_the_call_of_this_time() -> None:
    recorded, _ = counted(lambda x, places: mx.take(x, places) * 2)
    x = draw(3)
    for _ in range(3):
        mx.eval(recorded(x, mx.array([1])))
    wrong = recorded(x, mx.array([7]))
    line = test_failures_name_the_call_of_this_time.__code__.co_firstlineno + 5
    with pytest.raises(IndexError, match=rf"\[take\] Index 7 .*test_replay.py:{line}"):
        mx.eval(wrong)


def test_a_program_that_never_looks_is_evaluated_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "MOST_RECORDED", 1000)
    build.restart_count()
    recorded, _ = counted(lambda x: mx.tanh(x) * 2 - mx.sin(x))
    x = draw(2)
    before = mx.counters()["nodes"]
    for _ in range(300):
        x = recorded(x)
    assert mx.counters()["nodes"] - before > 900


def update(arrays: list[mx.array]) -> list[mx.array]:
    weight, gradient, state = arrays
    return [weight - 0.5 * gradient, state, gradient * gradient]


def test_one_operation_with_several_results() -> None:
    for _ in range(3):
        arrays = [draw(4, 3), draw(4, 3), draw(2)]
        found = record_as_one("update", update, arrays)
        assert sum(type(node.primitive) is Invocation for node in reachable([v._node for v in found])) == 1
        assert found[1] is arrays[2]
        for value, expected in zip(found, update(arrays)):
            assert mx.array_equal(value, expected)


def test_one_operation_runs_for_new_shapes_and_inside_transforms() -> None:
    runs = []

    def run(arrays: list[mx.array]) -> list[mx.array]:
        runs.append(1)
        return [arrays[0] * arrays[1]]

    for _ in range(3):
        record_as_one("product", run, [draw(3), draw(3)])
    assert len(runs) == 1
    record_as_one("product", run, [draw(2), draw(2)])
    assert len(runs) == 2
    x, y = draw(3), draw(3)
    gradient = mx.grad(lambda w: mx.sum(record_as_one("product", run, [w, y])[0]))(x)
    assert len(runs) == 3
    assert mx.array_equal(gradient, y)


def test_threads_share_replays() -> None:
    recorded, _ = counted(scores)
    x, weight = draw(5, 3), draw(4, 3)
    expected = scores(x, weight).tolist()
    found: list[Any] = []

    def work() -> None:
        for _ in range(50):
            found.append(recorded(x, weight).tolist())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 200
    assert all(one == expected for one in found)


def test_the_lock_of_evaluation_is_free_between_evaluations() -> None:
    recorded, _ = counted(scores)
    mx.eval(recorded(draw(5, 3), draw(4, 3)))
    assert run_lock.acquire(blocking=False)
    run_lock.release()
