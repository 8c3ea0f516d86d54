"""The real program in its real window, with somebody who acts in it and watches how late it is.

    python -m tests.bench.watched ACT BEGAN [OPTIONS OF SWEEPER…]

It is started by the command line's own way. BEGAN is when, by `time.perf_counter`. Its last line is JSON. With
WATCHED_STACKS=1 in the environment it tells on standard error where the window was whenever it was late.
"""

import asyncio
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

#: Seconds between two beats: shorter than the program's own, so that the longest delay is seen nearly whole.
_BEAT = 0.01
#: What the sweep takes: see `tests.bench.many`.
SWEPT = "large-"

Condition = Callable[[], object]
Act = Callable[["Watch"], Awaitable[None]]


class Watch:
    """What is seen of one window, and what is told of it."""

    def __init__(self, window: Any, controller: Any) -> None:
        from sweeper_gui.engine.heartbeat import Heartbeat

        self.window, self.controller = window, controller
        self.heartbeat = Heartbeat(100_000, _BEAT)
        self.all_the_time = Heartbeat(100_000, _BEAT)
        self.moments: dict[str, float] = {}
        self.lateness: dict[str, dict[str, float]] = {}

    def note(self, moment: str) -> None:
        """The first time that something is so, in milliseconds since the start."""
        self.moments.setdefault(moment, round((time.perf_counter() - _began()) * 1e3, 1))

    async def until(self, condition: Condition, seconds: float = 90.0) -> None:
        """Waits. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - what it waits for are things that nobody announces
                await asyncio.sleep(0.02)

    def end_phase(self, name: str) -> None:
        """Notes how late the loop was since the last phase ended."""
        self.lateness[name] = _figures(self.heartbeat.measured())
        self.heartbeat.reset()

    def report(self) -> dict[str, object]:
        """All that was seen."""
        engine = self.controller.engine.pid
        memory = {who: _resident(pid) for who, pid in (("window", os.getpid()), ("engine", engine)) if pid}
        rows = self.window.model.summary.rows
        self.lateness["all together"] = _figures(self.all_the_time.measured())
        return {"rows": rows, "moments": self.moments, "lateness": self.lateness, "memory": memory}

    @property
    def scan(self) -> str:
        """The phase of the last scan."""
        return str(self.controller.scan.phase) if self.controller.scan is not None else ""

    def busy(self) -> bool:
        """Whether the engine has anything to do."""
        return bool(self.controller.running())


def _figures(late: Any) -> dict[str, float]:
    return {"p99 ms": round(late.p99 * 1e3, 1), "max ms": round(late.max * 1e3, 1), "beats": late.beats}


async def _listed(watch: Watch) -> None:
    await watch.until(lambda: watch.scan in ("measuring", "done"))
    watch.note("all rows listed")


async def _measured(watch: Watch) -> None:
    await watch.until(lambda: watch.scan == "done" and not watch.busy())
    watch.note("all rows measured")


async def start(watch: Watch) -> None:
    """Opens the window, and no more."""
    await _listed(watch)


async def sweep(watch: Watch) -> None:
    """Lists, measures and sweeps without a hand on the table."""
    await _measured(watch)
    watch.end_phase("listing and measuring")
    await _swept(watch)


async def use(watch: Watch) -> None:
    """The same, while somebody scrolls, sorts, searches and selects all the time."""
    hands = asyncio.get_running_loop().create_task(_hands(watch))
    try:
        await _measured(watch)
        watch.end_phase("used while measuring")
        await _swept(watch, "used while ")
    finally:
        hands.cancel()


async def block(watch: Watch) -> None:
    """The control: what a listing on the event loop does to it, the way that took the source system down."""
    await _measured(watch)
    watch.heartbeat.reset()
    root = Path(watch.controller.volume.root)
    await asyncio.sleep(0.1)
    for name in [name for name in sorted(os.listdir(root)) if name.startswith("session-")][:500]:
        os.stat(root / name / "repo")
    await asyncio.sleep(0.1)
    watch.end_phase("500 stats on the event loop")


async def _swept(watch: Watch, how: str = "") -> None:
    window = watch.window
    window.filters.clear()
    entries = [entry for entry in window.model.shown_entries if entry.row.label.startswith(SWEPT)]
    window.model.select_none()
    window.model.select([entry.row.name for entry in entries])
    window.actions_["sweep"].trigger()
    await watch.until(lambda: _dialogs(window))
    await asyncio.sleep(0.2)
    watch.end_phase(f"{how}confirming")
    began = time.perf_counter()
    dialog = _dialogs(window)[0]
    (dialog.remove_button if dialog.remove_button.isEnabled() else dialog.aside_button).click()
    await watch.until(lambda: watch.controller.sweep is not None)
    await watch.until(lambda: watch.controller.sweep is None, 120)
    watch.moments["sweep"] = round((time.perf_counter() - began) * 1e3, 1)
    watch.end_phase(f"{how}sweeping")
    await watch.until(lambda: not watch.busy())
    await asyncio.sleep(0.3)
    watch.end_phase(f"{how}listing again")


async def _hands(watch: Watch) -> None:
    from PySide6.QtCore import Qt

    window = watch.window
    bar, header = window.table.verticalScrollBar(), window.table.horizontalHeader()
    turn = 0
    while True:
        turn += 1
        for step in range(8):
            bar.setValue((bar.value() + 700 * (step + 1)) % max(1, bar.maximum()))
            await asyncio.sleep(0.03)
        order = Qt.SortOrder.DescendingOrder if turn % 2 else Qt.SortOrder.AscendingOrder
        header.setSortIndicator(1 + turn % 8, order)
        await asyncio.sleep(0.1)
        for text in ("s", "se", "session-0", "", ""):
            window.filters.search.setText(text)
            await asyncio.sleep(0.15)


def _dialogs(window: Any) -> list[Any]:
    from sweeper_gui.ui.dialogs.base import open_dialogs

    return list(open_dialogs(window))


def _resident(pid: int) -> float:
    """MiB."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return round(int(fields[1]) * os.sysconf("SC_PAGESIZE") / 2**20, 1)


