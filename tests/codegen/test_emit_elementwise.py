"""Emitted elementwise kernels against the interpreter: every basic operation, dtype, access and tail."""

from __future__ import annotations

import numpy as np
import pytest
from emit_runner import TARGETS, check_kernel, run_native, sample

from tarry.base.dtypes import (
    ALL,
    BY_NAME,
    bfloat16,
    bool_,
    complex64,
    float16,
    float32,
    float64,
    int8,
    int32,
    int64,
    to_numpy,
    uint8,
    uint32,
)
from tarry.loops.builder import Builder, linear
from tarry.loops.ir import Coefficient, Kernel
from tarry.loops.operations import ELEMENTARY, ELEMENTARY_BINARY, PURE

ONE = Coefficient(1)
REAL = [dtype for dtype in ALL if dtype is not complex64 and dtype not in (float16, bfloat16)]
SIZES = [0, 1, 2, 7, 8, 9, 31, 33, 64, 70]


def elementwise(op: str, dtype, arity: int, result=None, name: str = "k") -> Kernel:
    builder = Builder(name)
    inputs = [builder.buffer(bool_ if op == "select" and k == 0 else dtype, "in") for k in range(arity)]
    extent = builder.integer()
    loop = builder.open_loop(Coefficient(1, extent), parallel=True, vector=True)
    values = [builder.load(buffer, linear((loop.var, ONE))) for buffer in inputs]
    value = builder.apply(op, *values, dtype=result)
    out = builder.buffer(value.dtype, "out")
    builder.store(out, linear((loop.var, ONE)), value)
    builder.close_loop(loop)
    return builder.finish()


OPERATIONS = [
    (op, dtype)
    for op, operation in PURE.items()
    for dtype in REAL
    if dtype.kind in operation.kinds
    and op not in ELEMENTARY
    and op not in ELEMENTARY_BINARY
    and operation.rule != "free"
    and not (dtype.kind == "f" and op in ("floordiv", "mod"))
]


@pytest.mark.parametrize(("op", "dtype"), OPERATIONS, ids=[f"{op}-{dtype.name}" for op, dtype in OPERATIONS])
def test_operation(op, dtype, generator):
    arity = PURE[op].arity
    kernel = elementwise(op, dtype, arity)
    count = 203
    arguments = {"n0": count}
    for number in range(arity):
        kind = bool_ if op == "select" and number == 0 else dtype
        arguments[f"x{number}"] = sample(kind, count, generator)
    if op in ("min", "max") and dtype.kind == "f":
        for number in range(arity):
            arguments[f"x{number}"] += 0.0  # which zero comes out is not defined
    out = kernel.params[-1]
    arguments["y0"] = np.zeros(count, to_numpy(out.dtype))
    check_kernel(kernel, arguments, chunks=(1, 3))


@pytest.mark.parametrize("source", [d for d in ALL if d is not complex64], ids=lambda dtype: dtype.name)
def test_casts(source, generator):
    builder = Builder("casts")
    x = builder.buffer(source, "in")
    n = builder.integer()
    loop = builder.open_loop(Coefficient(1, n), parallel=True, vector=True)
    at = linear((loop.var, ONE))
    value = builder.load(x, at)
    for dtype in ALL:
        if dtype is not complex64 and dtype is not source:
            builder.store(builder.buffer(dtype, "out"), at, builder.cast(value, dtype))
    builder.close_loop(loop)
    kernel = builder.finish()
    for count in (203, 5):
        arguments = {"n0": count, "x0": sample(source, count, generator)}
        for param in kernel.params:
            if param.name.startswith("y"):
                arguments[param.name] = np.zeros(count, to_numpy(param.dtype))
        check_kernel(kernel, arguments, targets=TARGETS)


