"""Every operation of a removal fails in every way, one at a time: what is said of it is true, and nothing else is hurt.

One removal as the sweep does it (measure, set aside, discover, remove) of a small tree that holds something of
everything is run on a volume that tells all its operations. Then it is run again for an operation and an error: once
so that the operation fails a single time, so that it is done and only its answer gets lost, or so that it fails from
then on. Here a choice of them is run, each kind of operation with each error; all of them by

    ./dev test tests/storage/test_remove_every_fault.py --every-fault --timeout 0 -rP
"""

import errno
import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import pytest

from sweeper_gui.storage import files, remove
from sweeper_gui.storage.attempts import IN_USE, NO_ANSWER, NO_ROOM, words_for
from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.storage.walk import CHANGED
from tests.support.removals import discovered, measured, opened, removed
from tests.support.slowfs import Fault, SlowVolume, slow_volume
from tests.support.trees import fingerprint

ERRORS = (
    "EIO", "ESTALE", "EACCES", "EPERM", "EBUSY", "ENOTEMPTY", "ENOSPC", "EDQUOT", "EROFS", "ETIMEDOUT", "EINTR",
    "EAGAIN", "EMFILE", "ENFILE", "ENOMEM", "ENOTCONN", "EREMOTEIO", "ENXIO",
)  # fmt: skip
#: The rest either has no answer that matters (releasedir), or is never asked for.
OPERATIONS = ("getattr", "opendir", "readdir", "unlink", "rmdir", "rename", "chmod")
CHANGES = ("unlink", "rmdir", "rename")


class Way(StrEnum):
    """How an operation fails."""

    ONCE = "once"
    LOST = "done, answer lost"
    ALWAYS = "from then on"


@dataclass(frozen=True)
class Trial:
    """One operation that fails: the nth one of its kind with this path."""

    operation: str
    path: str
    nth: int
    error: str
    way: Way

    @property
    def code(self) -> int:
        """The errno."""
        return int(getattr(errno, self.error))

    @property
    def faults(self) -> list[Fault]:
        """The plan for it. The kernel itself tries once more after an ESTALE."""
        times = None if self.way is Way.ALWAYS else 2 if self.error == "ESTALE" and self.way is Way.ONCE else 1
        path = "".join(f"[{character}]" if character in "*?[" else character for character in self.path)
        lost = self.way is Way.LOST
        fault = Fault(self.operation, path, error=self.error, nth=self.nth, times=times, after=lost)
        if self.operation != "chmod":
            return [fault]
        return [Fault("unlink", f"{path}/*", error="EACCES", times=1), fault]

    @property
    def passes(self) -> bool:
        """Whether the removal comes to a good end all the same."""
        if self.way is Way.ALWAYS or self.operation == "rename":
            return self.operation == "rename" and self.way is Way.LOST
        return self.code in NO_ANSWER or (self.operation in CHANGES and self.code in IN_USE | NO_ROOM)

    @property
    def words(self) -> list[str]:
        """What may be said of it: an error in words, or that there is no telling what is there by now."""
        forbidden = [os.strerror(errno.EACCES)] if self.operation == "chmod" else []
        return [words_for(OSError(self.code, os.strerror(self.code))), os.strerror(self.code), CHANGED, *forbidden]


@dataclass
class Run:
    """What became of the workspace in one attempt, in the words of the program."""

    complete: bool = False
    entries_removed: int = 0
    said: list[str] = field(default_factory=list)
    #: whether it could not be set aside, which is not tried again: nothing has been done, and it is said
    stays: bool = False


