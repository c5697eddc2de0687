"""Native code on demand: kernels by their canonical text, matrix products by dtype, and the thread pool."""

from __future__ import annotations

import threading

from tarry.base.settings import settings
from tarry.codegen.assemble import Module, Target, compile_or_load, make_or_load
from tarry.codegen.gemm import VARIANTS, GemmCode, GemmSpec, emit_gemm
from tarry.codegen.native_pool import NATIVE_POOL_SYMBOLS, native_pool_text
from tarry.loops.ir import Kernel
from tarry.loops.text import print_kernel
from tarry.runtime.threads import ThreadPool


class NativeKernel:
    """A compiled kernel: addresses, and the bytes each chunk needs for its partial results."""

    __slots__ = ("finish", "function", "name", "partial_bytes")

    def __init__(self, name: str, function: int, finish: int, partial_bytes: int) -> None:
        self.name = name
        self.function = function
        self.finish = finish
        self.partial_bytes = partial_bytes


class NativeProduct:
    """A compiled matrix product of one dtype and variant: the address of each step."""

    __slots__ = ("code", "functions")

    def __init__(self, code: GemmCode, functions: list[int]) -> None:
        self.code = code
        self.functions = functions


_lock = threading.RLock()
_kernels: dict[str, NativeKernel] = {}
_products: dict[tuple[str, str], NativeProduct] = {}
_pool: ThreadPool | None = None


def thread_pool() -> ThreadPool:
    """The pool that runs plans; made on first use."""
    global _pool
    if _pool is None:
        with _lock:
            if _pool is None:
                target = Target.host()
                _pool = ThreadPool(compile_or_load(native_pool_text(target.triple), NATIVE_POOL_SYMBOLS))
    return _pool


def native_kernel(kernel: Kernel) -> NativeKernel:
    """The code of a kernel; kernels of the same structure share it."""
    text = print_kernel(kernel, canonical=True)
    found = _kernels.get(text)
    if found is None:
        with _lock:
            found = _kernels.get(text)
            if found is None:
                found = _compile(kernel, text)
                _kernels[text] = found
    return found


def _compile(kernel: Kernel, text: str) -> NativeKernel:
    def make() -> Module:
        # Not needed when the kernel comes from the disk cache, and slow to import.
        from tarry.codegen.kernels import kernel_module

        return kernel_module(kernel, text)

    if settings.debug >= 4:
        make()  # prints the text, also of a kernel that is then loaded
    module = make_or_load(text, make)
    names = list(module.addresses)
    finish = module.addresses[names[1]] if len(names) > 1 else 0
    return NativeKernel(names[0], module.addresses[names[0]], finish, module.numbers["partial_bytes"])


def native_product(dtype: str, variant: str) -> NativeProduct:
    """The code of a matrix product.

    All variants of a dtype are made at once: which one serves best depends on sizes, and new sizes must not
    compile anything.
    """
    key = (dtype, variant)
    if key not in _products:
        with _lock:
            for each in VARIANTS:
                if (dtype, each) not in _products and (dtype != "complex64" or each == "packed"):
                    _products[(dtype, each)] = _compile_product(dtype, each)
    return _products[key]


def _compile_product(dtype: str, variant: str) -> NativeProduct:
    code = emit_gemm(GemmSpec(dtype), Target.host(), variant, f"product_{dtype}")
    addresses = compile_or_load(code.text, code.symbols)
    return NativeProduct(code, [addresses[symbol] for symbol in code.symbols])
