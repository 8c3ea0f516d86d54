"""Runs that change the volume: what they are told of, what they run beside, and what they are bound to."""

import os
import threading
import time
from pathlib import Path

import pytest

from sweeper_gui.core.outcome import Result
from sweeper_gui.core.plan import Request as Asked
from sweeper_gui.engine import engine as engine_module
from sweeper_gui.engine import messages as m
from sweeper_gui.engine.host import Host
from sweeper_gui.settings import Settings, load_settings
from tests.engine.driving import Driver, settings_of
from tests.support.local import LocalHost
from tests.support.nobody import as_nobody
from tests.support.volume import FakeVolume


def set_aside(driver: Driver, *names: bytes) -> None:
    planned = driver.run(m.Prepare(Asked(names=names, set_aside=True)))
    swept = driver.run(m.Sweep(planned.plan, planned.plan.digest))
    assert [outcome.result for outcome in swept.report.outcomes] == [Result.SET_ASIDE] * len(names)


def items(driver: Driver) -> list[tuple[bytes, tuple[str, int]]]:
    return [(item.name, (item.sweep_id, item.number)) for item in driver.run(m.ListTrash()).items]


def two_of_one_name(driver: Driver, volume: FakeVolume) -> list[tuple[str, int]]:
    """Sets two workspaces aside that had one name, one after the other."""
    set_aside(driver, b"gone-0")
    volume.workspace("gone-0", 5)
    driver.run(m.Scan(only_new=True))
    set_aside(driver, b"gone-0")
    found = items(driver)
    assert [name for name, _ in found] == [b"gone-0", b"gone-0"]
    return [item for _, item in found]


# --- bound to what was confirmed ------------------------------------------------------------------------------------


def test_only_the_items_that_were_confirmed_are_purged(driver: Driver, volume: FakeVolume) -> None:
    first, second = two_of_one_name(driver, volume)
    set_aside(driver, b"gone-1")
    swept = driver.run(m.Purge((b"gone-0",), items=(first,)))
    assert [outcome.result for outcome in swept.report.outcomes] == [Result.REMOVED]
    (third,) = [item for name, item in items(driver) if name == b"gone-1"]
    swept = driver.run(m.Purge(items=(third,)))
    assert [outcome.name for outcome in swept.report.outcomes] == [b"gone-1"]
    assert items(driver) == [(b"gone-0", second)]


def test_an_item_is_restored_and_not_the_latest_of_its_name(driver: Driver, volume: FakeVolume) -> None:
    first, second = two_of_one_name(driver, volume)
    swept = driver.run(m.Restore((b"gone-0",), items=(first,)))
    assert [outcome.result for outcome in swept.report.outcomes] == [Result.RESTORED]
    assert items(driver) == [(b"gone-0", second)]


@pytest.mark.parametrize("request_", [m.Purge(), m.Restore()])
def test_a_purge_or_a_restore_of_nothing_is_refused(driver: Driver, request_: m.Request) -> None:
    refused = driver.host.request(request_)
    assert isinstance(refused, m.Failure)
    assert refused.kind == "usage"


# --- what is told ---------------------------------------------------------------------------------------------------


def test_the_outcomes_of_two_of_one_name_are_both_told(driver: Driver, volume: FakeVolume) -> None:
    two_of_one_name(driver, volume)
    driver.outcomes.clear()
    driver.run(m.Purge((b"gone-0",)))
    assert [(outcome.name, outcome.result) for outcome in driver.outcomes] == [(b"gone-0", Result.REMOVED)] * 2


def test_a_run_is_told_to_its_end_and_no_longer(driver: Driver) -> None:
    planned = driver.run(m.Prepare(Asked(cap=10)))
    driver.updates.clear()
    driver.run(m.Sweep(planned.plan, planned.plan.digest))
    last = driver.updates[-1]
    assert last.finished
    assert last.sweep is not None
    assert last.sweep.finished == 4
    assert driver.poll().sweep is None


