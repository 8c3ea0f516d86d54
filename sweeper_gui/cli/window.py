"""The way from the command line to the window."""

import contextlib
import os
from collections.abc import Callable

from sweeper_gui.cli.codes import Code, Refusal
from sweeper_gui.cli.invocation import Invocation
from sweeper_gui.cli.log import log_to
from sweeper_gui.engine.host import Host

_DISPLAY_VARIABLES = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")


def open_window(run: Invocation) -> int:
    """Opens the window with the settings, or with what is wrong with them. Raises `Refusal` without a display."""
    require_display("Use 'sweeper list' and 'sweeper sweep' here, or connect with 'ssh -X'.")
    from sweeper_gui.settings import state_dir

    log_to(state_dir())
    from sweeper_gui.engine.ahead import StartedAhead

    # Signals come to the window once it is there to close; threads that are started before that must not take them.
    with run.signals.held_back(), contextlib.closing(StartedAhead()) as engine:  # it imports what it needs meanwhile
        return _open(run, engine)


def _open(run: Invocation, engine: Callable[[], Host]) -> int:
    from sweeper_gui.settings import SettingsError, state_dir

    try:
        from sweeper_gui.ui.app import run as run_window
    except ImportError as error:  # Qt loads system libraries that a bare host lacks
        raise Refusal(
            Code.FAILED,
            f"the window can't be opened, something that Qt needs is missing: {error}",
            "Install it; on Debian and Ubuntu: apt install libegl1 libgl1 libglib2.0-0 libdbus-1-3 libxkbcommon0 "
            "libfontconfig1. The commands work without.",
        ) from error
    try:
        settings = run.load_settings()
    except SettingsError as error:
        return run_window(None, str(error), engine)
    log_to(state_dir(), settings.secrets)
    return run_window(settings, None, engine)


def require_display(hint: str) -> None:
    """Raises `Refusal` where there is none: Qt would abort the process."""
    if not any(os.environ.get(name) for name in _DISPLAY_VARIABLES):
        raise Refusal(Code.USAGE, "there is no display to open the window on", hint)
