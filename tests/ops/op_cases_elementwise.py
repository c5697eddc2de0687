"""Rows of the op table: unary, binary and other elementwise ops. `op_case.OpCase` explains the fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

from oracle import ALL_DTYPES, BOOL, FLOATS, INTEGERS, REAL, dtype_of

from .op_case import (
    ANY,
    BINARY_VARIANTS,
    CONDITION,
    FLOAT_SPECIALS,
    INFINITY,
    NONZERO,
    PAIR_SPECIALS,
    POSITIVE,
    UNARY_VARIANTS,
    UNIT,
    WHOLE,
    Draw,
    OpCase,
    Variant,
)

NUMBERS = tuple(name for name in ALL_DTYPES if name != "bool")


def unary(name: str, reference: Callable[..., Any], draw: Draw = ANY, **fields: Any) -> OpCase:
    """A row for an op of one array; differentiable and tried on special values unless the fields say
    otherwise.
    """
    fields.setdefault("integers", "float")
    fields.setdefault("differentiable", (0,))
    fields.setdefault("specials", FLOAT_SPECIALS)
    return OpCase(
        name,
        lambda module, a, **options: getattr(module, name)(a, **options),
        reference,
        draws=(draw,),
        **fields,
    )


def whole_unary(name: str, reference: Callable[..., Any], draw: Draw = ANY, **fields: Any) -> OpCase:
    """A row for an op of one array that keeps integers as they are."""
    fields.setdefault("integer_specials", True)
    return unary(name, lambda a, **options: reference(number(a), **options), draw, integers="exact", **fields)


def predicate(name: str, reference: Callable[..., Any], **fields: Any) -> OpCase:
    """A row for a predicate of one array: boolean result, no gradient."""
    return unary(name, reference, WHOLE, integers="exact", differentiable=(), **fields)


def binary(
    name: str, reference: Callable[..., Any], first: Draw = ANY, second: Draw = ANY, **fields: Any
) -> OpCase:
    """A row for an op of two arrays that broadcast."""
    fields.setdefault("differentiable", (0, 1))
    fields.setdefault("specials", PAIR_SPECIALS)
    fields.setdefault("variants", BINARY_VARIANTS)
    return OpCase(
        name,
        lambda module, a, b, **options: getattr(module, name)(a, b, **options),
        lambda a, b, **options: reference(number(a), number(b), **options),
        draws=(first, second),
        **fields,
    )


def comparison(name: str, reference: Callable[..., Any]) -> OpCase:
    """A row for a comparison, on values with many ties."""
    return binary(name, reference, WHOLE, WHOLE, differentiable=(), integer_specials=True)


def bitwise(name: str, reference: Callable[..., Any]) -> OpCase:
    """A row for a bitwise op, on integers and booleans."""
    return binary(
        name, reference, dtypes=BOOL + INTEGERS, differentiable=(), specials=(), integer_specials=True
    )


def number(values: Any) -> Any:
    """Booleans as small integers: NumPy refuses some arithmetic on booleans that MLX defines modulo
    'nonzero'.
    """
    return values.astype(np.int8) if values.dtype == np.bool_ else values


def sign(a: Any) -> Any:
    if np.iscomplexobj(a):
        magnitude = np.abs(a)
        return np.where(magnitude == 0, 0, a / np.where(magnitude == 0, 1, magnitude))
    return np.where(np.isnan(a), 0.0, np.sign(a)) if a.dtype.kind == "f" else np.sign(a)


def floor_divide(a: Any, b: Any) -> Any:
    """floor(a / b); integers divided by zero give zero, and the least integer over -1 wraps around."""
    return np.floor(a / b) if a.dtype.kind == "f" else np.floor_divide(a, b)


def remainder(a: Any, b: Any) -> Any:
    """The remainder with the divisor's sign; an integer modulo zero is the integer itself."""
    result = np.remainder(a, b)
    return result if a.dtype.kind == "f" else np.where(b == 0, a, result)


