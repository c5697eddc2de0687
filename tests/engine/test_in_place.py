"""Updates in a loop change the array's own memory when nobody else can see it, and only then."""

from __future__ import annotations

import numpy as np

import tarry.core as mx
from tarry.ops import build


def address(a: mx.array) -> int:
    mx.eval(a)
    storage = a._node.storage
    assert storage is not None
    return storage.buffer.address


def test_a_loop_of_updates_copies_nothing() -> None:
    a = mx.zeros((64, 32))
    first = address(a)
    before = mx.counters()["bytes_copied"]
    for i in range(10):
        a[i, :] = float(i)
        assert address(a) == first
    assert mx.counters()["bytes_copied"] == before
    np.testing.assert_array_equal(np.array(a)[:10, 0], np.arange(10))


def test_scatters_too() -> None:
    a = mx.zeros((8,))
    first = address(a)
    a[mx.array([1, 5, 1])] = mx.array([1.0, 2.0, 3.0])
    assert address(a) == first
    assert a.tolist() == [0, 3, 0, 0, 0, 2, 0, 0]


def test_other_references_keep_their_values() -> None:
    a = mx.zeros((8,))
    mx.eval(a)
    alias = mx.array(a)
    view = a[2:4]
    mx.eval(view)
    a[2] = 1.0
    assert a.tolist()[2] == 1.0
    assert alias.tolist() == [0.0] * 8
    assert view.tolist() == [0.0, 0.0]


def test_numpy_views_keep_their_values() -> None:
    a = mx.zeros((4,))
    seen = np.asarray(a)
    a[0] = 5.0
    assert a.tolist() == [5.0, 0.0, 0.0, 0.0]
    assert seen.tolist() == [0.0] * 4


def test_reading_and_writing_in_one_graph() -> None:
    a = mx.arange(6).astype(mx.float32)
    mx.eval(a)
    a[0:3] = a[3:6]
    total = mx.sum(a)
    mx.eval(a, total)
    assert a.tolist() == [3, 4, 5, 3, 4, 5]
    assert total.item() == 24


def test_gradients_see_the_value_before() -> None:
    def loss(x: mx.array) -> mx.array:
        y = mx.square(x)
        mx.eval(y)
        y[0] = 0.0
        mx.eval(y)
        return mx.sum(y)

    assert mx.grad(loss)(mx.array([1.0, 2.0])).tolist() == [0.0, 4.0]


def test_a_loop_that_never_evaluates_stays_small(monkeypatch) -> None:
    monkeypatch.setattr(build, "MOST_RECORDED", 500)
    build.restart_count()
    x, step = mx.array([1.0, 2.0]), mx.array([0.5, 0.5])
    built = mx.counters()["plans_built"]
    for _ in range(3000):
        x = x + step
    assert mx.counters()["plans_built"] - built <= 4
    assert x.tolist() == [1501.0, 1502.0]
