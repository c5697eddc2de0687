"""Embedding: a table of vectors looked up by number."""

from __future__ import annotations

import math

import tarry.core as mx
from tarry.nn.layers.base import Module

__all__ = ["Embedding"]


class Embedding(Module):
    """Maps integers from 0 to num_embeddings - 1 to vectors: shape (...) to (..., dims).

    ``weight`` has shape (num_embeddings, dims), drawn from the normal distribution with standard deviation
    1 / sqrt(dims).

        >>> Embedding(10, 4)(mx.array([[1, 2, 3]])).shape
        (1, 3, 4)
    """

    def __init__(self, num_embeddings: int, dims: int) -> None:
        super().__init__()
        if dims < 1:
            raise ValueError(f"[Embedding] dims must be at least 1, got {dims}.")
        self.weight = mx.random.normal(shape=(num_embeddings, dims), scale=math.sqrt(1.0 / dims))

    def _extra_repr(self) -> str:
        num_embeddings, dims = self.weight.shape
        return f"{num_embeddings}, {dims}"

    def __call__(self, x: mx.array) -> mx.array:
        return self["weight"][x]

    def as_linear(self, x: mx.array) -> mx.array:
        """Use the table as the weight of a linear layer: shape (..., dims) to (..., num_embeddings).

        This ties the output projection of a language model to its input embedding.
        """
        return x @ self["weight"].T
