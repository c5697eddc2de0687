"""The Walsh-Hadamard transform, as products with small matrices of ones and minus ones."""

from __future__ import annotations

import functools
import math

import numpy as np

from tarry.base.dtypes import Dtype, bfloat16, float16, float32, is_inexact
from tarry.base.shapes import size_of
from tarry.graph.array import array, from_numpy
from tarry.ops.arguments import real_number
from tarry.ops.arithmetic import multiply
from tarry.ops.elementwise import cast, require_array
from tarry.ops.products import matrix_product, transposed
from tarry.ops.structure import reshaped
from tarry.runtime.devices import StreamLike, require_stream

# A power of two is taken in factors of up to 2**6: a matrix of 64 by 64 stays in cache.
MOST_BITS = 6

# The first rows of four symmetric circulant matrices whose squares add up to 4n times the identity, of which
# Williamson (1944) makes a Hadamard matrix of order 4n.
_WILLIAMSON = {
    20: ("+----", "-++++", "--++-", "-+--+"),
    28: ("+------", "--++++-", "-+-++-+", "-++--++"),
}
ORDERS = (1, 12, 20, 28)


def _circulant(row: str) -> np.ndarray:
    signs = np.array([1.0 if sign == "+" else -1.0 for sign in row])
    return np.stack([np.roll(signs, shift) for shift in range(len(row))])


def _williamson(rows: tuple[str, str, str, str]) -> np.ndarray:
    a, b, c, d = [_circulant(row) for row in rows]
    return np.block([[a, b, c, d], [-b, a, -d, c], [-c, d, a, -b], [-d, -c, b, a]])


def _paley(prime: int) -> np.ndarray:
    """The matrix of order 2 * (prime + 1), by Paley's second construction; prime is 1 modulo 4."""
    squares = {number * number % prime for number in range(1, prime)}
    residues = np.array([0.0, *[1.0 if number in squares else -1.0 for number in range(1, prime)]])
    conference = np.ones((prime + 1, prime + 1))
    conference[0, 0] = 0.0
    conference[1:, 1:] = [[residues[(j - i) % prime] for j in range(prime)] for i in range(prime)]
    core, diagonal = np.array([[1.0, 1.0], [1.0, -1.0]]), np.array([[1.0, -1.0], [-1.0, -1.0]])
    return np.kron(conference, core) + np.kron(np.eye(prime + 1), diagonal)


@functools.lru_cache(64)
def _matrix(order: int, dtype: Dtype) -> array:
    """The Hadamard matrix of an order: a power of two, 12, 20 or 28."""
    if order == 12:
        signs = _paley(5)
    elif order in _WILLIAMSON:
        signs = _williamson(_WILLIAMSON[order])
    else:
        signs = np.ones((1, 1))
        while len(signs) < order:
            signs = np.block([[signs, signs], [signs, -signs]])
    return from_numpy("hadamard_transform", signs, dtype)


def _factors(size: int) -> list[int]:
    """The orders whose Kronecker product has the given size, the odd one out first."""
    for order in reversed(ORDERS):
        power = size // order
        if size % order == 0 and power & (power - 1) == 0:
            bits = power.bit_length() - 1
            widths = [MOST_BITS] * (bits // MOST_BITS) + [bits % MOST_BITS]
            return [factor for factor in (order, *[1 << width for width in widths]) if factor > 1]
    raise ValueError(
        f"[hadamard_transform] The last dimension must be m * 2**k with m one of {ORDERS}, but it is {size}."
    )


def hadamard_transform(a: array, /, scale: float | None = None, *, stream: StreamLike = None) -> array:
    """The last axis times the Hadamard matrix of its length, times `scale`, 1 / sqrt(length) by default.

    The length is m * 2**k with m one of 1, 12, 20 and 28. Half types are computed in float32.

    Errors: ValueError for other lengths.

    Example:
        >>> mx.hadamard_transform(mx.array([1.0, 2.0, 3.0, 4.0]), scale=1.0)
        array([10, -2, -4, 0], dtype=float32)
    """
    if stream is not None:
        require_stream("hadamard_transform", stream)
    value = require_array("hadamard_transform", a)
    dtype = value.dtype if is_inexact(value.dtype) else float32
    size = value.shape[-1] if value.ndim else 1
    if size == 0:
        raise ValueError("[hadamard_transform] The last dimension must not be empty.")
    factors = _factors(size)
    working = float32 if dtype in (float16, bfloat16) else dtype
    found = cast(value, working)
    outer, rest = size_of(value.shape[:-1]), size
    for factor in factors:
        rest //= factor
        matrix = _matrix(factor, working)
        if rest == 1:
            found = matrix_product(reshaped(found, (outer, factor)), matrix)
        else:
            # The matrices of odd order are not symmetric: columns meet rows from the left.
            turned = reshaped(found, (outer, factor, rest))
            found = matrix_product(transposed(matrix), turned)
        outer *= factor
    unit = 1.0 / math.sqrt(size) if scale is None else real_number("hadamard_transform", scale, "scale")
    return cast(multiply(reshaped(found, value.shape), unit), dtype)
