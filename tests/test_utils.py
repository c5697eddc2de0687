"""Trees: flattening, mapping, reducing, merging."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarry.utils import (
    tree_flatten,
    tree_map,
    tree_map_with_path,
    tree_merge,
    tree_reduce,
    tree_unflatten,
)

Point = namedtuple("Point", "x y")
TREE: dict[str, Any] = {"a": [1, 2, {"b": 3}], "c": (4, 5), "d": {}, "e": [], "f": None}
FLAT = [("a.0", 1), ("a.1", 2), ("a.2.b", 3), ("c.0", 4), ("c.1", 5), ("f", None)]


def is_list(node: Any) -> bool:
    return isinstance(node, list)


def test_flatten() -> None:
    assert tree_flatten(TREE) == FLAT
    assert tree_flatten(TREE, prefix=".p")[0] == ("p.a.0", 1)
    assert tree_flatten(TREE, prefix="pre")[0] == ("re.a.0", 1)
    assert tree_flatten(TREE, is_leaf=is_list)[:2] == [("a", [1, 2, {"b": 3}]), ("c.0", 4)]
    assert tree_flatten(5) == [("", 5)]
    assert tree_flatten({1: 2, "a.b": 3}) == [("1", 2), ("a.b", 3)]


def test_flatten_into_a_destination() -> None:
    assert tree_flatten(TREE, destination={}) == dict(FLAT)
    assert tree_flatten(5, destination={}) == {"": 5}
    pairs = [("q", 1)]
    assert tree_flatten([7], destination=pairs) is pairs
    assert pairs == [("q", 1), ("0", 7)]
    with pytest.raises(ValueError, match=r"\[tree_flatten\] Destination should be either a list"):
        tree_flatten(TREE, destination=())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("flat", "tree"),
    [
        ([("a.0", 1), ("a.2", 2)], {"a": [1, {}, 2]}),
        ([("0", 1), ("1", 2)], [1, 2]),
        ([("01", 1), ("1", 2)], {"01": 1, "1": 2}),
        ([("", 5)], 5),
        ([], []),
        ({}, []),
        ({"a.b": 1, "a.c": 2}, {"a": {"b": 1, "c": 2}}),
        ([("a", 1), ("a.b", 2)], {"a": {"": 1, "b": 2}}),
        ([("0", 1), ("x", 2)], {"0": 1, "x": 2}),
    ],
)
def test_unflatten(flat: Any, tree: Any) -> None:
    assert tree_unflatten(flat) == tree


def test_unflatten_refuses_a_path_twice() -> None:
    with pytest.raises(ValueError, match=r"\[tree_unflatten\] the path 'a.b' occurs more than once"):
        tree_unflatten([("a.b", 1), ("a.b", 2)])


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.integers(),
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3)
            | st.dictionaries(st.text("xyz", min_size=1, max_size=2), inner, min_size=1, max_size=3)
        ),
        max_leaves=12,
    )
)
def test_unflatten_is_the_inverse(tree: Any) -> None:
    assert tree_unflatten(tree_flatten(tree)) == tree


def test_map() -> None:
    doubled = tree_map(lambda x: x and x * 2, TREE)
    assert doubled == {"a": [2, 4, {"b": 6}], "c": (8, 10), "d": {}, "e": [], "f": None}
    assert tree_map(len, {"a": [1, 2], "b": {"c": [3]}}, is_leaf=is_list) == {"a": 2, "b": {"c": 1}}
    assert tree_map(lambda x: x * 2, Point(1, [2])) == Point(2, [4])
    assert type(tree_map(lambda x: x, Point(1, 2))) is Point
    assert type(tree_map(lambda x: x, OrderedDict(a=1))) is dict


def test_map_over_several_trees() -> None:
    assert tree_map(lambda x, y: x + y, [1, 2], [3, 4, 5]) == [4, 6]
    assert tree_map(lambda x, y: (x, y), {"a": 1}, {"a": [1, 2], "b": 0}) == {"a": (1, [1, 2])}
    with pytest.raises(IndexError, match=r"\[tree_map\] index 1 .* only 1 entries"):
        tree_map(lambda x, y: x + y, [1, 2], [3])
    with pytest.raises(KeyError, match=r"\[tree_map\] 'a' .* \['b'\]"):
        tree_map(lambda x, y: x + y, {"a": 1}, {"b": 1})


def test_map_with_path() -> None:
    paths = tree_map_with_path(lambda path, x: path, TREE)
    assert paths == {"a": ["a.0", "a.1", {"b": "a.2.b"}], "c": ("c.0", "c.1"), "d": {}, "e": [], "f": "f"}
    assert tree_map_with_path(lambda path, x: path, [1, [2]], path="p") == ["p.0", ["p.1.0"]]
    assert tree_map_with_path(lambda path, x: path, 5) is None
    assert tree_map_with_path(lambda path, x, y: (path, x, y), Point(1, [2]), Point(3, [4])) == Point(
        ("0", 1, 3), [("1.0", 2, 4)]
    )
    assert tree_map_with_path(lambda path, x: path, {"a": [1]}, is_leaf=is_list) == {"a": "a"}


def test_reduce() -> None:
    def add(total: Any, x: Any) -> Any:
        return total + x

    assert tree_reduce(add, [1, [2, 3]], 0) == 6
    assert tree_reduce(add, {"a": "x", "b": ("y", "z")}) == "xyz"
    assert tree_reduce(add, []) is None
    assert tree_reduce(add, {}, 7) == 7
    assert tree_reduce(add, 3) == 3
    assert tree_reduce(lambda total, x: total + len(x), {"a": [1, 2]}, 0, is_leaf=is_list) == 2


@pytest.mark.parametrize(
    ("a", "b", "merged"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ([{"a": 1}], [{"b": 2}, 3], [{"a": 1, "b": 2}, 3]),
        ({"a": {}}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": None}, {"a": 2}, {"a": 2}),
        ({"a": {}}, {"a": 5}, {"a": 5}),
        ({"a": 5}, {"a": []}, {"a": 5}),
        (1, None, 1),
        ([], [1], [1]),
    ],
)
def test_merge(a: Any, b: Any, merged: Any) -> None:
    assert tree_merge(a, b) == merged


def test_merge_decides_clashes_with_the_function() -> None:
    def pair(x: Any, y: Any) -> Any:
        return (x, y)

    assert tree_merge({"a": 1}, {"a": 2}, pair) == {"a": (1, 2)}
    assert tree_merge((1,), (2, 3), pair) == ((1, 2), 3)
    assert tree_merge({"a": 1}, {"a": {"b": 2}}, pair) == {"a": (1, {"b": 2})}
    assert tree_merge(None, None, lambda x, y: 3) == 3


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ({"a": 1}, {"a": 2}, "no merge function was provided"),
        ({"a": 1}, {"a": {"b": 2}}, "no merge function was provided"),
        ([], {}, "Cannot merge list with dict"),
        ({"a": {}}, {"a": []}, "Cannot merge dict with list"),
    ],
)
def test_merge_errors(a: Any, b: Any, message: str) -> None:
    with pytest.raises(ValueError, match=rf"\[tree_merge\].*{message}"):
        tree_merge(a, b)


def test_side_by_side_with_mlx() -> None:
    utils = pytest.importorskip("mlx.utils")
    assert tree_flatten(TREE) == utils.tree_flatten(TREE)
    assert tree_unflatten(FLAT) == utils.tree_unflatten(FLAT)
    double = (lambda x: x and x * 2,)
    assert tree_map(*double, TREE) == utils.tree_map(*double, TREE)
    assert tree_merge({"a": [1]}, {"b": 2}) == utils.tree_merge({"a": [1]}, {"b": 2})