class Stand:
    """A volume with a workspace to be removed and a live one, seen from below."""

    def __init__(self, pool: WorkPool, volume: SlowVolume, backing: Path, root: int, aside: int) -> None:
        self.pool = pool
        self._root = root
        self._aside = aside
        self.volume = volume
        self._backing = backing
        self._live = backing / "root" / "live"
        (self._live / "inner").mkdir()
        (self._live / "inner" / "file").write_bytes(b"precious")
        self._shared = backing / "root" / "shared"
        self._shared.write_bytes(b"shared" * 100)
        self._before = (fingerprint(self._live), self._shared_facts())
        self.entries = 0

    def _shared_facts(self) -> tuple[bytes, int, int, int]:
        status = self._shared.stat()
        return self._shared.read_bytes(), status.st_mode, status.st_mtime_ns, status.st_uid

    def make_workspace(self) -> None:
        """Something of everything, made where no fault is met."""
        top = self._backing / "root" / "ws"
        for directory in ("a/b/c", "closed", "d"):
            (top / directory).mkdir(parents=True)
        for name in (b"a/f", b"a/new\nline", b"a/b/\xff[*]", b"closed/f", b"d/1", b"d/2", b"d/3", b"d/4"):
            Path(os.fsdecode(os.path.join(os.fsencode(top), name))).write_bytes(b"content")
        (top / "link").symlink_to("../live/inner")
        os.mkfifo(top / "fifo")
        os.link(self._shared, top / "shared")
        (top / "closed").chmod(0o555)
        self.entries = len(self._left())

    def clear(self) -> None:
        """Takes away what a trial has left."""
        self.volume.set_plan()
        for top in self._tops():
            shutil.rmtree(top)

    def _left(self) -> list[Path]:
        """What is left of the workspace, wherever it is."""
        return [path for top in self._tops() for path in top.rglob("*")]

    def _tops(self) -> list[Path]:
        return [
            top for top in (self._backing / "root" / "ws", self._backing / "removing" / "1") if os.path.lexists(top)
        ]

    def attempt(self) -> Run:
        """Measured, set aside, discovered, removed, as far as it comes."""
        root, aside = self.volume.path / "root", self.volume.path / "removing"
        run = Run()
        top = root / "ws"
        newest = None
        if "ws" in os.listdir(self._backing / "root"):
            usage = measured(self.pool, top).usage
            if not usage.complete:
                run.said += usage.errors
                return run
            newest = usage.newest_change_ns
            inode = (self._backing / "root" / "ws").stat().st_ino
            try:
                files.move(b"ws", self._root, b"1", self._aside, inode)
            except OSError as error:
                run.said.append(words_for(error))
                run.stays = True
                return run
        found = discovered(self.pool, aside / "1", newest_ns=newest)
        if not found.ok:
            run.said.append(found.reason)
            return run
        result = removed(self.pool, aside / "1", found)
        run.said += result.errors
        run.complete, run.entries_removed = result.complete, result.entries_removed
        return run

    def judge(self, run: Run) -> None:
        """What was said is so, and nothing else was touched."""
        assert run.complete == (not self._tops())
        assert run.entries_removed == self.entries - len(self._left())
        assert bool(run.said) != run.complete, run.said
        self.entries = len(self._left())
        assert (fingerprint(self._live), self._shared_facts()) == self._before
        assert sorted(os.listdir(self._backing)) == ["removing", "root"]
        assert {*os.listdir(self._backing / "root")} <= {"live", "shared", "ws"}
        assert {*os.listdir(self._backing / "removing")} <= {"1"}
        assert self.pool.failures == ()
        assert self.pool.descriptors.open_now == 0

    def places(self) -> list[tuple[str, str, int]]:
        """Every operation of a removal without faults: (operation, path, which one of these)."""
        self.make_workspace()
        self.volume.set_plan()
        self.volume.forget_calls()
        self.judge(self.attempt())
        seen: Counter[tuple[str, str]] = Counter()
        places = [("chmod", "removing/1/closed", 1)]
        for call in self.volume.calls():
            seen[call] += 1
            if call[0] in OPERATIONS and call[1].startswith(("root/ws", "removing/1")):
                places.append((*call, seen[call]))
        return places

    def try_out(self, trial: Trial) -> None:
        """The workspace is made, meets the fault, is judged; and a second attempt finishes."""
        self.make_workspace()
        descriptors = os.listdir("/proc/self/fd")
        self.volume.set_plan(*trial.faults)
        run = self.attempt()
        struck = self.volume.strikes()
        self.volume.set_plan()
        self.judge(run)
        assert os.listdir("/proc/self/fd") == descriptors
        if (trial.passes and not run.stays) or not struck:
            assert run.complete, run.said
        if not run.complete:
            assert any(words in line for words in trial.words for line in run.said), run.said
            run = self.attempt()
            self.judge(run)
            assert run.complete, run.said


@pytest.fixture
def stand(pool: WorkPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    """Directories of four entries count as large, so that these are looked up ahead."""
    monkeypatch.setattr(remove, "LOOK_UP_FROM", 4)
    backing = tmp_path / "backing"
    (backing / "root" / "live").mkdir(parents=True)
    (backing / "removing").mkdir()
    with (
        slow_volume(backing, tmp_path / "mount") as volume,
        opened(volume.path / "root") as root,
        opened(volume.path / "removing") as aside,
    ):
        yield Stand(pool, volume, backing, root, aside)


def ways_of(operation: str, error: str) -> list[Way]:
    """An answer gets lost where something was changed, and then it is missing rather than no."""
    lost = operation in CHANGES and getattr(errno, error) in NO_ANSWER
    # EINTR for ever would be no answer to a signal; and Python repeats most calls by itself then, without an end.
    always = error != "EINTR"
    return [Way.ONCE, *([Way.ALWAYS] if always else []), *([Way.LOST] if lost else [])]


def chosen(places: list[tuple[str, str, int]], error: str, *, every: bool) -> list[Trial]:
    """All, or of each kind of operation one place for each way."""
    trials = [Trial(*place, error, way) for place in places for way in ways_of(place[0], error)]
    if every:
        return trials
    chance = random.Random(error)
    chance.shuffle(trials)
    kinds = {(trial.operation, trial.way if trial.operation in CHANGES else ""): trial for trial in trials}
    return list(kinds.values())


@pytest.mark.parametrize("error", ERRORS)
def test_every_fault_is_told_truly_and_hurts_nothing_else(
    stand: Stand, error: str, request: pytest.FixtureRequest
) -> None:
    trials = chosen(stand.places(), error, every=bool(request.config.getoption("--every-fault")))
    assert {trial.operation for trial in trials} == {*OPERATIONS}
    failures = []
    for trial in trials:
        try:
            stand.try_out(trial)
        except AssertionError as failure:
            failures.append(f"{trial}: {failure}")
            stand.clear()
    assert not failures, "\n".join(failures)
    print(f"{error}: {len(trials)} faults")


def test_no_special_file_is_ever_opened(stand: Stand) -> None:
    stand.places()
    assert not {"open", "read", "readlink", "write", "truncate", "chown"} & {*stand.volume.counts()}
