"""Quantised matrices: `quantize`, `dequantize` and the products with matrices that stay packed.

Rows are cut into groups that share a scale. Modes:

affine   integers of 1 to 8 bits; a number is scale * integer + bias, in the dtype of the matrix
mxfp4    e2m1 numbers times a power of two for each 32
mxfp8    e4m3 numbers times a power of two for each 32
nvfp4    e2m1 numbers times an e4m3 number for each 16, and times a global scale if there is one

Everything here is a composition of integer and elementwise operations: unpacking is part of the kernel that
needs the numbers, gradients by scales, biases and the other factor follow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tarry.base.dtypes import Dtype, bfloat16, float32, float64, promote, uint8, uint32
from tarry.base.shapes import Shape, size_of
from tarry.graph.array import array
from tarry.ops.arguments import flag, integer, word
from tarry.ops.arithmetic import add, divide, multiply, negative, subtract
from tarry.ops.comparison import equal, greater, not_equal
from tarry.ops.complex_numbers import abs
from tarry.ops.elementwise import cast, require_array
from tarry.ops.fp8 import (
    decode_e2m1,
    decode_e4m3,
    decode_e8m0,
    encode_e2m1,
    encode_e4m3,
    encode_e8m0,
    require_real,
)
from tarry.ops.layout import contiguous
from tarry.ops.masked_products import chosen_matrices
from tarry.ops.packing import WORD, packed, unpacked, unpacked_across
from tarry.ops.products import matmul, transposed
from tarry.ops.reductions import max, min
from tarry.ops.rounding import round
from tarry.ops.selection import clip, maximum, where
from tarry.ops.structure import broadcast, permute, reshaped, sum_axes
from tarry.runtime.devices import StreamLike, require_stream

GROUP_SIZES = (32, 64, 128)
WIDTHS = (1, 2, 3, 4, 5, 6, 8)
LEAST_SCALE = 1e-7
# The largest e2m1 and e4m3 numbers.
LARGEST_E2M1 = 6.0
LARGEST_E4M3 = 448.0
GLOBAL_UNIT = LARGEST_E2M1 * LARGEST_E4M3
# Up to so many rows, a product reads the packed matrix itself.
FEW_ROWS = 4


class Format:
    """How a matrix is quantised: the mode, numbers in a group, bits of a number."""

    __slots__ = ("group", "mode", "width")

    def __init__(self, mode: str, group: int, width: int) -> None:
        self.mode = mode
        self.group = group
        self.width = width


# The group sizes and widths of the modes in which they are not free.
FLOATING: dict[str, tuple[int, int]] = {"mxfp4": (32, 4), "mxfp8": (32, 8), "nvfp4": (16, 4)}


def _format(op: str, mode: Any, group_size: Any, bits: Any) -> Format:
    """The checked format; None stands for the mode's own group size and width."""
    if word(op, mode, "mode") != "affine" and mode not in FLOATING:
        known = ", ".join(["affine", *FLOATING])
        raise ValueError(f"[{op}] Invalid quantization mode {mode!r}: expected one of {known}.")
    default = FLOATING.get(mode, (64, 4))
    group = default[0] if group_size is None else integer(op, group_size, "group_size")
    width = default[1] if bits is None else integer(op, bits, "bits")
    if mode == "affine":
        if group not in GROUP_SIZES:
            raise ValueError(f"[{op}] The group size must be one of {GROUP_SIZES}, not {group}.")
        if width not in WIDTHS:
            raise ValueError(f"[{op}] The number of bits must be one of {WIDTHS}, not {width}.")
    elif (group, width) != default:
        raise ValueError(
            f"[{op}] {mode} has groups of {default[0]} and {default[1]} bits, not {group} and {width}."
        )
    return Format(mode, group, width)


def _checked_global_scale(op: str, scale: array | None, mode: str) -> array | None:
    if scale is None:
        return None
    found = require_array(op, scale)
    if mode != "nvfp4":
        raise ValueError(f"[{op}] A global scale is only supported for the mode nvfp4, not {mode}.")
    if found.dtype is not float32 or found.size != 1:
        raise ValueError(
            f"[{op}] The global scale must be one float32, but it has shape {found.shape} and dtype "
            f"{found.dtype.name}."
        )
    return reshaped(found, ())


