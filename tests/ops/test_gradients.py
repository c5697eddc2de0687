"""Derivatives of every differentiable row: against finite differences, jvp against vjp, and second
derivatives.
"""

from __future__ import annotations

import numpy as np
import pytest

import tarry.core as mx
from oracle import dtype_name, from_numpy, to_numpy

from .harness import Problem, inner_product, variant_parameters
from .op_case import OpCase, Variant
from .op_cases import OP_CASES

# Central differences in float64 leave an error of about step**2 plus epsilon / step.
FIRST_ORDER = {"rtol": 2e-6, "atol": 2e-7}
SECOND_ORDER = {"rtol": 1e-5, "atol": 1e-5, "step": 1e-5}


def differentiable(case: OpCase) -> bool:
    return bool(case.differentiable) and "float64" in case.dtypes


@pytest.mark.parametrize(("case", "dtype", "variant"), variant_parameters(("float64",), keep=differentiable))
def test_first_derivatives(case: OpCase, dtype: str, variant: Variant) -> None:
    problem = Problem(mx, case, variant)
    primals = problem.arrays(problem.primal_values)
    cotangents = problem.arrays(problem.cotangents)
    outputs, gradients = mx.vjp(problem.function, primals, cotangents)
    assert len(outputs) == len(problem.expected)
    for gradient, value in zip(gradients, problem.primal_values, strict=True):
        assert tuple(gradient.shape) == value.shape
        assert dtype_name(gradient) == "float64"
    _, tangents = mx.jvp(problem.function, primals, problem.arrays(problem.directions))
    if not all(np.isfinite(part).all() for part in problem.expected):
        return  # the mean of nothing: there is no derivative to compare with
    expected = problem.reference_derivative()
    # Differences of large outputs carry the outputs' own roundings.
    magnitude = max(float(np.abs(part).max(initial=0.0)) for part in problem.expected)
    computed = [to_numpy(mx, tangent) for tangent in tangents]
    for actual, reference in zip(computed, expected, strict=True):
        scale = max(1.0, float(np.abs(reference).max(initial=0.0)), magnitude)
        np.testing.assert_allclose(
            actual,
            reference,
            rtol=FIRST_ORDER["rtol"],
            atol=FIRST_ORDER["atol"] * scale,
            err_msg=f"jvp of {case}",
        )
    forward = inner_product(problem.cotangents, computed)
    backward = inner_product([to_numpy(mx, gradient) for gradient in gradients], problem.directions)
    by_differences = inner_product(problem.cotangents, expected)
    np.testing.assert_allclose(backward, by_differences, rtol=1e-5, atol=1e-6, err_msg=f"vjp of {case}")
    scale = max(1.0, abs(forward))
    np.testing.assert_allclose(
        backward, forward, rtol=1e-9, atol=1e-10 * scale, err_msg=f"jvp = vjp of {case}"
    )


@pytest.mark.parametrize(
    ("case", "dtype", "variant"),
    variant_parameters(("float64",), keep=lambda case: differentiable(case) and case.smooth, most=2),
)
def test_second_derivatives(case: OpCase, dtype: str, variant: Variant) -> None:
    """Reverse over reverse and forward over reverse, against differences of the first gradient."""
    problem = Problem(mx, case, variant)
    positions = list(range(len(problem.primal_values)))
    gradient = mx.grad(problem.scalar, argnums=positions)
    directions = problem.arrays(problem.directions)

    def gradients(*primals: mx.array) -> list[mx.array]:
        result = gradient(*primals)
        return list(result) if isinstance(result, (list, tuple)) else [result]

    def slope(*primals: mx.array) -> mx.array:
        """The scalar's derivative along `directions`."""
        total = mx.array(0.0, dtype=mx.float64)
        for part, direction in zip(gradients(*primals), directions, strict=True):
            total = total + mx.sum(part * direction)
        return total

    primals = problem.arrays(problem.primal_values)
    second = mx.grad(slope, argnums=positions)(*primals)
    second = list(second) if isinstance(second, (list, tuple)) else [second]
    reverse = inner_product([to_numpy(mx, part) for part in second], problem.other_directions)
    _, tangents = mx.jvp(gradients, primals, problem.arrays(problem.other_directions))
    forward = inner_product(problem.directions, [to_numpy(mx, tangent) for tangent in tangents])

    step = SECOND_ORDER["step"]
    shifted = []
    for signed_step in (step, -step):
        moved = [x + signed_step * t for x, t in zip(problem.primal_values, problem.other_directions)]
        shifted.append(float(to_numpy(mx, slope(*problem.arrays(moved)))))
    expected = (shifted[0] - shifted[1]) / (2.0 * step)
    tolerance = {"rtol": SECOND_ORDER["rtol"], "atol": SECOND_ORDER["atol"] * max(1.0, abs(shifted[0]))}
    np.testing.assert_allclose(reverse, expected, **tolerance, err_msg=f"grad of grad of {case}")
    np.testing.assert_allclose(forward, expected, **tolerance, err_msg=f"jvp of grad of {case}")


