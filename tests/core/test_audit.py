"""What auditors are told, and what a ticket reference must be."""

import pytest

from sweeper_gui.core.audit import HistoryFilter, PastEvidence, PastSweep, Who, ticket_problem
from sweeper_gui.core.outcome import Outcome, Result


@pytest.mark.parametrize("ticket", ["OPS-123", "INC 4711/änderung", "x" * 200])
def test_a_reference_on_one_line_of_visible_characters_is_a_ticket(ticket: str) -> None:
    assert ticket_problem(ticket) == ""


@pytest.mark.parametrize(
    ("ticket", "words"),
    [
        ("x" * 201, "more than 200 characters"),
        ("OPS-1\nOPS-2", "one line"),
        ("OPS-1\x1b[2J", "visible"),
        ("OPS\u202e1", "visible"),
        ("\udcff", "visible"),
        (" OPS-1", "visible"),
    ],
)
def test_anything_else_is_none(ticket: str, words: str) -> None:
    assert words in ticket_problem(ticket)


def test_it_can_be_required_and_must_match_the_pattern_as_a_whole() -> None:
    assert ticket_problem("", required=True) == "a ticket reference is required"
    assert ticket_problem("", pattern="OPS-[0-9]+") == ""
    assert ticket_problem("OPS-12", pattern="OPS-[0-9]+", required=True) == ""
    assert "does not match the pattern" in ticket_problem("OPS-12 and more", pattern="OPS-[0-9]+")


def test_who_logged_in_comes_before_sudo_and_the_login() -> None:
    assert str(Who("root", "h", 1)) == "root"
    assert str(Who("root", "h", 1, "sue")) == "sue (as root)"
    assert str(Who("root", "h", 1, "forged", "sue")) == "sue (as root)"


def test_whoever_sets_a_variable_is_not_another_person_by_that() -> None:
    assert Who("sue", "h", 1, "forged").vouched == "sue"
    assert Who("root", "h", 1, "sue").vouched == "sue"
    assert Who("svc", "h", 1, "forged", "sue").vouched == "sue"


SOMEBODY = Who("a", "h", 1)


def past(*names: bytes, ticket: str = "", who: Who | None = SOMEBODY, at: float = 100.0) -> PastSweep:
    outcomes = tuple(Outcome(name, Result.REMOVED) for name in names)
    evidence = tuple(PastEvidence(name, number) for number, name in enumerate((*names, b"open")))
    return PastSweep("s", at, who, "sweep", "", outcomes, evidence, ticket=ticket)


def test_each_workspace_is_told_once_with_its_end_and_its_evidence() -> None:
    told = [
        (one.name, one.outcome is None, one.evidence and one.evidence.number) for one in past(b"b", b"a").workspaces
    ]
    assert told == [(b"b", False, 0), (b"a", False, 1), (b"open", True, 2)]


def test_a_filter_leaves_what_is_asked_for() -> None:
    one = past(b"a", b"b", ticket="OPS-1")
    assert HistoryFilter().of(one) == one
    assert HistoryFilter(since=99.0, ticket="OPS-1").of(one) == one
    assert HistoryFilter(since=101.0).of(one) is None
    assert HistoryFilter(ticket="OPS-2").of(one) is None
    assert HistoryFilter(names=(b"c",)).of(one) is None
    part = HistoryFilter(names=(b"b", b"open")).of(one)
    assert part is not None
    assert [workspace.name for workspace in part.workspaces] == [b"b", b"open"]


def test_a_log_that_tells_no_time_is_never_too_old() -> None:
    assert HistoryFilter(since=1e9).of(past(b"a", who=None, at=0.0)) is not None
