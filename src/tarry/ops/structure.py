"""The View and Reduction families, and the ops that are each other's transpose: Broadcast and Sum,
Transpose with itself, Reshape with itself.

A view moves no data: it says for a position of its output where the value stands in an input. The compiler
substitutes the position (`pull`), so views cost nothing in a fused kernel, and a view of evaluated values is
just other strides. A reduction keeps its axes with extent 1; dropping them is a reshape.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import ClassVar

from tarry.base.dtypes import Dtype
from tarry.base.shapes import Shape, reshape_groups, size_of
from tarry.graph.array import array
from tarry.graph.primitive import Primitive
from tarry.loops.builder import Builder
from tarry.loops.ir import Instr
from tarry.loops.poly import NOWHERE, Affine, Poly
from tarry.ops.build import build_on

Position = Sequence[Affine]


class ViewSizes:
    """The symbolic sizes a view may use: shapes of inputs and output, and its run-time arguments."""

    __slots__ = ("arguments", "inputs", "output")

    def __init__(
        self, inputs: Sequence[tuple[Poly, ...]], output: tuple[Poly, ...], arguments: tuple[Poly, ...]
    ) -> None:
        self.inputs = inputs
        self.output = output
        self.arguments = arguments


class Condition:
    """low <= position, or position < high: whichever bound is given."""

    __slots__ = ("high", "low", "position")

    def __init__(self, position: Affine, low: Poly | None = None, high: Poly | None = None) -> None:
        self.position = position
        self.low = low
        self.high = high


class Piece:
    """Where its conditions hold, the output's value is that of input `number` at `position`."""

    __slots__ = ("conditions", "number", "position")

    def __init__(self, number: int, position: Position, conditions: Sequence[Condition] = ()) -> None:
        self.number = number
        self.position = tuple(position)
        self.conditions = tuple(conditions)


class View(Primitive):
    """An op that only says where its values come from."""

    barrier = False
    moves = True

    def pull(self, position: Position, sizes: ViewSizes) -> list[Piece]:
        """The sources of the output's value at `position`: the first piece whose conditions hold.

        The last piece has no conditions.
        """
        raise NotImplementedError(self.name)


class Reduction(Primitive):
    """Combines the values along `axes`, which stay with extent 1."""

    shaped: ClassVar[bool] = False
    barrier = False
    combiner: ClassVar[str] = ""

    __slots__ = ("axes",)

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes
        super().__init__()

    def params(self) -> tuple[object, ...]:
        return (self.axes,)

    def accumulated(self, dtype: Dtype) -> tuple[Dtype, ...]:
        """The dtypes of the accumulator's components for inputs of this dtype."""
        return (dtype,)

    def prepare(self, builder: Builder, value: Instr, place: Instr | None) -> tuple[Instr, ...]:
        """What one element contributes; `place` is its int64 position along the axes if `uses_place`."""
        return (value,)

    uses_place: ClassVar[bool] = False

    def result(self, builder: Builder, components: Sequence[Instr]) -> Instr:
        """The output from the accumulator's components."""
        return components[0]

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        batched = move_axis(inputs[0], require_axis(axes[0]), 0)
        shifted = type(self)(tuple([axis + 1 for axis in self.axes]))
        return apply_reduction(shifted, batched, output.dtype), 0


def require_axis(axis: int | None) -> int:
    """The batch axis of an op with a single input, which is batched or vmap would not have asked."""
    assert axis is not None
    return axis


@functools.lru_cache(4096)
def reduction(kind: Callable[[tuple[int, ...]], Reduction], axes: tuple[int, ...]) -> Reduction:
    """The reduction of a kind over axes; the same object every time."""
    return kind(axes)


def apply_reduction(primitive: Reduction, value: array, dtype: Dtype | None) -> array:
    """The reduction of `value` with its axes kept."""
    node = value._node
    shape = reduced_shape(node.shape, primitive.axes)
    return build_on(primitive, (node,), shape, node.dtype if dtype is None else dtype)


@functools.lru_cache(4096)
def reduced_shape(shape: Shape, axes: tuple[int, ...]) -> Shape:
    """The shape with extent 1 along the axes."""
    return tuple([1 if axis in axes else extent for axis, extent in enumerate(shape)])


@functools.lru_cache(4096)
def remaining_shape(shape: Shape, axes: tuple[int, ...]) -> Shape:
    """The shape without the axes."""
    return tuple([extent for axis, extent in enumerate(shape) if axis not in axes])


class Sum(Reduction):
    name = "Sum"
    combiner = "sum"
    __slots__ = ()

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        return [broadcast(cotangent, inputs[0].shape)]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        return None if tangents[0] is None else sum_axes(tangents[0], self.axes)


def sum_axes(value: array, axes: tuple[int, ...]) -> array:
    """The sum over `axes`, kept with extent 1, in the array's own dtype."""
    return apply_reduction(reduction(Sum, axes), value, None) if axes else value


