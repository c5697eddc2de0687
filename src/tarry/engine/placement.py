"""Where temporary values lie: in the arena of a plan, or in results that are not yet written.

Two values that are alive at the same time get different places. Largest first, each the lowest place that is
free, which comes close to what is alive at once at most.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from tarry.engine.binding import Binder
from tarry.engine.recipe import Recipe, Temporary
from tarry.runtime.memory import ALIGNMENT, SPARE_BYTES

# Temporaries smaller than this always go to the arena: there is little to gain.
LEAST_HOSTED = 1 << 16


class Placement:
    """The size of the arena, and for each result that holds temporaries its number and their offset values.

    These offsets are relative to the result, all others to the arena.
    """

    __slots__ = ("arena_bytes", "hosted")

    def __init__(self, arena_bytes: int, hosted: list[tuple[int, list[int]]]) -> None:
        self.arena_bytes = arena_bytes
        self.hosted = hosted


class _Space:
    """Memory with places in use, each during some steps."""

    __slots__ = ("places",)

    def __init__(self) -> None:
        self.places: list[tuple[int, int, Temporary]] = []

    def find(self, size: int, temporary: Temporary) -> int:
        """The lowest place that is free while the temporary is alive."""
        first, last = temporary.first, temporary.last
        busy = sorted(
            [(low, high) for low, high, other in self.places if other.first <= last and first <= other.last]
        )
        offset = 0
        for low, high in busy:
            if offset + size <= low:
                break
            offset = max(offset, high)
        return offset

    def put(self, offset: int, size: int, temporary: Temporary) -> None:
        self.places.append((offset, offset + size, temporary))


class _Host(_Space):
    """The buffer of result `number`, free until step `first` writes it."""

    __slots__ = ("capacity", "first", "number")

    def __init__(self, number: int, capacity: int, first: int) -> None:
        super().__init__()
        self.number = number
        self.capacity = capacity
        self.first = first


def place_temporaries(recipe: Recipe, binder: Binder, fresh_bytes: Sequence[int]) -> Placement:
    """Give each temporary a place; its offset becomes the value it has reserved."""
    sized = [(_padded(temporary.size(binder)), temporary) for temporary in recipe.temporaries]
    arena_bytes = sum([size for size, _ in sized])
    if arena_bytes <= LEAST_HOSTED:
        # Not worth finding out which are alive at the same time.
        offset = 0
        for size, temporary in sized:
            binder.values[temporary.offset_value] = offset
            offset += size
        return Placement(arena_bytes, [])
    sized.sort(key=lambda pair: -pair[0])
    hosts = _hosts(recipe, fresh_bytes)
    if hosts:
        # What is alive when most is comes first: that is how much memory the arena takes.
        peak = _busiest_step(sized, len(recipe.parts))
        sized.sort(key=lambda pair: not pair[1].first <= peak <= pair[1].last)
        sized = [pair for pair in sized if not _find_host(hosts, pair[0], pair[1], binder)]
        sized.sort(key=lambda pair: -pair[0])
    arena = _Space()
    arena_bytes = 0
    for size, temporary in sized:
        offset = arena.find(size, temporary)
        arena.put(offset, size, temporary)
        binder.values[temporary.offset_value] = offset
        arena_bytes = max(arena_bytes, offset + size)
    hosted = [(host.number, [t.offset_value for _, _, t in host.places]) for host in hosts if host.places]
    return Placement(arena_bytes, hosted)


def _padded(nbytes: int) -> int:
    """The room a temporary takes: a vector may be read or written past its end."""
    return max(ALIGNMENT, -(-nbytes // ALIGNMENT) * ALIGNMENT + SPARE_BYTES)


def _busiest_step(sized: Sequence[tuple[int, Temporary]], steps: int) -> int:
    """The step while which most bytes are alive."""
    changes = [0] * (steps + 1)
    for size, temporary in sized:
        changes[temporary.first] += size
        changes[temporary.last + 1] -= size
    alive = list(itertools.accumulate(changes))
    return alive.index(max(alive))


def _hosts(recipe: Recipe, fresh_bytes: Sequence[int]) -> list[_Host]:
    """Results of some size, smallest first, that never take over the memory of an argument."""
    hosts = [
        _Host(number, _padded(nbytes), first)
        for number, (nbytes, first, leaves) in enumerate(
            zip(fresh_bytes, recipe.fresh_first, recipe.inherits)
        )
        if nbytes >= LEAST_HOSTED and not leaves
    ]
    return sorted(hosts, key=lambda host: host.capacity)


def _find_host(hosts: Sequence[_Host], size: int, temporary: Temporary, binder: Binder) -> bool:
    """Put a temporary into the smallest result that has room; False if there is none."""
    for host in hosts:
        if LEAST_HOSTED <= size <= host.capacity and temporary.last < host.first:
            offset = host.find(size, temporary)
            if offset + size <= host.capacity:
                host.put(offset, size, temporary)
                binder.values[temporary.offset_value] = offset
                return True
    return False
