"""What goes wrong in the middle of a sweep: each ends in words, with every tree where its outcome says it is."""

import errno
import itertools
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sweeper_gui.core.outcome import Ending, Outcome, Report
from sweeper_gui.storage import bulk, files, order
from sweeper_gui.storage import discover as discover_module
from sweeper_gui.storage import lock as lock_module
from sweeper_gui.storage.discover import Discovery
from sweeper_gui.storage.volume import Volume, VolumeError
from sweeper_gui.sweep import clock, removal, sweeper
from sweeper_gui.sweep import log as log_module
from sweeper_gui.sweep.removal import MOST_PENDING, Removals
from sweeper_gui.sweep.site import Site
from sweeper_gui.sweep.tree import Tree
from tests.support.messages import Messages
from tests.support.mounts import ext4
from tests.support.nobody import as_nobody
from tests.support.pieces import one_by_one
from tests.support.trees import fingerprint
from tests.sweep.rig import Rig, outcome_of, results

#: The preflight moves a directory of its own out of the trash and back, before any workspace is renamed.
_PROBES = 2


@pytest.fixture
def filled(rig: Rig) -> Rig:
    rig.volume.live("live-0", 10)
    for number in range(4):
        rig.volume.deleted(f"gone-{number}", 10)
    return rig


def account(rig: Rig, report: Report, prints: dict[str, str]) -> None:
    """Every workspace is where its outcome says, whole where it says so, and told once."""
    names = [outcome.name for outcome in report.outcomes]
    assert len(names) == len(set(names))
    lying = {item.name.decode(): item for item in rig.trash()}
    for name, result in results(report).items():
        place = rig.volume.root / name
        if result in ("skipped", "restored"):
            assert fingerprint(place) == prints[name]
            assert name not in lying
        elif result == "removed":
            assert not place.exists()
            assert name not in lying
        else:
            assert name in lying or fingerprint(place) == prints[name]
    for name, before in prints.items():
        if name.startswith("live"):
            assert fingerprint(rig.volume.root / name) == before


def prints_of(rig: Rig) -> dict[str, str]:
    return {path.name: fingerprint(path) for path in rig.volume.root.iterdir() if not path.name.startswith(".")}


def failing(code: int, nth: int, function: Callable[..., Any], *, after: bool = False) -> Callable[..., Any]:
    """The function, failing at its nth call: before it does anything, or with the answer lost."""
    calls = 0

    def call(*arguments: Any, **keywords: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls != nth:
            return function(*arguments, **keywords)
        if after:
            function(*arguments, **keywords)
        raise OSError(code, os.strerror(code))

    return call


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOENT, errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("after", [False, True], ids=["not done", "done, answer lost"])
@pytest.mark.parametrize("nth", [1, 2, 5, 6])
def test_rename_that_fails_or_seems_to(
    filled: Rig, monkeypatch: pytest.MonkeyPatch, code: int, after: bool, nth: int
) -> None:
    """The first four renames of workspaces set them aside; the next ones go to `removing/`."""
    plan, prints = filled.plan(cap=10), prints_of(filled)
    monkeypatch.setattr(
        files, "rename_exclusively", failing(code, _PROBES + nth, files.rename_exclusively, after=after)
    )
    report = filled.sweep(plan)
    account(filled, report, prints)
    if after:
        assert set(results(report).values()) == {"removed"}
    else:
        assert sorted(results(report).values()).count("removed") == 3


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EMFILE])
@pytest.mark.parametrize("nth", [1, 3])
def test_look_at_what_was_renamed_that_fails(filled: Rig, monkeypatch: pytest.MonkeyPatch, code: int, nth: int) -> None:
    plan, prints = filled.plan(cap=10), prints_of(filled)
    monkeypatch.setattr(files, "identity_of", failing(code, nth + 4, files.identity_of))
    report = filled.sweep(plan)
    account(filled, report, prints)
    assert sorted(results(report).values()) == ["removed", "removed", "removed", "restored"]


