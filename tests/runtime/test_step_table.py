"""Step tables, on a pool whose native half is played by Python: the runtime knows no compiler."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from tarry.runtime.counters import Counters, counters
from tarry.runtime.plan import HostStep, KernelStep, Pointer, StepTable, Value
from tarry.runtime.threads import ThreadPool

PLAN = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


def read_integers(address, count):
    return list((ctypes.c_int64 * count).from_address(address)) if count else []


class Recorder:
    """Kernels that record the slots they see."""

    def __init__(self):
        self.calls = []
        self.callbacks = []

    def kernel(self, name, slots):
        def run(arguments, chunk, chunks):
            self.calls.append((name, read_integers(arguments, slots), chunk, chunks))

        callback = KERNEL(run)
        self.callbacks.append(callback)
        return ctypes.cast(callback, ctypes.c_void_p).value


def run_plan(pool, steps, count):
    for number in range(count):
        function, arguments, given, finish = read_integers(steps + 32 * number, 4)
        chunks = max(given, 1)
        for chunk in range(chunks):
            KERNEL(function)(arguments, chunk, chunks)
        if finish:
            KERNEL(finish)(arguments, 0, chunks)
    return count


def nothing(pool=None):
    return 0


@pytest.fixture(scope="module")
def pool():
    callbacks = {
        "run_plan": PLAN(run_plan),
        "worker_main": ctypes.CFUNCTYPE(None, ctypes.c_void_p)(nothing),
        "stop_workers": ctypes.CFUNCTYPE(None, ctypes.c_void_p)(nothing),
        "ticks": ctypes.CFUNCTYPE(ctypes.c_int64)(nothing),
    }
    addresses = {name: ctypes.cast(value, ctypes.c_void_p).value for name, value in callbacks.items()}
    pool = ThreadPool(addresses, 0)
    pool.callbacks = callbacks
    return pool


@pytest.fixture
def recorder():
    return Recorder()


def integers(*values):
    return np.array(values, np.int64)


def test_arguments_are_bound_at_every_run(pool, recorder):
    kernel, finish = recorder.kernel("sum", 6), recorder.kernel("finish", 1)
    arguments = (Pointer(1), Pointer(0, 16), Value(1), 7, Pointer(0, Value(0)), -1)
    table = StepTable([KernelStep("sum", kernel, Value(2), arguments, finish)])
    assert (table.buffer_count, table.value_count, table.kernel_count, len(table)) == (2, 3, 1, 1)
    table.run(pool, integers(1000, 2000), integers(8, 55, 2))
    assert recorder.calls == [
        ("sum", [2000, 1016, 55, 7, 1008, -1], 0, 2),
        ("sum", [2000, 1016, 55, 7, 1008, -1], 1, 2),
        ("finish", [2000], 0, 2),
    ]
    recorder.calls.clear()
    table.run(pool, integers(3000, 4000), integers(-8, 56, 0))
    assert recorder.calls == [
        ("sum", [4000, 3016, 56, 7, 2992, -1], 0, 1),
        ("finish", [4000], 0, 1),
    ]


def test_host_steps_run_in_order(pool, recorder):
    def decompose(arguments):
        recorder.calls.append(("host", arguments))

    kernel = recorder.kernel("k", 1)
    table = StepTable(
        [
            HostStep("first", decompose, ()),
            KernelStep("a", kernel, 1, (1,)),
            KernelStep("b", kernel, 1, (2,)),
            HostStep("qr", decompose, (Pointer(0, 4), Value(0), 9)),
            KernelStep("c", kernel, 1, (Pointer(0),)),
        ]
    )
    assert [segment.count for segment in table.segments] == [0, 2, 0, 1]
    before = counters.kernels_run
    table.run(pool, integers(100), integers(5))
    assert recorder.calls == [
        ("host", []),
        ("k", [1], 0, 1),
        ("k", [2], 0, 1),
        ("host", [104, 5, 9]),
        ("k", [100], 0, 1),
    ]
    assert counters.kernels_run == before + 3


def test_host_step_that_raises_leaves_the_table_usable(pool, recorder):
    def fail(arguments):
        if arguments[0] == 1:
            raise ValueError("[inv] The matrix is singular.")
        recorder.calls.append(arguments)

    table = StepTable([HostStep("inv", fail, (Value(0),))])
    with pytest.raises(ValueError, match="singular"):
        table.run(pool, integers(), integers(1))
    table.run(pool, integers(), integers(2))
    assert recorder.calls == [[2]]


def test_table_runs_inside_itself(pool, recorder):
    """As when a second thread runs a table in flight: neither may see the other's arguments."""

    def again(arguments):
        recorder.calls.append(arguments)
        if arguments[0] < 3:
            table.run(pool, integers(), integers(arguments[0] + 1))

    kernel = recorder.kernel("k", 1)
    table = StepTable([HostStep("again", again, (Value(0),)), KernelStep("k", kernel, 1, (Value(0),))])
    table.run(pool, integers(), integers(1))
    assert recorder.calls == [[1], [2], [3], ("k", [3], 0, 1), ("k", [2], 0, 1), ("k", [1], 0, 1)]
    assert len(table._frames) == 3


def test_too_few_addresses_or_values(pool, recorder):
    table = StepTable([KernelStep("k", recorder.kernel("k", 2), 1, (Pointer(1), Value(0)))])
    for addresses, values in [((1,), (1,)), ((1, 2), ())]:
        with pytest.raises(ValueError, match=r"\[plan\] The steps use 2 buffers and 1 values, but"):
            table.run(pool, integers(*addresses), integers(*values))
    with pytest.raises(ValueError, match="2 addresses and 0 values were given"):
        table.run(pool, integers(1, 2))
    assert not recorder.calls


@pytest.mark.parametrize("argument", [Pointer(-1), Value(-2), Pointer(0, Value(-3))])
def test_negative_numbers(argument):
    with pytest.raises(ValueError, match=r"\[plan\] (Buffer|Value) numbers start at 0"):
        StepTable([HostStep("h", print, (argument,))])


def test_empty_table(pool):
    StepTable([]).run(pool, integers())


def test_text():
    table = StepTable(
        [
            KernelStep("add_f32", 4096, 4, (Pointer(0), Pointer(1, 64), Pointer(2, Value(1)), Value(0), 3)),
            KernelStep("sum_f32", 8192, Value(2), (Pointer(2),), 12288),
            HostStep("cholesky", print, (Pointer(2),)),
        ]
    )
    assert str(table).splitlines() == [
        "plan: 3 steps, 3 buffers, 3 values",
        "   0  add_f32(b0, b1+64, b2+v1, v0, 3) chunks=4",
        "   1  sum_f32(b2) chunks=v2 finish",
        "   2  cholesky(b2) host",
    ]


def test_counters():
    mine = Counters()
    mine.nodes += 2
    mine.compile_seconds += 0.5
    assert mine.snapshot()["nodes"] == 2
    assert mine.snapshot()["compile_seconds"] == 0.5
    mine.reset()
    assert not any(mine.snapshot().values())
