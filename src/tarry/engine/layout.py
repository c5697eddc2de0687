"""The layout of a plan: which buffer every stored value is in, and what every step's arguments are.

Sizes are not known here. What depends on them becomes a numbered value, found when the plan is bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tarry.compiler.access import StridedView, strided_view
from tarry.compiler.fuse import Copy
from tarry.compiler.lower_call import LoweredCall
from tarry.compiler.lowered import (
    BufferBinding,
    CheckBinding,
    IntBinding,
    LoweredKernel,
    LoweredProduct,
    RectangleBinding,
    ScalarBinding,
    ScratchBinding,
)
from tarry.compiler.pipeline import Compiled
from tarry.compiler.program import Value as ProgramValue
from tarry.engine.binding import Binder
from tarry.engine.depthwise import DepthwisePart
from tarry.engine.host_calls import HostCall
from tarry.engine.native import native_kernel
from tarry.engine.native_calls import native_call
from tarry.engine.products import Product
from tarry.engine.recipe import (
    KernelPart,
    Origin,
    OutputPart,
    PartialBytes,
    Recipe,
    ScratchBytes,
    Temporary,
    ValueBytes,
)
from tarry.loops.poly import ZERO, Poly
from tarry.runtime.plan import Argument, Pointer, Value


class _Place:
    """Where a stored value lives: leaf, output or arena number among the plan's buffers, or a temporary."""

    __slots__ = ("buffer", "first", "last", "offset_value", "value")

    def __init__(self, value: ProgramValue, buffer: int, offset_value: int, first: int) -> None:
        self.value = value
        self.buffer = buffer
        self.offset_value = offset_value
        self.first = first
        self.last = first


def lay_out(compiled: Compiled, leaf_sizes: list[int], origins: Sequence[Origin]) -> Recipe:
    """The recipe of a compiled program. The compilation of its kernels begins in the background."""
    return Layout(compiled, leaf_sizes, origins).recipe


