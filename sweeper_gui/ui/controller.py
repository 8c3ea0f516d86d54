"""The only thing in the window that talks to the engine: it asks, polls, and knows what is running.

Everything the engine says reaches the window through here: rows go to the model, the rest out as signals. When the
engine dies or falls silent, this is where it is noticed and where a new one is started.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from time import monotonic

from PySide6.QtCore import QObject, Signal

from sweeper_gui.core.policy import Treatment
from sweeper_gui.engine.heartbeat import Heartbeat
from sweeper_gui.engine.host import EngineGone, Host
from sweeper_gui.engine.messages import (
    Bind,
    Cancel,
    Diagnosis,
    Done,
    Failure,
    Finished,
    History,
    Message,
    Open,
    Opened,
    OpenPlan,
    Planned,
    PlanSaved,
    Poll,
    Prepare,
    Purge,
    RegistryState,
    Reply,
    Request,
    Restore,
    Resume,
    Scan,
    ScanProgress,
    Started,
    Sweep,
    SweepProgress,
    Swept,
    Trash,
    Update,
    VolumeState,
)
from sweeper_gui.ui.client import EngineClient
from sweeper_gui.ui.workspace_model import WorkspaceModel

JobResult = Done | Trash | History | Message | Diagnosis | Planned | PlanSaved | Swept

#: Requests that change the volume; the engine runs one of them at a time.
CHANGING = (Sweep, Purge, Resume, Restore, Bind)

#: Requests that make a plan for one of those.
PLANNING = (Prepare, OpenPlan)

#: Seconds between polls: while something runs, and while nothing does. A remote display is asked less of.
BUSY_POLL = 0.1
IDLE_POLL = 1.0
REMOTE_POLL = 1.0

#: Seconds without an answer, or without a sign from the volume, after which the window says so.
SILENT_AFTER = 3.0
STALLED_AFTER = 4.0

#: An engine that dies again within so many seconds of its start is not started again by itself.
_SHORT_LIFE = 10.0

_log = logging.getLogger(__name__)


class EngineFailure(Exception):
    """The engine did not do what was asked; `failure` says why in words and what to mend."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class EnginePhase(Enum):
    """Where the engine is in its life."""

    STARTING = "starting"
    READY = "ready"
    SILENT = "silent"
    GONE = "gone"
    CLOSED = "closed"


@dataclass(frozen=True)
class EngineState:
    """How the engine is. `seconds` tells how long it has been silent, 0 while it answers; `reason` why it is gone."""

    phase: EnginePhase
    pid: int | None = None
    version: str = ""
    seconds: int = 0
    reason: str = ""


@dataclass(frozen=True)
class EngineDeath:
    """An engine ended that should not have; `sweeping`: in the middle of a sweep, `restarting`: a new one starts."""

    reason: str
    sweeping: bool
    restarting: bool


@dataclass
class _Job:
    request: Request
    future: asyncio.Future[JobResult]


def _removes(request: Request) -> bool:
    if isinstance(request, Sweep):
        remove = Treatment.REMOVE
        return not request.dry_run and any(candidate.treatment is remove for candidate in request.plan.candidates)
    return isinstance(request, (Purge, Resume))


def poll_pace(environ: Mapping[str, str]) -> float:
    """Seconds between polls while something runs: on a display that is another host's, every repaint travels."""
    return REMOTE_POLL if is_remote_display(environ) else BUSY_POLL


def is_remote_display(environ: Mapping[str, str]) -> bool:
    """Whether windows are drawn over a network: DISPLAY names a host, as ssh's forwarding does ('localhost:10.0')."""
    if environ.get("WAYLAND_DISPLAY"):
        return False
    host = environ.get("DISPLAY", "").rpartition(":")[0]
    return host not in ("", "unix") and not host.startswith("/")


