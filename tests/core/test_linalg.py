"""mx.linalg: values against NumPy and SciPy, derivatives against finite differences in double precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import scipy.linalg

import tarry.core as mx

L = mx.linalg
Function = Callable[..., Any]
DTYPES = ("float32", "float64", "complex64")
TOLERANCE = {"float32": 2e-4, "float64": 1e-9, "complex64": 2e-4}


def wide(dtype: str) -> type:
    return np.complex128 if dtype == "complex64" else np.float64


def draw(generator: np.random.Generator, shape: Sequence[int], dtype: str) -> np.ndarray:
    values = generator.normal(size=tuple(shape))
    if dtype == "complex64":
        values = values + 1j * generator.normal(size=tuple(shape))
    return values.astype(dtype).astype(wide(dtype))


def to_tarry(value: np.ndarray, dtype: str) -> mx.array:
    return mx.array(value.astype(dtype), dtype=getattr(mx, dtype))


def h(a: Any) -> Any:
    """The adjoint, in either library."""
    return np.conj(np.swapaxes(a, -1, -2)) if isinstance(a, np.ndarray) else mx.conj(mx.swapaxes(a, -1, -2))


def positive(a: Any) -> Any:
    """A positive definite matrix made of any."""
    size = a.shape[-1]
    return a @ h(a) + (np.eye(size) if isinstance(a, np.ndarray) else mx.eye(size, dtype=a.dtype))


def hermitian(a: Any) -> Any:
    return (a + h(a)) * 0.5


def weights(a: Any) -> Any:
    """Different numbers for the columns of a matrix, of its dtype."""
    count = a.shape[-1]
    if isinstance(a, np.ndarray):
        return np.arange(1, count + 1) ** 2
    return mx.square(mx.arange(1, count + 1)).astype(a.dtype)


def projected(u: Any, v: Any) -> Any:
    """U diag(1, 4, 9...) V^H: does not depend on the phases of pairs of vectors."""
    return (u * weights(u)) @ h(v)


# NumPy's side of what NumPy has no function for


def lu_reference(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _, lower, upper = scipy.linalg.lu(a)
    return lower, upper


def thin(a: Any, parts: Any) -> tuple[Any, Any, Any]:
    u, s, vh = parts
    rank = min(a.shape[-2:])
    return u[..., :, :rank], s, vh[..., :rank, :]


def svd_function(svd: Function) -> Function:
    def call(a: Any) -> Any:
        u, s, vh = thin(a, svd(a))
        return projected(u, h(vh)), s

    return call


def complement_function(svd: Function) -> Function:
    """Functions of the spaces that are orthogonal to the ranges of A and A^H."""

    def call(a: Any) -> Any:
        u, s, vh = svd(a)
        rank = s.shape[-1]
        left, right = u[..., :, rank:], vh[..., rank:, :]
        return left @ h(left), h(right) @ right

    return call


def eig_function(eig: Function) -> Function:
    def call(a: Any) -> Any:
        values, vectors = eig(a)
        magnitude = (np if isinstance(a, np.ndarray) else mx).abs(vectors)
        return values, magnitude * magnitude

    return call


def qr_function(qr: Function) -> Function:
    def call(a: Any) -> Any:
        q, r = qr(a)
        # Divided by the phases of the diagonal of R.
        library = np if isinstance(a, np.ndarray) else mx
        rank = q.shape[-1]
        diagonal = library.diagonal(r[..., :, :rank], 0, -2, -1)
        phase = diagonal / library.abs(diagonal)
        return q * phase[..., None, :], r / phase[..., :, None]

    return call


def triangle_of(a: Any, upper: bool) -> Any:
    library = np if isinstance(a, np.ndarray) else mx
    size = a.shape[-1]
    shifted = a + 3 * (np.eye(size) if isinstance(a, np.ndarray) else mx.eye(size, dtype=a.dtype))
    return library.triu(shifted) if upper else library.tril(shifted)


SQUARE = [(4, 4)]
TALL_AND_WIDE = [(5, 3), (3, 5), (4, 4)]
# name, shapes of the matrices, Tarry's function, NumPy's.
CASES: list[tuple[str, list[tuple[int, ...]], Function, Function]] = [
    ("inv", SQUARE, lambda a: L.inv(a), np.linalg.inv),
    ("pinv", TALL_AND_WIDE, lambda a: L.pinv(a), np.linalg.pinv),
    ("det", SQUARE, lambda a: L.det(a), np.linalg.det),
    ("slogdet", SQUARE, lambda a: L.slogdet(a), np.linalg.slogdet),
    ("expm", SQUARE, lambda a: L.expm(a * 0.5), lambda a: scipy.linalg.expm(a * 0.5)),
    ("cholesky", SQUARE, lambda a: L.cholesky(positive(a)), lambda a: np.linalg.cholesky(positive(a))),
    (
        "cholesky upper",
        SQUARE,
        lambda a: L.cholesky(positive(a), True),
        lambda a: h(np.linalg.cholesky(positive(a))),
    ),
    (
        "cholesky_inv",
        SQUARE,
        lambda a: L.cholesky_inv(L.cholesky(positive(a))),
        lambda a: np.linalg.inv(positive(a)),
    ),
    (
        "cholesky_inv upper",
        SQUARE,
        lambda a: L.cholesky_inv(L.cholesky(positive(a), upper=True), upper=True),
        lambda a: np.linalg.inv(positive(a)),
    ),
    (
        "tri_inv",
        SQUARE,
        lambda a: L.tri_inv(a + 3 * mx.eye(4, dtype=a.dtype)),
        lambda a: np.linalg.inv(triangle_of(a, False)),
    ),
    (
        "tri_inv upper",
        SQUARE,
        lambda a: L.tri_inv(a + 3 * mx.eye(4, dtype=a.dtype), True),
        lambda a: np.linalg.inv(triangle_of(a, True)),
    ),
    ("qr", TALL_AND_WIDE, qr_function(lambda a: L.qr(a)), qr_function(np.linalg.qr)),
    ("lu", TALL_AND_WIDE, lambda a: L.lu(a)[1:], lu_reference),
    ("svd", TALL_AND_WIDE, svd_function(lambda a: L.svd(a)), svd_function(np.linalg.svd)),
    (
        "svd complement",
        [(5, 3), (3, 5)],
        complement_function(lambda a: L.svd(a)),
        complement_function(np.linalg.svd),
    ),
    (
        "svd values",
        TALL_AND_WIDE,
        lambda a: L.svd(a, compute_uv=False),
        lambda a: np.linalg.svd(a, compute_uv=False),
    ),
    ("eigh values", SQUARE, lambda a: L.eigh(hermitian(a))[0], lambda a: np.linalg.eigh(hermitian(a))[0]),
    (
        "eigh vectors",
        SQUARE,
        lambda a: projected(*[L.eigh(hermitian(a), "U")[1]] * 2),
        lambda a: projected(*[np.linalg.eigh(hermitian(a), "U")[1]] * 2),
    ),
    ("eigvalsh", SQUARE, lambda a: L.eigvalsh(hermitian(a)), lambda a: np.linalg.eigvalsh(hermitian(a))),
    ("matrix_power", SQUARE, lambda a: L.matrix_power(a, -3), lambda a: np.linalg.matrix_power(a, -3)),
    ("cond", SQUARE, lambda a: L.cond(a), np.linalg.cond),
    ("cond 1", SQUARE, lambda a: L.cond(a, 1), lambda a: np.linalg.cond(a, 1)),
    (
        "lstsq",
        [(5, 3)],
        lambda a: L.lstsq(a[:, :2], a[:, 2])[0],
        lambda a: np.linalg.lstsq(a[:, :2], a[:, 2])[0],
    ),
]
# In complex64 only, whatever the dtype of the matrix.
SINGLE_CASES: list[tuple[str, list[tuple[int, ...]], Function, Function]] = [
    ("eig", SQUARE, eig_function(lambda a: L.eig(a)), eig_function(np.linalg.eig)),
    ("eigvals", SQUARE, lambda a: L.eigvals(a), np.linalg.eigvals),
]
NORMS: list[tuple[Any, Any]] = [
    (order, axis)
    for axis, orders in (
        (1, (None, 0, 1, 2, 3, -1, np.inf, -np.inf)),
        ((0, 1), (None, 1, -1, 2, -2, np.inf, -np.inf, "fro", "nuc")),
        ((1, 0), (1, np.inf, 2)),
    )
    for order in orders
]
for order, axis in NORMS:
    CASES.append(
        (
            f"norm {order} {axis}",
            [(4, 3)],
            lambda a, order=order, axis=axis: L.norm(a, order, axis),
            lambda a, order=order, axis=axis: np.linalg.norm(a, order, axis),
        )
    )
ROWS = [
    (name, shape, dtype, function, reference)
    for table, dtypes in ((CASES, DTYPES), (SINGLE_CASES, ("float32", "complex64")))
    for name, shapes, function, reference in table
    for shape in shapes
    for dtype in dtypes
]
NAMES = [f"{name}-{'x'.join(map(str, shape))}-{dtype}" for name, shape, dtype, _, _ in ROWS]
every_row = pytest.mark.parametrize("name, shape, dtype, function, reference", ROWS, ids=NAMES)


def several(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (list, tuple)) else [result]


def close(found: Any, expected: np.ndarray, dtype: str, label: str, factor: float = 1.0) -> None:
    scale = float(np.abs(expected).max(initial=1e-3))
    tolerance = TOLERANCE[dtype] * factor * max(scale, 1.0)
    np.testing.assert_allclose(np.array(found), expected, rtol=0, atol=tolerance, err_msg=label)


@every_row
def test_values(
    name: str, shape: Any, dtype: str, function: Function, reference: Function, generator: np.random.Generator
) -> None:
    a = draw(generator, shape, dtype)
    for found, expected in zip(several(function(to_tarry(a, dtype))), several(reference(a)), strict=True):
        close(found, expected, dtype, name, 5)


@every_row
def test_derivatives(
    name: str, shape: Any, dtype: str, function: Function, reference: Function, generator: np.random.Generator
) -> None:
    """Forward against finite differences; backward against forward: <cotangent, J t> = <J^T cotangent, t>."""
    a, t = draw(generator, shape, dtype), draw(generator, shape, dtype)
    step = 1e-6
    expected = [
        (high - low) / (2 * step)
        for high, low in zip(several(reference(a + step * t)), several(reference(a - step * t)))
    ]
    outputs, tangents = mx.jvp(function, [to_tarry(a, dtype)], [to_tarry(t, dtype)])
    for found, value in zip(tangents, expected, strict=True):
        close(found, value, dtype, name, 300 if dtype == "float64" else 50)
    cotangents = [
        draw(generator, value.shape, dtype if str(value.dtype).endswith("complex64") else "float32")
        for value in outputs
    ]
    given = [mx.array(c).astype(value.dtype) for c, value in zip(cotangents, outputs)]
    gradient = np.array(mx.vjp(function, [to_tarry(a, dtype)], given)[1][0])
    left = sum(np.vdot(c, v).real for c, v in zip(cotangents, expected))
    right = np.vdot(gradient.astype(wide(dtype)), t).real
    scale = 1 + sum(
        np.abs(c).max(initial=0) * np.abs(v).max(initial=0) * v.size for c, v in zip(cotangents, expected)
    )
    assert abs(left - right) <= (1e-6 if dtype == "float64" and name != "eig" else 2e-3) * scale, name


@pytest.mark.parametrize(
    "name, shape, dtype, function, reference",
    [row for row in ROWS if row[2] != "float64"],
    ids=[name for name in NAMES if not name.endswith("float64")],
)
def test_vmap(
    name: str, shape: Any, dtype: str, function: Function, reference: Function, generator: np.random.Generator
) -> None:
    batch = np.stack([draw(generator, shape, dtype) for _ in range(3)], axis=1)
    found = several(mx.vmap(function, in_axes=1, out_axes=0)(to_tarry(batch, dtype)))
    for place in range(3):
        single = several(function(to_tarry(batch[:, place], dtype)))
        for whole, part in zip(found, single, strict=True):
            close(whole[place], np.array(part), dtype, name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("upper", [None, False, True])
@pytest.mark.parametrize("columns", [None, 2])
def test_systems(dtype: str, upper: bool | None, columns: int | None, generator: np.random.Generator) -> None:
    a, t = draw(generator, (2, 4, 4), dtype), draw(generator, (2, 4, 4), dtype)
    shape = (4,) if columns is None else (2, 4, columns)
    b, s = draw(generator, shape, dtype), draw(generator, shape, dtype)

    def function(a: Any, b: Any) -> Any:
        if upper is None:
            return L.solve(a, b)
        return L.solve_triangular(a + 3 * mx.eye(4, dtype=a.dtype), b, upper=upper)

    def reference(a: Any, b: Any) -> Any:
        matrix = a if upper is None else triangle_of(a, upper)
        right = b[:, None] if columns is None else b
        solution = np.linalg.solve(matrix, np.broadcast_to(right, (2, *right.shape[-2:])))
        return solution[..., 0] if columns is None else solution

    step = 1e-6
    expected = (reference(a + step * t, b + step * s) - reference(a - step * t, b - step * s)) / (2 * step)
    outputs, tangents = mx.jvp(
        function, [to_tarry(a, dtype), to_tarry(b, dtype)], [to_tarry(t, dtype), to_tarry(s, dtype)]
    )
    close(outputs[0], reference(a, b), dtype, "value", 20)
    close(tangents[0], expected, dtype, "tangent", 300)
    cotangent = draw(generator, expected.shape, dtype)
    _, gradients = mx.vjp(function, [to_tarry(a, dtype), to_tarry(b, dtype)], [to_tarry(cotangent, dtype)])
    right = np.vdot(np.array(gradients[0]), t).real + np.vdot(np.array(gradients[1]), s).real
    scale = 1 + np.abs(cotangent).max() * np.abs(expected).sum()
    assert abs(np.vdot(cotangent, expected).real - right) < (1e-6 if dtype == "float64" else 1e-3) * scale


def test_second_derivatives(generator: np.random.Generator) -> None:
    a, t = draw(generator, (3, 3), "float64"), draw(generator, (3, 3), "float64")
    losses: list[Function] = [
        lambda x: mx.sum(mx.square(L.inv(x))),
        lambda x: mx.square(L.det(x)),
        lambda x: mx.sum(L.cholesky(positive(x))),
        lambda x: mx.sum(L.svd(x)[0] * x),
        lambda x: mx.sum(L.expm(x)),
        lambda x: mx.sum(mx.square(L.qr(x)[0][0])),
        lambda x: mx.sum(L.eigh(hermitian(x))[1] ** 4),
        lambda x: mx.sum(L.lu(x)[1] * x),
    ]
    for loss in losses:
        gradient = mx.grad(loss)
        step = 1e-5
        high = np.array(gradient(to_tarry(a + step * t, "float64")))
        low = np.array(gradient(to_tarry(a - step * t, "float64")))
        along = mx.grad(lambda x, gradient=gradient: mx.sum(gradient(x) * to_tarry(t, "float64")))
        expected = (high - low) / (2 * step)
        np.testing.assert_allclose(np.array(along(to_tarry(a, "float64"))), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["inv", "cholesky", "tri_inv", "cholesky_inv"])
def test_errors_under_transforms_name_the_function(name: str) -> None:
    function, singular = getattr(L, name), mx.zeros((2, 3, 3))
    with pytest.raises(RuntimeError, match=rf"^\[{name}\] .*test_linalg\.py:"):
        mx.eval(mx.vmap(function)(singular))
    lost = mx.full((2, 3, 3), float("nan"))
    with pytest.raises(RuntimeError, match=r"^\[eigh\] "):
        mx.eval(mx.vmap(L.eigh)(lost))
    with pytest.raises(RuntimeError, match=r"^\[inv\] "):
        mx.eval(mx.vmap(mx.grad(lambda a: L.inv(a).sum()))(singular))
    with pytest.raises(RuntimeError, match=r"^\[det\] "):
        mx.eval(mx.grad(lambda a: L.det(a).sum())(lost))


def test_gradient_of_the_determinant_of_a_singular_matrix() -> None:
    a = mx.array([[1.0, 2.0], [2.0, 4.0]])
    np.testing.assert_allclose(np.array(mx.grad(L.det)(a)), [[4, -2], [-2, 1]], atol=1e-5)
    np.testing.assert_allclose(np.array(mx.grad(L.det)(mx.zeros((3, 3)))), np.zeros((3, 3)), atol=1e-7)


def test_factors_multiply_to_the_matrix(generator: np.random.Generator) -> None:
    for shape in [(2, 5, 5), (5, 3), (2, 3, 5)]:
        a = generator.normal(size=shape).astype(np.float32)
        x = mx.array(a)
        p, lower, upper = L.lu(x)
        permuted = mx.take_along_axis(lower, mx.broadcast_to(p[..., None], lower.shape), axis=-2)
        np.testing.assert_allclose(np.array(permuted @ upper), a, atol=1e-5)
        packed, pivots = L.lu_factor(x)
        assert pivots.dtype == mx.uint32 and pivots.shape == (*shape[:-2], min(shape[-2:]))
        np.testing.assert_allclose(
            np.array(mx.triu(packed))[..., : min(shape[-2:]), :], np.array(upper), atol=1e-6
        )
        u, s, vh = L.svd(x)
        assert u.shape[-1] == shape[-2] and vh.shape[-2] == shape[-1]
        rank = min(shape[-2:])
        np.testing.assert_allclose(
            np.array((u[..., :rank] * s[..., None, :]) @ vh[..., :rank, :]), a, atol=1e-5
        )
    values, vectors = L.eig(mx.array(a[..., :3]))
    np.testing.assert_allclose(
        np.array(mx.array(a[..., :3]).astype(mx.complex64) @ vectors),
        np.array(vectors * values[..., None, :]),
        atol=1e-4,
    )


def test_ranks_and_least_squares(generator: np.random.Generator) -> None:
    left, right = generator.normal(size=(6, 2)), generator.normal(size=(2, 4))
    a, b = (left @ right).astype(np.float32), generator.normal(size=(6, 3)).astype(np.float32)
    assert L.matrix_rank(mx.array(a), tol=1e-4).item() == 2
    x, residuals, rank, values = L.lstsq(mx.array(a), mx.array(b), rcond=1e-4)
    expected, _, expected_rank, expected_values = np.linalg.lstsq(a.astype(float), b, rcond=1e-4)
    np.testing.assert_allclose(np.array(x), expected, atol=1e-4)
    np.testing.assert_allclose(np.array(residuals), np.sum((a @ expected - b) ** 2, axis=0), rtol=1e-4)
    assert rank.item() == expected_rank
    np.testing.assert_allclose(np.array(values), expected_values, atol=1e-5)


def test_cross(generator: np.random.Generator) -> None:
    a, b = generator.normal(size=(2, 3, 5)).astype("f"), generator.normal(size=(3, 5)).astype("f")
    found = L.cross(mx.array(a), mx.array(np.broadcast_to(b, (2, 3, 5)).copy()), axis=1)
    np.testing.assert_allclose(np.array(found), np.cross(a, b[None], axis=1), atol=1e-6)
    flat = L.cross(mx.array(a[:, :2]), mx.array(a[::-1, :2].copy()), axis=1)
    expected = a[:, 0] * a[::-1, 1] - a[:, 1] * a[::-1, 0]
    np.testing.assert_allclose(np.array(flat)[:, 2], expected, atol=1e-6)
    gradient = mx.grad(lambda x: L.cross(x, mx.array(b), axis=0).sum())(mx.array(a[0]))
    np.testing.assert_allclose(np.array(gradient), np.cross(b, np.ones((3, 5)), axis=0), atol=1e-5)


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda: L.inv(mx.zeros((2, 3, 3))), "inv.*Singular"),
        (lambda: L.solve(mx.ones((2, 2)), mx.ones((2,))), "solve.*Singular"),
        (lambda: L.solve_triangular(mx.zeros((2, 2)), mx.ones((2,))), "solve_triangular.*Singular"),
        (lambda: L.tri_inv(mx.zeros((2, 2))), "tri_inv.*Singular"),
        (lambda: L.cholesky(-mx.eye(2)), "cholesky.*positive definite"),
        (lambda: L.svd(mx.full((2, 2), float("nan")))[0], "svd.*converge"),
        (lambda: L.eig(mx.full((2, 2), float("inf")))[1], "eig.*infs or NaNs"),
        (lambda: L.matrix_power(mx.zeros((2, 2)), -1), "matrix_power.*Singular"),
        (lambda: mx.grad(lambda x: mx.sum(L.det(x) * L.inv(x)))(mx.zeros((2, 2))), "inv.*Singular"),
    ],
)
def test_failures_at_evaluation(function: Function, message: str) -> None:
    recorded = function()
    with pytest.raises(RuntimeError, match=message) as caught:
        mx.eval(recorded)
    assert __file__ in str(caught.value)


@pytest.mark.parametrize(
    "function, error",
    [
        (lambda: L.inv(mx.ones((2, 3))), ValueError),
        (lambda: L.inv(mx.ones((3,))), ValueError),
        (lambda: L.inv(mx.ones((2, 2), dtype=mx.int32)), ValueError),
        (lambda: L.inv([[1.0]]), TypeError),
        (lambda: L.qr(mx.ones((2, 2), dtype=mx.float16)), ValueError),
        (lambda: L.solve(mx.ones((2, 2)), mx.ones((3,))), ValueError),
        (lambda: L.solve(mx.ones((2, 2)), mx.array(1.0)), ValueError),
        (lambda: L.eigh(mx.eye(2), "X"), ValueError),
        (lambda: L.det(mx.ones((2, 3))), ValueError),
        (lambda: L.cross(mx.ones((4,)), mx.ones((4,))), ValueError),
        (lambda: L.cross(mx.ones((3,)), mx.ones((3,)), axis=1), IndexError),
        (lambda: L.norm(mx.ones((2, 2)), "x"), ValueError),
        (lambda: L.norm(mx.ones((2,)), "fro"), ValueError),
        (lambda: L.norm(mx.ones((2, 2, 2)), 2), ValueError),
        (lambda: L.norm(mx.ones((2, 2)), axis=2), IndexError),
        (lambda: L.lstsq(mx.ones((2, 2)), mx.ones((3,))), ValueError),
        (lambda: L.matrix_power(mx.eye(2), 1.5), TypeError),
        (lambda: L.matrix_norm(mx.ones((2,))), ValueError),
    ],
)
def test_errors(function: Function, error: type[Exception]) -> None:
    with pytest.raises(error):
        function()


def test_norm_dtypes() -> None:
    assert L.norm(mx.array([3, 4])).dtype == mx.float32
    assert L.norm(mx.array([3.0, 4.0], dtype=mx.float16)).dtype == mx.float16
    assert L.norm(mx.array([3 + 4j])).item() == 5.0
    assert L.norm(mx.ones((2, 3, 4)), keepdims=True).shape == (1, 1, 1)
    assert L.vector_norm(mx.ones((2, 2, 2)), axis=(0, 2)).shape == (2,)
    assert L.norm(mx.ones((2, 3, 4)), 2, axis=(0, 2)).shape == (3,)
