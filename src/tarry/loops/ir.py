"""The loop-nest IR: what one kernel does, independent of vector width, threads and machine.

A `Kernel` has parameters and a body. Parameters are buffers (flat arrays of one dtype), integers
(extents, strides, offsets) and scalars (Python numbers of the user's program): no size, offset or scalar
ever stands in the code. A body is a list of statements, executed in order:

  Instr        a value, computed once where it stands; pure, except that `load` reads memory
  Loop         runs its body for var = 0 .. extent-1. `vector` loops may run many values of var at once and
               `parallel` loops may run in chunks on several threads: iterations are independent but for
               accumulators. At most one loop is parallel, and it stands at the top of the kernel.
  Declare      a new accumulator holding its combiner's identity
  Update       combines values into an accumulator; the order is not defined, but it depends on sizes alone
  Store        writes a value to a buffer, where its guard holds
  Check        reports an index out of range to the status buffer and goes on

Positions are `Linear`: a sum of factor * coefficient, in elements, where a factor is a loop variable, an
int64 value or nothing, and a coefficient an integer, a parameter or a product of both. A load whose guard
is false reads nothing and gives zero. Types are dtypes; conditions are `bool`.
"""

from __future__ import annotations

from tarry.base.dtypes import Dtype


class BufferParam:
    """A flat array; `mode` is in, out (written by the kernel), update (read and written), scratch, partial or
    status.

    A scratch buffer holds values between the passes over one row; every chunk of the parallel loop has its
    own, of `extent` elements. A partial buffer has `extent` elements for all chunks: iterations leave results
    of parts of the work there, each in its place, and what follows the parallel loop combines them. The
    status buffer is four int64: flag, slot, index, extent of a failed Check.
    """

    __slots__ = ("dtype", "extent", "mode", "name")

    def __init__(self, name: str, dtype: Dtype, mode: str, extent: Coefficient | None = None) -> None:
        self.name = name
        self.dtype = dtype
        self.mode = mode
        self.extent = extent


class IntParam:
    """An int64 given at run time: an extent, a stride, an offset."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class ScalarParam:
    """A number given at run time."""

    __slots__ = ("dtype", "name")

    def __init__(self, name: str, dtype: Dtype) -> None:
        self.name = name
        self.dtype = dtype


Param = BufferParam | IntParam | ScalarParam


class LoopVar:
    """The variable of a loop; int64, 0 .. extent-1."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Coefficient:
    """multiplier * parameter, or just the multiplier."""

    __slots__ = ("multiplier", "param")

    def __init__(self, multiplier: int, param: IntParam | None = None) -> None:
        self.multiplier = multiplier
        self.param = param

    @property
    def key(self) -> tuple[int, int]:
        return (self.multiplier, id(self.param) if self.param is not None else 0)


class Linear:
    """A position: the sum of factor * coefficient; a factor of None is a constant term."""

    __slots__ = ("terms",)

    def __init__(self, terms: tuple[tuple[LoopVar | Instr | None, Coefficient], ...]) -> None:
        self.terms = terms

    @property
    def key(self) -> tuple[tuple[int, int, int], ...]:
        return tuple((id(factor) if factor is not None else 0, *c.key) for factor, c in self.terms)

    def values(self) -> list[Instr]:
        return [factor for factor, _ in self.terms if isinstance(factor, Instr)]


class Accumulator:
    """A running reduction: `combiner` names an entry of loops.combiners, one dtype per component."""

    __slots__ = ("combiner", "dtypes", "name")

    def __init__(self, name: str, combiner: str, dtypes: tuple[Dtype, ...]) -> None:
        self.name = name
        self.combiner = combiner
        self.dtypes = dtypes


class Instr:
    """One value. `op` is of the closed set in loops.operations; `attribute` depends on the op:

    const: the Python number; scalar: a ScalarParam; size: an IntParam; index: a Linear;
    load: an Access (a guard, if any, is the only argument); read: (Accumulator, component);
    libm: the name of a C function of doubles.
    """

    __slots__ = ("args", "attribute", "dtype", "name", "op")

    def __init__(
        self, op: str, dtype: Dtype, args: tuple[Instr, ...], attribute: object = None, name: str = ""
    ) -> None:
        self.op = op
        self.dtype = dtype
        self.args = args
        self.attribute = attribute
        self.name = name


class Access:
    """An element of a buffer."""

    __slots__ = ("buffer", "position")

    def __init__(self, buffer: BufferParam, position: Linear) -> None:
        self.buffer = buffer
        self.position = position


class Loop:
    __slots__ = ("body", "extent", "parallel", "var", "vector")

    def __init__(
        self,
        var: LoopVar,
        extent: Coefficient | Instr,
        body: list[Statement],
        parallel: bool = False,
        vector: bool = False,
    ) -> None:
        self.var = var
        self.extent = extent
        self.body = body
        self.parallel = parallel
        self.vector = vector


class Declare:
    __slots__ = ("accumulator",)

    def __init__(self, accumulator: Accumulator) -> None:
        self.accumulator = accumulator


class Update:
    __slots__ = ("accumulator", "values")

    def __init__(self, accumulator: Accumulator, values: tuple[Instr, ...]) -> None:
        self.accumulator = accumulator
        self.values = values


class Store:
    __slots__ = ("access", "guard", "value")

    def __init__(self, access: Access, value: Instr, guard: Instr | None = None) -> None:
        self.access = access
        self.value = value
        self.guard = guard


class Check:
    """When `good` is false, writes (slot, index, extent) to the status buffer; slot numbers the op."""

    __slots__ = ("extent", "good", "index", "slot", "status")

    def __init__(
        self, status: BufferParam, good: Instr, index: Instr, extent: Instr, slot: Coefficient
    ) -> None:
        self.status = status
        self.good = good
        self.index = index
        self.extent = extent
        self.slot = slot


Statement = Instr | Loop | Declare | Update | Store | Check


class Kernel:
    """A name, parameters in the order of the argument table, and a body."""

    __slots__ = ("body", "name", "params")

    def __init__(self, name: str, params: list[Param], body: list[Statement]) -> None:
        self.name = name
        self.params = params
        self.body = body


def parallel_loop(kernel: Kernel) -> Loop | None:
    """The loop whose iterations are shared among threads, if there is one."""
    for statement in kernel.body:
        if isinstance(statement, Loop) and statement.parallel:
            return statement
    return None
