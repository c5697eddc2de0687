"""What is compiled: a recorded program with every size replaced by a symbol.

A `Program` is one graph as the engine found it. `symbolic_values` turns it into `Value`s that hold no nodes
and no sizes: shapes, slice starts and strides are polynomials over the argument vector (loops.poly), so what
is made of them serves every program with the same key.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.base.dtypes import Dtype
from tarry.graph.node import Node
from tarry.graph.primitive import Primitive
from tarry.loops.poly import ONE, Poly, contiguous, symbol
from tarry.ops.elementwise import Constant, Elementwise
from tarry.ops.structure import Reduction, View

SymbolicShape = tuple[Poly, ...]


class Program:
    """A graph in order of execution.

    leaves      evaluated inputs, in order of first use
    nodes       what has to run, inputs before users
    outputs     numbers of the nodes whose values are wanted
    sizes       the symbol of every size that occurs (a size of 1 is structure and has none)
    starts      node number -> symbol of its first run-time argument; for a strided leaf -1-k of its strides
    scalars     node number -> number of its constant
    donated     numbers of leaves that an update may change in place
    """

    __slots__ = ("donated", "leaves", "nodes", "outputs", "scalars", "sizes", "starts")

    def __init__(
        self,
        leaves: list[Node],
        nodes: list[Node],
        outputs: list[int],
        sizes: dict[int, int],
        starts: dict[int, int],
        scalars: dict[int, int],
        donated: set[int] | None = None,
    ) -> None:
        self.donated = set() if donated is None else donated
        self.leaves = leaves
        self.nodes = nodes
        self.outputs = outputs
        self.sizes = sizes
        self.starts = starts
        self.scalars = scalars


class Value:
    """One value of a program: `primitive` of `inputs`, or a leaf (no primitive).

    strides     of a leaf; None when it is contiguous
    scalar      the number of a Constant among the program's constants, else -1
    donated     of a leaf: whether an update may change it in place
    node        the number of the node (or leaf) it came from
    cost        what computing an element of it takes, once somebody asked (compiler.trace.own_cost)
    """

    __slots__ = (
        "_layout", "arguments", "cost", "donated", "dtype", "elementwise", "inputs", "leaf", "node", "number",
        "primitive", "scalar", "shape", "strides", "trivial", "view",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        primitive: Primitive | None,
        inputs: Sequence[Value],
        shape: SymbolicShape,
        dtype: Dtype,
        arguments: tuple[Poly, ...] = (),
        node: int = -1,
    ) -> None:
        self.number = number
        self.primitive = primitive
        self.inputs = tuple(inputs)
        self.shape = shape
        self.dtype = dtype
        self.arguments = arguments
        self.node = node
        self.leaf = primitive is None
        self.view = isinstance(primitive, View)
        self.elementwise = isinstance(primitive, Elementwise)
        self._layout: SymbolicShape | None = None
        self.strides: SymbolicShape | None = None
        self.scalar = -1
        self.cost: int | None = None
        self.donated = False
        # A reduction over dimensions of extent 1 only: one element stays one element.
        self.trivial = isinstance(primitive, Reduction) and all(
            self.inputs[0].shape[axis] == ONE for axis in primitive.axes
        )

    def layout(self) -> SymbolicShape:
        """The strides of its values in memory, in elements."""
        if self.strides is not None:
            return self.strides
        if self._layout is None:
            self._layout = contiguous(self.shape)
        return self._layout

    @property
    def reduction(self) -> bool:
        return isinstance(self.primitive, Reduction) and not self.trivial

    def __repr__(self) -> str:
        name = "Leaf" if self.primitive is None else repr(self.primitive)
        operands = " ".join(f"%{value.number}" for value in self.inputs)
        shape = ", ".join(str(extent) for extent in self.shape)
        return f"%{self.number}: {self.dtype.name}[{shape}] = {name} {operands}".rstrip()


class ValueGraph:
    """Values in order of execution, and which of them are wanted."""

    __slots__ = ("outputs", "values")

    def __init__(self, values: list[Value], outputs: list[Value]) -> None:
        self.values = values
        self.outputs = outputs

    def __str__(self) -> str:
        wanted = " ".join(f"%{value.number}" for value in self.outputs)
        return "\n".join([*map(repr, self.values), f"wanted: {wanted}"])


def symbolic_values(program: Program) -> ValueGraph:
    """The values of a program, with sizes as symbols."""
    sizes = program.sizes
    values: list[Value] = []
    known: dict[Node, Value] = {}

    def shape_of(node: Node) -> SymbolicShape:
        return tuple([ONE if extent == 1 else symbol(sizes[extent]) for extent in node.shape])

    for number, leaf in enumerate(program.leaves):
        value = Value(len(values), None, (), shape_of(leaf), leaf.dtype, (), number)
        value.donated = number in program.donated
        start = program.starts.get(-1 - number)
        if start is not None:
            value.strides = leaf_strides(leaf, start)
        known[leaf] = value
        values.append(value)
    for number, node in enumerate(program.nodes):
        primitive = node.primitive
        assert primitive is not None
        inputs = [known[source] for source in node.inputs]
        start = program.starts.get(number, 0)
        arguments = tuple([symbol(start + k) for k in range(len(primitive.arguments))])
        value = Value(len(values), primitive, inputs, shape_of(node), node.dtype, arguments, number)
        if isinstance(primitive, Constant):
            value.scalar = program.scalars[number]
        known[node] = value
        values.append(value)
    return ValueGraph(values, [known[program.nodes[number]] for number in program.outputs])


def stride_class(extent: int, stride: int) -> int:
    """0 or 1 for a stride that is structure (repeated, adjacent), 2 for one that is an argument."""
    if extent == 1 or stride == 0:
        return 0
    return 1 if stride == 1 else 2


def leaf_strides(leaf: Node, start: int) -> SymbolicShape:
    """The symbolic strides of a leaf that is not contiguous; `start` is the symbol of the first argument."""
    assert leaf.storage is not None
    strides: list[Poly] = []
    for extent, stride in zip(leaf.shape, leaf.storage.strides):
        kind = stride_class(extent, stride)
        if kind == 2:
            strides.append(symbol(start))
            start += 1
        else:
            strides.append(ONE if kind else Poly(()))
    return tuple(strides)