@pytest.mark.parametrize("case", [case for case in OP_CASES if case.differentiable], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_gradients_keep_the_dtype_of_the_primal(case: OpCase, dtype: str) -> None:
    problem = Problem(mx, case, case.variants[0], dtype)
    _, gradients = mx.vjp(
        problem.function, problem.arrays(problem.primal_values), problem.arrays(problem.cotangents)
    )
    for gradient, value in zip(gradients, problem.primal_values, strict=True):
        assert dtype_name(gradient) == dtype
        assert tuple(gradient.shape) == value.shape


def gradient_at(function: object, *values: float) -> float:
    return float(to_numpy(mx, mx.grad(function)(*[mx.array(value) for value in values])))


INFINITY = float("inf")
CONVENTIONS = {
    "abs at 0": (lambda x: mx.abs(x), [0.0], 0.0),
    "sqrt at 0": (lambda x: mx.sqrt(x), [0.0], INFINITY),
    "maximum tie, first": (lambda a, b: mx.maximum(a, b), [1.0, 1.0], 0.0),
    "maximum tie, second": (lambda b, a: mx.maximum(a, b), [1.0, 1.0], 1.0),
    "minimum tie, first": (lambda a, b: mx.minimum(a, b), [1.0, 1.0], 0.0),
    "minimum tie, second": (lambda b, a: mx.minimum(a, b), [1.0, 1.0], 1.0),
    "sign": (lambda x: mx.sign(x), [0.7], 0.0),
    "round": (lambda x: mx.round(x), [0.7], 0.0),
    "floor_divide": (lambda x: x // 2.0, [3.3], 0.0),
    "remainder by the divisor": (lambda b: 5.5 % b, [2.0], -2.0),
    "stop_gradient": (lambda x: mx.stop_gradient(x) * x, [3.0], 3.0),
    "comparison": (lambda x: (x > 1.0).astype(mx.float32) * x, [2.0], 1.0),
    "masked square root": (lambda x: mx.where(x > 0, mx.sqrt(x), 0.0), [4.0], 0.25),
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_conventions(name: str) -> None:
    function, values, expected = CONVENTIONS[name]
    assert gradient_at(function, *values) == expected


def test_ties_in_max_share_the_gradient() -> None:
    gradient = mx.grad(lambda x: mx.max(x))(mx.array([1.0, 3.0, 3.0, 0.0]))
    np.testing.assert_allclose(to_numpy(mx, gradient), [0.0, 0.5, 0.5, 0.0])


@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_gradient_of_prod_with_zeros(zeros: int) -> None:
    values = np.array([2.0, 3.0, 5.0, 7.0])
    values[:zeros] = 0.0
    expected = [np.prod(np.delete(values, i)) for i in range(4)]
    gradient = mx.grad(lambda x: mx.prod(x))(mx.array(values.astype(np.float32)))
    np.testing.assert_allclose(to_numpy(mx, gradient), expected)


def test_duplicate_indices_accumulate_in_the_gradient() -> None:
    indices = mx.array([1, 1, -1, 1])
    gradient = mx.grad(lambda x: mx.sum(mx.take(x, indices) * mx.array([1.0, 2.0, 4.0, 8.0])))(mx.zeros((3,)))
    np.testing.assert_allclose(to_numpy(mx, gradient), [0.0, 11.0, 4.0])


def test_gradients_of_complex_functions_are_conjugate() -> None:
    point = from_numpy(mx, np.array(2.0 + 1.0j), "complex64")
    square = mx.grad(lambda z: mx.real(z * z))(point)
    magnitude = mx.grad(lambda z: mx.real(z * mx.conjugate(z)))(point)
    np.testing.assert_allclose(to_numpy(mx, square), 4.0 - 2.0j, rtol=1e-6)
    np.testing.assert_allclose(to_numpy(mx, magnitude), 4.0 + 2.0j, rtol=1e-6)


def test_integer_primals_have_integer_gradients() -> None:
    gradient = mx.grad(lambda x: mx.sum(x * x))(mx.array([3, -2]))
    assert dtype_name(gradient) == "int32"
    np.testing.assert_array_equal(to_numpy(mx, gradient), [6, -4])


def test_gradient_through_a_cast_comes_back_in_the_primal_dtype() -> None:
    weights = from_numpy(mx, np.array([1.5, -2.0, 0.25]), "float32")
    gradient = mx.grad(lambda x: mx.sum(x.astype(mx.float32) * weights))(
        from_numpy(mx, np.ones(3), "float16")
    )
    assert dtype_name(gradient) == "float16"
    np.testing.assert_array_equal(to_numpy(mx, gradient), [1.5, -2.0, 0.25])


def test_gradients_pass_through_integer_casts_but_not_booleans() -> None:
    """As in MLX: a cast hands the cotangent on, itself cast (2.5 becomes 2); a comparison does not."""
    assert gradient_at(lambda x: x.astype(mx.int32).astype(mx.float32) * x, 2.5) == 4.0
    assert gradient_at(lambda x: (x > 1.0).astype(mx.float32) * 3.5, 2.5) == 0.0


def test_unused_inputs_have_zero_gradients() -> None:
    gradients = mx.grad(lambda a, b: mx.sum(a * a), argnums=(0, 1))(mx.ones((2,)), mx.ones((3, 1)))
    np.testing.assert_array_equal(to_numpy(mx, gradients[1]), np.zeros((3, 1)))
