"""The interpreter: scalar operations against NumPy, MLX's rules and exact arithmetic; whole kernels."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.base.dtypes import (
    ALL,
    Dtype,
    bfloat16,
    bool_,
    complex64,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    to_numpy,
    uint8,
    uint32,
    uint64,
)
from tarry.loops.interpret import convert_number, evaluate_operation, run_kernel
from tarry.loops.operations import ELEMENTARY, PURE
from tarry.loops.parse import parse_kernel
from tarry.loops.verify import verify_kernel

INTEGERS = [dtype for dtype in ALL if dtype.kind in "iu"]
FLOATS = [float16, bfloat16, float32, float64]
INT_MIN = -(1 << 31)
LONG_MIN = -(1 << 63)


def evaluate(op: str, dtype: Dtype, *values: object) -> object:
    result = bool_ if PURE[op].rule == "compare" else dtype
    return evaluate_operation(op, values, dtype, result)


def run(text: str, **arguments: object) -> None:
    kernel = parse_kernel(text)
    verify_kernel(kernel)
    run_kernel(kernel, arguments)


def integers(dtype: Dtype) -> st.SearchStrategy[int]:
    information = np.iinfo(to_numpy(dtype))
    return st.integers(int(information.min), int(information.max))


def floats(dtype: Dtype) -> st.SearchStrategy[float]:
    width = {float16: 16, float64: 64}.get(dtype, 32)
    return st.floats(width=width).map(lambda value: convert_number(value, dtype))


def same(a: object, b: object) -> bool:
    return repr(a).lstrip("-") == "nan" == repr(b).lstrip("-") or repr(a) == repr(b)


@pytest.mark.parametrize("dtype", INTEGERS, ids=lambda dtype: dtype.name)
def test_integer_arithmetic_wraps_as_in_numpy(dtype: Dtype) -> None:
    functions = {
        "add": np.add, "sub": np.subtract, "mul": np.multiply, "and": np.bitwise_and, "or": np.bitwise_or,
        "xor": np.bitwise_xor, "min": np.minimum, "max": np.maximum, "lt": np.less, "eq": np.equal,
    }  # fmt: skip
    kind = to_numpy(dtype).type

    @given(integers(dtype), integers(dtype))
    def compare(a: int, b: int) -> None:
        with np.errstate(all="ignore"):
            for op, function in functions.items():
                assert evaluate(op, dtype, a, b) == function(kind(a), kind(b)).item(), op
            assert evaluate("neg", dtype, a) == np.negative(kind(a)).item()
            assert evaluate("abs", dtype, a) == np.abs(kind(a)).item()
            assert evaluate("not", dtype, a) == np.invert(kind(a)).item()

    compare()


@pytest.mark.parametrize("dtype", INTEGERS, ids=lambda dtype: dtype.name)
def test_integer_division_floors(dtype: Dtype) -> None:
    @given(integers(dtype), integers(dtype))
    def check(a: int, b: int) -> None:
        quotient, remainder = evaluate("floordiv", dtype, a, b), evaluate("mod", dtype, a, b)
        assert isinstance(quotient, int) and isinstance(remainder, int)
        if b == 0:
            assert (quotient, remainder) == (0, a)
        else:
            assert remainder == a % b
            assert (quotient * b + remainder - a) % (1 << 8 * dtype.size) == 0

    check()


def test_the_smallest_integer_divided_by_minus_one_wraps() -> None:
    assert evaluate("floordiv", int32, INT_MIN, -1) == INT_MIN
    assert evaluate("mod", int32, INT_MIN, -1) == 0
    assert evaluate("floordiv", int8, -7, 2) == -4 and evaluate("mod", int8, 7, -3) == -2


def test_shifts_take_the_count_modulo_the_width() -> None:
    assert evaluate("shl", int32, 1, 32) == 1
    assert evaluate("shl", uint8, 1, 9) == 2
    assert evaluate("shl", int8, 1, 7) == -128
    assert evaluate("shr", int8, -128, 7) == -1
    assert evaluate("shr", uint8, 128, 7) == 1
    assert evaluate("shr", int32, 5, -31) == 2  # -31 is 1 modulo 32


@pytest.mark.parametrize("dtype", [float32, float64], ids=lambda dtype: dtype.name)
def test_floating_arithmetic_is_numpy_s(dtype: Dtype) -> None:
    functions: dict[str, Callable[..., object]] = {
        "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
        "lt": np.less, "ne": np.not_equal,
    }  # fmt: skip
    unary: dict[str, Callable[..., object]] = {
        "sqrt": np.sqrt, "floor": np.floor, "ceil": np.ceil, "round": np.rint,
        "trunc": np.trunc, "abs": np.abs,
    }  # fmt: skip
    kind = to_numpy(dtype).type

    @given(floats(dtype), floats(dtype))
    def compare(a: float, b: float) -> None:
        with np.errstate(all="ignore"):
            for op, function in functions.items():
                assert same(evaluate(op, dtype, a, b), function(kind(a), kind(b)).item()), op  # type: ignore[attr-defined]
            for op, function in unary.items():
                assert same(evaluate(op, dtype, a), function(kind(a)).item()), op  # type: ignore[attr-defined]

    compare()


@pytest.mark.parametrize("dtype", [float16, bfloat16], ids=lambda dtype: dtype.name)
def test_narrow_floats_round_after_every_operation(dtype: Dtype) -> None:
    kind = to_numpy(dtype).type

    @given(floats(dtype), floats(dtype))
    def compare(a: float, b: float) -> None:
        with np.errstate(all="ignore"):
            for op, function in (("add", np.add), ("mul", np.multiply), ("div", np.divide)):
                expected = float(kind(function(np.float32(a), np.float32(b))))
                assert same(evaluate(op, dtype, a, b), expected), op

    compare()
    assert evaluate("add", bfloat16, 256.0, 1.0) == 256.0
    assert evaluate("add", float16, 65504.0, 65504.0) == math.inf


@given(*[st.floats(width=32, allow_nan=False, allow_infinity=False)] * 3)
def test_fma_rounds_once(a: float, b: float, c: float) -> None:
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    result = evaluate("fma", float32, a, b, c)
    assert isinstance(result, float)
    if math.isinf(result):
        assert abs(exact) >= Fraction(2) ** 128 - Fraction(2) ** 103
        return
    error = abs(Fraction(result) - exact)
    for towards in (-math.inf, math.inf):
        with np.errstate(over="ignore"):
            neighbour = float(np.nextafter(np.float32(result), np.float32(towards)))
        assert math.isinf(neighbour) or error <= abs(Fraction(neighbour) - exact)


def test_fma_special_values() -> None:
    almost = 1.0 + 2.0**-52
    assert evaluate("fma", float64, almost, almost, -(1.0 + 2.0**-51)) == 2.0**-104
    assert same(evaluate("fma", float32, -0.0, 1.0, -0.0), -0.0)
    assert same(evaluate("fma", float32, 2.0, 3.0, -6.0), 0.0)
    assert same(evaluate("fma", float32, math.inf, 0.0, 1.0), math.nan)
    assert evaluate("fma", float64, 1e308, 1e308, 0.0) == math.inf


def test_extrema_propagate_nan() -> None:
    for op in ("min", "max"):
        assert math.isnan(evaluate(op, float32, math.nan, 1.0))  # type: ignore[arg-type]
        assert math.isnan(evaluate(op, float32, 1.0, math.nan))  # type: ignore[arg-type]
    assert evaluate("max", float32, -math.inf, 1.0) == 1.0
    assert evaluate("max", bool_, False, True) is True and evaluate("min", bool_, False, True) is False
    assert evaluate("not", bool_, True) is False and evaluate("xor", bool_, True, True) is False


def test_floating_floor_division_and_remainder() -> None:
    inf = math.inf
    cases = [(5.0, 0.0), (-5.0, 0.0), (-1.0, inf), (5.5, -2.0), (-4.0, 2.0), (inf, 3.0), (-7.0, 2.0)]
    quotients = [math.inf, -math.inf, -0.0, -3.0, -2.0, math.inf, -4.0]
    remainders = [math.nan, math.nan, math.inf, -0.5, -0.0, math.nan, 1.0]
    for (a, b), quotient, remainder in zip(cases, quotients, remainders):
        assert same(evaluate("floordiv", float32, a, b), quotient), (a, b)
        assert same(evaluate("mod", float32, a, b), remainder), (a, b)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (-2.7, int32, -2), (300.5, uint8, 44), (-1.0, uint8, 255), (70000.0, int16, 4464),
        (3e9, int32, INT_MIN), (math.nan, int32, INT_MIN), (math.inf, int8, 0), (-3e9, int8, 0),
        (3e9, uint32, 3000000000), (-1.0, uint32, (1 << 32) - 1), (1e19, int64, LONG_MIN),
        (math.nan, int64, LONG_MIN), (1e19, uint64, 10**19), (-1.0, uint64, (1 << 64) - 1),
        (math.nan, bool_, True), (-0.0, bool_, False), (1j, bool_, True), (2.5 + 1j, int32, 2),
        (True, int8, 1), (True, complex64, 1 + 0j), (-1, uint64, (1 << 64) - 1), (1 << 31, int32, INT_MIN),
        (1e300, float32, math.inf), (0.1, float32, float(np.float32(0.1))), (257, bfloat16, 256.0),
        ((1 << 60) + (1 << 36) + 1, float32, float((1 << 60) + (1 << 37))),
    ],
)  # fmt: skip
def test_casts(value: complex, dtype: Dtype, expected: complex) -> None:
    result = convert_number(value, dtype)
    assert result == expected and type(result) is type(expected)
    if not isinstance(value, int) and dtype.kind != "b":
        return
    assert evaluate_operation("cast", [value], dtype, dtype) == expected


def test_bitcasts() -> None:
    assert evaluate_operation("bitcast", [1.0], float32, int32) == 0x3F800000
    assert evaluate_operation("bitcast", [0x3F80], int16, bfloat16) == 1.0
    assert evaluate_operation("bitcast", [0xFF], uint8, int8) == -1
    assert evaluate_operation("bitcast", [-0.0], float64, uint64) == 1 << 63


REFERENCES: dict[str, Callable[[float], float]] = {
    "exp": math.exp, "expm1": math.expm1, "log": math.log, "log1p": math.log1p, "log2": math.log2,
    "log10": math.log10, "sin": math.sin, "cos": math.cos, "tan": math.tan, "sinh": math.sinh,
    "cosh": math.cosh, "tanh": math.tanh, "asin": math.asin, "acos": math.acos, "atan": math.atan,
    "asinh": math.asinh, "atanh": math.atanh, "erf": math.erf,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)), "rsqrt": lambda x: 1 / math.sqrt(x),
}  # fmt: skip


@pytest.mark.parametrize("op", sorted(set(ELEMENTARY) - {"acosh", "erfinv", "erfinv_mlx", "log_mlx"}))
def test_elementary_functions(op: str) -> None:
    for x in (0.125, 0.5, 0.75):
        expected = REFERENCES[op](x)
        assert evaluate(op, float64, x) == pytest.approx(expected, rel=1e-15)
        for dtype in (float16, bfloat16, float32):
            assert evaluate(op, dtype, x) == convert_number(expected, dtype)


def test_other_elementary_functions() -> None:
    assert evaluate("acosh", float64, 2.0) == math.acosh(2.0)
    assert evaluate("erf", float64, evaluate("erfinv", float64, 0.3)) == pytest.approx(0.3, rel=1e-15)
    assert evaluate("pow", float64, 2.0, 0.5) == math.sqrt(2.0)
    assert evaluate("atan2", float64, -0.0, -1.0) == -math.pi
    assert evaluate("logaddexp", float64, 1000.0, 1000.0) == 1000.0 + math.log(2.0)
    assert evaluate("logaddexp", float32, -math.inf, -math.inf) == -math.inf
    assert evaluate("logaddexp", float32, math.inf, -math.inf) == math.inf


@pytest.mark.parametrize(
    ("op", "values", "expected"),
    [
        ("log", [0.0], -math.inf), ("log", [-1.0], math.nan), ("log1p", [-1.0], -math.inf),
        ("exp", [1e4], math.inf), ("exp", [-math.inf], 0.0), ("sin", [math.inf], math.nan),
        ("atanh", [1.0], math.inf), ("sinh", [-1e4], -math.inf), ("pow", [0.0, -1.0], math.inf),
        ("pow", [-8.0, 1 / 3], math.nan), ("pow", [math.nan, 0.0], 1.0), ("erfinv", [1.0], math.inf),
        ("erfinv", [2.0], math.nan), ("rsqrt", [0.0], math.inf), ("rsqrt", [-1.0], math.nan),
        ("rsqrt", [math.inf], 0.0), ("sigmoid", [-1e4], 0.0), ("sigmoid", [math.nan], math.nan),
        ("logaddexp", [math.nan, math.inf], math.nan), ("acosh", [0.5], math.nan), ("asin", [-0.0], -0.0),
    ],
)  # fmt: skip
def test_poles_and_domains_give_special_values(op: str, values: list[float], expected: float) -> None:
    for dtype in (float32, float64):
        assert same(evaluate(op, dtype, *values), expected)


def test_complex_numbers() -> None:
    a, b = 1.5 - 2.0j, -0.25 + 1.0j
    assert evaluate("mul", complex64, a, b) == a * b
    assert evaluate("div", complex64, a, b) == pytest.approx(a / b, rel=1e-7)
    assert evaluate("exp", complex64, a) == pytest.approx(np.exp(a), rel=1e-7)
    assert evaluate("pow", complex64, a, b) == pytest.approx(a**b, rel=1e-6)
    assert evaluate("logaddexp", complex64, a, b) == pytest.approx(np.log(np.exp(a) + np.exp(b)), rel=1e-6)
    assert evaluate("eq", complex64, a, a) is True
    assert evaluate_operation("imag", [a], complex64, float32) == -2.0
    assert evaluate_operation("complex", [1.0, -0.0], float32, complex64) == 1 - 0j
    with pytest.raises(TypeError, match=r"^\[erf\] has no meaning for complex numbers"):
        evaluate("erf", complex64, a)


SOFTMAX = """\
kernel softmax(x0: in float32, y0: out float32, t0: scratch float32[n1], n0: int, n1: int)
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
      v4 = exp v3
      store t0[i2] = v4
      a1 <- v4
    v5 = read a1.0
    vector i3 < n1
      v6 = load t0[i3]
      v7 = div v6, v5
      store y0[i0*n1 + i3] = v7
