"""Values from Python, NumPy and other libraries to nodes, and from nodes to NumPy and Python."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from tarry.base.dtypes import (
    BY_NAME,
    Dtype,
    bool_,
    complex64,
    float32,
    int32,
    int64,
    to_numpy,
)
from tarry.base.errors import type_name
from tarry.base.shapes import Shape, size_of
from tarry.graph.dlpack import import_capsule
from tarry.graph.handle import Handle
from tarry.graph.node import Node, dense_storage
from tarry.graph.operators import operators
from tarry.runtime.memory import allocator

NumpyArray = np.ndarray[Any, Any]

# How one element is read and written without going through NumPy.
_SCALARS: dict[str, Any] = {
    "bool": ctypes.c_bool, "uint8": ctypes.c_uint8, "uint16": ctypes.c_uint16, "uint32": ctypes.c_uint32,
    "uint64": ctypes.c_uint64, "int8": ctypes.c_int8, "int16": ctypes.c_int16, "int32": ctypes.c_int32,
    "int64": ctypes.c_int64, "float32": ctypes.c_float, "float64": ctypes.c_double,
}  # fmt: skip

# Dtypes that arrays of other libraries have and Tarry does not, with what becomes of them.
_NARROWED = {"float64": float32, "complex128": complex64}


# What NumPy allows; a list that contains itself is deeper than any bound.
_DEEPEST = 64


# to nodes


def node_of(value: Any, dtype: Dtype | None) -> Node:
    """The node of what the constructor `array(value, dtype)` is given.

    Errors: TypeError for None, ValueError for what holds no numbers, RuntimeError for numbers of a kind that
    has no dtype.
    """
    if dtype is not None and not isinstance(dtype, Dtype):
        raise TypeError(f"[array] Expected a Dtype for dtype, but got {dtype!r} of type {type_name(dtype)}.")
    if isinstance(value, Handle):
        return _as_dtype(value, dtype)
    if isinstance(value, (bool, int, float, complex)):
        return scalar_node(value, dtype if dtype is not None else _dtype_of_scalars([value]))
    if isinstance(value, (list, tuple)):
        return _node_of_sequence(value, dtype)
    if isinstance(value, (np.ndarray, np.generic)):
        return numpy_node("array", value, dtype)
    if value is None:
        raise TypeError("[array] Expected numbers, but got None.")
    found = _node_of_foreign(value, dtype)
    if found is None:
        raise ValueError(f"[array] Invalid type {type_name(value)} received in array initialization.")
    return found


def _as_dtype(value: Handle, dtype: Dtype | None) -> Node:
    if dtype is None or dtype is value._node.dtype:
        return value._node
    return operators.astype(value, dtype)._node


def scalar_node(value: complex, dtype: Dtype) -> Node:
    """An evaluated 0-d node of one Python number, converted as C does."""
    node = empty_node((), dtype)
    storage = node.storage
    assert storage is not None
    scalar = _SCALARS.get(dtype.name)
    fits = type(value) is float if dtype.kind == "f" else type(value) is int and dtype.kind in "ui"
    if scalar is not None and fits:
        if isinstance(value, int):
            _require_64_bits([value])
        scalar.from_address(storage.buffer.address).value = value
    else:
        _write(_numpy_scalars([value]).reshape(()), node)
    return node


def empty_node(shape: Shape, dtype: Dtype) -> Node:
    """An evaluated node with memory of its own and undefined values."""
    buffer = allocator.allocate(size_of(shape) * dtype.size)
    return Node(None, (), shape, dtype, dense_storage(buffer, shape))


def _write(source: NumpyArray, node: Node) -> None:
    """Fill an evaluated node from a NumPy array of its shape, converting as C does."""
    target = values(node)
    if source.dtype.kind == "c" and target.dtype.kind == "b":
        source = source != 0
    elif source.dtype.kind == "c" and target.dtype.kind != "c":
        source = source.real
    if source.dtype.kind == "f" and target.dtype.kind in "ui" and target.dtype.itemsize < 8:
        # Through a wide integer, so that small ones wrap around.
        with np.errstate(all="ignore"):
            source = source.astype(np.int64 if target.dtype.itemsize < 4 else _wide(target))
    with np.errstate(all="ignore"):
        target[...] = source


def _wide(target: NumpyArray) -> type[np.generic]:
    return np.int64 if target.dtype.kind == "u" else np.int32


def numpy_node(op: str, value: np.ndarray[Any, Any] | np.generic, dtype: Dtype | None) -> Node:
    """An evaluated node with a copy of NumPy values.

    Without a dtype, float64 becomes float32 and complex128 complex64; others keep theirs. RuntimeError for
    values that are no numbers of a known dtype.
    """
    source = np.asarray(value)
    name = source.dtype.name
    if dtype is None:
        dtype = _NARROWED.get(name) or BY_NAME.get(name)
    elif name not in BY_NAME and name not in _NARROWED:
        dtype = None
    if dtype is None:
        raise RuntimeError(f"[{op}] NumPy dtype {source.dtype} cannot be converted (std::bad_cast).")
    node = empty_node(source.shape, dtype)
    _write(source, node)
    return node


def _node_of_foreign(value: Any, dtype: Dtype | None) -> Node | None:
    """The node of another library's array, of a buffer, or of what converts itself; else None."""
    converter = getattr(value, "__mlx_array__", None)
    if converter is not None:
        converted = converter()
        if isinstance(converted, Handle):
            return _as_dtype(converted, dtype)
    if hasattr(value, "__dlpack__"):
        try:
            return numpy_node("array", np.from_dlpack(value), dtype)
        except (BufferError, RuntimeError, TypeError):
            # NumPy knows no bfloat16, and refuses some memory it could read.
            return numpy_node("array", import_capsule(value), dtype)
    if hasattr(value, "__array__") or hasattr(value, "__array_interface__"):
        return numpy_node("array", np.asarray(value), dtype)
    try:
        view = memoryview(value)
    except TypeError:
        return None
    return numpy_node("array", np.asarray(view), dtype)


