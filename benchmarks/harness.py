"""Runs workloads: all processes alive, one works while the others sleep, in short turns again and again."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.child import UNAVAILABLE_STATUS
from benchmarks.workload import Workload, disagreement
from benchmarks.workloads.processes import ProcessWorkload

ROOT = Path(__file__).resolve().parents[1]
# torch.compile may call a C++ compiler many times.
PREPARE_SECONDS = 900.0
END_SECONDS = 10.0
SLOW_PROCESS_SECONDS = 15.0
# After so long, a workload gets no rounds beyond the usual ones, however busy the machine.
MOST_SECONDS = 60.0


class Schedule:
    """How long and how often: seconds of a turn, rounds of turns, seconds to wait for a quiet machine."""

    def __init__(self, quick: bool) -> None:
        self.quick = quick
        self.turn_seconds = 0.005 if quick else 0.12
        self.runs_per_turn = 1 if quick else 3
        self.rounds = 2 if quick else 9
        # Rounds are added while other processes disturb, to this many at most.
        self.most_rounds = 2 if quick else 18
        self.patience = 0.0 if quick else 5.0
        self.process_repetitions = 1 if quick else None


class WorkerError(Exception):
    """A worker ended or did not answer."""


class WorkerProcess:
    """The pipe to the process of one library."""

    def __init__(self, name: str, cores: list[int], environment: dict[str, str]) -> None:
        self.name = name
        self.command = [sys.executable, "-m", "benchmarks.worker", name, ",".join(map(str, cores))]
        self.environment = environment
        self.process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command,
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("BENCHMARKS_VERBOSE") else subprocess.DEVNULL,
            text=True,
        )

    def ask(self, timeout: float = PREPARE_SECONDS, **request: Any) -> dict[str, Any]:
        """The reply to a request. Raises WorkerError when there is none; the next request starts anew."""
        if self.process.poll() is not None:
            self._close()
            self.process = self._start()
        process = self.process
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], timeout)
            line = process.stdout.readline() if ready else ""
        except OSError:
            line, ready = "", [process.stdout]
        if not line:
            process.kill()
            process.wait()
            what = "ended" if ready else f"did not answer within {timeout:.0f} s"
            raise WorkerError(f"the process {what} (exit status {process.returncode})")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def end(self) -> None:
        """Ask the process to end, and see that it does."""
        process = self.process
        if process.poll() is None and process.stdin is not None:
            try:
                process.stdin.write('{"do": "end"}\n')
                process.stdin.flush()
                process.wait(END_SECONDS)
            except (OSError, subprocess.TimeoutExpired):
                process.kill()
        self._close()

    def _close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue
        self.process.wait()


class Figures:
    """What one library did on one workload: samples in seconds (or bytes), or why there are none."""

    def __init__(self) -> None:
        self.clean: list[float] = []
        self.disturbed: list[float] = []
        self.clean_turns = 0
        self.turns = 0
        self.estimate = 0.0
        self.first_seconds: float | None = None
        self.compilations: int | None = None
        self.first_compilations = 0
        self.reason: str | None = None
        self.failed = False

    def is_slow(self) -> bool:
        """Whether one process took so long that noise does not matter: torch.compile of a whole model."""
        return self.estimate > SLOW_PROCESS_SECONDS

    def samples(self) -> list[float]:
        """Those of quiet turns if there are some."""
        return self.clean if self.clean_turns >= 2 else self.clean + self.disturbed

    def summary(self, workload: Workload) -> dict[str, Any]:
        """For the JSON file; `value` is the low quantile of a step, in seconds or bytes."""
        samples = [sample / workload.steps for sample in self.samples()]
        if self.reason is not None or not samples:
            reason = self.reason or "no samples"
            return {"reason": reason, "failed": self.failed}
        return {
            "value": float(np.quantile(samples, workload.quantile)),
            "lowest": min(samples),
            "median": float(np.median(samples)),
            "samples": len(samples),
            "disturbed_turns": self.turns - self.clean_turns,
            "turns": self.turns,
            "first_seconds": self.first_seconds,
            "compilations": self.compilations,
        }


class Harness:
    """Starts the processes of the libraries and takes them through workloads.

    `libraries` are the names that may run. Use it with `with`: the processes end at the end.
    """

    def __init__(
        self, libraries: list[str], cores: list[int], quick: bool, report: Callable[[str], None]
    ) -> None:
        self.libraries = libraries
        self.cores = cores
        self.schedule = Schedule(quick)
        self.report = report
        self.scratch = tempfile.TemporaryDirectory(prefix="tarry-benchmarks-")
        self.workers: dict[str, WorkerProcess] = {}
        self.versions: dict[str, str] = {}
        self.missing: dict[str, str] = {}

    def __enter__(self) -> Harness:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.end()
        self.scratch.cleanup()

    def environment(self, caches: str) -> dict[str, str]:
        """Threads for every library, and directories of this run for whatever they cache."""
        threads = str(len(self.cores))
        directory = Path(self.scratch.name) / caches
        variables = {f"{name}_NUM_THREADS": threads for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}
        variables["JAX_PLATFORMS"] = "cpu"
        if caches == "filled":
            # Without a directory, JAX keeps compiled code in memory only, and so pays nothing for writing it.
            variables["JAX_COMPILATION_CACHE_DIR"] = str(directory / "jax")
            variables["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
            variables["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
        inherited = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        variables["PYTHONPYCACHEPREFIX"] = str(Path(self.scratch.name) / "bytecode")
        return {
            **inherited,
            **variables,
            "TARRY_THREADS": threads,
            "NPROC": threads,  # XLA's thread pools
            "TARRY_CACHE_DIR": str(directory / "tarry"),
            "TORCHINDUCTOR_CACHE_DIR": str(directory / "inductor"),
            "TORCHINDUCTOR_COMPILE_THREADS": "1",
            "TRITON_CACHE_DIR": str(directory / "triton"),
            "PYTHONPATH": str(ROOT),
        }

    def open_workers(self) -> None:
        """Start a process for each library; those that cannot be imported are left out."""
        for name in self.libraries:
            worker = WorkerProcess(name, self.cores, self.environment("shared"))
            self.workers[name] = worker
            try:
                reply = worker.ask(do="describe")
            except WorkerError as error:
                reply = {"ok": False, "reason": str(error)}
            if reply["ok"]:
                self.versions[name] = reply["version"]
            else:
                self.missing[name] = reply["reason"]
                self.workers.pop(name).end()
                self.report(f"without {name}: {reply['reason']}")

    def run(self, workload: Workload) -> dict[str, Any]:
        """All figures of a workload: `figures` by library, `busy` share of others before it began."""
        names = [name for name in workload.libraries if name in self.workers]
        if workload.ours in self.workers and workload.ours not in names:
            names.insert(0, workload.ours)
        busy = machine.wait_until_quiet(self.cores, self.schedule.patience) if self.schedule.patience else 0.0
        if isinstance(workload, ProcessWorkload):
            figures = self._run_processes(workload, names)
        else:
            figures = self._run_turns(workload, names)
        for name in workload.libraries:
            if name in self.missing:
                figures[name] = Figures()
                figures[name].reason = self.missing[name]
        if workload.ours in self.missing and workload.ours not in figures:
            figures[workload.ours] = Figures()
            figures[workload.ours].reason = self.missing[workload.ours]
        return {
            "name": workload.name,
            "title": workload.title,
            "against": workload.against,
            "busy": busy,
            "figures": {name: entry.summary(workload) for name, entry in figures.items()},
        }

    def _run_turns(self, workload: Workload, names: list[str]) -> dict[str, Figures]:
        figures: dict[str, Figures] = {}
        checks: dict[str, Any] = {}
        for name in names:
            entry = figures[name] = Figures()
            reply = self._ask(name, entry, do="prepare", workload=workload.name, quick=self.schedule.quick)
            if reply is not None:
                checks[name] = reply["check"]
                entry.estimate = reply["estimate"]
                entry.first_seconds = reply["first_seconds"]
        compare_results(workload, checks, figures)
        running = [name for name in names if figures[name].reason is None]
        started = time.monotonic()
        for round_number in range(self.schedule.most_rounds):
            enough = all(figures[name].clean_turns >= self.schedule.rounds for name in running)
            late = time.monotonic() - started > MOST_SECONDS
            if round_number >= self.schedule.rounds and (enough or late):
                break
            if round_number and self.schedule.patience:
                machine.wait_until_quiet(self.cores, 1.0)
            # Everybody is first in turn.
            first = round_number % len(running) if running else 0
            for name in running[first:] + running[:first]:
                if figures[name].reason is None:
                    self._turn(name, figures[name])
        for name in running:
            if figures[name].reason is None:
                self._ask(name, figures[name], do="drop")
        return figures

    def _turn(self, name: str, entry: Figures) -> None:
        seconds = max(self.schedule.turn_seconds, self.schedule.runs_per_turn * min(entry.estimate, 2.0))
        before = machine.busy_seconds(self.cores)
        reply = self._ask(name, entry, do="turn", seconds=seconds)
        if reply is None:
            return
        # /proc/stat counts in hundredths of a second, so a turn may seem disturbed by that much.
        others = machine.busy_seconds(self.cores) - before - reply["processor"] - 0.02
        entry.turns += 1
        # What the first turn makes is the structure's cost, not that of a new size.
        made = reply.get("compilations")
        if made is not None:
            entry.first_compilations = made if entry.turns == 1 else entry.first_compilations
            entry.compilations = made - entry.first_compilations
        if others > machine.BUSY_SHARE * len(self.cores) * reply["elapsed"]:
            entry.disturbed += reply["samples"]
        else:
            entry.clean += reply["samples"]
            entry.clean_turns += 1

    def _ask(self, name: str, entry: Figures, **request: Any) -> dict[str, Any] | None:
        """The reply, or None with the reason in `entry`."""
        try:
            reply = self.workers[name].ask(**request)
        except WorkerError as error:
            entry.reason, entry.failed = str(error), True
            return None
        if not reply["ok"]:
            entry.reason, entry.failed = reply["reason"], bool(reply.get("failed"))
            return None
        return reply

    def _run_processes(self, workload: ProcessWorkload, names: list[str]) -> dict[str, Figures]:
        figures = {name: Figures() for name in names}
        repetitions = self.schedule.process_repetitions or workload.repetitions
        for name in names:
            # Untimed: it fills the cache, and leaves bytecode, which an installation brings with it.
            caches = "filled" if workload.caches == "filled" else f"untimed-{workload.name}-{name}"
            self._run_process(workload, name, caches, figures[name])
            figures[name].clean.clear()
            figures[name].clean_turns = figures[name].turns = 0
            figures[name].estimate = 0.0
        for number in range(repetitions):
            for name in names:
                if figures[name].reason is None and not figures[name].is_slow():
                    if self.schedule.patience:
                        machine.wait_until_quiet(self.cores, 1.0)
                    is_empty = workload.caches == "empty"
                    caches = f"empty-{workload.name}-{name}-{number}" if is_empty else "filled"
                    self._run_process(workload, name, caches, figures[name])
        return figures

    def _run_process(self, workload: ProcessWorkload, name: str, caches: str, entry: Figures) -> None:
        command = [sys.executable, *workload.command(name, self.schedule.quick)]
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=self.environment(caches),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        elapsed = time.perf_counter() - started
        try:
            rest, errors = process.communicate(timeout=PREPARE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            entry.reason, entry.failed = f"the process did not end within {PREPARE_SECONDS:.0f} s", True
            return
        if process.returncode != 0:
            last = errors.strip().splitlines()[-1:] or [f"exit status {process.returncode}"]
            entry.reason, entry.failed = last[0][:300], process.returncode != UNAVAILABLE_STATUS
            return
        entry.estimate = time.perf_counter() - started
        entry.turns += 1
        entry.clean_turns += 1
        entry.clean.append(elapsed if workload.times_start else float((line + rest).splitlines()[-1]))


def compare_results(workload: Workload, checks: dict[str, Any], figures: dict[str, Figures]) -> None:
    """A library whose results differ from those of the first one is wrong, and is not timed.

    NumPy is the reference where it takes part, otherwise the first peer.
    """
    order = [name for name in ("numpy", "torch", "jax", "mlx") if name in checks]
    reference = order[0] if order else None
    for name, check in checks.items():
        if reference is None or name == reference:
            continue
        difference = disagreement(checks[reference], check, workload.tolerance)
        if difference is not None:
            figures[name].reason = f"wrong result: unlike {reference}, {difference}"
            figures[name].failed = True
