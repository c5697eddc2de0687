"""Emitted reductions, row kernels and chunks against the interpreter and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from emit_runner import TARGETS as RUNNABLE
from emit_runner import assembler, check_kernel, compiled, run_native, sample

from tarry.base.dtypes import BY_NAME, bool_, float32, float64, int32, int64, to_numpy, uint32
from tarry.codegen.assemble import Target
from tarry.codegen.emit import emit_kernel, join_modules
from tarry.loops.builder import Builder, linear
from tarry.loops.combiners import COMBINERS
from tarry.loops.ir import Coefficient, Kernel
from tarry.loops.parse import parse_kernel

ONE = Coefficient(1)
LENGTHS = [0, 1, 3, 8, 9, 31, 32, 33, 65, 200, 700]
TARGETS = ["avx512", "avx2", "sse2", "neon"]


def row_reduction(combiner: str, dtype, product: bool = False) -> Kernel:
    """One result a row: parallel rows, a vector loop over columns."""
    builder = Builder("rows")
    x, rows, columns = builder.buffer(dtype, "in"), builder.integer(), builder.integer()
    row = builder.open_loop(Coefficient(1, rows), parallel=True)
    parts = [dtype, uint32][: COMBINERS[combiner].components]
    accumulator = builder.declare(combiner, parts)
    column = builder.open_loop(Coefficient(1, columns), vector=True)
    value = builder.load(x, linear((row.var, Coefficient(1, columns)), (column.var, ONE)))
    if product:
        value = builder.mul(value, value)
    values = [value, builder.cast(builder.index(linear((column.var, ONE))), uint32)]
    builder.update(accumulator, *values[: len(parts)])
    builder.close_loop(column)
    for number, part in enumerate(parts):
        out = builder.buffer(part, "out")
        builder.store(out, linear((row.var, ONE)), builder.read(accumulator, number))
    builder.close_loop(row)
    return builder.finish()


ROWS = [
    (combiner, dtype)
    for combiner in ("sum", "prod", "max", "min", "argmax", "argmin")
    for dtype in ("float32", "float64", "int32", "uint8", "int64")
] + [(combiner, "bool") for combiner in ("and", "or", "max", "min")]


@pytest.mark.parametrize(("combiner", "name"), ROWS, ids=[f"{c}-{n}" for c, n in ROWS])
def test_rows(combiner, name, generator):
    dtype = BY_NAME[name]
    kernel = row_reduction(combiner, dtype)
    for length in LENGTHS:
        x0 = sample(dtype, 4 * length, generator)
        if dtype.kind == "f" and combiner in ("sum", "prod"):
            x0 = generator.standard_normal(4 * length).astype(x0.dtype)
        if dtype.kind == "f":
            x0 += 0.0
        if length > 8:
            x0[length : 2 * length] = x0[0]  # ties
        arguments = {"n0": 4, "n1": length, "x0": x0}
        for param in kernel.params[3:]:
            arguments[param.name] = np.zeros(4, to_numpy(param.dtype))
        rtol = {"float32": 1e-4, "float64": 1e-11}.get(name, 0.0) if combiner in ("sum", "prod") else 0.0
        check_kernel(kernel, arguments, chunks=(1, 3), rtol=rtol)


def test_sum_of_products_is_fused():
    code, _ = compiled(row_reduction("sum", float32, product=True))
    if Target.host().has_fma:
        assert "llvm.fma" in code.text and "fmul" not in code.text


def test_single_nan_and_infinity_reach_every_extremum(generator):
    kernel = row_reduction("max", float32)
    for place in (0, 5, 40, 69):
        for value in (np.nan, np.inf):
            x0 = generator.standard_normal(70).astype(np.float32)
            x0[place] = value
            y0 = np.zeros(1, np.float32)
            run_native(kernel, {"n0": 1, "n1": 70, "x0": x0, "y0": y0})
            np.testing.assert_array_equal(y0, [value])


def test_overflowing_sum_is_infinite():
    kernel = row_reduction("sum", float32)
    x0 = np.full(5000, 3e38, np.float32)
    y0 = np.zeros(1, np.float32)
    run_native(kernel, {"n0": 1, "n1": 5000, "x0": x0, "y0": y0})
    assert y0[0] == np.inf


def full_sum(dtype, name: str = "total") -> Kernel:
    """The sum of everything, and of squares, times a scalar known before the loop."""
    builder = Builder(name)
    x, y, n = builder.buffer(dtype, "in"), builder.buffer(dtype, "out"), builder.integer()
    scale = builder.mul(builder.scalar(builder.scalar_param(dtype)), builder.const(2, dtype))
    total = builder.declare("sum", [dtype])
    best = builder.declare("argmax", [dtype, uint32])
    position = builder.buffer(uint32, "out")
    loop = builder.open_loop(Coefficient(1, n), parallel=True, vector=True)
    value = builder.load(x, linear((loop.var, ONE)))
    builder.update(total, value)
    builder.update(best, value, builder.cast(builder.index(linear((loop.var, ONE))), uint32))
    builder.close_loop(loop)
    builder.store(y, linear(), builder.mul(builder.read(total), scale))
    builder.store(position, linear(), builder.read(best, 1))
    return builder.finish()


@pytest.mark.parametrize("name", ["float32", "float64", "int32"])
def test_full_sum_in_chunks(name, generator):
    dtype = BY_NAME[name]
    kernel = full_sum(dtype)
    code, _ = compiled(kernel)
    assert code.finish_name == "total_finish" and code.partial_bytes == 64
    assert code.slots == ["x0", "y0", "n0", "c0", "y1", "partials"]
    for count in (0, 1, 63, 64, 200, 1000):
        x0 = (generator.standard_normal(count) * 100).astype(to_numpy(dtype))
        arguments = {"n0": count, "c0": 3, "x0": x0}
        arguments |= {"y0": np.zeros(1, x0.dtype), "y1": np.zeros(1, np.uint32)}
        rtol = {"float32": 1e-4, "float64": 1e-11}.get(name, 0.0)
        check_kernel(kernel, arguments, (1, 2, 40), rtol, RUNNABLE)


def test_chunk_order_changes_no_bit(generator):
    kernel = full_sum(float32)
    x0 = generator.standard_normal(100_001).astype(np.float32)
    results = set()
    for _ in range(4):
        y0, y1 = np.zeros(1, np.float32), np.zeros(1, np.uint32)
        arguments = {"n0": x0.size, "c0": 1.0, "x0": x0, "y0": y0, "y1": y1}
        run_native(kernel, arguments, 9, list(generator.permutation(9)))
        results.add(y0.tobytes())
        assert y1[0] == x0.argmax()
    assert len(results) == 1


@pytest.mark.parametrize("count", [100, 1000, 1 << 16, 1 << 20])
def test_sums_are_as_accurate_as_pairwise(count, generator):
    """The error against the exact sum stays within NumPy's on average, for rows, columns and scalars."""
    kernel = row_reduction("sum", float32)
    ours, theirs = 0.0, 0.0
    for _ in range(8):
        x0 = (generator.random(count, np.float32) + np.float32(0.1)) * np.float32(10)
        y0 = np.zeros(1, np.float32)
        run_native(kernel, {"n0": 1, "n1": count, "x0": x0, "y0": y0})
        exact = x0.astype(np.float64).sum()
        ours += abs(y0[0] - exact) / exact
        theirs += abs(x0.sum() - exact) / exact
    assert ours <= max(1.5 * theirs, 8 * 2e-7)