# quantising


def quantize(
    w: array,
    /,
    group_size: int | None = None,
    bits: int | None = None,
    mode: str = "affine",
    global_scale: array | None = None,
    *,
    stream: StreamLike = None,
) -> tuple[array, ...]:
    """The matrix packed into uint32 words, the scales of its groups and, for the mode affine, their biases.

    Groups run along the last axis. The scales of the other modes are codes in uint8.

    Errors: ValueError for an unknown mode, group size or width, fewer than two dimensions, other than real
    floating numbers, and a last axis that groups do not divide.

    Example:
        >>> packed, scales, biases = mx.quantize(mx.ones((2, 64)), bits=8)
        >>> packed.shape, scales.shape
        ((2, 16), (2, 1))
    """
    if stream is not None:
        require_stream("quantize", stream)
    matrix = require_array("quantize", w)
    form = _format("quantize", mode, group_size, bits)
    unit = _checked_global_scale("quantize", global_scale, form.mode)
    require_real("quantize", matrix.dtype, "the matrix")
    if matrix.ndim < 2:
        raise ValueError(f"[quantize] A matrix needs at least 2 dimensions, but this has {matrix.ndim}.")
    *outer, extent = matrix.shape
    if extent % form.group:
        raise ValueError(
            f"[quantize] The group size {form.group} must divide the last dimension, but the shape is "
            f"{matrix.shape}."
        )
    groups = reshaped(matrix, (*outer, extent // form.group, form.group))
    if form.mode == "affine":
        return _quantized_affine(groups, form, matrix.shape)
    codes, scales = _quantized_floating(groups, form, unit)
    return packed(reshaped(codes, matrix.shape), form.width), reshaped(scales, scales.shape[:-1])


def _quantized_affine(groups: array, form: Format, shape: Shape) -> tuple[array, ...]:
    """The edge of larger magnitude is hit exactly: zero, which lies between, then is an integer, too."""
    dtype = groups.dtype
    if dtype is not float64:
        groups = cast(groups, float32)
    low, high = min(groups, -1, True), max(groups, -1, True)
    largest = (1 << form.width) - 1
    scale = maximum(divide(subtract(high, low), largest), LEAST_SCALE)
    bias = low
    if form.width > 1:
        below = greater(abs(low), abs(high))
        edge = where(below, low, high)
        scale = where(below, scale, negative(scale))
        steps = round(divide(edge, scale))
        hit = not_equal(steps, 0)
        scale = where(hit, divide(edge, steps), scale)
        bias = where(hit, edge, 0)
    integers = clip(round(divide(subtract(groups, bias), scale)), 0, largest)
    words = packed(reshaped(cast(integers, uint32), shape), form.width)
    factors = scale.shape[:-1]
    return words, cast(reshaped(scale, factors), dtype), cast(reshaped(bias, factors), dtype)


def _quantized_floating(groups: array, form: Format, unit: array | None) -> tuple[array, array]:
    """The codes of the numbers, in uint32, and of the groups' scales."""
    largest = LARGEST_E4M3 if form.mode == "mxfp8" else LARGEST_E2M1
    scale = divide(max(abs(groups), -1, True), largest)
    if form.mode == "nvfp4":
        codes = encode_e4m3(scale if unit is None else multiply(scale, divide(GLOBAL_UNIT, unit)))
        scale = cast(decode_e4m3(cast(codes, uint32)), groups.dtype)
        # Numbers so small that their scale is zero are zero.
        numbers = where(equal(scale, 0), 0, divide(groups, scale))
        if unit is not None:
            numbers = multiply(numbers, divide(GLOBAL_UNIT, unit))
    else:
        codes = encode_e8m0(scale)
        numbers = divide(groups, cast(decode_e8m0(codes), groups.dtype))
    if form.mode == "mxfp8":
        return cast(encode_e4m3(numbers), uint32), codes
    return encode_e2m1(numbers), codes


# dequantising


def dequantize(
    w: array,
    /,
    scales: array,
    biases: array | None = None,
    group_size: int | None = None,
    bits: int | None = None,
    mode: str = "affine",
    global_scale: array | None = None,
    dtype: Dtype | None = None,
    *,
    stream: StreamLike = None,
) -> array:
    """The matrix that packed words, scales and biases stand for, as they come out of `quantize`.

    Its dtype is that of the scales and biases, or bfloat16 for codes, unless `dtype` is given.

    Errors: ValueError for words that are not uint32, shapes that do not fit, missing or superfluous biases.

    Example:
        >>> mx.dequantize(*mx.quantize(mx.ones((1, 64)), bits=2), bits=2)[0, :3]
        array([1, 1, 1], dtype=float32)
    """
    if stream is not None:
        require_stream("dequantize", stream)
    form = _format("dequantize", mode, group_size, bits)
    unit = _checked_global_scale("dequantize", global_scale, form.mode)
    if dtype is not None:
        if not isinstance(dtype, Dtype):
            raise TypeError(f"[dequantize] Expected a Dtype, but got {dtype!r}.")
        require_real("dequantize", dtype, "the result")
    parts = _checked_parts("dequantize", w, scales, biases, form)
    return _matrix(parts, form, dtype, unit)


Parts = tuple[array, ...]


def _checked_parts(op: str, w: object, scales: object, biases: object, form: Format) -> Parts:
    """Words, scales and, for the mode affine, biases."""
    words, factors = require_array(op, w), require_array(op, scales)
    if words.dtype is not uint32:
        raise ValueError(f"[{op}] The matrix must be packed in uint32, but its dtype is {words.dtype.name}.")
    if words.ndim < 2:
        raise ValueError(f"[{op}] The matrix needs at least 2 dimensions, but its shape is {words.shape}.")
    bits = words.shape[-1] * WORD
    expected = (*words.shape[:-1], bits // (form.width * form.group))
    if bits % (form.width * form.group) or factors.shape != expected:
        raise ValueError(
            f"[{op}] Scales of shape {factors.shape} do not fit words of shape {words.shape} with a group "
            f"size of {form.group} and {form.width} bits."
        )
    if form.mode == "affine":
        if biases is None:
            raise ValueError(f"[{op}] Biases must be given for the mode affine.")
        offsets = require_array(op, biases)
        if offsets.shape != factors.shape:
            raise ValueError(f"[{op}] Biases of shape {offsets.shape} do not fit scales of {factors.shape}.")
        require_real(op, promote(factors.dtype, offsets.dtype), "scales with biases")
        return words, factors, offsets
    if biases is not None:
        raise ValueError(f"[{op}] There are no biases in the mode {form.mode}.")
    if factors.dtype is not uint8:
        raise ValueError(f"[{op}] The scales must be codes in uint8, not in {factors.dtype.name}.")
    return words, factors


def _matrix(parts: Parts, form: Format, dtype: Dtype | None, unit: array | None = None) -> array:
    """The dequantised matrix, in float32 where a global scale, `unit`, takes part."""
    codes = unpacked(parts[0], form.width, form.group)
    result = (*codes.shape[:-3], codes.shape[-3] * form.group)

    def over_groups(factor: array, to: Dtype) -> array:
        return broadcast(reshaped(cast(factor, to), (*factor.shape, 1, 1)), codes.shape)

    numbers = _numbers(codes, parts, form, unit, over_groups)
    if dtype is None:
        dtype = numbers.dtype if form.mode == "affine" else bfloat16
    return cast(reshaped(numbers, result), dtype if unit is None else float32)


def _numbers(
    codes: array, parts: Parts, form: Format, unit: array | None, spread: Callable[[array, Dtype], array]
) -> array:
    """The numbers of codes; `spread` repeats a factor of each group to their shape, in a dtype."""
    if form.mode == "affine":
        given = promote(parts[1].dtype, parts[2].dtype)
        return add(multiply(cast(codes, given), spread(parts[1], given)), spread(parts[2], given))
    decode = decode_e4m3 if form.mode == "mxfp8" else decode_e2m1
    factors = decode_e4m3(cast(parts[1], uint32)) if form.mode == "nvfp4" else decode_e8m0(parts[1])
    if unit is not None:
        factors = multiply(factors, divide(unit, GLOBAL_UNIT))
    return multiply(decode(codes), spread(factors, float32))


# products


def _product_dtype(op: str, x: array, parts: Parts, form: Format) -> Dtype:
    dtype = x.dtype
    for part in parts[1:] if form.mode == "affine" else ():
        dtype = promote(dtype, part.dtype)
    require_real(op, dtype, "the product")
    return dtype


def _product(op: str, x: array, parts: Parts, form: Format, transpose: bool) -> array:
    """The product of `x` and the dequantised matrix."""
    flag(op, transpose, "transpose")
    dtype = _product_dtype(op, x, parts, form)
    words = parts[0]
    columns = words.shape[-1] * WORD // form.width
    if x.ndim == 0 or x.shape[-1] != (columns if transpose else words.shape[-2]):
        raise ValueError(
            f"[{op}] The last dimension of x with shape {x.shape} does not match the matrix of shape "
            f"{(*words.shape[:-1], columns)}, {'transposed' if transpose else 'not transposed'}."
        )
    few = size_of(x.shape[:-1]) <= FEW_ROWS and words.ndim == 2
    if transpose and few and WORD % form.width == 0:
        return cast(_product_of_few(cast(x, dtype), parts, form), dtype)
    matrix = _matrix(parts, form, dtype)
    return matmul(cast(x, dtype), transposed(matrix) if transpose else matrix)


def _product_of_few(x: array, parts: Parts, form: Format) -> array:
    """The product of few rows and a transposed matrix, which is unpacked in passing and never stored.

    The numbers at one place of all words make up one run, and `x` is put in that order.
    """
    codes = unpacked_across(parts[0], form.width)
    rows, apart, count = codes.shape
    outer = x.shape[:-1]

    def over_words(factor: array, to: Dtype) -> array:
        groups = factor.shape[-1]
        each = broadcast(reshaped(cast(factor, to), (rows, groups, 1)), (rows, groups, count // groups))
        return broadcast(reshaped(each, (rows, 1, count)), codes.shape)

    numbers = _numbers(codes, parts, form, None, over_words)
    working = promote(x.dtype, float32)
    many = size_of(outer)
    turned = permute(reshaped(x, (many, count, apart)), (0, 2, 1))
    turned = reshaped(contiguous(cast(turned, working)), (many, 1, apart, count))
    shape = (many, rows, apart, count)
    products = multiply(
        broadcast(reshaped(cast(numbers, working), (1, rows, apart, count)), shape), broadcast(turned, shape)
    )
    return reshaped(sum_axes(products, (2, 3)), (*outer, rows))


def quantized_matmul(
    x: array,
    w: array,
    /,
    scales: array,
    biases: array | None = None,
    transpose: bool = True,
    group_size: int | None = None,
    bits: int | None = None,
    mode: str = "affine",
    *,
    stream: StreamLike = None,
) -> array:
    """x @ w.T for a matrix `w` quantised by `quantize`, or x @ w without `transpose`.

    Errors: ValueError as for `dequantize`, and when inner dimensions differ.

    Example:
        >>> mx.quantized_matmul(mx.ones((1, 64)), *mx.quantize(mx.ones((2, 64))))
        array([[64, 64]], dtype=float32)
    """
    if stream is not None:
        require_stream("quantized_matmul", stream)
    op = "quantized_matmul"
    form = _format(op, mode, group_size, bits)
    parts = _checked_parts(op, w, scales, biases, form)
    return _product(op, require_array(op, x), parts, form, transpose)


def gather_qmm(
    x: array,
    w: array,
    /,
    scales: array,
    biases: array | None = None,
    lhs_indices: array | None = None,
    rhs_indices: array | None = None,
    transpose: bool = True,
    group_size: int | None = None,
    bits: int | None = None,
    mode: str = "affine",
    global_scale: array | None = None,
    *,
    sorted_indices: bool = False,
    stream: StreamLike = None,
) -> array:
    """`quantized_matmul` of matrices chosen by index, as `gather_mm` chooses them.

    Errors: ValueError as for `quantized_matmul` and `gather_mm`.

    Example:
        >>> packed, scales, biases = mx.quantize(mx.ones((3, 2, 64)))
        >>> mx.gather_qmm(mx.ones((1, 64)), packed, scales, biases, rhs_indices=mx.array([2])).shape
        (1, 1, 2)
    """
    if stream is not None:
        require_stream("gather_qmm", stream)
    op = "gather_qmm"
    form = _format(op, mode, group_size, bits)
    unit = _checked_global_scale(op, global_scale, form.mode)
    operand = require_array(op, x)
    parts = _checked_parts(op, w, scales, biases, form)
    if operand.ndim < 2:
        raise ValueError(f"[{op}] x needs at least 2 dimensions, but its shape is {operand.shape}.")
    chosen, parts = chosen_matrices(op, operand, parts, lhs_indices, rhs_indices)
    product = _product(op, chosen, parts, form, transpose)
    return product if unit is None else multiply(product, divide(unit, GLOBAL_UNIT))


def _requantized(op: str, x: array, form: Format, unit: array | None) -> array:
    """`x` as the numbers that its quantised form stands for."""
    if x.ndim < 2:
        raise ValueError(f"[{op}] Both factors need at least 2 dimensions, but one has shape {x.shape}.")
    require_real(op, x.dtype, "a factor")
    parts = quantize(x, form.group, form.width, form.mode, unit)
    return cast(_matrix(parts, form, x.dtype, unit), x.dtype)


def _quantized_factors(
    op: str, x: array, w: array, scales: array | None, form: Format, units: tuple[array | None, array | None]
) -> tuple[array, Parts]:
    """The left factor rounded to its quantised form, and the parts of the right one."""
    if form.mode == "affine":
        raise ValueError(f"[{op}] Both factors can be quantised in the modes {', '.join(FLOATING)} only.")
    left = _requantized(op, require_array(op, x), form, units[0])
    if scales is None:
        matrix = require_array(op, w)
        return left, quantize(matrix, form.group, form.width, form.mode, units[1])
    return left, _checked_parts(op, w, scales, None, form)


def qqmm(
    x: array,
    w: array,
    scales: array | None = None,
    group_size: int | None = None,
    bits: int | None = None,
    mode: str = "nvfp4",
    global_scale_x: array | None = None,
    global_scale_w: array | None = None,
    *,
    stream: StreamLike = None,
) -> array:
    """x @ w.T where both factors are quantised: `x` here, `w` here or, if scales are given, by `quantize`.

    Errors: ValueError for the mode affine, and as for `quantize` and `quantized_matmul`.

    Example:
        >>> mx.qqmm(mx.ones((1, 32)), mx.ones((2, 32)), mode="mxfp8")
        array([[32, 32]], dtype=float32)
    """
    if stream is not None:
        require_stream("qqmm", stream)
    op = "qqmm"
    form = _format(op, mode, group_size, bits)
    units = _checked_global_scale(op, global_scale_x, form.mode), _checked_global_scale(
        op, global_scale_w, form.mode
    )
    left, parts = _quantized_factors(op, x, w, scales, form, units)
    return _times_unit(_product(op, left, parts, form, True), units[1])


def _times_unit(product: array, unit: array | None) -> array:
    return product if unit is None else cast(multiply(product, divide(unit, GLOBAL_UNIT)), product.dtype)


def gather_qqmm(
    x: array,
    w: array,
    /,
    scales: array | None = None,
    lhs_indices: array | None = None,
    rhs_indices: array | None = None,
    group_size: int | None = None,
    bits: int | None = None,
    mode: str = "nvfp4",
    global_scale_x: array | None = None,
    global_scale_w: array | None = None,
    *,
    sorted_indices: bool = False,
    stream: StreamLike = None,
) -> array:
    """`qqmm` of matrices chosen by index, as `gather_mm` chooses them.

    Errors: ValueError as for `qqmm` and `gather_mm`.

    Example:
        >>> w = mx.ones((3, 2, 32))
        >>> mx.gather_qqmm(mx.ones((1, 32)), w, rhs_indices=mx.array([0, 2]), mode="mxfp4").shape
        (2, 1, 2)
    """
    if stream is not None:
        require_stream("gather_qqmm", stream)
    op = "gather_qqmm"
    form = _format(op, mode, group_size, bits)
    units = _checked_global_scale(op, global_scale_x, form.mode), _checked_global_scale(
        op, global_scale_w, form.mode
    )
    left, parts = _quantized_factors(op, x, w, scales, form, units)
    chosen, parts = chosen_matrices(op, left, parts, lhs_indices, rhs_indices)
    return _times_unit(_product(op, chosen, parts, form, True), units[1])