def test_every_half_converts_and_rounds():
    patterns = np.arange(65536, dtype=np.uint16)
    for dtype in (float16, bfloat16):
        kernel = elementwise("cast", dtype, 1, float32)
        halves = patterns.view(to_numpy(dtype))
        wide = np.zeros(65536, np.float32)
        for target in TARGETS:
            run_native(kernel, {"n0": 65536, "x0": halves, "y0": wide}, target=target)
            np.testing.assert_array_equal(wide, halves.astype(np.float32))
        kernel = elementwise("cast", float32, 1, dtype)
        with np.errstate(all="ignore"):
            between = np.concatenate([wide, np.nextafter(wide, np.float32(9)), wide * np.float32(1.0003)])
        with np.errstate(all="ignore"):
            expected = between.astype(to_numpy(dtype))
        for target in TARGETS:
            rounded = np.zeros(between.size, to_numpy(dtype))
            run_native(kernel, {"n0": between.size, "x0": between, "y0": rounded}, target=target)
            np.testing.assert_array_equal(rounded.astype(np.float32), expected.astype(np.float32))


@pytest.mark.parametrize("name", [d.name for d in ALL if d is not complex64])
def test_tails(name, generator):
    """Copies of every length: nothing beyond the end is read or written."""
    dtype = BY_NAME[name]
    builder = Builder("copy")
    x, y, n = builder.buffer(dtype, "in"), builder.buffer(dtype, "out"), builder.integer()
    loop = builder.open_loop(Coefficient(1, n), parallel=True, vector=True)
    builder.store(y, linear((loop.var, ONE)), builder.load(x, linear((loop.var, ONE))))
    builder.close_loop(loop)
    kernel = builder.finish()
    for count in range(71):
        x0 = sample(dtype, count, generator)
        check_kernel(kernel, {"n0": count, "x0": x0, "y0": np.zeros(count, x0.dtype)})
    count = 1000
    x0 = sample(dtype, count, generator)
    check_kernel(kernel, {"n0": count, "x0": x0, "y0": np.zeros(count, x0.dtype)}, chunks=(1, 2, 7))


@pytest.mark.parametrize("name", ["float32", "int8", "bool", "float64", "float16"])
@pytest.mark.parametrize("count", SIZES)
def test_strided_and_reversed(name, count, generator):
    """y[3i] = x[s*i], z[n-1-i] = x[n-1-i], w[t*i] = x[0]; the rest of the outputs stays."""
    dtype = BY_NAME[name]
    builder = Builder("strided")
    x = builder.buffer(dtype, "in")
    y, z, w = (builder.buffer(dtype, "out") for _ in range(3))
    n, s, t = builder.integer(), builder.integer(), builder.integer()
    loop = builder.open_loop(Coefficient(1, n), parallel=True, vector=True)
    backwards = linear((loop.var, Coefficient(-1)), (None, Coefficient(1, n)), (None, Coefficient(-1)))
    value = builder.load(x, linear((loop.var, Coefficient(1, s))))
    builder.store(y, linear((loop.var, Coefficient(3))), value)
    builder.store(z, backwards, builder.load(x, backwards))
    builder.store(w, linear((loop.var, Coefficient(2, t))), builder.load(x, linear()))
    builder.close_loop(loop)
    arguments = {"n0": count, "n1": 2, "n2": 1, "x0": sample(dtype, max(1, 2 * count), generator)}
    for name_, factor in (("y0", 3), ("y1", 1), ("y2", 2)):
        arguments[name_] = sample(dtype, count * factor, generator)
    check_kernel(builder.finish(), arguments)


