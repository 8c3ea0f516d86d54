"""Plan files through the engine: written whole, read as somebody else's work, swept as proposed or not at all."""

import errno
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from sweeper_gui.core.audit import Who
from sweeper_gui.core.plan import Plan
from sweeper_gui.core.plan import Request as Asked
from sweeper_gui.core.policy import Treatment
from sweeper_gui.core.proposal import MAX_BYTES, PlanProblem, decoded
from sweeper_gui.engine import engine as engine_module
from sweeper_gui.engine import messages as m
from sweeper_gui.engine import plan_files
from tests.engine.driving import Driver, settings_of
from tests.support.local import LocalHost
from tests.support.nobody import as_nobody
from tests.support.trees import fingerprint
from tests.support.volume import FakeVolume


@pytest.fixture
def planner(local: LocalHost, volume: FakeVolume) -> Driver:
    return Driver(local, settings_of(volume))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    directory = tmp_path / "plans"
    directory.mkdir()
    return directory / "p.json"


def propose(driver: Driver, out: Path, *names: str, ticket: str = "", **asked: Any) -> Plan:
    request = Asked(names=tuple(name.encode() for name in names), cap=None if names else 10, **asked)
    plan: Plan = driver.run(m.Prepare(request)).plan
    saved = driver.run(m.SavePlan(plan, plan.digest, str(out), ticket))
    assert saved == m.PlanSaved(str(out))
    return plan


def opened(driver: Driver, out: Path) -> m.Planned:
    planned = driver.run(m.OpenPlan(str(out)))
    assert isinstance(planned, m.Planned), planned
    return planned


def swept(driver: Driver, planned: m.Planned, **more: Any) -> dict[str, str]:
    assert planned.proposal is not None
    request = m.Sweep(planned.plan, planned.plan.digest, proposed=planned.proposal.digest, **more)
    report = driver.run(request).report
    return {outcome.name.decode(): str(outcome.result) for outcome in report.outcomes}


def refusal(driver: Driver, out: Path) -> m.Failure:
    failure = driver.run(m.OpenPlan(str(out)))
    assert isinstance(failure, m.Failure), failure
    return failure


# --- writing --------------------------------------------------------------------------------------------------------


def test_proposing_writes_one_private_file_and_nothing_on_the_volume(
    planner: Driver, volume: FakeVolume, out: Path
) -> None:
    before = fingerprint(volume.root.parent / "workspaces")
    plan = propose(planner, out, ticket="OPS-1")
    assert fingerprint(volume.root.parent / "workspaces") == before
    assert not (volume.root.parent / ".sweeper-workspaces").exists()
    assert [place.name for place in out.parent.iterdir()] == ["p.json"]
    assert not stat.S_IMODE(out.stat().st_mode) & 0o137
    file = decoded(out.read_bytes())
    assert file.names == tuple(candidate.name for candidate in plan.candidates)
    assert file.volume.control_inode is None
    assert file.ticket == "OPS-1"
    assert str(plan.candidates[0].workspace.identity) not in out.read_text()


def test_a_place_or_a_file_that_can_not_be_used_is_told_with_what_to_do(planner: Driver, out: Path) -> None:
    plan = propose(planner, out)
    failure = planner.run(m.SavePlan(plan, plan.digest, str(out.parent / "nowhere" / "plan.json")))
    assert failure.message.endswith("can't be written: there is no such directory")
    out.parent.chmod(0o755)
    with pytest.raises(PlanProblem, match="Permission denied") as told:
        as_nobody(plan_files.read_plan, out)
    assert "chmod o+r" in told.value.hint


def test_a_file_that_is_there_is_kept_unless_it_may_be_replaced(planner: Driver, out: Path) -> None:
    plan = propose(planner, out)
    before = out.read_bytes()
    failure = planner.run(m.SavePlan(plan, plan.digest, str(out)))
    assert (failure.kind, "exists already" in failure.message) == ("usage", True)
    assert out.read_bytes() == before
    assert planner.run(m.SavePlan(plan, plan.digest, str(out), overwrite=True)) == m.PlanSaved(str(out))
    link = out.with_name("link")
    link.symlink_to(out.with_name("elsewhere"))
    assert planner.run(m.SavePlan(plan, plan.digest, str(link))).kind == "usage"
    assert planner.run(m.SavePlan(plan, plan.digest, str(link), overwrite=True)) == m.PlanSaved(str(link))
    assert not out.with_name("elsewhere").exists()  # the link itself has been replaced


def test_no_plan_is_written_below_the_root_nor_where_nobody_can(planner: Driver, volume: FakeVolume, out: Path) -> None:
    plan = propose(planner, out)
    through = out.with_name("through")
    through.symlink_to(volume.root)
    for place in (volume.root / "p.json", volume.root / "gone-0" / "p.json", through / "p.json"):
        failure = planner.run(m.SavePlan(plan, plan.digest, str(place)))
        assert "lies on the volume" in failure.message
    assert planner.run(m.SavePlan(plan, plan.digest, str(out / "x"))).kind == "usage"
    assert planner.run(m.SavePlan(plan, plan.digest, "/proc/p.json")).kind == "usage"
    assert planner.run(m.SavePlan(plan, plan.digest, "relative.json")).kind == "usage"


