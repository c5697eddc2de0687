"""Random numbers: the same bits as MLX for the same key, the state of the thread, vmap over keys, errors."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tarry.core as mx

Draw = Callable[[Any, Any, tuple[int, ...]], Any]

# Each draws from module `m` with key `k` in shape `s`.
DRAWS: dict[str, Draw] = {
    "uniform": lambda m, k, s: m.random.uniform(shape=s, key=k),
    "uniform-bounds": lambda m, k, s: m.random.uniform(-2.5, 3.7, s, key=k),
    "uniform-float16": lambda m, k, s: m.random.uniform(1, 2, s, m.float16, key=k),
    "normal": lambda m, k, s: m.random.normal(s, key=k),
    "normal-scaled": lambda m, k, s: m.random.normal(s, loc=1.5, scale=2.5, key=k),
    "normal-float16": lambda m, k, s: m.random.normal(s, m.float16, key=k),
    "normal-complex64": lambda m, k, s: m.random.normal(s, m.complex64, key=k),
    "bernoulli": lambda m, k, s: m.random.bernoulli(0.3, s, key=k),
    "randint": lambda m, k, s: m.random.randint(-5, 1000, s, key=k),
    "randint-uint8": lambda m, k, s: m.random.randint(0, 300, s, m.uint8, key=k),
    "gumbel": lambda m, k, s: m.random.gumbel(s, key=k),
    "gumbel-float16": lambda m, k, s: m.random.gumbel(s, m.float16, key=k),
    "truncated_normal": lambda m, k, s: m.random.truncated_normal(-1, 2, s, key=k),
    "permutation": lambda m, k, s: m.random.permutation(int(np.prod(s)), key=k),
    "split": lambda m, k, s: m.random.split(k, int(np.prod(s))),
}


@pytest.mark.parametrize("shape", [(), (1,), (2,), (5,), (4, 7), (0, 3), (5001,)], ids=str)
@pytest.mark.parametrize("name", DRAWS)
def test_same_bits_as_mlx(name: str, shape: tuple[int, ...]) -> None:
    oracle = pytest.importorskip("mlx.core")
    for seed in (3, 2**40 + 11):
        ours = DRAWS[name](mx, mx.random.key(seed), shape)
        theirs = DRAWS[name](oracle, oracle.random.key(seed), shape)
        assert ours.dtype.name == str(theirs.dtype).rsplit(".", 1)[-1]
        np.testing.assert_array_equal(np.array(ours), np.array(theirs))


def test_categorical_as_mlx() -> None:
    oracle = pytest.importorskip("mlx.core")
    logits = np.random.default_rng(0).standard_normal((7, 50)).astype(np.float32)
    options: list[dict[str, Any]] = [{}, {"axis": 0}, {"num_samples": 4}, {"shape": (5, 7)}]
    for given in options:
        ours = mx.random.categorical(mx.array(logits), **given, key=mx.random.key(9))
        theirs = oracle.random.categorical(oracle.array(logits), **given, key=oracle.random.key(9))
        np.testing.assert_array_equal(np.array(ours), np.array(theirs))


@pytest.mark.parametrize("shape", [(1,), (17,), (1, 50), (5, 1), (1, 3, 1)], ids=str)
def test_categorical_of_one_distribution_as_mlx(shape: tuple[int, ...]) -> None:
    """Many samples of one distribution invert its distribution function."""
    oracle = pytest.importorskip("mlx.core")
    logits = 3 * np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    axis = int(np.argmax(shape))
    options: list[dict[str, Any]] = [{}, {"num_samples": 5000}, {"num_samples": 0}]
    options += [{"shape": (30, *[1] * (len(shape) - 1))}, {"shape": (4, 3, 1, 2)}]
    for given in options:
        ours = mx.random.categorical(mx.array(logits), axis, **given, key=mx.random.key(9))
        theirs = oracle.random.categorical(oracle.array(logits), axis, **given, key=oracle.random.key(9))
        np.testing.assert_array_equal(np.array(ours), np.array(theirs))
    words = [mx.random.categorical(mx.array(logits).astype(t), axis, shape=(40,) * len(shape),
                                   key=mx.random.key(1)) for t in (mx.float16, mx.float64)]  # fmt: skip
    assert [word.dtype for word in words] == [mx.uint32] * 2 and words[0].shape == (40,) * len(shape)


def covariances(*shape: int) -> np.ndarray:
    factors = np.random.default_rng(4).standard_normal((*shape, shape[-1])).astype(np.float32)
    return factors @ np.swapaxes(factors, -1, -2)


MULTIVARIATE: dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {
    "one": ((3,), (3,), ()),
    "many": ((3,), (3,), (7, 2)),
    "means": ((4, 3), (3,), (2, 1)),
    "matrices": ((3,), (4, 3), (5, 4)),
    "both": ((2, 1, 3), (4, 3), (2, 4)),
    "none": ((3,), (3,), (0, 2)),
}


@pytest.mark.parametrize("name", MULTIVARIATE)
def test_multivariate_normal_as_mlx(name: str) -> None:
    oracle = pytest.importorskip("mlx.core")
    mean_shape, matrices, shape = MULTIVARIATE[name]
    mean = np.random.default_rng(1).standard_normal(mean_shape).astype(np.float32)
    found = [
        np.array(m.random.multivariate_normal(m.array(mean), m.array(covariances(*matrices)), shape,
                                              key=m.random.key(5)))
        for m in (mx, oracle)
    ]  # fmt: skip
    assert found[0].shape == found[1].shape
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-5)


def test_multivariate_normal_has_its_moments() -> None:
    covariance = np.array([[2.0, -0.6], [-0.6, 0.5]], np.float32)
    drawn = mx.random.multivariate_normal(mx.array([3.0, -1.0]), mx.array(covariance), (20000,),
                                          key=mx.random.key(2))  # fmt: skip
    np.testing.assert_allclose(np.array(drawn).mean(0), [3, -1], atol=0.04)
    np.testing.assert_allclose(np.cov(np.array(drawn).T), covariance, atol=0.06)


def test_multivariate_normal_refuses() -> None:
    draw = mx.random.multivariate_normal
    mean, matrix = mx.zeros((2,)), mx.eye(2)
    refused: list[tuple[Any, ...]] = [
        (mx.array(1.0), matrix), (mean, mean), (mx.zeros((3,)), matrix), (mean, mx.zeros((2, 3))),
        (mx.zeros((4, 2)), matrix, (3,)), (mean, matrix, (), mx.float16),
    ]  # fmt: skip
    for arguments in refused:
        with pytest.raises(ValueError, match=r"\[multivariate_normal\]"):
            draw(*arguments)
    with pytest.raises(TypeError):
        draw([1.0, 2.0], matrix)  # type: ignore[arg-type]


def test_laplace_as_mlx() -> None:
    oracle = pytest.importorskip("mlx.core")
    ours = mx.random.laplace((1000,), loc=1.0, scale=2.0, key=mx.random.key(9))
    theirs = oracle.random.laplace((1000,), loc=1.0, scale=2.0, key=oracle.random.key(9))
    np.testing.assert_allclose(np.array(ours), np.array(theirs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_laplace_of_halves_is_rounded_float32(dtype: str) -> None:
    oracle = pytest.importorskip("mlx.core")
    ours = mx.random.laplace((1000,), getattr(mx, dtype), 0.5, 2.0, mx.random.key(9)).tolist()
    theirs = oracle.random.laplace((1000,), getattr(oracle, dtype), 0.5, 2.0, oracle.random.key(9)).tolist()
    assert ours == theirs


def test_state_as_mlx() -> None:
    """Known states split on the host and states that are still to be computed give the same draws."""
    oracle = pytest.importorskip("mlx.core")
    mx.random.seed(5)
    oracle.random.seed(5)
    for step in range(6):
        if step == 2:
            mx.random.state[0] = mx.random.state[0] + mx.zeros((2,), mx.uint32)
        ours, theirs = mx.random.uniform(shape=(3,)), oracle.random.uniform(shape=(3,))
        if step == 3:
            np.testing.assert_array_equal(np.array(mx.random.state[0]), np.array(oracle.random.state[0]))
        np.testing.assert_array_equal(np.array(ours), np.array(theirs))
    assert len(mx.random.state) == 1 and len(list(mx.random.state)) == 1


def test_state_is_per_thread() -> None:
    drawn: list[list[float]] = []

    def draw() -> None:
        mx.random.seed(1)
        drawn.append(mx.random.uniform(shape=(2,)).tolist())

    mx.random.seed(2)
    thread = threading.Thread(target=draw)
    thread.start()
    thread.join()
    here = mx.random.uniform(shape=(2,)).tolist()
    mx.random.seed(2)
    assert mx.random.uniform(shape=(2,)).tolist() == here
    mx.random.seed(1)
    assert mx.random.uniform(shape=(2,)).tolist() == drawn[0]


def test_vmap_over_keys() -> None:
    keys = mx.random.split(mx.random.key(1), 4)
    batched = mx.vmap(lambda key: mx.random.normal((5,), key=key))(keys)
    single = [np.array(mx.random.normal((5,), key=keys[i])) for i in range(4)]
    np.testing.assert_array_equal(np.array(batched), np.stack(single))


def test_gradient_of_bounds() -> None:
    key = mx.random.key(3)
    low = mx.array([0.0, 1.0])
    slope = mx.grad(lambda a: mx.random.uniform(a, 2.0, (2,), key=key).sum())(low)
    unit = np.array(mx.random.uniform(shape=(2,), key=key))
    np.testing.assert_allclose(np.array(slope), 1 - unit, rtol=1e-6)


def test_permutation_of_entries() -> None:
    values = mx.arange(12).reshape(4, 3)
    shuffled = np.array(mx.random.permutation(values, axis=0, key=mx.random.key(0)))
    assert sorted(map(tuple, shuffled)) == sorted(map(tuple, np.array(values)))


ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: mx.random.key(-1), TypeError, r"^\[key\] .*-1"),
    (lambda: mx.random.key(2**64), TypeError, r"^\[key\]"),
    (lambda: mx.random.seed(1.5), TypeError, r"^\[seed\] .*1\.5"),  # type: ignore[arg-type]
    (lambda: mx.random.split(mx.array([1, 2])), ValueError, r"^\[split\] .*uint32.*int32"),
    (lambda: mx.random.split(mx.zeros((3,), mx.uint32)), ValueError, r"^\[split\] .*\(3,\)"),
    (lambda: mx.random.uniform(shape=3), TypeError, r"^\[uniform\] .*shape"),  # type: ignore[arg-type]
    (lambda: mx.random.uniform(shape=(2,), dtype=mx.int32), ValueError, r"^\[uniform\] .*int32"),
    (lambda: mx.random.uniform(mx.zeros((2,)), 1), ValueError, r"^\[uniform\] .*\(2,\)"),
    (lambda: mx.random.normal((2,), mx.int32), ValueError, r"^\[normal\] .*int32"),
    (lambda: mx.random.normal((-2,)), ValueError, r"^\[normal\] .*-2"),
    (lambda: mx.random.bernoulli(1), ValueError, r"^\[bernoulli\] .*int32"),
    (lambda: mx.random.randint(0, 9, (2,), mx.float32), ValueError, r"^\[randint\] .*float32"),
    (lambda: mx.random.categorical(mx.zeros((2, 3)), axis=2), IndexError, r"^\[categorical\] .*2"),
    (
        lambda: mx.random.categorical(mx.zeros((2, 3)), shape=(2,), num_samples=2),
        ValueError,
        r"^\[categorical\]",
    ),
    (lambda: mx.random.permutation(mx.zeros((3,)), axis=1), IndexError, r"^\[permutation\] .*1"),
    (lambda: mx.random.permutation(-1), ValueError, r"^\[permutation\] .*-1"),
    (lambda: mx.random.state[1], IndexError, r"^\[random.state\] .*1"),
]


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_errors(number: int) -> None:
    call, error, message = ERRORS[number]
    with pytest.raises(error, match=message):
        call()
