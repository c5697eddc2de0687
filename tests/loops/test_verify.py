"""The verifier: what it accepts, and one broken kernel for every rule."""

from __future__ import annotations

import pytest

from tarry.base.dtypes import float32, int64
from tarry.loops.ir import (
    Access,
    BufferParam,
    Coefficient,
    Instr,
    IntParam,
    Kernel,
    Linear,
    Loop,
    LoopVar,
    Store,
)
from tarry.loops.parse import parse_kernel
from tarry.loops.verify import verify_kernel

HEAD = (
    "kernel k(x0: in float32, y0: out float32, u0: update int32, t0: scratch float32[n0],"
    " p0: partial float32[4], status0: status int64, n0: int, c0: scalar float32)\n"
)


def check(lines: str) -> None:
    body = "\n".join("  " + line for line in lines.strip("\n").split("\n"))
    verify_kernel(parse_kernel(HEAD + body))


ACCEPTED = {
    "values": "v0 = scalar c0\nv1 = size n0\nv2 = index 3*n0 + v1*2\nv3 = load x0[v2]\nv4 = add v0, v3",
    "nest": (
        "parallel i0 < n0\n  loop i1 < 3\n    vector i2 < n0\n      v0 = load x0[i2]\n      store y0[i2] = v0"
    ),
    "value as extent": "v0 = size n0\nloop i0 < v0\n  v1 = load x0[i0]",
    "partial results": (
        "v0 = scalar c0\nparallel i0 < 4\n  store p0[i0] = v0\nloop i1 < 4\n  v1 = load p0[i1]\n"
        "  store y0[i1] = v1"
    ),
    "vector and parallel": "parallel vector i0 < n0\n  v0 = load x0[i0]",
    "load after store": "v0 = scalar c0\nstore y0[0] = v0\nv1 = load y0[0]",
    "carried by a loop": (
        "loop i0 < n0\n  v0 = index i0\n  v1: int64 = const 0\n  v2 = gt v0, v1\n"
        "  v3 = load y0[i0 + -1] if v2\n  store y0[i0] = v3"
    ),
    "read in an outer loop": (
        "loop i0 < n0\n  declare a0: sum float32\n  vector i1 < n0\n    v0 = load x0[i1]\n    a0 <- v0\n"
        "  v1 = read a0.0\n  store y0[i0] = v1"
    ),
    "two components": (
        "v0: float32 = const 0\nv1: uint32 = const 0\ndeclare a0: argmax float32, uint32\na0 <- v0, v1"
    ),
    "check": "v0 = size n0\nv1 = lt v0, v0\ncheck v1 else status0(slot n0, index v0, extent v0)",
    "libm": "v0: float64 = const 1\nv1: bool = const true\nv2 = libm pow(v0, v0) if v1",
    "scratch in the parallel loop": (
        "parallel i0 < n0\n  v0 = load x0[i0]\n  store t0[0] = v0\n  v1 = load t0[0]\n  store y0[i0] = v1"
    ),
    "casts": "v0 = scalar c0\nv1: int8 = cast v0\nv2: int32 = bitcast v0\nv3 = complex v0, v0\nv4 = imag v3",
}

