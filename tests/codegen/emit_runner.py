"""Runs emitted kernels on arrays, on chosen chunks in a chosen order, beside the reference interpreter."""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Sequence

import numpy as np

from tarry.base.dtypes import BY_NAME, Dtype, to_numpy
from tarry.codegen.assemble import Assembler, Target
from tarry.codegen.emit import KernelCode, emit_kernel
from tarry.loops.interpret import run_kernel
from tarry.loops.ir import BufferParam, IntParam, Kernel
from tarry.loops.verify import verify_kernel

assembler = Assembler()
_functions: dict[tuple[int, str], tuple[Kernel, KernelCode, list[object]]] = {}
TARGETS = ["host"] if Target.named("host").architecture != "x86" else ["host", "sse2"]
_SIGNATURE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
_keep: list[object] = []
PAGE = mmap.PAGESIZE


def compiled(kernel: Kernel, target: str = "host") -> tuple[KernelCode, list[object]]:
    """The code of a kernel and its functions, once per kernel object and target (any x86 runs sse2)."""
    found = _functions.get((id(kernel), target))
    if found is None:
        machine = Target.host() if target == "host" else Target.named(target)
        code = emit_kernel(kernel, machine)
        names = [code.name] + ([code.finish_name] if code.finish_name else [])
        addresses = assembler.load(assembler.assemble(code.text, machine), names)
        found = kernel, code, [_SIGNATURE(addresses[name]) for name in names]
        _functions[id(kernel), target] = found
    return found[1], found[2]


def fenced(array: np.ndarray) -> np.ndarray:
    """A copy that ends where readable memory ends: a read past it is a crash."""
    if not sys.platform.startswith("linux"):
        return array.copy()
    pages = -(-max(array.nbytes, 1) // PAGE)
    area = mmap.mmap(-1, (pages + 1) * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(start + pages * PAGE), ctypes.c_size_t(PAGE), 0) == 0
    offset = pages * PAGE - array.nbytes
    _keep.append(area)
    result = np.frombuffer(area, array.dtype, array.size, offset)
    result[:] = array
    return result


def _coefficient(coefficient, arguments) -> int:
    factor = 1 if coefficient.param is None else arguments[coefficient.param.name]
    return coefficient.multiplier * factor


def run_native(
    kernel: Kernel,
    arguments: dict,
    chunks: int = 1,
    order: Sequence[int] | None = None,
    target: str = "host",
) -> None:
    """Runs the emitted code of every chunk, then its finish."""
    code, functions = compiled(kernel, target)
    table = np.zeros(len(kernel.params) + 1, np.int64)
    keep = []
    for slot, param in enumerate(kernel.params):
        if isinstance(param, BufferParam):
            if param.mode == "scratch" and param.name not in arguments:
                size = _coefficient(param.extent, arguments) * chunks
                array = np.full(size, 77, to_numpy(param.dtype))
            else:
                array = arguments[param.name]
            keep.append(array)
            table[slot] = array.ctypes.data
        elif isinstance(param, IntParam):
            table[slot] = arguments[param.name]
        else:
            scalar = np.array([arguments[param.name]], to_numpy(param.dtype))
            table[slot : slot + 1].view(np.uint8)[: scalar.nbytes] = scalar.view(np.uint8)
    partials = np.full(max(1, code.partial_bytes * chunks), 77, np.uint8)
    if code.partial_bytes:
        table[len(kernel.params)] = partials.ctypes.data
    for chunk in order if order is not None else range(chunks):
        functions[0](table.ctypes.data, chunk, chunks)
    if code.finish_name:
        functions[1](table.ctypes.data, 0, chunks)
    del keep


def bits(array: np.ndarray) -> np.ndarray:
    """The array as integers, any NaN as one pattern."""
    if array.dtype.kind in "biuc":
        return array
    wide = array.astype(np.float64)
    result = array.view(f"u{array.dtype.itemsize}").copy()
    result[np.isnan(wide)] = np.iinfo(result.dtype).max
    return result


def check_kernel(
    kernel: Kernel,
    arguments: dict,
    chunks: Sequence[int] = (1,),
    rtol: float = 0.0,
    targets: Sequence[str] = ("host",),
) -> dict:
    """Runs both; compares every buffer the kernel writes, bit by bit unless `rtol` is given."""
    verify_kernel(kernel)
    expected = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    run_kernel(kernel, expected)
    got = {}
    for count, target in [(count, target) for count in chunks for target in targets]:
        got = {k: fenced(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
        run_native(kernel, got, count, list(reversed(range(count))), target)
        for param in kernel.params:
            if not isinstance(param, BufferParam) or param.mode not in ("out", "update", "status"):
                continue
            a, b = got[param.name], expected[param.name]
            if rtol and a.dtype.kind in "fc":
                np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol, err_msg=param.name)
            else:
                np.testing.assert_array_equal(bits(a), bits(b), err_msg=f"{param.name}, {count} chunks")
    return got


def sample(dtype: Dtype, count: int, generator: np.random.Generator) -> np.ndarray:
    """Random members of a dtype, its extreme ones among them."""
    kind = to_numpy(dtype)
    if dtype.kind == "b":
        return generator.integers(0, 2, count).astype(bool)
    if dtype.kind == "f":
        values = generator.standard_normal(count) * 10.0 ** generator.integers(-3, 4, count)
        special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 3e38, 2.5, -2147483648.0, 5e9, -1e19, 65519.9]
        where = generator.random(count) < 0.3
        values[where] = generator.choice(special, int(where.sum()))
        with np.errstate(over="ignore"):
            return values.astype(np.float32).astype(kind)
    info = np.iinfo(kind)
    values = generator.integers(info.min, info.max, count, dtype=kind, endpoint=True)
    small = generator.random(count) < 0.5
    values[small] = generator.integers(-3 if dtype.kind == "i" else 0, 9, int(small.sum())).astype(kind)
    values[generator.random(count) < 0.05] = info.min
    return values


NUMERIC = [name for name in BY_NAME if name not in ("complex64", "float16", "bfloat16")]
