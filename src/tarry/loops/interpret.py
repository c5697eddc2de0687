"""A slow interpreter: the meaning of kernels and scalar operations that compiled code is tested against.

Values are Python numbers that are exact members of their dtype: bool, int, float, complex. Floating-point
results are computed in float64 or exactly and rounded once, to the dtype (for float32 that is the same as
computing in float32); float16 and bfloat16 are rounded to float32 first, as the hardware does.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NoReturn, TypeAlias

import numpy as np

from tarry.base.dtypes import Dtype, bfloat16, float16, float32, float64, int64, to_numpy, uint32, uint64
from tarry.loops.builder import Builder
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
    Param,
    Statement,
    Store,
    Update,
)
from tarry.loops.operations import ELEMENTARY, ELEMENTARY_BINARY, PURE
from tarry.loops.text import KernelPrinter

Number: TypeAlias = Any  # bool, int, float or complex, as the kind of the dtype says
Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"


# conversions


def _round_to_odd(value: Fraction) -> float:
    """A float64 that rounds to a narrower format as `value` itself would: when inexact, its last bit is 1."""
    try:
        nearest = float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    if Fraction(nearest) == value or np.float64(nearest).view(np.uint64) & 1:
        return nearest
    return math.nextafter(nearest, math.inf if value > Fraction(nearest) else -math.inf)


def _round(value: float | int, dtype: Dtype) -> float:
    if dtype is float64:
        return float(value)
    if isinstance(value, int) and abs(value) > 1 << 53:
        value = _round_to_odd(Fraction(value))
    single = np.float32(value)
    return float(single) if dtype is float32 else float(to_numpy(dtype).type(single))


def _wrap(value: int, dtype: Dtype) -> int:
    bits = 8 * dtype.size
    value &= (1 << bits) - 1
    return value - (1 << bits) if dtype.kind == "i" and value >> (bits - 1) else value


def _truncate(value: float, dtype: Dtype) -> int:
    bits = 64 if dtype in (uint32, int64, uint64) else 32
    smallest = -(1 << (bits - 1))
    if not math.isfinite(value):
        return smallest
    integer = int(value)
    limit = 1 << (64 if dtype is uint64 else bits - 1)
    return integer if smallest <= integer < limit else smallest


def _member(value: Number, dtype: Dtype) -> Number:
    """The member of `dtype` a result of its own kind rounds or wraps to."""
    if dtype.kind == "f":
        return _round(value, dtype)
    if dtype.kind == "c":
        value = complex(value)
        return complex(_round(value.real, float32), _round(value.imag, float32))
    return bool(value) if dtype.kind == "b" else _wrap(int(value), dtype)


@np.errstate(all="ignore")
def convert_number(value: complex | float | int | bool, dtype: Dtype) -> Number:
    """The meaning of `cast`: a number as a member of `dtype`.

    Floating numbers are truncated to integers; those out of range, and NaN, give the smallest integer of
    32 bits (of 64 for uint32, int64 and uint64), which then wraps. Complex numbers lose their imaginary part.

    >>> from tarry.base.dtypes import int32, uint8
    >>> convert_number(300.5, uint8), convert_number(float("nan"), int32)
    (44, -2147483648)
    """
    if dtype.kind == "b":
        return value != 0
    if dtype.kind != "c":
        if isinstance(value, complex):
            value = value.real
        if dtype.kind in "iu" and isinstance(value, float):
            value = _truncate(value, dtype)
    return _member(value, dtype)


# arithmetic


def _divide(a: Number, b: Number) -> Number:
    if isinstance(a, complex):
        return complex(np.complex128(a) / np.complex128(b))
    return float(np.float64(a) / np.float64(b))


def _floor_divide(a: Number, b: Number) -> Number:
    if isinstance(a, int):
        return a // b if b else 0
    return float(np.floor(_divide(a, b)))


def _remainder(a: Number, b: Number) -> Number:
    if isinstance(a, int):
        return a % b if b else a
    remainder = float(np.fmod(a, b))
    return remainder + b if remainder != 0 and (remainder < 0) != (b < 0) else remainder


def _fused_multiply_add(a: float, b: float, c: float, dtype: Dtype) -> float:
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return a * b + c
    product = Fraction(a) * Fraction(b)
    total = product + Fraction(c)
    if total == 0:  # the sign of zero is that of the float expression, unless it underflows
        return a * b + c if product == 0 else 0.0
    odd = _round_to_odd(total)
    return float(total) if dtype is float64 and math.isfinite(odd) else odd


def _minimum(a: Number, b: Number) -> Number:
    return a if a != a or a < b else b


def _maximum(a: Number, b: Number) -> Number:
    return a if a != a or a > b else b


def _invert(a: Number) -> Number:
    return not a if isinstance(a, bool) else ~a


_ARITHMETIC: dict[str, Callable[..., Number]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": _divide,
    "floordiv": _floor_divide, "mod": _remainder,
    "neg": operator.neg, "abs": abs, "min": _minimum, "max": _maximum,
    "and": operator.and_, "or": operator.or_, "xor": operator.xor, "not": _invert,
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le,
    "gt": operator.gt, "ge": operator.ge,
    "floor": np.floor, "ceil": np.ceil, "round": np.rint, "trunc": np.trunc, "sqrt": np.sqrt,
    "complex": complex, "real": lambda a: a.real, "imag": lambda a: a.imag,
    "select": lambda condition, a, b: a if condition else b,
}  # fmt: skip

# C's name: Python's function, which raises at poles and overflow, and NumPy's, which gives inf or NaN there.
_FUNCTIONS: dict[str, tuple[Callable[..., float], Callable[..., Any]]] = {
    "exp": (math.exp, np.exp), "exp2": (math.exp2, np.exp2), "expm1": (math.expm1, np.expm1),
    "log": (math.log, np.log), "log1p": (math.log1p, np.log1p),
    "log2": (math.log2, np.log2), "log10": (math.log10, np.log10),
    "sin": (math.sin, np.sin), "cos": (math.cos, np.cos), "tan": (math.tan, np.tan),
    "sinh": (math.sinh, np.sinh), "cosh": (math.cosh, np.cosh), "tanh": (math.tanh, np.tanh),
    "asin": (math.asin, np.arcsin), "acos": (math.acos, np.arccos), "atan": (math.atan, np.arctan),
    "asinh": (math.asinh, np.arcsinh), "acosh": (math.acosh, np.arccosh), "atanh": (math.atanh, np.arctanh),
    "pow": (math.pow, np.power), "atan2": (math.atan2, np.arctan2), "fmod": (math.fmod, np.fmod),
    "hypot": (math.hypot, np.hypot), "cbrt": (math.cbrt, np.cbrt), "sqrt": (math.sqrt, np.sqrt),
}  # fmt: skip


def _call(function: str, values: Sequence[float]) -> float:
    if function in ("erf", "erfc"):
        return math.erf(values[0]) if function == "erf" else math.erfc(values[0])
    if function not in _FUNCTIONS:
        known = ", ".join((*_FUNCTIONS, "erf", "erfc"))
        raise ValueError(f"[run_kernel] {function!r} is not a known function; there are {known}.")
    exact, total = _FUNCTIONS[function]
    try:
        return exact(*values)
    except (ValueError, OverflowError):
        return float(total(*[np.float64(value) for value in values]))


def _elementary(op: str, values: Sequence[float]) -> float:
    x = values[0]
    if op == "sigmoid":
        decay = math.exp(-abs(x))
        return 1.0 / (1.0 + decay) if x >= 0 else decay / (1.0 + decay)
    if op == "rsqrt":
        return _divide(1.0, _call("sqrt", values))  # type: ignore[no-any-return]
    if op == "logaddexp":
        y = values[1]
        if x == y or math.isnan(x) or math.isnan(y):  # also two equal infinities
            return x + math.log(2.0) if x == y else math.nan
        return max(x, y) + math.log1p(math.exp(-abs(x - y)))
    if op == "log_mlx":
        return _call("log", values)
    if op in ("erfinv", "erfinv_mlx"):
        from scipy.special import erfinv  # heavy to import, and seldom needed

        return float(erfinv(x))
    return _call(op, values)


def _elementary_complex(op: str, values: Sequence[complex]) -> complex:
    operands = [np.complex128(value) for value in values]
    z = operands[0]
    if op == "sigmoid":
        return complex(1.0 / (1.0 + np.exp(-z)))
    if op == "rsqrt":
        return complex(1.0 / np.sqrt(z))
    if op == "logaddexp":
        shift = max(z.real, operands[1].real)
        return complex(shift + np.log(np.exp(z - shift) + np.exp(operands[1] - shift)))
    if op in ("erf", "erfinv", "erfinv_mlx", "log_mlx", "atan2"):
        raise TypeError(f"[{op}] has no meaning for complex numbers.")
    return complex(_FUNCTIONS[op][1](*operands))


def _shift(op: str, value: int, count: int, bits: int) -> int:
    return value << (count % bits) if op == "shl" else value >> (count % bits)


def _reinterpret(value: Number, source: Dtype, dtype: Dtype) -> Number:
    return np.array([value], to_numpy(source)).view(to_numpy(dtype))[0]


@np.errstate(all="ignore")
def evaluate_operation(op: str, values: Sequence[Number], source: Dtype, dtype: Dtype) -> Number:
    """The value of an operation of operations.PURE on numbers of dtype `source`; the result is of `dtype`.

    >>> from tarry.base.dtypes import int8
    >>> evaluate_operation("add", [100, 100], int8, int8)
    -56
    """
    if op not in PURE or len(values) != PURE[op].arity:
        raise TypeError(f"[{op}] is not an operation of {len(values)} arguments.")
    if op == "cast":
        return convert_number(values[0], dtype)
    if op == "bitcast":
        return _member(_reinterpret(values[0], source, dtype), dtype)
    if op in ("shl", "shr"):
        return _wrap(_shift(op, values[0], values[1], 8 * dtype.size), dtype)
    if op in ELEMENTARY or op in ELEMENTARY_BINARY:
        if dtype.kind == "c":
            return _member(_elementary_complex(op, values), dtype)
        return _member(_elementary(op, values), dtype)
    if op == "fma":
        return _member(_fused_multiply_add(values[0], values[1], values[2], dtype), dtype)
    result = _ARITHMETIC[op](*values)
    if op == "floordiv" and dtype.kind == "f":  # the quotient is rounded before it is floored
        result = np.floor(_round(_divide(*values), dtype if dtype is float64 else float32))
    return _member(result.item() if isinstance(result, np.generic) else result, dtype)


# kernels


def run_kernel(kernel: Kernel, arguments: dict[str, object]) -> None:
    """Runs a kernel on one thread, one value at a time; `kernel` is one that verifies.

    `arguments` holds, by the names of the parameters, one-dimensional NumPy arrays of the buffers' dtypes
    (bfloat16 as ml_dtypes'), integers and numbers; stores change the arrays. Scratch buffers may be left
    out. ValueError or TypeError when an argument is missing or does not fit, IndexError when the kernel
    reads or writes outside a buffer.

    >>> from tarry.loops.parse import parse_kernel
    >>> kernel = parse_kernel("kernel copy(x: in int8, y: out int8)\\n  v = load x[1]\\n  store y[0] = v")
    >>> y = np.zeros(1, np.int8)
    >>> run_kernel(kernel, {"x": np.array([3, 5], np.int8), "y": y}); y
    array([5], dtype=int8)
    """
    with np.errstate(all="ignore"):
        _Machine(kernel, arguments).run(kernel.body)


class _Combination:
    """How the partial results of one accumulator combine; narrow floats are accumulated in float32."""

    def __init__(self, accumulator: Accumulator) -> None:
        combiner = COMBINERS[accumulator.combiner]
        dtypes = [float32 if d in (float16, bfloat16) else d for d in accumulator.dtypes]
        self.identity = [convert_number(combiner.identity(d, i), d) for i, d in enumerate(dtypes)]
        builder = Builder()
        operands = [builder.scalar(builder.scalar_param(d)) for d in dtypes + dtypes]
        self._operands = operands
        self._results = combiner.combine(builder, operands[: len(dtypes)], operands[len(dtypes) :])
        self._body = builder.finish().body

    def combine(self, left: list[Number], right: list[Number]) -> list[Number]:
        values = {id(operand): number for operand, number in zip(self._operands, left + right)}
        for instr in self._body:
            if isinstance(instr, Instr) and id(instr) not in values:
                values[id(instr)] = _pure(instr, values)
        return [values[id(result)] for result in self._results]


def _pure(instr: Instr, values: dict[int, Number]) -> Number:
    operands = [values[id(arg)] for arg in instr.args]
    return evaluate_operation(instr.op, operands, instr.args[-1].dtype, instr.dtype)


class _Machine:
    def __init__(self, kernel: Kernel, arguments: dict[str, object]) -> None:
        self._kernel = kernel
        self._values: dict[int, Number] = {}  # of parameters, loop variables and instructions
        self._buffers: dict[int, Array] = {}
        self._totals: dict[int, list[Number]] = {}
        self._combinations: dict[int, _Combination] = {}
        unknown = set(arguments) - {param.name for param in kernel.params}
        if unknown:
            raise ValueError(f"[run_kernel] {kernel.name} has no parameter {', '.join(sorted(unknown))}.")
        scratch = []
        for param in kernel.params:
            if param.name in arguments:
                self._bind(param, arguments[param.name])
            elif isinstance(param, BufferParam) and param.extent is not None:
                scratch.append((param, param.extent))
            else:
                raise ValueError(f"[run_kernel] the argument {param.name} of {kernel.name} is missing.")
        for buffer, extent in scratch:
            self._buffers[id(buffer)] = _unset_array(self._coefficient(extent), buffer.dtype)

    def _bind(self, param: Param, value: object) -> None:
        if isinstance(param, BufferParam):
            expected = to_numpy(param.dtype)
            if not isinstance(value, np.ndarray):
                raise TypeError(f"[run_kernel] {param.name} must be an array, not {type(value).__name__}.")
            if value.ndim != 1 or value.dtype != expected:
                message = f"[run_kernel] {param.name} must be a vector of {expected}"
                raise ValueError(f"{message}, not an array of {value.dtype} of {value.ndim} dimensions.")
            self._buffers[id(param)] = value
            return
        if isinstance(param, IntParam):
            if not isinstance(value, (int, np.integer)):
                raise TypeError(f"[run_kernel] {param.name} must be an integer, not {type(value).__name__}.")
            self._values[id(param)] = int(value)
            return
        number = value.item() if isinstance(value, np.generic) else value
        if not isinstance(number, (int, float, complex)):
            raise TypeError(f"[run_kernel] {param.name} must be a number, not {type(value).__name__}.")
        self._values[id(param)] = convert_number(number, param.dtype)

    # statements

    def run(self, body: Sequence[Statement]) -> None:
        for statement in body:
            if isinstance(statement, Instr):
                self._values[id(statement)] = self._evaluate(statement)
            elif isinstance(statement, Loop):
                extent = statement.extent
                count = self._value(extent) if isinstance(extent, Instr) else self._coefficient(extent)
                for number in range(count):
                    self._values[id(statement.var)] = number
                    self.run(statement.body)
            elif isinstance(statement, Declare):
                self._declare(statement.accumulator)
            elif isinstance(statement, Update):
                accumulator = id(statement.accumulator)
                values = [self._value(value) for value in statement.values]
                combination = self._combinations[accumulator]
                self._totals[accumulator] = combination.combine(self._totals[accumulator], values)
            elif isinstance(statement, Store):
                if statement.guard is None or self._value(statement.guard):
                    array, index = self._element(statement.access, statement)
                    array[index] = self._value(statement.value)
            else:
                self._check(statement)

    def _declare(self, accumulator: Accumulator) -> None:
        combination = self._combinations.get(id(accumulator))
        if combination is None:
            combination = self._combinations[id(accumulator)] = _Combination(accumulator)
        self._totals[id(accumulator)] = list(combination.identity)

    def _check(self, check: Check) -> None:
        status = self._buffers[id(check.status)]
        if self._value(check.good) or status[0]:  # the first failure stands
            return
        status[:4] = (1, self._coefficient(check.slot), self._value(check.index), self._value(check.extent))

    # values

    def _value(self, instr: Instr) -> Number:
        return self._values[id(instr)]

    def _coefficient(self, coefficient: Coefficient) -> int:
        param = coefficient.param
        return coefficient.multiplier * (1 if param is None else int(self._values[id(param)]))

    def _linear(self, position: Linear) -> int:
        total = 0
        for factor, coefficient in position.terms:
            total += (1 if factor is None else self._values[id(factor)]) * self._coefficient(coefficient)
        return total

    def _element(self, access: Access, statement: Statement) -> tuple[Array, int]:
        array = self._buffers[id(access.buffer)]
        index = self._linear(access.position)
        if not 0 <= index < len(array):
            self._fail_index(access, index, len(array), statement)
        return array, index

    def _fail_index(self, access: Access, index: int, extent: int, statement: Statement) -> NoReturn:
        line = KernelPrinter(self._kernel).line(statement)
        raise IndexError(f"[run_kernel] {index} is outside {access.buffer.name} of {extent} elements: {line}")

    def _evaluate(self, instr: Instr) -> Number:
        attribute = instr.attribute
        if instr.op == "load" and isinstance(attribute, Access):
            if instr.args and not self._value(instr.args[0]):
                return convert_number(0, instr.dtype)
            array, index = self._element(attribute, instr)
            element = array[index]
            return float(element) if instr.dtype.kind == "f" else element.item()
        if isinstance(attribute, Linear):
            return _wrap(self._linear(attribute), int64)
        if instr.op in ("scalar", "size"):
            return self._values[id(attribute)]
        if instr.op == "const" and isinstance(attribute, (int, float, complex)):
            return convert_number(attribute, instr.dtype)
        if instr.op == "read" and isinstance(attribute, tuple):
            return convert_number(self._totals[id(attribute[0])][attribute[1]], instr.dtype)
        if instr.op == "libm":
            guard, *values = [self._value(arg) for arg in instr.args]
            return _call(str(attribute), values) if guard else 0.0
        return _pure(instr, self._values)


def _unset_array(extent: int, dtype: Dtype) -> Array:
    """Contents that show when something reads them before it wrote them: NaN, -1 or the largest integer."""
    if dtype.kind == "b":
        return np.ones(extent, np.bool_)
    return np.full(extent * dtype.size, 255, np.uint8).view(to_numpy(dtype))
