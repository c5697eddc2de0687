"""Eight-bit and four-bit floating numbers as integer codes: `to_fp8`, `from_fp8`, and what quantize needs.

e4m3 has a sign, four bits of exponent and three of mantissa, no infinities, and 448 as its largest number;
e2m1 stands for 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives; e8m0 is a power of two. All of it is integer
arithmetic on the bits of float32, so it fuses.
"""

from __future__ import annotations

from tarry.base.dtypes import Dtype, bfloat16, float32, uint8, uint32
from tarry.graph.array import array
from tarry.ops.arithmetic import add, multiply, subtract
from tarry.ops.bitwise import bitwise_and, bitwise_or, bitwise_xor, left_shift, right_shift
from tarry.ops.comparison import equal, greater, less, logical_and
from tarry.ops.elementwise import cast, require_array
from tarry.ops.exponential import log2
from tarry.ops.layout import view
from tarry.ops.rounding import ceil
from tarry.ops.selection import where
from tarry.runtime.devices import StreamLike, require_stream

NAN = float("nan")
SIGN = 0x80000000
# The bits of the largest float32 that rounds to 448, that is 464, and of 2**-6, the least normal number.
_LARGEST = 0x43E80000
_LEAST_NORMAL = 121 << 23
# Added to a number below 2**-6, this float32 (2**14) leaves the e4m3 mantissa in its lowest bits.
_SUBNORMAL_SHIFT = 141 << 23


def require_real(op: str, dtype: Dtype, what: str) -> None:
    """ValueError unless a dtype is a real floating type."""
    if dtype.kind != "f":
        raise ValueError(f"[{op}] Only real floating types are supported, but {what} has dtype {dtype.name}.")


def encode_e4m3(value: array) -> array:
    """The uint8 codes of real numbers, rounded to nearest even; what is too large or nan becomes 448."""
    bits = view(cast(value, float32), uint32)
    sign = bitwise_and(bits, SIGN)
    magnitude = bitwise_xor(bits, sign)
    shift = view(array(_SUBNORMAL_SHIFT, dtype=uint32), float32)
    low = subtract(view(add(view(magnitude, float32), shift), uint32), _SUBNORMAL_SHIFT)
    odd = bitwise_and(right_shift(magnitude, 20), 1)
    # Half a unit less one, and one more for odd mantissas: ties go to even. The bias goes from 127 to 7.
    rounded = add(magnitude, add(odd, 0x7FFFF))
    high = right_shift(subtract(rounded, 120 << 23), 20)
    code = where(less(magnitude, _LEAST_NORMAL), low, high)
    code = where(greater(magnitude, _LARGEST), 0x7E, code)
    return cast(bitwise_or(code, right_shift(sign, 24)), uint8)


def decode_e4m3(code: array) -> array:
    """The float32 numbers of e4m3 codes in uint32."""
    magnitude = bitwise_and(code, 0x7F)
    sign = left_shift(bitwise_and(code, 0x80), 24)
    # The exponents' biases differ by 120; the product is exact, for subnormal numbers too.
    number = multiply(view(left_shift(magnitude, 20), float32), 2.0**120)
    number = view(bitwise_or(view(number, uint32), sign), float32)
    return where(equal(magnitude, 0x7F), NAN, number)


# Halfway between neighbouring e2m1 numbers; a tie goes to the smaller one.
_E2M1_TIES = (0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0)


def encode_e2m1(value: array) -> array:
    """The uint32 codes of the nearest e2m1 numbers; zero has no sign."""
    magnitude = where(less(value, 0), subtract(0, value), value)
    code = cast(greater(magnitude, _E2M1_TIES[0]), uint32)
    for tie in _E2M1_TIES[1:]:
        code = add(code, cast(greater(magnitude, tie), uint32))
    return where(logical_and(less(value, 0), greater(code, 0)), add(code, 8), code)


def decode_e2m1(code: array) -> array:
    """The float32 numbers of e2m1 codes in uint32."""
    sign = left_shift(bitwise_and(code, 8), 28)
    number = multiply(view(left_shift(bitwise_and(code, 7), 22), float32), 2.0**126)
    return view(bitwise_or(view(number, uint32), sign), float32)


def encode_e8m0(value: array) -> array:
    """The uint8 codes of the least powers of two that are not below positive numbers; of 1 for zero."""
    exponent = where(equal(value, 0), 0.0, ceil(log2(cast(value, float32))))
    return cast(add(exponent, 127.0), uint8)


def decode_e8m0(code: array) -> array:
    """The float32 powers of two that uint8 codes stand for."""
    bits = left_shift(cast(code, uint32), 23)
    return view(where(equal(code, 0), 1 << 22, bits), float32)


def to_fp8(x: array, /, *, stream: StreamLike = None) -> array:
    """The codes, in uint8, of the nearest e4m3 floating numbers; what is beyond 448 becomes 448.

    ValueError unless `x` is of a real floating type.

    >>> mx.to_fp8(mx.array([1.0, -448.0, 0.3]))
    array([56, 254, 42], dtype=uint8)
    """
    if stream is not None:
        require_stream("to_fp8", stream)
    operand = require_array("to_fp8", x)
    require_real("to_fp8", operand.dtype, "the array")
    return encode_e4m3(operand)


def from_fp8(x: array, /, dtype: Dtype = bfloat16, *, stream: StreamLike = None) -> array:
    """The numbers that e4m3 codes in uint8 stand for. ValueError for other codes and other result types.

    >>> mx.from_fp8(mx.array([56, 254, 42], dtype=mx.uint8))
    array([1, -448, 0.3125], dtype=bfloat16)
    """
    if stream is not None:
        require_stream("from_fp8", stream)
    operand = require_array("from_fp8", x)
    if operand.dtype is not uint8:
        raise ValueError(f"[from_fp8] The codes must have dtype uint8, but theirs is {operand.dtype.name}.")
    if not isinstance(dtype, Dtype):
        raise TypeError(f"[from_fp8] Expected a Dtype, but got {dtype!r}.")
    require_real("from_fp8", dtype, "the result")
    return cast(decode_e4m3(cast(operand, uint32)), dtype)
