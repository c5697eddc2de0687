"""Work for LLVM that goes on while Python plans the next kernel.

Jobs are run by worker threads, which are started when there is work and leave when there is none; with one
thread in the settings, whoever starts a job waits for it. The main thread never runs a job: Ctrl-C could
strike there at any moment, with a lock of LLVM's in hand. For the same reason it takes plain locks alone,
and by `with`, which no signal can tear apart. A fork waits until no job is running.
"""

from __future__ import annotations

import _thread
import atexit
import os
import threading
from collections import deque
from collections.abc import Callable

from tarry.base.settings import settings

MOST_WORKERS = 8


class Job:
    """A call without result; `wait` returns when it is done, and raises what it raised."""

    __slots__ = ("done", "error", "run")

    def __init__(self, run: Callable[[], None]) -> None:
        self.run = run
        self.error: Exception | None = None
        # Held until the job is done.
        self.done = threading.Lock()
        self.done.acquire()

    def wait(self) -> None:
        """Return when the job is done."""
        _call_workers()
        with self.done:
            pass
        if self.error is not None:
            raise self.error


class _Workers:
    """How many workers there are, what they run, and what waits for them; all of it under `lock`."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0
        self.running: set[Job] = set()
        self.waiting: deque[Job] = deque()


_workers = _Workers()


def start_job(run: Callable[[], None]) -> Job:
    """Have `run` called by a worker; with one thread in the settings, now."""
    job = Job(run)
    with _workers.lock:
        _workers.waiting.append(job)
    _call_workers()
    if settings.threads == 1:
        with job.done:
            pass
    return job


def finish_jobs() -> None:
    """Wait until nothing is running or waiting."""
    while True:
        with _workers.lock:
            left = [*_workers.running, *_workers.waiting]
        if not left:
            return
        _call_workers()
        with left[0].done:
            pass


def _call_workers() -> None:
    """Start a worker, if something waits and there may be one more."""
    with _workers.lock:
        if not _workers.waiting or _workers.count >= min(settings.threads, MOST_WORKERS):
            return
        try:
            _thread.start_new_thread(_work, ())
            _workers.count += 1
            return
        except RuntimeError:  # no more threads, or the interpreter is closing down
            if _workers.count:
                return
            _workers.count += 1
    _work()


def _work() -> None:
    """The life of a worker."""
    while True:
        with _workers.lock:
            if not _workers.waiting:
                _workers.count -= 1
                return
            job = _workers.waiting.popleft()
            _workers.running.add(job)
        try:
            job.run()
        except Exception as error:
            job.error = error
        finally:
            with _workers.lock:
                _workers.running.discard(job)
            job.done.release()


def _before_fork() -> None:
    while True:
        _workers.lock.acquire()
        if not _workers.running:
            return
        job = next(iter(_workers.running))
        _workers.lock.release()
        with job.done:
            pass


def _after_fork_in_child() -> None:
    _workers.count = 0
    _workers.lock.release()


# LLVM must not be taken down under a worker, and what was started belongs in the disk cache.
atexit.register(finish_jobs)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_workers.lock.release, after_in_child=_after_fork_in_child
    )
