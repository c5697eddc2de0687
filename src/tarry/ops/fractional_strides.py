"""Convolutions of inputs with zeros between their elements (fractional strides), without the zeros.

They are transposed convolutions and the derivatives of strided ones for their inputs. Along an axis with
`s - 1` zeros between elements, the result's positions of one residue modulo `s`, a *phase*, meet only the
elements of the kernel of one residue, so nothing has to be multiplied by zero:

- by blocks: one product of all elements with all filters gives what each adds to its surroundings; the
  kernel is cut into blocks of `s`, and for each a shifted image of what it adds is summed up. Where filters
  are few, the sum goes by phases, with all positions of an image side by side.
- by phases: each is a small convolution of its own with every s-th element of the kernel.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from tarry.base.dtypes import bfloat16, float16, float32
from tarry.base.shapes import Shape, size_of
from tarry.graph.array import array
from tarry.ops.arithmetic import add
from tarry.ops.depthwise import MOST_TERMS, Geometry
from tarry.ops.elementwise import cast, constant
from tarry.ops.products import matrix_product, transposed
from tarry.ops.slices import padded, reversed_along, slice_updated, sliced
from tarry.ops.structure import permute, reshaped

# With fewer products, zeros counted, it takes longer to record a graph of several parts.
LEAST_WORK = 1 << 20
# Each phase is a kernel or more.
MOST_PHASES = 16
# Fewer filters do not fill vectors.
FEW_FILTERS = 16
# With so many more filters than channels what is added takes more memory than the windows.
MANY_FILTERS = 4

Convolve = Callable[[array, array, Geometry], array]


def dilated(x: array, between: Sequence[int]) -> array:
    """Zeros between the elements of the spatial axes of (G, N, spatial..., C)."""
    if all(step == 1 for step in between) or 0 in x.shape:
        return x
    extents = [(extent - 1) * step + 1 for extent, step in zip(x.shape[2:-1], between)]
    zeros = constant(0, x.dtype, (*x.shape[:2], *extents, x.shape[-1]))
    return slice_updated(zeros, x, [0] * x.ndim, [1, 1, *between, 1])


def surrounded(x: array, low: Sequence[int], high: Sequence[int]) -> array:
    """Zeros around the spatial axes of (G, N, spatial..., C); negative numbers cut off."""
    starts, extents, before, after = [], [], [], []
    for extent, first, last in zip(x.shape, (0, 0, *low, 0), (0, 0, *high, 0)):
        start = min(max(-first, 0), extent)
        kept = max(extent + min(last, 0) - start, 0)
        target = extent + first + last
        starts.append(start)
        extents.append(kept)
        before.append(min(max(first, 0), target - kept))
        after.append(target - kept - before[-1])
    x = sliced(x, starts, tuple(extents), [1] * x.ndim)
    return padded(x, constant(0, x.dtype), before, after)


def convolve_undilated(x: array, weight: array, geometry: Geometry, convolve: Convolve) -> array | None:
    """(G, N, spatial..., C) and (G, O, kernel..., C) to (G, N, places..., O); None if dilating is as good.

    `convolve` computes the convolutions of single phases.
    """
    steps, kernel = geometry.input_dilation, weight.shape[2:-1]
    if all(step == 1 for step in steps) or any(step != 1 for step in geometry.stride) or 0 in x.shape:
        return None
    filters, channels, phases = weight.shape[1], x.shape[-1], size_of(steps)
    places = geometry.places(x.shape[2:-1], kernel)
    if size_of(x.shape[:2]) * size_of(places) * size_of(weight.shape[1:]) < LEAST_WORK:
        return None
    blocks = [-(-extent // step) for extent, step in zip(kernel, steps)]
    plain = all(step == 1 for step in geometry.dilation)
    if plain and size_of(blocks) <= MOST_TERMS and filters < MANY_FILTERS * channels:
        has_tail = any(extent % step for extent, step in zip(kernel, steps))
        by_planes = filters <= FEW_FILTERS and has_tail and phases <= MOST_PHASES
        wide = float32 if x.dtype is float16 or x.dtype is bfloat16 else x.dtype
        add_up = _sum_of_planes if by_planes and size_of(kernel) <= MOST_TERMS else _sum_of_blocks
        return cast(add_up(cast(x, wide), cast(weight, wide), geometry), x.dtype)
    return _by_phases(x, weight, geometry, convolve) if phases <= MOST_PHASES else None


def _sum_of_blocks(x: array, weight: array, geometry: Geometry) -> array:
    """By blocks, with all phases next to each other: (G, N, spatial..., phase..., O)."""
    rank, groups, batch, filters = x.ndim - 3, x.shape[0], x.shape[1], weight.shape[1]
    spatial, kernel, steps = x.shape[2:-1], weight.shape[2:-1], geometry.input_dilation
    turned = reversed_along(weight, range(2, rank + 2))
    columns = permute(turned, (0, rank + 2, *range(2, rank + 2), 1))
    columns = reshaped(columns, (groups, x.shape[-1], size_of(kernel) * filters))
    rows = reshaped(x, (groups, batch * size_of(spatial), x.shape[-1]))
    parts = reshaped(matrix_product(rows, columns), (groups, batch, *spatial, *kernel, filters))
    zero = constant(0, x.dtype)
    blocks = [-(-extent // step) for extent, step in zip(kernel, steps)]
    images = []
    for block in itertools.product(*map(range, blocks)):
        starts = [number * step for number, step in zip(block, steps)]
        inside = [min(extent - start, step) for extent, start, step in zip(kernel, starts, steps)]
        part = sliced(
            parts,
            (0, 0, *[0] * rank, *starts, 0),
            (groups, batch, *spatial, *inside, filters),
            [1] * parts.ndim,
        )
        behind = [count - 1 - number for count, number in zip(blocks, block)]
        tail = [step - extent for step, extent in zip(steps, inside)]
        images.append(padded(part, zero, (0, 0, *block, *[0] * rank, 0), (0, 0, *behind, *tail, 0)))
    pairs = [axis for pair in zip(range(2, rank + 2), range(rank + 2, 2 * rank + 2)) for axis in pair]
    extents = [(extent + count - 1) * step for extent, count, step in zip(spatial, blocks, steps)]
    whole = permute(_sum(images), (0, 1, *pairs, 2 * rank + 2))
    whole = reshaped(whole, (groups, batch, *extents, filters))
    low = [before - extent + 1 for before, extent in zip(geometry.low, kernel)]
    places = geometry.places(spatial, kernel)
    return surrounded(whole, low, [p - before - e for p, before, e in zip(places, low, extents)])


def _sum_of_planes(x: array, weight: array, geometry: Geometry) -> array:
    """By blocks, for few filters: each element of the kernel has a plane (O, N, spatial...) of its own."""
    rank, groups, batch, filters = x.ndim - 3, x.shape[0], x.shape[1], weight.shape[1]
    kernel = weight.shape[2:-1]
    phases = list(_phases(x.shape[2:-1], kernel, geometry))
    # With zeros around the image all planes of a phase have the same extent.
    low, high = [0] * rank, [0] * rank
    for _, axes in phases:
        for number, axis in enumerate(axes):
            low[number] = max(low[number], axis.low)
            high[number] = max(high[number], axis.high)
    around = surrounded(x, low, high)
    spatial = around.shape[2:-1]
    rows = permute(weight, (0, *range(2, rank + 2), 1, rank + 2))
    rows = reshaped(rows, (groups, size_of(kernel) * filters, weight.shape[-1]))
    columns = transposed(reshaped(around, (groups, batch * size_of(spatial), around.shape[-1])))
    planes = reshaped(matrix_product(rows, columns), (groups, *kernel, filters, batch, *spatial))
    result = constant(0, x.dtype, (groups, batch, *geometry.places(x.shape[2:-1], kernel), filters))
    for phase, axes in phases:
        count = tuple([axis.count for axis in axes])
        terms = []
        for elements in itertools.product(*[axis.elements() for axis in axes]):
            starts = [offset + before for (_, offset), before in zip(elements, low)]
            seen = sliced(
                planes,
                (0, *[element for element, _ in elements], 0, 0, *starts),
                (groups, *[1] * rank, filters, batch, *count),
                [1] * planes.ndim,
            )
            terms.append(reshaped(seen, (groups, filters, batch, *count)))
        turned = permute(_sum(terms), (0, 2, *range(3, rank + 3), 1))
        result = _interleaved(result, turned, phase, geometry)
    return result


def _by_phases(x: array, weight: array, geometry: Geometry, convolve: Convolve) -> array:
    """Every phase a convolution with a part of the kernel."""
    rank, groups, filters = x.ndim - 3, x.shape[0], weight.shape[1]
    places = geometry.places(x.shape[2:-1], weight.shape[2:-1])
    result = constant(0, x.dtype, (groups, x.shape[1], *places, filters))
    for phase, axes in _phases(x.shape[2:-1], weight.shape[2:-1], geometry):
        part = sliced(
            weight,
            (0, 0, *[axis.first for axis in axes], 0),
            (groups, filters, *[axis.taps for axis in axes], weight.shape[-1]),
            (1, 1, *[axis.step for axis in axes], 1),
        )
        inner = Geometry(
            [1] * rank,
            [axis.dilation for axis in axes],
            [axis.low for axis in axes],
            [axis.high for axis in axes],
            [1] * rank,
        )
        result = _interleaved(result, convolve(x, part, inner), phase, geometry)
    return result


class PhaseAxis:
    """What the result's positions of one residue see along one axis.

    count           how many positions there are
    first           the first element of the kernel that they meet; there are `taps`, `step` apart
    offset          the input's position that the first of them sees through it
    dilation        the distance of the input's positions that neighbouring taps see
    low, high       zeros around the input, or how much of it is cut off
    """

    __slots__ = ("count", "dilation", "first", "high", "low", "offset", "step", "taps")

    def __init__(
        self, residue: int, extent: int, kernel: int, places: int, between: int, dilation: int, before: int
    ) -> None:
        self.count = -(-(places - residue) // between)
        common = math.gcd(between, dilation)
        self.step = between // common
        self.dilation = dilation // common
        distances = [residue + n * dilation - before for n in range(min(kernel, self.step))]
        self.first = next((n for n, distance in enumerate(distances) if distance % between == 0), kernel)
        self.taps = -(-(kernel - self.first) // self.step)
        self.offset = (residue + self.first * dilation - before) // between
        self.low = -self.offset
        self.high = self.count + self.offset + (self.taps - 1) * self.dilation - extent

    def elements(self) -> list[tuple[int, int]]:
        """Each element of the kernel with the input's position that the first position sees through it."""
        return [(self.first + n * self.step, self.offset + n * self.dilation) for n in range(self.taps)]


def _phases(spatial: Shape, kernel: Shape, geometry: Geometry) -> list[tuple[Shape, list[PhaseAxis]]]:
    """The phases that have positions and meet elements of the kernel."""
    places = geometry.places(spatial, kernel)
    found = []
    for phase in itertools.product(*map(range, geometry.input_dilation)):
        roles = zip(phase, spatial, kernel, places, geometry.input_dilation, geometry.dilation, geometry.low)
        axes = [PhaseAxis(*role) for role in roles]
        if all(axis.taps > 0 and axis.count > 0 for axis in axes):
            found.append((phase, axes))
    return found


def _interleaved(result: array, part: array, phase: Shape, geometry: Geometry) -> array:
    """The result with one of its phases replaced."""
    return slice_updated(result, part, (0, 0, *phase, 0), (1, 1, *geometry.input_dilation, 1))


def _sum(terms: Sequence[array]) -> array:
    total = terms[0]
    for term in terms[1:]:
        total = add(total, term)
    return total
