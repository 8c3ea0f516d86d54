"""A hostile process at work in a tree during its discovery and removal: nothing outside is ever touched."""

import contextlib
import os
from collections import Counter
from pathlib import Path

import pytest

from sweeper_gui.storage import bulk, files, remove
from sweeper_gui.storage.discover import Directory
from sweeper_gui.storage.queue import Gauge, Impact, WorkPool
from tests.support.hostile import hostile
from tests.support.mounts import tmpfs
from tests.support.nobody import NOBODY, NOBODY_READING_ALL, as_nobody
from tests.support.removals import discovered, discovered_and_removed, fill, measured, removed
from tests.support.root import need_root
from tests.support.slowfs import slow_volume
from tests.support.trees import fingerprint, make_tree

ROUNDS = 6
ATTACKS = {"link", "away", "across", "file", "make"}


@pytest.fixture(params=["openat2", "without openat2"])
def opening(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As new kernels open directories, and as old ones do."""
    if request.param != "openat2":
        monkeypatch.setattr(files, "has_openat2", lambda: False)


def attack_rounds(directory: Path, *, as_root: bool) -> Counter[str]:
    """What the hostile process has done in all rounds; each begins with a new tree."""
    canary = make_tree(directory / "canary", 40)
    before = fingerprint(canary)
    done: Counter[str] = Counter()
    for number in range(ROUNDS):
        top, stash = make_tree(directory / f"ws{number}", 220, per_directory=8), directory / f"stash{number}"
        trash = directory / f"trash{number}"
        stash.mkdir()
        trash.mkdir(0o700)
        if not as_root:
            give_to_nobody(top, stash, trash)
        with hostile(top, canary, stash, run_as=() if as_root else NOBODY_READING_ALL) as attacker:
            if as_root:
                attack_one(top, trash)
            else:
                as_nobody(attack_one, top, trash)
        done += attacker.done
        assert fingerprint(canary) == before
    return done


def give_to_nobody(*trees: Path) -> None:
    for tree in trees:
        for path in (tree, *tree.rglob("*")):
            os.chown(path, NOBODY, NOBODY)


def attack_one(top: Path, trash: Path, attempts: int = 4) -> None:
    """The way of one workspace: measured, set aside, and removed, with so many attempts."""
    pool = WorkPool(impact=Impact.FAST)
    measured(pool, top)
    aside = top.rename(trash / "1")
    for _ in range(attempts):
        found = discovered(pool, aside)
        if found.ok:
            result = removed(pool, aside, found, back_off=(0.001, 0.001, 0.001))
            assert result.complete == (not os.path.lexists(aside))
            assert result.complete or result.errors
        if not os.path.lexists(aside):
            break
    pool.close()
    assert pool.failures == ()
    assert pool.descriptors.open_now == 0


@pytest.mark.usefixtures("opening")
def test_nothing_outside_is_touched_as_root(tmp_path: Path) -> None:
    done = attack_rounds(tmp_path, as_root=True)
    assert {*done} == ATTACKS, done


@pytest.mark.usefixtures("opening")
def test_nothing_outside_is_touched_as_nobody(nobodys: Path) -> None:
    done = attack_rounds(nobodys, as_root=False)
    assert {*done} == ATTACKS, done


@pytest.mark.usefixtures("opening")
def test_no_mount_is_entered_whenever_it_is_made(pool: WorkPool, tmp_path: Path) -> None:
    """Bind mounts that come and go in the tree, as long as anything is done with it."""
    need_root()
    canary = make_tree(tmp_path / "canary", 40)
    before = fingerprint(canary)
    mounts = 0
    for number in range(4):
        top, stash, trash = (tmp_path / f"{name}{number}" for name in ("ws", "stash", "trash"))
        make_tree(top, 400, per_directory=8)
        stash.mkdir()
        trash.mkdir(0o700)
        with hostile(top, canary, stash, does="mount") as attacker:
            attack_one(top, trash, attempts=20)
        mounts += attacker.done["mount"]
        assert fingerprint(canary) == before
        assert not os.path.lexists(trash / "1") or discovered_and_removed(pool, trash / "1").complete
    assert mounts > 0
    assert fingerprint(canary) == before


def test_directory_that_is_filled_again_and_again_is_given_up_and_told(
    pool: WorkPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remove, "MAX_PASSES", 10)
    make_tree(tmp_path / "backing" / "ws", 20, per_directory=8)
    for name in ("trash", "stash"):
        (tmp_path / "backing" / name).mkdir()
    with slow_volume(tmp_path / "backing", tmp_path / "mount", latency={"unlink": 0.005}) as volume:
        discovery = discovered(pool, volume.path / "ws")
        with hostile(volume.path / "ws", tmp_path, volume.path / "stash", does="make") as attacker:
            aside = (volume.path / "ws").rename(volume.path / "trash" / "1")
            result = removed(pool, aside, discovery)
        assert result.complete == (not os.path.lexists(aside))
        if not result.complete:
            assert any("in use on this or another host" in error for error in result.errors)
            assert discovered_and_removed(pool, aside).complete
    assert attacker.done["make"] > 0


def test_directories_that_are_made_ever_deeper_are_not_followed_for_ever(
    pool: WorkPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever one is listed there is one more below."""
    original = remove._Removing._unlink_all

    def unlink_all(self: remove._Removing, directory: Directory, descriptor: int, gauge: Gauge) -> remove._Leftover:
        with contextlib.suppress(FileExistsError):
            os.mkdir("deeper", dir_fd=descriptor)
        return original(self, directory, descriptor, gauge)

    top = make_tree(tmp_path / "top", 20)
    discovery = discovered(pool, top)
    with monkeypatch.context() as patch:
        patch.setattr(remove._Removing, "_unlink_all", unlink_all)
        result = removed(pool, top, discovery)
    assert result.outcome is remove.RemovalOutcome.FAILED
    assert "in use on this or another host" in result.errors[0]
    assert discovered_and_removed(pool, top).complete


def test_listing_without_an_end_is_given_up(pool: WorkPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = make_tree(tmp_path / "top", 20)
    discovery = discovered(pool, top)
    original = bulk.list_names
    with monkeypatch.context() as patch:
        patch.setattr(bulk, "list_names", lambda *one, **more: original(*one, **more)._replace(more=True))
        result = removed(pool, top, discovery)
    assert result.outcome is remove.RemovalOutcome.FAILED
    assert "in use on this or another host" in result.errors[0]
    assert discovered_and_removed(pool, top).complete


def test_what_it_takes_away_stays_whole(tmp_path: Path) -> None:
    """But for what is unlinked between two looks, 0.2 ms, at where a directory is."""
    canary = make_tree(tmp_path / "canary", 10)
    taken: list[tuple[int, int]] = []
    with tmpfs(tmp_path / "volume") as volume:
        for number in range(4):
            top, stash, trash = (volume / f"{name}{number}" for name in ("ws", "stash", "trash"))
            top.mkdir()
            for part in range(4):
                fill(top / f"part{part}", 2_000)
            stash.mkdir()
            trash.mkdir(0o700)
            with hostile(top, canary, stash, does="take") as attacker:
                attack_one(top, trash)
            taken += attacker.taken
    assert taken
    assert all(after - later <= 200 for after, later in taken), taken
    assert any(later > 200 for _, later in taken), taken
