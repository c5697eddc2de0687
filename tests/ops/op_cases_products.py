"""Rows of the op table: einsum, products of chosen, masked and segmented matrices, the Hadamard transform."""

from __future__ import annotations

from typing import Any

import numpy as np

from oracle import FLOATS, INEXACT

from .op_case import ANY, OpCase, Variant, index

EINSUMS = (
    ("matmul", "ij,jk->ik", (3, 5), (5, 4)),
    ("dot", "i,i->", (7,), (7,)),
    ("outer", "i,j->ji", (3,), (4,)),
    ("batch", "bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    ("rows", "bi,bi->b", (3, 4), (3, 4)),
    ("attention", "bqhd,bkhd->bhqk", (2, 3, 2, 4), (2, 5, 2, 4)),
    ("broadcast", "...ij,...jk->...ik", (2, 3, 4), (1, 4, 5)),
    ("summed", "ij,k->i", (3, 4), (2,)),
    ("diagonal", "ii,ij->j", (3, 3), (3, 4)),
    ("implicit", "ba,ac", (3, 4), (4, 2)),
    ("repeated", "ij,ij->ij", (3, 1), (3, 4)),
)


def einsum_of_two(name: str, subscripts: str, first: tuple[int, ...], second: tuple[int, ...]) -> OpCase:
    return OpCase(
        f"einsum_{name}",
        lambda module, a, b: module.einsum(subscripts, a, b),
        lambda a, b: np.einsum(subscripts, a, b),
        draws=(ANY, ANY),
        variants=[Variant(first, second)],
        dtypes=INEXACT,
        ulps=2,
        absolute=8,
        differentiable=(0, 1),
    )


def gathered(a: np.ndarray, b: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return a.reshape(-1, *a.shape[-2:])[left] @ b.reshape(-1, *b.shape[-2:])[right]


def block_mask(mask: np.ndarray, block: int, shape: tuple[int, ...]) -> np.ndarray:
    rows, columns = shape[-2:]
    return mask.repeat(block, -2).repeat(block, -1)[..., :rows, :columns]


def masked(a: np.ndarray, b: np.ndarray, out: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    product = (a * block_mask(left, 2, a.shape)) @ (b * block_mask(right, 2, b.shape))
    return product * block_mask(out, 2, product.shape)


def segmented(a: np.ndarray, b: np.ndarray, bounds: tuple[tuple[int, int], ...]) -> np.ndarray:
    return np.stack([a[:, start:stop] @ b[start:stop] for start, stop in bounds])


def hadamard(a: Any, scale: float | None = None) -> np.ndarray:
    size = a.shape[-1]
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return a @ matrix * (1 / np.sqrt(size) if scale is None else scale)


PRODUCT_CASES: list[OpCase] = [
    *[einsum_of_two(*row) for row in EINSUMS],
    OpCase(
        "einsum_one",
        lambda module, a, subscripts: module.einsum(subscripts, a),
        lambda a, subscripts: np.einsum(subscripts, a),
        variants=[
            Variant((3, 4), subscripts="ij->ji"),
            Variant((3, 4), subscripts="ij->"),
            Variant((4, 4), subscripts="ii->i"),
            Variant((4, 4), subscripts="ii"),
            Variant((2, 3, 4), subscripts="i...->..."),
        ],
        dtypes=INEXACT,
        ulps=2,
        absolute=8,
        differentiable=(0,),
    ),
    OpCase(
        "einsum_chain",
        lambda module, a, b, c, d: module.einsum("ij,jk,kl,lm->im", a, b, c, d),
        lambda a, b, c, d: np.einsum("ij,jk,kl,lm->im", a, b, c, d),
        draws=(ANY,) * 4,
        variants=[Variant((3, 2), (2, 5), (5, 4), (4, 3))],
        dtypes=("float32", "float64"),
        ulps=4,
        absolute=16,
        differentiable=(0, 1, 2, 3),
    ),
    OpCase(
        "gather_mm",
        lambda module, a, b, left, right: module.gather_mm(a, b, left, right),
        gathered,
        draws=(ANY, ANY, index(0, 3), index(0, 4)),
        variants=[
            Variant((3, 2, 5), (4, 5, 3), (6,), (6,)),
            Variant((3, 2, 5), (2, 2, 5, 3), (2,), (4, 1)),
        ],
        dtypes=FLOATS,
        ulps=2,
        absolute=8,
        differentiable=(0, 1),
        oracle_dtypes=("float32",),
    ),
    OpCase(
        "block_masked_mm",
        lambda module, a, b, out, left, right: module.block_masked_mm(a, b, 2, out, left, right),
        masked,
        draws=(ANY,) * 5,
        variants=[Variant((5, 4), (4, 3), (3, 2), (3, 2), (2, 2))],
        dtypes=("float32", "float64"),
        ulps=4,
        absolute=16,
        differentiable=(0, 1, 2, 3, 4),
        oracle_dtypes=(),
        oracle_gradients=False,
    ),
    OpCase(
        "segmented_mm",
        lambda module, a, b, bounds: module.segmented_mm(a, b, module.array(bounds)),
        segmented,
        draws=(ANY, ANY),
        variants=[Variant((3, 7), (7, 4), bounds=((0, 3), (3, 7), (2, 2)))],
        dtypes=FLOATS,
        ulps=2,
        absolute=8,
        differentiable=(0, 1),
        oracle_dtypes=("float32",),
        oracle_gradients=False,
    ),
    OpCase(
        "hadamard_transform",
        lambda module, a, **options: module.hadamard_transform(a, **options),
        hadamard,
        variants=[Variant((3, 8)), Variant((2, 128)), Variant((2, 3, 4), scale=0.5), Variant((3, 1))],
        dtypes=INEXACT,
        ulps=2,
        absolute=8,
        differentiable=(0,),
        oracle_dtypes=("float32", "float16", "bfloat16"),
    ),
]
