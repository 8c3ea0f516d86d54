"""Making a plan: finds out what it needs to know about the candidates, and nothing more."""

import time
from collections.abc import Sequence

from sweeper_gui.core.plan import Order, Plan, Request, in_order, make_plan, reserves
from sweeper_gui.core.proposal import PlanFile, as_planned, check_answers
from sweeper_gui.core.row import Row
from sweeper_gui.core.verdict import Status, Verdict, judge
from sweeper_gui.engine.book import Book
from sweeper_gui.engine.scan import Scan
from sweeper_gui.sweep.evidence import FRESH
from sweeper_gui.sweep.ground import Ground

#: What a workspace may be judged and still turn out to be an orphan once it is measured.
_MAY_BE_ORPHANS = (Status.ORPHAN, Status.UNMEASURED, Status.RECENT)


def prepare(ground: Ground, book: Book, scan: Scan, request: Request) -> Plan:
    """The plan for a request, on evidence gathered now: registry, facts, attributes, and sizes where they are missing.

    For the next N by age it measures in order until it has them and a few reserves; for the largest, or for a bound
    in bytes, everything that may be an orphan must be measured first. Raises `VolumeError`.
    """
    began = time.time()
    if not book.listed:
        scan.run(sizes=False, only_new=False)
    else:
        scan.look_again(request.names or None, registry_older_than=FRESH)
    if request.explicit:
        scan.measure(_stale(ground, book, book.rows(request.names)), only_new=False)
    elif request.cap is None or request.max_bytes is not None or request.order is Order.LARGEST:
        scan.measure(_stale(ground, book, _possible(ground, book)), only_new=False)
    else:
        _measure_in_order(ground, book, scan, request.cap + reserves(request.cap))
    rows = [_judged(ground, book, row, allow_empty=request.allow_empty) for row in book.rows()]
    return make_plan([_without_old_usage(ground, row, began) for row in rows], request, ground.policy)


def prepare_proposed(ground: Ground, book: Book, scan: Scan, file: PlanFile) -> Plan:
    """What is still as a plan file says, on evidence gathered now: what may be an orphan is measured anew.

    Raises `VolumeError`, and `PlanProblem` where the registry is another one.
    """
    if not book.listed:
        scan.run(sizes=False, only_new=False)
    else:
        scan.look_again(file.names, registry_older_than=0.0)
    if book.snapshot is not None:
        check_answers(file, book.snapshot.identities)
    scan.measure([row for row in book.rows(file.names) if row.status in _MAY_BE_ORPHANS], only_new=False)
    set_aside_only = ground.settings.sweep.remove == "set-aside"
    return as_planned(file, book.rows(), ground.policy, set_aside_only=set_aside_only)


def _measure_in_order(ground: Ground, book: Book, scan: Scan, wanted: int) -> None:
    """Measures the oldest possible orphans, as many at a time as are still wanted, until there are enough.

    Each at most once: what can't be measured now would keep this going for ever.
    """
    tried: set[bytes] = set()
    while not ground.cancel.is_set():
        possible = in_order(_possible(ground, book), Order.OLDEST)
        stale = {row.name for row in _stale(ground, book, possible)}
        hopeful = [row for row in possible if row.name not in stale & tried][:wanted]
        missing = [row for row in hopeful if row.name in stale]
        if not missing:
            return
        tried |= {row.name for row in missing}
        scan.measure(missing, only_new=False)


def _possible(ground: Ground, book: Book) -> list[Row]:
    """Rows that are orphans, or would be if their size were known and fresh."""
    statuses = (Status.ORPHAN, Status.UNMEASURED)
    known = [row for row in book.rows() if row.status in statuses and not _failed_lately(ground, row)]
    return known + book.ripened()


def _failed_lately(ground: Ground, row: Row) -> bool:
    """Whether it was measured just now and could not be read completely: trying again would never end."""
    usage = row.usage
    return usage is not None and not usage.complete and _age(row) < ground.policy.max_usage_age / 2


def _stale(ground: Ground, book: Book, rows: Sequence[Row]) -> list[Row]:
    """Those whose usage is missing, incomplete, from a younger age, or too old by the time the sweep reaches them."""
    ripened = {row.name for row in book.ripened()}
    return [
        row
        for row in rows
        if row.usage is None
        or row.name in ripened
        or (not row.usage.complete and not _failed_lately(ground, row))
        or _is_old(ground, row)
    ]


def _is_old(ground: Ground, row: Row) -> bool:
    return _age(row) > ground.policy.max_usage_age / 2


def _age(row: Row) -> float:
    return time.time() - (row.usage.measured_at if row.usage else 0.0)


def _without_old_usage(ground: Ground, row: Row, began: float) -> Row:
    """An orphan that was measured long ago is measured again before it is swept, or else it is not planned."""
    if not row.verdict.orphan or row.usage is None or row.usage.measured_at >= began or not _is_old(ground, row):
        return row
    return Row(row.workspace, Verdict(Status.UNMEASURED, "measured too long ago: rescan"), None, row.session)


def _judged(ground: Ground, book: Book, row: Row, *, allow_empty: bool) -> Row:
    if not allow_empty:
        return row
    verdict = judge(row.workspace, row.usage, book.snapshot, ground.policy, ground.now(), allow_empty=True)
    return Row(row.workspace, verdict, row.usage, row.session)
