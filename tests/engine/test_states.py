"""What is told of a run and of the volume."""

import os
from pathlib import Path

from sweeper_gui.core.outcome import Outcome, Result
from sweeper_gui.engine.states import SweepSampler, broken_volume
from sweeper_gui.settings import VolumeSettings
from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep.progress import Progress


def test_each_outcome_is_told_once_and_two_of_one_name_are_two() -> None:
    progress = Progress(3, 0)
    sampler = SweepSampler(1, progress)
    first, twin = Outcome(b"a", Result.REMOVED), Outcome(b"a", Result.REMOVED)
    progress.ended([first])
    assert sampler.new_outcomes() == (first,)
    progress.ended([twin, Outcome(b"b", Result.SKIPPED)])
    assert [outcome.name for outcome in sampler.new_outcomes()] == [b"a", b"b"]
    assert sampler.new_outcomes() == ()


def test_more_than_was_planned_is_counted_too() -> None:
    progress = Progress(0, 0)
    sampler = SweepSampler(1, progress)
    progress.ended([Outcome(b"a", Result.REMOVED), Outcome(b"b", Result.REMOVED)])
    pool = WorkPool(1)
    told = sampler.sample(pool)
    pool.close()
    assert (told.finished, told.planned) == (2, 2)


def test_a_root_that_is_no_unicode_can_be_told() -> None:
    root = Path(os.fsdecode(b"/mnt/w\xff"))
    state = broken_volume(VolumeSettings.model_construct(root=root), VolumeError(f"{root} is gone", f"mount {root}"))
    assert state.root == "/mnt/w\\xff"
    assert state.error == "/mnt/w\\xff is gone: mount /mnt/w\\xff"
