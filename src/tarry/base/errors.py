"""Helpers for error messages: where in the user's program something was asked for."""

from __future__ import annotations

import os
import sys

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def user_location() -> str:
    """`file.py:12` of the nearest caller outside Tarry, for errors that are raised at evaluation."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def type_name(value: object) -> str:
    """The type of a value, as an error message calls it."""
    return type(value).__name__
