"""Conversions between dtypes -> LLVM instructions, defined for every input.

floating -> integer truncates; NaN and out of range give the smallest integer of 32 bits (64 for int64 and
uint64), and narrower integers keep the low bits. Unsigned targets wrap: negative numbers count from the top.
"""

from __future__ import annotations

from tarry.base.dtypes import Dtype, bfloat16, float16, float32
from tarry.codegen.assemble import Target
from tarry.codegen.emit_writer import Operand, Writer, integer, literal, real, register_type


class Casts:
    """Casts operands between dtypes, in the lanes they have."""

    def __init__(self, writer: Writer, target: Target) -> None:
        self.writer = writer
        self.has_half = target.has_f16c or target.architecture == "aarch64"

    def cast(self, a: Operand, source: Dtype, result: Dtype) -> Operand:
        """The value of `a` as `result`."""
        if source is result:
            return a
        writer = self.writer
        if source.kind == "c" or result.kind == "c":
            raise TypeError(
                f"[emit] cast of {source.name} to {result.name} is not basic: expand the kernel first."
            )
        if source is float16:
            return self.cast(self._half_to_float(a), float32, result)
        if source is bfloat16:
            high = writer.binary("shl", writer.convert("zext", a, "i32"), integer(16, "i32"))
            return self.cast(writer.convert("bitcast", high, "float"), float32, result)
        if source.kind == "b":
            if result.kind == "f":
                return writer.select(a, literal(1.0, result), literal(0.0, result))
            return writer.convert("zext", a, register_type(result))
        if result is float16:
            return self._float_to_half(self.cast(a, source, float32))
        if result is bfloat16:
            return self._float_to_bfloat(self.cast(a, source, float32))
        if source.kind == "f":
            return self._from_floating(a, source, result)
        return self._from_integer(a, source, result)

    def _from_integer(self, a: Operand, source: Dtype, result: Dtype) -> Operand:
        writer = self.writer
        if result.kind == "b":
            return writer.binary("icmp ne", a, integer(0, a.type), "i1")
        type = register_type(result)
        if result.kind == "f":
            return writer.convert("sitofp" if source.kind == "i" else "uitofp", a, type)
        if result.size == source.size:
            return a
        if result.size < source.size:
            return writer.convert("trunc", a, type)
        return writer.convert("sext" if source.kind == "i" else "zext", a, type)

    def _from_floating(self, a: Operand, source: Dtype, result: Dtype) -> Operand:
        writer = self.writer
        if result.kind == "b":
            return writer.binary("fcmp une", a, real(0.0, a.type), "i1")
        type = register_type(result)
        if result.kind == "f":
            return writer.convert("fpext" if result.size > source.size else "fptrunc", a, type)
        if result.name == "uint64":
            return self._to_unsigned_64(a)
        # uint32 takes the low half of a 64-bit conversion, so that its upper range is right.
        wide = "i64" if result.size == 8 or result.name == "uint32" else "i32"
        value = self._truncate(a, wide)
        return value if wide == type else writer.convert("trunc", value, type)

    def _truncate(self, a: Operand, type: str) -> Operand:
        """The integer part; the smallest integer of `type` where that does not fit."""
        writer = self.writer
        bound = 2.0 ** (int(type[1:]) - 1)
        fits = writer.binary("fcmp olt", writer.intrinsic("fabs", a), real(bound, a.type), "i1")
        if type == "i32" and a.type == "double":
            # -2^31 - 0.5 truncates to a value that fits, but the bound above rejects it.
            above = writer.binary("fcmp ogt", a, real(-bound - 1.0, a.type), "i1")
            fits = writer.binary("and", above, writer.binary("fcmp olt", a, real(bound, a.type), "i1"))
        return writer.convert("fptosi", writer.select(fits, a, real(-bound, a.type)), type)

    def _to_unsigned_64(self, a: Operand) -> Operand:
        writer = self.writer
        half = real(2.0**63, a.type)
        upper = writer.binary(
            "and",
            writer.binary("fcmp oge", a, half, "i1"),
            writer.binary("fcmp olt", a, real(2.0**64, a.type), "i1"),
        )
        low = self._truncate(writer.select(upper, writer.binary("fsub", a, half), a), "i64")
        top = writer.select(upper, integer(-(1 << 63)), integer(0))
        return writer.binary("xor", low, top)

    # half types

    def _half_to_float(self, a: Operand) -> Operand:
        writer = self.writer
        if self.has_half:
            return writer.convert("fpext", writer.convert("bitcast", a, "half"), "float")
        # Shift exponent and mantissa into place and scale by 2^112; the product of subnormals is exact.
        wide = writer.convert("zext", a, "i32")
        magnitude = writer.binary("and", wide, integer(0x7FFF, "i32"))
        sign = writer.binary("shl", writer.binary("xor", wide, magnitude), integer(16, "i32"))
        shifted = writer.binary("shl", magnitude, integer(13, "i32"))
        scaled = writer.binary("fmul", writer.convert("bitcast", shifted, "float"), real(2.0**112, "float"))
        special = writer.binary("icmp ugt", magnitude, integer(0x7BFF, "i32"), "i1")
        infinite = writer.binary("or", shifted, integer(0x7F800000, "i32"))
        bits = writer.select(special, infinite, writer.convert("bitcast", scaled, "i32"))
        return writer.convert("bitcast", writer.binary("or", bits, sign), "float")

    def _float_to_half(self, a: Operand) -> Operand:
        writer = self.writer
        if self.has_half:
            return writer.convert("bitcast", writer.convert("fptrunc", a, "half"), "i16")
        bits = writer.convert("bitcast", a, "i32")
        magnitude = writer.binary("and", bits, integer(0x7FFFFFFF, "i32"))
        sign = writer.binary("lshr", writer.binary("xor", bits, magnitude), integer(16, "i32"))
        odd = writer.binary("and", writer.binary("lshr", magnitude, integer(13, "i32")), integer(1, "i32"))
        # Normal results: rebias the exponent, add half a unit and the tie bit, drop 13 bits.
        rebased = writer.binary("add", magnitude, integer(-(112 << 23) + 0xFFF, "i32"))
        normal = writer.binary("lshr", writer.binary("add", rebased, odd), integer(13, "i32"))
        normal = writer.intrinsic("umin", normal, integer(0x7C00, "i32"))
        # Subnormal results: adding 0.5 makes the FPU round at the unit 2^-24.
        moved = writer.binary("fadd", writer.convert("bitcast", magnitude, "float"), real(0.5, "float"))
        tiny = writer.binary("sub", writer.convert("bitcast", moved, "i32"), integer(0x3F000000, "i32"))
        is_tiny = writer.binary("icmp ult", magnitude, integer(113 << 23, "i32"), "i1")
        is_nan = writer.binary("icmp ugt", magnitude, integer(0x7F800000, "i32"), "i1")
        result = writer.select(is_nan, integer(0x7E00, "i32"), writer.select(is_tiny, tiny, normal))
        return writer.convert("trunc", writer.binary("or", result, sign), "i16")

    def _float_to_bfloat(self, a: Operand) -> Operand:
        """Rounds to nearest even by adding half a unit less one and the lowest kept bit."""
        writer = self.writer
        bits = writer.convert("bitcast", a, "i32")
        high = writer.binary("lshr", bits, integer(16, "i32"))
        odd = writer.binary("and", high, integer(1, "i32"))
        sum_ = writer.binary("add", writer.binary("add", bits, integer(0x7FFF, "i32")), odd)
        rounded = writer.binary("lshr", sum_, integer(16, "i32"))
        is_nan = writer.binary("fcmp uno", a, a, "i1")
        quiet = writer.binary("or", high, integer(0x40, "i32"))
        return writer.convert("trunc", writer.select(is_nan, quiet, rounded), "i16")
