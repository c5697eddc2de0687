"""Norms, ranks and condition numbers, and least squares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tarry.base.dtypes import Dtype, bfloat16, complex64, float16, float32, float64, int32, promote
from tarry.base.shapes import Shape, broadcast_shapes, normalize_axes
from tarry.graph.array import array
from tarry.ops.arguments import flag, one_or_more, real_number
from tarry.ops.arithmetic import divide, multiply, subtract
from tarry.ops.calls import call
from tarry.ops.comparison import greater, not_equal
from tarry.ops.complex_numbers import abs, squared_magnitude
from tarry.ops.elementwise import cast, require_array
from tarry.ops.exponential import power, sqrt
from tarry.ops.linalg import inv, matrices
from tarry.ops.linalg_matrices import times
from tarry.ops.linalg_spectra import SingularValues
from tarry.ops.linalg_systems import PseudoInverse
from tarry.ops.reductions import max, min, sum, without_axes
from tarry.ops.slices import narrowed
from tarry.ops.structure import broadcast, move_axis, reshaped, sum_axes
from tarry.runtime.devices import StreamLike, require_stream

Order = int | float | str | None
_EPSILON = {float32: 2.0**-23, complex64: 2.0**-23, float64: 2.0**-52}
INFINITY = float("inf")


def _working(op: str, a: Any) -> tuple[array, Dtype]:
    """The array in a dtype to compute in, and the dtype of its norms."""
    value = require_array(op, a)
    dtype = value.dtype
    if dtype in (float16, bfloat16):
        return cast(value, float32), dtype
    if dtype.kind == "f":
        return value, dtype
    return (value if dtype is complex64 else cast(value, float32)), float32


def _euclidean(value: array, axes: Shape) -> array:
    return sqrt(sum_axes(squared_magnitude(value), axes))


def _vector_norm(op: str, value: array, ord: Any, axes: Shape) -> array:
    """The norm over some axes at once, which stay with extent 1."""
    if isinstance(ord, str):
        raise ValueError(f"[{op}] The norm {ord!r} is one of matrices, but there is only one axis.")
    if ord is None or ord == 2:
        return _euclidean(value, axes)
    if isinstance(ord, bool) or not isinstance(ord, (int, float)):
        raise TypeError(f"[{op}] incompatible function arguments: ord must be a number or name, not {ord!r}.")
    magnitude = abs(value)
    if ord == INFINITY:
        return max(magnitude, axes, True)
    if ord == -INFINITY:
        return min(magnitude, axes, True)
    if ord == 0:
        return sum(cast(not_equal(magnitude, 0), magnitude.dtype), axes, True)
    if ord == 1:
        return sum(magnitude, axes, True)
    return power(sum(power(magnitude, ord), axes, True), 1.0 / ord)


def _matrix_norm(op: str, value: array, ord: Any, axes: Shape) -> array:
    """The norm of the matrices in two axes, rows and columns, which stay with extent 1."""
    rows, columns = axes
    if ord is None or ord == "fro":
        return _euclidean(value, (rows, columns))
    if ord in (1, -1, INFINITY, -INFINITY):
        across, along = (rows, columns) if ord in (1, -1) else (columns, rows)
        sums = sum(abs(value), across, True)
        return max(sums, along, True) if ord > 0 else min(sums, along, True)
    if ord not in (2, -2, "nuc"):
        raise ValueError(f"[{op}] There is no norm {ord!r} of matrices.")
    rank = value.ndim
    if rows > columns:
        # Singular values are those of the transposed matrix, too.
        rows, columns = columns, rows
    matrix = move_axis(move_axis(value, columns, rank - 1), rows, rank - 2)
    values = call(SingularValues(), matrix)[0]
    count = values.shape[-1]
    if ord == "nuc":
        found = sum(values, -1, True)
    else:
        if count == 0:
            raise ValueError(f"[{op}] A matrix without elements has no singular values.")
        found = narrowed(values, values.ndim - 1, 0 if ord == 2 else count - 1, 1)
    shape = [1 if axis in axes else extent for axis, extent in enumerate(value.shape)]
    return reshaped(found, tuple(shape))


def norm(
    a: array,
    /,
    ord: Order = None,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    *,
    stream: StreamLike = None,
) -> array:
    """The norm of vectors along one axis, or of matrices in two.

    Of vectors: sum(|x|^ord)^(1/ord), with the greatest and the least magnitude for inf and -inf, and the
    number of elements that are not zero for 0; 2 unless given. Of matrices: "fro", the default, the root of
    the sum of squares; "nuc" the sum of the singular values, 2 and -2 the greatest and the least of them; 1
    and -1 the greatest and the least sum of magnitudes of a column, inf and -inf of a row. Without `ord` and
    `axis` it is the root of the sum of all squares. Integers give float32, complex numbers their real dtype.

    ValueError for an `ord` that does not exist, and for more than two axes; IndexError for an axis out of
    range.

    >>> mx.linalg.norm(mx.array([3.0, 4.0]))
    array(5, dtype=float32)
    """
    if stream is not None:
        require_stream("norm", stream)
    return _norm("norm", a, ord, axis, keepdims)


def _order(op: str, ord: Any, role: str = "ord") -> Order:
    """Which norm: a number, a word or None. TypeError for anything else."""
    return ord if ord is None or isinstance(ord, str) else real_number(op, ord, role)


def _norm(op: str, a: Any, ord: Any, axis: Any, keepdims: bool) -> array:
    value, dtype = _working(op, a)
    ord = _order(op, ord)
    flag(op, keepdims, "keepdims")
    if axis is None:
        axes: Shape = tuple(range(value.ndim))
        if ord is None:
            return cast(without_axes(_euclidean(value, axes), axes, keepdims), dtype)
    else:
        axes = normalize_axes(op, one_or_more(op, axis, "axis"), value.ndim)
    if len(axes) not in (1, 2):
        raise ValueError(f"[{op}] A norm is taken over one or two axes, not {len(axes)}.")
    find = _vector_norm if len(axes) == 1 else _matrix_norm
    return cast(without_axes(find(op, value, ord, axes), axes, keepdims), dtype)


def vector_norm(
    a: array,
    /,
    *,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    ord: int | float = 2,
    stream: StreamLike = None,
) -> array:
    """The norm of all elements over some axes, all of them unless given, as of one vector; see `norm`.

    >>> mx.linalg.vector_norm(mx.array([[3.0, 0.0], [0.0, 4.0]]), ord=1)
    array(7, dtype=float32)
    """
    if stream is not None:
        require_stream("vector_norm", stream)
    value, dtype = _working("vector_norm", a)
    ord = real_number("vector_norm", ord, "ord")
    flag("vector_norm", keepdims, "keepdims")
    axes: Shape = tuple(range(value.ndim))
    if axis is not None:
        axes = normalize_axes("vector_norm", one_or_more("vector_norm", axis, "axis"), value.ndim)
    return cast(without_axes(_vector_norm("vector_norm", value, ord, axes), axes, keepdims), dtype)


def matrix_norm(
    a: array, /, *, keepdims: bool = False, ord: Order = "fro", stream: StreamLike = None
) -> array:
    """The norm of the matrices in the last two axes; see `norm`. ValueError for fewer than two.

    >>> mx.linalg.matrix_norm(mx.array([[3.0, 0.0], [0.0, 4.0]]), ord=2)
    array(4, dtype=float32)
    """
    if stream is not None:
        require_stream("matrix_norm", stream)
    if require_array("matrix_norm", a).ndim < 2:
        raise ValueError(f"[matrix_norm] At least two dimensions are needed, but the shape is {a.shape}.")
    return _norm("matrix_norm", a, ord, (-2, -1), keepdims)


def svdvals(a: array, /, *, stream: StreamLike = None) -> array:
    """The singular values of matrices in descending order; see `svd`.

    >>> mx.linalg.svdvals(mx.array([[3.0, 0.0], [0.0, 4.0]]))
    array([4, 3], dtype=float32)
    """
    if stream is not None:
        require_stream("svdvals", stream)
    return call(SingularValues(), matrices("svdvals", a))[0]


def matrix_rank(
    a: array,
    tol: float | None = None,
    *,
    rtol: float | array | None = None,
    stream: StreamLike = None,
) -> array:
    """The number of singular values above `tol`, or a share `rtol` of the largest, int32.

    max(m, n) eps of the largest unless one is given; an array gives each matrix its own share. ValueError for
    both, and unless the matrices are of floating or complex numbers.

    >>> mx.linalg.matrix_rank(mx.ones((3, 3)))
    array(1, dtype=int32)
    """
    if stream is not None:
        require_stream("matrix_rank", stream)
    found = svdvals(matrices("matrix_rank", a))
    if rtol is None:
        return _rank(found, _longest(a), 1, tol)
    if tol is not None:
        raise ValueError("[matrix_rank] tol and rtol are two bounds of one thing: give one of them.")
    share: Any = rtol
    if isinstance(rtol, array):
        share = reshaped(rtol, (*rtol.shape, 1))
    else:
        share = real_number("matrix_rank", rtol, "rtol")
    bound = multiply(narrowed(found, found.ndim - 1, 0, 1 if found.shape[-1] else 0), share)
    return sum(cast(greater(found, bound), int32), -1)


def _longest(a: array) -> int:
    return a.shape[-1] if a.shape[-1] > a.shape[-2] else a.shape[-2]


def _rank(values: array, longest: int, share: int, tol: Any) -> array:
    if tol is None:
        largest = narrowed(values, values.ndim - 1, 0, 1 if values.shape[-1] else 0)
        bound: Any = broadcast(multiply(largest, share * longest * _EPSILON[values.dtype]), values.shape)
    else:
        bound = real_number("matrix_rank", tol, "tol")
    return sum(cast(greater(values, bound), int32), -1)


def cond(a: array, p: Order = None, *, stream: StreamLike = None) -> array:
    """The condition number |A| |A^-1| in the norm `p`; for 2, the default, the quotient of singular values.

    Infinite for singular matrices with p = 2. ValueError unless the matrices are of floating or complex
    numbers (and square, for another norm than 2 and -2); RuntimeError at evaluation for a singular matrix in
    another norm.

    >>> mx.linalg.cond(mx.array([[4.0, 0.0], [0.0, 1.0]]))
    array(4, dtype=float32)
    """
    if stream is not None:
        require_stream("cond", stream)
    value, p = matrices("cond", a), _order("cond", p, "p")
    if p is None or p in (2, -2):
        values = call(SingularValues(), value)[0]
        last = values.shape[-1] - 1
        if last < 0:
            raise ValueError("[cond] A matrix without elements has no condition number.")
        largest = reshaped(narrowed(values, values.ndim - 1, 0, 1), values.shape[:-1])
        least = reshaped(narrowed(values, values.ndim - 1, last, 1), values.shape[:-1])
        return divide(least, largest) if p == -2 else divide(largest, least)
    return multiply(_norm("cond", value, p, (-2, -1), False), _norm("cond", inv(value), p, (-2, -1), False))


def lstsq(
    a: array, b: array, rcond: float | None = None, *, stream: StreamLike = None
) -> tuple[array, array, array, array]:
    """The shortest x for which |A x - B| is least, for a vector (m,) or columns (..., m, k).

    The result is (x, residuals, rank, singular values), with the residual |A x - B|^2 of each column.
    Singular values up to rcond times the largest (10 max(m, n) eps unless given) count as zero.

    ValueError for shapes that do not fit and for dtypes that are not floating or complex.

    >>> a = mx.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    >>> x, residuals, rank, values = mx.linalg.lstsq(a, mx.array([1.0, 3.0, 5.0]))
    >>> mx.round(x, 3), rank
    (array([1, 2], dtype=float32), array(2, dtype=int32))
    """
    if stream is not None:
        require_stream("lstsq", stream)
    left, right, vector = _least_squares_operands(a, b)
    share = None if rcond is None else real_number("lstsq", rcond, "rcond")
    x = times(call(PseudoInverse(share), left)[0], right)
    missed = sum_axes(squared_magnitude(subtract(times(left, x), right)), (left.ndim - 2,))
    missed = reshaped(missed, (*missed.shape[:-2], missed.shape[-1]))
    values = call(SingularValues(), left)[0]
    if share is None:
        rank = _rank(values, _longest(left), 10, None)
    else:
        first = narrowed(values, values.ndim - 1, 0, 1 if values.shape[-1] else 0)
        rank = sum(cast(greater(values, broadcast(multiply(first, share), values.shape)), int32), -1)
    if vector:
        x, missed = reshaped(x, x.shape[:-1]), reshaped(missed, missed.shape[:-1])
    return x, missed, rank, values


def _least_squares_operands(a: Any, b: Any) -> tuple[array, array, bool]:
    """A and B of one dtype and batch, B with columns; whether it was a vector."""
    left, right = require_array("lstsq", a), require_array("lstsq", b)
    dtype = promote(left.dtype, right.dtype)
    left, right = matrices("lstsq", cast(left, dtype)), cast(right, dtype)
    if right.ndim == 0:
        raise ValueError("[lstsq] The right side needs at least one dimension.")
    vector = right.ndim == 1
    if vector:
        right = reshaped(right, (*right.shape, 1))
    if right.shape[-2] != left.shape[-2]:
        raise ValueError(
            f"[lstsq] The matrices {left.shape} and the right side {tuple(b.shape)} do not fit: both should "
            f"have {left.shape[-2]} rows."
        )
    batch = broadcast_shapes("lstsq", left.shape[:-2], right.shape[:-2])
    left = broadcast(left, (*batch, *left.shape[-2:]))
    return left, broadcast(right, (*batch, *right.shape[-2:])), vector
