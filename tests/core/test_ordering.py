"""Sorting, quantiles, binary search and scans: special values, long rows, errors.

The plain cases are rows of the op table.
"""

from __future__ import annotations

import numpy as np
import pytest

import tarry.core as mx

RANDOM = np.random.default_rng(11)
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def special_floats(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    x = (RANDOM.standard_normal(shape) * 10).astype(dtype)
    flat = x.reshape(-1)
    for start, value in enumerate((np.nan, -0.0, 0.0, np.inf, -np.inf, -np.nan)):
        flat[start::13] = value
    return x


# Rows are sorted by insertion up to 32 elements, by their bytes beyond.
@pytest.mark.parametrize("shape", [(4, 31), (4, 33), (3, 1000), (1, 70001)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_with_special_values(shape, dtype):
    x = special_floats(shape, dtype)
    a = mx.array(x, getattr(mx, dtype))
    assert np.array_equal(np.array(mx.sort(a)), np.sort(x), equal_nan=True)
    assert np.array_equal(np.array(mx.argsort(a)), np.argsort(x, kind="stable"))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_of_the_whole_range(dtype):
    limits = np.iinfo(dtype)
    x = RANDOM.integers(limits.min, limits.max, (3, 500), dtype=dtype, endpoint=True)
    x[:, ::3] = x[:, :1]
    x[0, :2] = limits.min, limits.max
    assert np.array_equal(np.array(mx.sort(mx.array(x))), np.sort(x))
    assert np.array_equal(np.array(mx.argsort(mx.array(x))), np.argsort(x, kind="stable"))


def test_complex_numbers_are_ordered_by_their_parts():
    x = (RANDOM.integers(-3, 3, (2, 300)) + 1j * RANDOM.standard_normal((2, 300))).astype(np.complex64)
    assert np.array_equal(np.array(mx.sort(mx.array(x))), np.sort(x))


def test_a_sort_of_computed_and_strided_values():
    x = RANDOM.standard_normal((6, 40, 5)).astype(np.float32)
    a = mx.array(x)
    strided = a[:, ::2].transpose(2, 0, 1)
    assert np.array_equal(np.array(mx.sort(strided)), np.sort(x[:, ::2].transpose(2, 0, 1)))
    assert np.array_equal(np.array(mx.sort(a * 2, axis=1) + 1), np.sort(x * 2, axis=1) + np.float32(1))


def test_new_sizes_of_sorts_and_scans_compile_nothing():
    for function in (mx.sort, mx.argsort, mx.cumsum, lambda a: mx.cumsum(a, axis=0)):
        mx.eval(function(mx.random.normal((5, 50))))
        before = mx.counters()
        mx.eval(function(mx.random.normal((9, 77))), function(mx.random.normal((40, 20))))
        after = mx.counters()
        assert after["kernels_compiled"] == before["kernels_compiled"]


def test_the_gradient_of_a_sort_goes_back_to_the_places():
    x = RANDOM.standard_normal((3, 20)).astype(np.float32)
    weights = mx.arange(20) * 1.0
    gradient = mx.grad(lambda a: mx.sum(mx.sort(a) * weights))(mx.array(x))
    assert np.array_equal(np.array(gradient), np.argsort(np.argsort(x)).astype(np.float32))
    assert mx.grad(lambda a: mx.sum(mx.argsort(a) * a))(mx.array(x[0])).tolist() == np.argsort(x[0]).tolist()


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "midpoint", "nearest"])
@pytest.mark.parametrize("axis", [None, 0, 1, (0, 2)])
def test_quantiles(method, axis):
    x = RANDOM.standard_normal((4, 7, 3)).astype(np.float32)
    shares = [0.0, 0.13, 0.5, 0.9, 1.0]
    found = mx.quantile(mx.array(x), shares, axis=axis, method=method)
    np.testing.assert_allclose(np.array(found), np.quantile(x, shares, axis=axis, method=method), rtol=1e-5)
    found = mx.percentile(mx.array(x), 30, axis=axis, method=method, keepdims=True)
    expected = np.percentile(x, 30, axis=axis, method=method, keepdims=True)
    np.testing.assert_allclose(np.array(found), expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (2, 1, 2), (0,), (0, 2)])
def test_quantiles_of_shares_of_any_rank(shape):
    x = RANDOM.standard_normal((4, 7, 3)).astype(np.float32)
    shares = np.asarray(RANDOM.uniform(0, 1, shape))
    for options in ({}, {"axis": 1}, {"axis": (0, 2), "keepdims": True}):
        for found in (mx.quantile(mx.array(x), mx.array(shares, mx.float64), **options),
                      mx.percentile(mx.array(x), mx.array(100 * shares, mx.float64), **options)):  # fmt: skip
            # NumPy itself takes no more than two axes, and no fewer than one share.
            rows = np.quantile(x, [0.5, *shares.reshape(-1)], **options)[1:]
            expected = rows.reshape((*shape, *rows.shape[1:]))
            assert found.shape == expected.shape
            np.testing.assert_allclose(np.array(found), expected, rtol=1e-5, atol=1e-6)


def test_nan_makes_medians_nan():
    x = mx.array([[1.0, np.nan, 2.0], [3.0, 1.0, 2.0]])
    assert str(mx.median(x, axis=1).tolist()) == "[nan, 2.0]"
    assert mx.median(mx.array([1, 2], mx.float16)).dtype == mx.float16


