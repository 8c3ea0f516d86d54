"""The window, with the real engine in its process, over a volume that stops answering: it never waits for it.

The daemon behind the volume is stopped, continued, or killed, while the engine opens the volume, lists, measures or
sweeps. (The commands' side of this is tests/cli/test_hung.py.)
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sweeper_gui.core.outcome import Ending, Report, Result
from sweeper_gui.core.verdict import Status
from sweeper_gui.settings import Settings
from sweeper_gui.ui.prompts import QuitChoice
from tests.support.hung import PLACES, HungVolume, hung_volume, is_there
from tests.support.messages import Messages
from tests.support.trees import fingerprint
from tests.ui.conftest import Stage, as_shown, until

PlayForReal = Callable[..., None]
START = "its start"
ALL = [START, *PLACES]
#: What the event loop may be late by on a machine that does other things too, in seconds.
LATE = 1.0


@pytest.fixture
def hung(tmp_path: Path) -> Iterator[HungVolume]:
    with hung_volume(tmp_path) as volume:
        yield volume


def settings_of(volume: HungVolume) -> Settings:
    time.sleep(0.05)  # what was just made must be older than 'min_age' by the kernel's coarse clock
    return Settings.model_validate(
        {
            "volume": {"root": str(volume.root)},
            "registry": [{"source": volume.source}],
            "policy": {"min_age": "10ms"},
        }
    )


async def stopped_at(stage: Stage, hung: HungVolume, place: str) -> None:
    """Waits until the engine is at the place, and stops the volume there; the window then says so."""
    if place == "sweeping":
        await stage.scanned()
        stage.prompts.confirm = as_shown
        stage.model.select([b"dead"])
        hung.served.set_plan(PLACES[place])
        stage.window.actions_["sweep"].trigger()
    if place != START:
        await until(lambda: hung.served.hanging() > 0)
        hung.served.freeze()
    stage.controller.heartbeat.reset()
    await until(lambda: "stalled" in stage.window.banners.notices)
    notice = stage.window.banners.notices["stalled"]
    assert "has not responded for" in notice.text
    assert f"process {stage.controller.engine.pid}" in notice.hint


def prepare(hung: HungVolume, place: str) -> None:
    """Before the window opens."""
    if place == START:
        hung.served.freeze()
    elif place != "sweeping":
        hung.served.set_plan(PLACES[place])


def swept(stage: Stage) -> Report:
    return stage.prompts.reports[0].report


@pytest.mark.parametrize("place", ALL)
def test_a_volume_that_stops_is_told_and_the_work_goes_on_when_it_comes_back(
    play_for_real: PlayForReal, hung: HungVolume, place: str
) -> None:
    settings = settings_of(hung)
    prepare(hung, place)

    async def scene(stage: Stage) -> None:
        await stopped_at(stage, hung, place)
        assert stage.controller.heartbeat.measured().max < LATE
        hung.release()
        await until(lambda: "stalled" not in stage.window.banners.notices)
        if place == "sweeping":
            await until(lambda: stage.prompts.reports)
            assert swept(stage).ending is Ending.DONE
            assert swept(stage).count(Result.REMOVED) == 1
        else:
            await stage.scanned()
            await until(lambda: stage.model.summary.counts.get(Status.ORPHAN) == 1)

    play_for_real(settings, scene)


@pytest.mark.parametrize("place", ALL)
def test_what_hangs_can_be_stopped_and_left_and_the_engine_is_named(
    play_for_real: PlayForReal, hung: HungVolume, place: str, messages: Messages, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(hung)
    before = fingerprint(hung.root / "alive")
    prepare(hung, place)
    engines: list[int] = []

    async def scene(stage: Stage) -> None:
        await stopped_at(stage, hung, place)
        pid = stage.controller.engine.pid
        assert pid is not None
        engines.append(pid)
        stage.prompts.quit_choice = QuitChoice.STOP
        if place == "sweeping":
            stage.window.bottom.cancel_asked.emit()
            await until(lambda: stage.controller.sweep is not None and stage.controller.sweep.cancelling)
        stage.window.close()
        if place == "sweeping":
            await until(lambda: "quitting" in stage.window.banners.notices)
            stage.window.banners.notices["quitting"].remedies[0].act()
        await until(stage.window.closed.is_set, 10)
        assert stage.controller.heartbeat.measured().max < LATE

    if place != START:  # a call that the daemon has not even taken is given up when its process is killed
        messages.expect("is stuck in the volume")
    play_for_real(settings, scene)
    if place != START:
        assert f"the engine (process {engines[0]}) is stuck in the volume" in capfd.readouterr().err
        assert is_there(engines[0])
    hung.release()
    while is_there(engines[0]):
        time.sleep(0.02)
    assert fingerprint(hung.root / "alive") == before


@pytest.mark.parametrize("place", PLACES)
def test_a_volume_that_dies_is_told_and_what_was_left_is_resumed(
    play_for_real: PlayForReal, hung: HungVolume, place: str, tmp_path: Path
) -> None:
    settings = settings_of(hung)
    prepare(hung, place)

    async def scene(stage: Stage) -> None:
        if place == "sweeping":
            await stage.scanned()
            stage.prompts.confirm = as_shown
            stage.model.select([b"dead"])
            hung.served.set_plan(PLACES[place])
            stage.window.actions_["sweep"].trigger()
        await until(lambda: hung.served.hanging() > 0)
        hung.served.kill()
        await until(lambda: not stage.controller.running())
        if place == "sweeping":
            await until(lambda: stage.prompts.reports)
            assert swept(stage).ending is Ending.STOPPED
        stage.window.actions_["rescan"].trigger()
        await until(lambda: stage.controller.volume.error)
        await until(lambda: not stage.controller.running())

    play_for_real(settings, scene)
    hung.served.__exit__()

    async def resumed(stage: Stage) -> None:
        await stage.scanned()
        if place == "sweeping":
            await until(lambda: "trash" in stage.window.banners.notices)
        assert b"alive" in {entry.row.name for entry in stage.model.shown_entries}

    with hung_volume(tmp_path):
        play_for_real(settings, resumed)
