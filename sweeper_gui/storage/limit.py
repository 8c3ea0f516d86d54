"""How many operations may be in flight on a volume: found from how long they take.

A server works on so many operations at once, its *knee*: up to there more in flight are done in the same time each,
beyond it they only wait for each other, and so does every other client. The controller finds the knee by comparison: it
holds a limit, and now and then allows a quarter more or only half as many for a moment. By Little's law (operations in
flight = rate × duration; Little, 1961) a duration that grows as the number in flight does means that the rate does not,
and the knee lies at the number in flight divided by how much longer they take. As in gradient controllers of this kind
(TCP Vegas, Brakmo and Peterson 1994; Netflix's concurrency-limits) queueing shows in the durations; unlike there,
durations are compared with those of a moment ago and never with the lowest ever seen. What makes all operations
slower (another client, a busy processor of ours, a server that has become slower) is on both sides of the comparison,
so it does not drive the limit down unless fewer in flight make it better.

Only the middle half of the durations counts: a few that were held up by something else say nothing of a queue.

Operations too quick to have left this host (answered from its caches, or by a local disk) are not limited by a server
but by our processors and Python's lock: they get a fixed small number. A network volume answers many reads from the
cache, so it is the time that tells: where most of it goes to quick reads, they are what limits us. No change is ever
answered from a cache: a few quick ones prove that the volume is local, however long the others wait for its journal.

What lives here is pure arithmetic: no clock, no threads.
"""

