"""The log of one run: written ahead, the manifest for resuming and the audit trail in one.

One line of JSON a record, in a file created exclusively by its only writer, fsynced before each step that it announces.
Where the volume is full, the log goes on in the local state, so that a full disk can be cleaned.

Each line ends with a check over itself, the lines before it and the sweep's id. A line that was changed, lost, moved,
repeated or written by someone else is told, and nothing from there on is believed: one bit could turn a name or a
number into another one's. It is no signature: who may write in the control directory may write logs.
"""

import errno
import hashlib
import os
import pwd
import socket
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock as ThreadLock
from typing import Annotated

import msgspec

from sweeper_gui import __version__
from sweeper_gui.core.audit import Proposal, Who
from sweeper_gui.core.names import legible, stored, unstored, visible
from sweeper_gui.core.outcome import Ending, Outcome, Result
from sweeper_gui.core.plan import Candidate
from sweeper_gui.core.policy import Treatment
from sweeper_gui.core.workspace import Identity
from sweeper_gui.storage import files
from sweeper_gui.storage.control import LOG, Control, SweepDirectory
from sweeper_gui.storage.opened import let_go
from sweeper_gui.storage.private import begin_private, read_private
from sweeper_gui.sweep.words import words_of

SCHEMA = 2
#: What the kernel says of a process that no login has led to.
_NOBODY_LOGGED_IN = 2**32 - 1
#: A variable may hold anything, of any length.
_MAX_USER = 64
_CHECK = b',"check":"'
_CHECK_DIGITS = 16
#: A log longer than this many bytes is none of ours: a record has some hundreds, and a run some thousands of records.
_MAX_SIZE = 256 << 20

#: Bounds of what a log may hold: whatever else stands there has not been written by us, and could not be passed on.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Number = Annotated[int, msgspec.Meta(ge=0, le=999_999_999)]
#: Of a directory that lacked the write permission; no other mode was ever changed.
Mode = Annotated[int, msgspec.Meta(ge=0, le=0o7777)]


def myself() -> Who:
    """Who runs this process."""
    host = socket.gethostname()
    return Who(
        _login(os.getuid()), host, os.getpid(), legible(os.environ.get("SUDO_USER", "")[:_MAX_USER]), _logged_in()
    )


