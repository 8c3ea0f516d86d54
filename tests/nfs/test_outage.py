"""The server goes away in the middle, or the run does: nothing is lost, and another host can finish the work."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sweeper_gui.core.plan import Request
from sweeper_gui.engine import messages as m
from sweeper_gui.engine.process import EngineProcess
from tests.engine.driving import Driver
from tests.support.nfs import Server, wait_until
from tests.support.nursery import Nursery
from tests.support.trees import fingerprint
from tests.sweep.rig import Rig, results

#: Seconds without an answer after which every front end says so.
_PATIENCE = 5.0
#: A sweep is killed so many times, evenly over so many steps: there are no fewer.
_KILLS = 4
_STEPS = 120


@contextmanager
def engine() -> Iterator[EngineProcess]:
    host = EngineProcess()
    try:
        yield host
    finally:
        host.close()


def sweep_begun(host: EngineProcess, rig: Rig) -> tuple[Driver, int]:
    """A sweep of everything, as soon as it removes."""
    driver = Driver(host, rig.settings)
    planned = driver.run(m.Prepare(Request(cap=10)))
    job = driver.start(m.Sweep(planned.plan, planned.plan.digest))
    driver.until(lambda update: update.sweep is not None and update.sweep.entries_removed > 0)
    return driver, job


@pytest.fixture
def filled(a: Rig) -> Rig:
    a.volume.live("live-1", 20)
    a.volume.deleted("gone-1", 1500)
    return a


def test_a_sweep_goes_on_when_the_server_is_back(filled: Rig, b: Rig, server: Server):
    """Its lock outlives the restart: the server gives it back before anybody else may ask for it."""
    kept = fingerprint(filled.volume.root / "live-1")
    with engine() as host:
        driver, job = sweep_begun(host, filled)
        server.stop()
        try:
            driver.until(lambda update: update.stalled >= _PATIENCE)
        finally:
            server.start()
        swept = driver.result(job)
    assert results(swept.report) == {"gone-1": "removed"}, swept.report
    assert fingerprint(filled.volume.root / "live-1") == kept


def test_a_sweep_can_be_left_while_the_server_is_away(filled: Rig, b: Rig, server: Server):
    """Another host finishes what it began; what it held is free once the server no longer knows it."""
    kept = fingerprint(filled.volume.root / "live-1")
    with engine() as host:
        driver, job = sweep_begun(host, filled)
        server.stop()
        try:
            driver.until(lambda update: update.stalled >= 0.5)
            assert host.request(m.Cancel(job)) == m.Done()
            assert driver.poll().stalled > 0
            host.close()  # returns, though what the engine has open may keep it until the server is back
            server.forget_hosts()
        finally:
            server.start()
            server.end_grace()
        wait_until(lambda: not host.running, "the engine has ended")
    (item,) = b.trash()
    assert (item.name, str(item.state), item.unfinished) == (b"gone-1", "removing", True)
    assert results(b.resume()) == {"gone-1": "removed"}
    assert b.volume.names() == {"live-1"}
    assert fingerprint(b.volume.root / "live-1") == kept


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("nfs") / "nursery", "tests.nfs.killing:warm_up") as made:
        yield made


@pytest.mark.parametrize("part", range(_KILLS))
def test_what_was_killed_on_one_host_is_finished_on_another(
    nursery: Nursery, mount_a: Path, mount_b: Path, case: str, tmp_path: Path, part: int
):
    """At steps all over a sweep, of which there are some two hundred."""
    arguments = (str(mount_a / case), str(mount_b / case), str(tmp_path))
    nursery.run("tests.nfs.killing:case", *arguments, 3 + part * _STEPS // _KILLS)
