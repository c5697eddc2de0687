"""Elementary functions of float32 against float64 references: at most 2.5 ulp everywhere, edges as in C99."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
from math_runner import TARGETS, all_magnitudes, elementwise_kernel, operation, single_error

from tarry.base.dtypes import float32
from tarry.codegen.assemble import Target
from tarry.codegen.emit import emit_kernel
from tarry.codegen.expand import expand_kernel


def sigmoid(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e)


REFERENCES = {
    "exp": np.exp, "expm1": np.expm1, "sigmoid": sigmoid, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "log": np.log, "log1p": np.log1p, "log2": np.log2, "log10": np.log10, "log_mlx": np.log,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "erf": scipy.special.erf, "rsqrt": lambda x: 1 / np.sqrt(x),
    "erfinv": lambda x: np.copysign(scipy.special.erfinv(x), x),
    "erfinv_mlx": lambda x: np.copysign(scipy.special.erfinv(x), x),
}  # fmt: skip
# In ulp, where not 2: functions computed in float64 are rounded once, and erfinv_mlx is as accurate as MLX's.
BOUNDS = {
    "log1p": 0.51, "log2": 0.51, "log10": 0.51, "tan": 0.51, "sinh": 0.51, "cosh": 0.51,
    "asin": 0.51, "acos": 0.51, "atan": 0.51, "asinh": 0.51, "acosh": 0.51, "atanh": 0.51, "erfinv": 0.7,
    "log": 1.0, "log_mlx": 1.0, "exp": 1.1, "expm1": 1.8, "erf": 2.2, "tanh": 2.5, "sigmoid": 2.5,
    "erfinv_mlx": 3.0,
}  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("op", REFERENCES)
def test_within_bound(op, target, generator):
    x = all_magnitudes(generator, 12000, float32)
    got = operation(op, [float32], target)(x)
    with np.errstate(all="ignore"):
        want = REFERENCES[op](x.astype(np.float64))
    error = single_error(got, want)
    worst = int(np.argmax(error))
    assert error[worst] <= BOUNDS.get(op, 2.0), (x[worst], got[worst], want[worst])


@pytest.mark.parametrize("op", ["tanh", "erf", "sigmoid", "sin", "log1p"])
def test_two_chains_run_side_by_side(op):
    """An elementary function is one long chain of operations: two vectors at once wait half as long."""
    kernel = elementwise_kernel(lambda builder, x: builder.apply(op, x), [float32])
    target = Target.named("avx2")
    code = emit_kernel(expand_kernel(kernel, target), target)
    assert f"store <{2 * code.lanes} x float>" in code.text


@pytest.mark.parametrize("op", ["sin", "cos", "tan"])
def test_huge_angles(op):
    x = np.array([1e5, 32767.9, 32768.1, 1e9, 1e30, 3.4e38, -1e30, 16367173 * 2.0**72], np.float32)
    got = operation(op, [float32])(x)
    assert np.all(single_error(got, REFERENCES[op](x.astype(np.float64))) <= 2)


@pytest.mark.parametrize("op", ["exp", "expm1", "sin", "log", "erf", "tanh", "sigmoid"])
def test_dense_near_thresholds(op):
    """Every float32 around the points where an expansion changes its formula."""
    centres = [
        0.17328680, 0.34657359, 0.51986039, 0.70710678, 0.78539816, 1.0, 1.4142135, 3.14159265, 3.9192059,
        4.0, 4.5059452, 9.0109133, 10.0, 88.0, 104.0, 32768,
    ]  # fmt: skip
    starts = np.array(centres, np.float32).view(np.int32)[:, None]
    x = (starts + np.arange(-600, 600, dtype=np.int32)).ravel().view(np.float32)
    x = np.concatenate([x, -x])
    with np.errstate(all="ignore"):
        want = REFERENCES[op](x.astype(np.float64))
    assert np.max(single_error(operation(op, [float32])(x), want)) <= BOUNDS.get(op, 2.0)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("op, exact_below", [("tanh", 1e-4), ("erf", 0.0)])
def test_odd_and_saturated(op, exact_below, target, generator):
    """Mirrored to the bit, never above 1, 1 for large arguments, and of tiny ones the argument itself."""
    x = np.abs(all_magnitudes(generator, 20000, float32))
    evaluate = operation(op, [float32], target)
    got = evaluate(x)
    np.testing.assert_array_equal(evaluate(-x).view(np.uint32)[x == x], (-got).view(np.uint32)[x == x])
    assert np.all((got <= 1) | np.isnan(x))
    assert np.all(got[x >= 9.1] == 1)
    np.testing.assert_array_equal(got[x < exact_below], x[x < exact_below])


@pytest.mark.parametrize("target", TARGETS)
def test_random_numbers_have_the_bits_of_mlx(target, generator):
    """erfinv_mlx and log_mlx are what random.normal and random.gumbel are made of."""
    mx = pytest.importorskip("mlx.core")
    x = np.concatenate([generator.uniform(-1, 1, 200000), 1 - 10.0 ** generator.uniform(-8, 0, 50000)])
    x = x.astype(np.float32)
    with mx.stream(mx.cpu):
        inverse, logarithm = np.array(mx.erfinv(mx.array(x))), np.array(mx.log(mx.array(np.abs(x))))
    np.testing.assert_array_equal(operation("erfinv_mlx", [float32], target)(x), inverse)
    np.testing.assert_array_equal(operation("log_mlx", [float32], target)(np.abs(x)), logarithm)


def test_powers_give_exact_logarithms():
    tens = 10.0 ** np.arange(11)
    np.testing.assert_array_equal(operation("log10", [float32])(tens), np.arange(11))
    twos = 2.0 ** np.arange(-149, 128)
    np.testing.assert_array_equal(operation("log2", [float32])(twos), np.arange(-149, 128))
