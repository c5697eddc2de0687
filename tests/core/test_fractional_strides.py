"""Convolutions of inputs with zeros between elements, which are computed without the zeros.

Transposed convolutions and derivatives of strided ones for their inputs, against sums in NumPy and against
convolutions of arrays that hold the zeros.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tarry.core as mx
from tarry.ops import fractional_strides

RANDOM = np.random.default_rng(11)


@pytest.fixture(autouse=True)
def small_ones_too(monkeypatch):
    monkeypatch.setattr(fractional_strides, "LEAST_WORK", 0)


def draw(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape)


def spread(ct: np.ndarray, w: np.ndarray, extents: tuple, stride: int, pad: int, dilation: int) -> np.ndarray:
    """The adjoint of a convolution: what every result and element of the kernel (O, kernel..., C) adds."""
    rank = len(extents)
    room = [extent + 2 * pad for extent in extents]
    around = np.zeros((ct.shape[0], *room, w.shape[-1]))
    for element in np.ndindex(w.shape[1:-1]):
        part = ct @ w[(slice(None), *element)]
        places = [
            slice(e * dilation, e * dilation + (n - 1) * stride + 1, stride)
            for e, n in zip(element, ct.shape[1:])
        ]
        around[(slice(None), *places)] += part
    return around[(slice(None), *[slice(pad, pad + extent) for extent in extents[:rank]])]


# Channels and filters: by blocks, by planes of few filters, by phases of many filters.
WIDTHS = [(24, 20), (5, 3), (2, 9)]
SETTINGS = [
    ((9, 8), (3, 3), 2, 1, 1),
    ((11, 7), (4, 2), 2, 0, 1),
    ((13, 10), (5, 3), 3, 2, 1),
    ((12, 11), (2, 3), 3, 0, 1),
    ((13, 14), (3, 3), 2, 1, 2),
    ((15, 14), (3, 2), 3, 2, 2),
    ((12, 17), (1, 1), 2, 0, 1),
    ((17,), (7,), 2, 3, 1),
    ((20,), (4,), 20, 5, 1),
    ((40,), (30,), 17, 5, 1),
    ((40,), (4,), 17, 5, 3),
    ((7, 6, 5), (3, 2, 3), 2, 1, 1),
]


@pytest.mark.parametrize(("widths", "settings"), list(itertools.product(WIDTHS, SETTINGS)), ids=str)
def test_derivative_of_a_strided_convolution_for_its_input(widths, settings):
    (filters, channels), (extents, kernel, stride, pad, dilation) = widths, settings
    convolution = getattr(mx, f"conv{len(extents)}d")
    x, w = draw(2, *extents, channels), draw(filters, *kernel, channels)
    a, b = mx.array(x, mx.float64), mx.array(w, mx.float64)

    def run(a: mx.array) -> mx.array:
        return convolution(a, b, stride=stride, padding=pad, dilation=dilation)

    ct = draw(*run(a).shape)
    found = mx.vjp(run, [a], [mx.array(ct, mx.float64)])[1][0]
    np.testing.assert_allclose(
        np.array(found), spread(ct, w, extents, stride, pad, dilation), rtol=1e-9, atol=1e-9
    )


def between(x: mx.array, step: int) -> mx.array:
    """Zeros between the elements of the second axis of (N, L, C)."""
    parts = mx.concatenate(
        [x[:, :, None], mx.zeros((x.shape[0], x.shape[1], step - 1, x.shape[2]), x.dtype)], axis=2
    )
    whole = parts.reshape(x.shape[0], x.shape[1] * step, x.shape[2])
    return whole[:, : (x.shape[1] - 1) * step + 1]


GENERAL = [
    (2, 1, ([1], [2]), 1),
    (3, 1, ([-1], [4]), 1),
    (3, 2, ([2], [0]), 1),
    (4, 2, ([3], [5]), 1),
    (2, 1, ([0], [1]), 2),
    (2, 1, ([9], [-3]), 1),
]


def settings_of(step, dilation, padding, groups):
    def run(x, w):
        return mx.conv_general(x, w, 1, padding, dilation, step, groups)

    def plain(x, w):
        return mx.conv_general(between(x, step), w, 1, padding, dilation, 1, groups)

    return run, plain


@pytest.mark.parametrize("widths", [*WIDTHS, (4, 8)], ids=str)
@pytest.mark.parametrize("settings", GENERAL, ids=str)
def test_derivatives_like_those_with_the_zeros(widths, settings):
    (filters, channels), groups = widths, settings[3]
    filters, channels = filters * groups, channels * groups
    x, w = (
        mx.array(draw(2, 6, channels), mx.float64),
        mx.array(draw(filters, 5, channels // groups), mx.float64),
    )
    pair = settings_of(*settings)

    def results(function):
        def loss(x, w):
            y = function(x, w)
            return mx.sum(mx.sin(y) * y)

        def steepness(x, w):
            return sum(mx.sum(part**2) for part in mx.grad(loss, argnums=(0, 1))(x, w))

        pushed = mx.jvp(function, [x, w], [mx.cos(x), mx.cos(w)])[1]
        first = mx.grad(loss, argnums=(0, 1))(x, w)
        return [function(x, w), *pushed, *first, *mx.grad(steepness, argnums=(0, 1))(x, w)]

    for found, expected in zip(*map(results, pair), strict=True):
        assert found.shape == expected.shape
        scale = float(mx.max(mx.abs(expected)))
        np.testing.assert_allclose(np.array(found), np.array(expected), rtol=1e-8, atol=1e-9 * scale)


@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_vmap(widths):
    filters, channels = widths
    run, _ = settings_of(2, 1, ([1], [2]), 1)
    x, w = mx.array(draw(3, 2, 6, channels), mx.float64), mx.array(draw(3, filters, 3, channels), mx.float64)

    def slopes(x, w):
        return mx.grad(lambda x, w: mx.sum(mx.sin(run(x, w))), argnums=(0, 1))(x, w)

    both = mx.vmap(slopes)(x, w)
    images = mx.vmap(slopes, in_axes=(0, None))(x, w[0])
    for number in range(3):
        for batched, alone in zip(both, slopes(x[number], w[number]), strict=True):
            np.testing.assert_allclose(np.array(batched[number]), np.array(alone), rtol=1e-9, atol=1e-9)
        for batched, alone in zip(images, slopes(x[number], w[0]), strict=True):
            np.testing.assert_allclose(np.array(batched[number]), np.array(alone), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("widths", [(40, 24), (40, 3), (2, 9)], ids=str)
def test_new_sizes_compile_nothing(widths):
    filters, channels = widths

    def step(extent, batch, more):
        x, w = mx.ones((batch, extent, extent + 2, channels)), mx.ones((filters + more, 3, 3, channels))
        slope = mx.grad(lambda x: mx.sum(mx.conv2d(x, w, stride=2, padding=1) ** 2))(x)
        turned = mx.ones((channels, 3, 3, filters + more))
        mx.eval(slope, mx.conv_transpose2d(slope[..., :1] * mx.ones((filters + more,)), turned, stride=2))

    step(9, 2, 0)
    before = mx.counters()["kernels_compiled"]
    step(15, 3, 0)
    step(21, 4, 0)
    assert mx.counters()["kernels_compiled"] == before


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16], ids=str)
@pytest.mark.parametrize("channels", [3, 24])
def test_half_types_add_up_in_float32(dtype, channels):
    x, w = mx.array(draw(1, 7, 7, 32)).astype(dtype), mx.array(draw(channels, 5, 5, 32)).astype(dtype)
    found = mx.conv_transpose2d(x, w, stride=2, padding=1)
    exact = mx.conv_transpose2d(x.astype(mx.float32), w.astype(mx.float32), stride=2, padding=1)
    assert found.dtype == dtype
    assert mx.array_equal(found, exact.astype(dtype))


def test_complex_numbers_and_emptiness():
    x, w = draw(1, 5, 3) + 1j * draw(1, 5, 3), draw(4, 3, 3) + 1j * draw(4, 3, 3)
    found = mx.conv_transpose1d(mx.array(x.astype(np.complex64)), mx.array(w.astype(np.complex64)), stride=2)
    real = [
        mx.conv_transpose1d(mx.array(a), mx.array(b), stride=2)
        for a, b in ((x.real, w.real), (x.imag, w.imag), (x.real, w.imag), (x.imag, w.real))
    ]
    np.testing.assert_allclose(np.array(mx.real(found)), np.array(real[0] - real[1]), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.array(mx.imag(found)), np.array(real[2] + real[3]), rtol=1e-4, atol=1e-4)
    assert mx.conv_transpose1d(mx.zeros((0, 5, 3)), mx.ones((4, 3, 3)), stride=2).shape == (0, 11, 4)


def test_little_work_is_done_with_the_zeros(monkeypatch):
    x, w = mx.array(draw(1, 5, 4), mx.float64), mx.array(draw(4, 3, 4), mx.float64)
    without = mx.conv_transpose1d(x, w, stride=2)
    monkeypatch.undo()
    np.testing.assert_allclose(np.array(mx.conv_transpose1d(x, w, stride=2)), np.array(without), rtol=1e-12)
