"""The part in C: the same as one system call of Python's after the other, whatever the names and attributes are."""

import errno
import gc
import os
import random
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper_gui.core.usage import change_of
from sweeper_gui.storage import bulk
from sweeper_gui.storage.bulk import ONE, Rules, Tally
from sweeper_gui.storage.claim import CLAIM
from sweeper_gui.storage.files import bounded
from tests.support.mounts import tmpfs
from tests.support.removals import fill, opened
from tests.support.slowfs import Fault, slow_volume

#: So many names are taken in one call.
MOST = 128
NEVER = 2**62
NOW = 1_700_000_000 * 10**9
BAD_NAMES = (b"", b".", b"..", b"a/b", b"/", b"../a", b"a\0b")


def rules(directory: int, *, now_ns: int = NOW, fresh: bool = False, keep: bool = True) -> Rules:
    return Rules(os.fstat(directory).st_dev, now_ns, fresh, keep)


def names_in(directory: int) -> list[bytes]:
    return bulk.list_names(directory, from_start=True, most=10**9).names


def tallied(directory: int, names: list[bytes], found: Rules, *, newest: int = 0, end: int = NEVER) -> Tally:
    """All names, in as many calls as that takes."""
    tally = Tally(newest)
    at = 0
    while at < len(names):
        at += tally.read(directory, names, at, end, found).operations
    return tally


def plainly_tallied(directory: int, names: list[bytes], found: Rules, newest: int) -> Tally:
    """The oracle: one lstat after the other."""
    tally = Tally(newest)
    for name in names:
        tally.entries += 1
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except OSError as error:
            tally.errors.append((name, error))
            tally.kept.append((name, None))
            continue
        modified, changed = bounded(status.st_mtime_ns), bounded(status.st_ctime_ns)
        tally.kept.append((name, bulk.Attributes(status.st_mode, status.st_size, modified, changed)))
        if status.st_dev != found.device:
            tally.mounts.append(name)
            continue
        tally.claimed = tally.claimed or name == CLAIM
        tally.newest_ctime = max(tally.newest_ctime, changed)
        change = change_of(modified, changed, found.now_ns)
        if change > tally.newest:
            tally.newest, tally.newest_name = change, name
        if stat.S_ISDIR(status.st_mode):
            tally.directories.append((name, status.st_ino, status.st_blocks))
        elif status.st_nlink > 1:
            tally.links.append(bulk.Link(status.st_ino, status.st_nlink, status.st_blocks, status.st_size))
            continue
        tally.blocks += status.st_blocks
        tally.apparent += status.st_size
    return tally


def told(tally: Tally) -> dict[str, object]:
    """All of it, in a form that can be compared."""
    content = {name: getattr(tally, name) for name in Tally.__slots__}
    return content | {"errors": [(name, error.errno, str(error)[:12]) for name, error in tally.errors]}


def assert_same(directory: int, names: list[bytes], found: Rules, newest: int = 0) -> Tally:
    tally = tallied(directory, names, found, newest=newest)
    assert told(tally) == told(plainly_tallied(directory, names, found, newest))
    return tally


# --- any directory ----------------------------------------------------------------------------------------------------

