"""The volume changes under a sweep: every change, made right before every step of the protocol.

The sweep works through a mount of its own; the test looks at the same file system through another one, so that it sees
what became of everything whatever happens to the sweep's mount. After each case: what does not belong to the set-aside
trees is byte-identical, every orphan is where its outcome says, a sweep whose volume can't be trusted stops, and once
the change is undone, what was left is finished.
"""

import contextlib
import errno
import itertools
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from sweeper_gui.cli.codes import Code, code_of
from sweeper_gui.core.outcome import Ending, Report, Result, TrashState
from sweeper_gui.core.plan import Plan
from sweeper_gui.storage.lock import Holder
from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep import sweeper
from tests.support.mounts import bind, moved_mount, tmpfs, unmount
from tests.support.named_steps import NamedSteps, Step
from tests.support.trees import fingerprint
from tests.sweep.rig import Rig, results

_ORPHANS = ("gone-0", "gone-1", "gone-2")
#: The steps before which a change is made: each of the protocol's, from the first that writes to the last.
_STEPS: tuple[Step, ...] = (
    ("mkdir .sweeper-workspaces", 1),
    ("fsync lock", 1),
    ("mkdir X", 1),  # the sweep's own directory
    ("renameat2 .sweeper-probe", 1),
    ("open log.jsonl", 1),
    ("write log.jsonl", 1),  # that it has begun
    ("rename binding.json", 1),
    ("fsync lock", 3),  # before the first batch
    ("write log.jsonl", 2),  # the intents
    ("renameat2 whole/N", 1),
    ("enter whole/N", 1),  # the look at what was renamed
    ("fsync lock", 5),
    ("renameat2 whole/N", 2),
    ("write log.jsonl", 3),  # that they are set aside
    ("write log.jsonl", 4),  # that they are confirmed
    ("enter whole/N/…", 1),  # the discovery
    ("enter whole/N/…", 3),
    ("write log.jsonl", 5),  # that the first is about to be removed
    ("renameat2 removing/N", 1),
    ("unlink removing/N/…", 1),
    ("rmdir removing/N/…", 2),
    ("rmdir removing/N", 1),
    ("renameat2 whole/N", 3),  # of the second batch
    ("renameat2 removing/N", 3),
)


@dataclass
class Case:
    """One sweep on a file system of its own, as far as anybody can tell."""

    #: where the test sees it, and where the sweep does
    store: Path
    mount: Path
    rig: Rig
    #: for what lies outside the volume
    scratch: Path
    undo: ExitStack
    steps: NamedSteps = field(init=False)
    #: an open file and an open directory in each orphan
    handles: list[int] = field(default_factory=list)
    directories: list[int] = field(default_factory=list)
    inodes: dict[str, int] = field(default_factory=dict)
    prints: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """The root, as the test sees it."""
        return self.store / "workspaces"

    def whereabouts(self, name: str) -> Path | None:
        """Where a workspace's directory lies now, through the test's mount."""
        patterns = ("*/*-[0-9]", "*/sweeps/*/whole/*", "*/sweeps/*/removing/*")
        for place in itertools.chain.from_iterable(self.store.glob(pattern) for pattern in patterns):
            with contextlib.suppress(FileNotFoundError):  # another thread is at its last entry
                if place.lstat().st_ino == self.inodes[name]:
                    return place
        return None

    def inside(self, name: str = "gone-0") -> Path | None:
        """A directory in a workspace, as the sweep sees it."""
        place = self.whereabouts(name)
        found = place and next((path for path in sorted(place.glob("repo/*")) if path.is_dir()), None)
        return found and self.as_swept(found)

    def as_swept(self, place: Path) -> Path:
        """The same place through the sweep's mount."""
        return self.mount / place.relative_to(self.store)

    def look(self) -> None:
        """Takes what is whole now for what is to be kept whole."""
        for name in self.inodes:
            place = self.whereabouts(name)
            if place is not None and "/removing/" not in f"{place}":
                self.prints[name] = fingerprint(place)

    def hold(self, descriptor: int) -> int:
        """Keeps it open to the end of the case."""
        self.undo.callback(os.close, descriptor)
        return descriptor


