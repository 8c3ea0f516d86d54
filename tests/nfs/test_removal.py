"""Removing over NFS: files that are open somewhere, directories that others change, and what the server refuses."""

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sweeper_gui.core.outcome import Ending
from sweeper_gui.storage import remove
from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.storage.volume import VolumeError
from tests.support.guest import MEDIA
from tests.support.mounts import ext4
from tests.support.nfs import READ_ONLY, Server, mounted, wait_until
from tests.support.removals import discovered, discovered_and_removed, fill, measured, removed
from tests.support.volume import FakeVolume
from tests.sweep.rig import Rig, outcome_of, results

#: What NFSv4 calls the operation by which a client keeps a file that is removed while it is in use.
_RENAME = 29


def renames() -> int:
    """How many the server has done."""
    for line in Path("/proc/net/rpc/nfsd").read_text().splitlines():
        if line.startswith("proc4ops "):
            return int(line.split()[2 + _RENAME])
    raise AssertionError("the server counts nothing")


def leftovers(directory: Path) -> list[str]:
    """Files that are kept under another name because somebody on this host uses them."""
    return [path.name for path in directory.rglob(".nfs*")]


def test_the_count_of_renames_shows_a_file_that_is_kept(a: Rig):
    """Without this the next test proves nothing."""
    file = a.volume.workspace("gone-1", 5) / "file"
    file.touch()
    before = renames()
    with file.open():
        file.unlink()
        assert len(leftovers(file.parent)) == 1
    assert renames() == before + 1
    wait_until(lambda: not leftovers(file.parent), "it is gone")


@pytest.mark.parametrize("elsewhere", [False, True], ids=["alone", "measured on another host meanwhile"])
def test_a_removal_keeps_no_file_by_its_own_look_ups(a: Rig, b: Rig, elsewhere: bool):
    """Each look-up of an entry has ended before its unlink begins, although many run at a time."""
    tree = a.volume.root / "gone-1"
    fill(tree, 400)
    stop = threading.Event()
    there = WorkPool(4)

    def measure_again_and_again() -> None:
        while not stop.is_set():
            measured(there, b.volume.root / "gone-1")

    thread = threading.Thread(target=measure_again_and_again)
    if elsewhere:
        thread.start()
    pool = WorkPool(32)
    before = renames()
    try:
        result = discovered_and_removed(pool, tree)
    finally:
        stop.set()
        if elsewhere:
            thread.join()
        pool.close()
        there.close()
    assert result.complete, result
    assert renames() == before
    assert not tree.exists()


def test_a_tree_that_is_being_measured_on_this_host_goes_all_the_same(a: Rig, pool: WorkPool):
    """Look-ups of the measuring may make NFS keep files for a moment, in which their directory is not empty."""
    tree = a.volume.root / "gone-1"
    fill(tree, 300)
    cancel = threading.Event()
    measuring = threading.Thread(target=lambda: [measured(pool, tree, cancel=cancel) for _ in range(3)])
    discovery = discovered(pool, tree)
    measuring.start()
    result = removed(pool, tree, discovery, back_off=remove.BACK_OFF)
    cancel.set()
    measuring.join()
    assert result.complete, result
    assert not tree.exists()


def test_a_file_that_is_open_on_this_host_keeps_its_directory(a: Rig, pool: WorkPool):
    tree = a.volume.workspace("gone-1", 30)
    open_file = tree / "repo" / "open"
    open_file.write_text("still read")
    discovery = discovered(pool, tree)
    with open_file.open() as reader:
        result = removed(pool, tree, discovery)
        assert result.outcome is remove.RemovalOutcome.FAILED
        assert any("in use on this or another host" in error for error in result.errors), result.errors
        assert reader.read() == "still read"
        assert len(leftovers(tree)) == 1
        assert sorted(os.listdir(tree)) == ["repo"]
    wait_until(lambda: not leftovers(tree), "the file is gone")
    assert discovered_and_removed(pool, tree).complete


def test_a_file_that_is_open_on_another_host_is_removed(a: Rig, b: Rig, pool: WorkPool):
    """Its reader is no matter of ours: Linux's server lets it read on, others tell it that its handle is stale."""
    tree = a.volume.workspace("gone-1", 30)
    (tree / "repo" / "open").write_bytes(b"x" * 100_000)
    with (b.volume.root / "gone-1" / "repo" / "open").open("rb", buffering=0) as reader:
        assert discovered_and_removed(pool, tree).complete
        assert not (b.volume.root / "gone-1").exists()
        with contextlib.suppress(OSError):
            assert len(reader.read()) == 100_000


@pytest.mark.parametrize("where", ["the tree", "a directory in it"])
def test_what_another_host_removes_first_counts_as_removed(
    a: Rig, b: Rig, monkeypatch: pytest.MonkeyPatch, pool: WorkPool, where: str
):
    """Open handles are stale then."""
    tree = a.volume.workspace("gone-1", 300)
    there = b.volume.root / "gone-1"
    once = [there if where == "the tree" else there / "repo" / "d000" / "d00002"]
    original = remove._Removing._unlink_all

    def unlink_all(self: Any, *arguments: Any) -> Any:
        while once:
            shutil.rmtree(once.pop())
        return original(self, *arguments)

    monkeypatch.setattr(remove._Removing, "_unlink_all", unlink_all)
    result = discovered_and_removed(pool, tree)
    assert result.complete, result
    assert not tree.exists()