def _login(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _logged_in() -> str:
    try:
        uid = int(Path("/proc/self/loginuid").read_text(encoding="ascii"))
    except (OSError, ValueError):  # a kernel without auditing
        return ""
    return "" if uid == _NOBODY_LOGGED_IN else _login(uid)


class Name(msgspec.Struct, frozen=True, omit_defaults=True):
    """A workspace's name as it is written down."""

    text: str
    raw: bytes | None = None

    @classmethod
    def of(cls, name: bytes) -> "Name":
        """From the bytes that the kernel gave."""
        return cls(*stored(name))

    def __bytes__(self) -> bytes:
        return unstored(self.text, self.raw)


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """The first record. `kind` is sweep, restore, purge or resume; `at` is epoch seconds by the host's clock."""

    at: float
    kind: str
    sweep_id: str
    who: Who
    root: str
    registry: str
    options: dict[str, str]
    clock_skew: float = 0.0
    ticket: str = ""
    proposal: Proposal | None = None
    schema: int = SCHEMA
    version: str = __version__


class Intent(msgspec.Struct, frozen=True, tag="intent"):
    """A workspace is about to be set aside, on this evidence. `mode` is the top's where it had to be changed."""

    at: float
    number: Number
    name: Name
    id: str
    inode: int
    mtime_ns: int
    ctime_ns: int
    newest_change_ns: int
    allocated: Count
    entries: Count
    treatment: Treatment
    reason: str
    doubts: tuple[str, ...]
    registry_read_at: float
    mode: Mode | None = None


class SetAside(msgspec.Struct, frozen=True, tag="set-aside"):
    """The rename has been done; `at` is after it."""

    at: float
    number: Number


class Confirmed(msgspec.Struct, frozen=True, tag="confirmed"):
    """A registry read that started after the rename still says so."""

    at: float
    numbers: tuple[Number, ...]
    registry_read_at: float


class Restoring(msgspec.Struct, frozen=True, tag="restoring"):
    """A workspace is about to be put back. `source` is the sweep that set it aside, where that is another one."""

    at: float
    number: Number
    name: Name
    reason: str
    source: str = ""


class Removing(msgspec.Struct, frozen=True, tag="removing"):
    """A tree is about to be moved to `removing/`; from now on it is never restored."""

    at: float
    number: Number
    name: Name
    entries: Count
    source: str = ""


class Ended(msgspec.Struct, frozen=True, tag="outcome"):
    """What became of one workspace."""

    at: float
    name: Name
    result: Result
    reason: str
    entries_removed: Count = 0
    bytes_freed: Count = 0
    errors: tuple[str, ...] = ()
    #: directories whose mode was changed so that they could be removed: 'mod/cache: 0555'
    modes: tuple[str, ...] = ()

    @classmethod
    def of(cls, outcome: Outcome, modes: tuple[str, ...] = ()) -> "Ended":
        """From the outcome as it is reported."""
        return cls(
            time.time(), Name.of(outcome.name), outcome.result, outcome.reason, outcome.entries_removed,
            outcome.bytes_freed, outcome.errors, modes,
        )  # fmt: skip


class Closed(msgspec.Struct, frozen=True, tag="end"):
    """The last record."""

    at: float
    ending: Ending
    counts: dict[str, Count]
    bytes_freed: Count
    seconds: float
    problem: str = ""
    notes: tuple[str, ...] = ()


Record = Begun | Intent | SetAside | Confirmed | Restoring | Removing | Ended | Closed

_decoder = msgspec.json.Decoder(Record)


def intent_of(number: int, candidate: Candidate, registry_read_at: float) -> Intent:
    """The record that announces setting a candidate aside."""
    workspace, usage = candidate.workspace, candidate.usage
    assert workspace.identity is not None
    return Intent(
        at=time.time(),
        number=number,
        name=Name.of(workspace.name),
        id=workspace.id or "",
        inode=workspace.identity.inode,
        mtime_ns=workspace.identity.mtime_ns,
        ctime_ns=workspace.identity.ctime_ns,
        newest_change_ns=usage.newest_change_ns,
        allocated=usage.allocated,
        entries=usage.entries,
        treatment=candidate.treatment,
        reason=candidate.verdict.reason,
        doubts=tuple(candidate.verdict.doubts),
        registry_read_at=registry_read_at,
    )


class _Chain:
    """The check of each line, which depends on all lines before it."""

    def __init__(self, sweep_id: str) -> None:
        self._sum = hashlib.blake2b(os.fsencode(sweep_id), digest_size=_CHECK_DIGITS // 2)

    def sealed(self, record: bytes) -> bytes:
        """The next line, without its end: the record, a JSON object, with its check as one more member."""
        self._sum.update(record)
        return record[:-1] + _CHECK + self._sum.hexdigest().encode() + b'"}'

    def follows(self, line: bytes) -> bool:
        """Whether this is the line that was written next."""
        record = line[: -len(_CHECK) - _CHECK_DIGITS - 2] + b"}"
        return self.sealed(record) == line


class LogError(Exception):
    """The log can't be written: nothing more may be begun."""


class Log:
    """The writer. Thread-safe; `path` is where the log is now."""

    def __init__(self, control: Control, sweep: SweepDirectory, fallback: Path) -> None:
        self._lock = ThreadLock()
        self._fallback = fallback
        self._broken = ""
        self._written = bytearray()
        self._chain = _Chain(sweep.id)
        self.local_path: Path | None = None
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._descriptor = os.open(LOG, flags, 0o640, dir_fd=sweep.descriptor)
            control.share(self._descriptor)
            files.settle(sweep.descriptor)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise LogError(f"the log can't be made: {error.strerror}") from error
            self._descriptor = -1
            self._go_local()

    def write(self, *records: Record) -> None:
        """Appends records and has them on the disk when it returns. Raises `LogError`, and from then on always.

        What follows a half-written line could not be read, and a second fsync says nothing of what the first lost.
        """
        with self._lock:
            if self._broken:
                raise LogError(self._broken)
            try:
                self._append(b"".join(self._chain.sealed(_encoded(record)) + b"\n" for record in records))
            except (OSError, LogError) as error:
                words = error.strerror if isinstance(error, OSError) else error
                self._broken = f"the log can't be written: {words}"
                raise LogError(self._broken) from error

    def _append(self, lines: bytes) -> None:
        try:
            _write_all(self._descriptor, lines)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or self.local_path is not None:
                raise
            self._go_local()
            _write_all(self._descriptor, lines)
        self._written += lines

    def _go_local(self) -> None:
        """Goes on with a whole copy in the local state, which is there whole or not at all.

        A half-written line stays at the end of the volume's.
        """
        try:
            descriptor = begin_private(self._fallback, bytes(self._written))
        except OSError as error:
            place = visible(os.fsencode(self._fallback))
            raise LogError(f"neither the volume nor {place} takes the log: {words_of(error)}") from error
        if self._descriptor >= 0:
            let_go(self._descriptor)
        self._descriptor, self.local_path = descriptor, self._fallback

    def close(self) -> None:
        """Ends the log; harmless when done twice."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
            if descriptor >= 0:
                let_go(descriptor)


def _encoded(record: Record) -> bytes:
    """The record as JSON. Raises `LogError` for what could not be read again: a log must not be damaged by us."""
    try:
        content = msgspec.json.encode(record)
        _decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise LogError(f"a record can't be written down: {error}") from error
    return content


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)


class ReadLog(msgspec.Struct, frozen=True):
    """What a log tells. `damaged` says that a line could not be read: what follows it is unknown.

    `missing`: there is none, as in a run that died before it began one.
    """

    records: tuple[Record, ...]
    damaged: str = ""
    missing: bool = False

    @property
    def begun(self) -> Begun | None:
        """The first record, if it is one."""
        first = self.records[0] if self.records else None
        return first if isinstance(first, Begun) else None

    def intents(self) -> dict[int, Intent]:
        """The announced workspaces by number; the last record of a number counts (it carries a changed mode)."""
        return {record.number: record for record in self.records if isinstance(record, Intent)}


def read_log(sweep: SweepDirectory | None, fallback: Path) -> ReadLog:
    """Reads the log of a sweep, or its continuation in the local state where that tells more.

    `sweep` is None where its directory is gone. Never raises: damage is told.
    """
    sweep_id = fallback.parent.name if sweep is None else sweep.id
    there = ReadLog((), "the sweep's directory is gone from the volume")
    if sweep is not None:
        try:
            there = _parsed(_content(sweep), sweep_id)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            there = ReadLog((), f"the log can't be read: {error.strerror}", missing)
    try:
        here = _parsed(read_private(fallback, _MAX_SIZE), sweep_id)
    except OSError:
        return there
    return here if len(here.records) > len(there.records) else there


def _content(sweep: SweepDirectory) -> bytes:
    """The log on the volume, as far as it is a file and one that can be held. Raises OSError."""
    descriptor = os.open(LOG, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=sweep.descriptor)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        if status.st_size > _MAX_SIZE:
            raise OSError(errno.EFBIG, f"it is larger than {_MAX_SIZE} bytes")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(_MAX_SIZE)
    finally:
        os.close(descriptor)


def _parsed(data: bytes, sweep_id: str) -> ReadLog:
    records: list[Record] = []
    chain = _Chain(sweep_id)
    # What has no end was cut in its write: its step never began, and it tells nothing.
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            record = _decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return _told(records, f"line {number} of the log can't be read")
        if not chain.follows(line):
            return _told(records, f"line {number} of the log is not what was written there")
        records.append(record)
    return _told(records)


def _told(records: list[Record], damage: str = "") -> ReadLog:
    if records and not isinstance(records[0], Begun):
        return ReadLog((), "the log does not begin with its first record")
    return ReadLog(tuple(records), damage)


def identity_before(intent: Intent, device: int) -> Identity:
    """The identity that a set-aside tree had in its place; the device is this mount's."""
    return Identity(device, intent.inode, intent.mtime_ns, intent.ctime_ns)


def outcomes(records: Sequence[Record]) -> Iterator[Outcome]:
    """The outcomes that a log tells, in its order."""
    for record in records:
        if isinstance(record, Ended):
            yield Outcome(
                bytes(record.name), record.result, record.reason, record.entries_removed, record.bytes_freed,
                len(record.errors), record.errors,
            )  # fmt: skip
