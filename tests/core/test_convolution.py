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
    with pytest.raises((TypeError, ValueError), match=r"^\[conv"):
        call()


# Many groups of few channels go without windows, and so do their derivatives.
DEPTHWISE = [
    ((2, 9, 12), (12, 4, 1), {"stride": 1, "padding": 3, "dilation": 1}),
    ((2, 11, 9, 16), (16, 3, 2, 2), {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}),
    ((1, 7, 6, 8), (24, 3, 3, 1), {"stride": (1, 3), "padding": 2, "dilation": 1}),
    ((2, 4, 5, 3, 8), (8, 2, 3, 2, 1), {"stride": 1, "padding": (1, 1, 0), "dilation": 1}),
    ((1, 12, 12, 9), (9, 9, 9, 1), {"stride": 1, "padding": 0, "dilation": 1}),
]


@pytest.mark.parametrize(("shape", "kernel", "options"), DEPTHWISE, ids=str)
def test_many_groups_are_convolutions_of_their_own(shape, kernel, options):
    groups = shape[-1] // kernel[-1]
    convolution = getattr(mx, f"conv{len(shape) - 2}d")
    x, w = mx.array(draw(*shape)), mx.array(draw(*kernel))

    def together(x, w):
        return convolution(x, w, groups=groups, **options)

    def one_by_one(x, w):
        pairs = zip(mx.split(x, groups, axis=-1), mx.split(w, groups, axis=0))
        return mx.concatenate([convolution(a, b, **options) for a, b in pairs], axis=-1)

    def gradients(function):
        value = function(x, w)
        weights = mx.cos(mx.arange(value.size).reshape(value.shape))
        first = mx.grad(lambda a, b: mx.sum(function(a, b) ** 2 * weights), argnums=(0, 1))
        return [value, *first(x, w)]

    for found, expected in zip(gradients(together), gradients(one_by_one)):
        assert found.shape == expected.shape
        scale = float(mx.max(mx.abs(expected)))
        np.testing.assert_allclose(np.array(found), np.array(expected), rtol=1e-4, atol=2e-5 * scale)


def test_second_derivatives_of_many_groups():
    x, w = mx.array(draw(1, 6, 8)), mx.array(draw(8, 3, 1))

    def loss(x, w):
        return mx.sum(mx.conv1d(x, w, groups=8) ** 3)

    def slope(x, w):
        return mx.sum(mx.grad(loss)(x, w) * mx.sin(mx.arange(48).reshape(1, 6, 8)))

    found = mx.grad(slope, argnums=(0, 1))(x, w)
    shifted = [x[:, k : k + 4] for k in range(3)]
    inside = sum(a * w[:, k, 0] for k, a in enumerate(shifted))
    turned = mx.sin(mx.arange(48).reshape(1, 6, 8))
    pushed = sum(turned[:, k : k + 4] * w[:, k, 0] for k in range(3))
    for k in range(3):
        exact = mx.sum(6 * inside * shifted[k] * pushed + 3 * inside**2 * turned[:, k : k + 4], axis=(0, 1))
        np.testing.assert_allclose(np.array(found[1][:, k, 0]), np.array(exact), rtol=1e-3, atol=1e-3)
    assert found[0].shape == x.shape


def test_many_groups_of_half_types_add_up_in_float32():
    x, w = draw(1, 30, 8).astype(np.float16), draw(8, 25, 1).astype(np.float16)
    exact = mx.conv1d(mx.array(x).astype(mx.float32), mx.array(w).astype(mx.float32), groups=8)
    assert mx.array_equal(mx.conv1d(mx.array(x), mx.array(w), groups=8), exact.astype(mx.float16))


def test_many_groups_under_vmap_and_of_computed_input():
    x, w = mx.array(draw(3, 2, 6, 6, 8)), mx.array(draw(8, 3, 3, 1))
    found = mx.vmap(lambda a: mx.conv2d(mx.tanh(a) * 2, w, padding=1, groups=8))(x)
    expected = mx.stack([mx.conv2d(mx.tanh(a) * 2, w, padding=1, groups=8) for a in x])
    np.testing.assert_allclose(np.array(found), np.array(expected), rtol=1e-5, atol=1e-5)


def test_many_groups_without_elements():
    assert mx.conv1d(mx.zeros((0, 9, 8)), mx.ones((8, 3, 1)), groups=8).shape == (0, 7, 8)
