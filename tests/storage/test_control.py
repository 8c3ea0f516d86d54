import grp
import os
import pwd
import stat
from pathlib import Path

import pytest

from sweeper_gui.settings import VolumeSettings
from sweeper_gui.storage import files
from sweeper_gui.storage.control import Control, place_of
from sweeper_gui.storage.lock import Lock
from sweeper_gui.storage.volume import Volume, VolumeError
from tests.support.mounts import bind, tmpfs
from tests.support.trees import fingerprint


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "volume" / "root"
    root.mkdir(parents=True)
    return root


def opened(root: Path, **more: object) -> tuple[Volume, VolumeSettings]:
    settings = VolumeSettings(root=root, **more)  # type: ignore[arg-type]
    return Volume(settings), settings


def test_lies_beside_the_root_private_and_is_found_again(root: Path) -> None:
    volume, settings = opened(root)
    with volume:
        assert Control.open_existing(volume, settings) is None
        with Control.open_or_create(volume, settings) as control:
            assert control.path == os.fsencode(root.parent / ".sweeper-root")
        assert stat.S_IMODE((root.parent / ".sweeper-root").stat().st_mode) == 0o700
        again = Control.open_existing(volume, settings)
        assert again is not None
        again.close()


def test_lies_inside_a_root_that_is_a_mount_point_with_a_warning(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "mounted") as mounted:
        volume, settings = opened(mounted)
        with volume:
            place = place_of(volume, settings)
            assert place.path == os.fsencode(mounted / ".sweeper")
            assert "another cleaner" in place.warning
            Control.open_or_create(volume, settings).close()


def test_link_in_its_place_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "evil").mkdir()
    (root.parent / ".sweeper-root").symlink_to(tmp_path / "evil")
    volume, settings = opened(root)
    with volume, pytest.raises(VolumeError, match="a link or no directory"):
        Control.open_or_create(volume, settings)
    assert list((tmp_path / "evil").iterdir()) == []


def test_directory_of_another_user_is_refused(root: Path) -> None:
    (root.parent / ".sweeper-root").mkdir(mode=0o700)
    os.chown(root.parent / ".sweeper-root", 12345, 12345)
    volume, settings = opened(root)
    with volume, pytest.raises(VolumeError, match="belongs to user 12345"):
        Control.open_or_create(volume, settings)


def test_directory_that_others_may_enter_is_refused(root: Path) -> None:
    (root.parent / ".sweeper-root").mkdir()
    (root.parent / ".sweeper-root").chmod(0o777)
    volume, settings = opened(root)
    with volume, pytest.raises(VolumeError, match="others may enter"):
        Control.open_or_create(volume, settings)


def test_directory_on_another_mount_is_refused(root: Path, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "other") as other:
        volume, settings = opened(root, control_dir=other / "control")
        with volume, pytest.raises(VolumeError, match="another mount"):
            Control.open_or_create(volume, settings)


def test_mount_point_in_its_place_is_refused(root: Path) -> None:
    with bind(root, root.parent / ".sweeper-root"):
        volume, settings = opened(root)
        with volume, pytest.raises(VolumeError, match="mount"):
            Control.open_or_create(volume, settings)


def test_place_among_the_workspaces_is_refused(root: Path) -> None:
    (root.parent / "link").symlink_to(root)
    volume, settings = opened(root, control_dir=root.parent / "link" / "control")
    with volume, pytest.raises(VolumeError, match="among the workspaces"):
        place_of(volume, settings)


def test_place_that_holds_the_root_is_refused(root: Path) -> None:
    (root.parent.parent / "link").symlink_to(root.parent.parent)
    volume, settings = opened(root, control_dir=root.parent.parent / "link" / root.parent.name)
    with volume, pytest.raises(VolumeError, match="holds the root"):
        place_of(volume, settings)


