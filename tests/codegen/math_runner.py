"""Compiles one operation over arrays through expansion and emission, and measures results in ulp."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable

import mpmath
import numpy as np
from emit_runner import assembler

from tarry.base.dtypes import Dtype, complex64, float32, float64, to_numpy
from tarry.codegen.assemble import Target
from tarry.codegen.emit import emit_kernel
from tarry.codegen.expand import expand_kernel
from tarry.loops.builder import Builder, linear
from tarry.loops.ir import Coefficient, Instr, Kernel
from tarry.loops.operations import ELEMENTARY, ELEMENTARY_BINARY, PURE, SPECIAL
from tarry.loops.text import walk
from tarry.loops.verify import verify_kernel

# Without fused multiply-add the same expansions must hold their bounds.
TARGETS = ("host", "sse2") if Target.host().architecture == "x86" else ("host",)
_SIGNATURE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
_names = itertools.count()
Body = Callable[..., Instr]


def elementwise_kernel(body: Body, dtypes: list[Dtype]) -> Kernel:
    """A vector loop that stores body(builder, loads...)."""
    builder = Builder(f"math{next(_names)}")
    extent = builder.integer()
    buffers = [builder.buffer(dtype, "in") for dtype in dtypes]
    loop = builder.open_loop(Coefficient(1, extent), vector=True)
    position = linear((loop.var, Coefficient(1)))
    result = body(builder, *[builder.load(buffer, position) for buffer in buffers])
    builder.store(builder.buffer(result.dtype, "out"), position, result)
    builder.close_loop(loop)
    return builder.finish()


def function(body: Body, dtypes: list[Dtype], target_name: str = "host") -> Callable[..., np.ndarray]:
    """The function of arrays that the body describes, compiled for a target."""
    target = Target.host() if target_name == "host" else Target.named(target_name)
    kernel = elementwise_kernel(body, dtypes)
    result_dtype = kernel.params[-1].dtype
    expanded = expand_kernel(kernel, target)
    assert_basic(expanded)
    code = emit_kernel(expanded, target)
    address = assembler.load(assembler.assemble(code.text, target), [code.name])[code.name]
    native = _SIGNATURE(address)

    def run(*arrays: np.ndarray) -> np.ndarray:
        inputs = [np.ascontiguousarray(a, to_numpy(dtype)) for a, dtype in zip(arrays, dtypes)]
        out = np.empty(inputs[0].shape, to_numpy(result_dtype))
        pointers = [array.ctypes.data for array in (*inputs, out)]
        table = (ctypes.c_int64 * (len(pointers) + 1))(out.size, *pointers)
        native(table, 0, 1)
        return out

    return run


def operation(op: str, dtypes: list[Dtype], target_name: str = "host") -> Callable[..., np.ndarray]:
    return function(lambda builder, *args: builder.apply(op, *args), dtypes, target_name)


_ELEMENTARY = {*ELEMENTARY, *ELEMENTARY_BINARY, "complex", "real", "imag"}
BASIC = SPECIAL | {op for op in PURE if op not in _ELEMENTARY}


def assert_basic(kernel: Kernel) -> None:
    """Only basic operations, on dtypes that the emitter computes with."""
    for statement in walk(kernel.body):
        if not isinstance(statement, Instr):
            continue
        assert statement.op in BASIC, statement.op
        assert statement.dtype is not complex64
        halves = any(arg.dtype.name in ("float16", "bfloat16") for arg in statement.args)
        assert not halves or statement.op in ("cast", "bitcast"), statement.op
        if statement.dtype.kind == "f":
            assert statement.op not in ("floordiv", "mod")
    if not any(getattr(param, "dtype", None) is complex64 for param in kernel.params):
        verify_kernel(kernel)


def single_error(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """The distance of float32 results from float64 references, in ulp; inf for a wrong NaN or zero."""
    with np.errstate(all="ignore"):
        rounded = want.astype(np.float32)
        spacing = np.spacing(np.abs(np.where(np.isfinite(rounded), rounded, 1))).astype(np.float64)
        spacing = np.where(np.isinf(rounded), 2.0**104, spacing)
        limit = 2.0**128
        wide = np.clip(got.astype(np.float64), -limit, limit)
        error = np.abs(wide - np.clip(want, -limit, limit)) / spacing
    return _with_edges(error, got, rounded)


def double_error(got: np.ndarray, want: np.ndarray, low: np.ndarray) -> np.ndarray:
    """The distance of float64 results from want + low, in ulp."""
    with np.errstate(all="ignore"):
        error = np.abs((got - want) - low) / np.spacing(np.abs(np.where(np.isfinite(want), want, 1)))
    return _with_edges(error, got, want)


def _with_edges(error: np.ndarray, got: np.ndarray, want: np.ndarray) -> np.ndarray:
    equal = (np.isnan(got) & np.isnan(want)) | (np.isinf(want) & (got == want))
    error = np.where(equal, 0.0, error)
    error = np.where(np.isnan(got) != np.isnan(want), np.inf, error)
    wrong_sign = (got == 0) & (want == 0) & (np.signbit(got) != np.signbit(want))
    return np.where(wrong_sign, np.inf, error)


def exact(
    reference: Callable[..., object], usual: Callable[..., np.ndarray], *arrays: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Values of a function as sums of two float64: by mpmath where NumPy's value is an ordinary number."""
    with np.errstate(all="ignore"):
        high = usual(*arrays).astype(np.float64)
    low = np.zeros_like(high)
    with mpmath.workdps(40):
        ordinary = np.isfinite(high) & (high != 0)
        for array in arrays:
            ordinary &= np.isfinite(array) & (array != 0)  # mpmath has no -0
        for place in np.flatnonzero(ordinary):
            value = reference(*(mpmath.mpf(float(array[place])) for array in arrays))
            high[place] = float(value)
            low[place] = float(value - mpmath.mpf(high[place]))
    return high, low


EDGES = np.array(
    [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 10.0, 100.0, 1e3, 1e10, -1e10, 1e30]
)


def all_magnitudes(generator: np.random.Generator, count: int, dtype: Dtype) -> np.ndarray:
    """Random sign, exponent and mantissa, subnormals included, and the values where formulas change."""
    bits = {float32: np.uint32, float64: np.uint64}[dtype]
    exponents, width = (256, 23) if dtype is float32 else (2048, 52)
    pattern = generator.integers(0, 2**width, count, dtype=np.uint64)
    pattern |= generator.integers(0, exponents - 1, count, dtype=np.uint64) << np.uint64(width)
    pattern |= generator.integers(0, 2, count, dtype=np.uint64) << np.uint64(8 * dtype.size - 1)
    wide = pattern.astype(bits).view(to_numpy(dtype))
    spread = 10.0 ** generator.uniform(-16, 0, count)
    parts = [
        wide,
        generator.uniform(-1, 1, count),
        generator.uniform(-6, 6, count),
        generator.uniform(-110, 110, count) * (1 if dtype is float32 else 7),
        1 + generator.standard_normal(count) * spread,
        1 - spread,
        generator.standard_normal(count) * 10.0 ** generator.uniform(-20, 5, count),
        np.round(generator.uniform(0, 1e5, count)) * (np.pi / 2),
        EDGES,
        np.array([5e-324, -5e-324, 1e-310, 1e-40, -1e-45, 1.7e308, -1.7e308, 3.4e38, 2.0**53]),
    ]
    with np.errstate(over="ignore", under="ignore"):
        return np.concatenate([part.astype(to_numpy(dtype)) for part in parts])
