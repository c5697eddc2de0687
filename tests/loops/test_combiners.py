"""Combiners: identities are identities, and combining is associative and ranks NaN and positions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.base.dtypes import (
    ALL,
    Dtype,
    bool_,
    complex64,
    float16,
    float32,
    int8,
    int32,
    to_numpy,
    uint8,
    uint32,
    uint64,
)
from tarry.loops.builder import Builder, combine, linear
from tarry.loops.combiners import COMBINERS, highest, lowest
from tarry.loops.interpret import run_kernel


def combined(
    name: str, dtypes: Sequence[Dtype], left: Sequence[object], right: Sequence[object]
) -> list[object]:
    """Two partial results combined by a kernel."""
    builder = Builder()
    params = [builder.scalar_param(dtype) for dtype in (*dtypes, *dtypes)]
    values = [builder.scalar(param) for param in params]
    results = combine(builder, name, values[: len(dtypes)], values[len(dtypes) :])
    names = [param.name for param in params]
    arguments: dict[str, object] = dict(zip(names, (*left, *right)))
    for result in results:
        buffer = builder.buffer(result.dtype, "out")
        arguments[buffer.name] = np.zeros(1, to_numpy(result.dtype))
        builder.store(buffer, linear(), result)
    kernel = builder.finish()
    run_kernel(kernel, arguments)
    return [np.asarray(arguments[param.name])[0].item() for param in kernel.params[len(params) :]]


def test_bounds() -> None:
    assert (lowest(int8), highest(int8), lowest(uint8), highest(uint8)) == (-128, 127, 0, 255)
    assert (lowest(float16), highest(float16)) == (-math.inf, math.inf)
    assert (lowest(bool_), highest(bool_)) == (False, True)
    assert highest(uint64) == (1 << 64) - 1


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "and", "or"])
@pytest.mark.parametrize("dtype", ALL, ids=lambda dtype: dtype.name)
def test_identities(name: str, dtype: Dtype) -> None:
    kinds = {"sum": "uifc", "prod": "uifc", "max": "uifb", "min": "uifb", "and": "b", "or": "b"}[name]
    if dtype.kind not in kinds:
        return
    identity = COMBINERS[name].identity(dtype, 0)
    for value in (0, 1) if dtype.kind == "b" else (0, 1, 5):
        assert combined(name, [dtype], [identity], [value]) == [value]
        assert combined(name, [dtype], [value], [identity]) == [value]
    assert COMBINERS[name].components == 1


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_extrema_take_nan_then_the_value_then_the_position(name: str) -> None:
    sign = 1.0 if name == "argmax" else -1.0
    dtypes = [float32, uint32]
    assert combined(name, dtypes, [sign, 4], [2 * sign, 9]) == [2 * sign, 9]
    assert combined(name, dtypes, [sign, 4], [sign, 9]) == [sign, 4]
    assert combined(name, dtypes, [sign, 9], [sign, 4]) == [sign, 4]
    for left, right, position in (((math.nan, 8), (sign, 3), 8), ((sign, 3), (math.nan, 8), 8)):
        value, found = combined(name, dtypes, left, right)
        assert math.isnan(float(str(value))) and found == position
    assert combined(name, dtypes, [math.nan, 8], [math.nan, 3])[1] == 3
    identity = [COMBINERS[name].identity(float32, 0), COMBINERS[name].identity(uint32, 1)]
    assert combined(name, dtypes, identity, [-sign * math.inf, 7]) == [-sign * math.inf, 7]
    assert COMBINERS[name].components == 2


VALUES = st.sampled_from([-1.0, 0.0, 2.0, math.inf, -math.inf, math.nan])
PARTIAL = st.tuples(VALUES, st.integers(0, 5))


@given(PARTIAL, PARTIAL, PARTIAL, st.sampled_from(["argmax", "argmin"]))
def test_extrema_are_associative(a: object, b: object, c: object, name: str) -> None:
    def join(left: object, right: object) -> list[object]:
        assert isinstance(left, (list, tuple)) and isinstance(right, (list, tuple))
        return combined(name, [float32, uint32], left, right)

    assert repr(join(join(a, b), c)) == repr(join(a, join(b, c)))
    assert repr(join(a, b)) == repr(join(b, a))


def test_integers_and_bools_have_extrema() -> None:
    assert combined("argmax", [int32, uint32], [5, 1], [7, 2]) == [7, 2]
    assert combined("argmin", [bool_, uint32], [True, 1], [False, 2]) == [False, 2]


def test_complex_sums() -> None:
    assert combined("prod", [complex64], [1j], [1j]) == [-1 + 0j]
