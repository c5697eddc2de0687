"""The public names are those of MLX, with its parameters.

`mlx_names.json` was taken from MLX 0.32: for each module or class its names (all of `mlx.core`; of the other
modules those that Tarry offers so far), with their parameters: `_` for one that goes by position only, what
follows `*` by keyword only; a list of lists for overloads, null where there is nothing to compare. A name
that is missing, differs, or is Tarry's own is listed with the reason in docs/beyond-mlx.md.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

import tarry.core as mx

NAMES: dict[str, dict[str, list[Any] | None]] = json.loads(
    (Path(__file__).parent / "mlx_names.json").read_text(encoding="utf-8")
)
ENTRIES = [(section, name) for section, names in NAMES.items() for name in names]
DTYPES = "bool_ uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64"


def listed_names() -> set[str]:
    """The names in the tables of docs/beyond-mlx.md under "Names"; `x.*` stands for all names of x."""
    page = (Path(__file__).parents[2] / "docs" / "beyond-mlx.md").read_text(encoding="utf-8")
    _, _, section = page.partition("\n## Names")
    rows = re.findall(r"^\| (`[^|]+) \|", section.partition("\n## ")[0], re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`mx\.([\w.*]+)`", row)}


LISTED = listed_names()


def is_excused(section: str, name: str) -> bool:
    """Whether a name may be missing or different."""
    full = f"{section}.{name}".removeprefix("mlx.core.")
    return full in LISTED or full.rpartition(".")[0] + ".*" in LISTED


def space_of(section: str) -> Any:
    """The module or class of Tarry for one of MLX."""
    first, *rest = section.replace("mlx", "tarry", 1).split(".")[1:]
    found: Any = importlib.import_module(f"tarry.{first}")
    for part in rest:
        found = getattr(found, part, None)
    return found


def parameters_of(value: Any) -> list[inspect.Parameter] | None:
    """The parameters without `self`; None where Python cannot tell or there are none to compare."""
    if isinstance(value, property) or not callable(value):
        return None
    try:
        found = list(inspect.signature(value).parameters.values())
    except (TypeError, ValueError):
        return None
    return found[1:] if found and found[0].name == "self" else found


@pytest.mark.parametrize("section, name", ENTRIES, ids=lambda text: text)
def test_name_exists(section: str, name: str) -> None:
    if is_excused(section, name):
        return
    assert hasattr(space_of(section), name), f"{section} has {name}, Tarry does not"


def mismatch(expected: list[str], found: list[inspect.Parameter]) -> str | None:
    """What a caller who follows MLX's parameters would stumble over."""
    by_name = {p.name: p for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    takes_any = any(p.kind == p.VAR_KEYWORD for p in found)
    takes_all = any(p.kind == p.VAR_POSITIONAL for p in found)
    positional = [p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    by_position = True
    for place, name in enumerate(expected):
        if name == "*":
            by_position = False
            continue
        if name != "_" and not takes_any and name not in by_name:
            return f"no parameter {name}"
        if name != "_" and name in by_name and by_name[name].kind == inspect.Parameter.POSITIONAL_ONLY:
            return f"{name} cannot be given by name"
        if not by_position or takes_all:
            continue
        if place >= len(positional):
            return f"takes {len(positional)} by position, not {place + 1}"
        if name != "_" and positional[place].name != name:
            return f"parameter {place + 1} is {positional[place].name}, not {name}"
    return None


@pytest.mark.parametrize("section, name", ENTRIES, ids=lambda text: text)
def test_parameters(section: str, name: str) -> None:
    expected = NAMES[section][name]
    value = getattr(space_of(section), name, None)
    found = parameters_of(value)
    if not expected or found is None or is_excused(section, name):
        return
    overloads = expected if isinstance(expected[0], list) else [expected]
    problems = [mismatch([p for p in overload if p != "self"], found) for overload in overloads]
    # One Python signature stands for all overloads: it has to serve one of them as written.
    assert None in problems, f"{section}.{name}{inspect.signature(value)}: {problems[0]}, MLX has {expected}"


def test_dtypes() -> None:
    for name in DTYPES.split():
        assert isinstance(getattr(mx, name), mx.Dtype)


def test_excuses_are_about_names_of_mlx() -> None:
    """Listed differences exist in MLX or are Tarry's own."""
    for name in LISTED:
        section, _, last = f"mlx.core.{name}".rpartition(".")
        known = last == "*" or last in NAMES.get(section, {}) or hasattr(space_of(section), last)
        assert known, f"docs/beyond-mlx.md lists mx.{name}, which nobody has"


def test_own_names_are_listed() -> None:
    """What `mx` offers and MLX does not is listed with its reason."""
    own = {name for name in mx.__all__ if name not in NAMES["mlx.core"] and not is_excused("mlx.core", name)}
    assert not own, f"list these in docs/beyond-mlx.md under Names: {sorted(own)}"


SPACES = [
    "fast", "fft", "linalg", "random", "metal", "cuda", "array", "Dtype", "Device", "Stream", "finfo",
    "iinfo", "ArrayAt", "PrintOptions",
]  # fmt: skip


@pytest.mark.parametrize("section", [f"mlx.core.{space}" for space in SPACES])
def test_own_names_of_modules_and_classes_are_listed(section: str) -> None:
    space = space_of(section)
    names = getattr(space, "__all__", None) or [name for name in dir(space) if not name.startswith("_")]
    own = {name for name in names if name not in NAMES[section] and not is_excused(section, name)}
    assert not own, f"list these names of {section} in docs/beyond-mlx.md under Names: {sorted(own)}"


def test_nothing_private_is_public() -> None:
    """`mx` holds what MLX has, the counters, and nothing that only came in with an import."""
    extra = [name for name in vars(mx) if not name.startswith("_") and inspect.ismodule(getattr(mx, name))]
    assert set(extra) <= {"random", "linalg", "fft", "fast", "metal", "cuda", "distributed"}, extra
    if hasattr(mx, "__all__"):
        assert all(hasattr(mx, name) for name in mx.__all__)