@pytest.mark.parametrize("index_name", ["int64", "int32", "uint8"])
@pytest.mark.parametrize("count", SIZES)
def test_gather_scatter_and_check(index_name, count, generator):
    """y[i] = x[k[i]] where k[i] is in range, z[k[i]*2 + 1] = i; the first bad index is reported."""
    dtype = BY_NAME[index_name]
    builder = Builder("gather")
    k, x = builder.buffer(dtype, "in"), builder.buffer(float32, "in")
    y, z = builder.buffer(float32, "out"), builder.buffer(uint32, "out")
    status, n, size = builder.buffer(int64, "status"), builder.integer(), builder.integer()
    extent = builder.size(size)
    zero = builder.const(0, int64)
    loop = builder.open_loop(Coefficient(1, n), parallel=True, vector=True)
    index = builder.cast(builder.load(k, linear((loop.var, ONE))), int64)
    good = builder.logical_and(builder.apply("ge", index, zero), builder.apply("lt", index, extent))
    builder.check(status, good, index, extent, Coefficient(5))
    builder.store(y, linear((loop.var, ONE)), builder.load(x, linear((index, ONE)), good))
    position = linear((index, Coefficient(2)), (None, ONE))
    builder.store(z, position, builder.cast(builder.index(linear((loop.var, ONE))), uint32), good)
    builder.close_loop(loop)
    kernel = builder.finish()
    arguments = {
        "n0": count,
        "n1": 100,
        "x0": generator.integers(0, 100, count).astype(to_numpy(dtype)),
        "x1": generator.random(100, np.float32),
        "y0": np.zeros(count, np.float32),
        "y1": np.zeros(200, np.uint32),
        "status0": np.zeros(4, np.int64),
    }
    arguments["x0"][:] = generator.permutation(100)[:count]
    check_kernel(kernel, arguments)
    if count:
        bad = 120 if dtype is uint8 else -7
        arguments["x0"][count // 2 :: 3] = bad
        got = check_kernel(kernel, arguments)
        assert list(got["status0"]) == [1, 5, bad, 100]


@pytest.mark.parametrize("name", ["float32", "uint8", "float64"])
@pytest.mark.parametrize("count", SIZES)
def test_guards(name, count, generator):
    """Padding by a varying guard, a uniform one on loads and stores, and stores with a varying guard."""
    dtype = BY_NAME[name]
    builder = Builder("guards")
    x, flag = builder.buffer(dtype, "in"), builder.buffer(bool_, "in")
    outs = [builder.buffer(dtype, "out") for _ in range(4)]
    n, low = builder.integer(), builder.integer()
    yes = builder.scalar(builder.scalar_param(bool_))
    bound = builder.size(low)
    loop = builder.open_loop(Coefficient(1, n), parallel=True, vector=True)
    at = linear((loop.var, ONE))
    here = builder.index(at)
    inside = builder.apply("ge", here, bound)
    shifted = linear((loop.var, ONE), (None, Coefficient(-1, low)))
    builder.store(outs[0], at, builder.load(x, shifted, inside))
    builder.store(outs[1], at, builder.load(x, at, yes), builder.logical_not(yes))
    builder.store(outs[2], at, builder.load(x, at), builder.load(flag, at))
    builder.store(outs[3], at, builder.load(x, at), yes)
    builder.close_loop(loop)
    kernel = builder.finish()
    for flag_value in (False, True):
        arguments = {"n0": count, "n1": 5, "c0": flag_value}
        arguments["x0"] = sample(dtype, count, generator)
        arguments["x1"] = sample(bool_, count, generator)
        for number in range(4):
            arguments[f"y{number}"] = sample(dtype, count, generator)
        check_kernel(kernel, arguments)


@pytest.mark.parametrize("count", SIZES)
def test_complex_pairs(count, generator):
    """Conjugate and strided copies of complex numbers accessed as pairs of float32."""
    builder = Builder("conjugate")
    x = builder.buffer(complex64, "in")
    outs = [builder.buffer(complex64, "out") for _ in range(2)]
    n = builder.integer()
    loop = builder.open_loop(Coefficient(1, n), parallel=True, vector=True)
    access = [linear((loop.var, Coefficient(2)), (None, Coefficient(k))) for k in (0, 1)]
    parts = [typed_load(builder, x, position) for position in access]
    for out in outs:
        values = [parts[0], builder.neg(parts[1])]
        for number in range(2):
            step = Coefficient(2 if out is outs[0] else 6)
            position = linear((loop.var, step), (None, Coefficient(number)))
            typed_store(builder, out, position, values[number])
    builder.close_loop(loop)
    kernel = builder.finish()
    x0 = (generator.standard_normal(count) + 1j * generator.standard_normal(count)).astype(np.complex64)
    y0, y1 = np.zeros(count, np.complex64), np.zeros(3 * count, np.complex64)
    run_native(kernel, {"n0": count, "x0": x0, "y0": y0, "y1": y1})
    np.testing.assert_array_equal(y0, x0.conj())
    np.testing.assert_array_equal(y1[::3], x0.conj())
    assert not y1.reshape(-1, 3)[:, 1:].any()


def typed_load(builder, buffer, position):
    """A float32 load from a complex buffer, as codegen.expand makes them."""
    value = builder.load(buffer, position)
    value.dtype = float32
    return value


def typed_store(builder, buffer, position, value):
    buffer.dtype = float32
    builder.store(buffer, position, value)
    buffer.dtype = complex64


@pytest.mark.parametrize("count", SIZES)
def test_libm(count, generator):
    """sin of the lanes beyond 1, 0 elsewhere; a function of two arguments; a uniform call."""
    builder = Builder("rare")
    x, y, n = builder.buffer(float64, "in"), builder.buffer(float64, "out"), builder.integer()
    two = builder.const(2.0, float64)
    always = builder.const(True, bool_)
    uniform = libm(builder, "cos", always, two)
    loop = builder.open_loop(Coefficient(1, n), parallel=True, vector=True)
    at = linear((loop.var, ONE))
    value = builder.load(x, at)
    guard = builder.apply("gt", builder.apply("abs", value), builder.const(1.0, float64))
    total = builder.add(libm(builder, "sin", guard, value), libm(builder, "pow", guard, value, two))
    builder.store(y, at, builder.add(total, uniform))
    builder.close_loop(loop)
    x0 = generator.standard_normal(count) * 2
    y0 = np.zeros(count)
    run_native(builder.finish(), {"n0": count, "x0": x0, "y0": y0})
    expected = np.where(np.abs(x0) > 1, np.sin(x0) + x0**2, 0.0) + np.cos(2.0)
    np.testing.assert_allclose(y0, expected, rtol=1e-15)


def libm(builder, name, guard, *values):
    result = builder.libm(name, guard, *values)
    result.dtype = float64
    return result


def test_index_values(generator):
    """arange in several dtypes, and an unravelled index: i // n and i % n."""
    builder = Builder("arange")
    n, m = builder.integer(), builder.integer()
    outs = [builder.buffer(dtype, "out") for dtype in (int64, int32, int8, float32, int64, int64)]
    width = builder.size(m)
    loop = builder.open_loop(Coefficient(1, n), parallel=True, vector=True)
    at = linear((loop.var, ONE))
    index = builder.index(linear((loop.var, Coefficient(3, m)), (None, Coefficient(-2))))
    plain = builder.index(at)
    values = [index, *(builder.cast(index, d) for d in (int32, int8, float32))]
    values += [builder.apply("floordiv", plain, width), builder.apply("mod", plain, width)]
    for out, value in zip(outs, values):
        builder.store(out, at, value)
    builder.close_loop(loop)
    count = 150
    arguments = {"n0": count, "n1": 7}
    for number, out in enumerate(outs):
        arguments[f"y{number}"] = np.zeros(count, to_numpy(out.dtype))
    check_kernel(builder.finish(), arguments, chunks=(1, 2))


def test_scalar_params(generator):
    """Scalars of every dtype reach the code, splat outside the loop."""
    builder = Builder("fill")
    n = builder.integer()
    arguments = {"n0": 37}
    dtypes = [dtype for dtype in ALL if dtype is not complex64]
    params = [builder.scalar_param(dtype) for dtype in dtypes]
    loop = builder.open_loop(Coefficient(1, n), parallel=True, vector=True)
    for number, (dtype, param) in enumerate(zip(dtypes, params)):
        builder.store(builder.buffer(dtype, "out"), linear((loop.var, ONE)), builder.scalar(param))
        arguments[param.name] = sample(dtype, 1, generator)[0]
        arguments[f"y{number}"] = np.zeros(37, to_numpy(dtype))
    builder.close_loop(loop)
    check_kernel(builder.finish(), arguments)


def test_kernel_without_loops_runs_in_chunk_0():
    builder = Builder("point")
    x, y = builder.buffer(float32, "in"), builder.buffer(float32, "out")
    value = builder.load(x, linear((None, Coefficient(2))))
    builder.store(y, linear((None, ONE)), builder.mul(value, value))
    kernel = builder.finish()
    arguments = {"x0": np.arange(3, dtype=np.float32), "y0": np.zeros(2, np.float32)}
    got = check_kernel(kernel, arguments)
    assert list(got["y0"]) == [0, 4]
    again = {**arguments, "y0": np.zeros(2, np.float32)}
    run_native(kernel, again, 2, order=[1])
    assert not again["y0"].any()
