"""How late a front end's event loop is: the measure of the promise never to freeze."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sweeper_gui.core.units import count_text
from sweeper_gui.engine.messages import Check

T = TypeVar("T")

#: Seconds between two beats.
INTERVAL = 0.05
#: Over so many seconds the live figure is taken.
LAST_MINUTE = 60.0
#: What is later than this in more than one of a hundred beats is felt by whoever uses the window, in seconds.
_FELT = 0.1


@dataclass(frozen=True)
class Lateness:
    """By how many seconds an event loop was late: at most, in 99 of 100 beats; over how many beats and seconds."""

    max: float
    p99: float
    beats: int
    seconds: float = 0.0


class Heartbeat:
    """A task that wants to wake every `interval` seconds and notes by how much it is late, of the last `keep` beats."""

    def __init__(self, keep: int = 20_000, interval: float = INTERVAL) -> None:
        self._late: deque[tuple[float, float]] = deque(maxlen=keep)
        self._interval = interval

    def reset(self) -> None:
        """Forgets what was measured."""
        self._late.clear()

    def measured(self, last: float = float("inf")) -> Lateness:
        """The lateness of the beats that are remembered, or of those of the `last` so many seconds."""
        now = time.perf_counter()
        beats = [(at, late) for at, late in self._late.copy() if now - at <= last]
        if not beats:
            return Lateness(0.0, 0.0, 0)
        ordered = sorted(late for _, late in beats)
        seconds = now - beats[0][0] + self._interval
        return Lateness(ordered[-1], ordered[int((len(ordered) - 1) * 0.99)], len(ordered), min(seconds, last))

    async def beat(self) -> None:
        """Measures until it is cancelled."""
        while True:
            due = time.perf_counter() + self._interval
            await asyncio.sleep(self._interval)
            now = time.perf_counter()
            self._late.append((now, max(0.0, now - due)))


def measured_beside(work: Callable[[], T], *, at_least: float = 1.0) -> tuple[T, Lateness]:
    """What `work` returns, and how late an event loop of this process was meanwhile, for so many seconds at least.

    The loop is a thread's; what `work` raises is raised at once.
    """
    heartbeat, ended = Heartbeat(), threading.Event()

    async def beat() -> None:
        beating = asyncio.get_running_loop().create_task(heartbeat.beat())
        while not ended.is_set():  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(INTERVAL)
        beating.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(beat()), name="heartbeat", daemon=True)
    began = time.perf_counter()
    thread.start()
    try:
        result = work()
        time.sleep(max(0.0, at_least - (time.perf_counter() - began)))
    finally:
        ended.set()
    thread.join(1.0)
    return result, heartbeat.measured()


def lateness_check(lateness: Lateness, title: str, whose: str) -> Check:
    """A line of a diagnosis. `whose` begins its sentence: 'this window's event loop'."""
    words = (
        f"{whose} was late by {milliseconds(lateness.max)} at most, and in 99 of 100 beats by no more than "
        f"{milliseconds(lateness.p99)}, over {round(lateness.seconds)} s; a picture on the screen lasts 16 ms"
    )
    if lateness.p99 <= _FELT:
        return Check(title, "ok", words)
    return Check(title, "warning", words, "this host is very busy: look at what else runs on it, say with 'top'")


def milliseconds(seconds: float) -> str:
    """'3 ms', '1,204 ms'."""
    return f"{count_text(round(seconds * 1000))} ms"
