"""TARRY_DEBUG shows what the documents say it shows, and TARRY_CHECK finds nothing wrong."""

from __future__ import annotations

import re

import pytest
from program_runner import run_program

PROGRAM = """
    import numpy as np
    import tarry.core as mx
    x = mx.array(np.linspace(-1, 1, 96, dtype=np.float32).reshape(8, 12))
    for _ in range(2):
        mx.eval(mx.softmax(x * 2.0, axis=-1))
    print("done")
"""
# What each level prints first.
SHOWN = {
    1: r"\[plan\] built in [\d.]+ ms: 1 steps",
    2: r"\[kernel\] +\d+ +[\d.]+ us .*kernel_[0-9a-f]{12}",
    3: r"--- fuse \([\d.]+ ms\)\n.*@",
    4: r"define [^\n]*void @kernel_[0-9a-f]{12}",
    5: r"\n\s+\.text\n|\n\t(vmovups|movups|ldr|fmul)",
}


@pytest.mark.parametrize("level", [0, 1, 2, 3, 4, 5])
def test_debug_levels(level: int) -> None:
    output, errors = run_program(PROGRAM, TARRY_DEBUG=str(level), TARRY_CACHE="0")
    assert output == "done\n"
    for shown, pattern in SHOWN.items():
        assert bool(re.search(pattern, errors)) == (shown <= level), f"{shown} at {level}\n{errors[:3000]}"
    if level == 0:
        assert errors == ""
    if level >= 2:
        assert len(re.findall(r"\[kernel\]", errors)) == 2
    if level >= 3:
        for name in ("record", "simplify", "fuse", "lower"):
            assert f"--- {name} (" in errors
        assert "float32" in errors and "exp" in errors


MIXED = """
    import numpy as np
    import tarry.core as mx
    generator = np.random.default_rng(0)
    x = mx.array(generator.standard_normal((13, 22), dtype=np.float32))
    w = mx.array(generator.standard_normal((22, 7), dtype=np.float32))
    i = mx.array(generator.integers(-13, 13, 9, dtype=np.int32))
    def loss(x, w):
        y = mx.softmax(mx.tanh(x) @ w + 0.5, axis=-1)
        return mx.mean(mx.logsumexp(y, axis=-1) - y[:, 0]) + mx.var(x[i]) + mx.max(mx.concatenate([y, y]))
    mx.eval(mx.value_and_grad(loss, argnums=(0, 1))(x, w))
    mx.eval(mx.sum(x, axis=0), mx.argmax(x, axis=1), mx.prod(1 + 0.1 * x), mx.pad(x, 1), x[::-1, 2:9] * 2)
    mx.eval(x.astype(mx.float16) * 3, mx.sum(x.astype(mx.bfloat16)), mx.arange(40) // 7, mx.arange(9) ** 2)
    mx.eval(mx.random.uniform(shape=(5, 9)), mx.random.normal((4, 3)), mx.random.randint(0, 9, (11,)))
    mx.eval(mx.zeros((13, 22)).at[i].add(mx.take(x, i, axis=0)), mx.vmap(mx.sum)(x), mx.where(x > 0, x, 0))
    y = mx.array(np.arange(12))
    y[2:5] = 7
    y[mx.array([0, 1])] = mx.array([5, 6])
    mx.eval(y, mx.erf(x), mx.log1p(mx.abs(x)), mx.isnan(x), mx.logical_and(x > 0, x < 1))
    print("done")
"""


@pytest.mark.parametrize("level", ["1", "2"])
def test_checks_find_nothing(level: str) -> None:
    assert run_program(MIXED, TARRY_CHECK=level)[0] == "done\n"


def test_bad_settings_are_refused() -> None:
    with pytest.raises(AssertionError, match=r"\[settings\] TARRY_THREADS must be at least 1, but it is 0"):
        run_program("import tarry.core", TARRY_THREADS="0")
    with pytest.raises(
        AssertionError, match=r"\[settings\] TARRY_DEBUG must be an integer, but it is 'loud'"
    ):
        run_program("import tarry.core", TARRY_DEBUG="loud")
    with pytest.raises(AssertionError, match=r"\[target\] TARRY_TARGET is 'vax'"):
        run_program("import tarry.core as mx; mx.eval(mx.ones(3) + 1)", TARRY_TARGET="vax")


def test_narrow_targets_give_the_same_elementwise_bits() -> None:
    program = """
    import hashlib
    import numpy as np
    import tarry.core as mx
    x = mx.array(np.linspace(-3, 3, 1001, dtype=np.float32))
    y = (x * 1.7 + 0.3) / (x * x + 1.0)
    print(hashlib.sha256(np.array(y).tobytes()).hexdigest())
    """
    assert run_program(program, TARRY_TARGET="sse2") == run_program(program)
