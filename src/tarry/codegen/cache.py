"""The object cache on disk: compiled kernels survive the process that compiled them.

One file per entry, named by its key (a hash of everything the object depends on):

    magic | hash of what follows and of the key | lengths of lines and object | lines | object

The lines are the names of functions, and `name=number` for what else the maker wants to know.

A damaged entry, whatever the damage, is treated as missing and replaced. Files appear under their name only
when complete, so any number of processes may share the directory. Objects are machine code: the directory
must belong to this user and be closed to others, or the cache is not used.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import struct
import time
import warnings
from collections.abc import Sequence

from tarry.base.digest import blake2b
from tarry.base.settings import settings
from tarry.runtime.counters import counters

SIZE_LIMIT = 256 << 20
PLAN_SIZE_LIMIT = 64 << 20

_MAGIC = b"TARRY\x00\x00\x02"  # ends with the version of the format
_LENGTHS = struct.Struct("<IQ")
_HASH_BYTES = 32
_HEADER_BYTES = len(_MAGIC) + _HASH_BYTES + _LENGTHS.size
_FOLDER, _SUFFIX = "objects", ".tarry"
_HOST_FOLDER, _HOST_SUFFIX = "hosts", ".host"
_PLAN_FOLDER, _PLAN_SUFFIX = "plans", ".plan"
_TEMPORARY_PREFIX = "writing-"
_ABANDONED_SECONDS = 3600.0
_WRITES_PER_PRUNE = 64


class Entry:
    """One compiled object, the names of the functions it exports, and numbers that go with it."""

    __slots__ = ("names", "numbers", "object_bytes")

    def __init__(
        self, object_bytes: bytes, names: tuple[str, ...], numbers: dict[str, int] | None = None
    ) -> None:
        self.object_bytes = object_bytes
        self.names = names
        self.numbers = {} if numbers is None else numbers


class ObjectCache:
    """Entries in one directory. Trouble with the disk never raises: it warns once, and goes on without."""

    def __init__(
        self, directory: str, size_limit: int = SIZE_LIMIT, folder: str = _FOLDER, suffix: str = _SUFFIX
    ) -> None:
        self.directory = os.path.join(directory, folder)
        self.suffix = suffix
        self.size_limit = size_limit
        self.usable = self._prepare()
        # Short processes must prune as well, so they do not all start counting at zero.
        self._writes = os.getpid() % _WRITES_PER_PRUNE

    def _prepare(self) -> bool:
        """Make the private directory; returns whether it is there and can be trusted."""
        try:
            os.makedirs(os.path.dirname(self.directory), mode=0o700, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.directory, 0o700)
            status = os.lstat(self.directory)
        except OSError as error:
            _warn(f"[cache] The object cache is off: cannot create {self.directory!r} ({error}).")
            return False
        problem = _distrust(status)
        if problem:
            _warn(f"[cache] The object cache is off: {self.directory!r} {problem}.")
            return False
        return True

    def path(self, key: str) -> str:
        """The file of an entry."""
        return os.path.join(self.directory, key + self.suffix)

    def read(self, key: str) -> Entry | None:
        """The entry of a key, or None if it is missing or damaged (which is counted in `cache_damaged`)."""
        if not self.usable:
            return None
        path = self.path(key)
        try:
            with open(path, "rb") as file:
                content = file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            _warn(f"[cache] Cannot read {path!r} ({error}).")
            return None
        entry = decode(key, content)
        if entry is None:
            counters.cache_damaged += 1
            return None
        # The time of last use decides what is pruned.
        with contextlib.suppress(OSError):
            os.utime(path)
        return entry

    def write(self, key: str, entry: Entry) -> None:
        """Store an entry under a key, replacing what is there."""
        if not self.usable:
            return
        content = encode(key, entry)
        try:
            self._replace(self.path(key), content)
        except FileNotFoundError:
            # Somebody removed the directory while we run.
            self.usable = self._prepare()
            if self.usable:
                with contextlib.suppress(OSError):
                    self._replace(self.path(key), content)
        except OSError as error:
            # On Windows a file that another process reads cannot be replaced; it holds the same entry.
            if not (isinstance(error, PermissionError) and os.path.exists(self.path(key))):
                _warn(f"[cache] Cannot write to the object cache {self.directory!r} ({error}).")
        self._writes += 1
        if self._writes % _WRITES_PER_PRUNE == 0:
            self.prune()

    def _replace(self, path: str, content: bytes) -> None:
        descriptor, temporary = _create_file(self.directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def prune(self) -> None:
        """If there is more than the limit, remove the longest unused entries down to three quarters of it."""
        entries: list[tuple[float, int, str]] = []
        total = 0
        try:
            with os.scandir(self.directory) as files:
                for file in files:
                    with contextlib.suppress(OSError):
                        status = file.stat(follow_symlinks=False)
                        if file.name.endswith(self.suffix):
                            entries.append((status.st_mtime, status.st_size, file.path))
                            total += status.st_size
                        elif _abandoned(file.name, status):
                            os.unlink(file.path)
        except OSError:
            return
        if total <= self.size_limit:
            return
        for _, size, path in sorted(entries):
            with contextlib.suppress(OSError):
                os.unlink(path)
                total -= size
            if total <= self.size_limit * 3 // 4:
                return


def encode(key: str, entry: Entry) -> bytes:
    """The bytes of an entry's file."""
    lines = [*entry.names, *(f"{name}={number}" for name, number in entry.numbers.items())]
    names = "\n".join(lines).encode()
    body = _LENGTHS.pack(len(names), len(entry.object_bytes)) + names + entry.object_bytes
    return _MAGIC + _digest(key, body) + body


