"""Buffers and the allocator: alignment, reuse, limits, views."""

from __future__ import annotations

import ctypes
import gc
import itertools
import os
import threading
import weakref

import ml_dtypes
import numpy as np
import pytest

from tarry.runtime import memory
from tarry.runtime.memory import Allocator, Buffer, size_class, total_memory


@pytest.mark.parametrize("nbytes", [0, 1, 63, 64, 65, 511, 512, 513, 1000, 4097, 65536, 1_000_001])
def test_buffers_are_aligned_and_padded(nbytes):
    buffer = Allocator().allocate(nbytes)
    assert buffer.address % 64 == 0
    assert buffer.nbytes == nbytes
    assert buffer.owned
    # Vectors that begin inside the data may be stored past its end.
    ctypes.memset(buffer.address, 1, (nbytes + 63 & -64) + 64)


def test_size_classes_waste_less_than_a_quarter():
    previous = 0
    for nbytes in [*range(3000), *range(1 << 20, (1 << 21) + 2, 4093), (1 << 40) + 1]:
        capacity = size_class(nbytes)
        assert capacity >= nbytes
        assert capacity % 64 == 0
        assert capacity >= previous
        assert size_class(capacity) == capacity
        assert nbytes < 512 or capacity <= 1.25 * nbytes
        previous = capacity


def test_large_blocks_start_at_different_places_of_a_page():
    allocator = Allocator()
    buffers = [allocator.allocate(1 << 20) for _ in range(8)]
    places = sorted(buffer.address % memory.PERIOD for buffer in buffers)
    assert all(second - first >= 256 for first, second in itertools.pairwise(places))
    for buffer in buffers:
        assert buffer.address % 64 == 0
        ctypes.memset(buffer.address, 1, buffer.nbytes + 64)


def test_blocks_are_reused():
    allocator = Allocator()
    buffer = allocator.allocate(1000)
    address = buffer.address
    assert (allocator.active_bytes, allocator.cache_bytes) == (1024, 0)
    del buffer
    assert (allocator.active_bytes, allocator.cache_bytes) == (0, 1024)
    again = allocator.allocate(1024)
    assert again.address == address
    assert (allocator.active_bytes, allocator.cache_bytes) == (1024, 0)
    assert allocator.allocate(1024).address != address


def test_large_blocks_serve_somewhat_smaller_requests():
    allocator = Allocator()
    address = allocator.allocate(1 << 20).address
    smaller = allocator.allocate(700_000)
    assert smaller.address == address
    assert allocator.active_bytes == 1 << 20
    del smaller
    assert allocator.allocate(400_000).address != address
    assert (allocator.active_bytes, allocator.cache_bytes) == (0, (1 << 20) + size_class(400_000))


def test_peak():
    allocator = Allocator()
    kept = allocator.allocate(1024)
    allocator.allocate(4096)
    assert allocator.peak_bytes == 5120
    allocator.reset_peak()
    assert allocator.peak_bytes == 1024
    assert kept.nbytes == 1024


def test_cache_limit_drops_the_longest_unused_class():
    allocator = Allocator(cache_limit=10_000)
    for nbytes in (1024, 2048, 4096):
        allocator.allocate(nbytes)
    allocator.allocate(1024)
    allocator.allocate(5120)
    # 7168 bytes were kept, 5120 more are too many: first 2048 went, then 4096.
    assert [size for size, free in sorted(allocator._free.items()) if free] == [1024, 5120]
    allocator.allocate(20_000)
    assert allocator.cache_bytes <= 10_000
    assert allocator._free[1024]
    assert allocator.set_cache_limit(0) == 10_000
    assert allocator.cache_bytes == 0
    allocator.allocate(64)
    assert allocator.cache_bytes == 0


def test_clear_cache():
    allocator = Allocator()
    kept = allocator.allocate(640)
    for nbytes in (64, 128, 1 << 20):
        allocator.allocate(nbytes)
    allocator.clear_cache()
    assert (allocator.active_bytes, allocator.cache_bytes) == (kept.nbytes, 0)


def test_large_requests_ask_the_system_first(monkeypatch):
    """Linux would promise the memory and end the process when it is written to."""
    assert 0 < memory.available_memory() <= 1 << 62
    monkeypatch.setattr(memory, "available_memory", lambda: (3 << 30) - 1)
    allocator = Allocator(memory_limit=1 << 40)
    with pytest.raises(MemoryError, match=rf"\[memory\] Cannot allocate {3 << 30} bytes: the system has"):
        allocator.allocate(3 << 30)


def test_memory_limit():
    allocator = Allocator(memory_limit=10_000)
    kept = allocator.allocate(8192)
    with pytest.raises(MemoryError, match=r"\[memory\] Cannot allocate 4000 bytes: 8192 bytes are .* 10000 "):
        allocator.allocate(4000)
    del kept
    # The cached block of 8192 must go before 4096 more fit in.
    first = allocator.allocate(4000)
    assert allocator.cache_bytes == 0
    second = allocator.allocate(5000)
    assert allocator.active_bytes == first.nbytes + 96 + size_class(second.nbytes)
    assert allocator.set_memory_limit(4096) == 10_000
    del second
    assert allocator.cache_bytes == size_class(5000)
    with pytest.raises(MemoryError, match="5000"):
        allocator.allocate(5000)


