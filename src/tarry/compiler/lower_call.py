"""Calls of host functions as steps of a plan."""

from __future__ import annotations

from tarry.compiler.access import StridedView, strided_view
from tarry.compiler.group import Group
from tarry.compiler.program import Value
from tarry.ops.calls import Call


class LoweredCall:
    """A call: its operands as strides over stored values and leaves, and the results that are needed."""

    __slots__ = ("call", "operands", "results", "value")

    def __init__(self, value: Value, operands: list[StridedView], results: list[Value]) -> None:
        assert isinstance(value.primitive, Call)
        self.value = value
        self.call = value.primitive
        self.operands = operands
        self.results = results

    def __repr__(self) -> str:
        results = " ".join(f"%{value.number}" for value in self.results)
        operands = " ".join(f"%{view.base.number}" for view in self.operands)
        return f"call {results} = {self.call.name} {operands}"


def lower_call(group: Group, live: set[Value]) -> LoweredCall:
    """The call of a group; `live` are the values that are read or wanted."""
    operands: list[StridedView] = []
    for source in group.value.inputs:
        view = strided_view(source, group.stored)
        assert isinstance(view, StridedView)
        operands.append(view)
    return LoweredCall(group.value, operands, [value for value in group.results if value in live])