from enum import Enum, IntEnum, StrEnum, auto
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

    The limit is kept at `share` of the knee: below it there is room for others, above it the server is never idle.
    Operations that take more than `margin` times as long as before count as waiting for each other. The limit never
    falls below `floor`: what so few operations wait for is other clients. `local` is the limit for quick operations of
    each kind: reads keep Python busy, which works in one thread at a time, changes wait for the file system's journal.
    """

    share: float
    margin: float
    floor: int
    local: tuple[int, int, int]


TUNINGS = {
    Impact.GENTLE: Tuning(0.85, 1.05, 1, (1, 2, 1)),
    Impact.BALANCED: Tuning(1.00, 1.10, 2, (1, 8, 1)),
    Impact.FAST: Tuning(1.30, 1.20, 4, (1, 16, 1)),
}

#: An operation quicker than this, in seconds, was answered on this host; a network's round trip takes longer.
QUICK = (100e-6, 200e-6, 100e-6)
#: Where this share of the changes is quick, the volume is local.
LOCAL_SHARE = 0.05

START = 2


class Enough(NamedTuple):
    """How long a window lasts: at least so many seconds, and so many operations."""

    seconds: float
    samples: int


#: In haste while the knee is being looked for; then so that chance does not matter.
STARTING_WINDOW = Enough(0.05, 16)
WINDOW = Enough(0.1, 150)
#: After a change of the limit, durations are of no use for so many seconds and so many times their usual length.
SETTLING = 0.03
SETTLING_TIMES = 2.0
#: Seconds between two comparisons: soon after the limit has moved, later where they confirm it. What fewer in flight
#: would bring is asked every third time, since asking costs time.
COMPARE_SOON = 0.5
COMPARE_LATE = 2.0
TURNS = 3
#: A move of the limit by less than this share confirms it.
SMALL_MOVE = 0.1
#: More and fewer in flight, for a comparison; and how much more is tried next where it did not hurt.
MORE = 1.25
FEWER = 0.5
NEXT_MORE = 1.5
#: Durations that grow by this share of what the number in flight does: the rate did not grow at all.
NEARLY = 0.85
#: Numbers in flight must differ by so much for a comparison to tell anything.
COMPARABLE = 1.15
#: A limit is used where this share of it is in flight: an unused one proves nothing.
USED = 0.7
#: Where two windows in a row take this many times as long as before, a comparison is made at once.
ALARM = 1.25
#: One operation counts for at most this many seconds: a volume that hung is not one that is full.
LONGEST = 1.0


class _Mode(Enum):
    GROWING = auto()
    HOLDING = auto()
    MORE = auto()
    FEWER = auto()


class AdaptiveLimit:
    """The limit on operations in flight; fed with what operations took, at any pace. Not thread-safe."""

    def __init__(self, ceiling: int, impact: Impact, now: float) -> None:
        """`ceiling` is at least 1; `now` is a monotonic clock's seconds."""
        if ceiling < 1:
            raise ValueError(f"at least one operation must be allowed in flight, not {ceiling}")
        self.impact = impact
        self._ceiling = ceiling
        self._mode = _Mode.GROWING
        #: the limit that is held, and the one in force while a comparison is made
        self._held = self._tried = float(min(START, ceiling))
        self._reference: _Window | None = None
        self._alarms = 0
        self._compare_every = COMPARE_SOON
        self._compare_at = now + COMPARE_SOON
        #: which comparisons are made next, in turn
        self._turn = 0
        self._window = _Window(now, now)
        #: what a slow operation took of late, in seconds; 0.0 before the first
        self.latency = 0.0

    @property
    def limit(self) -> int:
        """Operations allowed in flight: 1 to the ceiling."""
        return max(1, min(self._ceiling, int(self._tried + 0.01)))

    def observe(self, kind: Kind, count: int, seconds: float, now: float) -> None:
        """`count` operations of one kind, all quick or all slow, took `seconds` together and have ended by `now`."""
        window = self._window
        if now < window.opens:
            return
        window.add(kind, count, seconds)
        wanted = STARTING_WINDOW if self._mode is _Mode.GROWING else WINDOW
        if now - window.opens >= wanted.seconds and window.operations >= max(wanted.samples, 2 * self.limit):
            before = self.limit
            window.close(now, before)
            self._take(window, now)
            changed = self.limit != before
            settling = max(SETTLING, SETTLING_TIMES * self.latency) if changed else 0.0
            self._window = _Window(now, now + settling)

    # --- one window ---------------------------------------------------------------------------------------------------

    def _take(self, window: "_Window", now: float) -> None:
        local = window.local_kind()
        if local is not None:
            self._settle_locally(local)
            return
        self.latency = window.latency() or self.latency
        if self._mode is _Mode.GROWING:
            self._grow(window, now)
        elif self._mode is _Mode.MORE:
            self._judge_more(window, now)
        elif self._mode is _Mode.FEWER:
            self._judge_fewer(window, now)
        else:
            self._hold_on(window, now)

    def _settle_locally(self, kind: Kind) -> None:
        """Half-way to the fixed number, so that a few cached answers between slow ones do not upset the limit."""
        target = min(self._ceiling, TUNINGS[self.impact].local[kind])
        self._tried = self._held = target if abs(self._held - target) < 2 else (self._held + target) / 2
        self._mode = _Mode.GROWING
        self._reference = None

    # --- looking for the knee -----------------------------------------------------------------------------------------

    def _grow(self, window: "_Window", now: float) -> None:
        reference, self._reference = self._reference, window
        slower = window.slower_than(reference) if reference is not None else 1.0
        if slower is None or not window.is_used:
            return  # what was compared differs, or an unused limit proves nothing
        if slower > self._growing_margin:
            self._hold(self._share_of(window.in_flight / slower), now)
        elif self._held >= self._ceiling:
            self._hold(self._held, now)
        else:
            self._raise(2.0)

    def _raise(self, factor: float) -> None:
        self._held = self._tried = min(float(self._ceiling), max(self._tried * factor, self._tried + 1))

    @property
    def _growing_margin(self) -> float:
        """Twice the margin, for twice as many in flight."""
        return 2 * TUNINGS[self.impact].margin - 1

    def _share_of(self, knee: float) -> float:
        tuning = TUNINGS[self.impact]
        return min(float(self._ceiling), max(float(tuning.floor), tuning.share * knee))

    # --- holding it ---------------------------------------------------------------------------------------------------

    def _hold(self, limit: float, now: float) -> None:
        moved = self._mode is _Mode.GROWING or abs(limit - self._held) > SMALL_MOVE * self._held
        self._compare_every = COMPARE_SOON if moved else min(COMPARE_LATE, 1.5 * self._compare_every)
        self._compare_at = now + self._compare_every
        self._mode = _Mode.HOLDING
        self._held = self._tried = limit
        self._reference = None
        self._alarms = 0

    def _hold_on(self, window: "_Window", now: float) -> None:
        slower = window.slower_than(self._reference) if self._reference is not None else 1.0
        if slower is not None and slower > ALARM:
            self._alarms += 1
            if self._alarms > 1:
                self._compare(window, more=False)
            return
        self._alarms = 0
        self._reference = window
        if now >= self._compare_at:
            self._turn += 1
            self._compare(window, more=self._turn % TURNS != 0)

    def _compare(self, window: "_Window", *, more: bool) -> None:
        """Begins a comparison with `window`, where it can tell something."""
        self._reference = window
        if more and window.is_used and self._held < self._ceiling:
            self._mode = _Mode.MORE
            self._tried = min(float(self._ceiling), max(self._held * MORE, self._held + 1))
        elif not more and window.in_flight >= 2:
            self._mode = _Mode.FEWER
            self._tried = max(1.0, min(self._held, window.in_flight) * FEWER)

    def _judge_more(self, window: "_Window", now: float) -> None:
        reference = self._reference
        assert reference is not None
        slower = window.slower_than(reference)
        more = window.in_flight / reference.in_flight
        if slower is None or more < COMPARABLE:
            self._hold(self._held, now)
        elif slower <= TUNINGS[self.impact].margin:
            self._mode = _Mode.GROWING
            self._reference = window
            self._raise(NEXT_MORE)
        else:
            self._hold((self._held + self._share_of(window.in_flight / slower)) / 2, now)
            if slower >= NEARLY * more:  # all that came on top waited: the knee is no higher than before, perhaps lower
                self._ask_for_fewer(now)

    def _judge_fewer(self, window: "_Window", now: float) -> None:
        reference = self._reference
        assert reference is not None
        slower = reference.slower_than(window)
        fewer = reference.in_flight / window.in_flight if window.in_flight else 1.0
        if slower is None or fewer < COMPARABLE or slower <= TUNINGS[self.impact].margin:
            self._hold(self._held, now)
        elif slower >= NEARLY * fewer:  # even so few wait for each other
            self._hold(min(self._held, self._share_of(window.in_flight)), now)
            self._ask_for_fewer(now)
        else:
            knee = self._share_of(reference.in_flight / slower)
            self._hold(min(self._held, knee if slower > self._growing_margin else (self._held + knee) / 2), now)

    def _ask_for_fewer(self, now: float) -> None:
        self._compare_at, self._turn = now, TURNS - 1