def _began() -> float:
    return float(sys.argv[2])


ACTS: dict[str, Act] = {act.__name__: act for act in (start, sweep, use, block)}


def main() -> None:
    """Runs the program, and acts."""
    from sweeper_gui.cli import window
    from sweeper_gui.cli.app import main as run_command_line

    open_window = window._open

    def open_watched(run: Any, engine: Any) -> int:
        watch_all_windows()  # imports Qt, at the moment when the program would
        return open_window(run, engine)

    vars(window)["_open"] = open_watched
    os._exit(run_command_line(sys.argv[3:]))


async def tell_stacks(longer_than: float = 0.016) -> None:
    """Writes the window's stack as soon as its event loop is late by so many seconds, once for each time."""
    beaten = time.perf_counter()
    watched = threading.get_ident()

    def look() -> None:
        told = 0.0
        while True:
            time.sleep(0.002)
            since, now = beaten, time.perf_counter()
            if since != told and now - since > longer_than + _BEAT:
                told = since
                frames = traceback.extract_stack(sys._current_frames()[watched])[-7:]
                places = " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames))
                sys.stderr.write(
                    f"{(now - _began()) * 1e3:7.0f} ms: late by {(now - since - _BEAT) * 1e3:.0f} ms: {places}\n"
                )

    threading.Thread(target=look, daemon=True).start()
    while True:
        await asyncio.sleep(_BEAT)
        beaten = time.perf_counter()


def watch_all_windows() -> None:
    """Lets whoever works in a window watch it, too."""
    from PySide6.QtCore import QEvent, QObject, QTimer

    from sweeper_gui.ui import app
    from sweeper_gui.ui.work import Work

    class FirstPaint(QObject):
        def __init__(self, watch: Watch) -> None:
            super().__init__()
            self._watch = watch

        def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
            if event.type() == QEvent.Type.Paint:
                watched.removeEventFilter(self)
                QTimer.singleShot(0, lambda: self._watch.note("window shown"))
            return False

    class Watched(Work):
        def start(self) -> None:
            watch = Watch(self._window, self._controller)
            self._first_paint = FirstPaint(watch)
            self._window.table.viewport().installEventFilter(self._first_paint)
            self._window.model.rowsInserted.connect(lambda: watch.note("first rows"))
            self._controller.engine_changed.connect(
                lambda state: watch.note("engine ready") if state.phase.value == "ready" else None
            )
            super().start()
            if os.environ.get("WATCHED_STACKS"):
                self._tasks.start(tell_stacks())
            self._tasks.start(watch.heartbeat.beat())
            self._tasks.start(watch.all_the_time.beat())
            self._tasks.start(self._act(watch))

        async def _act(self, watch: Watch) -> None:
            try:
                await ACTS[sys.argv[1]](watch)
                sys.stdout.write(json.dumps(watch.report()) + "\n")
                sys.stdout.flush()
            finally:
                self.close_now()

    vars(app)["Work"] = Watched


if __name__ == "__main__":
    main()
