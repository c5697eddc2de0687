"""pow, atan2, logaddexp and the division with remainder, on float32 and float64."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from math_runner import EDGES, TARGETS, all_magnitudes, double_error, exact, operation, single_error

from tarry.base.dtypes import float32, float64, to_numpy

MORE_EDGES = np.concatenate(
    [EDGES, [3.0, -3.0, 2.5, 0.99999, 1.00001, 2.0**53, 2.0**53 + 2, 1e-30, -1e-30, 5e-324, 1e300, -1e300]]
)


def _log_sum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    distance = np.where(a == b, 0.0, np.abs(a - b))
    return np.maximum(a, b) + np.log1p(np.exp(-distance))


def _remainder(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """MLX's: a zero keeps the sign of a."""
    result = np.fmod(a, b)
    return np.where((result != 0) & ((result < 0) != (b < 0)), result + b, result)


def _pairs(generator, count, dtype):
    x = all_magnitudes(generator, count, dtype)
    edges = [side.ravel() for side in np.meshgrid(MORE_EDGES, MORE_EDGES)]
    bases = np.abs(generator.standard_normal(4 * count) * 10.0 ** generator.uniform(-3, 3, 4 * count))
    exponents = generator.uniform(-90, 90, bases.size) / np.maximum(1e-3, np.abs(np.log(bases)))
    integers = generator.integers(-20, 20, count)
    with np.errstate(over="ignore", under="ignore"):
        a = np.concatenate([x, edges[0], bases, generator.standard_normal(count)]).astype(to_numpy(dtype))
        b = np.concatenate([generator.permutation(x), edges[1], exponents, integers]).astype(to_numpy(dtype))
    return a, b


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("op, reference", [("pow", np.power), ("atan2", np.arctan2), ("logaddexp", _log_sum)])
def test_single(op, reference, target, generator):
    a, b = _pairs(generator, 3000, float32)
    with np.errstate(all="ignore"):
        want = reference(a.astype(np.float64), b.astype(np.float64))
    error = single_error(operation(op, [float32, float32], target)(a, b), want)
    if op == "logaddexp":  # where max and log1p cancel, a float64 reference is no better
        error = np.where(np.abs(want) < 1e-6 * np.maximum(np.abs(a), np.abs(b)), 0, error)
    worst = int(np.argmax(error))
    assert error[worst] <= 0.55, (a[worst], b[worst], want[worst])


@pytest.mark.parametrize("op", ["pow", "atan2"])
def test_double(op, generator):
    a, b = _pairs(generator, 100, float64)
    usual, reference = {"pow": (np.power, mpmath.power), "atan2": (np.arctan2, mpmath.atan2)}[op]
    want, low = exact(reference, usual, a, b)
    for target in TARGETS:
        error = double_error(operation(op, [float64, float64], target)(a, b), want, low)
        worst = int(np.argmax(error))
        assert error[worst] <= (1.2 if op == "pow" else 2.0), (target, a[worst], b[worst], want[worst])


@pytest.mark.parametrize("target", TARGETS)
def test_log_of_sum_in_double(target, generator):
    a, b = _pairs(generator, 2000, float64)
    with np.errstate(all="ignore"):
        want = _log_sum(a, b)
        got = operation("logaddexp", [float64, float64], target)(a, b)
        scale = np.maximum(np.abs(want), np.minimum(np.abs(a), np.abs(b)))
        close = np.abs(got - want) <= 4 * np.spacing(np.where(np.isfinite(scale), scale, 1))
    assert np.all(close | (got == want) | (np.isnan(got) & np.isnan(want)))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [float32, float64])
def test_remainder_is_exact(dtype, target, generator):
    a, b = _pairs(generator, 2000, dtype)
    with np.errstate(all="ignore"):
        want = _remainder(a, b)
    got = operation("mod", [dtype, dtype], target)(a, b)
    np.testing.assert_array_equal(got, want)
    numbers = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got)[numbers], np.signbit(want)[numbers])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [float32, float64])
def test_floor_of_the_rounded_quotient(dtype, target, generator):
    a, b = _pairs(generator, 2000, dtype)
    got = operation("floordiv", [dtype, dtype], target)(a, b)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(got, np.floor(a / b))


def test_mlx_conventions_of_division():
    x = np.array([1.0, -1.0, 1.0, -1.0, 5.5], np.float32)
    y = np.array([0.0, 0.0, np.inf, np.inf, -2.0], np.float32)
    quotient = operation("floordiv", [float32, float32])(x, y)
    np.testing.assert_array_equal(quotient, np.array([np.inf, -np.inf, 0, 0, -3], np.float32))
    remainder = operation("mod", [float32, float32])(x, y)
    np.testing.assert_array_equal(remainder, np.array([np.nan, np.nan, 1, np.inf, -0.5], np.float32))
