"""Evaluation of arrays: the walk, the plan cache, and the single lock that orders runs."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from tarry.base import trees
from tarry.engine.keying import record
from tarry.engine.plans import Plan
from tarry.graph.array import array
from tarry.graph.node import Node
from tarry.graph.operators import operators
from tarry.graph.tracing import forget_inputs, require_evaluation
from tarry.graph.walk import unevaluated
from tarry.runtime.counters import counters

_lock = threading.RLock()
_plans: dict[tuple[int, ...], Plan] = {}
MOST_PLANS = 4096


def evaluate(requested: Sequence[Node]) -> None:
    """Compute the nodes, and whatever else of their graph somebody still holds."""
    require_evaluation()
    with _lock:
        order = unevaluated(requested)
        if not order:
            return
        recorded = record(order, requested)
        counters.nodes += len(order)
        plan = _plans.get(recorded.key)
        if plan is None:
            plan = Plan(recorded)
            if len(_plans) >= MOST_PLANS:
                _plans.pop(next(iter(_plans)))
            _plans[recorded.key] = plan
            counters.plans_built += 1
        else:
            counters.plans_reused += 1
        plan.run(recorded)
        forget_inputs([order[number] for number in plan.output_numbers])


def eval(*values: object) -> None:
    """Compute the arrays in the given trees; whatever is not an array is ignored.

    >>> x = mx.array([1.0, 2.0]) * 3
    >>> mx.eval(x)
    """
    require_evaluation()
    nodes = [leaf._node for leaf in trees.leaves(values) if isinstance(leaf, array)]
    evaluate([node for node in nodes if node.storage is None])


operators.evaluate = evaluate
