"""Linear systems and determinants on the host: inverse, solve, triangular solve, det, pinv, expm.

The derivatives are in Giles 2008, "Collected matrix derivative results for forward and reverse mode
algorithmic differentiation"; that of the pseudoinverse in Golub and Pereyra 1973, that of the exponential in
Al-Mohy and Higham 2009.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tarry.graph.array import array
from tarry.ops.arithmetic import add, multiply, subtract
from tarry.ops.build import build
from tarry.ops.calls import Call, CallError, NumPyArray, ResultType, call, lapack, library_function
from tarry.ops.complex_numbers import conjugate, real
from tarry.ops.elementwise import cast, constant
from tarry.ops.joining import concatenate
from tarry.ops.linalg_matrices import (
    adjoint,
    identity_like,
    imaginary,
    is_complex,
    lower_triangle,
    main_diagonal,
    minus,
    real_dtype,
    times,
    total,
    upper_triangle,
)
from tarry.ops.products import transposed
from tarry.ops.slices import narrowed
from tarry.ops.structure import reshaped, sum_axes


def _scalar_factor(values: array) -> array:
    """(...) as (..., 1, 1)."""
    return reshaped(values, (*values.shape, 1, 1))


def _trace(a: array) -> array:
    found = main_diagonal(a)
    return reshaped(sum_axes(found, (found.ndim - 1,)), found.shape[:-1])


class Inverse(Call):
    """X = A^-1."""

    name = "Inverse"
    public = "inv"

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        return [(inputs[0].shape, inputs[0].dtype)]

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        return [np.linalg.inv(inputs[0])]

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        given = cotangents[0]
        if given is None:
            return [None]
        back = adjoint(results[0])
        return [minus(times(back, given, back))]

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        change = tangents[0]
        assert change is not None
        return [minus(times(results[0], change, results[0]))]


class Solve(Call):
    """X with A X = B."""

    name = "Solve"
    public = "solve"

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        return [(inputs[1].shape, inputs[1].dtype)]

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        return [np.linalg.solve(inputs[0], inputs[1])]

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        given = cotangents[0]
        if given is None:
            return [None, None]
        back = call(Solve(), adjoint(inputs[0]), given)[0]
        return [minus(times(back, adjoint(results[0]))), back]

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        first = None if tangents[0] is None else minus(times(tangents[0], results[0]))
        change = total(first, tangents[1])
        assert change is not None
        return [call(Solve(), inputs[0], change)[0]]


class TriangularSolve(Call):
    """X with A X = B, for A of which only one triangle is looked at; option: whether the lower one."""

    name = "TriangularSolve"
    public = "solve_triangular"

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        return [(inputs[1].shape, inputs[1].dtype)]

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        a, b = inputs
        result = np.empty(b.shape, b.dtype)
        solve = lapack("trtrs", b)
        for place in np.ndindex(b.shape[:-2]):
            if b.shape[-1] == 0 or b.shape[-2] == 0:
                continue
            result[place], failed = solve(a[place], b[place], lower=self.options[0])
            if failed > 0:
                raise CallError(f"Singular matrix: element {failed - 1} of the diagonal is zero")
        return [result]

    def _triangle(self, a: array) -> array:
        return lower_triangle(a) if self.options[0] else upper_triangle(a)

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        given = cotangents[0]
        if given is None:
            return [None, None]
        back = solve_triangle(adjoint(inputs[0]), given, not self.options[0])
        return [minus(self._triangle(times(back, adjoint(results[0])))), back]

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        first = None if tangents[0] is None else minus(times(self._triangle(tangents[0]), results[0]))
        change = total(first, tangents[1])
        assert change is not None
        return [solve_triangle(inputs[0], change, self.options[0])]


def solve_triangle(a: array, b: array, lower: bool) -> array:
    """X with A X = B for triangular A of b's batch and dtype."""
    return call(TriangularSolve(lower), a, cast(b, a.dtype))[0]


class Determinant(Call):
    """det A. Its gradient, the matrix of cofactors, exists for singular matrices, too."""

    name = "Determinant"
    public = "det"

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        return [(inputs[0].shape[:-2], inputs[0].dtype)]

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        return [np.asarray(np.linalg.det(inputs[0]))]

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        given = cotangents[0]
        if given is None:
            return [None]
        cofactors = call(Cofactors(), inputs[0])[0]
        return [multiply(_scalar_factor(given), conjugate(cofactors))]

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        change = tangents[0]
        assert change is not None
        return [_trace(times(transposed(call(Cofactors(), inputs[0])[0]), change))]


