"""The operators of an array: arithmetic, comparison, and their in-place forms.

An in-place operator gives the handle a new node, perhaps of another shape and dtype; every reference to the
array sees it. Operands may be arrays, Python scalars and NumPy arrays; None is a TypeError, anything else a
ValueError. For other types `==` is False, `!=` True, and one of them left of & and the like a TypeError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np

from tarry.base.dtypes import NO_NUMBERS
from tarry.graph.handle import Handle
from tarry.graph.operators import operators

if TYPE_CHECKING:
    from tarry.graph.array import array

Comparable = Handle | bool | int | float | complex | np.ndarray[Any, Any] | np.generic
_COMPARABLE = (Handle, bool, int, float, complex)


class Arithmetic(Handle):
    """See the top of this file."""

    __slots__ = ()

    def __add__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.add(self, other)

    def __radd__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.add(other, self)

    def __sub__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.subtract(self, other)

    def __rsub__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.subtract(other, self)

    def __mul__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.multiply(self, other)

    def __rmul__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.multiply(other, self)

    def __truediv__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.divide(self, other)

    def __rtruediv__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.divide(other, self)

    def __floordiv__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.floor_divide(other, self)

    def __mod__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.remainder(self, other)

    def __rmod__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.remainder(other, self)

    def __pow__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.power(self, other)

    def __rpow__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.power(other, self)

    def __and__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.bitwise_and(self, other)

    def __or__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.bitwise_or(self, other)

    def __xor__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.bitwise_xor(self, other)

    def __lshift__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.left_shift(self, other)

    def __rshift__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.right_shift(self, other)

    def __matmul__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.matmul(self, other)

    def __rand__(self, other: Any) -> array:
        return operators.bitwise_and(other, self) if _is_operand(other) else NotImplemented

    def __ror__(self, other: Any) -> array:
        return operators.bitwise_or(other, self) if _is_operand(other) else NotImplemented

    def __rxor__(self, other: Any) -> array:
        return operators.bitwise_xor(other, self) if _is_operand(other) else NotImplemented

    def __rlshift__(self, other: Any) -> array:
        return operators.left_shift(other, self) if _is_operand(other) else NotImplemented

    def __rrshift__(self, other: Any) -> array:
        return operators.right_shift(other, self) if _is_operand(other) else NotImplemented

    def __rmatmul__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.matmul(other, self)

    def __iadd__(self, other: Any) -> array:
        return self._become("+=", None if other is None else operators.add(self, other))

    def __isub__(self, other: Any) -> array:
        return self._become("-=", None if other is None else operators.subtract(self, other))

    def __imul__(self, other: Any) -> array:
        return self._become("*=", None if other is None else operators.multiply(self, other))

    def __itruediv__(self, other: Any) -> array:
        if self._node.dtype.kind not in "fc":
            raise ValueError(
                f"[divide] In place division cannot cast to the non-floating dtype {self._node.dtype.name}: "
                "write a = a / b."
            )
        return self._become("/=", None if other is None else operators.divide(self, other))

    def __ifloordiv__(self, other: Any) -> array:
        return self._become("//=", None if other is None else operators.floor_divide(self, other))

    def __imod__(self, other: Any) -> array:
        return self._become("%=", None if other is None else operators.remainder(self, other))

    def __ipow__(self, other: Any) -> array:
        return self._become("**=", None if other is None else operators.power(self, other))

    def __iand__(self, other: Any) -> array:
        return self._become("&=", None if other is None else operators.bitwise_and(self, other))

    def __ior__(self, other: Any) -> array:
        return self._become("|=", None if other is None else operators.bitwise_or(self, other))

    def __ixor__(self, other: Any) -> array:
        return self._become("^=", None if other is None else operators.bitwise_xor(self, other))

    def __ilshift__(self, other: Any) -> array:
        return self._become("<<=", None if other is None else operators.left_shift(self, other))

    def __irshift__(self, other: Any) -> array:
        return self._become(">>=", None if other is None else operators.right_shift(self, other))

    def __imatmul__(self, other: Any) -> array:
        return self._become("@=", None if other is None else operators.matmul(self, other))

    def _become(self, operator: str, result: array | None) -> array:
        """Take over the node of a result."""
        if result is None:
            raise TypeError(f"[{operator}] Expected an array or a scalar, but got None.")
        self._node = result._node
        return self  # type: ignore[return-value]

    # The names Python 2 knew, which MLX keeps.
    __div__ = __truediv__
    __rdiv__ = __rtruediv__

    def __neg__(self) -> array:
        return operators.negative(self)

    def __pos__(self) -> array:
        return self.__copy__()

    def __copy__(self) -> array:
        handle: array = object.__new__(type(self))  # type: ignore[assignment]
        handle._node = self._node
        return handle

    def __abs__(self) -> array:
        return operators.abs(self)

    def __invert__(self) -> array:
        return operators.bitwise_invert(self)

    # Arrays and numbers are compared element by element; to anything else an array is not equal.
    @overload  # type: ignore[override]
    def __eq__(self, other: Comparable) -> array: ...

    @overload
    def __eq__(self, other: object) -> array | bool: ...

    def __eq__(self, other: object) -> array | bool:
        if not _comparable("==", other):
            return False
        return operators.equal(self, other)

    @overload  # type: ignore[override]
    def __ne__(self, other: Comparable) -> array: ...

    @overload
    def __ne__(self, other: object) -> array | bool: ...

    def __ne__(self, other: object) -> array | bool:
        if not _comparable("!=", other):
            return True
        return operators.not_equal(self, other)

    def __lt__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.less(self, other)

    def __le__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.less_equal(self, other)

    def __gt__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.greater(self, other)

    def __ge__(self, other: Any) -> array:
        return NotImplemented if other is None else operators.greater_equal(self, other)

    # Two arrays are the same key only when they are the same object.
    __hash__ = object.__hash__


def _is_operand(other: object) -> bool:
    return other is not None and _comparable("", other)


def _comparable(operator: str, other: object) -> bool:
    if isinstance(other, _COMPARABLE) or hasattr(other, "__mlx_array__"):
        return True
    if isinstance(other, (np.ndarray, np.generic)):
        return other.dtype.kind not in NO_NUMBERS
    if other is None:
        raise TypeError(f"[{operator}] Expected an array or a scalar to compare with, but got None.")
    return False
