"""What an evaluation cost, from the counters, and programs run in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tarry.core as mx
from tarry.runtime.counters import counters


class Cost:
    """Differences of the counters: kernels `run`, `new` (compiled or loaded); plans `built`, `reused`."""

    def __init__(self, before: dict[str, int | float], after: dict[str, int | float]) -> None:
        def gained(name: str) -> int:
            return int(after[name] - before[name])

        self.run = gained("kernels_run")
        self.new = gained("kernels_compiled") + gained("kernels_loaded")
        self.built = gained("plans_built")
        self.reused = gained("plans_reused")
        self.copied = gained("bytes_copied")

    def __repr__(self) -> str:
        return f"run {self.run}, new {self.new}, built {self.built}, reused {self.reused}"


def cost_of(work: Callable[[], Any]) -> Cost:
    """Run `work` and evaluate what it returns."""
    before = counters.snapshot()
    mx.eval(work())
    return Cost(before, counters.snapshot())


def process_environment(**variables: str) -> dict[str, str]:
    """This process's environment without its Tarry settings, and with the given variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TARRY_")}
    return {**kept, **variables}


def start_program(program: str, **variables: str) -> subprocess.Popen[str]:
    """A process that runs the program with warnings as errors."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        env=process_environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish_program(process: subprocess.Popen[str], timeout: float = 120) -> tuple[str, str]:
    """What the process printed to its outputs; fails unless it ended well."""
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
        raise AssertionError(f"the program hung:\n{output[-2000:]}\n{errors[-4000:]}") from None
    assert process.returncode == 0, f"exit {process.returncode}\n{output[-2000:]}\n{errors[-4000:]}"
    return output, errors


def run_program(program: str, timeout: float = 120, **variables: str) -> tuple[str, str]:
    """Standard output and error of a program run to its end."""
    return finish_program(start_program(program, **variables), timeout)


def run_for_json(program: str, timeout: float = 120, **variables: str) -> Any:
    """What the last line of the program's output says, as JSON."""
    return json.loads(run_program(program, timeout, **variables)[0].splitlines()[-1])


def cache_files(directory: Path) -> list[Path]:
    """The entries of an object cache."""
    return sorted(directory.rglob("*.tarry"))
