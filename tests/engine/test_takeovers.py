"""Results written over inputs nobody needs any more."""

from __future__ import annotations

import numpy as np
import pytest

import tarry.core as mx


def address(value: mx.array) -> int:
    mx.eval(value)
    storage = value._node.storage
    assert storage is not None
    return storage.buffer.address


def test_an_update_is_written_over_the_old_parameter():
    parameter = mx.ones((300, 7)) * 2
    place = address(parameter)
    for step in range(4):
        gradient = mx.full((300, 7), 0.5)
        parameter = parameter - 0.1 * gradient
        assert address(parameter) == place
        assert np.allclose(np.array(parameter), 2 - 0.05 * (step + 1))
        # A NumPy array of the values would hold the memory.


def test_a_training_step_keeps_its_parameters_where_they_are():
    w, x = mx.random.normal((40, 30)), mx.random.normal((40, 30))
    mx.eval(x)
    place = address(w)
    for _ in range(3):
        value, gradient = mx.value_and_grad(lambda w: mx.mean(mx.tanh(x * w) ** 2))(w)
        w = w - 0.1 * gradient
        del gradient
        mx.eval(value, w)
        assert address(w) == place


@pytest.mark.parametrize("holder", ["handle", "numpy", "view", "lazy"])
def test_what_somebody_holds_is_left_alone(holder):
    x = mx.arange(1000) * 1.0
    mx.eval(x)
    before = np.arange(1000, dtype=np.float32)
    held = {
        "handle": lambda: mx.array.__copy__(x) if hasattr(x, "__copy__") else x[:],
        "numpy": lambda: np.asarray(x),
        "view": lambda: x[10:20],
        "lazy": lambda: mx.exp(x * 1e-3),
    }[holder]()
    if holder == "view":
        mx.eval(held)
    x = x + 1
    mx.eval(x)
    assert np.array_equal(np.array(x), before + 1)
    expected = {"view": before[10:20], "lazy": np.exp(before * np.float32(1e-3))}.get(holder, before)
    assert np.allclose(np.array(held), expected, rtol=1e-6)


def test_elements_read_elsewhere_or_twice_are_not_overwritten():
    for function in (
        lambda x: x[::-1] + x,
        lambda x: x - mx.mean(x),
        lambda x: mx.concatenate([x[1:], x[:1]]) + x,
        lambda x: mx.softmax(x),
        lambda x: x + mx.max(x),
    ):
        values = np.random.default_rng(1).standard_normal(1000).astype(np.float32)
        x = mx.array(values)
        expected = np.array(function(mx.array(values)))
        kept = mx.array(values)
        x = function(x)
        assert np.array_equal(np.array(x), expected)
        assert np.array_equal(np.array(kept), values)


def test_memory_of_a_long_chain_of_products_stays_small():
    size = 128
    x, w = mx.random.normal((size, size)), mx.random.normal((size, size)) * 0.01
    mx.eval(x, w)
    mx.clear_cache()
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    for _ in range(30):
        x = mx.tanh(x @ w) + 1
    mx.eval(x)
    # Two buffers in turn, and what the products pack.
    assert mx.get_peak_memory() - before < 8 * 4 * size * size


def test_a_failed_evaluation_never_gives_overwritten_values():
    table = mx.ones((4, 2))
    x = mx.arange(8).reshape(4, 2) * 1.0
    mx.eval(table, x)
    x = x + mx.take(table, mx.array([0, 1, 9, 2]), axis=0)
    with pytest.raises(IndexError, match="Index 9"):
        mx.eval(x)
    with pytest.raises((IndexError, RuntimeError)):
        mx.eval(x)
