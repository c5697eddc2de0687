"""Stores past the caches, rows fetched ahead, transposed blocks, blocked sums: same values, right places."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from emit_runner import check_kernel, compiled, run_native, sample

import tarry.core as mx
from tarry.base.dtypes import BY_NAME, bool_, float32, float64, to_numpy
from tarry.codegen import emit_streams
from tarry.codegen.assemble import Target
from tarry.codegen.emit import emit_kernel
from tarry.codegen.emit_loops import SUM_BLOCK
from tarry.loops.builder import Builder, linear
from tarry.loops.ir import Coefficient, Kernel

ONE = Coefficient(1)
X86 = Target.host().architecture == "x86"
SIZES = [0, 1, 2, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 127, 128, 130, 255, 257, 1000]
# Lengths of sums around the edges of vectors, unrolled bodies and blocks of up to 16 lanes times 8.
BLOCK = SUM_BLOCK * 128
LENGTHS = [0, 1, 63, 64, 65, 128, BLOCK // 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 77, 9 * BLOCK + 5]


@pytest.fixture
def always_stream(monkeypatch):
    """Every result counts as too large for the caches."""
    monkeypatch.setattr(emit_streams, "STREAM_BYTES", 0)


def chain(name: str, mode: str = "out") -> Kernel:
    """y = x + x, of any dtype; for bool, y = not x."""
    builder, dtype = Builder("chain"), BY_NAME[name]
    x, extent = builder.buffer(dtype, "in"), builder.integer()
    loop = builder.open_loop(Coefficient(1, extent), parallel=True, vector=True)
    place = linear((loop.var, ONE))
    value = builder.load(x, place)
    value = builder.apply("not", value) if dtype is bool_ else builder.add(value, value)
    builder.store(builder.buffer(dtype, mode), place, value)
    builder.close_loop(loop)
    return builder.finish()


def centered(passes: int = 2, wide: bool = False) -> Kernel:
    """y[r, :] = (x[r, :] - max of the row) + w: one pass that reduces, the last one with w, weights."""
    builder = Builder("centered")
    x, w = builder.buffer(float32, "in"), builder.buffer(float32, "in")
    rows, columns, stride = builder.integer(), builder.integer(), builder.integer()
    row = builder.open_loop(Coefficient(1, rows), parallel=True)
    maximum = builder.declare("max", [float32])
    if passes > 1:
        column = builder.open_loop(Coefficient(1, columns), vector=True)
        place = linear((row.var, Coefficient(1, stride)), (column.var, ONE))
        builder.update(maximum, builder.load(x, place))
        builder.close_loop(column)
    found = builder.read(maximum)
    column = builder.open_loop(Coefficient(1, columns), vector=True)
    value = builder.load(x, linear((row.var, Coefficient(1, stride)), (column.var, ONE)))
    value = builder.add(builder.sub(value, found), builder.load(w, linear((column.var, ONE))))
    if wide:
        value = builder.cast(value, float64)
    y = builder.buffer(value.dtype, "out")
    builder.store(y, linear((row.var, Coefficient(1, columns)), (column.var, ONE)), value)
    builder.close_loop(column)
    builder.close_loop(row)
    return builder.finish()


def transposed(name: str) -> Kernel:
    """y[c, r] = x[r, c], rows in a vector loop, columns in the serial loop inside it."""
    builder, dtype = Builder("transposed"), BY_NAME[name]
    x, rows, columns = builder.buffer(dtype, "in"), builder.integer(), builder.integer()
    outer = builder.open_loop(ONE, parallel=True)
    row = builder.open_loop(Coefficient(1, rows), vector=True)
    column = builder.open_loop(Coefficient(1, columns))
    value = builder.load(x, linear((row.var, Coefficient(1, columns)), (column.var, ONE)))
    y = builder.buffer(dtype, "out")
    builder.store(y, linear((column.var, Coefficient(1, rows)), (row.var, ONE)), value)
    for loop in (column, row, outer):
        builder.close_loop(loop)
    return builder.finish()


DTYPES = ["float32", "float64", "int32", "int64", "uint8", "int16", "bool", "uint32"]


@pytest.mark.parametrize("name", DTYPES)
def test_elementwise_results(name, always_stream, generator):
    kernel, dtype = chain(name), BY_NAME[name]
    for size in SIZES:
        arguments = {"n0": size, "x0": sample(dtype, size, generator), "y0": np.zeros(size, to_numpy(dtype))}
        check_kernel(kernel, arguments, chunks=(1, 3), targets=("host", "sse2") if X86 else ("host",))


@pytest.mark.parametrize("offset", [0, 1, 4, 8, 12, 16])
def test_any_alignment(offset, always_stream, generator):
    """Vectors that do not start at a multiple of their size are stored as ever."""
    kernel = chain("float32")
    room = np.zeros(1100, np.float32)
    start = -(room.ctypes.data // 4) % 16 + offset
    x, y = sample(float32, 1000, generator), room[start : start + 1000]
    run_native(kernel, {"n0": 1000, "x0": x, "y0": y}, 2)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(y, x + x)
    assert not room[:start].any() and not room[start + 1000 :].any()


@pytest.mark.parametrize("wide", [False, True])
def test_rows(wide, always_stream, generator):
    kernel = centered(wide=wide)
    for columns in SIZES:
        for gap in (0, 3, 3000):
            x = generator.standard_normal(5 * (columns + gap)).astype(np.float32)
            arguments = {"n0": 5, "n1": columns, "n2": columns + gap, "x0": x}
            arguments["x1"] = generator.standard_normal(columns).astype(np.float32)
            arguments["y0"] = np.zeros(5 * columns, np.float64 if wide else np.float32)
            check_kernel(kernel, arguments, chunks=(1, 2))


@pytest.mark.parametrize("name", ["float32", "float64", "int16", "uint8", "int64"])
def test_transposed_blocks(name, always_stream, generator):
    kernel, dtype = transposed(name), BY_NAME[name]
    for rows, columns in ((0, 3), (1, 1), (8, 8), (16, 16), (17, 33), (31, 7), (64, 16), (70, 19), (40, 130)):
        x = sample(dtype, rows * columns, generator)
        arguments = {"n0": rows, "n1": columns, "x0": x, "y0": np.zeros(rows * columns, to_numpy(dtype))}
        check_kernel(kernel, arguments)


@pytest.mark.skipif(not X86, reason="only x86 stores past the caches")
def test_what_streams():
    """Results do, whole vectors of them; what is updated in place or read back does not."""
    text = compiled(chain("float32"))[0].text
    assert text.count("!nontemporal") == 1 and "sfence" in text
    assert "!nontemporal" not in compiled(chain("float32", "update"))[0].text
    builder = Builder("kept")
    x, y, extent = builder.buffer(float32, "in"), builder.buffer(float32, "out"), builder.integer()
    rows = builder.open_loop(Coefficient(1, extent), parallel=True)
    for source in (x, y):
        loop = builder.open_loop(Coefficient(1, extent), vector=True)
        place = linear((rows.var, Coefficient(1, extent)), (loop.var, ONE))
        builder.store(y, place, builder.apply("neg", builder.load(source, place)))
        builder.close_loop(loop)
    builder.close_loop(rows)
    assert "!nontemporal" not in compiled(builder.finish())[0].text


def test_other_machines_store_as_ever():
    assert "nontemporal" not in emit_kernel(chain("float32"), Target.named("neon")).text


def test_what_is_fetched_ahead():
    """The operand of the rows in the last pass; not the weights, and nothing where there is one pass."""
    target = Target.named("avx2")
    text = emit_kernel(centered(), target).text
    # 4 vectors of 32 bytes are 2 cache lines.
    assert len(re.findall("call void @llvm.prefetch", text)) == 2
    assert "prefetch" not in emit_kernel(centered(passes=1), target).text
    assert "prefetch" not in emit_kernel(chain("float32"), target).text


def whole_sum(name: str) -> Kernel:
    builder, dtype = Builder("total"), BY_NAME[name]
    x, extent = builder.buffer(dtype, "in"), builder.integer()
    accumulator = builder.declare("sum", [dtype])
    loop = builder.open_loop(Coefficient(1, extent), parallel=True, vector=True)
    builder.update(accumulator, builder.load(x, linear((loop.var, ONE))))
    builder.close_loop(loop)
    builder.store(builder.buffer(dtype, "out"), linear((None, Coefficient(0))), builder.read(accumulator))
    return builder.finish()


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_sums_are_accurate(name, generator):
    """Long sums are as good as ones of a few terms, whatever the length leaves over."""
    kernel = whole_sum(name)
    unit = np.finfo(name).eps / 2
    for length in LENGTHS:
        for x in (generator.random(length).astype(name), generator.standard_normal(length).astype(name)):
            for chunks in (1, 3):
                result = np.zeros(1, name)
                run_native(kernel, {"n0": length, "x0": x, "y0": result}, chunks)
                exact = math.fsum(x.astype(np.float64))
                size = math.fsum(np.abs(x.astype(np.float64)))
                assert abs(float(result[0]) - exact) <= 8 * unit * size


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_sums_of_special_values(value, generator):
    kernel = whole_sum("float32")
    for length in LENGTHS[1:]:
        for place in (0, length // 2, length - 1):
            x = generator.random(length).astype(np.float32)
            x[place] = value
            result = np.zeros(1, np.float32)
            run_native(kernel, {"n0": length, "x0": x, "y0": result})
            np.testing.assert_array_equal(result[0], np.float32(value))


def test_overflow_is_infinite():
    x = np.full(5 * BLOCK, 3e38, np.float32)
    result = np.zeros(1, np.float32)
    run_native(whole_sum("float32"), {"n0": len(x), "x0": x, "y0": result})
    assert result[0] == np.inf


def test_large_results():
    """Arrays that really pass the caches by, aligned rows and others."""
    count = emit_streams.STREAM_BYTES // 4 + 1000
    x = np.arange(count, dtype=np.float32)
    np.testing.assert_array_equal(np.array(mx.array(x) + 1), x + 1)
    for columns in (1024, 1021):
        m = x[: count // columns * columns].reshape(-1, columns)
        got = np.array(mx.array(m) - mx.max(mx.array(m), axis=1, keepdims=True))
        np.testing.assert_array_equal(got, m - m.max(axis=1, keepdims=True))
        np.testing.assert_array_equal(np.array(mx.contiguous(mx.transpose(mx.array(m)))), m.T)
