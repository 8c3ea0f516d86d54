"""What holds an open descriptor and gives it back."""

import contextlib
import os
from types import TracebackType
from typing import Self


class Opened:
    """Owns `descriptor` until it is closed; use it as a context manager, or call `close`."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the descriptor back; harmless when done twice."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            let_go(descriptor)


def let_go(descriptor: int) -> None:
    """Closes a descriptor, whatever that says.

    NFS may say only now that something written is lost. Who needs it to stay has asked fsync before.
    """
    with contextlib.suppress(OSError):
        os.close(descriptor)
