"""What transforms say about evaluation while they run a user's function; one state for each thread.

And the lock of evaluation itself, which is one for all threads.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tarry.graph.node import Node

# Held while a plan is found and run: evaluations happen one after the other. Recording takes it only to turn
# a node that others may see into another description of its value.
run_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    # A child that is forked while another thread evaluates would wait for it for ever.
    os.register_at_fork(
        before=run_lock.acquire, after_in_parent=run_lock.release, after_in_child=run_lock.release
    )


class _Tracing(threading.local):
    def __init__(self) -> None:
        self.retaining = 0
        self.forbidding = 0
        self.evaluated: list[Node] = []


_state = _Tracing()


class retain_graph:
    """While active, evaluated nodes keep their inputs, so that derivatives can still walk through them.

    They drop them when the outermost one ends: a value carried from step to step must not keep its history.
    """

    def __enter__(self) -> None:
        _state.retaining += 1

    def __exit__(self, *_: object) -> None:
        _state.retaining -= 1
        if _state.retaining == 0:
            for node in _state.evaluated:
                node.inputs = ()
            _state.evaluated.clear()


class forbid_evaluation:
    """While active, evaluating is an error: the arrays seen by the function stand for many values."""

    def __enter__(self) -> None:
        _state.forbidding += 1

    def __exit__(self, *_: object) -> None:
        _state.forbidding -= 1


def retains_graph() -> bool:
    return _state.retaining > 0


def may_flush() -> bool:
    """Whether evaluating here and now is allowed, and lets go of what was recorded: outside transforms."""
    return _state.forbidding == 0 and _state.retaining == 0


def is_outermost() -> bool:
    """Inside a transform: whether it is the only one, and one that allows evaluation."""
    return _state.retaining == 1 and _state.forbidding == 0


def is_transforming() -> bool:
    """Whether a transform is running a function on this thread, and will look at what it records."""
    return _state.retaining > 0 or _state.forbidding > 0


def forget_inputs(nodes: list[Node]) -> None:
    """Drop the inputs of nodes that were evaluated: now, or when no transform on this thread needs them."""
    if _state.retaining > 0:
        _state.evaluated.extend(nodes)
        return
    for node in nodes:
        node.inputs = ()


def require_evaluation(op: str = "eval") -> bool:
    """ValueError inside vmap and the like. Gives whether evaluated nodes keep their inputs."""
    if _state.forbidding > 0:
        raise ValueError(
            f"[{op}] Attempting to eval an array during function transformations like compile or vmap "
            "is not allowed."
        )
    return _state.retaining > 0
