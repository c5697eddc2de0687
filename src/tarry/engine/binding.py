"""What is known while a plan is bound to one set of arguments."""

from __future__ import annotations

from collections.abc import Sequence

from tarry.codegen.gemm import GemmProblem


class Binder:
    """The values of a plan for one set of arguments, as they are found.

    `chunks` has the number of chunks of every kernel, by step; `problems` the variant and the sizes of every
    matrix product.
    """

    __slots__ = ("arguments", "chunks", "problems", "values")

    def __init__(self, arguments: Sequence[int], count: int) -> None:
        self.arguments = arguments
        self.values = [0] * count
        self.chunks: dict[int, int] = {}
        self.problems: dict[int, tuple[str, GemmProblem]] = {}
