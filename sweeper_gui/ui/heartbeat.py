"""How late the window's event loop is: the measure of the promise never to freeze."""

import asyncio
from collections import deque
from dataclasses import dataclass
from time import perf_counter

#: Seconds between two beats.
INTERVAL = 0.05


@dataclass(frozen=True)
class Lateness:
    """By how many seconds the event loop was late: at most, in 99 of 100 beats, and over how many beats."""

    max: float
    p99: float
    beats: int


class Heartbeat:
    """A task that wants to wake every `interval` seconds and notes by how much it is late, of the last `keep` beats."""

    def __init__(self, keep: int = 20_000, interval: float = INTERVAL) -> None:
        self._late: deque[float] = deque(maxlen=keep)
        self._interval = interval

    def reset(self) -> None:
        """Forgets what was measured."""
        self._late.clear()

    def measured(self) -> Lateness:
        """The lateness of the beats that are remembered."""
        ordered = sorted(self._late)
        if not ordered:
            return Lateness(0.0, 0.0, 0)
        return Lateness(ordered[-1], ordered[int((len(ordered) - 1) * 0.99)], len(ordered))

    async def beat(self) -> None:
        """Measures until it is cancelled."""
        while True:
            due = perf_counter() + self._interval
            await asyncio.sleep(self._interval)
            self._late.append(max(0.0, perf_counter() - due))