def test_a_plan_that_could_not_be_written_whole_leaves_nothing(
    planner: Driver, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = propose(planner, out)
    before = out.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    failure = planner.run(m.SavePlan(plan, plan.digest, str(out), overwrite=True))
    assert "No space left" in failure.message
    assert out.read_bytes() == before
    assert len(list(out.parent.iterdir())) == 1


def test_without_a_path_the_content_is_told(planner: Driver) -> None:
    plan = planner.run(m.Prepare(Asked(cap=10))).plan
    saved = planner.run(m.SavePlan(plan, plan.digest, ""))
    assert decoded(saved.content).names == tuple(candidate.name for candidate in plan.candidates)


def test_a_plan_other_than_the_one_shown_is_not_written(planner: Driver, out: Path) -> None:
    plan = planner.run(m.Prepare(Asked(cap=10))).plan
    reply = planner.host.request(m.SavePlan(replace(plan, cap=11), plan.digest, str(out)))
    assert isinstance(reply, m.Failure)
    assert not out.exists()


# --- sweeping one ---------------------------------------------------------------------------------------------------


def test_a_plan_is_swept_as_proposed_and_the_log_tells_whose_it_was(
    planner: Driver, volume: FakeVolume, out: Path
) -> None:
    propose(planner, out, ticket="OPS-1")
    volume.deleted("gone-9")
    planned = opened(planner, out)
    assert planned.proposal is not None
    assert swept(planner, planned, ticket="OPS-1") == {
        "gone-0": "removed", "gone-1": "removed", "gone-2": "removed", "lost-0": "set-aside",
    }  # fmt: skip
    assert "gone-9" in volume.names()
    (past,) = planner.run(m.ReadHistory()).sweeps
    assert (past.proposal, past.ticket) == (planned.proposal, "OPS-1")
    after = opened(planner, out)
    assert after.plan.candidates == ()
    assert {refused.reason for refused in after.plan.refused} == {"no such workspace on the volume any more"}


def a_file(directory: Path) -> Path:
    return next(place for place in directory.rglob("*") if place.is_file())


Change = Callable[[FakeVolume], object]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: (v.root / "gone-0" / "new").write_text("x"), "it has changed since"),
        (lambda v: a_file(v.root / "gone-0").write_text("x"), "has changed since"),
        (lambda v: os.utime(v.root / "gone-0" / "repo", (1, 1)), "has changed since"),
        (lambda v: (v.root / "gone-0" / "repo").chmod(0o700), "has changed since"),
        (lambda v: v.session("gone-0"), "no orphan any more (live)"),
        (lambda v: v.session("gone-0", deleted_at=time.time() - 40 * 86_400), "its session"),
        (lambda v: v.forget_session("gone-0"), "its doubts"),
        (lambda v: (v.root / "gone-0").rename(v.root / "other"), "no such workspace"),
        (
            lambda v: ((v.root / "gone-0").rename(v.root / "gone-1" / "x"), v.workspace("gone-0", 20)),
            "another directory",
        ),
    ],
    ids=["top", "inside", "mtime", "mode", "live", "deleted anew", "forgotten", "renamed", "replaced"],
)
def test_what_changed_on_the_volume_or_in_the_registry_is_skipped(
    planner: Driver, volume: FakeVolume, out: Path, change: Change, words: str
) -> None:
    propose(planner, out)
    change(volume)
    planned = opened(planner, out)
    reasons = {refused.name: refused.reason for refused in planned.plan.refused}
    assert words in reasons[b"gone-0"]
    told = swept(planner, planned)
    assert told["gone-0"] == "skipped"
    assert told["gone-2"] == "removed"


def test_what_changes_between_opening_and_sweeping_is_skipped_too(
    planner: Driver, volume: FakeVolume, out: Path
) -> None:
    propose(planner, out)
    planned = opened(planner, out)
    (volume.root / "gone-0" / "repo" / "new").write_text("x")
    volume.session("gone-1")
    told = swept(planner, planned)
    assert told["gone-0"] in ("skipped", "restored")
    assert told["gone-1"] == "skipped"
    assert (volume.root / "gone-0" / "repo" / "new").read_text() == "x"


def test_a_pinned_one_and_stricter_rules_are_refused(
    planner: Driver, local: LocalHost, volume: FakeVolume, out: Path
) -> None:
    propose(planner, out)
    planner.run(m.Pin(b"gone-0", True))
    reasons = {refused.name: refused.reason for refused in opened(planner, out).plan.refused}
    assert "pinned" in reasons[b"gone-0"]
    with_host = LocalHost()
    strict = Driver(with_host, settings_of(volume, '[sweep]\nremove = "set-aside"\n'))
    plan = opened(strict, out).plan
    assert [candidate.name for candidate in plan.candidates] == [b"lost-0"]
    assert "stricter" in plan.refused[-1].reason
    with_host.close()


