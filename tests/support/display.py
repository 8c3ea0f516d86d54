"""A screen of one's own: an X server without a monitor, for the whole program in a real window, driven with xdotool."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_GRAB = """
import sys
from PySide6.QtGui import QGuiApplication
application = QGuiApplication([])
sys.exit(not QGuiApplication.primaryScreen().grabWindow(0).save(sys.argv[1]))
"""


class Display:
    """An X display."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def environment(self) -> dict[str, str]:
        """For a program whose windows are to open here; the tests' own Qt draws nowhere."""
        return {name: value for name, value in os.environ.items() if name != "WAYLAND_DISPLAY"} | {
            "DISPLAY": self.name,
            "QT_QPA_PLATFORM": "xcb",
        }

    def xdotool(self, *arguments: str | int) -> str:
        """What xdotool prints. Raises CalledProcessError where it fails, such as a search that finds nothing."""
        command = ["xdotool", *map(str, arguments)]
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout.strip()

    def window(self, title: str, seconds: float = 30.0) -> int:
        """The id of the visible window whose title matches; waits for it. Raises TimeoutExpired."""
        command = ["xdotool", "search", "--sync", "--onlyvisible", "--name", title]
        found = subprocess.run(
            command, env=self.environment, check=True, capture_output=True, text=True, timeout=seconds
        )
        return int(found.stdout.split()[0])

    def screenshot(self, path: Path) -> None:
        """Saves what is on the screen; the suffix says the format."""
        subprocess.run([sys.executable, "-c", _GRAB, str(path)], env=self.environment, check=True)


@contextmanager
def display(width: int = 1440, height: int = 900) -> Iterator[Display]:
    """A new display of so many pixels."""
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp", "-noreset"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        number = server.stdout.readline().strip()
        if not number:
            raise OSError("Xvfb did not start")
        try:
            yield Display(f":{number}")
        finally:
            server.terminate()
