"""Jobs beside each other, and how the engine tells failures."""

import errno
import os
import threading
import time
from collections.abc import Iterator

import pytest

from sweeper_gui.engine import messages as m
from sweeper_gui.engine.jobs import Job, Jobs, failure_of
from sweeper_gui.storage.volume import VolumeError
from tests.support.threads import no_more_threads


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made = Jobs()
    yield made
    assert made.stop(5.0)


def until_cancelled(job: Job) -> m.Done:
    job.cancel.wait(30)
    return m.Done()


def test_a_sweep_and_a_plan_never_run_beside_each_other(jobs: Jobs) -> None:
    sweep = jobs.start("sweep", until_cancelled, exclusive=True)
    assert isinstance(sweep, Job)
    refused = jobs.start("plan", until_cancelled, exclusive=True)
    assert refused == m.Failure("usage", "a sweep is running", "wait for it, or cancel it")
    jobs.cancel(sweep.id)
    assert sweep.ended.wait(10)
    assert isinstance(jobs.start("plan", until_cancelled, exclusive=True), Job)
    refused = jobs.start("sweep", until_cancelled, exclusive=True)
    assert isinstance(refused, m.Failure)
    assert refused.message == "a plan is being made"


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied", b"/mnt/w\xff/x"),
        OSError(errno.ESTALE, "Stale file handle"),
        VolumeError(f"the root {os.fsdecode(b'w' + bytes([0xFF]))} can't be opened"),
    ],
)
def test_what_the_volume_refuses_is_never_unexpected_and_always_sendable(error: Exception) -> None:
    failure = failure_of(error)
    assert failure.kind == "untrusted"
    assert "unexpected" not in failure.message
    failure.message.encode("utf-8")


def test_an_error_of_the_system_names_the_path() -> None:
    error = PermissionError(errno.EACCES, "Permission denied", b"/mnt/w\xff")
    assert failure_of(error).message == "Permission denied (/mnt/w\\xff)"


def test_a_job_that_raises_an_oserror_ends_with_words(jobs: Jobs) -> None:
    def refused(_: Job) -> object:
        raise PermissionError(errno.EACCES, "Permission denied")

    jobs.start("look", refused)
    deadline = time.monotonic() + 10
    while not (finished := jobs.take_finished()):
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
    (ended,) = finished
    assert isinstance(ended.result, m.Failure)
    assert ended.result.kind == "untrusted"


def test_a_job_for_which_the_host_starts_no_thread_is_refused_and_not_running(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    with no_more_threads(monkeypatch):
        refused = jobs.start("sweep", until_cancelled, exclusive=True)
    assert isinstance(refused, m.Failure)
    assert "no more threads" in refused.message
    assert not jobs.running()
    assert isinstance(jobs.start("sweep", until_cancelled, exclusive=True), Job)
