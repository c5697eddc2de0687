"""LLVM text under construction: operands, basic blocks, scopes, and placing of pure values.

A scope is the code of one loop body (scope 0: the function). Every value has the level of the scope where it
becomes known; a pure value is placed in the outermost scope that knows its operands, once. So invariant
code and splats leave their loops, and equal expressions are made once, without a pass over the text.
"""

from __future__ import annotations

import struct

import numpy as np

from tarry.base.dtypes import Dtype, bfloat16, float16, float32, float64, to_numpy

REGISTER_TYPES: dict[str, str] = {
    "bool": "i1", "uint8": "i8", "uint16": "i16", "uint32": "i32", "uint64": "i64",
    "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "float16": "i16", "bfloat16": "i16", "float32": "float", "float64": "double",
}  # fmt: skip


def register_type(dtype: Dtype) -> str:
    """The LLVM scalar type a value of this dtype has in registers (half types: their bits)."""
    found = REGISTER_TYPES.get(dtype.name)
    if found is None:
        raise TypeError(f"[emit] {dtype.name} values must be expanded into float32 pairs before emission.")
    return found


def memory_type(dtype: Dtype) -> str:
    """The LLVM scalar type of an element in memory."""
    return "i8" if dtype.name == "bool" else register_type(dtype)


def vector_type(scalar: str, lanes: int) -> str:
    """`scalar` itself when lanes is 0."""
    return f"<{lanes} x {scalar}>" if lanes else scalar


def float_literal(value: float) -> str:
    """A double in LLVM's exact hexadecimal form; a float literal is written as the equal double."""
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


class Operand:
    """A value in LLVM text. `lanes` is 0 for a scalar; a constant is a literal and known everywhere."""

    __slots__ = ("constant", "lanes", "level", "text", "type")

    def __init__(self, text: str, type: str, lanes: int = 0, level: int = 0, constant: bool = False) -> None:
        self.text = text
        self.type = type
        self.lanes = lanes
        self.level = level
        self.constant = constant

    @property
    def full_type(self) -> str:
        return f"<{self.lanes} x {self.type}>" if self.lanes else self.type

    @property
    def typed(self) -> str:
        return f"{self.full_type} {self.text}"


def integer(value: int, type: str = "i64") -> Operand:
    """An integer literal."""
    return Operand(str(value), type, constant=True)


def real(value: float, type: str) -> Operand:
    """A float or double literal."""
    exact = float(np.float32(value)) if type == "float" else float(value)
    return Operand(float_literal(exact), type, constant=True)


TRUE = Operand("true", "i1", constant=True)
FALSE = Operand("false", "i1", constant=True)


def literal(value: object, dtype: Dtype) -> Operand:
    """The constant `value` of a dtype."""
    if dtype.kind == "b":
        return TRUE if value else FALSE
    if dtype in (float16, bfloat16):
        with np.errstate(over="ignore"):
            bits = np.array(value, to_numpy(dtype)).view(np.uint16)
        return integer(int(bits), "i16")
    if dtype is float32 or dtype is float64:
        with np.errstate(over="ignore"):
            return real(float(value), register_type(dtype))  # type: ignore[arg-type]
    bits_mask = (1 << (8 * dtype.size)) - 1
    number = int(value) & bits_mask  # type: ignore[call-overload]
    if number > bits_mask >> 1:
        number -= bits_mask + 1
    return integer(number, register_type(dtype))


class Phi:
    """A phi instruction whose incoming values are added while the loop is built."""

    __slots__ = ("incoming", "operand")

    def __init__(self, operand: Operand) -> None:
        self.operand = operand
        self.incoming: list[tuple[str, str]] = []

    def add(self, value: Operand, block: Block) -> None:
        self.incoming.append((value.text, block.label))

    def __str__(self) -> str:
        pairs = ", ".join(f"[ {text}, %{label} ]" for text, label in self.incoming)
        return f"{self.operand.text} = phi {self.operand.full_type} {pairs}"


class Block:
    """A basic block; lines can be added until the text is taken, the terminator stands apart."""

    __slots__ = ("label", "lines", "phis", "terminator")

    def __init__(self, label: str) -> None:
        self.label = label
        self.phis: list[Phi] = []
        self.lines: list[str] = []
        self.terminator = ""


class Scope:
    """The open block of one loop body and the pure values it knows."""

    __slots__ = ("block", "known")

    def __init__(self, block: Block) -> None:
        self.block = block
        self.known: dict[str, Operand] = {}


class Module:
    """What the functions of one kernel share: declarations, globals and helper functions."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.declarations: dict[str, None] = {}
        self.helpers: dict[str, str] = {}

    def declare(self, signature: str) -> None:
        self.declarations[f"declare {signature}"] = None

    def helper(self, name: str, text: str) -> str:
        """Adds an internal symbol, whose name stands as NAME in its text; the name is this kernel's own."""
        full_name = f"{self.name}.{name}"
        self.helpers[full_name] = text.replace("NAME", full_name)
        return full_name