def test_a_run_that_fails_is_over_too_and_the_volume_is_told_as_it_is(volume: FakeVolume, local: LocalHost) -> None:
    settings = settings_of(volume)
    driver = Driver(local, settings)
    set_aside(driver, b"gone-0")
    other = LocalHost()
    set_aside(Driver(other, settings), b"gone-1")
    other.close()
    assert driver.volume is not None
    assert driver.volume.set_aside == 1
    volume.database.rename(volume.database.with_name("elsewhere"))
    failure = driver.run(m.Resume())
    assert isinstance(failure, m.Failure)
    assert failure.kind == "untrusted"
    assert driver.poll().sweep is None
    assert driver.volume.set_aside == 2


def clock_skew(driver: Driver) -> float | None:
    assert driver.volume is not None
    return driver.volume.clock_skew


def test_the_clocks_are_compared_with_the_first_run_and_told_from_then_on(driver: Driver) -> None:
    driver.run(m.Scan())
    driver.poll()
    assert clock_skew(driver) is None
    set_aside(driver, b"gone-0")
    driver.run(m.Scan())
    driver.poll()
    skew = clock_skew(driver)
    assert skew is not None
    assert abs(skew) < 10


def test_a_name_of_the_volume_that_is_no_unicode_can_be_told(volume: FakeVolume, host: Host) -> None:
    odd = os.path.join(os.fsencode(volume.root.parent), b"w\xff")
    os.rename(volume.root, odd)
    os.symlink(odd, volume.root)
    driver = Driver(host, settings_of(volume))
    set_aside(driver, b"gone-0")
    assert driver.volume is not None
    assert driver.volume.root.endswith("w\\xff")
    assert driver.volume.control_dir.endswith(".sweeper-w\\xff")
    assert driver.run(m.ListTrash()).path == driver.volume.control_dir


# --- beside each other ----------------------------------------------------------------------------------------------


def test_the_making_of_a_plan_is_seen(driver: Driver) -> None:
    driver.run(m.Prepare(Asked(cap=10)))
    scan = driver.poll().scan
    assert scan is not None
    assert (scan.phase, scan.listed, scan.measured) == ("done", 8, 4)


def slow_registry(volume: FakeVolume) -> Settings:
    path = volume.root.parent / "slow.toml"
    path.write_text(volume.settings(min_age="0s").replace(volume.source, "exec:sleep 60"))
    path.chmod(0o600)
    return load_settings(config=path)


def test_nothing_changes_the_volume_while_a_plan_is_made(volume: FakeVolume, host: Host) -> None:
    driver = Driver(host, slow_registry(volume))
    job = driver.start(m.Prepare(Asked(cap=1)))
    for request in (m.Resume(), m.Purge((b"a",)), m.Restore((b"a",)), m.Bind(), m.Prepare(Asked(cap=1))):
        refused = host.request(request)
        assert refused == m.Failure("usage", "a plan is being made", "wait for it, or cancel it")
    host.request(m.Cancel(job))
    assert driver.result(job).kind == "cancelled"


def test_no_plan_is_made_while_a_run_changes_the_volume(volume: FakeVolume, host: Host) -> None:
    driver = Driver(host, slow_registry(volume))
    job = driver.start(m.Resume())
    refused = host.request(m.Prepare(Asked(cap=1)))
    assert refused == m.Failure("usage", "a resume is running", "wait for it, or cancel it")
    host.request(m.Cancel(job))
    driver.result(job)


def test_a_run_that_waits_for_a_scan_can_be_cancelled(volume: FakeVolume, local: LocalHost) -> None:
    """A scan that hangs in the volume ends when the volume wants it."""
    driver = Driver(local, settings_of(volume))
    answered = threading.Event()
    work = local._engine._work
    assert work is not None
    work._jobs.start("scan", lambda _: answered.wait(30) and m.Done())
    job = driver.start(m.Resume())
    driver.until(lambda update: update.sweep is not None)
    local.request(m.Cancel(job))
    began = time.monotonic()
    failure = driver.result(job)
    assert time.monotonic() - began < 2.0
    assert failure.kind == "cancelled"
    assert not list(volume.root.parent.glob(".sweeper-*"))
    answered.set()


# --- verdicts that age ----------------------------------------------------------------------------------------------


