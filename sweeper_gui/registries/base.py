"""What the readers have in common: how they fail, how long they may take, and how they are broken off."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sweeper_gui.core.names import visible
from sweeper_gui.core.units import age_text

#: What a read says that somebody ended.
CANCELLED = "cancelled"

#: More of what a source says than this is not quoted in a message.
MAX_QUOTE = 300


class RegistryError(Exception):
    """A source could not be read, or not wholly, or not so that it can be trusted.

    The message is a sentence for a person, `hint` says what to mend; neither holds a secret once it leaves
    `read_all`.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Attempt:
    """One read of one source: the time it has, the way to break it off from another thread, and what to keep quiet."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._stopped = ""
        self._closers: list[Callable[[], None]] = []
        #: what must not stand in any message, such as a token that was read from a file
        self.hidden: set[str] = set()

    @property
    def over(self) -> bool:
        """Whether the reader should end, because of its time or because it was stopped."""
        return self.overdue >= 0

    @property
    def overdue(self) -> float:
        """For how many seconds the reader should have ended; negative before."""
        return time.monotonic() - self._ends

    def remaining(self) -> float:
        """The seconds that are left, more than 0. Raises `RegistryError` when there are none or it was stopped."""
        self.check()
        return max(0.001, -self.overdue)

    def check(self) -> None:
        """Raises `RegistryError` when the time is up or the read was stopped."""
        if self._stopped:
            raise RegistryError(self._stopped)
        if self.over:
            raise self.timeout()

    def timeout(self) -> RegistryError:
        """The error for a source that takes too long."""
        return RegistryError(
            f"did not answer completely within {_seconds_text(self._seconds)}",
            "check that it is reachable and not overloaded, or raise 'timeout' of this registry",
        )

    def cancel(self) -> None:
        """Ends the read now because somebody wants it so."""
        with self._lock:
            self._stopped = self._stopped or CANCELLED
            self._ends = min(self._ends, time.monotonic())
        self.cut()

    def cut(self) -> None:
        """Closes what the reader waits for, so that it notices that it is over."""
        with self._lock:
            closers = list(self._closers)
        for close in closers:
            close()

    @contextmanager
    def stoppable(self, close: Callable[[], None]) -> Iterator[None]:
        """While in here, `cut` calls `close`, which must make the reader's waiting end and may run in any thread."""
        with self._lock:
            self._closers.append(close)
        try:
            self.check()  # it may have been cut before there was anything to close
            yield
        finally:
            with self._lock:
                self._closers.remove(close)


def _seconds_text(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 120 else age_text(seconds)


def quoted(text: str) -> str:
    """What a source said, as one short line in which nothing is hidden."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= MAX_QUOTE else line[: MAX_QUOTE - 1] + "…"
