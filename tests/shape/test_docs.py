"""The documents say what is so: pages made by tools are current, and every setting is in the tables."""

from __future__ import annotations

import ast
import doctest
import re
from pathlib import Path

import pytest

from tarry.tools import explain

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "tarry"
MOST_SETTINGS = 20


def test_gelu_page_is_current() -> None:
    """Otherwise: python -m tarry.tools.explain --update docs/gelu.md, then read the difference."""
    page = (ROOT / "docs" / "gelu.md").read_text(encoding="utf-8")
    assert explain.update_page(page) == page


def test_gelu_page_shows_every_level_but_assembly() -> None:
    page = (ROOT / "docs" / "gelu.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"<!-- explain: (\w+)", page))
    assert shown == set(explain.LEVELS) - {"assembly"} | {"source"}


def strings_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def settings_table() -> set[str]:
    text = ast.get_docstring(ast.parse((SOURCE / "base" / "settings.py").read_text(encoding="utf-8")))
    assert text is not None
    return set(re.findall(r"^\| (TARRY_\w+) \|", text, re.MULTILINE))


def test_every_environment_variable_is_in_the_table() -> None:
    read = {
        text
        for path in SOURCE.rglob("*.py")
        for text in strings_of(path)
        if re.fullmatch(r"TARRY_[A-Z_]+", text)
    }
    assert read == settings_table()
    assert len(read) < MOST_SETTINGS


def test_only_settings_reads_the_environment() -> None:
    for path in sorted(SOURCE.rglob("*.py")):
        if path == SOURCE / "base" / "settings.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("environ", "getenv"), f"{path}:{node.lineno} reads the environment"


def test_the_architecture_page_names_every_setting() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(TARRY_\w+)`", page))
    assert named == settings_table()


@pytest.mark.parametrize(
    "name",
    ["README.md", "docs/architecture.md", "docs/gelu.md", "docs/beyond-mlx.md", "docs/array-api.md"],
)
def test_links_lead_somewhere(name: str) -> None:
    path = ROOT / name
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (path.parent / target).exists(), f"{name} links to {target}"


# the tool behind the page


def test_explain_prints_every_level(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain.main(["mx.softmax(x, axis=-1)", "--shape", "4,8"]) == 0
    printed = capsys.readouterr().out
    assert re.findall(r"^=== (\w+):", printed, re.MULTILINE) == list(explain.LEVELS)
    assert explain.main(["x + y", "--dtype", "int16", "--target", "sse2", "--level", "llvm"]) == 0
    assert "<8 x i16>" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["x"], "recorded nothing"),
        (["x +"], "invalid syntax"),
        (["mx.reshape(x, (7,))", "--shape", "4"], "reshape"),
        (["x + 1", "--target", "vax"], "Unknown target 'vax'"),
        (["--update", "missing.md"], "missing.md"),
    ],
)
def test_explain_reports_errors(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain.main(arguments) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["x", "--shape", "a"], ["x", "--shape", "-1"], ["x", "--dtype", "f"]]
)
def test_explain_refuses_bad_options(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        explain.main(arguments)
    assert "error" in capsys.readouterr().err


@pytest.mark.parametrize(
    "page, message",
    [
        ("no blocks", "no block marked"),
        ("graf", "Unknown level 'graf'"),
        ("graph 90-99", "no part '90-99'"),
        ("graph /nowhere/ 3", "no part '/nowhere/ 3'"),
        ("graph some", "Cannot read the part 'some'"),
    ],
)
def test_explain_refuses_bad_pages(page: str, message: str) -> None:
    source = "<!-- explain: source -->\n```python\nfunction, arguments = mx.exp, (mx.ones(3),)\n```\n"
    text = page if page == "no blocks" else f"{source}<!-- explain: {page} -->\n```text\n```\n"
    with pytest.raises(explain.ExplainError, match=re.escape(message)):
        explain.update_page(text)


def test_examples_of_the_comparison_run() -> None:
    found = doctest.testfile(
        str(ROOT / "docs" / "beyond-mlx.md"), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert found.attempted > 15 and found.failed == 0
