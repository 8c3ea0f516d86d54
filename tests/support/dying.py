"""Runs that die by SIGKILL, at a step or at a moment: the engine, the window, both, a command, or that alone.

Everything here runs in forks of a nursery. The engine is `sweeper engine`'s own code behind a pipe, the window is the
whole window with scripted answers, a command is the command line's own `main`, which dies with its engine or leaves it
behind. Steps are counted where the work is done (see tests/support/steps.py); right before one of them the victim is
killed.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from sweeper_gui.core.plan import Request
from sweeper_gui.engine import messages as m
from sweeper_gui.engine.host import EngineGone
from sweeper_gui.engine.process import read_frame, serve, write_frame
from sweeper_gui.settings import Settings, load_settings
from tests.engine.driving import Driver
from tests.support.nursery import ended, forked
from tests.support.steps import Steps

_replies: msgspec.msgpack.Decoder[m.Reply] = msgspec.msgpack.Decoder(m.Reply)
_ORPHANS = ("gone-0", "gone-1", "tight", "lost-0")
_COMMANDS = {
    "sweep": ("sweep", "--max", "100", "--yes"),
    "set-aside": ("sweep", "--set-aside", "--yes", *_ORPHANS),
    "restore": ("restore", *_ORPHANS),
    "purge": ("purge", "--yes", *_ORPHANS),
    "resume": ("resume", "--yes"),
}


#: Who leaves its engine behind: that finds its pipe closed, and ends by itself.
_FRONT_ENDS = ("window", "command-alone")
#: Who takes it along.
_GROUPS = ("both", "command")


class Death:
    """Whom to kill and when: before step `step` (0: not at all), or so many seconds after the run has begun."""

    def __init__(self, victim: str, directory: Path, step: int = 0, after: float | None = None) -> None:
        self.victim = victim
        self.directory = directory
        self.step = step
        self.after = after

    def counted(self, work: Callable[[], object]) -> None:
        """Does the work, kills at the step, and writes down how many there were."""
        steps = Steps(self.step, self._strike)
        with steps.counted():
            work()
        told = self.directory / "steps.new"
        told.write_text(str(len(steps.names)))
        told.rename(self.directory / "steps")  # all of it or nothing: it may die here, too

    def _strike(self) -> None:
        if self.victim in _FRONT_ENDS:
            os.kill(os.getppid(), signal.SIGKILL)
        elif self.victim in _GROUPS:
            os.killpg(0, signal.SIGKILL)
        else:
            os.kill(os.getpid(), signal.SIGKILL)


def die(death: Death, what: str) -> bool:
    """Runs `what` until it dies, waits until nothing of it is left, and says whether it died before its end."""
    alive, held = os.pipe()  # held open by everything that works on the volume
    runs = {"command": _command, "command-alone": _command, "engine": _engine_alone}
    run = runs.get(death.victim, _window)

    def work() -> None:
        os.close(alive)
        run(death, what)

    pid = forked(work, session=True)
    os.close(held)
    if death.after is not None:
        _kill_later(death, pid)
    status = ended(pid)
    os.read(alive, 1)
    os.close(alive)
    assert status in (0, -signal.SIGKILL), f"{death.victim} ended with {status}"
    return status != 0 or (death.victim == "engine" and not (death.directory / "steps").exists())


def _kill_later(death: Death, pid: int) -> None:
    control = death.directory / ".sweeper-workspaces" / "lock"
    before = control.stat().st_mtime_ns if control.exists() else 0
    while not control.exists() or control.stat().st_mtime_ns == before:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return
        time.sleep(0.0005)
    time.sleep(death.after or 0.0)
    victim = int((death.directory / "engine.pid").read_text()) if death.victim == "engine" else pid
    with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
        (os.killpg if death.victim in _GROUPS else os.kill)(victim, signal.SIGKILL)


# --- a command --------------------------------------------------------------------------------------------------------


def _command(death: Death, what: str) -> None:
    from sweeper_gui.cli.app import main

    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(nothing, number)
    host = ForkedEngine(death)
    main([*_COMMANDS[what], "--json", "--config", str(death.directory / "sweeper.toml")], lambda: host)


# --- the engine -------------------------------------------------------------------------------------------------------


class ForkedEngine:
    """A `Host` whose engine is a fork that serves its pipe as `sweeper engine` does."""

    def __init__(self, death: Death) -> None:
        take, ask = os.pipe()
        hear, tell = os.pipe()

        def work() -> None:
            os.close(ask)
            os.close(hear)
            os.dup2(take, 0)
            os.dup2(tell, 1)
            os.close(take)
            os.close(tell)
            (death.directory / "engine.pid").write_text(str(os.getpid()))
            death.counted(serve)

        self.pid = forked(work)
        os.close(take)
        os.close(tell)
        self._requests, self._answers = os.fdopen(ask, "wb"), os.fdopen(hear, "rb")

    def request(self, request: m.Request) -> m.Reply:
        """The engine's reply. Raises `EngineGone`."""
        try:
            write_frame(self._requests, request)
            frame = read_frame(self._answers)
        except (OSError, ValueError) as error:
            raise EngineGone("killed") from error
        if frame is None:
            raise EngineGone("killed")
        return _replies.decode(frame)

    def close(self) -> bool:
        """Closes the pipe and waits for the engine."""
        for stream in (self._requests, self._answers):
            with contextlib.suppress(OSError):  # what was still to be written to a dead one
                stream.close()
        ended(self.pid)
        return True


