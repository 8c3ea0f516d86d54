"""A work pool that ends with the test, and in which nothing may have gone wrong."""

from collections.abc import Iterator

import pytest

from sweeper_gui.storage.queue import WorkPool


@pytest.fixture
def pool() -> Iterator[WorkPool]:
    """A pool as the engine makes it."""
    pool = WorkPool()
    yield pool
    pool.close()
    assert pool.failures == ()
    assert pool.descriptors.open_now == 0
