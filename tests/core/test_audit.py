"""What an audit of the array namespace found wrong once: gradients, laziness, modules, windows."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import numpy as np
import pytest

import tarry.core as mx


def test_assigned_values_get_their_gradient_along_every_row() -> None:
    """Which value was written last is told apart for every row of the other axes."""
    base, weights = mx.zeros((3, 4)), mx.arange(1.0, 13.0).reshape(3, 4)
    values, places = mx.ones((3, 2)), mx.array([[0, 2], [1, 1], [3, 0]])
    gradient = mx.grad(lambda v: mx.sum(mx.put_along_axis(base, places, v, 1) * weights))(values)
    assert gradient.tolist() == [[1, 3], [0, 6], [12, 9]]


def test_gradient_of_a_batch_of_assignments() -> None:
    generator = np.random.default_rng(0)
    base, weights = [mx.array(generator.normal(size=(3, 5)).astype(np.float32)) for _ in range(2)]
    values = mx.array(generator.normal(size=(3, 2)).astype(np.float32))
    places = mx.array([[0, 2], [1, 1], [4, 0]])

    def loss(target: mx.array, value: mx.array, place: mx.array, weight: mx.array) -> mx.array:
        target = target * 1
        target[place] = value
        return mx.sum(target * weight)

    arguments = (base, values, places, weights)
    batched = mx.grad(lambda *given: mx.sum(mx.vmap(loss)(*given)), argnums=1)(*arguments)
    single = [mx.grad(loss, argnums=1)(*[part[row] for part in arguments]) for row in range(3)]
    assert batched.tolist() == mx.stack(single).tolist()


def test_direction_of_complex_numbers_has_a_derivative() -> None:
    """Second derivatives of |z| against differences of the first; zero at zero."""
    generator = np.random.default_rng(1)
    z, step = [
        mx.array((generator.normal(size=6) + 1j * generator.normal(size=6)).astype(np.complex64))
        for _ in range(2)
    ]
    gradient = mx.grad(lambda a: mx.sum(mx.abs(a)))
    found = mx.jvp(gradient, [z], [step])[1][0]
    differences = (gradient(z + 1e-2 * step) - gradient(z - 1e-2 * step)) / 2e-2
    np.testing.assert_allclose(np.array(found), np.array(differences), rtol=2e-3, atol=2e-3)
    assert mx.jvp(mx.sign, [mx.array([0j])], [mx.array([1 + 1j])])[1][0].tolist() == [0]


FLAGS: dict[str, Any] = {"return_index": True, "return_inverse": True, "return_counts": True}


@pytest.mark.parametrize("transform", ["compile", "vmap"])
def test_unique_with_a_size_is_lazy(transform: str) -> None:
    rows = mx.array([[3, 1, 1, 2], [5, 5, 5, 5]])
    found = getattr(mx, transform)(lambda a: mx.unique(a, size=3, fill_value=9, **FLAGS))(rows)
    if transform == "compile":
        expected: list[Any] = [[1, 2, 3], [1, 3, 0], [[2, 0, 0, 1], [2, 2, 2, 2]], [2, 1, 1]]
    else:
        expected = [
            [[1, 2, 3], [5, 9, 9]],
            [[1, 3, 0], [0, 0, 0]],
            [[2, 0, 0, 1], [0, 0, 0, 0]],
            [[2, 1, 1], [4, 0, 0]],
        ]
    assert [part.tolist() for part in found] == expected


DTYPES = ["bool_", "uint8", "int8", "int64", "uint64", "float16", "float64", "complex64"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_unique_as_numpy_in_every_dtype(dtype: str) -> None:
    values = np.random.default_rng(2).integers(-3, 4, (5, 7)).astype(dtype.rstrip("_"))
    if values.dtype.kind == "f":
        values.flat[:4] = [0.0, np.nan, -0.0, np.nan]
    found = mx.unique(mx.array(values, dtype=getattr(mx, dtype)), **FLAGS)
    expected = np.unique(values, equal_nan=False, **FLAGS)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(np.array(ours), theirs.reshape(ours.shape))


@pytest.mark.parametrize("name", ["random", "fast", "fft", "linalg"])
def test_parts_of_the_namespace_are_modules_of_public_names(name: str) -> None:
    """`import tarry.core.random` works as with MLX, and an editor offers no names of the implementation."""
    module = importlib.import_module(f"tarry.core.{name}")
    assert getattr(mx, name) is module
    assert {key for key in vars(module) if not key.startswith("_")} == set(module.__all__)
    missing = [key for key in module.__all__ if not (inspect.getdoc(getattr(module, key)) or "").strip()]
    assert not missing


@pytest.mark.parametrize("win_length", [None, 4, 8])
def test_a_window_decides_about_its_length(win_length: int | None) -> None:
    signal = mx.cos(mx.arange(50))
    found = mx.fft.stft(signal, 8, 2, win_length, mx.hanning(6))
    assert mx.array_equal(found, mx.fft.stft(signal, 8, 2, 6, mx.hanning(6)))
    again = mx.fft.istft(found, 8, 2, win_length, mx.hanning(6))
    np.testing.assert_allclose(np.array(again)[8:40], np.array(signal)[8:40], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
@pytest.mark.parametrize("operation", ["left_shift", "right_shift"])
def test_shifts_of_narrow_integers_lose_all_bits(operation: str, dtype: str) -> None:
    """As in C, NumPy and MLX: the counts may go up to 31."""
    values = np.array([1, 3, 100, -8 if dtype[0] == "i" else 8], dtype)
    for count in (0, 1, 7, 8, 9, 15, 16, 17, 31):
        expected = getattr(np, operation)(values.astype(np.int32), count).astype(dtype)
        found = getattr(mx, operation)(mx.array(values), count)
        assert found.tolist() == expected.tolist() and str(found.dtype).endswith(dtype)


def test_reading_a_range_by_transposed_indices() -> None:
    """The range is not stored: the loaded index is part of a position, in a loop with transposed loads."""
    numbers = np.random.default_rng(3).integers(-24, 24, (37, 29)).astype(np.int32)
    found = mx.arange(24)[mx.array(numbers).T] * 2
    np.testing.assert_array_equal(np.array(found), np.arange(24)[numbers.T] * 2)


def test_unravelled_indices_are_checked() -> None:
    assert [part.tolist() for part in mx.unravel_index(mx.array([5, -1]), (3, 4))] == [[1, 2], [1, 3]]
    with pytest.raises(IndexError, match="unravel_index"):
        mx.eval(mx.unravel_index(mx.array([12]), (3, 4)))