def _made(store: Path, mount: Path, scratch: Path, pool: WorkPool, undo: ExitStack) -> Case:
    store.mkdir()
    undo.enter_context(bind(store, mount))
    rig = Rig(scratch, pool)
    rig.volume.root.rmdir()
    rig.volume.root = mount / "workspaces"
    rig.volume.root.mkdir()
    for number in range(2):
        rig.volume.live(f"live-{number}", 5)
    for name in _ORPHANS:
        rig.volume.deleted(name, 5)
    (store / "outside").mkdir()
    (store / "outside" / "precious").write_text("keep")
    case = Case(store, mount, rig, scratch, undo)
    for (
        name
    ) in _ORPHANS:  # what is open keeps its inode, and this process is not looked at, as if it were another host's
        file = next(path for path in (case.root / name).rglob("f*") if path.is_file())
        case.handles.append(case.hold(os.open(file, os.O_WRONLY)))
        case.directories.append(case.hold(os.open(file.parent, os.O_RDONLY)))
        case.hold(os.open(case.root / name, os.O_PATH))
    case.inodes = {path.name: path.stat().st_ino for path in case.root.iterdir()}
    case.look()
    return case


# --- the changes ----------------------------------------------------------------------------------------------------


class NothingThere(Exception):
    """What is to be changed is not there at this step."""


Change = Callable[[Case], None]
_CHANGES: dict[str, Change] = {}
#: After these the sweep must not go on with any further workspace.
_FATAL: set[str] = set()


def _change(*, fatal: bool = False) -> Callable[[Change], Change]:
    def added(change: Change) -> Change:
        name = change.__name__.strip("_").replace("_", " ")
        _CHANGES[name] = change
        if fatal:
            _FATAL.add(name)
        return change

    return added


def _decoys(directory: Path) -> None:
    """Workspaces of the same names, with a trash beside them: whatever the sweep did to them would be wrong."""
    for name in ("live-0", *_ORPHANS):
        (directory / "workspaces" / name / "repo").mkdir(parents=True)
        (directory / "workspaces" / name / "repo" / "file").write_text("another one's")


@_change(fatal=True)
def _unmounted(case: Case) -> None:
    unmount(case.mount)
    case.undo.callback(lambda: None)


@_change(fatal=True)
def _remounted_elsewhere(case: Case) -> None:
    case.undo.enter_context(moved_mount(case.mount, case.scratch / "elsewhere"))


@_change(fatal=True)
def _overmounted(case: Case) -> None:
    _decoys(case.undo.enter_context(tmpfs(case.mount, megabytes=4)))


@_change(fatal=True)
def _replaced_by_another_file_system(case: Case) -> None:
    unmount(case.mount)
    _decoys(case.undo.enter_context(tmpfs(case.mount, megabytes=4)))


@_change(fatal=True)
def _same_file_system_mounted_anew(case: Case) -> None:
    unmount(case.mount)
    case.undo.enter_context(bind(case.store, case.mount))


@_change(fatal=True)
def _root_renamed_and_made_anew(case: Case) -> None:
    away = case.store / "away"
    case.root.rename(away)
    _decoys(case.store)

    def back() -> None:
        shutil.rmtree(case.root)
        away.rename(case.root)

    case.undo.callback(back)


@_change(fatal=True)
def _root_made_a_link(case: Case) -> None:
    _decoys(case.store / "outside")
    away = case.store / "away"
    case.root.rename(away)
    case.root.symlink_to("outside/workspaces")

    def back() -> None:
        case.root.unlink()
        away.rename(case.root)

    case.undo.callback(back)


@_change(fatal=True)
def _control_directory_moved_away(case: Case) -> None:
    control = _there(case.store / ".sweeper-workspaces")
    control.rename(case.store / "moved")
    case.undo.callback((case.store / "moved").rename, control)


@_change(fatal=True)
def _control_directory_replaced(case: Case) -> None:
    _control_directory_moved_away(case)
    control = case.store / ".sweeper-workspaces"
    control.mkdir(0o700)
    case.undo.callback(shutil.rmtree, control)


@_change(fatal=True)
def _control_directory_covered(case: Case) -> None:
    case.undo.enter_context(bind(case.store / "outside", _there(case.mount / ".sweeper-workspaces")))


