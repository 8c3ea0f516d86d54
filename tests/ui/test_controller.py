import asyncio
from collections.abc import Callable, Coroutine

import pytest

from sweeper_gui.engine.host import EngineGone
from sweeper_gui.engine.messages import (
    Cancel,
    Done,
    Failure,
    Finished,
    ListTrash,
    Pin,
    Poll,
    ReadRegistry,
    Scan,
    ScanProgress,
    Trash,
    Update,
    VolumeState,
)
from sweeper_gui.ui import controller as controller_module
from sweeper_gui.ui.controller import (
    Controller,
    EngineDeath,
    EngineFailure,
    EnginePhase,
    is_remote_display,
    poll_pace,
)
from sweeper_gui.ui.workspace_model import WorkspaceModel
from tests.support.messages import Messages
from tests.ui.conftest import delete_now, until
from tests.ui.rows import orphan, realistic_rows
from tests.ui.scripted_host import VOLUME, ScriptedHost

Scene = Callable[[Controller, ScriptedHost], Coroutine[None, None, None]]
Direct = Callable[..., ScriptedHost]


def phase(controller: Controller) -> EnginePhase:
    return controller.engine.phase


@pytest.fixture
def direct(run: Callable, model: WorkspaceModel) -> Callable[..., ScriptedHost]:
    """Runs a scene with a started controller."""

    def direct_scene(scene: Scene, host: ScriptedHost | None = None) -> ScriptedHost:
        host = host or ScriptedHost(realistic_rows(20))

        async def whole() -> None:
            controller = Controller(b"{}", host.make, model, pace=0.01)
            try:
                await controller.start()
                await scene(controller, host)
            finally:
                host.answering.set()
                await controller.close()
                delete_now(controller)

        run(whole())
        return host

    return direct_scene


def test_a_job_gives_its_result(direct: Direct) -> None:
    async def scene(controller: Controller, host: ScriptedHost) -> None:
        assert isinstance(await controller.run(ListTrash()), Trash)
        assert not controller.running()

    direct(scene)


def test_a_job_that_ends_before_its_number_is_known_is_not_lost(direct: Direct) -> None:
    async def scene(controller: Controller, host: ScriptedHost) -> None:
        host.push(Update(finished=(Finished(1, Done()),)))
        await until(lambda: len(host.asked(Poll)) > 2)
        assert await controller.run(ReadRegistry()) == Done()

    direct(scene)


def test_a_refused_request_and_a_failed_job_raise_their_failure(direct: Direct) -> None:
    refusal = Failure("locked", "another sweep holds the lock", "wait")

    async def scene(controller: Controller, host: ScriptedHost) -> None:
        host.failures[ListTrash] = refusal
        with pytest.raises(EngineFailure) as caught:
            await controller.run(ListTrash())
        assert caught.value.failure == refusal
        scanning = asyncio.ensure_future(controller.run(Scan()))
        await until(lambda: controller.running(Scan))
        host.measured_per_poll = 0
        await controller.cancel(Scan)
        with pytest.raises(EngineFailure) as caught:
            await scanning
        assert caught.value.failure.kind == "cancelled"
        assert len(host.asked(Cancel)) == 1

    direct(scene, ScriptedHost(realistic_rows(20), measured_per_poll=0))


def test_something_done_at_once_needs_no_job(direct: Direct) -> None:
    async def scene(controller: Controller, host: ScriptedHost) -> None:
        assert await controller.run(Pin(b"a", pinned=True)) == Done()

    direct(scene)


def test_rows_reach_the_model_and_states_the_signals(direct: Direct, model: WorkspaceModel) -> None:
    volumes: list[VolumeState] = []
    rows = realistic_rows(50)

    async def scene(controller: Controller, host: ScriptedHost) -> None:
        controller.volume_changed.connect(volumes.append)
        await controller.run(Scan())
        assert {row.name: row for row in model.rows} == {row.name: row for row in rows}
        assert controller.registry.trusted

    direct(scene, ScriptedHost(rows))
    assert volumes == [VOLUME]


def test_more_rows_are_fetched_at_once_not_at_the_next_tick(direct: Direct, model: WorkspaceModel) -> None:
    async def scene(controller: Controller, host: ScriptedHost) -> None:
        await until(lambda: len(host.asked(Poll)) >= 1)
        for number in range(50):
            host.push(Update(rows=(orphan(b"w%d" % number),), more=number < 49))
        controller._wake.set()
        start = asyncio.get_running_loop().time()
        await until(lambda: len(model.rows) == 50)
        assert asyncio.get_running_loop().time() - start < 20.0  # an idle controller asks once a second

    direct(scene)


