"""Gradients with respect to the parameters of a model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import tarry.core as mx
from tarry.core._libraries import value_and_gradients
from tarry.nn.layers.base import Module, Place, trainable_places

__all__ = ["value_and_grad"]

P = ParamSpec("P")
R = TypeVar("R")


def value_and_grad(model: Module, fn: Callable[P, R]) -> Callable[P, tuple[R, Any]]:
    """Make a function that computes ``fn(*args)`` and the gradients of its result by the model's parameters.

    ``fn`` gives a scalar array, or a tuple that starts with one (the rest is passed on as it is); its own
    arguments are not differentiated. The gradients form a tree like ``model.trainable_parameters()`` at the
    time of the call. Raises ValueError when nothing is trainable.

        >>> loss_and_gradients = value_and_grad(model, lambda x: model(x).sum())  # doctest: +SKIP
        >>> loss, gradients = loss_and_gradients(mx.ones((2, 3)))  # doctest: +SKIP
    """

    @functools.wraps(fn)
    def call_with_gradients(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        tree, places = trainable_places(model)
        original = [container[key] for container, key, _ in places]
        traced: list[mx.array] = []

        def put(arrays: list[mx.array]) -> None:
            traced.extend(arrays)
            for (container, key, _), array in zip(places, arrays):
                container[key] = array

        try:
            value, gradients = value_and_gradients(fn, put, original, args, kwargs)
        finally:
            # Arrays of the trace must not stay in the model, whether fn succeeded or not.
            _put_back(places, traced, original)
        # The tree was made for this call: its arrays give way to their gradients.
        for (_, key, branch), gradient in zip(places, gradients):
            branch[key] = gradient
        return value, tree

    return call_with_gradients


def _put_back(places: list[Place], traced: list[mx.array], original: list[mx.array]) -> None:
    """Replace the arrays of the trace by the originals, but keep what the function itself assigned."""
    for (container, key, _), array, before in zip(places, traced, original):
        if isinstance(container, dict):
            present = container.get(key)
        else:
            present = container[key] if key < len(container) else None
        if present is array:
            container[key] = before
