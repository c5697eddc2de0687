"""What the system has done so far, counted: read by tests, tools and `mx.counters()`."""

from __future__ import annotations


class Counters:
    """Plain totals since the start or the last `reset`.

    Example:
        >>> counters = Counters()
        >>> counters.kernels_compiled += 1
        >>> counters.snapshot()["kernels_compiled"]
        1
    """

    __slots__ = (
        "bytes_copied",
        "cache_damaged",
        "compile_seconds",
        "kernels_compiled",
        "kernels_loaded",
        "kernels_run",
        "nodes",
        "plans_built",
        "plans_loaded",
        "plans_reused",
    )

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Set every total to zero."""
        self.nodes = 0  # graph nodes made
        self.plans_built = 0  # evaluations that needed a plan this process did not have
        self.plans_loaded = 0  # those whose plan came from the disk cache, without the compiler
        self.plans_reused = 0  # evaluations that bound their arguments to a known plan
        self.kernels_compiled = 0  # functions LLVM compiled
        self.kernels_loaded = 0  # functions that came from the disk cache
        self.kernels_run = 0  # native steps executed
        self.bytes_copied = 0  # by copies the user did not ask for
        self.compile_seconds = 0.0  # inside LLVM: parse, code generation, linking
        self.cache_damaged = 0  # disk cache entries that were not trusted

    def snapshot(self) -> dict[str, int | float]:
        """The totals by name, as they are now."""
        return {name: getattr(self, name) for name in self.__slots__}


counters = Counters()


def read_counters() -> dict[str, int | float]:
    """The totals since the start of the process, by name; `mx.counters()`.

    Example:
        >>> read_counters()["kernels_run"] >= 0
        True
    """
    return counters.snapshot()
