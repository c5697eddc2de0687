"""Dropout: noise that keeps a network from relying on single units."""

from __future__ import annotations

import tarry.core as mx
from tarry.nn.layers.base import Module

__all__ = ["Dropout"]


class Dropout(Module):
    """In training, sets each element to zero with probability ``p`` and scales the others by 1 / (1 - p).

    The expected value stays the same, so in evaluation the input passes unchanged (Srivastava et al., 2014).
    Raises ValueError for p outside [0, 1).

        >>> Dropout(0.5).eval()(mx.ones(3)).tolist()
        [1.0, 1.0, 1.0]
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if p < 0 or p >= 1:
            raise ValueError(f"[Dropout] The dropout probability {p} is not in [0, 1)")
        self._p_1 = 1 - p

    def _extra_repr(self) -> str:
        return f"p={1 - self._p_1}"

    def __call__(self, x: mx.array) -> mx.array:
        if self._p_1 == 1 or not self.training:
            return x
        mask = mx.random.bernoulli(self._p_1, x.shape)
        return (mask * x) * (1 / self._p_1)
