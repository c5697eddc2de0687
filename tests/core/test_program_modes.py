"""Random programs give the same at once, step by step, compiled, and in the interpreter; so do gradients.

`program_maker` draws them: integers in every dtype, which must agree in every bit (in the MLX wheel, too),
smooth programs, which agree up to rounding, and those in float64, whose gradients finite differences check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from program_kinds import DoubleMaker, ExactMaker, SmoothMaker
from program_maker import Maker, Program

import tarry.core as mx
from oracle import COMPLEX, FLOATS, INEXACT, dtype_name, from_numpy, mlx, requires_oracle, to_numpy
from tarry.base.settings import settings as tarry_settings

# How far apart two ways to run a smooth program may be: that of its coarsest dtype.
TOLERANCE = {"float16": 6e-2, "bfloat16": 3e-1, "float32": 3e-4, "float64": 1e-9, "complex64": 1e-3}
checked = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
randoms = st.randoms(use_true_random=False)


def draw(kind: type[Maker], random: Random) -> Program:
    return kind(random).make(random.choice((1, 2, 3)), random.choice((3, 6, 10, 16)))


def at_once(program: Program) -> list[mx.array]:
    return program.run(mx, program.make_leaves(mx))


def compiled(program: Program) -> list[mx.array]:
    """What the second call gives, which runs the plan that the first one made."""
    function = mx.compile(lambda *leaves: program.run(mx, leaves))
    mx.eval(function(*program.make_leaves(mx)))
    found: list[mx.array] = function(*program.make_leaves(mx))
    return found


@contextmanager
def checks() -> Iterator[None]:
    """Every small kernel is compared with the interpreter."""
    before, tarry_settings.check = tarry_settings.check, 2
    try:
        yield
    finally:
        tarry_settings.check = before


def interpreted(program: Program) -> list[mx.array]:
    with checks():
        found = at_once(program)
        mx.eval(found)
    return found


WAYS: tuple[Callable[[Program], list[mx.array]], ...] = (at_once, compiled, interpreted)


def step_by_step(program: Program) -> tuple[list[mx.array], float]:
    """The values with every step evaluated on its own, and how far apart others may be."""
    names = {name for _, name in program.leaves}

    def evaluate(value: mx.array) -> None:
        mx.eval(value)
        names.add(dtype_name(value))

    found = program.run(mx, program.make_leaves(mx), evaluate)
    mx.eval(found)
    return found, max((TOLERANCE[name] for name in names if name in TOLERANCE), default=0.0)


def assert_equal(found: mx.array, expected: mx.array) -> None:
    assert dtype_name(found) == dtype_name(expected)
    np.testing.assert_array_equal(to_numpy(mx, found), to_numpy(mx, expected))


def assert_near(found: mx.array, expected: mx.array, tolerance: float) -> None:
    if dtype_name(expected) not in INEXACT:
        assert_equal(found, expected)
        return
    assert dtype_name(found) == dtype_name(expected)
    values = to_numpy(mx, expected)
    scale = max(1.0, float(np.abs(values).max(initial=0.0)))
    np.testing.assert_allclose(to_numpy(mx, found), values, rtol=tolerance, atol=tolerance * scale)


@settings(checked, max_examples=30)
@given(randoms)
def test_exact_programs(random: Random) -> None:
    program = draw(ExactMaker, random)
    expected, _ = step_by_step(program)
    for way in WAYS:
        for found, value in zip(way(program), expected, strict=True):
            assert_equal(found, value)


@settings(checked, max_examples=20)
@given(randoms)
def test_smooth_programs(random: Random) -> None:
    program = draw(SmoothMaker, random)
    expected, tolerance = step_by_step(program)
    # The interpreter's elementary functions are not those of float32, which a float64 result would show.
    for way in WAYS if "float64" not in repr(program) else WAYS[:-1]:
        for found, value in zip(way(program), expected, strict=True):
            assert_near(found, value, tolerance)


# What the wheel does otherwise (docs/beyond-mlx.md), as text of steps.
WHEEL_DIFFERS = ("at[...]", "written(mx, a, ..., b)", "axis=None, keepdims=True")


@requires_oracle
@settings(checked, max_examples=20)
@given(randoms)
def test_exact_programs_as_in_the_wheel(random: Random) -> None:
    program = draw(ExactMaker, random)
    if any(text in step.text for step in program.steps for text in WHEEL_DIFFERS):
        return
    expected = program.run(mlx, program.make_leaves(mlx))
    for found, value in zip(at_once(program), expected, strict=True):
        assert dtype_name(found) == dtype_name(value)
        np.testing.assert_array_equal(to_numpy(mx, found), to_numpy(mlx, value))


@settings(checked, max_examples=15)
@given(randoms)
def test_vmap_is_one_example_after_the_other(random: Random) -> None:
    program = draw(ExactMaker, random)
    generator = np.random.default_rng(7)
    batch = [
        Program([(generator.permutation(v.ravel()).reshape(v.shape), name) for v, name in program.leaves],
                program.steps, program.wanted)
        for _ in range(3)
    ]  # fmt: skip
    stacked = [
        from_numpy(mx, np.stack([values for values, _ in leaves]), leaves[0][1])
        for leaves in zip(*[example.leaves for example in batch], strict=True)
    ]
    together = mx.vmap(lambda *leaves: program.run(mx, leaves))(*stacked)
    for number, example in enumerate(batch):
        for found, expected in zip(together, at_once(example), strict=True):
            assert_equal(found[number], expected)


# Gradients


def float_leaves(program: Program) -> list[int]:
    return [number for number, (_, name) in enumerate(program.leaves) if name in FLOATS]


def loss_of(program: Program, dtype: mx.Dtype) -> Callable[..., mx.array]:
    """A number made of all wanted values that are inexact."""

    def loss(*leaves: mx.array) -> mx.array:
        total = mx.array(0.0, dtype)
        for value in program.run(mx, leaves):
            if dtype_name(value) in COMPLEX:
                value = mx.real(value) + mx.imag(value)
            if dtype_name(value) in FLOATS:
                total = total + mx.sum(mx.sin(value.astype(dtype)))
        return total

    return loss


@settings(checked, max_examples=20)
@given(randoms)
def test_compiled_gradients(random: Random) -> None:
    program = draw(SmoothMaker, random)
    numbers = float_leaves(program)
    if not numbers:
        return
    _, tolerance = step_by_step(program)
    function = mx.value_and_grad(loss_of(program, mx.float32), argnums=numbers)
    value, gradients = function(*program.make_leaves(mx))
    faster = mx.compile(function)
    mx.eval(faster(*program.make_leaves(mx)))
    found, others = faster(*program.make_leaves(mx))
    assert_near(found, value, 10 * tolerance)
    # One gradient comes without a tuple.
    pairs = zip(others, gradients, strict=True) if len(numbers) > 1 else [(others, gradients)]
    for gradient, expected in pairs:
        assert_near(gradient, expected, 10 * tolerance)


def shifted(program: Program, directions: dict[int, Any], step: float) -> list[mx.array]:
    return [
        from_numpy(mx, values + step * directions[number] if number in directions else values, name)
        for number, (values, name) in enumerate(program.leaves)
    ]


def check_gradients(program: Program) -> None:
    """Gradients backward and forward against finite differences along a direction."""
    numbers = float_leaves(program)
    # What stop_gradient hides from gradients, differences see.
    if not numbers or any("stop_gradient" in step.text for step in program.steps):
        return
    loss = loss_of(program, mx.float64)
    generator = np.random.default_rng(3)
    directions = {number: generator.standard_normal(program.leaves[number][0].shape) for number in numbers}
    leaves, step = shifted(program, directions, 0.0), 1e-6
    after, before = (loss(*shifted(program, directions, s)).item() for s in (step, -step))
    difference = (after - before) / (2 * step)
    found = mx.grad(loss, argnums=numbers)(*leaves)
    gradients = found if len(numbers) > 1 else (found,)
    terms = [to_numpy(mx, g) * directions[n] for g, n in zip(gradients, numbers, strict=True)]
    backward = float(sum(term.sum() for term in terms))
    assert backward == pytest.approx(difference, rel=1e-4, abs=1e-4)

    def of_floats(*given: mx.array) -> mx.array:
        return loss(*[given[numbers.index(n)] if n in directions else leaf for n, leaf in enumerate(leaves)])

    tangents = [from_numpy(mx, directions[number], "float64") for number in numbers]
    forward = mx.jvp(of_floats, [leaves[number] for number in numbers], tangents)[1][0].item()
    assert forward == pytest.approx(backward, rel=1e-6, abs=1e-6)


@settings(checked, max_examples=20)
@given(randoms)
def test_gradients_are_finite_differences(random: Random) -> None:
    check_gradients(draw(DoubleMaker, random))
