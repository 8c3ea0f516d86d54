"""Measuring: the same as a plain walk and as du, whatever lies in the tree, and never more than what is there."""

import os
import shutil
import socket
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper_gui.core.usage import MAX_CHILD_NAMES, change_of
from sweeper_gui.storage.files import identity_of
from sweeper_gui.storage.measure import Counters, MeasureResult, measure
from sweeper_gui.storage.queue import WorkPool
from tests.support.mounts import bind, tmpfs
from tests.support.nobody import NOBODY, as_nobody
from tests.support.removals import PATIENCE, Awaited, discovered, fill, make_deep_tree, measured, opened
from tests.support.slowfs import Fault, slow_volume
from tests.support.trees import make_tree

DAY = 86_400 * 10**9


@dataclass
class Expected:
    """What a plain walk finds."""

    allocated: int = 0
    apparent: int = 0
    entries: int = 0
    directories: int = 0
    newest: int = 0
    newest_ctime: int = 0


def walked(top: bytes, now_ns: int) -> Expected:
    """The oracle: one lstat after the other."""
    expected = Expected(entries=-1, directories=-1)
    seen = set()
    paths = [top]
    while paths:
        path = paths.pop()
        status = os.lstat(path)
        expected.entries += 1
        expected.newest = max(expected.newest, change_of(status.st_mtime_ns, status.st_ctime_ns, now_ns))
        expected.newest_ctime = max(expected.newest_ctime, status.st_ctime_ns)
        if stat.S_ISDIR(status.st_mode):
            expected.directories += 1
            paths += [os.path.join(path, name) for name in os.listdir(path)]
        elif status.st_nlink > 1:
            if status.st_ino in seen:
                continue
            seen.add(status.st_ino)
        expected.allocated += status.st_blocks * 512
        expected.apparent += status.st_size
    return expected


def assert_same(pool: WorkPool, top: Path) -> None:
    now_ns = time.time_ns()
    expected = walked(os.fsencode(top), now_ns)
    result = measured(pool, top, now_ns=now_ns)
    usage = result.usage
    assert (usage.complete, usage.errors, usage.mounts, result.cancelled) == (True, (), (), False)
    assert expected == Expected(
        usage.allocated, usage.apparent, usage.entries, usage.directories, usage.newest_change_ns,
        usage.newest_ctime_ns,
    )  # fmt: skip


def du(*arguments: str | Path) -> int:
    output = subprocess.run(["du", "-s", "--block-size=1", *arguments], capture_output=True, check=True).stdout
    return int(output.split()[0])


# --- what is counted --------------------------------------------------------------------------------------------------

_NAMES = (
    st.binary(min_size=1, max_size=12)
    .filter(lambda name: b"/" not in name and b"\0" not in name)
    .filter(lambda name: name not in (b".", b".."))
)
_LEAVES = st.one_of(
    st.integers(0, 20_000),  # a file of that size
    st.sampled_from(["link", "sparse", "fifo", "hard", "old", "future"]),
)
_TREES = st.recursive(_LEAVES, lambda children: st.dictionaries(_NAMES, children, max_size=6), max_leaves=25)


def build(path: bytes, shape: object, first: list[bytes]) -> None:
    """Makes what the shape says; `first` is the file that hard links lead to."""
    if isinstance(shape, dict):
        os.mkdir(path)
        for name, inner in shape.items():
            build(os.path.join(path, name), inner, first)
    elif shape == "link":
        os.symlink(b"/etc", path)
    elif shape == "fifo":
        os.mkfifo(path)
    elif shape == "hard" and first:
        os.link(first[0], path)
    else:
        with open(path, "wb") as file:
            if shape == "sparse":
                file.truncate(1 << 22)
            elif isinstance(shape, int):
                file.write(b"x" * shape)
        if shape in ("old", "future"):
            when = (470_000_000 if shape == "old" else 4_000_000_000) * 10**9
            os.utime(path, ns=(when, when))
        first.append(path)


