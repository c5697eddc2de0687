"""Evaluation of arrays: the walk, the plan cache, and the single lock that orders runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

from tarry.engine.keying import Recorded, record
from tarry.engine.plans import Plan
from tarry.graph.array import array
from tarry.graph.node import Node
from tarry.graph.operators import operators
from tarry.graph.tracing import forget_inputs, require_evaluation, retains_graph
from tarry.ops.build import restart_count
from tarry.runtime.counters import counters

# Held while a plan is found and run: evaluations happen one after the other.
run_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    # A child that is forked while another thread evaluates would wait for it for ever.
    os.register_at_fork(
        before=run_lock.acquire, after_in_parent=run_lock.release, after_in_child=run_lock.release
    )
_plans: dict[tuple[int, ...], Plan] = {}
MOST_PLANS = 4096


def evaluate(requested: Sequence[Node]) -> None:
    """Compute the nodes, and whatever else of their graph somebody still holds."""
    require_evaluation()
    with run_lock:
        recorded = record(requested, donate=not retains_graph())
        order = recorded.nodes
        if not order:
            return
        counters.nodes += len(order)
        plan = find_plan(recorded)
        plan.run(recorded)
        restart_count()
        forget_inputs([order[number] for number in plan.output_numbers])


def find_plan(recorded: Recorded) -> Plan:
    """The plan for a recorded graph; built when none is known. The caller holds `run_lock`."""
    plan = _plans.get(recorded.key)
    if plan is None:
        plan = Plan(recorded)
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
    require_evaluation()
    pending: list[Node] = []
    stack: list[Any] = [values]
    while stack:
        item = stack.pop()
        if isinstance(item, array):
            if item._node.storage is None:
                pending.append(item._node)
        elif isinstance(item, (list, tuple)):
            stack.extend(item)
        elif isinstance(item, dict):
            stack.extend(item.values())
    if pending:
        pending.reverse()
        evaluate(pending)


operators.evaluate = evaluate
