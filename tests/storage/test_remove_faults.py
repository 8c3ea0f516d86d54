"""Faults of the volume while a tree is measured, discovered and removed: tried again, or told as what they are."""

import errno
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from sweeper_gui.storage import walk
from sweeper_gui.storage.queue import WorkPool
from tests.support.removals import discovered, measured
from tests.support.slowfs import Fault, slow_volume
from tests.support.trees import make_tree


@pytest.mark.parametrize("error", ["EIO", "ETIMEDOUT", "ESTALE", "ENFILE"])
@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ("getattr", "top"), ("opendir", "top"), ("readdir", "top"), ("getattr", "*/d00003"), ("opendir", "*/d00003"),
        ("readdir", "*/d00003"), ("getattr", "*/d00003/f4"),
    ],
)  # fmt: skip
def test_reading_is_tried_again_and_nothing_is_counted_twice(
    pool: WorkPool, tmp_path: Path, error: str, operation: str, path: str
) -> None:
    make_tree(tmp_path / "backing" / "top", 60, per_directory=10)
    with slow_volume(tmp_path / "backing", tmp_path / "mount") as volume:
        top = volume.path / "top"
        before = measured(pool, top).usage
        fault = Fault(operation, path, error=error, times=4)
        volume.set_plan(fault)
        usage = measured(pool, top).usage
        assert (usage.complete, usage.errors) == (True, ())
        assert (usage.entries, usage.directories, usage.allocated, usage.apparent, usage.newest_change_ns) == (
            before.entries, before.directories, before.allocated, before.apparent, before.newest_change_ns,
        )  # fmt: skip
        volume.set_plan(fault)
        found = discovered(pool, top, newest_ns=before.newest_change_ns)
        assert (found.ok, found.reason, found.entries, found.allocated) == (True, "", 60, before.allocated)


def test_error_in_the_middle_of_a_long_listing_makes_it_incomplete(
    pool: WorkPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was added by then is not counted twice: the tree is told as unreadable, and stays."""
    listings = 0

    def failing_later(listing: Iterator[object], count: int) -> Iterator[object]:
        nonlocal listings
        listings += 1
        if listings % 2 == 0:
            raise OSError(errno.EIO, "Input/output error")
        return islice(listing, count)

    monkeypatch.setattr(walk, "BATCH", 10)
    monkeypatch.setattr(walk, "islice", failing_later)
    top = tmp_path / "top"
    top.mkdir()
    for number in range(25):
        (top / f"f{number}").touch()
    usage = measured(pool, top).usage
    assert (usage.complete, usage.entries, usage.errors) == (False, 10, (".: Input/output error",))
    found = discovered(pool, top)
    assert (found.ok, found.reason) == (False, "could not be read: .: Input/output error")
