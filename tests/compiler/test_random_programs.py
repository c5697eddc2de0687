"""Random programs of elementwise ops, reductions and views on random shapes, against NumPy.

A program is a list of values that grows: each step makes a new one of those that are there. Some are wanted
in the end; what is not is dropped before evaluation, so that the compiler is free to fuse it away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tarry.core as mx

EXTENTS = (0, 1, 2, 3, 5, 8, 17)
MOST_ELEMENTS = 3000

Pair = tuple[mx.array, np.ndarray]

FLOAT_UNARY: list[tuple[Any, Any]] = [
    (mx.tanh, np.tanh),
    (mx.sin, np.sin),
    (mx.abs, np.abs),
    (mx.negative, np.negative),
    (lambda x: mx.exp(-mx.abs(x)), lambda x: np.exp(-np.abs(x))),
    (lambda x: mx.sqrt(mx.abs(x) + 1.0), lambda x: np.sqrt(np.abs(x) + 1)),
    (lambda x: x * 0.5 - 0.25, lambda x: x * 0.5 - 0.25),
    (lambda x: 1.0 / (mx.square(x) + 1.0), lambda x: 1 / (np.square(x) + 1)),
]
INTEGER_UNARY: list[tuple[Any, Any]] = [
    (mx.negative, np.negative),
    (mx.abs, np.abs),
    (lambda x: x * 3 + 7, lambda x: x * np.int32(3) + np.int32(7)),
    (lambda x: x // 5, lambda x: x // np.int32(5)),
    (lambda x: x % 11, lambda x: x % np.int32(11)),
    (lambda x: (x > 4).astype(mx.int32), lambda x: (x > 4).astype(np.int32)),
    (lambda x: mx.where(x % 2 == 0, x, -x), lambda x: np.where(x % 2 == 0, x, -x)),
    (lambda x: x ^ 21, lambda x: x ^ np.int32(21)),
]
BINARY: list[tuple[Any, Any]] = [
    (mx.add, np.add),
    (mx.subtract, np.subtract),
    (mx.maximum, np.maximum),
    (mx.minimum, np.minimum),
]


class Tape:
    """Draws that can be given once more, so that a program can be run twice."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.drawn: list[Any] = []
        self.place = 0

    def draw(self, strategy: st.SearchStrategy[Any]) -> Any:
        if self.place == len(self.drawn):
            self.drawn.append(self.data.draw(strategy))
        self.place += 1
        return self.drawn[self.place - 1]

    def rewind(self) -> None:
        self.place = 0


