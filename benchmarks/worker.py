"""The process of one library: `python -m benchmarks.worker NAME CORES`, driven by lines of JSON.

Requests have a field `do`: `describe`, `prepare` (workload, quick), `turn` (seconds), `drop`, `end`. Each
gets one line in reply, `{"ok": true, ...}` or `{"ok": false, "reason": ...}`. Between requests the process
sleeps.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, TextIO

import numpy as np

from benchmarks.libraries import Library, Unavailable, open_library
from benchmarks.machine import pin_threads, release_threads, restrict_process, thread_seconds
from benchmarks.workload import Program, fingerprint
from benchmarks.workloads import find_workload

# Runs shorter than this are timed several at a time.
SHORTEST_SAMPLE = 50e-6
WARM_SECONDS = 0.2
WARM_RUNS = 3
MOST_WARM_RUNS = 1000
# Pools that hand their work to any of many threads may run better unpinned: every library gets its best.
RELEASE_RATIO = 1.1


class Worker:
    """One library with at most one workload at a time."""

    def __init__(self, name: str, cores: list[int]) -> None:
        self.name = name
        self.cores = cores
        self.library: Library | None = None
        self.program: Program | None = None
        self.batch = 1
        self.runs = 0
        self.compilations: int | None = None

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to one request; raises `Unavailable` or whatever the library raises."""
        if request["do"] == "describe":
            return {"version": self._opened().version}
        if request["do"] == "prepare":
            return self.prepare(request["workload"], bool(request["quick"]))
        if request["do"] == "turn":
            return self.turn(float(request["seconds"]))
        if request["do"] == "drop":
            self.program = None
            gc.collect()
            return {}
        raise ValueError(f"[worker] unknown request {request['do']!r}")

    def prepare(self, workload: str, quick: bool) -> dict[str, Any]:
        """Build a workload, run it until it is warm, pin all threads."""
        library = self._opened()
        # Threads that start now should see all our cores, and so should those that another workload pinned.
        release_threads(self.cores)
        program = find_workload(workload).program(library, quick)
        started = time.perf_counter()
        result = library.wait(program.check())
        first_seconds = time.perf_counter() - started
        check = fingerprint(library, result)
        del result
        self.program, self.batch, self.runs = program, 1, 0
        before = thread_seconds()
        free = self._warm(quick)
        pin_threads(self.cores, before)
        pinned = self._warm(quick)
        if np.quantile(pinned, 0.2) > RELEASE_RATIO * np.quantile(free, 0.2):
            release_threads(self.cores)
        estimate = max(min(free + pinned), 1e-9)
        if program.before is None and program.measure is None and program.limit is None:
            self.batch = max(1, min(1000, int(SHORTEST_SAMPLE / estimate)))
        self.compilations = library.compilations()
        return {"check": check, "estimate": estimate, "first_seconds": first_seconds}

    def _warm(self, quick: bool) -> list[float]:
        """Seconds of some runs outside the statistics."""
        samples: list[float] = []
        end = time.perf_counter() + (0.0 if quick else WARM_SECONDS)
        while len(samples) < WARM_RUNS or time.perf_counter() < end:
            samples.append(self._sample())
            if len(samples) >= MOST_WARM_RUNS:
                break
        return samples

    def turn(self, seconds: float) -> dict[str, Any]:
        """Seconds per run, sampled for about as long as asked; the processor time this process took."""
        if self.program is None:
            raise ValueError("[worker] a turn needs a prepared workload")
        samples: list[float] = []
        processor_before, started = time.process_time(), time.perf_counter()
        if not self._spent():
            self._sample()  # others had the caches
        while not self._spent():
            samples.append(self._sample())
            if time.perf_counter() - started >= seconds:
                break
        reply: dict[str, Any] = {
            "samples": samples,
            "elapsed": time.perf_counter() - started,
            "processor": time.process_time() - processor_before,
        }
        count = self._opened().compilations()
        if count is not None and self.compilations is not None:
            reply["compilations"] = count - self.compilations
        return reply

    def _spent(self) -> bool:
        assert self.program is not None
        return self.program.limit is not None and self.runs >= self.program.limit

    def _sample(self) -> float:
        """Seconds of one run. Results are freed outside the clock where runs are timed one by one."""
        program = self.program
        assert program is not None
        self.runs += self.batch
        if program.measure is not None:
            return program.measure()
        if program.before is not None:
            program.before()
        run = program.run
        if self.batch == 1:
            started = time.perf_counter()
            result = run()
            elapsed = time.perf_counter() - started
            del result
            return elapsed
        started = time.perf_counter()
        for _ in range(self.batch):
            run()
        return (time.perf_counter() - started) / self.batch

    def _opened(self) -> Library:
        if self.library is None:
            self.library = open_library(self.name, len(self.cores))
        return self.library


def reply_to(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work` gives, or why it failed: one workload must not end the process."""
    try:
        return {"ok": True, **work()}
    except Unavailable as error:
        return {"ok": False, "reason": str(error)}
    except Exception as error:
        traceback.print_exc()
        return {"ok": False, "reason": f"{type(error).__name__}: {error}"[:300], "failed": True}


def claim_output() -> TextIO:
    """The real standard output; whatever libraries print goes to standard error."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return channel


def main(arguments: list[str]) -> int:
    """Serve requests until `end` or the end of the input."""
    name, cores = arguments
    channel = claim_output()
    worker = Worker(name, [int(core) for core in cores.split(",")])
    restrict_process(worker.cores)
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "end":
            break
        reply = reply_to(lambda request=request: worker.handle(request))  # type: ignore[misc]
        channel.write(json.dumps(reply) + "\n")
        channel.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
