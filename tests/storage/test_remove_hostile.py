"""A hostile process at work in a tree during its discovery and removal: nothing outside is ever touched."""

import os
from collections import Counter
from pathlib import Path

import pytest

from sweeper_gui.storage import files
from sweeper_gui.storage.queue import Impact, WorkPool
from tests.support.hostile import hostile
from tests.support.mounts import tmpfs
from tests.support.nobody import NOBODY, NOBODY_READING_ALL, as_nobody
from tests.support.removals import discovered, fill, measured, removed
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


def attack_one(top: Path, trash: Path) -> None:
    """The way of one workspace: measured, set aside, and removed, however often it takes."""
    pool = WorkPool(impact=Impact.FAST)
    measured(pool, top)
    aside = top.rename(trash / "1")
    for _ in range(4):
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
            with hostile(top, canary, stash, takes=True) as attacker:
                attack_one(top, trash)
            taken += attacker.taken
    assert taken
    assert all(after - later <= 200 for after, later in taken), taken
    assert any(later > 200 for _, later in taken), taken
