"""Discovery says no to every doubt; removal takes everything inside, and never anything outside."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper_gui.core.usage import Usage
from sweeper_gui.core.workspace import Identity
from sweeper_gui.storage.measure import measure
from sweeper_gui.storage.queue import Impact, WorkPool
from sweeper_gui.storage.remove import BACK_OFF, Counters, Discovery, Removal, RemovalOutcome, discover, remove
from sweeper_gui.storage.tree import Node
from tests.support.mounts import bind, tmpfs
from tests.support.nobody import NOBODY, as_nobody
from tests.support.removals import (
    PATIENCE,
    Awaited,
    discovered,
    discovered_and_removed,
    fill,
    measured,
    opened,
    removed,
)
from tests.support.slowfs import Fault, slow_volume
from tests.support.trees import fingerprint, make_tree


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A tree that must be the same after the test."""
    canary = make_tree(tmp_path / "canary", 40)
    before = fingerprint(canary)
    yield canary
    assert fingerprint(canary) == before


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A tree to be removed: 300 entries."""
    return make_tree(tmp_path / "top", 300)


def evidence_of(pool: WorkPool, tree: Path) -> tuple[Usage, Identity]:
    result = measured(pool, tree)
    assert result.identity is not None
    assert result.usage.complete
    probe = tree.parent / "probe"
    probe.touch()
    while probe.stat().st_ctime_ns <= result.usage.newest_change_ns:  # the kernel's clock ticks every few milliseconds
        os.utime(probe)
    probe.unlink()
    return result.usage, result.identity


def set_aside(tree: Path) -> Path:
    """Renamed into another directory, as the sweep does it."""
    trash = tree.parent / "trash"
    trash.mkdir(exist_ok=True)
    return tree.rename(trash / "1")


# --- discovery --------------------------------------------------------------------------------------------------------


def test_what_did_not_change_is_fit_for_removal(pool: WorkPool, top: Path) -> None:
    usage, identity = evidence_of(pool, top)
    found = discovered(pool, set_aside(top), newest_ns=usage.newest_change_ns, identity=identity)
    assert (found.ok, found.reason) == (True, "")
    assert (found.entries, found.allocated) == (usage.entries, usage.allocated)


def _write(directory: Path) -> None:
    (directory / "f0").write_bytes(b"new")


def _create(directory: Path) -> None:
    (directory / "new").touch()


def _delete(directory: Path) -> None:
    (directory / "f0").unlink()


def _chmod(directory: Path) -> None:
    (directory / "f0").chmod(0o600)


def _back_date(directory: Path) -> None:
    """Times can be set back by hand, but for the ctime."""
    (directory / "f0").write_bytes(b"new")
    os.utime(directory / "f0", ns=(1, 1))


def _move_in(directory: Path) -> None:
    old = directory.parents[2] / "old"
    old.touch()
    old.rename(directory / "moved in")


@pytest.mark.parametrize("change", [_write, _create, _delete, _chmod, _back_date, _move_in])
@pytest.mark.parametrize("where", [".", "d000/d00003"])
def test_any_change_since_the_evidence_is_found(
    pool: WorkPool, top: Path, change: Callable[[Path], None], where: str
) -> None:
    (top / "f0").touch()
    usage, identity = evidence_of(pool, top)
    aside = set_aside(top)
    change(aside / where)
    found = discovered(pool, aside, newest_ns=usage.newest_change_ns, identity=identity)
    assert not found.ok
    assert found.reason.startswith("changed since it was measured: ")
    assert found.top is None


def test_the_reason_names_what_changed(pool: WorkPool, top: Path) -> None:
    usage, identity = evidence_of(pool, top)
    (top / "d000" / "d00003" / "f7").chmod(0o600)
    found = discovered(pool, top, newest_ns=usage.newest_change_ns, identity=identity)
    assert found.reason == "changed since it was measured: d000/d00003/f7"


def test_the_tops_own_ctime_may_be_newer_but_not_its_mtime(pool: WorkPool, top: Path) -> None:
    usage, identity = evidence_of(pool, top)
    top.chmod(0o700)
    assert discovered(pool, top, newest_ns=usage.newest_change_ns, identity=identity).ok
    os.utime(top)
    found = discovered(pool, top, newest_ns=usage.newest_change_ns, identity=identity)
    assert found.reason == "changed since it was measured: ."
    assert not discovered(pool, top, newest_ns=usage.newest_change_ns).ok


def test_another_directory_of_the_same_name_is_refused(pool: WorkPool, top: Path) -> None:
    usage, identity = evidence_of(pool, top)
    top.rename(top.with_name("moved"))
    top.mkdir()
    os.utime(top, ns=(identity.mtime_ns, identity.mtime_ns))
    found = discovered(pool, top, newest_ns=usage.newest_change_ns, identity=identity)
    assert found.reason == "it is another directory than the one that was measured"


@pytest.mark.parametrize("kind", ["missing", "file", "link"])
def test_what_is_no_directory_is_refused(pool: WorkPool, tmp_path: Path, canary: Path, kind: str) -> None:
    tree = tmp_path / "tree"
    if kind == "file":
        tree.touch()
    elif kind == "link":
        tree.symlink_to(canary)
    found = discovered(pool, tree)
    assert (found.ok, found.reason) == (False, "could not be read: .: changed while it was read")


def test_a_mount_inside_is_refused(pool: WorkPool, top: Path, canary: Path) -> None:
    with bind(canary, top / "d000" / "d00003" / "mount"):
        found = discovered(pool, top)
    assert (found.ok, found.reason) == (False, "contains a mount point: d000/d00003/mount")


def test_another_device_inside_is_refused(pool: WorkPool, top: Path) -> None:
    with tmpfs(top / "other"):
        found = discovered(pool, top)
    assert (found.ok, found.reason) == (False, "contains a mount point: other")


def test_a_file_that_is_a_mount_of_another_device_is_refused(pool: WorkPool, top: Path, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "volume") as volume:
        (volume / "file").touch()
        target = top / "d000" / "d00003" / "f3"
        subprocess.run(["mount", "--bind", volume / "file", target], check=True)
        try:
            found = discovered(pool, top)
        finally:
            subprocess.run(["umount", target], check=True)
    assert (found.ok, found.reason) == (False, "contains a mount point: d000/d00003/f3")


def test_the_unreadable_is_refused(nobodys: Path) -> None:
    tree = make_tree(nobodys / "tree", 60)
    (tree / "closed").mkdir(mode=0o700)  # root's

    def discover_as_nobody() -> None:
        pool = WorkPool()
        found = discovered(pool, tree)
        pool.close()
        assert (found.ok, found.reason) == (False, "could not be read: closed: Permission denied")

    as_nobody(discover_as_nobody)


def test_an_entry_that_fails_to_answer_is_refused(pool: WorkPool, tmp_path: Path) -> None:
    make_tree(tmp_path / "backing" / "top", 300)
    broken = Fault("getattr", "top/d000/d00003/f9", error="EIO")
    with slow_volume(tmp_path / "backing", tmp_path / "mount", broken) as volume:
        found = discovered(pool, volume.path / "top")
    assert (found.ok, found.reason) == (False, "could not be read: d000/d00003/f9: Input/output error")


def test_a_change_at_the_end_of_a_huge_directory_is_found(pool: WorkPool, tmp_path: Path) -> None:
    """No batch of a listing is left out."""
    with tmpfs(tmp_path / "volume", 64) as volume:
        tree = fill(volume / "tree", 10_000)
        usage, identity = evidence_of(pool, tree)
        order = [entry.name for entry in os.scandir(tree)]
        for name in (order[0], order[5_000], order[-1]):
            (tree / name).chmod(0o600)
            found = discovered(pool, tree, newest_ns=usage.newest_change_ns, identity=identity)
            assert found.reason == f"changed since it was measured: {name}"
            usage, identity = evidence_of(pool, tree)


def test_a_directory_that_changes_while_it_is_read_is_refused(pool: WorkPool, tmp_path: Path) -> None:
    make_tree(tmp_path / "backing" / "top", 30)
    directory = tmp_path / "backing" / "top" / "d000" / "d00000"
    with slow_volume(tmp_path / "backing", tmp_path / "mount") as volume:
        usage, identity = evidence_of(pool, volume.path / "top")
        volume.set_plan(Fault("getattr", "*/f20", delay=0.4))
        late = threading.Timer(0.2, (directory / "late").touch)
        late.start()
        found = discovered(pool, volume.path / "top", newest_ns=usage.newest_change_ns, identity=identity)
        late.join()
    assert found.reason == "changed since it was measured: d000/d00000"


def test_a_cancelled_discovery_is_not_ok(pool: WorkPool, top: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    found = discovered(pool, top, cancel=cancel)
    assert (found.ok, found.reason, found.top) == (False, "cancelled", None)


def test_a_tree_whose_removal_has_begun_needs_no_evidence(pool: WorkPool, top: Path) -> None:
    (top / "d000" / "d00003" / "f3").unlink()
    found = discovered(pool, top)
    assert (found.ok, found.entries) == (True, 299)


def test_what_was_not_found_fit_can_not_be_removed(pool: WorkPool, tmp_path: Path) -> None:
    discovery = Discovery(False, "changed", 0, 0, None)
    with opened(tmp_path) as parent, pytest.raises(ValueError, match="can't be removed"):
        remove(pool, parent, b"top", discovery, cancel=threading.Event(), on_done=print)


# --- removal ----------------------------------------------------------------------------------------------------------


def assert_complete(result: Removal, entries: int, allocated: int) -> None:
    assert (result.outcome, result.error_count, result.errors) == (RemovalOutcome.COMPLETE, 0, ())
    assert (result.entries_removed, result.bytes_freed) == (entries, allocated)


def test_everything_is_removed_and_counted(pool: WorkPool, top: Path, canary: Path) -> None:
    usage = measured(pool, top).usage
    counters = Counters()
    discovery = discovered(pool, top)
    result = removed(pool, top, discovery, counters=counters)
    assert not top.exists()
    assert pool.descriptors.open_now == 0
    assert_complete(result, usage.entries, usage.allocated)
    assert (counters.entries, counters.bytes) == (usage.entries, usage.allocated)
    assert (result.complete, result.cancelled) == (True, False)


def test_a_renamed_tree_is_removed_under_its_new_name(pool: WorkPool, top: Path) -> None:
    discovery = discovered(pool, top)
    (top.parent / "removing").mkdir()
    aside = top.rename(top.parent / "removing" / "1")
    assert removed(pool, aside, discovery).complete
    assert os.listdir(aside.parent) == []


def test_an_empty_top_is_removed(pool: WorkPool, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert discovered_and_removed(pool, tmp_path / "empty").complete
    assert not (tmp_path / "empty").exists()


def test_links_are_removed_and_what_they_lead_to_is_not(pool: WorkPool, top: Path, canary: Path) -> None:
    (top / "directory").symlink_to(canary)
    (top / "d000" / "up").symlink_to("../..")
    (top / "file").symlink_to(next(canary.rglob("f0")))
    (top / "dangling").symlink_to("nowhere")
    os.mkfifo(top / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(top / "socket"))
        assert discovered_and_removed(pool, top).entries_removed == 306
    assert not top.exists()


def test_hard_links_outside_keep_their_file(pool: WorkPool, top: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.write_bytes(b"x" * 50_000)
    os.link(shared, top / "one")
    os.link(shared, top / "d000" / "two")
    (top / "mine").write_bytes(b"x" * 50_000)
    os.link(top / "mine", top / "d000" / "mine too")
    outside = shared.stat().st_blocks * 512
    usage = measured(pool, top).usage
    result = discovered_and_removed(pool, top)
    assert_complete(result, usage.entries, usage.allocated - outside)
    assert shared.read_bytes() == b"x" * 50_000


def test_a_hundred_thousand_entries_in_one_directory(pool: WorkPool, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "volume", 256) as volume:
        fill(volume / "top", 100_000)
        assert discovered_and_removed(pool, volume / "top").entries_removed == 100_000
        assert os.listdir(volume) == []


_NAMES = st.binary(min_size=1, max_size=10).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)
_TREES = st.recursive(
    st.sampled_from(["file", "link to canary", "hard link to canary", "fifo", "empty"]),
    lambda children: st.dictionaries(_NAMES, children, max_size=6),
    max_leaves=30,
)


def build(path: bytes, shape: object, canary: bytes) -> int:
    """Makes what the shape says; returns how many entries it made."""
    if isinstance(shape, dict):
        os.mkdir(path)
        return 1 + sum(build(os.path.join(path, name), inner, canary) for name, inner in shape.items())
    if shape == "link to canary":
        os.symlink(canary, path)
    elif shape == "hard link to canary":
        os.link(os.path.join(canary, b"file"), path)
    elif shape == "fifo":
        os.mkfifo(path)
    elif shape == "empty":
        os.mkdir(path)
    else:
        with open(path, "wb") as file:
            file.write(b"content")
    return 1


@settings(max_examples=60)
@given(shape=st.dictionaries(_NAMES, _TREES, max_size=8))
def test_any_tree_is_removed_and_nothing_else(shape: dict[bytes, object]) -> None:
    pool = WorkPool()
    directory = Path(tempfile.mkdtemp(prefix="sweeper-remove-"))
    try:
        canary = directory / "canary"
        canary.mkdir()
        (canary / "file").write_bytes(b"precious")
        (canary / "inner").mkdir()
        with opened(canary):
            entries = build(os.fsencode(directory / "top"), shape, os.fsencode(canary)) - 1
        result = discovered_and_removed(pool, directory / "top")
        assert (result.outcome, result.entries_removed) == (RemovalOutcome.COMPLETE, entries)
        assert os.listdir(directory) == ["canary"]
        assert sorted(os.listdir(canary)) == ["file", "inner"]
        assert ((canary / "file").read_bytes(), (canary / "file").stat().st_nlink) == (b"precious", 1)
    finally:
        pool.close()
        shutil.rmtree(directory)
    assert pool.failures == ()


def test_many_trees_at_once_share_pool_and_descriptors(pool: WorkPool, tmp_path: Path, canary: Path) -> None:
    tops = [make_tree(tmp_path / f"top{number}", 150) for number in range(10)]
    discoveries = [discovered(pool, top) for top in tops]
    ends = [Awaited[Removal]() for _ in tops]
    with opened(tmp_path) as parent:
        for top, discovery, end in zip(tops, discoveries, ends, strict=True):
            name = os.fsencode(top.name)
            remove(pool, parent, name, discovery, cancel=threading.Event(), on_done=end)
        assert [end.result().entries_removed for end in ends] == [150] * 10
    assert os.listdir(tmp_path) == ["canary"]
    assert len(os.listdir("/proc/self/fd")) < 256


# --- what changes meanwhile -------------------------------------------------------------------------------------------


def test_a_top_that_was_exchanged_is_not_touched(pool: WorkPool, top: Path, canary: Path) -> None:
    discovery = discovered(pool, top)
    top.rename(top.with_name("moved"))
    shutil.copytree(canary, top)
    before = fingerprint(top)
    result = removed(pool, top, discovery)
    assert (result.outcome, result.entries_removed) == (RemovalOutcome.FAILED, 0)
    assert result.errors == (". is another directory than before",)
    assert fingerprint(top) == before


def test_a_top_that_became_a_link_is_not_followed(pool: WorkPool, top: Path, canary: Path) -> None:
    discovery = discovered(pool, top)
    top.rename(top.with_name("moved"))
    top.symlink_to(canary)
    result = removed(pool, top, discovery)
    assert (result.outcome, result.entries_removed) == (RemovalOutcome.FAILED, 0)
    assert top.is_symlink()


def test_a_top_that_is_gone_is_done(pool: WorkPool, top: Path) -> None:
    discovery = discovered(pool, top)
    shutil.rmtree(top)
    assert removed(pool, top, discovery).complete


def test_what_others_removed_meanwhile_is_done(pool: WorkPool, top: Path) -> None:
    discovery = discovered(pool, top)
    shutil.rmtree(top / "d000" / "d00003")
    (top / "d000" / "d00004" / "f1").unlink()
    assert removed(pool, top, discovery).complete
    assert not top.exists()


def test_what_appeared_after_the_discovery_is_removed_by_the_same_rules(
    pool: WorkPool, top: Path, canary: Path
) -> None:
    discovery = discovered(pool, top)
    make_tree(top / "new", 50)
    make_tree(top / "d000" / "d00003" / "deep" / "new", 50)
    (top / "d000" / "d00004" / "link").symlink_to(canary)
    assert removed(pool, top, discovery).complete
    assert not top.exists()


def test_a_directory_that_became_a_link_is_left_and_reported(pool: WorkPool, top: Path, canary: Path) -> None:
    discovery = discovered(pool, top)
    (top / "d000" / "d00003").rename(top.parent / "moved")
    (top / "d000" / "d00003").symlink_to(canary)
    result = removed(pool, top, discovery)
    assert result.outcome is RemovalOutcome.FAILED
    assert result.errors == ("d000/d00003: is something else than before",)
    assert [path.name for path in top.rglob("*")] == ["d000", "d00003"]
    assert len(list((top.parent / "moved").iterdir())) == 50


def test_a_directory_that_was_exchanged_is_left_and_reported(pool: WorkPool, top: Path, canary: Path) -> None:
    discovery = discovered(pool, top)
    (top / "d000" / "d00003").rename(top.parent / "moved")
    shutil.copytree(canary, top / "d000" / "d00003")
    result = removed(pool, top, discovery)
    assert result.errors == ("d000/d00003 is another directory than before",)
    assert len(list((top / "d000" / "d00003").rglob("*"))) == 40


def test_a_mount_that_appears_ends_it_and_is_not_entered(pool: WorkPool, top: Path, canary: Path) -> None:
    discovery = discovered(pool, top)
    with bind(canary, top / "d000" / "d00003"):
        result = removed(pool, top, discovery)
        assert fingerprint(top / "d000" / "d00003") == fingerprint(canary)
    assert result.outcome is RemovalOutcome.FAILED
    assert "d000/d00003: contains a mount point" in result.errors


def test_a_mount_in_a_directory_that_appears_ends_it_too(pool: WorkPool, top: Path, canary: Path) -> None:
    discovery = discovered(pool, top)
    with bind(canary, top / "d000" / "d00003" / "new"), tmpfs(top / "other") as other:
        (other / "precious").touch()
        result = removed(pool, top, discovery)
        assert (other / "precious").exists()
    assert result.outcome is RemovalOutcome.FAILED
    assert any("contains a mount point" in error for error in result.errors)


def test_another_directory_that_takes_the_tops_name_meanwhile_stays(pool: WorkPool, tmp_path: Path) -> None:
    make_tree(tmp_path / "backing" / "top", 60)
    with slow_volume(tmp_path / "backing", tmp_path / "mount", latency={"unlink": 0.02}) as volume:
        top = volume.path / "top"
        discovery = discovered(pool, top)
        counters = Counters()
        end = Awaited[Removal]()
        with opened(volume.path) as parent:
            remove(pool, parent, b"top", discovery, cancel=threading.Event(), counters=counters, on_done=end)
            while not counters.entries:
                time.sleep(0.002)
            top.rename(volume.path / "moved")
            top.mkdir()
            result = end.result()
        assert (result.outcome, result.errors) == (RemovalOutcome.FAILED, ("top is another directory than before",))
        assert sorted(os.listdir(volume.path)) == ["moved", "top"]


class Swapper:
    """A thread that keeps exchanging directories of a tree for links to outside, and back."""

    def __init__(self, top: Path, outside: Path) -> None:
        self._directories = [path for path in top.rglob("*") if path.is_dir()]
        self._outside = outside
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._swap)
        self.swaps = 0

    def _swap(self) -> None:
        while not self._stop.is_set():
            for directory in self._directories:
                away = directory.with_name(directory.name + "~")
                try:
                    directory.rename(away)
                    directory.symlink_to(self._outside)
                    self.swaps += 1
                    directory.unlink()
                    away.rename(directory)
                except OSError:
                    continue

    def __enter__(self) -> "Swapper":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()


def test_nothing_outside_is_touched_while_directories_are_swapped_for_links(tmp_path: Path, canary: Path) -> None:
    """Whatever becomes of the tree, the canary (see the fixture) is as it was, in every one of many rounds."""
    swaps = 0
    for round_ in range(25):
        pool = WorkPool(impact=Impact.FAST)
        top = make_tree(tmp_path / f"top{round_}", 80, per_directory=6)
        discovery = discovered(pool, top)
        with Swapper(top, canary) as swapper:
            result = removed(pool, top, discovery, back_off=(0.001, 0.001))
            deadline = time.monotonic() + 5
            while not swapper.swaps and top.exists() and time.monotonic() < deadline:
                time.sleep(0.001)
        swaps += swapper.swaps
        pool.close()
        assert pool.failures == ()
        assert result.complete == (not os.path.lexists(top))
        assert len(list(canary.rglob("*"))) == 40
    assert swaps > 0


def test_a_directory_that_is_never_empty_is_given_up(pool: WorkPool, top: Path) -> None:
    discovery = discovered(pool, top)
    stop = threading.Event()

    def keep_writing() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                (top / "d000" / "d00003" / f"new{number}").touch()
            except FileNotFoundError:
                return

    writer = threading.Thread(target=keep_writing)
    writer.start()
    result = removed(pool, top, discovery)
    stop.set()
    writer.join()
    assert result.complete == (not top.exists())
    if not result.complete:
        assert any("in use on this or another host" in error for error in result.errors)


# --- permissions ------------------------------------------------------------------------------------------------------


@contextmanager
def nobodys_pool() -> Iterator[WorkPool]:
    """A pool whose threads inherit the rights of the one that makes it."""
    pool = WorkPool()
    yield pool
    pool.close()
    assert pool.failures == ()


def test_own_directories_without_write_permission_are_made_writable(nobodys: Path) -> None:
    def remove_as_nobody() -> None:
        tree = make_tree(nobodys / "tree", 120, per_directory=10)
        for directory in [path for path in tree.rglob("*") if path.is_dir()]:
            directory.chmod(0o555)
        with nobodys_pool() as pool:
            result = discovered_and_removed(pool, tree)
        assert result.complete
        assert result.modes
        assert all(mode.endswith(": 0555") for mode in result.modes)
        assert not tree.exists()

    as_nobody(remove_as_nobody)


def test_what_others_own_is_left_and_reported_with_the_owners_name(nobodys: Path) -> None:
    tree = nobodys / "tree"
    (tree / "roots").mkdir(parents=True)
    for number in range(8):
        (tree / "roots" / f"f{number}").touch()
    (tree / "mine").mkdir()
    (tree / "mine" / "file").touch()
    for path in (tree, tree / "mine"):
        os.chown(path, NOBODY, NOBODY)

    def remove_as_nobody() -> None:
        with nobodys_pool() as pool:
            result = discovered_and_removed(pool, tree)
        assert (result.outcome, result.error_count, len(result.errors)) == (RemovalOutcome.FAILED, 8, 5)
        owner = pwd.getpwuid(0).pw_name
        assert all(f"Permission denied (the directory belongs to {owner})" in error for error in result.errors)
        assert result.errors[0].startswith("roots/f")
        assert result.entries_removed == 2

    as_nobody(remove_as_nobody)
    assert sorted(path.name for path in tree.rglob("*")) == [*(f"f{number}" for number in range(8)), "roots"]


def test_one_entry_that_stays_does_not_keep_the_others(pool: WorkPool, top: Path) -> None:
    stubborn = top / "d000" / "d00003" / "f7"
    subprocess.run(["chattr", "+i", stubborn], check=True)
    try:
        result = discovered_and_removed(pool, top)
    finally:
        subprocess.run(["chattr", "-i", stubborn], check=True)
    assert [path.name for path in top.rglob("*")] == ["d000", "d00003", "f7"]
    assert (result.outcome, result.error_count) == (RemovalOutcome.FAILED, 1)
    assert result.errors == ("d000/d00003/f7: Operation not permitted (it belongs to root)",)
    assert result.entries_removed == 297


def test_a_sticky_directory_keeps_what_others_own(nobodys: Path) -> None:
    tree = nobodys / "tree"
    (tree / "sticky").mkdir(parents=True)
    (tree / "sticky" / "roots").touch()
    (tree / "sticky").chmod(0o1777)
    os.chown(tree, NOBODY, NOBODY)

    def remove_as_nobody() -> None:
        with nobodys_pool() as pool:
            result = discovered_and_removed(pool, tree)
        assert result.errors == ("sticky/roots: Operation not permitted (it belongs to root)",)

    as_nobody(remove_as_nobody)


def test_a_directory_that_can_not_be_opened_any_more_is_reported_once(nobodys: Path) -> None:
    """And the removal ends, though what is below it can't be reached either."""
    tree = make_tree(nobodys / "tree", 100, per_directory=10)
    for path in [tree, *tree.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)

    def remove_as_nobody() -> None:
        with nobodys_pool() as pool:
            discovery = discovered(pool, tree)
            (tree / "d000").chmod(0)
            result = removed(pool, tree, discovery)
        assert result.outcome is RemovalOutcome.FAILED
        assert result.errors
        assert all("Permission denied" in error for error in result.errors)

    as_nobody(remove_as_nobody)


