"""Names that are imported when somebody asks for them: all there, and type checkers see the same."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from program_runner import run_for_json

import tarry.core as mx
from tarry.core import _later


def imports_for_checkers() -> dict[str, str]:
    """What core/__init__ imports under TYPE_CHECKING: for each name the module, or module and other name."""
    assert mx.__file__ is not None
    tree = ast.parse(Path(mx.__file__).read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    assert len(blocks) == 1
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in blocks[0].body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_type_checkers_see_the_same_names() -> None:
    at_run_time = dict(_later.MODULES)
    at_run_time |= {name: ".".join(place) for name, place in _later._PLACES.items()}
    assert imports_for_checkers() == at_run_time
    assert set(at_run_time) <= set(mx.__all__)


def test_every_name_is_there() -> None:
    assert set(mx.__all__) <= set(dir(mx))
    for name in mx.__all__:
        assert getattr(mx, name) is getattr(mx, name)
    assert mx.matrix_norm is mx.linalg.norm
    with pytest.raises(AttributeError, match="no attribute 'sorted'"):
        _ = mx.sorted  # type: ignore[attr-defined]


def test_forms_of_import() -> None:
    program = """
        import json, sys
        import tarry.core as mx
        early = "tarry.ops.sorting" in sys.modules or "tarry.core.linalg" in sys.modules
        from tarry.core import linalg, sort
        import tarry.core.fft
        listed = set(mx.__all__) <= set(dir(mx))
        from tarry.core import *
        print(json.dumps([early, listed, linalg is mx.linalg, sort is mx.sort, fft is tarry.core.fft,
                          hamming(3).tolist()[1]]))
    """
    assert run_for_json(program) == [False, True, True, True, True, 1.0]
