"""A report in words: for its window, for the clipboard and for CSV."""

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime

from sweeper_gui.core.names import csv_cell, visible
from sweeper_gui.core.outcome import Ending, Outcome, Report, Result
from sweeper_gui.core.row import Row
from sweeper_gui.core.units import age_text, count_text, size_text
from sweeper_gui.ui.columns import RESULT_WORDS
from sweeper_gui.ui.plain_text import shown


def headline(report: Report, doing: str) -> str:
    """How it went: 'Swept 9 of 10', 'Sweep cancelled', 'Sweep stopped'."""
    if report.dry_run:
        return f"{doing}: dry run, nothing was changed"
    words = {Ending.DONE: "done", Ending.CANCELLED: "cancelled", Ending.STOPPED: "stopped"}[report.ending]
    # That a cancelled one is half done is no problem of its own: `whereabouts` tells of it.
    expected = Result.PARTLY_REMOVED if report.ending is Ending.CANCELLED else None
    bad = sum(outcome.bad and outcome.result is not expected for outcome in report.outcomes)
    return f"{doing} {words}" + (f", {count_text(bad)} with problems" if bad else "")


def counts(report: Report) -> str:
    """One phrase per kind of outcome, in the order of gravity."""
    parts = []
    for result in Result:
        number = report.count(result)
        if number:
            parts.append(f"{count_text(number)} {RESULT_WORDS[result].lower()}")
    if report.untouched:
        parts.append(f"{count_text(len(report.untouched))} untouched")
    return ", ".join(parts) or "nothing was done"


def totals(report: Report) -> str:
    """What was freed, how long it took, what remains."""
    parts = []
    if not report.dry_run:
        parts.append(f"{size_text(report.bytes_freed)} freed")
    parts.append(f"in {age_text(report.seconds)}")
    number = report.remaining_orphans
    parts.append(f"{count_text(number)} orphan{'' if number == 1 else 's'} remain{'s' if number == 1 else ''}")
    return " · ".join(parts)


def whereabouts(report: Report) -> str:
    """After a run that did not get to its end: what is done, half done and untouched."""
    half = report.count(Result.PARTLY_REMOVED)
    if report.ending is Ending.DONE and not half:
        return ""
    done = sum(outcome.done for outcome in report.outcomes)
    words = [f"Done: {count_text(done)}."]
    if half:
        words.append(f"Half done: {count_text(half)}, to be finished with 'Resume' in the trash.")
    words.append(f"Untouched: {count_text(len(report.untouched))}.")
    return " ".join(words)


def outcome_reason(outcome: Outcome) -> str:
    """The reason with the first errors."""
    errors = list(outcome.errors)
    more = outcome.error_count - len(errors)
    if errors and more > 0:
        errors.append(f"and {count_text(more)} more")
    return shown("; ".join(part for part in (outcome.reason, *errors) if part))


def report_text(report: Report, doing: str) -> str:
    """The whole report as plain text."""
    lines = [headline(report, doing), counts(report), totals(report)]
    lines += [line for line in (shown(report.problem), whereabouts(report)) if line]
    lines.append("")
    for outcome in report.outcomes:
        reason = outcome_reason(outcome)
        freed = size_text(outcome.bytes_freed)
        lines.append(f"{outcome.result.value}\t{visible(outcome.name)}\t{freed}" + (f"\t{reason}" if reason else ""))
    lines += [f"untouched\t{visible(name)}" for name in report.untouched]
    return "\n".join(lines) + "\n"


def report_csv(report: Report) -> str:
    """The outcomes as CSV, safe to open in a spreadsheet program."""
    cells = [
        (visible(o.name), o.result.value, o.bytes_freed, o.entries_removed, outcome_reason(o)) for o in report.outcomes
    ]
    cells += [(visible(name), "untouched", 0, 0, "") for name in report.untouched]
    return _csv(("name", "outcome", "bytes_freed", "entries_removed", "reason"), cells)


def listing_csv(rows: Iterable[Row], root: str) -> str:
    """The rows as CSV, safe to open in a spreadsheet program. Sizes are bytes, times ISO 8601 in UTC."""
    return _csv(
        (
            "name",
            "path",
            "status",
            "doubts",
            "size_bytes",
            "apparent_bytes",
            "entries",
            "complete",
            "newest_change",
            "owner",
            "title",
            "reason",
        ),
        (_listed(row, root) for row in rows),
    )


def _listed(row: Row, root: str) -> tuple[object, ...]:
    usage, session = row.usage, row.session
    change = row.last_change_ns
    return (
        row.label,
        f"{shown(root.rstrip('/'))}/{row.label}",
        row.status.value,
        " ".join(doubt.value for doubt in row.verdict.doubts),
        usage.allocated if usage else "",
        usage.apparent if usage else "",
        usage.entries if usage else "",
        ("yes" if usage.complete else "no") if usage else "",
        datetime.fromtimestamp(change / 1e9, UTC).isoformat(timespec="seconds") if change is not None else "",
        shown(session.owner) if session and session.owner else "",
        shown(session.title) if session and session.title else "",
        shown(row.verdict.reason),
    )


def _csv(titles: tuple[str, ...], lines: Iterable[tuple[object, ...]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(titles)
    for line in lines:
        writer.writerow([csv_cell(cell) if isinstance(cell, str) else cell for cell in line])
    return text.getvalue()