def column_sum() -> Kernel:
    builder = Builder("columns")
    x, y = builder.buffer(float32, "in"), builder.buffer(float32, "out")
    rows, columns = builder.integer(), builder.integer()
    column = builder.open_loop(Coefficient(1, columns), parallel=True, vector=True)
    total = builder.declare("sum", [float32])
    row = builder.open_loop(Coefficient(1, rows))
    builder.update(total, builder.load(x, linear((row.var, Coefficient(1, columns)), (column.var, ONE))))
    builder.close_loop(row)
    builder.store(y, linear((column.var, ONE)), builder.read(total))
    builder.close_loop(column)
    return builder.finish()


def test_column_sums(generator):
    kernel = column_sum()
    for rows, columns in [(0, 5), (1, 1), (17, 33), (100, 70), (40, 128), (3, 200)]:
        x0 = generator.standard_normal(rows * columns).astype(np.float32)
        arguments = {"n0": rows, "n1": columns, "x0": x0, "y0": np.zeros(columns, np.float32)}
        check_kernel(kernel, arguments, chunks=(1, 2), rtol=1e-4)
    x0 = generator.random((1 << 16) * 9, np.float32) + np.float32(1)
    y0 = np.zeros(9, np.float32)
    run_native(kernel, {"n0": 1 << 16, "n1": 9, "x0": x0, "y0": y0})
    np.testing.assert_allclose(y0, x0.reshape(-1, 9).astype(np.float64).sum(0), rtol=2e-7)