@settings(max_examples=60)
@given(shape=st.dictionaries(_NAMES, _TREES, max_size=8))
def test_any_tree_is_measured_as_a_plain_walk_would(shape: dict[bytes, object]) -> None:
    pool = WorkPool()
    top = Path(tempfile.mkdtemp(prefix="sweeper-measure-")) / "top"
    try:
        build(os.fsencode(top), shape, [])
        assert_same(pool, top)
    finally:
        pool.close()
        shutil.rmtree(top.parent)
    assert pool.failures == ()


def test_it_agrees_with_du_on_a_real_tree(pool: WorkPool, tmp_path: Path) -> None:
    """A package as pip installs it, with its compiled files."""
    top = tmp_path / "top"
    shutil.copytree(Path(pytest.__file__).parent.parent / "pip", top)
    usage = measured(pool, top).usage
    assert usage.complete
    assert usage.allocated == du(top)
    assert usage.apparent == du("--apparent-size", top)


def test_it_agrees_with_du_on_hard_links_and_holes(pool: WorkPool, tmp_path: Path) -> None:
    top = make_tree(tmp_path / "top", 200, size=5_000)
    original = next(path for path in top.rglob("f*"))
    for number in range(5):
        os.link(original, top / f"again{number}")
    os.link(original, tmp_path / "outside")
    with (top / "sparse").open("wb") as file:
        file.truncate(1 << 30)
        file.seek(1 << 29)
        file.write(b"x")
    usage = measured(pool, top).usage
    assert usage.allocated == du(top)
    assert usage.apparent == du("--apparent-size", top)
    assert usage.entries == 206


def test_links_and_special_files_are_not_followed(pool: WorkPool, tmp_path: Path) -> None:
    make_tree(tmp_path / "outside", 100, size=10_000)
    top = tmp_path / "top"
    top.mkdir()
    (top / "to-directory").symlink_to(tmp_path / "outside")
    (top / "to-nothing").symlink_to("nowhere")
    (top / "to-itself").symlink_to(".")
    os.mkfifo(top / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(top / "socket"))
        assert_same(pool, top)
    assert measured(pool, top).usage.entries == 5


def test_names_are_any_bytes(pool: WorkPool, tmp_path: Path) -> None:
    top = os.fsencode(tmp_path / "top")
    os.mkdir(top)
    for name in (b"new\nline", b"\xff\xfe", b"x" * 255, b" ", "ü\u202e".encode(), b"-rf", b"*"):
        os.mkdir(os.path.join(top, name))
        with open(os.path.join(top, name, name), "wb") as file:
            file.write(b"12345")
    assert_same(pool, tmp_path / "top")
    children = measured(pool, tmp_path / "top").usage.child_directories
    assert set(children) == {r"new\x0aline", r"\xff\xfe", "x" * 255, r"\x20", "ü\\u202e", "-rf", "*"}


def test_three_thousand_levels(pool: WorkPool, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "volume") as volume:
        make_deep_tree(volume / "top", 3_000)
        usage = measured(pool, volume / "top").usage
    assert (usage.entries, usage.directories, usage.complete) == (3_000, 3_000, True)


def test_a_hundred_thousand_entries_in_one_directory(pool: WorkPool, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "volume", 256) as volume:
        top = volume / "top"
        fill(top, 100_000)
        usage = measured(pool, top).usage
    assert (usage.entries, usage.complete, usage.directories) == (100_000, True, 0)


def test_the_names_of_the_first_level_are_told_up_to_a_number(pool: WorkPool, tmp_path: Path) -> None:
    top = tmp_path / "top"
    for name in ("a/x", "b", "c"):
        (top / name).mkdir(parents=True)
    (top / "file").touch()
    usage = measured(pool, top).usage
    assert (sorted(usage.child_directories), usage.children_cut) == (["a", "b", "c"], False)
    with tmpfs(tmp_path / "volume") as volume:
        for number in range(MAX_CHILD_NAMES + 1):
            (volume / "top" / str(number)).mkdir(parents=True)
        usage = measured(pool, volume / "top").usage
    assert (len(usage.child_directories), usage.children_cut) == (MAX_CHILD_NAMES, True)


# --- when it changed --------------------------------------------------------------------------------------------------


