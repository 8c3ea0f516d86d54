"""Kill -9 of the engine, the window, both, a command, or that without its engine, at steps and at random moments.

Nothing live is touched, nothing is lost, every orphan is where the logs say, and the next start finishes the work or
takes it back (see tests/support/killing.py). `--kills N` asks for another number of kills than the default:
`./dev test tests/sweep/test_killed.py --kills 5000`. Steps and moments follow from a seed, which each failure names.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nursery import Nursery

#: Of a hundred kills: who is killed in which run, how often. The first five runs together are taken through every step.
_AT_STEPS = {
    ("command", "sweep"): 16,
    ("command", "set-aside"): 8,
    ("command", "restore"): 8,
    ("command", "purge"): 10,
    ("command", "resume"): 8,
    ("command-alone", "sweep"): 4,
    ("command-alone", "resume"): 2,
    ("engine", "sweep"): 10,
    ("engine", "restore"): 3,
    ("engine", "purge"): 3,
    ("engine", "resume"): 3,
    ("window", "sweep"): 4,
    ("window", "purge"): 2,
    ("both", "sweep"): 4,
    ("both", "restore"): 2,
}
_AT_MOMENTS = {("command", "sweep"): 6, ("engine", "sweep"): 4, ("both", "set-aside"): 3}
#: The longest time from the beginning of a run, once it has the lock, to the moment, in seconds.
_MOMENTS = 0.2


@pytest.fixture
def nursery(nobodys: Path) -> Iterator[Nursery]:
    with Nursery(nobodys / "nursery", "tests.support.killing:warm_up") as made:
        yield made


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How many in total."""
    number: int = request.config.getoption("--kills")
    return number


class Cases:
    """Runs case after case, each in a directory of its own."""

    def __init__(self, nursery: Nursery, place: Path, victim: str, what: str) -> None:
        self._nursery = nursery
        self._place = place
        self._victim = victim
        self._what = what
        self._number = 0

    def run(self, seed: int, step: int = 0, after: float | None = None) -> tuple[bool, int]:
        """Whether it died, and how many steps there were where it did not."""
        self._number += 1
        told = f"{self._victim} in {self._what}, step {step}, after {after} s, seed {seed}"
        place = str(self._place / str(self._number))
        try:
            found = self._nursery.run("tests.support.killing:case", place, self._victim, self._what, step, after, seed)
        except AssertionError as error:
            raise AssertionError(f"killing the {told}: {error}") from error
        return found["died"], found["steps"]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("victim", "what"), _AT_STEPS, ids=map("-".join, _AT_STEPS))
def test_killed_at_a_step(nursery: Nursery, nobodys: Path, kills: int, victim: str, what: str) -> None:
    cases = Cases(nursery, nobodys / "nursery", victim, what)
    died, steps = cases.run(seed=0)
    assert not died
    wanted = max(1, round(kills * _AT_STEPS[victim, what] / 100))
    print(f"{steps} steps, {wanted} kills")
    for seed in range(wanted):
        dice = random.Random(f"{victim} {what} {seed}")
        # evenly over all steps, somewhere in each part
        step = min(steps - 1, int((seed + dice.random()) * steps / wanted)) + 1
        cases.run(seed, step)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("victim", "what"), _AT_MOMENTS, ids=map("-".join, _AT_MOMENTS))
def test_killed_at_a_random_moment(nursery: Nursery, nobodys: Path, kills: int, victim: str, what: str) -> None:
    cases = Cases(nursery, nobodys / "nursery", victim, what)
    for seed in range(max(1, round(kills * _AT_MOMENTS[victim, what] / 100))):
        cases.run(seed, after=random.Random(seed).random() * _MOMENTS)


def test_the_engine_of_a_window_that_was_killed_stops_at_its_next_entry(tmp_path: Path) -> None:
    """Held back as it is, it would need five seconds to remove them all."""
    with Nursery(tmp_path / "nursery", "tests.support.killing:warm_up") as nursery:
        place = str(tmp_path / "nursery" / "volume")
        left = nursery.run("tests.support.killing:left_by_an_engine_whose_window_died", place, 800, 160)
    assert 300 < left < 800
