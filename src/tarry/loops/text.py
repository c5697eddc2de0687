"""The text of kernels: a printer and a parser that are each other's inverse.

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
import re
from collections.abc import Iterator, Sequence
from typing import NoReturn

from tarry.base.dtypes import BY_NAME, Dtype, bool_, complex64, float32, float64, int64
from tarry.loops.ir import (
    Access,
    Accumulator,
    BufferParam,
    Check,
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

MODES = ("in", "out", "update", "scratch", "status")
_PREFIXES = {"in": "x", "out": "y", "update": "u", "scratch": "t", "status": "status"}

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
        taken: set[str] = set()
        unnamed: list[Named] = []
        for item in _definitions(kernel):
            if canonical or not item.name or item.name in taken:
                unnamed.append(item)
            elif id(item) not in self._names:
                self._names[id(item)] = item.name
                taken.add(item.name)
        for item in unnamed:
            if id(item) not in self._names:
                self._names[id(item)] = self._fresh(_prefix(item), taken)

    def _fresh(self, prefix: str, taken: set[str]) -> str:
        while True:
            number = self._counts.get(prefix, 0)
            self._counts[prefix] = number + 1
            name = f"{prefix}{number}"
            if name not in taken:
                return name

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


# parsing

_HEADER = re.compile(r"kernel ([^()]+)\((.*)\)")
_PARAM = re.compile(r"(\w+): (\w+)(?: (\w+))?(?:\[([^\]]+)\])?")
_LOOP = re.compile(r"(parallel vector|parallel|vector|loop) (\w+) < (.+)")
_DECLARE = re.compile(r"declare (\w+): (\w+) (.+)")
_UPDATE = re.compile(r"(\w+) <- (.+)")
_STORE = re.compile(r"store (\w+)\[([^\]]*)\] = (\w+)(?: if (\w+))?")
_CHECK = re.compile(r"check (\w+) else (\w+)\(slot (.+), index (\w+), extent (\w+)\)")
_VALUE = re.compile(r"(\w+)(?:: (\w+))? = (\w+)(?: (.*))?")
_LOAD = re.compile(r"(\w+)\[([^\]]*)\](?: if (\w+))?")
_LIBM = re.compile(r"(\w+)\(([^)]*)\) if (\w+)")
_READ = re.compile(r"(\w+)\.(\d+)")
_COMPLEX = re.compile(r"\(([^,]+), ([^,]+)\)")
_INTEGER = re.compile(r"-?\d+")


def parse_kernel(text: str) -> Kernel:
    """The kernel a text stands for: the inverse of `print_kernel`. Blank lines are skipped.

    ValueError says which line is at fault. Only names and syntax are checked here; the rest is the
    verifier's.
    """
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self._lines = [(i + 1, line.rstrip()) for i, line in enumerate(text.splitlines()) if line.strip()]
        self._names: dict[str, Named] = {}
        self._number = 1

    def parse(self) -> Kernel:
        if not self._lines:
            raise ValueError("[parse_kernel] the text is empty.")
        self._number, header = self._lines[0]
        match = _HEADER.fullmatch(header)
        if match is None:
            self._fail(f"expected 'kernel name(params)', not {header!r}")
        params = self._params(match.group(2))
        kernel = Kernel(match.group(1), params, [])
        bodies = [kernel.body]
        for number, line in self._lines[1:]:
            self._number = number
            content = line.lstrip(" ")
            spaces = len(line) - len(content)
            depth, odd = divmod(spaces, 2)
            if odd or not 1 <= depth <= len(bodies):
                self._fail(f"an indentation of {spaces} fits no open loop")
            del bodies[depth:]
            statement = self._statement(content)
            bodies[-1].append(statement)
            if isinstance(statement, Loop):
                bodies.append(statement.body)
        return kernel

    def _fail(self, message: str) -> NoReturn:
        raise ValueError(f"[parse_kernel] line {self._number}: {message}.") from None

    # names

    def _define(self, item: Named) -> None:
        if item.name in self._names:
            self._fail(f"{item.name} is defined twice")
        self._names[item.name] = item

    def _find(self, name: str) -> Named:
        found = self._names.get(name)
        if found is None:
            self._fail(f"{name!r} is not defined")
        return found

    def _value(self, name: str) -> Instr:
        found = self._find(name)
        if not isinstance(found, Instr):
            self._fail(f"{name} is not a value")
        return found

    def _values(self, text: str) -> tuple[Instr, ...]:
        return tuple(self._value(name) for name in text.split(", ")) if text else ()

    def _guard(self, name: str | None) -> Instr | None:
        return None if name is None else self._value(name)

    def _buffer(self, name: str) -> BufferParam:
        found = self._find(name)
        if not isinstance(found, BufferParam):
            self._fail(f"{name} is not a buffer")
        return found

    def _accumulator(self, name: str) -> Accumulator:
        found = self._find(name)
        if not isinstance(found, Accumulator):
            self._fail(f"{name} is not an accumulator")
        return found

    def _dtype(self, name: str) -> Dtype:
        found = BY_NAME.get(name)
        if found is None:
            self._fail(f"{name!r} is not a dtype")
        return found

    # parts

    def _params(self, text: str) -> list[Param]:
        params: list[Param] = []
        extents: list[tuple[BufferParam, str]] = []
        for item in text.split(", ") if text else []:
            match = _PARAM.fullmatch(item)
            if match is None:
                self._fail(f"expected 'name: mode dtype', 'name: int' or 'name: scalar dtype', not {item!r}")
            name, mode, dtype, extent = match.groups()
            param: Param
            if mode == "int" and dtype is None:
                param = IntParam(name)
            elif mode == "scalar":
                param = ScalarParam(name, self._dtype(dtype or ""))
            else:
                if mode not in MODES:
                    self._fail(f"{mode!r} is not a mode; expected one of {', '.join(MODES)}")
                param = BufferParam(name, self._dtype(dtype or ""), mode)
                if extent is not None:
                    extents.append((param, extent))
            self._define(param)
            params.append(param)
        for buffer, extent in extents:  # an extent may name an integer that comes later
            buffer.extent = self._coefficient(extent)
        return params

    def _coefficient(self, text: str) -> Coefficient:
        multiplier, star, name = text.rpartition("*")
        if not star and _INTEGER.fullmatch(text):
            return Coefficient(int(text))
        if star and not _INTEGER.fullmatch(multiplier):
            self._fail(f"{text!r} is not a coefficient: an integer, a parameter or integer*parameter")
        param = self._find(name)
        if not isinstance(param, IntParam):
            self._fail(f"{name} is not an integer parameter")
        return Coefficient(int(multiplier) if star else 1, param)

    def _linear(self, text: str) -> Linear:
        terms: list[tuple[LoopVar | Instr | None, Coefficient]] = []
        for part in text.split(" + ") if text != "0" else []:
            head, star, rest = part.partition("*")
            factor = None if _INTEGER.fullmatch(head) else self._find(head)
            if isinstance(factor, (LoopVar, Instr)):
                terms.append((factor, self._coefficient(rest) if star else Coefficient(1)))
            else:
                terms.append((None, self._coefficient(part)))
        return Linear(tuple(terms))

    def _statement(self, line: str) -> Statement:
        if match := _LOOP.fullmatch(line):
            words, name, extent_text = match.groups()
            extent: Coefficient | Instr
            if isinstance(self._names.get(extent_text), Instr):
                extent = self._value(extent_text)
            else:
                extent = self._coefficient(extent_text)
            loop = Loop(LoopVar(name), extent, [], "parallel" in words, "vector" in words)
            self._define(loop.var)
            return loop
        if match := _DECLARE.fullmatch(line):
            dtypes = tuple(self._dtype(name) for name in match.group(3).split(", "))
            accumulator = Accumulator(match.group(1), match.group(2), dtypes)
            self._define(accumulator)
            return Declare(accumulator)
        if match := _UPDATE.fullmatch(line):
            return Update(self._accumulator(match.group(1)), self._values(match.group(2)))
        if match := _STORE.fullmatch(line):
            access = Access(self._buffer(match.group(1)), self._linear(match.group(2)))
            return Store(access, self._value(match.group(3)), self._guard(match.group(4)))
        if match := _CHECK.fullmatch(line):
            good, status, slot, index, extent_text = match.groups()
            found = (self._buffer(status), self._value(good), self._value(index), self._value(extent_text))
            return Check(*found, self._coefficient(slot))
        return self._instr(line)

    def _instr(self, line: str) -> Instr:
        match = _VALUE.fullmatch(line)
        if match is None:
            self._fail(f"{line!r} is not a statement")
        name, dtype_name, op, operands = match.groups()
        args, attribute = self._operands(op, operands or "")
        dtype = implied_dtype(op, args, attribute) if dtype_name is None else self._dtype(dtype_name)
        if dtype is None:
            self._fail(f"{op} of {len(args)} arguments needs a dtype")
        instr = Instr(op, dtype, args, attribute, name)
        self._define(instr)
        return instr

    def _operands(self, op: str, text: str) -> tuple[tuple[Instr, ...], object]:
        if op == "const":
            return (), self._constant(text)
        if op in ("scalar", "size"):
            return (), self._find(text)
        if op == "index":
            return (), self._linear(text)
        if op == "load" and (match := _LOAD.fullmatch(text)):
            guard = self._guard(match.group(3))
            access = Access(self._buffer(match.group(1)), self._linear(match.group(2)))
            return (() if guard is None else (guard,)), access
        if op == "read" and (match := _READ.fullmatch(text)):
            return (), (self._accumulator(match.group(1)), int(match.group(2)))
        if op == "libm" and (match := _LIBM.fullmatch(text)):
            return (self._value(match.group(3)), *self._values(match.group(2))), match.group(1)
        if op in ("load", "read", "libm"):
            self._fail(f"{text!r} is not what {op} takes")
        return self._values(text), None

    def _constant(self, text: str) -> complex | float | int | bool:
        if text in ("true", "false"):
            return text == "true"
        if _INTEGER.fullmatch(text):
            return int(text)
        match = _COMPLEX.fullmatch(text)
        try:
            if match is not None:
                return complex(float(match.group(1)), float(match.group(2)))
            return float(text)
        except ValueError:
            self._fail(f"{text!r} is not a number")
