"""async_eval: evaluation that the caller does not wait for."""

from __future__ import annotations

import threading

from tarry.base import trees
from tarry.engine.evaluate import evaluate
from tarry.graph.array import array
from tarry.graph.node import Node
from tarry.graph.tracing import is_transforming


def async_eval(*values: object) -> None:
    """Begin to compute the arrays in the given trees, and return at once; what is not an array is ignored.

    Whoever needs the values waits for them. A failure (an index out of range) shows where the values are
    used: the array has none then, and using it computes it again.

    ValueError inside a transform.

    >>> x = mx.array([1.0, 2.0]) * 3
    >>> mx.async_eval(x)
    >>> x
    array([3, 6], dtype=float32)
    """
    if is_transforming():
        raise ValueError("[async_eval] Not allowed inside a graph transformation.")
    nodes = [leaf._node for leaf in trees.leaves(values) if isinstance(leaf, array)]
    pending = [node for node in nodes if node.storage is None]
    if pending:
        # Not a daemon: the interpreter waits for it at exit, before memory goes away.
        threading.Thread(target=_evaluate, args=(pending,), name="tarry-async-eval").start()


def _evaluate(nodes: list[Node]) -> None:
    try:
        evaluate(nodes)
    except Exception:
        # The nodes keep their graph, so the next use meets the same failure and reports it.
        return