class Cofactors(Call):
    """C = det A (A^-1)^T, from the singular values, for any A. Its own derivatives need A^-1."""

    name = "Cofactors"
    public = "det"

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        return [(inputs[0].shape, inputs[0].dtype)]

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        u, s, vh = np.linalg.svd(inputs[0].astype(np.result_type(inputs[0], np.float64)))
        others = np.ones_like(s)
        for place in range(s.shape[-1]):
            others[..., place] = np.prod(np.delete(s, place, axis=-1), axis=-1)
        sign = np.linalg.det(u) * np.linalg.det(vh)
        cofactors = sign[..., None, None] * ((u.conj() * others[..., None, :]) @ vh.conj())
        return [cofactors]

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        given = cotangents[0]
        if given is None:
            return [None]
        inverse = call(Inverse(), inputs[0])[0]
        cofactors = results[0]
        along = multiply(_scalar_factor(_trace(times(adjoint(cofactors), given))), adjoint(inverse))
        # C G^T, from the right to the left of X^H.
        across = times(conjugate(cofactors), transposed(given), adjoint(inverse))
        return [subtract(along, across)]

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        change = tangents[0]
        assert change is not None
        inverse = call(Inverse(), inputs[0])[0]
        along = multiply(_scalar_factor(_trace(times(inverse, change))), results[0])
        return [subtract(along, times(transposed(inverse), transposed(change), results[0]))]


class SignAndLogarithm(Call):
    """The sign of det A (a complex number of magnitude 1) and log |det A|."""

    name = "SignAndLogarithm"
    public = "slogdet"

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        batch, dtype = inputs[0].shape[:-2], inputs[0].dtype
        return [(batch, dtype), (batch, real_dtype(dtype))]

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        return [np.asarray(result) for result in np.linalg.slogdet(inputs[0])]

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        given_sign, given_log = cotangents
        factor = given_log
        if is_complex(inputs[0]) and given_sign is not None:
            # d sign = i sign Im tr(A^-1 dA)
            turn = minus(imaginary(multiply(conjugate(given_sign), results[0])))
            factor = total(factor, turn)
        if factor is None:
            return [None]
        inverse = call(Inverse(), inputs[0])[0]
        return [multiply(_scalar_factor(factor), adjoint(inverse))]

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        change = tangents[0]
        assert change is not None
        relative = _trace(call(Solve(), inputs[0], change)[0])
        if not is_complex(inputs[0]):
            return [None, relative]
        return [multiply(results[0], imaginary(relative)), real(relative)]


class PseudoInverse(Call):
    """P = A^+ (Moore and Penrose); option: the share of the largest up to which singular values count
    as zero.

    For None it is 10 max(m, n) eps.
    """

    name = "PseudoInverse"
    public = "pinv"

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        *batch, rows, columns = inputs[0].shape
        return [((*batch, columns, rows), inputs[0].dtype)]

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        a = inputs[0]
        if a.size == 0:
            return [np.zeros((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)]
        tolerance = self.options[0]
        if tolerance is None:
            tolerance = 10 * max(a.shape[-2:]) * float(np.finfo(a.dtype).eps)
        return [np.linalg.pinv(a, rcond=tolerance)]

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        given = cotangents[0]
        if given is None:
            return [None]
        a, p = inputs[0], results[0]
        back, turned = adjoint(p), adjoint(given)
        direct = minus(times(back, given, back))
        rows = times(turned, p, back)
        rows = subtract(rows, times(a, p, rows))  # (I - A P) G^H P P^H
        columns = times(back, p, turned)
        columns = subtract(columns, times(columns, p, a))  # P^H P G^H (I - P A)
        return [add(direct, add(rows, columns))]

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        change = tangents[0]
        assert change is not None
        a, p = inputs[0], results[0]
        back, turned = adjoint(p), adjoint(change)
        direct = minus(times(p, change, p))
        rows = times(p, back, turned)
        rows = subtract(rows, times(rows, a, p))  # P P^H dA^H (I - A P)
        columns = times(turned, back, p)
        columns = subtract(columns, times(p, a, columns))  # (I - P A) dA^H P^H P
        return [add(direct, add(rows, columns))]


class Exponential(Call):
    """exp(A) = I + A + A^2/2 + ..., by scaling and squaring of Padé approximants."""

    name = "Exponential"
    public = "expm"

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        return [(inputs[0].shape, inputs[0].dtype)]

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        a = inputs[0]
        if a.size == 0:
            return [a]
        return [library_function("scipy.linalg", "expm")(a).astype(a.dtype, copy=False)]

    def _derivative(self, a: array, direction: array) -> array:
        """The derivative at A along E: the upper right block of exp([[A, E], [0, A]])."""
        size = a.shape[-1]
        zeros = constant(0, a.dtype, a.shape)
        upper = concatenate([a, cast(direction, a.dtype)], -1)
        block = concatenate([upper, concatenate([zeros, a], -1)], -2)
        power = build(Exponential(), (block,), block.shape, block.dtype)
        return narrowed(narrowed(power, a.ndim - 2, 0, size), a.ndim - 1, size, size)

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        given = cotangents[0]
        return [None if given is None else self._derivative(adjoint(inputs[0]), given)]

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        change = tangents[0]
        assert change is not None
        return [self._derivative(inputs[0], change)]


def triangular_inverse(a: array, lower: bool) -> array:
    """The inverse of triangular matrices."""
    return solve_triangle(a, identity_like(a, a.shape[-1]), lower)