"""


def test_softmax(generator: np.random.Generator) -> None:
    x = generator.normal(size=(3, 5)).astype(np.float32)
    y = np.zeros(15, np.float32)
    run(SOFTMAX, x0=x.ravel(), y0=y, n0=3, n1=np.int64(5))
    expected = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    np.testing.assert_allclose(y.reshape(3, 5), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [float16, bfloat16], ids=lambda dtype: dtype.name)
def test_narrow_accumulators_round_once(dtype: Dtype) -> None:
    text = """kernel k(x0: in DTYPE, y0: out DTYPE)
  declare a0: sum DTYPE
  vector i0 < 1000
    v0 = load x0[i0]
    a0 <- v0
  v1 = read a0.0
  store y0[0] = v1"""
    x, y = np.ones(1000, to_numpy(dtype)), np.zeros(1, to_numpy(dtype))
    run(text.replace("DTYPE", dtype.name), x0=x, y0=y)
    assert float(y[0]) == 1000.0  # in bfloat16 alone the sum would stop at 256


def test_the_position_of_a_maximum() -> None:
    text = """kernel k(x0: in float32, y0: out uint32, n0: int)
  declare a0: argmax float32, uint32
  loop i0 < n0
    v0 = load x0[i0]
    v1 = index i0
    v2: uint32 = cast v1
    a0 <- v0, v2
  v3 = read a0.1
  store y0[0] = v3"""
    y = np.zeros(1, np.uint32)
    cases = [([1, 5, 5], 1), ([1, math.nan, math.nan, 7], 1), ([-math.inf], 0), ([], 2**32 - 1)]
    for values, expected in cases:
        run(text, x0=np.array(values, np.float32), y0=y, n0=len(values))
        assert y[0] == expected, values


def test_guards_checks_and_libm() -> None:
    text = """kernel k(x0: in float64, y0: out float64, status0: status int64, n0: int)
  v0: int64 = const 4
  loop i0 < n0
    v1 = index i0
    v2 = lt v1, v0
    check v2 else status0(slot 7, index v1, extent v0)
    v3 = load x0[i0] if v2
    v4 = libm cos(v3) if v2
    v5 = lt v1, v1
    store y0[i0] = v4
    store y0[i0 + 100] = v3 if v5