def _there(path: Path | None) -> Path:
    if path is None or not path.exists():
        raise NothingThere
    return path


def _lock_of(case: Case) -> Path:
    return _there(case.store / ".sweeper-workspaces" / "lock")


@_change(fatal=True)
def _lock_unlinked(case: Case) -> None:
    _lock_of(case).unlink()


@_change(fatal=True)
def _lock_replaced(case: Case) -> None:
    lock = _lock_of(case)
    lock.unlink()
    lock.write_text("")


@_change(fatal=True)
def _lock_truncated(case: Case) -> None:
    os.truncate(_lock_of(case), 0)


@_change(fatal=True)
def _lock_written_by_another(case: Case) -> None:
    holder = Holder("dave", "far", 1, "sweep", 1.0, 2.0, home="another boot")
    _lock_of(case).write_bytes(msgspec.json.encode(holder))


@_change(fatal=True)
def _root_claimed_by_another(case: Case) -> None:
    claim = _there(case.root / ".sweeper-claim")
    claim.rename(case.store / "claim")
    claim.write_text("another one's")
    case.undo.callback((case.store / "claim").rename, claim)


@_change()
def _whole_and_removing_covered(case: Case) -> None:
    for place in (*case.mount.glob(".sweeper-*/sweeps/*/whole"), *case.mount.glob(".sweeper-*/sweeps/*/removing")):
        case.undo.enter_context(bind(case.store / "outside", place))


@_change()
def _live_one_bound_inside(case: Case) -> None:
    case.undo.enter_context(bind(case.root / "live-0", _there(case.inside())))


@_change()
def _live_one_bound_on_the_top(case: Case) -> None:
    place = _there(case.whereabouts("gone-0"))
    case.undo.enter_context(bind(case.root / "live-0", case.as_swept(place)))


@_change()
def _mount_moved_in(case: Case) -> None:
    inside = _there(case.inside())
    other = case.undo.enter_context(tmpfs(case.scratch / "other", megabytes=4))
    (other / "precious").write_text("another one's")
    case.undo.enter_context(moved_mount(other, inside))


@_change()
def _bound_elsewhere(case: Case) -> None:
    case.undo.enter_context(bind(_there(case.inside()), case.scratch / "elsewhere"))


@_change()
def _names_taken_again(case: Case) -> None:
    for name in _ORPHANS:
        with contextlib.suppress(FileExistsError):
            (case.root / name).mkdir()
            (case.root / name / "precious").write_text("new")


@_change()
def _link_to_a_live_one_swapped_in(case: Case) -> None:
    inside = case.store / _there(case.inside()).relative_to(case.mount)
    inside.rename(case.store / "swapped out")
    inside.symlink_to(case.root / "live-0")
    case.look()


@_change()
def _written_through_a_handle_from_before(case: Case) -> None:
    for descriptor in case.handles:
        os.pwrite(descriptor, b"precious", 0)
    case.look()


@_change()
def _file_made_through_a_handle_from_before(case: Case) -> None:
    for descriptor in case.directories:
        with contextlib.suppress(FileNotFoundError):  # its directory has been removed
            os.close(os.open("precious", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=descriptor))
    case.look()


@_change()
def _volume_full(case: Case) -> None:
    case.steps.failing = errno.ENOSPC


@_change()
def _quota_used_up(case: Case) -> None:
    case.steps.failing = errno.EDQUOT


@_change(fatal=True)
def _volume_read_only(case: Case) -> None:
    case.steps.failing = errno.EROFS


@_change(fatal=True)
def _volume_gives_errors(case: Case) -> None:
    case.steps.failing = errno.EIO


@_change(fatal=True)
def _volume_is_stale(case: Case) -> None:
    case.steps.failing = errno.ESTALE


def run_case(case: Case, change: str, step: Step, patch: pytest.MonkeyPatch) -> None:
    plan = case.rig.plan(cap=10)
    outside: dict[str, str] = {}
    changed = True
    failed: list[Exception] = []

    def act() -> None:
        nonlocal changed
        try:
            _CHANGES[change](case)
        except NothingThere:
            changed = False
        except Exception as error:  # noqa: BLE001 - raised again by the test, not into the sweep
            failed.append(error)
        outside.update(_strangers(case))

    with patch.context() as context:
        context.setattr(sweeper, "BATCH", 2)
        steps = case.steps = NamedSteps(context, str(case.scratch), step, act)
        report = _swept(case, plan)
    for error in failed:
        raise error
    assert steps.acted is not None, f"{step} never came"
    assert _strangers(case) == outside
    _check_live(case)
    if report is not None:
        _check_report(case, report)
    if change in _FATAL and changed:
        _check_stopped(steps, report)