class _Window:
    """What the operations of a short time took, by kind; `opens` is when it begins to count."""

    def __init__(self, now: float, opens: float) -> None:
        self.opens = max(now, opens)
        self.operations = 0
        #: Whether as many were in flight as allowed, once it is closed, ...
        self.is_used = False
        #: ... and how many. A short window of long operations counts them badly: where the limit is used, it is that.
        self.in_flight = 0.0
        self._quick = [0.0 for _ in Kind]
        self._quick_counts = [0 for _ in Kind]
        self._slow = [0.0 for _ in Kind]
        self._counts = [0 for _ in Kind]
        self._means: list[list[tuple[float, int]]] = [[] for _ in Kind]
        self._usual: list[float | None] = []

    def add(self, kind: Kind, count: int, seconds: float) -> None:
        self.operations += count
        if count * QUICK[kind] > seconds:
            self._quick[kind] += seconds
            self._quick_counts[kind] += count
        else:
            seconds = min(seconds, LONGEST * count)
            self._slow[kind] += seconds
            self._counts[kind] += count
            self._means[kind].append((seconds / count, count))

    def close(self, now: float, allowed: int) -> None:
        """No more is added. `allowed` was the limit all the time."""
        busy = (sum(self._quick) + sum(self._slow)) / (now - self.opens)
        self.is_used = busy >= USED * allowed
        self.in_flight = allowed if self.is_used else busy
        self._usual = [_middle(means) if means else None for means in self._means]
        self._means = []

    def local_kind(self) -> Kind | None:
        """The kind that most time went to, if it is this host that limits it; None where it is the volume."""
        kind = max(Kind, key=lambda kind: self._quick[kind] + self._slow[kind])
        if kind is Kind.CHANGE:
            quick = self._quick_counts[kind] >= LOCAL_SHARE * (self._quick_counts[kind] + self._counts[kind])
        else:
            quick = sum(self._quick) > sum(self._slow)
        return kind if quick else None

    def latency(self) -> float | None:
        """What a slow read or change usually took, in seconds."""
        known = [usual for usual in self._usual[: Kind.OTHER] if usual is not None]
        return max(known) if known else None

    def slower_than(self, other: "_Window") -> float | None:
        """How many times as long as in the other window operations of the same kinds took; None where none are."""
        mine = theirs = 0.0
        for kind in (Kind.READ, Kind.CHANGE):
            here, there = self._usual[kind], other._usual[kind]
            if here is not None and there is not None:
                weight = min(self._counts[kind], other._counts[kind])
                mine += weight * here
                theirs += weight * there
        return mine / theirs if theirs else None


def _middle(values: list[tuple[float, int]]) -> float:
    """The mean of the middle half of (value, weight) pairs, in order of their values.

    As little moved by a few that were held up as the median is, and true where a queue makes some wait and others not.
    """
    values.sort()
    quarter = sum(weight for _, weight in values) / 4
    passed = total = 0.0
    for value, weight in values:
        inside = min(passed + weight, 3 * quarter) - max(passed, quarter)
        total += max(0.0, inside) * value
        passed += weight
    return total / (2 * quarter)
