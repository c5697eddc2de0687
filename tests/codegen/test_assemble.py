"""Targets, and text to machine code."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading

import pytest

from tarry.base.settings import settings
from tarry.codegen.assemble import AssemblyError, Target, assembler, compile_or_load
from tarry.runtime.counters import counters

SCALE = """
define void @scale(ptr noalias %args, i64 %chunk, i64 %chunks) {
  %data = load ptr, ptr %args
  %value = load <8 x float>, ptr %data, align 4
  %twice = fadd <8 x float> %value, %value
  store <8 x float> %twice, ptr %data, align 4
  ret void
}
"""


def sine_text(name: str) -> str:
    return f"""
declare double @sin(double)
define double @{name}(double %x) {{
  %y = call double @sin(double %x)
  ret double %y
}}
"""


@pytest.fixture(autouse=True)
def private_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "cache_directory", str(tmp_path))


@pytest.mark.parametrize(
    ("name", "bits", "fma", "register"),
    [
        ("avx512", 512, True, "ymm0"),
        ("avx2", 256, True, "ymm0"),
        ("sse2", 128, False, "xmm0"),
        ("neon", 128, True, "v0.4s"),
    ],
)
def test_named_targets_generate_their_code(name, bits, fma, register):
    target = Target.named(name)
    assert (target.name, target.vector_bits, target.has_fma) == (name, bits, fma)
    assert register in assembler.assembly_text(SCALE, target)
    assert len(assembler.assemble(SCALE, target)) > 100


def test_host_target_is_cached_and_consistent():
    host = Target.host()
    assert host is Target.host()
    assert host.vector_bits in (128, 256, 512)
    assert host.architecture in ("x86", "aarch64", "other")


def test_unknown_target():
    with pytest.raises(ValueError, match=r"\[target\] Unknown target 'avx9'; expected one of host, avx512"):
        Target.named("avx9")


def test_target_setting_narrows_the_host(monkeypatch):
    if Target.host().architecture != "x86":
        pytest.skip("named hosts are x86")
    monkeypatch.setattr(settings, "target", "sse2")
    assert Target.host().vector_bits == 128
    addresses = compile_or_load(sine_text("sine_of_sse2"), ["sine_of_sse2"])
    assert ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(addresses["sine_of_sse2"])(0.0) == 0.0
    monkeypatch.setattr(settings, "target", "mmx")
    with pytest.raises(ValueError, match=r"\[target\] TARRY_TARGET is 'mmx'; expected one of host"):
        Target.host()


def test_process_symbols_resolve_and_texts_load_once():
    compiled = counters.kernels_compiled
    addresses = compile_or_load(sine_text("sine_once"), ["sine_once"])
    assert ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(addresses["sine_once"])(0.5) == pytest.approx(
        0.479425538604203
    )
    assert compile_or_load(sine_text("sine_once"), ["sine_once"]) == addresses
    assert counters.kernels_compiled == compiled + 1


def test_imports_resolve():
    text = """
declare i64 @answer_elsewhere()
define i64 @ask() {
  %answer = call i64 @answer_elsewhere()
  ret i64 %answer
}
"""
    answer = ctypes.CFUNCTYPE(ctypes.c_int64)(lambda: 42)
    address = ctypes.cast(answer, ctypes.c_void_p).value
    assert address is not None
    addresses = assembler.load(assembler.assemble(text), ["ask"], {"answer_elsewhere": address})
    assert ctypes.CFUNCTYPE(ctypes.c_int64)(addresses["ask"])() == 42


@pytest.mark.parametrize("text", ["define nonsense", "define i32 @f() {\n  ret i32 %undefined\n}"])
def test_errors_keep_the_text(text):
    with pytest.raises(RuntimeError, match=r"\[assemble\] LLVM does not accept the text") as caught:
        compile_or_load(text, ["f"])
    assert isinstance(caught.value, AssemblyError)
    assert caught.value.text == text


def test_missing_symbol_is_an_error():
    with pytest.raises(AssemblyError, match=r"\[assemble\] Cannot load not_there") as caught:
        compile_or_load(SCALE, ["not_there"])
    assert caught.value.text == SCALE
    assert compile_or_load(SCALE, ["scale"])["scale"]


def test_threads_share_one_compilation():
    text, found = sine_text("sine_shared"), []
    compiled = counters.kernels_compiled

    def compile_it():
        found.append(compile_or_load(text, ["sine_shared"]))

    threads = [threading.Thread(target=compile_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(addresses == found[0] for addresses in found)
    assert counters.kernels_compiled == compiled + 1


def test_llvmlite_is_imported_on_first_use():
    script = "import sys, tarry.codegen.assemble; assert 'llvmlite' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