def test_sizes_that_no_volume_has_are_told_as_far_as_a_log_and_a_message_can(
    filled: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file server may say anything of a file's blocks."""

    def discover(*arguments: Any, on_done: Callable[[Discovery], None], **keywords: Any) -> None:
        def huge(found: Discovery) -> None:
            assert found.top is not None
            found.top.allocated = 2**80
            on_done(found)

        discover_truly(*arguments, on_done=huge, **keywords)

    discover_truly = discover_module.discover
    plan = filled.plan(cap=10)
    monkeypatch.setattr(order, "discover", discover)
    report = filled.sweep(plan)
    assert set(results(report).values()) == {"removed"}
    assert report.ending is Ending.DONE
    msgspec.msgpack.encode(report)
    [past] = filled.history()
    assert past.ending is Ending.DONE
    assert len(past.outcomes) == 4


def test_outcome_that_can_t_be_written_down_ends_its_tree_and_is_told(
    filled: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that waited for it for ever would keep the lock."""
    plan, prints = filled.plan(cap=10), prints_of(filled)
    monkeypatch.setattr(log_module.Ended, "of", lambda outcome, modes=(): unwritable(outcome))

    def unwritable(outcome: Outcome) -> log_module.Ended:
        return log_module.Ended(0.0, log_module.Name.of(outcome.name), outcome.result, "\ud800")

    report = filled.sweep(plan)
    account(filled, report, prints)
    assert report.ending is Ending.STOPPED
    assert "can't be written down" in report.problem


def test_log_that_is_not_complete_is_told_of_a_cancelled_run_too(filled: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = filled.plan(cap=10)

    def unwritable(outcome: Outcome) -> log_module.Ended:
        filled.cancel.set()
        return log_module.Ended(0.0, log_module.Name.of(outcome.name), outcome.result, "\ud800")

    monkeypatch.setattr(log_module.Ended, "of", lambda outcome, modes=(): unwritable(outcome))
    monkeypatch.setattr(sweeper, "BATCH", 1)
    report = filled.sweep(plan)
    assert report.ending is Ending.CANCELLED
    assert "can't be written down" in " ".join(report.notes)


def test_tree_that_somebody_took_out_of_the_trash_is_not_said_to_lie_there(
    filled: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def confirm(self: Any, trees: Any) -> None:
        [whole] = filled.control_dir.glob("sweeps/*/whole")
        (whole / "0").rename(tmp_path / "taken")
        raise VolumeError("interrupted")

    plan, prints = filled.plan("gone-0"), prints_of(filled)
    monkeypatch.setattr(sweeper._Sweep, "_confirm", confirm)
    told = outcome_of(filled.sweep(plan), "gone-0")
    assert told.result == "failed"
    assert "no longer where it was set aside to" in told.reason
    assert "stays set aside" not in told.reason
    assert fingerprint(tmp_path / "taken") == prints["gone-0"]


@pytest.mark.parametrize("moves", [True, False])
def test_answer_that_grew_old_while_the_volume_hung_is_asked_for_again_before_the_first_unlink(
    filled: Rig, monkeypatch: pytest.MonkeyPatch, moves: bool
) -> None:
    """The rename to `removing/` took an hour to get to the disk, and meanwhile the session came back."""
    plan, prints = filled.plan("gone-0"), prints_of(filled)
    settled, hour = Removals._settled, itertools.count(1)

    def hang(self: Removals, tree: Tree) -> bool:
        done = settled(self, tree)
        filled.volume.revive_session("gone-0")
        if not moves:
            monkeypatch.setattr(files, "move", failing(errno.EIO, 1, files.move))
        return done

    monkeypatch.setattr(Removals, "_settled", hang)
    monkeypatch.setattr(removal, "since_boot", lambda: clock.since_boot() + 3_600.0 * next(hour))
    report = filled.sweep(plan)
    assert results(report) == {"gone-0": "restored" if moves else "partly-removed"}
    assert "no orphan any more (live)" in outcome_of(report, "gone-0").reason
    kept = filled.volume.root / "gone-0"
    if not moves:
        [kept] = filled.control_dir.glob("sweeps/*/removing/*")
    assert fingerprint(kept) == prints["gone-0"]


def test_exception_where_a_removal_is_ended_lets_the_run_come_to_its_end(
    filled: Rig, monkeypatch: pytest.MonkeyPatch, messages: Messages
) -> None:
    messages.expect("a job failed")
    plan = filled.plan(cap=10)
    monkeypatch.setattr(order, "remove", lambda *_, **__: 1 // 0)
    monkeypatch.setattr(Site, "told", lambda *_: 1 // 0)
    filled.sweep(plan)
    filled.pool._failures.clear()


def test_root_that_can_no_longer_be_checked_stops_the_sweep_and_puts_back(
    filled: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, prints = filled.plan(cap=10), prints_of(filled)
    monkeypatch.setattr(Volume, "_own_mount", failing(errno.ESTALE, 4, Volume._own_mount))
    report = filled.sweep(plan)
    account(filled, report, prints)
    assert report.ending is Ending.STOPPED
    assert "failed" not in results(report).values()


def test_control_directory_that_is_replaced_stops_the_sweep(filled: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = filled.plan(cap=10)
    original = sweeper._Sweep._confirm

    def confirm(self: Any, trees: Any) -> None:
        filled.control_dir.rename(filled.control_dir.with_name("moved"))
        filled.control_dir.mkdir(0o700)
        original(self, trees)

    monkeypatch.setattr(sweeper._Sweep, "_confirm", confirm)
    report = filled.sweep(plan)
    assert report.ending is Ending.STOPPED
    assert "replaced" in report.problem
    assert "removed" not in results(report).values()
    filled.control_dir.rmdir()
    filled.control_dir.with_name("moved").rename(filled.control_dir)
    assert {item.name.decode() for item in filled.trash()} == {f"gone-{number}" for number in range(4)}
    assert set(results(filled.restore(*(f"gone-{n}" for n in range(4)))).values()) == {"restored"}


def test_lock_that_is_lost_stops_the_sweep_before_its_next_rename(filled: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = filled.plan(cap=10)
    original = sweeper._Sweep._confirm

    def confirm(self: Any, trees: Any) -> None:
        (filled.control_dir / "lock").unlink()
        (filled.control_dir / "lock").write_text("")
        original(self, trees)

    monkeypatch.setattr(sweeper._Sweep, "_confirm", confirm)
    report = filled.sweep(plan)
    assert report.ending is Ending.STOPPED
    assert set(results(report).values()) == {"failed"}
    assert len(filled.trash()) == 4


def test_lock_that_is_lost_between_two_renames_ends_the_unlinks_too(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A removal may take hours without a rename: the lock is looked after all the time."""
    rig.volume.live("live-0", 10)
    rig.volume.deleted("gone-0", 200)
    plan, lost, unlinked = rig.plan(cap=10), threading.Event(), itertools.count(1)
    lose = Site.lose_lock

    def lose_lock(self: Site, why: VolumeError) -> None:
        lose(self, why)
        lost.set()

    def lose_after_three(directory: int, name: bytes) -> None:
        if name.startswith(b"f") and next(unlinked) == 4:
            (rig.control_dir / "lock").write_text("another host's")
            assert lost.wait(60)

    monkeypatch.setattr(lock_module, "BEAT", 0.02)
    monkeypatch.setattr(Site, "lose_lock", lose_lock)
    with monkeypatch.context() as patch:
        patch.setattr(bulk, "unlink", one_by_one(bulk.unlink, lose_after_three))
        report = rig.sweep(plan)
    assert report.ending is Ending.STOPPED
    assert "lock file has been changed" in report.problem
    assert results(report) == {"gone-0": "partly-removed"}
    assert "lock file has been changed" in outcome_of(report, "gone-0").reason
    assert (rig.control_dir / "lock").read_text() == "another host's"
    assert results(rig.resume()) == {"gone-0": "removed"}


@pytest.mark.parametrize("nth", range(1, 9))
def test_log_that_can_no_longer_be_written(filled: Rig, monkeypatch: pytest.MonkeyPatch, nth: int) -> None:
    """A half-written record, then nothing more: no step is taken that is not written down, and nothing is lost."""
    plan, prints = filled.plan(cap=10), prints_of(filled)
    original = log_module._write_all
    calls = itertools.count(1)

    def write(descriptor: int, data: bytes) -> None:
        if next(calls) != nth:
            original(descriptor, data)
            return
        os.write(descriptor, data[: len(data) // 2])
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(log_module, "_write_all", write)
    try:
        report = filled.sweep(plan)
    except VolumeError:
        assert prints_of(filled) == prints
    else:
        account(filled, report, prints)
    assert all(not item.problem for item in filled.trash())


@contextmanager
def full_volume(directory: Path) -> Iterator[Path]:
    with ext4(directory, megabytes=16) as mounted:
        mounted.chmod(0o777)
        yield mounted


@pytest.fixture
def nobodys_state(rig: Rig, nobodys: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of nobody's, who keeps the local state there too; what nobody can't import is imported before."""
    rig.rows()
    monkeypatch.setenv("SWEEPER_STATE_DIR", str(nobodys / "state"))
    return nobodys


def test_full_disk_can_be_cleaned(nobodys_state: Path) -> None:
    """As nobody, for whom no block is reserved; the second sweep begins with no byte left on the volume."""
    with full_volume(nobodys_state / "volume") as mounted:
        as_nobody(_fill_and_clean, mounted)


def _fill(directory: Path, size: int) -> None:
    for number in range(100_000):
        (directory / f"filler-{size}-{number}").write_bytes(b"x" * size)


def _fill_and_clean(mounted: Path) -> None:
    from sweeper_gui.storage.queue import WorkPool

    pool = WorkPool(4)
    try:
        rig = Rig(mounted / "data", pool)
        rig.volume.live("live-0", 10)
        for number in range(2):
            rig.volume.deleted(f"gone-{number}", 10)
        assert results(rig.sweep(rig.plan("gone-0"))) == {"gone-0": "removed"}
        rig.write_settings = False
        plan = rig.plan("gone-1")
        for size in (65_536, 1_024):
            with pytest.raises(OSError, match="No space"):
                _fill(mounted, size)
        assert results(rig.sweep(plan)) == {"gone-1": "removed"}
    finally:
        pool.close()


def test_unmovable_top_gets_its_mode_back_whatever_happens(
    nobodys_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_nobody(_move_the_unmovable, nobodys_state / "data", monkeypatch)


def _move_the_unmovable(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sweeper_gui.storage.queue import WorkPool

    pool = WorkPool(4)
    try:
        rig = Rig(directory, pool)
        for number in range(2):
            rig.volume.deleted(f"gone-{number}", 4).chmod(0o555)
        rig.volume.live("live-0", 4)
        assert results(rig.sweep(rig.plan("gone-0", set_aside=True))) == {"gone-0": "set-aside"}
        assert results(rig.restore("gone-0")) == {"gone-0": "restored"}
        assert stat.S_IMODE((rig.volume.root / "gone-0").stat().st_mode) == 0o555
        plan = rig.plan("gone-1")
        with monkeypatch.context() as patch:
            patch.setattr(files, "rename_exclusively", failing(errno.EIO, _PROBES + 2, files.rename_exclusively))
            assert results(rig.sweep(plan)) == {"gone-1": "failed"}
        assert stat.S_IMODE((rig.volume.root / "gone-1").stat().st_mode) == 0o555
        assert results(rig.sweep(rig.plan("gone-0", "gone-1"))) == {"gone-0": "removed", "gone-1": "removed"}
    finally:
        pool.close()


class PowerCut(BaseException):
    """Ends a sweep where it is."""


def test_mode_that_a_sweep_changed_before_it_died_is_given_back_by_the_next_run(
    nobodys_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_nobody(_die_before_the_rename, nobodys_state / "data", monkeypatch)


def _die_before_the_rename(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sweeper_gui.storage.queue import WorkPool

    pool = WorkPool(4)
    try:
        rig = Rig(directory, pool)
        rig.volume.live("live-0", 4)
        tops = [rig.volume.deleted(f"gone-{number}", 4) for number in range(2)]
        for top in tops:
            top.chmod(0o555)
            plan = rig.plan(top.name)
            with monkeypatch.context() as patch:
                patch.setattr(files, "move", _dying_once_it_is_writable(files.move))
                with pytest.raises(PowerCut):
                    rig.sweep(plan)
            rig.cancel.clear()
            assert stat.S_IMODE(top.stat().st_mode) == 0o755
        (tops[1] / "new").touch()  # it is in use again: its mode is none of ours
        rig.resume()
        assert [stat.S_IMODE(top.stat().st_mode) for top in tops] == [0o555, 0o755]
        assert results(rig.sweep(rig.plan("gone-0"))) == {"gone-0": "removed"}
    finally:
        pool.close()


def _dying_once_it_is_writable(move: Callable[..., None]) -> Callable[..., None]:
    def moved(source: bytes, parent: int, *more: Any) -> None:
        if stat.S_IMODE(os.stat(source, dir_fd=parent).st_mode) & stat.S_IWUSR:
            raise PowerCut
        move(source, parent, *more)

    return moved


def test_few_trees_at_a_time_are_on_their_way(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(45):
        rig.volume.deleted(f"gone-{number}", 3)
    most = 0
    original = Removals.start

    def start(self: Removals, tree: Any) -> None:
        nonlocal most
        original(self, tree)
        most = max(most, self.pending)

    monkeypatch.setattr(Removals, "start", start)
    names = tuple(f"gone-{number}" for number in range(45))
    assert set(results(rig.sweep(rig.plan(*names))).values()) == {"removed"}
    assert most < MOST_PENDING + sweeper.BATCH


def test_unexpected_error_ends_the_sweep_only_after_everything_that_was_begun(
    filled: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is held until the last tree has ended: a second sweep can't meet the rest of the first."""
    plan, prints = filled.plan(cap=10), prints_of(filled)
    original = Removals.start
    started = 0

    def start(self: Removals, tree: Any) -> None:
        nonlocal started
        started += 1
        if started == 3:
            raise ZeroDivisionError
        original(self, tree)

    with monkeypatch.context() as patch:
        patch.setattr(Removals, "start", start)
        with pytest.raises(ZeroDivisionError):
            filled.sweep(plan)
    filled.cancel.clear()
    for name, before in prints.items():
        if (filled.volume.root / name).exists():
            assert fingerprint(filled.volume.root / name) == before
    filled.resume()
    assert filled.trash() == []
    assert outcome_of(filled.sweep(filled.plan("gone-3")), "gone-3").done


def test_empty_registry_that_is_allowed_binds_nothing(filled: Rig) -> None:
    for number in range(4):
        filled.volume.forget_session(f"gone-{number}")
    filled.volume.forget_session("live-0")
    report = filled.sweep(filled.plan("gone-0", allow_empty=True))
    assert results(report) == {"gone-0": "set-aside"}
    assert not (filled.control_dir / "binding.json").exists()


def test_team_shares_what_a_sweep_writes(filled: Rig) -> None:
    filled.group = "daemon"
    before = os.umask(0o077)
    try:
        report = filled.sweep(filled.plan("gone-0", set_aside=True))
    finally:
        os.umask(before)
    for name in ("binding.json", "lock", f"sweeps/{report.sweep_id}/log.jsonl"):
        path = filled.control_dir / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o660, name
        assert path.group() == "daemon", name
