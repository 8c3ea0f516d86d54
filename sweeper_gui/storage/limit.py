"""How many operations may be in flight on a volume: found from how long they take.

A server works on so many operations at once, its *knee*: up to there more in flight are done in the same time each,
beyond it they only wait for each other, and so does every other client. The controller finds the knee by comparison: it
holds a limit, and now and then allows twice or half as many for some milliseconds. By Little's law (operations in
flight = rate × duration; Little, 1961) a duration that grows as the number in flight does means that the rate does not,
and the knee lies at the number in flight divided by how much longer they take. As in gradient controllers of this kind
(TCP Vegas, Brakmo and Peterson 1994; Netflix's concurrency-limits) queueing shows in the durations; unlike there,
durations are compared with those of a moment ago and never with the lowest ever seen. What makes all operations
slower (another client, a busy processor of ours, a server that has become slower) is on both sides of the comparison,
so it does not drive the limit down unless fewer in flight make it better.

Only the middle half of the durations counts: a few that were held up by something else say nothing of a queue. A
comparison ends as soon as enough operations are in: few where they differ little among each other, or where twice as
many in flight would make twice as long. A difference is believed where it is no chance (two standard errors). So what a
comparison costs, us or the neighbours, is known, and comparisons are made as often as their share of the time allows:
on a busy volume several times a second. A knee that falls at once makes itself felt by itself: durations rise, and the
next comparison is with just as many fewer as would explain it.

Where our own processors are what limits us, operations wait for them and for Python's lock, and a queue shows that is
not the server's. The processor time of this process tells: while it is high no conclusion is drawn from slowness.

What was found stays while others come to their turn: it is where the next work begins. After idle time, and for the
first changes after nothing but reads, it is no more than a guess, and compared at once.

Operations too quick to have left this host (answered from its caches, or by a local disk) are not limited by a server
but by our processors and Python's lock: they get a fixed small number. A network volume answers many reads from the
cache, so it is the time that tells: where most of it goes to quick reads, they are what limits us. No change is ever
answered from a cache: a few quick ones prove that the volume is local, however long the others wait for its journal.

What lives here is pure arithmetic: no clock, no threads; times are given.
"""