def test_what_was_worked_in_meanwhile_never_becomes_an_orphan_by_time_alone(
    volume: FakeVolume, local: LocalHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change lies deep inside, where neither the top's times nor any notice tell of it."""
    monkeypatch.setattr(engine_module, "_JUDGED_ANEW", 0.05)
    driver = Driver(local, settings_of(volume, min_age="2s"))
    driver.run(m.Scan())
    assert driver.rows[b"gone-0"].status == "recent"
    assert driver.rows[b"gone-1"].status == "recent"
    time.sleep(1.0)
    (volume.root / "gone-0" / "repo" / "new").write_text("work")
    worked = time.time()
    seen: list[float] = []

    def orphan(name: bytes) -> bool:
        if driver.rows[name].status == "orphan":
            seen.append(time.time())
        return driver.rows[name].status == "orphan"

    driver.until(lambda _: orphan(b"gone-1"), seconds=20)
    driver.until(lambda _: orphan(b"gone-0"), seconds=20)
    assert seen[-1] - worked >= 1.99
    usage = driver.rows[b"gone-0"].usage
    assert usage is not None
    assert usage.entries == 22


# --- the check-up ---------------------------------------------------------------------------------------------------


def test_one_is_told_as_one(tmp_path: Path, local: LocalHost) -> None:
    volume = FakeVolume(tmp_path)
    volume.live("alive")
    driver = Driver(local, settings_of(volume))
    driver.run(m.Scan())
    found = {check.title: check.detail for check in driver.run(m.Diagnose()).checks}
    assert found["listing"].startswith("1 workspace listed")
    assert ": 1 session read in " in found["registry"]
    assert found["match"].startswith("1 of 1 directory has a live session, ")
    assert found["local memory"].endswith(": 1 live id at the last trusted read")


def test_what_could_not_be_read_is_not_said_to_match_nothing(volume: FakeVolume, local: LocalHost) -> None:
    volume.live("alive")
    settings = settings_of(volume)
    volume.database.unlink()
    titles = {check.title: check.state for check in Driver(local, settings).run(m.Diagnose()).checks}
    assert titles["registry"] == "error"
    assert "match" not in titles


def test_a_single_id_of_another_form_is_a_warning_and_only_such_ids_are_an_error(
    tmp_path: Path, local: LocalHost
) -> None:
    volume = FakeVolume(tmp_path)
    volume.live("alive")
    volume.session("other")
    volume.workspace("OTHER")
    driver = Driver(local, settings_of(volume))

    def match() -> m.Check:
        diagnosis: m.Diagnosis = driver.run(m.Diagnose())
        (check,) = [check for check in diagnosis.checks if check.title == "match"]
        return check

    assert (match().state, "OTHER" in match().detail) == ("warning", True)
    (volume.root / "alive").rename(volume.root / "ALIVE")
    assert match().state == "error"


# --- an ordinary user -----------------------------------------------------------------------------------------------


def test_an_ordinary_user_lists_what_root_has_swept(nobodys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = FakeVolume(nobodys)
    volume.live("alive")
    volume.deleted("dead")
    volume.deleted("other")
    settings = settings_of(volume)
    host = LocalHost()
    set_aside(Driver(host, settings), b"dead")
    host.close()
    monkeypatch.setenv("SWEEPER_STATE_DIR", str(nobodys / "state"))

    def listed() -> tuple[Driver, object, object, m.Diagnosis]:
        own = LocalHost()
        try:
            driver = Driver(own, settings)
            return driver, driver.run(m.Scan()), driver.run(m.ListTrash()), driver.run(m.Diagnose())
        finally:
            own.close()

    driver, result, trash, diagnosis = as_nobody(listed)
    assert result == m.Done()
    assert driver.statuses() == {"alive": "unknown", "other": "unknown"}
    assert driver.volume is not None
    assert not driver.volume.error
    (warning,) = driver.volume.warnings
    assert "can't be seen" in warning
    assert "Permission denied" in warning
    assert isinstance(trash, m.Failure)
    assert trash.kind == "untrusted"
    (match,) = [check.detail for check in diagnosis.checks if check.title == "match"]
    assert match.startswith("1 of 2 directories has a live session, 1 a deleted one")
