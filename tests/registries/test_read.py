"""Reading all registries at once: in parallel, never raising, always ending."""

import logging
import os
import threading
import time
from pathlib import Path

import pytest

from sweeper_gui.core.snapshot import Session
from sweeper_gui.registries import file, mounts, read_all
from sweeper_gui.registries.base import Attempt, RegistryError, quoted
from tests.registries.conftest import registry
from tests.support.threads import no_more_threads


@pytest.fixture
def ids(tmp_path: Path) -> str:
    path = tmp_path / "ids"
    path.write_text("a\n", encoding="utf-8")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return f"file:{path}"


def test_no_registry_gives_an_empty_snapshot():
    snapshot = read_all([])
    assert snapshot.reads == ()
    assert not snapshot.examined


def test_each_source_has_its_result_in_the_given_order(ids):
    snapshot = read_all([registry("exec:sh -c 'sleep 0.3; echo b'"), registry(ids), registry("file:/none")])
    assert [read.sessions for read in snapshot.reads] == [(Session("b"),), (Session("a"),), ()]
    assert [read.error for read in snapshot.reads] == [None, None, "does not exist"]
    assert [read.shown for read in snapshot.reads] == ["exec:sh -c 'sleep 0.3; echo b'", ids, "file:/none"]
    assert snapshot.live_ids == {"a", "b"}
    assert not snapshot.examined


def test_a_source_for_which_the_host_starts_no_thread_comes_with_an_error(ids, monkeypatch):
    with no_more_threads(monkeypatch, after=1):
        snapshot = read_all([registry(ids), registry(ids)])
    assert [read.error for read in snapshot.reads] == [None, "this host starts no more threads for us"]


def test_sources_are_read_in_parallel(tmp_path):
    """Each waits until the other has begun."""
    one, other = tmp_path / "one", tmp_path / "other"
    script = "exec:sh -c 'touch {}; while [ ! -e {} ]; do sleep 0.01; done; echo a'"
    snapshot = read_all([registry(script.format(one, other)), registry(script.format(other, one))])
    assert [read.error for read in snapshot.reads] == [None, None]


def test_the_start_lies_before_anything_that_the_source_does(tmp_path):
    stamp = tmp_path / "stamp"
    before = time.time()
    (read,) = read_all([registry(f"exec:sh -c 'date +%s.%N > {stamp}; echo a'")]).reads
    assert before <= read.started_at <= float(stamp.read_text(encoding="ascii")) <= read.finished_at <= time.time()


def test_a_slow_source_does_not_hold_up_the_others_result_nor_its_own_error(ids):
    start = time.monotonic()
    snapshot = read_all([registry("exec:sleep 60", timeout=0.3), registry(ids)])
    assert [bool(read.error) for read in snapshot.reads] == [True, False]
    assert time.monotonic() - start < 5


def hang(until: threading.Event) -> bytes:
    until.wait(30)
    return b""


def test_a_source_that_hangs_in_the_kernel_is_left_behind(monkeypatch, ids):
    """As a file on a hung mount does; here the hang can be ended."""
    hung = threading.Event()
    monkeypatch.setattr(file, "_content", lambda *_: hang(hung))
    start = time.monotonic()
    (read,) = read_all([registry(ids, timeout=0.2)]).reads
    assert "within 0.2 s" in (read.error or "")
    assert 1.5 < time.monotonic() - start < 6
    hung.set()


def test_a_hanging_source_is_left_behind_at_once_when_cancelled(monkeypatch, ids):
    hung, cancel = threading.Event(), threading.Event()
    monkeypatch.setattr(file, "_content", lambda *_: hang(hung))
    cancel.set()
    start = time.monotonic()
    (read,) = read_all([registry(ids, timeout=60)], cancel=cancel).reads
    assert read.error == "cancelled"
    assert time.monotonic() - start < 2
    hung.set()


def test_a_fault_of_our_own_is_an_error_without_secrets(monkeypatch, caplog, messages):
    messages.expect("unexpected ZeroDivisionError")

    def fail(*_: object) -> None:
        raise ZeroDivisionError("hunter2")

    monkeypatch.setattr(file, "_stable_content", fail)
    with caplog.at_level(logging.DEBUG):
        (read,) = read_all([registry("file:/ids")]).reads
    assert read.error == "could not be read: ZeroDivisionError"
    assert "hunter2" not in caplog.text
    assert read.sessions == ()


def test_a_stopped_attempt_says_so_whatever_it_waits_for():
    attempt = Attempt(60)
    closed = threading.Event()
    with attempt.stoppable(closed.set):
        attempt.cancel()
    assert closed.is_set()
    assert attempt.over
    with pytest.raises(RegistryError, match="cancelled"):
        attempt.check()
    with pytest.raises(RegistryError, match="cancelled"), attempt.stoppable(closed.set):
        pytest.fail("began after it was stopped")


def test_what_is_quoted_is_one_short_line():
    assert quoted("a\n b\tc\x1b") == "a b c\\x1b"
    assert len(quoted("x" * 10_000)) == 300


# --- network file systems --------------------------------------------------------------------------------------------


class Mount:
    def __init__(self, mountpoint: str, fstype: str) -> None:
        self.mountpoint = mountpoint
        self.fstype = fstype


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/db", None),
        ("/efs/db", "nfs4"),
        ("/efs/local/db", None),
        ("/efs-local/db", None),
        ("/ssh/db", "fuse.sshfs"),
        ("/disk/db", None),
        ("/over/db", "nfs4"),
        ("/new/db", "newfs"),
    ],
)
def test_the_nearest_and_newest_mount_decides(monkeypatch, path, kind):
    table = [("/", "ext4"), ("/efs", "nfs4"), ("/efs/local", "ext4"), ("/ssh", "fuse.sshfs"), ("/disk", "fuseblk")]
    table += [("/over", "ext4"), ("/over", "nfs4"), ("/new", "newfs")]
    monkeypatch.setattr("psutil.disk_partitions", lambda **_: [Mount(*entry) for entry in table])
    assert mounts.network_file_system(Path(path)) == kind


def test_links_are_followed_to_where_the_file_lies(monkeypatch, tmp_path):
    (tmp_path / "nfs").mkdir()
    (tmp_path / "link").symlink_to("nfs")
    table = [Mount("/", "ext4"), Mount(str(tmp_path / "nfs"), "nfs")]
    monkeypatch.setattr("psutil.disk_partitions", lambda **_: table)
    assert mounts.network_file_system(tmp_path / "link" / "db") == "nfs"


def test_a_directory_of_this_host_is_local(tmp_path):
    assert mounts.network_file_system(tmp_path) is None
