"""Discrete Fourier transforms, computed by pocketfft on the host.

    fft    X[k] = sum over j of x[j] * exp(-2 pi i j k / n)
    ifft   x[j] = 1/n sum over k of X[k] * exp(2 pi i j k / n)

All results are complex64, those of the inverse of a real transform float32. The transforms are linear, so
each is its own derivative, and a cotangent goes back through the adjoint: the transform of the other
direction with the scaling of the other one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tarry.base.dtypes import complex64, float32, int32
from tarry.base.settings import settings
from tarry.base.shapes import Shape, normalize_axes
from tarry.graph.array import array
from tarry.ops.arguments import INTEGER, integer, integers, word
from tarry.ops.arithmetic import multiply
from tarry.ops.build import build
from tarry.ops.calls import Call, NumPyArray, ResultType, library_function
from tarry.ops.comparison import equal, logical_or
from tarry.ops.complex_numbers import conjugate
from tarry.ops.elementwise import cast, constant, require_array
from tarry.ops.generators import iota
from tarry.ops.selection import where
from tarry.ops.slices import narrowed, padded
from tarry.ops.structure import batch_to_front
from tarry.ops.views import fresh
from tarry.runtime.devices import StreamLike, require_stream

# The norm whose transform in the other direction is the adjoint.
_ADJOINT_NORM = {"backward": "forward", "ortho": "ortho", "forward": "backward"}
# Fewer elements are not worth a second thread.
LEAST_SHARED = 1 << 16


class Transform(Call):
    """A linear map from one array to one array along some axes, which count from the end."""

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        raise AssertionError("The shape of a transform is given when it is recorded.")

    def adjoint(self, cotangent: array, shape: Shape) -> array:
        """The cotangent of an input of some shape."""
        raise NotImplementedError

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        return [self.adjoint(cotangent, inputs[0].shape)]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        tangent = tangents[0]
        return None if tangent is None else build(self, (tangent,), output.shape, output.dtype)

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        batched = batch_to_front(inputs[0], axes[0], size)
        return build(self, (batched,), (size, *output.shape), output.dtype), 0

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        value, output = inputs[0], outputs[0]
        assert output is not None
        if output.size == 0:
            return [output]
        workers = settings.threads if output.size >= LEAST_SHARED else 1
        return [self.transform(value, output, workers)]

    def transform(self, value: NumPyArray, output: NumPyArray, workers: int) -> NumPyArray:
        """The values of the result, perhaps in `output`, computed by so many threads."""
        raise NotImplementedError


class FFT(Transform):
    """The complex transform along `axes`; options: axes, whether forward, norm."""

    name = "FFT"

    def transform(self, value: NumPyArray, output: NumPyArray, workers: int) -> NumPyArray:
        axes, forward, norm = self.options
        np.copyto(output, value)
        result: NumPyArray
        if len(axes) == 1:
            function = library_function("scipy.fft", "fft" if forward else "ifft")
            result = function(output, axis=axes[0], norm=norm, overwrite_x=True, workers=workers)
        else:
            function = library_function("scipy.fft", "fftn" if forward else "ifftn")
            result = function(output, axes=axes, norm=norm, overwrite_x=True, workers=workers)
        # Computed in place, the result is a view of the output.
        return output if result.base is output else result

    def adjoint(self, cotangent: array, shape: Shape) -> array:
        axes, forward, norm = self.options
        return _complex_transform(cotangent, axes, not forward, _ADJOINT_NORM[norm])


class RealFFT(Transform):
    """The first n // 2 + 1 values of the transform of real values along one axis; options: axis, norm."""

    name = "RealFFT"

    def transform(self, value: NumPyArray, output: NumPyArray, workers: int) -> NumPyArray:
        axis, norm = self.options
        result: NumPyArray = library_function("scipy.fft", "rfft")(
            value, axis=axis, norm=norm, workers=workers
        )
        return result

    def adjoint(self, cotangent: array, shape: Shape) -> array:
        axis, norm = self.options
        # The inverse counts every value but those at the ends twice.
        halved = _weighted(cotangent, axis, shape[axis], 0.5)
        return _inverse_real_transform(halved, shape[axis], axis, _ADJOINT_NORM[norm])


