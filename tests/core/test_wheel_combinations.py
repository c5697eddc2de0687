"""Random dtypes and broadcasting shapes give the dtypes, shapes, values and errors of the wheel."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wheel_combinations import BINARY, DRAWS, REDUCTIONS, UNARY, difference, known_difference

from oracle import requires_oracle


@requires_oracle
@pytest.mark.parametrize("kind", DRAWS)
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(random=st.randoms(use_true_random=False))
def test_as_in_the_wheel(kind: str, random: Random) -> None:
    call = DRAWS[kind](random)
    if known_difference(call) is None:
        found = difference(call)
        assert found is None, f"{call!r} gives {found}"


def test_the_lists_are_what_is_public() -> None:
    assert {"arccos", "sigmoid", "to_fp8"} - set(UNARY) == {"to_fp8"} and len(UNARY) > 50
    assert {"arctan2", "divmod", "matmul", "tile"} - set(BINARY) == {"tile"} and len(BINARY) > 30
    assert {"argmax", "logsumexp", "median", "var"} <= set(REDUCTIONS)
