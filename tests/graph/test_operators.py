"""The table through which arrays reach operations, and what a graph looks like as text."""

from __future__ import annotations

import pytest

import tarry.core as mx
from tarry.graph.operators import Operators, operators
from tarry.graph.walk import print_graph


def test_unbound_operations_say_so() -> None:
    with pytest.raises(RuntimeError, match=r"\[add\] The operation is not loaded"):
        Operators().add(1, 2)


def test_only_known_places_can_be_filled() -> None:
    with pytest.raises(AttributeError, match="no place named 'frobnicate'"):
        Operators().bind(frobnicate=len)
    table = Operators()
    table.bind(add=lambda a, b: a)
    assert table.add(3, 4) == 3


def test_arithmetic_is_bound() -> None:
    assert operators.add is mx.add and operators.matmul is mx.matmul


def test_graph_of_an_index() -> None:
    source = mx.zeros((3, 4))
    lines = print_graph([source[1, ::2]._node]).split("\n")
    assert [line.split(" = ")[1].split("(")[0] for line in lines] == ["Constant", "Slice", "Reshape"]
