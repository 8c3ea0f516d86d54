"""The rigs do what they claim: a test that relies on a fault which never happens proves nothing."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import IO

import pytest
from PySide6.QtCore import QSize
from PySide6.QtGui import QImage

from sweeper_gui.storage.files import NameTaken, rename_exclusively
from tests.support import uml
from tests.support.display import display
from tests.support.mounts import bind, ext4, tmpfs
from tests.support.nobody import NOBODY, POPEN_AS_NOBODY, as_nobody, nobodys_directory
from tests.support.root import need_root
from tests.support.slowfs import Fault, slow_volume
from tests.support.trees import fingerprint, make_tree
from tests.support.volume import FakeVolume


def test_ext4_is_a_file_system_of_its_own_and_gone_afterwards(tmp_path: Path):
    with ext4(tmp_path / "volume") as volume:
        (volume / "file").write_text("here")
        assert volume.stat().st_dev != tmp_path.stat().st_dev
    assert not (tmp_path / "volume" / "file").exists()


def test_a_mount_goes_away_although_it_is_busy_and_the_test_failed(tmp_path: Path):
    held: list[IO[str]] = []

    def hold_and_fail() -> None:
        with tmpfs(tmp_path / "volume") as volume:
            held.append((volume / "file").open("w"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        hold_and_fail()
    held[0].close()
    assert not os.path.ismount(tmp_path / "volume")


def test_a_bind_mount_can_be_read_only_beside_its_writable_source(tmp_path: Path):
    (tmp_path / "source").mkdir()
    with bind(tmp_path / "source", tmp_path / "target", "ro") as target:
        (tmp_path / "source" / "file").touch()
        assert (target / "file").exists()
        with pytest.raises(OSError, match="Read-only") as caught:
            (target / "other").touch()
    assert caught.value.errno == errno.EROFS


def test_nobody_lacks_roots_rights_in_every_thread_it_starts(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    caught: list[BaseException] = []

    def read_in_another_thread() -> int:
        def read() -> None:
            try:
                secret.read_text()
            except OSError as error:
                caught.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        return os.stat("/proc/thread-self").st_uid

    assert as_nobody(read_in_another_thread) == NOBODY
    assert isinstance(caught[0], PermissionError)
    assert secret.read_text() == "x"
    with pytest.raises(PermissionError):
        as_nobody(secret.read_text)


def test_nobodys_directory_is_nobodys(tmp_path: Path):
    with nobodys_directory() as directory:
        as_nobody((directory / "mine").write_text, "x")
        assert (directory / "mine").stat().st_uid == NOBODY
        subprocess.run(["touch", directory / "mine too"], check=True, **POPEN_AS_NOBODY)
        assert (directory / "mine too").stat().st_uid == NOBODY
    assert not directory.exists()


def test_a_slow_volume_shows_the_backing_directory_as_it_is(tmp_path: Path):
    backing = tmp_path / "backing"
    (backing / "a" / "b").mkdir(parents=True)
    strange = os.fsdecode(b"not utf-8 \xff")
    (backing / "a" / strange).write_text("content")
    os.symlink("nowhere", backing / "a" / "link")
    with slow_volume(backing, tmp_path / "mount") as volume:
        here, there = volume.path / "a", backing / "a"
        assert sorted(os.listdir(here)) == sorted(os.listdir(there))
        for name in ("b", strange, "link"):
            seen, real = (here / name).lstat(), (there / name).lstat()
            assert (seen.st_ino, seen.st_mtime_ns, seen.st_ctime_ns) == (
                real.st_ino,
                real.st_mtime_ns,
                real.st_ctime_ns,
            )
            assert (seen.st_mode, seen.st_uid, seen.st_blocks) == (real.st_mode, real.st_uid, real.st_blocks)
        assert {entry.name: entry.inode() for entry in os.scandir(here)} == {
            entry.name: entry.inode() for entry in os.scandir(there)
        }
        assert (here / strange).read_text() == "content"
        assert os.readlink(here / "link") == "nowhere"
        (here / "new").write_text("y" * 100_000)
        (here / "new").rename(here / "newer")
        assert (there / "newer").read_text() == "y" * 100_000
        (here / "newer").unlink()
        (here / "b").rmdir()
        assert sorted(os.listdir(there)) == sorted(["link", strange])
    assert not os.path.ismount(tmp_path / "mount")


def test_faults_strike_the_planned_calls_and_no_others(tmp_path: Path):
    with slow_volume(tmp_path / "backing", tmp_path / "mount") as volume:
        for name in ("a", "b", "c", "d"):
            (volume.path / name).touch()
        volume.set_plan(Fault("unlink", "[abc]", error="EIO", nth=2, times=1))
        (volume.path / "d").unlink()
        (volume.path / "a").unlink()
        with pytest.raises(OSError, match="Input/output") as caught:
            (volume.path / "b").unlink()
        assert caught.value.errno == errno.EIO
        (volume.path / "b").unlink()
        (volume.path / "c").unlink()
        assert volume.counts()["unlink"] == 5
        assert [path for operation, path in volume.calls() if operation == "unlink"] == ["d", "a", "b", "b", "c"]


def test_an_error_may_come_after_the_deed(tmp_path: Path):
    with slow_volume(tmp_path / "backing", tmp_path / "mount", Fault("mkdir", error="EIO", after=True)) as volume:
        with pytest.raises(OSError, match="Input/output"):
            (volume.path / "made").mkdir()
        assert (tmp_path / "backing" / "made").is_dir()


def test_every_operation_takes_as_long_as_planned(tmp_path: Path):
    (tmp_path / "backing").mkdir()
    (tmp_path / "backing" / "file").touch()
    with slow_volume(tmp_path / "backing", tmp_path / "mount", latency={"unlink": 0.2}) as volume:
        started = time.monotonic()
        (volume.path / "file").unlink()
        assert time.monotonic() - started >= 0.2


def test_a_hanging_call_goes_on_with_the_next_plan(tmp_path: Path):
    with slow_volume(tmp_path / "backing", tmp_path / "mount", Fault("mkdir", hang=True)) as volume:
        thread = threading.Thread(target=(volume.path / "made").mkdir)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        assert volume.hanging() == 1
        volume.set_plan()
        thread.join(5)
        assert (volume.path / "made").is_dir()


def test_rename_without_replacing_is_refused_as_on_nfs_unless_asked_for(tmp_path: Path):
    for flags in (False, True):
        with slow_volume(tmp_path / f"backing {flags}", tmp_path / f"mount {flags}", rename_flags=flags) as volume:
            for name in ("one", "two"):
                (volume.path / name).mkdir()
            parent = os.open(volume.path, os.O_RDONLY)
            try:
                with pytest.raises(NameTaken):
                    rename_exclusively(b"one", parent, b"two", parent)
                rename_exclusively(b"one", parent, b"three", parent)
            finally:
                os.close(parent)
            assert (tmp_path / f"backing {flags}" / "three").is_dir()


def test_a_frozen_volume_holds_everyone_up_and_a_killed_one_lets_them_fail(tmp_path: Path):
    with slow_volume(tmp_path / "backing", tmp_path / "mount") as volume:
        caught: list[OSError] = []

        def touch() -> None:
            try:
                (volume.path / "file").touch()
            except OSError as error:
                caught.append(error)

        volume.freeze()
        thread = threading.Thread(target=touch)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        volume.kill()
        thread.join(5)
        assert caught[0].errno in (errno.ENOTCONN, errno.ECONNABORTED)


_A_TEST_THAT_IS_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.support.root import need_root
from tests.support.slowfs import slow_volume
with slow_volume(Path(sys.argv[1], "backing"), Path(sys.argv[1], "mount")) as volume:
    assert os.path.ismount(volume.path)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_slow_volume_goes_with_the_process_that_made_it(tmp_path: Path):
    need_root()
    command = [sys.executable, "-c", _A_TEST_THAT_IS_KILLED, str(tmp_path)]
    assert subprocess.run(command, cwd=Path(__file__).parents[1], check=False).returncode == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while f" {tmp_path}/mount " in Path("/proc/self/mountinfo").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_new_entries_belong_to_the_caller_or_to_the_access_points_owner(tmp_path: Path):
    with nobodys_directory() as directory, slow_volume(directory / "backing", directory / "mount") as volume:
        as_nobody((volume.path / "file").touch)
        assert (volume.path / "file").stat().st_uid == NOBODY
    with slow_volume(tmp_path / "backing", tmp_path / "mount", owner=(1234, 5678)) as volume:
        (volume.path / "directory").mkdir()
        assert (volume.path / "directory").stat().st_gid == 5678


def test_a_tree_has_exactly_so_many_entries(tmp_path: Path):
    for entries in (0, 1, 2, 3, 52, 1100, 2000):
        tree = make_tree(tmp_path / str(entries), entries)
        assert sum(1 for _ in tree.rglob("*")) == entries


def test_a_fingerprint_sees_every_change(tmp_path: Path):
    tree = make_tree(tmp_path / "tree", 10)
    file = tree / "d000" / "d00000" / "f0"
    os.symlink("f0", file.with_name("link"))
    seen = {fingerprint(tree)}
    assert fingerprint(tree) in seen
    changes: list[Callable[[], object]] = [
        lambda: file.chmod(0o600),
        lambda: os.utime(file, ns=(0, 1)),
        lambda: os.link(file, tmp_path / "outside"),
        file.with_name("link").unlink,
        (file.parent / "new").mkdir,
    ]
    for change in changes:
        change()
        assert fingerprint(tree) not in seen
        seen.add(fingerprint(tree))
    file.write_bytes(b"y" * 100)
    os.utime(file, ns=(0, 1))
    assert fingerprint(tree) not in seen


def test_a_fake_volume_holds_what_was_asked_for(tmp_path: Path):
    volume = FakeVolume(tmp_path / "efs")
    volume.live("a", entries=5)
    volume.deleted("b")
    volume.unexplained("c")
    volume.session("d")
    volume.delete_session("d")
    volume.revive_session("b")
    with closing(sqlite3.connect(volume.database)) as connection:
        rows = connection.execute("SELECT id, deleted_at IS NULL FROM collab_session ORDER BY id").fetchall()
    assert rows == [("a", 1), ("b", 1), ("d", 0)]
    assert volume.names() == {"a", "b", "c"}
    assert sum(1 for _ in (volume.root / "a" / "repo").rglob("*")) == 5


_A_WINDOW = """
from PySide6.QtWidgets import QApplication, QLineEdit
application = QApplication([])
line = QLineEdit()
line.setWindowTitle("a window")
line.resize(300, 100)
line.returnPressed.connect(lambda: print(line.text(), flush=True) or application.quit())
line.show()
application.exec()
"""


def test_a_display_shows_a_real_window_and_takes_keys(tmp_path: Path):
    with display() as screen:
        command = [sys.executable, "-c", _A_WINDOW]
        with subprocess.Popen(command, env=screen.environment, stdout=subprocess.PIPE, text=True) as program:
            window = screen.window("a window")
            screen.screenshot(tmp_path / "screen.png")
            screen.xdotool("windowfocus", "--sync", window)
            screen.xdotool("type", "hello")
            screen.xdotool("key", "Return")
            assert program.communicate(timeout=20)[0] == "hello\n"
        assert QImage(str(tmp_path / "screen.png")).size() == QSize(1440, 900)


def test_a_guest_that_can_not_start_is_told_by_its_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(uml, "KERNEL", "linux.missing")
    guest = uml.Guest(tmp_path / "guest")
    guest.start(["tests/nfs/test_it.py::test_it"])
    other = uml.Guest(tmp_path / "guest")
    other.start(["the guest has been started already"])
    for one in (guest, other):
        with pytest.raises(uml.GuestFailed, match=r"ended before tests/nfs/test_it.py::test_it was done\n.*\n.*\./dev"):
            one.reports("tests/nfs/test_it.py::test_it")
    guest.stop(at_once=True)