def test_a_directory_that_another_host_removed_can_not_be_discovered(a: Rig, b: Rig, pool: WorkPool):
    tree = a.volume.workspace("gone-1", 30)
    assert discovered(pool, tree).ok
    shutil.rmtree(b.volume.root / "gone-1")
    assert not discovered(pool, tree).ok


def test_what_another_host_adds_while_a_tree_is_removed_goes_too(
    a: Rig, b: Rig, monkeypatch: pytest.MonkeyPatch, pool: WorkPool
):
    tree = a.volume.workspace("gone-1", 120)
    there = b.volume.root / "gone-1" / "repo" / "d000"
    once = [there / "late"]
    original = remove._Removing._remove_children

    def remove_children(self: Any, *arguments: Any) -> Any:
        while once:
            late = once.pop()
            late.mkdir()
            (late / "file").touch()
        return original(self, *arguments)

    monkeypatch.setattr(remove._Removing, "_remove_children", remove_children)
    result = discovered_and_removed(pool, tree)
    assert result.complete, result
    assert not tree.exists()


# --- what the server refuses ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(server: Server) -> Iterator[Path]:
    """A small volume, as the server sees it."""
    with ext4(MEDIA / "small-disk", 8) as disk:
        server.export("small", disk)
        yield disk


@pytest.fixture(scope="module")
def small_mount(small: Path) -> Iterator[Path]:
    """... and as host a does."""
    with mounted("small", MEDIA / "small", host="host-a", address="127.0.0.1") as mount:
        yield mount


@contextmanager
def full(disk: Path) -> Iterator[Callable[[], None]]:
    """No block is left, on the server's side; what the block of this yields takes them again."""
    ballast = disk / "ballast"

    def take_all() -> None:
        with ballast.open("ab", buffering=0) as file:
            size = 1 << 16
            while size:
                try:
                    file.write(b"x" * size)
                except OSError:
                    size //= 2
            os.fsync(file.fileno())

    take_all()
    try:
        yield take_all
    finally:
        ballast.unlink()


def test_a_full_volume_can_be_swept(small: Path, small_mount: Path, pool: WorkPool, tmp_path: Path):
    """The server says ENOSPC, to a write or at the end of a file: the log goes on in the local state."""
    rig = Rig(tmp_path, pool, FakeVolume(small_mount, tmp_path / "collab.sqlite3"))
    rig.volume.live("live-1")
    for number in range(4):
        rig.volume.deleted(f"gone-{number}", 40)
    rig.sweep(rig.plan(cap=1))  # sets up the control directory, with its reserve
    plan = rig.plan(cap=10)
    with full(small):
        report = rig.sweep(plan)
    assert results(report) == dict.fromkeys((name.decode() for name in [o.name for o in report.outcomes]), "removed")
    assert len(report.outcomes) == 3
    assert rig.volume.names() == {"live-1"}


def test_an_export_that_is_read_only_is_refused_before_anything_is_touched(
    server: Server, case: str, a: Rig, pool: WorkPool, tmp_path: Path
):
    """The mount says that it can be written to; only the server knows better."""
    a.volume.live("live-1")
    a.volume.deleted("gone-1", 5)
    server.export(f"{case}-read-only", server.volume / case, READ_ONLY)
    with mounted(f"{case}-read-only", MEDIA / case, host="host-a", address="127.0.0.1") as mount:
        volume = FakeVolume(mount, a.volume.database)
        (tmp_path / "read-only").mkdir()
        rig = Rig(tmp_path / "read-only", pool, volume)
        assert not rig.settings.volume.require_mount
        plan = rig.plan(cap=1)
        with pytest.raises(VolumeError) as refused:
            rig.sweep(plan)
    assert "read-only" in f"{refused.value} {refused.value.hint}".lower()
    assert a.volume.names() == {"live-1", "gone-1"}


def test_an_export_that_becomes_read_only_stops_the_sweep(
    server: Server, case: str, a: Rig, pool: WorkPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    a.volume.live("live-1")
    a.volume.deleted("gone-1", 200)
    place = server.export(f"{case}-changing", server.volume / case)
    with mounted(f"{case}-changing", MEDIA / case, host="host-a", address="127.0.0.1") as mount:
        (tmp_path / "changing").mkdir()
        rig = Rig(tmp_path / "changing", pool, FakeVolume(mount, a.volume.database))
        plan = rig.plan(cap=1)
        original = remove._Removing._unlink_all

        def unlink_all(self: Any, *arguments: Any) -> Any:
            server.change(place, READ_ONLY)
            return original(self, *arguments)

        monkeypatch.setattr(remove._Removing, "_unlink_all", unlink_all)
        report = rig.sweep(plan)
        outcome = outcome_of(report, "gone-1")
        assert "read-only" in outcome.reason.lower(), outcome
        assert str(outcome.result) in ("partly-removed", "failed")
        server.change(place, 0)
        monkeypatch.undo()

        def resumed() -> bool:
            try:
                return results(rig.resume()) == {"gone-1": "removed"}
            except VolumeError:  # NFS tells whoever asks first that something written before is lost
                return False

        wait_until(resumed, "the removal goes on")
    assert report.ending is Ending.STOPPED
    assert a.volume.names() == {"live-1"}
