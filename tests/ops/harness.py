"""What the tests of the op table share: running a row, special inputs, lists of parameters, finite
differences.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from oracle import BOOL, INTEGERS, as_list, assert_close, dtype_name, dtype_of, from_numpy, round_to, to_numpy

from .op_case import OpCase, Variant
from .op_cases import OP_CASES


def make_inputs(module: Any, case: OpCase, values: Sequence[np.ndarray], dtype: str) -> list[Any]:
    """The framework's arrays for a row's input values."""
    return [from_numpy(module, value, case.dtype_of_input(i, dtype)) for i, value in enumerate(values)]


def apply(module: Any, case: OpCase, arrays: Sequence[Any], options: dict[str, Any], dtype: str) -> list[Any]:
    """The row's op on arrays of the framework, as a list of outputs."""
    if case.creates:
        options = {**options, "dtype": dtype_of(module, dtype)}
    return as_list(case.function(module, *arrays, **options))


def check_outputs(
    module: Any, case: OpCase, outputs: Sequence[Any], expected: Sequence[np.ndarray], dtype: str
) -> None:
    """Compare evaluated outputs with the reference at the row's tolerance."""
    assert len(outputs) == len(expected), f"{len(outputs)} outputs, expected {len(expected)}"
    # Complex arithmetic is several real operations: its parts do not keep the real tolerance.
    ulps = max(case.ulps, 16.0) if dtype == "complex64" and case.ulps > 0 else case.ulps
    for output, reference in zip(outputs, expected, strict=True):
        actual = to_numpy(module, output)
        name = dtype_name(output)
        assert tuple(output.shape) == actual.shape
        assert_close(actual, reference, name, ulps=ulps, absolute=case.absolute, label=f"{case.name}-{dtype}")


def row_id(case: OpCase, dtype: str, *rest: Any) -> str:
    return "-".join([case.name, dtype, *map(str, rest)])


def main_parameters(cases: Iterable[OpCase] = OP_CASES) -> list[Any]:
    """(case, dtype) for every dtype of every row."""
    return [pytest.param(case, dtype, id=row_id(case, dtype)) for case in cases for dtype in case.dtypes]


def variant_parameters(
    dtypes: Sequence[str] = ("float32", "int32"),
    *,
    keep: Callable[[OpCase], bool] = lambda case: True,
    first: int = 0,
    most: int = 1000,
) -> list[Any]:
    """(case, dtype, variant) for a few dtypes and the variants from `first` on, at most `most` of them."""
    parameters = []
    for case in OP_CASES:
        if not keep(case):
            continue
        names = [name for name in dtypes if name in case.dtypes] or list(case.dtypes[:1])
        for dtype in names:
            for variant in case.variants[first : first + most]:
                parameters.append(pytest.param(case, dtype, variant, id=row_id(case, dtype, variant)))
    return parameters


def integer_extremes(dtype: str) -> np.ndarray:
    """Small integers of both signs and the ends of the dtype's range."""
    limits = np.iinfo(dtype)
    candidates = [0, 1, 2, 7, -1, -7, int(limits.min), int(limits.min) + 1, int(limits.max)]
    return np.array([value for value in candidates if limits.min <= value <= limits.max], dtype=dtype)


def special_values(case: OpCase, dtype: str) -> list[np.ndarray] | None:
    """The row's special inputs in `dtype`: one vector, or all pairs; None if it has none for this dtype."""
    if dtype in BOOL or dtype == "complex64" or any(draw.dtype for draw in case.draws):
        return None
    if dtype in INTEGERS:
        if not case.integer_specials:
            return None
        values = integer_extremes(dtype)
    else:
        if not case.specials:
            return None
        values = round_to(np.array(case.specials), dtype)
    if len(case.draws) == 1:
        return [values]
    if len(case.draws) == 2:
        return [np.repeat(values, values.size), np.tile(values, values.size)]
    return None


def special_parameters(dtypes: Sequence[str]) -> list[Any]:
    """(case, dtype) wherever a row has special values."""
    return [
        pytest.param(case, dtype, id=row_id(case, dtype))
        for case in OP_CASES
        for dtype in dtypes
        if dtype in case.dtypes and special_values(case, dtype) is not None
    ]


def transposed(module: Any, value: np.ndarray, dtype: str) -> Any:
    """The values as a lazy transpose of an array that holds them the other way around."""
    return module.transpose(from_numpy(module, value.T, dtype))


