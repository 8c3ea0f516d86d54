"""Another directory under a workspace's name and with its inode number: a real ext4 gives those out again at once.

The new one is made by somebody who knows how to hide it: it has the mtimes of the old one. Nobody can set a ctime, and
the kernel sets it for whatever is made, written or moved there.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sweeper_gui.core.outcome import TrashState
from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.sweep import sweeper
from tests.support.mounts import ext4
from tests.support.named_steps import NamedSteps, Step
from tests.support.trees import fingerprint, make_tree
from tests.sweep.rig import Rig, results

#: Between the listing and the rename; the last is right before it, when every question has been asked.
_STEPS: tuple[Step, ...] = (
    ("mkdir .sweeper-workspaces", 1),
    ("fsync lock", 3),
    ("write log.jsonl", 2),
    ("renameat2 whole/N", 1),
)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One file system for all tests here; each has a directory of its own in it."""
    with ext4(tmp_path_factory.mktemp("same-inode") / "disk", 32) as disk:
        yield disk


@pytest.fixture
def rig(disk: Path, tmp_path: Path) -> Iterator[Rig]:
    directory = disk / tmp_path.name
    (directory / "spares").mkdir(parents=True)
    pool = WorkPool(1)
    rig = Rig(directory, pool)
    rig.volume.live("live-0")
    rig.volume.deleted("gone-0", 4)
    rig.volume.deleted("gone-1", 4)
    yield rig
    pool.close()
    shutil.rmtree(directory)


def remade(path: Path, inode: int) -> None:
    """Makes a directory that has been given this inode number; the ones made in vain lie beside the volume."""
    for number in range(500):
        path.mkdir()
        if path.stat().st_ino == inode:
            return
        path.rename(path.parent.parent / "spares" / str(number))
    raise AssertionError(f"inode {inode} was not given out again")


def written(workspace: Path, _old: Path, mtime: int) -> None:
    make_tree(workspace / "repo", 3)
    for directory, names, files in os.walk(workspace):
        for name in (*names, *files):
            os.utime(f"{directory}/{name}", ns=(mtime, mtime))


def moved_in(workspace: Path, old: Path, _mtime: int) -> None:
    old.rename(workspace / "repo")


def linked_in(workspace: Path, old: Path, _mtime: int) -> None:
    (workspace / "precious").hardlink_to(next(path for path in sorted(old.rglob("*")) if path.is_file()))


Filled = Callable[[Path, Path, int], None]


@pytest.mark.parametrize("fill", [written, moved_in, linked_in])
@pytest.mark.parametrize("step", _STEPS)
def test_directory_made_anew_before_it_is_set_aside_is_kept(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, step: Step, fill: Filled
) -> None:
    workspace = rig.volume.root / "gone-0"
    old = make_tree(rig.volume.root.parent / "old", 3)
    plan = rig.plan("gone-0")
    shown = workspace.stat()
    prints: list[str] = []

    def swap() -> None:
        shutil.rmtree(workspace)
        remade(workspace, shown.st_ino)
        fill(workspace, old, shown.st_mtime_ns)
        os.utime(workspace, ns=(shown.st_mtime_ns, shown.st_mtime_ns))
        prints.append(fingerprint(workspace))

    with monkeypatch.context() as patch:
        NamedSteps(patch, str(rig.volume.root.parent), step, swap)
        report = rig.sweep(plan)
    assert (workspace.stat().st_ino, workspace.stat().st_mtime_ns) == (shown.st_ino, shown.st_mtime_ns)
    assert [fingerprint(workspace)] == prints
    assert results(report)["gone-0"] in ("skipped", "restored")


def test_session_that_gets_the_name_and_the_inode_of_a_removed_one_is_kept(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = rig.volume.root / "gone-0"
    plan = rig.plan("gone-0", "gone-1")
    shown = workspace.stat()
    monkeypatch.setattr(sweeper, "BATCH", 1)

    def begin_anew() -> None:
        remade(workspace, shown.st_ino)
        written(workspace, workspace, shown.st_mtime_ns)
        os.utime(workspace, ns=(shown.st_mtime_ns, shown.st_mtime_ns))

    with monkeypatch.context() as patch:
        steps = NamedSteps(patch, str(rig.volume.root.parent), ("rmdir removing/N", 2), begin_anew)
        report = rig.sweep(plan)
    assert steps.acted is not None
    before = fingerprint(workspace)
    assert results(report) == {"gone-0": "removed", "gone-1": "removed"}
    for run in (rig.resume, rig.purge, lambda: rig.sweep(plan)):
        assert "removed" not in results(run()).values()
    assert not [item for item in rig.trash() if item.state is not TrashState.WHOLE]
    assert fingerprint(workspace) == before
