"""Options and places that benchmarks share."""

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """For ./dev bench."""
    parser.addoption("--quick", action="store_true", help="trees of a tenth of the size, to see that a benchmark works")


@pytest.fixture
def quick(request: pytest.FixtureRequest) -> bool:
    """Whether small trees will do."""
    return bool(request.config.getoption("--quick"))


@pytest.fixture
def packages(request: pytest.FixtureRequest) -> Path:
    """Where npm's packages are kept from one run to the next."""
    return request.config.rootpath / "build" / "bench"
