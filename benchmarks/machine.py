"""The machine: which cores to use, whether others use them, what they can do at most."""

from __future__ import annotations

import ctypes
import os
import platform
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# Others may take this share of our cores before we wait or call a turn disturbed.
BUSY_SHARE = 0.15
# Threads that did less than this share of a process's work are not pinned.
IDLE_SHARE = 0.02
MEBIBYTE = 1 << 20
# Bytes read and written by the copies whose bandwidth is measured, from cache to memory.
COPY_SIZES = (4 * MEBIBYTE, 16 * MEBIBYTE, 64 * MEBIBYTE, 256 * MEBIBYTE)
ACCUMULATORS = 12


def choose_cores(threads: int) -> list[int]:
    """The first cores this process may use."""
    if not hasattr(os, "sched_getaffinity"):
        return list(range(min(threads, os.cpu_count() or 1)))
    return sorted(os.sched_getaffinity(0))[:threads]


def restrict_process(cores: list[int]) -> None:
    """Keep this process on the cores: libraries size their thread pools by them."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def thread_seconds() -> dict[int, float]:
    """Processor time of every thread of this process by its number; empty where the system does not tell."""
    times: dict[int, float] = {}
    for path in Path("/proc/self/task").glob("*/schedstat"):
        try:
            times[int(path.parent.name)] = int(path.read_text().split()[0]) * 1e-9
        except OSError:
            continue  # the thread ended meanwhile
    return times


def release_threads(cores: list[int]) -> None:
    """Let every thread of this process use all the cores."""
    for thread in thread_seconds():
        _place_thread(thread, cores)


def pin_threads(cores: list[int], before: dict[int, float]) -> None:
    """Give every thread that worked since `before` a core of its own, as far as they go.

    Libraries differ in who works (the main thread or not, one pool or several), so the processor time
    decides: the busiest thread first, each on the core with the least work so far. Idle threads stay free.
    """
    now = thread_seconds()
    worked = {thread: seconds - before.get(thread, 0.0) for thread, seconds in now.items()}
    total = sum(worked.values())
    load = dict.fromkeys(cores, 0.0)
    # The thread number breaks ties, so that the main thread comes first.
    for thread in sorted(worked, key=lambda thread: (-worked[thread], thread)):
        if worked[thread] < IDLE_SHARE * total:
            break
        core = min(cores, key=lambda core: load[core])
        load[core] += worked[thread]
        _place_thread(thread, [core])


def _place_thread(thread: int, cores: list[int]) -> None:
    if hasattr(os, "sched_setaffinity"):
        try:
            os.sched_setaffinity(thread, cores)
        except ProcessLookupError:
            return  # it ended meanwhile


def busy_seconds(cores: list[int]) -> float:
    """Seconds since boot in which the cores worked for anyone, other guests of the host included."""
    total = 0
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return 0.0
    wanted = {f"cpu{core}" for core in cores}
    for line in lines:
        name, *fields = line.split()
        if name in wanted:
            # user nice system idle iowait irq softirq steal; guest time is part of user time.
            ticks = [int(field) for field in fields[:8]]
            total += sum(ticks) - ticks[3] - ticks[4]
    return total / os.sysconf("SC_CLK_TCK")


def wait_until_quiet(cores: list[int], patience: float) -> float:
    """Wait at most `patience` seconds until others leave the cores alone; returns the share they take."""
    end = time.monotonic() + patience
    while True:
        before, started = busy_seconds(cores), time.monotonic()
        time.sleep(0.1)
        elapsed = time.monotonic() - started
        share = (busy_seconds(cores) - before) / (elapsed * len(cores))
        if share <= BUSY_SHARE or time.monotonic() >= end:
            return share
        time.sleep(min(0.4, max(0.0, end - time.monotonic())))


def describe_machine(cores: list[int]) -> dict[str, Any]:
    """Processor, cores, memory, system: what a reader of the figures has to know."""
    facts = {"processor": platform.processor() or platform.machine(), "system": platform.platform()}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                facts["processor"] = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    memory = 0
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        **facts,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "threads": len(cores),
        "memory_bytes": memory,
    }


def measure_peaks(cores: list[int], quick: bool) -> dict[str, Any]:
    """Peak GFLOP/s of float32 multiply-adds, and GB/s of copies by size (bytes read and written)."""
    sizes = COPY_SIZES[:1] if quick else COPY_SIZES
    seconds = 0.01 if quick else 0.1
    return {
        "flops": measure_flops(cores, seconds),
        "bandwidth": {size: measure_copy(cores, size, seconds) for size in sizes},
    }


def bandwidth_near(peaks: dict[str, Any], traffic: float) -> float:
    """The measured copy bandwidth at the size closest to `traffic` bytes."""
    table = {int(size): float(rate) for size, rate in peaks["bandwidth"].items()}
    return table[min(table, key=lambda size: abs(np.log(size / traffic)))]


def measure_copy(cores: list[int], traffic: int, seconds: float) -> float:
    """Bytes per second when every core copies its part of `traffic` / 2 bytes again and again."""
    part = traffic // 2 // len(cores) // 4
    sources = [np.ones(part, np.float32) for _ in cores]
    targets = [np.zeros(part, np.float32) for _ in cores]
    repetitions = max(1, 8 * MEBIBYTE // (8 * part))

    def work(index: int) -> float:
        for _ in range(repetitions):
            np.copyto(targets[index], sources[index])
        return 8.0 * part * repetitions

    return _best_rate(cores, work, seconds)


def measure_flops(cores: list[int], seconds: float) -> float:
    """Floating-point operations per second of independent fused multiply-adds on all cores."""
    try:
        loop, flops_per_pass, keep_alive = _multiply_add_loop()
    except ImportError:
        return _measure_product(cores, seconds)
    passes = 200_000

    def work(index: int) -> float:
        loop(passes)
        return flops_per_pass * passes

    rate = _best_rate(cores, work, seconds)
    del keep_alive
    return rate


def _best_rate(cores: list[int], work: Callable[[int], float], seconds: float) -> float:
    """The best sum of rates over some attempts in which all cores do `work(index)` at once."""
    best = 0.0
    for _ in range(5):
        rates = [0.0] * len(cores)
        barrier = threading.Barrier(len(cores))

        def measure(index: int, rates: list[float] = rates, barrier: threading.Barrier = barrier) -> None:
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, [cores[index]])
            work(index)
            barrier.wait()
            done, started = 0.0, time.perf_counter()
            while (elapsed := time.perf_counter() - started) < seconds:
                done += work(index)
            rates[index] = done / elapsed

        threads = [threading.Thread(target=measure, args=(index,)) for index in range(len(cores))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        best = max(best, sum(rates))
    return best


def _measure_product(cores: list[int], seconds: float) -> float:
    """Without LLVM: what NumPy's matrix product reaches."""
    matrix = np.ones((1024, 1024), np.float32)
    best, end = 0.0, time.perf_counter() + 5 * seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        matrix @ matrix
        best = max(best, 2 * 1024**3 / (time.perf_counter() - started))
    return best


