"""Values computed by functions of the host: NumPy and SciPy on the buffers of a plan.

A `Call` is recorded like any operation and runs as a step of its own between native kernels. It may have
several results. Each is a node with the same inputs, and the compiler makes one step of all that meet in a
program:

    %1: complex64[4] = Eig(0) %0
    %2: complex64[4, 4] = Eig(1) %0
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from tarry.base.dtypes import Dtype
from tarry.base.errors import UserCall, user_call
from tarry.base.shapes import Shape
from tarry.graph.array import array, wrap
from tarry.graph.node import Node
from tarry.graph.primitive import Primitive, intern_key
from tarry.graph.subgraph import Subgraph, make_output
from tarry.graph.tracing import is_transforming
from tarry.ops.structure import batch_to_front

NumPyArray = np.ndarray[Any, Any]
ResultType = tuple[Shape, Dtype]

# Functions of this package that are no operations of the user.
_RULES = {"vjp", "jvp", "vmap", "pull_back", "push_forward"}


class CallError(Exception):
    """A call cannot give its result for these values: a singular matrix, no convergence."""


class Call(Primitive):
    """Result `number` of a function of the host. `options` are its structural parameters.

    All inputs have the same leading batch dimensions, and `compute` takes them as they are, so that vmap
    only adds one more. Rules of differentiation are written for all results at once.
    """

    # Native code of this name computes it, where there is any; else `compute` does.
    routine: ClassVar[str] = ""
    # The function of the user that errors name where a rule of differentiation makes the call.
    public: ClassVar[str] = ""
    reads_strides = True

    __slots__ = ("call", "number", "options")

    def __init__(self, *options: Any, number: int = 0) -> None:
        self.options = options
        self.number = number
        # The same for all results of a call.
        self.call = intern_key((type(self), "call", *options))
        super().__init__()

    def params(self) -> tuple[object, ...]:
        return (self.number, *self.options)

    def result_of(self) -> int:
        return self.call

    def types(self, inputs: Sequence[array]) -> list[ResultType]:
        """Shape and dtype of every result."""
        raise NotImplementedError

    def compute(
        self, inputs: Sequence[NumPyArray], outputs: Sequence[NumPyArray | None]
    ) -> Sequence[NumPyArray]:
        """All results, computed from inputs that may have any strides and must not be changed.

        `outputs` are where the results go to, with None for those nobody needs; one that was computed in
        place may be given back. CallError or LinAlgError when there is no result.
        """
        raise NotImplementedError

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        """The cotangents of all inputs from those of the results; None stands for zero."""
        raise ValueError(f"[{self.public or self.name}] has no gradient.")

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        """The tangents of all results from those of the inputs, at least one of which is not None."""
        raise ValueError(f"[{self.public or self.name}] has no forward derivative.")

    def with_number(self, number: int) -> Call:
        return type(self)(*self.options, number=number)

    def _results(self, inputs: Sequence[array], output: array) -> list[array]:
        """All results of the call that `output` is one of."""
        types = self.types(inputs)
        where = output._node.call or _call_of(self)
        return [
            output if number == self.number else wrap(_node(self.with_number(number), inputs, kind, where))
            for number, kind in enumerate(types)
        ]

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        results = self._results(inputs, output)
        cotangents: list[array | None] = [None] * len(results)
        cotangents[self.number] = cotangent
        found = self.pull_back(inputs, results, cotangents)
        return [found[number] for number in wanted]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        return self.push_forward(inputs, self._results(inputs, output), tangents)[self.number]

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        batched = [batch_to_front(value, axis, size) for value, axis in zip(inputs, axes)]
        kind = self.types(batched)[self.number]
        return wrap(_node(self, batched, kind, output._node.call or _call_of(self))), 0

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.params()))})"


class FlatCall(Call):
    """A call whose results stay the same where inputs change a little, such as places: derivatives are 0."""

    __slots__ = ()

    def pull_back(
        self, inputs: Sequence[array], results: Sequence[array], cotangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        return [None] * len(inputs)

    def push_forward(
        self, inputs: Sequence[array], results: Sequence[array], tangents: Sequence[array | None]
    ) -> Sequence[array | None]:
        return [None] * len(results)


def call(primitive: Call, *inputs: array) -> list[array]:
    """All results of a call."""
    where = _call_of(primitive)
    nodes = [
        _node(primitive.with_number(number), inputs, kind, where)
        for number, kind in enumerate(primitive.types(inputs))
    ]
    if len(nodes) > 1 and not is_transforming():
        # As outputs of one invocation they are computed together, whichever of them is asked for first.
        sources = list(dict.fromkeys(value._node for value in inputs))
        invocation = Subgraph(sources, nodes).invoke(sources)
        nodes = [make_output(invocation, number) for number in range(len(nodes))]
    return [wrap(node) for node in nodes]


def _node(primitive: Call, inputs: Sequence[array], kind: ResultType, where: UserCall) -> Node:
    shape, dtype = kind
    return Node(primitive, tuple([value._node for value in inputs]), shape, dtype, None, where)


def _call_of(primitive: Call) -> UserCall:
    """What the user called; the function that the call belongs to where a transform makes it."""
    found = user_call()
    if found.name in _RULES:
        found.name = primitive.public or primitive.name
    return found


_functions: dict[tuple[str, str], Callable[..., Any]] = {}


def library_function(module: str, name: str) -> Callable[..., Any]:
    """A function of a library that is loaded when it is first needed: few programs do."""
    found = _functions.get((module, name))
    if found is None:
        found = getattr(importlib.import_module(module), name)
        _functions[module, name] = found
    return found


_LAPACK_LETTERS = {"f": "s", "d": "d", "F": "c", "D": "z"}


def lapack(routine: str, value: NumPyArray) -> Callable[..., Any]:
    """A LAPACK routine for matrices of the dtype of `value`."""
    return library_function("scipy.linalg.lapack", _LAPACK_LETTERS[value.dtype.char] + routine)
