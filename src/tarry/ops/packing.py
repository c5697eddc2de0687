"""Small integers packed into 32-bit words: element k of a row takes the bits from k * width on, lowest first.

Widths that do not divide 32 run over the ends of words; 32 elements always fill `width` words.
"""

from __future__ import annotations

from tarry.base.dtypes import int32, uint32, uint64
from tarry.graph.array import array
from tarry.ops.arithmetic import multiply, remainder
from tarry.ops.bitwise import bitwise_and, bitwise_or, left_shift, right_shift
from tarry.ops.elementwise import cast, constant
from tarry.ops.generators import iota
from tarry.ops.indexed import gathered
from tarry.ops.selection import minimum
from tarry.ops.structure import broadcast, reshaped, sum_axes

WORD = 32


def packed(values: array, width: int) -> array:
    """Rows of uint32 numbers below 2**width as rows of uint32 words."""
    *outer, count = values.shape
    if WORD % width == 0:
        words = reshaped(values, (*outer, count * width // WORD, WORD // width))
        shifts = multiply(iota(words.shape, words.ndim - 1, uint32), width)
        return _collected(left_shift(words, shifts))
    bits = broadcast(reshaped(values, (*outer, count, 1)), (*outer, count, width))
    bits = bitwise_and(right_shift(bits, iota(bits.shape, bits.ndim - 1, uint32)), 1)
    words = reshaped(bits, (*outer, count * width // WORD, WORD))
    return _collected(left_shift(words, iota(words.shape, words.ndim - 1, uint32)))


def _collected(parts: array) -> array:
    """The sum over the last axis: of numbers that have no bit in common, all their bits."""
    return reshaped(sum_axes(parts, (parts.ndim - 1,)), parts.shape[:-1])


def unpacked(words: array, width: int, group: int) -> array:
    """The numbers, in uint32, that rows of words hold, as (..., groups, m, n) where m * n = group.

    The last axes are what makes them easy to find: the words of a group and the numbers of a word.
    """
    *outer, count = words.shape
    mask = (1 << width) - 1
    elements = count * WORD // width
    if WORD % width == 0:
        apart = WORD // width
        shape = (*outer, elements // group, group // apart, apart)
        parts = broadcast(reshaped(words, (*shape[:-1], 1)), shape)
        shifts = multiply(iota(shape, len(shape) - 1, uint32), width)
        return bitwise_and(right_shift(parts, shifts), mask)
    start = multiply(iota((elements,), 0, int32), width)
    first = right_shift(start, 5)
    low = _taken(words, first)
    # An element that ends in the last word needs no next one: what is read there is masked away.
    high = _taken(words, minimum(first + 1, constant(count - 1, int32, (elements,))))
    both = bitwise_or(cast(low, uint64), left_shift(cast(high, uint64), WORD))
    shifts = broadcast(cast(remainder(start, WORD), uint64), both.shape)
    found = cast(bitwise_and(right_shift(both, shifts), mask), uint32)
    return reshaped(found, (*outer, elements // group, 1, group))


def unpacked_across(words: array, width: int) -> array:
    """The numbers of rows of words as (rows, n, words), for n numbers in a word.

    Neighbours come from neighbouring words, which makes long runs. The width must divide that of a word.
    """
    rows, count = words.shape
    shape = (rows, WORD // width, count)
    shifts = multiply(iota(shape, 1, uint32), width)
    parts = broadcast(reshaped(words, (rows, 1, count)), shape)
    return bitwise_and(right_shift(parts, shifts), (1 << width) - 1)


def _taken(words: array, places: array) -> array:
    """The words at the given places of every row."""
    rank = words.ndim
    shape = (*words.shape[:-1], places.shape[0])
    return gathered(words, [places], (*range(rank - 1), -1), (rank - 1,), shape)
