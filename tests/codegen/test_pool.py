"""The native pool and the Python threads that live in it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from tarry.codegen.assemble import Target, assembler, compile_or_load
from tarry.codegen.native_pool import NATIVE_POOL_SYMBOLS, native_pool_text
from tarry.runtime import threads
from tarry.runtime.plan import KernelStep, Pointer, StepTable
from tarry.runtime.threads import ThreadPool

KERNELS = """
; counts[chunk] += 1
define void @count(ptr noalias %args, i64 %chunk, i64 %chunks) {
  %counts = load ptr, ptr %args
  %place = getelementptr i64, ptr %counts, i64 %chunk
  %old = load i64, ptr %place
  %new = add i64 %old, 1
  store i64 %new, ptr %place
  ret void
}
; counts[chunks] = the sum of counts[0 : chunks]; adds 1000 to it if chunk is not 0
define void @total(ptr noalias %args, i64 %chunk, i64 %chunks) {
entry:
  %counts = load ptr, ptr %args
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
  %sum = phi i64 [0, %entry], [%more, %loop]
  %place = getelementptr i64, ptr %counts, i64 %i
  %value = load i64, ptr %place
  %more = add i64 %sum, %value
  %next = add i64 %i, 1
  %go_on = icmp slt i64 %next, %chunks
  br i1 %go_on, label %loop, label %out
out:
  %wrong = mul i64 %chunk, 1000
  %result = add i64 %more, %wrong
  %end = getelementptr i64, ptr %counts, i64 %chunks
  store i64 %result, ptr %end
  ret void
}
; args: pool, parallel_for, count, args of count, chunks: a loop inside a loop
define void @nested(ptr noalias %args, i64 %chunk, i64 %chunks) {
  %pool = load ptr, ptr %args
  %for_slot = getelementptr i64, ptr %args, i64 1
  %for = load ptr, ptr %for_slot
  %kernel_slot = getelementptr i64, ptr %args, i64 2
  %kernel = load ptr, ptr %kernel_slot
  %table_slot = getelementptr i64, ptr %args, i64 3
  %table = load ptr, ptr %table_slot
  %mine = getelementptr i64, ptr %table, i64 %chunk
  %inner_slot = getelementptr i64, ptr %args, i64 4
  %inner = load i64, ptr %inner_slot
  call void %for(ptr %pool, ptr %kernel, ptr %mine, i64 %inner)
  ret void
}
; about a millisecond of work
define void @slow(ptr noalias %args, i64 %chunk, i64 %chunks) {
entry:
  %cell = alloca i64
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
  store volatile i64 %i, ptr %cell
  %next = add i64 %i, 1
  %go_on = icmp slt i64 %next, 1000000
  br i1 %go_on, label %loop, label %out
out:
  ret void
}
"""


@pytest.fixture(scope="module")
def kernels():
    return compile_or_load(KERNELS, ["count", "total", "nested", "slow"])


@pytest.fixture(scope="module")
def functions():
    return compile_or_load(native_pool_text(Target.host().triple), NATIVE_POOL_SYMBOLS)


@pytest.fixture(params=[0, 1, 3])
def pool(request, functions):
    pool = ThreadPool(functions, request.param)
    yield pool
    pool.stop()


def addresses_of(*arrays):
    return np.array([array.ctypes.data for array in arrays], np.int64)


@pytest.mark.parametrize(
    "triple",
    [
        "x86_64-unknown-linux-gnu",
        "x86_64-pc-windows-msvc",
        "x86_64-apple-darwin",
        "aarch64-unknown-linux-gnu",
        "arm64-apple-darwin",
        "riscv64-unknown-linux-gnu",
    ],
)
def test_text_verifies_for_every_system(triple):
    text = native_pool_text(triple)
    assert "$" not in text
    assembler.verify(text)
    if triple.startswith(("aarch64", "arm64")):
        listing = assembler.assembly_text(text, Target("arm", triple, "generic", "", 128, True, True))
        assert "cntvct_el0" in listing.lower()
        assert "isb" in listing


@pytest.mark.parametrize("chunks", [0, 1, 2, 7, 1000])
def test_every_chunk_runs_once(pool, kernels, chunks):
    counts = np.zeros(1024, np.int64)
    table = StepTable([KernelStep("count", kernels["count"], chunks, [Pointer(0)])] * 3)
    for _ in range(20):
        table.run(pool, addresses_of(counts))
    assert (counts[: max(chunks, 1)] == 60).all()
    assert (counts[max(chunks, 1) :] == 0).all()


def test_more_threads_than_ranges(functions, kernels):
    pool = ThreadPool(functions, threads.MOST_RANGES + 3)
    counts = np.zeros(256, np.int64)
    for chunks in (2, threads.MOST_RANGES - 1, 200):
        counts[:] = 0
        table = StepTable([KernelStep("count", kernels["count"], chunks, [Pointer(0)])])
        for _ in range(20):
            table.run(pool, addresses_of(counts))
        assert (counts[:chunks] == 20).all() and (counts[chunks:] == 0).all()
    pool.stop()


@pytest.mark.parametrize("chunks", [1, 2, 9])
def test_finish_runs_once_after_all_chunks(pool, kernels, chunks):
    counts = np.zeros(16, np.int64)
    table = StepTable([KernelStep("count", kernels["count"], chunks, [Pointer(0)], kernels["total"])])
    for repeat in range(1, 200):
        table.run(pool, addresses_of(counts))
        assert counts[chunks] == chunks * repeat


def test_workers_wake_from_sleep(functions, kernels):
    pool = ThreadPool(functions, 1, spin_seconds=0.0)
    counts = np.zeros(64, np.int64)
    table = StepTable([KernelStep("count", kernels["count"], 64, [Pointer(0)])] * 4)
    for _ in range(20):
        table.run(pool, addresses_of(counts))
        time.sleep(0.002)
    assert (counts == 80).all()
    pool.stop()


def test_several_python_threads(functions, kernels):
    pool = ThreadPool(functions, 1)
    table = StepTable([KernelStep("count", kernels["count"], 4, [Pointer(0)], kernels["total"])] * 10)
    problems = []

    def hammer():
        counts = np.zeros(8, np.int64)
        for repeat in range(1, 800):
            table.run(pool, addresses_of(counts))
            if not ((counts[:4] == 10 * repeat).all() and counts[4] == 40 * repeat):
                problems.append(counts.copy())

    runners = [threading.Thread(target=hammer) for _ in range(4)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert not problems
    pool.stop()


def test_loops_inside_loops(pool, functions, kernels):
    counts = np.zeros((6, 8), np.int64)
    rows = np.array([row.ctypes.data for row in counts], np.int64)
    arguments = [pool.address, functions["parallel_for"], kernels["count"], rows.ctypes.data, 8]
    StepTable([KernelStep("nested", kernels["nested"], 6, arguments)] * 50).run(pool, np.zeros(0, np.int64))
    assert (counts == 50).all()


def test_stop_and_start_again(functions, kernels):
    pool = ThreadPool(functions, 2)
    counts = np.zeros(8, np.int64)
    table = StepTable([KernelStep("count", kernels["count"], 8, [Pointer(0)])])
    assert not pool.running
    for repeat in range(1, 6):
        pool.start()
        assert pool.running
        table.run(pool, addresses_of(counts))
        pool.stop()
        pool.stop()
        assert not pool.running
        table.run(pool, addresses_of(counts))
        assert (counts == 2 * repeat).all()
    assert not [thread for thread in threading.enumerate() if thread in pool._threads]


def test_long_plans_come_back_between_steps(functions, kernels, monkeypatch):
    monkeypatch.setattr(threads, "BUDGET_SECONDS", 0.0)
    pool = ThreadPool(functions, 0)
    counts = np.zeros(8, np.int64)
    steps = [KernelStep("count", kernels["count"], 2, [Pointer(0)])] * 100
    calls = []
    run_plan = pool._run_plan
    pool._run_plan = lambda *arguments: calls.append(arguments) or run_plan(*arguments)
    StepTable(steps).run(pool, addresses_of(counts))
    assert len(calls) == 100
    assert (counts[:2] == 100).all()


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_interrupt_stops_a_plan(functions, kernels):
    import signal

    pool = ThreadPool(functions, 1)
    table = StepTable([KernelStep("slow", kernels["slow"], 2, [])] * 20_000)
    timer = threading.Timer(0.1, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        table.run(pool, np.zeros(0, np.int64))
    assert time.perf_counter() - start < 3.0
    timer.join()
    counts = np.zeros(8, np.int64)
    StepTable([KernelStep("count", kernels["count"], 8, [Pointer(0)])]).run(pool, addresses_of(counts))
    assert (counts == 1).all()
    pool.stop()


def test_number_of_workers_is_checked(functions):
    with pytest.raises(ValueError, match=r"\[threads\] .* must not be negative, but it is -1"):
        ThreadPool(functions, -1)


SCRIPT_START = """
import os, sys, threading, time
import numpy as np
from tarry.codegen.assemble import Target, compile_or_load
from tarry.codegen.native_pool import NATIVE_POOL_SYMBOLS, native_pool_text
from tarry.runtime.plan import KernelStep, Pointer, StepTable
from tarry.runtime.threads import ThreadPool
TEXT = '''
define void @count(ptr noalias %args, i64 %chunk, i64 %chunks) {
  %counts = load ptr, ptr %args
  %place = getelementptr i64, ptr %counts, i64 %chunk
  %old = load i64, ptr %place
  %new = add i64 %old, 1
  store i64 %new, ptr %place
  ret void
}
'''
functions = compile_or_load(native_pool_text(Target.host().triple), NATIVE_POOL_SYMBOLS)
kernel = compile_or_load(TEXT, ["count"])["count"]
counts = np.zeros(8, np.int64)
addresses = np.array([counts.ctypes.data], np.int64)
table = StepTable([KernelStep("count", kernel, 8, [Pointer(0)])] * 10)
"""


def run_script(body: str) -> str:
    script = SCRIPT_START + textwrap.dedent(body)
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore")
def test_forked_children_work():
    output = run_script(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        pool = ThreadPool(functions, 1, spin_seconds=0.01)
        stopping = False

        def hammer():
            other = np.zeros(8, np.int64)
            while not stopping:
                table.run(pool, np.array([other.ctypes.data], np.int64))

        runner = threading.Thread(target=hammer)
        table.run(pool, addresses)
        runner.start()
        for number in range(10):
            child = os.fork()
            if child == 0:
                assert not pool.running
                table.run(pool, addresses)
                assert pool.running
                for _ in range(100):
                    table.run(pool, addresses)
                ok = (counts == 10 * (1 + 101)).all()
                pool.stop()
                os._exit(0 if ok else 1)
            assert os.waitpid(child, 0)[1] == 0
        stopping = True
        runner.join()
        table.run(pool, addresses)
        assert (counts == 20).all()
        print("done")
        """
    )
    assert output == "done\n"