class Controller(QObject):
    """Owns one engine at a time."""

    volume_changed = Signal(object)  # VolumeState
    registry_changed = Signal(object)  # RegistryState
    scan_changed = Signal(object)  # ScanProgress | None
    sweep_changed = Signal(object)  # SweepProgress | None
    engine_changed = Signal(object)  # EngineState
    engine_died = Signal(object)  # EngineDeath
    stalled_changed = Signal(object)  # whole seconds, 0 while the volume responds
    busy_changed = Signal()

    def __init__(
        self,
        settings: bytes,
        make_host: Callable[[], Host],
        model: WorkspaceModel,
        *,
        pace: float = BUSY_POLL,
        root: str = "",
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._settings = settings
        self._make_host = make_host
        self._model = model
        self._pace = pace
        self._client: EngineClient | None = None
        self._jobs: dict[int, _Job] = {}
        self._early: dict[int, Finished] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        #: set while an engine is there to be asked
        self.ready = asyncio.Event()
        self._started_at = 0.0
        self._closing = False
        self._stalled = 0
        self.engine = EngineState(EnginePhase.STARTING)
        self.volume = VolumeState(root=root)
        self.registry = RegistryState(sources=())
        self.scan: ScanProgress | None = None
        self.sweep: SweepProgress | None = None
        self.heartbeat = Heartbeat()

    # --- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts the engine and opens the volume with it. Raises `EngineFailure` or `EngineGone`."""
        if not self._tasks:
            self._spawn(self.heartbeat.beat())
            self._spawn(self._watch())
        await self._start_engine()

    async def restart(self) -> None:
        """Gives up the engine, by force where it does not answer, and starts a new one."""
        if self._client is not None:
            self._client.kill()
        self._lose_jobs("the engine was restarted")
        await self._start_engine()

    async def close(self, seconds: float = 1.5) -> bool:
        """Ends the engine; whether it ended within so many seconds. Nothing can be asked afterwards."""
        self._closing = True
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._set_engine(EngineState(EnginePhase.CLOSED, self.engine.pid))
        if self._client is None:
            return True
        self._client.close()
        self._lose_jobs("the window is closing")
        return await self._client.wait_ended(seconds)

    async def _start_engine(self) -> None:
        self._set_engine(EngineState(EnginePhase.STARTING))
        self._started_at = monotonic()
        client = self._client = EngineClient(self._make_host)
        self._set_progress(None, None)
        try:
            reply = await client.request(Open(self._settings))
        except EngineGone as gone:
            if client is self._client and not self._closing:
                self._set_engine(EngineState(EnginePhase.GONE, reason=str(gone)))
            raise
        if client is not self._client:
            raise EngineGone("another engine was started meanwhile")
        if not isinstance(reply, Opened):
            failure = reply if isinstance(reply, Failure) else Failure("failed", f"the engine answered {reply!r}")
            self._set_engine(EngineState(EnginePhase.GONE, reason=failure.message))
            client.close()
            raise EngineFailure(failure)
        self._model.mark_stale()  # for all but the first engine: it will say 'gone' only of what it has listed itself
        self._set_engine(EngineState(EnginePhase.READY, reply.pid, reply.version))
        self._spawn(self._poll(client))

    # --- asking -----------------------------------------------------------------------------------------------------

    @property
    def sweeping(self) -> bool:
        """Whether something is being removed: by a sweep, a purge or a resume."""
        return self.running(Sweep, Purge, Resume)

    @property
    def removing(self) -> bool:
        """Whether what is under way is to remove anything: a sweep may only set aside, or only try."""
        return any(_removes(job.request) for job in self._jobs.values())

    @property
    def rehearsing(self) -> bool:
        """Whether the sweep that is under way is a dry run."""
        return any(isinstance(job.request, Sweep) and job.request.dry_run for job in self._jobs.values())

    @property
    def changing(self) -> bool:
        """Whether something on the volume is being changed."""
        return self.running(*CHANGING)

    def running(self, *kinds: type) -> bool:
        """Whether a job of one of these kinds of request is under way; of any kind, without one."""
        return any(not kinds or isinstance(job.request, kinds) for job in self._jobs.values())

    async def run(self, request: Request) -> JobResult:
        """Starts a job and waits for its result. Raises `EngineFailure`, or `EngineGone` when the engine dies."""
        reply = await self._ask(request)
        if isinstance(reply, Done):
            self._wake.set()
            return reply
        if not isinstance(reply, Started):
            raise EngineFailure(Failure("failed", f"the engine answered {type(reply).__name__} to a job"))
        future: asyncio.Future[JobResult] = asyncio.get_running_loop().create_future()
        self._jobs[reply.job] = _Job(request, future)
        self.busy_changed.emit()
        self._wake.set()
        early = self._early.pop(reply.job, None)
        if early is not None:
            self._finish(early)
        return await future

    async def cancel(self, *kinds: type) -> None:
        """Stops the jobs of these kinds of request at their next entry."""
        for number, job in tuple(self._jobs.items()):
            if not kinds or isinstance(job.request, kinds):
                await self.run(Cancel(number))

    async def _ask(self, request: Request) -> Reply:
        client = self._client
        if client is None or self.engine.phase in (EnginePhase.GONE, EnginePhase.CLOSED):
            raise EngineGone(self.engine.reason or "there is no engine")
        reply = await client.request(request)
        if isinstance(reply, Failure):
            raise EngineFailure(reply)
        return reply

    # --- listening --------------------------------------------------------------------------------------------------

    async def _poll(self, client: EngineClient) -> None:
        try:
            while client is self._client:
                self._wake.clear()
                reply = await client.request(Poll())
                if isinstance(reply, Update) and client is self._client:
                    self._take_safely(reply)
                    if reply.more:
                        await asyncio.sleep(0)  # let the window breathe between two heaps of rows
                        continue
                await self._pause()
        except EngineGone as gone:
            if client is self._client and not self._closing:
                await self._bury(str(gone))

    async def _pause(self) -> None:
        seconds = self._pace if self._jobs else max(IDLE_POLL, self._pace)
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _take_safely(self, update: Update) -> None:
        """A mistake in showing an update must not end the listening: nobody would hear of a job's end any more."""
        try:
            self._take(update)
        except Exception:  # noqa: BLE001 - a mistake of ours, whatever it is
            _log.exception("an update could not be shown")
        for finished in update.finished:
            self._finish(finished)

    def _take(self, update: Update) -> None:
        # By what an earlier update said: the listing may have ended after this one's rows were taken.
        listed = self.running(Scan) and self.scan is not None and self.scan.phase == "measuring"
        if update.volume is not None and update.volume != self.volume:
            self.volume = update.volume
            self.volume_changed.emit(update.volume)
        if update.registry is not None and update.registry != self.registry:
            self.registry = update.registry
            self.registry_changed.emit(update.registry)
        if update.scan is not None:
            self._take_scan(update.scan)
        if update.sweep is not None and self.changing:
            self._take_sweep(update.sweep)
        if update.outcomes and not self.rehearsing:
            self._model.show_outcomes(update.outcomes)
        if update.rows or update.gone:
            self._model.apply(update.rows, update.gone)
        if listed and not update.more:
            self._model.drop_stale()
        self._take_stalled(update.stalled)

    def _take_scan(self, scan: ScanProgress) -> None:
        if scan != self.scan:
            self.scan = scan
            self._model.set_measuring(scan.phase in ("listing", "measuring"))
            self.scan_changed.emit(scan)

    def _take_sweep(self, sweep: SweepProgress | None) -> None:
        self.sweep = sweep
        self._model.show_progress(sweep)
        self.sweep_changed.emit(sweep)

    def _take_stalled(self, seconds: float) -> None:
        whole = int(seconds) if seconds >= STALLED_AFTER else 0
        if whole != self._stalled:
            self._stalled = whole
            self.stalled_changed.emit(whole)

    def _finish(self, finished: Finished) -> None:
        job = self._jobs.pop(finished.job, None)
        if job is None:
            # The reply that names the job is still on its way through the event loop: `run` will ask for it.
            self._early[finished.job] = finished
            return
        if isinstance(job.request, Scan) and not isinstance(finished.result, Failure):
            self._model.drop_stale()
        self._job_ended(job.request)
        if job.future.done():
            return
        if isinstance(finished.result, Failure):
            job.future.set_exception(EngineFailure(finished.result))
        else:
            job.future.set_result(finished.result)

    def _job_ended(self, request: Request) -> None:
        if isinstance(request, Scan):
            self._model.set_measuring(False)
            self._model.end_waiting()
        if isinstance(request, CHANGING) and not self.changing:
            self._take_sweep(None)
        self.busy_changed.emit()

    # --- when the engine fails --------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Notices an engine that has stopped answering."""
        while True:
            await asyncio.sleep(0.5)
            client = self._client
            if client is None or self.engine.phase in (EnginePhase.GONE, EnginePhase.CLOSED):
                continue
            seconds = client.unanswered
            starting = self.engine.phase is EnginePhase.STARTING
            if seconds >= SILENT_AFTER:
                # One that never began to answer can't be asked either: it stays in its start.
                phase = EnginePhase.STARTING if starting else EnginePhase.SILENT
                self._set_engine(replace(self.engine, phase=phase, seconds=max(1, int(seconds))))
            elif self.engine.phase is EnginePhase.SILENT:
                self._set_engine(replace(self.engine, phase=EnginePhase.READY, seconds=0))

    async def _bury(self, reason: str) -> None:
        sweeping = self.sweeping
        lived = monotonic() - self._started_at
        if self._client is not None:
            self._client.close()
        self._set_engine(EngineState(EnginePhase.GONE, reason=reason))
        self._lose_jobs(reason)
        self._set_progress(None, None)
        restarting = lived > _SHORT_LIFE
        self.engine_died.emit(EngineDeath(reason, sweeping, restarting))
        if restarting:
            try:
                await self._start_engine()
            except (EngineGone, EngineFailure) as failed:
                if self.engine.phase is not EnginePhase.GONE:
                    return  # a person has started another one meanwhile
                _log.info("no new engine: %s", failed)
                self.engine_died.emit(EngineDeath(str(failed), sweeping=False, restarting=False))

    def _lose_jobs(self, reason: str) -> None:
        jobs, self._jobs = self._jobs, {}
        self._early.clear()
        for job in jobs.values():
            if not job.future.done():
                job.future.set_exception(EngineGone(reason))
        if jobs:
            self.busy_changed.emit()

    def _set_progress(self, scan: ScanProgress | None, sweep: SweepProgress | None) -> None:
        self.scan = scan
        self._model.set_measuring(False)
        self.scan_changed.emit(scan)
        self._take_sweep(sweep)
        self._take_stalled(0.0)

    def _set_engine(self, state: EngineState) -> None:
        if state != self.engine:
            self.engine = state
            if state.phase in (EnginePhase.READY, EnginePhase.SILENT):
                self.ready.set()
            else:
                self.ready.clear()
            self.engine_changed.emit(state)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """Without one of these nobody listens to the engine any more: that is as good as dead, and is told so."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        _log.error("the window no longer listens to the engine", exc_info=error)
        if not self._closing and self.engine.phase is not EnginePhase.GONE:
            self._spawn(self._bury(f"unexpected {type(error).__name__}: {error}"))
