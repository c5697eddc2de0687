"""Bad calls of transforms: the type MLX raises, and a message that says what was given."""

from __future__ import annotations

import pytest

import tarry.core as mx


def square(x):
    return (x * x).sum()


def product(x, y):
    return (x * y).sum()


x = mx.array(2.0)
v = mx.array([1.0, 2.0, 3.0])
m = mx.zeros((2, 3))

GRADIENTS = {
    "negative": (ValueError, "negative argument index -1", lambda: mx.grad(square, argnums=-1)),
    "twice": (ValueError, "index 0 is given twice", lambda: mx.grad(product, argnums=[0, 0])),
    "beyond": (ValueError, r"argument 1: .* 1 positional", lambda: mx.grad(square, argnums=1)(x)),
    "none": (ValueError, "No argument", lambda: mx.grad(square, argnums=[])),
    "float-argnum": (TypeError, "incompatible function arguments.*1.5", lambda: mx.grad(square, argnums=1.5)),
    "integer-argname": (TypeError, "incompatible function arguments.*3", lambda: mx.grad(square, argnames=3)),
    "missing-name": (ValueError, "keyword argument 'y'", lambda: mx.grad(product, argnames="y")(x, x)),
    "function": (TypeError, "incompatible function arguments.*int", lambda: mx.grad(3)),
    "float": (ValueError, "only arrays.*float", lambda: mx.grad(square)(2.0)),
    "none-leaf": (ValueError, "only arrays.*NoneType", lambda: mx.grad(square)([x, None])),
    "text-leaf": (ValueError, "only arrays.*str", lambda: mx.grad(square)({"a": "b"})),
    "named-float": (ValueError, "only arrays.*float", lambda: mx.grad(product, argnames="y")(x, y=1.0)),
    "empty-tree": (ValueError, "contain no array", lambda: mx.grad(lambda tree: x)({})),
    "vector": (ValueError, r"scalar.*\(3,\)", lambda: mx.grad(lambda v: v)(v)),
    "one-element": (ValueError, r"scalar.*\(1,\)", lambda: mx.grad(lambda v: v)(mx.array([1.0]))),
    "tuple": (ValueError, "scalar.*tuple", lambda: mx.grad(lambda x: (x, x))(x)),
    "python-float": (ValueError, "scalar.*float", lambda: mx.grad(lambda x: 3.0)(x)),
}

VALUES_AND_GRADIENTS = {
    "list": (ValueError, "scalar.*list", lambda: mx.value_and_grad(lambda x: [x])(x)),
    "empty": (ValueError, "empty tuple", lambda: mx.value_and_grad(lambda x: ())(x)),
    "float-first": (ValueError, "starts with a float", lambda: mx.value_and_grad(lambda x: (1.0, x))(x)),
    "vector": (ValueError, r"scalar.*\(3,\)", lambda: mx.value_and_grad(lambda v: (v, 1))(v)),
}

PRODUCTS = {
    "vjp-bare": (TypeError, "incompatible function arguments.*primals", lambda: mx.vjp(square, x, x)),
    "vjp-float": (TypeError, "incompatible function arguments.*float", lambda: mx.vjp(square, [2.0], [x])),
    "vjp-few": (ValueError, r"2 output\(s\).*1 cotangent", lambda: mx.vjp(lambda x: (x, x), [x], [x])),
    "vjp-shape": (ValueError, r"shape \(\) .*\(3,\)", lambda: mx.vjp(lambda v: v, [v], [x])),
    "vjp-dict": (RuntimeError, "dict", lambda: mx.vjp(lambda v: {"a": v}, [v], [v])),
    "jvp-number": (ValueError, r"1 primal\(s\).*2 tangent", lambda: mx.jvp(lambda v: v, [v], [v, v])),
    "jvp-shape": (ValueError, r"shape \(\) .*\(3,\)", lambda: mx.jvp(lambda v: v, [v], [x])),
    "jvp-float": (RuntimeError, "float", lambda: mx.jvp(lambda v: 2.0, [v], [v])),
}

BATCHES = {
    "function": (TypeError, "incompatible function arguments.*int", lambda: mx.vmap(3)),
    "keywords": (TypeError, "Keyword arguments", lambda: mx.vmap(lambda x: x)(x=v)),
    "in_axes-none": (TypeError, "in_axes", lambda: mx.vmap(lambda x: x, in_axes=None)),
    "out_axes-none": (TypeError, "out_axes", lambda: mx.vmap(lambda x: x, out_axes=None)),
    "float": (ValueError, "only arrays.*float", lambda: mx.vmap(product, in_axes=(0, None))(v, 2.0)),
    "all-none": (ValueError, "At least one", lambda: mx.vmap(product, in_axes=(None, None))(v, v)),
    "no-arguments": (ValueError, "At least one", lambda: mx.vmap(lambda: v)()),
    "list-axes": (ValueError, "prefix.*list", lambda: mx.vmap(product, in_axes=[0, 0])(v, v)),
    "few-axes": (ValueError, "prefix.*length 1", lambda: mx.vmap(product, in_axes=(0,))(v, v)),
    "nested-axes": (ValueError, "prefix", lambda: mx.vmap(lambda d: d["a"], in_axes=({"a": 0},))({"a": v})),
    "other-keys": (ValueError, "prefix.*'b'", lambda: mx.vmap(lambda d: d["a"], in_axes={"b": 0})({"a": v})),
    "text-axis": (ValueError, "integer or None.*'a'", lambda: mx.vmap(product, in_axes=(0, "a"))(v, v)),
    "float-axis": (ValueError, "integer or None.*0.5", lambda: mx.vmap(square, in_axes=0.5)(v)),
    "range": (IndexError, r"axis 1 .*\(3,\)", lambda: mx.vmap(square, in_axes=1)(v)),
    "negative-range": (IndexError, r"axis -3 .*\(2, 3\)", lambda: mx.vmap(square, in_axes=-3)(m)),
    "0-d": (IndexError, r"axis 0 .*\(\)", lambda: mx.vmap(square)(x)),
    "sizes": (ValueError, "different sizes: 3 and 2", lambda: mx.vmap(product)(v, m)),
    "out-range": (IndexError, r"axis 5 .*\(3,\)", lambda: mx.vmap(lambda x: x, out_axes=5)(m)),
    "out-tuple": (ValueError, "prefix", lambda: mx.vmap(lambda x: [x, x], out_axes=(0, 1))(m)),
    "out-float": (ValueError, "outputs.*float", lambda: mx.vmap(lambda x: 2.0)(m)),
    "out-none": (ValueError, "None in out_axes", lambda: mx.vmap(lambda x: (x, x), out_axes=(0, None))(m)),
}


def rows(op, table):
    return [pytest.param(op, *row, id=f"{op}-{name}") for name, row in table.items()]


@pytest.mark.parametrize(
    ("op", "error", "message", "call"),
    rows("grad", GRADIENTS)
    + rows("value_and_grad", VALUES_AND_GRADIENTS)
    + rows("[vj]*[vj]p", PRODUCTS)
    + rows("vmap", BATCHES),
)
def test_bad_calls(op, error, message, call):
    with pytest.raises(error, match=rf"(?s)^\[{op}\] .*{message}") as caught:
        call()
    assert type(caught.value) is error
