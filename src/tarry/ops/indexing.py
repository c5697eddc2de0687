"""Python indexing: `a[index]`, `a[index] = value` and `a.at[index].add(value)` as recorded operations.

An index is an integer, a slice, None (a new dimension), Ellipsis, an integer or boolean array (or a list or
NumPy array), or a tuple of these, with NumPy's rules. Integer and slice parts are views. Index arrays are
broadcast together; their dimensions stand where the first of them stood, or in front when something separates
them. Integers next to arrays count as arrays when reading, and are passed over when writing, as in MLX.

A mask, a boolean array, stands for the positions where it is true, which are found at once: it cannot be used
inside vmap and compile. Only an assignment of one value to `a[mask]` needs no positions.

Integers out of range raise IndexError at once, values of index arrays at evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tarry.base.dtypes import KIND_ORDER, NO_NUMBERS, Dtype, bool_, default_of_kind, float32
from tarry.base.errors import type_name
from tarry.base.shapes import Shape, broadcast_shapes, size_of
from tarry.graph.array import array, from_numpy, wrap
from tarry.graph.convert import node_of
from tarry.ops.arithmetic import add, divide, multiply, negative, reciprocal
from tarry.ops.elementwise import as_array, cast, check_scalar, constant, scalar_kind
from tarry.ops.indexed import gathered, scattered
from tarry.ops.masks import flat_positions
from tarry.ops.selection import maximum, minimum, spread, where
from tarry.ops.slices import slice_updated, sliced
from tarry.ops.structure import broadcast, reshaped

# What the dimensions of an indexed array are made of, besides axes of the region (0, 1, ...).
_NEW = -1
_ARRAYS = -2


class ParsedIndex:
    """What an index says about an array of a given shape.

    starts, extents, strides   the region that integers and slices select
    dropped      the axes with an integer
    arrays       axis -> index array
    layout       the result's dimensions: axes of the region, _NEW, and _ARRAYS for those of the index arrays
    """

    __slots__ = ("arrays", "dropped", "extents", "layout", "starts", "strides")

    def __init__(self, shape: Shape) -> None:
        self.starts = [0] * len(shape)
        self.extents = list(shape)
        self.strides = [1] * len(shape)
        self.dropped: list[int] = []
        self.arrays: dict[int, array] = {}
        self.layout: list[int] = []

    def basic_shape(self) -> Shape:
        """The shape of the result when there are no index arrays."""
        return tuple([1 if token == _NEW else self.extents[token] for token in self.layout])


def parse_index(shape: Shape, entries: list[Any], integers_join: bool) -> ParsedIndex:
    """Read the parts of an index. `integers_join`: integers count as index arrays where there are some."""
    taken = sum([entry is not None and entry is not Ellipsis for entry in entries])
    rank = len(shape)
    _check_count(entries, taken, rank)
    parsed = ParsedIndex(shape)
    axis = 0
    # The runs of adjacent arrays, and where in the layout the first one stands.
    runs, place, adjacent = 0, 0, False
    for entry in entries:
        joins = isinstance(entry, array) or (integers_join and isinstance(entry, int))
        if joins and not adjacent:
            place = len(parsed.layout) if runs == 0 else place
            runs += 1
        if joins or not (isinstance(entry, int) or (entry is Ellipsis and taken == rank)):
            adjacent = joins
        if entry is None:
            parsed.layout.append(_NEW)
        elif entry is Ellipsis:
            parsed.layout.extend(range(axis, axis + rank - taken))
            axis += rank - taken
        else:
            _take_axis(parsed, axis, entry, shape[axis])
            axis += 1
    parsed.layout.extend(range(axis, rank))
    if parsed.arrays:
        parsed.layout.insert(place if runs == 1 else 0, _ARRAYS)
    return parsed


def _check_count(entries: list[Any], taken: int, rank: int) -> None:
    if taken > rank:
        raise ValueError(f"[index] Too many indices for array with {rank} dimensions: {taken} were given.")
    if sum([entry is Ellipsis for entry in entries]) > 1:
        raise ValueError("[index] An index can only have a single ellipsis (...).")


def _take_axis(parsed: ParsedIndex, axis: int, entry: Any, extent: int) -> None:
    if isinstance(entry, array):
        parsed.arrays[axis] = entry
    elif isinstance(entry, int):
        parsed.starts[axis] = _position(entry, axis, extent)
        parsed.extents[axis] = 1
        parsed.dropped.append(axis)
    else:
        if entry.step == 0:
            raise ValueError(f"[index] The step of a slice must not be 0, but {entry} has it.")
        start, stop, step = entry.indices(extent)
        parsed.starts[axis], parsed.strides[axis] = start, step
        parsed.extents[axis] = len(range(start, stop, step))
        parsed.layout.append(axis)


def _position(index: int, axis: int, extent: int) -> int:
    position = index + extent if index < 0 else index
    if not 0 <= position < extent:
        raise IndexError(f"[index] Index {index} is out of bounds for axis {axis} with size {extent}.")
    return position


def _entries(index: Any) -> list[Any]:
    """The parts of an index as ints, slices, None, Ellipsis, integer and boolean arrays."""
    return [_entry(item) for item in index] if type(index) is tuple else [_entry(index)]


def _entry(item: Any) -> Any:
    if item is None or item is Ellipsis or type(item) is int:
        return item
    if isinstance(item, slice):
        return slice(*[_bound(bound) for bound in (item.start, item.stop, item.step)])
    if isinstance(item, array):
        return _index_array(item)
    if isinstance(item, list):
        return _index_array(wrap(node_of(item, None)))
    if isinstance(item, np.ndarray) and item.ndim:
        return _index_array(from_numpy("index", item, None))
    if isinstance(item, (bool, np.bool_)):
        return constant(bool(item), bool_)
    if isinstance(item, np.ndarray) and item.dtype == np.bool_:
        return from_numpy("index", item, None)
    if hasattr(item, "__index__"):
        return int(item.__index__())
    raise ValueError(
        f"[index] Cannot index an array using the given type {type_name(item)}: expected integers, slices, "
        "None, ... or arrays of integers or booleans."
    )


def _bound(bound: Any) -> int | None:
    if bound is None:
        return None
    if isinstance(bound, (bool, np.bool_, array)) or not hasattr(bound, "__index__"):
        raise ValueError(f"[index] Slice indices must be integers or None, but one is {type_name(bound)}.")
    return int(bound.__index__())


def _index_array(index: array) -> array:
    if index.dtype.kind not in "uib":
        raise ValueError(
            f"[index] Index arrays must hold integers or booleans, but one has dtype {index.dtype.name}."
        )
    return index


def _is_mask(entry: Any) -> bool:
    return isinstance(entry, array) and entry.dtype is bool_


def _without_masks(a: array, entries: list[Any]) -> tuple[array, list[Any]]:
    """The array with the axes of each mask merged into one, and the index with positions along it instead.

    A mask without dimensions indexes a new axis, of extent 1, with one position or none.
    """
    if not any(_is_mask(entry) for entry in entries):
        return a, entries
    rank = a.ndim
    taken = sum([_axes_taken(entry) for entry in entries])
    _check_count(entries, taken, rank)
    shape: list[int] = []
    found: list[Any] = []
    axis = 0
    for entry in entries:
        count = rank - taken if entry is Ellipsis else _axes_taken(entry)
        extents = a.shape[axis : axis + count]
        if _is_mask(entry):
            if entry.shape != extents:
                raise ValueError(
                    f"[index] A mask of shape {entry.shape} must have the shape of the axes it selects from, "
                    f"which is {extents}."
                )
            shape.append(size_of(extents))
            found.append(flat_positions("index", reshaped(entry, (entry.size,))))
        else:
            shape.extend(extents)
            found.append(entry)
        axis += count
    return reshaped(a, (*shape, *a.shape[axis:])), found


def _axes_taken(entry: Any) -> int:
    """How many axes a part of an index selects from, an ellipsis not counted."""
    if entry is None or entry is Ellipsis:
        return 0
    return int(entry.ndim) if _is_mask(entry) else 1


class _Access:
    """A gather or scatter: the maps (see ops/indexed.py), the index arrays and the shape of the values."""

    __slots__ = ("index_axes", "indices", "shape", "source_map", "source_shape")

    def __init__(self, parsed: ParsedIndex) -> None:
        common = broadcast_shapes("index", *[index.shape for index in parsed.arrays.values()])
        self.indices = [broadcast(index, common) for index in parsed.arrays.values()]
        shape: list[int] = []
        places: dict[int, int] = {}
        self.index_axes: tuple[int, ...] = ()
        for token in parsed.layout:
            if token == _ARRAYS:
                self.index_axes = tuple(range(len(shape), len(shape) + len(common)))
                shape.extend(common)
            elif token != _NEW:
                places[token] = len(shape)
                shape.append(parsed.extents[token])
        numbers = {axis: -1 - k for k, axis in enumerate(parsed.arrays)}
        kept = [axis for axis in range(len(parsed.extents)) if axis not in parsed.dropped]
        self.source_shape = tuple([parsed.extents[axis] for axis in kept])
        self.source_map = tuple([numbers[axis] if axis in numbers else places[axis] for axis in kept])
        self.shape = tuple(shape)

    def full_shape(self, parsed: ParsedIndex) -> Shape:
        """The shape of the values with new dimensions."""
        shape: list[int] = []
        for token in parsed.layout:
            if token == _ARRAYS:
                shape.extend([self.shape[axis] for axis in self.index_axes])
            else:
                shape.append(1 if token == _NEW else parsed.extents[token])
        return tuple(shape)


# reading


def get_item(a: array, index: Any) -> array:
    """What `a[index]` gives, always as a new handle; see the top of this file."""
    if type(index) is int and a._node.shape:
        shape = a._node.shape
        starts = [0] * len(shape)
        starts[0] = _position(index, 0, shape[0])
        row = sliced(a, starts, (1, *shape[1:]), [1] * len(shape))
        return _own(reshaped(row, shape[1:]), a)
    source, entries = _without_masks(a, _entries(index))
    parsed = parse_index(source._node.shape, entries, True)
    region = sliced(source, parsed.starts, tuple(parsed.extents), parsed.strides)
    if not parsed.arrays:
        return _own(reshaped(region, parsed.basic_shape()), a)
    access = _Access(parsed)
    region = reshaped(region, access.source_shape)
    values = gathered(region, access.indices, access.source_map, access.index_axes, access.shape)
    return reshaped(values, access.full_shape(parsed))


def _own(result: array, a: array) -> array:
    return wrap(a._node) if result is a else result


# writing


def set_item(a: array, index: Any, value: Any) -> array:
    """`a` with the indexed part replaced by `value`, cast to the array's dtype and broadcast.

    A boolean mask as the whole index selects what a single value, one that broadcasts, or as many values as
    the mask has true elements replace.

    Errors: ValueError for values that do not fit or are no numbers, TypeError for None, RuntimeError for too
    few values for a mask.
    """
    mask = _mask(index)
    if mask is not None:
        return _set_masked(a, mask, value)
    return update_item(a, index, assigned_value(a.dtype, value), "set")


def assigned_value(dtype: Dtype, value: Any) -> array:
    """A value that is written into an array, in the array's dtype."""
    kind = scalar_kind(value)
    if kind is not None:
        check_scalar("index", value, dtype)
        if KIND_ORDER[kind] <= KIND_ORDER[dtype.kind]:
            return constant(value, dtype)
        return cast(constant(value, default_of_kind(kind)), dtype)
    if value is None:
        raise TypeError("[index] Expected a number or an array to assign, but got None.")
    if isinstance(value, np.ndarray) and value.dtype.kind not in NO_NUMBERS:
        return from_numpy("index", value, dtype)
    return cast(as_array("index", value), dtype)


