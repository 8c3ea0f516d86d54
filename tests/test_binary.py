"""The standalone programs do the whole job: they list, sweep, and open the window, each with an engine of its own."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.display import display
from tests.support.programs import PROGRAMS, built_programs
from tests.support.volume import FakeVolume

pytestmark = pytest.mark.timeout(900)  # the first of them builds


@pytest.fixture(scope="session")
def programs() -> Path:
    return built_programs()


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest, programs: Path) -> Path:
    return programs.joinpath(request.param)


@pytest.fixture
def volume(tmp_path: Path) -> FakeVolume:
    volume = FakeVolume(tmp_path / "efs")
    volume.live("live", entries=20)
    volume.deleted("deleted", entries=20)
    volume.unexplained("unexplained", entries=20)
    (tmp_path / "sweeper.toml").write_text(volume.settings(min_age="1s"))
    return volume


def environment(**more: str) -> dict[str, str]:
    """Nothing of this Python, so that the program brings everything itself."""
    dropped = ("PYTHON", "VIRTUAL_ENV", "LD_", "QT_", "DISPLAY")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)} | more


def run(program: Path, config: Path, *arguments: str) -> Any:
    done = subprocess.run(
        [program, "--config", config, *arguments],
        env=environment(),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def old_enough(volume: FakeVolume) -> None:
    """Waits until everything is older than the second that the settings ask for."""
    newest = max(path.lstat().st_ctime for path in volume.root.rglob("*"))
    time.sleep(max(0.0, newest + 1.1 - time.time()))


def test_it_lists_and_sweeps(program: Path, volume: FakeVolume, tmp_path: Path):
    old_enough(volume)
    listed = run(program, tmp_path / "sweeper.toml", "list", "--json")
    assert {workspace["name"]: workspace["status"] for workspace in listed["workspaces"]} == {
        "live": "live",
        "deleted": "orphan",
        "unexplained": "orphan",
    }
    swept = run(program, tmp_path / "sweeper.toml", "sweep", "--yes", "--json")
    assert {outcome["name"]: outcome["outcome"] for outcome in swept["outcomes"]} == {
        "deleted": "removed",
        "unexplained": "set-aside",
    }
    assert volume.names() == {"live"}


@contextmanager
def started(program: Path, config: Path, **more: str) -> Iterator[subprocess.Popen[str]]:
    """The window's process, ended by a signal; it must take its engine along and have had nothing to complain of."""
    process = subprocess.Popen(
        [program, "--config", config], env=environment(**more), cwd="/", stderr=subprocess.PIPE, text=True
    )
    family: list[psutil.Process] = []
    try:
        yield process
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        _, complaints = process.communicate(timeout=20)
        assert "Traceback" not in complaints, complaints
        _, alive = psutil.wait_procs(family, timeout=10)
        assert not alive
    finally:
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        process.kill()
        process.communicate()


def engine_of(process: subprocess.Popen[str]) -> psutil.Process:
    """The engine that the window has started. Raises AssertionError where none comes up within half a minute."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, "the window has ended"
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if child.cmdline()[1:] == ["engine"]:
                    return child
        time.sleep(0.05)
    raise AssertionError("no engine")


def test_the_window_opens_without_a_screen_and_its_engine_ends_with_it(
    program: Path, volume: FakeVolume, tmp_path: Path
):
    with started(program, tmp_path / "sweeper.toml", QT_QPA_PLATFORM="offscreen") as process:
        assert engine_of(process).is_running()


def test_the_window_opens_on_a_screen(programs: Path, volume: FakeVolume, tmp_path: Path):
    with (
        display() as screen,
        started(programs / PROGRAMS[0], tmp_path / "sweeper.toml", DISPLAY=screen.name) as process,
    ):
        assert screen.window("Sweeper")
        assert engine_of(process).is_running()
