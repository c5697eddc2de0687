"""Module: attributes and entries, trees of parameters, updates, freezing, modes, text."""

from __future__ import annotations

import copy
import pathlib
import pickle
from typing import Any

import numpy as np
import pytest

import tarry.core as mx
import tarry.nn as nn
from tarry.utils import tree_flatten, tree_map


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.layers = [nn.Linear(2, 2), nn.ReLU(), nn.Dropout(0.2)]
        self.named = {"norm": nn.LayerNorm(4), "scale": mx.ones(2)}
        self.hidden_pair = (nn.Linear(2, 2), mx.ones(1))
        self._buffer = mx.ones(1)
        self.size = 3
        self.offset = mx.ones(3)
        self.embedding = nn.Embedding(3, 4)
        self.nothing: list[Any] = []


def shapes(tree: Any) -> Any:
    return tree_map(lambda x: tuple(x.shape), tree)


def names(tree: Any) -> list[str]:
    return [path for path, _ in tree_flatten(tree)]


def values(x: mx.array) -> Any:
    return np.array(x)


PARAMETER_SHAPES = {
    "first": {"weight": (3, 2), "bias": (3,)},
    "layers": [{"weight": (2, 2), "bias": (2,)}, {}, {}],
    "named": {"norm": {"weight": (4,), "bias": (4,)}, "scale": (2,)},
    "offset": (3,),
    "embedding": {"weight": (3, 4)},
    "nothing": [],
}
PATHS = ["", "embedding", "named.norm", "layers.2", "layers.1", "layers.0", "first"]


def test_parameters_and_children() -> None:
    model = Model()
    assert shapes(model.parameters()) == PARAMETER_SHAPES
    children = model.children()
    assert list(children) == ["first", "layers", "named", "embedding", "nothing"]
    assert children["named"]["norm"] is model.named["norm"]
    assert children["named"]["scale"] == {}
    assert model.leaf_modules()["layers"][1] is model.layers[1]
    assert [path for path, _ in model.named_modules()] == PATHS
    assert len(model.modules()) == len(PATHS)
    seen: list[str] = []
    assert model.apply_to_modules(lambda path, module: seen.append(path)) is model
    assert seen == PATHS


def test_attributes_and_entries() -> None:
    model = Model()
    assert "size" not in model and model.size == 3
    model.offset = 5
    assert "offset" not in model and model.offset == 5
    model.offset = mx.ones(2)
    assert "offset" in model and "offset" not in model.__dict__
    del model.offset
    with pytest.raises(AttributeError, match="'Model' object has no attribute 'offset'"):
        model.offset  # noqa: B018
    with pytest.raises(AttributeError):
        del model.missing
    model["absent"] = None
    with pytest.raises(AttributeError):
        model.absent  # noqa: B018
    assert model.state is model
    assert not bool(nn.ReLU()) and len(nn.Linear(1, 1)) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(model)


@pytest.mark.parametrize("name", ["keys", "items", "update", "parameters"])
def test_names_of_the_class_hold_no_containers(name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        setattr(nn.ReLU(), name, [1])


def test_read_only_properties() -> None:
    with pytest.raises(AttributeError):
        nn.ReLU().training = True  # type: ignore[misc]
    with pytest.raises(AttributeError):
        nn.ReLU().state = {}  # type: ignore[misc]


def test_missing_constructor_of_the_base() -> None:
    class Careless(nn.Module):
        def __init__(self) -> None:
            self.weight = mx.ones(1)

    module = Careless()
    assert list(module.parameters()) == ["weight"]
    with pytest.raises(AttributeError, match=r"call super\(\).__init__\(\)"):
        module.trainable_parameters()
    with pytest.raises(AttributeError, match=r"call super\(\).__init__\(\)"):
        module.training  # noqa: B018


def test_repr() -> None:
    assert repr(Model()) == (
        "Model(\n"
        "  (first): Linear(input_dims=2, output_dims=3, bias=True)\n"
        "  (layers.0): Linear(input_dims=2, output_dims=2, bias=True)\n"
        "  (layers.1): ReLU()\n"
        "  (layers.2): Dropout(p=0.19999999999999996)\n"
        "  (named.norm): LayerNorm(4, eps=1e-05, affine=True)\n"
        "  (embedding): Embedding(3, 4)\n"
        ")"
    )
    outer = nn.Sequential(nn.Sequential(nn.Identity()), nn.RMSNorm(4))
    assert "  (layers.0): Sequential(\n    (layers.0): Identity()\n  )\n" in repr(outer)


def test_update() -> None:
    model = Model()
    zeros = mx.zeros((3, 2))
    assert model.update({"first": {"weight": zeros}, "layers": [{}, {}]}) is model
    assert model.first.weight is zeros
    model.update({"absent": zeros, "layers": [{}] * 9, "first": {"weight": "text"}}, strict=False)
    assert model.first["weight"] == "text"


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"absent": 1}, 'Module does not have parameter named "absent".'),
        ({"size": 1}, 'Module does not have parameter named "size".'),
        ({"named": {"absent": 1}}, 'Module does not have parameter named "absent".'),
        ({"layers": {"0": {}}}, 'Module does not have parameter named "0".'),
        ({"layers": [{}, {}, {}, {}]}, "List index 3 is out of bounds for destination of length 3."),
        ({"first": {"weight": 3}}, "Received invalid type: int."),
        ({"layers": ({},)}, "Received invalid type: tuple."),
        ({"offset": {"a": 1}}, "Received invalid type: dict."),
        (3, "Received invalid type: int."),
    ],
)
def test_update_errors(tree: Any, message: str) -> None:
    with pytest.raises(ValueError) as error:
        Model().update(tree)
    assert str(error.value).startswith(f"[Module.update] {message}")


