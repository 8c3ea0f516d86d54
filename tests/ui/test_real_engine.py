"""The window with the real engine in its process, on real files with a real registry."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from sweeper_gui.core.outcome import Ending, Result, TrashState
from sweeper_gui.core.verdict import Status
from sweeper_gui.engine.messages import Trash
from sweeper_gui.settings import Settings
from sweeper_gui.storage.control import Control
from sweeper_gui.storage.lock import Lock
from sweeper_gui.storage.volume import Volume
from sweeper_gui.ui import controller as controller_module
from sweeper_gui.ui.controller import EnginePhase
from sweeper_gui.ui.plan_choice import all_set_aside
from sweeper_gui.ui.prompts import Confirmed, QuitChoice, SweepQuestion, TrashAct, TrashChoice
from sweeper_gui.ui.report_words import counts, headline, outcome_words
from tests.support.slowfs import slow_volume
from tests.support.trees import fingerprint
from tests.support.volume import FakeVolume
from tests.ui.conftest import Stage, as_shown, until

PlayForReal = Callable[..., None]


@pytest.fixture
def volume(tmp_path: Path) -> FakeVolume:
    made = FakeVolume(tmp_path)
    made.live("alive", 40)
    made.live("alive-too", 10)
    for number in range(3):
        made.deleted(f"gone-{number}", 60 + number)
    made.unexplained("strange", 20)
    return made


def settings_of(volume: FakeVolume, **sweep: object) -> Settings:
    time.sleep(0.05)  # what was just made must be older than 'min_age' by the kernel's coarse clock
    return Settings.model_validate(
        {
            "volume": {"root": str(volume.root)},
            "registry": [{"source": volume.source}],
            "policy": {"min_age": "10ms"},
            "sweep": sweep,
        }
    )


def aside(question: SweepQuestion) -> Confirmed:
    plan = all_set_aside(question.plan)
    return Confirmed(plan, plan.digest)


def late(stage: Stage) -> str:
    measured = stage.controller.heartbeat.measured()
    return f"late by {measured.max * 1000:.0f} ms at most, p99 {measured.p99 * 1000:.0f} ms, {measured.beats} beats"


def test_lists_selects_confirms_and_sweeps(play_for_real: PlayForReal, volume: FakeVolume) -> None:
    before = {name: fingerprint(volume.root / name) for name in ("alive", "alive-too")}

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        await until(lambda: sorted(stage.orphans()) == [b"gone-0", b"gone-1", b"gone-2", b"strange"])
        stage.prompts.confirm = as_shown
        stage.window.actions_["select_orphans"].trigger()
        stage.window.refresh()
        stage.window.bottom.sweep_button.click()
        await until(lambda: stage.prompts.reports)
        report = stage.prompts.reports[0].report
        assert {outcome.name: outcome.result for outcome in report.outcomes} == {
            b"gone-0": Result.REMOVED,
            b"gone-1": Result.REMOVED,
            b"gone-2": Result.REMOVED,
            b"strange": Result.SET_ASIDE,  # doubtful: never removed without an act of its own
        }
        await until(lambda: {entry.row.name for entry in stage.model.shown_entries} == {b"alive", b"alive-too"})
        print(late(stage))

    play_for_real(settings_of(volume), scene)
    assert volume.names() == {"alive", "alive-too"}
    assert before == {name: fingerprint(volume.root / name) for name in before}


def test_nothing_is_written_before_the_first_sweep(play_for_real: PlayForReal, volume: FakeVolume) -> None:
    before = fingerprint(volume.root)

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.window.bottom.sweep_button.click()
        await until(lambda: stage.prompts.sweeps)

    play_for_real(settings_of(volume), scene)
    assert fingerprint(volume.root) == before
    assert not (volume.root.parent / ".sweeper-workspaces").exists()


def test_a_dry_run_says_what_it_would_do_and_leaves_the_rows(play_for_real: PlayForReal, volume: FakeVolume) -> None:
    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.prompts.confirm = as_shown
        stage.window.bottom.dry_run.setChecked(True)
        stage.window.actions_["select_orphans"].trigger()
        stage.window.actions_["sweep"].trigger()
        await until(lambda: stage.prompts.reports)
        report = stage.prompts.reports[0].report
        assert headline(report, "Sweep") == "Dry run: would remove 3, would set aside 1"
        assert counts(report) == "nothing was changed"
        words = {outcome.name: outcome_words(outcome, report) for outcome in report.outcomes}
        assert (words[b"gone-1"], words[b"strange"]) == ("Would be removed", "Would be set aside")
        assert not [entry for entry in stage.model.shown_entries if entry.outcome is not None]
        assert len(stage.model.chosen().names) == 4

    play_for_real(settings_of(volume), scene)


def test_a_plan_is_saved_by_one_window_and_swept_from_its_file(
    play_for_real: PlayForReal, volume: FakeVolume, tmp_path: Path
) -> None:
    out = tmp_path / "plan.json"

    def save(question: SweepQuestion) -> Confirmed:
        return Confirmed(question.plan, question.plan.digest, "OPS-7", save=True)

    def approve(question: SweepQuestion) -> Confirmed:
        assert question.proposal is not None
        assert question.ticket.required
        return Confirmed(question.plan, question.plan.digest, question.proposal.ticket)

    async def propose(stage: Stage) -> None:
        await stage.scanned()
        stage.prompts.confirm, stage.prompts.path = save, out
        stage.model.select([b"gone-0", b"gone-1"])
        stage.window.actions_["sweep"].trigger()
        await until(lambda: "plan" in stage.window.banners.notices)
        assert str(out) in stage.window.banners.notices["plan"].text
        assert not stage.prompts.reports

    async def sweep_it(stage: Stage) -> None:
        await stage.scanned()
        stage.prompts.confirm, stage.prompts.path = approve, out
        await until(stage.window.actions_["sweep_plan"].isEnabled)
        stage.window.actions_["sweep_plan"].trigger()
        await until(lambda: stage.prompts.reports)
        (question,) = stage.prompts.sweeps
        assert [candidate.name for candidate in question.plan.candidates] == [b"gone-0"]
        assert "changed since it was proposed" in question.plan.refused[0].reason
        report = stage.prompts.reports[0].report
        assert {outcome.name: outcome.result for outcome in report.outcomes} == {
            b"gone-0": Result.REMOVED,
            b"gone-1": Result.SKIPPED,
        }
        await until(lambda: not stage.controller.running())
        stage.window.actions_["history"].trigger()
        await until(lambda: stage.prompts.histories)
        assert stage.prompts.histories[0].sweeps[0].ticket == "OPS-7"
        stage.prompts.path = tmp_path / "none.json"
        stage.window.actions_["sweep_plan"].trigger()
        await until(lambda: "failure" in stage.window.banners.notices)
        assert "none.json" in stage.window.banners.notices["failure"].text

    play_for_real(settings_of(volume, ticket_required=True), propose)
    (volume.root / "gone-1" / "repo" / "new").write_text("x")
    play_for_real(settings_of(volume, ticket_required=True), sweep_it)
    assert (volume.root / "gone-1" / "repo" / "new").exists()


def test_what_was_set_aside_is_restored_from_the_trash(play_for_real: PlayForReal, volume: FakeVolume) -> None:
    before = fingerprint(volume.root / "gone-1" / "repo")

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.prompts.confirm = aside
        stage.model.select([b"gone-1"])
        stage.window.actions_["sweep"].trigger()
        await until(lambda: stage.prompts.reports)
        assert not (volume.root / "gone-1").exists()

        def restore(trash: Trash) -> TrashChoice:
            [item] = trash.items
            assert (item.name, item.state) == (b"gone-1", TrashState.WHOLE)
            return TrashChoice(TrashAct.RESTORE, trash.items)

        stage.prompts.trash_choice = restore
        await until(stage.window.actions_["trash"].isEnabled)
        stage.window.actions_["trash"].trigger()
        await until(lambda: len(stage.prompts.reports) == 2)
        assert stage.prompts.reports[1].report.count(Result.RESTORED) == 1
        await until(lambda: stage.model.entry(b"gone-1") is not None)
        await until(lambda: not stage.controller.running())

    play_for_real(settings_of(volume), scene)
    assert fingerprint(volume.root / "gone-1" / "repo") == before


def test_a_registry_that_can_not_be_read_makes_everything_unknown(
    play_for_real: PlayForReal, volume: FakeVolume
) -> None:
    volume.database.write_bytes(b"no database at all, but long enough to look at" * 40)

    async def scene(stage: Stage) -> None:
        await until(lambda: "registry" in stage.window.banners.notices)
        await until(lambda: not stage.controller.running())
        stage.window.refresh()
        assert stage.model.summary.counts.get(Status.ORPHAN, 0) == 0
        assert stage.model.summary.counts[Status.UNKNOWN] == 6
        assert not stage.window.bottom.sweep_button.isEnabled()

    play_for_real(settings_of(volume), scene)


def test_a_workspace_that_comes_alive_after_the_plan_is_not_swept(
    play_for_real: PlayForReal, volume: FakeVolume
) -> None:
    async def scene(stage: Stage) -> None:
        await stage.scanned()

        def confirm(question: SweepQuestion) -> Confirmed:
            volume.revive_session("gone-0")
            return as_shown(question)

        stage.prompts.confirm = confirm
        stage.model.select([b"gone-0", b"gone-1"])
        stage.window.actions_["sweep"].trigger()
        await until(lambda: stage.prompts.reports)
        results = {outcome.name: outcome.result for outcome in stage.prompts.reports[0].report.outcomes}
        assert results[b"gone-1"] is Result.REMOVED
        assert results[b"gone-0"] in (Result.SKIPPED, Result.RESTORED)

    play_for_real(settings_of(volume), scene)
    assert (volume.root / "gone-0" / "repo").is_dir()


def test_who_holds_the_lock_is_told_and_the_sweep_goes_on_when_it_is_free(
    play_for_real: PlayForReal, volume: FakeVolume
) -> None:
    settings = settings_of(volume)

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.prompts.confirm = as_shown
        stage.model.select([b"gone-1"])
        with (
            Volume(settings.volume) as opened,
            Control.open_or_create(opened, settings.volume) as control,
            Lock(control, opened, "carol", "bastion-2", "sweep 7"),
        ):
            stage.window.actions_["sweep"].trigger()
            await until(lambda: "failure" in stage.window.banners.notices)
            assert (
                f"carol on bastion-2 (process {os.getpid()}), sweep 7" in stage.window.banners.notices["failure"].text
            )
            assert "gone-1" in volume.names()
        await until(lambda: not stage.controller.running())
        stage.model.select([b"gone-1"])
        stage.window.actions_["sweep"].trigger()
        await until(lambda: stage.prompts.reports)

    play_for_real(settings, scene)
    assert "gone-1" not in volume.names()


def test_an_engine_killed_in_mid_sweep_is_replaced_and_the_log_tells(
    play_for_real: PlayForReal, volume: FakeVolume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller_module, "_SHORT_LIFE", 0.0)
    volume.deleted("huge", 12_000)

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.prompts.confirm = as_shown
        stage.model.select([b"huge"])
        stage.window.actions_["sweep"].trigger()
        await until(lambda: stage.controller.sweep is not None and stage.controller.sweep.entries_removed > 0)
        stage.model.select([b"gone-1", b"gone-2"])
        first = stage.controller.engine.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        shutil.rmtree(volume.root / "gone-1")  # of which the new engine will never hear
        await until(lambda: "engine-died" in stage.window.banners.notices)
        assert "in the middle of a sweep" in stage.window.banners.notices["engine-died"].text
        await until(lambda: stage.controller.engine.phase is EnginePhase.READY)
        assert stage.controller.engine.pid != first
        await until(lambda: stage.prompts.histories, 30)
        assert stage.prompts.histories[0].sweeps[0].ended_at is None
        await until(lambda: "trash" in stage.window.banners.notices)
        await until(lambda: not stage.controller.running())
        listed = {entry.row.name for entry in stage.model.shown_entries}
        assert listed == {name.encode() for name in volume.names()}
        assert b"gone-1" not in listed
        assert "gone-1 is no longer on the volume" in stage.window.banners.notices["selection-lost"].hint
        assert stage.model.chosen().names == (b"gone-2",)

    play_for_real(settings_of(volume), scene)


def test_closing_in_mid_sweep_stops_it_and_the_rest_stays(play_for_real: PlayForReal, volume: FakeVolume) -> None:
    for number in range(4):
        volume.deleted(f"large-{number}", 6_000)

    async def scene(stage: Stage) -> None:
        await stage.scanned()
        stage.prompts.confirm = as_shown
        stage.prompts.quit_choice = QuitChoice.STOP
        stage.window.actions_["select_orphans"].trigger()
        stage.window.actions_["sweep"].trigger()
        await until(lambda: stage.controller.sweep is not None and stage.controller.sweep.entries_removed > 0)
        await stage.closed()
        assert stage.prompts.quits == ["Sweep"]

    play_for_real(settings_of(volume, impact="gentle", max_ops_per_second=2_000), scene)


def test_a_slow_volume_never_makes_the_window_late(
    play_for_real: PlayForReal, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The smoke test that the source system lacked: it swept such a directory on its event loop."""
    backing = FakeVolume(tmp_path / "backing")
    backing.live("alive", 5)
    backing.deleted("orphan", 5_000)
    latency = dict.fromkeys(("getattr", "unlink", "rmdir", "rename", "mkdir", "create", "opendir"), 0.02)
    with slow_volume(tmp_path / "backing", tmp_path / "mount", latency=latency) as slow:
        mounted = FakeVolume.__new__(FakeVolume)
        mounted.root = slow.path / "workspaces"
        mounted.database = backing.database

        async def scene(stage: Stage) -> None:
            await until(lambda: stage.orphans() == [b"orphan"], 50)
            stage.controller.heartbeat.reset()
            stage.prompts.confirm = as_shown
            stage.model.select([b"orphan"])
            stage.window.actions_["sweep"].trigger()
            await until(lambda: stage.prompts.reports, 100)
            report = stage.prompts.reports[0].report
            assert report.ending is Ending.DONE
            assert report.count(Result.REMOVED) == 1
            measured = stage.controller.heartbeat.measured()
            record_property("late_ms", round(measured.max * 1000))
            print(f"{late(stage)}; swept in {report.seconds:.1f} s")
            assert measured.max < 1.0

        play_for_real(settings_of(mounted), scene)
    assert not (backing.root / "orphan").exists()
    assert (backing.root / "alive").is_dir()


