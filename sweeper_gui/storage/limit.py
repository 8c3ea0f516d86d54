"""How many operations may be in flight on a volume: found from how long they take.

The controller is that of TCP Vegas (Brakmo and Peterson, 1994), as Netflix's concurrency-limits uses it for services.
An operation that takes no longer than on an idle volume has not waited for others: more may be in flight. One that
takes longer has stood in a queue, which wins nothing and makes every other client of the volume wait as well: fewer.
What an operation takes on an idle volume, the *base*, is the lowest mean of a recent time, measured anew with half the
operations in flight every few seconds, or queueing caused by ourselves would slowly be taken for the volume's nature.

Operations too quick to have left this host (answered from its caches, or by a local disk) are not limited by a server
but by our processors and Python's lock: they get a fixed small number. A network volume answers many reads from the
cache, so it is the time that tells: where most of it goes to quick reads, they are what limits us. No change is ever
answered from a cache: a few quick ones prove that the volume is local, however long the others wait for its journal.

What lives here is pure arithmetic: no clock, no threads.
"""

from enum import IntEnum, StrEnum
from typing import NamedTuple


class Impact(StrEnum):
    """How much a sweep may cost the live sessions on the same volume."""

    GENTLE = "gentle"
    BALANCED = "balanced"
    FAST = "fast"


class Kind(IntEnum):
    """What an operation asks of the volume; only operations of one kind are compared."""

    #: a look-up, an entry's attributes, opening a directory
    READ = 0
    #: unlink, rmdir, rename, a change of mode
    CHANGE = 1
    #: a listing, or anything else whose duration says more about the directory than about the volume
    OTHER = 2


class Tuning(NamedTuple):
    """One impact's numbers.

    The limit grows while operations take at most `grow` times the base and shrinks when they take more than `shrink`
    times the base, but never below `floor`: what so few operations wait for is other clients. `local` is the limit for
    quick operations of each kind: reads keep Python busy, which works in one thread at a time, changes wait for the
    file system's journal.
    """

    grow: float
    shrink: float
    floor: int
    local: tuple[int, int, int]


TUNINGS = {
    Impact.GENTLE: Tuning(1.03, 1.10, 1, (1, 2, 1)),
    Impact.BALANCED: Tuning(1.10, 1.25, 2, (1, 8, 1)),
    Impact.FAST: Tuning(1.40, 1.80, 4, (1, 16, 1)),
}

#: An operation quicker than this, in seconds, was answered on this host; a network's round trip takes longer.
QUICK = (100e-6, 200e-6, 100e-6)
#: Where this share of the changes is quick, the volume is local.
LOCAL_SHARE = 0.05

START = 2
#: seconds between adjustments, while looking for the knee and after
STARTING_WINDOW = 0.025
WINDOW = 0.1
#: a window lasts until it has seen this many operations
MIN_SAMPLES = 8
#: seconds between measurements of the base
PROBE_EVERY = 10.0
#: one operation counts for at most this many seconds: a volume that hung is not one that is full
LONGEST = 1.0


