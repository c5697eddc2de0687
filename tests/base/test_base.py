"""Dtypes and promotion, shapes, trees, settings, and where errors say the user's line is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.base import dtypes, errors, shapes, trees
from tarry.base.settings import Settings


def test_codes_and_sizes() -> None:
    assert [dtype.code for dtype in dtypes.ALL] == list(range(14))
    for dtype in dtypes.ALL:
        assert dtypes.to_numpy(dtype).itemsize == dtype.size
        assert hash(dtype) == dtype.code
        assert dtypes.from_numpy(dtypes.to_numpy(dtype)) is dtype
    assert repr(dtypes.bool_) == "mlx.core.bool"
    assert dtypes.float32 != "float32"


def test_numpy_dtypes_without_a_counterpart() -> None:
    assert dtypes.from_numpy(np.dtype("complex128")) is None
    assert dtypes.from_numpy(np.dtype(">f4")) is None


@pytest.mark.parametrize("a,b", list(itertools.product(dtypes.ALL, repeat=2)), ids=lambda d: d.name)
def test_promotion_is_the_wheels(a: dtypes.Dtype, b: dtypes.Dtype) -> None:
    mlx = pytest.importorskip("mlx.core")
    left, right = (mlx.array([1]).astype(getattr(mlx, d.name.replace("bool", "bool_"))) for d in (a, b))
    expected = str(mlx.result_type(left, right)).removeprefix("mlx.core.")
    assert dtypes.promote(a, b).name == expected
    assert dtypes.promote(b, a) is dtypes.promote(a, b)


@pytest.mark.parametrize(
    "dtype,kind,expected",
    [
        ("bool", "b", "bool"),
        ("bool", "i", "int32"),
        ("int8", "i", "int8"),
        ("uint64", "f", "float32"),
        ("float16", "f", "float16"),
        ("bfloat16", "i", "bfloat16"),
        ("float64", "c", "complex64"),
    ],
)
def test_python_scalars_are_weak(dtype: str, kind: str, expected: str) -> None:
    assert dtypes.promote_weak(dtypes.BY_NAME[dtype], kind).name == expected


def test_categories() -> None:
    assert dtypes.is_subdtype(dtypes.bfloat16, dtypes.floating)
    assert dtypes.is_subdtype(dtypes.uint8, dtypes.integer)
    assert not dtypes.is_subdtype(dtypes.bool_, dtypes.number)
    assert dtypes.is_subdtype(dtypes.signedinteger, dtypes.number)
    assert not dtypes.is_subdtype(dtypes.number, dtypes.signedinteger)


sizes = st.lists(st.integers(0, 5), max_size=4).map(tuple)


@given(sizes, sizes)
def test_broadcasting_is_numpys(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    try:
        expected = np.broadcast_shapes(a, b)
    except ValueError:
        with pytest.raises(ValueError, match=r"\[add\] Shapes .* cannot be broadcast"):
            shapes.broadcast_shapes("add", a, b)
    else:
        assert shapes.broadcast_shapes("add", a, b) == expected


@given(sizes)
def test_strides_are_numpys(shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, np.int8)
    if array.size:
        assert shapes.contiguous_strides(shape) == array.strides
    assert shapes.is_contiguous(shape, array.strides)
    assert shapes.is_contiguous(shape[::-1], array.T.strides) == array.T.flags.c_contiguous


@given(st.lists(st.integers(1, 6), max_size=5), st.data())
def test_reshape_groups_have_equal_products(source: list[int], data: st.DataObject) -> None:
    factors = [f for extent in source for f in ([2, extent // 2] if extent % 2 == 0 else [extent])]
    target: list[int] = []
    for factor in factors:
        if target and data.draw(st.booleans()):
            target[-1] *= factor
        else:
            target.append(factor)
    ends = (0, 0)
    for group in shapes.reshape_groups(tuple(source), tuple(target)):
        assert (group.input_start, group.output_start) == ends
        ends = (group.input_end, group.output_end)
        left = shapes.size_of(source[group.input_start : group.input_end])
        assert left == shapes.size_of(target[group.output_start : group.output_end])
    assert ends == (len(source), len(target))


def test_axes() -> None:
    assert shapes.normalize_axes("sum", (-1, 0), 3) == (2, 0)
    with pytest.raises(IndexError, match=r"\[sum\] Invalid axis 3 for an array with 3 dimensions"):
        shapes.normalize_axis("sum", 3, 3)
    with pytest.raises(ValueError, match=r"\[sum\] Axes must be different, but \(0, -3\)"):
        shapes.normalize_axes("sum", (0, -3), 3)


def test_trees() -> None:
    tree = {"a": [1, (2, {"b": 3})], "c": ()}
    assert trees.leaves(tree) == [1, 2, 3]
    doubled = trees.map_leaves(lambda x: 2 * x, tree)
    assert doubled == {"a": [2, (4, {"b": 6})], "c": ()}
    assert trees.unflatten(tree, [7, 8, 9]) == {"a": [7, (8, {"b": 9})], "c": ()}


def test_named_tuples_stay_named_tuples() -> None:
    from collections import namedtuple

    point = namedtuple("point", "x y")
    assert trees.map_leaves(lambda x: x + 1, point(1, [2])) == point(2, [3])


def test_settings_name_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TARRY_THREADS", "none")
    with pytest.raises(ValueError, match=r"\[settings\] TARRY_THREADS must be an integer, but it is 'none'"):
        Settings()
    monkeypatch.setenv("TARRY_THREADS", "0")
    with pytest.raises(ValueError, match=r"TARRY_THREADS must be at least 1, but it is 0"):
        Settings()
    monkeypatch.setenv("TARRY_THREADS", "3")
    monkeypatch.setenv("TARRY_CACHE", "0")
    settings = Settings()
    assert (settings.threads, settings.disk_cache) == (3, False)


def test_the_users_call_is_outside_tarry() -> None:
    call = errors.user_call()
    assert call.where.rsplit(":", 1)[0].endswith("test_base.py")
    assert call.name == "test_the_users_call_is_outside_tarry"
