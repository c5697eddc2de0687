"""Reductions and copies of sizes around vectors, streams, blocks and chunks: right, on any threads."""

from __future__ import annotations

import numpy as np
import pytest
from program_runner import run_for_json

import tarry.core as mx

# Around the widths of vector loops, and of chunks of a few thousand elements cut in four streams.
LENGTHS = [0, 1, 2, 7, 8, 9, 31, 63, 64, 65, 255, 256, 257, 1023, 4097, 65535, 65536, 65537, 262145, 300007]
SHAPES = [
    (0, 5), (5, 0), (1, 1), (3, 65), (65, 3), (700, 4), (4, 700), (9, 1023), (1025, 33), (2049, 130),
    (77, 2100),
]  # fmt: skip

PROGRAM = """
    import hashlib, json
    import numpy as np
    import tarry.core as mx

    generator = np.random.default_rng(8)
    results = {}
    for rows, columns in ((1, 1 << 20), (3, 99991), (4099, 65), (100003, 3), (513, 2050), (65536, 4)):
        x = mx.array(generator.standard_normal((rows, columns), dtype=np.float32))
        shifted = x[1:, 1:] if rows > 1 else x[:, 1:]
        for name, y in (("plain", x), ("shifted", shifted), ("half", x.astype(mx.float16))):
            key = f"{rows} {columns} {name} "
            results[key + "sum"], results[key + "max"] = mx.sum(y), mx.max(y)
            results[key + "rows"], results[key + "columns"] = mx.sum(y, axis=1), mx.sum(y, axis=0)
            results[key + "var"], results[key + "softmax"] = mx.var(y, axis=1), mx.softmax(y, axis=1)
            results[key + "transposed"] = mx.contiguous(mx.transpose(y))
    large = mx.array(generator.standard_normal((3500, 1030), dtype=np.float32))
    results["large"] = large * 2 + 1
    results["large rows"] = large - mx.mean(large, axis=1, keepdims=True)
    mx.eval(results)
    print(json.dumps({name: hashlib.sha256(np.array(found).tobytes()).hexdigest()
                      for name, found in results.items()}))
"""


def test_bits_do_not_depend_on_threads() -> None:
    expected = run_for_json(PROGRAM, TARRY_THREADS="1")
    for threads in ("2", "7"):
        found = run_for_json(PROGRAM, TARRY_THREADS=threads)
        assert not [name for name in expected if found[name] != expected[name]]


@pytest.mark.parametrize("length", LENGTHS)
def test_whole_arrays(length: int) -> None:
    generator = np.random.default_rng(length)
    for dtype in (np.float32, np.float64, np.int32, np.uint8):
        x = generator.integers(0, 100, length + 1).astype(dtype)
        whole = mx.array(x)
        for where in (slice(length), slice(1, None), slice(0, length, 2)):
            view, part = whole[where], x[where]
            assert int(np.array(mx.sum(view.astype(mx.int64)))) == int(part.sum(dtype=np.int64))
            if dtype is not np.uint8:
                assert float(np.array(mx.sum(view))) == float(part.sum(dtype=np.int64))
            if length:
                assert np.array(mx.max(view)) == part.max()
                assert np.array(mx.argmax(view)) == part.argmax()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rows_and_columns(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(3).standard_normal((shape[0] + 1, shape[1] + 1)).astype(np.float32)
    whole = mx.array(x)
    wide = np.float64
    views = [(whole[:-1, :-1], x[:-1, :-1]), (whole[1:, 1:], x[1:, 1:]), (whole.T[1:, 1:], x.T[1:, 1:])]
    for view, part in views:
        for axis in (0, 1):
            expected = part.sum(axis=axis, dtype=wide)
            bound = 1e-6 * np.abs(part).sum(axis=axis, dtype=wide) + 1e-12
            assert np.all(np.abs(np.array(mx.sum(view, axis=axis)) - expected) <= bound)
            if part.shape[axis]:
                np.testing.assert_array_equal(np.array(mx.max(view, axis=axis)), part.max(axis=axis))
                variance = part.astype(wide).var(axis=axis)
                np.testing.assert_allclose(np.array(mx.var(view, axis=axis)), variance, 2e-6, 1e-6)
        np.testing.assert_array_equal(np.array(mx.contiguous(mx.transpose(view))), part.T)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_special_values_reach_the_results(value: float) -> None:
    for rows, columns in ((1, 70001), (40, 1030), (1030, 40)):
        x = np.ones((rows, columns), np.float32)
        for row, column in ((0, 0), (rows // 2, columns // 3), (rows - 1, columns - 1)):
            x[row, column] = value
            array = mx.array(x)
            np.testing.assert_array_equal(np.array(mx.sum(array)), np.float32(value))
            for axis in (0, 1):
                np.testing.assert_array_equal(np.array(mx.sum(array, axis=axis)), x.sum(axis=axis))
                np.testing.assert_array_equal(np.array(mx.max(array, axis=axis)), x.max(axis=axis))
            x[row, column] = 1
