"""What lies in a tree is taken for what it is: links, devices, closed directories, strange names, any depth."""

import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.storage.remove import RemovalOutcome
from tests.support.mounts import ext4, tmpfs
from tests.support.nobody import NOBODY, as_nobody
from tests.support.removals import discovered, discovered_and_removed, make_deep_tree, measured, opened, removed
from tests.support.root import need_root
from tests.support.trees import fingerprint, make_tree

# --- hard links into live workspaces ----------------------------------------------------------------------------------


def facts(path: Path) -> tuple[bytes, int, int, int, int]:
    """All that a file is, but for the number of its names and its ctime, which tells when that changed."""
    status = path.stat()
    return path.read_bytes(), status.st_mode, status.st_mtime_ns, status.st_uid, status.st_ino


def test_file_that_a_live_workspace_shares_stays_what_it_is(nobodys: Path) -> None:
    """In a read-only directory, which is made writable for it, and as its owner, who could have changed it."""
    live, tree = nobodys / "live", nobodys / "tree"
    live.mkdir()
    (tree / "closed").mkdir(parents=True)
    for name, mode in (("read-only", 0o444), ("none", 0o000), ("setuid", 0o4755)):
        (live / name).write_bytes(b"precious " + name.encode())
        os.link(live / name, tree / "closed" / name)
        os.chown(live / name, NOBODY, NOBODY)
        (live / name).chmod(mode)
    (tree / "closed").chmod(0o555)
    for directory in (live, tree, tree / "closed"):
        os.chown(directory, NOBODY, NOBODY)
    before = {path.name: facts(path) for path in live.iterdir()}

    def remove_as_nobody() -> None:
        pool = WorkPool()
        result = discovered_and_removed(pool, tree)
        pool.close()
        assert (result.outcome, result.modes) == (RemovalOutcome.COMPLETE, ("closed: 0555",))

    as_nobody(remove_as_nobody)
    assert not tree.exists()
    assert {path.name: facts(path) for path in live.iterdir()} == before
    assert {path.stat().st_nlink for path in live.iterdir()} == {1}


# --- what must not be opened ------------------------------------------------------------------------------------------


