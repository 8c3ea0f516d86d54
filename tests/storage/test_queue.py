"""The work pool: order, limit, errors, stalls, and an end that waits for nobody."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from sweeper_gui.storage.limit import Kind
from sweeper_gui.storage.queue import Impact, WorkPool, after, removing
from tests.support.messages import Messages
from tests.support.removals import PATIENCE
from tests.support.threads import no_more_threads


class Blocker:
    """A job that is under way until it is released."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.released = threading.Event()

    def __call__(self) -> None:
        self.started.set()
        self.released.wait(PATIENCE)


@pytest.fixture
def single() -> Iterator[WorkPool]:
    pool = WorkPool(max_in_flight=1)
    yield pool
    pool.close()


@pytest.fixture
def blocker() -> Iterator[Blocker]:
    blocker = Blocker()
    yield blocker
    blocker.released.set()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.002)


def in_turn(*steps: Callable[[], None]) -> Callable[[], None]:
    """All of them as one job."""

    def job() -> None:
        for step in steps:
            step()

    return job


def test_jobs_run_by_priority_and_the_youngest_first(single: WorkPool, blocker: Blocker) -> None:
    ran: list[str] = []
    done = threading.Event()
    single.submit(blocker)
    assert blocker.started.wait(PATIENCE)
    single.submit(done.set, (9.0,))
    for name, priority in (("c", (2.0, -5.0)), ("b", (2.0, -9.0)), ("e", (3.0,)), ("d", (3.0,)), ("a", (1.0,))):
        single.submit(lambda name=name: ran.append(name), priority)  # type: ignore[misc]
    blocker.released.set()
    assert done.wait(PATIENCE)
    assert ran == ["a", "b", "c", "d", "e"]


def test_never_more_jobs_run_than_allowed() -> None:
    pool = WorkPool(max_in_flight=3, impact=Impact.FAST)
    running = most = 0
    lock = threading.Lock()
    finished = threading.Semaphore(0)

    def job() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        for _ in range(4):  # slow enough for the limit to rise to its ceiling
            with pool.operation(Kind.CHANGE):
                time.sleep(0.002)
        with lock:
            running -= 1
        finished.release()

    pool.submit_all([job] * 200)
    for _ in range(200):
        assert finished.acquire(timeout=PATIENCE)
    assert most == 3
    pool.close()


def test_threads_start_when_they_are_needed(pool: WorkPool) -> None:
    before = threading.active_count()
    done = threading.Event()
    pool.submit(done.set)
    assert done.wait(PATIENCE)
    assert threading.active_count() <= before + 1


def test_an_exception_that_escapes_a_job_is_kept_and_logged_and_the_thread_lives(
    single: WorkPool, messages: Messages
) -> None:
    messages.expect("a job failed: broken")
    done = threading.Event()

    def broken() -> None:
        raise RuntimeError("broken")

    single.submit(broken)
    single.submit(done.set, (9.0,))
    assert done.wait(PATIENCE)
    assert [str(failure) for failure in single.failures] == ["broken"]


def test_operations_are_counted_in_every_thread(pool: WorkPool) -> None:
    finished = threading.Semaphore(0)

    def job() -> None:
        gauge = pool.gauge()
        for _ in range(1_000):
            gauge.done(Kind.READ)
        with pool.operation(Kind.CHANGE):
            pass
        finished.release()

    pool.submit_all([job] * 20)
    for _ in range(20):
        assert finished.acquire(timeout=PATIENCE)
    with pool.operation():
        pass
    pool.beat()
    assert pool.operations == 20 * 1_001 + 2
    assert 0.0 <= time.monotonic() - pool.last_completion < PATIENCE


def test_what_is_under_way_in_other_threads_counts_too(pool: WorkPool) -> None:
    assert pool.in_flight == 0
    with pool.operation():
        assert pool.in_flight == 1
        eventually(lambda: pool.stalled_for > 0.01)
    assert pool.in_flight == 0
    assert pool.stalled_for == 0.0


def test_a_stall_lasts_since_the_last_completion_of_anything(pool: WorkPool, blocker: Blocker) -> None:
    assert pool.stalled_for == 0.0
    pool.submit(blocker)
    assert blocker.started.wait(PATIENCE)
    eventually(lambda: pool.stalled_for > 0.1)
    with pool.operation():  # another one completes: the volume answers
        pass
    assert pool.stalled_for < 0.1
    eventually(lambda: pool.stalled_for > 0.05)
    blocker.released.set()
    eventually(lambda: pool.stalled_for == 0.0)