_REGION_MODES: dict[str, Callable[[array, array], array]] = {
    "set": lambda old, new: new,
    "add": add,
    "prod": multiply,
    "max": maximum,
    "min": minimum,
}


def update_item(a: array, index: Any, value: array, mode: str) -> array:
    """`a` with `value` combined into the indexed part; several updates of one position all count."""
    entries = _entries(index)
    target, flat = _without_masks(a, entries)
    # MLX passes over integers when it writes at index arrays. It has no masks there: NumPy's rule holds.
    parsed = parse_index(target._node.shape, flat, flat is not entries)
    extents = tuple(parsed.extents)
    whole = sliced(target, parsed.starts, extents, parsed.strides)
    if parsed.arrays:
        access = _Access(parsed)
        updates = reshaped(_fitted(value, access.full_shape(parsed)), access.shape)
        source = reshaped(whole, access.source_shape)
        changed = scattered(source, updates, access.indices, access.source_map, access.index_axes, mode)
    else:
        updates = reshaped(_fitted(value, parsed.basic_shape()), extents)
        changed = _REGION_MODES[mode](whole, updates)
    result = slice_updated(target, reshaped(changed, extents), parsed.starts, parsed.strides)
    return _own(reshaped(result, a._node.shape), a)


def _fitted(value: array, shape: Shape) -> array:
    """`value` broadcast to `shape`; leading dimensions of extent 1 that it has too many are dropped."""
    extra = value.ndim - len(shape)
    given = value.shape
    if extra > 0 and given[:extra] == (1,) * extra:
        value = reshaped(value, given[extra:])
        extra = 0
    aligned = (1,) * -extra + value.shape
    if extra > 0 or any(of not in (1, to) for of, to in zip(aligned, shape)):
        raise ValueError(f"[index] A value of shape {given} cannot be broadcast to the indexed {shape}.")
    return spread(value, shape)


