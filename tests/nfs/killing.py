"""A command that is killed on one host, and another host that finishes or takes back what it began."""

import os
from pathlib import Path

from sweeper_gui.core.outcome import TrashState
from sweeper_gui.storage.queue import WorkPool
from tests.support.dying import Death, die
from tests.support.killing import CLAIM, Portrait, Scene, make_volume
from tests.support.nursery import ended, forked
from tests.support.volume import FakeVolume
from tests.sweep.rig import Rig


def case(here: str, there: str, local: str, step: int) -> None:
    """Sweeps the volume at `here` until it is killed at the step; `there` is the same directory, mounted elsewhere."""
    os.environ |= {"SWEEPER_STATE_DIR": f"{local}/state", "HOME": local}
    database = Path(local) / "collab.sqlite3"
    volume = make_volume(Path(here), database)
    before = {path.name: Portrait.of(path) for path in volume.root.iterdir()}
    assert ended(forked(lambda: Rig(Path(here), WorkPool(2), volume).settings)) == 0
    assert die(Death("command", Path(here), step), "sweep"), f"there are fewer steps than {step}"
    scene = Scene(Path(there), before)
    scene.check(named=False)
    assert ended(forked(lambda: _go_on(Path(local), FakeVolume(Path(there), database), scene))) == 0


def _go_on(directory: Path, volume: FakeVolume, scene: Scene) -> None:
    pool = WorkPool(2)
    rig = Rig(directory, pool, volume)
    rig.resume()
    scene.check(named=False)
    assert not [item for item in rig.trash() if item.unfinished], "not finished by resume"
    back = [item.name.decode() for item in rig.trash() if item.state is TrashState.WHOLE]
    rig.restore(*back)
    scene.check_restored(back)
    assert not rig.trash()
    scene.check_restored([path.name for path in scene.root.iterdir() if path.name != CLAIM])
    scene.check_tidy()
    pool.close()


def warm_up() -> None:
    """What a case imports."""
    from sweeper_gui.cli import app  # noqa: F401 - what is imported in functions only