"""
    status, y = np.zeros(4, np.int64), np.full(6, 9.0)
    run(text, x0=np.zeros(4), y0=y, status0=status, n0=6)
    assert status.tolist() == [1, 7, 4, 4]
    assert y.tolist() == [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]


def test_a_scan_carried_through_memory() -> None:
    text = """kernel k(x0: in int8, y0: out int8, n0: int)
  v0: int64 = const 0
  loop i0 < n0
    v1 = index i0
    v2 = gt v1, v0
    v3 = load y0[i0 + -1] if v2
    v4 = load x0[i0]
    v5 = add v3, v4
    store y0[i0] = v5"""
    y = np.zeros(5, np.int8)
    run(text, x0=np.array([100, 20, 10, 1, 1], np.int8), y0=y, n0=5)
    assert y.tolist() == [100, 120, -126, -125, -124]


def test_scalars_become_members_of_their_dtype() -> None:
    text = """kernel k(y0: out float32, c0: scalar float32)
  v0 = scalar c0
  v1 = add v0, v0
  store y0[0] = v1"""
    y = np.zeros(1, np.float32)
    run(text, y0=y, c0=0.1)
    assert y[0] == np.float32(0.1) + np.float32(0.1)
    run(text, y0=y, c0=np.float64(1e300))
    assert y[0] == np.inf


def test_unset_scratch_reads_as_nan() -> None:
    text = """kernel k(y0: out float32, t0: scratch float32[2])
  v0: float32 = const 1
  store t0[0] = v0
  v1 = load t0[1]
  store y0[0] = v1"""
    y = np.zeros(1, np.float32)
    run(text, y0=y)
    assert np.isnan(y[0])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"n0": 4}, IndexError, r"15 is outside x0 of 15 elements: v0 = load x0\[i0\*n1 \+ i1\]"),
        ({"y0": np.zeros(3, np.float32)}, IndexError, r"3 is outside y0 of 3 elements: store y0"),
        ({"x0": np.zeros(15)}, ValueError, "x0 must be a vector of float32, not an array of float64"),
        ({"x0": np.zeros((3, 5), np.float32)}, ValueError, "of float32 of 2 dimensions"),
        ({"x0": [1.0]}, TypeError, "x0 must be an array, not list"),
        ({"n0": 2.0}, TypeError, "n0 must be an integer, not float"),
        ({"z": 1}, ValueError, "softmax has no parameter z"),
    ],
)
def test_argument_errors(change: dict[str, object], error: type[Exception], message: str) -> None:
    arguments: dict[str, object] = {
        "x0": np.zeros(15, np.float32), "y0": np.zeros(15, np.float32), "n0": 3, "n1": 5,
    }  # fmt: skip
    with pytest.raises(error, match=r"^\[run_kernel\] .*" + message):
        run(SOFTMAX, **{**arguments, **change})


def test_a_missing_argument() -> None:
    with pytest.raises(ValueError, match=r"^\[run_kernel\] the argument y0 of softmax is missing"):
        run(SOFTMAX, x0=np.zeros(1, np.float32), n0=1, n1=1)


@given(st.integers(0, (1 << 32) - 1))
def test_float32_bits_survive_loads_and_stores(bits: int) -> None:
    value = struct.unpack("<f", struct.pack("<I", bits))[0]
    y = np.zeros(1, np.float32)
    text = "kernel k(x0: in float32, y0: out float32)\n  v0 = load x0[0]\n  store y0[0] = v0"
    run(text, x0=np.array([bits], np.uint32).view(np.float32), y0=y)
    assert same(float(y[0]), value)
