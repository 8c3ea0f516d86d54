"""One sweep per volume, whichever host it runs on, and whatever happens to a host or to the server."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sweeper_gui.core.outcome import Ending
from sweeper_gui.storage.lock import LockHeld
from sweeper_gui.sweep import sweeper
from tests.nfs.test_freshness import before
from tests.support.nfs import Server, wait_until
from tests.sweep.rig import Rig, results

#: A process whose host has another name.
_ON_HOST_B = ("unshare", "--uts", "sh", "-c", 'hostname host-b && exec "$@"', "sh")


class Holding:
    """A run on host b that holds the lock (holding.py)."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert self.line() == "held"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def asked(self) -> str:
        """What it says when it is about to change something."""
        assert self.process.stdin is not None
        print(file=self.process.stdin, flush=True)
        return self.line()


@contextmanager
def holding(b: Rig) -> Iterator[Holding]:
    volume = b.volume
    command = [*_ON_HOST_B, sys.executable, "-m", "tests.nfs.holding", str(volume.root.parent), str(volume.database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Holding(process)
        finally:
            process.kill()


@pytest.fixture
def filled(a: Rig) -> Rig:
    a.volume.live("live-1")
    a.volume.deleted("gone-1", 10)
    return a


def is_free(rig: Rig) -> bool:
    try:
        rig.restore("nothing")
    except LockHeld:
        return False
    return True


def test_a_run_on_another_host_keeps_the_volume_and_is_named(filled: Rig, b: Rig):
    plan = filled.plan(cap=1)
    with holding(b) as holder:
        with pytest.raises(LockHeld, match=rf"host-b \(process {holder.process.pid}\)"):
            filled.sweep(plan)
        assert filled.volume.names() == {"live-1", "gone-1"}
        assert holder.asked() == "it may"
        assert holder.process.stdin is not None
        holder.process.stdin.close()
        assert holder.process.wait() == 0
    assert results(filled.sweep(plan)) == {"gone-1": "removed"}


def test_the_lock_of_a_killed_process_is_free(filled: Rig, b: Rig):
    with holding(b) as holder:
        holder.process.kill()
        holder.process.wait()
        wait_until(lambda: is_free(filled), "the lock is free")


def test_a_lock_that_the_server_gave_up_is_lost_to_its_holder(filled: Rig, b: Rig, server: Server):
    """As after a break of the network that was longer than the lease: others may have had it, so its holder stops.

    Linux takes such a lock anew where nobody else has: so it may be free only when its holder has ended.
    """
    with holding(b) as holder:
        server.expire("host-b")
        assert "lock may be lost" in holder.asked()
        assert "lost" in holder.asked()
        holder.process.kill()
        holder.process.wait()
        wait_until(lambda: is_free(filled), "the lock is free")


def test_a_lock_that_a_restarted_server_does_not_give_back_is_lost(filled: Rig, b: Rig, server: Server):
    with holding(b) as holder:
        server.stop()
        server.forget_hosts()
        server.start()
        server.end_grace()
        assert "lock may be lost" in holder.asked()
        assert "lost" in holder.asked()


def test_a_sweep_that_loses_its_lock_stops_before_the_next_rename(
    filled: Rig, b: Rig, server: Server, monkeypatch: pytest.MonkeyPatch
):
    plan = filled.plan(cap=1)
    before(monkeypatch, sweeper._Sweep, "_confirm", lambda: server.expire("host-a"))
    report = filled.sweep(plan)
    assert report.ending is Ending.STOPPED
    assert "lock" in report.problem
    assert results(report) == {"gone-1": "failed"}
    (item,) = b.trash()
    assert (item.name, str(item.state)) == (b"gone-1", "whole")
    assert results(b.resume()) == {"gone-1": "removed"}
    assert b.volume.names() == {"live-1"}
