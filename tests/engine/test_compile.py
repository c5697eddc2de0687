"""mx.compile: when the body runs, what a call gives, and what goes in and out."""

from __future__ import annotations

import functools
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tarry.core as mx


class Counted:
    """A function that counts how often its body runs."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.calls = 0

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        self.calls += 1
        return self.function(*args, **keywords)


def counted(function: Callable[..., Any], **options: Any) -> tuple[Counted, Callable[..., Any]]:
    body = Counted(function)
    return body, mx.compile(body, **options)


def same(found: mx.array, expected: Any) -> bool:
    expected = np.array(expected)
    return np.array(found).dtype == expected.dtype and np.array_equal(np.array(found), expected)


X = mx.array([1.0, 2.0, 3.0])

# when the body runs


def test_the_body_runs_once_for_a_signature() -> None:
    body, f = counted(lambda x, y: mx.exp(x) * y)
    for scale in (1.0, 2.0, 3.0):
        x = mx.array([scale, 2.0, 3.0])
        assert same(f(x, X), mx.exp(x) * X)
    assert body.calls == 1


@pytest.mark.parametrize("shapeless", [False, True])
def test_new_shapes_dtypes_and_dimensions_run_it_again(shapeless: bool) -> None:
    body, f = counted(lambda x: (x * 2).reshape(x.shape[0], -1) + x.shape[0], shapeless=shapeless)
    for number, shape in enumerate([(3, 2), (5, 2), (2, 3, 2)], 1):
        for _ in range(2):
            x = mx.ones(shape)
            assert np.array_equal(f(x), np.full((shape[0], x.size // shape[0]), 2.0 + shape[0]))
        assert body.calls == number
    f(mx.ones((3, 2), mx.float16))
    assert body.calls == 4


def test_constants_are_part_of_the_signature() -> None:
    body, f = counted(lambda x, c: x if c is None or isinstance(c, str) else x * c)
    constants = [2, 2.0, True, 1, None, "a", "b", 0.0, -0.0, float("inf"), np.float64(2.0)]
    for constant in constants * 2:
        expected = X if constant is None or isinstance(constant, str) else X * constant
        assert same(f(X, constant), expected)
        assert np.array_equal(np.signbit(np.array(f(X, constant))), np.signbit(np.array(expected)))
    assert body.calls == len(constants)
    f(X, float("nan")), f(X, float("nan"))
    assert body.calls == len(constants) + 1


def test_structure_is_part_of_the_signature() -> None:
    body, f = counted(lambda tree: type(tree).__name__)
    trees: list[Any] = [[X, X], (X, X), [[X], X], [X], {"a": X}, {"b": X}, {"b": X, "a": X}, {"a": {"a": X}}]
    for tree in trees * 2:
        assert f(tree) == type(tree).__name__
    assert body.calls == len(trees)


def test_constants_alone_and_no_arguments() -> None:
    body, f = counted(lambda x=3.0: mx.array(x) * 2)
    assert f(2.0).item() == 4.0 and f().item() == 6.0 and f().item() == 6.0
    assert body.calls == 2


def test_a_known_signature_plans_and_compiles_nothing() -> None:
    f = mx.compile(lambda x: mx.softmax(x @ x, axis=-1).sum(axis=0))
    f(mx.array(np.ones((4, 4), np.float32)))
    before = mx.counters()
    for _ in range(5):
        f(mx.array(np.eye(4, dtype=np.float32)))
    after = mx.counters()
    assert after["plans_built"] == before["plans_built"]
    assert after["nodes"] == before["nodes"]
    assert after["kernels_compiled"] + after["kernels_loaded"] == (
        before["kernels_compiled"] + before["kernels_loaded"]
    )
    assert after["plans_reused"] == before["plans_reused"] + 5


def test_new_sizes_compile_nothing() -> None:
    f = mx.compile(lambda x: (mx.tanh(x) * x.shape[0]).sum(axis=0))
    for rows in (7, 9):
        f(mx.array(np.ones((rows, 5), np.float32)))
    before = mx.counters()
    for rows in (11, 30, 64):
        assert np.allclose(f(mx.array(np.ones((rows, 5), np.float32))), rows * rows * np.tanh(1))
    after = mx.counters()
    assert after["kernels_compiled"] + after["kernels_loaded"] == (
        before["kernels_compiled"] + before["kernels_loaded"]
    )


def test_disable_and_enable() -> None:
    body, f = counted(lambda x: x + 1)
    mx.disable_compile()
    try:
        f(X), f(X)
        assert body.calls == 2
        assert mx.compile(lambda x: x.tolist())(X) == [1.0, 2.0, 3.0]
    finally:
        mx.enable_compile()
    f(X), f(X)
    assert body.calls == 3


# what is returned


def test_trees_and_other_values_are_returned() -> None:
    marker = object()
    f = mx.compile(lambda x: {"a": x, "b": (3, [x + 1, "q", None]), "c": marker, "d": X})
    for _ in range(3):
        found = f(mx.array(1.0))
        assert found["b"][0] == 3 and found["b"][1][1:] == ["q", None] and found["c"] is marker
        assert found["a"].item() == 1 and found["b"][1][0].item() == 2 and same(found["d"], X)
        found["b"][1].append("mine")
    assert mx.compile(lambda x: None)(X) is None


def test_the_same_value_twice_and_inputs_as_outputs() -> None:
    def f(x: mx.array, y: mx.array) -> tuple[mx.array, ...]:
        z = x * y
        return z, x, z, y

    compiled = mx.compile(f)
    for _ in range(2):
        a, b, c, d = compiled(X, X + 1)
        assert same(a, X * (X + 1)) and same(c, a) and same(b, X) and same(d, X + 1)
        a += 1
        assert same(c, X * (X + 1))


def test_results_that_depend_on_no_argument() -> None:
    weight = mx.array([1.0, 2.0]) * 2
    f = mx.compile(lambda x: (weight, mx.arange(3), x))
    for _ in range(2):
        a, b, _ = f(X)
        assert same(a, np.array([2.0, 4.0], np.float32)) and b.tolist() == [0, 1, 2]
    known = mx.array([5.0])
    assert mx.compile(lambda x: known)(known).item() == 5.0


def test_strided_arguments() -> None:
    f = mx.compile(lambda x, y: x @ y + x.sum())
    base = np.arange(36, dtype=np.float32).reshape(6, 6)
    a = mx.array(base)
    views = [(a, a), (a.T, a), (a, a.T), (a[::-1], a.T), (mx.broadcast_to(a[0], (6, 6)), a)]
    for x, y in views * 2:
        mx.eval(x, y)
        assert np.allclose(f(x, y), np.array(x) @ np.array(y) + np.array(x).sum())


def test_failures_while_running_are_reported() -> None:
    f = mx.compile(lambda x, i: mx.take(x, i) * 2)
    assert same(f(X, mx.array([0, 2])), np.array([2.0, 6.0], np.float32))
    with pytest.raises(IndexError, match=r"\[take\] Index 7"):
        f(X, mx.array([0, 7]))
    assert same(f(X, mx.array([1, 1])), np.array([4.0, 4.0], np.float32))


# arguments


def test_writes_to_arguments_stay_inside() -> None:
    def f(x: mx.array, d: dict[str, Any], items: list[Any]) -> mx.array:
        x[0] = 5.0
        x += 1
        d["a"] = x
        d["new"] = x
        items.append(x)
        return x * d["a"]

    compiled = mx.compile(f)
    x, d, items = mx.array([1.0, 2.0]), {"a": mx.array(1.0)}, [mx.array(2.0)]
    for _ in range(2):
        assert same(compiled(x, d, items), np.array([36.0, 9.0], np.float32))
        assert x.tolist() == [1.0, 2.0] and list(d) == ["a"] and d["a"].item() == 1 and len(items) == 1


def test_keywords_partial_methods_and_decorators() -> None:
    body, f = counted(lambda x, *, scale, y=None: x * scale if y is None else x * scale + y)
    for _ in range(2):
        assert same(f(X, scale=2.0), X * 2) and same(f(X, scale=X, y=X), X * X + X)
    assert body.calls == 2

    class Scaler:
        factor = 3.0

        def scale(self, x: mx.array) -> mx.array:
            return x * self.factor

    assert same(mx.compile(Scaler().scale)(X), X * 3)
    assert same(mx.compile(functools.partial(mx.add, X))(X), X + X)

    @functools.partial(mx.compile, shapeless=True)
    def named(x: mx.array) -> mx.array:
        """Its text."""
        return x

    assert (named.__name__, named.__doc__) == ("named", "Its text.")


def test_named_tuples_and_nested_trees(generator: np.random.Generator) -> None:
    f = mx.compile(lambda tree: tree["a"][0] + tree["a"][1]["b"] * tree["c"])
    for _ in range(2):
        a, b = (mx.array(generator.standard_normal(4, dtype=np.float32)) for _ in range(2))
        assert same(f({"a": [a, {"b": b}], "c": 2.0}), a + b * 2)


@pytest.mark.parametrize(
    "value",
    [1j, object(), mx.float32, np.ones(2), np.int32(3), slice(1), {1}, len, mx.ones],
    ids=lambda value: type(value).__name__,
)
def test_other_arguments_are_refused(value: Any) -> None:
    f = mx.compile(lambda x, y: x)
    with pytest.raises(ValueError, match=rf"\[compile\] .* of type {type(value).__name__}"):
        f(X, value)
    with pytest.raises(ValueError, match=r"\[compile\]"):
        f(X, y=[{"a": value}])


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match=r"\[compile\]"):
        mx.compile(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "use",
    [
        mx.eval,
        lambda x: x.item(),
        lambda x: x.tolist(),
        float,
        bool,
        np.array,
        str,
        lambda x: 1 if x > 1 else 0,
    ],
)
def test_evaluation_inside_is_refused(use: Callable[[mx.array], Any]) -> None:
    f = mx.compile(lambda x: use(x.sum()))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"\[eval\] .* during function transformations like compile"):
            f(X)
    with pytest.raises(ValueError, match=r"\[async_eval\] Not allowed inside a graph transformation"):
        mx.compile(lambda x: mx.async_eval(x))(X)
    assert (X + 1).tolist() == [2.0, 3.0, 4.0]


def test_arrays_of_another_trace_are_refused() -> None:
    leaked: list[mx.array] = []
    mx.compile(lambda x: leaked.append(x * 2))(X)
    with pytest.raises(ValueError, match=r"\[compile\] .* uncaptured inputs"):
        mx.compile(lambda x: x + leaked[0])(X)


# closures


def test_captured_arrays_are_constants() -> None:
    weight = mx.random.normal((3,), key=mx.random.key(1))
    expected = X * mx.random.normal((3,), key=mx.random.key(1))
    f = mx.compile(lambda x: x * weight)
    assert same(f(X), expected)
    kernels = mx.counters()["kernels_run"]
    weight += 1
    assert same(f(X), expected)
    assert mx.counters()["kernels_run"] == kernels + 1  # not computed again


def test_evaluating_a_captured_array_later_changes_nothing() -> None:
    lazy = mx.exp(X)
    f = mx.compile(lambda x: (lazy * x, lazy))
    first = f(X)
    mx.eval(lazy)
    for found, expected in zip(f(X), first):
        assert same(found, expected)
    strided = mx.array(np.ones((4, 3), np.float32))[::-1, 1]
    g = mx.compile(lambda x: lazy.sum() * x)
    assert same(g(X), lazy.sum() * X) and same(g(strided), lazy.sum() * strided)


def test_arguments_are_not_kept() -> None:
    f = mx.compile(lambda x: x * 2 + 1)
    x = mx.array(np.ones(1000, np.float32))
    watch = weakref.ref(x._node)
    f(x)
    del x
    gc.collect()
    assert watch() is None


def test_a_compiled_function_can_go() -> None:
    function = Counted(lambda x: x)
    f = mx.compile(function)
    f(X)
    watch = weakref.ref(function)
    del f, function
    gc.collect()
    assert watch() is None


# arguments that are not evaluated


def test_a_short_function_fuses_with_what_surrounds_it() -> None:
    body, f = counted(lambda x: x * mx.sigmoid(x))
    f(X)

    def surrounded() -> mx.array:
        return mx.exp(f(X + 1) * 2)

    mx.eval(surrounded())
    before = mx.counters()["kernels_run"]
    found = surrounded()
    mx.eval(found)
    assert mx.counters()["kernels_run"] == before + 1 and body.calls == 1
    assert same(found, mx.exp((X + 1) * mx.sigmoid(X + 1) * 2))


def test_a_long_function_computes_its_arguments_first() -> None:
    def f(x: mx.array) -> mx.array:
        for _ in range(100):
            x = x * 0.5 + 1
        return x

    compiled = mx.compile(f)
    for _ in range(2):
        assert same(compiled(X + 1), f(X + 1))


# other transforms


def test_derivatives_inside_and_outside() -> None:
    def f(x: mx.array) -> mx.array:
        return (mx.sin(x) * x).sum()

    expected = mx.grad(f)(X)
    body, gradient = counted(mx.grad(f))
    for _ in range(2):
        assert same(gradient(X), expected)
        assert same(mx.grad(mx.compile(f))(X), expected)
        assert same(mx.compile(mx.grad(mx.compile(f)))(X), expected)
        value, found = mx.compile(mx.value_and_grad(f))(X)
        assert same(value, f(X)) and same(found, expected)
    assert body.calls == 1
    second = mx.grad(lambda x: mx.grad(f)(x).sum())(X)
    assert same(mx.grad(lambda x: mx.compile(mx.grad(f))(x).sum())(X), second)
    outputs, tangents = mx.jvp(mx.compile(f), [X], [X])
    assert same(outputs[0], f(X)) and same(tangents[0], mx.jvp(f, [X], [X])[1][0])


def test_batches_inside_and_outside() -> None:
    def f(x: mx.array, y: mx.array) -> mx.array:
        return mx.softmax(x) * y

    a, b = mx.array(np.eye(3, dtype=np.float32)), X
    expected = mx.vmap(f, in_axes=(0, None))(a, b)
    for _ in range(2):
        assert same(mx.vmap(mx.compile(f), in_axes=(0, None))(a, b), expected)
        assert same(mx.compile(mx.vmap(f, in_axes=(0, None)))(a, b), expected)


def test_nested_compile() -> None:
    inner_body, inner = counted(lambda x: x * 2)
    outer_body, outer = counted(lambda x: inner(x) + inner(x + 1))
    for _ in range(3):
        assert same(outer(X), X * 2 + (X + 1) * 2)
    assert (inner_body.calls, outer_body.calls) == (2, 1)


def test_custom_functions_and_checkpoints_inside() -> None:
    @mx.custom_function
    def f(x: mx.array) -> mx.array:
        return mx.exp(x)

    @f.vjp
    def f_vjp(primals: Any, cotangents: Any, outputs: Any) -> Any:
        return cotangents * 7

    gradient = mx.compile(mx.grad(lambda x: f(x).sum() + mx.checkpoint(mx.sin)(x).sum()))
    for _ in range(2):
        assert np.allclose(gradient(X), 7 + np.cos(np.array(X)))


# threads


def test_several_threads() -> None:
    body, f = counted(lambda x: mx.exp(x) * 2)
    counter = [mx.array(0)]

    def step(x: mx.array) -> mx.array:
        counter[0] = counter[0] + 1
        return x + counter[0]

    compiled = mx.compile(step, inputs=counter, outputs=counter)
    found: list[bool] = []

    def work(number: int) -> None:
        for size in range(1, 20):
            x = mx.array(np.full(size, number, np.float32))
            found.append(np.allclose(f(x), 2 * np.exp(number)))
            mx.eval(compiled(x))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found) and len(found) == 76
    assert counter[0].item() == 76 and body.calls == 19


# async_eval


def test_async_eval() -> None:
    x = mx.array(np.ones((200, 200), np.float32))
    tree = {"a": [mx.exp(x) @ x, 3], "b": x.sum()}
    assert mx.async_eval(tree, None) is None  # type: ignore[func-returns-value]
    y = tree["b"] + 1
    assert y.item() == 40001 and np.allclose(tree["a"][0], 200 * np.e)
    failing = mx.take(x, mx.array([1000]), axis=0)
    mx.async_eval(failing)
    with pytest.raises(IndexError, match="take"):
        mx.eval(failing)
