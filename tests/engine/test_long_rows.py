"""Sorts and scans of rows that are cut into parts and blocks: right at every length, the same on all threads.

The plain cases are rows of the op table; special values of short rows are in tests/core/test_ordering.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from program_runner import cost_of, run_for_json

import tarry.core as mx

RANDOM = np.random.default_rng(23)
# Sorts go by parts from 16384 elements on; scans by blocks of 1024, and by parts from 65536 on.
LONG_SORTS = [(16383,), (16384,), (50001,), (3, 20000), (70, 16400)]
LONG_SCANS = [(31,), (32,), (33,), (1023,), (1024,), (1025,), (65535,), (65536,), (2, 70001), (40, 700)]


def assert_sorted_like_numpy(x: np.ndarray, dtype: mx.Dtype) -> None:
    a = mx.array(x, dtype)
    assert np.array_equal(np.array(mx.sort(a)), np.sort(x), equal_nan=x.dtype.kind in "fc")
    assert np.array_equal(np.array(mx.argsort(a)), np.argsort(x, kind="stable"))


@pytest.mark.parametrize("shape", LONG_SORTS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "int8", "uint64"])
def test_sorts(shape: tuple[int, ...], dtype: str) -> None:
    x = RANDOM.standard_normal(shape).round(3) if dtype == "float32" else RANDOM.integers(0, 100, shape)
    assert_sorted_like_numpy(x.astype(dtype), getattr(mx, dtype))


@pytest.mark.parametrize("dtype", ["bool_", "uint16", "int32", "int64", "float16", "float64"])
def test_sorts_of_other_dtypes(dtype: str) -> None:
    kind = dtype.rstrip("_")
    if kind.startswith("float"):
        x = RANDOM.standard_normal(30000).astype(kind)
        for start, value in enumerate((np.nan, -0.0, 0.0, np.inf, -np.inf, -np.nan)):
            x[start::13] = value
    elif kind == "bool":
        x = RANDOM.random(30000) < 0.3
    else:
        limits = np.iinfo(kind)
        x = RANDOM.integers(limits.min, limits.max, 30000, dtype=kind, endpoint=True)
    assert_sorted_like_numpy(x, getattr(mx, dtype))


def test_a_sort_of_complex_numbers() -> None:
    x = (RANDOM.integers(-9, 9, 20000) + 1j * RANDOM.integers(-9, 9, 20000)).astype(np.complex64)
    assert np.array_equal(np.array(mx.sort(mx.array(x))), np.sort(x))
    assert np.array_equal(np.array(mx.argsort(mx.array(x))), np.lexsort((x.imag, x.real)))


@pytest.mark.parametrize("case", ["equal", "ascending", "descending", "outliers", "two", "near"])
def test_sorts_whose_keys_are_uneven(case: str) -> None:
    """The buckets come from a sample: all elements in one, and elements outside of the range."""
    x = RANDOM.standard_normal(40000).astype(np.float32)
    if case == "equal":
        x[:] = 2.5
    elif case == "ascending":
        x.sort()
    elif case == "descending":
        x[::-1].sort()
    elif case == "outliers":
        x[:] = RANDOM.integers(0, 5, x.size)
        x[[7, 77, 777]] = np.inf, -1e30, np.nan
    elif case == "two":
        x[:] = np.where(x > 0.3, -1.0, 1.0)
    else:
        x = np.float32(1) + x * np.float32(1e-6)
    assert_sorted_like_numpy(x, mx.float32)


def test_a_long_sort_takes_five_kernels() -> None:
    mx.eval(mx.sort(mx.random.normal((20000,))))
    x = mx.random.normal((30000,))
    mx.eval(x)
    assert cost_of(lambda: mx.sort(x)).run == 5


SCANS = {
    "cumsum": np.cumsum,
    "cummax": np.maximum.accumulate,
    "cummin": np.minimum.accumulate,
    "cumprod": np.cumprod,
    "logcumsumexp": np.logaddexp.accumulate,
}


@pytest.mark.parametrize("shape", LONG_SCANS, ids=str)
@pytest.mark.parametrize("name", SCANS)
def test_scans_of_floats(name: str, shape: tuple[int, ...]) -> None:
    x = RANDOM.standard_normal(shape).astype(np.float32)
    if name == "cumprod":
        x = (1 + 0.003 * x).astype(np.float32)
    exact = SCANS[name](x.astype(np.float64), axis=-1)
    found = np.array(getattr(mx, name)(mx.array(x), axis=-1))
    scale = np.maximum.accumulate(np.abs(exact), axis=-1)
    assert found.shape == shape
    assert np.all(np.abs(found - exact) <= (1e-4 if name == "cumprod" else 4e-6) * scale + 1e-6)
    backwards = np.array(getattr(mx, name)(mx.array(x[..., ::-1].copy()), axis=-1, reverse=True))
    assert np.array_equal(backwards[..., ::-1], found)
    shifted = np.array(getattr(mx, name)(mx.array(x), axis=-1, inclusive=False))
    assert np.array_equal(shifted[..., 1:], found[..., :-1])


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
@pytest.mark.parametrize("name", ["cumsum", "cummax", "cummin", "cumprod"])
def test_scans_of_integers_are_exact(name: str, dtype: str) -> None:
    x = RANDOM.integers(1, 100, (2, 70001)).astype(dtype)
    wrapped = {"dtype": dtype} if name in ("cumsum", "cumprod") else {}
    expected = SCANS[name](x, axis=-1, **wrapped)
    assert np.array_equal(np.array(getattr(mx, name)(mx.array(x), axis=1)), expected)


def test_scans_of_booleans() -> None:
    x = RANDOM.random(70001) < 0.00002
    a = mx.array(x)
    assert np.array_equal(np.array(mx.cummax(a)), np.maximum.accumulate(x))
    assert np.array_equal(np.array(mx.cummin(mx.logical_not(a))), np.minimum.accumulate(~x))
    assert np.array_equal(np.array(mx.cumsum(a)), np.cumsum(x))


def test_running_sums_are_closer_than_one_by_one() -> None:
    x = RANDOM.random(1 << 20).astype(np.float32)
    exact = np.cumsum(x.astype(np.float64))
    error = np.max(np.abs(np.array(mx.cumsum(mx.array(x))) - exact))
    assert error <= np.max(np.abs(np.cumsum(x) - exact))


@pytest.mark.parametrize("place", [0, 31, 1023, 1024, 40000, 70000])
def test_nan_and_infinities_stay(place: int) -> None:
    x = RANDOM.standard_normal(80000).astype(np.float32)
    x[place] = np.nan
    for name in ("cumsum", "cummax", "cummin", "logcumsumexp"):
        found = np.array(getattr(mx, name)(mx.array(x)))
        assert np.isfinite(found[:place]).all() and np.isnan(found[place:]).all(), name
    x[place], x[place + 5] = np.inf, -np.inf
    found = np.array(mx.cumsum(mx.array(x)))
    assert np.isfinite(found[:place]).all() and np.isnan(found[place + 5 :]).all()
    assert (found[place : place + 5] == np.inf).all()
    found = np.array(mx.cummin(mx.array(x)))
    assert (found[place + 5 :] == -np.inf).all() and np.isfinite(found[1 : place + 5]).all()


def test_the_blocks_take_computed_and_strided_elements() -> None:
    x = RANDOM.standard_normal((1500, 4)).astype(np.float32)
    a = mx.array(x)
    found = mx.cumsum(mx.tanh(a.T) * 2, axis=1)
    np.testing.assert_allclose(np.array(found), np.cumsum(np.tanh(x.T) * 2, axis=1), rtol=1e-4, atol=1e-4)
    assert cost_of(lambda: mx.cumsum(a.T * 3, axis=1)).run == 2  # the totals of parts, and the scan


def test_gradients_of_long_scans() -> None:
    x = mx.array(RANDOM.standard_normal(70001).astype(np.float32))
    weights = mx.array(RANDOM.standard_normal(70001).astype(np.float32))
    gradient = np.array(mx.grad(lambda a: mx.sum(mx.cumsum(a) * weights))(x))
    exact = np.cumsum(np.array(weights)[::-1].astype(np.float64))[::-1]
    np.testing.assert_allclose(gradient, exact, atol=1e-2)
    gradient = np.array(mx.grad(lambda a: mx.sum(mx.cummax(a) * weights))(x))
    records = np.flatnonzero(np.array(x) == np.maximum.accumulate(np.array(x)))
    assert set(np.flatnonzero(gradient)) <= set(records)


PROGRAM = """
    import hashlib, json
    import numpy as np
    import tarry.core as mx

    generator = np.random.default_rng(5)
    x = mx.array(generator.standard_normal(200003, dtype=np.float32))
    y = mx.array(generator.standard_normal((3, 70001), dtype=np.float32))
    i = mx.array(generator.integers(-1000, 1000, 100003, dtype=np.int64))
    results = {
        "sort": mx.sort(x), "argsort": mx.argsort(y), "argsort-integers": mx.argsort(i),
        "cumsum": mx.cumsum(x), "cumsum-rows": mx.cumsum(y, axis=1), "cumsum-integers": mx.cumsum(i),
        "topk": mx.topk(x, 100), "cummax": mx.cummax(x), "logcumsumexp": mx.logcumsumexp(x),
        "cumprod": mx.cumprod(1 + x * 1e-4),
        "gradient": mx.grad(lambda a: mx.sum(mx.logcumsumexp(a)))(x), "median": mx.median(y, axis=1),
    }
    mx.eval(results)
    print(json.dumps({name: hashlib.sha256(np.array(found).tobytes()).hexdigest()
                      for name, found in results.items()}))
"""


def test_bits_do_not_depend_on_threads() -> None:
    expected = run_for_json(PROGRAM, TARRY_THREADS="1")
    assert len(expected) == 12
    for threads in ("2", "7"):
        found = run_for_json(PROGRAM, TARRY_THREADS=threads)
        different = [name for name in expected if found[name] != expected[name]]
        assert not different, f"{threads} threads differ from one in {different}"
