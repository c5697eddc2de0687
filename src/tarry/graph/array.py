"""The user's array: a mutable handle on an immutable node."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from tarry.base.dtypes import ALL, Dtype, bfloat16
from tarry.graph.buffer_protocol import install
from tarry.graph.convert import (
    buffer_values,
    node_of,
    numpy_node,
    python_list,
    python_value,
    values,
)
from tarry.graph.methods import Methods
from tarry.graph.node import Node
from tarry.graph.operators import operators
from tarry.graph.printing import array_text

# The versions of the Python array API standard that the namespace conforms to (docs/array-api.md).
ARRAY_API_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")


class Updates(Protocol):
    """What `a.at` offers: updates of an indexed part, see `ArrayAt`."""

    def __getitem__(self, index: Any) -> Updates: ...
    def add(self, value: Any) -> array: ...
    def subtract(self, value: Any) -> array: ...
    def multiply(self, value: Any) -> array: ...
    def divide(self, value: Any) -> array: ...
    def maximum(self, value: Any) -> array: ...
    def minimum(self, value: Any) -> array: ...


class array(Methods):
    """An n-dimensional array of one dtype, computed when its values are needed.

    `array(value, dtype=None)` makes one from Python numbers, nested lists and tuples of numbers or arrays,
    and from NumPy arrays, buffers and the arrays of other libraries. Python integers become int32 (int64 when
    one is too large), floats float32; float64 from elsewhere becomes float32 unless `dtype` asks for it.

    Errors: ValueError for lists of unequal length and for what holds no numbers; TypeError for None;
    RuntimeError for integers beyond 64 bits and for dtypes of other libraries that have no counterpart.

    Example:
        >>> array([[1, 2], [3, 4]]).shape
        (2, 2)
    """

    __slots__ = ()

    def __init__(self, val: Any, dtype: Dtype | None = None) -> None:
        self._node = node_of(val, dtype)

    @property
    def at(self) -> Updates:
        """`a.at[index].add(v)` and the like: updates that accumulate where an index occurs twice.

        Example:
            >>> mx.zeros(3).at[mx.array([0, 0, 2])].add(1)
            array([2, 0, 1], dtype=float32)
        """
        updates: Updates = operators.at(self)
        return updates

    # indexing

    def __getitem__(self, index: Any) -> array:
        return operators.get_item(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._node = operators.set_item(self, index, value)._node

    def __len__(self) -> int:
        shape = self._node.shape
        if not shape:
            raise TypeError("[len] A 0-dimensional array has no length.")
        return shape[0]

    def __iter__(self) -> Iterator[array]:
        if not self._node.shape:
            raise TypeError("[iter] A 0-dimensional array cannot be iterated over.")
        return _items(wrap(self._node))

    # Python values

    def item(self) -> Any:
        """The only element as a Python scalar: bool, int, float or complex. Evaluates.

        Errors: ValueError when there are several or none.

        Example:
            >>> mx.array([2.5]).item()
            2.5
        """
        return python_value(self._node)

    def tolist(self) -> Any:
        """The elements as nested lists of Python scalars; a scalar for a 0-d array. Evaluates.

        Example:
            >>> mx.array([[1, 2], [3, 4]]).tolist()
            [[1, 2], [3, 4]]
        """
        return python_list(self._node)

    def __bool__(self) -> bool:
        return bool(python_value(self._node))

    def __int__(self) -> int:
        return int(self._real_value("int"))

    def __float__(self) -> float:
        return float(self._real_value("float"))

    def __complex__(self) -> complex:
        return complex(python_value(self._node))

    def __index__(self) -> int:
        node = self._node
        if node.shape or node.dtype.kind not in "ui":
            raise TypeError(
                "[index] Only 0-dimensional integer arrays can be used as an index, "
                f"but this one has shape {node.shape} and dtype {node.dtype.name}."
            )
        return int(self._real_value("index"))

    def _real_value(self, what: str) -> bool | int | float:
        value = python_value(self._node)
        if isinstance(value, complex):
            raise TypeError(f"[{what}] Expected a real number, but the array has dtype complex64.")
        return value

    # text

    def __repr__(self) -> str:
        return array_text(self._node)

    def __format__(self, specification: str) -> str:
        if not self._node.shape:
            return format(python_value(self._node), specification)
        if specification:
            raise TypeError(f"[format] Expected no format for an array of shape {self._node.shape}.")
        return array_text(self._node)

    # copies

    def __deepcopy__(self, memo: Any) -> array:
        return self.__copy__()

    def __getstate__(self) -> tuple[Any, int]:
        found = values(self._node)
        if self._node.dtype is bfloat16:
            found = found.view(np.uint16)
        return np.array(found), self._node.dtype.code

    def __setstate__(self, state: tuple[Any, int]) -> None:
        if not _is_state(state):
            raise TypeError(f"[array] Expected what __getstate__ gives, but got a value of {type(state)}.")
        found, code = state
        dtype = ALL[code]
        if dtype is bfloat16:
            found = found.view(values(node_of(0, bfloat16)).dtype)
        self._node = numpy_node("array", found, dtype)

    # other libraries

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        found = values(self._node)
        if dtype is not None and found.dtype != dtype:
            return found.astype(dtype)
        return found.copy() if copy else found

    def __bytes__(self) -> bytes:
        return values(self._node).tobytes()

    def __buffer__(self, flags: int) -> memoryview:
        """The memory of the values, shared (PEP 688; older interpreters use graph/buffer_protocol.py)."""
        exported: Any = buffer_values(self._node)
        return memoryview(exported)

    def __dlpack__(
        self,
        *,
        stream: object = None,
        max_version: Any = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        if copy is not None and not isinstance(copy, bool):
            raise TypeError(f"[dlpack] Expected True, False or None for copy, but got {copy!r}.")
        if self._node.dtype is bfloat16:
            raise BufferError("[dlpack] NumPy exports no bfloat16: convert the array with astype first.")
        found: Any = values(self._node)
        return found.__dlpack__(max_version=max_version, dl_device=dl_device, copy=copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __array_namespace__(self, api_version: str | None = None) -> ModuleType:
        if api_version is not None and not isinstance(api_version, str):
            raise TypeError(f"[array] Expected a string or None as api_version, but got {api_version!r}.")
        if api_version not in (None, *ARRAY_API_VERSIONS):
            versions = ", ".join(ARRAY_API_VERSIONS)
            raise ValueError(f"[array] Expected one of {versions} as api_version, but got {api_version!r}.")
        return sys.modules["tarry.core"]


def _is_state(state: object) -> bool:
    """Whether it is (values, code of a dtype), with values that NumPy has for this dtype."""
    if not isinstance(state, tuple) or len(state) != 2:
        return False
    found, code = state
    if not isinstance(found, np.ndarray) or not isinstance(code, int) or not 0 <= code < len(ALL):
        return False
    expected = "uint16" if ALL[code] is bfloat16 else ALL[code].name
    return bool(found.dtype.name == expected)


def _items(whole: array) -> Iterator[array]:
    for place in range(whole._node.shape[0]):
        yield whole[place]


_new = object.__new__


def wrap(node: Node) -> array:
    """A new handle on a node."""
    handle = _new(array)
    handle._node = node
    return handle


def from_numpy(op: str, value: Any, dtype: Dtype | None) -> array:
    """An array with a copy of NumPy values; errors begin with `op`."""
    return wrap(numpy_node(op, value, dtype))


operators.bind(from_numpy=from_numpy, wrap=wrap)
if sys.version_info < (3, 12):
    install(array, lambda instance: buffer_values(instance._node))
