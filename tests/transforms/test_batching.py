"""vmap: axes, trees, composition with derivatives, what functions may do inside."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

import tarry.core as mx


def numbers(*shape):
    return np.random.default_rng(7).normal(size=shape).astype(np.float32)


def close(actual, expected, rtol=1e-5):
    np.testing.assert_allclose(np.array(actual), expected, rtol=rtol, atol=1e-5)


def test_axes_in_and_out():
    x = numbers(2, 3, 4)
    for axis in (0, 1, 2, -1, -3):
        for out in (0, 1, 2, -1, -2):
            actual = mx.vmap(lambda a: mx.exp(a) * 2, in_axes=axis, out_axes=out)(mx.array(x))
            close(actual, np.moveaxis(np.exp(x) * 2, axis, out))


def test_several_arguments():
    x, y = numbers(4, 3), numbers(3, 4)
    close(mx.vmap(lambda a, b: (a * b).sum(), in_axes=(0, 1))(mx.array(x), mx.array(y)), (x * y.T).sum(1))
    close(mx.vmap(lambda a, b: a @ b, in_axes=(0, None))(mx.array(x), mx.array(y)), x @ y)
    close(mx.vmap(lambda a, b: a @ b, in_axes=(None, 1))(mx.array(x), mx.array(y)), (x @ y).T)


def test_trees():
    tree = {"a": mx.arange(3.0), "b": [mx.array(2.0), mx.ones((2, 3))]}

    def function(tree):
        return {"sum": tree["a"] + tree["b"][0], "parts": (tree["b"][1], tree["a"])}

    result = mx.vmap(function, in_axes={"a": 0, "b": [None, 1]}, out_axes={"sum": 0, "parts": (-1, 0)})(tree)
    assert result["sum"].tolist() == [2.0, 3.0, 4.0]
    assert result["parts"][0].shape == (2, 3)
    assert result["parts"][1].tolist() == [0.0, 1.0, 2.0]
    pair = namedtuple("pair", ["first", "second"])
    swapped = mx.vmap(lambda p: pair(p.second, p.first))(pair(mx.zeros(3), mx.ones(3)))
    assert isinstance(swapped, pair)
    assert swapped.first.tolist() == [1.0] * 3


def test_prefixes():
    x = mx.zeros((2, 3))
    assert mx.vmap(lambda x: x, in_axes=(0,))(x).shape == (2, 3)
    pair = (mx.zeros((2, 3)), mx.zeros((3, 2)))
    assert mx.vmap(lambda p: p[0] + p[1], in_axes=(0, 1))(pair).shape == (2, 3)
    outputs = mx.vmap(lambda x: (x, (x, x)), out_axes=(0, 1))(x)
    assert [outputs[0].shape, outputs[1][0].shape, outputs[1][1].shape] == [(2, 3), (3, 2), (3, 2)]
    assert [y.shape for y in mx.vmap(lambda x: [x, x], out_axes=[0, 1])(x)] == [(2, 3), (3, 2)]


def test_outputs_that_do_not_depend_on_the_batch_are_repeated():
    x, shared = mx.zeros(4), mx.array(numbers(2, 3))
    for axis, shape in ((0, (4, 2, 3)), (1, (2, 4, 3)), (-1, (2, 3, 4)), (None, (2, 3, 4))):
        result = mx.vmap(lambda x: (x, shared * 1), out_axes=(0, axis))(x)[1]
        assert result.shape == shape
        close(mx.moveaxis(result, 2 if axis is None else axis, 0)[3], np.array(shared))


def test_nested():
    x, y = numbers(3), numbers(4)
    outer = mx.vmap(mx.vmap(lambda a, b: a * b, in_axes=(None, 0)), in_axes=(0, None))
    close(outer(mx.array(x), mx.array(y)), np.outer(x, y))
    # The inner function sees the outer batch through a closure.
    closed = mx.vmap(lambda a: mx.vmap(lambda b: a * b + a)(mx.array(y)))
    close(closed(mx.array(x)), np.outer(x, y) + x[:, None])
    z = numbers(2, 3, 4, 5)
    triple = mx.vmap(mx.vmap(mx.vmap(mx.sum, in_axes=1), in_axes=0), in_axes=2)
    close(triple(mx.array(z)), np.transpose(z, (2, 0, 3, 1)).sum(-1))


def test_gradients_of_each_example():
    weight, x = numbers(3), numbers(5, 3)

    def loss(weight, x):
        return mx.exp((weight * x).sum())

    per_example = mx.vmap(mx.grad(loss), in_axes=(None, 0))(mx.array(weight), mx.array(x))
    close(per_example, np.exp(x @ weight)[:, None] * x)
    total = mx.grad(lambda w: mx.vmap(loss, in_axes=(None, 0))(w, mx.array(x)).sum())(mx.array(weight))
    close(total, (np.exp(x @ weight)[:, None] * x).sum(0))


def test_hessian():
    matrix = numbers(3, 3)
    x = mx.array(numbers(3))
    hessian = mx.vmap(
        lambda direction: mx.jvp(mx.grad(lambda x: x @ (mx.array(matrix) @ x)), [x], [direction])[1][0]
    )(mx.eye(3))
    close(hessian, matrix + matrix.T)
    backward = mx.vmap(lambda c: mx.vjp(lambda x: mx.array(matrix) @ x, [x], [c])[1][0])(mx.eye(3))
    close(backward, matrix)


def test_second_derivatives_through_a_batch():
    x = numbers(4)
    total = mx.grad(lambda x: mx.vmap(mx.grad(lambda a: mx.sin(a) * a))(x).sum())
    close(total(mx.array(x)), 2 * np.cos(x) - x * np.sin(x))


def test_writes_inside():
    x, y = numbers(3, 4), numbers(3)

    def function(row, value):
        row[1] = value
        row += 1
        return row

    given = mx.array(x)
    expected = x.copy()
    expected[:, 1] = y
    close(mx.vmap(function)(given, mx.array(y)), expected + 1)
    close(given, x)


@pytest.mark.parametrize(
    "look",
    [
        lambda x: float(x),
        lambda x: x.item(),
        lambda x: x.tolist(),
        lambda x: bool(x > 1),
        lambda x: np.array(x),
        lambda x: repr(x),
        lambda x: mx.eval(x),
        lambda x: mx.eval(x * 2),
    ],
    ids=["float", "item", "tolist", "bool", "numpy", "repr", "eval", "eval-result"],
)
def test_evaluation_inside_is_an_error(look):
    def function(x):
        look(x)
        return x

    with pytest.raises(ValueError, match=r"^\[eval\] Attempting to eval"):
        mx.vmap(function)(mx.arange(3.0))
    with pytest.raises(ValueError, match=r"^\[eval\] Attempting to eval"):
        mx.vmap(mx.grad(lambda x: function(x)))(mx.arange(3.0))
    # Afterwards everything is as before.
    assert mx.array(1.0).item() == 1.0


def test_leaked_placeholders_cannot_be_evaluated():
    kept = []
    mx.vmap(lambda x: kept.append(x * 2) or x)(mx.arange(3.0))
    with pytest.raises((ValueError, RuntimeError), match=r"^\[eval\]"):
        mx.eval(kept[0])


def test_empty_batches():
    assert mx.vmap(lambda x: (x * 2).sum())(mx.zeros((0, 3))).shape == (0,)


def test_long_chains():
    def chain(x):
        for _ in range(20_000):
            x = x + 1.0
        return x

    assert mx.vmap(chain)(mx.arange(3.0)).shape == (3,)
