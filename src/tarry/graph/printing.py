"""Arrays as text: `array([1, 2, 3], dtype=int32)`.

Numbers print with six significant digits, or with a fixed number of decimals after `set_printoptions`. An
axis of more than six elements shows the first and the last three.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tarry.base.dtypes import Dtype
from tarry.graph.convert import values
from tarry.graph.node import Node

_SHOWN = 3
_DEFAULT_DECIMALS = 6
# No double has more.
_MOST_DECIMALS = 1074


class PrintOptions:
    """How numbers print: `precision` decimals, or -1 for six significant digits.

    Errors: TypeError for a precision that is no integer of 32 bits.

    Example:
        >>> PrintOptions(3).precision
        3
    """

    __slots__ = ("_precision",)

    def __init__(self, precision: int = -1) -> None:
        if isinstance(precision, bool) or not isinstance(precision, int) or abs(precision) >= 1 << 31:
            raise TypeError(f"[printoptions] Expected a 32-bit integer precision, but got {precision!r}.")
        self._precision = precision

    @property
    def precision(self) -> int:
        """The number of decimals, or -1."""
        return self._precision


class _Settings:
    """The options in force, for all threads."""

    __slots__ = ("options",)

    def __init__(self) -> None:
        self.options = PrintOptions()


_settings = _Settings()


class PrintOptionsContext:
    """Puts options in force between `__enter__` and `__exit__`."""

    __slots__ = ("_options", "_previous")

    def __init__(self, options: PrintOptions) -> None:
        self._options = options
        self._previous = options

    def __enter__(self) -> PrintOptionsContext:
        self._previous, _settings.options = _settings.options, self._options
        return self

    def __exit__(self, *_: object) -> None:
        _settings.options = self._previous


def set_printoptions(precision: int = -1) -> None:
    """Print floating numbers with `precision` decimals; -1 returns to six significant digits.

    Errors: TypeError unless the precision is an integer.

    Example:
        >>> set_printoptions(precision=2)
        >>> set_printoptions()
    """
    _settings.options = PrintOptions(precision)


def get_printoptions() -> PrintOptions:
    """The options in force.

    Example:
        >>> get_printoptions().precision
        -1
    """
    return _settings.options


def printoptions(precision: int = -1) -> PrintOptionsContext:
    """A context in which floating numbers print with `precision` decimals.

    Example:
        >>> with printoptions(precision=3):
        ...     get_printoptions().precision
        3
    """
    return PrintOptionsContext(PrintOptions(precision))


def array_text(node: Node) -> str:
    """The text of a node's values with its dtype."""
    found = values(node)
    body = _scalar_text(found.item(), node.dtype) if not node.shape else _nested_text(found, node.dtype, 0)
    return f"array({body}, dtype={node.dtype.name})"


def _nested_text(found: np.ndarray[Any, Any], dtype: Dtype, depth: int) -> str:
    """The text of an axis and what is under it; `depth` axes are around it."""
    extent = found.shape[0]
    shown: list[int | None] = list(range(extent))
    if extent > 2 * _SHOWN:
        shown = [*range(_SHOWN), None, *range(extent - _SHOWN, extent)]
    last = found.ndim == 1
    separator = ", " if last else ",\n" + " " * (7 + depth)
    if found.size == 0 and last:
        return "[]"
    parts = []
    for place in shown:
        if place is None:
            parts.append("...")
        elif last:
            parts.append(_scalar_text(found[place].item(), dtype))
        else:
            parts.append(_nested_text(found[place], dtype, depth + 1))
    return "[" + separator.join(parts) + "]"


def _scalar_text(value: Any, dtype: Dtype) -> str:
    if dtype.kind == "c":
        sign, imaginary = ("-", -value.imag) if value.imag < 0 else ("+", value.imag)
        return f"{_float_text(value.real)}{sign}{_float_text(imaginary)}j"
    if dtype.kind == "f":
        return _float_text(float(value))
    return str(value)


def _float_text(value: float) -> str:
    if math.isnan(value):
        return "-nan" if math.copysign(1.0, value) < 0 else "nan"
    precision = _settings.options.precision
    if precision == -1:
        return f"{value:g}"
    decimals = min(precision, _MOST_DECIMALS) if precision >= 0 else _DEFAULT_DECIMALS
    return f"{value:.{decimals}f}"
