"""Arrays as text: exactly what MLX prints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tarry.core as mx
from oracle import ALL_DTYPES, dtype_of, from_numpy, mlx, requires_oracle

SPECIAL = [
    0.0, -0.0, 1.0, 0.1, 1e-5, 123456.0, 1234567.0, 999999.5, 12345.678, 1.4e-45, np.inf, -np.inf, np.nan,
    -np.nan, 1e10, 65504.0, 3.0e38, 1e-7, 0.5, 2.5,
]  # fmt: skip
SHAPES = [
    (), (1,), (5,), (6,), (7,), (20,), (2, 3), (3, 8), (9, 2), (2, 2, 2), (8, 1, 8), (0,), (0, 3), (3, 0),
    (7, 0), (1, 0, 2), (2, 1, 3, 1),
]  # fmt: skip


def samples(generator: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name == "bool":
        return generator.integers(0, 2, shape).astype(bool)
    if "int" in name:
        limits = np.iinfo(name)
        return generator.integers(limits.min, limits.max, shape, np.dtype(name), endpoint=True)
    picked = generator.choice(np.array(SPECIAL), shape)
    spread = generator.normal(size=shape) * 10.0 ** generator.integers(-8, 9, shape)
    real = np.where(generator.random(shape) < 0.4, picked, spread)
    if name == "bfloat16":
        # The wheel drops the sign of NaN when it makes bfloat16.
        return np.where(np.isnan(real), np.nan, real)
    if name == "complex64":
        return real + 1j * generator.choice(np.array(SPECIAL), shape)
    return real


@requires_oracle
@pytest.mark.parametrize("name", ALL_DTYPES)
def test_text_is_that_of_mlx(name: str, generator: np.random.Generator) -> None:
    for shape in SHAPES:
        for _ in range(3):
            with np.errstate(all="ignore"):
                values = samples(generator, name, shape)
            ours, theirs = from_numpy(mx, values, name), from_numpy(mlx, values, name)
            assert str(ours) == str(theirs)
            assert repr(ours) == repr(theirs)
            if not (shape == () and name == "complex64"):
                assert f"{ours}" == f"{theirs}"


@requires_oracle
@pytest.mark.parametrize("precision", [0, 1, 3, 8, -1, -5])
@pytest.mark.parametrize("name", ["float32", "float16", "complex64", "int32"])
def test_precision(name: str, precision: int, generator: np.random.Generator) -> None:
    with np.errstate(all="ignore"):
        values = samples(generator, name, (4, 9))
    ours, theirs = from_numpy(mx, values, name), from_numpy(mlx, values, name)
    with mx.printoptions(precision=precision), mlx.printoptions(precision=precision):
        assert str(ours) == str(theirs)
    assert mx.get_printoptions().precision == -1


def test_options() -> None:
    mx.set_printoptions(2)
    try:
        assert str(mx.array(1.234)) == "array(1.23, dtype=float32)"
        assert f"{mx.array(1.23456)}" == "1.2345600128173828"
        assert mx.get_printoptions().precision == 2
    finally:
        mx.set_printoptions()
    with pytest.raises(ZeroDivisionError), mx.printoptions(precision=1):
        raise ZeroDivisionError
    assert mx.get_printoptions().precision == -1
    for wrong in (1.5, "2", True):
        with pytest.raises(TypeError):
            mx.set_printoptions(wrong)  # type: ignore[arg-type]


def test_format() -> None:
    assert f"{mx.array(1.5):.3f}" == "1.500"
    assert f"{mx.array(3):04d}" == "0003"
    assert f"{mx.array([1])}" == "array([1], dtype=int32)"
    with pytest.raises(TypeError):
        f"{mx.array([1]):d}"
    with pytest.raises(ValueError):
        f"{mx.array(1.5):d}"


@pytest.mark.parametrize("dtype", [dtype_of(mx, name) for name in ("float32", "int8", "bool")])
def test_views_print(dtype: Any) -> None:
    assert str(mx.array([[0, 1], [1, 0]]).astype(dtype).T[:, 0]) == str(mx.array([0, 1]).astype(dtype))
