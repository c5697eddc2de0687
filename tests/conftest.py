"""Settings shared by all tests: plots without a display, and one seed per test."""

from __future__ import annotations

import os
import random
import signal
import zlib
from collections.abc import Iterator

import numpy as np
import pytest

# Before anything imports tarry: settings are read once.
os.environ.setdefault("MPLBACKEND", "Agg")
# A shell's background jobs ignore Ctrl-C, and so would the programs that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def seed_of(text: str) -> int:
    """A 32-bit seed that depends on `text` alone: the same in every process, unlike `hash`."""
    return zlib.crc32(text.encode())


@pytest.fixture(autouse=True)
def deterministic_seeds(request: pytest.FixtureRequest) -> Iterator[None]:
    """Seed the global generators from the test's own name, so that running one test alone changes nothing."""
    seed = seed_of(request.node.nodeid)
    random.seed(seed)
    np.random.seed(seed)
    yield


@pytest.fixture
def generator(request: pytest.FixtureRequest) -> np.random.Generator:
    """A NumPy generator seeded from the test's name."""
    return np.random.default_rng(seed_of(request.node.nodeid))