class InverseRealFFT(Transform):
    """Real values from the first half of their transform along one axis; options: axis, norm."""

    name = "InverseRealFFT"

    def transform(self, value: NumPyArray, output: NumPyArray, workers: int) -> NumPyArray:
        axis, norm = self.options
        result: NumPyArray = library_function("scipy.fft", "irfft")(
            value, n=output.shape[axis], axis=axis, norm=norm, workers=workers
        )
        return result

    def adjoint(self, cotangent: array, shape: Shape) -> array:
        axis, norm = self.options
        half = _real_transform(cotangent, axis, _ADJOINT_NORM[norm])
        return _weighted(half, axis, cotangent.shape[axis], 2.0)


def _weighted(half: array, axis: int, length: int, weight: float) -> array:
    """Half a transform of some length times `weight`, but for its ends: 0 and, if even, length / 2."""
    place = iota(half.shape, half.ndim + axis, int32)
    ends = logical_or(equal(place, 0), equal(multiply(place, 2), length))
    return where(ends, half, multiply(half, weight))


def _complex_transform(value: array, axes: Shape, forward: bool, norm: str) -> array:
    return build(FFT(axes, forward, norm), (value,), value.shape, complex64)


def _real_transform(value: array, axis: int, norm: str) -> array:
    shape = list(value.shape)
    shape[axis] = shape[axis] // 2 + 1
    return build(RealFFT(axis, norm), (value,), tuple(shape), complex64)


def _inverse_real_transform(value: array, length: int, axis: int, norm: str) -> array:
    """`value` has length // 2 + 1 elements along the axis."""
    shape = list(value.shape)
    shape[axis] = length
    return build(InverseRealFFT(axis, norm), (value,), tuple(shape), float32)


# operands


def checked_norm(op: str, norm: Any) -> str:
    if word(op, norm, "norm") not in _ADJOINT_NORM:
        raise ValueError(f"[{op}] norm must be 'backward', 'ortho' or 'forward', but it is {norm!r}.")
    return str(norm)


def _resized(value: array, axis: int, extent: int) -> array:
    """Cut off, or with zeros added, at the end of the axis."""
    present = value.shape[axis]
    axis += value.ndim
    if extent <= present:
        return value if extent == present else narrowed(value, axis, 0, extent)
    high = [0] * value.ndim
    high[axis] = extent - present
    return padded(value, constant(0, value.dtype), [0] * value.ndim, high)


def _axes_and_lengths(
    op: str, a: array, s: Any, axes: Any, halved: bool
) -> tuple[Shape, list[int]]:
    """The axes, counted from the end, and the length of the transform along each.

    `halved`: the last of them has the first half of a transform, whose length is even unless given.
    """
    if axes is None:
        if a.ndim == 0:
            raise ValueError(f"[{op}] The array needs at least one dimension.")
        if s is not None:
            raise ValueError(f"[{op}] axes must be given with s, but they are None.")
        places: Shape = tuple(range(a.ndim))
    else:
        places = normalize_axes(op, integers(op, axes, "axes", INTEGER), a.ndim)
    lengths = [a.shape[axis] for axis in places]
    if halved and lengths:
        lengths[-1] = 2 * (lengths[-1] - 1)
    if s is not None:
        lengths = list(integers(op, s, "s"))
        if len(lengths) != len(places):
            raise ValueError(f"[{op}] s gives {len(lengths)} lengths for {len(places)} axes.")
    for length in lengths:
        if length < 1:
            raise ValueError(f"[{op}] A transform needs a length of at least 1, but one is {length}.")
    return tuple([axis - a.ndim for axis in places]), lengths


def _transform_complex(op: str, a: Any, s: Any, axes: Any, norm: Any, forward: bool) -> array:
    value = require_array(op, a)
    scaling = checked_norm(op, norm)
    places, lengths = _axes_and_lengths(op, value, s, axes, False)
    if not places:
        return fresh(value, value)
    value = cast(value, complex64)
    for axis, length in zip(places, lengths):
        value = _resized(value, axis, length)
    return _complex_transform(value, places, forward, scaling)


def _transform_real(op: str, a: Any, s: Any, axes: Any, norm: Any) -> array:
    value = require_array(op, a)
    scaling = checked_norm(op, norm)
    places, lengths = _axes_and_lengths(op, value, s, axes, False)
    if not places:
        raise ValueError(f"[{op}] At least one axis is needed.")
    value = cast(value, float32)
    for axis, length in zip(places, lengths):
        value = _resized(value, axis, length)
    half = _real_transform(value, places[-1], scaling)
    return _complex_transform(half, places[:-1], True, scaling) if len(places) > 1 else half


