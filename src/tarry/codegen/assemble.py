"""LLVM text to machine code: the only module that touches `llvmlite.binding`.

Text comes in with explicit vectors and loop invariants hoisted, so no IR passes run and the code generator
works at level 1: 4 to 8 ms a kernel where the full pipeline takes 13 to 40 for the same speed. Objects go to
the disk cache and come back in a quarter of a millisecond.

llvmlite is imported on first use (60 ms), which keeps `import tarry.core` quick, and so is a warm start where
objects can be loaded without it (`link`) and the machine is known (`host`).
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tarry.base.settings import settings
from tarry.codegen.cache import Entry, ObjectCache, disk_cache, entry_key, source_version
from tarry.codegen.host import recall_host, remember_host
from tarry.codegen.jobs import Job, start_job
from tarry.codegen.link import load_object
from tarry.runtime.counters import counters

EMITTER_VERSION = 1  # raise it when the same text has to give another object
OPTIMIZATION_LEVEL = 1

# Around everything LLVM does (it takes turns anyway). A fork waits for it: the child must find LLVM at rest.
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    # Registered after the hook of `jobs`, so called before it: jobs never wait for this lock.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)

# Around the counter that threads add to.
_counting = threading.Lock()

_X86_MACHINES = ("x86_64", "amd64", "i686")
_ARM_MACHINES = ("aarch64", "arm64")


class AssemblyError(RuntimeError):
    """LLVM refused a text or an object. `text` is the offending LLVM text (empty for an object)."""

    def __init__(self, message: str, text: str = "") -> None:
        super().__init__(message)
        self.text = text


class Target:
    """A machine to generate code for.

    `vector_bits` is the width the emitter should use (512, 256 or 128), `has_fma` whether fused multiply-add
    is an instruction (else emit fmul and fadd with `contract`: llvm.fma would be a slow library call),
    `has_f16c` whether half to float is one, `architecture` "x86", "aarch64" or "other". Targets with equal
    `key` give equal objects.

    Example:
        >>> Target.named("avx2").vector_bits
        256
    """

    __slots__ = ("architecture", "cpu", "features", "has_f16c", "has_fma", "name", "triple", "vector_bits")

    def __init__(
        self, name: str, triple: str, cpu: str, features: str, vector_bits: int, has_fma: bool, has_f16c: bool
    ) -> None:
        machine = triple.split("-", 1)[0]
        self.name = name
        self.triple = triple
        self.cpu = cpu
        self.features = features
        self.vector_bits = vector_bits
        self.has_fma = has_fma
        self.has_f16c = has_f16c
        self.architecture = (
            "x86" if machine in _X86_MACHINES else "aarch64" if machine in _ARM_MACHINES else "other"
        )

    @property
    def key(self) -> tuple[str, str, str]:
        """What decides the object besides the text."""
        return self.triple, self.cpu, self.features

    @classmethod
    def host(cls) -> Target:
        """This machine, or what `settings.target` (TARRY_TARGET) says it should pass for.

        Errors: ValueError when the setting names a target that this machine cannot run.
        """
        name = settings.target
        if name not in _targets:
            _targets[name] = _detect_host() if name == "host" else _narrowed_host(name)
        return _targets[name]

    @classmethod
    def named(cls, name: str) -> Target:
        """The target "host", "avx512", "avx2", "sse2" or "neon", whether or not this machine is one.

        Errors: ValueError for another name.
        """
        if name == "host":
            return _detect_host()
        if name == "neon":
            return cls("neon", "aarch64-unknown-linux-gnu", "generic", "+neon", 128, True, True)
        if name not in _X86_LEVELS:
            names = ", ".join(["host", *_X86_LEVELS, "neon"])
            raise ValueError(f"[target] Unknown target {name!r}; expected one of {names}.")
        cpu, bits, wide, _ = _X86_LEVELS[name]
        triple = _host_facts()["triple"]
        if triple.split("-", 1)[0] not in _X86_MACHINES:
            triple = "x86_64-unknown-linux-gnu"
        return cls(name, triple, cpu, "", bits, wide, wide)

    def __repr__(self) -> str:
        return f"Target({self.name}, {self.triple}, {self.cpu}, {self.vector_bits} bits)"


# Name -> LLVM's processor, vector bits, whether it has FMA and F16C, features the host must have to run it.
_X86_LEVELS: dict[str, tuple[str, int, bool, tuple[str, ...]]] = {
    "avx512": ("x86-64-v4", 512, True, ("avx512f", "avx512bw", "avx512dq", "avx512vl", "fma", "f16c")),
    "avx2": ("x86-64-v3", 256, True, ("avx2", "fma", "f16c", "bmi2")),
    "sse2": ("x86-64", 128, False, ()),
}
_targets: dict[str, Target] = {}


class Assembler:
    """Makes objects from text and loads them into this process. Thread-safe: one call at a time."""

    def __init__(self) -> None:
        self._machines: dict[tuple[str, str, str], Any] = {}
        self._idle: dict[tuple[str, str, str], list[Any]] = {}  # machines no thread is using
        self._jit: Any = None
        # Detached from llvmlite's ownership, so never unloaded while a worker is inside.
        self._libraries: list[Any] = []

    def assemble(self, text: str, target: Target | None = None) -> bytes:
        """The object for a module's text. Errors: AssemblyError (a RuntimeError) if LLVM refuses it."""
        with _lock:
            module, machine = self._parse(text, target or Target.host())
            return bytes(machine.emit_object(module))

    def assemble_apart(self, text: str, target: Target) -> bytes:
        """The same as `assemble`, at the same time as other threads; LLVM must have been imported."""
        llvm = _llvm()
        idle = self._idle.setdefault(target.key, [])
        try:
            machine = idle.pop()
        except IndexError:
            machine = self._make_machine(target)
        module = self._prepare(self._parse_module(text, llvm.create_context()), target, machine)
        # llvmlite lets one thread at a time into LLVM. Modules in contexts of their own need not wait.
        emit = llvm.ffi.lib.LLVMPY_TargetMachineEmitToMemory
        with llvm.ffi.OutputString() as message:
            memory = getattr(emit, "_cfn", emit)(machine, module, 1, message)
            if not memory:
                raise AssemblyError(f"[assemble] LLVM cannot generate code: {message}", text)
        idle.append(machine)
        start, size = llvm.ffi.lib.LLVMPY_GetBufferStart(memory), llvm.ffi.lib.LLVMPY_GetBufferSize(memory)
        try:
            return ctypes.string_at(start, size)
        finally:
            llvm.ffi.lib.LLVMPY_DisposeMemoryBuffer(memory)

    def assembly_text(self, text: str, target: Target | None = None) -> str:
        """The same in the target's assembly language, to read."""
        with _lock:
            module, machine = self._parse(text, target or Target.host())
            return str(machine.emit_assembly(module))

    def verify(self, text: str) -> None:
        """Parse and verify a text without generating code. Errors: AssemblyError."""
        with _lock:
            self._parse_module(text)

    def load(
        self, object_bytes: bytes, names: Sequence[str], imports: Mapping[str, int] | None = None
    ) -> dict[str, int]:
        """Link an object into this process; returns the addresses of the names. The code stays for ever.

        Symbols the object lacks come from `imports` (name -> address), then from the process (libm, libc).
        Errors: AssemblyError for a name that is not there or a symbol nobody has.
        """
        loaded = load_object(object_bytes, names, imports)
        if loaded is not None:
            return loaded
        with _lock:
            llvm = _llvm()
            if self._jit is None:
                self._jit = llvm.create_lljit_compiler(self._machine(_detect_host()), use_jit_link=False)
                # Code must outlive everything, workers at interpreter exit included: never free the JIT.
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._jit))
            builder = llvm.JITLibraryBuilder().add_object_img(object_bytes)
            for name in names:
                builder.export_symbol(name)
            for name, address in (imports or {}).items():
                builder.import_symbol(name, address)
            try:
                library = builder.add_current_process().link(self._jit, f"tarry{len(self._libraries)}")
            except RuntimeError as error:
                # The name of a library that failed is used up as well.
                self._libraries.append(None)
                raise AssemblyError(f"[assemble] Cannot load {', '.join(names)}: {error}") from None
            library.detach()
            self._libraries.append(library)
            return {name: int(library[name]) for name in names}

    def _parse(self, text: str, target: Target) -> tuple[Any, Any]:
        machine = self._machine(target)
        return self._prepare(self._parse_module(text), target, machine), machine

    def _prepare(self, module: Any, target: Target, machine: Any) -> Any:
        module.triple = target.triple
        module.data_layout = str(machine.target_data)
        return module

    def _parse_module(self, text: str, context: Any = None) -> Any:
        try:
            module = _llvm().parse_assembly(text, context)
            module.verify()
        except RuntimeError as error:
            raise AssemblyError(f"[assemble] LLVM does not accept the text: {error}", text) from None
        return module

    def _machine(self, target: Target) -> Any:
        machine = self._machines.get(target.key)
        if machine is None:
            machine = self._make_machine(target)
            self._machines[target.key] = machine
        return machine

    def _make_machine(self, target: Target) -> Any:
        llvm = _llvm()
        if target.triple.split("-", 1)[0] != llvm.get_default_triple().split("-", 1)[0]:
            llvm.initialize_all_targets()
            llvm.initialize_all_asmprinters()
        try:
            description = llvm.Target.from_triple(target.triple)
        except RuntimeError as error:
            raise AssemblyError(f"[assemble] LLVM here has no back end for {target}: {error}") from None
        return description.create_target_machine(
            cpu=target.cpu, features=target.features, opt=OPTIMIZATION_LEVEL, jit=True
        )