def power(a: Any, b: Any) -> Any:
    """a ** b; an integer to a negative power is zero."""
    if a.dtype.kind != "i":
        return np.power(a, b)
    return np.where(b < 0, 0, np.power(a, np.maximum(b, 0))).astype(a.dtype)


def logaddexp(a: Any, b: Any) -> Any:
    if np.iscomplexobj(a):
        return np.log(np.exp(a) + np.exp(b))
    return np.logaddexp(a, b)


def erfinv(a: Any) -> Any:
    """SciPy's, which loses the sign of zero."""
    return np.copysign(scipy.special.erfinv(a), a)


def nan_to_num(a: Any, **options: Any) -> Any:
    return a if a.dtype.kind in "biu" else np.nan_to_num(a, **options)


def real_if_needed(a: Any, to: str) -> Any:
    """A cast as MLX does it: a complex number becomes its real part, anything nonzero becomes True."""
    if to == "bool":
        return a != 0
    return a.real if np.iscomplexobj(a) and to != "complex64" else a


UNARY = [
    whole_unary("negative", np.negative, dtypes=NUMBERS),
    whole_unary("abs", np.abs, NONZERO),
    whole_unary("sign", sign, NONZERO, signed_zero=False),
    unary("exp", np.exp, specials=(*FLOAT_SPECIALS, 88.5, -87.5, -100.0, 1e-8)),
    unary("expm1", np.expm1, dtypes=REAL, specials=(*FLOAT_SPECIALS, 88.5, -50.0, 1e-8)),
    unary("log", np.log, POSITIVE, ulps=3),
    unary("log1p", np.log1p, Draw(-0.8, 3.0, integers=(0, 5)), specials=(*FLOAT_SPECIALS, 1e-8, -0.999)),
    unary("log2", np.log2, POSITIVE, ulps=3),
    unary("log10", np.log10, POSITIVE, ulps=3),
    unary("sqrt", np.sqrt, POSITIVE),
    unary("rsqrt", lambda a: 1.0 / np.sqrt(a), POSITIVE),
    whole_unary("square", np.square),
    unary("reciprocal", lambda a: 1.0 / a, NONZERO),
    unary("sin", np.sin, specials=(*FLOAT_SPECIALS[:9], 100.0, -31.4, 1e5), ulps=3),
    unary("cos", np.cos, specials=(*FLOAT_SPECIALS[:9], 100.0, -31.4, 1e5), ulps=3),
    unary(
        "tan", np.tan, Draw(-1.2, 1.2, integers=(-1, 2)), specials=(*FLOAT_SPECIALS[:9], 100.0, -31.4), ulps=4
    ),
    unary("sinh", np.sinh, ulps=4, specials=(*FLOAT_SPECIALS, 88.5, -89.0, 1e-8)),
    unary("cosh", np.cosh, ulps=4, specials=(*FLOAT_SPECIALS, 88.5, -89.0)),
    unary("tanh", np.tanh, ulps=4, specials=(*FLOAT_SPECIALS, 9.5, -20.0, 1e-8)),
    unary("arcsin", np.arcsin, UNIT, ulps=3),
    unary("arccos", np.arccos, UNIT, ulps=3),
    unary("arctan", np.arctan, ulps=3),
    unary("arcsinh", np.arcsinh, ulps=4, specials=(*FLOAT_SPECIALS, 1e-8, 1e20, -1e20)),
    unary("arccosh", np.arccosh, Draw(1.2, 4.0, integers=(1, 6)), ulps=4),
    unary("arctanh", np.arctanh, UNIT, ulps=4, specials=(*FLOAT_SPECIALS, 1e-8, 0.999)),
    unary("sigmoid", scipy.special.expit, dtypes=REAL, ulps=4, specials=(*FLOAT_SPECIALS, 20.0, -80.0)),
    unary(
        "erf",
        scipy.special.erf,
        dtypes=REAL,
        ulps=6,
        signed_zero=False,
        specials=(*FLOAT_SPECIALS, 1e-8, 4.0),
    ),
    unary("erfinv", erfinv, UNIT, dtypes=REAL, ulps=6, specials=(*FLOAT_SPECIALS, 0.999)),
    whole_unary("floor", np.floor, dtypes=REAL),
    whole_unary("ceil", np.ceil, dtypes=REAL),
    whole_unary("trunc", np.trunc, dtypes=REAL),
    whole_unary(
        "round",
        np.round,
        variants=(*UNARY_VARIANTS, Variant((5, 7), decimals=1), Variant((5, 7), decimals=-1)),
        ulps=3,
    ),
    predicate("logical_not", np.logical_not),
    whole_unary("bitwise_invert", np.invert, dtypes=INTEGERS, differentiable=(), specials=()),
    predicate("isnan", np.isnan),
    predicate("isinf", np.isinf),
    predicate("isfinite", np.isfinite),
    predicate("isposinf", lambda a: a == INFINITY, dtypes=REAL),
    predicate("isneginf", lambda a: a == -INFINITY, dtypes=REAL),
    unary("degrees", lambda a: a * (180.0 / np.pi)),
    unary("radians", lambda a: a * (np.pi / 180.0)),
    whole_unary("conjugate", np.conjugate, signed_zero=False),
    whole_unary("real", np.real),
    whole_unary(
        "imag", np.imag, dtypes=("complex64",), differentiable=(), specials=(), integer_specials=False
    ),
    unary(
        "nan_to_num",
        nan_to_num,
        integers="exact",
        dtypes=REAL,
        variants=(Variant((5, 7), nan=1.0, posinf=5.0, neginf=-5.0), *UNARY_VARIANTS),
        oracle_dtypes=[name for name in REAL if name != "float64"],
    ),
    whole_unary("stop_gradient", lambda a: a, differentiable=()),
    OpCase(
        "astype",
        lambda module, a, to: a.astype(dtype_of(module, to)),
        real_if_needed,
        draws=(POSITIVE,),
        variants=[Variant((5, 7), to="float32"), Variant((), to="int32"), Variant((0, 3), to="float16")],
    ),
]

