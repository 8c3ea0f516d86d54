"""Faults of the volume while a tree is measured, discovered and removed: tried again, or told as what they are."""

import errno
import itertools
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.storage.remove import Counters, Discovery, Removal, RemovalOutcome, discover, remove
from tests.support.pieces import list_in_pieces
from tests.support.removals import Awaited, discovered, discovered_and_removed, measured, opened
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
    pieces = itertools.count()

    def fail_later() -> None:
        if next(pieces) % 2:
            raise OSError(errno.EIO, "Input/output error")

    list_in_pieces(monkeypatch, 10, fail_later)
    top = tmp_path / "top"
    top.mkdir()
    for number in range(25):
        (top / f"f{number}").touch()
    usage = measured(pool, top).usage
    assert (usage.complete, usage.entries, usage.errors) == (False, 10, (".: Input/output error",))
    found = discovered(pool, top)
    assert (found.ok, found.reason) == (False, "could not be read: .: Input/output error")


def test_volume_that_goes_away_ends_the_removal_at_once_and_it_goes_on_when_it_is_back(
    pool: WorkPool, tmp_path: Path
) -> None:
    """The process that serves it is killed in the middle; everything that is in flight fails, and what follows."""
    make_tree(tmp_path / "backing" / "top", 800, per_directory=20)
    end = Awaited[Removal]()
    counters = Counters()
    with slow_volume(tmp_path / "backing", tmp_path / "mount") as volume:
        discovery = discovered(pool, volume.path / "top")
        volume.set_plan(latency={"unlink": 0.005})
        with opened(volume.path) as parent:
            remove(pool, parent, b"top", discovery, cancel=threading.Event(), counters=counters, on_done=end)
            while counters.entries < 100:
                time.sleep(0.002)
            volume.kill()
            result = end.result()
    assert result.outcome is RemovalOutcome.FAILED
    assert any("the volume is gone" in error for error in result.errors), result.errors
    assert result.error_count <= 2 * pool.max_in_flight
    left = len([*(tmp_path / "backing" / "top").rglob("*")])
    assert 0 <= 800 - left - result.entries_removed <= pool.max_in_flight  # the answers that got lost
    with slow_volume(tmp_path / "backing", tmp_path / "mount") as volume:
        again = discovered_and_removed(pool, volume.path / "top")
    assert (again.complete, again.entries_removed) == (True, left)
    assert pool.descriptors.open_now == 0


@pytest.mark.parametrize("step", ["measuring", "discovering"])
def test_volume_that_goes_away_while_it_is_read(pool: WorkPool, tmp_path: Path, step: str) -> None:
    make_tree(tmp_path / "backing" / "top", 400, per_directory=10)
    with slow_volume(tmp_path / "backing", tmp_path / "mount", latency={"getattr": 0.02}) as volume:

        def kill_in_the_middle() -> None:
            while volume.counts()["getattr"] < 30:
                time.sleep(0.002)
            volume.kill()

        killer = threading.Thread(target=kill_in_the_middle)
        killer.start()
        if step == "measuring":
            usage = measured(pool, volume.path / "top").usage
            assert (usage.complete, bool(usage.errors)) == (False, True)
        else:
            found = discovered(pool, volume.path / "top")
            assert (found.ok, found.reason.startswith("could not be read: ")) == (False, True)
        killer.join()
    assert len([*(tmp_path / "backing" / "top").rglob("*")]) == 400


def test_few_descriptors_are_enough(tmp_path: Path) -> None:
    """A process that may have 64 of them: fewer jobs at a time, and not one error."""
    script = """
import resource, sys
from pathlib import Path
from sweeper_gui.storage.queue import WorkPool
from tests.support.removals import discovered, measured, removed
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
pool, tree = WorkPool(), Path(sys.argv[1])
assert 1 < pool.max_in_flight < 20
assert measured(pool, tree).usage.complete
print(removed(pool, tree, discovered(pool, tree)).outcome)
"""
    make_tree(tmp_path / "backing" / "top", 1_000, per_directory=5)
    with slow_volume(tmp_path / "backing", tmp_path / "mount", latency={"*": 0.001}) as volume:
        result = subprocess.run(
            [sys.executable, "-c", script, volume.path / "top"], capture_output=True, text=True, check=True
        )
    assert result.stdout == "complete\n"


def test_no_file_can_be_opened_for_a_while(pool: WorkPool, tmp_path: Path) -> None:
    """The process has none left, at every step: what could not be opened is opened later."""
    top = make_tree(tmp_path / "top", 300, per_directory=10)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def starve() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))

    def feed() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    with opened(tmp_path) as parent:
        end = Awaited[Discovery]()
        starve()
        later = threading.Timer(0.1, feed)
        later.start()
        try:
            discover(
                pool, parent, b"top", evidence_newest_ns=None, evidence_identity=None, now_ns=time.time_ns(),
                cancel=threading.Event(), on_done=end,
            )  # fmt: skip
            found = end.result()
        finally:
            later.join()
        assert (found.ok, found.entries) == (True, 300)
        finish = Awaited[Removal]()
        starve()
        later = threading.Timer(0.1, feed)
        later.start()
        try:
            remove(pool, parent, b"top", found, cancel=threading.Event(), on_done=finish)
            assert finish.result().complete
        finally:
            later.join()
    assert not top.exists()
