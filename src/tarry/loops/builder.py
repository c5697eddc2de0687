"""Builds kernels: types are checked, equal values are made once, invariant values leave their loops.

Every value is placed in the outermost open block where its arguments are known, so loop-invariant code
motion and common-subexpression elimination are done by construction. Loads of `in` buffers move too;
`read` of an accumulator and loads of buffers the kernel writes stay where they are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from tarry.base.dtypes import Dtype, bool_, complex64, float32, float64, int64
from tarry.loops.combiners import COMBINERS
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

# Of the names of buffers, by their modes.
_PREFIXES = {"in": "x", "out": "y", "update": "u", "scratch": "t", "partial": "p", "status": "status"}


class _Block:
    __slots__ = ("depth", "known", "parent", "statements")

    def __init__(self, parent: _Block | None) -> None:
        self.parent = parent
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.statements: list[Statement] = []
        self.known: dict[object, Instr] = {}


class Builder:
    """Appends statements to the innermost open block of one kernel."""

    def __init__(self, name: str = "kernel") -> None:
        self.name = name
        self.params: list[Param] = []
        self._block = _Block(None)
        self._depths: dict[int, int] = {}
        self._keep: list[object] = []  # ids in keys stay unique while their objects live
        self._numbers: dict[str, int] = {}

    # parameters

    def buffer(self, dtype: Dtype, mode: str, extent: Coefficient | None = None) -> BufferParam:
        prefix = _PREFIXES[mode]
        param = BufferParam(self._fresh(prefix), dtype, mode, extent)
        self.params.append(param)
        return param

    def integer(self) -> IntParam:
        param = IntParam(self._fresh("n"))
        self.params.append(param)
        return param

    def scalar_param(self, dtype: Dtype) -> ScalarParam:
        param = ScalarParam(self._fresh("c"), dtype)
        self.params.append(param)
        return param

    # structure

    def open_loop(
        self, extent: Coefficient | Instr, parallel: bool = False, vector: bool = False
    ) -> Loop:
        loop = Loop(LoopVar(self._fresh("i")), extent, [], parallel, vector)
        self._block = _Block(self._block)
        loop.body = self._block.statements
        self._depths[id(loop.var)] = self._block.depth
        self._keep.append(loop)
        return loop

    def close_loop(self, loop: Loop) -> None:
        parent = self._block.parent
        if parent is None or loop.body is not self._block.statements:
            raise AssertionError(f"[builder] close_loop({loop.var.name}) is not the innermost open loop.")
        self._block = parent
        parent.statements.append(loop)

    def finish(self) -> Kernel:
        if self._block.parent is not None:
            raise AssertionError("[builder] finish() with an open loop.")
        return Kernel(self.name, self.params, self._block.statements)

    def declare(self, combiner: str, dtypes: Sequence[Dtype]) -> Accumulator:
        accumulator = Accumulator(self._fresh("a"), combiner, tuple(dtypes))
        self._block.statements.append(Declare(accumulator))
        return accumulator

    def update(self, accumulator: Accumulator, *values: Instr) -> None:
        got = tuple(value.dtype for value in values)
        if got != accumulator.dtypes:
            raise TypeError(f"[update] {accumulator.combiner} of {accumulator.dtypes} cannot take {got}.")
        self._block.statements.append(Update(accumulator, values))

    def read(self, accumulator: Accumulator, component: int = 0) -> Instr:
        instr = Instr("read", accumulator.dtypes[component], (), (accumulator, component), self._fresh("v"))
        return self._append(instr, self._block)

    def store(self, buffer: BufferParam, position: Linear, value: Instr, guard: Instr | None = None) -> None:
        if value.dtype is not buffer.dtype:
            raise TypeError(f"[store] {value.dtype.name} into a {buffer.dtype.name} buffer.")
        self._block.statements.append(Store(Access(buffer, position), value, guard))

    def check(self, status: BufferParam, good: Instr, index: Instr, extent: Instr, slot: Coefficient) -> None:
        self._block.statements.append(Check(status, good, index, extent, slot))

    # values

    def const(self, value: complex | float | int | bool, dtype: Dtype) -> Instr:
        if dtype.kind == "f" and not isinstance(value, complex):
            value = float(value)
        key = ("const", dtype.code, repr(value))
        return self._place(key, "const", dtype, (), value)

    def scalar(self, param: ScalarParam) -> Instr:
        return self._place(("scalar", id(param)), "scalar", param.dtype, (), param)

    def size(self, param: IntParam) -> Instr:
        return self._place(("size", id(param)), "size", int64, (), param)

    def index(self, position: Linear) -> Instr:
        return self._place(("index", position.key), "index", int64, (), position)

    def load(self, buffer: BufferParam, position: Linear, guard: Instr | None = None) -> Instr:
        args = () if guard is None else (guard,)
        access = Access(buffer, position)
        if buffer.mode != "in":
            instr = Instr("load", buffer.dtype, args, access, self._fresh("v"))
            return self._append(instr, self._block)
        key = ("load", id(buffer), position.key, tuple(map(id, args)))
        return self._place(key, "load", buffer.dtype, args, access)

    def libm(self, function: str, guard: Instr, *values: Instr) -> Instr:
        """A call of a C function of float64 values where `guard` holds, for rare arguments; 0 elsewhere."""
        args = (guard, *values)
        return self._place(("libm", function, *map(id, args)), "libm", float64, args, function)

    def apply(self, op: str, *args: Instr, dtype: Dtype | None = None) -> Instr:
        """The value of a pure operation."""
        operation = PURE.get(op)
        if operation is None or len(args) != operation.arity:
            raise TypeError(f"[{op}] is not an operation of {len(args)} arguments.")
        result = self._type_of(op, operation.rule, operation.kinds, args, dtype)
        key = (op, result.code, tuple(map(id, args)))
        return self._place(key, op, result, args, None)

    def _type_of(self, op: str, rule: str, kinds: str, args: tuple[Instr, ...], dtype: Dtype | None) -> Dtype:
        if rule == "free":
            if op == "complex":
                return complex64
            if op in ("real", "imag"):
                return float32
            assert dtype is not None, op
            return dtype
        operands = args[1:] if rule == "select" else args
        first = operands[0].dtype
        if first.kind not in kinds or any(arg.dtype is not first for arg in operands):
            names = ", ".join(arg.dtype.name for arg in args)
            raise TypeError(f"[{op}] does not take ({names}).")
        if rule == "select" and args[0].dtype is not bool_:
            raise TypeError(f"[select] needs a bool condition, not {args[0].dtype.name}.")
        return bool_ if rule == "compare" else first

    def cast(self, value: Instr, dtype: Dtype) -> Instr:
        return value if value.dtype is dtype else self.apply("cast", value, dtype=dtype)

    def bitcast(self, value: Instr, dtype: Dtype) -> Instr:
        if value.dtype.size != dtype.size:
            raise TypeError(f"[bitcast] {value.dtype.name} and {dtype.name} differ in size.")
        return value if value.dtype is dtype else self.apply("bitcast", value, dtype=dtype)

    def add(self, a: Instr, b: Instr) -> Instr:
        return self.apply("add", a, b)

    def sub(self, a: Instr, b: Instr) -> Instr:
        return self.apply("sub", a, b)

    def mul(self, a: Instr, b: Instr) -> Instr:
        return self.apply("mul", a, b)

    def div(self, a: Instr, b: Instr) -> Instr:
        return self.apply("div", a, b)

    def fma(self, a: Instr, b: Instr, c: Instr) -> Instr:
        return self.apply("fma", a, b, c)

    def neg(self, a: Instr) -> Instr:
        return self.apply("neg", a)

    def select(self, condition: Instr, a: Instr, b: Instr) -> Instr:
        return self.apply("select", condition, a, b)

    def logical_and(self, a: Instr, b: Instr) -> Instr:
        return self.apply("and", a, b)

    def logical_not(self, a: Instr) -> Instr:
        return self.apply("not", a)

    # placing

    def _fresh(self, prefix: str) -> str:
        number = self._numbers.get(prefix, 0)
        self._numbers[prefix] = number + 1
        return f"{prefix}{number}"

    def _append(self, instr: Instr, block: _Block) -> Instr:
        block.statements.append(instr)
        self._depths[id(instr)] = block.depth
        self._keep.append(instr)
        return instr

    def _depth(self, args: tuple[Instr, ...], attribute: object) -> int:
        depth = 0
        for arg in args:
            depth = max(depth, self._depths[id(arg)])
        position = attribute.position if isinstance(attribute, Access) else attribute
        if isinstance(position, Linear):
            for factor, _ in position.terms:
                if factor is not None:
                    depth = max(depth, self._depths[id(factor)])
        return depth

    def _place(
        self, key: object, op: str, dtype: Dtype, args: tuple[Instr, ...], attribute: object
    ) -> Instr:
        depth = self._depth(args, attribute)
        block = self._block
        while block.depth > depth:
            block = cast(_Block, block.parent)
        known = block.known.get(key)
        if known is not None:
            return known
        instr = Instr(op, dtype, args, attribute, self._fresh("v"))
        block.known[key] = instr
        return self._append(instr, block)


def linear(*terms: tuple[LoopVar | Instr | None, Coefficient]) -> Linear:
    """A position from its terms; zero coefficients are dropped."""
    return Linear(tuple(t for t in terms if t[1].multiplier != 0))


def combine(builder: Builder, combiner: str, left: Sequence[Instr], right: Sequence[Instr]) -> list[Instr]:
    """The components of two partial reductions, combined; `left` stands before `right`."""
    return COMBINERS[combiner].combine(builder, left, right)
