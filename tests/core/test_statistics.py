"""Special functions, parts of numbers, statistics and lookups: what the op table cannot say about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special

import tarry.core as mx

INFINITY, NAN = float("inf"), float("nan")
FUNCTIONS: dict[str, tuple[Any, Any]] = {
    "erfc": (scipy.special.erfc, mpmath.erfc),
    "lgamma": (scipy.special.gammaln, lambda x: mpmath.log(abs(mpmath.gamma(x)))),
    "digamma": (scipy.special.digamma, mpmath.digamma),
}


def single_points(generator: np.random.Generator) -> np.ndarray:
    spread = 10.0 ** generator.uniform(-7, 0, 4000)
    parts = [
        generator.uniform(-12, 30, 8000),
        1 + generator.standard_normal(4000) * spread,
        2 + generator.standard_normal(4000) * spread,
        10.0 ** generator.uniform(-30, 30, 4000),
        1.4616321 + generator.standard_normal(2000) * 1e-3,
    ]
    return np.concatenate(parts).astype(np.float32)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_within_an_ulp(name: str, generator: np.random.Generator) -> None:
    x = single_points(generator)
    with np.errstate(all="ignore"):
        want = FUNCTIONS[name][0](x.astype(np.float64))
    got = np.array(getattr(mx, name)(mx.array(x)))
    finite = np.isfinite(want) & (np.abs(want) < 3e38)
    error = np.abs(got[finite] - want[finite]) / np.spacing(np.abs(want[finite]).astype(np.float32))
    assert error.max() <= 1.0, x[finite][np.argmax(error)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float64_close_to_the_exact_value(name: str, generator: np.random.Generator) -> None:
    x = np.concatenate(
        [generator.uniform(0.01, 3, 60), generator.uniform(3, 30, 60), generator.uniform(-3.9, -0.1, 40)]
    )
    with mpmath.workdps(30):
        want = np.array([float(FUNCTIONS[name][1](mpmath.mpf(float(value)))) for value in x])
    got = np.array(getattr(mx, name)(mx.array(x, dtype=mx.float64)))
    np.testing.assert_allclose(got, want, rtol=2e-14, atol=2e-14 if name != "erfc" else 0)


POLES = np.array([0.0, -0.0, -1.0, -2.0, INFINITY, -INFINITY, NAN], np.float32)


def test_poles_and_infinities() -> None:
    x = mx.array(POLES)
    np.testing.assert_array_equal(np.array(mx.lgamma(x)), [INFINITY] * 6 + [NAN])
    np.testing.assert_array_equal(
        np.array(mx.digamma(x)), [-INFINITY, INFINITY, NAN, NAN, INFINITY, NAN, NAN]
    )
    np.testing.assert_array_equal(np.array(mx.erfc(x))[4:], [0.0, 2.0, NAN])


def test_third_derivatives_of_lgamma_end_at_tetragamma() -> None:
    first = mx.grad(mx.lgamma)
    second = mx.grad(first)
    third = mx.grad(second)
    x = mx.array(2.5)
    wanted = [scipy.special.polygamma(order, 2.5) for order in range(3)]
    np.testing.assert_allclose([first(x).item(), second(x).item(), third(x).item()], wanted, rtol=1e-6)
    with pytest.raises(ValueError, match=r"\[digamma\] .*second"):
        mx.grad(third)(x)


# parts of numbers

EDGES = [0.0, -0.0, 1.0, -1.0, INFINITY, -INFINITY, NAN, 1.4e-45, -1e-40, 3e38, 0.3, -7.5]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_neighbours(dtype: str) -> None:
    with np.errstate(all="ignore"):
        a = np.repeat(EDGES, len(EDGES)).astype(dtype)
        b = np.tile(EDGES, len(EDGES)).astype(dtype)
        want = np.nextafter(a, b)
    got = np.array(mx.nextafter(mx.array(a, dtype=getattr(mx, dtype)), mx.array(b, dtype=getattr(mx, dtype))))
    np.testing.assert_array_equal(got, want)
    if dtype != "float16":  # NumPy's own float16 keeps the sign of the first zero
        np.testing.assert_array_equal(np.signbit(got[~np.isnan(got)]), np.signbit(want[~np.isnan(want)]))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("exponent", [0, 1, -30, -140, -149, -160, 130, -1074, -1100, 1023, 2100, -2150])
def test_scaling_rounds_once(dtype: str, exponent: int) -> None:
    with np.errstate(all="ignore"):
        a = np.array([*EDGES, 1 + 2**-10, 2.0**-14 * (1 + 2**-10), 1e300], np.float64).astype(dtype)
        want = np.ldexp(a, exponent)
    got = np.array(mx.ldexp(mx.array(a, dtype=getattr(mx, dtype)), exponent))
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_hypot_neither_overflows_nor_vanishes(dtype: str) -> None:
    large, small = float(mx.finfo(getattr(mx, dtype)).max) / 4, 2.0**-14
    a = mx.array([3 * large / 4, 3 * small, 0.0, NAN, INFINITY], dtype=getattr(mx, dtype))
    b = mx.array([large, 4 * small, 0.0, INFINITY, 1.0], dtype=getattr(mx, dtype))
    got = np.array(mx.hypot(a, b).astype(mx.float64))
    np.testing.assert_allclose(got, [1.25 * large, 5 * small, 0.0, INFINITY, INFINITY], rtol=1e-2)
    assert mx.grad(lambda x: mx.hypot(x, mx.array(0.0)))(mx.array(0.0)).item() == 0.0


def test_extreme_float64_lengths() -> None:
    a = np.array([1e300, 3e-300, 5e-324, 1e308])
    got = np.array(mx.hypot(mx.array(a, dtype=mx.float64), mx.array(a[::-1].copy(), dtype=mx.float64)))
    np.testing.assert_allclose(got, np.hypot(a, a[::-1]), rtol=3e-16)


# statistics


def test_nan_reductions_over_nothing() -> None:
    nothing = mx.array([[NAN, NAN], [1.0, NAN]])
    np.testing.assert_array_equal(np.array(mx.nanmax(nothing, 1)), [NAN, 1.0])
    np.testing.assert_array_equal(np.array(mx.nanmin(nothing, 0)), [1.0, NAN])
    np.testing.assert_array_equal(np.array(mx.nanmean(nothing, 1)), [NAN, 1.0])
    np.testing.assert_array_equal(np.array(mx.nansum(nothing, 1)), [0.0, 1.0])
    np.testing.assert_array_equal(np.array(mx.nanprod(nothing, 1)), [1.0, 1.0])
    np.testing.assert_array_equal(np.array(mx.nanvar(nothing, 1, ddof=1)), [NAN, NAN])
    assert mx.nanmax(mx.array([-INFINITY, NAN])).item() == -INFINITY


def test_average_with_the_sum_of_weights(generator: np.random.Generator) -> None:
    a, w = generator.random((3, 4)).astype(np.float32), generator.random((3, 4)).astype(np.float32)
    for options in ({"axis": 1}, {"axis": None}, {"axis": (0, 1), "keepdims": True}):
        ours = mx.average(mx.array(a), weights=mx.array(w), returned=True, **options)
        theirs = np.average(a, weights=w, returned=True, **options)
        for mine, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(np.array(mine), other, rtol=1e-6)
    assert mx.average(mx.array(a), 0, returned=True)[1].tolist() == [3.0] * 4


@pytest.mark.parametrize("weighting", [("fweights",), ("aweights",), ("fweights", "aweights")])
@pytest.mark.parametrize("ddof", [None, 0, 2])
def test_weighted_covariance(
    weighting: tuple[str, ...], ddof: int | None, generator: np.random.Generator
) -> None:
    m = generator.standard_normal((3, 6)).astype(np.float32)
    values = {"fweights": np.array([1, 2, 3, 1, 2, 5]), "aweights": generator.random(6)}
    given = {name: values[name] for name in weighting}
    ours = mx.cov(mx.array(m), ddof=ddof, **{name: mx.array(value) for name, value in given.items()})
    np.testing.assert_allclose(np.array(ours), np.cov(m, ddof=ddof, **given), rtol=1e-5, atol=1e-6)


def test_covariance_with_more_variables(generator: np.random.Generator) -> None:
    a, b = generator.standard_normal((2, 2, 9)).astype(np.float32)
    np.testing.assert_allclose(np.array(mx.cov(mx.array(a), mx.array(b))), np.cov(a, b), rtol=1e-5)
    np.testing.assert_allclose(np.array(mx.corrcoef(mx.array(a), mx.array(b))), np.corrcoef(a, b), rtol=1e-5)
    z = (a + 1j * b).astype(np.complex64)
    np.testing.assert_allclose(np.array(mx.corrcoef(mx.array(z))), np.corrcoef(z), rtol=1e-5, atol=1e-6)
    assert mx.corrcoef(mx.array(a[0])).item() == 1.0


def test_bincount_looks_at_the_values(generator: np.random.Generator) -> None:
    x, w = generator.integers(0, 20, 50), generator.random(50).astype(np.float32)
    np.testing.assert_array_equal(np.array(mx.bincount(mx.array(x))), np.bincount(x))
    np.testing.assert_array_equal(np.array(mx.bincount(mx.array(x.astype(np.uint8)))), np.bincount(x))
    weighted = mx.bincount(mx.array(x), mx.array(w), 30)
    np.testing.assert_allclose(np.array(weighted), np.bincount(x, w, 30), rtol=1e-6)
    assert mx.bincount(mx.array([], dtype=mx.int32)).shape == (0,)
    assert mx.bincount(mx.array([], dtype=mx.int32), minlength=2).tolist() == [0, 0]


def test_bincount_needs_no_more_memory_than_its_result() -> None:
    counted = mx.bincount(mx.array([3, 2**24]))
    mx.eval(counted)
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    other = mx.bincount(mx.array([3, 2**24]))
    mx.eval(other)
    assert counted.nbytes <= mx.get_peak_memory() - before <= 1.3 * counted.nbytes
    assert other[3].item() == other[-1].item() == 1
    with pytest.raises(MemoryError, match="Cannot allocate"):
        mx.eval(mx.bincount(mx.array([2**50])))


def test_bincount_of_a_length_works_inside_transforms() -> None:
    x = mx.array([[0, 2, 2], [1, 9, 1]])
    count = lambda row: mx.bincount(row, length=4)  # noqa: E731
    assert mx.vmap(count)(x).tolist() == [[1, 0, 2, 0], [0, 2, 0, 0]]
    assert mx.compile(count)(x[0]).tolist() == [1, 0, 2, 0]
    for transform in (mx.vmap, mx.compile):
        with pytest.raises(ValueError, match=r"^\[bincount\] "):
            transform(lambda row: mx.bincount(row))(x if transform is mx.vmap else x[0])


@pytest.mark.parametrize("bins", [1, 7, 10, 100])
def test_histogram_of_integers_is_exact(bins: int, generator: np.random.Generator) -> None:
    """Values on the edges: each bin holds its lower one."""
    x = generator.integers(0, 101, (10, 30))
    counts, edges = mx.histogram(mx.array(x), bins)
    expected, expected_edges = np.histogram(x, bins)
    np.testing.assert_array_equal(np.array(counts), expected)
    np.testing.assert_allclose(np.array(edges), expected_edges, rtol=1e-6)


def test_histogram_options(generator: np.random.Generator) -> None:
    x = generator.standard_normal(500).astype(np.float32)
    edges = np.array([-2, -1, 0, 0.5, 3], np.float32)
    counts = mx.histogram(mx.array(x), mx.array(edges))[0]
    np.testing.assert_array_equal(np.array(counts), np.histogram(x, edges)[0])
    weighted = mx.histogram(mx.array(x), mx.array(edges), weights=mx.array(x * x), density=True)[0]
    expected = np.histogram(x, edges, weights=x * x, density=True)[0]
    np.testing.assert_allclose(np.array(weighted), expected, rtol=1e-4)
    assert mx.histogram(mx.array([2, 2]))[0].tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 0, 0]
    assert mx.histogram(mx.array([]), 2)[0].tolist() == [0, 0]
    assert mx.histogram(mx.array([0.0, NAN, 1.0, 9.0]), 2, (0, 1))[0].tolist() == [1, 1]
    assert mx.histogram_bin_edges(mx.array([0.0, 4.0]), 2).tolist() == [0.0, 2.0, 4.0]


def test_interpolation(generator: np.random.Generator) -> None:
    places, heights = np.sort(generator.random(20)), generator.random(20)
    x = np.concatenate([generator.uniform(-0.2, 1.2, 100), places])
    arrays = [mx.array(value, dtype=mx.float64) for value in (x, places, heights)]
    np.testing.assert_allclose(np.array(mx.interp(*arrays)), np.interp(x, places, heights), rtol=1e-12)
    np.testing.assert_allclose(
        np.array(mx.interp(*arrays, -1, 7)), np.interp(x, places, heights, -1, 7), rtol=1e-12
    )
    shuffled = generator.permutation(20)
    turned = mx.interp(arrays[0], arrays[1][mx.array(shuffled)], arrays[2][mx.array(shuffled)], period=0.7)
    expected = np.interp(x, places[shuffled], heights[shuffled], period=0.7)
    np.testing.assert_allclose(np.array(turned), expected, rtol=1e-9)
    assert mx.interp(mx.array([NAN, 0.0]), mx.array([1.0]), mx.array([5.0])).tolist()[1] == 5.0


def ones(*shape: int) -> mx.array:
    return mx.ones(shape)


COMPLEX = mx.array([1j])
ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: mx.erfc(COMPLEX), ValueError, r"\[erfc\] .*complex64"),
    (lambda: mx.lgamma(COMPLEX), ValueError, r"\[lgamma\] .*complex64"),
    (lambda: mx.digamma("x"), ValueError, r"\[digamma\] .*str"),
    (lambda: mx.copysign(COMPLEX, 1.0), ValueError, r"\[copysign\] .*complex64"),
    (lambda: mx.signbit(COMPLEX), ValueError, r"\[signbit\] .*complex64"),
    (lambda: mx.ldexp(1.0, 2.5), ValueError, r"\[ldexp\] .*float32"),
    (lambda: mx.hypot(ones(2), ones(3)), ValueError, r"\[hypot\] .*\(2,\).*\(3,\)"),
    (lambda: mx.diff(ones(3), n=-1), ValueError, r"\[diff\] .*-1"),
    (lambda: mx.diff(ones(3), axis=1), IndexError, r"\[diff\] .*1"),
    (lambda: mx.trace(ones(3)), ValueError, r"\[trace\] .*1"),
    (lambda: mx.trace(ones(2, 2), axis1=0, axis2=0), ValueError, r"\[trace\] .*same"),
    (lambda: mx.trace(ones(2, 2), axis2=5), IndexError, r"\[trace\] .*5"),
    (lambda: mx.kron([1], ones(2)), TypeError, r"\[kron\] .*list"),
    (lambda: mx.nanmax(ones(0)), ValueError, r"\[nanmax\] .*empty"),
    (lambda: mx.nanmax(COMPLEX), ValueError, r"\[nanmax\] .*complex64"),
    (lambda: mx.nansum([1.0]), TypeError, r"\[nansum\] .*list"),
    (lambda: mx.average(ones(2, 3), 0, weights=ones(3)), ValueError, r"\[average\] .*\(3,\)"),
    (lambda: mx.cov(ones(2, 2, 2)), ValueError, r"\[cov\] .*\(2, 2, 2\)"),
    (lambda: mx.cov(ones(2, 3), aweights=ones(2)), ValueError, r"\[cov\] .*aweights"),
    (lambda: mx.bincount(mx.array([1, -1])), ValueError, r"\[bincount\] .*-1"),
    (lambda: mx.bincount(ones(2)), ValueError, r"\[bincount\] .*float32"),
    (lambda: mx.bincount(mx.array([1]), ones(2)), ValueError, r"\[bincount\] .*\(2,\)"),
    (lambda: mx.bincount(mx.array([1]), minlength=-1), ValueError, r"\[bincount\] .*-1"),
    (lambda: mx.histogram(ones(2), 0), ValueError, r"\[histogram\] .*0"),
    (lambda: mx.histogram(ones(2), 2, (1, 0)), ValueError, r"\[histogram\] .*range"),
    (lambda: mx.histogram(ones(2), ones(1)), ValueError, r"\[histogram\] .*\(1,\)"),
    (lambda: mx.histogram(ones(2), weights=ones(3)), ValueError, r"\[histogram\] .*\(3,\)"),
    (lambda: mx.interp(0.5, ones(2), ones(3)), ValueError, r"\[interp\] .*2 and 3"),
    (lambda: mx.interp(0.5, ones(1, 2), ones(2)), ValueError, r"\[interp\] .*\(1, 2\)"),
    (lambda: mx.interp(0.5, ones(2), ones(2), period=0), ValueError, r"\[interp\] .*period"),
    (lambda: mx.unravel_index(ones(2), (2,)), ValueError, r"\[unravel_index\] .*float32"),
    (lambda: mx.hanning(2.5), TypeError, r"\[hanning\] .*2\.5"),
]


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_errors(number: int) -> None:
    call, kind, text = ERRORS[number]
    with pytest.raises(kind, match=text):
        call()
