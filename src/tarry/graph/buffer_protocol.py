"""`memoryview(a)` before Python 3.12, where a class written in Python cannot export its memory.

The interpreter asks a type for memory through the slot `bf_getbuffer`. This file puts a function there that
hands the request on to a NumPy view of the values, which then owns the exported buffer. From Python 3.12 on
the method `__buffer__` does the same (PEP 688).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

# PyTypeObject: three words of PyVarObject, then tp_name ... tp_setattro, seventeen words; then tp_as_buffer.
_AS_BUFFER = 20 * ctypes.sizeof(ctypes.c_void_p)

_GetBuffer = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_void_p, ctypes.c_int)

_request = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_void_p, ctypes.c_int)(
    ("PyObject_GetBuffer", ctypes.pythonapi)
)

# The functions in slots must never be freed.
_installed: list[Any] = []


def install(kind: type, exported: Callable[[Any], Any]) -> None:
    """Make instances of `kind` export the memory of the object that `exported(instance)` gives.

    A request that fails cannot carry its error through ctypes; the interpreter reports a SystemError, and
    NumPy turns to `__array__`, which raises the real one.
    """

    def get_buffer(instance: Any, view: int, flags: int) -> int:
        try:
            return int(_request(exported(instance), view, flags))
        except Exception:
            return -1

    function = _GetBuffer(get_buffer)
    _installed.append(function)
    address = ctypes.cast(function, ctypes.c_void_p).value
    slots = ctypes.c_void_p.from_address(id(kind) + _AS_BUFFER).value
    assert slots is not None and address is not None
    ctypes.c_void_p.from_address(slots).value = address
