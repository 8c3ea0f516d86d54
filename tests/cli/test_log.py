"""The program's own log: a file that is made when there is something to say, and never a trace on the terminal."""

import logging
import os
import stat
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


def test_neither_a_secret_nor_a_terminals_command_reaches_the_log(tmp_path: Path, messages: Messages) -> None:
    """In the message, the trace, and the error that led to it."""
    messages.expect("unexpected error")
    log_to(tmp_path / "state", frozenset({"s3cret", "t0ken/x"}))
    try:
        try:
            raise OSError("postgresql://reader:s3cret@db")
        except OSError as error:
            raise RuntimeError("name \x1b[2J\u202e with t0ken/x") from error
    except RuntimeError as error:
        log.error("unexpected error in %s", "s3cret", exc_info=error)
    text = (tmp_path / "state" / FILE).read_text("utf-8")
    assert "s3cret" not in text
    assert "t0ken/x" not in text
    assert text.count("***") >= 3
    assert "Traceback" in text
    assert "\n".join(text.split("\n")).replace("\n", "").isprintable()


def test_the_log_is_for_its_owner_only(tmp_path: Path, messages: Messages) -> None:
    messages.expect("unexpected error")
    before = os.umask(0)
    try:
        log_to(tmp_path / "state")
        log.error("unexpected error")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "state" / FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
