"""What LLVM said about this machine in an earlier process: a warm start does not load LLVM to ask again.

Facts are kept beside the object cache under a hash of the processor, the installed llvmlite and the system:
on another processor, or after an upgrade, they are simply not found.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder

from tarry.codegen.cache import Entry, entry_key, host_cache

_NAMES = ("triple", "cpu", "features", "versions")


def recall_host() -> dict[str, str] | None:
    """The facts kept for this machine, if there are any."""
    key, cache = _host_key(), host_cache()
    entry = cache.read(key) if key and cache is not None else None
    if entry is None:
        return None
    facts = dict(line.split("=", 1) for line in entry.object_bytes.decode().splitlines())
    return facts if tuple(facts) == _NAMES else None


def remember_host(facts: dict[str, str]) -> None:
    """Keep the facts for other processes."""
    key, cache = _host_key(), host_cache()
    if key and cache is not None:
        text = "\n".join(f"{name}={facts[name]}" for name in _NAMES)
        cache.write(key, Entry(text.encode(), ("host",)))


def _host_key() -> str:
    """The hash of everything the facts depend on; empty where that cannot be told."""
    processor, installation = _processor(), _installation()
    return entry_key((sys.platform, processor, installation)) if processor and installation else ""


def _processor() -> str:
    """The first processor's description by the Linux kernel, without what changes while it runs."""
    try:
        with open("/proc/cpuinfo", "rb", buffering=0) as file:
            content = file.read(16384)
    except OSError:
        return ""
    first = content.decode(errors="replace").split("\n\n")[0].splitlines()
    wanted = ("vendor_id", "cpu family", "model", "stepping", "flags")
    kept = [line for line in first if line.split(":")[0].strip() in wanted]
    return "\n".join(kept) if len(kept) == len(wanted) else ""


def _installation() -> str:
    """Which llvmlite there is: its place, and when it was installed."""
    spec = PathFinder.find_spec("llvmlite")
    if spec is None or spec.origin is None:
        return ""
    try:
        status = os.stat(os.path.join(os.path.dirname(spec.origin), "_version.py"))
    except OSError:
        return ""
    return f"{spec.origin}:{status.st_size}:{status.st_mtime_ns}"
