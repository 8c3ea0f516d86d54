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

from sweeper_gui.settings import Settings
from sweeper_gui.ui import app as app_module
from sweeper_gui.ui.app import ask_settings, load_typed, run
from sweeper_gui.ui.main_window import MainWindow
from sweeper_gui.ui.setup_form import SetupForm
from sweeper_gui.ui.theme import Look
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


def test_the_program_runs_from_settings_to_exit_code(qapp: QApplication, monkeypatch: pytest.MonkeyPatch) -> None:
    host = ScriptedHost(realistic_rows(20))
    shown: list[int] = []
    original = app_module.show_volume

    async def close_soon(*arguments: object) -> None:
        opened = asyncio.ensure_future(original(*arguments))  # type: ignore[arg-type]
        await until(lambda: window_of(MainWindow, qapp))
        window = window_of(MainWindow, qapp)
        assert isinstance(window, MainWindow)
        await until(window.model.rowCount)
        shown.append(window.model.rowCount())
        window.close()
        await opened

    monkeypatch.setattr(app_module, "show_volume", close_soon)
    assert run(SETTINGS, None, host.make) == 0
    assert shown == [22]
    assert host.closed
    assert json.loads(SETTINGS.to_wire())
