"""Options and places that benchmarks share."""

from pathlib import Path

import pytest

from tests.bench import figures


def pytest_addoption(parser: pytest.Parser) -> None:
    """For ./dev bench."""
    parser.addoption("--quick", action="store_true", help="trees of a tenth of the size, to see that a benchmark works")
    parser.addoption("--save", type=Path, metavar="FILE", help="keep the tables in this file, as JSON")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Benchmarks that failed told nothing, and what the others told is kept."""
    file: Path | None = session.config.getoption("--save")
    if file is not None:
        figures.save(file)


@pytest.fixture
def quick(request: pytest.FixtureRequest) -> bool:
    """Whether small trees will do."""
    return bool(request.config.getoption("--quick"))


@pytest.fixture
def packages(request: pytest.FixtureRequest) -> Path:
    """Where npm's packages are kept from one run to the next."""
    return request.config.rootpath / "build" / "bench"
