"""Rows of the op table: views, rearrangement, indexing and creation. `op_case.OpCase` says what the fields
mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle import FLOATS, dtype_of

from .op_case import ANY, NONZERO, OpCase, Variant, index

# One dtype of each size and kind: moving elements does not depend on more.
MOVED = (
    "float32",
    "bool",
    "uint8",
    "int16",
    "int32",
    "int64",
    "uint64",
    "float16",
    "bfloat16",
    "float64",
    "complex64",
)
NUMBERS = ("float32", "uint8", "int8", "int32", "int64", "float16", "bfloat16", "float64")


def view(
    name: str, function: Callable[..., Any], reference: Callable[..., Any], *variants: Variant, **fields: Any
) -> OpCase:
    """A row for an op of one array that moves elements without changing them."""
    fields.setdefault("dtypes", MOVED)
    fields.setdefault("differentiable", (0,))
    return OpCase(name, function, reference, variants=variants, ulps=0.0, **fields)


def same_name(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The op and the NumPy function of the same name, both called with the variant's options as keywords."""
    reference = getattr(np, name)

    def call(module: Any, a: Any, **options: Any) -> Any:
        return getattr(module, name)(a, **options)

    def expect(a: Any, **options: Any) -> Any:
        return reference(a, **options)

    return call, expect


def squeeze(a: Any, axis: Any = None) -> Any:
    return np.squeeze(a, tuple(axis) if isinstance(axis, list) else axis)


def flatten(a: Any, start_axis: int = 0, end_axis: int = -1) -> Any:
    if a.ndim == 0:
        return a.reshape(1)
    last = end_axis % a.ndim
    return a.reshape(
        *a.shape[:start_axis], int(np.prod(a.shape[start_axis : last + 1])), *a.shape[last + 1 :]
    )


def set_item(module: Any, a: Any, value: Any, item: Any) -> Any:
    """Item assignment as a function: the source stays as it is."""
    result = a[...]
    result[make_item(module, item)] = value
    return result


def set_item_reference(a: Any, value: Any, item: Any) -> Any:
    result = a.copy()
    result[make_item(np, item)] = value
    return result


def put_along_axis(a: Any, value: Any, i: Any, axis: int | None) -> Any:
    result = a.copy()
    np.put_along_axis(result, i, value, axis)
    return result


def moving_region(start: Any, axes: Sequence[int], size: Sequence[int]) -> tuple[slice, ...]:
    """The slices of a region with computed starts along some axes, and all of the others."""
    starts = dict(zip(axes, start.tolist(), strict=True))
    return tuple(slice(starts.get(axis, 0), starts.get(axis, 0) + of) for axis, of in enumerate(size))


def slice_update(a: Any, value: Any, start: Any, axes: Sequence[int]) -> Any:
    result = a.copy()
    result[moving_region(start, axes, value.shape)] = value
    return result


def make_item(module: Any, item: Any) -> Any:
    """An index in which lists stand for index arrays of the framework."""
    if isinstance(item, tuple):
        return tuple(make_item(module, part) for part in item)
    return module.array(item) if isinstance(item, list) else item


def reinterpret(a: Any, to: str) -> Any:
    """The same bytes as another dtype; the values of floats come in float64."""
    return (a.astype(np.float32) if a.dtype.kind == "f" else a).view(to)


# Ways of indexing with integer arrays, written once for MLX's and NumPy's semantics, which agree here.
GATHERS: dict[str, Callable[[Any, Any], Any]] = {
    "rows": lambda a, i: a[i],
    "column": lambda a, i: a[:, i],
    "pair": lambda a, i: a[i, i],
    "separated": lambda a, i: a[i, :, i],
    "scalar_first": lambda a, i: a[0, :, i],
    "adjacent": lambda a, i: a[:, i, i],
    "after_slice": lambda a, i: a[1:, i],
    "new_axis": lambda a, i: a[i, None],
    "grid": lambda a, i: a[i[:, None], i[None, :]],
    "ellipsis": lambda a, i: a[..., i],
}

