"""What SIGINT, SIGTERM and SIGHUP do to a command.

Before any work, and while a question is open, they end the command at once. During work they ask for it to be
cancelled, and the command goes on until the engine has reported; only a second SIGINT leaves without waiting.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from sweeper_gui.cli.codes import Code

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SHOW_CURSOR = b"\x1b[?25h\n"  # the progress display hides it, and os._exit skips what would bring it back


class Interrupted(BaseException):
    """A signal arrived while there was nothing to cancel. Like KeyboardInterrupt, no handler of errors catches it."""


class Signals:
    """The handlers of one process. `requested` is set once work is to be cancelled."""

    def __init__(self) -> None:
        self.requested = False
        self._requested_at = 0.0
        self._working = False

    @property
    def requested_for(self) -> float:
        """For how many seconds work has been to be cancelled, 0.0 where it is not."""
        return time.monotonic() - self._requested_at if self.requested else 0.0

    def install(self) -> None:
        """From now on the signals come here. An ignored SIGHUP (nohup) stays ignored."""
        for number in _SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)

    def begin_work(self) -> None:
        """From now on a signal cancels instead of ending the process, until the process ends."""
        self._working = True

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """For the time of a question or a wait: a signal ends it, and the command, at once."""
        if self.requested:
            raise Interrupted
        before, self._working = self._working, False
        try:
            yield
        finally:
            self._working = before

    @staticmethod
    @contextmanager
    def held_back() -> Iterator[None]:
        """Signals wait until the block ends or lets them in itself.

        For code that no exception may leave half-way: Qt, which is half made then, takes the process down.
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if not self._working:
            raise Interrupted
        if self.requested and number == signal.SIGINT:
            leave_at_once(Code.CANCELLED)
        self._requested_at = self._requested_at or time.monotonic()
        self.requested = True


def leave_at_once(code: Code) -> None:
    """Ends the process without waiting for anything: threads, buffers and the volume stay as they are."""
    with suppress(OSError):  # the terminal may have gone
        if sys.stderr.isatty():
            os.write(sys.stderr.fileno(), _SHOW_CURSOR)
    os._exit(code)
