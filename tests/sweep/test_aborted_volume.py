"""A volume that really is read-only or full from one moment on, in the middle of a sweep."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeper_gui.cli.codes import Code, code_of
from sweeper_gui.core.outcome import Ending, TrashState
from sweeper_gui.storage.queue import WorkPool
from tests.support.mounts import ext4, tmpfs, unmount
from tests.support.named_steps import NamedSteps, Step
from tests.support.trees import fingerprint
from tests.support.volume import FakeVolume
from tests.sweep.rig import Rig, results

_STEPS: tuple[Step, ...] = (
    ("write log.jsonl", 2),  # the intents
    ("renameat2 whole/N", 2),
    ("write log.jsonl", 4),  # that they are confirmed
    ("renameat2 removing/N", 1),
    ("unlink removing/N/…", 3),
)


@pytest.fixture
def pool() -> Iterator[WorkPool]:
    made = WorkPool(1)
    yield made
    made.close()


def filled(disk: Path, elsewhere: Path, pool: WorkPool, orphans: int = 2) -> Rig:
    """Orphans and a live one on the disk; the registry and the settings lie elsewhere."""
    rig = Rig(elsewhere, pool, FakeVolume(disk, elsewhere / "collab.sqlite3"))
    rig.volume.live("live-0", 5)
    for number in range(orphans):
        rig.volume.deleted(f"gone-{number}", 5)
    return rig


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("step", _STEPS)
def test_ext4_that_gives_up_writing_ends_the_sweep_and_is_finished_after_a_repair(
    tmp_path: Path, pool: WorkPool, monkeypatch: pytest.MonkeyPatch, step: Step
) -> None:
    """As after a write error: the journal is aborted, and every further change is refused, files open or not."""
    with ext4(tmp_path / "disk", 16) as disk:
        rig = filled(disk, tmp_path, pool)
        plan = rig.plan(cap=10)
        run("sync", "--file-system", disk)
        orphans = {name: fingerprint(rig.volume.root / name) for name in ("gone-0", "gone-1")}
        live = fingerprint(rig.volume.root / "live-0")
        with monkeypatch.context() as patch:
            steps = NamedSteps(patch, str(disk), step, lambda: run("mount", "-o", "remount,abort", disk))
            report = rig.sweep(plan)
        assert steps.acted is not None
        assert (report.ending, code_of(report)) == (Ending.STOPPED, Code.UNTRUSTED)
        assert fingerprint(rig.volume.root / "live-0") == live

        unmount(disk)
        repaired = tmp_path / "repaired.ext4"  # a copy: whoever has copied our mounts keeps the aborted one alive
        run("cp", "--sparse=always", tmp_path / "disk.ext4", repaired)
        with contextlib.suppress(subprocess.CalledProcessError):  # it says so that it has mended something
            run("fsck.ext4", "-fy", repaired)
        run("mount", "-o", "loop", repaired, disk)
        repaired.unlink()
        assert fingerprint(rig.volume.root / "live-0") == live
        rig.resume()
        whole = {item.name.decode() for item in rig.trash() if item.state is TrashState.WHOLE}
        rig.restore(*whole)
        assert not rig.trash()
        for name in orphans.keys() & rig.volume.names():
            assert fingerprint(rig.volume.root / name) == orphans[name]


@pytest.mark.parametrize("step", _STEPS)
def test_volume_that_runs_full_is_cleaned_all_the_same(
    tmp_path: Path, pool: WorkPool, monkeypatch: pytest.MonkeyPatch, step: Step
) -> None:
    def fill() -> None:
        with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)

    with tmpfs(tmp_path / "disk", 2) as disk:
        rig = filled(disk, tmp_path, pool, orphans=10)  # whose intents take more than what is left of the log's page
        live = fingerprint(rig.volume.root / "live-0")
        plan = rig.plan(cap=10)
        with monkeypatch.context() as patch:
            NamedSteps(patch, str(disk), step, fill)
            report = rig.sweep(plan)
        assert (disk / "filler").stat().st_size > 1 << 20
        assert results(report) == {f"gone-{number}": "removed" for number in range(10)}
        assert report.ending is Ending.DONE
        assert fingerprint(rig.volume.root / "live-0") == live
        assert not rig.trash()
