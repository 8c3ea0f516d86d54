import subprocess
from pathlib import Path

import pytest

from sweeper_gui.settings import VolumeSettings
from sweeper_gui.storage.volume import Volume, VolumeError
from tests.support.mounts import bind, tmpfs, unmount


def settings(root: Path, **more: object) -> VolumeSettings:
    return VolumeSettings(root=root, **more)  # type: ignore[arg-type]


def test_missing_root_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="can't be opened") as told:
        Volume(settings(tmp_path / "nowhere"))
    assert "mounted" in told.value.hint


def test_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VolumeError):
        Volume(settings(tmp_path / "file"))


def test_link_to_a_dangerous_root_is_refused_after_resolving(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/usr")
    with pytest.raises(VolumeError, match="system directory"):
        Volume(settings(tmp_path / "link"))


def test_require_mount_refuses_the_systems_own_file_system(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="not on a mounted volume"):
        Volume(settings(tmp_path, require_mount=True))
    with tmpfs(tmp_path / "mounted") as mounted, Volume(settings(mounted, require_mount=True)) as volume:
        assert volume.mount.fs_type == "tmpfs"
        assert volume.space().total is not None


def test_root_that_is_covered_by_another_mount_is_noticed(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "mounted") as mounted, Volume(settings(mounted)) as volume:
        volume.check_unchanged()
        with tmpfs(mounted), pytest.raises(VolumeError, match="another directory or volume"):
            volume.check_unchanged()
        volume.check_unchanged()


def test_root_that_is_unmounted_is_noticed(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "below"), tmpfs(tmp_path / "below") as mounted, Volume(settings(mounted)) as volume:
        unmount(mounted)
        with pytest.raises(VolumeError, match="another directory or volume"):
            volume.check_unchanged()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", mounted], check=True)  # what the block unmounts


def test_same_directory_through_another_mount_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "volume" / "root").mkdir(parents=True)
    root = tmp_path / "volume" / "root"
    with Volume(settings(root)) as volume, bind(root, root), pytest.raises(VolumeError, match="another directory"):
        volume.check_unchanged()


def test_ids_come_from_the_whole_last_component(tmp_path: Path) -> None:
    with Volume(settings(tmp_path, id_pattern="ws-(?P<id>[a-z]+)")) as volume:
        assert volume.id_of(b"ws-abc") == "abc"
        assert volume.id_of(b"shard/ws-abc") == "abc"
        assert volume.id_of(b"ws-abc2") is None
        assert volume.id_of(b"ws-a\xff") is None


def test_name_of_another_depth_leads_nowhere(tmp_path: Path) -> None:
    with Volume(settings(tmp_path)) as volume, pytest.raises(VolumeError), volume.parent_of(b"a/b"):
        pytest.fail("opened")
