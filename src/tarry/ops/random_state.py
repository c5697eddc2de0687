"""Keys of the random generator and the state of each thread.

The state is two numbers on the host where that is possible: a draw without a key then depends on
nothing that was recorded before. It becomes an array where one is put into `state`, by a compiled function
for instance, and the splits are recorded until its values are known.
"""

from __future__ import annotations

import operator
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from tarry.base.dtypes import uint32
from tarry.graph.array import array
from tarry.graph.operators import operators
from tarry.ops.arguments import integer
from tarry.ops.arithmetic import add
from tarry.ops.elementwise import constant, require_array
from tarry.ops.generators import checked_shape
from tarry.ops.random_bits import (
    HostKey,
    KeyWords,
    bits,
    bits_at,
    host_split,
    positions,
    require_key,
    words_of_host_key,
    words_of_key,
)
from tarry.runtime.devices import StreamLike, require_stream


def _host_key(op: str, seed: Any) -> HostKey:
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if not 0 <= number < 1 << 64:
        raise TypeError(
            f"[{op}] incompatible function arguments: expected an integer in [0, 2**64), not {seed!r}."
        )
    return number >> 32, number & 0xFFFFFFFF


def _key_array(op: str, key: HostKey) -> array:
    made: array = operators.from_numpy(op, np.array(key, np.uint32), None)
    return made


def _known_words(key: array) -> HostKey | None:
    """The words of a key whose values are known."""
    storage = key._node.storage
    if storage is None or key.shape != (2,) or key.dtype is not uint32:
        return None
    words = storage.buffer.view(np.uint32, 4 * storage.offset, (2,), (4 * storage.strides[0],))
    return int(words[0]), int(words[1])


class _ThreadState(threading.local):
    """One key: as two numbers, as an array where they are not known yet, or both."""

    def __init__(self) -> None:
        self.words: HostKey | None = _host_key("seed", time.time_ns() // 1_000_000)
        self.key: array | None = None

    def next_key(self) -> KeyWords:
        """Splits the state: the first half stays, the second is for the caller."""
        if self.words is None and self.key is not None:
            self.words = _known_words(self.key)
        if self.words is not None:
            self.words, drawn = host_split(self.words)
            self.key = None
            return words_of_host_key(drawn)
        assert self.key is not None
        known = words_of_key(self.key)
        self.key = bits_at(known, positions((2,)), 4)
        following = add(positions((2,)), constant(2, uint32, (2,)))
        return words_of_key(bits_at(known, following, 4))


_state = _ThreadState()


class _RandomState:
    """The calling thread's key, as a sequence of one array; `mx.random.state` is its only instance."""

    __slots__ = ()

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> array:
        if index not in (0, -1):
            raise IndexError(f"[random.state] The state has one entry: index {index} is out of range.")
        if _state.key is None:
            assert _state.words is not None
            _state.key = _key_array("random.state", _state.words)
        return _state.key

    def __setitem__(self, index: int, value: array) -> None:
        if index not in (0, -1):
            raise IndexError(f"[random.state] The state has one entry: index {index} is out of range.")
        _state.key = require_key(require_array("random.state", value), "random.state")
        _state.words = None

    def __iter__(self) -> Iterator[array]:
        return iter([self[0]])


state = _RandomState()


def seed(seed: int) -> None:
    """Sets the calling thread's state to key(seed). TypeError unless it is an integer in [0, 2**64).

    >>> mx.random.seed(7)
    """
    _state.words = _host_key("seed", seed)
    _state.key = None


def key(seed: int) -> array:
    """The key of a seed: its high and low 32 bits. TypeError unless it is an integer in [0, 2**64).

    >>> mx.random.key(7)
    array([0, 7], dtype=uint32)
    """
    return _key_array("key", _host_key("key", seed))


def drawn_words(op: str, key: object) -> KeyWords:
    return _state.next_key() if key is None else words_of_key(require_array(op, key), op)


def split(key: array, num: int = 2, stream: StreamLike = None) -> array:
    """`num` new keys from one, as the rows of a uint32 array of shape (num, 2).

    ValueError unless the key is uint32 of shape (2,).

    >>> mx.random.split(mx.random.key(0)).shape
    (2, 2)
    """
    if stream is not None:
        require_stream("split", stream)
    words = words_of_key(require_array("split", key), "split")
    return bits(words, checked_shape("split", (integer("split", num, "num"), 2)))
