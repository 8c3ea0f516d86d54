"""The watch over the tests sees what a test leaves behind, says or skips."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PySide6.QtCore import QTimer

from tests.support import leaks
from tests.support.leaks import Leaks
from tests.support.messages import Messages
from tests.support.root import need_root

PROJECT = Path(__file__).parents[1]

_GUILTY = """
import logging, os, pytest
from PySide6.QtCore import qWarning

def test_innocent(): pass
def test_skips(): pytest.skip("no reason")
def test_logs(): logging.getLogger("sweeper_gui.sweep").warning("trouble")
def test_makes_qt_complain(): qWarning("trouble")
def test_announces(messages):
    messages.expect("troub")
    logging.getLogger("sweeper_gui.sweep").error("trouble")
def test_promises(messages): messages.expect("trouble")
def test_has_a_state_of_its_own(): assert not os.path.exists(os.environ["SWEEPER_STATE_DIR"])
"""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "SETTLE", 0.05)


def test_nothing_is_found_where_nothing_is_left(tmp_path: Path):
    watch = Leaks(tmp_path, with_qt=True)
    (tmp_path / "file").write_text("x")
    subprocess.run(["true"], check=True)
    assert watch.found() == []


def test_a_thread_is_found(tmp_path: Path):
    watch = Leaks(tmp_path)
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="left")
    thread.start()
    assert watch.found() == ["thread 'left'"]
    stop.set()
    thread.join()
    assert watch.found() == []


def test_a_descriptor_is_found(tmp_path: Path):
    watch = Leaks(tmp_path)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    assert watch.found() == [f"descriptor {descriptor} of {tmp_path}"]
    os.close(descriptor)


def test_a_child_is_found_and_ended(tmp_path: Path):
    watch = Leaks(tmp_path)
    child = subprocess.Popen(["sleep", "60"])
    assert watch.found() == [f"child process {child.pid}: sleep 60"]
    assert child.wait(5) < 0


def test_a_process_that_outlived_its_parent_is_found_and_ended(tmp_path: Path):
    watch = Leaks(tmp_path)
    started = subprocess.run(
        ["sh", "-c", "sleep 61 >/dev/null 2>&1 & echo $!"], capture_output=True, text=True, check=True
    )
    assert watch.found() == [f"orphaned process {started.stdout.strip()}: sleep 61"]
    assert watch.found() == []


def test_a_mount_is_found_and_taken_away(tmp_path: Path):
    need_root()
    watch = Leaks(tmp_path)
    (tmp_path / "mount").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path / "mount"], check=True)
    assert watch.found() == [f"mount {tmp_path}/mount"]
    assert not os.path.ismount(tmp_path / "mount")


def test_a_running_timer_is_found(tmp_path: Path, qapp: object):
    watch = Leaks(tmp_path, with_qt=True)
    timer = QTimer()
    timer.start(60_000)
    assert [leak.split()[:2] for leak in watch.found()] == [["active", "timer"]]
    timer.stop()
    assert watch.found() == []


def test_messages_are_told_apart():
    said = Messages()
    said.expect("meant")
    said.expect("never")
    said.seen += ["this is meant", "this is not"]
    assert said.problems() == ["unexpected message: this is not", "expected message never came: never"]
    said.seen.clear()


def test_a_guilty_test_fails_and_says_why(tmp_path: Path):
    (tmp_path / "test_guilty.py").write_text(_GUILTY)
    options = ["-c", str(PROJECT / "pyproject.toml"), "-p", "tests.conftest", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path / "test_guilty.py")],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "1 failed, 6 passed, 3 errors" in done.stdout
    assert "a skipped test is a failure here" in done.stdout
    assert "unexpected message: sweeper_gui.sweep WARNING: trouble" in done.stdout
    assert "unexpected message: Qt default: trouble" in done.stdout
    assert "expected message never came: trouble" in done.stdout
