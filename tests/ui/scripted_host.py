"""An engine that does what it is told: a `Host` without volume, registry or threads, which advances with each poll.

It stands in where a test is about the window alone: timings, deaths, stalls and answers that a real engine gives
rarely. What it sends is made from real rows, plans and reports.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sweeper_gui.core.audit import PastSweep
from sweeper_gui.core.outcome import Ending, Outcome, Report, Result, TrashItem, TrashState
from sweeper_gui.core.plan import Candidate, make_plan
from sweeper_gui.core.policy import Treatment
from sweeper_gui.core.row import Row
from sweeper_gui.core.verdict import Status
from sweeper_gui.engine.host import EngineGone
from sweeper_gui.engine.messages import (
    Bind,
    Cancel,
    Check,
    Diagnose,
    Diagnosis,
    Done,
    Failure,
    Finished,
    History,
    ListTrash,
    Message,
    Open,
    Opened,
    Planned,
    Poll,
    Prepare,
    Purge,
    ReadHistory,
    RegistryState,
    Reply,
    Request,
    Restore,
    Resume,
    Scan,
    ScanProgress,
    SetImpact,
    SourceState,
    Started,
    Sweep,
    SweepProgress,
    Swept,
    Trash,
    TreeProgress,
    Update,
    VolumeState,
)
from tests.ui.rows import POLICY, unmeasured

VOLUME = VolumeState(
    root="/mnt/efs/workspaces",
    control_dir="/mnt/efs/.sweeper-workspaces",
    fs_type="nfs4",
    source="fs-0a1b2c3d:/",
    network=True,
)


@dataclass
class _Sweeping:
    request: Sweep
    job: int
    done: list[Outcome] = field(default_factory=list)
    told: int = 0
    removed: float = 0.0
    cancelled: bool = False


class Life:
    """A `Host`: one engine, from its start to its death."""

    def __init__(self, host: "ScriptedHost") -> None:
        self._host = host
        self.dead = ""
        self.closed = False
        self.killed = False

    def request(self, request: Request) -> Reply:
        """See `Host`."""
        while not self._host.answering.wait(0.01) and not self.dead:
            pass
        if self.dead or self.closed:
            raise EngineGone(self.dead or "closed")
        return self._host.answer(request)

    def close(self) -> bool:
        """See `Host`."""
        self.closed = True
        return True

    def kill(self) -> None:
        """Ends it although it does not answer."""
        self.killed = True
        self.dead = "the engine was killed by SIGKILL"


class ScriptedHost:
    """Makes engines with `make`.

    `rows` is the volume. Each poll measures `measured_per_poll` rows and removes `share_per_poll` of a tree.
    """

    def __init__(
        self,
        rows: Sequence[Row] = (),
        *,
        volume: VolumeState = VOLUME,
        measured_per_poll: int = 100_000,
        share_per_poll: float = 1.0,
        trash: Sequence[TrashItem] = (),
        history: Sequence[PastSweep] = (),
        checks: Sequence[Check] = (),
    ) -> None:
        self.rows = {row.name: row for row in rows}
        self.volume = volume
        self.registry = _registry_of(rows)
        self.measured_per_poll = measured_per_poll
        self.share_per_poll = share_per_poll
        self.trash = list(trash)
        self.history = tuple(history)
        self.checks = tuple(checks)
        self.requests: list[Request] = []
        self.stalled = 0.0
        self.fate: Callable[[Candidate], Outcome | None] = lambda candidate: None
        self.failures: dict[type, Failure] = {}
        #: kinds of request whose jobs run until they are cancelled
        self.slow: set[type] = set()
        self.answering = threading.Event()
        self.answering.set()
        self.lives: list[Life] = []
        self._jobs = 0
        self._updates: list[Update] = []
        self._finished: list[Finished] = []
        self._news: list[Row] = []
        self._gone: list[bytes] = []
        self._scan: tuple[int, list[Row], list[Row]] | None = None
        self._sweeping: _Sweeping | None = None
        self._told_state = False

    # --- what a test does -------------------------------------------------------------------------------------------

    def push(self, update: Update) -> None:
        """Answers a later poll with this."""
        self._updates.append(update)

    def asked(self, kind: type) -> list[Request]:
        """The requests of a kind, so far."""
        return [request for request in self.requests if isinstance(request, kind)]

    def die(self, reason: str) -> None:
        """The engine that is there ends; the next one that is made lives."""
        self.lives[-1].dead = reason

    def make(self) -> "Life":
        """An engine: what a controller is given to start one, and to start another when it has died."""
        self.lives.append(Life(self))
        return self.lives[-1]

    @property
    def closed(self) -> bool:
        """Whether the latest engine was closed."""
        return self.lives[-1].closed

    @property
    def killed(self) -> bool:
        """Whether any engine was killed."""
        return any(life.killed for life in self.lives)

    def answer(self, request: Request) -> Reply:
        """What the engine says."""
        self.requests.append(request)
        failure = self.failures.get(type(request))
        return failure if failure is not None else self._answer(request)

    def _answer(self, request: Request) -> Reply:
        match request:
            case Open():
                return Opened("1.0", 4242)
            case Poll():
                return self._poll()
            case Cancel():
                return self._cancel(request)
            case SetImpact():
                return Done()
            case Scan():
                return self._start_scan()
            case Sweep():
                return self._start_sweep(request)
            case _:
                return self._finish_at_once(request)

    def _start(self) -> int:
        self._jobs += 1
        return self._jobs

    def _finish_at_once(self, request: Request) -> Reply:
        job = self._start()
        if type(request) in self.slow:
            return Started(job)
        self._finished.append(Finished(job, self._result_of(request)))
        return Started(job)

    def _result_of(self, request: Request) -> Done | Planned | Trash | History | Diagnosis | Message | Swept:
        match request:
            case Prepare():
                return Planned(make_plan(list(self.rows.values()), request.request, POLICY))
            case ListTrash():
                return Trash(tuple(self.trash), f"{self.volume.control_dir}/sweeps")
            case ReadHistory():
                return History(self.history)
            case Diagnose():
                return Diagnosis(self.checks)
            case Bind():
                return Message("The volume is bound to postgresql db:5432 collab")
            case Restore():
                return self._emptied(request.names, Result.RESTORED)
            case Purge():
                return self._emptied(request.names, Result.REMOVED)
            case Resume():
                return self._emptied(tuple(item.name for item in self.trash if item.unfinished), Result.REMOVED)
            case _:
                return Done()

    def _emptied(self, names: tuple[bytes, ...], result: Result) -> Swept:
        self.trash = [item for item in self.trash if item.name not in names]
        return Swept(Report("2026-11-24T080000Z-1", tuple(Outcome(name, result) for name in names), seconds=1.0))

    # --- scanning ---------------------------------------------------------------------------------------------------

    def _start_scan(self) -> Reply:
        job = self._start()
        rows = list(self.rows.values())
        first = [unmeasured(row) for row in rows]
        self._scan = (job, first, rows)
        return Started(job)

    def _advance_scan(self) -> tuple[list[Row], ScanProgress | None]:
        if self._scan is None:
            return [], None
        job, first, rest = self._scan
        total = len(self.rows)
        if first:
            self._scan = (job, [], rest)
            return first, ScanProgress("measuring", total, total, 0, 0, 0.1)
        now, later = rest[: self.measured_per_poll], rest[self.measured_per_poll :]
        measured = total - len(later)
        entries = sum(row.usage.entries for row in list(self.rows.values())[:measured] if row.usage)
        self._scan = (job, [], later) if later else None
        if not later:
            self._finished.append(Finished(job, Done()))
        return now, ScanProgress(
            "measuring" if later else "done", total, total, measured, entries, 0.1 + measured / 400
        )

    # --- sweeping ---------------------------------------------------------------------------------------------------

    def _start_sweep(self, request: Sweep) -> Reply:
        if request.plan.digest != request.digest:
            return Failure("usage", "this plan is not the one that was confirmed")
        job = self._start()
        self._sweeping = _Sweeping(request, job)
        return Started(job)

    def _cancel(self, request: Cancel) -> Reply:
        if self._sweeping is not None and request.job in (None, self._sweeping.job):
            self._sweeping.cancelled = True
        elif self._scan is not None and request.job in (None, self._scan[0]):
            self._finished.append(Finished(self._scan[0], Failure("cancelled", "the listing was cancelled")))
            self._scan = None
        elif request.job is not None:
            self._finished.append(Finished(request.job, Failure("cancelled", "cancelled")))
        return Done()

    def _advance_sweep(self) -> tuple[SweepProgress | None, tuple[Outcome, ...]]:
        sweeping = self._sweeping
        if sweeping is None:
            return None, ()
        chosen = sweeping.request.plan.chosen
        if sweeping.cancelled:
            self._end_sweep(sweeping)
            return self._progress(sweeping), self._new_outcomes(sweeping)
        sweeping.removed += self.share_per_poll
        while sweeping.removed >= 1 and len(sweeping.done) < len(chosen):
            sweeping.done.append(self._outcome(chosen[len(sweeping.done)], sweeping.request.dry_run))
            sweeping.removed -= 1
        progress = self._progress(sweeping)
        if len(sweeping.done) == len(chosen):
            self._end_sweep(sweeping)
        return progress, self._new_outcomes(sweeping)

    def _new_outcomes(self, sweeping: _Sweeping) -> tuple[Outcome, ...]:
        new = tuple(sweeping.done[sweeping.told :])
        sweeping.told = len(sweeping.done)
        return new

    def _outcome(self, candidate: Candidate, dry_run: bool) -> Outcome:
        special = self.fate(candidate)
        if special is not None:
            return special
        removed = candidate.treatment is Treatment.REMOVE
        if dry_run:
            words = "removed" if removed else "set aside"
            return Outcome(candidate.name, Result.SKIPPED, f"dry run: would be {words}")
        self.rows.pop(candidate.name, None)
        self._gone.append(candidate.name)
        usage = candidate.usage
        return Outcome(
            candidate.name,
            Result.REMOVED if removed else Result.SET_ASIDE,
            "",
            usage.entries if removed else 0,
            usage.allocated if removed else 0,
        )

    def _end_sweep(self, sweeping: _Sweeping) -> None:
        chosen = sweeping.request.plan.chosen
        untouched = tuple(candidate.name for candidate in chosen[len(sweeping.done) :])
        if sweeping.cancelled and untouched and sweeping.removed > 0:
            half = chosen[len(sweeping.done)]
            share = min(sweeping.removed, 1.0)
            sweeping.done.append(
                Outcome(
                    half.name,
                    Result.PARTLY_REMOVED,
                    "cancelled half-way",
                    int(half.usage.entries * share),
                    int(half.usage.allocated * share),
                )
            )
            untouched = untouched[1:]
        report = Report(
            "2026-11-24T080000Z-1",
            tuple(sweeping.done),
            Ending.CANCELLED if sweeping.cancelled else Ending.DONE,
            untouched=untouched,
            remaining_orphans=sum(row.status is Status.ORPHAN for row in self.rows.values()),
            seconds=42.0,
            dry_run=sweeping.request.dry_run,
        )
        self._finished.append(Finished(sweeping.job, Swept(report)))
        self._sweeping = None

    def _progress(self, sweeping: _Sweeping) -> SweepProgress:
        chosen = sweeping.request.plan.chosen
        finished = len(sweeping.done)
        trees = []
        for number, candidate in enumerate(chosen[finished : finished + 4]):
            share = max(0.0, min(1.0, sweeping.removed * (1.0 - 0.25 * number))) if number < 3 else 0.0
            step = "removing" if number < 3 else "set-aside"
            trees.append(
                TreeProgress(candidate.name, step, candidate.usage.entries, int(candidate.usage.entries * share), 0)  # type: ignore[arg-type]
            )
        trees += [TreeProgress(candidate.name, "waiting") for candidate in chosen[finished + 4 :]]
        total = sum(candidate.usage.entries for candidate in chosen)
        removed = sum(o.entries_removed for o in sweeping.done) + sum(t.entries_removed for t in trees)
        return SweepProgress(
            job=sweeping.job,
            step="removing",
            trees=tuple(trees),
            planned=len(chosen),
            finished=finished,
            entries_total=total,
            entries_removed=removed,
            bytes_freed=sum(o.bytes_freed for o in sweeping.done),
            rate=2140.0,
            seconds_left=(total - removed) / 2140.0,
            seconds=12.0,
            cancelling=sweeping.cancelled,
            in_flight=24,
            limit=64,
        )

    # --- polling ----------------------------------------------------------------------------------------------------

    def _poll(self) -> Update:
        if self._updates:
            return self._updates.pop(0)
        rows, scan = self._advance_scan()
        sweep, outcomes = self._advance_sweep()
        volume, registry = (None, None) if self._told_state else (self.volume, self.registry)
        self._told_state = True
        finished, self._finished = tuple(self._finished), []
        gone, self._gone = tuple(self._gone), []
        return Update(
            rows=tuple(rows),
            gone=gone,
            volume=volume,
            registry=registry,
            scan=scan,
            sweep=sweep,
            outcomes=outcomes,
            finished=finished,
            stalled=self.stalled,
        )


def _registry_of(rows: Sequence[Row]) -> RegistryState:
    statuses = [row.status for row in rows if row.workspace.id is not None]
    deleted = sum(row.session is not None and row.session.deleted for row in rows)
    matched_live = sum(status is Status.LIVE for status in statuses)
    return RegistryState(
        sources=(SourceState("postgresql://db/collab", len(statuses)),),
        read_at=time.time() - 8,
        trusted=True,
        directories=len(statuses),
        matched_live=matched_live,
        matched_deleted=deleted,
        unmatched_directories=len(statuses) - matched_live - deleted,
        sessions_without_directory=3,
    )


def trash_items(now: float) -> list[TrashItem]:
    """A trash with something of each kind."""
    day = 86_400.0
    return [
        TrashItem(
            "s1", 0, b"calm-heron-0011", TrashState.REMOVING, now - day, now + 6 * day, "mlopez", 410_000_000, 18_400,
            "cancelled half-way", unfinished=True,
        ),
        TrashItem(
            "s1", 1, b"keen-lynx-0042", TrashState.WHOLE, now - day, now + 6 * day, "mlopez", 1_600_000_000, 52_000,
            "session deleted 3 Oct, owner octocat", unfinished=True,
        ),
        TrashItem(
            "s0", 0, b"quiet-panda-0007", TrashState.WHOLE, now - 9 * day, now - 2 * day, "sito", 900_000_000, 31_000,
            "no session of this id", doubts=("unexplained",),
        ),
        TrashItem(
            "s2", 0, b"swift-yak-00aa", TrashState.WHOLE, now - 3_600, now + 7 * day, "mlopez", 2_300_000_000, 61_000,
            "no session of this id", doubts=("unexplained",),
        ),
    ]  # fmt: skip
