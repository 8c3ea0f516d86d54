"""Engines and their volumes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeper_gui.engine.host import Host
from sweeper_gui.engine.process import EngineProcess
from tests.engine.driving import Driver, settings_of
from tests.registries.conftest import http, postgres, staging, standby
from tests.support.local import LocalHost
from tests.support.volume import FakeVolume

__all__ = ["driver", "host", "http", "local", "postgres", "staging", "standby", "volume"]


@pytest.fixture
def volume(tmp_path: Path) -> FakeVolume:
    """Three live ones, three explained orphans, an unexplained one and a file."""
    volume = FakeVolume(tmp_path)
    for number in range(3):
        volume.live(f"live-{number}", 20)
        volume.deleted(f"gone-{number}", 20)
    volume.unexplained("lost-0", 20)
    (volume.root / "file").write_text("")
    return volume


@pytest.fixture(params=[LocalHost, EngineProcess], ids=["in-process", "process"])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """An engine in this process, and one in its own."""
    host = request.param()
    yield host
    host.close()


@pytest.fixture
def local() -> Iterator[LocalHost]:
    """An engine in this process."""
    host = LocalHost()
    yield host
    host.close()


@pytest.fixture
def driver(host: Host, volume: FakeVolume) -> Driver:
    """Drives an engine that has been opened for the volume."""
    return Driver(host, settings_of(volume))
