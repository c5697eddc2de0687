"""The text of kernels: printing and parsing are inverse, canonical names, errors of the parser."""

from __future__ import annotations

import math

import pytest

from tarry.base.dtypes import bool_, complex64, float32, int64
from tarry.loops.builder import Builder, linear
from tarry.loops.ir import Coefficient, Instr, Kernel
from tarry.loops.parse import parse_kernel
from tarry.loops.text import print_kernel, print_number
from tarry.loops.verify import verify_kernel

SOFTMAX = """\
kernel softmax(x0: in float32, y0: out float32, t0: scratch float32[n1], n0: int, n1: int, c0: scalar float32)
  v9 = scalar c0
  parallel i0 < n0
    declare a0: max float32
    vector i1 < n1
      v0 = load x0[i0*n1 + i1]
      a0 <- v0
    v1 = read a0.0
    declare a1: sum float32
    vector i2 < n1
      v2 = load x0[i0*n1 + i2]
      v3 = sub v2, v1
      v4 = mul v3, v9
      v5 = exp v4
      store t0[i2] = v5
      a1 <- v5
    v6 = read a1.0
    vector i3 < n1
      v7 = load t0[i3]
      v8 = div v7, v6
      store y0[i0*n1 + i3] = v8
"""

EVERYTHING = """\
kernel everything(x0: in int32, y0: out complex64, u0: update bool, status0: status int64, n0: int)
  v0 = size n0
  v1 = index -3
  v2: float64 = const 1e-300
  v3: float32 = const -inf
  v4: complex64 = const (-0.0, nan)
  v5: bool = const true
  v6: uint64 = const 18446744073709551615
  v7 = libm atan2(v2, v2) if v5
  v8 = real v4
  v9 = complex v8, v3
  v10: int32 = bitcast v3
  loop i0 < v0
    v11 = load x0[i0*2*n0 + v1*-1 + 4*n0 + 7] if v5
    v12: int64 = cast v11
    v13 = eq v11, v10
    v14 = select v13, v11, v10
    check v13 else status0(slot 2, index v12, extent v0)
    declare a0: argmin int32, uint32
    parallel vector i1 < 4
      v15: uint32 = cast v14
      a0 <- v11, v15
    v16 = read a0.1
    store u0[0] = v13
    store y0[i0*-1] = v9 if v13
"""


@pytest.mark.parametrize("text", [SOFTMAX, EVERYTHING])
def test_printing_inverts_parsing(text: str) -> None:
    assert print_kernel(parse_kernel(text)) == text


def test_softmax_verifies() -> None:
    verify_kernel(parse_kernel(SOFTMAX))


def test_blank_lines_and_trailing_spaces_do_not_count() -> None:
    assert print_kernel(parse_kernel("\n" + SOFTMAX.replace("\n", "  \n\n"))) == SOFTMAX


def test_canonical_text_forgets_names() -> None:
    renamed = SOFTMAX.replace("softmax", "other")
    for old, new in [("v9", "scale"), ("i2", "column"), ("a0", "largest"), ("x0", "scores"), ("n1", "width")]:
        renamed = renamed.replace(old, new)
    canonical = print_kernel(parse_kernel(SOFTMAX), canonical=True)
    assert print_kernel(parse_kernel(renamed), canonical=True) == canonical
    assert print_kernel(parse_kernel(canonical), canonical=True) == canonical
    assert canonical.startswith("kernel kernel(x0: in float32, y0: out float32, t0: scratch float32[n1]")
    assert "v0 = scalar c0" in canonical and "v9 = div v8, v7" in canonical
    different = SOFTMAX.replace("sub v2, v1", "sub v1, v2")
    assert print_kernel(parse_kernel(different), canonical=True) != canonical


def test_canonical_numbers_take_the_form_of_their_dtype() -> None:
    texts = []
    for value in (0, 0.0, False):
        builder = Builder()
        builder.store(builder.buffer(float32, "out"), linear(), builder.const(value, float32))
        texts.append(print_kernel(builder.finish(), canonical=True))
    assert texts[0] == texts[1] == texts[2]
    assert "const 0.0" in texts[0]
    assert print_number((1 << 60) + 1, float32) == str((1 << 60) + 1)  # more digits than float64 has
    assert print_number(math.nan, float32) == "nan"
    assert print_number(1, complex64) == "(1.0, 0.0)"
    assert print_number(1, bool_) == "true"