S = np.s_

VIEWS = [
    view(
        "reshape",
        lambda module, a, shape: module.reshape(a, shape),
        np.reshape,
        Variant((4, 6), shape=(3, 8)),
        Variant((2, 3, 4), shape=(-1, 2)),
        Variant((), shape=(1, 1)),
        Variant((1,), shape=()),
        Variant((0, 3), shape=(3, 0, 2)),
    ),
    view(
        "transpose",
        lambda module, a, axes: module.transpose(a, axes),
        np.transpose,
        Variant((5, 7), axes=None),
        Variant((2, 3, 4), axes=(1, 2, 0)),
        Variant((2, 3, 4), axes=(-1, 0, 1)),
        Variant((), axes=None),
        Variant((0, 3), axes=(1, 0)),
    ),
    view(
        "swapaxes",
        *same_name("swapaxes"),
        Variant((2, 3, 4), axis1=0, axis2=-1),
        Variant((0, 3), axis1=0, axis2=1),
    ),
    view(
        "moveaxis",
        *same_name("moveaxis"),
        Variant((2, 3, 4), source=0, destination=-1),
        Variant((2, 3, 4), source=-1, destination=1),
    ),
    view(
        "squeeze",
        same_name("squeeze")[0],
        squeeze,
        Variant((1, 5, 1), axis=None),
        Variant((1, 5, 1), axis=-1),
        Variant((1, 5, 1), axis=[0, 2]),
        Variant((1, 0), axis=0),
    ),
    view(
        "expand_dims",
        *same_name("expand_dims"),
        Variant((5, 7), axis=1),
        Variant((5, 7), axis=(0, -1)),
        Variant((), axis=0),
    ),
    view(
        "flatten",
        lambda module, a, **options: module.flatten(a, **options),
        flatten,
        Variant((2, 3, 4)),
        Variant((2, 3, 4), start_axis=1),
        Variant((2, 3, 4), start_axis=0, end_axis=1),
        Variant(()),
        Variant((0, 3)),
    ),
    view(
        "contiguous",
        lambda module, a: module.contiguous(module.transpose(a)),
        lambda a: np.ascontiguousarray(a.T).reshape(a.T.shape),
        Variant((2, 3, 4)),
        Variant(()),
        Variant((0, 3)),
    ),
    view(
        "broadcast_to",
        *same_name("broadcast_to"),
        Variant((5, 1), shape=(5, 7)),
        Variant((7,), shape=(2, 5, 7)),
        Variant((), shape=(3, 4)),
        Variant((1, 3), shape=(0, 3)),
    ),
    view(
        "getitem",
        lambda module, a, item: a[item],
        lambda a, item: a[item],
        Variant((5, 7), item=S[1:4, ::2]),
        Variant((5, 7), item=S[::-1]),
        Variant((5, 7), item=S[-2:0:-2, 5:1:-3]),
        Variant((5, 7), item=S[2]),
        Variant((5, 7), item=S[..., -1]),
        Variant((5, 7), item=S[None, 1:, None, 3]),
        Variant((2, 3, 4), item=S[1, :, 1:3]),
        Variant((5, 7), item=S[4:2]),
        Variant((5, 7), item=S[-100:100:3]),
        Variant((), item=S[()]),
        Variant((), item=S[None]),
        Variant((0, 3), item=S[:, 1]),
    ),
    view(
        "flip",
        lambda module, a, axis: module.flip(a, axis),
        np.flip,
        Variant((5, 7), axis=None),
        Variant((5, 7), axis=1),
        Variant((2, 3, 4), axis=(0, 2)),
        Variant((0, 3), axis=0),
    ),
    view(
        "split",
        lambda module, a, parts, axis: module.split(a, parts, axis=axis),
        lambda a, parts, axis: np.split(a, parts, axis),
        Variant((6, 7), parts=3, axis=0),
        Variant((5, 7), parts=[2, 5], axis=1),
        Variant((2, 6), parts=2, axis=-1),
    ),
    view(
        "pad",
        lambda module, a, width, **options: module.pad(a, width, **options),
        lambda a, width, **options: np.pad(a, width, **options),
        Variant((5, 7), width=1),
        Variant((5, 7), width=(1, 2)),
        Variant((5, 7), width=((0, 1), (2, 0)), constant_values=1),
        Variant((5, 7), width=((1, 2), (0, 1)), mode="edge"),
        Variant((0, 3), width=((1, 1), (0, 0))),
    ),
    view(
        "repeat",
        lambda module, a, repeats, axis: module.repeat(a, repeats, axis=axis),
        np.repeat,
        Variant((5, 7), repeats=2, axis=1),
        Variant((5, 7), repeats=3, axis=0),
        Variant((5, 7), repeats=2, axis=None),
        Variant((5, 7), repeats=0, axis=0),
    ),
    view(
        "tile",
        lambda module, a, reps: module.tile(a, reps),
        np.tile,
        Variant((5, 7), reps=(2, 3)),
        Variant((5, 7), reps=2),
        Variant((7,), reps=(2, 1, 3)),
        Variant((2, 3, 4), reps=(2, 1)),
    ),
    view(
        "roll",
        lambda module, a, shift, axis: module.roll(a, shift, axis),
        np.roll,
        Variant((5, 7), shift=2, axis=1),
        Variant((5, 7), shift=-9, axis=0),
        Variant((5, 7), shift=3, axis=None),
        Variant((5, 7), shift=(1, -2), axis=(0, 1)),
        Variant((0, 3), shift=1, axis=1),
    ),
    view(
        "diag",
        *same_name("diag"),
        Variant((5, 7), k=0),
        Variant((5, 7), k=-2),
        Variant((5,), k=0),
        Variant((4,), k=2),
    ),
    view(
        "diagonal",
        *same_name("diagonal"),
        Variant((5, 7)),
        Variant((5, 7), offset=3),
        Variant((2, 3, 4), offset=-1, axis1=1, axis2=2),
        Variant((2, 3, 4), offset=1, axis1=0, axis2=2),
    ),
    view("tril", *same_name("tril"), Variant((5, 7)), Variant((5, 7), k=-1), Variant((2, 3, 4), k=1)),
    view("triu", *same_name("triu"), Variant((5, 7)), Variant((5, 7), k=-1), Variant((2, 3, 4), k=1)),
]

