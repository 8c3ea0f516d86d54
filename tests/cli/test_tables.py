"""The tables: readable at 80 and at 160 columns, complete where there is no terminal, and deaf to what they show."""

import io

import pytest
from msgspec.structs import replace
from rich.console import Console, RenderableType
from rich.table import Table

from sweeper_gui.cli import named_table, tables
from sweeper_gui.cli.compare import Compared
from sweeper_gui.cli.named_table import NamedTable
from sweeper_gui.core.audit import PastEvidence, PastSweep, Proposal, Who
from sweeper_gui.core.outcome import Ending, Outcome, Report, Result
from sweeper_gui.core.plan import Request
from sweeper_gui.core.snapshot import Session
from sweeper_gui.core.verdict import Doubt, Status
from sweeper_gui.engine.messages import Check, SourceState, Trash
from tests.cli.samples import EVIL, NOW, REGISTRY, VOLUME, measured, plan, row, trash_item

UUID = "6f1c9a52-0f0e-4c7b-9d51-2f4a35a1b2c3"
NASTY = "\x1b[2J\u202e[bold]x[/bold]"


def rendered(part: RenderableType, width: int = 100_000) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, markup=False, emoji=False, highlight=False).print(part)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


@pytest.mark.parametrize("width", [80, named_table.WIDE, 160])
def test_a_listing_fits_its_terminal_and_cuts_nothing(width: int) -> None:
    rows = [row(session=Session("6f1c9a52", owner="octocat")), row(b"x" * 128)]
    text = rendered(tables.listing(rows, NOW), width)
    assert max(map(len, text.splitlines())) <= width
    assert UUID in text
    assert "1.5 GB" in text
    assert "12 days" in text
    assert text.count("x") >= 128
    for word in "session deleted 3 Oct, owner octocat; last change 12 days ago".split():
        assert word in text


def test_the_long_form_tells_entries_and_owner_too() -> None:
    text = rendered(tables.listing([row(session=Session("6f1c9a52", owner="octocat"))], NOW), 160)
    assert len(text.splitlines()) == 2
    assert "48,123" in text
    assert "octocat" in text


def test_a_size_that_is_not_complete_is_a_lower_bound() -> None:
    assert tables.size(measured(complete=False)) == "≥ 1.5 GB"
    assert tables.size(measured()) == "1.5 GB"
    assert tables.size(None) == ""


def test_orphans_come_last_and_the_oldest_first() -> None:
    rows = [row(b"o"), row(b"l", Status.LIVE), row(b"f", Status.FOREIGN), row(b"r", Status.RECENT)]
    assert [one.name for one in tables.in_listing_order(rows)] == [b"f", b"l", b"r", b"o"]


def test_totals_count_each_status_and_the_doubts() -> None:
    text = rendered(tables.totals([row(b"a"), row(b"b", doubts=(Doubt.UNEXPLAINED,)), row(b"c", Status.LIVE)]))
    lines = text.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [["live", "1", "1.5", "GB"], ["orphan", "2", "3.0", "GB"]]
    assert "1 of them with doubts" in lines[2]


def test_the_registry_line_tells_the_match_both_ways() -> None:
    assert rendered(tables.registry_line(REGISTRY, NOW)) == (
        "112 of 174 directories have a live session, 25 a deleted one, 37 none; "
        "3 sessions have no directory; read 8 s ago"
    )


def test_a_registry_that_could_not_be_read_matches_nothing() -> None:
    failed = replace(REGISTRY, sources=(SourceState("sqlite:/x.db", 0, "does not exist"),), matched_live=0)
    told = rendered(tables.registry_line(failed, NOW))
    assert told == "The registry could not be read: nothing is known of any session"


def test_a_plan_shows_everything_that_is_confirmed() -> None:
    rows = [row(b"w%d" % number, usage=measured(size=1000 + number)) for number in range(4)]
    doubtful = row(b"d1", doubts=(Doubt.UNEXPLAINED,), reason="no session of this id")
    made = plan(*rows, doubtful, request=Request(names=(b"w0", b"d1", b"gone")))
    text = "\n".join(rendered(part) for part in tables.plan_parts(made, NOW))
    assert "remove" in text
    assert "set-aside" in text
    assert "doubts: unexplained" in text
    assert "gone  " in text
    assert "no such workspace on the volume" in text
    assert tables.plan_question(made) == "Remove 1 workspace (1.0 kB) for good and set aside 1 workspace (1.5 GB)?"
    capped = plan(*rows, request=Request(cap=2))
    text = "\n".join(rendered(part) for part in tables.plan_parts(capped, NOW))
    assert text.index("w1") < text.index("Reserves") < text.index("w2")


