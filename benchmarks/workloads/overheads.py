"""What Python costs: recording an operation, finding the plan of a graph, one evaluation."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.libraries import Library, Unavailable
from benchmarks.workload import Bar, Program, Workload
from benchmarks.workloads.elementwise import TINY_STEPS, tiny_steps, tiny_vectors

SHORT, LONG = 1, 4  # hundreds of operations; the engine cuts chains at 512
ATTEMPTS = 5


class Overhead(Workload):
    """Only lazy libraries record and evaluate, so MLX is the one peer, and the bars are absolute."""

    libraries = ("tarry", "mlx")
    unit = "us"

    def __init__(
        self, name: str, title: str, limit: float, build: Callable[[Any, list[Any]], Program]
    ) -> None:
        super().__init__(name, title, "the same in MLX (not counted)", [Bar("absolute", limit)])
        self.build = build

    def program(self, library: Library, quick: bool) -> Program:
        if library.family != "mx":
            raise Unavailable(f"{library.name} does not record graphs")
        return self.build(library.module, [library.array(values) for values in tiny_vectors(quick)])


def recording(mx: Any, vectors: list[Any]) -> Program:
    """Record 100 operations; they are never evaluated. The figure is the time of one."""
    chain = tiny_steps(mx)
    return Program(lambda: chain(*vectors), check=list)


def binding(mx: Any, vectors: list[Any]) -> Program:
    """Time to evaluate 400 recorded nodes less the time of 100, by the 300 nodes between."""
    chain = tiny_steps(mx)
    x, addend, factor = vectors

    def evaluation(hundreds: int) -> float:
        best = float("inf")
        for _ in range(ATTEMPTS):
            result = x
            for _ in range(hundreds):
                result = chain(result, addend, factor)
            started = time.perf_counter()
            mx.eval(result)
            best = min(best, time.perf_counter() - started)
        return best

    def measure() -> float:
        return (evaluation(LONG) - evaluation(SHORT)) / ((LONG - SHORT) * TINY_STEPS)

    def run() -> Any:
        result = chain(x, addend, factor)
        mx.eval(result)
        return result

    return Program(run, measure=measure)


def evaluation(mx: Any, vectors: list[Any]) -> Program:
    """Evaluate one recorded addition of 16 elements."""
    x, addend, _ = vectors
    recorded: list[Any] = []

    def record() -> None:
        recorded.clear()
        recorded.append(x + addend)

    def run() -> Any:
        mx.eval(recorded[0])
        return recorded[0]

    def check() -> Any:
        record()
        return run()

    return Program(run, before=record, check=check)


def workloads() -> list[Workload]:
    record = Overhead("record", "recording one operation", 1.5, recording)
    record.steps = TINY_STEPS
    bind = Overhead("bind", "key and binding of one node in an evaluation", 1.0, binding)
    # A difference of two times can come out low by chance: take the middle.
    bind.quantile = 0.5
    return [record, bind, Overhead("eval", "fixed cost of an evaluation", 15.0, evaluation)]
