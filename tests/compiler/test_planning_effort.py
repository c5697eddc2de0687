"""How much work planning a large graph is, in counts: linear in the graph, and kernels stay moderate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

import tarry.core as mx
from tarry.base import trees
from tarry.base.dtypes import float32
from tarry.compiler import fuse as fuse_module
from tarry.compiler import trace as trace_module
from tarry.compiler.fuse import fuse
from tarry.compiler.group import MOST_INSTANCES, SLACK
from tarry.compiler.pipeline import BARRIERS, Compiled, lower
from tarry.compiler.program import Value, ValueGraph, symbolic_values
from tarry.compiler.simplify import simplify
from tarry.compiler.turn_products import turn_products
from tarry.engine.keying import record
from tarry.graph.array import array
from tarry.graph.primitive import Primitive
from tarry.graph.subgraph import Expanded, Invocation, Output
from tarry.loops.poly import symbol
from tarry.ops.arithmetic import Add
from tarry.ops.exponential import Exp

# So often is a value traced, on average, on the way to the final kernels, and so often all are grouped anew.
# Growing with the graph, it would be hundreds.
MOST_TRACES, MOST_TURNS = 20, 5


class Effort:
    """What planning a graph took: `turns` of grouping, `instances` traced; and what came of it."""

    def __init__(self, values: int, turns: int, instances: int, sizes: list[int], compiled: Compiled) -> None:
        self.values = values
        self.turns = turns
        self.instances = instances
        self.sizes = sizes  # of the groups, in instances
        self.kernels = len(compiled.steps)


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Effort]:
    counts = {"turns": 0, "instances": 0}
    question = fuse_module.worth_storing

    def asked(*args: Any) -> set[Value]:
        counts["turns"] += 1
        return question(*args)

    class Counted(trace_module.Instance):
        __slots__ = ()

        def __init__(self, *args: Any) -> None:
            counts["instances"] += 1
            super().__init__(*args)

    monkeypatch.setattr(fuse_module, "worth_storing", asked)
    monkeypatch.setattr(trace_module, "Instance", Counted)

    def planned(result: Any) -> Effort:
        counts.update(turns=0, instances=0)
        nodes = [leaf._node for leaf in trees.leaves([result]) if isinstance(leaf, array)]
        recorded = record([node for node in nodes if node.storage is None])
        program = recorded.program(Expanded(recorded.nodes))
        graph = turn_products(simplify(symbolic_values(program)))
        fusion = fuse(graph)
        sizes = [len(group.trace.instances) for group in fusion.groups]
        compiled = lower(fusion)
        return Effort(len(graph.values), counts["turns"], counts["instances"], sizes, compiled)

    return planned


def ones(*shape: int) -> mx.array:
    x = mx.array(np.ones(shape, np.float32))
    mx.eval(x)
    return x


def level(x: mx.array) -> mx.array:
    return mx.tanh(x) * 2 - mx.sin(x)


def chain(count: int) -> mx.array:
    x = ones(8, 9)
    for _ in range(count):
        x = level(x)
    return x


def gradient_of_chain(count: int) -> mx.array:
    def function(x: mx.array) -> mx.array:
        for _ in range(count):
            x = level(x)
        return mx.sum(x)

    return mx.grad(function)(ones(8, 9))


def two_at_a_time(count: int) -> mx.array:
    a, b = ones(8, 9), ones(8, 9)
    for _ in range(count):
        a, b = b, mx.tanh(a) + b * 0.5
    return b


def softmax_chain(count: int) -> mx.array:
    x = ones(8, 9)
    for _ in range(count // 2):
        x = mx.softmax(level(x), axis=-1)
    return x


def recurrent_network(count: int) -> Any:
    inputs, state, weight = ones(count, 4, 5), ones(4, 5), ones(5, 5)

    def function(weight: mx.array) -> mx.array:
        found = state
        for step in range(count):
            found = mx.tanh(inputs[step] + found @ weight)
        return mx.sum(found)

    return mx.value_and_grad(function)(weight)


def residual_network(count: int) -> mx.array:
    x, weight = ones(4, 5), ones(5, 5)
    for _ in range(count // 2):
        x = x + mx.maximum(mx.fast.rms_norm(x, None, 1e-5) @ weight, 0)
    return x


def wide_tree(count: int) -> mx.array:
    x = ones(8, 9)
    terms = [mx.square(x * (number + 0.5)) - 1 for number in range(2 * count)]
    while len(terms) > 1:
        terms = [a + b for a, b in zip(terms[::2], terms[1::2])] + terms[len(terms) & ~1 :]
    return terms[0]


GRAPHS = [
    chain, gradient_of_chain, two_at_a_time, softmax_chain, recurrent_network, residual_network, wide_tree
]  # fmt: skip


@pytest.mark.parametrize("graph", GRAPHS)
def test_effort_is_linear(graph: Callable[[int], Any], plan: Callable[[Any], Effort]) -> None:
    for count in (150, 600):
        effort = plan(graph(count))
        assert effort.turns <= MOST_TURNS
        assert effort.instances <= MOST_TRACES * effort.values
        assert max(effort.sizes) <= MOST_INSTANCES + SLACK


@pytest.mark.parametrize(
    ("graph", "count", "kernels"),
    [
        (chain, 256, 2),
        (chain, 1024, 6),
        (gradient_of_chain, 256, 6),
        (two_at_a_time, 1000, 4),
        (softmax_chain, 400, 3),
        (recurrent_network, 64, 257),
        (residual_network, 64, 64),
        (wide_tree, 1000, 16),
    ],
)  # fmt: skip
def test_large_graphs_take_few_kernels(
    graph: Callable[[int], Any], count: int, kernels: int, plan: Callable[[Any], Effort]
) -> None:
    assert plan(graph(count)).kernels <= kernels


def test_a_wide_tree_is_computed_in_pieces() -> None:
    x = np.linspace(-1, 1, 72, dtype=np.float32).reshape(8, 9)
    given = mx.array(x)
    terms = [mx.square(given * (number + 0.5)) for number in range(1000)]
    expected = sum((x.astype(np.float64) * (number + 0.5)) ** 2 for number in range(1000))
    while len(terms) > 1:
        terms = [a + b for a, b in zip(terms[::2], terms[1::2])] + terms[len(terms) & ~1 :]
    assert np.allclose(np.array(terms[0]), expected, rtol=1e-5)


def test_a_gradient_across_pieces() -> None:
    count = 150

    def function(x: mx.array) -> mx.array:
        for _ in range(count):
            x = mx.exp(-x) * 0.5 + 0.25 / (1 + x)
        return mx.sum(x)

    x = np.linspace(0, 1, 72)
    value, slope = x, np.ones_like(x)
    for _ in range(count):
        slope = slope * (-0.5 * np.exp(-value) - 0.25 / (1 + value) ** 2)
        value = np.exp(-value) * 0.5 + 0.25 / (1 + value)
    # Slopes of less than one, multiplied: nothing but their order of magnitude is left.
    result, gradient = mx.value_and_grad(function)(mx.array(x.astype(np.float32)))
    assert float(result) == pytest.approx(value.sum(), rel=1e-5)
    assert np.allclose(np.array(gradient), slope, rtol=1e-3, atol=1e-30)


# ops with kernels of their own


def every_primitive(family: type[Primitive] = Primitive) -> list[type[Primitive]]:
    return [family, *[one for kind in family.__subclasses__() for one in every_primitive(kind)]]


def test_every_barrier_has_a_lowering() -> None:
    expanded = (Primitive, Invocation, Output)  # never seen by the compiler
    for kind in every_primitive():
        if kind.barrier and kind not in expanded and kind.__module__.startswith("tarry."):
            assert issubclass(kind, tuple(BARRIERS)), kind


class Own(Primitive):
    """An op of which fusion knows what the class says, and no more."""

    name = "Own"


class OwnOfStrides(Own):
    name = "OwnOfStrides"
    reads_strides: ClassVar[bool] = True


class OwnWithEpilogue(OwnOfStrides):
    name = "OwnWithEpilogue"
    takes_epilogue: ClassVar[bool] = True


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Own, [["Own"], ["Add"]]),
        (OwnOfStrides, [["Exp"], ["OwnOfStrides"], ["Add"]]),
        (OwnWithEpilogue, [["Exp"], ["OwnWithEpilogue", "Add"]]),
    ],
)
def test_fusion_asks_the_op(kind: type[Own], expected: list[list[str]]) -> None:
    shape = (symbol(0), symbol(1))
    leaf = Value(0, None, (), shape, float32)
    computed = Value(1, Exp(), (leaf,), shape, float32)
    own = Value(2, kind(), (computed,), shape, float32)
    result = Value(3, Add(), (own, leaf), shape, float32)
    groups = fuse(ValueGraph([leaf, computed, own, result], [result])).groups
    found = [[repr(value.primitive) for value in {group.value: None, **group.members}] for group in groups]
    assert found == expected
