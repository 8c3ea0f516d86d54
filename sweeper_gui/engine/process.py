"""The engine in a process of its own: the front end's side, the engine's side, and the frames between them.

Each message is msgpack behind its length in 4 bytes, big-endian. `sweeper engine` speaks it on standard input and
output, so that the window may one day run elsewhere and reach the engine through ssh.
"""

import contextlib
import io
import logging
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import msgspec

from sweeper_gui.core.names import legible
from sweeper_gui.engine.host import EngineGone
from sweeper_gui.engine.messages import Cancel, Failure, Finished, Reply, Request, Update
from sweeper_gui.engine.open_files import raise_open_files
from sweeper_gui.settings.secrets import SafeFormatter

if TYPE_CHECKING:
    from sweeper_gui.engine.engine import Engine

#: A frame longer than this is no message of ours.
_MAX_FRAME = 256 * 1024 * 1024
_LENGTH = struct.Struct(">I")
#: So many bytes of a frame are asked for at a time.
_PART = 1 << 20
#: The engine gives way to the window on a busy host.
_NICENESS = 10
#: How long the engine may take to reach its next entry after its pipe has closed, in seconds.
_ENDS_WITHIN = 10.0
#: How long a close waits for the call that is under way, in seconds.
_CALL_ENDS_WITHIN = 0.2
#: Seconds between two looks whether work has ended, or whether an answer is still wanted.
_LOOK_EVERY = 0.05
#: What a terminal, a service manager or a person sends to a front end and its engine together.
_ASKS_TO_END = (signal.SIGTERM, signal.SIGHUP)
_HELD_BACK = (signal.SIGINT, *_ASKS_TO_END)

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
        part = stream.read(min(length - len(data), _PART))
        if not part:
            if data:
                raise BadFrame("a message that ends too early")
            return None
        data += part
    return bytes(data)


# --- the engine's side ----------------------------------------------------------------------------------------------


def serve() -> int:
    """Serves one front end on standard input and output until it goes; the exit status.

    What anything prints goes to standard error. When the pipe closes, work stops at its next entry. SIGTERM and SIGHUP,
    which a front end may have got too, cancel the work; the engine ends once its front end has heard how that ended.
    """
    from sweeper_gui.engine.engine import Engine  # the imports take a while: only the engine's own process needs them

    requests = os.fdopen(os.dup(0), "rb", buffering=0)  # nothing may wait in a buffer while `select` looks at the pipe
    replies = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    raise_open_files()
    engine = Engine()
    complaints = logging.StreamHandler()  # to standard error, which the front end keeps
    complaints.setFormatter(SafeFormatter("%(levelname)s %(name)s: %(message)s", lambda: engine.secrets))
    logging.getLogger().addHandler(complaints)
    status = 0
    try:
        _converse(engine, requests, replies, _signals())
    except (BadFrame, OSError) as error:
        sys.stderr.write(f"sweeper engine: {error}\n")
        status = 1
    if not engine.close(_ENDS_WITHIN):
        sys.stderr.write("sweeper engine: left while the volume did not answer\n")
    return status


def _signals() -> int:
    """Lets the signals in that were held back until now; the descriptor on which those come that ask to end.

    An ignored SIGHUP (nohup) stays ignored, and Ctrl-C in the terminal is the front end's business.
    """
    told, teller = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(teller, warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in _ASKS_TO_END:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: None)  # the descriptor tells: a handler that raised would break a reply
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD_BACK)
    return told


def _converse(engine: "Engine", requests: BinaryIO, replies: BinaryIO, signals: int) -> None:
    """Answers until the front end goes, or for a while after a signal."""
    ends_at: float | None = None
    asked = requests.fileno()
    while ends_at is None or not (engine.idle or time.monotonic() > ends_at):
        ready, _, _ = select.select([asked, signals], [], [], None if ends_at is None else _LOOK_EVERY)
        if signals in ready:
            os.read(signals, 512)
            engine.handle(Cancel())
            ends_at = ends_at or time.monotonic() + _ENDS_WITHIN
        if asked in ready:
            frame = read_frame(requests)
            if frame is None:
                return
            _write(replies, encoded(_answer(engine.handle, frame)))


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
    """How to start an engine from this program, from source or from a bundle.

    Where the sources are goes into the command and not into a variable, which the commands that the engine starts
    (`exec:` registries) would inherit.
    """
    if getattr(sys, "frozen", False):
        return [sys.executable, "engine"]
    sources = str(Path(__file__).resolve().parents[2])
    program = f"import sys; sys.path.insert(0, {sources!r}); from sweeper_gui.__main__ import main; main()"
    return [sys.executable, "-c", program, "engine"]


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Starts an engine to which no signal comes before it is ready for it: Ctrl-C goes to all that are in a terminal.

    It stays in the front end's process group, so that what stops one of them (Ctrl-Z) stops both.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
    try:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",  # not on the volume, which it would keep busy
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class EngineProcess:
    """A `Host` whose engine lives in a child process. One call at a time; any thread may call.

    `close` and `kill` may be called while a request waits for its reply: that raises `EngineGone` then. It does so too
    once `give_up` says, asked again and again meanwhile, that nobody wants to wait any longer.
    """

    def __init__(self, command: Sequence[str] | None = None, *, give_up: Callable[[], bool] = lambda: False) -> None:
        self._process = _start(command or engine_command())
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests = cast(BinaryIO, self._process.stdin)
        # Without its buffer: nothing may wait there while the pipe is looked at.
        self._replies = cast(BinaryIO, cast(io.BufferedReader, self._process.stdout).detach())
        self._give_up = give_up
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
                log.warning("engine %d: %s", self.pid, legible(line.decode("utf-8", "replace").rstrip()))

    def request(self, request: Request) -> Reply:
        """The engine's reply. Raises `EngineGone`."""
        with self._calling:
            try:
                write_frame(self._requests, request)
                self._await_reply()
                frame = read_frame(self._replies)
                if frame is None:
                    raise EngineGone(self._farewell())
                return _replies.decode(frame)
            except (OSError, ValueError, BadFrame) as error:
                raise EngineGone(self._farewell()) from error
            except (msgspec.MsgspecError, RecursionError) as error:
                raise EngineGone(f"the engine's answer is none of this protocol: {legible(str(error))}") from error

    def _await_reply(self) -> None:
        arrival = select.poll()
        arrival.register(self._replies, select.POLLIN)
        while not arrival.poll(_LOOK_EVERY * 1_000):
            if self._give_up() or self._replies.closed:
                raise EngineGone(f"the engine (process {self.pid}) does not answer")

    def _farewell(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)
        status = self._process.poll()
        if status is None:
            return "the engine no longer answers"
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return f"the engine {how}" + (f": {self.last_words}" if self.last_words else "")

    def close(self) -> bool:
        """Closes the pipe, at which the engine stops at its next entry, and kills it after a second.

        Waits two seconds at most; False where a hung mount keeps the process: 'stuck engine'.
        """
        if self._calling.acquire(timeout=_CALL_ENDS_WITHIN):
            try:
                self._close_stdin()
            finally:
                self._calling.release()
        else:  # a call waits for an engine that does not answer, and closing what it writes to would wait for it too
            self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        return self.kill()

    def _close_stdin(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._requests.close()

    def kill(self) -> bool:
        """Kills the process and waits a second; False where a hung mount keeps it: 'stuck engine'."""
        if self._process.poll() is None:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
        if self._process.poll() is None:
            return False
        self._listener.join(1.0)
        for stream in (self._requests, self._replies, cast(BinaryIO, self._process.stderr)):
            with contextlib.suppress(OSError, ValueError):
                stream.close()
        return True
