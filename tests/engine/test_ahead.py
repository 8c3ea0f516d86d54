import pytest

from sweeper_gui.engine.ahead import StartedAhead
from sweeper_gui.engine.messages import Failure, Poll
from sweeper_gui.engine.process import EngineProcess


class Made:
    def __init__(self) -> None:
        self.closed = 0

    def request(self, request: object) -> Failure:
        return Failure("failed", "no engine at all")

    def close(self) -> bool:
        self.closed += 1
        return True


def test_the_first_engine_is_there_already_and_the_next_are_made_when_asked_for() -> None:
    made: list[Made] = []

    def make() -> Made:
        made.append(Made())
        return made[-1]

    ahead = StartedAhead(make)
    assert len(made) == 1
    assert ahead() is made[0]
    assert ahead() is made[1]
    ahead.close()
    assert [host.closed for host in made] == [0, 0]  # they belong to whoever took them


def test_an_engine_that_nobody_takes_is_closed_once() -> None:
    made = Made()
    ahead = StartedAhead(lambda: made)
    ahead.close()
    ahead.close()
    assert made.closed == 1


def test_where_none_can_be_started_whoever_asks_is_told() -> None:
    def make() -> Made:
        raise OSError("no more processes")

    ahead = StartedAhead(make)
    with pytest.raises(OSError, match="no more processes"):
        ahead()
    ahead.close()


def test_a_real_engine_answers_and_one_that_is_not_taken_ends() -> None:
    ahead = StartedAhead()
    engine = ahead()
    assert isinstance(engine, EngineProcess)
    assert isinstance(engine.request(Poll()), Failure)  # it is not opened yet, and says so
    engine.close()
    engines: list[EngineProcess] = []

    def make() -> EngineProcess:
        engines.append(EngineProcess())
        return engines[-1]

    StartedAhead(make).close()
    assert not engines[0].running
