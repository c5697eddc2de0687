"""Expands a kernel into basic operations, which the emitter knows how to write as LLVM instructions.

After it, values are bool, integers, float32 and float64 only. float16 and bfloat16 remain where they are
loaded, stored and cast: arithmetic on them is done in float32 and rounded after every operation. A complex64
value is a pair of float32; its buffers are accessed as arrays of float32 with twice the positions, and a
complex scalar parameter becomes a uint64 in the same slot of the argument table. Elementary functions become
polynomials.

The kernel is rebuilt by a new builder, so what the expansions share or keep invariant is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tarry.base.dtypes import Dtype, bfloat16, complex64, float16, float32, float64, to_numpy, uint32, uint64
from tarry.codegen import math_complex, math_error, math_exponential, math_logarithm, math_trigonometry
from tarry.codegen.math_builder import FusedTarget, MathBuilder
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
from tarry.loops.operations import ELEMENTARY, ELEMENTARY_BINARY

_UNARY: dict[str, Callable[[MathBuilder, Instr], Instr]] = {
    "exp": math_exponential.exponential,
    "expm1": math_exponential.expm1,
    "sigmoid": math_exponential.sigmoid,
    "sinh": math_exponential.sinh,
    "cosh": math_exponential.cosh,
    "tanh": math_exponential.tanh,
    "log": math_logarithm.logarithm,
    "log1p": math_logarithm.log1p,
    "log2": math_logarithm.log2,
    "log10": math_logarithm.log10,
    "log_mlx": math_logarithm.log_mlx,
    "asinh": math_logarithm.asinh,
    "acosh": math_logarithm.acosh,
    "atanh": math_logarithm.atanh,
    "sin": math_trigonometry.sine,
    "cos": math_trigonometry.cosine,
    "tan": math_trigonometry.tangent,
    "asin": math_trigonometry.arcsine,
    "acos": math_trigonometry.arccosine,
    "atan": math_trigonometry.arctangent,
    "erf": math_error.erf,
    "erfinv": math_error.erfinv,
    "erfinv_mlx": math_error.erfinv_mlx,
    "rsqrt": math_error.rsqrt,
}
_BINARY: dict[str, Callable[[MathBuilder, Instr, Instr], Instr]] = {
    "floordiv": math_error.floor_division,
    "mod": math_error.remainder,
    "pow": math_logarithm.power,
    "atan2": math_trigonometry.arctangent2,
    "logaddexp": math_logarithm.logaddexp,
}
# The variants with MLX's bits exist in float32; other dtypes have the accurate function.
_MLX_VARIANTS = {"log_mlx": "log", "erfinv_mlx": "erfinv"}
_HALVES = (float16, bfloat16)
# Operations that give a member of the half type when they are given members.
_EXACT_ON_HALVES = frozenset({"neg", "abs", "min", "max", "select", "floor", "ceil", "round", "trunc"})

Values = tuple[Instr, ...]


def expand_kernel(kernel: Kernel, target: FusedTarget) -> Kernel:
    """The kernel in basic operations, with the same parameters in the same slots.

    Errors: TypeError "[op] ..." for an operation that has no meaning for its dtype, such as erf of complex64.

    Example:
        >>> emit_kernel(expand_kernel(kernel, target), target).text  # doctest: +SKIP
    """
    return _Expansion(kernel, target).run()


class _Expansion:
    """The state of one pass: what every value, variable and accumulator of the kernel has become."""

    def __init__(self, kernel: Kernel, target: FusedTarget) -> None:
        self.kernel = kernel
        self.builder = MathBuilder(kernel.name, target)
        # One value, or two for complex64. A half value stands as itself or as an equal float32.
        self.values: dict[int, Values] = {}
        self.variables: dict[int, LoopVar] = {}
        self.accumulators: dict[int, tuple[Accumulator, ...]] = {}
        self.scalars: dict[int, ScalarParam] = {}

    def run(self) -> Kernel:
        self.builder.params = [self._param(param) for param in self.kernel.params]
        self._statements(self.kernel.body)
        return self.builder.finish()

    def _param(self, param: Param) -> Param:
        if isinstance(param, ScalarParam) and param.dtype is complex64:
            bits = ScalarParam(param.name, uint64)
            self.scalars[id(param)] = bits
            return bits
        return param

    # statements

    def _statements(self, body: Sequence[Statement]) -> None:
        for statement in body:
            if isinstance(statement, Instr):
                self.values[id(statement)] = self._instr(statement)
            elif isinstance(statement, Loop):
                self._loop(statement)
            elif isinstance(statement, Declare):
                self._declare(statement.accumulator)
            elif isinstance(statement, Update):
                self._update(statement)
            elif isinstance(statement, Store):
                self._store(statement)
            else:
                self._check(statement)

    def _loop(self, loop: Loop) -> None:
        extent = loop.extent if isinstance(loop.extent, Coefficient) else self._one(loop.extent)
        opened = self.builder.open_loop(extent, loop.parallel, loop.vector)
        self.variables[id(loop.var)] = opened.var
        self._statements(loop.body)
        self.builder.close_loop(opened)

    def _declare(self, accumulator: Accumulator) -> None:
        builder = self.builder
        dtypes = tuple(float32 if dtype in _HALVES else dtype for dtype in accumulator.dtypes)
        if complex64 not in dtypes:
            self.accumulators[id(accumulator)] = (builder.declare(accumulator.combiner, dtypes),)
        elif accumulator.combiner == "sum":
            parts = builder.declare("sum", (float32,)), builder.declare("sum", (float32,))
            self.accumulators[id(accumulator)] = parts
        elif accumulator.combiner == "prod":
            self.accumulators[id(accumulator)] = (builder.declare("complex_prod", (float32, float32)),)
        else:
            raise TypeError(f"[{accumulator.combiner}] does not take complex64, which has no order.")

    def _update(self, statement: Update) -> None:
        parts = self.accumulators[id(statement.accumulator)]
        values: list[Instr] = []
        for value in statement.values:
            if value.dtype is complex64:
                values.extend(self.values[id(value)])
            else:
                values.append(self._number(value))
        if len(parts) == 1:
            self.builder.update(parts[0], *values)
            return
        for part, component in zip(parts, values):
            self.builder.update(part, component)

    def _store(self, statement: Store) -> None:
        buffer = statement.access.buffer
        guard = None if statement.guard is None else self._one(statement.guard)
        if buffer.dtype is complex64:
            for component, value in enumerate(self.values[id(statement.value)]):
                position = self._complex_position(statement.access.position, component)
                self.builder.store_as(buffer, position, value, guard)
            return
        value = self._one(statement.value)
        self.builder.store(
            buffer, self._position(statement.access.position), self.builder.cast(value, buffer.dtype), guard
        )

    def _check(self, statement: Check) -> None:
        self.builder.check(
            statement.status,
            self._one(statement.good),
            self._one(statement.index),
            self._one(statement.extent),
            statement.slot,
        )

    # positions and operands

    def _position(self, position: Linear) -> Linear:
        terms: list[tuple[LoopVar | Instr | None, Coefficient]] = []
        for factor, coefficient in position.terms:
            if isinstance(factor, LoopVar):
                terms.append((self.variables[id(factor)], coefficient))
            elif isinstance(factor, Instr):
                terms.append((self._one(factor), coefficient))
            else:
                terms.append((None, coefficient))
        return Linear(tuple(terms))

    def _complex_position(self, position: Linear, component: int) -> Linear:
        """The position of the real (0) or imaginary (1) part in the array of float32."""
        terms = [
            (factor, Coefficient(2 * coefficient.multiplier, coefficient.param))
            for factor, coefficient in self._position(position).terms
        ]
        if component:
            terms.append((None, Coefficient(1)))
        return Linear(tuple(terms))

    def _one(self, instr: Instr) -> Instr:
        """What a value that is not complex became; halves may be themselves or float32."""
        return self.values[id(instr)][0]

    def _number(self, instr: Instr) -> Instr:
        """The value in the dtype that arithmetic is done in: float32 for the half types."""
        value = self._one(instr)
        return self.builder.cast(value, float32) if value.dtype in _HALVES else value

    # values

    def _instr(self, instr: Instr) -> Values:
        builder, attribute = self.builder, instr.attribute
        if instr.op == "const":
            assert isinstance(attribute, (complex, float, int, bool))
            return self._const(attribute, instr.dtype)
        if instr.op == "scalar":
            assert isinstance(attribute, ScalarParam)
            return self._scalar(attribute)
        if instr.op == "size":
            assert isinstance(attribute, IntParam)
            return (builder.size(attribute),)
        if instr.op == "index":
            assert isinstance(attribute, Linear)
            return (builder.index(self._position(attribute)),)
        if instr.op == "load":
            assert isinstance(attribute, Access)
            return self._load(instr, attribute)
        if instr.op == "read":
            return self._read(instr)
        if instr.op == "libm":
            return (builder.libm(str(attribute), *(self._one(arg) for arg in instr.args)),)
        return self._apply(instr)

    def _const(self, value: complex | float | int | bool, dtype: Dtype) -> Values:
        builder = self.builder
        if dtype is complex64:
            number = complex(value)
            return builder.const(number.real, float32), builder.const(number.imag, float32)
        if dtype not in _HALVES:
            return (builder.const(value, dtype),)
        with np.errstate(over="ignore"):
            rounded = float(np.asarray(value).astype(to_numpy(dtype)))
        return (builder.const(rounded, float32),)

    def _scalar(self, param: ScalarParam) -> Values:
        builder = self.builder
        if param.dtype is not complex64:
            return (builder.scalar(param),)
        bits = builder.scalar(self.scalars[id(param)])
        high = builder.apply("shr", bits, builder.const(32, uint64))
        real, imaginary = (builder.bitcast(builder.cast(part, uint32), float32) for part in (bits, high))
        return real, imaginary

    def _load(self, instr: Instr, access: Access) -> Values:
        builder, buffer = self.builder, access.buffer
        guard = self._one(instr.args[0]) if instr.args else None
        if buffer.dtype is not complex64:
            return (builder.load(buffer, self._position(access.position), guard),)
        return tuple(self._load_part(buffer, access.position, guard, component) for component in (0, 1))

    def _load_part(
        self, buffer: BufferParam, position: Linear, guard: Instr | None, component: int
    ) -> Instr:
        return self.builder.load_as(buffer, self._complex_position(position, component), guard, float32)

    def _read(self, instr: Instr) -> Values:
        assert isinstance(instr.attribute, tuple)
        accumulator, component = instr.attribute
        parts = self.accumulators[id(accumulator)]
        if len(parts) == 2:
            return self.builder.read(parts[0]), self.builder.read(parts[1])
        if instr.dtype is complex64:
            return self.builder.read(parts[0], 0), self.builder.read(parts[0], 1)
        return (self.builder.cast(self.builder.read(parts[0], component), instr.dtype),)

    # operations

    def _apply(self, instr: Instr) -> Values:
        builder, op = self.builder, instr.op
        source = instr.args[-1].dtype
        if op == "cast":
            return self._cast(instr.args[0], instr.dtype)
        if op == "bitcast":
            value = builder.cast(self._one(instr.args[0]), source)
            return (builder.bitcast(value, instr.dtype),)
        if op == "complex":
            return self._number(instr.args[0]), self._number(instr.args[1])
        if source is complex64:
            return self._apply_complex(instr)
        args = [self._number(arg) for arg in instr.args]
        if source in _HALVES:
            result = self._floating(op, args)
            is_exact = op in _EXACT_ON_HALVES or result.dtype is not float32
            return (result if is_exact else builder.cast(result, source),)
        if source.kind == "f":
            return (self._floating(op, args),)
        return (builder.apply(op, *args),)

    def _floating(self, op: str, args: Sequence[Instr]) -> Instr:
        """An operation on float32 or float64."""
        if op in _MLX_VARIANTS and args[0].dtype is not float32:
            op = _MLX_VARIANTS[op]
        if op in _UNARY:
            return _UNARY[op](self.builder, args[0])
        if op in _BINARY:
            return _BINARY[op](self.builder, args[0], args[1])
        if op in ELEMENTARY or op in ELEMENTARY_BINARY:
            raise TypeError(f"[{op}] has no expansion into basic operations.")
        return self.builder.apply(op, *args)

    def _apply_complex(self, instr: Instr) -> Values:
        builder, op = self.builder, instr.op
        if op == "select":
            condition = self._one(instr.args[0])
            a, b = self.values[id(instr.args[1])], self.values[id(instr.args[2])]
            return tuple(builder.select(condition, a[part], b[part]) for part in (0, 1))
        operands = [self.values[id(arg)] for arg in instr.args]
        if op in ("real", "imag"):
            return (operands[0][0 if op == "real" else 1],)
        if op in ("add", "sub", "neg"):
            return tuple(builder.apply(op, *(operand[part] for operand in operands)) for part in (0, 1))
        if op in ("eq", "ne"):
            parts = [builder.apply(op, operands[0][part], operands[1][part]) for part in (0, 1)]
            return (builder.apply("and" if op == "eq" else "or", parts[0], parts[1]),)
        pairs = [(operand[0], operand[1]) for operand in operands]
        if op == "mul":
            return math_complex.multiply(builder, pairs[0], pairs[1])
        return math_complex.in_float64(builder, op, pairs)

    # conversions

    def _cast(self, source: Instr, dtype: Dtype) -> Values:
        builder = self.builder
        if source.dtype is dtype:
            return self.values[id(source)]
        if source.dtype is complex64:
            return self._cast_complex(self.values[id(source)], dtype)
        value = self._number(source)
        if dtype is complex64:
            return builder.cast(value, float32), builder.const(0.0, float32)
        if dtype in _HALVES:
            return (self._round_to_half(value, dtype),)
        return (builder.cast(value, dtype),)

    def _cast_complex(self, pair: Values, dtype: Dtype) -> Values:
        builder = self.builder
        if dtype.kind != "b":  # the imaginary part is dropped
            if dtype in _HALVES:
                return (self._round_to_half(pair[0], dtype),)
            return (builder.cast(pair[0], dtype),)
        zero = builder.const(0.0, float32)
        parts = [builder.apply("ne", part, zero) for part in pair]
        return (builder.apply("or", parts[0], parts[1]),)

    def _round_to_half(self, value: Instr, dtype: Dtype) -> Instr:
        """A half value; float64 is first rounded to odd, so that rounding twice does no harm."""
        builder = self.builder
        if value.dtype.kind == "b":
            return builder.cast(value, float32)
        single = builder.cast(value, float32)
        if value.dtype is not float64:
            return builder.cast(single, dtype)
        back = builder.cast(single, float64)
        bits = builder.bitcast(single, uint32)
        away = builder.apply("gt", builder.apply("abs", back), builder.apply("abs", value))
        one = builder.const(1, uint32)
        odd = builder.apply("or", builder.select(away, builder.sub(bits, one), bits), one)
        bits = builder.select(builder.apply("eq", back, value), bits, odd)
        return builder.cast(builder.bitcast(bits, float32), dtype)