def test_nothing_beyond_the_opened_plan_is_swept_in_its_name(planner: Driver, volume: FakeVolume, out: Path) -> None:
    propose(planner, out, "gone-0")
    planned = opened(planner, out)
    assert planned.proposal is not None
    other = planner.run(m.Prepare(Asked(names=(b"gone-1",)))).plan
    for plan, digest in ((other, planned.proposal.digest), (planned.plan, "never opened")):
        reply = planner.host.request(m.Sweep(plan, plan.digest, proposed=digest))
        assert isinstance(reply, m.Failure)
        assert reply.kind == "usage"
    gentler = planned.plan.all_set_aside()
    report = planner.run(m.Sweep(gentler, gentler.digest, proposed=planned.proposal.digest)).report
    assert [str(outcome.result) for outcome in report.outcomes] == ["set-aside"]
    assert {"gone-1", "gone-2"} <= set(volume.names())


def test_doubtful_ones_that_were_named_are_removed_as_proposed(planner: Driver, out: Path) -> None:
    propose(planner, out, "lost-0", remove_doubtful=True)
    planned = opened(planner, out)
    assert planned.plan.candidates[0].treatment is Treatment.REMOVE
    assert swept(planner, planned) == {"lost-0": "removed"}


# --- what is no plan for here ---------------------------------------------------------------------------------------


def test_a_plan_for_another_volume_or_registry_is_refused(
    planner: Driver, volume: FakeVolume, out: Path, tmp_path: Path
) -> None:
    propose(planner, out)
    other = FakeVolume(tmp_path / "other")
    other.live("live-0")
    for elsewhere in (
        settings_of(other),
        settings_of(volume).model_copy(update={"registry": settings_of(other).registry}),
    ):
        host = LocalHost()
        failure = refusal(Driver(host, elsewhere), out)
        assert failure.kind == "untrusted"
        assert failure.hint
        host.close()
    volume.root.rename(tmp_path / "moved")
    volume.root.mkdir()
    assert "another directory lies at" in refusal(planner, out).message


def test_a_plan_that_is_too_old_or_from_the_future_is_refused(
    planner: Driver, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    propose(planner, out)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 8 * 86_400)
    assert "8 days old, more than plan_max_age (7 days)" in refusal(planner, out).message
    monkeypatch.setattr(time, "time", lambda: now - 3_600)
    assert "from the future" in refusal(planner, out).message


def test_a_file_that_is_none_is_refused(planner: Driver, out: Path) -> None:
    propose(planner, out)
    good = out.read_bytes()

    def made(content: bytes | None = None, mode: int = 0o600) -> None:
        out.unlink(missing_ok=True)
        if content is not None:
            out.write_bytes(content)
            out.chmod(mode)

    made(good, 0o620)
    assert "others than its owner may write it" in refusal(planner, out).message
    made(good, 0o602)
    assert "others than its owner may write it" in refusal(planner, out).message
    made(good.replace(b'"cap": 10', b'"cap": 11'))
    assert "digest does not fit" in refusal(planner, out).message
    made(json.dumps(json.loads(good)).encode())
    assert "not as 'sweeper plan' wrote it" in refusal(planner, out).message
    made(b"")
    assert refusal(planner, out).kind == "usage"
    with out.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert "larger than" in refusal(planner, out).message
    made()
    assert "No such file" in refusal(planner, out).message
    os.mkfifo(out)
    assert "no regular file" in refusal(planner, out).message
    out.unlink()
    (out.parent / "real").write_bytes(good)
    out.symlink_to("real")
    assert "symbolic link" in refusal(planner, out).message
    assert "Is a directory" in refusal(planner, out.parent).message
    assert "no regular file" in refusal(planner, Path("/dev/zero")).message
    made(good)
    assert opened(planner, out).plan.candidates


def test_a_plan_that_may_not_be_read_is_told(planner: Driver, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    with pytest.raises(PlanProblem, match="Permission denied"):
        as_nobody(plan_files.read_plan, secret)


# --- two persons ----------------------------------------------------------------------------------------------------


def test_with_two_persons_only_what_somebody_else_proposed_is_swept(
    local: LocalHost, volume: FakeVolume, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(local, settings_of(volume, "[sweep]\ntwo_persons = true\n"))
    propose(driver, out, "gone-0")
    planned = opened(driver, out)
    assert planned.proposal is not None
    assert planned.own
    before = fingerprint(volume.root)
    mine = m.Sweep(planned.plan, planned.plan.digest, proposed=planned.proposal.digest)
    for request in (m.Sweep(planned.plan, planned.plan.digest), mine):
        reply = driver.host.request(request)
        assert isinstance(reply, m.Failure)
        assert "two_persons" in reply.message
    assert driver.run(replace(mine, dry_run=True)).report.dry_run
    assert fingerprint(volume.root) == before
    monkeypatch.setattr(engine_module, "myself", lambda: Who("root", "elsewhere", 1, "sue"))
    planned = opened(driver, out)
    assert not planned.own
    assert swept(driver, planned) == {"gone-0": "removed"}
