"""Forward graphs that are recognised by their looks, and those that only look alike."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tarry.core as mx
from tarry.graph.subgraph import Invocation, Output
from tarry.graph.tracing import run_lock
from tarry.transforms import pullback

RNG = np.random.default_rng(5)
Loss = Callable[..., mx.array]


def draw(*shape: int) -> mx.array:
    return mx.array(RNG.standard_normal(shape).astype(np.float32))


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows whenever a graph is not recognised."""
    monkeypatch.setattr(pullback, "_patterns", {})
    found: list[int] = []
    walk = pullback._dependents

    def counting(*args: Any) -> Any:
        found.append(1)
        return walk(*args)

    monkeypatch.setattr(pullback, "_dependents", counting)
    return found


def plain(function: Loss, *args: mx.array) -> list[Any]:
    """The gradients by both arguments, each by the rules of the operations."""
    # Inside another transform graphs are recorded as they are.
    return [mx.compile(mx.grad(function, argnums=number))(*args).tolist() for number in range(len(args))]


def check(function: Loss, *args: mx.array) -> None:
    found = mx.grad(function, argnums=tuple(range(len(args))))(*args)
    for value, expected in zip(found, plain(function, *args)):
        assert np.allclose(np.array(value), np.array(expected), rtol=1e-5, atol=1e-6)


def test_the_same_graph_is_walked_once(walks: list[int]) -> None:
    labels = mx.array([0, 2, 1])

    def loss(w: mx.array, x: mx.array) -> mx.array:
        taken = mx.take_along_axis(mx.maximum(x @ w, 0), mx.expand_dims(labels, -1), -1)
        return mx.mean(taken * 1.5)

    values = []
    for _ in range(4):
        w, x = draw(5, 3), draw(3, 5)
        value, gradients = mx.value_and_grad(loss, argnums=(0, 1))(w, x)
        values.append((w, x, value, gradients))
    assert len(walks) == 1
    for w, x, value, gradients in values:
        assert mx.allclose(value, loss(w, x), rtol=1e-5)
        for found, expected in zip(gradients, plain(loss, w, x)):
            assert np.allclose(np.array(found), np.array(expected), rtol=1e-5, atol=1e-6)


SHARED = draw(4)
ALIKE: list[list[Loss]] = [
    [lambda a, b: mx.sum(a * 2.0 + b), lambda a, b: mx.sum(a * 3.0 + b)],
    [lambda a, b: mx.sum(a / (b * 0.0 + 1)), lambda a, b: mx.sum(a / (b * -0.0 + 1))],
    [lambda a, b: mx.sum(a * b), lambda a, b: mx.sum(b * a), lambda a, b: mx.sum(a * a)],
    [lambda a, b: mx.sum(mx.sin(a) * mx.sin(b)), lambda a, b: mx.sum(mx.sin(b) * mx.sin(a))],
    [lambda a, b: mx.sum((a + b) * (a + b)), lambda a, b: mx.sum((lambda s: s * s)(a + b))],
    [lambda a, b: mx.sum((a * b)[1:3]), lambda a, b: mx.sum((a * b)[0:2])],
    [lambda a, b: mx.sum((a * b)[0:2]), lambda a, b: mx.sum((a * b)[0:4:2])],
    [lambda a, b: mx.sum(a * b * SHARED), lambda a, b: mx.sum(a * b * a)],
    [lambda a, b: mx.sum(a * b * SHARED), lambda a, b: mx.sum(a * b * mx.exp(SHARED))],
    [lambda a, b: mx.sum(a * b + mx.sin(SHARED)), lambda a, b: mx.sum(a * b + mx.sin(a))],
    [lambda a, b: mx.sum(mx.exp(a) * b), lambda a, b: mx.sum(mx.tanh(a) * b)],
    [lambda a, b: mx.sum(mx.stop_gradient(a) * b), lambda a, b: mx.sum(mx.sin(a) * b)],
]


@pytest.mark.parametrize("functions", ALIKE, ids=range(len(ALIKE)))
def test_graphs_that_look_alike_are_told_apart(functions: list[Loss], walks: list[int]) -> None:
    for _ in range(2):
        for function in functions:
            check(function, draw(4), draw(4))
    assert len(walks) >= len(functions)
    known = len(walks)
    for function in functions:
        mx.eval(mx.grad(function, argnums=(0, 1))(draw(4), draw(4)))
    assert len(walks) == known


def test_sources_of_other_shapes_and_dtypes(walks: list[int]) -> None:
    def loss(a: mx.array, b: mx.array) -> mx.array:
        return mx.sum(a.reshape(-1) * b.reshape(-1)).astype(mx.float32)

    for a, b in [(draw(2, 3), draw(6)), (draw(3, 2), draw(6)), (draw(2, 3), draw(6).astype(mx.float16))]:
        for _ in range(2):
            found = mx.grad(loss, argnums=(0, 1))(a, b)
            assert [(g.shape, g.dtype) for g in found] == [(a.shape, a.dtype), (b.shape, b.dtype)]
            assert mx.allclose(found[0], b.reshape(a.shape), rtol=1e-3)


def test_what_is_held_is_part_of_the_looks(walks: list[int]) -> None:
    kept: list[mx.array] = []

    def loss(a: mx.array, b: mx.array, keep: bool) -> mx.array:
        inner = mx.sin(a) * b
        if keep:
            kept.append(inner)
        return mx.sum(inner * inner)

    gradient = mx.grad(loss)
    a, b = draw(4), draw(4)
    expected = np.array(gradient(a, b, False))
    for keep in (True, False, True, True, False):
        assert np.allclose(np.array(gradient(a, b, keep)), expected, rtol=1e-6)
    assert len(walks) == 2
    assert all(type(value._node.primitive) is Output for value in kept)
    assert all(mx.allclose(value, mx.sin(a) * b) for value in kept)


