"""Threads, forks, Ctrl-C, and memory that is not there."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
from program_runner import finish_program, run_program, start_program

import tarry.core as mx


def test_threads_evaluate_at_once() -> None:
    x = mx.array(np.arange(5000, dtype=np.float32).reshape(50, 100))
    shared = mx.exp(x * 1e-3)
    expected = np.array([(np.exp(np.array(x) * 1e-3) * k).sum() for k in range(8)])
    found = np.zeros(8)
    failures: list[BaseException] = []
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        try:
            barrier.wait()
            for _ in range(20):
                found[number] = mx.sum(shared * float(number)).item()
                mx.eval(mx.softmax(x + float(number), axis=-1))
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert np.allclose(found, expected, rtol=1e-5)


def test_threads_build_plans_at_once() -> None:
    """Every thread brings a structure nobody has seen."""
    x = mx.array(np.linspace(0.5, 1.5, 64, dtype=np.float32))
    found: dict[int, float] = {}

    def work(number: int) -> None:
        y = x
        for step in range(number + 1):
            y = mx.sqrt(y) + float(step)
        found[number] = mx.sum(y).item()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(6):
        y = np.array(x, np.float64)
        for step in range(number + 1):
            y = np.sqrt(y) + step
        assert found[number] == pytest.approx(y.sum(), rel=1e-5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_evaluates() -> None:
    program = """
    import os, sys, threading
    import numpy as np
    import tarry.core as mx
    x = mx.array(np.ones((800, 900), np.float32))
    pending = mx.exp(x) * 0.0 + 2.0
    mx.eval(mx.sum(x), x @ mx.transpose(x))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert mx.sum(pending).item() == 2 * 720000
            assert mx.sum(x @ mx.transpose(x)).item() == 900.0 * 800 * 800
            assert mx.max(mx.arccosh(x * 3.0)).item() > 1   # compiles in the child
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert mx.sum(pending).item() == 2 * 720000
    print("both")
    """
    for threads in ("1", "3"):
        assert run_program(program, TARRY_THREADS=threads)[0].strip() == "both"


@pytest.mark.skipif(sys.platform == "win32", reason="signals work another way")
def test_ctrl_c_stops_a_long_program() -> None:
    program = """
    import sys
    import numpy as np
    import tarry.core as mx
    x = mx.array(np.ones((600, 700), np.float32))
    w = mx.array(np.full((700, 700), 1 / 700, np.float32))
    mx.eval(x @ w)
    try:
        print("ready", flush=True)
        while True:
            y = x
            for _ in range(40):
                y = mx.tanh(y @ w)
            mx.eval(y)
    except KeyboardInterrupt:
        assert abs(mx.sum(x @ w).item() - 420000) < 20
        z = mx.softmax(x, axis=-1)
        assert abs(mx.sum(z).item() - 600) < 1e-2
        print("went on")
    """
    process = start_program(program)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(0.4)
    process.send_signal(signal.SIGINT)
    asked = time.perf_counter()
    assert finish_program(process, 30)[0] == "went on\n"
    assert time.perf_counter() - asked < 15


@pytest.mark.parametrize("shape", [(1 << 20, 1 << 24), (1 << 31, 1 << 14)])
def test_impossible_sizes_raise_memory_error(shape: tuple[int, int]) -> None:
    nbytes = 4 * shape[0] * shape[1]
    x = mx.zeros(shape) + 1.0
    with pytest.raises(MemoryError) as raised:
        mx.eval(x)
    message = str(raised.value)
    assert str(nbytes) in message or f"{nbytes:,}" in message, message
    del x
    assert mx.sum(mx.ones((3, 4))).item() == 12


def test_memory_error_leaves_the_rest_usable() -> None:
    x = mx.array([1.0, 2.0])
    y = x * 3.0
    big = mx.broadcast_to(y[:1], (1 << 44,)) + 1.0
    with pytest.raises(MemoryError):
        mx.eval(big)
    assert y.tolist() == [3.0, 6.0]
    assert (x + 1.0).tolist() == [2.0, 3.0]