def strided(module: Any, value: np.ndarray, dtype: str) -> Any:
    """The values as an evaluated slice that skips every second element of each axis."""
    holder = np.ones([2 * size for size in value.shape], dtype=value.dtype)
    item = tuple(slice(None, None, 2) for _ in value.shape)
    holder[item] = value
    result = from_numpy(module, holder, dtype)[item]
    module.eval(result)
    return result


def reversed_order(module: Any, value: np.ndarray, dtype: str) -> Any:
    """The values as a lazy slice with step -1 along every axis."""
    item = tuple(slice(None, None, -1) for _ in value.shape)
    return from_numpy(module, value[item], dtype)[item]


def offset(module: Any, value: np.ndarray, dtype: str) -> Any:
    """The values as an evaluated slice out of the middle of a larger array."""
    holder = np.pad(value, 1)
    item = tuple(slice(1, -1) for _ in value.shape)
    result = from_numpy(module, holder, dtype)[item]
    module.eval(result)
    return result


LAYOUTS = (transposed, strided, reversed_order, offset)


def in_axes_combinations(shapes: Sequence[tuple[int, ...]]) -> list[tuple[int | None, ...]]:
    """Every choice of a mapped axis (or none) for each input; beyond two inputs only first, last and none."""
    choices: list[list[int | None]] = []
    for shape in shapes:
        positions = list(range(len(shape) + 1))
        if len(shapes) > 2:
            positions = sorted({0, len(shape)})
        choices.append([None, *positions])
    return [axes for axes in itertools.product(*choices) if any(axis is not None for axis in axes)]


class Problem:
    """A differentiable function made from a row: fixed inputs filled in, the rest are the primals (in
    float64).
    """

    def __init__(self, module: Any, case: OpCase, variant: Variant, dtype: str = "float64") -> None:
        self.module = module
        self.case = case
        self.options = variant.options
        self.dtype = dtype
        self.values = case.sample(variant, dtype)
        directions = case.sample(variant, dtype, "direction")
        others = case.sample(variant, dtype, "other direction")
        self.primal_values = [self.values[i] for i in case.differentiable]
        # Centred, so that positive draws give directions of both signs.
        self.directions = [centred(directions[i]) for i in case.differentiable]
        self.other_directions = [centred(others[i]) for i in case.differentiable]
        self.expected = self.reference(self.primal_values)
        random = np.random.default_rng(len(self.expected) + sum(part.size for part in self.expected))
        self.cotangents = [round_to(random.uniform(-1, 1, part.shape), dtype) for part in self.expected]

    def arrays(self, values: Sequence[np.ndarray]) -> list[Any]:
        return [from_numpy(self.module, value, self.dtype) for value in values]

    def function(self, *primals: Any) -> list[Any]:
        """The row's op as a function of the primals alone."""
        inputs = make_inputs(self.module, self.case, self.values, self.dtype)
        for position, primal in zip(self.case.differentiable, primals, strict=True):
            inputs[position] = primal
        return apply(self.module, self.case, inputs, self.options, self.dtype)

    def scalar(self, *primals: Any) -> Any:
        """A scalar with a curved dependence on every output: sum(cotangent * (output + output**2))."""
        total: Any = self.module.array(0.0, dtype=dtype_of(self.module, self.dtype))
        for output, cotangent in zip(self.function(*primals), self.arrays(self.cotangents), strict=True):
            total = total + self.module.sum(cotangent * (output + output * output))
        return total

    def reference(self, primal_values: Sequence[np.ndarray]) -> list[np.ndarray]:
        values = list(self.values)
        for position, value in zip(self.case.differentiable, primal_values, strict=True):
            values[position] = value
        return self.case.expected(values, self.options)

    def reference_derivative(self, step: float = 1e-6) -> list[np.ndarray]:
        """The outputs' derivative along `directions`, by central differences of the NumPy reference."""
        above = self.reference([x + step * t for x, t in zip(self.primal_values, self.directions)])
        below = self.reference([x - step * t for x, t in zip(self.primal_values, self.directions)])
        return [(high - low) / (2.0 * step) for high, low in zip(above, below, strict=True)]


def centred(values: np.ndarray) -> np.ndarray:
    """Values minus their mean; a single value stays, so that the direction is not zero."""
    return values - values.mean() if values.size > 1 else values


def inner_product(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> float:
    """The sum over all arrays of the products of their elements."""
    return float(sum(np.sum(a * b) for a, b in zip(first, second, strict=True)))
