"""Distributions beyond MLX: moments, Kolmogorov-Smirnov and chi-square tests with fixed keys; transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats

import tarry.core as mx

COUNT = 40000
# With fixed keys a test passes or fails for ever; the threshold only says how unlucky a key may be.
LEAST_PROBABILITY = 1e-3


def key(seed: int) -> mx.array:
    return mx.random.key(seed)


CONTINUOUS: dict[str, tuple[Callable[[Any], mx.array], Any]] = {
    "exponential": (lambda k: mx.random.exponential((COUNT,), scale=2.0, key=k), scipy.stats.expon(scale=2)),
    **{
        f"gamma-{a}": (lambda k, a=a: mx.random.gamma(a, (COUNT,), key=k), scipy.stats.gamma(a))
        for a in (0.1, 0.5, 1.0, 1.5, 20.0, 1e4)
    },
    "gamma-scaled": (
        lambda k: mx.random.gamma(3.0, (COUNT,), scale=0.5, key=k),
        scipy.stats.gamma(3, scale=0.5),
    ),
    **{
        f"beta-{a}-{b}": (lambda k, a=a, b=b: mx.random.beta(a, b, (COUNT,), key=k), scipy.stats.beta(a, b))
        for a, b in ((0.5, 2.0), (1.0, 1.0), (5.0, 3.0), (100.0, 50.0))
    },
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous(name: str) -> None:
    draw, distribution = CONTINUOUS[name]
    for seed in (1, 2):
        values = np.array(draw(key(seed))).astype(np.float64)
        assert scipy.stats.kstest(values, distribution.cdf).pvalue > LEAST_PROBABILITY
        error = distribution.std() / np.sqrt(COUNT)
        assert abs(values.mean() - distribution.mean()) < 4 * error


@pytest.mark.parametrize("mean", [0.1, 1.0, 9.9, 10.0, 25.0, 1e3, 1e6])
def test_poisson(mean: float) -> None:
    distribution = scipy.stats.poisson(mean)
    edges = np.unique(distribution.ppf(np.linspace(0, 1, 30)[1:-1]))
    expected = np.diff([0, *distribution.cdf(edges), 1]) * COUNT
    for given in (mean, mx.array(mean)):
        values = np.array(mx.random.poisson(given, (COUNT,), key=key(4)))
        assert values.dtype == np.int32 and values.min() >= 0
        counts = np.diff([0, *[(values <= edge).sum() for edge in edges], COUNT])
        assert scipy.stats.chisquare(counts, expected).pvalue > LEAST_PROBABILITY
        assert abs(values.mean() - mean) < 4 * np.sqrt(mean / COUNT)
        assert values.var() == pytest.approx(mean, rel=0.05)


def test_tiny_shape_parameters_stay_in_range() -> None:
    shape = (1000,)
    for values in (mx.random.gamma(1e-3, shape, key=key(1)), mx.random.beta(1e-3, 1e-3, shape, key=key(1))):
        found = np.array(values)
        assert np.isfinite(found).all() and (found >= 0).all()


def test_parameters_broadcast() -> None:
    means = mx.array([0.0, 3.0, 300.0])
    values = np.array(mx.random.poisson(means, (5000, 3), key=key(2)))
    np.testing.assert_allclose(values.mean(0), [0.0, 3.0, 300.0], rtol=0.05)
    assert mx.random.poisson(means, key=key(2)).shape == (3,)
    assert mx.random.gamma(mx.ones((2, 1)), (4, 2, 3), key=key(2)).shape == (4, 2, 3)
    assert mx.random.beta(mx.ones((2, 1)), mx.ones((3,)), key=key(2)).shape == (2, 3)
    assert mx.random.exponential((2, 2), scale=mx.array([1.0, 2.0]), key=key(2)).shape == (2, 2)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_dtypes(dtype: str) -> None:
    kind = getattr(mx, dtype)
    for values in (
        mx.random.exponential((3,), kind),
        mx.random.gamma(2.0, (3,), kind),
        mx.random.beta(2.0, 2.0, (3,), kind),
    ):
        assert values.dtype is kind
    assert mx.random.poisson(3.0, (3,), mx.uint8).dtype is mx.uint8


DRAWS: dict[str, Callable[[Any], mx.array]] = {
    "bits": lambda k: mx.random.bits((5,), key=k),
    "exponential": lambda k: mx.random.exponential((5,), key=k),
    "gamma": lambda k: mx.random.gamma(0.7, (5,), key=k),
    "beta": lambda k: mx.random.beta(2.0, 3.0, (5,), key=k),
    "poisson": lambda k: mx.random.poisson(mx.array(4.0), (5,), key=k),
    "choice": lambda k: mx.random.choice(9, (5,), key=k),
    "choice-without-replacement": lambda k: mx.random.choice(9, (5,), replace=False, key=k),
    "permutation": lambda k: mx.random.permutation(5, key=k),
}


@pytest.mark.parametrize("name", DRAWS)
def test_keys(name: str) -> None:
    """The key alone decides: again, with the state, inside vmap over keys and inside compile."""
    draw = DRAWS[name]
    keys = mx.random.split(key(5), 3)
    alone = [np.array(draw(keys[number])) for number in range(3)]
    np.testing.assert_array_equal(np.array(draw(keys[1])), alone[1])
    assert not np.array_equal(alone[0], alone[1])
    np.testing.assert_array_equal(np.array(mx.vmap(draw)(keys)), np.stack(alone))
    np.testing.assert_array_equal(np.array(mx.compile(draw)(keys[2])), alone[2])
    mx.random.seed(3)
    state = mx.random.split(key(3))
    np.testing.assert_array_equal(np.array(draw(None)), np.array(draw(state[1])))


def test_bits_of_every_width() -> None:
    words = np.array(mx.random.bits((5, 2), key=key(1)))
    np.testing.assert_array_equal(words, np.array(mx.random.split(key(1), 5)))
    for dtype, size in ((mx.uint8, 1), (mx.uint16, 2), (mx.uint64, 8)):
        count = 20 // size if size < 8 else 2
        whole = np.array(mx.random.bits((-(-count * size // 4),), key=key(1)))
        narrow = np.array(mx.random.bits((count,), dtype, key(1)))
        assert narrow.tobytes() == whole.tobytes()[: count * size]
    assert mx.random.bits((0,), mx.uint8).shape == (0,)


def test_choice() -> None:
    rows = mx.array([[1, 2], [3, 4], [5, 6]])
    picked = np.array(mx.random.choice(rows, (4, 5), key=key(1)))
    assert picked.shape == (4, 5, 2) and (picked[..., 1] == picked[..., 0] + 1).all()
    columns = mx.random.choice(rows, (7,), axis=1, key=key(1))
    assert columns.shape == (3, 7)
    every = np.array(mx.random.choice(10, (10,), replace=False, key=key(2)))
    np.testing.assert_array_equal(np.sort(every), np.arange(10))
    np.testing.assert_array_equal(every, np.array(mx.random.permutation(10, key=key(2))))


def test_choice_with_probabilities() -> None:
    p = mx.array([0.1, 0.0, 0.6, 0.3])
    drawn = np.array(mx.random.choice(4, (COUNT,), p=p, key=key(1)))
    shares = np.bincount(drawn, minlength=4) / COUNT
    np.testing.assert_allclose(shares, [0.1, 0.0, 0.6, 0.3], atol=0.01)
    draws = [mx.random.choice(4, (3,), replace=False, p=p, key=key(seed)) for seed in range(300)]
    first = [drawn[0].item() for drawn in draws]
    assert 1 not in first and 130 < first.count(2) < 230
    three = np.array(mx.random.choice(4, (3,), replace=False, p=p, key=key(1)))
    np.testing.assert_array_equal(np.sort(three), [0, 2, 3])


def test_gradients_go_to_the_scale_only() -> None:
    slope = mx.grad(lambda s: mx.random.gamma(2.0, (), scale=s, key=key(1)))(mx.array(3.0))
    assert slope.item() == pytest.approx(mx.random.gamma(2.0, (), key=key(1)).item())
    assert mx.grad(lambda a: mx.random.gamma(a, (), key=key(1)))(mx.array(3.0)).item() == 0.0


ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: mx.random.bits((2,), mx.int32), ValueError, r"\[bits\] .*int32"),
    (lambda: mx.random.bits(3), TypeError, r"\[bits\] .*3"),
    (lambda: mx.random.exponential((2,), mx.int32), ValueError, r"\[exponential\] .*int32"),
    (lambda: mx.random.gamma(mx.ones((2,)), (3,)), ValueError, r"\[gamma\] .*\(2,\).*\(3,\)"),
    (lambda: mx.random.gamma(1.0, (3,), mx.complex64), ValueError, r"\[gamma\] .*complex64"),
    (lambda: mx.random.beta("a", 1.0), ValueError, r"\[beta\] .*str"),
    (lambda: mx.random.poisson(1.0, (2,), mx.float32), ValueError, r"\[poisson\] .*float32"),
    (lambda: mx.random.poisson(-1.0, (2,)), ValueError, r"\[poisson\] .*-1"),
    (lambda: mx.random.choice(0, (2,)), ValueError, r"\[choice\] .*0"),
    (lambda: mx.random.choice(3, (4,), replace=False), ValueError, r"\[choice\] .*4 of 3"),
    (lambda: mx.random.choice(3, (2,), p=mx.ones((2,))), ValueError, r"\[choice\] .*\(2,\)"),
    (lambda: mx.random.choice(2.5, (2,)), TypeError, r"\[choice\] .*2\.5"),
    (lambda: mx.random.choice(mx.ones((3,)), (2,), axis=1), IndexError, r"\[choice\] .*1"),
]


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_errors(number: int) -> None:
    call, kind, text = ERRORS[number]
    with pytest.raises(kind, match=text):
        call()