def _multiply_add_loop() -> tuple[Callable[[int], None], float, Any]:
    """A native loop of `ACCUMULATORS` multiply-adds on the widest vectors, and its operations per pass."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    lanes = 16 if features.get("avx512f") else 8 if features.get("avx2") else 4
    kind = f"<{lanes} x float>"
    numbers = range(ACCUMULATORS)
    start = [f"  %a{n} = phi {kind} [ %seed, %entry ], [ %b{n}, %loop ]" for n in numbers]
    fma = f"call {kind} @llvm.fma.v{lanes}f32"
    steps = [f"  %b{n} = {fma}({kind} %a{n}, {kind} %x, {kind} %x)" for n in numbers]
    sums = [f"  %s{n} = fadd {kind} %{'b0' if n == 1 else f's{n - 1}'}, %b{n}" for n in numbers[1:]]
    text = "\n".join(
        [
            f"declare {kind} @llvm.fma.v{lanes}f32({kind}, {kind}, {kind})",
            "define void @multiply_add(i64 %passes, ptr %memory) {",
            "entry:",
            f"  %seed = load {kind}, ptr %memory, align 4",
            f"  %x = fmul {kind} %seed, %seed",
            "  br label %loop",
            "loop:",
            "  %i = phi i64 [ 0, %entry ], [ %next, %loop ]",
            *start,
            *steps,
            "  %next = add i64 %i, 1",
            "  %more = icmp ult i64 %next, %passes",
            "  br i1 %more, label %loop, label %end",
            "end:",
            *sums,
            f"  store {kind} %s{ACCUMULATORS - 1}, ptr %memory, align 4",
            "  ret void",
            "}",
        ]
    )
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features.flatten(), opt=2
    )
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), machine)
    engine.finalize_object()
    address = engine.get_function_address("multiply_add")
    native = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)(address)

    def loop(passes: int) -> None:
        memory = np.full(lanes, 0.5, np.float32)
        native(passes, memory.ctypes.data)

    return loop, 2.0 * lanes * ACCUMULATORS, engine
