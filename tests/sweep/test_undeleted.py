"""A session comes back to life, in a real database, at every moment between the listing and the first unlink.

Each run does something to the registry right before one of its steps: everything that it changes outside the process,
and the beginning and the end of each read of the registry. Whatever is seen by a read that began afterwards stays.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from sweeper_gui.core.outcome import Report
from sweeper_gui.core.snapshot import Snapshot
from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.sweep import reclaim, sweeper
from sweeper_gui.sweep.ground import Ground
from sweeper_gui.sweep.recheck import judge_set_aside
from sweeper_gui.sweep.removal import Removals
from tests.registries.postgres import PostgreSQL, ServedVolume
from tests.support.steps import Steps
from tests.support.trees import fingerprint
from tests.support.volume import FakeVolume
from tests.sweep.rig import Rig, results

#: More than any of the runs below takes; each of them goes on until its steps are over.
_MOST_STEPS = 400
_SHARDS = 3
#: What lies between the last read and the rename after which the first unlink comes: the lock and the log to the disk.
_WINDOW = ["pwrite", "ftruncate", "fsync", "write", "fsync"]
#: What comes back, one that was deleted and one that no row told of; one stays deleted, so that the run goes on.
_BACK = ("gone-0", "lost-0")
_ORPHANS = (*_BACK, "gone-1")

Run = Callable[[Rig], Report]
Prepared = Callable[[Rig, Sequence[str]], Run]


class Watched:
    """The steps of one run, the reads of the registry among them, and which read let each workspace be removed."""

    def __init__(self, at: int, act: Callable[[], None]) -> None:
        self.steps = Steps(at, act)
        self._at = at
        #: each snapshot with the number of the step at which its read began
        self._reads: list[tuple[Snapshot, int]] = []
        #: the same number of the read that the last question about a workspace was answered by
        self._asked: dict[bytes, int] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        with (
            self.steps.counted(),
            mock.patch.object(Ground, "read_registry", self._reading(Ground.read_registry)),
            mock.patch.object(sweeper, "judge_set_aside", self._judging),
            mock.patch.object(reclaim, "judge_set_aside", self._judging),
        ):
            yield

    @property
    def acted(self) -> bool:
        return len(self.steps.names) >= self._at

    def too_late_for(self, name: str) -> bool:
        """Whether the last read that was asked about a workspace had begun before anything came back."""
        return 0 < self._asked.get(name.encode(), 0) < self._at

    def _reading(self, read: Callable[..., Snapshot]) -> Callable[..., Snapshot]:
        def counted(*arguments: Any, **keywords: Any) -> Snapshot:
            self.steps.step("registry read")
            began = len(self.steps.names)
            snapshot = read(*arguments, **keywords)
            self._reads.append((snapshot, began))
            self.steps.step("registry read ended")
            return snapshot

        return counted

    def _judging(self, evidence: Any, name: bytes, intent: Any, snapshot: Snapshot, **keywords: Any) -> Any:
        if keywords.get("found") is not None:
            self._asked[name] = next(began for known, began in self._reads if known is snapshot)
        return judge_set_aside(evidence, name, intent, snapshot, **keywords)


class Maker:
    """Makes volumes whose registry is a real database; `stride` says how many steps may be left out between two."""

    def __init__(self, pool: WorkPool, server: PostgreSQL | None) -> None:
        self._pool = pool
        self._server = server
        self.stride = 4 if server else 1

    def __call__(self, directory: Path) -> Rig:
        directory.mkdir()
        volume = ServedVolume(directory, self._server) if self._server else FakeVolume(directory)
        rig = Rig(directory, self._pool, volume)
        rig.policy["unexplained"] = "remove"
        volume.live("live-0", 3)
        volume.deleted("gone-0", 3)
        volume.deleted("gone-1", 3)
        volume.unexplained("lost-0", 3)
        return rig


@pytest.fixture(params=["sqlite", "postgresql"])
def made(request: pytest.FixtureRequest, postgres: PostgreSQL) -> Iterator[Maker]:
    pool = WorkPool(4)
    yield Maker(pool, postgres if request.param == "postgresql" else None)
    pool.close()


def _swept(rig: Rig, names: Sequence[str]) -> Run:
    plan = rig.plan(*names)
    return lambda rig: rig.sweep(plan)


def _all_set_aside(rig: Rig, names: Sequence[str]) -> None:
    rig.sweep(rig.plan(*names, set_aside=True))
    assert len(rig.trash()) == len(names)


def _purged_by_name(rig: Rig, names: Sequence[str]) -> Run:
    _all_set_aside(rig, names)
    return lambda rig: rig.purge(*names)


def _purged_by_age(rig: Rig, names: Sequence[str]) -> Run:
    _all_set_aside(rig, names)
    return lambda rig: rig.purge(older_than=0.0)


class _PowerCut(BaseException):
    pass


def _resumed(rig: Rig, names: Sequence[str]) -> Run:
    """After a sweep that died when everything had been confirmed and nothing removed."""
    plan = rig.plan(*names)
    with (
        mock.patch.object(sweeper._Sweep, "_put_back_rest"),
        mock.patch.object(Removals, "start", side_effect=_PowerCut),
        pytest.raises(_PowerCut),
    ):
        rig.sweep(plan)
    rig.cancel.clear()
    assert len(rig.trash()) == len(names)
    return lambda rig: rig.resume()


@pytest.mark.parametrize("shard", range(_SHARDS))
@pytest.mark.parametrize("prepared", [_swept, _resumed, _purged_by_name, _purged_by_age])
def test_session_that_comes_back_at_any_step_keeps_its_workspace(
    made: Maker, tmp_path: Path, prepared: Prepared, shard: int
) -> None:
    # A purge by age takes the same way as one by name, but for how it chooses.
    stride = _SHARDS * (4 if prepared is _purged_by_age else made.stride)
    for step in range(1 + shard, _MOST_STEPS, stride):
        if not _acted_at(made(tmp_path / f"step-{step}"), prepared, step):
            return  # further steps come too late
    pytest.fail("there are more steps than were tried")


def _acted_at(rig: Rig, prepared: Prepared, step: int) -> bool:
    """Whether there was something left to be kept at this step."""
    before = {name: fingerprint(rig.volume.root / name) for name in ("live-0", *_BACK)}
    run = prepared(rig, _ORPHANS)

    def come_back() -> None:
        for name in _BACK:
            rig.volume.session(name)

    watched = Watched(step, come_back)
    with watched.running():
        report = run(rig)
    assert fingerprint(rig.volume.root / "live-0") == before["live-0"]
    kept = [name for name in _BACK if watched.acted and not watched.too_late_for(name)]
    for name in kept:
        assert (rig.volume.root / name).exists(), f"{name} is not in its place: {report}, {watched.steps.names[step:]}"
        assert fingerprint(rig.volume.root / name) == before[name]
    return bool(kept)


@pytest.mark.parametrize("prepared", [_swept, _resumed, _purged_by_name, _purged_by_age])
def test_between_the_last_read_and_the_first_unlink_is_only_what_announces_it(
    made: Maker, tmp_path: Path, prepared: Prepared
) -> None:
    """The moment that nobody can close: the answer is read, the lock and the log go to the disk, then one rename."""
    rig = made(tmp_path / "volume")
    run = prepared(rig, ["gone-1"])
    watched = Watched(0, lambda: None)
    with watched.running():
        assert results(run(rig)) == {"gone-1": "removed"}
    names = watched.steps.names
    assert _last(names, "registry read ended") < _last(names, "rename")
    assert names[_last(names, "registry read ended") + 1 : _last(names, "rename")] == _WINDOW


def _last(names: Sequence[str], name: str) -> int:
    return max(number for number, known in enumerate(names) if known == name)
