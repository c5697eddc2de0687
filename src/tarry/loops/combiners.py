"""The closed set of reductions: identity and how two partial results combine.

Each combiner is associative; with finite inputs reordering changes floating-point sums by rounding only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tarry.base.dtypes import Dtype

if TYPE_CHECKING:
    from tarry.loops.builder import Builder
    from tarry.loops.ir import Instr

Values = Sequence["Instr"]


class Combiner:
    __slots__ = ("combine", "components", "identity", "name")

    def __init__(
        self,
        name: str,
        components: int,
        identity: Callable[[Dtype, int], complex | float | int | bool],
        combine: Callable[[Builder, Values, Values], list[Instr]],
    ) -> None:
        self.name = name
        self.components = components
        self.identity = identity
        self.combine = combine


def lowest(dtype: Dtype) -> float | int | bool:
    """The identity of max: -inf, the smallest integer, or False."""
    if dtype.kind == "f":
        return float("-inf")
    if dtype.kind == "b":
        return False
    return 0 if dtype.kind == "u" else -(1 << (8 * dtype.size - 1))


def highest(dtype: Dtype) -> float | int | bool:
    """The identity of min: inf, the largest integer, or True."""
    if dtype.kind == "f":
        return float("inf")
    if dtype.kind == "b":
        return True
    bits = 8 * dtype.size
    return (1 << bits) - 1 if dtype.kind == "u" else (1 << (bits - 1)) - 1


def _apply(op: str) -> Callable[[Builder, Values, Values], list[Instr]]:
    def combine(builder: Builder, left: Values, right: Values) -> list[Instr]:
        return [builder.apply(op, left[0], right[0])]

    return combine


def _complex_product(builder: Builder, left: Values, right: Values) -> list[Instr]:
    """The product of two complex numbers given by their parts."""
    a, b = left
    c, d = right
    real = builder.sub(builder.mul(a, c), builder.mul(b, d))
    return [real, builder.add(builder.mul(a, d), builder.mul(b, c))]


def _extremum(better_op: str) -> Callable[[Builder, Values, Values], list[Instr]]:
    """NaN beats everything, then the better value, then the smaller position."""

    def combine(builder: Builder, left: Values, right: Values) -> list[Instr]:
        a, i = left
        b, j = right
        better = builder.apply(better_op, b, a)
        if a.dtype.kind == "f":
            a_is_nan = builder.apply("ne", a, a)
            b_is_nan = builder.apply("ne", b, b)
            better = builder.apply("or", better, b_is_nan)
            better = builder.apply("and", better, builder.logical_not(a_is_nan))
            tied = builder.apply("or", builder.apply("eq", a, b), builder.apply("and", a_is_nan, b_is_nan))
        else:
            tied = builder.apply("eq", a, b)
        earlier = builder.apply("and", tied, builder.apply("lt", j, i))
        take = builder.apply("or", better, earlier)
        return [builder.select(take, b, a), builder.select(take, j, i)]

    return combine


def _extremum_identity(bound: Callable[[Dtype], float | int | bool]) -> Callable[[Dtype, int], float | int]:
    def identity(dtype: Dtype, component: int) -> float | int:
        # The position of the identity is the last one, so that any element beats it in a tie.
        return bound(dtype) if component == 0 else (1 << 32) - 1

    return identity


COMBINERS: dict[str, Combiner] = {
    "sum": Combiner("sum", 1, lambda dtype, _: 0, _apply("add")),
    "prod": Combiner("prod", 1, lambda dtype, _: 1, _apply("mul")),
    "complex_prod": Combiner("complex_prod", 2, lambda dtype, component: 1 - component, _complex_product),
    "max": Combiner("max", 1, lambda dtype, _: lowest(dtype), _apply("max")),
    "min": Combiner("min", 1, lambda dtype, _: highest(dtype), _apply("min")),
    "and": Combiner("and", 1, lambda dtype, _: True, _apply("and")),
    "or": Combiner("or", 1, lambda dtype, _: False, _apply("or")),
    "argmax": Combiner("argmax", 2, _extremum_identity(lowest), _extremum("gt")),
    "argmin": Combiner("argmin", 2, _extremum_identity(highest), _extremum("lt")),
}
