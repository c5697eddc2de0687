"""Products of parts of matrices: chosen by index, with masked blocks, by segments of the inner dimension."""

from __future__ import annotations

from collections.abc import Sequence

from tarry.base.dtypes import Dtype, bool_, int32, promote
from tarry.base.shapes import Shape, broadcast_shapes, size_of
from tarry.graph.array import array
from tarry.ops.arguments import integer
from tarry.ops.arithmetic import multiply
from tarry.ops.comparison import greater_equal, less, logical_and
from tarry.ops.elementwise import cast, constant, require_array
from tarry.ops.generators import iota
from tarry.ops.indexed import gathered
from tarry.ops.products import matmul, matrix_product
from tarry.ops.selection import where
from tarry.ops.slices import narrowed, sliced
from tarry.ops.structure import broadcast, reshaped
from tarry.runtime.devices import StreamLike, require_stream


def _real_dtype(op: str, *operands: array) -> Dtype:
    dtype = operands[0].dtype
    for operand in operands[1:]:
        dtype = promote(dtype, operand.dtype)
    if dtype.kind != "f":
        raise ValueError(f"[{op}] Only real floating types are supported, but the product's is {dtype.name}.")
    return dtype


# chosen by index


def _matrix_indices(op: str, indices: object, batch: Shape) -> array:
    """The given numbers of matrices, or those of all matrices of a batch in order."""
    if indices is None:
        return reshaped(iota((size_of(batch),), 0, int32), batch)
    found = require_array(op, indices)
    if found.dtype.kind not in "ui":
        raise ValueError(f"[{op}] Indices must be integers, but their dtype is {found.dtype.name}.")
    return found


def _chosen(value: array, indices: array) -> array:
    """The matrices with the given numbers, counted in row-major order of the batch dimensions."""
    matrix = value.shape[-2:]
    flat = reshaped(value, (size_of(value.shape[:-2]), *matrix))
    rank = indices.ndim
    return gathered(flat, [indices], (-1, rank, rank + 1), tuple(range(rank)), (*indices.shape, *matrix))


def chosen_matrices(
    op: str, a: array, parts: Sequence[array], lhs_indices: object, rhs_indices: object
) -> tuple[array, tuple[array, ...]]:
    """The matrices of `a`, and those of all `parts`, that index arrays choose; indices broadcast."""
    first = _matrix_indices(op, lhs_indices, a.shape[:-2])
    second = _matrix_indices(op, rhs_indices, parts[0].shape[:-2])
    shape = broadcast_shapes(op, first.shape, second.shape)
    left = a if lhs_indices is None and first.shape == shape else _chosen(a, broadcast(first, shape))
    if rhs_indices is None and second.shape == shape:
        return left, tuple(parts)
    return left, tuple([_chosen(part, broadcast(second, shape)) for part in parts])


def gather_mm(
    a: array,
    b: array,
    /,
    lhs_indices: array | None = None,
    rhs_indices: array | None = None,
    *,
    sorted_indices: bool = False,
    stream: StreamLike = None,
) -> array:
    """Products of matrices chosen by index: a[lhs_indices] @ b[rhs_indices].

    Indices count the matrices in row-major order of the batch dimensions; without them all are taken in
    order. The two index arrays broadcast, and their shape comes before the rows and columns of the result.

    Errors: ValueError for indices that are not integers, and products that are not of real floating type.

    Example:
        >>> mx.gather_mm(mx.ones((2, 3)), mx.ones((5, 3, 4)), rhs_indices=mx.array([0, 4, 4])).shape
        (3, 2, 4)
    """
    if stream is not None:
        require_stream("gather_mm", stream)
    left, right = require_array("gather_mm", a), require_array("gather_mm", b)
    dtype = _real_dtype("gather_mm", left, right)
    if left.ndim == 0 or right.ndim == 0:
        raise ValueError("[gather_mm] Both factors need at least one dimension.")
    row, column = left.ndim == 1, right.ndim == 1
    left = reshaped(left, (1, *left.shape)) if row else left
    right = reshaped(right, (*right.shape, 1)) if column else right
    if left.shape[-1] != right.shape[-2]:
        raise ValueError(
            f"[gather_mm] The last dimension of {a.shape} must match the last but one of {b.shape}."
        )
    left, (right,) = chosen_matrices("gather_mm", left, (right,), lhs_indices, rhs_indices)
    product = matrix_product(cast(left, dtype), cast(right, dtype))
    *batch, rows, columns = product.shape
    return reshaped(product, (*batch, *([] if row else [rows]), *([] if column else [columns])))


# masked blocks


