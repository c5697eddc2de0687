"""How depthwise convolutions are laid out: their dtypes, the kernels of a module, and the argument tables.

Plans need no more than this; what writes the kernels is `depthwise`.

Everything has three spatial axes; missing ones, in front, have extent 1. The channels of images are
neighbours in memory. Along each axis element `o` of a result meets element `k` of the kernel at

    (o stride + k dilation - low) / between

of the image, where that is a whole number inside it. Such `k` are `skip` apart and the places they meet
`hop`; the same `k` serve results `period` apart, and the places these meet are `advance` apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

DTYPES = ("float32", "float64", "float16", "bfloat16")
STEPS = ("slide", "correlate", "combine", "pack", "widen")

POINTERS = ("image", "kernel", "result", "partial")
_AXES = ("image_stride", "kernel_stride", "image_extent", "kernel_extent", "result_extent", "stride",
         "dilation", "low", "between", "skip", "hop", "period", "advance")  # fmt: skip
# Strides of arrays count elements, `image_batch` and `kernel_batch` are strides from image to image.
SLOTS = (
    *POINTERS, "batch", "channels", "block", "height", "image_batch", "kernel_batch",
    *(f"{name}{axis}" for name in _AXES for axis in range(3)),
)  # fmt: skip
# A copy of an array with five axes, whose strides count elements, to row-major memory.
COPY_POINTERS = ("source", "target")
COPY_SLOTS = (
    *COPY_POINTERS, *(f"extent{axis}" for axis in range(5)), *(f"stride{axis}" for axis in range(5)),
)  # fmt: skip

TABLE_FIELDS = 3  # of an entry for a place of the last axis, where sums are added up
# Bytes of image and kernel that a block of channels may touch before it comes back to them.
WORKING_SET = 1 << 14
LINE_CHANNELS = 32  # blocks of channels are multiples of this
TILE_COLUMNS = 6  # results that are computed side by side
CHUNK_PRODUCTS = 1 << 16
MOST_CHUNKS = 64
ROW_PRODUCTS = 1 << 18  # a part of a sum is worth so many products


def depthwise_symbols(dtype: str) -> list[str]:
    """The kernels of a dtype's module, one for each step."""
    return [f"depthwise_{dtype}_{step}" for step in STEPS]


class DepthwiseSizes:
    """A depthwise convolution with all its numbers.

    Lists have an entry for each of the three axes. `image` and `kernel` are extents, `image_strides` and
    `kernel_strides` have the stride from image to image first.
    """

    __slots__ = ("batch", "channels", "dilation", "image", "image_strides", "input_dilation", "item_bytes",
                 "kernel", "kernel_strides", "low", "result", "stride")  # fmt: skip

    def __init__(
        self,
        batch: int,
        channels: int,
        item_bytes: int,
        image: Sequence[int],
        kernel: Sequence[int],
        result: Sequence[int],
        geometry: Sequence[Sequence[int]],
    ) -> None:
        self.batch = batch
        self.channels = channels
        self.item_bytes = item_bytes
        self.image = tuple(image)
        self.kernel = tuple(kernel)
        self.result = tuple(result)
        self.stride, self.dilation, self.low, self.input_dilation = (tuple(part) for part in geometry)
        self.image_strides: tuple[int, ...] = ()
        self.kernel_strides: tuple[int, ...] = ()

    def products(self) -> int:
        return self.batch * self.channels * math.prod(self.kernel) * math.prod(self.result)

    def rows(self) -> int:
        """Rows of results."""
        return self.batch * self.result[0] * self.result[1]

    def row_chunks(self) -> int:
        return max(1, min(self.rows(), MOST_CHUNKS, self.products() // CHUNK_PRODUCTS))

    def slide_block(self) -> int:
        """Channels that rows of results are computed for at a time, so that neighbours find images in L1."""
        reach = (TILE_COLUMNS - 1) * self.stride[2] + self.kernel[2]
        touched = math.prod(self.kernel[:2]) * (reach + self.kernel[2])
        lines = WORKING_SET // max(1, touched * self.item_bytes * LINE_CHANNELS)
        return LINE_CHANNELS * max(1, lines)

    def height(self) -> int:
        """Rows that are correlated at a time."""
        row_bytes = 2 * self.kernel[2] * LINE_CHANNELS * self.item_bytes
        return max(1, min(self.kernel[1], WORKING_SET // max(1, row_bytes)))

    def items(self) -> int:
        """Pieces of a sum over images and rows."""
        return self.batch * self.kernel[0] * -(-self.kernel[1] // self.height())

    def parts(self) -> int:
        """How many partial sums there are: a rule on the sizes alone."""
        return max(1, min(self.items(), MOST_CHUNKS, self.products() // ROW_PRODUCTS))

    def combine_chunks(self) -> int:
        return max(1, min(MOST_CHUNKS, self.result_size() * self.parts() // CHUNK_PRODUCTS))

    def result_size(self) -> int:
        """The elements of a result that is summed over the batch."""
        return math.prod(self.result) * self.channels

    def partial_bytes(self, accumulator_bytes: int) -> int:
        """The partial sums and the tables of all parts."""
        table = 8 * TABLE_FIELDS * self.result[2]
        return self.parts() * (self.result_size() * accumulator_bytes + table) + 64

    def slots(self) -> list[int]:
        """The argument table behind the pointers."""
        common = [math.gcd(s, e) for s, e in zip(self.stride, self.input_dilation)]
        shared = [math.gcd(d, e) for d, e in zip(self.dilation, self.input_dilation)]
        return [
            self.batch, self.channels, self.slide_block(), self.height(),
            self.image_strides[0], self.kernel_strides[0],
            *self.image_strides[1:4], *self.kernel_strides[1:4], *self.image, *self.kernel, *self.result,
            *self.stride, *self.dilation, *self.low, *self.input_dilation,
            *[e // g for e, g in zip(self.input_dilation, shared)],
            *[d // g for d, g in zip(self.dilation, shared)],
            *[e // g for e, g in zip(self.input_dilation, common)],
            *[s // g for s, g in zip(self.stride, common)],
        ]  # fmt: skip
