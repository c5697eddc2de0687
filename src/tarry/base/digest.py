"""Digests of texts: what stands for a text in keys, the same in every process."""

from __future__ import annotations

# hashlib would load OpenSSL, which takes as long as all else that a warm start reads.
try:
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

__all__ = ["blake2b", "text_number"]

_BITS = 60


def text_number(text: str) -> int:
    """A number of 60 bits with the highest set; two texts hardly ever have the same one.

    >>> text_number("a") == text_number("a")
    True
    """
    digest = blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> (64 - _BITS) | 1 << (_BITS - 1)