# --- a volume with faults ---------------------------------------------------------------------------------------------


@contextmanager
def faulty(
    tmp_path: Path, *faults: Fault, entries: int = 60, silly_rename: bool = False
) -> Iterator[tuple[Path, Path]]:
    """The tree as mounted and as it really is; the faults begin after it was made."""
    real = make_tree(tmp_path / "backing" / "top", entries, per_directory=10)
    with slow_volume(tmp_path / "backing", tmp_path / "mount", *faults, silly_rename=silly_rename) as volume:
        yield volume.path / "top", real


@pytest.mark.parametrize("error", ["EIO", "ETIMEDOUT"])
@pytest.mark.parametrize(
    ("operation", "path"),
    [("unlink", "*/d00003/f4"), ("rmdir", "*/d00003"), ("readdir", "*/d00003"), ("opendir", "*/d00003")],
)
def test_what_does_not_answer_is_tried_again(
    pool: WorkPool, tmp_path: Path, error: str, operation: str, path: str
) -> None:
    real = make_tree(tmp_path / "backing" / "top", 60, per_directory=10)
    with slow_volume(tmp_path / "backing", tmp_path / "mount") as volume:
        discovery = discovered(pool, volume.path / "top")
        volume.set_plan(Fault(operation, path, error=error, times=2))
        result = removed(pool, volume.path / "top", discovery)
    assert (result.outcome, result.error_count) == (RemovalOutcome.COMPLETE, 0)
    assert not real.exists()


