"""A registry behind a command: what it prints is read as a file would be. No shell is involved."""

import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import IO

from sweeper_gui.registries.base import Attempt, RegistryError, quoted
from sweeper_gui.registries.document import MAX_BYTES, sessions_in
from sweeper_gui.registries.rows import Sessions
from sweeper_gui.settings.model import RegistrySettings, command_of

_CHUNK = 1 << 16
_MAX_STDERR = 1 << 16
#: How often the time and a cancellation are looked at, in seconds.
_GLANCE = 0.1
#: What a command that was told to end gets before it is killed, in seconds.
_GRACE = 0.3


def read_command(settings: RegistrySettings, attempt: Attempt) -> Sessions:
    """All sessions that the command prints. Raises `RegistryError`."""
    process = _start(command_of(settings.source.get_secret_value()))
    try:
        output, complaints = _Outputs(process).read(attempt)
        code = _wait(process, attempt)
    finally:
        _end(process)
    if code != 0:
        raise _failed(code, complaints)
    if not output.strip():
        raise RegistryError("printed nothing" + _said(complaints), "run the command by hand and see what it prints")
    return sessions_in(output, settings.items)


def _start(arguments: list[str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
            start_new_session=True,  # a group of its own, so that what it starts can be ended with it
        )
    except FileNotFoundError:
        raise RegistryError("names a command that does not exist", "write its full path or mend PATH") from None
    except PermissionError:
        raise RegistryError("names a command that may not be executed by this user") from None
    except OSError as error:
        raise RegistryError(f"names a command that can't be started: {error.strerror}") from None


def _environment() -> dict[str, str]:
    """The user's environment: in a bundle the library path leads to our own libraries, which break ssh and the like."""
    environment = dict(os.environ)
    if getattr(sys, "frozen", False):
        original = environment.pop("LD_LIBRARY_PATH_ORIG", None)
        environment.pop("LD_LIBRARY_PATH", None)
        if original is not None:
            environment["LD_LIBRARY_PATH"] = original
    return environment


class _Outputs:
    """Both outputs of a process, read together so that neither fills its pipe and stops it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._stdout: IO[bytes] = process.stdout
        self._stderr: IO[bytes] = process.stderr
        self._output = bytearray()
        self._complaints = bytearray()

    def read(self, attempt: Attempt) -> tuple[bytes, bytes]:
        """Standard output until its end, and what came on standard error by then.

        The end of standard error is not waited for: ssh's shared connections keep it open for hours.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            selector.register(self._stderr, selectors.EVENT_READ)
            while self._stdout in {key.fileobj for key in selector.get_map().values()}:
                for key, _ in selector.select(min(_GLANCE, attempt.remaining())):
                    if not self._take(key.fd):
                        selector.unregister(key.fileobj)
                attempt.check()
        self._take_rest_of_complaints()
        return bytes(self._output), bytes(self._complaints)

    def _take(self, descriptor: int) -> bool:
        """Reads what is there; False at the end."""
        chunk = os.read(descriptor, _CHUNK)
        if descriptor == self._stdout.fileno():
            self._output += chunk
            if len(self._output) > MAX_BYTES:
                raise RegistryError(f"printed more than {MAX_BYTES >> 20} MiB")
        elif len(self._complaints) < _MAX_STDERR:
            self._complaints += chunk
        return bool(chunk)

    def _take_rest_of_complaints(self) -> None:
        os.set_blocking(self._stderr.fileno(), False)
        with suppress(BlockingIOError):
            while self._take(self._stderr.fileno()):
                pass


def _wait(process: subprocess.Popen[bytes], attempt: Attempt) -> int:
    while True:
        try:
            return process.wait(min(_GLANCE, attempt.remaining()))
        except subprocess.TimeoutExpired:
            attempt.check()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and everything that it started in its group, unless it has ended by itself."""
    if process.returncode is None:
        _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE
        while not _has_ended(process) and time.monotonic() < deadline:
            time.sleep(0.01)
        _signal_group(process, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            # Stuck in the kernel, on a hung mount for instance, nobody can end it: then nobody waits for it.
            process.wait(_GRACE)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended. It is not reaped yet: until then nobody else's group can have its number."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # all gone, or only another user's (sudo) are left
        os.killpg(process.pid, number)


def _failed(code: int, complaints: bytes) -> RegistryError:
    end = f"was ended by signal {_signal_name(-code)}" if code < 0 else f"failed with exit code {code}"
    return RegistryError(end + _said(complaints), "run the command by hand and see what it says")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _said(complaints: bytes) -> str:
    """The last lines of standard error: that is where programs say why they gave up."""
    lines = [line for line in complaints.decode("utf-8", "replace").splitlines() if line.strip()]
    return f": {quoted('; '.join(lines[-3:]))}" if lines else ""
