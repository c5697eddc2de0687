"""Derivatives: nesting, trees, evaluation and writes inside the function, long chains."""

from __future__ import annotations

import sys
from collections import namedtuple

import numpy as np
import pytest

import tarry.core as mx


def close(actual, expected, rtol=1e-5):
    np.testing.assert_allclose(np.array(actual), expected, rtol=rtol, atol=1e-6)


def cube(x):
    return x * x * x


def test_nested_derivatives_of_a_polynomial():
    x = mx.array(2.0)
    first = mx.grad(cube)
    second = mx.grad(first)
    third = mx.grad(second)
    assert [first(x).item(), second(x).item(), third(x).item()] == [12.0, 12.0, 6.0]
    assert mx.grad(third)(x).item() == 0.0


def test_nested_derivatives_of_a_chain():
    def wave(x):
        return mx.exp(mx.sin(x))

    at = 0.7
    sine, cosine = np.sin(at), np.cos(at)
    close(mx.grad(wave)(mx.array(at)), np.exp(sine) * cosine)
    close(mx.grad(mx.grad(wave))(mx.array(at)), np.exp(sine) * (cosine**2 - sine))


def test_inner_derivatives_do_not_see_outer_perturbations():
    # d/dx (x * d/dy (x + y)) is 1; counting the outer perturbation in the inner derivative gives 2.
    assert mx.grad(lambda x: x * mx.grad(lambda y: x + y)(mx.array(1.0)))(mx.array(1.0)).item() == 1.0
    # The same with the very array that is differentiated outside.
    assert mx.grad(lambda x: x * mx.grad(lambda y: x * y)(x))(mx.array(3.0)).item() == 6.0
    forward = mx.jvp(
        lambda x: x * mx.jvp(lambda y: x + y, [mx.array(1.0)], [mx.array(1.0)])[1][0],
        [mx.array(1.0)],
        [mx.array(1.0)],
    )
    assert forward[1][0].item() == 1.0


def test_inner_gradients_of_lazy_and_evaluated_values():
    def inner(y):
        return y * y

    for scale in (1.0, 3.0):
        y = mx.array(1.0) * scale
        assert mx.grad(lambda x, y=y: x * mx.grad(inner)(y * x))(mx.array(2.0)).item() == 8.0 * scale
        mx.eval(y)
        assert mx.grad(lambda x, y=y: x * mx.grad(inner)(y * x))(mx.array(2.0)).item() == 8.0 * scale


def test_evaluated_intermediates_stay_connected():
    def outer(x):
        y = x * x
        mx.eval(y)
        z = mx.grad(cube)(y)
        mx.eval(z)
        return z

    # 3 (x**2)**2 has the derivative 12 x**3.
    assert mx.grad(outer)(mx.array(2.0)).item() == 96.0


def test_hessian_vector_product():
    def energy(x):
        return mx.sum(x * x * x) + x[0] * x[1]

    x, direction = mx.array([1.0, 2.0, 3.0]), mx.array([1.0, 0.5, -1.0])
    expected = np.array([6.0 + 0.5, 6.0 + 1.0, -18.0])
    close(mx.jvp(mx.grad(energy), [x], [direction])[1][0], expected)
    close(mx.vjp(mx.grad(energy), [x], [direction])[1][0], expected)
    close(mx.grad(lambda x: mx.jvp(energy, [x], [direction])[1][0])(x), expected)


def test_gradient_of_a_closure_only_goes_through_arguments():
    weight = mx.array(3.0)
    assert mx.grad(lambda x: x * weight)(mx.array(2.0)).item() == 3.0
    assert mx.grad(lambda x: weight * weight)(mx.array(2.0)).item() == 0.0


def test_value_used_many_times_collects_from_all_uses():
    def function(x):
        y = x * 2.0
        return (y * y + y + x).sum()

    close(mx.grad(function)(mx.array([1.0, 2.0])), [11.0, 19.0])


Pair = namedtuple("Pair", ["left", "right"])


def test_trees():
    tree = {
        "list": [mx.array(1.0), mx.array([2.0, 3.0])],
        "pair": Pair(mx.array(4.0), (mx.array(5.0),)),
        "unused": mx.zeros((2, 2)),
    }

    def function(tree):
        assert isinstance(tree["pair"], Pair)
        a, b = tree["list"]
        return a * b.sum() + tree["pair"].left * tree["pair"].right[0]

    gradient = mx.grad(function)(tree)
    assert list(gradient) == ["list", "pair", "unused"]
    assert gradient["list"][0].item() == 5.0
    assert gradient["list"][1].tolist() == [1.0, 1.0]
    assert isinstance(gradient["pair"], Pair)
    assert gradient["pair"].left.item() == 5.0
    assert gradient["pair"].right[0].item() == 4.0
    assert gradient["unused"].tolist() == [[0.0, 0.0], [0.0, 0.0]]


