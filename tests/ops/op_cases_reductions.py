"""Rows of the op table: reductions and matrix products. `op_case.OpCase` says what the fields mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

from oracle import ALL_DTYPES, FLOATS, INEXACT, REAL

from .op_case import ANY, DISTINCT, WHOLE, Draw, OpCase, Variant

AXES = (
    Variant((5, 7), axis=1),
    Variant((5, 7), axis=0),
    Variant((5, 7), axis=None),
    Variant((2, 3, 4), axis=(0, 2)),
    Variant((2, 3, 4), axis=-2, keepdims=True),
    Variant((2, 3, 4), axis=None, keepdims=True),
    Variant((), axis=None),
    Variant((33, 65), axis=-1),
    Variant((65, 33), axis=0),
    Variant((3000,), axis=None),
)
# Reducing an axis of length zero gives the identity; a zero elsewhere gives an empty result.
EMPTY = (Variant((0, 3), axis=0), Variant((0, 3), axis=1))
# Not centred: the sum of a long row must not cancel by chance, for tolerances are relative to the result.
SHIFTED = Draw(-1.0, 2.0)
ONE_AXIS = (
    Variant((5, 7), axis=1),
    Variant((5, 7), axis=0),
    Variant((5, 7), axis=None),
    Variant((2, 3, 4), axis=-2, keepdims=True),
    Variant((), axis=None),
    Variant((33, 65), axis=-1),
    Variant((3000,), axis=None),
)


def reduction(
    name: str, reference: Callable[..., Any], draw: Draw = ANY, *, function: str | None = None, **fields: Any
) -> OpCase:
    """A row for a reduction of one array over the variant's `axis`."""
    op = function or name
    fields.setdefault("variants", AXES + EMPTY)
    fields.setdefault("differentiable", (0,))
    return OpCase(
        name,
        lambda module, a, **options: getattr(module, op)(a, **options),
        reference,
        draws=(draw,),
        **fields,
    )


def moment(function: Callable[..., Any]) -> Callable[..., Any]:
    """var or std: over an empty axis nan, without NumPy's warning."""

    def compute(a: Any, axis: Any = None, keepdims: bool = False, ddof: int = 0) -> Any:
        count = a.size if axis is None else int(np.prod([a.shape[i] for i in np.atleast_1d(axis)]))
        if count == 0:
            return np.full(np.sum(a.real, axis=axis, keepdims=keepdims).shape, np.nan)
        return function(a, axis=axis, keepdims=keepdims, ddof=ddof)

    return compute


