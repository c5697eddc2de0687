"""custom_function and checkpoint."""

from __future__ import annotations

import numpy as np
import pytest

import tarry.core as mx
from tarry.graph.walk import print_graph


def make_product(calls=None):
    """x * y, x + y with a vjp that shows: 10 and 100 times the first and second cotangent."""
    calls = [] if calls is None else calls

    @mx.custom_function
    def product(x, y):
        return x * y, x + y

    @product.vjp
    def rule(primals, cotangents, outputs):
        calls.append(("vjp", type(primals), type(cotangents), type(outputs)))
        return cotangents[0] * 10, cotangents[1] * 100

    return product


def test_transparent_without_transforms():
    product = make_product()
    first, second = product(mx.array(2.0), mx.array(3.0))
    assert (first.item(), second.item()) == (6.0, 5.0)
    assert product(2.0, mx.array(3.0))[0].item() == 6.0


def test_vjp_rule_is_called_once_with_all_outputs():
    calls = []
    product = make_product(calls)
    gradients = mx.grad(lambda x, y: sum(product(x, y)), argnums=(0, 1))(mx.array(2.0), mx.array(3.0))
    assert [g.item() for g in gradients] == [10.0, 100.0]
    assert calls == [("vjp", tuple, tuple, tuple)]
    # Only one output used: the other cotangent is zero.
    gradients = mx.grad(lambda x, y: product(x, y)[1] * 2, argnums=(0, 1))(mx.array(2.0), mx.array(3.0))
    assert [g.item() for g in gradients] == [0.0, 200.0]
    # One output feeds the user of the other.
    chained = mx.grad(lambda x, y: product(x, y)[0] * 2 + mx.sin(product(x, y)[0]) * 0)
    assert chained(mx.array(2.0), mx.array(3.0)).item() == 20.0


def test_one_argument_is_bare_and_captured_arrays_get_nothing():
    weight = mx.array(3.0)

    def outer(x, weight):
        @mx.custom_function
        def scaled(x):
            return x * weight

        scaled.vjp(lambda primal, cotangent, output: cotangent * primal * output)
        return scaled(x)

    gradients = mx.grad(outer, argnums=(0, 1))(mx.array(2.0), weight)
    assert [g.item() for g in gradients] == [12.0, 0.0]


def test_trees_keywords_and_other_leaves():
    seen = {}

    @mx.custom_function
    def function(tree, power, label=None):
        return {"o": tree["a"] ** power * tree["b"]}

    @function.vjp
    def rule(primals, cotangents, outputs, label=None):
        seen["primals"], seen["label"] = primals, label
        return [{"a": cotangents["o"], "b": cotangents["o"] * 2}, None]

    gradients = mx.grad(lambda a, b: function({"a": a, "b": b}, 2, label="x")["o"], argnums=(0, 1))(
        mx.array(2.0), mx.array(3.0)
    )
    assert [g.item() for g in gradients] == [1.0, 2.0]
    assert seen["primals"][1] == 2
    assert seen["label"] == "x"


def test_second_derivatives_go_through_the_rule():
    @mx.custom_function
    def square(x):
        return x * x

    square.vjp(lambda x, cotangent, output: cotangent * x * output)
    x = mx.array(2.0)
    assert mx.grad(square)(x).item() == 8.0
    # The rule gives x * square(x); its derivative is square(x) + x * (x * square(x)).
    assert mx.grad(mx.grad(square))(x).item() == 4.0 + 2.0 * 8.0


def test_jvp_rule():
    product = make_product()
    seen = []

    @product.jvp
    def rule(primals, tangents):
        seen.append(tangents[1])
        return tangents[0] * 7, tangents[0] * 0

    x, y = mx.array(2.0), mx.array(3.0)
    tangents = mx.jvp(lambda x: product(x, y), [x], [mx.array(1.0)])[1]
    assert [t.item() for t in tangents] == [7.0, 0.0]
    assert seen == [None]


def test_without_a_rule_transforms_go_through_the_function():
    @mx.custom_function
    def product(x, y):
        return x * y

    x, y = mx.array([2.0, 4.0]), mx.array([3.0, 5.0])
    assert mx.grad(lambda x, y: product(x, y).sum())(x, y).tolist() == [3.0, 5.0]
    assert mx.jvp(product, [x, y], [x, y])[1][0].tolist() == [12.0, 40.0]
    assert mx.vmap(product)(x, y).tolist() == [6.0, 20.0]


def test_vmap_rule():
    product = make_product()
    seen = []

    @product.vmap
    def rule(inputs, axes):
        seen.append((inputs[0].shape, inputs[1].shape, axes))
        return (inputs[0] * inputs[1] * 2, inputs[0]), (0, 0)

    first, second = mx.vmap(product, in_axes=(0, None))(mx.array([1.0, 2.0]), mx.array(3.0))
    assert first.tolist() == [6.0, 12.0]
    assert second.tolist() == [1.0, 2.0]
    assert seen == [((2,), (), (0, None))]


def test_gradient_rules_survive_vmap():
    x, y = mx.array([1.0, 2.0]), mx.array(3.0)
    product = make_product()

    def total(x, y):
        first, second = mx.vmap(product, in_axes=(0, None))(x, y)
        return first.sum() + second.sum()

    gradients = mx.grad(total, argnums=(0, 1))(x, y)
    assert gradients[0].tolist() == [10.0, 10.0]
    assert gradients[1].item() == 200.0
    each = mx.vmap(mx.grad(lambda x, y: sum(product(x, y))), in_axes=(0, None))(x, y)
    assert each.tolist() == [10.0, 10.0]
    twice = mx.vmap(mx.vmap(product, in_axes=(0, None)), in_axes=(None, 0))
    gradient = mx.grad(lambda x: sum(part.sum() for part in twice(x, mx.ones(4))))(x)
    assert gradient.tolist() == [40.0, 40.0]
    product.jvp(lambda primals, tangents: (tangents[0] * 7, tangents[0] * 8))
    tangents = mx.jvp(lambda x: mx.vmap(product, in_axes=(0, None))(x, y), [x], [mx.ones(2)])[1]
    assert [t.tolist() for t in tangents] == [[7.0, 7.0], [8.0, 8.0]]


