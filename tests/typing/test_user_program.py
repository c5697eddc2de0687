"""mypy --strict on a user's program: it infers what the comments say, and refuses what it should."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("user_program.py")
LINE = re.compile(r"^(.*?):(\d+): (note|error): (.*)$")


def messages() -> dict[int, list[str]]:
    """What mypy says about each line; revealed types without the names of modules.

    It shares the cache of the house's own run, so that the package is not checked again.
    """
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(PROGRAM)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert not process.stderr, process.stderr
    found: dict[int, list[str]] = {}
    for line in process.stdout.splitlines():
        match = LINE.match(line)
        if match is not None:
            assert Path(match[1]).name == PROGRAM.name, line
            found.setdefault(int(match[2]), []).append(match[4])
    return found


def revealed(message: str) -> str:
    text = message.removeprefix('Revealed type is "').removesuffix('"')
    text = re.sub(r"(?:\w+\.)+(\w+)", r"\1", text)
    return re.sub(r"tuple\[(.*), fallback=\w+\]", r"tuple[\1]", text)


def test_types() -> None:
    pytest.importorskip("mypy")
    found = messages()
    wrong = []
    for number, line in enumerate(PROGRAM.read_text(encoding="utf-8").splitlines(), 1):
        said = found.get(number, [])
        code, _, comment = line.partition("  # ")
        if code.startswith("reveal_type("):
            expected = [comment]
            said = [revealed(message) for message in said]
        elif comment.startswith("error: "):
            expected = [comment.removeprefix("error: ")]
            said = [message[message.rindex("[") + 1 : -1] for message in said if message.endswith("]")]
        else:
            expected = []
        if said != expected:
            wrong.append(f"{number}: {code}: expected {expected}, mypy says {said}")
    assert not wrong, "\n".join(wrong)
