"""Kill -9 at every step of a sweep: nothing live is touched, nothing is lost, and the next start finishes the work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweeper_gui.core.outcome import TrashState
from sweeper_gui.storage.queue import WorkPool
from tests.support.trees import fingerprint
from tests.sweep.rig import Rig, results

_REPO = Path(__file__).parents[2]
#: An upper bound of the steps of the sweep below; `test_all_steps_are_covered` keeps it true.
_STEPS = 150
_SHARDS = 10


def run_until(directory: Path, step: int, what: str = "sweep") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.support.dying", str(directory), str(step), what],
        cwd=_REPO, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def made(directory: Path, pool: WorkPool) -> Rig:
    directory.mkdir()
    rig = Rig(directory, pool)
    rig.volume.live("live-0", 6)
    rig.volume.live("live-1", 6)
    rig.volume.deleted("gone-0", 5)
    rig.volume.deleted("gone-1", 5)
    rig.volume.unexplained("lost-0", 4)
    return rig


@pytest.mark.parametrize("shard", range(_SHARDS))
def test_killed_at_any_step(rig: Rig, tmp_path: Path, shard: int) -> None:
    for step in range(1 + shard, _STEPS + 1, _SHARDS):
        _check(made(tmp_path / f"step-{step}", rig.pool), step)


def _check(rig: Rig, step: int) -> None:
    prints = {path.name: fingerprint(path) for path in rig.volume.root.iterdir()}
    ended = run_until(rig.volume.root.parent, step)
    assert ended.returncode in (0, -9), ended.stderr

    live = {name: fingerprint(rig.volume.root / name) for name in ("live-0", "live-1")}
    assert live == {name: prints[name] for name in live}, f"a live workspace changed at step {step}"
    lying = {item.name.decode(): item for item in rig.trash()}
    assert all(not item.problem for item in lying.values()), f"a tree without a readable log at step {step}"
    for name in ("gone-0", "gone-1", "lost-0"):
        place = rig.volume.root / name
        item = lying.get(name)
        if place.exists():
            assert fingerprint(place) == prints[name], f"{name} in its place is not whole at step {step}"
            assert item is None
        elif item is not None and item.state is TrashState.WHOLE:
            inside = rig.control_dir / "sweeps" / item.sweep_id / "whole" / str(item.number)
            assert fingerprint(inside) == prints[name], f"{name} in the trash is not whole at step {step}"
        else:
            assert name != "lost-0", f"an unexplained one was removed at step {step}"

    resumed = rig.resume()
    left = {item.name for item in rig.trash()}
    assert left <= {b"lost-0"}, f"not finished by resume after step {step}: {resumed}"
    report = rig.sweep(rig.plan(cap=100))
    assert set(results(report)) <= {"gone-0", "gone-1", "lost-0"}
    assert rig.volume.names() == {"live-0", "live-1"}
    assert {name: fingerprint(rig.volume.root / name) for name in live} == live


def test_all_steps_are_covered(rig: Rig, tmp_path: Path) -> None:
    ended = run_until(made(tmp_path / "whole", rig.pool).volume.root.parent, 0)
    assert ended.returncode == 0, ended.stderr
    assert 40 < int(ended.stdout) <= _STEPS, os.linesep


@pytest.mark.parametrize("what", ["restore", "purge"])
@pytest.mark.parametrize("shard", range(_SHARDS // 2))
def test_restore_and_purge_killed_at_any_step(rig: Rig, tmp_path: Path, what: str, shard: int) -> None:
    for step in range(1 + shard, _STEPS, _SHARDS // 2):
        if not _killed_after_setting_aside(made(tmp_path / f"step-{step}", rig.pool), what, step):
            return  # it went through: there are no further steps
    pytest.fail("there are more steps than were tried")


def _killed_after_setting_aside(rig: Rig, what: str, step: int) -> bool:
    prints = {path.name: fingerprint(path) for path in rig.volume.root.iterdir()}
    orphans = ("gone-0", "gone-1", "lost-0")
    rig.sweep(rig.plan(*orphans, set_aside=True))
    ended = run_until(rig.volume.root.parent, step, what)
    assert ended.returncode in (0, -9), ended.stderr
    lying = {item.name.decode(): item for item in rig.trash()}
    assert all(not item.problem for item in lying.values())
    for name in orphans:
        place, item = rig.volume.root / name, lying.get(name)
        if place.exists():
            assert what == "restore"
            assert item is None
            assert fingerprint(place) == prints[name]
        elif item is not None and item.state is TrashState.WHOLE:
            assert fingerprint(rig.control_dir / "sweeps" / item.sweep_id / "whole" / str(item.number)) == prints[name]
        else:
            assert what == "purge"
    rig.resume()
    rig.restore(*(item.name.decode() for item in rig.trash()))
    assert rig.trash() == []
    for name in ("live-0", "live-1", *(orphans if what == "restore" else ())):
        assert fingerprint(rig.volume.root / name) == prints[name]
    return ended.returncode != 0
