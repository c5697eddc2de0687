"""What a plan's key leaves out of an operation that is not `shaped` follows from what it has in it."""

from __future__ import annotations

import tarry.core as mx
from tarry.graph.subgraph import Output
from tarry.graph.walk import reachable

from .harness import apply, make_inputs
from .op_cases import OP_CASES

# By primitive key, dtypes and shapes of the inputs.
Facts = tuple[int, tuple[str, ...], tuple[tuple[int, ...], ...]]


def test_dtype_shape_and_number_of_inputs_follow() -> None:
    found: dict[Facts, tuple[str, tuple[int, ...]]] = {}
    arity: dict[int, int] = {}
    for case in OP_CASES:
        for dtype in case.dtypes:
            for variant in case.variants:
                inputs = make_inputs(mx, case, case.sample(variant, dtype), dtype)
                outputs = apply(mx, case, inputs, variant.options, dtype)
                for node in reachable([output._node for output in outputs]):
                    primitive = node.primitive
                    # The key of an invocation says all about its outputs.
                    if primitive is None or primitive.shaped or isinstance(primitive, Output):
                        continue
                    known = tuple([source.dtype.name for source in node.inputs])
                    facts = (primitive.key, known, tuple([source.shape for source in node.inputs]))
                    result = (node.dtype.name, node.shape)
                    assert found.setdefault(facts, result) == result, (case.name, node)
                    assert arity.setdefault(primitive.key, len(node.inputs)) == len(node.inputs), case.name
    assert len(arity) > 100
