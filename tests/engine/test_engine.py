"""The engine through its seam, in this process and in one of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from sweeper_gui.core.outcome import Ending
from sweeper_gui.core.plan import Request as Asked
from sweeper_gui.engine import messages as m
from sweeper_gui.engine.host import EngineGone, Host
from sweeper_gui.engine.process import EngineProcess, read_frame, write_frame
from tests.engine.driving import Driver, settings_of
from tests.support.local import LocalHost
from tests.support.volume import FakeVolume


def test_lists_judges_and_measures(driver: Driver) -> None:
    assert driver.run(m.Scan()) == m.Done()
    assert driver.statuses() == {
        "live-0": "live", "live-1": "live", "live-2": "live",
        "gone-0": "orphan", "gone-1": "orphan", "gone-2": "orphan",
        "lost-0": "orphan", "file": "foreign",
    }  # fmt: skip
    assert driver.rows[b"gone-0"].usage is not None
    assert driver.rows[b"gone-0"].usage.entries == 21
    assert driver.registry is not None
    assert (driver.registry.matched_live, driver.registry.matched_deleted, driver.registry.unmatched_directories) == (
        3, 3, 1,
    )  # fmt: skip
    assert driver.volume is not None
    assert driver.volume.root.endswith("workspaces")


def test_sweeps_what_was_confirmed_and_nothing_else(driver: Driver, volume: FakeVolume) -> None:
    planned = driver.run(m.Prepare(Asked(cap=2)))
    assert isinstance(planned, m.Planned)
    other = msgspec.structs.replace(planned.plan, cap=3)
    refused = driver.host.request(m.Sweep(other, planned.plan.digest))
    assert isinstance(refused, m.Failure)
    assert refused.kind == "usage"
    swept = driver.run(m.Sweep(planned.plan, planned.plan.digest))
    assert isinstance(swept, m.Swept)
    assert swept.report.ending is Ending.DONE
    assert len([o for o in swept.report.outcomes if o.done]) == 2
    assert {o.name for o in driver.outcomes} == {o.name for o in swept.report.outcomes}
    assert len(volume.names()) == 6


def test_trash_restore_purge_history_and_diagnosis(driver: Driver, volume: FakeVolume) -> None:
    planned = driver.run(m.Prepare(Asked(names=(b"gone-0", b"lost-0"), set_aside=True)))
    driver.run(m.Sweep(planned.plan, planned.plan.digest))
    trash = driver.run(m.ListTrash())
    assert {item.name for item in trash.items} == {b"gone-0", b"lost-0"}
    assert driver.run(m.Restore((b"lost-0",))).report.outcomes[0].result == "restored"
    assert driver.run(m.Purge((b"gone-0",))).report.outcomes[0].result == "removed"
    assert [past.kind for past in driver.run(m.ReadHistory()).sweeps] == ["purge", "restore", "sweep"]
    checks = driver.run(m.Diagnose()).checks
    assert {check.state for check in checks} <= {"ok", "warning"}
    assert "lost-0" in volume.names()


def test_pinned_one_is_protected_until_it_is_unpinned(driver: Driver) -> None:
    driver.run(m.Scan())
    driver.run(m.Pin(b"gone-0", True))
    driver.poll()
    assert driver.statuses()["gone-0"] == "protected"
    driver.run(m.Pin(b"gone-0", False))
    driver.poll()
    assert driver.statuses()["gone-0"] == "orphan"


def test_rescan_tells_what_came_and_went(driver: Driver, volume: FakeVolume) -> None:
    driver.run(m.Scan())
    (volume.root / "file").unlink()
    volume.deleted("gone-9", 4)
    driver.run(m.Scan(only_new=True))
    assert "file" not in driver.statuses()
    assert driver.statuses()["gone-9"] == "orphan"


def test_volume_that_is_not_there_is_told(host: Host, volume: FakeVolume) -> None:
    settings = settings_of(volume)
    volume.root.rename(volume.root.with_name("elsewhere"))
    driver = Driver(host, settings)
    failure = driver.run(m.Scan())
    assert isinstance(failure, m.Failure)
    assert failure.kind == "untrusted"
    assert driver.volume is not None
    assert "mounted" in driver.volume.error


def test_second_change_is_refused_while_one_runs(driver: Driver) -> None:
    planned = driver.run(m.Prepare(Asked(cap=10)))
    first = driver.host.request(m.Sweep(planned.plan, planned.plan.digest))
    second = driver.host.request(m.Resume())
    assert isinstance(first, m.Started)
    assert isinstance(second, m.Failure)
    driver.result(first.job)


def test_registry_can_be_read_again_at_any_time(driver: Driver, volume: FakeVolume) -> None:
    driver.run(m.Scan())
    volume.revive_session("gone-0")
    driver.run(m.ReadRegistry())
    driver.poll()
    assert driver.statuses()["gone-0"] == "live"


def test_requests_before_opening_and_of_another_protocol_are_refused(host: Host, volume: FakeVolume) -> None:
    assert isinstance(host.request(m.Scan()), m.Failure)
    wire = settings_of(volume).to_wire()
    refused = host.request(m.Open(wire, protocol=99))
    assert isinstance(refused, m.Failure)
    assert "protocol" in refused.message


def big(volume: FakeVolume) -> FakeVolume:
    for number in range(4):
        volume.deleted(f"big-{number}", 4_000)
    return volume


def removing(update: m.Update) -> bool:
    return update.sweep is not None and update.sweep.entries_removed > 50


def begin_to_sweep(host: Host, volume: FakeVolume) -> tuple[Driver, int]:
    driver = Driver(host, settings_of(big(volume)))
    names = tuple(f"big-{number}".encode() for number in range(4))
    planned = driver.run(m.Prepare(Asked(names=names)))
    job = driver.start(m.Sweep(planned.plan, planned.plan.digest, impact="gentle"))
    driver.until(removing)
    return driver, job


def test_cancel_stops_at_the_next_entry_and_tells_what_is_left(host: Host, volume: FakeVolume) -> None:
    driver, job = begin_to_sweep(host, volume)
    driver.host.request(m.Cancel(job))
    started = time.monotonic()
    swept = driver.result(job)
    assert time.monotonic() - started < 2.0
    report = swept.report
    assert report.ending is Ending.CANCELLED
    told = {o.name.decode(): str(o.result) for o in report.outcomes}
    told |= {name.decode(): "untouched" for name in report.untouched}
    assert set(told) == {"big-0", "big-1", "big-2", "big-3"}
    assert "partly-removed" in told.values()
    for name, result in told.items():
        assert (volume.root / name).exists() == (result in ("untouched", "restored"))
    resumed = driver.run(m.Resume())
    assert {str(o.result) for o in resumed.report.outcomes} <= {"removed"}


def test_engine_stops_when_its_front_end_is_killed(volume: FakeVolume) -> None:
    """A front end in a process of its own is killed while its engine removes: the engine ends by itself."""
    script = (
        "import sys; from pathlib import Path; from tests.engine.test_engine import *\n"
        "host = EngineProcess(); print(host.pid, flush=True)\n"
        "begin_to_sweep(host, FakeVolume(Path(sys.argv[1]))); print('removing', flush=True)\n"
        "while True: time.sleep(1)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(volume.root.parent)],
        cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True,
    ) as front_end:  # fmt: skip
        assert front_end.stdout is not None
        engine = psutil.Process(int(front_end.stdout.readline()))
        assert front_end.stdout.readline() == "removing\n"
        front_end.kill()
    engine.wait(15)
    left = sum(1 for _ in volume.root.parent.rglob("f*"))
    time.sleep(0.2)
    assert sum(1 for _ in volume.root.parent.rglob("f*")) == left
    host = LocalHost()
    driver = Driver(host, settings_of(volume))
    driver.run(m.Resume())
    assert not driver.run(m.ListTrash()).items
    host.close()


def poll_for_ever(host: Host) -> None:
    while True:
        host.request(m.Poll())


def test_killed_engine_is_told_with_how_it_ended(volume: FakeVolume) -> None:
    host = EngineProcess()
    Driver(host, settings_of(volume))
    os.kill(host.pid, signal.SIGKILL)
    with pytest.raises(EngineGone, match="SIGKILL"):
        poll_for_ever(host)
    host.close()
    assert not host.running


def test_stopped_engine_does_not_hold_up_the_close(volume: FakeVolume) -> None:
    host = EngineProcess()
    Driver(host, settings_of(volume))
    os.kill(host.pid, signal.SIGSTOP)
    started = time.monotonic()
    host.close()
    assert time.monotonic() - started < 3.0
    assert not host.running


@pytest.mark.parametrize("junk", [b"\x00\x00\x00\x05hello", b"\xff\xff\xff\xff", b"\x00\x00\x00\x09short"])
def test_junk_on_the_pipe_ends_or_is_refused_and_harms_nothing(junk: bytes, volume: FakeVolume) -> None:
    before = volume.names()
    with subprocess.Popen(
        [sys.executable, "-m", "sweeper_gui", "engine"], cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as engine:  # fmt: skip
        answer, said = engine.communicate(junk, timeout=30)
    assert b"Traceback" not in said
    assert volume.names() == before
    if answer:
        assert b"Failure" in answer


def test_frames_carry_messages_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    names = tuple(f"name-{number}".encode() for number in range(100_000))
    with path.open("wb") as out:
        write_frame(out, m.Restore(names))
    with path.open("rb") as into:
        frame = read_frame(into)
        assert frame is not None
        assert msgspec.msgpack.decode(frame, type=m.Request) == m.Restore(names)
        assert read_frame(into) is None


def test_what_was_left_half_removed_is_no_longer_listed_and_counted(host: Host, volume: FakeVolume) -> None:
    driver, job = begin_to_sweep(host, volume)
    driver.host.request(m.Cancel(job))
    report = driver.result(job).report
    driver.poll()
    in_place = {name for name in (f"big-{number}" for number in range(4)) if (volume.root / name).exists()}
    assert {name for name in driver.statuses() if name.startswith("big-")} == in_place
    assert driver.registry is not None
    assert driver.registry.directories == 7 + len(in_place)
    assert driver.registry.matched_deleted == 3 + len(in_place)
    assert driver.registry.unmatched_directories == 1
    assert driver.volume is not None
    assert driver.volume.unfinished == 4 - len(in_place)
    assert len(report.outcomes) + len(report.untouched) == 4


def test_likely_orphans_are_measured_first(tmp_path: Path) -> None:
    """They are what the window is for: the sizes of live ones can wait."""
    volume = FakeVolume(tmp_path)
    for number in range(12):
        (volume.live if number % 2 else volume.deleted)(f"s{number:02}", 400)
    host = LocalHost()
    driver = Driver(host, settings_of(volume, "[sweep]\nmax_in_flight = 1\n"))
    driver.run(m.Scan())
    driver.poll()
    host.close()
    begun = {row.label: row.usage.measured_at for row in driver.rows.values() if row.usage is not None}
    assert len(begun) == 12
    first = sorted(begun, key=lambda name: begun[name])[:6]
    assert set(first) == {f"s{number:02}" for number in range(0, 12, 2)}