def test_the_fullest_directory_is_known_by_what_it_holds_itself(pool: WorkPool, tmp_path: Path) -> None:
    top = fill(tmp_path / "top", 30)
    for name in ("a", "b"):
        fill(top / name, 20)
    fill(top / "b" / "many", 5_000)  # read in several parts
    assert measured(pool, top).usage.fullest == 5_000
    shutil.rmtree(top / "b" / "many")
    assert measured(pool, top).usage.fullest == 32


def test_the_newest_change_is_found_anywhere(pool: WorkPool, tmp_path: Path) -> None:
    top = make_tree(tmp_path / "top", 300)
    changed = top / "d000" / "d00003" / "f7"
    changed.chmod(0o600)
    usage = measured(pool, top).usage
    assert usage.newest_change_ns == usage.newest_ctime_ns == changed.lstat().st_ctime_ns


def test_a_future_mtime_says_nothing(pool: WorkPool, tmp_path: Path) -> None:
    top = make_tree(tmp_path / "top", 3)
    odd = top / "d000" / "d00000" / "f0"
    now = time.time_ns()
    os.utime(odd, ns=(now + DAY, now + DAY))
    usage = measured(pool, top, now_ns=time.time_ns()).usage
    assert usage.newest_change_ns == odd.lstat().st_ctime_ns
    assert measured(pool, top, now_ns=now + 2 * DAY).usage.newest_change_ns == now + DAY


def test_times_and_sizes_beyond_all_bounds_are_bounded(pool: WorkPool, tmp_path: Path) -> None:
    """Anyone may make them, and a number of more than 64 bits could be told to no front end."""
    with tmpfs(tmp_path / "mounted") as mounted:
        top = make_tree(mounted / "top", 3)
        for number in range(3):
            with (top / f"hole-{number}").open("wb") as file:
                file.truncate(7 << 60)
        far = 253_370_764_800 * 10**9  # the year 9999
        for path in (top / "hole-0", top):
            os.utime(path, ns=(far, far))
        result = measured(pool, top)
    assert result.usage.apparent == 2**63 - 1
    assert result.identity is not None
    assert result.identity.mtime_ns == 2**63 - 1
    assert msgspec.msgpack.encode((result.usage, result.identity))


def test_the_top_counts_too(pool: WorkPool, tmp_path: Path) -> None:
    top = make_tree(tmp_path / "top", 3)
    top.chmod(0o700)
    assert measured(pool, top).usage.newest_change_ns == top.lstat().st_ctime_ns


# --- what the result says of the top ----------------------------------------------------------------------------------


def test_identity_and_owner_are_those_of_the_opened_top(pool: WorkPool, tmp_path: Path) -> None:
    top = make_tree(tmp_path / "top", 3)
    os.chown(top, 1234, 1234)
    before = time.time()
    result = measured(pool, top)
    assert result.identity == identity_of(top.lstat())
    assert result.uid == 1234
    assert before <= result.usage.measured_at <= time.time()


@pytest.mark.parametrize("kind", ["missing", "file", "link"])
def test_what_is_no_directory_is_not_measured(pool: WorkPool, tmp_path: Path, kind: str) -> None:
    top = tmp_path / "top"
    if kind == "file":
        top.touch()
    elif kind == "link":
        make_tree(tmp_path / "elsewhere", 10)
        top.symlink_to("elsewhere")
    result = measured(pool, top)
    assert (result.identity, result.uid, result.usage.complete, result.usage.entries) == (None, None, False, 0)
    assert result.usage.errors == (".: changed while it was read",)


# --- what can't be read -----------------------------------------------------------------------------------------------


def test_the_unreadable_is_counted_and_named(nobodys: Path) -> None:
    top = make_tree(nobodys / "top", 60, per_directory=10)
    for name, mode in (("closed", 0o000), ("unlisted", 0o300), ("no-look-ups", 0o600)):
        (top / name).mkdir()
        for number in range(4):
            (top / name / f"f{number}").touch()
        os.chown(top / name, NOBODY, NOBODY)
        (top / name).chmod(mode)

    def measure_as_nobody() -> None:
        pool = WorkPool()
        usage = measured(pool, top).usage
        pool.close()
        assert not usage.complete
        assert usage.entries == 60 + 3 + 4
        assert usage.error_count == 1 + 1 + 4
        assert len(usage.errors) == 5
        assert any(error.startswith("no-look-ups/f") and "Permission denied" in error for error in usage.errors)

    as_nobody(measure_as_nobody)