BYTES = [
    view(
        "view",
        lambda module, a, to: module.view(a, dtype_of(module, to)),
        reinterpret,
        Variant((5, 8), to="uint32"),
        Variant((5, 8), to="uint8"),
        Variant((5, 8), to="uint64"),
        Variant((), to="int32"),
        Variant((0, 8), to="int16"),
        dtypes=("float32", "int32"),
        differentiable=(),
    ),
]

JOINS = [
    view(
        "concatenate",
        lambda module, a, b, axis: module.concatenate([a, b, a], axis=axis),
        lambda a, b, axis: np.concatenate([a, b, a], axis=axis),
        Variant((5, 7), (2, 7), axis=0),
        Variant((5, 7), (5, 3), axis=-1),
        Variant((5, 7), (2, 3), axis=None),
        Variant((0, 3), (2, 3), axis=0),
        draws=(ANY, ANY),
        differentiable=(0, 1),
    ),
    view(
        "stack",
        lambda module, a, b, axis: module.stack([a, b], axis=axis),
        lambda a, b, axis: np.stack([a, b], axis=axis),
        Variant((5, 7), (5, 7), axis=0),
        Variant((5, 7), (5, 7), axis=-1),
        Variant((), (), axis=0),
        Variant((0, 3), (0, 3), axis=1),
        draws=(ANY, ANY),
        differentiable=(0, 1),
    ),
]