ARITHMETIC = [
    binary("add", np.add, integer_specials=True),
    binary("subtract", np.subtract, integer_specials=True),
    binary("multiply", np.multiply, integer_specials=True),
    binary("divide", np.true_divide, ANY, NONZERO, integers="float"),
    binary(
        "floor_divide",
        floor_divide,
        ANY,
        NONZERO,
        dtypes=REAL,
        # Without subnormals: whether a quotient underflows before it is rounded down is the platform's
        # affair.
        specials=[value for value in PAIR_SPECIALS if value != 1.4e-45],
        integer_specials=True,
        signed_zero=False,
    ),
    binary(
        "remainder",
        remainder,
        ANY,
        NONZERO,
        dtypes=REAL,
        integer_specials=True,
        signed_zero=False,
        absolute=2.0,
    ),
    binary(
        "divmod",
        lambda a, b: (floor_divide(a, b), remainder(a, b)),
        ANY,
        NONZERO,
        dtypes=INTEGERS + FLOATS,
        oracle_gradients=False,
        signed_zero=False,
        absolute=2.0,
    ),
    binary(
        "power",
        power,
        POSITIVE,
        Draw(integers=(-2, 5)),
        ulps=4,
        integer_specials=True,
    ),
    binary("maximum", np.maximum, integer_specials=True, signed_zero=False),
    binary("minimum", np.minimum, integer_specials=True, signed_zero=False),
    binary("logaddexp", logaddexp, integers="float", ulps=4, absolute=1.0, signed_zero=False),
    binary("arctan2", np.arctan2, NONZERO, NONZERO, dtypes=REAL, integers="float", ulps=4),
]