def test_a_dead_engine_fails_its_jobs_and_says_so(direct: Direct) -> None:
    deaths: list[EngineDeath] = []

    async def scene(controller: Controller, host: ScriptedHost) -> None:
        controller.engine_died.connect(deaths.append)
        scanning = asyncio.ensure_future(controller.run(Scan()))
        await until(lambda: controller.running(Scan))
        host.die("the engine was killed by SIGSEGV")
        with pytest.raises(EngineGone, match="SIGSEGV"):
            await scanning
        assert phase(controller) is EnginePhase.GONE
        with pytest.raises(EngineGone):
            await controller.run(ListTrash())
        await controller.restart()
        assert phase(controller) is EnginePhase.READY
        assert isinstance(await controller.run(ListTrash()), Trash)

    direct(scene, ScriptedHost(realistic_rows(20), measured_per_poll=0))
    assert [(death.reason, death.restarting) for death in deaths] == [("the engine was killed by SIGSEGV", False)]


def test_an_engine_that_lived_long_enough_is_started_again(direct: Direct, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller_module, "_SHORT_LIFE", -1.0)

    async def scene(controller: Controller, host: ScriptedHost) -> None:
        host.die("gone")
        controller._wake.set()
        await until(lambda: len(host.lives) == 2)
        await until(lambda: controller.engine.phase is EnginePhase.READY)

    direct(scene)


def test_a_silent_engine_is_noticed_and_can_be_given_up(direct: Direct, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller_module, "SILENT_AFTER", 0.1)

    async def scene(controller: Controller, host: ScriptedHost) -> None:
        host.answering.clear()
        controller._wake.set()
        await until(lambda: controller.engine.phase is EnginePhase.SILENT)
        host.answering.set()
        await until(lambda: controller.engine.phase is EnginePhase.READY)
        host.answering.clear()
        await until(lambda: controller.engine.phase is EnginePhase.SILENT)
        restarting = asyncio.ensure_future(controller.restart())
        await until(lambda: host.killed)
        host.answering.set()
        await restarting
        assert phase(controller) is EnginePhase.READY
        assert len(host.lives) == 2

    direct(scene)


def test_a_volume_that_does_not_respond_is_told_from_four_seconds_on(direct: Direct) -> None:
    told: list[int] = []

    async def scene(controller: Controller, host: ScriptedHost) -> None:
        controller.stalled_changed.connect(told.append)
        for seconds in (1.0, 3.9, 4.2, 4.9, 5.4, 0.0):
            host.stalled = seconds
            seen = len(host.asked(Poll)) + 2  # the one under way may have been asked before
            while len(host.asked(Poll)) < seen:
                controller._wake.set()
                await asyncio.sleep(0.001)

    direct(scene)
    assert told == [4, 5, 0]


def test_a_mistake_in_showing_an_update_does_not_end_the_listening(
    direct: Direct, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages.expect("an update could not be shown")

    async def scene(controller: Controller, host: ScriptedHost) -> None:
        def fail(_: object) -> None:
            raise ValueError("a mistake")

        monkeypatch.setattr(controller, "_take_scan", fail)
        host.push(Update(scan=ScanProgress("listing")))
        controller._wake.set()
        await until(lambda: len(host.asked(Poll)) > 2)
        assert isinstance(await controller.run(ListTrash()), Trash)

    direct(scene)


def test_listening_that_ends_by_a_mistake_is_an_engine_that_died(
    direct: Direct, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages.expect("no longer listens")
    deaths: list[EngineDeath] = []

    async def scene(controller: Controller, host: ScriptedHost) -> None:
        controller.engine_died.connect(deaths.append)

        def fail(_: object) -> None:
            raise ValueError("a mistake")

        monkeypatch.setattr(controller, "_take_safely", fail)
        controller._wake.set()
        await until(lambda: deaths)
        assert phase(controller) is EnginePhase.GONE
        assert "a mistake" in deaths[0].reason

    direct(scene)


def test_what_may_change_the_volume_counts_as_changing(direct: Direct) -> None:
    async def scene(controller: Controller, host: ScriptedHost) -> None:
        assert not controller.changing
        scanning = asyncio.ensure_future(controller.run(Scan()))
        await until(lambda: controller.running(Scan))
        assert not controller.changing
        await scanning

    direct(scene)


@pytest.mark.parametrize(
    ("environ", "remote"),
    [
        ({"DISPLAY": ":0"}, False),
        ({"DISPLAY": "unix:0"}, False),
        ({"DISPLAY": "localhost:10.0"}, True),
        ({"DISPLAY": "bastion:1"}, True),
        ({"DISPLAY": "/private/tmp/launch:0"}, False),
        ({}, False),
        ({"DISPLAY": "localhost:10.0", "WAYLAND_DISPLAY": "wayland-0"}, False),
    ],
)
def test_a_display_over_the_network_is_polled_for_once_a_second(environ: dict[str, str], remote: bool) -> None:
    assert is_remote_display(environ) is remote
    assert poll_pace(environ) == (1.0 if remote else 0.1)