INDEXED = [
    view(
        "take",
        lambda module, a, i, axis: module.take(a, i, axis=axis),
        lambda a, i, axis: np.take(a, i, axis=axis),
        Variant((5, 7), (4,), axis=0),
        Variant((5, 7), (2, 3), axis=1),
        Variant((5, 7), (4,), axis=None),
        Variant((2, 6, 5), (3,), axis=-1),
        Variant((5, 7), (), axis=0),
        Variant((5, 7), (0,), axis=0),
        draws=(ANY, index(-5, 5)),
    ),
    view(
        "take_scalar",
        lambda module, a, position, axis: module.take(a, position, axis=axis),
        lambda a, position, axis: np.take(a, position, axis=axis),
        Variant((5, 7), position=3, axis=0),
        Variant((5, 7), position=0, axis=1),
    ),
    view(
        "take_along_axis",
        lambda module, a, i, axis: module.take_along_axis(a, i, axis=axis),
        lambda a, i, axis: np.take_along_axis(a, i, axis=axis),
        Variant((5, 7), (5, 3), axis=1),
        Variant((5, 7), (2, 7), axis=0),
        Variant((5, 7), (1, 3), axis=-1),
        Variant((5, 7), (4,), axis=None),
        draws=(ANY, index(-5, 5)),
    ),
    view(
        "getitem_arrays",
        lambda module, a, i, form: GATHERS[form](a, i),
        lambda a, i, form: GATHERS[form](a, i),
        *[Variant((5, 6, 7), (4,), form=form) for form in GATHERS],
        draws=(ANY, index(-5, 5)),
    ),
    view(
        "put_along_axis",
        lambda module, a, value, i, axis: module.put_along_axis(a, i, value, axis),
        put_along_axis,
        Variant((5, 7), (5, 3), (5, 3), axis=1),
        Variant((5, 7), (2, 7), (2, 7), axis=0),
        Variant((2, 5, 3), (2, 4, 3), (2, 4, 3), axis=-2),
        Variant((5, 7), (4,), (4,), axis=None),
        draws=(ANY, NONZERO, index(-5, 5)),
        differentiable=(0, 1),
        # Where a position occurs twice, MLX gives all its values the gradient, not the one that is kept.
        oracle_gradients=False,
    ),
    view(
        "slice",
        lambda module, a, start, axes, size: module.slice(a, start, axes, size),
        lambda a, start, axes, size: a[moving_region(start, axes, size)],
        Variant((5, 7), (2,), axes=(0, 1), size=(2, 3)),
        Variant((5, 7), (1,), axes=(1,), size=(5, 2)),
        draws=(ANY, index(0, 3)),
    ),
    view(
        "slice_update",
        lambda module, a, value, start, axes: module.slice_update(a, value, start, axes),
        slice_update,
        Variant((5, 7), (2, 3), (2,), axes=(0, 1)),
        Variant((5, 7), (5, 2), (1,), axes=(1,)),
        draws=(ANY, NONZERO, index(0, 3)),
        differentiable=(0, 1),
    ),
    view(
        "unflatten",
        lambda module, a, axis, shape: module.unflatten(a, axis, shape),
        lambda a, axis, shape: a.reshape(*a.shape[: axis % a.ndim], *shape, *a.shape[axis % a.ndim + 1 :]),
        Variant((12,), axis=0, shape=(3, -1)),
        Variant((5, 6), axis=-1, shape=(2, 3)),
    ),
    view(
        "setitem",
        set_item,
        set_item_reference,
        Variant((5, 7), (7,), item=S[2]),
        Variant((5, 7), (), item=S[1:4, ::2]),
        Variant((5, 7), (5, 4), item=S[:, ::-2]),
        Variant((5, 7), (5, 1), item=S[...]),
        Variant((5, 7), (), item=S[-1, 3]),
        Variant((5, 7), (3, 7), item=[3, 0, -4]),
        Variant((5, 7), (3,), item=([3, 0, -4], [6, 1, 2])),
        Variant((2, 3, 4), (2, 2, 4), item=(S[:], [2, 0])),
        Variant((5, 7), (0, 7), item=S[2:2]),
        draws=(ANY, NONZERO),
        differentiable=(0, 1),
    ),
]


