"""Gradients behind invocations: a known structure is not derived again, and nothing else changes."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import tarry.core as mx
from tarry.graph.subgraph import Invocation
from tarry.graph.walk import reachable

RNG = np.random.default_rng(7)


def draw(*shape: int) -> mx.array:
    return mx.array(RNG.standard_normal(shape).astype(np.float32))


def loss(w: mx.array, x: mx.array) -> mx.array:
    return mx.mean(mx.tanh(x @ w) ** 2)


def plain_gradient(w: mx.array, x: mx.array) -> mx.array:
    """Inside another transform graphs are recorded as they are."""
    return mx.compile(mx.grad(loss))(w, x)


def invocations(*values: mx.array) -> int:
    nodes = reachable([value._node for value in values])
    return sum(type(node.primitive) is Invocation for node in nodes)


def test_value_and_gradient_are_one_invocation_with_the_right_values():
    w, x = draw(5, 3), draw(4, 5)
    value, gradient = mx.value_and_grad(loss)(w, x)
    assert invocations(value, gradient) == 1
    assert len(reachable([value._node, gradient._node])) == 5
    expected = plain_gradient(w, x)
    assert mx.allclose(gradient, expected, rtol=1e-6)
    assert mx.allclose(value, loss(w, x), rtol=1e-6)


def test_a_second_step_builds_and_compiles_nothing_even_at_other_sizes():
    step = mx.value_and_grad(loss)
    mx.eval(step(draw(6, 3), draw(4, 6)))
    before = mx.counters()
    mx.eval(step(draw(6, 3), draw(4, 6)))
    mx.eval(step(draw(11, 7), draw(13, 11)))
    after = mx.counters()
    assert after["plans_built"] == before["plans_built"]
    assert after["kernels_compiled"] == before["kernels_compiled"]


def test_all_living_outputs_are_computed_together():
    w, x = draw(5, 3), draw(4, 5)
    value, gradient = mx.value_and_grad(loss)(w, x)
    before = mx.counters()["plans_built"] + mx.counters()["plans_reused"]
    mx.eval(value)
    assert gradient._node.storage is not None
    mx.eval(gradient)
    assert mx.counters()["plans_built"] + mx.counters()["plans_reused"] == before + 1


def test_outputs_nobody_holds_are_not_computed():
    def two(a: mx.array, b: mx.array) -> mx.array:
        return mx.sum(mx.sin(a)) + mx.sum(mx.cos(b @ b))

    a, b = draw(8), draw(6, 6)
    first, second = mx.grad(two, argnums=(0, 1))(a, b)
    del second
    before = mx.counters()["kernels_run"]
    mx.eval(first)
    # One elementwise kernel: neither of the products is computed.
    assert mx.counters()["kernels_run"] == before + 1
    assert np.allclose(np.array(first), np.cos(np.array(a)), rtol=1e-6)


def test_what_the_function_kept_is_an_output_too():
    kept: list[mx.array] = []

    def run(w: mx.array, x: mx.array) -> tuple[mx.array, mx.array]:
        hidden = mx.tanh(x @ w)
        kept.append(0.5 * mx.mean(hidden, axis=0))
        return mx.sum(hidden * hidden), hidden

    w, x = draw(5, 3), draw(4, 5)
    for _ in range(3):
        kept.clear()
        (value, hidden), gradient = mx.value_and_grad(run)(w, x)
        mx.eval(value, gradient)
        assert hidden._node.storage is not None
        exact = np.tanh(np.array(x) @ np.array(w))
        assert np.allclose(np.array(hidden), exact, atol=1e-6)
        assert np.allclose(np.array(kept[0]), 0.5 * exact.mean(axis=0), atol=1e-6)
        assert np.allclose(np.array(gradient), np.array(x).T @ (2 * exact * (1 - exact**2)), atol=1e-5)


@pytest.mark.parametrize(
    "numbers", [(2.0, 3.0), (0.0, -0.0), (float("nan"), 1.0), (1, True), (float("inf"), -1.0)]
)
def test_constants_are_not_mixed_up(numbers):
    x = draw(4)
    for number in (*numbers, *numbers):

        def run(x: mx.array, number: float = number) -> mx.array:
            return mx.sum(mx.arctan2(x * 0 + number, x)) + mx.sum(x * number)

        found, expected = mx.grad(run)(x), mx.compile(mx.grad(run))(x)
        assert np.array_equal(np.array(found), np.array(expected), equal_nan=True)


def test_slices_at_other_places_and_repeated_axes():
    x = draw(9, 4)
    for start in (0, 3, 5, 3):
        found = mx.grad(lambda x, start=start: mx.sum(x[start : start + 2] ** 3))(x)
        expected = np.zeros((9, 4), np.float32)
        expected[start : start + 2] = 3 * np.array(x)[start : start + 2] ** 2
        assert np.allclose(np.array(found), expected, rtol=1e-5)


def test_evaluating_inside_the_function_and_branching_on_it():
    def run(x: mx.array) -> mx.array:
        y = mx.exp(x)
        return mx.sum(y) if mx.sum(y).item() > 0 else mx.sum(-y)

    x = draw(5)
    for _ in range(2):
        assert np.allclose(np.array(mx.grad(run)(x)), np.exp(np.array(x)), rtol=1e-5)


def test_derivatives_of_derivatives():
    cube = mx.grad(mx.grad(lambda x: x**4))
    for _ in range(3):
        assert np.isclose(cube(mx.array(1.5)).item(), 12 * 1.5**2)
    batched = mx.vmap(mx.grad(lambda x: mx.sin(x) * x))(mx.array([0.5, 1.0]))
    assert np.allclose(np.array(batched), np.sin([0.5, 1.0]) + [0.5, 1.0] * np.cos([0.5, 1.0]), rtol=1e-6)


def test_a_loss_of_an_earlier_gradient():
    x = draw(6)
    direction = mx.grad(lambda x: mx.sum(x**3))(x)  # not evaluated
    found = mx.grad(lambda x: mx.sum(direction * x**2))(x)
    assert np.allclose(np.array(found), 6 * np.array(x) ** 3, rtol=1e-5)


def test_vjp_with_cotangents_that_are_not_evaluated():
    x = draw(3, 4)
    for _ in range(2):
        cotangent = mx.sin(draw(3, 4))
        _, (gradient,) = mx.vjp(lambda x: mx.exp(x), [x], [cotangent])
        assert np.allclose(np.array(gradient), np.array(cotangent) * np.exp(np.array(x)), rtol=1e-5)


def test_the_same_array_twice_and_an_output_that_is_an_input():
    x = draw(4)
    value, (first, second) = mx.value_and_grad(lambda a, b: mx.sum(a * b), argnums=(0, 1))(x, x)
    mx.eval(value, first, second)
    assert np.array_equal(np.array(first), np.array(x)) and np.array_equal(np.array(second), np.array(x))
    assert np.isclose(value.item(), float((np.array(x) ** 2).sum()), rtol=1e-5)


def test_a_failure_names_the_call_of_this_run():
    table = draw(4, 2)
    index = mx.array([9])

    def first(table: mx.array) -> mx.array:
        return mx.sum(mx.take(table, index, axis=0))

    def second(table: mx.array) -> mx.array:
        return mx.sum(mx.take(table, index, axis=0))

    lines = []
    for function in (first, second, first):
        with pytest.raises(IndexError, match=r"^\[take\] Index 9 is out of range") as caught:
            mx.eval(mx.value_and_grad(function)(table))
        lines.append(str(caught.value).rsplit(":", 1)[1])
    assert lines[0] == lines[2] != lines[1]


def test_a_compiled_function_may_capture_a_gradient_that_is_not_evaluated():
    x = draw(4)
    gradient = mx.grad(lambda x: mx.sum(x**2))(x)
    compiled = mx.compile(lambda y: y + gradient)
    assert np.allclose(np.array(compiled(x)), 3 * np.array(x), rtol=1e-6)


def test_threads_differentiate_at_the_same_time():
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            values = np.random.default_rng(seed).standard_normal((5, 5)).astype(np.float32)
            w = mx.array(values)
            for _ in range(20):
                found = np.array(mx.grad(lambda w: mx.sum(mx.exp(w) * w))(w))
                assert np.allclose(found, np.exp(values) * (1 + values), rtol=1e-4, atol=1e-5)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_outputs_recorded_before_an_input_are_computed_once() -> None:
    """`hidden` and what reads it are older than `late`, which the recorded gradient takes as an input."""
    outer = mx.array([1.0, 2.0, 3.0])

    def function(w: mx.array) -> tuple[mx.array, mx.array, mx.array]:
        hidden = mx.exp(w * 2)
        beside = hidden * 3
        late = mx.sin(outer * 5)
        return (hidden * late).sum(), hidden, beside

    w = mx.array([0.1, 0.2, 0.3])
    values = np.exp(2 * np.array(w))
    weights = np.sin(5 * np.array(outer))
    for number in range(4):
        (loss, hidden, beside), gradient = mx.value_and_grad(function)(w)
        if number % 2:
            mx.eval(beside)
        mx.eval(loss, gradient)
        # Somebody holds it, so it is an output of the recorded gradient.
        assert hidden._node.storage is not None
        np.testing.assert_allclose(np.array(hidden), values, rtol=1e-6)
        np.testing.assert_allclose(np.array(beside), 3 * values, rtol=1e-6)
        np.testing.assert_allclose(loss.item(), (values * weights).sum(), rtol=1e-5)
        np.testing.assert_allclose(np.array(gradient), 2 * values * weights, rtol=1e-5)
