"""Native code on demand: kernels by their canonical text, matrix products by dtype, and the thread pool.

The one place that imports where it needs to: what most programs never load, or not before they compile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from tarry.base.settings import settings
from tarry.codegen.assemble import LoadedModule, Module, Target, make_or_load
from tarry.codegen.depthwise_layout import depthwise_symbols
from tarry.codegen.gemm import GemmCode, GemmSpec, module_symbols
from tarry.codegen.native_pool import NATIVE_POOL_SYMBOLS, native_pool_text
from tarry.codegen.sort_layout import selection_symbols, sort_symbols
from tarry.loops.ir import Kernel
from tarry.loops.text import print_kernel
from tarry.runtime.threads import ThreadPool


class NativeKernel:
    """A compiled kernel: its canonical text, addresses, and the bytes each chunk needs for partial results.

    Who asks for an address may have to wait for the compiler.
    """

    __slots__ = ("_module", "name", "partial_bytes", "text")

    def __init__(self, text: str, module: LoadedModule) -> None:
        self.text = text
        self._module = module
        self.name = module.names[0]
        self.partial_bytes = module.numbers["partial_bytes"]

    @property
    def function(self) -> int:
        return self._module.addresses[self.name]

    @property
    def finish(self) -> int:
        """The function that combines partial results; 0 if there is none."""
        names = self._module.names
        return self._module.addresses[names[1]] if len(names) > 1 else 0


class NativeProduct:
    """A compiled matrix product of one dtype and variant: the address of each step."""

    __slots__ = ("_module", "code")

    def __init__(self, code: GemmCode, module: LoadedModule) -> None:
        self._module = module
        self.code = code

    @property
    def functions(self) -> list[int]:
        return [self._module.addresses[symbol] for symbol in self.code.symbols]


_lock = threading.RLock()
_kernels: dict[str, NativeKernel] = {}
_products: dict[tuple[str, str], NativeProduct] = {}
_routines: dict[str, NativeRoutine] = {}
_pool: ThreadPool | None = None
_pool_module: LoadedModule | None = None


def thread_pool() -> ThreadPool:
    """The pool that runs plans; made on first use."""
    global _pool
    if _pool is None:
        with _lock:
            if _pool is None:
                _pool = ThreadPool(_start_pool().addresses)
    return _pool


def _start_pool() -> LoadedModule:
    """The code of the thread pool; where it has to be compiled, that goes on in the background."""
    global _pool_module
    if _pool_module is None:
        text = native_pool_text(Target.host().triple)
        _pool_module = make_or_load(
            text, lambda: Module(text, NATIVE_POOL_SYMBOLS), NATIVE_POOL_SYMBOLS, background=True
        )
    return _pool_module


def native_kernel(kernel: Kernel) -> NativeKernel:
    """The code of a kernel; kernels of the same structure share it."""
    if settings.check:
        from tarry.loops.verify import verify_kernel

        verify_kernel(kernel)
    return native_text(print_kernel(kernel, canonical=True), kernel)


def native_text(text: str, kernel: Kernel | None = None) -> NativeKernel:
    """The code of the kernel with this canonical text; who has the kernel itself spares reading the text."""
    found = _kernels.get(text)
    if found is None:
        with _lock:
            found = _kernels.get(text)
            if found is None:
                _start_pool()
                found = _compile(text, kernel)
                _kernels[text] = found
    return found


def _compile(text: str, kernel: Kernel | None) -> NativeKernel:
    def make() -> Module:
        # Not needed when the kernel comes from the disk cache, and slow to import.
        from tarry.codegen.kernels import kernel_module

        if kernel is not None:
            return kernel_module(kernel, text)
        from tarry.loops.parse import parse_kernel

        return kernel_module(parse_kernel(text), text)

    if settings.debug >= 4:
        make()  # prints the text, also of a kernel that is then loaded
    return NativeKernel(text, make_or_load(text, make, background=True))


def reference_interpreter() -> Callable[[Kernel, dict[str, object]], None]:
    """What checks compare a kernel with."""
    from tarry.loops.interpret import run_kernel

    return run_kernel


def native_product(dtype: str, variant: str) -> NativeProduct:
    """The code of a matrix product.

    All variants of a dtype are one module: which one serves best depends on sizes, and new sizes must not
    compile anything.
    """
    key = (dtype, variant)
    if key not in _products:
        with _lock:
            spec, prefix = GemmSpec(dtype), f"product_{dtype}"
            module = _compile_product(spec, prefix)
            for each in spec.variants:
                code = GemmCode(spec, Target.host(), each, prefix)
                _products.setdefault((dtype, each), NativeProduct(code, module))
    return _products[key]


def _compile_product(spec: GemmSpec, prefix: str) -> LoadedModule:
    symbols = module_symbols(spec, prefix)

    def make() -> Module:
        # As with kernels: what writes the text is not needed when the module comes from the disk cache.
        from tarry.codegen.gemm_module import emit_gemm

        return Module(emit_gemm(spec, Target.host(), prefix), symbols)

    return make_or_load(f"matrix products {prefix}", make, symbols, background=True)


class NativeRoutine:
    """Kernels of one module that are the steps of a call, in the order of `symbols`."""

    __slots__ = ("_module", "symbols")

    def __init__(self, symbols: list[str], module: LoadedModule) -> None:
        self.symbols = symbols
        self._module = module

    @property
    def functions(self) -> list[int]:
        """The addresses of the kernels; waits for their code."""
        return [self._module.addresses[symbol] for symbol in self.symbols]


def native_sort(dtype: str, places: bool, in_parts: bool) -> NativeRoutine:
    """The code that sorts rows of a dtype, into values or places, whole ones or in parts."""

    def write() -> str:
        from tarry.codegen.sort import write_sort

        return write_sort(dtype, places, in_parts, Target.host())

    return _routine(sort_symbols(dtype, places, in_parts), write)


def native_selection(dtype: str, places: bool) -> NativeRoutine:
    """The code that selects in rows of a dtype, values or places."""

    def write() -> str:
        from tarry.codegen.selection import write_selection

        return write_selection(dtype, places, Target.host())

    return _routine(selection_symbols(dtype, places), write)


def native_depthwise(dtype: str) -> NativeRoutine:
    """The code of depthwise convolutions of a dtype."""

    def write() -> str:
        from tarry.codegen.depthwise import write_depthwise

        return write_depthwise(dtype, Target.host())

    return _routine(depthwise_symbols(dtype), write)


def _routine(symbols: list[str], write: Callable[[], str]) -> NativeRoutine:
    """The code with these symbols; if it is new, it begins to compile."""
    name = " ".join(symbols)
    known = _routines.get(name)
    if known is not None:
        return known
    module = make_or_load(name, lambda: Module(write(), symbols), symbols, background=True)
    return _routines.setdefault(name, NativeRoutine(symbols, module))
