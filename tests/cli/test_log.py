"""The program's own log: a file that is made when there is something to say, and never a trace on the terminal."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeper_gui.cli.log import FILE, log_to
from tests.support.messages import Messages

log = logging.getLogger("sweeper_gui.engine.jobs")


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    before = list(logging.getLogger().handlers)
    yield
    for handler in [handler for handler in logging.getLogger().handlers if handler not in before]:
        logging.getLogger().removeHandler(handler)
        handler.close()


def test_a_trace_goes_to_the_file(tmp_path: Path, capfd: pytest.CaptureFixture[str], messages: Messages) -> None:
    messages.expect("unexpected error")
    log_to(tmp_path / "elsewhere")
    log_to(tmp_path / "state")
    assert not (tmp_path / "state").exists()
    log.error("unexpected error", exc_info=RuntimeError("surprise"))
    assert "RuntimeError: surprise" in (tmp_path / "state" / FILE).read_text("utf-8")
    assert not (tmp_path / "elsewhere").exists()
    assert capfd.readouterr().err == ""


def test_a_log_that_can_not_be_written_is_silent(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], messages: Messages
) -> None:
    messages.expect("unexpected error")
    (tmp_path / "file").write_text("")
    log_to(tmp_path / "file" / "state")
    log.error("unexpected error")
    assert capfd.readouterr().err == ""