def test_time_without_work_is_no_stall(pool: WorkPool, blocker: Blocker) -> None:
    done = threading.Event()
    pool.submit(done.set)
    assert done.wait(PATIENCE)
    idle_since = time.monotonic()
    eventually(lambda: time.monotonic() - idle_since > 0.3)
    pool.submit(blocker)
    assert blocker.started.wait(PATIENCE)
    assert pool.stalled_for < 0.25


def test_a_loop_of_operations_in_one_job_is_no_stall(pool: WorkPool) -> None:
    worst = 0.0
    stop = threading.Event()
    done = threading.Event()

    def job() -> None:
        gauge = pool.gauge()
        while not stop.is_set():
            time.sleep(0.001)
            gauge.done(Kind.CHANGE)
        done.set()

    pool.submit(job)
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        worst = max(worst, pool.stalled_for)
        time.sleep(0.005)
    stop.set()
    assert done.wait(PATIENCE)
    assert worst < 0.4


def test_a_delayed_job_waits_without_a_thread(single: WorkPool) -> None:
    started = time.monotonic()
    ran: list[float] = []
    done = threading.Event()
    single.submit_later(in_turn(lambda: ran.append(time.monotonic()), done.set), 0.3, (0.0,), threading.Event())
    between = threading.Event()
    single.submit(between.set)
    assert between.wait(0.25)
    assert done.wait(PATIENCE)
    assert ran[0] - started >= 0.3


def test_a_cancel_ends_the_delay(single: WorkPool) -> None:
    cancel = threading.Event()
    done = threading.Event()
    single.submit_later(done.set, 3_600.0, (0.0,), cancel)
    assert not done.wait(0.1)
    cancel.set()
    assert done.wait(5.0)


def test_shared_parts_are_all_worked_on_even_where_no_other_thread_is_free(single: WorkPool) -> None:
    seen: list[int] = []
    done = threading.Event()
    single.submit(in_turn(lambda: single.share(seen.append, range(500), (3.0,)), done.set))
    assert done.wait(PATIENCE)
    assert sorted(seen) == list(range(500))


def test_shared_parts_are_worked_on_in_parallel() -> None:
    pool = WorkPool(max_in_flight=8)
    with pool_at_its_limit(pool):
        meeting = threading.Barrier(4, timeout=PATIENCE)

        def meet(_part: int) -> None:
            meeting.wait()

        done = threading.Event()
        pool.submit(in_turn(lambda: pool.share(meet, range(4), (3.0,)), done.set))
        assert done.wait(PATIENCE)
    pool.close()
    assert pool.failures == ()


def test_an_error_in_a_shared_part_is_raised_by_share(single: WorkPool) -> None:
    raised: list[str] = []
    done = threading.Event()

    def work(part: int) -> None:
        if part == 3:
            raise OSError(f"part {part}")

    def job() -> None:
        try:
            single.share(work, range(10), (3.0,))
        except OSError as error:
            raised.append(str(error))
        done.set()

    single.submit(job)
    assert done.wait(PATIENCE)
    assert raised == ["part 3"]


def test_the_longest_way_to_the_end_comes_first_whatever_is_next_on_it() -> None:
    big, small, other_tree = removing(500.0), removing(20.0), (*removing(300.0), 1.0)
    assert sorted([small, other_tree, after(other_tree), big]) == [big, other_tree, after(other_tree), small]


class pool_at_its_limit:  # noqa: N801 - reads as the function it is
    """Lets the pool find that its volume bears everything."""

    def __init__(self, pool: WorkPool) -> None:
        self._pool = pool

    def __enter__(self) -> None:
        now = time.monotonic()
        for _ in range(100):
            now += 0.03
            limit = self._pool.limit
            self._pool.learn([0, 0, 0, 0, 10 * limit, 0], [0, 0, 0, 0, 0.03 * limit, 0], now)
        assert self._pool.limit == self._pool.max_in_flight

    def __exit__(self, *_error: object) -> None:
        pass