def _masked(value: array, mask: object, block: int) -> array:
    """The value with the blocks of the last two dimensions times the mask; booleans keep or drop them."""
    if mask is None:
        return value
    given = require_array("block_masked_mm", mask)
    *batch, rows, columns = value.shape
    blocks = (*batch, -(-rows // block), -(-columns // block))
    if broadcast_shapes("block_masked_mm", given.shape, blocks) != blocks:
        raise ValueError(
            f"[block_masked_mm] A mask of shape {given.shape} does not broadcast to {blocks}, the blocks of "
            f"shape {value.shape}."
        )
    tall, wide = blocks[-2:]
    spread = reshaped(broadcast(given, blocks), (*batch, tall, 1, wide, 1))
    spread = broadcast(spread, (*batch, tall, block, wide, block))
    spread = reshaped(spread, (*batch, tall * block, wide * block))
    spread = sliced(spread, [0] * value.ndim, value.shape, [1] * value.ndim)
    if given.dtype.kind == "f":
        return multiply(value, cast(spread, value.dtype))
    return where(cast(spread, bool_), value, constant(0, value.dtype))


def block_masked_mm(
    a: array,
    b: array,
    /,
    block_size: int = 64,
    mask_out: array | None = None,
    mask_lhs: array | None = None,
    mask_rhs: array | None = None,
    *,
    stream: StreamLike = None,
) -> array:
    """a @ b with masks over square blocks of both factors and of the result.

    A mask has one element for each block, from the first row and column on, and broadcasts. Booleans and
    integers keep or drop a block, floating numbers scale it.

    Errors: ValueError as for `matmul`, and for masks that do not fit.

    Example:
        >>> mx.block_masked_mm(mx.ones((2, 2)), mx.ones((2, 2)), 1, mx.array([[True, False]])).tolist()
        [[2.0, 0.0], [2.0, 0.0]]
    """
    if stream is not None:
        require_stream("block_masked_mm", stream)
    op = "block_masked_mm"
    left, right = require_array(op, a), require_array(op, b)
    block = integer(op, block_size, "block_size")
    if block < 1:
        raise ValueError(f"[{op}] block_size must be positive, but it is {block}.")
    if left.ndim == 0 or right.ndim == 0:
        raise ValueError(f"[{op}] Both factors need at least one dimension.")
    row, column = left.ndim == 1, right.ndim == 1
    left = reshaped(left, (1, *left.shape)) if row else left
    right = reshaped(right, (*right.shape, 1)) if column else right
    left, right = _masked(left, mask_lhs, block), _masked(right, mask_rhs, block)
    product = _masked(matmul(left, right), mask_out, block)
    *batch, rows, columns = product.shape
    return reshaped(product, (*batch, *([] if row else [rows]), *([] if column else [columns])))


# segments


def segmented_mm(a: array, b: array, /, segments: array, *, stream: StreamLike = None) -> array:
    """One product of two matrices for each segment [start, stop) of their inner dimension.

    `segments` has shape (..., 2), the result (..., M, N).

    Errors: ValueError for more or fewer than two dimensions, segments that are no pairs of integers, and
    products that are not of real floating type.

    Example:
        >>> mx.segmented_mm(mx.ones((1, 5)), mx.ones((5, 1)), mx.array([[0, 2], [2, 5]])).tolist()
        [[[2.0]], [[3.0]]]
    """
    if stream is not None:
        require_stream("segmented_mm", stream)
    op = "segmented_mm"
    left, right, bounds = require_array(op, a), require_array(op, b), require_array(op, segments)
    if left.ndim != 2 or right.ndim != 2:
        raise ValueError(f"[{op}] Expected two matrices, but the shapes are {left.shape} and {right.shape}.")
    if left.shape[1] != right.shape[0]:
        raise ValueError(f"[{op}] The inner dimensions of {left.shape} and {right.shape} must be equal.")
    if bounds.dtype.kind not in "ui":
        raise ValueError(f"[{op}] Segments must be integers, but their dtype is {bounds.dtype.name}.")
    if bounds.ndim == 0 or bounds.shape[-1] != 2:
        raise ValueError(f"[{op}] Segments should have shape (..., 2), but theirs is {bounds.shape}.")
    dtype = _real_dtype(op, left, right)
    batch, (rows, depth) = bounds.shape[:-1], left.shape
    shape = (*batch, rows, depth)

    def bound(number: int) -> array:
        found = reshaped(narrowed(cast(bounds, int32), len(batch), number, 1), (*batch, 1, 1))
        return broadcast(found, shape)

    places = iota(shape, len(shape) - 1, int32)
    inside = logical_and(greater_equal(places, bound(0)), less(places, bound(1)))
    zero = constant(0, dtype, shape)
    return matrix_product(where(inside, broadcast(cast(left, dtype), shape), zero), cast(right, dtype))
