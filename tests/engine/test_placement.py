"""Where temporaries lie: never two at one place at one time, and in results only until these are written."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import tarry.core as mx
from tarry.compiler.lowered import Work
from tarry.engine import evaluate as evaluation
from tarry.engine.binding import Binder
from tarry.engine.keying import record
from tarry.engine.placement import LEAST_HOSTED, place_temporaries
from tarry.engine.recipe import KernelPart, Recipe, Temporary, ValueBytes
from tarry.loops.poly import ONE, constant
from tarry.runtime.memory import SPARE_BYTES

STEPS = 12
sizes = st.sampled_from([0, 8, 64, 4096, LEAST_HOSTED, LEAST_HOSTED + 4, 3 * LEAST_HOSTED])
spans = st.tuples(st.integers(0, STEPS - 1), st.integers(0, STEPS - 1)).map(sorted)


def recipe_of(temporaries: list[tuple[int, list[int]]], results: list[tuple[int, int, bool]]) -> Recipe:
    recipe = Recipe([])
    recipe.parts = [KernelPart("", Work(None, ONE, 1, False), 0, []) for _ in range(STEPS)]
    recipe.count = len(temporaries)
    recipe.temporaries = [
        Temporary(ValueBytes((constant(size),), 1), first, last, number)
        for number, (size, (first, last)) in enumerate(temporaries)
    ]
    recipe.fresh_first = [first for _, first, _ in results]
    recipe.inherits = [[0] if inherits else [] for _, _, inherits in results]
    return recipe


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(sizes, spans), max_size=14),
    st.lists(st.tuples(sizes, st.integers(0, STEPS), st.booleans()), max_size=5),
)
def test_places_never_overlap(
    temporaries: list[tuple[int, list[int]]], results: list[tuple[int, int, bool]]
) -> None:
    recipe = recipe_of(temporaries, results)
    binder = Binder([], recipe.count)
    placement = place_temporaries(recipe, binder, [size for size, _, _ in results])
    space = dict.fromkeys(range(len(temporaries)), -1)  # the arena is space -1
    for host, numbers in placement.hosted:
        assert numbers and not results[host][2]
        space.update(dict.fromkeys(numbers, host))
    for number, (size, (first, last)) in enumerate(temporaries):
        offset = binder.values[number]
        host = space[number]
        room = placement.arena_bytes if host < 0 else results[host][0]
        assert offset % 64 == 0 and offset >= 0 and offset + size <= room
        if host >= 0:
            assert last < results[host][1]
        for other, (size_of_other, (begin, end)) in enumerate(temporaries[:number]):
            if space[other] == host and begin <= last and first <= end:
                place = binder.values[other]
                assert offset + size + SPARE_BYTES <= place or place + size_of_other + SPARE_BYTES <= offset


def test_what_dies_before_a_result_is_written_lies_in_it() -> None:
    temporaries = [(4 * LEAST_HOSTED, [0, 2]), (LEAST_HOSTED, [1, 3])]
    recipe = recipe_of(temporaries, [(4 * LEAST_HOSTED, 3, False)])
    binder = Binder([], recipe.count)
    placement = place_temporaries(recipe, binder, [4 * LEAST_HOSTED])
    assert placement.hosted == [(0, [0])]
    assert LEAST_HOSTED <= placement.arena_bytes < 2 * LEAST_HOSTED


def test_results_with_temporaries_in_them_are_right() -> None:
    generator = np.random.default_rng(5)
    parameters = [generator.standard_normal((256, 256)).astype(np.float32) / 16 for _ in range(4)]
    data = generator.standard_normal((256, 256)).astype(np.float32)

    def loss(weights: list[mx.array], x: mx.array) -> mx.array:
        for weight in weights:
            x = mx.tanh(x[:, ::-1] @ weight.T)
        return mx.sum(x * x)

    def gradients(rows: int) -> list[mx.array]:
        return mx.grad(loss)([mx.array(p) for p in parameters], mx.array(data[:rows]))

    found = gradients(256)
    recorded = record([g._node for g in found])
    plan = evaluation.find_plan(recorded)
    bound = plan.bind(recorded.arguments)
    assert bound.hosted and bound.arena_bytes < sum(4 * 256 * 256 for _ in range(8))
    del recorded
    mx.eval(found)
    for rows in (256, 31, 256):
        found = gradients(rows)
        mx.eval(found)
        expected = reference(parameters, data[:rows])
        for gradient, reference_gradient in zip(found, expected):
            np.testing.assert_allclose(np.array(gradient), reference_gradient, rtol=2e-3, atol=2e-3)


def reference(parameters: list[np.ndarray], x: np.ndarray) -> list[np.ndarray]:
    """The gradients in float64, by hand."""
    inputs, outputs = [], []
    value = x.astype(np.float64)
    for weight in parameters:
        inputs.append(value[:, ::-1])
        value = np.tanh(inputs[-1] @ weight.T.astype(np.float64))
        outputs.append(value)
    cotangent = 2 * value
    found = []
    for weight, given_input, output in zip(parameters[::-1], inputs[::-1], outputs[::-1]):
        inner = cotangent * (1 - output * output)
        found.append(inner.T @ given_input)
        cotangent = (inner @ weight.astype(np.float64))[:, ::-1]
    return found[::-1]