class Module:
    """LLVM text, the functions it exports, and numbers to keep with its object."""

    __slots__ = ("names", "numbers", "text")

    def __init__(self, text: str, names: Sequence[str], numbers: dict[str, int] | None = None) -> None:
        self.text = text
        self.names = tuple(names)
        self.numbers = {} if numbers is None else numbers


class LoadedModule:
    """The addresses of a module's functions in this process, and its numbers.

    `addresses` waits for code that is still being compiled.
    """

    __slots__ = ("_addresses", "_pending", "names", "numbers")

    def __init__(
        self,
        names: Sequence[str],
        numbers: dict[str, int],
        addresses: dict[str, int],
        pending: Compilation | None = None,
    ) -> None:
        self.names = tuple(names)
        self.numbers = numbers
        self._addresses = addresses
        self._pending = pending

    @property
    def addresses(self) -> dict[str, int]:
        pending = self._pending
        if pending is not None:
            self._addresses = pending.load()
            self._pending = None
        return self._addresses


class Compilation:
    """A module on its way through LLVM to the disk cache and to memory, in the background."""

    __slots__ = ("_cache", "_job", "_key", "_module", "_object_bytes", "_target")

    def __init__(self, module: Module, target: Target, key: str, cache: ObjectCache | None) -> None:
        _llvm()  # jobs must not wait for the lock that importing takes
        self._module = module
        self._target = target
        self._key = key
        self._cache = cache
        self._object_bytes = b""
        # Counted when they are started, so that a program finds its own count whoever is the faster.
        counters.kernels_compiled += 1
        self._job: Job = start_job(self._run)

    def _run(self) -> None:
        start = time.perf_counter()
        module = self._module
        self._object_bytes = assembler.assemble_apart(module.text, self._target)
        with _counting:
            counters.compile_seconds += time.perf_counter() - start
        if self._cache is not None:
            self._cache.write(self._key, Entry(self._object_bytes, module.names, module.numbers))

    def load(self) -> dict[str, int]:
        """The addresses of the module's functions."""
        self._job.wait()
        try:
            return assembler.load(self._object_bytes, self._module.names)
        except AssemblyError as error:
            error.text = self._module.text
            raise


