"""The fourteen element types, their categories and their promotion.

Promotion follows MLX (notes/mlx-semantics.md, section 1): arrays promote by the table below, Python
scalars are weak and only lift the kind (bool < integer < floating < complex).
"""

from __future__ import annotations

import numpy as np


class ReadOnly:
    """An object whose attributes are set when it is made, with `_keep`, and never again."""

    __slots__ = ()

    def _keep(self, **attributes: object) -> None:
        for name, value in attributes.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"[{type(self).__name__}] The attribute {name!r} of {self!r} cannot be set.")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"[{type(self).__name__}] The attribute {name!r} of {self!r} cannot be deleted.")


class DtypeCategory(ReadOnly):
    """A set of dtypes with a place in the hierarchy, for `issubdtype`. There is one of each name.

    `name` is its name, `parent` the category around it. TypeError when the class is called.

    Example:
        >>> floating.parent
        DtypeCategory.inexact
    """

    __slots__ = ("name", "parent")
    name: str
    parent: DtypeCategory | None

    def __init__(self, *_: object, **__: object) -> None:
        raise TypeError("[DtypeCategory] Categories are not made: mx.generic, mx.number and so on are all.")

    def __repr__(self) -> str:
        return f"DtypeCategory.{self.name}"


def _category(name: str, parent: DtypeCategory | None) -> DtypeCategory:
    made = object.__new__(DtypeCategory)
    made._keep(name=name, parent=parent)
    return made


generic = _category("generic", None)
number = _category("number", generic)
integer = _category("integer", number)
signedinteger = _category("signedinteger", integer)
unsignedinteger = _category("unsignedinteger", integer)
inexact = _category("inexact", number)
floating = _category("floating", inexact)
complexfloating = _category("complexfloating", inexact)


class Dtype(ReadOnly):
    """An element type; there is one object of each name.

    `name` is its name, `size` the bytes of an element, `category` its place in the hierarchy, `kind` one of
    b (bool), u, i, f and c, and `code` its stable number. TypeError when the class is called.

    Example:
        >>> int16.size, int16.category
        (2, DtypeCategory.signedinteger)
    """

    __slots__ = ("category", "code", "kind", "name", "size")
    name: str
    code: int
    size: int
    kind: str
    category: DtypeCategory

    def __init__(self, *_: object, **__: object) -> None:
        raise TypeError("[Dtype] Dtypes are not made: mx.float32, mx.int32 and so on are all.")

    def __hash__(self) -> int:
        return self.code

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return "mlx.core." + self.name

    def __reduce__(self) -> str:
        raise TypeError(f"cannot pickle 'Dtype' object {self.name}")


def _dtype(name: str, code: int, size: int, kind: str, category: DtypeCategory) -> Dtype:
    made = object.__new__(Dtype)
    made._keep(name=name, code=code, size=size, kind=kind, category=category)
    return made


bool_ = _dtype("bool", 0, 1, "b", generic)
uint8 = _dtype("uint8", 1, 1, "u", unsignedinteger)
uint16 = _dtype("uint16", 2, 2, "u", unsignedinteger)
uint32 = _dtype("uint32", 3, 4, "u", unsignedinteger)
uint64 = _dtype("uint64", 4, 8, "u", unsignedinteger)
int8 = _dtype("int8", 5, 1, "i", signedinteger)
int16 = _dtype("int16", 6, 2, "i", signedinteger)
int32 = _dtype("int32", 7, 4, "i", signedinteger)
int64 = _dtype("int64", 8, 8, "i", signedinteger)
float16 = _dtype("float16", 9, 2, "f", floating)
float32 = _dtype("float32", 10, 4, "f", floating)
float64 = _dtype("float64", 11, 8, "f", floating)
bfloat16 = _dtype("bfloat16", 12, 2, "f", floating)
complex64 = _dtype("complex64", 13, 8, "c", complexfloating)

ALL: tuple[Dtype, ...] = (
    bool_, uint8, uint16, uint32, uint64, int8, int16, int32, int64,
    float16, float32, float64, bfloat16, complex64,
)  # fmt: skip
# What NumPy calls the kinds of dtypes that hold no numbers: objects, texts and times.
NO_NUMBERS = "OSUMm"
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