def _node_of_sequence(value: Sequence[Any], dtype: Dtype | None) -> Node:
    items: Sequence[Any] = value
    shape: list[int] = [len(value)]
    while items and isinstance(items[0], (list, tuple)):
        if len(shape) == _DEEPEST:
            raise ValueError(f"[array] Lists must not be nested more than {_DEEPEST} deep.")
        extent = len(items[0])
        for item in items:
            if not isinstance(item, (list, tuple)):
                return _node_of_arrays(value, dtype)
            if len(item) != extent:
                raise ValueError(
                    "[array] Initialization encountered non-uniform length: "
                    f"lists of {extent} and of {len(item)} items stand side by side."
                )
        shape.append(extent)
        items = list(chain.from_iterable(items))
    for item in set(map(type, items)):
        if issubclass(item, (list, tuple, Handle)) or hasattr(item, "__mlx_array__"):
            return _node_of_arrays(value, dtype)
        if not issubclass(item, (bool, int, float, complex)):
            raise ValueError(f"[array] Invalid type {item.__name__} received in array initialization.")
    node = empty_node(tuple(shape), dtype if dtype is not None else _dtype_of_scalars(items))
    _write(_numpy_scalars(items).reshape(shape), node)
    return node


def _contains_array(value: Sequence[Any]) -> bool:
    stack: list[Any] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, (list, tuple)):
            stack.extend(item)
        elif isinstance(item, Handle) or hasattr(item, "__mlx_array__"):
            return True
    return False