def test_what_never_answers_is_reported_and_the_rest_removed(pool: WorkPool, tmp_path: Path) -> None:
    with faulty(tmp_path, Fault("unlink", "*/d00003/f4", error="EIO")) as (tree, real):
        result = discovered_and_removed(pool, tree)
    assert (result.outcome, result.error_count) == (RemovalOutcome.FAILED, 1)
    assert result.errors == ("d000/d00003/f4: Input/output error",)
    assert sorted(path.name for path in real.rglob("*")) == ["d000", "d00003", "f4"]


def test_a_stale_handle_is_opened_anew(pool: WorkPool, tmp_path: Path) -> None:
    with faulty(tmp_path, Fault("unlink", "*/d00003/f4", error="ESTALE", times=4)) as (tree, real):
        result = discovered_and_removed(pool, tree)
    assert result.complete
    assert not real.exists()


def test_a_file_that_is_open_elsewhere_is_waited_for(pool: WorkPool, tmp_path: Path) -> None:
    """NFS keeps it as .nfsXXXX until it is closed."""
    with faulty(tmp_path, silly_rename=True) as (tree, real):
        discovery = discovered(pool, tree)
        held = (tree / "d000" / "d00003" / "f4").open("rb")
        threading.Timer(0.3, held.close).start()
        result = removed(pool, tree, discovery, back_off=BACK_OFF)
    assert result.complete
    assert not real.exists()


