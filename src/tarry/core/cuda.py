"""The module `mx.cuda`: there is no CUDA here, and it says so."""

from __future__ import annotations

__all__ = ["is_available"]


def is_available() -> bool:
    """False: Tarry computes on the CPU.

    >>> mx.cuda.is_available()
    False
    """
    return False
