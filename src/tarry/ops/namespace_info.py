"""What the Python array API standard 2024.12 asks a namespace to tell about itself."""

from __future__ import annotations

from tarry.base.dtypes import (
    Dtype,
    bool_,
    complex64,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from tarry.ops.type_info import isdtype
from tarry.runtime.devices import Device, DeviceLike, cpu, default_device, require_device

# The dtypes the standard knows; it has no name for float16 and bfloat16, and complex128 does not exist here.
_STANDARD = (
    bool_, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float32, float64, complex64,
)  # fmt: skip
# The values of an array go out through NumPy, which stops at these.
MOST_DIMENSIONS = 64


class ArrayNamespaceInfo:
    """What a namespace can do, and the dtypes and devices it has."""

    __slots__ = ()

    def capabilities(self) -> dict[str, bool | int]:
        """Masks may be indices, shapes may depend on values; and how many dimensions an array may have."""
        return {
            "boolean indexing": True,
            "data-dependent shapes": True,
            "max dimensions": MOST_DIMENSIONS,
        }

    def default_device(self) -> Device:
        """The device arrays are made on."""
        return default_device()

    def default_dtypes(self, *, device: DeviceLike = None) -> dict[str, Dtype]:
        """The dtypes of what is made without naming one. ValueError for a GPU."""
        require_device("default_dtypes", device)
        return {
            "real floating": float32,
            "complex floating": complex64,
            "integral": int32,
            "indexing": int32,
        }

    def devices(self) -> tuple[Device, ...]:
        """All devices: the CPU."""
        return (Device(cpu),)

    def dtypes(
        self, *, device: DeviceLike = None, kind: str | tuple[str, ...] | None = None
    ) -> dict[str, Dtype]:
        """The dtypes by the standard's names, all or those of a kind (see `isdtype`). ValueError for a GPU.

        >>> sorted(mx.__array_namespace_info__().dtypes(kind="real floating"))
        ['float32', 'float64']
        """
        require_device("dtypes", device)
        names = {"bool" if dtype is bool_ else dtype.name: dtype for dtype in _STANDARD}
        return {name: dtype for name, dtype in names.items() if kind is None or isdtype(dtype, kind)}


def __array_namespace_info__() -> ArrayNamespaceInfo:
    """What this namespace can do, and the dtypes and devices it has.

    >>> mx.__array_namespace_info__().default_dtypes()["integral"]
    mlx.core.int32
    """
    return ArrayNamespaceInfo()