def test_a_file_that_stays_open_is_reported_as_in_use(pool: WorkPool, tmp_path: Path) -> None:
    with faulty(tmp_path, silly_rename=True) as (tree, _):
        discovery = discovered(pool, tree)
        with (tree / "d000" / "d00003" / "f4").open("rb"):
            result = removed(pool, tree, discovery)
    assert result.outcome is RemovalOutcome.FAILED
    assert result.error_count == 1
    assert "in use on this or another host" in result.errors[0]
    assert result.entries_removed >= 57


def test_a_volume_that_turns_read_only_ends_it_at_once(pool: WorkPool, tmp_path: Path) -> None:
    with faulty(tmp_path, Fault("unlink", error="EROFS"), entries=600) as (tree, real):
        result = discovered_and_removed(pool, tree)
    assert (result.outcome, result.entries_removed) == (RemovalOutcome.FAILED, 0)
    assert "the volume is read-only" in result.errors[0]
    assert result.error_count < 100
    assert len(list(real.rglob("*"))) == 600


def test_the_last_rmdir_is_tried_again_too(pool: WorkPool, tmp_path: Path) -> None:
    with faulty(tmp_path, Fault("rmdir", "top", error="EBUSY", times=2)) as (tree, real):
        result = discovered_and_removed(pool, tree)
    assert result.complete
    assert not real.exists()