LOGIC = [
    comparison("equal", np.equal),
    comparison("not_equal", np.not_equal),
    comparison("less", np.less),
    comparison("less_equal", np.less_equal),
    comparison("greater", np.greater),
    comparison("greater_equal", np.greater_equal),
    comparison("logical_and", np.logical_and),
    comparison("logical_or", np.logical_or),
    bitwise("bitwise_and", np.bitwise_and),
    bitwise("bitwise_or", np.bitwise_or),
    bitwise("bitwise_xor", np.bitwise_xor),
    binary(
        "left_shift",
        np.left_shift,
        ANY,
        Draw(integers=(0, 7)),
        dtypes=INTEGERS,
        differentiable=(),
        specials=(),
    ),
    binary(
        "right_shift",
        np.right_shift,
        ANY,
        Draw(integers=(0, 7)),
        dtypes=INTEGERS,
        differentiable=(),
        specials=(),
    ),
    binary(
        "isclose",
        np.isclose,
        WHOLE,
        WHOLE,
        variants=(
            *BINARY_VARIANTS,
            Variant((5, 7), (5, 7), rtol=0.6),
            Variant((5, 7), (5, 7), atol=1.5),
            Variant((5, 7), (5, 7), equal_nan=True),
        ),
        differentiable=(),
    ),
    OpCase(
        "allclose",
        lambda module, a, b, same, **options: module.allclose(a, a + 0 if same else b, **options),
        lambda a, b, same, **options: np.allclose(a, a if same else b, **options),
        draws=(WHOLE, WHOLE),
        variants=[
            Variant((5, 7), (5, 7), same=False),
            Variant((5, 7), (5, 7), same=True),
            Variant((5, 7), (7,), same=False, atol=9.0),
            Variant((0, 3), (0, 3), same=False),
        ],
    ),
    OpCase(
        "array_equal",
        lambda module, a, b, same: module.array_equal(a, a + 0 if same else b),
        lambda a, b, same: np.array_equal(a, a if same else b),
        draws=(WHOLE, WHOLE),
        variants=[
            Variant((5, 7), (5, 7), same=False),
            Variant((5, 7), (5, 7), same=True),
            Variant((5, 7), (3,), same=False),
            Variant((0, 3), (0, 3), same=False),
        ],
    ),
]

SELECTION = [
    OpCase(
        "where",
        lambda module, condition, a, b: module.where(condition, a, b),
        np.where,
        draws=(CONDITION, ANY, ANY),
        variants=[
            Variant((5, 7), (5, 7), (5, 7)),
            Variant((), (5, 7), (7,)),
            Variant((7,), (5, 1), ()),
            Variant((0, 3), (1, 3), (3,)),
        ],
        differentiable=(1, 2),
    ),
    OpCase(
        "clip",
        lambda module, a, low, high: module.clip(a, low, high),
        lambda a, low, high: np.clip(number(a), low, high),
        draws=(Draw(-1.0, 4.0, integers=(-2, 6)),),
        variants=[
            Variant((5, 7), low=1, high=2),
            Variant((5, 7), low=None, high=2),
            Variant((5, 7), low=1, high=None),
            Variant((5, 7), low=3, high=1),
            Variant((), low=1, high=2),
            Variant((0, 3), low=1, high=2),
        ],
        dtypes=REAL,
        specials=FLOAT_SPECIALS,
        differentiable=(0,),
    ),
    OpCase(
        "clip_arrays",
        lambda module, a, low, high: module.clip(a, low, high),
        np.clip,
        draws=(ANY, Draw(-1.0, -0.2), Draw(0.2, 1.0)),
        variants=[Variant((5, 7), (7,), (5, 1)), Variant((5, 7), (), (5, 7))],
        dtypes=FLOATS,
        differentiable=(0, 1, 2),
    ),
]

ELEMENTWISE_CASES = UNARY + ARITHMETIC + LOGIC + SELECTION
