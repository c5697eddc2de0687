"""Memory for array data: aligned and padded buffers from an allocator that reuses its blocks.

Touching fresh memory for the first time is far slower than any kernel that runs over it afterwards (12 ms for
16 MiB), so freed blocks are kept, in size classes of four steps per power of two, up to a limit.

Every owned buffer starts at a multiple of 64 bytes, its capacity is a multiple of 64, and at least 64 further
bytes belong to it: a vector load or store that begins inside the data and runs past its end stays inside the
block. Large ones start at different places within a page.
"""

from __future__ import annotations

import ctypes
import operator
import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

ALIGNMENT = 64
SPARE_BYTES = 64

# Blocks this large may also serve a request up to half their size: reuse is worth more than the room it
# wastes.
_SHARED_CLASS_BYTES = 64 * 1024
_LARGEST_REQUEST = 1 << 62
# For so much the system is asked before: Linux promises memory it does not have, and ends the process later.
_CHECKED_BYTES = 1 << 30


# A processor tells a load from an earlier store by the low 12 bits of the address: where operand and result
# start at the same place modulo 4096, as everything the system maps does, x + 1 takes up to twice as long.
PERIOD = 4096
_SPREAD_BYTES = 128 * 1024


def spread_start(number: int) -> int:
    """Where block `number` starts modulo PERIOD: multiples of ALIGNMENT, neighbours in number far apart.

    Example:
        >>> [spread_start(number) for number in range(5)]
        [0, 2048, 1024, 3072, 512]
    """
    start, step = 0, PERIOD
    while number and step > ALIGNMENT:
        step >>= 1
        start += step * (number & 1)
        number >>= 1
    return start


class Block:
    """A piece of memory of an allocator: in use by one buffer, or in the free list of its size class."""

    __slots__ = ("address", "capacity", "free", "memory")

    def __init__(self, memory: object, address: int, capacity: int, free: FreeList) -> None:
        self.memory = memory
        self.address = address
        self.capacity = capacity
        self.free = free


class FreeList(list[Block]):
    """The free blocks of one size class, and the number of the request that took from it last."""

    __slots__ = ("last_use",)

    def __init__(self) -> None:
        super().__init__()
        self.last_use = 0


class Buffer:
    """A stretch of memory that holds the data of arrays.

    `address` and `nbytes` are what was asked for; a buffer of an `Allocator` returns its block when it dies,
    an external one only keeps its `owner` alive.

    Example:
        >>> buffer = allocator.allocate(12)
        >>> buffer.address % 64, buffer.nbytes
        (0, 12)
    """

    __slots__ = ("__weakref__", "_allocator", "_block", "address", "nbytes", "owner")

    def __init__(
        self,
        address: int,
        nbytes: int,
        owner: object,
        allocator: Allocator | None = None,
        block: Block | None = None,
    ) -> None:
        self.address = address
        self.nbytes = nbytes
        self.owner = owner
        self._allocator = allocator
        self._block = block

    @classmethod
    def external(cls, address: int, nbytes: int, owner: object) -> Buffer:
        """A buffer over memory that `owner` holds, e.g. a NumPy array or a memory map. Nothing is copied.

        Such memory may be unaligned and has no spare bytes after its end.
        """
        return cls(address, nbytes, owner)

    @property
    def owned(self) -> bool:
        """Whether the block came from an allocator, so that it is aligned, padded and writable."""
        return self._allocator is not None

    def view(
        self, numpy_dtype: Any, offset_bytes: int, shape: Sequence[int], strides_bytes: Sequence[int]
    ) -> np.ndarray[Any, Any]:
        """A writable NumPy array over this memory; it keeps the buffer alive.

        Strides are in bytes and may be zero or negative; they are not checked against the size.
        """
        dtype = np.dtype(numpy_dtype)
        # Extension dtypes such as bfloat16 have no portable type string: pass raw bytes and name the dtype
        # after.
        plain = dtype.kind != "V" and dtype.isbuiltin == 1
        typestr = dtype.str if plain else f"|V{dtype.itemsize}"
        memory = _ArrayMemory(self, self.address + offset_bytes, typestr, tuple(shape), tuple(strides_bytes))
        array: np.ndarray[Any, Any] = np.asarray(memory)
        return array if plain else array.view(dtype)

    def __del__(self) -> None:
        allocator, block = self._allocator, self._block
        if allocator is None or block is None:
            return
        # Written out here because it runs at the end of every intermediate result.
        capacity = block.capacity
        allocator.active_bytes -= capacity
        if allocator.cache_bytes + capacity > allocator.cache_limit:
            allocator.release_over_limit(block)
        else:
            allocator.cache_bytes += capacity
            block.free.append(block)

    def __repr__(self) -> str:
        kind = "owned" if self.owned else "external"
        return f"Buffer(address={self.address:#x}, nbytes={self.nbytes}, {kind})"


