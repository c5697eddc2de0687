"""Initializers: shapes, dtypes, ranges, errors, and the draws of MLX where installed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tarry.core as mx
import tarry.nn as nn
from tarry.nn import init

MAKERS = {
    "constant": lambda library: library.constant(0.5),
    "normal": lambda library: library.normal(1.0, 2.0),
    "uniform": lambda library: library.uniform(-0.5, 0.25),
    "glorot_normal": lambda library: library.glorot_normal(),
    "glorot_uniform": lambda library: library.glorot_uniform(),
    "he_normal": lambda library: library.he_normal(),
    "he_uniform": lambda library: library.he_uniform(),
    "sparse": lambda library: library.sparse(0.5),
}


@pytest.mark.parametrize("name", MAKERS)
def test_shape_and_dtype(name: str) -> None:
    result = MAKERS[name](init)(mx.zeros((4, 6), dtype=mx.float16))
    assert tuple(result.shape) == (4, 6) and result.dtype == mx.float32


def test_dtype_argument() -> None:
    for maker in (
        init.normal(dtype=mx.float16),
        init.uniform(dtype=mx.float16),
        init.constant(1.0, mx.float16),
    ):
        assert maker(mx.zeros((2, 2))).dtype == mx.float16


def spread(x: mx.array) -> float:
    return float(np.array(x).std())


def test_scales() -> None:
    mx.random.seed(0)
    a = mx.zeros((64, 9, 128))
    fan_in, fan_out = 128 * 9, 64 * 9
    assert math.isclose(spread(init.glorot_normal()(a)), math.sqrt(2 / (fan_in + fan_out)), rel_tol=0.02)
    assert math.isclose(
        spread(init.glorot_uniform()(a, gain=3.0)), 3 * math.sqrt(2 / (fan_in + fan_out)), rel_tol=0.02
    )
    assert math.isclose(spread(init.he_normal()(a)), 1 / math.sqrt(fan_in), rel_tol=0.02)
    assert math.isclose(spread(init.he_uniform()(a, "fan_out", 2.0)), 2 / math.sqrt(fan_out), rel_tol=0.02)
    assert np.all(np.sum(np.array(init.sparse(0.4)(mx.zeros((5, 7)))) == 0, axis=1) == 3)
    np.testing.assert_array_equal(np.array(init.identity()(mx.zeros((3, 3)))), np.eye(3))


@pytest.mark.parametrize(
    ("initialize", "shape", "message"),
    [
        (
            init.identity(),
            (2, 3),
            r"\[identity\] The input array must be a square matrix but got shape \(2, 3\)",
        ),
        (init.glorot_normal(), (2,), "requires at least 2 dimensional input but input with 1 dimensions"),
        (init.he_uniform(), (), "requires at least 2 dimensional input but input with 0 dimensions"),
        (
            lambda a: init.he_normal()(a, mode="other"),
            (2, 2),
            "Invalid mode: other. Valid modes are: fan_in, fan_out",
        ),
        (init.sparse(0.5), (2, 2, 2), r"\[sparse\] Only tensors with 2 dimensions are supported"),
    ],
)
def test_errors(initialize: Any, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        initialize(mx.zeros(shape))


def test_apply_to_a_model() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model.apply(init.constant(3.0))
    assert np.array(model.layers[1].bias).tolist() == [3, 3]


@pytest.mark.parametrize("name", MAKERS)
def test_side_by_side_with_mlx(name: str) -> None:
    core, oracle = pytest.importorskip("mlx.core"), pytest.importorskip("mlx.nn")
    mx.random.seed(4)
    ours = np.array(MAKERS[name](init)(mx.zeros((5, 7))))
    core.random.seed(4)
    theirs = np.array(MAKERS[name](oracle.init)(core.zeros((5, 7))))
    np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=1e-7)