_NAMES = st.one_of(
    st.binary(min_size=1, max_size=30).filter(lambda name: name not in BAD_NAMES and not {0, 47} & {*name}),
    st.sampled_from([b"x" * 255, CLAIM, b"...", b"-rf", b"\xff\xfe", "ü\u202e".encode(), b"new\nline"]),
)
_SECONDS = st.one_of(
    st.integers(-(2**33), 2**34), st.sampled_from([-(2**62), 2**62, 2**63 - 1, -(2**63), 0, -1, NOW // 10**9])
)
_KINDS = st.one_of(
    st.integers(0, 5_000),
    st.sampled_from(["directory", "link", "fifo", "socket", "device", "hole", "hard", "missing"]),
)
_ENTRIES = st.dictionaries(_NAMES, st.tuples(_KINDS, _SECONDS, st.integers(0, 10**9 - 1)), max_size=40)


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A tmpfs: it keeps any time and any size."""
    with tempfile.TemporaryDirectory(prefix="sweeper-bulk-") as directory, tmpfs(Path(directory) / "memory") as volume:
        yield volume


def make(directory: int, name: bytes, kind: object, other: bytes) -> None:
    """One entry; a hard link is one of `other`."""
    if kind == "directory":
        os.mkdir(name, dir_fd=directory)
    elif kind == "link":
        os.symlink(b"/etc", name, dir_fd=directory)
    elif kind == "hard":
        os.link(other, name, dst_dir_fd=directory)
    elif kind in ("fifo", "socket", "device"):
        kinds = {"fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK, "device": stat.S_IFCHR}
        os.mknod(name, kinds[str(kind)] | 0o600, os.makedev(1, 3), dir_fd=directory)
    else:
        descriptor = os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=directory)
        if kind == "hole":
            os.ftruncate(descriptor, 2**63 - 1)
        elif isinstance(kind, int):
            os.write(descriptor, b"x" * kind)
        os.close(descriptor)


@settings(max_examples=150)
@given(entries=_ENTRIES, newest=st.sampled_from([0, NOW, -1, 2**63 - 1, 2**64, -(2**70)]), seed=st.integers(0, 9))
def test_any_directory_is_read_as_by_python(memory: Path, entries: dict, newest: int, seed: int) -> None:
    with tempfile.TemporaryDirectory(dir=memory) as place, opened(place.encode()) as directory:
        (memory / "other").touch()
        names = sorted(entries)
        for name in names:
            kind, seconds, nanoseconds = entries[name]
            if kind != "missing":
                make(directory, name, kind, bytes(memory / "other"))
                when = seconds * 10**9 + nanoseconds
                os.utime(name, ns=(when, when), dir_fd=directory, follow_symlinks=False)
        random.Random(seed).shuffle(names)
        listed = bulk.list_names(directory, from_start=True, most=10**6)
        assert sorted(listed.names) == sorted(os.listdir(place.encode()))
        assert not listed.more
        assert {*listed.directories()} == {name for name in names if entries[name][0] == "directory"}
        assert listed.untold() == []
        tally = assert_same(directory, names, rules(directory), bounded(newest))
        assert [code for _, error in tally.errors if (code := error.errno) != errno.ENOENT] == []
        gone, at = [], 0
        while at < len(names):
            done = bulk.unlink(directory, names, at, NEVER, None)
            gone += names[at : at + done.gone]
            at += done.gone
            if done.error is not None:
                assert done.error.errno == errno.EISDIR
                assert entries[names[at]][0] == "directory"
                at += 1
        assert {*os.listdir(place.encode())} == {*listed.directories()} == {*names} - {*gone}
        left = listed.directories()
        assert bulk.rmdir(directory, left, 0, NEVER, None)[:2] == (len(left), None)


def test_sums_beyond_64_bits_are_exact(memory: Path) -> None:
    with tempfile.TemporaryDirectory(dir=memory) as place, opened(place.encode()) as directory:
        for number in range(5):
            make(directory, b"hole%d" % number, "hole", b"")
        tally = assert_same(directory, names_in(directory), rules(directory))
    assert tally.apparent == 5 * (2**63 - 1)


def test_another_device_is_a_mount_and_not_added_up(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "file").write_text("x")
    with tmpfs(tmp_path / "top" / "volume"), opened(tmp_path / "top") as directory:
        tally = assert_same(directory, names_in(directory), rules(directory))
    assert (tally.mounts, tally.entries, tally.apparent) == ([b"volume"], 2, 1)
    with opened(tmp_path) as parent:
        found = rules(parent)._replace(device=1)
        assert assert_same(parent, [b"top"], found).mounts == [b"top"]


def test_the_server_can_be_asked(tmp_path: Path) -> None:
    fill(tmp_path / "top", 5)
    with opened(tmp_path / "top") as directory:
        assert_same(directory, names_in(directory), rules(directory, fresh=True))


def test_what_may_not_be_read_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with opened(tmp_path) as directory:
        tally = tallied(directory, [b"file", b"x" * 256, b"none"], rules(directory))
        assert [(name, error.errno) for name, error in tally.errors] == [
            (b"x" * 256, errno.ENAMETOOLONG), (b"none", errno.ENOENT),
        ]  # fmt: skip
        assert isinstance(tally.errors[1][1], FileNotFoundError)
        assert tally.take_out(frozenset({errno.ENOENT}))[0] == [b"none"]
        assert tally.entries == 2


# --- names that are none ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", BAD_NAMES)
@pytest.mark.parametrize("place", [0, 3])
def test_what_is_no_single_name_is_refused_before_anything_is_done(tmp_path: Path, bad: bytes, place: int) -> None:
    (tmp_path / "a").mkdir()
    for path in ("f0", "f1", "f2", "a/b"):
        (tmp_path / path).touch()
    names = [b"f0", b"f1", b"f2"]
    names.insert(place, bad)
    with opened(tmp_path) as directory:
        for act in (bulk.unlink, bulk.rmdir):
            with pytest.raises(ValueError, match=r"not a single path component|embedded null byte"):
                act(directory, names, 0, NEVER, None)
        with pytest.raises(ValueError, match=r"not a single path component|embedded null byte"):
            tallied(directory, names, rules(directory))
    assert sorted(os.listdir(tmp_path)) == ["a", "f0", "f1", "f2"]
    assert os.listdir(tmp_path / "a") == ["b"]


def test_other_things_than_names_are_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        for names in (["text"], [None], (b"tuple",), b"bytes", [b"f0", bytearray(b"f1")]):
            with pytest.raises(TypeError):
                bulk.unlink(directory, names, 0, NEVER, None)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="counted from 0"):
            bulk.unlink(directory, [b"f0"], -1, NEVER, None)
        assert bulk.unlink(directory, [b"f0"], 7, NEVER, None)[:2] == (0, None)
        assert Tally(0).read(directory, [], 0, NEVER, rules(directory)).operations == 0


# --- how far one call goes --------------------------------------------------------------------------------------------


def test_one_operation_where_the_time_is_over(tmp_path: Path) -> None:
    top = fill(tmp_path / "top", 10)
    with opened(top) as directory:
        names = names_in(directory)
        tally = Tally(0)
        assert tally.read(directory, names, 0, ONE, rules(directory)).operations == 1
        assert (tally.entries, len(tally.kept)) == (1, 1)
        assert bulk.unlink(directory, names, 3, ONE, None).gone == 1
        assert {*names} - {*names_in(directory)} == {names[3]}


def test_no_more_than_so_many_in_one_call(tmp_path: Path) -> None:
    top = fill(tmp_path / "top", 300)
    with opened(top) as directory:
        names = names_in(directory)
        assert Tally(0).read(directory, names, 0, NEVER, rules(directory)).operations == MOST
        removed = bulk.unlink(directory, names, 10, NEVER, None)
        assert (removed.gone, removed.error) == (MOST, None)
        assert {*names_in(directory)} == {*names[:10], *names[10 + MOST :]}


def test_the_first_error_ends_it_and_what_is_gone_already_counts(tmp_path: Path) -> None:
    top = fill(tmp_path / "top", 6)
    (top / "f3").unlink()
    (top / "f3").mkdir()
    (top / "f1").unlink()
    with opened(top) as directory:
        removed = bulk.unlink(directory, [b"f%d" % number for number in range(6)], 0, NEVER, None)
        assert (removed.gone, removed.spell.operations) == (3, 4)
        assert isinstance(removed.error, IsADirectoryError)
        assert sorted(os.listdir(top)) == ["f3", "f4", "f5"]
        (top / "f3" / "inner").touch()
        removed = bulk.rmdir(directory, [b"gone", b"f3", b"f4"], 0, NEVER, None)
        assert (removed.gone, removed.error and removed.error.errno) == (1, errno.ENOTEMPTY)
        removed = bulk.rmdir(directory, [b"f4"], 0, NEVER, None)
        assert isinstance(removed.error, NotADirectoryError)
    assert sorted(os.listdir(top)) == ["f3", "f4", "f5"]


def test_a_closed_descriptor_is_an_error(tmp_path: Path) -> None:
    closed = os.open(tmp_path, os.O_RDONLY)
    os.close(closed)
    with pytest.raises(OSError, match="Bad file descriptor"):
        bulk.list_names(closed, from_start=True, most=1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        bulk.list_names(closed, from_start=False, most=1)
    removed = bulk.unlink(closed, [b"f"], 0, NEVER, None)
    assert (removed.gone, removed.error and removed.error.errno) == (0, errno.EBADF)


def test_a_listing_goes_on_where_it_stopped_and_begins_anew(tmp_path: Path) -> None:
    top = fill(tmp_path / "top", 5_000)
    with opened(top) as directory:
        for _ in range(2):
            listing = bulk.list_names(directory, from_start=True, most=10)
            names, calls = listing.names, 1
            while listing.more:
                listing = bulk.list_names(directory, from_start=False, most=10)
                names, calls = names + listing.names, calls + 1
            assert len(names) == 5_000
            assert {*names} == {b"f%d" % number for number in range(5_000)}
            assert calls > 2
            assert len(listing.names) == len(listing.kinds)


def test_what_the_volume_says_is_raised_or_told(tmp_path: Path) -> None:
    fill(tmp_path / "top", 5)
    faults = (
        Fault("unlink", "f2", error="EIO"), Fault("getattr", "f3", error="ETIMEDOUT"), Fault("readdir", error="EIO"),
    )  # fmt: skip
    names = [b"f%d" % number for number in range(5)]
    with slow_volume(tmp_path / "top", tmp_path / "mount") as volume, opened(volume.path) as directory:
        volume.set_plan(*faults)
        with pytest.raises(OSError, match="Input/output error"):
            bulk.list_names(directory, from_start=True, most=1)
        tally = tallied(directory, names, rules(directory))
        assert [(name, error.errno) for name, error in tally.errors] == [(b"f3", errno.ETIMEDOUT)]
        removed = bulk.unlink(directory, names, 0, NEVER, None)
        assert (removed.gone, removed.error and removed.error.errno) == (2, errno.EIO)


# --- Python's lock, threads and memory --------------------------------------------------------------------------------


def test_others_go_on_while_the_volume_takes_its_time(tmp_path: Path) -> None:
    """And the time that each operation took is told."""
    fill(tmp_path / "top", 4)
    latency = {"unlink": 0.2}
    found: list[bulk.Removed] = []
    with slow_volume(tmp_path / "top", tmp_path / "mount", latency=latency) as volume, opened(volume.path) as directory:
        thread = threading.Thread(target=lambda: found.append(bulk.unlink(directory, [b"f0", b"f1"], 0, NEVER, None)))
        thread.start()
        turns = 0
        while thread.is_alive():
            turns += 1
            time.sleep(0.001)
    assert turns > 20
    [removed] = found
    assert removed.gone == 2
    assert 0.2 <= removed.spell.last < removed.spell.took
    assert removed.spell.took >= 0.4


def test_many_threads_in_one_directory(tmp_path: Path) -> None:
    """Each name is unlinked once, whoever does it, and all threads see all attributes."""
    top = fill(tmp_path / "top", 2_000)
    with opened(top) as directory:
        names = names_in(directory)
        found = rules(directory)
        sums: list[int] = []

        def work() -> None:
            sums.append(tallied(directory, names, found).entries)
            at = 0
            while at < len(names):
                at += bulk.unlink(directory, names, at, bulk.until(time.monotonic()), None).gone

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sums == [2_000] * 6
        assert names_in(directory) == []


def test_names_live_as_long_as_they_are_needed(tmp_path: Path) -> None:
    """Somebody empties the list while the names in it are with the kernel."""
    fill(tmp_path / "top", 3)
    latency = {"unlink": 0.1}
    names = [b"f%d" % number for number in range(3)]
    with slow_volume(tmp_path / "top", tmp_path / "mount", latency=latency) as volume, opened(volume.path) as directory:
        thread = threading.Thread(target=bulk.unlink, args=(directory, names, 0, NEVER, None))
        thread.start()
        while volume.counts()["unlink"] == 0:
            time.sleep(0.002)
        names.clear()
        gc.collect()
        thread.join()
    assert os.listdir(tmp_path / "top") == []


@contextmanager
def nothing_kept() -> Iterator[None]:
    """Memory blocks of Python before and after."""
    gc.collect()
    before = sys.getallocatedblocks()
    yield
    gc.collect()
    assert sys.getallocatedblocks() - before < 50


def test_nothing_is_kept(tmp_path: Path) -> None:
    top = fill(tmp_path / "top", 200)
    (top / "directory").mkdir()
    os.link(top / "f0", top / "again")
    with opened(top) as directory:
        names = [*names_in(directory), b"none"]
        found = rules(directory)
        counts = [sys.getrefcount(name) for name in names]

        def once() -> None:
            bulk.list_names(directory, from_start=True, most=10**6)
            tallied(directory, names, found, newest=-1)
            tallied(directory, names, found._replace(device=1))
            bulk.unlink(directory, [b"none", b"directory"], 0, NEVER, None)
            bulk.rmdir(directory, [b"f0", b"f1"], 0, NEVER, None)
            for bad in (b"..", None):
                with pytest.raises((ValueError, TypeError)):
                    bulk.unlink(directory, [b"none", bad], 0, NEVER, None)  # type: ignore[list-item]
            with pytest.raises(OSError, match="Bad file"):
                bulk.list_names(-1, from_start=False, most=1)

        once()
        with nothing_kept():
            for _ in range(200):
                once()
        assert [sys.getrefcount(name) for name in names] == counts
