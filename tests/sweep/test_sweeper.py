"""The sweep protocol on a real volume: what goes, what stays, and why."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dulwich import porcelain
from msgspec.structs import replace

from sweeper_gui.core.outcome import Ending
from sweeper_gui.core.plan import Order, Plan
from sweeper_gui.core.policy import Policy
from sweeper_gui.storage import order
from sweeper_gui.storage.discover import discover
from sweeper_gui.storage.lock import LockHeld
from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep.evidence import Untrusted
from sweeper_gui.sweep.site import open_site
from tests.support.removals import fill
from tests.support.trees import fingerprint
from tests.sweep.rig import Rig, outcome_of, results


@pytest.fixture
def filled(rig: Rig) -> Rig:
    for number in range(3):
        rig.volume.live(f"live-{number}", 40)
        rig.volume.deleted(f"gone-{number}", 30)
    rig.volume.unexplained("lost-0", 20)
    return rig


def live_prints(rig: Rig) -> dict[str, str]:
    return {path.name: fingerprint(path) for path in rig.volume.root.glob("live-*")}


def test_removes_explained_orphans_sets_unexplained_ones_aside_and_leaves_live_ones_alone(filled: Rig) -> None:
    before = live_prints(filled)
    report = filled.sweep(filled.plan(cap=10))
    assert results(report) == {
        "gone-0": "removed",
        "gone-1": "removed",
        "gone-2": "removed",
        "lost-0": "set-aside",
    }
    assert filled.volume.names() == {"live-0", "live-1", "live-2"}
    assert live_prints(filled) == before
    assert report.ending is Ending.DONE
    assert report.remaining_orphans == 0
    assert outcome_of(report, "gone-0").entries_removed == 31
    assert [item.name for item in filled.trash()] == [b"lost-0"]


def test_what_the_scan_found_orders_the_removal(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, entries in enumerate((5, 60, 20)):
        fill(rig.volume.deleted(f"gone-{number}") / "many", entries)
    told: dict[str, int] = {}

    def noted(pool: WorkPool, parent: int, name: bytes, *, fullest: int, **rest: Any) -> None:
        told[f"gone-{name.decode()}"] = fullest
        discover(pool, parent, name, fullest=fullest, **rest)

    monkeypatch.setattr(order, "discover", noted)
    report = rig.sweep(rig.plan("gone-0", "gone-1", "gone-2"))
    assert set(results(report).values()) == {"removed"}
    assert told == {"gone-0": 5, "gone-1": 60, "gone-2": 20}


def test_cap_counts_successes_only_and_a_skipped_one_gives_its_place_away(filled: Rig) -> None:
    plan = filled.plan(cap=2)
    first = plan.candidates[0].name.decode()
    (filled.volume.root / first / "new").write_text("someone is working here")
    report = filled.sweep(plan)
    assert results(report)[first] == "skipped"
    assert "changed since it was shown" in outcome_of(report, first).reason
    assert sum(outcome.done for outcome in report.outcomes) == 2
    assert (filled.volume.root / first / "new").exists()
    assert report.remaining_orphans == 1


def test_bytes_bound_what_is_taken(filled: Rig) -> None:
    sizes = {row.name: row.usage.allocated for row in filled.rows().values() if row.usage}
    plan = filled.plan(max_bytes=sizes[b"gone-0"] + sizes[b"gone-1"] + 1, order=Order.LARGEST)
    report = filled.sweep(plan)
    assert plan.max_bytes is not None
    assert sum(sizes[outcome.name] for outcome in report.outcomes if outcome.done) <= plan.max_bytes
    assert sum(outcome.done for outcome in report.outcomes) == 2


def test_set_aside_only_keeps_everything(filled: Rig) -> None:
    prints = {path.name: fingerprint(path) for path in filled.volume.root.glob("gone-*")}
    report = filled.sweep(filled.plan("gone-0", "gone-1", set_aside=True))
    assert set(results(report).values()) == {"set-aside"}
    filled.restore("gone-0", "gone-1")
    assert {name: fingerprint(filled.volume.root / name) for name in ("gone-0", "gone-1")} == {
        name: prints[name] for name in ("gone-0", "gone-1")
    }


def test_named_ones_that_are_no_orphans_are_refused_with_their_reason(filled: Rig) -> None:
    report = filled.sweep(filled.plan("live-0", "gone-0", "nowhere"))
    assert results(report) == {"live-0": "skipped", "nowhere": "skipped", "gone-0": "removed"}
    assert "live" in outcome_of(report, "live-0").reason
    assert "no such workspace" in outcome_of(report, "nowhere").reason
    assert (filled.volume.root / "live-0").is_dir()


def test_doubtful_one_is_removed_only_by_name_and_word(filled: Rig) -> None:
    assert results(filled.sweep(filled.plan("lost-0"))) == {"lost-0": "set-aside"}
    filled.restore("lost-0")
    assert results(filled.sweep(filled.plan("lost-0", remove_doubtful=True))) == {"lost-0": "removed"}


def measured_long_ago(plan: Plan, share: float) -> Plan:
    """The plan as if it had lain there for this share of the time after which a size is no longer believed."""
    seconds = share * Policy().max_usage_age
    aged = (
        replace(one, usage=replace(one.usage, measured_at=one.usage.measured_at - seconds, unsaved_work=()))
        for one in plan.candidates
    )
    return replace(plan, candidates=tuple(aged))


@pytest.mark.parametrize("share", [0.7, 1.5])
def test_plan_that_was_confirmed_late_is_measured_anew_and_swept(filled: Rig, share: float) -> None:
    plan = measured_long_ago(filled.plan("gone-0", "gone-1"), share)
    (filled.volume.root / "gone-1" / "repo" / "new").touch()
    report = filled.sweep(plan)
    assert results(report) == {"gone-0": "removed", "gone-1": "skipped"}
    assert "changed since it was measured" in outcome_of(report, "gone-1").reason


@pytest.mark.parametrize("share", [0.7, 1.5])
def test_unsaved_work_that_is_found_when_it_is_measured_anew_keeps_it(filled: Rig, share: float) -> None:
    """It may hang on what lies outside the workspace, such as a repository that this one borrows from."""
    porcelain.init(str(filled.volume.root / "gone-0" / "repo"))
    plan = filled.plan("gone-0", remove_doubtful=True)
    [candidate] = plan.candidates
    assert candidate.usage.unsaved_work
    candidate = replace(candidate, verdict=replace(candidate.verdict, doubts=()))
    report = filled.sweep(measured_long_ago(replace(plan, candidates=(candidate,)), share))
    assert results(report) == {"gone-0": "skipped"}
    assert "doubts are others" in outcome_of(report, "gone-0").reason


def test_dry_run_writes_nothing(filled: Rig) -> None:
    plan = filled.plan(cap=10)
    before = fingerprint(filled.volume.root)
    report = filled.rehearse(plan)
    assert report.dry_run
    assert set(results(report).values()) == {"skipped"}
    assert "would be removed" in outcome_of(report, "gone-0").reason
    assert "would be set aside" in outcome_of(report, "lost-0").reason
    assert fingerprint(filled.volume.root) == before
    assert not filled.control_dir.exists()


def test_listing_and_planning_write_nothing(filled: Rig) -> None:
    before = fingerprint(filled.volume.root)
    beside = {path.name for path in filled.volume.root.parent.iterdir()}
    filled.rows()
    filled.plan(cap=3)
    assert fingerprint(filled.volume.root) == before
    assert {path.name for path in filled.volume.root.parent.iterdir()} - beside == {"sweeper.toml"}


def test_session_that_is_revived_after_the_listing_is_skipped(filled: Rig) -> None:
    plan = filled.plan(cap=10)
    filled.volume.revive_session("gone-1")
    report = filled.sweep(plan)
    assert results(report)["gone-1"] == "skipped"
    assert (filled.volume.root / "gone-1").is_dir()


def test_directory_made_anew_under_the_name_is_not_the_one_that_was_shown(filled: Rig) -> None:
    plan = filled.plan("gone-1")
    (filled.volume.root / "gone-1").rename(filled.volume.root.parent / "elsewhere")
    filled.volume.workspace("gone-1")
    report = filled.sweep(plan)
    assert results(report) == {"gone-1": "skipped"}
    assert (filled.volume.root / "gone-1" / "repo").is_dir()


def test_symlink_in_its_place_is_never_followed(filled: Rig, tmp_path: Path) -> None:
    plan = filled.plan("gone-1")
    outside = filled.volume.root.parent / "outside"
    (filled.volume.root / "gone-1").rename(outside)
    (filled.volume.root / "gone-1").symlink_to(outside)
    before = fingerprint(outside)
    assert results(filled.sweep(plan)) == {"gone-1": "skipped"}
    assert fingerprint(outside) == before


def test_process_that_works_inside_keeps_it(filled: Rig) -> None:
    plan = filled.plan("gone-1")
    with subprocess.Popen(["sleep", "60"], cwd=filled.volume.root / "gone-1" / "repo") as worker:
        report = filled.sweep(plan)
        worker.kill()
    assert results(report) == {"gone-1": "skipped"}
    assert "sleep" in outcome_of(report, "gone-1").reason


def test_registry_that_fails_stops_everything_before_the_first_rename(filled: Rig) -> None:
    plan = filled.plan(cap=10)
    filled.volume.database.rename(filled.volume.database.with_suffix(".moved"))
    before = filled.volume.names()
    report = filled.sweep(plan)
    assert report.ending is Ending.STOPPED
    assert "collab" in report.problem
    assert filled.volume.names() == before
    assert set(report.untouched) == {candidate.name for candidate in plan.candidates}


def test_another_sweep_is_named_and_not_disturbed(filled: Rig) -> None:
    plan = filled.plan(cap=10)
    with filled.ground() as ground, open_site(ground, "sweep", {}), pytest.raises(LockHeld) as held:
        filled.sweep(plan)
    assert held.value.holder is not None
    assert held.value.holder.pid == os.getpid()
    assert "sweep" in str(held.value)


def test_volume_is_bound_to_its_registry_by_the_first_sweep(filled: Rig) -> None:
    filled.sweep(filled.plan("gone-0"))
    plan = filled.plan(cap=10)
    staging = filled.volume.database.with_name("staging.sqlite3")
    staging.write_bytes(filled.volume.database.read_bytes())
    filled.volume.database = staging
    report = filled.sweep(plan)
    assert report.ending is Ending.STOPPED
    assert "bound to the registry" in report.problem
    assert filled.rows()["gone-1"].status == "unknown"
    filled.bind()
    assert filled.rows()["gone-1"].status == "orphan"


def test_root_that_was_swapped_is_refused(filled: Rig) -> None:
    plan = filled.plan(cap=10)
    with filled.ground() as ground:
        filled.volume.root.rename(filled.volume.root.parent / "moved")
        filled.volume.root.mkdir()
        with pytest.raises(VolumeError, match="another directory"), open_site(ground, "sweep", {}):
            pytest.fail("the preflight passed")
    assert plan.candidates


def test_log_tells_who_what_and_why_before_it_happens(filled: Rig) -> None:
    report = filled.sweep(filled.plan("gone-0", "lost-0"))
    lines = (filled.control_dir / "sweeps" / report.sweep_id / "log.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    kinds = [record["type"] for record in records]
    assert kinds[0] == "begun"
    assert kinds[-1] == "end"
    assert records[0]["who"]["pid"] == os.getpid()
    for name in ("gone-0", "lost-0"):
        of_name = [r["type"] for r in records if r.get("name", {}).get("text") == name]
        assert of_name[0] == "intent"
        assert of_name[-1] == "outcome"
    removing = next(i for i, r in enumerate(records) if r["type"] == "removing")
    confirmed = next(i for i, r in enumerate(records) if r["type"] == "confirmed")
    assert confirmed < removing
    assert records[removing]["name"]["text"] == "gone-0"


def test_cancelled_before_anything_began_leaves_everything(filled: Rig) -> None:
    plan = filled.plan(cap=10)
    before = filled.volume.names()
    filled.cancel.set()
    with pytest.raises(VolumeError, match="cancelled"):
        filled.sweep(plan)
    assert filled.volume.names() == before
    assert not filled.control_dir.exists()


@pytest.mark.parametrize("name", ["-rf", "two\nlines", "evil\u202egnp", "\u00e9" * 100, "*", "$(touch x)"])
def test_any_name_that_the_pattern_allows_is_swept_and_recorded(
    filled: Rig, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("SWEEPER_VOLUME__ID_PATTERN", "(?P<id>(?s:.+))")
    filled.volume.deleted(name, 5)
    report = filled.sweep(filled.plan(name, set_aside=True))
    assert results(report) == {name: "set-aside"}
    assert filled.trash()[0].name == name.encode()
    filled.restore(name)
    assert (filled.volume.root / name).is_dir()


def test_name_that_is_no_text_is_listed_as_foreign_and_never_swept(filled: Rig) -> None:
    (filled.volume.root / os.fsdecode(b"odd-\xff")).mkdir()
    assert filled.rows()["odd-\udcff"].status == "foreign"
    assert all(candidate.name != b"odd-\xff" for candidate in filled.plan(cap=100).candidates)


def test_unexplained_registry_failure_at_confirmation_puts_the_batch_back(
    filled: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server goes down between the renames and the confirmation."""
    plan = filled.plan(cap=10)
    before = live_prints(filled) | {p.name: fingerprint(p) for p in filled.volume.root.glob("gone-*")}
    from sweeper_gui.sweep import sweeper

    original = sweeper._Sweep._confirm

    def confirm(self: object, trees: object) -> None:
        filled.volume.database.rename(filled.volume.database.with_suffix(".moved"))
        original(self, trees)  # type: ignore[arg-type]

    monkeypatch.setattr(sweeper._Sweep, "_confirm", confirm)
    report = filled.sweep(plan)
    assert report.ending is Ending.STOPPED
    assert set(results(report).values()) == {"restored"}
    after = live_prints(filled) | {p.name: fingerprint(p) for p in filled.volume.root.glob("gone-*")}
    assert after == before


def test_untrusted_is_what_a_dry_run_raises_too(filled: Rig) -> None:
    plan = filled.plan(cap=10)
    filled.volume.database.rename(filled.volume.database.with_suffix(".moved"))
    with pytest.raises(Untrusted):
        filled.rehearse(plan)
