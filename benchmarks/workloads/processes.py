"""What needs a process of its own for each figure: cold start, compile time, peak memory."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from benchmarks.libraries import Library, Unavailable
from benchmarks.workload import Bar, Program, Workload

START_MX = """
    import {package}.core as mx
    a = mx.ones((1000,)); b = mx.ones((1000,)); c = mx.ones((1000,))
    print(((a * b + c).sum()).item())
"""
START_NUMPY = """
    import numpy as np
    a = np.ones(1000, np.float32); b = np.ones(1000, np.float32); c = np.ones(1000, np.float32)
    print(float((a * b + c).sum()))
"""
START_TORCH = """
    import torch
    a = torch.ones(1000); b = torch.ones(1000); c = torch.ones(1000)
    print((a * b + c).sum().item())
"""
START_TORCH_COMPILE = """
    import torch
    a = torch.ones(1000); b = torch.ones(1000); c = torch.ones(1000)
    print(torch.compile(lambda a, b, c: (a * b + c).sum())(a, b, c).item())
"""
START_JAX = """
    import jax, jax.numpy as jnp
    a = jnp.ones(1000); b = jnp.ones(1000); c = jnp.ones(1000)
    print(jax.jit(lambda a, b, c: (a * b + c).sum())(a, b, c).item())
"""


class ProcessWorkload(Workload):
    """A figure from a fresh process: `command` is what Python gets, `caches` what it finds.

    With `times_start` the figure is the time from starting the process to its first line of output; otherwise
    the last line is the figure itself. Caches are `empty` (a new directory every time), `filled` (an untimed
    process went before) or `any`.
    """

    def __init__(
        self,
        name: str,
        title: str,
        against: str,
        bars: Sequence[Bar],
        caches: str,
        times_start: bool,
        commands: Mapping[str, Sequence[str]],
    ) -> None:
        super().__init__(name, title, against, bars)
        self.caches = caches
        self.times_start = times_start
        self.commands = commands
        self.libraries = tuple(commands)
        self.repetitions = 7

    def command(self, library: str, quick: bool) -> list[str]:
        """Arguments for the Python interpreter."""
        return [*self.commands[library], *(["quick"] if quick and not self.times_start else [])]

    def program(self, library: Library, quick: bool) -> Program:
        raise Unavailable(f"{self.name} runs in processes of its own")


def start_commands() -> dict[str, list[str]]:
    programs = {
        "tarry": START_MX.format(package="tarry"),
        "torch": START_TORCH,
        "torch.compile": START_TORCH_COMPILE,
        "jax": START_JAX,
        "numpy": START_NUMPY,
        "mlx": START_MX.format(package="mlx"),
    }
    return {name: ["-c", textwrap.dedent(text)] for name, text in programs.items()}


def child_commands(action: str, libraries: Sequence[str]) -> dict[str, list[str]]:
    return {name: ["-m", "benchmarks.child", action, name] for name in libraries}


def workloads() -> list[Workload]:
    start = "(a * b + c).sum() in a new process"
    compiled = ("tarry", "torch.compile", "jax")
    cold_start = ProcessWorkload(
        "start_cold",
        f"{start}, empty cache",
        "the same in every library, not counted",
        [Bar("absolute", 350)],
        "empty",
        True,
        start_commands(),
    )
    warm_start = ProcessWorkload(
        "start_warm",
        f"{start}, filled cache",
        "the same in every library, not counted",
        [Bar("absolute", 250)],
        "filled",
        True,
        start_commands(),
    )
    cold_compile = ProcessWorkload(
        "compile_cold",
        "first GPT training step less a later one, empty cache",
        "jax.jit of the same step",
        [Bar("ratio", 1.0, ("jax",))],
        "empty",
        False,
        child_commands("first_step", compiled),
    )
    warm_compile = ProcessWorkload(
        "compile_warm",
        "first GPT training step less a later one, filled cache",
        "the same step with each library's cache, not counted",
        [Bar("absolute", 300)],
        "filled",
        False,
        child_commands("first_step", compiled),
    )
    memory = ProcessWorkload(
        "memory",
        "peak memory of a GPT training step above what it starts with",
        "torch eager",
        [Bar("ratio", 1.0, ("torch",))],
        "any",
        False,
        child_commands("peak_memory", ("tarry", "torch", "torch.compile", "jax", "mlx")),
    )
    memory.unit = "MiB"
    cold_compile.repetitions = warm_compile.repetitions = memory.repetitions = 3
    return [cold_start, warm_start, cold_compile, warm_compile, memory]
