"""A listing's own account of itself."""

from threading import Event

import pytest

from sweeper_gui.engine.book import Book
from sweeper_gui.engine.scan import Scan
from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep.ground import Ground
from tests.engine.driving import settings_of
from tests.support.volume import FakeVolume


def test_a_listing_that_fails_does_not_say_that_it_is_done(volume: FakeVolume) -> None:
    pool = WorkPool(4)
    with Ground(settings_of(volume), pool, Event()) as ground:
        scan = Scan(ground, Book(), reserved=frozenset(), on_judged=lambda: None)
        ground.volume.close()  # what it reads from is gone
        with pytest.raises(VolumeError, match="can't be listed"):
            scan.run(sizes=True, only_new=False)
        assert scan.progress.phase == "failed"
    pool.close()
