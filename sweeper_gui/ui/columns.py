"""The columns of the table of workspaces, each described once: title, text, value to sort by, alignment, tool tip."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from PySide6.QtCore import Qt

from sweeper_gui.core.outcome import Result
from sweeper_gui.core.row import Row
from sweeper_gui.core.units import age_text, count_text, size_text
from sweeper_gui.core.verdict import Doubt, Status
from sweeper_gui.ui.entry import Entry, SortKey
from sweeper_gui.ui.plain_text import shown

#: What is not known.
DASH = "—"

#: The order in which statuses matter to someone who cleans up; chips, bar and sorting follow it.
STATUS_ORDER = (
    Status.ORPHAN,
    Status.LIVE,
    Status.RECENT,
    Status.IN_USE,
    Status.UNMEASURED,
    Status.UNKNOWN,
    Status.PROTECTED,
    Status.FOREIGN,
)

STATUS_WORDS = {
    Status.ORPHAN: "Orphan",
    Status.LIVE: "Live",
    Status.RECENT: "Recent",
    Status.IN_USE: "In use",
    Status.UNMEASURED: "Unmeasured",
    Status.UNKNOWN: "Unknown",
    Status.PROTECTED: "Protected",
    Status.FOREIGN: "Foreign",
}

STATUS_MEANINGS = {
    Status.ORPHAN: "No live session, old enough, measured: may be swept.",
    Status.LIVE: "Its session is live: never swept.",
    Status.RECENT: "Changed or deleted a short while ago: not swept yet.",
    Status.IN_USE: "A process on this host uses it: not swept.",
    Status.UNMEASURED: "Not measured completely, or too long ago: not swept.",
    Status.UNKNOWN: "The registry can't be trusted about it: not swept.",
    Status.PROTECTED: "Protected by a pattern, a pin, a mount or the tool's own needs: never swept.",
    Status.FOREIGN: "No workspace: a file, a link, a hidden or differently named directory. Never swept.",
}

DOUBT_WORDS = {Doubt.UNEXPLAINED: "unexplained", Doubt.UNSAVED_WORK: "unsaved work"}

RESULT_WORDS = {
    Result.REMOVED: "Removed",
    Result.SET_ASIDE: "Set aside",
    Result.RESTORED: "Put back",
    Result.CONFLICT: "Conflict",
    Result.SKIPPED: "Skipped",
    Result.FAILED: "Failed",
    Result.PARTLY_REMOVED: "Partly removed",
}

STEP_WORDS = {
    "waiting": "Waiting",
    "set-aside": "Setting aside",
    "checking": "Checking",
    "removing": "Removing",
    "done": "Done",
}


class Cell(NamedTuple):
    """What a cell's text is made from: its line, the time of day in epoch seconds, whether a scan measures now."""

    entry: Entry
    now: float
    measuring: bool = False


@dataclass(frozen=True)
class Column:
    """One column. `sort_key` gives a native value, None where nothing is known: that sorts last in both directions."""

    key: str
    title: str
    tip: str
    text: Callable[[Cell], str]
    sort_key: Callable[[Entry], SortKey]
    tool_tip: Callable[[Cell], str]
    width: int
    right: bool = False
    #: a text that must fit in any font, where `width` pixels may not do
    widest: str = ""
    #: a sign stands before the text
    signed: bool = False

    @cached_property
    def alignment(self) -> Qt.AlignmentFlag:
        """How the text stands in its cell."""
        side = Qt.AlignmentFlag.AlignRight if self.right else Qt.AlignmentFlag.AlignLeft
        return side | Qt.AlignmentFlag.AlignVCenter


def size_words(row: Row) -> str:
    """'1.5 GB', '≥ 1.5 GB' where something could not be read, a dash where nothing is known."""
    if row.usage is None:
        return DASH
    return size_text(row.usage.allocated) if row.usage.complete else f"≥ {size_text(row.usage.allocated)}"


