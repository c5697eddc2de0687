"""Polynomials and index expressions: ring laws against evaluation, canonical form, text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tarry.loops.poly import (
    NOWHERE,
    ONE,
    ZERO,
    Affine,
    Poly,
    along,
    constant,
    contiguous,
    fixed,
    product,
    symbol,
)

ARGUMENTS = [2, -3, 5]


@st.composite
def polys(draw: st.DrawFn) -> Poly:
    total = ZERO
    for _ in range(draw(st.integers(0, 3))):
        term = constant(draw(st.integers(-4, 4)))
        for number in draw(st.lists(st.integers(0, 2), max_size=2)):
            term = term * symbol(number)
        total = total + term
    return total


@given(polys(), polys(), polys())
def test_polynomials_form_a_ring(a: Poly, b: Poly, c: Poly) -> None:
    assert (a + b).evaluate(ARGUMENTS) == a.evaluate(ARGUMENTS) + b.evaluate(ARGUMENTS)
    assert (a * b).evaluate(ARGUMENTS) == a.evaluate(ARGUMENTS) * b.evaluate(ARGUMENTS)
    assert (a - b).evaluate(ARGUMENTS) == a.evaluate(ARGUMENTS) - b.evaluate(ARGUMENTS)
    for left, right in [
        (a + b, b + a), (a * b, b * a), ((a + b) + c, a + (b + c)), ((a * b) * c, a * (b * c)),
        (a * (b + c), a * b + a * c), (a - a, ZERO), (a * ONE, a), (a * ZERO, ZERO), (ZERO - (-a), a),
    ]:  # fmt: skip
        assert left == right and hash(left) == hash(right) and repr(left) == repr(right)


def test_constants() -> None:
    assert constant(0) is ZERO and constant(1) is ONE
    assert constant(7).constant == 7 and ZERO.constant == 0
    assert symbol(0).constant is None and (symbol(0) + ONE).constant is None
    assert (symbol(0) - symbol(0)).constant == 0
    assert symbol(0) != symbol(1) and symbol(0) != 0


def test_text_of_polynomials() -> None:
    assert repr(ZERO) == "0" and repr(constant(-2)) == "-2"
    assert repr(symbol(1) * symbol(0) * constant(3) + symbol(2) + constant(4)) == "4 + 3*$0*$1 + $2"


def test_strides_and_products() -> None:
    shape = [symbol(0), symbol(1), symbol(2)]
    assert contiguous(shape) == (symbol(1) * symbol(2), symbol(2), ONE)
    assert contiguous([]) == ()
    assert product(shape).evaluate([2, 3, 4]) == 24 and product([]) == ONE


@st.composite
def affines(draw: st.DrawFn) -> Affine:
    total = fixed(draw(polys()))
    for axis in draw(st.lists(st.integers(0, 3), max_size=3)):
        total = total + along(axis).scale(draw(polys()))
    return total


def value(expression: Affine, axes: list[int]) -> int:
    terms = sum(axes[axis] * c.evaluate(ARGUMENTS) for axis, c in expression.terms)
    return terms + expression.offset.evaluate(ARGUMENTS)


@given(affines(), affines(), polys())
def test_index_expressions_are_linear(a: Affine, b: Affine, factor: Poly) -> None:
    axes = [3, 1, 4, 1]
    assert value(a + b, axes) == value(a, axes) + value(b, axes)
    assert value(a.scale(factor), axes) == value(a, axes) * factor.evaluate(ARGUMENTS)
    assert value(a.shift(factor), axes) == value(a, axes) + factor.evaluate(ARGUMENTS)
    assert a + b == b + a and hash(a + b) == hash(b + a)
    assert a + NOWHERE == a and a.scale(ZERO) == NOWHERE and a.scale(ONE) == a


@given(affines(), affines())
def test_index_expressions_are_canonical(a: Affine, b: Affine) -> None:
    axes = [axis for axis, _ in (a + b).terms]
    assert axes == sorted(set(axes))
    assert all(c.terms for _, c in (a + b).terms)


def test_single_axes() -> None:
    assert along(2).axis == 2
    for other in (along(2).shift(ONE), along(2).scale(constant(2)), NOWHERE):
        assert other.axis is None
    assert along(1).coefficient(1) == ONE and along(1).coefficient(0) == ZERO


def test_text_of_index_expressions() -> None:
    assert repr(NOWHERE) == "0" and repr(along(1)) == "i1"
    assert repr(along(0).scale(symbol(1)) + along(1) + fixed(constant(5))) == "i0*($1) + i1 + 5"
