"""The real command line, run as a process of its own on a real volume."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.volume import FakeVolume

COMMAND = (sys.executable, "-m", "sweeper_gui")


def without_width(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without a terminal's size, which pytest-xdist puts there."""
    return {name: value for name, value in environ.items() if name not in ("COLUMNS", "LINES")}


class Ran:
    """A command that has ended."""

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code = code
        self.out = out.decode("utf-8")
        self.err = err.decode("utf-8")

    @property
    def json(self) -> Any:
        """The document on standard output."""
        return json.loads(self.out)

    def outcomes(self) -> dict[str, str]:
        """The outcomes of a sweep's document, by name."""
        return {outcome["name"]: outcome["outcome"] for outcome in self.json["outcomes"]}

    def __repr__(self) -> str:
        return f"exit {self.code}\n--- out\n{self.out}\n--- err\n{self.err}"


class CommandLine:
    """Runs `sweeper` with a volume's configuration. No terminal anywhere."""

    def __init__(self, volume: FakeVolume, directory: Path) -> None:
        self.volume = volume
        self.config = directory / "sweeper.toml"
        self.configure(volume.settings(min_age="0s"))
        self._running: list[subprocess.Popen[bytes]] = []

    def configure(self, text: str) -> None:
        """Another configuration."""
        self.config.write_text(text, encoding="utf-8")
        self.config.chmod(0o600)

    def start(
        self, *arguments: str | bytes, environ: Mapping[str, str] | None = None, group: bool = False
    ) -> subprocess.Popen[bytes]:
        """A command that runs, in a process group of its own if asked to; it is ended with the test."""
        process = subprocess.Popen(
            [*COMMAND, "--config", str(self.config), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**without_width(os.environ), **(environ or {})},
            cwd=Path(__file__).parents[2],
            process_group=0 if group else None,
        )
        self._running.append(process)
        return process

    def __call__(self, *arguments: str | bytes, environ: Mapping[str, str] | None = None) -> Ran:
        return self.end(self.start(*arguments, environ=environ))

    def engine_of(self, command: subprocess.Popen[bytes]) -> psutil.Process:
        """The engine of a command that runs."""
        _wait_for(lambda: bool(psutil.Process(command.pid).children()))
        (engine,) = psutil.Process(command.pid).children()
        return engine

    def end(self, process: subprocess.Popen[bytes]) -> Ran:
        """Waits for a command that was started."""
        out, err = process.communicate(timeout=60)
        return Ran(process.returncode, out, err)

    def close(self) -> None:
        for process in self._running:
            process.kill()
            process.communicate()


@pytest.fixture
def volume(tmp_path: Path) -> FakeVolume:
    return FakeVolume(tmp_path / "volume")


@pytest.fixture
def sweeper(volume: FakeVolume, tmp_path: Path) -> Iterator[CommandLine]:
    made = CommandLine(volume, tmp_path)
    yield made
    made.close()


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool]], None]:
    return _wait_for


def _wait_for(happened: Callable[[], bool]) -> None:
    """Waits until something is so; fails after 30 s."""
    import time

    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline, "it did not happen within 30 s"
        time.sleep(0.01)
