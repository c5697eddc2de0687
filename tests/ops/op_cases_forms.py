"""Rows of the op table: dtypes and numbers of axes changed, strides, broadcasts and lists of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib import stride_tricks

from oracle import dtype_of

from .op_case import ANY, UNARY_VARIANTS, OpCase, Variant
from .op_cases_shapes import MOVED, same_name, view
from .op_cases_statistics import named


def as_strided(a: Any, shape: Any, strides: Any, offset: int) -> Any:
    flat = np.ascontiguousarray(a).reshape(-1)[offset:]
    return stride_tricks.as_strided(flat, shape, [stride * a.itemsize for stride in strides])


def cast(name: str) -> OpCase:
    """A row for a function that gives an array in another dtype (the method has a row of its own)."""
    return OpCase(
        f"{name}_function",
        lambda module, a, dtype: getattr(module, name)(a, dtype_of(module, dtype)),
        lambda a, dtype: a.astype(dtype),
        draws=(ANY,),
        variants=[
            Variant((5, 7), dtype="float64"),
            Variant((), dtype="float64"),
            Variant((0, 3), dtype="float64"),
        ],
        dtypes=("float32", "float64", "int32", "bool", "uint8"),
        ulps=0.0,
        differentiable=(0,),
        oracle_gradients=False,
    )


def listed(name: str, **fields: Any) -> OpCase:
    """A row for a function of several arrays that gives as many."""
    return OpCase(
        name,
        lambda module, *arrays, **options: list(getattr(module, name)(*arrays, **options)),
        lambda *values, **options: list(getattr(np, name)(*values, **options)),
        dtypes=("float32", "float64", "int32", "bool"),
        ulps=0.0,
        **fields,
    )


FORM_CASES = [
    view(
        "as_strided",
        lambda module, a, **options: module.as_strided(a, **options),
        as_strided,
        Variant((5, 7), shape=(3, 4), strides=(7, 2), offset=1),
        Variant((20,), shape=(6, 5), strides=(3, 1), offset=0),
        Variant((4, 3), shape=(2, 3), strides=(0, 3), offset=2),
        oracle_gradients=False,
    ),
    cast("astype"),
    cast("asarray"),
    *[
        view(
            name,
            *same_name(name),
            Variant((5, 7)),
            Variant(()),
            Variant((3,)),
            Variant((2, 3, 4)),
        )
        for name in ("atleast_1d", "atleast_2d", "atleast_3d")
    ],
    view("positive", lambda module, a: module.positive(a), lambda a: a, *UNARY_VARIANTS),
    view(
        "unstack",
        lambda module, a, axis: list(module.unstack(a, axis=axis)),
        lambda a, axis: [np.take(a, place, axis) for place in range(a.shape[axis])],
        Variant((5, 7), axis=0),
        Variant((2, 3, 4), axis=-1),
        oracle_gradients=False,
    ),
    listed(
        "broadcast_arrays",
        draws=(ANY, ANY),
        variants=[Variant((5, 1), (7,)), Variant((), (2, 3)), Variant((2, 1, 4), (3, 1))],
        differentiable=(0, 1),
    ),
    listed(
        "meshgrid",
        draws=(ANY, ANY),
        variants=[Variant((5,), (7,)), Variant((5,), (7,), indexing="ij"), Variant((2,), (3,), sparse=True)],
        differentiable=(0, 1),
    ),
    named(
        "full_like",
        lambda a, vals: np.full_like(a, vals),
        [Variant((5, 7), vals=1), Variant((), vals=0), Variant((0, 3), vals=1)],
        ANY,
        dtypes=MOVED,
        ulps=0.0,
    ),
    OpCase(
        "depends",
        lambda module, a, b: module.depends(a, module.exp(b)),
        lambda a, b: a,
        draws=(ANY, ANY),
        variants=[Variant((5, 7), (3,)), Variant((), ())],
        dtypes=("float32", "float64"),
        ulps=0.0,
        differentiable=(0,),
        mapped=False,
        oracle_gradients=False,
    ),
]
