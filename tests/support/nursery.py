"""Processes that start in no time: forked from one that has imported everything, in a process space of their own.

`Nursery` is the test's side; `python -m tests.support.nursery DIRECTORY` the other one. It runs in a process namespace,
so that looking through the processes of the host is quick, and nothing that it has started outlives it or a case; and
it mounts a tmpfs on the directory, which nobody else sees.
"""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.root import need_root

_REPO = Path(__file__).parents[2]
#: A case that takes longer hangs.
_SECONDS = 90
_MOST_WORDS = 10_000


class Nursery:
    """Runs functions, each in a process of its own that is forked for it. Needs root."""

    def __init__(self, directory: Path, warm_up: str) -> None:
        need_root()
        directory.mkdir()
        self._directory = directory
        self._process = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc",
             sys.executable, "-m", "tests.support.nursery", str(directory), warm_up],
            cwd=_REPO, env={**os.environ, "SWEEPER_NURSERY": str(directory)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, function: str, *arguments: object) -> Any:
        """What `module:function` returns for these arguments; all of it goes through JSON. Fails where it raises."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([function, arguments]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "failure" not in answer, answer["failure"]
        return answer["result"]

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def forked(work: Callable[[], object], *, session: bool = False) -> int:
    """The process id of a fork that does the work and ends; a traceback on standard error where that raises."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        if session:
            os.setsid()
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - the fork must never come back from here
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def ended(pid: int) -> int:
    """How a fork ended: its status, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _serve() -> None:
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", sys.argv[1]], check=True)
    known = _answer_of(_modules, sys.argv[2])["result"]
    for name in known:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        function, arguments = json.loads(line)
        sys.stdout.write(json.dumps(_answer_of(_called, function, *arguments)) + "\n")
        sys.stdout.flush()


def _modules(function: str) -> list[str]:
    """Everything that the function makes Python import, in that order: some modules can't be the first of theirs."""
    _called(function)
    return [name for name in sys.modules if name != "__main__"]


def _called(function: str, *arguments: object) -> object:
    module, _, name = function.partition(":")
    result: object = getattr(importlib.import_module(module), name)(*arguments)
    return result


def _answer_of(function: Callable[..., object], *arguments: object) -> dict[str, Any]:
    """Calls the function in a fork; whatever that has started dies with it."""
    reading, writing = os.pipe()

    def work() -> None:
        signal.alarm(_SECONDS)
        os.close(reading)
        said = os.memfd_create("stderr")
        os.dup2(said, 2)  # its forks' too
        try:
            answer = {"result": function(*arguments)}
        except BaseException:  # noqa: BLE001 - told to the test
            words = os.pread(said, _MOST_WORDS, 0).decode(errors="replace")
            answer = {"failure": f"{words}\n{traceback.format_exc()}"}
        with os.fdopen(writing, "w") as pipe:
            json.dump(answer, pipe)

    status = ended(forked(work))
    os.close(writing)
    os.set_blocking(reading, False)  # something that it has started may hold the other end; what was told fits in
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)  # as the first process of the namespace: everything in it but this one
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    answer: dict[str, Any] = json.loads(told) if told else {"failure": f"it ended with {status} and told nothing"}
    return answer


if __name__ == "__main__":
    _serve()