import math
from collections.abc import Callable
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
    falls below `floor`: what so few operations wait for is other clients. Comparisons with more in flight cost the
    neighbours, those with fewer cost us: each takes `asking` of the time.
    """

    share: float
    margin: float
    floor: int
    asking: float


TUNINGS = {
    Impact.GENTLE: Tuning(0.85, 1.05, 1, 0.05),
    Impact.BALANCED: Tuning(1.00, 1.10, 2, 0.07),
    Impact.FAST: Tuning(1.30, 1.20, 4, 0.07),
}

#: The limit for quick operations of each kind, whatever the impact. Reads keep Python busy, which works in one thread
#: at a time; with changes a second thread finds something to do while the kernel works. A third one only costs: handing
#: Python's lock over takes longer than what is done meanwhile (80,000 files on two processors: 2.5 s with one thread,
#: 1.7 s with two, 2.4 s with three).
LOCAL = (1, 2, 1)

#: An operation quicker than this, in seconds, was answered on this host; a network's round trip takes longer.
QUICK = (100e-6, 200e-6, 100e-6)
#: Where this share of the changes is quick, the volume is local.
LOCAL_SHARE = 0.05

#: Few enough for the smallest server, many enough to be at the ceiling after three steps.
START = 8


class Enough(NamedTuple):
    """How long a window lasts: at least so many seconds, and so many operations."""

    seconds: float
    samples: int


#: In haste while the knee is being looked for: what was taken for it by chance is compared again.
STARTING_WINDOW = Enough(0.004, 12)
#: Then so that chance does not matter: between these numbers as the durations are spread, so that a mean is known to
#: this share of what the margin allows.
WINDOW = Enough(0.02, 32)
MOST_SAMPLES = 150
KNOWN_TO = 0.35
#: What is slower by less than so many standard errors may have been by chance.
SURE = 2.0
#: Where this host answers, and a few that wait for a disk's journal say nothing.
LOCAL_WINDOW = Enough(0.03, 32)
#: After a change of the limit, durations are of no use for so many seconds and so many times their usual length.
SETTLING = 0.006
SETTLING_TIMES = 1.5
#: So many seconds at most lie between two comparisons of one kind; those with fewer in flight are asked for less and
#: less often where they confirm the limit.
COMPARE_LATEST = 5.0
FEWER_LATER = 1.5
#: After so many seconds in which nothing was done, what the limit was found by has passed: it is compared at once.
IDLE = 5.0
#: Where this process keeps a processor busy for so much of the time, operations wait for it and for Python's lock: then
#: no more are allowed in flight, and no fewer.
BUSY = 0.6
#: More and fewer in flight, for a comparison. Twice as many shows in a few durations whether they wait for each other:
#: less would have to be asked for much longer.
MORE = 2.0
FEWER = 0.5
#: After an alarm just as many fewer as would explain it, but at least so much.
LEAST_FEWER = 0.8
#: Durations that grow by this share of what the number in flight does: the rate did not grow at all.
NEARLY = 0.85
#: By this share: there was no room left below the knee either.
NEARLY_ALL = 0.93
#: Numbers in flight must differ by so much for a comparison to tell anything.
COMPARABLE = 1.15
#: A move of the limit by less than this share leaves durations as they are.
SMALL_MOVE = 0.1
#: A limit is used where this share of it is in flight: an unused one proves nothing.
USED = 0.7
#: Where two windows in a row take this many times as long as before, a comparison is made at once.
ALARM = 1.25
#: One operation counts for at most this many seconds: a volume that hung is not one that is full.
LONGEST = 1.0


class _Mode(Enum):
    LOCAL = auto()
    GROWING = auto()
    HOLDING = auto()
    MORE = auto()
    FEWER = auto()


class AdaptiveLimit:
    """The limit on operations in flight; fed with what operations took, at any pace. Not thread-safe."""

    def __init__(self, ceiling: int, impact: Impact, now: float, worked: Callable[[], float] = lambda: 0.0) -> None:
        """`ceiling` is at least 1; `now` is a monotonic clock's seconds.

        `worked` says for how many seconds processors have worked for this process so far.
        """
        if ceiling < 1:
            raise ValueError(f"at least one operation must be allowed in flight, not {ceiling}")
        self._impact = impact
        self._ceiling = ceiling
        self._mode = _Mode.GROWING
        #: the limit that is held, and the one in force while a comparison is made
        self._held = self._tried = float(min(START, ceiling))
        #: the one that was held when operations last reached a server; None before they did
        self._learned: float | None = None
        #: the kinds that a comparison has been made with, since the volume was last idle
        self._compared: set[Kind] = set()
        self._reference: _Window | None = None
        #: whether what looks like the knee is being looked at once more
        self._doubted = False
        #: windows in a row that were much slower than those before
        self._alarms = 0
        #: what it was like before the alarm that led to the comparison under way
        self._calm: _Window | None = None
        #: how much single operations differed of late, as a share of what they usually take
        self._spread = 1.0
        #: when more and when fewer in flight are compared next
        self._more_at = self._fewer_at = now
        #: seconds between the last two comparisons with fewer
        self._fewer_after = 0.0
        self._worked = worked
        self._window = _Window(now, now)
        self._worked_before = worked()
        self._observed_at = now
        #: what a slow operation took of late, in seconds; 0.0 before the first
        self.latency = 0.0

    @property
    def impact(self) -> Impact:
        """The impact in force."""
        return self._impact

    @impact.setter
    def impact(self, impact: Impact) -> None:
        """Another share of the same knee, which is looked for anew, too."""
        share = TUNINGS[impact].share / TUNINGS[self._impact].share
        self._impact = impact
        if self._mode is not _Mode.LOCAL and self._learned is not None:
            self._held = self._tried = min(float(self._ceiling), max(1.0, share * self._held))
            self._mode = _Mode.HOLDING
            self._compared.clear()
            self._reference = None

    @property
    def limit(self) -> int:
        """Operations allowed in flight: 1 to the ceiling."""
        return max(1, min(self._ceiling, int(self._tried + 0.01)))

    def observe(self, kind: Kind, count: int, seconds: float, now: float) -> None:
        """`count` operations of one kind, all quick or all slow, took `seconds` together and have ended by `now`."""
        idle, self._observed_at = now - self._observed_at - seconds / count, now
        if idle > IDLE:
            self._begin_anew(now - seconds / count)
        window = self._window
        if now < window.opens:
            return
        window.add(kind, count, seconds)
        if now - window.opens < STARTING_WINDOW.seconds:
            return
        wanted = self._enough(window)
        if now - window.opens >= wanted.seconds and window.operations >= max(wanted.samples, self.limit):
            before = self.limit
            window.close(now, before, self._share_worked(window, now))
            self._take(window, now)
            changed = self.limit != before
            self._window = _Window(now, now + self._settling if changed else now)

    def _share_worked(self, window: "_Window", now: float) -> float:
        worked, before = self._worked(), self._worked_before
        self._worked_before = worked
        return (worked - before) / (now - window.begun)

    @property
    def _settling(self) -> float:
        return max(SETTLING, SETTLING_TIMES * self.latency)

    def _enough(self, window: "_Window") -> Enough:
        if self._mode is _Mode.LOCAL or (self._learned is not None and window.local_kind() is not None):
            return LOCAL_WINDOW
        if self._mode is _Mode.HOLDING:
            return WINDOW
        if self._mode is _Mode.FEWER:
            samples = (self._spread / (KNOWN_TO * self._margin)) ** 2
            return Enough(WINDOW.seconds, min(MOST_SAMPLES, max(WINDOW.samples, int(samples))))
        return WINDOW if self._doubted else STARTING_WINDOW

    def _begin_anew(self, now: float) -> None:
        """After an idle time the limit is as good a guess as there is, and no more than that."""
        self._compared.clear()
        self._window = _Window(now, now)
        self._worked_before = self._worked()
        self._reference = None

    # --- one window ---------------------------------------------------------------------------------------------------

    def _take(self, window: "_Window", now: float) -> None:
        local = window.local_kind()
        if local is not None:
            self._settle_locally(local)
            return
        if self._mode is _Mode.LOCAL:
            self._leave_local(now)
            return
        self.latency = window.latency() or self.latency
        self._spread = window.spread or self._spread
        if self._mode is _Mode.GROWING:
            self._grow(window, now)
        elif self._mode is _Mode.MORE:
            self._judge_more(window, now)
        elif self._mode is _Mode.FEWER:
            self._judge_fewer(window, now)
        else:
            self._hold_on(window, now)
        self._learned = self._held

    def _settle_locally(self, kind: Kind) -> None:
        """The fixed number: half-way at a time where a server was seen, for cached answers come between slow ones."""
        target = min(self._ceiling, LOCAL[kind])
        near = self._learned is None or abs(self._held - target) < 2
        self._tried = self._held = target if near else (self._held + target) / 2
        self._mode = _Mode.LOCAL
        self._reference = None

    def _leave_local(self, now: float) -> None:
        """Operations reach a server again, or for the first time."""
        if self._learned is None:
            self._held = self._tried = float(min(START, self._ceiling))
            self._mode = _Mode.GROWING
        else:
            self._hold(self._learned, now)

    # --- looking for the knee -----------------------------------------------------------------------------------------

    def _grow(self, window: "_Window", now: float) -> None:
        reference = self._reference
        slower = window.slower_than(reference) if reference is not None else 1.0
        if slower is None or not window.is_used:
            self._reference = window
            return  # what was compared differs, or an unused limit proves nothing
        if reference is not None and slower > 1 + window.least_difference(reference, 2 * self._margin):
            if self._doubted:
                knee = window.in_flight / slower
                self._hold(knee if window.is_ours else self._share_of(knee), now)
            self._doubted = not self._doubted  # once more, and longer: stopping by mistake costs more than going on
            return
        self._doubted = False
        self._reference = window
        if self._held >= self._ceiling:
            self._hold(self._held, now)
        elif not window.is_ours:
            self._raise(MORE)

    def _raise(self, factor: float) -> None:
        self._held = self._tried = min(float(self._ceiling), max(self._tried * factor, self._tried + 1))

    @property
    def _margin(self) -> float:
        return TUNINGS[self.impact].margin - 1

    def _share_of(self, knee: float) -> float:
        tuning = TUNINGS[self.impact]
        return min(float(self._ceiling), max(float(tuning.floor), tuning.share * knee))

    # --- holding it ---------------------------------------------------------------------------------------------------

    def _hold(self, limit: float, now: float) -> None:
        pause = (self._settling + self._window.lasted) / TUNINGS[self.impact].asking
        if self._mode is not _Mode.FEWER:
            self._more_at = now + min(pause, COMPARE_LATEST)
            if self._mode is not _Mode.MORE:
                self._fewer_at, self._fewer_after = self._more_at, 0.0
        elif limit < self._held:
            self._fewer_at, self._fewer_after = now, 0.0
        else:  # a volume that bears less at once makes itself felt: see ALARM
            self._fewer_after = min(max(pause, FEWER_LATER * self._fewer_after), COMPARE_LATEST)
            self._fewer_at = now + self._fewer_after
        if self._mode not in (_Mode.MORE, _Mode.FEWER) or abs(limit - self._held) > SMALL_MOVE * self._held:
            self._reference = None  # else it is the one of this very limit, before the comparison
        self._mode = _Mode.HOLDING
        self._held = self._tried = limit
        self._doubted = False
        self._alarms = 0

    def _hold_on(self, window: "_Window", now: float) -> None:
        before = self._reference
        if before is not None and self._is_alarming(window, before):
            self._alarms += 1
            if self._alarms > 1:
                self._compare(window, more=False, fewer=1 / (window.slower_than(before) or 1.0))
            return
        self._alarms = 0
        if before is not None:
            window.take_in(before)
        self._reference = window
        if window.main_kind not in self._compared:
            self._compared.add(window.main_kind)
            self._fewer_at = now
        if now >= self._fewer_at and window.in_flight >= 2:
            self._compare(window, more=False)
        elif now >= self._more_at and not window.is_ours:
            self._compare(window, more=True)

    def _knee_after_alarm(self, window: "_Window", reference: "_Window") -> float | None:
        """Where durations would be as before the alarm, if those in flight still wait for each other; None if not.

        Beyond the knee durations are a straight line over the number in flight, whatever others have there.
        """
        calm = self._calm
        here, there = (one.slower_than(calm) if calm is not None else None for one in (window, reference))
        if calm is None or here is None or there is None or here <= 1 + window.least_difference(calm, self._margin):
            return None
        slope = (there - here) / (reference.in_flight - window.in_flight)
        return window.in_flight - (here - 1) / slope if slope > 0 else None

    def _is_alarming(self, window: "_Window", before: "_Window") -> bool:
        slower = window.slower_than(before)
        enough = 1 + window.least_difference(before, ALARM - 1)
        return slower is not None and slower > enough and not window.is_ours

    def _compare(self, window: "_Window", *, more: bool, fewer: float = FEWER) -> None:
        """Begins a comparison with `window`, where it can tell something."""
        self._calm = self._reference if self._alarms else None
        self._reference = window
        if more and window.is_used and self._held < self._ceiling:
            self._mode = _Mode.MORE
            self._tried = min(float(self._ceiling), max(self._held * MORE, self._held + 1))
        elif not more and window.in_flight >= 2:
            self._mode = _Mode.FEWER
            self._tried = max(1.0, min(self._held, window.in_flight) * min(fewer, LEAST_FEWER))

    def _judge_more(self, window: "_Window", now: float) -> None:
        reference = self._reference
        assert reference is not None
        slower = window.slower_than(reference)
        more = window.in_flight / reference.in_flight
        if slower is None or more < COMPARABLE or (window.is_ours and slower > 1 + self._margin):
            self._hold(self._held, now)
        elif slower >= NEARLY * more:  # all that came on top waited, and so may what there was before
            self._hold(self._held, now)
            if TUNINGS[self.impact].share < 1 and slower >= NEARLY_ALL * more:
                self._fewer_at = now
        elif slower <= 1 + window.least_difference(reference, 2 * self._margin):
            self._mode = _Mode.GROWING
            self._reference = window
            self._held = self._tried
            self._raise(MORE)
        else:
            self._hold((self._held + self._share_of(window.in_flight / slower)) / 2, now)

    def _judge_fewer(self, window: "_Window", now: float) -> None:
        reference = self._reference
        assert reference is not None
        slower = reference.slower_than(window)
        fewer = reference.in_flight / window.in_flight if window.in_flight else 1.0
        least = 1 + window.least_difference(reference, self._margin)
        if slower is None or fewer < COMPARABLE or slower <= least or reference.is_ours:
            self._hold(self._held, now)
        elif (knee := self._knee_after_alarm(window, reference)) is not None:
            self._hold(min(self._held, self._share_of(knee)), now)
        elif slower >= NEARLY * fewer:  # even so few wait for each other
            self._hold(min(self._held, self._share_of(window.in_flight)), now)
        else:
            limit = self._share_of(reference.in_flight / slower)
            clear = 1 + window.least_difference(reference, 2 * self._margin)
            self._hold(min(self._held, limit if slower > clear else (self._held + limit) / 2), now)


class _Window:
    """What the operations of a short time took, by kind; `opens` is when it begins to count."""

    def __init__(self, now: float, opens: float) -> None:
        self.begun = now
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
        #: whether operations waited for this host, ...
        self.is_ours = False
        #: ... how many slow operations it goes by, ...
        self.samples = 1
        #: ... how long it was open, in seconds, once it is closed, ...
        self.lasted = 0.0
        #: ... how much single operations differ, as a share of the usual duration; 0.0 where that can't be told, ...
        self.spread = 0.0
        #: ... and what most time went to.
        self.main_kind = Kind.OTHER

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

    def close(self, now: float, allowed: int, worked: float) -> None:
        """No more is added. `allowed` was the limit all the time, `worked` is the share that a processor worked."""
        self.is_ours = worked > BUSY
        self.lasted = now - self.opens
        busy = (sum(self._quick) + sum(self._slow)) / self.lasted
        self.is_used = busy >= USED * allowed
        self.in_flight = allowed if self.is_used else busy
        self.samples = max(1, self._counts[Kind.READ], self._counts[Kind.CHANGE])
        self._usual = [_middle(means) if means else None for means in self._means]
        self.main_kind = max((Kind.READ, Kind.CHANGE), key=lambda kind: self._slow[kind])
        self.spread = _spread(self._means[self.main_kind])
        self._means = []

    def least_difference(self, other: "_Window", wanted: float) -> float:
        """By which share the durations of two windows differ where it is no chance: what is wanted, or more."""
        error = max(self.spread, other.spread) * math.sqrt(1 / self.samples + 1 / other.samples)
        return max(wanted, SURE * error)

    def take_in(self, before: "_Window") -> None:
        """Makes this window's usual durations those of the one before too: fewer operations tell less."""
        for kind in (Kind.READ, Kind.CHANGE):
            here, there = self._usual[kind], before._usual[kind]
            if there is None:
                continue
            mine, theirs = self._counts[kind], min(before._counts[kind], MOST_SAMPLES)
            self._usual[kind] = there if here is None else (mine * here + theirs * there) / (mine + theirs)
            self._counts[kind] += theirs
        self.samples = max(1, self._counts[Kind.READ], self._counts[Kind.CHANGE])
        self.spread = max(self.spread, 0.8 * before.spread)

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


def _spread(values: list[tuple[float, int]]) -> float:
    """How much single operations differ, as a share of the median: from the middle half of the sorted means of a few.

    Of a normal distribution the middle half is 1.35 standard deviations wide.
    """
    if len(values) < 4:
        return 0.0
    quarter = len(values) // 4
    usual = values[len(values) // 2][0]
    together = sum(weight for _, weight in values) / len(values)
    return (values[-1 - quarter][0] - values[quarter][0]) / 1.35 / usual * math.sqrt(together)
