"""The engine in a process of its own: the front end's side, the engine's side, and the frames between them.

Each message is msgpack behind its length in 4 bytes, big-endian. `sweeper engine` speaks it on standard input and
output, so that the window may one day run elsewhere and reach the engine through ssh.
"""

import contextlib
import logging
import os
import signal
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from sweeper_gui.core.names import legible
from sweeper_gui.engine.host import EngineGone
from sweeper_gui.engine.messages import Failure, Finished, Reply, Request, Update
from sweeper_gui.engine.open_files import raise_open_files
from sweeper_gui.settings.secrets import SafeFormatter

#: A frame longer than this is no message of ours.
_MAX_FRAME = 256 * 1024 * 1024
_LENGTH = struct.Struct(">I")
#: The engine gives way to the window on a busy host.
_NICENESS = 10
#: How long the engine may take to reach its next entry after its pipe has closed, in seconds.
_ENDS_WITHIN = 10.0
#: How long a close waits for the call that is under way, in seconds.
_CALL_ENDS_WITHIN = 0.2

_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


log = logging.getLogger(__name__)


class BadFrame(Exception):
    """What arrived is no message of ours."""


def write_frame(stream: BinaryIO, message: Request | Reply) -> None:
    """Writes one message. Raises OSError where nobody reads."""
    _write(stream, msgspec.msgpack.encode(message))


def _write(stream: BinaryIO, body: bytes) -> None:
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()


def read_frame(stream: BinaryIO) -> bytes | None:
    """The next message's bytes, None at the end. Raises `BadFrame`."""
    head = _exactly(stream, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > _MAX_FRAME:
        raise BadFrame(f"a message of {length} bytes")
    body = _exactly(stream, length)
    if body is None:
        raise BadFrame("a message that ends too early")
    return body


def _exactly(stream: BinaryIO, length: int) -> bytes | None:
    data = bytearray()
    while len(data) < length:
        part = stream.read(length - len(data))
        if not part:
            if data:
                raise BadFrame("a message that ends too early")
            return None
        data += part
    return bytes(data)


# --- the engine's side ----------------------------------------------------------------------------------------------


def serve() -> int:
    """Serves one front end on standard input and output until it goes; the exit status.

    What anything prints goes to standard error. When the pipe closes, work stops at its next entry.
    """
    from sweeper_gui.engine.engine import Engine  # the imports take a while: only the engine's own process needs them

    requests = os.fdopen(os.dup(0), "rb", buffering=1 << 16)
    replies = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is the front end's business
    raise_open_files()
    engine = Engine()
    complaints = logging.StreamHandler()  # to standard error, which the window shows when the engine has died
    complaints.setFormatter(SafeFormatter("%(levelname)s %(name)s: %(message)s", lambda: engine.secrets))
    logging.getLogger().addHandler(complaints)
    status = 0
    try:
        for stop in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(stop, _stop)
        while (frame := read_frame(requests)) is not None:
            _write(replies, encoded(_answer(engine.handle, frame)))
    except (BadFrame, OSError) as error:
        sys.stderr.write(f"sweeper engine: {error}\n")
        status = 1
    except _Stop:
        status = 0
    if not engine.close(_ENDS_WITHIN):
        sys.stderr.write("sweeper engine: left while the volume did not answer\n")
    return status


class _Stop(BaseException):
    """A signal asked the engine to end; nothing that handles errors may keep it from that."""


def _stop(*_: object) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):  # they may come together, and once is enough
        signal.signal(number, _stop_already)
    raise _Stop


def _stop_already(*_: object) -> None:
    """Not SIG_IGN: Python raises where a signal is pending when it is set to be ignored."""


def _answer(handle: Callable[[Request], Reply], frame: bytes) -> Reply:
    try:
        request = _requests.decode(frame)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        return Failure("usage", f"not a request of this protocol: {legible(str(error))}")
    return handle(request)


def encoded(reply: Reply) -> bytes:
    """The reply's bytes. Where it can't be encoded the front end is told so, and of each job that it told the end of.

    A front end that never heard of a job's end would wait for ever.
    """
    try:
        return msgspec.msgpack.encode(reply)
    except Exception as error:
        log.error("a reply can't be encoded", exc_info=error)
        failure = Failure("failed", f"the engine's answer can't be sent: {legible(str(error))}", "please report this")
    if isinstance(reply, Update) and reply.finished:
        return msgspec.msgpack.encode(Update(finished=tuple(Finished(one.job, failure) for one in reply.finished)))
    return msgspec.msgpack.encode(failure)


# --- the front end's side -------------------------------------------------------------------------------------------


def engine_command() -> list[str]:
    """How to start an engine from this program, from source or from a bundle."""
    if getattr(sys, "frozen", False):
        return [sys.executable, "engine"]
    return [sys.executable, "-m", "sweeper_gui", "engine"]


class EngineProcess:
    """A `Host` whose engine lives in a child process. One call at a time; any thread may call.

    `close` and `kill` may be called while a request waits for its reply: that raises `EngineGone` then.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        package_parent = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(part for part in (package_parent, os.environ.get("PYTHONPATH")) if part)
        self._process = subprocess.Popen(
            list(command or engine_command()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",  # not on the volume, which it would keep busy
            env={**os.environ, "PYTHONPATH": path},
        )
        self._calling = threading.Lock()
        self._last_words: deque[bytes] = deque(maxlen=20)
        self._listener = threading.Thread(target=self._listen, name="engine-stderr", daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """The engine's process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    @property
    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        return b"".join(self._last_words).decode("utf-8", "replace").strip()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with contextlib.suppress(OSError, ValueError):
            for line in self._process.stderr:
                self._last_words.append(line)

    def request(self, request: Request) -> Reply:
        """The engine's reply. Raises `EngineGone`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._calling:
            try:
                write_frame(self._process.stdin, request)  # type: ignore[arg-type]
                frame = read_frame(self._process.stdout)  # type: ignore[arg-type]
                if frame is None:
                    raise EngineGone(self._farewell())
                return _replies.decode(frame)
            except (OSError, ValueError, BadFrame) as error:
                raise EngineGone(self._farewell()) from error
            except (msgspec.MsgspecError, RecursionError) as error:
                raise EngineGone(f"the engine's answer is none of this protocol: {legible(str(error))}") from error

    def _farewell(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)
        status = self._process.poll()
        if status is None:
            return "the engine no longer answers"
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return f"the engine {how}" + (f": {self.last_words}" if self.last_words else "")

    def close(self) -> None:
        """Closes the pipe, at which the engine stops at its next entry; kills it after a second; never waits longer."""
        if self._calling.acquire(timeout=_CALL_ENDS_WITHIN):
            try:
                self._close_stdin()
            finally:
                self._calling.release()
        else:  # a call waits for an engine that does not answer, and closing what it writes to would wait for it too
            self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        self.kill()

    def _close_stdin(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                self._process.stdin.close()

    def kill(self) -> bool:
        """Kills the process and waits a second; False where a hung mount keeps it: 'stuck engine'."""
        if self._process.poll() is None:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
        if self._process.poll() is None:
            return False
        self._listener.join(1.0)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError, ValueError):
                    stream.close()
        return True
