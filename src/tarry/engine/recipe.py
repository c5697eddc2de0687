"""Recipes: all that a plan is made of, as plain data without code, addresses or nodes.

`engine.layout` makes a recipe of a compiled program, `engine.plans` brings it to life, and
`engine.plan_cache` keeps it on disk, so that the next process plans nothing. The numbers in it are those of
`runtime.plan`: buffers, and values that are found when the plan is bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tarry.compiler.lowered import Work
from tarry.engine.binding import Binder
from tarry.loops.poly import Poly
from tarry.runtime.plan import Argument, HostStep, KernelStep

# Which of a plan's nodes something comes from, and which entry of its subgraph (graph.subgraph.Expanded).
Origin = tuple[int, int]


class ValueBytes:
    """The size of a contiguous array: elements of `size` bytes."""

    __slots__ = ("extents", "size")

    def __init__(self, extents: tuple[Poly, ...], size: int) -> None:
        self.extents = extents
        self.size = size

    def __call__(self, binder: Binder) -> int:
        count = self.size
        for extent in self.extents:
            count *= extent.evaluate(binder.arguments)
        return count


class ScratchBytes:
    """The scratch memory of kernel `step`: `extent` elements for each chunk, or once if it is `shared`."""

    __slots__ = ("extent", "shared", "size", "step")

    def __init__(self, extent: Poly, size: int, step: int, shared: bool) -> None:
        self.extent = extent
        self.size = size
        self.step = step
        self.shared = shared

    def __call__(self, binder: Binder) -> int:
        copies = 1 if self.shared else binder.chunks[self.step]
        return copies * self.extent.evaluate(binder.arguments) * self.size


class PartialBytes:
    """The partial results of kernel `step`: so many bytes for each chunk."""

    __slots__ = ("each", "step")

    def __init__(self, each: int, step: int) -> None:
        self.each = each
        self.step = step

    def __call__(self, binder: Binder) -> int:
        return binder.chunks[self.step] * self.each


class Temporary:
    """Bytes in the arena during steps first..last; `size` computes them. Its place becomes a value."""

    __slots__ = ("first", "last", "offset_value", "size")

    def __init__(self, size: Callable[[Binder], int], first: int, last: int, offset_value: int) -> None:
        self.size = size
        self.first = first
        self.last = last
        self.offset_value = offset_value


class KernelPart:
    """A step that is a kernel: its canonical text, how much it does, and what its parameters are bound to."""

    __slots__ = ("arguments", "chunk_value", "text", "work")

    def __init__(self, text: str, work: Work, chunk_value: int, arguments: list[Argument]) -> None:
        self.text = text
        self.work = work
        self.chunk_value = chunk_value
        self.arguments = arguments


class SteppingPart:
    """A step of several kernels, or of code that is no kernel."""

    __slots__ = ()

    def bind(self, binder: Binder) -> str:
        """Fill in the values for these sizes; returns what the steps depend on besides."""
        raise NotImplementedError

    def place(self, binder: Binder) -> None:
        """Fill in the values that depend on the places of temporaries."""

    def offset_values(self) -> list[tuple[int, int]]:
        """Those values, each after the one with the place it depends on."""
        return []

    def steps(self, binder: Binder) -> Sequence[KernelStep | HostStep]:
        """What runs."""
        raise NotImplementedError


Part = KernelPart | SteppingPart


class OutputPart:
    """Where a wanted value is: fresh buffer or leaf `place`; `dense` if all of it as it stands."""

    __slots__ = ("dense", "from_leaf", "offset", "place", "strides")

    def __init__(
        self, from_leaf: bool, place: int, offset: Poly, strides: tuple[Poly, ...], dense: bool
    ) -> None:
        self.from_leaf = from_leaf
        self.place = place
        self.offset = offset
        self.strides = strides
        self.dense = dense


class Recipe:
    """What to run, in what memory.

    parts        the steps in order
    count        how many values there are
    polys        the values that are polynomials over the arguments
    temporaries  what goes into the arena
    scalars      number of a Python number, dtype's name, and the value that holds it
    fresh        the sizes of the results' buffers; `inherits` has the leaves whose buffer each may take over,
                 `fresh_first` the step that first writes each
    copies       the sizes of copies the user did not ask for
    checks       what an index out of range comes from, by number of the check
    portable     whether another process can use it: no step calls Python
    """

    __slots__ = (
        "checks", "copies", "count", "fresh", "fresh_first", "inherits", "leaf_sizes", "outputs", "parts",
        "polys", "portable", "scalars", "temporaries",
    )  # fmt: skip

    def __init__(self, leaf_sizes: list[int]) -> None:
        self.leaf_sizes = leaf_sizes
        self.parts: list[Part] = []
        self.count = 0
        self.polys: list[tuple[Poly, int]] = []
        self.temporaries: list[Temporary] = []
        self.scalars: list[tuple[int, str, int]] = []
        self.fresh: list[ValueBytes] = []
        self.fresh_first: list[int] = []
        self.inherits: list[list[int]] = []
        self.copies: list[ValueBytes] = []
        self.checks: list[Origin] = []
        self.outputs: list[OutputPart] = []
        self.portable = True
