"""Work in the background: every job runs once, errors reach who waits, forks and exits wait."""

from __future__ import annotations

import _thread
import os
import subprocess
import sys
import threading
import time

import pytest

from tarry.base.settings import settings
from tarry.codegen.jobs import finish_jobs, start_job


@pytest.fixture(params=[1, 2, 4])
def threads(request, monkeypatch):
    monkeypatch.setattr(settings, "threads", request.param)
    return request.param


def test_every_job_runs_once(threads):
    ran: list[int] = []
    jobs = [start_job(lambda number=number: ran.append(number)) for number in range(50)]
    for job in reversed(jobs):
        job.wait()
    assert sorted(ran) == list(range(50))
    for job in jobs:
        job.wait()
    assert len(ran) == 50


def test_several_threads_may_wait(threads):
    done: list[str] = []

    def slow() -> None:
        time.sleep(0.01)
        done.append("ran")

    jobs = [start_job(slow) for _ in range(4)]

    def wait() -> None:
        for job in jobs:
            job.wait()
        done.append("waited")

    waiters = [threading.Thread(target=wait) for _ in range(4)]
    for waiter in waiters:
        waiter.start()
    for waiter in waiters:
        waiter.join()
    assert sorted(done) == ["ran"] * 4 + ["waited"] * 4


def test_errors_are_raised_by_wait_each_time(threads):
    def fail() -> None:
        raise ValueError("no good")

    job = start_job(fail)
    for _ in range(2):
        with pytest.raises(ValueError, match="no good"):
            job.wait()


def test_the_caller_runs_no_job(threads):
    ran: list[int] = []
    for _ in range(8):
        start_job(lambda: ran.append(threading.get_ident()))
    finish_jobs()
    assert len(ran) == 8 and threading.get_ident() not in ran
    assert len(set(ran)) <= 8


def test_without_threads_the_caller_does(threads, monkeypatch):
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    ran: list[int] = []
    jobs = [start_job(lambda number=number: ran.append(number)) for number in range(3)]
    for job in jobs:
        job.wait()
    assert ran == [0, 1, 2]


FORK = """
import os, time
from tarry.base.settings import settings
settings.threads = 3
from tarry.codegen.jobs import start_job
ran = []
def slow():
    time.sleep(0.02)
    ran.append(1)
jobs = [start_job(slow) for _ in range(8)]
child = os.fork()
for job in jobs:
    job.wait()
extra = start_job(slow)
extra.wait()
assert len(ran) == 9, ran
if child:
    assert os.waitpid(child, 0)[1] == 0
    print("done")
else:
    os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX")
def test_forks_find_no_job_halfway():
    found = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60)
    assert found.stdout == "done\n", found.stderr


EXIT = """
from tarry.base.settings import settings
settings.threads = 2
from tarry.codegen.assemble import Module, make_or_load
from tarry.runtime.counters import counters
modules = []
for number in range(6):
    text = f"define i64 @f{number}() {{\\n  ret i64 {number}\\n}}\\n"
    make = lambda text=text, number=number: Module(text, [f"f{number}"])
    modules.append(make_or_load(text, make, background=True))
print(counters.kernels_compiled, counters.kernels_loaded)
"""


def test_what_was_started_is_in_the_cache_after_exit(tmp_path):
    environment = {**os.environ, "TARRY_CACHE_DIR": str(tmp_path), "TARRY_CACHE": "1"}
    printed = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", EXIT], env=environment, capture_output=True, timeout=60
        )
        for _ in range(2)
    ]
    assert [process.stdout.split() for process in printed] == [[b"6", b"0"], [b"0", b"6"]]
    assert all(process.returncode == 0 and not process.stderr for process in printed)
