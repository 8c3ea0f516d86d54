"""Exports that make us another user than we are: root squash, and every user mapped to one, as EFS access points do."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.storage.volume import VolumeError
from tests.support.guest import MEDIA
from tests.support.nfs import ALL_SQUASH, ROOT_SQUASH, Server, mounted
from tests.support.nobody import NOBODY
from tests.support.volume import FakeVolume
from tests.sweep.rig import Rig, outcome_of, results

#: Whom an access point makes of everybody: nobody on this host has that number.
_MAPPED = 4321

Mount = Callable[..., Rig]


@pytest.fixture
def mount(server: Server, case: str, pool: WorkPool, tmp_path: Path) -> Iterator[Mount]:
    """The test's directory mounted through an export of its own, which makes all or root that user; it owns the top."""
    with ExitStack() as mounts:

        def mount(flags: int, user: int) -> Rig:
            os.chown(server.volume / case, user, user)
            server.export(case, server.volume / case, flags, user)
            place = mounts.enter_context(mounted(case, MEDIA / case, host="host-a", address="127.0.0.1"))
            return Rig(tmp_path, pool, FakeVolume(place, tmp_path / "collab.sqlite3"))

        yield mount


@pytest.mark.parametrize(("flags", "user"), [(ALL_SQUASH, _MAPPED), (ROOT_SQUASH, NOBODY)], ids=["mapped", "squashed"])
def test_what_belongs_to_whom_we_are_made_is_swept(mount: Mount, server: Server, case: str, flags: int, user: int):
    """Directories that their owner may not write to included, the top among them; nothing goes by our own number."""
    rig = mount(flags, user)
    rig.volume.live("live-1")
    module = rig.volume.deleted("gone-1", 20) / "repo" / "module"
    module.mkdir()
    (module / "file").touch()
    module.chmod(0o555)
    rig.volume.deleted("gone-2", 5).chmod(0o555)
    rig.volume.unexplained("lost-1", 5).chmod(0o555)
    report = rig.sweep(rig.plan(cap=10))
    assert results(report) == {"gone-1": "removed", "gone-2": "removed", "lost-1": "set-aside"}, report
    there = server.volume / case
    assert (there / ".sweeper-workspaces").stat().st_uid == user != os.geteuid()
    assert results(rig.restore("lost-1")) == {"lost-1": "restored"}
    assert (there / "workspaces" / "lost-1").stat().st_mode & 0o777 == 0o555


def test_what_belongs_to_others_is_named_and_stays(mount: Mount, server: Server, case: str):
    rig = mount(ALL_SQUASH, _MAPPED)
    rig.volume.live("live-1")
    for name in ("gone-1", "gone-2", "gone-3"):
        rig.volume.deleted(name, 10)
    there = server.volume / case / "workspaces"
    os.chown(there / "gone-1", 0, 0)  # can't be moved to another directory
    os.chown(there / "gone-2" / "repo", 0, 0)  # can't be emptied
    report = rig.sweep(rig.plan(cap=10))
    assert results(report) == {"gone-1": "failed", "gone-2": "partly-removed", "gone-3": "removed"}, report
    assert "can't be set aside: Permission denied" in outcome_of(report, "gone-1").reason
    assert "the directory belongs to root" in outcome_of(report, "gone-2").reason
    assert rig.volume.names() == {"live-1", "gone-1"}


def test_a_control_directory_of_another_owner_is_refused(mount: Mount, server: Server, case: str):
    """Its owner is compared with that of a file just made, not with us: we are root here, and so is it."""
    rig = mount(ROOT_SQUASH, NOBODY)
    rig.volume.live("live-1")
    rig.volume.deleted("gone-1", 10)
    plan = rig.plan(cap=10)
    planted = server.volume / case / ".sweeper-workspaces"
    planted.mkdir(0o777)
    planted.chmod(0o777)
    with pytest.raises(VolumeError, match=rf"belongs to user 0, but what we create there belongs to user {NOBODY}"):
        rig.sweep(plan)
    assert rig.volume.names() == {"live-1", "gone-1"}


def test_a_root_that_may_not_be_written_to_is_told_before_anything_is_touched(mount: Mount, server: Server, case: str):
    rig = mount(ALL_SQUASH, _MAPPED)
    rig.volume.live("live-1")
    rig.volume.deleted("gone-1", 10)
    plan = rig.plan(cap=10)
    os.chown(server.volume / case / "workspaces", 0, 0)
    with pytest.raises(VolumeError, match=r"workspaces can't be .*: Permission denied"):
        rig.sweep(plan)
    assert rig.volume.names() == {"live-1", "gone-1"}
