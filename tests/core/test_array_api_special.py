"""The special cases of the array API standard 2024.12: infinities, nan, signed zeros, nothing at all."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
from array_api_data import NAMES, dtype_name, entries, expected_dtype
from array_api_table import BINARY, UNARY

import tarry.core as mx
from oracle import mlx

# Function, then operand>result; p is pi, and the sign of zeros counts.
UNARY_CASES = """
abs nan>nan -0>0 -inf>inf inf>inf
acos nan>nan 1.5>nan -1.5>nan inf>nan 1>0
acosh nan>nan 0.5>nan -inf>nan 1>0 inf>inf
asin nan>nan 1.5>nan -1.5>nan 0>0 -0>-0
asinh nan>nan 0>0 -0>-0 inf>inf -inf>-inf
atan nan>nan 0>0 -0>-0 inf>p/2 -inf>-p/2
atanh nan>nan 1.5>nan -1.5>nan 1>inf -1>-inf 0>0 -0>-0
ceil nan>nan 0>0 -0>-0 inf>inf -inf>-inf -0.5>-0 3>3
cos nan>nan 0>1 -0>1 inf>nan -inf>nan
cosh nan>nan 0>1 -0>1 inf>inf -inf>inf
exp nan>nan 0>1 -0>1 inf>inf -inf>0
expm1 nan>nan 0>0 -0>-0 inf>inf -inf>-1
floor nan>nan 0>0 -0>-0 inf>inf -inf>-inf 0.5>0 3>3
isfinite nan>0 inf>0 -inf>0 -0>1 5>1
isinf nan>0 inf>1 -inf>1 -0>0 5>0
isnan nan>1 inf>0 -inf>0 -0>0 5>0
log nan>nan -1>nan -inf>nan 0>-inf -0>-inf 1>0 inf>inf
log1p nan>nan -2>nan -inf>nan -1>-inf 0>0 -0>-0 inf>inf
log2 nan>nan -1>nan -inf>nan 0>-inf -0>-inf 1>0 inf>inf
log10 nan>nan -1>nan -inf>nan 0>-inf -0>-inf 1>0 inf>inf
negative nan>nan 0>-0 -0>0 inf>-inf -inf>inf
positive nan>nan 0>0 -0>-0 inf>inf -inf>-inf
reciprocal nan>nan 0>inf -0>-inf inf>0 -inf>-0
round nan>nan 0>0 -0>-0 inf>inf -inf>-inf 0.5>0 -0.5>-0 1.5>2 2.5>2 -2.5>-2 3>3
sign 0>0 inf>1 -inf>-1 0.5>1 -0.5>-1
signbit 0>0 -0>1 inf>0 -inf>1 0.5>0 -0.5>1 nan>0 -nan>1
sin nan>nan 0>0 -0>-0 inf>nan -inf>nan
sinh nan>nan 0>0 -0>-0 inf>inf -inf>-inf
square nan>nan -0>0 inf>inf -inf>inf
sqrt nan>nan -1>nan -inf>nan 0>0 -0>-0 inf>inf
tan nan>nan 0>0 -0>-0 inf>nan -inf>nan
tanh nan>nan 0>0 -0>-0 inf>1 -inf>-1
trunc nan>nan 0>0 -0>-0 inf>inf -inf>-inf 0.5>0 -0.5>-0 3>3
"""
# Function, then first,second>result.
BINARY_CASES = """
add nan,1>nan 1,nan>nan inf,-inf>nan -inf,inf>nan inf,inf>inf -inf,-inf>-inf inf,1>inf -inf,1>-inf 1,inf>inf
add 1,-inf>-inf -0,-0>-0 -0,0>0 0,-0>0 0,0>0 -0,1>1 1,-0>1 1,-1>0
atan2 nan,1>nan 1,nan>nan 1,0>p/2 1,-0>p/2 0,1>0 0,0>0 0,-0>p 0,-1>p -0,1>-0 -0,0>-0 -0,-0>-p -0,-1>-p
atan2 -1,0>-p/2 -1,-0>-p/2 1,inf>0 1,-inf>p -1,inf>-0 -1,-inf>-p inf,1>p/2 -inf,1>-p/2 inf,inf>p/4
atan2 inf,-inf>3*p/4 -inf,inf>-p/4 -inf,-inf>-3*p/4
copysign 1,-0>-1 -1,0>1 inf,-1>-inf 0,-1>-0 -0,1>0 nan,1>nan 1,nan>1 1,-nan>-1
divide nan,1>nan 1,nan>nan inf,inf>nan inf,-inf>nan 0,0>nan -0,0>nan 0,1>0 0,-1>-0 -0,1>-0 -0,-1>0
divide 1,0>inf 1,-0>-inf -1,0>-inf -1,-0>inf inf,1>inf inf,-1>-inf -inf,1>-inf -inf,-1>inf inf,0>inf
divide 1,inf>0 1,-inf>-0 -1,inf>-0 -1,-inf>0
floor_divide nan,1>nan 1,nan>nan inf,inf>nan -inf,inf>nan 0,0>nan -0,-0>nan 0,1>0 0,-1>-0 -0,1>-0 -0,-1>0
floor_divide 1,inf>0 -1,-inf>0 3,2>1 -3,2>-2 1,0>inf -1,0>-inf 1,-0>-inf -1,-0>inf
hypot inf,nan>inf nan,-inf>inf nan,1>nan 1,nan>nan -inf,1>inf 1,inf>inf 0,-2>2 -2,-0>2 0,-0>0
logaddexp nan,1>nan 1,nan>nan inf,1>inf 1,inf>inf inf,-inf>inf -inf,1>1 -inf,-inf>-inf
maximum nan,1>nan 1,nan>nan inf,1>inf -inf,1>1
minimum nan,1>nan 1,nan>nan inf,1>1 -inf,1>-inf
multiply nan,1>nan 1,nan>nan inf,0>nan -0,inf>nan inf,-inf>-inf -inf,-inf>inf inf,2>inf inf,-2>-inf 0,-1>-0
multiply -0,-1>0 -0,0>-0
nextafter nan,1>nan 1,nan>nan 0,-0>-0 -0,0>0 1,1>1 inf,inf>inf
pow nan,0>1 nan,-0>1 1,nan>1 1,inf>1 2,nan>nan nan,2>nan inf,0>1 2,inf>inf -2,inf>inf 2,-inf>0 -2,-inf>0
pow -1,inf>1 -1,-inf>1 0.5,inf>0 -0.5,inf>0 0.5,-inf>inf inf,2>inf inf,0.5>inf inf,-2>0 -inf,3>-inf
pow -inf,2>inf -inf,0.5>inf -inf,-3>-0 -inf,-2>0 0,2>0 0,-2>inf -0,3>-0 -0,2>0 -0,0.5>0 -0,-3>-inf
pow -0,-2>inf -2,0.5>nan -8,3>-512
remainder nan,1>nan 1,nan>nan inf,1>nan -inf,1>nan inf,inf>nan 0,0>nan -0,0>nan 1,0>nan -1,-0>nan
remainder 0,2>0 -0,-2>-0 1,inf>1 1,-inf>-inf -1,inf>inf -1,-inf>-1 -3,2>1 3,-2>-1
subtract nan,1>nan 1,nan>nan inf,inf>nan -inf,-inf>nan inf,-inf>inf 1,inf>-inf -0,0>-0 0,0>0 0,-0>0 1,1>0
"""


def number(text: str) -> float:
    """A number as the tables write it."""
    if text in ("-0", "-nan"):
        return math.copysign(float(text), -1)
    return float(eval(text, {"inf": math.inf, "nan": math.nan, "p": math.pi}))


def cases(table: str) -> list[tuple[str, str]]:
    """Pairs of a function and one of its cases."""
    return [(line.split()[0], case) for line in table.splitlines() if line for case in line.split()[1:]]


def assert_same(found: float, expected: float) -> None:
    assert (math.isnan(found) and math.isnan(expected)) or (
        math.isclose(found, expected, rel_tol=1e-6) and math.copysign(1, found) == math.copysign(1, expected)
    ), (found, expected)


@pytest.mark.parametrize("name", [name for name, *_ in entries(UNARY)])
def test_special_cases_of_one_operand(name: str) -> None:
    listed = [case for function, case in cases(UNARY_CASES) if function == name]
    assert listed or name in ("bitwise_invert", "conj", "imag", "logical_not", "real"), "no cases listed"
    _check(name, listed)


@pytest.mark.parametrize("name", sorted({name for name, _ in cases(BINARY_CASES)}))
def test_special_cases_of_two_operands(name: str) -> None:
    assert name in {entry for entry, *_ in entries(BINARY)}
    _check(name, [case for function, case in cases(BINARY_CASES) if function == name])


def _check(name: str, listed: list[str]) -> None:
    """All cases at once, in both widths, and each 0-d."""
    given = [[number(text) for text in case.split(">")[0].split(",")] for case in listed]
    expected = [number(case.split(">")[1]) for case in listed]
    for dtype in (mx.float32, mx.float64):
        columns = [mx.array(list(column), dtype) for column in zip(*given)]
        if not columns:
            return
        for found, wanted in zip(getattr(mx, name)(*columns).tolist(), expected):
            assert_same(float(found), wanted)
    for values, wanted in zip(given, expected):
        found = getattr(mx, name)(*[mx.array(value) for value in values])
        assert found.shape == ()
        assert_same(float(found.item()), wanted)


def test_neighbours() -> None:
    for dtype in ("float32", "float64"):
        x = np.array([0.0, 1.0, -1.0, np.inf, np.finfo(dtype).max], dtype)
        y = np.array([1.0, 2.0, -np.inf, 0.0, np.inf], dtype)
        found = mx.nextafter(mx.array(x, getattr(mx, dtype)), mx.array(y, getattr(mx, dtype)))
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(np.array(found), np.nextafter(x, y))


# complex numbers: branch cuts, signed zeros, and parts that are infinite or nan

COMPLEX = """
acos acosh asin asinh atan atanh cos cosh exp log log10 sin sinh sqrt tan tanh
"""
_PARTS = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0]


@pytest.mark.parametrize("name", COMPLEX.split())
def test_branch_cuts(name: str) -> None:
    """As C99 has them (and Python's cmath): continuous from the side that the sign of zero names."""
    grid = [complex(x, y) for x in _PARTS for y in _PARTS]
    poles = {"atan": (1j, -1j), "atanh": (1, -1), "log": (0,), "log10": (0,)}.get(name, ())
    grid = [z for z in grid if z not in poles]
    found = getattr(mx, name)(mx.array(np.array(grid, np.complex64))).tolist()
    for z, ours in zip(grid, found):
        expected = getattr(cmath, name)(z)
        for part, wanted in ((ours.real, expected.real), (ours.imag, expected.imag)):
            assert math.isclose(part, wanted, rel_tol=2e-6, abs_tol=2e-7), (z, ours, expected)
            if abs(wanted) > 1e-6 or wanted == 0 == part:
                assert math.copysign(1, part) == math.copysign(1, wanted), (z, ours, expected)


_GRID = [-math.inf, -2.0, -1.0, -0.0, 0.0, 1.0, 2.0, math.inf, math.nan]


@pytest.mark.parametrize("name", [*COMPLEX.split(), "log1p", "log2"])
def test_infinite_and_unknown_parts(name: str) -> None:
    """As NumPy and the wheel have them. C99 leaves open what sign a part has beside one that is nan."""
    grid = np.array([(x, y) for x in _GRID for y in _GRID], np.float32).view(np.complex64).ravel()
    found = np.array(getattr(mx, name)(mx.array(grid)))
    with np.errstate(all="ignore"):
        expected = [getattr(np, name)(grid.astype(np.complex128)).astype(np.complex64)]
    if mlx is not None and name != "log1p":  # the wheel's has the sign of a zero
        wheel_name = f"arc{name[1:]}" if name in ("asin", "asinh", "acos", "acosh", "atan", "atanh") else name
        expected.append(np.array(getattr(mlx, wheel_name)(mlx.array(grid))))
    for wanted in expected:
        np.testing.assert_allclose(np.abs(found.real), np.abs(wanted.real), rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(np.abs(found.imag), np.abs(wanted.imag), rtol=1e-6, atol=1e-7)
        signed = ~(np.isnan(wanted.real) | np.isnan(wanted.imag))
        for ours, theirs in ((found.real, wanted.real), (found.imag, wanted.imag)):
            np.testing.assert_array_equal(np.signbit(ours)[signed], np.signbit(theirs)[signed])


def test_complex_functions_that_cmath_has_not() -> None:
    grid = [complex(x, y) for x in _PARTS for y in _PARTS if abs(complex(x, y)) > 0]
    values = mx.array(np.array(grid, np.complex64))
    expected = {
        "abs": [abs(z) for z in grid], "sign": [z / abs(z) for z in grid], "square": [z * z for z in grid],
        "expm1": [cmath.exp(z) - 1 for z in grid], "log2": [cmath.log(z) / math.log(2) for z in grid],
        "reciprocal": [1 / z for z in grid], "conj": [z.conjugate() for z in grid],
    }  # fmt: skip
    for name, wanted in expected.items():
        np.testing.assert_allclose(np.array(getattr(mx, name)(values)), wanted, rtol=1e-5, atol=1e-6)
    rest = [z for z in grid if z != -1]
    found = mx.log1p(mx.array(np.array(rest, np.complex64)))
    logarithms = [cmath.log(complex(1 + z.real, z.imag)) for z in rest]
    np.testing.assert_allclose(np.array(found), logarithms, rtol=1e-5, atol=1e-6)
    halves = mx.array(np.array([0.5 + 1.5j, -2.5 - 0.5j], np.complex64))
    assert mx.round(halves).tolist() == [2j, -2 - 0j]
    small = mx.expm1(mx.array(np.array([1e-6 + 1e-6j], np.complex64))).item()
    assert abs(small - (1e-6 + 1.000001e-6j)) < 1e-12
    infinite = mx.array(np.array([complex(math.inf, 0), complex(-math.inf, 0)], np.complex64))
    assert mx.expm1(infinite).tolist() == [complex(math.inf, 0), -1 + 0j]
    ends = mx.array(np.array([complex(math.inf, math.nan), complex(math.nan, -math.inf), 1], np.complex64))
    assert mx.isinf(ends).tolist() == mx.isnan(ends).tolist() == [True, True, False]
    assert mx.isfinite(ends).tolist() == [False, False, True] and mx.abs(ends).tolist()[:2] == [math.inf] * 2


def test_gradient_of_complex_expm1() -> None:
    point = mx.array(0.25 + 0.5j)
    _, (found,) = mx.vjp(mx.expm1, [point], [mx.array(1 + 0j)])
    assert abs(found.item().conjugate() - cmath.exp(0.25 + 0.5j)) < 1e-6


# integers


def test_integers() -> None:
    for dtype in (mx.int8, mx.int16, mx.int32, mx.int64):
        a, b = mx.array([-7, 7, -7, 7], dtype), mx.array([2, 2, -2, -2], dtype)
        assert mx.floor_divide(a, b).tolist() == [-4, 3, 3, -4]
        assert mx.remainder(a, b).tolist() == [1, 1, -1, -1]
        assert mx.bitwise_right_shift(a, mx.array([1, 1, 1, 1], dtype)).tolist() == [-4, 3, -4, 3]
        assert mx.pow(a, mx.array([2, 2, 1, 0], dtype)).tolist() == [49, 49, -7, 1]
        assert mx.round(a).dtype == mx.ceil(a).dtype == mx.floor(a).dtype == mx.trunc(a).dtype == dtype


# nothing, one thing, and nan in what looks at many


@pytest.mark.parametrize("name, kinds, rule", entries(UNARY) + entries(BINARY))
def test_empty_and_scalar_operands(name: str, kinds: str, rule: str) -> None:
    count = 1 if (name, kinds, rule) in entries(UNARY) else 2
    for kind in kinds:
        for dtype in NAMES[kind]:
            for shape in ((), (0, 3)):
                operands = [mx.ones(shape, dtype=getattr(mx, dtype))] * count
                found = getattr(mx, name)(*operands)
                assert found.shape == shape and dtype_name(found) == expected_dtype(rule, dtype)
            assert getattr(mx, name)(*operands).tolist() == []


def test_reductions_of_nothing() -> None:
    nothing = mx.zeros((0, 3))
    assert mx.sum(nothing, axis=0).tolist() == [0, 0, 0] and mx.prod(nothing, axis=0).tolist() == [1, 1, 1]
    assert mx.sum(nothing).item() == 0 and mx.prod(nothing).item() == 1
    assert mx.all(nothing).item() is True and mx.any(nothing).item() is False
    assert mx.count_nonzero(nothing, axis=0).tolist() == [0, 0, 0]
    assert mx.sum(nothing, axis=1).shape == (0,) and mx.max(mx.zeros((0, 3)), axis=1).shape == (0,)
    for found in (mx.mean(nothing, axis=0), mx.var(nothing, axis=0), mx.std(nothing, axis=0)):
        assert all(math.isnan(value) for value in found.tolist())
    assert all(math.isnan(f(mx.ones(3), correction=3).item()) for f in (mx.var, mx.std))
    for name in ("max", "min", "argmax", "argmin"):
        with pytest.raises(ValueError):
            getattr(mx, name)(mx.zeros((0,)))


def test_functions_of_nothing() -> None:
    nothing = mx.zeros((0,))
    for name in ("sort", "argsort", "cumulative_sum", "cumulative_prod", "flip", "diff", "unique_values"):
        assert getattr(mx, name)(nothing).shape == (0,), name
    assert mx.cumulative_sum(nothing, include_initial=True).tolist() == [0]
    assert mx.cumulative_prod(nothing, include_initial=True).tolist() == [1]
    assert [part.shape for part in mx.unique_all(nothing)] == [(0,)] * 4
    assert mx.searchsorted(nothing, mx.array([1.0])).tolist() == [0] and mx.nonzero(nothing)[0].shape == (0,)
    assert mx.take(mx.ones((2, 3)), mx.zeros((0,), dtype=mx.int32), axis=1).shape == (2, 0)
    assert mx.repeat(mx.ones(3), 0).shape == (0,) and mx.tile(mx.ones(3), (0,)).shape == (0,)
    assert mx.concat([nothing, mx.ones(1)]).tolist() == [1] and mx.stack([nothing, nothing]).shape == (2, 0)
    assert mx.unstack(mx.ones((0, 2))) == () and mx.arange(5, 2).shape == (0,)
    assert mx.linspace(0, 1, 0).shape == (0,) and mx.linspace(2, 3, 1).tolist() == [2]
    assert mx.matmul(mx.ones((2, 0)), mx.ones((0, 3))).tolist() == [[0] * 3] * 2
    assert mx.reshape(nothing, (0, 4)).shape == (0, 4) and mx.roll(nothing, 2).shape == (0,)
    assert mx.linalg.trace(mx.ones((0, 0))).item() == 0 and mx.eye(0).shape == (0, 0)


def test_nan_among_many() -> None:
    a = mx.array([1.0, math.nan, 3.0])
    for name in ("max", "min", "sum", "prod", "mean", "var", "std"):
        assert math.isnan(getattr(mx, name)(a).item()), name
    assert mx.all(a).item() is True and mx.any(mx.array([0.0, math.nan])).item() is True
    assert mx.count_nonzero(mx.array([0.0, -0.0, math.nan])).item() == 1
    assert [part.tolist() for part in mx.nonzero(mx.array([0.0, -0.0, math.nan]))] == [[2]]
    assert mx.sign(mx.array([-0.0])).tolist() == [0]


def test_unique_elements() -> None:
    """Each nan is an element of its own, zeros are one whatever their sign."""
    values = mx.array([math.nan, 1.0, -0.0, math.nan, 0.0])
    found = mx.unique_all(values)
    assert [math.isnan(value) for value in found.values.tolist()] == [False, False, True, True]
    assert found.counts.tolist() == [2, 1, 1, 1]
    assert sorted(found.indices.tolist()) == [0, 1, 2, 3]
    assert mx.unique_counts(values).counts.tolist() == [2, 1, 1, 1]
    whole = mx.array([[3, 1], [1, 2]])
    parts = mx.unique_inverse(whole)
    assert parts.values[parts.inverse_indices].tolist() == whole.tolist()
    assert mx.unique_values(mx.array(7)).tolist() == [7]
    for name in ("unique_all", "unique_counts", "unique_inverse", "unique_values"):
        with pytest.raises(TypeError):
            getattr(mx, name)([1, 2])


def test_positions_of_equal_elements() -> None:
    assert mx.argmax(mx.array([1, 3, 3])).item() == 1 and mx.argmin(mx.array([2, 1, 1])).item() == 1
    equal = mx.array([1, 2, 2, 3])
    assert mx.searchsorted(equal, mx.array([2, 0, 4])).tolist() == [1, 0, 4]
    assert mx.searchsorted(equal, mx.array([2, 0, 4]), side="right").tolist() == [3, 0, 4]
