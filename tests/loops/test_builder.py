"""The builder: typing, common subexpressions, hoisting, and random kernels through text and interpreter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarry.base.dtypes import (
    Dtype,
    bool_,
    complex64,
    float16,
    float32,
    float64,
    int8,
    int32,
    int64,
    to_numpy,
    uint32,
)
from tarry.loops.builder import Builder, linear
from tarry.loops.interpret import run_kernel
from tarry.loops.ir import Coefficient, Instr, Kernel, Linear, Loop, parallel_loop
from tarry.loops.operations import PURE, SPECIAL, cost_of
from tarry.loops.parse import parse_kernel
from tarry.loops.text import print_kernel, walk
from tarry.loops.verify import verify_kernel

ONE = Coefficient(1)


def lines(kernel: Kernel) -> list[str]:
    return print_kernel(kernel).splitlines()[1:]


def test_equal_values_are_made_once() -> None:
    builder = Builder()
    x, n = builder.buffer(float32, "in"), builder.integer()
    a, b = (builder.load(x, linear((None, Coefficient(1, n)))) for _ in range(2))
    assert a is b
    assert builder.const(1.0, float32) is builder.const(1.0, float32)
    assert builder.const(1.0, float32) is not builder.const(1.0, float16)
    assert builder.const(0.0, float32) is not builder.const(-0.0, float32)
    assert builder.add(a, a) is builder.add(a, b)
    assert builder.cast(a, int8) is builder.cast(a, int8)
    assert builder.cast(a, int8) is not builder.cast(a, int32)
    assert builder.cast(a, float32) is a and builder.bitcast(a, float32) is a
    assert builder.size(n) is builder.size(n)
    assert builder.index(linear((None, ONE))) is builder.index(linear((None, ONE)))
    guard = builder.const(True, bool_)
    assert builder.load(x, linear(), guard) is not builder.load(x, linear())
    value = builder.cast(a, float64)
    assert builder.libm("sin", guard, value) is builder.libm("sin", guard, value)
    assert builder.libm("sin", guard, value) is not builder.libm("cos", guard, value)


def test_invariant_values_leave_their_loops() -> None:
    builder = Builder("k")
    x, y = builder.buffer(float32, "in"), builder.buffer(float32, "out")
    n, c = builder.integer(), builder.scalar_param(float32)
    outer = builder.open_loop(Coefficient(1, n), parallel=True)
    inner = builder.open_loop(Coefficient(1, n), vector=True)
    scale = builder.apply("exp", builder.scalar(c))  # depends on nothing
    row = builder.load(x, linear((outer.var, ONE)))  # on the row
    element = builder.load(x, linear((inner.var, ONE)))  # on both
    value = builder.mul(builder.mul(scale, row), element)
    builder.store(y, linear((outer.var, Coefficient(1, n)), (inner.var, ONE)), value)
    builder.close_loop(inner)
    builder.close_loop(outer)
    kernel = builder.finish()
    verify_kernel(kernel)
    assert lines(kernel) == [
        "  v0 = scalar c0",
        "  v1 = exp v0",
        "  parallel i0 < n0",
        "    v2 = load x0[i0]",
        "    v4 = mul v1, v2",
        "    vector i1 < n0",
        "      v3 = load x0[i1]",
        "      v5 = mul v4, v3",
        "      store y0[i0*n0 + i1] = v5",
    ]
    assert parallel_loop(kernel) is outer


def test_loads_of_written_buffers_and_reads_stay() -> None:
    builder = Builder()
    u = builder.buffer(float32, "update")
    first = builder.load(u, linear())
    loop = builder.open_loop(Coefficient(2))
    second = builder.load(u, linear())
    assert first is not second and second in loop.body
    builder.close_loop(loop)
    accumulator = builder.declare("sum", [float32])
    builder.update(accumulator, first)
    assert builder.read(accumulator) is not builder.read(accumulator)


def test_values_of_one_loop_are_not_shared_with_the_next() -> None:
    builder = Builder()
    x = builder.buffer(float32, "in")
    made = []
    for _ in range(2):
        loop = builder.open_loop(Coefficient(2))
        made.append(builder.neg(builder.load(x, linear((loop.var, ONE)))))
        builder.close_loop(loop)
    assert made[0] is not made[1]
    verify_kernel(builder.finish())


def test_positions_drop_zero_terms_and_may_hold_values() -> None:
    builder = Builder()
    x = builder.buffer(int64, "in")
    loop = builder.open_loop(Coefficient(2))
    index = builder.load(x, linear((loop.var, ONE), (None, Coefficient(0))))
    gathered = builder.load(x, linear((index, Coefficient(3))))
    assert gathered in loop.body
    builder.close_loop(loop)
    kernel = builder.finish()
    verify_kernel(kernel)
    assert lines(kernel)[1:] == ["    v0 = load x0[i0]", "    v1 = load x0[v0*3]"]


def test_typing() -> None:
    builder = Builder()
    f, i, b = builder.const(1.0, float32), builder.const(1, int32), builder.const(True, bool_)
    z = builder.const(1j, complex64)
    assert builder.apply("lt", f, f).dtype is bool_
    assert builder.select(b, i, i).dtype is int32
    assert builder.apply("complex", f, f).dtype is complex64
    assert builder.apply("real", z).dtype is float32
    assert builder.fma(f, f, f).dtype is float32 and builder.div(f, f).dtype is float32
    assert builder.logical_and(b, builder.logical_not(b)).dtype is bool_ and builder.sub(i, i).dtype is int32
    refused = [("add", (f, i)), ("add", (b, b)), ("div", (i, i)), ("xor", (f, f)), ("select", (i, i, i))]
    for op, args in refused:
        with pytest.raises(TypeError, match=rf"^\[{op}\]"):
            builder.apply(op, *args)
    with pytest.raises(TypeError, match=r"^\[frobnicate\] is not an operation of 1 arguments"):
        builder.apply("frobnicate", f)
    with pytest.raises(TypeError, match=r"^\[bitcast\] float32 and int8 differ in size"):
        builder.bitcast(f, int8)
    with pytest.raises(TypeError, match=r"^\[store\] int32 into a float32 buffer"):
        builder.store(builder.buffer(float32, "out"), linear(), i)
    with pytest.raises(TypeError, match=r"^\[update\]"):
        builder.update(builder.declare("sum", [float32]), i)


def test_loops_close_in_order() -> None:
    builder = Builder()
    outer = builder.open_loop(Coefficient(2))
    inner = builder.open_loop(Coefficient(2))
    with pytest.raises(AssertionError, match="is not the innermost open loop"):
        builder.close_loop(outer)
    with pytest.raises(AssertionError, match="with an open loop"):
        builder.finish()
    builder.close_loop(inner)
    builder.close_loop(outer)
    assert builder.finish().body == [outer]


def test_every_operation_has_a_cost() -> None:
    assert all(cost_of(op) >= 0 for op in (*PURE, *SPECIAL))
    assert cost_of("exp") > cost_of("add") and cost_of("libm") > cost_of("load")


# random kernels

DTYPES = [bool_, int8, uint32, int64, float16, float32, complex64]
EXTENT = 3
NAMES = sorted(op for op in PURE if op not in ("erf", "erfinv", "atan2", "cast", "bitcast", "complex"))


class RandomKernel:
    """A kernel from a stream of choices; `pools` holds the values usable in each open loop."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw = data.draw
        self.builder = Builder("random")
        self.inputs = [self.builder.buffer(dtype, "in") for dtype in DTYPES]
        self.outputs = [self.builder.buffer(dtype, "out") for dtype in DTYPES]
        self.extent = self.builder.integer()
        self.scalars = [self.builder.scalar_param(dtype) for dtype in DTYPES]
        self.loops: list[Loop] = []
        self.has_parallel = False
        self.pools: list[list[Instr]] = [[]]

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def value(self, dtype: Dtype) -> Instr:
        found = [value for pool in self.pools for value in pool if value.dtype is dtype]
        return self.draw(st.sampled_from(found)) if found else self.scalar(DTYPES.index(dtype))

    def scalar(self, which: int) -> Instr:
        return self.builder.scalar(self.scalars[which])

    def position(self, offset: int = 0) -> Linear:
        coefficients = st.sampled_from([ONE, Coefficient(1, self.extent)])
        terms = [(loop.var, self.draw(coefficients)) for loop in self.loops]
        return linear(*terms, (None, Coefficient(offset)))

    def make_value(self) -> None:
        builder, which = self.builder, self.number(0, len(DTYPES) - 1)
        dtype = DTYPES[which]
        choice = self.number(0, 6)
        if choice == 0:
            made = builder.const(self.number(0, 1), dtype)
        elif choice == 1:
            guard = self.value(bool_) if self.number(0, 1) else None
            made = builder.load(self.inputs[which], self.position(), guard)
        elif choice == 2:
            made = builder.index(self.position(self.number(-2, 2)))
        elif choice == 3:
            made = builder.cast(self.value(dtype), self.draw(st.sampled_from(DTYPES)))
        else:
            op = self.draw(st.sampled_from(NAMES))
            if dtype.kind not in PURE[op].kinds:
                return
            operands = [self.value(dtype) for _ in range(PURE[op].arity)]
            if op == "select":
                operands[0] = self.value(bool_)
            made = builder.apply(op, *operands)
        self.pools[-1].append(made)

    def reduce(self, depth: int) -> None:
        choices = [("sum", float16), ("max", float32), ("or", bool_), ("min", int8)]
        combiner, dtype = self.draw(st.sampled_from(choices))
        accumulator = self.builder.declare(combiner, [dtype])
        self.nest(depth, lambda: self.builder.update(accumulator, self.value(dtype)))
        self.pools[-1].append(self.builder.read(accumulator))

    def nest(self, depth: int, last: Callable[[], None] | None = None) -> None:
        vector = bool(self.number(0, 1)) and not any(loop.vector for loop in self.loops)
        parallel = bool(self.number(0, 1)) and not self.loops and not self.has_parallel
        self.has_parallel |= parallel
        extent = self.draw(st.sampled_from([Coefficient(EXTENT), Coefficient(1, self.extent)]))
        loop = self.builder.open_loop(extent, parallel=parallel, vector=vector)
        self.loops.append(loop)
        self.pools.append([])
        self.fill(depth + 1)
        if last is not None:
            last()
        self.pools.pop()
        self.loops.pop()
        self.builder.close_loop(loop)

    def fill(self, depth: int) -> None:
        for _ in range(self.number(1, 5)):
            choice = self.number(0, 7)
            if choice == 0 and depth < 3:
                self.nest(depth)
            elif choice == 1 and depth < 3:
                self.reduce(depth)
            elif choice == 2:
                which = self.number(0, len(DTYPES) - 1)
                guard = self.value(bool_) if self.number(0, 1) else None
                value = self.value(DTYPES[which])
                self.builder.store(self.outputs[which], self.position(), value, guard)
            else:
                self.make_value()