def _transform_back_to_real(op: str, a: Any, s: Any, axes: Any, norm: Any) -> array:
    value = require_array(op, a)
    scaling = checked_norm(op, norm)
    places, lengths = _axes_and_lengths(op, value, s, axes, True)
    if not places:
        raise ValueError(f"[{op}] At least one axis is needed.")
    value = cast(value, complex64)
    for axis, length in zip(places[:-1], lengths):
        value = _resized(value, axis, length)
    value = _resized(value, places[-1], lengths[-1] // 2 + 1)
    if len(places) > 1:
        value = _complex_transform(value, places[:-1], False, scaling)
    return _inverse_real_transform(value, lengths[-1], places[-1], scaling)


def _one(op: str, n: Any, axis: Any) -> tuple[list[int] | None, list[int]]:
    """s and axes for a transform along one axis."""
    return None if n is None else [integer(op, n, "n")], [integer(op, axis, "axis")]


# the public transforms


def fft(
    a: array, n: int | None = None, axis: int = -1, norm: str = "backward", stream: StreamLike = None
) -> array:
    """The discrete Fourier transform along an axis: X[k] = sum over j of a[j] exp(-2 pi i j k / n).

    With `n` the axis is first cut off, or continued with zeros, to that length. The norm "backward" leaves
    the sum as it is, "forward" divides it by n, and "ortho" by the square root of n; the inverse does the
    rest. The result is complex64.

    IndexError for an axis out of range; ValueError for another norm, n < 1, and arrays without dimensions.

    >>> mx.fft.fft(mx.array([1.0, 0.0, 0.0, 0.0]))
    array([1+0j, 1+0j, 1+0j, 1+0j], dtype=complex64)
    """
    if stream is not None:
        require_stream("fft", stream)
    return _transform_complex("fft", a, *_one("fft", n, axis), norm, True)


def ifft(
    a: array, n: int | None = None, axis: int = -1, norm: str = "backward", stream: StreamLike = None
) -> array:
    """The inverse of `fft` along an axis: x[j] = 1/n sum over k of a[k] exp(2 pi i j k / n).

    Errors as for `fft`.

    >>> mx.fft.ifft(mx.array([4.0, 0.0, 0.0, 0.0]))
    array([1+0j, 1+0j, 1+0j, 1+0j], dtype=complex64)
    """
    if stream is not None:
        require_stream("ifft", stream)
    return _transform_complex("ifft", a, *_one("ifft", n, axis), norm, False)


def rfft(
    a: array, n: int | None = None, axis: int = -1, norm: str = "backward", stream: StreamLike = None
) -> array:
    """The first n // 2 + 1 values of the transform of real values; the others are their conjugates.

    The imaginary part of a complex array is dropped. Errors as for `fft`.

    >>> mx.fft.rfft(mx.array([1.0, 2.0, 3.0, 2.0]))
    array([8+0j, -2+0j, 0+0j], dtype=complex64)
    """
    if stream is not None:
        require_stream("rfft", stream)
    return _transform_real("rfft", a, *_one("rfft", n, axis), norm)


def irfft(
    a: array, n: int | None = None, axis: int = -1, norm: str = "backward", stream: StreamLike = None
) -> array:
    """The real values whose transform begins with `a`: the inverse of `rfft`, float32.

    There are `n` of them, 2 (m - 1) for m values unless given. Errors as for `fft`.

    >>> mx.fft.irfft(mx.array([8.0, -2.0, 0.0]))
    array([1, 2, 3, 2], dtype=float32)
    """
    if stream is not None:
        require_stream("irfft", stream)
    return _transform_back_to_real("irfft", a, *_one("irfft", n, axis), norm)


def hfft(
    a: array, n: int | None = None, axis: int = -1, norm: str = "backward", stream: StreamLike = None
) -> array:
    """The real transform of values of which `a` holds the first half, the others being conjugates; float32.

    There are `n` of them, 2 (m - 1) for m values unless given. Errors as for `fft`.

    >>> mx.fft.hfft(mx.array([8.0, -2.0, 0.0]))
    array([4, 8, 12, 8], dtype=float32)
    """
    if stream is not None:
        require_stream("hfft", stream)
    value = conjugate(require_array("hfft", a))
    return _transform_back_to_real("hfft", value, *_one("hfft", n, axis), _ADJOINT_NORM.get(norm, norm))


def ihfft(
    a: array, n: int | None = None, axis: int = -1, norm: str = "backward", stream: StreamLike = None
) -> array:
    """The inverse of `hfft`: the first n // 2 + 1 values whose transform are the real values `a`, complex64.

    Errors as for `fft`.

    >>> mx.fft.ihfft(mx.array([4.0, 8.0, 12.0, 8.0])).real
    array([8, -2, 0], dtype=float32)
    """
    if stream is not None:
        require_stream("ihfft", stream)
    return conjugate(_transform_real("ihfft", a, *_one("ihfft", n, axis), _ADJOINT_NORM.get(norm, norm)))


def fft2(
    a: array,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = (-2, -1),
    norm: str = "backward",
    stream: StreamLike = None,
) -> array:
    """`fftn` over two axes, the last ones unless given.

    >>> mx.fft.fft2(mx.ones((2, 2)))
    array([[4+0j, 0+0j],
           [0+0j, 0+0j]], dtype=complex64)
    """
    if stream is not None:
        require_stream("fft2", stream)
    return _transform_complex("fft2", a, s, axes, norm, True)


def ifft2(
    a: array,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = (-2, -1),
    norm: str = "backward",
    stream: StreamLike = None,
) -> array:
    """`ifftn` over two axes, the last ones unless given.

    >>> mx.fft.ifft2(mx.ones((2, 2)))
    array([[1+0j, 0+0j],
           [0+0j, 0+0j]], dtype=complex64)
    """
    if stream is not None:
        require_stream("ifft2", stream)
    return _transform_complex("ifft2", a, s, axes, norm, False)


def rfft2(
    a: array,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = (-2, -1),
    norm: str = "backward",
    stream: StreamLike = None,
) -> array:
    """`rfftn` over two axes, the last ones unless given.

    >>> mx.fft.rfft2(mx.ones((2, 4))).shape
    (2, 3)
    """
    if stream is not None:
        require_stream("rfft2", stream)
    return _transform_real("rfft2", a, s, axes, norm)


def irfft2(
    a: array,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = (-2, -1),
    norm: str = "backward",
    stream: StreamLike = None,
) -> array:
    """`irfftn` over two axes, the last ones unless given.

    >>> mx.fft.irfft2(mx.ones((2, 3))).shape
    (2, 4)
    """
    if stream is not None:
        require_stream("irfft2", stream)
    return _transform_back_to_real("irfft2", a, s, axes, norm)


def fftn(
    a: array,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
    stream: StreamLike = None,
) -> array:
    """The transform over several axes, all of them unless given: `fft` along each.

    `s` gives the length along each of the axes. The result is complex64; without any axis it is the array.

    IndexError for an axis out of range; ValueError for an axis given twice, another number of lengths than
    axes, `s` without axes, a length below 1, another norm, and arrays without dimensions.

    >>> mx.fft.fftn(mx.ones((2, 2)))
    array([[4+0j, 0+0j],
           [0+0j, 0+0j]], dtype=complex64)
    """
    if stream is not None:
        require_stream("fftn", stream)
    return _transform_complex("fftn", a, s, axes, norm, True)


def ifftn(
    a: array,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
    stream: StreamLike = None,
) -> array:
    """The inverse of `fftn`: `ifft` along each of the axes. Errors as for `fftn`.

    >>> mx.fft.ifftn(mx.ones((2, 2)))
    array([[1+0j, 0+0j],
           [0+0j, 0+0j]], dtype=complex64)
    """
    if stream is not None:
        require_stream("ifftn", stream)
    return _transform_complex("ifftn", a, s, axes, norm, False)


def rfftn(
    a: array,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
    stream: StreamLike = None,
) -> array:
    """The transform of real values over several axes: `rfft` along the last, `fft` along the others.

    Errors as for `fftn`; ValueError without any axis.

    >>> mx.fft.rfftn(mx.ones((2, 4))).shape
    (2, 3)
    """
    if stream is not None:
        require_stream("rfftn", stream)
    return _transform_real("rfftn", a, s, axes, norm)


def irfftn(
    a: array,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
    stream: StreamLike = None,
) -> array:
    """The inverse of `rfftn`: `ifft` along all axes but the last, `irfft` along that.

    Errors as for `fftn`; ValueError without any axis.

    >>> mx.fft.irfftn(mx.ones((2, 3))).shape
    (2, 4)
    """
    if stream is not None:
        require_stream("irfftn", stream)
    return _transform_back_to_real("irfftn", a, s, axes, norm)
