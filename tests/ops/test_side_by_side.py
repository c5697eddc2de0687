"""Every row in Tarry and in the real MLX wheel: dtypes, shapes and values of results and of gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tarry.core as mx
from oracle import dtype_name, mlx, requires_oracle, to_numpy

from .harness import Problem, apply, main_parameters, make_inputs, variant_parameters
from .op_case import OpCase, Variant

pytestmark = requires_oracle

# MLX's own error, mostly: its exp is good to 4e-6, and half-precision composites round at every step.
RTOL = {"float16": 6e-3, "bfloat16": 5e-2, "float32": 1e-5, "float64": 1e-5, "complex64": 2e-5}


def assert_same_results(ours: Any, theirs: Any, label: str, values: bool = True) -> None:
    """Equal structure and dtypes; with `values` close values, NaN and infinities in the same places."""
    assert len(ours) == len(theirs)
    for mine, reference in zip(ours, theirs, strict=True):
        assert dtype_name(mine) == dtype_name(reference), label
        assert tuple(mine.shape) == tuple(reference.shape), label
        if not values:
            continue
        actual, expected = to_numpy(mx, mine), to_numpy(mlx, reference)
        name = dtype_name(reference)
        if name in RTOL:
            finite = np.abs(expected[np.isfinite(expected)])
            scale = max(1e-6, float(finite.max(initial=0.0)))
            np.testing.assert_allclose(
                actual, expected, rtol=RTOL[name], atol=RTOL[name] * scale, err_msg=label
            )
        else:
            np.testing.assert_array_equal(actual, expected, err_msg=label)


def both(case: OpCase, dtype: str, variant: Variant) -> tuple[Any, Any]:
    values = case.sample(variant, dtype)
    results = []
    for module in (mx, mlx):
        inputs = make_inputs(module, case, values, dtype)
        results.append(apply(module, case, inputs, variant.options, dtype))
    return results[0], results[1]


@pytest.mark.parametrize(("case", "dtype"), main_parameters())
def test_values_and_dtypes(case: OpCase, dtype: str) -> None:
    if dtype not in case.oracle_dtypes:
        pytest.skip("MLX does not define this dtype")
    assert_same_results(*both(case, dtype, case.variants[0]), label=f"{case.name}-{dtype}")


@pytest.mark.parametrize(("case", "dtype", "variant"), variant_parameters(first=1))
def test_variants(case: OpCase, dtype: str, variant: Variant) -> None:
    if dtype not in case.oracle_dtypes:
        pytest.skip("MLX does not define this dtype")
    # The wheel sometimes loops for ever on reductions of nothing, so it is not asked for their values.
    filled = all(0 not in shape for shape in variant.shapes)
    assert_same_results(*both(case, dtype, variant), label=f"{case.name}-{variant}", values=filled)


@pytest.mark.parametrize(
    ("case", "dtype", "variant"),
    variant_parameters(
        ("float32",), keep=lambda case: bool(case.differentiable) and case.oracle_gradients, most=2
    ),
)
def test_gradients(case: OpCase, dtype: str, variant: Variant) -> None:
    results = []
    for module in (mx, mlx):
        problem = Problem(module, case, variant, dtype)
        primals = problem.arrays(problem.primal_values)
        results.append(module.vjp(problem.function, primals, problem.arrays(problem.cotangents))[1])
    assert_same_results(*results, label=f"gradient of {case.name}")
