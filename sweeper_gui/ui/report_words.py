"""A report in words: for its window, for the clipboard and for CSV."""

import csv
import io
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime

from sweeper_gui.core.names import csv_cell, visible
from sweeper_gui.core.outcome import Ending, Outcome, Report, Result
from sweeper_gui.core.row import Row
from sweeper_gui.core.units import age_text, count_text, size_text
from sweeper_gui.ui.columns import RESULT_WORDS
from sweeper_gui.ui.plain_text import shown

#: How the engine begins the reason of what a dry run would have done.
_WOULD = {
    Result.REMOVED: "dry run: would be removed",
    Result.SET_ASIDE: "dry run: would be set aside",
}
_VERBS = {Result.REMOVED: "remove", Result.SET_ASIDE: "set aside"}


def headline(report: Report, doing: str) -> str:
    """How it went: 'Sweep done', 'Sweep cancelled', 'Dry run: would remove 7, would set aside 3'."""
    if report.dry_run:
        return f"Dry run: {_would_words(report)}"
    words = {Ending.DONE: "done", Ending.CANCELLED: "cancelled", Ending.STOPPED: "stopped"}[report.ending]
    # That a cancelled one is half done is no problem of its own: `whereabouts` tells of it.
    expected = Result.PARTLY_REMOVED if report.ending is Ending.CANCELLED else None
    bad = sum(outcome.bad and outcome.result is not expected for outcome in report.outcomes)
    return f"{doing} {words}" + (f", {count_text(bad)} with problems" if bad else "")


def counts(report: Report) -> str:
    """One phrase per kind of outcome, in the order of gravity."""
    parts = ["nothing was changed"] if report.dry_run else []
    for result in Result:
        number = sum(outcome.result is result and not would_be(outcome, report) for outcome in report.outcomes)
        if number:
            parts.append(f"{count_text(number)} {RESULT_WORDS[result].lower()}")
    if report.untouched:
        parts.append(f"{count_text(len(report.untouched))} untouched")
    return ", ".join(parts) or "nothing was done"


def totals(report: Report, doing: str) -> str:
    """What was freed, how long it took, what remains; of what is no sweep, only how long it took."""
    parts = []
    sweep = doing == "Sweep"
    if sweep and report.bytes_freed:
        parts.append(f"{size_text(report.bytes_freed)} freed")
    parts.append(f"in {age_text(report.seconds)}")
    number = report.remaining_orphans
    if sweep:
        parts.append(f"{count_text(number)} orphan{'' if number == 1 else 's'} remain{'s' if number == 1 else ''}")
    return " · ".join(parts)


def would_be(outcome: Outcome, report: Report) -> Result | None:
    """What would have become of it, where a dry run only tried; None where it was not tried, or would be skipped."""
    if not report.dry_run:
        return None
    if outcome.done:
        return outcome.result
    return next((result for result, words in _WOULD.items() if outcome.reason.startswith(words)), None)


def outcome_words(outcome: Outcome, report: Report) -> str:
    """'Removed'; 'Would be removed' after a dry run."""
    would = would_be(outcome, report)
    return f"Would be {RESULT_WORDS[would].lower()}" if would else RESULT_WORDS[outcome.result]


def _outcome_key(outcome: Outcome, report: Report) -> str:
    would = would_be(outcome, report)
    return f"would be {would.value}" if would else outcome.result.value


def _would_words(report: Report) -> str:
    would = Counter(would_be(outcome, report) for outcome in report.outcomes)
    parts = [f"would {_VERBS[result]} {count_text(would[result])}" for result in _WOULD if would[result]]
    words = ", ".join(parts) or "nothing would be swept"
    return f"{words} (cancelled)" if report.ending is Ending.CANCELLED else words


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
    lines = [headline(report, doing), counts(report), totals(report, doing)]
    lines += [line for line in (shown(report.problem), whereabouts(report), *map(shown, report.notes)) if line]
    lines.append("")
    for outcome in report.outcomes:
        reason = outcome_reason(outcome)
        freed = size_text(outcome.bytes_freed)
        lines.append(
            f"{outcome_words(outcome, report).lower()}\t{visible(outcome.name)}\t{freed}"
            + (f"\t{reason}" if reason else "")
        )
    lines += [f"untouched\t{visible(name)}" for name in report.untouched]
    return "\n".join(lines) + "\n"


def report_csv(report: Report) -> str:
    """The outcomes as CSV, safe to open in a spreadsheet program."""
    cells = [
        (visible(o.name), _outcome_key(o, report), o.bytes_freed, o.entries_removed, outcome_reason(o))
        for o in report.outcomes
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