class _ArrayMemory:
    """What NumPy reads to make an array over a buffer, and then holds as the array's base."""

    __slots__ = ("__array_interface__", "buffer")

    def __init__(
        self, buffer: Buffer, address: int, typestr: str, shape: tuple[int, ...], strides: tuple[int, ...]
    ) -> None:
        self.buffer = buffer
        self.__array_interface__ = {
            "version": 3,
            "typestr": typestr,
            "shape": shape,
            "strides": strides,
            "data": (address, False),
        }


def size_class(nbytes: int) -> int:
    """The capacity of the block that serves a request: a multiple of 64, and less than a quarter above it
    where that leaves a choice.

    Example:
        >>> size_class(1), size_class(1000), size_class(1025)
        (64, 1024, 1280)
    """
    if nbytes <= 512:
        return max(nbytes + 63 & -64, 64)
    shift = (nbytes - 1).bit_length() - 3
    return -(-nbytes >> shift) << shift


class Allocator:
    """Hands out buffers, keeps freed blocks for the next request, and counts bytes. Thread-safe.

    Handing out and taking back a cached block uses no lock: `list.pop` and `list.append` are atomic, and the
    interpreter does not switch threads inside `x += n` on integers. That also makes it safe for garbage
    collection to end a buffer at any point of these methods. The lock orders what is slow anyway.
    """

    def __init__(self, memory_limit: int | None = None, cache_limit: int | None = None) -> None:
        total = total_memory()
        self.memory_limit = total if memory_limit is None else memory_limit
        self.cache_limit = min(4 << 30, total // 4) if cache_limit is None else cache_limit
        self.active_bytes = 0
        self.peak_bytes = 0
        self.cache_bytes = 0
        self._requests = 0
        self._spread = 0  # blocks of _SPREAD_BYTES and more so far
        self._free: dict[int, FreeList] = {}
        self._lock = threading.RLock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._lock.acquire,
                after_in_parent=self._lock.release,
                after_in_child=self._lock.release,
            )

    def allocate(self, nbytes: int) -> Buffer:
        """A buffer of at least `nbytes` bytes with undefined contents.

        Errors: MemoryError when the memory limit or the machine does not allow it; ValueError for a negative
        size.
        """
        # size_class, written out: this is on the path of every result of every evaluation.
        if nbytes <= 512:
            capacity = nbytes + 63 & -64 or 64
        else:
            shift = (nbytes - 1).bit_length() - 3
            capacity = -(-nbytes >> shift) << shift
        free = self._free.get(capacity)
        if free and self.active_bytes + capacity <= self.memory_limit:
            try:
                block = free.pop()
            except IndexError:
                return self._allocate_slowly(nbytes)
            self.cache_bytes -= capacity
            self.active_bytes += capacity
            if self.active_bytes > self.peak_bytes:
                self.peak_bytes = self.active_bytes
            self._requests += 1
            free.last_use = self._requests
            return Buffer(block.address, nbytes, block, self, block)
        return self._allocate_slowly(nbytes)

    def _allocate_slowly(self, nbytes: int) -> Buffer:
        if nbytes < 0:
            raise ValueError(f"[memory] Expected a size of at least 0 bytes, but {nbytes} were asked for.")
        capacity = size_class(nbytes)
        with self._lock:
            if self.active_bytes + capacity > self.memory_limit:
                raise self._over_limit(nbytes)
            block = self._take_larger(capacity) if capacity >= _SHARED_CLASS_BYTES else None
            if block is None:
                self._evict(self.active_bytes + self.cache_bytes + capacity - self.memory_limit)
                block = self._new_block(nbytes, capacity)
            self._requests += 1
            block.free.last_use = self._requests
            self.active_bytes += block.capacity
            self.peak_bytes = max(self.peak_bytes, self.active_bytes)
        return Buffer(block.address, nbytes, block, self, block)

    def _take_larger(self, capacity: int) -> Block | None:
        """A free block of one of the next three classes, if there is one within the memory limit."""
        for _ in range(3):
            capacity = size_class(capacity + 1)
            if self.active_bytes + capacity > self.memory_limit:
                return None
            block = self._pop(self._free.get(capacity))
            if block is not None:
                return block
        return None

    def _pop(self, free: FreeList | None) -> Block | None:
        """Take a free block of a class out of the cache; None if there is none (any more)."""
        try:
            block = free.pop() if free else None
        except IndexError:
            return None
        if block is not None:
            self.cache_bytes -= block.capacity
        return block

    def _new_block(self, nbytes: int, capacity: int) -> Block:
        """Fresh memory. NumPy's allocation asks the kernel for huge pages on Linux and works everywhere."""
        if nbytes > _LARGEST_REQUEST:
            raise self._out_of_memory(nbytes)
        if capacity >= _CHECKED_BYTES and capacity > available_memory():
            self.clear_cache()
            if capacity > available_memory():
                raise self._out_of_memory(nbytes)
        period = ALIGNMENT if capacity < _SPREAD_BYTES else PERIOD
        room = capacity + period + SPARE_BYTES
        try:
            memory = np.empty(room, np.uint8)
        except MemoryError:
            self.clear_cache()
            try:
                memory = np.empty(room, np.uint8)
            except MemoryError:
                raise self._out_of_memory(nbytes) from None
        start = int(memory.__array_interface__["data"][0])
        free = self._free.setdefault(capacity, FreeList())
        if period == PERIOD:
            self._spread += 1
        return Block(memory, start + (spread_start(self._spread) - start) % period, capacity, free)

    def release_over_limit(self, block: Block) -> None:
        """Keep a block that came back although the cache is full: older ones make room, unless none can."""
        with self._lock:
            if block.capacity <= self.cache_limit:
                self._evict(self.cache_bytes + block.capacity - self.cache_limit)
                self.cache_bytes += block.capacity
                block.free.append(block)

    def _evict(self, nbytes: int) -> None:
        """Return at least `nbytes` of free blocks to the system, the longest unused size classes first."""
        if nbytes <= 0:
            return
        for free in sorted(self._free.values(), key=_last_use):
            while nbytes > 0:
                block = self._pop(free)
                if block is None:
                    break
                nbytes -= block.capacity

    def clear_cache(self) -> None:
        """Return every free block to the system."""
        with self._lock:
            for free in list(self._free.values()):
                while self._pop(free) is not None:
                    pass

    def set_cache_limit(self, limit: int) -> int:
        """Bound the bytes kept in free blocks; returns the previous limit."""
        limit = _limit("set_cache_limit", limit)
        with self._lock:
            previous, self.cache_limit = self.cache_limit, limit
            self._evict(self.cache_bytes - limit)
        return previous

    def set_memory_limit(self, limit: int) -> int:
        """Bound the bytes in use; returns the previous limit."""
        limit = _limit("set_memory_limit", limit)
        with self._lock:
            previous, self.memory_limit = self.memory_limit, limit
            self._evict(self.active_bytes + self.cache_bytes - limit)
        return previous

    def reset_peak(self) -> None:
        """Let the peak start again from the bytes in use now."""
        with self._lock:
            self.peak_bytes = self.active_bytes

    def _over_limit(self, nbytes: int) -> MemoryError:
        return MemoryError(
            f"[memory] Cannot allocate {nbytes} bytes: {self.active_bytes} bytes are in use "
            f"and the memory limit is {self.memory_limit} bytes."
        )

    def _out_of_memory(self, nbytes: int) -> MemoryError:
        return MemoryError(
            f"[memory] Cannot allocate {nbytes} bytes: the system has no more memory "
            f"({self.active_bytes} bytes are in use)."
        )


