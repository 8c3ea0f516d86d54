"""Making a plan: finds out what it needs to know about the candidates, and nothing more."""

import time
from collections.abc import Sequence

from sweeper_gui.core.plan import Order, Plan, Request, in_order, make_plan, reserves
from sweeper_gui.core.row import Row
from sweeper_gui.core.verdict import Status, judge
from sweeper_gui.engine.book import Book
from sweeper_gui.engine.scan import Scan
from sweeper_gui.sweep.evidence import FRESH
from sweeper_gui.sweep.ground import Ground


def prepare(ground: Ground, book: Book, scan: Scan, request: Request) -> Plan:
    """The plan for a request, on evidence gathered now: registry, facts, attributes, and sizes where they are missing.

    For the next N by age it measures in order until it has them and a few reserves; for the largest, or for a bound
    in bytes, everything that may be an orphan must be measured first. Raises `VolumeError`.
    """
    if not book.listed:
        scan.run(sizes=False, only_new=False)
    else:
        scan.look_again(request.names or None, registry_older_than=FRESH)
    if request.explicit:
        scan.measure(_stale(ground, book.rows(request.names)), only_new=False)
    elif request.cap is None or request.max_bytes is not None or request.order is Order.LARGEST:
        scan.measure(_stale(ground, _possible(ground, book)), only_new=False)
    else:
        _measure_in_order(ground, book, scan, request.cap + reserves(request.cap))
    rows = [_judged(ground, book, row, allow_empty=request.allow_empty) for row in book.rows()]
    return make_plan(rows, request, ground.policy)


def _measure_in_order(ground: Ground, book: Book, scan: Scan, wanted: int) -> None:
    """Measures the oldest possible orphans, as many at a time as are still wanted, until there are enough."""
    while not ground.cancel.is_set():
        possible = in_order(_possible(ground, book), Order.OLDEST)
        stale = {row.name for row in _stale(ground, possible)}
        found = 0
        missing: list[Row] = []
        for row in possible:
            if row.name in stale:
                missing.append(row)
            else:
                found += 1
            if found + len(missing) >= wanted:
                break
        if not missing:
            return
        scan.measure(missing, only_new=False)


def _possible(ground: Ground, book: Book) -> list[Row]:
    """Rows that are orphans, or would be if their size were known and fresh."""
    statuses = (Status.ORPHAN, Status.UNMEASURED)
    return [row for row in book.rows() if row.status in statuses and not _failed_lately(ground, row)]


def _failed_lately(ground: Ground, row: Row) -> bool:
    """Whether it was measured just now and could not be read completely: trying again would never end."""
    usage = row.usage
    return usage is not None and not usage.complete and _age(row) < ground.policy.max_usage_age / 2


def _stale(ground: Ground, rows: Sequence[Row]) -> list[Row]:
    """Those whose usage is missing, incomplete, or would be too old by the time the sweep reaches them."""
    return [
        row
        for row in rows
        if row.usage is None
        or (not row.usage.complete and not _failed_lately(ground, row))
        or _age(row) > ground.policy.max_usage_age / 2
    ]


def _age(row: Row) -> float:
    return time.time() - (row.usage.measured_at if row.usage else 0.0)


def _judged(ground: Ground, book: Book, row: Row, *, allow_empty: bool) -> Row:
    if not allow_empty:
        return row
    verdict = judge(row.workspace, row.usage, book.snapshot, ground.policy, ground.now(), allow_empty=True)
    return Row(row.workspace, verdict, row.usage, row.session)
