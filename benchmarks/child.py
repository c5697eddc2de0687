"""One figure from a fresh process: `python -m benchmarks.child first_step|peak_memory LIBRARY [quick]`.

The last line of the output is the figure, in seconds or bytes.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import time
from pathlib import Path

from benchmarks.libraries import Library, Unavailable, open_library
from benchmarks.worker import claim_output
from benchmarks.workload import Program
from benchmarks.workloads.gpt import training_step

LATER_STEPS = 4
UNAVAILABLE_STATUS = 3


def first_step(program: Program) -> float:
    """Seconds that the first step takes longer than the fastest later one."""
    started = time.perf_counter()
    program.run()
    first = time.perf_counter() - started
    later = []
    for _ in range(LATER_STEPS):
        started = time.perf_counter()
        program.run()
        later.append(time.perf_counter() - started)
    return first - min(later)


def peak_memory(library: Library, program: Program) -> float:
    """Bytes of resident memory that warm steps add at most, caches and free memory returned before.

    Parameters and data are part of what a step starts with, and so is compiled code.
    """
    for _ in range(2):
        program.run()
    gc.collect()
    if library.family == "mx":
        library.module.clear_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    # Resets the high-water mark of resident memory to what is resident now (Linux, proc(5)).
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError as error:
        raise Unavailable(f"this system does not reset peak memory: {error}") from None
    before = status_bytes("VmRSS")
    for _ in range(LATER_STEPS):
        program.run()
    return status_bytes("VmHWM") - before


def status_bytes(field: str) -> float:
    """A field of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return 1024.0 * int(line.split()[1])
    raise Unavailable(f"this system does not tell {field}")


def main(arguments: list[str]) -> int:
    """Print the figure; status 3 where it cannot be had."""
    action, name, *rest = arguments
    channel = claim_output()
    try:
        library = open_library(name, int(os.environ.get("OMP_NUM_THREADS", "2")))
        program = training_step().program(library, "quick" in rest)
        if action == "first_step":
            figure = first_step(program)
        elif action == "peak_memory":
            figure = peak_memory(library, program)
        else:
            raise ValueError(f"[benchmarks.child] expected first_step or peak_memory, got {action!r}")
    except Unavailable as error:
        print(error, file=sys.stderr)
        return UNAVAILABLE_STATUS
    channel.write(f"{figure}\n")
    channel.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