def mean(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    total = np.sum(a, axis=axis, keepdims=keepdims)
    return total / (a.size / total.size) if a.size else np.full(total.shape, np.nan)


def logsumexp(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return scipy.special.logsumexp(a, axis=axis, keepdims=keepdims)


REDUCTIONS = [
    reduction("sum", np.sum, SHIFTED, absolute=8.0),
    reduction("prod", np.prod, Draw(0.6, 1.5, integers=(1, 3)), ulps=32.0, variants=(*AXES[:9], *EMPTY)),
    reduction("max", np.max, DISTINCT, variants=(*AXES, Variant((0, 3), axis=1))),
    reduction("min", np.min, DISTINCT, variants=(*AXES, Variant((0, 3), axis=1))),
    reduction("mean", mean, SHIFTED, integers="float", ulps=3.0, absolute=8.0),
    reduction("var", moment(np.var), integers="float", ulps=10.0, absolute=8.0),
    reduction(
        "var_ddof",
        moment(np.var),
        function="var",
        integers="float",
        ulps=10.0,
        absolute=8.0,
        variants=[Variant((5, 7), axis=1, ddof=1), Variant((5, 7), axis=None, ddof=2)],
        dtypes=("float32", "float64", "int32"),
    ),
    reduction(
        "std",
        moment(np.std),
        integers="float",
        ulps=10.0,
        absolute=8.0,
        # Without the scalar: the square root has no slope at the zero variance of one value.
        variants=[variant for variant in AXES + EMPTY if variant.shapes != ((),)],
    ),
    reduction("all", np.all, WHOLE, differentiable=()),
    reduction("any", np.any, WHOLE, differentiable=()),
    reduction("argmax", np.argmax, DISTINCT, variants=ONE_AXIS, differentiable=()),
    reduction("argmin", np.argmin, DISTINCT, variants=ONE_AXIS, differentiable=()),
    reduction(
        "logsumexp",
        logsumexp,
        dtypes=REAL,
        integers="float",
        ulps=4.0,
        absolute=2.0,
        variants=AXES,
    ),
    reduction(
        "softmax",
        scipy.special.softmax,
        dtypes=REAL,
        # MLX rounds the softmax of integers to integers unless the axis is the last one.
        oracle_dtypes=FLOATS,
        integers="float",
        ulps=8.0,
        variants=(
            Variant((5, 7), axis=-1),
            Variant((5, 7), axis=0),
            Variant((5, 7), axis=None),
            Variant((2, 3, 4), axis=(0, 2)),
            Variant((33, 65), axis=-1),
            Variant((), axis=None),
        ),
    ),
    reduction(
        "softmax_precise",
        lambda a, axis, precise: scipy.special.softmax(a, axis=axis),
        function="softmax",
        dtypes=("float32", "float16", "bfloat16"),
        ulps=8.0,
        variants=[Variant((5, 7), axis=-1, precise=True), Variant((33, 65), axis=0, precise=True)],
    ),
]

PRODUCTS = [
    OpCase(
        "matmul",
        lambda module, a, b: module.matmul(a, b),
        np.matmul,
        draws=(ANY, ANY),
        variants=[
            Variant((5, 7), (7, 3)),
            Variant((7,), (7,)),
            Variant((7,), (7, 3)),
            Variant((5, 7), (7,)),
            Variant((2, 5, 7), (7, 3)),
            Variant((2, 1, 5, 7), (3, 7, 4)),
            Variant((7,), (2, 7, 3)),
            Variant((1, 1), (1, 1)),
            Variant((33, 17), (17, 65)),
            Variant((64, 80), (80, 48)),
            Variant((5, 0), (0, 3)),
            Variant((0, 7), (7, 3)),
        ],
        dtypes=INEXACT,
        absolute=4.0,
        differentiable=(0, 1),
    ),
    OpCase(
        "addmm",
        lambda module, c, a, b, **options: module.addmm(c, a, b, **options),
        lambda c, a, b, alpha=1.0, beta=1.0: alpha * (a @ b) + beta * c,
        draws=(ANY, ANY, ANY),
        variants=[
            Variant((5, 3), (5, 7), (7, 3)),
            Variant((3,), (5, 7), (7, 3), alpha=2.0, beta=0.5),
            Variant((), (2, 5, 7), (7, 3)),
            Variant((5, 1), (5, 7), (7, 3), beta=0.0),
            Variant((4, 3), (4, 0), (0, 3)),
        ],
        dtypes=INEXACT,
        ulps=4.0,
        absolute=4.0,
        differentiable=(0, 1, 2),
    ),
    OpCase(
        "inner",
        lambda module, a, b: module.inner(a, b),
        np.inner,
        draws=(ANY, ANY),
        variants=[Variant((5, 7), (3, 7)), Variant((7,), (7,)), Variant((2, 5, 7), (7,))],
        dtypes=INEXACT,
        absolute=4.0,
        differentiable=(0, 1),
    ),
    OpCase(
        "outer",
        lambda module, a, b: module.outer(a, b),
        np.outer,
        draws=(ANY, ANY),
        variants=[Variant((5,), (7,)), Variant((2, 3), (4,)), Variant((0,), (3,))],
        dtypes=ALL_DTYPES,
        differentiable=(0, 1),
    ),
    OpCase(
        "tensordot",
        lambda module, a, b, axes: module.tensordot(a, b, axes=axes),
        np.tensordot,
        draws=(ANY, ANY),
        variants=[
            Variant((2, 3, 4), (3, 4, 5), axes=2),
            Variant((5, 7), (7, 3), axes=1),
            Variant((2, 3, 4), (4, 2, 5), axes=[[0, 2], [1, 0]]),
        ],
        dtypes=INEXACT,
        absolute=4.0,
        differentiable=(0, 1),
    ),
]

REDUCTION_CASES = REDUCTIONS + PRODUCTS