def softmax_like() -> Kernel:
    """Three passes over a row through scratch: max, a rational stand-in for exp with its sum, divide."""
    builder = Builder("soft")
    x, y = builder.buffer(float32, "in"), builder.buffer(float32, "out")
    rows, columns = builder.integer(), builder.integer()
    scratch = builder.buffer(float32, "scratch", Coefficient(1, columns))
    one = builder.const(1.0, float32)
    row = builder.open_loop(Coefficient(1, rows), parallel=True)
    largest = builder.declare("max", [float32])
    i = builder.open_loop(Coefficient(1, columns), vector=True)
    builder.update(largest, builder.load(x, linear((row.var, Coefficient(1, columns)), (i.var, ONE))))
    builder.close_loop(i)
    top = builder.read(largest)
    total = builder.declare("sum", [float32])
    j = builder.open_loop(Coefficient(1, columns), vector=True)
    value = builder.load(x, linear((row.var, Coefficient(1, columns)), (j.var, ONE)))
    distance = builder.sub(top, value)
    weight = builder.div(one, builder.fma(distance, distance, one))
    builder.store(scratch, linear((j.var, ONE)), weight)
    builder.update(total, weight)
    builder.close_loop(j)
    inverse = builder.div(one, builder.read(total))
    k = builder.open_loop(Coefficient(1, columns), vector=True)
    scaled = builder.mul(builder.load(scratch, linear((k.var, ONE))), inverse)
    builder.store(y, linear((row.var, Coefficient(1, columns)), (k.var, ONE)), scaled)
    builder.close_loop(k)
    builder.close_loop(row)
    return builder.finish()


@pytest.mark.parametrize("columns", [1, 5, 8, 33, 130])
def test_softmax_like(columns, generator):
    x0 = generator.standard_normal(6 * columns).astype(np.float32)
    arguments = {"n0": 6, "n1": columns, "x0": x0, "y0": np.zeros(6 * columns, np.float32)}
    check_kernel(softmax_like(), arguments, chunks=(1, 4), rtol=1e-5, targets=RUNNABLE)