class Model(dict):
    """A container of the user's own, as modules are."""

    def __call__(self, x):
        return self["weight"] * x


def test_containers_stay_the_users_own_and_are_restored():
    model = Model(weight=mx.array(2.0))
    weight = model["weight"]
    gradient = mx.grad(lambda model, x: model(x))(model, mx.array(5.0))
    assert type(gradient) is dict
    assert gradient["weight"].item() == 5.0
    assert model["weight"] is weight

    def fail(model):
        raise KeyError("no")

    with pytest.raises(KeyError):
        mx.grad(fail)(model)
    assert model["weight"] is weight


def test_argnums_and_argnames():
    def function(x, y, *, scale):
        return x * x * y * scale

    x, y, scale = mx.array(2.0), mx.array(3.0), mx.array(5.0)
    assert mx.grad(function, argnums=1)(x, y, scale=scale).item() == 20.0
    assert mx.grad(function, argnums=(1,))(x, y, scale=scale).item() == 20.0
    # In the order of positions, however they are given.
    assert [g.item() for g in mx.grad(function, argnums=[1, 0])(x, y, scale=scale)] == [60.0, 20.0]
    positional, named = mx.grad(function, argnames="scale")(x, y, scale=scale)
    assert positional is None
    assert {name: g.item() for name, g in named.items()} == {"scale": 12.0}
    both = mx.value_and_grad(function, argnums=(0, 1), argnames=["scale"])
    value, (positional, named) = both(x, y, scale=scale)
    assert value.item() == 60.0
    assert [g.item() for g in positional] == [60.0, 20.0]
    assert named["scale"].item() == 12.0


def test_auxiliary_outputs():
    def function(x):
        return x * x, "note", [x + 1]

    (loss, note, extra), gradient = mx.value_and_grad(function)(mx.array(3.0))
    assert (loss.item(), note, extra[0].item(), gradient.item()) == (9.0, "note", 4.0, 6.0)


def test_arguments_that_are_not_differentiated_may_be_anything():
    def function(x, power, label=None):
        assert label == {"a"}
        return x**power

    assert mx.grad(function)(mx.array(3.0), 2, label={"a"}).item() == 6.0


def test_evaluation_inside():
    seen = []

    def function(x):
        y = x * x
        seen.append(float(y))
        seen.append(y.item())
        seen.append(np.array(y).tolist())
        repr(y)
        if y > 5:
            y = y * 10
        return y * 2

    assert mx.grad(function)(mx.array(3.0)).item() == 120.0
    assert mx.grad(function)(mx.array(1.0)).item() == 4.0
    assert seen == [9.0] * 3 + [1.0] * 3


def test_conversion_to_python_cuts():
    assert mx.grad(lambda x: x * float(x))(mx.array(3.0)).item() == 3.0


def test_writes_into_arguments_are_differentiated_and_stay_inside():
    x, y = mx.array([1.0, 2.0, 3.0]), mx.array([1.0, 1.0, 1.0])

    def function(x, y):
        x[0] = x[1] * 3.0
        x += 1.0
        y[2] = 5.0
        return (x * x * y).sum()

    # (3 x1 + 1)**2 + (x1 + 1)**2 + 5 (x2 + 1)**2
    assert mx.grad(function)(x, y).tolist() == [0.0, 48.0, 40.0]
    assert x.tolist() == [1.0, 2.0, 3.0]
    assert y.tolist() == [1.0, 1.0, 1.0]


def test_entries_assigned_by_the_function_stay():
    state = {"count": mx.array(1.0), "other": mx.array(2.0)}
    other = state["other"]

    def function(x, state):
        state["count"] = state["count"] + x
        return state["count"] * state["other"]

    assert mx.grad(function)(mx.array(5.0), state).item() == 2.0
    assert state["count"].item() == 6.0
    assert state["other"] is other


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "bfloat16", "int32", "complex64"])
def test_gradients_have_the_dtype_of_the_primal(name):
    dtype = getattr(mx, name)
    x = mx.array([1, 2], dtype=dtype)
    gradient = mx.grad(lambda x: (x * x).sum())(x)
    assert gradient.dtype == dtype
    assert gradient.shape == (2,)
    # Through another dtype, too.
    gradient = mx.grad(lambda x: x.astype(mx.float32).sum())(x)
    assert gradient.dtype == dtype


