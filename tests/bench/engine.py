"""Sweeper's own removing and measuring, as its engine does them, without a registry and a log."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sweeper_gui.storage.limit import TUNINGS, AdaptiveLimit
from sweeper_gui.storage.queue import Impact, WorkPool
from tests.bench.slotfs import FileServer
from tests.support.removals import discovered_and_removed, measured


@contextlib.contextmanager
def pool_with(impact: Impact) -> Iterator[WorkPool]:
    """A new pool: what it learns about the volume is part of what it takes."""
    pool = WorkPool(impact=impact)
    yield pool
    pool.close()
    assert not pool.failures


def remove(
    impact: Impact,
    trees: Sequence[Path],
    on_pool: Callable[[WorkPool], object] = lambda _: None,
    fullest: Mapping[str, int] | None = None,
) -> None:
    """All trees in one pool; the discovery is part of it, the size scan before, which found the `fullest`, is not."""
    known = fullest or {}
    with pool_with(impact) as pool, ThreadPoolExecutor(len(trees)) as threads:
        on_pool(pool)
        ended = threads.map(lambda tree: discovered_and_removed(pool, tree, fullest=known.get(tree.name, 0)), trees)
        for removal in list(ended):
            assert removal.complete, removal


class _Told(AdaptiveLimit):
    """A limit that need not be found: the impact's share of the server's slots."""

    def __init__(self, pool: WorkPool, server: FileServer) -> None:
        super().__init__(pool.max_in_flight, pool.impact, time.monotonic())
        self._server = server

    @property
    def limit(self) -> int:
        """As the server is now."""
        share = TUNINGS[self.impact].share * (self._server.slots or self._ceiling)
        return max(1, min(self._ceiling, int(share)))


def tell_slots(server: FileServer, pool: WorkPool) -> None:
    """Lets a pool go by what the server bears."""
    pool._limit = _Told(pool, server)


def measure(impact: Impact, trees: Sequence[Path]) -> None:
    """As the listing does it."""
    with pool_with(impact) as pool, ThreadPoolExecutor(len(trees)) as threads:
        for result in list(threads.map(lambda tree: measured(pool, tree), trees)):
            assert result.usage.complete, result


@contextlib.contextmanager
def limits_of(seen: list[int]) -> Iterator[Callable[[WorkPool], None]]:
    """Notes a pool's limit every 50 ms, once the pool is given to what this yields."""
    ended = threading.Event()
    threads: list[threading.Thread] = []

    def watch(pool: WorkPool) -> None:
        while not ended.wait(0.05):
            seen.append(pool.limit)

    def begin(pool: WorkPool) -> None:
        threads.append(threading.Thread(target=watch, args=[pool], daemon=True))
        threads[-1].start()

    yield begin
    ended.set()
    for thread in threads:
        thread.join()
