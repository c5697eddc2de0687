"""Convolutions in one to three dimensions, transposed or not, and convolve.

Arrays are channels-last: inputs (N, spatial..., C_in), weights (C_out, spatial..., C_in / groups), results
(N, spatial..., C_out). As in all of deep learning the kernel is not flipped unless asked for. Windows of the
input are a view; they meet the weights in one matrix product. Many groups of one or few channels go without
(`depthwise`), and so do inputs with zeros between their elements (`fractional_strides`).

Along an axis with `n` elements, kernel `k`, stride `s`, dilation `d` and padding `p` before and `q` behind
the result has (n + p + q - d (k - 1) - 1) // s + 1 elements (Dumoulin and Visin 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tarry.base.dtypes import is_inexact, promote
from tarry.base.shapes import Shape, size_of
from tarry.graph.array import array
from tarry.ops.arguments import INTEGER, flag, integer, integers, is_integer, word
from tarry.ops.arithmetic import add
from tarry.ops.build import build
from tarry.ops.depthwise import (
    Geometry,
    convolve_at_places,
    convolve_depthwise,
    convolve_groups,
    has_few_places,
    is_depthwise,
    is_grouped,
)
from tarry.ops.elementwise import cast, constant, require_array
from tarry.ops.fractional_strides import convolve_undilated, dilated, surrounded
from tarry.ops.products import matrix_product, transposed
from tarry.ops.slices import reversed_along
from tarry.ops.structure import Piece, Position, View, ViewSizes, batch_to_front, permute, reshaped
from tarry.runtime.devices import StreamLike, require_stream


class Windows(View):
    """(G, N, spatial..., C) as (G, N, places..., kernel..., C): element o s + k d of each spatial axis.

    `units` says for each axis whether its stride and its dilation are 1; the others are arguments.
    """

    name = "Windows"
    __slots__ = ("units",)

    def __init__(self, units: tuple[tuple[bool, bool], ...], arguments: tuple[int, ...]) -> None:
        self.units = units
        super().__init__(arguments)

    def params(self) -> tuple[object, ...]:
        return (self.units,)

    def pull(self, position: Position, sizes: ViewSizes) -> list[Piece]:
        count = len(self.units)
        remaining = iter(sizes.arguments)
        source = list(position[:2])
        for axis, (unit_stride, unit_dilation) in enumerate(self.units):
            place, offset = position[2 + axis], position[2 + count + axis]
            if not unit_stride:
                place = place.scale(next(remaining))
            if not unit_dilation:
                offset = offset.scale(next(remaining))
            source.append(place + offset)
        return [Piece(0, [*source, position[-1]])]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        return None if tangents[0] is None else build(self, [tangents[0]], output.shape, output.dtype)

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        # Further groups; the axis of groups is the first one.
        batched = batch_to_front(inputs[0], axes[0], size)
        folded = reshaped(batched, (size * batched.shape[1], *batched.shape[2:]))
        seen = build(self, [folded], (folded.shape[0], *output.shape[1:]), output.dtype)
        return reshaped(seen, (size, *output.shape)), 0


class Convolution(View):
    """The first input, which is the convolution of the other two, with its derivatives as convolutions.

    Inputs have a leading dimension of groups: (G, N, spatial..., C) and (G, O, kernel..., C).
    """

    name = "Convolution"
    shaped = False
    __slots__ = ("geometry",)

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__()

    def params(self) -> tuple[object, ...]:
        return self.geometry.key()

    def pull(self, position: Position, sizes: ViewSizes) -> list[Piece]:
        return [Piece(0, position)]

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        rules = {1: self._input_rule, 2: self._weight_rule}
        return [rules[n](inputs[1], inputs[2], cotangent) if n in rules else None for n in wanted]

    def _input_rule(self, x: array, weight: array, cotangent: array) -> array:
        rank = weight.ndim
        turned = permute(weight, (0, rank - 1, *range(2, rank - 1), 1))
        turned = reversed_along(turned, range(2, rank - 1))
        return _convolve(cotangent, turned, self.geometry.of_image(x.shape[2:-1], weight.shape[2:-1]))

    def _weight_rule(self, x: array, weight: array, cotangent: array) -> array:
        rank = x.ndim
        swap = (0, rank - 1, *range(2, rank - 1), 1)
        geometry = self.geometry.of_kernel(x.shape[2:-1], weight.shape[2:-1])
        return permute(_convolve(permute(x, swap), permute(cotangent, swap), geometry), swap)

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        x, weight = inputs[1:]
        total: array | None = None
        if tangents[1] is not None:
            total = _convolve(tangents[1], weight, self.geometry)
        if tangents[2] is not None:
            term = _convolve(x, tangents[2], self.geometry)
            total = term if total is None else add(total, term)
        return total

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        # The batch becomes further groups.
        parts = [batch_to_front(value, axis, size) for value, axis in zip(inputs[1:], axes[1:])]
        folded = [reshaped(part, (size * part.shape[1], *part.shape[2:])) for part in parts]
        result = _convolve(folded[0], folded[1], self.geometry)
        return reshaped(result, (size, result.shape[0] // size, *result.shape[1:])), 0


def _convolve(x: array, weight: array, geometry: Geometry) -> array:
    """(G, N, spatial..., C) and (G, O, kernel..., C) to (G, N, places..., O)."""
    kernel = weight.shape[2:-1]
    places = geometry.places(x.shape[2:-1], kernel)
    groups, batch, channels, filters = x.shape[0], x.shape[1], x.shape[-1], weight.shape[1]
    shape = (groups, batch, *places, filters)
    if size_of(shape) == 0 or channels == 0 or size_of(kernel) == 0:
        value = constant(0, x.dtype, shape)
    else:
        value = _value(x, weight, geometry)
    return build(Convolution(geometry), (value, x, weight), shape, x.dtype)


def _value(x: array, weight: array, geometry: Geometry) -> array:
    """What `_convolve` computes, without derivatives."""
    if is_grouped(x, weight):
        return convolve_groups(x, weight, geometry)
    value = convolve_undilated(x, weight, geometry, _value)
    if value is not None:
        return value
    around = surrounded(dilated(x, geometry.input_dilation), geometry.low, geometry.high)
    return _product(around, weight, geometry.places(x.shape[2:-1], weight.shape[2:-1]), geometry)


def _product(around: array, weight: array, places: Shape, geometry: Geometry) -> array:
    """The convolution of an input that is dilated and padded already."""
    if has_few_places(around, weight, places):
        return convolve_at_places(around, weight, places, geometry.stride, geometry.dilation)
    groups, batch, channels = around.shape[0], around.shape[1], around.shape[-1]
    filters, kernel = weight.shape[1], weight.shape[2:-1]
    depth = size_of(kernel) * channels
    stride = geometry.stride
    if groups == 1 and geometry.dilation[-1] == 1:
        # A row of the kernel with its channels is one run of elements.
        around = reshaped(around, (*around.shape[:-2], around.shape[-2] * channels, 1))
        stride = (*stride[:-1], stride[-1] * channels)
        kernel = (*kernel[:-1], kernel[-1] * channels)
        channels = 1
    units = tuple([(s == 1, d == 1) for s, d in zip(stride, geometry.dilation)])
    steps = [step for pair in zip(stride, geometry.dilation) for step in pair if step != 1]
    seen = build(
        Windows(units, tuple(steps)), (around,), (groups, batch, *places, *kernel, channels), around.dtype
    )
    rows = reshaped(seen, (groups, batch * size_of(places), depth))
    columns = transposed(reshaped(weight, (groups, filters, depth)))
    return reshaped(matrix_product(rows, columns), (groups, batch, *places, filters))


# The functions


def _per_axis(op: str, value: Any, count: int, role: str) -> list[int]:
    """One integer for each spatial axis; a single one stands for all."""
    if not is_integer(value):
        listed = list(integers(op, value, role, INTEGER))
        if len(listed) == 1:
            return listed * count
        if len(listed) != count:
            kind = ValueError if op == "conv_general" else TypeError
            raise kind(f"[{op}] {role} must have {count} entries, but it is {tuple(listed)}.")
        return listed
    return [integer(op, value, role)] * count


def _grouped(op: str, x: array, weight: array, groups: int) -> tuple[array, array]:
    """The operands with the groups as a leading dimension. ValueError where they do not fit."""
    channels, filters = x.shape[-1], weight.shape[0]
    if groups < 1 or channels % groups or filters % groups:
        raise ValueError(
            f"[{op}] Channels of the input ({channels}) and of the output ({filters}) must be multiples of "
            f"the groups, {groups}."
        )
    if weight.shape[-1] != channels // groups:
        raise ValueError(
            f"[{op}] A weight for an input with {channels} channels in {groups} group(s) has "
            f"{channels // groups} of them, but its shape is {weight.shape}."
        )
    if groups == 1:
        return reshaped(x, (1, *x.shape)), reshaped(weight, (1, *weight.shape))
    split = reshaped(x, (*x.shape[:-1], groups, channels // groups))
    rank = split.ndim
    return (
        permute(split, (rank - 2, *range(rank - 2), rank - 1)),
        reshaped(weight, (groups, filters // groups, *weight.shape[1:])),
    )


def _ungrouped(value: array) -> array:
    if value.shape[0] == 1:
        return reshaped(value, value.shape[1:])
    rank = value.ndim
    moved = permute(value, (*range(1, rank - 1), 0, rank - 1))
    return reshaped(moved, (*moved.shape[:-2], moved.shape[-2] * moved.shape[-1]))


def _operands(op: str, input: object, weight: object, ranks: Sequence[int]) -> tuple[array, array]:
    x, w = require_array(op, input), require_array(op, weight)
    if x.ndim not in ranks or w.ndim != x.ndim:
        listed = " or ".join(str(rank) for rank in ranks)
        raise ValueError(
            f"[{op}] Input and weight must both have {listed} dimensions, but their shapes are {x.shape} and "
            f"{w.shape}."
        )
    dtype = promote(x.dtype, w.dtype)
    if not is_inexact(dtype):
        raise ValueError(f"[{op}] Only inexact types are supported, but the operands meet in {dtype.name}.")
    return cast(x, dtype), cast(w, dtype)


def _run(op: str, x: array, weight: array, geometry: Geometry, groups: int, flip: bool) -> array:
    for name, numbers in (
        ("stride", geometry.stride),
        ("kernel_dilation", geometry.dilation),
        ("input_dilation", geometry.input_dilation),
    ):
        if min(numbers) < 1:
            raise ValueError(f"[{op}] {name} must be positive, but it is {numbers}.")
    lengths, spans = geometry.lengths(x.shape[1:-1]), geometry.spans(weight.shape[1:-1])
    if any(length < span for length, span in zip(lengths, spans)):
        raise ValueError(
            f"[{op}] The kernel reaches over {tuple(spans)} elements, but the padded input has only "
            f"{tuple(lengths)}."
        )
    if flip:
        weight = reversed_along(weight, range(1, weight.ndim - 1))
    if is_depthwise(x, weight, groups):
        return convolve_depthwise(x, weight, geometry)
    return _ungrouped(_convolve(*_grouped(op, x, weight, groups), geometry))


def conv_general(
    input: array,
    weight: array,
    /,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | tuple[Sequence[int], Sequence[int]] = 0,
    kernel_dilation: int | Sequence[int] = 1,
    input_dilation: int | Sequence[int] = 1,
    groups: int = 1,
    flip: bool = False,
    *,
    stream: StreamLike = None,
) -> array:
    """A convolution in one to three dimensions with everything said (see the top of ops/convolution.py).

    `padding` is a number of zeros for all axes or for each, or a pair of them, before and behind. With `flip`
    the kernel is reversed. ValueError for shapes that do not fit and integer operands.

    >>> mx.conv_general(mx.array([[[1.0], [2.0], [3.0]]]), mx.array([[[1.0], [10.0]]])).tolist()
    [[[21.0], [32.0]]]
    """
    if stream is not None:
        require_stream("conv_general", stream)
    op = "conv_general"
    x, w = _operands(op, input, weight, (3, 4, 5))
    count = x.ndim - 2
    if isinstance(padding, tuple) and len(padding) == 2 and isinstance(padding[0], (list, tuple)):
        low, high = (_per_axis(op, side, count, "padding") for side in padding)
    else:
        low = high = _per_axis(op, padding, count, "padding")
    geometry = Geometry(
        _per_axis(op, stride, count, "stride"),
        _per_axis(op, kernel_dilation, count, "kernel_dilation"),
        low,
        high,
        _per_axis(op, input_dilation, count, "input_dilation"),
    )
    return _run(op, x, w, geometry, integer(op, groups, "groups"), flag(op, flip, "flip"))


def _plain(
    op: str, rank: int, input: object, weight: object, stride: Any, padding: Any, dilation: Any, groups: Any
) -> array:
    x, w = _operands(op, input, weight, (rank + 2,))
    around = _per_axis(op, padding, rank, "padding")
    geometry = Geometry(
        _per_axis(op, stride, rank, "stride"),
        _per_axis(op, dilation, rank, "dilation"),
        around,
        around,
        [1] * rank,
    )
    return _run(op, x, w, geometry, integer(op, groups, "groups"), False)


def conv1d(
    input: array,
    weight: array,
    /,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    *,
    stream: StreamLike = None,
) -> array:
    """Convolution of (N, L, C_in) with (C_out, K, C_in / groups). ValueError for shapes that do not fit.

    >>> mx.conv1d(mx.ones((1, 5, 2)), mx.ones((3, 2, 2))).shape
    (1, 4, 3)
    """
    if stream is not None:
        require_stream("conv1d", stream)
    return _plain("conv1d", 1, input, weight, stride, padding, dilation, groups)


def conv2d(
    input: array,
    weight: array,
    /,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    *,
    stream: StreamLike = None,
) -> array:
    """Convolution of (N, H, W, C_in) with (C_out, KH, KW, C_in / groups). ValueError as for `conv1d`.

    >>> mx.conv2d(mx.ones((1, 5, 5, 2)), mx.ones((3, 2, 2, 2)), stride=2).shape
    (1, 2, 2, 3)
    """
    if stream is not None:
        require_stream("conv2d", stream)
    return _plain("conv2d", 2, input, weight, stride, padding, dilation, groups)


def conv3d(
    input: array,
    weight: array,
    /,
    stride: int | tuple[int, int, int] = 1,
    padding: int | tuple[int, int, int] = 0,
    dilation: int | tuple[int, int, int] = 1,
    groups: int = 1,
    *,
    stream: StreamLike = None,
) -> array:
    """Convolution of (N, D, H, W, C_in) with (C_out, KD, KH, KW, C_in / groups). ValueError as for `conv1d`.

    >>> mx.conv3d(mx.ones((1, 4, 5, 5, 2)), mx.ones((3, 2, 2, 2, 2))).shape
    (1, 3, 4, 4, 3)
    """
    if stream is not None:
        require_stream("conv3d", stream)
    return _plain("conv3d", 3, input, weight, stride, padding, dilation, groups)


def _transposed(
    op: str,
    rank: int,
    input: object,
    weight: object,
    stride: Any,
    padding: Any,
    dilation: Any,
    output_padding: Any,
    groups: Any,
) -> array:
    """The adjoint of a convolution with these settings, as a convolution of the dilated input."""
    x, w = _operands(op, input, weight, (rank + 2,))
    steps = _per_axis(op, stride, rank, "stride")
    dilations = _per_axis(op, dilation, rank, "dilation")
    around = _per_axis(op, padding, rank, "padding")
    more = _per_axis(op, output_padding, rank, "output_padding")
    spans = [d * (k - 1) + 1 for d, k in zip(dilations, w.shape[1:-1])]
    low = [span - 1 - cut for span, cut in zip(spans, around)]
    high = [before + extra for before, extra in zip(low, more)]
    geometry = Geometry([1] * rank, dilations, low, high, steps)
    return _run(op, x, w, geometry, integer(op, groups, "groups"), True)


def conv_transpose1d(
    input: array,
    weight: array,
    /,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    output_padding: int = 0,
    groups: int = 1,
    *,
    stream: StreamLike = None,
) -> array:
    """Transposed convolution of (N, L, C_in) with (C_out, K, C_in / groups).

    The result has (L - 1) stride - 2 padding + dilation (K - 1) + output_padding + 1 places.

    >>> mx.conv_transpose1d(mx.ones((1, 3, 2)), mx.ones((4, 2, 2)), stride=2).shape
    (1, 6, 4)
    """
    if stream is not None:
        require_stream("conv_transpose1d", stream)
    return _transposed(
        "conv_transpose1d", 1, input, weight, stride, padding, dilation, output_padding, groups
    )


def conv_transpose2d(
    input: array,
    weight: array,
    /,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    output_padding: int | tuple[int, int] = 0,
    groups: int = 1,
    *,
    stream: StreamLike = None,
) -> array:
    """Transposed convolution of (N, H, W, C_in) with (C_out, KH, KW, C_in / groups).

    >>> mx.conv_transpose2d(mx.ones((1, 3, 3, 2)), mx.ones((4, 2, 2, 2)), stride=2).shape
    (1, 6, 6, 4)
    """
    if stream is not None:
        require_stream("conv_transpose2d", stream)
    return _transposed(
        "conv_transpose2d", 2, input, weight, stride, padding, dilation, output_padding, groups
    )


def conv_transpose3d(
    input: array,
    weight: array,
    /,
    stride: int | tuple[int, int, int] = 1,
    padding: int | tuple[int, int, int] = 0,
    dilation: int | tuple[int, int, int] = 1,
    output_padding: int | tuple[int, int, int] = 0,
    groups: int = 1,
    *,
    stream: StreamLike = None,
) -> array:
    """Transposed convolution of (N, D, H, W, C_in) with (C_out, KD, KH, KW, C_in / groups).

    >>> mx.conv_transpose3d(mx.ones((1, 2, 3, 3, 2)), mx.ones((4, 2, 2, 2, 2)), stride=2).shape
    (1, 4, 6, 6, 4)
    """
    if stream is not None:
        require_stream("conv_transpose3d", stream)
    return _transposed(
        "conv_transpose3d", 3, input, weight, stride, padding, dilation, output_padding, groups
    )


def convolve(a: array, v: array, /, mode: str = "full", *, stream: StreamLike = None) -> array:
    """The discrete convolution of two 1-d arrays: sum over m of a[m] v[n - m].

    `mode` is "full" (all places with overlap), "same" (as many as the longer has, centred) or "valid"
    (complete overlap). ValueError for other modes, other ranks and empty arrays.

    >>> mx.convolve(mx.array([1.0, 2.0, 3.0]), mx.array([0.0, 1.0, 0.5]))
    array([0, 1, 2.5, 4, 1.5], dtype=float32)
    """
    if stream is not None:
        require_stream("convolve", stream)
    first, second = require_array("convolve", a), require_array("convolve", v)
    if first.ndim != 1 or second.ndim != 1:
        raise ValueError(
            f"[convolve] Both arrays must be 1-d, but their shapes are {first.shape} and {second.shape}."
        )
    if first.size == 0 or second.size == 0:
        raise ValueError("[convolve] Neither array may be empty.")
    if word("convolve", mode, "mode") not in ("full", "same", "valid"):
        raise ValueError(f"[convolve] The mode must be 'full', 'same' or 'valid', not {mode!r}.")
    if first.size < second.size:
        first, second = second, first
    length = second.size
    low = {"full": length - 1, "same": length - 1 - (length - 1) // 2, "valid": 0}[mode]
    high = {"full": length - 1, "same": (length - 1) // 2, "valid": 0}[mode]
    longer, shorter = reshaped(first, (1, first.size, 1)), reshaped(second, (1, length, 1))
    x, w = _operands("convolve", longer, shorter, (3,))
    result = _run("convolve", x, w, Geometry([1], [1], [low], [high], [1]), 1, True)
    return reshaped(result, (result.shape[1],))