def test_a_back_off_keeps_no_thread_and_nothing_else_waiting(tmp_path: Path) -> None:
    pool = WorkPool(max_in_flight=1)
    with faulty(tmp_path, Fault("unlink", "*/d00001/f4", error="EIO"), entries=30) as (tree, _):
        discovery = discovered(pool, tree)
        end = Awaited[Removal]()
        cancel = threading.Event()
        with opened(tree.parent) as parent:
            remove(pool, parent, b"top", discovery, cancel=cancel, on_done=end, back_off=(3_600.0,))
            assert discovered_and_removed(pool, make_tree(tmp_path / "other", 50)).complete
            cancel.set()
            began = time.monotonic()
            assert end.result().cancelled
            assert time.monotonic() - began < 1.0
    pool.close()
    assert pool.failures == ()


def test_whoever_is_told_of_the_end_may_take_his_time(tmp_path: Path, canary: Path) -> None:
    """The sweep reads the registry and writes its log there: the volume's work goes on meanwhile."""
    pool = WorkPool(max_in_flight=1)
    told = threading.Semaphore(0)
    released = threading.Event()

    def wait(_result: object) -> None:
        told.release()
        released.wait(60)

    top = make_tree(tmp_path / "top", 20)
    discovery = discovered(pool, top)
    cancel = threading.Event()
    with opened(tmp_path) as parent:
        remove(pool, parent, b"top", discovery, cancel=cancel, on_done=wait)
        discover(
            pool, parent, b"canary", evidence_newest_ns=None, evidence_identity=None, now_ns=time.time_ns(),
            cancel=cancel, on_done=wait,
        )  # fmt: skip
        measure(pool, parent, b"canary", now_ns=time.time_ns(), cancel=cancel, on_done=wait)
        for _ in range(3):
            assert told.acquire(timeout=30)
        assert (pool.in_flight, pool.stalled_for) == (0, 0.0)
        assert measured(pool, canary).usage.entries == 40
    released.set()
    pool.close()
    assert pool.failures == ()