def test_a_report_tells_each_end_and_the_sum() -> None:
    outcomes = (
        Outcome(b"w1", Result.REMOVED, "", 1_234, 1_500_000_000),
        Outcome(b"w2", Result.FAILED, "", 3, 10, 7, ("repo/x: Permission denied (owner root)",)),
        Outcome(b"w3", Result.SKIPPED, "recent: last change 3 hours ago"),
    )
    report = Report("s1", outcomes, Ending.CANCELLED, untouched=(b"w4",), remaining_orphans=5, seconds=9)
    text = "\n".join(rendered(part) for part in tables.report_parts(report))
    assert "repo/x: Permission denied (owner root); 6 more errors" in text
    assert "recent: last change 3 hours ago" in text
    assert "Untouched:\n  w4" in text
    last = text.splitlines()[-1]
    assert last == ("Cancelled: 1 removed, 1 skipped, 1 failed; 1.5 GB freed in 9.0 s; 1 untouched; 5 orphans remain")


def test_a_dry_run_never_reads_as_done() -> None:
    text = "\n".join(rendered(part) for part in tables.report_parts(Report("", (), dry_run=True, remaining_orphans=1)))
    assert text.startswith("Dry run, nothing was changed: ")
    assert "freed" not in text
    assert text.endswith("1 orphan remains")


def test_in_a_pipe_each_workspace_has_one_line_and_a_long_name_moves_no_other_ones_reason() -> None:
    text = rendered(tables.listing([row(b"short", reason="here"), row(b"x" * 255, reason="there")], NOW))
    header, short, long = text.splitlines()
    assert header.index("REASON") == short.index("here") == header.index("WORKSPACE") + named_table.ALIGNED + 2
    assert long.endswith("x" * 255 + "  there")


@pytest.mark.parametrize("width", [80, 100_000])
def test_nothing_that_is_shown_reaches_the_terminal_as_a_command_or_as_markup(width: int) -> None:
    nasty = row(EVIL, reason=NASTY, session=Session("x", owner=NASTY, title=NASTY))
    outcome = Outcome(EVIL, Result.FAILED, NASTY, error_count=1, errors=(NASTY,))
    evidence = PastEvidence(EVIL, 0, NASTY, NASTY, NASTY, (NASTY,), NASTY, 1, 1, 1e30, 1, 1e30)
    who = Who(NASTY, NASTY, 1, NASTY, NASTY)
    past = PastSweep(
        NASTY, float(NOW), who, NASTY, NASTY, (outcome,), (evidence,), problem=NASTY, notes=(NASTY,), root=NASTY,
        options={NASTY: NASTY}, ticket=NASTY, proposal=Proposal(who, 1e30, NASTY),
    )  # fmt: skip
    nasty_plan = plan(nasty, request=Request(names=(EVIL, b"\x1b]0;x\x07")))
    parts: list[RenderableType] = [
        tables.listing([nasty], NOW),
        tables.volume_line(type(VOLUME)(root=NASTY, fs_type=NASTY, source=NASTY)),
        tables.comparison([Compared(EVIL, "keep", NASTY, "live")]),
        *tables.plan_parts(nasty_plan, NOW),
        *tables.report_parts(Report("s", (outcome,), untouched=(EVIL,))),
        *tables.trash_parts(Trash((trash_item(EVIL, by=NASTY, reason=NASTY, problem=NASTY),), NASTY), NOW),
        *tables.history_parts([past]),
        *tables.past_sweep_parts(past),
        tables.diagnosis([Check(NASTY, "error", NASTY, NASTY)]),
    ]
    for part in parts:
        text = rendered(part, width)
        assert all(line.isprintable() for line in text.splitlines()), text
        if isinstance(part, Table | NamedTable):
            assert "[bold]" in text or "[red]" in text or "\\x07" in text  # shown as it is, not taken for a style


def test_trash_tells_state_expiry_and_problems() -> None:
    items = (
        trash_item(b"a"),
        trash_item(b"b", unfinished=True, expires_at=float(NOW - 1)),
        trash_item(b"c", problem="its log can't be read"),
    )
    text = "\n".join(rendered(part) for part in tables.trash_parts(Trash(items, "/t"), NOW))
    assert "in 6 days" in text
    assert "whole, unfinished" in text
    assert "expired" in text
    assert "broken" in text
    assert "its log can't be read" in text
    assert text.endswith("3 workspaces, 4.5 GB, in /t")
    assert "Nothing is set aside" in rendered(tables.trash_parts(Trash((), "/t"), NOW)[0])


def test_history_counts_what_happened() -> None:
    outcomes = (Outcome(b"a", Result.REMOVED, bytes_freed=10), Outcome(b"b", Result.REMOVED, bytes_freed=5))
    past = PastSweep("s1", float(NOW), Who("amelie", "bastion", 7), "sweep", "sqlite", outcomes, ended_at=NOW + 1.0)
    text = rendered(tables.history_parts([past])[0])
    assert "2 removed; by amelie on bastion" in text
    assert "unfinished" in text
    assert "15 Bytes" in text


def test_a_diagnosis_says_what_to_mend() -> None:
    text = rendered(tables.diagnosis([Check("mount", "error", "not mounted", "mount it"), Check("x", "ok", "fine")]))
    assert "error  mount  not mounted\n              mount it" in text
