"""Recipes of plans on disk: what a process planned once, the next one only reads.

An entry belongs to a key of `engine.keying`, whose numbers are the same in every process, and to everything
that a recipe depends on besides: the files of Tarry, the machine, the version of Python.
"""

from __future__ import annotations

import functools
import pickle
import sys
from array import array as integers

from tarry.base.settings import settings
from tarry.codegen.assemble import Target
from tarry.codegen.cache import Entry, ObjectCache, entry_key, plan_cache, source_version
from tarry.engine.keying import Recorded
from tarry.engine.recipe import Recipe
from tarry.graph.primitive import is_portable
from tarry.runtime.counters import counters

# Where what decides a recipe is written.
_FOLDERS = ("base", "loops", "runtime", "graph", "ops", "compiler", "codegen", "engine")


def recall_recipe(recorded: Recorded) -> Recipe | None:
    """The recipe that is kept for the key of a recorded graph."""
    cache = _cache_for(recorded)
    if cache is None:
        return None
    entry = cache.read(_disk_key(recorded))
    if entry is None:
        return None
    try:
        recipe = pickle.loads(entry.object_bytes)
    except Exception:
        counters.cache_damaged += 1
        return None
    return recipe if isinstance(recipe, Recipe) else None


def remember_recipe(recorded: Recorded, recipe: Recipe) -> None:
    """Keep a recipe for the next process, if that could use it."""
    cache = _cache_for(recorded)
    if cache is not None and recipe.portable:
        cache.write(_disk_key(recorded), Entry(pickle.dumps(recipe, 5), ()))


def _cache_for(recorded: Recorded) -> ObjectCache | None:
    """None where plans are made anew: somebody wants to look at the passes, or an operation is not known."""
    if settings.watching:
        return None
    for node in recorded.nodes:
        if node.primitive is None or not is_portable(node.primitive.key):
            return None
    return plan_cache()


def _disk_key(recorded: Recorded) -> str:
    return entry_key((_versions(), *Target.host().key, integers("q", recorded.key).tobytes().hex()))


@functools.cache
def _versions() -> str:
    return f"{sys.version} {source_version(_FOLDERS)}"
