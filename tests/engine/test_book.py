"""What is known of each workspace, and how verdicts age."""

import threading
import time
from collections.abc import Iterator
from functools import partial

from msgspec.structs import replace

from sweeper_gui.core.policy import Now, Policy
from sweeper_gui.core.snapshot import RegistryIdentity, RegistryRead, Session, Snapshot, examine
from sweeper_gui.core.usage import Usage
from sweeper_gui.core.verdict import Status
from sweeper_gui.core.workspace import Identity, Kind, Workspace
from sweeper_gui.engine.book import Book

HOUR = 3_600.0
#: The epoch second at which these stories begin.
START = 1_795_507_331.0
POLICY = Policy(min_age=24 * HOUR, max_registry_age=1_000 * HOUR)


def registry(sessions: dict[str, Session], directories: frozenset[str]) -> Snapshot:
    read = RegistryRead(RegistryIdentity("file"), "a file", START, START, tuple(sessions.values()))
    return examine(Snapshot((read,)), directories)


def usage(changed: float, measured: float) -> Usage:
    return Usage(4_096, 10, 3, 1, int(changed * 1e9), int(changed * 1e9), measured_at=measured)


def identity(changed: float) -> Identity:
    return Identity(1, 2, int(changed * 1e9), int(changed * 1e9))


def book_of(*ids: str, deleted_at: float = START - 100 * HOUR) -> Book:
    """A book in which these are listed, with sessions that were deleted then; 'alive' is live."""
    book = Book()
    book.set_rules(POLICY)
    sessions = {id_: Session(id_, deleted=True, deleted_at=deleted_at) for id_ in ids} | {"alive": Session("alive")}
    workspaces = [Workspace(id_.encode(), Kind.DIRECTORY, id=id_) for id_ in sessions]
    book.list(workspaces, Now(START))
    book.judge_all(lambda: Now(START), snapshot=registry(sessions, book.ids()))
    return book


def status(book: Book, name: bytes) -> Status:
    (row,) = book.rows([name])
    return row.status


def test_what_time_alone_has_ripened_is_measured_again_before_it_is_an_orphan() -> None:
    book = book_of("a")
    changed = START - 23.5 * HOUR
    book.measured(b"a", identity(changed), 0, usage(changed, measured=START), Now(START))
    assert status(book, b"a") is Status.RECENT
    assert not book.ripened()

    later = START + 0.6 * HOUR
    book.judge_all(lambda: Now(later))
    assert status(book, b"a") is Status.RECENT
    assert [row.name for row in book.ripened()] == [b"a"]
    assert "measured again" in book.rows([b"a"])[0].verdict.reason

    book.measured(b"a", identity(changed), 0, usage(changed, measured=later), Now(later))
    assert status(book, b"a") is Status.ORPHAN
    assert not book.ripened()


def test_a_deletion_that_has_grown_old_enough_is_no_reason_to_trust_an_older_measure() -> None:
    book = book_of("a", deleted_at=START - 23.5 * HOUR)
    changed = START - 90 * HOUR
    book.measured(b"a", identity(changed), 0, usage(changed, measured=START), Now(START))
    book.judge_all(lambda: Now(START + 0.6 * HOUR))
    assert (status(book, b"a"), len(book.ripened())) == (Status.RECENT, 1)


def test_what_was_old_when_it_was_measured_is_an_orphan_and_stays_one() -> None:
    book = book_of("a")
    changed = START - 90 * HOUR
    book.measured(b"a", identity(changed), 0, usage(changed, measured=START), Now(START))
    assert status(book, b"a") is Status.ORPHAN
    book.judge_all(lambda: Now(START + 0.6 * HOUR))
    assert (status(book, b"a"), book.ripened()) == (Status.ORPHAN, [])


def test_what_has_gone_or_lives_again_is_not_to_be_measured_again() -> None:
    book = book_of("a", "b")
    changed = START - 23.5 * HOUR
    later = START + 0.6 * HOUR
    for name in (b"a", b"b"):
        book.measured(name, identity(changed), 0, usage(changed, measured=START), Now(START))
    book.judge_all(lambda: Now(later))
    assert len(book.ripened()) == 2
    book.remove([b"a"])
    sessions = {"b": Session("b"), "alive": Session("alive")}
    book.judge_all(lambda: Now(later), snapshot=registry(sessions, book.ids()))
    assert (status(book, b"b"), book.ripened()) == (Status.LIVE, [])


def test_what_is_measured_during_a_long_pass_is_not_judged_by_the_clock_of_its_start() -> None:
    """The pass takes an hour; what was measured in its midst must not look measured in the future."""
    book = book_of("first", "a")
    changed = START - 90 * HOUR
    book.measured(b"a", identity(changed), 0, usage(changed, measured=START + 0.5 * HOUR), Now(START + 0.5 * HOUR))
    ticks: Iterator[float] = iter([START, START + HOUR, START + HOUR])
    book.judge_all(lambda: Now(next(ticks)))
    assert status(book, b"a") is Status.ORPHAN


def test_a_pass_over_many_rows_holds_up_no_poll() -> None:
    book = book_of(*(f"w{number}" for number in range(10_000)))
    changed = START - 90 * HOUR
    for row in book.rows():
        book.measured(row.name, identity(changed), 0, usage(changed, measured=START), Now(START))
    while book.take_changes(1_000)[2]:
        pass

    def judge_all() -> None:
        for minutes in range(4):
            book.judge_all(partial(Now, START + minutes * 60))

    passes = threading.Thread(target=judge_all)
    passes.start()
    waits = []
    while passes.is_alive():
        began = time.perf_counter()
        book.take_changes(1_000)
        waits.append(time.perf_counter() - began)
        time.sleep(0.01)
    passes.join()
    assert len(waits) > 3
    assert sorted(waits)[len(waits) // 2] < 0.1
    assert max(waits) < 0.5


def test_rows_changed_by_others_during_a_pass_keep_what_they_were_told() -> None:
    """A measure that comes between the judging of a row and its storing is not lost."""
    book = book_of("a")
    changed = START - 90 * HOUR
    measured = usage(changed, measured=START)

    def clock() -> Now:
        if book.rows([b"a"])[0].usage is None:
            book.measured(b"a", identity(changed), 0, replace(measured, entries=4), Now(START))
        return Now(START)

    book.judge_all(clock)
    (row,) = book.rows([b"a"])
    assert row.usage is not None
    assert row.usage.entries == 4
