"""vmap of every row against a loop over slices, for every choice of mapped axes; vmap and grad nested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import tarry.core as mx
from oracle import EPSILON, INEXACT, as_list, dtype_name, from_numpy, to_numpy

from .harness import Problem, apply, in_axes_combinations, make_inputs, variant_parameters
from .op_case import OpCase, Variant

BATCH = 3


def draw_slices(case: OpCase, variant: Variant, dtype: str) -> list[np.ndarray]:
    """For each input, BATCH different draws stacked along a new first axis."""
    slices = [case.sample(variant, dtype, f"slice {i}") for i in range(BATCH)]
    return [np.stack([one[position] for one in slices]) for position in range(len(case.draws))]


def run_loop(
    case: OpCase, variant: Variant, dtype: str, stacked: Sequence[np.ndarray], mapped: Sequence[bool]
) -> list:
    """The outputs for each slice in turn, stacked along a new first axis; inputs not mapped keep their slice
    0.
    """
    rows = []
    for i in range(BATCH):
        values = [
            values[i] if is_mapped else values[0] for values, is_mapped in zip(stacked, mapped, strict=True)
        ]
        outputs = apply(mx, case, make_inputs(mx, case, values, dtype), variant.options, dtype)
        rows.append([to_numpy(mx, output) for output in outputs])
    return [np.stack(parts) for parts in zip(*rows, strict=True)]


def assert_same(actual: Any, expected: np.ndarray, label: str) -> None:
    """Equal but for roundings: a fused kernel may contract or reassociate differently."""
    name = dtype_name(actual)
    result = to_numpy(mx, actual)
    assert result.shape == expected.shape, f"{label}: shape {result.shape}, the loop gives {expected.shape}"
    if name in INEXACT:
        tolerance = 32 * EPSILON[name]
        np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance, err_msg=label)
    else:
        np.testing.assert_array_equal(result, expected, err_msg=label)


def mappable(case: OpCase) -> bool:
    return case.mapped


@pytest.mark.parametrize(
    ("case", "dtype", "variant"), variant_parameters(("float32",), keep=mappable, most=4)
)
def test_vmap_is_a_loop(case: OpCase, dtype: str, variant: Variant) -> None:
    stacked = draw_slices(case, variant, dtype)
    loops: dict[tuple[bool, ...], list[np.ndarray]] = {}

    def function(*arrays: mx.array) -> Any:
        outputs = apply(mx, case, arrays, variant.options, dtype)
        return outputs[0] if len(outputs) == 1 else outputs

    combinations = in_axes_combinations(variant.shapes)
    for axes in combinations:
        mapped = tuple(axis is not None for axis in axes)
        if mapped not in loops:
            loops[mapped] = run_loop(case, variant, dtype, stacked, mapped)
        values = [
            values[0] if axis is None else np.moveaxis(values, 0, axis)
            for values, axis in zip(stacked, axes, strict=True)
        ]
        inputs = make_inputs(mx, case, values, dtype)
        # The last combination also moves the mapped axis of the results to the end.
        out_axes = -1 if axes == combinations[-1] else 0
        in_axes = axes[0] if len(axes) == 1 else axes
        outputs = as_list(mx.vmap(function, in_axes=in_axes, out_axes=out_axes)(*inputs))
        for output, expected in zip(outputs, loops[mapped], strict=True):
            assert_same(output, np.moveaxis(expected, 0, out_axes), f"{case.name} in_axes={axes}")


def differentiable(case: OpCase) -> bool:
    return bool(case.differentiable) and "float64" in case.dtypes


@pytest.mark.parametrize(
    ("case", "dtype", "variant"), variant_parameters(("float64",), keep=differentiable, most=1)
)
def test_vmap_and_grad_nest(case: OpCase, dtype: str, variant: Variant) -> None:
    """vmap(grad(f)), grad(sum of vmap(f)) and a loop over grad(f) are the same."""
    problem = Problem(mx, case, variant)
    stacked = draw_slices(case, variant, dtype)
    primals = [from_numpy(mx, stacked[i], dtype) for i in case.differentiable]
    positions = list(range(len(primals)))
    gradient = mx.grad(problem.scalar, argnums=positions)
    loop = [as_list(gradient(*[primal[i] for primal in primals])) for i in range(BATCH)]
    expected = [np.stack([to_numpy(mx, part) for part in parts]) for parts in zip(*loop, strict=True)]
    inside = as_list(mx.vmap(gradient)(*primals))
    outside = as_list(
        mx.grad(lambda *arrays: mx.sum(mx.vmap(problem.scalar)(*arrays)), argnums=positions)(*primals)
    )
    for results, label in ((inside, "vmap(grad)"), (outside, "grad(vmap)")):
        for result, reference in zip(results, expected, strict=True):
            actual = to_numpy(mx, result)
            assert actual.shape == reference.shape
            np.testing.assert_allclose(
                actual, reference, rtol=1e-10, atol=1e-10, err_msg=f"{label} of {case}"
            )


def test_vmap_of_vmap() -> None:
    a = np.random.default_rng(1).uniform(-1, 1, (2, 3, 5)).astype(np.float32)
    b = np.random.default_rng(2).uniform(-1, 1, (4, 5)).astype(np.float32)
    pairs = mx.vmap(mx.vmap(lambda x, y: mx.sum(x * y), in_axes=(None, 0)), in_axes=(0, None))
    outputs = mx.vmap(pairs, in_axes=(1, None), out_axes=2)(mx.array(a), mx.array(b))
    np.testing.assert_allclose(to_numpy(mx, outputs), np.einsum("ijk,lk->ilj", a, b), rtol=1e-5, atol=1e-6)


def test_hessian_by_vmap_of_jvp_of_grad() -> None:
    point = mx.array(np.array([0.3, -0.7, 1.1]), dtype=mx.float64)
    gradient = mx.grad(lambda x: mx.sum(x * x * x) + x[0] * x[1] * x[2])

    def product(direction: mx.array) -> mx.array:
        return mx.jvp(gradient, [point], [direction])[1][0]

    hessian = to_numpy(mx, mx.vmap(product)(mx.eye(3, dtype=mx.float64)))
    x = np.array([0.3, -0.7, 1.1])
    off = np.array([[0, x[2], x[1]], [x[2], 0, x[0]], [x[1], x[0], 0]])
    np.testing.assert_allclose(hessian, np.diag(6 * x) + off, rtol=1e-12)
