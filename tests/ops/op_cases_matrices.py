"""Rows of the op table: what NumPy and the array API add to linear algebra, and inverses of triangles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg

from .op_case import ANY, OpCase, Variant
from .op_cases_linalg import OBLONG, SQUARE, adjoint, matrices, on_cpu, regular
from .op_cases_statistics import named

# Ranks are measured against the rounding errors of the dtype that is computed with.
SINGLE = 1e-5


def linear(name: str, prepare: Callable[..., Any] = regular, **fields: Any) -> OpCase:
    """A row for a function that NumPy has by the same name and the wheel has not."""

    def call(module: Any, *values: Any, **options: Any) -> Any:
        return getattr(module.linalg, name)(*[prepare(module, value) for value in values], **options)

    fields.setdefault("oracle_dtypes", ())
    return matrices(name, call, fields.pop("reference", call), **fields)


def unchanged(_: Any, a: Any) -> Any:
    return a


def triangle(module: Any, a: Any, upper: bool) -> Any:
    a = regular(module, a)
    return module.triu(a) if upper else module.tril(a)


def tri_inv(module: Any, a: Any, upper: bool) -> Any:
    a = triangle(module, a, upper)
    return np.linalg.inv(a) if module is np else module.linalg.tri_inv(a, upper, **on_cpu(module))


def cholesky_inv(module: Any, a: Any, upper: bool) -> Any:
    """The inverse of the matrix with this Cholesky factor."""
    a = triangle(module, a, upper)
    if module is np:
        return np.linalg.inv(adjoint(a) @ a if upper else a @ adjoint(a))
    return module.linalg.cholesky_inv(a, upper, **on_cpu(module))


def lu_factor(module: Any, a: Any) -> Any:
    a = regular(module, a)
    if module is np:
        return np.stack([scipy.linalg.lu_factor(one)[0] for one in a.reshape(-1, *a.shape[-2:])]).reshape(
            a.shape
        )
    return module.linalg.lu_factor(a, **on_cpu(module))[0]


def lstsq(module: Any, a: Any, b: Any) -> Any:
    """The solution; of matrices in batches one after the other, as NumPy has none."""
    if module is not np:
        return module.linalg.lstsq(a, b)[0]
    if a.ndim == 2:
        return np.linalg.lstsq(a, b, rcond=None)[0]
    return np.stack([lstsq(np, one, other) for one, other in zip(a, b, strict=True)])


def rank(module: Any, a: Any) -> Any:
    """Of a matrix whose last row is a multiple of the first."""
    a = module.concatenate([a[..., :-1, :], a[..., :1, :] * 2], -2)
    options = {"rtol": SINGLE} if module is not np else {"tol": SINGLE}
    return module.linalg.matrix_rank(a, **options)


MATRIX_CASES = [
    matrices("tri_inv", tri_inv, tri_inv, variants=[Variant((4, 4), upper=up) for up in (False, True)]),
    matrices(
        "cholesky_inv",
        cholesky_inv,
        cholesky_inv,
        variants=[Variant((4, 4), upper=up) for up in (False, True)],
    ),
    matrices("lu_factor", lu_factor, lu_factor),
    linear("svdvals", unchanged, variants=OBLONG),
    linear("cond", variants=[*SQUARE, Variant((3, 3), p=1), Variant((3, 3), p="fro")]),
    linear("matrix_power", variants=[Variant((3, 3), n=n) for n in (3, 0, 1, -2)]),
    matrices(
        "matrix_rank",
        rank,
        rank,
        variants=[Variant((4, 4)), Variant((2, 3, 5))],
        differentiable=(),
        oracle_dtypes=(),
    ),
    matrices(
        "lstsq",
        lstsq,
        lstsq,
        draws=(ANY, ANY),
        variants=[Variant((5, 3), (5, 2)), Variant((2, 5, 3), (2, 5, 2))],
        oracle_dtypes=(),
    ),
    linear("trace", unchanged, variants=[Variant((4, 3)), Variant((2, 3, 4), offset=1)]),
    linear("diagonal", unchanged, variants=[Variant((4, 3)), Variant((2, 3, 4), offset=-1)]),
    linear(
        "matrix_norm",
        unchanged,
        variants=[Variant((4, 3)), Variant((2, 3, 4), ord=1, keepdims=True), Variant((3, 3), ord="nuc")],
    ),
    linear(
        "vector_norm",
        unchanged,
        variants=[Variant((4, 3)), Variant((2, 3, 4), axis=(0, 2), ord=3), Variant((5,), ord=1)],
    ),
    named(
        "vecdot",
        lambda a, b, axis: np.sum(np.conj(a) * b, axis=axis, dtype=a.dtype),
        [
            Variant((5, 7), (5, 7), axis=-1),
            Variant((5, 7), (5, 7), axis=0),
            Variant((3, 1, 4), (1, 2, 4), axis=-1),
        ],
        ANY,
        ANY,
        dtypes=("float32", "float64", "float16", "complex64", "int32"),
        ulps=4.0,
        absolute=16.0,
        differentiable=(0, 1),
        oracle_gradients=False,
    ),
    named(
        "matrix_transpose",
        lambda a: np.swapaxes(a, -1, -2),
        [Variant((5, 7)), Variant((2, 3, 4)), Variant((0, 3))],
        ANY,
        ulps=0,
        differentiable=(0,),
    ),
]
