import os
from pathlib import Path

import pytest

from sweeper_gui.ui.memory import Memory, keep, recall
from tests.support.messages import Messages


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_what_is_kept_is_recalled(state: Path) -> None:
    memory = Memory("dark", True, {"title": 200})
    assert recall(state) == Memory()
    keep(state, memory)
    assert recall(state) == memory


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"mode": "purple"}',
        b'{"widths": {"title": -5}}',
        b'{"widths": {"title": 1e300}}',
        b"[" * 5_000,
        b" " * 100_000,
    ],
)
def test_what_is_no_memory_is_ignored(state: Path, content: bytes, messages: Messages) -> None:
    messages.expect("can't be read and is ignored")
    keep(state, Memory())
    (state / "window.json").write_bytes(content)
    assert recall(state) == Memory()


def test_a_file_that_others_may_write_is_ignored(state: Path, messages: Messages) -> None:
    messages.expect("can't be read and is ignored")
    keep(state, Memory("dark"))
    os.chmod(state / "window.json", 0o666)
    assert recall(state) == Memory()


def test_where_nothing_can_be_written_the_log_says_so(tmp_path: Path, messages: Messages) -> None:
    messages.expect("can't be written")
    (tmp_path / "state").write_text("a file where the directory should be")
    keep(tmp_path / "state", Memory("dark"))