def test_integers():
    assert mx.grad(lambda x: x * x)(mx.array(3)).item() == 6


def test_stop_gradient():
    assert mx.grad(lambda x: x * mx.stop_gradient(x * x))(mx.array(3.0)).item() == 9.0
    assert mx.jvp(lambda x: mx.stop_gradient(x), [mx.array(3.0)], [mx.array(1.0)])[1][0].item() == 0.0


def test_vjp():
    x, y = mx.array([1.0, 2.0]), mx.array(3.0)
    cotangents = (mx.array([1.0, 10.0]), mx.array(100.0))
    outputs, gradients = mx.vjp(lambda x, y: (x * y, x.sum()), (x, y), cotangents)
    assert [output.tolist() for output in outputs] == [[3.0, 6.0], 3.0]
    assert [gradient.tolist() for gradient in gradients] == [[103.0, 130.0], 21.0]
    # More cotangents than outputs are ignored, other dtypes converted.
    outputs, gradients = mx.vjp(lambda x: x * 2, [x], [mx.array([1, 2]), y])
    assert gradients[0].dtype == mx.float32
    assert gradients[0].tolist() == [2.0, 4.0]
    # The same array as several outputs.
    assert mx.vjp(lambda x: [x, x], [y], [y, y])[1][0].item() == 6.0
    assert mx.vjp(lambda: y, [], [y])[1] == []


def test_jvp():
    x, y = mx.array([1.0, 2.0]), mx.array(3.0)
    directions = [mx.ones(2), mx.array(10.0)]
    outputs, tangents = mx.jvp(lambda x, y: [x * y, y * 0 + 1, mx.array(7)], [x, y], directions)
    assert [output.tolist() for output in outputs] == [[3.0, 6.0], 1.0, 7]
    assert [tangent.tolist() for tangent in tangents] == [[13.0, 23.0], 0.0, 0]
    assert tangents[2].dtype == mx.int32


def test_transposition_agrees_with_forward():
    random = np.random.default_rng(0)
    x = mx.array(random.normal(size=(3, 4)).astype(np.float32))
    direction = mx.array(random.normal(size=(3, 4)).astype(np.float32))
    cotangent = mx.array(random.normal(size=(3, 3)).astype(np.float32))

    def function(x):
        y = mx.exp(-x) / (1.0 + x * x)
        return y @ y.T

    forward = mx.jvp(function, [x], [direction])[1][0]
    backward = mx.vjp(function, [x], [cotangent])[1][0]
    close((forward * cotangent).sum(), np.array((backward * direction).sum()), rtol=1e-4)


def test_long_chains():
    def chain(x, length):
        for _ in range(length):
            x = x + 1.0
        return x

    # Neither the walks nor freeing the graph recurse.
    assert mx.grad(lambda x: chain(x, 100_000))(mx.array(1.0)).item() == 1.0
    assert mx.jvp(lambda x: chain(x, 30_000), [mx.array(1.0)], [mx.array(2.0)])[1][0].item() == 2.0


def test_differentiation_takes_linear_time():
    def chain(x, length):
        for _ in range(length):
            x = mx.sin(x)
        return x

    def calls(length):
        """How many Python functions run."""
        count = 0

        def note(frame, event, argument):
            nonlocal count
            count += event == "call"

        sys.setprofile(note)
        try:
            mx.grad(lambda x: chain(x, length))(mx.array(1.0))
        finally:
            sys.setprofile(None)
        return count

    assert calls(10_000) < 10.5 * calls(1_000)


def test_values_carried_through_a_loop_do_not_keep_their_history():
    state = mx.array(1.0)
    for _ in range(5):
        value, gradient = mx.value_and_grad(lambda x: (x * 0.5).sum())(state)
        state = value
        mx.eval(state, gradient)
    node, depth = state._node, 0
    while node.inputs:
        node = node.inputs[0]
        depth += 1
    assert depth <= 1


def test_names_and_docstrings_are_copied():
    for transformed in (mx.grad(cube), mx.value_and_grad(cube), mx.vmap(cube), mx.checkpoint(cube)):
        assert transformed.__name__ == "cube"
