"""Rows of the op table: Fourier transforms along several axes, their frequencies, transforms of windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from .op_case import ANY, OpCase, Variant
from .op_cases_linalg import transform

SINGLE = ("float32",)


def shift(name: str) -> OpCase:
    """A row for a function that turns axes around."""
    return OpCase(
        f"fft.{name}",
        lambda module, a, **options: getattr(module.fft, name)(a, **options),
        lambda a, **options: getattr(np.fft, name)(a, **options),
        variants=[Variant((5, 6)), Variant((5, 6), axes=1), Variant((2, 3, 4), axes=(0, 2)), Variant((0, 3))],
        ulps=0.0,
        differentiable=(0,),
    )


def frequencies(name: str) -> OpCase:
    return OpCase(
        f"fft.{name}",
        lambda module, n, d: getattr(module.fft, name)(n, d),
        lambda n, d: getattr(np.fft, name)(n, d),
        draws=(),
        variants=[Variant(n=8, d=1.0), Variant(n=9, d=0.25), Variant(n=1, d=2.0)],
        dtypes=SINGLE,
    )


def stft(x: Any, n_fft: int, hop_length: int, center: bool) -> Any:
    if center:
        margin = n_fft // 2
        x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(margin, margin)], "reflect")
    starts = range(0, x.shape[-1] - n_fft + 1, hop_length)
    frames = np.stack([x[..., start : start + n_fft] for start in starts], -1)
    return np.fft.rfft(frames, axis=-2)


def istft(spectrum: Any, hop_length: int) -> Any:
    """The windows added up, over the number of windows at each place; nothing is centred."""
    frames = np.fft.irfft(spectrum, axis=-2)
    length, count = frames.shape[-2:]
    signal = np.zeros((*frames.shape[:-2], length + hop_length * (count - 1)))
    weight = np.zeros(signal.shape[-1])
    for place in range(count):
        here = slice(place * hop_length, place * hop_length + length)
        signal[..., here] += frames[..., place]
        weight[here] += 1
    return signal / weight


FOURIER_CASES = [
    transform("fft2", Variant((3, 4)), Variant((2, 3, 4), axes=(0, 2)), Variant((3, 4), s=(2, 6))),
    transform("ifft2", Variant((3, 4)), Variant((2, 3, 4), norm="ortho")),
    transform("ifftn", Variant((2, 3, 4)), Variant((2, 3, 4), axes=(2, 0))),
    transform("rfft2", Variant((3, 4)), Variant((2, 3, 5), axes=(0, 2)), dtypes=SINGLE),
    transform("rfftn", Variant((2, 3, 4)), Variant((3, 4), s=(2, 6), axes=(0, 1)), dtypes=SINGLE),
    transform("irfft2", Variant((3, 4)), Variant((2, 3, 4), s=(3, 5)), dtypes=("complex64",)),
    shift("fftshift"),
    shift("ifftshift"),
    frequencies("fftfreq"),
    frequencies("rfftfreq"),
    OpCase(
        "fft.stft",
        lambda module, x, **options: module.fft.stft(x, **options),
        stft,
        draws=(ANY,),
        variants=[
            Variant((40,), n_fft=8, hop_length=3, center=False),
            Variant((2, 25), n_fft=6, hop_length=2, center=True),
        ],
        dtypes=SINGLE,
        ulps=4.0,
        absolute=16.0,
        differentiable=(0,),
        oracle_gradients=False,
    ),
    OpCase(
        "fft.istft",
        lambda module, s, **options: module.fft.istft(s, center=False, **options),
        istft,
        draws=(ANY,),
        variants=[Variant((5, 7), hop_length=3), Variant((2, 4, 3), hop_length=2)],
        dtypes=("complex64",),
        ulps=4.0,
        absolute=16.0,
        differentiable=(0,),
        oracle_gradients=False,
    ),
]
