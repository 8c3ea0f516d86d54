"""What holds for every test: nothing is skipped, nothing is left behind, nothing is said that was not expected.

Tests write below `tmp_path`, and the program under test keeps its state and configuration in directories of the
test's own.
"""

import os
import signal
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.leaks import Leaks
from tests.support.messages import MessageCollector, Messages
from tests.support.nobody import nobodys_directory

hypothesis.settings.register_profile(
    "sweeper",
    deadline=None,  # the machine is shared: a slow example proves nothing
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("sweeper")

#: What the terminal that the tests are started from has to say about output is not for the programs under test.
_TERMINAL = ("COLORTERM", "COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")

_collector = MessageCollector()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--allow-skips", action="store_true", help="let a test be skipped; otherwise it has failed")
    parser.addoption("--every-step", action="store_true", help="change the volume before every step, not every second")
    parser.addoption("--kills", type=int, default=240, help="how often tests/sweep/test_killed.py kills (about)")
    parser.addoption("--every-fault", action="store_true", help="let every operation of a removal fail in every way")


@pytest.hookimpl(trylast=True)  # once pytest-qt has imported Qt
def pytest_configure(config: pytest.Config) -> None:
    for name in [name for name in os.environ if name.startswith("SWEEPER_") or name in _TERMINAL]:
        del os.environ[name]
    os.environ |= {"QT_QPA_PLATFORM": "offscreen", "LC_ALL": "C.UTF-8", "TZ": "UTC", "TERM": "xterm-256color"}
    time.tzset()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup hands down that it is ignored, and the program respects that
    _collector.start()


def pytest_unconfigure(config: pytest.Config) -> None:
    _collector.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not hasattr(report, "wasxfail"):
        _refuse_skip(item.config, report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(collector.config, report)
    return report


def _refuse_skip(config: pytest.Config, report: pytest.TestReport | pytest.CollectReport) -> None:
    """What a test needs is installed by ./dev: one that is skipped proves nothing and must not look like success."""
    if report.skipped and not config.getoption("--allow-skips"):
        report.outcome = "failed"
        report.longrepr = f"a skipped test is a failure here: {report.longrepr}"


@pytest.fixture
def messages() -> Messages:
    """The warnings that the program and Qt give during this test; `expect` announces those that are meant."""
    return _collector.current


@pytest.fixture
def nobodys() -> Iterator[Path]:
    """A directory of the user nobody, for tests of permissions (see tests/support/nobody.py)."""
    with nobodys_directory() as directory:
        yield directory


@pytest.fixture(autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Made before and asked after all other fixtures of the test."""
    _collector.current = said = Messages()
    leaks = Leaks(tmp_path_factory.getbasetemp(), with_qt="qapp" in request.fixturenames)
    yield
    problems = [f"left behind: {leak}" for leak in leaks.found()] + said.problems()
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture(autouse=True)
def _own_state(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    """The program's state and configuration: directories of the test's own, which it makes when it needs them."""
    home: Path = tmp_path_factory.getbasetemp() / f"home-{abs(hash(request.node.nodeid)):x}"
    monkeypatch.setenv("SWEEPER_STATE_DIR", str(home / "state"))
    for name in ("CONFIG", "STATE", "CACHE", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
