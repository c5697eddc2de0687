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

    @functools.wraps(fn)
    def call_with_gradients(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        parameters = model.trainable_parameters()
        # Copies, because transforms may exchange the arrays in the trees that pass through them.
        original = tree_map(_same, parameters)
        traced: Any = None

        def call_with_parameters(parameters: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal traced
            traced = tree_map(_same, parameters)
            model.update(parameters)
            return fn(*args, **kwargs)

        try:
            return mx.value_and_grad(call_with_parameters)(parameters, *args, **kwargs)
        finally:
            # Arrays of the trace must not stay in the model, whether fn succeeded or not.
            _put_back(model, traced, original)

    return call_with_gradients


def _same(array: mx.array) -> mx.array:
    return array


def _put_back(current: Any, traced: Any, original: Any) -> None:
    """Replace traced arrays in ``current`` by the originals, but keep what ``fn`` itself assigned."""
    if isinstance(traced, dict):
        keys: Any = traced.keys()
    elif isinstance(traced, list):
        keys = range(len(traced))
    else:
        return
    for key in keys:
        entry = current.get(key) if isinstance(current, dict) else current[key]
        if isinstance(traced[key], mx.array):
            if entry is traced[key]:
                current[key] = original[key]
        elif entry is not None:
            _put_back(entry, traced[key], original[key])
