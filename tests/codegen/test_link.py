"""Objects loaded without LLVM's linker, and those that are left to it."""

from __future__ import annotations

import ctypes
import os
import sys

import pytest

from tarry.base.settings import settings
from tarry.codegen import link
from tarry.codegen.assemble import Target, assembler, compile_or_load
from tarry.codegen.link import load_object

supported = pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64", reason="objects go to LLVM's linker here"
)

# A vector constant and a table: both are in sections of their own, reached through absolute addresses.
LOOKUP = """
@table = private constant [4 x i64] [i64 2, i64 3, i64 5, i64 7]
define i64 @entry(i64 %index) {
  %place = getelementptr [4 x i64], ptr @table, i64 0, i64 %index
  %value = load i64, ptr %place
  ret i64 %value
}
define double @shifted(double %x) {
  %y = fadd double %x, 0.625
  %z = call double @halved(double %y)
  ret double %z
}
define internal double @halved(double %x) noinline {
  %y = fmul double %x, 0.5
  ret double %y
}
"""
SINE = """
declare double @sin(double)
define double @sine(double %x) {
  %y = call double @sin(double %x)
  ret double %y
}
"""


@supported
def test_constants_and_calls_within_an_object():
    addresses = load_object(assembler.assemble(LOOKUP), ["entry", "shifted"])
    assert addresses is not None
    entry = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(addresses["entry"])
    assert [entry(k) for k in range(4)] == [2, 3, 5, 7]
    assert ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(addresses["shifted"])(1.0) == 0.8125


@supported
def test_symbols_of_the_process_and_given_ones():
    object_bytes = assembler.assemble(SINE)
    addresses = load_object(object_bytes, ["sine"])
    assert addresses is not None
    signature = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
    assert signature(addresses["sine"])(0.5) == pytest.approx(0.479425538604203)
    twice = signature(lambda x: 2.0 * x)
    given = load_object(object_bytes, ["sine"], {"sin": ctypes.cast(twice, ctypes.c_void_p).value or 0})
    assert given is not None
    assert signature(given["sine"])(21.0) == 42.0


@supported
def test_pages_cannot_be_written():
    addresses = load_object(assembler.assemble(LOOKUP), ["entry"])
    assert addresses is not None
    with open("/proc/self/maps") as maps:
        spans = [line.split()[:2] for line in maps]
    for span, mode in spans:
        low, high = (int(part, 16) for part in span.split("-"))
        if low <= addresses["entry"] < high:
            assert mode == "r-xp"
            return
    raise AssertionError("the code is not mapped")


DATA_THAT_CHANGES = """
@state = global i64 0
define i64 @f() {
  %x = load i64, ptr @state
  ret i64 %x
}
"""
UNKNOWN_SYMBOL = """
declare i64 @nobody_has_this()
define i64 @f() {
  %x = call i64 @nobody_has_this()
  ret i64 %x
}
"""


@supported
@pytest.mark.parametrize("text", [DATA_THAT_CHANGES, UNKNOWN_SYMBOL], ids=["data", "symbol"])
def test_left_to_llvm(text):
    assert load_object(assembler.assemble(text), ["f"]) is None


@supported
def test_other_contents_are_left_to_llvm():
    good = assembler.assemble(LOOKUP)
    assert load_object(good, ["not_there"]) is None
    assert load_object(b"no object at all", ["entry"]) is None
    assert load_object(b"", ["entry"]) is None
    for length in range(0, len(good), 7):
        assert load_object(good[:length], ["entry"]) is None
    assert load_object(assembler.assemble(LOOKUP, Target.named("neon")), ["entry"]) is None


def test_llvm_loads_the_same_functions(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "cache_directory", str(tmp_path))
    monkeypatch.setattr(link, "_is_supported", lambda: False)
    assert load_object(assembler.assemble(LOOKUP), ["entry"]) is None
    addresses = compile_or_load(LOOKUP.replace("@entry", "@entry_by_llvm"), ["entry_by_llvm"])
    assert ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(addresses["entry_by_llvm"])(3) == 7