def _last_use(free: FreeList) -> int:
    return free.last_use


def total_memory() -> int:
    """The bytes this process may use: the machine's memory or, if it is less, its control group's limit."""
    total = _physical_memory()
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            total = min(total, int(file.read()))
    except (OSError, ValueError):
        pass
    return total


def available_memory() -> int:
    """The bytes that the system could give now; where it does not say, more than anybody asks for."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) << 10
    except (OSError, ValueError):
        pass
    return _LARGEST_REQUEST


def _physical_memory() -> int:
    if hasattr(os, "sysconf"):
        try:
            pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError):
            pages, page = -1, -1
        if pages > 0 and page > 0:
            return pages * page
    elif os.name == "nt":
        return _windows_memory()
    return 8 << 30


def _windows_memory() -> int:
    kilobytes = ctypes.c_ulonglong()
    function = getattr(ctypes, "windll").kernel32.GetPhysicallyInstalledSystemMemory  # noqa: B009
    return kilobytes.value * 1024 if function(ctypes.byref(kilobytes)) else 8 << 30


def _limit(name: str, limit: int) -> int:
    try:
        found = -1 if isinstance(limit, bool) else operator.index(limit)
    except TypeError:
        found = -1
    if not 0 <= found < 1 << 64:
        raise TypeError(f"[{name}] Expected a number of bytes of at most 64 bits, but got {limit!r}.")
    return found


allocator = Allocator()


def get_active_memory() -> int:
    """Bytes of the buffers in use, rounded up to their blocks."""
    return allocator.active_bytes


def get_peak_memory() -> int:
    """The most bytes that were in use at once since the start or the last `reset_peak_memory`."""
    return allocator.peak_bytes


def reset_peak_memory() -> None:
    """Let the peak start again from the bytes in use now."""
    allocator.reset_peak()


def get_cache_memory() -> int:
    """Bytes of freed blocks kept for reuse."""
    return allocator.cache_bytes


def get_memory_limit() -> int:
    """The bytes that may be in use at once."""
    return allocator.memory_limit


def set_memory_limit(limit: int) -> int:
    """Set the bytes that may be in use at once; returns the previous limit.

    An allocation above it raises MemoryError. Errors: TypeError unless the limit is an integer of at least 0.

    Example:
        >>> previous = set_memory_limit(1 << 30)
        >>> set_memory_limit(previous)
        1073741824
    """
    return allocator.set_memory_limit(limit)


def set_cache_limit(limit: int) -> int:
    """Set the bytes of freed blocks kept for reuse, 0 for none; returns the previous limit.

    Errors: TypeError unless the limit is an integer of at least 0.
    """
    return allocator.set_cache_limit(limit)


def clear_cache() -> None:
    """Return every freed block to the system."""
    allocator.clear_cache()
