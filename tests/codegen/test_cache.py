"""The object cache on disk: damage, trouble with the disk, several processes, pruning."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings

import pytest

from tarry.base.settings import settings
from tarry.codegen import assemble, cache
from tarry.codegen.cache import Entry, ObjectCache, decode, disk_cache, encode, entry_key
from tarry.runtime.counters import counters

TEXT = "define i64 @seven() {\n  ret i64 7\n}\n"


@pytest.fixture
def fresh_warning(monkeypatch):
    monkeypatch.setattr(cache, "_warned", [])


@pytest.fixture
def fresh_process(tmp_path, monkeypatch):
    """As if nothing had been loaded yet, with a cache of its own."""
    monkeypatch.setattr(settings, "cache_directory", str(tmp_path / "cache"))
    monkeypatch.setattr(assemble, "_loaded", {})
    return tmp_path / "cache" / "objects"


def run_again(monkeypatch) -> tuple[int, int, int]:
    """Compile or load TEXT as a new process would; returns (compiled, loaded, damaged)."""
    monkeypatch.setattr(assemble, "_loaded", {})
    before = (counters.kernels_compiled, counters.kernels_loaded, counters.cache_damaged)
    assert assemble.compile_or_load(TEXT, ["seven"])["seven"]
    after = (counters.kernels_compiled, counters.kernels_loaded, counters.cache_damaged)
    return tuple(new - old for new, old in zip(after, before, strict=True))


def test_round_trip(tmp_path):
    store = ObjectCache(str(tmp_path))
    assert store.read("k") is None
    store.write("k", Entry(b"\x00\x01object", ("a", "b")))
    entry = store.read("k")
    assert entry is not None
    assert (entry.object_bytes, entry.names) == (b"\x00\x01object", ("a", "b"))
    assert os.stat(store.directory).st_mode & 0o777 == 0o700 or os.name == "nt"
    assert os.listdir(store.directory) == ["k.tarry"]


def test_second_process_loads(fresh_process, monkeypatch):
    assert run_again(monkeypatch) == (1, 0, 0)
    assert run_again(monkeypatch) == (0, 1, 0)


@pytest.mark.parametrize("damage", ["truncate", "empty", "header", "checksum", "body", "longer", "foreign"])
def test_damaged_entry_is_replaced(fresh_process, monkeypatch, damage):
    run_again(monkeypatch)
    (path,) = fresh_process.iterdir()
    good = path.read_bytes()
    damaged = {
        "truncate": good[: len(good) // 2],
        "empty": b"",
        "header": b"X" + good[1:],
        "checksum": good[:10] + bytes([good[10] ^ 1]) + good[11:],
        "body": good[:-5] + bytes([good[-5] ^ 128]) + good[-4:],
        "longer": good + b"\x00",
        "foreign": encode("another key", Entry(b"object", ("seven",))),
    }[damage]
    path.write_bytes(damaged)
    assert run_again(monkeypatch) == (1, 0, 1)
    assert path.read_bytes() == good
    assert run_again(monkeypatch) == (0, 1, 0)


def test_entry_the_linker_refuses_is_replaced(fresh_process, monkeypatch):
    run_again(monkeypatch)
    (path,) = fresh_process.iterdir()
    path.write_bytes(encode(path.stem, Entry(b"no object at all", ("seven",))))
    assert run_again(monkeypatch) == (1, 0, 1)
    assert run_again(monkeypatch) == (0, 1, 0)


def test_switched_off(fresh_process, monkeypatch):
    monkeypatch.setattr(settings, "disk_cache", False)
    assert disk_cache() is None
    assert run_again(monkeypatch) == (1, 0, 0)
    assert run_again(monkeypatch) == (1, 0, 0)
    assert not fresh_process.exists()


def test_uncreatable_directory_warns_once(tmp_path, monkeypatch, fresh_warning):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(settings, "cache_directory", str(tmp_path / "file" / "cache"))
    with pytest.warns(RuntimeWarning, match=r"\[cache\] The object cache is off: cannot create"):
        assert run_again(monkeypatch) == (1, 0, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run_again(monkeypatch) == (1, 0, 0)
        ObjectCache(str(tmp_path / "file" / "another"))


def test_unwritable_directory_warns_and_works(fresh_process, monkeypatch, fresh_warning):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "_create_file", full)
    with pytest.warns(RuntimeWarning, match=r"Cannot write to the object cache .*No space left"):
        assert run_again(monkeypatch) == (1, 0, 0)
    assert run_again(monkeypatch) == (1, 0, 0)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners are POSIX")
def test_untrusted_directories(tmp_path, monkeypatch, fresh_warning):
    user = os.geteuid()
    monkeypatch.setattr(cache.os, "geteuid", lambda: user + 1)
    with pytest.warns(RuntimeWarning, match="belongs to another user"):
        assert not ObjectCache(str(tmp_path / "a")).usable
    monkeypatch.setattr(cache.os, "geteuid", lambda: user)
    cache._warned.clear()
    store = ObjectCache(str(tmp_path / "b"))
    os.chmod(store.directory, 0o777)
    with pytest.warns(RuntimeWarning, match="can be written by other users"):
        assert not ObjectCache(str(tmp_path / "b")).usable
    cache._warned.clear()
    os.makedirs(tmp_path / "c")
    os.symlink(store.directory, tmp_path / "c" / "objects")
    with pytest.warns(RuntimeWarning, match="is not a directory"):
        assert not ObjectCache(str(tmp_path / "c")).usable


def test_directory_removed_while_running(tmp_path):
    store = ObjectCache(str(tmp_path / "cache"))
    os.rmdir(store.directory)
    store.write("k", Entry(b"object", ("a",)))
    assert store.read("k") is not None


def test_prune_keeps_what_was_used_last(tmp_path):
    store = ObjectCache(str(tmp_path), size_limit=10_000)
    store._writes = 0  # no pruning of its own in between
    now = time.time()
    for number in range(20):
        store.write(f"k{number}", Entry(b"x" * 1000, ("a",)))
        os.utime(store.path(f"k{number}"), (now - 1000 + number, now - 1000 + number))
    abandoned = os.path.join(store.directory, "writing-old")
    being_written = os.path.join(store.directory, "writing-new")
    for path in (abandoned, being_written):
        with open(path, "wb") as file:
            file.write(b"half")
    os.utime(abandoned, (now - 7200, now - 7200))
    assert store.read("k0") is not None
    store.prune()
    left = set(os.listdir(store.directory))
    assert "k0.tarry" in left
    assert "k19.tarry" in left
    assert "k1.tarry" not in left
    assert "writing-old" not in left
    assert "writing-new" in left
    assert sum(os.stat(os.path.join(store.directory, name)).st_size for name in left) <= 7_600


def test_pruning_happens_by_itself(tmp_path, monkeypatch):
    store, pruned = ObjectCache(str(tmp_path)), []
    monkeypatch.setattr(store, "prune", lambda: pruned.append(1))
    for number in range(64):
        store.write(f"k{number % 4}", Entry(b"object", ("a",)))
    assert len(pruned) == 1


def test_key_parts_do_not_mix():
    assert entry_key(("ab", "c")) != entry_key(("a", "bc"))
    assert decode("k", encode("k", Entry(b"", ("a",)))) is not None


def test_two_processes_at_once(tmp_path):
    script = """
import ctypes, sys
from tarry.codegen.assemble import compile_or_load
from tarry.runtime.counters import counters
for number in range(12):
    name = f"number_{number}"
    address = compile_or_load(f"define i64 @{name}() {{\\n  ret i64 {number}\\n}}\\n", [name])[name]
    assert ctypes.CFUNCTYPE(ctypes.c_int64)(address)() == number
assert counters.kernels_compiled + counters.kernels_loaded == 12
assert counters.cache_damaged == 0
print(counters.kernels_loaded)
"""
    environment = {**os.environ, "TARRY_CACHE_DIR": str(tmp_path), "TARRY_CACHE": "1"}
    command = [sys.executable, "-W", "error", "-c", script]
    processes = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert subprocess.run(command, env=environment, capture_output=True, timeout=60).stdout.strip() == b"12"
    assert len(os.listdir(tmp_path / "objects")) == 12
