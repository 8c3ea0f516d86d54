"""Drives one engine from the main thread: sends a request, polls its job, and returns the job's result."""

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from sweeper_gui.cli.codes import Code, Refusal
from sweeper_gui.cli.signals import Interrupted, Signals
from sweeper_gui.core.row import Row
from sweeper_gui.engine.host import EngineGone, Host
from sweeper_gui.engine.messages import (
    Bind,
    Cancel,
    Failure,
    Finished,
    Open,
    Opened,
    Poll,
    Purge,
    RegistryState,
    Reply,
    Request,
    Restore,
    Resume,
    Started,
    Sweep,
    Update,
    VolumeState,
)

#: Seconds between two polls, growing from the first to the second: short jobs end soon, long ones are left in peace.
#: Also how late a signal may be noticed.
_POLLS = (0.01, 0.1)
#: For how many seconds a volume may not answer a cancelled job before the command leaves it behind.
PATIENCE = 4.0
#: What holds the volume's lock while it runs.
_LOCKING = (Sweep, Restore, Purge, Resume, Bind)

Result = TypeVar("Result")


class Watcher(Protocol):
    """Something that shows how a job gets on."""

    def begin(self) -> None:
        """A job starts."""

    def show(self, update: Update, cancelling: bool) -> None:
        """What the last poll brought."""

    def end(self) -> None:
        """The job is over: nothing of the display may stay in the way of results."""


class Session:
    """An engine with what it has told so far: the rows by name, the volume and the registry."""

    def __init__(
        self, host: Host, signals: Signals, watcher: Watcher, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self.rows: dict[bytes, Row] = {}
        self.volume: VolumeState | None = None
        self.registry: RegistryState | None = None
        self._host = host
        self._signals = signals
        self._watcher = watcher
        self._pause = pause
        self._engine: Opened | None = None
        self._locking = False
        self._answered_at = time.time()

    def open(self, settings: bytes) -> None:
        """Tells the engine the settings. Raises `Refusal`."""
        reply = self._request(Open(settings))
        if not isinstance(reply, Opened):
            raise _unexpected(reply)
        self._engine = reply

    def close(self) -> tuple[str, str] | None:
        """Ends the engine. Where the volume keeps it, it is left behind: which one, and what to do, in words."""
        if self._host.close():
            return None
        name = f"the engine (process {self._engine.pid})" if self._engine else "the engine"
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self._answered_at))
        lock = ", and may hold the lock until that answers" if self._locking else ""
        return (
            f"{name} is stuck in the volume, which has not answered since {since}{lock}",
            "It has been killed, and ends by itself as soon as the volume answers; nothing ends it before.",
        )

    def run(self, request: Request, expected: type[Result]) -> Result:
        """Runs a job to its end and returns its result.

        Raises `Refusal` where it failed, and `Interrupted` where a signal came before it began. A signal during the
        job cancels it: what its result says then is the caller's to look at, with `cancelled`.
        """
        if self._signals.requested:
            raise Interrupted
        self._signals.begin_work()
        self._locking = isinstance(request, _LOCKING)
        reply = self._request(request)
        if not isinstance(reply, Started):
            raise _unexpected(reply)
        self._watcher.begin()
        try:
            finished = self._finish(reply.job)
        finally:
            self._watcher.end()
        if isinstance(finished.result, Failure):
            raise Refusal.of(finished.result)
        if not isinstance(finished.result, expected):
            raise Refusal(Code.FAILED, f"the engine answered with {type(finished.result).__name__}: a version mix-up?")
        return finished.result

    @property
    def cancelled(self) -> bool:
        """Whether a signal asked for the work to stop."""
        return self._signals.requested

    def _finish(self, job: int) -> Finished:
        cancelling = False
        pause, longest = _POLLS
        while True:
            if self._signals.requested and not cancelling:
                self._request(Cancel(job))
                cancelling = True
            update = self._poll()
            self._watcher.show(update, cancelling)
            ended = next((finished for finished in update.finished if finished.job == job), None)
            if ended is not None:
                self._drain(update)
                return ended
            if cancelling and update.stalled > PATIENCE:
                raise Refusal(
                    Code.CANCELLED,
                    "cancelled; the volume does not answer: what was begun can be resumed",
                    "Once it answers again, 'sweeper trash' shows what was left half done; then 'sweeper resume'.",
                )
            if not update.more:
                self._pause(pause)
                pause = min(pause * 1.5, longest)

    def _drain(self, update: Update) -> None:
        while update.more:
            update = self._poll()

    def _poll(self) -> Update:
        reply = self._request(Poll())
        if not isinstance(reply, Update):
            raise _unexpected(reply)
        self._answered_at = time.time() - reply.stalled
        self.rows.update((row.name, row) for row in reply.rows)
        for name in reply.gone:
            self.rows.pop(name, None)
        self.volume = reply.volume or self.volume
        self.registry = reply.registry or self.registry
        return reply

    def _request(self, request: Request) -> Reply:
        try:
            reply = self._host.request(request)
        except EngineGone as error:
            code, words = (Code.CANCELLED, f"cancelled; {error}") if self.cancelled else (Code.FAILED, str(error))
            raise Refusal(code, words, "'sweeper trash' shows what was left half done.") from error
        if isinstance(reply, Failure):
            raise Refusal.of(reply)
        return reply


def _unexpected(reply: Reply) -> Refusal:
    return Refusal(Code.FAILED, f"the engine answered with {type(reply).__name__}: a version mix-up?")
