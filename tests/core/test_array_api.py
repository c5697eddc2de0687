"""The namespace conforms to the Python array API standard 2024.12, but for what docs/array-api.md lists."""

from __future__ import annotations

import doctest
import inspect
import math
import operator
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from array_api_calls import CALLS, INDICES
from array_api_data import (
    assert_same_values,
    dtype_name,
    entries,
    environments,
    expected_dtype,
    kinds_and_dtypes,
    parts_of,
)
from array_api_table import (
    ATTRIBUTES,
    BINARY,
    COMPARISONS,
    CONSTANTS,
    DTYPES,
    OPERATORS,
    UNARY,
    calls_of,
    signatures,
)

import tarry.core as mx

ROOT = Path(__file__).parents[2]
# What does not conform: its name in docs/array-api.md, and a program that is true as long as that is so. The
# name of a function with " dtype" behind it excuses that function's dtypes where they differ.
EXCEPTIONS = {
    "complex128": "not hasattr(mx, 'complex128')",
    "fft.rfft dtype": "mx.fft.rfft(mx.zeros(2, mx.float64)).dtype == mx.complex64",
    "fft.rfftn dtype": "mx.fft.rfftn(mx.zeros(2, mx.float64)).dtype == mx.complex64",
    "fft.ihfft dtype": "mx.fft.ihfft(mx.zeros(2, mx.float64)).dtype == mx.complex64",
    "argmax dtype": "mx.argmax(mx.zeros(2)).dtype == mx.uint32",
    "argmin dtype": "mx.argmin(mx.zeros(2)).dtype == mx.uint32",
    "argsort dtype": "mx.argsort(mx.zeros(2)).dtype == mx.uint32",
    "searchsorted dtype": "mx.searchsorted(mx.zeros(2), mx.zeros(2)).dtype == mx.uint32",
    "cumulative_sum dtype": "mx.cumulative_sum(mx.zeros(2, mx.int8)).dtype == mx.int8",
    "cumulative_prod dtype": "mx.cumulative_prod(mx.zeros(2, mx.int8)).dtype == mx.int8",
    "vecdot dtype": "mx.vecdot(mx.ones(2, mx.int8), mx.ones(2, mx.int8)).dtype == mx.int32",
    "linalg.vecdot dtype": "mx.linalg.vecdot(mx.ones(2, mx.int8), mx.ones(2, mx.int8)).dtype == mx.int32",
    "sign": "mx.sign(mx.array(nan)).item() == 0",
    "floor_divide": "mx.floor_divide(mx.array(-1.0), mx.array(inf)).item() == 0",
    "remainder": "copysign(1, mx.remainder(mx.array(0.0), mx.array(-2.0)).item()) == 1",
    "meshgrid": "type(mx.meshgrid(mx.zeros(1))) is tuple",
    "from_dlpack": "isinstance(raised(lambda: mx.from_dlpack(mx.zeros(1), copy=False)), ValueError)",
    "in-place operators": "mx.array([1]).__iadd__(mx.array([1.5])).dtype == mx.float32",
    "array.T": "mx.zeros((1, 2, 3)).T.shape == (3, 2, 1)",
}


