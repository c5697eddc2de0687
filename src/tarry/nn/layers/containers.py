"""Modules that only hold other modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tarry.core as mx
from tarry.nn.layers.base import Module

__all__ = ["Sequential"]


class Sequential(Module):
    """Calls the given modules (or any functions) one after the other, each on what the one before gave.

    >>> from tarry.nn import Linear, relu
    >>> Sequential(Linear(2, 4), relu, Linear(4, 1))(mx.ones((3, 2))).shape
    (3, 1)
    """

    def __init__(self, *modules: Callable[[Any], Any]) -> None:
        super().__init__()
        self.layers = list(modules)

    def __call__(self, x: mx.array) -> mx.array:
        for layer in self.layers:
            x = layer(x)
        return x
