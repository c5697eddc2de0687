"""Elementary functions of float64 against mpmath, with and without fused multiply-add."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import scipy.special
from math_runner import TARGETS, all_magnitudes, double_error, exact, operation

from tarry.base.dtypes import float64


def _sigmoid(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e)


def _signed_erfinv(x: np.ndarray) -> np.ndarray:
    return np.copysign(scipy.special.erfinv(x), x)


# op: NumPy, mpmath, bound in ulp
CASES = {
    "exp": (np.exp, mpmath.exp, 1.2), "expm1": (np.expm1, mpmath.expm1, 2.0),
    "sigmoid": (_sigmoid, lambda x: 1 / (1 + mpmath.exp(-x)), 2.0),
    "sinh": (np.sinh, mpmath.sinh, 2.0), "cosh": (np.cosh, mpmath.cosh, 2.0),
    "tanh": (np.tanh, mpmath.tanh, 2.0),
    "log": (np.log, mpmath.log, 1.0), "log1p": (np.log1p, mpmath.log1p, 1.6),
    "log2": (np.log2, lambda x: mpmath.log(x, 2), 0.6), "log10": (np.log10, mpmath.log10, 0.6),
    "sin": (np.sin, mpmath.sin, 1.0), "cos": (np.cos, mpmath.cos, 1.0), "tan": (np.tan, mpmath.tan, 2.3),
    "asin": (np.arcsin, mpmath.asin, 2.0), "acos": (np.arccos, mpmath.acos, 1.5),
    "atan": (np.arctan, mpmath.atan, 2.0), "asinh": (np.arcsinh, mpmath.asinh, 2.0),
    "acosh": (np.arccosh, mpmath.acosh, 2.0), "atanh": (np.arctanh, mpmath.atanh, 2.0),
    "erf": (scipy.special.erf, mpmath.erf, 1.6), "erfinv": (_signed_erfinv, mpmath.erfinv, 4.0),
    "rsqrt": (lambda x: 1 / np.sqrt(x), lambda x: 1 / mpmath.sqrt(x), 1.6),
}  # fmt: skip


@pytest.mark.parametrize("op", CASES)
def test_within_bound(op, generator):
    usual, reference, bound = CASES[op]
    x = all_magnitudes(generator, 40 if op == "erfinv" else 250, float64)
    want, low = exact(reference, usual, x)
    for target in TARGETS:
        got = operation(op, [float64], target)(x)
        error = double_error(got, want, low)
        worst = int(np.argmax(error))
        assert error[worst] <= bound, (target, x[worst], got[worst], want[worst])


@pytest.mark.parametrize("target", TARGETS)
def test_sine_near_its_zeros(target):
    """The doubles next to multiples of pi/2, where the reduction cancels most."""
    multiples = np.concatenate([np.arange(1, 300), 2 ** np.arange(9, 20), np.arange(10**6, 10**6 + 200)])
    x = multiples * np.pi / 2
    x = np.concatenate([x, np.nextafter(x, 0), np.nextafter(x, np.inf)])
    for op in ("sin", "cos"):
        usual, reference, bound = CASES[op]
        error = double_error(operation(op, [float64], target)(x), *exact(reference, usual, x))
        assert np.max(error) <= bound, x[np.argmax(error)]


def test_huge_angles():
    """Beyond 1.6e6 the C library answers."""
    x = np.array([1.7e6, 1e10, 1e22, 1.7e308, -1e300])
    for op in ("sin", "cos", "tan"):
        usual, reference, bound = CASES[op]
        assert np.max(double_error(operation(op, [float64])(x), *exact(reference, usual, x))) <= bound


@pytest.mark.parametrize("target", TARGETS)
def test_powers_give_exact_logarithms(target):
    np.testing.assert_array_equal(operation("log10", [float64], target)(10.0 ** np.arange(23)), np.arange(23))
    exponents = np.arange(-1074, 1024)
    np.testing.assert_array_equal(operation("log2", [float64], target)(np.ldexp(1.0, exponents)), exponents)