def compile_or_load(text: str, names: Sequence[str]) -> dict[str, int]:
    """The addresses of the functions of a module's text on this machine.

    A text this process has seen is loaded once; otherwise its object comes from the disk cache or from LLVM.
    Errors: AssemblyError, a RuntimeError, with the text in `text`.
    """
    return make_or_load(text, lambda: Module(text, names), names).addresses


def make_or_load(
    identity: str, make: Callable[[], Module], names: Sequence[str] = (), background: bool = False
) -> LoadedModule:
    """The module that `identity` stands for, together with Tarry's own version; `make` writes its text.

    `make` is called only when neither this process nor the disk cache has the module. A cached module
    without one of `names` is made anew. In the background, LLVM works while the caller goes on.
    """
    target = Target.host()
    versions = (str(EMITTER_VERSION), _source_version(), _host_facts()["versions"])
    key = entry_key((*versions, *target.key, str(OPTIMIZATION_LEVEL), identity))
    # One thread at a time: a second one that needs the same module then finds it loaded.
    with _lock:
        known = _loaded.get(key)
        if known is not None and set(names) <= set(known.names):
            return known
        cache = disk_cache()
        entry = cache.read(key) if cache is not None else None
        module: LoadedModule | None = None
        if entry is not None and set(names) <= set(entry.names):
            module = _load_entry(entry)
        if module is None and background:
            made = make()
            pending = Compilation(made, target, key, cache)
            module = LoadedModule(made.names, made.numbers, {}, pending)
        elif module is None:
            module = _compile(make(), target, key, cache)
        _loaded[key] = module
        return module


