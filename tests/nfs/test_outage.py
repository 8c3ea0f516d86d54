"""The server goes away in the middle, or the run does: nothing is lost, and another host can finish the work."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sweeper_gui.core.plan import Request
from sweeper_gui.engine import messages as m
from sweeper_gui.engine.process import EngineProcess
from tests.engine.driving import Driver
from tests.support.nfs import Server, wait_until
from tests.support.trees import fingerprint
from tests.support.volume import FakeVolume
from tests.sweep.rig import Rig, results

#: Seconds without an answer after which every front end says so.
_PATIENCE = 5.0


@contextmanager
def engine() -> Iterator[EngineProcess]:
    host = EngineProcess()
    try:
        yield host
    finally:
        host.close()


def sweep_begun(host: EngineProcess, rig: Rig) -> tuple[Driver, int]:
    """A sweep of everything, as soon as it removes."""
    rig.policy["max_in_flight"] = "2" if False else rig.policy.get("max_in_flight", "")
    rig.policy.pop("max_in_flight")
    driver = Driver(host, rig.settings)
    planned = driver.run(m.Prepare(Request(cap=10)))
    job = driver.start(m.Sweep(planned.plan, planned.plan.digest))
    driver.until(lambda update: update.sweep is not None and any(tree.entries for tree in update.sweep.trees))
    return driver, job


@pytest.fixture
def filled(a: Rig) -> Rig:
    a.volume.live("live-1", 20)
    a.volume.deleted("gone-1", 1500)
    return a


def test_a_sweep_goes_on_when_the_server_is_back(filled: Rig, server: Server):
    kept = fingerprint(filled.volume.root / "live-1")
    with engine() as host:
        driver, job = sweep_begun(host, filled)
        server.stop()
        try:
            driver.until(lambda update: update.stalled >= _PATIENCE)
        finally:
            server.start()
        server.end_grace()
        swept = driver.result(job)
    assert results(swept.report) == {"gone-1": "removed"}, swept.report
    assert fingerprint(filled.volume.root / "live-1") == kept
