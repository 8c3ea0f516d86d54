"""What the logs tell an auditor, from wherever they are and in whatever state."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeper_gui.core.audit import HistoryFilter, Mandate, PastSweep, Proposal, Who
from sweeper_gui.storage.control import Control
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep import history as history_module
from sweeper_gui.sweep.history import past_sweeps
from sweeper_gui.sweep.log import myself
from sweeper_gui.sweep.site import open_site
from sweeper_gui.sweep.sweeper import run_sweep
from tests.support.forged import forge, records_of
from tests.sweep.rig import Rig, progress_of


@pytest.fixture
def filled(rig: Rig) -> Rig:
    rig.volume.live("live-0")
    for number in range(3):
        rig.volume.deleted(f"gone-{number}")
    rig.volume.unexplained("lost-0")
    return rig


def asked(rig: Rig, **wanted: object) -> tuple[PastSweep, ...]:
    """What the history answers, from the local state alone where the control directory is gone."""
    with rig.ground() as ground:
        control = Control.open_existing(ground.volume, ground.settings.volume)
        if control is None:
            return past_sweeps(None, ground, HistoryFilter(**wanted))[0]  # type: ignore[arg-type]
        with control:
            return past_sweeps(control, ground, HistoryFilter(**wanted))[0]  # type: ignore[arg-type]


def log_of(rig: Rig) -> Path:
    (found,) = rig.control_dir.glob("sweeps/*/log.jsonl")
    return found


def test_a_sweep_is_told_with_who_when_on_whose_word_and_on_which_evidence(filled: Rig) -> None:
    proposal = Proposal(Who("amelie", "laptop", 3), 1_795_507_331.0, "abc", "OPS-1")
    plan = filled.plan("gone-0", "lost-0", "live-0")
    with filled.ground() as ground:
        run_sweep(ground, plan, progress_of(plan), {"cap": "None"}, Mandate("OPS-2", proposal))
    (past,) = asked(filled)
    assert past.who == myself()
    assert (past.ticket, past.proposal, past.options) == ("OPS-2", proposal, {"cap": "None"})
    assert past.root == str(filled.volume.root)
    assert str(filled.volume.database) in past.registry
    told = {one.name: one for one in past.workspaces}
    assert told[b"live-0"].evidence is None
    assert told[b"live-0"].outcome is not None
    assert "session is live" in told[b"live-0"].outcome.reason
    planned = {candidate.name: candidate for candidate in plan.candidates}
    for name in (b"gone-0", b"lost-0"):
        evidence, candidate = told[name].evidence, planned[name]
        assert evidence is not None
        assert candidate.workspace.identity is not None
        assert (evidence.reason, evidence.doubts) == (candidate.verdict.reason, candidate.verdict.doubts)
        assert (evidence.allocated, evidence.entries) == (candidate.usage.allocated, candidate.usage.entries)
        assert evidence.inode == candidate.workspace.identity.inode
        assert evidence.newest_change == pytest.approx(candidate.usage.newest_change_ns / 1e9)
        assert evidence.registry_read_at is not None
        assert evidence.set_aside_at is not None
        assert evidence.confirmed_read_at is not None
        assert evidence.registry_read_at <= evidence.set_aside_at
        assert past.started_at < evidence.confirmed_read_at
    assert told[b"gone-0"].evidence is not None
    assert told[b"gone-0"].evidence.removal_at is not None
    assert told[b"lost-0"].evidence is not None
    assert told[b"lost-0"].evidence.removal_at is None


def test_a_purge_and_a_restore_tell_the_evidence_of_the_sweep_that_set_aside(filled: Rig) -> None:
    set_aside = filled.sweep(filled.plan("gone-0", "lost-0", set_aside=True))
    filled.purge("gone-0")
    filled.restore("lost-0")
    restored, purged, _ = asked(filled)
    for past, name in ((purged, b"gone-0"), (restored, b"lost-0")):
        (workspace,) = past.workspaces
        assert workspace.name == name
        assert workspace.evidence is not None
        assert workspace.evidence.source == set_aside.sweep_id
        assert workspace.evidence.reason
        assert workspace.evidence.entries
    assert purged.evidence[0].removal_at is not None
    assert restored.evidence[0].restored_at is not None


def test_evidence_is_never_sought_outside_the_logs(filled: Rig, tmp_path: Path) -> None:
    filled.sweep(filled.plan("gone-0", set_aside=True))
    log = log_of(filled)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    forge(elsewhere / "log.jsonl", records_of(log))  # sealed for the name that it is read by
    (elsewhere / "log.jsonl").chmod(0o600)
    planted = {"type": "removing", "at": 1.0, "number": 0, "name": {"text": "gone-0"}, "entries": 1}
    sources = (str(elsewhere), "../../elsewhere", "..", "")
    forge(log, [*records_of(log), *({**planted, "source": source} for source in sources)])
    told = [(one.source, one.reason) for one in asked(filled)[0].evidence]
    assert {reason for source, reason in told if source} == {""}


def test_filters_find_the_name_the_ticket_the_time_and_the_one_sweep(filled: Rig) -> None:
    for name, ticket in (("gone-0", "OPS-1"), ("gone-1", "OPS-2")):
        plan = filled.plan(name)
        with filled.ground() as ground:
            run_sweep(ground, plan, progress_of(plan), {}, Mandate(ticket))
    second, first = asked(filled)
    assert [past.sweep_id for past in asked(filled, names=(b"gone-0",))] == [first.sweep_id]
    assert [past.sweep_id for past in asked(filled, ticket="OPS-2")] == [second.sweep_id]
    assert [past.sweep_id for past in asked(filled, since=second.started_at)] == [second.sweep_id]
    assert [past.sweep_id for past in asked(filled, sweep_id=first.sweep_id)] == [first.sweep_id]
    assert len(asked(filled, sweep_id="20")) == 2


def test_pages_tell_everything_once(filled: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        filled.sweep(filled.plan(f"gone-{number}"))
    every = [past.sweep_id for past in asked(filled)]
    monkeypatch.setattr(history_module, "PAGE_SWEEPS", 2)

    def pages() -> Iterator[list[str]]:
        before = ""
        with filled.ground() as ground:
            control = Control.open_existing(ground.volume, ground.settings.volume)
            assert control is not None
            with control:
                while True:
                    page, before = past_sweeps(control, ground, before=before)
                    yield [past.sweep_id for past in page]
                    if not before:
                        return

    found = list(pages())
    assert [len(page) for page in found] == [2, 1]
    assert [*found[0], *found[1]] == every
    monkeypatch.setattr(history_module, "PAGE_WORKSPACES", 1)
    assert [len(page) for page in pages()] == [1, 1, 1, 0]


def test_a_log_that_went_on_in_the_local_state_is_told_even_when_the_volume_has_lost_it(filled: Rig) -> None:
    filled.sweep(filled.plan("gone-0"))
    log = log_of(filled)
    with filled.ground() as ground:
        local = ground.log_fallback(log.parent.name)
    local.parent.mkdir(parents=True)
    shutil.copy(log, local)
    log.write_bytes(log.read_bytes()[:40])  # as a full volume leaves it
    (past,) = asked(filled)
    assert (past.problem, len(past.workspaces)) == ("", 1)
    shutil.rmtree(log.parent)
    assert asked(filled) == (past,)
    shutil.rmtree(filled.control_dir)
    with pytest.raises(VolumeError, match="belongs to the control directory"):
        asked(filled)  # the root still says that there was one
    (filled.volume.root / ".sweeper-claim").unlink()
    assert asked(filled) == (past,)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds nothing"),
        (b"\x00\xff\n", "line 1 of the log can't be read"),
        (b'{"type":"end"}\n', "line 1"),
    ],
)
def test_a_damaged_log_is_told_as_such(filled: Rig, content: bytes, words: str) -> None:
    filled.sweep(filled.plan("gone-0"))
    log_of(filled).write_bytes(content)
    (past,) = asked(filled, since=1e12)
    assert words in past.problem
    assert past.who is None


def test_a_log_that_does_not_begin_with_its_beginning_tells_nothing(filled: Rig) -> None:
    filled.sweep(filled.plan("gone-0"))
    log = log_of(filled)
    forge(log, records_of(log)[1:])
    (past,) = asked(filled)
    assert "does not begin with its first record" in past.problem
    assert past.who is None


def test_a_directory_or_a_pipe_in_the_place_of_a_log_is_told(filled: Rig) -> None:
    filled.sweep(filled.plan("gone-0"))
    log = log_of(filled)
    log.unlink()
    os.mkfifo(log)
    assert "not a regular file" in asked(filled)[0].problem
    log.unlink()
    log.mkdir()
    assert "not a regular file" in asked(filled)[0].problem


def test_a_log_with_a_damaged_line_tells_what_stands_before_it(filled: Rig) -> None:
    filled.sweep(filled.plan("gone-0"))
    log = log_of(filled)
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines[:2], b"{broken}\n", *lines[3:]]))
    (past,) = asked(filled)
    assert "line 3 of the log can't be read" in past.problem
    assert [workspace.name for workspace in past.workspaces] == [b"gone-0"]
    assert past.workspaces[0].outcome is None


def test_a_run_that_is_under_way_is_told_as_such(filled: Rig) -> None:
    with filled.ground() as ground, open_site(ground, "sweep", {}):
        (past,) = asked(filled)
        assert past.problem == "it is under way"
    assert asked(filled)[0].problem == "it did not come to its end"