@pytest.mark.parametrize("side", ["left", "right"])
def test_binary_search_with_nan_and_infinities(side):
    row = np.sort(np.append(RANDOM.integers(-5, 5, 40), [np.inf, np.nan, np.nan, -np.inf])).astype(np.float32)
    values = np.array([[-np.inf, -5, -0.5, 0], [4, np.inf, np.nan, 1e9]], np.float32)
    found = mx.searchsorted(mx.array(row), mx.array(values), side=side)
    assert np.array_equal(np.array(found), np.searchsorted(row, values, side=side))


def test_scans_of_nan_and_infinities():
    x = mx.array([1.0, np.nan, 0.0])
    assert str(mx.cummax(x).tolist()) == str(mx.cummin(x).tolist()) == "[1.0, nan, nan]"
    y = mx.logcumsumexp(mx.array([-np.inf, -np.inf, 1.0, np.inf]))
    assert y.tolist() == [-np.inf, -np.inf, 1.0, np.inf]
    assert mx.cummax(mx.array([1, 2]), inclusive=False).tolist() == [-(2**31), 1]


def test_scans_of_complex_numbers():
    x = (RANDOM.standard_normal((3, 9)) + 1j * RANDOM.standard_normal((3, 9))).astype(np.complex64)
    np.testing.assert_allclose(np.array(mx.cumsum(mx.array(x), axis=1)), np.cumsum(x, axis=1), rtol=1e-5)
    np.testing.assert_allclose(np.array(mx.cumprod(mx.array(x), axis=0)), np.cumprod(x, axis=0), rtol=1e-5)


def test_the_gradient_of_a_running_product_with_zeros():
    gradient = mx.grad(lambda x: mx.cumprod(x).sum())(mx.array([1.0, 0.0, 3.0, 2.0]))
    assert gradient.tolist() == [1.0, 10.0, 0.0, 0.0]
    twice = mx.grad(mx.grad(lambda x: mx.cumprod(x * mx.ones(3)).sum()))(mx.array(2.0))
    assert twice.item() == 14.0


def test_dtypes_of_running_sums():
    assert mx.cumsum(mx.array([True, True])).dtype == mx.int32
    assert mx.cumsum(mx.array([250, 250], mx.uint8)).tolist() == [250, 244]
    assert mx.cumsum(mx.array([1, 2]), dtype=mx.float16).dtype == mx.float16
    half = mx.cumsum(mx.full((3000,), 0.1, mx.float16))
    assert abs(half[-1].item() - 300) < 1


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (IndexError, r"\[sort\]", lambda: mx.sort(mx.array(3.0))),
        (IndexError, r"\[argsort\]", lambda: mx.argsort(mx.ones((2, 2)), axis=2)),
        (TypeError, r"\[sort\]", lambda: mx.sort([3, 1])),
        (ValueError, r"\[topk\]", lambda: mx.topk(mx.ones(3), 5)),
        (ValueError, r"\[partition\]", lambda: mx.partition(mx.ones(3), 5)),
        (ValueError, r"\[median\]", lambda: mx.median(mx.zeros((0,)))),
        (ValueError, r"\[quantile\]", lambda: mx.quantile(mx.ones(3), 1.5)),
        (ValueError, r"\[quantile\]", lambda: mx.quantile(mx.ones(3), 0.5, method="best")),
        (ValueError, r"\[searchsorted\]", lambda: mx.searchsorted(mx.ones((2, 2)), mx.ones(1))),
        (ValueError, r"\[searchsorted\]", lambda: mx.searchsorted(mx.ones(2), mx.ones(1), side="up")),
        (IndexError, r"\[cumsum\]", lambda: mx.cumsum(mx.ones(3), axis=1)),
        (ValueError, r"\[cummax\]", lambda: mx.cummax(mx.array([1j]))),
    ],
)
def test_errors(error, message, call):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(("shape", "axis"), [((50,), -1), ((7, 6), 0), ((7, 6), 1), ((0,), 0), ((1, 3), -2)])
def test_lexsort_is_as_in_numpy(shape: tuple[int, ...], axis: int) -> None:
    generator = np.random.default_rng(3)
    keys = [generator.integers(0, 4, shape).astype(kind) for kind in (np.int32, np.float32, np.uint8)]
    expected = np.lexsort(keys, axis)
    np.testing.assert_array_equal(np.array(mx.lexsort([mx.array(key) for key in keys], axis)), expected)
    whole = np.stack([key.astype(np.int32) for key in keys])
    np.testing.assert_array_equal(np.array(mx.lexsort(mx.array(whole), axis)), expected)
    batched = mx.vmap(lambda a, b: mx.lexsort([a, b]))(mx.array(whole), mx.array(whole[::-1]))
    for number in range(3):
        reference = np.lexsort([whole[number], whole[2 - number]])
        np.testing.assert_array_equal(np.array(batched)[number], reference)


def test_lexsort_needs_keys_of_one_shape() -> None:
    with pytest.raises(ValueError, match=r"\[lexsort\] Expected one or more keys"):
        mx.lexsort([])
    with pytest.raises(ValueError, match=r"shapes are \[\(2,\), \(3,\)\]"):
        mx.lexsort([mx.zeros(2), mx.zeros(3)])
