"""Python numbers as the 64 bits of an argument slot."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from tarry.base.dtypes import Dtype, to_numpy


def packer(dtype: Dtype) -> Callable[[Any], int]:
    """A function that gives a Python number as the low bytes of an argument slot."""
    if dtype.name == "float32":
        return _pack_float32
    if dtype.name == "float64":
        return _pack_float64
    if dtype.kind == "b":
        return int
    if dtype.kind in "ui":
        mask = (1 << 8 * dtype.size) - 1

        def pack_integer(value: Any) -> int:
            bits = int(value.real) & mask
            return bits - (1 << 64) if bits >> 63 else bits

        return pack_integer
    numpy_dtype = to_numpy(dtype)

    def pack_other(value: Any) -> int:
        with np.errstate(all="ignore"):
            cell = np.zeros(8, np.uint8)
            cell[: dtype.size] = np.array([value]).astype(numpy_dtype).view(np.uint8)
        return int(cell.view(np.int64)[0])

    return pack_other


def _pack_float32(value: Any) -> int:
    try:
        bits: int = struct.unpack("<I", struct.pack("<f", value.real))[0]
    except OverflowError:
        bits = 0x7F800000 if value.real > 0 else 0xFF800000
    return bits


def _pack_float64(value: Any) -> int:
    found: int = struct.unpack("<q", struct.pack("<d", value.real))[0]
    return found
