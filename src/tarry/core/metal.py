"""The module `mx.metal`: there is no Metal here, and it says so. The memory functions are those of `mx`."""

from __future__ import annotations

from tarry.ops.arguments import integer, word, wrong_type
from tarry.runtime.memory import (
    clear_cache,
    get_active_memory,
    get_cache_memory,
    get_peak_memory,
    reset_peak_memory,
    set_cache_limit,
    set_memory_limit,
)

__all__ = [
    "clear_cache",
    "device_info",
    "get_active_memory",
    "get_cache_memory",
    "get_peak_memory",
    "is_available",
    "reset_peak_memory",
    "set_cache_limit",
    "set_memory_limit",
    "set_wired_limit",
    "start_capture",
    "stop_capture",
]


def is_available() -> bool:
    """False: Tarry computes on the CPU.

    >>> mx.metal.is_available()
    False
    """
    return False


def device_info() -> dict[str, str | int]:
    """Nothing about a device that is not there.

    >>> mx.metal.device_info()
    {}
    """
    return {}


def set_wired_limit(limit: int) -> int:
    """The previous limit: always 0, since only memory of a GPU can be wired.

    >>> mx.metal.set_wired_limit(1 << 30)
    0
    """
    integer("set_wired_limit", limit, "limit", 1 << 64)
    if limit < 0:
        raise wrong_type("set_wired_limit", "limit", "a number of bytes", limit)
    return 0


def start_capture(path: str) -> None:
    """Does nothing, as MLX without Metal: there is no GPU whose work could be captured.

    >>> mx.metal.start_capture("trace.gputrace")
    """
    word("start_capture", path, "path")


def stop_capture() -> None:
    """Does nothing, see `start_capture`.

    >>> mx.metal.stop_capture()
    """
