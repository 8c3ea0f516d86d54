"""Starts the window: the application, asyncio on Qt's event loop, the signals, and the way out."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication
from qasync import QEventLoop

from sweeper_gui import __version__
from sweeper_gui.engine.host import Host
from sweeper_gui.engine.process import EngineProcess
from sweeper_gui.settings import Settings, load_settings, state_dir
from sweeper_gui.ui.controller import Controller, poll_pace
from sweeper_gui.ui.daemon_thread import in_daemon_thread
from sweeper_gui.ui.dialogs.answers import DialogPrompts
from sweeper_gui.ui.garbage import collected_here
from sweeper_gui.ui.icons import app_icon
from sweeper_gui.ui.main_window import MainWindow
from sweeper_gui.ui.memory import Memory, keep, recall
from sweeper_gui.ui.options import SweepOptions
from sweeper_gui.ui.setup_form import SetupForm
from sweeper_gui.ui.theme import Look, Mode
from sweeper_gui.ui.work import Work
from sweeper_gui.ui.workspace_model import WorkspaceModel

#: How long the end of the program waits until what the window remembers is written, in seconds.
_KEPT_WITHIN = 1.0

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(
    settings: Settings | None,
    problem: str | None = None,
    make_host: Callable[[], Host] | None = None,
    mode: Mode | None = None,
) -> int:
    """Opens the window and returns the exit code once it is closed.

    Without settings, or without a root in them, a form asks for both first and shows `problem`. `make_host` makes the
    engine; by default it is a process of its own. `mode` is light, dark, or as the desktop has it, None for what it
    was the last time.
    """
    app = make_application()
    memory = recall(state_dir())
    look = Look(app, mode or memory.mode)
    with collected_here(), asyncio.Runner(loop_factory=lambda: QEventLoop(app)) as runner:
        return runner.run(_main(settings, problem or "", make_host or EngineProcess, look, memory))


def make_application() -> QApplication:
    """The one application of this process, named and with its icon."""
    QGuiApplication.setApplicationName("sweeper")
    QGuiApplication.setApplicationDisplayName("Sweeper")
    QGuiApplication.setDesktopFileName("sweeper")
    app = QApplication.instance()
    if not isinstance(app, QApplication):
        app = QApplication(sys.argv[:1])
    app.setApplicationVersion(__version__)
    app.setWindowIcon(app_icon())
    # The last window is closed long before the engine is: the coroutine decides when the program ends.
    app.setQuitOnLastWindowClosed(False)
    return app


async def _main(
    settings: Settings | None, problem: str, make_host: Callable[[], Host], look: Look, memory: Memory
) -> int:
    if settings is None or settings.volume.root is None:
        settings = await ask_settings(problem, look)
    if settings is None:
        return 2
    await show_volume(settings, make_host, look, memory)
    return 0


async def ask_settings(problem: str, look: Look) -> Settings | None:
    """Shows the form until it yields settings or is closed."""
    form = SetupForm(problem, load_typed, look)
    form.show()
    with _on_signals(form.close):
        await form.done.wait()
    form.deleteLater()
    return form.settings


def load_typed(root: str, registry: str) -> Settings:
    """Settings from the configuration with what was typed on top. Raises `SettingsError` or ValueError."""
    if not root.startswith("/"):  # the command line takes a relative one, from a directory that a window has not
        raise ValueError("Name the volume's root as an absolute path, one that starts with '/'.")
    overrides: dict[str, object] = {"root": root}
    if registry:
        overrides["registry"] = (registry,)
    return load_settings(overrides=overrides)


async def show_volume(settings: Settings, make_host: Callable[[], Host], look: Look, memory: Memory) -> None:
    """Shows the main window until it may go, as it was the last time."""
    model = WorkspaceModel()
    controller = Controller(
        settings.to_wire(), make_host, model, pace=poll_pace(os.environ), root=str(settings.volume.root or "")
    )
    window = MainWindow(controller, model, SweepOptions.from_settings(settings), look)
    window.be_as(memory)
    work = Work(window, controller, DialogPrompts(window, look), settings)
    window.show()
    work.start()
    with _on_signals(work.close_now):
        await window.closed.wait()
    if window.memory != memory:
        await _kept(window.memory)
    window.deleteLater()
    controller.deleteLater()


async def _kept(memory: Memory) -> None:
    """A home directory that does not answer must not keep a closed window's program from its end."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_KEPT_WITHIN):
            await in_daemon_thread(lambda: keep(state_dir(), memory))


@contextmanager
def _on_signals(act: Callable[[], object]) -> Iterator[None]:
    """Signals do this; those too that were held back while the window was made."""
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, act)
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
