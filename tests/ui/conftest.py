"""The window's tests: one look for all of them, asyncio on Qt's event loop, and a stage with a scripted engine."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QObject
from PySide6.QtTest import QAbstractItemModelTester
from PySide6.QtWidgets import QApplication
from qasync import QEventLoop

from sweeper_gui.core.audit import TicketRule
from sweeper_gui.engine.host import Host
from sweeper_gui.engine.messages import Diagnosis, History, Trash
from sweeper_gui.engine.process import EngineProcess
from sweeper_gui.settings import Settings
from sweeper_gui.ui.controller import Controller
from sweeper_gui.ui.garbage import collected_here
from sweeper_gui.ui.main_window import MainWindow
from sweeper_gui.ui.options import SweepOptions
from sweeper_gui.ui.prompts import (
    Confirmed,
    Question,
    QuitChoice,
    ReportView,
    SweepQuestion,
    TrashChoice,
)
from sweeper_gui.ui.theme import Look
from sweeper_gui.ui.work import Work
from sweeper_gui.ui.workspace_model import WorkspaceModel
from tests.support.messages import Messages
from tests.ui.scripted_host import VOLUME, ScriptedHost

T = TypeVar("T")
Run = Callable[[Coroutine[None, None, T]], T]

SETTINGS = Settings.model_validate(
    {"volume": {"root": VOLUME.root}, "registry": [{"source": "sqlite:////nonexistent/x.db"}]}
)


@pytest.fixture(autouse=True)
def _without_a_screen(messages: Messages) -> Iterator[None]:
    """The platform that draws nowhere says of each thing a screen is needed for that it can't; that is no mistake."""
    yield
    messages.seen[:] = [text for text in messages.seen if "This plugin does not support" not in text]


@pytest.fixture(scope="session")
def look(qapp: QApplication) -> Look:
    """The light look, on an application that outlives its windows, as `make_application` makes it."""
    qapp.setQuitOnLastWindowClosed(False)
    return Look(qapp, "light")


@pytest.fixture
def run(qapp: QApplication) -> Callable[[Coroutine[None, None, T]], T]:
    """Runs a coroutine on Qt's event loop, as the program does."""

    def run_coroutine(work: Coroutine[None, None, T]) -> T:
        with collected_here(), asyncio.Runner(loop_factory=lambda: QEventLoop(qapp)) as runner:
            return runner.run(asyncio.wait_for(work, 60))

    return run_coroutine


@pytest.fixture
def model(qapp: QApplication) -> Iterator[WorkspaceModel]:
    """An empty model under Qt's own check of models."""
    made = WorkspaceModel()
    tester = QAbstractItemModelTester(made, QAbstractItemModelTester.FailureReportingMode.Warning)
    yield made
    delete_now(tester, made)


def delete_now(*things: QObject) -> None:
    """Deletes Qt objects where no event loop runs that would do it later."""
    for thing in things:
        thing.deleteLater()
        QCoreApplication.sendPostedEvents(thing, QEvent.Type.DeferredDelete)


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Waits until something is so. Raises AssertionError where it does not become so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.005)


