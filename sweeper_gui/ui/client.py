"""The engine, awaited: one daemon thread carries one request at a time, and the event loop never waits for it."""

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from sweeper_gui.engine.host import EngineGone, Host
from sweeper_gui.engine.messages import Reply, Request

_CLOSED = "the connection to the engine is closed"


@dataclass(frozen=True, eq=False)
class _Call:
    request: Request
    future: asyncio.Future[Reply]
    loop: asyncio.AbstractEventLoop


class EngineClient:
    """One engine, from its start to its end; a new engine is a new client.

    The host is made, asked and closed in one thread of its own. It is never joined: a host that is stuck in a hung
    mount keeps its thread, and nothing else.
    """

    def __init__(self, make_host: Callable[[], Host]) -> None:
        self._make_host = make_host
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._open_calls: set[_Call] = set()
        self._lock = threading.Lock()
        self._host: Host | None = None
        self._gone: str | None = None
        self._detached = False
        self._asked_at: float | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._carry, name="sweeper-engine-client", daemon=True)
        self._thread.start()

    @property
    def unanswered(self) -> float:
        """For how many seconds the request under way has had no answer; 0.0 where none is under way."""
        asked_at = self._asked_at
        return 0.0 if asked_at is None else monotonic() - asked_at

    async def request(self, request: Request) -> Reply:
        """The engine's reply. Raises `EngineGone` when there is none to be had."""
        loop = asyncio.get_running_loop()
        call = _Call(request, loop.create_future(), loop)
        with self._lock:
            if self._detached:
                raise EngineGone(_CLOSED)
            self._open_calls.add(call)
        self._calls.put(call)
        try:
            return await call.future
        finally:
            self._open_calls.discard(call)

    def close(self) -> None:
        """Ends the engine's work. Returns at once; `wait_ended` waits for it. Open requests raise `EngineGone`."""
        with self._lock:
            if self._detached:
                return
            self._detached = True
        for call in tuple(self._open_calls):
            _settle(call.future, None, EngineGone(_CLOSED))
        self._calls.put(None)

    def kill(self) -> None:
        """Ends an engine that does not answer, by force where the host can. Returns at once."""
        self.close()
        host = self._host
        end = getattr(host, "kill", None) or (host.close if host is not None else None)
        if end is not None:
            threading.Thread(target=end, name="sweeper-engine-kill", daemon=True).start()

    async def wait_ended(self, seconds: float) -> bool:
        """Whether the host was closed and the thread came to its end within so many seconds."""
        deadline = monotonic() + seconds
        while not self._ended.is_set() and monotonic() < deadline:  # noqa: ASYNC110 - a thread sets it, not the loop
            await asyncio.sleep(0.01)
        return self._ended.is_set()

    def _carry(self) -> None:
        try:
            self._start_host()
            while (call := self._calls.get()) is not None and not self._detached:
                self._answer(call)
        finally:
            self._close_host()
            self._ended.set()

    def _start_host(self) -> None:
        self._asked_at = monotonic()
        try:
            self._host = self._make_host()
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no engine, and the window says so
            self._gone = f"the engine could not be started: {error}"
        finally:
            self._asked_at = None

    def _answer(self, call: _Call) -> None:
        self._asked_at = monotonic()
        try:
            reply = self._ask(call.request)
        except Exception as error:  # noqa: BLE001 - the same
            self._gone = str(error) or type(error).__name__
            self._deliver(call, None, EngineGone(self._gone))
        else:
            self._deliver(call, reply, None)
        finally:
            self._asked_at = None

    def _ask(self, request: Request) -> Reply:
        if self._gone is not None or self._host is None:
            raise EngineGone(self._gone or "there is no engine")
        return self._host.request(request)

    def _deliver(self, call: _Call, reply: Reply | None, error: EngineGone | None) -> None:
        # Once closed, the event loop may end at any moment and must not be called: `close` settled what was open.
        with self._lock:
            if not self._detached:
                call.loop.call_soon_threadsafe(_settle, call.future, reply, error)

    def _close_host(self) -> None:
        if self._host is not None:
            with suppress(Exception):  # it is being given up: there is nobody left to tell
                self._host.close()


def _settle(future: asyncio.Future[Reply], reply: Reply | None, error: EngineGone | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    elif reply is not None:
        future.set_result(reply)
