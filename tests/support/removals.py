"""Measuring, discovering and removing a directory that is given by its path, and waiting for it."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from sweeper_gui.core.workspace import Identity
from sweeper_gui.storage.measure import Counters, MeasureResult, measure_now
from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.storage.remove import Discovery, Removal, discover, remove

T = TypeVar("T")

#: Five further attempts, as in earnest, without the waiting.
QUICK_BACK_OFF = (0.01, 0.01, 0.01, 0.01, 0.01)
#: How long anything here may take on a busy machine, in seconds.
PATIENCE = 60.0


@contextmanager
def opened(directory: Path | bytes) -> Iterator[int]:
    """A descriptor of a directory."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class Awaited(Generic[T]):
    """An `on_done` that can be waited for, and that fails when it is called twice."""

    def __init__(self) -> None:
        self._results: list[T] = []
        self._done = threading.Event()

    def __call__(self, result: T) -> None:
        self._results.append(result)
        self._done.set()

    def result(self) -> T:
        """What it was called with."""
        assert self._done.wait(PATIENCE), "it never ended"
        assert len(self._results) == 1
        return self._results[0]


def measured(
    pool: WorkPool,
    tree: Path,
    *,
    now_ns: int | None = None,
    cancel: threading.Event | None = None,
    counters: Counters | None = None,
    repository_seconds: float = 600.0,
) -> MeasureResult:
    """The tree's measure; `now_ns` is the time of the call unless given. No machine is too slow here."""
    with opened(tree.parent) as parent:
        return measure_now(
            pool,
            parent,
            os.fsencode(tree.name),
            now_ns=time.time_ns() if now_ns is None else now_ns,
            cancel=cancel or threading.Event(),
            counters=counters,
            back_off=QUICK_BACK_OFF,
            repository_seconds=repository_seconds,
        )


def discovered(
    pool: WorkPool,
    tree: Path,
    *,
    newest_ns: int | None = None,
    identity: Identity | None = None,
    now_ns: int | None = None,
    cancel: threading.Event | None = None,
    fullest: int = 0,
) -> Discovery:
    """What the discovery finds; it accepts everything unless evidence is given."""
    with opened(tree.parent) as parent:
        finish = Awaited[Discovery]()
        discover(
            pool,
            parent,
            os.fsencode(tree.name),
            evidence_newest_ns=newest_ns,
            evidence_identity=identity,
            now_ns=time.time_ns() if now_ns is None else now_ns,
            cancel=cancel or threading.Event(),
            on_done=finish,
            back_off=QUICK_BACK_OFF,
            fullest=fullest,
        )
        return finish.result()


def removed(
    pool: WorkPool,
    tree: Path,
    discovery: Discovery,
    *,
    cancel: threading.Event | None = None,
    counters: Counters | None = None,
    back_off: Sequence[float] = QUICK_BACK_OFF,
) -> Removal:
    """How the removal of a discovered tree ended."""
    with opened(tree.parent) as parent:
        finish = Awaited[Removal]()
        remove(
            pool,
            parent,
            os.fsencode(tree.name),
            discovery,
            cancel=cancel or threading.Event(),
            counters=counters,
            on_done=finish,
            back_off=back_off,
        )
        return finish.result()


def discovered_and_removed(pool: WorkPool, tree: Path, *, fullest: int = 0) -> Removal:
    """Both, of a tree that must be fit for it."""
    discovery = discovered(pool, tree, fullest=fullest)
    assert discovery.ok, discovery.reason
    return removed(pool, tree, discovery)


def make_deep_tree(directory: Path, levels: int) -> Path:
    """So many directories, each in the one before, below `directory`, which is made: paths longer than PATH_MAX."""
    directory.mkdir()
    deepest = os.open(directory, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("level", dir_fd=deepest)
        below = os.open("level", os.O_RDONLY, dir_fd=deepest)
        os.close(deepest)
        deepest = below
    os.close(deepest)
    return directory


def fill(directory: Path, entries: int) -> Path:
    """So many empty files in one directory, which is made."""
    directory.mkdir()
    descriptor = os.open(directory, os.O_RDONLY)
    for number in range(entries):
        os.mknod(f"f{number}", dir_fd=descriptor)
    os.close(descriptor)
    return directory


def peak_memory() -> int:
    """The largest resident size of this process so far, in KiB.

    The kernel's own figure for it (ru_maxrss) is no less than what the parent had when it started the process.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