def moment_words(seconds: float) -> str:
    """A moment in the local time zone, to the minute."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M %Z")


def status_words(entry: Entry) -> str:
    """The status with its doubts; once swept, the outcome; while it is swept, the step."""
    if entry.outcome is not None:
        return RESULT_WORDS[entry.outcome.result]
    if entry.progress is not None:
        return STEP_WORDS[entry.progress.step]
    words = STATUS_WORDS[entry.row.status]
    doubts = ", ".join(DOUBT_WORDS[doubt] for doubt in entry.row.verdict.doubts)
    return f"{words} · {doubts}" if doubts else words


def reason_words(entry: Entry) -> str:
    """Why it has this status, or this outcome."""
    if entry.outcome is not None and entry.outcome.reason:
        return shown(entry.outcome.reason)
    return shown(entry.row.verdict.reason)


def _nothing(_cell: Cell) -> str:
    return ""


def _size_tip(cell: Cell) -> str:
    usage = cell.entry.row.usage
    if usage is None:
        return "measuring…" if cell.measuring else "not measured"
    lines = [
        f"{usage.allocated:,} bytes on disk",
        f"{usage.apparent:,} bytes in its files",
        f"measured {age_text(cell.now - usage.measured_at)} ago",
    ]
    if not usage.complete:
        lines.insert(0, f"At least: {count_text(usage.error_count)} entries could not be read")
        lines += [shown(error) for error in usage.errors]
    return "\n".join(lines)


def _size_text(cell: Cell) -> str:
    if cell.measuring and cell.entry.row.usage is None and cell.entry.row.status is not Status.FOREIGN:
        return "measuring…"
    return size_words(cell.entry.row)


def _entries_tip(cell: Cell) -> str:
    usage = cell.entry.row.usage
    return f"{count_text(usage.directories)} of them directories" if usage else ""


def _change_text(cell: Cell) -> str:
    change = cell.entry.row.last_change_ns
    if change is None:
        return DASH
    about = "" if cell.entry.row.usage else "~ "
    age = cell.now - change / 1e9
    return f"{about}{age_text(age)} ago" if age >= 0 else "in the future"


def _change_tip(cell: Cell) -> str:
    change = cell.entry.row.last_change_ns
    if change is None:
        return ""
    words = moment_words(change / 1e9)
    return words if cell.entry.row.usage else f"{words}, the directory's own time: what is below is not measured yet"


def _title(entry: Entry) -> str:
    session = entry.row.session
    return shown(session.title) if session and session.title else ""


def _owner(entry: Entry) -> str:
    session = entry.row.session
    return shown(session.owner) if session and session.owner else ""


def _folded(text: str) -> str | None:
    return text.casefold() or None


def _status_tip(cell: Cell) -> str:
    if cell.entry.outcome is not None:
        errors = "\n".join(shown(error) for error in cell.entry.outcome.errors)
        return "\n".join(part for part in (status_words(cell.entry), reason_words(cell.entry), errors) if part)
    return f"{status_words(cell.entry)}: {STATUS_MEANINGS[cell.entry.row.status]}\n{reason_words(cell.entry)}"


def _allocated(entry: Entry) -> int | None:
    return entry.row.usage.allocated if entry.row.usage else None


def _entries(entry: Entry) -> int | None:
    return entry.row.usage.entries if entry.row.usage else None


def _age_key(entry: Entry) -> int | None:
    # Ascending is 'the most recent first', as the text says it: 2 days ago, 3 days ago, …
    change = entry.row.last_change_ns
    return None if change is None else -change


def _checked_key(entry: Entry) -> int:
    return 0 if entry.checked else 1 if entry.row.verdict.orphan else 2


COLUMNS = (
    Column(
        "check",
        "",
        "Selected for the sweep (Space)",
        _nothing,
        _checked_key,
        lambda cell: "" if cell.entry.row.verdict.orphan else "Only orphans can be selected",
        34,
    ),
    Column(
        "workspace",
        "Workspace",
        "Its path below the root",
        lambda cell: cell.entry.row.label,
        lambda entry: entry.row.name.decode("utf-8", "surrogateescape"),
        lambda cell: cell.entry.row.label,
        200,
    ),
    Column(
        "status",
        "Status",
        "What Sweeper judges it to be; only orphans can be swept",
        lambda cell: status_words(cell.entry),
        lambda entry: STATUS_ORDER.index(entry.row.status) * 10 + len(entry.row.verdict.doubts),
        _status_tip,
        186,
        widest="Orphan · unexplained, unsaved work",
        signed=True,
    ),
    Column(
        "size",
        "Size",
        "Allocated on disk, hard links counted once",
        _size_text,
        _allocated,
        _size_tip,
        94,
        True,
        "measuring…",
    ),
    Column(
        "entries",
        "Entries",
        "Files and directories in it",
        lambda cell: count_text(cell.entry.row.usage.entries) if cell.entry.row.usage else DASH,
        _entries,
        _entries_tip,
        78,
        True,
    ),
    Column(
        "change",
        "Last change",
        "The newest change anywhere in it",
        _change_text,
        _age_key,
        _change_tip,
        108,
        True,
        "~ 59 minutes ago",
    ),
    Column(
        "owner",
        "Owner",
        "The session's owner, from the registry",
        lambda cell: _owner(cell.entry),
        lambda entry: _folded(_owner(entry)),
        lambda cell: _owner(cell.entry),
        84,
    ),
    Column(
        "title",
        "Title",
        "The session's title, from the registry",
        lambda cell: _title(cell.entry),
        lambda entry: _folded(_title(entry)),
        lambda cell: _title(cell.entry),
        130,
    ),
    Column(
        "reason",
        "Reason",
        "Why it has this status",
        lambda cell: reason_words(cell.entry),
        lambda entry: _folded(reason_words(entry)),
        lambda cell: reason_words(cell.entry),
        200,
    ),
)

COLUMN_OF = {column.key: number for number, column in enumerate(COLUMNS)}
