"""The JSON documents: their keys are a contract."""

import base64
import json

from sweeper_gui.cli import documents
from sweeper_gui.core.audit import PastSweep, Who
from sweeper_gui.core.outcome import Ending, Outcome, Report, Result
from sweeper_gui.core.snapshot import Session
from sweeper_gui.core.verdict import Doubt, Status
from sweeper_gui.engine.messages import Check, Trash
from tests.cli.samples import EVIL, NOW, REGISTRY, VOLUME, measured, row, trash_item


def test_a_listing_has_exactly_these_keys() -> None:
    owned = row(
        b"w1", doubts=(Doubt.UNSAVED_WORK,), usage=measured(complete=False), session=Session("w1", owner="o", title="t")
    )
    document = documents.listing([owned], VOLUME, REGISTRY)
    assert list(document) == ["schema", "volume", "registry", "workspaces"]
    assert document["schema"] == 1
    assert document["workspaces"] == [
        {
            "id": "6f1c9a52",
            "name": "w1",
            "path": "/mnt/efs/w1",
            "status": "orphan",
            "reason": "session deleted 3 Oct, owner octocat; last change 12 days ago",
            "doubts": ["unsaved-work"],
            "size_bytes": 1_500_000_000,
            "apparent_bytes": 1_499_999_999,
            "entries": 48_123,
            "complete": False,
            "newest_change": "2026-11-12T08:02:10Z",
            "owner": "o",
            "title": "t",
        }
    ]


def test_what_is_not_known_is_null_and_statuses_have_hyphens() -> None:
    bare = row(b"w1", Status.IN_USE)
    document = documents.listing([type(bare)(bare.workspace, bare.verdict)], VOLUME, None)
    (workspace,) = document["workspaces"]
    unknown = ("size_bytes", "apparent_bytes", "entries", "complete", "newest_change", "owner", "title")
    assert [workspace[key] for key in unknown] == [None] * 7
    assert workspace["status"] == "in-use"
    assert document["registry"] is None


def test_the_registry_tells_the_match_both_ways() -> None:
    registry = documents.listing([], VOLUME, REGISTRY)["registry"]
    assert registry["read_at"] == "2026-11-24T08:02:03Z"
    assert (registry["matched_live"], registry["sessions_without_directory"]) == (112, 3)
    assert registry["sources"][0]["source"] == "sqlite:////srv/collab.db"


def test_a_name_that_is_not_utf8_comes_as_bytes_too() -> None:
    document = documents.listing([row(EVIL), row("größe".encode())], VOLUME, REGISTRY)
    evil, plain = json.loads(documents.text_of(document))["workspaces"]
    assert base64.b64decode(evil["name_bytes"]) == EVIL
    assert evil["name"].isprintable()
    assert plain["name"] == "größe"
    assert "name_bytes" not in plain


def test_the_text_is_plain_ascii() -> None:
    text = documents.text_of(documents.listing([row("a\u202eb\x1b[2J".encode())], VOLUME, REGISTRY))
    assert text.isascii()
    assert all(line.isprintable() for line in text.splitlines())
    assert json.loads(text)["workspaces"][0]["name"] == "a\u202eb\x1b[2J"


def test_a_report_has_the_contract_and_says_what_is_untouched() -> None:
    outcomes = (
        Outcome(b"w1", Result.REMOVED, entries_removed=5, bytes_freed=100),
        Outcome(b"w2", Result.PARTLY_REMOVED, "cancelled", 2, 50, 1, ("x: Input/output error",)),
    )
    document = documents.report(Report("s1", outcomes, Ending.CANCELLED, "", (b"w3",), 4, 1.23456))
    assert document["schema"] == 1
    assert document["sweep_id"] == "s1"
    assert document["outcomes"][0] == {
        "name": "w1",
        "outcome": "removed",
        "reason": "",
        "entries_removed": 5,
        "bytes_freed": 100,
        "error_count": 0,
        "errors": [],
    }
    assert document["outcomes"][1]["outcome"] == "partly-removed"
    assert document["untouched"] == [{"name": "w3"}]
    assert (document["remaining_orphans"], document["bytes_freed"], document["seconds"]) == (4, 150, 1.235)
    assert document["ending"] == "cancelled"


def test_trash_history_and_diagnosis_have_schemas_and_times() -> None:
    trash = documents.trash(Trash((trash_item(EVIL),), "/mnt/.sweeper-efs"))
    assert trash["schema"] == 1
    assert trash["items"][0]["set_aside_at"] == "2026-11-24T07:02:11Z"
    assert base64.b64decode(trash["items"][0]["name_bytes"]) == EVIL
    past = PastSweep("s1", float(NOW), Who("amelie", "bastion", 7), "sweep", "sqlite", (Outcome(b"w", Result.REMOVED),))
    history = json.loads("".join(documents.history([past, past])))
    assert history["sweeps"][0]["started_at"] == "2026-11-24T08:02:11Z"
    assert history["sweeps"][0]["ended_at"] is None
    diagnosis = documents.diagnosis([Check("mount", "warning", "not mounted", "mount it")])
    assert diagnosis["checks"] == [{"title": "mount", "state": "warning", "detail": "not mounted", "mend": "mount it"}]
    for document in (trash, history, diagnosis):
        json.loads(documents.text_of(document))


def test_a_time_that_no_calendar_has_is_null() -> None:
    assert documents.time_text(1e20) is None
    assert documents.time_text(float("nan")) is None
    assert documents.time_text(0.0) == "1970-01-01T00:00:00Z"
