"""Rows of the op table: sorting, scans, convolutions. `op_case.OpCase` says what the fields mean."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from oracle import FLOATS, REAL

from .op_case import ANY, DISTINCT, WHOLE, Draw, OpCase, Variant

ALONG = (
    Variant((5, 7), axis=1),
    Variant((5, 7), axis=0),
    Variant((5, 7), axis=None),
    Variant((2, 3, 4), axis=-2),
    Variant((3, 70), axis=-1),
    Variant((0, 3), axis=0),
    Variant((0, 3), axis=1),
    Variant((1, 1), axis=1),
)
SORTED = tuple(REAL)


def along(name: str, reference: Callable[..., Any], **fields: Any) -> OpCase:
    def call(module: Any, a: Any, **options: Any) -> Any:
        return getattr(module, name)(a, **options)

    fields.setdefault("variants", ALONG)
    return OpCase(name, call, reference, **fields)


def flat(function: Callable[..., Any]) -> Callable[..., Any]:
    """The reference with the array flattened for an axis of None, as NumPy does for some functions only."""

    def run(a: np.ndarray, axis: Any = None, **options: Any) -> Any:
        if axis is None:
            a, axis = a.reshape(-1), 0
        return function(a, axis=axis, **options)

    return run


def scanned(function: np.ufunc) -> Callable[..., Any]:
    def run(a: np.ndarray, axis: int, reverse: bool = False, inclusive: bool = True, start: Any = 0) -> Any:
        turned = np.flip(a, axis) if reverse else a
        result = function.accumulate(turned, axis=axis, dtype=turned.dtype) if turned.size else turned
        if not inclusive and result.size:
            edge = np.full_like(np.take(result, [0], axis), start)
            kept = np.take(result, range(result.shape[axis] - 1), axis)
            result = np.concatenate([edge, kept], axis)
        return np.flip(result, axis) if reverse else result

    return flat(run)


SCANS = (
    *ALONG,
    Variant((4, 9), axis=1, reverse=True),
    Variant((4, 9), axis=0, inclusive=False),
    Variant((9,), axis=0, reverse=True, inclusive=False),
    Variant((3, 1500), axis=0),
)
FORWARD = (*ALONG, Variant((4, 9), axis=1, reverse=True))
NUMBERS = ("float32", "int32", "int64", "uint8", "float16", "bfloat16", "float64")


def windows(x: np.ndarray, w: np.ndarray, stride: int, low: int, dilation: int, groups: int) -> np.ndarray:
    """A one-dimensional convolution by its definition."""
    x = np.pad(x, ((0, 0), (low, low), (0, 0)))
    span = dilation * (w.shape[1] - 1) + 1
    places = (x.shape[1] - span) // stride + 1
    result = np.zeros((x.shape[0], places, w.shape[0]), np.result_type(x, w))
    inside, outside = x.shape[2] // groups, w.shape[0] // groups
    for place, k, group in itertools.product(range(places), range(w.shape[1]), range(groups)):
        taken = x[:, place * stride + k * dilation, group * inside : (group + 1) * inside]
        kernel = w[group * outside : (group + 1) * outside, k]
        result[:, place, group * outside : (group + 1) * outside] += taken @ kernel.T
    return result


def conv1d(module: Any, x: Any, w: Any, stride: int, low: int, dilation: int, groups: int) -> Any:
    return module.conv1d(x, w, stride=stride, padding=low, dilation=dilation, groups=groups)


def transposed(module: Any, x: Any, w: Any, stride: int, cut: int) -> Any:
    return module.conv_transpose1d(x, w, stride=stride, padding=cut)


def spread(x: np.ndarray, w: np.ndarray, stride: int, cut: int) -> np.ndarray:
    length = (x.shape[1] - 1) * stride + w.shape[1]
    result = np.zeros((x.shape[0], length, w.shape[0]), np.result_type(x, w))
    for place, k in itertools.product(range(x.shape[1]), range(w.shape[1])):
        result[:, place * stride + k] += x[:, place] @ w[:, k].T
    return result[:, cut : length - cut]


ORDERING_CASES: list[OpCase] = [
    along("sort", flat(np.sort), draws=(WHOLE,), dtypes=(*SORTED, "complex64"), ulps=0),
    OpCase(
        "sort_distinct",
        lambda module, a, **options: module.sort(a, **options),
        flat(np.sort),
        draws=(DISTINCT,),
        variants=ALONG,
        dtypes=("float32", "float64"),
        ulps=0,
        differentiable=(0,),
        primitives=("Sort",),
    ),
    along(
        "argsort",
        flat(lambda a, axis: np.argsort(a, axis=axis, kind="stable").astype(np.uint32)),
        draws=(WHOLE,),
        dtypes=SORTED,
        ulps=0,
        primitives=("ArgSort",),
    ),
    OpCase(
        "topk",
        lambda module, a, k: module.sort(module.topk(a, k)),
        lambda a, k: np.sort(a, axis=-1)[..., a.shape[-1] - k :],
        draws=(DISTINCT,),
        variants=(Variant((5, 7), k=3), Variant((40,), k=40), Variant((2, 3), k=0)),
        dtypes=("float32", "int32"),
        ulps=0,
    ),
    along(
        "median",
        lambda a, axis: np.median(a, axis=axis),
        draws=(DISTINCT,),
        variants=(Variant((5, 7), axis=1), Variant((5, 8), axis=(0, 1)), Variant((4, 3), axis=None)),
        dtypes=("float32", "int32", "float64"),
        integers="float",
        differentiable=(0,),
        oracle_gradients=False,
    ),
    OpCase(
        "searchsorted",
        lambda module, a, v, side: module.searchsorted(module.sort(a), v, side=side),
        lambda a, v, side: np.searchsorted(np.sort(a), v, side=side).astype(np.uint32),
        draws=(WHOLE, WHOLE),
        variants=[Variant((n,), (4, 5), side=side) for n in (1, 8, 33) for side in ("left", "right")],
        dtypes=("float32", "int32"),
        ulps=0,
        mapped=False,
    ),
    along(
        "cumsum",
        scanned(np.add),
        variants=SCANS,
        dtypes=NUMBERS,
        ulps=4,
        absolute=64,
        differentiable=(0,),
        primitives=("Scan",),
    ),
    along(
        "cumprod",
        lambda a, **options: scanned(np.multiply)(a, start=1, **options),
        draws=(Draw(0.5, 1.5, integers=(1, 2)),),
        variants=SCANS,
        dtypes=("float32", "int32", "float64"),
        ulps=64,
        absolute=64,
        differentiable=(0,),
        oracle_gradients=False,
    ),
    along(
        "cummax",
        scanned(np.maximum),
        draws=(DISTINCT,),
        variants=FORWARD,
        dtypes=NUMBERS,
        ulps=0,
        differentiable=(0,),
        smooth=False,
        oracle_gradients=False,
    ),
    along(
        "cummin",
        scanned(np.minimum),
        draws=(DISTINCT,),
        variants=FORWARD,
        dtypes=NUMBERS,
        ulps=0,
        differentiable=(0,),
        smooth=False,
        oracle_gradients=False,
    ),
    along(
        "logcumsumexp",
        scanned(np.logaddexp),
        variants=FORWARD,
        dtypes=("float32", "float64"),
        ulps=16,
        absolute=16,
        differentiable=(0,),
        oracle_gradients=False,
    ),
    OpCase(
        "conv1d",
        conv1d,
        windows,
        draws=(ANY, ANY),
        variants=[
            Variant((2, 9, 4), (6, 3, 4 // groups), stride=stride, low=low, dilation=dilation, groups=groups)
            for stride, low, dilation, groups in ((1, 0, 1, 1), (2, 1, 1, 1), (1, 2, 2, 2), (3, 0, 2, 1))
        ],
        dtypes=tuple(FLOATS),
        ulps=4,
        absolute=32,
        differentiable=(0, 1),
        primitives=("Convolution", "Windows"),
        oracle_gradients=False,
    ),
    OpCase(
        "conv_transpose1d",
        transposed,
        spread,
        draws=(ANY, ANY),
        variants=[Variant((2, 5, 3), (4, 3, 3), stride=s, cut=cut) for s in (1, 2, 3) for cut in (0, 1)],
        dtypes=("float32", "float64"),
        ulps=4,
        absolute=32,
        differentiable=(0, 1),
        oracle_gradients=False,
    ),
]
