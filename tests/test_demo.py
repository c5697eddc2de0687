"""The demo: a full run, its files, its options, and its messages."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import tarry.core as mx
from tarry import demo

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")

LINES = [
    "test accuracy", "final training loss", "steps per second", "kernels compiled", "compile time",
    "kernels loaded from disk", "plans built", "plans reused", "peak memory", "total time",
]  # fmt: skip


def test_full_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["--output", str(tmp_path / "new" / "output"), "--no-progress"]) == 0
    printed = capsys.readouterr()
    report = (tmp_path / "new" / "output" / "report.txt").read_text(encoding="utf-8")
    assert printed.out.startswith(report) and printed.err == ""
    for line in LINES:
        assert re.search(rf"^{line} +\d", report, re.MULTILINE), line
    found = re.search(r"test accuracy +([\d.]+)", report)
    assert found is not None and float(found[1]) >= 0.96
    picture = (tmp_path / "new" / "output" / "digits.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 10_000


def test_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--epochs",
        "1",
        "--batch-size",
        "1000",
        "--learning-rate",
        "0.01",
        "--seed",
        "3",
        "--output",
    ]
    assert demo.main([*arguments, str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert re.search(r"epochs, batch size, seed +1, 1000, 3\n", printed.out)
    assert re.search(r"^steps +2$", printed.out, re.MULTILINE)
    assert "loss=" in printed.err and "accuracy=" in printed.err


def test_the_seed_decides() -> None:
    losses = []
    for seed in (1, 1, 2):
        options = demo.parse_arguments(["--epochs", "1", "--no-progress", "--seed", str(seed)])
        mx.random.seed(seed)
        losses.append(demo.train(demo.Network(), demo.Digits(seed), options).losses[0])
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("arguments", ["--epochs 0", "--batch-size -1", "--learning-rate 0", "--seed -1"])
def test_bad_options(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_status:
        demo.main(arguments.split())
    assert exit_status.value.code == 2
    assert arguments.split()[0] in capsys.readouterr().err


def test_output_that_is_no_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert demo.main(["--output", str(tmp_path / "file")]) == 1
    assert "[tarry.demo] cannot make the output directory" in capsys.readouterr().err


def test_missing_extras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(SystemExit, match=r"\[tarry.demo\] sklearn .* pip install tarry\[demo\]"):
        demo.main(["--output", str(tmp_path), "--no-progress"])
