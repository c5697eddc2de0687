"""Reading DLPack capsules (https://dmlc.github.io/dlpack), for the dtypes that NumPy's own reader refuses."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from tarry.base.dtypes import bfloat16, to_numpy
from tarry.runtime.memory import Buffer

_CPU = 1
_BFLOAT = 4
_KINDS = {0: "i", 1: "u", 2: "f", 5: "c", 6: "b"}


class _Device(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int32), ("number", ctypes.c_int32))


class _DataType(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("ndim", ctypes.c_int32),
        ("dtype", _DataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


def import_capsule(value: Any) -> np.ndarray[Any, Any]:
    """A NumPy copy of the values of an object with `__dlpack__`; RuntimeError for what cannot be read."""
    capsule = value.__dlpack__()
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype = ctypes.c_void_p
    pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
    # The capsule stays the owner and frees the tensor when it dies, after the copy.
    tensor = _Tensor.from_address(pointer(capsule, b"dltensor"))
    kind, bits = tensor.dtype.code, tensor.dtype.bits
    if tensor.device.kind != _CPU or tensor.dtype.lanes != 1:
        raise RuntimeError("[array] Only DLPack tensors in CPU memory can be converted.")
    if kind == _BFLOAT and bits == 16:
        dtype = to_numpy(bfloat16)
    elif kind in _KINDS:
        dtype = np.dtype(f"{_KINDS[kind]}{bits // 8}")
    else:
        raise RuntimeError(f"[array] DLPack dtype {kind} of {bits} bits cannot be converted (std::bad_cast).")
    shape = tensor.shape[: tensor.ndim]
    if tensor.strides:
        strides = [stride * dtype.itemsize for stride in tensor.strides[: tensor.ndim]]
    else:
        strides = list(np.empty(shape, dtype).strides)
    if 0 in shape:
        return np.empty(shape, dtype)
    memory = Buffer.external((tensor.data or 0) + tensor.byte_offset, 0, capsule)
    return memory.view(dtype, 0, shape, strides).copy()
