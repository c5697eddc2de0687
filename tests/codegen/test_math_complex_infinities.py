"""Functions of complex64 where a part is infinite or NaN: the tables of C99, annex G.6, on every target."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
from math_runner import TARGETS, operation

from tarry.base.dtypes import complex64

# Function, symmetry, and points x,y>real,imaginary with y >= 0 (and x >= 0 where the function is odd or
# even); p is pi, and ~ precedes a part whose sign is left open. All have f(conj z) = conj f(z). The rows of
# expm1 and log1p, which C99 does not have, are those of the array API standard.
TABLE = """
acos - 0,0>p/2,-0 -0,0>p/2,-0 0,nan>p/2,nan -0,nan>p/2,nan 1,inf>p/2,-inf 0,inf>p/2,-inf -2,inf>p/2,-inf
acos - 1,nan>nan,nan -inf,1>p,-inf -inf,0>p,-inf inf,1>0,-inf inf,0>0,-inf -inf,inf>3*p/4,-inf
acos - inf,inf>p/4,-inf inf,nan>nan,~inf -inf,nan>nan,~inf nan,1>nan,nan nan,0>nan,nan nan,inf>nan,-inf
acos - nan,nan>nan,nan
acosh - 0,0>0,p/2 -0,0>0,p/2 1,inf>inf,p/2 -2,inf>inf,p/2 0,nan>nan,~p/2 -0,nan>nan,~p/2 1,nan>nan,nan
acosh - -inf,1>inf,p -inf,0>inf,p inf,1>inf,0 inf,0>inf,0 -inf,inf>inf,3*p/4 inf,inf>inf,p/4 inf,nan>inf,nan
acosh - -inf,nan>inf,nan nan,1>nan,nan nan,0>nan,nan nan,inf>inf,nan nan,nan>nan,nan
asinh odd 0,0>0,0 1,inf>inf,p/2 0,inf>inf,p/2 1,nan>nan,nan inf,1>inf,0 inf,0>inf,0 inf,inf>inf,p/4
asinh odd inf,nan>inf,nan nan,0>nan,0 nan,1>nan,nan nan,inf>~inf,nan nan,nan>nan,nan
atanh odd 0,0>0,0 0,nan>0,nan 1,0>inf,0 1,inf>0,p/2 0,inf>0,p/2 1,nan>nan,nan inf,1>0,p/2 inf,0>0,p/2
atanh odd inf,inf>0,p/2 inf,nan>0,nan nan,1>nan,nan nan,0>nan,nan nan,inf>~0,p/2 nan,nan>nan,nan
cosh even 0,0>1,0 0,inf>nan,~0 0,nan>nan,~0 1,inf>nan,nan 1,nan>nan,nan inf,0>inf,0 inf,1>inf,inf
cosh even inf,2>-inf,inf inf,inf>~inf,nan inf,nan>inf,nan nan,0>nan,~0 nan,1>nan,nan nan,inf>nan,nan
cosh even nan,nan>nan,nan
sinh odd 0,0>0,0 0,inf>~0,nan 0,nan>~0,nan 1,inf>nan,nan 1,nan>nan,nan inf,0>inf,0 inf,1>inf,inf
sinh odd inf,2>-inf,inf inf,inf>~inf,nan inf,nan>~inf,nan nan,0>nan,0 nan,1>nan,nan nan,inf>nan,nan
sinh odd nan,nan>nan,nan
tanh odd 0,0>0,0 0,inf>0,nan 0,nan>0,nan 1,inf>nan,nan 1,nan>nan,nan inf,0>1,0 inf,1>1,0 inf,2>1,-0
tanh odd inf,inf>1,~0 inf,nan>1,~0 nan,0>nan,0 nan,1>nan,nan nan,inf>nan,nan nan,nan>nan,nan
exp - 0,0>1,0 -0,0>1,0 1,inf>nan,nan -inf,inf>~0,~0 1,nan>nan,nan inf,0>inf,0 -inf,0>0,0 -inf,1>0,0
exp - -inf,2>-0,0 inf,1>inf,inf inf,2>-inf,inf inf,inf>~inf,nan -inf,nan>~0,~0 inf,nan>~inf,nan nan,0>nan,0
exp - nan,1>nan,nan nan,inf>nan,nan nan,nan>nan,nan
expm1 - 0,0>0,0 -0,0>-0,0 1,inf>nan,nan 1,nan>nan,nan inf,0>inf,0 -inf,0>-1,0 -inf,1>-1,0 -inf,2>-1,0
expm1 - inf,1>inf,inf inf,2>-inf,inf -inf,inf>-1,~0 inf,inf>~inf,nan -inf,nan>-1,~0 inf,nan>~inf,nan
expm1 - nan,0>nan,0 nan,1>nan,nan nan,inf>nan,nan nan,nan>nan,nan
log - -0,0>-inf,p 0,0>-inf,0 1,inf>inf,p/2 -2,inf>inf,p/2 1,nan>nan,nan -inf,1>inf,p -inf,0>inf,p
log - inf,1>inf,0 inf,0>inf,0 -inf,inf>inf,3*p/4 inf,inf>inf,p/4 inf,nan>inf,nan -inf,nan>inf,nan
log - nan,1>nan,nan nan,0>nan,nan nan,inf>inf,nan nan,nan>nan,nan
log1p - -1,0>-inf,0 1,inf>inf,p/2 -2,inf>inf,p/2 1,nan>nan,nan -inf,1>inf,p -inf,0>inf,p inf,1>inf,0
log1p - inf,0>inf,0 -inf,inf>inf,3*p/4 inf,inf>inf,p/4 inf,nan>inf,nan -inf,nan>inf,nan nan,1>nan,nan
log1p - nan,0>nan,nan nan,inf>inf,nan nan,nan>nan,nan
sqrt - 0,0>0,0 -0,0>0,0 1,inf>inf,inf -2,inf>inf,inf inf,inf>inf,inf -inf,inf>inf,inf nan,inf>inf,inf
sqrt - 1,nan>nan,nan -inf,1>0,inf -inf,0>0,inf inf,1>inf,0 inf,0>inf,0 -inf,nan>nan,~inf inf,nan>inf,nan
sqrt - nan,1>nan,nan nan,0>nan,nan nan,nan>nan,nan
"""
# The circular functions are hyperbolic ones of i z: f(z) = -i g(i z), but cos(z) = cosh(i z).
TURNED = {"asin": "asinh", "atan": "atanh", "sin": "sinh", "tan": "tanh", "cos": "cosh"}


class Part:
    """What a part of a result shall be."""

    def __init__(self, value: float, signed: bool) -> None:
        self.value = value
        self.signed = signed

    def __neg__(self) -> Part:
        return Part(-self.value, self.signed)

    def agrees(self, found: float) -> bool:
        if math.isnan(self.value):
            return math.isnan(found)
        same_sign = math.copysign(1, found) == math.copysign(1, self.value)
        return math.isclose(abs(found), abs(self.value), rel_tol=1e-6) and (same_sign or not self.signed)


Case = tuple[float, float, Part, Part]


def number(text: str) -> float:
    value = float(eval(text.removeprefix("-"), {"inf": math.inf, "nan": math.nan, "p": math.pi}))
    return -value if text.startswith("-") else value


def part(text: str) -> Part:
    return Part(number(text.removeprefix("~")), not text.startswith("~"))


def cases(name: str) -> Iterator[Case]:
    """The rows of a function, and what follows from its symmetries."""
    if name in TURNED:
        for x, y, real, imaginary in cases(TURNED[name]):
            yield (y, -x, real, imaginary) if name == "cos" else (y, -x, imaginary, -real)
        return
    for line in TABLE.splitlines():
        function, symmetry, *points = line.split() or ("", "")
        for point in points if function == name else ():
            x, y, real, imaginary = point.replace(">", ",").split(",")
            first: Case = (number(x), number(y), part(real), part(imaginary))
            for conjugated, opposite in itertools.product((False, True), (False, symmetry != "-")):
                case = first
                if conjugated:
                    case = (case[0], -case[1], case[2], -case[3])
                if opposite:
                    odd = symmetry == "odd"
                    parts = (-case[2], -case[3]) if odd else (case[2], case[3])
                    case = (-case[0], -case[1], *parts)
                yield case


NAMES = [*dict.fromkeys(line.split()[0] for line in TABLE.splitlines() if line), *TURNED]


def pairs(values: list[tuple[float, float]]) -> np.ndarray:
    """Complex numbers of these parts; x + y * 1j would make a NaN of the other part of an infinity."""
    return np.array(values, np.float32).view(np.complex64).ravel()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_as_in_the_tables_of_c99(name: str, target: str) -> None:
    listed = list(cases(name))
    assert len(listed) >= 30
    found = operation(name, [complex64], target)(pairs([case[:2] for case in listed]))
    for (x, y, real, imaginary), ours in zip(listed, found, strict=True):
        assert real.agrees(ours.real) and imaginary.agrees(ours.imag), (x, y, ours)


@pytest.mark.parametrize("target", TARGETS)
def test_a_logarithm_to_another_base_is_infinite_where_log_is(target: str) -> None:
    points = pairs([(x, y) for x, y, *_ in cases("log")])
    expected = operation("log", [complex64], target)(points)
    for name, base in (("log2", 2), ("log10", 10)):
        found = operation(name, [complex64], target)(points)
        np.testing.assert_allclose(found.real, expected.real / math.log(base), rtol=1e-6)
        np.testing.assert_allclose(found.imag, expected.imag / math.log(base), rtol=1e-6)


@pytest.mark.parametrize("target", TARGETS)
def test_quotients_by_infinities_are_zero(target: str) -> None:
    divide = operation("div", [complex64, complex64], target)
    ends = [-math.inf, -2.0, -0.0, 0.0, 2.0, math.inf, math.nan]
    infinite = [(x, y) for x in ends for y in ends if math.inf in (abs(x), abs(y))]
    for numerator in ((1.0, 0.0), (-3.0, 2.0), (3e38, -3e38), (0.0, 0.0)):
        np.testing.assert_array_equal(divide(pairs([numerator] * len(infinite)), pairs(infinite)), 0)
    unknown = divide(pairs([(math.inf, 1.0), (math.nan, 0.0)]), pairs([(math.inf, 1.0), (1.0, math.inf)]))
    assert np.isnan(unknown.real).all()
    roots = operation("rsqrt", [complex64], target)(pairs(infinite))
    known = [not (math.isinf(x) and x < 0 and math.isnan(y)) for x, y in infinite]
    np.testing.assert_array_equal(roots[known], 0)


@pytest.mark.parametrize("target", TARGETS)
def test_zeros_of_quotients_have_their_signs(target: str) -> None:
    """As (a0 b0 + a1 b1) / |b|**2 and (a1 b0 - a0 b1) / |b|**2 have them; by zero the parts are infinite."""
    sides = [-2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0]
    grid = list(itertools.product(sides, repeat=2))
    a, b = (pairs(list(side)) for side in zip(*itertools.product(grid, repeat=2)))
    found = operation("div", [complex64, complex64], target)(a, b)
    size = b.real**2 + b.imag**2
    with np.errstate(all="ignore"):
        real = (a.real * b.real + a.imag * b.imag) / size
        imaginary = (a.imag * b.real - a.real * b.imag) / size
        by_zero = [part * np.copysign(np.float32(np.inf), b.real) for part in (a.real, a.imag)]
    expected = [np.where(size == 0, end, usual) for end, usual in zip(by_zero, (real, imaginary))]
    for ours, wanted in zip((found.real, found.imag), expected):
        np.testing.assert_allclose(ours, wanted, rtol=1e-6)
        compared = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(ours)[compared], np.signbit(wanted)[compared])