# --- cancelling, pace, memory -----------------------------------------------------------------------------------------


def test_a_cancel_takes_effect_before_the_next_entry(pool: WorkPool, tmp_path: Path) -> None:
    """3,000 unlinks of 20 ms, many in flight; what is removed after the cancel were the ones in flight."""
    make_tree(tmp_path / "backing" / "top", 3_000)
    with slow_volume(tmp_path / "backing", tmp_path / "mount", latency={"unlink": 0.02}) as volume:
        discovery = discovered(pool, volume.path / "top")
        cancel = threading.Event()
        counters = Counters()
        end = Awaited[Removal]()
        with opened(volume.path) as parent:
            remove(pool, parent, b"top", discovery, cancel=cancel, counters=counters, on_done=end)
            while counters.entries < 20:
                time.sleep(0.005)
            cancel.set()
            began = time.monotonic()
            before = volume.counts()["unlink"]
            result = end.result()
        assert time.monotonic() - began < 1.5
        assert volume.counts()["unlink"] - before <= 64
    assert (result.outcome, result.error_count) == (RemovalOutcome.CANCELLED, 0)
    assert 0 < result.entries_removed < 3_000
    assert 0 < result.bytes_freed < discovery.allocated
    left = len(list((tmp_path / "backing" / "top").rglob("*")))
    assert left == 3_000 - result.entries_removed
    assert counters.entries == result.entries_removed


