"""Running something beside the caller."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


def aside(function: Callable[[], T]) -> "Future[T]":
    """Starts a function in a thread of its own; the future has its result or its exception.

    A daemon thread, not an executor's: those are joined when the interpreter ends, and a thread that hangs in a dead
    mount would hold it for ever.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 (handed to who asks for the result)
            future.set_exception(error)

    threading.Thread(target=run, name=f"aside-{getattr(function, '__name__', 'work')}", daemon=True).start()
    return future


@contextmanager
def beside(function: Callable[[], object]) -> Iterator[None]:
    """Runs a function beside the block, and ends with both. What the block raises comes first."""
    other = aside(function)
    try:
        yield
    finally:
        wait([other])  # what it works with may be closed afterwards
    other.result()
