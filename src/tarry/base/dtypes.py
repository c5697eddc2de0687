"""The fourteen element types, their categories and their promotion.

Promotion follows MLX (notes/mlx-semantics.md, section 1): arrays promote by the table below, Python
scalars are weak and only lift the kind (bool < integer < floating < complex).
"""

from __future__ import annotations

import numpy as np


class DtypeCategory:
    """A set of dtypes with a place in the hierarchy, for `issubdtype`."""

    __slots__ = ("name", "parent")

    def __init__(self, name: str, parent: DtypeCategory | None) -> None:
        self.name = name
        self.parent = parent

    def __repr__(self) -> str:
        return f"DtypeCategory.{self.name}"


generic = DtypeCategory("generic", None)
number = DtypeCategory("number", generic)
integer = DtypeCategory("integer", number)
signedinteger = DtypeCategory("signedinteger", integer)
unsignedinteger = DtypeCategory("unsignedinteger", integer)
inexact = DtypeCategory("inexact", number)
floating = DtypeCategory("floating", inexact)
complexfloating = DtypeCategory("complexfloating", inexact)


class Dtype:
    """An element type. `kind` is one of b (bool), u, i, f, c; `code` is its stable number."""

    __slots__ = ("category", "code", "kind", "name", "size")

    def __init__(self, name: str, code: int, size: int, kind: str, category: DtypeCategory) -> None:
        self.name = name
        self.code = code
        self.size = size
        self.kind = kind
        self.category = category

    def __hash__(self) -> int:
        return self.code

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return "mlx.core." + self.name

    def __reduce__(self) -> str:
        raise TypeError(f"cannot pickle 'Dtype' object {self.name}")


bool_ = Dtype("bool", 0, 1, "b", generic)
uint8 = Dtype("uint8", 1, 1, "u", unsignedinteger)
uint16 = Dtype("uint16", 2, 2, "u", unsignedinteger)
uint32 = Dtype("uint32", 3, 4, "u", unsignedinteger)
uint64 = Dtype("uint64", 4, 8, "u", unsignedinteger)
int8 = Dtype("int8", 5, 1, "i", signedinteger)
int16 = Dtype("int16", 6, 2, "i", signedinteger)
int32 = Dtype("int32", 7, 4, "i", signedinteger)
int64 = Dtype("int64", 8, 8, "i", signedinteger)
float16 = Dtype("float16", 9, 2, "f", floating)
float32 = Dtype("float32", 10, 4, "f", floating)
float64 = Dtype("float64", 11, 8, "f", floating)
bfloat16 = Dtype("bfloat16", 12, 2, "f", floating)
complex64 = Dtype("complex64", 13, 8, "c", complexfloating)

ALL: tuple[Dtype, ...] = (
    bool_, uint8, uint16, uint32, uint64, int8, int16, int32, int64,
    float16, float32, float64, bfloat16, complex64,
)  # fmt: skip
BY_NAME: dict[str, Dtype] = {dtype.name: dtype for dtype in ALL}

KIND_ORDER = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}


def _promote_pair(a: Dtype, b: Dtype) -> Dtype:
    if a is b:
        return a
    if a.code > b.code:
        a, b = b, a
    if a.kind == "b" or b.kind == "c":
        return b
    if a.kind == "c":
        return a
    if "f" in (a.kind, b.kind):
        return _promote_floating(a, b)
    if a.kind == b.kind:
        return a if a.size > b.size else b
    unsigned, signed = (a, b) if a.kind == "u" else (b, a)
    if unsigned is uint64:
        return float32
    if signed.size > unsigned.size:
        return signed
    return {1: int16, 2: int32, 4: int64}[unsigned.size]


def _promote_floating(a: Dtype, b: Dtype) -> Dtype:
    if a.kind != "f":
        return b
    if b.kind != "f":
        return a
    if float64 in (a, b):
        return float64
    return float32


_PROMOTED: tuple[tuple[Dtype, ...], ...] = tuple(tuple(_promote_pair(a, b) for b in ALL) for a in ALL)


def promote(a: Dtype, b: Dtype) -> Dtype:
    """The dtype two arrays of dtypes `a` and `b` meet in.

    >>> promote(uint8, int8)
    mlx.core.int16
    """
    return _PROMOTED[a.code][b.code]


_DEFAULT_OF_KIND = {"b": bool_, "i": int32, "f": float32, "c": complex64}


def promote_weak(array_dtype: Dtype, scalar_kind: str) -> Dtype:
    """The dtype an array and a Python scalar meet in; `scalar_kind` is b, i, f or c.

    >>> promote_weak(float16, "f"), promote_weak(int8, "f")
    (mlx.core.float16, mlx.core.float32)
    """
    if KIND_ORDER[scalar_kind] <= KIND_ORDER[array_dtype.kind]:
        return array_dtype
    return _DEFAULT_OF_KIND[scalar_kind]


def is_inexact(dtype: Dtype) -> bool:
    """Whether the dtype is floating or complex."""
    return dtype.kind in "fc"


def default_of_kind(kind: str) -> Dtype:
    """The dtype of an array made from Python scalars of this kind."""
    return _DEFAULT_OF_KIND[kind]


_NUMPY: dict[str, np.dtype[np.generic]] = {
    dtype.name: np.dtype(dtype.name) for dtype in ALL if dtype is not bfloat16
}


def to_numpy(dtype: Dtype) -> np.dtype[np.generic]:
    """The NumPy dtype of the same layout (bfloat16 through ml_dtypes)."""
    found = _NUMPY.get(dtype.name)
    if found is None:
        import ml_dtypes  # only bfloat16 needs it, and it takes 10 ms to import

        found = np.dtype(ml_dtypes.bfloat16)
        _NUMPY[dtype.name] = found
    return found


def from_numpy(dtype: np.dtype[np.generic]) -> Dtype | None:
    """The dtype of the same layout, or None where there is none.

    >>> from_numpy(np.dtype("int16"))
    mlx.core.int16
    """
    if not dtype.isnative:
        return None
    return BY_NAME.get(dtype.name)


def is_subdtype(a: Dtype | DtypeCategory, b: Dtype | DtypeCategory) -> bool:
    """Whether `a` is `b` or lies under it in the hierarchy of categories."""
    if isinstance(b, Dtype):
        return a is b
    category: DtypeCategory | None = a.category if isinstance(a, Dtype) else a
    while category is not None:
        if category is b:
            return True
        category = category.parent
    return False