def test_what_vanishes_meanwhile_makes_it_incomplete(pool: WorkPool, tmp_path: Path) -> None:
    make_tree(tmp_path / "backing" / "top", 30)
    gone = Fault("getattr", "top/d000/d00000/f3", error="ENOENT")
    with slow_volume(tmp_path / "backing", tmp_path / "mount", gone) as volume:
        usage = measured(pool, volume.path / "top").usage
    assert (usage.complete, usage.error_count) == (False, 1)
    assert usage.errors == ("d000/d00000/f3: changed while it was read",)


def test_a_failing_volume_is_named_with_its_words(pool: WorkPool, tmp_path: Path) -> None:
    make_tree(tmp_path / "backing" / "top", 200, per_directory=20)
    broken = Fault("readdir", "top/d000/d00003*", error="EIO")
    with slow_volume(tmp_path / "backing", tmp_path / "mount", broken) as volume:
        usage = measured(pool, volume.path / "top").usage
    assert not usage.complete
    assert usage.errors == ("d000/d00003: Input/output error",)
    assert usage.entries > 150


def test_a_directory_that_changes_while_it_is_read_counts_as_changed_now(pool: WorkPool, tmp_path: Path) -> None:
    """An entry made behind the listing's back shows in the directory's own times at the end."""
    make_tree(tmp_path / "backing" / "top", 30)
    directory = tmp_path / "backing" / "top" / "d000" / "d00000"
    with slow_volume(tmp_path / "backing", tmp_path / "mount", Fault("getattr", "*/f20", delay=0.4)) as volume:
        later = threading.Timer(0.2, (directory / "late").touch)
        later.start()
        usage = measured(pool, volume.path / "top").usage
        later.join()
    assert usage.newest_change_ns == directory.lstat().st_ctime_ns


# --- mounts -----------------------------------------------------------------------------------------------------------


def test_mounts_are_named_and_never_entered(pool: WorkPool, tmp_path: Path) -> None:
    top = make_tree(tmp_path / "top", 10)
    make_tree(tmp_path / "outside", 500)
    before = measured(pool, top).usage
    (top / "bound").mkdir()
    (top / "other").mkdir()
    (top / "d000" / "d00000" / "itself").mkdir()
    with (
        bind(tmp_path / "outside", top / "bound"),
        bind(top / "d000", top / "d000" / "d00000" / "itself"),
        tmpfs(top / "other") as other,
    ):
        make_tree(other / "inner", 20)
        usage = measured(pool, top).usage
    assert set(usage.mounts) == {b"bound", b"other", b"d000/d00000/itself"}
    assert usage.entries == before.entries + 3


@pytest.mark.parametrize("inner", ["", "repo/ws"])
def test_a_root_of_another_volume_is_told_and_discovered_by_no_removal(
    pool: WorkPool, tmp_path: Path, inner: str
) -> None:
    top = make_tree(tmp_path / "top", 10)
    (top / inner).mkdir(parents=True, exist_ok=True)
    (top / inner / ".sweeper-claim").symlink_to("nowhere")
    assert measured(pool, top).usage.other_roots == (inner.encode(),)
    found = discovered(pool, top)
    assert (found.ok, found.reason) == (False, f"contains the root of another volume: {inner or '.'}")


def test_a_top_that_is_a_mount_is_not_entered(pool: WorkPool, tmp_path: Path) -> None:
    make_tree(tmp_path / "outside", 50)
    with bind(tmp_path / "outside", tmp_path / "top") as top:
        result = measured(pool, top)
    assert result.usage.mounts == (b"",)
    assert (result.usage.entries, result.usage.complete) == (0, False)


# --- cancelling, progress, slow volumes -------------------------------------------------------------------------------


def test_a_cancel_ends_it_with_an_incomplete_result(pool: WorkPool, tmp_path: Path) -> None:
    make_tree(tmp_path / "backing" / "top", 2_000)
    cancel = threading.Event()
    counters = Counters()
    with slow_volume(tmp_path / "backing", tmp_path / "mount", latency={"getattr": 0.02}) as volume:
        threading.Timer(0.5, cancel.set).start()
        started = time.monotonic()
        result = measured(pool, volume.path / "top", cancel=cancel, counters=counters)
        assert time.monotonic() - started < 2.5
    assert result.cancelled
    assert not result.usage.complete
    assert 0 < counters.entries == result.usage.entries < 2_000


