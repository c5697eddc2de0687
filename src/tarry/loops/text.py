"""The text of kernels, printed; `loops.parse` is the inverse.

One statement stands on a line, two spaces of indentation a loop:

  kernel row_sum(x0: in float32, y0: out float32, t0: scratch float32[4*n0], n0: int, c0: scalar float32)
    parallel i0 < n0                  loop, vector or parallel vector; an extent is a coefficient or a value
      declare a0: sum float32         the combiner and one dtype per component
      v0: float32 = const 0.5         numbers as in Python; true, false; (real, imaginary)
      v1 = scalar c0                  also: size n0
      v2 = index i0*n0 + 4
      v3 = load x0[i0*4*n0 + 1] if v9
      v4 = add v0, v1
      v5 = libm pow(v6, v7) if v9
      a0 <- v4
      v8 = read a0.0
      store y0[i0] = v8 if v9
      check v9 else status0(slot 2, index v2, extent v10)

A value's dtype is written where its operation does not imply it (const, cast, bitcast) or contradicts it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from tarry.base.dtypes import Dtype, bool_, complex64, float32, float64, int64
from tarry.loops.ir import (
    Access,
    Accumulator,
    BufferParam,
    Coefficient,
    Declare,
    Instr,
    IntParam,
    Kernel,
    Linear,
    Loop,
    LoopVar,
    Param,
    ScalarParam,
    Statement,
    Store,
    Update,
)
from tarry.loops.operations import PURE

MODES = ("in", "out", "update", "scratch", "partial", "status")
_PREFIXES = {"in": "x", "out": "y", "update": "u", "scratch": "t", "partial": "p", "status": "status"}

Named = Param | LoopVar | Instr | Accumulator


def implied_dtype(op: str, args: Sequence[Instr], attribute: object) -> Dtype | None:
    """The dtype an operation gives by itself; None where the instruction must say it."""
    if op == "load" and isinstance(attribute, Access):
        return attribute.buffer.dtype
    if op == "scalar" and isinstance(attribute, ScalarParam):
        return attribute.dtype
    if op == "read" and isinstance(attribute, tuple):
        accumulator, component = attribute
        return accumulator.dtypes[component] if 0 <= component < len(accumulator.dtypes) else None
    if op in ("size", "index"):
        return int64
    if op == "libm":
        return float64
    operation = PURE.get(op)
    if operation is None or len(args) != operation.arity:
        return None
    if operation.rule == "free":
        return {"complex": complex64, "real": float32, "imag": float32}.get(op)
    if operation.rule == "compare":
        return bool_
    return args[1].dtype if operation.rule == "select" else args[0].dtype


def walk(body: Sequence[Statement]) -> Iterator[Statement]:
    """Every statement in the order of the text, loops before their bodies."""
    stack = [iter(body)]
    while stack:
        statement = next(stack[-1], None)
        if statement is None:
            stack.pop()
            continue
        yield statement
        if isinstance(statement, Loop):
            stack.append(iter(statement.body))


# printing


def print_kernel(kernel: Kernel, canonical: bool = False) -> str:
    """The text of a kernel, ending in a newline.

    With `canonical`, names follow the order of appearance and numbers take the form of their dtype, so
    that kernels of equal structure have equal text. Otherwise names stay; a missing name, or one that
    something else has already, becomes a fresh one.

    >>> from tarry.loops.parse import parse_kernel
    >>> kernel = parse_kernel("kernel fill(y: out int8)\\n  v: int8 = const 1\\n  store y[0] = v")
    >>> print(print_kernel(kernel, canonical=True).rstrip())
    kernel kernel(y0: out int8)
      v0: int8 = const 1
      store y0[0] = v0
    """
    printer = KernelPrinter(kernel, canonical)
    lines = [printer.header()]
    stack = [iter(kernel.body)]
    while stack:
        statement = next(stack[-1], None)
        if statement is None:
            stack.pop()
            continue
        lines.append("  " * len(stack) + printer.line(statement))
        if isinstance(statement, Loop):
            stack.append(iter(statement.body))
    return "\n".join(lines) + "\n"


class KernelPrinter:
    """Prints single lines of one kernel under consistent names."""

    def __init__(self, kernel: Kernel, canonical: bool = False) -> None:
        self._kernel = kernel
        self._canonical = canonical
        self._names: dict[int, str] = {}
        self._counts: dict[str, int] = {}
        if canonical:
            for item in _definitions(kernel):
                if id(item) not in self._names:
                    self._names[id(item)] = self._next(_prefix(item))
            return
        taken: set[str] = set()
        unnamed: list[Named] = []
        for item in _definitions(kernel):
            if not item.name or item.name in taken:
                unnamed.append(item)
            elif id(item) not in self._names:
                self._names[id(item)] = item.name
                taken.add(item.name)
        for item in unnamed:
            if id(item) not in self._names:
                self._names[id(item)] = self._fresh(_prefix(item), taken)

    def _fresh(self, prefix: str, taken: set[str]) -> str:
        name = self._next(prefix)
        while name in taken:
            name = self._next(prefix)
        return name

    def _next(self, prefix: str) -> str:
        number = self._counts.get(prefix, 0)
        self._counts[prefix] = number + 1
        return f"{prefix}{number}"

    def name(self, item: Named) -> str:
        # A use without a definition is an error, but one that the verifier must be able to print.
        found = self._names.get(id(item))
        return found if found is not None else item.name or "?"

    def header(self) -> str:
        name = "kernel" if self._canonical else self._kernel.name
        return f"kernel {name}({', '.join(self._param(param) for param in self._kernel.params)})"

    def line(self, statement: Statement) -> str:
        """The line of one statement; of a loop, its first."""
        if isinstance(statement, Instr):
            return self._instr(statement)
        if isinstance(statement, Loop):
            words = ["parallel"] if statement.parallel else []
            words += ["vector"] if statement.vector else []
            extent = statement.extent
            text = self.name(extent) if isinstance(extent, Instr) else self._coefficient(extent)
            return f"{' '.join(words) or 'loop'} {self.name(statement.var)} < {text}"
        if isinstance(statement, Declare):
            accumulator = statement.accumulator
            dtypes = ", ".join(dtype.name for dtype in accumulator.dtypes)
            return f"declare {self.name(accumulator)}: {accumulator.combiner} {dtypes}"
        if isinstance(statement, Update):
            return f"{self.name(statement.accumulator)} <- {self._list(statement.values)}"
        if isinstance(statement, Store):
            target = self._access(statement.access)
            return f"store {target} = {self.name(statement.value)}" + self._guard(statement.guard)
        status, slot = self.name(statement.status), self._coefficient(statement.slot)
        index, extent_name = self.name(statement.index), self.name(statement.extent)
        good = self.name(statement.good)
        return f"check {good} else {status}(slot {slot}, index {index}, extent {extent_name})"

    def _param(self, param: Param) -> str:
        name = self.name(param)
        if isinstance(param, IntParam):
            return f"{name}: int"
        if isinstance(param, ScalarParam):
            return f"{name}: scalar {param.dtype.name}"
        extent = "" if param.extent is None else f"[{self._coefficient(param.extent)}]"
        return f"{name}: {param.mode} {param.dtype.name}{extent}"

    def _instr(self, instr: Instr) -> str:
        implied = implied_dtype(instr.op, instr.args, instr.attribute)
        dtype = "" if implied is instr.dtype else f": {instr.dtype.name}"
        return f"{self.name(instr)}{dtype} = {instr.op}{self._operands(instr)}"

    def _operands(self, instr: Instr) -> str:
        attribute = instr.attribute
        if instr.op == "const":
            return " " + print_number(attribute, instr.dtype if self._canonical else None)
        if isinstance(attribute, (ScalarParam, IntParam)):
            return " " + self.name(attribute)
        if isinstance(attribute, Linear):
            return " " + self._linear(attribute)
        if isinstance(attribute, Access):
            guard = instr.args[0] if instr.args else None
            return f" {self._access(attribute)}" + self._guard(guard)
        if instr.op == "read" and isinstance(attribute, tuple):
            return f" {self.name(attribute[0])}.{attribute[1]}"
        if instr.op == "libm" and instr.args:
            return f" {attribute}({self._list(instr.args[1:])})" + self._guard(instr.args[0])
        return f" {self._list(instr.args)}" if instr.args else ""

    def _list(self, values: Sequence[Instr]) -> str:
        return ", ".join(self.name(value) for value in values)

    def _guard(self, guard: Instr | None) -> str:
        return "" if guard is None else f" if {self.name(guard)}"

    def _access(self, access: Access) -> str:
        return f"{self.name(access.buffer)}[{self._linear(access.position)}]"

    def _linear(self, position: Linear) -> str:
        parts = []
        for factor, coefficient in position.terms:
            if factor is None:
                parts.append(self._coefficient(coefficient))
            elif coefficient.param is None and coefficient.multiplier == 1:
                parts.append(self.name(factor))
            else:
                parts.append(f"{self.name(factor)}*{self._coefficient(coefficient)}")
        return " + ".join(parts) or "0"

    def _coefficient(self, coefficient: Coefficient) -> str:
        if coefficient.param is None:
            return str(coefficient.multiplier)
        name = self.name(coefficient.param)
        return name if coefficient.multiplier == 1 else f"{coefficient.multiplier}*{name}"


def _definitions(kernel: Kernel) -> Iterator[Named]:
    yield from kernel.params
    for statement in walk(kernel.body):
        if isinstance(statement, Instr):
            yield statement
        elif isinstance(statement, Loop):
            yield statement.var
        elif isinstance(statement, Declare):
            yield statement.accumulator


def _prefix(item: Named) -> str:
    if isinstance(item, BufferParam):
        return _PREFIXES.get(item.mode, "x")
    if isinstance(item, IntParam):
        return "n"
    if isinstance(item, ScalarParam):
        return "c"
    if isinstance(item, LoopVar):
        return "i"
    return "a" if isinstance(item, Accumulator) else "v"


def print_number(value: object, dtype: Dtype | None = None) -> str:
    """A number so that it parses back exactly; with a dtype, in the form of its kind where that is exact."""
    if dtype is not None:
        value = _as_kind(value, dtype.kind)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        if math.isnan(value):
            return "-nan" if math.copysign(1.0, value) < 0 else "nan"
        return repr(float(value))
    if isinstance(value, complex):
        return f"({print_number(value.real)}, {print_number(value.imag)})"
    return repr(value)


def _as_kind(value: object, kind: str) -> object:
    if not isinstance(value, (int, float, complex)):
        return value
    converted: complex | float | int | bool = value
    if kind == "c":
        converted = complex(value)
    elif kind == "f" and isinstance(value, (int, float)):
        converted = float(value)
    elif kind in "ui" and isinstance(value, int):
        converted = int(value)
    elif kind == "b" and value in (0, 1):
        converted = bool(value)
    # A NaN is unequal to its own conversion, but only integers can lose digits here.
    return converted if converted == value or not isinstance(value, int) else value