def test_what_was_cancelled_can_be_resumed(pool: WorkPool, tmp_path: Path) -> None:
    make_tree(tmp_path / "backing" / "top", 400)
    with slow_volume(tmp_path / "backing", tmp_path / "mount", latency={"unlink": 0.01}) as volume:
        top = volume.path / "top"
        cancel = threading.Event()
        discovery = discovered(pool, top)
        threading.Timer(0.2, cancel.set).start()
        first = removed(pool, top, discovery, cancel=cancel)
        volume.set_plan(latency={})
        again = discovered_and_removed(pool, top)
    assert first.cancelled
    assert again.complete
    assert first.entries_removed + again.entries_removed == 400


def test_a_cancelled_one_is_not_begun(pool: WorkPool, top: Path) -> None:
    discovery = discovered(pool, top)
    before = fingerprint(top)
    cancel = threading.Event()
    cancel.set()
    result = removed(pool, top, discovery, cancel=cancel)
    assert (result.outcome, result.entries_removed) == (RemovalOutcome.CANCELLED, 0)
    assert fingerprint(top) == before


def test_a_closing_pool_cancels(tmp_path: Path) -> None:
    make_tree(tmp_path / "backing" / "top", 2_000)
    pool = WorkPool()
    with slow_volume(tmp_path / "backing", tmp_path / "mount", latency={"unlink": 0.01}) as volume:
        discovery = discovered(pool, volume.path / "top")
        end = Awaited[Removal]()
        with opened(volume.path) as parent:
            remove(pool, parent, b"top", discovery, cancel=threading.Event(), on_done=end)
            time.sleep(0.1)
            pool.close()
            assert end.result().cancelled


def test_a_slow_volume_is_worked_on_in_parallel(pool: WorkPool, tmp_path: Path) -> None:
    """1,000 unlinks of 20 ms in 20 directories: 20 s one after the other."""
    make_tree(tmp_path / "backing" / "top", 1_021)
    with slow_volume(tmp_path / "backing", tmp_path / "mount", latency={"unlink": 0.02}, cache=60) as volume:
        discovery = discovered(pool, volume.path / "top")
        began = time.monotonic()
        assert removed(pool, volume.path / "top", discovery).complete
        assert time.monotonic() - began < 8.0


