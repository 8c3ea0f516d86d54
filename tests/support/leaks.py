"""What a test leaves behind: threads, processes, descriptors, mounts, timers.

Looking is cheap (well under a millisecond where nothing was started), so every test is looked at.
"""

import contextlib
import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

#: Seconds that what is ending already (a joined thread's stack, a killed child) may take to be gone.
SETTLE = 2.0

#: Descriptors that libraries open once and keep, by the start of what they point to.
_KEPT = (
    "/dev/urandom",
    "/dev/null",
    "/usr/share/fonts",
    "/var/cache/fontconfig",
    "anon_inode:[eventfd]",  # one for each thread that Qt paints large areas with, for half a minute
)

#: In the environment of every process that a test starts, however deep: finds those that outlived their parent.
_MARK = "SWEEPER_TEST_NUMBER"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Resources:
    """What exists at one moment."""

    threads: frozenset[threading.Thread]
    descriptors: frozenset[tuple[int, str]]
    children: frozenset[int]
    mounts: frozenset[str]


class Leaks:
    """Watches one test: made when it starts, asked when it has ended."""

    def __init__(self, directory: Path, *, with_qt: bool = False) -> None:
        self._directory = directory
        self._with_qt = with_qt
        self._mark = f"{os.getpid()}-{next(_numbers)}"
        os.environ[_MARK] = self._mark
        self._spawns = _spawns.count
        self._before = self._resources()

    def found(self) -> list[str]:
        """What is left, one line each, after a little time to settle; processes and mounts are cleared away."""
        deadline = time.monotonic() + SETTLE
        left = self._left()
        while left and time.monotonic() < deadline:
            gc.collect()
            time.sleep(0.01)
            left = self._left()
        if left:
            self._clear()
        return left

    def _resources(self) -> Resources:
        return Resources(
            threads=frozenset(threading.enumerate()),
            descriptors=frozenset(_descriptors()),
            children=frozenset(_children()),
            mounts=frozenset(_mounts(self._directory)),
        )

    def _left(self) -> list[str]:
        now, before = self._resources(), self._before
        left = [f"thread {thread.name!r}" for thread in now.threads - before.threads if thread.is_alive()]
        left += [f"descriptor {number} of {target}" for number, target in sorted(now.descriptors - before.descriptors)]
        left += [f"child process {pid}: {_command(pid)}" for pid in sorted(now.children - before.children)]
        left += [f"orphaned process {pid}: {_command(pid)}" for pid in self._orphans() if pid not in now.children]
        left += [f"mount {mount}" for mount in sorted(now.mounts - before.mounts)]
        if self._with_qt:
            left += _active_timers()
        return left

    def _orphans(self) -> list[int]:
        if _spawns.count == self._spawns:
            return []
        mark = f"{_MARK}={self._mark}".encode()
        return [pid for pid in _processes() if pid != os.getpid() and mark in _environment(pid)]

    def _clear(self) -> None:
        for pid in {*_children()} - self._before.children | {*self._orphans()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, signal.SIGKILL)
        for mount in sorted({*_mounts(self._directory)} - self._before.mounts, reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)


class _Spawns:
    """Counts the processes this one has started, so that /proc is searched only after tests that started some."""

    def __init__(self) -> None:
        self.count = 0
        sys.addaudithook(self._audit)

    def _audit(self, event: str, _arguments: object) -> None:
        if event in ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"):
            self.count += 1


_spawns = _Spawns()


def _descriptors() -> list[tuple[int, str]]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # the descriptor that listed this very directory
            continue
        if not target.startswith(_KEPT):
            found.append((int(name), target))
    return found


def _children() -> list[int]:
    pids: list[int] = []
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/self/task/{task}/children", encoding="ascii") as file:
            pids += map(int, file.read().split())
    return pids


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # gone, or not ours to read
        return []


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "?"


def _mounts(directory: Path) -> list[str]:
    prefix = f"{directory}/"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        points = [line.split(" ", 5)[4] for line in lines]
    return [point for point in points if point.startswith(prefix)]


def _active_timers() -> list[str]:
    from PySide6.QtCore import QTimer
    from shiboken6 import isValid

    # isinstance would ask proxies for the class of what they stand for.
    timers = [thing for thing in gc.get_objects() if issubclass(type(thing), QTimer) and isValid(thing)]
    return [f"active timer {timer!r} of {timer.parent()!r}" for timer in timers if timer.isActive()]