def crowd_out(pool: WorkPool) -> None:
    """Makes the limit fall to one, as a volume does that serves one operation at a time."""
    pool.set_impact(Impact.GENTLE)
    now = time.monotonic() + 10
    held = 0
    for _ in range(1_000):
        now += 0.2
        limit = pool.limit
        pool.learn([0, 0, 0, 0, 10 * limit, 0], [0, 0, 0, 0, 10 * limit * 0.02 * limit, 0], now)
        held = held + 1 if limit == 1 else 0
        if held == 10:  # longer than a comparison takes
            return
    raise AssertionError(f"the limit stays at {pool.limit}")


def test_running_jobs_step_back_when_the_limit_falls_and_come_again_one_by_one() -> None:
    pool = WorkPool(max_in_flight=4)
    stop = threading.Event()
    at_work: set[int] = set()
    finished = threading.Semaphore(0)

    def job() -> None:
        gauge = pool.gauge()
        while not stop.is_set():
            at_work.add(threading.get_ident())
            time.sleep(0.002)
            gauge.done(Kind.OTHER)
        finished.release()

    with pool_at_its_limit(pool):
        pool.submit_all([job] * 4)
        eventually(lambda: pool.in_flight == 4)
        crowd_out(pool)
        eventually(lambda: pool.in_flight == 1)
        at_work.clear()
        eventually(lambda: bool(at_work))
        time.sleep(0.05)  # the others would have shown in this time
        assert len(at_work) == 1
        stop.set()
        for _ in range(4):
            assert finished.acquire(timeout=PATIENCE)
    pool.close()


def test_the_most_urgent_job_never_steps_back() -> None:
    pool = WorkPool(max_in_flight=4)
    stop = threading.Event()
    at_work: set[float] = set()
    finished = threading.Semaphore(0)

    def job(number: float) -> None:
        gauge = pool.gauge()
        while not stop.is_set():
            at_work.add(number)
            time.sleep(0.002)
            gauge.done(Kind.OTHER)
        finished.release()

    with pool_at_its_limit(pool):
        for number in (3.0, 1.0, 4.0, 2.0):
            pool.submit(partial(job, number), (number,))
        eventually(lambda: pool.in_flight == 4)
        crowd_out(pool)
        eventually(lambda: pool.in_flight == 1)
        at_work.clear()
        eventually(lambda: bool(at_work))
        assert at_work == {1.0}
        stop.set()
        for _ in range(4):
            assert finished.acquire(timeout=PATIENCE)
    pool.close()


def test_a_cancel_ends_the_waiting_of_a_job_that_stepped_back() -> None:
    pool = WorkPool(max_in_flight=2)
    blocker = Blocker()
    cancel = threading.Event()
    left = threading.Event()
    may_step_back = threading.Event()

    def job() -> None:
        gauge = pool.gauge(cancel)
        may_step_back.wait(PATIENCE)
        gauge.done(Kind.OTHER)
        left.set()

    with pool_at_its_limit(pool):
        pool.submit(blocker, (1.0,))
        pool.submit(job, (2.0,))
        eventually(lambda: pool.in_flight == 2)
        crowd_out(pool)
        may_step_back.set()
        assert not left.wait(0.2)
        cancel.set()
        assert left.wait(5.0)
        blocker.released.set()
    pool.close()


def test_a_job_that_lets_go_gives_its_place_away(single: WorkPool, blocker: Blocker) -> None:
    done = threading.Event()

    def job() -> None:
        single.let_go()
        blocker()

    single.submit(job)
    assert blocker.started.wait(PATIENCE)
    assert single.in_flight == 0
    assert single.stalled_for == 0.0
    single.submit(done.set)
    assert done.wait(PATIENCE)


def test_the_rate_of_operations_has_a_ceiling() -> None:
    pool = WorkPool(max_ops_per_second=100)
    finished = threading.Semaphore(0)

    def job() -> None:
        gauge = pool.gauge()
        for _ in range(10):
            gauge.done(Kind.CHANGE)
        finished.release()

    started = time.monotonic()
    pool.submit_all([job] * 4)
    for _ in range(4):
        assert finished.acquire(timeout=PATIENCE)
    assert time.monotonic() - started >= 0.38
    pool.close()
    with pytest.raises(ValueError, match="must allow operations"):
        WorkPool(max_ops_per_second=0)