def test_values_that_are_looked_at_inside(walks: list[int]) -> None:
    looking = False

    def loss(a: mx.array, b: mx.array) -> mx.array:
        inner = a * b
        if looking:
            mx.eval(inner)
        return mx.sum(inner * inner)

    for look in (False, False, True, True, False):
        a, b = draw(4), draw(4)
        looking = look
        found = mx.grad(loss)(a, b)
        assert mx.allclose(found, 2 * a * b * b, rtol=1e-5)


def test_inputs_that_are_not_evaluated_and_change_their_shape_of_graph(walks: list[int]) -> None:
    def loss(a: mx.array, b: mx.array) -> mx.array:
        return mx.sum(a * b)

    gradient = mx.grad(loss)
    for step in range(6):
        b = draw(4)
        value = mx.sin(b) if step % 2 else b
        assert mx.allclose(gradient(draw(4), value), value, rtol=1e-6)


def test_vjp_and_the_same_output_twice(walks: list[int]) -> None:
    def both(x: mx.array) -> list[mx.array]:
        y = mx.sin(x)
        return [y, y * 2, y]

    for _ in range(3):
        x = draw(3)
        outputs, (gradient,) = mx.vjp(both, [x], [mx.ones(3), mx.ones(3), mx.ones(3)])
        assert mx.allclose(gradient, 4 * mx.cos(x), rtol=1e-5)
        assert mx.allclose(outputs[2], mx.sin(x), rtol=1e-6)
        outputs, (gradient,) = mx.vjp(lambda t: mx.sin(t) * 2, [x], [x])
        assert mx.allclose(gradient, 2 * mx.cos(x) * x, rtol=1e-5, atol=1e-6)


def test_a_loss_with_two_names_stays_one_value() -> None:
    names: list[mx.array] = []

    def loss(a: mx.array) -> mx.array:
        value = mx.sum(a * a)
        names.append(mx.array(value))
        return value

    for _ in range(3):
        a = draw(4)
        value, gradient = mx.value_and_grad(loss)(a)
        mx.eval(gradient)
        assert names[-1]._node.storage is not None
        assert value.item() == names[-1].item()


def run_while_evaluating(work: Callable[[], None]) -> bool:
    """Whether the work gets done while a thread evaluates, which this one seems to do."""
    thread = threading.Thread(target=work, daemon=True)
    with run_lock:
        thread.start()
        thread.join(timeout=0.5)
        done = not thread.is_alive()
    thread.join(timeout=30)
    assert not thread.is_alive()
    return done


def test_recording_a_gradient_does_not_wait_for_an_evaluation() -> None:
    def loss(a: mx.array) -> mx.array:
        return mx.sum(mx.sin(a) * 2)

    found: list[Any] = []
    a = draw(4)
    for _ in range(2):
        assert run_while_evaluating(lambda: found.append(mx.value_and_grad(loss)(a)))
    for value, gradient in found:
        assert mx.allclose(gradient, 2 * mx.cos(a), rtol=1e-6)
        assert mx.allclose(value, loss(a), rtol=1e-6)


def test_a_node_that_others_see_changes_only_between_evaluations() -> None:
    """Who evaluates reads a node's operation and its inputs one after the other."""
    published: list[mx.array] = []
    seen: list[tuple[type, int]] = []

    def loss(a: mx.array) -> mx.array:
        published.append(mx.sin(a) * a)
        return mx.sum(published[-1])

    a = draw(4)
    for _ in range(2):
        thread = threading.Thread(target=lambda: mx.eval(mx.grad(loss)(a)), daemon=True)
        published.clear()
        with run_lock:
            thread.start()
            thread.join(timeout=0.3)
            assert thread.is_alive()
            node = published[0]._node
            seen.append((type(node.primitive), len(node.inputs)))
        thread.join(timeout=30)
        assert not thread.is_alive()
        assert mx.allclose(published[0], mx.sin(a) * a, rtol=1e-6)
    assert all(kind is not Output and count == 2 for kind, count in seen)


def test_threads_that_evaluate_what_a_function_gives_away() -> None:
    published: list[mx.array] = []
    failures: list[BaseException] = []
    finished = threading.Event()

    def loss(a: mx.array) -> mx.array:
        inner = mx.tanh(a) * a
        published.append(inner)
        return mx.sum(inner)

    def look() -> None:
        try:
            while not finished.is_set():
                if published:
                    mx.eval(published[-1])
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=look)
    thread.start()
    a = draw(64)
    expected = np.tanh(np.array(a)) * np.array(a)
    try:
        for _ in range(200):
            mx.grad(loss)(a)
            assert np.allclose(np.array(published[-1]), expected, rtol=1e-5, atol=1e-6)
    finally:
        finished.set()
        thread.join()
    assert not failures


def test_an_invocation_is_what_the_loss_stands_on() -> None:
    def loss(a: mx.array) -> mx.array:
        return mx.sum(mx.sin(a))

    for _ in range(3):
        value, gradient = mx.value_and_grad(loss)(draw(4))
        assert value._node.inputs[0] is gradient._node.inputs[0]
        assert type(value._node.inputs[0].primitive) is Invocation
