"""State of compiled functions: what is read, what is written, and what a failing call leaves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import tarry.core as mx
import tarry.nn as nn
import tarry.optimizers as optim
from tarry.utils import tree_flatten


def values(tree: Any) -> list[tuple[str, list[Any]]]:
    return [(path, leaf.tolist()) for path, leaf in tree_flatten(tree) if isinstance(leaf, mx.array)]


def test_state_is_read_and_written() -> None:
    state = {"count": mx.array(0), "nested": [mx.array(1.0), {"x": mx.array([1.0, 2.0])}]}
    calls = []

    def step(x: mx.array) -> mx.array:
        calls.append(1)
        state["count"] += 1
        state["nested"][0] = state["nested"][0] * 2
        state["nested"][1]["x"] = state["nested"][1]["x"] + x
        return state["nested"][1]["x"].sum()

    f = mx.compile(step, inputs=state, outputs=state)
    for number in range(1, 5):
        assert f(mx.array(1.0)).item() == 3 + 2 * number
        assert values(state) == [
            ("count", number), ("nested.0", 2.0**number), ("nested.1.x", [1.0 + number, 2.0 + number])
        ]  # fmt: skip
    state["count"] = mx.array(10)
    state["nested"] = [mx.array(0.5), {"x": mx.array([0.0, 0.0])}]
    f(mx.array(1.0))
    f(mx.array(1.0))
    assert values(state) == [("count", 12), ("nested.0", 2.0), ("nested.1.x", [2.0, 2.0])]
    assert len(calls) == 1


def test_inputs_alone_are_read_at_each_call() -> None:
    state = [mx.array(2.0)]
    f = mx.compile(lambda x: x * state[0], inputs=state)
    assert f(mx.array(3.0)).item() == 6
    state[0] = mx.array(5.0)
    assert f(mx.array(3.0)).item() == 15
    assert mx.compile(lambda x: x * state[0])(mx.array(1.0)).item() == 5
    state[0] = mx.array([1.0, 2.0])
    assert f(mx.array(3.0)).tolist() == [3.0, 6.0]


def test_outputs_alone_are_written_after_each_call() -> None:
    record: dict[str, Any] = {}

    def f(x: mx.array) -> mx.array:
        record["last"] = x * 2
        record["all"] = [x, (x + 1, "kept")]
        return x

    compiled = mx.compile(f, outputs=record)
    for number in (1.0, 2.0, 3.0):
        compiled(mx.array(number))
        assert record["last"].item() == 2 * number and record["all"][1][0].item() == number + 1
        assert record["all"][1][1] == "kept"
    record.clear()
    compiled(mx.array(4.0))
    assert values(record) == [("last", 8.0), ("all.0", 4.0), ("all.1.0", 5.0)]


def test_entries_that_come_and_go() -> None:
    state: dict[str, Any] = {"a": mx.array(1.0), "once": mx.array(2.0)}

    def f() -> None:
        if "once" in state:
            state["a"] += state.pop("once")
        state["a"] += 1

    compiled = mx.compile(f, inputs=state, outputs=state)
    for expected in (4.0, 5.0):
        compiled()
        assert values(state) == [("a", expected)]
    state["once"] = mx.array(10.0)
    compiled()
    assert values(state) == [("a", 16.0)]


def test_tuples_and_bare_arrays() -> None:
    counter = mx.array(0)
    pair = [(mx.array(1), mx.array(2))]

    def f() -> None:
        nonlocal counter
        counter += 1
        pair[0] = (pair[0][1], pair[0][0] + pair[0][1])

    compiled = mx.compile(f, inputs=(counter, pair), outputs=(counter, pair))
    for number in range(1, 5):
        compiled()
        assert counter.item() == number
    assert [item.item() for item in pair[0]] == [8, 13]


def test_other_references_keep_their_values() -> None:
    state = [mx.array(1.0)]
    old = state[0]
    f = mx.compile(lambda: state.__setitem__(0, state[0] + 1), inputs=state, outputs=state)
    f(), f()
    assert old.item() == 1 and state[0].item() == 3


def test_unlisted_outputs_have_no_values() -> None:
    state = [mx.array(1.0)]

    def f(x: mx.array) -> mx.array:
        state[0] = state[0] + x
        return x

    assert mx.compile(f, inputs=state)(mx.array(2.0)).item() == 2
    with pytest.raises(RuntimeError, match=r"\[eval\] .* without a primitive"):
        mx.eval(state)


def test_constants_in_state_are_followed() -> None:
    state: dict[str, Any] = {"scale": 2.0, "x": mx.array(3.0)}
    calls = []

    def f() -> mx.array:
        calls.append(1)
        return state["x"] * state["scale"]

    compiled = mx.compile(f, inputs=state)
    assert compiled().item() == 6 and compiled().item() == 6 and len(calls) == 1
    state["scale"] = 5.0
    assert compiled().item() == 15 and len(calls) == 2


# failures


def test_an_exception_in_the_body_leaves_state_intact() -> None:
    state: dict[str, Any] = {"a": mx.array(1.0), "items": [mx.array(2.0)], "n": 3}
    before = dict(state)
    mx.random.seed(3)
    key = mx.random.state[0].tolist()
    trees = [state, mx.random.state]
    fail = True

    def f() -> mx.array:
        state["a"] = state["a"] + mx.random.uniform()
        state["new"] = mx.zeros(3)
        state["items"].append(state["a"])
        if fail:
            raise KeyError("mine")
        return state["a"]

    compiled = mx.compile(f, inputs=trees, outputs=trees)
    for _ in range(2):
        with pytest.raises(KeyError, match="mine"):
            compiled()
        assert list(state) == ["a", "items", "n"] and state["a"] is before["a"]
        assert values(state) == [("a", 1.0), ("items.0", 2.0)]
        assert mx.random.state[0].tolist() == key
    fail = False
    assert compiled().item() == state["a"].item() != 1
    assert len(state["items"]) == 2


def test_a_failure_while_running_leaves_state_intact() -> None:
    state = [mx.array([1.0, 2.0]), mx.array(0)]

    def f(index: mx.array) -> mx.array:
        state[0] = state[0] + 1
        state[1] = state[1] + 1
        return mx.take(state[0], index)

    compiled = mx.compile(f, inputs=state, outputs=state)
    for _ in range(2):
        with pytest.raises(IndexError, match="take"):
            compiled(mx.array([5]))
        assert values(state) == [("0", [1.0, 2.0]), ("1", 0)]
    assert compiled(mx.array([1])).tolist() == [3.0]
    with pytest.raises(IndexError, match="take"):
        compiled(mx.array([5]))
    assert values(state) == [("0", [2.0, 3.0]), ("1", 1)]


# random numbers


def draw() -> mx.array:
    return mx.random.normal((5,)) + mx.random.uniform(shape=(5,))


@pytest.mark.parametrize("listed", ["both", "inputs", "outputs", "nested"])
def test_random_state_goes_on(listed: str) -> None:
    mx.random.seed(11)
    expected = [draw().tolist() for _ in range(6)]
    mx.random.seed(11)
    state = [mx.random.state] if listed == "nested" else mx.random.state
    options = {"inputs": state, "outputs": state}
    if listed in options:
        del options["inputs" if listed == "outputs" else "outputs"]
    compiled = mx.compile(draw, **options)
    found = [compiled().tolist() for _ in range(3)] + [draw().tolist() for _ in range(2)]
    assert [*found, compiled().tolist()] == expected


def test_without_it_draws_repeat() -> None:
    mx.random.seed(1)
    compiled = mx.compile(draw)
    first = compiled().tolist()
    assert compiled().tolist() == first
    mx.random.seed(2)
    assert compiled().tolist() == first
    mx.random.seed(1)
    assert draw().tolist() == first


def test_a_new_seed_is_followed() -> None:
    compiled = mx.compile(draw, inputs=mx.random.state, outputs=mx.random.state)
    compiled()
    mx.random.seed(5)
    found = compiled().tolist()
    mx.random.seed(5)
    assert draw().tolist() == found


# training


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 3)]
        self.dropout = nn.Dropout(0.3)
        self.norm = nn.LayerNorm(16)

    def __call__(self, x: mx.array) -> mx.array:
        for layer in self.layers[:-1]:
            x = self.dropout(nn.gelu(self.norm(layer(x))) if layer is not None else x)
        return self.layers[-1](x)


def loss_of(model: nn.Module, x: mx.array, y: mx.array) -> mx.array:
    return nn.losses.cross_entropy(model(x), y, reduction="mean")


class Training:
    """A model, its optimizer and a step, compiled or not."""

    def __init__(self, make: Callable[[], Any], compiled: bool, init: bool = True) -> None:
        mx.random.seed(7)
        self.model = Network()
        self.optimizer = make()
        if init:
            self.optimizer.init(self.model.trainable_parameters())
        mx.eval(self.model.parameters(), self.optimizer.state)
        self.calls = 0
        state = [self.model.state, self.optimizer.state, mx.random.state]
        self.step = partial(mx.compile, inputs=state, outputs=state)(self._step) if compiled else self._step

    def _step(self, x: mx.array, y: mx.array) -> mx.array:
        self.calls += 1
        loss, gradients = nn.value_and_grad(self.model, loss_of)(self.model, x, y)
        self.optimizer.update(self.model, gradients)
        return loss

    def run(self, batches: list[tuple[mx.array, mx.array]]) -> list[float]:
        losses = []
        for x, y in batches:
            loss = self.step(x, y)
            mx.eval(loss, self.model.state, self.optimizer.state)
            losses.append(loss.item())
        return losses


def make_batches(generator: np.random.Generator, sizes: list[int]) -> list[tuple[mx.array, mx.array]]:
    return [
        (
            mx.array(generator.standard_normal((size, 8), dtype=np.float32)),
            mx.array(generator.integers(0, 3, size).astype(np.int32)),
        )
        for size in sizes
    ]


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "sgd": lambda: optim.SGD(0.1, momentum=0.9),
    "adam": lambda: optim.AdamW(optim.cosine_decay(1e-2, 100)),
    "several": lambda: optim.MultiOptimizer([optim.SGD(0.1), optim.Adam(1e-2)], [lambda p, _: "norm" in p]),
}


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_training_is_bitwise_the_uncompiled_run(name: str, generator: np.random.Generator) -> None:
    batches = make_batches(generator, [6, 6, 6, 9, 6, 9])
    plain = Training(OPTIMIZERS[name], False)
    expected = plain.run(batches)
    compiled = Training(OPTIMIZERS[name], True)
    assert compiled.run(batches) == expected
    assert values(compiled.model) == values(plain.model)
    assert values(compiled.optimizer.state) == values(plain.optimizer.state)
    assert (compiled.calls, plain.calls) == (2, 6)


def test_an_optimizer_without_state_costs_one_more_trace(generator: np.random.Generator) -> None:
    batches = make_batches(generator, [6] * 5)
    plain = Training(OPTIMIZERS["adam"], False, init=False)
    compiled = Training(OPTIMIZERS["adam"], True, init=False)
    mx.random.seed(1)
    expected = plain.run(batches)
    mx.random.seed(1)
    assert compiled.run(batches) == expected and compiled.calls == 2


def test_a_known_step_plans_nothing(generator: np.random.Generator) -> None:
    batches = make_batches(generator, [6] * 4)
    training = Training(OPTIMIZERS["adam"], True)
    training.run(batches[:2])
    before = mx.counters()
    training.run(batches[2:])
    after = mx.counters()
    for name in ("plans_built", "nodes", "kernels_compiled", "kernels_loaded"):
        assert after[name] == before[name], name


def test_lazy_batches_and_lazy_parameters(generator: np.random.Generator) -> None:
    x, y = make_batches(generator, [20])[0]
    order = mx.array(generator.permutation(20).astype(np.int32))
    results = []
    for compiled in (False, True):
        mx.random.seed(4)
        training = Training(OPTIMIZERS["adam"], compiled)
        mx.random.seed(5)
        results.append(training.run([(x[order[k : k + 4]], y[order[k : k + 4]]) for k in range(0, 20, 4)]))
    # Lazy arguments fuse differently, so sums may round differently (a product summed is a multiply-add).
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5)


def test_modes_and_other_functions_of_the_model(generator: np.random.Generator) -> None:
    (x, y), = make_batches(generator, [6])  # fmt: skip
    training = Training(OPTIMIZERS["sgd"], True)
    model = training.model
    predict = mx.compile(lambda x: model(x), inputs=[model.state, mx.random.state])
    for _ in range(2):
        training.step(x, y)
        model.eval()
        assert np.array_equal(predict(x), model(x)) and np.array_equal(predict(x), predict(x))
        model.train()
        assert not np.array_equal(predict(x), predict(x))
