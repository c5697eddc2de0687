"""Arithmetic on shapes: sizes, strides, axes, broadcasting, and how a reshape groups dimensions."""

from __future__ import annotations

import functools
from collections.abc import Sequence

Shape = tuple[int, ...]


def size_of(shape: Sequence[int]) -> int:
    """The number of elements."""
    size = 1
    for extent in shape:
        size *= extent
    return size


def contiguous_strides(shape: Sequence[int]) -> Shape:
    """Row-major strides in elements.

    >>> contiguous_strides((2, 3, 4))
    (12, 4, 1)
    """
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return tuple(strides)


def is_contiguous(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the strides are row-major; dimensions of extent 1 do not count, empty arrays always are."""
    if 0 in shape:
        return True
    expected = 1
    for axis in range(len(shape) - 1, -1, -1):
        extent = shape[axis]
        if extent == 1:
            continue
        if strides[axis] != expected:
            return False
        expected *= extent
    return True


def broadcast_shapes(op: str, *shapes: Shape) -> Shape:
    """The shape all shapes broadcast to. ValueError names the shapes that do not.

    >>> broadcast_shapes("add", (3, 1), (4,))
    (3, 4)
    """
    result = _common_shape(shapes)
    if result is None:
        listed = " and ".join(str(s) for s in shapes)
        raise ValueError(f"[{op}] Shapes {listed} cannot be broadcast.")
    return result


@functools.lru_cache(4096)
def _common_shape(shapes: tuple[Shape, ...]) -> Shape | None:
    rank = max(len(shape) for shape in shapes)
    result = [1] * rank
    for shape in shapes:
        offset = rank - len(shape)
        for axis, extent in enumerate(shape):
            if extent == 1:
                continue
            if result[offset + axis] == 1:
                result[offset + axis] = extent
            elif result[offset + axis] != extent:
                return None
    return tuple(result)


def normalize_axis(op: str, axis: int, rank: int, role: str = "axis") -> int:
    """The axis counted from the front. IndexError when it is out of range."""
    normalized = axis + rank if axis < 0 else axis
    if not 0 <= normalized < rank:
        raise IndexError(f"[{op}] Invalid {role} {axis} for an array with {rank} dimensions.")
    return normalized


def normalize_axes(op: str, axes: Sequence[int], rank: int) -> Shape:
    """Axes counted from the front. IndexError when out of range, ValueError when one is given twice."""
    normalized = tuple(normalize_axis(op, axis, rank) for axis in axes)
    if len(set(normalized)) != len(normalized):
        raise ValueError(f"[{op}] Axes must be different, but {tuple(axes)} names one twice.")
    return normalized


class ReshapeGroup:
    """A run of input dimensions [input_start, input_end) that becomes a run of output dimensions."""

    __slots__ = ("input_end", "input_start", "output_end", "output_start")

    def __init__(self, input_start: int, input_end: int, output_start: int, output_end: int) -> None:
        self.input_start = input_start
        self.input_end = input_end
        self.output_start = output_start
        self.output_end = output_end

    def key(self) -> tuple[int, int, int, int]:
        return (self.input_start, self.input_end, self.output_start, self.output_end)


def reshape_groups(source: Shape, target: Shape) -> list[ReshapeGroup]:
    """The finest runs of dimensions with equal products; both shapes have equal, non-zero size.

    >>> [g.key() for g in reshape_groups((2, 3, 4), (6, 2, 2))]
    [(0, 2, 0, 1), (2, 3, 1, 3)]
    """
    groups: list[ReshapeGroup] = []
    i = j = 0
    while i < len(source) or j < len(target):
        start_i, start_j = i, j
        left = right = 1
        if i < len(source):
            left = source[i]
            i += 1
        if j < len(target):
            right = target[j]
            j += 1
        while left != right:
            if left < right and i < len(source):
                left *= source[i]
                i += 1
            elif j < len(target):
                right *= target[j]
                j += 1
            else:
                left *= source[i]
                i += 1
        # A 1 against nothing forms a group of its own: dimensions of extent 1 come and go freely.
        groups.append(ReshapeGroup(start_i, i, start_j, j))
    return groups