@pytest.mark.parametrize("spin_seconds", [0.0, 60.0])
def test_clean_exit(spin_seconds):
    for _ in range(5):
        output = run_script(
            f"""
            pool = ThreadPool(functions, 2, spin_seconds={spin_seconds})
            pool._write_policy()
            for _ in range(50):
                table.run(pool, addresses)
            print(counts[0])
            """
        )
        assert output == "500\n"


def test_clean_exit_while_a_daemon_thread_runs_plans():
    output = run_script(
        """
        pool = ThreadPool(functions, 1)

        def forever():
            while True:
                table.run(pool, addresses)

        threading.Thread(target=forever, daemon=True).start()
        time.sleep(0.05)
        print("leaving")
        """
    )
    assert output == "leaving\n"


def test_plan_at_exit_after_the_workers_have_gone():
    output = run_script(
        """
        import atexit
        pool = ThreadPool(functions, 1)
        table.run(pool, addresses)
        atexit.register(lambda: (table.run(pool, addresses), print(counts[0], pool.running)))
        late = ThreadPool(functions, 1)
        pool.stop()
        """
    )
    assert output == "20 False\n"


def test_ticks_run(functions):
    ticks = ctypes.CFUNCTYPE(ctypes.c_int64)(functions["ticks"])
    assert ticks() <= ticks()
    assert 1e5 < threads.ticks_per_second(ticks) < 1e11
