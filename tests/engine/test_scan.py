"""What a listing tells, and when."""

from threading import Event
from typing import Any

import pytest

from sweeper_gui.core.snapshot import Snapshot
from sweeper_gui.engine import messages as m
from sweeper_gui.engine.book import Book
from sweeper_gui.engine.scan import Scan
from sweeper_gui.engine.states import volume_state
from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep.ground import Ground
from tests.engine.driving import Driver, settings_of
from tests.support.local import LocalHost
from tests.support.volume import FakeVolume


def test_a_listing_that_fails_does_not_say_that_it_is_done(volume: FakeVolume, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ground, "read_unexamined", lambda _: Snapshot(()))  # nothing is left to be waited for
    pool = WorkPool(4)
    with Ground(settings_of(volume), pool, Event()) as ground:
        scan = Scan(ground, Book(), reserved=frozenset(), on_judged=lambda: None)
        ground.volume.close()  # what it reads from is gone
        with pytest.raises(VolumeError, match="can't be listed"):
            scan.run(sizes=True, only_new=False)
        assert scan.progress.phase == "failed"
    pool.close()


def test_the_first_rows_do_not_wait_for_what_is_in_the_trash(
    local: LocalHost, volume: FakeVolume, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows_are_there = Event()

    def told_late(*arguments: Any) -> m.VolumeState:
        rows_are_there.wait(30)
        return volume_state(*arguments)

    monkeypatch.setattr("sweeper_gui.engine.engine.volume_state", told_late)
    driver = Driver(local, settings_of(volume))
    job = driver.start(m.Scan())
    driver.until(lambda _: len(driver.rows) == 8, 20)
    assert driver.volume is None
    rows_are_there.set()
    assert driver.result(job) == m.Done()
    assert driver.volume is not None
