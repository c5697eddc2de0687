"""Evaluation of arrays: the walk, the plan cache, and the single lock that orders runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tarry.base.settings import settings
from tarry.base.trees import SUSPICIOUS, contains_itself
from tarry.engine.keying import Recorded, record
from tarry.engine.plans import Plan, make_plan
from tarry.graph.array import array
from tarry.graph.node import Node
from tarry.graph.operators import operators
from tarry.graph.tracing import forget_inputs, require_evaluation, run_lock
from tarry.ops.build import restart_count
from tarry.runtime.counters import counters

_plans: dict[tuple[int, ...], Plan] = {}
MOST_PLANS = 4096


def evaluate(requested: Sequence[Node]) -> None:
    """Compute the nodes, and whatever else of their graph somebody still holds."""
    retains = require_evaluation()
    with run_lock:
        recorded = record(requested, not retains)
        nodes = recorded.nodes
        if not nodes:
            return
        counters.nodes += len(nodes)
        plan = _plans.get(recorded.key)
        if plan is None or settings.debug or settings.check:
            plan = find_plan(recorded)
        else:
            counters.plans_reused += 1
        plan.run(recorded)
        restart_count()
        if retains:
            forget_inputs([nodes[number] for number in recorded.outputs])
        else:
            for number in recorded.outputs:
                nodes[number].inputs = ()


def find_plan(recorded: Recorded) -> Plan:
    """The plan for a recorded graph; built when none is known. The caller holds `run_lock`."""
    plan = _plans.get(recorded.key)
    if plan is None or (plan.compiled is None and (settings.debug or settings.check)):
        plan = make_plan(recorded)
        if len(_plans) >= MOST_PLANS:
            _plans.pop(next(iter(_plans)))
        _plans[recorded.key] = plan
        counters.plans_built += 1
    else:
        counters.plans_reused += 1
    return plan


def eval(*values: object) -> None:
    """Compute the arrays in the given trees; whatever is not an array is ignored.

    >>> x = mx.array([1.0, 2.0]) * 3
    >>> mx.eval(x)
    """
    if len(values) == 1 and type(values[0]) is array:
        # The most common case.
        node = values[0]._node
        evaluate([node] if node.storage is None else ())
        return
    pending: list[Node] = []
    stack: list[Any] = [values]
    containers = 0
    while stack:
        item = stack.pop()
        if isinstance(item, array):
            if item._node.storage is None:
                pending.append(item._node)
            continue
        if isinstance(item, (list, tuple)):
            stack.extend(item)
        elif isinstance(item, dict):
            stack.extend(item.values())
        containers += 1
        if containers == SUSPICIOUS and contains_itself(values):
            raise ValueError("[eval] A tree of arrays must not contain itself.")
    if not pending:
        require_evaluation()
        return
    pending.reverse()
    evaluate(pending)


operators.evaluate = evaluate
