"""Reading arguments: what a caller gave for a flag, an integer, a number, a shape, a dtype or a word.

A reader gives the plain Python value, or raises TypeError, as MLX does for an argument of the wrong type; the
message names the operation, the parameter and what was given. Whether the value makes sense is for the
operation to say.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from tarry.base.dtypes import Dtype
from tarry.base.errors import type_name
from tarry.base.shapes import Shape
from tarry.graph.array import array
from tarry.ops.elementwise import as_array

# Parameters are integers of 32 bits in MLX. Extents may be larger here.
INTEGER = 1 << 31
EXTENT = 1 << 63
_LONGEST = 60


def described(value: object) -> str:
    """A value as an error message shows it: short, and without computing anything."""
    if value is None:
        return "None"
    if isinstance(value, array):
        return f"an array of shape {value.shape} and dtype {value.dtype.name}"
    if isinstance(value, (bool, int, float, complex, str, bytes, list, tuple, dict)):
        text = repr(value)
        shown = text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
        return f"{shown} of type {type_name(value)}"
    return f"a value of type {type_name(value)}"


def wrong_type(op: str, role: str, expected: str, value: object) -> TypeError:
    """The error for an argument of another type than expected."""
    return TypeError(
        f"[{op}] incompatible function arguments: expected {expected} for {role}, not {described(value)}."
    )


def flag(op: str, value: Any, role: str) -> bool:
    """True or False. TypeError for anything else: nothing is taken for its truth."""
    if value is True or value is False:
        return bool(value)
    raise wrong_type(op, role, "True or False", value)


def integer(op: str, value: Any, role: str, bound: int = INTEGER) -> int:
    """An integer, or what counts as one (`__index__`). TypeError for anything else and beyond the bound."""
    if type(value) is int:
        found = value
    else:
        try:
            found = operator.index(value)
        except TypeError:
            raise wrong_type(op, role, "an integer", value) from None
    if not -bound <= found < bound:
        raise wrong_type(op, role, f"an integer of {bound.bit_length()} bits", value)
    return found


def integers(op: str, values: Any, role: str, bound: int = EXTENT) -> Shape:
    """A sequence of integers. TypeError for anything else, OverflowError for extents beyond the bound."""
    if isinstance(values, (list, tuple)):
        items = values
    elif isinstance(values, (str, bytes, dict, set)) or not hasattr(values, "__getitem__"):
        raise wrong_type(op, role, "a sequence of integers", values)
    else:
        try:
            items = list(values)
        except TypeError:
            raise wrong_type(op, role, "a sequence of integers", values) from None
    try:
        found = tuple([operator.index(item) for item in items])
    except TypeError:
        raise wrong_type(op, role, "a sequence of integers", values) from None
    for item in found:
        if not -bound <= item < bound:
            if bound == EXTENT:
                raise OverflowError(f"[{op}] The integer {item} in {role} does not fit in 64 bits.")
            raise wrong_type(op, role, "integers of 32 bits", values)
    return found


def one_or_more(op: str, values: Any, role: str, bound: int = INTEGER) -> Shape:
    """An integer or a sequence of them, as a tuple."""
    if is_integer(values):
        return (integer(op, values, role, bound),)
    return integers(op, values, role, bound)


def is_integer(value: Any) -> bool:
    """Whether a value counts as an integer. Of arrays, which all have `__index__`, those that are 0-d."""
    if type(value) is int:
        return True
    return hasattr(value, "__index__") and not isinstance(value, type) and not getattr(value, "ndim", 0)


def real_number(op: str, value: Any, role: str) -> float:
    """A real number. TypeError for anything else; arrays of one element are numbers."""
    if type(value) is float or (type(value) is int and -EXTENT <= value < EXTENT):
        return value
    if not isinstance(value, (str, bytes, complex)) and hasattr(value, "__float__"):
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            pass
    raise wrong_type(op, role, "a number", value)


def operand(op: str, value: Any, role: str) -> array:
    """An array, or what has the values of one (`as_array`). TypeError for anything else."""
    try:
        return as_array(op, value)
    except (ValueError, RuntimeError):
        raise wrong_type(op, role, "an array or a number", value) from None


def dtype_of(op: str, value: Any, role: str = "dtype") -> Dtype:
    """A dtype. TypeError for anything else."""
    if isinstance(value, Dtype):
        return value
    raise wrong_type(op, role, "a dtype", value)


def arrays_of(op: str, values: Sequence[Any]) -> list[array]:
    """What a function of any number of arrays was given. RuntimeError for anything but arrays, as in MLX."""
    for value in values:
        if not isinstance(value, array):
            raise RuntimeError(f"[{op}] Expected arrays, but one is {described(value)} (std::bad_cast).")
    return list(values)


def word(op: str, value: Any, role: str) -> str:
    """A string. TypeError for anything else."""
    if isinstance(value, str):
        return value
    raise wrong_type(op, role, "a string", value)
