import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sweeper_gui.storage import files
from tests.support.mounts import bind
from tests.support.root import need_root


@pytest.fixture(params=["openat2", "without openat2"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of opening: the kernel's, and the one for kernels that lack it."""
    if request.param != "openat2":
        monkeypatch.setattr(files, "has_openat2", lambda: False)


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.usefixtures("way")
def test_opens_a_directory(tmp_path: Path, parent: int) -> None:
    (tmp_path / "inner").mkdir()
    descriptor = files.open_directory(b"inner", parent)
    assert os.fstat(descriptor).st_ino == (tmp_path / "inner").stat().st_ino
    os.close(descriptor)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("make", [lambda p: p.symlink_to("/etc"), lambda p: p.write_text(""), os.mkfifo])
def test_refuses_links_and_everything_else(tmp_path: Path, parent: int, make: Callable[[Path], None]) -> None:
    make(tmp_path / "inner")
    with pytest.raises(NotADirectoryError):
        files.open_directory(b"inner", parent)


@pytest.mark.usefixtures("way")
def test_refuses_a_bind_mount_of_the_same_device(tmp_path: Path, parent: int) -> None:
    (tmp_path / "source").mkdir()
    with bind(tmp_path / "source", tmp_path / "inner"), pytest.raises(files.CrossesMount):
        files.open_directory(b"inner", parent)


@pytest.mark.usefixtures("way")
def test_opens_a_regular_file(tmp_path: Path, parent: int) -> None:
    (tmp_path / "file").write_text("content")
    descriptor = files.open_regular(b"file", parent)
    assert os.read(descriptor, 100) == b"content"
    os.close(descriptor)
    with pytest.raises(FileNotFoundError):
        files.open_regular(b"absent", parent)


def make_device(path: Path) -> None:
    need_root()
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("make", [lambda p: p.symlink_to("/dev/zero"), Path.mkdir, os.mkfifo, make_device])
def test_refuses_what_is_no_regular_file(tmp_path: Path, parent: int, make: Callable[[Path], None]) -> None:
    """A pipe without a writer would keep us waiting, a device may do anything when it is opened."""
    make(tmp_path / "inner")
    with pytest.raises(files.NotRegular):
        files.open_regular(b"inner", parent)


@pytest.mark.usefixtures("way")
def test_refuses_a_file_that_is_mounted_on(tmp_path: Path, parent: int) -> None:
    (tmp_path / "source").write_text("secret")
    (tmp_path / "inner").write_text("")
    with bind(tmp_path / "source", tmp_path / "inner"), pytest.raises(files.CrossesMount):
        files.open_regular(b"inner", parent)


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"/etc", b"a\0b"])
def test_takes_single_components_only(parent: int, name: bytes) -> None:
    for open_ in (files.open_directory, files.open_regular):
        with pytest.raises(ValueError, match="component"):
            open_(name, parent)


def test_rename_never_replaces(tmp_path: Path, parent: int) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(files.NameTaken):
        files.rename_exclusively(b"a", parent, b"b", parent)
    files.rename_exclusively(b"a", parent, b"c", parent)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c"]
