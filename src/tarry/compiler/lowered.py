"""A kernel ready to be compiled, and what its parameters are bound to when it runs."""

from __future__ import annotations

from tarry.base.dtypes import Dtype
from tarry.compiler.program import Value
from tarry.loops.ir import Kernel
from tarry.loops.poly import Poly


class BufferBinding:
    """The memory of a stored value or leaf."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"%{self.value.number}"


class IntBinding:
    __slots__ = ("poly",)

    def __init__(self, poly: Poly) -> None:
        self.poly = poly

    def __repr__(self) -> str:
        return str(self.poly)


class ScalarBinding:
    """Constant `number` of the program, as a `dtype`."""

    __slots__ = ("dtype", "number")

    def __init__(self, number: int, dtype: Dtype) -> None:
        self.number = number
        self.dtype = dtype

    def __repr__(self) -> str:
        return f"c{self.number}"


class ScratchBinding:
    """Memory for `extent` elements for each chunk, or `shared` by all chunks."""

    __slots__ = ("dtype", "extent", "shared")

    def __init__(self, dtype: Dtype, extent: Poly, shared: bool = False) -> None:
        self.dtype = dtype
        self.extent = extent
        self.shared = shared

    def __repr__(self) -> str:
        return f"{'partial' if self.shared else 'scratch'} {self.extent}"


class StatusBinding:
    """The status buffer of the plan."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "status"


class CheckBinding:
    """The number, within the plan, of the check of the gather or scatter `value`."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"check %{self.value.number}"


class RectangleBinding:
    """One of the integers that tell an epilogue which rectangle of a product to work on."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


Binding = (
    BufferBinding
    | IntBinding
    | ScalarBinding
    | ScratchBinding
    | StatusBinding
    | CheckBinding
    | RectangleBinding
)


class Parts:
    """How the reduced `rows` of a strip of columns are cut into parts (schedule.part_height).

    There are `more` times as many rows, in inner loops. With `folds`, few columns become more.
    """

    __slots__ = ("folds", "more", "rows", "step")

    def __init__(self, rows: Poly, more: Poly, step: int, folds: bool) -> None:
        self.rows = rows
        self.more = more
        self.step = step
        self.folds = folds


class Work:
    """How much a kernel does: iterations of its parallel loop and the cost of each.

    `vector` says that the parallel loop is the vector loop, too. `blocks` are the extents, among those in
    `inner`, that the parallel loop runs through in blocks of some size; of `strip_width` where it is 0.
    `parts` is what cuts the reduced axes into parts, if they are. The number of chunks follows from these,
    that is from sizes alone.
    """

    __slots__ = ("blocks", "cost", "extent", "inner", "parts", "vector")

    def __init__(
        self,
        extent: Poly | None,
        inner: Poly,
        cost: int,
        vector: bool,
        blocks: tuple[tuple[Poly, int], ...] = (),
        parts: Parts | None = None,
    ) -> None:
        self.extent = extent
        self.blocks = blocks
        self.parts = parts
        self.inner = inner
        self.cost = cost
        self.vector = vector


class LoweredKernel:
    """A loop nest with a binding for each of its parameters."""

    __slots__ = ("bindings", "kernel", "work")

    def __init__(self, kernel: Kernel, bindings: list[Binding], work: Work) -> None:
        self.kernel = kernel
        self.bindings = bindings
        self.work = work


class LoweredProduct:
    """A matrix product: out = a @ b, all given as strides over stored values, and what follows it.

    `epilogue` works on a rectangle of the finished product (compiler.product_epilogue).
    """

    __slots__ = ("epilogue", "value")

    def __init__(self, value: Value, epilogue: LoweredKernel | None = None) -> None:
        self.value = value
        self.epilogue = epilogue


LoweredStep = LoweredKernel | LoweredProduct
