"""What two hosts see of one export, and the whole job on it."""

import ctypes
import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sweeper_gui.core.outcome import Ending
from sweeper_gui.registries import read_all
from sweeper_gui.registries.mounts import network_file_system
from sweeper_gui.storage import files
from sweeper_gui.storage.mounts import is_network
from sweeper_gui.storage.queue import WorkPool
from tests.support.nfs import Server
from tests.support.removals import opened
from tests.support.trees import fingerprint
from tests.support.volume import FakeVolume
from tests.sweep.rig import Rig, results


def test_a_volume_is_listed_measured_and_swept(a: Rig):
    kept = fingerprint(a.volume.live("live-1", 5))
    a.volume.deleted("gone-1", 30)
    a.volume.unexplained("lost-1", 5)
    rows = a.rows()
    statuses = {name: str(row.verdict.status) for name, row in rows.items()}
    assert statuses == {"live-1": "live", "gone-1": "orphan", "lost-1": "orphan"}
    usage = rows["gone-1"].usage
    assert usage is not None
    assert (usage.complete, usage.entries) == (True, 31)
    report = a.sweep(a.plan(cap=10))
    assert results(report) == {"gone-1": "removed", "lost-1": "set-aside"}, report
    assert report.ending is Ending.DONE
    assert results(a.restore("lost-1")) == {"lost-1": "restored"}
    assert a.volume.names() == {"live-1", "lost-1"}
    assert fingerprint(a.volume.root / "live-1") == kept


def test_the_same_directory_has_one_inode_and_two_devices(a: Rig, b: Rig):
    here, there = os.stat(a.volume.deleted("gone-1")), os.stat(b.volume.root / "gone-1")
    assert here.st_ino == there.st_ino
    assert here.st_dev != there.st_dev


def test_what_one_host_set_aside_another_one_finishes(a: Rig, b: Rig):
    """It is known by its inode and its times, not by its device."""
    a.volume.live("live-1")
    a.volume.unexplained("lost-1", 10)
    a.volume.unexplained("lost-2", 10)
    assert set(results(a.sweep(a.plan("lost-1", "lost-2"))).values()) == {"set-aside"}
    assert results(b.restore("lost-1")) == {"lost-1": "restored"}
    assert results(b.purge("lost-2")) == {"lost-2": "removed"}
    assert a.volume.names() == {"live-1", "lost-1"}


def test_the_log_is_read_whole_on_the_other_host(a: Rig, b: Rig):
    a.volume.live("live-1")
    a.volume.deleted("gone-1", 10)
    a.volume.unexplained("lost-1", 10)
    assert b.trash() == []
    a.restore("nothing")
    assert len(b.history()) == 1  # from now on that host knows the directory of the sweeps
    report = a.sweep(a.plan(cap=10))
    (past,) = [past for past in b.history() if past.kind == "sweep"]
    assert (past.sweep_id, past.ending, past.problem) == (report.sweep_id, Ending.DONE, "")
    assert {outcome.name: outcome.result for outcome in past.outcomes} == {
        outcome.name: outcome.result for outcome in report.outcomes
    }
    assert [item.name for item in b.trash()] == [b"lost-1"]


def test_the_file_system_is_known_to_be_another_machines(a: Rig, server: Server):
    with a.ground() as ground:
        assert ground.volume.mount.fs_type == "nfs4"
        assert ground.volume.mount.network
        assert is_network(ground.volume.descriptor)
    assert network_file_system(a.volume.root) == "nfs4"
    with opened(server.volume) as local:
        assert not is_network(local)
    assert network_file_system(server.volume) is None


def test_a_rename_that_replaces_nothing_is_unknown_to_nfs_and_made_up_for(a: Rig):
    """NFS says EINVAL: the target is looked at first."""
    for name in ("one", "two"):
        (a.volume.root / name).mkdir()
    with opened(a.volume.root) as root:
        assert files._libc.renameat2(root, b"one", root, b"three", files._RENAME_NOREPLACE) == -1
        assert ctypes.get_errno() == errno.EINVAL
        with pytest.raises(files.NameTaken):
            files.rename_exclusively(b"one", root, b"two", root)
        files.rename_exclusively(b"one", root, b"three", root)
    assert a.volume.names() == {"two", "three"}


@pytest.mark.parametrize("kind", ["file", "directory", "empty directory", "link"])
def test_a_name_that_another_host_took_meanwhile_is_a_conflict(a: Rig, b: Rig, kind: str):
    a.volume.live("live-1")
    was = fingerprint(a.volume.unexplained("lost-1", 5))
    a.sweep(a.plan("lost-1"))
    taken = b.volume.root / "lost-1"
    if kind == "file":
        taken.write_text("new")
    elif kind == "link":
        taken.symlink_to("live-1")
    else:
        taken.mkdir()
        if kind == "directory":
            (taken / "new").touch()
    before = fingerprint(taken)
    assert results(a.restore("lost-1")) == {"lost-1": "conflict"}
    assert fingerprint(taken) == before
    (item,) = a.trash()
    assert fingerprint(a.control_dir / "sweeps" / item.sweep_id / "whole" / str(item.number)) == was


def test_sqlite_with_a_write_ahead_log_on_nfs_is_no_registry(mount_a: Path, case: str, pool: WorkPool, tmp_path: Path):
    """Other hosts' last commits can't be seen in it; the reason says where to read it instead."""
    rig = Rig(tmp_path, pool, FakeVolume(mount_a / case, mount_a / case / "collab.sqlite3"))
    rig.volume.deleted("gone-1")
    assert str(rig.rows()["gone-1"].verdict.status) == "orphan"
    with closing(sqlite3.connect(rig.volume.database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        row = rig.rows()["gone-1"]
        (read,) = read_all(rig.settings.registry).reads
    assert str(row.verdict.status) == "unknown"
    assert "WAL mode on a network file system (nfs4)" in row.verdict.reason
    assert "exec:ssh" in str(read)
