"""einsum's subscripts, paths and errors; functions on recorded graphs."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tarry.core as mx
from oracle import dtype_name, mlx, requires_oracle

# Subscripts with the shapes of their operands.
SUBSCRIPTS: list[tuple[Any, ...]] = [
    ("ij,jk,kl", (2, 3), (3, 4), (4, 5)),
    ("iij,j->i", (3, 3, 2), (2,)),
    ("iii->i", (3, 3, 3)),
    ("ijij->", (2, 3, 2, 3)),
    (",i->i", (), (3,)),
    ("", ()),
    (" i j , j k -> k i", (2, 3), (3, 4)),
    ("aB,Bc", (2, 3), (3, 4)),
    ("...ij,jk", (5, 2, 3), (3, 4)),
    ("i...,i->...", (3, 4, 5), (3,)),
    ("i,j,k->kij", (2,), (3,), (4,)),
    ("a,a,a->a", (3,), (3,), (3,)),
    ("ij,jk->ki", (0, 3), (3, 4)),
    ("ij,jk->ik", (2, 0), (0, 4)),
    ("ijk,ilm,njm,nlk,abc->", (2, 3, 4), (2, 5, 2), (3, 3, 2), (3, 5, 4), (2, 2, 2)),
    ("ab,bc,cd,de,ef,fg,gh->ah", (2, 3), (3, 4), (4, 5), (5, 6), (6, 2), (2, 3), (3, 4)),
]


@pytest.mark.parametrize("row", SUBSCRIPTS, ids=lambda row: row[0])
def test_subscripts(row: tuple[Any, ...]) -> None:
    random = np.random.default_rng(1)
    operands = [random.normal(size=shape) for shape in row[1:]]
    found = mx.einsum(row[0], *[mx.array(value, mx.float64) for value in operands])
    expected = np.einsum(row[0], *operands)
    assert found.shape == expected.shape
    np.testing.assert_allclose(np.array(found), expected, rtol=1e-12, atol=1e-12)


@requires_oracle
@pytest.mark.parametrize(
    ("subscripts", "dtypes"),
    [
        ("i->", ("int8",)), ("i->", ("bool",)), ("i,j->ij", ("int8", "int8")), ("i,i->i", ("int16", "uint8")),
        ("i,i->", ("int32", "float16")), ("i,i->", ("float16", "bfloat16")),
        ("i,i->", ("float32", "complex64")),
    ],
)  # fmt: skip
def test_dtypes_are_those_of_mlx(subscripts: str, dtypes: tuple[str, ...]) -> None:
    results = []
    for module in (mx, mlx):
        kinds = [getattr(module, "bool_" if name == "bool" else name) for name in dtypes]
        results.append(dtype_name(module.einsum(subscripts, *[module.ones((3,), kind) for kind in kinds])))
    assert results[0] == results[1]


def test_extents_of_one_broadcast() -> None:
    """As in MLX; NumPy allows it with an ellipsis only."""
    assert mx.einsum("ij,jk", mx.ones((2, 1)), mx.ones((3, 4))).tolist() == [[3] * 4] * 2
    assert mx.einsum("ij,j->i", mx.ones((1, 3)), mx.ones((1,))).tolist() == [3]


def a(*shape: int) -> mx.array:
    return mx.ones(shape)


ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: mx.einsum("ijk,jk", a(2, 3), a(3, 4)), ValueError, "3 subscripts"),
    (lambda: mx.einsum("...ijk", a(2, 3)), ValueError, "3 subscripts"),
    (lambda: mx.einsum("ij,jk,kl", a(2, 3), a(3, 4)), ValueError, "number of operands"),
    (lambda: mx.einsum("ij,jk->iz", a(2, 3), a(3, 4)), ValueError, "'z'"),
    (lambda: mx.einsum("ij,jk->ii", a(2, 3), a(3, 4)), ValueError, "Repeated"),
    (lambda: mx.einsum("..ij->ij", a(5, 2, 3)), ValueError, "letters"),
    (lambda: mx.einsum("i1", a(2, 3)), ValueError, "letters"),
    (lambda: mx.einsum("ij"), ValueError, "At least one"),
    (lambda: mx.einsum("ii->i", a(3, 4)), ValueError, "repeated"),
    (lambda: mx.einsum("ij,jk", a(2, 5), a(3, 4)), ValueError, "differ"),
    (lambda: mx.einsum("ij,jk", mx.ones((2, 2), mx.int32), mx.ones((2, 2), mx.int32)), ValueError, "inexact"),
    (lambda: mx.einsum("ij,jk", [a(2, 3), a(3, 4)]), RuntimeError, "arrays"),
    (lambda: mx.einsum(a(2), "i"), TypeError, "a string"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS)
def test_errors(call: Callable[[], Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()


def test_paths() -> None:
    shapes = [(2, 3), (3, 4), (4, 5)]
    path, text = mx.einsum_path("ij,jk,kl->il", *[a(*shape) for shape in shapes])
    assert path == [(0, 1), (0, 1)] and "Optimized FLOP count:  128\n" in text
    # The small result first: a row vector goes through the chain from the left.
    path, _ = mx.einsum_path("ij,jk,k->i", a(9, 9), a(9, 9), a(9))
    assert path == [(1, 2), (0, 1)]
    assert mx.einsum_path("ij->ji", a(2, 3))[0] == [(0,)]
    many = "ab,bc,cd,de,ef,fg,gh->ah"
    path, _ = mx.einsum_path(many, *[a(3, 3)] * 7)
    assert len(path) == 6 and path[-1] == (0, 1)


@requires_oracle
@pytest.mark.parametrize("row", [("ij,jk->", (2, 3), (3, 3)), ("ij->", (2, 3)), ("i,j->ij", (2,), (3,))])
def test_costs_are_counted_as_in_mlx(row: tuple[Any, ...]) -> None:
    ours = mx.einsum_path(row[0], *[mx.ones(shape) for shape in row[1:]])
    assert ours == mlx.einsum_path(row[0], *[mlx.ones(shape) for shape in row[1:]])


def test_hadamard_matrices() -> None:
    """Rows are orthogonal, for every order; other lengths are refused."""
    for size in (1, 2, 12, 20, 28, 24, 56, 128, 320):
        matrix = np.array(mx.hadamard_transform(mx.eye(size), scale=1.0))
        assert set(np.unique(matrix)) <= {-1.0, 1.0}
        np.testing.assert_array_equal(matrix @ matrix.T, size * np.eye(size))
    with pytest.raises(ValueError, match="m \\* 2\\*\\*k"):
        mx.hadamard_transform(mx.ones(36))
    with pytest.raises(ValueError, match="empty"):
        mx.hadamard_transform(mx.ones((2, 0)))


@requires_oracle
@pytest.mark.parametrize("size", [12, 20, 28, 96, 80, 14 * 64, 4096])
def test_hadamard_as_mlx_does(size: int) -> None:
    values = np.random.default_rng(2).normal(size=(2, size)).astype(np.float32)
    found, expected = [np.array(m.hadamard_transform(m.array(values))) for m in (mx, mlx)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@requires_oracle
def test_forms_of_products_of_parts() -> None:
    """What indices and masks may be left out, and vectors."""
    random = np.random.default_rng(4)
    left, right = [random.normal(size=shape).astype(np.float32) for shape in ((5, 2, 4), (5, 4, 3))]

    def run(module: Any) -> list[Any]:
        a, b = module.array(left), module.array(right)
        places = module.array([[1], [0]])
        rows = module.array([[1.0], [2.0]])
        return [
            module.gather_mm(a, b),
            module.gather_mm(a, b, rhs_indices=module.array([4, 0, 1, 1, 3])),
            module.gather_mm(a[:2], b, module.array([0, 1]), places),
            module.gather_mm(a[0, 0], b, rhs_indices=module.array([2])),
            module.block_masked_mm(a, b, 32),
            module.block_masked_mm(a[0], b[0], 32, mask_lhs=module.array([[True]])),
            module.block_masked_mm(module.tile(a[0], (32, 1)), b[0], 32, rows),
            module.segmented_mm(a[0], b[0], module.array([[[0, 4]], [[1, 3]]])),
        ]

    for ours, theirs in zip(run(mx), run(mlx), strict=True):
        np.testing.assert_allclose(np.array(ours), np.array(theirs), rtol=1e-5, atol=1e-5)


# graphs


def test_simplify_merges_equal_operations() -> None:
    x = mx.array([1.0, 2.0])
    total = mx.exp(x) + mx.exp(x) * mx.exp(x)
    expected = np.exp([1.0, 2.0]) + np.exp([1.0, 2.0]) ** 2
    text = io.StringIO()
    simplified = mx.simplify(total)
    mx.export_to_dot(text, total)
    assert text.getvalue().count('label="Exp"') == 1 and simplified is total
    np.testing.assert_allclose(np.array(total), expected, rtol=1e-6)
    assert len(mx.simplify(x, total)) == 2
    tree = {"loss": mx.exp(x), "gradients": [mx.exp(x)]}
    assert mx.simplify(tree) is tree and tree["loss"]._node is tree["gradients"][0]._node
    with pytest.raises(ValueError, match="At least one"):
        mx.simplify()


def test_export_to_dot(tmp_path: Path) -> None:
    x, y = mx.array([1.0, 2.0]), mx.array([3.0, 4.0])
    file = tmp_path / "graph.dot"
    mx.export_to_dot(file, x * y + mx.exp(x), x=x)
    text = file.read_text(encoding="utf-8")
    assert text.startswith("digraph {\n") and text.endswith("}\n")
    assert '{ rank=source; "x"; }' in text and text.count("rank=source") == 2
    assert text.count("shape=rectangle") == 3 and text.count("rank=sink") == 1
    assert all(f'label="{name}"' in text for name in ("Multiply", "Exp", "Add"))
    with pytest.raises(ValueError, match=r"\[export_to_dot\] Expected arrays"):
        mx.export_to_dot(file, 1.0)


def test_depends() -> None:
    x, y = mx.array([1.0]), mx.array([2.0])
    found = mx.depends(x, y)
    assert found is not x and found.tolist() == [1]
    assert [value.tolist() for value in mx.depends((x, y), [y])] == [[1], [2]]
    assert mx.grad(lambda t: mx.sum(mx.depends(t, y) * 3))(x).tolist() == [3]
    with pytest.raises(RuntimeError, match=r"\[depends\] Expected arrays"):
        mx.depends(x, [1.0])
