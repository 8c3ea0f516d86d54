"""Making a plan: what is measured for it, how often, and what is never planned."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from msgspec.structs import replace

from sweeper_gui.core.plan import Plan
from sweeper_gui.core.plan import Request as Asked
from sweeper_gui.engine import messages as m
from sweeper_gui.engine.aside import aside
from sweeper_gui.engine.book import Book
from sweeper_gui.engine.prepare import prepare
from sweeper_gui.engine.scan import Scan
from sweeper_gui.settings import load_settings
from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.sweep.ground import Ground
from tests.engine.driving import Driver, settings_of
from tests.support.local import LocalHost
from tests.support.trees import make_tree
from tests.support.volume import FakeVolume

#: For a plan that would never be made.
PATIENCE = 20.0


class Planner:
    """Lists and plans on a volume, in this process."""

    def __init__(self, ground: Ground, book: Book) -> None:
        self.ground = ground
        self.book = book

    def scan(self, reserved: frozenset[bytes] = frozenset()) -> Scan:
        return Scan(self.ground, self.book, reserved=reserved, on_judged=lambda: None)

    def plan(self, asked: Asked, reserved: frozenset[bytes] = frozenset()) -> Plan:
        made = aside(lambda: prepare(self.ground, self.book, self.scan(reserved), asked))
        return made.result(PATIENCE)

    def measured_long_ago(self, name: bytes, seconds: float) -> None:
        (row,) = self.book.rows([name])
        assert row.usage is not None
        at = time.time() - seconds
        old = replace(row.usage, measured_at=at, newest_change_ns=int((at - 1) * 1e9))
        self.book.measured(name, row.workspace.identity, row.workspace.uid, old, self.ground.now())


@pytest.fixture
def planner(volume: FakeVolume) -> Iterator[Planner]:
    pool, cancel = WorkPool(4), Event()
    with Ground(settings_of(volume), pool, cancel) as ground:
        book = Book()
        book.set_rules(ground.policy)
        yield Planner(ground, book)
        cancel.set()
    pool.close()


def names(plan: Plan) -> set[str]:
    return {candidate.name.decode() for candidate in plan.candidates}


@pytest.mark.parametrize("asked", [Asked(cap=10), Asked(cap=10, max_bytes=10**12), Asked(names=(b"gone-0", b"gone-1"))])
def test_what_a_sweep_has_reserved_is_not_measured_and_not_waited_for(planner: Planner, asked: Asked) -> None:
    plan = planner.plan(asked, reserved=frozenset({b"gone-0"}))
    assert "gone-0" not in names(plan)
    assert "gone-1" in names(plan)


def test_an_old_measure_is_taken_again(planner: Planner) -> None:
    planner.scan().run(sizes=True, only_new=False)
    planner.measured_long_ago(b"gone-0", 3_000)
    began = time.time()
    (candidate,) = planner.plan(Asked(names=(b"gone-0",))).candidates
    assert candidate.usage.measured_at >= began


@pytest.mark.parametrize("asked", [Asked(cap=10), Asked(names=(b"gone-0",))])
def test_an_old_measure_that_can_not_be_taken_again_is_not_planned(planner: Planner, asked: Asked) -> None:
    planner.scan().run(sizes=True, only_new=False)
    planner.measured_long_ago(b"gone-0", 3_000)
    plan = planner.plan(asked, reserved=frozenset({b"gone-0"}))
    assert "gone-0" not in names(plan)
    assert plan.remaining_orphans == 4
    if asked.explicit:
        assert "measured too long ago" in plan.refused[0].reason


def test_no_more_is_measured_than_a_capped_plan_needs(planner: Planner) -> None:
    planner.scan().run(sizes=False, only_new=False)
    scan = planner.scan()
    plan = prepare(planner.ground, planner.book, scan, Asked(cap=1))
    assert scan.progress.measured == 3  # the one, and two to step in
    assert len(plan.candidates) == 3
    assert plan.remaining_orphans == 4


def test_what_has_ripened_since_it_was_measured_is_measured_again(planner: Planner, volume: FakeVolume) -> None:
    planner.scan().run(sizes=True, only_new=False)
    (row,) = planner.book.rows([b"gone-0"])
    assert row.usage is not None
    young = replace(row.usage, measured_at=row.usage.newest_change_ns / 1e9 - 0.5)  # less than no age
    planner.book.measured(b"gone-0", row.workspace.identity, row.workspace.uid, young, planner.ground.now())
    assert [ripe.name for ripe in planner.book.ripened()] == [b"gone-0"]
    for asked in (Asked(cap=10), Asked(names=(b"gone-0",))):
        assert "gone-0" in names(planner.plan(asked))


def test_a_shard_that_has_become_a_link_is_not_tried_for_ever(tmp_path: Path, local: LocalHost) -> None:
    """Its workspaces were listed, and can't be opened any more."""
    volume = FakeVolume(tmp_path)
    volume.live("alive", 2)
    for id_ in ("one", "two"):
        volume.session(id_, deleted_at=time.time() - 90 * 86_400)
    make_tree(volume.root / "aa" / "one", 3)
    make_tree(volume.root / "bb" / "two", 3)
    config = tmp_path / "sweeper.toml"
    config.write_text(volume.settings(min_age="0s").replace("[volume]", "[volume]\ndepth = 2"))
    config.chmod(0o600)
    driver = Driver(local, load_settings(config=config))
    driver.run(m.Scan(measure=False))
    shutil.move(volume.root / "aa", tmp_path / "elsewhere")
    (volume.root / "aa").symlink_to(tmp_path / "elsewhere")
    planned = driver.result(driver.start(m.Prepare(Asked(cap=2))), seconds=PATIENCE)
    assert [candidate.name for candidate in planned.plan.candidates] == [b"bb/two"]
    driver.poll()
    row = driver.rows[b"aa/one"]
    assert row.usage is not None
    assert not row.usage.complete
    assert time.time() - row.usage.measured_at < PATIENCE
