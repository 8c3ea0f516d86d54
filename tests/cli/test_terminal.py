"""What happens only where there is a terminal: questions, live progress, the countdown, the width."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, CommandLine, without_width
from tests.support.volume import FakeVolume


def _own_the_terminal() -> None:
    """Makes standard input the controlling terminal: its Ctrl-C goes to this process."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A command with a terminal of so many columns as its standard input, output and error."""

    def __init__(self, config: Path, *arguments: str, columns: int = 80) -> None:
        self._leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.process = subprocess.Popen(
            [*COMMAND, "--config", str(config), *arguments],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
            preexec_fn=_own_the_terminal,  # noqa: PLW1509 - these tests run no threads
            env={**without_width(os.environ), "TERM": "xterm"},
            cwd=Path(__file__).parents[2],
        )
        os.close(follower)
        self.shown = ""

    def read_until(self, words: str) -> str:
        """What is shown until these words come."""
        deadline = time.monotonic() + 30
        while words not in self.shown:
            assert time.monotonic() < deadline, self.shown
            if not self._read():
                raise AssertionError(f"it ended without {words!r}:\n{self.shown}")
        return self.shown

    def type(self, keys: str) -> None:
        os.write(self._leader, keys.encode())

    def end(self) -> int:
        """Reads to the end; the exit code."""
        while self._read():
            pass
        return self.process.wait(30)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._leader], [], [], 30)
        assert ready, self.shown
        try:
            data = os.read(self._leader, 65_536)
        except OSError:  # EIO: the last process has closed the terminal
            return False
        self.shown += data.decode("utf-8").replace("\r\n", "\n")
        return bool(data)

    def hang_up(self) -> None:
        """Closes the terminal, as a dropped connection does: SIGHUP, and every write fails."""
        os.close(self._leader)
        self._leader = -1

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if self._leader >= 0:
            os.close(self._leader)


@pytest.fixture
def orphans(volume: FakeVolume, sweeper: CommandLine) -> CommandLine:
    volume.live("alive")
    for number in range(3):
        volume.deleted(f"dead{number}")
    volume.unexplained("odd")
    return sweeper


@pytest.fixture
def terminals(sweeper: CommandLine) -> Iterator[list[Terminal]]:
    made: list[Terminal] = []
    yield made
    for terminal in made:
        terminal.close()


def on_terminal(terminals: list[Terminal], sweeper: CommandLine, *arguments: str, columns: int = 80) -> Terminal:
    terminals.append(Terminal(sweeper.config, *arguments, columns=columns))
    return terminals[-1]


def test_a_sweep_lists_everything_and_asks(orphans: CommandLine, terminals: list[Terminal]) -> None:
    terminal = on_terminal(terminals, orphans, "sweep", "dead0", "odd", "alive")
    shown = terminal.read_until("[y/N]")
    for word in ("dead0", "odd", "alive", "remove", "set-aside", "unexplained", "session is live", "session deleted"):
        assert word in shown
    assert "Remove 1 workspace (20.5 kB) for good and set aside 1 workspace (20.5 kB)?" in shown
    assert orphans.volume.names() == {"alive", "dead0", "dead1", "dead2", "odd"}
    terminal.type("y\n")
    assert terminal.end() == 0
    assert "1 removed, 1 set-aside, 1 skipped" in terminal.shown
    assert orphans.volume.names() == {"alive", "dead1", "dead2"}


@pytest.mark.parametrize("answer", ["n\n", "\n", "yess\n", "\x04"])
def test_anything_but_yes_changes_nothing(orphans: CommandLine, terminals: list[Terminal], answer: str) -> None:
    terminal = on_terminal(terminals, orphans, "sweep")
    terminal.read_until("[y/N]")
    terminal.type(answer)
    assert terminal.end() == 130
    assert "Nothing was changed." in terminal.shown
    assert orphans.volume.names() == {"alive", "dead0", "dead1", "dead2", "odd"}


def test_ctrl_c_at_the_question_changes_nothing(orphans: CommandLine, terminals: list[Terminal]) -> None:
    terminal = on_terminal(terminals, orphans, "sweep")
    terminal.read_until("[y/N]")
    terminal.type("\x03")
    assert terminal.end() == 130
    assert "Traceback" not in terminal.shown
    assert orphans.volume.names() == {"alive", "dead0", "dead1", "dead2", "odd"}


def test_reserves_are_shown_apart(orphans: CommandLine, terminals: list[Terminal]) -> None:
    terminal = on_terminal(terminals, orphans, "sweep", "--max", "1")
    shown = terminal.read_until("[y/N]")
    assert shown.index("dead0") < shown.index("Reserves") < shown.index("dead1")
    assert "Remove 1 workspace" in shown
    terminal.type("n\n")
    terminal.end()


