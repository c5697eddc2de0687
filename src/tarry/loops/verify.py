"""Checks that a kernel keeps the rules of the loop-nest IR (stated in loops.ir and loops.operations)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NoReturn

from tarry.base.dtypes import Dtype, bool_, complex64, float32, float64, int64
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
    LoopVar,
    ScalarParam,
    Statement,
    Store,
    Update,
)
from tarry.loops.operations import PURE, SPECIAL
from tarry.loops.text import MODES, KernelPrinter, implied_dtype, walk

_FUNCTION_NAME = re.compile(r"[a-z]\w*")


def verify_kernel(kernel: Kernel) -> None:
    """Accepts a well-formed kernel; else ValueError names the first statement that breaks a rule.

    >>> from tarry.loops.parse import parse_kernel
    >>> verify_kernel(parse_kernel("kernel fill(x: in int8)\\n  v: int8 = const 1\\n  store x[0] = v"))
    Traceback (most recent call last):
    ValueError: [verify] a store needs an out, update or scratch buffer, not in x: store x[0] = v
    """
    verifier = _Verifier(kernel)
    verifier.check_params()
    verifier.check_body(kernel.body)


class _Scope:
    """What one open body may use that the bodies around it may not."""

    __slots__ = ("loop", "names")

    def __init__(self, loop: Loop | None) -> None:
        self.loop = loop
        self.names: list[int] = []


class _Verifier:
    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._params = {id(param) for param in kernel.params}
        self._visible: set[int] = set()
        self._defined: set[int] = set()  # also what is out of scope again
        self._scopes = [_Scope(None)]
        self._stored: set[int] = set()  # buffers a store of which may have run
        self._reducing: list[set[int]] = []  # for every open loop, the accumulators it updates
        self._statement: Statement | None = None
        self._has_parallel = any(isinstance(s, Loop) and s.parallel for s in walk(kernel.body))

    def _fail(self, message: str) -> NoReturn:
        printer = KernelPrinter(self._kernel)
        if self._statement is None:
            raise ValueError(f"[verify] {message}: {printer.header()}")
        try:
            line = printer.line(self._statement)
        except (AttributeError, IndexError, TypeError):  # too broken to print
            line = f"a {type(self._statement).__name__} statement with wrong attributes"
        raise ValueError(f"[verify] {message}: {line}")

    # parameters

    def check_params(self) -> None:
        names: set[str] = set()
        for param in self._kernel.params:
            if not param.name or param.name in names:
                self._fail(f"parameters need different names, but {param.name!r} is missing or given twice")
            names.add(param.name)
            if not isinstance(param, BufferParam):
                continue
            if param.mode not in MODES:
                self._fail(f"{param.mode!r} of {param.name} is not one of {', '.join(MODES)}")
            if param.mode in ("scratch", "partial") and param.extent is None:
                self._fail(f"the {param.mode} buffer {param.name} has no extent")
            if param.mode == "status" and param.dtype is not int64:
                self._fail(f"the status buffer {param.name} is {param.dtype.name} and not int64")
            if param.extent is not None:
                self._check_coefficient(param.extent)

    # statements

    def check_body(self, body: Sequence[Statement]) -> None:
        for statement in body:
            self._statement = statement
            if isinstance(statement, Instr):
                self._check_instr(statement)
            elif isinstance(statement, Loop):
                self._check_loop(statement)
            elif isinstance(statement, Declare):
                self._check_declare(statement.accumulator)
            elif isinstance(statement, Update):
                self._check_update(statement)
            elif isinstance(statement, Store):
                self._check_store(statement)
            elif isinstance(statement, Check):
                self._check_check(statement)
            else:
                self._fail(f"{type(statement).__name__} is not a kind of statement")

    def _define(self, item: Instr | LoopVar | Accumulator) -> None:
        if id(item) in self._defined:
            self._fail(f"{item.name} is defined twice")
        self._defined.add(id(item))
        self._visible.add(id(item))
        self._scopes[-1].names.append(id(item))

    def _check_use(self, item: Instr | LoopVar | Accumulator) -> None:
        if id(item) in self._visible:
            return
        reason = "out of its scope" if id(item) in self._defined else "before its definition"
        self._fail(f"{item.name or 'an unnamed value'} is used {reason}")

    def _check_value(self, role: str, value: object, dtype: Dtype) -> None:
        if not isinstance(value, Instr):
            self._fail(f"the {role} must be a value, not {type(value).__name__}")
        self._check_use(value)
        if value.dtype is not dtype:
            self._fail(f"the {role} must be {dtype.name}, but {value.name} is {value.dtype.name}")

    def _check_loop(self, loop: Loop) -> None:
        enclosing = [scope.loop for scope in self._scopes if scope.loop is not None]
        if loop.parallel:
            if enclosing:
                self._fail("a parallel loop stands at the top of the kernel, not inside another loop")
            loops = [statement for statement in self._kernel.body if isinstance(statement, Loop)]
            if any(other.parallel and id(other.var) in self._defined for other in loops):
                self._fail("a kernel has at most one parallel loop")
        if loop.vector and any(outer.vector for outer in enclosing):
            self._fail("a vector loop cannot stand inside a vector loop")
        if isinstance(loop.extent, Instr):
            self._check_value("extent", loop.extent, int64)
        else:
            self._check_coefficient(loop.extent)
        scope = _Scope(loop)
        self._scopes.append(scope)
        self._define(loop.var)
        inside = list(walk(loop.body))
        self._reducing.append({id(s.accumulator) for s in inside if isinstance(s, Update)})
        if not loop.parallel and not loop.vector:
            # A sequential loop may load what an earlier iteration stored, as scans do.
            self._stored |= {id(s.access.buffer) for s in inside if isinstance(s, Store)}
        self.check_body(loop.body)
        self._reducing.pop()
        self._scopes.pop()
        self._visible.difference_update(scope.names)

    def _check_declare(self, accumulator: Accumulator) -> None:
        combiner = COMBINERS.get(accumulator.combiner)
        if combiner is None:
            self._fail(f"{accumulator.combiner!r} is not a combiner; there are {', '.join(COMBINERS)}")
        if len(accumulator.dtypes) != combiner.components:
            self._fail(f"{combiner.name} has {combiner.components} components, not {len(accumulator.dtypes)}")
        builder = Builder()
        left, right = (
            [builder.scalar(builder.scalar_param(dtype)) for dtype in accumulator.dtypes] for _ in range(2)
        )
        try:
            combiner.combine(builder, left, right)
        except TypeError as error:
            self._fail(f"{combiner.name} does not take these dtypes, {error}")
        self._define(accumulator)

    def _check_update(self, update: Update) -> None:
        accumulator = update.accumulator
        self._check_use(accumulator)
        if len(update.values) != len(accumulator.dtypes):
            self._fail(f"{accumulator.name} takes {len(accumulator.dtypes)} values, not {len(update.values)}")
        for value, dtype in zip(update.values, accumulator.dtypes):
            self._check_value("update", value, dtype)

    def _check_store(self, store: Store) -> None:
        self._check_access(store.access)
        buffer = store.access.buffer
        if buffer.mode not in ("out", "update", "scratch", "partial"):
            self._fail(f"a store needs an out, update or scratch buffer, not {buffer.mode} {buffer.name}")
        half = buffer.dtype is complex64 and store.value.dtype is float32
        self._check_value("stored value", store.value, float32 if half else buffer.dtype)
        if store.guard is not None:
            self._check_value("guard", store.guard, bool_)
        self._stored.add(id(buffer))

    def _check_check(self, check: Check) -> None:
        if id(check.status) not in self._params or check.status.mode != "status":
            self._fail(f"a check needs a status buffer of this kernel, not {check.status.name}")
        self._check_value("condition", check.good, bool_)
        self._check_value("index", check.index, int64)
        self._check_value("extent", check.extent, int64)
        self._check_coefficient(check.slot)

    # positions

    def _check_coefficient(self, coefficient: object) -> None:
        if not isinstance(coefficient, Coefficient):
            self._fail(f"expected a coefficient or an int64 value, not {type(coefficient).__name__}")
        param = coefficient.param
        if param is not None and (id(param) not in self._params or not isinstance(param, IntParam)):
            self._fail(f"{param.name} is not an integer parameter of this kernel")

    def _check_linear(self, position: object) -> None:
        if not isinstance(position, Linear):
            self._fail(f"a position must be a Linear, not {type(position).__name__}")
        for factor, coefficient in position.terms:
            self._check_coefficient(coefficient)
            if isinstance(factor, Instr):
                self._check_value("position", factor, int64)
            elif isinstance(factor, LoopVar):
                self._check_use(factor)
            elif factor is not None:
                self._fail(f"a position is made of loop variables and values, not {type(factor).__name__}")

    def _check_access(self, access: Access) -> None:
        buffer = access.buffer
        if not isinstance(buffer, BufferParam) or id(buffer) not in self._params:
            self._fail(f"{buffer.name} is not a buffer of this kernel")
        # The chunks of a parallel loop have scratch buffers of their own, which nothing outside can see.
        outermost = self._scopes[1].loop if len(self._scopes) > 1 else None
        if buffer.mode == "scratch" and self._has_parallel and (outermost is None or not outermost.parallel):
            self._fail(f"the scratch buffer {buffer.name} is used outside the parallel loop")
        self._check_linear(access.position)

    # values

    def _check_instr(self, instr: Instr) -> None:
        for arg in instr.args:
            self._check_use(arg)
        if instr.op in SPECIAL:
            self._check_special(instr)
        elif instr.op in PURE:
            self._check_pure(instr)
        else:
            self._fail(f"{instr.op!r} is not an operation")
        implied = implied_dtype(instr.op, instr.args, instr.attribute)
        # A complex64 buffer may also be read, and written, as the float32 pairs it consists of.
        half = instr.op == "load" and implied is complex64 and instr.dtype is float32
        if implied is not None and implied is not instr.dtype and not half:
            self._fail(f"{instr.op} gives {implied.name} here, not {instr.dtype.name}")
        self._define(instr)

    def _check_pure(self, instr: Instr) -> None:
        operation = PURE[instr.op]
        if len(instr.args) != operation.arity or instr.attribute is not None:
            self._fail(f"{instr.op} takes {operation.arity} arguments only, not {len(instr.args)}")
        operands = instr.args
        if operation.rule == "select":
            self._check_value("condition", operands[0], bool_)
            operands = operands[1:]
        given = ", ".join(operand.dtype.name for operand in operands)
        first = operands[0].dtype
        if instr.op == "complex":
            if any(operand.dtype is not float32 for operand in operands):
                self._fail(f"complex takes two float32 values, not ({given})")
        elif first.kind not in operation.kinds or any(operand.dtype is not first for operand in operands):
            self._fail(f"{instr.op} does not take ({given})")
        result = instr.dtype
        if instr.op == "bitcast" and (result.size != first.size or result.kind not in operation.kinds):
            self._fail(f"bitcast needs dtypes of one size, but {given} is not like {result.name}")

    def _check_special(self, instr: Instr) -> None:
        attribute = instr.attribute
        if instr.op == "load":
            self._check_load(instr)
            return
        if instr.op == "libm":
            named = isinstance(attribute, str) and _FUNCTION_NAME.fullmatch(attribute)
            if not named or len(instr.args) < 2:
                self._fail("libm needs the name of a function, a guard and at least one argument")
            self._check_value("guard", instr.args[0], bool_)
            for arg in instr.args[1:]:
                self._check_value("argument", arg, float64)
            return
        if instr.args:
            self._fail(f"{instr.op} takes no arguments")
        if instr.op == "const":
            self._check_const(attribute, instr.dtype)
        elif instr.op == "index":
            self._check_linear(attribute)
        elif instr.op == "read":
            self._check_read(attribute)
        else:
            kind = ScalarParam if instr.op == "scalar" else IntParam
            if not isinstance(attribute, kind) or id(attribute) not in self._params:
                self._fail(f"{instr.op} needs a parameter of this kernel, of the type {kind.__name__}")

    def _check_load(self, instr: Instr) -> None:
        access = instr.attribute
        if not isinstance(access, Access):
            self._fail(f"load needs an Access, not {type(access).__name__}")
        self._check_access(access)
        if len(instr.args) > 1:
            self._fail("load takes at most one argument, its guard")
        for guard in instr.args:
            self._check_value("guard", guard, bool_)
        buffer = access.buffer
        if buffer.mode == "status":
            self._fail(f"the status buffer {buffer.name} cannot be loaded from")
        if buffer.mode in ("out", "scratch", "partial") and id(buffer) not in self._stored:
            self._fail(f"{buffer.name} is loaded from before anything is stored to it")

    def _check_read(self, attribute: object) -> None:
        if not isinstance(attribute, tuple) or len(attribute) != 2:
            self._fail("read needs an accumulator and the number of a component")
        accumulator, component = attribute
        if not isinstance(accumulator, Accumulator):
            self._fail(f"read needs an accumulator, not {type(accumulator).__name__}")
        self._check_use(accumulator)
        components = len(accumulator.dtypes)
        if not isinstance(component, int) or not 0 <= component < components:
            self._fail(f"{accumulator.name} has {components} components, and none is {component!r}")
        for scope, updated in zip(reversed(self._scopes), reversed(self._reducing)):
            if id(accumulator) in scope.names:
                break
            if id(accumulator) in updated:
                self._fail(f"{accumulator.name} is read inside a loop that updates it")

    def _check_const(self, value: object, dtype: Dtype) -> None:
        accepted: dict[str, tuple[type, ...]] = {
            "b": (bool, int), "i": (int,), "u": (int,), "f": (int, float), "c": (int, float, complex)
        }  # fmt: skip
        if not isinstance(value, accepted[dtype.kind]):
            self._fail(f"{value!r} is not a number of kind {dtype.kind} ({dtype.name})")
        if not isinstance(value, int) or dtype.kind not in "biu":
            return
        bits = 1 if dtype is bool_ else 8 * dtype.size
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if dtype.kind == "i" else (0, (1 << bits) - 1)
        if not low <= value <= high:
            self._fail(f"{value} is out of the range of {dtype.name}, {low} .. {high}")
