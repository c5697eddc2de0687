"""Helpers for error messages: where in the user's program something was asked for."""

from __future__ import annotations

import functools
import os
import sys

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_OPERATIONS = (_PACKAGE + "ops" + os.sep, _PACKAGE + "graph" + os.sep)


class UserCall:
    """Which public operation the user asked for, and where: `take`, line 12 of `file.py`."""

    __slots__ = ("file", "line", "name")

    def __init__(self, name: str, file: str, line: int) -> None:
        self.name = name
        self.file = file
        self.line = line

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"


@functools.lru_cache(4096)
def _origin(file: str) -> int:
    """0 for a file outside Tarry, 1 for one inside, 2 for one with operations."""
    if file.startswith(_OPERATIONS):
        return 2
    return 1 if file.startswith(_PACKAGE) else 0


def user_call() -> UserCall:
    """The call that led here from outside Tarry, for errors that are raised at evaluation."""
    frame = sys._getframe(1)
    code = frame.f_code
    name = code.co_name
    while frame.f_back is not None:
        origin = _origin(code.co_filename)
        if origin == 0:
            break
        if origin == 2:
            name = code.co_name
        frame = frame.f_back
        code = frame.f_code
    if name.startswith("__"):
        name = "index"  # a[i], a[i] = v
    return UserCall(name, code.co_filename, frame.f_lineno)


def type_name(value: object) -> str:
    """The type of a value, as an error message calls it."""
    return type(value).__name__
