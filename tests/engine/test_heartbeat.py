import asyncio
import threading
import time

import pytest

from sweeper_gui.engine.heartbeat import Heartbeat, Lateness, lateness_check, measured_beside


def test_the_heartbeat_tells_how_late_the_loop_was() -> None:
    async def scene() -> Heartbeat:
        heart = Heartbeat()
        assert heart.measured() == Lateness(0.0, 0.0, 0)
        beating = asyncio.ensure_future(heart.beat())
        await asyncio.sleep(0.2)
        time.sleep(0.3)  # noqa: ASYNC251 - the freeze that is to be noticed
        await asyncio.sleep(0.2)
        beating.cancel()
        return heart

    measured = asyncio.run(scene()).measured()
    assert measured.max > 0.2
    assert measured.p99 <= measured.max
    assert measured.beats >= 4
    assert measured.seconds > 0.3


def test_what_is_longer_ago_than_asked_for_does_not_count() -> None:
    async def scene() -> tuple[Lateness, Lateness]:
        heart = Heartbeat(interval=0.01)
        beating = asyncio.ensure_future(heart.beat())
        await asyncio.sleep(0.05)
        time.sleep(0.3)  # noqa: ASYNC251 - a freeze that is forgotten
        await asyncio.sleep(0.25)
        all_of_it, lately = heart.measured(), heart.measured(0.1)
        beating.cancel()
        return all_of_it, lately

    all_of_it, lately = asyncio.run(scene())
    assert all_of_it.max > 0.25
    assert 0 < lately.beats < all_of_it.beats
    assert lately.seconds <= 0.1


def test_a_loop_is_measured_beside_the_work_and_gives_back_what_it_returns() -> None:
    before = threading.active_count()
    result, late = measured_beside(lambda: "done", at_least=0.3)
    assert result == "done"
    assert late.beats >= 2
    assert threading.active_count() == before

    def fail() -> None:
        raise ZeroDivisionError

    began = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        measured_beside(fail, at_least=30)
    assert time.monotonic() - began < 20  # what went wrong is told at once


@pytest.mark.parametrize(("p99", "state"), [(0.004, "ok"), (0.25, "warning")])
def test_a_late_loop_is_told_with_what_to_do(p99: float, state: str) -> None:
    check = lateness_check(Lateness(1.204, p99, 1_000, 60.0), "window", "the event loop")
    assert check.state == state
    assert "late by 1,204 ms at most" in check.detail
    assert f"{round(p99 * 1000)} ms, over 60 s" in check.detail
    assert bool(check.mend) == (state == "warning")
