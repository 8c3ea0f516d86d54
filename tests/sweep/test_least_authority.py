"""As whom a sweep runs: an ordinary user, members of a team, root beside others. Each may do no more than is theirs."""

import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.storage.volume import VolumeError
from tests.support.nobody import as_user, nobodys_directory
from tests.support.slowfs import slow_volume
from tests.support.trees import fingerprint
from tests.sweep.rig import Rig, outcome_of, results

T = TypeVar("T")

#: A group that every Debian has with two users in it, neither of whom may do anything; and a user outside of it.
TEAM = "nogroup"
ALICE, BOB, STRANGER = "nobody", "_apt", "games"


class Shared:
    """One volume on which several users run sweeps, each with his own pool, state and thread."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.directory = directory
        self.place = directory / "volume"
        pool = WorkPool(1)
        self.rig = Rig(self.place, pool)
        pool.close()

    def open_to(self, group: str) -> None:
        """Everything of the volume belongs to root and this group, which may write."""
        gid = grp.getgrnam(group).gr_gid
        for path in (self.place, *self.place.rglob("*")):
            os.chown(path, 0, gid)
            path.chmod(0o2770 if path.is_dir() else 0o660)
        self.open_config()

    def open_config(self) -> None:
        """Writes the settings, which all of them read."""
        self.rig.config.touch()
        os.chown(self.rig.config, 0, 0)
        _ = self.rig.settings
        self.rig.config.chmod(0o644)

    def run(self, user: str, act: Callable[[Rig], T]) -> T:
        """What the act returns or raises when this user does it."""
        account = pwd.getpwnam(user)
        state = self.directory / f"state-{user}"
        if not state.exists():
            state.mkdir(mode=0o700)
            os.chown(state, account.pw_uid, account.pw_gid)
        self._monkeypatch.setenv("SWEEPER_STATE_DIR", str(state))

        def acted() -> T:
            pool = WorkPool(4)  # its threads are the user's because they are started in here
            try:
                rig = Rig(self.place, pool)
                rig.group, rig.write_settings = self.rig.group, False
                return act(rig)
            finally:
                pool.close()

        return as_user(account.pw_uid, account.pw_gid, acted)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shared]:
    with nobodys_directory() as directory:
        os.chown(directory, 0, 0)
        directory.chmod(0o755)
        shared = Shared(directory, monkeypatch)
        volume = shared.rig.volume
        volume.live("live-0")
        for name in ("gone-0", "gone-1", "gone-2"):
            volume.deleted(name)
        shared.open_config()
        shared.run("root", lambda rig: rig.rows())  # imports what an ordinary user need not be able to read
        yield shared


def set_aside(*names: str) -> Callable[[Rig], object]:
    return lambda rig: rig.sweep(rig.plan(*names, set_aside=True))


@pytest.mark.parametrize("umask", [0o000, 0o077], ids=["umask 000", "umask 077"])
def test_a_team_shares_one_trash_and_nobody_else_gets_in(shared: Shared, umask: int) -> None:
    shared.rig.group = TEAM
    shared.open_to(TEAM)
    live = fingerprint(shared.rig.volume.root / "live-0")
    before = os.umask(umask)
    try:
        shared.run(ALICE, set_aside("gone-0", "gone-1"))
        assert results(shared.run(BOB, lambda rig: rig.restore("gone-0"))) == {"gone-0": "restored"}
        assert results(shared.run(BOB, lambda rig: rig.purge("gone-1"))) == {"gone-1": "removed"}
        assert results(shared.run(BOB, lambda rig: rig.sweep(rig.plan("gone-2")))) == {"gone-2": "removed"}
        shared.run(ALICE, set_aside("gone-0"))
        assert results(shared.run(BOB, lambda rig: rig.resume())) == {}
    finally:
        os.umask(before)
    control = shared.rig.control_dir
    for path in (control, *control.rglob("*")):
        below_a_tree = any(part in ("whole", "removing") for part in path.relative_to(control).parts[:-1])
        if not below_a_tree:
            assert path.group() == TEAM, path
            wanted = 0o2770 if path.is_dir() else 0o644 if path.name == "identity" else 0o660  # that one is no secret
            assert stat.S_IMODE(path.stat().st_mode) == wanted, path
    shared.place.chmod(0o2775)  # the stranger may look at the volume, even
    for path in (shared.place / "collab.sqlite3", shared.rig.volume.root):
        path.chmod(0o2775 if path.is_dir() else 0o664)
    before_him = fingerprint(shared.place)
    for act in (lambda rig: rig.trash(), lambda rig: rig.restore("gone-0"), lambda rig: rig.purge("gone-0")):
        with pytest.raises(VolumeError, match="can't be opened") as told:
            shared.run(STRANGER, act)
        assert told.value.hint
    assert fingerprint(shared.place) == before_him
    assert fingerprint(shared.rig.volume.root / "live-0") == live


def test_history_tells_each_member_what_the_others_did(shared: Shared) -> None:
    shared.rig.group = TEAM
    shared.open_to(TEAM)
    shared.run(ALICE, set_aside("gone-0"))
    shared.run(BOB, lambda rig: rig.restore("gone-0"))
    told = shared.run(ALICE, lambda rig: rig.history())
    assert [(run.kind, run.by.partition("@")[0]) for run in told] == [("restore", BOB), ("sweep", ALICE)]


def test_an_ordinary_user_sweeps_what_he_may_and_no_more(shared: Shared) -> None:
    """Where the directory is his, what others have put into a workspace may still be theirs."""
    alice = pwd.getpwnam(ALICE)
    volume = shared.rig.volume
    for path in (shared.place, *shared.place.rglob("*")):
        os.chown(path, alice.pw_uid, alice.pw_gid)
    os.chown(volume.root / "gone-1", 0, 0)
    roots = next((volume.root / "gone-2").rglob("f0")).parent
    os.chown(roots, 0, 0)
    shared.open_config()
    report = shared.run(ALICE, lambda rig: rig.sweep(rig.plan(cap=10)))
    assert results(report) == {"gone-0": "removed", "gone-1": "failed", "gone-2": "failed"}
    assert "root" in outcome_of(report, "gone-2").reason
    assert "live-0" in volume.names()
    assert (volume.root / "gone-1").exists()
    (left,) = shared.run(ALICE, lambda rig: rig.trash())
    assert left.name == b"gone-2"


def test_root_does_not_use_what_an_ordinary_user_has_made(shared: Shared) -> None:
    alice = pwd.getpwnam(ALICE)
    for path in (shared.place, *shared.place.rglob("*")):
        os.chown(path, alice.pw_uid, alice.pw_gid)
    shared.open_config()
    shared.run(ALICE, set_aside("gone-0"))
    root, sweeps = shared.rig.volume.root, shared.rig.control_dir / "sweeps"
    before = fingerprint(root), fingerprint(sweeps)
    for act in (lambda rig: rig.restore("gone-0"), lambda rig: rig.sweep(rig.plan("gone-1"))):
        with pytest.raises(VolumeError, match=f"belongs to user {alice.pw_uid}") as told:
            shared.run("root", act)
        assert "run as its owner" in told.value.hint
    assert (fingerprint(root), fingerprint(sweeps)) == before


@pytest.mark.parametrize("owner", [(0, 0), (12345, 12345)], ids=["as they are", "mapped to another user"])
def test_owners_that_the_volume_maps_are_those_of_a_file_just_made(
    rig: Rig, tmp_path: Path, owner: tuple[int, int]
) -> None:
    """Access points and root squash make somebody else the owner of what we create: our uid says nothing there."""
    backing = tmp_path / "backing"
    with slow_volume(backing, tmp_path / "mounted", rename_flags=True, owner=owner) as mounted:
        own = Rig(mounted.path, rig.pool)
        own.config = tmp_path / "sweeper.toml"
        own.volume.live("live-0")
        for number in range(3):
            own.volume.deleted(f"gone-{number}")
        assert results(own.sweep(own.plan("gone-0"))) == {"gone-0": "removed"}
        assert own.control_dir.stat().st_uid == owner[0]
        assert results(own.sweep(own.plan("gone-1", set_aside=True))) == {"gone-1": "set-aside"}
        assert results(own.restore("gone-1")) == {"gone-1": "restored"}
        os.chown(backing / own.control_dir.name, 54321, 54321)
        with pytest.raises(VolumeError, match=f"belongs to user 54321, but what we create there .* user {owner[0]}"):
            own.sweep(own.plan("gone-2"))
    assert (backing / "workspaces" / "gone-2").is_dir()