def test_devices_pipes_and_sockets_are_removed_unopened(pool: WorkPool, tmp_path: Path) -> None:
    """A pipe that is opened for reading hangs, a tape that is opened rewinds."""
    need_root()
    top = make_tree(tmp_path / "top", 20)
    os.mkfifo(top / "pipe")
    os.mknod(top / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(top / "block", stat.S_IFBLK | 0o600, os.makedev(7, 250))
    with socket.socket(socket.AF_UNIX) as server, opened(top):
        server.bind(str(top / "socket"))
        assert measured(pool, top).usage.complete
        assert discovered_and_removed(pool, top).entries_removed == 24
    assert not top.exists()


# --- directories that resist ------------------------------------------------------------------------------------------


@contextmanager
def attribute(path: Path, letter: str) -> Iterator[None]:
    """chattr(1), for the time of the block."""
    subprocess.run(["chattr", f"+{letter}", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["chattr", f"-{letter}", path], check=True)


@pytest.mark.parametrize("letter", ["i", "a"])
def test_immutable_and_append_only_directories_are_told_and_the_rest_is_removed(
    pool: WorkPool, tmp_path: Path, letter: str
) -> None:
    with ext4(tmp_path / "volume") as volume:
        top = make_tree(volume / "top", 100, per_directory=10)
        stubborn = top / "d000" / "d00003"
        with attribute(stubborn, letter):
            result = discovered_and_removed(pool, top)
            left = [path for path in top.rglob("*") if path.is_file()]
        assert {path.parent for path in left} == {stubborn}
        assert (result.outcome, result.error_count, len(left)) == (RemovalOutcome.FAILED, 10, 10)
        assert all("Operation not permitted" in error for error in result.errors)
        assert result.entries_removed == 100 - 12
        again = discovered_and_removed(pool, top)
        assert (again.complete, again.entries_removed) == (True, 12)


@pytest.mark.parametrize("letter", ["i", "a"])
def test_immutable_and_append_only_files_are_told_and_the_rest_is_removed(
    pool: WorkPool, tmp_path: Path, letter: str
) -> None:
    with ext4(tmp_path / "volume") as volume:
        top = make_tree(volume / "top", 100, per_directory=10)
        stubborn = top / "d000" / "d00003" / "f4"
        with attribute(stubborn, letter):
            result = discovered_and_removed(pool, top)
            assert [path for path in top.rglob("*") if path.is_file()] == [stubborn]
        assert result.errors == ("d000/d00003/f4: Operation not permitted (it belongs to root)",)
        assert discovered_and_removed(pool, top).complete


def test_own_directory_that_can_not_even_be_read_keeps_its_tree_whole(nobodys: Path) -> None:
    """Who can't read it can't say that it is as it was measured."""
    tree = make_tree(nobodys / "tree", 60, per_directory=10)
    for path in [tree, *tree.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)
    closed = tree / "d000" / "d00003"
    closed.chmod(0)
    before = fingerprint(tree)

    def look_as_nobody() -> None:
        pool = WorkPool()
        usage, found = measured(pool, tree).usage, discovered(pool, tree)
        pool.close()
        assert (usage.complete, usage.errors) == (False, ("d000/d00003: Permission denied",))
        assert (found.ok, found.reason) == (False, "could not be read: d000/d00003: Permission denied")

    as_nobody(look_as_nobody)
    assert fingerprint(tree) == before


def test_directory_that_its_owner_may_only_enter_and_read_is_removed_with_what_is_below(nobodys: Path) -> None:
    """As Go's module cache: every directory 0555, every file 0444."""
    tree = make_tree(nobodys / "tree", 200, per_directory=10)
    (tree / "d000" / "d00000" / "empty").mkdir()
    for path in [tree, *tree.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)
        path.chmod(0o555 if path.is_dir() and path != tree else 0o444 if path.is_file() else 0o755)

    def remove_as_nobody() -> None:
        pool = WorkPool()
        result = discovered_and_removed(pool, tree)
        pool.close()
        assert (result.outcome, result.entries_removed) == (RemovalOutcome.COMPLETE, 201)

    as_nobody(remove_as_nobody)
    assert not tree.exists()


# --- names ------------------------------------------------------------------------------------------------------------

NAMES = (
    b"new\nline", b"\x1b[31mred", b"\r\t\x07\x7f", b"\xff\xfe", b"\xe2\x80\xaegnp.exe", b"\xe2\x81\xa6iso", b"-rf",
    b"--", b"*", b"?[a]", b"...", b"..a", b". ", b" ", b"~", b"$(reboot)", b"%s%n", b"{0}", b"\\", b"'\"`", b"x" * 255,
    "ü".encode() * 127, b"e\xcc\x81", b"CON", b".nfs0001",
)  # fmt: skip


def test_names_of_any_bytes_are_removed(pool: WorkPool, tmp_path: Path) -> None:
    top = os.fsencode(tmp_path / "top")
    os.mkdir(top)
    for name in NAMES:
        os.mkdir(os.path.join(top, name))
        for inner in NAMES:
            os.close(os.open(os.path.join(top, name, inner), os.O_CREAT | os.O_WRONLY))
    assert measured(pool, tmp_path / "top").usage.complete
    result = discovered_and_removed(pool, tmp_path / "top")
    assert (result.outcome, result.entries_removed) == (RemovalOutcome.COMPLETE, len(NAMES) * (len(NAMES) + 1))
    assert not os.path.exists(top)


def test_names_are_told_so_that_they_can_be_seen(pool: WorkPool, tmp_path: Path) -> None:
    with ext4(tmp_path / "volume") as volume:
        top = volume / "top"
        hostile = top / os.fsdecode(b"a\n\x1b[2J\xe2\x80\xae\xff")
        hostile.mkdir(parents=True)
        (hostile / "file").touch()
        with attribute(hostile, "i"):
            result = discovered_and_removed(pool, top)
        assert result.error_count == 1
        assert result.errors[0].isprintable()
        assert result.errors[0].isascii()
        assert discovered_and_removed(pool, top).complete


# --- size -------------------------------------------------------------------------------------------------------------


def test_five_thousand_levels(pool: WorkPool, tmp_path: Path) -> None:
    """A path seven times as long as PATH_MAX."""
    with ext4(tmp_path / "volume") as volume:
        make_deep_tree(volume / "top", 5_000)
        assert measured(pool, volume / "top").usage.entries == 5_000
        result = discovered_and_removed(pool, volume / "top")
        assert (result.outcome, result.entries_removed) == (RemovalOutcome.COMPLETE, 5_000)
        assert [path.name for path in volume.iterdir()] == ["lost+found"]


def test_twenty_thousand_directories(pool: WorkPool, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "volume") as volume:
        for number in range(200):
            (volume / "top" / f"d{number}").mkdir(parents=True)
            with opened(volume / "top" / f"d{number}") as directory:
                for inner in range(100):
                    os.mkdir(str(inner), dir_fd=directory)
        result = removed(pool, volume / "top", discovered(pool, volume / "top"))
        assert (result.outcome, result.entries_removed) == (RemovalOutcome.COMPLETE, 20_200)
        assert os.listdir(volume) == []
