"""Quantised matrices and eight-bit floats are, bit for bit, those of MLX; errors; how many kernels run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tarry.core as mx
from oracle import dtype_name, dtype_of, mlx, requires_oracle, to_numpy

AFFINE = [("affine", group, bits) for group in (32, 64, 128) for bits in (1, 2, 3, 4, 5, 6, 8)]
FLOATING = [("mxfp4", 32, 4), ("mxfp8", 32, 8), ("nvfp4", 16, 4)]
FLOATS = ("float32", "float16", "bfloat16")


def matrix() -> np.ndarray:
    """Rows of all magnitudes: constant, zero, of one sign, of exact ties."""
    random = np.random.default_rng(7)
    found = random.normal(size=(14, 256)).astype(np.float32)
    found[3], found[4], found[5] = 0, 1, -2
    found[6] *= 1e-9
    found[7] *= 100
    found[8], found[9] = np.abs(found[8]), -np.abs(found[9])
    found[10] = np.round(found[10] * 4) / 4
    found[11] = 2.0 ** random.integers(-10, 10, 256)
    found[12] *= 2.0 ** np.repeat(np.arange(-8, 8), 16)
    return found


def of(module: Any, dtype: str) -> Any:
    return module.array(matrix()).astype(dtype_of(module, dtype))


def copied(parts: Any) -> list[Any]:
    """Arrays of MLX as arrays of Tarry."""
    return [mx.array(to_numpy(mlx, part)).astype(dtype_of(mx, dtype_name(part))) for part in parts]


def assert_identical(ours: Any, theirs: Any, label: str) -> None:
    assert dtype_name(ours) == dtype_name(theirs), label
    np.testing.assert_array_equal(to_numpy(mx, ours), to_numpy(mlx, theirs), err_msg=label)


@requires_oracle
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("mode", "group", "bits"), AFFINE + FLOATING)
def test_words_are_those_of_mlx(mode: str, group: int, bits: int, dtype: str) -> None:
    ours = mx.quantize(of(mx, dtype), group, bits, mode)
    theirs = mlx.quantize(of(mlx, dtype), group, bits, mode)
    assert len(ours) == len(theirs) == (3 if mode == "affine" else 2)
    for part, (mine, reference) in enumerate(zip(ours, theirs, strict=True)):
        assert_identical(mine, reference, f"part {part}")
    for result in (None, "float32", "float16"):
        options = {"group_size": group, "bits": bits, "mode": mode}
        mine = mx.dequantize(*copied(theirs), dtype=result and dtype_of(mx, result), **options)
        reference = mlx.dequantize(*theirs, dtype=result and dtype_of(mlx, result), **options)
        assert_identical(mine, reference, f"dequantized to {result}")


@requires_oracle
@pytest.mark.parametrize("scale", [1.0, 3.0, 2688.0])
def test_global_scale(scale: float) -> None:
    options: dict[str, Any] = {"mode": "nvfp4"}
    ours = mx.quantize(of(mx, "float32"), global_scale=mx.array(scale), **options)
    theirs = mlx.quantize(of(mlx, "float32"), global_scale=mlx.array(scale), **options)
    for mine, reference in zip(ours, theirs, strict=True):
        assert_identical(mine, reference, "quantized")
    mine = mx.dequantize(*copied(theirs), global_scale=mx.array(scale), **options)
    assert_identical(mine, mlx.dequantize(*theirs, global_scale=mlx.array(scale), **options), "dequantized")


@requires_oracle
@pytest.mark.parametrize("dtype", FLOATS)
def test_codes_of_fp8(dtype: str) -> None:
    """All numbers of sixteen bits, and what lies at and beside the ties; nan without its sign."""
    codes = np.arange(256, dtype=np.uint8)
    grid = to_numpy(mlx, mlx.from_fp8(mlx.array(codes), mlx.float32))
    sorted_grid = np.sort(grid[np.isfinite(grid)])
    ties = (sorted_grid[1:] + sorted_grid[:-1]) / 2
    beside = [np.nextafter(ties, np.float32(towards)) for towards in (-1e9, 1e9)]
    patterns = (np.arange(2**16, dtype=np.uint32) << 16).view(np.float32)
    values = np.concatenate([patterns[~np.isnan(patterns)], [np.float32("nan")], ties, *beside])
    ours, theirs = [m.array(values).astype(dtype_of(m, dtype)) for m in (mx, mlx)]
    assert_identical(mx.to_fp8(ours), mlx.to_fp8(theirs), "to_fp8")
    ours, theirs = [m.from_fp8(m.array(codes), dtype_of(m, dtype)) for m in (mx, mlx)]
    assert_identical(ours, theirs, "from_fp8")


@requires_oracle
@pytest.mark.parametrize("mode", ["affine", "mxfp4", "mxfp8", "nvfp4"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_products_are_those_of_mlx(mode: str, dtype: str) -> None:
    random = np.random.default_rng(3)
    weights = random.normal(size=(4, 8, 128)).astype(np.float32)
    x = random.normal(size=(5, 2, 128)).astype(np.float32)
    places = [0, 3, 1, 1, 2]
    results = []
    for module in (mx, mlx):
        kind = dtype_of(module, dtype)
        parts = module.quantize(module.array(weights).astype(kind), mode=mode)
        left = module.array(x).astype(kind)
        first = [part[0] for part in parts]
        found = [
            module.quantized_matmul(left, *first, mode=mode),
            module.quantized_matmul(left[:, :, :8], *first, transpose=False, mode=mode),
            module.gather_qmm(left, *parts, rhs_indices=module.array(places), mode=mode),
        ]
        results.append([(dtype_name(value), to_numpy(module, value)) for value in found])
    tolerance = {"float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}[dtype]
    for (kind, mine), (expected_kind, reference) in zip(*results, strict=True):
        assert kind == expected_kind
        np.testing.assert_allclose(mine, reference, rtol=tolerance, atol=tolerance * np.abs(reference).max())


@pytest.mark.parametrize("rows", [1, 4, 5])
@pytest.mark.parametrize(("mode", "group", "bits"), [*AFFINE[:7], *FLOATING])
def test_products_with_few_rows(mode: str, group: int, bits: int, rows: int) -> None:
    """Few rows read the packed words, more the dequantised matrix: with the same result."""
    random = np.random.default_rng(rows)
    weights, x = [random.normal(size=shape).astype(np.float32) for shape in ((6, 96), (rows, 96))]
    parts = mx.quantize(mx.array(weights), group, bits, mode)
    options = {"group_size": group, "bits": bits, "mode": mode}
    matrix = np.array(mx.dequantize(*parts, dtype=mx.float32, **options)).astype(np.float64)
    found = mx.quantized_matmul(mx.array(x), *parts, **options)
    np.testing.assert_allclose(np.array(found), x @ matrix.T, rtol=1e-5, atol=1e-5)
    if rows == 1:
        vector = mx.quantized_matmul(mx.array(x[0]), *parts, **options)
        assert vector.shape == (6,) and vector.tolist() == found[0].tolist()


@pytest.mark.parametrize("mode", ["mxfp4", "mxfp8", "nvfp4"])
def test_products_of_two_quantised_factors(mode: str) -> None:
    random = np.random.default_rng(5)
    x, w = [mx.array(random.normal(size=shape).astype(np.float32)) for shape in ((3, 64), (2, 4, 64))]

    def rounded(value: mx.array) -> mx.array:
        return mx.dequantize(*mx.quantize(value, mode=mode), mode=mode, dtype=mx.float32)

    expected = np.array(rounded(x) @ mx.swapaxes(rounded(w), -1, -2))
    words, scales = mx.quantize(w, mode=mode)
    for found in (mx.qqmm(x, w[1], mode=mode), mx.qqmm(x, words[1], scales[1], mode=mode)):
        np.testing.assert_allclose(np.array(found), expected[1], rtol=1e-5, atol=1e-5)
    for right in ((w,), (words, scales)):
        found = mx.gather_qqmm(x, *right, rhs_indices=mx.array([1, 0]), mode=mode)
        np.testing.assert_allclose(np.array(found), expected[[1, 0]], rtol=1e-5, atol=1e-5)


def test_global_scales_of_two_factors() -> None:
    random = np.random.default_rng(6)
    x, w = [mx.array(random.normal(size=shape).astype(np.float32)) for shape in ((3, 64), (4, 64))]
    scales = {"global_scale_x": mx.max(mx.abs(x)), "global_scale_w": mx.max(mx.abs(w))}
    found = np.array(mx.qqmm(x, w, **scales))
    np.testing.assert_allclose(found, np.array(x @ w.T), atol=0.25 * np.abs(np.array(x @ w.T)).max())


def test_float64_keeps_its_precision() -> None:
    values = np.random.default_rng(0).normal(size=(2, 64))
    w = mx.array(values, mx.float64)
    packed, scales, biases = mx.quantize(w, 32, 8)
    assert scales.dtype is biases.dtype is mx.float64
    found = np.array(mx.dequantize(packed, scales, biases, 32, 8))
    steps = (found - np.array(biases).repeat(32, -1)) / np.array(scales).repeat(32, -1)
    np.testing.assert_allclose(steps, np.round(steps), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found, values, rtol=0, atol=np.abs(np.array(scales)).max())


def ones(*shape: int, dtype: Any = None) -> mx.array:
    return mx.ones(shape, dtype or mx.float32)


PACKED = ones(2, 8, dtype=mx.uint32)
ERRORS: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    ("mode", lambda: mx.quantize(ones(2, 64), mode="int4"), ValueError, "int4"),
    ("group", lambda: mx.quantize(ones(2, 64), 16), ValueError, "16"),
    ("bits", lambda: mx.quantize(ones(2, 64), 64, 7), ValueError, "7"),
    ("group of a mode", lambda: mx.quantize(ones(2, 64), 64, mode="mxfp4"), ValueError, "groups of 32"),
    ("vector", lambda: mx.quantize(ones(64)), ValueError, "2 dimensions"),
    ("integers", lambda: mx.quantize(ones(2, 64, dtype=mx.int32)), ValueError, "int32"),
    ("width", lambda: mx.quantize(ones(2, 65)), ValueError, "divide"),
    ("scale", lambda: mx.quantize(ones(2, 64), global_scale=mx.array(1.0)), ValueError, "nvfp4"),
    ("unit", lambda: mx.quantize(ones(2, 64), mode="nvfp4", global_scale=mx.array(1)), ValueError, "int32"),
    ("words", lambda: mx.dequantize(ones(2, 8), ones(2, 1), ones(2, 1)), ValueError, "uint32"),
    ("no biases", lambda: mx.dequantize(PACKED, ones(2, 1)), ValueError, "Biases"),
    ("scales", lambda: mx.dequantize(PACKED, ones(2, 2), ones(2, 2)), ValueError, "do not fit"),
    ("biases", lambda: mx.dequantize(PACKED, ones(2, 1), ones(2)), ValueError, "do not fit"),
    ("no codes", lambda: mx.dequantize(PACKED, ones(2, 2), mode="mxfp4"), ValueError, "uint8"),
    ("result", lambda: mx.dequantize(PACKED, ones(2, 1), ones(2, 1), dtype=mx.int32), ValueError, "int32"),
    ("inner", lambda: mx.quantized_matmul(ones(1, 3), PACKED, ones(2, 1), ones(2, 1)), ValueError, "match"),
    ("affine factors", lambda: mx.qqmm(ones(1, 64), ones(1, 64), mode="affine"), ValueError, "affine|modes"),
    ("fp8 of integers", lambda: mx.to_fp8(mx.array([1])), ValueError, "int32"),
    ("codes of floats", lambda: mx.from_fp8(ones(1)), ValueError, "uint8"),
    ("no array", lambda: mx.quantize(1.0), TypeError, "array"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "call", "kind", "text"), ERRORS, ids=[row[0] for row in ERRORS])
def test_errors(name: str, call: Callable[[], Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()


def kernels_run(make: Callable[[], Any]) -> int:
    mx.eval(make())
    found = make()
    before = mx.counters()["kernels_run"]
    mx.eval(found)
    return int(mx.counters()["kernels_run"] - before)


def test_kernels() -> None:
    """Unpacking is one kernel; packing another than the search for the scales."""
    w = ones(64, 256)
    parts = mx.quantize(w)
    mx.eval(w, parts)
    assert kernels_run(lambda: mx.dequantize(*parts)) == 1
    assert kernels_run(lambda: mx.quantize(w)) == 2
    assert kernels_run(lambda: mx.to_fp8(w * 2)) == 1
