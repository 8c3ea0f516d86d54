"""The loop that drives an engine: what it collects, how it cancels, and what it makes of failures."""

import signal
from collections.abc import Iterator

import pytest

from sweeper_gui.cli import run as run_module
from sweeper_gui.cli.codes import Code, Refusal, code_of
from sweeper_gui.cli.run import Session
from sweeper_gui.cli.signals import Interrupted, Signals
from sweeper_gui.core.outcome import Ending, Outcome, Report, Result
from sweeper_gui.core.row import Row
from sweeper_gui.core.verdict import Status, Verdict
from sweeper_gui.core.workspace import Kind, Workspace
from sweeper_gui.engine import messages as m
from sweeper_gui.engine.host import EngineGone
from tests.cli.scripted import ScriptedHost


class Watched:
    """A watcher that counts."""

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.cancelling: list[bool] = []

    def begin(self) -> None:
        self.begun += 1

    def show(self, update: m.Update, cancelling: bool) -> None:
        self.cancelling.append(cancelling)

    def end(self) -> None:
        self.ended += 1


def row(name: bytes) -> Row:
    return Row(Workspace(name, Kind.DIRECTORY), Verdict(Status.UNKNOWN, "the registry has not been read yet"))


def session(host: ScriptedHost, signals: Signals | None = None, watcher: Watched | None = None) -> Session:
    return Session(host, signals or Signals(), watcher or Watched(), pause=lambda _: None)


def test_rows_are_collected_over_the_polls_and_gone_ones_dropped() -> None:
    volume, registry = m.VolumeState("/v"), m.RegistryState((), directories=2)
    host = ScriptedHost(
        m.Done(),
        updates=[
            m.Update(rows=(row(b"a"), row(b"b")), volume=volume, more=True),
            m.Update(rows=(row(b"c"),), gone=(b"a",), registry=registry),
        ],
    )
    watcher = Watched()
    driven = session(host, watcher=watcher)
    driven.run(m.Scan(), m.Done)
    assert set(driven.rows) == {b"b", b"c"}
    assert (driven.volume, driven.registry) == (volume, registry)
    assert (watcher.begun, watcher.ended) == (1, 1)


def test_what_waits_when_the_job_ends_is_still_fetched() -> None:
    last = m.Update(rows=(row(b"a"),), more=True, finished=(m.Finished(1, m.Done()),))
    driven = session(ScriptedHost(updates=[last, m.Update(rows=(row(b"b"),))]))
    driven.run(m.Scan(), m.Done)
    assert set(driven.rows) == {b"a", b"b"}


@pytest.mark.parametrize(
    ("kind", "code"),
    [("usage", 2), ("untrusted", 3), ("locked", 4), ("failed", 1), ("cancelled", 130)],
)
def test_a_failure_ends_the_command_with_its_code(kind: m.FailureKind, code: int) -> None:
    with pytest.raises(Refusal) as refused:
        session(ScriptedHost(m.Failure(kind, "what", "how"))).run(m.Scan(), m.Done)
    assert (refused.value.code, refused.value.message, refused.value.hint) == (code, "what", "how")


def test_a_request_that_is_refused_at_once_has_the_same_codes() -> None:
    class Refusing(ScriptedHost):
        def request(self, request: m.Request) -> m.Reply:
            return m.Failure("locked", "held by somebody")

    with pytest.raises(Refusal) as refused:
        session(Refusing()).open(b"{}")
    assert refused.value.code is Code.LOCKED


def test_an_engine_that_is_gone_is_a_failure_in_words() -> None:
    class Gone(ScriptedHost):
        def request(self, request: m.Request) -> m.Reply:
            raise EngineGone("the engine has ended")

    with pytest.raises(Refusal, match="the engine has ended") as refused:
        session(Gone()).run(m.Scan(), m.Done)
    assert refused.value.code is Code.FAILED


def test_an_answer_of_another_kind_is_a_failure_in_words() -> None:
    with pytest.raises(Refusal, match="Message"):
        session(ScriptedHost(m.Message("?"))).run(m.Scan(), m.Done)


# --- signals --------------------------------------------------------------------------------------------------------


@pytest.fixture
def signals() -> Iterator[Signals]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    made = Signals()
    made.install()
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_the_job_once_and_its_result_is_kept(signals: Signals, number: signal.Signals) -> None:
    report = m.Swept(Report("s1", (), Ending.CANCELLED))
    host = ScriptedHost(updates=[m.Update(), m.Update()], when_cancelled=report)
    sent = iter([True])

    def pause(_: float) -> None:
        if next(sent, False):
            signal.raise_signal(number)

    driven = Session(host, signals, Watched(), pause=pause)
    assert driven.run(m.Resume(), m.Swept) == report
    assert host.asked(m.Cancel) == [m.Cancel(1)]
    assert driven.cancelled


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_wait_at_once(signals: Signals, number: signal.Signals) -> None:
    with pytest.raises(Interrupted), signals.leaving():
        signal.raise_signal(number)


def test_a_signal_ends_a_question_even_after_work_began(signals: Signals) -> None:
    signals.begin_work()
    with pytest.raises(Interrupted), signals.leaving():
        signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)
    assert signals.requested


def test_no_job_starts_and_no_question_is_asked_after_a_signal(signals: Signals) -> None:
    signals.begin_work()
    signal.raise_signal(signal.SIGTERM)
    host = ScriptedHost(m.Done())
    with pytest.raises(Interrupted):
        session(host, signals).run(m.Scan(), m.Done)
    assert not host.requests
    with pytest.raises(Interrupted), signals.leaving():
        raise AssertionError("the question was asked")


def test_an_ignored_hangup_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    others = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        Signals().install()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
        for number, handler in others.items():
            signal.signal(number, handler)


def test_a_volume_that_does_not_answer_a_cancel_is_left_behind() -> None:
    signals = Signals()
    signals.begin_work()
    stuck = [m.Update(stalled=1.0), m.Update(stalled=run_module.PATIENCE + 0.1)]
    assert run_module.PATIENCE <= 5

    class Stuck(ScriptedHost):
        def request(self, request: m.Request) -> m.Reply:
            if isinstance(request, m.Resume):
                signals.requested = True
            return super().request(request)

    watcher = Watched()
    with pytest.raises(Refusal, match="does not answer") as refused:
        session(Stuck(updates=stuck), signals, watcher).run(m.Resume(), m.Swept)
    assert refused.value.code is Code.CANCELLED
    assert watcher.ended == 1


# --- exit codes of a report -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "results", "code"),
    [
        (Ending.DONE, [], 0),
        (Ending.DONE, [Result.REMOVED, Result.SET_ASIDE, Result.SKIPPED, Result.RESTORED], 0),
        (Ending.DONE, [Result.REMOVED, Result.FAILED], 1),
        (Ending.DONE, [Result.CONFLICT], 1),
        (Ending.DONE, [Result.PARTLY_REMOVED], 1),
        (Ending.STOPPED, [Result.REMOVED], 3),
        (Ending.STOPPED, [Result.FAILED], 3),
        (Ending.CANCELLED, [Result.PARTLY_REMOVED], 130),
    ],
)
def test_the_exit_code_of_a_report(ending: Ending, results: list[Result], code: int) -> None:
    outcomes = tuple(Outcome(b"w", result) for result in results)
    assert code_of(Report("s1", outcomes, ending)) == code
