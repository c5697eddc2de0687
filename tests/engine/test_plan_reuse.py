"""Nothing is compiled twice: new sizes, other scalars, a second step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from program_runner import cost_of

import tarry.core as mx
import tarry.nn as nn
import tarry.optimizers as optim

Inputs = Callable[[np.random.Generator, int, int], tuple[mx.array, ...]]


def one(generator: np.random.Generator, rows: int, columns: int) -> tuple[mx.array, ...]:
    return (mx.array(generator.standard_normal((rows, columns), dtype=np.float32)),)


def product(generator: np.random.Generator, rows: int, columns: int) -> tuple[mx.array, ...]:
    return (*one(generator, rows, columns), *one(generator, columns, 2 * rows + 1))


def gathered(generator: np.random.Generator, rows: int, columns: int) -> tuple[mx.array, ...]:
    index = mx.array(generator.integers(0, rows, columns + 2, dtype=np.int32))
    return (*one(generator, rows, columns), index)


FUNCTIONS: dict[str, tuple[Callable[..., Any], Inputs]] = {
    "elementwise": (lambda x: mx.exp(x) * 0.5 + x, one),
    "broadcast": (lambda x: x - x[:1], one),
    "sum-rows": (lambda x: mx.sum(x, axis=1), one),
    "sum-columns": (lambda x: mx.sum(x, axis=0), one),
    "sum-all": (lambda x: mx.sum(x * x), one),
    "softmax": (lambda x: mx.softmax(x, axis=-1), one),
    "argmax": (lambda x: mx.argmax(x, axis=0), one),
    "transpose": (lambda x: x.T * 2.0, one),
    "concatenate": (lambda x: mx.concatenate([x, x + 1.0], axis=1), one),
    "pad": (lambda x: mx.pad(x, 2) + 1.0, one),
    "matmul": (lambda x, y: x @ y, product),
    "linear": (lambda x, y: mx.maximum(x @ y + 1.0, 0.0), product),
    "gather": (lambda x, i: mx.take(x, i, axis=0) * 2.0, gathered),
    "gradient": (lambda x: mx.grad(lambda v: mx.sum(mx.tanh(v) ** 2))(x), one),
    "random": (lambda x: mx.random.uniform(shape=x.shape, key=mx.random.key(3)) + x, one),
}


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_new_sizes_compile_nothing(name: str, generator: np.random.Generator) -> None:
    function, inputs = FUNCTIONS[name]
    mx.eval(function(*inputs(generator, 7, 12)))
    mx.eval(function(*inputs(generator, 8, 8)))
    for rows, columns in ((9, 5), (64, 33), (5, 9), (31, 31), (200, 300), (13, 2)):
        arrays = inputs(generator, rows, columns)
        cost = cost_of(lambda arrays=arrays: function(*arrays))  # type: ignore[misc]
        assert cost.new == 0, f"{name} at {rows} by {columns}: {cost}"


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_the_same_structure_reuses_the_plan(name: str, generator: np.random.Generator) -> None:
    function, inputs = FUNCTIONS[name]
    mx.eval(function(*inputs(generator, 7, 12)))
    for rows, columns in ((7, 12), (9, 14), (11, 6)):
        arrays = inputs(generator, rows, columns)
        mx.eval(arrays)
        cost = cost_of(lambda arrays=arrays: function(*arrays))  # type: ignore[misc]
        # Random bits of an odd number of elements are laid out another way.
        assert cost.built == 0 or name == "random", f"{name} at {rows} by {columns}: {cost}"
        assert cost.built + cost.reused >= 1


def test_other_slices_compile_nothing(generator: np.random.Generator) -> None:
    (x,) = one(generator, 40, 50)
    mx.eval(x[2:30, 5:] * 2.0)
    for start, stop, first in ((0, 9, 1), (4, 40, 7), (11, 13, 3)):
        assert cost_of(lambda a=start, b=stop, c=first: x[a:b, c:] * 2.0).new == 0  # type: ignore[misc]
    mx.eval(x[3] + 1.0)
    for row in (1, 7, 39, -2):
        cost = cost_of(lambda r=row: x[r] + 1.0)  # type: ignore[misc]
        assert cost.new == 0 and cost.built == 0


def test_other_scalars_compile_nothing(generator: np.random.Generator) -> None:
    (x,) = one(generator, 6, 7)

    def scaled(factor: float, offset: int) -> mx.array:
        return mx.maximum(x * factor + offset, -factor)

    mx.eval(scaled(0.5, 3))
    for factor, offset in ((0.25, 4), (1e-30, -7), (float("inf"), 0), (1.0, 1), (0.0, 0)):
        found: list[mx.array] = []
        cost = cost_of(
            lambda f=factor, o=offset, r=found: r.append(scaled(f, o)) or r  # type: ignore[misc]
        )
        assert cost.new == 0 and cost.built == 0 and cost.reused == 1
        expected = np.maximum(np.array(x) * np.float32(factor) + offset, -np.float32(factor))
        assert np.array_equal(np.array(found[0]), expected)


# training


class Network(nn.Module):
    def __init__(self, inputs: int = 20, hidden: int = 32, outputs: int = 5) -> None:
        super().__init__()
        self.layers = [nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)]

    def __call__(self, x: mx.array) -> mx.array:
        return self.layers[1](nn.gelu(self.layers[0](x)))


class Training:
    """A network, its optimizer and one step of training."""

    def __init__(self, hidden: int = 32) -> None:
        mx.random.seed(0)
        self.model = Network(hidden=hidden)
        self.optimizer = optim.Adam(learning_rate=1e-3)
        self.generator = np.random.default_rng(0)
        self.gradients = nn.value_and_grad(self.model, self.loss)
        mx.eval(self.model.parameters())

    def loss(self, images: mx.array, labels: mx.array) -> mx.array:
        return mx.mean(nn.losses.cross_entropy(self.model(images), labels))

    def step(self, batch: int) -> mx.array:
        images = mx.array(self.generator.standard_normal((batch, 20), dtype=np.float32))
        labels = mx.array(self.generator.integers(0, 5, batch, dtype=np.int32))
        loss, gradients = self.gradients(images, labels)
        self.optimizer.update(self.model, gradients)
        mx.eval(loss, self.model.parameters(), self.optimizer.state)
        return loss


def test_a_training_step_is_one_plan() -> None:
    training = Training()
    training.step(48)
    cost = cost_of(lambda: training.step(48))
    assert cost.built + cost.reused == 1


def test_the_second_step_builds_and_compiles_nothing() -> None:
    training = Training()
    training.step(48)
    for _ in range(3):
        cost = cost_of(lambda: training.step(48))
        assert cost.new == 0 and cost.built == 0, cost


@pytest.mark.parametrize("batch", [29, 31, 17, 20, 32, 5], ids=lambda batch: f"batch-{batch}")
def test_another_batch_compiles_no_kernel(batch: int) -> None:
    """20 inputs, 32 hidden units and 5 classes: some batches happen to be as long as these."""
    training = Training()
    training.step(48)
    training.step(48)
    cost = cost_of(lambda: training.step(batch))
    assert cost.new == 0, cost


def test_a_coincidence_first_compiles_what_serves_all() -> None:
    """A first batch as long as the hidden layer must not make kernels that serve only such batches."""
    training = Training(hidden=36)
    training.step(36)
    training.step(36)
    assert cost_of(lambda: training.step(44)).new == 0


def test_another_learning_rate_compiles_nothing() -> None:
    training = Training()
    training.step(48)
    training.step(48)
    training.optimizer.learning_rate = 1e-4
    cost = cost_of(lambda: training.step(48))
    assert cost.new == 0 and cost.built == 0


def test_training_learns() -> None:
    training = Training()
    images = mx.array(training.generator.standard_normal((64, 20), dtype=np.float32))
    labels = mx.array(training.generator.integers(0, 5, 64, dtype=np.int32))
    losses = []
    for _ in range(60):
        loss, gradients = training.gradients(images, labels)
        training.optimizer.update(training.model, gradients)
        mx.eval(training.model.parameters(), training.optimizer.state)
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1
