"""Gradients by the parameters of a model that changes between calls."""

from __future__ import annotations

from typing import Any

import pytest

import tarry.core as mx
import tarry.nn as nn
from tarry.nn.layers.base import Module
from tarry.utils import tree_flatten


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.layers = [nn.Linear(3, 3), nn.ReLU(), [nn.Linear(3, 3), mx.ones(3), None, 2.0]]
        self.named = {"norm": nn.LayerNorm(3), "scale": mx.ones(3), "deeper": {"shift": mx.zeros(3)}}
        self.pair = (mx.ones(1),)
        self._buffer = mx.ones(3)
        self.nothing: list[Any] = []

    def __call__(self, x: mx.array) -> mx.array:
        x = self.layers[1](self.layers[0](self.first(x)))
        x = self.layers[2][0](x) * self.layers[2][1]
        return self.named["norm"](x) * self.named["scale"] + self.named["deeper"]["shift"] + self._buffer


def paths(tree: Any) -> list[str]:
    return [path for path, _ in tree_flatten(tree)]


def one_by_one(model: nn.Module) -> Any:
    """The trainable parameters as the filters say it."""
    return model.filter_and_map(model.trainable_parameter_filter)


def form(tree: Any) -> Any:
    if isinstance(tree, dict):
        assert type(tree) is dict
        return {key: form(item) for key, item in tree.items()}
    if isinstance(tree, list):
        return [form(item) for item in tree]
    return tree.shape


def assign(container: Any, tree: Any) -> None:
    for key, item in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if isinstance(item, mx.array):
            container[key] = item
        else:
            assign(container[key], item)


def check(model: Model) -> None:
    loss_and_gradients = nn.value_and_grad(model, lambda x: mx.sum(mx.square(model(x))))
    x = mx.array([[1.0, -2.0], [0.5, 3.0]])
    expected = one_by_one(model)
    found = model.trainable_parameters()
    assert form(found) == form(expected)
    assert all(a is b for (_, a), (_, b) in zip(tree_flatten(found), tree_flatten(expected)))
    before = dict(tree_flatten(model))
    value, gradients = loss_and_gradients(x)
    assert form(gradients) == form(expected)
    assert all(dict(tree_flatten(model))[path] is leaf for path, leaf in before.items())
    assert mx.allclose(value, mx.sum(mx.square(model(x))), rtol=1e-5)

    def by_parameters(tree: Any) -> mx.array:
        assign(model, tree)
        return mx.sum(mx.square(model(x)))

    directly = mx.grad(by_parameters)(expected)
    assign(model, expected)
    for (path, a), (_, b) in zip(tree_flatten(gradients), tree_flatten(directly)):
        assert mx.allclose(a, b, rtol=1e-4, atol=1e-4), path


def test_every_change_of_the_model_is_noticed() -> None:
    model = Model()
    check(model)
    check(model)
    model.freeze()
    model.named["norm"].unfreeze()
    model.unfreeze(recurse=False)
    check(model)
    model.freeze(keys=["weight", "layers.2.1", "named.deeper.shift", "first"])
    check(model)
    model.unfreeze()
    check(model)
    model.layers[0] = nn.Linear(3, 3, bias=False)
    check(model)
    model.first.extra = mx.ones(2)
    check(model)
    del model.first["bias"]
    check(model)
    model.layers[2].append(mx.ones(4))
    check(model)
    model.first.weight = model.first.weight.astype(mx.float16)
    assert model.trainable_parameters()["first"]["weight"].dtype == mx.float16


def test_a_filter_of_its_own_is_asked() -> None:
    class Chosen(Model):
        @staticmethod
        def trainable_parameter_filter(module: Module, key: str, value: Any) -> bool:
            return Module.trainable_parameter_filter(module, key, value) and key != "bias"

    model = Chosen()
    assert not any("bias" in path for path in paths(model.trainable_parameters()))
    _, gradients = nn.value_and_grad(model, lambda x: mx.sum(model(x)))(mx.ones((2, 2)))
    assert paths(gradients) == paths(one_by_one(model))

    class Listed(Model):
        def trainable_parameters(self) -> dict[str, Any]:
            return {"first": {"weight": self.first.weight}}

    listed = Listed()
    _, gradients = nn.value_and_grad(listed, lambda x: mx.sum(listed(x)))(mx.ones((2, 2)))
    assert paths(gradients) == ["first.weight"]


def test_what_the_function_assigns_stays() -> None:
    model = nn.Linear(2, 2)

    def loss(x: mx.array) -> mx.array:
        y = mx.sum(model(x))
        model.bias = mx.ones(2)
        return y

    _, gradients = nn.value_and_grad(model, loss)(mx.ones((1, 2)))
    assert model.bias.tolist() == [1.0, 1.0]
    assert gradients["bias"].tolist() == [1.0, 1.0]


def test_arguments_of_any_name_and_arguments_written_to() -> None:
    model = nn.Linear(2, 1)

    def loss(model: Any, arrays: mx.array, *, parameters: dict[str, mx.array]) -> mx.array:
        arrays *= parameters["factor"]
        parameters["factor"] = mx.zeros(1)
        return mx.sum(model(arrays))

    x, more = mx.ones((1, 2)), {"factor": mx.array(3.0)}
    _, gradients = nn.value_and_grad(model, loss)(model, x, parameters=more)
    assert gradients["weight"].tolist() == [[3.0, 3.0]]
    assert x.tolist() == [[1.0, 1.0]]
    assert more["factor"].tolist() == [0.0]


def test_failures_leave_the_model_as_it_was() -> None:
    model = nn.Linear(2, 1)
    before = model.weight

    def loss(x: mx.array) -> mx.array:
        raise KeyError("no")

    with pytest.raises(KeyError, match="no"):
        nn.value_and_grad(model, loss)(mx.ones((1, 2)))
    assert model.weight is before
    with pytest.raises(ValueError, match="nothing to differentiate"):
        nn.value_and_grad(nn.ReLU(), lambda x: mx.sum(x))(mx.ones(2))
    with pytest.raises(ValueError, match="scalar"):
        nn.value_and_grad(model, lambda x: model(x))(mx.ones((1, 2)))
    assert model.weight is before
