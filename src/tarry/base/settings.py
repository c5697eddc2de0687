"""Every environment variable Tarry reads, in one table, read once at import.

| variable | default | meaning |
|---|---|---|
| TARRY_DEBUG | 0 | printed to stderr: 1 plans, 2 kernels with times, 3 nests, 4 LLVM text, 5 assembly |
| TARRY_CHECK | 0 | verified: 1 graph and nests after each pass, 2 also kernels against the interpreter |
| TARRY_THREADS | cores | threads a plan may use, the caller's included |
| TARRY_CACHE | 1 | 0 switches the on-disk object cache off |
| TARRY_CACHE_DIR | platform's | where the object cache lives |
| TARRY_TARGET | host | code for `avx512`, `avx2` or `sse2` on a host that could do more |
"""

from __future__ import annotations

import os
import sys


class Settings:
    """The values in force; tests may assign to the attributes."""

    __slots__ = ("cache_directory", "check", "debug", "disk_cache", "target", "threads")

    def __init__(self) -> None:
        self.debug = _integer("TARRY_DEBUG", 0, 0)
        self.check = _integer("TARRY_CHECK", 0, 0)
        self.threads = _integer("TARRY_THREADS", available_cores(), 1)
        self.disk_cache = os.environ.get("TARRY_CACHE", "1") != "0"
        self.cache_directory = os.environ.get("TARRY_CACHE_DIR") or _platform_cache()
        self.target = os.environ.get("TARRY_TARGET", "host")

    @property
    def watching(self) -> bool:
        """Whether somebody wants to look at what the compiler does."""
        return self.debug > 0 or self.check > 0


def available_cores() -> int:
    """The number of cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def _integer(name: str, default: int, least: int) -> int:
    text = os.environ.get(name)
    if text is None or text == "":
        return default
    try:
        value = int(text)
    except ValueError:
        raise ValueError(f"[settings] {name} must be an integer, but it is {text!r}.") from None
    if value < least:
        raise ValueError(f"[settings] {name} must be at least {least}, but it is {value}.")
    return value


def _platform_cache() -> str:
    home = os.path.expanduser("~")
    if sys.platform == "win32":
        return os.path.join(os.environ.get("LOCALAPPDATA", home), "tarry", "cache")
    if sys.platform == "darwin":
        return os.path.join(home, "Library", "Caches", "tarry")
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache"), "tarry")


settings = Settings()
