"""Eigenvalues and singular values on the host, with their derivatives.

Hermitian: Giles 2008. General: Magnus 1985, "On differentiating eigenvalues and eigenvectors". Singular
values: Townsend 2016, "Differentiating the singular value decomposition". Where two values are equal their
vectors are free to turn, and the derivative takes no such turn into account.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tarry.base.dtypes import complex64
from tarry.graph.array import array
from tarry.ops.arithmetic import add, divide, multiply, reciprocal, subtract
from tarry.ops.calls import Call, NumPyArray, ResultType, call
from tarry.ops.comparison import equal
from tarry.ops.complex_numbers import conjugate, real
from tarry.ops.elementwise import cast, constant
from tarry.ops.joining import concatenate
from tarry.ops.linalg_matrices import (
    adjoint,
    as_columns,
    as_rows,
    hermitian_part,
    imaginary,
    is_complex,
    main_diagonal,
    minus,
    narrow_to,
    real_dtype,
    skew_part_doubled,
    times,
    total,
    with_diagonal,
)
from tarry.ops.linalg_systems import Solve
from tarry.ops.selection import where
from tarry.ops.slices import narrowed
from tarry.ops.structure import sum_axes


def _inverse_gaps(values: array) -> array:
    """1 / (v_j - v_i) in row i, column j; 0 where they are equal."""
    gaps = subtract(as_columns(values), as_rows(values))
    same = equal(gaps, 0)
    return where(same, constant(0, values.dtype), reciprocal(where(same, constant(1, values.dtype), gaps)))


class Eigh(Call):
    """Eigenvalues in ascending order and orthonormal eigenvectors, A = V diag(w) V^H; option: which triangle
    of A is read, "L" or "U".
    """

    name = "Eigh"
    public = "eigh"

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        shape, dtype = inputs[0].shape, inputs[0].dtype
        return [(shape[:-1], real_dtype(dtype)), (shape, dtype)]

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        values, vectors = np.linalg.eigh(inputs[0], self.options[0])
        return [values, vectors]

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        values, vectors = results
        given_values, given_vectors = cotangents
        middle = None if given_values is None else with_diagonal(given_values)
        if given_vectors is not None:
            turned = times(adjoint(vectors), given_vectors)
            middle = total(middle, multiply(_inverse_gaps(values), turned))
        if middle is None:
            return [None]
        whole = times(vectors, cast(middle, vectors.dtype), adjoint(vectors))
        return [hermitian_part(whole)]

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        values, vectors = results
        assert tangents[0] is not None
        turned = times(adjoint(vectors), hermitian_part(tangents[0]), vectors)
        change = times(vectors, multiply(_inverse_gaps(values), turned))
        return [real(main_diagonal(turned)), change]


class EigenvaluesHermitian(Call):
    """The eigenvalues alone; options as for Eigh."""

    name = "EigenvaluesHermitian"
    public = "eigvalsh"

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        return [(inputs[0].shape[:-1], real_dtype(inputs[0].dtype))]

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        return [np.linalg.eigvalsh(inputs[0], self.options[0])]

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        full = Eigh(*self.options)
        return full.pull_back(inputs, call(full, *inputs), [cotangents[0], None])

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        full = Eigh(*self.options)
        return full.push_forward(inputs, call(full, *inputs), tangents)[:1]


class Eig(Call):
    """Eigenvalues, in no particular order, and eigenvectors of length 1, A V = V diag(w); complex64."""

    name = "Eig"
    public = "eig"

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        shape = inputs[0].shape
        return [(shape[:-1], complex64), (shape, complex64)]

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        values, vectors = np.linalg.eig(inputs[0])
        return [values, vectors]

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        values, vectors = results
        given_values, given_vectors = cotangents
        middle = None if given_values is None else with_diagonal(given_values)
        if given_vectors is not None:
            back = adjoint(vectors)
            turned = times(back, given_vectors)
            # What would change the lengths of the vectors is taken out.
            lengths = cast(real(main_diagonal(turned)), complex64)
            turned = subtract(turned, multiply(times(back, vectors), as_columns(lengths)))
            middle = total(middle, multiply(conjugate(_inverse_gaps(values)), turned))
        if middle is None:
            return [None]
        whole = call(Solve(), adjoint(vectors), times(middle, adjoint(vectors)))[0]
        return [narrow_to(whole, inputs[0].dtype)]

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        values, vectors = results
        assert tangents[0] is not None
        change = times(cast(tangents[0], complex64), vectors)
        turned = call(Solve(), vectors, change)[0]
        moved = times(vectors, multiply(_inverse_gaps(values), turned))
        along = sum_axes(real(multiply(conjugate(vectors), moved)), (vectors.ndim - 2,))
        moved = subtract(moved, multiply(vectors, cast(along, complex64)))
        return [main_diagonal(turned), moved]


class Eigenvalues(Call):
    """The eigenvalues alone."""

    name = "Eigenvalues"
    public = "eigvals"

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        return [(inputs[0].shape[:-1], complex64)]

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        return [np.linalg.eigvals(inputs[0])]

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        full = Eig()
        return full.pull_back(inputs, call(full, *inputs), [cotangents[0], None])

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        full = Eig()
        return full.push_forward(inputs, call(full, *inputs), tangents)[:1]


class SVD(Call):
    """A = U diag(s) V^H with s in descending order; results U, s and V^H; option: whether U and V are square.

    Square ones end in bases of the complements, of which only the space is determined.
    """

    name = "SVD"
    public = "svd"

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        *batch, rows, columns = inputs[0].shape
        dtype = inputs[0].dtype
        rank = min(rows, columns)
        left, right = (rows, columns) if self.options[0] else (rank, rank)
        return [
            ((*batch, rows, left), dtype),
            ((*batch, rank), real_dtype(dtype)),
            ((*batch, right, columns), dtype),
        ]

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        u, s, vh = np.linalg.svd(inputs[0], full_matrices=self.options[0])
        return [u, s, vh]

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        rank = results[1].shape[-1]
        given_v = None if cotangents[2] is None else adjoint(cotangents[2])
        u, left = _split_columns(results[0], rank)
        v, right = _split_columns(adjoint(results[2]), rank)
        s = results[1]
        given_u, given_left = (None, None) if cotangents[0] is None else _split_columns(cotangents[0], rank)
        given_v, given_right = (None, None) if given_v is None else _split_columns(given_v, rank)
        found = _pull_thin_svd(u, s, v, given_u, cotangents[1], given_v)
        if left is not None and given_left is not None:
            # The complement turns against U.
            part = times(left, adjoint(given_left), divide(u, as_columns(s)), adjoint(v))
            found = total(found, minus(part))
        if right is not None and given_right is not None:
            part = times(divide(u, as_columns(s)), adjoint(v), given_right, adjoint(right))
            found = total(found, minus(part))
        return [found]

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        assert tangents[0] is not None
        rank = results[1].shape[-1]
        u, left = _split_columns(results[0], rank)
        v, right = _split_columns(adjoint(results[2]), rank)
        change_u, change_s, change_v = _push_thin_svd(u, results[1], v, tangents[0])
        if left is not None:
            change_u = concatenate([change_u, minus(times(u, adjoint(change_u), left))], -1)
        if right is not None:
            change_v = concatenate([change_v, minus(times(v, adjoint(change_v), right))], -1)
        return [change_u, change_s, adjoint(change_v)]


def _split_columns(a: array, rank: int) -> tuple[array, array | None]:
    """The first columns, and the others if there are any."""
    rest = a.shape[-1] - rank
    if rest == 0:
        return a, None
    return narrowed(a, a.ndim - 1, 0, rank), narrowed(a, a.ndim - 1, rank, rest)


def _rejected(a: array, basis: array) -> array:
    """What is left of the columns of A outside the space of orthonormal columns."""
    return subtract(a, times(basis, adjoint(basis), a))


def _pull_thin_svd(
    u: array, s: array, v: array, given_u: array | None, given_s: array | None, given_v: array | None
) -> array | None:
    gaps = _inverse_gaps(multiply(s, s))
    middle = None if given_s is None else cast(with_diagonal(given_s), u.dtype)
    outside = None
    if given_u is not None:
        skew = skew_part_doubled(times(adjoint(u), given_u))
        middle = total(middle, multiply(multiply(gaps, skew), as_columns(s)))
        if is_complex(u):
            # The common phase of a pair of vectors, all of it in U.
            middle = total(middle, with_diagonal(divide(main_diagonal(skew), multiply(s, 2.0))))
        if u.shape[-2] > u.shape[-1]:
            outside = times(divide(_rejected(given_u, u), as_columns(s)), adjoint(v))
    if given_v is not None:
        skew = skew_part_doubled(times(adjoint(v), given_v))
        middle = total(middle, multiply(as_rows(s), multiply(gaps, skew)))
        if v.shape[-2] > v.shape[-1]:
            scaled = divide(u, as_columns(s))
            outside = total(outside, times(scaled, adjoint(_rejected(given_v, v))))
    inside = None if middle is None else times(u, middle, adjoint(v))
    return total(inside, outside)


def _push_thin_svd(u: array, s: array, v: array, change: array) -> tuple[array, array, array]:
    gaps = _inverse_gaps(multiply(s, s))
    inner = times(adjoint(u), change, v)
    back = adjoint(inner)
    columns, rows = as_columns(s), as_rows(s)
    turn_u = multiply(gaps, add(multiply(inner, columns), multiply(rows, back)))
    turn_v = multiply(gaps, add(multiply(rows, inner), multiply(back, columns)))
    if is_complex(u):
        turn_u = add(turn_u, with_diagonal(divide(imaginary(main_diagonal(inner)), s)))
    change_u, change_v = times(u, turn_u), times(v, turn_v)
    if u.shape[-2] > u.shape[-1]:
        change_u = add(change_u, divide(_rejected(times(change, v), u), columns))
    if v.shape[-2] > v.shape[-1]:
        change_v = add(change_v, divide(_rejected(times(adjoint(change), u), v), columns))
    return change_u, real(main_diagonal(inner)), change_v


class SingularValues(Call):
    """The singular values alone, in descending order."""

    name = "SingularValues"
    public = "svdvals"

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        *batch, rows, columns = inputs[0].shape
        return [((*batch, min(rows, columns)), real_dtype(inputs[0].dtype))]

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        return [np.linalg.svd(inputs[0], compute_uv=False)]

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        full = SVD(False)
        return full.pull_back(inputs, call(full, *inputs), [None, cotangents[0], None])

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        full = SVD(False)
        return full.push_forward(inputs, call(full, *inputs), tangents)[1:2]
