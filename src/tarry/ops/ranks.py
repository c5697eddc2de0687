"""Selections: in every row the element of a rank, what is less, and what is greater, without sorting.

With the element of rank `rank` (that many a stable sort would put before it), a selection is the elements
that are less, then those that are equal, then the greater ones, each kind in the order it had; or, of that,
`count` elements from place `rank` on. NaN is greater than every number, as in `ops.sorting`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count as count_from

import numpy as np

from tarry.base.dtypes import uint32
from tarry.graph.array import array
from tarry.ops.build import build
from tarry.ops.calls import Call, FlatCall, NumPyArray, ResultType
from tarry.ops.layout import contiguous
from tarry.ops.selection import stop_gradient
from tarry.ops.taking import pulled_along_axis, take_along_axis

# No two selections are one call, even of the same array: their ranks enter as arguments, so that a plan in
# which they happen to be equal must also serve others.
_calls = count_from(-1, -1)


class _Selection(Call):
    """A selection of `count` elements; all of the row, or those from place `rank` on."""

    __slots__ = ("count",)

    def __init__(self, rank: int, count: int) -> None:
        super().__init__()
        self.arguments = (rank,)
        self.count = count
        self.call = next(_calls)

    def with_number(self, number: int) -> Call:
        return self

    def places(self, rows: NumPyArray) -> NumPyArray:
        """Where the elements of the selection are, by NumPy."""
        order = np.argsort(rows, axis=-1, kind="stable")
        (rank,) = self.arguments
        found = np.take_along_axis(rows, order, -1)
        chosen = found[..., rank : rank + 1]
        equal = (found == chosen) | ((found != found) & (chosen != chosen))
        less = np.cumsum(equal, axis=-1) == 0
        kind = np.where(equal, 1, np.where(less, 0, 2))
        # Within a kind by place.
        sorted_places = np.lexsort((order, kind), axis=-1)
        everything = np.take_along_axis(order, sorted_places, -1)
        first = 0 if self.count == rows.shape[-1] else rank
        return np.asarray(everything[..., first : first + self.count])


class Select(_Selection):
    """The values of a selection."""

    name = "Select"
    routine = "select"
    __slots__ = ()

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        return [((*inputs[0].shape[:-1], self.count), inputs[0].dtype)]

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        return [np.take_along_axis(inputs[0], self.places(inputs[0]), -1)]

    def _places(self, rows: array) -> array:
        return select_places(rows, self.arguments[0], self.count)

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        value, cotangent = inputs[0], cotangents[0]
        if cotangent is None:
            return [None]
        return [pulled_along_axis(value, self._places(value), -1, cotangent)]

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        tangent = tangents[0]
        return [None if tangent is None else take_along_axis(tangent, self._places(inputs[0]), -1)]


class ArgSelect(_Selection, FlatCall):
    """The places of a selection."""

    name = "ArgSelect"
    routine = "argselect"
    __slots__ = ()

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        return [((*inputs[0].shape[:-1], self.count), uint32)]

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        return [self.places(inputs[0]).astype(np.uint32)]


def select_values(rows: array, rank: int, count: int) -> array:
    """The selection by rank of every row, all of it or `count` elements from place `rank` on."""
    primitive = Select(rank, count)
    rows = contiguous(rows)
    return build(primitive, (rows,), (*rows.shape[:-1], count), rows.dtype)


def select_places(rows: array, rank: int, count: int) -> array:
    """The places (uint32) of `select_values`."""
    primitive = ArgSelect(rank, count)
    rows = contiguous(stop_gradient(rows))
    return build(primitive, (rows,), (*rows.shape[:-1], count), uint32)
