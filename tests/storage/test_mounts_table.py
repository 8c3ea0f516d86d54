import os
from pathlib import Path

from sweeper_gui.storage.files import mount_id
from sweeper_gui.storage.mounts import below, points_below, read_mounts, shared_from, with_id
from tests.support.mounts import bind, tmpfs


def test_mount_points_inside_are_found_whatever_their_names(tmp_path: Path) -> None:
    odd = tmp_path / "a b\\c\n"
    with tmpfs(odd), bind(tmp_path, tmp_path / "deep", "ro"):
        mounts = read_mounts()
        assert points_below(mounts, os.fsencode(tmp_path)) == (b"a b\\c\n", b"deep")
        read_only = {mount.point: mount.read_only for mount in mounts}
        assert read_only[os.fsencode(tmp_path / "deep")]
        assert not read_only[os.fsencode(odd)]


def test_directories_that_are_bind_mounted_elsewhere_are_found(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "w1" / "inner").mkdir(parents=True)
    (root / "w2").mkdir()
    descriptor = os.open(root, os.O_RDONLY)
    try:
        with bind(root / "w1" / "inner", tmp_path / "elsewhere"):
            mounts = read_mounts()
            own = with_id(mounts, mount_id(descriptor))
            assert own is not None
            assert shared_from(mounts, os.fsencode(root), own) == {b"w1/inner": os.fsencode(tmp_path / "elsewhere")}
    finally:
        os.close(descriptor)


def test_below_compares_components_not_letters() -> None:
    assert below(b"/a/bc", b"/a/b") is None
    assert below(b"/a/b/c", b"/a/b") == b"c"
    assert below(b"/a/b", b"/a/b") == b""
    assert below(b"/x", b"/") == b"x"
