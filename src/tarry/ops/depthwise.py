"""Convolutions of many groups of few channels, without windows in memory.

Where each group has one channel and one filter native code does it all (`codegen.depthwise`): convolutions,
and sums over a batch of them, which are their derivatives for weights. Nothing is padded in memory.

Further filters repeat the channels, and each further channel of the groups is a convolution of its own, to
be added. Where results are few and the kernel is large, as in the derivative for weights of a batch of
convolutions, each result is a sum of products.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

from tarry.base.dtypes import bfloat16, float16, float32, float64
from tarry.base.shapes import Shape, size_of
from tarry.graph.array import array
from tarry.ops.arithmetic import add, multiply
from tarry.ops.calls import Call, ResultType, call
from tarry.ops.elementwise import cast, constant
from tarry.ops.joining import stack
from tarry.ops.reductions import sum as total
from tarry.ops.slices import reversed_along, slice_updated, sliced
from tarry.ops.structure import batch_to_front, broadcast, move_axis, permute, reshaped

# Fewer groups do not fill vectors; with more channels matrix products do; more terms would make graphs large.
LEAST_GROUPS = 8
MOST_CHANNELS = 16
MOST_TERMS = 64


class Geometry:
    """Strides, dilations and padding along the spatial axes."""

    __slots__ = ("dilation", "high", "input_dilation", "low", "stride")

    def __init__(
        self,
        stride: Sequence[int],
        dilation: Sequence[int],
        low: Sequence[int],
        high: Sequence[int],
        input_dilation: Sequence[int],
    ) -> None:
        self.stride = tuple(stride)
        self.dilation = tuple(dilation)
        self.low = tuple(low)
        self.high = tuple(high)
        self.input_dilation = tuple(input_dilation)

    def key(self) -> tuple[Shape, ...]:
        return (self.stride, self.dilation, self.low, self.high, self.input_dilation)

    def lengths(self, extents: Shape) -> list[int]:
        """The input's extents after dilation and padding."""
        return [
            max(extent - 1, -1) * between + 1 + before + after
            for extent, between, before, after in zip(extents, self.input_dilation, self.low, self.high)
        ]

    def spans(self, kernel: Shape) -> list[int]:
        """How far the kernel reaches."""
        return [d * (k - 1) + 1 for k, d in zip(kernel, self.dilation)]

    def places(self, extents: Shape, kernel: Shape) -> Shape:
        """The result's extents."""
        pairs = zip(self.lengths(extents), self.spans(kernel), self.stride)
        return tuple([max((length - span) // stride + 1, 0) for length, span, stride in pairs])

    def of_image(self, image: Shape, kernel: Shape) -> Geometry:
        """For the convolution of a result's cotangent with the reversed kernel that gives the image's."""
        lengths, spans = self.lengths(image), self.spans(kernel)
        left = left_over(lengths, spans, self.stride)
        low = [span - 1 - before for span, before in zip(spans, self.low)]
        high = [span - 1 - after + rest for span, after, rest in zip(spans, self.high, left)]
        return Geometry(self.input_dilation, self.dilation, low, high, self.stride)

    def of_kernel(self, image: Shape, kernel: Shape) -> Geometry:
        """For the convolution of an image with a result's cotangent that gives the kernel's."""
        left = left_over(self.lengths(image), self.spans(kernel), self.stride)
        high = [after - rest for after, rest in zip(self.high, left)]
        return Geometry(self.dilation, self.stride, self.low, high, self.input_dilation)


def left_over(lengths: Sequence[int], spans: Sequence[int], stride: Sequence[int]) -> list[int]:
    """The elements behind the last window."""
    return [(length - span) % step for length, span, step in zip(lengths, spans, stride)]


class Depthwise(Call):
    """A convolution of every channel of an image (N, spatial..., C) by itself.

    With a kernel (kernel..., C) the result is (N, places..., C). If it `sums`, every image has a kernel of
    its own, (N, kernel..., C), and the result is the sum over the batch, (places..., C).
    """

    name = "Depthwise"
    routine = "depthwise"
    __slots__ = ("geometry", "sums")

    def __init__(self, sums: bool, *geometry: Shape, number: int = 0) -> None:
        self.sums = sums
        self.geometry = Geometry(*geometry)
        super().__init__(sums, *geometry, number=number)

    def _kernel_extents(self, kernel: array) -> Shape:
        return kernel.shape[1:-1] if self.sums else kernel.shape[:-1]

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        image, kernel = inputs
        shape = (*self.geometry.places(image.shape[1:-1], self._kernel_extents(kernel)), image.shape[-1])
        return [(shape if self.sums else (image.shape[0], *shape), image.dtype)]

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        image, kernel = inputs
        cotangent = cotangents[0]
        if cotangent is None:
            return [None, None]
        extents = image.shape[1:-1], self._kernel_extents(kernel)
        by_image, by_kernel = self.geometry.of_image(*extents), self.geometry.of_kernel(*extents)
        if not self.sums:
            turned = reversed_along(kernel, range(kernel.ndim - 1))
            return [_apply(False, cotangent, turned, by_image), _apply(True, image, cotangent, by_kernel)]
        # The images become channels, because each has a kernel of its own.
        count, channels = image.shape[0], image.shape[-1]
        turned = reversed_along(kernel, range(1, kernel.ndim - 1))
        turned = permute(turned, (*range(1, kernel.ndim - 1), 0, kernel.ndim - 1))
        turned = reshaped(turned, (*turned.shape[:-2], count * channels))
        repeated = reshaped(cotangent, (1, *cotangent.shape[:-1], 1, channels))
        repeated = broadcast(repeated, (*repeated.shape[:-2], count, channels))
        found = _apply(False, reshaped(repeated, (*repeated.shape[:-2], count * channels)), turned, by_image)
        found = reshaped(found, (*found.shape[1:-1], count, channels))
        return [move_axis(found, found.ndim - 2, 0), _apply(False, image, cotangent, by_kernel)]

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        pairs = (tangents[0], inputs[1]), (inputs[0], tangents[1])
        terms = [_apply(self.sums, x, w, self.geometry) for x, w in pairs if x is not None and w is not None]
        return [terms[0] if len(terms) == 1 else add(*terms)]

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        image = batch_to_front(inputs[0], axes[0], size)
        if axes[1] is None and not self.sums:
            # Further images.
            result = _apply(
                False, reshaped(image, (size * image.shape[1], *image.shape[2:])), inputs[1], self.geometry
            )
            return reshaped(result, (size, *output.shape)), 0
        # Further channels.
        folded = []
        for part in (image, batch_to_front(inputs[1], axes[1], size)):
            moved = move_axis(part, 0, part.ndim - 2)
            folded.append(reshaped(moved, (*moved.shape[:-2], size * moved.shape[-1])))
        result = _apply(self.sums, folded[0], folded[1], self.geometry)
        return reshaped(result, (*result.shape[:-1], size, output.shape[-1])), result.ndim - 1


def _apply(sums: bool, image: array, kernel: array, geometry: Geometry) -> array:
    return call(_primitive(sums, geometry.key()), image, kernel)[0]


@functools.lru_cache(1024)
def _primitive(sums: bool, geometry: tuple[Shape, ...]) -> Depthwise:
    return Depthwise(sums, *geometry)


def is_depthwise(x: array, weight: array, groups: int) -> bool:
    """Whether there are many groups of few channels, or few of one channel, one filter and a small kernel.

    Shapes as in `convolve_depthwise`.
    """
    channels = weight.shape[-1]
    is_single = channels == 1 and weight.shape[0] == groups and size_of(weight.shape[1:]) <= MOST_TERMS
    return (
        (groups >= LEAST_GROUPS or is_single)
        and channels <= MOST_CHANNELS
        and x.shape[-1] == groups * channels
        and weight.shape[0] % groups == 0
        and size_of(x.shape) > 0
        and size_of(weight.shape) > 0
        and x.dtype in (float32, float64, float16, bfloat16)
    )


def convolve_depthwise(x: array, weight: array, geometry: Geometry) -> array:
    """(N, spatial..., C) and (F, kernel..., C / groups) to (N, places..., F)."""
    channels = weight.shape[-1]
    groups = x.shape[-1] // channels
    factor = weight.shape[0] // groups
    if channels == 1:
        return _apply(False, _repeated(x, factor), _of_channel(weight, 0), geometry)
    # One channel of all groups at a time.
    wide, wide_weight = _wide(x), _wide(weight)
    strides = [1] * (x.ndim - 1) + [channels]
    total: array | None = None
    for channel in range(channels):
        starts = [0] * (x.ndim - 1) + [channel]
        seen = _repeated(sliced(wide, starts, (*x.shape[:-1], groups), strides), factor)
        term = _apply(False, seen, _of_channel(wide_weight, channel), geometry)
        total = term if total is None else add(total, term)
    assert total is not None
    return cast(total, x.dtype)


def _repeated(x: array, count: int) -> array:
    """Every channel `count` times."""
    if count == 1:
        return x
    copies = broadcast(reshaped(x, (*x.shape, 1)), (*x.shape, count))
    return reshaped(copies, (*x.shape[:-1], x.shape[-1] * count))


def _of_channel(weight: array, channel: int) -> array:
    """(F, kernel..., C) to (kernel..., F) for one of the channels."""
    last = weight.ndim - 1
    chosen = sliced(weight, [0] * last + [channel], (*weight.shape[:-1], 1), [1] * (last + 1))
    return move_axis(reshaped(chosen, weight.shape[:-1]), 0, last - 1)


def is_grouped(x: array, weight: array) -> bool:
    """Whether there are many groups, of few channels, and a small kernel. Shapes as in `convolve_groups`."""
    groups, filters, channels = x.shape[0], weight.shape[1], weight.shape[-1]
    return (
        groups >= LEAST_GROUPS
        and channels <= MOST_CHANNELS
        and size_of(weight.shape[2:]) * filters <= MOST_TERMS
        and x.dtype in (float32, float64, float16, bfloat16)
    )


def convolve_groups(x: array, weight: array, geometry: Geometry) -> array:
    """(G, N, spatial..., C) and (G, O, kernel..., C) to (G, N, places..., O)."""
    last, groups, filters = x.ndim - 1, x.shape[0], weight.shape[1]
    image = permute(x, (*range(1, last), 0, last))
    image = reshaped(image, (*image.shape[:-2], groups * x.shape[-1]))
    result = convolve_depthwise(image, reshaped(weight, (groups * filters, *weight.shape[2:])), geometry)
    result = reshaped(result, (*result.shape[:-1], groups, filters))
    return permute(result, (last - 1, *range(last - 1), last))


def has_few_places(x: array, weight: array, places: Shape) -> bool:
    """Whether there are many groups, of few results. Shapes as in `convolve_at_places`."""
    results = x.shape[1] * size_of(places) * weight.shape[1]
    return x.shape[0] >= LEAST_GROUPS and results <= MOST_TERMS


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