# --- the program itself ----------------------------------------------------------------------------------------------


@pytest.fixture
def starting(volume: FakeVolume, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The program, its engine running; the window may not be there yet."""
    settings_of(volume)
    command = [sys.executable, "-m", "sweeper_gui", "--root", str(volume.root), "--registry", volume.source]
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "SWEEPER_STATE_DIR": str(tmp_path / "state")}
    with subprocess.Popen(command, env=environment) as process:
        try:
            wait_for(lambda: engines_of(process.pid))
            yield process
        finally:
            process.kill()


@pytest.fixture
def program(starting: subprocess.Popen[bytes], tmp_path: Path) -> subprocess.Popen[bytes]:
    """The window in a process of its own, which has listed the volume."""
    wait_for(lambda: list((tmp_path / "state").rglob("live-ids.json")))
    return starting


def engines_of(pid: int) -> list[psutil.Process]:
    try:
        return [child for child in psutil.Process(pid).children() if "engine" in child.cmdline()]
    except psutil.NoSuchProcess:
        return []


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_closes_the_window_and_its_engine(program: subprocess.Popen[bytes], number: signal.Signals) -> None:
    [engine] = engines_of(program.pid)
    program.send_signal(number)
    assert program.wait(15) == 0
    wait_for(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE)


def test_a_signal_before_the_window_is_there_ends_both(starting: subprocess.Popen[bytes]) -> None:
    [engine] = engines_of(starting.pid)
    starting.send_signal(signal.SIGTERM)
    assert starting.wait(15) in (0, 130)
    wait_for(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE)


def test_an_engine_whose_window_was_killed_ends_by_itself(program: subprocess.Popen[bytes]) -> None:
    [engine] = engines_of(program.pid)
    program.kill()
    wait_for(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE)
