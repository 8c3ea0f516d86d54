"""The limit finds the number of a volume's service slots from nothing but what operations take."""

import heapq
import random

import pytest

from sweeper_gui.storage.limit import AdaptiveLimit, Impact, Kind


class Processor:
    """Ours: works `seconds` for each of our operations before it reaches the server, for one after the other."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.worked = self._free_at = 0.0

    def done_at(self, now: float) -> float:
        self.worked += self.seconds
        self._free_at = max(now, self._free_at) + self.seconds
        return self._free_at


class Volume:
    """A server that works on `slots` operations at once, first come, first served. Operations take `service` seconds.

    `noise` spreads how long they take; `held_up` is the share of them that something on our side holds up for ten times
    as long. `others` are operations that other clients always have in flight.
    """

    def __init__(
        self,
        limit: AdaptiveLimit,
        slots: int,
        service: float = 0.0027,
        noise: float = 0.0,
        held_up: float = 0.0,
        processor: Processor | None = None,
    ) -> None:
        self.limit = limit
        self.slots = slots
        self.service = service
        self.others = 0
        #: what ours are
        self.kind = Kind.CHANGE
        self.now = 0.0
        #: how many of ours have ended
        self.ended = 0
        self._processor = processor or Processor()
        self._noise = noise
        self._held_up = held_up
        self._random = random.Random(1)
        self._free_at: list[float] = []
        #: operations in flight: when each ends, whether it is ours, and what it took
        self._in_flight: list[tuple[float, bool, float]] = []
        self._counts = {True: 0, False: 0}
        #: what the operations of the other clients took
        self.durations_of_others: list[float] = []

    def run(self, seconds: float, *, in_flight: int | None = None) -> list[int]:
        """Keeps as many operations in flight as allowed, or `in_flight` at most; the limit every 10 ms."""
        self._free_at = sorted(self._free_at)[-self.slots :] + [self.now] * (self.slots - len(self._free_at))
        end = self.now + seconds
        look_at = self.now
        seen = []
        while self.now < end:
            self._fill(ours=True, wanted=min(self.limit.limit, in_flight or 1_000))
            self._fill(ours=False, wanted=self.others)
            self.now, ours, took = heapq.heappop(self._in_flight)
            self._counts[ours] -= 1
            if ours:
                self.ended += 1
                self.limit.observe(self.kind, 1, took, self.now)
            else:
                self.durations_of_others.append(took)
            while look_at < self.now:
                seen.append(self.limit.limit)
                look_at += 0.01
        return seen

    def _fill(self, *, ours: bool, wanted: int) -> None:
        """Begins operations until so many are in flight."""
        while self._counts[ours] < wanted:
            self._counts[ours] += 1
            served = self.service * self._random.lognormvariate(0, self._noise)
            arrived = self._processor.done_at(self.now) if ours else self.now
            ended = max(arrived, heapq.heappop(self._free_at)) + served
            heapq.heappush(self._free_at, ended)
            if ours and self._random.random() < self._held_up:
                ended += 9 * self.service
            heapq.heappush(self._in_flight, (ended, ours, ended - self.now))


def make(impact: Impact = Impact.BALANCED, ceiling: int = 64) -> AdaptiveLimit:
    return AdaptiveLimit(ceiling, impact, 0.0)


def settled(seen: list[int]) -> float:
    """The usual limit of the second half: comparisons are dips and peaks in it."""
    half = sorted(seen[len(seen) // 2 :])
    return half[len(half) // 2]


@pytest.mark.parametrize("slots", [4, 16, 40])
@pytest.mark.parametrize("service", [0.0027, 0.02])
def test_it_settles_at_the_number_of_slots(slots: int, service: float) -> None:
    volume = Volume(make(), slots, service)
    assert 0.75 * slots <= settled(volume.run(10.0)) <= 1.25 * slots


@pytest.mark.parametrize("slots", [8, 16, 32])
@pytest.mark.parametrize(("noise", "held_up"), [(0.1, 0.0), (0.3, 0.02), (0.5, 0.0)])
def test_it_bears_noise(slots: int, noise: float, held_up: float) -> None:
    volume = Volume(make(), slots, noise=noise, held_up=held_up)
    assert 0.7 * slots <= settled(volume.run(30.0)) <= 1.5 * slots


@pytest.mark.parametrize("impact", Impact)
def test_noise_alone_does_not_drive_the_limit_down(impact: Impact) -> None:
    """A busy processor of ours holds operations up at random, however many are in flight."""
    volume = Volume(make(impact), slots=1_000, service=0.01, noise=0.3, held_up=0.2)
    assert settled(volume.run(20.0)) >= 24


def test_a_volume_without_a_knee_gets_all_that_is_allowed_and_soon() -> None:
    """Soon: 100 ms."""
    volume = Volume(make(ceiling=48), slots=1_000)
    assert volume.run(0.1)[-1] == 48
    assert settled(volume.run(5.0)) == 48


def test_gentle_stays_lower_than_fast() -> None:
    usual = {impact: settled(Volume(make(impact), 16).run(20.0)) for impact in Impact}
    assert usual[Impact.GENTLE] < usual[Impact.BALANCED] < usual[Impact.FAST]
    assert 12 <= usual[Impact.GENTLE] <= 14


@pytest.mark.parametrize("slots", [16, 64])
@pytest.mark.parametrize(("impact", "at_most"), [(Impact.GENTLE, 1.25), (Impact.BALANCED, 2.0)])
def test_a_neighbour_hardly_notices_a_gentle_sweep(slots: int, impact: Impact, at_most: float) -> None:
    """95 of 100 operations of one that does them one after the other take at most so many times as long as alone."""
    volume = Volume(make(impact), slots)
    volume.others = 1
    volume.run(15.0)
    durations = sorted(volume.durations_of_others)
    assert durations[int(0.95 * len(durations))] <= at_most * volume.service


@pytest.mark.parametrize("slots", [4, 16])
def test_what_others_have_in_flight_makes_gentle_go_lower(slots: int) -> None:
    volume = Volume(make(Impact.GENTLE), slots)
    alone = settled(volume.run(20.0))
    volume.others = slots // 2
    beside = settled(volume.run(20.0))
    volume.others = 0
    assert beside <= 0.7 * alone
    assert settled(volume.run(20.0)) >= 0.75 * alone


def test_it_follows_a_volume_that_changes() -> None:
    volume = Volume(make(), slots=16)
    volume.run(5.0)
    volume.slots = 4
    assert settled(volume.run(4.0)) <= 6
    volume.slots = 32
    assert 28 <= settled(volume.run(8.0)) <= 40


def test_queueing_is_not_taken_for_the_volumes_nature_however_long_it_lasts() -> None:
    volume = Volume(make(Impact.FAST), slots=16)
    early = settled(volume.run(10.0))
    assert settled(volume.run(60.0)) <= early * 1.2


def test_a_volume_that_has_become_slower_for_good_is_no_full_one() -> None:
    volume = Volume(make(), slots=16, service=0.002)
    volume.run(10.0)
    volume.service = 0.006
    assert settled(volume.run(120.0)) >= 12


def test_a_limit_that_is_not_used_does_not_grow() -> None:
    volume = Volume(make(), slots=1_000)
    before = volume.limit.limit
    volume.run(5.0, in_flight=2)
    assert volume.limit.limit <= before


@pytest.mark.parametrize("impact", Impact)
def test_quick_operations_get_a_few_threads(impact: Impact) -> None:
    limit = make(impact=impact)
    volume = Volume(limit, slots=1_000)
    volume.run(1.0)
    now = volume.now
    for _ in range(100):
        now += 0.02
        limit.observe(Kind.READ, 2_000, 2_000 * 5e-6, now)
    assert limit.limit == 1
    for _ in range(100):
        now += 0.02
        limit.observe(Kind.CHANGE, 400, 400 * 40e-6, now)
    assert limit.limit == 2


def test_a_local_volume_is_known_by_its_quick_changes_even_where_most_wait_for_the_journal() -> None:
    limit = make()
    now = 0.0
    for _ in range(100):
        now += 0.03
        limit.observe(Kind.CHANGE, 10, 10 * 50e-6, now)
        limit.observe(Kind.CHANGE, 90, 90 * 3e-3, now)
    assert limit.limit == 2


def test_cached_answers_between_slow_ones_do_not_count_as_the_base() -> None:
    limit = make()
    volume = Volume(limit, slots=1_000)
    end = volume.now + 5.0
    while volume.now < end:
        limit.observe(Kind.READ, 100, 100 * 2e-6, volume.now)
        volume.run(0.01)
    assert limit.limit == 64


def test_reads_and_changes_are_not_compared_with_each_other() -> None:
    """A phase of reads at 1 ms, then one of changes at 2.7 ms: nothing has become slower."""
    limit = make()
    now = 0.0
    seen = []
    for kind, took in ((Kind.READ, 0.001), (Kind.CHANGE, 0.0027)) * 10:
        for _ in range(200):
            now += took
            limit.observe(kind, limit.limit, took * limit.limit, now)
            seen.append(limit.limit)
    assert settled(seen) == 64


def test_other_clients_can_not_starve_it() -> None:
    """A hundred operations of others in four slots: whatever we do, ours wait."""
    lowest = {}
    for impact in Impact:
        volume = Volume(make(impact), slots=4)
        volume.others = 100
        lowest[impact] = min(volume.run(30.0)[30:])
    assert lowest[Impact.GENTLE] >= 1
    assert lowest[Impact.BALANCED] >= 1
    assert lowest[Impact.FAST] >= 2


def test_operations_that_became_slower_whatever_is_in_flight_do_not_change_it() -> None:
    volume = Volume(make(Impact.GENTLE), slots=1_000)
    before = settled(volume.run(3.0))
    volume.service *= 10
    assert settled(volume.run(20.0)) >= before / 2


def test_a_lower_impact_takes_effect_soon() -> None:
    volume = Volume(make(Impact.FAST), slots=16)
    volume.run(10.0)
    volume.limit.impact = Impact.GENTLE
    volume.run(3.0)
    assert settled(volume.run(5.0)) <= 15


def test_the_latency_is_what_a_slow_operation_usually_takes() -> None:
    limit = make()
    assert limit.latency == 0.0
    Volume(limit, slots=16, held_up=0.1).run(10.0)
    assert limit.latency == pytest.approx(0.0027, rel=0.2)


def test_one_is_always_allowed_and_none_is_an_error() -> None:
    volume = Volume(make(ceiling=1), slots=1)
    assert set(volume.run(2.0)) == {1}
    with pytest.raises(ValueError, match="at least one"):
        make(ceiling=0)


# --- soon -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("impact", Impact)
@pytest.mark.parametrize(("slots", "service"), [(16, 0.001), (16, 0.0027), (64, 0.001), (64, 0.0027)])
def test_the_knee_is_found_in_a_tenth_of_a_second(impact: Impact, slots: int, service: float) -> None:
    volume = Volume(make(impact), slots, service, noise=0.1)
    volume.run(0.1)
    assert 0.7 * slots <= settled(volume.run(0.2)) <= 1.5 * slots


def changing(impact: Impact, slots: tuple[int, ...], others: tuple[int, ...], rounds: int) -> Volume:
    """What the server bears and what others do changes every 1.5 s."""
    volume = Volume(make(impact), slots[0], noise=0.05)
    for number in range(rounds):
        volume.slots = slots[number % len(slots)]
        volume.others = others[number % len(others)]
        volume.run(1.5)
    return volume


@pytest.mark.parametrize(
    ("slots", "others", "slower_by_gentle"),
    [((16, 4, 32), (1,), 1.25), ((16,), (1, 9), 1.35)],
    ids=["slots change", "neighbours come and go"],
)
def test_it_follows_in_mid_sweep(slots: tuple[int, ...], others: tuple[int, ...], slower_by_gentle: float) -> None:
    """Those that come are nine times as many as those that see how soon they are noticed: hence their allowance."""
    volumes = {impact: changing(impact, slots, others, rounds=12) for impact in Impact}
    fast = volumes[Impact.FAST].ended
    for impact, times_longer, times_slower in ((Impact.BALANCED, 1.1, 2.0), (Impact.GENTLE, 1.3, slower_by_gentle)):
        durations = sorted(volumes[impact].durations_of_others)
        assert fast / volumes[impact].ended <= times_longer
        assert durations[int(0.95 * len(durations))] <= times_slower * 0.0027


# --- what was learned -------------------------------------------------------------------------------------------------


def test_after_an_idle_time_it_goes_on_where_it_was_and_compares_at_once() -> None:
    volume = Volume(make(), slots=1_000)
    volume.run(2.0)
    volume.now += 100.0
    assert volume.run(0.02)[0] == 64
    volume.now += 100.0
    volume.slots = 4
    assert volume.run(0.4)[-1] <= 6


def test_what_reads_have_found_is_where_changes_begin_but_not_believed() -> None:
    volume = Volume(make(), slots=1_000, service=0.001)
    volume.kind = Kind.READ
    volume.run(2.0)
    volume.kind, volume.service = Kind.CHANGE, 0.0027
    assert volume.run(0.02)[0] == 64
    volume = Volume(make(), slots=1_000, service=0.001)
    volume.kind = Kind.READ
    volume.run(2.0)
    volume.kind, volume.service, volume.slots = Kind.CHANGE, 0.0027, 4
    assert volume.run(0.4)[-1] <= 6


@pytest.mark.parametrize("learned", [True, False])
def test_cached_answers_leave_what_was_learned_of_the_server(learned: bool) -> None:
    volume = Volume(make(), slots=1_000)
    if learned:
        volume.run(2.0)
    for _ in range(100):
        volume.now += 0.01
        volume.limit.observe(Kind.READ, 1_000, 1_000 * 5e-6, volume.now)
    assert volume.limit.limit == 1
    assert volume.run(0.3)[-1] == 64


# --- our own processor ------------------------------------------------------------------------------------------------


def test_what_waits_for_our_processor_says_nothing_of_the_server() -> None:
    """60 µs for each operation of 1 ms: with more than 17 in flight they wait for it, which costs no neighbour."""

    def usual(*, told: bool) -> float:
        processor = Processor(60e-6)
        limit = AdaptiveLimit(64, Impact.GENTLE, 0.0, lambda: processor.worked if told else 0.0)
        return settled(Volume(limit, slots=1_000, service=0.001, processor=processor).run(5.0))

    assert usual(told=True) >= 16 > usual(told=False)


def test_a_full_server_is_known_while_our_processor_has_little_to_do() -> None:
    processor = Processor(60e-6)
    limit = AdaptiveLimit(64, Impact.GENTLE, 0.0, lambda: processor.worked)
    volume = Volume(limit, slots=16, processor=processor)
    assert 12 <= settled(volume.run(10.0)) <= 15
