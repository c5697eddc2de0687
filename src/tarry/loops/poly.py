"""Integer expressions over a plan's argument vector, and index expressions over loop axes.

`Poly` is a polynomial with integer coefficients over symbols; symbol k is entry k of the argument vector
(a size, a slice start, ...). `Affine` is a sum of axis * Poly plus a Poly: how a position in one array
depends on loop axes. Both are immutable, canonical (equal means identical terms) and print as text.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

Monomial = tuple[int, ...]


class Poly:
    """A sum of coefficient * product of symbols, in canonical order."""

    __slots__ = ("_hash", "terms")

    def __init__(self, terms: tuple[tuple[Monomial, int], ...]) -> None:
        self.terms = terms
        self._hash = hash(terms)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Poly) and self.terms == other.terms)

    def __add__(self, other: Poly) -> Poly:
        if not self.terms:
            return other
        if not other.terms:
            return self
        sums = dict(self.terms)
        for monomial, coefficient in other.terms:
            sums[monomial] = sums.get(monomial, 0) + coefficient
        return _from_sums(sums)

    def __neg__(self) -> Poly:
        return Poly(tuple((monomial, -coefficient) for monomial, coefficient in self.terms))

    def __sub__(self, other: Poly) -> Poly:
        return self + (-other)

    def __mul__(self, other: Poly) -> Poly:
        if self is ONE or other is ZERO:
            return other
        if other is ONE or self is ZERO:
            return self
        sums: dict[Monomial, int] = {}
        for left, a in self.terms:
            for right, b in other.terms:
                monomial = tuple(sorted(left + right))
                sums[monomial] = sums.get(monomial, 0) + a * b
        return _from_sums(sums)

    @property
    def constant(self) -> int | None:
        """The value when no symbol occurs, else None."""
        if not self.terms:
            return 0
        if len(self.terms) == 1 and self.terms[0][0] == ():
            return self.terms[0][1]
        return None

    def evaluate(self, arguments: Sequence[int]) -> int:
        total = 0
        for monomial, coefficient in self.terms:
            product = coefficient
            for symbol in monomial:
                product *= arguments[symbol]
            total += product
        return total

    def __repr__(self) -> str:
        if not self.terms:
            return "0"
        parts = []
        for monomial, coefficient in self.terms:
            factors = [f"${symbol}" for symbol in monomial]
            if coefficient != 1 or not factors:
                factors.insert(0, str(coefficient))
            parts.append("*".join(factors))
        return " + ".join(parts)


def _from_sums(sums: dict[Monomial, int]) -> Poly:
    return Poly(tuple(sorted((m, c) for m, c in sums.items() if c != 0)))


ZERO = Poly(())
ONE = Poly((((), 1),))


def constant(value: int) -> Poly:
    """The polynomial that is always `value`."""
    if value == 0:
        return ZERO
    if value == 1:
        return ONE
    return Poly((((), value),))


@functools.cache
def symbol(number: int) -> Poly:
    """The polynomial that is entry `number` of the argument vector."""
    return Poly((((number,), 1),))


def product(factors: Sequence[Poly]) -> Poly:
    result = ONE
    for factor in factors:
        result = result * factor
    return result


def contiguous(shape: Sequence[Poly]) -> tuple[Poly, ...]:
    """Row-major strides of a symbolic shape."""
    strides = [ONE] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return tuple(strides)


class Affine:
    """offset + sum of axis * coefficient; `terms` is sorted by axis and holds no zero coefficient."""

    __slots__ = ("_hash", "offset", "terms")

    def __init__(self, offset: Poly, terms: tuple[tuple[int, Poly], ...]) -> None:
        self.offset = offset
        self.terms = terms
        self._hash: int | None = None

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash((self.offset, self.terms))
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Affine) and self.offset == other.offset and self.terms == other.terms

    def __add__(self, other: Affine) -> Affine:
        if not other.terms:
            return self.shift(other.offset)
        if not self.terms:
            return other.shift(self.offset)
        sums = dict(self.terms)
        for axis, coefficient in other.terms:
            sums[axis] = sums[axis] + coefficient if axis in sums else coefficient
        kept = tuple(sorted((axis, c) for axis, c in sums.items() if c.terms))
        return Affine(self.offset + other.offset, kept)

    def scale(self, factor: Poly) -> Affine:
        if factor == ONE or self is NOWHERE:
            return self
        if factor == ZERO:
            return NOWHERE
        return Affine(self.offset * factor, tuple((axis, c * factor) for axis, c in self.terms))

    def shift(self, offset: Poly) -> Affine:
        return Affine(self.offset + offset, self.terms) if offset.terms else self

    def coefficient(self, axis: int) -> Poly:
        for number, value in self.terms:
            if number == axis:
                return value
        return ZERO

    @property
    def axis(self) -> int | None:
        """The axis when the expression is exactly one axis, else None."""
        if not self.offset.terms and len(self.terms) == 1 and self.terms[0][1] == ONE:
            return self.terms[0][0]
        return None

    def __repr__(self) -> str:
        parts = [f"i{axis}" if c == ONE else f"i{axis}*({c})" for axis, c in self.terms]
        if self.offset.terms or not parts:
            parts.append(str(self.offset))
        return " + ".join(parts)


NOWHERE = Affine(ZERO, ())


@functools.cache
def along(axis: int) -> Affine:
    """The index expression that is loop axis `axis`."""
    return Affine(ZERO, ((axis, ONE),))


def fixed(offset: Poly) -> Affine:
    """The index expression that depends on no axis."""
    return Affine(offset, ())
