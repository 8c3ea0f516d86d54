"""The frames between a front end and its engine, and what an engine does with what can't be sent."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from sweeper_gui.core.outcome import Ending
from sweeper_gui.core.plan import Request
from sweeper_gui.core.row import Row
from sweeper_gui.core.snapshot import Session
from sweeper_gui.core.verdict import Status, Verdict
from sweeper_gui.core.workspace import Kind, Workspace
from sweeper_gui.engine import messages as m
from sweeper_gui.engine.host import EngineGone
from sweeper_gui.engine.process import EngineProcess, encoded, read_frame, write_frame
from tests.engine.driving import Driver, settings_of
from tests.support.messages import Messages
from tests.support.volume import FakeVolume

#: A text that no encoding has.
BROKEN = "w\udcff"
PROJECT = Path(__file__).parents[2]


def decoded(data: bytes) -> m.Reply:
    reply: m.Reply = msgspec.msgpack.decode(data, type=m.Reply)
    return reply


def test_a_reply_that_can_not_be_encoded_becomes_a_failure(messages: Messages) -> None:
    messages.expect("can't be encoded")
    row = Row(Workspace(b"a", Kind.DIRECTORY), Verdict(Status.LIVE, "live"), session=Session("a", title=BROKEN))
    failure = decoded(encoded(m.Update(rows=(row,))))
    assert isinstance(failure, m.Failure)
    assert "can't be sent" in failure.message
    assert decoded(encoded(m.Done())) == m.Done()


def test_the_end_of_a_job_is_told_even_where_its_result_can_not_be(messages: Messages) -> None:
    messages.expect("can't be encoded")
    update = m.Update(finished=(m.Finished(7, m.Message(BROKEN)), m.Finished(8, m.Done())))
    told = decoded(encoded(update))
    assert isinstance(told, m.Update)
    assert [(one.job, type(one.result)) for one in told.finished] == [(7, m.Failure), (8, m.Failure)]


_SABOTAGED = f"""
import sys
sys.path.insert(0, {str(PROJECT)!r})
from sweeper_gui.engine import engine, messages, process
engine.Engine.handle = lambda self, request: messages.Failure("failed", "w\\udcff")
sys.exit(process.serve())
"""


def test_the_engine_lives_on_after_a_reply_that_can_not_be_sent(messages: Messages) -> None:
    """And what it complains of is kept where the front end keeps its own."""
    messages.expect(r"engine \d+: ")
    host = EngineProcess([sys.executable, "-c", _SABOTAGED])
    try:
        for _ in range(3):
            reply = host.request(m.Poll())
            assert isinstance(reply, m.Failure)
            assert "can't be sent" in reply.message
        assert host.running
    finally:
        host.close()


_STUBBORN = """
import os, signal, sys
from sweeper_gui.engine import engine, process
def handle(self, request):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(10_000_000):
            pass
    except Exception as error:
        sys.stderr.write(f"swallowed {error!r}\\n")
    return process.Failure("failed", "still here")
engine.Engine.handle = handle
sys.exit(process.serve())
"""


def test_a_signal_to_end_breaks_no_reply_and_is_not_taken_for_an_error_of_a_request() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _STUBBORN], cwd=PROJECT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as engine:  # fmt: skip
        assert engine.stdin is not None
        assert engine.stdout is not None
        assert engine.stderr is not None
        write_frame(engine.stdin, m.Poll())  # type: ignore[arg-type]
        frame = read_frame(engine.stdout)  # type: ignore[arg-type]
        assert frame is not None
        assert decoded(frame) == m.Failure("failed", "still here")
        assert read_frame(engine.stdout) is None  # type: ignore[arg-type]
        assert engine.wait(30) == 0
        assert b"swallowed" not in engine.stderr.read()


# --- how many files it may open -------------------------------------------------------------------------------------

_LIMITED = f"""
import resource, sys
sys.path.insert(0, {str(PROJECT)!r})
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
"""
_LOCAL = """
from tests.support.local import LocalHost
LocalHost().close()
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""
_SERVE = """
from sweeper_gui.engine import process
sys.exit(process.serve())
"""


def limited(what: str, soft: int, hard: int) -> list[str]:
    return [sys.executable, "-c", _LIMITED + what, str(soft), str(hard)]


