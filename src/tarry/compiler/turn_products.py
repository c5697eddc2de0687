"""A product of which only the transpose is used becomes the product of the transposes, in other order.

(A B)^T = B^T A^T: the gradient of x W^T with respect to W is a transpose, and what is computed from it (an
update of W) is then written row by row, and can join the product as its epilogue.
"""

from __future__ import annotations

from tarry.compiler.program import Value, ValueGraph
from tarry.ops.products import Matmul
from tarry.ops.structure import Transpose, transposition


def turn_products(graph: ValueGraph) -> ValueGraph:
    """The graph with such products turned; values keep their numbers, new ones follow them."""
    users: dict[Value, list[Value]] = {}
    for value in graph.values:
        for source in value.inputs:
            users.setdefault(source, []).append(value)
    wanted = set(graph.outputs)
    replaced: dict[Value, Value] = {}
    values: list[Value] = []
    count = 1 + max((value.number for value in graph.values), default=0)
    for value in graph.values:
        if value in replaced:
            continue
        value.inputs = tuple([replaced.get(source, source) for source in value.inputs])
        present = users.get(value, [])
        if not _is_turnable(value, present) or value in wanted:
            values.append(value)
            continue
        turned = _turn(value, count)
        count += len(turned)
        values += turned
        for user in present:
            replaced[user] = turned[-1]
    return ValueGraph(values, [replaced.get(value, value) for value in graph.outputs])


def _is_turnable(value: Value, users: list[Value]) -> bool:
    """Whether a value is a product, and all that is done to it is to exchange its last two axes."""
    if not isinstance(value.primitive, Matmul) or not users:
        return False
    exchange = _exchange(value)
    return all(
        isinstance(user.primitive, Transpose) and user.primitive.permutation == exchange for user in users
    )


def _exchange(value: Value) -> tuple[int, ...]:
    rank = len(value.shape)
    return (*range(rank - 2), rank - 1, rank - 2)


def _turn(product: Value, number: int) -> list[Value]:
    """The transposes of the operands and their product."""
    primitive = transposition(_exchange(product))
    turned: list[Value] = []
    for source in reversed(product.inputs):
        shape = (*source.shape[:-2], source.shape[-1], source.shape[-2])
        name = number + len(turned)
        turned.append(Value(name, primitive, (source,), shape, source.dtype, (), product.node))
    shape = (*product.shape[:-2], product.shape[-1], product.shape[-2])
    node = product.node
    return [*turned, Value(number + 2, product.primitive, turned, shape, product.dtype, (), node)]
