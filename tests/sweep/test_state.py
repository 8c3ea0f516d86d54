"""What this host remembers of a volume: used only where nobody else could have written it, and told otherwise."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeper_gui.settings import state_dir
from sweeper_gui.storage.volume import VolumeError
from tests.support.nobody import NOBODY
from tests.support.trees import fingerprint
from tests.sweep.rig import Rig, results


@pytest.fixture
def swept(rig: Rig) -> Rig:
    """A volume with an orphan, a live one, and one that is pinned."""
    rig.volume.live("live-0")
    for name in ("gone-0", "pinned-0"):
        rig.volume.deleted(name)
    with rig.ground() as ground:
        ground.state.pin(b"pinned-0", True)
    return rig


def open_to_all(directory: Path) -> None:
    directory.chmod(0o777)


def anothers(directory: Path) -> None:
    os.chown(directory, NOBODY, NOBODY)


def anothers_link(directory: Path) -> None:
    directory.rename(directory.with_name("elsewhere"))
    directory.symlink_to(directory.with_name("elsewhere"))
    os.lchown(directory, NOBODY, NOBODY)


def without_pins(directory: Path) -> None:
    """The file replaced by another user's, in which nothing is pinned."""
    (pins,) = directory.rglob("pins.json")
    pins.unlink()
    pins.write_text('{"root": "", "pinned": []}')
    os.chown(pins, NOBODY, NOBODY)


def pins_in_a_pipe(directory: Path) -> None:
    (pins,) = directory.rglob("pins.json")
    pins.unlink()
    os.mkfifo(pins)


def pins_too_deep(directory: Path) -> None:
    (pins,) = directory.rglob("pins.json")
    pins.write_bytes(b'{"x":' + b"[" * 100_000)


@pytest.mark.parametrize(
    "plant",
    [open_to_all, anothers, anothers_link, without_pins, pins_in_a_pipe, pins_too_deep],
    ids=lambda plant: plant.__name__,
)
def test_state_that_another_user_could_have_written_stops_everything(swept: Rig, plant: Callable[[Path], None]) -> None:
    plan = swept.plan("gone-0")
    plant(state_dir())
    before = fingerprint(swept.volume.root)
    with pytest.raises(VolumeError, match="the pins in") as told:
        swept.sweep(plan)
    assert told.value.hint
    assert fingerprint(swept.volume.root) == before


def test_what_is_kept_is_for_its_owner_only_even_without_a_umask(swept: Rig) -> None:
    before = os.umask(0)
    try:
        with swept.ground() as ground:
            ground.state.pin(b"gone-0", True)
            ground.state.remember_live(frozenset({"live-0"}))
    finally:
        os.umask(before)
    for path in (state_dir(), *state_dir().rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


@pytest.mark.parametrize("variable", ["SWEEPER_STATE_DIR", "XDG_STATE_HOME"])
def test_a_place_that_depends_on_where_one_stands_is_none(
    swept: Rig, tmp_path: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can make a directory where an engineer runs the command could lay pins and ids there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SWEEPER_STATE_DIR")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv(variable, "planted")
    assert state_dir() == tmp_path / "home" / ".local" / "state" / "sweeper"
    assert results(swept.sweep(swept.plan("gone-0"))) == {"gone-0": "removed"}
    assert not (tmp_path / "planted").exists()
