"""One root inside another, on one file system: what is below belongs to the nearest root, and to no other sweep."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sweeper_gui.core.outcome import Result
from sweeper_gui.core.verdict import Status
from sweeper_gui.storage.queue import WorkPool
from tests.support.named_steps import NamedSteps
from tests.support.trees import fingerprint
from tests.support.volume import FakeVolume
from tests.sweep.rig import Rig, outcome_of, results

_LONG_AGO = time.time() - 30 * 86_400


@pytest.fixture
def pool() -> Iterator[WorkPool]:
    made = WorkPool(2)
    yield made
    made.close()


class DeepVolume(FakeVolume):
    """A volume whose workspaces lie `depth` levels below its root."""

    depth = 1

    def settings(self, **policy: str) -> str:
        return super().settings(**policy).replace("[volume]", f"[volume]\ndepth = {self.depth}", 1)


@dataclass
class Two:
    """A root of depth 1, and another volume whose root lies above it; each with a registry of its own."""

    inner: Rig
    outer: Rig


def two(tmp_path: Path, pool: WorkPool, *, inner: str, depth: int) -> Two:
    """The outer root is `outer/workspaces`; the inner one lies at `inner` below it."""
    outer_volume = DeepVolume(tmp_path / "outer")
    outer_volume.depth = depth
    inner_volume = FakeVolume(tmp_path / "inner")
    inner_volume.root.rmdir()
    inner_volume.root = outer_volume.root / inner
    inner_volume.root.mkdir(parents=True)
    return Two(Rig(tmp_path / "inner", pool, inner_volume), Rig(tmp_path / "outer", pool, outer_volume))


def swept_inner(both: Two) -> str:
    """One sweep of the inner root, which leaves a tree in its trash; what is there then."""
    both.inner.volume.live("live-0")
    both.inner.volume.unexplained("doubtful-0")
    report = both.inner.sweep(both.inner.plan(cap=10))
    assert results(report) == {"doubtful-0": "set-aside"}
    both.inner.volume.deleted("gone-0")
    return what_is_inner(both)


def what_is_inner(both: Two) -> str:
    return fingerprint(both.inner.volume.root) + fingerprint(both.inner.control_dir)


def test_workspaces_of_a_root_inside_are_protected_and_what_lies_beside_it_is_swept(
    tmp_path: Path, pool: WorkPool
) -> None:
    both = two(tmp_path, pool, inner="ws", depth=2)
    before = swept_inner(both)
    for name in ("live-0", "gone-0"):
        both.outer.volume.session(name, deleted_at=_LONG_AGO)  # another registry, which says that they may go
    both.outer.volume.workspace("other/gone-1")
    both.outer.volume.session("gone-1", deleted_at=_LONG_AGO)
    rows = both.outer.rows()
    for name in ("ws/live-0", "ws/gone-0"):
        assert rows[name].status is Status.PROTECTED
        assert "lies in the root of another volume, ws" in rows[name].verdict.reason
    assert rows[".sweeper-ws"].status is Status.FOREIGN
    report = both.outer.sweep(both.outer.plan("ws/live-0", "ws/gone-0", "other/gone-1"))
    assert results(report) == {"ws/live-0": "skipped", "ws/gone-0": "skipped", "other/gone-1": "removed"}
    assert what_is_inner(both) == before
    both.inner.rows()
    assert results(both.inner.sweep(both.inner.plan("gone-0"))) == {"gone-0": "removed"}
    assert results(both.inner.restore("doubtful-0")) == {"doubtful-0": "restored"}


@pytest.mark.parametrize(("inner", "words"), [("ws", "is the root of another"), ("ws/a/b", "contains the root of")])
def test_workspace_that_is_or_holds_a_root_is_protected(tmp_path: Path, pool: WorkPool, inner: str, words: str) -> None:
    both = two(tmp_path, pool, inner=inner, depth=1)
    before = swept_inner(both)
    both.outer.volume.session("ws", deleted_at=_LONG_AGO)
    both.outer.volume.deleted("gone-1")
    row = both.outer.rows()["ws"]
    assert row.status is Status.PROTECTED
    assert words in row.verdict.reason
    report = both.outer.sweep(both.outer.plan("ws", "gone-1"))
    assert results(report) == {"ws": "skipped", "gone-1": "removed"}
    assert what_is_inner(both) == before


def test_root_that_is_claimed_after_the_plan_was_made_is_left_alone(
    tmp_path: Path, pool: WorkPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = two(tmp_path, pool, inner="ws", depth=2)
    both.inner.volume.workspace("gone-0")
    both.outer.volume.live("other/live-1")
    both.outer.volume.session("gone-0", deleted_at=_LONG_AGO)
    plan = both.outer.plan("ws/gone-0")
    claim = both.inner.volume.root / ".sweeper-claim"
    with monkeypatch.context() as patch:
        steps = NamedSteps(patch, str(tmp_path), ("write log.jsonl", 1), claim.touch)
        report = both.outer.sweep(plan)
    assert steps.acted is not None
    outcome = outcome_of(report, "ws/gone-0")
    assert outcome.result is Result.SKIPPED
    assert "lies in the root of another volume" in outcome.reason
    assert (both.inner.volume.root / "gone-0" / "repo").is_dir()
