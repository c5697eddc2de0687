"""The same programs in Tarry and in the MLX wheel: conventions of derivatives, how transforms compose."""

from __future__ import annotations

import numpy as np
import pytest

import tarry.core as mx
from oracle import mlx, requires_oracle, to_numpy

pytestmark = requires_oracle

# Name: (function of the module and an array, where).
CONVENTIONS = {
    "abs": (lambda m, x: m.abs(x).sum(), [-2.0, 0.0, 3.0]),
    "relu": (lambda m, x: m.maximum(x, 0).sum(), [-2.0, 0.0, 3.0]),
    "maximum-tie": (lambda m, x: m.maximum(x, m.array([1.0, 2.0, 3.0])).sum(), [1.0, 3.0, 2.0]),
    "maximum-tie-second": (lambda m, x: m.maximum(m.array([1.0, 2.0, 3.0]), x).sum(), [1.0, 3.0, 2.0]),
    "minimum-tie": (lambda m, x: m.minimum(x, m.array([1.0, 2.0, 3.0])).sum(), [1.0, 3.0, 2.0]),
    "max-ties": (lambda m, x: m.max(x), [1.0, 3.0, 3.0]),
    "min-ties": (lambda m, x: m.min(x), [1.0, 1.0, 3.0]),
    "clip-edges": (lambda m, x: m.clip(x, 0.0, 1.0).sum(), [-1.0, 0.0, 0.5, 1.0, 2.0]),
    "sqrt-zero": (lambda m, x: m.sqrt(x).sum(), [0.0, 4.0]),
    "power-zero": (lambda m, x: (x**3).sum(), [0.0, 2.0]),
    "floor-divide": (lambda m, x: (x // 2.0).sum(), [3.0, 5.0]),
    "remainder": (lambda m, x: (m.array([7.0, -7.0]) % x).sum(), [3.0, 2.0]),
    "prod-zeros": (lambda m, x: m.prod(x), [0.0, 2.0, 3.0]),
    "rounding": (lambda m, x: (m.round(x) + m.floor(x) + m.sign(x)).sum(), [0.2, 1.7]),
    "where": (lambda m, x: m.where(x > 0, m.sqrt(x), 0.0).sum(), [0.0, 4.0]),
    "logsumexp": (lambda m, x: m.logsumexp(x), [0.0, 4.0, -1.0]),
    "softmax": (lambda m, x: (m.softmax(x) * m.array([1.0, 2.0, 3.0])).sum(), [0.0, 4.0, -1.0]),
    "take": (lambda m, x: (x[m.array([0, 0, 2])] * m.array([1.0, 2.0, 3.0])).sum(), [0.0, 4.0, -1.0]),
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_conventions(name):
    function, at = CONVENTIONS[name]
    found = []
    for module in (mx, mlx):
        gradient = module.grad(lambda x, module=module: function(module, x))(module.array(at))
        found.append(to_numpy(module, gradient))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda m, z: (z * z).sum(),
        lambda m, z: (z * m.conjugate(z)).sum(),
        lambda m, z: m.abs(z).sum(),
        lambda m, z: (m.real(z) * m.imag(z)).sum(),
    ],
    ids=["square", "norm", "abs", "parts"],
)
def test_complex_gradients(function):
    found = []
    for module in (mx, mlx):
        z = module.array(np.array([2 + 1j, -1 + 0.5j], dtype=np.complex64))
        found.append(to_numpy(module, module.grad(lambda z, m=module: function(m, z))(z)))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def _compositions(m, x):
    def function(x):
        return (m.sin(x) * m.exp(-x * x)).sum()

    yield m.grad(function)(x)
    yield m.grad(lambda x: m.grad(function)(x).sum())(x)
    yield m.vmap(m.grad(lambda x: m.sin(x) * x))(x)
    yield m.grad(lambda x: m.vmap(lambda a: m.sin(a) * a)(x).sum())(x)
    yield m.jvp(m.grad(function), [x], [m.ones_like(x)])[1][0]
    yield m.vmap(lambda a: m.vmap(lambda b: a * b - a)(x))(x)
    yield m.vmap(lambda a: (a, x), out_axes=(0, None))(x)[1]
    yield m.vmap(lambda a: (a, x), out_axes=(0, 0))(x)[1]
    yield m.vmap(m.grad(m.grad(lambda a: a**3 + m.exp(a))))(x)
    yield m.vmap(lambda t: m.jvp(function, [x], [t])[1][0])(m.eye(x.size))


def test_compositions():
    values = np.array([0.3, -1.2, 2.0], dtype=np.float32)
    ours, theirs = _compositions(mx, mx.array(values)), _compositions(mlx, mlx.array(values))
    for mine, reference in zip(ours, theirs, strict=True):
        assert tuple(mine.shape) == tuple(reference.shape)
        np.testing.assert_allclose(to_numpy(mx, mine), to_numpy(mlx, reference), rtol=2e-5, atol=1e-6)


def _writes(m):
    x = m.array([1.0, 2.0, 3.0])
    other = m.zeros(3)
    tree = {"w": m.array(2.0), "l": [m.array([1.0, 2.0])]}

    def function(x, other, tree):
        other[0] = 5.0
        x[1] = x[0] * 2
        tree["w"] = tree["w"] * 3
        tree["l"][0][0] = 7.0
        return (x * other).sum() + tree["w"] * tree["l"][0].sum()

    gradients = m.grad(function, argnums=(0, 2))(x, other, tree)
    return [gradients[0], gradients[1]["w"], gradients[1]["l"][0], x, other, tree["w"], tree["l"][0]]


def test_writes_into_arguments():
    for mine, reference in zip(_writes(mx), _writes(mlx), strict=True):
        np.testing.assert_allclose(to_numpy(mx, mine), to_numpy(mlx, reference))
