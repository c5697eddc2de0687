"""Layers: values against NumPy, dtypes, errors, and the same random draws as MLX."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tarry.core as mx
import tarry.nn as nn


def values(x: mx.array) -> Any:
    return np.array(x)


def dtype_name(x: mx.array) -> str:
    return str(x.dtype).rpartition(".")[2]


def test_linear() -> None:
    layer = nn.Linear(3, 2)
    x = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    expected = x @ values(layer.weight).T + values(layer.bias)
    np.testing.assert_allclose(values(layer(mx.array(x))), expected, rtol=1e-5, atol=1e-5)
    plain = nn.Linear(3, 2, bias=False)
    assert list(plain) == ["weight"] and "bias=False" in repr(plain)
    np.testing.assert_allclose(values(plain(mx.array(x[0, 0]))), x[0, 0] @ values(plain.weight).T, rtol=1e-5)
    assert dtype_name(layer(mx.ones((1, 3), dtype=mx.float16))) == "float32"
    limit = 1 / np.sqrt(3)
    assert np.all(np.abs(values(layer.weight)) <= limit)
    with pytest.raises(ValueError):
        layer(mx.ones((2, 4)))
    with pytest.raises(ValueError, match=r"\[Linear\] input_dims must be at least 1, got 0"):
        nn.Linear(0, 2)


def test_bilinear() -> None:
    layer = nn.Bilinear(2, 3, 4)
    x1 = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    x2 = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    expected = np.einsum("ni,oji,nj->no", x1, values(layer.weight), x2) + values(layer.bias)
    np.testing.assert_allclose(values(layer(mx.array(x1), mx.array(x2))), expected, rtol=1e-4, atol=1e-5)
    assert repr(layer) == "Bilinear(input1_dims=2, input2_dims=3, output_dims=4, bias=True)"


def test_identity_and_sequential() -> None:
    x = mx.ones((2, 3))
    assert nn.Identity(1, key=2)(x) is x
    model = nn.Sequential(nn.Identity(), lambda y: y * 2, nn.ReLU())
    assert values(model(x)).tolist() == [[2, 2, 2]] * 2
    assert len(model.layers) == 3


def test_embedding() -> None:
    layer = nn.Embedding(5, 3)
    table = values(layer.weight)
    np.testing.assert_array_equal(values(layer(mx.array([[0, 4], [2, 2]]))), table[[[0, 4], [2, 2]]])
    np.testing.assert_array_equal(values(layer(3)), table[3])
    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(values(layer.as_linear(mx.array(x))), x @ table.T, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError):
        layer(mx.array([1.0]))


def test_dropout() -> None:
    mx.random.seed(0)
    layer = nn.Dropout(0.25)
    y = values(layer(mx.ones((1000,))))
    assert set(np.unique(y).round(5)) == {0.0, np.float32(1 / 0.75).round(5)}
    assert 0.2 < np.mean(y == 0) < 0.3
    x = mx.ones((3,))
    assert layer.eval()(x) is x
    assert nn.Dropout(0.0)(x) is x
    assert dtype_name(layer.train()(mx.ones((2,), dtype=mx.float16))) == "float16"
    for probability in (1.0, -0.1):
        with pytest.raises(ValueError, match=rf"\[Dropout\] .* {probability} is not in \[0, 1\)"):
            nn.Dropout(probability)


def test_layer_norm() -> None:
    x = np.random.default_rng(0).normal(2, 3, size=(4, 5, 6)).astype(np.float32)
    layer = nn.LayerNorm(6)
    layer.weight, layer.bias = mx.arange(6, dtype=mx.float32), mx.ones(6)
    normal = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(values(layer(mx.array(x))), normal * np.arange(6) + 1, rtol=1e-4, atol=1e-4)
    plain = nn.LayerNorm(6, affine=False)
    np.testing.assert_allclose(values(plain(mx.array(x))), normal, rtol=1e-4, atol=1e-4)
    assert repr(plain) == "LayerNorm(6, eps=1e-05, affine=False)" and not plain
    assert list(nn.LayerNorm(6, bias=False)) == ["weight"]


def test_rms_norm() -> None:
    x = np.random.default_rng(0).normal(2, 3, size=(4, 6)).astype(np.float32)
    expected = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(values(nn.RMSNorm(6)(mx.array(x))), expected, rtol=1e-4, atol=1e-4)


def test_normalization_dtypes_and_errors() -> None:
    half = mx.ones((2, 4), dtype=mx.float16)
    layer, plain = nn.LayerNorm(4), nn.LayerNorm(4, affine=False)
    assert [dtype_name(f(half)) for f in (layer, plain, nn.RMSNorm(4))] == ["float32", "float16", "float32"]
    layer.set_dtype(mx.float16)
    assert dtype_name(layer(half)) == "float16"
    # 1e4 squared is too large for float16: the statistics must not be taken in it.
    large = mx.array([1e4, -1e4, 1e4, -1e4]).astype(mx.float16)
    assert values(plain(large)).tolist() == [1, -1, 1, -1]
    assert dtype_name(nn.LayerNorm(4)(mx.ones((2, 4), dtype=mx.int32))) == "float32"
    with pytest.raises(ValueError, match=r"\[layer_norm\] weight must have the same size"):
        layer(mx.ones((2, 1)))
    with pytest.raises(ValueError, match=r"\[rms_norm\] weight must have the same size"):
        nn.RMSNorm(4)(mx.ones((2, 3)))
    with pytest.raises(ValueError, match=r"\[layer_norm\] Input must have at least 1 dimension"):
        layer(mx.array(1.0))
    with pytest.raises(ValueError, match=r"\[layer_norm\] Received unsupported type .*int32"):
        plain(mx.ones((2, 4), dtype=mx.int32))


def test_the_same_seed_gives_the_weights_of_mlx() -> None:
    core, oracle = pytest.importorskip("mlx.core"), pytest.importorskip("mlx.nn")
    makers = (
        lambda library: library.Linear(7, 5),
        lambda library: library.Linear(64, 128, bias=False),
        lambda library: library.Bilinear(2, 3, 5),
    )
    for maker in makers:
        mx.random.seed(11)
        ours = maker(nn)
        core.random.seed(11)
        theirs = maker(oracle)
        for name in theirs:
            np.testing.assert_array_equal(values(ours[name]), np.array(theirs[name]))
    mx.random.seed(12)
    table = values(nn.Embedding(9, 5).weight)
    core.random.seed(12)
    np.testing.assert_allclose(table, np.array(oracle.Embedding(9, 5).weight), rtol=1e-6)


def test_the_same_seed_drops_the_units_of_mlx() -> None:
    core, oracle = pytest.importorskip("mlx.core"), pytest.importorskip("mlx.nn")
    mx.random.seed(5)
    ours = values(nn.Dropout(0.3)(mx.ones((9, 11))))
    core.random.seed(5)
    np.testing.assert_array_equal(ours, np.array(oracle.Dropout(0.3)(core.ones((9, 11)))))
