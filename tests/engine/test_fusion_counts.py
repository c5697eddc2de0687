"""How many kernels an evaluation takes: fusion, measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from program_runner import cost_of

import tarry.core as mx
import tarry.nn as nn
import tarry.optimizers as optim
from tarry.tools.explain import explain_levels


def matrix(generator: np.random.Generator, *shape: int) -> mx.array:
    return mx.array(generator.standard_normal(shape, dtype=np.float32))


def chain(x: mx.array, length: int) -> mx.array:
    for step in range(length):
        x = x * 0.99 if step % 2 else x + 0.125
    return x


def written_layer_norm(x: mx.array) -> mx.array:
    mean = mx.mean(x, axis=-1, keepdims=True)
    variance = mx.mean(mx.square(x - mean), axis=-1, keepdims=True)
    return (x - mean) * mx.rsqrt(variance + 1e-5)


def root_mean_square_norm(x: mx.array) -> mx.array:
    return x * mx.rsqrt(mx.mean(x * x, axis=-1, keepdims=True) + 1e-5)


def cross_entropy_of_rows(x: mx.array) -> mx.array:
    return mx.logsumexp(x, axis=-1) - x[:, 0]


@pytest.mark.parametrize("length", [5, 50, 300])
def test_a_chain_and_its_sum_are_one_kernel(length: int, generator: np.random.Generator) -> None:
    x = matrix(generator, 40, 37)
    assert cost_of(lambda: chain(x, length)).run == 1
    assert cost_of(lambda: mx.sum(chain(x, length))).run == 1
    assert cost_of(lambda: mx.sum(chain(x, length), axis=1)).run == 1
    y = chain(x, length)
    assert cost_of(lambda: (y, mx.sum(y))).run == 1


@pytest.mark.parametrize(
    "function",
    [
        lambda x: mx.softmax(x, axis=-1),
        lambda x: mx.logsumexp(x, axis=-1),
        lambda x: mx.var(x, axis=-1),
        lambda x: mx.std(x, axis=-1),
        lambda x: x - mx.logsumexp(x, axis=-1, keepdims=True),
        lambda x: mx.softmax(x * 0.125 + 1.0, axis=-1) * 2.0,
        written_layer_norm,
        root_mean_square_norm,
        cross_entropy_of_rows,
        lambda x: mx.argmax(x * 2, axis=-1),
    ],
    ids=[
        "softmax", "logsumexp", "var", "std", "log_softmax", "softmax-between", "layer_norm", "rms_norm",
        "cross_entropy", "argmax",
    ],
)  # fmt: skip
def test_what_works_on_rows_is_one_kernel(
    function: Callable[[mx.array], mx.array], generator: np.random.Generator
) -> None:
    x = matrix(generator, 24, 65)
    assert cost_of(lambda: function(x)).run == 1


def test_layer_norm_layer_is_one_kernel(generator: np.random.Generator) -> None:
    layer = nn.LayerNorm(65)
    x = matrix(generator, 24, 65)
    mx.eval(layer.parameters())
    assert cost_of(lambda: layer(x)).run == 1


def test_the_sum_of_means_is_one_kernel(generator: np.random.Generator) -> None:
    x = matrix(generator, 24, 65)
    assert cost_of(lambda: mx.mean(mx.square(x - 1.0))).run == 1


def test_outputs_over_the_same_data_share_a_kernel(generator: np.random.Generator) -> None:
    x, y = matrix(generator, 30, 41), matrix(generator, 30, 41)
    assert cost_of(lambda: (x + y, x * y)).run == 1
    assert cost_of(lambda: (mx.sum(x, axis=1), mx.max(x, axis=1))).run == 1
    assert cost_of(lambda: (mx.exp(x), mx.sum(x))).run == 1


def test_an_update_of_adam_is_one_kernel(generator: np.random.Generator) -> None:
    optimizer = optim.Adam(learning_rate=1e-3)
    weight = {"weight": matrix(generator, 33, 17)}
    gradient = {"weight": matrix(generator, 33, 17)}
    for _ in range(2):
        weight = optimizer.apply_gradients(gradient, weight)
        mx.eval(weight, optimizer.state)

    def update() -> Any:
        return optimizer.apply_gradients(gradient, weight), optimizer.state

    cost = cost_of(update)
    # The step counter is a scalar of its own: it may take a kernel more.
    assert cost.run <= 2, cost
    assert cost.new == 0 and cost.built == 0


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x[1:20:2, ::3],
        lambda x: mx.transpose(x),
        lambda x: x.T[2:5],
        lambda x: mx.broadcast_to(x, (3, 24, 65)),
        lambda x: mx.reshape(x, (8, 3, 65)),
        lambda x: mx.expand_dims(x, 1),
        lambda x: mx.squeeze(x[:1]),
        lambda x: x[::-1],
        lambda x: mx.swapaxes(x[None], 0, 2),
    ],
    ids=[
        "slice", "transpose", "slice-of-transpose", "broadcast", "reshape", "expand_dims", "squeeze", "flip",
        "swapaxes",
    ],
)  # fmt: skip
def test_views_of_evaluated_arrays_cost_nothing(
    view: Callable[[mx.array], mx.array], generator: np.random.Generator
) -> None:
    x = matrix(generator, 24, 65)
    mx.eval(x)
    found: list[mx.array] = []

    def work() -> mx.array:
        found.append(view(x))
        return found[0]

    cost = cost_of(work)
    assert cost.run == 0 and cost.new == 0 and cost.copied == 0
    assert np.array_equal(np.array(found[0]), numpy_view(view, x))


def numpy_view(view: Callable[[mx.array], mx.array], x: mx.array) -> np.ndarray:
    """The view computed on a copy that went through a kernel, so that it shares no memory with `x`."""
    return np.array(view(x + 0) + 0)


def test_views_inside_an_expression_add_no_kernel(generator: np.random.Generator) -> None:
    x, y = matrix(generator, 24, 65), matrix(generator, 65, 24)
    assert cost_of(lambda: x * y.T + 1.0).run == 1
    assert cost_of(lambda: mx.exp(mx.reshape(x[:, ::-1], (6, 4, 65)))).run == 1
    assert cost_of(lambda: mx.concatenate([x, x * 2.0], axis=0) + 1.0).run == 1


def test_a_transposed_operand_of_matmul_is_not_copied(generator: np.random.Generator) -> None:
    x, y = matrix(generator, 48, 65), matrix(generator, 65, 31)
    x_transposed, y_transposed = matrix(generator, 65, 48), matrix(generator, 31, 65)
    for left, right in ((x_transposed.T, y), (x, y_transposed.T), (x_transposed.T, y_transposed.T)):
        mx.eval(left, right)
        found: list[mx.array] = []
        cost = cost_of(lambda a=left, b=right, f=found: f.append(a @ b) or f)  # type: ignore[misc]
        # Packing tiles is part of a product: it may take a native step of its own.
        assert cost.run <= 2 and cost.copied == 0
        expected = np.array(left).astype(np.float64) @ np.array(right).astype(np.float64)
        assert np.allclose(np.array(found[0]), expected, atol=1e-4)
    for function in (lambda a, b: a.T @ b, lambda a, b: mx.transpose(a + 1.0) @ b):
        groups = explain_levels(function, x_transposed, y)["fused"].splitlines()
        assert sum("Matmul" in group for group in groups) == 1
        # The sum is computed where it lies; nothing moves it to another order.
        assert len(groups) == 1 + ("Add" in explain_levels(function, x_transposed, y)["graph"])


def test_what_follows_a_matmul_is_one_kernel(generator: np.random.Generator) -> None:
    x, y, b = matrix(generator, 48, 65), matrix(generator, 65, 31), matrix(generator, 31)
    product = cost_of(lambda: x @ y).run
    assert cost_of(lambda: mx.maximum(x @ y + b, 0.0) * 2.0).run <= product + 1
    assert cost_of(lambda: mx.softmax(x @ y + b, axis=-1)).run <= product + 1


def test_a_view_of_a_computed_value_is_no_kernel(generator: np.random.Generator) -> None:
    x = matrix(generator, 24, 65)
    assert cost_of(lambda: mx.transpose(x + 1.0)).run == 1
    assert cost_of(lambda: mx.reshape(mx.sum(x, axis=1), (6, 4))).run == 1


# what somebody holds


def test_held_values_are_kept_by_the_kernel_that_computes_them(generator: np.random.Generator) -> None:
    x = matrix(generator, 24, 65)
    y = x * 2.0
    z = y + 1.0
    assert cost_of(lambda: z).run == 1
    assert cost_of(lambda: y).run == 0
    assert np.array_equal(np.array(y), np.array(x) * 2)


def test_values_nobody_holds_are_not_stored(generator: np.random.Generator) -> None:
    x = matrix(generator, 512, 1024)
    mx.eval(mx.sum(chain(x, 20)))
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    mx.eval(mx.sum(chain(x, 20)))
    assert mx.get_peak_memory() - before < x.nbytes // 2


def test_a_value_another_graph_needs_is_kept(generator: np.random.Generator) -> None:
    x = matrix(generator, 24, 65)
    shared = mx.exp(x)
    first, second = shared + 1.0, shared * 3.0
    del shared
    assert cost_of(lambda: first).run == 1
    mx.eval(second)
    assert np.allclose(np.array(second), 3 * np.exp(np.array(x)), rtol=1e-6)