def nested(dtype) -> Kernel:
    """A windowed weighted sum: serial loops inside a vector loop, and an outer accumulator across both."""
    builder = Builder("window")
    x, w, y = (builder.buffer(dtype, mode) for mode in ("in", "in", "out"))
    total_out = builder.buffer(dtype, "out")
    n, window = builder.integer(), builder.integer()
    grand = builder.declare("sum", [dtype])
    i = builder.open_loop(Coefficient(1, n), parallel=True, vector=True)
    best = builder.declare("max", [dtype])
    a = builder.open_loop(Coefficient(1, window))
    local = builder.declare("sum", [dtype])
    b = builder.open_loop(Coefficient(1, window))
    here = builder.load(x, linear((i.var, ONE), (a.var, ONE), (b.var, ONE)))
    weight = builder.load(w, linear((a.var, Coefficient(1, window)), (b.var, ONE)))
    builder.update(local, builder.mul(here, weight))
    builder.update(grand, here)
    builder.close_loop(b)
    builder.update(best, builder.read(local))
    builder.close_loop(a)
    builder.store(y, linear((i.var, ONE)), builder.read(best))
    builder.close_loop(i)
    builder.store(total_out, linear(), builder.read(grand))
    return builder.finish()


@pytest.mark.parametrize("name", ["float32", "float64", "int32", "uint8"])
def test_nested_serial_loops(name, generator):
    dtype = BY_NAME[name]
    kernel = nested(dtype)
    for count, window in [(1, 1), (20, 3), (77, 2), (150, 5), (4, 0)]:
        x0 = (generator.random(count + 2 * window) * 9).astype(to_numpy(dtype))
        w0 = (generator.random(window * window) * 9).astype(to_numpy(dtype))
        arguments = {"n0": count, "n1": window, "x0": x0, "x1": w0}
        arguments |= {"y0": np.zeros(count, x0.dtype), "y1": np.zeros(1, x0.dtype)}
        check_kernel(kernel, arguments, chunks=(1, 3), rtol=1e-5 if dtype.kind == "f" else 0)


def test_data_dependent_extent_and_update_buffer(generator):
    """A ragged sum whose lengths are data, added to what the buffer holds; a serial scalar loop."""
    builder = Builder("ragged")
    lengths, x = builder.buffer(int32, "in"), builder.buffer(float64, "in")
    u = builder.buffer(float64, "update")
    rows, stride = builder.integer(), builder.integer()
    row = builder.open_loop(Coefficient(1, rows), parallel=True)
    at = linear((row.var, ONE))
    extent = builder.cast(builder.load(lengths, at), int64)
    total = builder.declare("sum", [float64])
    any_big = builder.declare("or", [bool_])
    column = builder.open_loop(extent)
    value = builder.load(x, linear((row.var, Coefficient(1, stride)), (column.var, ONE)))
    builder.update(total, value)
    builder.update(any_big, builder.apply("gt", value, builder.const(1.0, float64)))
    builder.close_loop(column)
    old = builder.load(u, at)
    added = builder.add(old, builder.read(total))
    builder.store(u, at, builder.select(builder.read(any_big), added, old))
    builder.close_loop(row)
    arguments = {"n0": 9, "n1": 50, "x0": np.array([0, 1, 2, 50, 17, 16, 33, 5, 3], np.int32)}
    arguments |= {"x1": generator.standard_normal(450), "u0": generator.standard_normal(9)}
    check_kernel(builder.finish(), arguments, chunks=(1, 4), rtol=1e-12)


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_verifies_and_assembles(target):
    machine = Target.named(target)
    kernels = [full_sum(float32), full_sum(int32), softmax_like(), nested(float64), column_sum()]
    for kernel in kernels:
        code = emit_kernel(kernel, machine)
        assembler.verify(code.text)
        assert len(assembler.assemble(code.text, machine)) > 100
        if not machine.has_fma:
            assert "llvm.fma" not in code.text


def test_text_is_deterministic():
    target = Target.named("avx2")
    assert emit_kernel(nested(float32), target).text == emit_kernel(nested(float32), target).text


PARTS_OF_SUMS = """
kernel parts(x0: in float32, y0: out float32, p0: partial float32[96], n0: int)
  parallel i0 < 6
    v0 = index i0
    vector i1 < 13
      declare a0: sum float32
      loop i2 < n0
        v1 = load x0[v0*78 + i2*13 + i1]
        a0 <- v1
      v2 = read a0.0
      store p0[v0*16 + i1] = v2
  loop i3 < 5
    v3 = index i3 + 1
    vector i4 < 13
      v4 = load p0[i4]
      v5 = load p0[v3*16 + i4]
      v6 = add v4, v5
      store p0[i4] = v6
  vector i5 < 13
    v7 = load p0[i5]
    store y0[i5] = v7
"""


