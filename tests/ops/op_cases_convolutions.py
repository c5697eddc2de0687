"""Rows of the op table: convolutions of two and three dimensions, their transposes, and the general one.

The references follow the definitions, one window and one element of the filter at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle import FLOATS

from .op_case import ANY, OpCase, Variant


def every(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """One number for each dimension in space."""
    return (value,) * rank if isinstance(value, int) else tuple(value)


def spread(x: np.ndarray, steps: Sequence[int]) -> np.ndarray:
    """The array with steps - 1 zeros between neighbours in space."""
    sizes = [(size - 1) * step + 1 for size, step in zip(x.shape[1:-1], steps, strict=True)]
    result = np.zeros((x.shape[0], *sizes, x.shape[-1]), x.dtype)
    result[(slice(None), *(slice(None, None, step) for step in steps))] = x
    return result


def correlation(
    x: np.ndarray,
    w: np.ndarray,
    stride: Any = 1,
    padding: Any = 0,
    kernel_dilation: Any = 1,
    input_dilation: Any = 1,
    groups: int = 1,
    flip: bool = False,
) -> np.ndarray:
    """(N, space, C) with filters (O, window, C / groups); a pair as padding has the low and the high ends."""
    rank = x.ndim - 2
    ends = padding if isinstance(padding, tuple) and isinstance(padding[0], list) else (padding, padding)
    low, high = (every(end, rank) for end in ends)
    strides, steps = every(stride, rank), every(kernel_dilation, rank)
    x = np.pad(spread(x, every(input_dilation, rank)), ((0, 0), *zip(low, high, strict=True), (0, 0)))
    window = w.shape[1:-1]
    w = np.flip(w, range(1, rank + 1)) if flip else w
    counts = [
        (size - step * (extent - 1) - 1) // by + 1
        for size, step, extent, by in zip(x.shape[1:-1], steps, window, strides, strict=True)
    ]
    result = np.zeros((x.shape[0], *counts, w.shape[0]), np.result_type(x, w))
    inside, outside = x.shape[-1] // groups, w.shape[0] // groups
    for place in itertools.product(*map(range, window)):
        taken = x[
            (
                slice(None),
                *(
                    slice(k * step, k * step + (count - 1) * by + 1, by)
                    for k, step, count, by in zip(place, steps, counts, strides, strict=True)
                ),
            )
        ]
        for group in range(groups):
            rows = slice(group * outside, (group + 1) * outside)
            kernel = w[(rows, *place)]
            result[..., rows] += taken[..., group * inside : (group + 1) * inside] @ kernel.T
    return result


def plain(x: np.ndarray, w: np.ndarray, dilation: Any = 1, **options: Any) -> np.ndarray:
    return correlation(x, w, kernel_dilation=dilation, **options)


def transposed(
    x: np.ndarray,
    w: np.ndarray,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    output_padding: Any = 0,
    groups: int = 1,
) -> np.ndarray:
    """Each element of x adds its multiple of the filter; `padding` is cut off both ends."""
    rank = x.ndim - 2
    strides, cuts, steps = (every(value, rank) for value in (stride, padding, dilation))
    window, sizes = w.shape[1:-1], x.shape[1:-1]
    extents = [
        (size - 1) * by + step * (extent - 1) + 1 + more
        for size, by, step, extent, more in zip(
            sizes, strides, steps, window, every(output_padding, rank), strict=True
        )
    ]
    result = np.zeros((x.shape[0], *extents, w.shape[0]), np.result_type(x, w))
    inside, outside = x.shape[-1] // groups, w.shape[0] // groups
    for place in itertools.product(*map(range, window)):
        target = tuple(
            slice(k * step, k * step + (size - 1) * by + 1, by)
            for k, step, size, by in zip(place, steps, sizes, strides, strict=True)
        )
        for group in range(groups):
            rows = slice(group * outside, (group + 1) * outside)
            taken = x[..., group * inside : (group + 1) * inside]
            result[(slice(None), *target, rows)] += taken @ w[(rows, *place)].T
    return result[
        (slice(None), *(slice(cut, extent - cut) for cut, extent in zip(cuts, extents, strict=True)))
    ]


def convolution(
    name: str,
    reference: Callable[..., Any],
    *variants: Variant,
    dtypes: Sequence[str] = ("float32", "float64"),
) -> OpCase:
    """A row for the public function of that name, differentiable in both arrays."""
    return OpCase(
        name,
        lambda module, x, w, **options: getattr(module, name)(x, w, **options),
        reference,
        draws=(ANY, ANY),
        variants=variants,
        dtypes=dtypes,
        ulps=4,
        absolute=64,
        differentiable=(0, 1),
        # The wheel has them in single and half precision only.
        oracle_dtypes=[name for name in dtypes if name != "float64"],
        oracle_gradients=False,
    )


CONVOLUTION_CASES = [
    convolution(
        "conv2d",
        plain,
        Variant((2, 6, 5, 4), (3, 3, 2, 4)),
        Variant((1, 7, 6, 4), (4, 3, 3, 2), stride=(2, 1), padding=(1, 2), groups=2),
        Variant((2, 7, 7, 3), (3, 3, 3, 1), padding=1, groups=3),
        Variant((1, 8, 7, 3), (2, 2, 3, 3), dilation=(3, 2)),
        dtypes=FLOATS,
    ),
    convolution(
        "conv3d",
        plain,
        Variant((1, 4, 3, 5, 2), (3, 2, 2, 3, 2)),
        Variant((2, 5, 4, 4, 2), (2, 3, 2, 2, 2), stride=(2, 1, 2), padding=(1, 0, 1)),
        # The wheel refuses three-dimensional convolutions in groups and with dilation on the CPU.
    ),
    convolution(
        "conv_transpose2d",
        transposed,
        Variant((2, 3, 4, 3), (2, 3, 2, 3), stride=2),
        Variant((1, 4, 3, 2), (3, 3, 3, 2), stride=(2, 3), padding=(1, 1), output_padding=(1, 0)),
        Variant((1, 4, 4, 2), (2, 2, 3, 2), dilation=(2, 1), padding=1),
    ),
    convolution(
        "conv_transpose3d",
        transposed,
        Variant((1, 3, 2, 3, 2), (3, 2, 3, 2, 2), stride=2),
        Variant((1, 2, 3, 2, 2), (2, 3, 2, 2, 2), stride=(1, 2, 2), padding=(1, 0, 1)),
    ),
    convolution(
        "conv_general",
        correlation,
        Variant((2, 9, 4), (3, 3, 4), stride=2, padding=([1], [2]), kernel_dilation=2),
        Variant((1, 5, 4, 2), (3, 3, 2, 2), input_dilation=(2, 3), padding=([1, 2], [0, 1]), flip=True),
        Variant((1, 6, 5, 4), (4, 3, 2, 2), groups=2, padding=1, flip=True),
    ),
    OpCase(
        "convolve",
        lambda module, a, v, mode: module.convolve(a, v, mode),
        np.convolve,
        draws=(ANY, ANY),
        variants=[
            Variant((9,), (4,), mode="full"),
            Variant((9,), (4,), mode="valid"),
            Variant((3,), (8,), mode="same"),
            Variant((70,), (5,), mode="same"),
        ],
        dtypes=("float32", "float64", "float16", "bfloat16"),
        ulps=4,
        absolute=32,
        differentiable=(0, 1),
        oracle_gradients=False,
    ),
]
