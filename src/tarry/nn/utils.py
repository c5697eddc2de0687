"""Gradients with respect to the parameters of a model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tarry.core as mx
from tarry.nn.layers.base import Module
from tarry.utils import tree_map

__all__ = ["value_and_grad"]


def value_and_grad(model: Module, fn: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    """Make a function that computes ``fn(*args)`` and the gradients of its result by the model's parameters.

    ``fn`` gives a scalar array, or a tuple that starts with one (the rest is passed on as it is); its own
    arguments are not differentiated. The gradients form a tree like ``model.trainable_parameters()`` at the
    time of the call. Raises ValueError when nothing is trainable.

        >>> loss_and_gradients = value_and_grad(model, lambda x: model(x).sum())  # doctest: +SKIP
        >>> loss, gradients = loss_and_gradients(mx.ones((2, 3)))  # doctest: +SKIP
    """

    def run(arrays: list[mx.array], parameters: _Parameters, *args: Any, **kwargs: Any) -> Any:
        parameters.put(arrays)
        return fn(*args, **kwargs)

    differentiated = mx.value_and_grad(run)

    @functools.wraps(fn)
    def call_with_gradients(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        tree = model.trainable_parameters()
        parameters = _Parameters(model, tree)
        try:
            # A list of its own, because transforms exchange the arrays in the lists that pass through them.
            value, gradients = differentiated(list(parameters.original), parameters, *args, **kwargs)
        finally:
            # Arrays of the trace must not stay in the model, whether fn succeeded or not.
            parameters.put_back()
        remaining = iter(gradients)
        return value, tree_map(lambda _: next(remaining), tree)

    return call_with_gradients


class _Parameters:
    """The trainable parameters of a model, in the containers that hold them."""

    __slots__ = ("original", "places", "traced")

    def __init__(self, model: Module, tree: Any) -> None:
        self.places: list[tuple[Any, Any]] = []
        self.original: list[mx.array] = []
        self.traced: list[mx.array] = []
        self._find(model, tree)

    def _find(self, current: Any, tree: Any) -> None:
        for key, entry in tree.items() if isinstance(tree, dict) else enumerate(tree):
            if isinstance(entry, mx.array):
                self.places.append((current, key))
                self.original.append(entry)
            else:
                self._find(current[key], entry)

    def put(self, arrays: list[mx.array]) -> None:
        """Put arrays of a trace in the parameters' places."""
        # A copy, because the list itself gets its own arrays back after the call.
        self.traced = list(arrays)
        for (container, key), array in zip(self.places, self.traced):
            container[key] = array

    def put_back(self) -> None:
        """Replace the arrays of the trace by the originals, but keep what the function itself assigned."""
        for (container, key), traced, original in zip(self.places, self.traced, self.original):
            if isinstance(container, dict):
                present = container.get(key)
            else:
                present = container[key] if key < len(container) else None
            if present is traced:
                container[key] = original
