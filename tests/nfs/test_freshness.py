"""What another host has just changed is seen, although an NFS client believes what it knows for a minute, or longer.

The host that sweeps does so for an hour here, so that nothing is found by luck.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweeper_gui.storage import files, remove
from sweeper_gui.storage import tree as tree_module
from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.sweep import sweeper
from tests.support.removals import discovered, discovered_and_removed, measured, opened
from tests.support.trees import fingerprint
from tests.sweep.rig import Rig, results


def before(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, happens: Callable[[], None]) -> None:
    """Lets something happen, once, right before a method runs."""
    original = getattr(owner, name)
    left = [happens]

    def method(*arguments: Any, **keywords: Any) -> Any:
        if left:
            left.pop()()
        return original(*arguments, **keywords)

    monkeypatch.setattr(owner, name, method)


def some_file(tree: Path) -> Path:
    """A file somewhere in there."""
    return next(path for path in sorted(tree.rglob("*")) if path.is_file())


def test_a_host_believes_what_it_knows(caching: Rig, b: Rig):
    """Without this the tests below prove nothing."""
    file = some_file(caching.volume.deleted("gone-1", 30))
    size = file.stat().st_size
    with (b.volume.root / file.relative_to(caching.volume.root)).open("a") as there:
        there.write("written on b")
    assert file.stat().st_size == size


def test_a_file_written_elsewhere_after_it_was_measured_is_found(caching: Rig, b: Rig, pool: WorkPool):
    tree = caching.volume.deleted("gone-1", 30)
    known = measured(pool, tree)
    assert discovered(pool, tree, newest_ns=known.usage.newest_change_ns, identity=known.identity).ok
    file = some_file(tree).relative_to(caching.volume.root)
    with (b.volume.root / file).open("a") as there:
        there.write("written on b")
    found = discovered(pool, tree, newest_ns=known.usage.newest_change_ns, identity=known.identity)
    assert found.reason == f"changed since it was measured: {file.relative_to('gone-1')}"


def test_a_tree_that_is_written_to_elsewhere_is_put_back(caching: Rig, b: Rig, monkeypatch: pytest.MonkeyPatch):
    file = some_file(caching.volume.deleted("gone-1", 30)).relative_to(caching.volume.root)
    caching.volume.live("live-1")
    plan = caching.plan(cap=10)
    with (b.volume.root / file).open("ab", buffering=0) as there:

        def write() -> None:
            there.write(b"written on b")
            os.fsync(there.fileno())  # what that host has not sent yet nobody can see

        before(monkeypatch, sweeper._Sweep, "_confirm", write)
        report = caching.sweep(plan)
    assert results(report) == {"gone-1": "restored"}
    assert (b.volume.root / file).read_bytes().endswith(b"written on b")


def test_the_top_changed_elsewhere_before_the_recheck_is_skipped(caching: Rig, b: Rig, monkeypatch: pytest.MonkeyPatch):
    caching.volume.deleted("gone-1", 30)
    caching.volume.live("live-1")
    plan = caching.plan(cap=10)
    before(monkeypatch, sweeper._Sweep, "_recheck", lambda: (b.volume.root / "gone-1").chmod(0o750))
    assert results(caching.sweep(plan)) == {"gone-1": "skipped"}


def test_another_directory_under_the_name_at_the_last_moment_goes_back(
    caching: Rig, b: Rig, monkeypatch: pytest.MonkeyPatch
):
    """A rename is by name, on the server; what this host takes for the directory of that name may be another one."""
    caching.volume.deleted("gone-1", 30)
    caching.volume.live("live-1")
    plan = caching.plan(cap=10)
    place, kept = b.volume.root / "gone-1", b.volume.root / "live-1" / "kept"
    was = fingerprint(place)

    def swap() -> None:
        place.rename(kept)
        place.mkdir()
        (place / "new").write_text("somebody's work")

    before(monkeypatch, files, "move", swap)
    report = caching.sweep(plan)
    assert results(report) == {"gone-1": "restored"}, report
    assert (place / "new").read_text() == "somebody's work"
    assert fingerprint(kept) == was


def test_an_empty_directory_made_elsewhere_is_not_replaced_when_a_tree_goes_back(
    caching: Rig, b: Rig, monkeypatch: pytest.MonkeyPatch
):
    caching.volume.deleted("gone-1", 30)
    caching.volume.live("live-1")
    plan = caching.plan(cap=10)
    taken = b.volume.root / "gone-1"

    def come_back() -> None:
        taken.mkdir(0o700)
        caching.volume.revive_session("gone-1")

    before(monkeypatch, sweeper._Sweep, "_confirm", come_back)
    report = caching.sweep(plan)
    assert results(report) == {"gone-1": "conflict"}, report
    assert list(taken.iterdir()) == []
    (item,) = b.trash()
    assert item.name == b"gone-1"


def test_a_rename_replaces_no_empty_directory_made_elsewhere_a_moment_ago(caching: Rig, b: Rig):
    (caching.volume.root / "one").mkdir()
    with opened(caching.volume.root) as root:
        assert files.inode_of(b"two", root) is None
        (b.volume.root / "two").mkdir()
        assert files.inode_of(b"two", root) is None  # so this host believes
        with pytest.raises(files.NameTaken):
            files.rename_exclusively(b"one", root, b"two", root)
    assert b.volume.names() == {"one", "two"}


@pytest.mark.parametrize("part", ["*/d000*", "*"], ids=["directories", "all above them"])
def test_what_is_moved_out_elsewhere_while_its_tree_is_removed_is_left_alone(
    caching: Rig, b: Rig, monkeypatch: pytest.MonkeyPatch, part: str
):
    """Into a live workspace, say. What is above it is open already, and what this host knows of the names is old."""
    tree = caching.volume.deleted("gone-1", 1 + 8 * 51)
    there = b.volume.root / "gone-1" / "repo"
    elsewhere = b.volume.live("live-1") / "kept"
    elsewhere.mkdir()
    emptied: list[bytes] = []
    original = remove._Removing._unlink_all

    def unlink_all(self: Any, directory: Any, *arguments: Any) -> Any:
        if not emptied:
            for path in there.glob(part):
                if path.name != os.fsdecode(directory.name):
                    path.rename(elsewhere / path.name)
        emptied.append(directory.name)
        return original(self, directory, *arguments)

    monkeypatch.setattr(remove._Removing, "_unlink_all", unlink_all)
    monkeypatch.setattr(tree_module, "WAY_GOOD_FOR", 0.0)
    pool = WorkPool(1)
    removal = discovered_and_removed(pool, tree)
    pool.close()
    assert removal.complete, removal
    left = [len(os.listdir(path)) for path in elsewhere.rglob("d000?*")]
    assert sorted(left) == ([50] * 7 if part == "*/d000*" else [0] + [50] * 7), emptied
