"""Restore, purge and resume: what lies in the trash is judged anew, and a live one goes back."""

import contextlib
import json
import shutil
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeper_gui.core.outcome import Ending, Report, TrashItem
from sweeper_gui.core.snapshot import Snapshot
from sweeper_gui.storage import files, order
from sweeper_gui.storage.remove import Removal, RemovalOutcome
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep import evidence as evidence_module
from sweeper_gui.sweep import removal, sweeper
from sweeper_gui.sweep.evidence import Untrusted
from sweeper_gui.sweep.ground import Ground
from sweeper_gui.sweep.removal import Removals
from sweeper_gui.sweep.tree import Tree
from tests.support.mounts import bind
from tests.support.trees import fingerprint
from tests.sweep.rig import Rig, outcome_of, results

_CUT_OFF = Removal(RemovalOutcome.CANCELLED, 1, 4096)


class PowerCut(BaseException):
    """Ends a sweep where it is, and with it the process as far as the volume can tell."""


@pytest.fixture
def filled(rig: Rig) -> Rig:
    rig.volume.live("live-0", 10)
    for number in range(3):
        rig.volume.deleted(f"gone-{number}", 10)
    rig.volume.unexplained("lost-0", 10)
    return rig


@pytest.fixture
def cut(filled: Rig, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sweeps, and cuts the power at a step; put back is what a dead process does not do."""

    def sweep_until(step: str, *names: str, **request: object) -> None:
        def die(*_: object, **__: object) -> None:
            raise PowerCut

        plan = filled.plan(*names, **request)
        with monkeypatch.context() as patch:
            patch.setattr(sweeper._Sweep, "_put_back_rest", lambda *_: None)
            patch.setattr(*{"confirm": (sweeper._Sweep, "_confirm"), "remove": (removal.Removals, "start")}[step], die)
            with pytest.raises(PowerCut):
                filled.sweep(plan)
        filled.cancel.clear()

    return sweep_until


@pytest.fixture
def die_restoring(filled: Rig, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Cuts the power between a restore's word in its log and its rename."""

    def restore_until(name: str) -> None:
        def die(*_: object) -> None:
            raise PowerCut

        with monkeypatch.context() as patch:
            patch.setattr(files, "move", die)
            with pytest.raises(PowerCut):
                filled.restore(name)
        filled.cancel.clear()

    return restore_until


def by_name(rig: Rig) -> dict[str, TrashItem]:
    return {item.name.decode(): item for item in rig.trash()}


def test_restore_puts_back_what_was_there_and_never_over_anything(filled: Rig) -> None:
    before = fingerprint(filled.volume.root / "gone-0")
    filled.sweep(filled.plan("gone-0", "gone-1", set_aside=True))
    (filled.volume.root / "gone-1").mkdir()
    report = filled.restore("gone-0", "gone-1", "nowhere")
    assert results(report) == {"gone-0": "restored", "gone-1": "conflict", "nowhere": "skipped"}
    assert fingerprint(filled.volume.root / "gone-0") == before
    assert set(by_name(filled)) == {"gone-1"}
    (filled.volume.root / "gone-1").rmdir()
    assert results(filled.restore("gone-1")) == {"gone-1": "restored"}


def test_purge_takes_what_was_asked_for_and_nothing_else(filled: Rig) -> None:
    filled.sweep(filled.plan("gone-0", "gone-1", "lost-0", set_aside=True))
    assert results(filled.purge()) == {}
    assert results(filled.purge(older_than=3600)) == {}
    item = by_name(filled)["gone-1"]
    assert results(filled.purge(items={(item.sweep_id, item.number)})) == {"gone-1": "removed"}
    assert results(filled.purge("gone-0", "nowhere")) == {"gone-0": "removed", "nowhere": "skipped"}
    assert results(filled.purge(older_than=0)) == {"lost-0": "removed"}


@pytest.mark.parametrize("act", [lambda r: r.purge(older_than=0), lambda r: r.purge("gone-0")])
def test_revived_session_gets_its_workspace_back(filled: Rig, act: Callable[[Rig], Report]) -> None:
    filled.sweep(filled.plan("gone-0", set_aside=True))
    filled.volume.revive_session("gone-0")
    assert results(act(filled)) == {"gone-0": "restored"}
    assert (filled.volume.root / "gone-0").is_dir()


def test_registry_that_fails_keeps_the_trash(filled: Rig) -> None:
    filled.sweep(filled.plan("gone-0", set_aside=True))
    filled.volume.database.rename(filled.volume.database.with_suffix(".moved"))
    with pytest.raises(Untrusted):
        filled.purge("gone-0")
    assert set(by_name(filled)) == {"gone-0"}
    refused = filled.history()[0]
    assert (refused.kind, refused.ending) == ("purge", Ending.STOPPED)
    assert "does not exist" in refused.problem


def test_what_a_process_still_has_open_is_not_purged(filled: Rig) -> None:
    filled.sweep(filled.plan("gone-0", set_aside=True))
    item = by_name(filled)["gone-0"]
    inside = filled.control_dir / "sweeps" / item.sweep_id / "whole" / str(item.number) / "repo"
    with subprocess.Popen(["sleep", "60"], cwd=inside) as worker:
        report = filled.purge("gone-0")
        worker.kill()
    assert results(report) == {"gone-0": "skipped"}
    assert "sleep" in outcome_of(report, "gone-0").reason


def test_what_was_written_after_it_was_set_aside_is_not_purged(filled: Rig) -> None:
    filled.sweep(filled.plan("gone-0", set_aside=True))
    item = by_name(filled)["gone-0"]
    (filled.control_dir / "sweeps" / item.sweep_id / "whole" / str(item.number) / "repo" / "late").write_text("work")
    report = filled.purge("gone-0")
    assert results(report) == {"gone-0": "skipped"}
    assert "changed" in outcome_of(report, "gone-0").reason


def test_live_session_that_turns_out_to_be_a_child_keeps_it(filled: Rig) -> None:
    filled.volume.deleted("shard", 3)
    (filled.volume.root / "shard" / "sess-1").mkdir()
    filled.sweep(filled.plan("shard", set_aside=True))
    filled.volume.session("sess-1")
    report = filled.purge("shard")
    assert results(report) == {"shard": "skipped"}
    assert "sess-1" in outcome_of(report, "shard").reason


def test_resume_finishes_what_was_to_be_removed(filled: Rig, cut: Callable[..., None]) -> None:
    cut("remove", "gone-0", "gone-1")
    assert all(item.unfinished for item in filled.trash())
    assert results(filled.resume()) == {"gone-0": "removed", "gone-1": "removed"}
    assert filled.trash() == []


def test_resume_finishes_what_was_shown_and_nothing_that_came_later(filled: Rig, cut: Callable[..., None]) -> None:
    cut("remove", "gone-0")
    shown = {(item.sweep_id, item.number) for item in filled.trash()}
    cut("remove", "gone-1")
    assert results(filled.resume(items=shown)) == {"gone-0": "removed"}
    assert set(by_name(filled)) == {"gone-1"}
    assert [str(outcome.result) for outcome in filled.resume(items=shown).outcomes] == ["skipped"]
    assert results(filled.resume()) == {"gone-1": "removed"}


def _set_aside_twice(rig: Rig) -> tuple[str, str]:
    """Two trees of one name in the trash; the older one's print and the newer one's."""
    prints = []
    for entries in (10, 4):
        rig.volume.deleted("gone-0", entries)
        prints.append(fingerprint(rig.volume.root / "gone-0"))
        assert results(rig.sweep(rig.plan("gone-0", set_aside=True))) == {"gone-0": "set-aside"}
    return prints[0], prints[1]


def test_of_two_trees_of_one_name_the_newer_is_restored_and_the_older_kept(rig: Rig) -> None:
    rig.volume.live("live-0")
    older, newer = _set_aside_twice(rig)
    assert results(rig.restore("gone-0")) == {"gone-0": "restored"}
    assert fingerprint(rig.volume.root / "gone-0") == newer
    assert results(rig.restore("gone-0")) == {"gone-0": "conflict"}
    (rig.volume.root / "gone-0").rename(rig.volume.root / "gone-1")
    assert results(rig.restore("gone-0")) == {"gone-0": "restored"}
    assert fingerprint(rig.volume.root / "gone-0") == older


def test_of_two_trees_of_one_name_the_one_that_was_shown_is_purged_and_by_name_both(rig: Rig) -> None:
    rig.volume.live("live-0")
    _set_aside_twice(rig)
    first, second = rig.trash()
    assert results(rig.purge("gone-0", items={(first.sweep_id, first.number)})) == {"gone-0": "removed"}
    assert [item.sweep_id for item in rig.trash()] == [second.sweep_id]
    rig.restore("gone-0")
    shutil.rmtree(rig.volume.root / "gone-0")
    _set_aside_twice(rig)
    report = rig.purge("gone-0")
    assert [str(outcome.result) for outcome in report.outcomes] == ["removed", "removed"]
    assert rig.trash() == []


def test_resume_asks_for_what_was_never_confirmed(filled: Rig, cut: Callable[..., None]) -> None:
    """Killed between the rename and the confirmation, of one that was only to be set aside."""
    cut("confirm", "lost-0")
    assert by_name(filled)["lost-0"].unfinished
    assert results(filled.resume()) == {"lost-0": "set-aside"}
    assert not by_name(filled)["lost-0"].unfinished
    assert results(filled.resume()) == {}
    assert results(filled.restore("lost-0")) == {"lost-0": "restored"}


def test_resume_gives_an_unconfirmed_live_one_back(filled: Rig, cut: Callable[..., None]) -> None:
    cut("confirm", "lost-0")
    filled.volume.session("lost-0")
    assert results(filled.resume()) == {"lost-0": "restored"}


def test_resume_keeps_what_is_more_doubtful_than_it_was(filled: Rig, cut: Callable[..., None]) -> None:
    """Set aside as explained; then its row vanished: absence is no proof."""
    cut("remove", "gone-0")
    filled.volume.forget_session("gone-0")
    report = filled.resume()
    assert results(report) == {"gone-0": "skipped"}
    assert "doubts" in outcome_of(report, "gone-0").reason
    assert results(filled.purge("gone-0")) == {"gone-0": "removed"}  # a person says so, by name


def test_resume_leaves_conflicts_to_a_person(filled: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    original = sweeper._Sweep._confirm

    def confirm(self: sweeper._Sweep, trees: list[object]) -> None:
        filled.volume.revive_session("gone-0")
        (filled.volume.root / "gone-0").mkdir()
        original(self, trees)  # type: ignore[arg-type]

    plan = filled.plan("gone-0")
    with monkeypatch.context() as patch:
        patch.setattr(sweeper._Sweep, "_confirm", confirm)
        assert results(filled.sweep(plan)) == {"gone-0": "conflict"}
    filled.volume.forget_session("gone-0")
    assert results(filled.resume()) == {}
    assert set(by_name(filled)) == {"gone-0"}


def test_live_one_whose_removal_had_begun_is_never_put_back(filled: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = filled.plan("gone-0")
    with monkeypatch.context() as patch:
        patch.setattr(order, "remove", lambda *_, **keywords: keywords["on_done"](_CUT_OFF))
        assert results(filled.sweep(plan)) == {"gone-0": "partly-removed"}
    filled.volume.revive_session("gone-0")
    assert results(filled.resume()) == {"gone-0": "conflict"}
    filled.volume.delete_session("gone-0")
    assert results(filled.resume()) == {"gone-0": "removed"}


def test_a_deletion_that_is_younger_than_allowed_keeps_what_was_set_aside(filled: Rig) -> None:
    """Revived and deleted again while it lay in the trash."""
    filled.policy = {"min_age": "0s"}
    filled.sweep(filled.plan("gone-0", set_aside=True))
    filled.volume.delete_session("gone-0")
    filled.policy = {"min_age": "24h"}
    report = filled.purge("gone-0")
    assert results(report) == {"gone-0": "skipped"}
    assert "deleted" in outcome_of(report, "gone-0").reason


def test_resume_does_what_a_restore_that_died_was_about_to_do(
    filled: Rig, cut: Callable[..., None], die_restoring: Callable[[str], None]
) -> None:
    cut("confirm", "gone-0")
    die_restoring("gone-0")
    assert results(filled.resume()) == {"gone-0": "restored"}


@pytest.mark.parametrize("place", ["restoring", "begun"])
def test_resume_removes_nothing_that_a_restore_of_a_damaged_log_may_have_been_about_to_put_back(
    filled: Rig, cut: Callable[..., None], die_restoring: Callable[[str], None], place: str
) -> None:
    cut("confirm", "gone-0")
    die_restoring("gone-0")
    log = max(filled.control_dir.glob("sweeps/*/log.jsonl"))
    written = log.read_bytes()
    at = written.index(f'{{"type":"{place}"'.encode()) + 30
    log.write_bytes(written[:at] + b"#" + written[at + 1 :])
    report = filled.resume()
    assert results(report) == {"gone-0": "skipped"}
    assert "may say that it be put back" in outcome_of(report, "gone-0").reason
    cut("confirm", "gone-1")  # what was set aside later can't be meant
    assert results(filled.resume()) == {"gone-0": "skipped", "gone-1": "removed"}
    assert results(filled.restore("gone-0")) == {"gone-0": "restored"}


def test_purge_by_age_takes_nothing_that_a_restore_that_died_was_about_to_put_back(
    filled: Rig, die_restoring: Callable[[str], None]
) -> None:
    filled.sweep(filled.plan("gone-0", "gone-1", set_aside=True))
    die_restoring("gone-0")
    report = filled.purge(older_than=0.0)
    assert results(report) == {"gone-0": "skipped", "gone-1": "removed"}
    assert "about to be put back" in outcome_of(report, "gone-0").reason
    assert results(filled.restore("gone-0")) == {"gone-0": "restored"}


def test_resume_tells_of_what_it_can_t_finish(filled: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    report = filled.sweep(filled.plan("gone-0", set_aside=True))
    assert results(filled.resume({(report.sweep_id, 0)})) == {"gone-0": "skipped"}
    with monkeypatch.context() as patch:
        patch.setattr(order, "remove", lambda *_, on_done, **__: on_done(_CUT_OFF))
        half = filled.sweep(filled.plan("gone-1"))
    assert results(half) == {"gone-1": "partly-removed"}
    (filled.control_dir / "sweeps" / half.sweep_id / "log.jsonl").unlink()
    [told] = filled.resume().outcomes
    assert told.name.decode() == f"{half.sweep_id}/removing/0"
    assert "log can't be read" in told.reason


def test_resume_takes_up_a_put_back_that_failed(filled: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    original = sweeper._Sweep._confirm

    def confirm(self: sweeper._Sweep, trees: list[object]) -> None:
        filled.volume.revive_session("gone-0")
        with monkeypatch.context() as patch:
            patch.setattr(files, "move", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
            original(self, trees)  # type: ignore[arg-type]

    plan = filled.plan("gone-0")
    with monkeypatch.context() as patch:
        patch.setattr(sweeper._Sweep, "_confirm", confirm)
        assert results(filled.sweep(plan)) == {"gone-0": "failed"}
    assert by_name(filled)["gone-0"].unfinished
    assert results(filled.resume()) == {"gone-0": "restored"}


def test_what_is_half_removed_and_became_doubtful_is_purged_by_name(
    filled: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = filled.plan("gone-0")
    with monkeypatch.context() as patch:
        patch.setattr(order, "remove", lambda *_, **keywords: keywords["on_done"](_CUT_OFF))
        filled.sweep(plan)
    filled.volume.forget_session("gone-0")
    assert results(filled.resume()) == {"gone-0": "partly-removed"} or results(filled.resume()) == {"gone-0": "skipped"}
    assert results(filled.purge(older_than=0)) == {}
    assert results(filled.purge("gone-0")) == {"gone-0": "removed"}
    assert filled.trash() == []


def test_named_one_is_purged_whatever_another_hosts_clock_said(filled: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    filled.sweep(filled.plan("gone-0", set_aside=True))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    assert set(results(filled.purge("gone-0"))) == {"gone-0"}


def test_items_that_are_no_longer_there_are_told(filled: Rig) -> None:
    filled.sweep(filled.plan("gone-0", set_aside=True))
    report = filled.purge(items={("20260101T000000.000000Z-abcdef", 3)})
    assert [str(outcome.result) for outcome in report.outcomes] == ["skipped"]
    assert "no longer" in report.outcomes[0].reason


def test_cancel_that_comes_too_late_is_none(filled: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = filled.plan("gone-0")
    original = Removals.wait

    def wait(self: Removals) -> None:
        original(self)
        filled.cancel.set()

    monkeypatch.setattr(Removals, "wait", wait)
    report = filled.sweep(plan)
    assert results(report) == {"gone-0": "removed"}
    assert report.ending is Ending.DONE


def test_broken_copy_of_the_log_in_the_local_state_hides_nothing(filled: Rig) -> None:
    report = filled.sweep(filled.plan("gone-0", set_aside=True))
    with filled.ground() as ground:
        fallback = ground.log_fallback(report.sweep_id)
    fallback.parent.mkdir(parents=True)
    fallback.write_bytes(b"")
    assert not by_name(filled)["gone-0"].problem
    assert results(filled.restore("gone-0")) == {"gone-0": "restored"}


def test_bind_mount_made_after_the_rename_keeps_it(filled: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Someone mounts it elsewhere between the recheck and the confirmation."""
    elsewhere = filled.volume.root.parent / "elsewhere"
    original = sweeper._Sweep._confirm

    def confirm(self: sweeper._Sweep, trees: list[Tree]) -> None:
        tree = filled.control_dir / "sweeps" / trees[0].directory.id / "whole" / str(trees[0].number)
        stack.enter_context(bind(tree, elsewhere))
        original(self, trees)

    plan = filled.plan("gone-0")
    with contextlib.ExitStack() as stack:
        monkeypatch.setattr(sweeper._Sweep, "_confirm", confirm)
        report = filled.sweep(plan)
    assert results(report) == {"gone-0": "restored"}
    assert "bind-mounted" in outcome_of(report, "gone-0").reason


def test_slow_registry_is_read_once_for_all_who_wait(filled: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that takes longer than a read may be old is not repeated for each tree."""
    reads = 0
    original = Ground.read_registry

    def read(self: Ground, *arguments: object, **keywords: object) -> Snapshot:
        nonlocal reads
        reads += 1
        return original(self, *arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(evidence_module, "FRESH", 0.0)
    monkeypatch.setattr(Ground, "read_registry", read)
    with filled.ground() as ground:
        evidence = evidence_module.Evidence(ground, frozenset({"live-0", "gone-0"}))
        with evidence._reading:
            waiting = [threading.Thread(target=evidence.fresh_snapshot) for _ in range(8)]
            for thread in waiting:
                thread.start()
            while sum("fresh_snapshot" in _stack_of(thread) for thread in waiting) < len(waiting):
                time.sleep(0.001)
        for thread in waiting:
            thread.join()
    assert reads <= 2


def test_read_that_breaks_off_makes_no_older_one_new(filled: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for it must not be given what was read before, when the session was deleted still."""
    original, broken = Ground.read_registry, threading.Event()

    def read(self: Ground, *arguments: object, **keywords: object) -> Snapshot:
        if broken.is_set():
            raise RuntimeError("can't start new thread")
        return original(self, *arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(Ground, "read_registry", read)
    with filled.ground() as ground:
        evidence = evidence_module.Evidence(ground, frozenset({"live-0", "gone-0"}))
        assert not evidence.fresh_snapshot().problems
        broken.set()
        for ask in (evidence.snapshot_after_now, evidence.fresh_snapshot):
            with pytest.raises(RuntimeError):
                ask()


def _stack_of(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)
    return "".join(traceback.format_stack(frame)) if frame else ""


def test_damaged_log_lets_restore_and_nothing_else(filled: Rig) -> None:
    report = filled.sweep(filled.plan("gone-0", set_aside=True))
    log = filled.control_dir / "sweeps" / report.sweep_id / "log.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    intent = next(i for i, line in enumerate(lines) if json.loads(line)["type"] == "intent")
    log.write_bytes(b"".join([*lines[: intent + 1], b"{torn\n", *lines[intent + 1 :]]))
    assert by_name(filled)["gone-0"].problem
    assert results(filled.purge("gone-0")) == {"gone-0": "skipped"}
    assert results(filled.restore("gone-0")) == {"gone-0": "restored"}


def test_log_cut_at_any_byte_never_lets_a_tree_be_lost(filled: Rig, tmp_path: Path) -> None:
    report = filled.sweep(filled.plan("gone-0", "lost-0", set_aside=True))
    log = filled.control_dir / "sweeps" / report.sweep_id / "log.jsonl"
    whole = log.read_bytes()
    trees = {item.number for item in filled.trash()}
    for length in range(0, len(whole), 7):
        log.write_bytes(whole[:length])
        items = filled.trash()
        assert {item.number for item in items} == trees
        assert all(item.problem or item.name in (b"gone-0", b"lost-0") for item in items)
    log.write_bytes(whole)
    assert set(results(filled.restore("gone-0", "lost-0")).values()) == {"restored"}


def test_unreadable_pins_stop_everything(filled: Rig) -> None:
    plan = filled.plan("gone-0")
    with filled.ground() as ground:
        ground.state.pin(b"gone-1", True)
        pins = ground.state.directory / "pins.json"
    pins.write_text("damaged")
    with pytest.raises(VolumeError, match="pins"):
        filled.sweep(plan)
    assert pins.read_text() == "damaged"


def test_pin_set_while_a_sweep_runs_is_seen_by_its_recheck(filled: Rig) -> None:
    plan = filled.plan("gone-0", "gone-1")
    with filled.ground() as ground:
        ground.state.remember_live(frozenset())
        with filled.ground() as other:
            other.state.pin(b"gone-1", True)
        ground.state.remember_live(frozenset({"live-0"}))
        assert ground.policy.pinned == {b"gone-1"}
    assert results(filled.sweep(plan)) == {"gone-0": "removed", "gone-1": "skipped"}


def test_history_tells_every_run(filled: Rig) -> None:
    filled.sweep(filled.plan("gone-0", set_aside=True))
    filled.purge("gone-0")
    purge, sweep = filled.history()
    assert (purge.kind, sweep.kind) == ("purge", "sweep")
    assert sweep.ending is Ending.DONE
    assert "session deleted" in sweep.evidence[0].reason
    assert [str(outcome.result) for outcome in purge.outcomes] == ["removed"]


def test_history_tells_of_a_run_that_died_what_the_log_knows(filled: Rig, cut: Callable[..., None]) -> None:
    cut("confirm", "gone-0", "gone-1")
    (sweep,) = filled.history()
    assert sweep.ended_at is None
    assert "gone-0, gone-1" in sweep.problem
    assert "session deleted" in sweep.evidence[1].reason
