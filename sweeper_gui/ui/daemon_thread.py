"""Running one blocking call beside the event loop without ever holding up the exit.

asyncio's default executor is joined when the program ends: one thread that is stuck in a hung mount would keep a closed
window alive for ever. A daemon thread is not waited for.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def in_daemon_thread(function: Callable[[], T]) -> T:
    """What the function returns or raises, run in a thread of its own that nobody waits for."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = function()
        except Exception as caught:  # noqa: BLE001 - it is raised again where the result is awaited
            error = caught
        with suppress(RuntimeError):  # the loop has been closed: nobody asks any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="sweeper-ui-call", daemon=True).start()
    return await future