@pytest.mark.parametrize("power", [48, 60, 62, 63, 80])
def test_impossible_sizes(power):
    allocator = Allocator(memory_limit=1 << 100)
    cached = allocator.allocate(64)
    del cached
    with pytest.raises(MemoryError, match=rf"\[memory\] Cannot allocate {1 << power} bytes: the system has"):
        allocator.allocate(1 << power)
    assert allocator.active_bytes == 0
    with pytest.raises(MemoryError, match=f"Cannot allocate {1 << power} bytes"):
        Allocator().allocate(1 << power)


def test_failure_of_the_system_is_retried_without_the_cache(monkeypatch):
    allocator = Allocator()
    allocator.allocate(1 << 20)
    attempts = []
    real_empty = np.empty

    def empty_later(*arguments):
        attempts.append(allocator.cache_bytes)
        if len(attempts) == 1:
            raise MemoryError
        return real_empty(*arguments)

    monkeypatch.setattr(memory.np, "empty", empty_later)
    buffer = allocator.allocate(1 << 22)
    assert attempts == [1 << 20, 0]
    assert allocator.active_bytes == buffer.nbytes


def test_negative_size():
    for nbytes in (-1, -100, -(1 << 40)):
        with pytest.raises(ValueError, match=rf"\[memory\] Expected a size .*, but {nbytes} were"):
            Allocator().allocate(nbytes)


def test_external_buffers_hold_their_owner():
    array = np.arange(6, dtype=np.float32)
    owner = weakref.ref(array)
    buffer = Buffer.external(array.ctypes.data, array.nbytes, array)
    view = buffer.view(np.float32, 4, (2,), (8,))
    del array, buffer
    gc.collect()
    assert view.tolist() == [1.0, 3.0]
    assert owner() is not None
    del view
    gc.collect()
    assert owner() is None


@pytest.mark.parametrize(
    "dtype",
    [np.bool_, np.uint8, np.int64, np.float16, np.float32, np.float64, np.complex64, ml_dtypes.bfloat16],
)
def test_views_have_any_dtype(dtype):
    allocator = Allocator()
    buffer = allocator.allocate(1024)
    size = np.dtype(dtype).itemsize
    view = buffer.view(dtype, 0, (3, 4), (4 * size, size))
    view[:] = np.arange(12).reshape(3, 4).astype(dtype)
    assert view.dtype == np.dtype(dtype)
    assert view.ctypes.data == buffer.address
    backwards = buffer.view(dtype, 11 * size, (4, 3), (-size, -4 * size))
    assert (backwards == view[::-1, ::-1].T).all()
    spread = buffer.view(dtype, size, (5,), (0,))
    assert (spread == view[0, 1]).all()
    assert buffer.view(dtype, 0, (), ()).shape == ()
    assert buffer.view(dtype, 0, (0, 3), (size, size)).shape == (0, 3)


def test_views_keep_the_block():
    allocator = Allocator()
    buffer = allocator.allocate(4096)
    view = buffer.view(np.int32, 0, (16,), (4,))[3:]
    del buffer
    gc.collect()
    assert allocator.active_bytes == 4096
    del view
    gc.collect()
    assert allocator.active_bytes == 0


def test_buffers_can_be_weakly_referenced():
    buffer = Allocator().allocate(64)
    reference = weakref.ref(buffer)
    assert reference() is buffer
    assert "owned" in repr(buffer)


def test_threads_do_not_share_blocks():
    allocator = Allocator(cache_limit=100_000)
    problems = []

    def work(number):
        for repeat in range(2000):
            buffers = [allocator.allocate(64 << (repeat + k) % 8) for k in range(4)]
            for buffer in buffers:
                ctypes.memset(buffer.address, number, 64)
            for buffer in buffers:
                if ctypes.string_at(buffer.address, 64) != bytes([number]) * 64:
                    problems.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert allocator.active_bytes == 0
    assert allocator.cache_bytes == sum(size * len(free) for size, free in allocator._free.items())


def test_functions_of_the_module():
    memory.clear_cache()
    active = memory.get_active_memory()
    memory.reset_peak_memory()
    buffer = memory.allocator.allocate(1 << 16)
    assert memory.get_active_memory() == active + (1 << 16)
    assert memory.get_peak_memory() == active + (1 << 16)
    del buffer
    assert memory.get_cache_memory() == 1 << 16
    limit = memory.get_memory_limit()
    assert memory.set_memory_limit(1 << 40) == limit
    assert memory.set_memory_limit(limit) == 1 << 40
    cache_limit = memory.set_cache_limit(0)
    assert memory.get_cache_memory() == 0
    assert memory.set_cache_limit(cache_limit) == 0


@pytest.mark.parametrize("limit", [-1, 1.5, "1 GB", None, True])
def test_bad_limits(limit):
    with pytest.raises(TypeError, match=r"\[set_memory_limit\] Expected a number of bytes"):
        memory.set_memory_limit(limit)
    with pytest.raises(TypeError, match=r"\[set_cache_limit\] Expected a number of bytes"):
        memory.set_cache_limit(limit)


def test_total_memory():
    assert total_memory() > 1 << 26
    if hasattr(os, "sysconf"):
        assert total_memory() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
