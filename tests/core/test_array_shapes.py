"""Views, joins, padding and indexed functions: one program in Tarry and in MLX, with the same outcome."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tarry.core as mx
from oracle import mlx, requires_oracle

PROGRAMS = """
mx.reshape(a, (3, -1)) ; mx.reshape(a, (4, -1)) ; mx.reshape(a, (-1, -1)) ; mx.reshape(z, (0, -1))
mx.reshape(z, (-1, )) ; mx.reshape(a, 6) ; mx.reshape(a, (-2, 3)) ; mx.flatten(b) ; mx.flatten(c, 1)
mx.flatten(c, 2, 1) ; mx.flatten(c, 5) ; mx.flatten(c, 0, 5) ; mx.unflatten(c, 2, (2, -1))
mx.unflatten(c, 2, ()) ; mx.unflatten(c, 3, (2, -1)) ; mx.unflatten(c, 2, (3, 2))
mx.transpose(c, (0, 1)) ; mx.transpose(c, (0, 0, 1)) ; mx.transpose(c, (0, 1, 5)) ; mx.transpose(c, 0)
mx.swapaxes(c, 0, 5) ; mx.moveaxis(c, 0, -1) ; mx.moveaxis(c, 5, -1) ; mx.squeeze(c, 0) ; mx.squeeze(c, 5)
mx.squeeze(c, (0, 0)) ; mx.squeeze(mx.zeros((1, 2, 1))) ; mx.squeeze(mx.zeros((1, 2, 1)), -1)
mx.expand_dims(a, (0, -1)) ; mx.expand_dims(a, (0, 0)) ; mx.expand_dims(a, 5)
mx.broadcast_to(a, (4, 2, 3)) ; mx.broadcast_to(a, (3, )) ; mx.broadcast_to(a, (2, -1))
mx.broadcast_to(2.0, (2, )) ; mx.broadcast_arrays(a, b) ; mx.broadcast_arrays()
mx.broadcast_shapes((1, 2), (3, 1)) ; mx.broadcast_shapes((1, 2), (3, 3)) ; mx.broadcast_shapes()
mx.flip(a) ; mx.flip(a, 5) ; mx.flip(a, (0, 1)) ; mx.flip(a, (0, 0)) ; mx.flip(a, ()) ; mx.flip(b)
mx.atleast_2d(b, a) ; mx.atleast_2d(b) ; mx.atleast_3d(a) ; mx.atleast_3d(mx.zeros(5)) ; mx.atleast_1d()
mx.pad(a, 1) ; mx.pad(a, (1, )) ; mx.pad(a, (1, 2)) ; mx.pad(a, [(1, 2)]) ; mx.pad(a, [(1, 2), (0, 1)])
mx.pad(a, [(1, 2), (0, 1), (1, 1)]) ; mx.pad(a, -1) ; mx.pad(a, ((1, ), (1, ))) ; mx.pad(a, 1, 'edge')
mx.pad(a, 1, 'reflect') ; mx.pad(a, 3, 'reflect') ; mx.pad(a, 1, 'symmetric') ; mx.pad(a, 1, 'foo')
mx.pad(a, 1, constant_values=1.7) ; mx.pad(z, 1, 'edge') ; mx.pad(b, 1) ; mx.pad(b, [])
mx.concatenate([a, a], 1) ; mx.concatenate([a, a], None) ; mx.concatenate([])
mx.concatenate([a, mx.zeros((2, ))]) ; mx.concatenate([a, mx.zeros((3, 3))], 1)
mx.concatenate([a, a], 5) ; mx.concatenate([b, b]) ; mx.concatenate([a, 1.0]) ; mx.concatenate(a)
mx.concatenate([a, mx.zeros((2, 1), mx.float16)], 1) ; mx.stack([a, a], 2) ; mx.stack([a, a], None)
mx.stack([]) ; mx.stack([a, a], 3) ; mx.stack([a, mx.zeros((2, ))]) ; mx.stack([a, a.astype(mx.float16)])
mx.stack([b, b]) ; mx.split(a, 3, 1) ; mx.split(a, 2, 1) ; mx.split(a, 0, 1) ; mx.split(a, -1, 1)
mx.split(a, [1], 1) ; mx.split(a, (1, 2), 1) ; mx.split(a, [2, 1], 1) ; mx.split(a, [5], 1)
mx.split(a, [-1], 1) ; mx.split(a, 2, 5) ; mx.split(a, [], 1) ; mx.split(b, 1) ; mx.repeat(a, 2)
mx.repeat(a, 2, 1) ; mx.repeat(a, 0, 1) ; mx.repeat(a, -1, 1) ; mx.repeat(b, 2) ; mx.repeat(a, 2, 5)
mx.tile(a, 2) ; mx.tile(a, (2, )) ; mx.tile(a, (2, 1, 1)) ; mx.tile(a, ()) ; mx.tile(a, 0)
mx.tile(a, -1) ; mx.roll(a, 1) ; mx.roll(a, 1, 1) ; mx.roll(a, (1, 2), (0, 1)) ; mx.roll(a, (1, 2))
mx.roll(a, 1, (0, 1)) ; mx.roll(a, (1, 2), 0) ; mx.roll(a, (1, 2, 3), (0, 1)) ; mx.roll(z, 1, 0)
mx.roll(a, -4, 1) ; mx.roll(a, 1, 5) ; mx.unstack(a) ; mx.unstack(a, axis=1) ; mx.unstack(b)
mx.unstack(a, axis=4) ; mx.meshgrid(mx.arange(2), mx.arange(3))
mx.meshgrid(mx.arange(2), mx.arange(3), indexing='ij')
mx.meshgrid(mx.arange(2), mx.arange(3), sparse=True)
mx.meshgrid(mx.arange(2), mx.arange(3), indexing='foo') ; mx.meshgrid(mx.arange(2)) ; mx.meshgrid()
mx.meshgrid(a, mx.arange(2)) ; mx.meshgrid(b, mx.arange(2)) ; mx.diagonal(a) ; mx.diagonal(a, 1)
mx.diagonal(a, 5) ; mx.diagonal(a, -5) ; mx.diagonal(c, 0, 1, 2) ; mx.diagonal(c, 0, 1, 1)
mx.diagonal(c, 0, 1, 5) ; mx.diagonal(b) ; mx.diag(mx.arange(2)) ; mx.diag(mx.arange(2), 1)
mx.diag(mx.arange(2), -1) ; mx.diag(a, 1) ; mx.diag(c) ; mx.diag(b) ; mx.as_strided(a, (2, 2), (1, 1), 1)
mx.as_strided(a) ; mx.view(a, mx.int16) ; mx.view(a, mx.int64) ; mx.view(a, mx.float32)
mx.view(1.0, mx.int32) ; mx.contiguous(a) ; mx.take(a, i, 0) ; mx.take(a, 1, 1) ; mx.take(a, 1)
mx.take(a, mx.array([[0, 1]])) ; mx.take(a, i, 5) ; mx.take(z, mx.array([0]), 0)
mx.take(z, mx.array([], mx.int32), 0) ; mx.take(a, mx.array([0.5]), 0) ; mx.take(a, mx.array([True]), 0)
mx.take(b, mx.array([0])) ; mx.take(b, 0) ; mx.take_along_axis(a, mx.array([[0], [1]]), 1)
mx.take_along_axis(a, mx.array([[0, 1]]), 1) ; mx.take_along_axis(a, i, None)
mx.take_along_axis(a, i, 1) ; mx.take_along_axis(a, mx.array([[0], [1], [1]]), 1)
mx.take_along_axis(a, mx.array([[0]]), 5) ; mx.put_along_axis(a, mx.array([[0], [1]]), mx.array(9.7), 1)
mx.put_along_axis(a, mx.array([[0], [1]]), mx.array([1, 2]), 1)
mx.put_along_axis(a, mx.array([0, 5]), mx.array([10, 20]), None)
mx.put_along_axis(a, mx.array([[0, 1]]), mx.array([[7, 8]]), 1)
mx.slice(a, mx.array([1]), (1, ), (2, 2)) ; mx.slice(a, mx.array(1), (1, ), (2, 2))
mx.slice(a, mx.array([1, 1]), (1, ), (2, 2)) ; mx.slice(a, mx.array([1.0]), (1, ), (2, 2))
mx.slice(a, mx.array([1]), (1, ), (2, )) ; mx.slice(a, mx.array([1]), (1, ), (2, 5))
mx.slice_update(a, mx.array([[9, 9]]), mx.array([1, 1]), (0, 1))
mx.slice_update(a, mx.array(9.5), mx.array([1, 1]), (0, 1))
mx.slice_update(a, mx.array([9]), mx.array([1]), (1, )) ; mx.matrix_transpose(c)
mx.matrix_transpose(mx.zeros(3)) ; mx.positive(a)
"""


def outcome(module: Any, program: str) -> Any:
    names = {
        "mx": module,
        "a": module.arange(6).reshape(2, 3),
        "b": module.array(5),
        "c": module.arange(24).reshape(2, 3, 4).astype(module.float32),
        "i": module.array([0, 1]),
        "z": module.zeros((0, 3)),
    }
    try:
        found = eval(program, names)
    except Exception as error:
        return type(error).__name__
    return describe(found)


def describe(found: Any) -> Any:
    if isinstance(found, (list, tuple)):
        return type(found), [describe(item) for item in found]
    if isinstance(found, int):
        return found
    return repr(found.dtype), found.shape, found.tolist()


@requires_oracle
@pytest.mark.parametrize("program", PROGRAMS.strip().replace("\n", " ; ").split(" ; "))
def test_same_as_mlx(program: str) -> None:
    assert outcome(mx, program) == outcome(mlx, program)


def test_sizes_do_not_compile_again() -> None:
    def work(count: int) -> Any:
        a = mx.array(np.arange(2 * count, dtype=np.float32).reshape(2, count))
        joined = mx.concatenate([a, mx.pad(a, [(0, 0), (count, 1)])], 1)
        return mx.roll(joined, 2, 1) + 1

    mx.eval(work(5))
    before = mx.counters()["plans_built"]
    for count in (4, 7, 9):
        mx.eval(work(count))
    assert mx.counters()["plans_built"] == before


@pytest.mark.parametrize("source", ["uint8", "int16", "float32", "float64", "bool", "complex64", "float16"])
@pytest.mark.parametrize("target", ["uint8", "int16", "uint32", "int64", "float32", "float64", "float16"])
def test_bits_read_as_other_dtypes(source: str, target: str, generator: np.random.Generator) -> None:
    values = generator.integers(0, 2 if source == "bool" else 100, (3, 8)).astype(source)
    module_dtypes = {name: getattr(mx, "bool_" if name == "bool" else name) for name in (source, target)}
    found = mx.view(mx.array(values, module_dtypes[source]), module_dtypes[target])
    np.testing.assert_array_equal(np.array(found).view(np.uint8), values.view(target).view(np.uint8))


def test_regions_outside_raise() -> None:
    with pytest.raises(IndexError):
        mx.eval(mx.slice(mx.arange(4), mx.array([3]), (0,), (2,)))
    with pytest.raises(ValueError, match="inside"):
        mx.as_strided(mx.arange(4), (3,), (2,))
    with pytest.raises(ValueError, match="belong"):
        mx.as_strided(mx.arange(4), (2, 2), (1,))
    with pytest.raises(TypeError, match="reshape"):
        mx.reshape(mx.arange(4), 4)  # type: ignore[arg-type]


def test_contiguous_moves_the_values() -> None:
    x = mx.arange(6).reshape(2, 3)
    mx.eval(x)
    turned = np.asarray(mx.contiguous(x.T))
    assert turned.flags.c_contiguous and turned.tolist() == [[0, 3], [1, 4], [2, 5]]
    view = x.T
    mx.eval(view)
    kept = np.asarray(mx.contiguous(view, allow_col_major=True))
    assert kept.flags.f_contiguous and kept.tolist() == turned.tolist()
    assert mx.contiguous(x) is not x and mx.contiguous(x)._node is x._node
