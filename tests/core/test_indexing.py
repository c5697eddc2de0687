"""Reading and writing by index: against NumPy on random indexes, and MLX's rules where they differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tarry.core as mx
from oracle import mlx, requires_oracle

SHAPES = [(5,), (3, 4), (2, 3, 4), (4, 1, 3), (2, 3, 2, 3)]


def slices(extent: int) -> st.SearchStrategy[slice]:
    bound = st.one_of(st.none(), st.integers(-extent - 2, extent + 2))
    step = st.one_of(st.none(), st.sampled_from([-3, -2, -1, 1, 2, 3]))
    return st.builds(slice, bound, bound, step)


def basic_entry(extent: int) -> st.SearchStrategy[Any]:
    return st.one_of(slices(extent), st.integers(-extent, extent - 1))


@st.composite
def indexes(draw: st.DrawFn, shape: tuple[int, ...], arrays: bool) -> tuple[Any, ...]:
    """An index as a tuple; index arrays are NumPy arrays of int32."""
    count = draw(st.integers(0, len(shape)))
    array_shape = draw(st.sampled_from([(), (1,), (3,), (2, 1), (2, 3)]))
    entries: list[Any] = []
    for extent in shape[:count]:
        if arrays and draw(st.booleans()):
            own = draw(st.sampled_from([array_shape, (1,) * len(array_shape)]))
            size = int(np.prod(own))
            values = draw(st.lists(st.integers(-extent, extent - 1), min_size=size, max_size=size))
            entries.append(np.array(values, np.int32).reshape(own))
        else:
            entries.append(draw(basic_entry(extent)))
    for _ in range(draw(st.integers(0, 1))):
        entries.insert(draw(st.integers(0, len(entries))), None)
    return tuple(entries)


def converted(index: tuple[Any, ...], module: Any = mx) -> tuple[Any, ...]:
    return tuple(module.array(item) if isinstance(item, np.ndarray) else item for item in index)


def values(shape: tuple[int, ...], start: int = 0) -> np.ndarray:
    return np.arange(start, start + int(np.prod(shape)), dtype=np.float32).reshape(shape)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_reading_with_basic_indexes(data: st.DataObject) -> None:
    source = values(data.draw(st.sampled_from(SHAPES)))
    index = data.draw(indexes(source.shape, False))
    expected = source[index]
    found = mx.array(source)[index]
    assert found.shape == expected.shape
    np.testing.assert_array_equal(np.array(found), expected)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_reading_with_arrays(data: st.DataObject) -> None:
    source = values(data.draw(st.sampled_from(SHAPES)))
    index = data.draw(indexes(source.shape, True))
    expected = source[index]
    found = mx.array(source)[converted(index)]
    assert found.shape == expected.shape
    np.testing.assert_array_equal(np.array(found), expected)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_writing_with_basic_indexes(data: st.DataObject) -> None:
    source = values(data.draw(st.sampled_from(SHAPES)))
    index = data.draw(indexes(source.shape, False))
    update = values(source[index].shape, 100)
    if data.draw(st.booleans()) and update.ndim:
        update = update[:1]
    target = mx.array(source)
    target[index] = mx.array(update)
    source[index] = update
    np.testing.assert_array_equal(np.array(target), source)


@requires_oracle
@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_writing_with_arrays_as_mlx_does(data: st.DataObject) -> None:
    source = values(data.draw(st.sampled_from(SHAPES)))
    index = data.draw(indexes(source.shape, True))
    assume(source[index].size > 0)  # the wheel divides by zero
    theirs, ours = mlx.array(source), mx.array(source)
    update = values(source[index].shape, 100)
    try:
        theirs[converted(index, mlx)] = mlx.array(update)
    except ValueError:
        with pytest.raises(ValueError, match="index"):
            ours[converted(index)] = mx.array(update)
        return
    ours[converted(index)] = mx.array(update)
    np.testing.assert_array_equal(np.array(ours), np.array(theirs))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.data(), st.sampled_from(["add", "subtract", "multiply", "maximum", "minimum"]))
def test_at_accumulates_duplicates(data: st.DataObject, op: str) -> None:
    source = values(data.draw(st.sampled_from(SHAPES)))
    positions = np.array(
        data.draw(st.lists(st.integers(-source.shape[0], source.shape[0] - 1), min_size=1, max_size=6))
    )
    update = values((len(positions), *source.shape[1:]), 1) % 3 + 1
    found = getattr(mx.array(source).at[mx.array(positions)], op)(mx.array(update))
    getattr(np, op).at(source, positions, update)
    np.testing.assert_allclose(np.array(found), source, rtol=1e-6)


def test_a_moving_index_compiles_once() -> None:
    source = mx.array(values((7, 3)))
    mx.eval(source[1] * 2)
    before = mx.counters()["plans_built"]
    for row in range(7):
        np.testing.assert_array_equal(np.array(source[row] * 2), values((7, 3))[row] * 2)
    assert mx.counters()["plans_built"] == before


def test_every_read_is_a_new_handle() -> None:
    source = mx.array([1, 2, 3])
    for index in (slice(None), Ellipsis, (), None):
        part = source[index]
        part += 1
        assert source.tolist() == [1, 2, 3]


def test_integers_out_of_range() -> None:
    source = mx.zeros((3, 4))
    with pytest.raises(IndexError, match=r"\[index\] Index 3 is out of bounds for axis 0 with size 3"):
        source[3]
    with pytest.raises(IndexError, match="axis 1 with size 4"):
        source[0, -5]
    with pytest.raises(IndexError, match="axis 0"):
        source[5] = 1


def test_errors_under_transforms_name_the_function() -> None:
    x, beyond = mx.arange(5.0), mx.array([100])
    with pytest.raises(IndexError, match=r"^\[take\] Index 100 .*test_indexing\.py:"):
        mx.eval(mx.vmap(lambda i: mx.take(x, i))(beyond))
    with pytest.raises(IndexError, match=r"^\[take_along_axis\] "):
        mx.eval(mx.vmap(lambda i: mx.take_along_axis(x, i, 0))(beyond[None]))
    with pytest.raises(IndexError, match=r"^\[index\] "):
        mx.eval(mx.vmap(lambda i: x[i])(beyond))
    with pytest.raises(IndexError, match=r"^\[take\] "):
        mx.eval(mx.jvp(lambda x: mx.take(x, beyond), [x], [x]))


def test_array_values_out_of_range_raise_at_evaluation() -> None:
    picked = mx.arange(4)[mx.array([0, 4])]
    with pytest.raises(IndexError, match=r"test_indexing\.py"):
        mx.eval(picked)
    written = mx.arange(4)
    written[mx.array([-5])] = 1
    with pytest.raises(IndexError):
        written.tolist()


@pytest.mark.parametrize(
    "index", [1.5, "a", {}, range(2), (0, "a"), [0.5], [], [True, False, True], (0, [True, False])]
)
def test_wrong_kinds_of_index(index: Any) -> None:
    with pytest.raises(ValueError, match="index"):
        mx.zeros((2, 3))[index]


def test_wrong_indexes() -> None:
    source = mx.zeros((2, 3))
    mask = mx.array([True, False, True])
    wrong = [(0, 0, 0), (Ellipsis, Ellipsis), slice(0.5, 1), slice(mx.array(0), None), mask]
    for index in wrong:
        with pytest.raises(ValueError, match="index"):
            source[index]
    with pytest.raises(ValueError, match="must not be 0"):
        source[::0]
    with pytest.raises(ValueError, match="Too many"):
        mx.array(1)[0]
    assert mx.array(1)[None].shape == (1,)
    assert mx.array(1)[...].shape == mx.array(1)[()].shape == ()


def test_dtypes_of_indices() -> None:
    source = mx.arange(10)
    for dtype in (mx.uint8, mx.int8, mx.int16, mx.uint16, mx.uint32, mx.int64, mx.uint64):
        assert source[mx.array([1, 3]).astype(dtype)].tolist() == [1, 3]
    assert source[[[1, 2], [3, 4]]].tolist() == [[1, 2], [3, 4]]
    assert source[np.array([1, -1])].tolist() == [1, 9]
    assert source[np.int64(4)].item() == 4
    assert source[mx.array(4)].shape == ()


def test_written_values_are_cast() -> None:
    target = mx.array([1, 2, 3])
    target[0] = 1.7
    target[1] = mx.array(2.9)
    target[2:] = np.array([7.5])
    assert target.tolist() == [1, 2, 7] and target.dtype is mx.int32
    with pytest.raises(ValueError, match="overflow"):
        target[0] = 2**40
    for value in ("a", [1]):
        with pytest.raises(ValueError):
            target[0] = value
    with pytest.raises(TypeError):
        target[0] = None
    with pytest.raises(ValueError, match="broadcast"):
        target[:2] = mx.zeros(3)


def test_references_see_writes() -> None:
    target = mx.zeros(3)
    alias = target
    target[1] = 5
    assert alias.tolist() == [0, 5, 0]


def test_duplicates_in_an_assignment_last_wins() -> None:
    target = mx.zeros(3)
    target[mx.array([1, 1, 1])] = mx.array([5.0, 6.0, 7.0])
    assert target.tolist() == [0, 7, 0]


def test_masks_in_assignments() -> None:
    target = mx.zeros((2, 3))
    target[mx.array([[True, False, True], [False, True, False]])] = 4
    assert target.tolist() == [[4, 0, 4], [0, 4, 0]]
    target[[True, False]] = mx.array([1.0, 2.0, 3.0])
    assert target.tolist() == [[1, 2, 3], [0, 4, 0]]
    target[np.array([False, True])] = 9
    assert target.tolist() == [[1, 2, 3], [9, 9, 9]]
    target[True] = 5
    assert target.tolist() == [[5] * 3] * 2
    target[False] = 6
    assert target.tolist() == [[5] * 3] * 2
    with pytest.raises(ValueError, match="mask"):
        target[mx.array([True, False, True])] = 1


def test_at_rules() -> None:
    source = mx.array([1, 2, 3])
    assert source.at[0].add(1.9).tolist() == [2, 2, 3]
    assert source.at[...].divide(2).tolist() == [0.5, 1.0, 1.5]
    assert source.at[1:].divide(2).tolist() == [1, 0, 0]
    assert source.at[1:].divide(0.5).tolist() == [1, 4, 6]
    assert source.at[1:].divide(1.5).tolist() == [1, 0, 0]
    assert source.tolist() == [1, 2, 3]
    assert source.at[mx.array([True, False, True])].add(1).tolist() == [2, 2, 4]
    assert source.at[True].multiply(2).tolist() == [2, 4, 6]
    with pytest.raises(ValueError, match="indices"):
        source.at.add(1)
    assert not hasattr(source.at[0], "set")


def test_take_functions() -> None:
    source = mx.array(values((3, 4)))
    reference = values((3, 4))
    index = np.array([[2, 0], [1, 1]])
    for axis in (0, 1, -1, None):
        np.testing.assert_array_equal(
            np.array(mx.take(source, mx.array(index), axis)), np.take(reference, index, axis)
        )
    assert mx.take(source, 5).item() == 5
    rows = np.array([[0, 3], [1, 1], [2, 0]])
    np.testing.assert_array_equal(
        np.array(mx.take_along_axis(source, mx.array(rows), 1)), np.take_along_axis(reference, rows, 1)
    )
    written = mx.put_along_axis(source, mx.array(rows), mx.array(9), 1)
    np.put_along_axis(reference, rows, 9, 1)
    np.testing.assert_array_equal(np.array(written), reference)
    with pytest.raises(TypeError):
        mx.take(source, [0, 1], 0)
    with pytest.raises(ValueError, match="integers"):
        mx.take(source, mx.array([0.5]), 0)
    with pytest.raises(ValueError, match="empty"):
        mx.take(mx.zeros((0, 3)), mx.array([0]), 0)
    assert mx.take(mx.zeros((0, 3)), mx.array([], mx.int32), 0).shape == (0, 3)


def test_slices_that_begin_at_computed_places() -> None:
    source = mx.array(values((3, 4)))
    start = mx.array([1, 0]) + 1
    assert mx.slice(source, start, (0, 1), (1, 2)).tolist() == values((3, 4))[2:3, 1:3].tolist()
    assert mx.slice_update(source, mx.array(9), mx.array([1]), (1,)).tolist() == [
        [0, 9, 2, 3], [4, 9, 6, 7], [8, 9, 10, 11]
    ]  # fmt: skip


def gradient_of(function: Any, *arguments: np.ndarray) -> list[np.ndarray]:
    numbers = list(range(len(arguments)))
    total = mx.grad(lambda *given: mx.sum(function(*given)), argnums=numbers)
    found = total(*[mx.array(a) for a in arguments])
    return [np.array(value) for value in found]


def numeric_gradient(function: Any, *arguments: np.ndarray) -> list[np.ndarray]:
    """Central differences; exact for what is linear in each element."""
    found = []
    for number, argument in enumerate(arguments):
        gradient = np.zeros_like(argument)
        for place in np.ndindex(argument.shape):
            sums = []
            for shift in (0.25, -0.25):
                moved = [np.array(a) for a in arguments]
                moved[number][place] += shift
                sums.append(float(mx.sum(function(*[mx.array(a) for a in moved])).item()))
            gradient[place] = (sums[0] - sums[1]) / 0.5
        found.append(gradient)
    return found


WEIGHTS = values((3, 4), 1)


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: a[1:, ::-1] * mx.array(WEIGHTS[1:]),
        lambda a, b: a[:, ::3] * mx.array(WEIGHTS[:, :2]),
        lambda a, b: a[mx.array([2, 0, 0])] * mx.array(WEIGHTS),
        lambda a, b: a[:, mx.array([3, 3, 1])] * mx.array(WEIGHTS[:, :3]),
        lambda a, b: mx.put_along_axis(a, mx.array([[1, 1], [0, 2], [3, 3]]), b, 1) * mx.array(WEIGHTS),
        lambda a, b: a.at[mx.array([0, 2]), 1:3].add(b[:2]) * mx.array(WEIGHTS),
        lambda a, b: a.at[mx.array([1, 1]), 1:3].multiply(b[:2]) * mx.array(WEIGHTS),
        lambda a, b: a.at[mx.array([1, 2]), 1:3].maximum(3 * b[:2]) * mx.array(WEIGHTS),
        lambda a, b: mx.pad(a, [(1, 0), (0, 2)], constant_values=b[0, 0])[:3, 2:] * mx.array(WEIGHTS),
        lambda a, b: mx.concatenate([a, b, a[:, :1]], 1)[:, 1:5] * mx.array(WEIGHTS),
    ],
)
def test_gradients(function: Any) -> None:
    a, b = values((3, 4), 1), values((3, 2), 1)
    for found, expected in zip(gradient_of(function, a, b), numeric_gradient(function, a, b), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def assign(a: Any, index: Any, value: Any) -> Any:
    a = mx.array(a)
    a[index] = value
    return a


@pytest.mark.parametrize(
    "function",
    [
        lambda a, i: a[1:, ::-2],
        lambda a, i: a[i],
        lambda a, i: a[:, i],
        lambda a, i: assign(a, i, a[0]),
        lambda a, i: assign(a, slice(1, None), a[0]),
        lambda a, i: a.at[i].add(a[:2]),
        lambda a, i: mx.pad(a, 1, constant_values=a[0, 0]),
        lambda a, i: mx.concatenate([a, a[:1]], 0),
        lambda a, i: mx.stack(mx.split(a, 2, 1)),
    ],
)
@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0), (1, 1)])
def test_vmap_is_a_loop(function: Any, axes: tuple[int | None, int | None]) -> None:
    a = values((2, 3, 4)) if axes[0] is not None else values((3, 4))
    i = np.array([[0, 2], [1, 1]]) if axes[1] is not None else np.array([2, 0])
    found = mx.vmap(function, in_axes=axes)(
        mx.array(np.moveaxis(a, 0, axes[0]) if axes[0] else a), mx.array(i.T if axes[1] == 1 else i)
    )
    expected = [
        function(mx.array(a[k] if axes[0] is not None else a), mx.array(i[k] if axes[1] is not None else i))
        for k in range(2)
    ]
    repeated = np.broadcast_to(np.array(found), (2, *expected[0].shape))
    np.testing.assert_array_equal(repeated, np.stack([np.array(row) for row in expected]))
