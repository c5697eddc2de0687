"""Search many random programs for a fault, and reduce those that fail: run by hand, not by pytest.

    python tests/core/search_programs.py exact 0 1000

draws the programs of seeds 0 to 999 and runs each in all the ways of `test_program_modes`. The kinds are
exact, smooth and double.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from program_kinds import DoubleMaker, ExactMaker, SmoothMaker
from program_maker import Maker, Program, Step
from test_program_modes import WAYS, assert_equal, assert_near, check_gradients, draw, step_by_step

KINDS: dict[str, type[Maker]] = {"exact": ExactMaker, "smooth": SmoothMaker, "double": DoubleMaker}


def failure(program: Program, kind: str) -> Exception | None:
    """What goes wrong with a program."""
    try:
        expected, tolerance = step_by_step(program)
        for way in WAYS:
            for found, value in zip(way(program), expected, strict=True):
                if kind == "exact":
                    assert_equal(found, value)
                else:
                    assert_near(found, value, tolerance)
        if kind == "double":
            check_gradients(program)
    except Exception as error:
        return error
    return None


def smaller(program: Program) -> Iterator[Program]:
    """The program with one wanted value less, or with an operand in the place of a step's value."""
    if len(program.wanted) > 1:
        for number in program.wanted:
            kept = [other for other in program.wanted if other != number]
            yield Program(program.leaves, program.steps, kept).needed()
    for place, step in enumerate(program.steps):
        number = len(program.leaves) + place
        for operand in step.operands:
            steps = [
                Step(s.text, [operand if other == number else other for other in s.operands])
                for s in program.steps
            ]
            wanted = [operand if other == number else other for other in program.wanted]
            yield Program(program.leaves, steps, wanted).needed()


def reduced(program: Program, kind: str, error: Exception) -> Program:
    """A program with fewer steps that fails with an exception of the same type."""
    size = len(program.steps) + len(program.wanted)
    for other in smaller(program):
        if len(other.steps) + len(other.wanted) < size and type(failure(other, kind)) is type(error):
            return reduced(other, kind, error)
    return program


def main(kind: str, start: int, count: int) -> None:
    failed = 0
    for seed in range(start, start + count):
        program = draw(KINDS[kind], Random(seed))
        error = failure(program, kind)
        if error is not None:
            failed += 1
            least = reduced(program, kind, error)
            print(f"seed {seed}: {type(error).__name__}: {failure(least, kind)}\n{least!r}\n", flush=True)
    print(f"{count} {kind} programs, {failed} failed")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
