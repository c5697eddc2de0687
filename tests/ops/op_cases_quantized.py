"""Rows of the op table: eight-bit floats, and quantised matrices, compared through what they stand for.

That the packed words are those of MLX is tested in `test_quantized.py`.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from oracle import FLOATS

from .op_case import ANY, Draw, OpCase, Variant, index

BITS = Draw(integers=(0, 2**32), dtype="uint32")
SCALES = Draw(0.1, 1.0)
SMALL = Draw(0.01, 0.05)


def unpacked(words: np.ndarray, bits: int) -> np.ndarray:
    """The numbers in rows of words, bit by bit."""
    flags = (words[..., None] >> np.arange(32, dtype=np.uint32)) & 1
    flags = flags.reshape(*words.shape[:-1], -1, bits)
    return (flags << np.arange(bits)).sum(-1)


def affine(words: np.ndarray, scales: np.ndarray, biases: np.ndarray, bits: int) -> np.ndarray:
    numbers = unpacked(words, bits).astype(np.float64)
    group = numbers.shape[-1] // scales.shape[-1]
    return numbers * scales.repeat(group, -1) + biases.repeat(group, -1)


def chosen(x: Any, words: Any, scales: Any, biases: Any, left: Any, right: Any) -> np.ndarray:
    matrices = affine(words, scales, biases, 4)
    return x[left] @ matrices[right].swapaxes(-1, -2)


QUANTIZED_CASES: list[OpCase] = [
    OpCase(
        "from_fp8",
        lambda module, a, dtype: module.from_fp8(a, getattr(module, dtype)),
        lambda a, dtype: a.view(ml_dtypes.float8_e4m3fn).astype(np.float64),
        draws=(index(0, 256, "uint8"),),
        variants=[Variant((5, 7), dtype="float32"), Variant((300,), dtype="float16")],
        dtypes=("uint8",),
        ulps=0.0,
    ),
    OpCase(
        "to_fp8",
        lambda module, a: module.to_fp8(a),
        lambda a: np.clip(a, -448, 448).astype(ml_dtypes.float8_e4m3fn).view(np.uint8),
        dtypes=FLOATS,
        oracle_dtypes=("float16", "bfloat16", "float32"),
    ),
    *[
        OpCase(
            f"dequantize_{bits}",
            lambda module, *parts, bits: module.dequantize(*parts, bits=bits, group_size=32),
            affine,
            draws=(BITS, SCALES, ANY),
            variants=[Variant((3, 2 * bits), (3, 2), (3, 2), bits=bits)],
            dtypes=("float32", "float64"),
            ulps=4,
            absolute=4,
            differentiable=(1, 2),
        )
        for bits in (1, 2, 3, 4, 5, 6, 8)
    ],
    OpCase(
        "quantized_matmul",
        lambda module, *parts, transpose: module.quantized_matmul(*parts, transpose, group_size=32),
        lambda x, *parts, transpose: x @ (affine(*parts, 4).T if transpose else affine(*parts, 4)),
        draws=(ANY, BITS, SMALL, ANY),
        variants=[
            Variant((3, 64), (5, 8), (5, 2), (5, 2), transpose=True),
            Variant((6, 64), (5, 8), (5, 2), (5, 2), transpose=True),
            Variant((2, 5), (5, 8), (5, 2), (5, 2), transpose=False),
        ],
        dtypes=("float32", "float64"),
        ulps=4,
        absolute=32,
        differentiable=(0, 2, 3),
        oracle_dtypes=("float32",),
    ),
    OpCase(
        "gather_qmm",
        lambda module, *parts: module.gather_qmm(*parts, group_size=32),
        chosen,
        draws=(ANY, BITS, SMALL, ANY, index(0, 3), index(0, 2)),
        variants=[Variant((3, 2, 32), (2, 4, 4), (2, 4, 1), (2, 4, 1), (5,), (5,))],
        dtypes=("float32", "float64"),
        ulps=4,
        absolute=32,
        differentiable=(0, 2, 3),
        oracle_dtypes=("float32",),
        oracle_gradients=False,
    ),
]
