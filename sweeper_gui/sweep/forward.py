"""What the log tells, told to journald or a syslog daemon too: step by step, each on one line.

The log on the volume is the truth, this is its echo at another place, where a company keeps such things. A daemon that
hangs or is missing never holds a sweep up: what it does not take in time is lost, counted, and told in the report. The
socket is used as it is: the standard library's handler blocks where the daemon's queue is full.
"""

import json
import os
import select
import socket
import time
from collections import deque
from collections.abc import Mapping
from threading import Lock

from sweeper_gui.core.names import legible, visible
from sweeper_gui.core.outcome import Ending, Result
from sweeper_gui.core.units import utc_text
from sweeper_gui.sweep.log import Begun, Closed, Ended, Intent, Record, Removing, Restoring

JOURNALD = "/run/systemd/journal/socket"
SYSLOG = "/dev/log"
_IDENTIFIER = "sweeper"
_USER_FACILITY = 1
_WARNING = 4
_INFORMATION = 6
#: A longer value is cut: a daemon takes some kilobytes a message, and the log has it whole.
_MAX_VALUE = 1_000
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: So many messages are kept for a daemon that is behind, and for so many seconds a run waits for it at its end.
_MOST_KEPT = 1_000
_PATIENCE = 1.0
#: Results and endings that somebody should look at.
_ALARMING = frozenset({Result.FAILED, Result.PARTLY_REMOVED, Result.CONFLICT, Ending.STOPPED})

Fields = dict[str, str]


def socket_of(target: str) -> str:
    """The socket that the setting `sweep.syslog` means; '' where nothing is forwarded."""
    if target == "auto":
        return JOURNALD if os.path.exists(JOURNALD) else SYSLOG
    return JOURNALD if target == "journald" else target


def connection_problem(place: str) -> str:
    """Why nobody would take a message there now; '' where somebody listens. Sends nothing."""
    try:
        _connected(place).close()
    except OSError as error:
        return f"{place} takes no messages: {error.strerror or error}"
    return ""


