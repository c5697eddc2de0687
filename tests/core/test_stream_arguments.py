"""`stream=` of every public function and method: what it takes, and the wheel's exception for the rest."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from error_calls import variables
from test_error_tables import ENTRIES, arguments_of, check, public_names, raised_by

import tarry.core as mx
from oracle import mlx, requires_oracle

GOOD = ["None", "mx.cpu", "mx.Device(mx.cpu)", "mx.default_stream(mx.cpu)", "local"]
BAD: list[tuple[str, type[Exception], str]] = [
    ("5", TypeError, "not 5 of type int"),
    ("'cpu'", TypeError, "not 'cpu' of type str"),
    ("object()", TypeError, "of type object"),
    ("x", TypeError, "of type array"),
    ("mx.Stream", TypeError, "of type type"),
    ("mx.gpu", ValueError, "gpu"),
    ("mx.Device(mx.gpu, 1)", ValueError, "gpu"),
    ("mx.Device(mx.cpu, 1)", IndexError, r"Device\(cpu, 1\)"),
]

# Functions that may give their operand back: the wheel does not look at the device then.
UNUSED = {
    "conjugate", "imag", "real", "conj", "positive", "atleast_1d", "atleast_2d", "broadcast_arrays",
    "broadcast_to", "flatten", "split",
}  # fmt: skip
# Functions that streams are made for.
ABOUT_STREAMS = {"mx.set_default_stream", "mx.synchronize"}
# The same for methods of arrays, of which the tables have those with arguments.
PLAIN_METHODS = (
    "abs conj cos diag exp log log10 log1p log2 reciprocal reshape rsqrt sin sqrt square squeeze transpose"
)
METHOD_ARGUMENTS = {"reshape": "3, 2", "to_device": "mx.cpu"}


def space(module: Any) -> dict[str, Any]:
    return variables(module) | {"local": module.new_thread_local_stream(module.cpu)}


def has_stream(function: Any) -> bool:
    try:
        return "stream" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def good_calls() -> Iterator[tuple[str, str]]:
    """(function, call without its closing parenthesis) for what has a stream."""
    for head, specification in ENTRIES:
        if has_stream(eval(head, OURS)) and head not in ABOUT_STREAMS:
            yield head, f"{head}({', '.join([text for text, _ in arguments_of(specification)])}, stream="
    for name in PLAIN_METHODS.split() + ["to_device"]:
        head = "v.diag" if name == "diag" else f"x.{name}"
        arguments = METHOD_ARGUMENTS.get(name)
        yield head, f"{head}({arguments}, stream=" if arguments else f"{head}(stream="


OURS = space(mx)
THEIRS = space(mlx) if mlx is not None else {}
CALLS = list(good_calls())


def test_every_function_with_a_stream_is_called() -> None:
    """Those without a row in the tables are called by no other row either."""
    functions = {f"mx.{name}" for name in public_names()}
    methods = {f"x.{name}" for name in dir(mx.array) if not name.startswith("_")}
    with_stream = {head for head in functions if has_stream(eval(head, OURS))}
    with_stream |= {head for head in methods if has_stream(getattr(mx.array, head.removeprefix("x.")))}
    called = {head.replace("v.", "x.") for head, _ in CALLS}
    assert with_stream - called == ABOUT_STREAMS | {"mx.fast.precompiled_cuda_kernel"}


def test_streams_and_the_cpu_are_taken() -> None:
    problems = []
    for _, call in CALLS:
        for stream in GOOD:
            error = raised_by(f"{call}{stream})", OURS)
            if error is not None:
                problems.append(f"{call}{stream}): {type(error).__name__}: {error}")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("stream, exception, text", BAD, ids=[row[0] for row in BAD])
def test_anything_else_is_refused(stream: str, exception: type[Exception], text: str) -> None:
    problems = []
    for head, call in CALLS:
        try:
            check(f"{call}{stream})", head.rpartition(".")[2], exception, text)
        except AssertionError as problem:
            problems.append(str(problem).partition("\n")[0])
    assert not problems, "\n" + "\n".join(problems)


def test_other_takers_of_streams() -> None:
    """Functions whose stream is their subject, and kernels for hardware that is not here."""
    for stream, exception, text in BAD:
        check(f"mx.synchronize({stream})", "synchronize", exception, text)
    source = 'mx.fast.metal_kernel("double", ["x"], ["y"], "y[0] = x[0];")'
    call = f"{source}(inputs=[x], output_shapes=[(1,)], output_dtypes=[mx.float32], grid=(1, 1, 1), "
    check(f"{call}threadgroup=(1, 1, 1), stream=5)", "metal_kernel", TypeError, "not 5 of type int")


@requires_oracle
def test_the_wheel_refuses_the_same_streams() -> None:
    different = []
    for head, call in CALLS:
        if raised_by(f"{call}None)", THEIRS) is not None:
            continue  # no such function, or none with a stream
        for stream in GOOD:
            if raised_by(f"{call}{stream})", THEIRS) is not None:
                different.append(f"{call}{stream})")
        for stream, exception, _ in BAD:
            raised = raised_by(f"{call}{stream})", THEIRS)
            if type(raised) is not exception and not (raised is None and head.rpartition(".")[2] in UNUSED):
                different.append(f"{call}{stream}): {type(raised).__name__}")
    assert not different, "\n".join(different)
