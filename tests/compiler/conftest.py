"""Golden texts: `pytest tests/compiler --update-golden` writes them anew."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden texts anew")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    # The option is known only when this directory is named on the command line.
    return bool(request.config.getoption("--update-golden", default=False))