@pytest.mark.parametrize(("soft", "hard", "raised"), [(256, 1_024, 1_024), (256, 8_192, 4_096), (6_000, 8_192, 6_000)])
def test_an_engine_may_open_as_many_files_as_it_is_allowed(soft: int, hard: int, raised: int) -> None:
    ran = subprocess.run(limited(_LOCAL, soft, hard), cwd=PROJECT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == str((raised, hard))


def test_an_engine_process_raises_its_limit_too(volume: FakeVolume) -> None:
    host = EngineProcess(limited(_SERVE, 64, 1_024))
    try:
        assert isinstance(host.request(m.Open(settings_of(volume).to_wire())), m.Opened)
        assert resource.prlimit(host.pid, resource.RLIMIT_NOFILE) == (1_024, 1_024)
    finally:
        host.close()


def test_with_too_few_files_the_engine_is_not_opened(volume: FakeVolume) -> None:
    host = EngineProcess(limited(_SERVE, 64, 300))
    try:
        refused = host.request(m.Open(settings_of(volume).to_wire()))
        assert isinstance(refused, m.Failure)
        assert refused.kind == "usage"
        assert "300 files" in refused.message
        assert "ulimit -n" in refused.hint
    finally:
        host.close()


def test_close_does_not_wait_for_a_call_that_a_stopped_engine_never_takes(volume: FakeVolume) -> None:
    """A request larger than the pipe: the call hangs in its write, and holds the stream."""
    host = EngineProcess()
    Driver(host, settings_of(volume))
    os.kill(host.pid, signal.SIGSTOP)
    failures: list[Exception] = []

    def call() -> None:
        try:
            host.request(m.Restore(tuple(f"name-{number}".encode() for number in range(200_000))))
        except EngineGone as gone:
            failures.append(gone)

    caller = threading.Thread(target=call)
    caller.start()
    while not host._calling.locked():
        time.sleep(0.001)
    closer = threading.Thread(target=host.close)
    closer.start()
    closer.join(10)
    assert not closer.is_alive()
    caller.join(10)
    assert len(failures) == 1


def test_two_signals_at_once_end_the_engine_in_order(volume: FakeVolume) -> None:
    host = EngineProcess()
    Driver(host, settings_of(volume))
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGTERM):
        os.kill(host.pid, number)
    try:
        psutil.Process(host.pid).wait(10)
    finally:
        host.close()
    assert "Traceback" not in host.last_words


# --- signals that a front end and its engine get together -----------------------------------------------------------


def test_no_signal_hits_an_engine_that_is_not_ready_for_it(volume: FakeVolume) -> None:
    """Ctrl-C in a terminal goes to both, also while the engine still starts: it is the front end's business."""
    host = EngineProcess()
    for _ in range(3):
        os.kill(host.pid, signal.SIGINT)
    try:
        Driver(host, settings_of(volume))
        os.kill(host.pid, signal.SIGINT)
        assert isinstance(host.request(m.Poll()), m.Update)
    finally:
        assert host.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_engine_that_is_asked_to_end_while_it_starts_does_so_without_a_word(number: signal.Signals) -> None:
    host = EngineProcess()
    os.kill(host.pid, number)
    try:
        assert psutil.Process(host.pid).wait(30) == 0
    finally:
        host.close()
    assert host.last_words == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_what_runs_and_the_front_end_hears_the_report(
    volume: FakeVolume, number: signal.Signals
) -> None:
    volume.deleted("big", 3_000)
    host = EngineProcess()
    try:
        driver = Driver(host, settings_of(volume, "[sweep]\nmax_ops_per_second = 900\n"))
        plan = driver.run(m.Prepare(Request(names=(b"big",)))).plan
        job = driver.start(m.Sweep(plan, plan.digest))
        driver.until(lambda update: update.sweep is not None and update.sweep.entries_removed > 0)
        os.kill(host.pid, number)
        report = driver.result(job).report
        assert report.ending is Ending.CANCELLED
        assert [str(outcome.result) for outcome in report.outcomes] == ["partly-removed"]
        assert psutil.Process(host.pid).wait(30) == 0
    finally:
        host.close()


def test_an_ignored_hang_up_stays_ignored(volume: FakeVolume) -> None:
    """`nohup sweeper sweep --yes &`, and the terminal is closed."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        host = EngineProcess()
    finally:
        signal.signal(signal.SIGHUP, before)
    try:
        Driver(host, settings_of(volume))
        os.kill(host.pid, signal.SIGHUP)
        for _ in range(20):
            assert isinstance(host.request(m.Poll()), m.Update)
    finally:
        assert host.close()


def test_what_an_engine_starts_inherits_no_variable_of_ours(volume: FakeVolume) -> None:
    """A Python script as an `exec:` registry must find its own modules, not those beside ours."""
    host = EngineProcess()
    try:
        Driver(host, settings_of(volume))
        environ = psutil.Process(host.pid).environ()
        assert environ.get("PYTHONPATH") == os.environ.get("PYTHONPATH")
    finally:
        host.close()


def test_who_no_longer_wants_to_wait_for_a_stopped_engine_is_let_go(volume: FakeVolume) -> None:
    waiting = threading.Event()
    host = EngineProcess(give_up=waiting.is_set)
    Driver(host, settings_of(volume))
    os.kill(host.pid, signal.SIGSTOP)
    waiting.set()
    with pytest.raises(EngineGone, match=f"process {host.pid}"):
        host.request(m.Poll())
    assert host.close()
