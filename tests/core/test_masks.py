"""Boolean masks in every position, what depends on how many elements are true, and NumPy's rules of indexing
on random expressions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tarry.core as mx
from oracle import mlx, requires_oracle

SHAPES = [(5,), (3, 4), (2, 3, 4), (4, 1, 3), (2, 3, 2, 3), (0, 3), ()]
CASES = 300


# random expressions


class Expressions:
    """Random indexes with every kind of entry, from one seed for each case."""

    def __init__(self, number: int) -> None:
        self.random = np.random.default_rng([11, number])
        self.shape = SHAPES[self.random.integers(len(SHAPES))]
        self.array_shape = [(), (1,), (3,), (2, 1), (2, 3)][self.random.integers(5)]
        self.index = self.expression()

    def expression(self) -> Any:
        entries: list[Any] = []
        axis, count = 0, self.random.integers(0, len(self.shape) + 1)
        while axis < count:
            entry, taken = self.entry(axis)
            entries.append(entry)
            axis += taken
        if self.random.random() < 0.3:
            entries.insert(self.random.integers(0, len(entries) + 1), None)
        # An ellipsis that stands for no axis separates index arrays in NumPy, but not in MLX.
        if self.random.random() < 0.3 and axis < len(self.shape):
            entries.append(Ellipsis)
        return entries[0] if len(entries) == 1 and self.random.random() < 0.5 else tuple(entries)

    def entry(self, axis: int) -> tuple[Any, int]:
        random, extent = self.random, self.shape[axis]
        kind = random.integers(6)
        if kind <= 1 or (kind <= 4 and extent == 0):
            bounds = [None if random.random() < 0.4 else int(random.integers(-7, 8)) for _ in range(2)]
            return slice(*bounds, [None, 1, 2, -1, -2, 3][random.integers(6)]), 1
        if kind == 2:
            return int(random.integers(-extent, extent)), 1
        if kind <= 4:
            shape = self.array_shape if random.random() < 0.7 else (1,) * len(self.array_shape)
            return random.integers(-extent, extent, shape).astype(np.int32), 1
        taken = int(random.integers(0, len(self.shape) - axis + 1))
        mask = np.array(random.random(self.shape[axis : axis + taken]) < 0.5)
        return (mask if taken or random.random() < 0.5 else bool(mask)), taken

    @property
    def entries(self) -> tuple[Any, ...]:
        return self.index if isinstance(self.index, tuple) else (self.index,)

    @property
    def writes_as_numpy(self) -> bool:
        """Not where MLX passes over integers between index arrays."""
        kinds = [np.asarray(entry).dtype.kind for entry in self.entries if not isinstance(entry, slice)]
        has_integer = any(isinstance(entry, int) and not isinstance(entry, bool) for entry in self.entries)
        has_array = any(isinstance(entry, np.ndarray) and entry.dtype != bool for entry in self.entries)
        return "b" in kinds or not (has_integer and has_array)

    def update(self, shape: tuple[int, ...]) -> np.ndarray:
        value = np.arange(100, 100 + int(np.prod(shape)), dtype=np.float32).reshape(shape)
        if self.random.random() < 0.3:
            return np.array(7, np.float32)
        return value[:1] if value.ndim and self.random.random() < 0.3 else value


def converted(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(converted(entry) for entry in index)
    return mx.array(index) if isinstance(index, np.ndarray) and index.ndim else index


def check_expression(number: int) -> None:
    """Reading, assigning and adding with the random index of this number, each as NumPy does it."""
    case = Expressions(number)
    source = np.arange(int(np.prod(case.shape)), dtype=np.float32).reshape(case.shape)
    label = f"case {number}: {case.shape} {case.index}"
    try:
        expected = source[case.index]
    except IndexError:
        with pytest.raises(ValueError):
            mx.array(source)[converted(case.index)]
        return
    found = mx.array(source)[converted(case.index)]
    assert found.shape == expected.shape, label
    np.testing.assert_array_equal(np.array(found), expected, err_msg=label)
    if not case.writes_as_numpy:
        return
    update = case.update(expected.shape)
    target, written = mx.array(source), source.copy()
    added = source.copy()
    try:
        written[case.index] = update
    except ValueError:
        return
    target[converted(case.index)] = mx.array(update)
    np.testing.assert_array_equal(np.array(target), written, err_msg=label)
    np.add.at(added, case.index, update)
    sums = mx.array(source).at[converted(case.index)].add(mx.array(update))
    np.testing.assert_array_equal(np.array(sums), added, err_msg=label)


@pytest.mark.parametrize("part", range(10))
def test_random_expressions(part: int) -> None:
    """The first of them; tests/core/search_indexing.py goes through more."""
    for number in range(part * CASES // 10, (part + 1) * CASES // 10):
        check_expression(number)


# masks


def test_masks_read() -> None:
    x = mx.array(np.arange(12, dtype=np.float32).reshape(3, 4))
    assert x[x > 8].tolist() == [9, 10, 11]
    assert x[mx.array([True, False, True])].shape == (2, 4)
    assert x[:, [True, False, False, True]].tolist() == [[0, 3], [4, 7], [8, 11]]
    assert x[np.array([True, False, True]), 1:3].tolist() == [[1, 2], [9, 10]]
    assert x[x > 100].shape == (0,)
    assert x[True].shape == (1, 3, 4) and x[False].shape == (0, 3, 4)
    assert mx.zeros((0,))[mx.zeros((0,), mx.bool_)].shape == (0,)


def test_masks_have_gradients() -> None:
    x = mx.array([1.0, -2.0, 3.0])
    assert mx.grad(lambda t: mx.sum(mx.square(t[t > 0])))(x).tolist() == [2, 0, 6]
    assert mx.grad(lambda t: mx.sum(mx.unique(t) * mx.array([1.0, 2.0, 3.0])))(x).tolist() == [2, 1, 3]

    def assigned(v: mx.array) -> mx.array:
        target = x * 1
        target[x > 0] = v
        return mx.sum(target * mx.array([1.0, 2.0, 3.0]))

    assert mx.grad(assigned)(mx.array([5.0, 6.0])).tolist() == [1, 3]


def test_masks_in_transforms() -> None:
    x, mask = mx.array([1.0, -2.0, 3.0]), mx.array([True, False, True])
    for transform in (mx.compile, mx.vmap):
        with pytest.raises(ValueError, match="inside vmap and compile"):
            mx.eval(transform(lambda t: t[t > 0])(x.reshape(1, 3)))
        with pytest.raises(ValueError, match="inside vmap and compile"):
            mx.eval(transform(lambda t: mx.unique(t + 1))(x.reshape(1, 3)))
    # Masks that are known are as good as index arrays; one value needs no positions.
    assert mx.compile(lambda t: t[mask] * 2)(x).tolist() == [2, 6]
    assert mx.vmap(lambda t: t[mask])(mx.zeros((4, 3))).shape == (4, 2)

    def cut(t: mx.array) -> mx.array:
        t[t < 0] = 0
        return t

    assert mx.compile(cut)(x).tolist() == [1, 0, 3]


@pytest.mark.parametrize("shape", [(2, 4), (3, 4), (1, 4), (4,), (), (2, 1)])
def test_rows_for_a_mask(shape: tuple[int, ...]) -> None:
    """As many rows as true elements, or more; or one value for all."""
    target = mx.zeros((3, 4))
    value = np.arange(1, 1 + int(np.prod(shape)), dtype=np.float32).reshape(shape)
    target[mx.array([True, False, True])] = mx.array(value)
    expected = np.zeros((3, 4), np.float32)
    expected[[0, 2]] = value[:2] if value.ndim == 2 else value
    np.testing.assert_array_equal(np.array(target), expected)


def test_values_for_a_mask() -> None:
    target, mask = mx.zeros((2, 2)), mx.array([[True, False], [True, True]])
    target[mask] = mx.array([1.0, 2.0, 3.0, 4.0])
    assert target.tolist() == [[1, 0], [2, 3]]
    with pytest.raises(RuntimeError, match="too few"):
        target[mask] = mx.array([1.0, 2.0])
    with pytest.raises(ValueError, match="mask"):
        target[mask] = mx.ones((3, 2))
    for wrong in (mx.array([True]), (0, mx.array([True, False, True]))):
        with pytest.raises(ValueError, match="mask"):
            target[wrong]


# functions


def test_positions_of_nonzero_elements() -> None:
    values = np.array([[0, 7, 0], [5, 0, 1]])
    for found, expected in zip(mx.nonzero(mx.array(values)), np.nonzero(values), strict=True):
        assert found.dtype is mx.int32 and found.tolist() == expected.tolist()
    assert [part.tolist() for part in mx.where(mx.array(values))] == [[0, 1, 1], [1, 0, 2]]
    assert mx.argwhere(mx.array(values)).tolist() == np.argwhere(values).tolist()
    assert mx.flatnonzero(mx.array(values)).tolist() == [1, 3, 5]
    assert mx.argwhere(mx.zeros((2, 3))).shape == (0, 2)
    with pytest.raises(ValueError, match="dimension"):
        mx.nonzero(mx.array(1))
    with pytest.raises(TypeError):
        mx.where(mx.array([True]), 1)


UNIQUE = [[3, 1, 3, 2], [[3, 1], [3, 2]], [5], [1.5, float("nan"), 1.5, float("nan")]]


@pytest.mark.parametrize("values", UNIQUE, ids=str)
def test_unique(values: Any) -> None:
    found = mx.unique(mx.array(values), return_index=True, return_inverse=True, return_counts=True)
    flags = {"return_index": True, "return_inverse": True, "return_counts": True, "equal_nan": False}
    for ours, expected in zip(found, np.unique(np.array(values), **flags), strict=True):
        np.testing.assert_array_equal(np.array(ours), expected.reshape(ours.shape))
    assert [str(part.dtype).rsplit(".", 1)[-1] for part in found[1:]] == ["uint32", "uint32", "int32"]
    assert mx.unique(mx.array(values)).shape == found[0].shape


@requires_oracle
@pytest.mark.parametrize("values", UNIQUE[:3], ids=str)
@pytest.mark.parametrize("size", [0, 1, 2, 3, 6])
@pytest.mark.parametrize("fill", [None, 9])
def test_unique_with_a_size_as_mlx_does(values: Any, size: int, fill: int | None) -> None:
    ours = mx.unique(mx.array(values), size, True, True, True, fill)
    theirs = mlx.unique(mlx.array(values), size, True, True, True, fill)
    for mine, reference in zip(ours, theirs, strict=True):
        assert str(mine.dtype) == str(reference.dtype)
        np.testing.assert_array_equal(np.array(mine), np.array(reference))


def test_unique_of_nothing() -> None:
    nothing = mx.array([], mx.int32)
    assert mx.unique(nothing).shape == (0,)
    assert mx.unique(nothing, 2, fill_value=3).tolist() == [3, 3]
    with pytest.raises(ValueError, match="fill value"):
        mx.unique(nothing, 2)
    with pytest.raises(ValueError, match="negative"):
        mx.unique(nothing, -1)