def _engine_alone(death: Death, what: str) -> None:
    """Drives the engine as the window does, until it dies or all is done."""
    host = ForkedEngine(death)
    try:
        driver = Driver(host, _settings(death.directory))
        driver.run(_request(driver, what))
    except EngineGone:
        pass
    finally:
        host.close()


def _request(driver: Driver, what: str) -> m.Request:
    names = tuple(map(os.fsencode, _ORPHANS))
    if what in ("sweep", "set-aside"):
        asked = Request(names=names, set_aside=True) if what == "set-aside" else Request(cap=100)
        plan = driver.run(m.Prepare(asked)).plan
        return m.Sweep(plan, plan.digest)
    requests: dict[str, m.Request] = {"restore": m.Restore(names), "purge": m.Purge(names), "resume": m.Resume()}
    return requests[what]


def _settings(directory: Path) -> Settings:
    return load_settings(config=directory / "sweeper.toml")


# --- the window -------------------------------------------------------------------------------------------------------


def _window(death: Death, what: str) -> None:
    """The window without a screen, its engine in a process of its own, forked before Qt has any thread."""
    host = ForkedEngine(death)
    from qasync import QEventLoop

    from sweeper_gui.ui.app import make_application
    from sweeper_gui.ui.garbage import collected_here
    from sweeper_gui.ui.theme import Look
    from tests.ui.conftest import make_stage, played
    from tests.ui.scripted_host import ScriptedHost

    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    app = make_application()

    async def whole() -> None:
        stage = make_stage(ScriptedHost(), Look(app, "light"), lambda: host, _settings(death.directory))
        await played(stage, lambda stage: _scene(stage, what))

    with collected_here(), asyncio.Runner(loop_factory=lambda: QEventLoop(app)) as runner:
        runner.run(asyncio.wait_for(whole(), 60))


async def _scene(stage: Any, what: str) -> None:
    """What a person does in the window."""
    from sweeper_gui.ui.plan_choice import all_set_aside
    from sweeper_gui.ui.prompts import Confirmed, SweepQuestion, TrashAct, TrashChoice
    from tests.ui.conftest import as_shown, until

    def aside(question: SweepQuestion) -> Confirmed:
        plan = all_set_aside(question.plan)
        return Confirmed(plan, plan.digest)

    await stage.scanned()
    if what in ("sweep", "set-aside"):
        stage.prompts.confirm = as_shown if what == "sweep" else aside
        stage.window.actions_["select_orphans"].trigger()
        stage.window.refresh()
        stage.window.actions_["sweep"].trigger()
    else:
        act = TrashAct(what)
        stage.prompts.trash_choice = lambda trash: TrashChoice(act, trash.items)
        await until(stage.window.actions_["trash"].isEnabled)
        stage.window.actions_["trash"].trigger()
    await until(lambda: stage.prompts.reports)
