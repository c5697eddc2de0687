"""Steps of all parameters as one operation give what the steps of single parameters give."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tarry.core as mx
import tarry.nn as nn
import tarry.optimizers as optim
from tarry.graph.subgraph import Invocation
from tarry.graph.walk import reachable
from tarry.optimizers import whole_step
from tarry.utils import tree_flatten, tree_map

RNG = np.random.default_rng(3)
Make = Callable[[], optim.Optimizer]

MAKERS: dict[str, Make] = {
    "SGD": lambda: optim.SGD(0.1),
    "SGD with all": lambda: optim.SGD(0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
    "SGD scheduled": lambda: optim.SGD(optim.exponential_decay(0.1, 0.9), momentum=0.5, dampening=0.1),
    "RMSprop": lambda: optim.RMSprop(0.01),
    "Adagrad": lambda: optim.Adagrad(0.1),
    "AdaDelta": lambda: optim.AdaDelta(0.1),
    "Adam": lambda: optim.Adam(0.01),
    "Adam corrected": lambda: optim.Adam(0.01, betas=[0.8, 0.99], bias_correction=True),
    "AdamW": lambda: optim.AdamW(0.01, weight_decay=0.1),
    "Adamax": lambda: optim.Adamax(0.01),
    "Lion": lambda: optim.Lion(0.01, weight_decay=0.1),
    "several": lambda: optim.MultiOptimizer(
        [optim.Adam(0.1), optim.SGD(0.1)], [lambda path, gradient: "bias" in path]
    ),
}


def draw(*shape: int) -> mx.array:
    return mx.array(RNG.standard_normal(shape).astype(np.float32))


def parameters() -> dict[str, Any]:
    return {
        "layers": [{"weight": draw(3, 4), "bias": draw(3)}, {"weight": draw(2, 3).astype(mx.float16)}],
        "scale": draw(),
        "nothing": {},
    }


def flat(tree: Any) -> dict[str, Any]:
    return {path: np.array(leaf) for path, leaf in tree_flatten(tree)}


def assert_same(found: Any, expected: Any) -> None:
    found, expected = flat(found), flat(expected)
    assert found.keys() == expected.keys()
    for path, value in expected.items():
        assert found[path].dtype == value.dtype
        assert np.array_equal(found[path], value), path


def invocations(tree: Any) -> int:
    nodes = reachable([leaf._node for _, leaf in tree_flatten(tree)])
    return sum(type(node.primitive) is Invocation for node in nodes)


class Apart:
    """While active, every parameter is updated by itself."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def __enter__(self) -> None:
        self.monkeypatch.setattr(whole_step, "_alike", set())

    def __exit__(self, *_: object) -> None:
        self.monkeypatch.undo()


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> Apart:
    return Apart(monkeypatch)


@pytest.mark.parametrize("name", MAKERS)
def test_bits_and_state_are_those_of_single_steps(name: str, apart: Apart) -> None:
    whole, single = MAKERS[name](), MAKERS[name]()
    values = parameters()
    ours, theirs = copy.deepcopy(values), copy.deepcopy(values)
    for step in range(4):
        gradients = tree_map(lambda leaf: draw(*leaf.shape).astype(leaf.dtype), values)
        ours = whole.apply_gradients(gradients, ours)
        with apart:
            theirs = single.apply_gradients(gradients, theirs)
        assert list(ours) == list(theirs)
        if step == 2:
            mx.eval(ours, theirs)
        assert_same(ours, theirs)
        assert_same(whole.state, single.state)


def test_a_step_is_one_operation() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    optimizer = optim.Adam(0.01)
    mx.eval(model.parameters())
    for _ in range(3):
        optimizer.update(model, tree_map(mx.ones_like, model.trainable_parameters()))
        assert invocations([model.parameters(), optimizer.state]) == 1
        mx.eval(model.parameters(), optimizer.state)
    assert optimizer.step.item() == 3


def test_hyperparameters_may_change_between_steps(apart: Apart) -> None:
    whole, single = optim.Adam(0.1, betas=[0.9, 0.99]), optim.Adam(0.1, betas=[0.9, 0.99])
    ours = theirs = {"w": draw(3)}
    for change in range(6):
        for optimizer in (whole, single):
            if change == 1:
                optimizer.learning_rate = 0.5
            if change == 2:
                optimizer.betas[0] = 0.5  # type: ignore[index]
            if change == 3:
                optimizer.bias_correction = True
            if change == 4:
                optimizer.eps = mx.array(0.25)  # type: ignore[assignment]
            if change == 5:
                optimizer.eps = 1
        ours = whole.apply_gradients({"w": mx.ones(3)}, ours)
        with apart:
            theirs = single.apply_gradients({"w": mx.ones(3)}, theirs)
        assert_same(ours, theirs)