def _load_entry(entry: Entry) -> LoadedModule | None:
    """Load a stored object; None if the linker will not have it, which compiling afresh may cure."""
    try:
        addresses = assembler.load(entry.object_bytes, entry.names)
    except AssemblyError:
        counters.cache_damaged += 1
        return None
    counters.kernels_loaded += 1
    return LoadedModule(entry.names, entry.numbers, addresses)


def _compile(module: Module, target: Target, key: str, cache: ObjectCache | None) -> LoadedModule:
    """Compile, load and store in the disk cache."""
    start = time.perf_counter()
    object_bytes = assembler.assemble(module.text, target)
    try:
        addresses = assembler.load(object_bytes, module.names)
    except AssemblyError as error:
        error.text = module.text
        raise
    with _counting:
        counters.compile_seconds += time.perf_counter() - start
    counters.kernels_compiled += 1
    if cache is not None:
        cache.write(key, Entry(object_bytes, module.names, module.numbers))
    return LoadedModule(module.names, module.numbers, addresses)


@functools.cache
def _source_version() -> str:
    """The files that write code: an edited one makes every entry another."""
    return source_version(("codegen", "loops"))


def _detect_host() -> Target:
    """This machine with everything it has."""
    if "detected" not in _targets:
        facts = _host_facts()
        triple = facts["triple"]
        features = _host_features()
        arm = triple.split("-", 1)[0] in _ARM_MACHINES
        bits = 512 if "avx512f" in features else 256 if "avx2" in features else 128
        _targets["detected"] = Target(
            "host",
            triple,
            facts["cpu"],
            facts["features"],
            bits,
            arm or "fma" in features,
            arm or "f16c" in features,
        )
    return _targets["detected"]


def _narrowed_host(name: str) -> Target:
    """A named target that this machine can run, too."""
    if name not in _X86_LEVELS:
        names = ", ".join(["host", *_X86_LEVELS])
        raise ValueError(f"[target] TARRY_TARGET is {name!r}; expected one of {names}.")
    features = _host_features()
    missing = [feature for feature in _X86_LEVELS[name][3] if feature not in features]
    if missing or _detect_host().architecture != "x86":
        lacking = f"it lacks {', '.join(missing)}" if missing else "it is not an x86 machine"
        raise ValueError(f"[target] TARRY_TARGET is {name!r}, but this machine cannot run it: {lacking}.")
    return Target.named(name)


def _host_facts() -> dict[str, str]:
    """What LLVM says of this machine, and which version says it."""
    with _lock:
        if not _facts:
            known = recall_host()
            if known is None:
                llvm = _llvm()
                known = {
                    "triple": llvm.get_default_triple(),
                    "cpu": llvm.get_host_cpu_name(),
                    "features": llvm.get_host_cpu_features().flatten(),
                    "versions": f"llvmlite {_llvmlite_version} llvm {llvm.llvm_version_info}",
                }
                remember_host(known)
            _facts.update(known)
        return _facts


def _host_features() -> set[str]:
    """The names of what the processor has."""
    return {name[1:] for name in _host_facts()["features"].split(",") if name.startswith("+")}


def _llvm() -> Any:
    """llvmlite.binding, imported and initialized on first use."""
    global _binding, _llvmlite_version
    if _binding is None:
        with _lock:
            if _binding is None:
                import llvmlite
                import llvmlite.binding as binding

                binding.initialize_native_target()
                binding.initialize_native_asmprinter()
                _llvmlite_version = llvmlite.__version__
                _binding = binding
    return _binding


_binding: Any = None
_llvmlite_version = ""
_facts: dict[str, str] = {}
_loaded: dict[str, LoadedModule] = {}
assembler = Assembler()
