"""A listing: names at once, then attributes, the registry and the facts around, then sizes."""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from functools import partial
from typing import Literal

from sweeper_gui.core.row import Row
from sweeper_gui.core.snapshot import Snapshot
from sweeper_gui.core.usage import unmeasurable
from sweeper_gui.core.verdict import Status
from sweeper_gui.core.workspace import Kind, Workspace
from sweeper_gui.engine.aside import aside
from sweeper_gui.engine.book import Book
from sweeper_gui.engine.jobs import told
from sweeper_gui.engine.messages import ScanProgress
from sweeper_gui.storage.listing import list_workspaces, with_attributes
from sweeper_gui.storage.measure import Counters, MeasureResult, measure
from sweeper_gui.storage.queue import MEASURING, Priority
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep.ground import Facts, Ground
from sweeper_gui.sweep.trash import ids_in_trash
from sweeper_gui.sweep.words import words_of

#: Attributes are read by so many names a job: one job a name would cost more than the reading.
_ATTRIBUTES_AT_ONCE = 64
#: Seconds between two looks at the cancel, and how long what was under way then is waited for.
_LOOK_EVERY = 0.05
_PATIENCE = 1.0


class Scan:
    """One listing of one volume into a book. Reads only."""

    def __init__(
        self, ground: Ground, book: Book, *, reserved: frozenset[bytes], on_judged: Callable[[], None]
    ) -> None:
        self._ground = ground
        self._book = book
        self._cancel = ground.cancel
        self._reserved = reserved
        self._on_judged = on_judged
        self._counters = Counters()
        self._started = time.monotonic()
        self._listed = self._to_measure = self._measured = 0
        self._phase: Literal["listing", "measuring", "done", "cancelled", "failed"] = "listing"
        self._ended: float | None = None
        self.problems: list[str] = []

    @property
    def progress(self) -> ScanProgress:
        """How far it is."""
        return ScanProgress(
            self._phase,
            self._listed,
            self._to_measure,
            self._measured,
            self._counters.entries,
            round((self._ended or time.monotonic()) - self._started, 3),
        )

    def run(self, *, sizes: bool, only_new: bool) -> None:
        """Lists, judges and measures; returns when all is done or cancelled. Raises `VolumeError`."""
        try:
            registry = aside(self._ground.read_unexamined)
            facts = aside(self._ground.facts)
            names = self._list()
            if self._cancel.is_set():
                wait([registry], _PATIENCE)  # a command that it runs is to be ended before we are
                return
            self._book.keep_only(names)
            attributes = self._begin_attributes(names)
            try:
                self._examine(registry.result(), facts.result())
            finally:
                attributes.wait()
            if sizes and not self._cancel.is_set():
                self.measure(self._book.rows(), only_new=only_new)
        except BaseException:
            self._phase = "failed"
            raise
        finally:
            self.end()

    def end(self) -> None:
        """Nothing more is done: for those who call its parts one by one."""
        if self._cancel.is_set():
            self._phase = "cancelled"
        elif self._phase != "failed":
            self._phase = "done"
        self._ended = time.monotonic()

    def look_again(self, names: Sequence[bytes] | None, *, registry_older_than: float) -> None:
        """Before a plan is made: attributes, facts and, where older than so many seconds, the registry, anew."""
        known = self._book.snapshot
        fresh = known is not None and known.examined and 0 <= time.time() - known.started_at <= registry_older_than
        registry = None if fresh else aside(self._ground.read_unexamined)
        facts = aside(self._ground.facts)
        names = names if names is not None else [row.name for row in self._book.rows()]
        self._listed = len(names)
        attributes = self._begin_attributes(names)
        try:
            if registry is not None:
                self._examine(registry.result(), facts.result())
            else:
                self._book.judge_all(self._ground.now, facts=facts.result(), root=self._ground.volume.root)
        finally:
            attributes.wait()

    def read_registry(self) -> None:
        """Reads the registry again and judges all rows by it."""
        self._examine(self._ground.read_unexamined(), self._ground.facts())

    def _list(self) -> list[bytes]:
        names: list[bytes] = []
        pool = self._ground.pool
        try:
            with self._ground.operation():
                for batch in list_workspaces(self._ground.volume, self._cancel):
                    pool.beat()
                    self._book.list(batch.workspaces, self._ground.now())
                    names += [workspace.name for workspace in batch.workspaces]
                    self.problems += batch.problems
                    self._listed = len(names)
        except OSError as error:
            raise VolumeError(
                f"{self._ground.volume.shown} can't be listed: {error.strerror}", "check the mount and the permissions"
            ) from error
        return names

    def _examine(self, answer: Snapshot, facts: Facts) -> None:
        ids = self._book.ids() | self._ids_in_trash()
        snapshot = self._ground.examined(answer, ids)
        if not snapshot.problems:
            self._ground.state.remember_live(snapshot.live_ids)
        self._book.judge_all(self._ground.now, snapshot=snapshot, facts=facts, root=self._ground.volume.root)
        self._on_judged()

    def _ids_in_trash(self) -> frozenset[str]:
        """None where we may not look: an ordinary user can list what root has swept. The warning says so."""
        try:
            with self._ground.operation():
                return ids_in_trash(self._ground)
        except (VolumeError, OSError) as error:
            self.problems.append(told(f"what is set aside can't be seen: {words_of(error)}"))
            return frozenset()

    def _begin_attributes(self, names: Sequence[bytes]) -> "_Gate":
        """Begins to read attributes in parallel, a batch of names a job; wait for them before the volume is closed."""
        rows = self._book.rows(names)
        batches = [rows[at : at + _ATTRIBUTES_AT_ONCE] for at in range(0, len(rows), _ATTRIBUTES_AT_ONCE)]
        gate = _Gate(self._cancel, len(batches))
        self._ground.pool.submit_all(partial(self._attributes_of, batch, gate) for batch in batches)
        return gate

    def _attributes_of(self, rows: Sequence[Row], gate: "_Gate") -> None:
        try:
            for row in rows:
                if not self._cancel.is_set():
                    self._look_at(row)
        finally:
            gate.done()

    def look_at(self, names: Sequence[bytes]) -> None:
        """Looks at a few workspaces again, one by one, cancelled or not: which of them are there, and as what."""
        for row in self._book.rows(names):
            self._look_at(row)

    def _look_at(self, row: Row) -> None:
        try:
            with self._ground.operation():
                seen = with_attributes(self._ground.volume, row.workspace)
        except FileNotFoundError:
            self._book.remove([row.name])
        except (OSError, VolumeError):
            pass  # it stays unmeasured, and measuring it will say why
        else:
            self._book.attributes(seen, self._ground.now())

    def measure(self, rows: Sequence[Row], *, only_new: bool) -> None:
        """Measures directories, the likely orphans first, a bounded number at a time; returns when all are done."""
        self._phase = "measuring"
        wanted = [row for row in rows if self._measurable(row) and not (only_new and row.usage is not None)]
        wanted.sort(key=lambda row: (row.status in (Status.LIVE, Status.PROTECTED), row.last_change_ns or 0, row.name))
        self._to_measure += len(wanted)
        slots = threading.Semaphore(max(4, 2 * self._ground.settings.sweep.max_in_flight))
        gate = _Gate(self._cancel)
        for number, row in enumerate(wanted):
            while not slots.acquire(timeout=_LOOK_EVERY) and not self._cancel.is_set():
                pass
            if self._cancel.is_set():
                break
            self._measure_one(row.workspace, (*MEASURING, number), slots, gate)
        gate.wait()

    def _measurable(self, row: Row) -> bool:
        workspace = row.workspace
        return (
            workspace.kind is Kind.DIRECTORY
            and workspace.id is not None
            and not workspace.mounts
            and not workspace.hidden
            and workspace.name not in self._reserved
        )

    def _measure_one(self, workspace: Workspace, priority: Priority, slots: threading.Semaphore, gate: "_Gate") -> None:
        gate.begin()
        stack = contextlib.ExitStack()
        stack.callback(gate.done)
        stack.callback(slots.release)

        def finished(result: MeasureResult) -> None:
            with stack:
                self._measured += 1
                if not result.cancelled:
                    self._book.measured(workspace.name, result.identity, result.uid, result.usage, self._ground.now())

        try:
            parent = stack.enter_context(self._ground.volume.parent_of(workspace.name))
        except (OSError, VolumeError) as error:
            with stack:
                usage = unmeasurable(words_of(error), time.time())
                self._book.measured(workspace.name, None, None, usage, self._ground.now())
            return
        measure(
            self._ground.pool,
            parent,
            workspace.basename,
            now_ns=time.time_ns(),
            cancel=self._cancel,
            counters=self._counters,
            on_done=finished,
            priority=priority,
            repository_seconds=self._ground.settings.policy.unsaved_work_budget,
        )


class _Gate:
    """Waits until all jobs that were begun have ended, however each of them ends.

    After a cancel it waits a moment only: what hangs in a dead mount must not hold up the rest, and holds descriptors
    of its own.
    """

    def __init__(self, cancel: threading.Event, number: int = 0) -> None:
        self._left = number
        self._cancel = cancel
        self._changed = threading.Condition()

    def begin(self) -> None:
        with self._changed:
            self._left += 1

    def done(self) -> None:
        with self._changed:
            self._left -= 1
            self._changed.notify_all()

    def wait(self) -> None:
        patience = _PATIENCE
        with self._changed:
            while self._left > 0 and patience > 0:
                self._changed.wait(_LOOK_EVERY)
                if self._cancel.is_set():
                    patience -= _LOOK_EVERY