class Writer:
    """The text of one function."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.entry = Block("entry")
        self.blocks: list[Block] = [self.entry]
        self.scopes: list[Scope] = [Scope(self.entry)]
        self._values = 0
        self._labels = 0

    # blocks and scopes

    @property
    def level(self) -> int:
        return len(self.scopes) - 1

    @property
    def here(self) -> Block:
        return self.scopes[-1].block

    def new_block(self, hint: str) -> Block:
        """A block that is not in the text yet; `enter` puts it there."""
        self._labels += 1
        return Block(f"{hint}{self._labels}")

    def place(self, block: Block) -> None:
        self.blocks.append(block)

    def enter(self, block: Block) -> None:
        """Continues the innermost scope in `block`, which its present block must dominate."""
        self.place(block)
        self.scopes[-1].block = block

    def push(self, block: Block) -> None:
        self.place(block)
        self.scopes.append(Scope(block))

    def pop(self) -> None:
        self.scopes.pop()

    def branch(self, target: Block) -> None:
        self.here.terminator = f"br label %{target.label}"

    def branch_if(self, condition: Operand, yes: Block, no: Block) -> None:
        self.here.terminator = f"br i1 {condition.text}, label %{yes.label}, label %{no.label}"

    # values

    def fresh(self, type: str, lanes: int = 0) -> Operand:
        self._values += 1
        return Operand(f"%v{self._values}", type, lanes, self.level)

    def line(self, text: str) -> None:
        self.here.lines.append(text)

    def value(self, type: str, lanes: int, text: str) -> Operand:
        """A value computed here and now: loads, and anything that must not move."""
        result = self.fresh(type, lanes)
        self.line(f"{result.text} = {text}")
        return result

    def pure(self, type: str, lanes: int, text: str, *operands: Operand) -> Operand:
        """A value without effects, computed once in the outermost scope that knows its operands."""
        level = 0
        for operand in operands:
            if operand.level > level:
                level = operand.level
        scope = self.scopes[level]
        found = scope.known.get(text)
        if found is not None:
            return found
        self._values += 1
        result = Operand(f"%v{self._values}", type, lanes, level)
        scope.block.lines.append(f"{result.text} = {text}")
        scope.known[text] = result
        return result

    def phi(self, block: Block, type: str, lanes: int, level: int) -> Phi:
        result = self.fresh(type, lanes)
        result.level = level
        phi = Phi(result)
        block.phis.append(phi)
        return phi

    def splat(self, operand: Operand, lanes: int) -> Operand:
        """The operand in every lane."""
        if operand.lanes == lanes or not lanes:
            return operand
        if operand.constant:
            return Operand(f"splat ({operand.type} {operand.text})", operand.type, lanes, 0, True)
        full = f"<{lanes} x {operand.type}>"
        first = self.pure(
            operand.type, lanes, f"insertelement {full} poison, {operand.typed}, i64 0", operand
        )
        order = f"<{lanes} x i32> zeroinitializer"
        return self.pure(
            operand.type, lanes, f"shufflevector {full} {first.text}, {full} poison, {order}", first
        )

    def binary(self, instruction: str, a: Operand, b: Operand, type: str | None = None) -> Operand:
        """`instruction` on two operands of one type; a scalar meets a vector as a splat."""
        lanes = a.lanes or b.lanes
        a, b = self.splat(a, lanes), self.splat(b, lanes)
        return self.pure(type or a.type, lanes, f"{instruction} {a.typed}, {b.text}", a, b)

    def convert(self, instruction: str, a: Operand, type: str) -> Operand:
        """A conversion instruction to another scalar type, same lanes."""
        return self.pure(type, a.lanes, f"{instruction} {a.typed} to {vector_type(type, a.lanes)}", a)

    def select(self, condition: Operand, a: Operand, b: Operand) -> Operand:
        """A scalar condition chooses whole vectors."""
        lanes = condition.lanes or a.lanes or b.lanes
        a, b = self.splat(a, lanes), self.splat(b, lanes)
        text = f"select {condition.typed}, {a.typed}, {b.typed}"
        return self.pure(a.type, lanes, text, condition, a, b)

    def intrinsic(self, name: str, *arguments: Operand, flags: str = "") -> Operand:
        """An overloaded LLVM intrinsic of arguments and result of one type."""
        lanes = max(argument.lanes for argument in arguments)
        operands = [self.splat(argument, lanes) for argument in arguments]
        type = operands[0].type
        full = operands[0].full_type
        symbol = f"@llvm.{name}.{type_suffix(type, lanes)}"
        extra = ", i1 false" if name == "abs" else ""
        types = ", ".join([full] * len(operands)) + (", i1" if extra else "")
        self.module.declare(f"{full} {symbol}({types})")
        values = ", ".join(operand.typed for operand in operands)
        return self.pure(type, lanes, f"call {full} {symbol}({values}{extra})", *operands)

    # integers, with the folding that index arithmetic needs

    def add(self, a: Operand, b: Operand) -> Operand:
        if a.constant and b.constant and not a.lanes and not b.lanes:
            return integer(int(a.text) + int(b.text), a.type)
        if a.constant and a.text == "0":
            return b
        if b.constant and b.text == "0":
            return a
        return self.binary("add", a, b)

    def multiply(self, a: Operand, b: Operand) -> Operand:
        if a.constant and b.constant and not a.lanes and not b.lanes:
            return integer(int(a.text) * int(b.text), a.type)
        if a.constant and a.text == "1":
            return b
        if b.constant and b.text == "1":
            return a
        return self.binary("mul", a, b)

    def iota(self, type: str, lanes: int, step: int = 1) -> Operand:
        """The constant vector 0, step, 2*step, ..."""
        items = ", ".join(f"{type} {lane * step}" for lane in range(lanes))
        return Operand(f"<{items}>", type, lanes, 0, True)

    def text(self, signature: str, attributes: str) -> str:
        lines = [f"define {signature} {attributes}{{"]
        for block in self.blocks:
            lines.append(f"{block.label}:")
            lines.extend(f"  {phi}" for phi in block.phis)
            lines.extend("  " + line for line in block.lines)
            lines.append("  " + block.terminator)
        lines.append("}")
        return "\n".join(lines) + "\n"


def type_suffix(type: str, lanes: int) -> str:
    """How intrinsic names spell a type: v8f32, i64, ..."""
    scalar = {"float": "f32", "double": "f64"}.get(type, type)
    return f"v{lanes}{scalar}" if lanes else scalar
