"""The Elementwise family, casts and constants, and how operands are brought together.

An elementwise primitive sees inputs of one shape: broadcasts and casts are recorded before it. Python scalars
are weak: they take the arrays' dtype unless their kind is higher.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from tarry.base.dtypes import (
    KIND_ORDER,
    NO_NUMBERS,
    Dtype,
    complex64,
    default_of_kind,
    float32,
    from_numpy,
    int32,
    int64,
    promote,
    promote_weak,
)
from tarry.base.errors import type_name
from tarry.base.shapes import Shape, broadcast_shapes
from tarry.graph.array import array, wrap
from tarry.graph.node import Node
from tarry.graph.operators import operators
from tarry.graph.primitive import Primitive, Scalar, intern_key
from tarry.loops.builder import Builder
from tarry.loops.ir import Instr
from tarry.ops.build import build, build_on
from tarry.ops.structure import batch_to_front, broadcast

ArrayLike = array | Scalar | np.ndarray | np.generic
Partial = array | int


class Elementwise(Primitive):
    """One output element from the input elements at the same position.

    An op writes `emit` (on scalars) and `partial` (the derivative by input `number`: an array, or the
    integers 0, 1, -1). Shape, vjp, jvp, vmap, fusion and code follow. Derivatives of complex functions are
    holomorphic partials: `vjp` conjugates them.
    """

    shaped: ClassVar[bool] = False
    barrier = False

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        raise NotImplementedError(self.name)

    def partial(self, number: int, inputs: Sequence[array], output: array) -> Partial:
        raise ValueError(f"[{self.name}] has no derivative.")

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        found: list[array | None] = []
        for number in wanted:
            partial = self.partial(number, inputs, output)
            if not isinstance(partial, int) and partial.dtype is complex64:
                partial = operators.conjugate(partial)
            found.append(scaled(cotangent, partial))
        return found

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        total: array | None = None
        for number, tangent in enumerate(tangents):
            if tangent is None:
                continue
            term = scaled(tangent, self.partial(number, inputs, output))
            if term is not None:
                total = term if total is None else operators.add(total, term)
        return total

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        moved = [batch_to_front(value, axis, size) for value, axis in zip(inputs, axes)]
        return build(self, moved, (size, *output.shape), output.dtype), 0


def scaled(value: array, partial: Partial) -> array | None:
    """value * partial, without recording a multiplication by 0, 1 or -1."""
    if isinstance(partial, int):
        if partial == 0:
            return None
        result: array = value if partial == 1 else operators.negative(value)
        return result
    product: array = operators.multiply(value, partial)
    return product


_CONSTANT = intern_key(("Constant",))


class Constant(Primitive):
    """One number everywhere. The number is an argument of the plan, not part of its key."""

    name = "Constant"
    barrier = False
    __slots__ = ("value",)

    def __init__(self, value: Scalar) -> None:
        self.value = value
        self.arguments = ()
        self.key = _CONSTANT

    @property
    def scalars(self) -> tuple[Scalar, ...]:
        return (self.value,)

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        raise AssertionError("a constant has no inputs to batch")

    def __repr__(self) -> str:
        return f"Constant({self.value!r})"


def constant(value: Scalar, dtype: Dtype, shape: Shape = ()) -> array:
    """An array that holds one Python number everywhere."""
    return wrap(Node(Constant(value), (), shape, dtype))


class Cast(Elementwise):
    """Conversion to another dtype."""

    name = "AsType"
    __slots__ = ("dtype",)

    def __init__(self, dtype: Dtype) -> None:
        self.dtype = dtype
        super().__init__()

    def params(self) -> tuple[object, ...]:
        return (self.dtype.name,)

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        return builder.cast(args[0], self.dtype)

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        return [cast(cotangent, inputs[0].dtype)]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        return None if tangents[0] is None else cast(tangents[0], self.dtype)


_CASTS: dict[Dtype, Cast] = {}


def cast(value: array, dtype: Dtype) -> array:
    """`value` in another dtype; itself when it already has it."""
    if value._node.dtype is dtype:
        return value
    primitive = _CASTS.get(dtype)
    if primitive is None:
        primitive = _CASTS.setdefault(dtype, Cast(dtype))
    return build(primitive, (value,), value.shape, dtype)


# Operands


def scalar_kind(value: object) -> str | None:
    """b, i, f or c for a Python scalar (NumPy's float64 is a Python float), None for anything else."""
    if isinstance(value, bool):
        return "b"
    if isinstance(value, int):
        return "i"
    if isinstance(value, float):
        return "f"
    if isinstance(value, complex):
        return "c"
    return None


def check_scalar(op: str, value: Scalar, dtype: Dtype) -> None:
    """ValueError when a Python integer does not fit an integer dtype of less than 8 bytes."""
    if not isinstance(value, int):
        return
    if not -(1 << 63) <= value < 1 << 63:
        raise RuntimeError(f"[{op}] The integer {value} does not fit in 64 bits (std::bad_cast).")
    if dtype.kind not in "ui" or dtype.size == 8 or isinstance(value, bool):
        return
    bits = 8 * dtype.size
    low, high = (0, (1 << bits) - 1) if dtype.kind == "u" else (-(1 << bits - 1), (1 << bits - 1) - 1)
    if not low <= value <= high:
        raise ValueError(f"[{op}] Converting {value} to {dtype.name} would result in overflow.")


def as_array(op: str, value: object) -> array:
    """The array of an operand: an array, a Python scalar, a NumPy array or an object with `__mlx_array__`.

    ValueError for anything else.
    """
    if isinstance(value, array):
        return value
    kind = scalar_kind(value)
    if kind is not None:
        assert isinstance(value, (bool, int, float, complex))
        dtype = default_of_kind(kind)
        if dtype is int32 and not -(1 << 31) <= int(value.real) < 1 << 31:
            dtype = int64
        check_scalar(op, value, dtype)
        return constant(value, dtype)
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind not in NO_NUMBERS:
        made: array = operators.from_numpy(op, value, None)
        return made
    converter = getattr(value, "__mlx_array__", None)
    if converter is not None:
        converted = converter()
        if isinstance(converted, array):
            return converted
    if value is None:
        raise TypeError(f"[{op}] incompatible function arguments: expected an array or a scalar, not None.")
    raise ValueError(
        f"[{op}] Cannot perform the operation on a value of type {_type_and_dtype(value)}: "
        "expected an array or a scalar."
    )


def _type_and_dtype(value: object) -> str:
    """The type of a value, and of a NumPy array the dtype."""
    if isinstance(value, (np.ndarray, np.generic)):
        return f"{type_name(value)} of {value.dtype}"
    return type_name(value)


def require_array(op: str, value: object) -> array:
    """The operand of an op that takes arrays only. TypeError for anything else."""
    if isinstance(value, array):
        return value
    raise TypeError(
        f"[{op}] incompatible function arguments: expected an array, not {type(value).__name__}."
    )


def binary_operands(op: str, a: object, b: object, lift: Dtype | None = None) -> tuple[array, array]:
    """Both operands in the dtype and shape they meet in.

    `lift` is a dtype the common one is raised to when it is not inexact (float32 for division).
    """
    if isinstance(a, array):
        if isinstance(b, array):
            dtype = promote(a._node.dtype, b._node.dtype)
            left, right = a, b
        else:
            return _weak_operands(op, a, b, lift, False)
    elif isinstance(b, array):
        return _weak_operands(op, b, a, lift, True)
    else:
        left, right = as_array(op, a), as_array(op, b)
        dtype = promote(left.dtype, right.dtype)
    if lift is not None and dtype.kind not in "fc":
        dtype = lift
    if left._node.dtype is not dtype:
        left = cast(left, dtype)
    if right._node.dtype is not dtype:
        right = cast(right, dtype)
    if left._node.shape != right._node.shape:
        shape = broadcast_shapes(op, left._node.shape, right._node.shape)
        left, right = broadcast(left, shape), broadcast(right, shape)
    return left, right


def _weak_operands(
    op: str, strong: array, weak: object, lift: Dtype | None, swapped: bool
) -> tuple[array, array]:
    node = strong._node
    if type(weak) is float and node.dtype.kind == "f":
        # By far the most common case.
        other = wrap(Node(Constant(weak), (), node.shape, node.dtype))
        return (other, strong) if swapped else (strong, other)
    kind = scalar_kind(weak)
    if kind is None:
        other = weak_array(op, strong, weak)
        left, right = (other, strong) if swapped else (strong, other)
        return binary_operands(op, left, right, lift)
    assert isinstance(weak, (bool, int, float, complex))
    dtype = promote_weak(strong._node.dtype, kind)
    check_scalar(op, weak, dtype)
    if lift is not None and dtype.kind not in "fc":
        dtype = lift
    if strong._node.dtype is not dtype:
        strong = cast(strong, dtype)
    other = constant(weak, dtype, strong._node.shape)
    return (other, strong) if swapped else (strong, other)


def weak_array(op: str, strong: array, value: object) -> array:
    """The array of an operand that is neither array nor Python scalar; NumPy values are weak by value."""
    if isinstance(value, (np.ndarray, np.generic)):
        found = from_numpy(value.dtype)
        if found is not None and KIND_ORDER[found.kind] > KIND_ORDER["b"]:
            # MLX casts NumPy values to the array's dtype, whatever theirs is.
            made: array = operators.from_numpy(op, value, strong.dtype)
            return made
    return as_array(op, value)


# Integers that are surely numbers of every floating dtype, and of every integer dtype.
FAR = 1 << 31
SMALL = 1 << 7


def binary(primitive: Elementwise, op: str, a: object, b: object, lift: Dtype | None = None) -> array:
    """The primitive of two operands, brought together (`binary_operands`); the result has their dtype."""
    if type(a) is array:
        left = a._node
        if type(b) is array:
            right = b._node
            dtype = left.dtype
            if dtype is right.dtype and (lift is None or dtype.kind == "f" or dtype.kind == "c"):
                shape = left.shape
                if shape != right.shape:
                    shape = broadcast_shapes(op, shape, right.shape)
                    left, right = broadcast(a, shape)._node, broadcast(b, shape)._node
                return build_on(primitive, (left, right), shape, dtype)
        elif left.dtype.kind == "f":
            if type(b) is float or (type(b) is int and -FAR < b < FAR):
                number = Node(Constant(b), (), left.shape, left.dtype)
                return build_on(primitive, (left, number), left.shape, left.dtype)
        elif type(b) is int and 0 <= b < SMALL and left.dtype.kind in "ui" and lift is None:
            number = Node(Constant(b), (), left.shape, left.dtype)
            return build_on(primitive, (left, number), left.shape, left.dtype)
    return elementwise(primitive, binary_operands(op, a, b, lift))


def unary_operand(op: str, value: object, lift: Dtype | None = None) -> array:
    """The operand of a unary op; `lift` is the dtype for operands that are not inexact."""
    if type(value) is array and value._node.dtype.kind == "f":
        return value
    operand = value if isinstance(value, array) else as_array(op, value)
    if lift is not None and operand._node.dtype.kind not in "fc":
        operand = cast(operand, lift)
    return operand


def float_operand(op: str, value: object) -> array:
    """The operand of a function on floating numbers: integers and booleans become float32."""
    if type(value) is array and value._node.dtype.kind == "f":
        return value
    return unary_operand(op, value, float32)


def elementwise(primitive: Elementwise, inputs: Sequence[array], dtype: Dtype | None = None) -> array:
    """The primitive on operands of equal shape; `dtype` is that of the first operand unless given."""
    first = inputs[0]._node
    if len(inputs) == 1:
        return build_on(primitive, (first,), first.shape, dtype or first.dtype)
    return build_on(primitive, tuple([value._node for value in inputs]), first.shape, dtype or first.dtype)
