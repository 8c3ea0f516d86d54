"""The work pool: in which order the volume's work is done, by how many threads, and whether the volume still answers.

A job is some work on one directory; it may submit further jobs. Jobs of the highest priority run first, and among
equals the youngest, so that a tree is worked through in depth and the queue stays short. Only as many jobs run as the
adaptive limit allows; when it has shrunk, those of the lowest priority step back between two operations.
"""

import heapq
import itertools
import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from time import monotonic, process_time, sleep
from types import TracebackType
from typing import TypeVar

from sweeper_gui.storage.bulk import ONE, until
from sweeper_gui.storage.limit import QUICK, AdaptiveLimit, Impact, Kind
from sweeper_gui.storage.threads import started
from sweeper_gui.storage.tree import DescriptorCache, most_jobs

__all__ = ["MEASURING", "Gauge", "Impact", "Job", "Kind", "Priority", "WorkPool", "after", "removing"]

Job = Callable[[], None]
#: Compared as tuples; the lowest runs first.
Priority = tuple[float, ...]
T = TypeVar("T")

#: sizes for the listing: a sweep does not wait for them
MEASURING: Priority = (3.0,)


def removing(weight: float) -> Priority:
    """The priority of work for a removal; `weight` is how many operations must follow it one after the other.

    The longest way to the end comes first, whatever kind of work is next on it (critical-path scheduling; Hu, 1961). So
    a directory with most entries is begun as soon as its tree has been discovered, before trees are discovered which
    take less, and these before the many small directories, which fill what room is left at any time.
    """
    return (2.0, -weight)


def after(priority: Priority) -> Priority:
    """The priority of jobs that come after all those of the given one, and before all that come after these."""
    return (*priority, 1.0)


#: Seconds for which samples are kept in a thread before the limit learns of them: quick ones, of which there are many,
#: and slow ones.
_REPORT_EVERY = 0.01
_REPORT_SLOW_EVERY = 0.004
#: Seconds between two looks at a cancel while a thread waits for its turn.
_LOOK_EVERY = 0.05

_KINDS = len(Kind)
_log = logging.getLogger(__name__)


class Gauge:
    """What one thread tells of its operations. Only that thread calls it; anyone may read it.

    In a loop `begin` once and `done` after each operation: what lies between two calls counts as one operation.
    `done` costs about 0.3 µs, waits while more jobs run than allowed, and never raises.
    """

    __slots__ = (
        "busy", "cancel", "counts", "last", "operations", "placed", "pool", "priority", "report_at", "seconds", "stamp",
    )  # fmt: skip

    def __init__(self, pool: "WorkPool") -> None:
        self.pool = pool
        self.operations = 0
        #: whether an operation is under way
        self.busy = False
        #: whether its job holds one of the places that the limit allows
        self.placed = False
        #: its job's
        self.priority: Priority = ()
        #: monotonic seconds: when the operation under way began, and when the last one ended
        self.stamp = self.last = self.report_at = 0.0
        #: ends the waiting for a turn early
        self.cancel: threading.Event | None = None
        #: quick and slow ones of each kind
        self.counts = [0] * (2 * _KINDS)
        self.seconds = [0.0] * (2 * _KINDS)

    def begin(self) -> None:
        """An operation starts now."""
        self.stamp = monotonic()
        self.busy = True

    def spell_end(self) -> int:
        """When a call of bulk.py that begins now ends: one of many operations if they are quick and nobody counts."""
        return ONE if self.pool.paced else until(self.stamp)

    def done(self, kind: Kind, count: int = 1, last: float = 0.0) -> float:
        """So many operations have ended, failed ones included, and the next one starts; returns what they took.

        `last` is what the last one took, in seconds, where that is known without the waiting for Python's lock, which
        is no fault of the volume's. Where it was long it is told apart from the others.
        """
        now = monotonic()
        took = now - self.stamp
        self.stamp = self.last = now
        self.operations += count
        if last and (count == 1 or last >= QUICK[kind]):
            slow = self._note(kind, 1, last)
            if count > 1:
                self._note(kind, count - 1, max(0.0, took - last))
        else:
            slow = self._note(kind, count, took)
        if now >= self.report_at:
            self._report(now, _REPORT_SLOW_EVERY if slow else _REPORT_EVERY)
        if self.pool.crowded:
            self.pool.step_back(self)
            self.stamp = monotonic()
        return took

    def _note(self, kind: Kind, count: int, took: float) -> bool:
        """Keeps it for the limit; whether they were slow."""
        slow = took >= QUICK[kind] * count
        bucket = kind + _KINDS if slow else kind
        self.counts[bucket] += count
        self.seconds[bucket] += took
        return slow

    def _report(self, now: float, next_after: float) -> None:
        self.report_at = now + next_after
        self.pool.learn(self.counts, self.seconds, now)
        self.counts = [0] * (2 * _KINDS)
        self.seconds = [0.0] * (2 * _KINDS)


