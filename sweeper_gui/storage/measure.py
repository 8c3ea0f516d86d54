"""How big a workspace is, how much is in it, when it last changed, and what work in it exists nowhere else."""

import os
import threading
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from sweeper_gui.core.names import visible
from sweeper_gui.core.usage import MAX_CHILD_NAMES, Usage, change_of
from sweeper_gui.core.workspace import Identity
from sweeper_gui.storage.attempts import BACK_OFF
from sweeper_gui.storage.bulk import Found, Listing, Tally
from sweeper_gui.storage.files import bounded, identity_of
from sweeper_gui.storage.queue import MEASURING, Priority, WorkPool
from sweeper_gui.storage.repositories.survey import BUDGET, Directory, Survey
from sweeper_gui.storage.walk import Counters, Step, Walk

__all__ = ["Counters", "MeasureResult", "measure", "measure_now"]


@dataclass(frozen=True, slots=True)
class MeasureResult:
    """What was measured. `identity` and `uid` are the opened top's, None where it could not be opened."""

    usage: Usage
    identity: Identity | None
    uid: int | None
    cancelled: bool


def measure(
    pool: WorkPool,
    parent_fd: int,
    name: bytes,
    *,
    now_ns: int,
    cancel: threading.Event,
    counters: Counters | None = None,
    on_done: Callable[[MeasureResult], None],
    priority: Priority = MEASURING,
    back_off: Sequence[float] = BACK_OFF,
    repository_seconds: float = BUDGET,
) -> None:
    """Measures the directory `name` in the one open as `parent_fd`, which stays open until `on_done` is called.

    Returns at once; `on_done` is called exactly once, from a thread of the pool. `now_ns` is the time after which an
    mtime says nothing (see `change_of`). What can't be read makes the usage incomplete, and so does what changes
    meanwhile; nothing that is mounted inside is entered. What did not answer is read again after each time of
    `back_off`, in seconds. Reading its repositories takes `repository_seconds` at most; what can't be told by then
    counts as unsaved work.
    """
    _Measuring(pool, parent_fd, name, now_ns, cancel, counters, on_done, priority, back_off, repository_seconds).start()


def measure_now(
    pool: WorkPool,
    parent_fd: int,
    name: bytes,
    *,
    now_ns: int,
    cancel: threading.Event,
    counters: Counters | None = None,
    back_off: Sequence[float] = BACK_OFF,
    repository_seconds: float = BUDGET,
) -> MeasureResult:
    """Measures and waits for it. Must not be called from a job of the same pool."""
    results: list[MeasureResult] = []
    done = threading.Event()

    def finish(result: MeasureResult) -> None:
        results.append(result)
        done.set()

    measure(
        pool, parent_fd, name, now_ns=now_ns, cancel=cancel, counters=counters, on_done=finish, back_off=back_off,
        repository_seconds=repository_seconds,
    )  # fmt: skip
    done.wait()
    return results[0]


class _Measuring(Walk[Directory]):
    """Measuring one workspace."""

    def __init__(
        self,
        pool: WorkPool,
        parent_fd: int,
        name: bytes,
        now_ns: int,
        cancel: threading.Event,
        counters: Counters | None,
        on_done: Callable[[MeasureResult], None],
        priority: Priority,
        back_off: Sequence[float],
        repository_seconds: float,
    ) -> None:
        super().__init__(
            pool, parent_fd, name, priority=priority, cancel=cancel, now_ns=now_ns, newest_ns=0, counters=counters,
            back_off=back_off,
        )  # fmt: skip
        self._on_done = on_done
        self._top: os.stat_result | None = None
        self._measured_at = time.time()
        self._linked: set[int] = set()
        self._fullest = 0
        self._children: list[str] = []
        self._children_cut = False
        self._survey = Survey(pool, repository_seconds, lambda: self.stopping)

    def begin(self, top: Directory, status: os.stat_result) -> None:
        self._top = status
        self._measured_at = time.time()
        self.listed(top, status)

    def node(self, parent: Directory | None, name: bytes, inode: int, size: int) -> Directory:  # noqa: ARG002 - the attributes count it
        found = Directory(self.tree, parent, name, inode)
        if parent is not None and parent.part is not None:
            self._survey.below(parent, parent.part, found)
        return found

    def take(self, node: Directory, tally: Tally, children: list[Directory]) -> None:
        self.newest_ns = max(self.newest_ns, tally.newest)
        node.entries += tally.entries
        self._fullest = max(self._fullest, node.entries)
        for link in tally.links:
            if link.inode not in self._linked:
                self._linked.add(link.inode)
                self.allocated += link.allocated
                self.apparent += link.apparent
        if node.parent is None:
            room = MAX_CHILD_NAMES - len(self._children)
            self._children += [visible(child.name) for child in children[:room]]
            self._children_cut = self._children_cut or len(children) > room

    def enter(self, node: Directory, descriptor: int, listing: Listing) -> None:
        self._survey.enter(node, descriptor, listing)

    def wants(self, node: Directory) -> bool:
        return node.part is not None

    def seen(self, node: Directory, found: Sequence[Found], directories: Set[bytes]) -> None:
        if node.part is not None:
            self._survey.seen(node, node.part, found, directories)

    def further(self) -> Sequence[Step]:
        return self._survey.jobs()

    def listed(self, node: Directory, status: os.stat_result) -> None:
        self.newest_ns = max(self.newest_ns, change_of(status.st_mtime_ns, status.st_ctime_ns, self.now_ns))
        self.newest_ctime_ns = max(self.newest_ctime_ns, status.st_ctime_ns)
        self._survey.listed(node)

    def end(self) -> None:
        cancelled = self.stopping
        self._on_done(
            MeasureResult(
                usage=Usage(
                    allocated=bounded(self.allocated),
                    apparent=bounded(self.apparent),
                    entries=self.entries,
                    directories=self.directories,
                    newest_change_ns=bounded(self.newest_ns),
                    newest_ctime_ns=bounded(self.newest_ctime_ns),
                    measured_at=self._measured_at,
                    complete=not cancelled and not self.error_count and self._top is not None,
                    error_count=self.error_count,
                    errors=tuple(self.errors),
                    child_directories=tuple(self._children),
                    children_cut=self._children_cut,
                    mounts=tuple(self.mounts),
                    other_roots=tuple(self.other_roots),
                    unsaved_work=() if cancelled else self._survey.unsaved_work(),
                    fullest=self._fullest,
                ),
                identity=identity_of(self._top) if self._top is not None else None,
                uid=self._top.st_uid if self._top is not None else None,
                cancelled=cancelled,
            )
        )
