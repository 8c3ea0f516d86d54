"""A volume under a sweep: listed, judged and planned by the real engine's parts, in this process."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sweeper_gui.core.audit import PastSweep
from sweeper_gui.core.outcome import Outcome, Report, TrashItem
from sweeper_gui.core.plan import Plan, Request
from sweeper_gui.core.row import Row
from sweeper_gui.engine.book import Book
from sweeper_gui.engine.prepare import prepare
from sweeper_gui.engine.scan import Scan
from sweeper_gui.settings import Settings, load_settings
from sweeper_gui.storage.control import Control
from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.sweep import reclaim
from sweeper_gui.sweep.ground import Ground
from sweeper_gui.sweep.history import past_sweeps
from sweeper_gui.sweep.progress import Progress
from sweeper_gui.sweep.sweeper import rehearse, run_sweep
from sweeper_gui.sweep.trash import items_of
from tests.support.volume import FakeVolume


class Rig:
    """One volume, one pool of workers. Every run opens the volume anew, as the engine does.

    The configuration lies in `directory`, and so does the volume unless another one is given.
    """

    def __init__(self, directory: Path, pool: WorkPool, volume: FakeVolume | None = None) -> None:
        self.volume = volume or FakeVolume(directory)
        self.pool = pool
        self.cancel = threading.Event()
        self.book = Book()
        self.config = directory / "sweeper.toml"
        self.policy = {"min_age": "0s"}
        self.group = ""
        #: False once the settings are to stay as they are, on a full volume
        self.write_settings = True

    @property
    def settings(self) -> Settings:
        if self.write_settings:
            text = self.volume.settings(**self.policy)
            self.config.write_text(text.replace("[volume]", f'[volume]\ncontrol_group = "{self.group}"', 1))
            self.config.chmod(0o600)
        return load_settings(config=self.config)

    @contextmanager
    def ground(self) -> Iterator[Ground]:
        with Ground(self.settings, self.pool, self.cancel) as ground:
            self.book.set_rules(ground.policy)
            yield ground

    def scan(self, ground: Ground) -> Scan:
        return Scan(ground, self.book, reserved=frozenset(), on_judged=lambda: None)

    def rows(self) -> dict[str, Row]:
        """The volume listed, measured and judged anew."""
        with self.ground() as ground:
            self.scan(ground).run(sizes=True, only_new=False)
        return {os.fsdecode(row.name): row for row in self.book.rows()}

    def plan(self, *names: str, **request: object) -> Plan:
        asked = Request(names=tuple(os.fsencode(name) for name in names), **request)  # type: ignore[arg-type]
        with self.ground() as ground:
            return prepare(ground, self.book, self.scan(ground), asked)

    def sweep(self, plan: Plan, progress: Progress | None = None) -> Report:
        with self.ground() as ground:
            return run_sweep(ground, plan, progress or progress_of(plan), {})

    def rehearse(self, plan: Plan) -> Report:
        with self.ground() as ground:
            return rehearse(ground, plan, progress_of(plan))

    def restore(self, *names: str) -> Report:
        with self.ground() as ground:
            return reclaim.restore(ground, [os.fsencode(name) for name in names], Progress(0, 0))

    def purge(self, *names: str, older_than: float | None = None, items: set[tuple[str, int]] | None = None) -> Report:
        with self.ground() as ground:
            return reclaim.purge(ground, [os.fsencode(n) for n in names], older_than, Progress(0, 0), items=items)

    def resume(self, items: set[tuple[str, int]] | None = None) -> Report:
        with self.ground() as ground:
            return reclaim.resume(ground, Progress(0, 0), items=items)

    def bind(self) -> str:
        with self.ground() as ground:
            return reclaim.bind(ground)

    def trash(self) -> list[TrashItem]:
        with self.ground() as ground:
            control = Control.open_existing(ground.volume, ground.settings.volume)
            if control is None:
                return []
            with control:
                return list(items_of(control, ground))

    def history(self) -> list[PastSweep]:
        with self.ground() as ground:
            control = Control.open_existing(ground.volume, ground.settings.volume)
            assert control is not None
            with control:
                return list(past_sweeps(control, ground)[0])

    @property
    def control_dir(self) -> Path:
        return self.volume.root.parent / f".sweeper-{self.volume.root.name}"


def progress_of(plan: Plan) -> Progress:
    return Progress(len(plan.chosen), 0)


def results(report: Report) -> dict[str, str]:
    """What became of each name."""
    return {outcome.name.decode(): str(outcome.result) for outcome in report.outcomes}


def outcome_of(report: Report, name: str) -> Outcome:
    """The outcome of one name."""
    return next(outcome for outcome in report.outcomes if outcome.name == name.encode())
