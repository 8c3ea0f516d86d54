import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from sweeper_gui.engine.host import EngineGone
from sweeper_gui.engine.messages import Done, Poll, Reply, Request, SetImpact
from sweeper_gui.ui.client import EngineClient
from sweeper_gui.ui.daemon_thread import in_daemon_thread
from tests.ui.conftest import until


class Gate:
    """A host that answers when it is let to, and notices two calls at a time."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.inside = 0
        self.most = 0
        self.threads: set[int] = set()
        self.closed = threading.Event()

    def request(self, request: Request) -> Reply:
        self.threads.add(threading.get_ident())
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.open.wait()
        self.inside -= 1
        return Done()

    def close(self) -> bool:
        self.closed.set()
        return True


def test_one_call_at_a_time_in_one_thread_that_is_not_the_windows(run: Callable) -> None:
    host = Gate()
    host.open.set()

    async def scene() -> None:
        client = EngineClient(lambda: host)
        replies = await asyncio.gather(*(client.request(Poll()) for _ in range(20)))
        assert replies == [Done()] * 20
        client.close()
        assert await client.wait_ended(5)

    run(scene())
    assert host.most == 1
    assert len(host.threads) == 1
    assert threading.get_ident() not in host.threads
    assert host.closed.is_set()


def test_a_stuck_host_holds_up_neither_the_loop_nor_the_closing(run: Callable) -> None:
    host = Gate()

    async def scene() -> None:
        client = EngineClient(lambda: host)
        waiting = asyncio.ensure_future(client.request(Poll()))
        await until(lambda: host.inside)
        await asyncio.sleep(0.05)
        assert client.unanswered > 0.03
        start = time.perf_counter()
        client.close()
        with pytest.raises(EngineGone):
            await waiting
        assert time.perf_counter() - start < 0.5
        assert not await client.wait_ended(0.05)
        with pytest.raises(EngineGone):
            await client.request(Poll())
        host.open.set()
        assert await client.wait_ended(5)

    run(scene())


def test_what_is_left_in_the_queue_is_not_asked_after_the_closing(run: Callable) -> None:
    host = Gate()
    asked: list[Request] = []

    class Listening(Gate):
        def request(self, request: Request) -> Reply:
            asked.append(request)
            return host.request(request)

    async def scene() -> None:
        client = EngineClient(Listening)
        first = asyncio.ensure_future(client.request(Poll()))
        second = asyncio.ensure_future(client.request(SetImpact("fast")))
        await until(lambda: asked)
        client.close()
        host.open.set()
        assert await client.wait_ended(5)
        results = await asyncio.gather(first, second, return_exceptions=True)
        assert all(isinstance(result, EngineGone) for result in results)

    run(scene())
    assert asked == [Poll()]


def test_an_engine_that_can_not_be_started_is_gone(run: Callable) -> None:
    def broken() -> Gate:
        raise OSError("no such program")

    async def scene() -> None:
        client = EngineClient(broken)
        with pytest.raises(EngineGone, match="no such program"):
            await client.request(Poll())
        client.close()
        assert await client.wait_ended(5)

    run(scene())


def test_whatever_a_host_raises_means_that_the_engine_is_gone(run: Callable) -> None:
    class Broken(Gate):
        def request(self, request: Request) -> Reply:
            raise ValueError("gibberish")

    async def scene() -> None:
        client = EngineClient(Broken)
        for _ in range(2):
            with pytest.raises(EngineGone, match="gibberish"):
                await client.request(Poll())
        client.close()
        assert await client.wait_ended(5)

    run(scene())


def test_a_daemon_thread_gives_back_and_raises(run: Callable) -> None:
    async def scene() -> None:
        assert await in_daemon_thread(lambda: threading.current_thread().daemon)
        with pytest.raises(ZeroDivisionError):
            await in_daemon_thread(lambda: 1 // 0)

    run(scene())
