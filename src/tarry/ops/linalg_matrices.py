"""Small helpers for arrays of matrices: products, adjoints, diagonals, triangles. Batch dimensions lead."""

from __future__ import annotations

from tarry.base.dtypes import Dtype, float32, float64, int32, promote
from tarry.base.shapes import Shape
from tarry.graph.array import array
from tarry.ops.arithmetic import add, multiply, negative, subtract
from tarry.ops.comparison import equal, less, less_equal
from tarry.ops.complex_numbers import combine_parts, conjugate, imag, real
from tarry.ops.elementwise import cast, constant
from tarry.ops.generators import iota
from tarry.ops.layout import diagonal
from tarry.ops.products import matrix_product, transposed
from tarry.ops.selection import where
from tarry.ops.structure import reshaped


def is_complex(a: array) -> bool:
    return a.dtype.kind == "c"


def real_dtype(dtype: Dtype) -> Dtype:
    """The dtype of magnitudes."""
    return float64 if dtype is float64 else float32


def adjoint(a: array) -> array:
    """The conjugate transpose."""
    return conjugate(transposed(a)) if is_complex(a) else transposed(a)


def times(first: array, *others: array) -> array:
    """The product of matrices from left to right, in the dtype they meet in."""
    product = first
    for other in others:
        dtype = promote(product.dtype, other.dtype)
        product = matrix_product(cast(product, dtype), cast(other, dtype))
    return product


def total(*terms: array | None) -> array | None:
    """The sum of the terms that are not None; None without any."""
    found: array | None = None
    for term in terms:
        if term is not None:
            found = term if found is None else add(found, term)
    return found


def minus(value: array) -> array:
    return negative(value)


def as_columns(values: array) -> array:
    """(..., n) as (..., 1, n): a factor for each column of a matrix."""
    return reshaped(values, (*values.shape[:-1], 1, values.shape[-1]))


def as_rows(values: array) -> array:
    """(..., n) as (..., n, 1): a factor for each row of a matrix."""
    return reshaped(values, (*values.shape, 1))


def main_diagonal(a: array) -> array:
    return diagonal(a, 0, -2, -1)


def with_diagonal(values: array) -> array:
    """(..., n) as the diagonals of (..., n, n), with zeros elsewhere."""
    size = values.shape[-1]
    shape = (*values.shape[:-1], size, size)
    return where(_diagonal_mask(shape), as_columns(values), constant(0, values.dtype))


def identity_like(a: array, size: int) -> array:
    """Identity matrices of a size for the batch of `a`, in its dtype."""
    return cast(_diagonal_mask((*a.shape[:-2], size, size)), a.dtype)


def _diagonal_mask(shape: Shape) -> array:
    rank = len(shape)
    return equal(iota(shape, rank - 2, int32), iota(shape, rank - 1, int32))


def lower_triangle(a: array, strict: bool = False) -> array:
    """What is on and below the diagonal, or only below it."""
    rows, columns = iota(a.shape, a.ndim - 2, int32), iota(a.shape, a.ndim - 1, int32)
    kept = less(columns, rows) if strict else less_equal(columns, rows)
    return where(kept, a, constant(0, a.dtype))


def upper_triangle(a: array, strict: bool = False) -> array:
    """What is on and above the diagonal, or only above it."""
    rows, columns = iota(a.shape, a.ndim - 2, int32), iota(a.shape, a.ndim - 1, int32)
    kept = less(rows, columns) if strict else less_equal(rows, columns)
    return where(kept, a, constant(0, a.dtype))


def hermitian_part(a: array) -> array:
    """(A + A^H) / 2."""
    return multiply(add(a, adjoint(a)), 0.5)


def skew_part_doubled(a: array) -> array:
    """A - A^H."""
    return subtract(a, adjoint(a))


def imaginary(a: array) -> array:
    """The values without their real parts, as complex numbers."""
    part = imag(a)
    return combine_parts(constant(0, part.dtype, part.shape), part)


def with_real_diagonal(a: array) -> array:
    """The matrices with the imaginary parts on the diagonal dropped."""
    if not is_complex(a):
        return a
    return where(_diagonal_mask(a.shape), cast(real(a), a.dtype), a)


def narrow_to(value: array, dtype: Dtype) -> array:
    """A cotangent in the dtype of its input: of a real one, the real part."""
    if is_complex(value) and dtype.kind != "c":
        value = real(value)
    return cast(value, dtype)
