"""How a job gets on: one live line on a terminal, a plain line every few seconds elsewhere. On standard error."""

import sys
import time
from collections.abc import Callable

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from sweeper_gui.core.units import age_text, count_text, counted, size_text
from sweeper_gui.engine.messages import ScanProgress, SweepProgress, Update

#: Seconds between two plain lines.
PLAIN_INTERVAL = 5.0
#: From how many seconds on a volume that completes nothing is worth a word.
STALLED = 4.0


class State(msgspec.Struct, frozen=True):
    """What to show: a sentence, and how much of how much is done; `total` is None while that is unknown."""

    text: str
    done: int = 0
    total: int | None = None


def describe(scan: ScanProgress | None, sweep: SweepProgress | None, stalled: float, cancelling: bool) -> State:
    """The state of the job that these belong to; a sweep counts before the scan it was planned on."""
    state = _sweeping(sweep) if sweep else _scanning(scan) if scan else State("starting")
    if stalled >= STALLED:
        state = msgspec.structs.replace(state, text=f"volume not responding for {age_text(stalled)}; {state.text}")
    if cancelling:
        state = msgspec.structs.replace(state, text=f"cancelling; {state.text}")
    return state


def _scanning(scan: ScanProgress) -> State:
    if scan.phase == "listing":
        return State(f"listing: {count_text(scan.listed)} found")
    text = (
        f"measuring: {count_text(scan.measured)} of {counted(scan.to_measure, 'workspace')}, "
        f"{counted(scan.entries, 'entry', 'entries')}"
    )
    return State(text, scan.measured, scan.to_measure)


def _sweeping(sweep: SweepProgress) -> State:
    parts = [
        f"{sweep.step}: {count_text(sweep.finished)} of {counted(sweep.planned, 'workspace')}",
        f"{count_text(sweep.entries_removed)} of {counted(sweep.entries_total, 'entry', 'entries')}",
        f"{size_text(sweep.bytes_freed)} freed",
    ]
    if sweep.rate:
        parts.append(f"{count_text(round(sweep.rate))}/s")
    if sweep.seconds_left is not None:
        parts.append(f"about {age_text(sweep.seconds_left)} left")
    return State(", ".join(parts), sweep.entries_removed, sweep.entries_total)


class _Latest:
    """The newest progress of the job that runs."""

    def __init__(self) -> None:
        self._scan: ScanProgress | None = None
        self._sweep: SweepProgress | None = None

    def state(self, update: Update, cancelling: bool) -> State:
        self._scan = update.scan or self._scan
        self._sweep = update.sweep or self._sweep
        return describe(self._scan, self._sweep, update.stalled, cancelling)


class PlainProgress:
    """Lines for a log file: none for what is quick."""

    def __init__(
        self,
        write: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        interval: float = PLAIN_INTERVAL,
    ) -> None:
        self._write = write
        self._clock = clock
        self._interval = interval
        self.begin()

    def begin(self) -> None:
        """A job starts."""
        self._latest = _Latest()
        self._last = self._clock()
        self._told = (False, False)

    def show(self, update: Update, cancelling: bool) -> None:
        """Writes a line where it is time, and at once for a cancellation and for a volume that no longer answers."""
        state = self._latest.state(update, cancelling)
        due = self._clock() - self._last >= self._interval
        to_tell = (cancelling, update.stalled >= STALLED)
        if due or any(now and not before for now, before in zip(to_tell, self._told, strict=True)):
            self._told = to_tell
            self._last = self._clock()
            self._write(state.text)

    def end(self) -> None:
        """Nothing stays open."""


class TerminalProgress:
    """One line that is drawn anew with every poll, by the thread that polls."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None

    def begin(self) -> None:
        """A job starts."""
        self._latest = _Latest()
        self._progress = Progress(
            BarColumn(bar_width=20),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=None)
        self._progress.start()

    def show(self, update: Update, cancelling: bool) -> None:
        """Draws the line."""
        assert self._progress is not None
        state = self._latest.state(update, cancelling)
        self._progress.update(
            self._task, description=state.text, completed=state.done, total=state.total or None, refresh=True
        )

    def end(self) -> None:
        """Takes the line away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def progress_for(console: Console, write: Callable[[str], None]) -> PlainProgress | TerminalProgress:
    """What fits the standard error stream."""
    return TerminalProgress(console) if sys.stderr.isatty() else PlainProgress(write)
