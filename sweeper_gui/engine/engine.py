"""The engine: answers every request at once, runs work as jobs, and tells what changed when it is polled.

It knows nothing of who asks: a window over a pipe, the command line or a test in the same process.
"""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

from sweeper_gui import __version__
from sweeper_gui.core.audit import Mandate, Proposal
from sweeper_gui.core.names import visible
from sweeper_gui.core.outcome import Report
from sweeper_gui.core.proposal import check, plan_file, within
from sweeper_gui.engine import messages as m
from sweeper_gui.engine.aside import beside
from sweeper_gui.engine.book import Book
from sweeper_gui.engine.diagnose import diagnose
from sweeper_gui.engine.jobs import Job, Jobs, failure_of, told
from sweeper_gui.engine.open_files import too_few_open_files
from sweeper_gui.engine.opening import blaming, open_ground
from sweeper_gui.engine.plan_files import mark_of, read_plan, write_plan
from sweeper_gui.engine.prepare import prepare, prepare_proposed
from sweeper_gui.engine.scan import Scan
from sweeper_gui.engine.states import (
    News,
    SweepSampler,
    broken_volume,
    clock_skew_of,
    registry_state,
    volume_state,
)
from sweeper_gui.settings import Settings
from sweeper_gui.storage.control import Control
from sweeper_gui.storage.queue import Impact, WorkPool
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep import reclaim
from sweeper_gui.sweep.ground import Ground, host_now
from sweeper_gui.sweep.history import past_sweeps
from sweeper_gui.sweep.log import myself
from sweeper_gui.sweep.progress import Progress
from sweeper_gui.sweep.sweeper import rehearse, run_sweep
from sweeper_gui.sweep.trash import items_of

#: How long a sweep waits for a running scan to let go of the volume.
_SCAN_ENDS_WITHIN = 5.0
#: Seconds between two looks at the cancel meanwhile.
_LOOK_EVERY = 0.05
#: Verdicts age: a recent workspace becomes an orphan, a registry read gets old. Judged anew so often, in seconds.
_JUDGED_ANEW = 15.0
#: The job that follows from that.
_MEASURING_AGAIN = "measuring again"


_NOT_CONFIRMED = m.Failure("usage", "the plan is not the one that was confirmed", "make the plan again")
#: What to do about a ticket reference that will not do.
TICKET_HINT = "give the ticket that this is done for, as the setting sweep.ticket_pattern wants it"