class Program:
    """Draws steps and keeps both sides of every value; `leaves` replace the first values of a second run."""

    def __init__(self, tape: Tape, integer: bool, leaves: Sequence[mx.array] = ()) -> None:
        self.tape = tape
        self.integer = integer
        self.values: list[Pair] = []
        tape.rewind()
        for number in range(self.draw(1, 2, 3)):
            self.add_leaf()
            if leaves:
                self.values[number] = (leaves[number], self.values[number][1])
        self.leaves = len(self.values)
        for _ in range(1 + self.below(12)):
            self.step()

    def draw(self, *choices: Any) -> Any:
        return self.tape.draw(st.sampled_from(choices))

    def below(self, limit: int) -> int:
        return self.tape.draw(st.integers(0, limit - 1))

    def pick(self) -> Pair:
        # The latest values make long chains, the others sharing.
        return self.values[-1 - self.below(min(3, len(self.values)))]

    def add_leaf(self) -> None:
        rank = self.below(4)
        shape = tuple(self.draw(*EXTENTS) for _ in range(rank))
        generator = np.random.default_rng(self.below(1000))
        if self.integer:
            values = generator.integers(-50, 50, shape, dtype=np.int32)
            self.values.append((mx.array(values), values))
            return
        values = generator.standard_normal(shape).astype(np.float32)
        # Shapes of rank 0 give NumPy scalars; asarray keeps them arrays.
        self.values.append((mx.array(np.asarray(values)), np.asarray(values, np.float64)))

    def step(self) -> None:
        kind = self.draw(
            "unary", "unary", "binary", "binary", "reduce", "spread", "view", "view", "join", "take"
        )
        x, reference = self.pick()
        found = getattr(self, kind)(x, reference)
        if found is None:
            return
        value, expected = found
        if expected.size <= MOST_ELEMENTS:
            self.values.append((value, np.asarray(expected, reference.dtype)))

    def unary(self, x: mx.array, reference: np.ndarray) -> Pair:
        function, expected = self.draw(*(INTEGER_UNARY if self.integer else FLOAT_UNARY))
        return function(x), expected(reference)

    def binary(self, x: mx.array, reference: np.ndarray) -> Pair | None:
        y, other = self.values[self.below(len(self.values))]
        try:
            np.broadcast_shapes(reference.shape, other.shape)
        except ValueError:
            y, other = self.unary(x, reference)
        function, expected = self.draw(*BINARY)
        return function(x, y), expected(reference, other)

    def reduce(self, x: mx.array, reference: np.ndarray) -> Pair | None:
        if reference.ndim == 0:
            return None
        axes = tuple(axis for axis in range(reference.ndim) if self.below(2)) or (self.below(reference.ndim),)
        keep = bool(self.below(2))
        name = self.draw("sum", "max", "min") if self.integer else self.draw("mean", "max", "min")
        if any(reference.shape[axis] == 0 for axis in axes) and name != "sum":
            return None
        function, expected = getattr(mx, name), getattr(np, name)
        return function(x, axis=axes, keepdims=keep), expected(reference, axis=axes, keepdims=keep)

    def spread(self, x: mx.array, reference: np.ndarray) -> Pair | None:
        """A row value meets the rows it came from, as in softmax."""
        if reference.ndim == 0 or reference.shape[-1] == 0:
            return None
        return x - mx.max(x, axis=-1, keepdims=True), reference - reference.max(axis=-1, keepdims=True)

    def view(self, x: mx.array, reference: np.ndarray) -> Pair | None:
        kind = self.draw("reshape", "transpose", "slice", "broadcast", "expand", "pad", "flatten")
        if kind == "flatten":
            return mx.reshape(x, (reference.size,)), reference.reshape(reference.size)
        if kind == "reshape":
            shape = self._factors(reference.size)
            return mx.reshape(x, shape), reference.reshape(shape)
        if kind == "transpose":
            axes = tuple(self.tape.draw(st.permutations(range(reference.ndim))))
            return (mx.transpose(x, axes), reference.transpose(axes)) if axes else None
        if kind == "broadcast":
            shape = (self.draw(1, 2, 3), *(self.draw(1, 4) if e == 1 else e for e in reference.shape))
            return mx.broadcast_to(x, shape), np.broadcast_to(reference, shape)
        if kind == "expand":
            axis = self.below(reference.ndim + 1)
            return mx.expand_dims(x, axis), np.expand_dims(reference, axis)
        if reference.ndim == 0:
            return None
        if kind == "pad":
            widths = [(self.below(3), self.below(3)) for _ in reference.shape]
            return mx.pad(x, widths), np.pad(reference, widths)
        index = tuple(self._slice(extent) for extent in reference.shape)
        return x[index], reference[index]

    def _slice(self, extent: int) -> slice:
        step = self.draw(1, 1, 2, -1, -2, 3)
        start, stop = self.below(extent + 1), self.below(extent + 1)
        if self.below(2):
            return slice(None, None, step)
        return slice(min(start, stop), max(start, stop), step) if step > 0 else slice(start, None, step)

    def _factors(self, size: int) -> tuple[int, ...]:
        if size == 0:
            return self.draw((0,), (0, 3), (2, 0, 1))
        shape: list[int] = []
        for factor in (2, 3, 5):
            if size % factor == 0 and self.below(2):
                shape.append(factor)
                size //= factor
        shape.insert(self.below(len(shape) + 1), size)
        return tuple(shape)

    def join(self, x: mx.array, reference: np.ndarray) -> Pair | None:
        if reference.ndim == 0:
            return None
        axis = self.below(reference.ndim)
        y, other = self.unary(x, reference)
        if self.below(2):
            return mx.concatenate([x, y, x], axis), np.concatenate([reference, other, reference], axis)
        return mx.stack([y, x], axis), np.stack([other, reference], axis)

    def take(self, x: mx.array, reference: np.ndarray) -> Pair | None:
        if reference.ndim == 0:
            return None
        axis = self.below(reference.ndim)
        extent = reference.shape[axis]
        if extent == 0:
            return None
        index = np.array([self.below(2 * extent) - extent for _ in range(self.draw(1, 3, 4))], np.int32)
        return mx.take(x, mx.array(index), axis=axis), np.take(reference, index % extent, axis)


def run(data: st.DataObject, integer: bool) -> None:
    program = Program(Tape(data), integer)
    count = program.draw(1, 2, 3)
    wanted = {len(program.values) - 1} | {program.below(len(program.values)) for _ in range(count)}
    outputs = [program.values[number] for number in sorted(wanted)]
    del program
    mx.eval([value for value, _ in outputs])
    for value, expected in outputs:
        found = np.array(value)
        assert found.shape == expected.shape
        if integer:
            assert np.array_equal(found, expected)
        else:
            assert np.allclose(found, expected, rtol=1e-3, atol=1e-4)


checked = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


@checked
@given(st.data())
def test_float_programs(data: st.DataObject) -> None:
    run(data, integer=False)


@checked
@given(st.data())
def test_integer_programs(data: st.DataObject) -> None:
    with np.errstate(over="ignore"):
        run(data, integer=True)


@settings(checked, max_examples=40)
@given(st.data())
def test_derivatives_agree(data: st.DataObject) -> None:
    """The derivative along a direction is the same forward (jvp) and backward (vjp)."""
    tape = Tape(data)
    program = Program(tape, integer=False)
    leaves = [value for value, _ in program.values[: program.leaves]]

    def loss(*leaves: mx.array) -> mx.array:
        values = Program(tape, False, leaves).values
        return mx.sum(mx.tanh(values[-1][0])) + mx.sum(mx.sin(values[len(values) // 2][0]))

    direction = [mx.cos(3.0 * leaf) for leaf in leaves]
    forward = mx.jvp(loss, leaves, direction)[1][0].item()
    gradients = mx.vjp(loss, leaves, [mx.array(1.0)])[1]
    terms = [np.array(g * d, np.float64).ravel() for g, d in zip(gradients, direction)]
    every = np.concatenate(terms)
    assert np.isclose(forward, every.sum(), rtol=1e-3, atol=1e-3 + 1e-5 * np.abs(every).sum())
