"""Scalar operations -> LLVM instructions, on scalars or lanes alike.

No fast-math flag is ever set: a fused kernel gives the same bits as its parts. Every operation is total:
division and conversion are guarded so that no input traps or is undefined.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.base.dtypes import Dtype
from tarry.codegen.assemble import Target
from tarry.codegen.emit_casts import Casts
from tarry.codegen.emit_writer import FALSE, Operand, Writer, integer, real, register_type

_FLOAT_BINARY = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_INTEGER_BINARY = {"add": "add", "sub": "sub", "mul": "mul", "and": "and", "or": "or", "xor": "xor"}
_FLOAT_UNARY = {
    "sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "round": "roundeven", "trunc": "trunc", "abs": "fabs",
}  # fmt: skip
_FLOAT_COMPARE = {"eq": "oeq", "ne": "une", "lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge"}

# Adding it leaves the integer value of a small float in the low bits of its pattern.
_MAGIC = {"float": 1.5 * 2.0**23, "double": 1.5 * 2.0**52}


class Arithmetic:
    """Applies the pure operations of loops.operations to operands."""

    def __init__(self, writer: Writer, target: Target) -> None:
        self.writer = writer
        self.target = target
        self.casts = Casts(writer, target)

    def apply(self, op: str, result: Dtype, source: Dtype, args: Sequence[Operand]) -> Operand:
        """One operation; `source` is the dtype of the last argument, `result` of the value."""
        if op == "cast":
            return self.casts.cast(args[0], source, result)
        if op == "bitcast":
            return self._bitcast(args[0], result)
        if op == "select":
            return self.writer.select(args[0], args[1], args[2])
        if op in _FLOAT_COMPARE:
            return self._compare(op, source, args[0], args[1])
        if source.kind == "b":
            value = self._logical(op, args)
        elif source.kind == "f":
            value = self._floating(op, args)
        else:
            value = self._integer(op, source, args)
        if value is None:
            raise TypeError(f"[emit] {op} of {source.name} is not basic: expand the kernel first.")
        return value

    def fma(self, a: Operand, b: Operand, c: Operand) -> Operand:
        """a*b + c, rounded once where the target can."""
        if self.target.has_fma:
            return self.writer.intrinsic("fma", a, b, c)
        return self.writer.binary("fadd", self.writer.binary("fmul", a, b), c)

    def _bitcast(self, a: Operand, result: Dtype) -> Operand:
        type = register_type(result)
        return a if a.type == type else self.writer.convert("bitcast", a, type)

    def _compare(self, op: str, source: Dtype, a: Operand, b: Operand) -> Operand:
        if source.kind == "f":
            return self.writer.binary(f"fcmp {_FLOAT_COMPARE[op]}", a, b, "i1")
        sign = "" if op in ("eq", "ne") else "s" if source.kind == "i" else "u"
        return self.writer.binary(f"icmp {sign}{op}", a, b, "i1")

    def _logical(self, op: str, args: Sequence[Operand]) -> Operand | None:
        instruction = {"and": "and", "min": "and", "or": "or", "max": "or", "xor": "xor"}.get(op)
        if instruction is not None:
            return self.writer.binary(instruction, args[0], args[1])
        if op == "not":
            return self.writer.binary("xor", args[0], Operand("true", "i1", constant=True))
        return None

    def _floating(self, op: str, args: Sequence[Operand]) -> Operand | None:
        writer = self.writer
        if args[0].type not in ("float", "double"):
            return None  # half types are storage only
        if op in _FLOAT_BINARY:
            return writer.binary(_FLOAT_BINARY[op], args[0], args[1])
        if op in _FLOAT_UNARY:
            return writer.intrinsic(_FLOAT_UNARY[op], args[0])
        if op == "fma":
            return self.fma(args[0], args[1], args[2])
        if op == "neg":
            return writer.pure(args[0].type, args[0].lanes, f"fneg {args[0].typed}", args[0])
        if op in ("min", "max"):
            # The compare-and-select gives b when either is NaN; only a NaN in `a` needs the second select.
            a, b = args
            order = "ogt" if op == "max" else "olt"
            chosen = writer.select(writer.binary(f"fcmp {order}", a, b, "i1"), a, b)
            return writer.select(writer.binary("fcmp uno", a, a, "i1"), a, chosen)
        return None

    def _integer(self, op: str, dtype: Dtype, args: Sequence[Operand]) -> Operand | None:
        writer = self.writer
        a = args[0]
        if op in _INTEGER_BINARY:
            return writer.binary(_INTEGER_BINARY[op], a, args[1])
        if op in ("min", "max"):
            return writer.intrinsic(("s" if dtype.kind == "i" else "u") + op, a, args[1])
        if op == "neg":
            return writer.binary("sub", integer(0, a.type), a)
        if op == "not":
            return writer.binary("xor", a, integer(-1, a.type))
        if op == "abs":
            return a if dtype.kind == "u" else writer.intrinsic("abs", a)
        if op in ("shl", "shr"):
            return self._shift(op, dtype, a, args[1])
        if op == "floordiv":
            return self._quotient(dtype, a, args[1])
        if op == "mod":
            product = writer.binary("mul", self._quotient(dtype, a, args[1]), args[1])
            return writer.binary("sub", a, product)
        return None

    def _shift(self, op: str, dtype: Dtype, a: Operand, count: Operand) -> Operand:
        width = 8 * dtype.size
        if count.constant and not count.lanes:
            count = integer(int(count.text) % width, a.type)
        else:
            count = self.writer.binary("and", count, integer(width - 1, a.type))
        instruction = "shl" if op == "shl" else "ashr" if dtype.kind == "i" else "lshr"
        return self.writer.binary(instruction, a, count)

    def _quotient(self, dtype: Dtype, a: Operand, b: Operand) -> Operand:
        """a // b rounded to minus infinity; 0 where b is 0; the smallest integer over -1 wraps."""
        if dtype.size == 8 or not (a.lanes or b.lanes):
            return self._integer_quotient(dtype, a, b)
        # Exact in floating point: when |a| < 2^p, a rounded quotient never reaches the next integer.
        writer = self.writer
        type = "float" if dtype.size <= 2 else "double"
        convert = "sitofp" if dtype.kind == "i" else "uitofp"
        quotient = writer.binary("fdiv", writer.convert(convert, a, type), writer.convert(convert, b, type))
        whole = writer.binary("fadd", writer.intrinsic("floor", quotient), real(_MAGIC[type], type))
        pattern = writer.convert("bitcast", whole, "i32" if type == "float" else "i64")
        low = writer.convert("trunc", pattern, a.type)
        return writer.select(writer.binary("icmp eq", b, integer(0, b.type), "i1"), integer(0, b.type), low)

    def _integer_quotient(self, dtype: Dtype, a: Operand, b: Operand) -> Operand:
        writer = self.writer
        zero, one = integer(0, a.type), integer(1, a.type)
        known = int(b.text) if b.constant and not b.lanes else None
        is_zero = FALSE if known else writer.binary("icmp eq", b, zero, "i1")
        divisor = b if known else writer.select(is_zero, one, b)
        if dtype.kind == "u":
            quotient = writer.binary("udiv", a, divisor)
        else:
            if known is None or known == -1:
                smallest = integer(-(1 << (8 * dtype.size - 1)), a.type)
                overflows = writer.binary(
                    "and",
                    writer.binary("icmp eq", a, smallest, "i1"),
                    writer.binary("icmp eq", b, integer(-1, a.type), "i1"),
                )
                divisor = writer.select(overflows, one, divisor)  # smallest // 1 is the wrapped result
            truncated = writer.binary("sdiv", a, divisor)
            rest = writer.binary("sub", a, writer.binary("mul", truncated, divisor))
            opposite = writer.binary("icmp slt", writer.binary("xor", rest, divisor), zero, "i1")
            inexact = writer.binary("icmp ne", rest, zero, "i1")
            below = writer.binary("and", inexact, opposite)
            quotient = writer.binary("add", truncated, writer.convert("sext", below, a.type))
        return quotient if known else writer.select(is_zero, zero, quotient)