# masks


def _mask(index: Any) -> array | None:
    """The boolean mask that an index is as a whole, or None."""
    if isinstance(index, (bool, np.bool_)):
        return constant(bool(index), bool_)
    if isinstance(index, array):
        return index if index.dtype is bool_ else None
    if isinstance(index, np.ndarray):
        return from_numpy("index", index, None) if index.dtype == np.bool_ else None
    if isinstance(index, list) and index:
        found = wrap(node_of(index, None))
        return found if found.dtype is bool_ else None
    return None


def _set_masked(a: array, mask: array, value: Any) -> array:
    shape, leading = a.shape, mask.shape
    if shape[: len(leading)] != leading:
        raise ValueError(
            f"[index] A mask must have the shape of the array's leading dimensions: the mask has {leading}, "
            f"the array {shape}."
        )
    updates = assigned_value(a.dtype, value)
    trailing = shape[len(leading) :]
    extra = updates.ndim - len(trailing)
    if extra > 0 and updates.shape[:extra] != (1,) * extra:
        return _set_in_order(a, mask, updates)
    selected = broadcast(reshaped(mask, (*leading, *[1] * len(trailing))), shape)
    return where(selected, spread(_fitted(updates, trailing), shape), a)


def _set_in_order(a: array, mask: array, updates: array) -> array:
    """`a` with one row of the updates after the other where the mask is true; superfluous ones are left."""
    shape, leading = a.shape, mask.ndim
    trailing = shape[leading:]
    if updates.ndim != len(trailing) + 1:
        raise ValueError(
            f"[index] A value of shape {updates.shape} cannot be spread over the positions of a mask: "
            f"expected one that broadcasts to {trailing}, or such values along one more dimension."
        )
    places = flat_positions("index", reshaped(mask, (mask.size,)))
    count = places.size
    if updates.shape[0] < count:
        raise RuntimeError(
            f"[index] A value of shape {updates.shape} has too few elements for a mask with {count}."
        )
    rows = sliced(updates, [0] * updates.ndim, (count, *updates.shape[1:]), [1] * updates.ndim)
    rows = _fitted(rows, (count, *trailing))
    rank = len(trailing) + 1
    base = reshaped(a, (mask.size, *trailing))
    result = scattered(base, rows, [places], (-1, *range(1, rank)), (0,), "set")
    return _own(reshaped(result, shape), a)


