"""Random bits: the counter-based generator Threefry-2x32 with 20 rounds, as recorded ops and on the host.

Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

The words of an array of n random words come from hashing counters: with h = n // 2 and m = n - h, word i and
word i + m are the two halves of hash(key, (i, i + m)) for i < h; if n is odd, word h is the first half of
hash(key, (h, 0)).
"""

from __future__ import annotations

from typing import Any

from tarry.base.dtypes import uint32
from tarry.base.shapes import Shape, size_of
from tarry.graph.array import array
from tarry.loops.builder import Builder
from tarry.loops.ir import Instr
from tarry.ops.comparison import Predicate
from tarry.ops.elementwise import constant, elementwise
from tarry.ops.generators import iota
from tarry.ops.selection import spread
from tarry.ops.slices import narrowed
from tarry.ops.structure import reshaped

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA
_MASK = 0xFFFFFFFF

HostKey = tuple[int, int]


class RandomWord(Predicate):
    """The random word at a position of an array of n words.

    Inputs, all uint32: the two words of the key, the position, h = n // 2, and m = n - h.
    """

    name = "RandomWord"

    def emit(self, builder: Builder, *args: Instr) -> Instr:
        key_0, key_1, position, half, middle = args
        zero = builder.const(0, uint32)
        in_first = builder.apply("lt", position, middle)
        partnered = builder.apply("lt", position, half)
        partner = builder.select(partnered, builder.add(position, middle), zero)
        first = builder.select(in_first, position, builder.sub(position, middle))
        second = builder.select(in_first, partner, position)
        words = emit_threefry(builder, key_0, key_1, first, second)
        return builder.select(in_first, words[0], words[1])


def emit_threefry(builder: Builder, key_0: Instr, key_1: Instr, x: Instr, y: Instr) -> tuple[Instr, Instr]:
    """The hash of the counter (x, y) under the key."""
    mixed = builder.apply("xor", builder.apply("xor", key_0, key_1), builder.const(PARITY, uint32))
    schedule = (key_0, key_1, mixed)
    x, y = builder.add(x, key_0), builder.add(y, key_1)
    for injection in range(5):
        for rotation in ROTATIONS[injection % 2]:
            x = builder.add(x, y)
            upper = builder.apply("shl", y, builder.const(rotation, uint32))
            lower = builder.apply("shr", y, builder.const(32 - rotation, uint32))
            y = builder.apply("xor", builder.apply("or", upper, lower), x)
        x = builder.add(x, schedule[(injection + 1) % 3])
        y = builder.add(builder.add(y, schedule[(injection + 2) % 3]), builder.const(injection + 1, uint32))
    return x, y


_RANDOM_WORD = RandomWord()


class KeyWords:
    """The two words of a key, as 0-d arrays."""

    __slots__ = ("first", "second")

    def __init__(self, first: array, second: array) -> None:
        self.first = first
        self.second = second


def words_of_host_key(key: HostKey) -> KeyWords:
    """A key known on the host: its words are numbers in the plan's arguments."""
    return KeyWords(constant(key[0], uint32), constant(key[1], uint32))


def require_key(key: array, op: str = "bits") -> array:
    """The array itself. ValueError unless it is uint32 of shape (2,)."""
    if key.dtype is not uint32:
        raise ValueError(f"[{op}] Expected a key of type uint32, but it is {key.dtype.name}.")
    if key.shape != (2,):
        raise ValueError(f"[{op}] Expected a key of shape (2,), but its shape is {key.shape}.")
    return key


def words_of_key(key: array, op: str = "bits") -> KeyWords:
    """The words of a key array. ValueError unless it is uint32 of shape (2,)."""
    require_key(key, op)
    return KeyWords(*[reshaped(narrowed(key, 0, number, 1), ()) for number in (0, 1)])


def bits_at(key: KeyWords, position: array, count: int) -> array:
    """The random words at the given uint32 positions of an array of `count` words."""
    shape = position.shape
    half = count // 2
    inputs = (
        spread(key.first, shape),
        spread(key.second, shape),
        position,
        constant(half, uint32, shape),
        constant(count - half, uint32, shape),
    )
    return elementwise(_RANDOM_WORD, inputs, uint32)


def positions(shape: Shape) -> array:
    """The row-major position of every element, in uint32."""
    return reshaped(iota((size_of(shape),), 0, uint32), shape)


def bits(key: KeyWords, shape: Shape) -> array:
    """Random words, uint32."""
    return bits_at(key, positions(shape), size_of(shape))


# On the host


# Two counters side by side in one Python integer, 64 bits apart.
_PAIR = 1 | 1 << 64


def host_threefry(key: HostKey, x: Any, y: Any, lanes: int = 1) -> tuple[Any, Any]:
    """The hash of counters under the key: Python integers, or 32-bit words in NumPy arrays of uint64.

    A Python integer may hold several counters, each in the low half of a lane of 64 bits; `lanes` has the
    lowest bit of each lane set.
    """
    mask = _MASK * lanes
    schedule = (key[0] * lanes, key[1] * lanes, (key[0] ^ key[1] ^ PARITY) * lanes)
    x, y = (x + schedule[0]) & mask, (y + schedule[1]) & mask
    for injection in range(5):
        for rotation in ROTATIONS[injection % 2]:
            x = (x + y) & mask
            y = (((y << rotation) | (y >> (32 - rotation))) & mask) ^ x
        x = (x + schedule[(injection + 1) % 3]) & mask
        y = (y + schedule[(injection + 2) % 3] + (injection + 1) * lanes) & mask
    return x, y


def host_split(key: HostKey) -> tuple[HostKey, HostKey]:
    """The two keys that `split(key)` holds."""
    first, second = host_threefry(key, 0 | 1 << 64, 2 | 3 << 64, _PAIR)
    return (first & _MASK, first >> 64), (second & _MASK, second >> 64)