def test_a_cancelled_one_is_not_begun(pool: WorkPool, tmp_path: Path) -> None:
    top = make_tree(tmp_path / "top", 10)
    cancel = threading.Event()
    cancel.set()
    result = measured(pool, top, cancel=cancel)
    assert (result.cancelled, result.usage.complete, result.usage.entries) == (True, False, 0)


def test_counters_end_at_what_was_measured(pool: WorkPool, tmp_path: Path) -> None:
    top = make_tree(tmp_path / "top", 500)
    counters = Counters()
    usage = measured(pool, top, counters=counters).usage
    assert counters.entries == usage.entries
    assert counters.bytes <= usage.allocated


class _WhoAdds(Counters):
    """Remembers the threads that did the work."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[int] = []

    def add(self, entries: int, size: int) -> None:
        self.threads.append(threading.get_ident())
        super().add(entries, size)


def test_one_directory_is_read_by_many_threads_where_that_is_slow(pool: WorkPool, tmp_path: Path) -> None:
    """Only that they share the work: this FUSE lets one look-up into a directory at a time, NFS does not."""
    make_tree(tmp_path / "backing" / "top", 602, per_directory=600)
    slow = _WhoAdds()
    with slow_volume(tmp_path / "backing", tmp_path / "mount", latency={"getattr": 0.002}) as volume:
        usage = measured(pool, volume.path / "top", counters=slow).usage
    assert (usage.entries, usage.complete, slow.entries) == (602, True, 602)
    assert len(set(slow.threads)) > 1
    assert len(slow.threads) > 20


def test_several_trees_share_the_pool(pool: WorkPool, tmp_path: Path) -> None:
    tops = [make_tree(tmp_path / f"top{number}", 100 + number) for number in range(12)]
    entries: dict[int, int] = {}
    threads = [
        threading.Thread(target=lambda n=n, top=top: entries.update({n: measured(pool, top).usage.entries}))
        for n, top in enumerate(tops)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert entries == {number: 100 + number for number in range(12)}
    assert pool.descriptors.open_now == 0


# --- a volume that hangs ----------------------------------------------------------------------------------------------


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def test_a_volume_that_hangs_shows_and_goes_on_when_it_comes_back(pool: WorkPool, tmp_path: Path) -> None:
    make_tree(tmp_path / "backing" / "top", 400)
    end = Awaited[MeasureResult]()
    counters = Counters()
    with (
        slow_volume(tmp_path / "backing", tmp_path / "mount", latency={"getattr": 0.003}) as volume,
        opened(volume.path) as parent,
    ):
        measure(pool, parent, b"top", now_ns=time.time_ns(), cancel=threading.Event(), counters=counters, on_done=end)
        until(lambda: counters.entries > 20)
        volume.freeze()
        try:
            until(lambda: pool.stalled_for > 0.5)
        finally:
            volume.thaw()
        assert end.result().usage.entries == 400
    assert pool.stalled_for == 0.0


def test_nothing_waits_for_a_volume_that_hangs(tmp_path: Path) -> None:
    make_tree(tmp_path / "backing" / "top", 400)
    pool = WorkPool()
    end = Awaited[MeasureResult]()
    cancel = threading.Event()
    counters = Counters()
    with (
        slow_volume(tmp_path / "backing", tmp_path / "mount", latency={"getattr": 0.003}) as volume,
        opened(volume.path) as parent,
    ):
        measure(pool, parent, b"top", now_ns=time.time_ns(), cancel=cancel, counters=counters, on_done=end)
        until(lambda: counters.entries > 20)
        volume.freeze()
        try:
            until(lambda: pool.stalled_for > 0.2)
            cancel.set()
            began = time.monotonic()
            pool.close()
            assert time.monotonic() - began < 2.0
        finally:
            volume.thaw()
        assert end.result().cancelled
    pool.close()
    assert pool.failures == ()
