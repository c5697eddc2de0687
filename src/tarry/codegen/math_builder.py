"""The vocabulary in which elementary functions are written: a `Builder` with floating-point idioms.

All idioms are branch-free, take and give float32 or float64 values and use basic operations only. Nothing
here relies on fused multiply-add for correctness unless it asks `has_fma`: without it `fma` rounds twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from tarry.base.dtypes import Dtype, float32, float64, uint32, uint64
from tarry.loops.builder import Builder
from tarry.loops.ir import Access, BufferParam, Instr, Linear, Store


class FusedTarget(Protocol):
    """What the expansions ask of a processor."""

    @property
    def has_fma(self) -> bool: ...


class Format:
    """The layout of a binary floating-point dtype, and the constant that rounds to integer when added."""

    __slots__ = ("bias", "bits", "magic", "mantissa_bits", "one_bits", "sign_bit")

    def __init__(self, bits: Dtype, mantissa_bits: int, bias: int) -> None:
        self.bits = bits
        self.mantissa_bits = mantissa_bits
        self.bias = bias
        self.magic = 1.5 * 2.0**mantissa_bits
        self.one_bits = bias << mantissa_bits
        self.sign_bit = 1 << (8 * bits.size - 1)


SINGLE = Format(uint32, 23, 127)
DOUBLE = Format(uint64, 52, 1023)


def format_of(dtype: Dtype) -> Format:
    if dtype is float32:
        return SINGLE
    if dtype is float64:
        return DOUBLE
    raise TypeError(f"[expand] {dtype.name} given where float32 or float64 was expected.")


class MathBuilder(Builder):
    """A builder of basic kernels: idioms of floating-point code, and the accesses of complex buffers."""

    def __init__(self, name: str, target: FusedTarget) -> None:
        super().__init__(name)
        self.has_fma = target.has_fma

    # accesses whose value has another dtype than the buffer

    def load_as(
        self, buffer: BufferParam, position: Linear, guard: Instr | None, dtype: Dtype
    ) -> Instr:
        """Reads the buffer as an array of `dtype`; positions count elements of `dtype`."""
        args = () if guard is None else (guard,)
        access = Access(buffer, position)
        if buffer.mode != "in":
            return self._append(Instr("load", dtype, args, access, self._fresh("v")), self._block)
        key = ("load", dtype.code, id(buffer), position.key, tuple(map(id, args)))
        return self._place(key, "load", dtype, args, access)

    def store_as(self, buffer: BufferParam, position: Linear, value: Instr, guard: Instr | None) -> None:
        """Writes the buffer as an array of the value's dtype."""
        self._block.statements.append(Store(Access(buffer, position), value, guard))

    # constants, comparisons and signs

    def number(self, value: float, like: Instr) -> Instr:
        return self.const(float(value), like.dtype)

    def integer_like(self, value: int, like: Instr) -> Instr:
        """The constant modulo the width of the unsigned integer `like`."""
        return self.const(value % (1 << (8 * like.dtype.size)), like.dtype)

    def plus(self, a: Instr, value: float) -> Instr:
        return self.add(a, self.number(value, a))

    def times(self, a: Instr, value: float) -> Instr:
        return self.mul(a, self.number(value, a))

    def below(self, a: Instr, value: float) -> Instr:
        return self.apply("lt", a, self.number(value, a))

    def above(self, a: Instr, value: float) -> Instr:
        return self.apply("gt", a, self.number(value, a))

    def equals(self, a: Instr, value: float) -> Instr:
        return self.apply("eq", a, self.number(value, a))

    def is_nan(self, a: Instr) -> Instr:
        return self.apply("ne", a, a)

    def either(self, a: Instr, b: Instr) -> Instr:
        return self.apply("or", a, b)

    def both(self, a: Instr, b: Instr) -> Instr:
        return self.apply("and", a, b)

    def absolute(self, a: Instr) -> Instr:
        return self.apply("abs", a)

    def at_most(self, a: Instr, value: float) -> Instr:
        """min(a, value); NaN stays."""
        return self.select(self.above(a, value), self.number(value, a), a)

    def at_least(self, a: Instr, value: float) -> Instr:
        """max(a, value); NaN stays."""
        return self.select(self.below(a, value), self.number(value, a), a)

    def bits_of(self, a: Instr) -> Instr:
        return self.bitcast(a, format_of(a.dtype).bits)

    def sign_of(self, a: Instr) -> Instr:
        """The sign bit, in an unsigned integer of the same size."""
        bits = self.bits_of(a)
        return self.both(bits, self.integer_like(format_of(a.dtype).sign_bit, bits))

    def flip_sign(self, a: Instr, sign: Instr) -> Instr:
        """`a` times -1 where the sign bit `sign` is set."""
        return self.bitcast(self.apply("xor", self.bits_of(a), sign), a.dtype)

    def with_sign_of(self, magnitude: Instr, signed: Instr) -> Instr:
        """The sign of `signed` on a value that is not negative."""
        return self.bitcast(self.either(self.bits_of(magnitude), self.sign_of(signed)), magnitude.dtype)

    def is_negative(self, a: Instr) -> Instr:
        """Whether the sign bit is set, of zeros too."""
        sign = self.sign_of(a)
        return self.apply("ne", sign, self.integer_like(0, sign))

    # polynomials

    def horner(self, x: Instr, coefficients: Sequence[float]) -> Instr:
        """The polynomial of these coefficients, the highest first."""
        result = self.number(coefficients[0], x)
        for coefficient in coefficients[1:]:
            result = self.fma(result, x, self.number(coefficient, x))
        return result

    # exponents

    def power_of_two(self, exponent: Instr) -> Instr:
        """2**k of an integral float k in the range of normal exponents."""
        form = format_of(exponent.dtype)
        shifted = self.bits_of(self.plus(exponent, form.magic + form.bias))
        shifted = self.apply("shl", shifted, self.integer_like(form.mantissa_bits, shifted))
        return self.bitcast(shifted, exponent.dtype)

    def scale(self, a: Instr, shifted: Instr) -> Instr:
        """a * 2**k with one rounding, subnormal results and overflow included; `a` is near one.

        `shifted` is magic + k with an integer k; each half of the exponent makes a factor. NaN stays NaN.
        """
        form = format_of(a.dtype)
        bits = self.bits_of(shifted)
        half = self.apply("shr", bits, self.integer_like(1, bits))
        for exponent in (half, self.sub(bits, half)):
            a = self.mul(a, self._power(exponent, form.one_bits, a.dtype))
        return a

    def scale_normal(self, a: Instr, shifted: Instr) -> Instr:
        """a * 2**k where 2**k is a normal number."""
        return self.mul(a, self.power_from_shifted(shifted))

    def power_from_shifted(self, shifted: Instr, halvings: int = 0) -> Instr:
        """2**(k - halvings), a normal number."""
        form = format_of(shifted.dtype)
        start = form.one_bits - (halvings << form.mantissa_bits)
        return self._power(self.bits_of(shifted), start, shifted.dtype)

    def _power(self, exponent: Instr, start: int, dtype: Dtype) -> Instr:
        width = self.integer_like(format_of(dtype).mantissa_bits, exponent)
        moved = self.apply("shl", exponent, width)
        return self.bitcast(self.add(moved, self.integer_like(start, exponent)), dtype)

    # error-free transformations: the two results sum to the exact result

    def two_sum(self, a: Instr, b: Instr) -> tuple[Instr, Instr]:
        """Knuth 1969."""
        total = self.add(a, b)
        part = self.sub(total, a)
        error = self.add(self.sub(a, self.sub(total, part)), self.sub(b, part))
        return total, error

    def fast_two_sum(self, a: Instr, b: Instr) -> tuple[Instr, Instr]:
        """Dekker 1971, for |a| >= |b| or a = 0."""
        total = self.add(a, b)
        return total, self.sub(b, self.sub(total, a))

    def two_product(self, a: Instr, b: Instr) -> tuple[Instr, Instr]:
        """The exact product of float64 values; without fused multiply-add from their halves (Dekker 1971)."""
        product = self.mul(a, b)
        if self.has_fma:
            return product, self.fma(a, b, self.neg(product))
        a_high, a_low = self._halves(a)
        b_high, b_low = self._halves(b)
        error = self.sub(self.mul(a_high, b_high), product)
        error = self.add(error, self.mul(a_high, b_low))
        error = self.add(error, self.mul(a_low, b_high))
        return product, self.add(error, self.mul(a_low, b_low))

    def _halves(self, a: Instr) -> tuple[Instr, Instr]:
        """26 leading bits, rounded in the bit pattern so that nothing overflows, and the rest."""
        bits = self.bits_of(a)
        rounded = self.add(bits, self.integer_like(1 << 26, bits))
        high = self.bitcast(self.both(rounded, self.integer_like(-(1 << 27), bits)), a.dtype)
        return high, self.sub(a, high)

    # float32 through float64

    def widen(self, a: Instr) -> Instr:
        return self.cast(a, float64)

    def narrow(self, a: Instr) -> Instr:
        return self.cast(a, float32)


INFINITY = math.inf
NAN = math.nan
