"""From a recorded graph to the recipe of its plan: through the compiler.

Imported when a plan is neither in memory nor on disk; a warm start does without all of the compiler.
"""

from __future__ import annotations

from tarry.compiler.pipeline import Compiled, compile_program
from tarry.engine.keying import Recorded
from tarry.engine.layout import lay_out
from tarry.engine.recipe import Recipe
from tarry.graph.subgraph import Expanded


def make_recipe(recorded: Recorded) -> tuple[Recipe, Compiled]:
    """The recipe for a recorded graph, and what the compiler made of it."""
    expanded = Expanded(recorded.nodes)
    compiled = compile_program(recorded.program(expanded))
    leaf_sizes = [leaf.dtype.size for leaf in recorded.leaves]
    return lay_out(compiled, leaf_sizes, expanded.origins), compiled
