"""Lowering of matrix products: the elementwise members of a product's group become its epilogue.

An epilogue is an ordinary loop nest over a rectangle of the product C: it loads finished elements of C,
computes, and stores. Its first parameters say which rectangle, in this order (`RECTANGLE`); rows are counted
through all batch dimensions. The product's kernel calls it on each piece of C while that is still in cache.
"""

from __future__ import annotations

from tarry.compiler.access import linear_place
from tarry.compiler.emission import Emission
from tarry.compiler.group import Group, Member
from tarry.compiler.lowered import LoweredKernel, LoweredProduct, RectangleBinding, Work
from tarry.compiler.program import Value
from tarry.compiler.schedule import collapse
from tarry.compiler.trace import Instance, load_place, own_cost
from tarry.loops.builder import linear
from tarry.loops.ir import Coefficient, Instr, IntParam
from tarry.loops.poly import Affine, product
from tarry.ops.elementwise import Constant
from tarry.ops.generators import Iota

RECTANGLE = ("rows", "columns", "row", "column")


def lower_product(name: str, group: Group, live: set[Value]) -> LoweredProduct:
    """The product of a group with its epilogue; `live` are the values that need memory."""
    epilogue = EpilogueLowering(name, group, live).lower() if len(group.members) > 1 else None
    return LoweredProduct(group.value, epilogue)


def epilogue_home(group: Group, live: set[Value]) -> Value | None:
    """The member that may be computed in place of the product: nobody else reads the product."""
    if group.value in live:
        return None
    for value in group.members:
        if value is not group.value and value in live and value.dtype is group.value.dtype:
            return value
    return None


class EpilogueLowering:
    """The state of lowering the members of one product."""

    def __init__(self, name: str, group: Group, live: set[Value]) -> None:
        self.group = group
        self.live = live
        self.emission = Emission(name)
        self.builder = self.emission.builder
        self.members = [member for value, member in group.members.items() if value is not group.value]
        self.order = {instance: number for number, instance in enumerate(group.trace.instances)}

    def lower(self) -> LoweredKernel:
        rows, columns, row, column = (self._rectangle(name) for name in RECTANGLE)
        outer = self.builder.open_loop(Coefficient(1, rows), parallel=True)
        self.emission.open_scope()
        first = self.builder.index(linear((None, Coefficient(1, row)), (outer.var, Coefficient(1))))
        self._split_row(first)
        inner = self.builder.open_loop(Coefficient(1, columns), vector=True)
        self.emission.open_scope()
        self.emission.factors[len(self.group.space) - 1] = self.builder.index(
            linear((None, Coefficient(1, column)), (inner.var, Coefficient(1)))
        )
        for member in self.members:
            value = self._emit(member.sink)
            self.emission.local[member.value] = value
            if member.value in self.live:
                self._store(member, value)
        self.emission.close_scope()
        self.builder.close_loop(inner)
        self.emission.close_scope()
        self.builder.close_loop(outer)
        return LoweredKernel(self.builder.finish(), self.emission.bindings, self._work())

    def _rectangle(self, name: str) -> IntParam:
        self.emission.bindings.append(RectangleBinding(name))
        return self.builder.integer()

    def _split_row(self, row: Instr) -> None:
        """Take the row apart into the axes before the last; those that run together stay together."""
        factors = self.emission.factors
        loops = collapse(self.group.space, range(len(self.group.space) - 1), self._places())
        for number, loop in reversed(list(enumerate(loops))):
            for axis in loop.axes[:-1]:
                factors[axis] = None
            if number == 0:
                factors[loop.axis] = row
            else:
                extent = self.emission.size(("split", loop.axis), loop.extent)
                factors[loop.axis] = self.builder.apply("mod", row, extent)
                row = self.builder.apply("floordiv", row, extent)

    def _places(self) -> list[Affine]:
        """Every linear expression of the axes that the nest will use."""
        places = [linear_place(member.value, member.position) for member in self.group.members.values()]
        for instance in self.group.trace.instances:
            if instance.loaded:
                places.append(load_place(instance))
            elif isinstance(instance.value.primitive, Iota):
                places.append(instance.position[instance.value.primitive.axis].place)
            for conditions in instance.conditions:
                places.extend(condition.position for condition in conditions)
        return places

    def _emit(self, sink: Instance) -> Instr:
        needed: set[Instance] = set()
        stack = [sink]
        while stack:
            instance = stack.pop()
            if instance not in needed and self.emission.known(instance) is None:
                needed.add(instance)
                stack.extend(instance.operands)
        for instance in sorted(needed, key=self.order.__getitem__):
            self.emission.emit(instance)
        found = self.emission.known(sink)
        assert found is not None
        return found

    def _store(self, member: Member, value: Instr) -> None:
        buffer = self.emission.buffer(member.value, "out")
        place = linear_place(member.value, member.position)
        position = self.emission.position(("buffer", member.value.number), place)
        self.builder.store(buffer, position, value)

    def _work(self) -> Work:
        cost = 0
        for instance in self.group.trace.instances:
            if not isinstance(instance.value.primitive, Constant):
                cost += 1 if instance.loaded else own_cost(instance.value)
        space = self.group.space
        return Work(product(space[:-1]), space[-1], cost, False)