@dataclass
class ScriptedPrompts:
    """Answers as a test wants them, and remembers what was asked."""

    confirm: Callable[[SweepQuestion], Confirmed | None] = lambda question: None
    yes: bool = True
    export: bool = False
    trash_choice: Callable[[Trash], TrashChoice | None] = lambda trash: None
    path: Path | None = None
    quit_choice: QuitChoice = QuitChoice.STOP
    sweeps: list[SweepQuestion] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    reports: list[ReportView] = field(default_factory=list)
    histories: list[History] = field(default_factory=list)
    diagnoses: list[Diagnosis] = field(default_factory=list)
    texts: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    quits: list[str] = field(default_factory=list)
    dismissed: int = 0
    plan_paths: list[bool] = field(default_factory=list)

    async def confirm_sweep(self, question: SweepQuestion) -> Confirmed | None:
        self.sweeps.append(question)
        return self.confirm(question)

    async def ask(self, question: Question) -> bool:
        self.questions.append(question)
        return self.yes

    async def show_report(self, view: ReportView) -> bool:
        self.reports.append(view)
        return self.export

    async def choose_trash(self, trash: Trash, now: float, rule: TicketRule) -> TrashChoice | None:
        return self.trash_choice(trash)

    async def show_history(self, history: History) -> None:
        self.histories.append(history)

    async def show_diagnosis(self, diagnosis: Diagnosis) -> None:
        self.diagnoses.append(diagnosis)

    async def ask_plan_path(self, proposal: Path, *, new: bool) -> Path | None:
        self.plan_paths.append(new)
        return self.path

    async def ask_path(self, what: str, proposal: Path) -> Path | None:
        return self.path

    async def ask_quit(self, doing: str) -> QuitChoice:
        self.quits.append(doing)
        return self.quit_choice

    async def show_text(self, title: str, text: str, lines: Sequence[str]) -> None:
        self.texts.append((title, text, tuple(lines)))

    def dismiss(self) -> None:
        self.dismissed += 1


def as_shown(question: SweepQuestion) -> Confirmed:
    """The word for the plan as it was shown."""
    return Confirmed(question.plan, question.plan.digest)


@dataclass
class Stage:
    """The whole window with a scripted engine behind it."""

    host: ScriptedHost
    model: WorkspaceModel
    controller: Controller
    window: MainWindow
    prompts: ScriptedPrompts
    work: Work

    async def scanned(self) -> None:
        """Waits until the volume has been listed and measured."""
        await until(lambda: self.controller.scan is not None and self.controller.scan.phase == "done")
        await until(lambda: not self.controller.running())
        self.model.settle()
        self.window.refresh()

    async def closed(self) -> None:
        """Closes the window, and waits until it is."""
        self.window.close()
        await until(self.window.closed.is_set)

    def asked_more_than(self, count: int) -> bool:
        """Whether more than so many yes-or-no questions have been asked."""
        return len(self.prompts.questions) > count

    def orphans(self) -> list[bytes]:
        """The names of the orphans that are shown, in the table's order."""
        return [entry.row.name for entry in self.model.shown_entries if entry.checkable]


def make_stage(host: ScriptedHost, look: Look, make_host: Callable[[], Host], settings: Settings) -> Stage:
    """A window that is shown and has begun to list."""
    model = WorkspaceModel()
    controller = Controller(settings.to_wire(), make_host, model, pace=0.01, root=VOLUME.root)
    window = MainWindow(controller, model, SweepOptions.from_settings(settings), look)
    prompts = ScriptedPrompts()
    work = Work(window, controller, prompts, settings)
    window.show()
    work.start()
    return Stage(host, model, controller, window, prompts, work)


async def played(stage: Stage, scene: Callable[[Stage], Coroutine[None, None, None]]) -> None:
    """Runs a scene and closes the window afterwards, whatever happened."""
    try:
        await scene(stage)
    finally:
        if not stage.window.closed.is_set():
            stage.host.answering.set()
            stage.work.close_now()
            await until(stage.window.closed.is_set)
        stage.window.deleteLater()
        stage.controller.deleteLater()
        stage.model.deleteLater()
        await asyncio.sleep(0)


@pytest.fixture
def play(run: Callable[[Coroutine[None, None, None]], None], look: Look) -> Callable[..., None]:
    """Runs a scene on a stage with this scripted engine."""

    def play_scene(host: ScriptedHost, scene: Callable[[Stage], Coroutine[None, None, None]]) -> None:
        async def whole() -> None:
            await played(make_stage(host, look, host.make, SETTINGS), scene)

        run(whole())

    return play_scene


@pytest.fixture
def play_for_real(run: Callable[[Coroutine[None, None, None]], None], look: Look) -> Callable[..., None]:
    """Runs a scene on a stage with the real engine in its process, and these settings."""

    def play_scene(settings: Settings, scene: Callable[[Stage], Coroutine[None, None, None]]) -> None:
        async def whole() -> None:
            await played(make_stage(ScriptedHost(), look, EngineProcess, settings), scene)

        run(whole())

    return play_scene
