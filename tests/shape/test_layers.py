"""The layers point one way: a module imports only from layers below its own, and never inside a function
to dodge that."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "tarry"

# A room may import from itself, from rows above its own, and from the rooms named with it.
LAYERS: dict[str, int] = {
    "__version__": 0,
    "base": 0,
    "loops": 1,
    "runtime": 1,
    "graph": 2,
    "ops": 3,
    "transforms": 4,
    "compiler": 4,
    "codegen": 5,
    "engine": 6,
    "core": 7,
    "utils": 8,
    "nn": 9,
    "optimizers": 10,
    "demo": 11,
    "tools": 11,
}
# Files that import a lower layer where it is used, for a quicker start; never to dodge a circle.
DEFERRED = {"engine/native.py"}
# A module of the same room that is loaded on the first miss, by whom; it must not need its user.
LOADED_LATER = {"tarry.engine.planning": "engine/plans.py"}
LONGEST_FILE = 600
LONGEST_FUNCTION = 60
# The rooms that plain users of the public names live in may use the public names and trees only.
LIBRARIES = {"nn", "optimizers", "utils"}


def modules() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_names(node: ast.AST, path: Path) -> list[str]:
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{path}: relative imports hide where a name comes from"
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in names if name.startswith("tarry.")]


def imported_rooms(node: ast.AST, path: Path) -> list[str]:
    return [name.split(".")[1] for name in imported_names(node, path)]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    assert room in LAYERS, f"{room} is not in the table of layers"
    for node in ast.walk(ast.parse(path.read_text())):
        for other in imported_rooms(node, path):
            if other == room:
                continue
            assert LAYERS[other] < LAYERS[room], f"{path}: {room} may not import {other}"
            if room in LIBRARIES:
                assert other in {"core", "base", "utils", "nn"}, f"{path}: {room} may use core, not {other}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_import_inside_functions(path: Path) -> None:
    """Tarry's own modules are imported at the top; heavy libraries may be imported where they are used."""
    for outer in ast.walk(ast.parse(path.read_text())):
        if not isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        for node in ast.walk(outer):
            here = str(path.relative_to(SOURCE))
            for name in imported_names(node, path):
                lower = LAYERS[name.split(".")[1]] < LAYERS[room_of(path)]
                later = LOADED_LATER.get(name.rpartition(".")[0]) == here
                assert (here in DEFERRED and lower) or later, f"{path}: import of Tarry inside {outer.name}()"


@pytest.mark.parametrize("module", LOADED_LATER)
def test_what_is_loaded_later_does_not_need_its_user(module: str) -> None:
    seen: set[Path] = set()
    pending = [SOURCE / (module.removeprefix("tarry.").replace(".", "/") + ".py")]
    while pending:
        path = pending.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        for node in ast.walk(ast.parse(path.read_text())):
            for name in imported_names(node, path):
                parts = name.removeprefix("tarry.").split(".")
                pending += [SOURCE / ("/".join(parts[:count]) + ".py") for count in (1, 2)]
    assert len(seen) > 20 and SOURCE / LOADED_LATER[module] not in seen


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= LONGEST_FILE, f"{path} has more than {LONGEST_FILE} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            # A docstring explains; it does not make a function longer.
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            first = body[0].lineno if body else node.lineno
            assert (node.end_lineno or first) - first < LONGEST_FUNCTION, f"{path}: {node.name} is too long"


def test_files_of_tests_are_short() -> None:
    for path in sorted(Path(__file__).resolve().parents[1].rglob("*.py")):
        assert path.read_text().count("\n") <= LONGEST_FILE, f"{path} has more than {LONGEST_FILE} lines"


def test_only_assemble_touches_llvm() -> None:
    for path in modules():
        if "llvmlite" in path.read_text():
            text = path.read_text()
            imports = [line for line in text.splitlines() if "import" in line and "llvmlite" in line]
            assert not imports or path.name == "assemble.py", path
