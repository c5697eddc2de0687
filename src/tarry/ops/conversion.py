"""Arrays from what other libraries hold."""

from __future__ import annotations

from typing import Any

from tarry.base.dtypes import Dtype
from tarry.base.errors import type_name
from tarry.graph.array import array
from tarry.ops.arguments import flag
from tarry.runtime.devices import DeviceLike, require_device


def asarray(
    a: Any, /, dtype: Dtype | None = None, *, copy: bool | None = None, device: DeviceLike = None
) -> array:
    """A new array of the values of `a`: see the constructor `array` for what that may be.

    Errors: ValueError for copy=False, because values are always copied; and those of the constructor.

    Example:
        >>> mx.asarray([1, 2])
        array([1, 2], dtype=int32)
    """
    require_device("asarray", device)
    if copy is not None:
        flag("asarray", copy, "copy")
    if copy is False:
        raise ValueError("[asarray] Values are always copied: copy=False is not supported.")
    return array(a, dtype)


def from_dlpack(x: Any, /, *, copy: bool | None = None, device: DeviceLike = None) -> array:
    """A new array of the values of an object with `__dlpack__` in CPU memory.

    Errors: TypeError for other objects; ValueError for copy=False, because values are always copied.

    Example:
        >>> mx.from_dlpack(mx.array([1, 2]))
        array([1, 2], dtype=int32)
    """
    if not hasattr(x, "__dlpack__"):
        raise TypeError(f"[from_dlpack] Expected an object with __dlpack__, but got {type_name(x)}.")
    require_device("from_dlpack", device)
    if copy is not None:
        flag("from_dlpack", copy, "copy")
    if copy is False:
        raise ValueError("[from_dlpack] Values cannot be shared: copy=False is not supported on the CPU.")
    return array(x)