def raised(program: Callable[[], object]) -> Exception | None:
    """What a program raises."""
    try:
        program()
    except Exception as error:
        return error
    return None


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Kinds, call, the call for NumPy and dtypes of each row, the functions of each element included."""
    for line in CALLS.splitlines():
        if line:
            kinds, call, dtypes = line.split(" | ")
            ours, _, theirs = call.partition(" ~ ")
            yield kinds, ours, theirs or ours, dtypes
    for name, kinds, dtype in entries(UNARY):
        operand = "y / 4" if name in INSIDE else "y" if name in POSITIVE else "x"
        yield kinds, f"xp.{name}({operand})", "", dtype
    for name, kinds, dtype in entries(BINARY):
        operands = "y, y" if name in ("pow", "bitwise_left_shift", "bitwise_right_shift") else "x, y"
        yield kinds, f"xp.{name}({operands})", "", dtype


# Results of the other dtypes are not computed: their shapes and dtypes are compared, and their widths change
# nothing that the tests of operations would not see.
VALUED = ("none", "bool", "int32", "uint8", "float32", "float64", "complex64")
# Functions that are real between -1 and 1, or of positive numbers only; those of complex numbers are total.
INSIDE = ("acos", "asin", "atanh")
POSITIVE = ("acosh", "log", "log1p", "log2", "log10", "sqrt", "reciprocal")
ROWS = [(kinds, ours, theirs or ours, dtypes) for kinds, ours, theirs, dtypes in rows()]


@pytest.mark.parametrize("kinds, call, theirs, dtypes", ROWS, ids=[row[1] for row in ROWS])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_calls(kinds: str, call: str, theirs: str, dtypes: str) -> None:
    excused = any(f"{name} dtype" in EXCEPTIONS for name, _, _ in calls_of(call))
    differs = False
    for dtype in kinds_and_dtypes(kinds):
        here, there = environments(dtype)
        found, expected = eval(call, here), eval(theirs, there)
        assert len(parts_of(found)) == len(parts_of(expected))
        rules = dtypes.split(", ")
        for number, (ours, wanted) in enumerate(zip(parts_of(found), parts_of(expected))):
            if dtype in VALUED:
                assert_same_values(ours, wanted)
            if isinstance(ours, mx.array):
                assert ours.shape == np.shape(wanted)
                rule = rules[number] if len(rules) > 1 else rules[0]
                differs |= dtype_name(ours) != expected_dtype(rule, dtype)
                assert excused or not differs, (dtype, ours.dtype, expected_dtype(rule, dtype))


SIGNATURES = signatures()
USES = [(name, values, words) for row in ROWS for name, values, words in calls_of(row[1])]


@pytest.mark.parametrize("name", SIGNATURES)
def test_every_parameter_is_used(name: str) -> None:
    """The calls are as the standard has them, and show each parameter, given and left out."""
    signature = SIGNATURES[name]
    used: set[str] = set()
    least = None
    for called, values, words in USES:
        if called == name:
            given = signature.bind(*values, **words).arguments
            used |= set(given)
            least = set(given) if least is None else least & set(given)
    assert used == set(signature.parameters)
    needed = {p.name for p in signature.parameters.values() if p.default is inspect.Parameter.empty}
    assert least is not None and least <= needed, f"no call leaves out {least - needed}"


def test_calls_are_of_the_standard() -> None:
    """A row that calls what the standard does not have is a mistake in the table."""
    assert {name for name, _, _ in USES} <= set(SIGNATURES)
    for name in SIGNATURES:
        assert callable(operator.attrgetter(name)(mx))


# arrays


SYMBOLS = {
    "+": "add", "-": "sub", "*": "mul", "/": "truediv", "//": "floordiv", "%": "mod", "**": "pow", "&": "and",
    "|": "or", "^": "xor", "<<": "lshift", ">>": "rshift",
}  # fmt: skip


@pytest.mark.parametrize("symbol, kinds, rule", entries(OPERATORS))
def test_operators(symbol: str, kinds: str, rule: str) -> None:
    for form in ("", "r", "i"):
        assert hasattr(mx.array, f"__{form}{SYMBOLS[symbol]}__")
    scalars = {"b": "True", "i": "2", "u": "2", "f": "1.5", "c": "1.5j"}
    for kind in kinds:
        for dtype in kinds_and_dtypes(kind):
            here, there = environments(dtype)
            programs = [f"y {symbol} y", f"y {symbol} {scalars[kind]}", f"{scalars[kind]} {symbol} y"]
            for program in programs:
                found = eval(program, here)
                assert_same_values(found, eval(program, there))
                assert dtype_name(found) == dtype
            for space in (here, there):
                space["alias"] = space["y"]
                exec(f"y {symbol}= {scalars[kind]}", space)
            assert here["alias"] is here["y"] and dtype_name(here["y"]) == dtype
            assert_same_values(here["y"], there["y"])


@pytest.mark.parametrize("symbol, kinds", entries(COMPARISONS))
def test_comparisons(symbol: str, kinds: str) -> None:
    for dtype in kinds_and_dtypes(kinds):
        here, there = environments(dtype)
        for program in (f"x {symbol} y", f"x {symbol} x", f"x {symbol} {'True' if dtype == 'bool' else 2}"):
            found = eval(program, here)
            assert dtype_name(found) == "bool"
            assert_same_values(found, eval(program, there))


@pytest.mark.parametrize("index", [index.strip() for index in INDICES.strip().replace("\n", ";").split(";")])
def test_indexing(index: str) -> None:
    if index == "z":
        index = "xp.asarray(1)"
    for dtype in ("bool", "int32", "float64", "complex64"):
        here, there = environments(dtype)
        program = f"x[{index}]"
        found = eval(program, here)
        assert dtype_name(found) == dtype
        assert_same_values(found, eval(program, there))
        for space in (here, there):
            exec(f"{program} = 1", space)
        assert_same_values(here["x"], there["x"])


@pytest.mark.parametrize("name", ATTRIBUTES.split())
def test_attributes(name: str) -> None:
    assert hasattr(mx.array([[1]]), name)


def test_attributes_of_an_array() -> None:
    a = mx.array([[1, 2, 3], [4, 5, 6]])
    assert (a.dtype, a.ndim, a.shape, a.size) == (mx.int32, 2, (2, 3), 6)
    assert a.T.tolist() == a.mT.tolist() == [[1, 4], [2, 5], [3, 6]]
    assert a.device in mx.__array_namespace_info__().devices()
    assert a.to_device(a.device).tolist() == a.to_device(mx.cpu, stream=None).tolist() == a.tolist()
    assert a.__dlpack_device__() == (1, 0)
    capsule = a.__dlpack__(stream=None, max_version=(1, 0), dl_device=(1, 0), copy=True)
    assert "dltensor" in repr(capsule)
    assert mx.from_dlpack(a, device=mx.cpu, copy=None).tolist() == a.tolist()
    assert np.from_dlpack(a).tolist() == a.tolist()


def test_python_scalars() -> None:
    assert bool(mx.array(True)) is True and int(mx.array(3)) == 3 and float(mx.array(1.5)) == 1.5
    assert complex(mx.array(1 + 2j)) == 1 + 2j and complex(mx.array(2.0)) == 2
    assert [10, 20, 30][mx.array(1)] == 20 and (-mx.array(2)).item() == -2 and (+mx.array(2)).item() == 2
    assert (~mx.array([1])).tolist() == [-2] and abs(mx.array([-1])).tolist() == [1]
    for wrong in (mx.array(1.5), mx.array([1])):
        with pytest.raises(TypeError):
            operator.index(wrong)


def test_matrix_product_operators() -> None:
    a, b = mx.array([[1, 2], [3, 4]]), mx.array([[1, 0], [1, 1]])
    assert (a @ b).tolist() == [[3, 2], [7, 4]]
    assert a.__rmatmul__(b).tolist() == (b @ a).tolist()
    alias = a
    a @= b
    assert alias is a and a.tolist() == [[3, 2], [7, 4]] and a.dtype == mx.int32
    with pytest.raises(ValueError):
        mx.array([1, 2]) @ mx.array(2)


@pytest.mark.parametrize("kinds", ["b", "i", "u", "iu", "f", "fc"])
def test_promotion(kinds: str) -> None:
    """Of two dtypes of a kind, and of kinds that the standard promotes."""
    names = kinds_and_dtypes(kinds)
    for first in names:
        for second in names:
            pair = {first, second}
            if pair == {"complex64", "float64"} or ("uint64" in pair and pair & {*kinds_and_dtypes("i")}):
                continue
            expected = str(np.result_type(first, second))
            operands = [mx.ones((2,), dtype=getattr(mx, name)) for name in (first, second)]
            assert dtype_name(mx.zeros(1, dtype=mx.result_type(*operands))) == expected
            for found in (mx.where(mx.array(True), *operands), mx.concat(operands), mx.maximum(*operands)):
                assert dtype_name(found) == expected


# the namespace


def test_namespace_of_an_array() -> None:
    assert mx.__array_api_version__ == "2024.12"
    a = mx.array(1)
    for version in (None, "2021.12", "2022.12", "2023.12", "2024.12"):
        assert a.__array_namespace__(api_version=version) is mx
    with pytest.raises(ValueError, match="api_version"):
        a.__array_namespace__(api_version="1990.01")


def test_constants_and_dtypes() -> None:
    for name, value in CONSTANTS.items():
        assert type(getattr(mx, name)) is float
        np.testing.assert_equal(getattr(mx, name), value)
    assert mx.newaxis is None
    for name in DTYPES.split():
        if name not in EXCEPTIONS:
            dtype = getattr(mx, name)
            assert isinstance(dtype, mx.Dtype) and mx.zeros(1, dtype=dtype).dtype == dtype
            assert dtype != mx.float16


def test_namespace_info() -> None:
    info = mx.__array_namespace_info__()
    limits = info.capabilities()
    assert set(limits) == {"boolean indexing", "data-dependent shapes", "max dimensions"}
    most = limits["max dimensions"]
    assert (mx.zeros((1,) * most) + 1).tolist() is not None and mx.ones((1,) * most).sum().item() == 1
    assert info.default_device() in info.devices() and info.default_device() == mx.zeros(1).device
    defaults = info.default_dtypes(device=mx.cpu)
    for name, made in {
        "real floating": mx.asarray(1.5), "integral": mx.asarray(1), "complex floating": mx.asarray(1j),
        "indexing": mx.nonzero(mx.array([1]))[0],
    }.items():  # fmt: skip
        assert defaults[name] == made.dtype
    dtypes = info.dtypes()
    assert dtypes == {name: getattr(mx, name) for name in DTYPES.split() if name not in EXCEPTIONS}
    for kind in ("bool", "signed integer", "unsigned integer", "integral", "real floating", "numeric"):
        expected = {name: dtype for name, dtype in dtypes.items() if mx.isdtype(dtype, kind)}
        assert info.dtypes(kind=kind) == expected != {}
    assert set(info.dtypes(device=mx.cpu, kind=("bool", "complex floating"))) == {"bool", "complex64"}


@pytest.mark.parametrize(
    "call",
    [
        "mx.zeros(1, device=d)", "mx.ones(1, device=d)", "mx.full(1, 2, device=d)", "mx.arange(3, device=d)",
        "mx.eye(2, device=d)", "mx.linspace(0, 1, 2, device=d)", "mx.asarray(1, device=d)", "a.to_device(d)",
        "mx.zeros_like(a, device=d)", "mx.ones_like(a, device=d)", "mx.full_like(a, 1, device=d)",
        "mx.astype(a, mx.int8, device=d)", "mx.from_dlpack(a, device=d)", "mx.fft.fftfreq(2, device=d)",
        "mx.fft.rfftfreq(2, device=d)", "mx.empty(1, device=d)", "mx.empty_like(a, device=d)",
        "mx.__array_namespace_info__().dtypes(device=d)",
        "mx.__array_namespace_info__().default_dtypes(device=d)",
    ],
)  # fmt: skip
def test_other_devices_are_refused(call: str) -> None:
    for device, kind in ((mx.gpu, ValueError), ("cuda", TypeError)):
        with pytest.raises(kind):
            eval(call, {"mx": mx, "a": mx.array([1.0]), "d": device})


# what is more


@pytest.mark.parametrize(
    "call, kind, message",
    [
        ("mx.full(2)", TypeError, "fill_value"),
        ("mx.full(2, 1, fill_value=1)", TypeError, "fill_value"),
        ("mx.clip(a, None, None)", ValueError, "a_min"),
        ("mx.clip(a, 1, 2, min=1)", TypeError, "both given"),
        ("mx.moveaxis(a, (0, 1), (0,))", ValueError, "as many places"),
        ("mx.repeat(a, mx.array([1.5]))", ValueError, "integers"),
        ("mx.repeat(a, mx.array([1, 2, 3]))", ValueError, "shape"),
        ("mx.repeat(a, mx.array([-1, 1, 1, 1]))", ValueError, "negative"),
        ("mx.linalg.qr(a, mode='r')", ValueError, "mode"),
        ("mx.linalg.matrix_rank(a, 1.0, rtol=1.0)", ValueError, "rtol"),
        ("mx.var(a, ddof=1, correction=1)", ValueError, "correction"),
        ("mx.sum(a, dtype=3)", TypeError, "dtype"),
        ("mx.cumsum(a, inclusive=False, include_initial=True)", ValueError, "include_initial"),
        ("mx.fft.fftfreq(4, dtype=mx.int32)", ValueError, "floating"),
        ("mx.asarray(a, copy=False)", ValueError, "copy"),
        ("mx.nonzero(mx.array(1))", ValueError, "dimension"),
        ("mx.result_type(1, 2)", ValueError, "arrays and dtypes"),
    ],
)
def test_errors(call: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        eval(call, {"mx": mx, "a": mx.array([[1.0, 2.0], [3.0, 4.0]])})


def test_astype_without_a_copy_is_the_array_itself() -> None:
    a = mx.array([1, 2])
    assert mx.astype(a, mx.int32, copy=False) is a and mx.astype(a, mx.int32) is not a
    assert mx.clip(a) is not a


def test_descending_sorts_keep_the_order_of_equal_elements() -> None:
    a = mx.array([2, 1, 2, 3, 1])
    assert mx.argsort(a, descending=True).tolist() == [3, 0, 2, 1, 4]
    assert mx.argsort(mx.zeros((0,)), descending=True).tolist() == []
    gradient = mx.grad(lambda x: mx.sum(mx.sort(x, descending=True) * mx.arange(3)))(
        mx.array([1.0, 3.0, 2.0])
    )
    assert gradient.tolist() == [2, 0, 1]


def test_complete_factors() -> None:
    a = mx.array([[1.0, 2.0], [0.5, -1.0], [2.0, 0.0]])
    q, r = mx.linalg.qr(a, mode="complete")
    assert mx.allclose(q.T @ q, mx.eye(3), atol=1e-6) and mx.allclose(q @ r, a, atol=1e-6)
    reduced = mx.grad(lambda x: mx.sum(mx.linalg.qr(x).R * 3))(a)
    complete = mx.grad(lambda x: mx.sum(mx.linalg.qr(x, mode="complete").R * 3))(a)
    assert mx.allclose(reduced, complete, atol=1e-5)


# the list of exceptions


def listed_exceptions() -> list[str]:
    """The first column of the table of exceptions."""
    page = (ROOT / "docs" / "array-api.md").read_text(encoding="utf-8")
    _, _, section = page.partition("\n## What differs")
    return re.findall(r"^\| `([^`]+)` \|", section.partition("\n## ")[0], re.MULTILINE)


def test_the_page_lists_the_exceptions() -> None:
    assert listed_exceptions() == list(EXCEPTIONS)


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_exceptions_are_real(name: str) -> None:
    """One that is true no more is to be taken off the list."""
    space = {"mx": mx, "raised": raised, "copysign": math.copysign, "inf": math.inf, "nan": math.nan}
    assert eval(EXCEPTIONS[name], space) is True


def test_the_examples_on_the_page() -> None:
    found = doctest.testfile(str(ROOT / "docs" / "array-api.md"), module_relative=False)
    assert found.attempted > 0 and found.failed == 0
