"""Helpers for error messages: where in the user's program something was asked for."""

from __future__ import annotations

import os
import sys

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_OPERATIONS = (_PACKAGE + "ops" + os.sep, _PACKAGE + "graph" + os.sep)


class UserCall:
    """Which public operation the user asked for, and where: `take`, `file.py:12`."""

    __slots__ = ("name", "where")

    def __init__(self, name: str, where: str) -> None:
        self.name = name
        self.where = where


def user_call() -> UserCall:
    """The call that led here from outside Tarry, for errors that are raised at evaluation."""
    frame = sys._getframe(1)
    name = frame.f_code.co_name
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        if frame.f_code.co_filename.startswith(_OPERATIONS):
            name = frame.f_code.co_name
        frame = frame.f_back
    if name.startswith("__"):
        name = "index"  # a[i], a[i] = v
    return UserCall(name, f"{frame.f_code.co_filename}:{frame.f_lineno}")


def type_name(value: object) -> str:
    """The type of a value, as an error message calls it."""
    return type(value).__name__