def arguments_for(kernel: Kernel) -> dict[str, object]:
    generator = np.random.default_rng(0)
    size = 3 * EXTENT * EXTENT
    arguments: dict[str, object] = {"n0": EXTENT}
    for number, dtype in enumerate(DTYPES):
        values = generator.integers(0, 2 if dtype is bool_ else 5, size)
        arguments[f"x{number}"] = values.astype(to_numpy(dtype))
        arguments[f"y{number}"] = np.zeros(size, to_numpy(dtype))
        arguments[f"c{number}"] = number % 2
    return arguments


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_random_kernels_verify_and_round_trip(data: st.DataObject) -> None:
    program = RandomKernel(data)
    program.fill(0)
    kernel = program.builder.finish()
    verify_kernel(kernel)
    text = print_kernel(kernel)
    parsed = parse_kernel(text)
    assert print_kernel(parsed) == text
    verify_kernel(parsed)
    canonical = print_kernel(kernel, canonical=True)
    again = parse_kernel(canonical)
    assert print_kernel(parsed, canonical=True) == canonical == print_kernel(again, canonical=True)
    results = []
    for version in (kernel, parsed):
        arguments = arguments_for(version)
        run_kernel(version, arguments)
        results.append([np.asarray(arguments[f"y{number}"]).tobytes() for number in range(len(DTYPES))])
    assert results[0] == results[1]
    assert len(list(walk(kernel.body))) == len(text.splitlines()) - 1
