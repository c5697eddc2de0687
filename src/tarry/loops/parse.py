"""The text of kernels, read back: the inverse of `loops.text`, whose syntax it shares.

For tests and tools: no program needs it to run.
"""

from __future__ import annotations

import re
from typing import NoReturn

from tarry.base.dtypes import BY_NAME, Dtype
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
from tarry.loops.text import MODES, Named, implied_dtype

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
