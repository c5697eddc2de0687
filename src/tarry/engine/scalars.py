"""Python numbers as the 64 bits of argument slots."""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tarry.base.dtypes import Dtype, to_numpy

IntArray = np.ndarray[tuple[int], np.dtype[np.int64]]


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


# What `struct` makes of a number of a dtype, filled up to eight bytes.
_FORMATS = {"float32": "f4x", "float64": "d", "float16": "e6x", "int32": "i4x", "int64": "q", "bool": "?7x"}


class ScalarSlots:
    """The values of a plan that hold Python numbers, and how they get there."""

    __slots__ = ("_last", "_packed", "_positions", "_sources", "_struct", "dtypes", "places")

    def __init__(self) -> None:
        self.places: dict[tuple[int, str], int] = {}
        self.dtypes: list[Dtype] = []
        self._struct: struct.Struct | None = None
        self._positions = np.zeros(0, np.int64)
        self._sources: list[int] = []
        # The numbers of the last run and the values made of them: a loop usually has the same every time.
        self._last: list[Any] = []
        self._packed: tuple[IntArray, IntArray] | None = None

    def add(self, number: int, dtype: Dtype, place: int) -> None:
        """Value `place` holds number `number` of a run as a `dtype`."""
        self.places[(number, dtype.name)] = place
        self.dtypes.append(dtype)

    def freeze(self) -> None:
        """Called when all are known."""
        self._sources = [number for number, _ in self.places]
        self._positions = np.array(list(self.places.values()), np.int64)
        if all(dtype.name in _FORMATS for dtype in self.dtypes):
            self._struct = struct.Struct("<" + "".join([_FORMATS[dtype.name] for dtype in self.dtypes]))

    def fill(self, values: IntArray, scalars: Sequence[Any]) -> IntArray:
        """The values of a run with these numbers; `values` are those without."""
        if not self._sources:
            return values
        packed = self._packed
        # By identity, because 0.0 equals -0.0, and NaN nothing.
        same = len(scalars) == len(self._last) and all(map(operator.is_, scalars, self._last))
        if packed is not None and same and packed[0] is values:
            return packed[1]
        filled = values.copy()
        filled[self._positions] = self._pack([scalars[number] for number in self._sources])
        self._last = list(scalars)
        self._packed = values, filled
        return filled

    def _pack(self, numbers: list[Any]) -> IntArray | list[int]:
        if self._struct is not None:
            try:
                return np.frombuffer(self._struct.pack(*numbers), np.int64)
            except (struct.error, OverflowError):
                pass  # a number that does not fit its dtype: below, as C would convert it
        return [packer(dtype)(number) for dtype, number in zip(self.dtypes, numbers)]