def test_partial_buffers_are_shared_by_chunks(generator):
    kernel = parse_kernel(PARTS_OF_SUMS.strip())
    x = generator.integers(-9, 9, 6 * 6 * 13).astype(np.float32)
    arguments = {"x0": x, "y0": np.zeros(13, np.float32), "p0": np.zeros(96, np.float32), "n0": 6}
    got = check_kernel(kernel, arguments, chunks=(1, 2, 3, 6, 8), targets=RUNNABLE)
    np.testing.assert_array_equal(got["y0"], x.reshape(36, 13).sum(0))


def test_dead_values_are_left_out():
    builder = Builder("dead")
    x, y, n = builder.buffer(float32, "in"), builder.buffer(float32, "out"), builder.integer()
    loop = builder.open_loop(Coefficient(1, n), parallel=True, vector=True)
    value = builder.load(x, linear((loop.var, ONE)))
    builder.div(value, value)
    builder.store(y, linear((loop.var, ONE)), value)
    builder.close_loop(loop)
    assert "fdiv" not in emit_kernel(builder.finish(), Target.named("avx2")).text


def test_unexpanded_operations_are_refused():
    builder = Builder("raw")
    x, y, n = builder.buffer(float32, "in"), builder.buffer(float32, "out"), builder.integer()
    loop = builder.open_loop(Coefficient(1, n), parallel=True, vector=True)
    value = builder.apply("exp", builder.load(x, linear((loop.var, ONE))))
    builder.store(y, linear((loop.var, ONE)), value)
    builder.close_loop(loop)
    with pytest.raises(TypeError, match=r"\[emit\] exp of float32"):
        emit_kernel(builder.finish(), Target.named("avx2"))


def test_argmax_of_identities_and_nans():
    """Rows of -inf, of NaN, and the first of several NaNs."""
    kernel = row_reduction("argmax", float32)
    inf, nan = np.inf, np.nan
    rows = np.zeros((5, 70), np.float32)
    rows[0], rows[1], rows[2] = -inf, nan, 5
    rows[3, [60, 66]] = nan
    rows[4, 69] = inf
    y0, y1 = np.zeros(5, np.float32), np.zeros(5, np.uint32)
    run_native(kernel, {"n0": 5, "n1": 70, "x0": rows.ravel(), "y0": y0, "y1": y1})
    assert list(y1) == [0, 0, 0, 60, 69]


def test_descending_positions(generator):
    """argmin over positions that fall: the smaller position still wins a tie."""
    builder = Builder("backwards")
    x, y, n = builder.buffer(int32, "in"), builder.buffer(uint32, "out"), builder.integer()
    best = builder.declare("argmin", [int32, uint32])
    loop = builder.open_loop(Coefficient(1, n), vector=True)
    at = linear((None, Coefficient(1, n)), (None, Coefficient(-1)), (loop.var, Coefficient(-1)))
    builder.update(best, builder.load(x, at), builder.cast(builder.index(at), uint32))
    builder.close_loop(loop)
    builder.store(y, linear(), builder.read(best, 1))
    kernel = builder.finish()
    for count in (1, 9, 50, 100):
        x0 = generator.integers(0, 3, count).astype(np.int32)
        check_kernel(kernel, {"n0": count, "x0": x0, "y0": np.zeros(1, np.uint32)})


def test_modules_join():
    target = Target.host()
    texts = [emit_kernel(full_sum(float32, name), target).text for name in ("one", "two")]
    both = join_modules(texts)
    addresses = assembler.load(assembler.assemble(both), ["one", "one_finish", "two", "two_finish"])
    assert len(set(addresses.values())) == 4