def finish_case(case: Case) -> None:
    """The change is undone: everything that was left comes to its end, and nothing else is touched."""
    outside = _strangers(case)
    case.rig.resume()
    case.rig.restore(*(os.fsdecode(item.name) for item in case.rig.trash() if item.state is TrashState.WHOLE))
    case.rig.sweep(case.rig.plan(cap=10))
    assert _strangers(case) == outside
    _check_live(case)
    for name in _ORPHANS:
        place = case.whereabouts(name)
        assert place is None or place.parent.name != "removing", f"{name} was not finished"


def _strangers(case: Case) -> dict[str, str]:
    """What no sweep has any business with."""
    found = {"outside": fingerprint(case.store / "outside")}
    for name in ("live-0", *_ORPHANS):
        decoy = case.mount / "workspaces" / name / "repo" / "file"
        if decoy.exists() and decoy.read_text() == "another one's":
            found[f"decoy {name}"] = fingerprint(decoy.parent.parent)
    return found


def _swept(case: Case, plan: Plan) -> Report | None:
    """The report, None where the preflight refused."""
    try:
        return case.rig.sweep(plan)
    except VolumeError:
        return None


def _check_live(case: Case) -> None:
    for name in ("live-0", "live-1"):
        place = next(place for place in (case.root / name, case.store / "away" / name) if place.is_dir())
        if place.stat().st_ino != case.inodes[name]:
            place = case.store / "away" / name
        assert fingerprint(place) == case.prints[name], f"{name} was changed"


def _check_report(case: Case, report: Report) -> None:
    told = results(report) | {os.fsdecode(name): "untouched" for name in report.untouched}
    assert set(told) == set(_ORPHANS)
    for name, result in told.items():
        place = case.whereabouts(name)
        if result == Result.REMOVED:
            assert place is None, f"{name} was told to be removed, and lies in {place}"
            continue
        assert place is not None, f"{name} is gone, and was told to be {result}"
        if "/removing/" in f"{place}":
            assert result in (Result.PARTLY_REMOVED, Result.FAILED), f"{name} in {place} was told to be {result}"
        else:
            assert fingerprint(place) == case.prints[name], f"{name} in {place} is not whole, but {result}"
            if result != Result.FAILED:
                assert (place.parent.name == "whole") == (result in (Result.CONFLICT, Result.SET_ASIDE))


def _check_stopped(steps: NamedSteps, report: Report | None) -> None:
    """Nothing was begun after the change but what had passed its check before it."""
    begun = [step for step in steps.after("renameat2") if "N" in step[0]]
    assert len(begun) <= 2, f"the sweep went on: {begun}"
    if report is not None and any(outcome.result is not Result.REMOVED for outcome in report.outcomes):
        assert report.ending is Ending.STOPPED
        assert report.problem
        assert code_of(report) is Code.UNTRUSTED