def test_purge_and_resume_show_what_they_would_do_and_ask(orphans: CommandLine, terminals: list[Terminal]) -> None:
    assert orphans("sweep", "dead0", "dead1", "--set-aside", "--yes").code == 0
    terminal = on_terminal(terminals, orphans, "purge", "dead1")
    shown = terminal.read_until("[y/N]")
    assert "dead1" in shown
    assert "dead0" not in shown
    assert "Remove 1 workspace (20.5 kB) for good?" in shown
    terminal.type("n\n")
    assert terminal.end() == 130
    terminal = on_terminal(terminals, orphans, "purge", "dead1")
    terminal.read_until("[y/N]")
    terminal.type("yes\n")
    assert terminal.end() == 0
    assert [item["name"] for item in orphans("trash", "--json").json["items"]] == ["dead0"]
    terminal = on_terminal(terminals, orphans, "resume")
    assert terminal.end() == 0
    assert "There is nothing to do." in terminal.shown


@pytest.mark.parametrize("names", [(), ("dead0",)])
def test_only_what_was_shown_is_purged(orphans: CommandLine, terminals: list[Terminal], names: tuple[str, ...]) -> None:
    """Another one is set aside, and one of the same name, while the question is open."""
    assert orphans("sweep", "dead0", "--set-aside", "--yes").code == 0
    terminal = on_terminal(terminals, orphans, "purge", *names)
    assert "Remove 1 workspace (20.5 kB) for good?" in terminal.read_until("[y/N]")
    orphans.volume.workspace("dead0", 2)
    assert orphans("sweep", "dead0", "dead1", "--set-aside", "--yes").code == 0
    terminal.type("y\n")
    assert terminal.end() == 0
    assert sorted(item["name"] for item in orphans("trash", "--json").json["items"]) == ["dead0", "dead1"]


def test_progress_is_live_on_a_terminal_and_leaves_no_trace(
    volume: FakeVolume, orphans: CommandLine, terminals: list[Terminal]
) -> None:
    volume.deleted("large", 600)
    orphans.configure(volume.settings(min_age="0s") + "[sweep]\nmax_ops_per_second = 900\n")
    terminal = on_terminal(terminals, orphans, "sweep", "large", "--yes", columns=200)
    terminal.read_until("entries, ")
    assert terminal.end() == 0
    assert "freed" in terminal.shown
    assert "\x1b[?25h" in terminal.shown  # the cursor is back
    assert "1 removed" in terminal.shown.splitlines()[-1]


@pytest.mark.parametrize("columns", [80, 160])
def test_a_listing_fits_the_terminal(orphans: CommandLine, terminals: list[Terminal], columns: int) -> None:
    name = "6f1c9a52-0f0e-4c7b-9d51-2f4a35a1b2c3"
    orphans.volume.deleted(name)
    terminal = on_terminal(terminals, orphans, "list", "--no-size", columns=columns)
    assert terminal.end() == 0
    assert name in terminal.shown
    assert ("REASON" in terminal.shown) == (columns == 160)


def test_the_countdown_counts_and_ctrl_c_ends_it(orphans: CommandLine, terminals: list[Terminal]) -> None:
    terminal = on_terminal(terminals, orphans, "sweep", "--yes", "--defer", "90")
    terminal.read_until(" 89 s left")
    terminal.type("\x03")
    assert terminal.end() == 130
    assert "Traceback" not in terminal.shown


def test_a_terminal_that_is_closed_cancels_the_sweep_cleanly(
    volume: FakeVolume, orphans: CommandLine, terminals: list[Terminal]
) -> None:
    volume.deleted("large", 900)
    orphans.configure(volume.settings(min_age="0s") + "[sweep]\nmax_ops_per_second = 900\n")
    terminal = on_terminal(terminals, orphans, "sweep", "large", "--yes", columns=200)
    terminal.read_until("entries, ")
    terminal.hang_up()
    assert terminal.process.wait(30) == 130
    orphans.configure(volume.settings(min_age="0s"))
    (past,) = orphans("history", "--json").json["sweeps"]
    assert past["ending"] == "cancelled"


def test_json_and_questions_do_not_mix(orphans: CommandLine, terminals: list[Terminal]) -> None:
    process = on_terminal(terminals, orphans, "sweep", "dead0", "--json")
    process.read_until("[y/N]")
    process.type("y\n")
    assert process.end() == 0
    assert '"outcome": "removed"' in process.shown


_STUBBORN = """
import os, signal, sys, time
from sweeper_gui.cli.signals import Signals
signals = Signals()
signals.install()
signals.begin_work()
print("ready", flush=True)
while True:
    time.sleep(0.01)
    if signals.requested:
        signals.requested and print("asked", flush=True)
        time.sleep(60)
"""


def test_a_second_ctrl_c_leaves_at_once() -> None:
    process = subprocess.Popen([sys.executable, "-c", _STUBBORN], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"asked\n"
        process.send_signal(signal.SIGTERM)  # asks for what has been asked already
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
    finally:
        process.kill()
        process.communicate()