def test_a_subclass_is_asked_for_every_parameter() -> None:
    asked: list[tuple[int, ...]] = []

    class Own(optim.SGD):
        def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict[str, Any]) -> mx.array:
            asked.append(parameter.shape)
            return super().apply_single(gradient, parameter, state)

    optimizer = Own(1.0)
    for _ in range(3):
        values = {"a": mx.ones(2), "b": mx.ones(3)}
        new = optimizer.apply_gradients(dict(values), values)
        assert new["b"].tolist() == [0.0, 0.0, 0.0]
    assert asked == [(2,), (3,)] * 3


def test_part_of_the_parameters_and_what_is_not_touched() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimizer = optim.SGD(0.5)
    before = model.layers[1]["weight"]
    for _ in range(3):
        optimizer.update(model, {"layers": [{"bias": mx.ones(4)}]})
    assert model.layers[1]["weight"] is before
    assert optimizer.step.item() == 3
    # Without momentum the state stays what it is.
    state = optimizer.state["layers"][0]["bias"]["v"]
    optimizer.update(model, {"layers": [{"bias": mx.ones(4)}]})
    assert optimizer.state["layers"][0]["bias"]["v"] is state


def test_a_model_with_an_update_of_its_own_is_asked() -> None:
    seen: list[Any] = []

    class Own(nn.Linear):
        def update(self, parameters: Any, strict: bool = True) -> Any:
            seen.append(parameters)
            return super().update(parameters, strict)

    model = Own(3, 2)
    optim.SGD(0.5).update(model, {"bias": mx.ones(2)})
    assert [list(tree) for tree in seen] == [["bias"]]
    assert model["bias"] is seen[0]["bias"]


@pytest.mark.parametrize("gradients", [{"other": mx.ones(2)}, {"w": {"deeper": mx.ones(2)}}])
def test_gradients_without_a_parameter_change_nothing(gradients: dict[str, Any]) -> None:
    optimizer = optim.SGD(0.5)
    optimizer.init({"w": mx.ones(2), "other": mx.ones(2)})
    values = {"w": mx.ones(2)}
    with pytest.raises((KeyError, ValueError, IndexError, TypeError)):
        optimizer.apply_gradients(gradients, values)
    assert values["w"].tolist() == [1.0, 1.0]


def test_inside_transforms_the_step_is_differentiated() -> None:
    """A gradient through a step, by the starting point and by the learning rate."""

    def after(w: mx.array, rate: mx.array) -> mx.array:
        optimizer = optim.SGD(0.1, momentum=0.5)
        optimizer.learning_rate = rate
        values = {"w": w}
        for _ in range(2):
            values = optimizer.apply_gradients({"w": 2 * values["w"]}, values)
        return mx.sum(values["w"])

    w, rate = mx.array([1.0, 2.0]), mx.array(0.1)
    # w1 = w (1 - 2 r); v = 2 w / 2 + 2 w1; w2 = w1 - r v.
    by_w, by_rate = mx.grad(after, argnums=(0, 1))(w, rate)
    assert np.allclose(np.array(by_w), (1 - 0.2) * (1 - 0.2) - 0.1, rtol=1e-5)
    assert np.allclose(by_rate.item(), 3 * (-5 + 8 * 0.1), rtol=1e-5)


def test_compiled_steps_are_the_same(apart: Apart) -> None:
    values = parameters()
    whole, single = optim.AdamW(0.01), optim.AdamW(0.01)
    model: dict[str, Any] = {"p": copy.deepcopy(values)}
    whole.init(values)
    single.init(values)

    def step(gradients: Any) -> None:
        model["p"] = whole.apply_gradients(gradients, model["p"])

    compiled = mx.compile(step, inputs=[model, whole.state], outputs=[model, whole.state])
    theirs = copy.deepcopy(values)
    for _ in range(3):
        gradients = tree_map(lambda leaf: mx.ones_like(leaf) * 0.5, values)
        compiled(gradients)
        with apart:
            theirs = single.apply_gradients(gradients, theirs)
        for path, value in flat(theirs).items():
            assert np.allclose(flat(model["p"])[path], value, rtol=1e-5, atol=1e-3), path


def test_a_parameter_held_elsewhere_keeps_its_values() -> None:
    optimizer = optim.SGD(1.0)
    values = {"w": draw(1000)}
    kept = values["w"]
    before = np.array(kept)
    for _ in range(3):
        values = optimizer.apply_gradients({"w": mx.ones(1000)}, values)
        mx.eval(values)
    assert np.array_equal(np.array(kept), before)
    assert np.allclose(np.array(values["w"]), before - 3, atol=1e-5)
