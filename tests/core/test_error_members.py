"""Bad uses of every member of every public class: the wheel's exception, and a message with the name.

The table is in `error_members.py`; methods that take axes, flags and the like are in `error_calls.METHODS`.
"""

from __future__ import annotations

import ast
import inspect
import operator
import os
import traceback
from typing import Any

import pytest
from error_calls import METHODS, variables
from error_members import MEMBERS
from error_rows import ROWS
from test_error_tables import FUNCTIONS, raised_by

import tarry.core as mx
from oracle import mlx, requires_oracle

OURS = variables(mx) | {"op": operator}
THEIRS = variables(mlx) | {"op": operator} if mlx is not None else {}

# Members without a row in either table, and why.
PLAIN = [
    "abs", "conj", "cos", "exp", "log", "log10", "log1p", "log2", "reciprocal", "rsqrt", "sin", "sqrt",
    "square",
]  # fmt: skip
WITHOUT_ROWS = {f"array.{name}": "none but stream: test_stream_arguments.py" for name in PLAIN} | {
    "array.__div__": "__truediv__ by the name Python 2 had",
    "array.__rdiv__": "__rtruediv__ by the name Python 2 had",
    "DeviceType.cpu": "a constant",
    "DeviceType.gpu": "a constant",
    "StreamContext.__exit__": "takes anything",
}
# What makes a class, and what any value can be given to.
ORDINARY = {
    "__annotations__", "__delattr__", "__dict__", "__doc__", "__hash__", "__init__", "__module__", "__new__",
    "__reduce__", "__repr__", "__setattr__", "__slots__", "__str__", "__weakref__",
}  # fmt: skip

# What NumPy or a Python number says is passed on.
FOREIGN = {"array.__array__", "array.__dlpack__", "array.__format__"}

# Bad uses in whose place the wheel does something, or that it refuses with an exception that says less.
UNLIKE_THE_WHEEL = {
    "x[2**70]": "RuntimeError: std::bad_cast",
    "x[2**31]": "ValueError",
    "op.setitem(x + 0, (2**70), 1.0)": "RuntimeError: std::bad_cast",
    "op.setitem(x + 0, (2**31), 1.0)": "ValueError",
    "op.setitem(x + 0, (b, 0), 1.0)": "SystemError",
    "mx.DtypeCategory('x', None)": "ValueError: an enumeration",
    "setattr(mx.PrintOptions(1), 'precision', 5)": "sets it, without effect on what is printed",
    "mx.StreamContext(mx.gpu)": "raises the error when the context is entered",
    "mx.custom_function(lambda a: 'text')(x)": "gives the text",
    "x.reshape((3, 2), 1)": "leaves the 1 out",
    "x.transpose((1, 0), 1)": "leaves the 1 out",
    "x.__array__('nonsense')": "does not look at the argument",
    "x.__array__(5)": "does not look at the argument",
    "x.__dlpack__(max_version=5)": "does not look at the argument",
    "x.astype(mx.bfloat16).__dlpack__()": "exports it",
}
# These end the wheel's process, reach beyond its arrays, or change it for good.
HARMFUL = {
    "slice(None, None, 0)", "x.at[::0]", "x.reshape()", "format(s, 'd')", "x.at[99]", "x[99]", "x[-99]",
    "op.setitem(x + 0, (99)", "op.setitem(x + 0, (-99)", "(mx.floating, 'parent'",
}  # fmt: skip


def members(kind: type) -> set[str]:
    """The public members of a class and the operators it defines."""
    defined = {name for base in kind.__mro__ if base.__module__.startswith("tarry.") for name in vars(base)}
    special = {name for name in defined if name.startswith("__")} - ORDINARY
    if kind is not mx.array:
        special -= {"__eq__"}  # takes anything
    return {name for name in defined if not name.startswith("_")} | special


def public_classes() -> list[type]:
    return [value for name, value in inspect.getmembers(mx, inspect.isclass) if not name.startswith("_")]


def test_every_member_has_a_row() -> None:
    listed = set(MEMBERS) | {f"array.{name}" for _, names in METHODS for name in names.split()}
    classes = public_classes()
    assert mx.array in classes and mx.Device in classes
    wanted = {kind.__name__ for kind in classes}
    wanted |= {f"{kind.__name__}.{name}" for kind in classes for name in members(kind)}
    missing = wanted - listed - set(WITHOUT_ROWS)
    assert not missing, f"no row in error_members.py, no reason in WITHOUT_ROWS: {sorted(missing)}"