def test_update_modules() -> None:
    model = Model()
    relu = nn.ReLU()
    assert model.update_modules({"first": {}, "layers": [relu, {}], "named": {"norm": relu}}) is model
    assert model.layers[0] is relu and model.named["norm"] is relu
    assert isinstance(model.first, nn.Linear)
    model.update_modules({"first": {"weight": 3}, "absent": relu}, strict=False)
    for tree, message in [
        ({"absent": relu}, 'Module does not have sub-module named "absent".'),
        ({"first": mx.ones(1)}, "Received invalid type: array."),
        ({"offset": relu}, "Received invalid type: ReLU."),
        ({"layers": [{}, {}, {}, relu]}, "List index 3 is out of bounds"),
    ]:
        with pytest.raises(ValueError) as error:
            model.update_modules(tree)
        assert str(error.value).startswith(f"[Module.update_modules] {message}")


def test_apply_and_set_dtype() -> None:
    model = Model()
    model.count = mx.array([1, 2])
    assert model.apply(lambda x: x + 1) is model
    assert values(model.offset).tolist() == [2, 2, 2]
    assert values(model._buffer).tolist() == [1]
    model.set_dtype(mx.float16)
    assert model.first.weight.dtype == mx.float16
    assert model.count.dtype == mx.int32
    model.set_dtype(mx.float32, lambda dtype: True)
    assert model.count.dtype == mx.float32
    dimensions = model.filter_and_map(
        lambda module, key, value: key != "weight" and nn.Module.valid_parameter_filter(module, key, value),
        lambda x: x.ndim,
    )
    assert dimensions["first"] == {"bias": 1}


def test_load_weights() -> None:
    model, other = Model(), Model()
    weights = tree_flatten(other.parameters())
    assert model.load_weights(weights) is model
    assert model.first.weight is other.first.weight
    assert model.load_weights(dict(weights)) is model
    model.load_weights([("first.bias", mx.zeros(9)), ("absent", mx.zeros(1))], strict=False)
    assert tuple(model.first.bias.shape) == (9,)
    model.load_weights([("_buffer", mx.zeros(1))], strict=False)
    assert values(model._buffer).tolist() == [0]
    model.load_weights([], strict=False)


def test_load_weights_errors() -> None:
    model = Model()
    weights = dict(tree_flatten(model.parameters()))
    with pytest.raises(ValueError, match=r"Received 2 parameters not in model: \na,\nb."):
        model.load_weights([("b", mx.ones(1)), ("a", mx.ones(1))])
    with pytest.raises(ValueError, match=r"Received 1 parameters not in model: \n_buffer."):
        model.load_weights({**weights, "_buffer": mx.ones(1)})
    with pytest.raises(ValueError, match=r"Missing 8 parameters: \nembedding.weight,\nfirst.bias"):
        model.load_weights({"first.weight": weights["first.weight"]})
    with pytest.raises(
        ValueError, match=r"Expected mx.array but received <class 'int'> for parameter offset"
    ):
        model.load_weights({**weights, "offset": 3})
    with pytest.raises(ValueError, match=r"Expected shape \(3,\) but received shape \(2,\)"):
        model.load_weights({**weights, "offset": mx.ones(2)})
    with pytest.raises(TypeError, match=r"\[Module.load_weights\].*PosixPath|WindowsPath"):
        model.load_weights(pathlib.Path("x.npz"))  # type: ignore[arg-type]


def test_save_weights_errors() -> None:
    with pytest.raises(
        ValueError, match=r"Unsupported file extension for x.bin. Use '.npz' or '.safetensors'."
    ):
        Model().save_weights("x.bin")
    with pytest.raises(TypeError, match=r"\[Module.save_weights\]"):
        Model().save_weights(pathlib.Path("x.npz"))  # type: ignore[arg-type]


