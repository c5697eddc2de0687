"""The recorded graph: immutable nodes, and where an evaluated node's values lie."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from tarry.base.dtypes import Dtype
from tarry.base.errors import UserCall
from tarry.base.shapes import Shape, contiguous_strides, is_contiguous
from tarry.runtime.memory import Buffer

if TYPE_CHECKING:
    from tarry.graph.primitive import Primitive


class Storage:
    """Evaluated values: element (i, j, ...) lies at offset + i*strides[0] + j*strides[1] + ... of the buffer.

    Offset and strides count elements. `contiguous` says that the strides are row-major.
    """

    __slots__ = ("buffer", "contiguous", "offset", "strides")

    def __init__(self, buffer: Buffer, offset: int, strides: Shape, contiguous: bool) -> None:
        self.buffer = buffer
        self.offset = offset
        self.strides = strides
        self.contiguous = contiguous


def dense_storage(buffer: Buffer, shape: Shape) -> Storage:
    """Row-major values from the start of a buffer."""
    return Storage(buffer, 0, contiguous_strides(shape), True)


def strided_storage(buffer: Buffer, offset: int, shape: Shape, strides: Shape) -> Storage:
    """A view of a buffer; finds out whether it is row-major."""
    return Storage(buffer, offset, strides, is_contiguous(shape, strides))


# The serial number of the next node: inputs are made before what reads them.
next_serial = count(1).__next__


class Node:
    """One recorded operation, or an evaluated value.

    primitive   the operation, or None for a node that only holds values
    inputs      the nodes it reads, in a tuple of its own (evaluation counts references); dropped once
                evaluated, unless a transform is tracing
    storage     the values once evaluated, else None
    call        what the user called and where, for operations that can fail while running
    serial      a number greater than those of the inputs
    stamp       which walk of `engine.keying` has met the node last (0: none)
    number      the node's number in that walk
    Nothing else ever changes, but a node may become another description of the same value (graph.subgraph).
    """

    __slots__ = (
        "__weakref__", "call", "dtype", "inputs", "number", "primitive", "serial", "shape", "stamp",
        "storage",
    )  # fmt: skip

    number: int
    serial: float

    def __init__(
        self,
        primitive: Primitive | None,
        inputs: tuple[Node, ...],
        shape: Shape,
        dtype: Dtype,
        storage: Storage | None = None,
        call: UserCall | None = None,
    ) -> None:
        self.primitive = primitive
        self.inputs = inputs
        self.shape = shape
        self.dtype = dtype
        self.storage = storage
        self.call = call
        self.serial = next_serial()
        self.stamp = 0

    def __repr__(self) -> str:
        name = self.primitive.name if self.primitive is not None else "Values"
        return f"<Node {name} {self.dtype.name}{list(self.shape)}>"
