"""Compiled kernels outlive their process: the disk cache, seen from whole programs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from program_runner import cache_files, finish_program, run_for_json, start_program

PROGRAM = """
    import json, warnings
    import numpy as np
    caught = []
    warnings.simplefilter("always")
    warnings.showwarning = lambda message, category, *rest: caught.append(f"{category.__name__}: {message}")
    import tarry.core as mx
    x = mx.array(np.linspace(-3, 3, 600, dtype=np.float32).reshape(20, 30))
    y = mx.softmax(x @ mx.transpose(x), axis=-1)
    z = mx.sum(mx.grad(lambda v: mx.sum(mx.tanh(v) * v))(x), axis=0)
    mx.eval(y, z)
    found = [float(mx.sum(y)), float(mx.sum(z)), float(y[3, 4])]
    print(json.dumps({**mx.counters(), "found": found, "warnings": caught}))
"""


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    first = run_for_json(PROGRAM, TARRY_CACHE_DIR=str(tmp_path))
    assert first["kernels_compiled"] > 0 and first["kernels_loaded"] == 0
    second = run_for_json(PROGRAM, TARRY_CACHE_DIR=str(tmp_path))
    assert second["kernels_compiled"] == 0
    assert second["kernels_loaded"] == first["kernels_compiled"]
    assert second["found"] == first["found"]
    assert first["warnings"] == second["warnings"] == []


@pytest.mark.parametrize("damage", ["truncated", "emptied", "altered", "swapped"])
def test_damaged_entries_are_compiled_again_and_replaced(damage: str, tmp_path: Path) -> None:
    first = run_for_json(PROGRAM, TARRY_CACHE_DIR=str(tmp_path))
    files = cache_files(tmp_path)
    sound = [file.read_bytes() for file in files]
    assert len(files) == first["kernels_compiled"]
    for number, file in enumerate(files):
        content = bytearray(sound[number])
        if damage == "truncated":
            content = content[: len(content) // 2]
        elif damage == "emptied":
            content = bytearray()
        elif damage == "altered":
            content[-len(content) // 3] ^= 0x10
        else:
            content = bytearray(sound[number - 1])
        file.write_bytes(bytes(content))
    again = run_for_json(PROGRAM, TARRY_CACHE_DIR=str(tmp_path))
    assert again["found"] == first["found"]
    assert again["kernels_compiled"] == first["kernels_compiled"]
    assert again["cache_damaged"] == len(files)
    assert [file.read_bytes() for file in cache_files(tmp_path)] == sound
    healed = run_for_json(PROGRAM, TARRY_CACHE_DIR=str(tmp_path))
    assert healed["kernels_compiled"] == 0 and healed["cache_damaged"] == 0


def test_two_processes_at_once(tmp_path: Path) -> None:
    programs = [start_program(PROGRAM, TARRY_CACHE_DIR=str(tmp_path)) for _ in range(3)]
    printed = [finish_program(program)[0].splitlines()[-1] for program in programs]
    assert all('"warnings": []' in text for text in printed)
    assert len({text.partition('"found": ')[2] for text in printed}) == 1
    after = run_for_json(PROGRAM, TARRY_CACHE_DIR=str(tmp_path))
    assert after["kernels_compiled"] == 0 and after["cache_damaged"] == 0
    assert not list(tmp_path.rglob("writing-*"))


def test_switched_off(tmp_path: Path) -> None:
    for _ in range(2):
        found = run_for_json(PROGRAM, TARRY_CACHE_DIR=str(tmp_path), TARRY_CACHE="0")
        assert found["kernels_compiled"] > 0 and found["kernels_loaded"] == 0
    assert cache_files(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="permissions work another way")
@pytest.mark.parametrize("trouble", ["a file in the way", "read-only", "open to others"])
def test_an_unusable_directory_warns_once(trouble: str, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    if trouble == "a file in the way":
        place.write_text("")
    elif trouble == "read-only":
        if os.geteuid() == 0:
            # Root may write anywhere but here.
            place = Path("/proc/tarry")
        else:
            place.mkdir(mode=0o500)
    else:
        (place / "objects").mkdir(parents=True)
        (place / "objects").chmod(0o777)
    expected = run_for_json(PROGRAM, TARRY_CACHE="0")
    found = run_for_json(PROGRAM, TARRY_CACHE_DIR=str(place))
    assert found["found"] == expected["found"]
    assert found["kernels_compiled"] == expected["kernels_compiled"]
    assert len(found["warnings"]) == 1 and found["warnings"][0].startswith("RuntimeWarning: [cache]")
    assert str(place) in found["warnings"][0]
