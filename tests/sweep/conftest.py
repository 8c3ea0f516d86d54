from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeper_gui.storage.queue import WorkPool
from tests.sweep.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    pool = WorkPool(8)
    yield Rig(tmp_path, pool)
    pool.close()