class Broadcast(View):
    """Repeats along dimensions of extent 1 and along new ones in front."""

    name = "Broadcast"
    shows_all = True
    __slots__ = ()

    def pull(self, position: Position, sizes: ViewSizes) -> list[Piece]:
        source = sizes.inputs[0]
        present = position[len(position) - len(source) :]
        kept = [at if source[axis].constant != 1 else NOWHERE for axis, at in enumerate(present)]
        return [Piece(0, kept)]

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        shape = inputs[0].shape
        return [reshaped(sum_axes(cotangent, repeated_axes(shape, cotangent.shape)), shape)]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        return None if tangents[0] is None else broadcast(tangents[0], output.shape)

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        batched = move_axis(inputs[0], require_axis(axes[0]), 0)
        missing = len(output.shape) - (batched.ndim - 1)
        aligned = reshaped(batched, (size, *(1,) * missing, *batched.shape[1:]))
        return broadcast(aligned, (size, *output.shape)), 0


def repeated_axes(source: Shape, target: Shape) -> tuple[int, ...]:
    """The axes of `target` that a broadcast of `source` repeats along or adds."""
    missing = len(target) - len(source)
    repeated = [a for a in range(missing, len(target)) if source[a - missing] == 1 and target[a] != 1]
    return (*range(missing), *repeated)


_BROADCAST = Broadcast()


def broadcast(value: array, shape: Shape) -> array:
    """`value` repeated to `shape`, which it is known to broadcast to."""
    node = value._node
    source = node.shape
    if source == shape:
        return value
    return build_on(_BROADCAST, (node,), shape, node.dtype)


class Transpose(View):
    """Output axis k is input axis `permutation[k]`."""

    name = "Transpose"
    shows_all = True
    shaped = False
    __slots__ = ("permutation",)

    def __init__(self, permutation: tuple[int, ...]) -> None:
        self.permutation = permutation
        super().__init__()

    def params(self) -> tuple[object, ...]:
        return (self.permutation,)

    def pull(self, position: Position, sizes: ViewSizes) -> list[Piece]:
        source: list[Affine] = [NOWHERE] * len(position)
        for axis, number in enumerate(self.permutation):
            source[number] = position[axis]
        return [Piece(0, source)]

    def inverse(self) -> tuple[int, ...]:
        inverted = [0] * len(self.permutation)
        for axis, number in enumerate(self.permutation):
            inverted[number] = axis
        return tuple(inverted)

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        return [permute(cotangent, self.inverse())]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        return None if tangents[0] is None else permute(tangents[0], self.permutation)

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        batched = move_axis(inputs[0], require_axis(axes[0]), 0)
        return permute(batched, (0, *[axis + 1 for axis in self.permutation])), 0


def permute(value: array, permutation: tuple[int, ...]) -> array:
    """`value` with its axes in another order, given as non-negative axes."""
    primitive = transposition(permutation)
    if primitive is None:
        return value
    node = value._node
    shape = node.shape
    target = tuple([shape[axis] for axis in permutation])
    return build_on(primitive, (node,), target, node.dtype)


@functools.lru_cache(4096)
def transposition(permutation: tuple[int, ...]) -> Transpose | None:
    """The operation that reorders axes; None when they stay."""
    return None if permutation == tuple(range(len(permutation))) else Transpose(permutation)


def move_axis(value: array, source: int, destination: int) -> array:
    """`value` with one axis elsewhere and the others in order; axes are non-negative."""
    order = [axis for axis in range(value.ndim) if axis != source]
    order.insert(destination, source)
    return permute(value, tuple(order))


class Reshape(View):
    """The same values in row-major order under another shape; `groups` says which dimensions become which."""

    name = "Reshape"
    shows_all = True
    __slots__ = ("groups",)

    def __init__(self, groups: tuple[tuple[int, int, int, int], ...]) -> None:
        self.groups = groups
        super().__init__()

    def params(self) -> tuple[object, ...]:
        return (self.groups,)

    def pull(self, position: Position, sizes: ViewSizes) -> list[Piece]:
        raise AssertionError("the compiler pulls reshapes through runs of dimensions")

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        return [reshaped(cotangent, inputs[0].shape)]

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        return None if tangents[0] is None else reshaped(tangents[0], output.shape)

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        return reshaped(move_axis(inputs[0], require_axis(axes[0]), 0), (size, *output.shape)), 0


def reshaped(value: array, shape: Shape) -> array:
    """`value` under another shape of the same size."""
    node = value._node
    if node.shape == shape:
        return value
    return build_on(reshape(node.shape, shape), (node,), shape, node.dtype)


@functools.lru_cache(4096)
def reshape(source: Shape, target: Shape) -> Reshape:
    """The operation between two shapes of the same size."""
    if size_of(source) == 0:
        return Reshape(((0, len(source), 0, len(target)),))
    return Reshape(tuple([group.key() for group in reshape_groups(source, target)]))


def batch_to_front(value: array, axis: int | None, size: int) -> array:
    """`value` with its batch axis first, repeated along a new one if it has none."""
    if axis is not None:
        return move_axis(value, axis, 0)
    return broadcast(reshaped(value, (1, *value.shape)), (size, *value.shape))