def _connected(place: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        made.setblocking(False)
        made.connect(place)
    except OSError:
        made.close()
        raise
    return made


def _until_writable(waited_for: socket.socket | None, seconds: float) -> None:
    poll = select.poll()  # select() can't wait for the thousandth descriptor of a process
    if waited_for is not None:
        poll.register(waited_for, select.POLLOUT)
    poll.poll(seconds * 1_000)


class Forwarder:
    """Sends a run's records to the socket at `place`, or nowhere where that is ''.

    Thread-safe and never raises. It never waits but in `finish`, and there not for long: what a daemon does not take at
    once is kept, as far as there is room, and offered again with the next. `journald` says in which form, where the
    place alone does not.
    """

    def __init__(self, place: str, *, journald: bool | None = None) -> None:
        self._place = place
        self._journald = place == JOURNALD if journald is None else journald
        self._lock = Lock()
        self._socket: socket.socket | None = None
        self._run: Fields = {}
        self._kept: deque[bytes] = deque()
        self._told = 0
        self._lost = 0
        self._why = ""

    def send(self, *records: Record) -> None:
        """Sends what these records tell; some are too small to be told."""
        if not self._place:
            return
        for record in records:
            if isinstance(record, Begun):
                self._run = _run_fields(record)
            fields = fields_of(record)
            if fields:
                with self._lock:
                    self._keep(self._message(self._run | fields, record))
                    self._offer()

    def finish(self) -> str:
        """Waits a moment for a daemon that is behind; what did not arrive, or '' where everything has been taken."""
        deadline = time.monotonic() + _PATIENCE
        with self._lock:
            while self._offer() and (left := deadline - time.monotonic()) > 0:
                _until_writable(self._socket, left)
            if self._kept:
                self._lose("it does not answer", len(self._kept))
                self._kept.clear()
            if not self._lost:
                return ""
            return (
                f"{self._lost} of {self._told} messages could not be forwarded to {self._place}: {self._why}; "
                "the log on the volume has them all"
            )

    def _message(self, fields: Fields, record: Record) -> bytes:
        message = in_one_line(fields)
        severity = _severity(record)
        if not self._journald:
            return as_syslog(message, severity)
        named = {f"SWEEPER_{name.upper()}": value for name, value in fields.items()}
        return as_journald({"MESSAGE": message, "PRIORITY": str(severity), "SYSLOG_IDENTIFIER": _IDENTIFIER, **named})

    def _keep(self, message: bytes) -> None:
        self._told += 1
        if len(self._kept) < _MOST_KEPT:
            self._kept.append(message)
        else:
            self._lose("it does not answer", 1)

    def _offer(self) -> bool:
        """Sends what is kept, the oldest first, as far as it is taken or refused for good; whether some is left."""
        while self._kept:
            try:
                self._deliver(self._kept[0])
            except BlockingIOError:
                return True
            except OSError as error:
                self._lose(error.strerror or str(error), 1)
            self._kept.popleft()
        return False

    def _deliver(self, message: bytes) -> None:
        """A daemon that was started anew listens at the same place and refuses the old connection: hence twice."""
        if self._socket is not None:
            try:
                self._socket.send(message)
                return
            except BlockingIOError:
                raise
            except OSError:
                self.close()
        self._socket = _connected(self._place)
        self._socket.send(message)

    def _lose(self, why: str, number: int) -> None:
        self._lost += number
        self._why = self._why or why

    def close(self) -> None:
        """Gives the socket back."""
        made, self._socket = self._socket, None
        if made is not None:
            made.close()


# --- what is told ---------------------------------------------------------------------------------------------------


def _run_fields(begun: Begun) -> Fields:
    """What every message of a run carries, so that each can be understood alone."""
    fields = {"sweep": begun.sweep_id, "kind": begun.kind, "who": f"{begun.who}@{begun.who.host}"}
    if begun.ticket:
        fields["ticket"] = begun.ticket
    if begun.proposal:
        fields["proposed_by"] = str(begun.proposal)
    return fields


def fields_of(record: Record) -> Fields:
    """What a record tells; nothing of one that only numbers what another one names."""
    if isinstance(record, Begun):
        return {"event": "begun", "root": record.root, "registry": record.registry, "version": record.version}
    if isinstance(record, Intent):
        return _intent_fields(record)
    if isinstance(record, Removing):
        return {"event": "removing", "workspace": visible(bytes(record.name)), "entries": str(record.entries)}
    if isinstance(record, Restoring):
        return {"event": "restoring", "workspace": visible(bytes(record.name)), "reason": record.reason}
    if isinstance(record, Ended):
        return {
            "event": "outcome",
            "workspace": visible(bytes(record.name)),
            "outcome": record.result,
            "reason": record.reason,
            "entries_removed": str(record.entries_removed),
            "bytes_freed": str(record.bytes_freed),
        }
    if isinstance(record, Closed):
        return _closed_fields(record)
    return {}


def _intent_fields(intent: Intent) -> Fields:
    return {
        "event": "setting-aside",
        "workspace": visible(bytes(intent.name)),
        "reason": intent.reason,
        "doubts": ",".join(intent.doubts),
        "treatment": intent.treatment,
        "bytes": str(intent.allocated),
        "entries": str(intent.entries),
        "newest_change": utc_text(intent.newest_change_ns / 1e9),
        "registry_read": utc_text(intent.registry_read_at),
    }


def _closed_fields(closed: Closed) -> Fields:
    counts = {result.replace("-", "_"): str(number) for result, number in closed.counts.items()}
    problem = {"problem": closed.problem} if closed.problem else {}
    sums = {"bytes_freed": str(closed.bytes_freed), "seconds": str(closed.seconds)}
    return {"event": "end", "ending": closed.ending, **counts, **sums, **problem}


def _severity(record: Record) -> int:
    said = record.result if isinstance(record, Ended) else record.ending if isinstance(record, Closed) else None
    return _WARNING if said in _ALARMING else _INFORMATION


# --- how it is told -------------------------------------------------------------------------------------------------


def in_one_line(fields: Mapping[str, str]) -> str:
    """'event=outcome workspace=w1 reason="session deleted 3 Oct"': whatever a value holds, it can't end its line."""
    return " ".join(f"{name}={_quoted(_clean(value))}" for name, value in fields.items() if value)


def _clean(value: str) -> str:
    clean = legible(value)
    return clean if len(clean) <= _MAX_VALUE else clean[: _MAX_VALUE - 1] + "…"


def _quoted(value: str) -> str:
    plain = value.isascii() and not set(value) & set(' "=\\')
    return value if plain else json.dumps(value, ensure_ascii=False)


def as_syslog(message: str, severity: int) -> bytes:
    """The datagram that the C library's syslog() sends."""
    now = time.localtime()
    stamp = f"{_MONTHS[now.tm_mon - 1]} {now.tm_mday:2} {now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02}"
    return f"<{_USER_FACILITY * 8 + severity}>{stamp} {_IDENTIFIER}[{os.getpid()}]: {message}".encode()


def as_journald(fields: Mapping[str, str]) -> bytes:
    """Journald's native datagram: a line each. A value with a line's end would need another form; none has one."""
    return "".join(f"{name}={_clean_field(name, value)}\n" for name, value in fields.items()).encode()


def _clean_field(name: str, value: str) -> str:
    return legible(value) if name == "MESSAGE" else _clean(value)
