"""Driving an engine through its seam, as every front end does."""

import time
from collections.abc import Callable
from typing import Any

from sweeper_gui.core.outcome import Outcome
from sweeper_gui.core.row import Row
from sweeper_gui.engine import messages as m
from sweeper_gui.engine.host import Host
from sweeper_gui.settings import Settings, load_settings
from tests.support.volume import FakeVolume


def settings_of(volume: FakeVolume, more: str = "", **policy: str) -> Settings:
    """The settings of a volume where nothing is too young; `more` are further lines of the file."""
    path = volume.root.parent / "sweeper.toml"
    path.write_text(volume.settings(**({"min_age": "0s"} | policy)) + more)
    path.chmod(0o600)
    return load_settings(config=path)


class Driver:
    """Sends requests, polls until their jobs end, and keeps what it is told."""

    def __init__(self, host: Host, settings: Settings) -> None:
        self.host = host
        self.rows: dict[bytes, Row] = {}
        self.outcomes: list[Outcome] = []
        self.volume: m.VolumeState | None = None
        self.registry: m.RegistryState | None = None
        self.updates: list[m.Update] = []
        self._finished: dict[int, Any] = {}
        opened = host.request(m.Open(settings.to_wire()))
        assert isinstance(opened, m.Opened), opened

    def poll(self) -> m.Update:
        update = self.host.request(m.Poll())
        assert isinstance(update, m.Update)
        self.updates.append(update)
        self.rows |= {row.name: row for row in update.rows}
        for name in update.gone:
            self.rows.pop(name, None)
        self.outcomes += update.outcomes
        self.volume = update.volume or self.volume
        self.registry = update.registry or self.registry
        self._finished |= {finished.job: finished.result for finished in update.finished}
        return update

    def start(self, request: m.Request) -> int:
        started = self.host.request(request)
        assert isinstance(started, m.Started), started
        return started.job

    def result(self, job: int, seconds: float = 60.0) -> Any:
        self.until(lambda _: job in self._finished, seconds)
        return self._finished[job]

    def run(self, request: m.Request) -> Any:
        return self.result(self.start(request))

    def until(self, reached: Callable[[m.Update], bool], seconds: float = 60.0) -> m.Update:
        """Polls until an update says so."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            update = self.poll()
            if reached(update):
                return update
            time.sleep(0.01)
        raise AssertionError(f"not reached in {seconds} s; the last update was {self.updates[-1]}")

    def statuses(self) -> dict[str, str]:
        return {name.decode(): str(row.status) for name, row in self.rows.items()}