class Layout:
    """A recipe in the making."""

    def __init__(self, compiled: Compiled, leaf_sizes: list[int], origins: Sequence[Origin]) -> None:
        self.recipe = Recipe(leaf_sizes)
        self._compiled = compiled
        self._origins = origins
        self._polys: dict[Poly, int] = {}
        self._scalars: dict[tuple[int, str], int] = {}
        self._places: dict[ProgramValue, _Place] = {}
        self._fresh: list[ProgramValue] = []  # values that get buffers of their own, in order
        self._place_values()
        self._add_parts()
        recipe = self.recipe
        recipe.polys = list(self._polys.items())
        recipe.scalars = [(number, name, value) for (number, name), value in self._scalars.items()]
        recipe.fresh = [_bytes_of(value) for value in self._fresh]
        recipe.fresh_first = [self._places[value].first for value in self._fresh]
        copies = [value for value in compiled.stored if isinstance(value.primitive, Copy)]
        recipe.copies = [_bytes_of(value) for value in copies]
        recipe.outputs = [self._output(output) for output in compiled.outputs]

    # places of values

    def _place_values(self) -> None:
        compiled = self._compiled
        wanted: set[ProgramValue] = set()
        for output in compiled.outputs:
            base = output.base if isinstance(output, StridedView) else output
            if not base.leaf:
                wanted.add(base)
        taken = compiled.takeovers.settled
        root: dict[ProgramValue, ProgramValue] = {}
        for value in compiled.stored:
            under = taken.get(value)
            root[value] = value if under is None else root.get(under, under)
        outside = {root[value] for value in wanted}
        self._fresh = [value for value in compiled.stored if root[value] is value and value in outside]
        fresh = {value: number for number, value in enumerate(self._fresh)}
        leaves = compiled.takeovers.leaves
        self.recipe.inherits = [[leaf.node for leaf in leaves.get(value, ())] for value in self._fresh]
        written = self._written()
        for value in compiled.stored:
            home = root[value]
            if home.leaf:
                self._places[value] = _Place(home, home.node, -1, written[value])
            elif home is not value:
                self._places[value] = self._places[home]
            elif value in fresh:
                number = len(self.recipe.leaf_sizes) + fresh[value]
                self._places[value] = _Place(value, number, -1, written[value])
            else:
                self._places[value] = _Place(value, -1, self.new_values(1), written[value])
        self._stored = set(self._places)
        self._note_uses()
        for value in compiled.stored:
            place = self._places[value]
            if place.value is value and place.buffer < 0:
                size = _bytes_of(value)
                self.add_temporary(Temporary(size, place.first, place.last, place.offset_value))

    def _written(self) -> dict[ProgramValue, int]:
        """The step that writes each stored value first."""
        written: dict[ProgramValue, int] = {}
        for number, step in enumerate(self._compiled.steps):
            if isinstance(step, LoweredCall):
                written.update((value, number) for value in step.results)
                continue
            if isinstance(step, LoweredProduct):
                written[step.value] = number
            kernel = step.epilogue if isinstance(step, LoweredProduct) else step
            if kernel is None:
                continue
            for binding, param in zip(kernel.bindings, kernel.kernel.params):
                if isinstance(binding, BufferBinding) and getattr(param, "mode", "in") != "in":
                    written.setdefault(binding.value, number)
        return written

    def _note_uses(self) -> None:
        for number, step in enumerate(self._compiled.steps):
            kernel: LoweredKernel | None = None
            if isinstance(step, LoweredCall):
                used = [*step.results, *[view.base for view in step.operands]]
            elif isinstance(step, LoweredProduct):
                used = [step.value, *[view.base for view in self._operands(step)]]
                kernel = step.epilogue
            else:
                used, kernel = [], step
            if kernel is not None:
                used += [b.value for b in kernel.bindings if isinstance(b, BufferBinding)]
            for value in used:
                place = self._places.get(value)
                if place is not None:
                    place.last = max(place.last, number)

    def _operands(self, step: LoweredProduct) -> list[StridedView]:
        """The operands of a product as strides over stored values."""
        found = [strided_view(source, self._stored) for source in step.value.inputs]
        assert all(isinstance(view, StridedView) for view in found)
        return found  # type: ignore[return-value]

    def _output(self, output: ProgramValue | StridedView) -> OutputPart:
        base = output.base if isinstance(output, StridedView) else output
        home = base if base.leaf else self._places[base].value
        place = home.node if home.leaf else self._fresh.index(home)
        if isinstance(output, StridedView):
            return OutputPart(home.leaf, place, output.offset, tuple(output.strides), False)
        return OutputPart(home.leaf, place, ZERO, tuple(base.layout()), True)

    # steps

    def _add_parts(self) -> None:
        steps = self._compiled.steps
        # All kernels first: they are compiled in the background.
        kernels = [native_kernel(step.kernel) if isinstance(step, LoweredKernel) else None for step in steps]
        for number, (step, kernel) in enumerate(zip(steps, kernels)):
            if isinstance(step, LoweredProduct):
                self.recipe.parts.append(Product(self, number, step, self._operands(step)))
            elif isinstance(step, LoweredCall):
                if step.call.routine == "depthwise":
                    self.recipe.parts.append(DepthwisePart(self, number, step))
                elif step.call.routine:
                    self.recipe.parts.append(native_call(self, number, step))
                else:
                    origin = self._origins[step.value.node]
                    self.recipe.parts.append(HostCall(self, step, origin))
                    self.recipe.portable = False
            else:
                assert kernel is not None
                arguments = self.arguments(number, step)
                chunks = self.new_values(1)
                if kernel.partial_bytes:
                    size = PartialBytes(kernel.partial_bytes, number)
                    arguments.append(self._temporary_pointer(size, number))
                self.recipe.parts.append(KernelPart(kernel.text, step.work, chunks, arguments))

    def new_values(self, count: int) -> int:
        """Reserve `count` consecutive values; returns the first."""
        first = self.recipe.count
        self.recipe.count += count
        return first

    def add_temporary(self, temporary: Temporary) -> None:
        self.recipe.temporaries.append(temporary)

    @property
    def _arena(self) -> int:
        return len(self.recipe.leaf_sizes) + len(self._fresh)

    def arena_offset(self, value: ProgramValue) -> int | None:
        """The value with the place of a temporary in the arena; None for what has a buffer of its own."""
        place = None if value.leaf else self._places[value].offset_value
        return None if place is None or place < 0 else place

    def arena_pointer(self, offset_value: int) -> Pointer:
        return Pointer(self._arena, Value(offset_value))

    def poly_value(self, poly: Poly) -> int:
        """The value that is a polynomial over the arguments."""
        number = self._polys.get(poly)
        if number is None:
            number = self._polys[poly] = self.new_values(1)
        return number

    def pointer(self, value: ProgramValue) -> Pointer:
        if value.leaf:
            return Pointer(value.node)
        place = self._places[value]
        if place.buffer >= 0:
            return Pointer(place.buffer)
        return self.arena_pointer(place.offset_value)

    def arguments(self, number: int, step: LoweredKernel) -> list[Argument]:
        """What the parameters of kernel `step`, part of step `number`, are bound to."""
        arguments: list[Argument] = []
        for binding in step.bindings:
            if isinstance(binding, BufferBinding):
                arguments.append(self.pointer(binding.value))
            elif isinstance(binding, IntBinding):
                arguments.append(Value(self.poly_value(binding.poly)))
            elif isinstance(binding, ScalarBinding):
                arguments.append(Value(self._scalar_value(binding)))
            elif isinstance(binding, ScratchBinding):
                size = ScratchBytes(binding.extent, binding.dtype.size, number, binding.shared)
                arguments.append(self._temporary_pointer(size, number))
            elif isinstance(binding, CheckBinding):
                arguments.append(len(self.recipe.checks))
                self.recipe.checks.append(self._origins[binding.value.node])
            elif isinstance(binding, RectangleBinding):
                arguments.append(0)
            else:
                arguments.append(Pointer(self._arena + 1))  # the status buffer
        return arguments

    def _scalar_value(self, binding: ScalarBinding) -> int:
        key = (binding.number, binding.dtype.name)
        found = self._scalars.get(key)
        if found is None:
            found = self._scalars[key] = self.new_values(1)
        return found

    def _temporary_pointer(self, size: Callable[[Binder], int], step: int) -> Pointer:
        offset = self.new_values(1)
        self.add_temporary(Temporary(size, step, step, offset))
        return self.arena_pointer(offset)


def _bytes_of(value: ProgramValue) -> ValueBytes:
    return ValueBytes(tuple(value.shape), value.dtype.size)
