"""Convolutions of many groups of few channels, without windows in memory.

With the groups as the last axis all the arithmetic is elementwise: results are sums over the places of the
kernel of shifted inputs times weights, which fuse into one kernel. Where instead results are few and the
kernel is large, as in the derivative for the weights, each result is a sum of products of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from tarry.base.dtypes import bfloat16, float16, float32
from tarry.base.shapes import Shape, size_of
from tarry.graph.array import array
from tarry.ops.arithmetic import add, multiply
from tarry.ops.elementwise import cast, constant
from tarry.ops.joining import stack
from tarry.ops.reductions import sum as total
from tarry.ops.slices import slice_updated, sliced
from tarry.ops.structure import permute, reshaped

# Fewer groups do not fill vectors; more terms would make kernels large.
LEAST_GROUPS = 8
MOST_TERMS = 64


def is_sum_of_shifts(x: array, weight: array) -> bool:
    """Whether there are many groups, of few channels, and a small kernel. Shapes as in `convolve_shifted`."""
    return x.shape[0] >= LEAST_GROUPS and size_of(weight.shape[1:]) <= MOST_TERMS


def has_few_places(x: array, weight: array, places: Shape) -> bool:
    """Whether there are many groups, of few results. Shapes as in `convolve_at_places`."""
    results = x.shape[1] * size_of(places) * weight.shape[1]
    return x.shape[0] >= LEAST_GROUPS and results <= MOST_TERMS


def convolve_shifted(
    x: array, weight: array, places: Shape, stride: Sequence[int], dilation: Sequence[int]
) -> array:
    """(G, N, spatial..., C) and (G, O, kernel..., C) to (G, N, places..., O)."""
    rank = x.ndim - 3
    groups, batch, channels = x.shape[0], x.shape[1], x.shape[-1]
    filters, kernel = weight.shape[1], weight.shape[2:-1]
    rows = _stored(permute(x, (*range(1, rank + 3), 0)))
    # In the order of the terms, those of all groups side by side: (kernel..., C, O, G).
    factors = permute(weight, (*range(2, rank + 3), 1, 0))
    factors = _stored(reshaped(factors, (size_of(weight.shape[1:]), groups)))
    sums: list[array | None] = [None] * filters
    terms = itertools.product(*map(range, kernel), range(channels))
    for number, (*place, channel) in enumerate(terms):
        starts = [0, *(p * d for p, d in zip(place, dilation)), channel, 0]
        seen = sliced(rows, starts, (batch, *places, 1, groups), [1, *stride, 1, 1])
        seen = _wide(reshaped(seen, (batch, *places, groups)))
        for result in range(filters):
            factor = sliced(factors, [number * filters + result, 0], (1, groups), [1, 1])
            term = multiply(seen, _wide(reshaped(factor, (1,) * (rank + 1) + (groups,))))
            before = sums[result]
            sums[result] = term if before is None else add(before, term)
    found = [cast(value, x.dtype) for value in sums if value is not None]
    joined = reshaped(found[0], (*found[0].shape, 1)) if filters == 1 else stack(found, -1)
    return permute(joined, (rank + 1, *range(rank + 1), rank + 2))


def convolve_at_places(
    x: array, weight: array, places: Shape, stride: Sequence[int], dilation: Sequence[int]
) -> array:
    """(G, N, spatial..., C) and (G, O, kernel..., C) to (G, N, places..., O)."""
    rank = x.ndim - 3
    groups, batch, channels = x.shape[0], x.shape[1], x.shape[-1]
    filters, kernel = weight.shape[1], weight.shape[2:-1]
    order = (1, rank + 2, *range(2, rank + 2), 0)
    rows = _stored(permute(x, order))
    factors = permute(weight, order)
    shape = (1, channels, *kernel, groups)
    sums = []
    for number, *place, result in itertools.product(range(batch), *map(range, places), range(filters)):
        starts = [number, 0, *(p * s for p, s in zip(place, stride)), 0]
        seen = _wide(sliced(rows, starts, shape, [1, 1, *dilation, 1]))
        factor = _wide(sliced(factors, [result] + [0] * (rank + 2), shape, [1] * (rank + 3)))
        sums.append(total(multiply(seen, factor), tuple(range(rank + 2))))
    joined = reshaped(cast(stack(sums), x.dtype), (batch, *places, filters, groups))
    return permute(joined, (rank + 2, *range(rank + 2)))


def _wide(x: array) -> array:
    """Half types are added up in float32."""
    return cast(x, float32) if x.dtype is float16 or x.dtype is bfloat16 else x


def _stored(x: array) -> array:
    """The array in memory, row-major: what is shifted must not be computed again for every shift.

    Updates are stored; this one leaves room behind its second axis from the end, which nobody reads.
    """
    axis = max(x.ndim - 2, 0)
    shape = tuple([extent + (number == axis) for number, extent in enumerate(x.shape)])
    return slice_updated(constant(0, x.dtype, shape), x, [0] * x.ndim, [1] * x.ndim)