@pytest.mark.parametrize("change", _CHANGES)
def test_change_at_every_step(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    """Each change before every second step, each step with every second change; with `--every-step` all of them."""
    every_step = pytestconfig.getoption("--every-step")
    pool = WorkPool(1)
    try:
        with tmpfs(tmp_path / "store") as store:
            for number, step in enumerate(_STEPS):
                if not every_step and number % 2 != list(_CHANGES).index(change) % 2:
                    continue
                scratch = tmp_path / f"case-{number}"
                scratch.mkdir()
                try:
                    with ExitStack() as undo:
                        case = _made(store / f"case-{number}", scratch / "mount", scratch, pool, undo)
                        run_case(case, change, step, monkeypatch)
                    if number % 3 == list(_CHANGES).index(change) % 3:
                        with bind(case.store, case.mount):
                            finish_case(case)
                except Exception as error:
                    raise AssertionError(f"{change} before {step}: {error}") from error
    finally:
        pool.close()


# --- the trash ------------------------------------------------------------------------------------------------------

#: Each run over what lies in the trash, and the steps before which a change is made.
_RECLAIMS: dict[str, tuple[Callable[[Rig], Report], tuple[Step, ...]]] = {
    "purge": (
        lambda rig: rig.purge(older_than=0.0),
        (
            ("write log.jsonl", 1),
            ("enter whole/N/…", 2),
            ("write log.jsonl", 2),
            ("renameat2 removing/N", 1),
            ("unlink removing/N/…", 2),
        ),
    ),
    "restore": (
        lambda rig: rig.restore(*_ORPHANS),
        (("write log.jsonl", 1), ("write log.jsonl", 2), ("renameat2 gone-0", 1), ("renameat2 gone-1", 1)),
    ),
    "resume": (Rig.resume, (("write log.jsonl", 1), ("write log.jsonl", 2), ("unlink removing/N/…", 2))),
}
_MOST_DANGEROUS = (
    "replaced by another file system",
    "control directory replaced",
    "lock replaced",
    "live one bound inside",
    "names taken again",
    "written through a handle from before",
)


def _fill_trash(case: Case, kind: str, patch: pytest.MonkeyPatch) -> None:
    """Everything whole in the trash, or half removed where a resume is to find something to do."""
    if kind != "resume":
        report = case.rig.sweep(case.rig.plan(cap=10, set_aside=True))
        assert set(results(report).values()) == {"set-aside"}
        return
    plan = case.rig.plan(cap=10)
    with patch.context() as context:

        def fail() -> None:
            steps.failing = errno.EIO

        steps = NamedSteps(context, str(case.scratch), ("unlink removing/N/…", 2), fail)
        case.rig.sweep(plan)
    assert any(item.state is TrashState.REMOVING for item in case.rig.trash())


def _run_reclaim(case: Case, kind: str, change: str, step: Step, patch: pytest.MonkeyPatch) -> None:
    _fill_trash(case, kind, patch)
    outside: dict[str, str] = {}
    failed: list[Exception] = []
    report = None

    def act() -> None:
        try:
            with contextlib.suppress(NothingThere):
                _CHANGES[change](case)
        except Exception as error:  # noqa: BLE001 - raised again by the test, not into the run
            failed.append(error)
        outside.update(_strangers(case))

    with patch.context() as context:
        steps = case.steps = NamedSteps(context, str(case.scratch), step, act)
        with contextlib.suppress(VolumeError):  # the preflight refused
            report = _RECLAIMS[kind][0](case.rig)
    for error in failed:
        raise error
    assert steps.acted is not None, f"{step} never came"
    assert _strangers(case) == outside
    _check_live(case)
    _check_reclaimed(case, kind, report)
    if change in _FATAL:
        _check_stopped(steps, report)


def _check_reclaimed(case: Case, kind: str, report: Report | None) -> None:
    """What was told to be removed is gone, and everything else is whole unless its removal had begun."""
    told = results(report) if report is not None else {}
    for name in _ORPHANS:
        place = case.whereabouts(name)
        if kind == "restore":
            assert place is not None, f"{name} is gone after a restore"
        if told.get(name) == Result.REMOVED:
            assert place is None, f"{name} was told to be removed, and lies in {place}"
        elif name in told and kind != "resume":
            assert place is not None, f"{name} is gone, and was told to be {told[name]}"
        if place is not None and "/removing/" not in f"{place}":
            assert fingerprint(place) == case.prints[name], f"{name} in {place} is not whole"


@pytest.mark.parametrize("kind", _RECLAIMS)
def test_change_while_the_trash_is_worked_on(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = WorkPool(1)
    try:
        with tmpfs(tmp_path / "store") as store:
            cases = itertools.product(_MOST_DANGEROUS, _RECLAIMS[kind][1])
            for number, (change, step) in enumerate(cases):
                scratch = tmp_path / f"case-{number}"
                scratch.mkdir()
                try:
                    with ExitStack() as undo:
                        case = _made(store / f"case-{number}", scratch / "mount", scratch, pool, undo)
                        _run_reclaim(case, kind, change, step, monkeypatch)
                except Exception as error:
                    raise AssertionError(f"{change} before {step}: {error}") from error
    finally:
        pool.close()
