"""Bad calls of every public function: the wheel's exception, and a message that names the function.

The table of functions and of what their parameters refuse is in `error_calls.py`, that of shapes and dtypes
that do not fit in `error_rows.py`. Where the wheel is installed the same calls are made there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from error_calls import FUNCTIONS, KINDS, METHODS, Row, variables
from error_rows import ROWS

import tarry.core as mx
from oracle import mlx, requires_oracle

OURS = variables(mx)
THEIRS = variables(mlx) if mlx is not None else {}

# Functions that are other names, or that leave it to another function to complain.
ALIASES = {
    "asarray": "array", "acos": "arccos",
    "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan",
    "atan2": "arctan2", "atanh": "arctanh", "bitwise_left_shift": "left_shift",
    "bitwise_right_shift": "right_shift", "concat": "concatenate", "conj": "conjugate",
    "cumulative_prod": "cumprod", "cumulative_sum": "cumsum", "empty": "zeros", "empty_like": "zeros_like",
    "identity": "eye", "matrix_norm": "norm", "percentile": "quantile", "permute_dims": "transpose",
    "pow": "power", "set_printoptions": "printoptions", "PrintOptions": "printoptions",
    "StreamContext": "stream", "kernel": "metal_kernel",
}  # fmt: skip

# Public names without a row, and why.
WITHOUT_ROWS = {
    "ArrayAt": "made by indexing `a.at`",
    "Dtype": "not made by callers",
    "DtypeCategory": "not made by callers",
    "DeviceType": "an enumeration",
    "Stream": "cannot be made",
    "ThreadLocalStream": "cannot be made",
    "async_eval": "takes anything",
    "eval": "takes anything",
    "clear_cache": "no arguments",
    "clear_streams": "no arguments",
    "counters": "no arguments",
    "default_device": "no arguments",
    "disable_compile": "no arguments",
    "enable_compile": "no arguments",
    "get_active_memory": "no arguments",
    "get_cache_memory": "no arguments",
    "get_memory_limit": "no arguments",
    "get_peak_memory": "no arguments",
    "get_printoptions": "no arguments",
    "reset_peak_memory": "no arguments",
    "get_array_buffer_size": "takes an array of any kind: test_array.py",
    "fast.metal_kernel": "there is no GPU: test_fast.py",
    "fast.cuda_kernel": "there is no GPU: test_fast.py",
    "fast.precompiled_cuda_kernel": "there is no GPU: test_fast.py",
}

# Bad calls that the wheel takes, or refuses with an exception that says less.
UNLIKE_THE_WHEEL = {
    "mx.matrix_norm(x, 'fro', 99, False)": "counts the axes before it looks at them",
    "mx.matrix_norm(x, 'fro', -99, False)": "counts the axes before it looks at them",
    "mx.linalg.eigh(q3, 'nonsense')": "takes any word for 'L'",
    "mx.linalg.eigvalsh(q3, 'nonsense')": "takes any word for 'L'",
    "mx.linalg.norm(x, 2, (0, 0), False)": "takes one axis twice",
    "mx.random.permutation(2**70, 0, k)": "RuntimeError: std::bad_cast",
}


def arguments_of(specification: str) -> list[tuple[str, str]]:
    """The arguments of an entry, as (keyword= and expression, kind)."""
    return [(text, kind) for text, _, kind in [part.rpartition("~") for part in specification.split("; ")]]


def bad_calls(head: str, specification: str) -> Iterator[tuple[str, Row]]:
    """The calls with one argument replaced by a bad one, and what each of them raises."""
    arguments = arguments_of(specification)
    for place, (text, kind) in enumerate(arguments):
        keyword = re.match(r"(\w+=)?", text)
        assert keyword is not None
        for row in KINDS[kind]:
            given = [other for other, _ in arguments]
            given[place] = keyword.group() + row[0]
            yield f"{head}({', '.join(given)})", row


def raised_by(call: str, space: dict[str, Any]) -> BaseException | None:
    """The exception of a call, whose result is not computed."""
    try:
        eval(call, dict(space))
    except Exception as error:
        return error
    return None


def check(call: str, name: str, exception: type[Exception], text: str) -> None:
    error = raised_by(call, OURS)
    assert error is not None, f"{call} is accepted"
    assert type(error) is exception, f"{call} raises {type(error).__name__}: {error}"
    message = str(error)
    allowed = {name, ALIASES.get(name, name)}
    given = message.partition("]")[0].removeprefix("[")
    assert given in allowed, f"{call}: the message does not start with [{name}]: {message}"
    assert re.search(text, message), f"{call}: {text!r} is not in the message: {message}"


ENTRIES = [(f"mx.{name}", specification) for specification, names in FUNCTIONS for name in names.split()]
ENTRIES += [(f"x.{name}", specification) for specification, names in METHODS for name in names.split()]


@pytest.mark.parametrize("head, specification", ENTRIES, ids=[head for head, _ in ENTRIES])
def test_wrong_arguments(head: str, specification: str) -> None:
    problems = []
    for call, (_, exception, text) in bad_calls(head, specification):
        try:
            check(call, head.rpartition(".")[2], exception, text)
        except AssertionError as problem:
            problems.append(str(problem).partition("\n")[0])
    assert not problems, "\n" + "\n".join(problems)


def test_good_calls() -> None:
    """The calls that the bad ones differ from in one argument are good."""
    for head, specification in ENTRIES:
        if "limit" in head:
            continue
        call = f"{head}({', '.join([text for text, _ in arguments_of(specification)])})"
        error = raised_by(call, OURS)
        assert error is None, f"{call}: {error}"


def test_shapes_and_dtypes() -> None:
    problems = []
    for call, exception, text in ROWS:
        try:
            check(f"mx.{call}", call.partition("(")[0].rpartition(".")[2], exception, re.escape(text))
        except AssertionError as problem:
            problems.append(str(problem).partition("\n")[0])
    assert not problems, "\n" + "\n".join(problems)


SPACES = {"": mx, "fft.": mx.fft, "linalg.": mx.linalg, "random.": mx.random, "fast.": mx.fast}


def public_names() -> Iterator[str]:
    for prefix, space in SPACES.items():
        reference = space if mlx is None else getattr(mlx, prefix.rstrip("."), mlx)
        shown = [name for name in dir(reference) if not name.startswith("_")]
        names = getattr(space, "__all__", None) or shown
        for name in names:
            if callable(getattr(space, name, None)):
                yield prefix + name


def test_every_public_function_has_a_row() -> None:
    listed = {name for _, names in FUNCTIONS for name in names.split()}
    missing = set(public_names()) - listed - set(WITHOUT_ROWS)
    assert not missing, f"no row in error_calls.py, no reason in WITHOUT_ROWS: {sorted(missing)}"


def same_type(call: str, exception: type[Exception]) -> bool:
    """Whether the wheel raises an exception of this type; True for functions that it does not have."""
    error = raised_by(call, THEIRS)
    if isinstance(error, AttributeError) and "has no attribute" in str(error):
        return True
    return type(error) is exception


@requires_oracle
def test_the_wheel_raises_the_same() -> None:
    calls = [(call, row[1]) for head, text in ENTRIES for call, row in bad_calls(head, text)]
    calls += [(f"mx.{call}", exception) for call, exception, _ in ROWS]
    # Sizes beyond 32 bits end its process in some functions.
    calls = [(call, exception) for call, exception in calls if "2**40, 2**40" not in call]
    different = [call for call, exception in calls if not same_type(call, exception)]
    unexpected = sorted(set(different) - set(UNLIKE_THE_WHEEL))
    assert not unexpected, "\n".join(unexpected)
    assert set(UNLIKE_THE_WHEEL) <= set(different), "these are alike now: take them from the list"
