"""All workloads in the order of the tables."""

from __future__ import annotations

from benchmarks.workload import Workload
from benchmarks.workloads import elementwise, gpt, mlp, overheads, processes, products, reductions, sizes


def all_workloads() -> list[Workload]:
    """Every workload that is listed, in the order of the tables."""
    return [
        *reductions.workloads(),
        *products.workloads(),
        *elementwise.workloads(),
        *mlp.workloads(),
        *gpt.workloads(),
        *sizes.workloads(),
        *overheads.workloads(),
        *processes.workloads(),
    ]


def find_workload(name: str) -> Workload:
    """The workload of that name. Raises ValueError with the known names."""
    known = {workload.name: workload for workload in all_workloads()}
    if name not in known:
        raise ValueError(f"[benchmarks] expected a workload of {', '.join(known)}; got {name!r}")
    return known[name]
