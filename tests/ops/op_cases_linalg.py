"""Rows of the op table: Fourier transforms and linear algebra. `op_case.OpCase` says what the fields mean.

Vectors that are determined up to a factor come in products that do not depend on it. The matrices are far
from singular, so that float32 gets close to the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg

import tarry.core as mx

from .op_case import ANY, OpCase, Variant

SQUARE = (Variant((4, 4)), Variant((2, 3, 3)))
OBLONG = (Variant((5, 3)), Variant((2, 3, 5)))


def adjoint(a: Any) -> Any:
    library = np if isinstance(a, np.ndarray) else None
    if library is None:
        return a.conj().swapaxes(-1, -2) if "complex" in str(a.dtype) else a.swapaxes(-1, -2)
    return np.conj(np.swapaxes(a, -1, -2))


def regular(module: Any, a: Any) -> Any:
    """A matrix far from singular made of any."""
    size = a.shape[-1]
    return a * 0.3 + (np.eye(size) if module is np else module.eye(size).astype(a.dtype)) * 3


def definite(module: Any, a: Any) -> Any:
    moved = regular(module, a)
    return moved @ adjoint(moved)


def spread(module: Any, a: Any) -> Any:
    """A matrix whose eigenvalues are far from each other."""
    size = a.shape[-1]
    steps = np.diag(3.0 * np.arange(size))
    return a * 0.3 + (steps if module is np else module.array(steps, dtype=module.float32).astype(a.dtype))


def transform(name: str, *variants: Variant, **fields: Any) -> OpCase:
    """A row for a function of mx.fft that NumPy has, too."""
    fields.setdefault("dtypes", ("float32", "complex64"))
    return OpCase(
        f"fft.{name}",
        lambda module, a, **options: getattr(module.fft, name)(a, **options),
        lambda a, **options: getattr(np.fft, name)(a, **options),
        variants=variants,
        differentiable=(0,),
        ulps=4.0,
        absolute=8.0,
        oracle_gradients=False,
        **fields,
    )


def widened(a: Any) -> Any:
    """Half types have no linear algebra, but the tests of gradients pass them to every row."""
    return a.astype(mx.float32) if str(a.dtype).endswith("float16") and not isinstance(a, np.ndarray) else a


def matrices(name: str, function: Callable[..., Any], reference: Callable[..., Any], **fields: Any) -> OpCase:
    """A row for a function of matrices. The functions take the module first."""
    fields.setdefault("variants", SQUARE)
    fields.setdefault("dtypes", ("float32", "float64", "complex64"))
    fields.setdefault("oracle_dtypes", ("float32",))
    fields.setdefault("differentiable", tuple(range(len(fields.get("draws", (ANY,))))))
    return OpCase(
        f"linalg.{name}",
        lambda module, *values, **options: function(module, *map(widened, values), **options),
        lambda *values, **options: reference(np, *values, **options),
        ulps=32.0,
        absolute=64.0,
        oracle_gradients=False,
        **fields,
    )


def on_cpu(module: Any) -> dict[str, Any]:
    return {"stream": module.cpu}


def product_of_svd(module: Any, a: Any) -> Any:
    """The nearest matrix with orthonormal columns, U V^H, and the singular values."""
    if module is np:
        u, s, vh = np.linalg.svd(a, full_matrices=False)
    else:
        u, s, vh = module.linalg.svd(a, **on_cpu(module))
        rank = s.shape[-1]
        u, vh = u[..., :rank], vh[..., :rank, :]
    return u @ vh, s


def product_of_eigh(module: Any, a: Any) -> Any:
    a = spread(module, a)
    a = (a + adjoint(a)) * 0.5
    values, vectors = module.linalg.eigh(a, **({} if module is np else on_cpu(module)))
    return values, (vectors * vectors.shape[-1]) @ adjoint(vectors)


def magnitudes_of_eig(module: Any, a: Any) -> Any:
    a = spread(module, a)
    values, vectors = module.linalg.eig(a, **({} if module is np else on_cpu(module)))
    return (values * values).sum(-1), module.abs(vectors).sum(-1).sum(-1)


def square_of_eigvals(module: Any, a: Any) -> Any:
    values = module.linalg.eigvals(spread(module, a), **({} if module is np else on_cpu(module)))
    return (values * values).sum(-1)


def product_of_qr(module: Any, a: Any) -> Any:
    q, r = module.linalg.qr(regular(module, a), **({} if module is np else on_cpu(module)))
    return q @ adjoint(q), adjoint(r) @ r


def factors_of_lu(module: Any, a: Any) -> Any:
    a = regular(module, a)
    if module is np:
        return scipy.linalg.lu(a)[1:]
    return module.linalg.lu(a, **on_cpu(module))[1:]


def same(name: str, prepare: Callable[..., Any] = regular, **fields: Any) -> OpCase:
    """A row for a function that NumPy has by the same name."""

    def call(module: Any, a: Any) -> Any:
        if module is np:
            return getattr(np.linalg, name)(prepare(np, a))
        return getattr(module.linalg, name)(prepare(module, a), **on_cpu(module))

    return matrices(name, call, call, **fields)


def solve(module: Any, a: Any, b: Any) -> Any:
    return module.linalg.solve(regular(module, a), b, **({} if module is np else on_cpu(module)))


def solve_triangular(module: Any, a: Any, b: Any) -> Any:
    a = regular(module, a)
    if module is np:
        return np.linalg.solve(np.tril(a), b)
    return module.linalg.solve_triangular(a, b, **on_cpu(module))


def expm(module: Any, a: Any) -> Any:
    return scipy.linalg.expm(a * 0.5) if module is np else module.linalg.expm(a * 0.5)


def singular_values(module: Any, a: Any) -> Any:
    if module is np:
        return np.linalg.svd(a, compute_uv=False)
    return module.linalg.svd(a, compute_uv=False, **on_cpu(module))


def hermitian(module: Any, a: Any) -> Any:
    a = spread(module, a)
    return (a + adjoint(a)) * 0.5


def norm(module: Any, a: Any, **options: Any) -> Any:
    return module.linalg.norm(a, **options, **({} if module is np else on_cpu(module)))


def cross(module: Any, a: Any, b: Any) -> Any:
    return np.cross(a, b) if module is np else module.linalg.cross(a, b)


LINALG_CASES = [
    transform("fft", Variant((3, 8)), Variant((5, 3), axis=0, n=7), Variant((2, 6), norm="ortho")),
    transform("ifft", Variant((3, 8)), Variant((5, 3), axis=0, n=4)),
    transform("rfft", Variant((3, 8)), Variant((7, 3), axis=0, norm="forward"), dtypes=("float32",)),
    transform("irfft", Variant((3, 5)), Variant((5, 3), axis=0, n=7), dtypes=("complex64",)),
    transform("fftn", Variant((3, 4)), Variant((2, 3, 4), axes=(2, 0))),
    transform("irfftn", Variant((3, 4)), dtypes=("complex64",)),
    transform("hfft", Variant((3, 5)), Variant((5, 3), axis=0, n=7), dtypes=("complex64",), oracle_dtypes=()),
    transform(
        "ihfft",
        Variant((3, 8)),
        Variant((7, 3), axis=0, norm="forward"),
        dtypes=("float32",),
        oracle_dtypes=(),
    ),
    same("inv"),
    same("pinv", lambda module, a: a, variants=OBLONG),
    same("det"),
    same("slogdet", variants=SQUARE),
    same("cholesky", definite),
    same("eigvalsh", hermitian),
    matrices(
        "solve",
        solve,
        solve,
        draws=(ANY, ANY),
        variants=(Variant((4, 4), (4, 2)), Variant((2, 3, 3), (2, 3, 1))),
    ),
    matrices(
        "solve_triangular",
        solve_triangular,
        solve_triangular,
        draws=(ANY, ANY),
        variants=(Variant((4, 4), (4, 2)),),
    ),
    matrices("expm", expm, expm, oracle_dtypes=()),
    matrices("qr", product_of_qr, product_of_qr),
    matrices("lu", factors_of_lu, factors_of_lu),
    matrices("svd", product_of_svd, product_of_svd, variants=OBLONG),
    matrices("singular_values", singular_values, singular_values, variants=OBLONG),
    matrices("eigh", product_of_eigh, product_of_eigh),
    matrices("eig", magnitudes_of_eig, magnitudes_of_eig, dtypes=("float32", "complex64")),
    matrices("eigvals", square_of_eigvals, square_of_eigvals, dtypes=("float32", "complex64")),
    matrices(
        "norm",
        norm,
        norm,
        variants=(Variant((4, 3), ord=2, axis=(0, 1)), Variant((4, 3), ord=3, axis=1), Variant((4, 3))),
    ),
    matrices("cross", cross, cross, draws=(ANY, ANY), variants=(Variant((4, 3), (4, 3)),)),
]
