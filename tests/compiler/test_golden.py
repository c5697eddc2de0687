"""What fusion and lowering make of a few expressions, as text that people have read and found right.

After a change that is meant: `pytest tests/compiler --update-golden`, then read the difference.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tarry.core as mx
from tarry.tools.explain import explain_levels

GOLDEN = Path(__file__).parent / "golden"
X = mx.zeros((6, 10))
W = mx.zeros((10, 7))
B = mx.zeros((7,))
INDEX = mx.zeros((4,), dtype=mx.int32)

CASES: dict[str, tuple[Callable[..., Any], tuple[mx.array, ...]]] = {
    "chain": (lambda x: mx.tanh(x * 0.5 + 1.0), (X,)),
    "chain_and_sum": (lambda x: mx.sum(mx.square(x - 1.0)), (X,)),
    "softmax": (lambda x: mx.softmax(x, axis=-1), (X,)),
    "sum_of_columns": (lambda x: mx.sum(x, axis=0), (X,)),
    "two_outputs": (lambda x: (x + 1.0, mx.max(x, axis=1)), (X,)),
    "linear": (lambda x, w, b: mx.maximum(x @ w + b, 0.0), (X, W, B)),
    "views": (lambda x: mx.concatenate([x[1:, ::-1], mx.pad(x, 1)[:, 2:]], axis=0) * 2.0, (X,)),
    "gather": (lambda x, i: mx.take(x, i, axis=0) + 1.0, (X, INDEX)),
    "scatter": (lambda x, i: x.at[i].add(mx.ones((4, 10))), (X, INDEX)),
    "gradient": (mx.grad(lambda x: mx.sum(mx.exp(x) * x)), (X,)),
}


@pytest.mark.parametrize("name", list(CASES))
def test_golden(name: str, update_golden: bool) -> None:
    function, arguments = CASES[name]
    levels = explain_levels(function, *arguments)
    text = "\n".join(f"# {level}\n{levels[level]}" for level in ("simplified", "fused", "nest")) + "\n"
    path = GOLDEN / f"{name}.txt"
    if update_golden:
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"no golden text for {name}: run with --update-golden"
    assert text == path.read_text(encoding="utf-8")


def test_no_golden_text_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(CASES)


@pytest.mark.parametrize("name", list(CASES))
def test_sizes_never_enter_the_code(name: str) -> None:
    """The same structure at other sizes gives the same text, from the values on."""
    function, arguments = CASES[name]
    sizes = {6: 60, 10: 35, 7: 11, 4: 9}
    if name in ("scatter",):
        return  # 4 and 10 are written in the expression
    larger = tuple([mx.zeros(tuple(sizes[extent] for extent in a.shape), dtype=a.dtype) for a in arguments])
    first, second = explain_levels(function, *arguments), explain_levels(function, *larger)
    for level in ("nest", "expanded", "llvm"):
        assert first[level] == second[level]


def test_targets_differ_in_width_only_where_they_should() -> None:
    function, arguments = CASES["chain"]
    texts = {
        target: explain_levels(function, *arguments, target=target) for target in ("avx2", "avx512", "sse2")
    }
    assert len({levels["nest"] for levels in texts.values()}) == 1
    for target, lanes in (("avx2", 8), ("avx512", 16), ("sse2", 4)):
        assert f"<{lanes} x float>" in texts[target]["llvm"]
