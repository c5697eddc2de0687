"""Every row's values: all dtypes, all shapes and arguments, strided inputs, special values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tarry.core as mx
from oracle import FLOATS, from_numpy, to_numpy

from .harness import (
    LAYOUTS,
    apply,
    check_outputs,
    main_parameters,
    make_inputs,
    special_parameters,
    special_values,
    variant_parameters,
)
from .op_case import OpCase, Variant
from .op_cases import CASES_BY_NAME


@pytest.mark.parametrize(("case", "dtype"), main_parameters())
def test_dtypes(case: OpCase, dtype: str) -> None:
    variant = case.variants[0]
    values = case.sample(variant, dtype)
    outputs = apply(mx, case, make_inputs(mx, case, values, dtype), variant.options, dtype)
    check_outputs(mx, case, outputs, case.expected(values, variant.options), dtype)


@pytest.mark.parametrize(("case", "dtype", "variant"), variant_parameters(first=1))
def test_variants(case: OpCase, dtype: str, variant: Variant) -> None:
    values = case.sample(variant, dtype)
    outputs = apply(mx, case, make_inputs(mx, case, values, dtype), variant.options, dtype)
    check_outputs(mx, case, outputs, case.expected(values, variant.options), dtype)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
@pytest.mark.parametrize(("case", "dtype", "variant"), variant_parameters(("float32",), most=1))
def test_layouts(case: OpCase, dtype: str, variant: Variant, layout: Any) -> None:
    values = case.sample(variant, dtype)
    inputs = [layout(mx, value, case.dtype_of_input(i, dtype)) for i, value in enumerate(values)]
    outputs = apply(mx, case, inputs, variant.options, dtype)
    check_outputs(mx, case, outputs, case.expected(values, variant.options), dtype)


@pytest.mark.parametrize(
    ("case", "dtype"),
    special_parameters(("float32", "float64", "float16", "int8", "int32", "int64", "uint8")),
)
def test_special_values(case: OpCase, dtype: str) -> None:
    values = special_values(case, dtype)
    assert values is not None
    options = case.variants[0].options
    outputs = apply(mx, case, make_inputs(mx, case, values, dtype), options, dtype)
    expected = case.expected(values, options)
    check_outputs(mx, case, outputs, expected, dtype)
    if not case.signed_zero or dtype not in FLOATS:
        return
    for output, reference in zip(outputs, expected, strict=True):
        actual = to_numpy(mx, output)
        if actual.dtype.kind == "f":
            zeros = (actual == 0) & (reference == 0)
            np.testing.assert_array_equal(
                np.signbit(actual[zeros]), np.signbit(reference[zeros]), err_msg=case.name
            )


INFINITY = float("inf")
NAN = float("nan")
SPECIAL_REDUCTIONS: list[tuple[str, list[float], float]] = [
    ("sum", [1.0, INFINITY, 2.0], INFINITY),
    ("sum", [INFINITY, -INFINITY], NAN),
    ("sum", [1.0, NAN], NAN),
    ("prod", [0.0, INFINITY], NAN),
    ("prod", [-2.0, INFINITY], -INFINITY),
    ("max", [1.0, NAN, 3.0], NAN),
    ("max", [-INFINITY, -INFINITY], -INFINITY),
    ("max", [-1.0, -INFINITY], -1.0),
    ("min", [1.0, NAN, 3.0], NAN),
    ("min", [INFINITY, INFINITY], INFINITY),
    ("min", [5.0, INFINITY], 5.0),
    ("mean", [1.0, NAN], NAN),
    ("mean", [1.0, INFINITY], INFINITY),
    ("var", [2.0], 0.0),
    ("var", [1.0, INFINITY], NAN),
    ("all", [NAN, 1.0], True),
    ("all", [-0.0, 1.0], False),
    ("any", [NAN, 0.0], True),
    ("any", [0.0, -0.0], False),
    ("argmax", [1.0, NAN, 3.0, NAN], 1),
    ("argmin", [1.0, NAN, -3.0, NAN], 1),
    ("argmax", [1.0, 3.0, 3.0], 1),
    ("argmin", [1.0, 0.0, -0.0], 1),
    ("argmax", [-INFINITY, -INFINITY], 0),
    ("logsumexp", [-INFINITY, -INFINITY], -INFINITY),
    ("logsumexp", [INFINITY, 1.0], INFINITY),
    ("logsumexp", [1.0, NAN], NAN),
    ("logsumexp", [1000.0, 1000.0], 1000.0 + float(np.log(2.0))),
]


@pytest.mark.parametrize("length", [1, 40], ids=["short", "long"])
@pytest.mark.parametrize(
    ("name", "values", "expected"),
    SPECIAL_REDUCTIONS,
    ids=[f"{name}-{i}" for i, (name, _, _) in enumerate(SPECIAL_REDUCTIONS)],
)
def test_special_reductions(name: str, values: list[float], expected: float, length: int) -> None:
    # The long form repeats each case's last value where that changes nothing, to pass through whole vectors.
    if length > 1 and name in ("var", "logsumexp", "mean") and np.isfinite(expected):
        pytest.skip("repeating values changes the result")
    if length > 1 and name == "prod" and np.isfinite(values[-1]):
        pytest.skip("repeating values changes the result")
    extended = np.array(values + [values[-1]] * (length - 1))
    result = getattr(mx, name)(from_numpy(mx, extended, "float32"))
    np.testing.assert_allclose(to_numpy(mx, result).astype(float), expected, rtol=1e-6)


def test_softmax_of_large_logits_is_finite() -> None:
    result = to_numpy(mx, mx.softmax(mx.array([[1000.0, 1000.0], [-1000.0, 0.0]]), axis=-1))
    np.testing.assert_allclose(result, [[0.5, 0.5], [0.0, 1.0]], rtol=1e-6)


def test_softmax_of_infinity_is_nan() -> None:
    assert np.isnan(to_numpy(mx, mx.softmax(mx.array([INFINITY, 1.0]))))[0]


def test_nan_to_num_defaults_are_the_limits_of_the_dtype() -> None:
    for dtype in ("float16", "float32"):
        result = to_numpy(mx, mx.nan_to_num(from_numpy(mx, np.array([NAN, INFINITY, -INFINITY, 2.0]), dtype)))
        largest = float(np.finfo(dtype).max)
        np.testing.assert_array_equal(result, [0.0, largest, -largest, 2.0])


def test_long_sums_are_as_accurate_as_pairwise() -> None:
    values = np.random.default_rng(7).uniform(0.0, 1.0, 1_000_003).astype(np.float32)
    exact = float(np.sum(values, dtype=np.float64))
    error = abs(float(to_numpy(mx, mx.sum(mx.array(values)))) - exact)
    # Pairwise summation's bound is about log2(n) * eps; real errors are far smaller.
    assert error <= 8 * 2.0**-24 * exact


def test_sum_of_float16_accumulates_in_float32() -> None:
    result = mx.sum(mx.ones((4000,), mx.float16))
    assert float(to_numpy(mx, result)) == 4000.0


def test_rows_that_evaluate_together_agree() -> None:
    """Several rows' graphs in one evaluation: common inputs, several outputs, one plan."""
    names = ["exp", "sin", "add", "multiply", "sum", "softmax", "transpose", "matmul"]
    outputs: list[Any] = []
    expected: list[tuple[OpCase, Any]] = []
    for name in names:
        case = CASES_BY_NAME[name]
        variant = case.variants[0]
        values = case.sample(variant, "float32")
        outputs.append(apply(mx, case, make_inputs(mx, case, values, "float32"), variant.options, "float32"))
        expected.append((case, case.expected(values, variant.options)))
    mx.eval(outputs)
    for output, (case, reference) in zip(outputs, expected, strict=True):
        check_outputs(mx, case, output, reference, "float32")