def test_what_brings_a_cancelled_run_to_its_end_waits_for_no_turn() -> None:
    """Nor does anybody wait for the turn of what has gone: at one operation an hour this would never end."""
    pool = WorkPool(8, max_ops_per_second=1 / 3_600)
    cancel, ended = threading.Event(), threading.Event()

    def job() -> None:
        gauge = pool.gauge(cancel)
        for _ in range(3):
            gauge.done(Kind.CHANGE)
        ended.set()

    pool.submit(job)
    while pool._next_turn < time.monotonic() + 3_600:  # it has had its first turn, and waits for the second
        time.sleep(0.001)
    cancel.set()
    assert ended.wait(PATIENCE)
    assert pool._next_turn < time.monotonic() + 3_600
    for _ in range(100):
        with pool.operation(cancel=cancel):
            pass
    pool.close()
    assert pool.operations == 103


def test_closing_runs_the_queue_dry(single: WorkPool, blocker: Blocker) -> None:
    ran: list[int] = []
    single.submit(blocker)
    assert blocker.started.wait(PATIENCE)
    for number in range(10):
        single.submit(lambda number=number: ran.append(number))  # type: ignore[misc]
    single.submit_later(lambda: ran.append(99), 3_600.0, (0.0,), threading.Event())
    blocker.released.set()
    single.close()
    assert sorted(ran) == [*range(10), 99]
    assert single.closed
    with pytest.raises(RuntimeError, match="closed"):
        single.submit(blocker)


def test_closing_does_not_wait_for_a_stuck_thread(blocker: Blocker) -> None:
    pool = WorkPool()
    pool.submit(blocker)
    assert blocker.started.wait(PATIENCE)
    started = time.monotonic()
    pool.close()
    assert time.monotonic() - started < 3.0
    blocker.released.set()


def test_the_impact_can_be_changed(pool: WorkPool) -> None:
    seen = [pool.impact]
    pool.set_impact(Impact.GENTLE)
    seen.append(pool.impact)
    assert seen == [Impact.BALANCED, Impact.GENTLE]


def test_counting_an_operation_costs_next_to_nothing(pool: WorkPool) -> None:
    """Less than the 2 µs that a local unlink would notice; the processor's time, as the machine is shared."""
    costs: list[float] = []
    done = threading.Event()

    def job() -> None:
        gauge = pool.gauge()
        for _ in range(5):
            began = time.thread_time()
            for _ in range(20_000):
                gauge.done(Kind.CHANGE)
            costs.append((time.thread_time() - began) / 20_000)
        done.set()

    pool.submit(job)
    assert done.wait(PATIENCE)
    assert min(costs) < 2e-6


def test_nothing_is_logged_for_ordinary_work(pool: WorkPool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        done = threading.Event()
        pool.submit(done.set)
        assert done.wait(PATIENCE)
    assert not caplog.records


def test_where_the_host_starts_no_more_threads_the_others_do_all_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, done, cancel = WorkPool(max_in_flight=16), threading.Semaphore(0), threading.Event()

    def parent() -> None:
        pool.submit_all([done.release] * 100)
        pool.submit_later(done.release, 0.01, (1.0,), cancel)
        pool.share(lambda _: done.release(), range(10), (1.0,))

    with no_more_threads(monkeypatch, after=2):
        pool.submit_all([parent] * 3)
        for _ in range(3 * 111):
            assert done.acquire(timeout=PATIENCE)
    pool.submit(done.release)
    assert done.acquire(timeout=PATIENCE)
    pool.close()
    assert not pool.failures


def test_where_the_host_starts_no_thread_at_all_nothing_is_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, ran = WorkPool(), []
    with no_more_threads(monkeypatch), pytest.raises(OSError, match="no more threads"):
        pool.submit(lambda: ran.append("refused"))
    later = threading.Event()
    pool.submit(later.set)
    assert later.wait(PATIENCE)
    pool.close()
    assert not ran


def test_a_cancel_ends_a_hundred_thousand_delays_at_once(single: WorkPool) -> None:
    """The pool's lock is held meanwhile: what is told of the volume waits for it."""
    cancel, done, many = threading.Event(), threading.Semaphore(0), 100_000
    for _ in range(many):
        single.submit_later(done.release, PATIENCE * 10, (1.0,), cancel)
    cancel.set()
    for _ in range(many):
        assert done.acquire(timeout=PATIENCE)
