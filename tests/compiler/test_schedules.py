"""Schedules: columns, transposed tiles and scattered rows at sizes around every block and strip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tarry.core as mx
from tarry.tools.explain import explain_levels

RANDOM = np.random.default_rng(0)
SHAPES = [(1, 1), (2, 3), (7, 64), (8, 65), (9, 31), (17, 130), (33, 520), (100, 3), (40, 1100)]
COLUMNS: dict[str, tuple[Callable[[mx.array], mx.array], Callable[[Any], Any]]] = {
    "sum": (lambda x: mx.sum(x, axis=0), lambda x: x.sum(0)),
    "max": (lambda x: mx.max(x, axis=0), lambda x: x.max(0)),
    "argmin": (lambda x: mx.argmin(x, axis=0), lambda x: x.argmin(0)),
    "var": (lambda x: mx.var(x, axis=0), lambda x: x.var(0)),
    "softmax": (lambda x: mx.softmax(x, axis=0), lambda x: np.exp(x) / np.exp(x).sum(0)),
    "normalised": (
        lambda x: (x - mx.mean(x, axis=0)) * mx.rsqrt(mx.var(x, axis=0) + 1.0),
        lambda x: (x - x.mean(0)) / np.sqrt(x.var(0) + 1.0),
    ),
    "of_transposed": (lambda x: mx.sum(x.T * 2.0, axis=1), lambda x: (x.T * 2.0).sum(1)),
}


def close(found: mx.array, expected: Any, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(np.array(found), expected, tolerance, tolerance)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", list(COLUMNS))
def test_columns(name: str, shape: tuple[int, int]) -> None:
    function, reference = COLUMNS[name]
    x = RANDOM.normal(size=shape).astype(np.float32)
    close(function(mx.array(x)), reference(x.astype(np.float64)))


@pytest.mark.parametrize("dtype", ["float16", "int32", "uint8", "bool"])
def test_columns_of_other_dtypes(dtype: str) -> None:
    x = RANDOM.integers(0, 5, (37, 70)).astype(dtype)
    close(mx.sum(mx.array(x), axis=0), x.astype(np.int64).sum(0))
    close(mx.max(mx.array(x), axis=0), x.max(0))


def test_columns_inside_outer_axes() -> None:
    x = RANDOM.normal(size=(3, 19, 2, 66)).astype(np.float32)
    close(mx.sum(mx.array(x), axis=1), x.sum(1))
    close(mx.sum(mx.array(x), axis=(0, 2)), x.sum((0, 2)))
    close(mx.logsumexp(mx.array(x), axis=1), np.log(np.exp(x).sum(1)))


def test_a_sum_of_columns_is_as_good_as_one_in_double_precision() -> None:
    x = (RANDOM.normal(size=(20000, 5)) + 1000.0).astype(np.float32)
    close(mx.sum(mx.array(x), axis=0), x.astype(np.float64).sum(0), 2e-7)


# Sizes around those at which rows are cut into parts, and few columns are taken side by side.
PARTED = [
    (4096, 1024), (4097, 1000), (130, 1025), (513, 64), (512, 64), (511, 64), (600, 65), (40003, 3),
    (32768, 1), (32767, 1), (70001, 1), (2, 5000, 7), (17, 4000, 9), (16, 4000, 9), (3, 300, 300),
    (0, 3), (5, 0),
]  # fmt: skip


@pytest.mark.parametrize("shape", PARTED, ids=str)
def test_rows_in_parts(shape: tuple[int, ...]) -> None:
    x = RANDOM.normal(size=shape).astype(np.float32) + 1
    array, axis = mx.array(x), len(shape) - 2
    wide = x.astype(np.float64)
    close(mx.sum(array, axis=axis), wide.sum(axis), 2e-6)
    if x.size:
        close(mx.mean(array * array, axis=axis) - 1.0, (wide * wide).mean(axis) - 1.0, 2e-6)
        np.testing.assert_array_equal(np.array(mx.max(array, axis=axis)), x.max(axis))
        np.testing.assert_array_equal(np.array(mx.argmax(array, axis=axis)), x.argmax(axis))
    integers = (x * 10).astype(np.int32)
    np.testing.assert_array_equal(np.array(mx.sum(mx.array(integers), axis=axis)), integers.sum(axis))


@pytest.mark.parametrize("shape", [(4097, 100), (30001, 5)], ids=str)
def test_rows_in_parts_with_other_results(shape: tuple[int, int]) -> None:
    x = RANDOM.normal(size=shape).astype(np.float32)
    y = RANDOM.normal(size=shape[1]).astype(np.float32)
    double, wide = mx.array(x) * mx.array(y), x.astype(np.float64)
    total, least = mx.sum(double, axis=0), mx.min(double, axis=0)
    scaled = total * mx.array(y) + least
    mx.eval(double, total, least, scaled)
    np.testing.assert_array_equal(np.array(double), x * y)
    np.testing.assert_array_equal(np.array(least), (x * y).min(0))
    close(total, (wide * y).sum(0), 1e-4)
    close(scaled, (wide * y).sum(0) * y + (x * y).min(0), 1e-4)
    rows = mx.array(x)[1:, 1:]  # which do not lie one after the other
    close(mx.sum(rows, axis=0), wide[1:, 1:].sum(0), 1e-4)
    one, other = mx.sum(mx.array(x).T[1:], axis=1), mx.sum(mx.array(x) + mx.array(y), axis=0)
    close(one, wide.T[1:].sum(1), 1e-4)
    close(other, (wide + y).sum(0), 1e-4)


def test_a_long_sum_of_few_columns_is_as_good_as_one_in_double_precision() -> None:
    for shape in ((300001, 3), (5000, 200), (65537, 64)):
        x = (RANDOM.normal(size=shape) + 1000.0).astype(np.float32)
        close(mx.sum(mx.array(x), axis=0), x.astype(np.float64).sum(0), 2e-7)


def test_rows_in_parts_that_overflow_are_infinite() -> None:
    for shape in ((70000, 3), (4000, 100)):
        x = np.full(shape, 3e38, np.float32)
        assert np.array(mx.sum(mx.array(x), axis=0)).tolist() == [np.inf] * shape[1]


def test_a_sum_of_columns_that_overflows_is_infinite() -> None:
    x = np.full((40, 3), 3e38, np.float32)
    assert np.array(mx.sum(mx.array(x), axis=0)).tolist() == [np.inf] * 3


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "bool", "int64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_transposed_operands(shape: tuple[int, int], dtype: str) -> None:
    x = RANDOM.integers(0, 2, shape).astype(dtype)
    y = RANDOM.integers(0, 2, shape[::-1]).astype(dtype)
    assert np.array_equal(np.array(mx.maximum(mx.array(x).T, mx.array(y))), np.maximum(x.T, y))


def test_transposed_axes_among_others() -> None:
    x = RANDOM.normal(size=(3, 18, 5, 70)).astype(np.float32)
    close(mx.array(x).transpose(0, 3, 2, 1) + 1.0, x.transpose(0, 3, 2, 1) + 1.0)
    close(mx.array(x).transpose(3, 1, 0, 2) + 1.0, x.transpose(3, 1, 0, 2) + 1.0)
    close(mx.sum(mx.array(x).transpose(3, 1, 0, 2) * x.transpose(3, 1, 0, 2)), (x * x).sum(), 1e-4)


@pytest.mark.parametrize("columns", [1, 5, 64, 200])
def test_scattered_rows_with_repeated_indices(columns: int) -> None:
    x = RANDOM.normal(size=(11, columns)).astype(np.float32)
    updates = RANDOM.normal(size=(50, columns)).astype(np.float32)
    index = RANDOM.integers(0, 11, 50).astype(np.int32)
    expected = x.copy()
    np.add.at(expected, index, updates)
    close(mx.array(x).at[mx.array(index)].add(mx.array(updates)), expected)


def nest(function: Callable[[mx.array], mx.array], shape: tuple[int, ...]) -> str:
    return explain_levels(function, mx.zeros(shape))["nest"]


def test_a_costly_value_stays_in_the_output() -> None:
    text = nest(lambda x: mx.softmax(x[::-1], axis=-1), (6, 10))
    assert text.count("= exp ") == 1
    assert "scratch" not in text


def test_a_costly_value_stays_out_of_an_output_that_may_take_its_input_over() -> None:
    text = nest(lambda x: mx.softmax(x, axis=-1), (6, 10))
    assert text.count("= exp ") == 1
    assert "scratch" in text


def test_a_costly_value_without_an_output_stays_in_scratch_memory() -> None:
    text = nest(lambda x: mx.sum(mx.exp(x) * mx.sum(mx.exp(x), axis=1, keepdims=True), axis=1), (6, 10))
    assert text.count("= exp ") == 1
    assert "scratch" in text


def test_a_loop_over_columns_does_not_change_with_the_sizes() -> None:
    small, large = (nest(lambda x: mx.var(x, axis=0), shape) for shape in ((6, 10), (6000, 3000)))
    assert small == large
