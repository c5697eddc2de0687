"""What is remembered about this machine, and when it is not believed."""

from __future__ import annotations

import os
import sys

import pytest

from tarry.base.settings import settings
from tarry.codegen import host
from tarry.codegen.cache import host_cache
from tarry.codegen.host import recall_host, remember_host
from tarry.runtime.counters import counters

FACTS = {"triple": "t-u-v", "cpu": "fast", "features": "+fma,-avx", "versions": "llvmlite 1 llvm (2, 3)"}

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/cpuinfo"), reason="processors are told by Linux")


@pytest.fixture(autouse=True)
def private_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "cache_directory", str(tmp_path))


def test_round_trip():
    assert recall_host() is None
    remember_host(FACTS)
    assert recall_host() == FACTS


@pytest.mark.parametrize("what", ["_processor", "_installation"])
def test_another_machine_or_version_knows_nothing(what, monkeypatch):
    remember_host(FACTS)
    monkeypatch.setattr(host, what, lambda: "another")
    assert recall_host() is None
    remember_host({**FACTS, "cpu": "slow"})
    assert recall_host() == {**FACTS, "cpu": "slow"}
    monkeypatch.undo()


def test_unknown_processors_are_not_remembered(monkeypatch):
    monkeypatch.setattr(host, "_processor", lambda: "")
    remember_host(FACTS)
    assert recall_host() is None


def test_damage_is_noticed():
    remember_host(FACTS)
    cache = host_cache()
    assert cache is not None
    (name,) = os.listdir(cache.directory)
    path = os.path.join(cache.directory, name)
    with open(path, "rb") as file:
        content = bytearray(file.read())
    content[-3] ^= 1
    with open(path, "wb") as file:
        file.write(content)
    damaged = counters.cache_damaged
    assert recall_host() is None
    assert counters.cache_damaged == damaged + 1


def test_the_processor_does_not_change_while_it_runs():
    assert host._processor() == host._processor()
    assert "flags" in host._processor() or sys.platform != "linux"


def test_switched_off(monkeypatch):
    monkeypatch.setattr(settings, "disk_cache", False)
    remember_host(FACTS)
    assert recall_host() is None