def raised_in_tarry(error: BaseException) -> bool:
    """Whether the house itself raised an exception, and not the interpreter when it made a call."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{os.sep}tarry{os.sep}" in last.filename and "raise" in (last.line or "")


@pytest.mark.parametrize("member", MEMBERS)
def test_bad_uses(member: str) -> None:
    problems = []
    for expression, exception, text in MEMBERS[member]:
        error = raised_by(expression, OURS)
        if type(error) is not exception:
            problems.append(f"{expression} raises {type(error).__name__}, not {exception.__name__}: {error}")
        elif not (str(error).startswith(text) if text.startswith("[") else text in str(error)):
            problems.append(f"{expression}: {text!r} is not in the message: {error}")
        elif member not in FOREIGN and raised_in_tarry(error) and not str(error).startswith("["):
            problems.append(f"{expression}: the message begins without a name: {error}")
    assert not problems, "\n" + "\n".join(problems)


def lacks(error: BaseException | None) -> bool:
    """Whether the wheel does not have what was asked for."""
    return isinstance(error, AttributeError) and "has no attribute" in str(error)


@requires_oracle
@pytest.mark.filterwarnings("ignore:nanobind")
def test_the_wheel_raises_the_same() -> None:
    different = set()
    for rows in MEMBERS.values():
        for expression, exception, _ in rows:
            if any(harmful in expression for harmful in HARMFUL):
                continue
            error = raised_by(expression, THEIRS)
            if type(error) is not exception and not lacks(error):
                different.add(expression)
    assert different == set(UNLIKE_THE_WHEEL), sorted(different ^ set(UNLIKE_THE_WHEEL))


def as_methods() -> list[tuple[str, type[Exception], str]]:
    """The rows of shapes and dtypes that do not fit, as calls of the method of the same name."""
    found = []
    for text, exception, said in ROWS:
        call = ast.parse(text, mode="eval").body
        assert isinstance(call, ast.Call)
        name = ast.unparse(call.func)
        kind = getattr(mx.array, name, None)
        known = inspect.signature(kind).parameters if callable(kind) else {}
        if call.args and all(keyword.arg in known for keyword in call.keywords) and known:
            method = ast.Call(ast.Attribute(call.args[0], name, ast.Load()), call.args[1:], call.keywords)
            found.append((ast.unparse(method), exception, said))
    return found


def test_shapes_and_dtypes_of_methods() -> None:
    rows = as_methods()
    assert len(rows) > 40
    problems = []
    for call, exception, said in rows:
        error = raised_by(call, OURS)
        if type(error) is not exception or not str(error).startswith("[") or said not in str(error):
            problems.append(f"{call}: {type(error).__name__}, not {exception.__name__} with {said}: {error}")
        if mlx is not None and type(raised_by(call, THEIRS)) is not exception:
            problems.append(f"{call}: {type(raised_by(call, THEIRS)).__name__} in the wheel")
    assert not problems, "\n" + "\n".join(problems)


def takes_any_keyword(function: Any) -> bool:
    kinds = [parameter.kind for parameter in inspect.signature(function).parameters.values()]
    return inspect.Parameter.VAR_KEYWORD in kinds


def takes_any_number(function: Any) -> bool:
    kinds = [parameter.kind for parameter in inspect.signature(function).parameters.values()]
    return inspect.Parameter.VAR_POSITIONAL in kinds


CALLABLES = [f"mx.{name}" for _, names in FUNCTIONS for name in names.split()]
CALLABLES += [f"x.{name}" for _, names in METHODS for name in names.split()]
OTHERS = ["reshape", "transpose", "squeeze", "diag", "item", "tolist"]
CALLABLES += [f"x.{name}" for name in PLAIN + OTHERS]


@pytest.mark.parametrize("framework", ["ours", pytest.param("theirs", marks=requires_oracle)])
def test_numbers_of_arguments(framework: str) -> None:
    """An unknown keyword and too many arguments are a TypeError everywhere."""
    space = OURS if framework == "ours" else THEIRS
    problems = []
    for head in CALLABLES:
        function = eval(head, OURS)
        calls = [] if takes_any_keyword(function) else [f"{head}(nonsense=1)"]
        if not takes_any_number(function):
            calls.append(f"{head}({', '.join(['x'] * 30)})")
        for call in calls:
            error = raised_by(call, space)
            if type(error) is not TypeError and not (space is THEIRS and lacks(error)):
                problems.append(f"{call}: {type(error).__name__} {error}")
    assert not problems, "\n" + "\n".join(problems)