def test_missing_and_repeated_names_become_fresh() -> None:
    first = Instr("const", int64, (), 1)
    second = Instr("const", int64, (), 2, "v1")
    third = Instr("add", int64, (first, second), None, "v1")
    text = print_kernel(Kernel("k", [], [first, second, third]))
    assert text == "kernel k()\n  v0: int64 = const 1\n  v1: int64 = const 2\n  v2 = add v0, v1\n"


def test_a_dtype_that_contradicts_its_operation_is_printed() -> None:
    one = Instr("const", int64, (), 1, "v0")
    text = print_kernel(Kernel("k", [], [one, Instr("neg", float32, (one,), None, "v1")]))
    assert "v1: float32 = neg v0" in text
    assert print_kernel(parse_kernel(text)) == text


@pytest.mark.parametrize("value", [0.1, -0.0, 5e-324, math.inf, -math.inf, 1e22, 2**63, -7, True, 1 - 2.5j])
def test_numbers_round_trip(value: complex) -> None:
    kernel = parse_kernel(f"kernel k()\n  v0: complex64 = const {print_number(value)}")
    constant = kernel.body[0]
    assert isinstance(constant, Instr)
    assert type(constant.attribute) is type(value) and repr(constant.attribute) == repr(value)


def test_the_sign_of_nan_is_kept() -> None:
    assert print_number(-math.nan) == "-nan" and print_number(complex(0, -math.nan)) == "(0.0, -nan)"


def test_position_coefficients() -> None:
    builder = Builder("k")
    x, n = builder.buffer(float32, "update"), builder.integer()
    loop = builder.open_loop(Coefficient(3, n))
    position = linear((loop.var, Coefficient(-2, n)), (None, Coefficient(1, n)), (None, Coefficient(5)))
    builder.store(x, position, builder.load(x, linear()))
    builder.close_loop(loop)
    text = print_kernel(builder.finish())
    assert "loop i0 < 3*n0" in text and "store u0[i0*-2*n0 + n0 + 5]" in text and "load u0[0]" in text
    assert print_kernel(parse_kernel(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "text is empty"),
        ("nothing", "line 1: expected 'kernel name"),
        ("kernel k(x0: in float33)", "line 1: 'float33' is not a dtype"),
        ("kernel k(x0: inside float32)", "line 1: 'inside' is not a mode"),
        ("kernel k(x0)", "line 1: expected 'name: mode dtype'"),
        ("kernel k(x0: in int8, x0: int)", "line 1: x0 is defined twice"),
        ("kernel k()\n   v0: int8 = const 1", "line 2: an indentation of 3"),
        ("kernel k()\nv0: int8 = const 1", "line 2: an indentation of 0"),
        ("kernel k()\n  v0: int8 = const 1\n    v1 = neg v0", "line 3: an indentation of 4"),
        ("kernel k()\n  v0 = const 1", "line 2: const of 0 arguments needs a dtype"),
        ("kernel k()\n  v0: int8 = const one", "line 2: 'one' is not a number"),
        ("kernel k()\n  v0 = neg v1", "line 2: 'v1' is not defined"),
        ("kernel k(n0: int)\n  v0 = neg n0", "line 2: n0 is not a value"),
        ("kernel k(n0: int)\n  v0 = load n0[0]", "line 2: n0 is not a buffer"),
        ("kernel k(n0: int)\n  v0 = read n0.0", "line 2: n0 is not an accumulator"),
        ("kernel k(x0: in int8)\n  v0 = load x0", "line 2: 'x0' is not what load takes"),
        ("kernel k(x0: in int8)\n  v0 = load x0[x0]", "line 2: x0 is not an integer parameter"),
        ("kernel k()\n  loop i0 < a*b", "line 2: 'a\\*b' is not a coefficient"),
        ("kernel k()\n  and so on", "line 2: 'and so on' is not a statement"),
    ],
)
def test_parser_errors_name_the_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^\[parse_kernel\] .*" + message):
        parse_kernel(text)
