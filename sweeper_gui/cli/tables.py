"""The results as people read them in a terminal."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from sweeper_gui.cli.compare import Compared
from sweeper_gui.cli.documents import time_text
from sweeper_gui.cli.named_table import NamedTable
from sweeper_gui.cli.output import plain, table
from sweeper_gui.core.audit import PastSweep, PastWorkspace, Proposal
from sweeper_gui.core.names import visible
from sweeper_gui.core.outcome import Ending, Outcome, Report, Result, TrashItem
from sweeper_gui.core.plan import Candidate, Order, Plan, in_order
from sweeper_gui.core.policy import Treatment
from sweeper_gui.core.row import Row
from sweeper_gui.core.units import age_text, count_text, counted, size_text
from sweeper_gui.core.usage import Usage
from sweeper_gui.core.verdict import Status
from sweeper_gui.engine.messages import Check, RegistryState, Trash, VolumeState

_STATUS_STYLES = {
    Status.FOREIGN: "dim",
    Status.PROTECTED: "blue",
    Status.UNKNOWN: "magenta",
    Status.LIVE: "green",
    Status.IN_USE: "green",
    Status.UNMEASURED: "magenta",
    Status.RECENT: "cyan",
    Status.ORPHAN: "yellow",
}
_RESULT_STYLES = {
    Result.REMOVED: "green",
    Result.SET_ASIDE: "green",
    Result.RESTORED: "cyan",
    Result.SKIPPED: "cyan",
    Result.CONFLICT: "red",
    Result.FAILED: "red",
    Result.PARTLY_REMOVED: "red",
}
_CHECK_STYLES = {"ok": "green", "warning": "yellow", "error": "red"}


# --- the listing ----------------------------------------------------------------------------------------------------


def in_listing_order(rows: Iterable[Row]) -> list[Row]:
    """By status, the orphans last and so nearest to the prompt, the oldest first within each."""
    by_status: dict[Status, list[Row]] = {status: [] for status in Status}
    for row in rows:
        by_status[row.status].append(row)
    return [row for group in by_status.values() for row in in_order(group, Order.OLDEST)]


def listing(rows: Sequence[Row], now: float) -> NamedTable:
    """The workspaces."""
    numbers = ("SIZE", "ENTRIES", "CHANGED")
    made = NamedTable("STATUS", *numbers, "OWNER", right=numbers, wide_only=("ENTRIES", "OWNER"))
    for row in rows:
        made.add(
            visible(row.name),
            row.verdict.reason,
            Text(row.status, style=_STATUS_STYLES[row.status]),
            size(row.usage),
            count_text(row.usage.entries) if row.usage else "",
            _changed(row, now),
            plain((row.session.owner if row.session else None) or ""),
        )
    return made


def totals(rows: Sequence[Row]) -> RenderableType:
    """How many workspaces and bytes have each status."""
    made = table("STATUS", "COUNT", "SIZE", "", right=("COUNT", "SIZE"))
    for status in Status:
        group = [row for row in rows if row.status is status]
        if group:
            doubtful = sum(bool(row.verdict.doubts) for row in group)
            remark = f"{count_text(doubtful)} of them with doubts" if doubtful else ""
            made.add_row(Text(status, style=_STATUS_STYLES[status]), count_text(len(group)), _total(group), remark)
    return made


def volume_line(volume: VolumeState) -> Text:
    """Which volume this is."""
    parts = [visible(volume.root)]
    if volume.fs_type:
        parts.append(f"{volume.fs_type} {volume.source}".strip())
    if volume.free is not None and volume.total is not None:
        parts.append(f"{size_text(volume.free)} of {size_text(volume.total)} free")
    return plain(" · ".join(parts), style="bold")


def registry_line(registry: RegistryState, now: float) -> Text:
    """How the registry matches the volume, both ways; nothing of the kind where it could not be read."""
    if any(source.error for source in registry.sources):
        return plain("The registry could not be read: nothing is known of any session")
    line = (
        f"{count_text(registry.matched_live)} of {counted(registry.directories, 'directory', 'directories')} "
        f"{'has' if registry.matched_live == 1 else 'have'} a live session, {count_text(registry.matched_deleted)} "
        f"a deleted one, {count_text(registry.unmatched_directories)} none; "
        f"{counted(registry.sessions_without_directory, 'session has', 'sessions have')} no directory"
    )
    if registry.read_at is not None:
        line += f"; read {age_text(now - registry.read_at)} ago"
    return plain(line)


def comparison(compared: Sequence[Compared]) -> NamedTable:
    """What Sweeper would do with each name of the list, and why."""
    made = NamedTable("VERDICT", "STATUS")
    for one in compared:
        style = "green" if one.verdict == "keep" else "yellow"
        reason = one.reason + _doubts(one.doubts)
        made.add(visible(one.name), reason, Text(one.verdict, style=style), plain(one.status))
    return made


# --- a plan and its end ---------------------------------------------------------------------------------------------


def plan_parts(plan: Plan, now: float) -> list[RenderableType]:
    """Everything that a confirmation confirms: each candidate, the reserves, and the names that were refused."""
    chosen = plan.chosen
    names = {candidate.name for candidate in chosen}
    others = [candidate for candidate in plan.candidates if candidate.name not in names]
    parts: list[RenderableType] = []
    if chosen:
        parts.append(_candidates(chosen, now))
    if others:
        parts += [Text("\nReserves, taken only where one above is skipped:"), _candidates(others, now)]
    if plan.refused:
        parts += [Text("\nNot swept:"), _refused(plan)]
    return parts


def proposal_line(proposal: Proposal, now: float) -> Text:
    """Whose plan it is."""
    ticket = f", ticket {proposal.ticket}" if proposal.ticket else ""
    at = f"{time_text(proposal.at)} ({age_text(now - proposal.at)} ago)"
    return plain(f"Proposed by {proposal} at {at}{ticket}", style="bold")


def plan_question(plan: Plan) -> str:
    """The question over a plan, with what it would take."""
    chosen = plan.chosen
    removed = [candidate for candidate in chosen if candidate.treatment is Treatment.REMOVE]
    aside = [candidate for candidate in chosen if candidate.treatment is Treatment.SET_ASIDE]
    acts = []
    if removed:
        acts.append(f"Remove {counted(len(removed), 'workspace')} ({_candidate_bytes(removed)}) for good")
    if aside:
        verb = "set aside" if acts else "Set aside"
        acts.append(f"{verb} {counted(len(aside), 'workspace')} ({_candidate_bytes(aside)})")
    return " and ".join(acts) + "?"


def report_parts(report: Report, *, all_measured: bool = True) -> list[RenderableType]:
    """One line per outcome, what was not touched, and the sum.

    Where not all has been measured, the orphans that remain are an upper bound.
    """
    parts: list[RenderableType] = []
    if report.outcomes:
        parts.append(_outcomes(report.outcomes))
    if report.untouched:
        parts.append(Text("\nUntouched:"))
        parts += [Text(f"  {visible(name)}") for name in report.untouched]
    parts.append(_sum(report, all_measured=all_measured))
    return parts


def _outcomes(outcomes: Sequence[Outcome]) -> NamedTable:
    made = NamedTable("OUTCOME", "ENTRIES", "FREED", right=("ENTRIES", "FREED"))
    for outcome in outcomes:
        made.add(
            visible(outcome.name),
            _outcome_reason(outcome),
            Text(outcome.result, style=_RESULT_STYLES[outcome.result]),
            count_text(outcome.entries_removed) if outcome.entries_removed else "",
            size_text(outcome.bytes_freed) if outcome.bytes_freed else "",
        )
    return made


def _outcome_reason(outcome: Outcome) -> str:
    new = [error for error in outcome.errors if error != outcome.reason]
    more = outcome.error_count - len(outcome.errors)
    left = counted(more, "more error") if more > 0 else ""
    return "; ".join(part for part in (outcome.reason, *new, left) if part)


def _sum(report: Report, *, all_measured: bool) -> Text:
    counts = [f"{count_text(report.count(result))} {result}" for result in Result if report.count(result)]
    start = {Ending.DONE: "", Ending.CANCELLED: "Cancelled: ", Ending.STOPPED: "Stopped: "}[report.ending]
    if report.dry_run:
        start = "Dry run, nothing was changed: "
    line = start + (", ".join(counts) or "nothing done")
    line += f"; {size_text(report.bytes_freed)} freed" if report.bytes_freed else ""
    line += f" in {_seconds(report.seconds)}"
    if report.untouched:
        line += f"; {count_text(len(report.untouched))} untouched"
    if report.remaining_orphans:
        remain = "orphan remains" if report.remaining_orphans == 1 else "orphans remain"
        line += f"; {'' if all_measured else 'up to '}{count_text(report.remaining_orphans)} {remain}"
    return plain(line, style="bold")


def _candidates(candidates: Sequence[Candidate], now: float) -> NamedTable:
    made = NamedTable("ACTION", "SIZE", "CHANGED", right=("SIZE", "CHANGED"))
    for candidate in candidates:
        changed = age_text(now - candidate.usage.newest_change_ns / 1e9)
        title = f" · {candidate.title}" if candidate.title else ""
        reason = candidate.verdict.reason + _doubts(candidate.verdict.doubts) + title
        made.add(visible(candidate.name), reason, candidate.treatment, size(candidate.usage), changed)
    return made


def _refused(plan: Plan) -> NamedTable:
    made = NamedTable()
    for refused in plan.refused:
        made.add(visible(refused.name), refused.reason)
    return made


# --- trash, history, diagnosis --------------------------------------------------------------------------------------


def trash_parts(trash: Trash, now: float) -> list[RenderableType]:
    """What is set aside or unfinished."""
    if not trash.items:
        return [plain(f"Nothing is set aside in {trash.path or 'the control directory'}.")]
    made = NamedTable("STATE", "SIZE", "SET ASIDE", "EXPIRES", right=("SIZE",))
    for item in trash.items:
        made.add(
            visible(item.name),
            _trash_reason(item),
            _trash_state(item),
            size_text(item.allocated),
            f"{age_text(now - item.set_aside_at)} ago",
            _expiry(item, now),
        )
    total = sum(item.allocated for item in trash.items)
    line = f"{counted(len(trash.items), 'workspace')}, {size_text(total)}, in {trash.path}"
    return [made, plain(line, style="bold")]


def _trash_state(item: TrashItem) -> Text:
    if item.problem:
        return Text("broken", style="red")
    return Text(f"{item.state}, unfinished" if item.unfinished else item.state)


def _trash_reason(item: TrashItem) -> str:
    by = f"by {item.by}" if item.by else ""
    parts = (item.problem, item.reason + _doubts(item.doubts), by, f"sweep {item.sweep_id}")
    return "; ".join(part for part in parts if part)


def _expiry(item: TrashItem, now: float) -> str:
    left = item.expires_at - now
    return f"in {age_text(left)}" if left > 0 else "expired"


def history_parts(sweeps: Iterable[PastSweep]) -> list[RenderableType]:
    """Past sweeps, one line each."""
    made = NamedTable("STARTED", "KIND", "ENDING", "FREED", right=("FREED",), names="SWEEP", reasons="WHAT")
    empty = True
    for sweep in sweeps:
        empty = False
        counts = ", ".join(
            f"{count_text(number)} {result}"
            for result in Result
            if (number := sum(outcome.result is result for outcome in sweep.outcomes))
        )
        made.add(
            visible(sweep.sweep_id),
            "; ".join(part for part in (counts, *_on_whose_word(sweep), sweep.problem, *sweep.notes) if part),
            (time_text(sweep.started_at) or "") if sweep.who else "",
            plain(sweep.kind),
            plain(sweep.ending or "unfinished", style="" if sweep.ending is Ending.DONE else "yellow"),
            size_text(sum(outcome.bytes_freed for outcome in sweep.outcomes)),
        )
    return [Text("No such sweep has been recorded.")] if empty else [made]


def _on_whose_word(sweep: PastSweep) -> Iterator[str]:
    if sweep.kind == "bind":
        yield f"to {sweep.registry}"
    if sweep.who:
        yield f"by {sweep.who} on {sweep.who.host}"
    if sweep.proposal:
        yield f"proposed by {sweep.proposal}"
    if sweep.ticket:
        yield f"ticket {sweep.ticket}"


def past_sweep_parts(sweep: PastSweep) -> list[RenderableType]:
    """One past sweep with everything that its log knows."""
    made: list[RenderableType] = [plain(f"{sweep.kind or 'unknown'} {visible(sweep.sweep_id)}", style="bold")]
    made += [plain(f"  {title:<10} {text}") for title, text in _facts(sweep) if text]
    workspaces = NamedTable("OUTCOME", "SIZE", "ENTRIES", right=("SIZE", "ENTRIES"))
    for workspace in sweep.workspaces:
        result, evidence = workspace.outcome and workspace.outcome.result, workspace.evidence
        known = evidence is not None and evidence.allocated is not None
        workspaces.add(
            visible(workspace.name),
            "; ".join(part for part in _told_of(workspace) if part),
            Text(result, style=_RESULT_STYLES[result]) if result else Text("unfinished", style="yellow"),
            size_text(evidence.allocated or 0) if evidence and known else "",
            count_text(evidence.entries or 0) if evidence and known else "",
        )
    return [*made, workspaces, ""] if sweep.workspaces else [*made, ""]


def _facts(sweep: PastSweep) -> Iterator[tuple[str, str]]:
    if sweep.who:
        ending = f", {sweep.ending} at {time_text(sweep.ended_at)}" if sweep.ending else ""
        yield "when", f"{time_text(sweep.started_at)}{ending}"
        yield "who", f"{sweep.who} on {sweep.who.host} (process {sweep.who.pid}), Sweeper {sweep.version}"
    yield "ticket", sweep.ticket
    if sweep.proposal:
        yield "proposed", f"by {sweep.proposal} at {time_text(sweep.proposal.at)}"
    yield "volume", sweep.root
    yield "registry", sweep.registry
    yield "options", ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in sweep.options.items() if value)
    if abs(sweep.clock_skew) >= 1:
        yield "clocks", f"the volume's was {sweep.clock_skew:+.0f} s from this host's"
    yield "problem", sweep.problem
    for note in sweep.notes:
        yield "note", note


def _told_of(workspace: PastWorkspace) -> Iterator[str]:
    """How it ended, and then the evidence that it was taken on."""
    if workspace.outcome:
        yield _outcome_reason(workspace.outcome)
    evidence = workspace.evidence
    if evidence is None:
        return
    if evidence.source:
        yield f"set aside by sweep {evidence.source}"
    if evidence.allocated is None:
        return
    yield f"evidence: {evidence.reason}{_doubts(evidence.doubts)}"
    yield f"newest change {time_text(evidence.newest_change)}"
    yield f"registry read {time_text(evidence.registry_read_at)}"
    if evidence.confirmed_read_at is not None:
        yield f"confirmed by a read at {time_text(evidence.confirmed_read_at)}"


def diagnosis(checks: Sequence[Check]) -> RenderableType:
    """The checks, each with what to mend."""
    made = table("", "CHECK", "FOUND")
    for check in checks:
        found = plain(check.detail)
        if check.mend:
            found.append("\n").append_text(plain(check.mend, style="bold"))
        made.add_row(Text(check.state, style=_CHECK_STYLES[check.state]), plain(check.title), found)
    return made


# --- cells ----------------------------------------------------------------------------------------------------------


def size(usage: Usage | None) -> str:
    """The allocated size; '≥' where not everything could be read."""
    if usage is None:
        return ""
    return size_text(usage.allocated) if usage.complete else f"≥ {size_text(usage.allocated)}"


def _changed(row: Row, now: float) -> str:
    changed = row.last_change_ns
    return "" if changed is None else age_text(now - changed / 1e9)


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else age_text(seconds)


def _doubts(doubts: Sequence[str]) -> str:
    return f" (doubts: {', '.join(doubts)})" if doubts else ""


def _total(rows: Iterable[Row]) -> str:
    measured = [row.usage for row in rows if row.usage]
    if not measured:
        return ""
    whole = all(usage.complete for usage in measured)
    text = size_text(sum(usage.allocated for usage in measured))
    return text if whole else f"≥ {text}"


def _candidate_bytes(candidates: Iterable[Candidate]) -> str:
    return size_text(sum(candidate.usage.allocated for candidate in candidates))
