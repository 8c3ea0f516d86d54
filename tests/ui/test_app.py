"""The way in and the way out: the form that asks for a volume, and the whole program in one call."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from sweeper_gui.settings import Settings, state_dir
from sweeper_gui.ui import app as app_module
from sweeper_gui.ui.app import ask_settings, load_typed, run
from sweeper_gui.ui.columns import COLUMN_OF
from sweeper_gui.ui.main_window import MainWindow
from sweeper_gui.ui.memory import Memory, recall
from sweeper_gui.ui.setup_form import SetupForm
from sweeper_gui.ui.theme import Look
from tests.support.messages import Messages
from tests.ui.conftest import SETTINGS, until
from tests.ui.rows import realistic_rows
from tests.ui.scripted_host import ScriptedHost


def window_of(kind: type, qapp: QApplication) -> object:
    return next((widget for widget in qapp.topLevelWidgets() if isinstance(widget, kind) and widget.isVisible()), None)


def test_the_form_shows_the_problem_and_yields_settings(run: Callable, look: Look) -> None:
    async def scene() -> None:
        form = SetupForm("volume.root: '/' is the whole system", load_typed, look)
        form.show()
        assert "whole system" in form.problem.text()
        form.root.setText("/")
        QTest.keyClick(form.root, Qt.Key.Key_Return)
        await until(lambda: form.open_button.isEnabled() and "Volume root" in form.problem.text())
        assert not form.done.is_set()
        form.root.setText("/mnt/efs/workspaces")
        form.registry.setText("sqlite:////var/lib/collab.db")
        form.open_button.click()
        await form.done.wait()
        assert form.settings is not None
        assert form.settings.volume.root == Path("/mnt/efs/workspaces")
        assert form.settings.registry[0].kind == "sql"
        form.deleteLater()

    run(scene())


def test_what_is_typed_is_not_looked_up_on_the_volume(
    run: Callable, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def load(root: str, registry: str) -> Settings:
        time.sleep(0.2)  # a slow home directory
        asked.append((root, registry))
        raise ValueError("<b>no</b>")

    async def scene() -> None:
        form = SetupForm("", load, look)
        form.show()
        form.root.setText("/a")
        form.submit()
        form.submit()  # a second Enter is not a second try
        ticks = 0
        while not asked:
            await asyncio.sleep(0.01)
            ticks += 1
        assert ticks > 5  # the window lives meanwhile
        await until(lambda: form.problem.text() == "<b>no</b>")
        form.close()
        assert form.settings is None
        form.deleteLater()

    run(scene())
    assert asked == [("/a", "")]


def test_an_absolute_root_is_asked_for() -> None:
    for root in ("", "relative/path"):
        with pytest.raises(ValueError, match="root"):
            load_typed(root, "")


def test_a_form_that_is_closed_opens_nothing(run: Callable, look: Look, qapp: QApplication) -> None:
    async def scene() -> None:
        asking = asyncio.ensure_future(ask_settings("", look))
        await until(lambda: window_of(SetupForm, qapp))
        form = window_of(SetupForm, qapp)
        assert isinstance(form, SetupForm)
        form.close()
        assert await asking is None

    run(scene())


@pytest.fixture
def in_the_window(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[MainWindow], object]], int]:
    """Runs the program, does something in its window as soon as rows are shown, and closes it; gives the exit code."""

    def run_and(act: Callable[[MainWindow], object]) -> int:
        host = ScriptedHost(realistic_rows(20))
        original = app_module.show_volume

        async def close_soon(*arguments: object) -> None:
            opened = asyncio.ensure_future(original(*arguments))  # type: ignore[arg-type]
            await until(lambda: window_of(MainWindow, qapp))
            window = window_of(MainWindow, qapp)
            assert isinstance(window, MainWindow)
            await until(window.model.rowCount)
            act(window)
            window.close()
            await opened

        with monkeypatch.context() as patched:
            patched.setattr(app_module, "show_volume", close_soon)
            code = run(SETTINGS, None, host.make)
        assert host.closed
        return code

    return run_and


def test_the_program_runs_from_settings_to_exit_code(in_the_window: Callable[..., int]) -> None:
    shown: list[int] = []
    assert in_the_window(lambda window: shown.append(window.model.rowCount())) == 0
    assert shown == [22]
    assert json.loads(SETTINGS.to_wire())
    assert not (state_dir() / "window.json").exists()  # nobody has set anything


def test_colours_widths_and_figures_are_as_they_were_the_last_time(in_the_window: Callable[..., int]) -> None:
    def change(window: MainWindow) -> None:
        window.look.set_mode("dark")
        window.actions_["figures"].trigger()
        window.table.setColumnWidth(COLUMN_OF["title"], 333)  # as the mouse does

    seen: list[tuple[str, bool, int, int]] = []

    def look_at(window: MainWindow) -> None:
        table = window.table
        widths = table.columnWidth(COLUMN_OF["title"]), table.columnWidth(COLUMN_OF["owner"])
        seen.append((window.look.mode, window.figures.isVisible(), *widths))

    in_the_window(look_at)
    in_the_window(change)
    in_the_window(look_at)
    (_, _, before, owner), after = seen
    assert after == ("dark", True, 333, owner)
    assert before != 333


def test_a_broken_memory_is_ignored_and_told_in_the_log(in_the_window: Callable[..., int], messages: Messages) -> None:
    messages.expect("can't be read and is ignored")
    state_dir().mkdir(parents=True, mode=0o700)
    (state_dir() / "window.json").write_text('{"mode": "purple"')
    assert in_the_window(lambda window: window.actions_["figures"].trigger()) == 0
    assert recall(state_dir()) == Memory(figures=True)  # written anew