def created(
    name: str, function: Callable[..., Any], reference: Callable[..., Any], *variants: Variant, **fields: Any
) -> OpCase:
    """A row for an op that makes an array out of constants, in any of the dtypes."""
    fields.setdefault("dtypes", MOVED)
    fields.setdefault("ulps", 2.0)
    return OpCase(name, function, reference, draws=(), variants=variants, creates=True, **fields)


SHAPES = (Variant(shape=(5, 7)), Variant(shape=()), Variant(shape=(0, 3)), Variant(shape=4))


def like(name: str) -> OpCase:
    """A row for zeros_like and ones_like."""
    return view(
        name,
        lambda module, a: getattr(module, name)(a),
        getattr(np, name),
        Variant((5, 7)),
        Variant(()),
        Variant((0, 3)),
        differentiable=(),
    )


CREATION = [
    created(
        "arange",
        lambda module, dtype, bounds: module.arange(*bounds, dtype=dtype),
        lambda bounds: np.arange(*bounds),
        Variant(bounds=(9,)),
        Variant(bounds=(2, 9)),
        Variant(bounds=(20, 3, -4)),
        Variant(bounds=(3, 3)),
        dtypes=NUMBERS,
    ),
    created(
        "arange_floats",
        lambda module, dtype, bounds: module.arange(*bounds, dtype=dtype),
        lambda bounds: np.arange(*bounds),
        Variant(bounds=(0.0, 2.0, 0.25)),
        Variant(bounds=(0.5, -3.0, -0.5)),
        dtypes=FLOATS,
    ),
    created(
        "linspace",
        lambda module, dtype, start, stop, num: module.linspace(start, stop, num, dtype=dtype),
        np.linspace,
        Variant(start=0.0, stop=1.0, num=9),
        Variant(start=-1.0, stop=3.0, num=5),
        Variant(start=2.0, stop=3.0, num=1),
        Variant(start=0.0, stop=1.0, num=0),
        dtypes=("float32", "float64", "float16", "bfloat16"),
        absolute=1.0,
    ),
    created("zeros", lambda module, dtype, shape: module.zeros(shape, dtype), np.zeros, *SHAPES),
    created("ones", lambda module, dtype, shape: module.ones(shape, dtype), np.ones, *SHAPES),
    created(
        "full",
        lambda module, dtype, shape, value: module.full(shape, value, dtype),
        lambda shape, value: np.full(shape, value),
        Variant(shape=(5, 7), value=3),
        Variant(shape=(), value=3),
        Variant(shape=(0, 3), value=1),
        dtypes=NUMBERS,
    ),
    OpCase(
        "full_array",
        lambda module, a, shape: module.full(shape, a),
        lambda a, shape: np.broadcast_to(a, shape),
        variants=[Variant((7,), shape=(5, 7)), Variant((), shape=(2, 3))],
        dtypes=MOVED,
        ulps=0.0,
        differentiable=(0,),
        oracle_gradients=False,
    ),
    created(
        "eye",
        lambda module, dtype, n, m, k: module.eye(n, m, k, dtype=dtype),
        lambda n, m, k: np.eye(n, m, k),
        Variant(n=3, m=5, k=0),
        Variant(n=4, m=None, k=-1),
        Variant(n=4, m=3, k=1),
        Variant(n=2, m=3, k=5),
    ),
    created("identity", lambda module, dtype, n: module.identity(n, dtype=dtype), np.identity, Variant(n=4)),
    created(
        "tri",
        lambda module, dtype, n, m, k: module.tri(n, m, k, dtype=dtype),
        lambda n, m, k: np.tri(n, m, k),
        Variant(n=3, m=5, k=1),
        Variant(n=4, m=None, k=-1),
        Variant(n=5, m=3, k=0),
        dtypes=NUMBERS,
    ),
    like("zeros_like"),
    like("ones_like"),
]

SHAPE_CASES = VIEWS + BYTES + JOINS + INDEXED + CREATION
