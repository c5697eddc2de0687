"""Linear algebra on matrices (..., m, n): factorisations, systems, determinants. Batch dimensions lead.

The work is LAPACK's, on the host; see the `linalg_*` files for what runs and for the derivatives.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, overload

from tarry.base.dtypes import bfloat16, complex64, float16, float32, float64, promote
from tarry.base.shapes import broadcast_shapes, normalize_axis
from tarry.graph.array import array
from tarry.ops.arguments import flag, integer, word
from tarry.ops.arithmetic import divide, multiply, subtract
from tarry.ops.calls import call
from tarry.ops.comparison import greater
from tarry.ops.elementwise import cast, constant, require_array
from tarry.ops.joining import concatenate, joined
from tarry.ops.linalg_factors import QR, Cholesky, factor_lu, unpacked
from tarry.ops.linalg_matrices import adjoint, as_columns, identity_like, times
from tarry.ops.linalg_spectra import SVD, Eig, Eigenvalues, EigenvaluesHermitian, Eigh, SingularValues
from tarry.ops.linalg_systems import (
    Determinant,
    Exponential,
    Inverse,
    PseudoInverse,
    SignAndLogarithm,
    Solve,
    solve_triangle,
    triangular_inverse,
)
from tarry.ops.selection import stop_gradient, where
from tarry.ops.slices import narrowed
from tarry.ops.structure import broadcast, move_axis, reshaped
from tarry.ops.views import fresh
from tarry.runtime.devices import StreamLike, require_stream

_PRECISE = (float32, float64, complex64)


class QRFactors(NamedTuple):
    """What `qr` gives."""

    Q: array
    R: array


class SVDFactors(NamedTuple):
    """What `svd` gives."""

    U: array
    S: array
    Vh: array


class Eigensystem(NamedTuple):
    """What `eigh` gives."""

    eigenvalues: array
    eigenvectors: array


class SignAndLogarithmOfDeterminant(NamedTuple):
    """What `slogdet` gives."""

    sign: array
    logabsdet: array


def matrices(op: str, a: Any, square: bool = False) -> array:
    """The operand of an operation on matrices of floating or complex numbers."""
    value = require_array(op, a)
    if value.dtype not in _PRECISE:
        raise ValueError(
            f"[{op}] The array must be float32, float64 or complex64, but it is {value.dtype.name}."
        )
    return _shaped(op, value, square)


def _shaped(op: str, value: array, square: bool) -> array:
    if value.ndim < 2:
        raise ValueError(
            f"[{op}] The array needs at least two dimensions, but its shape is {value.shape}."
        )
    if square and value.shape[-1] != value.shape[-2]:
        raise ValueError(f"[{op}] The matrices must be square, but the shape is {value.shape}.")
    return value


# systems


def inv(a: array, *, stream: StreamLike = None) -> array:
    """The inverse of square matrices: X with A X = I.

    ValueError unless the matrices are square and of floating or complex numbers; RuntimeError at evaluation
    for a singular one.

    >>> mx.linalg.inv(mx.array([[2.0, 0.0], [0.0, 4.0]]))
    array([[0.5, 0],
           [0, 0.25]], dtype=float32)
    """
    if stream is not None:
        require_stream("inv", stream)
    return call(Inverse(), matrices("inv", a, True))[0]


def tri_inv(a: array, upper: bool = False, *, stream: StreamLike = None) -> array:
    """The inverse of triangular matrices; only the lower (or upper) triangle is looked at.

    Errors as for `inv`.

    >>> mx.linalg.tri_inv(mx.array([[1.0, 0.0], [2.0, 1.0]]))
    array([[1, 0],
           [-2, 1]], dtype=float32)
    """
    if stream is not None:
        require_stream("tri_inv", stream)
    return triangular_inverse(matrices("tri_inv", a, True), not flag("tri_inv", upper, "upper"))


def _system(op: str, a: Any, b: Any) -> tuple[array, array, bool]:
    """A and B of one dtype and batch, B with columns; whether it was a vector."""
    left, right = require_array(op, a), require_array(op, b)
    dtype = promote(left.dtype, right.dtype)
    if dtype not in _PRECISE:
        raise ValueError(
            f"[{op}] The arrays must meet in float32, float64 or complex64, but {left.dtype.name} and "
            f"{right.dtype.name} meet in {dtype.name}."
        )
    left = _shaped(op, left, True)
    vector = right.ndim == 1
    if right.ndim == 0:
        raise ValueError(f"[{op}] The right side needs at least one dimension.")
    if vector:
        right = reshaped(right, (*right.shape, 1))
    if right.shape[-2] != left.shape[-1]:
        raise ValueError(
            f"[{op}] The matrices {left.shape} and the right side {tuple(b.shape)} do not fit: the latter "
            f"should have {left.shape[-1]} rows."
        )
    batch = broadcast_shapes(op, left.shape[:-2], right.shape[:-2])
    left = broadcast(cast(left, dtype), (*batch, *left.shape[-2:]))
    right = broadcast(cast(right, dtype), (*batch, *right.shape[-2:]))
    return left, right, vector


def _without_column(value: array, vector: bool) -> array:
    return reshaped(value, value.shape[:-1]) if vector else value


def solve(a: array, b: array, *, stream: StreamLike = None) -> array:
    """The solution X of A X = B, for a vector (n,) or for columns (..., n, k); batch dimensions broadcast.

    ValueError for shapes that do not fit and for dtypes that are not floating or complex; RuntimeError at
    evaluation for a singular matrix.

    >>> mx.linalg.solve(mx.array([[2.0, 0.0], [0.0, 4.0]]), mx.array([2.0, 2.0]))
    array([1, 0.5], dtype=float32)
    """
    if stream is not None:
        require_stream("solve", stream)
    left, right, vector = _system("solve", a, b)
    return _without_column(call(Solve(), left, right)[0], vector)


def solve_triangular(a: array, b: array, *, upper: bool = False, stream: StreamLike = None) -> array:
    """The solution X of A X = B for lower (or upper) triangular A; the other triangle is not looked at.

    Errors as for `solve`.

    >>> mx.linalg.solve_triangular(mx.array([[2.0, 0.0], [1.0, 1.0]]), mx.array([2.0, 2.0]))
    array([1, 1], dtype=float32)
    """
    if stream is not None:
        require_stream("solve_triangular", stream)
    left, right, vector = _system("solve_triangular", a, b)
    lower = not flag("solve_triangular", upper, "upper")
    return _without_column(solve_triangle(left, right, lower), vector)


def pinv(a: array, *, rtol: float | array | None = None, stream: StreamLike = None) -> array:
    """The pseudoinverse of Moore and Penrose, (..., n, m) for (..., m, n): V diag(1/s) U^H.

    Singular values up to a share `rtol` of the largest count as zero, 10 max(m, n) eps unless given; an array
    gives each matrix its own. ValueError unless the matrices are of floating or complex numbers.

    >>> mx.linalg.pinv(mx.array([[2.0, 0.0], [0.0, 0.0]]))
    array([[0.5, 0],
           [0, 0]], dtype=float32)
    """
    if stream is not None:
        require_stream("pinv", stream)
    value = matrices("pinv", a)
    if not isinstance(rtol, array):
        return call(PseudoInverse(None if rtol is None else float(rtol)), value)[0]
    u, s, vh = call(SVD(False), value)
    if s.size == 0:
        return adjoint(value)
    largest = narrowed(s, s.ndim - 1, 0, 1)
    kept = greater(s, multiply(largest, reshaped(rtol, (*rtol.shape, 1))))
    inverses = where(kept, divide(1.0, where(kept, s, 1)), 0)
    return times(multiply(adjoint(vh), cast(as_columns(inverses), value.dtype)), adjoint(u))


# factorisations


def cholesky(a: array, upper: bool = False, *, stream: StreamLike = None) -> array:
    """The lower triangular L with A = L L^H, or the upper U with A = U^H U.

    A must be Hermitian and positive definite; only the triangle of the result is looked at. ValueError unless
    the matrices are square; RuntimeError at evaluation where one is not positive definite.

    >>> mx.linalg.cholesky(mx.array([[4.0, 2.0], [2.0, 5.0]]))
    array([[2, 0],
           [1, 2]], dtype=float32)
    """
    if stream is not None:
        require_stream("cholesky", stream)
    value = matrices("cholesky", a, True)
    if flag("cholesky", upper, "upper"):
        return adjoint(call(Cholesky(), adjoint(value))[0])
    return call(Cholesky(), value)[0]


def cholesky_inv(a: array, upper: bool = False, *, stream: StreamLike = None) -> array:
    """The inverse of A = L L^H from its factor L, or that of A = U^H U from U.

    Errors as for `tri_inv`.

    >>> mx.linalg.cholesky_inv(mx.array([[2.0, 0.0], [0.0, 1.0]]))
    array([[0.25, 0],
           [0, 1]], dtype=float32)
    """
    if stream is not None:
        require_stream("cholesky_inv", stream)
    factor = triangular_inverse(matrices("cholesky_inv", a, True), not flag("cholesky_inv", upper, "upper"))
    return times(factor, adjoint(factor)) if upper else times(adjoint(factor), factor)


def qr(a: array, *, mode: str = "reduced", stream: StreamLike = None) -> QRFactors:
    """Q with orthonormal columns and upper triangular R, with A = Q R; k = min(m, n) columns and rows.

    In mode "complete" Q is m by m and R m by n; the columns of Q that span the complement, of which only the
    space is determined, are constants to derivatives. ValueError for another mode, and unless the matrices
    are of floating or complex numbers.

    >>> q, r = mx.linalg.qr(mx.array([[0.0, -1.0], [-2.0, 0.0]]))
    >>> mx.abs(r)
    array([[2, 0],
           [0, 1]], dtype=float32)
    """
    if stream is not None:
        require_stream("qr", stream)
    value = matrices("qr", a)
    if mode not in ("reduced", "complete"):
        raise ValueError(f"[qr] The mode must be 'reduced' or 'complete', but it is {mode!r}.")
    rows, columns = value.shape[-2:]
    q, r = call(QR(), value)
    if mode == "complete" and rows > columns:
        # Reflections of columns of zeros are the identity: the factors of the matrix stay as they are.
        missing = constant(0, value.dtype, (*value.shape[:-1], rows - columns))
        square, _ = call(QR(), stop_gradient(concatenate([value, missing], -1)))
        q = concatenate([q, narrowed(square, q.ndim - 1, columns, rows - columns)], -1)
        below = constant(0, value.dtype, (*value.shape[:-2], rows - columns, columns))
        r = concatenate([r, below], -2)
    return QRFactors(q, r)


def lu(a: array, *, stream: StreamLike = None) -> tuple[array, array, array]:
    """P, L and U with A = L[P] U: rows in an order of uint32, unit lower and upper triangular matrices.

    Singular matrices have one, too. ValueError unless the matrices are of floating or complex numbers.

    >>> p, l, u = mx.linalg.lu(mx.array([[1.0, 2.0], [2.0, 2.0]]))
    >>> p, l, u
    (array([1, 0], dtype=uint32), array([[1, 0],
           [0.5, 1]], dtype=float32), array([[2, 2],
           [0, 1]], dtype=float32))
    """
    if stream is not None:
        require_stream("lu", stream)
    packed, _, _, inverse = factor_lu(matrices("lu", a))
    lower, upper, _ = unpacked(packed)
    return inverse, lower, upper


def lu_factor(a: array, *, stream: StreamLike = None) -> tuple[array, array]:
    """L and U in one matrix (the ones of L are left out), and the pivots: row i was exchanged with pivot[i].

    ValueError unless the matrices are of floating or complex numbers.

    >>> mx.linalg.lu_factor(mx.array([[1.0, 2.0], [2.0, 2.0]]))
    (array([[2, 2],
           [0.5, 1]], dtype=float32), array([1, 1], dtype=uint32))
    """
    if stream is not None:
        require_stream("lu_factor", stream)
    packed, pivots, _, _ = factor_lu(matrices("lu_factor", a))
    return packed, pivots


@overload
def svd(
    a: array, compute_uv: Literal[True] = True, *, full_matrices: bool = True, stream: StreamLike = None
) -> SVDFactors: ...


@overload
def svd(
    a: array, compute_uv: Literal[False], *, full_matrices: bool = True, stream: StreamLike = None
) -> array: ...


@overload
def svd(
    a: array, compute_uv: bool, *, full_matrices: bool = True, stream: StreamLike = None
) -> SVDFactors | array: ...


def svd(
    a: array, compute_uv: bool = True, *, full_matrices: bool = True, stream: StreamLike = None
) -> SVDFactors | array:
    """U, s and V^H with A = U[:, :k] diag(s) V^H[:k], k = min(m, n); or s alone without `compute_uv`.

    U is m by m and V^H n by n, without `full_matrices` m by k and k by n; the singular values s are real and
    in descending order. Derivatives exist where the singular values differ (and, for U and V^H, are not
    zero). ValueError unless the matrices are of floating or complex numbers; RuntimeError at evaluation for
    values that are not finite.

    >>> mx.linalg.svd(mx.array([[3.0, 0.0], [0.0, 2.0]]), compute_uv=False)
    array([3, 2], dtype=float32)
    """
    if stream is not None:
        require_stream("svd", stream)
    value = matrices("svd", a)
    flag("svd", full_matrices, "full_matrices")
    if not flag("svd", compute_uv, "compute_uv"):
        return call(SingularValues(), value)[0]
    return SVDFactors(*call(SVD(bool(full_matrices)), value))


# eigenvalues


def _triangle_name(op: str, name: Any) -> str:
    if word(op, name, "UPLO") not in ("L", "U", "l", "u"):
        raise ValueError(f"[{op}] UPLO must be 'L' or 'U', but it is {name!r}.")
    return str(name).upper()


def eigh(a: array, UPLO: str = "L", *, stream: StreamLike = None) -> Eigensystem:
    """Eigenvalues, real and ascending, and orthonormal eigenvectors of Hermitian A: A = V diag(w) V^H.

    `UPLO` says which triangle is read: "L" the lower, "U" the upper. Derivatives of the vectors exist where
    the values differ. ValueError unless the matrices are square and of floating or complex numbers, and for
    another UPLO; RuntimeError at evaluation where the iteration does not converge.

    >>> mx.linalg.eigh(mx.array([[2.0, 0.0], [0.0, 3.0]]))[0]
    array([2, 3], dtype=float32)
    """
    if stream is not None:
        require_stream("eigh", stream)
    return Eigensystem(*call(Eigh(_triangle_name("eigh", UPLO)), matrices("eigh", a, True)))


def eigvalsh(a: array, UPLO: str = "L", *, stream: StreamLike = None) -> array:
    """The eigenvalues of Hermitian matrices, ascending; see `eigh`.

    >>> mx.linalg.eigvalsh(mx.array([[0.0, 1.0], [1.0, 0.0]]))
    array([-1, 1], dtype=float32)
    """
    if stream is not None:
        require_stream("eigvalsh", stream)
    triangle = _triangle_name("eigvalsh", UPLO)
    return call(EigenvaluesHermitian(triangle), matrices("eigvalsh", a, True))[0]


def eig(a: array, *, stream: StreamLike = None) -> tuple[array, array]:
    """Eigenvalues and eigenvectors of length 1 of square matrices, A V = V diag(w), both complex64.

    Derivatives exist where the values differ. ValueError unless the matrices are square and of floating or
    complex numbers; RuntimeError at evaluation for values that are not finite.

    >>> mx.linalg.eig(mx.array([[2.0, 0.0], [0.0, 3.0]]))[0]
    array([2+0j, 3+0j], dtype=complex64)
    """
    if stream is not None:
        require_stream("eig", stream)
    values, vectors = call(Eig(), matrices("eig", a, True))
    return values, vectors


def eigvals(a: array, *, stream: StreamLike = None) -> array:
    """The eigenvalues of square matrices, complex64; see `eig`.

    >>> mx.linalg.eigvals(mx.array([[2.0, 0.0], [1.0, 3.0]]))
    array([3+0j, 2+0j], dtype=complex64)
    """
    if stream is not None:
        require_stream("eigvals", stream)
    return call(Eigenvalues(), matrices("eigvals", a, True))[0]


# determinants and functions


def _determinant_operand(op: str, a: Any) -> tuple[array, Any]:
    """The matrices in the dtype to compute in, and the dtype of the result."""
    value = require_array(op, a)
    dtype = value.dtype if value.dtype.kind in "fc" else float32
    if dtype in (float16, bfloat16):
        return _shaped(op, cast(value, float32), True), dtype
    return _shaped(op, cast(value, dtype), True), dtype


def det(a: array, *, stream: StreamLike = None) -> array:
    """The determinant of square matrices, with a gradient (the cofactors) for singular ones, too.

    Integers are taken as float32. ValueError unless the matrices are square.

    >>> mx.linalg.det(mx.array([[1.0, 2.0], [3.0, 4.0]]))
    array(-2, dtype=float32)
    """
    if stream is not None:
        require_stream("det", stream)
    value, dtype = _determinant_operand("det", a)
    return cast(call(Determinant(), value)[0], dtype)


def slogdet(a: array, *, stream: StreamLike = None) -> SignAndLogarithmOfDeterminant:
    """The sign of the determinant, and the logarithm of its magnitude: (0, -inf) for singular matrices.

    The sign of a complex determinant is d / |d|. Integers are taken as float32. ValueError unless the
    matrices are square.

    >>> mx.linalg.slogdet(mx.array([[1.0, 0.0], [0.0, -1.0]])).sign
    array(-1, dtype=float32)
    """
    if stream is not None:
        require_stream("slogdet", stream)
    value, dtype = _determinant_operand("slogdet", a)
    sign, logarithm = call(SignAndLogarithm(), value)
    logarithm = cast(logarithm, float32 if dtype is complex64 else dtype)
    return SignAndLogarithmOfDeterminant(cast(sign, dtype), logarithm)


def expm(a: array, *, stream: StreamLike = None) -> array:
    """The exponential of square matrices: I + A + A^2 / 2 + A^3 / 6 + ...

    ValueError unless the matrices are square and of floating or complex numbers.

    >>> mx.linalg.expm(mx.array([[0.0, 1.0], [0.0, 0.0]]))
    array([[1, 1],
           [0, 1]], dtype=float32)
    """
    if stream is not None:
        require_stream("expm", stream)
    return call(Exponential(), matrices("expm", a, True))[0]


def matrix_power(a: array, n: int, *, stream: StreamLike = None) -> array:
    """Square matrices to the power n by repeated squaring; of the inverse for negative n.

    ValueError unless the matrices are square and of floating or complex numbers; TypeError unless n is an
    integer; RuntimeError at evaluation for a singular matrix and negative n.

    >>> mx.linalg.matrix_power(mx.array([[1.0, 1.0], [0.0, 1.0]]), 5)
    array([[1, 5],
           [0, 1]], dtype=float32)
    """
    if stream is not None:
        require_stream("matrix_power", stream)
    value = matrices("matrix_power", a, True)
    exponent = integer("matrix_power", n, "n")
    if exponent == 0:
        return identity_like(value, value.shape[-1])
    if exponent < 0:
        value, exponent = call(Inverse(), value)[0], -exponent
    power: array | None = None
    square = value
    while exponent:
        if exponent & 1:
            power = square if power is None else times(power, square)
        exponent >>= 1
        if exponent:
            square = times(square, square)
    assert power is not None
    return fresh(power, a)


# products


def cross(a: array, b: array, axis: int = -1, *, stream: StreamLike = None) -> array:
    """The cross product of vectors of length 3 along an axis; those of length 2 have a third component 0.

    ValueError for other lengths and shapes that do not broadcast; IndexError for an axis out of range.

    >>> mx.linalg.cross(mx.array([1.0, 0.0, 0.0]), mx.array([0.0, 1.0, 0.0]))
    array([0, 0, 1], dtype=float32)
    """
    if stream is not None:
        require_stream("cross", stream)
    left, right = require_array("cross", a), require_array("cross", b)
    place = integer("cross", axis, "axis")
    dtype = promote(left.dtype, right.dtype)
    left, right = _components(left, place), _components(right, place)
    batch = broadcast_shapes("cross", left.shape[:-1], right.shape[:-1])
    left = broadcast(cast(left, dtype), (*batch, 3))
    right = broadcast(cast(right, dtype), (*batch, 3))
    x, y, z = (narrowed(left, left.ndim - 1, k, 1) for k in range(3))
    u, v, w = (narrowed(right, right.ndim - 1, k, 1) for k in range(3))
    product = joined(
        [
            subtract(multiply(y, w), multiply(z, v)),
            subtract(multiply(z, u), multiply(x, w)),
            subtract(multiply(x, v), multiply(y, u)),
        ],
        left.ndim - 1,
    )
    rank = product.ndim
    return move_axis(product, rank - 1, normalize_axis("cross", place, rank))


def _components(value: array, axis: int) -> array:
    """Vectors of length 3 along the last axis."""
    place = normalize_axis("cross", axis, value.ndim)
    value = move_axis(value, place, value.ndim - 1)
    extent = value.shape[-1]
    if extent not in (2, 3):
        raise ValueError(f"[cross] The axis must have 2 or 3 elements, but it has {extent}.")
    if extent == 3:
        return value
    return concatenate([value, multiply(narrowed(value, value.ndim - 1, 0, 1), 0)], -1)
