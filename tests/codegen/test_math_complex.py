"""Functions of complex64 against complex128: parts within 1 ulp, branch cuts by the signs of zeros."""

from __future__ import annotations

import numpy as np
import pytest
from math_runner import operation, single_error

from tarry.base.dtypes import complex64
from tarry.codegen.math_complex import UNARY
from tarry.loops.operations import PURE


@pytest.fixture(autouse=True)
def sqrt_takes_complex(monkeypatch):
    monkeypatch.setattr(PURE["sqrt"], "kinds", "fc")


def _reciprocal_root(z):
    """(1 + 0i) conj(r) / |r|**2 of the root r; NumPy's own quotient loses signs of zeros."""
    root = np.sqrt(z)
    size = root.real**2 + root.imag**2
    quotient = np.empty_like(root)
    quotient.real, quotient.imag = (root.real + 0 * root.imag) / size, (0 * root.real - root.imag) / size
    return np.where(size == 0, 1 / root, quotient)


REFERENCES = {
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "log2": np.log2, "log10": np.log10,
    "sqrt": np.sqrt, "rsqrt": _reciprocal_root, "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
}  # fmt: skip


def _numbers(generator, count):
    edges = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 1e-10, -1e-10, 30.0, -30.0])
    real, imaginary = (side.ravel() for side in np.meshgrid(edges, edges))
    size = 10.0 ** generator.uniform(-3, 1.5, count)
    real = np.concatenate([real, generator.standard_normal(count) * size])
    imaginary = np.concatenate([imaginary, generator.standard_normal(count) * size])
    numbers = np.empty(real.size, np.complex64)
    numbers.real, numbers.imag = real, imaginary
    return numbers


@pytest.mark.parametrize("op", REFERENCES)
def test_unary(op, generator):
    z = _numbers(generator, 4000)
    if op == "log1p":  # NumPy's own loses the real part where |1 + z| is near 1
        z = z[np.abs(np.abs(1 + z.astype(np.complex128)) - 1) > 1e-6]
    got = operation(op, [complex64])(z)
    with np.errstate(all="ignore"):
        want = REFERENCES[op](z.astype(np.complex128))
    for part, reference in ((got.real, want.real), (got.imag, want.imag)):
        error = single_error(part, reference)
        worst = int(np.argmax(error))
        assert error[worst] <= 1, (z[worst], got[worst], want[worst])


def test_log1p_of_small_numbers():
    z = np.array([1e-10j, -2 + 1e-10j], np.complex64)
    np.testing.assert_allclose(operation("log1p", [complex64])(z).real, 5e-21, rtol=1e-6)


def test_overflow_and_infinity():
    parts = [(np.inf, 1), (1, np.inf), (1e30, 1e30), (3e38, 3e38)]
    z = np.array([complex(*part) for part in parts], np.complex64)
    root = operation("sqrt", [complex64])(z)
    np.testing.assert_array_equal(root[:2], np.sqrt(z[:2]))
    np.testing.assert_allclose(root[2:], np.sqrt(z[2:].astype(np.complex128)), rtol=1e-6)
    logarithm = operation("log", [complex64])(z)
    np.testing.assert_allclose(logarithm[2:], np.log(z[2:].astype(np.complex128)), rtol=1e-6)


@pytest.mark.parametrize("op", ["div", "mul", "pow"])
def test_binary(op, generator):
    a = _numbers(generator, 4000)
    b = generator.permutation(a)
    got = operation(op, [complex64, complex64])(a, b)
    with np.errstate(all="ignore"):
        reference = {"div": np.divide, "mul": np.multiply, "pow": np.power}[op]
        want = reference(a.astype(np.complex128), b.astype(np.complex128))
        ordinary = np.isfinite(want.astype(np.complex64)) & (np.abs(want) > 1e-30)
    np.testing.assert_allclose(got[ordinary], want[ordinary], rtol=2e-7)


def test_division_by_zero_and_powers_of_zero():
    zero = np.zeros(3, np.complex64)
    quotient = operation("div", [complex64, complex64])(np.array([1 + 1j, -1, 0], np.complex64), zero)
    assert quotient[0] == complex(np.inf, np.inf) and quotient[1].real == -np.inf
    assert np.isnan(quotient[2].real)
    power = operation("pow", [complex64, complex64])(zero, np.array([0, 2, -1], np.complex64))
    assert power[0] == 1 and power[1] == 0 and np.isnan(power[2].real)


def test_logaddexp(generator):
    a, b = _numbers(generator, 2000), _numbers(generator, 2000)
    got = operation("logaddexp", [complex64, complex64])(a, b)
    major, minor = np.where(a.real < b.real, b, a), np.where(a.real < b.real, a, b)
    with np.errstate(all="ignore"):
        rest = np.log(1 + np.exp(minor.astype(np.complex128) - major))
    np.testing.assert_allclose(got, major + rest, rtol=1e-5, atol=1e-6)


def test_functions_without_a_complex_meaning():
    with pytest.raises(TypeError, match=r"\[erf\] does not take \(complex64\)"):
        operation("erf", [complex64])
    with pytest.raises(TypeError, match=r"\[atan2\] does not take \(complex64, complex64\)"):
        operation("atan2", [complex64, complex64])


def test_every_function_has_a_reference():
    assert set(UNARY) == set(REFERENCES)