VALUE = "v0 = scalar c0\n"
LONG = "v0 = size n0\n"
REFUSED = {
    "dtypes differ": (VALUE + "v1 = size n0\nv2 = add v0, v1", r"add does not take \(float32, int64\): v2"),
    "kind": (VALUE + "v1 = xor v0, v0", "xor does not take"),
    "arity": (VALUE + "v1: float32 = add v0", "add takes 2 arguments only, not 1"),
    "unknown operation": (VALUE + "v1: float32 = frobnicate v0", "'frobnicate' is not an operation"),
    "result dtype": (VALUE + "v1: int8 = neg v0", "neg gives float32 here, not int8"),
    "load dtype": ("v0: int8 = load x0[0]", "load gives float32 here, not int8"),
    "condition": (VALUE + "v1 = select v0, v0, v0", "the condition must be bool, but v0 is float32"),
    "bitcast": (VALUE + "v1: int8 = bitcast v0", "bitcast needs dtypes of one size"),
    "complex": (LONG + "v1 = complex v0, v0", "complex takes two float32 values"),
    "const kind": ("v0: int8 = const 1.5", "1.5 is not a number of kind i"),
    "const range": ("v0: uint8 = const 256", "256 is out of the range of uint8, 0 .. 255"),
    "const of bool": ("v0: bool = const 2", "2 is out of the range of bool"),
    "scope": ("loop i0 < n0\n  v0 = load x0[i0]\nv1 = neg v0", "v0 is used out of its scope: v1 = neg v0"),
    "variable's scope": ("loop i0 < n0\n  v0 = size n0\nv1 = index i0", "i0 is used out of its scope"),
    "float position": (VALUE + "v1 = load x0[v0]", "the position must be int64, but v0 is float32"),
    "float extent": (VALUE + "loop i0 < v0\n  v1 = size n0", "the extent must be int64"),
    "load guard": (VALUE + "v1 = load x0[0] if v0", "the guard must be bool"),
    "store guard": (VALUE + "store y0[0] = v0 if v0", "the guard must be bool"),
    "store dtype": (LONG + "store y0[0] = v0", "the stored value must be float32, but v0 is int64: store y0"),
    "store to in": (VALUE + "store x0[0] = v0", "a store needs an out, update or scratch buffer, not in x0"),
    "store to status": (LONG + "store status0[0] = v0", "not status status0"),
    "load of out": ("v0 = load y0[0]", "y0 is loaded from before anything is stored to it"),
    "load of partial": ("loop i0 < n0\n  v0 = load p0[i0]", "p0 is loaded from before"),
    "load of scratch": ("loop i0 < n0\n  v0 = load t0[0]", "t0 is loaded from before"),
    "load of status": ("v0 = load status0[0]", "the status buffer status0 cannot be loaded from"),
    "scratch outside": (VALUE + "store t0[0] = v0\nparallel i0 < 2\n  v1 = neg v0", "outside the parallel"),
    "inner parallel": ("loop i0 < 2\n  parallel i1 < 2\n    v0 = size n0", "stands at the top of the kernel"),
    "two parallel": (
        "parallel i0 < 2\n  v0 = size n0\nparallel i1 < 2\n  v1 = size n0",
        "at most one parallel loop: parallel i1 < 2",
    ),
    "vector in vector": (
        "vector i0 < 2\n  loop i1 < 2\n    vector i2 < 2\n      v0 = size n0",
        "cannot stand inside a vector loop: vector i2 < 2",
    ),
    "combiner": ("declare a0: median float32", "'median' is not a combiner"),
    "components": ("declare a0: argmax float32", "argmax has 2 components, not 1"),
    "combiner's dtypes": ("declare a0: sum bool", "sum does not take these dtypes"),
    "update dtype": (LONG + "declare a0: sum float32\na0 <- v0", "the update must be float32, but v0"),
    "update count": (VALUE + "declare a0: sum float32\na0 <- v0, v0", "a0 takes 1 values, not 2"),
    "accumulator's scope": (
        VALUE + "loop i0 < 2\n  declare a0: sum float32\na0 <- v0",
        "a0 is used out of its scope",
    ),
    "read in the loop": (
        VALUE + "declare a0: sum float32\nloop i0 < 2\n  v1 = read a0.0\n  loop i1 < 2\n    a0 <- v0",
        "a0 is read inside a loop that updates it: v1 = read a0.0",
    ),
    "component": ("declare a0: sum float32\nv0: float32 = read a0.1", "a0 has 1 components, and none is 1"),
    "check's condition": (LONG + "check v0 else status0(slot 1, index v0, extent v0)", "must be bool"),
    "check's buffer": (
        LONG + "v1 = eq v0, v0\ncheck v1 else u0(slot 1, index v0, extent v0)",
        "a check needs a status buffer of this kernel, not u0",
    ),
    "libm": (VALUE + "v1 = eq v0, v0\nv2 = libm pow(v0, v0) if v1", "the argument must be float64"),
    "parameter's type": ("v0: float32 = scalar n0", "scalar needs a parameter of this kernel"),
}


@pytest.mark.parametrize("lines", ACCEPTED.values(), ids=ACCEPTED)
def test_accepts(lines: str) -> None:
    check(lines)


@pytest.mark.parametrize(("lines", "message"), REFUSED.values(), ids=REFUSED)
def test_refuses(lines: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^\[verify\] .*" + message):
        check(lines)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("kernel k(t0: scratch int8)", "the scratch buffer t0 has no extent: kernel k"),
        ("kernel k(p0: partial int8)", "the partial buffer p0 has no extent: kernel k"),
        ("kernel k(status0: status int32)", "status0 is int32 and not int64"),
    ],
)
def test_refuses_parameters(header: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^\[verify\] .*" + message):
        verify_kernel(parse_kernel(header))


def refuse(kernel: Kernel, message: str) -> None:
    with pytest.raises(ValueError, match=r"^\[verify\] .*" + message):
        verify_kernel(kernel)


def test_refuses_what_no_text_can_say() -> None:
    one = Instr("const", int64, (), 1, "v0")
    negative = Instr("neg", int64, (one,), None, "v1")
    refuse(Kernel("k", [], [negative, one]), "v0 is used before its definition: v1 = neg v0")
    refuse(Kernel("k", [], [one, one]), "v0 is defined twice")
    refuse(Kernel("k", [IntParam("n"), IntParam("n")], []), "'n' is missing or given twice")
    refuse(Kernel("k", [BufferParam("x", float32, "sideways")], []), "'sideways' of x is not one of in, out")
    refuse(Kernel("k", [], [Instr("load", float32, (), None, "v0")]), "load needs an Access, not NoneType")
    refuse(Kernel("k", [], [Instr("const", int64, (), "1", "v0")]), "'1' is not a number")
    stranger = BufferParam("z", int64, "out")
    access = Access(stranger, Linear(()))
    refuse(Kernel("k", [], [one, Store(access, one)]), r"z is not a buffer of this kernel: store z\[0\] = v0")
    unknown = Coefficient(2, IntParam("m"))
    loop = Loop(LoopVar("i0"), unknown, [])
    refuse(Kernel("k", [], [loop]), "m is not an integer parameter of this kernel: loop i0 < 2\\*m")
