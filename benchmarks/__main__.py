"""`python -m benchmarks`: run the workloads, print a table, write results.json, results.md, chart.svg."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import machine, report
from benchmarks.chart import draw_chart
from benchmarks.harness import ROOT, Harness
from benchmarks.libraries import LIBRARY_NAMES
from benchmarks.workload import Workload
from benchmarks.workloads import all_workloads

OURS = ("tarry", "tarry.compile")


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time Tarry and its peers, each in its own pinned process, in alternating turns.",
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="a workload, or names with commas")
    parser.add_argument("--peers", help=f"of {','.join(LIBRARY_NAMES[2:])}; default: all that are installed")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does everything run and agree?")
    parser.add_argument("--threads", type=int, default=2, help="threads of every library, one per core")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results", help="a directory")
    parser.add_argument("--list", action="store_true", help="print the workloads and end")
    options = parser.parse_args(arguments)
    if options.threads < 1:
        parser.error(f"--threads must be at least 1, got {options.threads}")
    return options


def choose_workloads(only: list[str] | None) -> list[Workload]:
    """The named workloads, or all. Raises ValueError with the known names."""
    listed = all_workloads()
    if only is None:
        return listed
    wanted = [name.strip() for text in only for name in text.split(",") if name.strip()]
    known = {workload.name for workload in listed}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        names = ", ".join(workload.name for workload in listed)
        raise ValueError(f"[benchmarks] unknown workload {unknown[0]!r}; expected some of {names}")
    return [workload for workload in listed if workload.name in wanted]


def choose_libraries(peers: str | None, workloads: list[Workload]) -> list[str]:
    """Tarry and the peers that some workload needs. Raises ValueError with the known names."""
    wanted = list(LIBRARY_NAMES[2:])
    if peers is not None:
        wanted = [name.strip() for name in peers.split(",") if name.strip()]
        unknown = [name for name in wanted if name not in LIBRARY_NAMES[2:]]
        if unknown:
            raise ValueError(
                f"[benchmarks] unknown peer {unknown[0]!r}; expected some of {', '.join(LIBRARY_NAMES[2:])}"
            )
    used = {name for workload in workloads for name in (*workload.libraries, workload.ours)}
    return [name for name in LIBRARY_NAMES if name in used and (name in OURS or name in wanted)]


def run_all(options: argparse.Namespace) -> dict[str, Any]:
    """The whole document that becomes results.json."""
    workloads = choose_workloads(options.only)
    libraries = choose_libraries(options.peers, workloads)
    cores = machine.choose_cores(options.threads)
    # Child processes inherit it.
    machine.restrict_process(cores)
    if not options.quick:
        busy = machine.wait_until_quiet(cores, 20.0)
        if busy > machine.BUSY_SHARE:
            note(f"others take {100 * busy:.0f}% of the cores: the figures will be too high")
    peaks = machine.measure_peaks(cores, options.quick)
    results = []
    with Harness(libraries, cores, options.quick, note) as harness:
        harness.open_workers()
        for workload in workloads:
            started = time.perf_counter()
            result = report.judge(workload, harness.run(workload), peaks, options.quick)
            results.append(result)
            verdicts = "; ".join(report.bar_text(entry) for entry in result["bars"])
            note(f"{workload.name} ({time.perf_counter() - started:.1f} s): {verdicts or 'no bar'}")
        versions = harness.versions
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "quick": options.quick,
        "machine": machine.describe_machine(cores),
        "peaks": peaks,
        "versions": versions,
        "results": results,
    }


def note(words: str) -> None:
    """Progress goes to standard error; the table alone to standard output."""
    print(words, file=sys.stderr, flush=True)


def write_results(document: dict[str, Any], directory: Path) -> None:
    """results.json, results.md and chart.svg."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "results.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (directory / "results.md").write_text(report.markdown(document), encoding="utf-8")
    (directory / "chart.svg").write_text(draw_chart(document), encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Status 0 when everything of Tarry ran and agreed, 1 when something failed, 2 for a bad command."""
    options = parse_arguments(arguments)
    if options.list:
        for workload in all_workloads():
            print(f"{workload.name:18} {workload.title}; against {workload.against}")
        return 0
    try:
        document = run_all(options)
        write_results(document, options.output)
    except (ValueError, OSError) as error:
        note(str(error))
        return 2
    print(report.machine_text(document))
    print()
    print(report.plain_table(document["results"]))
    for problem in report.problems(document["results"]):
        note(problem)
    for result in document["results"]:
        if any(result["figures"].get(name, {}).get("failed") for name in OURS):
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
