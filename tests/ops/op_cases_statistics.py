"""Rows of the op table: special functions, parts of floating-point numbers, nan-reductions, statistics of
samples, lookups and windows. `op_case.OpCase` says what the fields mean.

MLX has few of them: where there is no oracle, NumPy, SciPy and finite differences judge alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special
import scipy.stats

from oracle import BOOL, FLOATS, INTEGERS, REAL, SIGNED
from tarry.ops import random_distributions, special
from tarry.ops.elementwise import elementwise

from .op_case import ANY, DISTINCT, FLOAT_SPECIALS, NONZERO, POSITIVE, Draw, OpCase, Variant
from .op_cases_elementwise import binary, predicate, unary
from .op_cases_reductions import AXES, SHIFTED

# Away from the poles at 0, -1, -2, ...
BETWEEN_POLES = Draw(-1.9, -1.1, integers=(1, 6))
ALONE: dict[str, Any] = {"oracle_dtypes": (), "oracle_gradients": False}
SMALL_INTEGERS = Draw(integers=(-4, 5), dtype="int32")
COUNTS = Draw(integers=(0, 9), dtype="int32")


def named(name: str, reference: Callable[..., Any], variants: Any, *draws: Draw, **fields: Any) -> OpCase:
    """A row for the public function of that name."""
    return OpCase(
        name,
        lambda module, *arrays, **options: getattr(module, name)(*arrays, **options),
        reference,
        draws=draws,
        variants=variants,
        **fields,
    )


def trigamma(x: Any) -> Any:
    return scipy.special.polygamma(1, x)


def direct(name: str, primitive: Any, reference: Callable[..., Any], **fields: Any) -> OpCase:
    """A row for a primitive that only derivatives use."""
    return OpCase(
        name,
        lambda module, a: elementwise(primitive, (a,)),
        reference,
        draws=(POSITIVE,),
        dtypes=("float32", "float64"),
        ulps=4.0,
        **ALONE,
        **fields,
    )


SPECIAL = [
    unary("erfc", scipy.special.erfc, dtypes=REAL, ulps=2.0, **ALONE),
    unary("lgamma", scipy.special.gammaln, POSITIVE, dtypes=REAL, absolute=4.0, specials=(), **ALONE),
    unary("digamma", scipy.special.digamma, POSITIVE, dtypes=REAL, absolute=8.0, specials=(), **ALONE),
    direct("trigamma", special._TRIGAMMA, trigamma, differentiable=(0,), smooth=False),
    direct("tetragamma", special._TETRAGAMMA, lambda x: scipy.special.polygamma(2, x)),
]


def reflected(name: str, reference: Callable[..., Any], function: str) -> OpCase:
    """A row for negative numbers, which are computed by reflection."""
    fields = {"dtypes": ("float32", "float64"), "absolute": 16.0, **ALONE}
    row = unary(name, reference, BETWEEN_POLES, specials=(), ulps=4.0, **fields)
    row.function = lambda module, a: getattr(module, function)(a)
    row.smooth = function == "digamma"
    return row


def signed_pair(reference: Callable[..., Any]) -> Callable[..., Any]:
    return lambda a, b: reference(a.astype(np.float64), b.astype(np.float64))


PARTS = [
    binary(
        "copysign", signed_pair(np.copysign), NONZERO, NONZERO, dtypes=REAL, integers="float", **ALONE
    ),
    binary("hypot", signed_pair(np.hypot), NONZERO, NONZERO, dtypes=REAL, integers="float", **ALONE),
    # The reference's neighbours are those of float64: tests/core/test_statistics.py compares the bits.
    binary(
        "nextafter",
        np.nextafter,
        NONZERO,
        NONZERO,
        dtypes=("float32", "float64"),
        specials=(),
        smooth=False,
        **ALONE,
    ),
    predicate("signbit", np.signbit, dtypes=FLOATS + SIGNED, **ALONE),
    OpCase(
        "ldexp",
        lambda module, a, n: module.ldexp(a, n),
        lambda a, n: np.ldexp(a.astype(np.float64), n),
        draws=(ANY, SMALL_INTEGERS),
        variants=[Variant((5, 7), (5, 7)), Variant((5, 7), (7,)), Variant((), (3,)), Variant((0, 3), (3,))],
        dtypes=REAL,
        integers="float",
        ulps=0.0,
        differentiable=(0,),
        **ALONE,
    ),
    OpCase(
        "frexp",
        lambda module, a: module.frexp(a),
        lambda a: [np.frexp(a)[0], np.frexp(a)[1] * np.isfinite(a)],
        draws=(Draw(1.1, 1.9, signed=True, integers=(-9, 9)),),
        dtypes=REAL,
        integers="float",
        ulps=0.0,
        specials=FLOAT_SPECIALS,
        **ALONE,
    ),
    OpCase(
        "frexp_mantissa",
        lambda module, a: module.frexp(a)[0],
        lambda a: np.frexp(a)[0],
        draws=(Draw(1.1, 1.9, signed=True),),
        dtypes=("float32", "float64"),
        differentiable=(0,),
        **ALONE,
    ),
]


ALONG_EITHER_AXIS = (Variant((5, 7), axis=1), Variant((5, 7), axis=0))


def with_gaps(a: Any) -> Any:
    """The same in both worlds: nan where the first decimal is small."""
    return np.where(np.abs(a) < 0.5, np.nan, a) if a.dtype.kind in "fc" else a


def nan_reduction(name: str, **fields: Any) -> OpCase:
    """A row whose function puts gaps into its input, as its reference does."""

    def function(module: Any, a: Any, **options: Any) -> Any:
        if str(a.dtype).rsplit(".", 1)[-1] in ("float16", "float32", "float64", "bfloat16"):
            a = module.where(module.abs(a) < 0.5, float("nan"), a)
        return getattr(module, name)(a, **options)

    def reference(a: Any, **options: Any) -> Any:
        with warnings.catch_warnings():
            # NumPy warns where nothing is a number.
            warnings.simplefilter("ignore")
            return getattr(np, name)(with_gaps(a), **options)

    fields.setdefault("dtypes", REAL)
    fields.setdefault("variants", AXES[:6])
    fields.setdefault("differentiable", (0,))
    return OpCase(name, function, reference, draws=(fields.pop("draw", DISTINCT),), **ALONE, **fields)


NAN_REDUCTIONS = [
    nan_reduction("nansum", draw=SHIFTED, absolute=8.0),
    nan_reduction("nanprod", draw=Draw(0.6, 1.5, integers=(1, 3)), ulps=32.0),
    nan_reduction("nanmax"),
    nan_reduction("nanmin"),
    nan_reduction("nanmean", draw=SHIFTED, ulps=3.0, absolute=8.0),
    nan_reduction("nanvar", ulps=10.0, absolute=8.0),
    # Not for rows so short that a single number may be left: the root has no slope at 0.
    nan_reduction("nanstd", ulps=10.0, absolute=8.0, variants=AXES[:4]),
    nan_reduction("nanargmax", differentiable=(), variants=ALONG_EITHER_AXIS),
    nan_reduction("nanargmin", differentiable=(), variants=ALONG_EITHER_AXIS),
]


def diff(a: Any, n: int, axis: int) -> Any:
    """In MLX the differences of booleans are booleans."""
    return np.diff(a, n, axis)


MATRICES = [
    named(
        "diff",
        diff,
        [Variant((5, 7), n=1, axis=-1), Variant((5, 7), n=3, axis=0), Variant((5,), n=0, axis=0),
         Variant((2, 3), n=4, axis=1)],
        ANY,
        ulps=8.0,
        absolute=8.0,
        differentiable=(0,),
    ),
    named(
        "trace",
        lambda a, offset, axis1, axis2: np.trace(a, offset, axis1, axis2),
        [Variant((5, 7), offset=0, axis1=0, axis2=1), Variant((2, 3, 4), offset=1, axis1=2, axis2=0),
         Variant((3, 3), offset=-1, axis1=-2, axis2=-1)],
        ANY,
        absolute=4.0,
        differentiable=(0,),
    ),
    named(
        "kron",
        np.kron,
        [Variant((5, 3), (2, 3)), Variant((4,), (2, 2)), Variant((2, 2, 2), (3,)), Variant((), (3, 2))],
        ANY,
        ANY,
        differentiable=(0, 1),
    ),
    named(
        "cross",
        lambda a, b, axis: np.cross(a, b, axis=axis),
        [Variant((5, 3), (5, 3), axis=-1), Variant((3, 4), (3, 4), axis=0)],
        ANY,
        ANY,
        dtypes=(*INTEGERS, *FLOATS),
        absolute=4.0,
        differentiable=(0, 1),
        **ALONE,
    ),
]  # fmt: skip


def average(a: Any, weights: Any, axis: Any) -> Any:
    return np.average(a, axis, weights)


SAMPLES = [
    OpCase(
        "average",
        lambda module, a, weights, axis: module.average(a, axis, weights),
        average,
        draws=(ANY, POSITIVE),
        variants=[
            Variant((5, 7), (5, 7), axis=1),
            Variant((5, 7), (5,), axis=0),
            Variant((5, 7), (5, 7), axis=None),
        ],
        dtypes=("float32", "float64", "int32"),
        integers="float",
        ulps=8.0,
        absolute=8.0,
        differentiable=(0, 1),
        **ALONE,
    ),
    named(
        "cov",
        lambda m, **options: np.cov(m, **options),
        [Variant((3, 8)), Variant((8, 3), rowvar=False), Variant((3, 8), bias=True), Variant((9,))],
        ANY,
        dtypes=("float32", "float64", "complex64", "int32"),
        integers="float",
        ulps=8.0,
        absolute=16.0,
        differentiable=(0,),
        **ALONE,
    ),
    named(
        "corrcoef",
        np.corrcoef,
        [Variant((3, 8)), Variant((2, 5))],
        ANY,
        dtypes=("float32", "float64", "int32"),
        integers="float",
        ulps=8.0,
        absolute=16.0,
        differentiable=(0,),
        **ALONE,
    ),
    OpCase(
        "bincount",
        lambda module, x, weights, length: module.bincount(x, weights, length=length),
        lambda x, weights, length: np.bincount(x, weights, length)[:length],
        draws=(COUNTS, ANY),
        variants=[
            Variant((40,), (40,), length=9),
            Variant((40,), (40,), length=4),
            Variant((0,), (0,), length=3),
        ],
        dtypes=("float32", "float64"),
        absolute=16.0,
        differentiable=(1,),
        **ALONE,
    ),
    OpCase(
        "histogram",
        lambda module, a, **options: list(module.histogram(a, **options)),
        lambda a, **options: list(np.histogram(a, **options)),
        draws=(Draw(-2.0, 2.0),),
        variants=[Variant((50,), bins=4, range=(-2, 2)), Variant((5, 9), bins=7, range=(-1, 3))],
        dtypes=("float32", "float64", "int32"),
        ulps=4.0,
        **ALONE,
    ),
]

LOOKUPS = [
    named(
        "isin",
        lambda a, b, **options: np.isin(a, b, **options),
        [
            Variant((5, 7), (3,)),
            Variant((5, 7), (40,)),
            Variant((6,), (2, 2), invert=True),
            Variant((3,), (0,)),
        ],
        Draw(whole=True),
        Draw(whole=True),
        dtypes=(*BOOL, *INTEGERS, "float32", "float64", "complex64"),
        **ALONE,
    ),
    OpCase(
        "interp",
        lambda module, x, heights: module.interp(x, module.arange(9).astype(x.dtype) / 2 - 2, heights),
        lambda x, heights: np.interp(x, np.arange(9) / 2 - 2, heights),
        draws=(Draw(-2.4, 2.4), ANY),
        variants=[Variant((5, 7), (9,)), Variant((), (9,)), Variant((0, 3), (9,))],
        dtypes=("float32", "float64"),
        ulps=8.0,
        absolute=8.0,
        differentiable=(0, 1),
        **ALONE,
    ),
    OpCase(
        "unravel_index",
        lambda module, a, shape: module.unravel_index(a, shape),
        lambda a, shape: np.unravel_index(a, shape),
        draws=(Draw(integers=(0, 24)),),
        variants=[Variant((5, 7), shape=(2, 3, 4)), Variant((), shape=(24,))],
        dtypes=("int32", "uint8", "int64"),
        **ALONE,
    ),
]


def window(name: str) -> OpCase:
    """A row for a window function, which has no inputs."""
    return OpCase(
        name,
        lambda module, M: getattr(module, name)(M),
        lambda M: getattr(np, name)(M),
        draws=(),
        variants=[Variant(M=9), Variant(M=8), Variant(M=1), Variant(M=0), Variant(M=2)],
        dtypes=("float32",),
        ulps=2.0,
        absolute=1.0,
    )


RANDOM = [
    OpCase(
        "poisson_inversion",
        lambda module, mean, word: random_distributions._small_poisson(mean, word),
        lambda mean, word: scipy.stats.poisson.ppf((word + 0.5) * 2.0**-32, mean),
        draws=(Draw(0.1, 9.9), Draw(integers=(0, 2**32), dtype="uint32")),
        variants=[Variant((300,), (300,))],
        dtypes=("float32",),
        **ALONE,
    ),
]

STATISTICS_CASES = [
    *SPECIAL,
    reflected("lgamma_reflected", scipy.special.gammaln, "lgamma"),
    reflected("digamma_reflected", scipy.special.digamma, "digamma"),
    *PARTS,
    *NAN_REDUCTIONS,
    *MATRICES,
    *SAMPLES,
    *LOOKUPS,
    *[window(name) for name in ("bartlett", "blackman", "hamming", "hanning")],
    *RANDOM,
]
