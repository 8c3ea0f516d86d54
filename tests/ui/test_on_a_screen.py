"""The whole program on a screen of its own, driven by keyboard alone, as a person without a mouse would."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.display import Display, display
from tests.support.trees import fingerprint
from tests.support.volume import FakeVolume


@pytest.fixture
def volume(tmp_path: Path) -> FakeVolume:
    made = FakeVolume(tmp_path)
    for number in range(5):
        made.live(f"alive-{number}", 20)
    for number in range(3):
        made.deleted(f"gone-{number}", 30)
    for number in range(4):
        made.deleted(f"large-{number}", 1_500)
    return made


@pytest.fixture
def screen() -> Iterator[Display]:
    with display() as shown:
        yield shown


class Person:
    """Types, and looks at what becomes of it on the disk."""

    def __init__(self, screen: Display, tmp_path: Path) -> None:
        self._screen = screen
        self._pictures = tmp_path

    def types(self, *keys: str) -> None:
        """Presses keys in the window that has the focus; without a window manager the topmost must be given it."""
        self._screen.xdotool("windowfocus", "--sync", (self._visible("Sweeper: ") or self._visible("– Sweeper"))[-1])
        for key in keys:
            self._screen.xdotool("key", key)

    def writes(self, text: str) -> None:
        self._screen.xdotool("type", text)

    def waits_for(self, condition: Callable[[], object], what: str, seconds: float = 40.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                picture = self._pictures / "screen.png"
                self._screen.screenshot(picture)
                pytest.fail(f"{what} did not happen; see {picture}")
            time.sleep(0.05)

    def sees_dialog(self, title: str) -> None:
        self._screen.window(f"Sweeper: {title}")

    def sees_no_dialog(self) -> None:
        self.waits_for(lambda: not self._visible("Sweeper: "), "the closing of the dialog")

    def _visible(self, title: str) -> list[str]:
        try:
            return self._screen.xdotool("search", "--onlyvisible", "--name", title).split()
        except subprocess.CalledProcessError:  # xdotool's way to say: none
            return []


def names(volume: FakeVolume, start: str) -> list[str]:
    return sorted(path.name for path in volume.root.iterdir() if path.name.startswith(start))


def test_filter_select_confirm_sweep_cancel_and_sweep_again(
    screen: Display, volume: FakeVolume, tmp_path: Path
) -> None:
    config = tmp_path / "sweeper.toml"
    config.write_text(
        f'[volume]\nroot = "{volume.root}"\n[[registry]]\nsource = "{volume.source}"\n[policy]\nmin_age = "10ms"\n'
        '[sweep]\nimpact = "gentle"\nmax_ops_per_second = 900\n'
    )
    config.chmod(0o600)
    live = {name: fingerprint(volume.root / name) for name in names(volume, "alive")}
    command = [sys.executable, "-m", "sweeper_gui", "--config", str(config)]
    with subprocess.Popen(command, env=screen.environment, cwd=Path(__file__).parents[2]) as program:
        try:
            person = Person(screen, tmp_path)
            screen.window("^/.*workspaces – Sweeper")  # the title no longer tells of measuring

            person.types("ctrl+f")
            person.writes("gone")
            person.types("Return", "ctrl+a", "ctrl+Return")  # to the table; what it shows; sweep that
            person.sees_dialog("confirm the sweep")
            person.types("alt+r")
            person.waits_for(lambda: not names(volume, "gone"), "the sweep of the filtered ones")
            person.sees_dialog("sweep done")
            assert len(names(volume, "large")) == 4
            person.types("Return")
            person.sees_no_dialog()

            person.types("ctrl+l", "ctrl+Return")  # the next ones, whatever the filter was
            person.sees_dialog("confirm the sweep")
            person.types("alt+r")
            control = volume.root.parent / ".sweeper-workspaces"
            person.waits_for(lambda: list(control.glob("sweeps/*/removing/*")), "the beginning of the second sweep")
            person.types("Escape", "space")
            person.sees_dialog("sweep cancelled")
            left = sum(len(files) for _, _, files in os.walk(control)) + len(names(volume, "large"))
            assert left > 0
            person.types("Return")
            person.sees_no_dialog()

            person.types("ctrl+q")
            assert program.wait(20) == 0
        finally:
            program.kill()
    assert live == {name: fingerprint(volume.root / name) for name in names(volume, "alive")}
