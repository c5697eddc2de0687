"""The benchmark harness: every workload agrees between the libraries installed, and the protocol holds."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import __main__ as program  # noqa: E402
from benchmarks import chart, machine, report, workload, workloads  # noqa: E402
from benchmarks.harness import Figures, Harness, compare_results  # noqa: E402
from benchmarks.libraries import Unavailable, open_library  # noqa: E402
from benchmarks.workload import Bar  # noqa: E402
from benchmarks.workloads import mlp, sizes  # noqa: E402
from benchmarks.workloads.processes import ProcessWorkload  # noqa: E402

# torch.compile would call a C++ compiler: its results are those of torch.
IN_PROCESS = [
    name
    for name, package in (("numpy", "numpy"), ("torch", "torch"), ("jax", "jax"), ("mlx", "mlx"))
    if importlib.util.find_spec(package) is not None
]
TIMED = [entry for entry in workloads.all_workloads() if not isinstance(entry, ProcessWorkload)]


# the workloads


@pytest.mark.parametrize("entry", TIMED, ids=lambda entry: entry.name)
def test_libraries_agree(entry: workload.Workload) -> None:
    prints: dict[str, Any] = {}
    for name in dict.fromkeys([entry.ours, *IN_PROCESS]):
        try:
            library = open_library(name)
            built = entry.program(library, quick=True)
        except Unavailable:
            continue
        prints[name] = workload.fingerprint(library, library.wait(built.check()))
        if built.before is not None:
            built.before()
        library.wait(built.run())
    assert len(prints) >= 2 or entry.name == "mlp_step_compiled" or "mlx" not in IN_PROCESS
    names = list(prints)
    for name in names[1:]:
        difference = workload.disagreement(prints[names[0]], prints[name], entry.tolerance)
        assert difference is None, f"{name} and {names[0]}: {difference}"


def test_compiled_step_equals_uncompiled() -> None:
    prints = []
    for name in ("tarry", "tarry.compile"):
        try:
            library = open_library(name)
        except Unavailable as error:
            pytest.skip(str(error))
        built = mlp.workloads()[0].program(library, quick=True)
        prints.append(workload.fingerprint(library, library.wait(built.check())))
    assert workload.disagreement(prints[0], prints[1], 1e-5) is None


def test_gradient_descent_descends() -> None:
    library = open_library("numpy")
    losses = mlp.workloads()[0].program(library, quick=True).check()
    assert losses[0] > losses[1] > losses[2]


def test_shapes_never_repeat() -> None:
    shapes = {sizes.shape_number(number) for number in range(sizes.PAIRS)}
    assert len(shapes) == sizes.PAIRS
    assert {rows for rows, _ in shapes}.isdisjoint(columns for _, columns in shapes)


def test_every_workload_says_what_it_is() -> None:
    listed = workloads.all_workloads()
    assert len({entry.name for entry in listed}) == len(listed)
    for entry in listed:
        assert entry.title and entry.against and entry.bars
        assert workloads.find_workload(entry.name).title == entry.title
    with pytest.raises(ValueError, match=r"\[benchmarks\] expected a workload of softmax, .* got 'soft'"):
        workloads.find_workload("soft")


def test_disagreement_says_what_differs() -> None:
    library = open_library("numpy")
    ones = workload.fingerprint(library, [np.ones((2, 3))])
    assert workload.disagreement(ones, ones, 0.0) is None
    for other, words in (
        ([np.ones((3, 2))], "has shape"),
        ([np.ones((2, 3)), np.ones(1)], "2 arrays instead of 1"),
        ([np.full((2, 3), 1.5)], "differs by 0.5"),
        ([np.full((2, 3), np.nan)], "differs by nan"),
    ):
        difference = workload.disagreement(ones, workload.fingerprint(library, other), 1e-4)
        assert difference is not None and words in difference


# verdicts


def test_bars() -> None:
    assert Bar("ratio", 1.0).is_met(1.05) and not Bar("ratio", 1.0).is_met(1.06)
    assert Bar("flops", 0.85).is_met(0.9) and not Bar("flops", 0.85).is_met(0.8)
    assert Bar("compilations", 0).is_met(0) and not Bar("compilations", 0).is_met(1)
    with pytest.raises(ValueError, match=r"\[Bar\] expected one of ratio"):
        Bar("speed", 1.0)


def result_of(values: dict[str, float]) -> dict[str, Any]:
    figures = {name: {"value": value, "turns": 3, "disturbed_turns": 0} for name, value in values.items()}
    return {"name": "softmax", "title": "t", "against": "a", "busy": 0.0, "figures": figures}


@pytest.mark.parametrize(
    "ours, best, words", [(7e-4, "torch", "ok"), (9e-4, "torch", "miss")], ids=["ok", "miss"]
)
def test_verdict_against_the_best_peer(ours: float, best: str, words: str) -> None:
    peaks = {"flops": 1e11, "bandwidth": {1 << 25: 5e10}}
    # MLX is shown and not counted.
    result = result_of({"tarry": ours, "torch": 1e-3, "numpy": 5e-3, "mlx": 1e-6})
    judged = report.judge(workloads.find_workload("softmax"), result, peaks, quick=False)
    assert judged["best_peer"] == best
    assert judged["ratio"] == pytest.approx(ours / 1e-3)
    assert [entry["verdict"] for entry in judged["bars"]] == [words]
    assert judged["rates"]["gigabytes"] == pytest.approx(8 * 4096 * 1024 / ours / 1e9)
    assert words in report.plain_table([judged])


def test_verdict_without_figures() -> None:
    entry = workloads.find_workload("mlp_step")
    peaks = {"flops": 1e11, "bandwidth": {1 << 25: 5e10}}
    alone = report.judge(entry, result_of({"tarry": 1.0, "numpy": 2.0}), peaks, quick=False)
    assert alone["bars"][0]["verdict"] == "no peer"
    result = result_of({"torch": 1.0})
    result["figures"]["tarry"] = {"reason": "wrong result", "failed": True}
    failed = report.judge(entry, result, peaks, quick=False)
    assert failed["bars"][0]["verdict"] == "failed"
    assert report.problems([failed]) == ["softmax, tarry: wrong result"]


def test_wrong_results_are_not_timed() -> None:
    library = open_library("numpy")
    checks = {
        "tarry": workload.fingerprint(library, np.zeros(3)),
        "numpy": workload.fingerprint(library, np.ones(3)),
    }
    figures = {name: Figures() for name in checks}
    compare_results(workloads.find_workload("softmax"), checks, figures)
    assert figures["numpy"].reason is None
    assert figures["tarry"].failed and "wrong result: unlike numpy" in str(figures["tarry"].reason)


# the machine


def test_machine_is_described() -> None:
    cores = machine.choose_cores(2)
    assert 1 <= len(cores) <= 2
    facts = machine.describe_machine(cores)
    assert facts["threads"] == len(cores) and facts["processor"]
    assert machine.wait_until_quiet(cores, 0.0) >= 0


def test_peak_at_the_nearest_size() -> None:
    peaks = {"bandwidth": {"1000": 5.0, "100000": 2.0}}
    assert machine.bandwidth_near(peaks, 2000) == 5.0
    assert machine.bandwidth_near(peaks, 60000) == 2.0


# the processes


def test_harness_outlives_a_worker() -> None:
    with Harness(["numpy"], machine.choose_cores(2), True, print) as harness:
        harness.open_workers()
        worker = harness.workers["numpy"]
        worker.process.kill()
        worker.process.wait()
        # The next request starts it anew.
        result = harness.run(workloads.find_workload("sum_all"))
        assert result["figures"]["numpy"]["value"] > 0
        reply = worker.ask(do="prepare", workload="gpt", quick=True)
        assert not reply["ok"] and "not written for numpy" in reply["reason"]
        reply = worker.ask(do="dance")
        assert not reply["ok"] and "unknown request 'dance'" in reply["reason"]


def test_whole_run(tmp_path: Path) -> None:
    names = ["softmax", "matmul_nt", "new_sizes", "start_warm"]
    command = [sys.executable, "-m", "benchmarks", "--quick", "--peers", "numpy", "--output", str(tmp_path)]
    finished = subprocess.run(
        [*command, "--only", ",".join(names)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert finished.returncode == 0, finished.stderr
    for name in names:
        assert name in finished.stdout
    document = json.loads((tmp_path / "results.json").read_text())
    assert [result["name"] for result in document["results"]] == names
    for result in document["results"]:
        assert {"tarry", "numpy"} <= set(result["values"])
        assert all(value > 0 for value in result["values"].values())
    assert document["results"][2]["bars"][1]["verdict"] == "ok"  # no compilations
    assert {"date", "machine", "peaks", "versions"} <= set(document)
    assert "| softmax | ms |" in (tmp_path / "results.md").read_text()
    picture = ElementTree.parse(tmp_path / "chart.svg")
    assert picture.getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    "arguments, words",
    [(["--only", "soft"], "unknown workload 'soft'"), (["--peers", "caffe"], "unknown peer 'caffe'")],
)
def test_unknown_names(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(arguments) == 2
    assert words in capsys.readouterr().err


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(workloads.all_workloads())


def test_chart_clamps_and_marks_misses() -> None:
    result = {
        "name": "a<b",
        "unit": "ms",
        "ours": "tarry",
        "values": {"tarry": 1.0, "torch": 100.0, "numpy": 0.01},
        "bars": [{"verdict": "miss"}],
    }
    facts = {"processor": "p", "threads": 2}
    document = {"results": [result], "machine": facts, "date": "d", "quick": False}
    drawn = chart.draw_chart(document)
    assert "a&lt;b" in drawn and "#b00020" in drawn
    assert f'cx="{chart.position(chart.HIGHEST):.1f}"' in drawn
    assert f'cx="{chart.position(chart.LOWEST):.1f}"' in drawn
    ElementTree.fromstring(drawn)
