"""The expansion of half types, complex numbers and structure: kernels before and after do the same."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from emit_runner import run_native
from math_runner import EDGES, TARGETS, assert_basic, function, operation

from tarry.base.dtypes import (
    ALL,
    bfloat16,
    bool_,
    complex64,
    float16,
    float32,
    float64,
    int32,
    int64,
    to_numpy,
    uint16,
    uint32,
)
from tarry.codegen.assemble import Target
from tarry.codegen.expand import expand_kernel
from tarry.codegen.math_builder import MathBuilder, format_of
from tarry.loops.builder import Builder, linear
from tarry.loops.ir import Coefficient, Instr, Loop
from tarry.loops.operations import ELEMENTARY, ELEMENTARY_BINARY
from tarry.loops.text import print_kernel, walk

HALVES = [float16, bfloat16]


def _halves(generator, dtype, count=3000):
    with np.errstate(over="ignore"):
        values = generator.standard_normal(count) * 10.0 ** generator.uniform(-6, 4, count)
        return np.concatenate([values, EDGES]).astype(to_numpy(dtype))


def _expanded(builder):
    kernel = expand_kernel(builder.finish(), Target.host())
    assert_basic(kernel)
    return kernel


def _same(got, want):
    np.testing.assert_array_equal(got.astype(np.float32), want.astype(np.float32))


# half types


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("op", ["add", "sub", "mul", "div", "min", "max"])
def test_half_arithmetic_rounds_every_operation(op, dtype, generator):
    a, b = _halves(generator, dtype), _halves(generator, dtype)
    apply = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "min": np.minimum,
             "max": np.maximum}[op]  # fmt: skip
    with np.errstate(all="ignore"):
        want = apply(a.astype(np.float32), b.astype(np.float32)).astype(a.dtype)
    _same(operation(op, [dtype, dtype])(a, b), want)


@pytest.mark.parametrize("dtype", HALVES)
def test_half_chain(dtype, generator):
    a, b = _halves(generator, dtype), _halves(generator, dtype)

    def body(builder, x, y):
        positive = builder.apply("gt", x, builder.const(0.1, dtype))
        difference = builder.add(builder.mul(x, y), builder.neg(y))
        return builder.select(positive, difference, builder.apply("abs", x))

    with np.errstate(all="ignore"):
        tenth = np.asarray(0.1).astype(a.dtype)
        product = (a.astype(np.float32) * b.astype(np.float32)).astype(a.dtype)
        difference = (product.astype(np.float32) - b.astype(np.float32)).astype(a.dtype)
        want = np.where(a > tenth, difference, np.abs(a))
    _same(function(body, [dtype, dtype])(a, b), want)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("op", ["exp", "tanh", "erf", "log", "sqrt", "floor", "round", "erfinv_mlx"])
def test_half_functions_are_those_of_float32(op, dtype, generator):
    a = _halves(generator, dtype)
    with np.errstate(all="ignore"):
        want = operation(op, [float32])(a.astype(np.float32)).astype(a.dtype)
    _same(operation(op, [dtype])(a), want)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", HALVES)
def test_half_casts(dtype, target, generator):
    a = _halves(generator, dtype)
    for other in (float32, float64, float16, bfloat16, int32, bool_):
        keep = np.isfinite(a) & (np.abs(a.astype(np.float32)) < 1e4)
        source = a[keep]
        with np.errstate(over="ignore"):
            want = source.astype(np.float32).astype(to_numpy(other))
        got = function(lambda builder, x, other=other: builder.cast(x, other), [dtype], target)(source)
        _same(got, want)
        back = function(lambda builder, x: builder.cast(x, dtype), [other], target)(want)
        with np.errstate(over="ignore"):
            _same(back, want.astype(np.float32).astype(to_numpy(dtype)))


def test_double_to_half_rounds_once(generator):
    tie = 1 + 2.0**-11
    ties = np.array([tie + 2.0**-40, tie - 2.0**-40, tie, 65519.999999, 65520.0, 1e300])
    subnormal = 2.0**-24 * generator.uniform(0, 4, 500)
    x = np.concatenate([ties, -ties, EDGES, generator.standard_normal(2000), subnormal])
    with np.errstate(over="ignore"):
        want = x.astype(np.float16)
    np.testing.assert_array_equal(function(lambda b, v: b.cast(v, float16), [float64])(x), want)
    up = function(lambda b, v: b.cast(v, bfloat16), [float64])(np.array([1 + 2.0**-8 + 2.0**-40]))
    assert float(up[0]) == 1 + 2.0**-7


def test_half_bitcast(generator):
    a = _halves(generator, bfloat16)
    bits = function(lambda b, x: b.bitcast(x, uint16), [bfloat16])(a)
    np.testing.assert_array_equal(bits, a.view(np.uint16))
    back = function(lambda b, x: b.bitcast(x, bfloat16), [uint16])(bits)
    np.testing.assert_array_equal(back.view(np.uint16), bits)
    negated = function(lambda b, x: b.bitcast(b.neg(x), uint16), [float16])(np.array([1.0], np.float16))
    assert negated[0] == 0xBC00


def test_half_constants_are_rounded():
    for dtype in HALVES:
        got = function(lambda b, x, dtype=dtype: b.add(x, b.const(0.1, dtype)), [dtype])(np.zeros(3))
        assert np.all(got == np.asarray(0.1).astype(to_numpy(dtype)))
    huge = function(lambda b, x: b.const(1e10, float16), [float16])(np.zeros(3, np.float16))
    assert np.isinf(huge).all()


def test_half_sum_is_rounded_once():
    builder = Builder("half_sum")
    columns = builder.integer()
    source, out = builder.buffer(float16, "in"), builder.buffer(float16, "out")
    accumulator = builder.declare("sum", (float16,))
    loop = builder.open_loop(Coefficient(1, columns), vector=True)
    builder.update(accumulator, builder.load(source, linear((loop.var, Coefficient(1)))))
    builder.close_loop(loop)
    builder.store(out, linear(), builder.read(accumulator))
    x, y = np.full(5000, 0.1, np.float16), np.zeros(1, np.float16)
    run_native(_expanded(builder), {"n0": 5000, "x0": x, "y0": y})
    assert y[0] == np.float16(x.astype(np.float64).sum())  # a float16 accumulator would stop at 256


def test_half_argmax():
    builder = Builder("half_argmax")
    columns = builder.integer()
    source, out = builder.buffer(bfloat16, "in"), builder.buffer(uint32, "out")
    accumulator = builder.declare("argmax", (bfloat16, uint32))
    loop = builder.open_loop(Coefficient(1, columns), vector=True)
    position = linear((loop.var, Coefficient(1)))
    builder.update(accumulator, builder.load(source, position), builder.cast(builder.index(position), uint32))
    builder.close_loop(loop)
    builder.store(out, linear(), builder.read(accumulator, 1))
    x = np.array([1, 5, 2, 5, -3], ml_dtypes.bfloat16)
    y = np.zeros(1, np.uint32)
    run_native(_expanded(builder), {"n0": 5, "x0": x, "y0": y})
    assert y[0] == 1


# complex numbers


def _complexes(generator, count):
    return (generator.standard_normal(count) + 1j * generator.standard_normal(count)).astype(np.complex64)


def test_complex_elementwise(generator):
    a, b = _complexes(generator, 1001), _complexes(generator, 1001)

    def body(builder, x, y):
        equal = builder.apply("eq", x, y)
        total = builder.add(x, builder.const(2 - 1j, complex64))
        return builder.select(equal, x, builder.sub(builder.mul(total, y), builder.neg(x)))

    got = function(body, [complex64, complex64])(a, b)
    np.testing.assert_allclose(got, (a + (2 - 1j)) * b + a, rtol=1e-5)


def test_complex_casts_and_parts(generator):
    a = np.concatenate([_complexes(generator, 50), np.array([0, 1j, np.nan], np.complex64)])
    np.testing.assert_array_equal(function(lambda b, x: b.cast(x, bool_), [complex64])(a), a.astype(bool))
    np.testing.assert_array_equal(function(lambda b, x: b.apply("imag", x), [complex64])(a), a.imag)
    half = function(lambda b, x: b.cast(x, float16), [complex64])(a)
    np.testing.assert_array_equal(half, a.real.astype(np.float16))
    parts = [np.arange(5, dtype=np.float32), np.ones(5, np.float32)]
    made = function(lambda b, x, y: b.apply("complex", x, y), [float32, float32])(*parts)
    np.testing.assert_array_equal(made, parts[0] + 1j * parts[1])
    widened = function(lambda b, x: b.cast(x, complex64), [int32])(np.arange(5, dtype=np.int32))
    np.testing.assert_array_equal(widened, np.arange(5))
    unequal = function(lambda b, x, y: b.apply("ne", x, y), [complex64, complex64])(a, a.conj())
    np.testing.assert_array_equal(unequal, a != a.conj())


@pytest.mark.parametrize("combiner", ["sum", "prod"])
def test_complex_reduction(combiner, generator):
    """Rows of a strided complex matrix, with a scalar parameter as a factor."""
    builder = Builder(f"complex_{combiner}")
    rows, columns = builder.integer(), builder.integer()
    source, out = builder.buffer(complex64, "in"), builder.buffer(complex64, "out")
    factor = builder.scalar(builder.scalar_param(complex64))
    outer = builder.open_loop(Coefficient(1, rows))
    accumulator = builder.declare(combiner, (complex64,))
    inner = builder.open_loop(Coefficient(1, columns), vector=True)
    row = outer.var, Coefficient(1, columns)
    position = linear(row, (inner.var, Coefficient(1)), (None, Coefficient(3)))
    builder.update(accumulator, builder.mul(builder.load(source, position), factor))
    builder.close_loop(inner)
    builder.store(out, linear((outer.var, Coefficient(1))), builder.read(accumulator))
    builder.close_loop(outer)
    kernel = _expanded(builder)
    x, y = _complexes(generator, 3 + 4 * 37), np.zeros(4, np.complex64)
    bits = np.array([0.5 - 1j], np.complex64).view(np.uint64)[0]
    run_native(kernel, {"n0": 4, "n1": 37, "x0": x, "c0": bits, "y0": y})
    scaled = x[3:].reshape(4, 37).astype(np.complex128) * (0.5 - 1j)
    np.testing.assert_allclose(y, getattr(scaled, combiner)(axis=1), rtol=1e-4)


def test_complex_has_no_maximum():
    builder = Builder()
    builder.declare("max", (complex64,))
    with pytest.raises(TypeError, match=r"\[max\] does not take complex64"):
        expand_kernel(builder.finish(), Target.host())


# structure


def test_gather_with_check_and_guard(generator):
    """Loops, guards, checks and computed positions are kept."""
    builder = Builder("gather")
    count, extent = builder.integer(), builder.integer()
    table, indices = builder.buffer(complex64, "in"), builder.buffer(int32, "in")
    out, status = builder.buffer(complex64, "out"), builder.buffer(int64, "status")
    size = builder.size(extent)
    loop = builder.open_loop(Coefficient(1, count), vector=True)
    position = linear((loop.var, Coefficient(1)))
    index = builder.cast(builder.load(indices, position), int64)
    good = builder.apply("ge", index, builder.const(0, int64))
    good = builder.apply("and", good, builder.apply("lt", index, size))
    builder.check(status, good, index, size, Coefficient(7))
    builder.store(out, position, builder.load(table, linear((index, Coefficient(1))), good), good)
    builder.close_loop(loop)
    x = _complexes(generator, 9)
    chosen = np.array([3, 8, 0, 9, 2], np.int32)
    y, flags = np.zeros(5, np.complex64), np.zeros(4, np.int64)
    kernel = _expanded(builder)
    run_native(kernel, {"n0": 5, "n1": 9, "x0": x, "x1": chosen, "y0": y, "status0": flags})
    np.testing.assert_array_equal(y, [x[3], x[8], x[0], 0, x[2]])
    np.testing.assert_array_equal(flags, [1, 7, 9, 9])


def test_invariants_leave_the_loop():
    builder = Builder("invariant")
    count = builder.integer()
    source, out = builder.buffer(float32, "in"), builder.buffer(float32, "out")
    factor = builder.scalar(builder.scalar_param(float32))
    loop = builder.open_loop(Coefficient(1, count), vector=True)
    position = linear((loop.var, Coefficient(1)))
    value = builder.load(source, position)
    once = builder.mul(builder.apply("exp", factor), value)
    builder.store(out, position, builder.add(once, builder.apply("exp", factor)))
    builder.close_loop(loop)
    kernel = _expanded(builder)
    inner = next(s for s in kernel.body if isinstance(s, Loop))
    assert [s.op for s in inner.body if isinstance(s, Instr)] == ["load", "mul", "add"]


def test_expansion_is_deterministic():
    def text():
        builder = Builder("same")
        source, out = builder.buffer(float16, "in"), builder.buffer(float16, "out")
        loop = builder.open_loop(Coefficient(9), vector=True)
        position = linear((loop.var, Coefficient(1)))
        builder.store(out, position, builder.apply("tanh", builder.load(source, position)))
        builder.close_loop(loop)
        return print_kernel(_expanded(builder))

    assert text() == text()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [float16, bfloat16, float32, float64])
def test_every_elementary_function_expands(dtype, target):
    ones = np.full(3, 0.5)
    for op in ELEMENTARY:
        assert operation(op, [dtype], target)(ones).shape == (3,)
    for op in (*ELEMENTARY_BINARY, "floordiv", "mod"):
        assert operation(op, [dtype, dtype], target)(ones, ones).shape == (3,)


def test_basic_operations_pass_through():
    for dtype in ALL:
        if dtype.kind in "ui":
            got = operation("floordiv", [dtype, dtype])(np.array([7, 9]), np.array([2, 0]))
            np.testing.assert_array_equal(got, [3, 0])


def test_formats_are_float32_and_float64():
    with pytest.raises(TypeError, match=r"\[expand\] float16"):
        format_of(float16)
    builder = MathBuilder("table", Target.host())
    assert builder.horner(builder.const(2.0, float64), [1.0, 0.0, 1.0]).dtype is float64
    statements = list(walk(builder.finish().body))
    assert [s.op for s in statements if isinstance(s, Instr)].count("fma") == 2