def test_team_shares_it(root: Path) -> None:
    volume, settings = opened(root, control_group="daemon")
    with volume, Control.open_or_create(volume, settings) as control:
        sweep = control.new_sweep()
        sweep.close()
    for path in (root.parent / ".sweeper-root", root.parent / ".sweeper-root" / "sweeps" / sweep.id / "whole"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o2770
        assert path.group() == "daemon"


def test_team_directory_that_a_stranger_has_made_is_refused(root: Path) -> None:
    """Below a directory with the group's set-gid bit everybody's new directories belong to the group."""
    (root.parent / ".sweeper-root").mkdir(mode=0o700)
    os.chown(root.parent / ".sweeper-root", 12345, grp.getgrnam("daemon").gr_gid)
    (root.parent / ".sweeper-root").chmod(0o2770)
    volume, settings = opened(root, control_group="daemon")
    with volume, pytest.raises(VolumeError, match="belongs to user 12345"):
        Control.open_or_create(volume, settings)
    os.chown(root.parent / ".sweeper-root", pwd.getpwnam("daemon").pw_uid, -1)
    with opened(root)[0] as volume, Control.open_or_create(volume, settings) as control:
        assert control.condition()[0] == "ok"


def test_what_others_may_change_is_not_even_looked_into(root: Path) -> None:
    """Whatever lies in there, a binding or a trash, anybody may have put there."""
    (root.parent / ".sweeper-root").mkdir()
    (root.parent / ".sweeper-root").chmod(0o777)
    volume, settings = opened(root)
    with volume, pytest.raises(VolumeError, match="not safe: others may enter it") as told:
        Control.open_existing(volume, settings)
    assert "chmod 700" in told.value.hint


@pytest.mark.parametrize("below", ["sweeps", "sweeps/20260101T000000.000000Z-abcdef"])
@pytest.mark.parametrize(("owner", "mode"), [(12345, 0o700), (0, 0o777)], ids=["another user's", "open to all"])
def test_planted_directory_in_it_is_refused(root: Path, below: str, owner: int, mode: int) -> None:
    """Put there while the control directory was open to all, by someone who may hold it open still."""
    control_dir = root.parent / ".sweeper-root"
    planted = control_dir / below
    for path in (control_dir, control_dir / "sweeps", planted):
        path.mkdir(mode=0o700, exist_ok=True)
    os.chown(planted, owner, owner)
    planted.chmod(mode)
    volume, settings = opened(root)
    with volume, Control.open_or_create(volume, settings) as control:
        with pytest.raises(PermissionError, match="planted by another user"):
            control.open_sweep("20260101T000000.000000Z-abcdef")
        if below == "sweeps":
            with pytest.raises(VolumeError, match="planted by another user"):
                control.new_sweep()
            with pytest.raises(PermissionError, match="planted by another user"):
                control.sweep_ids()


@pytest.mark.parametrize("planted", ["file", "link", "full directory"])
def test_probe_among_the_workspaces_touches_nothing_that_is_not_its_own(root: Path, planted: str) -> None:
    probe = root / ".sweeper-probe"
    (root.parent / "precious").mkdir()
    if planted == "file":
        probe.write_text("precious")
    elif planted == "link":
        probe.symlink_to(root.parent / "precious")
    else:
        (probe / "precious").mkdir(parents=True)
    before = fingerprint(root)
    volume, settings = opened(root)
    with volume, Control.open_or_create(volume, settings) as control, control.new_sweep() as sweep:
        with pytest.raises(VolumeError, match="can't be moved to the trash"):
            control.probe_rename(volume, volume.descriptor, sweep.whole)
        assert os.listdir(sweep.whole) == []
    assert fingerprint(root) == before
    assert (root.parent / "precious").is_dir()


def test_workspace_that_somebody_gives_the_probes_name_is_put_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may rename in the root can exchange the probe for a live workspace between two of our calls."""
    (root / "live" / "inside").mkdir(parents=True)
    original, calls = files.rename_exclusively, []

    def exchanged(source: bytes, source_parent: int, target: bytes, target_parent: int) -> None:
        calls.append(source)
        if len(calls) == 2:
            (root / ".sweeper-probe").rmdir()
            (root / "live").rename(root / ".sweeper-probe")
        original(source, source_parent, target, target_parent)

    volume, settings = opened(root)
    with volume, Control.open_or_create(volume, settings) as control, control.new_sweep() as sweep:
        monkeypatch.setattr(files, "rename_exclusively", exchanged)
        with pytest.raises(VolumeError, match="somebody exchanges directories"):
            control.probe_rename(volume, volume.descriptor, sweep.whole)
        assert os.listdir(sweep.whole) == []
    assert (root / ".sweeper-probe" / "inside").is_dir()


def test_unknown_group_is_an_error_with_its_name(root: Path) -> None:
    volume, settings = opened(root, control_group="no-such-group")
    with volume, pytest.raises(VolumeError, match="no-such-group"):
        Control.open_or_create(volume, settings)


def test_read_only_volume_says_so(tmp_path: Path, root: Path) -> None:
    with bind(root.parent, tmp_path / "ro", "ro") as read_only:
        volume, settings = opened(read_only / "root")
        with volume, pytest.raises(VolumeError) as told:
            Control.open_or_create(volume, settings)
    assert "read-only" in f"{told.value} {told.value.hint}".lower()


def test_two_control_directories_are_refused(root: Path) -> None:
    """Two hosts may see the root differently, and would lock past each other."""
    (root.parent / ".sweeper-root").mkdir(mode=0o700)
    (root / ".sweeper").mkdir(mode=0o700)
    volume, settings = opened(root)
    with volume, pytest.raises(VolumeError, match="two control directories"):
        Control.open_or_create(volume, settings)


def test_lock_that_is_a_link_is_refused(root: Path, tmp_path: Path) -> None:
    volume, settings = opened(root)
    with volume, Control.open_or_create(volume, settings) as control:
        (tmp_path / "victim").write_text("precious")
        (root.parent / ".sweeper-root" / "lock").symlink_to(tmp_path / "victim")
        with pytest.raises(VolumeError, match="lock"):
            Lock(control, volume, "a", "h", "sweep")
    assert (tmp_path / "victim").read_text() == "precious"