def test_rules_are_shared_by_what_the_decorators_return():
    @mx.custom_function
    def double(x):
        return x * 2

    other = double.vjp(lambda x, cotangent, output: cotangent * 50)
    assert other is not double
    assert mx.grad(double)(mx.array(1.0)).item() == 50.0
    assert mx.grad(other)(mx.array(1.0)).item() == 50.0
    assert not hasattr(double, "__name__")


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([], r"^\[custom_function\] The vjp should return 2 cotangent\(s\).*returned 0"),
        ((mx.ones(3), mx.ones(3)), r"^\[custom_function\] The vjp should return .* shape \(\), .* \(3,\)"),
        ((1.0, 2.0), r"^\[custom_function\] The vjp should return an array.*float"),
    ],
)
def test_rules_that_return_something_else(returned, message):
    @mx.custom_function
    def product(x, y):
        return x * y

    product.vjp(lambda primals, cotangent, output: returned)
    with pytest.raises(ValueError, match=message):
        mx.grad(product)(mx.array(1.0), mx.array(2.0))


def test_other_errors():
    with pytest.raises(ValueError, match=r"^\[custom_function\] The outputs should contain only arrays"):
        mx.custom_function(lambda x: 3.0)(mx.array(1.0))
    with pytest.raises(TypeError, match=r"^\[custom_function\] incompatible function arguments"):
        mx.custom_function(3)
    function = mx.custom_function(lambda x: x)
    function.vmap(lambda inputs, axes: inputs)
    with pytest.raises(ValueError, match=r"^\[custom_function\] The vmap should return a tuple"):
        mx.vmap(function)(mx.ones(3))


# checkpoint


def block(x, weight):
    return mx.sin(x * weight) * x


def test_checkpoint_gives_the_same_values_and_gradients():
    x, weight = mx.array([0.5, 1.5]), mx.array(2.0)

    def loss(function):
        return lambda x, weight: function(function(x, weight), weight).sum()

    plain = mx.value_and_grad(loss(block), argnums=(0, 1))(x, weight)
    again = mx.value_and_grad(loss(mx.checkpoint(block)), argnums=(0, 1))(x, weight)
    np.testing.assert_allclose(np.array(again[0]), np.array(plain[0]), rtol=1e-6)
    for actual, expected in zip(again[1], plain[1]):
        np.testing.assert_allclose(np.array(actual), np.array(expected), rtol=1e-5)
    assert mx.checkpoint(block)(x, weight).tolist() == block(x, weight).tolist()


def test_checkpoint_computes_again_after_the_cotangent_is_known():
    gradient = mx.grad(lambda x: mx.exp(mx.checkpoint(lambda x: mx.sin(x))(x * 2)))(mx.array(1.0))
    text = print_graph([gradient._node])
    assert "Postponed" in text
    assert text.index("Exp") < text.index("Postponed") < text.index("Cos")


def test_checkpoint_keeps_gradients_of_captured_arrays():
    x = mx.array(2.0)
    assert mx.grad(lambda w: mx.checkpoint(lambda x: x * w * w)(x))(mx.array(3.0)).item() == 12.0


def test_checkpoint_passes_other_values_through():
    function = mx.checkpoint(lambda x, scale, note=None: {"a": x * scale, "b": (note, 3)})
    result = mx.grad(lambda x: function(x, 2.0, note="n")["a"])(mx.array(1.0))
    assert result.item() == 2.0
    assert function(mx.array(1.0), 2.0, note="n")["b"] == ("n", 3)
    assert mx.checkpoint(lambda x: 3)(2.0) == 3


def test_checkpoint_composes():
    x = mx.array([0.3, 0.6])
    function = mx.checkpoint(lambda x: mx.exp(mx.sin(x)))
    plain = lambda x: mx.exp(mx.sin(x))  # noqa: E731
    second = mx.grad(lambda x: mx.grad(lambda x: function(x).sum())(x).sum())(x)
    expected = mx.grad(lambda x: mx.grad(lambda x: plain(x).sum())(x).sum())(x)
    np.testing.assert_allclose(np.array(second), np.array(expected), rtol=1e-5)
    np.testing.assert_allclose(
        np.array(mx.vmap(mx.grad(function))(x)), np.array(mx.vmap(mx.grad(plain))(x)), rtol=1e-5
    )
    through = mx.grad(lambda x: mx.vmap(function)(x).sum())(x)
    np.testing.assert_allclose(np.array(through), np.array(mx.vmap(mx.grad(plain))(x)), rtol=1e-5)
    tangent = mx.jvp(lambda x: function(x), [x], [mx.ones(2)])[1][0]
    np.testing.assert_allclose(np.array(tangent), np.array(mx.vmap(mx.grad(plain))(x)), rtol=1e-5)
    nested = mx.checkpoint(lambda x: function(x * 2))
    np.testing.assert_allclose(
        np.array(mx.grad(lambda x: nested(x).sum())(x)),
        np.array(mx.grad(lambda x: plain(x * 2).sum())(x)),
        rtol=1e-5,
    )