def test_children_are_removed_only_after_all_of_them_are_empty(pool: WorkPool, tmp_path: Path) -> None:
    """An rmdir that waits in a directory would hold up the look-ups in it."""
    make_tree(tmp_path / "backing" / "top", 300, per_directory=20)
    with slow_volume(tmp_path / "backing", tmp_path / "mount", latency={"unlink": 0.001}) as volume:
        assert discovered_and_removed(pool, volume.path / "top").complete
        calls = [call for call in volume.calls() if call[0] in ("unlink", "rmdir")]
    first_rmdir = next(index for index, call in enumerate(calls) if call[0] == "rmdir")
    below_d000 = [index for index, (operation, path) in enumerate(calls) if operation == "unlink" and "/d000/" in path]
    assert max(below_d000) < first_rmdir


def test_memory_stays_small_on_a_huge_directory(tmp_path: Path) -> None:
    """In a process of its own: what 200,000 names would take if they were all kept would show."""
    script = """
import sys
from pathlib import Path
from sweeper_gui.storage.queue import WorkPool
from tests.support.removals import discovered, measured, peak_memory, removed
pool, tree = WorkPool(), Path(sys.argv[1])
before = peak_memory()
assert measured(pool, tree).usage.entries == 200_000
assert removed(pool, tree, discovered(pool, tree)).entries_removed == 200_000
print(peak_memory() - before)
"""
    with tmpfs(tmp_path / "volume", 512) as volume:
        fill(volume / "tree", 200_000)
        result = subprocess.run(
            [sys.executable, "-c", script, volume / "tree"], capture_output=True, text=True, check=True
        )
    assert int(result.stdout) < 20_000  # KiB


# --- in which order ---------------------------------------------------------------------------------------------------


def begun(pool: WorkPool, parent: int, name: str, on_done: Callable[[Discovery], None], fullest: int) -> None:
    """Begins the discovery of a tree that is fit for everything."""
    discover(
        pool, parent, name.encode(), evidence_newest_ns=None, evidence_identity=None, now_ns=time.time_ns(),
        cancel=threading.Event(), on_done=on_done, fullest=fullest,
    )  # fmt: skip


@contextmanager
def busy(pool: WorkPool) -> Iterator[None]:
    """Nothing that is queued meanwhile begins before the end, in a pool of one job at a time."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        release.wait(PATIENCE)

    pool.submit(hold, (0.0,))
    assert held.wait(PATIENCE)
    yield
    release.set()


def noted_order(pool: WorkPool, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[tuple[bytes, set[bytes]]]]:
    """In which order directories were worked in from now on: the tree, and their names, until it was another tree."""
    pinned, order = pool.descriptors.pinned, []

    def noted(node: Node) -> AbstractContextManager[int]:
        order.append((node.tree.name, node.name))
        return pinned(node)

    monkeypatch.setattr(pool.descriptors, "pinned", noted)
    return lambda: [(tree, {name for _, name in group}) for tree, group in groupby(order, lambda noted: noted[0])]


def test_trees_are_discovered_one_after_the_other_those_first_that_take_longest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = WorkPool(max_in_flight=1)
    order = noted_order(pool, monkeypatch)
    ended = {name: Awaited[Discovery]() for name in ("short", "long", "unknown", "longer")}
    with opened(tmp_path) as parent:
        with busy(pool):
            for (name, finish), fullest in zip(ended.items(), (40, 150, 0, 300), strict=True):
                make_tree(tmp_path / name, 40)
                begun(pool, parent, name, finish, fullest)
        assert all(finish.result().ok for finish in ended.values())
    assert [tree for tree, _ in order()] == [b"unknown", b"longer", b"long", b"short"]
    pool.close()


def test_the_fullest_directory_is_emptied_while_other_trees_are_yet_to_be_discovered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, finished, later = WorkPool(max_in_flight=1), Awaited[Removal](), Awaited[Discovery]()
    fill(make_tree(tmp_path / "tree", 40) / "many", 300)
    make_tree(tmp_path / "later", 40)
    order: list[Callable[[], list[tuple[bytes, set[bytes]]]]] = []

    def go_on(discovery: Discovery) -> None:
        order.append(noted_order(pool, monkeypatch))
        with busy(pool):
            remove(pool, parent, b"tree", discovery, cancel=threading.Event(), on_done=finished)
            begun(pool, parent, "later", later, fullest=150)

    with opened(tmp_path) as parent:
        begun(pool, parent, "tree", go_on, fullest=300)
        assert later.result().ok
        assert finished.result().complete
    first, second, third = order[0]()
    assert (first, second[0], third[0]) == ((b"tree", {b"", b"many"}), b"later", b"tree")
    assert len(third[1]) > 1
    assert b"many" not in third[1]
    pool.close()
    assert pool.failures == ()
