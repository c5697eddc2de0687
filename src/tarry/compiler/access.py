"""Where values stand: positions pulled back through views.

A position says for each dimension of a value where the element stands, as an affine expression of the loop
axes of a kernel. After a reshape only the row-major place within a run of dimensions may be known: a `Run`
covers `count` dimensions at once. Positions of elementwise values pass unchanged to their inputs.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.compiler.program import SymbolicShape, Value
from tarry.loops.poly import NOWHERE, ONE, ZERO, Affine, Poly, along, product
from tarry.ops.structure import Condition, Reshape, View, ViewSizes


class Run:
    """`count` adjacent dimensions, and the row-major place within them."""

    __slots__ = ("_hash", "count", "place")

    def __init__(self, count: int, place: Affine) -> None:
        self.count = count
        self.place = place
        self._hash: int | None = None

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash((self.count, self.place))
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Run) and self.count == other.count and self.place == other.place

    def __repr__(self) -> str:
        return str(self.place) if self.count == 1 else f"[{self.count} dims at {self.place}]"


Position = tuple[Run, ...]


class Unreachable(Exception):
    """A position cannot be pulled through a view: its input has to be stored, contiguous, first."""

    def __init__(self, value: Value) -> None:
        self.value = value
        super().__init__(repr(value))


class PulledPiece:
    """A piece of a view (see ops.structure.Piece) with its position in runs."""

    __slots__ = ("conditions", "position", "source")

    def __init__(self, source: Value, position: Position, conditions: tuple[Condition, ...]) -> None:
        self.source = source
        self.position = position
        self.conditions = conditions


# The pieces of views at positions over axes of some extents; None where a position cannot be pulled.
PulledViews = dict[tuple[Value, Position], list[PulledPiece] | None]


def position_along(axes: Sequence[int | None]) -> Position:
    """The position that is loop axis axes[d] along dimension d; None for dimensions of extent 1."""
    return tuple([Run(1, NOWHERE if axis is None else along(axis)) for axis in axes])


def pull(value: Value, position: Position, extents: dict[int, Poly]) -> list[PulledPiece]:
    """The pieces of a view at a position; `extents` are those of the loop axes."""
    view = value.primitive
    assert isinstance(view, View)
    if isinstance(view, Reshape):
        source = value.inputs[0]
        return [PulledPiece(source, _pull_reshape(view, value, position, extents), ())]
    if any(run.count != 1 for run in position):
        raise Unreachable(value)
    sizes = ViewSizes([source.shape for source in value.inputs], value.shape, value.arguments)
    pieces = view.pull([run.place for run in position], sizes)
    return [
        PulledPiece(
            value.inputs[piece.number],
            tuple([Run(1, place) for place in piece.position]),
            piece.conditions,
        )
        for piece in pieces
    ]


def pull_if_reachable(value: Value, position: Position, extents: dict[int, Poly]) -> list[PulledPiece] | None:
    """`pull`, or None where it would raise Unreachable."""
    try:
        return pull(value, position, extents)
    except Unreachable:
        return None


def _pull_reshape(view: Reshape, value: Value, position: Position, extents: dict[int, Poly]) -> Position:
    source = value.inputs[0].shape
    pulled: list[Run] = []
    groups = list(view.groups)
    runs = list(position)
    dimension = 0
    while groups:
        input_start, input_end, _, output_end = groups.pop(0)
        covered: list[tuple[Affine, SymbolicShape]] = []
        # Take runs until they end where a group ends; a run over several groups joins them.
        while dimension < output_end:
            run = runs.pop(0)
            covered.append((run.place, value.shape[dimension : dimension + run.count]))
            dimension += run.count
            while output_end < dimension:
                _, input_end, _, output_end = groups.pop(0)
        pulled.extend(_regroup(covered, source[input_start:input_end], extents))
    return tuple(pulled)


def _regroup(
    covered: list[tuple[Affine, SymbolicShape]], source: SymbolicShape, extents: dict[int, Poly]
) -> list[Run]:
    """The runs over the dimensions `source` for a place given over other dimensions of the same size."""
    if len(source) == len(covered) and all(
        len(shape) == 1 and shape[0] == extent for (_, shape), extent in zip(covered, source)
    ):
        return [Run(1, place) for place, _ in covered]
    place = NOWHERE
    for part, shape in covered:
        place = place.scale(product(shape)) + part
    return split_place(place, source, extents)


def split_place(place: Affine, shape: SymbolicShape, extents: dict[int, Poly]) -> list[Run]:
    """The row-major place within `shape`, given for each dimension where that can be told.

    It can when every term belongs to one dimension: the coefficient is the dimension's stride and the axis
    has the dimension's extent. Otherwise one run covers all dimensions.
    """
    count = len(shape)
    kept = [d for d in range(count) if shape[d] != ONE]
    if not kept:
        return [Run(1, NOWHERE)] * count
    if len(kept) == 1:
        return [Run(1, place if d == kept[0] else NOWHERE) for d in range(count)]
    places: list[Affine] = [NOWHERE] * count
    terms = {coefficient: axis for axis, coefficient in place.terms}
    stride = ONE
    matched = 0
    for d in reversed(kept):
        axis = terms.get(stride)
        if axis is not None and extents.get(axis) == shape[d]:
            places[d] = along(axis)
            matched += 1
        stride = stride * shape[d]
    if matched == len(place.terms) == len(terms) and place.offset == ZERO:
        return [Run(1, at) for at in places]
    return [Run(count, place)]


def linear_place(value: Value, position: Position) -> Affine:
    """Where the element lies in the value's memory, in elements; Unreachable when strides do not allow it."""
    strides = value.layout()
    total = NOWHERE
    dimension = 0
    for run in position:
        last = dimension + run.count - 1
        if run.count > 1 and value.strides is not None:
            raise Unreachable(value)
        if value.shape[last] != ONE or run.count > 1:
            total = total + run.place.scale(strides[last])
        dimension += run.count
    return total


class StridedView:
    """A value seen as strides over the memory of a stored value: what a view of stored values costs."""

    __slots__ = ("base", "offset", "strides")

    def __init__(self, base: Value, offset: Poly, strides: SymbolicShape) -> None:
        self.base = base
        self.offset = offset
        self.strides = strides


def strided_view(value: Value, stored: set[Value]) -> StridedView | Value:
    """`value` as a strided view of a stored value, or the value that would have to be stored for that.

    Follows views down to the first value that is no view; pads, joins and the like end the search.
    """
    if value.leaf or value in stored or not value.view:
        if not value.leaf and value not in stored:
            return value
        steps = zip(value.shape, value.layout())
        return StridedView(value, ZERO, tuple([ZERO if extent == ONE else step for extent, step in steps]))
    extents = dict(enumerate(value.shape))
    position = position_along([None if extent == ONE else axis for axis, extent in enumerate(value.shape)])
    current = value
    while current.view and current not in stored and not current.leaf:
        try:
            pieces = pull(current, position, extents)
        except Unreachable:
            return current
        if len(pieces) != 1 or pieces[0].conditions:
            return current
        current, position = pieces[0].source, pieces[0].position
    if not current.leaf and current not in stored:
        return current
    try:
        place = linear_place(current, position)
    except Unreachable:
        return value if value.view else current
    strides = tuple([place.coefficient(axis) for axis in range(len(value.shape))])
    return StridedView(current, place.offset, strides)
