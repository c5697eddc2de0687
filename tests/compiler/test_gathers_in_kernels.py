"""Index arrays whose values several parts of one kernel need."""

from __future__ import annotations

import numpy as np
import pytest

import tarry.core as mx

ROWS = [2, 3, 1, 3, 1, 1, 3]


def test_a_scan_and_an_assignment_of_gathered_values() -> None:
    values = np.arange(17) * 3 % 11
    index = [[-16, -2, 0], [1, 2, 3]]
    found = mx.cummin(mx.array(values)[mx.array(index)], axis=0)
    np.testing.assert_array_equal(np.array(found), np.minimum.accumulate(values[np.array(index)], 0))
    target = mx.array(values)[mx.array([3, 1])]
    target[mx.array([1, 0])] = mx.array(values)[mx.array([4, 5])]
    assert target.tolist() == [values[5], values[4]]


def test_gathered_values_and_their_mean_by_columns() -> None:
    x = np.random.default_rng(0).standard_normal((4, 8, 5)).astype(np.float32)
    index = np.array([[-2, 0, 4], [4, 0, -2]])
    found = mx.array(x)[:, :, mx.array(index)]
    mean = mx.mean(found, axis=0)
    mx.eval(found, mean)
    np.testing.assert_array_equal(np.array(found), x[:, :, index])
    np.testing.assert_allclose(np.array(mean), x[:, :, index].mean(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("roll", [0, 3])
def test_gradient_of_a_gather_in_pieces(roll: int) -> None:
    x = np.random.default_rng(0).standard_normal((4, 6))

    def loss(a: mx.array) -> mx.array:
        rows = mx.roll(a[mx.array(ROWS)], roll, axis=-1)
        return mx.sum(mx.sin(rows[:, 3:])) + 2 * mx.sum(mx.sin(rows[:, :3]))

    weights = np.roll(np.array([2, 2, 2, 1, 1, 1]), -roll)
    expected = np.zeros_like(x)
    np.add.at(expected, ROWS, np.cos(x[ROWS]) * weights)
    np.testing.assert_allclose(np.array(mx.grad(loss)(mx.array(x, dtype=mx.float64))), expected, atol=1e-12)


def test_gradient_of_softmax_of_softmax() -> None:
    """A value that only later passes of its own kernel read is written for them."""
    x = mx.random.normal((33, 4), key=mx.random.key(1))

    def loss(a: mx.array) -> mx.array:
        return mx.sum(mx.sin(mx.softmax(mx.softmax(a), axis=-1)))

    direction = mx.random.normal((33, 4), key=mx.random.key(2))
    forward = mx.jvp(loss, [x], [direction])[1][0].item()
    assert mx.sum(mx.grad(loss)(x) * direction).item() == pytest.approx(forward, rel=1e-4, abs=1e-5)