class _Operation:
    """One operation in a `with` block, in a thread of the pool or in any other."""

    __slots__ = ("_gauge", "_kind", "_was_busy")

    def __init__(self, gauge: Gauge, kind: Kind) -> None:
        self._gauge = gauge
        self._kind = kind

    def __enter__(self) -> None:
        self._was_busy = self._gauge.busy
        self._gauge.begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gauge.done(self._kind)
        self._gauge.busy = self._was_busy


class _Guest(_Operation):
    """One operation in a thread that is not the pool's: known to the pool for as long as it takes."""

    __slots__ = ()

    def __enter__(self) -> None:
        super().__enter__()
        self._gauge.pool.welcome(self._gauge)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._gauge.pool.farewell(self._gauge)


class WorkPool:
    """Runs jobs on daemon threads, which start when they are first needed.

    Where the host starts no more of them, those that there are do all the work.
    `max_in_flight` bounds the adaptive limit, and so do the descriptors that the process may have;
    `max_ops_per_second` bounds the rate of all operations together, None does not. `descriptors` is the cache that
    everything working on this volume shares.
    """

    def __init__(
        self,
        max_in_flight: int = 64,
        impact: Impact = Impact.BALANCED,
        max_ops_per_second: float | None = None,
    ) -> None:
        if max_ops_per_second is not None and max_ops_per_second <= 0:
            raise ValueError(f"the ceiling must allow operations, not {max_ops_per_second} a second")
        self.descriptors = DescriptorCache()
        self.max_in_flight = max_in_flight = min(max_in_flight, most_jobs())
        #: whether each operation waits for its turn
        self.paced = max_ops_per_second is not None
        #: whether `step_back` has something to wait for; read by every thread after every operation
        self.crowded = self.paced
        self._limit = AdaptiveLimit(max_in_flight, impact, monotonic(), process_time)
        self._interval = 1.0 / max_ops_per_second if max_ops_per_second else 0.0
        self._next_turn = 0.0
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._queue: list[tuple[Priority, int, Job]] = []
        self._later: list[tuple[float, int, Priority, Job, threading.Event]] = []
        self._number = itertools.count()
        self._threads: list[threading.Thread] = []
        self._clock: threading.Thread | None = None
        self._gauges: list[Gauge] = []
        self._guests: set[Gauge] = set()
        self._own = threading.local()
        self._free = self._running = self._parked = 0
        self._closed = False
        self._guest_operations = 0
        self._guest_last = 0.0
        self._failures: list[BaseException] = []

    # --- jobs -------------------------------------------------------------------------------------------------------

    def submit(self, job: Job, priority: Priority = MEASURING) -> None:
        """Queues a job. After `close` only jobs that are still running may submit more: RuntimeError for others.

        Raises OSError where there is no thread to run it, and then it is not queued.
        """
        self.submit_all((job,), priority)

    def submit_all(self, jobs: Iterable[Job], priority: Priority = MEASURING) -> None:
        """Queues jobs of one priority; the last one runs first."""
        self.submit_each((priority, job) for job in jobs)

    def submit_each(self, jobs: Iterable[tuple[Priority, Job]]) -> None:
        """Queues jobs, each with its own priority."""
        with self._lock:
            self._refuse_when_closed()
            for priority, job in jobs:
                heapq.heappush(self._queue, (priority, -next(self._number), job))
            self._call_workers()

    def submit_later(self, job: Job, delay: float, priority: Priority, cancel: threading.Event) -> None:
        """Queues a job in `delay` seconds, or as soon as `cancel` is set. No thread waits for it."""
        with self._lock:
            self._refuse_when_closed()
            self._later.append((monotonic() + delay, next(self._number), priority, job, cancel))
            if self._clock is None:
                try:
                    self._clock = started(self._queue_when_due, "work pool clock")
                except OSError:  # nobody can wait: it is done at once
                    self._queue_due(math.inf)

    def share(self, work: Callable[[T], None], parts: Iterable[T], priority: Priority) -> None:
        """Calls `work` with every part, in the calling job and in others of the priority; returns when all have ended.

        Raises the first error that `work` raised.
        """
        shared = _Shared(work, parts)
        helpers = min(len(shared), self.max_in_flight) - 1  # those that find no room now may find it soon
        self.submit_all([shared.help] * helpers, priority)
        shared.help()
        self._wait_for_helpers(shared)

    def close(self, patience: float = 1.0) -> None:
        """Lets the queue run dry, which running tasks take for a cancel, and ends the threads.

        Waits at most `patience` seconds: a thread stuck in a hung volume is left behind.
        """
        with self._lock:
            self._closed = True
            self._work.notify_all()
            self._room.notify_all()
        deadline = monotonic() + patience
        threads = [*self._threads, *([self._clock] if self._clock else [])]
        for thread in threads:
            thread.join(max(0.0, deadline - monotonic()))
        if not any(thread.is_alive() for thread in threads):
            self.descriptors.close()

    @property
    def closed(self) -> bool:
        """Whether `close` was called: what still runs must come to its end."""
        return self._closed

    @property
    def failures(self) -> tuple[BaseException, ...]:
        """What escaped from jobs. Jobs report errors to their task, so this is empty but for a mistake in one."""
        return tuple(self._failures)

    # --- what it does to the volume -----------------------------------------------------------------------------------

    def gauge(self, cancel: threading.Event | None = None) -> Gauge:
        """The gauge of this thread of the pool, for the job that it runs; `cancel` ends its waiting for a turn."""
        gauge: Gauge = self._own.gauge
        gauge.cancel = cancel
        return gauge

    def operation(self, kind: Kind = Kind.OTHER, cancel: threading.Event | None = None) -> _Operation:
        """``with pool.operation(): …`` around one operation on the volume, in any thread.

        Once `cancel` is set it waits for no turn: what brings a run to its end is not held back.
        """
        gauge: Gauge | None = getattr(self._own, "gauge", None)
        if gauge is not None:
            gauge.cancel = gauge.cancel or cancel
            return _Operation(gauge, kind)
        guest = Gauge(self)
        guest.cancel = cancel
        return _Guest(guest, kind)

    def beat(self) -> None:
        """Says that the volume has answered, in a thread that does not measure its operations."""
        with self._lock:
            self._guest_operations += 1
            self._guest_last = monotonic()

    def let_go(self) -> None:
        """Gives this job's place to another one: what the job still does is no work on the volume."""
        gauge: Gauge | None = getattr(self._own, "gauge", None)
        if gauge is not None:
            with self._lock:
                self._leave_place(gauge)
                self._count_again()

    def set_impact(self, impact: Impact) -> None:
        """Takes effect at once, on what is running too."""
        with self._lock:
            self._limit.impact = impact

    @property
    def impact(self) -> Impact:
        """The impact in force."""
        return self._limit.impact

    @property
    def limit(self) -> int:
        """Operations allowed in flight now."""
        return self._limit.limit

    @property
    def latency(self) -> float:
        """Seconds that an operation which reaches the volume took of late: what the limit goes by. 0.0: none yet."""
        return self._limit.latency

    @property
    def in_flight(self) -> int:
        """Jobs that run and operations of other threads."""
        return self._running + len(self._guests)

    @property
    def operations(self) -> int:
        """Operations completed so far, failed ones included."""
        return self._guest_operations + sum(gauge.operations for gauge in tuple(self._gauges))

    @property
    def last_completion(self) -> float:
        """When an operation last completed, in seconds of the monotonic clock; 0.0 before the first."""
        return max([self._guest_last, *(gauge.last for gauge in tuple(self._gauges))])

    @property
    def stalled_for(self) -> float:
        """Seconds since anything completed while something is under way; 0.0 when nothing is."""
        with self._lock:
            under_way = [gauge.stamp for gauge in (*self._gauges, *self._guests) if gauge.busy]
        if not under_way:
            return 0.0
        return max(0.0, monotonic() - max(min(under_way), self.last_completion))

    # --- called by gauges ---------------------------------------------------------------------------------------------

    def learn(self, counts: Sequence[int], seconds: Sequence[float], now: float) -> None:
        """Takes a thread's samples: quick ones of each kind, then slow ones of each kind."""
        with self._lock:
            before = self._limit.limit
            for bucket, count in enumerate(counts):
                if count:
                    self._limit.observe(Kind(bucket % _KINDS), count, seconds[bucket], now)
            if self._limit.limit != before:
                self._count_again()

    def step_back(self, gauge: Gauge) -> None:
        """Waits while more jobs run than the limit allows, and until the ceiling on the rate has room again."""
        if self._interval:
            self._wait_for_turn(gauge)
        with self._lock:
            if not self._is_surplus(gauge):
                return
            self._leave_place(gauge)
            self._parked += 1
            while self._running >= self._limit.limit and not self._leaving(gauge):
                self._room.wait(_LOOK_EVERY)
            self._parked -= 1
            self._take_place(gauge)
            self._count_again()
        gauge.begin()

    def _is_surplus(self, gauge: Gauge) -> bool:
        """Whether jobs at least as urgent use all that is allowed. Holds the lock.

        Who steps back is lost time on the way to the end, unless it was not on the longest one.
        """
        if self._running <= self._limit.limit or not gauge.placed:
            return False
        ahead = 0
        is_before = True
        for other in self._gauges:
            if other is gauge:
                is_before = False
            elif other.placed and (other.priority < gauge.priority or (is_before and other.priority == gauge.priority)):
                ahead += 1
        return ahead >= self._limit.limit

    def welcome(self, gauge: Gauge) -> None:
        """An operation of a thread that is not the pool's has begun."""
        with self._lock:
            self._guests.add(gauge)

    def farewell(self, gauge: Gauge) -> None:
        """It has ended."""
        with self._lock:
            self._guests.discard(gauge)
            self._guest_operations += gauge.operations
            self._guest_last = max(self._guest_last, gauge.last)

    def _wait_for_helpers(self, shared: "_Shared") -> None:
        """Without its place: one of them may have stepped back and be waiting for just that."""
        gauge: Gauge = self._own.gauge
        with self._lock:
            self._leave_place(gauge)
            self._count_again()
        try:
            shared.wait()
        finally:
            with self._lock:
                self._take_place(gauge)
                self._count_again()
            gauge.begin()

    def _wait_for_turn(self, gauge: Gauge) -> None:
        if self._leaving(gauge):
            return
        with self._lock:
            turn = max(self._next_turn, monotonic())
            self._next_turn = turn + self._interval
        busy, gauge.busy = gauge.busy, False
        while (left := turn - monotonic()) > 0:
            if self._leaving(gauge):
                with self._lock:  # those that stay must not wait for the turns of those that go
                    self._next_turn -= self._interval
                break
            sleep(min(left, _LOOK_EVERY))
        gauge.stamp = monotonic()
        gauge.busy = busy

    def _leaving(self, gauge: Gauge) -> bool:
        return self._closed or (gauge.cancel is not None and gauge.cancel.is_set())

    # --- threads ------------------------------------------------------------------------------------------------------

    def _refuse_when_closed(self) -> None:
        if self._closed and not hasattr(self._own, "gauge"):
            raise RuntimeError("the work pool is closed")

    def _take_place(self, gauge: Gauge) -> None:
        gauge.placed = True
        self._running += 1

    def _leave_place(self, gauge: Gauge) -> None:
        gauge.busy = False
        if gauge.placed:
            gauge.placed = False
            self._running -= 1

    def _has_room(self) -> bool:
        return self._closed or self._running + self._parked < self._limit.limit

    def _count_again(self) -> None:
        """After any change of the limit or of what runs; holds the lock."""
        self.crowded = bool(self._interval) or self._running > self._limit.limit
        if self._parked:
            self._room.notify_all()
        self._call_workers()

    def _call_workers(self) -> None:
        """Wakes one thread, or starts it; when that one has taken its job, it calls the next. Holds the lock."""
        if not self._queue or not self._has_room():
            return
        if self._free:
            self._work.notify()
            return
        self._free += 1
        try:
            self._threads.append(started(self._run, f"work pool {len(self._threads) + 1}"))
        except OSError:
            self._free -= 1
            if not self._threads:
                self._queue.clear()
                raise

    def _run(self) -> None:
        gauge = self._own.gauge = Gauge(self)
        with self._lock:
            self._gauges.append(gauge)
        while (job := self._next_job(gauge)) is not None:
            gauge.begin()
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - whatever it is, it must neither be lost nor end the thread
                self._failures.append(error)
                _log.critical("a job failed: %s", error, exc_info=error)
            job = None  # what it holds on to is not kept while waiting
            with self._lock:
                gauge.cancel = None
                self._free += 1

    def _next_job(self, gauge: Gauge) -> Job | None:
        """Waits for a job, once the place of the last one is free again; None when there will be no more."""
        with self._lock:
            self._leave_place(gauge)
            if self._parked:
                self._room.notify_all()
            while not (self._queue and self._has_room()):
                if self._closed and not self._queue and not self._later:
                    self._free -= 1
                    return None
                self._work.wait()
            gauge.priority, _, job = heapq.heappop(self._queue)
            self._free -= 1
            self._take_place(gauge)
            self._count_again()
            return job

    def _queue_when_due(self) -> None:
        """The clock thread: ends when nothing waits any more."""
        while True:
            with self._lock:
                self._queue_due(monotonic())
                if not self._later:
                    self._clock = None
                    self._work.notify_all()  # those that may have waited for nothing else, where the pool is closed
                    return
            sleep(_LOOK_EVERY)

    def _queue_due(self, now: float) -> None:
        """Queues what has waited long enough at this time. Holds the lock; there may be a hundred thousand of them."""
        later, self._later = self._later, []
        for item in later:
            at, number, priority, job, cancel = item
            if at <= now or cancel.is_set() or self._closed:
                heapq.heappush(self._queue, (priority, -number, job))
            else:
                self._later.append(item)
        if len(self._later) < len(later):
            self._call_workers()


class _Shared:
    """Parts of one job, taken by whoever is free."""

    def __init__(self, work: Callable[[T], None], parts: Iterable[T]) -> None:
        self._work: Callable[..., None] = work
        self._parts: deque[object] = deque(parts)
        self._changed = threading.Condition()
        self._at_work = 0
        self._error: BaseException | None = None

    def __len__(self) -> int:
        return len(self._parts)

    def help(self) -> None:
        """Works until no part is left."""
        while True:
            with self._changed:
                if not self._parts:
                    return
                part = self._parts.popleft()
                self._at_work += 1
            error: BaseException | None = None
            try:
                self._work(part)
            except BaseException as raised:  # noqa: BLE001 - raised again by the thread that waits for the parts
                error = raised
            with self._changed:
                self._error = self._error or error
                self._at_work -= 1
                if not self._at_work:
                    self._changed.notify_all()

    def wait(self) -> None:
        """Until the parts that others took have ended too."""
        with self._changed:
            self._changed.wait_for(lambda: not self._at_work)
            if self._error:
                raise self._error
