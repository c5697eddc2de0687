"""Convolutions against the MLX wheel and NumPy, their derivatives against differences, errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tarry.core as mx

RANDOM = np.random.default_rng(5)


def draw(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def compare(name: str, x: np.ndarray, w: np.ndarray, **options: object) -> None:
    oracle = pytest.importorskip("mlx.core")
    found = getattr(mx, name)(mx.array(x), mx.array(w), **options)
    expected = np.array(getattr(oracle, name)(oracle.array(x), oracle.array(w), **options))
    assert found.shape == expected.shape
    np.testing.assert_allclose(np.array(found), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"), list(itertools.product((1, 3), (0, 2), (1, 2), (1, 2)))
)
def test_two_dimensions(stride, padding, dilation, groups):
    options = {"stride": (stride, 1), "padding": (padding, 1), "dilation": (dilation, 1), "groups": groups}
    compare("conv2d", draw(2, 11, 9, 4), draw(6, 3, 2, 4 // groups), **options)


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "more"), list(itertools.product((1, 2, 3), (0, 1), (1, 2), (0, 1)))
)
def test_transposed_in_two_dimensions(stride, padding, dilation, more):
    options = {"stride": stride, "padding": padding, "dilation": dilation, "output_padding": more}
    compare("conv_transpose2d", draw(2, 5, 6, 4), draw(6, 3, 2, 4), **options)


def test_three_dimensions():
    compare("conv3d", draw(1, 5, 6, 7, 2), draw(3, 2, 3, 2, 2), stride=2, padding=1)
    compare("conv_transpose3d", draw(1, 3, 4, 3, 2), draw(3, 2, 3, 2, 2), stride=2, padding=1)


def test_everything_at_once():
    options = {"stride": (2, 1), "padding": ([1, 0], [2, 1]), "kernel_dilation": (1, 2), "flip": True}
    options |= {"input_dilation": (2, 1), "groups": 2}
    compare("conv_general", draw(2, 9, 8, 4), draw(6, 3, 2, 2), **options)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize(("n", "k"), [(7, 3), (3, 7), (5, 4), (4, 4), (1, 1)])
def test_convolve(mode, n, k):
    a, v = draw(n), draw(k)
    found = mx.convolve(mx.array(a), mx.array(v), mode=mode)
    np.testing.assert_allclose(np.array(found), np.convolve(a, v, mode=mode), rtol=1e-4, atol=1e-5)


def differences(function, x: np.ndarray) -> np.ndarray:
    result = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[place] += 1e-6
        down[place] -= 1e-6
        pair = [function(mx.array(value, mx.float64)).item() for value in (up, down)]
        result[place] = (pair[0] - pair[1]) / 2e-6
    return result


@pytest.mark.parametrize(
    ("stride", "low", "high", "dilation", "between", "groups"),
    [(1, 0, 0, 1, 1, 1), (2, 1, 2, 1, 1, 1), (3, 1, 0, 2, 1, 2), (2, 0, 1, 1, 2, 1), (2, 2, 2, 2, 2, 2)],
)
def test_first_and_second_derivatives(stride, low, high, dilation, between, groups):
    x, w = RANDOM.standard_normal((2, 8, 4)), RANDOM.standard_normal((4, 3, 4 // groups))

    def run(x: mx.array, w: mx.array) -> mx.array:
        y = mx.conv_general(x, w, stride, ([low], [high]), dilation, between, groups)
        return mx.sum(mx.sin(y) * y)

    fixed_x, fixed_w = mx.array(x, mx.float64), mx.array(w, mx.float64)
    by_x, by_w = mx.grad(run, argnums=(0, 1))(fixed_x, fixed_w)
    expected_x = differences(lambda x: run(x, fixed_w), x)
    expected_w = differences(lambda w: run(fixed_x, w), w)
    np.testing.assert_allclose(np.array(by_x), expected_x, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.array(by_w), expected_w, rtol=1e-4, atol=1e-5)

    def steepness(w: mx.array) -> mx.array:
        return mx.sum(mx.grad(run, argnums=1)(fixed_x, w) ** 2)

    found = np.array(mx.grad(steepness)(fixed_w))
    np.testing.assert_allclose(found, differences(steepness, w), rtol=1e-3, atol=1e-3)


def test_vmap_over_inputs_and_weights():
    x, w = draw(3, 2, 9, 4), draw(3, 6, 3, 4)
    both = mx.vmap(lambda x, w: mx.conv1d(x, w, stride=2))(mx.array(x), mx.array(w))
    moved = mx.array(x.transpose(1, 2, 0, 3))
    one = mx.vmap(lambda x: mx.conv1d(x, mx.array(w[0])), in_axes=2, out_axes=1)(moved)
    for number in range(3):
        alone = mx.conv1d(mx.array(x[number]), mx.array(w[number]), stride=2)
        np.testing.assert_allclose(np.array(both[number]), np.array(alone), rtol=1e-5, atol=1e-5)
        alone = mx.conv1d(mx.array(x[number]), mx.array(w[0]))
        np.testing.assert_allclose(np.array(one[:, number]), np.array(alone), rtol=1e-5, atol=1e-5)


def test_new_sizes_compile_nothing():
    step = mx.grad(lambda w, x: mx.sum(mx.conv2d(x, w, stride=2, padding=1) ** 2))
    mx.eval(step(mx.ones((3, 3, 3, 2)), mx.ones((2, 9, 9, 2))))
    before = mx.counters()["kernels_compiled"]
    mx.eval(step(mx.ones((5, 3, 3, 4)), mx.ones((3, 11, 13, 4))))
    assert mx.counters()["kernels_compiled"] == before


@pytest.mark.parametrize(
    "call",
    [
        lambda: mx.conv1d(mx.ones((1, 5)), mx.ones((1, 2, 1))),
        lambda: mx.conv1d(mx.ones((1, 5, 2)), mx.ones((3, 2, 3))),
        lambda: mx.conv1d(mx.ones((1, 5, 2)), mx.ones((3, 6, 2))),
        lambda: mx.conv1d(mx.ones((1, 5, 4)), mx.ones((3, 2, 2)), groups=2),
        lambda: mx.conv1d(mx.ones((1, 5, 2)), mx.ones((3, 2, 2)), stride=0),
        lambda: mx.conv2d(mx.ones((1, 5, 5, 2)), mx.ones((3, 2, 2, 2)), stride=(1, 1, 1)),
        lambda: mx.conv1d(mx.ones((1, 5, 2), mx.int32), mx.ones((3, 2, 2), mx.int32)),
        lambda: mx.convolve(mx.ones((2, 2)), mx.ones(2)),
        lambda: mx.convolve(mx.ones(2), mx.ones(2), mode="most"),
    ],
)
def test_errors(call):
    with pytest.raises(ValueError, match=r"^\[conv"):
        call()
