"""What the engine tells of the volume, the registry and a running sweep, taken from the things themselves."""

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

from sweeper_gui.core.names import visible
from sweeper_gui.core.outcome import Outcome
from sweeper_gui.core.snapshot import Snapshot
from sweeper_gui.engine.jobs import told
from sweeper_gui.engine.messages import RegistryState, SourceState, SweepProgress, TreeProgress, VolumeState
from sweeper_gui.settings import VolumeSettings
from sweeper_gui.storage.control import Control, place_of
from sweeper_gui.storage.files import bounded
from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.storage.volume import Space, VolumeError
from sweeper_gui.sweep.ground import Ground
from sweeper_gui.sweep.log import read_log
from sweeper_gui.sweep.progress import Progress
from sweeper_gui.sweep.trash import items_of
from sweeper_gui.sweep.words import words_of

T = TypeVar("T")

#: The rate is taken over the last so many seconds.
_RATE_WINDOW = 5.0
#: So many trees are told one by one; a window does not show more at a time.
_MOST_TREES = 200


class News(Generic[T]):
    """A value that is told once each time it changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value: T | None = None
        self._told: T | None = None

    def tell(self, value: T | None) -> None:
        """Sets the value."""
        with self._lock:
            self._value = value

    def news(self) -> T | None:
        """The value where it differs from what was told last."""
        with self._lock:
            if self._value == self._told:
                return None
            self._told = self._value
            return self._value


def volume_state(ground: Ground, problems: Sequence[str] = (), clock_skew: float | None = None) -> VolumeState:
    """The volume as it is now, with what lies in its trash."""
    volume = ground.volume
    warnings = list(problems)
    if ground.state.problem:
        warnings.append(ground.state.problem)
    control_dir, counts = "", (0, 0, 0)
    try:
        place = place_of(volume, ground.settings.volume)
        control_dir = visible(place.path)
        if place.warning:
            warnings.append(place.warning)
        counts = _trash_counts(ground)
    except (VolumeError, OSError) as error:
        warnings.append(f"what is set aside can't be seen: {words_of(error)}")
    space = _space(ground)
    unfinished, expired, set_aside = counts
    return VolumeState(
        root=volume.shown,
        control_dir=control_dir,
        fs_type=volume.mount.fs_type,
        source=volume.mount.source,
        total=space.total,
        free=space.free,
        network=volume.mount.network,
        read_only=volume.mount.read_only,
        clock_skew=clock_skew,
        warnings=tuple(dict.fromkeys(map(told, warnings))),
        unfinished=unfinished,
        expired=expired,
        set_aside=set_aside,
    )


def clock_skew_of(ground: Ground, sweep_id: str) -> float | None:
    """By how many seconds the volume's clock was ahead of the host's when this run began, as far as its log tells."""
    try:
        control = Control.open_existing(ground.volume, ground.settings.volume)
        if control is None:
            return None
        with control, control.open_sweep(sweep_id) as sweep:
            begun = read_log(sweep, ground.log_fallback(sweep_id)).begun
    except (VolumeError, OSError):
        return None
    return begun.clock_skew if begun is not None else None


def _space(ground: Ground) -> Space:
    try:
        return ground.volume.space()
    except OSError:
        return Space(None, None)


def _trash_counts(ground: Ground) -> tuple[int, int, int]:
    control = Control.open_existing(ground.volume, ground.settings.volume)
    if control is None:
        return 0, 0, 0
    with control:
        items = list(items_of(control, ground))
    now = time.time()
    unfinished = sum(item.unfinished for item in items)
    expired = sum(not item.unfinished and not item.problem and item.expires_at <= now for item in items)
    return unfinished, expired, len(items)


def broken_volume(settings: VolumeSettings, error: VolumeError) -> VolumeState:
    """The state of a volume that can't be opened or listed."""
    words = f"{error}: {error.hint}" if error.hint else str(error)
    return VolumeState(root=visible(os.fsencode(settings.root or "")), error=told(words))


def registry_state(snapshot: Snapshot, ids: frozenset[str]) -> RegistryState:
    """The registry as a snapshot tells it, matched both ways with the ids of the directories that are listed."""
    known = ids & snapshot.sessions.keys()
    live = ids & snapshot.live_ids
    return RegistryState(
        sources=tuple(
            SourceState(read.shown, len(read.sessions), read.error or "", read.hint or "") for read in snapshot.reads
        ),
        read_at=snapshot.started_at if snapshot.reads else None,
        trusted=snapshot.examined and not snapshot.problems,
        problems=snapshot.problems,
        directories=len(ids),
        matched_live=len(live),
        matched_deleted=len(known) - len(live),
        unmatched_directories=len(ids) - len(known),
        sessions_without_directory=len(snapshot.live_ids) - len(live),
    )


class SweepSampler:
    """Samples a run's progress; the rate is what was removed over the last seconds."""

    def __init__(self, job: int, progress: Progress) -> None:
        self.job = job
        self.cancelling = False
        self._progress = progress
        self._started = time.monotonic()
        self._samples: deque[tuple[float, int]] = deque()
        self._told: dict[int, Outcome] = {}

    def sample(self, pool: WorkPool) -> SweepProgress:
        """How far the run is now."""
        progress = self._progress
        trees = list(progress.trees)
        now = time.monotonic()
        removed = sum(tree.counters.entries for tree in trees)
        total = max(progress.entries_planned, sum(tree.entries for tree in trees))
        rate = self._rate(now, removed)
        left = (total - removed) / rate if rate > 0 and total > removed else None
        finished = len(progress.all_outcomes())
        active = [tree for tree in trees if tree.outcome is None][:_MOST_TREES]
        return SweepProgress(
            job=self.job,
            step=progress.step,
            trees=tuple(
                TreeProgress(tree.name, tree.step, tree.entries, tree.counters.entries, tree.counters.bytes)  # type: ignore[arg-type]
                for tree in active
            ),
            planned=max(progress.planned, finished, len(trees)),  # of a resume nobody knows before how many it takes
            finished=finished,
            entries_total=total,
            entries_removed=removed,
            bytes_freed=bounded(sum(tree.counters.bytes for tree in trees)),
            rate=round(rate, 1),
            seconds_left=None if left is None else round(left, 1),
            seconds=round(now - self._started, 1),
            cancelling=self.cancelling,
            in_flight=pool.in_flight,
            limit=pool.limit,
            latency=round(pool.latency, 6),
        )

    def _rate(self, now: float, removed: int) -> float:
        self._samples.append((now, removed))
        while len(self._samples) > 2 and now - self._samples[0][0] > _RATE_WINDOW:
            self._samples.popleft()
        first_at, first = self._samples[0]
        return (removed - first) / (now - first_at) if now > first_at else 0.0

    def new_outcomes(self) -> tuple[Outcome, ...]:
        """Outcomes that have not been told yet. Known by themselves: two trees of the trash may have one name."""
        new = {id(outcome): outcome for outcome in self._progress.all_outcomes() if id(outcome) not in self._told}
        self._told |= new
        return tuple(new.values())