@pytest.mark.parametrize(("extension", "function"), [("npz", "savez"), ("safetensors", "save_safetensors")])
def test_weights_in_files(tmp_path: pathlib.Path, extension: str, function: str) -> None:
    path = str(tmp_path / f"weights.{extension}")
    model, other = Model(), Model()
    if not hasattr(mx, function):
        with pytest.raises(RuntimeError, match=rf"\[Module.save_weights\] files need mx.{function}"):
            model.save_weights(path)
        pytest.skip(f"no mx.{function} yet")
    model.save_weights(path)
    other.load_weights(path)
    for (name, a), (_, b) in zip(tree_flatten(model.parameters()), tree_flatten(other.parameters())):
        np.testing.assert_array_equal(values(a), values(b), err_msg=name)


def test_freeze() -> None:
    model = Model()
    assert model.freeze() is model
    assert names(model.trainable_parameters()) == []
    assert model._no_grad == {"named.scale", "offset"}
    model.first.weight = mx.ones((3, 2))
    assert names(model.trainable_parameters()) == []
    assert model.unfreeze() is model
    assert shapes(model.trainable_parameters()) == PARAMETER_SHAPES
    model.freeze(recurse=False)
    assert names(model.trainable_parameters())[0] == "first.weight"
    assert "offset" not in names(model.trainable_parameters())
    model.unfreeze().freeze(keys="bias")
    assert "first.weight" in names(model.trainable_parameters())
    assert "first.bias" not in names(model.trainable_parameters())
    assert model.layers[1]._no_grad == {"bias"}
    model.unfreeze(keys=["bias"])
    assert shapes(model.trainable_parameters()) == PARAMETER_SHAPES


def test_freeze_with_unknown_names() -> None:
    model = Model()
    model.freeze(keys="absent").unfreeze(keys="absent")
    model.freeze(keys="weight", strict=True)
    with pytest.raises(KeyError, match="Module doesn't contain member absent"):
        model.freeze(keys=["absent"], strict=True)
    with pytest.raises(KeyError, match="Module doesn't contain member weight"):
        model.unfreeze(keys="weight", strict=True, recurse=False)


def test_modes() -> None:
    model = Model()
    assert model.training
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    model.train()
    assert all(module.training for module in model.modules())
    model.train(False)
    assert not model.layers[2].training


def test_copies() -> None:
    model = Model()
    shallow, deep, pickled = copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    assert shallow.first is model.first
    for other in (deep, pickled):
        assert other.first is not model.first and other.size == 3
        np.testing.assert_array_equal(values(other.first.weight), values(model.first.weight))
        other.first.weight = mx.zeros((3, 2))
        other.freeze()
    assert model.trainable_parameters() and float(mx.abs(model.first.weight).sum().item()) > 0


def test_value_and_grad() -> None:
    model = nn.Linear(2, 1)
    weight = model.weight
    x = mx.array([[1.0, 2.0], [3.0, 4.0]])

    def loss(x: mx.array, power: int = 1) -> tuple[mx.array, str]:
        return (model(x) ** power).sum(), "extra"

    (value, extra), gradients = nn.value_and_grad(model, loss)(x)
    assert extra == "extra"
    np.testing.assert_allclose(value.item(), model(x).sum().item(), rtol=1e-6)
    assert values(gradients["weight"]).tolist() == [[4, 6]] and values(gradients["bias"]).tolist() == [2]
    assert model.weight is weight
    model.freeze(keys="bias")
    _, gradients = nn.value_and_grad(model, loss)(x, power=2)
    assert list(gradients) == ["weight"]
    assert nn.value_and_grad(model, loss).__name__ == "loss"
    model.freeze()
    with pytest.raises(ValueError):
        nn.value_and_grad(model, loss)(x)


def test_value_and_grad_leaves_the_model_whole() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    before = [array for _, array in tree_flatten(model.parameters())]

    def fail(x: mx.array) -> mx.array:
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        nn.value_and_grad(model, fail)(mx.ones(2))
    after = [array for _, array in tree_flatten(model.parameters())]
    assert all(a is b for a, b in zip(before, after))

    def replace(x: mx.array) -> mx.array:
        loss = model(x).sum()
        model.layers[1].bias = mx.zeros(1)
        return loss

    nn.value_and_grad(model, replace)(mx.ones((1, 2)))
    assert values(model.layers[1].bias).tolist() == [0]


def test_side_by_side_with_mlx() -> None:
    oracle = pytest.importorskip("mlx.nn")
    ours = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 1)), nn.LayerNorm(1))
    theirs = oracle.Sequential(
        oracle.Linear(2, 3), oracle.Sequential(oracle.ReLU(), oracle.Linear(3, 1)), oracle.LayerNorm(1)
    )
    assert repr(ours) == repr(theirs)
    assert [path for path, _ in ours.named_modules()] == [path for path, _ in theirs.named_modules()]
    assert names(ours.parameters()) == names(theirs.parameters())
    assert names(ours.freeze(keys="bias").trainable_parameters()) == names(
        theirs.freeze(keys="bias").trainable_parameters()
    )