# a.at


class ArrayAt:
    """`a.at[index]`: pure updates of the indexed part, in which duplicate positions accumulate.

    Results have the shape and dtype of `a`; values are cast to it and broadcast to the indexed part. Errors:
    IndexError for positions out of range, ValueError for values that do not fit and for `a.at` without an
    index, TypeError when the class is called.

    Example:
        >>> mx.zeros(3).at[mx.array([0, 0, 2])].add(1)
        array([2, 0, 1], dtype=float32)
    """

    __slots__ = ("_array", "_index", "_indexed")

    _array: array
    _index: Any
    _indexed: bool

    def __init__(self, *_: object, **__: object) -> None:
        raise TypeError("[ArrayAt] Made by indexing: write a.at[index].")

    def __getitem__(self, index: Any) -> ArrayAt:
        return updates_at(self._array, index, True)

    def _updated(self, op: str, value: Any, mode: str) -> array:
        if not self._indexed:
            raise ValueError(f"[at] Must give indices to array.at: write a.at[index].{op}(value).")
        dtype = self._array.dtype
        if op == "divide" and dtype.kind not in "fc":
            dtype = float32  # the reciprocal of 0.5 is a whole number, 0.5 is not
        updates = value if isinstance(value, array) and value.dtype is dtype else None
        if updates is None:
            updates = assigned_value(dtype, value)
        if op == "subtract":
            if updates.dtype is bool_:
                raise ValueError("[subtract] Booleans cannot be subtracted: use logical_xor.")
            updates = negative(updates)
        elif op == "divide":
            updates = cast(reciprocal(updates), self._array.dtype)
        return update_item(self._array, self._index, updates, mode)

    def add(self, value: Any) -> array:
        """The array with `value` added to the indexed part.

        Example:
            >>> mx.array([1, 2, 3]).at[1:].add(10)
            array([1, 12, 13], dtype=int32)
        """
        return self._updated("add", value, "add")

    def subtract(self, value: Any) -> array:
        """The array with `value` subtracted from the indexed part. ValueError for booleans.

        Example:
            >>> mx.array([1, 2, 3]).at[mx.array([0, 0])].subtract(1)
            array([-1, 2, 3], dtype=int32)
        """
        return self._updated("subtract", value, "add")

    def multiply(self, value: Any) -> array:
        """The array with the indexed part multiplied by `value`.

        Example:
            >>> mx.array([1, 2, 3]).at[mx.array([1, 1])].multiply(2)
            array([1, 8, 3], dtype=int32)
        """
        return self._updated("multiply", value, "prod")

    def divide(self, value: Any) -> array:
        """The array with the indexed part multiplied by the reciprocal of `value`, in the array's dtype.

        Example:
            >>> mx.array([1.0, 2.0, 3.0]).at[1].divide(4)
            array([1, 0.5, 3], dtype=float32)
        """
        if self._indexed and (self._index is Ellipsis or self._index is None):
            return divide(self._array, value)
        return self._updated("divide", value, "prod")

    def maximum(self, value: Any) -> array:
        """The array with the larger of each indexed element and `value`.

        Example:
            >>> mx.array([1, 2, 3]).at[:].maximum(2)
            array([2, 2, 3], dtype=int32)
        """
        return self._updated("maximum", value, "max")

    def minimum(self, value: Any) -> array:
        """The array with the smaller of each indexed element and `value`.

        Example:
            >>> mx.array([1, 2, 3]).at[:].minimum(2)
            array([1, 2, 2], dtype=int32)
        """
        return self._updated("minimum", value, "min")


def updates_at(a: array, index: Any = None, indexed: bool = False) -> ArrayAt:
    """What `a.at` is, and `a.at[index]`."""
    made = object.__new__(ArrayAt)
    made._array = wrap(a._node)
    made._index = index
    made._indexed = indexed
    return made