class AdaptiveLimit:
    """The limit on operations in flight; fed with what operations took, at any pace. Not thread-safe."""

    def __init__(self, ceiling: int, impact: Impact, now: float) -> None:
        """`ceiling` is at least 1; `now` is a monotonic clock's seconds."""
        if ceiling < 1:
            raise ValueError(f"at least one operation must be allowed in flight, not {ceiling}")
        self.impact = impact
        self._ceiling = ceiling
        self._exact = float(min(START, ceiling))
        self._starting = True
        self._base = [_Lowest(now) for _ in Kind]
        self._probe_at = now + PROBE_EVERY
        self._before_probe: float | None = None
        self._draining = False
        self._open_window(now)

    @property
    def limit(self) -> int:
        """Operations allowed in flight: 1 to the ceiling."""
        return max(1, min(self._ceiling, int(self._exact)))

    def observe(self, kind: Kind, count: int, seconds: float, now: float) -> None:
        """`count` operations of one kind, all quick or all slow, took `seconds` together and have ended by `now`."""
        if count * QUICK[kind] > seconds:
            self._quick[kind] += seconds
            self._quick_counts[kind] += count
        else:
            self._slow[kind] += min(seconds, LONGEST * count)
            self._counts[kind] += count
        self._samples += count
        length = now - self._opened
        if length >= (STARTING_WINDOW if self._starting else WINDOW) and self._samples >= MIN_SAMPLES:
            self._close_window(length, now)
            self._open_window(now)

    def _open_window(self, now: float) -> None:
        self._opened = now
        self._samples = 0
        self._quick = [0.0 for _ in Kind]
        self._quick_counts = [0 for _ in Kind]
        self._slow = [0.0 for _ in Kind]
        self._counts = [0 for _ in Kind]

    def _close_window(self, length: float, now: float) -> None:
        local = self._local()
        if local is not None:
            self._settle_locally(local)
            return
        ratio = self._ratio(now)
        if self._before_probe is not None:
            self._end_probe()
        elif ratio is not None:
            self._adjust(ratio, (sum(self._quick) + sum(self._slow)) / length)
            if now >= self._probe_at:
                self._begin_probe(now)

    def _local(self) -> Kind | None:
        """The kind that most time went to, if it is this host that limits it; None where it is the volume."""
        kind = max(Kind, key=lambda kind: self._quick[kind] + self._slow[kind])
        if kind is Kind.CHANGE:
            quick = self._quick_counts[kind] >= LOCAL_SHARE * (self._quick_counts[kind] + self._counts[kind])
        else:
            quick = sum(self._quick) > sum(self._slow)
        return kind if quick else None

    def _settle_locally(self, kind: Kind) -> None:
        """Half-way to the fixed number, so that a few cached answers between slow ones do not upset the limit."""
        target = min(self._ceiling, TUNINGS[self.impact].local[kind])
        self._exact = target if abs(self._exact - target) < 2 else (self._exact + target) / 2
        self._before_probe = None

    def _ratio(self, now: float) -> float | None:
        """How many times the base the window's slow operations took; None where there were none to compare."""
        expected = measured = 0.0
        for kind in (Kind.READ, Kind.CHANGE):
            count = self._counts[kind]
            if count:
                mean = self._slow[kind] / count
                expected += count * self._base[kind].lowest_with(mean, now)
                measured += self._slow[kind]
        return measured / expected if expected else None

    def _adjust(self, ratio: float, in_flight: float) -> None:
        tuning = TUNINGS[self.impact]
        if ratio > tuning.shrink:
            self._starting = False
            self._exact = max(float(tuning.floor), self._exact * max(0.7, tuning.grow / ratio))
        elif ratio > tuning.grow:
            self._starting = False
        elif in_flight >= 0.7 * self.limit:  # an unused limit proves nothing
            self._exact = min(float(self._ceiling), self._exact * self._growth(ratio, tuning) + 0.5)

    def _growth(self, ratio: float, tuning: Tuning) -> float:
        """Faster while nothing at all is seen of a queue."""
        if self._starting:
            return 2.0
        return 1.5 if ratio <= (1 + tuning.grow) / 2 else 1.1

    def _begin_probe(self, now: float) -> None:
        self._probe_at = now + PROBE_EVERY
        if self._exact >= 4:
            self._before_probe = self._exact
            self._exact /= 2
            self._draining = True

    def _end_probe(self) -> None:
        """The first window still saw what had been in flight before; the second one measured the base."""
        if self._draining:
            self._draining = False
        elif self._before_probe is not None:
            self._exact = self._before_probe
            self._before_probe = None


class _Lowest:
    """The lowest value of the last one to two probing intervals."""

    def __init__(self, now: float) -> None:
        self._older = self._newer = float("inf")
        self._turned = now

    def lowest_with(self, value: float, now: float) -> float:
        if now - self._turned >= 2 * PROBE_EVERY:
            self._older, self._newer = self._newer, float("inf")
            self._turned = now
        self._newer = min(self._newer, value)
        return min(self._older, self._newer)
