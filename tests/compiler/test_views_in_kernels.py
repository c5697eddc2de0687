"""Reshapes, transpositions, slices, paddings and joins inside fused kernels, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tarry.core as mx
from tarry.runtime.counters import counters

View = Callable[[Any, Any], Any]

# Each takes the module (mx or np) and an array of shape (6, 4, 10).
VIEWS: dict[str, View] = {
    "reshape-merge": lambda m, x: m.reshape(x, (24, 10)),
    "reshape-split": lambda m, x: m.reshape(x, (2, 3, 4, 5, 2)),
    "reshape-across": lambda m, x: m.reshape(x, (15, 16)),
    "reshape-ones": lambda m, x: m.reshape(x, (1, 6, 1, 40, 1)),
    "flatten": lambda m, x: m.reshape(x, (-1,)),
    "transpose": lambda m, x: m.transpose(x, (2, 0, 1)),
    "transpose-reshape": lambda m, x: m.reshape(m.transpose(x, (1, 0, 2)), (4, 60)),
    "reshape-transpose-reshape": lambda m, x: m.reshape(m.transpose(m.reshape(x, (6, 40))), (20, 12)),
    "swapaxes": lambda m, x: m.swapaxes(x, 0, 2),
    "slice": lambda m, x: x[1:5, ::2, 3:],
    "slice-steps": lambda m, x: x[::-1, 1:4:2, 8:1:-3],
    "slice-of-reshape": lambda m, x: m.reshape(x, (8, 30))[2:7, 1::4],
    "integer": lambda m, x: x[2, :, -1],
    "none": lambda m, x: x[:, None, 1:3],
    "empty-slice": lambda m, x: x[:, 3:3],
    "broadcast": lambda m, x: m.broadcast_to(x[:, :1], (3, 6, 5, 10)),
    "broadcast-reshape": lambda m, x: m.reshape(m.broadcast_to(x[:, :1], (6, 5, 10)), (30, 10)),
    "pad": lambda m, x: m.pad(x, [(1, 2), (0, 0), (3, 1)]),
    "pad-slice": lambda m, x: m.pad(x, [(1, 2), (2, 0), (3, 1)])[2:, ::2, 1:-1],
    "pad-twice": lambda m, x: m.pad(m.pad(x, 1), 2),
    "concatenate": lambda m, x: m.concatenate([x, x[:2] * 2.0, x[3:]], axis=0),
    "concatenate-last": lambda m, x: m.concatenate([x[:, :, ::-1], x], axis=-1),
    "concatenate-nested": lambda m, x: m.concatenate([m.concatenate([x, x + 1.0], 1), m.pad(x, 0)], 1),
    "concatenate-reshape": lambda m, x: m.reshape(m.concatenate([x, x], axis=1), (16, 30)),
    "stack": lambda m, x: m.stack([x, 1.0 - x], axis=1),
    "flip": lambda m, x: m.flip(x, 1),
    "moveaxis": lambda m, x: m.moveaxis(x, 0, -1),
    "expand_dims": lambda m, x: m.expand_dims(x, (0, 3)),
    "tile-by-broadcast": lambda m, x: m.reshape(m.broadcast_to(x[:, None], (6, 3, 4, 10)), (18, 40)),
    "split": lambda m, x: m.split(x, 2, axis=1)[1],
}

# A reshape of what is not row-major in the kernel's own loops: its operand goes through memory first.
THROUGH_MEMORY = {
    "transpose-reshape", "reshape-transpose-reshape", "broadcast-reshape", "concatenate-reshape",
    "tile-by-broadcast",
}  # fmt: skip


def evaluate(work: Callable[[], mx.array]) -> tuple[np.ndarray, int]:
    before = counters.kernels_run
    found = work()
    mx.eval(found)
    return np.array(found), counters.kernels_run - before


@pytest.fixture(scope="module")
def data() -> tuple[mx.array, np.ndarray]:
    values = np.random.default_rng(3).standard_normal((6, 4, 10), dtype=np.float32)
    return mx.array(values), values


def check(name: str, found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape, name
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-5), name


@pytest.mark.parametrize("name", list(VIEWS))
def test_view_between_elementwise_work(name: str, data: tuple[mx.array, np.ndarray]) -> None:
    x, values = data
    view = VIEWS[name]
    found, kernels = evaluate(lambda: mx.negative(view(mx, x * 3.0)) + 1.0)
    check(name, found, -view(np, values * 3) + 1)
    assert kernels == (2 if name in THROUGH_MEMORY else 1)


@pytest.mark.parametrize("name", list(VIEWS))
def test_view_under_a_reduction(name: str, data: tuple[mx.array, np.ndarray]) -> None:
    x, values = data
    view = VIEWS[name]
    for axis in (0, -1, None):
        found, _ = evaluate(lambda axis=axis: mx.sum(view(mx, x * 3.0), axis=axis))  # type: ignore[misc]
        check(name, found, view(np, values * 3).astype(np.float64).sum(axis=axis))


@pytest.mark.parametrize("name", list(VIEWS))
def test_view_of_a_reduction(name: str, data: tuple[mx.array, np.ndarray]) -> None:
    """The view's operand is a row value spread over the rows again."""
    x, values = data
    view = VIEWS[name]
    found, _ = evaluate(lambda: view(mx, x - mx.mean(x, axis=-1, keepdims=True)) * 2.0)
    check(name, found, view(np, values - values.mean(axis=-1, keepdims=True)) * 2)


