"""The limit finds the number of a volume's service slots from nothing but what operations take."""

import random

import pytest

from sweeper_gui.storage.limit import AdaptiveLimit, Impact, Kind


class Volume:
    """A server that works on `slots` operations at once; the others wait. Operations take `service` seconds."""

    def __init__(self, limit: AdaptiveLimit, slots: int, service: float = 0.0027, noise: float = 0.0) -> None:
        self.limit = limit
        self.slots = slots
        self.service = service
        self._noise = noise
        self._random = random.Random(1)
        self.now = 0.0

    def run(self, seconds: float, *, in_flight: int | None = None) -> list[int]:
        """Keeps as many operations in flight as allowed, or `in_flight` at most; the limits seen meanwhile."""
        seen = []
        end = self.now + seconds
        while self.now < end:
            busy = min(self.limit.limit, in_flight or 1_000)
            took = self.service * max(1.0, busy / self.slots)
            if self._noise:
                took *= self._random.lognormvariate(0, self._noise)
            self.now += took
            self.limit.observe(Kind.CHANGE, busy, took * busy, self.now)
            seen.append(self.limit.limit)
        return seen


def make(impact: Impact = Impact.BALANCED, ceiling: int = 64) -> AdaptiveLimit:
    return AdaptiveLimit(ceiling, impact, 0.0)


def settled(seen: list[int]) -> float:
    """The usual limit of the second half: probes of the base are dips in it."""
    half = sorted(seen[len(seen) // 2 :])
    return half[len(half) // 2]


@pytest.mark.parametrize("slots", [4, 16, 40])
@pytest.mark.parametrize("service", [0.001, 0.0027, 0.02])
def test_it_settles_at_the_number_of_slots(slots: int, service: float) -> None:
    volume = Volume(make(), slots, service)
    assert 0.9 * slots <= settled(volume.run(20.0)) <= 1.35 * slots


@pytest.mark.parametrize("slots", [8, 16, 32])
def test_it_bears_noise(slots: int) -> None:
    volume = Volume(make(), slots, noise=0.05)
    assert 0.7 * slots <= settled(volume.run(30.0)) <= 1.5 * slots


def test_a_volume_without_a_knee_gets_all_that_is_allowed_and_soon() -> None:
    volume = Volume(make(ceiling=48), slots=10_000)
    volume.run(0.5)
    assert volume.limit.limit == 48


def test_gentle_stays_lower_than_fast() -> None:
    usual = {impact: settled(Volume(make(impact), 16).run(20.0)) for impact in Impact}
    assert usual[Impact.GENTLE] <= usual[Impact.BALANCED] < usual[Impact.FAST]
    assert usual[Impact.GENTLE] <= 16 * 1.12


def test_it_follows_a_volume_that_changes() -> None:
    volume = Volume(make(), slots=16)
    volume.run(5.0)
    volume.slots = 4
    assert volume.run(2.0)[-1] <= 6
    volume.slots = 32
    assert max(volume.run(4.0)) >= 28


def test_queueing_is_not_taken_for_the_volumes_nature_however_long_it_lasts() -> None:
    volume = Volume(make(Impact.FAST), slots=16)
    early = settled(volume.run(10.0))
    assert settled(volume.run(300.0)) <= early * 1.2


def test_a_volume_that_has_become_slower_for_good_is_no_full_one() -> None:
    volume = Volume(make(), slots=16, service=0.002)
    volume.run(10.0)
    volume.service = 0.006
    assert settled(volume.run(120.0)) >= 12


def test_a_limit_that_is_not_used_does_not_grow() -> None:
    volume = Volume(make(), slots=10_000)
    volume.run(5.0, in_flight=2)
    assert volume.limit.limit <= 4


def test_quick_operations_get_a_few_threads() -> None:
    limit = make()
    volume = Volume(limit, slots=10_000)
    volume.run(1.0)
    now = volume.now
    for _ in range(100):
        now += 0.02
        limit.observe(Kind.READ, 2_000, 2_000 * 5e-6, now)
    assert limit.limit == 1
    for _ in range(100):
        now += 0.02
        limit.observe(Kind.CHANGE, 400, 400 * 40e-6, now)
    assert limit.limit == 8


def test_a_local_volume_is_known_by_its_quick_changes_even_where_most_wait_for_the_journal() -> None:
    limit = make()
    now = 0.0
    for _ in range(100):
        now += 0.03
        limit.observe(Kind.CHANGE, 10, 10 * 50e-6, now)
        limit.observe(Kind.CHANGE, 90, 90 * 3e-3, now)
    assert limit.limit == 8


def test_cached_answers_between_slow_ones_do_not_count_as_the_base() -> None:
    limit = make()
    volume = Volume(limit, slots=10_000)
    end = volume.now + 5.0
    while volume.now < end:
        limit.observe(Kind.READ, 100, 100 * 2e-6, volume.now)
        volume.run(0.01)
    assert limit.limit == 64


def test_reads_and_changes_are_not_compared_with_each_other() -> None:
    """A phase of reads at 1 ms, then one of changes at 2.7 ms: nothing has become slower."""
    limit = make()
    now = 0.0
    for kind, took in ((Kind.READ, 0.001), (Kind.CHANGE, 0.0027)):
        for _ in range(2_000):
            now += took
            limit.observe(kind, limit.limit, took * limit.limit, now)
    assert limit.limit == 64


def test_other_clients_can_not_starve_it() -> None:
    """Operations that got ten times slower, whatever is in flight."""
    lowest = {}
    for impact in Impact:
        volume = Volume(make(impact), slots=10_000)
        volume.run(5.0)
        volume.service *= 10
        lowest[impact] = min(volume.run(5.0))
    assert lowest == {Impact.GENTLE: 1, Impact.BALANCED: 2, Impact.FAST: 4}


def test_one_is_always_allowed_and_none_is_an_error() -> None:
    volume = Volume(make(ceiling=1), slots=1)
    assert set(volume.run(2.0)) == {1}
    with pytest.raises(ValueError, match="at least one"):
        make(ceiling=0)
