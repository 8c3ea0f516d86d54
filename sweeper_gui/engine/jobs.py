"""Jobs: what the engine does beside answering, each on a thread of its own and each with its own cancel."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from sweeper_gui.core.names import legible
from sweeper_gui.core.proposal import PlanProblem
from sweeper_gui.engine.messages import Failure, Finished
from sweeper_gui.engine.opening import CHECK, system_words
from sweeper_gui.settings import SettingsError
from sweeper_gui.settings.secrets import without
from sweeper_gui.storage.lock import LockHeld
from sweeper_gui.storage.threads import started
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep.evidence import Untrusted

log = logging.getLogger(__name__)

#: What is said of a job that runs, where its kind alone makes no sentence.
_UNDER_WAY = {"plan": "a plan is being made"}


class Job:
    """One piece of work.

    `exclusive` ones change the volume or make the plan for it: only one of them runs at a time.
    """

    def __init__(self, id_: int, kind: str, *, exclusive: bool) -> None:
        self.id = id_
        self.kind = kind
        self.exclusive = exclusive
        self.cancel = threading.Event()
        self.ended = threading.Event()
        self.started = time.monotonic()


class Jobs:
    """Starts jobs and keeps what they ended with until it is asked for."""

    def __init__(self, hidden: frozenset[str] = frozenset()) -> None:
        self._lock = threading.Lock()
        self._hidden = hidden
        self._next = 1
        self._running: dict[int, Job] = {}
        self._finished: list[Finished] = []

    def start(
        self, kind: str, work: Callable[[Job], object], *, exclusive: bool = False, silent: bool = False
    ) -> Job | Failure:
        """Runs `work` in a new daemon thread; a second exclusive job, or a second one of a kind, is refused.

        So is one for which the host starts no thread. Nobody is told of the end of a `silent` one.
        """
        with self._lock:
            for other in self._running.values():
                if other.kind == kind or (exclusive and other.exclusive):
                    words = _UNDER_WAY.get(other.kind, f"a {other.kind} is running")
                    return Failure("usage", words, "wait for it, or cancel it")
            job = Job(self._next, kind, exclusive=exclusive)
            self._next += 1
            self._running[job.id] = job
        try:
            started(partial(self._run, job, work, silent), f"job-{kind}")
        except OSError as error:
            with self._lock:
                del self._running[job.id]
            job.ended.set()
            return failure_of(error)
        return job

    def _run(self, job: Job, work: Callable[[Job], object], silent: bool) -> None:
        try:
            result = work(job)
        except Exception as error:  # noqa: BLE001 (told as the job's end)
            result = failure_of(error, cancelled=job.cancel.is_set(), hidden=self._hidden)
        finally:
            job.cancel.set()  # whatever it has left running
        with self._lock:
            if not silent:
                self._finished.append(Finished(job.id, result))  # type: ignore[arg-type]
            self._running.pop(job.id, None)
        job.ended.set()

    def cancel(self, id_: int | None = None) -> None:
        """Sets the cancel of one job, or of all."""
        for job in self.running():
            if id_ in (None, job.id):
                job.cancel.set()

    def running(self, kind: str | None = None) -> list[Job]:
        """The jobs under way, of one kind or all."""
        with self._lock:
            return [job for job in self._running.values() if kind in (None, job.kind)]

    @property
    def idle(self) -> bool:
        """Whether none is under way, and none has ended of which nobody has heard."""
        with self._lock:
            return not self._running and not self._finished

    def take_finished(self) -> tuple[Finished, ...]:
        """What has ended since the last call."""
        with self._lock:
            finished, self._finished = tuple(self._finished), []
            return finished

    def keep_finished(self, finished: tuple[Finished, ...]) -> None:
        """Keeps what was taken for the next call."""
        with self._lock:
            self._finished[:0] = finished

    def stop(self, seconds: float) -> bool:
        """Cancels everything and waits so long at most; whether all has ended."""
        self.cancel()
        deadline = time.monotonic() + seconds
        return all(job.ended.wait(max(0.0, deadline - time.monotonic())) for job in self.running())


def failure_of(error: Exception, *, cancelled: bool = False, hidden: frozenset[str] = frozenset()) -> Failure:
    """What a front end is told of an exception, without these secrets.

    The unexpected is logged with its trace, and told without.
    """
    if cancelled:
        return Failure("cancelled", "cancelled")
    words = without(told(system_words(error) if isinstance(error, OSError) else str(error)), hidden)
    if isinstance(error, VolumeError):
        return Failure("untrusted", words, told(error.hint))
    if isinstance(error, PlanProblem):
        return Failure("untrusted" if error.foreign else "usage", words, told(error.hint))
    if isinstance(error, Untrusted):
        return Failure("untrusted", words, "see 'sweeper doctor'; nothing is removed until it can be trusted")
    if isinstance(error, OSError):
        return Failure("untrusted", words, CHECK)
    if isinstance(error, LockHeld):
        return Failure("locked", words, told(error.hint))
    if isinstance(error, SettingsError):
        return Failure("usage", words)
    log.error("unexpected error", exc_info=error)
    return Failure("failed", f"unexpected {type(error).__name__}: {words}", "please report this with the engine's log")


def told(text: str) -> str:
    """A text from anywhere as a message can carry it: names on the volume need not be Unicode."""
    return "\n".join(legible(line) for line in text.split("\n"))