@pytest.mark.parametrize("name", list(VIEWS))
def test_view_wanted_itself(name: str, data: tuple[mx.array, np.ndarray]) -> None:
    x, values = data
    view = VIEWS[name]
    found, _ = evaluate(lambda: view(mx, x))
    assert np.array_equal(found, view(np, values))
    found, _ = evaluate(lambda: view(mx, x + 1.0))
    assert np.array_equal(found, view(np, values + np.float32(1)))


@pytest.mark.parametrize("name", list(VIEWS))
def test_view_of_a_strided_leaf(name: str, data: tuple[mx.array, np.ndarray]) -> None:
    values = np.random.default_rng(4).standard_normal((10, 8, 6), dtype=np.float32)
    leaf = mx.transpose(mx.array(values)[:, ::2], (2, 1, 0))
    mx.eval(leaf)
    expected = values[:, ::2].transpose(2, 1, 0)
    found, _ = evaluate(lambda: VIEWS[name](mx, leaf) * 2.0 + 1.0)
    check(name, found, VIEWS[name](np, expected) * 2 + 1)


@pytest.mark.parametrize("name", [n for n in VIEWS if n != "empty-slice"])
def test_gradient_through_a_view(name: str, data: tuple[mx.array, np.ndarray]) -> None:
    """The derivative of sum(view(x)**2) is 2x times how often each element occurs."""
    x, values = data
    view = VIEWS[name]
    gradient = mx.grad(lambda v: mx.sum(mx.square(view(mx, v))))(x)
    place = np.zeros(values.size)
    step = 1e-3
    flat = values.astype(np.float64).ravel()
    for number in range(0, values.size, 17):
        total = []
        for sign in (1, -1):
            moved = flat.copy()
            moved[number] += sign * step
            total.append(np.square(view(np, moved.reshape(values.shape))).sum())
        place[number] = (total[0] - total[1]) / (2 * step)
        assert np.array(gradient).ravel()[number] == pytest.approx(place[number], rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("name", list(VIEWS))
def test_view_into_a_matmul(name: str, data: tuple[mx.array, np.ndarray]) -> None:
    x, values = data
    view = VIEWS[name]
    expected = view(np, values)
    if expected.ndim < 2:
        expected = expected[None]
    w = np.random.default_rng(5).standard_normal((expected.shape[-1], 3), dtype=np.float32)

    def work() -> mx.array:
        left = view(mx, x)
        return (left[None] if left.ndim < 2 else left) @ mx.array(w)

    found, _ = evaluate(work)
    assert np.allclose(found, expected.astype(np.float64) @ w, atol=1e-4)
