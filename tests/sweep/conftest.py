from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeper_gui.storage.queue import WorkPool
from tests.registries.conftest import postgres
from tests.sweep.rig import Rig

__all__ = ["postgres", "rig"]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    pool = WorkPool(8)
    yield Rig(tmp_path, pool)
    pool.close()