def decode(key: str, content: bytes) -> Entry | None:
    """The entry in a file's bytes, or None unless every byte is as it was written for this key."""
    if len(content) < _HEADER_BYTES or not content.startswith(_MAGIC):
        return None
    body = content[len(_MAGIC) + _HASH_BYTES :]
    if _digest(key, body) != content[len(_MAGIC) : len(_MAGIC) + _HASH_BYTES]:
        return None
    names_length, object_length = _LENGTHS.unpack_from(body)
    if len(body) != _LENGTHS.size + names_length + object_length:
        return None
    names_end = _LENGTHS.size + names_length
    lines = body[_LENGTHS.size : names_end].decode().split("\n")
    numbers = dict(line.split("=") for line in lines if "=" in line)
    return Entry(
        body[names_end:],
        tuple(line for line in lines if "=" not in line),
        {name: int(number) for name, number in numbers.items()},
    )


def entry_key(parts: tuple[str, ...]) -> str:
    """The hash of everything an object depends on. Each part goes with its length, so they cannot mix."""
    digest = blake2b(digest_size=_HASH_BYTES)
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def source_version(folders: Sequence[str]) -> str:
    """The sizes and times of the Python files in these folders of Tarry: what an edit changes."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parts = []
    for folder in folders:
        with os.scandir(os.path.join(package, folder)) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    status = entry.stat()
                    parts.append(f"{folder}/{entry.name}:{status.st_size}:{status.st_mtime_ns}")
    return " ".join(sorted(parts))


def disk_cache() -> ObjectCache | None:
    """The cache the settings ask for, or None if they switch it off."""
    return _open_cache(_FOLDER, _SUFFIX, SIZE_LIMIT)


def plan_cache() -> ObjectCache | None:
    """Where recipes of plans are kept, beside the objects; None if the settings switch the cache off."""
    return _open_cache(_PLAN_FOLDER, _PLAN_SUFFIX, PLAN_SIZE_LIMIT)


def _open_cache(folder: str, suffix: str, size_limit: int) -> ObjectCache | None:
    if not settings.disk_cache:
        return None
    key = (settings.cache_directory, folder)
    if key not in _caches:
        _caches[key] = ObjectCache(settings.cache_directory, size_limit, folder, suffix)
    return _caches[key]


def host_cache() -> ObjectCache | None:
    """Where facts about machines are kept, beside the objects; None if the settings switch the cache off."""
    if not settings.disk_cache:
        return None
    return ObjectCache(settings.cache_directory, folder=_HOST_FOLDER, suffix=_HOST_SUFFIX)


def _digest(key: str, body: bytes) -> bytes:
    return blake2b(key.encode() + body, digest_size=_HASH_BYTES).digest()


def _create_file(directory: str) -> tuple[int, str]:
    """A new file that nobody else writes to: its descriptor and path."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
    while True:
        name = f"{_TEMPORARY_PREFIX}{os.getpid()}-{time.time_ns()}-{next(_file_numbers)}"
        path = os.path.join(directory, name)
        with contextlib.suppress(FileExistsError):
            return os.open(path, flags, 0o600), path


def _distrust(status: os.stat_result) -> str:
    """What is wrong with a directory that is to hold machine code; empty if nothing is."""
    if not stat.S_ISDIR(status.st_mode):
        return "is not a directory"
    if hasattr(os, "geteuid"):
        if status.st_uid != os.geteuid():
            return "belongs to another user"
        if status.st_mode & 0o022:
            return "can be written by other users"
    return ""


def _abandoned(name: str, status: os.stat_result) -> bool:
    """Whether a file is what a process that died while writing has left behind."""
    return name.startswith(_TEMPORARY_PREFIX) and time.time() - status.st_mtime > _ABANDONED_SECONDS


def _warn(message: str) -> None:
    """One warning a process: a full disk must not print a line for every kernel."""
    if not _warned:
        _warned.append(message)
        warnings.warn(message, RuntimeWarning, stacklevel=3)


_file_numbers = itertools.count()
_caches: dict[tuple[str, str], ObjectCache] = {}
_warned: list[str] = []
