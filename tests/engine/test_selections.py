"""Partitions, the largest elements, medians and quantiles: what they give, and that it is always the same.

The plain cases are rows of the op table; tests/core/test_ordering.py has methods of quantiles and errors.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from program_runner import cost_of, run_for_json

import tarry.core as mx

RANDOM = np.random.default_rng(31)
# Lists of 32 are ranked at once; rows are cut into parts from 16384 elements on.
LENGTHS = [1, 2, 7, 8, 31, 32, 33, 65, 200, 1024, 5000, 16383, 16384, 50001]
DTYPES = [
    "bool_", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "bfloat16",
    "float32", "float64", "complex64",
]  # fmt: skip


def ranks_of(length: int) -> list[int]:
    return sorted({0, length // 3, length // 2, max(0, length - 5), length - 1})


def places_of(x: np.ndarray, rank: int) -> np.ndarray:
    """What is less than the element of the rank, then what is equal, then the rest, each kind as it was."""
    order = np.argsort(x, axis=-1, kind="stable")
    ordered = np.take_along_axis(x, order, -1)
    before, after = ordered[..., :-1], ordered[..., 1:]
    # Elements get numbers in ascending order; equal ones, as all NaN are, share one.
    steps = np.zeros(x.shape, np.int64)
    steps[..., 1:] = (before != after) & ~((before != before) & (after != after))
    numbered = np.empty_like(steps)
    np.put_along_axis(numbered, order, np.cumsum(steps, -1), -1)
    chosen = np.take_along_axis(numbered, order[..., rank : rank + 1], -1)
    return np.argsort(np.sign(numbered - chosen), axis=-1, kind="stable")


def assert_selections(x: np.ndarray, dtype: mx.Dtype, rank: int) -> None:
    a = mx.array(x, dtype)
    expected = places_of(x, rank)
    assert np.array_equal(np.array(mx.argpartition(a, rank)), expected)
    nan = x.dtype.kind in "fc"
    kind = mx.float32 if dtype is mx.bfloat16 else dtype
    values = np.array(mx.partition(a, rank).astype(kind))
    assert np.array_equal(values, np.take_along_axis(x, expected, -1), equal_nan=nan)
    largest = np.array(mx.topk(a, x.shape[-1] - rank).astype(kind))
    assert np.array_equal(largest, np.sort(x)[..., rank:], equal_nan=nan)


def numbers(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Numbers of the whole range, of which some are equal; NaN and infinities, but zeros of one sign."""
    if dtype == "bool_":
        return RANDOM.random(shape) < 0.4
    if dtype == "complex64":
        return (RANDOM.integers(-4, 4, shape) + 1j * RANDOM.integers(-9, 9, shape)).astype(np.complex64)
    if "float" not in dtype:
        limits = np.iinfo(dtype)
        x = RANDOM.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
        x[..., ::3] = x[..., :1]
        x[..., ::7] = limits.max
        return x
    x = (RANDOM.standard_normal(shape) * 3).astype(np.float32 if dtype == "bfloat16" else dtype)
    flat = x.reshape(-1)
    flat[::9] = flat[0]
    for start, value in enumerate((np.nan, 0.0, np.inf, -np.inf, -np.nan)):
        flat[start + 2 :: 31] = value
    if dtype == "bfloat16":
        x = (x.view(np.uint32) & 0xFFFF0000).view(np.float32)
    return x


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_every_dtype(dtype: str) -> None:
    for shape in ((3, 33), (2, 700), (1, 20000)):
        x = numbers(shape, dtype)
        for rank in (shape[1] // 3, shape[1] - 5):
            assert_selections(x, getattr(mx, dtype), rank)


@pytest.mark.parametrize("length", LENGTHS)
def test_rows_of_every_length(length: int) -> None:
    x = RANDOM.standard_normal((3, length)).astype(np.float32)
    for rank in ranks_of(length):
        assert_selections(x, mx.float32, rank)


def uneven(case: str, length: int) -> np.ndarray:
    x = RANDOM.standard_normal(length).astype(np.float32)
    if case == "equal":
        x[:] = 2.5
    elif case == "ascending":
        x.sort()
    elif case == "descending":
        x[::-1].sort()
    elif case == "two":
        x[:] = np.where(x > 0.3, -1.0, 1.0)
    elif case == "few":
        x[:] = RANDOM.integers(0, 9, length)
    elif case == "near":
        x[:] = np.float32(1) + x * np.float32(1e-6)
    # What samples see differs from the rest: smaller, or on both sides of it.
    for number in (32, 2048):
        step = max(1, length // number)
        seen = x[step // 2 :: step][:number]
        if case == "hidden":
            seen[:] = -100 - np.arange(seen.size)
        elif case == "between":
            seen[:] = np.linspace(-1000, 1000, seen.size)
    return x


@pytest.mark.parametrize("length", [1000, 40000])
@pytest.mark.parametrize(
    "case", ["equal", "ascending", "descending", "two", "few", "near", "hidden", "between"]
)
def test_uneven_rows(case: str, length: int) -> None:
    """The sample decides about time alone."""
    x = uneven(case, length)
    for rank in ranks_of(length):
        assert_selections(x, mx.float32, rank)


def test_time_is_bounded_where_every_window_holds_most_elements() -> None:
    x = np.zeros(3000, np.int64)
    # Whatever is sampled lies at the ends of what is left: powers of two of both signs.
    x[::2], x[1::2] = 2 ** (np.arange(1500) % 62), -(2 ** (np.arange(1500) % 61))
    for rank in ranks_of(3000):
        assert_selections(x, mx.int64, rank)


def test_axes_and_strides() -> None:
    x = RANDOM.standard_normal((6, 90, 5)).astype(np.float32)
    a = mx.array(x)
    for axis in range(3):
        found = np.array(mx.partition(a, 2, axis=axis))
        expected = np.take_along_axis(np.moveaxis(x, axis, -1), places_of(np.moveaxis(x, axis, -1), 2), -1)
        assert np.array_equal(found, np.moveaxis(expected, -1, axis))
    strided = x[:, ::2].transpose(2, 0, 1)
    found = mx.argpartition(a[:, ::2].transpose(2, 0, 1), 1, axis=1)
    assert np.array_equal(np.array(found), np.moveaxis(places_of(np.moveaxis(strided, 1, -1), 1), -1, 1))
    flat = x.reshape(-1)
    assert np.array_equal(np.array(mx.partition(a, -700, axis=None)), flat[places_of(flat, flat.size - 700)])
    assert np.array_equal(np.array(mx.topk(a * 2, 3, axis=1)), np.sort(x * 2, axis=1)[:, -3:])


def test_rows_without_elements_and_no_rows() -> None:
    assert mx.partition(mx.zeros((0, 100)), 3).shape == (0, 100)
    assert mx.argpartition(mx.zeros((0, 20000)), 3).shape == (0, 20000)
    assert mx.topk(mx.zeros((0, 100)), 3).shape == (0, 3)
    assert mx.topk(mx.ones((2, 100)), 0).shape == (2, 0)
    assert mx.partition(mx.array([[5.0]]), -1).tolist() == [[5.0]]
    assert mx.topk(mx.array([[3, 9]]), 1).tolist() == [[9]]


def test_zeros_of_both_signs() -> None:
    x = np.where(np.arange(300) % 3 == 0, -0.0, 0.0).astype(np.float32)
    x[::7] = -1.0
    signs = np.signbit(np.array(mx.topk(mx.array(x), 220)))
    assert np.array_equal(signs, np.signbit(np.array(mx.sort(mx.array(x)))[80:]))
    assert np.array_equal(np.array(mx.argpartition(mx.array(x), 100)), places_of(x, 100))


@pytest.mark.parametrize("shape", [(40, 301), (3, 300), (20, 40), (1, 30000)])
def test_medians_and_quantiles(shape: tuple[int, int]) -> None:
    x = RANDOM.standard_normal(shape).astype(np.float32)
    a = mx.array(x)
    np.testing.assert_allclose(np.array(mx.median(a, axis=1)), np.median(x, axis=1), rtol=1e-6)
    np.testing.assert_allclose(np.array(mx.median(a)), np.median(x), rtol=1e-6)
    shares = [0.0, 0.01, 0.5, 0.77, 1.0]
    found = mx.quantile(a, shares, axis=1, keepdims=True)
    np.testing.assert_allclose(np.array(found), np.quantile(x, shares, axis=1, keepdims=True), rtol=1e-5)
    x[0, 5] = np.nan
    expected = np.quantile(x, 0.3, axis=1)
    np.testing.assert_allclose(np.array(mx.quantile(mx.array(x), 0.3, axis=1)), expected, rtol=1e-5)
    halves = mx.median(mx.array(x, mx.float16), axis=1)
    assert halves.dtype == mx.float16 and np.isnan(np.array(halves)[0])


@pytest.mark.parametrize("function", [mx.partition, mx.argpartition, mx.topk])
def test_new_ranks_and_sizes_compile_nothing(function: Callable[[mx.array, int], mx.array]) -> None:
    mx.eval(function(mx.random.normal((5, 500)), 40))
    x, y = mx.random.normal((9, 770)), mx.random.normal((1, 20000))
    mx.eval(x, y)
    assert cost_of(lambda: function(x, 41)).new == 0
    reused = cost_of(lambda: function(x, 333))
    assert reused.built == 0 and reused.reused == 1
    assert cost_of(lambda: function(y, 1234)).new == 0


def test_selections_of_one_array_do_not_become_one() -> None:
    x = RANDOM.standard_normal(300).astype(np.float32)
    a = mx.array(x)

    # The ranks of the first are equal, and its plan serves the second.
    for ranks in ((30, 30), (40, 50)):
        found = [mx.partition(a, rank) for rank in ranks]
        mx.eval(found)
        for values, rank in zip(found, ranks):
            assert np.array_equal(np.array(values), x[places_of(x, rank)])


def test_gradients_go_back_to_the_places() -> None:
    x = RANDOM.standard_normal((3, 100)).astype(np.float32)
    a, order = mx.array(x), np.argsort(x, axis=-1)
    weights = np.arange(100, dtype=np.float32)

    gradient = mx.grad(lambda a: mx.sum(mx.partition(a, 20) * mx.array(weights)))(a)
    expected = np.empty_like(x)
    np.put_along_axis(expected, places_of(x, 20), np.broadcast_to(weights, x.shape), -1)
    assert np.array_equal(np.array(gradient), expected)

    expected = np.zeros_like(x)
    np.put_along_axis(expected, order[:, -7:], np.broadcast_to(weights[:7], (3, 7)), -1)
    gradient = mx.grad(lambda a: mx.sum(mx.topk(a, 7) * mx.array(weights[:7])))(a)
    assert np.array_equal(np.array(gradient), expected)

    second = mx.grad(lambda a: mx.sum(mx.grad(lambda b: mx.sum(mx.topk(b, 7) ** 3))(a)))(a)
    largest = np.zeros_like(x)
    np.put_along_axis(largest, order[:, -7:], 1.0, -1)
    np.testing.assert_allclose(np.array(second), 6 * x * largest, rtol=1e-6)

    expected = np.zeros_like(x)
    np.put_along_axis(expected, order[:, 49:51], 0.5, -1)
    assert np.array_equal(np.array(mx.grad(lambda a: mx.sum(mx.median(a, axis=1)))(a)), expected)
    _, tangents = mx.jvp(lambda a: mx.median(a, axis=1), [a], [a])
    np.testing.assert_allclose(np.array(tangents[0]), np.median(x, axis=1), rtol=1e-6)
    assert not np.array(mx.grad(lambda a: mx.sum(mx.argpartition(a, 3) * 1.0))(a)).any()


def test_gradients_of_equal_elements_go_where_a_sort_sends_them() -> None:
    x = RANDOM.integers(0, 5, 100).astype(np.float32)
    weights = mx.arange(30) * 1.0

    def by_sorting(a: mx.array) -> mx.array:
        return mx.sum(mx.sort(a)[-30:] * weights)

    found = mx.grad(lambda a: mx.sum(mx.topk(a, 30) * weights))(mx.array(x))
    assert np.array_equal(np.array(found), np.array(mx.grad(by_sorting)(mx.array(x))))


def test_vmap_and_compile() -> None:
    x = RANDOM.standard_normal((4, 120, 3)).astype(np.float32)
    a = mx.array(x)
    rows = np.moveaxis(x, -1, 0)
    found = mx.vmap(lambda a: mx.partition(a, 30), in_axes=2)(a)
    assert np.array_equal(np.array(found), np.take_along_axis(rows, places_of(rows, 30), -1))
    found = mx.vmap(lambda a: mx.topk(a, 3, axis=0), in_axes=2, out_axes=1)(a)
    assert np.array_equal(np.array(found), np.moveaxis(np.sort(rows, axis=1)[:, -3:], 0, 1))

    @mx.compile
    def some(a: mx.array) -> tuple[mx.array, mx.array]:
        return mx.median(a * 2, axis=1), mx.argpartition(a, 17, axis=1)

    for scale in (1.0, -1.0):
        middles, places = some(a * scale)
        np.testing.assert_allclose(np.array(middles), np.median(scale * 2 * x, axis=1), rtol=1e-6)
        expected = places_of(np.moveaxis(scale * x, 1, -1), 17)
        assert np.array_equal(np.array(places), np.moveaxis(expected, -1, 1))


PROGRAM = """
    import hashlib, json
    import numpy as np
    import tarry.core as mx

    x = mx.array(np.random.default_rng(5).integers(0, 3000, (3, 70000)).astype(np.float32))
    y = mx.array(np.random.default_rng(6).integers(0, 90, (500, 300)).astype(np.int32))
    results = [mx.partition(x, 30000), mx.argpartition(x, 50000), mx.topk(x, 900), mx.median(x, axis=1)]
    results += [mx.argpartition(y, 100), mx.topk(y, 9), mx.quantile(y, [0.1, 0.9], axis=1)]
    print(json.dumps([hashlib.sha256(np.array(each).tobytes()).hexdigest() for each in results]))
"""


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    found = [run_for_json(PROGRAM, TARRY_THREADS=threads) for threads in ("1", "3")]
    assert found[0] == found[1]


NARROW_PROGRAM = """
    import json
    import numpy as np
    import tarry.core as mx

    x = np.random.default_rng(5).integers(-999, 999, 20000)
    values = mx.partition(mx.array(x[:300], mx.float32), 100)
    places = mx.argpartition(mx.array(x, mx.int64), 15000)
    print(json.dumps([values.tolist(), places.tolist()]))
"""


def test_code_for_processors_without_permutations() -> None:
    values, places = run_for_json(NARROW_PROGRAM, TARRY_TARGET="sse2")
    x = np.random.default_rng(5).integers(-999, 999, 20000)
    assert values == x[places_of(x[:300], 100)].tolist()
    assert places == places_of(x, 15000).tolist()
