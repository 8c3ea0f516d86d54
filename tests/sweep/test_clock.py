"""The clock of the volume against that of the host: the one that is behind counts, and one that is set stops all."""

import dataclasses
import time
from collections.abc import Callable

import pytest

from sweeper_gui.core.outcome import Ending, Report
from sweeper_gui.storage.control import Control, Probe
from sweeper_gui.storage.lock import Lock
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep import sweeper
from sweeper_gui.sweep.clock import MOST_DRIFT, VolumeClock, since_boot
from tests.support.trees import fingerprint
from tests.sweep.rig import Rig, results

_HOUR = 3_600.0


@pytest.fixture
def filled(rig: Rig) -> Rig:
    rig.volume.live("live-0")
    for number in range(3):
        rig.volume.deleted(f"gone-{number}")
    return rig


@dataclasses.dataclass
class Skew:
    """By how many seconds the volume's clock is ahead of this host's."""

    seconds: float = 0.0


@pytest.fixture
def skew(monkeypatch: pytest.MonkeyPatch) -> Skew:
    """What the volume says of its clock, in the probe and in the lock file."""
    skew = Skew()
    probe, sign = Control.probe, Lock._sign

    def probed(control: Control) -> Probe:
        found = probe(control)
        return Probe(found.clock + skew.seconds, found.host_clock, found.uid, found.gid)

    def signed(lock: Lock) -> None:
        sign(lock)
        lock.clock = None if lock.clock is None else lock.clock + skew.seconds

    monkeypatch.setattr(Control, "probe", probed)
    monkeypatch.setattr(Lock, "_sign", signed)
    return skew


def test_clock_that_is_hours_behind_makes_nothing_old(filled: Rig, skew: Skew, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was changed a moment ago looks hours old to a host that is ahead: the volume's own clock tells better."""
    filled.policy = {"min_age": "1h"}
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 5 * _HOUR)  # so the host, the volume being right
    plan = filled.plan(cap=10)
    assert len(plan.chosen) == 3  # a listing writes nothing, and so has no other clock than the host's
    assert set(results(filled.sweep(plan)).values()) == {"skipped"}


@pytest.mark.parametrize("ahead", [5 * _HOUR, -5 * _HOUR])
def test_clock_that_is_hours_off_all_the_time_stops_nothing_by_itself(filled: Rig, skew: Skew, ahead: float) -> None:
    plan = filled.plan(cap=10)
    skew.seconds = ahead
    report = filled.sweep(plan)
    assert report.ending is Ending.DONE
    # where the volume is behind, what is here was changed in its future
    assert set(results(report).values()) == ({"removed"} if ahead > 0 else {"skipped"})


@pytest.mark.parametrize("jump", [2 * _HOUR, -2 * _HOUR])
@pytest.mark.parametrize("step", ["_take", "_recheck", "_set_aside", "_confirm"])
def test_clock_that_is_set_in_the_middle_stops_the_sweep_and_all_is_put_back(
    filled: Rig, skew: Skew, monkeypatch: pytest.MonkeyPatch, jump: float, step: str
) -> None:
    plan = filled.plan(cap=10)
    prints = {path.name: fingerprint(path) for path in filled.volume.root.iterdir()}
    original: Callable[..., object] = getattr(sweeper._Sweep, step)

    def stepped(self: object, *arguments: object) -> object:
        skew.seconds = jump
        return original(self, *arguments)

    monkeypatch.setattr(sweeper._Sweep, step, stepped)
    report: Report = filled.sweep(plan)
    assert report.ending is Ending.STOPPED
    assert "clock has been set by" in report.problem
    assert {name: fingerprint(filled.volume.root / name) for name in prints} == prints


def test_slow_answer_is_no_jump() -> None:
    """A probe that took two minutes says only that the clock was that at some time in between."""
    clock = VolumeClock()
    clock.saw(1_000_000.0, since_boot())
    clock.saw(1_000_000.0 + 1.0, since_boot() - 2 * MOST_DRIFT)
    clock.saw(1_000_000.0 - 100.0, since_boot() - 2 * MOST_DRIFT)
    with pytest.raises(VolumeError, match="set by"):
        clock.saw(1_000_000.0 - 100.0, since_boot())
