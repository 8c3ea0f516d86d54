"""A host whose limit of tasks is reached."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def no_more_threads(monkeypatch: pytest.MonkeyPatch, after: int = 0) -> Iterator[None]:
    """The host starts so many threads more, and then says what it says where its limit of tasks is reached."""
    left, start = iter(range(after)), threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if next(left, None) is None:
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        yield
