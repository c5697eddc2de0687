"""Short-time Fourier transforms: the transforms of overlapping windows of a signal, and the way back."""

from __future__ import annotations

from typing import Any

from tarry.base.dtypes import complex64, float32, int32
from tarry.base.shapes import Shape
from tarry.graph.array import array
from tarry.ops.arguments import flag, integer, word
from tarry.ops.arithmetic import add, divide, multiply
from tarry.ops.comparison import greater
from tarry.ops.complex_numbers import real
from tarry.ops.elementwise import cast, constant, require_array
from tarry.ops.fft import checked_norm, fft, ifft, irfft, rfft
from tarry.ops.generators import iota
from tarry.ops.indexed import gathered, scattered
from tarry.ops.joining import pad
from tarry.ops.selection import where
from tarry.ops.slices import narrowed, padded
from tarry.ops.structure import broadcast, move_axis, reshaped
from tarry.runtime.devices import StreamLike, require_stream

# Where the windows' squares add up to less, the signal is lost and is given as zero.
LEAST_WEIGHT = 1e-10


class _Frames:
    """How a signal is cut into windows: their length, their distance and their weights."""

    __slots__ = ("hop", "length", "weights")

    def __init__(self, op: str, n_fft: Any, hop: Any, win_length: Any, window: Any) -> None:
        self.length = integer(op, n_fft, "n_fft")
        if self.length < 1:
            raise ValueError(f"[{op}] n_fft must be positive, but it is {self.length}.")
        self.hop = max(self.length // 4, 1) if hop is None else integer(op, hop, "hop_length")
        if self.hop < 1:
            raise ValueError(f"[{op}] hop_length must be positive, but it is {self.hop}.")
        weights = None if window is None else require_array(op, window)
        if weights is not None and weights.ndim != 1:
            raise ValueError(f"[{op}] The window must have one dimension, but its shape is {weights.shape}.")
        # As in MLX a window given as an array decides about its length.
        count = self.length if win_length is None else integer(op, win_length, "win_length")
        if weights is None:
            weights = constant(1, float32, (max(count, 0),))
        count = weights.shape[0]
        if not 1 <= count <= self.length:
            raise ValueError(
                f"[{op}] The window has {count} elements; it should have 1 to n_fft, {self.length}."
            )
        before = (self.length - count) // 2
        after = self.length - count - before
        self.weights = padded(cast(weights, float32), constant(0, float32), [before], [after])

    def places(self, count: int) -> array:
        """For each element of each window its place in the signal."""
        shape = (count, self.length)
        return add(multiply(iota(shape, 0, int32), self.hop), iota(shape, 1, int32))

    def spread(self, shape: Shape) -> array:
        return broadcast(reshaped(self.weights, (1,) * (len(shape) - 1) + (self.length,)), shape)


def stft(
    x: array,
    n_fft: int = 2048,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: array | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    norm: str = "backward",
    onesided: bool | None = None,
    stream: StreamLike = None,
) -> array:
    """The transforms of windows of a signal: (..., samples) gives (..., frequencies, windows), complex64.

        X[k, m] = sum over j of window[j] x[m hop_length + j] exp(-2 pi i j k / n_fft)

    Windows are n_fft long and a quarter of that apart, unless hop_length is given. `window` holds weights
    (win_length or n_fft ones, unless given) and is centred in n_fft. With `center` the signal is first
    continued by n_fft // 2 samples on either side, as `mx.pad` does it with `pad_mode`, so that window m is
    centred on sample m hop_length. `onesided`, the default for real signals, gives the first n_fft // 2 + 1
    frequencies.

    ValueError for a signal shorter than a window, hop_length < 1, or a window longer than n_fft.

    >>> mx.fft.stft(mx.ones((8,)), n_fft=4, center=False).shape
    (3, 5)
    """
    if stream is not None:
        require_stream("stft", stream)
    value = require_array("stft", x)
    if value.ndim == 0:
        raise ValueError("[stft] The signal needs at least one dimension.")
    flag("stft", center, "center")
    frames = _Frames("stft", n_fft, hop_length, win_length, window)
    scaling = checked_norm("stft", norm)
    complex_signal = value.dtype is complex64
    value = value if complex_signal else cast(value, float32)
    if center:
        margin = frames.length // 2
        if word("stft", pad_mode, "pad_mode") not in ("constant", "edge", "reflect", "symmetric"):
            raise ValueError(f"[stft] There is no pad_mode {pad_mode!r}.")
        value = pad(value, [(0, 0)] * (value.ndim - 1) + [(margin, margin)], pad_mode)
    samples = value.shape[-1]
    if samples < frames.length:
        raise ValueError(
            f"[stft] The signal has {samples} samples, fewer than a window of n_fft = {frames.length}."
        )
    count = 1 + (samples - frames.length) // frames.hop
    batch = value.shape[:-1]
    shape = (*batch, count, frames.length)
    rank = len(batch)
    cut = gathered(value, [frames.places(count)], (*range(rank), -1), (rank, rank + 1), shape)
    weighted = multiply(cut, frames.spread(shape))
    half = not complex_signal if onesided is None else flag("stft", onesided, "onesided")
    if half and not complex_signal:
        spectrum = rfft(weighted, norm=scaling)
    else:
        spectrum = fft(weighted, norm=scaling)
        if half:
            spectrum = narrowed(spectrum, rank + 1, 0, frames.length // 2 + 1)
    return move_axis(spectrum, rank, rank + 1)


def istft(
    stft_matrix: array,
    n_fft: int | None = None,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: array | None = None,
    center: bool = True,
    norm: str = "backward",
    onesided: bool | None = None,
    length: int | None = None,
    stream: StreamLike = None,
) -> array:
    """The real signal with these transforms of windows: (..., frequencies, windows) gives (..., samples).

    The windows are transformed back, weighted again, added up, and divided by the sum of the squares of the
    weights: the least-squares solution (Griffin and Lim 1984), and the inverse of `stft` with the same
    options. `onesided` is true unless given; n_fft follows from the number of frequencies. The result is
    float32; with `length` it is cut off, or continued with zeros, to so many samples.

    ValueError for fewer than two dimensions, hop_length < 1, or a window longer than n_fft.

    >>> spectrum = mx.fft.stft(mx.array([1.0, 2.0, 3.0, 4.0]), n_fft=4)
    >>> mx.fft.istft(spectrum)
    array([1, 2, 3, 4], dtype=float32)
    """
    if stream is not None:
        require_stream("istft", stream)
    value = require_array("istft", stft_matrix)
    if value.ndim < 2:
        raise ValueError("[istft] The array needs two dimensions at least: frequencies and windows.")
    half = True if onesided is None else flag("istft", onesided, "onesided")
    flag("istft", center, "center")
    if n_fft is None:
        n_fft = 2 * (value.shape[-2] - 1) if half else value.shape[-2]
    frames = _Frames("istft", n_fft, hop_length, win_length, window)
    scaling = checked_norm("istft", norm)
    rank = value.ndim - 2
    spectrum = move_axis(value, rank + 1, rank)
    if half:
        pieces = irfft(spectrum, frames.length, norm=scaling)
    else:
        pieces = real(ifft(cast(spectrum, complex64), frames.length, norm=scaling))
    count = value.shape[-1]
    samples = frames.length + frames.hop * max(count - 1, 0)
    signal = _overlap(multiply(pieces, frames.spread(pieces.shape)), frames, samples)
    squares = multiply(frames.weights, frames.weights)
    squares = broadcast(reshaped(squares, (1, frames.length)), (count, frames.length))
    weight = _overlap(squares, frames, samples)
    weight = broadcast(reshaped(weight, (1,) * rank + (samples,)), signal.shape)
    known = greater(weight, LEAST_WEIGHT)
    signal = divide(signal, where(known, weight, 1.0))
    margin = frames.length // 2 if center else 0
    return _cut(signal, margin, max(samples - 2 * margin, 0), length)


def _overlap(pieces: array, frames: _Frames, samples: int) -> array:
    """The windows (..., windows, n_fft) added up at their places."""
    batch = pieces.shape[:-2]
    rank = len(batch)
    silence = constant(0, float32, (*batch, samples))
    places = frames.places(pieces.shape[-2])
    return scattered(silence, pieces, [places], (*range(rank), -1), (rank, rank + 1), "add")


def _cut(signal: array, margin: int, natural: int, length: Any) -> array:
    """The samples from `margin` on: `length` of them, or `natural` without one."""
    axis = signal.ndim - 1
    wanted = natural if length is None else integer("istft", length, "length")
    if wanted < 0:
        raise ValueError(f"[istft] length must not be negative, but it is {wanted}.")
    present = min(wanted, signal.shape[-1] - margin)
    kept = narrowed(signal, axis, margin, present)
    if present == wanted:
        return kept
    high = [0] * axis + [wanted - present]
    return padded(kept, constant(0, float32), [0] * (axis + 1), high)