def _node_of_arrays(value: Sequence[Any], dtype: Dtype | None) -> Node:
    """A list that holds arrays is a stack of its items."""
    if any(item is None for item in value):
        raise ValueError("[array] Invalid type NoneType received in array initialization.")
    if not _contains_array(value):
        raise ValueError(
            "[array] Initialization encountered extra dimension: numbers and lists cannot stand side by side."
        )
    parts = []
    for item in value:
        parts.append(operators.wrap(node_of(item, None)))
    for part in parts:
        if part.shape != parts[0].shape:
            raise ValueError(
                "[array] Initialization encountered non-uniform length: "
                f"arrays of shapes {parts[0].shape} and {part.shape} cannot be stacked."
            )
    return _as_dtype(operators.stack(parts), dtype)


def _dtype_of_scalars(items: Sequence[Any]) -> Dtype:
    """The dtype of Python numbers: that of the widest kind among them."""
    kinds = set(map(type, items))
    if any(issubclass(kind, complex) for kind in kinds):
        return complex64
    if not kinds or any(issubclass(kind, float) for kind in kinds):
        return float32
    if all(issubclass(kind, bool) for kind in kinds):
        return bool_
    return int32 if min(items) >= -(1 << 31) and max(items) < 1 << 31 else int64


def _require_64_bits(items: Sequence[Any]) -> None:
    if min(items) < -(1 << 63) or max(items) >= 1 << 63:
        raise RuntimeError("[array] An integer does not fit in 64 bits (std::bad_cast).")


def _numpy_scalars(items: Sequence[Any]) -> NumpyArray:
    """Python numbers as NumPy values of their widest kind, without loss."""
    kinds = set(map(type, items))
    if any(issubclass(kind, complex) for kind in kinds):
        return np.array(items, np.complex128)
    if not kinds or any(issubclass(kind, float) for kind in kinds):
        return np.array(items, np.float64)
    if all(issubclass(kind, bool) for kind in kinds):
        return np.array(items, np.bool_)
    _require_64_bits(items)
    return np.array(items, np.int64)


# from nodes


def evaluated(node: Node) -> Node:
    """The node itself, with its values computed."""
    if node.storage is None:
        operators.evaluate((node,))
    return node


def values(node: Node) -> NumpyArray:
    """The values of a node as a writable NumPy array over the same memory (bfloat16 through ml_dtypes)."""
    storage = evaluated(node).storage
    assert storage is not None
    size = node.dtype.size
    strides = [stride * size for stride in storage.strides]
    try:
        return storage.buffer.view(to_numpy(node.dtype), storage.offset * size, node.shape, strides)
    except ValueError:
        rank = len(node.shape)
        raise ValueError(f"[convert] NumPy has at most {_DEEPEST} dimensions, the array {rank}.") from None


def python_value(node: Node) -> bool | int | float | complex:
    """The only element of a node as a Python scalar; ValueError when it has several or none."""
    if size_of(node.shape) != 1:
        raise ValueError(
            "[convert] Only length-1 arrays can be converted to Python scalars, "
            f"but this one has shape {node.shape}."
        )
    scalar = _SCALARS.get(node.dtype.name)
    if scalar is None:
        found = values(node).reshape(()).item()
        return complex(found) if node.dtype.kind == "c" else float(found)
    storage = evaluated(node).storage
    assert storage is not None
    item: bool | int | float = scalar.from_address(
        storage.buffer.address + storage.offset * node.dtype.size
    ).value
    return item


def python_list(node: Node) -> Any:
    """The elements as nested lists of Python scalars, or the scalar of a 0-d node."""
    if not node.shape:
        return python_value(node)
    found = values(node)
    if node.dtype.name == "bfloat16":
        found = found.astype(np.float64)
    return found.tolist()


def buffer_values(node: Node) -> NumpyArray:
    """The values as the buffer protocol shows them: 8-byte integers are C's `long long` on every platform."""
    found = values(node)
    if node.dtype is int64:
        return found.view(np.longlong)
    return found.view(np.ulonglong) if node.dtype.name == "uint64" else found

