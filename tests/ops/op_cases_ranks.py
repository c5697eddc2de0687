"""Rows of the op table: partitions, quantiles, sorting by several keys, counts and distinct values."""

from __future__ import annotations

from typing import Any

import numpy as np

from oracle import FLOATS, REAL

from .op_case import ANY, DISTINCT, WHOLE, OpCase, Variant
from .op_cases_ordering import flat
from .op_cases_statistics import ALONE, named

PARTITIONS = (
    Variant((5, 7), kth=2, axis=-1),
    Variant((5, 7), kth=-1, axis=0),
    Variant((4, 3), kth=5, axis=None),
    Variant((3, 70), kth=0, axis=1),
)


def pieces(module: Any, a: Any, kth: int, axis: int | None) -> Any:
    """The element in its place, and the ones before and behind it in order: they may come in any."""
    axis = 0 if axis is None else axis
    size = a.shape[axis]
    moved = module.moveaxis(a, axis, -1)
    place = kth % size
    low, high = moved[..., :place], moved[..., place + 1 :]
    return [module.sort(low), moved[..., place], module.sort(high)]


def parted(a: Any, kth: int, axis: int | None) -> Any:
    return pieces(np, flat(np.sort)(a, axis=axis), kth, axis)


def partition(module: Any, a: Any, kth: int, axis: int | None) -> Any:
    return pieces(module, module.partition(a, kth, axis), kth, axis)


def argpartition(module: Any, a: Any, kth: int, axis: int | None) -> Any:
    places = module.argpartition(a, kth, axis)
    if axis is None:
        a, axis = a.reshape(-1), 0
    return pieces(module, module.take_along_axis(a, places, axis), kth, axis)


def quantiles(name: str, scale: float) -> OpCase:
    """A row for `quantile`, and for `percentile`, whose ranks are 100 times as high."""

    def rank(q: Any) -> Any:
        return np.multiply(q, scale).tolist()

    def call(module: Any, a: Any, q: Any, **options: Any) -> Any:
        return getattr(module, name)(a, module.array(rank(q)), **options)

    return OpCase(
        name,
        call,
        lambda a, q, **options: getattr(np, name)(a, rank(q), **options),
        draws=(DISTINCT,),
        variants=[
            Variant((5, 7), q=0.25, axis=1),
            Variant((5, 7), q=[0.0, 0.625, 1.0], axis=0, keepdims=True),
            Variant((4, 3), q=[[0.5, 0.125], [0.25, 0.75]], axis=None),
            Variant((2, 3, 4), q=0.375, axis=(0, 2), method="nearest"),
            Variant((9,), q=0.3125, method="lower"),
            Variant((9,), q=0.3125, method="higher"),
            Variant((8,), q=[0.3125], method="midpoint"),
        ],
        dtypes=("float32", "float64", "int32"),
        integers="float",
        ulps=8.0,
        absolute=4.0,
        differentiable=(0,),
        **ALONE,
    )


def topk(a: Any, k: int, axis: int) -> Any:
    size = a.shape[axis]
    return np.take(np.sort(a, axis=axis), range(size - k, size), axis)


def unique(a: Any, size: int, fill_value: float) -> Any:
    values = np.unique(a)[:size]
    return np.pad(values, (0, size - len(values)), constant_values=fill_value)


RANK_CASES = [
    *[
        OpCase(
            function.__name__,
            function,
            parted,
            draws=(DISTINCT,),
            variants=PARTITIONS,
            dtypes=("float32", "float64", "int32", "float16"),
            ulps=0,
            differentiable=(0,),
            oracle_gradients=False,
        )
        for function in (partition, argpartition)
    ],
    OpCase(
        "topk_along",
        lambda module, a, k, axis: module.sort(module.topk(a, k, axis=axis), axis=axis),
        topk,
        draws=(DISTINCT,),
        variants=(Variant((5, 7), k=3, axis=1), Variant((5, 7), k=2, axis=0), Variant((3, 70), k=9, axis=-1)),
        dtypes=("float32", "float64", "bfloat16"),
        ulps=0,
        differentiable=(0,),
        oracle_gradients=False,
    ),
    quantiles("quantile", 1.0),
    quantiles("percentile", 100.0),
    named(
        "minmax",
        lambda a, **options: [np.min(a, **options), np.max(a, **options)],
        [
            Variant((5, 7), axis=1),
            Variant((5, 7), axis=0, keepdims=True),
            Variant((2, 3, 4), axis=(0, 2)),
            Variant((3, 70), axis=None),
        ],
        DISTINCT,
        dtypes=REAL,
        ulps=0,
        differentiable=(0,),
        oracle_gradients=False,
    ),
    named(
        "count_nonzero",
        np.count_nonzero,
        [
            Variant((5, 7), axis=1),
            Variant((5, 7), axis=None),
            Variant((2, 3, 4), axis=(0, 2), keepdims=True),
            Variant((0, 3), axis=0),
        ],
        WHOLE,
    ),
    OpCase(
        "lexsort",
        lambda module, last, first, axis: module.lexsort((last, first), axis),
        lambda last, first, axis: np.lexsort((last, first), axis),
        draws=(WHOLE, WHOLE),
        variants=[Variant((40,), (40,), axis=-1), Variant((5, 7), (5, 7), axis=0)],
        dtypes=("float32", "int32", "bool"),
        ulps=0,
        **ALONE,
    ),
    OpCase(
        "unique",
        lambda module, a, **options: module.unique(a, **options),
        unique,
        draws=(WHOLE,),
        variants=[Variant((5, 7), size=9, fill_value=0), Variant((40,), size=2, fill_value=0)],
        dtypes=("float32", "int32", "uint8"),
        ulps=0,
        mapped=False,
    ),
    named(
        "histogram_bin_edges",
        lambda a, **options: np.histogram_bin_edges(a, **options),
        [Variant((50,), bins=4), Variant((5, 9), bins=7, range=(-1, 3))],
        ANY,
        dtypes=("float32", "float64"),
        ulps=4.0,
        absolute=2.0,
        **ALONE,
    ),
    named(
        "logical_xor",
        lambda a, b: np.logical_xor(a, b),
        [Variant((5, 7), (5, 7)), Variant((5, 1), (7,)), Variant((), (3,))],
        WHOLE,
        WHOLE,
        dtypes=("bool", "int32", *FLOATS, "complex64"),
        **ALONE,
    ),
]
