"""One function at every level, as text: from the recorded graph to the LLVM text of its kernels.

    python -m tarry.tools.explain "mx.softmax(x, axis=-1)" --shape 8,16
    python -m tarry.tools.explain --update docs/gelu.md

Nothing is run: a function is recorded on its arguments and taken through the compiler's passes, one by one.
Sizes never show in what comes after the recorded graph, so the values of the arguments do not matter, and
with a named target the text is the same on every machine.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tarry.core as mx
from tarry.base import trees
from tarry.codegen.assemble import Target, assembler
from tarry.codegen.emit import emit_kernel
from tarry.codegen.expand import expand_kernel
from tarry.compiler.fuse import fuse
from tarry.compiler.lowered import LoweredKernel
from tarry.compiler.pipeline import lower, print_step
from tarry.compiler.program import symbolic_values
from tarry.compiler.simplify import simplify
from tarry.engine.evaluate import evaluate
from tarry.engine.keying import record
from tarry.graph.array import array
from tarry.graph.node import Node
from tarry.graph.subgraph import Expanded
from tarry.graph.tracing import run_lock
from tarry.graph.walk import print_graph
from tarry.loops.text import print_kernel

LEVELS = {
    "graph": "the recorded graph",
    "values": "values whose sizes are symbols",
    "simplified": "after simplification",
    "fused": "groups, one for each kernel",
    "nest": "loop nests",
    "expanded": "loop nests of basic operations",
    "llvm": "LLVM text",
    "assembly": "assembly, beginning",
}
# Assembly is long, and its beginning shows the style.
SHOWN_ASSEMBLY_LINES = 80

_BLOCK = re.compile(
    r"<!-- explain: (?P<request>[^\n]*?) -->\n```(?P<language>\w*)\n(?P<text>.*?)```\n", re.DOTALL
)


class ExplainError(ValueError):
    """What was asked cannot be explained: nothing to compute, an unknown level, a page without a source."""


def explain_levels(function: Callable[..., Any], *args: Any, target: str = "avx2") -> dict[str, str]:
    """The text of every level (the keys of `LEVELS`) of what `function(*args)` records.

    `target` is "avx2", "avx512", "sse2", "neon" or "host".

    Errors: ExplainError when the function's result holds no arrays that have yet to be computed; ValueError
    for an unknown target.
    """
    machine = Target.named(target)
    _evaluate_arrays(args)
    result = function(*args)
    outputs = [leaf._node for leaf in trees.leaves([result]) if isinstance(leaf, array)]
    with run_lock:
        recorded = record([node for node in outputs if node.storage is None])
    if not recorded.nodes:
        raise ExplainError("[explain] The function recorded nothing: its result needs no computation.")
    found = {"graph": print_graph(outputs)}
    # Passes may change values in place, so each level becomes text before the next pass runs.
    graph = symbolic_values(recorded.program(Expanded(recorded.nodes)))
    found["values"] = str(graph)
    graph = simplify(graph)
    found["simplified"] = str(graph)
    fusion = fuse(graph)
    found["fused"] = str(fusion)
    steps = lower(fusion).steps
    found["nest"] = "\n".join(print_step(number, step) for number, step in enumerate(steps))
    expanded = [expand_kernel(step.kernel, machine) for step in steps if isinstance(step, LoweredKernel)]
    found["expanded"] = "\n".join(print_kernel(kernel) for kernel in expanded)
    texts = [emit_kernel(kernel, machine).text for kernel in expanded]
    found["llvm"] = "\n".join(texts)
    found["assembly"] = "\n".join(_head(assembler.assembly_text(text, machine)) for text in texts)
    return {level: text.rstrip("\n") for level, text in found.items()}


def explain(function: Callable[..., Any], *args: Any, target: str = "avx2") -> str:
    """Everything `explain_levels` finds, one level after the other under headings.

    Errors: as for `explain_levels`.

    Example:
        >>> text = explain(lambda x: mx.exp(x) + 1, mx.zeros((3, 4)))
        >>> text.splitlines()[0]
        '=== graph: the recorded graph'
    """
    levels = explain_levels(function, *args, target=target)
    return "\n\n".join(f"=== {level}: {LEVELS[level]}\n{text}" for level, text in levels.items()) + "\n"


def _evaluate_arrays(args: Sequence[Any]) -> None:
    """Arguments are leaves: what they were made of is not part of the function."""
    nodes: list[Node] = [leaf._node for leaf in trees.leaves(list(args)) if isinstance(leaf, array)]
    evaluate([node for node in nodes if node.storage is None])


def _head(text: str) -> str:
    return "\n".join(text.splitlines()[:SHOWN_ASSEMBLY_LINES])


def update_page(text: str) -> str:
    """A page with its marked blocks made anew.

    A block is a fenced one after `<!-- explain: REQUEST -->`. The request `source` marks Python that defines
    `function` and `arguments` (a tuple); it is run and left as it is. Other requests name a level, followed
    by what part to show: nothing for all of it, `3-20` for these lines, `/from/ 10` for ten lines starting
    at the first one that contains "from".

    Errors: ExplainError for a page without a source, an unknown level, or a part that is not there.
    """
    source = next((block for block in _BLOCK.finditer(text) if block["request"] == "source"), None)
    if source is None:
        raise ExplainError("[explain] The page has no block marked <!-- explain: source -->.")
    names: dict[str, Any] = {"mx": mx, "np": np}
    exec(source["text"], names)
    levels = explain_levels(names["function"], *names["arguments"])

    def renew(block: re.Match[str]) -> str:
        request = block["request"]
        if request == "source":
            return block[0]
        shown = _part(levels, request)
        return f"<!-- explain: {request} -->\n```{block['language']}\n{shown}\n```\n"

    return _BLOCK.sub(renew, text)


def _part(levels: dict[str, str], request: str) -> str:
    """The lines of a level that a block asks for."""
    level, _, part = request.partition(" ")
    if level not in levels:
        raise ExplainError(f"[explain] Unknown level {level!r}; expected one of {', '.join(LEVELS)}.")
    lines = levels[level].splitlines()
    if not part:
        return "\n".join(lines)
    numbers = re.fullmatch(r"(\d+)-(\d+)", part)
    if numbers:
        first, last = int(numbers[1]) - 1, int(numbers[2])
    else:
        start = re.fullmatch(r"/(.+)/ (\d+)", part)
        if start is None:
            raise ExplainError(f"[explain] Cannot read the part {part!r}; expected 3-20 or /from/ 10.")
        first = next((number for number, line in enumerate(lines) if start[1] in line), len(lines))
        last = first + int(start[2])
    if first >= len(lines):
        raise ExplainError(f"[explain] The level {level} has no part {part!r}.")
    before = ["..."] if first else []
    after = ["..."] if last < len(lines) else []
    return "\n".join([*before, *lines[first:last], *after])


def parse_shape(text: str) -> tuple[int, ...]:
    """An argparse type: extents with commas between them; nothing for a scalar."""
    try:
        shape = tuple(int(extent) for extent in text.split(",") if extent.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected extents like 8,16, got {text!r}") from None
    if any(extent < 0 for extent in shape):
        raise argparse.ArgumentTypeError(f"extents must not be negative, got {text!r}")
    return shape


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tarry.tools.explain",
        description="Print what an expression in x (and y) becomes at every level of the compiler.",
    )
    parser.add_argument("expression", nargs="?", help='Python, for example "mx.exp(x) + 1"')
    parser.add_argument("--shape", type=parse_shape, default=(1000, 1000), help="of x and y, like 8,16")
    parser.add_argument("--dtype", default="float32", help="of x and y")
    parser.add_argument("--target", default="avx2", help="avx2, avx512, sse2, neon or host")
    parser.add_argument("--level", choices=list(LEVELS), help="print this level only")
    parser.add_argument("--update", type=Path, metavar="PAGE", help="make the marked blocks of a page anew")
    options = parser.parse_args(arguments)
    if (options.expression is None) == (options.update is None):
        parser.error("give either an expression or --update PAGE")
    if not isinstance(getattr(mx, options.dtype, None), mx.Dtype):
        parser.error(f"unknown dtype {options.dtype!r}")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run the tool; the result is the exit status."""
    options = parse_arguments(arguments)
    try:
        if options.update is not None:
            page = options.update.read_text(encoding="utf-8")
            options.update.write_text(update_page(page), encoding="utf-8")
            return 0
        x = mx.zeros(options.shape, dtype=getattr(mx, options.dtype))
        y = mx.ones(options.shape, dtype=getattr(mx, options.dtype))
        function = eval(f"lambda x, y: {options.expression}", {"mx": mx})
        if options.level is None:
            print(explain(function, x, y, target=options.target), end="")
        else:
            print(explain_levels(function, x, y, target=options.target)[options.level])
    except (OSError, SyntaxError, ValueError) as error:
        print(f"[tarry.tools.explain] {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
