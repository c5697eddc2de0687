"""Products of matrices and vectors. One primitive, Matmul, does the work: the others arrange its operands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tarry.base.dtypes import Dtype, bool_, is_inexact, promote
from tarry.base.shapes import Shape, broadcast_shapes, normalize_axis, size_of
from tarry.graph.array import array
from tarry.graph.primitive import Primitive
from tarry.ops.arguments import INTEGER, integer, integers, is_integer, real_number, wrong_type
from tarry.ops.arithmetic import add, multiply
from tarry.ops.build import build, build_on
from tarry.ops.complex_numbers import conjugate
from tarry.ops.elementwise import cast, constant, require_array
from tarry.ops.reductions import sum
from tarry.ops.selection import spread
from tarry.ops.structure import batch_to_front, broadcast, move_axis, permute, reshaped
from tarry.runtime.devices import StreamLike, require_stream


class Matmul(Primitive):
    """(..., M, K) times (..., K, N) is (..., M, N), for equal batch dimensions and dtypes."""

    name = "Matmul"
    reads_strides = True
    takes_epilogue = True

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        a, b = inputs
        found: list[array | None] = []
        for number in wanted:
            if number == 0:
                found.append(matrix_product(cotangent, conjugate(transposed(b))))
            else:
                found.append(matrix_product(conjugate(transposed(a)), cotangent))
        return found

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        a, b = inputs
        left = None if tangents[0] is None else matrix_product(tangents[0], b)
        right = None if tangents[1] is None else matrix_product(a, tangents[1])
        if left is None or right is None:
            return right if left is None else left
        return add(left, right)

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        a, b = inputs
        if axes[0] is None and axes[1] is not None and a.ndim == 2:
            # One product with the batch among the columns: a @ (K, size, N).
            columns = move_axis(b, axes[1], 1)
            folded = reshaped(columns, (columns.shape[0], size * columns.shape[2]))
            return reshaped(matrix_product(a, folded), (a.shape[0], size, columns.shape[2])), 1
        if axes[1] is None and axes[0] is not None and b.ndim == 2:
            return matrix_product(move_axis(a, axes[0], 0), b), 0
        return matrix_product(batch_to_front(a, axes[0], size), batch_to_front(b, axes[1], size)), 0


_MATMUL = Matmul()


def transposed(a: array) -> array:
    """`a` with its last two axes exchanged."""
    rank = a.ndim
    return permute(a, (*range(rank - 2), rank - 1, rank - 2))


def matrix_product(a: array, b: array) -> array:
    """The product of (..., M, K) and (..., K, N) of one dtype; batch dimensions broadcast."""
    rows, inner, columns = a.shape[-2], a.shape[-1], b.shape[-1]
    if b.ndim == 2 and a.ndim > 2:
        # A batch times one matrix is one taller matrix times it.
        flat = matrix_product(reshaped(a, (size_of(a.shape[:-1]), inner)), b)
        return reshaped(flat, (*a.shape[:-1], columns))
    batch = broadcast_shapes("matmul", a.shape[:-2], b.shape[:-2])
    shape = (*batch, rows, columns)
    if inner == 0 or size_of(shape) == 0:
        return constant(0, a.dtype, shape)
    left = broadcast(a, (*batch, rows, inner))
    right = broadcast(b, (*batch, inner, columns))
    if not is_inexact(a.dtype):
        # There is no kernel for products of integers: all their terms, and sums that fuse with them.
        terms = (*batch, rows, inner, columns)
        left = broadcast(reshaped(left, (*batch, rows, inner, 1)), terms)
        right = broadcast(reshaped(right, (*batch, 1, inner, columns)), terms)
        return cast(sum(multiply(left, right), -2), a.dtype)
    return build(_MATMUL, (left, right), shape, a.dtype)


def _product_dtype(op: str, *operands: array) -> Dtype:
    dtype = operands[0].dtype
    for operand in operands[1:]:
        dtype = promote(dtype, operand.dtype)
    if dtype is bool_:
        given = " and ".join(operand.dtype.name for operand in operands)
        raise ValueError(
            f"[{op}] Only inexact types and integers are supported, but {given} meet in {dtype.name}."
        )
    return dtype


def _checked_product(op: str, a: array, b: array, dtype: Dtype) -> array:
    """The product where a 1-d operand is a row on the left and a column on the right."""
    for operand in (a, b):
        if operand.ndim == 0:
            raise ValueError(
                f"[{op}] Operands need at least one dimension, but their shapes are {a.shape} and {b.shape}."
            )
    left = reshaped(a, (1, *a.shape)) if a.ndim == 1 else a
    right = reshaped(b, (*b.shape, 1)) if b.ndim == 1 else b
    if left.shape[-1] != right.shape[-2]:
        raise ValueError(
            f"[{op}] The last dimension of {a.shape} must match the last but one of {b.shape} (for a vector, "
            "its only one)."
        )
    broadcast_shapes(op, left.shape[:-2], right.shape[:-2])
    product = matrix_product(cast(left, dtype), cast(right, dtype))
    batch, (rows, columns) = product.shape[:-2], product.shape[-2:]
    kept = ([] if a.ndim == 1 else [rows]) + ([] if b.ndim == 1 else [columns])
    return reshaped(product, (*batch, *kept))


def matmul(a: array, b: array, /, *, stream: StreamLike = None) -> array:
    """The matrix product a @ b: (..., M, K) with (..., K, N) gives (..., M, N); batch dimensions broadcast.

    A 1-d operand is a row on the left or a column on the right, and its extra dimension is dropped again.
    ValueError for 0-d operands, for inner dimensions that differ, and for booleans. Integers wrap.

    >>> mx.matmul(mx.array([[1.0, 2.0], [3.0, 4.0]]), mx.array([1.0, 1.0]))
    array([3, 7], dtype=float32)
    """
    if stream is not None:
        require_stream("matmul", stream)
    left, right = require_array("matmul", a), require_array("matmul", b)
    first, second = left._node, right._node
    if len(first.shape) == 2 == len(second.shape) and first.dtype is second.dtype:
        # The commonest case; empty and integer operands go the long way.
        (rows, inner), (depth, columns) = first.shape, second.shape
        if inner == depth and rows and inner and columns and is_inexact(first.dtype):
            return build_on(_MATMUL, (first, second), (rows, columns), first.dtype)
    return _checked_product("matmul", left, right, _product_dtype("matmul", left, right))


def addmm(
    c: array, a: array, b: array, /, alpha: float = 1.0, beta: float = 1.0, *, stream: StreamLike = None
) -> array:
    """beta * c + alpha * (a @ b), where `c` broadcasts to the shape of the product.

    ValueError as for `matmul`, and when `c` does not broadcast to the product.

    >>> mx.addmm(mx.array([10.0]), mx.array([[1.0, 2.0]]), mx.array([[3.0], [4.0]]))
    array([[21]], dtype=float32)
    """
    if stream is not None:
        require_stream("addmm", stream)
    bias, left, right = require_array("addmm", c), require_array("addmm", a), require_array("addmm", b)
    dtype = _product_dtype("addmm", bias, left, right)
    if not is_inexact(dtype):
        raise ValueError(f"[addmm] Only inexact types are supported, but the operands meet in {dtype.name}.")
    product = _checked_product("addmm", left, right, dtype)
    if broadcast_shapes("addmm", bias.shape, product.shape) != product.shape:
        raise ValueError(
            f"[addmm] c of shape {bias.shape} does not broadcast to the product's shape {product.shape}."
        )
    return add(_scaled(cast(bias, dtype), beta, "beta"), _scaled(product, alpha, "alpha"))


def _scaled(value: array, factor: Any, role: str) -> array:
    if not isinstance(factor, array) or factor.ndim:
        factor = real_number("addmm", factor, role)
        if factor == 1:
            return value
    return multiply(value, factor)


def inner(a: array, b: array, /, *, stream: StreamLike = None) -> array:
    """The sums of products over the last axes: (..., K) with (***, K) gives (..., ***). Scalars multiply.

    ValueError when the last dimensions differ, and for booleans.

    >>> mx.inner(mx.array([1.0, 2.0]), mx.array([3.0, 4.0]))
    array(11, dtype=float32)
    """
    if stream is not None:
        require_stream("inner", stream)
    left, right = require_array("inner", a), require_array("inner", b)
    if left.ndim == 0 or right.ndim == 0:
        return multiply(left, right)
    if left.shape[-1] != right.shape[-1]:
        raise ValueError(f"[inner] The last dimensions of {left.shape} and {right.shape} must be equal.")
    return _contracted("inner", left, right, (left.ndim - 1,), (right.ndim - 1,))


def outer(a: array, b: array, /, *, stream: StreamLike = None) -> array:
    """The matrix of all products of an element of `a` and one of `b`, both flattened.

    >>> mx.outer(mx.array([1, 2]), mx.array([3, 4]))
    array([[3, 4],
           [6, 8]], dtype=int32)
    """
    if stream is not None:
        require_stream("outer", stream)
    left, right = require_array("outer", a), require_array("outer", b)
    rows, columns = size_of(left.shape), size_of(right.shape)
    return multiply(reshaped(left, (rows, 1)), reshaped(right, (1, columns)))


def tensordot(
    a: array, b: array, /, axes: int | Sequence[Sequence[int]] = 2, *, stream: StreamLike = None
) -> array:
    """The sums of products over pairs of axes; the axes left of `a`, then those of `b`, make up the result.

    `axes` is a pair of sequences, of axes of `a` and the axes of `b` they meet; or a number n, for the last n
    of `a` and the first n of `b`. ValueError when the extents of a pair differ, and for booleans.

    >>> mx.tensordot(mx.ones((2, 3)), mx.ones((3, 4)), axes=1).shape
    (2, 4)
    """
    if stream is not None:
        require_stream("tensordot", stream)
    left, right = require_array("tensordot", a), require_array("tensordot", b)
    left_axes, right_axes = _contracted_axes(left, right, axes)
    pairs = list(zip(left_axes, right_axes))
    if [left.shape[axis] for axis, _ in pairs] != [right.shape[axis] for _, axis in pairs]:
        raise ValueError(
            f"[tensordot] Axes {left_axes} of shape {left.shape} and {right_axes} of {right.shape} "
            "must have equal extents."
        )
    return _contracted("tensordot", left, right, left_axes, right_axes)


def _contracted_axes(a: array, b: array, axes: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if is_integer(axes):
        count = integer("tensordot", axes, "axes")
        if count < 0 or count > a.ndim or count > b.ndim:
            raise ValueError(
                f"[tensordot] axes must be between 0 and the numbers of dimensions, {a.ndim} and {b.ndim}, "
                f"but it is {count}."
            )
        return tuple(range(a.ndim - count, a.ndim)), tuple(range(count))
    if not isinstance(axes, (list, tuple)):
        raise wrong_type("tensordot", "axes", "a number or a pair of sequences", axes)
    pair = [integers("tensordot", some, "axes", INTEGER) for some in axes]
    if len(pair) != 2:
        raise ValueError(f"[tensordot] axes must be a number or a pair of sequences, not {axes!r}.")
    if len(pair[0]) != len(pair[1]):
        raise ValueError(f"[tensordot] As many axes of a as of b are needed, not {axes!r}.")
    left = tuple([normalize_axis("tensordot", axis, a.ndim) for axis in pair[0]])
    right = tuple([normalize_axis("tensordot", axis, b.ndim) for axis in pair[1]])
    return left, right


def _contracted(op: str, a: array, b: array, a_axes: Sequence[int], b_axes: Sequence[int]) -> array:
    """The contraction as one matrix product: kept by contracted axes, contracted by kept axes."""
    dtype = _product_dtype(op, a, b)
    a_kept = [axis for axis in range(a.ndim) if axis not in a_axes]
    b_kept = [axis for axis in range(b.ndim) if axis not in b_axes]
    rows: Shape = tuple([a.shape[axis] for axis in a_kept])
    columns: Shape = tuple([b.shape[axis] for axis in b_kept])
    inner_size = size_of([a.shape[axis] for axis in a_axes])
    left = reshaped(permute(a, (*a_kept, *a_axes)), (size_of(rows), inner_size))
    right = reshaped(permute(b, (*b_axes, *b_kept)), (inner_size, size_of(columns)))
    return reshaped(matrix_product(cast(left, dtype), cast(right, dtype)), rows + columns)


def vecdot(a: array, b: array, /, axis: int = -1, *, stream: StreamLike = None) -> array:
    """sum(conjugate(a) * b) along an axis of both, with broadcasting; dtypes as for `sum`.

    ValueError for 0-d operands, an axis out of range, or extents along the axis that differ.

    >>> mx.vecdot(mx.array([1, 2]), mx.array([3, 4]))
    array(11, dtype=int32)
    """
    if stream is not None:
        require_stream("vecdot", stream)
    left, right = require_array("vecdot", a), require_array("vecdot", b)
    if left.ndim == 0 or right.ndim == 0:
        raise ValueError(f"[vecdot] Shapes {left.shape} and {right.shape} need at least one dimension.")
    axis = integer("vecdot", axis, "axis")
    for operand in (left, right):
        if not -operand.ndim <= axis < operand.ndim:
            raise IndexError(f"[vecdot] Axis {axis} is out of range for shape {operand.shape}.")
    if left.shape[axis] != right.shape[axis]:
        raise ValueError(f"[vecdot] Shapes {left.shape} and {right.shape} differ along axis {axis}.")
    shape = broadcast_shapes("vecdot", left.shape, right.shape)
    return sum(multiply(conjugate(spread(left, shape)), spread(right, shape)), axis)
