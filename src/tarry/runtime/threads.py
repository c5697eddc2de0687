"""The thread pool: Python threads that live inside native code, and the one call that runs a table of steps.

The native half (worker loop, parallel loop, plan runner) is LLVM text in `codegen/native_pool.py`; the engine
compiles it and passes the addresses in. Both halves share a block of memory laid out as in `POOL_LAYOUT`.

The caller takes chunks too and waits only for chunks that a worker has really taken, so a worker that is
late, asleep or absent (after a fork, at exit) costs speed, never an answer.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import threading
import time
import weakref
from collections.abc import Callable

import numpy as np

from tarry.base.settings import available_cores, settings

# Byte offsets of the fields. What different threads write is two cache lines apart: lines come in pairs.
POOL_LAYOUT = {
    "TICKET": 0,  # i64: generation in the high half, chunks not yet taken in the low half
    "GENERATION": 4,  # i32: that high half, the word on which workers sleep (all targets are little-endian)
    "FUNCTION": 128,  # ptr: the kernel of this generation
    "ARGUMENTS": 136,  # ptr
    "CHUNKS": 144,  # i64
    "DONE": 256,  # i64: chunks finished
    "SLEEPERS": 384,  # i32: workers asleep
    "STOP": 512,  # i32: workers must leave
    "WORKERS": 516,  # i32: workers started; with none, a loop runs without any atomic operation
    "SPIN_TICKS": 520,  # i64: how long an idle worker spins before it sleeps
    "BUDGET_TICKS": 528,  # i64: how long a plan may run before Python gets a look at its signals
    "YIELD_PAUSES": 536,  # i32: pauses of a waiting caller before it offers its core to others
    "JOINED": 540,  # i32: workers that have begun
    "USED_RANGES": 544,  # i64: ranges of the present loop, one for each thread
    "LOCK": 640,  # i32: held by the caller whose loop the workers serve
    "FIRST_RANGE": 768,  # two i64 for each range: the chunk to take next, and where the range ends
}
MOST_RANGES = 32
RANGE_BYTES = 128
POOL_BYTES = POOL_LAYOUT["FIRST_RANGE"] + MOST_RANGES * RANGE_BYTES
STEP_INTS = 4  # function, arguments, chunks, finish
STEP_BYTES = 8 * STEP_INTS

SPIN_SECONDS = 0.0005
BUDGET_SECONDS = 0.05
JOIN_SECONDS = 5.0


class ThreadPool:
    """Runs tables of native steps on the caller's thread and some workers.

    `functions` holds the addresses of the native pool: worker_main, run_plan, stop_workers, ticks. Workers
    are Python daemon threads, started at the first run, and again at the first run in a forked child.
    `workers` is `settings.threads - 1` unless given; 0 is fine, and so are more threads than cores. Any
    number of Python threads may call `run` at once: one has the workers, the others run their steps alone,
    with the same results.
    """

    def __init__(
        self, functions: dict[str, int], workers: int | None = None, spin_seconds: float = SPIN_SECONDS
    ) -> None:
        self.workers = settings.threads - 1 if workers is None else workers
        if self.workers < 0:
            raise ValueError(f"[threads] The number of workers must not be negative, but it is {workers}.")
        self.spin_seconds = spin_seconds
        self.address = _pool_memory()
        # These prototypes release the GIL around the call.
        self._worker_main = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(functions["worker_main"])
        self._stop_workers = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(functions["stop_workers"])
        self._ticks = ctypes.PYFUNCTYPE(ctypes.c_int64)(functions["ticks"])
        self._run_plan: Callable[[int, int, int], int] = ctypes.CFUNCTYPE(
            ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64
        )(functions["run_plan"])
        self._threads: list[threading.Thread] = []
        self._tick_rate = 0.0
        self._ready = False
        self._start_lock = threading.Lock()
        _pools.add(self)

    @property
    def running(self) -> bool:
        """Whether workers have been started and not stopped."""
        return bool(self._threads)

    def start(self) -> None:
        """Start the workers, if they are not running. `run` does this by itself the first time."""
        with self._start_lock:
            if self._ready and (self._threads or not self.workers):
                return
            self._write_policy()
            self._field("STOP").value = 0
            self._field("JOINED").value = 0
            # At interpreter exit no thread can start any more: the caller then does all the work.
            with contextlib.suppress(RuntimeError):
                for number in range(self.workers):
                    name = f"tarry-worker-{number + 1}"
                    thread = threading.Thread(
                        target=self._worker_main, args=(self.address,), name=name, daemon=True
                    )
                    thread.start()
                    self._threads.append(thread)
            self._field("WORKERS").value = len(self._threads)
            self._ready = True

    def run(self, steps_address: int, count: int) -> None:
        """Run `count` steps of four int64 (function, arguments, chunks, finish) in order, without the GIL.

        A long plan comes back to Python between steps now and then, so that Ctrl-C stops it there.
        """
        if not self._ready:
            self.start()
        done = self._run_plan(self.address, steps_address, count)
        while done < count:
            done += self._run_plan(self.address, steps_address + STEP_BYTES * done, count - done)

    def stop(self) -> None:
        """Let the workers leave and wait for them. The pool still runs plans, on the caller alone."""
        with self._start_lock:
            self._ready = True
            threads, self._threads = self._threads, []
            self._field("WORKERS").value = 0
            if threads:
                self._stop_workers(self.address)
        for thread in threads:
            thread.join(JOIN_SECONDS)

    def reset_after_fork(self) -> None:
        """Forget the parent's workers: only the thread that forked exists in the child."""
        ctypes.memset(self.address, 0, POOL_BYTES)
        was_stopped = self._ready and not self._threads
        self._threads = []
        self._start_lock = threading.Lock()
        if was_stopped:
            self._write_policy()
        self._ready = was_stopped

    def _write_policy(self) -> None:
        """Turn the times into ticks of this machine's counter."""
        crowded = self.workers + 1 > available_cores()
        if not self._tick_rate:
            self._tick_rate = ticks_per_second(self._ticks)
        # With more threads than cores a spinning thread takes the core of one that has work.
        self._field("SPIN_TICKS", 8).value = 0 if crowded else int(self.spin_seconds * self._tick_rate)
        self._field("BUDGET_TICKS", 8).value = int(BUDGET_SECONDS * self._tick_rate)
        self._field("YIELD_PAUSES").value = 64 if crowded else 16384

    def _field(self, name: str, width: int = 4) -> ctypes.c_int32 | ctypes.c_int64:
        kind = ctypes.c_int64 if width == 8 else ctypes.c_int32
        return kind.from_address(self.address + POOL_LAYOUT[name])


def ticks_per_second(ticks: Callable[[], int]) -> float:
    """The rate of the native counter, watched for a fifth of a millisecond."""
    start_time, start_ticks = time.perf_counter(), ticks()
    while time.perf_counter() - start_time < 0.0002:
        pass
    seconds, passed = time.perf_counter() - start_time, ticks() - start_ticks
    return max(passed, 1) / seconds


def _pool_memory() -> int:
    memory = np.zeros((POOL_BYTES + 128) // 8, np.int64)
    # A worker may look at it until the process has gone, after Python has torn down its modules: never freed.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))
    start = memory.ctypes.data
    return start + -start % 128


_pools: weakref.WeakSet[ThreadPool] = weakref.WeakSet()


def _stop_all() -> None:
    for pool in list(_pools):
        pool.stop()


def _reset_all_after_fork() -> None:
    for pool in list(_pools):
        pool.reset_after_fork()


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all_after_fork)
