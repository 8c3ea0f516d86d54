"""Cuts of power in the middle of a run, on a real ext4: what its disk would hold is mounted, and all must hold that
holds after a kill (see tests/support/powercut.py).
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nursery import Nursery


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    with Nursery(tmp_path / "nursery", "tests.support.killing:warm_up") as made:
        yield made


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("what", "count"), [("sweep", 24), ("purge", 8), ("restore", 8)])
def test_power_cut_at_any_write(nursery: Nursery, tmp_path: Path, what: str, count: int) -> None:
    place = str(tmp_path / "nursery" / "power-cut")
    found = nursery.run("tests.support.powercut:cuts", place, count, 1, what, True)
    print(found)
    assert found["flushes"] > 5


@pytest.mark.timeout(600)
def test_power_cut_where_changes_get_to_the_disk_in_any_order(nursery: Nursery, tmp_path: Path) -> None:
    """What lies where only whole trees are looked for is whole: its way out of there was waited for."""
    place = str(tmp_path / "nursery" / "power-cut")
    found = nursery.run("tests.support.powercut:cuts", place, 100, 1, "sweep", False)
    print(found)
    assert found["flushes"] > 5
