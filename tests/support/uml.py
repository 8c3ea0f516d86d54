"""A guest in user-mode Linux: a kernel with NFS as an ordinary program, on this host's own files, read-only.

One guest runs all tests that need it, while the host's tests go on; `Guest` starts it, and tells for each test what the
guest reported. It can write nothing but the directory of its reports.

    the host's pytest  →  Guest.start  →  linux.uml  →  tests/support/guest.py as its init  →  pytest
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

KERNEL = "linux.uml"
PROJECT = Path(__file__).parents[2]
#: Set in the guest, for tests and fixtures that are read on both sides.
IN_GUEST = "UML_GUEST" in os.environ

#: After so many seconds the guest is ended, whatever it does.
LIFETIME = 240
#: Seconds without a report after which a guest that still runs is given up.
_SILENCE = 90
_MEMORY = 512
_LINES = 40

Reports = list[dict[str, Any]]


class GuestFailed(Exception):
    """The guest ended, or hung, without a report on the test; the text ends with what its console said last."""


class Guest:
    """The guest of one test run, in a directory that all processes of the run share."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self._directory = directory
        self._console = directory / "console"
        self._reports = directory / "reports.jsonl"
        self._read = 0
        self._known: dict[str, Reports] = {}
        self._told = False
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, tests: Sequence[str]) -> None:
        """Starts it on these tests, unless another process of the run has. Returns at once."""
        with (self._directory / "lock").open("w") as lock:
            if not _locked(lock.fileno()) or self._console.exists():
                return
            (self._directory / "tests").write_text("".join(f"{test}\n" for test in tests))
            self._process = self._booted(lock.fileno())

    def _booted(self, lock: int) -> subprocess.Popen[bytes]:
        """The guest inherits the lock: whoever gets it knows that the guest has ended."""
        kernel = shutil.which(KERNEL)
        command = [
            "timeout", "--kill-after=2", str(LIFETIME), kernel or KERNEL, f"mem={_MEMORY}M", "rootfstype=hostfs",
            "rootflags=/", "ro", "con=null", "con0=null,fd:1", "ssl=null", "panic=-1", f"uml_dir={self._directory}/",
            f"init={sys.executable}", f"PYTHONPATH={PROJECT}", "UML_GUEST=1", f"PATH={os.environ['PATH']}",
            "--", "-m", "tests.support.guest", str(self._directory),
        ]  # fmt: skip
        with self._console.open("wb") as console:
            if kernel is None:
                console.write(f"{KERNEL} is not installed: ./dev installs it\n".encode())
                command = ["false"]
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, pass_fds=[lock],
                cwd=PROJECT, env=os.environ | self._memory(),
            )  # fmt: skip

    def _memory(self) -> dict[str, str]:
        """Its memory is a file: on /dev/shm, unless that is too small, as in many containers."""
        try:
            room = shutil.disk_usage("/dev/shm").free
        except OSError:
            room = 0
        return {} if room > 2 * _MEMORY << 20 else {"TMPDIR": str(self._directory)}

    def reports(self, test: str) -> Reports:
        """What the guest reported of a test, as soon as it has: set-up, call and tear-down. Raises `GuestFailed`."""
        heard = time.monotonic()
        while True:
            ended = self._ended()
            if self._receive():
                heard = time.monotonic()
            reports = self._known.get(test, [])
            if any(report["when"] == "teardown" for report in reports):
                return reports
            if ended or time.monotonic() > heard + _SILENCE:
                told, self._told = self._told, True
                words = f"the guest {'ended' if ended else 'hangs'} before {test} was done"
                raise GuestFailed(words if told else f"{words}\n{self._tail()}")
            time.sleep(0.05)

    def _ended(self) -> bool:
        if self._process is not None:
            return self._process.poll() is not None
        with (self._directory / "lock").open("w") as lock:
            return _locked(lock.fileno())

    def _receive(self) -> bool:
        if not self._reports.exists():
            return False
        with self._reports.open("rb") as file:
            file.seek(self._read)
            lines = file.read().split(b"\n")
        self._read += sum(len(line) + 1 for line in lines[:-1])
        for line in lines[:-1]:
            report = json.loads(line)
            self._known.setdefault(report["nodeid"], []).append(report)
        return len(lines) > 1

    def _tail(self) -> str:
        lines = self._console.read_text(errors="replace").splitlines() if self._console.exists() else []
        return "\n".join(["its console:", *lines[-_LINES:]])

    def stop(self, *, at_once: bool) -> None:
        """Returns when it has ended, if this process has started it; `at_once` it is made to."""
        if self._process is None:
            return
        if at_once and self._process.poll() is None:
            self._process.terminate()  # `timeout` hands it on, and kills what does not heed it
        self._process.wait()


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def report_of_failure(item: pytest.Item, text: str) -> pytest.TestReport:
    """A failed test, for which there is no report."""
    return pytest.TestReport(item.nodeid, item.location, dict.fromkeys(item.keywords, 1), "failed", text, "call")