class Engine:
    """One engine serves one front end and one volume."""

    def __init__(self) -> None:
        self._work: _Work | None = None

    def handle(self, request: m.Request) -> m.Reply:
        """The reply to a request, at once. Never raises."""
        try:
            if isinstance(request, m.Open):
                return self._open(request)
            if self._work is None:
                return m.Failure("usage", "the engine has not been opened yet")
            return self._work.handle(request)
        except Exception as error:  # noqa: BLE001 (a front end gets words, never a dead engine)
            return failure_of(error, hidden=self.secrets)

    @property
    def secrets(self) -> frozenset[str]:
        """What must be shown nowhere; known once it is open."""
        return self._work.secrets if self._work is not None else frozenset()

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, and the front end has been told of every end."""
        return self._work is None or self._work.idle

    def _open(self, request: m.Open) -> m.Reply:
        if request.protocol != m.PROTOCOL:
            words = f"this engine speaks protocol {m.PROTOCOL}, not {request.protocol}"
            return m.Failure("usage", words, "use the same version on both sides")
        if self._work is not None:
            return m.Failure("usage", "the engine is open already")
        refusal = too_few_open_files()
        if refusal is not None:
            return refusal
        self._work = _Work(Settings.from_wire(request.settings))
        return m.Opened(__version__, os.getpid())

    def close(self, seconds: float = 1.0) -> bool:
        """Cancels all work and waits for so long at most; whether all of it has ended."""
        return self._work is None or self._work.close(seconds)


class _Work:
    """An open engine."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool = WorkPool(
            settings.sweep.max_in_flight, Impact(settings.sweep.impact), settings.sweep.max_ops_per_second
        )
        self.secrets = settings.secrets
        self._jobs = Jobs(self.secrets)
        self._book = Book()
        self._book.set_rules(settings.rules(frozenset()))
        self._judged_at = time.monotonic()
        self._scan: Scan | None = None
        self._problems: tuple[str, ...] = ()
        self._clock_skew: float | None = None
        self._sampler: SweepSampler | None = None
        self._reserved: frozenset[bytes] = frozenset()
        #: the plan file that was opened last, by its digest, as it may be swept
        self._opened: dict[str, m.Planned] = {}
        self._volume: News[m.VolumeState] = News()
        self._registry: News[m.RegistryState] = News()
        self._handlers: dict[type, Callable[..., m.Reply]] = {
            m.Poll: self._poll,
            m.Scan: self._start_scan,
            m.ReadRegistry: self._start_registry,
            m.Prepare: self._start_prepare,
            m.SavePlan: self._start_save_plan,
            m.OpenPlan: self._start_open_plan,
            m.Sweep: self._start_sweep,
            m.ListTrash: self._start_trash,
            m.Restore: self._start_restore,
            m.Purge: self._start_purge,
            m.Resume: self._start_resume,
            m.ReadHistory: self._start_history,
            m.Bind: self._start_bind,
            m.Diagnose: self._start_diagnosis,
            m.Pin: self._start_pin,
            m.Cancel: self._cancel,
            m.SetImpact: self._set_impact,
        }

    def handle(self, request: m.Request) -> m.Reply:
        return self._handlers[type(request)](request)

    @property
    def idle(self) -> bool:
        return self._jobs.idle

    def close(self, seconds: float) -> bool:
        ended = self._jobs.stop(seconds)
        self._pool.close()
        return ended

    # --- at once ----------------------------------------------------------------------------------------------------

    def _poll(self, request: m.Poll) -> m.Update:
        self._judge_anew()
        finished = self._jobs.take_finished()
        rows, gone, more = self._book.take_changes(request.max_rows)
        if more:  # what a job found is told before its end
            self._jobs.keep_finished(finished)
            finished = ()
        sampler, scan = self._sampler, self._scan
        if sampler is not None and any(one.job == sampler.job for one in finished):
            self._sampler = None  # this is the last that is told of it
        return m.Update(
            rows=rows,
            gone=gone,
            more=more,
            volume=self._volume.news(),
            registry=self._registry.news(),
            scan=scan.progress if scan is not None else None,
            sweep=sampler.sample(self._pool) if sampler is not None else None,
            outcomes=sampler.new_outcomes() if sampler is not None else (),
            finished=finished,
            stalled=self._pool.stalled_for,
        )

    def _judge_anew(self) -> None:
        if self._book.listed and time.monotonic() - self._judged_at > _JUDGED_ANEW:
            self._judged_at = time.monotonic()
            self._jobs.start("judging", self._judge_all, silent=True)

    def _judge_all(self, _: Job) -> None:
        self._book.judge_all(host_now)
        busy = any(job.exclusive or job.kind == "scan" for job in self._jobs.running())
        if self._book.ripened() and not busy:
            self._jobs.start(_MEASURING_AGAIN, self._measure_again, silent=True)

    def _measure_again(self, job: Job) -> None:
        """Rows that time alone would make orphans: somebody may have worked in there since they were measured."""
        with open_ground(self._settings, self._pool, job.cancel) as ground:
            self._new_scan(ground).measure(self._book.ripened(), only_new=False)

    def _cancel(self, request: m.Cancel) -> m.Reply:
        self._jobs.cancel(request.job)
        sampler = self._sampler
        if sampler is not None and request.job in (None, sampler.job):
            sampler.cancelling = True
        return m.Done()

    def _set_impact(self, request: m.SetImpact) -> m.Reply:
        try:
            self._pool.set_impact(Impact(request.impact))
        except ValueError:
            return m.Failure("usage", f"'{request.impact}' is no impact", "choose gentle, balanced or fast")
        return m.Done()

    # --- jobs that only read ----------------------------------------------------------------------------------------

    def _started(self, kind: str, work: Callable[[Job], object], *, exclusive: bool = False) -> m.Reply:
        job = self._jobs.start(kind, work, exclusive=exclusive)
        return job if isinstance(job, m.Failure) else m.Started(job.id)

    def _on_ground(self, kind: str, work: Callable[[Ground, Job], object], *, exclusive: bool = False) -> m.Reply:
        """Runs work on the opened volume; a volume that can't be opened is told as such, too."""

        def run(job: Job) -> object:
            try:
                ground = open_ground(self._settings, self._pool, job.cancel)
            except VolumeError as error:
                self._volume.tell(broken_volume(self._settings.volume, error))
                raise
            with ground, blaming(ground.volume.root):
                self._book.set_rules(ground.policy)
                return work(ground, job)

        return self._started(kind, run, exclusive=exclusive)

    def _start_scan(self, request: m.Scan) -> m.Reply:
        def work(ground: Ground, job: Job) -> object:
            scan = self._scan = self._new_scan(ground)
            try:
                with beside(lambda: self._tell_volume(ground)):  # the first rows do not wait for what is in the trash
                    scan.run(sizes=request.measure, only_new=request.only_new)
            except VolumeError as error:
                self._volume.tell(broken_volume(self._settings.volume, error))
                raise
            self._problems = tuple(scan.problems)
            self._tell_volume(ground)
            return m.Failure("cancelled", "the listing was cancelled") if job.cancel.is_set() else m.Done()

        return self._on_ground("scan", work)

    def _new_scan(self, ground: Ground) -> Scan:
        return Scan(ground, self._book, reserved=self._reserved, on_judged=self._tell_registry)

    def _tell_volume(self, ground: Ground) -> None:
        with ground.operation():
            self._volume.tell(volume_state(ground, self._problems, self._clock_skew))

    def _tell_registry(self) -> None:
        snapshot = self._book.snapshot
        if snapshot is not None:
            self._registry.tell(registry_state(snapshot, self._book.ids()))

    def _start_registry(self, _: m.ReadRegistry) -> m.Reply:
        def work(ground: Ground, _: Job) -> object:
            self._new_scan(ground).read_registry()
            return m.Done()

        return self._on_ground("registry read", work)

    def _start_prepare(self, request: m.Prepare) -> m.Reply:
        def make(ground: Ground, scan: Scan) -> m.Planned:
            return m.Planned(prepare(ground, self._book, scan, request.request))

        return self._plan(make)

    def _start_open_plan(self, request: m.OpenPlan) -> m.Reply:
        def make(ground: Ground, scan: Scan) -> m.Planned:
            file = read_plan(Path(request.path))
            max_age = self._settings.sweep.plan_max_age
            check(file, now=time.time(), max_age=max_age, volume=mark_of(ground), registries=ground.registries)
            plan = prepare_proposed(ground, self._book, scan, file)
            planned = m.Planned(plan, file.proposal, own=_is_own(file.proposal))
            self._opened = {file.digest: planned}
            return planned

        return self._plan(make)

    def _plan(self, make: Callable[[Ground, Scan], m.Planned]) -> m.Reply:
        """Makes a plan, with a scan that measures what it needs."""

        def work(ground: Ground, job: Job) -> object:
            before, scan = self._scan, self._new_scan(ground)
            self._scan = scan
            try:
                planned = make(ground, scan)
            finally:
                scan.end()
                if not scan.progress.to_measure:  # it has measured nothing: what was measured before is what there is
                    self._scan = before
            return m.Failure("cancelled", "cancelled") if job.cancel.is_set() else planned

        return self._on_ground("plan", work, exclusive=True)

    def _start_save_plan(self, request: m.SavePlan) -> m.Reply:
        if request.plan.digest != request.digest:
            return _NOT_CONFIRMED

        def work(ground: Ground, _: Job) -> object:
            rows = self._book.rows([candidate.name for candidate in request.plan.candidates])
            snapshot = self._book.snapshot
            file = plan_file(
                request.plan,
                by=myself(),
                at=time.time(),
                ticket=request.ticket,
                version=__version__,
                volume=mark_of(ground),
                registries=snapshot.identities if snapshot is not None else ground.registries,
                policy=ground.policy,
                set_aside_only=self._settings.sweep.remove == "set-aside",
                sessions={row.name: row.session for row in rows},
            )
            if not request.path:
                return m.PlanSaved("", file.encoded())
            write_plan(file, Path(request.path), ground, overwrite=request.overwrite)
            return m.PlanSaved(request.path)

        problem = self._settings.ticket_rule.problem(request.ticket) if request.ticket else ""
        if problem:
            return m.Failure("usage", problem, TICKET_HINT)
        return self._on_ground("write a plan", work)

    def _start_trash(self, _: m.ListTrash) -> m.Reply:
        def work(ground: Ground, _: Job) -> object:
            control = Control.open_existing(ground.volume, self._settings.volume)
            if control is None:
                return m.Trash((), "")
            with control:
                return m.Trash(tuple(items_of(control, ground)), visible(control.path))

        return self._on_ground("look into the trash", work)

    def _start_history(self, request: m.ReadHistory) -> m.Reply:
        def work(ground: Ground, job: Job) -> object:
            with contextlib.ExitStack() as stack:
                control, problem = None, ""
                try:
                    control = Control.open_existing(ground.volume, self._settings.volume)
                except VolumeError as error:
                    problem = told(f"{error}: {error.hint}" if error.hint else str(error))
                if control is not None:
                    stack.enter_context(control)
                history = m.History(*past_sweeps(control, ground, request.wanted, before=request.before), problem)
            return m.Failure("cancelled", "cancelled") if job.cancel.is_set() else history

        return self._on_ground("look at the history", work)

    def _start_diagnosis(self, _: m.Diagnose) -> m.Reply:
        return self._started("diagnosis", lambda job: diagnose(self._settings, self._pool, job.cancel))

    def _start_pin(self, request: m.Pin) -> m.Reply:
        def work(ground: Ground, _: Job) -> object:
            ground.state.pin(request.name, request.pinned)
            self._book.set_rules(ground.policy)
            self._book.judge_all(ground.now)
            return m.Done()

        return self._on_ground("pin", work)

    # --- jobs that change the volume --------------------------------------------------------------------------------

    def _start_sweep(self, request: m.Sweep) -> m.Reply:
        plan = request.plan
        if plan.digest != request.digest:
            return _NOT_CONFIRMED
        opened = self._opened.get(request.proposed)
        problem = self._proposal_refusal(request, opened)
        if problem is None and not request.dry_run:
            problem = self._ticket_refusal(request.ticket)
        if problem is not None:
            return problem
        mandate = Mandate(request.ticket, opened.proposal if opened else None)

        def run(ground: Ground, progress: Progress) -> Report:
            if request.dry_run:
                return rehearse(ground, plan, progress)
            return run_sweep(ground, plan, progress, _options(request), mandate)

        progress = Progress(len(plan.chosen), sum(candidate.usage.entries for candidate in plan.chosen))
        names = frozenset(candidate.name for candidate in plan.candidates)
        if request.impact is not None:
            refusal = self._set_impact(m.SetImpact(request.impact))
            if isinstance(refusal, m.Failure):
                return refusal
        return self._change("sweep", run, progress, reserved=names)

    def _proposal_refusal(self, request: m.Sweep, opened: m.Planned | None) -> m.Failure | None:
        """Why a plan may not be swept as the one that was proposed, or without having been proposed."""
        if request.proposed and (opened is None or not within(request.plan, opened.plan)):
            return m.Failure("usage", "this is not what the plan file proposes", "open the plan again")
        if not self._settings.sweep.two_persons or request.dry_run:
            return None
        if opened is None or opened.proposal is None:
            words = "only a plan that somebody else has proposed is swept here (two_persons)"
            return m.Failure("usage", words, "save it as a plan, and let somebody else sweep that")
        if _is_own(opened.proposal):
            words = f"{opened.proposal.by.vouched} has proposed this plan, and so may not sweep it (two_persons)"
            return m.Failure("usage", words, "let somebody else sweep it")
        return None

    def _start_restore(self, request: m.Restore) -> m.Reply:
        if not request.names and not request.items:
            return m.Failure("usage", "nothing is named to be restored", "name what the trash shows")

        def run(ground: Ground, progress: Progress) -> Report:
            mandate = Mandate(request.ticket)
            return reclaim.restore(ground, request.names, progress, items=request.items or None, mandate=mandate)

        return self._ticket_refusal(request.ticket) or self._change(
            "restore", run, Progress(len(request.items or request.names), 0)
        )

    def _start_purge(self, request: m.Purge) -> m.Reply:
        if not request.names and not request.items and request.older_than is None:
            return m.Failure("usage", "nothing is named to be purged", "name what the trash shows, or give an age")

        def run(ground: Ground, progress: Progress) -> Report:
            items, mandate = request.items or None, Mandate(request.ticket)
            return reclaim.purge(ground, request.names, request.older_than, progress, items=items, mandate=mandate)

        return self._ticket_refusal(request.ticket) or self._change(
            "purge", run, Progress(len(request.items or request.names), 0)
        )

    def _start_resume(self, request: m.Resume) -> m.Reply:
        def run(ground: Ground, progress: Progress) -> Report:
            return reclaim.resume(ground, progress, items=request.items, mandate=Mandate(request.ticket))

        return self._ticket_refusal(request.ticket) or self._change("resume", run, Progress(0, 0))

    def _ticket_refusal(self, ticket: str) -> m.Failure | None:
        """Why nothing may be changed with this ticket reference."""
        problem = self._settings.ticket_rule.problem(ticket)
        return m.Failure("usage", problem, TICKET_HINT) if problem else None

    def _start_bind(self, _: m.Bind) -> m.Reply:
        def work(ground: Ground, _: Job) -> object:
            text = reclaim.bind(ground)
            self._new_scan(ground).read_registry()
            return m.Message(text)

        return self._on_ground("bind", work, exclusive=True)

    def _change(
        self,
        kind: str,
        run: Callable[[Ground, Progress], Report],
        progress: Progress,
        *,
        reserved: frozenset[bytes] = frozenset(),
    ) -> m.Reply:
        """Runs one of the jobs that rename and remove.

        A scan that runs lets go first: looking entries up while they are unlinked makes NFS keep them (`.nfs*`).
        """

        def work(ground: Ground, job: Job) -> object:
            self._reserved = reserved
            self._sampler = SweepSampler(job.id, progress)
            try:
                self._end_scans(job.cancel)
                if job.cancel.is_set():
                    return m.Failure("cancelled", "cancelled before anything was changed")
                report = run(ground, progress)
                if report.sweep_id and not job.cancel.is_set():  # who has cancelled waits for the end alone
                    self._clock_skew = clock_skew_of(ground, report.sweep_id)
                return m.Swept(report)
            finally:  # what was done before it failed is told too
                self._reserved = frozenset()
                if kind == "sweep":
                    self._look_again(ground, [outcome.name for outcome in progress.all_outcomes()])
                self._tell_volume(ground)

        return self._on_ground(kind, work, exclusive=True)

    def _look_again(self, ground: Ground, names: list[bytes]) -> None:
        """What a sweep moved is no longer listed; what it put back is not what was measured."""
        self._new_scan(ground).look_at(names)
        self._tell_registry()

    def _end_scans(self, cancel: Event) -> None:
        """Ends what reads the trees, and waits for it: not for ever, and no longer than until the run is cancelled."""
        reading = [job for kind in ("scan", _MEASURING_AGAIN) for job in self._jobs.running(kind)]
        for job in reading:
            job.cancel.set()
        deadline = time.monotonic() + _SCAN_ENDS_WITHIN
        while not all(job.ended.is_set() for job in reading):
            if time.monotonic() > deadline or cancel.wait(_LOOK_EVERY):
                return


def _is_own(proposal: Proposal) -> bool:
    return proposal.by.vouched == myself().vouched


def _options(request: m.Sweep) -> dict[str, str]:
    """What was asked for, as the log keeps it."""
    plan = request.plan
    given = {
        "by_name": plan.explicit,
        "order": None if plan.explicit else plan.order,
        "cap": plan.cap,
        "max_bytes": plan.max_bytes,
        "allow_empty": plan.allow_empty,
        "impact": request.impact,
    }
    return {name: "yes" if value is True else str(value) for name, value in given.items() if value}
