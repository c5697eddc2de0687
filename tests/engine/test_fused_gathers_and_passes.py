"""Programs that random testing once found to be compiled wrongly, each with its result in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import tarry.core as mx
from tarry.base.settings import settings


def test_a_scan_of_a_gather_reads_the_value_and_not_the_index() -> None:
    places = np.array([[-16, -2, 0], [1, 2, 3]])
    found = mx.cummin(mx.arange(17)[mx.array(places)], axis=0)
    np.testing.assert_array_equal(np.array(found), np.minimum.accumulate(np.arange(17)[places], axis=0))


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_a_gather_is_scattered(dtype: type) -> None:
    values = np.arange(8).reshape(4, 2).astype(dtype)
    row, column = np.array([3, 1]), np.array([0, 1])
    source = mx.array(values)[mx.array(row), mx.array(column)]
    target = mx.array(np.zeros(5, dtype))
    target[mx.array([4, 1])] = source
    expected = np.zeros(5, dtype)
    expected[[4, 1]] = values[row, column]
    np.testing.assert_array_equal(np.array(target), expected)
    # And a gather as the index.
    order = mx.array(np.array([2, 0, 1]))[mx.array([2, 0])]
    target[order] = mx.array(np.array([7, 9], dtype))
    expected[[1, 2]] = [7, 9]
    np.testing.assert_array_equal(np.array(target), expected)


def test_what_a_later_pass_of_the_same_kernel_reads_is_written() -> None:
    def loss(v: mx.array) -> mx.array:
        pair = mx.add(mx.stack([v, mx.sort(v, axis=-1)], -2), v)
        return mx.sum(mx.sin(mx.stack([mx.logsumexp(pair, axis=0), v], -1)))

    values = np.random.default_rng(2).standard_normal(17).astype(np.float32)
    value, gradient = mx.value_and_grad(loss)(mx.array(values))

    def reference(v: np.ndarray) -> float:
        pair = np.stack([v, np.sort(v)]) + v
        return float(np.sin(np.logaddexp.reduce(pair, axis=0)).sum() + np.sin(v).sum())

    wide = values.astype(np.float64)
    assert abs(value.item() - reference(wide)) < 1e-4
    steps = 1e-6 * np.eye(17)
    expected = [(reference(wide + step) - reference(wide - step)) / 2e-6 for step in steps]
    np.testing.assert_allclose(np.array(gradient), expected, rtol=1e-3, atol=1e-3)


def test_complex_kernels_are_checked_with_the_rounding_of_their_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "check", 2)
    a = mx.array([-0.45367860519 + 0.1392179j, 0.1 - 3.7j])
    np.testing.assert_allclose(np.array(a * a), np.array(a) ** 2, rtol=1e-6)


def test_joins_of_joins_are_stored_before_their_positions_multiply() -> None:
    x = mx.array(np.arange(13.0, dtype=np.float32))
    y = x
    for _ in range(40):
        y = mx.concatenate([y[3:], y[:3]]) + 1.0
    before = mx.counters()["kernels_run"]
    mx.eval(y)
    assert mx.counters()["kernels_run"] - before <= 14
    expected = np.roll(np.arange(13.0), -3 * 40) + 40
    np.testing.assert_array_equal(np.array(y), expected)
    wide = mx.concatenate([x + float(k) for k in range(60)]) * 2
    before = mx.counters()["kernels_run"]
    mx.eval(wide)
    assert mx.counters()["kernels_run"] - before == 1
