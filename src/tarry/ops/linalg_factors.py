"""Factorisations on the host that need no iteration: Cholesky, QR and LU, with their derivatives.

Cholesky: Murray 2016, "Differentiation of the Cholesky decomposition". QR: Walter and Lehmann 2018,
"Algorithmic differentiation of linear algebra functions"; for wide matrices the columns that follow the
square part are taken for themselves, there and for LU.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tarry.base.dtypes import uint32
from tarry.graph.array import array
from tarry.ops.arithmetic import add, multiply, subtract
from tarry.ops.calls import Call, NumPyArray, ResultType, call, lapack
from tarry.ops.elementwise import constant
from tarry.ops.joining import concatenate
from tarry.ops.linalg_matrices import (
    adjoint,
    as_rows,
    hermitian_part,
    identity_like,
    lower_triangle,
    main_diagonal,
    times,
    upper_triangle,
    with_diagonal,
    with_real_diagonal,
)
from tarry.ops.linalg_systems import solve_triangle
from tarry.ops.slices import narrowed
from tarry.ops.structure import broadcast
from tarry.ops.taking import take_along_axis


def _zeros_like(a: array) -> array:
    return constant(0, a.dtype, a.shape)


def _or_zeros(cotangent: array | None, like: array) -> array:
    return _zeros_like(like) if cotangent is None else cotangent


class Cholesky(Call):
    """The lower triangular L with a positive diagonal and A = L L^H; reads the lower triangle of A."""

    name = "Cholesky"
    public = "cholesky"

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        return [(inputs[0].shape, inputs[0].dtype)]

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        return [np.linalg.cholesky(inputs[0])]

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        given = cotangents[0]
        if given is None:
            return [None]
        factor = results[0]
        back = adjoint(factor)
        middle = _halved_lower(times(back, lower_triangle(given)))
        left = solve_triangle(back, middle, False)  # L^-H P
        # ... L^-1 from the right.
        whole = adjoint(solve_triangle(back, adjoint(left), False))
        return [hermitian_part(whole)]

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        change = tangents[0]
        assert change is not None
        factor = results[0]
        left = solve_triangle(factor, hermitian_part(change), True)
        whole = adjoint(solve_triangle(factor, adjoint(left), True))
        return [times(factor, _halved_lower(whole))]


def _halved_lower(a: array) -> array:
    """The lower triangle with half the (real) diagonal."""
    lower = with_real_diagonal(lower_triangle(a))
    return subtract(lower, multiply(with_diagonal(main_diagonal(lower)), 0.5))


class QR(Call):
    """Q with orthonormal columns and upper triangular R, A = Q R; min(m, n) columns and rows."""

    name = "QR"
    public = "qr"

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        *batch, rows, columns = inputs[0].shape
        rank = min(rows, columns)
        dtype = inputs[0].dtype
        return [((*batch, rows, rank), dtype), ((*batch, rank, columns), dtype)]

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        q, r = np.linalg.qr(inputs[0])
        return [q, r]

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        q, r = results
        given_q, given_r = _or_zeros(cotangents[0], q), _or_zeros(cotangents[1], r)
        rank, columns = q.shape[-1], r.shape[-1]
        if columns == rank:
            return [_pull_square_qr(q, r, given_q, given_r)]
        last = columns - rank
        rest = narrowed(inputs[0], q.ndim - 1, rank, last)
        given_rest = narrowed(given_r, r.ndim - 1, rank, last)
        given_q = add(given_q, times(rest, adjoint(given_rest)))
        square = narrowed(r, r.ndim - 1, 0, rank)
        first = _pull_square_qr(q, square, given_q, narrowed(given_r, r.ndim - 1, 0, rank))
        return [concatenate([first, times(q, given_rest)], -1)]

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        change = tangents[0]
        assert change is not None
        q, r = results
        rank, columns = q.shape[-1], r.shape[-1]
        last = columns - rank
        first = narrowed(change, q.ndim - 1, 0, rank)
        square = narrowed(r, r.ndim - 1, 0, rank)
        relative = _divide_right(first, square)  # dA R^-1
        turned = times(adjoint(q), relative)
        below = lower_triangle(turned, True)
        upper = with_real_diagonal(add(upper_triangle(turned), adjoint(below)))  # dR R^-1
        change_q = subtract(relative, times(q, upper))
        change_r = times(upper, square)
        if last:
            rest = narrowed(inputs[0], q.ndim - 1, rank, last)
            change_rest = narrowed(change, q.ndim - 1, rank, last)
            behind = add(times(adjoint(change_q), rest), times(adjoint(q), change_rest))
            change_r = concatenate([change_r, behind], -1)
        return [change_q, change_r]


def _pull_square_qr(q: array, r: array, given_q: array, given_r: array) -> array:
    """The cotangent of A where R is square."""
    middle = subtract(times(given_r, adjoint(r)), times(adjoint(q), given_q))
    above = upper_triangle(middle, True)
    diagonal = with_real_diagonal(with_diagonal(main_diagonal(middle)))
    whole = add(add(above, adjoint(above)), diagonal)
    inner = add(given_q, times(q, whole))
    return adjoint(solve_triangle(r, adjoint(inner), False))


def _divide_right(a: array, upper: array) -> array:
    """A R^-1 for upper triangular R."""
    return adjoint(solve_triangle(adjoint(upper), adjoint(a), True))


class LU(Call):
    """LU with row exchanges; results: L and U in one matrix, the exchanges, the order of rows, its inverse.

    Row i of L U is row order[i] of A; pivots[i] is the row that was exchanged with row i.
    """

    name = "LU"
    public = "lu"

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        *batch, rows, columns = inputs[0].shape
        packed: ResultType = (inputs[0].shape, inputs[0].dtype)
        order: ResultType = ((*batch, rows), uint32)
        return [packed, ((*batch, min(rows, columns)), uint32), order, order]

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        a = inputs[0]
        *batch, rows, columns = a.shape
        packed = np.empty(a.shape, a.dtype)
        pivots = np.empty((*batch, min(rows, columns)), np.uint32)
        order = np.empty((*batch, rows), np.uint32)
        order[...] = np.arange(rows)
        if a.size:
            factor = lapack("getrf", a)
            for place in np.ndindex(tuple(batch)):
                packed[place], pivots[place], _ = factor(a[place])
                rows_now = order[place]
                for row, other in enumerate(pivots[place]):
                    rows_now[[row, other]] = rows_now[[other, row]]
        return [packed, pivots, order, np.argsort(order, axis=-1).astype(np.uint32)]

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        given = cotangents[0]
        if given is None:
            return [None]
        lower, upper, rank = unpacked(results[0])
        given_lower = lower_triangle(narrowed(given, given.ndim - 1, 0, rank), True)
        given_upper = upper_triangle(narrowed(given, given.ndim - 2, 0, rank))
        return [_reordered(_pull_factors(lower, upper, given_lower, given_upper), results[3])]

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        assert tangents[0] is not None
        change = _reordered(tangents[0], results[2])
        lower, upper, rank = unpacked(results[0])
        rows, columns = change.shape[-2:]
        axis = change.ndim - 2
        top, left = narrowed(lower, axis, 0, rank), narrowed(upper, axis + 1, 0, rank)
        corner = narrowed(narrowed(change, axis, 0, rank), axis + 1, 0, rank)
        middle = _divide_right(solve_triangle(top, corner, True), left)  # L^-1 dA U^-1
        change_lower = times(top, lower_triangle(middle, True))
        change_upper = times(upper_triangle(middle), left)
        whole = add(lower_triangle(change_lower, True), upper_triangle(change_upper))
        if rows > rank:
            below = narrowed(narrowed(change, axis, rank, rows - rank), axis + 1, 0, rank)
            behind = narrowed(lower, axis, rank, rows - rank)
            below = _divide_right(subtract(below, times(behind, change_upper)), left)
            whole = concatenate([whole, below], -2)
        if columns > rank:
            right = narrowed(change, axis + 1, rank, columns - rank)
            behind = narrowed(upper, axis + 1, rank, columns - rank)
            right = solve_triangle(top, subtract(right, times(change_lower, behind)), True)
            whole = concatenate([whole, right], -1)
        return [whole, None, None, None]


def unpacked(packed: array) -> tuple[array, array, int]:
    """L with its ones and U from their common matrix, and the number of columns of L."""
    rank = min(packed.shape[-2:])
    lower = lower_triangle(narrowed(packed, packed.ndim - 1, 0, rank), True)
    ones = identity_like(packed, rank)
    if packed.shape[-2] > rank:
        below = (*packed.shape[:-2], packed.shape[-2] - rank, rank)
        ones = concatenate([ones, constant(0, packed.dtype, below)], -2)
    upper = upper_triangle(narrowed(packed, packed.ndim - 2, 0, rank))
    return add(lower, ones), upper, rank


def _reordered(a: array, order: array) -> array:
    """Row order[i] of A as row i."""
    return take_along_axis(a, broadcast(as_rows(order), a.shape), -2)


def _pull_factors(lower: array, upper: array, given_lower: array, given_upper: array) -> array:
    """The cotangent of L U."""
    axis = lower.ndim - 2
    rows, rank = lower.shape[-2:]
    columns = upper.shape[-1]
    top, left = narrowed(lower, axis, 0, rank), narrowed(upper, axis + 1, 0, rank)
    given_top = narrowed(given_lower, axis, 0, rank)
    given_left = narrowed(given_upper, axis + 1, 0, rank)
    below = right = None
    if rows > rank:
        behind = narrowed(lower, axis, rank, rows - rank)
        below = _divide_by_adjoint(narrowed(given_lower, axis, rank, rows - rank), left)
        given_left = subtract(given_left, times(adjoint(behind), below))
    if columns > rank:
        behind = narrowed(upper, axis + 1, rank, columns - rank)
        right = narrowed(given_upper, axis + 1, rank, columns - rank)
        right = solve_triangle(adjoint(top), right, False)
        given_top = subtract(given_top, times(right, adjoint(behind)))
    strict = lower_triangle(times(adjoint(top), given_top), True)
    middle = add(strict, upper_triangle(times(given_left, adjoint(left))))
    corner = _divide_by_adjoint(solve_triangle(adjoint(top), middle, False), left)
    if below is not None:
        corner = concatenate([corner, below], -2)
    return corner if right is None else concatenate([corner, right], -1)


def _divide_by_adjoint(a: array, upper: array) -> array:
    """A U^-H for upper triangular U."""
    return adjoint(solve_triangle(upper, adjoint(a), False))


def factor_lu(a: array) -> list[array]:
    """L and U in one matrix, pivots, order of rows and its inverse."""
    return call(LU(), a)
