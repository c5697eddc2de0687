"""Depthwise convolutions against sums in NumPy: geometries, channels, dtypes, derivatives, counts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tarry.core as mx

RANDOM = np.random.default_rng(11)
Options = dict[str, object]


def draw(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape)


def expected(x: np.ndarray, w: np.ndarray, stride, low, high, dilation, between) -> np.ndarray:
    """Every product by itself: x (N, spatial..., C), w (C, kernel..., 1)."""
    rank = x.ndim - 2
    grown = np.zeros((x.shape[0], *[(n - 1) * b + 1 for n, b in zip(x.shape[1:-1], between)], x.shape[-1]))
    grown[(slice(None), *[slice(None, None, b) for b in between])] = x
    grown = np.pad(grown, [(0, 0), *[(max(a, 0), max(b, 0)) for a, b in zip(low, high)], (0, 0)])
    kept = [slice(max(-a, 0), n + min(b, 0)) for a, b, n in zip(low, high, grown.shape[1:-1])]
    grown = grown[(slice(None), *kept)]
    kernel = w.shape[1:-1]
    places = [
        (n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(grown.shape[1:-1], kernel, stride, dilation)
    ]
    result = np.zeros((x.shape[0], *places, x.shape[-1]))
    for offset in np.ndindex(*kernel):
        seen = [
            slice(o * d, o * d + (p - 1) * s + 1, s) for o, d, p, s in zip(offset, dilation, places, stride)
        ]
        result += grown[(slice(None), *seen)] * w[(slice(None), *offset, 0)]
    assert rank == len(kernel)
    return result


def general(x: mx.array, w: mx.array, geometry) -> mx.array:
    stride, low, high, dilation, between = (list(part) for part in geometry)
    return mx.conv_general(x, w, stride, (low, high), dilation, between, x.shape[-1])


GEOMETRIES = [
    # spatial, kernel, stride, low, high, dilation, input dilation
    ((9,), (3,), (1,), (1,), (1,), (1,), (1,)),
    ((13,), (4,), (1,), (3,), (0,), (1,), (1,)),
    ((40,), (4,), (3,), (2,), (5,), (2,), (1,)),
    ((7,), (3,), (1,), (2,), (1,), (1,), (2,)),
    ((7,), (5,), (2,), (3,), (4,), (3,), (4,)),
    ((5,), (7,), (1,), (6,), (6,), (1,), (1,)),
    ((4,), (1,), (1,), (0,), (0,), (1,), (1,)),
    ((3,), (2,), (2,), (1,), (3,), (2,), (6,)),
    ((8, 11), (3, 3), (1, 1), (1, 1), (1, 1), (1, 1), (1, 1)),
    ((9, 14), (3, 3), (2, 2), (1, 1), (1, 1), (1, 1), (1, 1)),
    ((12, 30), (7, 7), (1, 1), (3, 3), (3, 3), (1, 1), (1, 1)),
    ((10, 9), (2, 5), (3, 1), (0, 4), (2, 1), (2, 2), (1, 1)),
    ((5, 4), (3, 4), (1, 2), (2, 3), (1, 3), (1, 3), (2, 3)),
    ((6, 5), (3, 3), (1, 1), (-1, 1), (2, -1), (1, 1), (1, 1)),
    ((4, 6, 5), (2, 3, 3), (1, 2, 1), (1, 0, 1), (0, 1, 1), (1, 1, 2), (1, 1, 1)),
    ((3, 2, 7), (3, 2, 1), (1, 1, 2), (1, 1, 0), (1, 1, 0), (1, 1, 1), (2, 1, 1)),
]


@pytest.mark.parametrize("case", GEOMETRIES, ids=str)
@pytest.mark.parametrize("channels", [3, 8, 17, 40])
def test_geometries(case, channels):
    spatial, kernel, *geometry = case
    x, w = draw(2, *spatial, channels), draw(channels, *kernel, 1)
    found = general(mx.array(x, mx.float32), mx.array(w, mx.float32), geometry)
    np.testing.assert_allclose(np.array(found), expected(x, w, *geometry), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("channels", [1, 3, 8, 9, 15, 16, 31, 33, 63, 65, 100])
def test_channels_beside_whole_vectors(channels):
    x, w = draw(3, 10, 9, channels), draw(channels, 3, 3, 1)
    geometry = ((1, 1), (1, 1), (1, 1), (1, 1), (1, 1))
    cotangent = draw(3, 10, 9, channels)
    for dtype, tolerance in ((mx.float32, 1e-4), (mx.float64, 1e-12)):
        given = mx.array(x, dtype), mx.array(w, dtype)
        (found,), (by_x, by_w) = mx.vjp(
            lambda x, w: general(x, w, geometry), list(given), [mx.array(cotangent, dtype)]
        )
        close = {"rtol": tolerance, "atol": tolerance}
        np.testing.assert_allclose(np.array(found), expected(x, w, *geometry), **close)
        turned = w[:, ::-1, ::-1]
        np.testing.assert_allclose(np.array(by_x), expected(cotangent, turned, *geometry), **close)
        padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
        for i, j in np.ndindex(3, 3):
            sums = (padded[:, i : i + 10, j : j + 9] * cotangent).sum((0, 1, 2))
            np.testing.assert_allclose(np.array(by_w)[:, i, j, 0], sums, **close)


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16], ids=str)
def test_half_types_add_up_in_single_precision(dtype):
    x, w = mx.array(draw(2, 9, 8, 19), dtype), mx.array(draw(19, 5, 5, 1), dtype)
    geometry = ((1, 1), (2, 2), (2, 2), (1, 1), (1, 1))
    run = mx.value_and_grad(lambda x, w: mx.sum(general(x, w, geometry)), argnums=(0, 1))
    narrow = [general(x, w, geometry), *run(x, w)[1]]
    x, w = x.astype(mx.float32), w.astype(mx.float32)
    wide = [general(x, w, geometry), *run(x, w)[1]]
    for found, exact in zip(narrow, wide):
        assert found.dtype == dtype
        # One rounding, at the end; the derivatives of the halves' sum are ones, which are exact.
        difference = np.array(mx.abs(found.astype(mx.float32) - exact))
        assert np.all(difference <= 2.0**-8 * np.abs(np.array(exact)) + 1e-3)


@pytest.mark.parametrize("case", [GEOMETRIES[n] for n in (1, 2, 4, 7, 9, 12, 13, 15)], ids=str)
def test_derivatives_are_those_of_single_products(case):
    """First and second order, against the same function of shifted copies."""
    spatial, kernel, *geometry = case
    x, w = mx.array(draw(2, *spatial, 9), mx.float64), mx.array(draw(9, *kernel, 1), mx.float64)
    identity = mx.array(np.eye(9), mx.float64)

    def depthwise(x: mx.array, w: mx.array) -> mx.array:
        return general(x, w, geometry)

    def dense(x: mx.array, w: mx.array) -> mx.array:
        stride, low, high, dilation, between = (list(part) for part in geometry)
        spread = w * mx.reshape(identity, (9, *(1,) * len(kernel), 9))
        return mx.conv_general(x, spread, stride, (low, high), dilation, between)

    def gradients(convolution):
        def loss(x: mx.array, w: mx.array) -> mx.array:
            y = convolution(x, w)
            return mx.sum(mx.sin(y) * y)

        first = mx.grad(loss, argnums=(0, 1))

        def steepness(x: mx.array, w: mx.array) -> mx.array:
            by_x, by_w = first(x, w)
            return mx.sum(mx.sin(by_x)) + mx.sum(by_w * by_w * by_w)

        second = mx.grad(steepness, argnums=(0, 1))(x, w)
        _, forward = mx.jvp(lambda x, w: first(x, w)[1], [x, w], [mx.cos(x), mx.sin(w)])
        return [*first(x, w), *second, *forward]

    for found, single in zip(gradients(depthwise), gradients(dense), strict=True):
        scale = np.abs(np.array(single)).max()
        np.testing.assert_allclose(np.array(found), np.array(single), rtol=1e-9, atol=1e-12 * scale)


@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0), (2, 1)], ids=str)
def test_vmap(axes):
    x, w = draw(3, 2, 7, 8, 9), draw(3, 9, 3, 3, 1)
    given = []
    for value, axis in zip((x, w), axes):
        moved = value[0] if axis is None else np.moveaxis(value, 0, axis)
        given.append(mx.array(moved, mx.float64))

    def both(x: mx.array, w: mx.array) -> tuple[mx.array, mx.array]:
        run = lambda x, w: mx.conv2d(x, w, stride=(2, 1), padding=1, groups=9)  # noqa: E731
        return run(x, w), mx.grad(lambda w: mx.sum(run(x, w) ** 2))(w)

    found = mx.vmap(both, in_axes=axes)(*given)
    for number in range(3):
        one = [mx.array(v[0 if a is None else number], mx.float64) for v, a in zip((x, w), axes)]
        for batched, alone in zip(found, both(*one)):
            np.testing.assert_allclose(np.array(batched[number]), np.array(alone), rtol=1e-10, atol=1e-10)


def test_operands_as_they_lie():
    """Views with other strides, channels that are no neighbours, broadcasts, offsets."""
    planes, w = draw(2, 16, 9, 10), draw(3, 3, 16)
    geometry = ((1, 1), (1, 1), (1, 1), (1, 1), (1, 1))
    x = mx.array(planes, mx.float32)
    weight = mx.array(w, mx.float32)
    seen = general(x.transpose(0, 2, 3, 1), weight.transpose(2, 0, 1)[..., None], geometry)
    exact = expected(planes.transpose(0, 2, 3, 1), w.transpose(2, 0, 1)[..., None], *geometry)
    np.testing.assert_allclose(np.array(seen), exact, rtol=1e-4, atol=1e-5)
    rows = draw(2, 20, 13, 40)
    part = mx.array(rows, mx.float32)[:, 3:12, 1:11, 8:24]
    exact = expected(rows[:, 3:12, 1:11, 8:24], w.transpose(2, 0, 1)[..., None], *geometry)
    seen = general(part, weight.transpose(2, 0, 1)[..., None], geometry)
    np.testing.assert_allclose(np.array(seen), exact, rtol=1e-4, atol=1e-5)
    wide = mx.broadcast_to(mx.array(draw(9, 1, 16), mx.float32), (2, 9, 10, 16))
    exact = expected(np.array(wide), w.transpose(2, 0, 1)[..., None], *geometry)
    seen = general(wide, weight.transpose(2, 0, 1)[..., None], geometry)
    np.testing.assert_allclose(np.array(seen), exact, rtol=1e-4, atol=1e-5)


def test_empty_batches_and_infinite_values():
    assert mx.conv2d(mx.zeros((0, 5, 5, 8)), mx.ones((8, 3, 3, 1)), groups=8).shape == (0, 3, 3, 8)
    # What lies outside the image is not multiplied: infinite weights meet no zeros there.
    x, w = mx.ones((1, 3, 8)), mx.array(np.tile([np.inf, 1.0, 1.0], (8, 1))[..., None], mx.float32)
    found = np.array(mx.conv1d(x, w, padding=2, groups=8))[0, :, 0]
    np.testing.assert_array_equal(found, [1, 2, np.inf, np.inf, np.inf])


@pytest.mark.parametrize("transposed", [False, True])
def test_transposed_and_compiled(transposed):
    x, w = mx.array(draw(2, 6, 7, 12), mx.float32), mx.array(draw(12, 3, 3, 1), mx.float32)

    def run(x: mx.array, w: mx.array) -> mx.array:
        name = mx.conv_transpose2d if transposed else mx.conv2d
        return mx.sum(mx.tanh(name(x, w, stride=2, padding=1, groups=12)))

    step = mx.value_and_grad(run, argnums=(0, 1))
    loss, by = step(x, w)
    compiled_loss, compiled_by = mx.compile(step)(x, w)
    for a, b in zip((loss, *by), (compiled_loss, *compiled_by)):
        np.testing.assert_array_equal(np.array(a), np.array(b))


def test_new_sizes_and_kernels_compile_nothing():
    def step(x: mx.array, w: mx.array, **options: object) -> list[mx.array]:
        y = mx.conv2d(x, w, groups=x.shape[-1], **options)
        found = mx.grad(lambda x, w: mx.sum(mx.conv2d(x, w, groups=x.shape[-1], **options)), (0, 1))(x, w)
        return [y, *found]

    mx.eval(step(mx.ones((2, 9, 9, 16)), mx.ones((16, 3, 3, 1)), padding=1))
    before = mx.counters()["kernels_compiled"]
    sizes = itertools.product((7, 12), (8, 37), (2, 5), (1, 2))
    for extent, channels, kernel, stride in sizes:
        x, w = mx.ones((3, extent, extent + 1, channels)), mx.ones((channels, kernel, kernel, 1))
        mx.eval(step(x, w, padding=2, stride=stride))
    assert mx.counters()["kernels_compiled"] == before


def test_an_evaluation_is_one_convolution():
    x, w = mx.ones((2, 9, 9, 16)), mx.ones((16, 3, 3, 1))
    mx.eval(x, w)
    before = mx.counters()["kernels_run"]
    mx.eval(mx.conv2d(x, w, padding=1, groups=16))
    # The weights in the order of the sums, and the sums.
    assert mx.counters()["kernels_run"] - before == 2


def test_results_do_not_depend_on_chunks():
    """Every image by itself has the bits it has in a batch."""
    x, w = mx.array(draw(5, 21, 20, 24), mx.float32), mx.array(draw(24, 3, 3, 1), mx.float32)
    together = np.array(mx.conv2d(x, w, padding=1, groups=24))
    for number in range(5):
        alone = np.array(mx.conv2d(x[number : number + 1], w, padding=1, groups=24))
        np.testing.assert_array_equal(alone[0], together[number])


# Channels of a group, filters of a group, groups.
FEW = [(1, 2, 16), (1, 5, 8), (2, 2, 8), (3, 1, 9), (4, 6, 8), (16, 16, 8)]


def in_groups(x: mx.array, w: mx.array, groups: int, **options: object) -> mx.array:
    pairs = zip(mx.split(x, groups, axis=-1), mx.split(w, groups, axis=0), strict=True)
    return mx.concatenate([mx.conv_general(a, b, **options) for a, b in pairs], axis=-1)


@pytest.mark.parametrize("between", [1, 2])
@pytest.mark.parametrize("few", FEW, ids=str)
def test_groups_of_few_channels(few, between):
    channels, filters, groups = few
    x = mx.array(draw(2, 7, 6, channels * groups), mx.float64)
    w = mx.array(draw(filters * groups, 3, 2, channels), mx.float64)
    options = {"stride": (3 - between, 1), "padding": ([1, 2], [2, 0]), "input_dilation": between}

    def results(function):
        def slopes(x, w):
            return mx.grad(lambda x, w: mx.sum(mx.sin(function(x, w, groups=groups, **options))), (0, 1))(
                x, w
            )

        steepness = mx.grad(lambda x, w: sum(mx.sum(part**2) for part in slopes(x, w)), (0, 1))(x, w)
        return [function(x, w, groups=groups, **options), *slopes(x, w), *steepness]

    for found, exact in zip(results(mx.conv_general), results(in_groups), strict=True):
        assert found.shape == exact.shape
        np.testing.assert_allclose(np.array(found), np.array(exact), rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16], ids=str)
def test_groups_of_half_types_add_up_in_float32(dtype):
    x, w = mx.array(draw(2, 9, 32)).astype(dtype), mx.array(draw(16, 5, 4)).astype(dtype)
    exact = mx.conv1d(x.astype(mx.float32), w.astype(mx.float32), groups=8)
    found = mx.conv1d(x, w, groups=8)
    assert found.dtype == dtype
    assert mx.array_equal(found, exact.astype(dtype))


@pytest.mark.parametrize("stride", [1, 2])
def test_batches_of_weights_are_groups(stride):
    x, w = mx.array(draw(9, 2, 8, 3), mx.float64), mx.array(draw(9, 4, 3, 3), mx.float64)

    def slopes(x, w):
        return mx.grad(lambda x, w: mx.sum(mx.sin(mx.conv1d(x, w, stride=stride, padding=1))), (0, 1))(x, w)

    for number in (0, 8):
        for batched, alone in zip(mx.vmap(slopes)(x, w), slopes(x[number], w[number]), strict=True):
            np.testing.assert_allclose(np.array(batched[number]), np.array(alone), rtol=1e-9, atol=1e-9)


def test_new_sizes_of_groups_compile_nothing():
    def step(batch: int, extent: int, groups: int) -> None:
        x, w = mx.ones((batch, extent, extent, 2 * groups)), mx.ones((3 * groups, 3, 3, 2))
        loss = mx.value_and_grad(lambda x, w: mx.sum(mx.conv2d(x, w, padding=1, groups=groups)), (0, 1))
        mx.eval(loss(x, w))

    step(2, 9, 8)
    before = mx.counters()["kernels_compiled"]
    step(3, 12, 17)
    step(4, 6, 32)
    assert mx.counters()["kernels_compiled"] == before
